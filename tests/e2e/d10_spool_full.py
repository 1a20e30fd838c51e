# SPDX-License-Identifier: Apache-2.0
"""d10: with its region away an edge takes clicks until its spool is full, then says 503, and means "not stored"."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import json
import time

from e2e import Cluster, ask, click, expect, expect_exact, growth, step, stop_load, tell, wait_for


def test():
    with Cluster(spool_bytes=16 << 20) as c:
        c.start()
        for nats in c.nats.values():
            nats.kill()
        # Big batches: the last ones do not fit where a moment before there was room.
        load = c.send(rate=0, seconds=120, ads=300, connections=2, streams=4, single_permille=1, batch="1000-4000",
                      retry_permille=20, replicated_permille=0, drain_seconds=80)
        wait_for("every spool to be full", lambda: all(
            edge.metrics()["tributary_edge_answers_unavailable_total"] > 2 for edge in c.edges.values()), 60, 0.1)
        step("the spools are full")
        answer = ask(c, c.edges["us-e1"], "/v1/clicks", "POST", json.dumps(
            [click("d10", f"u{i}", int(time.time()), user_agent="x" * 500) for i in range(8000)]))
        expect(answer.status == 503 and "retry-after" in answer.headers, f"{answer.status} {answer.body[:200]}")
        expect("not stored" in answer.body, answer.body[:300])
        for edge in c.edges.values():
            expect(edge.alive(), f"{edge.name} has died of a full spool: {edge.last_words()}")
        for nats in c.nats.values():
            nats.start()
        growth(c, 200000)
        told = stop_load(c, load)
        expect(told["postponed_attempts"] > 0, f"nothing was refused: {told}")
        step(f"{told['accepted']} accepted, {told['postponed_attempts']} requests postponed")
        expect_exact(c, 90)
        wait_for("the edges to be ready again", lambda: all(
            edge.admin("/readyz")[0] == 200 for edge in c.edges.values()), 30)


tell(test)
