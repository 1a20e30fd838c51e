# SPDX-License-Identifier: Apache-2.0
"""e2e: what the end-to-end stories share: requests by curl, kills under load, and the ledger's verdict."""

import json
import os
import signal
import subprocess
import sys
import time

from cluster import ROOT, Cluster
from process import Failure, wait_for

__all__ = ["Answer", "Cluster", "Failure", "ROOT", "ask", "click", "expect", "expect_exact", "growth", "kill_under_load",
           "stats", "step", "stop_load", "tell", "wait_count", "wait_for",
           "zstd_raw"]

_started = time.monotonic()


def step(text):
    print(f"{time.monotonic() - _started:6.1f} s  {text}", flush=True)


def expect(condition, words):
    if not condition:
        raise Failure(words)


def tell(test):
    """Runs one story; exit code 0 only if it came out right."""
    try:
        test()
        step("as it should be")
        sys.exit(0)
    except Failure as failure:
        step(f"FAILED: {failure}")
        sys.exit(1)


class Answer:
    """One answer of curl."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            raise Failure(f"status {self.status}, not JSON: {self.body[:200]!r}") from None


def ask(cluster, tier, path, method=None, body=None, headers=(), extra=()):
    """One HTTP/2 request to a listener of ours. Status 0: there was no HTTP answer."""
    command = ["curl", "-sS", "--http2", "--max-time", "20", "--cacert", cluster.ca, "-D", "-", "-w",
               "\n%{http_code} %{http_version}", f"https://{tier.addresses['listen']}{path}", *extra]
    if method:
        command += ["-X", method]
    for header in headers:
        command += ["-H", header]
    if body is not None:
        command += ["--data-binary", "@-"]
        if not any(header.lower().startswith("content-type") for header in headers):
            command += ["-H", "content-type: application/json"]
    done = subprocess.run(command, input=body.encode() if isinstance(body, str) else body, capture_output=True,
                          check=False)
    text = done.stdout.decode(errors="replace")
    answer, _, tail = text.rpartition("\n")
    status, version = (tail.split() + ["0", "0"])[:2]
    expect(status == "000" or version == "2", f"not HTTP/2 but {version}")
    head, _, content = answer.partition("\r\n\r\n")
    while content.startswith("HTTP/"):  # after 100 Continue
        head, _, content = content.partition("\r\n\r\n")
    names = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    return Answer(int(status), names, content if done.returncode == 0 or content else done.stderr.decode())


def zstd_raw(text):
    """A frame of one raw block: what any zstd sender may write."""
    header = (len(text) << 3 | 1).to_bytes(3, "little")
    return bytes.fromhex("28b52ffd0058") + header + text


def click(ad, user, timestamp, **more):
    return {"ad_id": ad, "user_id": user, "timestamp": timestamp, **more}


def stats(cluster, ad, window, start, end, globe=None, more=""):
    answer = ask(cluster, globe or cluster.globe,
                 f"/v1/stats?ad_id={ad}&window={window}&start={start}&end={end}{more}")
    expect(answer.status == 200, f"stats: {answer.status} {answer.body[:300]}")
    return answer.json


def wait_count(cluster, ad, start, end, count, seconds=30):
    """Waits until the minutes in [start, end) add up to count; Failure at once when they exceed it."""
    def total():
        points = stats(cluster, ad, "1m", start, end)["data"]
        seen = sum(point["click_count"] for point in points)
        expect(seen <= count, f"{ad}: {seen} counted, {count} sent")
        return seen == count
    wait_for(f"{count} clicks of {ad} at the globe", total, seconds, 0.1)


def growth(cluster, bytes_more, seconds=40):
    """Waits until the newest ledger has grown: time as the load sees it."""
    path = cluster.ledgers[-1]
    size = lambda: os.path.getsize(path) if os.path.exists(path) else 0
    goal = size() + bytes_more
    wait_for("the load to make progress", lambda: size() >= goal, seconds)


def stop_load(cluster, load):
    """No new clicks; waits until everything unknown is resolved."""
    if load.poll() is None:
        load.send_signal(signal.SIGTERM)
    code, answer = cluster.finish_load(load, 90)
    expect(code == 0, f"the load tool ended with {code}: {answer}")
    expect(answer["accepted"] == answer["distinct"], f"accepted is not distinct: {answer}")
    return answer


def kill_under_load(cluster, victims, rate=3000):
    """kill -9 of one victim after the other while clicks flow; each is back before the next dies."""
    load = cluster.send(rate=rate, seconds=120, ads=300, connections=2, drain_seconds=60)
    growth(cluster, 60000)
    for victim in victims:
        step(f"kill -9 {victim.name} (pid {victim.pid})")
        victim.kill()
        victim.start()
        step(f"{victim.name} is back (pid {victim.pid})")
        growth(cluster, 60000)
    answer = stop_load(cluster, load)
    step(f"{answer['accepted']} clicks accepted, {answer['repeated']} repeated, "
         f"{answer['unknown_attempts']} requests of unknown outcome")
    return answer


def expect_exact(cluster, wait_seconds=40.0):
    exact, verdict = cluster.check(wait_seconds=wait_seconds, settle_seconds=1.5, stderr=None)
    step(f"counted {verdict['counted']}, lost {verdict['lost']}, double {verdict['double']}, "
         f"phantom {verdict['phantom']}, unknown {verdict['unknown']}")
    expect(exact, f"not exact: {verdict}")
    expect(verdict["accepted"] > 0, "nothing was sent: the check says nothing")
    return verdict
