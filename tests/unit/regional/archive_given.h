/* SPDX-License-Identifier: Apache-2.0
 * archive_given: archives, segments with full clicks, and the archive read back: Avro by libavro,
 * manifests by jansson. Audience: tests/unit/regional. */
#pragma once

#include "regional/core/archive.h"
#include "unit/regional/region_given.h"

#include <avro.h>
#include <jansson.h>

#define GIVEN_EPOCH 0x0123456789abcdefULL

MAYBE_UNUSED static struct archive_options given_archive_options(void)
{
    struct archive_options o = {
        .who = {.store_id = 7, .partition = GIVEN_PARTITION, .partitions = GIVEN_PARTITIONS},
        .object_bytes = 1 << 20,
        .object_age_ms = 60000};
    (void)snprintf(o.who.archiver, sizeof(o.who.archiver), "us-a1");
    (void)snprintf(o.who.region, sizeof(o.who.region), "%s", GIVEN_REGION);
    return o;
}

MAYBE_UNUSED static struct archive *given_archive(void)
{
    struct archive_options o = given_archive_options();
    return archive_new(&o);
}

/* A click all of whose fields follow from its number; the texts live until the next call but 7. */
MAYBE_UNUSED static struct click given_full_click(uint64_t number)
{
    static char texts[8][5][64];
    static unsigned turn;
    char(*t)[64] = texts[turn++ % 8];
    (void)snprintf(t[0], 64, "ad-%lu", (unsigned long)number % 17);
    (void)snprintf(t[1], 64, "user-%lu", (unsigned long)number * 7919 % 1009);
    (void)snprintf(t[2], 64, "click-%lu", (unsigned long)number);
    (void)snprintf(t[3], 64, "192.0.2.%lu", (unsigned long)number % 256);
    (void)snprintf(t[4], 64, "agent %lu", (unsigned long)number % 5);
    struct click c = {.minute = GIVEN_MINUTE + (uint32_t)(number % 3),
                      .flags = (uint16_t)(number % 4),
                      .user_hash = number,
                      .received_ms = GIVEN_START_MS + number,
                      .ad_id = span_of_text(t[0]),
                      .user_id = span_of_text(t[1]),
                      .click_id = number % 3 == 0 ? (struct span){0} : span_of_text(t[2]),
                      .ip_address = span_of_text(t[3]),
                      .user_agent = span_of_text(t[4])};
    c.timestamp_ms = minute_start_ms(c.minute) + number % 60000;
    bytes_store_u64(c.key, number);
    bytes_store_u64(c.key + 8, ~number);
    return c;
}

MAYBE_UNUSED static struct segment_head given_run(uint64_t first, uint64_t last)
{
    struct segment_head h = given_head("us-e1", GIVEN_EPOCH, first, last, GIVEN_START_MS);
    return h;
}

MAYBE_UNUSED static void given_full_segment(struct buf *out, const struct segment_head *h)
{
    uint32_t count = (uint32_t)(h->last - h->first) - (h->fin && h->last > h->first ? 1 : 0);
    struct click *wire = base_zalloc(count, sizeof(*wire));
    struct buf texts = {0};
    buf_reserve(&texts, count * 512u);
    for (uint32_t i = 0; i < count; i++) {
        wire[i] = given_full_click(h->first + i);
        struct span *spans[] = {&wire[i].ad_id, &wire[i].user_id, &wire[i].click_id,
                                &wire[i].ip_address, &wire[i].user_agent};
        for (unsigned s = 0; s < countof(spans); s++) {
            size_t at = texts.length;
            buf_put(&texts, spans[s]->data, spans[s]->length);
            spans[s]->data = texts.data + at;
        }
    }
    segment_write(out, h, wire, count);
    buf_done(&texts);
    free(wire);
}

MAYBE_UNUSED static void when_message(struct archive *a, uint64_t seq, const char *subject,
                                      struct span data, uint64_t now_ms)
{
    struct archive_message m = {subject, seq, GIVEN_START_MS + seq, data};
    archive_step(a, &m, now_ms);
}

MAYBE_UNUSED static void when_archived(struct archive *a, uint64_t seq,
                                       const struct segment_head *h, uint64_t now_ms)
{
    struct buf message = {0};
    given_full_segment(&message, h);
    struct subject s = subject_segment(h->region, h->partition, h->edge);
    when_message(a, seq, s.text, buf_span(&message), now_ms);
    buf_done(&message);
}

MAYBE_UNUSED static struct archive_line *line_of_archive(struct archive *a)
{
    struct archive_edge *e = archive_book_find(&a->book, "us-e1");
    return e == NULL ? NULL : archive_book_line(e, GIVEN_EPOCH);
}

/* --- read back --- */

static void avro_text(const avro_value_t *record, const char *field, char *out, size_t size)
{
    avro_value_t v, inner;
    const char *text = NULL;
    size_t length = 0;
    cr_assert_eq(avro_value_get_by_name(record, field, &v, NULL), 0, "%s", field);
    if (avro_value_get_type(&v) == AVRO_UNION) {
        int branch = -1;
        cr_assert_eq(avro_value_get_discriminant(&v, &branch), 0);
        cr_assert_eq(avro_value_get_current_branch(&v, &inner), 0);
        if (branch == 0) {
            out[0] = '\0';
            return;
        }
        v = inner;
    }
    cr_assert_eq(avro_value_get_string(&v, &text, &length), 0, "%s", field);
    (void)snprintf(out, size, "%s", text);
}

static int64_t avro_number(const avro_value_t *record, const char *field)
{
    avro_value_t v;
    int32_t small = 0;
    int64_t large = 0;
    cr_assert_eq(avro_value_get_by_name(record, field, &v, NULL), 0, "%s", field);
    if (avro_value_get_type(&v) == AVRO_INT32) {
        cr_assert_eq(avro_value_get_int(&v, &small), 0);
        return small;
    }
    cr_assert_eq(avro_value_get_long(&v, &large), 0, "%s", field);
    return large;
}

static bool is_span(struct span s, const char *text)
{
    return span_equal(s, span_of_text(text));
}

/* Is the record just click `number` of GIVEN_EPOCH, in every field? */
MAYBE_UNUSED static void expect_record(const avro_value_t *r, uint64_t number, const char *ip)
{
    char text[128];
    struct click c = given_full_click(number);
    avro_text(r, "edge", text, sizeof(text));
    cr_assert_str_eq(text, "us-e1");
    avro_text(r, "epoch", text, sizeof(text));
    cr_assert_str_eq(text, "0123456789abcdef");
    avro_text(r, "region", text, sizeof(text));
    cr_assert_str_eq(text, GIVEN_REGION);
    cr_assert_eq(avro_number(r, "partition"), GIVEN_PARTITION);
    avro_text(r, "ad_id", text, sizeof(text));
    cr_assert(is_span(c.ad_id, text));
    avro_text(r, "user_id", text, sizeof(text));
    cr_assert(is_span(c.user_id, text));
    avro_text(r, "click_id", text, sizeof(text));
    cr_assert(is_span(c.click_id, text), "%lu: %s", (unsigned long)number, text);
    avro_text(r, "ip_address", text, sizeof(text));
    cr_assert(ip != NULL ? strcmp(text, ip) == 0 : is_span(c.ip_address, text));
    avro_text(r, "user_agent", text, sizeof(text));
    cr_assert(is_span(c.user_agent, text));
    cr_assert_eq(avro_number(r, "timestamp"), c.timestamp_ms);
    cr_assert_eq(avro_number(r, "received"), c.received_ms);
    cr_assert_eq(avro_number(r, "flags"), c.flags);
    avro_value_t v;
    const void *key = NULL;
    size_t length = 0;
    cr_assert_eq(avro_value_get_by_name(r, "key", &v, NULL), 0);
    cr_assert_eq(avro_value_get_fixed(&v, &key, &length), 0);
    cr_assert(length == HASH_CLICK_BYTES && memcmp(key, c.key, length) == 0);
}

/* Reads an Avro file by libavro; each record must be the click of its number. Returns how many;
 * their numbers are counted in seen[0..seen_count). */
MAYBE_UNUSED static uint64_t read_avro(struct span file, unsigned *seen, uint64_t seen_count,
                                       const char *ip)
{
    avro_file_reader_t reader = NULL;
    FILE *f = tmpfile();
    cr_assert(fwrite(file.data, 1, file.length, f) == file.length && fseek(f, 0, SEEK_SET) == 0);
    cr_assert_eq(avro_file_reader_fp(f, "archive", 1, &reader), 0, "%s", avro_strerror());
    avro_schema_t schema = avro_file_reader_get_writer_schema(reader);
    avro_value_iface_t *iface = avro_generic_class_from_schema(schema);
    avro_value_t record;
    uint64_t count = 0;
    cr_assert_eq(avro_generic_value_new(iface, &record), 0);
    while (avro_file_reader_read_value(reader, &record) == 0) {
        uint64_t number = (uint64_t)avro_number(&record, "number");
        expect_record(&record, number, ip);
        cr_assert_lt(number, seen_count);
        seen[number]++;
        count++;
        (void)avro_value_reset(&record);
    }
    avro_value_decref(&record);
    avro_value_iface_decref(iface);
    avro_schema_decref(schema);
    cr_assert_eq(avro_file_reader_close(reader), 0);
    return count;
}

MAYBE_UNUSED static json_t *manifest_of(const struct archive_file *f)
{
    json_error_t error;
    json_t *m = json_loadb((const char *)f->manifest.data, f->manifest.length,
                           JSON_REJECT_DUPLICATES, &error);
    cr_assert_not_null(m, "line %d: %s", error.line, error.text);
    return m;
}

MAYBE_UNUSED static uint64_t json_number(const json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);
    cr_assert(json_is_integer(value), "%s", name);
    return (uint64_t)json_integer_value(value);
}
