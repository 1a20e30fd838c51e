/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/regional/archive_given.h"

static const struct archive_place place = {"us-e1", GIVEN_REGION, GIVEN_EPOCH, GIVEN_PARTITION};

static void given_file(struct archive_avro *a, enum archive_codec codec, uint64_t clicks)
{
    archive_avro_begin(a, codec, 17);
    for (uint64_t n = 0; n < clicks; n++) {
        struct click c = given_full_click(n);
        archive_avro_put(a, &place, n, &c);
    }
    archive_avro_end(a);
}

Test(archive_avro, libavro_reads_every_field_of_every_click_back)
{
    for (enum archive_codec codec = ARCHIVE_SNAPPY; codec <= ARCHIVE_SNAPPY; codec++) {
        struct archive_avro a = {0};
        static unsigned seen[5000];
        memset(seen, 0, sizeof(seen));
        given_file(&a, codec, countof(seen));
        cr_assert_eq(a.clicks, countof(seen));
        cr_assert_eq(read_avro(buf_span(&a.file), seen, countof(seen), NULL), countof(seen));
        for (unsigned i = 0; i < countof(seen); i++)
            cr_assert_eq(seen[i], 1);
        archive_avro_done(&a);
    }
}

Test(archive_avro, a_file_without_clicks_is_one_too)
{
    struct archive_avro a = {0};
    unsigned seen[1] = {0};
    given_file(&a, ARCHIVE_SNAPPY, 0);
    cr_assert_eq(read_avro(buf_span(&a.file), seen, 1, NULL), 0);
    archive_avro_done(&a);
}

Test(archive_avro, equal_clicks_make_equal_bytes)
{
    for (enum archive_codec codec = 0; codec < ARCHIVE_CODECS; codec++) {
        struct archive_avro a = {0}, b = {0};
        given_file(&a, codec, 3000);
        given_file(&b, codec, 10);
        given_file(&b, codec, 3000); /* begun anew */
        cr_assert(span_equal(buf_span(&a.file), buf_span(&b.file)));
        archive_avro_done(&a);
        archive_avro_done(&b);
    }
}

Test(archive_avro, the_largest_click_fits)
{
    char text[LIMIT_USER_AGENT_BYTES];
    memset(text, 'x', sizeof(text));
    struct click c = {.minute = UINT32_MAX,
                      .flags = UINT16_MAX,
                      .timestamp_ms = UINT64_MAX,
                      .received_ms = UINT64_MAX,
                      .ad_id = span_of(text, LIMIT_ID_BYTES),
                      .user_id = span_of(text, LIMIT_ID_BYTES),
                      .click_id = span_of(text, LIMIT_ID_BYTES),
                      .ip_address = span_of(text, LIMIT_IP_TEXT_BYTES),
                      .user_agent = span_of(text, LIMIT_USER_AGENT_BYTES)};
    const struct archive_place far = {"e123456789012345678901234567890", "r12345678901234",
                                      UINT64_MAX, LIMIT_PARTITIONS - 1};
    struct archive_avro a = {0};
    archive_avro_begin(&a, ARCHIVE_ZSTANDARD, 1);
    for (unsigned i = 0; i < 1000; i++)
        archive_avro_put(&a, &far, INT64_MAX, &c);
    archive_avro_end(&a);
    cr_assert_eq(a.clicks, 1000);
    cr_assert_gt(a.file.length, 1000);
    archive_avro_done(&a);
}

/* The schema in the code is that of the file that others read, without its notes. */
static json_t *without_notes(json_t *value)
{
    size_t i;
    json_t *item;
    const char *key;
    if (json_is_object(value)) {
        (void)json_object_del(value, "doc");
        json_object_foreach(value, key, item)(void) without_notes(item);
    }
    json_array_foreach(value, i, item)(void) without_notes(item);
    return value;
}

Test(archive_avro, the_schema_is_that_of_click_avsc)
{
    json_t *file = json_load_file(TEST_SOURCE_DIR "/proto/click.avsc", 0, NULL);
    json_t *code = json_loads(archive_schema, 0, NULL);
    cr_assert(file != NULL && code != NULL);
    cr_assert(json_equal(without_notes(file), code));
    json_decref(file);
    json_decref(code);
}

Test(archive_avro, codecs_have_names)
{
    cr_assert_str_eq(archive_codec_name(ARCHIVE_SNAPPY), "snappy");
    cr_assert_str_eq(archive_codec_name(ARCHIVE_ZSTANDARD), "zstandard");
    cr_assert_null(archive_codec_name(ARCHIVE_CODECS));
}
