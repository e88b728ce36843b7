# SPDX-License-Identifier: GPL-2.0-only
"""Memslots of every kind; some are over huge pages, which the host has to have."""

import atexit
import os
import shutil
import tempfile

import lives
from common import WORK

HUGE_PAGES = '/proc/sys/vm/nr_hugepages'


class Lives(lives.Lives):
    needed = ['memslots']

    def start(self, name):
        with open(HUGE_PAGES, 'r+', encoding='ascii') as f:
            if int(f.read()) < 8:
                f.seek(0)
                f.write('8')
        os.makedirs(WORK, exist_ok=True)
        folder = tempfile.mkdtemp(prefix='memory.', dir=WORK)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        self.options = [f'--filename={folder}/ram']
        return super().start(name)
