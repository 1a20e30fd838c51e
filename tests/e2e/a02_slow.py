# SPDX-License-Identifier: Apache-2.0
"""a02: clients that hold on to things by being slow: each is let go within 10 s of its last real progress."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import socket
import struct
import threading
import time

import raw_h2 as h2
from e2e import Cluster, expect, step, tell

ONE = {"us": {"edges": ["us-e1"], "replicas": ["us-r1"]}}
SECONDS_MAX = 10
STALLED = "tributary_edge_h2_stalled_total"


def drip(raw, data, pause, deadline):
    """Byte by byte, looking whether anybody still listens; the frames that came."""
    frames = []
    for i in range(len(data)):
        if time.monotonic() > deadline or not raw.send(data[i:i + 1]):
            break
        frames += raw.read(pause)
    return frames


def slow_headers(address, ca, deadline):
    raw = h2.Raw(address, ca)
    drip(raw, h2.get(1, more=[("x", "y" * 100)]), 0.2, deadline)
    return raw.closed_within(deadline - time.monotonic())


def headers_without_end(address, ca, deadline):
    raw = h2.Raw(address, ca)
    raw.send(h2.frame(h2.HEADERS, h2.END_STREAM, 1, h2.fields("GET", "/v1/home")))
    return raw.closed_within(deadline - time.monotonic())


def answered_or_gone(raw, frames):
    return raw.ended or any(kind in (h2.HEADERS, h2.RESET) and stream == 1 for kind, _, stream, _ in frames)


def slow_body(address, ca, deadline):
    raw = h2.Raw(address, ca)
    raw.send(h2.post(1, [("content-length", "1000000")]))
    frames = []
    while time.monotonic() < deadline and not answered_or_gone(raw, frames):
        raw.send(h2.frame(h2.DATA, 0, 1, b"["))
        frames += raw.read(0.3)
    return answered_or_gone(raw, frames)


def no_body(address, ca, deadline):
    raw = h2.Raw(address, ca)
    raw.send(h2.post(1))
    return raw.until(lambda f: f[0] in (h2.HEADERS, h2.RESET) and f[2] == 1, deadline - time.monotonic()) or raw.ended


def zero_window(address, ca, deadline):
    """No window for any answer: the server may not keep them for ever."""
    raw = h2.Raw(address, ca, struct.pack(">HI", 4, 0))
    for stream in range(1, 101, 2):
        raw.send(h2.get(stream))
    resets = set()
    while time.monotonic() < deadline and len(resets) < 50 and not raw.ended:
        resets |= {stream for kind, _, stream, _ in raw.read(0.2) if kind == h2.RESET}
    return raw.ended or len(resets) == 50


def never_reads(address, ca, deadline):
    """Asks on and on and reads nothing, so that the kernel's buffers fill."""
    raw = h2.Raw(address, ca)
    raw.tls.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stream = 1
    while time.monotonic() < deadline and raw.send(h2.get(stream, "/x") * 1):
        stream += 2
    return raw.ended


def no_handshake(address, _, deadline):
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), 10) as tcp:
        tcp.sendall(b"\x16\x03\x01")
        tcp.settimeout(max(deadline - time.monotonic(), 0.1))
        try:
            return tcp.recv(100) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False


ATTACKS = [slow_headers, headers_without_end, slow_body, no_body, zero_window, never_reads, no_handshake]


def test():
    with Cluster(topology=ONE) as c:
        c.start()
        edge = c.edges["us-e1"]
        address, before, results = edge.addresses["listen"], edge.metrics()[STALLED], {}

        def run(attack):
            begin = time.monotonic()
            ended = attack(address, c.ca, begin + SECONDS_MAX)
            results[attack.__name__] = (bool(ended), time.monotonic() - begin)

        threads = [threading.Thread(target=run, args=(attack,)) for attack in ATTACKS]
        for thread in threads:
            thread.start()
        raw, stream = h2.Raw(address, c.ca), 1
        while any(thread.is_alive() for thread in threads):
            expect(raw.home(stream), "an honest request was not answered")
            stream += 2
            time.sleep(0.02)
        for attack in ATTACKS:
            ended, seconds = results.get(attack.__name__, (False, 0))
            step(f"{attack.__name__}: {'let go' if ended else 'still held'} after {seconds:.1f} s")
        bad = [a.__name__ for a in ATTACKS if not results.get(a.__name__, (False, 0))[0]]
        expect(not bad, f"still held after {SECONDS_MAX} s: {bad}")
        expect(edge.metrics()[STALLED] >= before + 5, "time-outs were not counted")
        step(f"{stream // 2} honest requests were answered meanwhile")


if __name__ == "__main__":
    tell(test)
