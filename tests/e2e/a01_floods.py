# SPDX-License-Identifier: Apache-2.0
"""a01: floods and frames against the rules: each is closed or bounded within 1,000 bad frames or 10 s, told by kind in
the metrics, and an honest client beside notices nothing but time."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import struct
import subprocess
import time

import raw_h2 as h2
from e2e import Cluster, expect, step, tell

ONE = {"us": {"edges": ["us-e1"], "replicas": ["us-r1"]}}
ABUSE = 'tributary_edge_h2_abuse_closed_by_kind_total{kind="%s"}'
FRAMES_MAX = 1000
WINDOW = h2.frame(h2.WINDOW, 0, 0, struct.pack(">I", 1))


def rapid_reset(i):
    return h2.get(2 * i + 1) + h2.frame(h2.RESET, 0, 2 * i + 1, struct.pack(">I", 8))


def continuations(i):
    return h2.frame(h2.HEADERS, 0, 1, h2.fields("GET", "/v1/home")) if i == 0 else \
        h2.frame(h2.CONTINUATION, 0, 1, h2.literal("x", "y"))


def settings(_):
    return h2.frame(h2.SETTINGS, 0, 0, struct.pack(">HI", 4, 65535))


def pings(_):
    return h2.frame(h2.PING, 0, 0, bytes(8))


def window_overflow(_):
    return h2.frame(h2.WINDOW, 0, 0, struct.pack(">I", 0x7fffffff))


def window_of_stream(i):
    """Only that stream may be ended; so it is a flood of resets that the server sends."""
    return h2.post(2 * i + 1) + h2.frame(h2.WINDOW, 0, 2 * i + 1, struct.pack(">I", 0x7fffffff))


def length_mismatch(i):
    return h2.post(2 * i + 1, [("content-length", "1000")]) + h2.frame(h2.DATA, h2.END_STREAM, 2 * i + 1, b"{}")


def bad_name(i):
    return h2.get(2 * i + 1, more=[("Upper-Case", "x")])


def over_the_maximum(i):
    """Streams that stay open: beyond 128 each is refused, and the refusals are counted."""
    return h2.post(2 * i + 1)


def hpack_bomb(i):
    """One big field kept in the table, then named 4,000 times: 16 KB on the wire, 16 MB decoded."""
    big = b"\x40" + h2.integer(1) + b"x" + h2.integer(4000) + b"v" * 4000 if i == 0 else b""
    return h2.frame(h2.HEADERS, h2.END_STREAM | h2.END_HEADERS, 2 * i + 1,
                    h2.fields("GET", "/v1/home") + big + b"\xbe" * 4000)


def priorities(i):
    return h2.frame(h2.PRIORITY, 0, 2 * i + 1, struct.pack(">IB", 0, 16))


def empty_data(i):
    return h2.post(1) if i == 0 else h2.frame(h2.DATA, 0, 1, b"")


def even_stream(_):
    return h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 2, h2.fields("GET", "/v1/home"))  # even: not a client's


# what, how, kind in the metrics (None: the protocol itself ends it)
FLOODS = [
    ("rapid reset", rapid_reset, "reset_received"),
    ("CONTINUATION flood", continuations, "continuation"),
    ("SETTINGS flood", settings, "settings"),
    ("PING flood", pings, "ping"),
    ("window overflow", window_overflow, None),
    ("window overflow of streams", window_of_stream, "reset_sent"),
    ("content-length mismatch", length_mismatch, "reset_sent"),
    ("bad header name", bad_name, "reset_sent"),
    ("streams over the maximum", over_the_maximum, "reset_sent"),
    ("HPACK bomb", hpack_bomb, "header_excess"),
    ("PRIORITY flood", priorities, "priority"),
    ("empty DATA flood", empty_data, "empty_data"),
    ("even stream", even_stream, None),
]


def abuse_of(edge):
    head = ABUSE.split("%s", maxsplit=1)[0]
    return {key[len(head):-2]: value for key, value in edge.metrics().items() if key.startswith(head)}


def flood(cluster, edge, name, make, kind):
    before = abuse_of(edge)
    raw = h2.Raw(edge.addresses["listen"], cluster.ca)
    begin, sent = time.monotonic(), 0
    while sent < FRAMES_MAX and raw.goaway is None and raw.send(make(sent)):
        sent += 1
        raw.read(0.001)
    closed = raw.closed_within(5)
    seconds = time.monotonic() - begin
    raw.close()
    after = abuse_of(edge)
    kinds = [k for k in after if after[k] > before[k]]
    step(f"{name}: {sent} frames, {seconds:.1f} s, GOAWAY {raw.goaway}, closed {closed}, kinds {kinds}")
    expect(closed and seconds <= 10, f"{name}: not ended after {sent} frames and {seconds:.1f} s")
    if kind is None:
        expect(not kinds, f"{name}: counted as {kinds}")
    else:
        expect(kinds == [kind], f"{name}: counted as {kinds}, not {kind}")
        expect(raw.goaway in (None, h2.ENHANCE_YOUR_CALM), f"{name}: GOAWAY {raw.goaway}")


def decent(cluster, edge):
    """What honest clients may do a lot of: it must not be punished."""
    raw = h2.Raw(edge.addresses["listen"], cluster.ca)
    for i in range(150):  # requests one after the other, a reset now and then, window updates, a few pings
        stream = 2 * i + 1
        expect(raw.home(stream), f"request {i} was not answered")
        raw.send(WINDOW * 4)
        if i % 10 == 0:
            raw.send(h2.frame(h2.PING, 0, 0, bytes(8)))
        raw.send(h2.frame(h2.RESET, 0, stream, struct.pack(">I", 8)))  # of a stream that has just closed
    expect(raw.goaway is None and not raw.ended, "an honest client was sent away")
    raw.close()
    step("150 honest requests, each with window updates and a late reset")


def honest_beside(cluster, edge, seconds):
    return subprocess.Popen([sys.executable, h2.__file__, edge.addresses["listen"], cluster.ca, str(seconds)],
                            stdout=subprocess.PIPE, text=True)


def heard(child):
    text, _ = child.communicate(timeout=60)
    expect(child.returncode == 0, "the honest client broke")
    count, failed, p50, p99 = text.split()
    expect(int(failed) == 0, f"{failed} of {count} honest requests failed")
    return float(p50), float(p99)


def test():
    with Cluster(topology=ONE) as c:
        c.start()
        edge = c.edges["us-e1"]
        decent(c, edge)
        alone = heard(honest_beside(c, edge, 3))
        beside = honest_beside(c, edge, 8)
        for name, make, kind in FLOODS:
            flood(c, edge, name, make, kind)
        under = heard(beside)
        step(f"honest client, p50 and p99 in ms: alone {alone}, beside the floods {under}, ratio of p99 "
             f"{under[1] / alone[1]:.2f}")
        expect(edge.alive(), "the edge has ended")


if __name__ == "__main__":
    tell(test)
