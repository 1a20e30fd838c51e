# SPDX-License-Identifier: Apache-2.0
"""d16: two replicas, one with its clock an hour ahead, stopped and killed now and then, say the same; a wrong one is
named at the globe."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import glob
import re
import signal

from e2e import Cluster, expect, expect_exact, growth, step, stop_load, tell, wait_for
from planted import planted

TOPOLOGY = {"us": {"edges": ["us-e1"], "replicas": ["us-r1", "us-r2"]}}


def an_hour_ahead(replica):
    libraries = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    expect(libraries, "there is no faketime: run ./dev setup test")
    replica.environment = {"LD_PRELOAD": libraries[0], "FAKETIME": "+1h", "DONT_FAKE_MONOTONIC": "1",
                           "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}


def sweep(pids):
    """What faketime leaves behind of processes that were killed."""
    for path in [found for pid in pids for found in glob.glob(f"/dev/shm/*faketime*_{pid}")]:
        os.unlink(path)


def seen(c, what):
    return c.globe.metrics()[f"tributary_global_{what}_total"]


def test():
    with Cluster(topology=TOPOLOGY, lateness_ms=1000) as c:
        right, other = c.replicas["us-r1"], c.replicas["us-r2"]
        an_hour_ahead(other)
        c.start()
        pids = [other.pid]
        load = c.send(rate=3000, seconds=90, ads=300, connections=2, drain_seconds=60)
        growth(c, 60000)
        os.kill(other.pid, signal.SIGSTOP)
        growth(c, 60000)
        os.kill(other.pid, signal.SIGCONT)
        step("us-r2, an hour ahead, was held for a while: it reads a backlog in one bite")
        growth(c, 40000)
        other.kill()
        growth(c, 60000)
        other.start()
        pids.append(other.pid)
        step("us-r2 was killed and is back")
        stop_load(c, load)
        expect_exact(c)
        books = [{k: v for k, v in r.metrics().items() if re.search("_partition_(folded|counted|duplicate|carried)", k)}
                 for r in (right, other)]
        expect(books[0] == books[1] and sum(books[0].values()) > 0, f"the books differ: {books}")
        wait_for("both replicas to have told the same of many minutes", lambda: seen(c, "totals_equal") >= 20, 40)
        expect(seen(c, "divergences") == 0, "contradictions between replicas that are right")
        step(f"{seen(c, 'totals_equal'):.0f} totals with their digests are equal, 0 contradict")

        other.kill()
        other.binary = planted(c.bin, "tributary-regional", "LATE_CLICK_CARRIED", c.folder)
        other.start()
        pids.append(other.pid)
        step("us-r2 runs with a mistake: it carries late clicks")
        load = c.send("late", rate=1000, seconds=4, ads=300)
        wait_for("the globe to see that the replicas differ", lambda: seen(c, "divergences") > 0, 40)
        with open(c.globe.log, encoding="utf-8") as log:
            told = next((line for line in log if "two replicas contradict each other" in line), "")
        expect("region=us " in told and re.search(r" minute=\d+ ", told) and "us-r1" in told and "us-r2" in told,
               f"not named: {told!r}")
        step(told.strip()[told.index("msg="):])
        stop_load(c, load)
        expect_exact(c)
    sweep(pids)


tell(test)
