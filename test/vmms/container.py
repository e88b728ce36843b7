#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""A VM in a container, checkpointed and restored by the container's runtime at random moments.

Runs on the (emulated) arm64 host; test/vmms/container starts it there.
"""

import argparse
import os
import random
import re
import shutil
import sys
import time
import traceback

from runtimes import choose_network_lock, container, empty, run  # first: it makes the others known

from common import OddStats, left_of, min_median_max, processes, require
from kernelwords import PSCI
from zdtmvm import WORK, Criu, Failure, Stats, Vm, is_alive, read_verdict, tree, wait_gone

CHECKING = ('kvm_vgic_v3', 'kvm_vgic_v2', 'kvm_its_lpi')     # tests whose guest checks all it sees

# The first line of what is said to a pre-checkpoint: arm64 has no memory tracking.
NO_CRUN_TRACKING = r'memory tracking not supported\. Please check CRIU logfile /\S+/dump\.log'
NO_MEMORY_TRACKING = {'crun': NO_CRUN_TRACKING, 'podman': NO_CRUN_TRACKING,
                      'runc': 'time="[^"]*" level=error msg="CRIU is missing features"'}

ARCHIVE = 'container-%s.tar'        # all of a container, for another host


def in_container(pid):
    """The number that a process has in its own pid namespace."""
    with open(f'/proc/{pid}/status') as f:
        return int(re.search(r'^NSpid:.*?(\d+)$', f.read(), re.M)[1])


class ContainerVm(Vm):
    """A test process below process 1 of a container."""

    def __init__(self, what):
        self.container = what
        self.name = what.test
        self.dir = what.base
        self.outfile = os.path.join(what.volume, self.name + '.out')
        self.pid = self.init = 0

    def find(self, seconds=60):
        """The process, which has another pid in each life."""
        end = time.monotonic() + seconds
        pidfile = os.path.join(self.container.volume, self.name + '.pid')
        while not os.path.exists(pidfile) or not os.path.getsize(pidfile):
            if time.monotonic() > end or self.container.status() != 'running':
                raise Failure(f'{self.name} does not start in the container: {self.output()}')
            time.sleep(0.05)
        with open(pidfile) as f:
            inside = int(f.read())
        self.init = self.container.pid()
        found = [pid for pid in tree(self.init) if in_container(pid) == inside]
        require(found, f'process {inside} is not in the container of process {self.init}: {self.output()}')
        self.pid = found[0]

    def look(self):
        first = self.stats()
        self.nr_vcpus, self.wfi_pc = first.nr_vcpus, first.wfi_pc

    def stats(self):
        try:
            return Stats(self.pid) if self.name in CHECKING else OddStats(self.pid)
        except OSError as e:
            raise Failure(f'pid {self.pid} is gone: {e}; {self.output()}') from e


class Runtime(Criu):
    """Checkpoints and restores by the container's runtime."""

    def __init__(self, vm):
        super().__init__(vm)
        self.images = vm.container.logs

    def timed(self, times, action):
        start = time.monotonic()
        action()
        times.append(time.monotonic() - start)

    def dump(self):
        self.count += 1
        for _ in range(5):
            try:
                self.timed(self.dump_times, self.vm.container.checkpoint)
                break
            except Failure:
                if not self.refused_for_now():
                    raise
                self.refused += 1
        else:
            raise Failure('the checkpoint was refused five times, for now')
        wait_gone(self.vm.init)
        if self.vm.name in CHECKING:
            self.read_dump_log()

    def restore(self):
        self.timed(self.restore_times, self.vm.container.restore)
        self.vm.find()

    def plugin_errors(self, action):
        with open(os.path.join(self.images, action + '.log'), errors='replace') as f:
            return re.findall(r'Error \([^)]*\): kvm_vgic: (.*)', f.read())


def namespaces(pid):
    """Which of them are not this process's."""
    return {x for x in ('pid', 'mnt', 'net', 'ipc', 'uts', 'cgroup')
            if os.readlink(f'/proc/{pid}/ns/{x}') != os.readlink(f'/proc/self/ns/{x}')}


def cgroup(pid):
    with open(f'/proc/{pid}/cgroup') as f:
        return f.read().strip().removeprefix('0::')


def check_contained(vm):
    missing = {'pid', 'mnt', 'net', 'ipc', 'uts', 'cgroup'} - namespaces(vm.pid)
    require(not missing, f'the VM is in the host\'s {", ".join(sorted(missing))} namespace')
    require(in_container(vm.init) == 1, f'pid {vm.init} is not process 1 of its namespace')
    group = cgroup(vm.pid)
    require(group != '/' and os.path.exists(f'/sys/fs/cgroup{group}/cgroup.freeze'), f'no freezer in cgroup {group}')
    return group


def cycle(vm, runtime, rng):
    """What was seen of it, in words."""
    time.sleep(rng.uniform(0.02, 0.4))
    vm.stats().check()
    group = check_contained(vm)
    old = vm.init
    runtime.dump()
    require(not is_alive(old), f'process 1 ({old}) is alive after the checkpoint')
    runtime.restore()
    vm.wait_moved(vm.stats())
    require(check_contained(vm) == group, f'the cgroup was {group}, is {cgroup(vm.pid)}')
    exits = ', '.join(reason + ('' if pending == 'none' else ' ' + pending) for *_, reason, pending in runtime.pcs.values())
    return (f'checkpoint {runtime.dump_times[-1]:.2f} s' + (' at ' + exits if exits else '') +
            f', restore {runtime.restore_times[-1]:.2f} s')


def print_summary(vm, runtime, last, output):
    print(f'{vm.name}: {len(runtime.dump_times)} checkpoints, {len(runtime.restore_times)} restores')
    if vm.name in CHECKING:
        print(f'  {"":8}{"sent":>10}{"taken":>10}{"lost":>8}{"doubled":>8}')
        for kind, (sent, taken) in read_verdict(vm, output).items():
            lost, doubled = last.lost_and_doubled(kind)
            print(f'  {kind:8}{sent:>10}{taken:>10}{lost:>8}{doubled:>8}')
        print('  checkpoints that caught: ' + ', '.join(f'{k} {v}' for k, v in runtime.caught.items()))
    if runtime.refused:
        print(f'  checkpoints that were refused for the moment, and tried again: {runtime.refused}')
    print(f'  checkpoint min / median / max: {min_median_max(runtime.dump_times)}')
    print(f'  restore    min / median / max: {min_median_max(runtime.restore_times)}')


def finish(vm, runtime):
    """SIGTERM to process 1, which hands it on; the verdict is in the volume."""
    require(vm.container.is_fenced(), 'the container reaches a device that it was not given')
    last = vm.wait_moved(vm.stats())
    vm.container.end()
    output = vm.verdict()
    status = vm.container.wait()
    require(status in (0, None), f'process 1 ended with {status}: {output}')
    require(output.strip().endswith('PASS'), output)
    wait_gone(vm.init)
    print_summary(vm, runtime, last, output)


def cycles(vm, runtime, args):
    rng = random.Random(args.seed)
    for n in range(args.cycles):
        print(f'  cycle {n + 1} of {args.cycles}: ' + cycle(vm, runtime, rng), flush=True)


def start(vm, args):
    options = [f'--vcpus={args.vcpus}', f'--limit={args.limit}'] if vm.name in CHECKING else []
    vm.container.prepare(options)
    vm.container.start()
    vm.find()
    vm.look()
    vm.wait_moved(vm.stats())
    require(vm.container.is_fenced(), 'the container reaches a device that it was not given')
    print(f'{vm.container.runtime}: {vm.name} is process {in_container(vm.pid)} of a container in cgroup '
          f'{check_contained(vm)}, with namespaces of its own: {", ".join(sorted(namespaces(vm.pid)))}', flush=True)


def pre_checkpoint(vm):
    """Must be refused by its name, and the VM goes on."""
    old = vm.init
    said = vm.container.pre_checkpoint().splitlines()
    require(said and re.fullmatch(NO_MEMORY_TRACKING[vm.container.runtime], said[0]), f'a pre-checkpoint: {said}')
    print(f'  a pre-checkpoint is refused: {said[0]}', flush=True)
    require(vm.container.status() == 'running' and is_alive(old), f'after a pre-checkpoint: {vm.container.status()}')
    vm.find()
    vm.wait_moved(vm.stats())


def stay(vm, runtime, args):
    """All in this boot."""
    start(vm, args)
    pre_checkpoint(vm)
    cycles(vm, runtime, args)
    finish(vm, runtime)


def leave(vm, runtime, args):
    """Checkpointed, and all that another host needs of it put into the folder."""
    start(vm, args)
    runtime.dump()
    vm.container.leave()
    run('tar', '-C', vm.container.base, '-cf', os.path.join(args.leave, ARCHIVE % vm.container.runtime), '.')
    print(f'{vm.container.runtime}: checkpointed on Linux {os.uname().release}', flush=True)


def arrive(vm, runtime, args):
    empty(vm.container.base)
    run('tar', '-C', vm.container.base, '-xf', os.path.join(args.arrive, ARCHIVE % vm.container.runtime))
    vm.container.arrive()
    if args.refused:
        refused(vm, runtime)
        return
    runtime.restore()
    vm.look()
    vm.wait_moved(vm.stats())
    print(f'{vm.container.runtime}: restored on Linux {os.uname().release}, and goes on in cgroup {check_contained(vm)}',
          flush=True)
    cycles(vm, runtime, args)
    finish(vm, runtime)


def refused(vm, runtime):
    """By the lines of docs/register-policy.md, and nothing of the container runs."""
    before = processes()
    try:
        runtime.restore()
    except Failure as e:
        print(f'{vm.container.runtime}: the restore on Linux {os.uname().release} is refused: {str(e).splitlines()[0]}',
              flush=True)
    else:
        raise Failure(f'the restore on Linux {os.uname().release} was not refused')
    errors = runtime.plugin_errors('restore')
    require(errors == PSCI, f'the errors are {errors}, {PSCI} expected')
    print('\n'.join('  ' + x for x in errors))
    left = left_of(before)
    require(not left, f'processes are left: {left}')


def show_failure(vm, runtime):
    print(vm.output())
    runtime.show_logs()
    if os.path.ismount('/share'):
        where = f'/share/{vm.container.runtime}-failure'
        shutil.rmtree(where, ignore_errors=True)
        shutil.copytree(vm.dir, where, symlinks=True, ignore=shutil.ignore_patterns('rootfs'))     # it has devices
        print(f'images and logs are in {where}')


def run_one(name, args):
    """Whether all was as it is to be."""
    vm = ContainerVm(container(name, os.path.join(WORK, 'container'), args.test))
    runtime = Runtime(vm)
    try:
        (leave if args.leave else arrive if args.arrive else stay)(vm, runtime, args)
        print(f'container {name}: ' + ('left for another boot' if args.leave else 'PASS'), flush=True)
        return True
    except Exception as e:  # of the test's own, too: the others have their turns
        if not isinstance(e, Failure):
            traceback.print_exc()
        show_failure(vm, runtime)
        print(f'container {name}: FAIL: {e}', flush=True)
        return False
    finally:
        vm.container.remove()


def main():
    parser = argparse.ArgumentParser(prog='container', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runtimes', nargs='+', choices=('crun', 'runc', 'podman'), metavar='RUNTIME')
    parser.add_argument('--cycles', type=int, default=10)
    parser.add_argument('--test', default='kvm_vgic_v3')
    parser.add_argument('--vcpus', type=int, default=4)
    parser.add_argument('--limit', type=int, default=20)
    parser.add_argument('--seed', type=int, default=random.randrange(1 << 32))
    parser.add_argument('--leave', metavar='FOLDER', help='checkpoint, and leave the container there')
    parser.add_argument('--arrive', metavar='FOLDER', help='restore what was left there')
    parser.add_argument('--refused', action='store_true', help='the restore must be refused: the kernel is too old')
    args = parser.parse_args()
    print(f'container: seed {args.seed}; ' + '; '.join(run(x, '--version').splitlines()[0] for x in args.runtimes), flush=True)
    choose_network_lock()
    failed = [runtime for runtime in args.runtimes if not run_one(runtime, args)]
    print(f'container: {len(args.runtimes) - len(failed)} passed, {len(failed)} failed, 0 skipped')
    return 1 if failed else 0


sys.exit(main())
