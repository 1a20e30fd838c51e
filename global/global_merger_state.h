/* SPDX-License-Identifier: Apache-2.0
 * global_merger_state: what the files of the merger share: its state and the steps of one message.
 * Audience: global_merger*.c only. */
#pragma once

#include "global/core/merge.h"
#include "global/core/minute_books.h"
#include "global/core/retire.h"
#include "global/core/rollup.h"
#include "global/core/standing.h"
#include "global/core/want_list.h"
#include "global/global_merger.h"
#include "proto/subject.h"

struct merger_position {
    uint64_t seq;    /* 0: from the first message */
    uint64_t digest; /* of the message at seq */
};

enum merger_phase {
    MERGER_DOWN,    /* not connected */
    MERGER_PROVE,   /* has to prove its position, once retry_ms has come */
    MERGER_PROVING, /* waits for BUS_GOT with `token` */
    MERGER_READING,
};

struct merger_river {
    char name[LIMIT_REGION_NAME_BYTES + 1];
    char stream[SUBJECT_BYTES];
    struct bus_port *bus;
    uint16_t id; /* the store's */
    enum merger_phase phase;
    uint64_t token;
    uint64_t retry_ms; /* monotonic */
    uint64_t heard_ms; /* monotonic; last message, or when reading began */
    bool just_proven;  /* the first message after a proof may lie beyond a gap */
    bool moved;        /* position to be stored with this transaction */
    struct merger_position position;
    struct standing_card card;
    bool card_dirty;
    struct standing_partition *partitions[LIMIT_PARTITIONS];
};

/* Sums over the rows of a whole answer that came in several messages. In memory only: when it is
 * lost, the minute is asked for again. */
struct merger_whole {
    uint16_t region, partition;
    uint32_t minute;
    uint64_t store_id;
    char replica[LIMIT_READER_NAME_BYTES + 1];
    struct completeness_sums sums;
};
#define MERGER_WHOLES 4096

struct merger {
    struct merger_options options;
    struct merger_river rivers[LIMIT_REGIONS];
    uint32_t first_river; /* turns, so that one busy region does not starve the others */
    uint64_t next_token;
    uint64_t stalled_until_ms; /* after a full store; monotonic */
    struct kv_txn *txn;        /* of the bite under way; NULL: none yet */
    struct want_list wants;
    uint32_t whole_count, whole_next;
    struct merger_whole *wholes;
    struct retire_horizon horizon; /* as stored, or about to be with this transaction */
    struct retire_walk walk;
    unsigned walk_at; /* which table is walked; all of them: none */
    bool room_first;  /* the store was full: the next transaction deletes and does nothing else */
    /* scratch, reused from message to message */
    struct minute_books books;
    struct divergence *divergence;
    struct page page;
    struct hll sketches[2];
    struct buf value, old_sketch, new_sketch;
    uint32_t *row_order;
    uint32_t row_capacity;
    struct want_message *want;
    struct merger_view view;
};

/* The step being done on one message. */
struct merger_message {
    struct merger *merger;
    struct merger_river *river;
    struct partial *partial;
    struct standing_partition *standing;
    uint64_t now_ms; /* monotonic */
};

/* global_merger_rows.c: names and rows into NAME, PAGE, SKETCH, and the books in memory. */
enum err WARN_UNUSED merger_rows_take(struct merger_message *message);

/* global_merger_totals.c: judges totals, finds minutes that were never announced, writes the books.
 */
struct minute_books_entry *merger_totals_book(struct merger_message *message, uint32_t minute,
                                              enum err *err);
enum err WARN_UNUSED merger_totals_take(struct merger_message *message);
/* Adds to the list and to the store. */
void merger_totals_want(struct merger_message *message, enum want_list_kind kind, uint64_t what,
                        bool held, uint32_t after_ms);
void merger_totals_unwant(struct merger_message *message, enum want_list_kind kind, uint64_t what);
/* After the commit: asks what is due. */
void merger_totals_ask(struct merger *m, uint64_t now_ms);

/* global_merger_retire.c: the horizon, and what lies below it. */
enum err WARN_UNUSED merger_retire_load(struct merger *m);
bool merger_retire_is_due(const struct merger *m);
/* Under m->txn. */
void merger_retire_bite(struct merger *m);

/* global_merger_store.c: what is kept in memory from the store, and put back. */
enum err WARN_UNUSED merger_store_load(struct merger *m);
void merger_store_forget(struct merger *m);
struct standing_partition *merger_store_partition(struct merger_river *river, uint16_t partition);
/* Into NAME and BY_NAME. */
void merger_store_put_name(struct merger *m, uint64_t ad_hash, struct span ad_id);
void merger_store_put(struct merger *m, enum leaf_table table, struct leaf_key key,
                      struct buf *value);
/* False if absent; ERR_KV_CORRUPT in *err if its checksum does not match. Valid until the next put.
 */
bool merger_store_get(struct merger *m, enum leaf_table table, struct leaf_key key,
                      struct span *out_body, enum err *err);
