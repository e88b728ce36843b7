#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""docs/restore-order.md has the steps of plugin/plan.c, in order and with their documents: test_order.py PRINT_PLAN."""
import os
import re
import subprocess
import sys
import unittest

from tooltest import TOP, main

print_plan = sys.argv[1]


def plan(sequence):
    printed = subprocess.run([print_plan], capture_output=True, text=True, check=True).stdout
    lines = [line.split('\t') for line in printed.splitlines()]
    return [(name, rule) for of, name, rule in lines if of == sequence]


def rows(sequence):
    """(step, text) of each row that is of a step: not in italics."""
    with open(os.path.join(TOP, 'docs', 'restore-order.md')) as f:
        section = f.read().split('\n## %s\n' % sequence)[1].split('\n## ')[0]
    table = re.findall(r'(?m)^\| (.*?) \| (.*) \|$', section)
    return [(first.split(': ')[0], text) for first, text in table[1:] if not first.startswith('*')]


def documents(text):
    """The kernel's documents that @text names, and the sections: "devices/vcpu.rst 1.3" or "devices/vcpu.rst, 1.3"."""
    return {(name, section) for name, sections in re.findall(r'([\w/-]+\.rst)((?:,? \d+(?:\.\d+)*)*)', text)
            for section in re.findall(r'\d+(?:\.\d+)*', sections) or ['']}


class Order(unittest.TestCase):
    def both(self):
        for sequence in 'Dump', 'Restore':
            yield sequence, plan(sequence), rows(sequence)

    def test_steps_are_rows_in_the_same_order(self):
        for sequence, steps, table in self.both():
            names = [name for i, (name, _) in enumerate(table) if not i or table[i - 1][0] != name]
            self.assertEqual(names, [name for name, _ in steps], sequence)

    def test_a_step_and_its_rows_name_the_same_documents(self):
        for sequence, steps, table in self.both():
            for name, rule in steps:
                text = ' '.join(text for row, text in table if row == name)
                self.assertEqual(documents(rule), documents(text), (sequence, name))

    def test_a_rule_stands_for_itself(self):
        """criu-kvm plan leaves out steps of other GICs, to which a "likewise" could refer."""
        for sequence, steps, _ in self.both():
            for name, rule in steps:
                self.assertNotRegex(rule, '^likewise', (sequence, name))


if __name__ == '__main__':
    main(__name__)
