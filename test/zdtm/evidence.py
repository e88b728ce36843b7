# SPDX-License-Identifier: GPL-2.0-only
"""What a VM that has found something is doing, for people: where its threads are, what KVM's debugfs says of it."""

import glob
import os
import time

KVM_DEBUG = '/sys/kernel/debug/kvm'
COUNTERS = ['exits', 'halt_wakeup', 'wfi_exit_stat', 'mmio_exit_user', 'signal_exits']


def word(path):
    try:
        with open(path) as f:
            return f.read().strip()
    except OSError as e:
        return f'({e.strerror})'


def print_threads(pid):
    for task in sorted(glob.glob(f'/proc/{pid}/task/*')):
        state = word(task + '/stat').rpartition(')')[2].split()
        print(f'  thread {os.path.basename(task)}: {state[0] if state else "?"}, run for {"+".join(state[11:13])} ticks, '
              f'syscall {word(task + "/syscall")}')
        print('    ' + word(task + '/stack').replace('\n', '\n    '))


def counters(vm):
    """{vcpu: {counter: value}}"""
    return {os.path.basename(vcpu): {name: word(f'{vcpu}/{name}') for name in COUNTERS}
            for vcpu in sorted(glob.glob(vm + '/vcpu*'))}


def print_counters(vm):
    """Twice, a second apart: a vCPU that stands shows by it."""
    before = counters(vm)
    time.sleep(1)
    after = counters(vm)
    for vcpu, values in before.items():
        print(f'  {vcpu}: ' + ', '.join(f'{name} {was} to {after.get(vcpu, {}).get(name)}' for name, was in values.items()))


def print_gic(vm):
    """Interrupts that are pending, whose line is up or that are active, which is how the column PLAEHCGV begins; and headings."""
    for line in word(vm + '/vgic-state').splitlines():
        columns = line.split()
        if columns and columns[0] in ('SGI', 'PPI', 'SPI', 'LPI') and '1' not in columns[3][:3]:
            continue
        print('  ' + line)


def print_evidence(pid):
    print('--- its threads')
    print_threads(pid)
    for vm in glob.glob(f'{KVM_DEBUG}/{pid}-*'):
        print(f'--- {vm}')
        print_counters(vm)
        print_gic(vm)
