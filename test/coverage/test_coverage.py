#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""docs/coverage.md is complete, and what is new in a header, or has no answer, is found.

The headers of Linux 7.2 are those that KVM_VGIC_UAPI names (run-tests does), or of testbed/make-uapi's cache; without
them what is about them is skipped. All others are on headers made of the table's own names.
"""

import contextlib
import glob
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import coverage  # noqa: E402

DOC = os.path.join(coverage.ROOT, 'docs/coverage.md')
CACHE = os.environ.get('KVM_VGIC_CACHE') or os.path.join(
    os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache'), 'kvm-vgic')
IN_ASM = re.compile('KVM_ARM_V|KVM_VGIC_|VGIC_|KVM_DEV_ARM_')


def headers_of_7_2():
    found = [x for x in glob.glob(os.path.join(CACHE, 'uapi/7.2-*')) if os.path.isdir(x)]
    return os.environ.get('KVM_VGIC_UAPI') or (found[0] if found else None)


class Made(unittest.TestCase):
    """Headers and a table to be changed."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.doc = os.path.join(self.folder.name, 'coverage.md')
        self.text = coverage.read(DOC)
        self.asm, self.types, self.linux = [], [], ['#define KVM_CAP_NOVEL 999', '#define KVM_EXIT_NOVEL 99']
        for name in coverage.answers_of(DOC)[0]:
            if IN_ASM.match(name):
                self.asm.append(f'#define {name} 1')
            elif name.startswith('KVM_DEV_TYPE_'):
                self.types.append(name)
            elif name.startswith('KVM_DEV_'):
                self.linux.append(f'#define   {name}\t1')
            else:
                self.linux.append(f'#define {name} _IOW(KVMIO, 0x41, struct a_struct)')

    def write(self, path, text):
        path = os.path.join(self.folder.name, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)

    def check(self):
        types = ''.join(f'\t{x},\n#define {x} {x}\n' for x in self.types)
        types = 'enum kvm_device_type {\n' + types + '\tKVM_DEV_TYPE_MAX,\n};\n'
        self.write('linux/kvm.h', types + '\n'.join(self.linux) + '\n')
        self.write('asm/kvm.h', '\n'.join(self.asm) + '\n')
        self.write('coverage.md', self.text)
        return coverage.check(self.folder.name, self.doc)

    def finds(self, *what):
        self.assertEqual(self.check(), list(what))

    def test_the_table_has_an_answer_to_each_row(self):
        self.finds()

    def test_a_new_ioctl_is_found(self):
        self.linux.append('#define KVM_ARM_SET_NOVELTY _IOW(KVMIO, 0xef, struct kvm_novelty)')
        self.finds('KVM_ARM_SET_NOVELTY: ioctl without a row')

    def test_a_new_ioctl_of_two_lines_is_found(self):
        self.linux.append('#define KVM_SET_NOVELTY \\\n\t\t\t_IOW(KVMIO,  0xef, struct kvm_novelty)')
        self.finds('KVM_SET_NOVELTY: ioctl without a row')

    def test_a_new_type_of_device_is_found(self):
        self.types.append('KVM_DEV_TYPE_ARM_VGIC_V6')
        self.finds('KVM_DEV_TYPE_ARM_VGIC_V6: type of device without a row')

    def test_a_new_attribute_of_a_gic_is_found(self):
        self.asm.append('#define   KVM_DEV_ARM_VGIC_GRP_NOVELTY\t12')
        self.finds('KVM_DEV_ARM_VGIC_GRP_NOVELTY: attribute without a row')

    def test_a_new_attribute_of_a_vcpu_is_found(self):
        self.asm.append('#define KVM_ARM_VCPU_NOVELTY_CTRL 3')
        self.finds('KVM_ARM_VCPU_NOVELTY_CTRL: attribute without a row')

    def test_a_new_attribute_of_any_architecture_is_found(self):
        self.linux.append('#define  KVM_DEV_NOVELTY_FILE 1')
        self.finds('KVM_DEV_NOVELTY_FILE: attribute without a row')

    def test_a_new_attribute_that_is_called_a_size_is_found(self):
        for name in ('KVM_DEV_ARM_VGIC_GRP_IST_SIZE', 'KVM_ARM_VCPU_NOVELTY_MASK', 'KVM_VGIC_V5_ADDR_SHIFT'):
            with self.subTest(name):
                self.asm.append(f'#define {name} 13')
                self.finds(f'{name}: attribute without a row')
                self.asm.pop()

    def test_sizes_and_shifts_that_are_known_have_no_rows(self):
        self.asm += [f'#define {name} 1' for name in coverage.NO_ATTRIBUTE]
        self.finds()

    def test_what_cannot_be_told_is_found(self):
        self.linux.append('#define KVM_NOVELTY 1')
        self.finds('linux/kvm.h: KVM_NOVELTY is neither a row nor known not to be one')

    def test_what_cannot_be_told_of_arm64_is_found(self):
        self.asm.append('#define KVM_NOVELTY_CTRL 1')
        self.finds('asm/kvm.h: KVM_NOVELTY_CTRL is neither a row nor known not to be one')

    def test_other_architectures_have_no_rows(self):
        self.linux += ['#define KVM_S390_NOVELTY _IO(KVMIO, 0x1)', '#define KVM_GET_PIT2 _IO(KVMIO, 0x2)']
        self.types += ['KVM_DEV_TYPE_RISCV_NOVELTY']
        self.finds()

    def test_what_is_gone_is_found(self):
        self.types.remove('KVM_DEV_TYPE_VFIO')
        self.finds('KVM_DEV_TYPE_VFIO: a row for what the headers have not')

    def change(self, old, new):
        self.assertEqual(self.text.count(old), 1)
        self.text = self.text.replace(old, new)

    def test_a_row_without_an_answer_is_found(self):
        self.change('| carried: zones, read from the kernel, and the ring with what is in it |', '|  |')
        self.finds(*[f'{x}: no answer: one that begins with {", ".join(coverage.ANSWERS)} is wanted'
                     for x in ('KVM_REGISTER_COALESCED_MMIO', 'KVM_UNREGISTER_COALESCED_MMIO')])

    def test_an_answer_of_one_word_is_found(self):
        self.change('| carried: read from the kernel | `kvm_signal_mask` |', '| carried | `kvm_signal_mask` |')
        self.finds('KVM_SET_SIGNAL_MASK: "carried" does not say how, or why')

    def test_an_answer_that_nothing_shows_is_found(self):
        self.change('| carried: read from the kernel | `kvm_signal_mask` |', '| carried: read from the kernel | - |')
        self.finds('KVM_SET_SIGNAL_MASK: nothing shows that it is carried:')

    def test_a_test_that_there_is_not_is_found(self):
        self.change('`kvm_signal_mask` |', '`kvm_signal_masks` |')
        self.finds('KVM_SET_SIGNAL_MASK: there is no test kvm_signal_masks')

    def test_a_refusal_that_there_is_not_is_found(self):
        self.change('`refused-vfio`', '`refused-vfios`')
        self.assertIn('KVM_DEV_TYPE_VFIO: there is no test refused-vfios', self.check())

    def test_a_case_of_a_unit_test_that_there_is_not_is_found(self):
        self.change('`test_discover:an_assigned_device_is_refused`', '`test_discover:an_assigned_device_is_carried`')
        self.assertIn('KVM_DEV_TYPE_VFIO: there is no test test_discover:an_assigned_device_is_carried', self.check())

    def test_two_rows_of_one_name_are_found(self):
        self.text += '| `KVM_RUN` | carried: once more, by another row | `kvm_exits` |\n'
        self.finds('KVM_RUN: twice')


@unittest.skipUnless(headers_of_7_2(), 'testbed/make-uapi 7.2 has not been run')
class Real(unittest.TestCase):
    def test_linux_7_2_has_no_more(self):
        self.assertEqual(coverage.check(headers_of_7_2(), DOC), [])

    def test_what_is_left_out_by_name_is_there(self):
        asm = coverage.read(coverage.find_header(headers_of_7_2(), coverage.ASM_HEADER))
        for name in coverage.NO_ATTRIBUTE:
            self.assertRegex(asm, rf'#define\s+{name}\b')

    def test_an_attribute_invented_in_its_header_is_found(self):
        with tempfile.TemporaryDirectory() as folder:
            headers = os.path.join(folder, 'headers')
            shutil.copytree(headers_of_7_2(), headers)
            with open(coverage.find_header(headers, coverage.ASM_HEADER), 'a', encoding='utf-8') as f:
                f.write('#define KVM_ARM_VCPU_INVENTED_CTRL 99\n')
            script = subprocess.run([sys.executable, '-B', coverage.__file__, '--headers', headers], text=True,
                                    stdout=subprocess.PIPE, check=False)
        self.assertEqual(script.stdout, 'KVM_ARM_VCPU_INVENTED_CTRL: attribute without a row\n')
        self.assertEqual(script.returncode, 1)

    def test_its_rows_are_listed(self):
        out, argv = io.StringIO(), sys.argv
        sys.argv = ['coverage.py', '--headers', headers_of_7_2(), '--list']
        try:
            with contextlib.redirect_stdout(out):
                self.assertEqual(coverage.main(), 0)
        finally:
            sys.argv = argv
        self.assertIn('type of device: KVM_DEV_TYPE_ARM_VGIC_V5\n', out.getvalue())
        self.assertEqual(len(out.getvalue().splitlines()), len(coverage.answers_of(DOC)[0]))


if __name__ == '__main__':
    unittest.main(verbosity=2)
