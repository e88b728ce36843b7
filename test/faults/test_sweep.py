#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""What the sweep chooses, and what the runner takes for growth."""

import argparse
import os
import random
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, '../zdtm'), os.path.join(HERE, '../zdtm/failcases')]
sys.dont_write_bytecode = True

import growth  # noqa: E402
import sweep  # noqa: E402
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


if __name__ == '__main__':
    unittest.main(verbosity=2)
