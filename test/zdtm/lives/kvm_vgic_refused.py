# SPDX-License-Identifier: GPL-2.0-only
"""One refusal; test/zdtm/failures has them all."""

import shutil

import lives
from common import Unharmed


class Lives(lives.Lives):
    options = ['--what=its']

    def refused(self):
        images = self.images()
        unharmed = Unharmed(self.vm)
        result = self.dump(images)
        result.require(result.status != 0, 'the dump succeeded')
        result.require(any('an ITS: not supported' in x for x in result.errors), 'no error names the ITS')
        unharmed.check(images)
        shutil.rmtree(images)

    def lives(self):
        return [self.refused]
