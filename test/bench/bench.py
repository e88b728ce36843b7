#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Measures what the plugin takes of a VM's time. Runs in the emulated host; test/bench/run starts it."""

import argparse
import ctypes
import json
import os
import sys
import traceback

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path += [HERE, '/usr/lib/kvm-vgic/zdtm', '/usr/lib/kvm-vgic/vmms']

import smallvm  # noqa: E402
from figures import Trouble  # noqa: E402

PR_SET_CHILD_SUBREAPER = 36
CLOCKS = {
    'instructions': 'Times are in instructions of all CPUs, 2 ns each.',
    'cpus': 'Times are in instructions, 2 ns each, of CPUs that execute at once.',
    'wall': 'Times are by the clock of the machine that emulates this one.',
}


def measure_small(args):
    measured = smallvm.measure_all([x for x in args.only if x in smallvm.AXES], args.rounds)
    smallvm.print_all(measured)
    point = measured[0].figures()
    keys = ('dump_ratio', 'restore_ratio', 'round_trips_dump', 'round_trips_restore', 'image_bytes')
    return {**{key: point[key] for key in keys}, 'sizes': [m.figures() for m in measured]}


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=int, default=10)
    parser.add_argument('--only', nargs='+', required=True, choices=['point', *smallvm.AXES, 'qemu'])
    parser.add_argument('--clock', choices=CLOCKS, required=True, help='what the host counts time by: told with the figures')
    parser.add_argument('--json')
    return parser.parse_args()


def run(args):
    print(CLOCKS[args.clock], flush=True)
    found = {'rounds': args.rounds, 'kernel': os.uname().release}
    if set(args.only) - {'qemu'}:
        found |= measure_small(args) | {'clock': args.clock}
    if 'qemu' in args.only:
        import qemubench    # of the packages of a real VMM, which the small one does without
        found |= qemubench.measure(args.rounds) | {'qemu_clock': args.clock}
    return found


def main():
    args = parse()
    # What outlives its parent, as a restored VM does, becomes our child.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        found = run(args)
    except Trouble as e:
        print(f'bench: {e}', flush=True)
        return 1
    except Exception:   # of the benchmark's own
        traceback.print_exc()
        return 1
    if args.json:
        with open(args.json, 'w') as f:
            json.dump(found, f, indent=1)
            f.write('\n')
    return 0


sys.exit(main())
