#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""How the benchmark reads what it measures."""

import os
import sys
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE]
sys.dont_write_bytecode = True

import smallvm  # noqa: E402
from figures import Figures, Spent, Trouble, ratio, table, traced  # noqa: E402

LOG = '''(00.101234) kvm_vgic: vm 1 of pid 30001: kvm_run put back
(00.101240) kvm_vgic: the dump took 1234 us (looking 200, putting back 34, kvm_run 1000), 3827 ioctls and 150 other system calls in 165 round trips of 900 us
'''
TRACE = '''# tracer: nop
     bench_vm-30001   [001] .....    12.000001: sys_ioctl(fd: 5, cmd: ae01, arg: 0)
     bench_vm-30001   [001] .....    12.000002: sys_tgkill(tgid: 7531, pid: 7531, sig: 17)
     bench_vm-30001   [001] .....    12.000003: sys_ioctl(fd: 5, cmd: 4010aeab, arg: ffff8000)
     bench_vm-30001   [001] .....    12.000004: sys_ioctl(fd: 1, cmd: 5401, arg: ffff8000)
     bench_vm-30002   [000] .....    12.000005: sys_ioctl(fd: 6, cmd: ae80, arg: 0)
     bench_vm-30001   [001] .....    12.000006: sys_tgkill(tgid: 7531, pid: 7531, sig: a)
     bench_vm-30001   [001] .....    12.000007: sys_tgkill(tgid: 7531, pid: 7531, sig: 17)
'''


def ptraced(requests):
    return ''.join(f'    criu-30031   [000] .....    8.463519: sys_ptrace(request: {request}, pid: 7531, addr: 18, data: 7)\n'
                   for request in requests.split())


def figures(*values):
    found = Figures()
    for value in values:
        found.add(value)
    return found


class Read(unittest.TestCase):
    def test_the_plugin_s_line_is_read(self):
        spent = Spent(LOG, 'dump')
        self.assertEqual((spent.us, spent.ioctls, spent.others, spent.trips, spent.trips_us), (1234, 3827, 150, 165, 900))
        self.assertEqual(spent.parts, {'looking': 200, 'putting back': 34, 'kvm_run': 1000})

    def test_a_log_without_it_or_with_two_is_no_measurement(self):
        for log, action in ((LOG, 'restore'), (LOG + LOG, 'dump'), ('', 'dump')):
            with self.assertRaises(Trouble):
                Spent(log, action)

    def test_the_thread_s_own_ioctls_and_signals_are_counted(self):
        """Those of KVM, from the first round trip on; SIGURG alone."""
        self.assertEqual(traced(TRACE, 30001), (1, 2, 0))
        self.assertEqual(traced(TRACE, 30002), (0, 0, 0))

    def test_a_round_trip_is_a_thread_whose_registers_are_set_and_read(self):
        """With what is asked of it between; of threads of their own numbers."""
        for requests, gone in (('4205 7 4204', 1), ('4205 420b 7 4204', 1), ('4205 7 4204 4205 7 4204', 2), ('4207 7 4204', 0),
                               ('4205 7 4202 4204', 0), ('4205 7', 0), ('4205 7 4204 7 4204', 1), ('4205 18 4204', 0),
                               ('4205 4207 7 4204', 0)):
            self.assertEqual(traced(ptraced(requests), 30001), (0, 0, gone), requests)
        self.assertEqual(traced(ptraced('4205 7 4204'), 30002), (0, 0, 0))


class Statistics(unittest.TestCase):
    def test_one_slow_round_does_not_count(self):
        self.assertEqual(figures(10, 11, 9, 900, 10).median(), 10)
        self.assertEqual(figures(1, 2).median(), 1.5)

    def test_a_ratio_is_that_of_the_medians(self):
        self.assertEqual(ratio(figures(20, 30, 1000), figures(10, 15, 20)), 2)
        for b in (figures(0), figures()):
            with self.assertRaises(Trouble):
                ratio(figures(1), b)

    def test_what_must_not_differ_is_told_when_it_does(self):
        self.assertEqual(figures(5, 5).same('ioctls'), 5)
        with self.assertRaisesRegex(Trouble, 'ioctls differ'):
            figures(5, 6).same('ioctls')

    def test_the_plugin_and_the_loop_must_have_done_the_same(self):
        measured = smallvm.Measured(smallvm.POINT)
        for action in smallvm.ACTIONS:
            measured.ioctls[action].add(10)
            measured.alone_ioctls[action].add(10)
        measured.check()
        measured.alone_ioctls['restore'] = figures(9)
        with self.assertRaisesRegex(Trouble, 'the plugin makes 10 ioctls at a restore, 9 were made alone'):
            measured.check()


def measured_once(shape=smallvm.POINT):
    measured = smallvm.Measured(shape)
    spent = Spent(LOG, 'dump')
    for action in smallvm.ACTIONS:
        measured.add_spent(action, spent)
        measured.alone_us[action].add(617)
        measured.alone_ioctls[action].add(spent.ioctls)
    measured.bytes.add(53533)
    return measured


class Told(unittest.TestCase):
    def test_a_row_has_a_cell_for_each_column(self):
        row = measured_once().row()
        self.assertEqual(len(row), len(smallvm.HEAD))
        self.assertEqual(row[:8], [8, 960, 2048, '1.2', '0.6', '2.00', 3827, '165'])

    def test_what_the_json_is_to_have_is_there(self):
        found = measured_once().figures()
        for key in ('dump_ratio', 'restore_ratio', 'round_trips_dump', 'round_trips_restore', 'image_bytes'):
            self.assertIn(key, found)
        self.assertEqual(found['dump_ratio'], 2)
        self.assertEqual(found['dump_parts_us'], {'looking': 200, 'putting back': 34, 'kvm_run': 1000})

    def test_the_line_that_the_document_shows_is_one_of_the_plugin(self):
        with open(os.path.join(HERE, '../../docs/performance.md')) as f:
            shown = [line for line in f if 'kvm_vgic: the dump took' in line]
        self.assertEqual(len(shown), 1)
        self.assertGreater(Spent(shown[0], 'dump').ioctls, 0)


class Sizes(unittest.TestCase):
    def test_one_size_is_varied_at_a_time_around_the_point(self):
        found = smallvm.shapes(smallvm.AXES)
        self.assertEqual(found[0], smallvm.POINT)
        self.assertEqual(len(found), len(set(found)))
        self.assertEqual(len(found), 6 + 3 + 4 - 2)
        for shape in found[1:]:
            self.assertEqual(sum(a != b for a, b in zip(shape, smallvm.POINT)), 1)
        self.assertEqual(smallvm.shapes([]), [smallvm.POINT])

    def test_a_table_is_aligned_to_the_right(self):
        self.assertEqual(table(['a', 'long'], [[100, 1], [2, 30]]), '  a  long\n100     1\n  2    30')


if __name__ == '__main__':
    unittest.main(verbosity=2)
