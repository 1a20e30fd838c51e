/* SPDX-License-Identifier: Apache-2.0
 * fold: the law of the count, top to bottom. */
#include "regional/core/fold.h"

#include "common/base/minute.h"
#include "proto/subject.h"
#include "regional/core/fold_clicks.h"
#include "regional/core/fold_look.h"
#include "regional/core/watermark.h"

#include <stdlib.h>

#define DAY_MS (24 * 3600 * 1000ULL)

struct fold *fold_new(const struct fold_options *options)
{
    CHECK(options->partition < LIMIT_PARTITIONS);
    CHECK(options->horizon_minutes >= 1 && options->horizon_minutes <= LIMIT_HORIZON_MINUTES);
    struct fold *f = base_zalloc(1, sizeof(*f));
    f->options = *options;
    f->map = partition_map_of(options->partitions);
    return f;
}

void fold_free(struct fold *f)
{
    if (f == NULL)
        return;
    edge_book_done(&f->edges);
    horizon_done(&f->horizon);
    ad_names_done(&f->names);
    segment_done(&f->segment);
    free(f->ads);
    fold_look_done(f->needs);
    free(f);
}

uint32_t fold_closed_below(const struct fold *f)
{
    return watermark_closed_below(f->watermark_ms, f->options.lateness_ms);
}

uint32_t fold_expired_below(const struct fold *f)
{
#ifdef TRIBUTARY_BREAK_EXPIRY_BY_MESSAGE_TIME
    if (f->watermark_ms != 0)
        return watermark_expired_below(f->stream_ms, f->options.horizon_minutes);
#endif
    uint32_t below = watermark_expired_below(f->watermark_ms, f->options.horizon_minutes);
    /* A table that is gone stays gone, even when a restart brings a longer horizon. */
    return below > f->retired_below ? below : f->retired_below;
}

void fold_begin_totals(struct fold *f)
{
    if (f->totals_begun)
        return;
    f->totals_begun = true;
    f->totals_first = f->totals_next = f->slice_next = fold_closed_below(f);
}

bool fold_is_mapped(const struct fold *f)
{
    return f->options.partition < partition_map_last(&f->map);
}

uint32_t fold_day(const struct fold *f)
{
    return (uint32_t)(f->stream_ms / DAY_MS);
}

bool fold_wants_cut(const struct fold *f, uint64_t time_ms)
{
#ifdef TRIBUTARY_BREAK_CUT_WHEN_SECOND_GROWS
    if (time_ms / 1000 < f->cut_second)
        return false;
#endif
    return f->uncut && time_ms / 1000 != f->cut_second;
}

/* Takes the numbers of a segment from `skip` on. */
static void take_numbers(struct fold *f, const struct segment_head *head, struct span data,
                         uint64_t skip)
{
    /* Whoever folds a late click without having looked for its key in the store would count it
     * twice. */
    CHECK(f->horizon.stored_count == 0 || f->looked == data.data);
    enum err err =
        f->segment_is_read && f->looked == data.data ? ERR_OK : segment_read(&f->segment, data);
    if (err == ERR_OK) {
        fold_clicks_take(f, skip);
        return;
    }
    /* A good checksum with unreadable content would come again just so: consumed as carried and
     * alarmed, so that no poison stops the river (design 4.2). */
    uint64_t clicks = head->last - head->first - (head->fin ? 1 : 0);
    uint64_t unread = clicks > skip ? clicks - skip : 0;
    f->books.folded += unread;
    f->books.carried += unread;
    f->counts.unreadable++;
}

/* Older epochs that we did not know hold the edge's clock until they are folded (design 4.8). */
static void list_older(struct edge *edge, const struct segment_head *head, uint64_t now_ms)
{
#ifdef TRIBUTARY_BREAK_OLDER_EPOCHS_IGNORED
    now_ms += head->older_count;
    if (now_ms > 0)
        return;
#endif
    for (uint32_t i = 0; i < head->older_count; i++) {
        if (head->older[i] == 0 || head->older[i] == head->epoch)
            continue;
        struct line *l = edge_book_open_line(edge, head->older[i], now_ms);
        l->listed_ms = base_max_u64(l->listed_ms, now_ms);
    }
}

/* An operator gave the line up, and it is back: it counts again, and its edge must reach the
 * watermark anew. What the edge let go without us is no part of what was given up: a peer has it
 * (LINE_BELOW_LOW). */
static void revive(struct fold *f, struct edge *edge, struct line *l)
{
    l->written_off = false;
    f->uncut = true;
    edge->missing = edge->enrolled;
}

/* A message of a written-off line that was heard before: read again, it must not bring the line
 * back to life. */
static bool is_echo(const struct line *l, const struct segment_head *head,
                    enum line_verdict verdict, uint64_t time_ms)
{
    bool brings_numbers = verdict == LINE_TAKE && l != NULL && head->last > l->floor;
    return l != NULL && l->written_off && !brings_numbers && time_ms <= l->heard_ms;
}

static void take_segment(struct fold *f, struct line *l, const struct segment_head *head,
                         const struct fold_message *m, uint64_t skip, bool is_new)
{
    if (head->last > l->floor) {
        take_numbers(f, head, m->data, skip);
        f->counts.segments++;
        /* Numbers after an end are clicks all the same (a copy of the spool ended what its original
         * goes on with): folded, and alarmed. */
        f->counts.after_fin += l->finished;
        l->finished = head->fin;
        l->floor = head->last;
    } else {
        f->counts.heartbeats++;
        /* An empty FIN ends the line just here. Whoever beats after it without one is alive; a
         * message that is read again is no such proof. */
        if (head->fin)
            l->finished = true;
        else if (is_new)
            l->finished = false;
    }
    /* Only a segment that leaves nothing before it unfolded may speak of time (design 3.6). */
    l->clock_ms = base_max_u64(l->clock_ms, line_clock(head, m->time_ms));
}

static enum err fold_segment(struct fold *f, const struct fold_message *m,
                             const struct segment_head *head)
{
    struct edge *edge = edge_book_find(&f->edges, head->edge);
    struct line *l = edge == NULL ? NULL : edge_book_line(edge, head->epoch);
    uint64_t skip = 0;
    enum line_verdict verdict = line_judge(l, head, &skip);
#ifdef TRIBUTARY_BREAK_FIRST_NUMBER_ADOPTED
    if (verdict == LINE_BELOW_LOW) {
        l = edge_book_open_line(edge_book_open(&f->edges, head->edge), head->epoch, m->time_ms);
        l->floor = head->low;
        verdict = line_judge(l, head, &skip);
        edge = edge_book_find(&f->edges, head->edge);
    }
#endif
    if (verdict == LINE_BELOW_LOW)
        return ERR_BELOW_LOW;
    if (verdict == LINE_REPEAT || is_echo(l, head, verdict, m->time_ms)) {
        f->counts.repeats++;
        return ERR_OK;
    }
    edge = edge_book_open(&f->edges, head->edge);
    if (edge == NULL) {
        f->counts.refused++;
        return ERR_OK;
    }
    list_older(edge, head, m->time_ms);
    l = edge_book_open_line(edge, head->epoch, m->time_ms);
    if (l->written_off) {
        revive(f, edge, l);
    }
    if (!edge->enrolled)
        f->counts.unenrolled++;
    if (edge->given_up) {
        edge->given_up = false;
        edge->missing = edge->enrolled;
    }
    /* A line that is new, or new to us, is news for the edge: a floor is due. */
    if (!l->heard || (verdict == LINE_TAKE && head->last > l->floor)) {
        f->uncut = true;
        edge->news = true;
    }
    l->heard = true;
    bool finished = l->finished, is_new = m->time_ms > l->heard_ms;
    l->heard_ms = base_max_u64(l->heard_ms, m->time_ms);
    l->accepted = base_max_u64(l->accepted, head->accepted);
    edge->newest_epoch = head->newest_epoch;
#ifdef TRIBUTARY_BREAK_END_BEFORE_NUMBERS
    l->finished |= verdict == LINE_GAP && head->fin;
#endif
    if (verdict == LINE_GAP) {
        l->gap_first = base_max_u64(l->gap_first, head->first);
        f->counts.gaps++;
        edge->gap_due = true;
    } else if (verdict == LINE_TAKE) {
        take_segment(f, l, head, m, skip, is_new);
    }
    if (l->finished != finished) {
        f->uncut = true;
        edge->news = true;
    }
    return ERR_OK;
}

static void apply_write_off(struct edge *edge, uint64_t epoch, uint64_t now_ms)
{
    if (epoch != 0)
        edge_book_open_line(edge, epoch, now_ms);
    bool is_live = false;
    for (uint32_t i = 0; i < edge->line_count; i++) {
        struct line *l = &edge->lines[i];
        if (!l->finished && (epoch == 0 || l->epoch == epoch))
            l->written_off = true;
        is_live |= line_is_live(l);
    }
    if (epoch == 0 || edge->newest_epoch == epoch)
        edge->newest_epoch = 0;
#ifdef TRIBUTARY_BREAK_EPOCH_GIVES_UP_EDGE
    epoch = 0;
#endif
    /* Only who gives up the whole edge may call minutes complete without it: one that lost an epoch
     * with its disk may be numbering clicks in a new one that we cannot hear yet. */
    if (!is_live && epoch == 0) {
        edge->given_up = true;
        edge->missing = false;
    }
}

/* Of a minute that has clicks here the map may not change: their retries would go elsewhere. A step
 * that another partition refused is put off (`again`), also when it has come: no edge follows it
 * (tributaryctl sees to that), and till then clicks are carried for nothing. Only to a later
 * minute: globes take the latest for the newest. */
static bool apply_map(struct fold *f, const struct control_message *m)
{
    struct partition_map map = f->map;
    const struct horizon *h = &f->horizon;
    if (m->again && map.count > 1 && map.steps[map.count - 1].from_minute < m->from_minute)
        map.count--;
    if (fold_is_mapped(f) && m->from_minute <= minute_of_ms(f->watermark_ms))
        return false;
    if (h->count > 0 && h->tables[h->count - 1]->minute >= m->from_minute)
        return false;
    if (partition_map_grow(&map, m->from_minute, m->partitions) != ERR_OK)
        return false;
    f->map = map;
    return true;
}

static void fold_control(struct fold *f, const struct fold_message *m)
{
    struct control_message control;
    if (control_read(&control, m->data) != ERR_OK) {
        f->counts.control_refused++;
        return;
    }
    if (control.number != f->control_floor) {
        /* Below the floor: a repeat, or another took the number; its sender sees that in the
         * roster. */
        f->counts.control_gaps += control.number > f->control_floor;
        return;
    }
    struct edge *edge = NULL;
    if (control.kind == CONTROL_ENROL)
        edge = edge_book_open(&f->edges, control.edge);
    else if (control.kind != CONTROL_MAP)
        edge = edge_book_find(&f->edges, control.edge);
    if (edge != NULL && control.kind == CONTROL_ENROL && !edge->enrolled) {
        edge->enrolled = true;
        edge->given_up = false;
        edge->missing = true;
    } else if (edge != NULL && control.kind == CONTROL_RETIRE) {
        edge->enrolled = false;
        edge->missing = false;
    } else if (edge != NULL && control.kind == CONTROL_WRITE_OFF) {
        apply_write_off(edge, control.epoch, m->time_ms);
    } else if (control.kind == CONTROL_MAP) {
        f->counts.map_refused += !apply_map(f, &control);
    }
    f->applied[control.number % FOLD_APPLIED] =
        (struct fold_applied){control.number, control.nonce};
    f->control_floor++;
    f->counts.controls++;
    f->uncut = true;
}

/* Ours, and from whom it says? An edge's name is its permissioned subject (design 6). */
static bool is_ours(const struct fold *f, const struct fold_message *m,
                    const struct segment_head *head)
{
    if (strcmp(head->region, f->options.region) != 0 || head->partition != f->options.partition)
        return false;
    struct subject expected = subject_segment(f->options.region, f->options.partition, head->edge);
    return strcmp(expected.text, m->subject) == 0;
}

static enum err fold_edge_message(struct fold *f, const struct fold_message *m)
{
    struct segment_head head;
    enum err err = segment_read_head(&head, m->data);
    if (err == ERR_MAGIC || err == ERR_TRUNCATED || err == ERR_CHECKSUM) {
        f->counts.damaged++;
        return ERR_OK;
    }
    if (err != ERR_OK || !is_ours(f, m, &head)) {
        f->counts.refused++;
        return ERR_OK;
    }
    return fold_segment(f, m, &head);
}

enum err fold_step(struct fold *f, const struct fold_message *m)
{
    struct subject control = subject_control(f->options.region, f->options.partition);
    uint64_t stream_ms = f->stream_ms;
    f->stream_ms = m->time_ms;
    if (strcmp(m->subject, control.text) == 0) {
        fold_control(f, m);
    } else if (tick_is(m->data)) {
        f->counts.ticks++;
    } else {
        enum err err = fold_edge_message(f, m);
        if (err != ERR_OK) {
            f->stream_ms = stream_ms;
            return err;
        }
    }
    f->looked = NULL;
    f->segment_is_read = false;
    uint64_t before_ms = f->watermark_ms;
    f->watermark_ms = watermark_advance(&f->edges, m->time_ms, before_ms);
    CHECK(f->watermark_ms >= before_ms);
    f->uncut |= f->watermark_ms != before_ms;
    if (f->watermark_ms != 0)
        fold_begin_totals(f);
    CHECK(f->books.folded == f->books.counted + f->books.duplicate + f->books.carried);
    return ERR_OK;
}
