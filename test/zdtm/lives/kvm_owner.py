# SPDX-License-Identifier: GPL-2.0-only
"""Who has a VM beside its owner makes the dump fail by name; without them the VM is carried."""

import os
import shutil
import signal
import time

import lives
from common import OddVm, Unharmed, criu_ok, discard, finish, is_kvm, require, tree
from zdtmvm import is_alive, wait_gone

SECOND = 'a second process with KVM, beside '

# Of oddvm/process.c: what a child has of its parent's VM.
INHERITED = ['inherited-fds', 'inherited-map', 'inherited-vcpu']


def has_kvm(pid):
    """It runs: fds may be closed while they are looked at."""
    for fd in os.listdir(f'/proc/{pid}/fd'):
        try:
            if is_kvm(os.readlink(f'/proc/{pid}/fd/{fd}')):
                return True
        except FileNotFoundError:
            pass
    return False


def wait_for(condition, what):
    end = time.monotonic() + 30
    while not condition():
        require(time.monotonic() < end, what)
        time.sleep(0.01)


class Lives(lives.Lives):
    def refused(self, vm):
        images = self.images()
        unharmed = Unharmed(vm)
        result = lives.criu('dump', images, '-t', str(vm.pid))
        result.require(result.status != 0, 'the dump succeeded')
        result.require(any(SECOND in x for x in result.errors), f'no error says "{SECOND}"')
        unharmed.check(images)
        shutil.rmtree(images)

    def parent_has_fd(self):
        """Refused until the parent, which does not own the VM, closes its fd."""
        if not self.count:
            self.refused(self.vm)
            os.kill(self.vm.pid, signal.SIGUSR2)
            wait_for(lambda: not has_kvm(self.vm.pid), 'the parent does not close its fd')

    def lives(self):
        return [self.parent_has_fd, *super().lives()]

    def until_child_ends(self, what):
        """Refused while the child has something of the VM; carried when it has ended."""
        vm = OddVm(what)
        try:
            self.refused(vm)
            child = tree(vm.pid)[1]
            os.kill(child, signal.SIGTERM)
            wait_for(lambda: not is_alive(child), 'the child does not end')
            images = self.images()
            criu_ok('dump', images, '-t', str(vm.pid))
            wait_gone(vm.pid)
            criu_ok('restore', images, '-d')
            vm.wait_moved(vm.stats())
            finish(vm)
            shutil.rmtree(images)
        finally:
            discard(vm)

    def more(self):
        for what in INHERITED:
            self.until_child_ends(what)
