# SPDX-License-Identifier: GPL-2.0-only
"""What cannot be dumped is refused by name, before anything in the process has been changed."""

import os
import platform
import re

from common import OddVm, Skip, Unharmed, cpu_kinds, criu, discard, finish, hidden, tree

REFUSAL = 'not supported by this version: '
CLOSED = 'was closed: ' + REFUSAL
ENABLE = REFUSAL + 'have the VMM not enable it'
ODD_MAP = 'a private, executable, unreadable or overlong mapping of a vCPU: ' + REFUSAL
OWNER = 'the VM belongs to another process, which handed its fd over: ' + REFUSAL
SECOND = 'a second process with KVM, beside '

# The oddity, as kvm_vgic_refused knows it; what the one error line must say; the boot that can have it.
ROWS = [
    ('its-closed', 'a device beside the GIC, with its fd closed: ' + REFUSAL),
    ('its-orphan', 'an ITS with interrupts of a collection that the guest has unmapped: ' + REFUSAL[:-2] +
     ' on this kernel'),
    ('its-userfaultfd', 'an ITS, and a userfaultfd: KVM would wait for its handler, which stands still: ' + REFUSAL),
    ('many-itses', 'more than 32 ITSes: ' + REFUSAL),
    ('vfio', 'an assigned device: ' + REFUSAL),
    ('irqfd', 'irqfds: ' + REFUSAL),
    ('ioeventfd', 'ioeventfds: ' + REFUSAL),
    ('coalesced', 'coalesced MMIO zones: ' + REFUSAL),
    ('routes', "GSI routes of the VMM's own: " + REFUSAL),
    ('second-vm', 'a second VM in the process: ' + REFUSAL),
    ('second-process', SECOND),
    ('vm-closed', 'a VM whose own fd ' + CLOSED),
    ('gic-closed', 'a GICv3 whose device fd ' + CLOSED),
    ('vcpu-closed', 'a vCPU whose fd ' + CLOSED),
    ('vcpu-closed-mapped', 'a vCPU whose fd ' + CLOSED),
    ('dirty-log', 'a memslot under dirty logging: ' + REFUSAL),
    ('dirty-ring', 'a dirty ring: ' + REFUSAL),
    ('manual-dirty-log', 'KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: ' + ENABLE),
    ('halt-poll', 'KVM_CAP_HALT_POLL: ' + ENABLE),
    ('eager-split', 'KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE: ' + ENABLE),
    ('mte', 'KVM_CAP_ARM_MTE: ' + ENABLE),
    ('writable-imp-id', 'KVM_CAP_ARM_WRITABLE_IMP_ID_REGS: ' + ENABLE),
    ('sea-to-user', 'KVM_CAP_ARM_SEA_TO_USER: ' + ENABLE),
    ('smccc-filter', 'an SMCCC filter: ' + REFUSAL),
    ('vm-stats', '(anon_inode:kvm-vm-stats): a statistics fd: ' + REFUSAL),
    ('vcpu-stats', 'a statistics fd: ' + REFUSAL),
    ('same-mpidr', "mpidr 0x0 is vCPU 0's too"),
    ('pmu-filter', 'Argument list too long (errno 7): more memslots, SPIs active away from their route or ranges of the PMU '
     'event filter than it can tell'),
    ('pvtime-unmapped', '(vCPU id 1): stolen time where no memslot is that can be written: ' + REFUSAL),
    ('exception', '(vCPU id 1): an injected exception that the guest has not taken yet: ' + REFUSAL),
    ('step-pending', '(vCPU id 1): a single step that the host has pending: ' + REFUSAL),
    ('exit-in-memory', '(vCPU id 1): an MMIO access that is not completed, where a memslot lies by now: ' + REFUSAL),
    ('dead', 'the VM is dead (vm_dead): KVM answers EIO to everything: ' + REFUSAL),
    ('gic-uninit', 'a GICv3 that was not initialised: ' + REFUSAL),
    ('vcpu-uninit', 'a vCPU without KVM_ARM_VCPU_INIT: ' + REFUSAL),
    ('no-gic', 'a VM without in-kernel interrupt controller: ' + REFUSAL),
    ('no-vcpus', 'a VM without vCPUs'),
    ('bare-vm', 'a VM without in-kernel interrupt controller: ' + REFUSAL),
    ('private-map', ODD_MAP),
    ('exec-map', ODD_MAP),
    ('dark-map', ODD_MAP),
    ('long-map', ODD_MAP),
    ('many-maps', 'more than 16 mappings of a vCPU: ' + REFUSAL),
    ('sealed-map', 'VmFlags "sl" '),
    ('high-fd', 'a file descriptor above 200000: ' + REFUSAL),
    ('only-kvm', '/dev/kvm or a vCPU mapping without a VM: ' + REFUSAL),
    ('inherited-fds', SECOND),
    ('inherited-map', SECOND),
    ('inherited-vcpu', SECOND),
    ('child-owns', SECOND),
    ('gicv2', '(anon_inode:kvm-arm-vgic-v2): a GICv2: ' + REFUSAL, 'gic2'),
    ('gicv2-uninit', '(anon_inode:kvm-arm-vgic-v2): a GICv2: ' + REFUSAL, 'gic2'),
    ('gicv2-irqchip', 'a GICv2: ' + REFUSAL, 'gic2'),
    ('sve-unfinished', 'a vCPU with SVE and without KVM_ARM_VCPU_FINALIZE: ', 'max'),
    ('nested', 'nested virtualisation: ' + REFUSAL, 'max'),
]

# The same, where only the child of the VM's process is dumped.
CHILD_ROWS = [
    ('inherited-fds', OWNER),
    ('inherited-map', '/dev/kvm or a vCPU mapping without a VM: ' + REFUSAL),
    ('inherited-vcpu', 'a VM whose own fd ' + CLOSED),
]

# Known to the plugin, and on no host that the testbed has.
UNREACHABLE = {
    'guest-memfd': "Linux 6.12 has no guest_memfd on arm64",
    'protected-vm': 'no protected VMs on arm64 in Linux 6.12: upstream KVM cannot make one',
    'x86_64-vm': 'needs an x86_64 host with /dev/kvm: the plugin is built for arm64 here',
    'unknown-flags': 'needs a kernel with a KVM_ARCH_FLAG or vCPU feature that the plugin does not know',
}


def check_error(result, fragment):
    """Exactly one error line, which names the thing; only the step it was met in and the outcome may follow it."""
    result.require(result.status != 0, 'the dump succeeded')
    first = [x for x in result.errors if 'not dumped' not in x and not re.search(r': step \d+ of \d+, ', x)]
    result.require(first, 'no error of the plugin in the log')
    result.require(fragment in first[0], f'the error does not say "{fragment}"')
    result.require(len(first) == 1, f'{len(first)} error lines, one expected')
    advice = first[0].split(REFUSAL)
    result.require(len(advice) < 2 or len(advice[1]) > 5, 'the error does not say what to do')


def refused(what, fragment, action='dump', wrap=(), of_child=False):
    vm = OddVm(what)
    try:
        images = os.path.join(vm.dir, 'images')
        os.mkdir(images)
        unharmed = Unharmed(vm)
        pid = tree(vm.pid)[1] if of_child else vm.pid
        check_error(criu(action, images, '-t', str(pid), wrap=wrap), fragment)
        unharmed.check(images)
        finish(vm)
    finally:
        discard(vm)


def refused_exception(what, fragment):
    if not platform.release().startswith('6.12.'):
        raise Skip('Linux 7.x delivers an injected exception at once: nothing stays pending')
    refused(what, fragment)


def refused_orphan(what, fragment):
    if not platform.release().startswith('6.12.'):
        raise Skip('Linux 7.x saves such an interrupt as none: kvm_its_tables carries one')
    refused(what, fragment)


def no_btf():
    with hidden('/sys/kernel/btf'):
        refused('none', '/sys/kernel/btf/vmlinux: No such file or directory: a kernel with CONFIG_DEBUG_INFO_BTF')


def no_cpu_kinds():
    with cpu_kinds():
        refused('pmu', 'a PMU, on a host that does not tell its kinds of CPUs (bus/event_source of sysfs): ' + REFUSAL)


def many_cpu_kinds():
    with cpu_kinds('armv8_cortex_a53', 'armv8_cortex_a72'):
        refused('pmu', 'a PMU, on a host with CPUs of several kinds: ' + REFUSAL)


def unknown_kernel():
    """uname() then says 2.6.something."""
    refused('none', 'its KVM structures are not known to this plugin', wrap=['setarch', '--uname-2.6'])


def pre_dump():
    refused('none', 'pre-dump of a VMM is not possible: dump it', action='pre-dump')


def unreachable(reason):
    raise Skip(reason)


RUNS = {'exception': refused_exception, 'its-orphan': refused_orphan}   # the others: refused


def cases():
    """(name, boot, function, arguments)"""
    for what, fragment, *boot in ROWS:
        run = RUNS.get(what, refused)
        yield 'refused-' + what, boot[0] if boot else 'main', run, (what, fragment)
    for what, fragment in CHILD_ROWS:
        yield f'refused-{what}-of-child', 'main', refused, (what, fragment, 'dump', (), True)
    yield 'refused-no-btf', 'main', no_btf, ()
    yield 'refused-no-cpu-kinds', 'main', no_cpu_kinds, ()
    yield 'refused-many-cpu-kinds', 'main', many_cpu_kinds, ()
    yield 'refused-unknown-kernel', 'main', unknown_kernel, ()
    yield 'refused-pre-dump', 'main', pre_dump, ()
    for name, reason in UNREACHABLE.items():
        yield 'refused-' + name, 'main', unreachable, (reason,)
