/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/regional/archive_given.h"

static void add(struct archive_object *o, const struct segment_head *h, uint64_t first,
                uint64_t last, uint64_t seq)
{
    static struct click clicks[64];
    struct archive_options options = given_archive_options();
    options.who.ip = ARCHIVE_IP_TRUNCATE;
    static char texts[64][5][32];
    for (uint64_t n = h->first; n < h->last; n++) {
        struct click c = given_full_click(n);
        struct span *spans[] = {&c.ad_id, &c.user_id, &c.click_id, &c.ip_address, &c.user_agent};
        for (unsigned s = 0; s < countof(spans); s++) {
            char *at = texts[n - h->first][s];
            if (spans[s]->length > 0)
                memcpy(at, spans[s]->data, spans[s]->length);
            *spans[s] = span_of(at, spans[s]->length);
        }
        clicks[n - h->first] = c;
    }
    archive_object_add(o, &options.who, h, (struct archive_run){first, last}, clicks, seq,
                       GIVEN_START_MS + seq);
}

static void end(struct archive_object *o, struct archive_file *f)
{
    struct archive_options options = given_archive_options();
    options.who.ip = ARCHIVE_IP_TRUNCATE;
    archive_object_end(o, &options.who, f);
}

Test(archive_object, names_hold_partition_day_stream_range_and_digest)
{
    struct archive_object o = {0};
    struct archive_file f;
    struct segment_head h = given_run(0, 10);
    char sha256[65], expected[1024];
    add(&o, &h, 0, 10, 41);
    add(&o, &h, 0, 10, 43);

    end(&o, &f);

    hash_sha256(buf_span(&f.data), sha256);
    (void)snprintf(expected, sizeof(expected),
                   "objects/us/p0001/2025-02-19/00000000000000000041-00000000000000000043-%s.avro",
                   sha256);
    cr_assert_str_eq(f.name, expected);
    (void)snprintf(expected, sizeof(expected), "manifests%s.json", f.name + 7);
    cr_assert_str_eq(f.manifest_name, expected);
    cr_assert(archive_object_is_empty(&o) && archive_object_bytes(&o) == 0);
    archive_file_done(&f);
    archive_object_done(&o);
}

Test(archive_object, the_manifest_says_what_is_in_the_object)
{
    struct archive_object o = {0};
    struct archive_file f;
    struct segment_head h = given_run(0, 10), other = given_run(100, 111);
    other.fin = true;
    (void)snprintf(other.edge, sizeof(other.edge), "us-e0");
    add(&o, &h, 3, 6, 9);
    add(&o, &h, 8, 10, 5);
    add(&o, &other, 100, 105, 7);
    add(&o, &other, 105, 111, 8);
    add(&o, &h, 6, 8, 6);

    end(&o, &f);

    json_t *m = manifest_of(&f);
    cr_assert_eq(json_number(m, "version"), ARCHIVE_MANIFEST_VERSION);
    cr_assert_str_eq(json_string_value(json_object_get(m, "object")), f.name);
    cr_assert_str_eq(json_string_value(json_object_get(m, "format")), "avro");
    cr_assert_str_eq(json_string_value(json_object_get(m, "privacy_ip")), "truncate");
    cr_assert_eq(json_number(m, "bytes"), f.data.length);
    cr_assert_eq(json_number(m, "clicks"), 17);
    cr_assert_eq(f.clicks, 17);
    json_t *stream = json_object_get(m, "stream");
    cr_assert(json_number(stream, "first") == 5 && json_number(stream, "last") == 9);
    json_t *minutes = json_object_get(m, "minutes");
    cr_assert_eq(json_integer_value(json_array_get(minutes, 0)), GIVEN_MINUTE);
    cr_assert_eq(json_integer_value(json_array_get(minutes, 1)), GIVEN_MINUTE + 2);
    json_t *ranges = json_object_get(m, "ranges");
    cr_assert_eq(json_array_size(ranges), 3);
    static const struct {
        const char *edge;
        uint64_t first, last, clicks;
        bool fin;
    } expected[] = {
        {"us-e0", 100, 111, 10, true}, {"us-e1", 3, 8, 5, false}, {"us-e1", 8, 10, 2, false}};
    for (unsigned i = 0; i < countof(expected); i++) {
        json_t *r = json_array_get(ranges, i);
        cr_assert_str_eq(json_string_value(json_object_get(r, "edge")), expected[i].edge);
        cr_assert_str_eq(json_string_value(json_object_get(r, "epoch")), "0123456789abcdef");
        cr_assert_eq(json_number(r, "first"), expected[i].first);
        cr_assert_eq(json_number(r, "last"), expected[i].last);
        cr_assert_eq(json_number(r, "clicks"), expected[i].clicks);
        cr_assert_eq(json_is_true(json_object_get(r, "fin")), expected[i].fin);
    }
    json_decref(m);
    archive_file_done(&f);
    archive_object_done(&o);
}

Test(archive_object, a_run_of_fin_alone_is_a_range_without_clicks)
{
    struct archive_object o = {0};
    struct archive_file f;
    struct segment_head h = given_run(7, 8);
    h.fin = true;
    add(&o, &h, 7, 8, 1);
    end(&o, &f);
    json_t *m = manifest_of(&f);
    cr_assert_eq(json_number(m, "clicks"), 0);
    cr_assert_null(json_object_get(m, "minutes"));
    cr_assert_eq(json_array_size(json_object_get(m, "ranges")), 1);
    json_decref(m);
    archive_file_done(&f);
    /* What comes after an end is a range of its own. */
    struct segment_head more = given_run(8, 12);
    add(&o, &h, 7, 8, 1);
    add(&o, &more, 8, 12, 2);
    cr_assert_eq(o.range_count, 2);
    archive_object_done(&o);
}

Test(archive_object, days_are_those_of_the_calendar)
{
    static const struct {
        uint64_t ms;
        const char *day;
    } days[] = {{1, "/1970-01-01/"},
                {951782400000, "/2000-02-29/"},
                {951868799999, "/2000-02-29/"},
                {951868800000, "/2000-03-01/"},
                {4107542399999, "/2100-02-28/"},
                {4107542400000, "/2100-03-01/"},
                {1798761599999, "/2026-12-31/"},
                {1798761600000, "/2027-01-01/"},
                {UINT64_MAX, "/9999-12-31/"}};
    struct archive_options options = given_archive_options();
    struct segment_head h = given_run(0, 1);
    h.fin = true;
    for (unsigned i = 0; i < countof(days); i++) {
        struct archive_object o = {0};
        struct archive_file f;
        archive_object_add(&o, &options.who, &h, (struct archive_run){0, 1}, NULL, 1, days[i].ms);
        archive_object_end(&o, &options.who, &f);
        cr_assert_not_null(strstr(f.name, days[i].day), "%s, not %s", f.name, days[i].day);
        archive_file_done(&f);
        archive_object_done(&o);
    }
}

Test(archive_object, many_ranges_grow_in_order)
{
    struct archive_object o = {0};
    struct archive_file f;
    for (uint64_t i = 0; i < 60; i++) {
        uint64_t first = i * 7919 % 60 * 10;
        struct segment_head h = given_run(first, first + 3);
        h.epoch += i % 3;
        add(&o, &h, first, first + 3, i + 1);
    }
    cr_assert_eq(o.range_count, 60);
    end(&o, &f);
    json_t *m = manifest_of(&f);
    cr_assert_eq(json_array_size(json_object_get(m, "ranges")), 60);
    json_decref(m);
    archive_file_done(&f);
    archive_object_done(&o);
}
