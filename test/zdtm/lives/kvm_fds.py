# SPDX-License-Identifier: GPL-2.0-only
"""Open files of KVM's: also with a VM of which CRIU opens none in its owner, and with numbers that leave no room above."""

import atexit
import os
import shutil
import tempfile

import lives
from common import criu, left_of, processes, read, require
from lives.kvm_shared_file import Changed

RAM_SIZE = 0x10000


def highest_fd():
    """Of those that CRIU restores: behind it are its own."""
    return int(read('/proc/sys/fs/nr_open')) // 128 * 128 - 64


class Lives(lives.Lives):
    options = ['--copies=3']

    def changed_file(self):
        """Of a VM that is created when its process is there already, by criu."""
        folder = tempfile.mkdtemp(prefix='kvm_fds.', dir='/var/tmp')
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        ram = os.path.join(folder, 'ram')
        self.options = ['--copies=5', f'--ram={ram}']
        self.renew()
        images = self.images()
        self.dump_ok(images)
        before = processes()
        with Changed(ram, RAM_SIZE - 1):
            result = criu('restore', images, '-d')
        result.require(result.status != 0, f'{ram} was changed, and the restore succeeded')
        result.require(f'{ram}: its content has changed' in result.log, 'the log does not name the file')
        require(not left_of(before), f'processes left: {left_of(before)}')
        self.restore_ok(images)
        self.goes_on()

    def more(self):
        constellations = (['--copies=5', '--high=900'], ['--copies=0', '--high=1000000'],
                          ['--copies=3', f'--high={highest_fd()}'])
        for options in self.sample(constellations, 1):
            self.options = options
            self.renew()
            for life in super().lives():
                life()
        self.changed_file()
