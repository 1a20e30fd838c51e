# SPDX-License-Identifier: Apache-2.0
"""d08: an edge is killed right after its 202, with its region away: only the spool can still know the click."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
from e2e import Cluster, expect, expect_exact, step, tell

ROUNDS = 4


def test():
    with Cluster() as c:
        c.start()
        for turn in range(ROUNDS):
            for nats in c.nats.values():
                nats.kill()
            load = c.send(f"turn{turn}", clicks=300, single_permille=200, batch="5-40", retry_permille=0,
                          replicated_permille=0, ads=50, connections=2)
            code, answer = c.finish_load(load, 60)
            for edge in c.edges.values():
                edge.kill()
            expect(code == 0 and answer["accepted"] == 300, f"not all were accepted: {answer}")
            expect(answer["spooled"] == 300, f"replicated, with no nats-server alive: {answer}")
            for process in [*c.nats.values(), *c.edges.values()]:
                process.start()
            step(f"round {turn + 1}: 300 clicks accepted, all edges killed")
        expect_exact(c)


tell(test)
