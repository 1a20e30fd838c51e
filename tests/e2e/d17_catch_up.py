# SPDX-License-Identifier: Apache-2.0
"""d17: a replica that was away says that it is behind, and catches up several times faster than clicks come in; an edge
that was cut off does so without holding up another."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import time

from e2e import Cluster, expect, expect_exact, growth, step, stop_load, tell, wait_for
from relay import Relay

TOPOLOGY = {"us": {"edges": ["us-e1", "us-e2"], "replicas": ["us-r1", "us-r2"]}}
RATIO = 5


def books(replica):
    return sum(v for k, v in replica.metrics().items() if k.startswith("tributary_regional_partition_folded{"))


def lag(replica, what):
    return max(v for k, v in replica.metrics().items() if k.startswith(f"tributary_regional_partition_lag_{what}{{"))


def in_flight(edge):
    return edge.metrics()["tributary_edge_in_flight"]


def accepted(c):
    return sum(e.metrics()["tributary_edge_clicks_accepted_total"] for e in c.edges.values())


def catch_up(late, missed):
    """(clicks folded a second, what it said of itself) until it has what it missed; from its first answer on."""
    said, began, first = set(), None, None
    while True:
        done, now = books(late), time.monotonic()
        if began is None:
            began, first = now, done
        said.update(line.split(" ", 2)[-1].split(":")[0] for line in late.admin("/readyz")[1].splitlines())
        if done - first >= missed:
            return (done - first) / (now - began), said
        expect(now - began < 30, f"{done - first} of {missed} clicks after 30 s")


def of_a_replica(c, whole, late):
    growth(c, 40000)
    before, sent, since = books(late), accepted(c), time.monotonic()
    late.kill()
    growth(c, 250000)
    missed, live = books(whole) - before, (accepted(c) - sent) / (time.monotonic() - since)
    late.start()
    rate, said = catch_up(late, missed)
    step(f"{missed:.0f} missed clicks at {rate:.0f} a second while {live:.0f} a second came in: {rate / live:.0f} times as "
         f"fast; it said: {', '.join(sorted(said))}")
    wait_for("it to be ready", lambda: late.admin("/readyz")[0] == 200, 20)
    wait_for("its lag to be gone", lambda: lag(late, "messages") < 50 and lag(late, "seconds") < 5, 20)
    expect(rate >= RATIO * live, f"{rate} a second folded while {live} a second came in")
    expect(any("behind" in words or "caught up" in words for words in said), f"it was behind and said {said}")


def of_an_edge(c, relay, cut_off, other):
    """Its backlog goes out, and what the other one has under way stays as little as before."""
    usual = max(in_flight(other) for _ in range(20))
    relay.cut()
    growth(c, 300000)
    backlog = in_flight(cut_off)
    relay.mend()
    most = 0
    while in_flight(cut_off) > backlog / 10:
        most = max(most, in_flight(other))
        time.sleep(0.02)
    step(f"{backlog:.0f} clicks of {cut_off.name} went out; {other.name} had up to {most:.0f} under way, {usual:.0f} before")
    expect(backlog > 3 * usual, "there was hardly a backlog: this shows nothing")
    expect(most < backlog / 2, f"{other.name} was held up")


def test():
    with Cluster(topology=TOPOLOGY) as c:
        c.replicas["us-r2"].changes = {"behind_ms": 1000}
        relay = Relay(lambda: c.nats["us"].port)
        edge = c.edges["us-e1"]
        plain = edge.settings

        def through_relay():
            made = plain()
            made["regions"][0]["nats_url"] = f"nats://127.0.0.1:{relay.port}"
            return made
        edge.settings = through_relay
        c.start()
        load = c.send(rate=2000, seconds=120, ads=300, connections=2, drain_seconds=60, replicated_permille=0)
        of_a_replica(c, c.replicas["us-r1"], c.replicas["us-r2"])
        of_an_edge(c, relay, edge, c.edges["us-e2"])
        stop_load(c, load)
        expect_exact(c)
        relay.close()


tell(test)
