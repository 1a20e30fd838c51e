/* SPDX-License-Identifier: Apache-2.0 */
#include "common/run/abuse_budget.h"

#define THOUSANDTHS 1000u

static const struct {
    const char *name;
    uint64_t burst;
    uint64_t per_second;
} kinds[] = {
#define ABUSE_ROW(kind, burst, per_second) {#kind, (burst), (per_second)},
    ABUSE_TABLE(ABUSE_ROW)
#undef ABUSE_ROW
};

_Static_assert(countof(kinds) == ABUSE_KINDS, "one row per kind");

void abuse_budget_init(struct abuse_budget *b, uint64_t now_ms)
{
    for (unsigned kind = 0; kind < ABUSE_KINDS; kind++) {
        b->filled_ms[kind] = now_ms;
        b->left[kind] = kinds[kind].burst * THOUSANDTHS;
    }
}

bool abuse_budget_spend(struct abuse_budget *b, enum abuse_kind kind, uint64_t amount,
                        uint64_t now_ms)
{
    CHECK((unsigned)kind < ABUSE_KINDS);
    uint64_t full = kinds[kind].burst * THOUSANDTHS;

    if (now_ms > b->filled_ms[kind]) {
        uint64_t passed_ms = now_ms - b->filled_ms[kind];
        /* per_second a second is per_second thousandths a millisecond; an hour fills any bucket
         * and keeps the product far from wrapping */
        uint64_t gained = base_min_u64(passed_ms, 3600u * 1000u) * kinds[kind].per_second;
        b->left[kind] = base_min_u64(full, b->left[kind] + gained);
        b->filled_ms[kind] = now_ms;
    }
    if (amount > b->left[kind] / THOUSANDTHS) {
        b->left[kind] = 0;
        return false;
    }
    b->left[kind] -= amount * THOUSANDTHS;
    return true;
}

const char *abuse_kind_name(enum abuse_kind kind)
{
    CHECK((unsigned)kind < ABUSE_KINDS);
    return kinds[kind].name;
}

const char *abuse_kind_token(enum abuse_kind kind)
{
    static const char *const tokens[] = {
        [ABUSE_RESET_RECEIVED] = "reset_received",
        [ABUSE_RESET_SENT] = "reset_sent",
        [ABUSE_SETTINGS] = "settings",
        [ABUSE_PING] = "ping",
        [ABUSE_PRIORITY] = "priority",
        [ABUSE_EMPTY_DATA] = "empty_data",
        [ABUSE_CONTINUATION] = "continuation",
        [ABUSE_WINDOW_UPDATE] = "window_update",
        [ABUSE_HEADER_BYTES] = "header_bytes",
        [ABUSE_HEADER_EXCESS] = "header_excess",
        [ABUSE_UNKNOWN_FRAME] = "unknown_frame",
    };
    _Static_assert(countof(tokens) == ABUSE_KINDS, "one for each kind");
    CHECK((unsigned)kind < ABUSE_KINDS && tokens[kind] != NULL);
    return tokens[kind];
}

/* RFC 9113, 4.1 and 6; RFC 9218, 7.1. */
enum {
    FRAME_DATA,
    FRAME_HEADERS,
    FRAME_PRIORITY,
    FRAME_RST_STREAM,
    FRAME_SETTINGS,
    FRAME_PUSH_PROMISE,
    FRAME_PING,
    FRAME_GOAWAY,
    FRAME_WINDOW_UPDATE,
    FRAME_CONTINUATION,
    FRAME_PRIORITY_UPDATE = 0x10
};
#define FLAG_ACK        0x1
#define FLAG_END_STREAM 0x1
#define PREFACE_BYTES   24

void abuse_meter_init(struct abuse_meter *m)
{
    *m = (struct abuse_meter){.skip = PREFACE_BYTES};
}

/* False for frames that cost nothing by themselves. */
static bool kind_of(uint8_t type, uint8_t flags, uint32_t length, enum abuse_kind *out)
{
    switch (type) {
    case FRAME_DATA:
        *out = ABUSE_EMPTY_DATA;
        return length == 0 && !(flags & FLAG_END_STREAM);
    case FRAME_HEADERS: /* charged by what it decodes to */
        return false;
    case FRAME_PRIORITY:
    case FRAME_PRIORITY_UPDATE:
        *out = ABUSE_PRIORITY;
        return true;
    case FRAME_RST_STREAM:
        *out = ABUSE_RESET_RECEIVED;
        return true;
    case FRAME_SETTINGS:
        *out = ABUSE_SETTINGS;
        return !(flags & FLAG_ACK);
    case FRAME_PING:
        *out = ABUSE_PING;
        return !(flags & FLAG_ACK);
    case FRAME_WINDOW_UPDATE:
        *out = ABUSE_WINDOW_UPDATE;
        return true;
    case FRAME_CONTINUATION:
        *out = ABUSE_CONTINUATION;
        return true;
    default:
        *out = ABUSE_UNKNOWN_FRAME;
        return true;
    }
}

bool abuse_meter_next(struct abuse_meter *m, struct span *bytes, enum abuse_kind *out_kind)
{
    while (bytes->length > 0) {
        if (m->skip > 0) {
            uint32_t eaten = (uint32_t)base_min_u64(m->skip, bytes->length);
            m->skip -= eaten;
            bytes->data += eaten;
            bytes->length -= eaten;
            continue;
        }
        m->head[m->head_bytes++] = *bytes->data++;
        bytes->length--;
        if (m->head_bytes < sizeof(m->head))
            continue;
        m->head_bytes = 0;
        m->skip = (uint32_t)m->head[0] << 16 | (uint32_t)m->head[1] << 8 | m->head[2];
        if (kind_of(m->head[3], m->head[4], m->skip, out_kind))
            return true;
    }
    return false;
}
