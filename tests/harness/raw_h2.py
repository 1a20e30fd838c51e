# SPDX-License-Identifier: Apache-2.0
"""raw_h2: HTTP/2 by hand over TLS: any frame may be said, right or wrong. As a program: the honest client beside."""

import functools
import socket
import ssl
import struct
import sys
import time

DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
ENHANCE_YOUR_CALM = 11
STATUS_200 = 0x88  # RFC 7541, static table


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def integer(value, bits=7):
    most = (1 << bits) - 1
    if value < most:
        return bytes([value])
    out, value = [most], value - most
    while value >= 128:
        out.append(value % 128 | 128)
        value //= 128
    return bytes(out + [value])


def literal(name, value):
    """A header field without indexing and without Huffman's code."""
    name, value = (text if isinstance(text, bytes) else text.encode() for text in (name, value))
    return b"\0" + integer(len(name)) + name + integer(len(value)) + value


def fields(method, path, more=()):
    pseudo = [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
    return b"".join(literal(*field) for field in pseudo + list(more))


def get(stream, path="/v1/home", more=()):
    return frame(HEADERS, END_STREAM | END_HEADERS, stream, fields("GET", path, more))


def post(stream, more=(), flags=END_HEADERS):
    return frame(HEADERS, flags, stream, fields("POST", "/v1/clicks", [("content-type", "application/json"), *more]))


@functools.lru_cache
def context_of(ca):
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(["h2"])
    return context


class Raw:
    """One connection; `ended` once the peer has closed it, `goaway` with the code of its last words."""

    def __init__(self, address, ca, settings=b"", source=None, session=None):
        host, port = address.rsplit(":", 1)
        tcp = socket.create_connection((host, int(port)), 10, source_address=(source, 0) if source else None)
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tls = context_of(ca).wrap_socket(tcp, server_hostname=host, session=session)
        self.unread = b""
        self.ended = False
        self.goaway = None
        self.frames = []
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings))

    def send(self, data):
        """False when the peer has ended the connection."""
        if self.ended:
            return False
        try:
            self.tls.settimeout(2)
            self.tls.sendall(data)
        except OSError:
            self.ended = True
        return not self.ended

    def read(self, seconds):
        """Frames that come until then, or at once when some are there: (kind, flags, stream, payload)."""
        if self.ended:
            return []
        try:
            self.tls.settimeout(max(seconds, 0.001))
            got = self.tls.recv(65536)
            self.ended = not got
            self.unread += got
        except (TimeoutError, ssl.SSLWantReadError):
            pass
        except OSError:
            self.ended = True
        found = []
        while len(self.unread) >= 9:
            length = int.from_bytes(self.unread[:3], "big")
            if len(self.unread) < 9 + length:
                break
            one = (self.unread[3], self.unread[4], int.from_bytes(self.unread[5:9], "big"), self.unread[9:9 + length])
            self.unread = self.unread[9 + length:]
            found.append(one)
            if one[0] == GOAWAY:
                self.goaway = int.from_bytes(one[3][4:8], "big")
        return found

    def until(self, wanted, seconds):
        """The first frame for which wanted(frame) is true; None when the connection ends or time is over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.ended:
            for one in self.read(deadline - time.monotonic()):
                if wanted(one):
                    return one
        return None

    def closed_within(self, seconds):
        self.until(lambda _: False, seconds)
        return self.ended

    def home(self, stream, seconds=10):
        """GET /v1/home: was it answered with 200?"""
        self.send(get(stream))
        head = self.until(lambda f: f[0] == HEADERS and f[2] == stream, seconds)
        return head is not None and head[3][0] == STATUS_200

    def click(self, stream, seconds=10):
        """POST of one click that nobody sent before: was it accepted?"""
        body = f'{{"ad_id":"honest","user_id":"{id(self)}-{stream}","timestamp":{int(time.time())}}}'.encode()
        self.send(post(stream) + frame(DATA, END_STREAM, stream, body))
        data = self.until(lambda f: f[0] == RESET or (f[0] == DATA and f[2] == stream), seconds)
        return data is not None and data[0] == DATA and b'"accepted":1' in data[3]

    def close(self):
        try:
            self.tls.close()
        except OSError:
            pass


def honest(address, ca, seconds, ask=Raw.home, pause=0.005):
    """Asks again and again on one connection; prints how many, how many failed, and p50 and p99 in ms."""
    raw, stream, failed, times = Raw(address, ca), 1, 0, []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.monotonic()
        good = ask(raw, stream)
        times.append((time.monotonic() - begin) * 1000)
        failed += not good
        stream += 2
        time.sleep(pause)  # a pace, not a wait
    times.sort()
    print(len(times), failed, f"{times[len(times) // 2]:.2f}", f"{times[int(len(times) * 0.99)]:.2f}")


if __name__ == "__main__":
    honest(sys.argv[1], sys.argv[2], float(sys.argv[3]), Raw.click if sys.argv[4:] == ["click"] else Raw.home)
