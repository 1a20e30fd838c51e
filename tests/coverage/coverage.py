#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""coverage: branch coverage of the pure cores (common/base, proto, */core), by their tests and the simulator.

    tests/coverage/coverage.py [--seeds N] [--floor PERCENT] [--lines] [--no-build] [--no-run]

Builds into build/coverage with gcc --coverage, runs the unit tests of pure files and drivers and the simulator, and
ends with 1 when less than the floor is covered or a test fails. Branches of lines that hold a CHECK are left out: they
are the programmer's assertions and never taken by design. --lines names each line with a branch that nothing took.
"""
import argparse
import collections
import glob
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, "build", "coverage")
PURE = ("common/base/*.c", "proto/*.c", "edge/core/*.c", "regional/core/*.c", "global/core/*.c")
DRIVERS = ("edge_pipeline", "regional_replica", "global_merger", "global_reader")
CHECK = re.compile(r"\bCHECK\(")


def pure_files():
    return sorted(os.path.relpath(path, ROOT) for pattern in PURE for path in glob.glob(os.path.join(ROOT, pattern)))


def unit_tests():
    """Programs whose room is pure, or whose stem begins with that of a pure file or a driver; none needs a server."""
    stems = [os.path.basename(path)[:-2] for path in pure_files()] + list(DRIVERS)
    names = []
    for path in sorted(glob.glob(os.path.join(ROOT, "tests/unit/*/test_*.c"))):
        room, name = os.path.basename(os.path.dirname(path)), os.path.basename(path)[:-2]
        with open(path, encoding="utf-8") as source:
            if "nats_fixture.h" in source.read():
                continue
        stem = name[len("test_"):]
        if room in ("base", "proto") or (room != "run" and any(stem.startswith(known) for known in stems)):
            names.append(name)
    return names


def build(names):
    subprocess.run(["cmake", "--preset", "dev", "-B", BUILD, "-DCMAKE_BUILD_TYPE=Debug",
                    "-DCMAKE_C_FLAGS=--coverage -fprofile-update=atomic", "-DCMAKE_C_FLAGS_DEBUG=-O0 -g"],
                   cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", BUILD, "-j2", "--target", *names, "sim"],
                   cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def run(names, seeds):
    """Runs all of it on counters that start from nought; returns what failed."""
    for path in glob.glob(os.path.join(BUILD, "**/*.gcda"), recursive=True):
        os.remove(path)
    program = lambda name: os.path.join(BUILD, "bin", name)
    commands = [[os.path.join(ROOT, "tests/run_unit"), program(name)] for name in names]
    commands += [[program("sim"), "--seeds", str(seeds), "--quiet"], [program("sim"), "--scenarios"]]
    failed = []
    for command in commands:
        result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if result.returncode != 0:
            failed.append(" ".join(command))
            sys.stdout.write(result.stdout.decode("utf-8", "replace"))
    return failed


def check_lines(path):
    """The numbers of the lines of each CHECK, to its closing bracket."""
    found, depth = set(), 0
    with open(os.path.join(ROOT, path), encoding="utf-8") as source:
        for number, line in enumerate(source, 1):
            start = CHECK.search(line)
            rest = line if depth > 0 else line[start.start():] if start else ""
            if depth > 0 or start:
                found.add(number)
                depth = max(0, depth + rest.count("(") - rest.count(")"))
    return found


def measure():
    """path -> line -> times each branch was taken, CHECKs left out."""
    wanted = set(pure_files())
    stems = {os.path.basename(path) + ".gcno" for path in wanted}  # unique in the whole tree
    notes = [path for path in glob.glob(os.path.join(BUILD, "**/*.gcno"), recursive=True)
             if os.path.basename(path) in stems]
    taken = {path: collections.defaultdict(list) for path in wanted}
    output = subprocess.run(["gcov", "--json-format", "--branch-probabilities", "--stdout", *notes],
                            cwd=BUILD, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    for document in output.decode().splitlines():
        if not document.startswith("{"):
            continue
        report = json.loads(document)
        for file in report["files"]:
            path = os.path.join(report["current_working_directory"], file["file"])
            path = os.path.relpath(os.path.realpath(path), ROOT)
            if path not in wanted:
                continue
            skip = check_lines(path)
            for line in file["lines"]:
                if line["line_number"] not in skip:
                    taken[path][line["line_number"]] += [b["count"] for b in line["branches"] if not b["throw"]]
    return taken


def show(taken, lines):
    """Prints the table; returns the percentage in all."""
    rows = []
    for path, by_line in taken.items():
        counts = [count for branches in by_line.values() for count in branches]
        rows.append((path, sum(count > 0 for count in counts), len(counts), bool(by_line)))
    for path, met, total, known in sorted(rows):
        share = "%6.1f %%" % (100 * met / total) if total else "no branch" if known else "NOT BUILT"
        print("%-34s %5d of %5d  %s" % (path, met, total, share))
        for number, branches in sorted(taken[path].items()) if lines else ():
            if 0 in branches:
                print("    %s:%d: %d of %d not taken" % (path, number, branches.count(0), len(branches)))
    met, total = sum(row[1] for row in rows), sum(row[2] for row in rows)
    percent = 100 * met / total if total else 0.0
    print("%-34s %5d of %5d  %6.1f %%  (branches inside CHECK left out: never taken by design)" %
          ("in all", met, total, percent))
    unbuilt = [row[0] for row in rows if not row[3]]
    return 0.0 if unbuilt else percent


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=150)
    parser.add_argument("--floor", type=float, default=95.0)
    parser.add_argument("--lines", action="store_true")
    parser.add_argument("--no-build", action="store_true")
    parser.add_argument("--no-run", action="store_true")
    options = parser.parse_args()
    names = unit_tests()
    if not options.no_build:
        build(names)
    failed = [] if options.no_run else run(names, options.seeds)
    percent = show(measure(), options.lines)
    for command in failed:
        print("failed: " + command)
    if percent < options.floor:
        print("below %.1f %%" % options.floor)
    return 1 if failed or percent < options.floor else 0


if __name__ == "__main__":
    sys.exit(main())
