/* SPDX-License-Identifier: Apache-2.0
 * global_merger_retire: moves the horizon, and deletes what lies below it, a bounded bite in each
 * of the merger's transactions. */
#include "global/global_merger_state.h"

#define RETIRE_BITE 512u /* look-ups in one transaction */

static const struct {
    enum leaf_table table;
    uint8_t prefix_bytes; /* of whose it is, before the time */
    enum { BY_MINUTE, BY_HOUR, BY_DAY, BY_HOUR_OF_DAYS } by;
} retired[] = {
    {LEAF_TABLE_PAGE, 8, BY_HOUR},
    {LEAF_TABLE_SKETCH, 8, BY_MINUTE},
    {LEAF_TABLE_MINUTE, 4, BY_MINUTE},
    {LEAF_TABLE_ROLLUP, 8, BY_DAY},
    {LEAF_TABLE_COMPLETE, 4, BY_HOUR_OF_DAYS},
};

/* The first time that the table keeps. */
static uint32_t keep_from(const struct retire_horizon *h, unsigned at)
{
    switch (retired[at].by) {
    case BY_MINUTE:
        return h->minute;
    case BY_HOUR:
        return h->minute / PAGE_MINUTES;
    case BY_DAY:
        return h->day;
    case BY_HOUR_OF_DAYS:
        return h->day * (RETIRE_DAY_MINUTES / 60);
    }
    return 0;
}

static void begin_walk(struct merger *m, unsigned at)
{
    m->walk_at = at;
    if (at < countof(retired))
        m->walk = retire_walk_of(retired[at].prefix_bytes, keep_from(&m->horizon, at));
}

/* How far every region has come; 0 while one was never heard of. */
static uint64_t least_watermark_ms(const struct merger *m)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < m->options.region_count; i++)
        least = base_min_u64(least, m->rivers[i].card.watermark_ms);
    return least;
}

static void move_horizon(struct merger *m)
{
    struct retire_horizon due =
        retire_due(least_watermark_ms(m), m->options.clock->wall_ms(m->options.clock),
                   m->options.minutes_days, m->options.hours_days);
    if (!retire_advance(&m->horizon, due))
        return;
    buf_clear(&m->value);
    retire_put(&m->horizon, &m->value);
    merger_store_put(m, LEAF_TABLE_META, leaf_key_horizon(), &m->value);
    begin_walk(m, 0);
}

enum err merger_retire_load(struct merger *m)
{
    struct span body;
    enum err err = ERR_OK;
    m->horizon = (struct retire_horizon){0};
    if (merger_store_get(m, LEAF_TABLE_META, leaf_key_horizon(), &body, &err) &&
        retire_read(&m->horizon, body) != ERR_OK)
        err = ERR_KV_CORRUPT;
    /* Where the last walk had come to is not known: from the start. */
    begin_walk(m, m->horizon.minute == 0 && m->horizon.day == 0 ? countof(retired) : 0);
    return err;
}

bool merger_retire_is_due(const struct merger *m)
{
    struct retire_horizon next = m->horizon;
    return m->walk_at < countof(retired) ||
           retire_advance(&next, retire_due(least_watermark_ms(m),
                                            m->options.clock->wall_ms(m->options.clock),
                                            m->options.minutes_days, m->options.hours_days));
}

void merger_retire_bite(struct merger *m)
{
    /* Durable with this transaction, as is the first bite: readers see both or neither. */
    move_horizon(m);
    for (unsigned n = 0; n < RETIRE_BITE && m->walk_at < countof(retired); n++) {
        struct span key;
        struct span value;
        if (m->walk.ended ||
            !kv_seek(m->txn, retired[m->walk_at].table, retire_walk_key(&m->walk), &key, &value)) {
            begin_walk(m, m->walk_at + 1);
            continue;
        }
        if (!retire_walk_take(&m->walk, key))
            continue;
        kv_del(m->txn, retired[m->walk_at].table, key);
        m->view.keys_retired++;
    }
}
