# SPDX-License-Identifier: GPL-2.0-only
"""A VM in a tree of processes, and not in its root: restores.py has trees that are larger."""

import lives


class Lives(lives.Lives):
    options = ['--children=3', '--vm_child=2']
