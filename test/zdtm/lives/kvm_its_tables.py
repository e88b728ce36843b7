# SPDX-License-Identifier: GPL-2.0-only
"""A dump that leaves the VM running leaves its LPI pending tables as they were; tables in a file that keeps its name."""

import atexit
import os
import shutil
import tempfile

import lives
from common import Unharmed, criu, finish, require
from zdtmvm import is_alive, wait_gone

RAM_ADDR = 0x5a0000800000           # oddvm/its.h
PENDING, PENDING_END = 0x10000, 0x40000     # oddvm/lpi.h


class Lives(lives.Lives):
    def pending_tables(self):
        with open(f'/proc/{self.vm.pid}/mem', 'rb', buffering=0) as mem:
            mem.seek(RAM_ADDR + PENDING)
            return mem.read(PENDING_END - PENDING)

    def dump(self, images, *options, **more):
        before = self.pending_tables()
        result = super().dump(images, *options, **more)
        if is_alive(self.vm.pid):
            after = self.pending_tables()
            changed = [i for i, pair in enumerate(zip(before, after)) if pair[0] != pair[1]]
            result.require(not changed, f'bytes of the LPI pending tables that the dump has changed: {changed[:8]}')
        return result

    def failing_steps(self):
        """Dumps that fail once KVM has written the tables; lives.failing_dump() has a later one."""
        for step in ('LPI pending tables saved', 'LPI tables decoded', 'kvm_run pages'):
            images = self.images()
            unharmed = Unharmed(self.vm)
            result = self.dump(images, env={'KVM_VGIC_FAULT': step})
            result.require(result.status != 0 and 'fault injected: ' + step in result.log, f'{step} has not failed')
            unharmed.check(images)
            shutil.rmtree(images)

    def in_file(self):
        """The same in a file: a dump that fails, and one that ends the VM."""
        first = self.vm
        finish(first)
        folder = tempfile.mkdtemp(prefix='kvm_its_tables.', dir='/var/tmp')
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        self.options = ['--ram=' + os.path.join(folder, 'ram')]
        self.vm = self.start('kvm_its_tables')
        shutil.rmtree(first.dir, ignore_errors=True)
        require('/ram' in open(f'/proc/{self.vm.pid}/maps').read(), 'the tables are not in a file')
        self.failing_dump()
        self.restore_again()

    def restore_again(self):
        """A restore that fails after KVM has taken the tables leaves the file as a restore needs it."""
        images = self.images()
        self.dump_ok(images)
        wait_gone(self.vm.pid)
        result = criu('restore', images, '-d', env={'KVM_VGIC_FAULT': 'ITS control'})
        result.require(result.status != 0, 'the restore succeeded')
        wait_gone(self.vm.pid)
        self.restore_ok(images)
        self.goes_on()

    def more(self):
        self.failing_steps()
        self.in_file()
