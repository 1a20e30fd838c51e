# SPDX-License-Identifier: Apache-2.0
"""a03: what RFC 9113 calls malformed is never served: a stream error, a connection error or a 400; what it allows is."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import struct

import raw_h2 as h2
from e2e import Cluster, expect, step, tell

ONE = {"us": {"edges": ["us-e1"], "replicas": ["us-r1"]}}
STATUS_400 = 0x8c  # RFC 7541, static table
METHOD, SCHEME = (":method", "GET"), (":scheme", "https")
AUTHORITY, PATH = (":authority", "localhost"), (":path", "/v1/home")
USUAL = [METHOD, SCHEME, AUTHORITY, PATH]
END = h2.END_STREAM | h2.END_HEADERS


def head(fields, flags=END, stream=1):
    return h2.frame(h2.HEADERS, flags, stream, b"".join(h2.literal(*field) for field in fields))


def with_field(name, value):
    return head(USUAL + [(name, value)])


def without(name):
    return head([field for field in USUAL if field[0] != name])


def changed(name, value):
    return head([(name, value) if field[0] == name else field for field in USUAL])


def posted(body, *more, trailers=None):
    fields = [(":method", "POST"), SCHEME, AUTHORITY, (":path", "/v1/clicks"), ("content-type", "application/json")]
    last = 0 if trailers is not None else h2.END_STREAM
    frames = head(fields + list(more), h2.END_HEADERS) + h2.frame(h2.DATA, last, 1, body)
    return frames + (head(trailers) if trailers is not None else b"")


def raw_setting(identifier, value):
    return h2.frame(h2.SETTINGS, 0, 0, struct.pack(">HI", identifier, value))


def block(payload, flags=END):
    return h2.frame(h2.HEADERS, flags, 1, payload)


USUAL_BLOCK = b"".join(h2.literal(*field) for field in USUAL)

# name, section, bytes: each must end the stream or the connection, or be answered with 400.
MALFORMED = [
    ("upper-case name", "8.2.1", with_field("X-Upper", "a")),
    ("space in a name", "8.2.1", with_field("x y", "a")),
    ("control byte in a name", "8.2.1", with_field(b"x\x01", "a")),
    ("high byte in a name", "8.2.1", with_field(b"x\x80", "a")),
    ("colon in a name", "8.2.1", with_field("x:y", "a")),
    ("empty name", "8.2.1", with_field("", "a")),
    ("NUL in a value", "8.2.1", with_field("x", b"a\0b")),
    ("LF in a value", "8.2.1", with_field("x", b"a\nb")),
    ("CR in a value", "8.2.1", with_field("x", b"a\rb")),
    ("value begins with a space", "8.2.1", with_field("x", " a")),
    ("value ends with a tab", "8.2.1", with_field("x", "a\t")),
    ("connection", "8.2.2", with_field("connection", "keep-alive")),
    ("keep-alive", "8.2.2", with_field("keep-alive", "1")),
    ("proxy-connection", "8.2.2", with_field("proxy-connection", "close")),
    ("transfer-encoding", "8.2.2", with_field("transfer-encoding", "chunked")),
    ("upgrade", "8.2.2", with_field("upgrade", "h2c")),
    ("te other than trailers", "8.2.2", with_field("te", "gzip")),
    ("pseudo-header after a field", "8.3", head([METHOD, SCHEME, ("x", "a"), AUTHORITY, PATH])),
    ("unknown pseudo-header", "8.3", head([(":foo", "a")] + USUAL)),
    (":status in a request", "8.3", head([(":status", "200")] + USUAL)),
    (":path twice", "8.3", head(USUAL + [PATH])),
    (":method twice", "8.3", head([METHOD] + USUAL)),
    (":authority twice", "8.3", head([AUTHORITY] + USUAL)),
    ("no :method", "8.3.1", without(":method")),
    ("no :scheme", "8.3.1", without(":scheme")),
    ("no :path", "8.3.1", without(":path")),
    ("empty :path", "8.3.1", changed(":path", "")),
    (":path without a slash", "8.3.1", changed(":path", "v1/home")),
    (":path * for GET", "8.3.1", changed(":path", "*")),
    ("space in :path", "8.3.1", changed(":path", "/v1/home x")),
    ("NUL in :path", "8.3.1", changed(":path", b"/v1/home\0")),
    ("empty :method", "8.3.1", changed(":method", "")),
    ("space in :method", "8.3.1", changed(":method", "GET /v1/home HTTP/1.1")),
    ("user information in :authority", "8.3.1", changed(":authority", "user@localhost")),
    ("Host other than :authority", "8.3.1", with_field("host", "elsewhere.example")),
    ("two Hosts", "8.3.1", head(USUAL + [("host", "localhost"), ("host", "localhost")])),
    ("user information in Host", "8.3.1", head([METHOD, SCHEME, PATH, ("host", "user@localhost")])),
    ("neither :authority nor Host", "8.3.1", without(":authority")),
    ("CONNECT with :scheme and :path", "8.5", changed(":method", "CONNECT")),
    ("pseudo-header in trailers", "8.1", posted(b"{}", trailers=[(":path", "/")])),
    ("trailers that do not end the stream", "8.1",
     posted(b"{}", trailers=[("x", "a")])[:-len(head([("x", "a")]))] + head([("x", "a")], h2.END_HEADERS)),
    ("content-length below the body", "8.1.1", posted(b"{}", ("content-length", "1"))),
    ("content-length over the body", "8.1.1", posted(b"{}", ("content-length", "3"))),
    ("content-length without a body", "8.1.1", with_field("content-length", "5")),
    ("content-length with a sign", "8.1.1", posted(b"{}", ("content-length", "+2"))),
    ("content-length that is no number", "8.1.1", posted(b"{}", ("content-length", "2x"))),
    ("two lengths", "8.1.1", posted(b"{}", ("content-length", "2"), ("content-length", "3"))),
    ("DATA on an idle stream", "5.1", h2.frame(h2.DATA, 1, 1, b"{}")),
    ("RST_STREAM on an idle stream", "6.4", h2.frame(h2.RESET, 0, 1, bytes(4))),
    ("WINDOW_UPDATE on an idle stream", "5.1", h2.frame(h2.WINDOW, 0, 1, struct.pack(">I", 1))),
    ("even stream", "5.1.1", h2.frame(h2.HEADERS, END, 2, USUAL_BLOCK)),
    ("HEADERS on stream 0", "6.2", h2.frame(h2.HEADERS, END, 0, USUAL_BLOCK)),
    ("DATA on stream 0", "6.1", h2.frame(h2.DATA, 1, 0, b"{}")),
    ("padding longer than the frame", "6.1", posted(b"") + head(USUAL, h2.END_HEADERS, 3) +
     h2.frame(h2.DATA, 8, 3, b"\x09ab")),
    ("HEADERS: padding longer than the frame", "6.2", block(b"\xff" + USUAL_BLOCK, END | 8)),
    ("PRIORITY of the wrong size", "6.3", h2.frame(h2.PRIORITY, 0, 1, bytes(4))),
    ("PRIORITY on stream 0", "6.3", h2.frame(h2.PRIORITY, 0, 0, bytes(5))),
    ("RST_STREAM of the wrong size", "6.4", head(USUAL, h2.END_HEADERS) + h2.frame(h2.RESET, 0, 1, bytes(3))),
    ("SETTINGS of a wrong size", "6.5", h2.frame(h2.SETTINGS, 0, 0, bytes(5))),
    ("SETTINGS on a stream", "6.5", h2.frame(h2.SETTINGS, 0, 1, b"")),
    ("SETTINGS ACK with a payload", "6.5", h2.frame(h2.SETTINGS, h2.ACK, 0, bytes(6))),
    ("ENABLE_PUSH 2", "6.5.2", raw_setting(2, 2)),
    ("INITIAL_WINDOW_SIZE too large", "6.5.2", raw_setting(4, 1 << 31)),
    ("MAX_FRAME_SIZE too small", "6.5.2", raw_setting(5, 100)),
    ("PUSH_PROMISE from a client", "8.4", h2.frame(h2.PUSH, 4, 1, struct.pack(">I", 2) + USUAL_BLOCK)),
    ("PING of the wrong size", "6.7", h2.frame(h2.PING, 0, 0, bytes(7))),
    ("PING on a stream", "6.7", h2.frame(h2.PING, 0, 1, bytes(8))),
    ("GOAWAY on a stream", "6.8", h2.frame(h2.GOAWAY, 0, 1, bytes(8))),
    ("WINDOW_UPDATE of 0", "6.9", head(USUAL, h2.END_HEADERS) + h2.frame(h2.WINDOW, 0, 1, bytes(4))),
    ("CONTINUATION without HEADERS", "6.10", h2.frame(h2.CONTINUATION, 4, 1, USUAL_BLOCK)),
    ("another frame before CONTINUATION", "6.10", block(USUAL_BLOCK, 1) + h2.frame(h2.PING, 0, 0, bytes(8))),
    ("frame over the maximum", "4.2", posted(b"") + h2.frame(h2.DATA, 1, 3, bytes(16385))),
    ("HPACK: index 0", "RFC 7541 6.1", block(b"\x80")),
    ("HPACK: index beyond the table", "RFC 7541 2.3.3", block(USUAL_BLOCK + b"\xff\x80\x01")),
    ("HPACK: table size over the limit", "RFC 7541 6.3", block(b"\x3f\xe1\xff\x7f" + USUAL_BLOCK)),
    ("HPACK: an integer without end", "RFC 7541 5.1", block(b"\xff" + b"\x80" * 10 + b"\x01")),
    ("HPACK: a string longer than the block", "RFC 7541 5.2", block(b"\x00\x7f")),
    ("HPACK: Huffman padding of zeros", "RFC 7541 5.2", block(b"\x00\x81\x00\x01a")),
]

# name, bytes: each must be answered with 200.
ALLOWED = [
    ("te: trailers", with_field("te", "trailers")),
    ("Host equal to :authority", with_field("host", "localhost")),
    ("Host alone", head([METHOD, SCHEME, PATH, ("host", "localhost")])),
    ("cookie in crumbs", head(USUAL + [("cookie", "a=1"), ("cookie", "b=2")])),
    ("an unknown frame before", h2.frame(0xf7, 0xff, 0, b"x" * 30) + head(USUAL)),
    ("an unknown setting before", raw_setting(0xfafa, 7) + head(USUAL)),
    ("padded HEADERS with a priority", h2.frame(h2.HEADERS, END | 8 | 32, 1, b"\x03" + bytes(5) + USUAL_BLOCK + bytes(3))),
    ("HEADERS and CONTINUATION", block(USUAL_BLOCK[:9], 1) + h2.frame(h2.CONTINUATION, 4, 1, USUAL_BLOCK[9:])),
    ("an empty field value", with_field("x", "")),
    ("a tab within a value", with_field("x", "a\tb")),
]


def answer(raw, data):
    """served, refused, reset, closed or silent."""
    raw.send(data)
    one = raw.until(lambda f: f[0] in (h2.RESET, h2.GOAWAY) or (f[0] == h2.HEADERS and f[3]), 5)
    if one is None:
        return "closed" if raw.ended else "silent"
    if one[0] == h2.HEADERS:
        return "refused" if one[3][0] == STATUS_400 else "served"
    return "reset" if one[0] == h2.RESET else "closed"


def judge(address, ca):
    wrong, kinds = [], {}
    for name, section, data in MALFORMED:
        raw = h2.Raw(address, ca)
        got = answer(raw, data)
        raw.close()
        kinds[got] = kinds.get(got, 0) + 1
        if got in ("served", "silent"):
            wrong.append(f"{name} ({section}): {got}")
    for name, data in ALLOWED:
        raw = h2.Raw(address, ca)
        raw.send(data)
        one = raw.until(lambda f: f[0] in (h2.RESET, h2.GOAWAY, h2.HEADERS), 5)
        raw.close()
        if one is None or one[0] != h2.HEADERS or one[3][0] != h2.STATUS_200:
            wrong.append(f"{name}: not served")
    step(f"{len(MALFORMED)} malformed: {kinds}; {len(ALLOWED)} allowed")
    return wrong


def test():
    with Cluster(topology=ONE) as c:
        c.start()
        edge = c.edges["us-e1"]
        wrong = judge(edge.addresses["listen"], c.ca)
        for line in wrong:
            step("wrong: " + line)
        expect(not wrong, f"{len(wrong)} answers are not as the RFC wants")
        expect(edge.alive(), "the edge has ended")


tell(test)
