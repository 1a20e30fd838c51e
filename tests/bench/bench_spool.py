# SPDX-License-Identifier: Apache-2.0
"""bench_spool: an edge's spool is filled while its region is away; kill -9, restart, and it drains while it serves.

Told: how long until it listens again, how much memory that and the drain take, how fast it drains; and the ledger is
compared. usage: bench_spool.py [--gb N] [--check]; needs 2.5 times the space in the folder for temporary files.
--check: exit 1 where the edge takes 2 s or more to listen, or grows by 64 MB or more.
"""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import argparse
import re
import shutil
import signal
import tempfile
import time

from e2e import Cluster, expect, expect_exact, step, stop_load, tell, wait_for

LISTEN_SECONDS = 2
GROWTH_MB = 64
TOPOLOGY = {"us": {"edges": ["us-e1"], "replicas": ["us-r1"]}}


class Memory:
    """Of one process, in MB: all that is resident, and its own alone (without pages of files)."""

    def __init__(self, pid):
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            found = dict(re.findall(r"^(\w+):\s+(\d+) kB$", file.read(), re.M))
        self.all = int(found["VmRSS"]) / 1024
        self.own = int(found["RssAnon"]) / 1024

    def __str__(self):
        return f"{self.all:.0f} MB ({self.own:.0f} MB its own)"


def fill(c, edge, gigabytes):
    """Until so much of the spool is in use; returns what the load tool says."""
    wanted = gigabytes * (1 << 30)
    begun = time.monotonic()
    load = c.send("fill", edges=[edge], rate=0, seconds=3600, ads=2000, connections=4, streams=2, batch="2000-3000",
                  single_permille=0, retry_permille=0, replicated_permille=0, home_permille=0, late_permille=0,
                  agent_bytes=500, drain_seconds=60)
    wait_for("the spool to fill", lambda: load.poll() is not None
             or edge.metrics()["tributary_edge_spool_used_bytes"] >= wanted, 3600, 0.2)
    told = stop_load(c, load)
    used = edge.metrics()["tributary_edge_spool_used_bytes"] / (1 << 30)
    took = time.monotonic() - begun
    step(f"{told['accepted']} clicks fill {used:.2f} GiB in {took:.0f} s ({used * 1024 / took:.0f} MiB/s)")
    expect(used >= gigabytes, f"only {used:.2f} GiB")
    return told


def restart(edge):
    """(seconds until it listens, memory then)"""
    before = Memory(edge.pid)
    step(f"kill -9; it had {before}")
    edge.kill()
    begun = time.monotonic()
    edge.start()
    took = time.monotonic() - begun
    after = Memory(edge.pid)
    step(f"listens after {took:.2f} s, with {after}")
    return took, after


def drain(c, edge):
    """Drains while clicks come in; returns the most memory that it took meanwhile."""
    most = Memory(edge.pid)
    for nats in c.nats.values():
        nats.start()
    begun = time.monotonic()
    load = c.send("serve", edges=[edge], rate=200, seconds=7200, ads=2000, connections=2, batch="1-3", single_permille=900,
                  retry_permille=0, replicated_permille=0, home_permille=0, late_permille=0, drain_seconds=60)
    in_flight = most_held = edge.metrics()["tributary_edge_in_flight"]
    while in_flight > 2000:
        time.sleep(0.05)
        now = Memory(edge.pid)
        most.all, most.own = max(most.all, now.all), max(most.own, now.own)
        in_flight = edge.metrics()["tributary_edge_in_flight"]
        expect(time.monotonic() - begun < 7200, f"{in_flight:.0f} numbers are held still")
    took = time.monotonic() - begun
    told = stop_load(c, load)
    expect(told["accepted"] > 0, "nothing was accepted while it drained")
    step(f"drained {most_held:.0f} numbers in {took:.1f} s ({most_held / took:.0f}/s); {told['accepted']} clicks were taken "
         f"meanwhile; at most {most}")
    return most


def spool(gigabytes, check, folder=None, environment=None):
    """check: is it quick, and small? Returns (seconds to listen, memory then, most memory while it drained)."""
    state = tempfile.mkdtemp(prefix="tributary-spool-", dir=folder)
    try:
        with Cluster(topology=TOPOLOGY, spool_bytes=int(gigabytes * 1.25 * (1 << 30)) + (64 << 20), state=state) as c:
            edge = c.edges["us-e1"]
            edge.changes = {"replication_budget_ms": 0}
            edge.environment = environment or {}
            c.start()
            for nats in c.nats.values():
                nats.kill()
            fill(c, edge, gigabytes)
            took, start = restart(edge)
            most = drain(c, edge)
            growth = most.all - start.all
            step(f"grew by {growth:.0f} MB while it drained ({most.own - start.own:.0f} MB its own)")
            expect_exact(c, 600)
            if check:
                expect(took < LISTEN_SECONDS, f"it took {took:.2f} s to listen")
                expect(growth < GROWTH_MB, f"it grew by {growth:.0f} MB")
            return took, start, most
    finally:
        shutil.rmtree(state, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=10)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--folder", help="where the data lies")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    tell(lambda: spool(options.gb, options.check, options.folder))


if __name__ == "__main__":
    main()
