/* SPDX-License-Identifier: Apache-2.0
 * standing: what each replica last said of itself, and what follows for its partition and its
 * region. */
#include "global/core/standing.h"

#include "common/base/minute.h"

#include <stdlib.h>

void standing_names_add(struct standing_names *names, const char *name)
{
    CHECK(strlen(name) <= LIMIT_EDGE_NAME_BYTES);
    uint32_t at = 0;
    int order = 1;
    while (at < names->count && (order = strcmp(names->names[at], name)) < 0)
        at++;
    if (at < names->count && order == 0)
        return;
    if (names->count == names->capacity) {
        names->capacity = names->capacity == 0 ? 8 : names->capacity * 2;
        names->names = base_realloc(names->names, names->capacity * sizeof(names->names[0]));
    }
    memmove(names->names + at + 1, names->names + at,
            (names->count - at) * sizeof(names->names[0]));
    names->count++;
    memset(names->names[at], 0, sizeof(names->names[at]));
    memcpy(names->names[at], name, strlen(name));
}

void standing_names_done(struct standing_names *names)
{
    free(names->names);
    *names = (struct standing_names){0};
}

static void names_put(const struct standing_names *names, struct buf *out)
{
    buf_put_varint(out, names->count);
    for (uint32_t i = 0; i < names->count; i++)
        buf_put_block(out, span_of_text(names->names[i]));
}

static void names_read(struct standing_names *names, struct reader *r)
{
    uint64_t count = reader_varint(r);
    names->count = 0;
    for (uint64_t i = 0; i < count && !r->failed; i++) {
        struct span name = reader_block(r, LIMIT_EDGE_NAME_BYTES);
        char text[LIMIT_EDGE_NAME_BYTES + 1] = {0};
        if (name.length > 0)
            memcpy(text, name.data, name.length);
        if (!r->failed)
            standing_names_add(names, text);
    }
}

static void replica_done(struct standing_replica *r)
{
    standing_names_done(&r->missing);
    buf_done(&r->edges);
    *r = (struct standing_replica){0};
}

/* P u16 of a map of one step, as it always was (0: none); else 0xffff and the map. */
#define MAP_FOLLOWS UINT16_MAX

static void map_put(const struct partition_map *map, struct buf *out)
{
    buf_put_u16(out, map->count > 1 ? MAP_FOLLOWS : partition_map_last(map));
    if (map->count > 1)
        partition_map_put(map, out);
}

static bool map_get(struct partition_map *out, struct reader *r)
{
    uint16_t partitions = reader_u16(r);
    if (partitions == MAP_FOLLOWS)
        return partition_map_get(out, r) && out->count > 1;
    if (r->failed || partitions > LIMIT_PARTITIONS)
        return false;
    *out = partitions == 0 ? (struct partition_map){0} : partition_map_of(partitions);
    return true;
}

void standing_partition_done(struct standing_partition *p)
{
    for (uint32_t i = 0; i < p->replica_count; i++)
        replica_done(&p->replicas[i]);
    *p = (struct standing_partition){0};
}

/* The replica's place; a new one takes the place of the stalest when all are taken. */
static struct standing_replica *place_of(struct standing_partition *p, const char *replica)
{
    uint32_t stalest = 0;
    for (uint32_t i = 0; i < p->replica_count; i++) {
        if (strcmp(p->replicas[i].replica, replica) == 0)
            return &p->replicas[i];
        if (p->replicas[i].stream_ms < p->replicas[stalest].stream_ms)
            stalest = i;
    }
    struct standing_replica *place;
    if (p->replica_count < LIMIT_READERS) {
        place = &p->replicas[p->replica_count++];
        *place = (struct standing_replica){0};
    } else {
        place = &p->replicas[stalest];
        replica_done(place);
    }
    CHECK(strlen(replica) < sizeof(place->replica));
    memcpy(place->replica, replica, strlen(replica) + 1);
    return place;
}

static void take_missing(struct standing_replica *r, const struct partial *partial)
{
    r->missing.count = 0;
    for (uint32_t i = 0; i < partial->edge_count; i++)
        if (partial->edges[i].missing)
            standing_names_add(&r->missing, partial->edges[i].edge);
}

static void take_edges(struct standing_replica *r, const struct partial *partial)
{
    buf_clear(&r->edges);
    buf_put_varint(&r->edges, partial->edge_count);
    for (uint32_t i = 0; i < partial->edge_count; i++) {
        const struct partial_edge *e = &partial->edges[i];
        buf_put_block(&r->edges, span_of_text(e->edge));
        buf_put_varint(&r->edges, e->epoch);
        buf_put_varint(&r->edges, e->floor);
        buf_put_varint(&r->edges, e->accepted);
        buf_put_u8(&r->edges, e->missing);
    }
}

/* Maps of one region differ only while a step makes its way through the partitions, or is put off.
 */
static bool is_newer(const struct partition_map *a, const struct partition_map *b)
{
    if (a->count != b->count || a->count == 0)
        return a->count > b->count;
    const struct partition_step *last_a = &a->steps[a->count - 1];
    const struct partition_step *last_b = &b->steps[b->count - 1];
    return last_a->from_minute > last_b->from_minute ||
           (last_a->from_minute == last_b->from_minute && last_a->partitions > last_b->partitions);
}

bool standing_take(struct standing_partition *p, const struct partial *partial,
                   struct standing_replica **out_replica)
{
    *out_replica = NULL;
    struct standing_replica *r = place_of(p, partial->replica);
    if (r->store_id == partial->store_id && partial->cut < r->cut)
        return false;
    r->store_id = partial->store_id;
    r->cut = partial->cut;
    r->stream_ms = partial->stream_ms;
    r->watermark_ms = partial->watermark_ms;
    r->folded = partial->folded;
    r->counted = partial->counted;
    r->duplicate = partial->duplicate;
    r->carried = partial->carried;
    r->missing_count = partial->missing_count;
    take_missing(r, partial);
    /* A cut may be split over messages: all name the missing edges, the last one (with totals) the
     * others too. */
    if (partial->total_count > 0 || partial->edge_count > r->missing.count)
        take_edges(r, partial);
    if (is_newer(&partial->map, &p->map))
        p->map = partial->map;
    p->watermark_ms = base_max_u64(p->watermark_ms, partial->watermark_ms);
    *out_replica = r;
    return true;
}

const struct standing_replica *standing_freshest(const struct standing_partition *p)
{
    const struct standing_replica *freshest = NULL;
    for (uint32_t i = 0; i < p->replica_count; i++) {
        const struct standing_replica *r = &p->replicas[i];
        /* Of two that stand at the same message, the one that misses more is believed. */
        if (freshest == NULL || r->stream_ms > freshest->stream_ms ||
            (r->stream_ms == freshest->stream_ms && r->missing_count > freshest->missing_count))
            freshest = r;
    }
    return freshest;
}

/* Minimum over the first `count` partitions; 0: one has none. */
static uint64_t watermark_of(struct standing_partition *const *partitions, uint32_t have,
                             uint32_t count)
{
    uint64_t watermark_ms = UINT64_MAX;
    for (uint32_t i = 0; i < count; i++)
        watermark_ms = base_min_u64(
            watermark_ms, i < have && partitions[i] != NULL ? partitions[i]->watermark_ms : 0);
    return watermark_ms;
}

/* Partitions that a later step brings speak from its first minute on: before it the region waits
 * for none of them, so that its watermark does not fall when the map grows. */
static uint64_t region_watermark(const struct partition_map *map,
                                 struct standing_partition *const *partitions, uint32_t have)
{
    uint64_t watermark_ms = watermark_of(partitions, have, map->steps[0].partitions);
    for (uint32_t s = 1; s < map->count; s++) {
        uint64_t from_ms = minute_start_ms(map->steps[s].from_minute);
        uint64_t with_new_ms = watermark_of(partitions, have, map->steps[s].partitions);
        watermark_ms = base_min_u64(watermark_ms, base_max_u64(from_ms, with_new_ms));
    }
    return watermark_ms;
}

void standing_derive(struct standing_card *card, struct standing_partition *const *partitions,
                     uint32_t count)
{
    card->map.count = 0;
    card->missing.count = 0;
    for (uint32_t i = 0; i < count; i++)
        if (partitions[i] != NULL && is_newer(&partitions[i]->map, &card->map))
            card->map = partitions[i]->map;
    card->watermark_ms = card->map.count == 0 ? 0 : region_watermark(&card->map, partitions, count);
    for (uint32_t i = 0; i < partition_map_last(&card->map) && i < count; i++) {
        const struct standing_replica *freshest =
            partitions[i] == NULL ? NULL : standing_freshest(partitions[i]);
        for (uint32_t j = 0; freshest != NULL && j < freshest->missing.count; j++)
            standing_names_add(&card->missing, freshest->missing.names[j]);
    }
}

void standing_card_done(struct standing_card *card)
{
    standing_names_done(&card->missing);
    *card = (struct standing_card){0};
}

void standing_card_put(const struct standing_card *card, struct buf *out)
{
    buf_put_block(out, span_of_text(card->name));
    map_put(&card->map, out);
    buf_put_varint(out, card->watermark_ms);
    names_put(&card->missing, out);
}

enum err standing_card_read(struct standing_card *card, struct span bytes)
{
    struct reader r = reader_of(bytes);
    struct standing_card read = {.watermark_ms = 0};
    struct span name = reader_block(&r, LIMIT_REGION_NAME_BYTES);
    if (name.length > 0)
        memcpy(read.name, name.data, name.length);
    bool has_map = map_get(&read.map, &r);
    read.watermark_ms = reader_varint(&r);
    names_read(&read.missing, &r);
    if (!reader_at_end(&r) || !has_map) {
        standing_card_done(&read);
        return ERR_FORMAT;
    }
    standing_card_done(card);
    *card = read;
    return ERR_OK;
}

void standing_partition_put(const struct standing_partition *p, struct buf *out)
{
    map_put(&p->map, out);
    buf_put_varint(out, p->watermark_ms);
    buf_put_u32(out, p->upto);
    buf_put_varint(out, p->merged);
}

enum err standing_partition_read(struct standing_partition *p, struct span bytes)
{
    struct reader r = reader_of(bytes);
    struct partition_map map;
    bool has_map = map_get(&map, &r);
    uint64_t watermark_ms = reader_varint(&r);
    uint32_t upto = reader_u32(&r);
    uint64_t merged = reader_varint(&r);
    if (!reader_at_end(&r) || !has_map)
        return ERR_FORMAT;
    p->map = map;
    p->watermark_ms = watermark_ms;
    p->upto = upto;
    p->merged = merged;
    return ERR_OK;
}

void standing_replica_put(const struct standing_replica *r, struct buf *out)
{
    buf_put_u64(out, r->store_id);
    buf_put_varint(out, r->cut);
    buf_put_varint(out, r->stream_ms);
    buf_put_varint(out, r->watermark_ms);
    buf_put_varint(out, r->folded);
    buf_put_varint(out, r->counted);
    buf_put_varint(out, r->duplicate);
    buf_put_varint(out, r->carried);
    buf_put_varint(out, r->missing_count);
    names_put(&r->missing, out);
    buf_put(out, r->edges.data, r->edges.length);
}

enum err standing_replica_read(struct standing_replica *r, struct span bytes)
{
    struct reader in = reader_of(bytes);
    r->store_id = reader_u64(&in);
    r->cut = reader_varint(&in);
    r->stream_ms = reader_varint(&in);
    r->watermark_ms = reader_varint(&in);
    r->folded = reader_varint(&in);
    r->counted = reader_varint(&in);
    r->duplicate = reader_varint(&in);
    r->carried = reader_varint(&in);
    r->missing_count = (uint32_t)reader_varint(&in);
    names_read(&r->missing, &in);
    buf_clear(&r->edges);
    struct span edges = reader_bytes(&in, in.left);
    buf_put(&r->edges, edges.data, edges.length);
    return in.failed ? ERR_TRUNCATED : ERR_OK;
}
