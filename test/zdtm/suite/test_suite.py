#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""What zdtm.py says is read strictly: a test that was not run, or not as it was to be, has not passed."""

import ast
import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import hosts  # noqa: E402
import inhost  # noqa: E402
import modes  # noqa: E402
import output  # noqa: E402
import own  # noqa: E402
import table  # noqa: E402

A, B = 'zdtm/static/kvm_plain', 'zdtm/static/kvm_irqfd'
END = 'Send the 15 signal to  62\nWait for it(62) to die for 0.100000\n'
CR = 'Run criu dump\nRun criu restore\n'
ERROR = ("=[log]=> dump/zdtm/static/kvm_plain/62/1/dump.log\n"
         "------------------------ grep Error ------------------------\n"
         "b'(00.10) Error (criu/plugin.c:7): hook 9 failed'\n"
         "b\"(00.12) Error (kvm_vgic_plugin.c:9): kvm_vgic: vm 1: the VM's device: not supported\"\n"
         "------------------------ ERROR OVER ------------------------\n")


def launch(test, nr=1, of=1):
    return f'=== Run {nr}/{of} =====----------- {test}\n'


def begin(test, flavor='h'):
    return f' Run {test} in {flavor} '.center(80, '=') + '\n'


def passes(test):
    return f' Test {test} PASS '.center(80, '=') + '\n'


def fails(test, step='CRIU dump'):
    return f' Test {test} FAIL at {step} '.center(80, '#') + '\n'


def block(test, middle=CR, flavor='h'):
    return begin(test, flavor) + 'Start test\n./it --pidfile=it.pid\n' + middle + END + passes(test)


def all_passed(total, skipped=0):
    return f' ALL TEST(S) PASSED (TOTAL {total}/SKIPPED {skipped}) '.center(80, '#') + '\n'


def some_failed(failed, total, skipped=0):
    return f' {failed} TEST(S) FAILED (TOTAL {total}/SKIPPED {skipped}) '.center(80, '#') + '\n * it(h)\n'


class Reads(unittest.TestCase):

    def read(self, text, tests=(A,), mode='plain', status=0, refused=None):
        lines = [(float(n), x + '\n') for n, x in enumerate(text.splitlines())]
        return output.read(lines, status, list(tests), modes.BY_NAME[mode], refused)

    def check(self, result, reason, text, **more):
        """Of @A."""
        found = self.read(text, **more)[A]
        self.assertEqual(found.result, result, found.reason)
        self.assertRegex(found.reason, reason)

    def test_passes(self):
        self.check('passed', '^$', launch(A) + block(A) + all_passed(1))

    def test_two_at_a_time(self):
        text = launch(A, 1, 2) + launch(B, 2, 2) + block(B) + '\n' + block(A) + '\n' + all_passed(2)
        found = self.read(text, (A, B))
        self.assertEqual([found[A].result, found[B].result], ['passed', 'passed'])

    def test_nothing_at_all(self):
        self.check('failed', 'not run', '')

    def test_exit_status_alone(self):
        self.check('failed', 'not run', all_passed(1))

    def test_another_one_was_run(self):
        self.check('failed', 'not run', launch(B) + block(B) + all_passed(1))

    def test_one_of_two_was_not_run(self):
        found = self.read(launch(A, 1, 2) + block(A) + all_passed(1), (A, B))
        self.assertEqual([found[A].result, found[B].result], ['failed', 'failed'])

    def test_run_twice(self):
        self.check('failed', 'run it 2 times', launch(A) + block(A) + block(A) + all_passed(1))

    def test_dry_run(self):
        self.check('failed', 'no verdict', launch(A) + begin(A) + all_passed(1))

    def test_no_dump(self):
        self.check('failed', 'CRIU has run: not at all', launch(A) + block(A, '') + all_passed(1))

    def test_no_restore(self):
        self.check('failed', 'CRIU has run: dump 1 times', launch(A) + block(A, 'Run criu dump\n') + all_passed(1))

    def test_too_few_iterations(self):
        text = launch(A) + block(A, 2 * CR) + all_passed(1)
        self.check('failed', 'dump 3 times', text, mode='iters')
        self.check('passed', '^', text.replace(2 * CR, 3 * CR), mode='iters')

    def test_a_fault_that_was_not_provoked(self):
        self.check('failed', 'dump 2 times', launch(A) + block(A) + all_passed(1), mode='fault-1')
        self.check('passed', '^', launch(A) + block(A, 'Run criu dump\n' + CR) + all_passed(1), mode='fault-1')

    def test_another_flavor(self):
        self.check('failed', 'run in h, not in ns', launch(A) + block(A) + all_passed(1), mode='ns')
        self.check('passed', '^', launch(A) + block(A, flavor='ns') + all_passed(1), mode='ns')

    def test_never_started(self):
        text = launch(A) + block(A).replace('Start test\n', '') + all_passed(1)
        self.check('failed', 'never started', text)

    def test_fails_by_name(self):
        text = launch(A) + begin(A) + 'Start test\nRun criu dump\n' + ERROR + fails(A) + some_failed(1, 1)
        self.check('failed', "^failed at CRIU dump: kvm_vgic: vm 1: the VM's device", text, status=1)

    def test_fails_and_zdtm_says_all_is_well(self):
        text = launch(A) + begin(A) + 'Start test\n' + fails(A) + all_passed(1)
        self.check('failed', 'CRIU dump', text)

    def test_a_traceback(self):
        text = launch(A) + begin(A) + 'Start test\nRun criu dump\nTraceback (most recent call last):\n' + some_failed(1, 1)
        self.check('failed', 'no verdict', text, status=1)

    def test_exit_status_does_not_fit(self):
        self.check('failed', 'ends with 1', launch(A) + block(A) + all_passed(1), status=1)

    def test_no_totals(self):
        self.check('failed', 'counts nothing', launch(A) + block(A))

    def test_totals_do_not_fit(self):
        self.check('failed', 'counts', launch(A) + block(A) + all_passed(2, 1))

    def test_verdict_of_another(self):
        text = launch(A) + begin(A) + 'Start test\n' + CR + passes(B) + all_passed(1)
        self.check('failed', 'no verdict', text)

    def test_skipped_by_checkskip(self):
        text = f'kvm_plain: this host has no GICv2 for guests\nSkipping {A} (checkskip failed)\n' + all_passed(1, 1)
        self.check('skipped', '^this host has no GICv2 for guests$', text)

    def test_skipped_by_desc(self):
        self.check('skipped', '^no flavors$', f'Skipping {A} (no flavors)\n' + all_passed(1, 1))

    def test_skipped_and_not_counted(self):
        self.check('failed', 'counts', f'Skipping {A} (no flavors)\n' + all_passed(1, 0))

    def test_no_memory_tracking(self):
        self.check('skipped', 'Tracking memory is not available', output.NO_TRACKING + '\n', mode='pre')
        self.check('failed', 'not run', output.NO_TRACKING + '\n' + all_passed(1), mode='pre')

    def test_refused_by_name(self):
        text = launch(A) + block(A, 'Run criu dump\n' + ERROR) + all_passed(1)
        self.check('passed', '^kvm_vgic: vm 1', text, refused={A: "the VM's device"})
        self.check('failed', 'CRIU has run', text)
        self.check('failed', 'not by "a dirty ring": kvm_vgic: vm 1', text, refused={A: 'a dirty ring'})

    def test_refused_by_whatever(self):
        text = launch(A) + block(A, 'Run criu dump\n' + ERROR.replace('kvm_vgic: ', '')) + all_passed(1)
        self.check('failed', 'not by "the VM', text, refused={A: "the VM's device"})

    def test_refused_after_a_fault(self):
        text = launch(A) + block(A, 2 * ('Run criu dump\n' + ERROR)) + all_passed(1)
        device = {A: "the VM's device"}
        self.check('passed', '^', text, refused=device, mode='fault-1')
        self.check('passed', '^', text, refused=device, mode='fault-6')     # zdtm.py takes it for the fault's
        self.check('failed', 'dump 1 times', text, refused=device, mode='fault-131')


class Judges(unittest.TestCase):
    """What was run without a difference, or where it should not have been missing, is not taken for passed."""

    LOGS = {'acted': ['`- trim preadv 8'], 'idle': ['nothing'], 'memfd': ['Set up parasite blob using memfd'], 'without': []}

    def setUp(self):
        self.logs, inhost.criu_logs = inhost.criu_logs, lambda test: iter(self.LOGS[test])

    def tearDown(self):
        inhost.criu_logs = self.logs

    def differs(self, mode, *tests):
        outcomes = {x: output.Outcome('passed') for x in tests}
        inhost.check_difference(modes.BY_NAME[mode], outcomes)
        return [outcomes[x].result for x in tests]

    def test_a_fault_that_has_not_acted(self):
        self.assertEqual(self.differs('fault-131', 'acted', 'idle', 'without'), ['passed', 'skipped', 'skipped'])
        self.assertEqual(self.differs('fault-129', 'memfd', 'idle'), ['skipped', 'passed'])

    def test_a_fault_that_has_acted_nowhere(self):
        self.assertEqual(self.differs('fault-131', 'idle', 'without'), ['failed', 'skipped'])

    def test_a_mode_that_shows_nothing(self):
        self.assertEqual(self.differs('plain', 'idle', 'without'), ['passed', 'passed'])

    def skipped(self, chosen, own=False, reason='checkskip failed'):
        outcome = output.Outcome('skipped', reason)
        inhost.check_skips({'own': own}, {'chosen': chosen}, {A: outcome})
        return outcome.result

    def test_skipped_where_it_was_to_be_run(self):
        self.assertEqual(self.skipped(chosen=True), 'failed')
        self.assertEqual(self.skipped(chosen=False), 'skipped')
        self.assertEqual(self.skipped(chosen=True, own=True), 'skipped')
        self.assertEqual(self.skipped(chosen=True, reason=output.NO_TRACKING), 'skipped')

    def test_what_is_tried_again(self):
        failed = output.Outcome('failed', lines=['kvm_vgic: vm 1: not injected yet: try again'])
        other = output.Outcome('failed', lines=['kvm_vgic: vm 1: no'])
        self.assertTrue(inhost.is_tried_again({'plugin': True}, failed, 3))
        self.assertFalse(inhost.is_tried_again({'plugin': True}, other, 1))
        self.assertTrue(inhost.is_tried_again({'plugin': False}, other, 1))
        self.assertFalse(inhost.is_tried_again({'plugin': False}, other, 2))
        self.assertFalse(inhost.is_tried_again({'plugin': True}, output.Outcome('passed', lines=failed.lines), 1))


class Fits(unittest.TestCase):
    """What is written down in several places says the same."""

    def desc(self, test):
        with open(os.path.join(hosts.STATIC, test + '.desc')) as f:
            return ast.literal_eval(f.read())

    def test_each_test_has_a_host(self):
        shares = hosts.distribute(hosts.all_tests())
        self.assertEqual(sorted(x for _, tests in shares for x in tests), hosts.all_tests())
        self.assertEqual(len(shares), 1 + len(hosts.SPECIAL))

    def test_what_a_desc_skips(self):
        for test in hosts.all_tests():
            desc = self.desc(test)
            skip = {mode for some in desc.get('skip', {}) for mode in some.split()}
            self.assertLessEqual(skip, {*modes.BY_NAME, '*'}, test)
            for mode in modes.MODES:
                if '*' not in skip and mode.flavor not in desc['flavor'].split():
                    self.assertIn(mode.name, skip, test)
            flags = desc.get('flags', '').split()
            if 'nolazy' in flags:
                self.assertIn('lazy-pages', skip, test)
            self.assertEqual('refused' in desc, 'crfail' in flags, test)

    def test_own_tests(self):
        self.assertEqual(len(own.OWN), len(set(own.OWN)))
        self.assertGreaterEqual(len(own.OWN), 50)
        self.assertLessEqual(set(own.FEW), set(own.OWN))

    def test_own_without_the_plugin_is_what_counts(self):
        def result(test, mode, result):
            return {'test': test, 'mode': mode, 'result': result, 'reason': 'a reason'}
        results = [result('both', 'without', 'passed'), result('both', 'with', 'passed'),
                   result('broken', 'without', 'failed'), result('broken', 'with', 'passed'),
                   result('skipped', 'without', 'passed'), result('skipped', 'with', 'skipped')]
        text, both, disturbed, broken, enough = table.own(results, ['both', 'broken', 'skipped'])
        self.assertEqual((both, disturbed, broken, enough), (1, 1, 1, False))
        self.assertIn('FAILED: 3 are to pass both ways', text)
        self.assertIn('not counted: broken: failed without the plugin: a reason', text)
        self.assertIn('FAILED: skipped', text)

    def test_fifty_of_criu_s_own_are_enough(self):
        def enough(passed, of):
            tests = [f't{n}' for n in range(of)]
            results = [{'test': x, 'mode': mode, 'reason': '', 'result': 'passed' if n < passed else 'failed'}
                       for n, x in enumerate(tests) for mode in ('without', 'with')]
            return table.own(results, tests)[4]
        self.assertEqual([enough(5, 5), enough(4, 5), enough(50, 99), enough(49, 99)], [True, False, True, False])


if __name__ == '__main__':
    unittest.main()
