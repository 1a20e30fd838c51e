/* SPDX-License-Identifier: Apache-2.0
 * watermark: the time up to which every known edge's clicks are folded, and which known edges are
 * missing. Audience: regional/core, tests. Pure: message time is an argument. Source: design 4.8.
 */
#pragma once

#include "regional/core/edge_book.h"

/* The edge's clock: the least over its live lines. False: it cannot hold the watermark now, because
 * it has no live line, its newest epoch was not heard yet, or a live line was silent for
 * LIMIT_SILENT_MS. */
bool watermark_edge_clock(const struct edge *edge, uint64_t now_ms, uint64_t *out_clock_ms);

/* Sets the missing flags and returns the new watermark: the least clock of the enrolled edges that
 * are not missing, at most now_ms (time of the message in hand), never less than before. No such
 * edge: as before. */
uint64_t watermark_advance(struct edge_book *book, uint64_t now_ms, uint64_t watermark_ms);

/* Minutes below are closed: the watermark has passed their end and the allowed lateness. */
uint32_t watermark_closed_below(uint64_t watermark_ms, uint64_t lateness_ms);

/* Minutes below are expired: their clicks are carried. By the watermark, never by a message's time.
 */
uint32_t watermark_expired_below(uint64_t watermark_ms, uint32_t horizon_minutes);
