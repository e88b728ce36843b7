#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""What a real VMM's guest says on its console, and what the tests make of it."""

import os
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, '..', 'zdtm')]

from guestlog import GuestLog  # noqa: E402
from zdtmvm import Failure  # noqa: E402

START = '[   40.2] virtio_blk virtio0: [vda] 16384 512-byte logical blocks\r\nload: start: 2 vCPUs\r\n'
SLOW = '[   23.551224] hrtimer: interrupt took 17438800 ns\r\n'


def report(what, *right, wrong=0):
    return f'load: {what}: disk %d timer %d ipi %d net %d rng %d lpi %d right, {wrong} wrong\r\n' % right


class Console(unittest.TestCase):
    def setUp(self):
        self.file = tempfile.NamedTemporaryFile('w', newline='')
        self.log = GuestLog(self.file.name, lambda: True)
        self.log.silence = 0.2

    def tearDown(self):
        self.file.close()

    def say(self, text):
        self.file.write(text)
        self.file.flush()

    def base(self):
        self.say(START + report('asked', 1, 2, 3, 4, 5, 6))
        return self.log.reports()[-1]

    def test_one_that_works(self):
        base = self.base()
        self.say(report('works', 2, 3, 4, 5, 6, 7))
        self.assertEqual(self.log.wait_moved(base).right['disk'], 2)

    def test_a_kind_that_stands_still_is_named(self):
        base = self.base()
        self.say(report('works', 2, 3, 4, 4, 6, 7))
        with self.assertRaisesRegex(Failure, 'net$'):
            self.log.wait_moved(base)

    def test_silence(self):
        base = self.base()
        with self.assertRaisesRegex(Failure, 'not in'):
            self.log.wait_moved(base)

    def test_one_vcpu_has_no_others_to_interrupt(self):
        self.log.kinds = [k for k in self.log.kinds if k != 'ipi']
        base = self.base()
        self.say(report('works', 2, 3, 3, 5, 6, 7))
        self.log.wait_moved(base)

    def test_a_line_of_the_kernel_is_a_complaint(self):
        self.base()
        self.say('[   99.0] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:\r\n')
        with self.assertRaisesRegex(Failure, 'detected stalls'):
            self.log.check()

    def test_so_is_one_within_a_line_of_ours(self):
        self.base()
        self.say('load: wor[   99.0] irq 45: nobody cared\r\n' + report('works', 2, 3, 4, 5, 6, 7)[9:])
        with self.assertRaisesRegex(Failure, 'nobody cared'):
            self.log.check()

    def test_a_slow_cpu_is_none(self):
        base = self.base()
        self.say('load: wor' + SLOW + report('works', 2, 3, 4, 5, 6, 7)[9:])
        self.log.wait_moved(base)

    def test_what_the_kernel_says_at_boot_is_none(self):
        self.base()
        self.log.check()

    def test_what_is_wrong(self):
        self.base()
        self.say('load: wrong: disk: block 7 is not as it was written the last time (1)\r\n')
        with self.assertRaisesRegex(Failure, 'block 7'):
            self.log.check()

    def test_what_was_counted_as_wrong(self):
        self.base()
        self.say(report('works', 2, 3, 4, 5, 6, 7, wrong=1))
        with self.assertRaisesRegex(Failure, 'something wrong'):
            self.log.check()

    def test_a_vmm_that_has_ended(self):
        base = self.base()
        self.log.alive = lambda: False
        with self.assertRaisesRegex(Failure, 'has ended'):
            self.log.wait_moved(base)


if __name__ == '__main__':
    unittest.main()
