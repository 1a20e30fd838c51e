/* SPDX-License-Identifier: Apache-2.0
 * global_reader: the driver of queries: one short read transaction an answer. */
#include "global/global_reader_inside.h"

#include "common/base/hash.h"
#include "global/core/completeness.h"
#include "global/core/page.h"
#include "global/core/rollup.h"

#include <stdlib.h>

struct global_reader *global_reader_new(const struct global_reader_options *options)
{
    CHECK(options->region_count >= 1 && options->region_count <= LIMIT_REGIONS);
    struct global_reader *r = base_zalloc(1, sizeof(*r));
    r->options = *options;
    return r;
}

void global_reader_free(struct global_reader *r)
{
    if (r == NULL)
        return;
    for (uint32_t i = 0; i < LIMIT_REGIONS; i++)
        standing_card_done(&r->cards[i]);
    hll_done(&r->all);
    hll_done(&r->one);
    free(r->missing);
    free(r->points);
    free(r->complete_minutes);
    free(r->sketched);
    free(r->top);
    free(r);
}

enum err global_reader_cards(struct global_reader *r)
{
    for (uint32_t i = 0; i < r->options.region_count; i++) {
        standing_card_done(&r->cards[i]);
        r->ids[i] = 0;
    }
    struct leaf_key start = leaf_key_region(0);
    struct span key = leaf_key_span(&start);
    struct span value;
    while (kv_seek(r->txn, LEAF_TABLE_REGION, key, &key, &value)) {
        struct span body;
        struct standing_card card = {.watermark_ms = 0};
        uint16_t id;
        if (!leaf_region_of_key(key, &id) || !leaf_open(value, &body) ||
            standing_card_read(&card, body) != ERR_OK)
            return ERR_KV_CORRUPT;
        uint32_t i = 0;
        while (i < r->options.region_count && strcmp(r->options.regions[i], card.name) != 0)
            i++;
        if (i < r->options.region_count) {
            r->ids[i] = id;
            r->cards[i] = card;
        } else {
            standing_card_done(&card);
        }
        start = leaf_key_region((uint16_t)(id + 1));
        key = leaf_key_span(&start);
    }
    return ERR_OK;
}

uint64_t global_reader_hour_bits(uint32_t hour, uint32_t start_minute, uint32_t end_minute)
{
    uint64_t from = base_max_u64(start_minute, hour * 60ULL) - hour * 60ULL;
    uint64_t to = base_min_u64(end_minute, hour * 60ULL + 60) - hour * 60ULL;
    return ((1ULL << (to - from)) - 1) << from;
}

void global_reader_standing(struct global_reader *r, struct stats_json_answer *out)
{
    size_t missing = 0;
    for (uint32_t i = 0; i < r->options.region_count; i++) {
        r->watermarks[i] =
            (struct stats_json_watermark){r->options.regions[i], r->cards[i].watermark_ms / 1000};
        missing += r->cards[i].missing.count;
    }
    if (missing > r->missing_capacity) {
        r->missing_capacity = missing;
        r->missing = base_realloc(r->missing, missing * sizeof(r->missing[0]));
    }
    missing = 0;
    for (uint32_t i = 0; i < r->options.region_count; i++)
        for (uint32_t j = 0; j < r->cards[i].missing.count; j++)
            r->missing[missing++] =
                (struct stats_json_missing){r->options.regions[i], r->cards[i].missing.names[j]};
    out->as_of = r->options.clock->wall_ms(r->options.clock) / 1000;
    out->watermarks = r->watermarks;
    out->watermark_count = r->options.region_count;
    out->missing = r->missing;
    out->missing_count = missing;
}

/* Whether every window is of whole hours of UTC: then the roll-ups are exact. In some zones it is
 * not: a day there may begin at half past. */
static bool by_hours(const struct query *q)
{
    if (q->edges == NULL)
        return q->start_minute % 60 == 0 && minute_window_minutes(q->window) % 60 == 0;
    for (uint32_t i = 0; i <= q->points; i++)
        if (q->edges[i] % 60 != 0)
            return false;
    return true;
}

uint64_t global_reader_kept_from_s(const struct global_reader *r)
{
    return r->kept_from_s;
}

enum err global_reader_kept(struct global_reader *r, const struct query *q, bool hours)
{
    struct leaf_key key = leaf_key_horizon();
    struct span value;
    struct span body;
    r->horizon = (struct retire_horizon){0};
    if (kv_get(r->txn, LEAF_TABLE_META, leaf_key_span(&key), &value) &&
        (!leaf_open(value, &body) || retire_read(&r->horizon, body) != ERR_OK))
        return ERR_KV_CORRUPT;
    uint32_t kept = hours ? r->horizon.day * RETIRE_DAY_MINUTES : r->horizon.minute;
    r->kept_from_s = minute_start_ms(kept) / 1000;
    return q->start_minute < kept ? ERR_RETIRED : ERR_OK;
}

static void begin_points(struct global_reader *r, const struct query *q)
{
    if (q->points > r->point_capacity) {
        r->point_capacity = q->points;
        r->points = base_realloc(r->points, q->points * sizeof(r->points[0]));
        r->complete_minutes =
            base_realloc(r->complete_minutes, q->points * sizeof(r->complete_minutes[0]));
        r->sketched = base_realloc(r->sketched, q->points * sizeof(r->sketched[0]));
    }
    for (uint32_t i = 0; i < q->points; i++) {
        r->points[i] = (struct stats_json_point){
            .timestamp = minute_start_ms(query_minute_of(q, i)) / 1000,
        };
        r->complete_minutes[i] = 0;
        r->sketched[i] = false;
    }
}

static enum err add_page(struct global_reader *r, const struct query *q, uint32_t hour,
                         struct span packed)
{
    struct page_sums sums;
    if (page_sum(packed, &sums) != ERR_OK)
        return ERR_KV_CORRUPT;
    for (unsigned i = 0; i < PAGE_MINUTES; i++) {
        uint32_t minute = hour * PAGE_MINUTES + i;
        if ((sums.seen >> i & 1) == 0 || minute < q->start_minute || minute >= q->end_minute)
            continue;
        uint32_t point = query_point_of(q, minute);
        r->points[point].click_count += sums.counted[i];
        r->points[point].unique_users = sums.users[i]; /* what a point of one minute needs */
        r->sketched[point] = r->sketched[point] || (sums.sketched >> i & 1) != 0;
    }
    return ERR_OK;
}

/* Only pages that exist are touched, however long the range is. */
static enum err add_counts(struct global_reader *r, const struct query *q, uint64_t ad_hash)
{
    uint32_t hour = q->start_minute / PAGE_MINUTES;
    uint32_t last_hour = (q->end_minute - 1) / PAGE_MINUTES;
    struct leaf_key at = leaf_key_page(ad_hash, hour);
    struct span key;
    struct span value;
    uint64_t found_ad;
    while (kv_seek(r->txn, LEAF_TABLE_PAGE, leaf_key_span(&at), &key, &value)) {
        if (!leaf_page_of_key(key, &found_ad, &hour))
            return ERR_KV_CORRUPT;
        if (found_ad != ad_hash || hour > last_hour)
            break;
        struct span body;
        if (!leaf_open(value, &body))
            return ERR_KV_CORRUPT;
        enum err err = add_page(r, q, hour, body);
        if (err != ERR_OK)
            return err;
        if (hour == last_hour)
            break;
        at = leaf_key_page(ad_hash, hour + 1);
    }
    return ERR_OK;
}

/* Windows of whole hours: from what the merger has added up already. */
static enum err add_rollups(struct global_reader *r, const struct query *q, uint64_t ad_hash)
{
    uint32_t day = q->start_minute / RETIRE_DAY_MINUTES;
    uint32_t last_day = (q->end_minute - 1) / RETIRE_DAY_MINUTES;
    struct span key;
    struct span value;
    uint64_t found_ad;
    for (;; day++) {
        struct leaf_key at = leaf_key_rollup(ad_hash, day);
        struct rollup hours;
        struct span body;
        if (!kv_seek(r->txn, LEAF_TABLE_ROLLUP, leaf_key_span(&at), &key, &value))
            return ERR_OK;
        if (!leaf_rollup_of_key(key, &found_ad, &day))
            return ERR_KV_CORRUPT;
        if (found_ad != ad_hash || day > last_day)
            return ERR_OK;
        if (!leaf_open(value, &body) || rollup_read(&hours, body) != ERR_OK)
            return ERR_KV_CORRUPT;
        for (unsigned i = 0; i < ROLLUP_HOURS; i++) {
            uint32_t minute = (day * ROLLUP_HOURS + i) * 60;
            if ((hours.present >> i & 1) == 0 || minute < q->start_minute ||
                minute >= q->end_minute)
                continue;
            uint32_t point = query_point_of(q, minute);
            r->points[point].click_count += hours.hours[i];
            r->sketched[point] = true;
        }
        if (day == last_day)
            return ERR_OK;
    }
}

static void add_hour(struct global_reader *r, const struct query *q, uint32_t hour, uint64_t bits)
{
    uint32_t first = (uint32_t)base_max_u64(q->start_minute, hour * 60);
    uint32_t end = (uint32_t)base_min_u64(q->end_minute, hour * 60 + 60);
    if (end - first == 60) {
        uint32_t point = query_point_of(q, first);
        if (point == query_point_of(q, end - 1)) { /* it holds the hour entirely */
            r->complete_minutes[point] += (uint32_t)__builtin_popcountll(bits);
            return;
        }
    }
    for (uint32_t minute = first; minute < end; minute++)
        if ((bits >> (minute - hour * 60) & 1) != 0)
            r->complete_minutes[query_point_of(q, minute)]++;
}

/* How many minutes of each point are complete in one partition, from one minute up to another. */
static enum err add_partition(struct global_reader *r, const struct query *q, uint32_t region,
                              uint16_t partition, uint32_t start_minute, uint32_t end_minute)
{
    uint32_t hour = start_minute / 60;
    uint32_t last_hour = (end_minute - 1) / 60;
    struct leaf_key at = leaf_key_hour(r->ids[region], partition, hour);
    struct span key;
    struct span value;
    uint16_t found_region;
    uint16_t found_partition;
    while (kv_seek(r->txn, LEAF_TABLE_COMPLETE, leaf_key_span(&at), &key, &value)) {
        if (!leaf_hour_of_key(key, &found_region, &found_partition, &hour))
            return ERR_KV_CORRUPT;
        if (found_region != r->ids[region] || found_partition != partition || hour > last_hour)
            break;
        struct completeness_hour marks;
        struct span body;
        if (!leaf_open(value, &body) || completeness_hour_read(&marks, body) != ERR_OK)
            return ERR_KV_CORRUPT;
        if (completeness_hour_is_of(&marks, completeness_span_of(&r->cards[region].map, hour)))
            add_hour(r, q, hour,
                     marks.bits & global_reader_hour_bits(hour, start_minute, end_minute));
        if (hour == last_hour)
            break;
        at = leaf_key_hour(r->ids[region], partition, hour + 1);
    }
    return ERR_OK;
}

/* In the ad's partition of one region, which another step of the map may have moved. */
static enum err add_completeness(struct global_reader *r, const struct query *q, uint32_t region,
                                 uint64_t ad_hash)
{
    const struct partition_map *map = &r->cards[region].map;
    enum err err = ERR_OK;
    for (uint32_t start = q->start_minute; err == ERR_OK && start < q->end_minute;) {
        uint32_t end = (uint32_t)base_min_u64(q->end_minute, partition_map_step_end(map, start));
        uint16_t partition = hash_partition(ad_hash, partition_map_at(map, start));
        err = add_partition(r, q, region, partition, start, end);
        start = end;
    }
    return err;
}

static enum err union_sketches(struct global_reader *r, uint64_t ad_hash, uint32_t minute,
                               uint32_t end_minute)
{
    hll_clear(&r->all);
    struct leaf_key at = leaf_key_sketch(ad_hash, minute, 0, 0);
    struct span key = leaf_key_span(&at);
    struct span value;
    uint64_t found_ad;
    while (kv_seek(r->txn, LEAF_TABLE_SKETCH, key, &key, &value)) {
        if (!leaf_sketch_of_key(key, &found_ad, &minute))
            return ERR_KV_CORRUPT;
        if (found_ad != ad_hash || minute >= end_minute)
            break;
        struct span body;
        if (!leaf_open(value, &body) || hll_read(&r->one, body) != ERR_OK)
            return ERR_KV_CORRUPT;
        (void)hll_merge(&r->all, &r->one);
        CHECK(key.length < sizeof(at.data));
        memcpy(at.data, key.data, key.length);
        at.data[key.length] = 0; /* the key behind this one */
        at.length = key.length + 1;
        key = leaf_key_span(&at);
    }
    return ERR_OK;
}

static enum err finish_points(struct global_reader *r, const struct query *q, uint64_t ad_hash)
{
    for (uint32_t i = 0; i < q->points; i++) {
        struct stats_json_point *p = &r->points[i];
        uint32_t minutes = query_minute_of(q, i + 1) - query_minute_of(q, i);
        uint32_t needed = minutes * r->options.region_count;
        CHECK(r->complete_minutes[i] <= needed);
        p->complete = r->complete_minutes[i] == needed;
        /* Hours outlive their sketches. */
        p->has_unique_users = p->complete && query_minute_of(q, i) >= r->horizon.minute;
        if (p->has_unique_users && r->sketched[i] && q->window == MINUTE_WINDOW_1M)
            continue;
        p->unique_users = 0;
        if (!p->has_unique_users || !r->sketched[i])
            continue;
        enum err err = union_sketches(r, ad_hash, query_minute_of(q, i), query_minute_of(q, i + 1));
        if (err != ERR_OK)
            return err;
        p->unique_users = hll_estimate(&r->all);
    }
    return ERR_OK;
}

/* A second ad with this hash is refused at the regions; asked for here, it looks like an unknown
 * one. */
static bool is_another(struct global_reader *r, const struct query *q, uint64_t ad_hash)
{
    struct span name;
    struct leaf_key key = leaf_key_name(ad_hash);
    return kv_get(r->txn, LEAF_TABLE_NAME, leaf_key_span(&key), &name) &&
           !span_equal(name, query_ad(q));
}

static enum err read_points(struct global_reader *r, const struct query *q)
{
    uint64_t ad_hash = hash_ad(query_ad(q));
    /* A foreign ad is looked for where nothing lies, so that it costs what an unknown one costs. */
    uint64_t look = q->foreign ? ~ad_hash : ad_hash;
    enum err err = ERR_OK;
    if (!is_another(r, q, look))
        err = by_hours(q) ? add_rollups(r, q, look) : add_counts(r, q, look);
    for (uint32_t i = 0; q->foreign && i < q->points; i++) {
        r->points[i].click_count = 0; /* should anything lie there after all */
        r->sketched[i] = false;
    }
    for (uint32_t i = 0; err == ERR_OK && i < r->options.region_count; i++)
        if (r->ids[i] != 0 && r->cards[i].map.count > 0)
            err = add_completeness(r, q, i, ad_hash);
    return err == ERR_OK ? finish_points(r, q, ad_hash) : err;
}

enum err global_reader_end(struct global_reader *r, enum err err)
{
    enum err sticky = kv_abort(&r->txn);
    return sticky != ERR_OK ? sticky : err;
}

enum err global_reader_open(struct global_reader *r, struct stats_json_answer *out)
{
    enum err err = kv_begin(r->options.kv, false, &r->txn);
    if (err != ERR_OK)
        return err;
    err = global_reader_cards(r);
    if (err != ERR_OK)
        return global_reader_end(r, err);
    global_reader_standing(r, out);
    return ERR_OK;
}

enum err global_reader_points(struct global_reader *r, const struct query *q,
                              struct stats_json_answer *out)
{
    begin_points(r, q);
    enum err err = global_reader_kept(r, q, by_hours(q));
    if (err == ERR_OK)
        err = read_points(r, q);
    out->ad_id = query_ad(q);
    out->window = minute_window_name(q->window);
    out->points = r->points;
    out->point_count = q->points;
    out->fill_none = q->fill_none;
    return err;
}

enum err global_reader_close(struct global_reader *r, enum err err)
{
    return global_reader_end(r, err);
}

enum err global_reader_stats(struct global_reader *r, const struct query *q,
                             struct stats_json_answer *out)
{
    struct stats_json_answer answer = {.point_count = 0};
    enum err err = global_reader_open(r, &answer);
    if (err != ERR_OK)
        return err;
    err = global_reader_close(r, global_reader_points(r, q, &answer));
    if (err == ERR_OK)
        *out = answer;
    return err;
}

enum err global_reader_watermarks(struct global_reader *r, struct stats_json_answer *out)
{
    struct stats_json_answer answer = {.point_count = 0};
    enum err err = global_reader_open(r, &answer);
    if (err != ERR_OK)
        return err;
    err = global_reader_close(r, ERR_OK);
    if (err == ERR_OK)
        *out = answer;
    return err;
}
