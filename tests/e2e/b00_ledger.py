# SPDX-License-Identifier: Apache-2.0
"""b00: the checker itself: planted losses, doubles and phantoms are found, unknown clicks raise only the upper bound."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import json
import subprocess
import tempfile

from cluster import default_bin
from e2e import expect, step, tell

LEDGER = """T 00aa
I 0 3 ad-a@10 ad-a@10 ad-b@11
O 0 0 s
I 1 2 ad-a@10 ad-c@12
U 1 0 broken
R 1 1
O 1 1 r 1
I 2 1 ad-d@10
F 2 0 503
I 3 1 ad-e@10
R 0 1
O 0 1 r
I 4 1 ad-f@1
O 4 0 s"""  # no newline: the last answer was not written whole, so ad-f is unknown
RIGHT = {"ad-a": {"10": 3}, "ad-b": {"11": 1}}
CASES = [
    ("what was sent and nothing else", {}, (0, 0, 0)),
    ("unknown clicks may be counted", {"ad-c": {"12": 1}, "ad-e": {"10": 1}, "ad-f": {"1": 1}}, (0, 0, 0)),
    ("one lost", {"ad-a": {"10": 2}}, (1, 0, 0)),
    ("one counted twice", {"ad-b": {"11": 2}}, (0, 1, 0)),
    ("an unknown one counted twice", {"ad-e": {"10": 2}}, (0, 1, 0)),
    ("a refused one counted", {"ad-d": {"10": 1}}, (0, 0, 1)),
    ("a minute in which nothing was sent", {"ad-b": {"11": 1, "12": 1}}, (0, 0, 1)),
    ("an ad that nobody sent", {"ad-900001": {"10": 5}}, (0, 0, 5)),
    ("one lost and one twice do not cancel out", {"ad-a": {"10": 2}, "ad-b": {"11": 2}}, (1, 1, 0)),
]


def test():
    tool = os.path.join(default_bin(), "tributary-load")
    done = subprocess.run([tool, "selftest"], capture_output=True, text=True, check=False)
    expect(done.returncode == 0, f"selftest: {done.stderr}")
    with tempfile.TemporaryDirectory() as folder:
        ledger, counts = os.path.join(folder, "ledger"), os.path.join(folder, "counts")
        with open(ledger, "w", encoding="ascii") as file:
            file.write(LEDGER)
        for name, change, want in CASES:
            with open(counts, "w", encoding="ascii") as file:
                json.dump({**RIGHT, **change}, file)
            done = subprocess.run([tool, "check", "--json", "--ledger", ledger, "--counts", counts],
                                  capture_output=True, text=True, check=False)
            verdict = json.loads(done.stdout)
            got = (verdict["lost"], verdict["double"], verdict["phantom"])
            expect(got == want, f"{name}: {got} instead of {want}")
            expect(done.returncode == (1 if any(want) else 0), f"{name}: exit code {done.returncode}")
            step(f"{name}: {got}")


tell(test)
