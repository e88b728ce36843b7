# SPDX-License-Identifier: GPL-2.0-only
"""Tables of an ITS that are not what they were, or that the guest itself has overwritten."""

import glob
import os
import re
import struct

from common import SmallVm, check_nothing_left, bpf_ids, criu, criu_ok, discard, finish, left_of, processes, require
from zdtmvm import wait_gone

TEST = 'kvm_its_tables'
PAGE = 4096
PE_PRESENT = 4

# oddvm/its.h and oddvm/lpi.h
RAM = 0x5a0000800000
FLAT, TWO_LEVEL = RAM + 0x200000, RAM + 0x400000
CTES, DTES, BIG_ITT = 0x10000, 0x20000, 0x100000
CONFIG, PENDING = RAM, RAM + 0x10000


def itt(i):
    return 0xa0000 + 0x1000 * i


def differ(table, field, now, then):
    return f'{table}: {field} is {now} in guest memory, {then} in the image: guest memory was changed'


# What is changed: the address of 8 bytes, the bits that are turned over, and what the log must say. The tables
# are those of static/kvm_its_tables.c; the vCPU with id 0 is the second one, whose index is 1.
ITS_0, ITS_1 = 'ITS 0 at 0xa000000: ', 'ITS 1 at 0xa020000: '
CHANGES = {
    'cte-v': (FLAT + CTES, 1 << 63, differ(ITS_0 + 'collection table, entry 0', 'V', '0', '0x1')),
    'cte-rdbase': (FLAT + CTES + 8, 1 << 16, differ(ITS_0 + 'collection table, entry 1', 'RDBase', '0x1', '0')),
    'cte-icid': (FLAT + CTES + 16, 1, differ(ITS_0 + 'collection table, entry 2', 'ICID', '0x8', '0x9')),
    'l1-v': (TWO_LEVEL + DTES + 8 * 3, 1 << 63,
             differ(ITS_1 + 'level 1 device table, entry 3', 'V', '0', '0x1')),
    'l1-address': (TWO_LEVEL + DTES, 1 << 16,
                   differ(ITS_1 + 'level 1 device table, entry 0', 'address', '0x50420000', '0x50430000')),
    'dte-v': (FLAT + DTES + 8 * 20001, 1 << 63, differ(ITS_0 + 'device table, DeviceID 20001', 'V', '0', '0x1')),
    'dte-next': (FLAT + DTES + 8 * 3, 1 << 49,
                 differ(ITS_0 + 'device table, DeviceID 3', 'next', '0x3ffe', '0x3fff')),
    'dte-itt-addr': (FLAT + DTES + 8 * 20000, 1 << 9,
                     differ(ITS_0 + 'device table, DeviceID 20000', 'ITT_addr', '0x50301000', '0x50300000')),
    'dte-size': (FLAT + DTES + 8 * 20001, 2, differ(ITS_0 + 'device table, DeviceID 20001', 'Size', '0x2', '0')),
    'ite-next': (FLAT + itt(1), 1 << 48,
                 differ(ITS_0 + 'interrupt translation table of DeviceID 3, EventID 0', 'next', '0', '0x1')),
    'ite-pintid': (FLAT + itt(1) + 8, 16 << 16, differ(
        ITS_0 + 'interrupt translation table of DeviceID 3, EventID 1', 'pINTID', '0x2011', '0x2001')),
    'ite-icid': (FLAT + itt(1) + 16, 5,
                 differ(ITS_0 + 'interrupt translation table of DeviceID 3, EventID 2', 'ICID', '0x2', '0x7')),
    'ite-gone': (FLAT + BIG_ITT + 8 * 65535, 0xffff << 16, differ(
        ITS_0 + 'interrupt translation table of DeviceID 20000, EventID 65535', 'pINTID', '0', '0xffff')),
    'lpi-configuration': (CONFIG, 1 << 8,
                          'LPI configuration table, INTID 8193: 0xa1 in guest memory, 0xa0 in the image'),
    'lpi-pending': (PENDING + 1024, 1,
                    'LPI pending table of vcpu 1, INTID 8192: 0 in guest memory, 1 in the image'),
}

# What the guest has overwritten: what the dump warns of, where KVM refuses it at the restore.
OVERWRITTEN = {
    'dte': ITS_0 + 'device table, DeviceID 1: Size 31: more than 16 EventID bits',
    'dte-taken': None,
    'ite': ITS_0 + 'DeviceID 60000, EventID 0: ICID 99 is no collection',
    'ite-taken': None,
}


def varint(data, at):
    value, shift = 0, 0
    while True:
        value |= (data[at] & 0x7f) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at


def entries(path):
    """The messages of an image of CRIU's that have numbers only, each as {field: value}."""
    with open(path, 'rb') as f:
        data = f.read()
    at = 8
    while at < len(data):
        end = at + 4 + struct.unpack_from('<I', data, at)[0]
        at += 4
        fields = {}
        while at < end:
            key, at = varint(data, at)
            require(key & 7 == 0, f'{path}: not what is expected of a pagemap')
            fields[key >> 3], at = varint(data, at)
        yield fields


class Memory:
    """The memory of a process in CRIU's images (pagemap.proto)."""

    def __init__(self, images):
        paths = [x for x in glob.glob(images + '/pagemap-*.img') if re.search(r'pagemap-\d+\.img$', x)]
        require(len(paths) == 1, f'pagemaps: {paths}')
        head, *rest = entries(paths[0])
        self.path = f'{images}/pages-{head[1]}.img'
        self.pages = {}
        at = 0
        for entry in rest:
            nr = entry.get(5, entry.get(2))
            if not entry.get(4, PE_PRESENT) & PE_PRESENT:
                continue
            for i in range(nr):
                self.pages[entry[1] + i * PAGE] = at
                at += PAGE
        require(at == os.path.getsize(self.path), f'{self.path} has not the pages that the pagemap says')

    def flip(self, addr, bits):
        page = addr & -PAGE
        require(page in self.pages, f'address {addr:#x} is not in the image')
        with open(self.path, 'r+b') as f:
            f.seek(self.pages[page] + addr % PAGE)
            old, = struct.unpack('<Q', f.read(8))
            f.seek(-8, os.SEEK_CUR)
            f.write(struct.pack('<Q', old ^ bits))


class Dumped:
    def __init__(self, *options):
        self.vm = SmallVm(TEST, list(options))
        self.images = os.path.join(self.vm.dir, 'images')
        os.mkdir(self.images)
        self.vm.wait_moved(self.vm.stats())
        self.log = criu_ok('dump', self.images, '-t', str(self.vm.pid)).log
        wait_gone(self.vm.pid)

    def restore_fails(self):
        bpf, before = bpf_ids(), processes()
        result = criu('restore', self.images, '-d')
        left = left_of(before)
        result.require(result.status != 0, 'the restore succeeded')
        result.require(not left, f'tasks left: {sorted(left)}')
        check_nothing_left(self.images, bpf)
        return result

    def restore_works(self):
        criu_ok('restore', self.images, '-d')
        self.vm.wait_moved(self.vm.stats())
        finish(self.vm)


kept = []       # the one VM whose tables are changed in the images: each change is undone


def dumped():
    if not kept:
        kept.append(Dumped())
    return kept[0]


def clean_up():
    while kept:
        discard(kept.pop().vm)


def changed(what):
    """KVM is not given tables that are not those of the dump."""
    addr, bits, says = CHANGES[what]
    d = dumped()
    memory = Memory(d.images)
    memory.flip(addr, bits)
    try:
        result = d.restore_fails()
    finally:
        memory.flip(addr, bits)
    result.require(says in result.log, f'the log does not say "{says}"')
    step = 'LPI tables compared' if what.startswith('lpi') else 'ITS tables compared'
    result.require(re.search(rf'vm 1: step \d+ of \d+, {step}: failed', result.log), f'it has not failed at {step}')
    reached = re.findall(r'vm 1: step \d+ of \d+, (ITS registers|ITS tables|ITS control): ', result.log)
    result.require(not reached, f'the restore went on to {reached}')


def works_at_last():
    dumped().restore_works()
    clean_up()


def overwritten(what):
    """By the guest, before the dump: that is no error of the dump's."""
    says = OVERWRITTEN[what]
    d = Dumped('--broken=' + what)
    try:
        warned = re.findall(r'Warn .*kvm_vgic: vm 1: (.*): the guest has overwritten its tables', d.log)
        require(warned == ([says] if says else []), f'the dump has warned of {warned}')
        if not says:
            d.restore_works()
            return
        result = d.restore_fails()
        result.require(says + ': so it was at the dump: the guest had overwritten its tables' in result.log,
                       'the log does not say why')
        result.require(re.search(r'step \d+ of \d+, ITS tables: failed', result.log), 'it has not failed at the tables')
    finally:
        discard(d.vm)


def cases():
    for what in CHANGES:
        yield 'its-changed-' + what, 'main', changed, (what,)
    yield 'its-after-changes', 'main', works_at_last, ()
    for what in OVERWRITTEN:
        yield 'its-overwritten-' + what, 'main', overwritten, (what,)
