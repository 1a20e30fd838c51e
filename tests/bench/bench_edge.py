# SPDX-License-Identifier: Apache-2.0
"""bench_edge: CPU per request of the real edge (scan, key, spool with fsync, forward to a local JetStream, trimmed by a
real fold replica) against servers that merely throw the body away. Same run, client, bodies and cipher; interleaved
rounds; medians; a round counts only when every request was answered and the edge's own books agree."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

from bench_edge_peers import Failure, cpu_ns, start_peers
from cluster import Cluster
from process import wait_for

CIPHER = "TLS_AES_128_GCM_SHA256"
# name: clicks in a request, connections, streams on each, requests a round
CASES = {"1 stream": (1, 256, 1, 30000), "10 streams": (1, 32, 10, 60000), "100 streams": (1, 8, 100, 80000),
         "ndjson 1000": (1000, 4, 4, 300)}
BARS = {"1 stream": 1.25, "10 streams": 1.15, "100 streams": 1.15}
NDJSON_US = 1.2


class Bench:
    def __init__(self, cluster, edge, peers):
        self.cluster, self.edge, self.peers = cluster, edge, peers
        self.replica = cluster.replicas_of("us")[0]
        self.figures = {case: {} for case in CASES}
        self.commits = {case: [] for case in CASES}

    def blast(self, address, case):
        clicks, connections, streams, requests = CASES[case]
        done = subprocess.run([os.path.join(self.cluster.bin, "tributary-load"), "blast", "--edge", f"x=us@{address}", "--ca",
                               self.cluster.ca, "--clicks", str(clicks * requests), "--batch", f"{clicks}-{clicks}",
                               "--connections", str(connections), "--streams", str(streams), "--cipher", CIPHER],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failure(f"blast of {address}: {done.stderr.strip()} {done.stdout[:300]}")
        answer = json.loads(done.stdout)
        if answer["good"] != requests or answer["clicks"] != clicks * requests:
            raise Failure(f"{case}: {requests} requests, but {answer}")
        return answer

    def drained(self):
        return self.edge.metrics()["tributary_edge_in_flight"] == 0

    def round_of_edge(self, case):
        """Until the spool is empty again: forwarding and trimming are part of the price."""
        clicks = CASES[case][0] * CASES[case][3]
        wait_for("the spool to be empty", self.drained, 20, 0.2)
        before, counted = self.edge.metrics(), self.replica.metrics()["tributary_regional_counted_total"]
        cpu = cpu_ns(self.edge.pid)
        answer = self.blast(self.edge.addresses["listen"], case)
        wait_for("the spool to be empty", self.drained, 20, 0.2)
        cpu = cpu_ns(self.edge.pid) - cpu
        after = self.edge.metrics()
        accepted = after["tributary_edge_clicks_accepted_total"] - before["tributary_edge_clicks_accepted_total"]
        counted = self.replica.metrics()["tributary_regional_counted_total"] - counted
        if not accepted == answer["accepted"] == counted == clicks:
            raise Failure(f"{case}: {clicks} clicks sent, {answer['accepted']} answered, {accepted} accepted, "
                          f"{counted:.0f} counted")
        self.commits[case].append(after["tributary_edge_commits_total"] - before["tributary_edge_commits_total"])
        return cpu, answer["seconds"]

    def round_of_peer(self, peer, case):
        cpu = cpu_ns(peer.pid)
        answer = self.blast(peer.address, case)
        return cpu_ns(peer.pid) - cpu, answer["seconds"]

    def round(self, case):
        units = CASES[case][3] * CASES[case][0]
        for name, run in [("edge", lambda: self.round_of_edge(case))] + [
                (peer.name, lambda peer=peer: self.round_of_peer(peer, case)) for peer in self.peers]:
            cpu, seconds = run()
            self.figures[case].setdefault(name, []).append((cpu / 1000 / units, units / seconds))


def tell(bench, cases, rounds, said):
    """The table; returns what missed its bar."""
    names = ["edge"] + [peer.name for peer in bench.peers]
    missed = []
    result = {"rounds": rounds, "cipher": CIPHER, "fsync": "every commit (LMDB default sync)", "cases": {}}
    for case in cases:
        clicks, connections, streams, requests = CASES[case]
        row = {name: statistics.median(us for us, _ in bench.figures[case][name]) for name in names}
        rate = {name: statistics.median(rate for _, rate in bench.figures[case][name]) for name in names}
        ratios = {}
        if "nghttpd" in names: # of each round: what disturbs both disturbs the ratio least
            for name in names:
                ratios[name] = statistics.median(
                    mine[0] / theirs[0] for mine, theirs in zip(bench.figures[case][name], bench.figures[case]["nghttpd"]))
        group = requests * clicks / statistics.median(bench.commits[case])
        result["cases"][case] = {"us": row, "ratio_to_nghttpd": ratios, "clicks_a_fsync": group, "per_second": rate}
        if case in BARS and ratios.get("edge", 0) > BARS[case]:
            missed.append(f"{case}: {ratios['edge']:.2f} times nghttpd, the bar is {BARS[case]}")
        if case.startswith("ndjson") and row["edge"] > NDJSON_US:
            missed.append(f"{case}: {row['edge']:.2f} us a click, the bar is {NDJSON_US}")
    result["missed"] = missed
    if said.json:
        print(json.dumps(result, indent=1))
        return missed
    print(f"CPU us per click, user + system, all threads; {rounds} rounds, medians; {CIPHER}; {platform.machine()}, "
          f"{os.cpu_count()} cores")
    print(f"{'':24}" + "".join(f"{name:>10}" for name in names) + f"{'edge/nghttpd':>14}{'bar':>6}{'clicks a fsync':>16}")
    for case in cases:
        clicks, connections, streams, _ = CASES[case]
        got = result["cases"][case]
        bar = f"{BARS[case]:.2f}" if case in BARS else f"{NDJSON_US:.1f} us"
        print(f"{case + f' x {connections} conns':24}" + "".join(f"{got['us'][name]:10.2f}" for name in names) +
              f"{got['ratio_to_nghttpd'].get('edge', 0):14.2f}{bar:>6}{got['clicks_a_fsync']:16.1f}")
    print("edge: every click scanned, keyed, fsynced in its spool before its 202 (LMDB, default sync), published to JetStream,\n"
          "      acknowledged, folded by a real replica, trimmed; the books of client, edge and fold agree in every round")
    for peer in bench.peers:
        print(f"{peer.name}: {peer.version()}; {peer.does}; no fsync")
    for line in missed:
        print(f"MISSED {line}")
    return missed


def main():
    parser = argparse.ArgumentParser(prog="./dev bench edge", description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit 1 where a bar is missed")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", action="append", choices=list(CASES), help="this case alone")
    parser.add_argument("--peer", action="append", help="this peer alone")
    parser.add_argument("--hold", action="store_true", help=argparse.SUPPRESS)
    said = parser.parse_args()
    cases = said.only or list(CASES)

    topology = {"us": {"edges": ["us-e1"], "replicas": ["us-r1"]}}
    peers = []
    with Cluster(topology=topology, log_level="warn") as cluster:
        edge = cluster.edges["us-e1"]
        edge.changes = {"workers": 1, "limits": {"body_bytes": 1 << 20}}
        cluster.start()
        cluster.globe.kill()  # has no part in it
        try:
            peers = start_peers(cluster.folder, cluster.certificate, cluster.key, said.peer)
            bench = Bench(cluster, edge, peers)
            for _ in range(said.rounds):
                for case in cases:
                    bench.round(case)
            missed = tell(bench, cases, said.rounds, said)
        finally:
            for peer in peers:
                peer.kill()
    return 1 if said.check and missed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"bench_edge: {failure}", file=sys.stderr)
        sys.exit(2)
