# SPDX-License-Identifier: GPL-2.0-only
"""Whether docs/troubleshooting.md has each error line that the plugin can print, and no other."""

import functools
import glob
import os
import re

import tests

DOC = os.path.join(tests.ROOT, 'docs/troubleshooting.md')
PLUGIN = os.path.join(tests.ROOT, 'plugin')
COLUMNS = ['the line says', 'it means', 'what to do']
ANY = '…'               # what differs from line to line
MOST = 6                # lines that a row may cover, but for:
FAMILIES = ('kvm-….img: …', '…: not supported by this version: …')

STRING = r'"(?:[^"\\]|\\.)*"'
CONVERSION = re.compile(r'%[-#0 +]*(?:\d+|\*)?(?:\.(?:\d+|\*))?(?:hh|h|ll|l|z|j)?[diouxXcsp]')
# Expressions that are an image's name, with an object in it behind it or not.
IMAGE_NAME = re.compile(r'\b(?:in|out)(?:->|\.)file$|^image$|^object_name\(')
# What a line begins with, which a row need not repeat.
SUBJECT = r'(?:(?:pid|vm|vcpu|thread|file|fd|mapping) …(?: [^:]*)?: )*'


def read(path):
    with open(path, encoding='utf-8') as f:
        return f.read()


def arguments(text, at):
    """Of the call whose parenthesis is open at text[at - 1], one string each."""
    found, depth, start = [], 0, at
    for token in re.finditer(rf"{STRING}|'(?:[^'\\]|\\.)'|[(),{{}}]", text[at:]):
        where = at + token.start()
        if token[0] in '({':
            depth += 1
        elif (token[0] in ')}' and not depth) or (token[0] == ',' and not depth):
            found.append(text[start:where].strip())
            start = where + 1
            if token[0] != ',':
                return found
        elif token[0] in ')}':
            depth -= 1
    raise ValueError(f'a call that does not end: {text[at:at + 80]}')


def joined(expression, macros):
    """A format of several strings, macros and PRIx64 as one; None where there is something else in it."""
    words = re.findall(rf'{STRING}|\w+|\S', expression)
    parts = [w[1:-1] if w[0] == '"' else 'lx' if w.startswith('PRI') else macros.get(w) for w in words]
    return None if None in parts else ''.join(parts)


def line_of(text):
    """A format as a line of a log, with what differs as ANY."""
    text = text.replace('\\n', '').replace('\\"', '"')
    return re.sub(f'{ANY}+', ANY, CONVERSION.sub(ANY, text)).replace('%%', '%')


def named(text, args, macros):
    """A format with the names of images in it, where its arguments are such names."""
    args = iter(args)

    def name(conversion):
        arg = next(args, '')
        return 'kvm-….img' if IMAGE_NAME.search(arg) else macros.get(arg, conversion[0])

    return CONVERSION.sub(name, text)


class Source:
    """What the C of a folder can say at the level of errors."""

    def __init__(self, folder):
        self.folder = os.path.realpath(folder)
        paths = glob.glob(os.path.join(self.folder, '**/*.[ch]'), recursive=True)
        self.texts = {x: re.sub(r'/\*.*?\*/', '', read(x), flags=re.S) for x in sorted(paths) if not x.endswith('.bpf.c')}
        headers = '\n'.join(text for path, text in self.texts.items() if path.endswith('.h'))
        self.macros = self.strings_of(headers, {})

    @staticmethod
    def strings_of(text, known):
        found = dict(known)
        for name, value in re.findall(rf'^#define (\w+)[ \t]+((?:{STRING}|\w+|[ \t]|\\\n)+)$', text, re.M):
            value = joined(value.replace('\\\n', ' '), found)
            if value is not None:
                found[name] = value
        return found

    @staticmethod
    def printers_of(text, known, macros):
        """{name: (which argument is the format, what is around it)} of functions and of macros that call one."""
        found = dict(known)
        for name, params, body in re.findall(r'^#define (\w+)\(([^)]*)\)((?:[^\n]*\\\n)*[^\n]*)$', text, re.M):
            params, body = [x.strip() for x in params.split(',')], body.replace('\\\n', ' ')
            call = re.search(rf'\b({"|".join(found)})\(', body)
            if call and 'fmt' in params and name not in found:
                at, around = found[call[1]]
                inner = joined(arguments(body, call.end())[at], {**macros, 'fmt': '{}'})
                found[name] = (params.index('fmt'), around.replace('{}', inner))
        return found

    def calls(self, text, macros, printers):
        """The line of each error in @text."""
        for call in re.finditer(rf'\b({"|".join(printers)})\(', text):
            at, around = printers[call[1]]
            args = arguments(text, call.end())
            said = joined(args[at], macros)
            if said is None:
                raise ValueError(f'a format that is no string: {args[at]}')
            yield line_of(named(around.replace('{}', said), args[at + 1:], macros))

    def included(self, path, text):
        """What @path has before its own lines: others may have functions by the names of these macros."""
        folders = (os.path.dirname(path), self.folder)
        names = [os.path.normpath(os.path.join(x, y)) for y in re.findall(r'^#include "(.*)"', text, re.M) for x in folders]
        return '\n'.join(self.texts[x] for x in dict.fromkeys(names) if x in self.texts)

    def lines(self):
        """{line: file}"""
        found = {}
        for path, text in self.texts.items():
            macros = self.strings_of(text, self.macros)
            printers = self.printers_of(self.included(path, text) + text, {'pr_err': (0, '{}')}, macros)
            text = re.sub(r'^#(?:[^\n]*\\\n)*[^\n]*$', '', text, flags=re.M)
            for line in self.calls(text, macros, printers):
                found[line] = os.path.relpath(path, self.folder)
            for table in re.findall(r'struct kvm_error \w+\[\] = \{(.*?)\n\};', text, re.S):
                for meaning in re.findall(rf'\{{ \w+, ((?:{STRING}\s*)+)\}}', table):
                    found[f'vm …: …: {joined(meaning, {})}'] = os.path.relpath(path, self.folder)
        # What passes a meaning on says nothing of its own.
        found.pop('vm …: …: …', None)
        return found


def rows_of(text):
    """[(patterns, what it means, what to do)] of the document's tables with these COLUMNS."""
    rows, ours = [], False
    for line in text.splitlines():
        cells = [x.strip().replace('\\|', '|') for x in re.split(r'(?<!\\)\|', line.strip())[1:-1]]
        if not line.startswith('|') or cells == COLUMNS:
            ours = line.startswith('|')
        elif ours and set(line) - set('|- '):
            rows.append((re.findall(r'`([^`]+)`', cells[0]), *cells[1:]))
    return rows


@functools.cache
def compiled(pattern):
    return re.compile(SUBJECT + '.+'.join(re.escape(x) for x in pattern.split(ANY)))


def covers(pattern, line):
    """A pattern that is a line as it stands is of that one alone."""
    if pattern.startswith(f'vm {ANY}: {ANY}: {ANY}') or pattern.startswith(f'pid {ANY}: {ANY}: {ANY}'):
        return pattern == line
    return compiled(pattern).fullmatch(line) is not None


def check_row(patterns, cells, lines):
    name = patterns[0] if patterns else '|'.join(cells)
    if len(cells) != 2 or not patterns or any(len(x.split()) < 2 for x in cells):
        return [f'{name}: a row without a line, what it means, or what to do']
    wrong = []
    for pattern in patterns:
        n = sum(covers(pattern, x) for x in lines)
        if not n:
            wrong.append(f'{pattern}: the plugin does not say it')
        elif n > MOST and pattern not in FAMILIES:
            wrong.append(f'{pattern}: covers {n} lines: too many for one row')
    return wrong


def check(text, lines):
    rows = rows_of(text)
    known = [x for patterns, *_ in rows for x in patterns]
    wrong = [x for patterns, *cells in rows for x in check_row(patterns, cells, lines)]
    wrong += [f'{x}: twice' for x in sorted(set(known)) if known.count(x) > 1]
    return wrong + [f'{lines[x]}: {x}: docs/troubleshooting.md does not have it' for x in sorted(lines)
                    if not any(covers(pattern, x) for pattern in known)]
