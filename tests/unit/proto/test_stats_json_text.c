/* SPDX-License-Identifier: Apache-2.0
 * stats_json_text: what is written is what a JSON parser reads. */
#include "proto/stats_json_text.h"

#include <criterion/criterion.h>
#include <jansson.h>

static void expect_text(struct buf *out, const char *text)
{
    cr_assert_eq(out->length, strlen(text));
    cr_assert_arr_eq(out->data, text, out->length);
    buf_done(out);
}

Test(stats_json_text, numbers_of_every_length_come_out_whole)
{
    struct buf out = {0};
    stats_json_number(&out, 0);
    stats_json_text(&out, " ");
    stats_json_number(&out, 10);
    stats_json_text(&out, " ");
    stats_json_number(&out, UINT64_MAX);
    expect_text(&out, "0 10 18446744073709551615");
}

Test(stats_json_text, truth_has_two_words)
{
    struct buf out = {0};
    stats_json_bool(&out, true);
    stats_json_bool(&out, false);
    expect_text(&out, "truefalse");
}

Test(stats_json_text, every_ascii_character_survives_a_parser)
{
    for (int c = 1; c < 0x80; c++) {
        char text[] = {'a', (char)c, 'z', '\0'};
        struct buf out = {0};
        stats_json_string(&out, span_of_text(text));
        json_t *read = json_loadb((const char *)out.data, out.length, JSON_DECODE_ANY, NULL);
        cr_assert_not_null(read, "character %d", c);
        cr_assert_str_eq(json_string_value(read), text);
        json_decref(read);
        buf_done(&out);
    }
}
