# SPDX-License-Identifier: GPL-2.0-only
"""Whether each refusal in docs/limits.md and README.md names the test that provokes it, and each such test is named."""

import os
import re

import tests

LIMITS = os.path.join(tests.ROOT, 'docs/limits.md')
README = os.path.join(tests.ROOT, 'README.md')
SECTIONS = ('Refused at dump', 'Refused at restore')
NOT_SHOWN = 'not shown: '


def read(path):
    with open(path, encoding='utf-8') as f:
        return f.read()


def cells(line):
    return [x.strip() for x in line.strip()[1:-1].split('|')]


def rows_of(text, section):
    """[(what, what shows it)] of the one table of a section of @text; None where it has no such column."""
    found = re.search(rf'^## {section}\n(.*?)(?=^## |\Z)', text, re.M | re.S)
    lines = [x for x in (found[1] if found else '').splitlines() if x.startswith('|')]
    if not lines or cells(lines[0])[-1] != 'shown by':
        return None
    return [(cells(x)[0], cells(x)[-1] if len(cells(x)) == len(cells(lines[0])) else '') for x in lines[2:]]


def check_row(what, shown):
    named = tests.named_in(shown)
    missing = tests.missing(named)
    if missing:
        return [f'{what}: there is no test {", ".join(missing)}']
    if not named and not (shown.startswith(NOT_SHOWN) and len(shown.split()) > 4):
        return [f'{what}: no test provokes it']
    return []


def check_limits(text):
    wrong = []
    for section in SECTIONS:
        rows = rows_of(text, section)
        if rows is None:
            wrong.append(f'docs/limits.md: {section}: no table with a column "shown by"')
        for what, shown in rows or []:
            wrong += check_row(what, shown)
    named = tests.named_in(text)
    return wrong + [f'{x}: docs/limits.md does not have it' for x in tests.cases_with_vms()
                    if x.startswith(('refused-', 'option-')) and x not in named]


def check_readme(text):
    """In its row each refusal has its tests behind it, in brackets."""
    row = re.search(r'^\| \*\*Refused.*?\| (.*) \|$', text, re.M)
    if not row:
        return ['README.md: no row of what is refused']
    wrong = []
    parts = re.split(r' \(((?:`[^`]*`(?:, )?)*)\)(?:, |$)', row[1])
    for what, shown in zip(parts[::2], parts[1::2]):
        # Of several things in front of one bracket, the last alone is shown.
        wrong += [f'README.md: {x}: no test provokes it' for x in what.split(', ')[:-1]]
        wrong += check_row('README.md: ' + what.split(', ')[-1], shown)
    return wrong + [f'README.md: {x}: no test provokes it' for x in parts[-1:] if x]


def check_excuses(plugin=os.path.join(tests.ROOT, 'plugin')):
    """What test/zdtm/failures lets pass unseen is in the source, and is a unit test's."""
    tests.cases_with_vms()
    import seen
    said = seen.refusals_of(plugin)
    wrong = [f'failcases/seen.py: {x}: there is no test {test}' for x, test in seen.NOT_SEEN.items()
             if not tests.exists(test)]
    return wrong + [f'failcases/seen.py: {x}: the plugin does not say it' for x in seen.NOT_SEEN
                    if not any(x in y for y in said)]


def check():
    return check_limits(read(LIMITS)) + check_readme(read(README)) + check_excuses()
