# SPDX-License-Identifier: GPL-2.0-only
"""Calls that the VMM denies or serves."""

import lives


class Lives(lives.Lives):
    needed = ['SMCCC filter']
