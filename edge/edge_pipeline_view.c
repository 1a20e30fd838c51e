/* SPDX-License-Identifier: Apache-2.0
 * edge_pipeline_view: what may be seen of the pipeline from any thread: counts, how far each reader
 * is, how old what is held. */
#include "edge/edge_pipeline_parts.h"

void edge_pipeline_view(struct edge_pipeline *p, struct edge_view *out)
{
    *out = (struct edge_view){.drained = true};
    pthread_mutex_lock(&p->lock);
    for (uint32_t i = 0; i < p->line_count; i++) {
        const struct edge_line *line = p->lines[i];
        if (line->gone)
            continue;
        uint64_t trim = base_max_u64(line->shared_trim, line->shared_low);
        out->in_flight += line->shared_end - trim;
        out->older_lines += line->older ? 1 : 0;
        out->drained = out->drained && trim == line->shared_end;
    }
    pthread_mutex_unlock(&p->lock);
    out->accepted = atomic_load(&p->counters.accepted);
    out->published = atomic_load(&p->counters.published);
    out->resent_segments = atomic_load(&p->counters.resent_segments);
    out->timeouts = atomic_load(&p->counters.timeouts);
    out->gaps = atomic_load(&p->counters.gaps);
    out->floors_heard = atomic_load(&p->counters.floors_heard);
    out->segment_bytes = atomic_load(&p->counters.segment_bytes);
    out->trimmed = atomic_load(&p->counters.trimmed);
    for (uint32_t i = 0; i < p->options.region_count; i++) {
        out->bus_up[i] = atomic_load(&p->regions[i].up);
        out->partitions[i] = edge_pipeline_turn(p, i).after;
        out->map_beyond[i] = atomic_load(&p->maps[i].beyond);
    }
}

/* Under lock: adds what the line holds for each reader of its region. */
static void add_floors(const struct edge_line *line, struct edge_floor_view *out, uint32_t readers)
{
    for (uint32_t reader = 0; reader < readers; reader++) {
        uint64_t floor = line->shared_floors[reader];
        out[reader].held += line->shared_end -
                            base_min_u64(line->shared_end, base_max_u64(floor, line->shared_low));
        if (!line->older)
            out[reader].floor = floor;
    }
}

uint32_t edge_pipeline_floors(struct edge_pipeline *p, uint32_t home, uint16_t partition,
                              struct edge_floor_view out[LIMIT_READERS])
{
    uint32_t readers = p->options.regions[home].reader_count;
    memset(out, 0, LIMIT_READERS * sizeof(*out));
    pthread_mutex_lock(&p->lock);
    for (uint32_t i = 0; i < p->line_count; i++) {
        const struct edge_line *line = p->lines[i];
        if (line->home == home && line->spool.partition == partition && !line->gone)
            add_floors(line, out, readers);
    }
    pthread_mutex_unlock(&p->lock);
    for (uint32_t reader = 0; reader < readers; reader++)
        out[reader].reader = p->options.regions[home].readers[reader];
    return readers;
}

/* The lowest batch that some reader has not consumed; false: there is none, or it cannot be read.
 */
static bool oldest_of(struct edge_pipeline *p, struct kv_txn *txn, const struct edge_line *line,
                      uint64_t *out_commit_ms)
{
    pthread_mutex_lock(&p->lock);
    uint64_t from = base_max_u64(line->shared_low, line->shared_trim), end = line->shared_end;
    bool gone = line->gone;
    pthread_mutex_unlock(&p->lock);
    struct spool_key start = spool_batch_key(&line->spool, from);
    struct span key, value;
    uint64_t first;
    struct spool_batch batch;
    if (gone || from >= end ||
        !kv_seek(txn, EDGE_TABLE_BATCH, span_of(start.bytes, start.length), &key, &value) ||
        !spool_batch_key_read(&line->spool, key, &first) ||
        spool_batch_read(first, value, &batch) != ERR_OK)
        return false;
    *out_commit_ms = batch.commit_ms;
    return true;
}

uint64_t edge_pipeline_oldest_ms(struct edge_pipeline *p)
{
    struct kv_txn *txn;
    uint64_t oldest_ms = UINT64_MAX, commit_ms;
    if (kv_begin(p->options.kv, false, &txn) != ERR_OK)
        return 0;
    for (uint32_t i = 0; i < p->line_count; i++)
        if (oldest_of(p, txn, p->lines[i], &commit_ms))
            oldest_ms = base_min_u64(oldest_ms, commit_ms);
    if (kv_abort(&txn) != ERR_OK)
        return 0;
    uint64_t now_ms = p->options.clock->wall_ms(p->options.clock);
    return now_ms - base_min_u64(now_ms, oldest_ms);
}
