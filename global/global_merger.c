/* SPDX-License-Identifier: Apache-2.0
 * global_merger: the driver that joins every region's partials into one store. */
#include "global/global_merger_state.h"

#include "common/base/hash.h"
#include "common/base/minute.h"
#include "proto/subject.h"

#include <stdlib.h>

#define BITE_MESSAGES   64u
#define BITE_BYTES      (4ULL * 1024 * 1024)
#define EVENTS_PER_STEP 1024u
#define PROOF_RETRY_MS  1000u
#define SILENT_MS       60000u
#define STALL_MS        1000u
#define IDLE_MS         1000u

enum err merger_new(const struct merger_options *options, struct merger **out)
{
    CHECK(options->region_count >= 1 && options->region_count <= LIMIT_REGIONS);
    struct merger *m = base_zalloc(1, sizeof(*m));
    m->options = *options;
    if (m->options.bite_messages == 0)
        m->options.bite_messages = BITE_MESSAGES;
    if (m->options.bite_bytes == 0)
        m->options.bite_bytes = BITE_BYTES;
    m->want = base_zalloc(1, sizeof(*m->want));
    m->wholes = base_zalloc(MERGER_WHOLES, sizeof(m->wholes[0]));
    m->divergence = base_zalloc(1, sizeof(*m->divergence));
    for (uint32_t i = 0; i < options->region_count; i++) {
        struct merger_river *river = &m->rivers[i];
        CHECK(subject_name_is_valid(options->regions[i].name, LIMIT_REGION_NAME_BYTES));
        memcpy(river->name, options->regions[i].name, sizeof(river->name));
        struct subject stream = subject_partials_stream(river->name);
        memcpy(river->stream, stream.text, sizeof(river->stream));
        river->bus = options->regions[i].bus;
    }
    enum err err = merger_store_load(m);
    if (err != ERR_OK) {
        merger_free(m);
        return err;
    }
    *out = m;
    return ERR_OK;
}

void merger_free(struct merger *m)
{
    if (m == NULL)
        return;
    CHECK(m->txn == NULL);
    merger_store_forget(m);
    want_list_done(&m->wants);
    minute_books_done(&m->books);
    page_done(&m->page);
    hll_done(&m->sketches[0]);
    hll_done(&m->sketches[1]);
    buf_done(&m->value);
    buf_done(&m->old_sketch);
    buf_done(&m->new_sketch);
    free(m->row_order);
    free(m->want);
    free(m->wholes);
    free(m->divergence);
    free(m);
}

/* Reads on behind the position. Only after a proof: a server that lost its tail uses the numbers
 * again (design 4.2). */
static void start_reading(struct merger_river *river, uint64_t now_ms)
{
    enum err err = bus_read(river->bus, river->stream, river->position.seq, river->id);
    river->just_proven = true;
    river->heard_ms = now_ms;
    river->phase = err == ERR_OK ? MERGER_READING : MERGER_PROVE;
    river->retry_ms = now_ms + PROOF_RETRY_MS;
}

static void prove(struct merger *m, struct merger_river *river, uint64_t now_ms)
{
    if (river->position.seq == 0) {
        start_reading(river, now_ms);
        return;
    }
    river->token = ++m->next_token;
    m->view.proofs++;
    river->retry_ms = now_ms + PROOF_RETRY_MS;
    enum err err = bus_get(river->bus, river->stream, river->position.seq, river->token);
    river->phase = err == ERR_OK ? MERGER_PROVING : MERGER_PROVE;
}

static void on_got(struct merger *m, struct merger_river *river, const struct bus_event *event,
                   uint64_t now_ms)
{
    if (river->phase != MERGER_PROVING || event->token != river->token)
        return;
    if (event->err != ERR_OK && event->err != ERR_NOT_FOUND) {
        river->phase = MERGER_PROVE;
        river->retry_ms = now_ms + PROOF_RETRY_MS;
        return;
    }
    if (event->err == ERR_NOT_FOUND || hash_checksum(event->data, 0) != river->position.digest) {
        /* Another stream, a lost tail, or an expired message: from the start; the rows do not mind.
         */
        m->view.proofs_failed++;
        river->position = (struct merger_position){0};
    }
    start_reading(river, now_ms);
}

static enum err need_txn(struct merger *m)
{
    return m->txn != NULL ? ERR_OK : kv_begin(m->options.kv, true, &m->txn);
}

static void store_position(struct merger *m, const struct merger_river *river)
{
    buf_clear(&m->value);
    buf_put_u64(&m->value, river->position.seq);
    buf_put_u64(&m->value, river->position.digest);
    merger_store_put(m, LEAF_TABLE_META, leaf_key_position(river->id), &m->value);
}

static enum err take_head(struct merger_message *message)
{
    struct merger *m = message->merger;
    struct merger_river *river = message->river;
    uint16_t partition = message->partial->partition;
    struct standing_replica *replica;
    if (standing_take(message->standing, message->partial, &replica)) {
        buf_clear(&m->value);
        standing_replica_put(replica, &m->value);
        merger_store_put(m, LEAF_TABLE_REPLICA,
                         leaf_key_replica(river->id, partition, replica->replica), &m->value);
    }
    buf_clear(&m->value);
    standing_partition_put(message->standing, &m->value);
    merger_store_put(m, LEAF_TABLE_PARTITION, leaf_key_partition(river->id, partition), &m->value);
    river->card_dirty = true;
    return ERR_OK;
}

/* A replica speaks only for itself: region, partition and name are those of the subject it may
 * publish to. */
static bool is_from(const struct merger_river *river, const struct partial *p, const char *subject)
{
    struct subject own = subject_partial(river->name, p->partition, p->replica);
    return strcmp(p->region, river->name) == 0 && strcmp(subject, own.text) == 0 &&
           p->partition < partition_map_last(&p->map);
}

static enum err take_partial(struct merger *m, struct merger_river *river,
                             const struct bus_event *event, uint64_t now_ms)
{
    struct partial partial = {.owned = false};
    if (partial_read(&partial, event->data) != ERR_OK) {
        m->view.damaged++; /* skipped: what it held is missed by the next totals and asked for */
        return ERR_OK;
    }
    enum err err = ERR_OK;
    if (is_from(river, &partial, event->subject)) {
        struct merger_message message = {
            .merger = m,
            .river = river,
            .partial = &partial,
            .standing = merger_store_partition(river, partial.partition),
            .now_ms = now_ms,
        };
        minute_books_clear(&m->books);
        err = merger_rows_take(&message);
        if (err == ERR_OK)
            err = merger_totals_take(&message);
        if (err == ERR_OK)
            err = take_head(&message);
    } else {
        m->view.refused++;
    }
    partial_done(&partial);
    return err;
}

static enum err on_message(struct merger *m, struct merger_river *river,
                           const struct bus_event *event, uint64_t now_ms)
{
    if (river->phase != MERGER_READING || event->handle != river->id)
        return ERR_OK;
    if (event->seq != river->position.seq + 1) {
        if (!river->just_proven || event->seq <= river->position.seq) {
            prove(m, river, now_ms);
            return ERR_OK;
        }
        /* Proven, and still the stream goes on further up: what lay between is gone from it. */
        if (river->position.seq != 0)
            m->view.gaps++;
    }
    river->just_proven = false;
    river->heard_ms = now_ms;
    struct merger_position position = {event->seq, hash_checksum(event->data, 0)};
#ifdef TRIBUTARY_BREAK_POSITION_APART
    if (m->txn == NULL) {
        enum err apart = need_txn(m);
        if (apart != ERR_OK)
            return apart;
        river->position = position;
        store_position(m, river);
        apart = kv_commit(&m->txn);
        if (apart != ERR_OK)
            return apart;
    }
#endif
    enum err err = need_txn(m);
    if (err != ERR_OK)
        return err;
    m->view.messages++;
    m->view.bytes += event->data.length;
    err = take_partial(m, river, event, now_ms);
    river->position = position;
    river->moved = true;
    return err;
}

static enum err on_event(struct merger *m, struct merger_river *river,
                         const struct bus_event *event, uint64_t now_ms)
{
    switch (event->kind) {
    case BUS_UP:
        prove(m, river, now_ms);
        return ERR_OK;
    case BUS_DOWN:
        river->phase = MERGER_DOWN;
        return ERR_OK;
    case BUS_READ_END:
        if (river->phase == MERGER_READING && event->handle == river->id) {
            /* Not at once: a stream that is not there yet would be asked for without end. */
            river->phase = MERGER_PROVE;
            river->retry_ms = now_ms + PROOF_RETRY_MS / 4;
        }
        return ERR_OK;
    case BUS_GOT:
        on_got(m, river, event, now_ms);
        return ERR_OK;
    case BUS_MESSAGE:
        return on_message(m, river, event, now_ms);
    case BUS_ACK:
    case BUS_NACK:
    case BUS_PLAIN:
        return ERR_OK;
    }
    return ERR_OK;
}

static bool bite_is_full(const struct merger *m, uint64_t messages, uint64_t bytes)
{
    return m->view.messages - messages >= m->options.bite_messages ||
           m->view.bytes - bytes >= m->options.bite_bytes;
}

/* Takes events until the bite is full or nothing is there; *out_more: there may be more. */
static enum err take_bite(struct merger *m, uint64_t now_ms, bool *out_more)
{
    uint64_t messages = m->view.messages;
    uint64_t bytes = m->view.bytes;
    uint32_t count = m->options.region_count;
    CHECK(count > 0);
    *out_more = false;
    for (uint32_t i = 0; i < count; i++) {
        struct merger_river *river = &m->rivers[(m->first_river + i) % count];
        struct bus_event event;
        unsigned left = EVENTS_PER_STEP;
        while (left > 0 && !bite_is_full(m, messages, bytes) && bus_poll(river->bus, &event)) {
            left--;
            enum err err = on_event(m, river, &event, now_ms);
            if (err != ERR_OK)
                return err;
        }
        *out_more = *out_more || left == 0;
    }
    *out_more = *out_more || bite_is_full(m, messages, bytes);
    m->first_river = (m->first_river + 1) % count;
    return ERR_OK;
}

static void store_rivers(struct merger *m)
{
    for (uint32_t i = 0; i < m->options.region_count; i++) {
        struct merger_river *river = &m->rivers[i];
        if (river->moved)
            store_position(m, river);
        if (river->card_dirty) {
            standing_derive(&river->card, river->partitions, LIMIT_PARTITIONS);
            buf_clear(&m->value);
            standing_card_put(&river->card, &m->value);
            merger_store_put(m, LEAF_TABLE_REGION, leaf_key_region(river->id), &m->value);
        }
        river->moved = false;
        river->card_dirty = false;
    }
}

/* The store refused: it is as it was before the bite, and so must the memory be. */
static enum err start_again(struct merger *m, enum err err, uint64_t now_ms)
{
    m->view.commit_failures++;
    if (m->txn != NULL) {
        /* After an error of the store, reads of that transaction saw nothing: its own error is the
         * true one. */
        enum err sticky = kv_abort(&m->txn);
        if (sticky != ERR_OK)
            err = sticky;
    }
    if (err_class(err) == ERR_CLASS_STOP)
        return err;
    m->stalled_until_ms = now_ms + STALL_MS;
    m->room_first = err == ERR_KV_FULL && !m->room_first;
    for (uint32_t i = 0; i < m->options.region_count; i++) {
        struct merger_river *river = &m->rivers[i];
        if (river->phase != MERGER_DOWN) {
            river->phase = MERGER_PROVE;
            river->retry_ms = m->stalled_until_ms;
        }
    }
    err = merger_store_load(m);
    /* Positions are unknown now: without them nothing may be read. */
    return err_class(err) == ERR_CLASS_RETRY ? ERR_KV_IO : err;
}

static uint32_t idle_ms(const struct merger *m, uint64_t now_ms)
{
    uint64_t idle = base_min_u64(IDLE_MS, want_list_idle_ms(&m->wants, now_ms));
    for (uint32_t i = 0; i < m->options.region_count; i++) {
        const struct merger_river *river = &m->rivers[i];
        if (river->phase == MERGER_PROVE)
            idle = base_min_u64(idle, river->retry_ms > now_ms ? river->retry_ms - now_ms : 0);
    }
    return (uint32_t)idle;
}

enum err merger_step(struct merger *m, uint32_t *out_idle_ms)
{
    uint64_t now_ms = m->options.clock->mono_ms(m->options.clock);
    if (now_ms < m->stalled_until_ms) {
        *out_idle_ms = (uint32_t)(m->stalled_until_ms - now_ms);
        return ERR_OK;
    }
    *out_idle_ms = 0;
    for (uint32_t i = 0; i < m->options.region_count; i++) {
        struct merger_river *river = &m->rivers[i];
        /* Silent: a stream that was made anew without a word gives out the numbers below ours
         * first. */
        bool silent = river->phase == MERGER_READING && now_ms - river->heard_ms >= SILENT_MS;
        if (silent || (river->phase == MERGER_PROVE && river->retry_ms <= now_ms))
            prove(m, river, now_ms);
    }
    bool more = false;
    bool retire = merger_retire_is_due(m);
    enum err err = retire && m->room_first ? ERR_OK : take_bite(m, now_ms, &more);
    if (err == ERR_OK && retire) {
        err = need_txn(m);
        if (err == ERR_OK)
            merger_retire_bite(m);
        more = true;
    }
    if (err == ERR_OK && m->txn != NULL) {
        store_rivers(m);
        err = kv_commit(&m->txn);
        m->view.commits += err == ERR_OK;
        m->room_first = m->room_first && err != ERR_OK;
    }
    if (err != ERR_OK)
        return start_again(m, err, now_ms);
    /* Questions only about what is durable: an answer may come at once. */
    merger_totals_ask(m, now_ms);
    if (!more)
        *out_idle_ms = idle_ms(m, now_ms);
    return ERR_OK;
}

static void view_region(const struct merger_river *river, struct merger_region_view *out)
{
    memcpy(out->name, river->name, sizeof(out->name));
    out->up = river->phase != MERGER_DOWN;
    out->heard = river->card.map.count > 0;
    out->watermark_ms = river->card.watermark_ms;
    out->missing_edges = river->card.missing.count;
    out->position = river->position.seq;
    for (uint32_t i = 0; i < LIMIT_PARTITIONS; i++) {
        const struct standing_partition *p = river->partitions[i];
        struct standing_replica most = {.cut = 0};
        for (uint32_t j = 0; p != NULL && j < p->replica_count; j++) {
            most.folded = base_max_u64(most.folded, p->replicas[j].folded);
            most.counted = base_max_u64(most.counted, p->replicas[j].counted);
            most.duplicate = base_max_u64(most.duplicate, p->replicas[j].duplicate);
            most.carried = base_max_u64(most.carried, p->replicas[j].carried);
            uint64_t known =
                p->replicas[j].counted + p->replicas[j].duplicate + p->replicas[j].carried;
            out->unexplained += p->replicas[j].folded > known ? p->replicas[j].folded - known
                                                              : known - p->replicas[j].folded;
        }
        out->merged += p != NULL ? p->merged : 0;
        out->folded += most.folded;
        out->counted += most.counted;
        out->duplicate += most.duplicate;
        out->carried += most.carried;
    }
}

void merger_view(const struct merger *m, struct merger_view *out)
{
    *out = m->view;
    out->minutes_wanted = want_list_count(&m->wants, WANT_LIST_MINUTE, false);
    out->minutes_held = want_list_count(&m->wants, WANT_LIST_MINUTE, true);
    out->names_wanted = want_list_count(&m->wants, WANT_LIST_NAME, false);
    out->kept_from_s = minute_start_ms(m->horizon.minute) / 1000;
    out->region_count = m->options.region_count;
    for (uint32_t i = 0; i < m->options.region_count; i++)
        view_region(&m->rivers[i], &out->regions[i]);
}
