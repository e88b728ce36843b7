# SPDX-License-Identifier: GPL-2.0-only
"""What a VM that has found something is doing, for people: where its threads are, what KVM's debugfs says of it."""

import collections
import glob
import os
import time

KVM_DEBUG = '/sys/kernel/debug/kvm'
COUNTERS = ['exits', 'wfi_exit_stat', 'mmio_exit_user', 'mmio_exit_kernel', 'signal_exits', 'halt_wakeup']


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


def print_counters(vm):
    """Twice, a second apart: a VM that stands shows by it."""
    before = {name: word(f'{vm}/{name}') for name in COUNTERS}
    time.sleep(1)
    print('  ' + ', '.join(f'{name} {was} to {word(f"{vm}/{name}")}' for name, was in before.items()))


def print_gic(vm):
    """Interrupts that are pending, whose line is up or that are active, as the column PLAEHCG begins; LPIs by number."""
    lpis = collections.Counter()
    for line in word(vm + '/vgic-state').splitlines():
        kind, *columns = line.split() or ['']
        if kind not in ('SGI', 'PPI', 'SPI', 'LPI'):
            print('  ' + line)
        elif '1' in columns[2][:3] and kind == 'LPI':
            lpis[int(columns[1]), int(columns[-2])] += 1
        elif '1' in columns[2][:3]:
            print('  ' + line)
    for (vcpu, priority), count in sorted(lpis.items()):
        print(f'  vCPU {vcpu}, priority {priority}: {count} LPIs pending')


def print_evidence(pid):
    print('--- its threads')
    print_threads(pid)
    for vm in glob.glob(f'{KVM_DEBUG}/{pid}-*'):
        print(f'--- {vm}')
        print_counters(vm)
        print_gic(vm)
