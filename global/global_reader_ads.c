/* SPDX-License-Identifier: Apache-2.0
 * global_reader_ads: walks over all ads: those with the most clicks, and their names. */
#include "global/global_reader_inside.h"

#include "common/base/minute.h"
#include "global/core/completeness.h"
#include "global/core/page.h"
#include "global/core/rollup.h"
#include "proto/stats_json_text.h"

#include <stdlib.h>

#define STEPS_PER_READ 16384u /* look-ups in one transaction */

/* A walk over many keys, in transactions that are renewed: r->txn. */
struct walk {
    struct global_reader *reader;
    uint32_t steps;
};

static enum err step(struct walk *w)
{
    if (++w->steps % STEPS_PER_READ != 0)
        return ERR_OK;
    enum err err = global_reader_end(w->reader, ERR_OK);
    return err == ERR_OK ? kv_begin(w->reader->options.kv, false, &w->reader->txn) : err;
}

/* After an error r->txn may have ended already. */
static enum err end_walk(struct walk *w, enum err err)
{
    return w->reader->txn == NULL ? err : global_reader_end(w->reader, err);
}

static enum err add_page(const struct query *q, uint32_t hour, struct span value, uint64_t *sum)
{
    struct span body;
    struct page_sums sums;
    if (!leaf_open(value, &body) || page_sum(body, &sums) != ERR_OK)
        return ERR_KV_CORRUPT;
    for (unsigned i = 0; i < PAGE_MINUTES; i++) {
        uint32_t minute = hour * PAGE_MINUTES + i;
        if (minute >= q->start_minute && minute < q->end_minute)
            *sum += sums.counted[i];
    }
    return ERR_OK;
}

static enum err add_day(const struct query *q, uint32_t day, struct span value, uint64_t *sum)
{
    struct span body;
    struct rollup hours;
    if (!leaf_open(value, &body) || rollup_read(&hours, body) != ERR_OK)
        return ERR_KV_CORRUPT;
    for (unsigned i = 0; i < ROLLUP_HOURS; i++) {
        uint32_t minute = (day * ROLLUP_HOURS + i) * PAGE_MINUTES;
        if ((hours.present >> i & 1) != 0 && minute >= q->start_minute && minute < q->end_minute)
            *sum += hours.hours[i];
    }
    return ERR_OK;
}

static bool is_before(const struct stats_json_top_ad *a, const struct stats_json_top_ad *b)
{
    return a->click_count != b->click_count ? a->click_count > b->click_count
                                            : a->ad_hash < b->ad_hash;
}

/* Keeps the best q->limit, in order. */
static void offer(struct global_reader *r, const struct query *q, uint64_t ad_hash, uint64_t clicks,
                  size_t *count)
{
    struct stats_json_top_ad ad = {.ad_hash = ad_hash, .click_count = clicks};
    if (clicks == 0 || (*count == q->limit && !is_before(&ad, &r->top[*count - 1])))
        return;
    struct span name;
    struct leaf_key key = leaf_key_name(ad_hash);
    ad.has_name = kv_get(r->txn, LEAF_TABLE_NAME, leaf_key_span(&key), &name) &&
                  name.length <= sizeof(ad.ad_id);
    if (ad.has_name) {
        memcpy(ad.ad_id, name.data, name.length);
        ad.ad_id_length = (uint8_t)name.length;
    }
    size_t at = *count < q->limit ? (*count)++ : q->limit - 1;
    while (at > 0 && is_before(&ad, &r->top[at - 1])) {
        r->top[at] = r->top[at - 1];
        at--;
    }
    r->top[at] = ad;
}

/* The counts of the ads in [from, to], by their hashes. */
static enum err walk_counts(struct walk *w, const struct query *q, bool by_hours, uint64_t from,
                            uint64_t to, size_t *count)
{
    const enum leaf_table table = by_hours ? LEAF_TABLE_ROLLUP : LEAF_TABLE_PAGE;
    const uint32_t minutes = by_hours ? RETIRE_DAY_MINUTES : PAGE_MINUTES; /* of a value */
    const uint32_t first = q->start_minute / minutes;
    const uint32_t last = (q->end_minute - 1) / minutes;
    struct leaf_key at = leaf_key_page(from, first);
    struct span key;
    struct span value;
    uint64_t current = from;
    uint64_t sum = 0;
    enum err err = ERR_OK;
    while (err == ERR_OK && kv_seek(w->reader->txn, table, leaf_key_span(&at), &key, &value)) {
        uint64_t ad_hash;
        uint32_t found;
        if (!leaf_page_of_key(key, &ad_hash, &found))
            return ERR_KV_CORRUPT;
        if (ad_hash > to)
            break;
        if (ad_hash != current) {
            offer(w->reader, q, current, sum, count);
            current = ad_hash;
            sum = 0;
        }
        if (found >= first && found <= last)
            err = by_hours ? add_day(q, found, value, &sum) : add_page(q, found, value, &sum);
        if (found < first)
            at = leaf_key_page(ad_hash, first);
        else if (found < last)
            at = leaf_key_page(ad_hash, found + 1);
        else if (ad_hash < to)
            at = leaf_key_page(ad_hash + 1, first);
        else
            break;
        if (err == ERR_OK)
            err = step(w);
    }
    if (err == ERR_OK)
        offer(w->reader, q, current, sum, count);
    return err;
}

/* The counts of the asker's ads alone. One whose name is not known yet is nobody's in particular.
 */
static enum err walk_own(struct walk *w, const struct query *q, const struct token *asker,
                         bool by_hours, size_t *count)
{
    struct global_reader_names names;
    enum err err;
    global_reader_names_begin(&names, asker, (struct span){0}, (struct span){0});
    names.nameless = true; /* rows may come before the name does */
    while ((err = global_reader_names_next(w->reader, &names)) == ERR_OK) {
        err = walk_counts(w, q, by_hours, names.ad_hash, names.ad_hash, count);
        if (err == ERR_OK)
            err = step(w);
        if (err != ERR_OK)
            return err;
    }
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

/* Whether each minute from one up to another is complete in one partition. */
static enum err is_complete(struct walk *w, uint32_t region, uint16_t partition,
                            uint32_t start_minute, uint32_t end_minute, bool *out)
{
    struct global_reader *r = w->reader;
    for (uint32_t hour = start_minute / 60; hour <= (end_minute - 1) / 60; hour++) {
        struct leaf_key key = leaf_key_hour(r->ids[region], partition, hour);
        struct completeness_hour marks;
        struct span value;
        struct span body;
        if (!kv_get(r->txn, LEAF_TABLE_COMPLETE, leaf_key_span(&key), &value)) {
            *out = false;
            return ERR_OK;
        }
        if (!leaf_open(value, &body) || completeness_hour_read(&marks, body) != ERR_OK)
            return ERR_KV_CORRUPT;
        uint64_t wanted = global_reader_hour_bits(hour, start_minute, end_minute);
        *out = *out &&
               completeness_hour_is_of(&marks, completeness_span_of(&r->cards[region].map, hour)) &&
               (marks.bits & wanted) == wanted;
        enum err err = step(w);
        if (err != ERR_OK || !*out)
            return err;
    }
    return ERR_OK;
}

/* In all partitions of one region, step by step of its map. */
static enum err judge_region(struct walk *w, const struct query *q, uint32_t region, bool *out)
{
    const struct partition_map *map = &w->reader->cards[region].map;
    enum err err = ERR_OK;
    *out = w->reader->ids[region] != 0 && map->count > 0;
    for (uint32_t start = q->start_minute; err == ERR_OK && *out && start < q->end_minute;) {
        uint32_t end = (uint32_t)base_min_u64(q->end_minute, partition_map_step_end(map, start));
        uint16_t partitions = partition_map_at(map, start);
        for (uint16_t p = 0; err == ERR_OK && *out && p < partitions; p++)
            err = is_complete(w, region, p, start, end, out);
        start = end;
    }
    return err;
}

static enum err judge(struct walk *w, const struct query *q, bool *out)
{
    enum err err = ERR_OK;
    *out = true;
    for (uint32_t i = 0; err == ERR_OK && *out && i < w->reader->options.region_count; i++)
        err = judge_region(w, q, i, out);
    return err;
}

enum err global_reader_top(struct global_reader *r, const struct query *q,
                           const struct token *asker, struct stats_json_top *out_top,
                           struct stats_json_answer *out)
{
    struct walk w = {.reader = r};
    struct stats_json_answer answer = {.point_count = 0};
    struct stats_json_top top = {.start = minute_start_ms(q->start_minute) / 1000,
                                 .end = minute_start_ms(q->end_minute) / 1000};
    CHECK(q->limit >= 1);
    r->top = base_realloc(r->top, q->limit * sizeof(r->top[0]));
    enum err err = kv_begin(r->options.kv, false, &r->txn);
    if (err != ERR_OK)
        return err;
    bool by_hours = q->start_minute % PAGE_MINUTES == 0 && q->end_minute % PAGE_MINUTES == 0;
    err = global_reader_kept(r, q, by_hours);
    if (err == ERR_OK)
        err = global_reader_cards(r);
    global_reader_standing(r, &answer);
    /* First: what is complete now is so in the counts that are read later. */
    if (err == ERR_OK)
        err = judge(&w, q, &top.complete);
    if (err == ERR_OK)
        err = asker == NULL ? walk_counts(&w, q, by_hours, 0, UINT64_MAX, &top.ad_count)
                            : walk_own(&w, q, asker, by_hours, &top.ad_count);
    /* The walk renews its transaction: what was kept at its start may have been retired under way.
     */
    if (err == ERR_OK)
        err = global_reader_kept(r, q, by_hours);
    err = end_walk(&w, err);
    if (err != ERR_OK)
        return err;
    top.ads = r->top;
    *out_top = top;
    *out = answer;
    return ERR_OK;
}

/* The ad's first day of hours from `day` on. */
static bool day_from(struct global_reader *r, uint64_t ad_hash, uint32_t day, uint32_t *out_day,
                     struct span *out_value)
{
    struct leaf_key at = leaf_key_rollup(ad_hash, day);
    struct span key;
    uint64_t found;
    return kv_seek(r->txn, LEAF_TABLE_ROLLUP, leaf_key_span(&at), &key, out_value) &&
           leaf_rollup_of_key(key, &found, out_day) && found == ad_hash;
}

/* First and last minute of the ad in an hour; all of it where minutes are kept no longer. */
static enum err page_ends(struct global_reader *r, uint64_t ad_hash, uint32_t hour,
                          uint32_t *out_first, uint32_t *out_last)
{
    struct leaf_key key = leaf_key_page(ad_hash, hour);
    struct span value;
    struct span body;
    struct page_sums sums = {.seen = (UINT64_C(1) << PAGE_MINUTES) - 1};
    if (kv_get(r->txn, LEAF_TABLE_PAGE, leaf_key_span(&key), &value) &&
        (!leaf_open(value, &body) || page_sum(body, &sums) != ERR_OK || sums.seen == 0))
        return ERR_KV_CORRUPT;
    *out_first = hour * PAGE_MINUTES + (uint32_t)__builtin_ctzll(sums.seen);
    *out_last = hour * PAGE_MINUTES + 63 - (uint32_t)__builtin_clzll(sums.seen);
    return ERR_OK;
}

/* Minutes of the first and the last row of an ad. ERR_NOT_FOUND: it has none yet. The port seeks
 * upwards only, so the last day is found by halving. */
static enum err seen(struct global_reader *r, uint64_t ad_hash, uint32_t *out_first,
                     uint32_t *out_last)
{
    struct span value;
    struct span body;
    struct rollup hours;
    uint32_t low;
    uint32_t found;
    uint32_t other;
    uint32_t high =
        minute_of_ms(LIMIT_TIMESTAMP_MS_MAX) / RETIRE_DAY_MINUTES + 1; /* none from here */
    if (!day_from(r, ad_hash, 0, &low, &value))
        return ERR_NOT_FOUND;
    if (!leaf_open(value, &body) || rollup_read(&hours, body) != ERR_OK)
        return ERR_KV_CORRUPT;
    enum err err =
        page_ends(r, ad_hash, low * ROLLUP_HOURS + rollup_first(&hours), out_first, &other);
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (day_from(r, ad_hash, middle, &found, &value))
            low = found;
        else
            high = middle;
    }
    if (err != ERR_OK || !day_from(r, ad_hash, low, &found, &value) || !leaf_open(value, &body) ||
        rollup_read(&hours, body) != ERR_OK)
        return ERR_KV_CORRUPT;
    return page_ends(r, ad_hash, low * ROLLUP_HOURS + rollup_last(&hours), &other, out_last);
}

/* Of a page: its last name stays in *names. *out_more: there is another one behind it. */
static enum err walk_names(struct walk *w, const struct query *q, struct global_reader_names *names,
                           struct buf *out, bool *out_more)
{
    struct global_reader *r = w->reader;
    struct global_reader_names next = *names;
    uint32_t count = 0;
    enum err err;
    *out_more = false;
    while ((err = global_reader_names_next(r, &next)) == ERR_OK) {
        uint32_t first = 0;
        uint32_t last = 0;
        if (count == q->limit) {
            *out_more = true;
            return ERR_OK;
        }
        err = seen(r, next.ad_hash, &first, &last);
        if (err == ERR_OK) {
            stats_json_put_ad(out, count++ == 0, span_of(next.last, next.last_length),
                              minute_start_ms(first) / 1000, minute_start_ms(last) / 1000);
            *names = next;
        }
        if (err == ERR_OK || err == ERR_NOT_FOUND)
            err = step(w);
        if (err != ERR_OK)
            return err;
    }
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static void put_next(struct buf *out, const struct global_reader_names *names)
{
    static const char hex[] = "0123456789abcdef";
    buf_put_u8(out, '"');
    for (size_t i = 0; i < names->last_length; i++) {
        buf_put_u8(out, (uint8_t)hex[names->last[i] >> 4]);
        buf_put_u8(out, (uint8_t)hex[names->last[i] & 15]);
    }
    buf_put_u8(out, '"');
}

enum err global_reader_ads(struct global_reader *r, const struct query *q,
                           const struct token *asker, struct buf *out)
{
    struct walk w = {.reader = r};
    struct global_reader_names names;
    bool more = false;
    enum err err = kv_begin(r->options.kv, false, &r->txn);
    if (err != ERR_OK)
        return err;
    size_t from = out->length;
    global_reader_names_begin(&names, asker, span_of(q->prefix, q->prefix_length),
                              span_of(q->cursor_name, q->has_cursor ? q->cursor_name_length : 0));
    stats_json_text(out, "{\"ads\":[");
    err = end_walk(&w, walk_names(&w, q, &names, out, &more));
    if (err != ERR_OK) {
        out->length = from;
        return err;
    }
    stats_json_text(out, "],\"next\":");
    if (more)
        put_next(out, &names);
    else
        stats_json_text(out, "null");
    buf_put_u8(out, '}');
    return ERR_OK;
}
