# SPDX-License-Identifier: Apache-2.0
"""d09: the disk takes its time for every sync, and edges are killed meanwhile: what was answered had been synced."""

import os
import shutil
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
from e2e import Cluster, Failure, expect, expect_exact, growth, step, stop_load, tell

KILLS = 3
# -D: strace runs beside, and the edge keeps the pid that we kill.
SLOW = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fdatasync",
        "-e", "inject=fdatasync:delay_enter=40ms"]


def test():
    if not shutil.which("strace"):
        raise Failure("strace is not installed: run ./dev setup")
    with Cluster() as c:
        c.start()
        for edge in c.edges.values():
            edge.stop()
            edge.wrap = SLOW
            edge.environment = {"ASAN_OPTIONS": "detect_leaks=0"}  # the leak check cannot run under a tracer
            edge.start()
        # No region in reach: a click lives in the spool alone, or nowhere.
        for nats in c.nats.values():
            nats.kill()
        load = c.send(rate=3000, seconds=120, ads=300, connections=2, streams=100, replicated_permille=0,
                      drain_seconds=60)
        for _ in range(KILLS):
            for edge in c.edges.values():
                growth(c, 20000)
                edge.kill()
                edge.start()
        step(f"each edge killed {KILLS} times in the middle of its syncs")
        for nats in c.nats.values():
            nats.start()
        growth(c, 20000)
        answer = stop_load(c, load)
        expect(answer["unknown_attempts"] > 0, "no request was under way when its edge died: the test says nothing")
        expect(answer["p50_us"] > 40000, f"the disk was not slow: answers took {answer['p50_us']} us")
        step(f"{answer['accepted']} accepted, {answer['unknown_attempts']} requests of unknown outcome")
        expect_exact(c)


tell(test)
