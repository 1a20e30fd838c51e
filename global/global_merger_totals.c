/* SPDX-License-Identifier: Apache-2.0
 * global_merger_totals: judges what replicas announce, and asks for what is not there. Source:
 * design 2.6 [rule]. */
#include "global/global_merger_state.h"

#include "proto/want.h"

/* A hole is looked for over so many minutes a message, so that one step stays short after a long
 * outage. */
#define HOLE_MINUTES 1440u

struct minute_books_entry *merger_totals_book(struct merger_message *message, uint32_t minute,
                                              enum err *err)
{
    struct merger *m = message->merger;
    struct minute_books_entry *entry = minute_books_at(&m->books, minute);
    if (entry->loaded || *err != ERR_OK)
        return entry;
    struct span body;
    struct leaf_key key = leaf_key_minute(message->river->id, message->partial->partition, minute);
    if (merger_store_get(m, LEAF_TABLE_MINUTE, key, &body, err) &&
        completeness_read(&entry->book, body) != ERR_OK)
        *err = ERR_KV_CORRUPT;
    entry->loaded = *err == ERR_OK;
    return entry;
}

void merger_totals_want(struct merger_message *message, enum want_list_kind kind, uint64_t what,
                        bool held, uint32_t after_ms)
{
    struct merger *m = message->merger;
    struct want_list_entry entry = {
        .region = message->river->id,
        .partition = message->partial->partition,
        .kind = kind,
        .what = what,
        .held = held,
        .due_ms = message->now_ms + after_ms,
    };
    memcpy(entry.replica, message->partial->replica, sizeof(entry.replica));
    if (!want_list_add(&m->wants, &entry))
        return;
    buf_clear(&m->value);
    buf_put_u8(&m->value, held);
    buf_put_block(&m->value, span_of_text(entry.replica));
    merger_store_put(m, LEAF_TABLE_WANT,
                     leaf_key_want(entry.region, entry.partition, (uint8_t)kind, what), &m->value);
}

void merger_totals_unwant(struct merger_message *message, enum want_list_kind kind, uint64_t what)
{
    struct merger *m = message->merger;
    uint16_t partition = message->partial->partition;
    if (!want_list_remove(&m->wants, message->river->id, partition, kind, what))
        return;
    struct leaf_key key = leaf_key_want(message->river->id, partition, (uint8_t)kind, what);
    kv_del(m->txn, LEAF_TABLE_WANT, leaf_key_span(&key));
}

/* A known edge is missing: the watermark went on without it, so nothing that it closed is complete.
 */
static bool is_sound(const struct partial *p)
{
    if (p->missing_count > 0)
        return false;
    for (uint32_t i = 0; i < p->edge_count; i++)
        if (p->edges[i].missing)
            return false;
    return true;
}

static struct merger_whole *whole_of(struct merger *m, uint16_t region, const struct partial *p,
                                     uint32_t minute)
{
    for (uint32_t i = 0; i < m->whole_count; i++) {
        struct merger_whole *w = &m->wholes[i];
        if (w->minute == minute && w->region == region && w->partition == p->partition &&
            strcmp(w->replica, p->replica) == 0)
            return w;
    }
    return NULL;
}

/* Keeps the sums of a whole answer's rows whose totals come in a later message. */
static void keep_whole(struct merger_message *message, const struct minute_books_entry *book)
{
    struct merger *m = message->merger;
    const struct partial *p = message->partial;
    struct merger_whole *w = whole_of(m, message->river->id, p, book->minute);
    if (w == NULL || w->store_id != p->store_id) {
        if (w == NULL && m->whole_count < MERGER_WHOLES)
            w = &m->wholes[m->whole_count++];
        else if (w == NULL)
            w = &m->wholes[m->whole_next++ % MERGER_WHOLES];
        *w = (struct merger_whole){.region = message->river->id,
                                   .partition = p->partition,
                                   .minute = book->minute,
                                   .store_id = p->store_id};
        memcpy(w->replica, p->replica, sizeof(w->replica));
    }
    w->sums.rows += book->message.rows;
    w->sums.counted += book->message.counted;
    w->sums.duplicate += book->message.duplicate;
    w->sums.digest += book->message.digest;
}

static void drop_whole(struct merger *m, struct merger_whole *w)
{
    if (w != NULL)
        *w = m->wholes[--m->whole_count];
}

/* Do this message's rows, alone or with those of its fellows, add up to the totals that it
 * announces? What is incomplete for any reason proves nothing, and the minute is asked for again.
 */
static bool proves_whole(struct merger_message *message, const struct minute_books_entry *book,
                         const struct partial_total *total)
{
    struct merger *m = message->merger;
    if (!message->partial->whole)
        return false;
    struct merger_whole *w = whole_of(m, message->river->id, message->partial, total->minute);
    struct completeness_sums sums = book->message;
    bool whole = completeness_sums_match(&sums, total);
    if (w != NULL && w->store_id == message->partial->store_id) {
        sums.rows += w->sums.rows;
        sums.counted += w->sums.counted;
        sums.duplicate += w->sums.duplicate;
        sums.digest += w->sums.digest;
        whole = whole || completeness_sums_match(&sums, total);
    }
    drop_whole(m, w);
    return whole;
}

static enum err mark_complete(struct merger_message *message, uint32_t minute)
{
    struct merger *m = message->merger;
    struct leaf_key key =
        leaf_key_hour(message->river->id, message->partial->partition, minute / 60);
    struct completeness_hour hour = {0};
    struct span body;
    enum err err = ERR_OK;
    if (merger_store_get(m, LEAF_TABLE_COMPLETE, key, &body, &err) &&
        completeness_hour_read(&hour, body) != ERR_OK)
        err = ERR_KV_CORRUPT;
    if (err != ERR_OK)
        return err;
    struct completeness_span span = completeness_span_of(&message->partial->map, minute / 60);
    if (!completeness_hour_mark(&hour, (uint8_t)(minute % 60), span))
        return ERR_OK;
    buf_clear(&m->value);
    completeness_hour_put(&hour, &m->value);
    merger_store_put(m, LEAF_TABLE_COMPLETE, key, &m->value);
    m->view.minutes_completed++;
    return ERR_OK;
}

/* Another replica told of a state that we do not hold: that this one agrees with us does not answer
 * it. The other may be the only one that has those clicks. */
static bool is_wanted_of_another(const struct merger_message *message, uint32_t minute)
{
    const struct want_list_entry *wanted =
        want_list_find(&message->merger->wants, message->river->id, message->partial->partition,
                       WANT_LIST_MINUTE, minute);
    return wanted != NULL && !wanted->held &&
           strcmp(wanted->replica, message->partial->replica) != 0;
}

static void watch(struct merger_message *message, const struct partial_total *total)
{
    struct merger *m = message->merger;
    struct divergence_claim other;
    enum divergence_verdict verdict =
        divergence_take(m->divergence, message->river->id, message->partial, total, &other);
    m->view.totals_equal += verdict == DIVERGENCE_EQUAL;
    if (verdict != DIVERGENCE_CONTRADICTS)
        return;
    m->view.divergences++;
    struct divergence_claim *now = &m->view.divergence[1];
    m->view.divergence_region = message->river->name;
    m->view.divergence[0] = other;
    *now = other;
    now->total = *total;
    now->stream_ms = message->partial->stream_ms;
    memcpy(now->replica, message->partial->replica, sizeof(now->replica));
}

static enum err judge(struct merger_message *message, const struct partial_total *total, bool sound)
{
    struct merger *m = message->merger;
    enum err err = ERR_OK;
    if (!completeness_may_announce(total->minute, message->partial->watermark_ms)) {
        m->view.refused++;
        return ERR_OK;
    }
    if (total->minute < m->horizon.minute)
        return ERR_OK; /* its books are gone, and nobody needs them any more */
    struct minute_books_entry *book = merger_totals_book(message, total->minute, &err);
    if (err != ERR_OK)
        return err;
    m->view.totals++;
    watch(message, total);
    struct completeness_book before = book->book;
    bool whole = proves_whole(message, book, total);
    enum completeness_verdict verdict = completeness_judge(&book->book, total, sound, whole);
    if (before.announced != book->book.announced || before.complete != book->book.complete ||
        before.met[0] != book->book.met[0])
        book->dirty = true;
    switch (verdict) {
    case COMPLETENESS_MET:
        if (!before.announced || !is_wanted_of_another(message, total->minute))
            merger_totals_unwant(message, WANT_LIST_MINUTE, total->minute);
        return mark_complete(message, total->minute);
    case COMPLETENESS_HELD:
        merger_totals_want(message, WANT_LIST_MINUTE, total->minute, true, 0);
        return ERR_OK;
    case COMPLETENESS_WANTED:
        m->view.mismatches++;
        merger_totals_want(message, WANT_LIST_MINUTE, total->minute, false,
                           before.complete && completeness_sums_exceed(&before.own, total)
                               ? WANT_LIST_LAST_MS
                               : 0);
        return ERR_OK;
    }
    return ERR_OK;
}

/* A message that never arrived took its totals with it. The watermark of a later one shows which
 * minutes have never been announced: these are asked for. */
static enum err find_holes(struct merger_message *message)
{
    struct standing_partition *standing = message->standing;
    const struct partial *p = message->partial;
    enum err err = ERR_OK;
    if (standing->upto == 0) {
        for (uint32_t i = 0; i < p->total_count; i++)
            if (completeness_may_announce(p->totals[i].minute, p->watermark_ms))
                standing->upto = (uint32_t)base_max_u64(standing->upto, p->totals[i].minute + 1ULL);
        return ERR_OK;
    }
    uint32_t due_before = completeness_due_before(p->watermark_ms);
    /* No fold holds more than the horizon: what lies below stays open, and nobody can be asked. */
    if (due_before > LIMIT_HORIZON_MINUTES)
        standing->upto = (uint32_t)base_max_u64(standing->upto, due_before - LIMIT_HORIZON_MINUTES);
    for (uint32_t n = 0; n < HOLE_MINUTES && standing->upto < due_before; n++) {
        const struct minute_books_entry *book = merger_totals_book(message, standing->upto, &err);
        if (err != ERR_OK)
            return err;
        if (!book->book.announced)
            merger_totals_want(message, WANT_LIST_MINUTE, standing->upto, false,
                               WANT_LIST_FIRST_MS);
        standing->upto++;
    }
    return ERR_OK;
}

/* Minutes that have left every horizon cannot be answered any more: they stay open for good. */
static void give_up(struct merger_message *message)
{
    struct merger *m = message->merger;
    uint32_t due_before = completeness_due_before(message->partial->watermark_ms);
    const struct want_list_entry *first;
    while ((first = want_list_first(&m->wants, message->river->id, message->partial->partition,
                                    WANT_LIST_MINUTE)) != NULL &&
           first->what + LIMIT_HORIZON_MINUTES < due_before) {
        m->view.minutes_given_up++;
        merger_totals_unwant(message, WANT_LIST_MINUTE, first->what);
    }
}

/* No edge is missing any more: what was met while one was can be asked of this replica now. */
static void release_held(struct merger_message *message)
{
    const struct want_list_entry *held;
    while ((held = want_list_held(&message->merger->wants, message->river->id,
                                  message->partial->partition)) != NULL)
        merger_totals_want(message, WANT_LIST_MINUTE, held->what, false, 0);
}

static void write_books(struct merger_message *message)
{
    struct merger *m = message->merger;
    for (uint32_t i = 0; i < m->books.capacity; i++) {
        struct minute_books_entry *entry = &m->books.slots[i];
        if (!entry->used || !entry->dirty)
            continue;
        CHECK(entry->loaded);
        buf_clear(&m->value);
        completeness_put(&entry->book, &m->value);
        merger_store_put(
            m, LEAF_TABLE_MINUTE,
            leaf_key_minute(message->river->id, message->partial->partition, entry->minute),
            &m->value);
    }
}

static bool has_total(const struct partial *p, uint32_t minute)
{
    for (uint32_t i = 0; i < p->total_count; i++)
        if (p->totals[i].minute == minute)
            return true;
    return false;
}

enum err merger_totals_take(struct merger_message *message)
{
    struct merger *m = message->merger;
    const struct partial *p = message->partial;
    bool sound = is_sound(p);
    enum err err = ERR_OK;
    if (sound)
        release_held(message);
    for (uint32_t i = 0; err == ERR_OK && i < p->total_count; i++)
        err = judge(message, &p->totals[i], sound);
    if (err == ERR_OK)
        err = find_holes(message);
    give_up(message);
    if (err != ERR_OK)
        return err;
    if (p->whole)
        for (uint32_t i = 0; i < m->books.capacity; i++)
            if (m->books.slots[i].used && m->books.slots[i].message.rows > 0 &&
                !has_total(p, m->books.slots[i].minute))
                keep_whole(message, &m->books.slots[i]);
    write_books(message);
    return ERR_OK;
}

static void forget_wholes(struct merger *m, uint16_t region, const struct want_message *want)
{
    for (uint32_t i = 0; i < m->whole_count;) {
        struct merger_whole *w = &m->wholes[i];
        bool asked = false;
        for (uint32_t j = 0; j < want->minute_count && !asked; j++)
            asked = w->minute == want->minutes[j];
        if (asked && w->region == region && w->partition == want->partition &&
            strcmp(w->replica, want->replica) == 0)
            drop_whole(m, w);
        else
            i++;
    }
}

static const struct merger_river *river_of(const struct merger *m, uint16_t region)
{
    uint32_t at = 0;
    while (at < m->options.region_count && m->rivers[at].id != region)
        at++;
    CHECK(at < m->options.region_count);
    return &m->rivers[at];
}

void merger_totals_ask(struct merger *m, uint64_t now_ms)
{
    uint16_t region = 0;
    struct buf message = {0};
    /* A bounded number of messages a step; what is left stays due. */
    for (unsigned n = 0; n < 16 && want_list_take(&m->wants, now_ms, &region, m->want); n++) {
        const struct merger_river *river = river_of(m, region);
        memcpy(m->want->region, river->name, sizeof(m->want->region));
        forget_wholes(m, region, m->want);
        want_write(&message, m->want);
        struct subject subject = subject_want(river->name, m->want->replica);
        /* Plain: one that is lost is asked again later. */
        if (bus_send(river->bus, subject.text, buf_span(&message)) == ERR_OK)
            m->view.wants_sent++;
    }
    buf_done(&message);
}
