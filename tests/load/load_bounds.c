/* SPDX-License-Identifier: Apache-2.0
 * load_bounds: reads ledgers back and says what may have been counted.
 *
 * A click is certain when one attempt of its request was answered 202 and did not refuse it; it is
 * possible when an attempt left and was never answered definitely; else it was never stored. */
#include "load_ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ATTEMPTS_MAX 4096

struct request {
    size_t first; /* into clicks[] */
    unsigned count;
    unsigned attempts, open, oks;
    bool unknown;
    uint8_t *accepted; /* one byte a click, made with the first 202 */
};

struct click {
    char ad[LOAD_AD_NAME_BYTES * 4];
    uint32_t minute;
};

struct run {
    struct request *requests;
    size_t request_count, request_room;
    struct click *clicks;
    size_t click_count, click_room;
};

static void add_invoked(struct run *run, char *rest, const char *path, size_t line)
{
    char *end;
    uint64_t number = strtoull(rest, &end, 10);
    unsigned count = (unsigned)strtoul(end, &end, 10);
    if (number != run->request_count)
        load_die("%s:%zu: request %" PRIu64 " out of order", path, line, number);
    if (run->request_count == run->request_room) {
        run->request_room = run->request_room ? run->request_room * 2 : 1024;
        run->requests = load_realloc(run->requests, run->request_room * sizeof *run->requests);
    }
    run->requests[run->request_count++] =
        (struct request){.first = run->click_count, .count = count, .attempts = 1, .open = 1};
    for (unsigned i = 0; i < count; i++) {
        if (run->click_count == run->click_room) {
            run->click_room = run->click_room ? run->click_room * 2 : 65536;
            run->clicks = load_realloc(run->clicks, run->click_room * sizeof *run->clicks);
        }
        struct click *c = &run->clicks[run->click_count++];
        while (*end == ' ')
            end++;
        char *at = strchr(end, '@');
        size_t length = at ? (size_t)(at - end) : 0;
        if (length == 0 || length >= sizeof c->ad)
            load_die("%s:%zu: click %u cannot be read", path, line, i);
        snprintf(c->ad, sizeof c->ad, "%.*s", (int)length, end);
        c->minute = (uint32_t)strtoul(at + 1, &end, 10);
    }
}

static void add_answered(struct run *run, struct request *r, const char *rest)
{
    (void)run;
    if (!r->accepted)
        r->accepted = load_alloc(r->count);
    uint8_t *this_time = load_alloc(r->count);
    memset(this_time, 1, r->count);
    char *end;
    for (const char *at = rest;; at = end) {
        unsigned long index = strtoul(at, &end, 10);
        if (end == at)
            break;
        if (index >= r->count)
            load_die("ledger names a click that was not sent");
        this_time[index] = 0;
    }
    for (unsigned i = 0; i < r->count; i++)
        r->accepted[i] |= this_time[i];
    free(this_time);
    r->oks++;
}

static void read_line(struct run *run, char *text, const char *path, size_t line)
{
    if (text[0] == 'I') {
        add_invoked(run, text + 2, path, line);
        return;
    }
    char *end;
    uint64_t number = strtoull(text + 2, &end, 10);
    if (number >= run->request_count || end == text + 2)
        load_die("%s:%zu: names a request that was not invoked", path, line);
    struct request *r = &run->requests[number];
    unsigned long attempt = strtoul(end, &end, 10);
    if (text[0] == 'R') {
        if (attempt != r->attempts || attempt > ATTEMPTS_MAX)
            load_die("%s:%zu: attempt %lu out of order", path, line, attempt);
        r->attempts++;
        r->open++;
        return;
    }
    if (attempt >= r->attempts || r->open == 0)
        load_die("%s:%zu: answers an attempt that was not made", path, line);
    r->open--;
    if (text[0] == 'O' && (strncmp(end, " s", 2) == 0 || strncmp(end, " r", 2) == 0))
        add_answered(run, r, end + 2);
    else if (text[0] == 'U')
        r->unknown = true;
    else if (text[0] != 'F')
        load_die("%s:%zu: not a ledger line", path, line);
}

static void add_row(struct load_bounds *b, size_t *room, const struct click *c, bool certain,
                    bool possible)
{
    if (b->count == *room) {
        *room = *room ? *room * 2 : 65536;
        b->rows = load_realloc(b->rows, *room * sizeof *b->rows);
    }
    b->rows[b->count++] = (struct load_bound){load_copy(c->ad), c->minute, certain, possible};
}

static void close_run(struct load_bounds *b, size_t *room, struct run *run)
{
    for (size_t i = 0; i < run->request_count; i++) {
        struct request *r = &run->requests[i];
        b->requests++;
        b->attempts += r->attempts;
        b->repeats_answered += r->oks > 1 ? (uint64_t)(r->oks - 1) * r->count : 0;
        b->distinct += r->count;
        for (unsigned k = 0; k < r->count; k++) {
            bool certain = r->accepted && r->accepted[k];
            bool possible = certain || r->unknown || r->open > 0;
            /* Refused clicks make a row as well, of zero: the globe is asked about them, too. */
            add_row(b, room, &run->clicks[r->first + k], certain, possible);
            b->accepted += certain;
            b->unknown += possible && !certain;
            b->refused += !possible;
        }
        free(r->accepted);
    }
    free(run->requests);
    free(run->clicks);
    *run = (struct run){0};
}

static int compare_rows(const void *left, const void *right)
{
    const struct load_bound *a = left, *b = right;
    int ads = strcmp(a->ad, b->ad);
    return ads ? ads : (a->minute > b->minute) - (a->minute < b->minute);
}

static void add_up(struct load_bounds *b)
{
    if (b->count == 0)
        return;
    qsort(b->rows, b->count, sizeof *b->rows, compare_rows);
    size_t last = 0;
    for (size_t i = 1; i < b->count; i++) {
        if (compare_rows(&b->rows[last], &b->rows[i]) == 0) {
            b->rows[last].lower += b->rows[i].lower;
            b->rows[last].upper += b->rows[i].upper;
            free(b->rows[i].ad);
        } else {
            b->rows[++last] = b->rows[i];
        }
    }
    b->count = last + 1;
}

void load_bounds_read(struct load_bounds *b, const char *const *paths, size_t path_count)
{
    *b = (struct load_bounds){0};
    size_t room = 0;
    for (size_t i = 0; i < path_count; i++) {
        struct load_buf file = load_read_file(paths[i]);
        struct run run = {0};
        size_t line = 0;
        for (char *at = file.data; at;) {
            char *end = strchr(at, '\n');
            if (!end)
                break; /* the writer died within this line: its bytes never left */
            *end = 0;
            line++;
            if (at[0] == 'T')
                close_run(b, &room, &run);
            else
                read_line(&run, at, paths[i], line);
            at = end + 1;
        }
        close_run(b, &room, &run);
        load_buf_done(&file);
    }
    add_up(b);
}

void load_bounds_done(struct load_bounds *b)
{
    for (size_t i = 0; i < b->count; i++)
        free(b->rows[i].ad);
    free(b->rows);
    *b = (struct load_bounds){0};
}
