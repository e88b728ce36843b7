#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""docs/troubleshooting.md has each error line of the plugin's source, and what it lacks, or has too much, is found."""

import os
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import troubles  # noqa: E402

SOURCE = '''
#include "check.h"
#define ADVICE "try " AGAIN
/* pr_err("a comment\\n"); */
static const struct kvm_error errors[] = {
	{ ENXIO, "it has no "
		 "address" },
	{ EBUSY, "a vCPU runs" },
	{},
};
static int f(int pid, struct frame_in *in)
{
	pr_info("nothing of %d\\n", pid);
	pr_err("pid %d: a \\"thing\\" of %#llx "
	       "at %-3u%%: " ADVICE "\\n", f(pid, ","), a ? b : '"');
	pr_err("%s: %zu bytes of %016" PRIx64 " in %s\\n", in->file, n, sum, IMAGE_VM);
	return refuse_vm(vm, "two of %s", "them");
}
'''
CHECK = '''
#define AGAIN "again"
#define IMAGE_VM "kvm-vm.img"
#define refuse(fmt, ...) \\
	({ pr_err(fmt "\\n", ##__VA_ARGS__); -EINVAL; })
#define refuse_vm(vm, fmt, ...) refuse(IMAGE_VM ": VM %u: " fmt, (vm)->id, ##__VA_ARGS__)
'''
# refuse() is a function's name here.
OTHER = '''
static int refuse(const char *what) { return pr_err("pid %d: %s%s: not taken\\n", pid, what, more), -EINVAL; }
static int g(void) { return refuse("a thing"); }
'''
LINES = {'pid …: a "thing" of … at …%: try again', 'kvm-….img: … bytes of … in kvm-vm.img', 'kvm-vm.img: VM …: two of …',
         'pid …: …: not taken', 'vm …: …: it has no address', 'vm …: …: a vCPU runs'}


class Lines(unittest.TestCase):
    """What is read from sources."""

    def lines(self, **files):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                with open(os.path.join(folder, name.replace('_', '.')), 'w', encoding='utf-8') as f:
                    f.write(text)
            return troubles.Source(folder).lines()

    def test_all_that_is_said_is_found(self):
        lines = self.lines(a_c=SOURCE, check_h=CHECK, b_c=OTHER)
        self.assertEqual(set(lines), LINES)
        self.assertEqual(lines['pid …: …: not taken'], 'b.c')

    def test_a_format_that_cannot_be_read_is_no_silence(self):
        with self.assertRaises(ValueError):
            self.lines(a_c='void f(const char *text) { pr_err(text); }\n')


class Document(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lines = troubles.Source(troubles.PLUGIN).lines()

    def setUp(self):
        self.text = troubles.read(troubles.DOC)

    def finds(self, *what):
        self.assertEqual(troubles.check(self.text, self.lines), list(what))

    def change(self, old, new):
        self.assertEqual(self.text.count(old), 1, old)
        self.text = self.text.replace(old, new)

    def test_it_has_each_line(self):
        self.assertGreater(len(self.lines), 300)
        self.finds()

    def test_a_new_line_is_found(self):
        self.lines = {**self.lines, 'vm …: a novelty: … (errno …)': 'state/novelty.c'}
        self.finds('state/novelty.c: vm …: a novelty: … (errno …): docs/troubleshooting.md does not have it')

    def test_a_row_that_is_gone_is_found(self):
        row = next(x for x in self.text.splitlines() if x.startswith('| `creation: '))
        self.change(row + '\n', '')
        self.finds('state/create.c: vm …: creation: …: … (errno …): docs/troubleshooting.md does not have it')

    def test_a_row_for_what_is_not_said_is_found(self):
        self.change('`cannot read the boot id of this host`', '`cannot read the boot id of this host`, `a unicorn at fd …`')
        self.finds('a unicorn at fd …: the plugin does not say it')

    def test_a_line_that_has_changed_is_found_twice(self):
        self.change('`cannot read the boot id of this host`', '`cannot read the boot id of that host`')
        self.finds('cannot read the boot id of that host: the plugin does not say it', 'probe/discover.c: cannot read the boot id '
                   'of this host: docs/troubleshooting.md does not have it')

    def test_a_row_that_says_nothing_is_found(self):
        for what, todo in (('', 'do this or that'), ('an error', ''), ('error', 'do this or that')):
            with self.subTest(what=what, todo=todo):
                self.setUp()
                row = next(x for x in self.text.splitlines() if x.startswith('| `has ended` '))
                self.change(row, f'| `has ended` | {what} | {todo} |')
                self.finds('has ended: a row without a line, what it means, or what to do')

    def test_a_row_for_everything_is_found(self):
        self.change('`has ended`', '`has ended`, `…: … (errno …)`')
        self.assertRegex('\n'.join(troubles.check(self.text, self.lines)),
                         r'^….*: covers \d+ lines: too many for one row$')

    def test_two_rows_of_one_line_are_found(self):
        self.change('| `has ended` |', '| `has ended` | what it says | do as it says |\n| `has ended` |')
        self.finds('has ended: twice')


if __name__ == '__main__':
    unittest.main(verbosity=2)
