# SPDX-License-Identifier: GPL-2.0-only
"""Refusals, dumps and restores that fail, and what they must leave alone.

Runs on the (emulated) arm64 host, one boot after the other; test/zdtm/failures starts it there.
"""

import argparse
import fnmatch
import os
import random
import re
import signal
import sys
import traceback
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

import common  # noqa: E402
import dumps  # noqa: E402
import nokvm  # noqa: E402
import refusals  # noqa: E402
import restores  # noqa: E402
import tables  # noqa: E402

GROUPS = [refusals, dumps, restores, tables, nokvm]
BOOTS = ['main', 'gic2', 'max', 'nokvm']
WANTS_IMAGES = 'no-kvm-restore-of-a-vm'
LIMIT = 240             # seconds for a case
COVERAGE = 'every-refusal-was-seen'

# Refusals of plugin/probe that no case can bring about; those of skipped cases come on top.
NOT_SEEN = {
    'a GICv5 whose device fd was closed': 'no KVM with a GICv5',
    'an ITS beside a GICv2': 'a host with a GICv2 has no ITS', 'give the VM a GICv3, or no ITS': 'likewise',
    'guest_memfd memory': 'Linux 6.12 has no guest_memfd on arm64', "use memory of the VMM's own": 'likewise',
    'a memslot with guest_memfd memory': 'likewise', '/[kvm-gmem]': 'likewise',
    'a protected VM': 'protected-vm', 'its state is closed to the host': 'protected-vm',
    'a KVM fd': 'no fd of KVM has a name that is not known', 'another GIC': 'GICv5',
    'a VM that is not an arm64 one': 'x86_64-vm', 'dump on an arm64 host': 'x86_64-vm',
    'a capability that this plugin does not know': 'unknown-flags',
    'a vCPU feature that this plugin does not know': 'unknown-flags',
    'a memslot with flags this plugin does not know': 'KVM has no others', 'tell its authors': 'unknown-flags',
    'more than 268435456 pages with dirty logs in a tree of processes': 'test_discover',
    'have the VMM end logs (KVM_MEM_LOG_DIRTY_PAGES)': 'test_discover',
    'it is in a zone of coalesced MMIO, and the order in which the two were registered is not to be seen': 'test_binding',
    'have the VMM end the one or the other': 'test_binding',
    'an interrupt that KVM has not injected yet': 'it takes some microseconds: test_binding',
    'a restore could not tell which process has its eventfd: pids of the tree are not unique': 'test_binding',
    'a mapping of a vCPU whose fd was closed': 'the missing fd is named first',
    'more than 64 VMs in a tree of processes': 'half a gigabyte of VMs', 'dump parts of it': 'the same',
    'no room between its file descriptors for those of a restore': 'a million open files',
    'use fewer of them, or lower numbers': 'the same',
    'more interrupts than can be looked at': 'a million MAPTI commands take minutes',
}


def all_cases():
    return [case for group in GROUPS for case in group.cases()]


def selected(patterns, seed=None):
    """By name; with a seed, of restores that fail and of changed images and tables a sample."""
    cases = [c for c in all_cases() if not patterns or any(fnmatch.fnmatch(c[0], p) for p in patterns)]
    if seed is None:
        return cases
    many = [c for c in cases if re.match('(restore|image|its)-', c[0]) and c[0] != WANTS_IMAGES]
    left_out = random.Random(seed).sample([c[0] for c in many], len(many) * 2 // 3)
    return [c for c in cases if c[0] not in left_out]


def too_long(*args):
    where = traceback.extract_stack()[:-1]
    raise common.Failure(f'no end after {LIMIT} s:\n' + ''.join(traceback.format_list(where)))


def run_case(case, share):
    """One line for each: ok, FAIL or skip, and the reason."""
    name, _, run, arguments = case
    start = time.monotonic()
    signal.alarm(LIMIT)
    try:
        run(*(share if x == 'share' else x for x in arguments))
        word, reason = 'ok', f'({time.monotonic() - start:.1f} s)'
    except common.Skip as e:
        word, reason = 'skip', str(e)
    except Exception as e:  # whatever it was: the other cases are still to be run
        word, reason = 'FAIL', str(e) if isinstance(e, common.Failure) else f'{type(e).__name__}: {e}'
    finally:
        signal.alarm(0)
    print(f'{word} {name}: {reason}', flush=True)
    return word != 'FAIL'


def run_boot(boot, cases, share, keep_images):
    good = True
    signal.signal(signal.SIGALRM, too_long)
    for group in GROUPS:
        for case in group.cases():
            if case[1] == boot and case in cases:
                good &= run_case(case, share)
        getattr(group, 'clean_up', lambda: None)()
    if keep_images:
        signal.alarm(LIMIT)
        restores.keep_images(share)
        signal.alarm(0)
    if share:
        with open(os.path.join(share, f'messages.{boot}'), 'w') as f:
            f.write('\n'.join(common.seen_messages))
    return good


def literals(path):
    """What a refusal can say: the words of a source, each with adjacent strings joined."""
    source = re.sub(r'/\*.*?\*/|^#include[^\n]*|^#define[^\n]*', '', common.read(path), flags=re.S | re.M)
    joined = re.sub(r'"\s*\n\s*"', '', source)
    words = re.findall(r'"((?:[^"\\]|\\.)*)"', joined)
    return {x for x in words if not re.search(r'%|/proc|/sys|anon_inode|\\n|^re$', x)}


def check_coverage(paths, share, skipped):
    """Each refusal in the sources was seen in a log, or it is known why not."""
    seen = '\n'.join(common.read(os.path.join(share, f)) for f in os.listdir(share) if f.startswith('messages.'))
    excused = [fragment for what, fragment, *_ in refusals.ROWS if 'refused-' + what in skipped]
    missing = [x for x in sorted(set().union(*map(literals, paths)))
               if x not in seen and x not in NOT_SEEN and not any(x in e for e in excused)]
    if missing:
        print(f'FAIL {COVERAGE}: no case has made the plugin say: ' + '; '.join(missing))
    else:
        print(f'ok {COVERAGE}: but for {len(NOT_SEEN)} that no host of the testbed can bring about')
    return not missing


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--list', action='store_true', help='the cases, each with the boot it needs')
    parser.add_argument('--boot', choices=BOOTS, default='main', help='run the cases of this one')
    parser.add_argument('--only', metavar='NAME', nargs='+', default=[], help='these cases, by name or pattern')
    parser.add_argument('--short', metavar='SEED', help='a sample of them')
    parser.add_argument('--share', metavar='DIR', help='where one boot leaves something for the next')
    parser.add_argument('--keep-images', action='store_true', help='leave images of a VM there')
    parser.add_argument('--coverage', metavar='FILE', nargs='+', help='whether the refusals of these were all seen')
    parser.add_argument('--skipped', metavar='NAME', nargs='*', default=[], help='with --coverage')
    return parser.parse_args()


def main():
    args = parse_args()
    if args.list:
        for name, boot, *_ in selected(args.only, args.short):
            print(boot, name)
        return 0
    if args.coverage:
        return 0 if check_coverage(args.coverage, args.share, args.skipped) else 1
    return 0 if run_boot(args.boot, selected(args.only, args.short), args.share, args.keep_images) else 1


if __name__ == '__main__':
    sys.exit(main())
