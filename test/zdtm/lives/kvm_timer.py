# SPDX-License-Identifier: GPL-2.0-only
"""Guest time: it stands still while the VM is gone, or goes on as the setting of the restore says: KVM_VGIC_CLOCK, or
the option of CRIU 4.3, which goes before it."""

import random
import shutil
import struct
import subprocess
import time

import lives
from common import criu_ok
from zdtmvm import Failure, wait_gone

# Of struct timer_guest in static/kvm_timer.c, of vCPU 0: the frequency, and struct timer.last of both timers.
GUEST = 0x5a0000100000 + 0x8000
FREQUENCY = GUEST + 88
LAST = {'virtual': GUEST + 112 + 40, 'physical': GUEST + 112 + 56 + 40}
SLACK = 0.7     # seconds: the kernel's and this script's time to look
GONE = 2        # seconds that images wait now and then


def criu_has_plugin_options():
    return b'--plugin-option' in subprocess.run(['criu', '--help'], stdout=subprocess.PIPE, check=False).stdout


class Lives(lives.Lives):
    needed = ['timer interrupts', 'guest counters', 'CNTV_CTL_EL0', 'CNTV_CVAL_EL0',
              'CNTP_CTL_EL0', 'CNTP_CVAL_EL0']
    clock = None            # of the restore
    by_option = False

    def word(self, address):
        with open(f'/proc/{self.vm.pid}/mem', 'rb', buffering=0) as mem:
            mem.seek(address)
            return struct.unpack('<Q', mem.read(8))[0]

    def guest_time(self, which):
        return self.word(LAST[which]) / self.word(FREQUENCY)

    def dump(self, images, *options, **more):
        time.sleep(random.uniform(0, 0.5))
        return super().dump(images, *options, **more)

    def restore_ok(self, images, *options):
        env = {'KVM_VGIC_CLOCK': self.clock} if self.clock else {}
        if self.by_option:
            options += ('--plugin-option', f'kvm_vgic.clock={self.clock}')
            env['KVM_VGIC_CLOCK'] = 'neither'
        result = criu_ok('restore', images, '-d', *options, env=env)
        self.check_parts()
        return result

    def watches(self):
        """The guest's clocks that a restore decides about."""
        return ['virtual'] + (['physical'] if self.options else [])

    def dump_and_restore(self):
        """Guest time from before the dump to after the restore, beside the host's."""
        images = self.images()
        began, guest = time.monotonic(), {which: self.guest_time(which) for which in self.watches()}
        self.dump_ok(images)
        wait_gone(self.vm.pid)
        dead = time.monotonic()
        time.sleep(GONE)
        gone = time.monotonic() - dead
        self.restore_ok(images)
        self.goes_on()
        for which, before in guest.items():
            self.check_passed(which, self.guest_time(which) - before, time.monotonic() - began, gone)
        shutil.rmtree(images)

    def check_passed(self, which, passed, host, gone):
        """What is not @gone was dump and restore, of which guest time need not pass any."""
        low, high = (host - SLACK, host + SLACK) if self.clock == 'advance' else (0, host - gone + SLACK)
        if not low <= passed <= high:
            raise Failure(f'the {which} counter: {passed:.2f} s have passed, not {low:.2f} to {high:.2f} s; '
                          f'the VM was gone for {gone:.2f} s')

    def variant(self, options, clock, by_option=False):
        self.options, self.clock, self.by_option = options, clock, by_option
        self.renew()
        for live in self.lives():
            live()

    def more(self):
        super().more()
        self.variant([], 'continue')
        self.variant([], 'advance')
        self.variant(['--offset=1'], 'advance')
        if criu_has_plugin_options():
            self.variant([], 'continue', by_option=True)
            self.variant([], 'advance', by_option=True)
        self.variant(['--offset=1'], None)
        self.needed = ['guest counters']
        super().more()
