# SPDX-License-Identifier: GPL-2.0-only
"""Every register of vCPUs that do not run: how many were compared, and which may differ."""

import re

import lives
from common import finish


class Lives(lives.Lives):
    needed = ['ID and firmware registers', 'vCPU registers', 'guest counters']

    def end(self):
        finish(self.vm)
        for line in re.findall('registers: (.*)', self.vm.output()):
            print('  ' + line, flush=True)
