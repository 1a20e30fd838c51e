/* SPDX-License-Identifier: Apache-2.0
 * Answers against an oracle that counts minutes in plain arrays: every window, stated, exact. */
#include "globe_given.h"

#define DAY_MINUTES 1440u
#define DAYS        2u
#define SPAN        (DAYS * DAY_MINUTES)
#define FIRST       ((uint32_t)19675 * DAY_MINUTES) /* midnight, UTC */

static struct given_world *w;
static struct global_reader *reader;

/* The oracle. */
static uint64_t counts[SPAN];
static bool complete[GIVEN_REGIONS][SPAN];

static void setup(void)
{
    w = given_world();
    struct global_reader_options options = {
        .regions = {w->regions[0], w->regions[1]},
        .region_count = GIVEN_REGIONS,
        .kv = w->kv,
        .clock = &w->clock.port,
    };
    reader = global_reader_new(&options);
    memset(counts, 0, sizeof(counts));
    memset(complete, 0, sizeof(complete));
}

static void teardown(void)
{
    global_reader_free(reader);
    given_world_free(w);
}

TestSuite(global_reader, .init = setup, .fini = teardown, .timeout = 60);

/* Rows and totals of scattered minutes, as one replica of the ad's partition in each region says
 * them. */
static void fill(const char *ad, struct rng *rng, unsigned rows)
{
    uint64_t ad_hash = hash_ad(span_of_text(ad));
    for (unsigned region = 0; region < GIVEN_REGIONS; region++) {
        struct given_replica *r = given_replica(
            w, region, hash_partition(ad_hash, GIVEN_PARTITIONS), region == 0 ? "us-r1" : "eu-r1");
        struct partial p = given_head(r);
        struct partial_row *sent = base_zalloc(SPAN, sizeof(*sent));
        struct partial_total *totals = base_zalloc(SPAN, sizeof(*totals));
        p.watermark_ms = minute_start_ms(FIRST + SPAN);
        p.rows = sent;
        p.totals = totals;
        for (uint32_t m = 0; m < SPAN; m++) {
            struct partial_total total = {.minute = FIRST + m};
            if (rng_below(rng, SPAN) < rows) {
                struct partial_row *row = &sent[p.row_count++];
                *row = (struct partial_row){.ad_hash = ad_hash,
                                            .minute = FIRST + m,
                                            .counted = 1 + rng_below(rng, 1000),
                                            .duplicate = rng_below(rng, 50)};
                total.rows = 1;
                total.counted = row->counted;
                total.duplicate = row->duplicate;
                total.digest = partial_row_digest(row);
                counts[m] += row->counted;
            }
            complete[region][m] = rng_chance(rng, 995);
            if (complete[region][m])
                totals[p.total_count++] = total;
        }
        given_publish(r, &p);
        given_replica_free(r);
        free(sent);
        free(totals);
    }
    cr_assert_eq(given_run(w), ERR_OK);
    cr_assert_eq(given_view(w).mismatches, 0);
}

static struct query ask(const char *ad, enum minute_window window, uint32_t from, uint32_t to)
{
    struct query q = {.window = window, .start_minute = FIRST + from, .end_minute = FIRST + to};
    q.points = (to - from) / minute_window_minutes(window);
    (void)snprintf(q.ad_id, sizeof(q.ad_id), "%s", ad);
    q.ad_id_length = strlen(ad);
    return q;
}

static void expect_points(const char *ad, enum minute_window window, uint32_t from, uint32_t to)
{
    struct query q = ask(ad, window, from, to);
    uint32_t step = minute_window_minutes(window);
    struct stats_json_answer a;
    cr_assert_eq(global_reader_stats(reader, &q, &a), ERR_OK);
    cr_assert_eq(a.point_count, (to - from) / step);
    cr_assert_str_eq(a.window, minute_window_name(window));
    for (uint32_t i = 0; i < a.point_count; i++) {
        uint64_t count = 0;
        bool all = true;
        for (uint32_t m = from + i * step; m < from + (i + 1) * step; m++) {
            count += counts[m];
            all = all && complete[0][m] && complete[1][m];
        }
        cr_assert_eq(a.points[i].timestamp, (uint64_t)(FIRST + from + i * step) * 60);
        cr_assert_eq(a.points[i].click_count, count, "point %u of %s", i, a.window);
        cr_assert_eq(a.points[i].complete, all, "point %u of %s", i, a.window);
        cr_assert_eq(a.points[i].has_unique_users, all);
        cr_assert_not(a.points[i].final_);
    }
}

/* Days of a zone: edges that lie on hours of UTC, or do not. */
static void expect_edges(const char *ad, const uint32_t *edges, uint32_t points)
{
    uint32_t absolute[8];
    for (uint32_t i = 0; i <= points; i++)
        absolute[i] = FIRST + edges[i];
    struct query q = ask(ad, MINUTE_WINDOW_1D, edges[0], edges[points]);
    struct stats_json_answer a;
    q.points = points;
    q.edges = absolute;
    cr_assert_eq(global_reader_stats(reader, &q, &a), ERR_OK);
    for (uint32_t i = 0; i < points; i++) {
        uint64_t count = 0;
        for (uint32_t m = edges[i]; m < edges[i + 1]; m++)
            count += counts[m];
        cr_assert_eq(a.points[i].click_count, count, "point %u", i);
    }
}

Test(global_reader, windows_of_zones_agree_with_the_oracle)
{
    struct rng rng = {25};
    const char *ad = given_ad(1, 2);
    static const uint32_t whole[] = {300, 1680, 2880}, half[] = {330, 1770, 2850},
                          one_half[] = {300, 1770, 2880};
    fill(ad, &rng, 2000);
    expect_edges(ad, whole, 2);
    expect_edges(ad, half, 2);
    expect_edges(ad, one_half, 2);
}

Test(global_reader, every_window_and_any_range_agree_with_the_oracle)
{
    struct rng rng = {21};
    const char *ad = given_ad(1, 2);
    fill(ad, &rng, 700);

    expect_points(ad, MINUTE_WINDOW_1D, 0, SPAN);
    expect_points(ad, MINUTE_WINDOW_1H, 0, SPAN);
    expect_points(ad, MINUTE_WINDOW_5M, 0, SPAN);
    expect_points(ad, MINUTE_WINDOW_1M, 0, SPAN);
    for (unsigned i = 0; i < 300; i++) {
        enum minute_window window = (enum minute_window)rng_below(&rng, 4);
        uint32_t step = minute_window_minutes(window);
        uint32_t points = SPAN / step;
        uint32_t from = (uint32_t)rng_below(&rng, points);
        uint32_t to = from + 1 + (uint32_t)rng_below(&rng, points - from);
        expect_points(ad, window, from * step, to * step);
    }
}

Test(global_reader, neighbours_do_not_leak_into_an_answer)
{
    struct rng rng = {22};
    fill(given_ad(0, 0), &rng, 500);
    memset(counts, 0, sizeof(counts));

    /* The same partition, another ad: the same completeness, no clicks. */
    expect_points(given_ad(0, 1), MINUTE_WINDOW_5M, 0, SPAN);
}

Test(global_reader, an_empty_store_answers_zeros_that_are_not_complete)
{
    expect_points("nobody", MINUTE_WINDOW_1H, 0, SPAN);
    struct query q = ask("nobody", MINUTE_WINDOW_1M, 0, 1);
    struct stats_json_answer a;
    cr_assert_eq(global_reader_stats(reader, &q, &a), ERR_OK);
    cr_assert_eq(a.as_of, GIVEN_NOW_MS / 1000);
    cr_assert_eq(a.watermark_count, 2);
    cr_assert_eq(a.watermarks[0].watermark, 0);
    cr_assert_eq(a.missing_count, 0);
}

Test(global_reader, users_are_united_over_minutes_and_regions)
{
    const char *ad = given_ad(0, 0);
    struct given_replica *us = given_replica(w, 0, 0, "us-r1");
    struct given_replica *eu = given_replica(w, 1, 0, "eu-r1");
    struct given_replica *others[2] = {given_replica(w, 0, 1, "us-r1"),
                                       given_replica(w, 1, 1, "eu-r1")};
    uint32_t start = GIVEN_MINUTE / 5 * 5 + 5;
    us->closed_before = us->told_before = eu->closed_before = eu->told_before = start;
    for (unsigned user = 0; user < 60; user++) {
        given_click(us, ad, start + user % 5, user, 1, 0);
        given_click(eu, ad, start + user % 3, user + 30, 2, 0);
    }
    us->closed_before = eu->closed_before = start + 5;
    given_cut(us);
    given_cut(eu);
    for (unsigned i = 0; i < 2; i++)
        given_cut(others[i]);
    cr_assert_eq(given_run(w), ERR_OK);

    struct query q = {
        .window = MINUTE_WINDOW_5M, .start_minute = start, .end_minute = start + 10, .points = 2};
    (void)snprintf(q.ad_id, sizeof(q.ad_id), "%s", ad);
    q.ad_id_length = strlen(ad);
    struct stats_json_answer a;
    cr_assert_eq(global_reader_stats(reader, &q, &a), ERR_OK);

    cr_assert_eq(a.points[0].click_count, 60 + 120);
    cr_assert(a.points[0].complete && a.points[0].has_unique_users);
    cr_assert(a.points[0].unique_users >= 88 && a.points[0].unique_users <= 92, "%llu",
              (unsigned long long)a.points[0].unique_users);
    cr_assert_not(a.points[1].has_unique_users);
    given_replica_free(us);
    given_replica_free(eu);
    given_replica_free(others[0]);
    given_replica_free(others[1]);
}

Test(global_reader, watermarks_and_missing_edges_are_told_by_region)
{
    struct given_replica *parts[2] = {given_replica(w, 0, 0, "us-r1"),
                                      given_replica(w, 0, 1, "us-r1")};
    (void)snprintf(parts[1]->missing, sizeof(parts[1]->missing), "%s", "us-e2");
    parts[1]->closed_before += 3;
    given_cut(parts[0]);
    given_cut(parts[1]);
    cr_assert_eq(given_run(w), ERR_OK);

    struct stats_json_answer a;
    cr_assert_eq(global_reader_watermarks(reader, &a), ERR_OK);

    cr_assert_str_eq(a.watermarks[0].region, "us");
    cr_assert_eq(a.watermarks[0].watermark, (uint64_t)GIVEN_MINUTE * 60 + 10);
    cr_assert_str_eq(a.watermarks[1].region, "eu");
    cr_assert_eq(a.watermarks[1].watermark, 0);
    cr_assert_eq(a.missing_count, 1);
    cr_assert_str_eq(a.missing[0].edge, "us-e2");
    given_replica_free(parts[0]);
    given_replica_free(parts[1]);
}

static void damage_first(enum leaf_table table, const char *ad)
{
    struct kv_txn *txn;
    struct leaf_key at =
        leaf_key_page(hash_ad(span_of_text(ad)), 0); /* the form of a roll-up's, too */
    struct span key;
    struct span value;
    struct buf harmed = {0};
    uint8_t key_bytes[16];
    cr_assert_eq(kv_begin(w->kv, true, &txn), ERR_OK);
    cr_assert(kv_seek(txn, table, leaf_key_span(&at), &key, &value));
    memcpy(key_bytes, key.data, key.length);
    buf_put(&harmed, value.data, value.length);
    harmed.data[3] ^= 1;
    kv_put(txn, table, span_of(key_bytes, key.length), buf_span(&harmed));
    cr_assert_eq(kv_commit(&txn), ERR_OK);
    buf_done(&harmed);
}

Test(global_reader, damage_is_an_error_and_never_a_zero)
{
    struct rng rng = {23};
    const char *ad = given_ad(0, 0);
    fill(ad, &rng, 500);
    struct query minutes = ask(ad, MINUTE_WINDOW_5M, 0, SPAN);
    struct query days = ask(ad, MINUTE_WINDOW_1D, 0, SPAN);
    struct stats_json_answer a;

    damage_first(LEAF_TABLE_PAGE, ad);
    cr_assert_eq(global_reader_stats(reader, &minutes, &a), ERR_KV_CORRUPT);
    cr_assert_eq(global_reader_stats(reader, &days, &a), ERR_OK);
    damage_first(LEAF_TABLE_ROLLUP, ad);
    cr_assert_eq(global_reader_stats(reader, &days, &a), ERR_KV_CORRUPT);
}

Test(global_reader, an_ad_whose_hash_belongs_to_another_looks_unknown)
{
    const char *ad = given_ad(0, 0);
    struct rng rng = {24};
    fill(ad, &rng, 500);
    struct kv_txn *txn;
    struct leaf_key key = leaf_key_name(hash_ad(span_of_text(ad)));
    cr_assert_eq(kv_begin(w->kv, true, &txn), ERR_OK);
    kv_put(txn, LEAF_TABLE_NAME, leaf_key_span(&key), span_of_text("the first owner"));
    cr_assert_eq(kv_commit(&txn), ERR_OK);
    memset(counts, 0, sizeof(counts));

    expect_points(ad, MINUTE_WINDOW_1D, 0, SPAN);
}
