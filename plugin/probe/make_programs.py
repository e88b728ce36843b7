#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""make_programs.py interface|code OBJECT: the BPF programs of an object file as a C header, for program.h or program.c.

As bpftool's light skeleton does, but nothing is left for the kernel to search: what is asked of the kernel's types (CO-RE)
and which functions it is to have become tables, answered by one pass over its BTF (btf.c).
"""
import struct
import sys

INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF = range(1, 9)
VOLATILE, CONST, RESTRICT, FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64 = range(9, 20)
MODIFIERS = (TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG)
VLEN_SIZE = {STRUCT: 12, UNION: 12, ENUM: 8, FUNC_PROTO: 8, DATASEC: 12, ENUM64: 12}
FIXED_SIZE = {INT: 4, ARRAY: 12, VAR: 4, DECL_TAG: 4}

# enum bpf_core_relo_kind
FIELD_KINDS = range(6)
TYPE_KINDS = (7, 8, 9)  # number, whether it exists, size
ENUM_VALUE = 11
ASKED = (STRUCT, UNION, ENUM, FUNC)  # btf.c: layouts

LD_IMM64, CALL = 0x18, 0x85
PSEUDO_CALL, PSEUDO_MAP_VALUE, PSEUDO_KFUNC_CALL, PSEUDO_FUNC = 1, 2, 2, 4
TEXT, BSS, RODATA = '.text', '.bss', '.rodata'


def string_at(data, offset):
    return data[offset:data.index(b'\0', offset)].decode()


class Type:
    def __init__(self, name, info, size):
        self.name, self.kind, self.size, self.parts = name, info >> 24 & 0x7f, size, []


class Btf:
    """The types of the object, and what its .BTF.ext says."""

    def __init__(self, btf, ext):
        header, types, nr_types, strings = struct.unpack_from('<4xIIII', btf)
        self.strings = btf[header + strings:]
        self.ext = ext
        self.types = [Type('', 0, 0)]
        at = header + types
        while at < header + types + nr_types:
            name, info, size = struct.unpack_from('<III', btf, at)
            kind = Type(self.string(name), info, size)
            at = self.read_parts(btf, at + 12, kind, info & 0xffffff)
            self.types.append(kind)

    def string(self, offset):
        return string_at(self.strings, offset)

    def read_parts(self, btf, at, kind, vlen):
        if kind.kind in (STRUCT, UNION):
            kind.parts = [struct.unpack_from('<II', btf, at + 12 * i) for i in range(vlen)]
        elif kind.kind in (ENUM, FUNC_PROTO):
            kind.parts = [struct.unpack_from('<Ii', btf, at + 8 * i) for i in range(vlen)]
        elif kind.kind == ARRAY:
            kind.parts = struct.unpack_from('<III', btf, at)
        return at + FIXED_SIZE.get(kind.kind, 0) + VLEN_SIZE.get(kind.kind, 0) * vlen

    def strip(self, index):
        kind = self.types[index]
        while kind.kind in MODIFIERS:
            kind = self.types[kind.size]
        return kind

    def records(self, which):
        """Of the which-th table of .BTF.ext: section, and the words of each record."""
        header = struct.unpack_from('<4xI', self.ext)[0]
        start, length = struct.unpack_from('<II', self.ext, 8 + 8 * which)
        at, end = header + start, header + start + length
        size = struct.unpack_from('<I', self.ext, at)[0]
        at += 4
        while at < end:
            section, count = struct.unpack_from('<II', self.ext, at)
            at += 8
            for _ in range(count):
                yield self.string(section), struct.unpack_from(f'<{size // 4}I', self.ext, at)
                at += size


class Object:
    def __init__(self, data):
        table, = struct.unpack_from('<Q', data, 0x28)
        count, names = struct.unpack_from('<HH', data, 0x3c)
        headers = [struct.unpack_from('<IIQQQQIIQQ', data, table + 64 * i) for i in range(count)]
        self.names = [string_at(data, headers[names][4] + header[0]) for header in headers]
        self.sections = {name: data[header[4]:header[4] + header[5]]
                         for name, header in zip(self.names, headers)}
        self.sizes = {name: header[5] for name, header in zip(self.names, headers)}
        if any(name.startswith('.data') for name in self.names):
            sys.exit('make_programs.py: variables with a value')
        self.rodata, self.rodata_at = b'', {}
        for name in self.names:
            if name.startswith(RODATA):
                self.rodata += bytes(-len(self.rodata) % 16)
                self.rodata_at[name] = len(self.rodata)
                self.rodata += self.sections[name]
        symtab = headers[self.names.index('.symtab')]
        self.symbols = []
        for at in range(symtab[4], symtab[4] + symtab[5], 24):
            name, info, _, section, value, size = struct.unpack_from('<IBBHQQ', data, at)
            name = string_at(data, headers[symtab[6]][4] + name)
            section = self.names[section] if section < len(self.names) else ''
            self.symbols.append((name, info & 15, info >> 4, section, value, size))
        self.relocations = {}
        for name in self.names:
            if name.startswith('.rel') and name[4:] in self.sections:
                table = self.sections[name]
                for at in range(0, len(table), 16):
                    offset, _, symbol = struct.unpack_from('<QII', table, at)
                    self.relocations[name[4:], offset // 8] = self.symbols[symbol]
        self.btf = Btf(self.sections['.BTF'], self.sections['.BTF.ext'])

    def functions(self):
        """Name, section, first instruction and their number."""
        return [(name, section, value // 8, size // 8)
                for name, kind, _, section, value, size in self.symbols if kind == 2 and section]


class Table:
    """Things by number, each once."""

    def __init__(self):
        self.index = {}

    def add(self, thing):
        return self.index.setdefault(thing, len(self.index))

    def __iter__(self):
        return iter(self.index)


class Asked:
    """What is asked of the kernel's types: names, the members on the way, values."""

    def __init__(self):
        self.names, self.steps, self.values = Table(), [], Table()

    def name(self, name, kind):
        name = name.split('___')[0]
        if kind not in ASKED or len(name) < 3:
            sys.exit(f'make_programs.py: {name}, of kind {kind}: btf.c does not look for it')
        return self.names.add((name, kind))

    @staticmethod
    def kinds_of(btf, kind):
        kinds, shift = 0, 0
        while kind.kind == ARRAY:
            kinds |= ARRAY << shift
            shift += 5
            kind = btf.strip(kind.parts[0])
        return kinds | kind.kind << shift

    def steps_of(self, btf, root, accesses):
        steps, kind = [], btf.types[root]
        while kind.kind in MODIFIERS:
            kind = btf.types[kind.size]
        for access in accesses:
            if kind.kind == ARRAY:
                kind = btf.strip(kind.parts[0])
                steps.append((None, access, self.kinds_of(btf, kind)))
                continue
            name, member = kind.parts[access]
            kind = btf.strip(member)
            if name:
                steps.append((btf.string(name), 0, self.kinds_of(btf, kind)))
            elif kind.kind not in (STRUCT, UNION):
                sys.exit('make_programs.py: a member without a name')
        return tuple(steps), kind

    def value(self, btf, root, access, what):
        kind = btf.types[root]
        accesses = [int(number) for number in access.split(':')]
        steps, size = (), 0
        if what in FIELD_KINDS:
            if accesses[0]:
                sys.exit('make_programs.py: an element of an array that is none')
            steps, last = self.steps_of(btf, root, accesses[1:])
            size = 8 if last.kind == PTR else 0 if last.kind in (ARRAY, STRUCT, UNION) else last.size
        elif what == ENUM_VALUE:
            steps = ((btf.string(kind.parts[accesses[0]][0]), 0, ENUM),)
        elif what not in TYPE_KINDS:
            sys.exit(f'make_programs.py: {kind.name}: a question that btf.c does not answer: {what}')
        return self.values.add((self.name(kind.name, kind.kind), what, size, steps))


class Program:
    """One program with all functions that it needs, as the kernel takes it."""

    def __init__(self, obj, asked, function):
        self.obj, self.asked = obj, asked
        self.name, self.section = function[0], function[1]
        self.words, self.origins, self.placed = [], [], {}
        self.patches, self.functions = [], []
        self.place(function)
        done = 0
        while done < len(self.words):
            self.link(done)
            done += 1
        self.ask()

    def place(self, function):
        name, section, first, count = function
        self.placed[section, first] = len(self.words)
        self.functions.append((len(self.words), name))
        code = self.obj.sections[section]
        for i in range(first, first + count):
            self.words.append(struct.unpack_from('<BBhi', code, 8 * i))
            self.origins.append((section, i))

    def function_at(self, section, first):
        for function in self.obj.functions():
            if function[1:3] == (section, first):
                if (section, first) not in self.placed:
                    self.place(function)
                return self.placed[section, first]
        return sys.exit(f'make_programs.py: no function at {section}, {first}')

    def link(self, at):
        code, regs, offset, imm = self.words[at]
        section, index = self.origins[at]
        symbol = self.obj.relocations.get((section, index))
        if code == CALL and (symbol or regs >> 4 == PSEUDO_CALL):
            if symbol and not symbol[3]:
                self.patches.append((at, 'PATCH_FUNC', self.asked.name(symbol[0], FUNC)))
                self.words[at] = code, PSEUDO_KFUNC_CALL << 4, 0, 0
                return
            target = symbol[4] // 8 + imm + 1 if symbol else index + imm + 1
            target = self.function_at(symbol[3] if symbol else section, target)
            self.words[at] = code, PSEUDO_CALL << 4, 0, target - at - 1
        elif code == LD_IMM64 and symbol:
            if symbol[3] == TEXT:
                target = self.function_at(TEXT, (symbol[4] + imm) // 8)
                self.words[at] = code, regs & 15 | PSEUDO_FUNC << 4, 0, target - at - 1
                return
            if symbol[3] != BSS and symbol[3] not in self.obj.rodata_at:
                sys.exit(f'make_programs.py: {symbol[0]} {symbol[3]}: data of an unknown kind')
            self.words[at] = code, regs & 15 | PSEUDO_MAP_VALUE << 4, offset, 0
            self.words[at + 1] = 0, 0, 0, symbol[4] + imm + self.obj.rodata_at.get(symbol[3], 0)
            self.patches.append((at, 'PATCH_MAP', 'MAP_BSS' if symbol[3] == BSS else 'MAP_RODATA'))
        elif symbol:
            sys.exit(f'make_programs.py: {section}, {index}: a relocation of an unknown kind')

    def ask(self):
        where = {origin: at for at, origin in enumerate(self.origins)}
        btf = self.obj.btf
        for section, (offset, root, access, what) in btf.records(2):
            at = where.get((section, offset // 8))
            if at is not None:
                value = self.asked.value(btf, root, btf.string(access), what)
                self.patches.append((at, 'PATCH_VALUE', value))

    def attach_name(self):
        return self.asked.name('bpf_iter_' + self.section.split('/')[1], FUNC)


class ProgramBtf:
    """The least that the kernel takes of programs with functions: their names, and what those take that it verifies alone."""

    def __init__(self, obj, programs):
        self.strings, self.types, self.count, self.ids = b'\0', b'', 0, {}
        number = self.add('int', INT << 24, 4, struct.pack('<I', 1 << 24 | 32))
        nothing = self.add('', FUNC_PROTO << 24, number)
        wide = {length: self.add(name, INT << 24, length, struct.pack('<I', 8 * length))
                for name, length in (('u32', 4), ('u64', 8))}
        alone = {name for name, kind, binding, section, _, _ in obj.symbols
                 if kind == 2 and binding == 1 and section == TEXT}
        contexts = {}
        for program in programs:
            for at, name in program.functions:
                if name in self.ids:
                    continue
                if name not in alone:
                    self.ids[name] = self.add(name, FUNC << 24 | (0 if at else 1), nothing)
                    continue
                params, tags = [], []
                for param in self.params_of(obj.btf, name):
                    if param.kind == PTR:
                        of = obj.btf.strip(param.size).name
                        if of not in contexts:
                            contexts[of] = self.add('', PTR << 24, self.add(of, STRUCT << 24, 8))
                        tags.append(len(params))
                        params.append(contexts[of])
                    else:
                        params.append(wide[param.size])
                proto = self.add('', FUNC_PROTO << 24 | len(params), number,
                                 b''.join(struct.pack('<II', self.string(f'arg{i}'), param)
                                          for i, param in enumerate(params)))
                self.ids[name] = self.add(name, FUNC << 24 | 1, proto)
                for tag in tags:
                    self.add('arg:ctx', DECL_TAG << 24, self.ids[name], struct.pack('<I', tag))

    @staticmethod
    def params_of(btf, name):
        function = next(kind for kind in btf.types if kind.kind == FUNC and kind.name == name)
        return [btf.strip(param) for _, param in btf.types[function.size].parts]

    def string(self, name):
        if not name:
            return 0
        at = self.strings.find(b'\0' + name.encode() + b'\0')
        if at < 0:
            at = len(self.strings) - 1
            self.strings += name.encode() + b'\0'
        return at + 1

    def add(self, name, info, size, rest=b''):
        self.types += struct.pack('<III', self.string(name), info, size) + rest
        self.count += 1
        return self.count

    def data(self):
        header = struct.pack('<HBBIIIII', 0xeb9f, 1, 0, 24, 0, len(self.types), len(self.types), len(self.strings))
        return header + self.types + self.strings


def print_bytes(name, data):
    print(f'static const unsigned char {name}[] = {{')
    for at in range(0, len(data), 16):
        print('\t' + ' '.join(f'{byte},' for byte in data[at:at + 16]))
    print('};')


def print_bss(obj):
    """The variables that user space sets and reads, by their names; what others are is the programs' own."""
    at, pad = 0, 0
    print('struct programs_bss {')
    for name, kind, binding, section, value, size in sorted(obj.symbols, key=lambda symbol: symbol[4]):
        if section == BSS and kind == 1 and binding == 1 and size in (4, 8):
            if value > at:
                print(f'\tchar pad{pad}[{value - at}];')
                pad += 1
            print(f'\t{"unsigned int" if size == 4 else "unsigned long long"} {name};')
            at = value + size
    print(f'\tchar pad{pad}[{obj.sizes[BSS] - at}];')
    print('};')
    print(f'_Static_assert(sizeof(struct programs_bss) == {obj.sizes[BSS]}, "as the programs see it");')


def print_ids(programs):
    print('enum program_id {')
    for program in programs:
        print(f'\tPROGRAM_{program.name.upper()},')
    print('\tNR_PROGRAMS\n};')


def print_asked(asked):
    print('static const struct btf_name type_names[] = {')
    for name, kind in asked.names:
        print(f'\t{{ "{name}", {kind} }},')
    print('};')
    steps, first = [], []
    for value in asked.values:
        first.append(len(steps))
        steps += value[3]
    print('static const struct btf_step type_steps[] = {')
    for name, index, kinds in steps:
        name = f'"{name}"' if name else 'NULL'
        print(f'\t{{ {name}, {index}, {kinds} }},')
    print('};')
    print('static const struct btf_value type_values[] = {')
    for value, start in zip(asked.values, first):
        print(f'\t{{ {value[0]}, {value[1]}, {value[2]}, {start}, {len(value[3])} }},')
    print('};')


def print_program(program, ids):
    print(f'static const unsigned long long {program.name}_code[] = {{')
    for code, regs, offset, imm in program.words:
        print(f'\t0x{struct.unpack("<Q", struct.pack("<BBhi", code, regs, offset, imm))[0]:x},')
    print('};')
    print(f'static const struct program_patch {program.name}_patches[] = {{')
    for at, what, which in program.patches:
        print(f'\t{{ {at}, {what}, {which} }},')
    print('};')
    print(f'static const struct bpf_func_info {program.name}_functions[] = {{')
    for at, name in sorted(program.functions):
        print(f'\t{{ {at}, {ids[name]} }},')
    print('};')


def print_code(obj, asked, programs):
    attached = [program.attach_name() for program in programs]
    btf = ProgramBtf(obj, programs)
    print_bytes('programs_rodata', obj.rodata or b'\0')
    print_bytes('programs_btf', btf.data())
    print_asked(asked)
    for program in programs:
        print_program(program, btf.ids)
    print('static const struct program programs[NR_PROGRAMS] = {')
    for program, name in zip(programs, attached):
        fields = (f'"{program.name}", {name}, {program.name}_code, COUNT({program.name}_code), '
                  f'{program.name}_patches, COUNT({program.name}_patches), '
                  f'{program.name}_functions, COUNT({program.name}_functions)')
        print(f'\t{{ {fields} }},')
    print('};')


def main():
    what, path = sys.argv[1:]
    with open(path, 'rb') as file:
        obj = Object(file.read())
    asked = Asked()
    programs = [Program(obj, asked, function) for function in obj.functions() if function[1] != TEXT]
    print('/* By make_programs.py. */')
    if what == 'interface':
        print_bss(obj)
        print_ids(programs)
    else:
        print_code(obj, asked, programs)


main()
