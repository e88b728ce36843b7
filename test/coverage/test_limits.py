#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Each refusal of the documents and of the plugin's source has a test, and one without is found."""

import os
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import limits  # noqa: E402
import tests  # noqa: E402

tests.cases_with_vms()  # leads to the modules of failcases
import seen  # noqa: E402

SOURCE = '''
#include "a header"
#define WHY "an old"
/* "a comment" */
static int refuse(const char *what)
{
	pr_info("only %s\\n", what);
	if (what)
		pr_err("pid %d: fd %u: a thing of "
		       "%#llx: " REFUSAL ": %s\\n", what);
	return refuse(WHY " thing");
}
'''


class Documents(unittest.TestCase):
    def setUp(self):
        self.limits, self.readme = limits.read(limits.LIMITS), limits.read(limits.README)

    def changed(self, text, old, new):
        self.assertEqual(text.count(old), 1, old)
        return text.replace(old, new)

    def test_each_refusal_has_its_test(self):
        self.assertEqual(limits.check(), [])

    def test_a_row_without_a_test_is_found(self):
        for shown in ('', '-', 'not shown: no'):
            text = self.changed(self.limits, ' `refused-smccc-filter-long` |', f' {shown} |')
            self.assertEqual(limits.check_limits(text),
                             ['an SMCCC filter of more than 1024 ranges: no test provokes it',
                              'refused-smccc-filter-long: docs/limits.md does not have it'])

    def test_a_row_of_too_few_columns_is_found(self):
        text = self.changed(self.limits, '| end that process, or run criu in its pid namespace | `option-', '| `option-')
        self.assertEqual(limits.check_limits(text),
                         ['an irqfd or ioeventfd whose eventfd is in a table of fds that a process shares (CLONE_FILES) which '
                          'criu, in a pid namespace, does not see: no test provokes it'])

    def test_a_test_that_there_is_not_is_found(self):
        for old, new in (('`refused-dirty-ring`', '`refused-dirty-rings`'), ('`refused-step-pending`', '`test_step`'),
                         ('`test_tree:the_most_vms`', '`test_tree:most_vms`'), ('`refused-dead`', '`the dead`')):
            wrong = limits.check_limits(self.changed(self.limits, old, new))
            self.assertIn(f'there is no test {new[1:-1]}', wrong[0])

    def test_a_case_that_limits_do_not_name_is_found(self):
        self.assertEqual(limits.check_limits(self.limits.replace(', `refused-many-maps`', '')),
                         ['refused-many-maps: docs/limits.md does not have it'])

    def test_a_section_without_its_table_is_found(self):
        for section, old, new in (('at restore', '| what | what to do | shown by |', '| what | what to do | seen |'),
                                  ('at dump', '## Refused at dump', '## Refusals')):
            wrong = limits.check_limits(self.changed(self.limits, old, new))
            self.assertIn(f'docs/limits.md: Refused {section}: no table with a column "shown by"', wrong)

    def test_a_refusal_of_the_readme_without_a_test_is_found(self):
        row = next(x for x in self.readme.splitlines() if x.startswith('| **Refused'))
        for old, new, says in ((' (`refused-nested`)', '', 'nested guests'), ('`) |', '`), tapes |', 'tapes'),
                               (' (`refused-nested`)', ' ()', 'nested guests')):
            text = self.readme.replace(row, self.changed(row, old, new))
            self.assertEqual(limits.check_readme(text), [f'README.md: {says}: no test provokes it'])

    def test_a_test_of_the_readme_that_there_is_not_is_found(self):
        text = self.changed(self.readme, '(`refused-mte`)', '(`refused-mtes`)')
        self.assertEqual(limits.check_readme(text), ['README.md: MTE: there is no test refused-mtes'])
        self.assertEqual(limits.check_readme(''), ['README.md: no row of what is refused'])


class Sources(unittest.TestCase):
    """What test/zdtm/failures wants to have seen."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        os.mkdir(os.path.join(self.folder.name, 'probe'))
        self.write('probe/discover.h', '#define REFUSAL "not supported by this version"\n')
        self.write('probe/discover.c', SOURCE)

    def write(self, path, text):
        with open(os.path.join(self.folder.name, path), 'w', encoding='utf-8') as f:
            f.write(text)

    def missing(self, *lines):
        return seen.missing(self.folder.name, '\n'.join(lines))

    def test_a_message_with_numbers_is_seen(self):
        line = 'pid 7: fd 3: a thing of 0xa0: not supported by this version: try again'
        self.assertEqual(self.missing(line, 'an old thing: not supported by this version'), [])

    def test_a_message_with_a_macro_for_a_number_is_one(self):
        self.write('probe/discover.c', '')
        self.write('vcpu.c', 'pr_err("a %" PRIu64 " KiB: " REFUSAL ": raise it to %" PRIx64 "\\n", a, b);')
        self.assertEqual(self.missing(), ['a %llu KiB: not supported by this version: raise it to %llx'])
        self.assertEqual(self.missing('a 7 KiB: not supported by this version: raise it to ff'), [])

    def test_what_was_not_seen_is_missing(self):
        message = 'pid %d: fd %u: a thing of %#llx: not supported by this version: %s'
        self.assertEqual(self.missing('an old thing'), [message])
        self.assertEqual(self.missing('an old thing', 'pid 7: fd 3: a thing of 0xa0: not supported'), [message])
        line = 'pid 7: fd 3: a thing of 0xa0: not supported by this version: '
        self.assertEqual(self.missing(line), ['an old thing'])

    def test_of_other_sources_what_says_so_is_wanted(self):
        self.write('probe/discover.c', '')
        self.write('vcpu.c', 'pr_err("a vCPU %u: not supported by this version: end it\\n"); puts("something else");')
        self.assertEqual(self.missing(), ['a vCPU %u: not supported by this version: end it'])

    def test_what_a_unit_test_shows_is_not_missing(self):
        self.write('probe/discover.c', 'refuse("a protected VM"); refuse("a protected VMM");')
        self.assertEqual(self.missing(), ['a protected VMM'])

    def test_an_excuse_for_what_is_not_said_is_found(self):
        said = limits.check_excuses(self.folder.name)
        self.assertIn('failcases/seen.py: a protected VM: the plugin does not say it', said)
        self.assertEqual(len(said), len(seen.NOT_SEEN))


if __name__ == '__main__':
    unittest.main(verbosity=2)
