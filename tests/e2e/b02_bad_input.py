# SPDX-License-Identifier: Apache-2.0
"""b02: bad input of every kind: a clear answer each, nothing of it stored, nothing else hurt."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import json
import socket
import ssl
import subprocess
import time

from e2e import Cluster, ROOT, ask, click, expect, step, tell, wait_count
from tiers import write_private, yaml

NOW = int(time.time())
AD = f"b02-{os.urandom(4).hex()}"
GOOD = click(AD, "u", NOW)


def but(**changes):
    """A good click with changes; None takes the field away."""
    changed = {**GOOD, **changes}
    return json.dumps({key: value for key, value in changed.items() if value is not None})


def raw(text):
    """A click whose timestamp is given as JSON text."""
    return but(timestamp="@").replace('"@"', text)


# name, body, status, what the problem must say
CLICKS = [
    ("empty body", "", 400, None),
    ("not JSON", "hello", 400, "invalid_json"),
    ("half a document", but()[:-1], 400, "invalid_json"),
    ("two documents", but() + " " + but(), 400, None),
    ("a scalar", "5", 400, None),
    ("ad_id of the wrong type", but(ad_id=7), 400, "ad_id"),
    ("user_id of the wrong type", but(user_id=["u"]), 400, "user_id"),
    ("timestamp of the wrong type", but(timestamp="now"), 400, "timestamp"),
    ("no ad_id", but(ad_id=None), 400, "ad_id"),
    ("no user_id", but(user_id=None), 400, "user_id"),
    ("no timestamp", but(timestamp=None), 400, "timestamp"),
    ("empty ad_id", but(ad_id=""), 400, "ad_id"),
    ("over-long ad_id", but(ad_id="a" * 129), 400, "ad_id"),
    ("over-long user_id", but(user_id="ü" * 65), 400, "user_id"),
    ("over-long click_id", but(click_id="c" * 129), 400, "click_id"),
    ("timestamp negative", raw("-5"), 400, "timestamp"),
    ("timestamp fractional", raw(f"{NOW}.5"), 400, "timestamp"),
    ("timestamp with exponent", raw("1e9"), 400, "timestamp"),
    ("timestamp in the future", but(timestamp=NOW + 400), 400, "timestamp"),
    ("timestamp too old", but(timestamp=NOW - 25 * 3600), 400, "timestamp"),
    ("timestamp huge", raw("9" * 30), 400, "timestamp"),
    ("bad UTF-8", but().encode().replace(b'"u"', b'"\xff\xfe"'), 400, None),
    ("overlong UTF-8", but().encode().replace(b'"u"', b'"\xc0\xaf"'), 400, None),
    ("lone surrogate", but().replace('"u"', '"\\ud800"'), 400, None),
    ("raw control character", but().replace('"u"', '"a\nb"'), 400, None),
    ("duplicate key", but()[:-1] + ', "ad_id": "other"}', 400, None),
    ("unknown home", but(home="mars"), 400, "home"),
    ("bad ip_address", but(ip_address="300.1.2.3"), 400, "ip_address"),
    ("nested 100 deep", but()[:-1] + ', "x": ' + "[" * 100 + "]" * 100 + "}", 400, None),
    ("batch of 0", "[]", 400, "batch_empty"),
    ("batch of 10,001", "[" + ",".join([but()] * 10001) + "]", 413, "batch_too_large"),
    ("body of 10 MB", "[" + ",".join([but()] * 110000) + "]", 413, None),
]


def bad_clicks(cluster):
    edge = cluster.edges["us-e1"]
    for name, body, status, words in CLICKS:
        answer = ask(cluster, edge, "/v1/clicks", "POST", body)
        expect(answer.status == status, f"{name}: {answer.status} instead of {status}: {answer.body[:300]}")
        expect(answer.headers.get("content-type") == "application/problem+json", f"{name}: {answer.headers}")
        problem = answer.json
        expect(problem["status"] == status and problem["title"], f"{name}: {problem}")
        expect(words is None or words in answer.body, f"{name}: says nothing of {words}: {answer.body[:300]}")
    step(f"{len(CLICKS)} bad bodies refused")


def bad_requests(cluster):
    edge = cluster.edges["us-e1"]
    for name, path, method, headers, status in [
            ("wrong method", "/v1/clicks", "PUT", [], 405),
            ("GET of clicks", "/v1/clicks", "GET", [], 405),
            ("wrong path", "/v2/clicks", "POST", [], 404),
            ("POST of home", "/v1/home", "POST", [], 405),
            ("wrong content type", "/v1/clicks", "POST", ["content-type: text/html"], 415),
            ("compressed in an unknown way", "/v1/clicks", "POST", ["content-encoding: br"], 415),
            ("empty Idempotency-Key", "/v1/clicks", "POST", ["idempotency-key;"], 400),
            ("over-long Idempotency-Key", "/v1/clicks", "POST", ["idempotency-key: " + "k" * 129], 400),
            ("header block too large", "/v1/clicks", "POST", [f"x-{i}: " + "v" * 4000 for i in range(8)], 431)]:
        answer = ask(cluster, edge, path, method, None if method == "GET" else but(), headers)
        expect(answer.status == status, f"{name}: {answer.status} instead of {status}: {answer.body[:300]}")
        expect(status != 405 or "allow" in answer.headers, f"{name}: no Allow")


def good_among_bad(cluster):
    edge = cluster.edges["us-e1"]
    batch = [{**GOOD, "click_id": f"good-{i}"} for i in range(100)]
    batch[42] = {**batch[42], "user_id": 5}
    answer = ask(cluster, edge, "/v1/clicks", "POST", json.dumps(batch))
    expect(answer.status == 202, f"one bad among 99 good: {answer.status} {answer.body[:300]}")
    told = answer.json
    expect((told["accepted"], told["refused"]) == (99, 1), f"{told}")
    expect([(r["index"], r["field"]) for r in told["refusals"]] == [(42, "user_id")], f"{told}")
    lines = but(click_id="line-1") + "\n{bad\n\n" + but(click_id="line-2") + "\n"
    answer = ask(cluster, edge, "/v1/clicks", "POST", lines, ["content-type: application/x-ndjson"])
    expect(answer.status == 202 and answer.json["accepted"] == 2, f"bad line: {answer.status} {answer.body[:300]}")
    answer = ask(cluster, edge, "/v1/clicks", "POST", but(click_id="extra", colour="red", deep={"a": [1, {}]}))
    expect(answer.status == 202, f"unknown keys: {answer.status} {answer.body[:300]}")
    return 99 + 2 + 1


def bad_queries(cluster):
    minute = NOW // 60 * 60
    base = {"ad_id": AD, "window": "1m", "start": minute - 60, "end": minute}
    for name, change, words in [
            ("unknown window", {"window": "2m"}, "window"),
            ("no window", {"window": None}, "window"),
            ("no ad_id", {"ad_id": None}, "ad_id"),
            ("empty ad_id", {"ad_id": ""}, "ad_id"),
            ("start after end", {"start": minute + 60}, "start"),
            ("start is end", {"start": minute}, "start"),
            ("unaligned start", {"start": minute - 59}, "start"),
            ("unaligned end", {"end": minute + 1}, "end"),
            ("start that is no number", {"start": "yesterday"}, "start"),
            ("negative start", {"start": -60}, "start"),
            ("span over the limit", {"start": minute - 60 * 10081}, None),
            ("unknown parameter", {"colour": "red"}, "colour"),
            ("bad percent-encoding", {"ad_id": "%zz"}, "ad_id"),
            ("ad_id that is not UTF-8", {"ad_id": "%ff%fe"}, "ad_id"),
            ("unknown consistency", {"consistency": "maybe"}, "consistency")]:
        query = "&".join(f"{key}={value}" for key, value in {**base, **change}.items() if value is not None)
        answer = ask(cluster, cluster.globe, f"/v1/stats?{query}")
        expect(answer.status == 400, f"{name}: {answer.status} {answer.body[:300]}")
        expect(answer.headers.get("content-type") == "application/problem+json", f"{name}: {answer.headers}")
        expect(words is None or words in answer.body, f"{name}: says nothing of {words}: {answer.body[:300]}")
    query = "&".join(f"{key}={value}" for key, value in base.items())
    expect(ask(cluster, cluster.globe, f"/v1/stats?{query}&start=0").status == 400, "repeated parameter")
    expect(ask(cluster, cluster.globe, f"/v1/stats?{query}", "DELETE").status == 405, "wrong method")
    expect(ask(cluster, cluster.globe, "/v1/nothing").status == 404, "wrong path")
    expect(ask(cluster, cluster.globe, f"/v1/stats?{query}").status == 200, "and a good query")
    step("bad queries refused")


def bad_connections(cluster):
    for tier in (cluster.edges["us-e1"], cluster.globe):
        host, port = tier.addresses["listen"].rsplit(":", 1)
        with socket.create_connection((host, int(port)), 10) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            text = plain.recv(4096).decode(errors="replace")
        expect(text.startswith("HTTP/1.1 400") and "TLS" in text, f"{tier.name}: plain HTTP: {text!r}")
        context = ssl.create_default_context(cafile=cluster.ca)
        context.set_alpn_protocols(["spdy/3"])
        try:
            with socket.create_connection((host, int(port)), 10) as tcp:
                with context.wrap_socket(tcp, server_hostname=host) as tls:
                    tls.recv(1)
            expect(False, f"{tier.name}: took a client that speaks neither protocol")
        except (ssl.SSLError, ConnectionError):
            pass
    # Client certificates: required where an authority is named, and no other is taken.
    edge = cluster.edges["us-e2"]
    subprocess.run([os.path.join(ROOT, "infra/certs/make_certs.sh"), cluster.certs, "client"], check=True)
    stranger = os.path.join(cluster.folder, "stranger")
    subprocess.run([os.path.join(ROOT, "infra/certs/make_certs.sh"), stranger, "client"], check=True)
    edge.stop()
    edge.changes = {"tls": {"certificate_file": cluster.certificate, "key_file": cluster.key,
                            "client_ca_file": cluster.ca}}
    edge.start()
    pair = lambda folder: ("--cert", f"{folder}/client.pem", "--key", f"{folder}/client.key")
    for name, extra, status in (("none", (), 0), ("a stranger's", pair(stranger), 0), ("ours", pair(cluster.certs), 200)):
        answer = ask(cluster, edge, "/v1/home", extra=extra)
        expect(answer.status == status, f"client certificate, {name}: {answer.status} {answer.body[:200]}")
    step("bad connections refused")


def bad_configurations(cluster):
    for tier in (cluster.edges["us-e1"], cluster.replicas["us-r1"], cluster.globe):
        good = tier.settings()
        path = os.path.join(cluster.folder, "bad.yaml")

        def run(settings, text=None, mode=0o600, tier=tier, path=path):
            write_private(path, text if text is not None else yaml(settings) + "\n")
            os.chmod(path, mode)
            done = subprocess.run([tier.binary, "--config", path, "--check-config"], capture_output=True, text=True,
                                  timeout=30, check=False)
            return done.returncode, done.stdout + done.stderr

        expect(run(good)[0] == 0, f"{tier.name}: a good configuration: {run(good)}")
        for name, answer, words in [
                ("unknown key", run({**good, "colour": "red"}), "colour"),
                ("not YAML", run(None, "a: [b\n"), "bad.yaml"),
                ("missing key", run({key: value for key, value in good.items() if key != "store" and key != "spool"}),
                 "store" if "store" in good else "spool"),
                ("wrong type", run({**good, "admin_listen": ["a"]}), "admin_listen"),
                ("bad address", run({**good, "admin_listen": "nowhere"}), "admin_listen")]:
            code, text = answer
            expect(code == 78 and words in text, f"{tier.name}: {name}: exit {code}: {text[:300]}")
        done = subprocess.run([tier.binary, "--config", path + ".absent"], capture_output=True, text=True,
                              timeout=30, check=False)
        expect(done.returncode == 78, f"{tier.name}: absent configuration: exit {done.returncode}")
        if "tls" in good:
            open_key = os.path.join(cluster.folder, "open.key")
            write_private(open_key, open(cluster.key, encoding="ascii").read())
            os.chmod(open_key, 0o644)
            code, text = run({**good, "tls": {**good["tls"], "key_file": open_key}})
            expect(code == 78 and "open.key" in text, f"{tier.name}: key file readable by all: exit {code}: {text[:300]}")
        for option in ("--help", "--version"):
            done = subprocess.run([tier.binary, option], capture_output=True, text=True, timeout=30, check=False)
            expect(done.returncode == 0 and done.stdout, f"{tier.name} {option}: exit {done.returncode}")
        done = subprocess.run([tier.binary, "--colour"], capture_output=True, text=True, timeout=30, check=False)
        expect(done.returncode == 64, f"{tier.name}: unknown option: exit {done.returncode}")
    step("bad configurations refused")


def test():
    with Cluster() as c:
        c.start()
        bad_clicks(c)
        bad_requests(c)
        good = good_among_bad(c)
        bad_queries(c)
        minute = NOW // 60 * 60
        wait_count(c, AD, minute, minute + 60, good)
        step(f"only the {good} good clicks are counted")
        bad_connections(c)
        bad_configurations(c)
        expect(all(p.alive() for p in c.everything()), "something has ended by itself")


tell(test)
