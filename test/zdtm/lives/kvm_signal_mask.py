# SPDX-License-Identifier: GPL-2.0-only
"""A signal mask for KVM_RUN, which no vCPU may lose."""

import lives


class Lives(lives.Lives):
    needed = ['signal masks']
