/* SPDX-License-Identifier: Apache-2.0
 * live: what a client of GET /v1/stream was given, and the event that brings it up to what the
 * store holds now. Each look at the store is whole, and an event states every point that differs
 * from what the client has: so events may be left out for a slow client, and none is ever missed.
 * Audience: global core, shell, tests. Pure. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/limits.h"
#include "proto/stats_json.h"

struct live;

/* 1 to LIMIT_STREAM_ADS ads, 1 to LIMIT_STREAM_MINUTES minutes each. */
struct live *live_new(uint32_t ads, uint32_t minutes);
void live_free(struct live *l);

/* What a look found: `minutes` points of ad number `ad`, one a minute, the last one that of the
 * running minute. A look sees all ads. */
void live_see(struct live *l, uint32_t ad, const struct stats_json_point *points);

/* Names what was seen last, ads included: equal names, equal counts, whichever replica says so. */
uint64_t live_version(const struct live *l, const struct span *ad_ids);

/* Is there anything that the client was not given? `standing`: only watermarks and missing edges
 * count; as_of always moves. */
bool live_has_news(const struct live *l, const struct stats_json_answer *standing);

/* Appends the event: "id: <version>", and as data {"ads":[{"ad_id","data":[...]}],"as_of",
 * "watermarks","missing_edges"} with the points that the client was not given. */
void live_put(const struct live *l, const struct span *ad_ids,
              const struct stats_json_answer *standing, struct buf *out);

/* The client has what was seen last: it took the event; or it said so by its Last-Event-ID, which
 * does not speak of watermarks (standing NULL). */
void live_given(struct live *l, const struct stats_json_answer *standing);

/* A version as text ends in *out_version. */
bool live_version_parse(const char *text, uint64_t *out_version);
