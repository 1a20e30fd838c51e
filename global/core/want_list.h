/* SPDX-License-Identifier: Apache-2.0
 * want_list: what the globe still has to ask a replica for, and when: whole minutes and names of
 * ads. Audience: global core, drivers, tests. Pure; time is an argument. One thread at a time per
 * object.
 *
 * An entry is asked for at once or after a delay, again after WANT_LIST_FIRST_MS, doubling up to
 * WANT_LIST_LAST_MS, until it is removed. A held entry is not asked for until it is released. The
 * store holds the same set (without the times), so that a restart forgets nothing. */
#pragma once

#include "common/base/base.h"
#include "proto/want.h"

#define WANT_LIST_FIRST_MS    2000u
#define WANT_LIST_LAST_MS     60000u
#define WANT_LIST_ASK_MINUTES 120u /* in one message: an answer holds all their rows */

enum want_list_kind { WANT_LIST_MINUTE = 1, WANT_LIST_NAME = 2 };

struct want_list_entry {
    uint16_t region; /* the store's id */
    uint16_t partition;
    enum want_list_kind kind;
    uint64_t what; /* minute, or hash of the ad */
    char replica[LIMIT_READER_NAME_BYTES + 1];
    bool held;
    uint32_t delay_ms; /* until the asking after the next */
    uint64_t due_ms;
};

/* Zero-initialised is empty and valid; want_list_done frees. */
struct want_list {
    struct want_list_entry *entries; /* sorted by region, partition, kind, what */
    uint32_t count, capacity;
};

void want_list_clear(struct want_list *list);
void want_list_done(struct want_list *list);

/* Adds an entry, due at `due_ms`, or changes the one that is there: a change of replica or from
 * held to not held takes effect, times of an entry that stays as it is are kept. Returns true if
 * the store must be told. */
bool want_list_add(struct want_list *list, const struct want_list_entry *entry);

/* Returns true if it was there (the store must be told). */
bool want_list_remove(struct want_list *list, uint16_t region, uint16_t partition,
                      enum want_list_kind kind, uint64_t what);

const struct want_list_entry *want_list_find(const struct want_list *list, uint16_t region,
                                             uint16_t partition, enum want_list_kind kind,
                                             uint64_t what);

/* The entry of that kind with the lowest `what` of a partition, or NULL. */
const struct want_list_entry *want_list_first(const struct want_list *list, uint16_t region,
                                              uint16_t partition, enum want_list_kind kind);

/* First held entry of a partition, or NULL. The caller releases by want_list_add with held = false.
 */
const struct want_list_entry *want_list_held(const struct want_list *list, uint16_t region,
                                             uint16_t partition);

/* Collects due entries of one (region, partition, replica) into *out (minutes, names, partition,
 * replica; the region's name is the caller's to fill in) and sets *out_region; each gets its next,
 * later time. False if nothing is due. */
bool want_list_take(struct want_list *list, uint64_t now_ms, uint16_t *out_region,
                    struct want_message *out);

/* Milliseconds until the next entry is due; UINT32_MAX: never. */
uint32_t want_list_idle_ms(const struct want_list *list, uint64_t now_ms);

/* Entries of that kind. */
uint32_t want_list_count(const struct want_list *list, enum want_list_kind kind, bool held);
