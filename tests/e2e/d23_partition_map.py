# SPDX-License-Identifier: Apache-2.0
"""d23: the partition map of a region grows from 4 to 8 under load, with retries across the change: exact."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import json
import time

from e2e import Cluster, ask, expect, expect_exact, growth, step, stop_load, tell, wait_for

TOPOLOGY = {"us": {"edges": ["us-e1", "us-e2"], "replicas": ["us-r1", "us-r2"]}}
AHEAD_S = 12  # enough for word to travel; a person takes minutes


def by_partition(tier, what):
    key = f'tributary_{what}{{'
    return {name.split('partition="')[1].split('"')[0]: value for name, value in tier.metrics().items() if name.startswith(key)}


def restart(c, tier, changes):
    tier.stop()
    tier.changes = changes
    tier.start()
    growth(c, 30000)


def test():
    with Cluster(topology=TOPOLOGY, lateness_ms=1000) as c:
        c.start()
        load = c.send(rate=2000, seconds=150, ads=300, connections=4, drain_seconds=60)
        growth(c, 60000)
        for replica in c.replicas.values():
            restart(c, replica, {"partitions_total": 8, "partitions_first": 4, "partitions": "0-7"})
        for edge in c.edges.values():
            restart(c, edge, {"partitions": 8, "partitions_first": 4})
        step("replicas and edges are ready for 8 partitions, one after the other, under load")
        config = c.replicas["us-r1"].write_control_config()
        if time.time() % 60 > 60 - AHEAD_S:
            time.sleep(61 - time.time() % 60)
        at = int(time.time()) // 60 * 60 + 60
        said = c.ctl("partitions", "grow", "--config", config, "--from", str(at))
        expect("on 8" in said, f"the map that replicas have: {said}")
        for edge in c.edges.values():
            wait_for(f"{edge.name} to follow", lambda: edge.metrics()['tributary_edge_partitions{region="us"}'] == 8)
        before = by_partition(c.edges["us-e1"], "edge_line_accepted_total")
        expect(all(before[str(p)] == 0 for p in range(4, 8)), f"a new partition has clicks before its time: {before}")
        step(f"the step was said and is followed; it begins in {at - time.time():.0f} s")
        wait_for("the minute", lambda: time.time() > at + 5, 70)
        growth(c, 100000)
        stop_load(c, load)
        expect_exact(c)
        after = by_partition(c.edges["us-e1"], "edge_line_accepted_total")
        expect(all(after[str(p)] > 0 for p in range(8)), f"a partition has no clicks: {after}")
        for replica in c.replicas.values():
            expect(replica.metrics()["tributary_regional_alarm_misplaced_total"] == 0, "a click was carried")
        shown = json.loads(c.ctl("partitions", "show", "--config", config, "--json"))
        expect(len(shown["parts"]) == 16 and all(part["map"] == shown["parts"][0]["map"] for part in shown["parts"]),
               f"not one map: {shown}")
        whole = ask(c, c.globe, f"/v1/top?start={at - 60}&end={at}").json
        expect(whole["complete"], f"the minute before the step is not complete: {whole}")
        c.replicas["us-r1"].kill()
        c.edges["us-e1"].kill()
        for tier in (c.replicas["us-r1"], c.edges["us-e1"]):
            tier.start()
        again = c.send("again", rate=2000, seconds=30, ads=300)
        growth(c, 40000)
        stop_load(c, again)
        expect_exact(c)
        step("killed and back: the map is kept, and more clicks are exact")


tell(test)
