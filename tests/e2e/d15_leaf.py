# SPDX-License-Identifier: Apache-2.0
"""d15: the files of infra/nats at work: an edge in a POP, its leaf node, TLS, a region of three servers; some die."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
from e2e import expect, expect_exact, growth, step, stop_load, tell, wait_for
from r3 import publish_to
from region_files import FilesCluster


def linked(c):
    wait_for("the leaf link to carry messages", lambda: (c.pop.messages() or 0) > 0, 30)


def forge(c):
    """What a POP that was broken into could send: its own clicks, and nothing else."""
    c.pop.guarded = False
    c.pop.kill()
    c.pop.start()
    linked(c)
    said = {subject: publish_to(c.pop, f"clicks.us.0.{subject}")
            for subject in ("edge.us-e1", "edge.us-e2", "control", "tick.us-r1")}
    expect(said.pop("edge.us-e1"), "not even its own subject is stored: the check says nothing")
    expect(not any(said.values()), f"stored, in another's name: {said}")
    c.pop.guarded = True


def leaf_of(c):
    """The server of the region that the leaf is linked to."""
    return next(node for node in c.nodes if node.alive() and c.pop.linked_to(node))


def test():
    with FilesCluster() as c:
        # The leaf first: it waits for its region, as a POP does.
        c.start_with_pop()
        edge = c.edges["us-e1"]
        load = c.send(rate=1500, seconds=90, ads=300, connections=2, drain_seconds=60, edges=[edge],
                      replicated_permille=0)
        growth(c, 60000)
        linked(c)
        wait_for("acknowledgements to come back over the leaf link",
                 lambda: edge.metrics()["tributary_edge_answers_replicated_total"] > 0, 20)
        forge(c)
        step("clicks go through the leaf node, acknowledgements come back")

        server = wait_for("a server that the leaf is linked to", lambda: leaf_of(c), 10)
        server.kill()
        step(f"{server.name}, to which the leaf was linked, is away")
        growth(c, 40000)
        wait_for("another link", lambda: any(c.pop.linked_to(n) for n in c.nodes if n.alive()), 30, 0.2)
        step("the leaf is linked to another server")
        growth(c, 40000)
        server.start()

        c.pop.kill()
        growth(c, 40000)
        c.pop.start()
        linked(c)
        step("the leaf was away, and is back")
        growth(c, 20000)
        answer = stop_load(c, load)
        step(f"{answer['accepted']} clicks, {answer['replicated']} replicated, {answer['spooled']} spooled")
        expect_exact(c, 60)


tell(test)
