# SPDX-License-Identifier: Apache-2.0
"""crash_points: edge, replicas, archiver and globe die, lose the power of their disk, or get EIO or ENOSPC, at each boundary in
turn: each write, sync, rename and send. They start again on what is left, and again die early in that. Meanwhile the
nats-server loses the tails of its streams again and again, and a load of honest clients goes on. At the end the ledger is
compared, and the archive: 0 lost, 0 double.

usage: crash_points.py [POINTS [SEED]] (2000); power cuts need root, a loop device and mkfs.ext4, and are else said to be left out.
"""

import os
import sys

sys.dont_write_bytecode = True
for _folder in ("harness", "bench"):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", _folder))

# pylint: disable=wrong-import-position
import collections
import mmap
import random
import shutil
import signal
import struct
import threading
import time

from avro_archive import Archive
from bench_powercut import Disk, own_mounts, possible
from e2e import Cluster, expect, expect_exact, growth, step, stop_load, tell

# As crash_points.c has them.
KILL_BEFORE, KILL_AFTER, POWER_CUT, FAIL_EIO, FAIL_ENOSPC = range(1, 6)
KINDS = ("write", "sync", "name", "send")
STORE, EVERYTHING = 0b0111, 0b1111
ACTIONS = {"kill before": (KILL_BEFORE, EVERYTHING), "kill after": (KILL_AFTER, EVERYTHING),
           "power cut": (POWER_CUT, STORE), "EIO": (FAIL_EIO, STORE), "ENOSPC": (FAIL_ENOSPC, STORE)}
# us-e2 is left alone: there is always something to count.
TOPOLOGY = {"us": {"edges": ["us-e1", "us-e2"], "replicas": ["us-r1", "us-r2"], "archivers": ["us-a1"]}}
UNFIT, NOT_NOW = 70, 75
EARLY = 40  # boundaries of a start and what follows at once; half of the points lie there
LATE = {"us-e1": 240, "us-r1": 90, "us-r2": 90, "us-a1": 140, "global-1": 90}  # replicas and globe pass a few of them a second


class Page:
    """What the preloaded module and we share."""

    def __init__(self, path):
        self.path = path
        with open(path, "wb") as file:
            file.truncate(4096)
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 4096)

    def arm(self, number, action, counted, mount_point=""):
        self.map[0:72] = struct.pack("<9Q", 0, number, action, counted, 0, 0, 0, 0, 0)
        self.map[72:72 + len(mount_point) + 1] = mount_point.encode() + b"\0"

    def _word(self, index):
        return struct.unpack_from("<Q", self.map, 8 * index)[0]

    def count(self):
        return self._word(0)

    def hit(self):
        """The kind of call at which it was acted, or None."""
        word = self._word(4)
        expect(word <= len(KINDS), "the power of the disk could not be cut")
        return KINDS[word - 1] if word else None


class Victim:
    """One program, its page, its disk."""

    def __init__(self, cluster, tier, module, disks):
        self.tier = tier
        self.page = Page(os.path.join(cluster.folder, f"{tier.name}.crash"))
        self.page.arm(0, 0, EVERYTHING)
        self.disk = None
        if disks:
            self.disk = Disk(cluster.folder, tier.store, 600, f"{tier.name}.img")
            self.disk.mount()
        tier.environment = {"LD_PRELOAD": module, "TRIBUTARY_CRASH_PAGE": self.page.path,
                            "ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:verify_asan_link_order=0:detect_leaks=0"}

    def ended(self, seconds):
        deadline = time.monotonic() + seconds
        while self.tier.alive() and time.monotonic() < deadline:
            time.sleep(0.001)
        return not self.tier.alive()

    def point(self, number, action):
        """One start that meets its fate at this boundary. Returns what kind of call it was."""
        code, counted = ACTIONS[action]
        deadline = time.monotonic() + 40
        while True:
            self.page.arm(number, code, counted, self.tier.store)
            self.tier.spawn()
            while not self.page.hit() and self.tier.alive() and time.monotonic() < deadline:
                time.sleep(0.001)
            kind = self.page.hit()
            if kind or self.tier.alive() or self.tier.child.returncode != NOT_NOW or time.monotonic() > deadline:
                break  # else there was no nats-server just then
        expect(kind, f"{self.tier.name} met {self.page.count()} boundaries, not {number}, and "
               f"{'lives' if self.tier.alive() else f'ended with {self.tier.child.returncode}'}: {self.tier.last_words()}")
        if code in (FAIL_EIO, FAIL_ENOSPC):
            self.ended(0.15)  # it may end, or live with it
            self.tier.kill()
            status = self.tier.child.returncode
            expect(status in (UNFIT, NOT_NOW, -signal.SIGKILL),
                   f"{self.tier.name}: {action} at boundary {number} ({kind}): ended with {status}: {self.tier.last_words()}")
        else:
            expect(self.ended(10), f"{self.tier.name} is not dead")
            status = self.tier.child.returncode
            # A page of the map that the dead disk cannot give: as good as a kill.
            expect(status == -signal.SIGKILL or (code == POWER_CUT and status in (-signal.SIGBUS, UNFIT)),
                   f"{self.tier.name}: {action} at boundary {number} ({kind}): ended with {status}: {self.tier.last_words()}")
        self.tier.wanted = False
        if code == POWER_CUT:
            self.disk.unmount()
            self.disk.mount()
        return kind


def plan(name, points, actions, chance):
    """(action, boundary): each boundary of a start again and again, and as many later ones, shuffled: a start that
    follows a late one is the recovery from it."""
    todo = []
    for i in range(points):
        turn = i // len(actions)
        early, late = 1 + turn // 2 * 17 % EARLY, EARLY + 1 + turn // 2 * 7 % (LATE[name] - EARLY)
        todo.append((actions[i % len(actions)], early if turn % 2 == 0 else late))
    chance.shuffle(todo)
    return todo


class Fate(threading.Thread):
    """All points of one program, one after the other; the other programs meet theirs at the same time. Then it lives on
    until all is over: the kernel ends a child together with the thread that began it."""

    failed, over = threading.Event(), threading.Event()

    def __init__(self, victim, todo):
        super().__init__(daemon=True)
        self.victim, self.todo, self.done = victim, todo, threading.Event()
        self.hits, self.failure, self.seconds = collections.Counter(), None, 0.0

    def meet(self):
        for action, number in self.todo:
            if Fate.failed.is_set():
                return
            self.hits[action, self.victim.point(number, action)] += 1
        self.victim.page.arm(0, 0, 0)
        self.victim.tier.start()

    def run(self):
        started = time.monotonic()
        try:
            self.meet()
        except Exception as failure:  # pylint: disable=broad-exception-caught
            self.failure = failure
            Fate.failed.set()
        self.seconds = time.monotonic() - started
        self.done.set()
        Fate.over.wait()


class Tails(threading.Thread):
    """The nats-server: what it stored and acknowledged in the last second is gone, as after a power cut without syncs."""

    PAUSE_S, TAIL_S = 4.0, 1.0  # between losses; what is lost

    def __init__(self, nats):
        super().__init__(daemon=True)
        self.nats, self.lost, self.enough, self.done, self.failure = nats, 0, threading.Event(), threading.Event(), None

    def lose(self):
        old = self.nats.store + ".old"
        self.nats.kill()
        shutil.rmtree(old, ignore_errors=True)
        shutil.copytree(self.nats.store, old)
        self.nats.start()
        self.enough.wait(self.TAIL_S)
        self.nats.kill()
        shutil.rmtree(self.nats.store)
        os.rename(old, self.nats.store)
        self.nats.start()
        self.lost += 1

    def run(self):
        try:
            while not self.enough.wait(self.PAUSE_S):
                self.lose()
        except Exception as failure:  # pylint: disable=broad-exception-caught
            self.failure = failure
            Fate.failed.set()
        self.done.set()
        Fate.over.wait()  # the kernel ends a child together with the thread that began it


def crash(victims, plans, nats):
    """Runs all points. Returns how many of each (action, kind) there were, and how many tails were lost."""
    fates, tails = [Fate(victim, plans[name]) for name, victim in victims.items()], Tails(nats)
    for fate in fates:
        fate.victim.tier.stop()
        fate.start()
    tails.start()
    for fate in fates:
        fate.done.wait()
        step(f"{fate.victim.tier.name}: {sum(fate.hits.values())} points, "
             f"{fate.seconds / max(1, len(fate.todo)) * 1000:.0f} ms each")
    tails.enough.set()
    tails.done.wait()
    for fate in (*fates, tails):
        if fate.failure:
            raise fate.failure
    return sum((fate.hits for fate in fates), collections.Counter()), tails.lost


def check_archive(cluster, archiver):
    """Every accepted click lies in it under exactly one number, and none is missing between."""
    held = lambda: {name: value for edge in cluster.edges.values() for name, value in edge.metrics().items()
                    if name.startswith("tributary_edge_reader_held") and value}
    deadline = time.monotonic() + 60
    while held() and time.monotonic() < deadline:
        time.sleep(0.1)
    expect(not held(), f"readers that will not have it all: {held()}")
    archive = Archive(archiver.archive["folder"])
    expect(not archive.holes(), f"the archive has holes: {archive.holes()}")
    expect(archiver.metrics()["tributary_archiver_alarm_skipped_total"] == 0, "the archiver skipped numbers")
    folded = sum(value for name, value in cluster.replicas["us-r1"].metrics().items()
                 if name.startswith("tributary_regional_partition_folded{"))
    expect(archive.clicks() == folded > 0, f"{archive.clicks()} clicks archived, {folded:.0f} folded")
    step(f"{archive.objects} objects hold {archive.records} clicks, {archive.clicks()} numbers")


def crash_points(points, seed):
    disks = possible()
    if disks:
        own_mounts()
    else:
        step("power cuts are LEFT OUT: they need root, a loop device and mkfs.ext4")
    actions = [action for action in ACTIONS if disks or action != "power cut"]
    chance = random.Random(seed)
    with Cluster(topology=TOPOLOGY, spool_bytes=192 << 20) as c:
        module = os.path.join(os.path.dirname(c.bin), "lib", "crash_points.so")
        expect(os.path.exists(module), f"{module} is not built")
        archiver = c.archivers["us-a1"]
        archiver.archive["folder"] = os.path.join(archiver.store, "archive")  # on the disk whose power is cut
        tiers = [c.edges["us-e1"], *c.replicas.values(), archiver, c.globe]
        victims = {tier.name: Victim(c, tier, module, disks) for tier in tiers}
        for tier in (*c.replicas.values(), c.globe):
            tier.changes = {"store": {"path": tier.store, "bytes": 256 << 20}}
        try:
            c.start()
            step("boundaries of a start: " + ", ".join(f"{v.tier.name} {v.page.count()}" for v in victims.values()))
            load = c.send(rate=400, seconds=3600, ads=100, connections=2, reconnect_ms=40, drain_seconds=60, seed=seed + 1)
            growth(c, 3000)
            share = points // len(victims)
            plans = {name: plan(name, share, actions, chance) for name in victims}
            hits, tails = crash(victims, plans, c.nats["us"])
            growth(c, 3000)
            told = stop_load(c, load)
            expect_exact(c, 120)  # partials that were lost are asked for when their minute has closed
            check_archive(c, archiver)
        finally:
            c.nats["us"].kill()
            for victim in victims.values():
                victim.tier.kill()
            Fate.over.set()
            for victim in victims.values():
                if victim.disk:
                    victim.disk.unmount()
    for action in actions:
        step(f"{action}: " + ", ".join(f"{hits[action, kind]} at a {kind}" for kind in KINDS if hits[action, kind]))
    step(f"{sum(hits.values())} points (seed {seed}), {tails} tails of streams lost, {told['accepted']} clicks accepted, "
         f"{told['unknown_attempts']} requests of unknown outcome")
    expect(sum(hits.values()) == share * len(victims) and tails > 0, "some points were not met, or no tail was lost")
    expect(told["unknown_attempts"] > 0, "no request was under way at any point: the test says nothing")


def main(points, seed):
    tell(lambda: crash_points(points, seed))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000, int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6))
