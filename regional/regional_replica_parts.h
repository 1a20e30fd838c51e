/* SPDX-License-Identifier: Apache-2.0
 * regional_replica_parts: private to the files of the driver, regional_replica*.c. */
#pragma once

#include "proto/subject.h"
#include "proto/want.h"
#include "regional/core/fold_look.h"
#include "regional/regional_replica.h"

#define REPLICA_TICK_MS     1000u /* silence after which the fold ticks */
#define REPLICA_FLOORS_MS   5000u /* floors are told again at least so often */
#define REPLICA_GAP_MS      250u  /* a gap is told again after so long */
#define REPLICA_RETRY_MS    250u
#define REPLICA_SILENT_MS   60000u     /* the position is proven again */
#define REPLICA_CLEAN_MS    2000u      /* a flush for deletions alone, at most so often */
#define REPLICA_EVENTS      512u       /* per step */
#define REPLICA_EVENT_BYTES (8u << 20) /* likewise */
#define REPLICA_DELETES     256u       /* per transaction and kind */
#define REPLICA_READS       1024u      /* of the store for late clicks: then the step ends */

enum { TOKEN_OUTBOX = 1, TOKEN_TICK, TOKEN_GET, TOKEN_ANSWER };

static inline uint64_t replica_token(unsigned kind, uint64_t value)
{
    CHECK(value < 1ULL << 56);
    return (uint64_t)kind << 56 | value;
}

struct part {
    uint32_t index;
    struct subject stream;
    struct fold *fold;
    enum replica_part_state state;
    struct fold_position position; /* last message folded that was no tick: all ticks look alike */
    uint64_t expected_seq;         /* 0: the first message after a read may be any */
    uint32_t generation;           /* of the proof asked for */
    uint64_t ask_ms;               /* ask (again) for the proof then; 0: an answer is due */
    uint64_t active_ms;            /* last message, or tick of ours */
    uint64_t read_ms;              /* when reading began */
    uint64_t heard_ms;             /* last message, or when reading began */
    uint64_t pending, message_ms;  /* of the last message: how many follow it; when it was stored */
    struct partition_map map_durable; /* as of the last commit */
    bool caught_up;
    uint64_t memory_bytes;                 /* last measured */
    uint32_t retired_below, cleaned_below; /* durable; redo values gone */
    uint32_t cleaning_below;               /* as cleaned_below, once this transaction is durable */
    struct want_message *want;             /* not answered yet, or NULL */
};

struct outbox_item {
    uint64_t id;
    uint64_t retry_ms;
    enum { OUTBOX_WAITING, OUTBOX_OPEN, OUTBOX_DONE } state;
};

struct answer {
    uint16_t partition;
    struct buf message;
};

struct replica {
    struct replica_options options;
    uint16_t *partitions;
    struct part *parts;
    struct announce_identity who;
    bool bus_up;
    uint64_t floors_ms; /* when all floors were told last */
    bool all_floors_due;
    uint32_t tick_jitter_ms;

    struct cut *cuts; /* made, not committed */
    uint32_t cut_count, cut_capacity;
    uint64_t commit_ms;
    bool commit_failed; /* for lack of room: nothing is folded before it succeeds */

    struct outbox_item *outbox; /* ascending ids */
    uint32_t outbox_count, outbox_capacity, outbox_done;
    uint64_t outbox_next_id;
    struct answer *answers;
    uint32_t answer_count, answer_capacity;

    unsigned reads;           /* of the store for late clicks, in this step */
    enum err read_err;        /* class STOP: a read of the store failed */
    struct want_message want; /* scratch */
    struct buf scratch;
    struct replica_view totals; /* the counters of it */
};

/* regional_replica_store.c */
enum err WARN_UNUSED replica_store_load(struct replica *r);
/* One transaction for all cuts made, the outbox entries that are done, and redo values that are
 * retired. */
enum err WARN_UNUSED replica_store_commit(struct replica *r, uint64_t now_ms);
bool replica_store_has_work(const struct replica *r, uint64_t now_ms);
/* Bytes of an outbox entry, copied. False: it is not there. */
enum err WARN_UNUSED replica_store_outbox(struct replica *r, struct kv_txn *txn, uint64_t id,
                                          uint16_t *out_partition, struct buf *out);

/* regional_replica_minutes.c: closed minutes in the store */
enum err WARN_UNUSED replica_minutes_load(struct kv_txn *txn, struct part *p);
/* Reads what the fold must have in memory before the message, or the redo value, is folded. */
enum err WARN_UNUSED replica_minutes_look(struct replica *r, struct part *p,
                                          const struct fold_message *m);
enum err WARN_UNUSED replica_minutes_look_redo(struct kv_txn *txn, struct part *p, struct span key,
                                               struct span value);
/* A cut's moves, into its transaction: values merged, heads written, redo values deleted. */
enum err WARN_UNUSED replica_minutes_move(struct replica *r, struct kv_txn *txn,
                                          const struct cut *c);
#ifdef TRIBUTARY_BREAK_REDO_GONE_BEFORE_CHUNKS
void replica_minutes_delete_redo(struct replica *r);
#endif
/* As redo values that are retired. */
bool replica_minutes_delete(struct kv_txn *txn, const struct part *p);
/* What a cut or an answer reads of the store: one transaction, begun only where it may be needed.
 */
struct replica_rest {
    struct announce_store store;
    struct kv_txn *txn;
    uint16_t partition;
    const struct minute_table *table; /* what is in memory */
    struct horizon *out;
    enum err err;
};
enum err WARN_UNUSED replica_minutes_rest(struct replica *r, struct part *p, bool reads,
                                          struct replica_rest *out);
/* `err`, or what went wrong with the transaction: what it read must not be believed then. */
enum err WARN_UNUSED replica_minutes_rest_done(struct replica_rest *rest, enum err err);
enum err WARN_UNUSED replica_minutes_whole(struct replica *r, struct part *p,
                                           const struct announce_wanted *wanted,
                                           struct announce_messages *out);

/* regional_replica_send.c */
void replica_outbox_add(struct replica *r, uint64_t id);
void replica_outbox_settle(struct replica *r, uint64_t id, bool stored, uint64_t now_ms);
enum err WARN_UNUSED replica_send_outbox(struct replica *r, uint64_t now_ms);
void replica_send_floors(struct replica *r, uint64_t now_ms);
void replica_send_ticks(struct replica *r, uint64_t now_ms);
void replica_send_answers(struct replica *r);
void replica_make_answer(struct replica *r, struct part *p);
void replica_send_roster(struct replica *r, const char *reply);

/* regional_replica.c */
void replica_note(struct replica *r, const struct replica_note *note);
