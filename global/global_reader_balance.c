/* SPDX-License-Identifier: Apache-2.0
 * global_reader_balance: the books of each partition, in and out: accepted = folded + in flight,
 * folded = counted + duplicate + carried (design 2.7). */
#include "global/global_reader_inside.h"

#include "proto/stats_json_text.h"

#include <stdlib.h>

struct pages {
    struct buf *out;
    struct standing_partition replicas; /* of the partition being read */
    uint32_t region, partition;         /* region: place in the options */
    struct stats_json_sums totals;
    struct stats_json_edge *edges;
    size_t edge_capacity;
    char (*names)[LIMIT_EDGE_NAME_BYTES + 1];
    bool first;
};

static enum err read_edges(struct pages *p, const struct standing_replica *from,
                           struct stats_json_line *line)
{
    struct reader in = reader_of(buf_span(&from->edges));
    uint64_t count = in.left == 0 ? 0 : reader_varint(&in);
    if (count > PARTIAL_EDGES_MAX)
        return ERR_KV_CORRUPT;
    if (count > p->edge_capacity) {
        p->edge_capacity = count;
        p->edges = base_realloc(p->edges, count * sizeof(p->edges[0]));
        p->names = base_realloc(p->names, count * sizeof(p->names[0]));
    }
    for (uint64_t i = 0; i < count; i++) {
        struct span name = reader_block(&in, LIMIT_EDGE_NAME_BYTES);
        struct stats_json_edge *e = &p->edges[i];
        memset(p->names[i], 0, sizeof(p->names[i]));
        if (name.length > 0)
            memcpy(p->names[i], name.data, name.length);
        e->edge = p->names[i];
        e->epoch = reader_varint(&in);
        e->floor = reader_varint(&in);
        e->accepted = reader_varint(&in);
        e->missing = reader_u8(&in) != 0;
        /* What an edge accepted is as it last said, before which the fold may have come further. */
        e->in_flight = e->accepted > e->floor ? e->accepted - e->floor : 0;
        line->sums.in_flight += e->in_flight;
    }
    line->edges = p->edges;
    line->edge_count = count;
    return reader_at_end(&in) ? ERR_OK : ERR_KV_CORRUPT;
}

/* What the globe itself holds, whoever told it. */
static enum err read_merged(struct global_reader *r, const struct pages *p,
                            struct stats_json_line *line)
{
    struct leaf_key key = leaf_key_partition(r->ids[p->region], (uint16_t)p->partition);
    struct standing_partition held = {.merged = 0};
    struct span value;
    struct span body;
    if (kv_get(r->txn, LEAF_TABLE_PARTITION, leaf_key_span(&key), &value) &&
        (!leaf_open(value, &body) || standing_partition_read(&held, body) != ERR_OK))
        return ERR_KV_CORRUPT;
    line->sums.merged = held.merged;
    return ERR_OK;
}

static uint64_t apart(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

static enum err put_line(struct global_reader *r, struct pages *p)
{
    const struct standing_replica *said = standing_freshest(&p->replicas);
    if (said == NULL)
        return ERR_OK;
    struct stats_json_line line = {
        .region = r->options.regions[p->region],
        .replica = said->replica,
        .partition = p->partition,
        .replicas = p->replicas.replica_count,
        .stream_time = said->stream_ms / 1000,
        .sums = {.folded = said->folded,
                 .counted = said->counted,
                 .duplicate = said->duplicate,
                 .carried = said->carried},
    };
    enum err err = read_merged(r, p, &line);
    if (err != ERR_OK)
        return err;
    line.sums.unexplained = apart(said->folded, said->counted + said->duplicate + said->carried);
    err = read_edges(p, said, &line);
    if (err != ERR_OK)
        return err;
    stats_json_put_line(p->out, p->first, &line);
    p->first = false;
    p->totals.folded += line.sums.folded;
    p->totals.counted += line.sums.counted;
    p->totals.duplicate += line.sums.duplicate;
    p->totals.carried += line.sums.carried;
    p->totals.unexplained += line.sums.unexplained; /* never one line's excess against another's */
    p->totals.in_flight += line.sums.in_flight;
    p->totals.merged += line.sums.merged;
    return ERR_OK;
}

static enum err take_replica(struct pages *p, const char *name, struct span value)
{
    struct span body;
    if (p->replicas.replica_count == LIMIT_READERS)
        return ERR_OK;
    struct standing_replica *place = &p->replicas.replicas[p->replicas.replica_count++];
    *place = (struct standing_replica){.store_id = 0};
    memcpy(place->replica, name, strlen(name) + 1);
    return leaf_open(value, &body) && standing_replica_read(place, body) == ERR_OK ? ERR_OK
                                                                                   : ERR_KV_CORRUPT;
}

static enum err read_region(struct global_reader *r, struct pages *p)
{
    struct leaf_key at = leaf_key_partition(r->ids[p->region], 0); /* before all replicas */
    struct span key = leaf_key_span(&at);
    struct span value;
    uint16_t region;
    uint16_t partition;
    enum err err = ERR_OK;
    char name[LIMIT_READER_NAME_BYTES + 1];
    p->partition = UINT32_MAX;
    while (err == ERR_OK && kv_seek(r->txn, LEAF_TABLE_REPLICA, key, &key, &value)) {
        if (!leaf_replica_of_key(key, &region, &partition, name))
            return ERR_KV_CORRUPT;
        if (region != r->ids[p->region])
            break;
        if (partition != p->partition) {
            err = put_line(r, p);
            standing_partition_done(&p->replicas);
            p->partition = partition;
        }
        if (err == ERR_OK)
            err = take_replica(p, name, value);
        CHECK(key.length < sizeof(at.data));
        memcpy(at.data, key.data, key.length);
        at.data[key.length] = 0; /* the key behind this one */
        at.length = key.length + 1;
        key = leaf_key_span(&at);
    }
    if (err == ERR_OK)
        err = put_line(r, p);
    standing_partition_done(&p->replicas);
    return err;
}

enum err global_reader_balance(struct global_reader *r, struct buf *out)
{
    struct buf lines = {0};
    struct pages p = {.out = &lines, .first = true};
    uint64_t as_of_ms =
        r->options.clock->wall_ms(r->options.clock); /* not later than the snapshot */
    enum err err = kv_begin(r->options.kv, false, &r->txn);
    if (err != ERR_OK)
        return err;
    err = global_reader_cards(r);
    for (p.region = 0; err == ERR_OK && p.region < r->options.region_count; p.region++)
        if (r->ids[p.region] != 0)
            err = read_region(r, &p);
    err = global_reader_end(r, err);
    if (err == ERR_OK) {
        stats_json_text(out, "{\"as_of\":");
        stats_json_number(out, as_of_ms / 1000);
        stats_json_text(out, ",\"unexplained\":");
        stats_json_number(out, p.totals.unexplained);
        stats_json_text(out, ",\"totals\":");
        stats_json_put_sums(out, &p.totals);
        stats_json_text(out, ",\"lines\":[");
        buf_put(out, lines.data, lines.length);
        stats_json_text(out, "]}");
    }
    standing_partition_done(&p.replicas);
    buf_done(&lines);
    free(p.edges);
    free(p.names);
    return err;
}
