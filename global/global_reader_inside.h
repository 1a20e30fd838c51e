/* SPDX-License-Identifier: Apache-2.0
 * global_reader_inside: what the files of the reader share. Audience: global_reader*.c only. */
#pragma once

#include "common/base/hll.h"
#include "global/core/completeness.h"
#include "global/core/leaf.h"
#include "global/core/retire.h"
#include "global/global_reader.h"

struct global_reader {
    struct global_reader_options options;
    struct kv_txn *txn;
    struct standing_card cards[LIMIT_REGIONS]; /* as of this query, in the order of the options */
    uint16_t ids[LIMIT_REGIONS];               /* 0: the store does not know that region yet */
    struct retire_horizon horizon;             /* as of this query */
    uint64_t kept_from_s;                      /* of what this query reads */
    struct stats_json_watermark watermarks[LIMIT_REGIONS];
    struct stats_json_missing *missing;
    size_t missing_capacity;
    struct stats_json_point *points;
    uint32_t *complete_minutes; /* of each point, summed over regions */
    bool *sketched;             /* some row of the point has a sketch */
    size_t point_capacity;
    struct hll all, one;
    struct stats_json_top_ad *top;
};

/* A walk over the names that a token may see (NULL: all), in their order. Its rules are in order
 * and apart, as token_ads_parse leaves them. */
struct global_reader_names {
    const struct token *token;
    struct span prefix; /* only names that begin so; borrowed */
    uint32_t rule;
    bool nameless; /* exact rules too whose ad's name has not come yet */
    bool has_last;
    size_t last_length;
    uint8_t last[LIMIT_ID_BYTES]; /* the name that was found last */
    uint64_t ad_hash;             /* of it */
};

/* behind: a name to go on behind; empty: from the first. */
void global_reader_names_begin(struct global_reader_names *n, const struct token *token,
                               struct span prefix, struct span behind);
/* The next one, under r->txn, which may be another one each time. ERR_NOT_FOUND: there is none. An
 * error of the store looks like absence and sticks to the transaction. */
enum err WARN_UNUSED global_reader_names_next(struct global_reader *r,
                                              struct global_reader_names *n);

/* Reads the cards of all regions under r->txn. */
enum err WARN_UNUSED global_reader_cards(struct global_reader *r);
/* Reads the horizon under r->txn; ERR_RETIRED where the query reaches below what is kept. by_hours:
 * it is answered from roll-ups, which are exact for whole hours. */
enum err WARN_UNUSED global_reader_kept(struct global_reader *r, const struct query *q,
                                        bool by_hours);
/* Watermarks, missing edges and as_of, from the cards. */
/* The bits of an hour's minutes in [start, end). */
uint64_t global_reader_hour_bits(uint32_t hour, uint32_t start_minute, uint32_t end_minute);

void global_reader_standing(struct global_reader *r, struct stats_json_answer *out);
/* Ends the read. An error of the store sticks to its transaction: reads after it look like absence,
 * and are not; so the first of `err` and that is what happened. */
enum err WARN_UNUSED global_reader_end(struct global_reader *r, enum err err);
