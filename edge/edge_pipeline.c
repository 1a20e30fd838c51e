/* SPDX-License-Identifier: Apache-2.0
 * The committer's half: numbers, commits, trims. Order of effects: commit, then tell. */
#include "edge/edge_pipeline_parts.h"

#include <stdlib.h>

/* Deletes need pages as well; a bounded bite keeps a drain after an outage from holding up clicks.
 */
#define TRIM_BATCHES_A_COMMIT 64

const char *const edge_table_names[EDGE_TABLES] = {"meta", "line", "batch"};

static struct span key_span(const struct spool_key *key)
{
    return span_of(key->bytes, key->length);
}

uint64_t edge_clock_locked(struct edge_pipeline *p)
{
    uint64_t now = p->options.clock->wall_ms(p->options.clock);
    p->last_clock_ms = base_max_u64(p->last_clock_ms, now);
    return p->last_clock_ms;
}

static struct edge_line *line_add(struct edge_pipeline *p, const struct spool_line *spool,
                                  uint32_t home, bool older)
{
    CHECK(p->line_count < UINT16_MAX);
    struct edge_line *line = base_zalloc(1, sizeof(*line));
    line->slot = (uint16_t)p->line_count;
    line->home = home;
    line->older = older;
    line->spool = *spool;
    p->lines = base_realloc(p->lines, (p->line_count + 1) * sizeof(struct edge_line *));
    p->lines[p->line_count++] = line;
    return line;
}

/* Tells the forwarder what is durable now. */
static void line_share(struct edge_line *line)
{
    line->shared_low = line->spool.low;
    line->shared_end = line->spool.end;
    line->shared_fin = line->spool.fin;
}

static void line_store(struct edge_pipeline *p, struct kv_txn *txn, const struct edge_line *line)
{
    struct spool_key key = spool_line_key(&line->spool);
    spool_line_put(&p->value, &line->spool);
    kv_put(txn, EDGE_TABLE_LINE, key_span(&key), buf_span(&p->value));
}

static void batch_store(struct edge_pipeline *p, struct kv_txn *txn, struct edge_line *line,
                        const struct spool_batch *batch)
{
    struct spool_key key = spool_batch_key(&line->spool, batch->first);
    spool_batch_put(&p->value, batch);
    kv_put(txn, EDGE_TABLE_BATCH, key_span(&key), buf_span(&p->value));
    line->spool.end = batch->last;
}

static void fin_store(struct edge_pipeline *p, struct kv_txn *txn, struct edge_line *line,
                      uint64_t now_ms)
{
    /* FIN takes a number like a click (design 3.6), so that it is delivered like one. */
    struct spool_batch fin = {.first = line->spool.end,
                              .last = line->spool.end + 1,
                              .fin = true,
                              .commit_ms = now_ms,
                              .commit_mono_ms = p->options.clock->mono_ms(p->options.clock)};
    line->spool.fin = true;
    batch_store(p, txn, line, &fin);
    line_store(p, txn, line);
}

static bool region_named(const struct edge_pipeline *p, const char *name, uint32_t *out_index)
{
    for (uint32_t i = 0; i < p->options.region_count; i++) {
        if (strcmp(p->options.regions[i].name, name) == 0) {
            *out_index = i;
            return true;
        }
    }
    return false;
}

/* Every line that an earlier opening left behind. One whose home the configuration no longer names
 * could never drain: refused, because its clicks would be lost without a word. */
static enum err older_lines_load(struct edge_pipeline *p, struct kv_txn *txn)
{
    struct buf at = {0};
    struct span key, value;
    enum err err = ERR_OK;
    buf_put_u8(&at, 0);
    while (err == ERR_OK && kv_seek(txn, EDGE_TABLE_LINE, buf_span(&at), &key, &value)) {
        struct spool_line spool;
        uint32_t home;
        err = spool_line_read(key, value, &spool);
        if (err != ERR_OK)
            err = ERR_KV_CORRUPT;
        else if (!region_named(p, spool.home, &home))
            err = ERR_CONFIG;
        else
            line_add(p, &spool, home, true);
        buf_clear(&at);
        buf_put(&at, key.data, key.length);
        buf_put_u8(&at, 0);
    }
    buf_done(&at);
    return err;
}

static void current_lines_make(struct edge_pipeline *p)
{
    do {
        p->options.clock->random(p->options.clock, &p->epoch, sizeof(p->epoch));
    } while (p->epoch == 0);
    for (uint32_t home = 0; home < p->options.region_count; home++) {
        for (uint32_t partition = 0; partition < p->options.partitions; partition++) {
            struct spool_line spool = {.epoch = p->epoch, .partition = (uint16_t)partition};
            memcpy(spool.home, p->options.regions[home].name, sizeof(spool.home));
            line_add(p, &spool, home, false);
        }
    }
    p->current_count = p->line_count;
}

#ifdef TRIBUTARY_BREAK_EPOCH_KEPT
/* Planted mistake: goes on numbering in the epoch that the spool held at the last opening. */
static void break_epoch_kept(struct edge_pipeline *p, struct kv_txn *txn)
{
    struct span key, value;
    struct spool_line spool;
    uint8_t zero = 0;
    while (p->line_count > p->current_count)
        free(p->lines[--p->line_count]);
    if (!kv_seek(txn, EDGE_TABLE_LINE, span_of(&zero, 1), &key, &value) ||
        spool_line_read(key, value, &spool) != ERR_OK)
        return;
    p->epoch = spool.epoch;
    for (uint32_t i = 0; i < p->current_count; i++) {
        struct edge_line *line = p->lines[i];
        line->spool.epoch = spool.epoch;
        struct spool_key line_key = spool_line_key(&line->spool);
        if (kv_get(txn, EDGE_TABLE_LINE, key_span(&line_key), &value))
            CHECK(spool_line_read(key_span(&line_key), value, &line->spool) == ERR_OK);
    }
}
#endif

static enum err epoch_begin(struct edge_pipeline *p)
{
    struct kv_txn *txn;
    enum err err = kv_begin(p->options.kv, true, &txn);
    if (err != ERR_OK)
        return err;
    current_lines_make(p);
    err = edge_map_open(p, txn);
    if (err == ERR_OK)
        err = older_lines_load(p, txn);
#ifdef TRIBUTARY_BREAK_EPOCH_KEPT
    break_epoch_kept(p, txn);
#endif
    if (err != ERR_OK) {
        (void)kv_abort(&txn);
        return err;
    }
    for (uint32_t i = 0; i < p->line_count; i++) {
        struct edge_line *line = p->lines[i];
        if (!line->older && edge_map_has(&p->maps[line->home].followed, line))
            line_store(p, txn, line);
    }
    return kv_commit(&txn);
}

enum err edge_pipeline_new(const struct edge_pipeline_options *options, struct edge_pipeline **out)
{
    CHECK(options->region_count >= 1 && options->region_count <= LIMIT_REGIONS);
    CHECK(options->partitions >= 1 && options->partitions <= LIMIT_PARTITIONS);
    struct edge_pipeline *p = base_zalloc(1, sizeof(*p));
    p->options = *options;
    p->start_mono_ms = options->clock->mono_ms(options->clock);
    p->clicks = base_zalloc(LIMIT_SEGMENT_CLICKS, sizeof(*p->clicks));
    CHECK(pthread_mutex_init(&p->lock, NULL) == 0);
    enum err err = epoch_begin(p);
    if (err != ERR_OK) {
        edge_pipeline_free(p);
        return err;
    }
    for (uint32_t i = 0; i < p->line_count; i++) {
        struct edge_line *line = p->lines[i];
        line_share(line);
        send_window_init(&line->window, line->spool.low, line->spool.end, line->older,
                         p->options.regions[line->home].reader_count);
        atomic_init(&line->acked, line->spool.low);
    }
    for (uint32_t i = 0; i < p->options.region_count; i++) {
        struct edge_region *region = &p->options.regions[i];
        struct subject floors = subject_floors_of_edge(region->name, p->options.edge);
        trim_watch_init(&p->regions[i].watch, p->options.reader_silent_ms, region->reader_count,
                        region->archivers, p->start_mono_ms);
        err = bus_listen(region->bus, floors.text);
        if (err != ERR_OK) {
            edge_pipeline_free(p);
            return err;
        }
    }
    *out = p;
    return ERR_OK;
}

void edge_pipeline_free(struct edge_pipeline *p)
{
    if (p == NULL)
        return;
    for (uint32_t i = 0; i < p->line_count; i++) {
        buf_done(&p->lines[i]->rows);
        free(p->lines[i]);
    }
    free(p->lines);
    free(p->clicks);
    buf_done(&p->rows_copy);
    buf_done(&p->message);
    buf_done(&p->value);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* Deletes whole batches below the trim mark, at most `budget`; returns how many. */
static uint32_t line_trim(struct kv_txn *txn, struct edge_line *line, uint64_t trim,
                          uint32_t budget)
{
    uint32_t deleted = 0;
    while (deleted < budget && line->spool.low < trim) {
        struct spool_key from = spool_batch_key(&line->spool, line->spool.low);
        struct span key, value;
        struct spool_batch batch;
        uint64_t first;
        if (!kv_seek(txn, EDGE_TABLE_BATCH, key_span(&from), &key, &value) ||
            !spool_batch_key_read(&line->spool, key, &first) ||
            spool_batch_read(first, value, &batch) != ERR_OK || batch.last > trim)
            break;
        uint64_t last = batch.last;
        struct spool_key found = spool_batch_key(&line->spool, first);
        kv_del(txn, EDGE_TABLE_BATCH, key_span(&found));
        line->spool.low = last;
        line->touched = true;
        deleted++;
    }
    return deleted;
}

/* Trims what every reader has consumed, over all lines, in this transaction. */
static void trim_in(struct edge_pipeline *p, struct kv_txn *txn)
{
    uint32_t budget = TRIM_BATCHES_A_COMMIT;
    for (uint32_t i = 0; i < p->line_count && budget > 0; i++) {
        struct edge_line *line = p->lines[i];
        pthread_mutex_lock(&p->lock);
        uint64_t trim = line->shared_trim;
        bool gone = line->gone, over = line->over;
        pthread_mutex_unlock(&p->lock);
        if (gone)
            continue;
        if (trim > line->spool.low)
            budget -= line_trim(txn, line, trim, budget);
        line->ending = over && line->spool.low == line->spool.end;
        line->touched = line->touched || line->ending;
    }
}

/* Writes the records of the lines that changed; a drained older line is deleted. */
static void lines_store(struct edge_pipeline *p, struct kv_txn *txn)
{
    for (uint32_t i = 0; i < p->line_count; i++) {
        struct edge_line *line = p->lines[i];
        if (!line->touched)
            continue;
        struct spool_key key = spool_line_key(&line->spool);
        if (line->ending)
            kv_del(txn, EDGE_TABLE_LINE, key_span(&key));
        else
            line_store(p, txn, line);
    }
}

static void committing(struct edge_pipeline *p, uint64_t *out_now_ms)
{
    /* Read before the transaction and shown to the forwarder: a segment's clock must not overtake
     * clicks that are being numbered at this moment (design 3.6 [rule]). */
    pthread_mutex_lock(&p->lock);
    p->committing_ms = edge_clock_locked(p);
    *out_now_ms = p->committing_ms;
    pthread_mutex_unlock(&p->lock);
}

/* After the commit: its result becomes visible, or every line falls back to what was stored. */
static void committed(struct edge_pipeline *p, bool stored, const struct spool_line *before)
{
    pthread_mutex_lock(&p->lock);
    p->committing_ms = 0;
    edge_map_stored(p, stored);
    for (uint32_t i = 0; i < p->line_count; i++) {
        struct edge_line *line = p->lines[i];
        if (!line->touched)
            continue;
        line->touched = false;
        buf_clear(&line->rows);
        if (!stored) {
            line->spool = before[i];
            continue;
        }
        atomic_fetch_add(&p->counters.trimmed, line->spool.low - before[i].low);
        line_share(line);
        line->gone = line->ending;
    }
    pthread_mutex_unlock(&p->lock);
}

static void rows_flush(struct edge_pipeline *p, struct kv_txn *txn, struct edge_line *line,
                       uint64_t now_ms)
{
    if (line->numbered == line->rows_first)
        return;
    struct spool_batch batch = {.first = line->rows_first,
                                .last = line->numbered,
                                .commit_ms = now_ms,
                                .commit_mono_ms = p->options.clock->mono_ms(p->options.clock),
                                .rows = buf_span(&line->rows)};
    batch_store(p, txn, line, &batch);
    buf_clear(&line->rows);
    line->rows_first = line->numbered;
}

static void item_number(struct edge_pipeline *p, struct kv_txn *txn, struct edge_item *item,
                        uint64_t now_ms)
{
    CHECK(item->home < p->options.region_count && item->partition < p->options.partitions);
    struct edge_line *line = p->lines[item->home * p->options.partitions + item->partition];
    line->touched = true;
    click_put(&line->rows, &item->click);
    item->number = line->numbered++;
    if (line->rows.length >= SPOOL_BATCH_BYTES)
        rows_flush(p, txn, line, now_ms);
}

enum work { WORK_CLICKS, WORK_TRIM, WORK_FIN };

static enum err run(struct edge_pipeline *p, enum work work, struct edge_item *items, size_t count)
{
    struct spool_line *before = base_alloc(p->line_count * sizeof(*before));
    for (uint32_t i = 0; i < p->line_count; i++) {
        struct edge_line *line = p->lines[i];
        before[i] = line->spool;
        line->rows_first = line->spool.end;
        line->numbered = line->spool.end;
        line->ending = false;
    }
    uint64_t now_ms;
    committing(p, &now_ms);
    struct kv_txn *txn;
    enum err err = kv_begin(p->options.kv, true, &txn);
    if (err == ERR_OK) {
        trim_in(p, txn);
        edge_map_store(p, txn);
        for (size_t i = 0; i < count; i++)
            item_number(p, txn, &items[i], now_ms);
        for (uint32_t i = 0; i < p->current_count; i++) {
            struct edge_line *line = p->lines[i];
            if (count > 0 && line->touched && line->rows.length > 0)
                rows_flush(p, txn, line, now_ms);
            if (work == WORK_FIN && edge_map_has(&p->maps[line->home].followed, line)) {
                line->touched = true;
                fin_store(p, txn, line, now_ms);
            }
        }
        lines_store(p, txn);
        err = kv_commit(&txn);
    }
    committed(p, err == ERR_OK, before);
    free(before);
    if (err == ERR_OK)
        atomic_fetch_add(&p->counters.accepted, count);
#ifdef TRIBUTARY_BREAK_ACK_BEFORE_COMMIT
    err = ERR_OK; /* Planted mistake: the answer does not wait for the commit's verdict. */
#endif
    return err;
}

enum err edge_commit(struct edge_pipeline *p, struct edge_item *items, size_t count)
{
    CHECK(!p->finished && count > 0);
    return run(p, WORK_CLICKS, items, count);
}

static bool line_is_due(const struct edge_line *line)
{
    return !line->gone && (line->shared_trim > line->spool.low || line->over);
}

enum err edge_trim(struct edge_pipeline *p)
{
    bool due = false;
    pthread_mutex_lock(&p->lock);
    for (uint32_t i = 0; i < p->line_count && !due; i++)
        due = line_is_due(p->lines[i]);
    due = due || edge_map_is_due(p);
    pthread_mutex_unlock(&p->lock);
    return due ? run(p, WORK_TRIM, NULL, 0) : ERR_OK;
}

enum err edge_finish(struct edge_pipeline *p)
{
    CHECK(!p->finished);
    p->finished = true;
    return run(p, WORK_FIN, NULL, 0);
}

uint64_t edge_acked(const struct edge_pipeline *p, uint32_t home, uint16_t partition)
{
    CHECK(home < p->options.region_count && partition < p->options.partitions);
    return atomic_load(&p->lines[home * p->options.partitions + partition]->acked);
}
