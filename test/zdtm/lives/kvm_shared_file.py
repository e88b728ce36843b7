# SPDX-License-Identifier: GPL-2.0-only
"""Guest memory in files: a restore starts from the file of the dump's moment, or not at all."""

import atexit
import contextlib
import os
import re
import shutil
import tempfile

import lives
from common import Unharmed, criu
from zdtmvm import wait_gone

RAM_OFFSET = 0x10000    # kvm_shared_file.c
RAM_SIZE = 0x10000


class Changed:
    """A file with one byte changed, for a while."""

    def __init__(self, path, at):
        self.path = path
        self.at = at

    def flip(self):
        with open(self.path, 'r+b') as f:
            f.seek(self.at)
            byte = f.read(1)[0]
            f.seek(self.at)
            f.write(bytes([byte ^ 1]))

    def __enter__(self):
        self.flip()

    def __exit__(self, *args):
        self.flip()


@contextlib.contextmanager
def resized(path, by):
    size = os.path.getsize(path)
    saved = path + '.saved'
    shutil.copy(path, saved)
    os.truncate(path, size + by)
    try:
        yield
    finally:
        os.replace(saved, path)


@contextlib.contextmanager
def replaced(path, make=None):
    """Something else, or nothing, is there for a while."""
    os.rename(path, path + '.saved')
    if make:
        make(path)
    try:
        yield
    finally:
        if make:
            os.unlink(path)
        os.rename(path + '.saved', path)


class Lives(lives.Lives):
    def start(self, name):
        # On a disk, and where shared memory is.
        self.disk = tempfile.mkdtemp(prefix=name + '.', dir='/var/tmp')
        self.shm_dir = tempfile.mkdtemp(prefix=name + '.', dir='/dev/shm')
        for folder in (self.disk, self.shm_dir):
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
        self.ram = os.path.join(self.disk, 'ram')
        self.rom = os.path.join(self.disk, 'rom')
        self.shm = os.path.join(self.shm_dir, 'shm')
        # Memslot, file, bytes.
        self.warned = [('0', self.ram, '65536'), ('1', self.shm, '32768'), ('1', self.shm, '32768'),
                       ('2', self.rom, '65536')]
        self.options = [f'--ram={self.ram}', f'--shm={self.shm}', f'--rom={self.rom}']
        return super().start(name)

    def dump_ok(self, images, *options):
        result = super().dump_ok(images, *options)
        warned = re.findall(r'Warn .*kvm_vgic: vm 1: memslot (\d) \(gpa \w+\): (\S+): (\d+) bytes of guest memory',
                            result.log)
        result.require(warned == self.warned, f'the warnings are {warned}')
        return result

    def restore_refused(self, images, path, why):
        result = criu('restore', images, '-d')
        result.require(result.status != 0, f'{path}: {why}: the restore succeeded')
        wait_gone(self.vm.pid)
        said = re.search(rf'vm 1: memslot \d \(gpa \w+\): {re.escape(path)}: {why}.*put it back', result.log)
        result.require(said, f'the log does not say: {path}: {why}')

    def changed_files(self):
        """Each change is refused by name, leaves no task, and can be undone."""
        images = self.images()
        self.dump_ok(images)
        wait_gone(self.vm.pid)
        content = 'its content has changed'
        for path, at in ((self.ram, RAM_OFFSET), (self.ram, RAM_OFFSET + RAM_SIZE - 1), (self.shm, 0),
                         (self.shm, 0xffff), (self.rom, 0x1000)):
            with Changed(path, at):
                self.restore_refused(images, path, content)
        for path in (self.ram, self.shm):
            with resized(path, 4096):
                self.restore_refused(images, path, r'it had \d+ bytes at the dump, and has \d+')
            with replaced(path):
                self.restore_refused(images, path, r'cannot be opened: No such file or directory \(errno 2\)')
            with replaced(path, os.mkfifo):
                self.restore_refused(images, path, 'is not a regular file')
        self.restore_ok(images)
        self.goes_on()

    def name_lost(self):
        """With another name than the one it was mapped by the dump is refused; with none CRIU carries the file."""
        images = self.images()
        unharmed = Unharmed(self.vm)
        before = unharmed.before[self.vm.pid]
        os.link(self.shm, self.shm + '.other')
        os.unlink(self.shm)
        before['maps'] = before['maps'].replace(self.shm, self.shm + ' (deleted)')
        result = self.dump(images)
        result.require(result.status != 0, 'the dump succeeded')
        why = f'{self.shm} (deleted): guest memory in a file that has lost this name'
        result.require(any(why in x for x in result.errors), 'the log does not name the file')
        unharmed.check(images)
        os.unlink(self.shm + '.other')
        self.warned = [x for x in self.warned if x[1] != self.shm]
        self.dump_and_restore()

    def changed_elsewhere(self):
        """What the guest does not see may change."""
        images = self.images()
        self.dump_ok(images)
        wait_gone(self.vm.pid)
        Changed(self.ram, RAM_OFFSET - 1).flip()
        Changed(self.ram, RAM_OFFSET + RAM_SIZE).flip()
        self.restore_ok(images)
        self.goes_on()

    def leave_running(self):
        """The original goes on in the file: a copy of it needs the file of the dump's moment."""
        images = self.images()
        script = os.path.join(images, 'copy')
        with open(script, 'w') as f:
            f.write('#!/bin/bash\n'
                    f'[[ $CRTOOLS_SCRIPT_ACTION != post-dump ]] || cp -p "{self.ram}" "{self.ram}.then"\n')
        os.chmod(script, 0o700)
        unharmed = Unharmed(self.vm)
        self.dump_ok(images, '-R', '--action-script', script)
        unharmed.check(images)
        self.vm.kill()
        self.restore_refused(images, self.ram, 'its content has changed')
        os.replace(self.ram + '.then', self.ram)
        self.restore_ok(images)
        self.goes_on()

    def lives(self):
        return super().lives() + [self.changed_elsewhere, self.changed_files]

    def more(self):
        self.name_lost()
