#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""criu-kvm over images that criu has written, where there is no KVM: test_images.py CRIU-KVM FOLDER.

FOLDER has what test/zdtm/tool has left: its-1, its-2, gicv5-1, gicv5-2.
"""
import os
import sys
import unittest

from tooltest import Tool, check_schema, main, render

tool = Tool(sys.argv[1])
SETS = ('its-1', 'its-2', 'gicv5-1', 'gicv5-2')


def folder(name):
    return os.path.join(sys.argv[2], name)


class Images(unittest.TestCase):
    def test_show_is_of_the_schema(self):
        for name in SETS:
            check_schema(tool.show(folder(name)))

    def test_graphs_are_drawn(self):
        for name in SETS:
            drawn = render(tool.run('show', '--dot', folder(name)).stdout)
            self.assertIn('vCPU 1', drawn)
            self.assertIn('LPI', drawn)

    def test_show_verify_and_plan_serve_here_too(self):
        for name in SETS:
            for command in 'show', 'verify', 'plan':
                done = tool.run(command, folder(name))
                self.assertEqual((done.returncode, done.stderr), (0, ''), (command, name))
                self.assertTrue(done.stdout)

    def test_plans_are_of_the_gic(self):
        self.assertIn('  ITS tables  ', tool.run('plan', folder('its-2')).stdout)
        self.assertIn('  GICv5 ISTs  ', tool.run('plan', folder('gicv5-2')).stdout)

    def test_two_dumps_differ(self):
        for name in 'its', 'gicv5':
            done = tool.run('diff', folder(name + '-1'), folder(name + '-2'))
            self.assertEqual((done.returncode, done.stderr), (1, ''))
            self.assertIn('.counters.virtual: ', done.stdout)
            self.assertEqual(tool.run('diff', folder(name + '-1'), folder(name + '-1')).stdout, '')


if __name__ == '__main__':
    main(__name__)
