# SPDX-License-Identifier: Apache-2.0
"""d04: the globe is killed under load: its rows and its position never part."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
from e2e import Cluster, expect_exact, kill_under_load, tell


def test():
    with Cluster() as c:
        c.start()
        kill_under_load(c, [c.globe] * 4)
        expect_exact(c)


tell(test)
