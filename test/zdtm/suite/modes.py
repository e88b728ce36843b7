# SPDX-License-Identifier: GPL-2.0-only
"""How zdtm.py runs a test: its options, and what it must then have had CRIU do."""

import collections


class Mode:
    """@for_all: the matrix has all tests in it. What else there is differs in what CRIU does, not in what a VM has.

    @shows: what CRIU's logs say then, @hides: what they do not say then; else the mode has made no difference."""

    def __init__(self, name, args='', flavor='h', runs=('dump', 'restore'), what='', for_all=False, fatal=False,
                 shows='', hides=''):
        self.name = name
        self.flavor = flavor
        self.args = ['-f', flavor, *args.split()]
        self.runs = collections.Counter(runs)   # of CRIU, in a test that passes
        self.what = what
        self.for_all = for_all
        self.is_fatal = fatal                   # to a dump or a restore, which zdtm.py then tries again
        self.shows = shows
        self.hides = hides

    @property
    def parallel(self):
        return '--freezecg' not in self.args    # zdtm.py knows no other way

    def wanted(self, refused):
        """Of a test that CRIU must refuse to dump it dumps alone; zdtm.py tries again what it takes for a fault's."""
        if not refused:
            return self.runs
        helpers = {x: n for x, n in self.runs.items() if x == 'page-server'}
        return collections.Counter({'dump': 2 if self.is_fatal else 1, **helpers})


def fault(number, what, runs=('dump', 'restore'), more='', **others):
    return Mode(f'fault-{number}', f'--fault {number} {more}', runs=runs, what=f'CRIU\'s fault point {number}: {what}',
                fatal=number < 127, **others)


def in_namespaces(mode):
    """The same in ns, where zdtm.py compares fds, mappings and mounts before and after."""
    return Mode('ns-' + mode.name, ' '.join(mode.args[2:]), flavor='ns', runs=mode.runs.elements(), what=mode.what + ', in ns',
                fatal=mode.is_fatal, shows=mode.shows, hides=mode.hides)


TWO_DUMPS = ('dump', 'dump', 'restore')
TWO_RESTORES = ('dump', 'restore', 'restore')

NORST = Mode('norst', '--norst', runs=('dump',), what='dump with --leave-running: the original goes on', for_all=True)
ITERS = Mode('iters', '--iters 3', runs=('dump', 'restore') * 3, what='three dumps and restores')
DUMP_FAILS = fault(1, 'the dump fails early', TWO_DUMPS)
PAGES_FAIL = fault(3, 'the dump of memory fails', TWO_DUMPS)
NO_PARASITE = fault(5, 'the parasite cannot be reached', TWO_DUMPS)
RESTORE_FAILS = fault(6, 'the restore fails when all is restored', TWO_RESTORES)
IN_PIECES = fault(131, 'memory is read in pieces', shows='trim preadv')

MODES = [
    Mode('plain', what='dump and restore', for_all=True),
    Mode('ns', flavor='ns', what='in pid, mount, net, ipc, uts and time namespaces; its fds and mappings are compared', for_all=True),
    Mode('uns', flavor='uns', what='the same, and in a user namespace', for_all=True),
    NORST,
    ITERS,
    Mode('rpc', '--rpc', what='by criu swrk instead of the command line'),
    Mode('nocr', '--nocr', runs=(), what='without CRIU: the control'),
    Mode('config', '--criu-config', what="CRIU's options in a file"),
    Mode('freeze-t', '--freezecg zdtm:t', what='CRIU stops the tasks by their cgroup'),
    Mode('freeze-f', '--freezecg zdtm:f', what='of a cgroup that is frozen when the dump begins'),
    Mode('stop', '--stop', what='dump and restore with --leave-stopped'),
    Mode('sibling', '--sibling', what='restored as a child of its parent'),
    Mode('page-server', '--page-server', runs=('page-server', 'dump', 'restore'), what='memory goes to a page server'),
    Mode('lazy-pages', '--lazy-pages', runs=('dump', 'lazy-pages', 'restore'), what='memory comes when it is touched'),
    Mode('remote-lazy', '--remote-lazy-pages', runs=('dump', 'page-server', 'lazy-pages', 'restore'),
         what='the same, by a page server'),
    Mode('mntns-compat', '--mntns-compat-mode', flavor='ns', what='mounts are restored in the old way'),
    Mode('pre', '--pre 2', what='after two pre-dumps'),
    Mode('snaps', '--pre 2 --snaps', what='after two dumps with --track-mem'),
    DUMP_FAILS,
    fault(2, 'the restore of the first task fails', TWO_RESTORES),
    PAGES_FAIL,
    NO_PARASITE,
    RESTORE_FAILS,
    fault(127, 'the vDSO is another one', shows='generate proxy'),
    fault(129, 'no memfd for the parasite', hides='parasite blob using memfd'),
    fault(130, 'no breakpoints at system calls', shows='Force no-breakpoints restore'),
    IN_PIECES,
    fault(137, 'PTRACE_INTERRUPT alone, of a frozen cgroup', more='--freezecg zdtm:f', shows='unfreezing cgroup for plugin'),
    *map(in_namespaces, [NORST, ITERS, DUMP_FAILS, PAGES_FAIL, NO_PARASITE, RESTORE_FAILS, IN_PIECES]),
]

# What zdtm.py has besides, and why no test is run so.
LEFT_OUT = {
    '--user, --rootless': 'criu without CAP_SYS_ADMIN: the plugin refuses it by name, as option-unprivileged of '
                          'test/zdtm/failures shows',
    '--stream': 'refused by name: option-stream of test/zdtm/failures; criu-image-streamer is in no Debian package',
    '--dedup, --noauto-dedup, --pre-dump-mode': 'options of a pre-dump, which arm64 without memory tracking has not',
    '--lazy-migrate': 'dump --lazy-pages: option-lazy-pages-dump of test/zdtm/failures',
    '--join-ns, --empty-ns': 'tell of the network alone',
    '--tls': 'certificates of a page server',
    '--preload-libfault': 'short reads and writes by a library that zdtm.py has built; test/faults does so at every one of the plugin',
    '--fault 4, 128, 132': 'link remaps, handles of inotify, ids of anonymous shared memory: nothing of them is the plugin\'s',
    '--fault 133, 134': 'x86 alone: compatible vDSO, vector registers (INFECT_CORRUPT_EXTREGS of compel/arch/x86)',
    '--fault 135': 'no PAGEMAP_SCAN: CRIU\'s logs do not tell whether it has had an effect',
    '--fault 136': 'criu aborts after a failed dump: dump-killed-abrt of test/zdtm/failures',
    '--fault 138': 'the cuda plugin',
}

# For the modes that are not for all tests: all of a GIC, fds of others and what KVM has bound to them, memory of each kind, a
# dump that is refused.
SAMPLE = ['kvm_its_lpi', 'kvm_irqfd', 'kvm_memslots', 'kvm_vgic_refused']

BY_NAME = {x.name: x for x in MODES}
