# SPDX-License-Identifier: GPL-2.0-only
"""Every thread has its seccomp filter again after a restore."""

import os
import re

import lives
from common import read, require


def filtered(pid):
    """Mode and number of filters of each thread."""
    return [re.findall(r'^Seccomp(?:_filters)?:\s*(\d+)', read(f'/proc/{pid}/task/{tid}/status'), re.M)
            for tid in sorted(os.listdir(f'/proc/{pid}/task'), key=int)]


class Lives(lives.Lives):
    def check_parts(self):
        super().check_parts()
        found = filtered(self.vm.pid)
        require(found == [['2', '1']] * 3, f'seccomp of the threads: {found}')
