# SPDX-License-Identifier: Apache-2.0
"""d07: the disk of one fold replica is wiped and rebuilt from its peer, under load; then it carries on alone."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import shutil

from e2e import Cluster, expect, expect_exact, growth, step, stop_load, tell


def test():
    with Cluster() as c:
        c.start()
        whole, wiped = c.replicas["us-r1"], c.replicas["us-r2"]
        load = c.send(rate=2500, seconds=90, ads=300, connections=2, drain_seconds=60)
        growth(c, 60000)
        wiped.kill()
        shutil.rmtree(wiped.store)
        step("us-r2 has lost its disk")
        growth(c, 60000)
        wiped.arguments = ["--restore-from", f"http://{whole.addresses['admin']}"]
        wiped.start()
        wiped.arguments = []
        step("us-r2 is rebuilt")
        growth(c, 60000)
        whole.kill()
        step("us-r1 is away: us-r2 alone carries the region")
        growth(c, 60000)
        stop_load(c, load)
        expect_exact(c)
        whole.start()
        load = c.send("together", rate=2500, seconds=60, ads=300)
        growth(c, 40000)
        stop_load(c, load)
        expect_exact(c)
        expect(whole.alive() and wiped.alive(), "a replica has ended by itself")


tell(test)
