/* SPDX-License-Identifier: Apache-2.0
 * Over real TLS, HTTP/2 and LMDB: several ads, pages, and windows of a time zone. */
#include "http_given.h"
#include "tokens_given.h"

#include <sys/stat.h>

#include "zone_given.h"

static struct http_given g;
static struct tokens_given book;
static struct global_tokens *tokens;
static struct tokens_given_token all, one;
static char *zones;

static void write_zone(const char *name, const char *rule)
{
    static const int32_t east[] = {0};
    const struct zone_given z = {.east = east, .types = 1, .rule = rule};
    struct buf bytes = {0};
    zone_given_bytes(&z, &bytes);
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s", zones, name);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(bytes.data, 1, bytes.length, file), bytes.length);
    cr_assert_eq(fclose(file), 0);
    buf_done(&bytes);
}

static void setup(void)
{
    char *error = NULL;
    http_given_init(&g);
    tokens_given_init(&book, g.folder);
    all = tokens_given_add(&book, "*", TOKEN_STATS_READ, 0, 0);
    one = tokens_given_add(&book, g.ads[0], TOKEN_STATS_READ, 0, 0);
    tokens_given_write(&book);
    cr_assert_eq(global_tokens_open(book.path, book.key_path, &g.w->clock.port, &tokens, &error),
                 ERR_OK, "%s", error);
    zones = strdup(scratch_path(g.folder, "zones"));
    cr_assert_eq(mkdir(zones, 0700), 0);
    write_zone("Kolkata", ZONE_GIVEN_KOLKATA);
    g.zoneinfo = zones;
}

static void teardown(void)
{
    http_given_done(&g);
    global_tokens_free(tokens);
    buf_done(&book.lines);
    free(zones);
}

TestSuite(global_http_counts, .init = setup, .fini = teardown, .timeout = 60);

static const char *path_of(const char *format, ...)
{
    static char path[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(path, sizeof(path), format, args);
    va_end(args);
    return path;
}

static const char *both_path(unsigned minutes, const char *rest)
{
    return path_of("/v1/stats?ad_id=%s&ad_id=%s&window=1m&start=%llu&end=%llu%s", g.ads[1],
                   g.ads[0], GIVEN_MINUTE * 60ULL, (GIVEN_MINUTE + minutes) * 60ULL, rest);
}

static int64_t count_of(const json_t *point)
{
    return json_integer_value(json_object_get(point, "click_count"));
}

Test(global_http_counts, several_ads_come_in_the_order_of_the_query)
{
    http_given_start(&g, tokens, -1);
    json_t *root = http_given_json(http_given_get(&g, all.text, both_path(2, "")));
    json_t *ads = json_object_get(root, "ads");
    cr_assert_eq(json_array_size(ads), 2);
    for (size_t i = 0; i < 2; i++) {
        json_t *ad = json_array_get(ads, i);
        json_t *data = json_object_get(ad, "data");
        cr_assert_str_eq(json_string_value(json_object_get(ad, "ad_id")), g.ads[1 - i]);
        cr_assert_eq(json_array_size(data), 2);
        cr_assert_eq(count_of(json_array_get(data, 0)), i == 0 ? 25 : 5);
        cr_assert_eq(count_of(json_array_get(data, 1)), 0);
    }
    cr_assert_str_eq(json_string_value(json_object_get(root, "window")), "1m");
    cr_assert_not_null(json_object_get(root, "as_of"));
    cr_assert_null(json_object_get(root, "next"), "nobody asked for pages");
    cr_assert_null(json_object_get(root, "ad_id"));
    json_decref(root);
}

Test(global_http_counts, a_foreign_ad_among_several_has_no_clicks)
{
    http_given_start(&g, tokens, -1);
    json_t *root = http_given_json(http_given_get(&g, one.text, both_path(1, "")));
    for (size_t i = 0; i < 2; i++) {
        json_t *ad = json_array_get(json_object_get(root, "ads"), i);
        json_t *point = json_array_get(json_object_get(ad, "data"), 0);
        cr_assert_eq(count_of(point), i == 0 ? 0 : 5);
        cr_assert(json_is_true(json_object_get(point, "complete")));
    }
    json_decref(root);
    cr_assert_eq(http_given_get(&g, one.text, both_path(1, "&consistency=complete"))->status, 200);
    cr_assert_eq(http_given_get(&g, one.text, both_path(2, "&consistency=complete"))->status, 409);
    cr_assert_eq(http_given_get(&g, one.text, both_path(1, "&consistency=final"))->status, 409);
}

Test(global_http_counts, pages_together_are_the_whole)
{
    char cursor[64] = "";
    char rows[8][64];
    unsigned count = 0;
    http_given_start(&g, tokens, -1);
    for (unsigned page = 0; page < 3; page++) {
        char rest[128];
        (void)snprintf(rest, sizeof(rest), "&limit=3%s%s", page > 0 ? "&cursor=" : "", cursor);
        json_t *root = http_given_json(http_given_get(&g, all.text, both_path(4, rest)));
        json_t *ads = json_object_get(root, "ads");
        for (size_t i = 0; i < json_array_size(ads); i++) {
            json_t *ad = json_array_get(ads, i);
            json_t *data = json_object_get(ad, "data");
            for (size_t j = 0; j < json_array_size(data); j++)
                (void)snprintf(rows[count++], sizeof(rows[0]), "%s %lld",
                               json_string_value(json_object_get(ad, "ad_id")),
                               (long long)json_integer_value(
                                   json_object_get(json_array_get(data, j), "timestamp")));
        }
        const json_t *next = json_object_get(root, "next");
        cr_assert_eq(json_is_null(next), page == 2);
        (void)snprintf(cursor, sizeof(cursor), "%s", page < 2 ? json_string_value(next) : "");
        json_decref(root);
    }
    cr_assert_eq(count, 8);
    for (unsigned i = 0; i < 8; i++)
        cr_assert_str_eq(rows[i],
                         path_of("%s %llu", g.ads[i < 4 ? 1 : 0], (GIVEN_MINUTE + i % 4) * 60ULL));
}

Test(global_http_counts, rows_tell_in_a_header_that_they_go_on)
{
    char bearer[128];
    (void)snprintf(bearer, sizeof(bearer), "Bearer %s", all.text);
    const char *fields[] = {"authorization", bearer, "accept", "text/csv", NULL};
    http_given_start(&g, tokens, -1);
    struct h2_probe_answer *a =
        h2_probe_one(g.probe, "GET", both_path(2, "&limit=3"), fields, (struct span){0});
    cr_assert_eq(a->status, 200);
    cr_assert(h2_probe_has(a, "tributary-next: "));
    unsigned lines = 0;
    for (const char *at = h2_probe_text(a); (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    cr_assert_eq(lines, 4);
    a = h2_probe_one(g.probe, "GET", both_path(2, "&limit=4"), fields, (struct span){0});
    cr_assert_not(h2_probe_has(a, "tributary-next: "));
}

Test(global_http_counts, days_are_those_of_the_zone)
{
    const char *format = "/v1/stats?ad_id=%s&window=1d&tz=%s&start=%llu&end=%llu";
    uint64_t day = GIVEN_MINUTE * 60ULL / 86400 * 86400 + 66600; /* 18:30 UTC */
    http_given_start(&g, tokens, -1);
    struct h2_probe_answer *a =
        http_given_get(&g, all.text, path_of(format, g.ads[0], "Kolkata", day, day + 86400));
    cr_assert_eq(a->status, 200, "%s", h2_probe_text(a));
    json_t *root = http_given_json(a);
    cr_assert_str_eq(json_string_value(json_object_get(root, "tz")), "Kolkata");
    cr_assert_eq(count_of(json_array_get(json_object_get(root, "data"), 0)), 5);
    json_decref(root);
    a = http_given_get(&g, all.text,
                       path_of(format, g.ads[0], "Kolkata", day - 66600, day + 19800));
    cr_assert_eq(a->status, 400);
    cr_assert_not_null(strstr(h2_probe_text(a), "start: must be where a window of 1d begins"));
}

Test(global_http_counts, zones_that_are_not_there_are_refused)
{
    static const char *const names[] = {
        "Europe/Nowhere", "Empty", "Folder", "Damaged", "Loop", "..%2Fstore%2Fdata.mdb", "Large"};
    write_zone("Damaged", "no rule");
    cr_assert_eq(mkdir(path_of("%s/Folder", zones), 0700), 0);
    cr_assert_eq(symlink("Loop", path_of("%s/Loop", zones)), 0);
    (void)close(open(path_of("%s/Empty", zones), O_CREAT | O_WRONLY, 0600));
    int large = open(path_of("%s/Large", zones), O_CREAT | O_WRONLY, 0600);
    cr_assert_eq(ftruncate(large, ZONE_BYTES_MAX + 1), 0);
    (void)close(large);
    http_given_start(&g, tokens, -1);
    for (unsigned i = 0; i < countof(names); i++) {
        struct h2_probe_answer *a = http_given_get(
            &g, all.text, path_of("/v1/stats?ad_id=x&window=1m&start=0&end=60&tz=%s", names[i]));
        cr_assert_eq(a->status, 400, "%s", names[i]);
        cr_assert_not_null(strstr(h2_probe_text(a), "tz: must be the IANA name"), "%s", names[i]);
    }
}

Test(global_http_counts, a_billing_read_of_several_ads_names_each)
{
    char line[4096] = {0};
    int file = open(scratch_path(g.folder, "reads"), O_RDWR | O_APPEND | O_CREAT, 0600);
    http_given_start(&g, tokens, file);
    cr_assert_eq(http_given_get(&g, all.text, both_path(1, "&consistency=complete"))->status, 200);
    cr_assert_gt(pread(file, line, sizeof(line) - 1, 0), 0);
    char *second = strchr(line, '\n') + 1;
    cr_assert_eq(strchr(second, '\n'), line + strlen(line) - 1, "two lines: %s", line);
    cr_assert_not_null(strstr(second, g.ads[0]));
    second[-1] = '\0';
    cr_assert_not_null(strstr(line, g.ads[1]));
    (void)close(file);
}
