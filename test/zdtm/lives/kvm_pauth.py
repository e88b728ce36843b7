# SPDX-License-Identifier: GPL-2.0-only
"""Pointer authentication in the guest."""

import lives


class Lives(lives.Lives):
    needed = ['pointer authentication keys']
