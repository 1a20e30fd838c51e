# SPDX-License-Identifier: Apache-2.0
"""d14: a stream of clicks, then a stream of partials, is deleted under load; both are made again, nothing is lost."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
from e2e import Cluster, expect, expect_exact, growth, step, stop_load, tell, wait_for
from r3 import ask_stream


def messages(nats, stream):
    """(when it was made, messages that it ever took), or None while there is none."""
    told = ask_stream(nats, f"STREAM.INFO.{stream}")
    return (told["created"], told["state"]["last_seq"]) if "state" in told else None


def delete(c, stream):
    nats = c.nats["us"]
    before = messages(nats, stream)
    expect(before and before[1] > 0, f"{stream} holds nothing: deleting it would show nothing")
    told = ask_stream(nats, f"STREAM.DELETE.{stream}")
    expect(told.get("success"), f"{stream} was not deleted: {told}")
    step(f"{stream} is deleted with {before[1]} messages behind it")
    return before


def made_again(c, stream, before):
    def again():
        now = messages(c.nats["us"], stream)
        return now and now[0] != before[0] and now[1] > 0
    wait_for(f"{stream} to be made again and used", again, 20)
    step(f"{stream} is there again")


def failed_proofs(replica):
    return replica.metrics()["tributary_regional_alarm_proofs_failed_total"]


def test():
    with Cluster() as c:
        c.start()
        load = c.send(rate=2500, seconds=120, ads=300, connections=2, drain_seconds=60)
        growth(c, 60000)

        before = delete(c, "CLICKS_us_1")
        made_again(c, "CLICKS_us_1", before)
        growth(c, 40000)
        for replica in c.replicas_of("us"):
            wait_for(f"{replica.name} to see that its position is gone", lambda r=replica: failed_proofs(r) > 0)

        step("what is deleted had been read by nobody: the folds are down")
        for replica in c.replicas_of("us"):
            replica.kill()
        growth(c, 60000)
        before = delete(c, "CLICKS_us_1")
        made_again(c, "CLICKS_us_1", before)
        for replica in c.replicas_of("us"):
            replica.start()
        growth(c, 40000)

        before = delete(c, "PARTIALS_us")
        made_again(c, "PARTIALS_us", before)
        growth(c, 40000)
        stop_load(c, load)
        expect_exact(c, 60)
        resent = sum(e.metrics()["tributary_edge_segments_resent_total"] for e in c.edges.values())
        expect(resent > 0, "no edge has sent again what was deleted unread")


tell(test)
