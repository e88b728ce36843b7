# SPDX-License-Identifier: GPL-2.0-only
"""A VMM that is stopped when it is dumped or restored, or is to be stopped after it."""

import os
import re
import shutil
import signal
import time

import lives
from common import Unharmed, check_same, read, require, snapshot
from zdtmvm import is_alive, wait_gone


def states(pid):
    """Of all threads, as one letter each: T is stopped."""
    return ''.join(re.search(r'^State:\s*(\S)', read(f'/proc/{pid}/task/{tid}/status'), re.M)[1]
                   for tid in sorted(os.listdir(f'/proc/{pid}/task'), key=int))


class Lives(lives.Lives):
    options = ['--child=0']

    def wait_stopped(self):
        end = time.monotonic() + 10
        while set(states(self.vm.pid)) != {'T'}:
            require(time.monotonic() < end, f'not stopped: its threads are {states(self.vm.pid)}')
            time.sleep(0.01)

    def stop(self):
        os.kill(self.vm.pid, signal.SIGSTOP)
        self.wait_stopped()
        return self.vm.stats()

    def stands_since(self, old):
        """Every thread is stopped and stays so, and the guest is exactly where it was."""
        time.sleep(0.5)
        require(set(states(self.vm.pid)) == {'T'}, f'not stopped: its threads are {states(self.vm.pid)}')
        now = self.vm.stats()
        now.check()
        require(now.counters == old.counters, f'the guest has moved: {old.counters}, now {now.counters}')

    def failing_dump_of_stopped(self):
        """It is stopped afterwards, whole, and goes on."""
        images = self.images()
        unharmed = Unharmed(self.vm)
        old = self.stop()
        stopped = snapshot(self.vm.pid)
        result = self.dump(images, env={'KVM_VGIC_FAULT': 'dump-ext-file'})
        result.require(result.status != 0, 'the dump succeeded')
        result.require('kvm_run put back' in result.log, 'the log does not say that kvm_run was put back')
        self.stands_since(old)
        check_same(stopped, snapshot(self.vm.pid))
        os.kill(self.vm.pid, signal.SIGCONT)
        unharmed.check(images)
        shutil.rmtree(images)

    def left_after_dump(self, was_stopped, *options):
        """criu dump with @options leaves the process, stopped: the original, then its copy, go on."""
        images = self.images()
        unharmed = Unharmed(self.vm)
        old = self.stop() if was_stopped else None
        self.dump_ok(images, *options)
        self.is_stopped_since(old)
        unharmed.check(images)
        self.vm.kill()
        self.restore_ok(images)
        if was_stopped:
            self.is_stopped_since(old)
        self.goes_on_unstopped()
        shutil.rmtree(images)

    def is_stopped_since(self, old):
        self.wait_stopped()
        self.stands_since(old or self.vm.stats())
        os.kill(self.vm.pid, signal.SIGCONT)

    def goes_on_unstopped(self):
        self.goes_on()
        require('T' not in states(self.vm.pid), f'its threads are {states(self.vm.pid)}')

    def leave_stopped(self):
        self.left_after_dump(False, '--leave-stopped')

    def leave_stopped_of_stopped(self):
        self.left_after_dump(True, '--leave-stopped')

    def leave_running_of_stopped(self):
        self.left_after_dump(True, '--leave-running')

    def dump_of_stopped(self):
        self.moved(True)

    def restore_to_stop(self):
        self.moved(False, '--leave-stopped')

    def restore_of_stopped_to_stop(self):
        self.moved(True, '--leave-stopped')

    def moved(self, was_stopped, *options):
        """A dump that ends the process, and a restore with @options, which leaves it stopped where it was."""
        images = self.images()
        old = self.stop() if was_stopped else None
        self.dump_ok(images)
        require(not is_alive(self.vm.pid), 'the process is alive after the dump')
        wait_gone(self.vm.pid)
        self.restore_ok(images, *options)
        self.is_stopped_since(old)
        self.goes_on_unstopped()
        shutil.rmtree(images)

    def lives(self):
        return [self.failing_dump_of_stopped, self.leave_stopped, self.leave_stopped_of_stopped,
                self.leave_running_of_stopped, self.dump_of_stopped, self.restore_to_stop,
                self.restore_of_stopped_to_stop]
