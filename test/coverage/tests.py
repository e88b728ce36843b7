# SPDX-License-Identifier: GPL-2.0-only
"""The tests that a document may name: kvm_plain, refused-vfio, test_host, test_host:pages_of_another_size_are_named."""

import functools
import glob
import os
import re
import sys

ROOT = os.path.join(os.path.dirname(os.path.realpath(__file__)), '..', '..')
FAILCASES = os.path.join(ROOT, 'test/zdtm/failcases')


@functools.cache
def cases_with_vms():
    """Tests with a VM of test/zdtm/static, and the cases of test/zdtm/failures."""
    sys.path[:0] = [FAILCASES, os.path.dirname(FAILCASES)]
    import cramped, dumps, hostile, killed, nokvm, options, refusals, restores, tables  # noqa: E401
    names = {os.path.basename(x)[:-5] for x in glob.glob(os.path.join(ROOT, 'test/zdtm/static/*.desc'))}
    groups = (cramped, dumps, hostile, killed, nokvm, options, refusals, restores, tables)
    return names | {case[0] for group in groups for case in group.cases()}


@functools.cache
def unit_tests(name):
    """The cases of test/unit/NAME.c, which the compiler wants used; None where there is no such file."""
    path = os.path.join(ROOT, f'test/unit/{name}.c')
    if not os.path.exists(path):
        return None
    with open(path, encoding='utf-8') as f:
        return {a or b for a, b in re.findall(r'^static void (\w+)\(void \*\*state\)$|\bTEST\((\w+)\)', f.read(), re.M)}


def exists(name):
    program, _, case = name.partition(':')
    if not program.startswith('test_'):
        return name in cases_with_vms()
    cases = unit_tests(program)
    return cases is not None and (not case or case in cases)


def named_in(text):
    return re.findall(r'`([^`]+)`', text)


def missing(names):
    return [x for x in names if not exists(x)]
