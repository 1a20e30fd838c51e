# SPDX-License-Identifier: Apache-2.0
"""b22: the contract: every path, parameter and problem of openapi.yaml, each answer held against it."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import gzip
import json
import socket
import ssl
import subprocess
import time

from contract import Contract
from e2e import Answer, Cluster, ask, click, expect, step, tell, wait_for, zstd_raw
from tiers import write_private

AD = f"b22-{os.urandom(4).hex()}"
# Where they are exercised: what a story of half a minute cannot bring about.
ELSEWHERE = {
    "('problem', 'edge', 'overloaded')": "tests/unit/run/test_h2_limits.c",
    "('problem', 'edge', 'spool_full')": "tests/e2e/d10_spool_full.py",
    "('problem', 'globe', 'store_unavailable')": "tests/unit/global/test_global_http_answer.c",
    "('status', 'edge_overloaded')": "tests/unit/run/test_h2_limits.c",
    "('status', '/', 'get', '503')": "tests/unit/run/test_h2_limits.c",
    "('status', '/v1/ads', 'get', '503')": "tests/unit/global/test_global_http_answer.c",
    "('status', '/v1/balance', 'get', '503')": "tests/unit/global/test_global_http_answer.c",
    "('status', '/v1/watermarks', 'get', '503')": "tests/unit/global/test_global_http_answer.c",
}
GLOBE_PATHS = ("/v1/stats", "/v1/top", "/v1/ads", "/v1/balance", "/v1/watermarks", "/v1/stream")


class Story:
    """A cluster, its contract and the tokens."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.contract = Contract()
        self.tokens = {}

    def make_tokens(self):
        c = self.cluster
        files = [os.path.join(c.folder, name) for name in ("globe.tokens", "globe.tokens.key")]
        for name, words in (("all", ["--ads", "*"]), ("second", ["--ads", "*"]), ("third", ["--ads", "*"]), ("admin", ["--scope", "admin"]),
                            ("slow", ["--ads", "*", "--rate", "1"])):
            done = subprocess.run([os.path.join(c.bin, "tributary-global"), "token", "create", "--tokens", files[0],
                                   "--key", files[1], *words], capture_output=True, text=True, check=True)
            self.tokens[name] = done.stdout.split()[-1]
        return {"auth": {"tokens_file": files[0], "key_file": files[1]}, "streams": 2, "token_streams": 1}

    def globe(self, path, status=200, problem=None, token="all", query="", method=None, headers=(), **more):
        bearer = [f"authorization: Bearer {self.tokens[token]}"] if token else []
        extra = ["-I"] if method == "HEAD" else []
        answer = ask(self.cluster, self.cluster.globe, path + query, None if extra else method, extra=extra,
                     headers=[*bearer, *headers], **more)
        return self.contract.check(path, method, answer, status, problem)

    def edge(self, path, status, problem=None, method="POST", name="us-e1", **more):
        return self.contract.check(path, method, ask(self.cluster, self.cluster.edges[name], path, method, **more),
                                   status, problem)

    def http1(self, tier, text):
        """Bytes in HTTP/1.1: the connection that waits for what they are answered."""
        host, port = tier.addresses["listen"].rsplit(":", 1)
        context = ssl.create_default_context(cafile=self.cluster.ca)
        context.set_alpn_protocols(["http/1.1"])
        tls = context.wrap_socket(socket.create_connection((host, int(port)), 30), server_hostname=host)
        tls.sendall(text.encode())
        return tls

    @staticmethod
    def http1_answer(tls):
        with tls, tls.makefile("rb") as answer:
            status = int(answer.readline().split()[1])
            headers = dict(line.decode().strip().lower().split(": ", 1) for line in iter(answer.readline, b"\r\n"))
            return Answer(status, headers, answer.read(int(headers["content-length"])).decode())

    def stalled(self, tier, path):
        return self.http1(tier, f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                                "content-length: 10\r\n\r\n")

    def bad_http1(self):
        """What HTTP/1.1 can get wrong before there is a path."""
        for name, tier in (("edge", self.cluster.edges["us-e1"]), ("globe", self.cluster.globe)):
            schema = {"$ref": f"#/components/schemas/{name}_problem"}
            for text, problem in (("GET /v1/home HTTP/1.1\r\n\r\n", "bad_request"),
                                  ("GET /v1/home HTTP/3.0\r\nhost: x\r\n\r\n", "http_version"),
                                  ("BREW /v1/home HTTP/1.1\r\nhost: x\r\n\r\n", "method_unknown")):
                answer = self.http1_answer(self.http1(tier, text))
                self.contract.validate(answer.json, schema, f"{name}: {problem}")
                expect(answer.json["type"].endswith(f":{problem}"), f"{name}, {problem}: {answer.status} {answer.body}")
                self.contract.touched.add(("problem", name, problem))


def good_clicks(s, at):
    clicks = [click(AD, f"user-{i}", at, click_id=f"c{i}") for i in range(3)]
    s.edge("/v1/clicks", 202, body=json.dumps(clicks), headers=["idempotency-key: k1", "origin: https://shop.example"])
    s.edge("/v1/clicks", 202, body=json.dumps(clicks[0]), headers=["prefer: return=representation"])
    others = [click(f"{AD}-{i}", "u", at) for i in range(40)]  # so that no partition is without a click of the minute
    s.edge("/v1/clicks", 202, body=json.dumps(others))
    mixed = "\n".join(json.dumps(one) for one in (click(f"{AD}-other", "u", at), click(AD, "u", 5)))
    s.edge("/v1/clicks", 202, body=mixed, headers=["content-type: application/x-ndjson"])
    s.edge("/v1/clicks", 202, body=gzip.compress(json.dumps(clicks[1]).encode()), headers=["content-encoding: gzip"])
    s.edge("/v1/clicks", 202, body=zstd_raw(json.dumps(clicks[2]).encode()), headers=["content-encoding: zstd"])
    s.edge("/v1/clicks", 202, body=json.dumps(clicks[2]), headers=["content-encoding: identity"])
    for name in ("Idempotency-Key", "Prefer"):
        s.contract.parameter("/v1/clicks", name, "")
    for value in ("gzip", "zstd", "identity"):
        s.contract.parameter("/v1/clicks", "Content-Encoding", value)
    s.edge("/v1/clicks", 204, method="OPTIONS", headers=["origin: https://shop.example",
                                                         "access-control-request-method: POST"])
    s.edge("/v1/home", 200, method=None)


def bad_clicks(s, at):
    good = json.dumps(click(AD, "u", at))
    for body, status, problem, headers in (
            ("{", 400, "invalid_json", []), ("5", 400, "not_object", []), ("[]", 400, "batch_empty", []),
            (json.dumps(click(AD, "u", 5)), 400, "clicks_refused", []),
            (good, 400, "idempotency_key_invalid", ["idempotency-key;"]),
            (good, 400, "content_encoding_invalid", ["content-encoding: gzip"]),
            (good, 415, "content_encoding_unknown", ["content-encoding: br"]),
            (good, 415, "content_type_unknown", ["content-type: text/html"]),
            (json.dumps([click(AD, "u", at)] * 51), 413, "batch_too_large", []),
            ("[" + " " * 110000 + "]", 413, "body_too_large", []),
            (gzip.compress(b"[" + b" " * 90000 + b"]"), 413, "body_too_dense", ["content-encoding: gzip"]),
            (good, 431, "headers_too_large", [f"x-{i}: 1" for i in range(70)]),
            (good, 400, "bad_header", ["x-bad: a\x01b"])):
        s.edge("/v1/clicks", status, problem, body=body, headers=headers)
    s.edge("/v1/clicks", 405, "method_not_allowed", method="PUT")
    s.edge("/v1/home", 405, "method_not_allowed", method="PUT")
    s.edge("/v1/home", 400, "bad_header", method=None, headers=["x-bad: a\x01b"])
    s.edge("/v1/home", 413, "body_too_large", method=None, body=" " * 110000)
    s.edge("/v1/home", 431, "headers_too_large", method=None, headers=[f"x-{i}: 1" for i in range(70)])
    unknown = ask(s.cluster, s.cluster.edges["us-e1"], "/v2/clicks")
    expect(unknown.status == 404 and unknown.json["type"].endswith(":path_unknown"), unknown.body)
    s.contract.touched.add(("problem", "edge", "path_unknown"))
    for path, method, body in (("/v1/home", None, None), ("/v1/clicks", "POST", good)):
        limited = lambda p=path, m=method, b=body: ask(s.cluster, s.cluster.edges["us-e2"], p, m, b)
        wait_for("the address to be over its rate", lambda ask_it=limited: ask_it().status == 429, 10, 0.01)
        s.edge(path, 429, "rate_limited", method=method, name="us-e2", body=body)


def queries(at):
    """path, query, the parameters in it with the values that the contract lists."""
    span = f"start={at}&end={at + 60}"
    for window, seconds in (("1m", 60), ("5m", 300), ("1h", 3600), ("1d", 86400)):
        start = at // seconds * seconds
        yield "/v1/stats", f"?ad_id={AD}&window={window}&start={start}&end={start + seconds}", {"window": window}
    yield "/v1/stats", f"?ad_id={AD}&ad_id={AD}-other&window=1m&{span}", {"ad_id": "", "start": "", "end": ""}
    day = (at + 19800) // 86400 * 86400 - 19800
    yield "/v1/stats", f"?ad_id={AD}&window=1d&tz=Asia/Kolkata&start={day}&end={day + 86400}", {"tz": ""}
    for value in ("eventual", "complete"):
        yield "/v1/stats", f"?ad_id={AD}&window=1m&{span}&consistency={value}", {"consistency": value}
        yield "/v1/top", f"?{span}&consistency={value}", {"consistency": value, "start": "", "end": ""}
    for value in ("zero", "none"):
        yield "/v1/stats", f"?ad_id={AD}&window=1m&{span}&fill={value}", {"fill": value}
    yield "/v1/top", f"?{span}&limit=1", {"limit": ""}
    yield "/v1/ads", f"?prefix={AD[:4]}&limit=1", {"prefix": "", "limit": ""}
    yield "/v1/balance", "", {}
    yield "/v1/watermarks", "", {}
    yield "/", "", {}


def good_queries(s, at):
    for path, query, parameters in queries(at):
        answer = s.globe(path, query=query, token="admin" if path == "/v1/balance" else "all")
        for name, value in parameters.items():
            s.contract.parameter(path, name, value)
        if path not in ("/v1/balance", "/v1/watermarks"):
            tag = answer.headers["etag"].replace("w/", "W/")
            s.globe(path, 304, query=query, headers=[f"if-none-match: {tag}"])
            s.globe(path, 200, query=query, method="HEAD")
    base = f"?ad_id={AD}&ad_id={AD}-other&window=1m&start={at}&end={at + 60}"
    for kind in ("application/x-ndjson", "text/csv"):
        rows = s.globe("/v1/stats", query=base + "&limit=1", headers=[f"accept: {kind}"])
        s.globe("/v1/stats", query=f"{base}&limit=1&cursor={rows.headers['tributary-next']}", headers=[f"accept: {kind}"])
        s.globe("/v1/top", query=f"?start={at}&end={at + 60}", headers=[f"accept: {kind}"])
    page = s.globe("/v1/ads", query="?limit=1").json
    s.globe("/v1/ads", query=f"?cursor={page['next']}")
    long = f"?ad_id={AD}&window=1m&start={at}&end={at + 3600}"
    packed = ask(s.cluster, s.cluster.globe, "/v1/stats" + long, extra=["--compressed"],
                 headers=[f"authorization: Bearer {s.tokens['all']}"])
    s.contract.check("/v1/stats", None, packed, 200)
    expect(packed.headers.get("content-encoding") in ("gzip", "zstd"), f"not packed: {packed.headers}")
    for path, name in (("/v1/stats", "limit"), ("/v1/stats", "cursor"), ("/v1/ads", "cursor")):
        s.contract.parameter(path, name, "")


def bad_queries(s, at):
    base = f"?ad_id={AD}&window=1m&start={at}&end={at + 60}"
    span = f"?start={at}&end={at + 60}"
    for path in GLOBE_PATHS:
        token = "admin" if path == "/v1/balance" else "all"
        query = {"/v1/stats": base, "/v1/top": span, "/v1/stream": f"?ad_id={AD}"}.get(path, "")
        s.globe(path, 400, "bad_parameter", token, query="?nothing=1")
        s.globe(path, 401, "unauthorized", None, query=query)
        s.globe(path, 405, "method_not_allowed", token, method="DELETE")
        if path != "/v1/stream":
            s.globe(path, 406, "not_acceptable", token, query=query, headers=["accept: image/png"])
        if path != "/v1/watermarks":
            s.globe(path, 403, "forbidden", "all" if token == "admin" else "admin", query=query)
        s.globe(path, None, None, "slow", query=query, method="HEAD" if path == "/v1/stream" else None)
        s.globe(path, 429, "rate_limited", "slow", query=query)
    s.globe("/v1/stats", 406, "not_acceptable", query=base, headers=["accept-encoding: identity;q=0"])
    ahead = f"start={at + 86400}&end={at + 86460}"
    s.globe("/v1/stats", 409, "not_complete", query=f"?ad_id={AD}&window=1m&{ahead}&consistency=complete")
    s.globe("/v1/top", 409, "not_complete", query=f"?{ahead}&consistency=complete")
    long_ago = "start=86400&end=86460"
    s.globe("/v1/stats", 410, "range_retired", query=f"?ad_id={AD}&window=1m&{long_ago}")
    s.globe("/v1/top", 410, "range_retired", query=f"?{long_ago}")
    for path, query in (("/v1/stats", base), ("/v1/top", span)):
        s.globe(path, 409, "not_settled", query=query + "&consistency=final")
        s.contract.parameter(path, "consistency", "final")  # no day is settled yet: this is its answer
    s.globe("/", 405, "method_not_allowed", method="DELETE")
    s.globe("/", 400, "bad_header", headers=["x-bad: a\x01b"])
    s.globe("/v1/stats", 413, "body_too_large", method="POST", body=" " * 5000)
    s.globe("/v1/ads", 431, "headers_too_large", headers=[f"x-{i}: 1" for i in range(70)])
    unknown = ask(s.cluster, s.cluster.globe, "/v1/nothing")
    expect(unknown.status == 404 and unknown.json["type"].endswith(":not_found"), unknown.body)
    s.contract.touched.add(("problem", "globe", "not_found"))


def follow(s):
    """Streams: what the first event says, and one more than there may be."""
    c = s.cluster
    open_one = lambda token, *more: subprocess.Popen(
        ["curl", "-sSN", "--http2", "--max-time", "20", "--cacert", c.ca, "-D", "-", "-H",
         f"authorization: Bearer {s.tokens[token]}", *more,
         f"https://{c.globe.addresses['listen']}/v1/stream?ad_id={AD}&minutes=5"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with open_one("all") as first, open_one("second", "-H", "last-event-id: 0123456789abcdef") as second:
        for child in (first, second):
            status = child.stdout.readline().decode()
            headers = dict(line.decode().strip().lower().split(": ", 1) for line in iter(child.stdout.readline, b"\r\n"))
            event = dict(line.decode().strip().split(": ", 1) for line in iter(child.stdout.readline, b"\n"))
            s.contract.check("/v1/stream", None, Answer(int(status.split()[1]), headers, ""), 200)
            expect(event["event"] == "counts" and json.loads(event["data"])["ads"][0]["ad_id"] == AD, f"{event}")
            s.contract.validate(json.loads(event["data"]), {"$ref": "#/components/schemas/standing"}, "an event")
        s.globe("/v1/stream", 429, "too_many_streams", query=f"?ad_id={AD}")
        s.globe("/v1/stream", 503, "overloaded", "third", query=f"?ad_id={AD}")
        for child in (first, second):
            child.terminate()
    for name in ("ad_id", "minutes", "Last-Event-ID"):
        s.contract.parameter("/v1/stream", name, "")


def unrecorded_reads(s, at, auth):
    c = s.cluster
    c.globe.stop()
    c.globe.changes = {"auth": {**auth["auth"], "read_log": "/dev/full"}}
    c.globe.start()
    span = f"start={at}&end={at + 60}&consistency=complete"
    s.globe("/v1/stats", 503, "read_log_unavailable", query=f"?ad_id={AD}&window=1m&{span}")
    s.globe("/v1/top", 503, "read_log_unavailable", query=f"?{span}")


def test():
    with Cluster(topology={"us": {"edges": ["us-e1", "us-e2"], "replicas": ["us-r1"]}}, lateness_ms=2000) as c:
        s = Story(c)
        auth = s.make_tokens()
        c.globe.changes = auth
        c.edges["us-e1"].changes = {"limits": {"batch_clicks": 50, "body_bytes": 100000, "body_ratio": 2},
                                    "cors": {"origins": ["https://shop.example"]}}
        c.edges["us-e2"].changes = {"limits": {"peer_requests_per_s": 1, "peer_requests_burst": 2}}
        c.start()
        at = int(time.time()) // 60 * 60 - 60
        good_clicks(s, at)
        stalled = [(s.stalled(c.edges["us-e1"], "/v1/clicks"), "/v1/clicks"),
                   (s.stalled(c.edges["us-e1"], "/v1/home"), "/v1/home"), (s.stalled(c.globe, "/v1/stats"), "/v1/stats")]
        bad_clicks(s, at)
        step("the edge's part")
        stats = f"?ad_id={AD}&window=1m&start={at}&end={at + 60}"
        point = lambda: s.globe("/v1/stats", query=stats).json["data"][0]
        wait_for("the minute to be counted and complete",
                 lambda: point()["complete"] and point()["click_count"] == 3, 30, 0.2)
        top = lambda: s.globe("/v1/top", query=f"?start={at}&end={at + 60}").json["complete"]
        wait_for("the minute to be complete in every partition", top, 30, 0.2)
        names = lambda: len(s.globe("/v1/ads", query=f"?prefix={AD}").json["ads"]) == 42
        wait_for("the names of all ads", names, 20, 0.2)
        good_queries(s, at)
        bad_queries(s, at)
        for tls, path in stalled:
            s.contract.check(path, "POST", s.http1_answer(tls), 408, "stalled")
        s.bad_http1()
        follow(s)
        step("the globe's part")
        unrecorded_reads(s, at, auth)
        c.nats["us"].stop()
        s.edge("/v1/clicks", 503, "durability_not_reached", body=json.dumps(click(AD, "late", at)),
               headers=["prefer: durability=replicated"])
        left = [what for what in s.contract.untouched() if what not in ELSEWHERE]
        expect(not left, f"{len(left)} of the contract untouched: " + "; ".join(left))
        stale = [what for what in ELSEWHERE if what not in s.contract.untouched()]
        expect(not stale, f"exercised here after all: {stale}")
        step(f"{len(set(s.contract.expected()))} things of the contract exercised, but {len(ELSEWHERE)} elsewhere")
        write_private(os.path.join(c.folder, "done"), "")


tell(test)
