# SPDX-License-Identifier: Apache-2.0
"""d13: one zone of a region (a nats-server and a fold replica) is killed under load and comes back without disks."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
from e2e import expect, expect_exact, growth, step, stop_load, tell, wait_for
from r3 import R3Cluster, Stall, wipe

CLICKS = [f"CLICKS_us_{p}" for p in range(4)]
STREAMS = CLICKS + ["PARTIALS_us"]
STALL_MS = 5000


def slowest_count(c):
    """How long the slowest probe took to be counted: so long the counts of its partition stood still."""
    with open(os.path.join(c.folder, "probe.samples"), encoding="ascii") as file:
        return max(int(line.split()[1]) for line in file)


def choose_zone(c):
    """A zone whose server leads streams of clicks, but neither all of them nor the partials'. A dead leader is replaced
    by JetStream alone, after 4 to 9 s that no setting changes; until then counts of what it led stand still."""
    def chosen():
        leads = {s: c.leader(s) for s in STREAMS}
        for node in c.nodes:
            mine = [s for s in CLICKS if leads[s] is node]
            if mine and len(mine) < len(CLICKS) and leads["PARTIALS_us"] is not node and all(leads.values()):
                return node
        c.step_down("PARTIALS_us" if len({leads[s] for s in CLICKS}) > 1 else "CLICKS_us_0")
        return None
    return wait_for("leaders to be spread over zones", chosen, 60, 1.0)


def test():
    with R3Cluster() as c:
        c.start()
        for stream in STREAMS:
            wait_for(f"{stream} to have three copies", lambda s=stream: c.current(s), 30, 0.2)
        step("three servers, three copies")
        server = choose_zone(c)
        probe = c.probe(count=150, interval_ms=100, wait_seconds=60)  # first: growth() looks at the newest ledger
        load = c.send(rate=1500, seconds=120, ads=300, connections=2, drain_seconds=60, replicated_permille=0)
        growth(c, 60000)

        replica, peer = c.replicas["us-r1"], c.replicas["us-r2"]
        stall = Stall(c)
        led = [s for s in STREAMS if c.leader(s) is server]
        server.kill()
        replica.kill()
        step(f"zone {server.zone} is gone: {server.name}, which led {' '.join(led)}, and {replica.name}")
        for stream in STREAMS:
            wait_for(f"{stream} to be led again", lambda s=stream: c.leader(s) not in (None, server), 40, 0.1)
        step("all streams are led again")
        growth(c, 20000)

        wipe(server)
        wipe(replica)
        server.start()
        replica.arguments = ["--restore-from", f"http://{peer.addresses['admin']}"]
        replica.start()
        replica.arguments = []
        for stream in STREAMS:
            wait_for(f"{stream} to have three copies again", lambda s=stream: c.current(s), 40, 0.2)
        step("the zone is back, from empty disks")

        peer.kill()
        step(f"{peer.name} is away: what came back must carry the region")
        growth(c, 60000)
        longest_ms = stall.end()
        sent = stop_load(c, load)
        refused = sum(e.metrics()["tributary_edge_answers_unavailable_total"] for e in c.edges.values())
        code, probed = c.finish_load(probe, 90)
        step(f"{sent['accepted']} clicks; 503 {refused:.0f}; slowest answer {sent['max_us'] / 1000:.0f} ms; counts at the "
             f"globe stood still for {longest_ms} ms, those of what {server.name} led for {slowest_count(c)} ms")
        expect(sent["unknown_attempts"] == 0 and refused == 0, f"accepting has stopped: {sent}")
        expect_exact(c, 60)
        expect(code == 0, f"counts stood still for a minute, although the ledger is exact by now: {probed}")
        expect(longest_ms < STALL_MS, f"counts at the globe stood still for {longest_ms} ms")
        peer.start()


tell(test)
