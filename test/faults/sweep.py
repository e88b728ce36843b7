#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""A fault at every point of a dump and of a restore (plugin/fault.h), and what becomes of the VM.

Runs on the (emulated) arm64 host; test/faults/run starts it there.
"""

import argparse
import collections
import json
import os
import random
import re
import shutil
import signal
import sys
import time
import zlib

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, 'failcases')]

import leftout  # noqa: E402
from common import (SmallVm, Unharmed, bpf_ids, check_nothing_left, criu, criu_ok, discard, finish, left_of,  # noqa: E402
                    processes, wait_for)
from counts import (BAD, HARMED, OUTCOMES, PART_WAY, RAN, REFUSED, STANDS_STILL, SURVIVED, UNCLEAN, UNREACHED,  # noqa: E402
                    all_good, show)
from restores import STEPS, GuestEntries, check_entries, replays  # noqa: E402
from zdtmvm import Failure, Vm, is_alive, wait_gone  # noqa: E402

VMS = {
    'v3': lambda: Vm('kvm_vgic_v3', ['--vcpus=2']),
    'lpi': lambda: Vm('kvm_its_lpi', ['--vcpus=2']),
    'irqfd': lambda: SmallVm('kvm_irqfd', []),
    'fds': lambda: SmallVm('kvm_fds', ['--copies=3']),
    'plain': lambda: SmallVm('kvm_plain', []),
}
ACTIONS = ['dump', 'dump-R', 'restore']
HOST_SECONDS = 1800     # for another host that shares the sweep to have listed its points
PRIORITY = 15           # above the VM, which else takes most of the one CPU
NO_FAULT = ['late-hook']    # steps that say what CRIU does, not what fails: test/zdtm/failures has cases of them
WHOLE = 'vCPUs may run: done'     # from there on a VM that is restored runs

Point = collections.namedtuple('Point', 'nr kind place what')


def name_of(point):
    return f'point {point.nr}, {point.kind} {point.place}: {point.what}'


def points_in(path):
    """Of the last dump, where some were tried before: each begins with point 1."""
    points = []
    with open(path) as f:
        for line in f:
            nr, *rest = line.rstrip('\n').split('\t')
            if nr == '1':
                points = []
            points.append(Point(int(nr), *rest))
    return points


def distinct(points, rng):
    """Of each place the first pass, the last, and one by the seed."""
    places = collections.defaultdict(list)
    for point in points:
        places[point[1:]].append(point)
    return sorted({p for passes in places.values() for p in (passes[0], passes[-1], rng.choice(passes))})


def fault_env(point, sig):
    env = {'KVM_VGIC_FAULT': str(point.nr)}
    if sig:
        env['KVM_VGIC_FAULT_SIGNAL'] = str(sig)
    return env


def was_reached(result, point):
    return f'fault injected: point {point.nr},' in result.log


def dump_soon(images, pid, *options, env=None):
    """A dump that is good. One that was refused for the moment, for an interrupt on its way, is tried again."""
    for _ in range(10):
        result = criu('dump', images, '-t', str(pid), *options, env=env)
        if not any('try again' in x for x in result.errors):
            break
    result.require(result.status == 0, f'criu dump failed with {result.status}')


def require_clean(result, point):
    """A step that is none of the two sequences has no words for what only a test lets fail."""
    result.require(result.status > 0, f'criu ended with {result.status}')
    result.require(result.errors or (point and point.kind == 'step'), 'no error of the plugin says why')


def next_step(log):
    """That which a restore of one VM had come to, where the log ends; or None."""
    done = re.findall(r'step \d+ of \d+, (.*): done', log)
    return STEPS[STEPS.index(done[-1]) + 1] if done and done[-1] in STEPS[:-1] else None


def lets_go(result, entered):
    """Where the step lets a vCPU go, should criu be killed in it: one whose exit is replayed; all, one after the other."""
    step = next_step(result.log)
    return step == 'vCPUs may run' or step == 'pending exits' and len(set(entered)) <= 1 + len(replays(result))


class Dumps:
    """A VM that is dumped, each time with a fault."""

    def __init__(self, what, options):
        self.what = what
        self.options = options
        self.vm = None
        self.n = 0

    def start(self):
        self.end()
        self.vm = VMS[self.what]()
        self.vm.wait_moved(self.vm.stats())

    def end(self):
        if self.vm:
            discard(self.vm)

    def images(self):
        self.n += 1
        path = os.path.join(self.vm.dir, f'images.{self.n}')
        os.mkdir(path)
        return path

    def points(self):
        images = self.images()
        path = os.path.join(self.vm.dir, 'points')
        dump_soon(images, self.vm.pid, *self.options, env={'KVM_VGIC_FAULT_LIST': path})
        self.go_on_from(images)
        return points_in(path)

    def go_on_from(self, images):
        """After a dump that has succeeded: the VM that was dumped is restored."""
        if '-R' not in self.options:
            criu_ok('restore', images, '-d')
        self.vm.wait_moved(self.vm.stats())
        shutil.rmtree(images)

    def attempt(self, point, env, sig):
        """(what became of it, and how that shows)"""
        try:
            unharmed = Unharmed(self.vm)
            images = self.images()
            result = criu('dump', images, '-t', str(self.vm.pid), *self.options, env=env)
            if sig:
                verdict = self.after_signal(result, images)
            else:
                verdict = self.after(result, images, unharmed, point)
            return (UNREACHED, '') if point and not was_reached(result, point) else verdict
        except (Failure, OSError) as e:
            self.start_anew(e)
            return HARMED, str(e)

    def start_anew(self, error):
        try:
            self.start()
        except (Failure, OSError) as e:
            raise Failure(f'{error}; and no other VM starts: {e}') from e

    def after(self, result, images, unharmed, point):
        if result.status == 0:
            if '-R' in self.options:
                unharmed.check(images)
            self.go_on_from(images)
            return SURVIVED, ''
        unharmed.check(images)
        shutil.rmtree(images)
        try:
            require_clean(result, point)
        except Failure as e:
            return UNCLEAN, str(e)
        return REFUSED, ''

    def after_signal(self, result, images):
        """criu is gone, or has gone on. A VM that was left with vCPUs that cannot run is not harmed: it stands still."""
        if result.status == 0:
            self.go_on_from(images)
            return SURVIVED, ''
        if not is_alive(self.vm.pid):
            raise Failure(f'pid {self.vm.pid} has ended')
        try:
            self.vm.wait_moved(self.vm.stats(), 5)
        except Failure as e:
            if 'no progress' not in str(e):
                raise
            self.start()
            return STANDS_STILL, ''
        shutil.rmtree(images)
        return REFUSED, ''

    def last(self):
        """After all that: it ends well."""
        finish(self.vm)
        self.end()


class Restores:
    """The images of a VM, restored each time with a fault."""

    def __init__(self, what, options):
        self.what = what
        self.vm = self.images = None

    def start(self):
        self.vm = VMS[self.what]()
        self.images = os.path.join(self.vm.dir, 'images')
        os.mkdir(self.images)
        self.vm.wait_moved(self.vm.stats())
        dump_soon(self.images, self.vm.pid)
        wait_gone(self.vm.pid)

    def points(self):
        path = os.path.join(self.vm.dir, 'points')
        criu_ok('restore', self.images, '-d', env={'KVM_VGIC_FAULT_LIST': path})
        self.goes_on()
        return points_in(path)

    def goes_on(self):
        """It is good. The images are for the next attempt, so it is ended."""
        try:
            self.vm.wait_moved(self.vm.stats())
        finally:
            self.vm.kill()

    def attempt(self, point, env, sig):
        bpf, before = bpf_ids(), processes()
        try:
            with GuestEntries() as entries:
                result = criu('restore', self.images, '-d', env=env)
                # CRIU 4.1.1 does not heed what the hook answers.
                failed = result.status != 0 or 'not restored: no vCPU' in result.log
                if failed:
                    left_of(before, 0.3)        # where no task is left none can run
                entered = entries.threads() if failed else []
            verdict = self.after(result, failed, entered, before, bpf, sig, point)
            return (UNREACHED, '') if point and not was_reached(result, point) else verdict
        except (Failure, OSError) as e:
            return UNCLEAN, str(e)
        finally:
            left = processes() - before
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            if left:
                left_of(before)

    def after(self, result, failed, entered, before, bpf, sig, point):
        if not failed:
            try:
                self.goes_on()
            except Failure as e:
                return HARMED, str(e)
            return SURVIVED, ''
        if sig and WHOLE in result.log:
            return self.was_whole()
        try:
            check_entries(result, entered)
        except Failure as e:
            return PART_WAY if sig and lets_go(result, entered) else RAN, str(e)
        if sig:
            return REFUSED, ''      # the tasks of a criu that was killed run on, and none is a vCPU that runs
        left = left_of(before)
        result.require(not left, f'tasks left: {sorted(left)}')
        check_nothing_left(self.images, bpf)
        require_clean(result, point)
        return REFUSED, ''

    def was_whole(self):
        """A criu that was killed when the vCPUs were let go: those that run find nothing."""
        try:
            if is_alive(self.vm.pid):
                self.vm.stats().check()
        except Failure as e:
            return HARMED, str(e)
        return SURVIVED, ''

    def last(self):
        criu_ok('restore', self.images, '-d')
        self.vm.wait_moved(self.vm.stats())
        finish(self.vm)
        self.end()

    def end(self):
        if self.vm:
            discard(self.vm)


SWEPT = {
    'dump': lambda what: Dumps(what, []),
    'dump-R': lambda what: Dumps(what, ['-R']),
    'restore': lambda what: Restores(what, []),
}


def chosen(points, args, rng):
    if args.points:
        return [p for p in points if p.nr in args.points]
    if args.kind:
        points = [p for p in points if p.kind in args.kind]
    if args.match:
        points = [p for p in points if re.search(args.match, name_of(p))]
    if args.distinct:
        return distinct(points, rng)
    return points[rng.randrange(args.step)::args.step]


def names_of(points):
    """{number: a name that a point has in other VMs' lists too}: the place, and which pass of it."""
    passes = collections.Counter()
    names = {}
    for point in points:
        passes[point[1:]] += 1
        names[point.nr] = f'{point.kind} {point.place}: {point.what}, pass {passes[point[1:]]}'
    return names


class Part:
    """Of all that was chosen what this host tries, where several share it."""

    def __init__(self, args, action):
        self.nr, self.of = args.part
        self.folder, self.action = args.share, action

    def owner(self, name):
        return zlib.crc32(name.encode()) % self.of + 1

    def path(self, nr):
        return os.path.join(self.folder, f'{self.action}.{nr}.listed')

    def own(self, choice, names):
        """And tells the other hosts what there was to choose from."""
        if self.of == 1:
            return list(choice)
        with open(self.path(self.nr) + '.new', 'w') as f:
            f.writelines(names[x.nr] + '\n' for x in choice)
        os.rename(f.name, self.path(self.nr))
        return [x for x in choice if self.owner(names[x.nr]) == self.nr]

    def listed(self, nr):
        wait_for(lambda: os.path.exists(self.path(nr)), f'host {nr} has listed no points of {self.action}', HOST_SECONDS)
        with open(self.path(nr)) as f:
            return set(f.read().splitlines())

    def nobodys(self, choice, names):
        """What is another host's to try, and that host's VM has not got. The first host that has it tries it."""
        listed = {nr: self.listed(nr) for nr in range(1, self.of + 1)} if self.of > 1 else {}

        def falls_to(name):
            owner = self.owner(name)
            return owner if name in listed[owner] else min(nr for nr in listed if name in listed[nr])
        return [x for x in choice if listed and self.owner(names[x.nr]) != self.nr == falls_to(names[x.nr])]


class Sweep:
    """An action on a VM, with a fault at each point that was chosen."""

    def __init__(self, action, args):
        self.action, self.args = action, args
        self.begun = time.monotonic()
        self.swept = SWEPT[action](args.vm)
        self.points, self.choice, self.names = [], [], {}
        self.own = []       # of the choice, those that are not another host's
        self.when = 'at the beginning'
        self.counts, self.bad, self.tried = collections.Counter(), [], []

    def seconds(self):
        return time.monotonic() - self.begun

    def found(self, what, name, how):
        self.bad.append({'what': what, 'name': name, 'how': how})
        print(f'  {name}: {what}: {how}', flush=True)

    def list(self):
        self.swept.start()
        self.points = [p for p in self.swept.points() if p.what not in NO_FAULT]
        self.names = names_of(self.points)
        rng = random.Random(f'{self.args.seed} {self.action}')
        self.choice = chosen(self.points, self.args, rng)
        if self.args.seconds:
            rng.shuffle(self.choice)    # it may end before the last of them

    def attempt(self, point):
        self.when = name_of(point)
        what, how = self.swept.attempt(point, fault_env(point, self.args.signal), self.args.signal)
        self.counts[what] += 1
        self.tried.append(self.names[point.nr])
        if what in BAD:
            self.found(what, name_of(point), how)
        elif self.args.verbose:
            print(f'  {name_of(point)}: {what}: {how}', flush=True)

    def attempt_all(self, points):
        for n, point in enumerate(points, 1):
            if self.args.seconds and self.seconds() > self.args.seconds:
                break
            self.attempt(point)
            if n % 25 == 0:
                print(f'  {n} of {len(points)} in {self.seconds():.0f} s: {dict(self.counts)}', flush=True)

    def run(self):
        part = Part(self.args, self.action)
        try:
            self.list()
            self.own = part.own(self.choice, self.names)
            print(f'{self.action} of {self.args.vm}: {len(self.points)} points, of {self.places()} places; '
                  f'{len(self.own)} to be tried', flush=True)
            self.attempt_all(self.own)
            more = part.nobodys(self.choice, self.names)
            self.own += more
            self.attempt_all(more)
            self.when = 'at the end'
            self.swept.last()
        except (Failure, OSError) as e:
            self.found(HARMED, self.when, str(e))
            self.swept.end()
        return self

    def places(self):
        return len({p[1:] for p in self.points})

    def row(self):
        return {'action': self.action, 'vm': self.args.vm, 'points': len(self.points), 'places': self.places(),
                'chosen': len(self.own), 'tried': len(self.tried), 'limited': bool(self.args.seconds),
                'listed': [self.names[p.nr] for p in self.choice], 'tried_points': self.tried,
                **{x: self.counts[x] for x in OUTCOMES}, 'bad': self.bad, 'seconds': round(self.seconds())}


# It can fail.

def one_line(text):
    return text.splitlines()[0] if text else text


def lost(what, args):
    """One pending bit, or one replay: the VM finds it, as it finds nothing without."""
    row = leftout.run_row(leftout.Row(leftout.NAME, 'restore', 'KVM_VGIC_SKIP', what), args)
    return row['good'], f'{row["said"]} ({row["cycles"]} cycles)'


def attempt_with(action, env, expected, words):
    swept = SWEPT[action]('v3')
    try:
        swept.start()
        what, how = swept.attempt(None, env, None)
        return what == expected and bool(re.search(words, how)), f'{what}: {one_line(how)}'
    finally:
        swept.end()


def self_check(args):
    checks = {
        'one pending bit is dropped': lambda: lost('one pending bit', args),
        'one replay is skipped': lambda: lost('one replay', args),
        'a vCPU runs after a failed restore': lambda: attempt_with(
            'restore', {'KVM_VGIC_FAULT': 'threads', 'KVM_VGIC_SKIP': 'the end of the tree'}, RAN, 'entered by thread'),
        'a mapping is left in the VMM': lambda: attempt_with(
            'dump', {'KVM_VGIC_FAULT': 'vCPU events', 'KVM_VGIC_SKIP': 'munmap'}, HARMED, r'new: \S+ rw-p '),
        'a dump that fails is no harm': lambda: attempt_with(
            'dump', {'KVM_VGIC_FAULT': 'vCPU events'}, REFUSED, '^$'),
    }
    rows = []
    for name, check in checks.items():
        try:
            good, said = check()
        except (Failure, OSError) as e:
            good, said = False, str(e)
        rows.append({'check': name, 'good': good, 'said': said})
        print(f'{"ok" if good else "NOT OK"} {name}: {said}', flush=True)
    print(f'self-check: {sum(r["good"] for r in rows)} of {len(rows)} are as they must be')
    return rows


def dump_to(folder, what):
    """The images of a VM, for test/faults/bitflip."""
    vm = VMS[what]()
    try:
        os.makedirs(folder)
        vm.wait_moved(vm.stats())
        dump_soon(folder, vm.pid)
    finally:
        discard(vm)


def part_of(text):
    nr, of = map(int, text.split('/'))
    return nr, of


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('actions', nargs='*', metavar='ACTION', help='dump, dump-R, restore (all)')
    parser.add_argument('--vm', choices=VMS, default='v3')
    parser.add_argument('--step', type=int, default=1, metavar='K', help='every K-th point')
    parser.add_argument('--distinct', action='store_true', help='of each place at most three passes')
    parser.add_argument('--kind', action='append', help='of points: step, call, remote, image, memory')
    parser.add_argument('--match', metavar='REGEX', help='points whose line has it, as "call GIC distributor: "')
    parser.add_argument('--points', type=int, nargs='+', metavar='N', help='these')
    parser.add_argument('--signal', type=int, metavar='S', help='criu gets that signal there')
    parser.add_argument('--seconds', type=float, metavar='N', help='for each action, at most')
    parser.add_argument('--seed', type=int)
    parser.add_argument('--part', type=part_of, default=(1, 1), metavar='I/N', help=argparse.SUPPRESS)
    parser.add_argument('--share', metavar='DIR', help=argparse.SUPPRESS)      # of the hosts of all parts
    parser.add_argument('--cycles', type=int, default=40, help=argparse.SUPPRESS)
    parser.add_argument('--self-check', action='store_true')
    parser.add_argument('--images', metavar='DIR', help='only dump the VM, into DIR')
    parser.add_argument('--json', metavar='FILE')
    parser.add_argument('--verbose', action='store_true')
    args = parser.parse_args()
    unknown = [x for x in args.actions if x not in ACTIONS]
    if unknown:
        parser.error(f'no such action: {unknown[0]}; there are: {", ".join(ACTIONS)}')
    if args.seed is None:
        args.seed = random.getrandbits(32)
    return args


def main():
    args = parse_args()
    if args.images:
        dump_to(args.images, args.vm)
        return 0
    os.nice(-PRIORITY)
    Vm.wrap = ['nice', '-n', str(PRIORITY)]     # and CRIU restores what it was
    print(f'seed {args.seed}', flush=True)
    if args.self_check:
        rows = self_check(args)
        good = all(row['good'] for row in rows)
    else:
        rows = []
        for action in args.actions or ACTIONS:
            rows.append(Sweep(action, args).run().row())
            show(rows[-1])
        # Of a part that is none of its own the whole is judged: counts.py.
        good = all_good(rows) if args.part[1] == 1 else not any(row['bad'] for row in rows)
    if args.json:
        with open(args.json, 'w') as f:
            json.dump({'seed': args.seed, 'rows': rows}, f, indent=1)
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
