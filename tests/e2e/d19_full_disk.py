# SPDX-License-Identifier: Apache-2.0
"""d19: the spool's disk is really full, and then read-only under load: definite answers or none, and the ledger is exact."""

import os
import sys

sys.dont_write_bytecode = True
for folder in ("harness", "bench"):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", folder))

# pylint: disable=wrong-import-position
import subprocess

from bench_powercut import Disk, own_mounts, possible
from e2e import Cluster, expect, expect_exact, growth, step, stop_load, tell, wait_for

MEGABYTES = 96
UNFIT = 70


def unavailable(edge):
    return edge.metrics()["tributary_edge_answers_unavailable_total"]


def fill(c, edge):
    """No region in reach, and a disk that is smaller than the spool may be."""
    for nats in c.nats.values():
        nats.kill()
    load = c.send("fill", edges=[edge], rate=0, seconds=120, ads=300, connections=2, streams=4, single_permille=1,
                  batch="500-2000", retry_permille=20, replicated_permille=0, agent_bytes=500, drain_seconds=80)
    wait_for("the disk to be full", lambda: unavailable(edge) > 5, 60, 0.1)
    found = edge.metrics()
    step(f"the disk is full: {found['tributary_edge_spool_used_bytes'] / 2**20:.0f} MiB in use, "
         f"{found['tributary_edge_spool_disk_free_bytes'] / 2**20:.1f} MiB free, "
         f"{found['tributary_edge_commits_full_total']:.0f} commits refused")
    status, text = edge.admin("/readyz")
    expect("disk low" in text, f"/readyz tells nothing of the disk: {status} {text}")
    expect(edge.alive(), f"the edge has died of a full disk: {edge.last_words()}")
    for nats in c.nats.values():
        nats.start()
    growth(c, 200000)
    told = stop_load(c, load)
    expect(told["postponed_attempts"] > 0, f"nothing was refused: {told}")
    step(f"{told['accepted']} accepted, {told['postponed_attempts']} postponed; it drains by itself")


def read_only(c, edge, disk):
    """The file system meets an error of its own, and lets nobody write any more."""
    load = c.send("read-only", edges=[edge], rate=2000, seconds=120, ads=300, connections=2, replicated_permille=0,
                  drain_seconds=60)
    growth(c, 20000)
    disk.make_read_only()
    wait_for("the edge to end", lambda: not edge.alive(), 20)
    expect(edge.child.returncode == UNFIT, f"a read-only disk: ended with {edge.child.returncode}")
    edge.wanted = False
    step("read-only: the edge has stopped")
    disk.unmount()
    disk.mount()
    edge.start()
    growth(c, 20000)
    told = stop_load(c, load)
    step(f"{told['accepted']} accepted, {told['unknown_attempts']} requests of unknown outcome")


class SmallDisk(Disk):
    """One that turns read-only at its first error."""

    def mount(self):
        subprocess.run(["mount", "-o", "loop,errors=remount-ro", self.image, self.mount_point], check=True)

    def make_read_only(self):
        device = subprocess.run(["findmnt", "-n", "-o", "SOURCE", self.mount_point], capture_output=True, text=True,
                                check=True).stdout.strip()
        with open(f"/sys/fs/ext4/{os.path.basename(device)}/trigger_fs_error", "w", encoding="ascii") as file:
            file.write("d19")


def test():
    own_mounts()
    with Cluster(spool_bytes=192 << 20) as c:
        edge = c.edges["us-e1"]
        disk = SmallDisk(c.folder, edge.store, MEGABYTES)
        disk.mount()
        try:
            edge.changes = {"replication_budget_ms": 0}
            c.start()
            fill(c, edge)
            read_only(c, edge, disk)
            expect_exact(c, 90)
        finally:
            edge.kill()
            disk.unmount()


if not possible():
    print("SKIPPED: a small disk needs root, a loop device and mkfs.ext4", flush=True)
    sys.exit(77)
tell(test)
