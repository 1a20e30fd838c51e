/* SPDX-License-Identifier: Apache-2.0
 * http1_vectors: bytes of HTTP/1.1 connections, and what they must be taken for.
 * Audience: tests. */
#pragma once

#include "common/base/bytes.h"

struct vector {
    const char *name, *bytes;
    size_t length;
    const char *wanted; /* the whole trace; "!token" alone: refused so, at its end */
};

#define LINE "POST /v1 HTTP/1.1\r\nHost: x\r\n"
#define GET  "GET / HTTP/1.1\r\nHost: x\r\n"
#define CHUNKED                                                                                    \
    LINE "Transfer-Encoding: chunked\r\n"                                                          \
         "\r\n"
#define V(name, bytes, wanted)                                                                     \
    {                                                                                              \
        name, bytes, sizeof(bytes) - 1, wanted                                                     \
    }

__attribute__((unused)) static const struct vector good[] = {
    V("a length, then no field but Host",
      LINE "Content-Length: 2\r\n\r\nabGET /q?a=b HTTP/1.1\r\nhost:y\r\nEmpty:\r\n\r\n",
      "POST /v1@x|host=x|content-length=2|<ab>GET /q?a=b@y|host=y|empty=|<>"),
    V("an empty line before a request", "\r\n" GET "\r\n", "GET /@x|host=x|<>"),
    V("* of OPTIONS", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS *@x|host=x|<>"),
    V("an upgrade is not taken up",
      GET "Connection: upgrade\r\nUpgrade: h2c\r\n\r\nGET / HTTP/1.1\r\nHost: z\r\n\r\n",
      "GET /@x|host=x|connection=upgrade|upgrade=h2c|<>GET /@z|host=z|<>"),
    V("chunks, an extension, a trailer",
      CHUNKED "2;a=b\r\nab\r\n3\r\ncde\r\n0\r\nx-t: 1\r\n\r\n" GET "\r\n",
      "POST /v1@x|host=x|transfer-encoding=chunked|<abcde>GET /@x|host=x|<>"),
    V("Chunked, no chunk", LINE "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
      "POST /v1@x|host=x|transfer-encoding=Chunked|<>"),
    V("close among others", GET "Connection: a, Close ,b\r\n\r\n",
      "GET /@x close|host=x|connection=a, Close ,b|<>"),
    V("an expectation", LINE "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\na",
      "POST /v1@x continues|host=x|expect=100-Continue|content-length=1|<a>"),
    V("white space around a value goes", GET "a: \t b c\t \r\n\r\n", "GET /@x|host=x|a=b c|<>"),
    V("length 0", LINE "Content-Length: 0\r\n\r\n", "POST /v1@x|host=x|content-length=0|<>"),
    V("host with a port", "GET / HTTP/1.1\r\nHost: [2001:db8::1]:8443\r\n\r\n",
      "GET /@[2001:db8::1]:8443|host=[2001:db8::1]:8443|<>"),
};

/* Each of these may not become a request, nor any of it the beginning of one. */
__attribute__((unused)) static const struct vector bad_heads[] = {
    V("both lengths", LINE "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "!both_lengths"),
    V("both, turned", LINE "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
      "!both_lengths"),
    V("length twice", LINE "Content-Length: 2\r\nContent-Length: 2\r\n\r\nab", "!length"),
    V("lengths differ", LINE "Content-Length: 2\r\nContent-Length: 3\r\n\r\nab", "!length"),
    V("length list", LINE "Content-Length: 2,2\r\n\r\nab", "!length"),
    V("length +", LINE "Content-Length: +2\r\n\r\nab", "!length"),
    V("length -", LINE "Content-Length: -2\r\n\r\nab", "!length"),
    V("length hex", LINE "Content-Length: 0x2\r\n\r\nab", "!length"),
    V("length with a space", LINE "Content-Length: 1 2\r\n\r\nab", "!length"),
    V("length empty", LINE "Content-Length: \r\n\r\nab", "!length"),
    V("length huge", LINE "Content-Length: 99999999999999999999\r\n\r\nab", "!length"),
    V("bare LF", "GET / HTTP/1.1\nHost: x\n\n", "!line_end"),
    V("bare LF in fields", "GET / HTTP/1.1\r\nHost: x\n\n", "!line_end"),
    V("bare LF at the end", GET "\n", "!line_end"),
    V("bare LF first", "\n" GET "\r\n", "!line_end"),
    V("bare CR", "GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n", "!line_end"),
    V("space before the colon", "GET / HTTP/1.1\r\nHost : x\r\n\r\n", "!field_name"),
    V("space before the first field", "GET / HTTP/1.1\r\n Host: x\r\n\r\n", "!field_name"),
    V("no name", GET ": x\r\n\r\n", "!field_name"),
    V("no colon", GET "Content-Length\r\n\r\n", "!field_name"),
    V("a pseudo field", GET ":path: /x\r\n\r\n", "!field_name"),
    V("fold", GET "A: b\r\n c\r\n\r\n", "!fold"),
    V("fold by a tab", GET "A: b\r\n\tc\r\n\r\n", "!fold"),
    V("NUL", GET "A: b\0c\r\n\r\n", "!character"),
    V("DEL", GET "A: b\x7f\r\n\r\n", "!character"),
    V("no host", "GET / HTTP/1.1\r\n\r\n", "!host"),
    V("two hosts", GET "Host: x\r\n\r\n", "!host"),
    V("a path in the host", "GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", "!host"),
    V("a user in the host", "GET / HTTP/1.1\r\nHost: a@x\r\n\r\n", "!host"),
    V("an empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "!host"),
    V("absolute target", "GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n", "!target"),
    V("authority target", "CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n", "!target"),
    V("* of GET", "GET * HTTP/1.1\r\nHost: x\r\n\r\n", "!target"),
    V("fragment", "GET /#a HTTP/1.1\r\nHost: x\r\n\r\n", "!target"),
    V("HTTP/1.0", "GET / HTTP/1.0\r\nHost: x\r\n\r\n", "!version"),
    V("HTTP/2 by its preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "!version"),
    V("HTTP/0.9", "GET /\r\n\r\n", "!request_line"),
    V("two spaces", "GET  / HTTP/1.1\r\nHost: x\r\n\r\n", "!request_line"),
    V("a space behind", "GET / HTTP/1.1 \r\nHost: x\r\n\r\n", "!request_line"),
    V("tab", "GET /\t HTTP/1.1\r\nHost: x\r\n\r\n", "!character"),
    V("another protocol", "SOURCE / ICE/1.1\r\nHost: x\r\n\r\n", "!request_line"),
    V("two empty lines", "\r\n\r\n" GET "\r\n", "!request_line"),
    V("method unknown", "FOO / HTTP/1.1\r\nHost: x\r\n\r\n", "!method"),
    V("method in lower case", "get / HTTP/1.1\r\nHost: x\r\n\r\n", "!method"),
    V("gzip", LINE "Transfer-Encoding: gzip\r\n\r\n", "!coding"),
    V("gzip, chunked", LINE "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "!coding"),
    V("chunked twice",
      LINE "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "!coding"),
    V("chunked, chunked", LINE "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "!coding"),
    V("xchunked", LINE "Transfer-Encoding: xchunked\r\n\r\n", "!coding"),
    V("identity", LINE "Transfer-Encoding: identity\r\n\r\n", "!coding"),
    V("a vertical tab",
      LINE "Transfer-Encoding: \x0b"
           "chunked\r\n\r\n",
      "!character"),
};

__attribute__((unused)) static const struct vector bad_bodies[] = {
    V("no LF behind the size", CHUNKED "2\rXab\r\n0\r\n\r\n", "!chunk"),
    V("more than its size", CHUNKED "2\r\nabXX0\r\n\r\n", "!chunk"),
    V("0x", CHUNKED "0x2\r\nab\r\n0\r\n\r\n", "!chunk"),
    V("bare LF", CHUNKED "2\nab\n0\n\n", "!chunk"),
    V("bare LF behind data", CHUNKED "2\r\nab\n0\r\n\r\n", "!chunk"),
    V("+", CHUNKED "+2\r\nab\r\n", "!chunk"),
    V("space", CHUNKED "2 \r\nab\r\n", "!chunk"),
    V("control in an extension", CHUNKED "2;a=\x01\r\nab\r\n", "!chunk"),
    V("LF in an extension", CHUNKED "2;a\nab\r\n", "!chunk"),
    V("huge", CHUNKED "fffffffffffffffff\r\nab", "!chunk"),
    V("minus", CHUNKED "-1\r\nab", "!chunk"),
    V("no size", CHUNKED "\r\nab", "!chunk"),
    V("a length in trailers", CHUNKED "0\r\nContent-Length: 5\r\n\r\n", "!trailer"),
    V("a coding in trailers", CHUNKED "0\r\nTRANSFER-encoding: x\r\n\r\n", "!trailer"),
    V("a fold in trailers", CHUNKED "0\r\na: b\r\n c\r\n\r\n", "!trailer"),
    V("bare LF in trailers", CHUNKED "0\r\na: b\n\r\n", "!trailer"),
};
