# SPDX-License-Identifier: GPL-2.0-only
"""Guest time must not pass while the process is gone.

Each vCPU notes the counter when it runs: one that gets no CPU, or is off, has noted it long before a look at it. The
counter is the VM's, so the last note of all counts, and it is taken from a look that shows a newer one than the look
before: that note is no older than the look before.
"""

import time

from zdtmvm import Failure

SLACK = 0.1         # seconds
LOOK_EVERY = 0.005


def counter_of(stats):
    """In seconds."""
    return max(cpu['cntvct'] for cpu in stats.cpus) / stats.cntfrq


def look(vm, seconds=60):
    """(the counters with a new note of the guest's counter, a moment that this note is not older than)"""
    end = time.monotonic() + seconds
    old = vm.stats()
    while True:
        time.sleep(LOOK_EVERY)
        new = vm.stats()
        if counter_of(new) > counter_of(old):
            return new, old.when
        if time.monotonic() > end:
            raise Failure(f'no vCPU has noted the counter in {seconds} s')
        old = new


def check(before, after, possible):
    """@possible: seconds in which the guest can have run, from the moment that is told with @before to now."""
    passed = counter_of(after) - counter_of(before)
    if passed > possible + SLACK:
        raise Failure(f'the guest counter jumped: {passed:.2f} s passed in the guest, {possible:.2f} s were possible')
