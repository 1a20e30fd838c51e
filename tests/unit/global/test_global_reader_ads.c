/* SPDX-License-Identifier: Apache-2.0
 * The ads with the most clicks, and all names, against a plain array of counts. */
#include "globe_given.h"

#include <jansson.h>

#define ADS     40
#define STEPS   12
#define MINUTES (STEPS * 10)

static struct given_world *w;
static struct given_replica *replicas[GIVEN_REGIONS][GIVEN_PARTITIONS];
static struct global_reader *reader;
static uint64_t counts[ADS][MINUTES]; /* the oracle */

static void ad_name(unsigned ad, char out[16])
{
    (void)snprintf(out, 16, "%s-%u", ad % 2 == 0 ? "even" : "odd", ad);
}

/* Two hours of clicks, 10 minutes a cut; most for a few ads, and ties among the rest. */
static void setup(void)
{
    struct rng rng = {41};
    char name[16];
    w = given_world();
    for (unsigned i = 0; i < GIVEN_REGIONS; i++)
        for (uint16_t p = 0; p < GIVEN_PARTITIONS; p++)
            replicas[i][p] = given_replica(w, i, p, i == 0 ? "us-r1" : "eu-r1");
    for (unsigned step = 0; step < STEPS; step++) {
        given_pass_ms(w, 10 * MINUTE_MS);
        for (unsigned n = 0; n < 40; n++) {
            unsigned ad = (unsigned)(rng_below(&rng, ADS) * rng_below(&rng, ADS) / ADS);
            unsigned minute = step * 10 + (unsigned)rng_below(&rng, 10);
            unsigned clicks = 1 + (unsigned)rng_below(&rng, 4);
            ad_name(ad, name);
            uint16_t p = hash_partition(hash_ad(span_of_text(name)), GIVEN_PARTITIONS);
            given_click(replicas[rng_below(&rng, GIVEN_REGIONS)][p], name, GIVEN_MINUTE + minute, n,
                        clicks, n % 3);
            counts[ad][minute] += clicks;
        }
        for (unsigned i = 0; i < GIVEN_REGIONS; i++)
            for (uint16_t p = 0; p < GIVEN_PARTITIONS; p++) {
                replicas[i][p]->closed_before += 10;
                given_cut(replicas[i][p]);
            }
        cr_assert_eq(given_run(w), ERR_OK);
    }
    struct global_reader_options options = {.regions = {w->regions[0], w->regions[1]},
                                            .region_count = GIVEN_REGIONS,
                                            .kv = w->kv,
                                            .clock = &w->clock.port};
    reader = global_reader_new(&options);
}

static void teardown(void)
{
    global_reader_free(reader);
    for (unsigned i = 0; i < GIVEN_REGIONS; i++)
        for (uint16_t p = 0; p < GIVEN_PARTITIONS; p++)
            given_replica_free(replicas[i][p]);
    given_world_free(w);
}

TestSuite(global_reader_ads, .init = setup, .fini = teardown, .timeout = 60);

static struct token_ad even_ads = {.length = 4, .prefix = true, .text = "even"};
static const struct token even = {.scopes = TOKEN_STATS_READ, .ad_count = 1, .ads = &even_ads};

/* The best ad of the range that was not taken yet, by looking at all; ADS: none is left. */
static unsigned best(unsigned from, unsigned to, bool even_only, const bool taken[ADS],
                     uint64_t *out_clicks)
{
    unsigned found = ADS;
    uint64_t found_hash = 0;
    *out_clicks = 0;
    for (unsigned ad = 0; ad < ADS; ad++) {
        char name[16];
        uint64_t sum = 0;
        ad_name(ad, name);
        uint64_t hash = hash_ad(span_of_text(name));
        for (unsigned m = from; m < to; m++)
            sum += counts[ad][m];
        if (sum == 0 || taken[ad] || (even_only && ad % 2 != 0) || sum < *out_clicks ||
            (sum == *out_clicks && hash > found_hash))
            continue;
        found = ad;
        found_hash = hash;
        *out_clicks = sum;
    }
    return found;
}

static void expect_top(unsigned from, unsigned to, uint32_t limit, bool even_only)
{
    struct query q = {.start_minute = GIVEN_MINUTE + from,
                      .end_minute = GIVEN_MINUTE + to,
                      .points = to - from,
                      .limit = limit};
    struct stats_json_top top;
    struct stats_json_answer answer;
    bool taken[ADS] = {false};
    cr_assert_eq(global_reader_top(reader, &q, even_only ? &even : NULL, &top, &answer), ERR_OK);
    cr_assert(top.complete);
    uint64_t clicks;
    unsigned ad;
    size_t at = 0;
    for (; at < limit && (ad = best(from, to, even_only, taken, &clicks)) < ADS; at++) {
        char name[16];
        ad_name(ad, name);
        cr_assert_lt(at, top.ad_count, "[%u, %u): %s is missing", from, to, name);
        cr_assert(
            span_equal(span_of(top.ads[at].ad_id, top.ads[at].ad_id_length), span_of_text(name)),
            "[%u, %u) at %zu: %.*s, not %s", from, to, at, top.ads[at].ad_id_length,
            top.ads[at].ad_id, name);
        cr_assert_eq(top.ads[at].click_count, clicks);
        taken[ad] = true;
    }
    cr_assert_eq(top.ad_count, at, "[%u, %u): ads too many", from, to);
}

Test(global_reader_ads, the_top_is_that_of_a_plain_count)
{
    struct rng rng = {5};
    expect_top(0, MINUTES, ADS + 1, false);
    expect_top(0, MINUTES, 1000, true);
    for (unsigned i = 0; i < 300; i++) {
        unsigned from = (unsigned)rng_below(&rng, MINUTES);
        unsigned to = from + 1 + (unsigned)rng_below(&rng, MINUTES - from);
        expect_top(from, to, 1 + (uint32_t)rng_below(&rng, 12), i % 2 == 0);
    }
}

Test(global_reader_ads, a_top_is_complete_only_where_every_minute_is)
{
    struct stats_json_top top;
    struct stats_json_answer answer;
    struct query q = {
        .start_minute = GIVEN_MINUTE, .end_minute = GIVEN_MINUTE + MINUTES, .limit = 1};
    cr_assert_eq(global_reader_top(reader, &q, NULL, &top, &answer), ERR_OK);
    cr_assert(top.complete);
    q.end_minute++;
    cr_assert_eq(global_reader_top(reader, &q, NULL, &top, &answer), ERR_OK);
    cr_assert_not(top.complete, "the minute after the last is open");
    q.end_minute = q.start_minute;
    q.start_minute = 0;
    cr_assert_eq(global_reader_top(reader, &q, NULL, &top, &answer), ERR_OK);
    cr_assert_not(top.complete);
    cr_assert_eq(top.ad_count, 0);
}

/* Reads all pages; every ad that was clicked comes once, with its first and last minute. */
static void expect_all_ads(uint32_t limit, const struct token *asker, const char *prefix)
{
    struct query q = {.limit = limit};
    struct buf out = {0};
    bool seen[ADS] = {false};
    (void)snprintf(q.prefix, sizeof(q.prefix), "%s", prefix);
    q.prefix_length = strlen(prefix);
    for (bool more = true; more;) {
        buf_clear(&out);
        cr_assert_eq(global_reader_ads(reader, &q, asker, &out), ERR_OK);
        json_t *page = json_loadb((const char *)out.data, out.length, 0, NULL);
        json_t *ads = json_object_get(page, "ads");
        cr_assert_leq(json_array_size(ads), limit);
        for (size_t i = 0; i < json_array_size(ads); i++) {
            json_t *ad = json_array_get(ads, i);
            const char *name = json_string_value(json_object_get(ad, "ad_id"));
            unsigned n = (unsigned)strtoul(strchr(name, '-') + 1, NULL, 10);
            unsigned first = 0;
            unsigned last = MINUTES - 1;
            cr_assert(n < ADS && !seen[n], "%s twice", name);
            seen[n] = true;
            while (counts[n][first] == 0)
                first++;
            while (counts[n][last] == 0)
                last--;
            cr_assert_eq(json_integer_value(json_object_get(ad, "first_seen")),
                         (GIVEN_MINUTE + first) * 60LL);
            cr_assert_eq(json_integer_value(json_object_get(ad, "last_seen")),
                         (GIVEN_MINUTE + last) * 60LL);
        }
        const char *next = json_string_value(json_object_get(page, "next"));
        more = next != NULL;
        if (more) {
            char query[300];
            struct query parsed;
            struct query_fault fault;
            (void)snprintf(query, sizeof(query), "cursor=%s", next);
            cr_assert(query_parse_for(QUERY_ADS, query, &parsed, &fault), "%s", fault.rule);
            q.has_cursor = true;
            memcpy(q.cursor_name, parsed.cursor_name, sizeof(q.cursor_name));
            q.cursor_name_length = parsed.cursor_name_length;
        }
        json_decref(page);
    }
    for (unsigned n = 0; n < ADS; n++) {
        uint64_t sum = 0;
        for (unsigned m = 0; m < MINUTES; m++)
            sum += counts[n][m];
        bool wanted = sum > 0 && (n % 2 == 0 || (asker == NULL && prefix[0] != 'e'));
        cr_assert_eq(seen[n], wanted, "ad %u", n);
    }
    buf_done(&out);
}

Test(global_reader_ads, the_pages_hold_every_ad_once)
{
    expect_all_ads(1, NULL, "");
    expect_all_ads(7, NULL, "");
    expect_all_ads(1000, NULL, "");
    expect_all_ads(3, &even, "");
    expect_all_ads(3, NULL, "even-");
}
