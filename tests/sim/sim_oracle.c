/* SPDX-License-Identifier: Apache-2.0
 * sim_oracle: arrays and nothing clever. */
#include "tests/sim/sim_oracle.h"

#include <stdlib.h>

void sim_oracle_init(struct sim_oracle *o, uint32_t regions, uint32_t partitions, uint32_t ads)
{
    *o = (struct sim_oracle){.regions = regions, .partitions = partitions};
    o->upper = base_zalloc((size_t)ads * SIM_MINUTES, sizeof(*o->upper));
}

void sim_oracle_done(struct sim_oracle *o)
{
    for (uint32_t i = 0; i < o->incarnation_count; i++) {
        for (uint32_t l = 0; l < o->regions * o->partitions; l++)
            free(o->incarnations[i].lines[l].attempts);
        free(o->incarnations[i].lines);
    }
    free(o->incarnations);
    free(o->clicks);
    free(o->upper);
}

uint32_t sim_oracle_click(struct sim_oracle *o, const struct sim_click *click)
{
    if (o->click_count == o->click_capacity) {
        o->click_capacity = o->click_capacity == 0 ? 256 : o->click_capacity * 2;
        o->clicks = base_realloc(o->clicks, o->click_capacity * sizeof(*o->clicks));
    }
    CHECK(click->minute < SIM_MINUTES);
    o->clicks[o->click_count] = *click;
    return o->click_count++;
}

uint32_t sim_oracle_incarnation(struct sim_oracle *o, uint32_t edge, uint64_t epoch)
{
    if (o->incarnation_count == o->incarnation_capacity) {
        o->incarnation_capacity = o->incarnation_capacity == 0 ? 16 : o->incarnation_capacity * 2;
        o->incarnations =
            base_realloc(o->incarnations, o->incarnation_capacity * sizeof(*o->incarnations));
    }
    o->incarnations[o->incarnation_count] = (struct sim_incarnation){
        .edge = edge,
        .epoch = epoch,
        .lines = base_zalloc((size_t)o->regions * o->partitions, sizeof(struct sim_line))};
    return o->incarnation_count++;
}

struct sim_line *sim_oracle_line(struct sim_oracle *o, uint32_t incarnation, uint32_t home,
                                 uint32_t partition)
{
    CHECK(incarnation < o->incarnation_count && home < o->regions && partition < o->partitions);
    return &o->incarnations[incarnation].lines[home * o->partitions + partition];
}

void sim_oracle_stored(struct sim_oracle *o, uint32_t incarnation, uint32_t home,
                       uint32_t partition, uint64_t number, uint32_t click, uint64_t clock_ms)
{
    struct sim_line *line = sim_oracle_line(o, incarnation, home, partition);
    CHECK(number < 1u << 24 && click < o->click_count);
    if (number >= line->capacity) {
        line->capacity = (uint32_t)number + 1 + line->capacity;
        line->attempts = base_realloc(line->attempts, line->capacity * sizeof(*line->attempts));
    }
    for (; line->count < number; line->count++)
        line->attempts[line->count] = (struct sim_attempt){UINT32_MAX, clock_ms};
    line->attempts[number] = (struct sim_attempt){click, clock_ms};
    if (line->count == number)
        line->count++;
    struct sim_click *c = &o->clicks[click];
    if (c->stored++ == 0)
        o->upper[c->ad * SIM_MINUTES + c->minute]++;
    o->attempts++;
}

/* Two replicas that each hold lost clicks which the other lacks: the maximum of their counts is not
 * the union. */
static void judge(const struct sim_line *line, struct sim_floors floors, const uint8_t *misplaced,
                  uint8_t *sure, uint8_t *maybe)
{
    for (uint32_t n = 0; n < line->count; n++) {
        uint32_t click = line->attempts[n].click;
        if (click == UINT32_MAX)
            continue;
        if (!line->lost || n < floors.some || line->blurred)
            maybe[click] = 1;
        if ((!line->lost || n < floors.all) && !misplaced[click])
            sure[click] = 1;
    }
}

void sim_oracle_bounds(const struct sim_oracle *o, uint32_t ads,
                       struct sim_floors (*floors_of)(void *context,
                                                      const struct sim_incarnation *inc,
                                                      uint32_t home, uint32_t partition),
                       bool (*is_placed)(void *context, const struct sim_click *click,
                                         uint32_t home, uint32_t partition),
                       void *context, struct sim_bounds *out)
{
    uint8_t *misplaced = base_zalloc(o->click_count + 1, 1);
    uint8_t *sure = base_zalloc(o->click_count + 1, 1), *maybe = base_zalloc(o->click_count + 1, 1);
    out->low = base_zalloc((size_t)ads * SIM_MINUTES, sizeof(*out->low));
    out->high = base_zalloc((size_t)ads * SIM_MINUTES, sizeof(*out->high));
    for (uint32_t i = 0; i < o->incarnation_count; i++) {
        const struct sim_incarnation *inc = &o->incarnations[i];
        for (uint32_t l = 0; l < o->regions * o->partitions; l++) {
            const struct sim_line *line = &inc->lines[l];
            uint32_t home = l / o->partitions, partition = l % o->partitions;
            struct sim_floors floors = {0};
            if (line->lost)
                floors = floors_of(context, inc, home, partition);
            for (uint32_t c = 0; c < o->click_count; c++)
                misplaced[c] = !is_placed(context, &o->clicks[c], home, partition);
            judge(line, floors, misplaced, sure, maybe);
        }
    }
    for (uint32_t c = 0; c < o->click_count; c++) {
        uint32_t at = o->clicks[c].ad * SIM_MINUTES + o->clicks[c].minute;
        out->low[at] += sure[c];
        out->high[at] += maybe[c];
    }
    free(misplaced);
    free(sure);
    free(maybe);
}
