/* SPDX-License-Identifier: Apache-2.0
 * fuzz_http1: any bytes as an HTTP/1.1 connection: bounded, the same in whatever pieces they come,
 * and a head that was let through says one thing only about where its request ends. */
#include "tests/fuzz/fuzz_target.h"
#include "tests/unit/run/http1_trace.h"

#define PIECES_BYTES_MAX 65536

static bool is_named(const struct http1_field *field, const char *name)
{
    return span_equal(field->name, span_of_text(name));
}

static void check_head(const struct http1_head *head)
{
    size_t hosts = 0, lengths = 0, codings = 0, bytes = 0;

    CHECK(head->field_count <= HTTP1_FIELDS_MAX && head->target.length > 0);
    for (size_t i = 0; i < head->field_count; i++) {
        const struct http1_field *field = &head->fields[i];
        hosts += is_named(field, "host");
        lengths += is_named(field, "content-length");
        codings += is_named(field, "transfer-encoding");
        bytes += field->name.length + field->value.length;
        CHECK(field->name.length > 0 && memchr(field->name.data, ' ', field->name.length) == NULL);
        for (size_t j = 0; j < field->value.length; j++)
            CHECK(field->value.data[j] == '\t' ||
                  (field->value.data[j] >= 0x20 && field->value.data[j] != 0x7f));
    }
    CHECK(hosts == 1 && lengths + codings <= 1 && bytes <= HTTP1_HEAD_BYTES_MAX);
    CHECK(head->has_length == (lengths == 1) && head->chunked == (codings == 1));
}

/* The body is as long as its head said, and every request has a head before it. */
static void check_events(struct span bytes)
{
    struct http1_parse *p = http1_parse_new();
    struct http1_event event;
    bool inside = false, measured = false;
    uint64_t left = 0;

    do {
        size_t eaten = http1_parse_feed(p, bytes, &event);
        CHECK(eaten <= bytes.length);
        bytes = span_of(bytes.data + eaten, bytes.length - eaten);
        CHECK((event.kind == HTTP1_BODY || event.kind == HTTP1_END) <= inside);
        if (event.kind == HTTP1_HEAD) {
            CHECK(!inside);
            check_head(event.head);
            inside = true;
            measured = !event.head->chunked;
            left = event.head->content_length;
        } else if (event.kind == HTTP1_BODY) {
            CHECK(event.body.length > 0 && (!measured || event.body.length <= left));
            left -= measured ? event.body.length : 0;
        } else if (event.kind == HTTP1_END) {
            CHECK(!measured || left == 0);
            inside = false;
        }
    } while (event.kind != HTTP1_NOTHING && event.kind != HTTP1_REFUSED);
    http1_parse_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct buf whole, pieces; /* reachable to the end */

    check_events(span_of(data, size));
    buf_clear(&whole);
    buf_clear(&pieces);
    if (size > PIECES_BYTES_MAX)
        return 0;
    http1_trace(span_of(data, size), size + 1, 0, &whole);
    http1_trace(span_of(data, size), 7, (uint32_t)size, &pieces);
    CHECK(span_equal(buf_span(&whole), buf_span(&pieces)));
    return 0;
}
