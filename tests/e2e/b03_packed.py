# SPDX-License-Identifier: Apache-2.0
"""b03: bodies in gzip and zstd are counted like plain ones, once; bombs, cut and foreign bodies store nothing."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import gzip
import json
import time

from e2e import Cluster, ask, click, expect, step, tell, wait_count, zstd_raw

AD = f"b03-{os.urandom(4).hex()}"
# An empty zstd frame (RFC 8878): magic number, window of 1 KiB, an empty last block; and one that cannot be.
ZSTD_EMPTY = bytes.fromhex("28b52ffd0000010000")
ZSTD_BAD = bytes.fromhex("28b52ffd00000f0000")


def test():
    with Cluster(lateness_ms=2000) as c:
        c.start()
        at = int(time.time()) // 60 * 60 - 60
        edge = c.edges["us-e1"]

        def post(body, coding):
            return ask(c, edge, "/v1/clicks", "POST", body, [f"content-encoding: {coding}"])

        clicks = json.dumps([click(AD, f"user-{i}", at) for i in range(100)]).encode()
        for coding, body in [("gzip", gzip.compress(clicks)), ("zstd", zstd_raw(clicks)), ("identity", clicks)]:
            answer = post(body, coding)
            expect(answer.status == 202 and answer.json["accepted"] == 100, f"{coding}: {answer.status} {answer.body}")
        step("100 clicks sent three times: gzip, zstd, plain")
        packed = gzip.compress(clicks)
        for name, body, coding, status, token in [
                ("cut", packed[:-1], "gzip", 400, "content_encoding_invalid"),
                ("tail", packed + b"x", "gzip", 400, "content_encoding_invalid"),
                ("plain as gzip", clicks, "gzip", 400, "content_encoding_invalid"),
                ("reserved block", ZSTD_BAD, "zstd", 400, "content_encoding_invalid"),
                ("nothing inside", ZSTD_EMPTY, "zstd", 400, "invalid_json"),
                ("bomb", gzip.compress(b" " * 7000000), "gzip", 413, "body_too_dense"),
                ("brotli", packed, "br", 415, "content_encoding_unknown"),
                ("twice", packed, "gzip, gzip", 415, "content_encoding_unknown")]:
            answer = post(body, coding)
            expect(answer.status == status and token in answer.body, f"{name}: {answer.status} {answer.body}")
        wait_count(c, AD, at, at + 60, 100)
        step("counted once each")
        expect(all(p.alive() for p in c.everything()), "something has ended by itself")


tell(test)
