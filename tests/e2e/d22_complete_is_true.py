# SPDX-License-Identifier: Apache-2.0
"""d22: `complete: true` is never false. Partials are held up, dropped, repeated and told in another order, and a region is
cut off, while every answer of the globe is kept; at the end each point that was said to be complete is held against the
ledger's count of that ad and minute. MINUTES=10 for the long form."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import base64
import json
import random
import subprocess
import threading
import time

from e2e import Cluster, Failure, expect, expect_exact, step, stop_load, tell, wait_for
from r3 import password_of, request
from relay import Relay

MINUTES = int(os.environ.get("MINUTES", "1"))
TOPOLOGY = {"us": {"edges": ["us-e1"], "replicas": ["us-r1", "us-r2"]}, "eu": {"edges": ["eu-e1"], "replicas": ["eu-r1"]}}
ADS = 16
SEED = int(os.environ.get("SEED", str(time.time_ns() % 100000)))


class SlowRelay(Relay):
    """Each piece of bytes waits a moment of its own."""

    slow = 0.0

    def _pump(self, source, target, pair):
        draw = random.Random(SEED)
        try:
            while data := source.recv(1 << 14):
                time.sleep(draw.random() * self.slow)
                target.sendall(data)
        except OSError:
            pass
        self._end(pair)


class Answers(threading.Thread):
    """Asks again and again; keeps what was said to be complete, and how often it was asked."""

    def __init__(self, cluster, start):
        super().__init__(daemon=True)
        self.cluster, self.start_s = cluster, start
        self.said, self.asked, self.failed = {}, 0, 0
        self.ended = threading.Event()

    def ask(self):
        """All ads; {(ad, minute): (count, complete, users)}"""
        c, end = self.cluster, int(time.time()) // 60 * 60 + 120
        address = c.globe.addresses["listen"]
        urls = [f"https://{address}/v1/stats?ad_id=ad-{ad:06}&window=1m&start={self.start_s}&end={end}" for ad in range(ADS)]
        done = subprocess.run(["curl", "-sS", "--http2", "--fail", "--max-time", "20", "--cacert", c.ca, "-w", "\n", *urls],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            self.failed += 1
            return {}
        found = {}
        for line in filter(None, done.stdout.split("\n")):
            answer = json.loads(line)
            for point in answer["data"]:
                found[answer["ad_id"], point["timestamp"]] = (point["click_count"], point["complete"], point["unique_users"])
        self.asked += 1
        return found

    def run(self):
        while not self.ended.wait(0.1):
            for key, (count, complete, users) in self.ask().items():
                if complete:
                    self.said.setdefault(key, set()).add((count, users))


def api(c, region, verb, body=b""):
    nats = c.nats[region]
    answer = request(nats.port, "regional", password_of(nats.users["regional"]), f"$JS.{region}.API.{verb}", body)
    if answer is None:
        raise Failure(f"nobody answers {verb}")
    return json.loads(answer)


def tamper(c, region, draw):
    """What the globe has not read yet: some is taken away for good, some is told again later and in another order."""
    stream = f"PARTIALS_{region}"
    state = api(c, region, f"STREAM.INFO.{stream}")["state"]
    position = int(c.globe.metrics()[f'tributary_global_region_position{{region="{region}"}}'])
    taken, dropped = [], 0
    for seq in range(position + 1, state["last_seq"] + 1):
        if not draw.random() < 0.5:
            continue
        found = api(c, region, f"STREAM.MSG.GET.{stream}", json.dumps({"seq": seq}).encode())
        if "error" in found:
            continue
        message = found["message"]
        taken.append((message["subject"], base64.b64decode(message["data"])))
        if "error" in api(c, region, f"STREAM.MSG.DELETE.{stream}", json.dumps({"seq": seq, "no_erase": True}).encode()):
            raise Failure(f"message {seq} of {stream} cannot be deleted")
    nats = c.nats[region]
    again = [one for one in taken for _ in range(draw.choice([0, 1, 1, 2]))]
    dropped = len({*taken} - {*again})
    draw.shuffle(again)
    for subject, data in again:
        request(nats.port, "regional", password_of(nats.users["regional"]), subject, data)
    return len(taken), dropped, len(again)


def disturb(c, relays, draw):
    """One region is cut off for a while; what it says meanwhile is tampered with; then it is slow."""
    region = draw.choice(list(relays))
    relays[region].cut()
    time.sleep(draw.uniform(1.0, 3.0))
    sums = tamper(c, region, draw)
    relays[region].slow = draw.choice([0, 0.02, 0.2])
    relays[region].mend()
    return sums


def complete_of(c, region):
    return c.globe.metrics()[f'tributary_global_region_watermark_seconds{{region="{region}"}}']


def test():
    draw = random.Random(SEED)
    step(f"seed {SEED}")
    relays = {}
    with Cluster(topology=TOPOLOGY, lateness_ms=10000) as c:
        for region in TOPOLOGY:
            relays[region] = SlowRelay(lambda region=region: c.nats[region].port)
        c.globe.changes = {"regions": [{"name": region, "nats": {
            "url": f"nats://127.0.0.1:{relay.port}", "user": "global", "password_file": c.nats[region].users["global"],
            "domain": region}} for region, relay in relays.items()]}
        c.start()
        now = time.time()
        boundary = int(now) // 60 * 60 + 60 * MINUTES
        answers = Answers(c, int(now) // 60 * 60)
        answers.start()
        # The last seconds of a minute are what matters: late clicks count later, so there are none here.
        if MINUTES == 1:
            time.sleep(max(0.0, boundary - now - 10))
        load = c.send(rate=1500, seconds=60 * MINUTES + 60, ads=ADS, connections=2, late_permille=0, aged_permille=0, drain_seconds=60)
        sums = [0, 0, 0]
        while time.time() < boundary + 16:
            sums = [a + b for a, b in zip(sums, disturb(c, relays, draw))]
        stop_load(c, load)
        for relay in relays.values():
            relay.slow = 0
        step(f"{sums[0]} partials taken away, {sums[1]} of them for good, {sums[2]} told later in another order")
        expect_exact(c)
        late = sum(r.metrics()["tributary_regional_late_total"] for r in c.replicas.values())
        expect(late == 0, f"{late:.0f} clicks were late: they count later, and the run says nothing")
        wait_for("the first minute to be complete again", lambda: all(
            point[1] for (_, minute), point in answers.ask().items() if minute < boundary), 40, 0.2)
        answers.ended.set()
        answers.join()
        last = answers.ask()
        judge(answers, last, boundary)
        wants = c.globe.metrics()["tributary_global_wants_sent_total"]
        step(f"the globe asked {wants:.0f} times")
        expect(sums[1] > 0 and sums[2] > 0, "nothing was disturbed: the run says nothing")


def judge(answers, last, boundary):
    """`last` is exact by the ledger (expect_exact): so what was complete must have been that."""
    points = false = 0
    for (ad, minute), said in answers.said.items():
        count, _, users = last[ad, minute]
        points += 1
        if said != {(count, users)}:
            false += 1
            step(f"FALSE: {ad} in {minute}: {sorted(said)} was said to be complete, {count} clicks and {users} users are true")
    full = [key for key in answers.said if last[key][0] > 0 and key[1] < boundary]
    step(f"{answers.asked} rounds of {ADS} answers ({answers.failed} without one), {points} points were said to be complete, "
         f"{len(full)} of them with clicks: {false} falsely")
    expect(false == 0, f"{false} points were complete and were not")
    expect(len(full) >= ADS // 2, "hardly a point with clicks was ever complete: the run says nothing")


tell(test)
