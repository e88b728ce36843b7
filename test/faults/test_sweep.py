#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""What the sweep chooses, how hosts share it, what is counted; what the runner takes for growth, for a jump of the guest's counter,
and for a criu that hangs."""

import argparse
import contextlib
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, '../zdtm'), os.path.join(HERE, '../zdtm/failcases')]
sys.dont_write_bytecode = True

import counts  # noqa: E402
import growth  # noqa: E402
import guestclock  # noqa: E402
import sweep  # noqa: E402
import zdtmvm  # noqa: E402
from zdtmvm import Failure  # noqa: E402


def points(*places):
    return [sweep.Point(i + 1, 'call', 'step', x) for i, x in enumerate(places)]


class Sweep(unittest.TestCase):
    def test_of_each_place_the_first_and_the_last_are_tried(self):
        chosen = sweep.distinct(points(*'aabaaab'), random.Random(1))
        self.assertLessEqual({1, 3, 6, 7}, {p.nr for p in chosen})
        self.assertLessEqual(len(chosen), 6)
        self.assertEqual(sorted(chosen), chosen)

    def test_a_place_is_chosen_by_what_a_line_says_of_it(self):
        args = argparse.Namespace(points=None, kind=['call'], match='step: a$', distinct=False, step=1)
        self.assertEqual([p.nr for p in sweep.chosen(points('a', 'ab', 'a'), args, random.Random(1))], [1, 3])
        args.match = 'call step: ab'
        self.assertEqual([p.nr for p in sweep.chosen(points('a', 'ab', 'a'), args, random.Random(1))], [2])

    def test_a_dump_that_was_tried_again_is_listed_once(self):
        with tempfile.NamedTemporaryFile('w') as f:
            f.write('1\tstep\ts\ta\n2\tcall\ts\tb\n1\tstep\ts\ta\n2\tmemory\tgrow\tframe.c\n')
            f.flush()
            self.assertEqual(sweep.points_in(f.name), [(1, 'step', 's', 'a'), (2, 'memory', 'grow', 'frame.c')])


class Shared(unittest.TestCase):
    """Two hosts that share a sweep, each with a list of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def parts(self, *lists):
        """The names of what each host tries."""
        parts = [sweep.Part(argparse.Namespace(part=(n, len(lists)), share=self.folder), 'dump')
                 for n in range(1, len(lists) + 1)]
        names = [sweep.names_of(x) for x in lists]
        own = [part.own(*x) for part, x in zip(parts, zip(lists, names))]
        own = [x + part.nobodys(*y) for x, part, y in zip(own, parts, zip(lists, names))]
        return [[of[p.nr] for p in x] for of, x in zip(names, own)]

    def test_each_point_is_tried_by_one_host(self):
        same = points(*'abcdefghijklmnopqrstuvwxyz' * 4)
        one, two = self.parts(same, same)
        self.assertGreater(len(one), 26)
        self.assertGreater(len(two), 26)
        self.assertEqual(sorted(one + two), sorted(sweep.names_of(same).values()))

    def test_what_one_host_alone_has_is_tried_too(self):
        lists = [points(*x) for x in ('abcdefgh' * 3, 'xaabbccddeffgh', 'abcdefghijklmnop', 'zxy')]
        tried = sum(self.parts(*lists), [])
        self.assertEqual(sorted(tried), sorted({x for some in lists for x in sweep.names_of(some).values()}))

    def test_a_host_alone_shares_with_nobody(self):
        same = points(*'aab')
        self.assertEqual(self.parts(same), [['call step: a, pass 1', 'call step: a, pass 2', 'call step: b, pass 1']])

    def test_a_host_that_lists_nothing_is_told(self):
        part = sweep.Part(argparse.Namespace(part=(1, 2), share=self.folder), 'dump')
        sweep.HOST_SECONDS = 0
        part.own(points('a'), {1: 'a'})
        with self.assertRaisesRegex(Failure, 'host 2 has listed no points of dump'):
            part.nobodys(points('a'), {1: 'a'})


def row_of(*tried, listed=None, **more):
    row = {'action': 'dump', 'vm': 'v3', 'points': 9, 'places': 3, 'chosen': len(tried), 'tried': len(tried), 'seconds': 1,
           'limited': False, 'listed': listed or list(tried), 'tried_points': list(tried), 'bad': [],
           **dict.fromkeys(counts.OUTCOMES, 0), counts.REFUSED: len(tried)}
    return {**row, **more}


BAD_ONE = {'what': counts.HARMED, 'name': 'point 1', 'how': 'changed'}


class Counts(unittest.TestCase):
    def test_a_whole_sweep_is_good(self):
        self.assertIsNone(counts.wrong(row_of('a', 'b')))
        self.assertIsNone(counts.wrong(counts.add([row_of('a', listed=['a', 'b']), row_of('b', listed=['a', 'b'])])))

    def test_a_sweep_that_is_not_whole_is_bad(self):
        self.assertRegex(counts.wrong(row_of('a', chosen=2)), '1 were tried of 2')
        self.assertRegex(counts.wrong(counts.add([row_of('a', listed=['a', 'b']), row_of('a2')])), '2 were tried of 3')
        self.assertRegex(counts.wrong(row_of()), '0 of 0 were not reached')
        self.assertIsNone(counts.wrong(row_of('a', chosen=2, limited=True)))

    def test_what_has_no_outcome_is_bad(self):
        self.assertRegex(counts.wrong(row_of('a', 'b', **{counts.REFUSED: 1})), '2 were tried, and 1 have an outcome')

    def test_little_that_is_reached_is_bad(self):
        self.assertRegex(counts.wrong(row_of(*'abcd', **{counts.REFUSED: 3, counts.UNREACHED: 1})), '1 of 4 were not reached')

    def test_one_host_that_found_something_is_enough(self):
        found = row_of('b', bad=[BAD_ONE], **{counts.REFUSED: 0, counts.HARMED: 1})
        self.assertEqual(counts.wrong(counts.add([row_of('a'), found])), 'point 1: VM harmed')
        self.assertEqual(counts.add([row_of('a'), found])[counts.HARMED], 1)

    def test_what_two_hosts_have_tried_is_not_counted_as_two(self):
        with self.assertRaisesRegex(ValueError, '1 points were tried by two hosts'):
            counts.add([row_of('a', 'b'), row_of('b')])

    def total(self, *hosts):
        """(exit status, what it prints) for these hosts' rows, or None where a host has told nothing."""
        with tempfile.TemporaryDirectory() as folder:
            paths = [os.path.join(folder, f'{n}.json') for n in range(len(hosts))]
            for path, rows in zip(paths, hosts):
                if rows is not None:
                    with open(path, 'w') as f:
                        json.dump({'seed': 1, 'rows': rows}, f)
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                return counts.main(paths), out.getvalue()

    def test_one_table_for_all_hosts(self):
        status, said = self.total([row_of('a')], [row_of('b')])
        self.assertEqual(status, 0)
        self.assertIn('dump of v3: points 9, places 3, tried 2 of 2, survived 0, clean refusals 2', said)

    def test_a_host_without_counts_is_a_failure(self):
        status, said = self.total([row_of('a')], None)
        self.assertEqual(status, 1)
        self.assertIn('BAD: no counts of host 2', said)
        self.assertEqual(self.total(None, None)[0], 1)
        self.assertEqual(self.total([row_of('a')], [])[0], 1)


class Begins(unittest.TestCase):
    """A sweep whose VM, or whose first dump, fails."""

    class Swept:
        def __init__(self, fails):
            self.fails, self.ended = fails, False

        def step(self, name):
            if name == self.fails:
                raise Failure(f'criu {name} hangs')

        def start(self):
            self.step('start')

        def points(self):
            self.step('points')
            return points('a', 'b')

        def attempt(self, *_):
            self.step('attempt')
            return counts.REFUSED, ''

        def last(self):
            self.step('last')

        def end(self):
            self.ended = True

    def row(self, fails):
        swept = self.Swept(fails)
        sweep.SWEPT = {'dump': lambda what: swept}
        args = argparse.Namespace(vm='v3', part=(1, 1), share=None, seed=1, seconds=None, points=None, kind=None, match=None,
                                  distinct=False, step=1, signal=None, verbose=False)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            row = sweep.Sweep('dump', args).run().row()
        return row, out.getvalue(), swept.ended

    def test_it_says_what_it_was_and_is_bad(self):
        for fails, when in (('start', 'at the beginning'), ('points', 'at the beginning'), ('attempt', 'point 1, call step: a'),
                            ('last', 'at the end')):
            row, said, ended = self.row(fails)
            self.assertIn(f'{when}: {counts.HARMED}: criu {fails} hangs', said)
            self.assertRegex(counts.wrong(row), f'^{when}')
            self.assertTrue(ended)

    def test_nothing_fails(self):
        row, said, ended = self.row(None)
        self.assertIsNone(counts.wrong(row))
        self.assertEqual(row['tried'], 2)


class LetsGo(unittest.TestCase):
    LOG = '(06.1) kvm_vgic: vm 1: step {} of 50, {}: done\n'
    REPLAYED = '(06.2) kvm_vgic: vm 1 vcpu 0 (id 5): pending write at 0x9000000 replayed in thread 7\n'

    @classmethod
    def lets_go(cls, steps, entered, more=''):
        log = ''.join(cls.LOG.format(30 + i, name) for i, name in enumerate(steps)) + more
        return sweep.lets_go(type('Result', (), {'log': log}), entered)

    def test_one_vcpu_in_a_replay(self):
        self.assertTrue(self.lets_go(['PMU', 'guest counters'], [7, 7, 7]))
        self.assertTrue(self.lets_go(['PMU', 'guest counters'], [7, 8], self.REPLAYED))
        self.assertFalse(self.lets_go(['PMU', 'guest counters'], [7, 8]))
        self.assertFalse(self.lets_go(['PMU'], [7]))

    def test_all_at_the_end(self):
        self.assertTrue(self.lets_go(['kvm_run pages'], [7, 8]))
        self.assertFalse(self.lets_go(['ioeventfds'], [7]))
        self.assertFalse(self.lets_go(['pending exits'], [7]))

    def test_a_log_without_a_step_tells_none(self):
        self.assertIsNone(sweep.next_step(''))
        self.assertIsNone(sweep.next_step(self.LOG.format(50, sweep.STEPS[-1])))


class Grown(unittest.TestCase):
    def grow(self, **more):
        """After two cycles, the second with @more of something."""
        first = {'fds': 10, 'mappings': 20, 'private dirty kB': 1000, 'resident kB': 1000}
        seen = growth.Growth()
        for figures in (first, {name: value + more.get(name.split()[0], 0) for name, value in first.items()}):
            growth.figures = lambda pid, now=figures: now
            seen.look(self)
        return seen

    pid = os.getpid()

    def test_what_stays_is_no_growth(self):
        self.grow().check()
        self.grow(fds=-1, mappings=-1).check()
        self.grow(private=growth.SLACK_KB, resident=100000).check()

    def test_growth_is_told(self):
        for more in ({'fds': 1}, {'mappings': 1}, {'private': growth.SLACK_KB + 1}):
            with self.assertRaisesRegex(Failure, f'{next(iter(more))}.* have grown in 2 cycles'):
                self.grow(**more).check()

    def test_another_vm_is_another_beginning(self):
        seen = self.grow(fds=5)
        seen.look(type('Vm', (), {'pid': self.pid})())
        seen.check()


class Hangs(unittest.TestCase):
    """A criu that is slow, one that hangs, one that goes round in circles."""

    def output_of(self, script, silence, longest=60):
        zdtmvm.SILENCE, zdtmvm.LONGEST = silence, longest
        with tempfile.TemporaryDirectory() as folder:
            log = os.path.join(folder, 'dump.log')
            with subprocess.Popen(['bash', '-c', script, 'criu', log], stdout=subprocess.PIPE) as process:
                output = zdtmvm.output_of(process, log)
            self.assertEqual(process.returncode, 3)
            return output

    def test_one_that_is_slow_is_waited_for(self):
        script = 'for i in 1 2 3 4 5; do sleep 0.7; echo step >>"$1"; done; echo said; exit 3'
        self.assertEqual(self.output_of(script, 2), b'said\n')

    def test_one_that_says_nothing_hangs(self):
        with self.assertRaisesRegex(Failure, r'criu hangs: after \d s, the last \d of them .* its log ends with: step 2$'):
            self.output_of('echo "step 1" >"$1"; echo "step 2" >>"$1"; exec sleep 60', 1)
        with self.assertRaisesRegex(Failure, 'ends with: nothing'):
            self.output_of('exec sleep 60', 1)

    def test_one_that_never_ends_hangs(self):
        with self.assertRaisesRegex(Failure, r'criu hangs: after \d s, the last 0 of them .* step$'):
            self.output_of('while :; do echo step >>"$1"; done', 1, 2)


class GuestClock(unittest.TestCase):
    """A VM whose counter is the time, noted by vCPUs that do not always run."""

    @staticmethod
    def stats(when, *noted):
        return argparse.Namespace(when=when, cntfrq=1000, cpus=[{'cntvct': round(1000 * x)} for x in noted])

    def look(self, *stats):
        guestclock.LOOK_EVERY = 0
        readings = iter(stats)
        return guestclock.look(argparse.Namespace(stats=lambda: next(readings)))

    def test_a_look_is_not_older_than_the_one_before(self):
        before, since = self.look(self.stats(10, 5, 8), self.stats(11, 5, 8), self.stats(12, 5, 11.5))
        self.assertEqual((guestclock.counter_of(before), since), (11.5, 11))

    def test_vcpus_that_get_no_cpu_are_no_jump(self):
        """As seen: one had noted the counter 1.6 s before the dump, all were up to date after the restore."""
        before, since = self.look(self.stats(100, 98.4, 99.99), self.stats(100.01, 98.4, 100.005))
        guestclock.check(before, self.stats(120, 119.9, 120), 120.0 - since)
        guestclock.check(before, self.stats(122, 119.9, 120), 122.0 - since - 2)

    def test_a_jump_is_found(self):
        before, since = self.look(self.stats(100, 99, 99.99), self.stats(100.01, 99, 100.005))
        with self.assertRaisesRegex(Failure, 'the guest counter jumped: 22.00 s passed in the guest, 20.00 s were possible'):
            guestclock.check(before, self.stats(122, 110, 122), 122.0 - since - 2)

    def test_a_counter_that_stands_is_told(self):
        still = self.stats(1, 1)
        with self.assertRaisesRegex(Failure, 'no vCPU has noted the counter'):
            guestclock.look(argparse.Namespace(stats=lambda: still), 0.01)


if __name__ == '__main__':
    unittest.main(verbosity=2)
