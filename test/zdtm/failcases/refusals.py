# SPDX-License-Identifier: GPL-2.0-only
"""What cannot be dumped is refused by name, before anything in the process has been changed."""

import platform
import re
import subprocess

from common import Skip, cpu_kinds, criu, finish, hidden, odd_vm, tree

REFUSAL = 'not supported by this version: '
CLOSED = 'was closed: ' + REFUSAL
ENABLE = REFUSAL + 'have the VMM not enable it'
ODD_MAP = 'a private, executable, unreadable or overlong mapping of a vCPU: ' + REFUSAL
OWNER = 'the VM belongs to another process, which handed its fd over: ' + REFUSAL
FOREIGN_MAP = "a mapping of a vCPU of another process's VM: " + REFUSAL

# The oddity, as kvm_vgic_refused knows it; what the one error line must say; the boot that can have it.
ROWS = [
    ('its-closed', 'a device beside the GIC, with its fd closed: ' + REFUSAL),
    ('its-orphan', 'an ITS with interrupts of a collection that the guest has unmapped: ' + REFUSAL[:-2] +
     ' on this kernel'),
    ('userfaultfd', 'a userfaultfd: KVM would wait for its handler, which stands still: ' + REFUSAL),
    ('userfaultfd-elsewhere', 'memory of a userfaultfd that another process holds: ' + REFUSAL),
    ('userfaultfd-of-kvm-run', 'memory of a userfaultfd that another process holds: ' + REFUSAL),
    ('userfaultfd-of-child', 'a userfaultfd: KVM would wait for its handler, which stands still: ' + REFUSAL),
    ('vhost', '/dev/vhost-vsock: a device that reaches guest memory by itself: ' + REFUSAL),
    ('vhost-of-child', '/dev/vhost-vsock: a device that reaches guest memory by itself: ' + REFUSAL),
    ('many-itses', 'more than 32 ITSes: ' + REFUSAL),
    ('vfio', 'an assigned device: ' + REFUSAL),
    ('irqfd-stranger', ' has its eventfd too (fd '),
    ('ioeventfd-elsewhere', 'ioeventfd, address 0x9000100: its eventfd is bound by others too (another VM, vhost, VFIO, '
     'AIO): ' + REFUSAL),
    ('resamplefd-closed', 'resamplefd of an irqfd, GSI 0xa: no process has its eventfd: ' + REFUSAL),
    ('irqfd-in-socket', 'irqfd, GSI 0xa: its eventfd is on its way through a socket, or in use by the kernel (vhost, '
     'io_uring), or by a process that criu cannot see: ' + REFUSAL),
    ('irqfd-semaphore', 'irqfd, GSI 0xa: its eventfd is a semaphore, which CRIU does not restore as one: ' + REFUSAL),
    ('second-vm', 'a VM without in-kernel interrupt controller: ' + REFUSAL),
    ('gic-closed', 'a GICv3 whose device fd ' + CLOSED),
    ('vcpu-closed', 'a vCPU whose fd ' + CLOSED),
    ('vcpu-closed-mapped', 'a vCPU whose fd ' + CLOSED),
    ('dirty-ring', 'a dirty ring: ' + REFUSAL),
    ('smccc-filter-long', 'an SMCCC filter of more than 1024 ranges: ' + REFUSAL),
    ('same-mpidr', "mpidr 0x0 is vCPU 0's too"),
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
    ('inherited-fds', FOREIGN_MAP),
    ('inherited-map', FOREIGN_MAP),
    ('vm-handed-over', 'a VM whose fd another process has, and its own has not: ' + REFUSAL),
    ('in-flight-from-child', ' (anon_inode:kvm-vm): on its way through a socket too, or in use by the kernel '),
    ('fd-too-high', ': CRIU restores none above '),
    ('few-fds', ', of the 4 that CRIU needs in it: ' + REFUSAL),
    ('gicv2-closed', 'a GICv2 whose device fd ' + CLOSED, 'gic2'),
    ('gicv2-uninit', 'a GICv2 that was not initialised: ' + REFUSAL, 'gic2'),
    ('gicv2-irqchip', 'a GICv2 made by KVM_CREATE_IRQCHIP, which has no fd to read it by: ' + REFUSAL, 'gic2'),
    ('gicv2-sgi', '(vCPU id 0): an active SGI 3 of a GICv2 that another vCPU than 0 has sent: ' + REFUSAL, 'gic2'),
    ('sve-unfinished', 'a vCPU with SVE and without KVM_ARM_VCPU_FINALIZE: ', 'max'),
    ('nested', 'nested virtualisation: ' + REFUSAL, 'max'),
    ('mte', 'KVM_CAP_ARM_MTE: ' + ENABLE, 'max'),
    ('guest-memfd', 'guest_memfd memory: ' + REFUSAL, 'max'),
    ('guest-memfd-slot', 'a memslot with guest_memfd memory: ' + REFUSAL, 'max'),
]

# The same, where only the child of the VM's process is dumped.
CHILD_ROWS = [
    ('inherited-fds', OWNER),
    ('inherited-map', OWNER),
    ('inherited-vcpu', OWNER),
]


def check_error(result, fragment):
    """Exactly one error line, which names the thing; only the step it was met in and the outcome may follow it."""
    result.require(result.status != 0, 'the dump succeeded')
    first = [x for x in result.errors if ': not dumped, and left as it was' not in x and not re.search(r': step \d+ of \d+, ', x)]
    result.require(first, 'no error of the plugin in the log')
    result.require(fragment in first[0], f'the error does not say "{fragment}"')
    result.require(len(first) == 1, f'{len(first)} error lines, one expected')
    advice = first[0].split(REFUSAL)
    result.require(len(advice) < 2 or len(advice[1]) > 5, 'the error does not say what to do')


def refused(what, fragment, action='dump', wrap=(), of_child=False):
    with odd_vm(what) as (vm, images, unharmed):
        pid = tree(vm.pid)[1] if of_child else vm.pid
        check_error(criu(action, images, '-t', str(pid), wrap=wrap), fragment)
        unharmed.check(images)
        finish(vm)


def refused_exception(what, fragment):
    if not platform.release().startswith('6.12.'):
        raise Skip('Linux 7.x delivers an injected exception at once: run it with --kernel 6.12')
    refused(what, fragment)


def refused_orphan(what, fragment):
    if not platform.release().startswith('6.12.'):
        raise Skip('Linux 7.x saves such an interrupt as none, as kvm_its_tables shows: run it with --kernel 6.12')
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


def refused_vhost(what, fragment):
    if subprocess.run(['modprobe', 'vhost_vsock'], check=False).returncode:
        raise Skip('this kernel has no vhost_vsock')
    refused(what, fragment)


RUNS = {'exception': refused_exception, 'its-orphan': refused_orphan, 'vhost': refused_vhost,
        'vhost-of-child': refused_vhost}    # the others: refused


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
