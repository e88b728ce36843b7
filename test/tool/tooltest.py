# SPDX-License-Identifier: GPL-2.0-only
"""What the tests of criu-kvm have in common: to run it, and to tell passed, failed and skipped apart."""
import json
import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
SCHEMA = os.path.join(TOP, 'docs', 'criu-kvm-show.schema.json')


class Tool:
    """criu-kvm as it was built."""

    def __init__(self, path, before=()):
        self.path = path
        self.before = list(before)

    def run(self, *args, env=None, **more):
        command = self.before + [self.path] + [str(a) for a in args]
        return subprocess.run(command, capture_output=True, text=True, errors='surrogateescape',
                              env=dict(os.environ, **(env or {})), **more)

    def show(self, folder):
        done = self.run('show', '--json', folder)
        if done.returncode:
            raise AssertionError(done.stderr)
        return json.loads(done.stdout)


def check_schema(document):
    import jsonschema
    with open(SCHEMA) as f:
        schema = json.load(f)
    jsonschema.Draft202012Validator.check_schema(schema)
    errors = sorted(jsonschema.Draft202012Validator(schema).iter_errors(document), key=lambda e: len(e.path))
    if errors:
        raise AssertionError('%s: %s' % (errors[0].json_path, errors[0].message[:400]))


def render(dot):
    """By graphviz, which fails where it cannot read the graph: the drawing, as SVG."""
    done = subprocess.run(['dot', '-Tsvg'], input=dot, capture_output=True, text=True, timeout=120)
    if done.returncode or done.stderr:
        raise AssertionError(done.stderr)
    return done.stdout


def report(result):
    """As cmocka tells it, for run-tests: what was skipped has not passed. The exit status for meson."""
    bad = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    skipped = len(result.skipped)
    print('[  PASSED  ] %d test(s).' % (result.testsRun - bad - skipped))
    if skipped:
        print('[  SKIPPED ] %d test(s).' % skipped)
    if bad:
        print('[  FAILED  ] %d test(s).' % bad)
    print('tests: %d passed, %d failed, %d skipped' % (result.testsRun - bad - skipped, bad, skipped))
    return 1 if bad or not result.testsRun else 77 if skipped == result.testsRun else 0


def main(module):
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules[module])
    sys.exit(report(unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)))
