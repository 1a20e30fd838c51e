# SPDX-License-Identifier: Apache-2.0
"""b07: the load tool measures from when a request should have left: a stall counts for all that it held up."""

import os
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import time

from e2e import Cluster, expect, expect_exact, growth, step, stop_load, tell


def test():
    with Cluster() as c:
        c.start()
        edge = next(iter(c.edges.values()))
        load = c.send("stall", edges=[edge], rate=100, seconds=6, ads=50, connections=1, streams=1, replicated_permille=0,
                      retry_permille=0, batch="1-1")
        growth(c, 4000)
        begun = time.time()
        os.kill(edge.pid, signal.SIGSTOP)
        time.sleep(1)
        os.kill(edge.pid, signal.SIGCONT)
        stood = time.time() - begun
        load.wait(30)
        answer = stop_load(c, load)
        with open(os.path.join(c.folder, "stall.latencies"), encoding="ascii") as file:
            slow = sum(int(line.split()[1]) > 300000 for line in file)
        held_up = answer["requests"] / answer["seconds"] * (stood - 0.3)
        step(f"{slow} of {answer['requests']} answers took more than 0.3 s; about {held_up:.0f} were due meanwhile")
        # With one stream only one request was on its way; the others should have been.
        expect(slow >= held_up / 2, "the stall counts for the request on its way alone")
        expect_exact(c)


tell(test)
