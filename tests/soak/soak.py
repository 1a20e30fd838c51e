# SPDX-License-Identifier: Apache-2.0
"""soak: a whole system under even load for hours; what each program holds of memory, disk, descriptors and threads.

    ./dev soak [--hours 1] [--rate 500] [--ads 500] [--warm-minutes 10] [--every SECONDS] [--out FOLDER]

Writes samples.csv, soak.svg (with gnuplot) and verdict.txt into FOLDER (build/reports/soak-<time>), and ends with 0 only
if the ledger is exact, no program ended by itself, and every series is as it must be:

  flat    its median over the last fifth, against the first fifth after the warm-up: at most 5 % (or 2 MB, 4 descriptors) more
  keys    a replica's memory: at most 64 bytes for each click key that it holds more (they leave after the horizon)
  linear  what is kept by design (streams for 7 days, stores of replicas until the horizon, of the globe for good): bytes a click
          in the second half at most 5 % over those in the first
"""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import argparse
import csv
import shutil
import statistics
import subprocess
import time

from e2e import ROOT, Cluster, expect, expect_exact, step, stop_load, tell

FLAT_SHARE, KEY_BYTES = 0.05, 64
SLACK = {"memory": 2 << 20, "disk": 2 << 20, "files": 4, "threads": 2}
LINEAR_SLACK = 4 << 20
# (program, series) -> how it is judged; what is not named is flat.
LINEAR = {("nats", "disk"), ("regional", "disk"), ("global", "disk"), ("nats", "memory")}


def blocks_of(folder):
    """Bytes on disk, holes left out."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(where, name)).st_blocks * 512
            except OSError:
                pass  # a file of nats-server that has just gone
    return total


def status_of(pid):
    """Memory that is the process's own, mapped files left out (the store's pages are the page cache's), and its threads."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        words = dict(line.split(":", 1) for line in file if ":" in line)
    return int(words["RssAnon"].split()[0]) * 1024, int(words["Threads"])


class Soak:
    """Samples of one run."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.programs = [("nats", n) for n in cluster.nats.values()] + [("edge", e) for e in cluster.edges.values()] + \
            [("regional", r) for r in cluster.replicas.values()] + [("global", cluster.globe)]
        self.times, self.clicks, self.keys = [], [], {r.name: [] for r in cluster.replicas.values()}
        self.rows = {(kind, p.name, series): [] for kind, p in self.programs for series in SLACK}
        self.started = time.monotonic()

    def sample(self):
        self.times.append(time.monotonic() - self.started)
        for kind, program in self.programs:
            expect(program.alive(), f"{program.name} ended by itself: {program.last_words()}")
            memory, threads = status_of(program.pid)
            now = {"memory": memory, "threads": threads, "disk": blocks_of(program.store),
                   "files": len(os.listdir(f"/proc/{program.pid}/fd"))}
            for series, value in now.items():
                self.rows[kind, program.name, series].append(value)
        for replica in self.cluster.replicas.values():
            values = replica.metrics()
            self.keys[replica.name].append(sum(v for k, v in values.items() if k.split("{")[0] == "tributary_regional_keys"))
        self.clicks.append(sum(v for e in self.cluster.edges.values() for k, v in e.metrics().items()
                               if k.split("{")[0] == "tributary_edge_clicks_accepted_total"))

    def write(self, folder):
        with open(os.path.join(folder, "samples.csv"), "w", newline="", encoding="ascii") as file:
            out = csv.writer(file)
            out.writerow(["seconds", "clicks", *[f"{name} {series}" for _, name, series in self.rows],
                          *[f"{name} keys" for name in self.keys]])
            for i, at in enumerate(self.times):
                out.writerow([f"{at:.1f}", int(self.clicks[i]), *[values[i] for values in self.rows.values()],
                              *[int(values[i]) for values in self.keys.values()]])

    # --- judging ------------------------------------------------------------------------------------------------

    def judge(self, warm_s):
        """[(name, series, rule, words, good?)] of what came after the warm-up."""
        first = next((i for i, at in enumerate(self.times) if at >= warm_s), len(self.times))
        expect(len(self.times) - first >= 10, "too few samples after the warm-up: the run says nothing")
        found = []
        for (kind, name, series), values in self.rows.items():
            if (kind, series) in LINEAR:
                found.append((name, series, "linear", *linear(values[first:], self.clicks[first:])))
            elif (kind, series) == ("regional", "memory"):
                found.append((name, series, "keys", *by_key(values[first:], self.keys[name][first:])))
            else:
                found.append((name, series, "flat", *flat(values[first:], SLACK[series])))
        return found


def ends(values):
    fifth = max(1, len(values) // 5)
    return statistics.median(values[:fifth]), statistics.median(values[-fifth:])


def flat(values, slack):
    before, after = ends(values)
    good = after - before <= max(FLAT_SHARE * before, slack)
    return f"{before:.0f} -> {after:.0f} ({(after - before) / max(1, before) * 100:+.1f} %)", good


def by_key(values, keys):
    before, after = ends(values)
    more = ends(keys)[1] - ends(keys)[0]
    allowed = max(FLAT_SHARE * before, SLACK["memory"]) + KEY_BYTES * max(0, more)
    return f"{before:.0f} -> {after:.0f}, {more:.0f} keys more", after - before <= allowed


def linear(values, clicks):
    """Bytes a click in both halves; what is written in lumps has its slack."""
    middle = len(values) // 2
    first, second = values[middle] - values[0], values[-1] - values[middle]
    clicks_first, clicks_second = clicks[middle] - clicks[0], clicks[-1] - clicks[middle]
    rate = (first / max(1, clicks_first), second / max(1, clicks_second))
    good = second <= rate[0] * clicks_second * (1 + FLAT_SHARE) + LINEAR_SLACK
    return f"{rate[0]:.1f}, then {rate[1]:.1f} bytes a click", good


PLOT = """set terminal svg size 1200,900 background "white"; set output "{folder}/soak.svg"
set datafile separator ","; set key outside; set xlabel "minutes"; set multiplot layout 3,1
set title "memory of its own, MB"; plot {memory}
set title "disk, MB"; plot {disk}
set title "descriptors"; plot {files}
unset multiplot
"""


def plot(soak, folder):
    if not shutil.which("gnuplot"):
        step("no plot: gnuplot is not installed")
        return
    lines = {}
    for series, scale in (("memory", 1 << 20), ("disk", 1 << 20), ("files", 1)):
        columns = [(i + 3, name) for i, (_, name, s) in enumerate(soak.rows) if s == series]
        lines[series] = ", ".join(f'"{folder}/samples.csv" skip 1 using ($1/60):(${at}/{scale}) with lines title "{name}"'
                                  for at, name in columns)
    done = subprocess.run(["gnuplot"], input=PLOT.format(folder=folder, **lines), text=True, capture_output=True, check=False)
    expect(done.returncode == 0, f"gnuplot: {done.stderr}")


def soak(options):
    folder = options.out or os.path.join(ROOT, "build/reports", time.strftime("soak-%Y%m%d-%H%M%S"))
    os.makedirs(folder, exist_ok=True)
    seconds = options.hours * 3600
    with Cluster() as c:
        c.start()
        run = Soak(c)
        load = c.send(rate=options.rate, seconds=seconds + 600, ads=options.ads, connections=2, drain_seconds=60)
        deadline, every = run.started + seconds, options.every or max(1.0, min(10.0, seconds / 60))
        while time.monotonic() < deadline:
            time.sleep(every)  # the grid of the samples is what is wanted here
            expect(load.poll() is None, "the load ended by itself")
            run.sample()
            if len(run.times) % 30 == 0:
                run.write(folder)  # so that a run that breaks off says something
                step(f"{run.times[-1] / 60:.0f} minutes, {run.clicks[-1]:.0f} clicks")
        run.write(folder)
        plot(run, folder)
        told = stop_load(c, load)
        expect_exact(c, 120)
    found = run.judge(60 * options.warm_minutes)
    with open(os.path.join(folder, "verdict.txt"), "w", encoding="ascii") as file:
        for name, series, rule, words, good in found:
            print(f"{'ok ' if good else 'BAD'} {name:10} {series:8} {rule:7} {words}", file=file)
    with open(os.path.join(folder, "verdict.txt"), encoding="ascii") as file:
        print(file.read(), end="")
    step(f"{told['accepted']} clicks in {seconds / 60:.0f} minutes; {folder}")
    bad = [f"{name} {series}" for name, series, _, _, good in found if not good]
    expect(not bad or not options.strict, f"not flat: {', '.join(bad)}")


def main(words):
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name, kind, default in (("hours", float, 1.0), ("rate", int, 500), ("ads", int, 500), ("warm-minutes", float, 10.0),
                                ("every", float, 0.0), ("out", str, "")):
        parser.add_argument(f"--{name}", type=kind, default=default)
    options = parser.parse_args(words)
    options.strict = True
    tell(lambda: soak(options))


if __name__ == "__main__":
    main(sys.argv[1:])
