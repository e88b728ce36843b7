# SPDX-License-Identifier: GPL-2.0-only
"""The tests can fail: each with one step or register left out of each restore, or of each dump.

KVM_VGIC_SKIP (plugin/fault.h) names what the plugin leaves out, KVM_VGIC_LATE what it does too late. A row is good when
the VM finds something after a restore; the controls, with nothing left out, must pass as many cycles as any row may take.
"""

import collections
import concurrent.futures
import os
import random
import re
import shutil
import time

from common import SmallVm, criu as run_criu, criu_ok, has_gicv2
from evidence import print_evidence
from zdtmvm import Criu, Failure, Vm, wait_gone

SHORT_ROWS = 8          # beside the controls
NAME = 'kvm_vgic_v3'
LPI = 'kvm_its_lpi'
V2 = 'kvm_vgic_v2'      # on a host with a GICv2, alone
CHECKED_LOOPS = 40      # of each vCPU's: the guest reads the GIC back every 32

# The project's promise. With --short it is some of these alone.
PROMISED = ['LEVEL_INFO', 'GICD_ISPENDR', 'GICR_ISPENDR0', 'GICD_ISACTIVER', 'GICR_ISACTIVER0', 'GICD_ISENABLER',
            'GICR_ISENABLER0', 'GICD_IROUTER', 'ICC_AP1R0_EL1', 'CNTV_CTL_EL0', 'CNTV_CVAL_EL0', 'timer interrupts',
            'guest counters', 'pending exits', 'kvm_run bytes']
# Not here: ICC_SRE_EL1 (KVM has one value for it), GITS_IIDR (there is one revision), GICR_ICFGR1 (read-only in
# KVM), ICC_AP0R0_EL1 (the guest takes no group 0 interrupt), ICC_IGRPEN0_EL1 (a guest that enables group 0
# goes no further on Linux 7.2 in QEMU 7.2: the vCPU stays at that instruction), vCPU events (it has no SError).
ROWS = PROMISED + ['GICD_CTLR', 'GICD_IGROUPR', 'GICD_ICFGR', 'GICD_IPRIORITYR', 'GICR_PROPBASER', 'GICR_PENDBASER',
                   'GICR_ICENABLER0', 'GICR_IGROUPR0', 'GICR_IPRIORITYR', 'ICC_CTLR_EL1', 'ICC_IGRPEN1_EL1',
                   'ICC_PMR_EL1', 'ICC_BPR0_EL1', 'ICC_BPR1_EL1', 'power states']


# What kvm_its_lpi alone finds, by the command that is to leave it out.
LPI_DUMP = ['ITS tables saved', 'LPI pending tables saved']
LPI_RESTORE = ['ITS tables', 'GITS_CREADR', 'LPIs enabled']
# Not here: ITS registers, GICR_PROPBASER, GICR_PENDBASER: KVM then refuses the restore.
LPI_MORE = ['ITS control', 'GITS_CBASER', 'GITS_BASER', 'GITS_CWRITER']
LPI_LATE = ['LPIs enabled']
# Of what may not be there at a dump: a cycle without says nothing.
BY_CHANCE = ['one pending bit', 'one replay']
# Small VMs look once, and find it at once or never. The guest of kvm_vgic_v3 has no physical timer.
SMALL = {'kvm_timer': ['CNTP_CTL_EL0', 'CNTP_CVAL_EL0'],
         'kvm_its_queue': ['GITS_CREADR', 'GITS_CWRITER', 'GITS_CBASER'],
         'kvm_its_tables': ['GITS_BASER', 'LPIs enabled', 'ITS tables', 'ITS control']}

# Not here: GICD_IIDR, which is in no table, and the step of the addresses: the guest finds no GIC then.
V2_ROWS = ['GICD_CTLR', 'GICD_IGROUPR', 'GICD_ITARGETSR', 'GICD_ICFGR', 'GICD_ISENABLER', 'GICD_ISPENDR', 'GICD_ISACTIVER',
           'GICD_IPRIORITYR', 'GICD_ICENABLER0', 'GICD_IGROUPR0', 'GICD_ISENABLER0', 'GICD_ISPENDR0', 'GICD_SPENDSGIR',
           'GICD_ISACTIVER0', 'GICD_IPRIORITYR0', 'GICC_CTLR', 'GICC_PMR', 'GICC_BPR', 'GICC_ABPR', 'GICC_APR',
           'GICv2 line levels', 'timer interrupts']

Row = collections.namedtuple('Row', 'test action variable what')


def rows_of(short):
    """Controls first: of them nothing is left out."""
    skip = 'KVM_VGIC_SKIP'
    if has_gicv2():
        return [Row(V2, 'restore', skip if what else None, what) for what in [None] + V2_ROWS]
    rows = [Row(test, None, None, None) for test in (NAME, LPI)]
    rows += [Row(NAME, 'restore', skip, what) for what in (PROMISED if short else ROWS)]
    rows += [Row(LPI, 'dump', skip, what) for what in LPI_DUMP]
    rows += [Row(LPI, 'restore', skip, what) for what in LPI_RESTORE + ([] if short else LPI_MORE)]
    rows += [Row(LPI, 'restore', 'KVM_VGIC_LATE', what) for what in LPI_LATE]
    if short:
        return rows + [Row('kvm_its_queue', 'restore', skip, 'GITS_CWRITER')]
    rows += [Row(test, 'restore', skip, what) for test, steps in SMALL.items() for what in steps]
    rows += [Row('kvm_its_tables', 'dump', skip, what) for what in LPI_DUMP]
    return rows + [Row('kvm_its_tables', 'restore', 'KVM_VGIC_LATE', what) for what in LPI_LATE]


def name_of(row):
    return f'{row.what}, in its place' if row.variable == 'KVM_VGIC_LATE' else row.what or 'nothing (control)'


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


def check_left_out(log, row):
    """Whether it was."""
    if re.search(f'(left out|late): {re.escape(row.what)}\n', log):
        return True
    if row.what not in BY_CHANCE:
        raise Unusable(f'the plugin knows no {row.what}')
    return False


def env_of(row, action):
    return {row.variable: row.what} if row.action == action else None


def dump_and_restore(criu, row):
    """Whether something was left out."""
    left_out = False
    try:
        criu.dump(env=env_of(row, 'dump'))
        criu.restore(env=env_of(row, 'restore'))
    except Failure as e:
        raise Unusable(str(e)) from e
    if row.what:
        with open(os.path.join(criu.images, row.action + '.log'), errors='replace') as f:
            left_out = check_left_out(f.read(), row)
    criu.forget_images()
    return left_out


def run_cycles(vm, what, cycles, rng):
    """(how many, what the VM said or None)"""
    criu, left_out = Criu(vm), False
    for n in range(1, cycles + 1):
        time.sleep(rng.uniform(0.02, 0.3))
        left_out = dump_and_restore(criu, what) or left_out
        try:
            wait_checked(vm)
        except Failure as e:
            if what.what and not left_out:
                raise Unusable(f'nothing was left out, and {e}') from e
            return n, re.sub('^the VM found: ', '', str(e))
    if what.what and not left_out:
        raise Unusable(f'of {cycles} cycles none had {what.what}')
    return cycles, None


def end(vm):
    vm.ask_to_stop()
    last = vm.verdict().strip().splitlines()[-1]
    return None if last.endswith('PASS') else last


def run_small(vm, spec):
    """What it says of itself at its end."""
    images = os.path.join(vm.dir, 'images')
    os.mkdir(images)
    vm.wait_moved(vm.stats())
    dump = criu_ok('dump', images, '-t', str(vm.pid), env=env_of(spec, 'dump'))
    wait_gone(vm.pid)
    restore = run_criu('restore', images, '-d', env=env_of(spec, 'restore'))
    check_left_out((dump if spec.action == 'dump' else restore).log, spec)
    if restore.status:
        return 'the restore fails: ' + restore.errors[0]
    verdict = end(vm)
    return verdict and re.sub(r'^.*FAIL: \S+ |\(errno = .*', '', verdict).strip()


def run_small_row(spec, args):
    row = {'left_out': name_of(spec), 'test': spec.test, 'cycles': 1, 'said': None, 'good': False}
    vm = None
    try:
        vm = SmallVm(spec.test, [])
        row['said'] = run_small(vm, spec) or 'NOT FOUND'
        row['good'] = row['said'] != 'NOT FOUND'
    except (Failure, Unusable, OSError) as e:
        row['said'] = f'UNUSABLE: {e}'
    finally:
        if vm:
            vm.kill()
            shutil.rmtree(vm.dir, ignore_errors=True)
    return row


def run_row(spec, args):
    what = spec.what
    row = {'left_out': name_of(spec), 'test': spec.test, 'cycles': 0, 'said': None, 'good': False}
    vm = None
    try:
        vm = Vm(spec.test, ['--vcpus=2', '--limit=3' if what else '--limit=20'])
        vm.wait_moved(vm.stats())
        row['cycles'], row['said'] = run_cycles(vm, spec, args.cycles, random.Random(f'{args.seed} {spec}'))
        if not what:
            row['said'] = row['said'] or end(vm)
        row['good'] = bool(row['said']) == bool(what)
        if not what and not row['good']:
            print_evidence(vm.pid)
    except (Failure, Unusable, OSError) as e:
        row['said'] = f'UNUSABLE: {e}'
    finally:
        if vm:
            vm.kill()
            shutil.rmtree(vm.dir, ignore_errors=True)
    if row['said'] is None:
        row['said'] = 'NOT FOUND' if what else 'PASS'
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
    short = args.short and not args.only
    specs = rows_of(short)
    if short:
        some = random.Random(args.seed).sample([spec for spec in specs if spec.what], SHORT_ROWS)
        specs = [spec for spec in specs if not spec.what or spec in some]
    if args.only:
        specs = [spec for spec in specs if not spec.what or spec.what in args.only or spec.test in args.only]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(run_small_row if spec.test in SMALL else run_row, spec, args) for spec in specs]
        for n, future in enumerate(concurrent.futures.as_completed(waiting), 1):
            show(future.result(), n, len(specs))
        rows = [future.result() for future in waiting]
    print_table(rows)
    good = sum(row['good'] for row in rows)
    print(f'left-out: {good} of {len(rows)} rows are good, {args.cycles} cycles at most')
    return rows
