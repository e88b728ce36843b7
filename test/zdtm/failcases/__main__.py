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

import changing  # noqa: E402
import common  # noqa: E402
import cramped  # noqa: E402
import dumps  # noqa: E402
import hostile  # noqa: E402
import killed  # noqa: E402
import nokvm  # noqa: E402
import options  # noqa: E402
import refusals  # noqa: E402
import restores  # noqa: E402
import seen  # noqa: E402
import tables  # noqa: E402

GROUPS = [refusals, dumps, killed, cramped, hostile, changing, options, restores, tables, nokvm]
# Hosts, and what testbed/run needs for each beside the options of its caller.
BOOTS = {
    'main': '',
    'gic2': '--gic 2',
    # All that an emulated CPU and Linux 7.2 have: SVE, MTE, nested virtualisation, guest_memfd.
    'max': '--kernel 7.2 --criu 4.3 --cpu max,pauth-impdef=on --machine mte=on --append kvm-arm.mode=nested',
    'lockdown': '--append lockdown=integrity',
    'nokvm': '--append kvm-arm.mode=none',
}
LIMIT = 240             # seconds for a case
COVERAGE = 'every-refusal-was-seen'


def all_cases():
    return [case for group in GROUPS for case in group.cases()]


def is_one_of_many(name):
    """Restores that fail, changed images and tables, lazy pages, signals to criu: as many as there are steps and bytes."""
    return re.match('(restore|image|its|option-lazy|dump-killed-(int|term|hup|abrt))-', name)


def is_of_the_tests(name):
    """What shows that the other cases are all there, and that their instruments see: it costs seconds."""
    return re.search('^control-|-are-known$', name)


def selected(patterns, seed=None):
    """By name; with a seed a sample: an eighth of what is one of many, a third of the others; and what is of the tests themselves."""
    cases = [c for c in all_cases() if not patterns or any(fnmatch.fnmatch(c[0], p) for p in patterns)]
    if seed is None:
        return cases
    rng = random.Random(seed)
    return [c for c in cases if rng.random() < (1 / 8 if is_one_of_many(c[0]) else 1 / 3) or is_of_the_tests(c[0])]


def too_long(*args):
    where = traceback.extract_stack()[:-1]
    raise common.Failure(f'no end after {LIMIT} s:\n' + ''.join(traceback.format_list(where)))


def run_case(case, share):
    """One line for each: ok, FAIL or skip, and the reason."""
    name, boot, run, arguments = case
    start = time.monotonic()
    signal.alarm(LIMIT)
    try:
        run(*(share if x == 'share' else x for x in arguments))
        word, reason = 'ok', f'({time.monotonic() - start:.1f} s)'
    except common.Skip as e:
        word, reason = 'skip', str(e) + (f'; run it with {BOOTS[boot]}' if BOOTS[boot] else '')
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


def check_coverage(plugin, share, skipped):
    """Each refusal in the sources was seen in a log, or it is known which test shows it."""
    lines = '\n'.join(common.read(os.path.join(share, f)) for f in os.listdir(share) if f.startswith('messages.'))
    missing = seen.missing(plugin, lines)
    if not missing:
        print(f'ok {COVERAGE}: but for {len(seen.NOT_SEEN)} that unit tests show')
        return True
    said = 'no case has made the plugin say: ' + '; '.join(missing)
    if skipped:
        print(f'skip {COVERAGE}: {len(skipped)} cases are of another host: {said}')
        return True
    print(f'FAIL {COVERAGE}: {said}')
    return False


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--list', action='store_true', help='the cases, each with the boot it needs')
    parser.add_argument('--boot', choices=BOOTS, default='main', help='run the cases of this one')
    parser.add_argument('--only', metavar='NAME', nargs='+', default=[], help='these cases, by name or pattern')
    parser.add_argument('--short', metavar='SEED', help='a sample of them')
    parser.add_argument('--share', metavar='DIR', help='where one boot leaves something for the next')
    parser.add_argument('--keep-images', action='store_true', help='leave images of a VM there')
    parser.add_argument('--options', metavar='BOOT', choices=BOOTS, help="what testbed/run needs for it")
    parser.add_argument('--coverage', metavar='DIR', help='whether the refusals of the plugin in DIR were all seen')
    parser.add_argument('--skipped', metavar='NAME', nargs='*', default=[], help='with --coverage: on other hosts')
    return parser.parse_args()


def main():
    args = parse_args()
    if args.list:
        for name, boot, *_ in selected(args.only, args.short):
            print(boot, name)
        return 0
    if args.options:
        print(BOOTS[args.options])
        return 0
    if args.coverage:
        return 0 if check_coverage(args.coverage, args.share, args.skipped) else 1
    return 0 if run_boot(args.boot, selected(args.only, args.short), args.share, args.keep_images) else 1


if __name__ == '__main__':
    sys.exit(main())
