# SPDX-License-Identifier: Apache-2.0
"""bench_edge_load: how long the edge's answers take when requests come on a schedule (open loop: a latency runs from the
instant at which its request should have left). The edge has one core, all others share the rest."""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
from bench_edge_peers import cpu_ns  # noqa: E402
from cluster import Cluster  # noqa: E402
from process import Failure, finish, wait_for  # noqa: E402

BUDGET_MS = 30
CLICKS = 30  # of a request: a client on one core must be able to ask for twice of what the edge can do
STREAMS = 50
CONNECTIONS = 50
RSS_GROWTH_MB_MAX = 256


class Load:
    def __init__(self, cluster, edge, others):
        self.cluster, self.edge, self.others = cluster, edge, others
        self.replica = cluster.replicas_of("us")[0]
        self.answered = 0  # clicks that got a 202, of all runs
        self.child = None

    def command(self, clicks, rate, connections, streams):
        return ["taskset", "-c", self.others, os.path.join(self.cluster.bin, "tributary-load"), "blast", "--edge",
                f"x=us@{self.edge.addresses['listen']}", "--ca", self.cluster.ca, "--clicks", str(clicks), "--batch",
                f"{CLICKS}-{CLICKS}",
                "--connections", str(connections), "--streams", str(streams), "--timeout-ms", "60000",
                *(["--rate", str(rate)] if rate else [])]

    def blast(self, clicks, rate=None, connections=CONNECTIONS, streams=STREAMS):
        rss = [self.rss_mb()]
        cpu, before = cpu_ns(self.edge.pid), self.edge.metrics()
        self.child = subprocess.Popen(self.command(clicks, rate, connections, streams), stdout=subprocess.PIPE, text=True)
        try:
            while self.child.poll() is None:
                rss.append(self.rss_mb())
                time.sleep(0.05)  # pace of sampling
        finally:
            finish(self.child)
        answer = json.loads(self.child.stdout.read() or "{}")
        if self.child.returncode != 0 or answer["broken"]:
            raise Failure(f"requests without an answer: {answer}")
        self.answered += answer["accepted"]
        answer["rss_growth_mb"] = max(rss) - rss[0]
        answer["edge_cpu"] = (cpu_ns(self.edge.pid) - cpu) / 1e9 / answer["seconds"]
        after = self.edge.metrics()
        commits, spent = (after[f"tributary_edge_commit_seconds_{name}"] - before[f"tributary_edge_commit_seconds_{name}"]
                          for name in ("count", "sum"))
        answer["commit_ms"] = spent * 1000 / max(commits, 1)
        return answer

    def rss_mb(self):
        with open(f"/proc/{self.edge.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) // 1024

    def exact(self):
        """Each click is distinct and was sent once: what got a 202 must be what the fold counts, no more, no less."""
        wait_for("the spool to be empty", lambda: self.edge.metrics()["tributary_edge_in_flight"] == 0, 60, 0.2)
        counted = self.replica.metrics()["tributary_regional_counted_total"]
        if counted != self.answered:
            raise Failure(f"{self.answered} clicks were answered with 202, {counted:.0f} counted")

    def restart(self, budget_ms):
        self.edge.changes["replication_budget_ms"] = budget_ms
        self.edge.stop()
        self.edge.start()
        wait_for("the edge to be ready", lambda: self.edge.admin("/readyz")[0] == 200, 20)
        wait_for("the edge to see its region", self.sees_region, 20)

    def sees_region(self):
        return self.edge.metrics()['tributary_edge_bus_up{region="us"}'] == 1


@contextlib.contextmanager
def frozen(process):
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def run(load, nats, seconds):
    """Yields (what, bar in ms, answer)."""
    load.blast(60000)  # warm
    with frozen(load.replica):  # the core of the others is for the client now; no reader is flow control
        saturation = load.blast(int(seconds * 600000), connections=10, streams=20)  # few enough that none is shed
    rate = saturation["good"] / saturation["seconds"]
    yield "saturation (closed loop)", None, {**saturation, "rate": rate}
    load.exact()
    half, twice = int(rate / 2), int(rate * 2)
    with frozen(load.replica):
        answer = load.blast(int(half * seconds) * CLICKS, half)
    yield f"half, budget {BUDGET_MS} ms: replicated", 40, {**answer, "rate": half}
    load.exact()

    with frozen(load.replica), frozen(nats):
        answer = load.blast(int(half * seconds) * CLICKS, half)
    yield "half, nats-server stopped", BUDGET_MS + 15, {**answer, "rate": half}
    load.exact()

    with frozen(load.replica):
        answer = load.blast(int(twice * seconds) * CLICKS, twice)
    yield "twice: those accepted", 50, {**answer, "rate": twice}
    load.exact()

    load.restart(0)
    load.blast(60000)
    with frozen(load.replica):
        answer = load.blast(int(half * seconds) * CLICKS, half)
    yield "half, budget 0: spooled", 10, {**answer, "rate": half}
    load.exact()


def main():
    parser = argparse.ArgumentParser(prog="./dev bench edge-load", description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit 1 where a bar is missed")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=3, help="of each step")
    said = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise Failure("needs two cores: one for the edge, one for the rest")
    others = ",".join(str(core) for core in cores[1:])

    missed, told = [], []
    topology = {"us": {"edges": ["us-e1"], "replicas": ["us-r1"]}}
    with Cluster(topology=topology, log_level="error", spool_bytes=4 << 30) as cluster:
        edge = cluster.edges["us-e1"]
        edge.changes = {"workers": 1, "replication_budget_ms": BUDGET_MS}
        edge.wrap = ["taskset", "-c", str(cores[0])]
        nats = cluster.nats["us"]
        for one in [nats, *cluster.replicas.values()]:
            one.wrap = ["taskset", "-c", others]
        cluster.start()
        cluster.globe.kill()  # has no part in it
        for what, bar, answer in run(Load(cluster, edge, others), nats, said.seconds):
            p99 = answer["p99_us"] / 1000
            shed = answer["statuses"].get("503", 0)
            line = {"what": what, "rate": answer["rate"], "p50_ms": answer["p50_us"] / 1000, "p99_ms": p99,
                    "max_ms": answer["max_us"] / 1000, "bar_ms": bar, "accepted": answer["good"], "shed": shed,
                    "edge_cpu": answer["edge_cpu"], "commit_ms": answer["commit_ms"], "replicated": answer["replicated"], "rss_growth_mb": answer["rss_growth_mb"]}
            told.append(line)
            if bar and p99 > bar:
                missed.append(f"{what}: p99 {p99:.1f} ms, the bar is {bar}")
            if what.startswith("twice") and not shed:
                missed.append(f"{what}: nothing was shed")
            if answer["rss_growth_mb"] > RSS_GROWTH_MB_MAX:
                missed.append(f"{what}: memory grew by {answer['rss_growth_mb']} MB, the bar is {RSS_GROWTH_MB_MAX}")
            if not said.json:
                print(f"{what:36} {answer['rate']:9.0f}/s  p50 {line['p50_ms']:7.2f}  p99 {p99:7.2f} ms"
                      f"{f' (bar {bar})' if bar else '':10}  max {line['max_ms']:7.1f}  202 {line['accepted']:7}"
                      f" ({line['replicated']} replicated)  503 {shed:7}  rss +{line['rss_growth_mb']} MB"
                      f"  core {line['edge_cpu']:.0%}  commit {line['commit_ms']:.1f} ms", flush=True)
    if said.json:
        print(json.dumps({"steps": told, "missed": missed}, indent=1))
    else:
        print(f"one core for the edge; {CLICKS} clicks a request, fsync in every commit before the 202; after each step the fold counts "
              "exactly what got a 202")
        for line in missed:
            print(f"MISSED {line}")
    return 1 if said.check and missed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"bench_edge_load: {failure}", file=sys.stderr)
        sys.exit(2)
