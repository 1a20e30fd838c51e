/* SPDX-License-Identifier: Apache-2.0
 * want_list: what the globe still has to ask a replica for, and when. */
#include "global/core/want_list.h"

#include <stdlib.h>
#include <string.h>

void want_list_clear(struct want_list *list)
{
    list->count = 0;
}

void want_list_done(struct want_list *list)
{
    free(list->entries);
    *list = (struct want_list){0};
}

static int compare(const struct want_list_entry *e, uint16_t region, uint16_t partition,
                   enum want_list_kind kind, uint64_t what)
{
    if (e->region != region)
        return e->region < region ? -1 : 1;
    if (e->partition != partition)
        return e->partition < partition ? -1 : 1;
    if (e->kind != kind)
        return e->kind < kind ? -1 : 1;
    if (e->what != what)
        return e->what < what ? -1 : 1;
    return 0;
}

/* Index of the first entry that is not before the key. */
static uint32_t lower_bound(const struct want_list *list, uint16_t region, uint16_t partition,
                            enum want_list_kind kind, uint64_t what)
{
    uint32_t low = 0;
    uint32_t high = list->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare(&list->entries[middle], region, partition, kind, what) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct want_list *list, uint32_t index, uint16_t region, uint16_t partition,
                  enum want_list_kind kind, uint64_t what)
{
    return index < list->count &&
           compare(&list->entries[index], region, partition, kind, what) == 0;
}

bool want_list_add(struct want_list *list, const struct want_list_entry *entry)
{
    uint32_t at = lower_bound(list, entry->region, entry->partition, entry->kind, entry->what);
    if (is_at(list, at, entry->region, entry->partition, entry->kind, entry->what)) {
        struct want_list_entry *known = &list->entries[at];
        bool changed = known->held != entry->held || strcmp(known->replica, entry->replica) != 0;
        if (known->held && !entry->held) {
            known->due_ms = entry->due_ms;
            known->delay_ms = WANT_LIST_FIRST_MS;
        }
        known->held = entry->held;
        memcpy(known->replica, entry->replica, sizeof(known->replica));
        return changed;
    }
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 64 : list->capacity * 2;
        list->entries = base_realloc(list->entries, list->capacity * sizeof(list->entries[0]));
    }
    memmove(list->entries + at + 1, list->entries + at,
            (list->count - at) * sizeof(list->entries[0]));
    list->entries[at] = *entry;
    list->entries[at].delay_ms = WANT_LIST_FIRST_MS;
    list->count++;
    return true;
}

bool want_list_remove(struct want_list *list, uint16_t region, uint16_t partition,
                      enum want_list_kind kind, uint64_t what)
{
    uint32_t at = lower_bound(list, region, partition, kind, what);
    if (!is_at(list, at, region, partition, kind, what))
        return false;
    list->count--;
    memmove(list->entries + at, list->entries + at + 1,
            (list->count - at) * sizeof(list->entries[0]));
    return true;
}

const struct want_list_entry *want_list_find(const struct want_list *list, uint16_t region,
                                             uint16_t partition, enum want_list_kind kind,
                                             uint64_t what)
{
    uint32_t at = lower_bound(list, region, partition, kind, what);
    return is_at(list, at, region, partition, kind, what) ? &list->entries[at] : NULL;
}

const struct want_list_entry *want_list_first(const struct want_list *list, uint16_t region,
                                              uint16_t partition, enum want_list_kind kind)
{
    uint32_t at = lower_bound(list, region, partition, kind, 0);
    if (at == list->count)
        return NULL;
    const struct want_list_entry *e = &list->entries[at];
    bool found = e->region == region && e->partition == partition && e->kind == kind;
    return found ? e : NULL;
}

const struct want_list_entry *want_list_held(const struct want_list *list, uint16_t region,
                                             uint16_t partition)
{
    for (uint32_t i = lower_bound(list, region, partition, WANT_LIST_MINUTE, 0);
         i < list->count && list->entries[i].region == region &&
         list->entries[i].partition == partition && list->entries[i].kind == WANT_LIST_MINUTE;
         i++)
        if (list->entries[i].held)
            return &list->entries[i];
    return NULL;
}

static bool is_due(const struct want_list_entry *e, uint64_t now_ms)
{
    return !e->held && e->due_ms <= now_ms;
}

static bool fits(const struct want_message *m, const struct want_list_entry *e)
{
    return e->kind == WANT_LIST_MINUTE ? m->minute_count < WANT_LIST_ASK_MINUTES
                                       : m->name_count < WANT_NAMES_MAX;
}

bool want_list_take(struct want_list *list, uint64_t now_ms, uint16_t *out_region,
                    struct want_message *out)
{
    const struct want_list_entry *first = NULL;
    for (uint32_t i = 0; i < list->count; i++) {
        struct want_list_entry *e = &list->entries[i];
        if (!is_due(e, now_ms))
            continue;
        if (first == NULL) {
            first = e;
            *out_region = e->region;
            out->partition = e->partition;
            out->minute_count = 0;
            out->name_count = 0;
            memcpy(out->replica, e->replica, sizeof(out->replica));
        }
        if (e->region != *out_region || e->partition != out->partition)
            break; /* sorted: nothing of this partition follows */
        if (strcmp(e->replica, out->replica) != 0 || !fits(out, e))
            continue;
        if (e->kind == WANT_LIST_MINUTE)
            out->minutes[out->minute_count++] = (uint32_t)e->what;
        else
            out->names[out->name_count++] = e->what;
        e->due_ms = now_ms + e->delay_ms;
        e->delay_ms = (uint32_t)base_min_u64((uint64_t)e->delay_ms * 2, WANT_LIST_LAST_MS);
    }
    return first != NULL;
}

uint32_t want_list_idle_ms(const struct want_list *list, uint64_t now_ms)
{
    uint64_t idle = UINT32_MAX;
    for (uint32_t i = 0; i < list->count; i++) {
        const struct want_list_entry *e = &list->entries[i];
        if (e->held)
            continue;
        idle = base_min_u64(idle, e->due_ms > now_ms ? e->due_ms - now_ms : 0);
    }
    return (uint32_t)idle;
}

uint32_t want_list_count(const struct want_list *list, enum want_list_kind kind, bool held)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < list->count; i++)
        count += list->entries[i].kind == kind && list->entries[i].held == held;
    return count;
}
