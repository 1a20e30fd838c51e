# SPDX-License-Identifier: Apache-2.0
"""d03: nats-servers are killed under load: edges go on on their spools, nothing is lost or doubled."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
from e2e import Cluster, expect_exact, growth, kill_under_load, step, stop_load, tell


def test():
    with Cluster() as c:
        c.start()
        kill_under_load(c, [c.nats["us"], c.nats["eu"], c.nats["us"]])
        expect_exact(c)
        load = c.send("away", rate=2000, seconds=60, ads=300, replicated_permille=0)
        growth(c, 20000)
        c.nats["us"].kill()
        step("nats-us is away; clicks go on")
        growth(c, 80000)
        c.nats["us"].start()
        growth(c, 20000)
        stop_load(c, load)
        expect_exact(c)


tell(test)
