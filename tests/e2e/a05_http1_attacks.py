# SPDX-License-Identifier: Apache-2.0
"""a05: HTTP/1.1 clients that hold on by being slow, or send without end: each is let go within 10 s, and honest ones
beside them are served."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import functools
import http.client
import json
import socket
import ssl
import threading
import time

from e2e import Cluster, click, expect, step, tell, wait_count

ONE = {"us": {"edges": ["us-e1"], "replicas": ["us-r1"]}}
SECONDS_MAX = 16  # let go after about 8.5 s; sanitizers on a busy machine take their time
AD = f"a05-{os.urandom(4).hex()}"
POST = b"POST /v1/clicks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@functools.lru_cache
def context_of(ca):
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(["http/1.1"])
    return context


def connect(address, ca):
    host, port = address.rsplit(":", 1)
    tcp = socket.create_connection((host, int(port)), 10)
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context_of(ca).wrap_socket(tcp, server_hostname=host)


class Slow:
    """Sends a piece again and again, and looks whether anybody still listens."""

    def __init__(self, begin, piece, pause, answers):
        self.begin, self.piece, self.pause, self.answers = begin, piece, pause, answers

    def __call__(self, address, ca, deadline):
        said = b""
        with connect(address, ca) as tls:
            try:
                tls.sendall(self.begin)
                while time.monotonic() < deadline:
                    tls.sendall(self.piece)
                    tls.settimeout(self.pause)
                    try:
                        got = tls.recv(65536)
                    except TimeoutError:
                        continue
                    if not got:
                        break
                    said += got
                else:
                    return False
            except OSError:
                pass
        # A reset may overtake the answer of one who goes on sending; what came must be one of these.
        return said == b"" or any(said.startswith(f"HTTP/1.1 {status} ".encode()) for status in self.answers)


def never_reads(address, ca, deadline):
    """Asks on and on and reads nothing, so that the kernel's buffers fill; its time runs from when they are full."""
    with connect(address, ca) as tls:
        tls.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        ask = b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" * 100
        while time.monotonic() < deadline:
            tls.settimeout(max(deadline - time.monotonic(), 0.1))
            try:
                tls.sendall(ask)
                deadline = time.monotonic() + SECONDS_MAX
            except TimeoutError:
                return False
            except OSError:
                return True
    return False


ATTACKS = {
    "slow head": Slow(b"", b"G", 0.3, [400, 408, 501]),
    "slow field": Slow(POST + b"x: ", b"y", 0.2, [408]),
    "slow body": Slow(POST + b"Content-Length: 1000000\r\n\r\n", b"[", 0.3, [408]),
    "slow chunks": Slow(CHUNKED, b"1\r\n[\r\n", 0.3, [408]),
    "no body": Slow(POST + b"Content-Length: 10\r\n\r\n", b"", 0.5, [408]),
    "head without end": Slow(POST, b"x: " + b"y" * 1000 + b"\r\n", 0.01, [431]),
    "target without end": Slow(b"GET /", b"y" * 1000, 0.01, [431]),
    "fields without end": Slow(POST, b"a: b\r\n" * 10, 0.01, [431]),
    "tiny chunks": Slow(CHUNKED, b"1\r\n[\r\n" * 1000, 0.01, [400]),
    "extension without end": Slow(CHUNKED + b"1;", b"e" * 1000, 0.01, [400]),
    "trailers without end": Slow(CHUNKED + b"0\r\n", b"a: b\r\n" * 10, 0.01, [400]),
    "body without end": Slow(CHUNKED, b"10000\r\n" + b" " * 65536 + b"\r\n", 0.001, [413]),
    "empty lines": Slow(b"", b"\r\n", 0.1, [400]),
    "never reads": never_reads,
}


def test():
    with Cluster(topology=ONE, lateness_ms=2000) as cluster:
        cluster.start()
        edge = cluster.edges["us-e1"]
        address, results, at = edge.addresses["listen"], {}, int(time.time()) // 60 * 60 - 60

        def run(name, attack):
            begin = time.monotonic()
            ended = attack(address, cluster.ca, begin + SECONDS_MAX)
            results[name] = (bool(ended), time.monotonic() - begin)

        threads = [threading.Thread(target=run, args=item) for item in ATTACKS.items()]
        for thread in threads:
            thread.start()
        honest, sent = http.client.HTTPSConnection(address, timeout=10, context=context_of(cluster.ca)), 0
        while any(thread.is_alive() for thread in threads):
            body = json.dumps(click(AD, f"user-{sent}", at))
            honest.request("POST", "/v1/clicks", body, {"Content-Type": "application/json"})
            answer = honest.getresponse()
            text = answer.read()
            expect(answer.status == 202, f"an honest click was not accepted: {answer.status} {text[:200]}")
            sent += 1
            time.sleep(0.02)
        honest.close()
        for name in ATTACKS:
            ended, seconds = results.get(name, (False, 0))
            step(f"{name}: {'let go' if ended else 'still held, or wrongly answered'} after {seconds:.1f} s")
        bad = [name for name in ATTACKS if not results.get(name, (False, 0))[0]]
        expect(not bad, f"still held after {SECONDS_MAX} s, or wrongly answered: {bad}")
        wait_count(cluster, AD, at, at + 60, sent)
        step(f"{sent} honest clicks meanwhile, each counted once")


tell(test)
