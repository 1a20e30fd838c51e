# SPDX-License-Identifier: Apache-2.0
"""d12: the spool's disk fails: full, EIO of a sync, EIO of the meta page; definite answers or none, and the ledger is exact."""

import os
import shutil
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
from e2e import Cluster, Failure, expect, expect_exact, growth, step, stop_load, tell, wait_for

UNFIT = 70


def inject(call, what):
    return ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", f"trace={call}",
            "-e", f"inject={call}:{what}"]


def restart(edge, wrap):
    edge.kill()
    edge.wrap = wrap
    edge.environment = {"ASAN_OPTIONS": "detect_leaks=0"} if wrap else {}
    edge.start()


def test():
    if not shutil.which("strace"):
        raise Failure("strace is not installed: run ./dev setup")
    with Cluster() as c:
        c.start()
        edge = c.edges["us-e1"]
        load = c.send(rate=3000, seconds=120, edges=[edge], ads=300, connections=2, replicated_permille=0,
                      drain_seconds=60)
        for call in ("fdatasync", "pwrite64"):
            restart(edge, inject(call, "error=EIO:when=40+"))
            wait_for("the edge to end", lambda: not edge.alive(), 20)
            expect(edge.child.returncode == UNFIT, f"EIO of {call}: ended with {edge.child.returncode}")
            step(f"EIO of {call}: the edge has stopped")
        # A full disk: refused, not dead; and it takes clicks again when there is room.
        restart(edge, inject("fdatasync", "error=ENOSPC:when=40..80"))
        wait_for("a commit to meet the full disk", lambda: edge.metrics()["tributary_edge_commits_full_total"] > 10, 20)
        growth(c, 20000)
        expect(edge.alive(), f"the edge has died of a full disk: {edge.last_words()}")
        step("ENOSPC: refused, and taken again")
        told = stop_load(c, load)
        expect(told["postponed_attempts"] > 0, f"nothing was refused: {told}")
        step(f"{told['accepted']} accepted, {told['postponed_attempts']} postponed, "
             f"{told['unknown_attempts']} requests of unknown outcome")
        restart(edge, [])
        expect_exact(c, 60)


tell(test)
