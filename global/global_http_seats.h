/* SPDX-License-Identifier: Apache-2.0
 * global_http_seats: how many streams go on at once, in all and of one token, over all workers.
 * Audience: global shell, tests. Any thread. */
#pragma once

#include "common/base/base.h"

struct global_http_seats;

enum global_http_seat {
    GLOBAL_HTTP_SEAT_TAKEN,
    GLOBAL_HTTP_SEAT_NONE,      /* all are taken */
    GLOBAL_HTTP_SEAT_TOKEN_NONE /* this token has as many as it may have */
};

/* all_max: at least 1. */
struct global_http_seats *global_http_seats_new(unsigned all_max, unsigned token_max);
void global_http_seats_free(struct global_http_seats *s); /* all were left; NULL is fine */
/* token_id: "" where none is needed; then only all_max holds. */
enum global_http_seat WARN_UNUSED global_http_seats_take(struct global_http_seats *s,
                                                         const char *token_id);
void global_http_seats_leave(struct global_http_seats *s, const char *token_id);
unsigned global_http_seats_taken(struct global_http_seats *s);
