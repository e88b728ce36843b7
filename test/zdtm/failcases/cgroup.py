# SPDX-License-Identifier: GPL-2.0-only
"""A cgroup of a case's own, gone at its end."""

import contextlib
import os
import time

from common import read

ROOT = '/sys/fs/cgroup'
SECONDS = 10            # until what was in it has ended


class Cgroup:
    def __init__(self, name, controller=None):
        self.name, self.controller = 'kvm-vgic-' + name, controller
        self.path = os.path.join(ROOT, self.name)

    def write(self, name, value):
        with open(os.path.join(self.path, name), 'w') as f:
            f.write(str(value))

    def read(self, name):
        return read(os.path.join(self.path, name))

    def add(self, pid):
        self.write('cgroup.procs', pid)

    def switch(self, sign):
        """The controller, on and off for all that is below the root."""
        if self.controller:
            with open(os.path.join(ROOT, 'cgroup.subtree_control'), 'w') as f:
                f.write(sign + self.controller)

    def __enter__(self):
        self.switch('+')
        os.mkdir(self.path)
        return self

    def __exit__(self, *args):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                os.rmdir(self.path)
                break
            time.sleep(0.02)
        else:
            os.rmdir(self.path)
        self.switch('-')


def has_controller(name):
    """Of this host's cgroups, of version 2."""
    path = os.path.join(ROOT, 'cgroup.controllers')
    return os.path.exists(path) and name in read(path).split()
