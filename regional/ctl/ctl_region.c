/* SPDX-License-Identifier: Apache-2.0
 * ctl_region: ask, look, say again. Nothing that is said twice does harm: numbers see to it. */
#include "regional/ctl/ctl_region.h"

#include "common/run/bus_nats.h"
#include "common/run/clock_os.h"
#include "common/run/options.h"
#include "proto/subject.h"
#include "regional/ctl/ctl_base.h"

#include <stdio.h>
#include <stdlib.h>

#define CONNECT_MS 10000u
#define ANSWER_MS  400u
#define APPLY_MS   30000u

static uint64_t now_ms(void)
{
    return clock_os()->mono_ms(clock_os());
}

/* Waits for one of two events; false at the deadline. */
static bool wait_event(struct ctl_region *t, enum bus_event_kind kind, enum bus_event_kind other,
                       uint64_t deadline_ms, struct bus_event *out)
{
    for (;;) {
        while (bus_poll(t->bus, out)) {
            if (out->kind == kind || out->kind == other)
                return true;
        }
        uint64_t now = now_ms();
        if (now >= deadline_ms)
            return false;
        (void)wake_wait(t->wake, (uint32_t)(deadline_ms - now));
    }
}

int ctl_region_open(struct ctl_region *t, const char *config_path)
{
    char *error = NULL;
    struct buf password = {0};
    if (regional_options_load(config_path, &t->options, &error) != ERR_OK) {
        int code = ctl_fail(EXIT_CODE_CONFIG, error, "");
        free(error);
        return code;
    }
    const struct regional_options_nats *nats = &t->options->nats;
    if (nats->password_file != NULL) {
        if (options_secret(nats->password_file, 256, &password, &error) != ERR_OK) {
            int code = ctl_fail(EXIT_CODE_CONFIG, error, "");
            free(error);
            return code;
        }
        buf_put_u8(&password, '\0');
    }
    t->wake = wake_new();
    struct bus_nats_options options = {
        .url = nats->url,
        .user = nats->user,
        .password = nats->password_file == NULL ? NULL : (const char *)password.data,
        .name = "tributaryctl",
        .domain = nats->domain,
        .notify = wake_signal,
        .notify_context = t->wake,
    };
    enum err err = bus_nats_open(&options, &t->bus);
    if (password.data != NULL)
        explicit_bzero(password.data, password.capacity);
    buf_done(&password);
    struct bus_event e;
    if (err != ERR_OK)
        return ctl_fail(EXIT_CODE_CONFIG, err_words(err), "");
    if (!wait_event(t, BUS_UP, BUS_UP, now_ms() + CONNECT_MS, &e))
        return ctl_fail(EXIT_CODE_TEMPORARY, "no answer from ", nats->url);
    return 0;
}

static void drop_rosters(struct ctl_region *t)
{
    for (unsigned i = 0; i < t->roster_count; i++)
        roster_done(&t->rosters[i]);
    t->roster_count = 0;
}

static int by_replica(const void *left, const void *right)
{
    const struct roster *a = left, *b = right;
    return strcmp(a->replica, b->replica);
}

/* Asks all replicas. How many there are is not known: the first time waits for whoever answers,
 * later ones until as many have answered again. */
void ctl_region_ask(struct ctl_region *t)
{
    struct bus_nats_reply replies[CTL_REGION_REPLICAS_MAX] = {0};
    struct subject subject = subject_roster(t->options->region);
    unsigned expected = t->roster_count == 0 ? CTL_REGION_REPLICAS_MAX : t->roster_count;
    drop_rosters(t);
    unsigned count =
        bus_nats_request(t->bus, subject.text, span_of_text("?"), replies, expected, ANSWER_MS);
    for (unsigned i = 0; i < count; i++) {
        if (roster_read(&t->rosters[t->roster_count], buf_span(&replies[i].data)) == ERR_OK)
            t->roster_count++;
        buf_done(&replies[i].data);
    }
    qsort(t->rosters, t->roster_count, sizeof(t->rosters[0]), by_replica);
}

struct state_of_partition {
    bool known; /* some replica answers for it */
    uint64_t floor_max;
    uint64_t floor_min;
    bool nonce_is_seen;   /* everywhere */
    bool nonce_is_beaten; /* another took the number */
};

static void look_at(const struct ctl_region *t, uint16_t partition, uint64_t number, uint64_t nonce,
                    struct state_of_partition *out)
{
    *out = (struct state_of_partition){.floor_min = UINT64_MAX, .nonce_is_seen = true};
    for (unsigned r = 0; r < t->roster_count; r++) {
        for (uint32_t p = 0; p < t->rosters[r].part_count; p++) {
            const struct roster_part *part = &t->rosters[r].parts[p];
            if (part->partition != partition || part->stopped)
                continue;
            out->known = true;
            out->floor_max = base_max_u64(out->floor_max, part->control_floor);
            out->floor_min = base_min_u64(out->floor_min, part->control_floor);
            const struct fold_applied *applied = &part->applied[number % FOLD_APPLIED];
            bool passed = part->control_floor > number;
            bool ours = passed && applied->number == number && applied->nonce == nonce;
            out->nonce_is_seen = out->nonce_is_seen && ours;
            out->nonce_is_beaten = out->nonce_is_beaten || (passed && !ours);
        }
    }
}

static bool publish(struct ctl_region *t, struct control_message m, uint16_t partition,
                    uint64_t number, uint64_t nonce)
{
    m.number = number;
    m.nonce = nonce;
    struct buf message = {0};
    control_write(&message, &m);
    struct subject to = subject_control(t->options->region, partition);
    struct bus_event e = {.kind = BUS_NACK};
    bool sent = bus_publish(t->bus, to.text, NULL, buf_span(&message), 1) == ERR_OK;
    buf_done(&message);
    /* Stored or unknown: the roster tells. A second copy of the same number and nonce is a repeat.
     */
    return sent && wait_event(t, BUS_ACK, BUS_NACK, now_ms() + CONNECT_MS, &e) && e.kind == BUS_ACK;
}

/* The message under way in one partition. */
struct errand {
    bool numbered, stored, applied;
    uint64_t number, nonce;
};

/* One look at the rosters, one step on; true when every replica that answers has applied it. */
static bool advance(struct ctl_region *t, const struct control_message *m, struct errand *e,
                    uint16_t partition)
{
    struct state_of_partition state;
    look_at(t, partition, e->number, e->nonce, &state);
    if (!state.known)
        return false;
    if (e->numbered && state.nonce_is_seen)
        return true;
    if (!e->numbered || state.nonce_is_beaten) {
        clock_os()->random(clock_os(), &e->nonce, sizeof(e->nonce));
        e->number = state.floor_max;
        e->numbered = true;
        e->stored = false;
    }
    if (!e->stored)
        e->stored = publish(t, *m, partition, e->number, e->nonce);
    return false;
}

uint16_t ctl_region_apply(struct ctl_region *t, const struct control_message *message,
                          uint16_t first, uint16_t last)
{
    CHECK(last <= LIMIT_PARTITIONS);
    struct errand *errands = base_zalloc(LIMIT_PARTITIONS, sizeof(*errands));
    uint64_t deadline_ms = now_ms() + APPLY_MS;
    while (first < last && now_ms() < deadline_ms) {
        ctl_region_ask(t);
        for (uint16_t p = first; p < last; p++) {
            if (!errands[p].applied)
                errands[p].applied = advance(t, message, &errands[p], p);
        }
        while (first < last && errands[first].applied)
            first++;
    }
    free(errands);
    return first;
}

int ctl_region_not_applied(uint16_t partition)
{
    char text[8];
    (void)snprintf(text, sizeof(text), "%u", partition);
    return ctl_fail(EXIT_CODE_TEMPORARY,
                    "not known to be applied by every replica; say it again (harmless). First "
                    "partition without: ",
                    text);
}

void ctl_region_close(struct ctl_region *t)
{
    drop_rosters(t);
    if (t->bus != NULL)
        bus_nats_close(t->bus);
    wake_free(t->wake);
    regional_options_free(t->options);
    *t = (struct ctl_region){0};
}
