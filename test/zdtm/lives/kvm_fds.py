# SPDX-License-Identifier: GPL-2.0-only
"""Open files of KVM's: also with a VM of which CRIU opens none in its owner, and with numbers that leave no room above."""

import lives


class Lives(lives.Lives):
    options = ['--copies=3']

    def more(self):
        for options in self.sample((['--copies=5', '--high=900'], ['--copies=0', '--high=1000000']), 1):
            self.options = options
            self.renew()
            for life in super().lives():
                life()
