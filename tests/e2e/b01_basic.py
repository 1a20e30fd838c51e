# SPDX-License-Identifier: Apache-2.0
"""b01: a few clicks go all the way: verdicts, retries, homes, exact counts in all windows, clean stops."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import json
import time

from e2e import Cluster, ask, click, expect, stats, step, tell, wait_count, wait_for

RUN = os.urandom(4).hex()
AD = f"b01-{RUN}"


def post(cluster, edge, clicks, headers=(), lines=False):
    if lines:
        body = "\n".join(json.dumps(c) for c in clicks) + "\n"
        headers = [*headers, "content-type: application/x-ndjson"]
    else:
        body = json.dumps(clicks)
    answer = ask(cluster, cluster.edges[edge], "/v1/clicks", "POST", body, headers)
    expect(answer.status == 202, f"{answer.status} {answer.body}")
    return answer.json


def check_ports(cluster):
    for tier in [*cluster.edges.values(), *cluster.replicas.values(), cluster.globe]:
        for path in ("/livez", "/readyz"):
            status, text = tier.admin(path)
            expect(status == 200, f"{tier.name}{path}: {status} {text}")
        expect(len(tier.metrics()) > 10, f"{tier.name} shows too few metrics")
        expect(tier.admin("/nowhere")[0] == 404, f"{tier.name}: an unknown admin path is no 404")


def send_all(cluster, at):
    """Returns how many distinct clicks were sent: all of one ad, of one minute."""
    one = post(cluster, "us-e1", click(AD, "ada", at, ip_address="192.0.2.1", user_agent="x"))
    expect((one["accepted"], one["refused"], one["home"]) == (1, 0, "us"), f"single: {one}")
    expect(one["durability"] in ("spooled", "replicated"), f"single: {one}")
    batch = [click(AD, f"user-{i}", at * 1000 + i, click_id=f"{RUN}-{i}") for i in range(50)]
    expect(post(cluster, "us-e2", batch)["accepted"] == 50, "array")
    more = [click(AD, f"user-{i}", at) for i in range(50, 90)]
    expect(post(cluster, "us-e1", more, lines=True)["accepted"] == 40, "lines")
    text = ask(cluster, cluster.edges["us-e1"], "/v1/clicks", "POST", json.dumps(click(AD, "beacon", at)),
               ["content-type: text/plain;charset=UTF-8"])
    expect(text.status == 202, f"text/plain: {text.status}")
    abroad = click(AD, "traveller", at, click_id=f"{RUN}-abroad", home="eu")
    expect(post(cluster, "us-e1", abroad)["home"] == "eu", "home")
    keyed = [click(AD, f"keyed-{i}", at) for i in range(5)]
    key = [f"idempotency-key: {RUN}-key"]
    expect(post(cluster, "us-e1", keyed, key)["accepted"] == 5, "keyed")
    # The same click_id on another ad is another click; so is the same key.
    twin = {**batch[0], "ad_id": f"{AD}-twin"}
    post(cluster, "us-e1", twin)
    post(cluster, "us-e2", [{**c, "ad_id": f"{AD}-twin"} for c in keyed], key)
    step("98 clicks sent; now each once more")
    post(cluster, "us-e2", click(AD, "ada", at, ip_address="192.0.2.1", user_agent="x"))
    post(cluster, "us-e1", batch)
    post(cluster, "us-e2", more, lines=True)
    post(cluster, "eu-e1", abroad)
    post(cluster, "us-e2", keyed, key)
    post(cluster, "us-e1", keyed, key)
    return 1 + 50 + 40 + 1 + 1 + 5


def check_windows(cluster, at, sent, users):
    for window, seconds in (("1m", 60), ("5m", 300), ("1h", 3600), ("1d", 86400)):
        start = at // seconds * seconds
        answer = stats(cluster, AD, window, start - seconds, start + seconds)
        expect((answer["ad_id"], answer["window"]) == (AD, window), f"{answer}")
        points = answer["data"]
        expect([p["timestamp"] for p in points] == [start - seconds, start], f"{window}: {points}")
        expect([p["click_count"] for p in points] == [0, sent], f"{window}: {points}")
    minute = at // 60 * 60
    point = lambda: stats(cluster, AD, "1m", minute, minute + 60)["data"][0]
    wait_for("the minute to be complete", lambda: point()["complete"], 30, 0.2)
    got = point()
    expect(got["unique_users"] == users, f"{users} users, but {got}")
    open_now = int(time.time()) // 60 * 60
    future = stats(cluster, AD, "1m", open_now, open_now + 60)["data"][0]
    expect(not future["complete"] and future["unique_users"] is None, f"the running minute: {future}")


def clean_stops(cluster, at, sent):
    minute = at // 60 * 60
    for process in [*cluster.edges.values(), *cluster.replicas.values(), cluster.globe]:
        code = process.stop()
        expect(code == 0, f"{process.name} ended with {code} on SIGTERM: {process.last_words()}")
    step("all have ended by themselves; again")
    for process in [*cluster.replicas.values(), *cluster.edges.values(), cluster.globe]:
        process.start()
    wait_count(cluster, AD, minute, minute + 60, sent)
    post(cluster, "us-e1", click(AD, "after", at))
    wait_count(cluster, AD, minute, minute + 60, sent + 1)


def test():
    with Cluster(lateness_ms=2000) as c:
        c.start()
        check_ports(c)
        for edge in c.edges.values():
            home = ask(c, edge, "/v1/home")
            expect(home.status == 200 and home.json == {"home": edge.region}, f"home: {home.body}")
        at = int(time.time()) // 60 * 60 - 60  # the minute before this one
        sent = send_all(c, at)
        minute = at // 60 * 60
        wait_count(c, AD, minute, minute + 60, sent)
        wait_count(c, f"{AD}-twin", minute, minute + 60, 6)
        step(f"{sent} counted, and 6 of another ad with the same ids")
        check_windows(c, at, sent, 98)
        clean_stops(c, at, sent)


tell(test)
