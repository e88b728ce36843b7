# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's own snapshot against criu's dump and restore, of the same QEMU with the same guest."""

import contextlib
import os
import subprocess
import time

from figures import Figures, Trouble, ratio, table
from qemuvm import Process, Qemu, WORK, devices, linux_guest, machine_options, prepare_host
from smallvm import run_criu
from zdtmvm import Failure

MEMORY = '256M'
VCPUS = 2
STATE = '/tmp/bench-qemu-state'
SECONDS = 120
HEAD = ['', 'QEMU ms', 'criu ms', 'ratio']


def wait_status(monitor, command, wanted):
    """Until the monitor answers that; the status of a migration that fails is an end too."""
    end = time.monotonic() + SECONDS
    while True:
        status = monitor.execute(command).get('status')
        if status == wanted:
            return
        if status == 'failed' or time.monotonic() > end:
            raise Trouble(f'QEMU, {command}: {status}, not {wanted}')
        time.sleep(0.005)


class BenchQemu(Qemu):
    def save(self):
        """Seconds of a stop and a migration into a file. The guest is in there, and QEMU is ended."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(STATE)
        with self.monitor() as monitor:
            monitor.execute('migrate-set-parameters', **{'max-bandwidth': 1 << 40})
            start = time.monotonic()
            monitor.execute('stop')
            monitor.execute('migrate', uri='file:' + STATE)
            wait_status(monitor, 'query-migrate', 'completed')
            taken = time.monotonic() - start
        self.kill()
        return taken

    def load(self):
        """Seconds from the start of another QEMU until the guest runs in it."""
        self.remove_sockets()
        with open(os.path.join(self.dir, 'qemu.out'), 'ab') as out:
            start = time.monotonic()
            popen = subprocess.Popen(['qemu-system-aarch64', '-smp', str(self.vcpus), *self.options,
                                      '-incoming', 'file:' + STATE], cwd=self.dir, stdin=subprocess.DEVNULL,
                                     stdout=out, stderr=out, start_new_session=True)
        self.process = Process(popen.pid, popen)
        with self.monitor() as monitor:
            wait_status(monitor, 'query-status', 'paused')
            monitor.execute('cont')
            wait_status(monitor, 'query-status', 'running')
        return time.monotonic() - start

    def criu_dump(self):
        self.wait_alone()
        self.new_images()
        taken, _ = run_criu('dump', self.images, '-t', str(self.process.pid))
        self.process.end(SECONDS)
        return taken

    def criu_restore(self):
        self.remove_sockets()
        taken, _ = run_criu('restore', self.images, '-d')
        self.process = Process(self.process.pid)
        return taken


def go_on(vm):
    """Between two measurements: it works, and nobody is connected to it."""
    vm.check_works()
    vm.wait_alone()


def one_round(vm, times):
    for name, run in (('save', vm.save), ('load', vm.load), ('dump', vm.criu_dump), ('restore', vm.criu_restore)):
        times[name].add(1000 * run())
        if name in ('load', 'restore'):
            go_on(vm)


def measure(rounds):
    prepare_host()
    vm = BenchQemu(WORK, VCPUS, machine_options('anon', MEMORY) + devices() + linux_guest())
    times = {name: Figures() for name in ('save', 'load', 'dump', 'restore')}
    try:
        vm.start().log.wait_started(VCPUS)
        go_on(vm)
        for n in range(1 + rounds):
            if n == 1:      # the first does not count
                times = {name: Figures() for name in times}
            one_round(vm, times)
            print(f'QEMU, round {n}: ' + ', '.join(f'{name} {f.values[-1]:.0f} ms' for name, f in times.items()), flush=True)
    except Failure as e:
        vm.keep_logs()
        raise Trouble(f'QEMU: {e}') from e
    finally:
        vm.kill()
    rows = [['stop and save', times['save'], times['dump']], ['load and run', times['load'], times['restore']]]
    print(f'\nQEMU with {VCPUS} vCPUs and {MEMORY}: its own snapshot, and criu. Medians of {rounds}.')
    print(table(HEAD, [[name, f'{own.median():.0f}', f'{criu.median():.0f}', f'{ratio(criu, own):.2f}']
                       for name, own, criu in rows]), flush=True)
    return {'qemu_dump_ratio': ratio(times['dump'], times['save']),
            'qemu_restore_ratio': ratio(times['restore'], times['load']),
            'qemu_ms': {name: f.median() for name, f in times.items()}}
