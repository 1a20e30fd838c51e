# SPDX-License-Identifier: Apache-2.0
"""b06: senders without HTTP/2: Python's http.client and urllib, requests, curl, nginx as a proxy; a click that comes by
HTTP/1.1 and again by HTTP/2 is one, through restarts too; what smuggles is refused; `http1: false` lets none of them in."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import gzip
import http.client
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
import urllib.request

from e2e import Cluster, Failure, ask, click, expect, step, tell, wait_count, wait_for
from process import Process, listens
from r3 import free_ports

RUN = os.urandom(4).hex()
AD = f"b06-{RUN}"
AT = int(time.time()) // 60 * 60 - 60
JSON = {"Content-Type": "application/json"}


class Sent:
    """What was accepted, for sending it again and for counting it."""

    def __init__(self):
        self.clicks = []
        self.lock = threading.Lock()

    def new(self, who, count=1):
        with self.lock:
            begin = len(self.clicks)
            made = [click(AD, f"user-{i}", AT, click_id=f"{RUN}-{who}-{i}") for i in range(begin, begin + count)]
            self.clicks += made
        return made


def context_of(cluster, protocols=("http/1.1",)):
    context = ssl.create_default_context(cafile=cluster.ca)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def connect(cluster, tier):
    return http.client.HTTPSConnection(tier.addresses["listen"], timeout=20, context=context_of(cluster))


def post(connection, body, headers=(), path="/v1/clicks"):
    connection.request("POST", path, body, {**JSON, **dict(headers)})
    answer = connection.getresponse()
    text = answer.read().decode()
    expect(answer.status == 202, f"{answer.status} {text[:300]}")
    return json.loads(text)


def by_http_client(cluster, sent):
    edge = cluster.edges["us-e1"]
    connection = connect(cluster, edge)
    for made in sent.new("client", 20):
        expect(post(connection, json.dumps(made))["accepted"] == 1, "one")
    expect(post(connection, json.dumps(sent.new("array", 50)))["accepted"] == 50, "an array")
    lines = "".join(json.dumps(made) + "\n" for made in sent.new("lines", 30)).encode()
    pieces = (lines[i:i + 100] for i in range(0, len(lines), 100))
    expect(post(connection, pieces, {"Content-Type": "application/x-ndjson"})["accepted"] == 30, "chunks")
    packed = gzip.compress(json.dumps(sent.new("gzip", 10)).encode())
    expect(post(connection, packed, {"Content-Encoding": "gzip"})["accepted"] == 10, "gzip")
    connection.request("GET", "/v1/home")
    answer = connection.getresponse()
    expect(json.loads(answer.read()) == {"home": "us"}, "home")
    connection.request("HEAD", "/v1/home")
    answer = connection.getresponse()
    expect(answer.status in (200, 405) and answer.read() == b"", f"HEAD: {answer.status}")
    connection.request("PUT", "/v1/clicks", b"{}", JSON)
    answer = connection.getresponse()
    expect(answer.status == 405 and json.loads(answer.read())["status"] == 405, f"PUT: {answer.status}")
    connection.request("GET", "/nowhere")
    answer = connection.getresponse()
    expect(answer.status == 404 and answer.read() and not answer.will_close, f"unknown path: {answer.status}")
    expect(connection.sock is not None, "the connection did not last")
    connection.close()
    step("http.client: single, array, chunks, gzip, on one connection")


def by_others(cluster, sent):
    edge = cluster.edges["us-e1"]
    url = f"https://{edge.addresses['listen']}/v1/clicks"
    request = urllib.request.Request(url, json.dumps(sent.new("urllib", 3)).encode(), JSON)
    with urllib.request.urlopen(request, timeout=20, context=context_of(cluster, ())) as answer:
        expect(answer.status == 202, f"urllib: {answer.status}")
    try:
        import requests  # pylint: disable=import-outside-toplevel
        with requests.Session() as session:
            session.verify = cluster.ca
            session.trust_env = False
            for made in sent.new("requests", 5):
                answer = session.post(url, json=made, timeout=20)
                expect(answer.status_code == 202, f"requests: {answer.status_code} {answer.text[:200]}")
    except ImportError:
        step("SKIPPED: python3-requests is not installed")
    for name, extra in (("curl", []), ("expecting", ["-H", "Expect: 100-continue"]), ("no-alpn", ["--no-alpn"])):
        done = subprocess.run(["curl", "-sS", "--http1.1", "--max-time", "20", "--cacert", cluster.ca, "-w",
                               "\n%{http_code} %{http_version}", "-H", "content-type: application/json", *extra,
                               "--data-binary", "@-", url], input=json.dumps(sent.new(name, 200)), text=True,
                              capture_output=True, check=False)
        expect(done.stdout.endswith("\n202 1.1"), f"{name}: {done.stdout[-300:]} {done.stderr}")
    by_node(cluster, sent, url)
    step("urllib, requests, curl: with Expect, without ALPN")


def by_node(cluster, sent, url):
    if shutil.which("node") is None:
        step("SKIPPED: node is not installed")
        return
    script = """
        const body = require("fs").readFileSync(0, "utf8");
        const one = click => fetch(process.argv[1], {method: "POST", body: JSON.stringify(click),
            headers: {"content-type": "application/json"}}).then(answer => answer.status);
        Promise.all(JSON.parse(body).map(one)).then(all => console.log(all.filter(status => status === 202).length));
    """
    done = subprocess.run(["node", "-e", script, url], input=json.dumps(sent.new("node", 20)), text=True, timeout=30,
                          capture_output=True, check=False, env={**os.environ, "NODE_EXTRA_CA_CERTS": cluster.ca})
    expect(done.stdout.strip() == "20", f"node: {done.stdout[:200]} {done.stderr[-300:]}")


class Nginx(Process):
    """A proxy before one edge, with kept connections to it."""

    def __init__(self, cluster, edge):
        super().__init__("nginx", cluster.folder)
        self.port = free_ports(1)[0]
        self.root = os.path.join(cluster.folder, "nginx")
        os.mkdir(self.root)
        self.text = f"""
daemon off; master_process off; pid {self.root}/pid; error_log {self.root}/error.log warn;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {self.root}/body; proxy_temp_path {self.root}/proxy; fastcgi_temp_path {self.root}/fastcgi;
    uwsgi_temp_path {self.root}/uwsgi; scgi_temp_path {self.root}/scgi; access_log off; client_max_body_size 16m;
    upstream edge {{ server {edge.addresses['listen']}; keepalive 8; }}
    server {{
        listen 127.0.0.1:{self.port};
        location / {{
            proxy_pass https://edge; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_set_header Host tributary; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_ssl_trusted_certificate {cluster.ca}; proxy_ssl_verify on; proxy_ssl_name localhost;
            proxy_ssl_protocols TLSv1.2 TLSv1.3;
        }}
    }}
}}
"""

    def prepare(self):
        with open(os.path.join(self.root, "nginx.conf"), "w", encoding="utf-8") as file:
            file.write(self.text)

    def command(self):
        return [nginx_program(), "-e", f"{self.root}/error.log", "-c", os.path.join(self.root, "nginx.conf")]

    def is_ready(self):
        return listens(self.pid, self.port)


def nginx_program():
    return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")


def counter(edge, name, **labels):
    wanted = name + "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}"
    return edge.metrics().get(wanted, 0)


def by_nginx(cluster, sent):
    edge = cluster.edges["us-e2"]
    if nginx_program() is None:
        step("SKIPPED: nginx is not installed")
        return
    name = "tributary_edge_connections_by_protocol_total"
    before = counter(edge, name, protocol="http/1.1")
    nginx = Nginx(cluster, edge)
    nginx.start()
    try:
        front = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=20)
        for made in sent.new("nginx", 200):
            post(front, json.dumps(made))
        expect(post(front, json.dumps(sent.new("nginx", 1000)))["accepted"] == 1000, "a batch through nginx")
        front.close()
    finally:
        nginx.kill()
    opened = counter(edge, name, protocol="http/1.1") - before
    expect(0 < opened <= 8, f"nginx kept no connection: {opened} for 201 requests")
    step(f"nginx as a proxy: 201 requests on {opened:.0f} kept connection(s)")


def until_accepted(cluster, edge, made, deadline):
    """As a careful client: again, with the same click, until it is told that it was accepted."""
    connection = None
    for body in (json.dumps(one) for one in made):
        while True:
            expect(time.monotonic() < deadline, "no answer until the deadline")
            try:
                connection = connection or connect(cluster, edge)
                connection.request("POST", "/v1/clicks", body, JSON)
                answer = connection.getresponse()
                answer.read()
                if answer.status == 202:
                    break
            except (OSError, http.client.HTTPException):
                pass
            if connection:
                connection.close()
            connection = None
            time.sleep(0.02)
    if connection:
        connection.close()


def through_restarts(cluster, sent):
    edge = cluster.edges["us-e1"]
    deadline, failed = time.monotonic() + 25, []

    def run(number):
        try:
            until_accepted(cluster, edge, sent.new(f"restart{number}", 150), deadline)
        except (Failure, OSError) as reason:
            failed.append(str(reason))
    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    expect(edge.stop() == 0, "no clean end")
    edge.start()
    edge.kill()
    edge.start()
    for thread in threads:
        thread.join()
    expect(not failed, f"{failed}")
    step("600 clicks accepted while the edge was stopped once and killed once")


def again_by_http2(cluster, sent):
    edge = cluster.edges["us-e1"]
    for begin in range(0, len(sent.clicks), 1000):
        answer = ask(cluster, edge, "/v1/clicks", "POST", json.dumps(sent.clicks[begin:begin + 1000]))
        expect(answer.status == 202, f"again: {answer.status} {answer.body[:200]}")
    step(f"all {len(sent.clicks)} clicks once more, by HTTP/2")


def raw(cluster, edge, data, protocols=("http/1.1",)):
    """Everything that the edge says to these bytes, up to its end."""
    host, port = edge.addresses["listen"].rsplit(":", 1)
    with socket.create_connection((host, int(port)), 10) as tcp:
        with context_of(cluster, protocols).wrap_socket(tcp, server_hostname=host) as tls:
            tls.sendall(data)
            said = b""
            while True:
                try:
                    piece = tls.recv(65536)
                except ssl.SSLEOFError:
                    return said
                if not piece:
                    return said
                said += piece


def smuggled(cluster):
    edge = cluster.edges["us-e1"]
    hidden = json.dumps(click(f"{AD}-hidden", "u", AT)).encode()
    inner = (b"POST /v1/clicks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
             b"Content-Length: %d\r\n\r\n" % len(hidden)) + hidden
    head = b"POST /v1/clicks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    for kind, data in (
            ("both_lengths", head + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner),
            ("length", head + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(inner) + inner),
            ("coding", head + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + inner),
            ("fold", head + b"X: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner),
            ("line_end", head + b"X: a\n\r\n" + inner),
            ("chunk", head + b"Transfer-Encoding: chunked\r\n\r\n0;\n\r\n\r\n" + inner)):
        said = raw(cluster, edge, data)
        expect(said.startswith(b"HTTP/1.1 400 ") and said.count(b"content-length:") == 1, f"{kind}: {said[:300]}")
        expect(b"connection: close\r\n" in said, f"{kind}: {said[:300]}")
        counted = lambda k=kind: counter(edge, "tributary_edge_http1_refused_total", kind=k)
        wait_for(f"{kind} to be counted", lambda c=counted: c() == 1, 5)
    step("what smuggles is refused, closed and counted")


def not_let_in(cluster):
    edge = cluster.edges["us-e2"]
    edge.stop()
    edge.changes = {"http1": False}
    edge.start()
    for protocols in (("http/1.1",), ()):
        try:
            raw(cluster, edge, b"GET /v1/home HTTP/1.1\r\nHost: x\r\n\r\n", protocols)
            expect(False, f"let in although http1 is false: {protocols}")
        except (ssl.SSLError, ConnectionError):
            pass
    expect(ask(cluster, edge, "/v1/home").status == 200, "HTTP/2 beside it")
    step("http1: false lets none of them in")


def globe_too(cluster):
    connection = connect(cluster, cluster.globe)
    connection.request("GET", f"/v1/stats?ad_id={AD}&window=1m&start={AT}&end={AT + 60}")
    answer = connection.getresponse()
    text = answer.read().decode()
    expect(answer.status == 200 and json.loads(text)["ad_id"] == AD, f"globe: {answer.status} {text[:200]}")
    connection.request("GET", f"/v1/stream?ad_id={AD}&minutes=10")
    answer = connection.getresponse()
    expect(answer.status == 200 and answer.chunked, f"stream: {answer.status} {answer.headers}")
    lines = iter(answer.readline, b"")
    event = next(line for line in lines if line.startswith(b"data:"))
    expect(json.loads(event[5:])["ads"][0]["ad_id"] == AD, f"stream: {event[:200]}")
    connection.close()
    step("the globe answers by HTTP/1.1, and streams")


def test():
    with Cluster(lateness_ms=2000) as cluster:
        cluster.edges["us-e2"].changes = {"proxies": {"forwarded_from": ["127.0.0.0/8"]}}
        cluster.start()
        sent = Sent()
        by_http_client(cluster, sent)
        by_others(cluster, sent)
        by_nginx(cluster, sent)
        through_restarts(cluster, sent)
        smuggled(cluster)
        again_by_http2(cluster, sent)
        wait_count(cluster, AD, AT, AT + 60, len(sent.clicks))
        not_let_in(cluster)
        globe_too(cluster)
        wait_count(cluster, AD, AT, AT + 60, len(sent.clicks), 1)
        wait_count(cluster, f"{AD}-hidden", AT, AT + 60, 0, 1)
        step(f"{len(sent.clicks)} clicks counted, each once")


tell(test)
