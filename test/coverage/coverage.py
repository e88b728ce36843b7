#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Whether docs/coverage.md has an answer for all that KVM's arm64 interface can hold state by.

    coverage.py --headers DIR [--doc FILE]    check the table against these headers
    coverage.py --headers DIR --list          print the rows that the headers ask for, by section

DIR has the kernel's headers for user space: linux/kvm.h, and arm64's asm/kvm.h (testbed/make-uapi 7.2 prints one).
A row is each ioctl, each type of device, and each attribute of those headers, but for what is named below as another
architecture's. What is none of these, and not known here to be something else, is an error: nothing new is dropped in
silence. Exit status: 0 when each row has an answer that names what shows it, and no row is left over; and when each
refusal of docs/limits.md and README.md names the test that provokes it.
"""

import argparse
import glob
import os
import re
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)

import limits  # noqa: E402
import tests  # noqa: E402

ROOT = os.path.join(HERE, '..', '..')

# By name: ioctls and types of other architectures, which arch/arm64/kvm and virt/kvm do not build for arm64.
OTHERS = {
    'x86': r'KVM_(X86|XEN|HYPERV|TPR|KVMCLOCK)_\w+ KVM_GET_(MSR_INDEX_LIST|MSR_FEATURE_INDEX_LIST|SUPPORTED_CPUID|'
           r'EMULATED_CPUID|SUPPORTED_HV_CPUID) KVM_[GS]ET_(MSRS|CPUID2?|LAPIC|DEBUGREGS|XSAVE2?|XCRS|SREGS2|PIT2?|CLOCK|'
           r'TSC_KHZ|NESTED_STATE|IRQCHIP|NR_MMU_PAGES) KVM_SET_(TSS_ADDR|IDENTITY_MAP_ADDR|VAPIC_ADDR|BOOT_CPU_ID|'
           r'PMU_EVENT_FILTER) KVM_CREATE_PIT2? KVM_REINJECT_CONTROL KVM_SMI KVM_NMI KVM_MEMORY_ENCRYPT_\w+ '
           r'KVM_SET_MEMORY_ATTRIBUTES KVM_PRE_FAULT_MEMORY',
    's390': r'KVM_S390_\w+ KVM_DEV_TYPE_FLIC',
    'powerpc': r'KVM_PPC_\w+ KVM_CREATE_SPAPR_TCE(_64)? KVM_ALLOCATE_RMA KVM_DIRTY_TLB KVM_INTERRUPT '
               r'KVM_DEV_TYPE_(FSL_MPIC_\w+|XICS|XIVE) KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE',
    'riscv': r'KVM_DEV_TYPE_RISCV_\w+',
    'loongarch': r'KVM_DEV_TYPE_LOONGARCH_\w+',
    # arch/arm64/kvm/guest.c answers EINVAL: arm64 has KVM_GET_ONE_REG.
    'none: EINVAL on arm64': r'KVM_[GS]ET_(REGS|SREGS|FPU) KVM_TRANSLATE',
}

# Constants of linux/kvm.h that are arguments, answers or exits: what they are used with has a row.
NOT_ROWS = r'''KVM_(API_VERSION|CAP|EXIT|MEM|MEMORY_EXIT|MEMORY_ATTRIBUTE|INTERNAL_ERROR|SYSTEM_EVENT|MSR|NOTIFY|COALESCED|
    MP_STATE|GUESTDBG|IOEVENTFD|IRQFD|IRQ_ROUTING|VM|CLOCK|MMU|REG|MSI|CREATE_DEVICE_TEST|DIRTY|BUS_LOCK|PMU_CAP|STATS|
    PIT|S390|X86)(_\w+)?'''

# The same of asm/kvm.h: the ids and shapes of registers, targets, interrupt lines of KVM_IRQ_LINE, PSCI.
NOT_ROWS_ASM = r'''KVM_(SPSR|NR_SPSR|COALESCED|DIRTY|ARM_TARGET|ARM_NUM_TARGETS|ARM_DEVICE|ARM_MAX_DBG_REGS|DEBUG_ARCH|GUESTDBG|
    ARM_DEV|PMU_EVENT|ARM_TAGS|REG|ARM64_SVE|ARM_IRQ|NR_IRQCHIPS|PSCI|SYSTEM_EVENT|EXIT|HYPERCALL|ARM_FEATURE_ID)(_\w+)?'''

# And what has an attribute's name there, and is none: each by its own name, for an attribute can be called alike.
NOT_ATTRIBUTES = {
    "how much of the guest's addresses a frame takes":
        'KVM_VGIC_V2_DIST_SIZE KVM_VGIC_V2_CPU_SIZE KVM_VGIC_V3_DIST_SIZE KVM_VGIC_V3_REDIST_SIZE KVM_VGIC_V3_ITS_SIZE',
    'where a vCPU or register stands in the number of an attribute':
        'KVM_DEV_ARM_VGIC_CPUID_SHIFT KVM_DEV_ARM_VGIC_CPUID_MASK KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT '
        'KVM_DEV_ARM_VGIC_V3_MPIDR_MASK KVM_DEV_ARM_VGIC_OFFSET_SHIFT KVM_DEV_ARM_VGIC_OFFSET_MASK '
        'KVM_DEV_ARM_VGIC_SYSREG_INSTR_MASK',
    'where kind and interrupt stand in one of KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO':
        'KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_SHIFT KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_MASK '
        'KVM_DEV_ARM_VGIC_LINE_LEVEL_INTID_MASK',
}

ASM_ROWS = r'KVM_DEV_ARM_\w+|KVM_VGIC_\w+|KVM_ARM_VCPU_\w+|KVM_ARM_VM_\w+|VGIC_LEVEL_INFO_\w+'

ASM_HEADER = 'usr/lib/linux/uapi/arm64/asm/kvm.h'    # where Debian has it
ANSWERS = ('carried', 'refused', 'no state', 'not asked')
IOCTL, TYPE, ATTRIBUTE = 'ioctl', 'type of device', 'attribute'


def pattern(text):
    return re.compile('(?:' + '|'.join(re.sub(r'\s+', ' ', text).split(' ')) + r')\Z') if ' ' in text.strip() else \
        re.compile(re.sub(r'\s+', '', text) + r'\Z')


OTHER = [(who, pattern(names)) for who, names in OTHERS.items()]
CONSTANT = re.compile(re.sub(r'\s+', '', NOT_ROWS) + r'\Z')
ASM_CONSTANT = re.compile('(?:' + re.sub(r'\s+', '', NOT_ROWS_ASM) + r')\Z')
ASM_ROW = re.compile('(?:' + ASM_ROWS + r')\Z')
NO_ATTRIBUTE = {name for names in NOT_ATTRIBUTES.values() for name in names.split()}


class Unknown(Exception):
    pass


def is_other(name):
    return any(names.match(name) for _, names in OTHER)


def read(path):
    with open(path, encoding='utf-8') as f:
        return f.read()


def header_text(path):
    """Without comments, each definition in one line."""
    text = re.sub(r'/\*.*?\*/', '', read(path), flags=re.S)
    return re.sub(r'\\\n', ' ', text)


def defines(text):
    return re.findall(r'^\s*#\s*define\s+(\w+)(?:\([^)]*\))?[ \t]*(.*)$', text, re.M)


def find_header(folder, *names):
    for name in names:
        found = sorted(glob.glob(os.path.join(folder, name)))
        if found:
            return found[0]
    raise Unknown(f'{folder} has no {names[0]}')


def rows_of_linux(text):
    rows = {}
    types = re.search(r'enum kvm_device_type \{(.*?)\};', text, re.S)
    for name in re.findall(r'^\s*(KVM_DEV_TYPE_\w+)', types[1] if types else '', re.M):
        if name != 'KVM_DEV_TYPE_MAX':
            rows[name] = TYPE
    for name, value in defines(text):
        if re.match(r'_IO[RW]*\s*\(', value):
            rows[name] = IOCTL
        elif name in rows or not name.startswith('KVM_'):
            continue
        elif name.startswith('KVM_DEV_'):
            rows[name] = TYPE if name.startswith('KVM_DEV_TYPE_') else ATTRIBUTE
        elif not CONSTANT.match(name):
            raise Unknown(f'linux/kvm.h: {name} is neither a row nor known not to be one')
    return rows


def rows_of_asm(text):
    rows = {}
    for name, value in defines(text):
        if not re.match('KVM_|VGIC_', name) or ASM_CONSTANT.match(name) or name in NO_ATTRIBUTE:
            continue
        if not ASM_ROW.match(name):
            raise Unknown(f'asm/kvm.h: {name} is neither a row nor known not to be one')
        rows[name] = ATTRIBUTE
    return rows


def rows_of(folder):
    """{name: kind} of arm64, in the order of the headers."""
    linux = find_header(folder, 'usr/include/linux/kvm.h', 'include/uapi/linux/kvm.h', 'linux/kvm.h')
    asm = find_header(folder, ASM_HEADER, 'usr/include/aarch64-linux-gnu/asm/kvm.h',
                      'arch/arm64/include/uapi/asm/kvm.h', 'asm/kvm.h')
    rows = {**rows_of_linux(header_text(linux)), **rows_of_asm(header_text(asm))}
    return {name: kind for name, kind in rows.items() if not is_other(name)}


def answers_of(doc):
    """{name: (answer, what shows it)} of the tables; a name may be there once."""
    answers, wrong = {}, []
    for line in read(doc).splitlines():
        cells = [x.strip() for x in line.strip().strip('|').split(' | ')]
        names = re.findall(r'`(\w+)`', cells[0]) if line.startswith('| `') else []
        for name in names:
            if name in answers:
                wrong.append(f'{name}: twice')
            answers[name] = tuple(cells[1:]) if len(cells) == 3 else ('', '')
    return answers, wrong


def check_answer(name, answer, shown):
    """What is wrong with it, or None."""
    named = tests.named_in(shown)
    missing = tests.missing(named)
    if not answer.startswith(ANSWERS):
        return f'{name}: no answer: one that begins with {", ".join(ANSWERS)} is wanted'
    if missing:
        return f'{name}: there is no test {", ".join(missing)}'
    if answer.startswith(('carried', 'refused')) and not named and not shown.startswith('not shown: '):
        return f'{name}: nothing shows that it is {answer.split()[0]}'
    if len(answer.split()) < 3:
        return f'{name}: "{answer}" does not say how, or why'
    return None


def check(folder, doc):
    """All that is wrong."""
    try:
        rows = rows_of(folder)
    except Unknown as e:
        return [str(e)]
    answers, wrong = answers_of(doc)
    wrong += [f'{name}: {kind} without a row' for name, kind in rows.items() if name not in answers]
    wrong += [f'{name}: a row for what the headers have not' for name in answers if name not in rows]
    wrong += filter(None, [check_answer(name, *answers[name]) for name in rows if name in answers])
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--headers', required=True, metavar='DIR')
    parser.add_argument('--doc', default=os.path.join(ROOT, 'docs/coverage.md'), metavar='FILE')
    parser.add_argument('--list', action='store_true', help='print the rows')
    args = parser.parse_args()
    if args.list:
        for name, kind in rows_of(args.headers).items():
            print(f'{kind}: {name}')
        return 0
    wrong = check(args.headers, args.doc) + limits.check()
    print('\n'.join(wrong) if wrong else f'coverage: each of {len(rows_of(args.headers))} rows has an answer')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
