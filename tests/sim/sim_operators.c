/* SPDX-License-Identifier: Apache-2.0
 * sim_operators: enrol, write off, retire: numbered control messages, said again until every
 * replica has them. */
#include "proto/control.h"
#include "proto/subject.h"
#include "tests/sim/sim_world.h"

#include <stdlib.h>

#define STEP_MS  1000u
#define AGAIN_MS 3000u

static const char *const region_names[SIM_REGIONS] = {"us", "eu", "ap"};

struct order {
    struct control_message message;
    bool placed; /* some replica has applied it under its number */
    uint64_t said_ms;
};

/* Orders of one partition, in the order in which they were given. */
struct sim_operator {
    struct bus_port *bus;
    uint32_t order_count[SIM_PARTITIONS], order_capacity[SIM_PARTITIONS];
    struct order *orders[SIM_PARTITIONS];
    uint32_t grow_from; /* minute of the step that was said last; 0: none */
};

void sim_operators_init(struct sim_world *w)
{
    w->operators = base_zalloc(w->plan.regions, sizeof(*w->operators));
    for (uint32_t i = 0; i < w->plan.regions; i++)
        w->operators[i].bus = sim_bus_client(w->servers[i].bus);
}

void sim_operators_done(struct sim_world *w)
{
    for (uint32_t i = 0; i < w->plan.regions; i++)
        for (uint32_t p = 0; p < SIM_PARTITIONS; p++)
            free(w->operators[i].orders[p]);
    free(w->operators);
}

static struct order *add_order(struct sim_world *w, uint32_t region, uint32_t partition,
                               enum control_kind kind)
{
    struct sim_operator *o = &w->operators[region];
    uint32_t *count = &o->order_count[partition];
    if (*count == o->order_capacity[partition]) {
        o->order_capacity[partition] = *count == 0 ? 8 : *count * 2;
        o->orders[partition] =
            base_realloc(o->orders[partition], o->order_capacity[partition] * sizeof(struct order));
    }
    struct order *order = &o->orders[partition][(*count)++];
    *order = (struct order){.message = {.nonce = rng_next(&w->rng), .kind = kind}};
    return order;
}

static void give(struct sim_world *w, uint32_t region, uint32_t partition, enum control_kind kind,
                 uint32_t edge, uint64_t epoch)
{
    struct order *order = add_order(w, region, partition, kind);
    order->message.epoch = epoch;
    (void)snprintf(order->message.edge, sizeof(order->message.edge), "edge-%u", edge);
    static const char *const words[] = {"", "enrol", "retire", "write off"};
    sim_trace(w, "operator", "%s edge-%u epoch %016llx in %s partition %u", words[kind], edge,
              (unsigned long long)epoch, region_names[region], partition);
}

static void give_all(struct sim_world *w, enum control_kind kind, uint32_t edge, uint64_t epoch)
{
    for (uint32_t region = 0; region < w->plan.regions; region++)
        for (uint32_t p = 0; p < w->plan.partitions; p++)
            give(w, region, p, kind, edge, epoch);
}

void sim_operators_enrol(struct sim_world *w, uint32_t edge)
{
    give_all(w, CONTROL_ENROL, edge, 0);
}

void sim_operators_write_off(struct sim_world *w, uint32_t edge, uint64_t epoch)
{
    give_all(w, CONTROL_WRITE_OFF, edge, epoch);
    if (epoch == 0)
        w->edges[edge].given_up_ms = w->now_ms;
    for (uint32_t i = 0; i < w->oracle.incarnation_count; i++) {
        struct sim_incarnation *inc = &w->oracle.incarnations[i];
        if (inc->edge == edge && (epoch == 0 || inc->epoch == epoch))
            inc->written_off = true;
    }
}

void sim_operators_retire(struct sim_world *w, uint32_t edge)
{
    give_all(w, CONTROL_RETIRE, edge, 0);
}

static const struct fold *fold_of(const struct sim_replica *r, uint32_t region, uint32_t partition)
{
    return r->region == region && r->process.up && r->replica != NULL
               ? replica_fold(r->replica, partition)
               : NULL;
}

static bool applied(const struct fold *f, const struct control_message *m)
{
    const struct fold_applied *a = &f->applied[m->number % FOLD_APPLIED];
    return f->control_floor > m->number && (f->control_floor > m->number + FOLD_APPLIED ||
                                            (a->number == m->number && a->nonce == m->nonce));
}

static void say(struct sim_world *w, uint32_t region, uint32_t partition, struct order *order)
{
    if (order->said_ms != 0 && w->now_ms < order->said_ms + AGAIN_MS)
        return;
    struct buf message = {0};
    struct subject to = subject_control(region_names[region], (uint16_t)partition);
    control_write(&message, &order->message);
    (void)bus_publish(w->operators[region].bus, to.text, NULL, buf_span(&message), 0);
    buf_done(&message);
    order->said_ms = w->now_ms;
}

/* One partition: the first order that is not placed takes the highest floor as its number; orders
 * that are placed are said again for a replica that lacks them. Returns whether all is well. */
static bool see_to(struct sim_world *w, uint32_t region, uint32_t partition)
{
    struct sim_operator *o = &w->operators[region];
    uint64_t highest = 0, lowest = UINT64_MAX;
    for (uint32_t i = 0; i < w->replica_count; i++) {
        const struct fold *f = fold_of(&w->replicas[i], region, partition);
        if (f == NULL)
            continue;
        highest = base_max_u64(highest, f->control_floor);
        lowest = base_min_u64(lowest, f->control_floor);
        for (uint32_t n = 0; n < o->order_count[partition]; n++) {
            struct order *order = &o->orders[partition][n];
            order->placed |= order->said_ms != 0 && applied(f, &order->message);
        }
    }
    /* Who has it may be down, and the stream may have lost it: its number stays taken. */
    for (uint32_t n = 0; n < o->order_count[partition]; n++) {
        if (o->orders[partition][n].placed)
            highest = base_max_u64(highest, o->orders[partition][n].message.number + 1);
    }
    bool well = true;
    for (uint32_t n = 0; n < o->order_count[partition]; n++) {
        struct order *order = &o->orders[partition][n];
        if (order->placed && order->message.number == lowest && lowest < highest) {
            say(w, region, partition, order);
            well = false;
        }
        if (order->placed)
            continue;
        if (lowest != UINT64_MAX && order->message.number != highest) {
            order->message.number = highest;
            order->said_ms = 0;
        }
        if (lowest != UINT64_MAX)
            say(w, region, partition, order);
        return false;
    }
    return well;
}

static bool is_ordered(const struct sim_operator *o, uint32_t partition,
                       const struct control_message *message)
{
    for (uint32_t n = 0; n < o->order_count[partition]; n++) {
        const struct order *order = &o->orders[partition][n];
        if (!order->placed && order->message.kind == message->kind &&
            order->message.epoch == message->epoch &&
            strcmp(order->message.edge, message->edge) == 0)
            return true;
    }
    return false;
}

/* What one replica tells of one edge: lines that hold its clock although no spool has their epoch
 * any more. */
static void write_off_dead_lines(struct sim_world *w, uint32_t region, uint32_t partition,
                                 const struct edge *edge)
{
    unsigned index;
    if (sscanf(edge->name, "edge-%u", &index) != 1 || index >= w->edge_count)
        return;
    for (uint32_t l = 0; l < edge->line_count; l++) {
        const struct line *line = &edge->lines[l];
        struct control_message order = {.kind = CONTROL_WRITE_OFF, .epoch = line->epoch};
        memcpy(order.edge, edge->name, sizeof(order.edge));
        if (line_is_live(line) &&
            !sim_edge_holds(&w->edges[index], line->epoch, region, (uint16_t)partition) &&
            !is_ordered(&w->operators[region], partition, &order))
            give(w, region, partition, CONTROL_WRITE_OFF, index, line->epoch);
    }
}

/* Only a person can know that an epoch is gone for good. Every replica's roster counts: one may
 * have read the end of a line that the stream lost before another came to it. */
static void write_off_dead(struct sim_world *w, uint32_t region, uint32_t partition)
{
    for (uint32_t i = 0; i < w->replica_count; i++) {
        const struct fold *f = fold_of(&w->replicas[i], region, partition);
        for (uint32_t e = 0; f != NULL && e < f->edges.count; e++)
            write_off_dead_lines(w, region, partition, &f->edges.edges[e]);
    }
}

/* Does every replica that is up have the step in all partitions? */
static bool has_grown(const struct sim_world *w, uint32_t region)
{
    uint32_t from = w->operators[region].grow_from;
    for (uint32_t i = 0; i < w->replica_count; i++) {
        for (uint32_t p = 0; p < w->plan.partitions; p++) {
            const struct fold *f = fold_of(&w->replicas[i], region, p);
            if (f != NULL && f->map.steps[f->map.count - 1].from_minute != from)
                return false;
        }
    }
    return from != 0;
}

static bool grows(const struct sim_world *w)
{
    return sim_plan_first(&w->plan) < w->plan.partitions && w->now_ms >= w->plan.grow_ms;
}

/* Says the step; and again, for later, where some partition had clicks of that minute already. */
static void grow(struct sim_world *w, uint32_t region)
{
    struct sim_operator *o = &w->operators[region];
    if (has_grown(w, region))
        return;
    bool again = o->grow_from != 0;
    uint64_t ahead_ms = again ? 400000 : w->plan.grow_ahead_ms;
    o->grow_from = (uint32_t)((SIM_BASE_MS + w->now_ms + ahead_ms) / 60000 + 1);
    sim_trace(w, "operator", "%s grows to %u partitions from minute %u on%s", region_names[region],
              w->plan.partitions, o->grow_from, again ? ", again" : "");
    for (uint32_t p = 0; p < w->plan.partitions; p++) {
        struct order *order = add_order(w, region, p, CONTROL_MAP);
        order->message.from_minute = o->grow_from;
        order->message.partitions = (uint16_t)w->plan.partitions;
        order->message.again = again;
    }
}

static bool is_placed_everywhere(const struct sim_world *w, uint32_t region)
{
    for (uint32_t p = 0; p < w->plan.partitions; p++)
        for (uint32_t n = 0; n < w->operators[region].order_count[p]; n++)
            if (!w->operators[region].orders[p][n].placed)
                return false;
    return true;
}

void sim_operators_step(struct sim_world *w)
{
    if (w->now_ms < w->operator_ms)
        return;
    w->operator_ms = w->now_ms + STEP_MS;
    for (uint32_t region = 0; region < w->plan.regions; region++) {
        struct bus_event event;
        while (bus_poll(w->operators[region].bus, &event))
            continue;
        bool well = true;
        for (uint32_t p = 0; p < w->plan.partitions; p++) {
            bool idle = see_to(w, region, p);
            /* A look at the roster once in a while, and only when what was seen before is done. */
            if (idle && (w->phase == SIM_CALM ? w->now_ms / STEP_MS % 5 == 0
                                              : w->now_ms / STEP_MS % 40 == 0))
                write_off_dead(w, region, p);
            well = well && idle;
        }
        if (well && grows(w) && is_placed_everywhere(w, region))
            grow(w, region);
    }
}

bool sim_operators_idle(const struct sim_world *w)
{
    for (uint32_t region = 0; region < w->plan.regions; region++)
        if (!is_placed_everywhere(w, region) || (grows(w) && !has_grown(w, region)))
            return false;
    return true;
}
