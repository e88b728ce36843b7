# SPDX-License-Identifier: GPL-2.0-only
"""A fd that another process has of a VM is carried; a mapping that one has makes the dump fail by name."""

import os
import shutil
import signal

import lives
from common import OddVm, Unharmed, criu_ok, discard, finish, is_kvm, tree, wait_for
from zdtmvm import is_alive, wait_gone

FOREIGN_MAP = "a mapping of a vCPU of another process's VM"

# Of oddvm/process.c: what a child has of its parent's VM.
REFUSED = ['inherited-fds', 'inherited-map']
CARRIED = 'inherited-vcpu'


def has_kvm(pid):
    """It runs: fds may be closed while they are looked at."""
    for fd in os.listdir(f'/proc/{pid}/fd'):
        try:
            if is_kvm(os.readlink(f'/proc/{pid}/fd/{fd}')):
                return True
        except FileNotFoundError:
            pass
    return False


class Lives(lives.Lives):
    def refused(self, vm):
        images = self.images()
        unharmed = Unharmed(vm)
        result = lives.criu('dump', images, '-t', str(vm.pid))
        result.require(result.status != 0, 'the dump succeeded')
        result.require(any(FOREIGN_MAP in x for x in result.errors), f'no error says "{FOREIGN_MAP}"')
        unharmed.check(images)
        shutil.rmtree(images)

    def parent_closes_fd(self):
        """After the first cycle the parent, which does not own the VM, has none of it."""
        if has_kvm(self.vm.pid):
            os.kill(self.vm.pid, signal.SIGUSR2)
            wait_for(lambda: not has_kvm(self.vm.pid), 'the parent does not close its fd')

    def lives(self):
        return [*super().lives(), self.parent_closes_fd]

    def with_child(self, what):
        """Refused while the child has a mapping of the VM's; carried when it has ended, or has a fd alone."""
        vm = OddVm(what)
        try:
            if what in REFUSED:
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
        for what in [*REFUSED, CARRIED]:
            self.with_child(what)
