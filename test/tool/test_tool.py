#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""criu-kvm over images of the unit tests' fixture: test_tool.py CRIU-KVM MAKE_IMAGES MODULES.

MODULES is a folder with criu_kvm, whose reading of the images is another one than criu-kvm's own."""
import glob
import importlib.util
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from tooltest import TOP, Tool, check_schema, main, render

sys.stdout.reconfigure(line_buffering=True)
tool = Tool(sys.argv[1])
make_images = sys.argv[2]
modules = sys.argv[3]
SETS = ('v2', 'v3', 'v3-later', 'v5', 'two', 'hostile', 'none')


def have(module):
    return importlib.util.find_spec(module) is not None


def setUpModule():
    global images
    images = tempfile.mkdtemp(prefix='kvm-vgic-tool-')
    unittest.addModuleCleanup(shutil.rmtree, images)
    subprocess.run([make_images, images], check=True)


def folder(name):
    return os.path.join(images, name)


def decode(name):
    """An image's entries by criu_kvm.crit's descriptors, without pycriu."""
    from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet()
    with open(os.path.join(modules, 'criu_kvm', 'images.desc'), 'rb') as f:
        files.ParseFromString(f.read())
    for file in files.file:
        pool.AddSerializedFile(file.SerializeToString())
    kind = re.sub(r'(-\d+)?\.img$', '', os.path.basename(name)).replace('kvm-', '').replace('-', '_')
    descriptor = pool.FindMessageTypeByName('kvm_vgic.%s_image' % kind)
    message = (message_factory.GetMessageClass(descriptor) if hasattr(message_factory, 'GetMessageClass')
               else message_factory.MessageFactory(pool).GetPrototype(descriptor))
    with open(name, 'rb') as f:
        data = f.read()
    at, entries = 8, []
    while at < len(data):
        size = int.from_bytes(data[at:at + 4], 'little')
        entries.append(json_format.MessageToDict(message.FromString(data[at + 4:at + 4 + size]),
                                                 preserving_proto_field_name=True))
        at += 4 + size
    return entries


class Show(unittest.TestCase):
    def test_each_kind_of_gic_is_shown(self):
        for name, gic in (('v2', 'GICv2'), ('v3', 'GICv3'), ('v5', 'GICv5')):
            done = tool.run('show', folder(name))
            self.assertEqual((done.returncode, done.stderr), (0, ''))
            self.assertIn(': %s, ' % gic, done.stdout.splitlines()[0])
            self.assertEqual(len(re.findall(r'^ +\d+ +\d+  0x8', done.stdout, re.M)),
                             len(tool.show(folder(name))['vms'][0]['vcpus']))

    def test_a_dump_without_vm_is_shown(self):
        self.assertIn('/dev/kvm', tool.run('show', folder('none')).stdout)

    def test_several_vms_are_shown(self):
        self.assertEqual([vm['id'] for vm in tool.show(folder('two'))['vms']], [1, 2])

    def test_what_a_vcpu_owes_is_shown(self):
        out = tool.run('show', folder('v3')).stdout
        self.assertIn('owes an MMIO read at 0x9000000', out)
        self.assertIn('owes an MMIO write at 0x9000000', out)
        self.assertIn('an SError is pending', out)

    def test_the_way_of_an_lpi_is_shown(self):
        vm = tool.show(folder('v3'))['vms'][0]
        its = vm['itses'][0]
        device = its['devices'][0]
        event = device['events'][0]
        vcpu = {c['icid']: c['vcpu'] for c in its['collections']}.get(event['icid'])
        self.assertRegex(tool.run('show', folder('v3')).stdout,
                         r'device +%d event +%d -> LPI +%d -> collection +%d -> %s:' %
                         (device['device_id'], event['event_id'], event['intid'], event['icid'],
                          'no vCPU' if vcpu is None else 'vCPU %d' % vcpu))

    @unittest.skipUnless(have('google.protobuf'), 'no python3-protobuf')
    def test_interrupts_are_what_the_registers_say(self):
        vm = tool.show(folder('v3'))['vms'][0]
        vgic = decode(folder('v3/kvm-vgic-1.img'))[1]['vgic']['v3']

        def bit(regs, name, bits, place):
            words = [int(v) for r in regs if r['name'] == name for v in r['value']]
            if not spi:  # those of all vCPUs, one after the other
                nr = len(words) // vgic['nr_cpus']
                words = words[irq['vcpu'] * nr:][:nr]
            return words[place * bits // 32] >> place * bits % 32 & (1 << bits) - 1
        for irq in vm['interrupts']:
            spi = irq['kind'] == 'SPI'
            regs = vgic['dist'] if spi else vgic['redist']
            place = irq['intid'] - 32 if spi else irq['intid']
            frame, suffix = ('GICD', '') if spi else ('GICR', '0')
            for field, reg in (('enabled', 'ISENABLER'), ('pending', 'ISPENDR'), ('active', 'ISACTIVER')):
                self.assertEqual(irq[field], bool(bit(regs, '%s_%s%s' % (frame, reg, suffix), 1, place)), irq)
            self.assertEqual(irq['level'], bool(bit(regs, 'LEVEL_INFO', 1, place)), irq)
            self.assertEqual(irq['priority'], bit(regs, frame + '_IPRIORITYR', 8, place), irq)
            if spi or irq['intid'] >= 16:
                trigger = (bit(regs, 'GICD_ICFGR', 2, place) if spi else
                           bit(regs, 'GICR_ICFGR1', 2, place - 16))
                self.assertEqual(irq['trigger'], 'edge' if trigger & 2 else 'level', irq)
        self.assertEqual(len(vm['interrupts']), 5 * 32 + 64)

    @unittest.skipUnless(have('google.protobuf'), 'no python3-protobuf')
    def test_a_gicv5s_ists_are_what_the_image_says(self):
        vm = tool.show(folder('v5'))['vms'][0]
        ist = decode(folder('v5/kvm-vgic-1.img'))[1]['vgic']['v5']['lpi']
        shown = {irq['intid']: irq for irq in vm['interrupts'] if irq['kind'] == 'LPI'}
        n, checked = 0, 0
        for run, count in enumerate(ist['count']):
            for n in range(n, n + count):
                if n in shown:
                    checked += 1
                    for field, key in (('pending', 'pending'), ('active', 'active'), ('enabled', 'enable'),
                                       ('priority', 'priority'), ('iaffid', 'iaffid')):
                        self.assertEqual(int(shown[n][field]), ist[key][run], (n, field))
                else:
                    self.assertFalse(any(ist[key][run] for key in ist if key != 'count'), n)
            n += 1
        self.assertEqual(checked, len(shown))
        self.assertTrue(shown)

    @unittest.skipUnless(have('google.protobuf'), 'no python3-protobuf')
    def test_registers_are_what_the_image_says(self):
        entry = decode(folder('v3/kvm-vcpu-1.img'))[1]['vcpu']
        import base64
        values, regs = base64.b64decode(entry['reg_values']), {}
        for reg in map(int, entry['reg_ids']):
            size = 1 << (reg >> 52 & 15)
            regs[reg] = int.from_bytes(values[:size], 'little')
            values = values[size:]
        shown = tool.show(folder('v3'))['vms'][0]['vcpus'][0]['regs']
        self.assertEqual(int(shown['PC'], 16), regs[0x6030000000100040])
        self.assertEqual(int(shown['PSTATE'], 16), regs[0x6030000000100042])
        self.assertEqual(int(shown['MPIDR_EL1'], 16), regs[0x603000000013c005])
        self.assertEqual(int(shown['V0'], 16), regs[0x6040000000100054])
        self.assertEqual(int(shown['FPSR'], 16), regs[0x60200000001000d4])
        self.assertEqual(len(shown), len(regs))


@unittest.skipUnless(have('jsonschema'), 'no python3-jsonschema')
class Schema(unittest.TestCase):
    def test_all_sets_are_of_the_schema(self):
        for name in SETS:
            check_schema(tool.show(folder(name)))

    def test_the_schema_refuses_what_it_does_not_have(self):
        document = tool.show(folder('v3'))
        for path in ((), ('vms', 0), ('vms', 0, 'vcpus', 0), ('vms', 0, 'gic'), ('vms', 0, 'itses', 0)):
            changed = json.loads(json.dumps(document))
            part = changed
            for step in path:
                part = part[step]
            part['surplus'] = 1
            with self.assertRaises(AssertionError):
                check_schema(changed)


@unittest.skipUnless(shutil.which('dot'), 'no graphviz')
class Dot(unittest.TestCase):
    def test_all_sets_are_drawn(self):
        for name in SETS:
            self.assertIn('<svg', render(tool.run('show', '--dot', folder(name)).stdout))

    def test_a_way_is_drawn_from_device_to_vcpu(self):
        dot = tool.run('show', '--dot', folder('v3')).stdout
        its = tool.show(folder('v3'))['vms'][0]['itses'][0]
        device, event = its['devices'][0], its['devices'][0]['events'][0]
        self.assertIn('"vm1 its0 d%d" -> "vm1 LPI%d" [style=solid label="event %d"]' %
                      (device['device_id'], event['intid'], event['event_id']), dot)
        self.assertRegex(dot, '"vm1 LPI%d" -> "vm1 its0 c%d"' % (event['intid'], event['icid']))
        self.assertRegex(dot, r'"vm1 its0 c\d+" -> "vm1 vcpu\d+"')

    def test_spis_of_a_gicv5_are_drawn(self):
        self.assertRegex(tool.run('show', '--dot', folder('v5')).stdout, r'"vm1 (SPI|LPI)\d+" -> "vm1 ')


class Hostile(unittest.TestCase):
    """Strings of an image that a terminal, JSON or a graph could take for something else."""

    def test_only_printable_ascii_comes_out(self):
        for args in (('show',), ('show', '--json'), ('show', '--dot'), ('plan',), ('diff', folder('v3'))):
            done = subprocess.run([tool.path, *args, folder('hostile')], capture_output=True)
            self.assertEqual(set(done.stdout) - set(range(0x20, 0x7f)) - {0x0a, 0x09}, set(), args)
            self.assertEqual(done.stderr, b'')

    def test_what_was_escaped_can_be_read_back(self):
        path = tool.show(folder('hostile'))['vms'][0]['backings'][0]['path']
        self.assertEqual(path, r'/a\xc2\x9b31m\x9b2J\x85"];\\x1b}\xe2\x80\xaeb')
        back = re.sub(rb'\\(\\|x(..))', lambda m: bytes.fromhex(m[2].decode()) if m[2] else b'\\', path.encode())
        self.assertEqual(back, b'/a\xc2\x9b31m\x9b2J\x85"];\\x1b}\xe2\x80\xaeb')

    def test_error_lines_are_escaped(self):
        os.mkdir(folder('\x1b[2J\x9b'))
        done = subprocess.run([tool.path, 'show', folder('\x1b[2J\x9b')], capture_output=True)
        self.assertEqual(done.returncode, 3)
        self.assertEqual(set(done.stderr) - set(range(0x20, 0x7f)) - {0x0a}, set())
        self.assertIn(rb'\x1b[2J\xc2\x9b', done.stderr)


class Verify(unittest.TestCase):
    def damaged(self, change):
        copy = tempfile.mkdtemp(dir=images)
        shutil.copytree(folder('v3'), copy, dirs_exist_ok=True)
        change(copy)
        return tool.run('verify', copy, timeout=60)

    def test_whole_sets_are_taken(self):
        for name in SETS:
            done = tool.run('verify', folder(name))
            self.assertEqual((done.returncode, done.stderr), (0, ''), name)

    def test_a_changed_byte_is_refused_in_each_file(self):
        for file in glob.glob(folder('v3/kvm-*.img')):
            def change(copy):
                with open(os.path.join(copy, os.path.basename(file)), 'r+b') as f:
                    f.seek(40)
                    byte = f.read(1)
                    f.seek(40)
                    f.write(bytes([byte[0] ^ 1]))
            done = self.damaged(change)
            self.assertEqual((done.returncode, done.stdout), (1, ''))
            self.assertIn('criu-kvm: %s: ' % os.path.basename(file), done.stderr)

    def test_a_missing_file_is_refused(self):
        done = self.damaged(lambda copy: os.unlink(os.path.join(copy, 'kvm-its-1.img')))
        self.assertEqual(done.returncode, 1)
        self.assertIn('kvm-its-1.img', done.stderr)

    def test_no_images_are_refused(self):
        done = self.damaged(lambda copy: os.unlink(os.path.join(copy, 'kvm-vm.img')))
        self.assertEqual(done.returncode, 1)
        self.assertIn('no dump of a VM', done.stderr)

    def test_criu_would_not_ask_the_plugin(self):
        done = self.damaged(lambda copy: os.unlink(os.path.join(copy, 'inventory.img')))
        self.assertEqual(done.returncode, 1)
        self.assertIn('inventory.img: No such file', done.stderr)
        for was, becomes, said in ((b'kvm_', b'xvm_', 'does not name'), (b'\x16', b'\x17', 'none of criu')):
            def change(copy):
                with open(os.path.join(copy, 'inventory.img'), 'r+b') as f:
                    data = f.read()
                    f.seek(0)
                    f.write(data.replace(was, becomes, 1))
            done = self.damaged(change)
            self.assertEqual(done.returncode, 1)
            self.assertIn(said, done.stderr)

    def test_an_inventory_that_is_no_file_is_refused_not_waited_for(self):
        for kind, make in (('a FIFO', os.mkfifo), ('a folder', os.mkdir)):
            def change(copy):
                os.unlink(os.path.join(copy, 'inventory.img'))
                make(os.path.join(copy, 'inventory.img'))
            done = self.damaged(change)
            self.assertEqual(done.returncode, 1, kind)
            self.assertIn('inventory.img: not a regular file', done.stderr)

    def test_what_cannot_be_read_is_no_answer(self):
        self.assertEqual(tool.run('verify', folder('is-not-there')).returncode, 3)
        for file in 'kvm-vm.img', 'inventory.img':
            def change(copy):
                os.unlink(os.path.join(copy, file))
                os.symlink(file, os.path.join(copy, file))  # ELOOP: root may read all
            done = self.damaged(change)
            self.assertEqual((done.returncode, done.stdout), (3, ''))
            self.assertIn('criu-kvm: %s: ' % file, done.stderr)

    @unittest.skipIf(os.uname().machine == 'aarch64', 'an arm64 host is asked in test/tool/run')
    def test_another_architecture_cannot_carry_them(self):
        done = tool.run('verify', '--host', folder('v3'))
        self.assertEqual((done.returncode, done.stdout), (1, ''))
        self.assertIn('arm64', done.stderr)

    def test_files_of_guest_memory_are_looked_for_below_root(self):
        root = tempfile.mkdtemp(dir=images)
        done = tool.run('verify', '--host', '--root', root, folder('v3'))
        self.assertEqual(done.returncode, 1)
        self.assertIn('/dev/shm/guest 1', done.stderr)


class Diff(unittest.TestCase):
    def test_a_dump_is_like_itself(self):
        for name in SETS:
            done = tool.run('diff', folder(name), folder(name))
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, '', ''))

    def test_each_field_that_changed_is_named_and_no_other(self):
        done = tool.run('diff', folder('v3'), folder('v3-later'))
        self.assertEqual(done.returncode, 1)
        its = tool.show(folder('v3'))['vms'][0]['itses'][0]['devices'][0]
        lpi = its['events'][0]['intid']
        irqs = {(i['kind'], i['intid'], i['vcpu'] if i['kind'] == 'PPI' else None): i
                for i in tool.show(folder('v3'))['vms'][0]['interrupts']}
        pending = irqs['SPI', 40, None]['pending']
        enabled = irqs['PPI', 27, 2]['enabled']
        lines = done.stdout.splitlines()
        for line in (
                r'vms\[1\].memslots\[1\].dirty_hash: 0x[0-9a-f]+ -> 0x[0-9a-f]+',
                r'vms\[1\].memslots\[7\].hva: 0xffff20000000 -> 0xffff20001000',
                r'vms\[1\].vcpus\[1\].regs.PC: 0x[0-9a-f]+ -> 0x40001000',
                r'vms\[1\].vcpus\[2\].run.hash: 0x[0-9a-f]+ -> 0x[0-9a-f]+',
                r'vms\[1\].interrupts\[PPI 27 of vCPU 2\].enabled: %s -> %s' % tuple(
                    json.dumps(b) for b in (enabled, not enabled)),
                r'vms\[1\].interrupts\[SPI 40\].pending: %s -> %s' % tuple(
                    json.dumps(b) for b in (pending, not pending)),
                r'vms\[1\].itses\[0\].devices\[%d\].events\[%d\].intid: %d -> %d' % (
                    its['device_id'], its['events'][0]['event_id'], lpi, lpi + 1),
                r'vms\[1\].irqfds\[\d+\]: \{.*\} -> -'):
            self.assertRegex(lines.pop(0), '^' + line + '$')
        self.assertEqual(lines, [])

    def test_another_gic_differs(self):
        done = tool.run('diff', folder('v3'), folder('v5'))
        self.assertEqual(done.returncode, 1)
        self.assertIn('vms[1].gic.kind: GICv3 -> GICv5\n', done.stdout)

    def test_json_has_the_same(self):
        document = json.loads(tool.run('diff', '--json', folder('v3'), folder('v3-later')).stdout)
        self.assertEqual((document['format'], document['version']), ('criu-kvm-diff', '1.0'))
        found = document['differences']
        self.assertEqual(len(found), 8)
        self.assertEqual(found[1], {'path': 'vms[1].memslots[7].hva', 'from': '0xffff20000000', 'to': '0xffff20001000'})
        self.assertNotIn('to', found[-1])

    def test_what_cannot_be_read_is_no_difference(self):
        self.assertEqual(tool.run('diff', folder('v3'), folder('is-not-there')).returncode, 3)


class Plan(unittest.TestCase):
    def steps(self, name):
        document = json.loads(tool.run('plan', '--json', folder(name)).stdout)
        self.assertEqual((document['format'], document['version']), ('criu-kvm-plan', '1.0'))
        return document['steps']

    def test_the_steps_of_a_gic_are_its_own(self):
        for name, own, others in (('v2', 'GICv2 distributor', 'GIC redistributors'),
                                  ('v3', 'GIC redistributors', 'GICv5 ISTs'),
                                  ('v5', 'GICv5 ISTs', 'GICv2 distributor')):
            names = [step['name'] for step in self.steps(name)]
            self.assertIn(own, names)
            self.assertNotIn(others, names)
            self.assertEqual(names[0], 'no vCPU runs')
            self.assertEqual(names[-2:], ['vCPUs may run', 'fds kept aside'])

    def test_only_a_gicv3_has_itses(self):
        for name, gicv3 in (('v2', False), ('v3', True), ('v5', False)):
            names = [step['name'] for step in self.steps(name)]
            self.assertEqual([step for step in names if re.match('ITS|LPI', step)],
                             ['ITS tables compared', 'LPI tables compared', 'LPIs enabled', 'ITS registers', 'ITS tables',
                              'ITS control'] if gicv3 else [], name)

    def test_no_vm_runs_before_all_are_whole(self):
        steps = [(step['vm'], step['name']) for step in self.steps('two')]
        self.assertLess(max(i for i, step in enumerate(steps) if step[1] == 'kvm_run pages'),
                        steps.index((1, 'vCPUs may run')))

    def test_each_step_has_its_document_or_its_reason(self):
        for step in self.steps('v3'):
            self.assertTrue(step['rule'])
            if step['name'] == 'vCPU initialisation':
                self.assertEqual(step['document'], 'api.rst 4.82')
            if step['name'] == 'memslots':
                self.assertIsNone(step['document'])

    def test_a_document_is_told_where_the_reason_has_one(self):
        for name in SETS:
            for step in self.steps(name):
                self.assertEqual('.rst' in step['rule'], step['document'] is not None, step)

    def test_people_are_told_the_same(self):
        out = tool.run('plan', folder('v3')).stdout
        for step in self.steps('v3'):
            self.assertRegex(out, r'(?m)^ +%d  %s +%s$' % (step['step'], re.escape(step['name']),
                                                           re.escape(step['rule'])))


class Check(unittest.TestCase):
    """Of the questions those whose answer a test can choose."""

    def ask(self, *args, criu=None, env=None):
        path = tempfile.mkdtemp(dir=images)
        if criu:
            with open(os.path.join(path, 'criu'), 'w') as f:
                f.write('#!/bin/sh\n' + criu)
            os.chmod(f.name, 0o755)
        done = tool.run('check', '--json', *args, env=dict(env or {}, PATH=path))
        answers = json.loads(done.stdout)
        self.assertEqual(done.stderr, '')
        self.assertEqual((answers['format'], answers['version']), ('criu-kvm-check', '1.0'))
        return done.returncode, {check['name']: check for check in answers['checks']}

    CRIU = ('case $1 in --version) echo Version: %s;;'
            '--help) echo "  -L|--libdir  path to a plugin directory (by default %s/)";; esac')

    def test_criu_is_looked_for(self):
        status, answers = self.ask()
        self.assertEqual((status, answers['criu']['answer']), (1, 'no'))
        self.assertIn('install criu', answers['criu']['advice'])

    def test_an_old_criu_is_no_criu(self):
        for version, answer in (('3.19', 'no'), ('4.0', 'no'), ('4.1.1', 'yes'), ('4.3', 'yes'), ('5.0', 'warning'),
                                ('x', 'unknown')):
            self.assertEqual(self.ask(criu=self.CRIU % (version, '/'))[1]['criu']['answer'], answer, version)

    def test_the_plugin_is_looked_for_where_criu_looks(self):
        plugins = tempfile.mkdtemp(dir=images)
        name = os.path.join(plugins, 'kvm_vgic_plugin.so')
        criu = self.CRIU % ('4.1.1', plugins)
        self.assertEqual(self.ask(criu=criu)[1]['plugin']['answer'], 'no')
        shutil.copy(tool.path, name)  # of this architecture
        for _, answers in (self.ask(criu=criu), self.ask('--libdir', plugins),
                           self.ask(env={'CRIU_LIBS_DIR': plugins})):
            self.assertEqual(answers['plugin']['answer'], 'yes', answers['plugin'])
            self.assertIn(plugins, answers['plugin']['found'])
        self.assertEqual(self.ask(criu=criu, env={'CRIU_LIBS_DIR': images})[1]['plugin']['answer'], 'no')
        with open(name, 'r+b') as f:
            f.seek(18)
            f.write(b'\x08\0')  # MIPS
        answers = self.ask(criu=criu)[1]
        self.assertEqual(answers['plugin']['answer'], 'no')
        self.assertIn('architecture', answers['plugin']['found'])

    def test_other_plugins_are_named(self):
        plugins = tempfile.mkdtemp(dir=images)
        ask = lambda: self.ask('--libdir', plugins)[1]['other plugins']
        self.assertEqual(ask()['answer'], 'yes')
        with open(os.path.join(plugins, 'foo\x1b_plugin.so'), 'w'):
            pass
        self.assertEqual((ask()['answer'], ask()['found']), ('warning', r'foo\x1b_plugin.so'))

    @unittest.skipIf(os.getuid(), 'only root can give a process another /proc')
    def test_the_cuda_plugin_is_in_the_way_of_a_criu_before_its_fix(self):
        """And where there is a GPU, as the driver's folder in /proc tells it."""
        plugins = tempfile.mkdtemp(dir=images)
        with open(os.path.join(plugins, 'cuda_plugin.so'), 'w'):
            pass
        gpu = ['unshare', '--mount', 'sh', '-c',
               'mount -t tmpfs none /proc/driver && mkdir -p /proc/driver/nvidia/gpus && exec "$@"', 'sh']
        for before, version, expected in ((gpu, '4.0', 'no'), (gpu, '4.1.1', 'no'), (gpu, '4.2.1', 'no'), (gpu, 'x', 'no'),
                                          (gpu, '4.3', 'warning'), (gpu, '5.0', 'warning'), ([], '4.1.1', 'yes')):
            path = tempfile.mkdtemp(dir=images)
            with open(os.path.join(path, 'criu'), 'w') as f:
                f.write('#!/bin/sh\n' + self.CRIU % (version, plugins))
            os.chmod(f.name, 0o755)
            done = Tool(tool.path, before).run('check', '--json', env={'PATH': path + ':' + os.environ['PATH']})
            found = {check['name']: check for check in json.loads(done.stdout)['checks']}['other plugins']
            self.assertEqual(found['answer'], expected, (version, found))

    def test_answers_are_one_line(self):
        for check in self.ask(os.getpid())[1].values():
            self.assertNotIn('\\x', check['found'])

    def test_each_no_says_what_to_do(self):
        for check in self.ask()[1].values():
            self.assertTrue(check['answer'] != 'no' or check['advice'], check)

    @unittest.skipIf(os.uname().machine == 'aarch64', 'an arm64 host is asked in test/tool/run')
    def test_another_architecture_is_told(self):
        self.assertEqual(self.ask()[1]['architecture']['answer'], 'no')

    def test_a_process_without_vm_needs_no_plugin(self):
        answers = self.ask(os.getpid())[1]
        self.assertEqual(answers['process']['answer'], 'yes')
        self.assertEqual(answers['its io_uring']['answer'], 'yes')

    @unittest.skipIf(os.getuid() or os.uname().machine == 'aarch64', 'only root can be another user')
    def test_a_process_that_cannot_be_looked_at_is_not_taken_for_a_vm(self):
        """That of root, by one who is not."""
        os.chmod(images, 0o755)
        done = Tool(shutil.copy(tool.path, images)).run('check', '--json', os.getpid(), user='nobody')
        answers = {check['name']: check for check in json.loads(done.stdout)['checks']}
        self.assertEqual((done.stderr, answers['process']['answer']), ('', 'unknown'))
        self.assertIn('Permission denied', answers['process']['found'])
        self.assertEqual(answers['its io_uring']['answer'], 'unknown')

    @unittest.skipIf(os.getuid(), 'only root can do without a capability')
    def test_fds_that_can_be_listed_but_not_read_are_not_taken_for_none(self):
        """Those of this process, by root without CAP_SYS_PTRACE."""
        less = Tool(tool.path, ['setpriv', '--bounding-set', '-sys_ptrace', '--inh-caps', '-sys_ptrace'])
        done = less.run('check', '--json', os.getpid())
        answers = {check['name']: check for check in json.loads(done.stdout)['checks']}
        self.assertEqual(answers['its io_uring']['answer'], 'unknown', answers)
        self.assertIn('Permission denied', answers['its io_uring']['found'])

    def test_a_process_that_is_not_there(self):
        gone = subprocess.Popen(['true'])
        gone.wait()
        self.assertEqual(self.ask(gone.pid)[1]['process']['answer'], 'no')

    def test_people_are_told_the_same(self):
        out = tool.run('check', env={'PATH': '/'}).stdout
        self.assertRegex(out, r'(?m)^criu +no +no criu in PATH')
        self.assertRegex(out, r'(?m)^ +-> install criu')


class Recover(unittest.TestCase):
    """test/zdtm/failures has the rest: it takes a VM."""

    def test_a_process_without_vms_has_nothing_to_put_back(self):
        done = tool.run('recover', str(os.getpid()))
        self.assertEqual((done.returncode, done.stdout), (1, ''))
        self.assertIn('pid %d: nothing to put back' % os.getpid(), done.stderr)

    def test_a_process_that_has_ended_is_none(self):
        gone = subprocess.Popen(['true'])
        gone.wait()
        done = tool.run('recover', str(gone.pid))
        self.assertEqual((done.returncode, done.stdout), (3, ''))
        self.assertIn('there is no such process', done.stderr)


class Options(unittest.TestCase):
    COMMANDS = ('check', 'show', 'verify', 'diff', 'recover', 'plan')

    def test_help_is_everywhere(self):
        for args in ((),) + tuple((command,) for command in self.COMMANDS):
            for option in '--help', '-h':
                done = tool.run(*args, option)
                self.assertEqual((done.returncode, done.stderr), (0, ''))
                self.assertIn('usage: criu-kvm ' + ''.join(args), done.stdout)

    def test_each_exit_status_is_in_help_and_in_the_manual(self):
        for command in self.COMMANDS:
            told = tool.run(command, '--help').stdout.split('Exit status: ')[1]
            with open(os.path.join(TOP, 'docs', 'man', 'criu-kvm-%s.1' % command)) as f:
                manual = f.read().split('.Sh EXIT STATUS')[1].split('.Sh ')[0]
            self.assertEqual(re.findall(r'(?:^|; )(\d) ', told), re.findall(r'(?m)^\.It (\d)$', manual), command)

    def test_a_root_without_host_would_check_nothing(self):
        done = tool.run('verify', '--root', '/', folder('v3'))
        self.assertEqual((done.returncode, done.stdout), (2, ''))
        self.assertIn('--host', done.stderr)

    def test_wrong_usage_is_told_on_stderr(self):
        for args in ((), ('fly',), ('show',), ('show', 'a', 'b'), ('show', '--fly', 'a'), ('diff', 'a'),
                     ('verify', '--root'), ('check', 'x'), ('check', '-1'), ('check', '0'), ('check', '99999999999999999999'), ('plan',),
                     ('recover',), ('recover', 'x'), ('recover', '0'), ('recover', '1', '2'), ('recover', '--fly', '1')):
            done = tool.run(*args)
            self.assertEqual((done.returncode, done.stdout), (2, ''), args)
            self.assertTrue(done.stderr)

    def test_options_may_follow(self):
        self.assertEqual(tool.run('show', folder('v3'), '--json').stdout,
                         tool.run('show', '--json', folder('v3')).stdout)

    def test_a_full_disk_is_no_success(self):
        with open('/dev/full', 'w') as full:
            for args in (('show', folder('v3')), ('show', '--json', folder('v3')), ('--help',), ('verify', folder('v3'))):
                done = subprocess.run([tool.path, *args], stdout=full, stderr=subprocess.PIPE, text=True)
                self.assertEqual(done.returncode, 3, args)
                self.assertIn('stdout', done.stderr)

    def test_every_option_has_its_manual(self):
        for command in self.COMMANDS:
            with open(os.path.join(TOP, 'docs', 'man', 'criu-kvm-%s.1' % command)) as f:
                manual = f.read().replace('Fl -', '--').replace(' , -', ' --')
            for option in re.findall(r'--[a-z-]+', tool.run(command, '--help').stdout):
                self.assertIn(option, manual, command)

    @unittest.skipUnless(shutil.which('mandoc'), 'no mandoc')
    def test_manuals_are_clean(self):
        for manual in glob.glob(os.path.join(TOP, 'docs', 'man', '*.1')):
            done = subprocess.run(['mandoc', '-T', 'lint', '-W', 'warning', manual], capture_output=True, text=True)
            self.assertEqual(done.stdout, '')

    def complete(self, *words):
        script = ('. %s; COMP_WORDS=(%s); COMP_CWORD=%d; _criu_kvm; printf "%%s\\n" "${COMPREPLY[@]}"' %
                  (os.path.join(TOP, 'tool', 'criu-kvm.bash'), ' '.join("'%s'" % word for word in words), len(words) - 1))
        done = subprocess.run(['bash', '-c', script], capture_output=True, text=True)
        self.assertEqual(done.stderr, '')
        return done.stdout.split()

    def test_the_shell_completes(self):
        self.assertEqual(sorted(c for c in self.complete('criu-kvm', '') if not c.startswith('-')), sorted(self.COMMANDS))
        for command in self.COMMANDS:
            usage = tool.run(command, '--help').stdout
            self.assertEqual(set(self.complete('criu-kvm', command, '--')),
                             set(re.findall(r'(?m)^  (?:-\w, )?(--[a-z-]+)', usage)))

    def test_a_folder_with_a_blank_in_its_name_is_completed_as_one_word(self):
        """By a bash with a terminal: what it makes of the completions is its own."""
        place = tempfile.mkdtemp(dir=images)
        os.mkdir(os.path.join(place, 'of today'))
        os.mkdir(os.path.join(place, 'plan'))
        lines = ('. %s' % os.path.join(TOP, 'tool', 'criu-kvm.bash'),
                 'criu-kvm() { printf "<%s>" "$@" >out; exit; }',
                 'criu-kvm pla\t--json of\t')
        terminal, end = pty.openpty()
        bash = subprocess.Popen(['bash', '--norc', '--noprofile', '-i'], cwd=place, stdin=end, stdout=end, stderr=end,
                                start_new_session=True, env=dict(os.environ, TERM='dumb', INPUTRC='/dev/null'))
        os.close(end)
        os.write(terminal, ('\n'.join(lines) + '\n').encode())
        try:
            while os.read(terminal, 4096):
                pass
        except OSError:  # it has ended
            pass
        bash.wait(timeout=60)
        os.close(terminal)
        with open(os.path.join(place, 'out')) as f:
            self.assertEqual(f.read(), '<plan><--json><of today/>')


# pycriu is where testbed/make-pycriu says, or installed.
CRIT_PATH = ':'.join(filter(None, (modules, os.environ.get('KVM_VGIC_PYCRIU'))))


def crit(*args):
    return subprocess.run([sys.executable, '-m', 'criu_kvm.crit', *args], capture_output=True, text=True,
                          env=dict(os.environ, PYTHONPATH=CRIT_PATH))


@unittest.skipIf(crit('--version').returncode, 'no python3-pycriu')
class Crit(unittest.TestCase):
    def test_every_image_is_decoded_and_encoded_as_it_was(self):
        for name in ('v3', 'v5'):
            for file in glob.glob(folder(name) + '/kvm-*.img'):
                out, back = (os.path.join(images, 'crit' + end) for end in ('.json', '.img'))
                self.assertEqual(crit('decode', '--pretty', '-i', file, '-o', out).stderr, '')
                self.assertEqual(crit('encode', '-i', out, '-o', back).stderr, '')
                with open(file, 'rb') as a, open(back, 'rb') as b:
                    self.assertEqual(a.read(), b.read(), file)

    def test_an_image_that_was_changed_has_its_seal(self):
        copy = tempfile.mkdtemp(dir=images)
        shutil.copytree(folder('v3'), copy, dirs_exist_ok=True)
        file = os.path.join(copy, 'kvm-vm.img')
        decoded = json.loads(crit('decode', '-i', file).stdout)
        decoded['entries'][1]['vm']['realtime'] = 77
        with open(os.path.join(images, 'changed.json'), 'w') as f:
            json.dump(decoded, f)
        self.assertEqual(crit('encode', '-i', f.name, '-o', file).returncode, 0)
        self.assertEqual(tool.run('verify', copy).stderr, '')
        self.assertEqual(tool.show(copy)['vms'][0]['counters']['realtime'], '0x4d')

    def test_info_and_show(self):
        file = folder('v3/kvm-vcpu-1.img')
        self.assertEqual(json.loads(crit('info', file).stdout), {'magic': 'KVM_VCPU', 'count': 7})
        self.assertEqual(json.loads(crit('show', file).stdout)['entries'][3]['vcpu']['idx'], 2)

    def test_what_is_no_image_is_told(self):
        done = crit('decode', '-i', tool.path)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('Unknown magic', done.stderr)


@unittest.skipUnless(shutil.which('valgrind'), 'no valgrind')
class Memory(unittest.TestCase):
    """Under valgrind; the sanitized build has its own."""

    def test_no_error_and_no_leak(self):
        with open(tool.path, 'rb') as f:
            if b'__asan_init' in f.read():
                self.skipTest('the build has sanitizers')
        under = Tool(tool.path, ['valgrind', '-q', '--error-exitcode=99', '--leak-check=full',
                                 '--errors-for-leak-kinds=all'])
        for args in (('show', folder('v3')), ('show', '--json', folder('v5')), ('show', '--dot', folder('two')),
                     ('plan', folder('v2')), ('diff', folder('v3'), folder('v3-later')),
                     ('verify', '--host', folder('hostile')), ('check', os.getpid()), ('check', '--json')):
            done = under.run(*args)
            self.assertNotEqual(done.returncode, 99, done.stderr)
            self.assertNotIn('==', done.stderr, args)


if __name__ == '__main__':
    main(__name__)
