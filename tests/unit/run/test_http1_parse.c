/* SPDX-License-Identifier: Apache-2.0
 * Claims about http1_parse: what is a request, what is refused and why, and that it does not matter
 * how the bytes are cut. */
#include "tests/unit/run/http1_trace.h"

#include <criterion/criterion.h>
#include <http_parser.h>

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

static const struct vector good[] = {
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
static const struct vector bad_heads[] = {
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

static const struct vector bad_bodies[] = {
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

static const char *traced(const struct vector *v, size_t most, uint32_t seed)
{
    static struct buf text;
    buf_clear(&text);
    http1_trace(span_of(v->bytes, v->length), most, seed, &text);
    buf_put_u8(&text, 0);
    return (const char *)text.data;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), wanted = strlen(end);
    return length >= wanted && strcmp(text + length - wanted, end) == 0;
}

static void expect_refused_however_cut(const struct vector *v, bool in_head)
{
    for (uint32_t seed = 0; seed < 100; seed++) {
        const char *text = traced(v, seed == 0 ? v->length : seed % 9 + 1, seed);
        cr_expect(in_head ? strcmp(text, v->wanted) == 0 : ends_with(text, v->wanted), "%s: %s",
                  v->name, text);
        cr_expect(strchr(text, '>') == NULL, "%s became a request: %s", v->name, text);
    }
}

Test(http1_parse, requests_are_read_however_they_are_cut)
{
    for (size_t i = 0; i < countof(good); i++)
        for (uint32_t seed = 0; seed < 100; seed++)
            cr_expect_str_eq(traced(&good[i], seed == 0 ? good[i].length : seed % 9 + 1, seed),
                             good[i].wanted, "%s", good[i].name);
}

Test(http1_parse, what_two_parsers_may_read_differently_is_refused_before_anything_is_told)
{
    for (size_t i = 0; i < countof(bad_heads); i++)
        expect_refused_however_cut(&bad_heads[i], true);
}

Test(http1_parse, a_body_whose_end_is_not_certain_is_refused)
{
    for (size_t i = 0; i < countof(bad_bodies); i++)
        expect_refused_however_cut(&bad_bodies[i], false);
}

static int note_end(http_parser *library)
{
    *(bool *)library->data = true;
    return 0;
}

/* Why there is a guard: were the library strict, it could go. */
Test(http1_parse, the_library_alone_would_let_some_of_them_through)
{
    const http_parser_settings settings = {.on_message_complete = note_end};
    unsigned let_through = 0;
    for (size_t i = 0; i < countof(bad_heads) + countof(bad_bodies); i++) {
        const struct vector *v =
            i < countof(bad_heads) ? &bad_heads[i] : &bad_bodies[i - countof(bad_heads)];
        http_parser library;
        bool ended = false;
        http_parser_init(&library, HTTP_REQUEST);
        library.data = &ended;
        (void)http_parser_execute(&library, &settings, v->bytes, v->length);
        if (!ended)
            continue;
        let_through++;
        cr_log_info("http-parser takes: %s", v->name);
    }
    cr_expect_gt(let_through, 0);
}

/* A request of which a part repeats until it is too much. */
static void expect_too_much(const char *begin, const char *part, unsigned times, const char *wanted)
{
    struct buf bytes = {0};
    buf_put(&bytes, begin, strlen(begin));
    for (unsigned i = 0; i < times; i++)
        buf_put(&bytes, part, strlen(part));
    const struct vector v = {part, (const char *)bytes.data, bytes.length, wanted};
    for (uint32_t seed = 0; seed < 5; seed++)
        cr_expect(ends_with(traced(&v, seed == 0 ? v.length : 997, seed), wanted), "%s", part);
    buf_done(&bytes);
}

Test(http1_parse, everything_that_can_grow_has_an_end)
{
    expect_too_much(GET, "a: b\r\n", HTTP1_FIELDS_MAX, ""); /* one too many, were it ended */
    expect_too_much("GET /", "aaaaaaaaaa", HTTP1_HEAD_BYTES_MAX / 10 + 1, "!head_size");
    expect_too_much(GET "a: ", "aaaaaaaaaa", HTTP1_HEAD_BYTES_MAX / 10 + 1, "!head_size");
    expect_too_much(CHUNKED "2;", "aaaa", HTTP1_CHUNK_LINE_BYTES_MAX / 4, "!chunk");
    expect_too_much(CHUNKED, "1\r\na\r\n", HTTP1_CHUNK_SPARE_BYTES / 4 + 1, "!chunk");
    expect_too_much(CHUNKED "0\r\n", "a: b\r\n", HTTP1_TRAILER_BYTES_MAX / 6 + 1, "!trailer");
}

Test(http1_parse, one_field_too_many_is_refused_when_the_head_ends)
{
    struct buf bytes = {0};
    buf_put(&bytes, GET, strlen(GET));
    for (unsigned i = 0; i < HTTP1_FIELDS_MAX; i++)
        buf_put(&bytes, "a: b\r\n", 6);
    buf_put(&bytes, "\r\n", 2);

    const struct vector v = {"65", (const char *)bytes.data, bytes.length, ""};

    cr_expect_str_eq(traced(&v, v.length, 0), "!head_size");
    buf_done(&bytes);
}

Test(http1_parse, changed_bytes_mean_the_same_however_they_are_cut)
{
    static const char base[] =
        CHUNKED "2;a=b\r\nab\r\n3\r\ncde\r\n0\r\nx-t: 1\r\n\r\n" LINE "Content-Length: 2\r\n\r\nab";
    static const char bytes[] = "\r\n :;0123\0\tfgX,\x7f";
    uint32_t seed = 7;
    for (unsigned round = 0; round < 10000; round++) {
        char changed[sizeof(base)];
        memcpy(changed, base, sizeof(base));
        for (unsigned k = 0; k <= round % 4; k++) {
            seed = seed * 1664525u + 1013904223u;
            changed[(seed >> 8) % (sizeof(base) - 1)] = bytes[(seed >> 24) % (sizeof(bytes) - 1)];
        }
        const struct vector v = {"changed", changed, sizeof(base) - 1, ""};

        char *whole = strdup(traced(&v, v.length, 0));

        cr_expect_str_eq(traced(&v, 9, seed), whole);
        cr_expect_str_eq(traced(&v, 1, seed), whole);
        free(whole);
    }
}

Test(http1_parse, it_is_idle_between_requests_alone)
{
    struct http1_parse *p = http1_parse_new();
    struct buf out = {0};

    cr_expect(http1_parse_is_idle(p));
    (void)http1_trace_piece(p, span_of_text("G"), &out);
    cr_expect(!http1_parse_is_idle(p));
    (void)http1_trace_piece(p, span_of_text("ET / HTTP/1.1\r\nHost: x\r\n\r\n"), &out);
    cr_expect(http1_parse_is_idle(p));
    (void)http1_trace_piece(p, span_of_text(LINE "Content-Length: 1\r\n\r\n"), &out);
    cr_expect(!http1_parse_is_idle(p));

    buf_done(&out);
    http1_parse_free(p);
}
