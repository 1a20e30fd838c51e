/* SPDX-License-Identifier: Apache-2.0
 * Days by the clocks of a zone add up to their minutes over every change of the clocks. The days
 * are those of an independent calendar: Python's zoneinfo. */
#include "global/core/query_span.h"
#include "globe_given.h"
#include "zone_given.h"

#define DAYS      3
#define BIG_DAY   1500u /* minutes of the longest */
#define PER_CUT   2000u
#define EVERY_NTH 7 /* minutes without clicks */

static const struct {
    const char *rule, *first_day;
    uint64_t starts_s[DAYS + 1];
} rows[] = {
    {ZONE_GIVEN_NEW_YORK, "2026-03-07", {1772859600, 1772946000, 1773028800, 1773115200}},
    {ZONE_GIVEN_NEW_YORK, "2026-10-31", {1793419200, 1793505600, 1793595600, 1793682000}},
    {ZONE_GIVEN_KOLKATA, "2026-03-07", {1772821800, 1772908200, 1772994600, 1773081000}},
    {ZONE_GIVEN_KOLKATA, "2026-10-31", {1793385000, 1793471400, 1793557800, 1793644200}},
    {ZONE_GIVEN_LORD_HOWE, "2026-04-04", {1775221200, 1775307600, 1775395800, 1775482200}},
    {ZONE_GIVEN_LORD_HOWE, "2026-10-03", {1790947800, 1791034200, 1791118800, 1791205200}},
};

static struct given_world *w;
static struct global_reader *reader;
static struct buf edges;
static struct query q;
static uint64_t counts[DAYS * BIG_DAY];

static void setup(void)
{
    w = given_world();
    struct global_reader_options options = {.regions = {w->regions[0], w->regions[1]},
                                            .region_count = GIVEN_REGIONS,
                                            .kv = w->kv,
                                            .clock = &w->clock.port};
    reader = global_reader_new(&options);
}

static void teardown(void)
{
    global_reader_free(reader);
    given_world_free(w);
    buf_done(&edges);
}

TestSuite(global_reader_zones, .init = setup, .fini = teardown, .timeout = 60);

/* Clicks in most minutes, from one region or the other; all minutes but one are complete. */
static void fill(const char *ad, uint32_t first, uint32_t minutes, uint32_t open_minute)
{
    static struct partial_row sent[PER_CUT];
    static struct partial_total totals[PER_CUT];
    struct rng rng = {first};
    uint64_t hash = hash_ad(span_of_text(ad));
    uint16_t partition = hash_partition(hash, GIVEN_PARTITIONS);
    memset(counts, 0, sizeof(counts));
    for (unsigned region = 0; region < GIVEN_REGIONS; region++) {
        struct given_replica *r =
            given_replica(w, region, partition, region == 0 ? "us-r1" : "eu-r1");
        for (uint32_t m = 0; m < minutes;) {
            struct partial p = given_head(r);
            p.watermark_ms = minute_start_ms(first + minutes);
            p.rows = sent;
            p.totals = totals;
            for (; m < minutes && p.total_count < PER_CUT; m++) {
                struct partial_total *total = &totals[p.total_count];
                *total = (struct partial_total){.minute = first + m};
                if (rng_below(&rng, EVERY_NTH) > 0) {
                    struct partial_row *row = &sent[p.row_count++];
                    *row = (struct partial_row){
                        .ad_hash = hash, .minute = first + m, .counted = 1 + rng_below(&rng, 1000)};
                    total->rows = 1;
                    total->counted = row->counted;
                    total->digest = partial_row_digest(row);
                    counts[m] += row->counted;
                }
                if (first + m != open_minute || region == 0)
                    p.total_count++;
            }
            given_publish(r, &p);
        }
        given_replica_free(r);
    }
    cr_assert_eq(given_run(w), ERR_OK);
}

static void given_query(const char *ad, const char *rule, const char *window, uint64_t start_s,
                        uint64_t end_s)
{
    struct query_fault fault;
    struct zone zone = zone_given_rule(rule);
    char text[160];
    (void)snprintf(text, sizeof(text), "ad_id=%s&window=%s&tz=Some/Zone&start=%llu&end=%llu", ad,
                   window, (unsigned long long)start_s, (unsigned long long)end_s);
    cr_assert(query_parse(text, &q, &fault));
    cr_assert(query_localise(&q, &zone, &edges, &fault), "%s: %s", fault.parameter, fault.rule);
    zone_done(&zone);
}

static void expect_sums(const struct stats_json_answer *a, uint32_t first, uint32_t open_minute)
{
    cr_assert_eq(a->point_count, q.points);
    for (uint32_t i = 0; i < q.points; i++) {
        uint64_t sum = 0;
        uint32_t from = query_minute_of(&q, i);
        uint32_t to = query_minute_of(&q, i + 1);
        for (uint32_t m = from; m < to; m++)
            sum += counts[m - first];
        cr_assert_eq(a->points[i].timestamp, from * 60ULL);
        cr_assert_eq(a->points[i].click_count, sum, "window %u: %llu, not %llu", i,
                     (unsigned long long)a->points[i].click_count, (unsigned long long)sum);
        cr_assert_eq(a->points[i].complete, open_minute < from || open_minute >= to, "window %u",
                     i);
    }
}

Test(global_reader_zones, local_days_add_up_to_their_minutes_over_both_changes)
{
    const char *ad = given_ad(1, 0);
    for (unsigned i = 0; i < countof(rows); i++) {
        uint32_t first = (uint32_t)(rows[i].starts_s[0] / 60);
        uint32_t minutes = (uint32_t)(rows[i].starts_s[DAYS] / 60) - first;
        struct stats_json_answer a;
        uint64_t whole = 0;
        teardown(); /* minutes of the zones overlap */
        setup();
        fill(ad, first, minutes, first + minutes / 2);
        for (uint32_t m = 0; m < minutes; m++)
            whole += counts[m];

        given_query(ad, rows[i].rule, "1d", rows[i].starts_s[0], rows[i].starts_s[DAYS]);
        cr_assert_eq(global_reader_stats(reader, &q, &a), ERR_OK);

        cr_assert_eq(q.points, DAYS, "%s", rows[i].first_day);
        for (unsigned d = 0; d <= DAYS; d++)
            cr_assert_eq(query_minute_of(&q, d) * 60ULL, rows[i].starts_s[d], "%s, day %u",
                         rows[i].first_day, d);
        expect_sums(&a, first, first + minutes / 2);
        cr_assert_eq(a.points[0].click_count + a.points[1].click_count + a.points[2].click_count,
                     whole);
        static const char *const shorter[] = {"1h", "5m", "1m"};
        for (unsigned s = 0; s < countof(shorter); s++) {
            given_query(ad, rows[i].rule, shorter[s], rows[i].starts_s[0], rows[i].starts_s[DAYS]);
            cr_assert_eq(global_reader_stats(reader, &q, &a), ERR_OK);
            expect_sums(&a, first, first + minutes / 2);
        }
    }
}
