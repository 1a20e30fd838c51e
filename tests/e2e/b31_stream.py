# SPDX-License-Identifier: Apache-2.0
"""b31: GET /v1/stream: every event is what the count was, never ahead of it; a reader that stands still and a globe that is
killed cost nothing but time; resuming spares what the client has; streams have limits, and end with their token."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import json
import signal
import subprocess
import threading
import time

from e2e import Cluster, ask, click, expect, stats, step, tell, wait_for

RUN = os.urandom(4).hex()
ADS = [f"b31-{RUN}-{i}" for i in range(3)]


class Reader(threading.Thread):
    """Follows a stream by curl; `held` is what a client makes of the events: {ad: {timestamp: point}}"""

    def __init__(self, cluster, parameters, *headers, token=None, held=None, version="--http2"):
        super().__init__(daemon=True)
        self.cluster, self.held, self.events, self.failure, self.last_id, self.comments = cluster, held or {}, [], None, "", 0
        self.lock = threading.Lock()
        command = ["curl", "-sS", "-N", version, "--cacert", cluster.ca, "-D", "/dev/stderr",
                   f"https://{cluster.globe.addresses['listen']}/v1/stream?{parameters}"]
        for header in [*headers, *([f"authorization: Bearer {token}"] if token else [])]:
            command += ["-H", header]
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.start()

    def take(self, fields):
        with self.lock:
            self.last_id = fields.get("id", self.last_id)
            data = json.loads(fields["data"])
            for ad in data["ads"]:
                for point in ad["data"]:
                    old = self.held.setdefault(ad["ad_id"], {}).get(point["timestamp"], {"click_count": 0, "complete": False})
                    expect(point["click_count"] >= old["click_count"], f"a count fell: {old} {point}")
                    expect(point["complete"] or not old["complete"], f"complete was taken back: {old} {point}")
                    self.held[ad["ad_id"]][point["timestamp"]] = point
            self.events.append(data)

    def run(self):
        fields = {}
        try:
            for line in self.child.stdout:
                line = line.rstrip("\n")
                if line == "":
                    if "data" in fields:
                        self.take(fields)
                    fields = {}
                elif line.startswith(":"):
                    self.comments += 1
                else:
                    name, _, value = line.partition(": ")
                    fields[name] = value
        except Exception as failure:  # pylint: disable=broad-exception-caught
            self.failure = failure

    def total(self, ad):
        with self.lock:
            return sum(point["click_count"] for point in self.held.get(ad, {}).values())

    def end(self):
        self.child.kill()
        self.child.wait()
        self.join()
        expect(self.failure is None, f"a reader failed: {self.failure}")


def post(cluster, clicks):
    answer = ask(cluster, cluster.edges["us-e1"], "/v1/clicks", "POST", json.dumps(clicks))
    expect(answer.status == 202 and answer.json["refused"] == 0, f"{answer.status} {answer.body[:300]}")


def counted(cluster, ad):
    now = int(time.time()) // 60 * 60
    return sum(point["click_count"] for point in stats(cluster, ad, "1m", now - 1800, now + 120)["data"])


def parameters(minutes=30, ads=None):
    return "&".join([*(f"ad_id={ad}" for ad in ads or ADS), f"minutes={minutes}"])


def never_ahead(cluster, reader, sent):
    """Clicks flow; whatever the reader holds, the globe has counted."""
    for turn in range(12):
        for ad in ADS:
            post(cluster, [click(ad, f"user-{i}", int(time.time()), click_id=f"{turn}-{i}") for i in range(5)])
            sent[ad] += 5
        for ad in ADS:
            seen = reader.total(ad)
            has = counted(cluster, ad)
            expect(seen <= has, f"{ad}: the stream said {seen}, then the globe {has}")
        time.sleep(0.3)


def settled(reader, sent, seconds=30):
    def same():
        for ad in ADS:
            expect(reader.total(ad) <= sent[ad], f"{ad}: {reader.total(ad)} streamed, {sent[ad]} sent")
        return all(reader.total(ad) == sent[ad] for ad in ADS)
    wait_for("the stream to say what was sent", same, seconds, 0.1)


def slow_reader(cluster, sent):
    """Stopped for a while, it misses events and no count."""
    reader = Reader(cluster, parameters())
    wait_for("a first event", lambda: reader.events, 10)
    reader.child.send_signal(signal.SIGSTOP)
    for turn in range(10):
        post(cluster, [click(ADS[0], f"slow-{i}", int(time.time()), click_id=f"slow-{turn}-{i}") for i in range(3)])
        sent[ADS[0]] += 3
        time.sleep(0.4)
    reader.child.send_signal(signal.SIGCONT)
    settled(reader, sent)
    reader.end()


def resumed(cluster, sent):
    first = Reader(cluster, parameters())
    settled(first, sent)
    wait_for("a quiet second", lambda: not first.events[-1]["ads"], 15)
    first.end()
    again = Reader(cluster, parameters(), f"last-event-id: {first.last_id}")
    wait_for("an event", lambda: again.events, 10)
    # At the turn of a minute, or when one becomes complete, there is news; never the whole again.
    told = sum(len(ad["data"]) for ad in again.events[0]["ads"])
    expect(told <= 2 * len(ADS), f"{told} points were told to one who had them")
    again.end()
    other = Reader(cluster, parameters(), "last-event-id: 0123456789abcdef")
    wait_for("an event", lambda: other.events, 10)
    expect(sum(len(ad["data"]) for ad in other.events[0]["ads"]) == 30 * len(ADS), "an unknown id resumed something")
    other.end()
    step(f"resumed by its id: {told} points told instead of {30 * len(ADS)}")


def killed(cluster, sent):
    """kill -9 of the globe: the stream breaks; the next one goes on from the same counts."""
    reader = Reader(cluster, parameters())
    settled(reader, sent)
    cluster.globe.kill()
    wait_for("the stream to break", lambda: reader.child.poll() is not None, 10)
    reader.join()
    for ad in ADS:
        post(cluster, [click(ad, f"late-{i}", int(time.time()), click_id=f"late-{i}") for i in range(4)])
        sent[ad] += 4
    cluster.globe.start()
    again = Reader(cluster, parameters(), f"last-event-id: {reader.last_id}", held=reader.held)
    settled(again, sent)
    again.end()
    # A clean stop ends streams at once, and does not wait for them.
    last = Reader(cluster, parameters())
    wait_for("an event", lambda: last.events, 10)
    began = time.monotonic()
    expect(cluster.globe.stop() == 0, "the globe did not stop cleanly")
    expect(time.monotonic() - began < 4, f"streams held up the stop for {time.monotonic() - began:.1f} s")
    expect(last.child.wait(5) == 0, "the stream was not ended as HTTP ends answers")
    last.end()


def limits(cluster):
    tokens, key = (os.path.join(cluster.folder, name) for name in ("globe.tokens", "globe.tokens.key"))
    make = lambda ads: cluster.ctl("token", "create", "--tokens", tokens, "--key", key, "--ads", ads, "--rate", "0").strip()
    own, other = make(ADS[0]), make("*")
    cluster.globe.changes = {"auth": {"tokens_file": tokens, "key_file": key}, "streams": 3, "token_streams": 2}
    cluster.globe.start()
    bearer = lambda token: [f"authorization: Bearer {token}"]
    get = lambda token, more="": ask(cluster, cluster.globe, f"/v1/stream?{parameters()}{more}", headers=bearer(token))
    expect(ask(cluster, cluster.globe, f"/v1/stream?{parameters()}").status == 401, "without a token")
    expect(get(own, "&minutes=0").status == 400 and get(own, "&start=0").status == 400, "bad parameters")
    expect(ask(cluster, cluster.globe, "/v1/stream?minutes=5", headers=bearer(own)).status == 400, "no ad")
    many = "&".join(f"ad_id=x{i}" for i in range(9))
    expect(ask(cluster, cluster.globe, f"/v1/stream?{many}", headers=bearer(own)).status == 400, "nine ads")
    readers = [Reader(cluster, parameters(), token=own) for _ in range(2)]
    for reader in readers:
        wait_for("an event", lambda r=reader: r.events, 10)
        expect(reader.total(ADS[0]) > 0 and reader.total(ADS[1]) == 0, "a foreign ad's clicks were streamed")
    refused = get(own)
    expect(refused.status == 429 and "retry-after" in refused.headers, f"a third stream of one token: {refused.status}")
    third = Reader(cluster, parameters(), token=other)
    wait_for("an event", lambda: third.events, 10)
    expect(get(other).status == 503, "a fourth stream in all")
    readers[0].end()
    wait_for("a seat to be free", lambda: cluster.globe.metrics()["tributary_global_streams_open"] == 2, 10, 0.1)
    # The token goes, and its stream with it; the other one goes on.
    cluster.ctl("token", "revoke", "--tokens", tokens, own.split("_")[1])
    wait_for("the revoked token's stream to end", lambda: readers[1].child.poll() is not None, 15, 0.1)
    before = len(third.events)
    wait_for("the other to go on", lambda: len(third.events) > before, 10, 0.1)
    third.end()
    expect(cluster.globe.metrics()["tributary_global_streams_refused_total"] == 2, "the refused streams were not counted")
    expect(cluster.globe.stop() == 0, "the globe did not stop cleanly")
    cluster.globe.start()


def test():
    with Cluster(topology={"us": {"edges": ["us-e1"], "replicas": ["us-r1"]}}, lateness_ms=2000) as c:
        c.start()
        sent = dict.fromkeys(ADS, 0)
        reader, older = Reader(c, parameters()), Reader(c, parameters(), version="--http1.1")
        never_ahead(c, reader, sent)
        settled(reader, sent)
        settled(older, sent)
        older.end()
        step(f"{sum(sent.values())} clicks streamed in {len(reader.events)} events, never ahead of the count")
        slow_reader(c, sent)
        settled(reader, sent)
        reader.end()
        step("a reader that stood still has missed nothing")
        resumed(c, sent)
        killed(c, sent)
        step("killed and stopped: nothing lost, nothing said twice")
        limits(c)


tell(test)
