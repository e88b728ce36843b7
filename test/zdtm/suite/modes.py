# SPDX-License-Identifier: GPL-2.0-only
"""How zdtm.py runs a test: its options, and what it must then have had CRIU do."""

import collections


class Mode:
    """@for_all: the matrix has all tests in it. What else there is differs in what CRIU does, not in what a VM has."""

    def __init__(self, name, args='', flavor='h', runs=('dump', 'restore'), what='', for_all=False):
        self.name = name
        self.flavor = flavor
        self.args = ['-f', flavor, *args.split()]
        self.runs = collections.Counter(runs)   # of CRIU, in a test that passes
        self.what = what
        self.for_all = for_all

    @property
    def parallel(self):
        return '--freezecg' not in self.args    # zdtm.py knows no other way

    def wanted(self, crfail):
        """Of a test that CRIU must refuse to dump it dumps alone; zdtm.py tries again what it takes for a fault's."""
        if not crfail:
            return self.runs
        helpers = {x: n for x, n in self.runs.items() if x == 'page-server'}
        return collections.Counter({'dump': 2 if self.is_fatal else 1, **helpers})

    @property
    def is_fatal(self):
        return self.name in FATAL


FATAL = [f'fault-{x}' for x in range(1, 128)]   # as zdtm.py has it


def fault(number, what, runs=('dump', 'restore'), more=''):
    return Mode(f'fault-{number}', f'--fault {number} {more}', runs=runs, what=f'CRIU\'s fault point {number}: {what}')


TWO_DUMPS = ('dump', 'dump', 'restore')
TWO_RESTORES = ('dump', 'restore', 'restore')

MODES = [
    Mode('plain', what='dump and restore', for_all=True),
    Mode('ns', flavor='ns', what='in pid, mount, net, ipc, uts and time namespaces; its fds and mappings are compared', for_all=True),
    Mode('uns', flavor='uns', what='the same, and in a user namespace', for_all=True),
    Mode('norst', '--norst', runs=('dump',), what='dump with --leave-running: the original goes on', for_all=True),
    Mode('iters', '--iters 3', runs=('dump', 'restore') * 3, what='three dumps and restores', for_all=True),
    Mode('rpc', '--rpc', what='by criu swrk instead of the command line', for_all=True),
    Mode('config', '--criu-config', what="CRIU's options in a file"),
    Mode('freeze-t', '--freezecg zdtm:t', what='CRIU stops the tasks by their cgroup'),
    Mode('freeze-f', '--freezecg zdtm:f', what='of a cgroup that is frozen when the dump begins'),
    Mode('stop', '--stop', what='dump and restore with --leave-stopped'),
    Mode('sibling', '--sibling', what='restored as a child of its parent'),
    Mode('page-server', '--page-server', runs=('page-server', 'dump', 'restore'), what='memory goes to a page server'),
    Mode('lazy-pages', '--lazy-pages', runs=('dump', 'lazy-pages', 'restore'), what='memory comes when it is touched'),
    Mode('pre', '--pre 2', what='after two pre-dumps'),
    Mode('snaps', '--pre 2 --snaps', what='after two dumps with --track-mem'),
    fault(1, 'the dump fails early', TWO_DUMPS),
    fault(2, 'the restore of the first task fails', TWO_RESTORES),
    fault(3, 'the dump of memory fails', TWO_DUMPS),
    fault(5, 'the parasite cannot be reached', TWO_DUMPS),
    fault(6, 'the restore fails when all is restored', TWO_RESTORES),
    fault(127, 'the vDSO is another one'),
    fault(129, 'no memfd for the parasite'),
    fault(130, 'no breakpoints at system calls'),
    fault(131, 'memory is read in pieces'),
    fault(134, "the parasite spoils the task's vector registers", runs=('dump',), more='--norst'),
    fault(135, 'no PAGEMAP_SCAN'),
    fault(137, 'PTRACE_INTERRUPT alone, of a cgroup', more='--freezecg zdtm:t'),
]

# One of each kind of VM, for the modes that are not for all tests.
SAMPLE = ['kvm_plain', 'kvm_vgic_v3', 'kvm_its_lpi', 'kvm_irqfd', 'kvm_exits', 'kvm_memslots', 'kvm_multi_vm', 'kvm_vgic_refused']

BY_NAME = {x.name: x for x in MODES}
