#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Takes QEMU with a working Linux guest through dumps and restores. Runs in the emulated host; test/vmms/qemu starts it."""

import argparse
import os
import random
import shutil
import sys
import time
import traceback

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.append(os.path.join(HERE, '..', 'zdtm'))

import qemu_carry  # noqa: E402
import qemu_options  # noqa: E402
import qemu_self_check  # noqa: E402
from guestlog import KINDS  # noqa: E402
from qemuvm import new_vm, prepare_host  # noqa: E402
from zdtmvm import Failure  # noqa: E402


def print_row(name, times, size, right):
    print(f'{name:>8} {times[0]:>7} {times[1]:>9} {size:>9} | ' + ' '.join(f'{right[k]:>7}' for k in KINDS), flush=True)


def row_of_report(name, report, times=('', ''), size=''):
    print_row(name, times, size, report.right)


def print_head():
    print_row('cycle', ('dump s', 'restore s'), 'images MB', {k: k for k in KINDS})


def cycle(vm, n, rng):
    time.sleep(rng.uniform(0, 2))
    vm.log.check()
    vm.wait_alone()
    dump = vm.dump()
    size = vm.image_size()
    restore = vm.restore()
    row_of_report(n, vm.check_works(), (f'{dump:.1f}', f'{restore:.1f}'), f'{size / 1e6:.1f}')


def work(vm, args):
    """Cycles, or the same work without."""
    rng = random.Random(args.seed)
    if args.norst:
        end = time.monotonic() + args.seconds
        while time.monotonic() < end:
            row_of_report('-', vm.check_works())
    else:
        for n in range(1, args.cycles + 1):
            cycle(vm, n, rng)
        vm.log.wait_settled()


def run(args):
    vm = new_vm(args.vcpus, args.memory)
    print(f'seed {args.seed}', flush=True)
    try:
        start = time.monotonic()
        vm.start().log.wait_started(args.vcpus)
        print(f'the guest works after {time.monotonic() - start:.0f} s', flush=True)
        print_head()
        work(vm, args)
        last = vm.power_down()
    except Failure:
        vm.keep_logs()
        raise
    finally:
        vm.kill()
    row_of_report('end', last)
    shutil.rmtree(vm.dir)
    return True


MODES = {'cycles': run, 'options': qemu_options.run, 'self-check': qemu_self_check.run,
         'leave': qemu_carry.leave, 'arrive': qemu_carry.arrive}


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('mode', choices=MODES)
    parser.add_argument('--vcpus', type=int, default=2)
    parser.add_argument('--memory', choices=['anon', 'memfd'], default='anon')
    parser.add_argument('--cycles', type=int, default=5)
    parser.add_argument('--seconds', type=int, default=60)
    parser.add_argument('--norst', action='store_true')
    parser.add_argument('--only', nargs='+', default=[])
    parser.add_argument('--seed', type=int, default=random.SystemRandom().getrandbits(32))
    return parser.parse_args()


def main():
    args = parse()
    prepare_host()
    try:
        good = MODES[args.mode](args)
    except Failure as e:
        print(f'FAILED: {e}')
        good = False
    except Exception:   # of the test's own
        traceback.print_exc()
        good = False
    print(f'qemu: {"PASS" if good else "FAIL"}', flush=True)
    return 0 if good else 1


sys.exit(main())
