# SPDX-License-Identifier: Apache-2.0
"""d24: a replica is away and the spool nearly full: the edge goes on without it, says so, and waits for it when it is back."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
from e2e import Cluster, expect, expect_exact, growth, step, stop_load, tell, wait_for

SPOOL_BYTES = 48 << 20
AWAY = 'tributary_edge_spool_degraded{home="us",reader="us-r2"}'
LIVE = 'tributary_edge_spool_degraded{home="us",reader="us-r1"}'
PASSED = 'tributary_edge_reader_passed_total{home="us",reader="us-r2"}'
TOPOLOGY = {"us": {"edges": ["us-e1"], "replicas": ["us-r1", "us-r2"]}}


def test():
    with Cluster(topology=TOPOLOGY) as c:
        edge, away = c.edges["us-e1"], c.replicas["us-r2"]
        edge.changes = {"spool": {"path": edge.store, "bytes": SPOOL_BYTES, "reader_silent_s": 15, "degraded_percent": 20},
                        "replication_budget_ms": 0}
        c.start()
        load = c.send(rate=4000, seconds=120, ads=300, connections=2, single_permille=1, batch="100-200", retry_permille=20,
                      replicated_permille=0, drain_seconds=60)
        growth(c, 20000)
        away.kill()
        step("us-r2 is away")
        wait_for("the edge to go on without it", lambda: edge.metrics()[AWAY] == 1, 60, 0.2)
        found = edge.metrics()
        step(f"passed over, at {found['tributary_edge_spool_used_bytes'] / 2**20:.1f} MiB")
        expect(found[LIVE] == 0, "the replica that is there is passed over as well")
        status, text = edge.admin("/readyz")
        expect(status == 200 and "reader us-r2 of region us" in text, f"{status} {text}")
        wait_for("numbers to go without it", lambda: edge.metrics()[PASSED] > 0, 20, 0.1)
        growth(c, 20000)
        away.start()
        wait_for("the edge to wait for it again", lambda: edge.metrics()[AWAY] == 0, 20, 0.1)
        step(f"us-r2 is back; {edge.metrics()[PASSED]:.0f} numbers went without it")
        told = stop_load(c, load)
        step(f"{told['accepted']} accepted, {told['postponed_attempts']} postponed")
        expect_exact(c, 60)
        wait_for("it to have read everything", lambda: edge.metrics()["tributary_edge_in_flight"] == 0, 30)


tell(test)
