# SPDX-License-Identifier: Apache-2.0
"""demo: a whole Tributary on this machine, under load, with failures, and the proof that it counted exactly."""

import argparse
import os
import signal
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "tests", "harness"))

# pylint: disable=wrong-import-position
from cluster import Cluster
from process import Failure, wait_for

CLICKS = 240000
SECONDS = 20
EXACT_AT_LEAST = 200000
OUTAGE_SECONDS = 1.5
CALM_AFTER_MS = 3000  # after a restart, until latencies count as those of a calm time again


def say(text=""):
    print(text, flush=True)


def percentile(values, p):
    """Nearest rank; None when there are no values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * p // 100) - 1)]


def read_samples(path):
    """[(wall ms, value)]"""
    try:
        with open(path, encoding="ascii") as file:
            return [tuple(int(word) for word in line.split()) for line in file]
    except OSError:
        return []


class Disaster:
    """Kills one thing after the other, each restarted before the next, and remembers when."""

    def __init__(self, cluster, seconds):
        self.started = time.monotonic()
        self.outages = []  # (from, to) in wall milliseconds
        plan = [(0.25, cluster.edges["us-e1"]), (0.50, cluster.replicas["us-r2"]), (0.72, cluster.nats["us"])]
        self.plan = [(share * seconds, victim) for share, victim in plan]

    def note(self, text):
        say(f"{time.monotonic() - self.started:5.1f} s  -- {text}")

    def run(self, is_over):
        for due, victim in self.plan:
            while time.monotonic() - self.started < due and not is_over():
                time.sleep(0.05)
            pid = victim.pid
            killed = time.time()
            victim.kill()
            self.note(f"kill -9 {victim.name} (pid {pid})")
            time.sleep(OUTAGE_SECONDS)
            victim.start()
            self.note(f"{victim.name} is back (pid {victim.pid})")
            self.outages.append((int(killed * 1000), int(time.time() * 1000) + CALM_AFTER_MS))

    def is_calm(self, start_ms, end_ms):
        return not any(start_ms <= to and end_ms >= since for since, to in self.outages)


def sum_of(metrics, name):
    """Of all label sets of one metric."""
    return sum(value for key, value in metrics.items() if key == name or key.startswith(name + "{"))


def number(value):
    return "-" if value is None else f"{value:,.0f}"


def milliseconds(value):
    return "-" if value is None else f"{value:,.1f} ms"


def tell(rows):
    width = max(len(name) for name, *_ in rows)
    say()
    for name, value, remark in rows:
        say(f"  {name:<{width}}  {value:>14}   {remark}".rstrip())
    say()


def result_rows(cluster, sent, verdict, calm, answers, fresh):
    metrics = cluster.globe.metrics()
    partial_bytes = sum_of(metrics, "tributary_global_partial_bytes_total")
    replicated = 100.0 * sent["replicated"] / max(1, sent["accepted"])
    share = f"{100.0 * partial_bytes / max(1, sent['json_bytes']):.2f} % of it" if partial_bytes else ""
    quiet_answers = [us for end, us in answers if calm(end - us // 1000, end)]
    quiet_fresh = [ms for start, ms in fresh if calm(start, start + ms)]
    milli = lambda values, p: None if not values else percentile(values, p) / 1000.0
    return [
        ("clicks sent", number(sent["sent"]), f"in {sent['attempts']:,} requests, repetitions included"),
        ("distinct", number(sent["distinct"]), ""),
        ("accepted", number(sent["accepted"]), f"{replicated:.1f} % replicated when answered, the rest spooled"),
        ("sent again on purpose", number(sent["repeated"]), "to the same edge, to another, through the other region"),
        ("unknown, sent again", number(sent["unknown_attempts"]), "requests whose connection died"),
        ("duplicates", number(sum_of(metrics, "tributary_global_region_duplicate")), "found by the folds, by the key of the click"),
        ("counted by the globe", number(verdict["counted"]), f"{verdict['ads']:,} ads, probes included"),
        ("LOST", number(verdict["lost"]), "accepted but not counted"),
        ("COUNTED TWICE", number(verdict["double"]), ""),
        ("counted from nowhere", number(verdict["phantom"]), ""),
        ("answer p50 / p99", milliseconds(milli(quiet_answers, 50)),
         f"/ {milliseconds(milli(quiet_answers, 99))}   (p99 with the outages: "
         f"{milliseconds(milli([us for _, us in answers], 99))})"),
        ("click to globe p50 / p99", milliseconds(percentile(quiet_fresh, 50)),
         f"/ {milliseconds(percentile(quiet_fresh, 99))}   (p99 with the outages: "
         f"{milliseconds(percentile([ms for _, ms in fresh], 99))})"),
        ("bytes of JSON in", number(sent["json_bytes"]), ""),
        ("bytes across regions", number(partial_bytes or None), share),
    ]


def print_curls(cluster):
    edge = cluster.edges["us-e1"].addresses["listen"]
    globe = cluster.globe.addresses["listen"]
    say("Click:")
    say(f"  curl --cacert {cluster.ca} https://{edge}/v1/clicks -H 'content-type: application/json' "
        "-d '{\"ad_id\":\"ad-mine\",\"user_id\":\"me\",\"timestamp\":'$(date +%s)'}'")
    say("Query, a second later:")
    say(f"  curl --cacert {cluster.ca} \"https://{globe}/v1/stats?ad_id=ad-mine&window=1m"
        "&start=$(($(date +%s)/60*60-240))&end=$(($(date +%s)/60*60+60))\"")


def demonstrate(cluster, options):
    started = time.monotonic()
    say("Tributary: two regions on this machine, with real TLS, HTTP/2, NATS JetStream and fsync.")
    cluster.start()
    say(f"  up in {time.monotonic() - started:.1f} s, state in {cluster.folder}")
    for process in cluster.everything():
        where = getattr(process, "addresses", {}).get("listen") or getattr(process, "url", "")
        say(f"    {process.name:<10} pid {process.pid:<7} {where}")
    say(f"\nSending {options.clicks:,} clicks in about {options.seconds:.0f} s; "
        "an edge, a fold replica and a nats-server are killed on the way.")
    load = cluster.send("demo", clicks=options.clicks, rate=options.clicks / options.seconds,
                        connections=4, ads=2000, drain_seconds=60, stderr=None)
    probe = cluster.probe(count=max(10, int(options.seconds * 5)), interval_ms=200, wait_seconds=60)
    disaster = Disaster(cluster, options.seconds)
    disaster.run(lambda: load.poll() is not None)
    code, sent = cluster.finish_load(load, options.seconds + 120)
    _, probed = cluster.finish_load(probe, 120)
    say("\nAsking the globe about every ad and every minute ...")
    exact, verdict = cluster.check(wait_seconds=60)
    answers = read_samples(os.path.join(cluster.folder, "demo.latencies"))
    fresh = read_samples(os.path.join(cluster.folder, "probe.samples"))
    tell(result_rows(cluster, sent, verdict, disaster.is_calm, answers, fresh))
    good = exact and code == 0
    if code != 0:
        say(f"The load tool ended with {code}: {sent['refused']} refused, {sent['unresolved']} unresolved.")
    if probed["shown"] != probed["probes"] or probed["double"]:
        say(f"Probes: {probed['shown']} of {probed['probes']} seen, {probed['double']} twice.")
        good = False
    if options.clicks >= EXACT_AT_LEAST and sent["accepted"] < EXACT_AT_LEAST:
        say(f"Fewer than {EXACT_AT_LEAST:,} clicks were accepted.")
        good = False
    slow = percentile([ms for start, ms in fresh if disaster.is_calm(start, start + ms)], 99)
    if slow is not None and slow >= 3000:
        say(f"Warning: clicks took {slow:.0f} ms to the globe at p99; the aim is 3 s.")
    say("Every accepted click was counted exactly once." if good else "NOT EXACT.")
    return good


def stay(cluster):
    print_curls(cluster)
    say("\nCtrl-C ends it.")
    wait_for("Ctrl-C", lambda: not all(p.alive() for p in cluster.everything()), float("inf"), 0.5)
    dead = [p for p in cluster.everything() if not p.alive()]
    raise Failure("; ".join(f"{p.name} ended by itself: {p.last_words()}" for p in dead))


def main():
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the proof: 0 only if it was exact")
    parser.add_argument("--keep", action="store_true", help="keep the state folder (logs, stores, ledgers)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="time of sending (default: %(default)s)")
    parser.add_argument("--clicks", type=int, default=CLICKS, help="distinct clicks (default: %(default)s)")
    parser.add_argument("--bin", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.seconds < 1 or options.clicks < 100:
        parser.error("at least one second and 100 clicks")
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    try:
        with Cluster(options.bin and os.path.abspath(options.bin), keep=options.keep) as cluster:
            good = demonstrate(cluster, options)
            if not options.once:
                stay(cluster)
            return 0 if good else 1
    except Failure as failure:
        say(f"demo: {failure}")
        return 2
    except KeyboardInterrupt:
        say()
        return 0 if not options.once else 130


if __name__ == "__main__":
    sys.exit(main())
