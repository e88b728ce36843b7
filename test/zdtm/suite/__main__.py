# SPDX-License-Identifier: GPL-2.0-only
"""test/zdtm/run --zdtm: our tests, and CRIU's own beside our plugin, run by CRIU's zdtm.py in the emulated host.

zdtm.py is that of Debian's source package of the same CRIU, as it is. Each test is run in the host that has what it
needs, unless options of testbed/run name one. Without --modes: in all modes.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile

import hosts
import modes
import own
import table

SHORT = {'plain': ['kvm_plain', 'kvm_irqfd', 'kvm_vgic_refused'],
         'ns': ['kvm_irqfd', 'kvm_vgic_refused'],
         'uns': ['kvm_plain', 'kvm_irqfd'],
         'norst': ['kvm_irqfd'],
         'rpc': ['kvm_irqfd'],
         'fault-5': ['kvm_irqfd'],
         'ns-fault-6': ['kvm_irqfd']}
PASSED_ON = ['kernel', 'cpu', 'gic', 'machine', 'append']
BOOT_SECONDS = 240
CELL_SECONDS = 60       # for a test in a mode; of a host that hangs there is no more to see


def parse_args():
    parser = argparse.ArgumentParser(prog='test/zdtm/run --zdtm', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--zdtm', action='store_true', help=argparse.SUPPRESS)
    parser.add_argument('tests', nargs='*', metavar='NAME')
    parser.add_argument('--modes', nargs='+', metavar='MODE', choices=list(modes.BY_NAME), help='these alone')
    parser.add_argument('--matrix', action='store_true', help='all tests, some of them in all modes')
    parser.add_argument('--full', action='store_true', help='all tests in all modes: many hours')
    parser.add_argument('--own', nargs='?', type=int, const=len(own.OWN), metavar='N',
                        help="CRIU's own tests, N of them (all that were chosen), without the plugin and with it")
    parser.add_argument('--short', action='store_true', help='a few tests in a few modes, and a few of CRIU\'s own')
    parser.add_argument('--list', action='store_true', help='the modes, the tests, and CRIU\'s own that were chosen')
    parser.add_argument('--json', metavar='FILE', help='the results, machine-readable')
    parser.add_argument('--share', metavar='DIR', help='where logs, and what CRIU has left of failures, are kept')
    parser.add_argument('--jobs', type=int, default=2, metavar='N', help='tests at a time (2)')
    parser.add_argument('--timeout', type=int, metavar='SECONDS', help='for a boot')
    parser.add_argument('--no-build', action='store_true', help='take the project as it was built last')
    parser.add_argument('--criu', choices=hosts.CRIUS, help='whose zdtm.py, too; not 4.3, whose sources Debian may not have '
                        'tomorrow')
    for name in PASSED_ON:
        parser.add_argument('--' + name, help='as of testbed/run: one host for all tests')
    args = parser.parse_args()
    unknown = [x for x in args.tests if x not in hosts.all_tests()]
    if unknown:
        parser.error(f'no test {", ".join(unknown)}; see --list')
    if not (args.tests or args.matrix or args.full or args.own is not None or args.short or args.list):
        parser.error('which test? See --help')
    return args


def print_list():
    print('modes')
    for mode in modes.MODES:
        print(f'  {mode.name:12} {mode.what}')
    print('tests')
    for host, tests in hosts.distribute(hosts.all_tests()):
        print(f'  of the host "{host.name}": {" ".join(tests)}')
    print('not run so')
    for option, why in modes.LEFT_OUT.items():
        print(f'  {option}: {why}')
    print(f"CRIU's own: {len(own.OWN)}")
    print('\n'.join('  ' + x for x in table.wrap(own.OWN)))


def wanted(args):
    """Our tests, their modes, CRIU's own tests."""
    tests = args.tests or (hosts.all_tests() if args.matrix or args.full else SHORT['plain'] if args.short else [])
    names = args.modes or (list(SHORT) if args.short else [x.name for x in modes.MODES])
    theirs = own.FEW if args.short else own.OWN[:args.own] if args.own is not None else []
    return tests, names, theirs


def shares_of(args, tests, theirs):
    """[(host, our tests, CRIU's own)]; the latter are run where most of ours are."""
    options = [x for name in PASSED_ON if getattr(args, name) for x in ('--' + name, getattr(args, name))]
    if options:
        host = hosts.Host('as asked for', options=options, criu=args.criu or hosts.DEFAULT_CRIU, chosen=False,
                          model=bool(args.kernel and args.kernel.startswith('7.2') and 'kvm_vgic_v5' in tests))
        return [(host, tests, theirs)]
    shares = [(host, some, []) for host, some in hosts.distribute(tests, args.criu)]
    if theirs:
        first = shares.pop(0) if shares and shares[0][0].name == 'default' else (hosts.default(args.criu), [], [])
        shares.insert(0, (first[0], first[1], theirs))
    return shares


def tests_in(mode, tests, args):
    """Those of @tests that are run in @mode."""
    if args.short and not args.tests and not args.modes:
        return [x for x in tests if x in SHORT[mode]]
    if args.matrix and not args.full and not args.modes and not modes.BY_NAME[mode].for_all:
        return [x for x in tests if x in modes.SAMPLE]
    return tests


def runs_of(tests, names, theirs, args):
    runs = [{'name': x, 'mode': x, 'tests': tests_in(x, tests, args), 'plugin': True, 'own': False} for x in names]
    runs = [x for x in runs if x['tests']]
    for name, plugin in (('without', False), ('with', True)) if theirs else ():
        runs.append({'name': 'own-' + name, 'mode': 'plain', 'tests': theirs, 'plugin': plugin, 'own': True})
    return runs


def read_results(folder, runs, host, status):
    """A result for each test of each run: what the host has not told has failed."""
    told = {}
    path = os.path.join(folder, 'results')
    if os.path.exists(path):
        with open(path) as f:
            told = {(x['run'], x['test']): x for x in map(json.loads, f)}
    for run in runs:
        for test in run['tests']:
            x = told.get((run['name'], test), {'result': 'failed', 'seconds': 0, 'tries': 0,
                                               'reason': f'not run: the host ended with status {status}'})
            yield {'test': test, 'mode': run['name'].removeprefix('own-'), 'own': run['own'],
                   'host': host.name, 'criu': host.criu, 'result': x['result'], 'reason': x['reason'],
                   'seconds': x['seconds'], 'tries': x['tries']}


def run_in(host, tests, names, theirs, args, share):
    """The results of all that is to be run in one host, in one boot."""
    folder = os.path.join(share, 'zdtm')
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    runs = runs_of(tests, names, theirs, args)
    hosts.put_tree(share, host.criu, theirs)
    with open(os.path.join(folder, 'plan.json'), 'w') as f:
        json.dump({'runs': runs, 'jobs': args.jobs, 'model': host.model, 'criu': host.criu, 'chosen': host.chosen}, f, indent=1)
    seconds = args.timeout or BOOT_SECONDS + CELL_SECONDS * sum(len(x['tests']) for x in runs)
    status = hosts.boot(host, share, seconds, args.no_build)
    results = list(read_results(folder, runs, host, status))
    kept = os.path.join(share, 'zdtm-' + host.name.replace(' ', '-'))
    shutil.rmtree(kept, ignore_errors=True)
    os.rename(folder, kept)
    if status not in (0, 1) or (status and all(x['result'] != 'failed' for x in results)):
        results += [{'test': 'host', 'mode': host.name, 'own': False, 'host': host.name, 'criu': host.criu,
                     'result': 'failed', 'reason': f'the host ended with status {status}', 'seconds': 0}]
    return results


def show(results, tests, names, theirs):
    """Whether nothing has failed."""
    ours = [x for x in results if not x['own']]
    passed = failed = skipped = 0
    if tests:
        print('\nour tests by mode: + passed, - skipped, F failed; where nothing stands it was not run')
        print(table.matrix(ours, tests, names))
    if ours:
        for reason in table.reasons(ours, 'skipped'):
            print(f'skip {reason}')
        for reason in table.reasons(ours, 'failed'):
            print(f'FAILED {reason}')
        total = table.count(ours)
        passed, failed, skipped = total['passed'], total['failed'], total['skipped']
    if theirs:
        print("\nCRIU's own tests that pass without the plugin and with it")
        text, both, disturbed, broken, enough = table.own([x for x in results if x['own']], theirs)
        print(text)
        print(f'{both} of {len(theirs)} pass both ways, {disturbed} fail with the plugin alone, {broken} are not counted')
        passed, failed, skipped = passed + both, failed + disturbed + (not enough), skipped + broken
    again = [x for x in results if x['result'] != 'failed' and x['tries'] > 1]
    for x in again:
        print(f'tried {x["tries"]} times: {x["test"]} in {x["mode"]}')
    print(f'zdtm: {passed} passed, {failed} failed, {skipped} skipped')
    return not failed and passed


def main():
    args = parse_args()
    if args.list:
        print_list()
        return 0
    tests, names, theirs = wanted(args)
    share = args.share or tempfile.mkdtemp(prefix='kvm-vgic-zdtm.')
    os.makedirs(share, exist_ok=True)
    results = []
    for host, some, own_tests in shares_of(args, tests, theirs):
        print(f'== host "{host.name}": CRIU {host.criu}, {" ".join(host.options) or "as testbed/run boots it"}', flush=True)
        results += run_in(host, some, names, own_tests, args, share)
        args.no_build = True
    good = show(results, tests, names, theirs)
    if args.json:
        with open(args.json, 'w') as f:
            json.dump({'results': results}, f, indent=1)
    if good and not args.share:
        shutil.rmtree(share)
    elif not good:
        print(f'logs and images are in {share}')
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
