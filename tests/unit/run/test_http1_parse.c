/* SPDX-License-Identifier: Apache-2.0
 * Claims about http1_parse: what is a request, what is refused and why, and that it does not matter
 * how the bytes are cut. */
#include "tests/unit/run/http1_trace.h"
#include "tests/unit/run/http1_vectors.h"

#include <criterion/criterion.h>
#include <http_parser.h>

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
