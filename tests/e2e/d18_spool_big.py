# SPDX-License-Identifier: Apache-2.0
"""d18: 200 MB in the spool, kill -9: the edge reads little of it to start, and drains it in little memory; 10 GB: ./dev bench spool."""

import os
import sys

sys.dont_write_bytecode = True
for folder in ("harness", "bench"):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", folder))

# pylint: disable=wrong-import-position
import bench_spool
from e2e import expect, tell

MEGABYTES = 200


def test():
    # What the sanitizer keeps of freed memory is not the edge's.
    _, start, most = bench_spool.spool(MEGABYTES / 1024, False, environment={"ASAN_OPTIONS": "quarantine_size_mb=8"})
    files = start.all - start.own
    expect(files < MEGABYTES / 4, f"{files:.0f} MB of files are resident after the start: is the whole spool read?")
    growth = most.all - start.all
    expect(growth < MEGABYTES / 2, f"it grew by {growth:.0f} MB while it drained {MEGABYTES} MB")


tell(test)
