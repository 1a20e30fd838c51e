/* SPDX-License-Identifier: Apache-2.0
 * sim_oracle: what is true: which clicks exist, which were accepted, under which numbers, and what
 * may be missing. Plain arrays; shares no code with the product. Audience: tests/sim. */
#pragma once

#include "common/base/base.h"

#define SIM_MINUTES        3200 /* that the oracle counts; a day before the start, a day after */
#define SIM_MINUTES_BEFORE 1500

enum sim_identity { SIM_BY_CLICK_ID, SIM_BY_IDEMPOTENCY_KEY, SIM_BY_FIELDS };

struct sim_click {
    uint32_t ad, user;
    enum sim_identity identity;
    uint32_t id;    /* of that kind */
    uint32_t index; /* in the batch: part of an Idempotency-Key */
    uint64_t timestamp_ms;
    uint32_t minute;               /* from the oracle's first minute */
    uint32_t home;                 /* region */
    uint32_t edge;                 /* of the first send */
    bool names_home, sends_fields; /* the request says "home"; ip and agent */
    bool settled;                  /* its client wants no more */
    uint32_t sends;
    uint32_t stored; /* attempts that were committed */
};

/* One number of a line. */
struct sim_attempt {
    uint32_t click;    /* UINT32_MAX: none */
    uint64_t clock_ms; /* highest time that its edge had read when it was committed */
};

/* One (edge, opening of its spool, home, partition). */
struct sim_line {
    uint32_t count, capacity;
    struct sim_attempt *attempts; /* index = number */
    bool lost;      /* numbers that no store holds any more: those not folded are excused, */
    uint64_t safe;  /* but for these, which a reader had promised, */
    uint64_t acked; /* and for these, if the streams kept what they acknowledged */
    bool blurred; /* a replica that may have told of more was replaced: those may be counted, too */
};

struct sim_incarnation {
    uint32_t edge;
    uint64_t epoch;
    struct sim_line *lines; /* [home * partitions + partition] */
    bool written_off;
    bool unwaited; /* its edge was given up: minutes may close without it until it is heard again */
};

struct sim_oracle {
    uint32_t regions, partitions;
    uint32_t click_count, click_capacity;
    struct sim_click *clicks;
    uint32_t incarnation_count, incarnation_capacity;
    struct sim_incarnation *incarnations;
    uint32_t attempts;
    uint32_t *upper; /* [ad * SIM_MINUTES + minute]: distinct clicks with a committed attempt */
};

void sim_oracle_init(struct sim_oracle *o, uint32_t regions, uint32_t partitions, uint32_t ads);
void sim_oracle_done(struct sim_oracle *o);
uint32_t sim_oracle_click(struct sim_oracle *o, const struct sim_click *click);
uint32_t sim_oracle_incarnation(struct sim_oracle *o, uint32_t edge, uint64_t epoch);
struct sim_line *sim_oracle_line(struct sim_oracle *o, uint32_t incarnation, uint32_t home,
                                 uint32_t partition);
/* An edge has committed the click under this number. */
void sim_oracle_stored(struct sim_oracle *o, uint32_t incarnation, uint32_t home,
                       uint32_t partition, uint64_t number, uint32_t click, uint64_t clock_ms);

/* How far a line was folded: by every replica, and by some replica. */
struct sim_floors {
    uint64_t all, some;
};

/* Bounds of what must be counted in the end. A click whose edge had not heard that the map has
 * grown may be in a partition that carries it. */
struct sim_bounds {
    uint32_t *low, *high; /* [ad * SIM_MINUTES + minute] */
};
void sim_oracle_bounds(const struct sim_oracle *o, uint32_t ads,
                       struct sim_floors (*floors_of)(void *context,
                                                      const struct sim_incarnation *inc,
                                                      uint32_t home, uint32_t partition),
                       bool (*is_placed)(void *context, const struct sim_click *click,
                                         uint32_t home, uint32_t partition),
                       void *context, struct sim_bounds *out);
