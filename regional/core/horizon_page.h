/* SPDX-License-Identifier: Apache-2.0
 * horizon_page: closed minutes between memory and the store: what leaves a table when the store
 * holds it, what is read back into it, and what the two make together.
 * Audience: regional/core, regional driver, tests. Pure. One thread at a time per object.
 * Source: design 4.4, decision 0008.
 *
 * A stored minute's table holds the rows and keys that were read back or came late; `rest` is the
 * total of the rows that only the store holds. A row is in one of the two, never in both: so the
 * minute's total is known without reading, and is what it would be if nothing had left memory. */
#pragma once

#include "regional/core/horizon.h"
#include "regional/core/minute_snapshot.h"

/* The minute as its head says: nothing of it is in memory yet. There must be no table (CHECKed). */
struct minute_table *horizon_page_head(struct horizon *h, const struct minute_head *head);

/* All of the table is in the store as it is: frees rows and keys. It must be untouched since the
 * last cut (CHECKed). */
void horizon_page_out(struct horizon *h, struct minute_table *t);

/* Only the store can say whether it has this key, this ad's row. */
bool horizon_page_lacks_key(const struct minute_table *t, const uint8_t key[HASH_CLICK_BYTES]);
bool horizon_page_lacks_row(struct minute_table *t, uint64_t ad_hash);

/* The store has the key: it comes into the table, so that the next one is known as a repeat. */
void horizon_page_key(struct horizon *h, struct minute_table *t,
                      const uint8_t key[HASH_CLICK_BYTES]);
/* The store has the row: it comes into the table, where it is not (CHECKed), and leaves the rest.
 * ERR_KV_CORRUPT: the store holds more than its head says. */
enum err WARN_UNUSED horizon_page_row(struct horizon *h, struct minute_table *t,
                                      const struct minute_row *row);
