/* SPDX-License-Identifier: Apache-2.0
 * global_http_seats: the seats of streams. */
#include "global/global_http_seats.h"

#include "global/core/token_book.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct seat {
    bool taken;
    char token_id[TOKEN_ID_CHARS + 1];
};

struct global_http_seats {
    pthread_mutex_t lock;
    unsigned all_max, token_max, taken;
    struct seat *seats;
};

struct global_http_seats *global_http_seats_new(unsigned all_max, unsigned token_max)
{
    struct global_http_seats *s = base_zalloc(1, sizeof(*s));
    CHECK(all_max >= 1);
    CHECK(pthread_mutex_init(&s->lock, NULL) == 0);
    s->all_max = all_max;
    s->token_max = token_max;
    s->seats = base_zalloc(all_max, sizeof(s->seats[0]));
    return s;
}

void global_http_seats_free(struct global_http_seats *s)
{
    if (s == NULL)
        return;
    CHECK(s->taken == 0);
    CHECK(pthread_mutex_destroy(&s->lock) == 0);
    free(s->seats);
    free(s);
}

/* A seat of that token, or a free one; NULL: there is none. */
static struct seat *find(struct global_http_seats *s, bool taken, const char *token_id)
{
    for (unsigned i = 0; i < s->all_max; i++)
        if (s->seats[i].taken == taken && (!taken || strcmp(s->seats[i].token_id, token_id) == 0))
            return &s->seats[i];
    return NULL;
}

static unsigned count(const struct global_http_seats *s, const char *token_id)
{
    unsigned found = 0;
    for (unsigned i = 0; i < s->all_max; i++)
        found += s->seats[i].taken && strcmp(s->seats[i].token_id, token_id) == 0;
    return found;
}

enum global_http_seat global_http_seats_take(struct global_http_seats *s, const char *token_id)
{
    enum global_http_seat said = GLOBAL_HTTP_SEAT_NONE;
    CHECK(pthread_mutex_lock(&s->lock) == 0);
    struct seat *seat = find(s, false, token_id);
    if (token_id[0] != '\0' && count(s, token_id) >= s->token_max) {
        said = GLOBAL_HTTP_SEAT_TOKEN_NONE;
    } else if (seat != NULL) {
        seat->taken = true;
        (void)snprintf(seat->token_id, sizeof(seat->token_id), "%s", token_id);
        s->taken++;
        said = GLOBAL_HTTP_SEAT_TAKEN;
    }
    CHECK(pthread_mutex_unlock(&s->lock) == 0);
    return said;
}

void global_http_seats_leave(struct global_http_seats *s, const char *token_id)
{
    CHECK(pthread_mutex_lock(&s->lock) == 0);
    struct seat *seat = find(s, true, token_id);
    CHECK(seat != NULL && s->taken > 0);
    seat->taken = false;
    s->taken--;
    CHECK(pthread_mutex_unlock(&s->lock) == 0);
}

unsigned global_http_seats_taken(struct global_http_seats *s)
{
    CHECK(pthread_mutex_lock(&s->lock) == 0);
    unsigned taken = s->taken;
    CHECK(pthread_mutex_unlock(&s->lock) == 0);
    return taken;
}
