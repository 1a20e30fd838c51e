/* SPDX-License-Identifier: Apache-2.0
 * regional_archiver: the order of effects of an archiver: object, manifest, commit, floors. Read
 * push_cut first.
 *
 *   meta    "store": version u8, store id u64, archiver block
 *   state   partition u16 -> archive_state */
#include "regional/regional_archiver.h"

#include "regional/regional_archiver_parts.h"

#include <stdlib.h>

#define META_VERSION 1

const char *const archiver_table_names[ARCHIVER_TABLES] = {
    [ARCHIVER_TABLE_META] = "meta",
    [ARCHIVER_TABLE_STATE] = "state",
};

void archiver_note(const struct archiver *r, const struct archiver_note *note)
{
    if (r->options.on_note != NULL)
        r->options.on_note(r->options.on_note_context, note);
}

static void part_init(struct archiver *r, uint32_t index)
{
    const struct archiver_options *o = &r->options;
    struct archiver_part *p = &r->parts[index];
    struct archive_options options = {.object_bytes = o->object_bytes,
                                      .object_age_ms = o->object_age_ms};
    options.who.partition = r->partitions[index];
    options.who.partitions = o->partitions_total;
    options.who.codec = o->codec;
    options.who.ip = o->ip;
    options.who.sha256 = o->sha256;
    memcpy(options.who.archiver, o->archiver, sizeof(options.who.archiver));
    memcpy(options.who.region, o->region, sizeof(options.who.region));
    *p = (struct archiver_part){.index = index, .archive = archive_new(&options)};
    p->stream = subject_clicks_stream(o->region, options.who.partition);
}

static struct span meta_key(void)
{
    return span_of_text("store");
}

static void state_key(uint8_t key[2], const struct archiver_part *p)
{
    bytes_store_u16(key, p->archive->options.who.partition);
}

/* A new store id means: forget what an earlier store of this name said (design 3.7). */
static void put_meta(struct archiver *r, struct kv_txn *txn)
{
    do
        r->options.clock->random(r->options.clock, &r->store_id, sizeof(r->store_id));
    while (r->store_id == 0);
    buf_clear(&r->scratch);
    buf_put_u8(&r->scratch, META_VERSION);
    buf_put_u64(&r->scratch, r->store_id);
    buf_put_block(&r->scratch, span_of_text(r->options.archiver));
    kv_put(txn, ARCHIVER_TABLE_META, meta_key(), buf_span(&r->scratch));
}

static enum err load_meta(struct archiver *r, struct kv_txn *txn, bool *out_new)
{
    struct span value;
    *out_new = !kv_get(txn, ARCHIVER_TABLE_META, meta_key(), &value);
    if (*out_new) {
        put_meta(r, txn);
        return ERR_OK;
    }
    struct reader m = reader_of(value);
    uint8_t version = reader_u8(&m);
    r->store_id = reader_u64(&m);
    struct span name = reader_block(&m, LIMIT_READER_NAME_BYTES);
    if (!reader_at_end(&m) || version != META_VERSION || r->store_id == 0)
        return ERR_KV_CORRUPT;
    return span_equal(name, span_of_text(r->options.archiver)) ? ERR_OK : ERR_CONFIG;
}

static enum err load_part(struct archiver *r, struct kv_txn *txn, struct archiver_part *p)
{
    uint8_t key[2];
    struct span value;
    p->archive->options.who.store_id = r->store_id;
    state_key(key, p);
    if (!kv_get(txn, ARCHIVER_TABLE_STATE, span_of(key, sizeof(key)), &value))
        return ERR_OK;
    enum err err = archive_load(p->archive, value);
    if (err == ERR_OK)
        archiver_note(r, &(struct archiver_note){.kind = ARCHIVER_LOADED,
                                                 .partition = p->archive->options.who.partition,
                                                 .seq = p->archive->position.seq});
    return err;
}

static enum err load(struct archiver *r)
{
    struct kv_txn *txn;
    bool is_new = false;
    enum err err = kv_begin(r->options.kv, true, &txn);
    if (err != ERR_OK)
        return err;
    err = load_meta(r, txn, &is_new);
    for (uint32_t i = 0; i < r->options.partition_count && err == ERR_OK; i++)
        err = load_part(r, txn, &r->parts[i]);
    if (err != ERR_OK) {
        (void)kv_abort(&txn);
        return err;
    }
    /* Not only a new store: a read that failed says so here, and must not pass for absence. */
    err = kv_commit(&txn);
    if (err == ERR_OK && is_new)
        archiver_note(r,
                      &(struct archiver_note){.kind = ARCHIVER_NEW_STORE, .store_id = r->store_id});
    return err;
}

enum err archiver_new(const struct archiver_options *options, struct archiver **out)
{
    CHECK(options->partition_count >= 1 && options->partition_count <= LIMIT_PARTITIONS);
    struct archiver *r = base_zalloc(1, sizeof(*r));
    r->options = *options;
    r->partitions = base_zalloc(options->partition_count, sizeof(*r->partitions));
    memcpy(r->partitions, options->partitions, options->partition_count * sizeof(*r->partitions));
    r->options.partitions = r->partitions;
    r->parts = base_zalloc(options->partition_count, sizeof(*r->parts));
    for (uint32_t i = 0; i < options->partition_count; i++)
        part_init(r, i);
    enum err err = load(r);
    if (err != ERR_OK) {
        archiver_free(r);
        return err;
    }
    *out = r;
    return ERR_OK;
}

void archiver_free(struct archiver *r)
{
    if (r == NULL)
        return;
    for (uint32_t i = 0; i < r->options.partition_count; i++)
        archive_free(r->parts[i].archive);
    archive_cut_done(&r->cut);
    free(r->parts);
    free(r->partitions);
    buf_done(&r->scratch);
    free(r);
}

/* --- cuts ------------------------------------------------------------------------------------- */

static enum err commit_state(struct archiver *r)
{
    struct kv_txn *txn;
    uint8_t key[2];
    enum err err = kv_begin(r->options.kv, true, &txn);
    if (err != ERR_OK)
        return err;
    state_key(key, r->cut_part);
    kv_put(txn, ARCHIVER_TABLE_STATE, span_of(key, sizeof(key)), buf_span(&r->cut.state));
    err = kv_commit(&txn);
    r->totals.commits += err == ERR_OK;
    return err;
}

static enum err put_file(struct archiver *r, const struct archive_file *f)
{
#ifdef TRIBUTARY_BREAK_MANIFEST_BEFORE_OBJECT
    enum err early =
        object_put(r->options.store, f->manifest_name, OBJECT_INDEX, buf_span(&f->manifest));
    if (early != ERR_OK)
        return early;
#endif
    if (!r->cut_object) {
        enum err err = object_put(r->options.store, f->name, OBJECT_DATA, buf_span(&f->data));
        if (err != ERR_OK)
            return err;
        r->cut_object = true;
    }
    enum err err =
        object_put(r->options.store, f->manifest_name, OBJECT_INDEX, buf_span(&f->manifest));
    if (err != ERR_OK)
        return err;
    r->cut_object = false;
    r->totals.objects++;
    r->totals.object_bytes += f->data.length;
    r->totals.object_clicks += f->clicks;
    archiver_note(r,
                  &(struct archiver_note){.kind = ARCHIVER_PUT,
                                          .partition = r->cut_part->archive->options.who.partition,
                                          .name = f->name,
                                          .clicks = f->clicks,
                                          .bytes = f->data.length});
    return ERR_OK;
}

/* The order is the promise: a floor may be told only of numbers whose object and manifest are both
 * durable, and only after our own store knows it (else a crash would bring back a lower floor than
 * an edge has trimmed by). */
static enum err push_cut(struct archiver *r)
{
#ifdef TRIBUTARY_BREAK_ARCHIVE_FLOOR_BEFORE_MANIFEST
    archive_committed(r->cut_part->archive);
    r->all_floors_due = true;
    archiver_send_floors(r, r->options.clock->mono_ms(r->options.clock));
#endif
    for (; r->cut_file < r->cut.count; r->cut_file++) {
        enum err err = put_file(r, &r->cut.files[r->cut_file]);
        if (err != ERR_OK)
            return err;
    }
    enum err err = commit_state(r);
    if (err != ERR_OK)
        return err;
    archive_committed(r->cut_part->archive);
    return ERR_OK;
}

static struct archiver_part *part_to_cut(struct archiver *r, uint64_t now_ms, bool all)
{
    struct archiver_part *largest = NULL;
    uint64_t bytes = 0, largest_bytes = 0;
    for (uint32_t i = 0; i < r->options.partition_count; i++) {
        struct archiver_part *p = &r->parts[i];
        if (archive_wants_cut(p->archive, now_ms) || (all && archive_has_work(p->archive)))
            return p;
        uint64_t waiting = archive_waiting_bytes(p->archive);
        bytes += waiting;
        if (waiting > largest_bytes) {
            largest_bytes = waiting;
            largest = p;
        }
    }
    return bytes > r->options.buffer_bytes ? largest : NULL;
}

static void begin_cut(struct archiver *r, struct archiver_part *p, uint64_t now_ms)
{
    r->cut_part = p;
    r->cut_file = 0;
    r->cut_object = false;
    archive_make_cut(p->archive, now_ms, r->options.clock->wall_ms(r->options.clock), &r->cut);
    r->totals.cuts++;
}

static void end_cut(struct archiver *r)
{
    if (r->away)
        archiver_note(
            r, &(struct archiver_note){.kind = ARCHIVER_STORE_BACK,
                                       .partition = r->cut_part->archive->options.who.partition});
    archive_cut_done(&r->cut);
    r->cut_part = NULL;
    r->away = false;
    r->away_wait_ms = 0;
}

/* What failed is tried again, later each time; until then nothing more is taken in. */
static void fail_cut(struct archiver *r, enum err err, uint64_t now_ms)
{
    const struct archive_file *f = r->cut_file < r->cut.count ? &r->cut.files[r->cut_file] : NULL;
    const char *name = f == NULL ? "state" : r->cut_object ? f->manifest_name : f->name;
    r->totals.put_failures++;
    r->away = true;
    r->away_wait_ms = r->away_wait_ms == 0
                          ? ARCHIVER_AWAY_MS
                          : base_min_u64(2 * r->away_wait_ms, ARCHIVER_AWAY_MS_MAX);
    r->away_ms = now_ms + r->away_wait_ms;
    archiver_note(r,
                  &(struct archiver_note){.kind = ARCHIVER_STORE_AWAY,
                                          .partition = r->cut_part->archive->options.who.partition,
                                          .err = err,
                                          .name = name});
}

/* At most one cut. *out_done: one was made durable, so there may be another. */
static enum err make_cut(struct archiver *r, uint64_t now_ms, bool all, bool *out_done)
{
    *out_done = false;
    if (r->cut_part == NULL) {
        struct archiver_part *p = part_to_cut(r, now_ms, all);
        if (p == NULL)
            return ERR_OK;
        begin_cut(r, p, now_ms);
    }
    enum err err = push_cut(r);
    if (err_class(err) == ERR_CLASS_STOP)
        return err;
    if (err != ERR_OK) {
        fail_cut(r, err, r->options.clock->mono_ms(r->options.clock));
        return ERR_OK;
    }
    end_cut(r);
    *out_done = true;
    return ERR_OK;
}

enum err archiver_step(struct archiver *r, uint32_t *out_idle_ms)
{
    uint64_t now_ms = r->options.clock->mono_ms(r->options.clock);
    bool busy = false;
    if (!r->away) {
        busy = archiver_take_events(r, now_ms);
        archiver_keep_reading(r, now_ms);
    }
    if (!r->away || now_ms >= r->away_ms) {
        bool done = false;
        enum err err = make_cut(r, now_ms, false, &done);
        if (err != ERR_OK)
            return err;
        busy |= done;
    }
    archiver_send_floors(r, now_ms);
    *out_idle_ms = busy && !r->away ? 0 : ARCHIVER_IDLE_MS;
    return ERR_OK;
}

enum err archiver_stop(struct archiver *r)
{
    uint64_t now_ms = r->options.clock->mono_ms(r->options.clock);
    for (bool done = true; done;) {
        enum err err = make_cut(r, now_ms, true, &done);
        if (err != ERR_OK)
            return err;
    }
    archiver_send_floors(r, now_ms);
    return ERR_OK;
}

/* --- views ------------------------------------------------------------------------------------ */

uint32_t archiver_part_count(const struct archiver *r)
{
    return r->options.partition_count;
}

void archiver_part_view(const struct archiver *r, uint32_t index, struct archiver_part_view *out)
{
    const struct archiver_part *p = &r->parts[index];
    uint64_t wall_ms = r->options.clock->wall_ms(r->options.clock);
    bool behind = p->pending > 0 && p->pending != UINT64_MAX && wall_ms > p->message_ms;
    *out = (struct archiver_part_view){.partition = p->archive->options.who.partition,
                                       .state = p->state,
                                       .caught_up = p->caught_up,
                                       .seq = p->seq,
                                       .cut = p->archive->cut,
                                       .waiting_bytes = archive_waiting_bytes(p->archive),
                                       .pending = p->pending,
                                       .lag_ms = behind ? wall_ms - p->message_ms : 0};
}

static void add_counts(struct archive_counts *to, const struct archive_counts *from)
{
    to->clicks += from->clicks;
    to->segments += from->segments;
    to->heartbeats += from->heartbeats;
    to->repeats += from->repeats;
    to->gaps += from->gaps;
    to->beyond += from->beyond;
    to->damaged += from->damaged;
    to->refused += from->refused;
    to->unreadable += from->unreadable;
    to->skipped += from->skipped;
}

void archiver_view(const struct archiver *r, struct archiver_view *out)
{
    *out = r->totals;
    out->store_id = r->store_id;
    out->bus_up = r->bus_up;
    out->store_away = r->away;
    out->ready = !r->away;
    for (uint32_t i = 0; i < r->options.partition_count; i++) {
        out->ready = out->ready && r->parts[i].caught_up;
        out->waiting_bytes += archive_waiting_bytes(r->parts[i].archive);
        add_counts(&out->counts, &r->parts[i].archive->counts);
    }
}
