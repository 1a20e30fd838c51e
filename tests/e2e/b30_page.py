# SPDX-License-Identifier: Apache-2.0
"""b30: the page in a real Chromium: door, keyboard, live counts, widths, light and dark, axe-core. Needs chromium, node and
what `./dev setup page` fetches; without them it is skipped. PAGE_SHOTS=folder keeps pictures (tests/page/run.sh)."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import json
import math
import shutil
import subprocess
import threading
import time

from e2e import ROOT, Cluster, ask, click, expect, stats, step, tell, wait_count
from tiers import write_private

SKIPPED = 77
MODULES = os.path.join(ROOT, ".deps", "page-test", "node_modules")
ADS = ["harbour-bakery", "harbour-bikes", "harbour-books", "harbour-cinema"]
LIVE = ADS[0]
STRANGE = "<img src=x onerror=document.title=1>"
MINUTES = 50
# Pictures should show complete minutes, and minutes are complete only where the system was there: 0 to 2400.
WARM_SECONDS = int(os.environ.get("PAGE_WARM_SECONDS") or 0)


def skip(words):
    print(f"{words}: the page was not shown to a browser (./dev setup page gets what is missing)")
    sys.exit(SKIPPED)


def post(cluster, clicks):
    answer = ask(cluster, cluster.edges["us-e1"], "/v1/clicks", "POST", json.dumps(clicks))
    expect(answer.status == 202 and answer.json["refused"] == 0, f"{answer.status} {answer.body[:300]}")


def past(now):
    """Clicks of the last MINUTES, each ad with a tide of its own. {ad: clicks}"""
    minute, clicks, sums = now // 60 * 60, [], {}
    for i, ad in enumerate(ADS):
        for back in range(1, MINUTES):
            count = int(18 + 9 * i + (12 + 2 * i) * math.sin(back / (5 + 3 * i) + i) + back * (7 + 3 * i) % 6)
            clicks += [click(ad, f"user-{(n * 7 + back) % 97}", minute - 60 * back + n % 60, click_id=f"{i}-{back}-{n}")
                       for n in range(count)]
            sums[ad] = sums.get(ad, 0) + count
    return clicks, sums


def present(cluster, seconds):
    """Clicks of now, each ad with a tide of its own, for so long. {ad: clicks}"""
    sums, end, turn = dict.fromkeys(ADS, 0), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        clicks = []
        for i, ad in enumerate(ADS):
            count = int(3 + i + (2 + i / 2) * math.sin(turn / (60 + 25 * i) + i) + turn * (7 + 3 * i) % 3)
            clicks += [click(ad, f"user-{(n * 7 + turn) % 61}", int(time.time()), click_id=f"{i}-{turn}-{n}") for n in range(count)]
            sums[ad] += count
        post(cluster, clicks)
        turn += 1
        time.sleep(4)
    return sums


class Trickle(threading.Thread):
    """A click now and then, of this moment, until stop()."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.cluster, self.sent, self.failure, self.ended = cluster, 0, None, threading.Event()

    def run(self):
        while not self.ended.wait(0.25 if WARM_SECONDS == 0 else 1.2):
            try:
                post(self.cluster, [click(LIVE, f"user-{self.sent % 97}", int(time.time()), click_id=f"live-{self.sent}")])
                self.sent += 1
            except Exception as failure:  # pylint: disable=broad-exception-caught
                self.failure = failure
                return

    def stop(self):
        self.ended.set()
        self.join()
        expect(self.failure is None, f"the trickle ended: {self.failure}")


def start_with_tokens(cluster):
    tokens, key = (os.path.join(cluster.folder, name) for name in ("globe.tokens", "globe.tokens.key"))
    make = lambda *more: subprocess.run([os.path.join(cluster.bin, "tributary-global"), "token", "create", "--tokens", tokens,
                                         "--key", key, "--ads", "*", "--rate", "0", *more],
                                        check=True, capture_output=True, text=True).stdout.strip()
    every, counts = make("--scope", "stats:read,admin"), make("--scope", "stats:read")
    cluster.globe.stop()
    cluster.globe.changes = {"auth": {"tokens_file": tokens, "key_file": key}}
    cluster.globe.start()
    write_private(os.path.join(cluster.folder, "every.token"), every + "\n")
    return every, counts


def in_browser(cluster, browser, every, counts):
    """Runs the browser's part, which may have the globe killed and started. What it found."""
    child = subprocess.Popen(["node", os.path.join(ROOT, "tests/page/page_test.mjs")], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True, bufsize=1,
                             env={**os.environ, "PAGE_GLOBE": f"https://{cluster.globe.addresses['listen']}",
                                  "PAGE_TOKEN": every, "PAGE_COUNTS_TOKEN": counts, "PAGE_ADS": ",".join(ADS),
                                  "PAGE_LIVE": LIVE, "PAGE_STRANGE": STRANGE, "PAGE_MODULES": MODULES,
                                  "PAGE_CHROMIUM": browser, "PAGE_SHOTS": os.environ.get("PAGE_SHOTS", "")})
    line = ""
    late = threading.Timer(200, child.kill)
    late.start()
    for line in child.stdout:
        expect(every not in line and counts not in line, "a token was printed")
        if line.startswith("DO "):
            (cluster.globe.kill if line == "DO KILL\n" else cluster.globe.start)()
            child.stdin.write("done\n")
        elif not line.startswith("{"):
            print(line, end="", flush=True)
    late.cancel()
    expect(child.wait() == 0, "the browser's part failed")
    return json.loads(line)


def test():
    browser = shutil.which("chromium")
    if browser is None or shutil.which("node") is None or not os.path.isdir(os.path.join(MODULES, "playwright-core")):
        skip("no chromium, no node, or no playwright-core")
    topology = {"us": {"edges": ["us-e1"], "replicas": ["us-r1"]}, "eu": {"edges": ["eu-e1"], "replicas": ["eu-r1"]}}
    with Cluster(topology=topology, lateness_ms=2000) as c:
        c.start()
        now = int(time.time())
        if WARM_SECONDS > 0:
            sums = present(c, WARM_SECONDS)
        else:
            clicks, sums = past(now)
            for at in range(0, len(clicks), 2000):
                post(c, clicks[at:at + 2000])
        for ad in ADS:
            wait_count(c, ad, now // 60 * 60 - 60 * MINUTES, now // 60 * 60 + 60 * MINUTES, sums[ad])
        step(f"{sum(sums.values())} clicks of {len(ADS)} ads are counted")
        post(c, [click(STRANGE, "user", int(time.time()))])
        every, counts = start_with_tokens(c)
        trickle = Trickle(c)
        trickle.start()
        found = in_browser(c, browser, every, counts)
        trickle.stop()
        for ad in ADS[1:]:
            expect(found["sums"][ad] == sums[ad], f"{ad}: the page showed {found['sums'][ad]}, sent were {sums[ad]}")
        expect(sums[LIVE] < found["sums"][LIVE] <= sums[LIVE] + trickle.sent,
               f"{LIVE}: the page showed {found['sums'][LIVE]} of {sums[LIVE]} and {trickle.sent}")


tell(test)
