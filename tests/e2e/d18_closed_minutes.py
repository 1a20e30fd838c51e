# SPDX-License-Identifier: Apache-2.0
"""d18: closed minutes leave memory; late clicks and late retries are judged by what the store holds, over kills and a
peer's copy."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
from e2e import Cluster, expect, expect_exact, growth, step, stop_load, tell, wait_for

TOPOLOGY = {"us": {"edges": ["us-e1"], "replicas": ["us-r1", "us-r2"]}}


def seen(replica, what):
    return replica.metrics()[f"tributary_regional_{what}"]


def test():
    with Cluster(topology=TOPOLOGY, lateness_ms=1000) as c:
        stores, remembers = c.replicas["us-r1"], c.replicas["us-r2"]
        remembers.changes = {"closed_minutes": "memory"}
        c.start()
        load = c.send(rate=2000, seconds=60, ads=200, late_permille=500, retry_permille=200)
        wait_for("late clicks to be read for", lambda: seen(stores, "late_reads_total") > 100, 60)
        growth(c, 10000)
        stores.kill()
        growth(c, 10000)
        stores.start()
        growth(c, 10000)
        stop_load(c, load)
        expect_exact(c)
        # Half of the clicks were of the last five minutes, evenly; the newest minutes are still open.
        wait_for("closed minutes to leave memory",
                 lambda: seen(stores, "keys") < seen(remembers, "keys") * 0.85, 30)
        step(f"{seen(stores, 'stored_tables'):.0f} minutes stored, {seen(stores, 'late_reads_total'):.0f} reads for "
             f"late clicks; {seen(stores, 'keys'):.0f} keys in memory, {seen(remembers, 'keys'):.0f} at its peer")
        expect(seen(remembers, "stored_tables") == 0, "the peer was to keep all in memory")
        expect(c.globe.metrics()["tributary_global_divergences_total"] == 0, "the two replicas contradict each other")

        remembers.kill()
        remembers.changes = {}
        load = c.send("after", rate=2000, seconds=8, ads=200, late_permille=800)
        growth(c, 5000)
        remembers.start()
        stop_load(c, load)
        expect_exact(c)
        wait_for("us-r2 to store its minutes as well", lambda: seen(remembers, "stored_tables") > 4, 40)
        expect(c.globe.metrics()["tributary_global_divergences_total"] == 0, "the two replicas contradict each other")


tell(test)
