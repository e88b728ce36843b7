# SPDX-License-Identifier: GPL-2.0-only
"""What zdtm.py says, read strictly: what is not shown to have been run, and to have passed, has failed."""

import ast
import collections
import re

NO_TRACKING = 'Tracking memory is not available'

START = re.compile(r'=== Run (\d+)/(\d+) [=-]* (\S+)')
BEGIN = re.compile(r'=* Run (\S+) in (\S+) =*')
PASS = re.compile(r'=* Test (\S+) PASS =*')
FAIL = re.compile(r'#* Test (\S+) FAIL at (.*?) #*')
SKIP = re.compile(r'Skipping (\S+) \((.*)\)')
CRIU = re.compile(r'Run criu (\S+)')
LACKS = re.compile(r'(\w+): ((?:this host has no|no KVM).*)')
ALL_PASSED = re.compile(r'#* ALL TEST\(S\) PASSED \(TOTAL (\d+)/SKIPPED (\d+)\) #*')
SOME_FAILED = re.compile(r'#* (\d+) TEST\(S\) FAILED \(TOTAL (\d+)/SKIPPED (\d+)\) #*')
ERROR = re.compile(r"(b['\"].*Error \(.*)")
PLUGIN_ERROR = re.compile(r'Error \([^)]*\): (kvm_vgic: .*)')


class Outcome:
    """Of one test in one mode: passed, skipped or failed; why, where not passed."""

    def __init__(self, result, reason='', seconds=0, lines=()):
        self.result = result
        self.reason = reason
        self.seconds = seconds
        self.lines = list(lines)
        self.tries = 1

    def fail(self, reason):
        self.result, self.reason = 'failed', reason


class Block:
    """What zdtm.py and CRIU say of one test in one flavor."""

    def __init__(self, test, flavor, when):
        self.test = test
        self.flavor = flavor
        self.began = self.ended = when
        self.lines = []
        self.runs = collections.Counter()
        self.verdict = None

    def add(self, when, line):
        self.ended = when
        self.lines.append(line)
        run = CRIU.fullmatch(line)
        if run:
            self.runs[run[1]] += 1

    def errors(self):
        """zdtm.py prints the lines of CRIU's log as Python writes bytes."""
        for line in self.lines:
            found = ERROR.search(line)
            if found:
                try:
                    yield ast.literal_eval(found[1]).decode(errors='replace')
                except (ValueError, SyntaxError):
                    yield found[1]

    def cause(self):
        """The plugin's own error, or else CRIU's first one."""
        errors = list(self.errors())
        for line in errors:
            found = PLUGIN_ERROR.search(line)
            if found:
                return found[1]
        return errors[0] if errors else ''


class Output:
    """The whole of it, taken apart."""

    def __init__(self, lines):
        """@lines: (when, line) of each."""
        self.blocks = collections.defaultdict(list)
        self.skipped = {}
        self.lacks = {}
        self.started = {}
        self.totals = []
        self.wrong = []
        self.no_tracking = False
        block = None
        for when, line in lines:
            block = self.take(when, line.rstrip(), block)

    def take(self, when, line, block):
        """Returns the block that the next line belongs to."""
        begin, ended = BEGIN.fullmatch(line), PASS.fullmatch(line) or FAIL.fullmatch(line)
        if self.is_launchers(when, line):
            return None
        if begin:
            block = Block(begin[1], begin[2], when)
            self.blocks[begin[1]].append(block)
        elif ended:
            if not block or block.test != ended[1] or block.verdict:
                self.wrong.append(f'a verdict where there is no test: {line}')
                return block
            block.add(when, line)
            block.verdict = 'passed' if PASS.fullmatch(line) else f'failed at {ended[2]}'
        elif block:
            block.add(when, line)
        return block

    def is_launchers(self, when, line):
        start, skip, lacks = START.fullmatch(line), SKIP.fullmatch(line), LACKS.fullmatch(line)
        passed, failed = ALL_PASSED.fullmatch(line), SOME_FAILED.fullmatch(line)
        if start:
            self.started[start[3]] = when
        elif skip:
            self.skipped.setdefault(skip[1], []).append(skip[2])
        elif lacks:
            self.lacks[lacks[1]] = lacks[2]
        elif passed:
            self.totals.append((0, int(passed[1]), int(passed[2])))
        elif failed:
            self.totals.append(tuple(map(int, failed.groups())))
        elif line == NO_TRACKING:
            self.no_tracking = True
        else:
            return False
        return True


def failed_everywhere(tests, why):
    return {x: Outcome('failed', why) for x in tests}


def skip_reason(output, test):
    """In the words of the test's .checkskip, where it has said why."""
    return output.lacks.get(test.rsplit('/', 1)[-1], output.skipped[test][0])


def runs_as_words(runs):
    return ', '.join(f'{x} {n} times' for x, n in sorted(runs.items())) or 'not at all'


def judge(output, test, flavor, wanted, refused):
    blocks, skips = output.blocks.get(test, []), output.skipped.get(test, [])
    if len(blocks) + len(skips) != 1:
        return Outcome('failed', f'not run: zdtm.py has run it {len(blocks)} times, and skipped it {len(skips)} times')
    if skips:
        return Outcome('skipped', skip_reason(output, test))
    block = blocks[0]
    seconds = block.ended - output.started.get(test, block.began)

    def failed(why):
        return Outcome('failed', why, seconds, block.lines)
    if block.flavor != flavor:
        return failed(f'run in {block.flavor}, not in {flavor}')
    if not block.verdict:
        return failed(f'no verdict; the last line is: {next(filter(None, reversed(block.lines)), "none")}')
    if block.verdict != 'passed':
        return failed(': '.join(filter(None, [block.verdict, block.cause()])))
    if 'Start test' not in block.lines:
        return failed('passed, but never started')
    if block.runs != wanted:
        return failed(f'passed, but CRIU has run: {runs_as_words(block.runs)}; not: {runs_as_words(wanted)}')
    if refused and not (block.cause().startswith('kvm_vgic: ') and refused in block.cause()):
        return failed(f'the dump failed as it is to, but not by "{refused}": {block.cause() or "no error"}')
    return Outcome('passed', block.cause() if refused else '', seconds, block.lines)


def check_totals(output, outcomes, status):
    """Whether what zdtm.py counts is what was read, and its exit status says so too."""
    counts = collections.Counter(x.result for x in outcomes.values())
    own_failures = sum(1 for x in output.blocks.values() for b in x if b.verdict != 'passed')
    wanted = (own_failures, len(outcomes), counts['skipped'])
    wrong = list(output.wrong)
    if output.totals != [wanted]:
        wrong.append(f'zdtm.py counts {output.totals or "nothing"}; of failed, all, skipped there are {wanted}')
    if (status == 0) != (own_failures == 0):
        wrong.append(f'zdtm.py ends with {status}, and {own_failures} tests have failed')
    return wrong


def read(lines, status, tests, mode, refused=None):
    """{test: Outcome} for all of @tests, which zdtm.py was to run in @mode; @refused: {test: by which words}."""
    refused = refused or {}
    output = Output(lines)
    strangers = set(output.blocks) | set(output.skipped)
    if output.no_tracking and not strangers and status == 0 and not output.totals:
        return {x: Outcome('skipped', NO_TRACKING) for x in tests}
    outcomes = {x: judge(output, x, mode.flavor, mode.wanted(x in refused), refused.get(x)) for x in tests}
    wrong = check_totals(output, outcomes, status)
    if strangers - set(tests):
        wrong.append(f'run without being asked for: {", ".join(sorted(strangers - set(tests)))}')
    for outcome in outcomes.values():
        if wrong and outcome.result != 'failed':
            outcome.fail('; '.join(wrong))
    return outcomes
