# SPDX-License-Identifier: GPL-2.0-only
"""The results, as tables."""

import collections

OWN_LEAST = 50      # of CRIU's own tests, if so many are run, must pass without the plugin and with it
SIGNS = {'passed': '+', 'skipped': '-', 'failed': 'F'}


def count(results):
    return collections.Counter(x['result'] for x in results)


def columns(modes, width):
    """The names of modes, upright: they are longer than their columns."""
    height = max(map(len, modes))
    return [' ' * width + '  '.join(x.ljust(height)[i] for x in modes) for i in range(height)]


def matrix(results, tests, modes):
    """A row for each test, a column for each mode."""
    of = {(x['test'], x['mode']): SIGNS[x['result']] for x in results}
    width = max(map(len, tests)) + 2
    rows = [x.ljust(width) + '  '.join(of.get((x, mode), ' ') for mode in modes) for x in tests]
    return '\n'.join(x.rstrip() for x in columns(modes, width) + rows)


def reasons(results, result):
    """Why, and of which tests in which modes: a reason that many share is told once."""
    by_reason = collections.defaultdict(lambda: collections.defaultdict(list))
    for x in results:
        if x['result'] == result:
            by_reason[x['reason']][x['mode']].append(x['test'])
    lines = []
    for reason, by_mode in by_reason.items():
        where = '; '.join(f'{mode}: {" ".join(tests) if len(tests) < 8 else f"{len(tests)} tests"}'
                          for mode, tests in by_mode.items())
        lines.append(f'{reason} ({where})')
    return lines


def own(results, tests):
    """CRIU's own tests, without the plugin and with it. Returns the text, and what it counts."""
    of = {(x['test'], x['mode']): x for x in results}
    both, broken, disturbed = [], [], []
    for test in tests:
        without, with_plugin = of[test, 'without'], of[test, 'with']
        if without['result'] != 'passed':
            broken.append(f'{test}: {without["result"]} without the plugin: {without["reason"]}')
        elif with_plugin['result'] != 'passed':
            disturbed.append(f'{test}: {with_plugin["result"]} with the plugin: {with_plugin["reason"]}')
        else:
            both.append(test)
    lines = [f'  {x}' for x in wrap(both)]
    lines += [f'not counted: {x}' for x in broken] + [f'FAILED: {x}' for x in disturbed]
    least = min(OWN_LEAST, len(tests))
    if len(both) < least:
        lines.append(f'FAILED: {least} are to pass both ways')
    return '\n'.join(lines), len(both), len(disturbed), len(broken), len(both) >= least


def wrap(words, width=110):
    lines, line = [], ''
    for word in words:
        if line and len(line) + len(word) >= width:
            lines.append(line)
            line = ''
        line = f'{line} {word}'.strip()
    return lines + [line] if line else lines
