# SPDX-License-Identifier: Apache-2.0
"""s01: a soak of some seconds: the instrument works, samples and verdict are written. `./dev soak --hours N` is the real one."""

import os
import sys

sys.dont_write_bytecode = True
for folder in ("harness", "soak"):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", folder))

# pylint: disable=wrong-import-position
import argparse
import csv
import tempfile

from e2e import expect, step, tell
from soak import flat, linear, soak


def it_can_fail():
    expect(not flat([100 << 20] * 50 + [106 << 20] * 50, 0)[1], "6 % more is called flat")
    expect(flat([100 << 20] * 50 + [104 << 20] * 50, 0)[1], "4 % more is not called flat")
    even = [i * 10 << 20 for i in range(100)]
    expect(linear(even, even)[1], "an even slope is not called one")
    expect(not linear([i * i << 20 for i in range(100)], even)[1], "a growing slope is called even")


def test():
    it_can_fail()
    with tempfile.TemporaryDirectory(prefix="tributary-soak-") as folder:
        soak(argparse.Namespace(hours=0.003, rate=500, ads=200, warm_minutes=0.03, every=0.4, out=folder,
                                strict=False))  # seconds say nothing of what is flat
        with open(os.path.join(folder, "samples.csv"), encoding="ascii") as file:
            rows = list(csv.DictReader(file))
        expect(len(rows) >= 15 and int(rows[-1]["clicks"]) > int(rows[0]["clicks"]) > 0, f"{len(rows)} samples: {rows[-1:]}")
        expect(int(rows[-1]["us-e1 memory"]) > 1 << 20 and int(rows[-1]["us-r1 keys"]) > 0, f"{rows[-1]}")
        step(f"{len(rows)} samples")


tell(test)
