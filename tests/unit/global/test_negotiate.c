/* SPDX-License-Identifier: Apache-2.0
 * A client gets the best of what it takes, and nothing that it does not take. */
#include "global/core/negotiate.h"

#include <criterion/criterion.h>

TestSuite(negotiate, .timeout = 30);

#define NOTHING (-1)

static int accepted(const char *field, unsigned offered)
{
    enum negotiate_type type;
    return negotiate_accept(span_of_text(field), offered, &type) ? (int)type : NOTHING;
}

Test(negotiate, the_type_with_the_best_quality_is_taken)
{
    static const struct {
        const char *field;
        int type;
    } rows[] = {
        {"", NEGOTIATE_JSON},
        {" , ,", NEGOTIATE_JSON},
        {"*/*", NEGOTIATE_JSON},
        {"application/json", NEGOTIATE_JSON},
        {"application/x-ndjson", NEGOTIATE_NDJSON},
        {"text/csv", NEGOTIATE_CSV},
        {"Text/CSV ; Charset=UTF-8", NEGOTIATE_CSV},
        {"text/csv;charset=\"utf-8\"", NEGOTIATE_CSV},
        {"text/*", NEGOTIATE_CSV},
        {"APPLICATION/*", NEGOTIATE_JSON},
        {"application/*, application/json;q=0", NEGOTIATE_NDJSON},
        {"application/json;q=0, */*;q=0.1", NEGOTIATE_NDJSON},
        {"text/csv, */*;q=0.1", NEGOTIATE_CSV},
        {"*/*;q=0.1, text/csv", NEGOTIATE_CSV},
        {"text/csv;q=0.5, application/json;q=0.501", NEGOTIATE_JSON},
        {"text/csv;q=1.000;, application/json;q=0.999", NEGOTIATE_CSV},
        {"text/csv;q=0.2, text/csv;q=0.9, application/json;q=0.5", NEGOTIATE_CSV},
        {"text/csv;q=0.9, text/csv;q=0.2, application/json;q=0.5", NEGOTIATE_CSV},
        {"text/html, application/xhtml+xml, */*;q=0.8", NEGOTIATE_JSON},
        {"text/html", NOTHING},
        {"text/csv;q=0", NOTHING},
        {"*/*;q=0", NOTHING},
        {"application/json;v=2", NOTHING},
        {"application/json;charset=latin1", NOTHING},
        {"application/json;charset", NOTHING},
        {"application/json;q", NOTHING},
        {"application/json;q=", NOTHING},
        {"application/json;q=1.001", NOTHING},
        {"application/json;q=2", NOTHING},
        {"application/json;q=.5", NOTHING},
        {"application/json;q=0.5000", NOTHING},
        {"application/json;q=0,5", NOTHING},
        {"application/json;q=0:5", NOTHING},
        {"application/json;q=0.a", NOTHING},
        {"application/json;q=-1", NOTHING},
        {"application/json;x=\",text/csv,\"", NOTHING},
        {"application/json x", NOTHING},
    };
    for (unsigned i = 0; i < countof(rows); i++)
        cr_assert_eq(accepted(rows[i].field, NEGOTIATE_OFFER_ROWS), rows[i].type, "%s: %d",
                     rows[i].field, accepted(rows[i].field, NEGOTIATE_OFFER_ROWS));
}

Test(negotiate, only_what_is_offered_is_taken)
{
    const unsigned csv = NEGOTIATE_OFFER(NEGOTIATE_CSV);
    cr_assert_eq(accepted("", csv), NEGOTIATE_CSV);
    cr_assert_eq(accepted("*/*", csv), NEGOTIATE_CSV);
    cr_assert_eq(accepted("application/json", csv), NOTHING);
    cr_assert_eq(accepted("text/csv", NEGOTIATE_OFFER(NEGOTIATE_JSON)), NOTHING);
}

static int coded(const char *field, bool small)
{
    enum negotiate_coding coding;
    return negotiate_encoding(span_of_text(field), true, small, &coding) ? (int)coding : NOTHING;
}

Test(negotiate, answers_are_packed_as_the_client_names_it)
{
    static const struct {
        const char *field;
        int large, small;
    } rows[] = {
        {"", NEGOTIATE_IDENTITY, NEGOTIATE_IDENTITY},
        {"gzip", NEGOTIATE_GZIP, NEGOTIATE_IDENTITY},
        {"gzip, deflate, br, zstd", NEGOTIATE_ZSTD, NEGOTIATE_IDENTITY},
        {"GZIP;q=1.0, zstd;q=0.9", NEGOTIATE_GZIP, NEGOTIATE_IDENTITY},
        {"zstd;q=0", NEGOTIATE_IDENTITY, NEGOTIATE_IDENTITY},
        {"gzip;q=0.5, identity", NEGOTIATE_IDENTITY, NEGOTIATE_IDENTITY},
        {"gzip, gzip;q=0", NEGOTIATE_GZIP, NEGOTIATE_IDENTITY},
        {"*", NEGOTIATE_IDENTITY, NEGOTIATE_IDENTITY},
        {"br, *;q=0", NOTHING, NOTHING},
        {"*;q=0, identity", NEGOTIATE_IDENTITY, NEGOTIATE_IDENTITY},
        {"*;q=0, gzip", NEGOTIATE_GZIP, NEGOTIATE_GZIP},
        {"identity;q=0", NOTHING, NOTHING},
        {"identity;q=0, *", NEGOTIATE_ZSTD, NEGOTIATE_ZSTD},
        {"identity;q=0, *;q=0.5, zstd;q=0", NEGOTIATE_GZIP, NEGOTIATE_GZIP},
        {"identity;q=0, gzip;q=0, zstd;q=0.001", NEGOTIATE_ZSTD, NEGOTIATE_ZSTD},
        {"identity;q=0, gzip;q=x", NOTHING, NOTHING},
    };
    enum negotiate_coding coding = NEGOTIATE_ZSTD;
    for (unsigned i = 0; i < countof(rows); i++) {
        cr_assert_eq(coded(rows[i].field, false), rows[i].large, "%s", rows[i].field);
        cr_assert_eq(coded(rows[i].field, true), rows[i].small, "%s", rows[i].field);
    }
    cr_assert(negotiate_encoding(span_of_text(""), false, false, &coding));
    cr_assert_eq(coding, NEGOTIATE_IDENTITY);
}

Test(negotiate, a_tag_is_found_in_a_list_weak_or_not)
{
    static const char *const with[] = {"\"ab\"", "W/\"ab\"", "*", " \"x\" , W/\"ab\"",
                                       "\"x,y\", \"ab\""};
    static const char *const without[] = {"",   "ab",     "\"a\"", "w/\"ab\"",     "\"ab",
                                          "W/", "\"x\",", "\"*\"", "\"x, \"ab\"\""};
    for (unsigned i = 0; i < countof(with); i++)
        cr_assert(negotiate_has_tag(span_of_text(with[i]), span_of_text("\"ab\"")), "%s", with[i]);
    for (unsigned i = 0; i < countof(without); i++)
        cr_assert_not(negotiate_has_tag(span_of_text(without[i]), span_of_text("\"ab\"")), "%s",
                      without[i]);
}

Test(negotiate, names_are_those_of_the_registries)
{
    cr_assert_str_eq(negotiate_type_name(NEGOTIATE_NDJSON), "application/x-ndjson");
    cr_assert_str_eq(negotiate_coding_name(NEGOTIATE_ZSTD), "zstd");
}
