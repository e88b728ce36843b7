# SPDX-License-Identifier: GPL-2.0-only
"""The test can fail: kvm_vgic_v3, and those with an ITS, with one step or register left out of each restore.

KVM_VGIC_SKIP (plugin/fault.h) names what the plugin leaves out. A row is good when the VM finds
something after a restore; the control, with nothing left out, must pass as many cycles as any row may take.
"""

import concurrent.futures
import os
import random
import re
import shutil
import time

from common import SmallVm, criu, criu_ok
from zdtmvm import Criu, Failure, Vm, wait_gone

NAME = 'kvm_vgic_v3'
CHECKED_LOOPS = 40      # of each vCPU's: the guest reads the GIC back every 32

# With --short these alone.
SHORT = ['LEVEL_INFO', 'GICD_ISPENDR', 'GICR_ISPENDR0', 'GICD_ISACTIVER', 'GICR_ISACTIVER0', 'GICD_ISENABLER',
         'GICR_ISENABLER0', 'GICD_IROUTER', 'ICC_AP1R0_EL1', 'CNTV_CTL_EL0', 'CNTV_CVAL_EL0', 'timer interrupts',
         'guest counters', 'pending exits', 'kvm_run bytes']
# Not here: GICR_CTLR and ICC_SRE_EL1 (without an ITS KVM has one value for each), GICR_ICFGR1 (read-only in
# KVM), ICC_AP0R0_EL1 (the guest takes no group 0 interrupt), ICC_IGRPEN0_EL1 (a guest that enables group 0
# goes no further on Linux 7.2 in QEMU 7.2: the vCPU stays at that instruction), vCPU events (it has no SError).
ROWS = SHORT + ['GICD_CTLR', 'GICD_IGROUPR', 'GICD_ICFGR', 'GICD_IPRIORITYR', 'GICR_PROPBASER', 'GICR_PENDBASER',
                'GICR_ICENABLER0', 'GICR_IGROUPR0', 'GICR_IPRIORITYR', 'ICC_CTLR_EL1', 'ICC_IGRPEN1_EL1',
                'ICC_PMR_EL1', 'ICC_BPR0_EL1', 'ICC_BPR1_EL1', 'power states']

# What only a VM with an ITS has: the test that must find it, and where it is left out.
ITS_ROWS = {
    'GITS_CREADR': ('kvm_its_queue', 'restore'), 'GITS_CWRITER': ('kvm_its_queue', 'restore'),
    'GITS_CBASER': ('kvm_its_queue', 'restore'), 'GITS_BASER': ('kvm_its_tables', 'restore'),
    'LPIs enabled': ('kvm_its_tables', 'restore'), 'late: LPIs enabled': ('kvm_its_tables', 'restore'),
    'ITS tables': ('kvm_its_tables', 'restore'), 'ITS control': ('kvm_its_tables', 'restore'),
    'ITS tables saved': ('kvm_its_tables', 'dump'), 'LPI pending tables saved': ('kvm_its_tables', 'dump'),
}
ITS_SHORT = ['GITS_CREADR', 'late: LPIs enabled', 'ITS tables', 'LPI pending tables saved']


class Unusable(Exception):
    """Neither found nor not found: the row says nothing about the test."""


def wait_checked(vm):
    """Everything has happened again on every vCPU and been checked; Failure when the VM found something."""
    old = vm.wait_moved(vm.stats(), 120)
    end = time.monotonic() + 120
    while True:
        now = vm.stats()
        now.check()
        if all(n['loops'] >= o['loops'] + CHECKED_LOOPS for n, o in zip(now.cpus, old.cpus)):
            return
        if time.monotonic() > end:
            raise Failure('the vCPUs do not go on')
        time.sleep(0.02)


def check_left_out(criu, what):
    with open(os.path.join(criu.images, 'restore.log'), errors='replace') as f:
        if f'left out: {what}\n' not in f.read():
            raise Unusable(f'the plugin knows no {what}')


def dump_and_restore(criu, what):
    try:
        criu.dump()
        criu.restore(env={'KVM_VGIC_SKIP': what} if what else None)
    except Failure as e:
        raise Unusable(str(e)) from e
    if what:
        check_left_out(criu, what)
    criu.forget_images()


def run_cycles(vm, what, cycles, rng):
    """(how many, what the VM said or None)"""
    criu = Criu(vm)
    for n in range(1, cycles + 1):
        time.sleep(rng.uniform(0.02, 0.3))
        dump_and_restore(criu, what)
        try:
            wait_checked(vm)
        except Failure as e:
            return n, re.sub('^the VM found: ', '', str(e))
    return cycles, None


def end(vm):
    vm.ask_to_stop()
    last = vm.verdict().strip().splitlines()[-1]
    return None if last.endswith('PASS') else last


def run_row(what, args):
    """@what: None for the control."""
    row = {'left_out': what or 'nothing (control)', 'test': NAME, 'cycles': 0, 'said': None, 'good': False}
    vm = None
    try:
        vm = Vm(NAME, ['--vcpus=2', '--limit=3' if what else '--limit=20'])
        vm.wait_moved(vm.stats())
        row['cycles'], row['said'] = run_cycles(vm, what, args.cycles, random.Random(f'{args.seed} {what}'))
        if not what:
            row['said'] = row['said'] or end(vm)
        row['good'] = bool(row['said']) == bool(what)
    except (Failure, Unusable, OSError) as e:
        row['said'] = f'UNUSABLE: {e}'
    finally:
        if vm:
            vm.kill()
            shutil.rmtree(vm.dir, ignore_errors=True)
    if row['said'] is None:
        row['said'] = 'NOT FOUND' if what else 'PASS'
    return row


def its_env(what):
    late = what.startswith('late: ')
    return {'KVM_VGIC_LATE': what[6:]} if late else {'KVM_VGIC_SKIP': what}


def left_out_once(vm, what, action):
    """What the VM says of it at its end."""
    images = os.path.join(vm.dir, 'images')
    os.mkdir(images)
    vm.wait_moved(vm.stats())
    env = its_env(what)
    dump = criu_ok('dump', images, '-t', str(vm.pid), env=env if action == 'dump' else None)
    wait_gone(vm.pid)
    restore = criu('restore', images, '-d', env=env if action == 'restore' else None)
    said = (dump if action == 'dump' else restore).log
    if not re.search(f'(left out|late): {re.escape(what.removeprefix("late: "))}\n', said):
        raise Unusable(f'the plugin knows no {what}')
    if restore.status:
        return 'the restore fails: ' + restore.errors[0]
    verdict = end(vm)
    return verdict and re.sub(r'^.*FAIL: \S+ |\(errno = .*', '', verdict).strip()


def run_its_row(what):
    name, action = ITS_ROWS[what]
    row = {'left_out': what, 'test': name, 'cycles': 1, 'said': None, 'good': False}
    vm = None
    try:
        vm = SmallVm(name, [])
        row['said'] = left_out_once(vm, what, action)
        row['good'] = bool(row['said'])
    except (Failure, Unusable, OSError) as e:
        row['said'] = f'UNUSABLE: {e}'
    finally:
        if vm:
            vm.kill()
            shutil.rmtree(vm.dir, ignore_errors=True)
    row['said'] = row['said'] or 'NOT FOUND'
    return row


def show(row, done, total):
    print(f'  {done} of {total}: {row["left_out"]}: {row["said"]} ({row["cycles"]} cycles)', flush=True)


def print_table(rows):
    width = max(len(row['left_out']) for row in rows)
    print(f'{"":6} {"left out":{width}} | {"test":14} | cycles | what it said')
    for row in rows:
        print(f'{"ok" if row["good"] else "NOT OK":6} {row["left_out"]:{width}} | {row["test"]:14} | {row["cycles"]:6} | '
              f'{row["said"]}')


def run_all(args):
    """The rows, in order. Two VMs at a time: while one waits the other is dumped."""
    names = [None] + (args.only or (SHORT + ITS_SHORT if args.short else ROWS + list(ITS_ROWS)))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(run_its_row, what) if what in ITS_ROWS else pool.submit(run_row, what, args)
                   for what in names]
        for n, future in enumerate(concurrent.futures.as_completed(waiting), 1):
            show(future.result(), n, len(names))
        rows = [future.result() for future in waiting]
    print_table(rows)
    good = sum(row['good'] for row in rows)
    print(f'left-out: {good} of {len(rows)} rows are good, {args.cycles} cycles at most')
    return rows
