# SPDX-License-Identifier: GPL-2.0-only
"""One refusal; test/zdtm/failures has them all."""

import shutil

import lives
from common import Unharmed


class Lives(lives.Lives):
    options = ['--what=vfio']

    def refused(self):
        images = self.images()
        unharmed = Unharmed(self.vm)
        result = self.dump(images)
        result.require(result.status != 0, 'the dump succeeded')
        result.require(any('an assigned device: not supported' in x for x in result.errors), 'no error names the device')
        unharmed.check(images)
        shutil.rmtree(images)

    def lives(self):
        return [self.refused]
