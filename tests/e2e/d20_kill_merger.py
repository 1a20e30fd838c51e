# SPDX-License-Identifier: Apache-2.0
"""d20: the globe is killed twenty times under load, at any moment of its transactions: exact, and by the same program."""

import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
from e2e import Cluster, expect, expect_exact, growth, step, stop_load, tell

KILLS = 20


def rows(cluster):
    return cluster.globe.metrics()["tributary_global_rows_changed_total"]


def test():
    with Cluster() as c:
        c.start()
        load = c.send(rate=3000, seconds=120, ads=300, connections=2, drain_seconds=60)
        growth(c, 60000)
        merging = 0
        began = time.monotonic()
        for number in range(KILLS):
            # Ready is not yet merging: every other time it is left until it has taken rows, else it dies in its start.
            deadline = time.monotonic() + 1.5
            while number % 2 == 0 and rows(c) == 0 and time.monotonic() < deadline:
                time.sleep(0.02)
            merging += rows(c) > 0
            c.globe.kill()
            c.globe.start()
        step(f"{KILLS} times kill -9 in {time.monotonic() - began:.1f} s, {merging} of them after rows were taken")
        expect(merging >= KILLS // 4, f"only {merging} kills found a merger at work")
        stop_load(c, load)
        expect_exact(c)


tell(test)
