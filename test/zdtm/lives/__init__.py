# SPDX-License-Identifier: GPL-2.0-only
"""How a test with a small VM is driven: through a dump that fails, a dump with --leave-running, a dump and a restore.

A test that needs more has a module of its name here, with a class Lives of its own.
"""

import importlib
import importlib.util
import os
import random
import shutil
import time

from common import SmallVm, Unharmed, check_same, criu, criu_ok, discard, finish, kvm_parts, require
from zdtmvm import Failure, is_alive, wait_gone


class Lives:
    """One test process, across all its lives."""

    options = []        # of the test
    dump_options = []   # of every criu dump and criu restore
    restore_options = []
    needed = []         # steps and registers (plugin/fault.h) without which a restore is none
    tries = {}          # of those, the ones that not every dump has something of: how many dumps at most

    def __init__(self, name, args):
        self.args = args
        self.rng = random.Random(args.seed)
        self.count = 0
        # When it was dumped: what its processes have of KVM, and how many counters its VM has.
        self.parts = {}
        self.nr_counters = 0
        self.vm = self.start(name)

    def start(self, name):
        return SmallVm(name, self.options)

    def images(self):
        """A new folder for images."""
        self.count += 1
        path = os.path.join(self.vm.dir, f'images.{self.count}')
        os.mkdir(path)
        return path

    def dump(self, images, *options, **more):
        return criu('dump', images, '-t', str(self.vm.pid), *self.dump_options, *options, **more)

    def dump_ok(self, images, *options):
        self.parts = kvm_parts(self.vm.pid)
        self.nr_counters = len(self.vm.stats().counters)
        result = self.dump(images, *options)
        result.require(result.status == 0, f'criu dump failed with {result.status}')
        return result

    def dump_until(self, images, *options, caught, tries, longest):
        """Dumps of random moments, each up to @longest s later, until one has @caught what is wanted."""
        for _ in range(tries):
            time.sleep(self.rng.uniform(0.02, longest))
            result = Lives.dump_ok(self, images, *options)
            if caught(result):
                return result
            if '-R' not in options:
                wait_gone(self.vm.pid)
                self.restore_ok(images)
            shutil.rmtree(images)
            os.mkdir(images)
        raise Failure(f'none of {tries} dumps has caught what is wanted')

    def restore_ok(self, images, *options):
        result = criu_ok('restore', images, '-d', *self.restore_options, *options)
        self.check_parts()
        return result

    def check_parts(self):
        """What a restore has brought back is what was dumped."""
        check_same(self.parts, kvm_parts(self.vm.pid))

    def goes_on(self):
        """From now on: every vCPU makes progress and has found nothing."""
        stats = self.vm.stats()
        require(len(stats.counters) == self.nr_counters, f'of {self.nr_counters} counters there are: {stats.counters}')
        self.vm.wait_moved(stats)

    def failing_dump(self):
        """It fails after kvm_run was swapped out: nothing may be seen of it."""
        images = self.images()
        unharmed = Unharmed(self.vm)
        result = self.dump(images, env={'KVM_VGIC_FAULT': 'dump-ext-file'})
        result.require(result.status != 0, 'the dump succeeded')
        result.require('kvm_run put back' in result.log, 'the log does not say that kvm_run was put back')
        unharmed.check(images)
        shutil.rmtree(images)

    def leave_running(self):
        """The original goes on, is ended, and a copy of it is restored."""
        images = self.images()
        unharmed = Unharmed(self.vm)
        self.dump_ok(images, '-R')
        unharmed.check(images)
        self.vm.kill()
        self.restore_ok(images)
        self.goes_on()
        shutil.rmtree(images)

    def dump_and_restore(self):
        images = self.images()
        self.dump_ok(images)
        assert not is_alive(self.vm.pid)
        wait_gone(self.vm.pid)
        self.restore_ok(images)
        self.goes_on()
        shutil.rmtree(images)

    def lives(self):
        """What a cycle consists of."""
        return [self.failing_dump, self.leave_running, self.dump_and_restore]

    def left_out(self, what):
        """What becomes of a restore without @what, where it is to be seen at that moment: else of another dump."""
        for again in range(self.tries.get(what, 1)):
            if again:
                discard(self.vm)
                self.vm = self.start(self.vm.name)
            shown = self.left_out_once(what)
            if shown:
                return shown
        raise Failure(f'a restore without "{what}" is as good as one with it')

    def left_out_once(self, what):
        """KVM refuses it, or the VM finds something; None: neither."""
        images = self.images()
        self.dump_ok(images)
        wait_gone(self.vm.pid)
        result = criu('restore', images, '-d', *self.restore_options, env={'KVM_VGIC_SKIP': what})
        if result.status:
            result.require(result.errors, 'the restore failed, and not by the plugin')
            return 'refused: ' + result.errors[0]
        try:
            self.goes_on()
            finish(self.vm)
        except Failure as e:
            return 'found: ' + str(e).strip().splitlines()[-1]
        return None

    def renew(self):
        """The end of this VM, which must be well, and another one."""
        self.end()
        shutil.rmtree(self.vm.dir)
        self.vm = self.start(self.vm.name)

    def sample(self, things, size):
        """All of @things or, with --short, @size of them."""
        things = list(things)
        if not self.args.short or len(things) <= size:
            return things
        return random.Random(f'{self.args.seed} {self.vm.name}').sample(things, size)

    def more(self):
        """What is tested once beside the cycles, after them; the VM is to be finished after it."""
        if self.needed:
            self.renew()
        for what in self.sample(self.needed, 1):
            print(f'  without "{what}": {self.left_out(what)}', flush=True)
            discard(self.vm)
            self.vm = self.start(self.vm.name)

    def end(self):
        finish(self.vm)


def of(name):
    """The class that drives test @name."""
    if not importlib.util.find_spec('lives.' + name):
        return Lives
    return importlib.import_module('lives.' + name).Lives
