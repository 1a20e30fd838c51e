# SPDX-License-Identifier: Apache-2.0
"""d06: an edge's spool is restored from an older copy: the numbers it gives again are of another epoch."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import shutil

from e2e import Cluster, expect_exact, growth, step, stop_load, tell


def test():
    with Cluster() as c:
        c.start()
        edge = c.edges["us-e1"]
        load = c.send("before", rate=2500, seconds=60, ads=300)
        growth(c, 60000)
        edge.kill()
        shutil.copytree(edge.store, edge.store + ".old")
        edge.start()
        growth(c, 60000)
        stop_load(c, load)
        expect_exact(c)  # so that the spool holds nothing that only it holds

        step("the spool falls back")
        edge.kill()
        shutil.rmtree(edge.store)
        shutil.copytree(edge.store + ".old", edge.store)
        edge.start()
        load = c.send("after", rate=2500, seconds=60, ads=300)
        growth(c, 80000)

        step("and once more, to the same copy, as a cloned disk would")
        stop_load(c, load)
        expect_exact(c)
        edge.stop()
        shutil.rmtree(edge.store)
        shutil.copytree(edge.store + ".old", edge.store)
        edge.start()
        load = c.send("again", rate=2500, seconds=60, ads=300)
        growth(c, 60000)
        stop_load(c, load)
        expect_exact(c)


tell(test)
