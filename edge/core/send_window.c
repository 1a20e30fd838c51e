/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/core/send_window.h"

#include <string.h>

static void check(const struct send_window *w)
{
    CHECK(w->low <= w->next && w->next <= w->end);
    CHECK(w->acked <= w->end);
    CHECK(w->flight_count <= SEND_WINDOW_FLIGHTS);
}

static struct send_flight *flight_at(struct send_window *w, uint32_t index)
{
    return &w->flights[(w->flight_head + index) % SEND_WINDOW_FLIGHTS];
}

void send_window_init(struct send_window *w, uint64_t low, uint64_t end, bool older,
                      uint32_t reader_count)
{
    CHECK(low <= end && reader_count >= 1 && reader_count <= LIMIT_READERS);
    memset(w, 0, sizeof(*w));
    w->older = older;
    w->low = low;
    w->next = low;
    w->acked = low;
    w->end = end;
    w->reader_count = reader_count;
}

void send_window_grow(struct send_window *w, uint64_t end)
{
    CHECK(end >= w->end);
    w->end = end;
    check(w);
}

bool send_window_open(const struct send_window *w, bool pending_full)
{
    if (w->next == w->end || w->flight_count == SEND_WINDOW_FLIGHTS)
        return false;
    if (pending_full)
        return true;
    for (uint32_t i = 0; i < w->flight_count; i++) {
        const struct send_flight *f = &w->flights[(w->flight_head + i) % SEND_WINDOW_FLIGHTS];
        if (!f->full && !f->answered)
            return false;
    }
    return true;
}

void send_window_sent(struct send_window *w, uint64_t token, uint64_t last, uint32_t bytes,
                      bool full)
{
    CHECK(last > w->next && last <= w->end && w->flight_count < SEND_WINDOW_FLIGHTS);
    *flight_at(w, w->flight_count) = (struct send_flight){token, w->next, last, bytes, full, false};
    w->flight_count++;
    w->next = last;
    check(w);
}

uint32_t send_window_acked(struct send_window *w, uint64_t token)
{
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < w->flight_count; i++) {
        struct send_flight *f = flight_at(w, i);
        if (f->token == token && !f->answered) {
            f->answered = true;
            bytes = f->bytes;
            break;
        }
    }
    while (w->flight_count > 0 && flight_at(w, 0)->answered) {
        const struct send_flight *f = flight_at(w, 0);
        /* A flight after a jump over trimmed numbers still counts: those were consumed. */
        if (f->last > w->acked)
            w->acked = f->last;
        w->flight_head = (w->flight_head + 1) % SEND_WINDOW_FLIGHTS;
        w->flight_count--;
    }
    check(w);
    return bytes;
}

/* Forgets flights that reach beyond `first` and publishes again from there. */
static uint32_t go_back(struct send_window *w, uint64_t first)
{
    uint32_t bytes = 0;
    uint64_t next = first < w->low ? w->low : first;
    while (w->flight_count > 0 && flight_at(w, w->flight_count - 1)->last > next) {
        const struct send_flight *f = flight_at(w, w->flight_count - 1);
        bytes += f->answered ? 0 : f->bytes;
        w->flight_count--;
    }
    if (next < w->next)
        w->next = next;
    check(w);
    return bytes;
}

uint32_t send_window_failed(struct send_window *w, uint64_t token)
{
    for (uint32_t i = 0; i < w->flight_count; i++) {
        const struct send_flight *f = flight_at(w, i);
        if (f->token != token || f->answered)
            continue;
        /* Every reader has consumed it meanwhile: nothing is to be sent again, but it is under way
         * no longer, and must not hold up what waits behind it. */
        return f->last <= w->low ? send_window_acked(w, token) : go_back(w, f->first);
    }
    return 0;
}

bool send_window_floor(struct send_window *w, uint32_t reader, const struct send_reader *said,
                       bool gap, uint64_t now_ms, uint32_t *out_bytes)
{
    CHECK(reader < w->reader_count);
    struct send_reader heard = *said;
    heard.heard = true;
    *out_bytes = 0;
    if (heard.floor > w->end) {
        if (!w->older)
            return false;
        /* The numbers beyond were given by a copy of this spool (restored from a backup, cloned):
         * whoever consumed them has consumed all that we hold as well. */
        heard.floor = w->end;
        heard.finished = true;
    }
    struct send_reader *r = &w->readers[reader];
#ifdef TRIBUTARY_BREAK_OLD_STORE_FLOOR_KEPT
    if (r->heard)
        r->store_id = heard.store_id;
#endif
    if (!r->heard || r->store_id != heard.store_id || heard.floor > r->floor)
        *r = heard;
    else if (heard.floor == r->floor)
        r->finished = heard.finished;
#ifdef TRIBUTARY_BREAK_GAP_NOT_RESENT
    gap = false;
#endif
    if (!gap || r->floor >= w->next)
        return false;
    if (w->went_back && now_ms - w->went_back_ms < SEND_WINDOW_BACK_MS)
        return false;
    w->went_back = true;
    w->went_back_ms = now_ms;
    *out_bytes = go_back(w, r->floor);
    return true;
}

bool send_window_over(const struct send_window *w)
{
    bool over = w->older;
    for (uint32_t i = 0; i < w->reader_count; i++)
        over =
            over && w->readers[i].heard && w->readers[i].finished && w->readers[i].floor == w->end;
    return over;
}

uint64_t send_window_trim(const struct send_window *w, uint32_t waived)
{
    uint64_t trim = w->end;
    for (uint32_t i = 0; i < w->reader_count; i++) {
        if ((waived >> i & 1) != 0)
            continue;
        uint64_t floor = w->readers[i].heard ? w->readers[i].floor : 0;
        trim = floor < trim ? floor : trim;
    }
#ifdef TRIBUTARY_BREAK_TRIM_AT_HIGHEST_FLOOR
    trim = 0;
    for (uint32_t i = 0; i < w->reader_count; i++)
        trim = w->readers[i].floor > trim ? w->readers[i].floor : trim;
#endif
#ifdef TRIBUTARY_BREAK_TRIM_AT_PUBACK
    trim = w->acked;
#endif
    return trim;
}

void send_window_trimmed(struct send_window *w, uint64_t low)
{
    CHECK(low >= w->low && low <= w->end);
    w->low = low;
    /* Every reader has consumed up to here, whatever became of the publishes. */
    if (w->acked < low)
        w->acked = low;
    if (w->next < low)
        w->next = low;
    check(w);
}
