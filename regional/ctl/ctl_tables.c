/* SPDX-License-Identifier: Apache-2.0
 * ctl_tables: a globe's answers as tables for people. Source of the shapes: proto/openapi.yaml. */
#include "regional/ctl/ctl_tables.h"

#include "common/run/options.h"
#include "regional/ctl/ctl_base.h"

#include <jansson.h>
#include <stdio.h>

static long long number(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static bool yes(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

static void print_text(const json_t *text)
{
    if (json_is_string(text))
        ctl_print_safely(json_string_value(text), json_string_length(text));
    else
        (void)putchar('-');
}

static void print_time(const json_t *seconds, const char *after)
{
    char text[CTL_TIME_BYTES] = "-";
    if (json_is_integer(seconds))
        ctl_time_text(json_integer_value(seconds), text);
    (void)printf("%-19s%s", text, after);
}

static void print_as_of(const json_t *answer)
{
    (void)printf("as of ");
    print_time(json_object_get(answer, "as_of"), " UTC\n");
}

static int show_stats(const json_t *answer)
{
    const json_t *points = json_object_get(answer, "data"), *point;
    size_t i, open = 0;
    long long clicks = 0;
    (void)printf("%-19s  %15s  %12s  %-8s  %s\n", "START (UTC)", "CLICKS", "USERS", "COMPLETE",
                 "FINAL");
    json_array_foreach(points, i, point)
    {
        const json_t *users = json_object_get(point, "unique_users");
        print_time(json_object_get(point, "timestamp"), "");
        (void)printf("  %15lld  ", number(point, "click_count"));
        if (json_is_integer(users))
            (void)printf("%12lld", (long long)json_integer_value(users));
        else
            (void)printf("%12s", "-");
        (void)printf("  %-8s  %s\n", yes(point, "complete") ? "yes" : "no",
                     yes(point, "final") ? "yes" : "no");
        clicks += number(point, "click_count");
        open += !yes(point, "complete");
    }
    (void)printf("%lld clicks of ", clicks);
    print_text(json_object_get(answer, "ad_id"));
    (void)printf(", %zu windows of %zu not complete, ", open, json_array_size(points));
    print_as_of(answer);
    return 0;
}

static int show_top(const json_t *answer)
{
    const json_t *ad;
    size_t i;
    (void)printf("%4s  %15s  %s\n", "RANK", "CLICKS", "AD");
    json_array_foreach(json_object_get(answer, "ads"), i, ad)
    {
        (void)printf("%4zu  %15lld  ", i + 1, number(ad, "click_count"));
        print_text(json_object_get(ad, "ad_id"));
        (void)putchar('\n');
    }
    (void)printf("%s, ", yes(answer, "final")      ? "final"
                         : yes(answer, "complete") ? "complete"
                                                   : "not complete yet");
    print_as_of(answer);
    return 0;
}

static int show_ads(const json_t *answer)
{
    const json_t *ad, *next = json_object_get(answer, "next");
    size_t i;
    (void)printf("%-19s  %-19s  %s\n", "FIRST SEEN (UTC)", "LAST SEEN (UTC)", "AD");
    json_array_foreach(json_object_get(answer, "ads"), i, ad)
    {
        print_time(json_object_get(ad, "first_seen"), "  ");
        print_time(json_object_get(ad, "last_seen"), "  ");
        print_text(json_object_get(ad, "ad_id"));
        (void)putchar('\n');
    }
    if (json_is_string(next)) {
        (void)printf("more: --cursor ");
        print_text(next);
        (void)putchar('\n');
    }
    return 0;
}

static void print_sums(const json_t *sums)
{
    (void)printf("  %14lld  %14lld  %10lld  %10lld  %10lld  %11lld\n", number(sums, "folded"),
                 number(sums, "counted"), number(sums, "duplicate"), number(sums, "carried"),
                 number(sums, "in_flight"), number(sums, "unexplained"));
}

static int show_balance(const json_t *answer)
{
    const json_t *line;
    size_t i;
    (void)printf("%4s  %-16s  %-16s  %14s  %14s  %10s  %10s  %10s  %11s\n", "PART", "REGION",
                 "REPLICA", "FOLDED", "COUNTED", "DUPLICATE", "CARRIED", "IN FLIGHT",
                 "UNEXPLAINED");
    json_array_foreach(json_object_get(answer, "lines"), i, line)
    {
        const char *region = json_string_value(json_object_get(line, "region"));
        const char *replica = json_string_value(json_object_get(line, "replica"));
        (void)printf("%4lld  %-16s  %-16s", number(line, "partition"),
                     region == NULL ? "-" : region, replica == NULL ? "-" : replica);
        print_sums(line);
    }
    (void)printf("%-40s", "all");
    print_sums(json_object_get(answer, "totals"));
    (void)printf("%lld unexplained, ", number(answer, "unexplained"));
    print_as_of(answer);
    return 0;
}

static int show_watermarks(const json_t *answer)
{
    const json_t *edge;
    const char *region;
    json_t *watermark;
    size_t i;
    (void)printf("%-16s  %-19s  %s\n", "REGION", "WATERMARK (UTC)", "BEHIND");
    json_object_foreach(json_object_get(answer, "watermarks"), region, watermark)
    {
        (void)printf("%-16s  ", region);
        print_time(watermark, "  ");
        if (json_is_integer(watermark))
            (void)printf("%lld s\n",
                         number(answer, "as_of") - (long long)json_integer_value(watermark));
        else
            (void)printf("none yet\n");
    }
    json_array_foreach(json_object_get(answer, "missing_edges"), i, edge)
    {
        (void)printf("missing: edge ");
        print_text(json_object_get(edge, "edge"));
        (void)printf(" of region ");
        print_text(json_object_get(edge, "region"));
        (void)putchar('\n');
    }
    print_as_of(answer);
    return 0;
}

/* The books close, to the click. */
static int judge_balance(const json_t *answer)
{
    return number(answer, "unexplained") == 0 ? 0 : CTL_EXIT_NO;
}

static int judge_watermarks(const json_t *answer)
{
    const char *region;
    json_t *watermark;
    bool all = json_array_size(json_object_get(answer, "missing_edges")) == 0;
    json_object_foreach(json_object_get(answer, "watermarks"), region, watermark) all =
        all && json_is_integer(watermark);
    return all ? 0 : CTL_EXIT_NO;
}

static const struct {
    const char *list, *also; /* members without which it is no such answer */
    int (*show)(const json_t *answer);
    int (*judge)(const json_t *answer); /* NULL: nothing to judge */
} tables[] = {
    [CTL_TABLE_STATS] = {"data", "ad_id", show_stats, NULL},
    [CTL_TABLE_TOP] = {"ads", "as_of", show_top, NULL},
    [CTL_TABLE_ADS] = {"ads", "next", show_ads, NULL},
    [CTL_TABLE_BALANCE] = {"lines", "unexplained", show_balance, judge_balance},
    [CTL_TABLE_WATERMARKS] = {"missing_edges", "watermarks", show_watermarks, judge_watermarks},
};

int ctl_tables_show(enum ctl_table table, struct span json, bool quiet)
{
    json_error_t error;
    json_t *answer =
        json_loadb((const char *)json.data, json.length, JSON_REJECT_DUPLICATES, &error);
    int code = EXIT_CODE_TEMPORARY;
    if (json_is_array(json_object_get(answer, tables[table].list)) &&
        json_object_get(answer, tables[table].also) != NULL) {
        code = quiet ? 0 : tables[table].show(answer);
        if (tables[table].judge != NULL)
            code = tables[table].judge(answer);
    } else {
        (void)ctl_fail(code, "not the answer of a globe", "");
    }
    json_decref(answer);
    return code;
}

static int code_of(long status)
{
    switch (status) {
    case 400:
        return EXIT_CODE_USAGE;
    case 401:
    case 403:
        return CTL_EXIT_NOT_ALLOWED;
    case 409:
        return CTL_EXIT_NO;
    default:
        return EXIT_CODE_TEMPORARY;
    }
}

int ctl_tables_problem(long status, struct span json)
{
    json_error_t error;
    json_t *problem = json_loadb((const char *)json.data, json.length, 0, &error);
    const json_t *detail = json_object_get(problem, "detail");
    char words[48];
    (void)snprintf(words, sizeof(words), "the globe answers %ld: ", status);
    int code = code_of(status);
    /* Ours are plain sentences; whoever else answered there does not get to write to a terminal. */
    bool is_plain = json_is_string(detail);
    for (size_t i = 0; is_plain && i < json_string_length(detail); i++)
        is_plain = (unsigned char)json_string_value(detail)[i] >= 0x20 &&
                   (unsigned char)json_string_value(detail)[i] < 0x7f;
    (void)ctl_fail(code, words, is_plain ? json_string_value(detail) : "not a problem of ours");
    json_decref(problem);
    return code;
}
