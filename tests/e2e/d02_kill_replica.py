# SPDX-License-Identifier: Apache-2.0
"""d02: fold replicas are killed under load, the only one of a region too; then both of a region at once."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
from e2e import Cluster, expect_exact, growth, kill_under_load, stop_load, tell


def test():
    with Cluster() as c:
        c.start()
        kill_under_load(c, [c.replicas["us-r1"], c.replicas["eu-r1"], c.replicas["us-r2"], c.replicas["us-r1"]])
        expect_exact(c)
        load = c.send("both", rate=2000, seconds=60, ads=300)
        growth(c, 40000)
        for replica in c.replicas_of("us"):
            replica.kill()
        growth(c, 40000)
        for replica in c.replicas_of("us"):
            replica.start()
        stop_load(c, load)
        expect_exact(c)


tell(test)
