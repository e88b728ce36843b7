# SPDX-License-Identifier: GPL-2.0-only
"""Stolen time."""

import lives


class Lives(lives.Lives):
    needed = ['steal time']
