/* SPDX-License-Identifier: Apache-2.0
 * regional_replica_view: numbers for metrics, health and tests. */
#include "regional/regional_replica_parts.h"

void replica_view(const struct replica *r, struct replica_view *out)
{
    *out = r->totals;
    out->store_id = r->who.store_id;
    out->bus_up = r->bus_up;
    out->outbox = r->outbox_count - r->outbox_done;
    out->ready = true;
    for (uint32_t i = 0; i < r->options.partition_count; i++) {
        const struct part *p = &r->parts[i];
        const struct fold *f = p->fold;
        out->ready = out->ready && p->caught_up && p->state != REPLICA_PART_STOPPED;
        out->parts_stopped += p->state == REPLICA_PART_STOPPED;
        out->keys += f->horizon.keys;
        out->rows += f->horizon.rows;
        out->memory_bytes += p->memory_bytes;
        out->minutes_stored += f->horizon.stored_count;
        out->books.folded += f->books.folded;
        out->books.counted += f->books.counted;
        out->books.duplicate += f->books.duplicate;
        out->books.carried += f->books.carried;
        /* Both are plain arrays of counters. */
        const uint64_t *counts = (const uint64_t *)&f->counts;
        uint64_t *sums = (uint64_t *)&out->counts;
        for (size_t c = 0; c < sizeof(f->counts) / sizeof(uint64_t); c++)
            sums[c] += counts[c];
    }
}

uint32_t replica_part_count(const struct replica *r)
{
    return r->options.partition_count;
}

void replica_part_view(const struct replica *r, uint32_t index, struct replica_part_view *out)
{
    CHECK(index < r->options.partition_count);
    const struct part *p = &r->parts[index];
    const struct fold *f = p->fold;
    *out = (struct replica_part_view){
        .partition = f->options.partition,
        .state = p->state,
        .caught_up = p->caught_up,
        .uncut = f->uncut,
        .seq = p->position.seq,
        .cut = f->cut,
        .stream_ms = f->stream_ms,
        .watermark_ms = f->watermark_ms,
        .control_floor = f->control_floor,
        .keys = f->horizon.keys,
        .rows = f->horizon.rows,
        .minutes_stored = f->horizon.stored_count,
        .ads = f->names.used,
        .books = f->books,
        .pending = p->pending == UINT64_MAX ? 0 : p->pending,
    };
    uint64_t wall_ms = r->options.clock->wall_ms(r->options.clock);
    if (out->pending > 0 && wall_ms > p->message_ms)
        out->lag_ms = wall_ms - p->message_ms;
    for (uint32_t i = 0; i < f->edges.count; i++) {
        out->edges_known += f->edges.edges[i].enrolled;
        out->edges_missing += f->edges.edges[i].missing;
    }
}

const struct fold *replica_fold(const struct replica *r, uint32_t index)
{
    CHECK(index < r->options.partition_count);
    return r->parts[index].fold;
}
