# SPDX-License-Identifier: Apache-2.0
"""bench_powercut: the power of the spool's disk is cut at random moments under load; every click answered 202 counts once.

The spool lies on an ext4 of its own in a loop file. A cut is ext4's shutdown ioctl without a flush: what was not synced
is gone. Then the file system is mounted anew, the edge starts on what is left, and at the end the ledger is compared.
usage: bench_powercut.py [POINTS]; needs root and a loop device.
"""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import ctypes
import fcntl
import random
import shutil
import signal
import struct
import subprocess
import time

from e2e import Cluster, Failure, expect, expect_exact, growth, step, stop_load, tell, wait_for

SHUTDOWN = 0x8004587D  # _IOR('X', 125, uint32_t)
NO_FLUSH = 2
ENDS = (70, -signal.SIGBUS)  # unfit; or a page of the map that the dead disk cannot give: as safe, nobody was told
# To see it red: no sync reaches the disk.
WRAP = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fdatasync", "-e",
        "inject=fdatasync:retval=0"] if os.environ.get("POWERCUT_WITHOUT_SYNC") else []
CLONE_NEWNS = 0x20000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
_libc = ctypes.CDLL(None, use_errno=True)


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    expect(done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}")


def own_mounts():
    """Mounts of ours are seen by nobody else, and end with us."""
    if _libc.unshare(CLONE_NEWNS) != 0 or _libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) != 0:
        raise Failure(f"no mount namespace: {os.strerror(ctypes.get_errno())}")


class Disk:
    """An ext4 in a file."""

    def __init__(self, folder, mount_point, megabytes=400, image="disk.img"):
        self.image = os.path.join(folder, image)
        self.mount_point = mount_point
        with open(self.image, "wb") as file:
            file.truncate(megabytes << 20)
        run("mkfs.ext4", "-q", "-F", self.image)
        os.makedirs(mount_point, exist_ok=True)

    def mount(self):
        run("mount", "-o", "loop", self.image, self.mount_point)

    def unmount(self):
        run("umount", self.mount_point)

    def cut(self):
        file = os.open(self.mount_point, os.O_RDONLY)
        try:
            fcntl.ioctl(file, SHUTDOWN, struct.pack("I", NO_FLUSH))
        finally:
            os.close(file)


def possible():
    return os.geteuid() == 0 and os.path.exists("/dev/loop-control") and shutil.which("mkfs.ext4") is not None


def power_cuts(points):
    own_mounts()
    with Cluster(spool_bytes=192 << 20) as c:
        edge = c.edges["us-e1"]
        disk = Disk(c.folder, edge.store)
        disk.mount()
        try:
            edge.changes = {"replication_budget_ms": 0}
            c.start()
            # No region in reach: a click lives in the spool alone, or nowhere.
            for nats in c.nats.values():
                nats.kill()
            edge.wrap = WRAP
            if WRAP:
                edge.stop()
                edge.start()
            load = c.send(rate=3000, seconds=40 + points * 6, edges=[edge], ads=300, connections=2,
                          replicated_permille=0, drain_seconds=60)
            growth(c, 40000)
            chance = random.Random(points)
            for _ in range(points):
                growth(c, 1500)
                time.sleep(chance.random() * 0.05)  # a random moment is what is tested
                disk.cut()
                # The next commit fails, and nobody may be told of it.
                wait_for("the edge to end", lambda: not edge.alive(), 10)
                expect(edge.child.returncode in ENDS, f"the edge ended with {edge.child.returncode}")
                disk.unmount()
                disk.mount()
                edge.start()
            step(f"{points} power cuts")
            for nats in c.nats.values():
                nats.start()
            growth(c, 20000)
            told = stop_load(c, load)
            expect(told["unknown_attempts"] > 0, "no request was under way at any cut: the test says nothing")
            step(f"{told['accepted']} accepted, {told['unknown_attempts']} requests of unknown outcome")
            expect_exact(c, 90)
        finally:
            edge.kill()
            disk.unmount()


def main(points):
    if not possible():
        print("SKIPPED: power cuts need root, a loop device and mkfs.ext4", flush=True)
        sys.exit(77)
    tell(lambda: power_cuts(points))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
