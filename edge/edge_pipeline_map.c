/* SPDX-License-Identifier: Apache-2.0
 * The partition map that an edge follows: told by every reader, stored with the lines that it
 * brings, then followed. In this order, because a line that was heard of must not be forgotten. */
#include "edge/edge_pipeline_parts.h"

#include <stdio.h>

#define KEY_MAX (4 + LIMIT_REGION_NAME_BYTES)

/* Table meta: "map." and the region's name -> partition_map_put. */
static struct span map_key(const struct edge_pipeline *p, uint32_t home, char out[KEY_MAX + 1])
{
    int length = snprintf(out, KEY_MAX + 1, "map.%s", p->options.regions[home].name);
    return span_of(out, (size_t)length);
}

static void follow(struct edge_map *m, const struct partition_map *map)
{
    m->followed = m->shared = *map;
    atomic_store(&m->turn, partition_turn_pack(partition_turn_of(map)));
}

enum err edge_map_open(struct edge_pipeline *p, struct kv_txn *txn)
{
    for (uint32_t home = 0; home < p->options.region_count; home++) {
        uint16_t first = (uint16_t)(p->options.partitions_first == 0 ? p->options.partitions
                                                                     : p->options.partitions_first);
        struct partition_map map = partition_map_of(first);
        char key[KEY_MAX + 1];
        struct span value;
        if (kv_get(txn, EDGE_TABLE_META, map_key(p, home, key), &value)) {
            struct reader r = reader_of(value);
            if (!partition_map_get(&map, &r) || !reader_at_end(&r) || map.count == 0)
                return ERR_KV_CORRUPT;
            if (map.steps[0].partitions != first)
                return ERR_CONFIG;
        }
        if (partition_map_last(&map) > p->options.partitions)
            return ERR_CONFIG;
        follow(&p->maps[home], &map);
        p->maps[home].known = map;
    }
    return ERR_OK;
}

bool edge_map_has(const struct partition_map *map, const struct edge_line *line)
{
    return line->older || line->spool.partition < partition_map_last(map);
}

struct partition_turn edge_pipeline_turn(const struct edge_pipeline *p, uint32_t home)
{
    CHECK(home < p->options.region_count);
    return partition_turn_unpack(atomic_load_explicit(&p->maps[home].turn, memory_order_relaxed));
}

/* Have all folds of the region told this map? Who lacks a step would carry what we place by it; an
 * archiver counts nothing and has none. */
static bool is_told_by_all(const struct edge_region *region, const struct edge_map *m,
                           const struct partition_map *map)
{
    for (uint32_t i = 0; i < region->reader_count; i++)
        if ((region->archivers >> i & 1) == 0 && !partition_map_equal(&m->told[i], map))
            return false;
    return true;
}

void edge_map_told(struct edge_pipeline *p, uint32_t home, uint32_t reader,
                   const struct partition_map *map)
{
    struct edge_map *m = &p->maps[home];
    m->told[reader] = *map;
    bool by_all = is_told_by_all(&p->options.regions[home], m, map);
    if (!by_all || !partition_map_extends(map, &m->known))
        return;
    bool beyond = partition_map_last(map) > p->options.partitions;
    atomic_store(&m->beyond, beyond);
    if (beyond)
        return;
    pthread_mutex_lock(&p->lock);
    m->proposed = *map;
    pthread_mutex_unlock(&p->lock);
}

bool edge_map_is_due(const struct edge_pipeline *p)
{
    for (uint32_t home = 0; home < p->options.region_count; home++)
        if (partition_map_extends(&p->maps[home].proposed, &p->maps[home].followed))
            return true;
    return false;
}

void edge_map_store(struct edge_pipeline *p, struct kv_txn *txn)
{
    for (uint32_t home = 0; home < p->options.region_count; home++) {
        struct edge_map *m = &p->maps[home];
        pthread_mutex_lock(&p->lock);
        struct partition_map map = m->proposed;
        pthread_mutex_unlock(&p->lock);
        m->storing = (struct partition_map){0};
        if (!partition_map_extends(&map, &m->followed))
            continue;
        m->storing = map;
        char key[KEY_MAX + 1];
        struct buf value = {0};
        partition_map_put(&map, &value);
        kv_put(txn, EDGE_TABLE_META, map_key(p, home, key), buf_span(&value));
        buf_done(&value);
        for (uint32_t i = 0; i < p->current_count; i++) {
            struct edge_line *line = p->lines[i];
            bool brought =
                line->home == home && !edge_map_has(&m->followed, line) && edge_map_has(&map, line);
            line->touched = line->touched || brought;
        }
    }
}

void edge_map_stored(struct edge_pipeline *p, bool stored)
{
    for (uint32_t home = 0; home < p->options.region_count; home++) {
        struct edge_map *m = &p->maps[home];
        if (m->storing.count > 0 && stored)
            follow(m, &m->storing);
        m->storing.count = 0;
    }
}
