# SPDX-License-Identifier: Apache-2.0
"""d30: a few crash points of edge, replicas and globe; `./dev bench crashpoints` does 2,000. And what is released holds
nothing of it."""

import os
import sys

sys.dont_write_bytecode = True
for folder in ("harness", "crash"):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", folder))

# pylint: disable=wrong-import-position
import random
import re
import subprocess
import tempfile

from crash_points import crash_points
from e2e import ROOT, expect, step, tell
from cluster import default_bin

WORDS = (b"crash_points", b"TRIBUTARY_CRASH_PAGE")


def release_is_free_of_it():
    """Neither in a program, nor in what a release is built from."""
    with open(os.path.join(os.path.dirname(default_bin()), "lib", "crash_points.so"), "rb") as file:
        expect(WORDS[1] in file.read(), "the module itself does not hold the words: the check says nothing")
    for name in ("tributary-edge", "tributary-regional", "tributary-archiver", "tributary-global", "tributaryctl"):
        with open(os.path.join(default_bin(), name), "rb") as file:
            text = file.read()
        expect(not any(word in text for word in WORDS), f"{name} holds crash points")
    with tempfile.TemporaryDirectory(prefix="tributary-release-") as build:
        with open(os.path.join(os.path.dirname(default_bin()), "CMakeCache.txt"), encoding="utf-8") as file:
            root = re.search(r"^TRIBUTARY_DEPS_ROOT:\w+=(.*)$", file.read(), re.M).group(1)
        done = subprocess.run(["cmake", "-S", ROOT, "-B", build, "--preset", "release", "-DTRIBUTARY_TESTS=OFF",
                               f"-DTRIBUTARY_DEPS_ROOT={root}"], capture_output=True, text=True, cwd=ROOT, check=False)
        expect(done.returncode == 0, done.stderr[-500:])
        with open(os.path.join(build, "build.ninja"), encoding="utf-8") as file:
            rules = file.read()
    expect("tributary-edge" in rules and "crash_points" not in rules, "a release is built with crash points")
    step("a release holds no crash points")


def test():
    release_is_free_of_it()
    crash_points(88, random.randrange(10**6))


tell(test)
