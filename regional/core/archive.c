/* SPDX-License-Identifier: Apache-2.0
 * archive: the law of the archive, top to bottom. */
#include "regional/core/archive.h"

#include "proto/control.h"
#include "proto/subject.h"
#include "regional/core/archive_state.h"

#include <stdlib.h>

#define DIGEST_SEED   0x41524348ULL
#define URGENT_AGE_MS 1000u /* news that an edge waits for: a new line, an end, a gap */

uint64_t archive_digest(struct span message)
{
    return hash_checksum(message, DIGEST_SEED);
}

struct archive *archive_new(const struct archive_options *options)
{
    CHECK(options->who.partition < options->who.partitions);
    CHECK(options->object_bytes > 0 && options->object_age_ms > 0);
    struct archive *a = base_zalloc(1, sizeof(*a));
    a->options = *options;
    a->clicks = base_zalloc(LIMIT_SEGMENT_CLICKS, sizeof(*a->clicks));
    return a;
}

static void drop_raws(struct archive *a)
{
    for (uint32_t i = 0; i < a->raw_count; i++)
        archive_file_done(&a->raws[i]);
    a->raw_count = 0;
    a->raw_bytes = 0;
}

void archive_free(struct archive *a)
{
    if (a == NULL)
        return;
    archive_book_done(&a->book);
    archive_object_done(&a->object);
    drop_raws(a);
    free(a->raws);
    segment_done(&a->segment);
    free(a->clicks);
    buf_done(&a->cold);
    free(a);
}

static void keep_raw(struct archive *a, const struct segment_head *head,
                     const struct archive_wish *wish, const struct archive_message *m)
{
    if (a->raw_count == a->raw_capacity) {
        a->raw_capacity = a->raw_capacity == 0 ? 4 : a->raw_capacity * 2;
        a->raws = base_realloc(a->raws, a->raw_capacity * sizeof(*a->raws));
    }
    archive_object_raw(&a->options.who, head, wish->runs, wish->count, m->data, m->seq, m->time_ms,
                       &a->raws[a->raw_count++]);
    a->raw_bytes += m->data.length;
    a->counts.unreadable++;
}

/* The numbers that the line lacks, as clicks or, where nobody can read them, as they came: no
 * poison stops the river (design 4.2), and nothing is thrown away. */
static void keep_numbers(struct archive *a, const struct segment_head *head,
                         const struct archive_wish *wish, const struct archive_message *m)
{
    enum err err = segment_read(&a->segment, m->data);
    if (err == ERR_OK)
        err = segment_read_cold(&a->segment, a->clicks, &a->cold);
    a->counts.segments++;
    if (err != ERR_OK) {
        keep_raw(a, head, wish, m);
        return;
    }
    uint64_t before = a->object.avro.clicks;
    for (uint32_t i = 0; i < wish->count; i++)
        archive_object_add(&a->object, &a->options.who, head, wish->runs[i], a->clicks, m->seq,
                           m->time_ms);
    a->counts.clicks += a->object.avro.clicks - before;
}

static void take_segment(struct archive *a, const struct archive_message *m,
                         const struct segment_head *head, uint64_t now_ms)
{
    struct archive_edge *edge = archive_book_open(&a->book, head->edge);
    if (edge == NULL) {
        a->counts.refused++;
        return;
    }
    bool is_new = archive_book_line(edge, head->epoch) == NULL;
    struct archive_line *l = archive_book_open_line(edge, head->epoch);
    bool was_finished = archive_line_is_finished(l);
    uint64_t floor = l->floor;
    struct archive_wish wish;
    archive_line_take(l, head, m->time_ms, is_new, &wish);
    a->counts.skipped += wish.skipped;
    a->counts.gaps += wish.gap;
    a->counts.beyond += wish.beyond;
    a->counts.heartbeats += head->first == head->last;
    a->counts.repeats += head->first < head->last && wish.count == 0 && !wish.beyond;
    if (wish.count > 0)
        keep_numbers(a, head, &wish, m);
    if (wish.gap && a->gap_ms == 0)
        a->gap_ms = now_ms;
    bool news = is_new || was_finished != archive_line_is_finished(l);
    if (news || wish.count > 0 || l->floor != floor) {
        edge->news = true;
        a->urgent |= news;
        if (!a->dirty)
            a->since_ms = now_ms;
        a->dirty = true;
    }
}

/* Ours, and from whom it says? An edge's name is its permissioned subject (design 6). */
static bool is_ours(const struct archive *a, const struct archive_message *m,
                    const struct segment_head *head)
{
    const struct archive_identity *who = &a->options.who;
    if (strcmp(head->region, who->region) != 0 || head->partition != who->partition ||
        !subject_name_is_valid(head->edge, LIMIT_EDGE_NAME_BYTES))
        return false;
    struct subject expected = subject_segment(who->region, who->partition, head->edge);
    return strcmp(expected.text, m->subject) == 0;
}

static void take_edge_message(struct archive *a, const struct archive_message *m, uint64_t now_ms)
{
    struct segment_head head;
    enum err err = segment_read_head(&head, m->data);
    if (err == ERR_MAGIC || err == ERR_TRUNCATED || err == ERR_CHECKSUM)
        a->counts.damaged++;
    else if (err != ERR_OK || !is_ours(a, m, &head))
        a->counts.refused++;
    else
        take_segment(a, m, &head, now_ms);
}

void archive_step(struct archive *a, const struct archive_message *m, uint64_t now_ms)
{
    struct subject control = subject_control(a->options.who.region, a->options.who.partition);
    a->stream_ms = m->time_ms;
    if (!a->moved && !a->dirty)
        a->since_ms = now_ms;
    a->moved = true;
    if (tick_is(m->data))
        return; /* all ticks look alike: they prove no position */
    a->position = (struct archive_position){m->seq, archive_digest(m->data)};
    if (strcmp(m->subject, control.text) != 0)
        take_edge_message(a, m, now_ms);
}

uint64_t archive_waiting_bytes(const struct archive *a)
{
    return archive_object_bytes(&a->object) + a->raw_bytes;
}

bool archive_has_work(const struct archive *a)
{
    return a->dirty || a->moved;
}

static bool has_age(uint64_t now_ms, uint64_t since_ms, uint64_t age_ms)
{
    return now_ms >= since_ms && now_ms - since_ms >= age_ms;
}

static bool any_gap(const struct archive *a)
{
    for (uint32_t i = 0; i < a->book.count; i++) {
        for (uint32_t l = 0; l < a->book.edges[i].line_count; l++) {
            if (archive_line_has_gap(&a->book.edges[i].lines[l]))
                return true;
        }
    }
    return false;
}

bool archive_wants_cut(const struct archive *a, uint64_t now_ms)
{
    if (archive_waiting_bytes(a) >= a->options.object_bytes)
        return true;
    if (!archive_has_work(a))
        return false;
    if (has_age(now_ms, a->since_ms, a->options.object_age_ms))
        return true;
    if (!a->dirty || !has_age(now_ms, a->cut_ms, URGENT_AGE_MS))
        return false;
    if (a->urgent && has_age(now_ms, a->since_ms, URGENT_AGE_MS))
        return true;
    /* A gap is told together with the floor, from which the edge sends again: so what is taken
     * should be below it. Most gaps close by themselves at once: another reader has told them. */
    return a->gap_ms != 0 && has_age(now_ms, a->gap_ms, URGENT_AGE_MS) && any_gap(a);
}

void archive_make_cut(struct archive *a, uint64_t now_ms, uint64_t wall_ms, struct archive_cut *out)
{
    *out = (struct archive_cut){.files = base_zalloc(a->raw_count + 1, sizeof(*out->files))};
    if (!archive_object_is_empty(&a->object))
        archive_object_end(&a->object, &a->options.who, &out->files[out->count++]);
    for (uint32_t i = 0; i < a->raw_count; i++)
        out->files[out->count++] = a->raws[i];
    a->raw_count = 0;
    a->raw_bytes = 0;
    a->cut++;
    archive_book_forget(&a->book, a->stream_ms, wall_ms);
    archive_state_write(&out->state, a);
    archive_book_cut(&a->book);
    a->dirty = a->urgent = a->moved = false;
    a->gap_ms = 0;
    a->cut_ms = now_ms;
}

void archive_cut_done(struct archive_cut *c)
{
    for (uint32_t i = 0; i < c->count; i++)
        archive_file_done(&c->files[i]);
    free(c->files);
    buf_done(&c->state);
    *c = (struct archive_cut){0};
}

void archive_committed(struct archive *a)
{
    archive_book_committed(&a->book);
}

enum err archive_load(struct archive *a, struct span state)
{
    enum err err = archive_state_read(a, state);
    if (err != ERR_OK)
        return err;
    archive_book_cut(&a->book);
    archive_book_committed(&a->book);
    return ERR_OK;
}
