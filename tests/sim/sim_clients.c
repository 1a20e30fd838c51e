/* SPDX-License-Identifier: Apache-2.0
 * sim_clients: what is clicked, how it is sent, and sent again: to the same edge, to another one of
 * the region, or through another region, if the click says where it is at home. */
#include "tests/sim/sim_world.h"

#include <stdlib.h>

static uint32_t zipf(struct rng *r, uint32_t count)
{
    uint32_t at = (uint32_t)rng_below(r, count);
    return (uint32_t)rng_below(r, at + 1);
}

/* The oracle's minute of an event; outside of what it counts: false. */
static bool minute_of(uint64_t timestamp_ms, uint32_t *out)
{
    uint64_t first = SIM_BASE_MS / 60000 - SIM_MINUTES_BEFORE, minute = timestamp_ms / 60000;
    *out = (uint32_t)(minute - first);
    return minute >= first && minute - first < SIM_MINUTES;
}

static void schedule(struct sim_world *w, uint32_t click, uint64_t at_ms)
{
    if (w->again_count == w->again_capacity) {
        w->again_capacity = w->again_capacity == 0 ? 64 : w->again_capacity * 2;
        w->agains = base_realloc(w->agains, w->again_capacity * sizeof(*w->agains));
    }
    w->agains[w->again_count++] = (struct sim_again){at_ms, click};
}

static void draw_click(struct sim_world *w, struct sim_click *c, uint32_t edge)
{
    struct rng *r = &w->client_rng;
    uint32_t region = w->edges[edge].region, number = w->oracle.click_count;
    *c = (struct sim_click){.ad = zipf(r, w->plan.ads),
                            .user = (uint32_t)rng_below(r, w->plan.users),
                            .identity = (enum sim_identity)rng_below(r, 3),
                            .home = region,
                            .edge = edge,
                            .sends_fields = rng_chance(r, 500)};
    c->names_home = rng_chance(r, 300);
    if (c->names_home)
        c->home = (uint32_t)rng_below(r, w->plan.regions);
    uint64_t event_ms = SIM_BASE_MS + w->now_ms + rng_below(r, 2000) - 1000;
    if (rng_chance(r, w->plan.late)) {
        uint64_t late_ms = rng_below(r, w->plan.late_ms);
        event_ms -= rng_chance(r, 800) ? late_ms : rng_below(r, 200000);
    }
    c->timestamp_ms = event_ms;
    /* Two ads may share one click id: it is no less two clicks. */
    const struct sim_click *before = number > 0 ? &w->oracle.clicks[number - 1] : NULL;
    bool shares = c->identity == SIM_BY_CLICK_ID && before != NULL && before->ad != c->ad &&
                  before->identity == SIM_BY_CLICK_ID && before->id == number - 1;
    c->id = shares && rng_chance(r, 300) ? before->id : number;
    if (c->identity == SIM_BY_FIELDS)
        c->user = number; /* else two clicks might be one */
}

static void send(struct sim_world *w, uint32_t edge, const struct sim_request *request)
{
    struct sim_edge *e = &w->edges[edge];
    struct rng *r = &w->client_rng;
    for (uint32_t i = 0; i < request->count; i++)
        w->oracle.clicks[request->clicks[i]].sends++;
    bool arrives = e->process.up && !rng_chance(r, w->plan.lost_answers / 4);
    if (arrives) {
        sim_edge_request(e, request);
        return;
    }
    for (uint32_t i = 0; i < request->count; i++)
        sim_clients_answer(w, request->clicks[i], SIM_UNKNOWN);
}

static void send_new(struct sim_world *w)
{
    struct rng *r = &w->client_rng;
    uint32_t edge = (uint32_t)rng_below(r, w->edge_count);
    struct sim_request request = {.count = 1 + (uint32_t)rng_below(r, w->plan.batch)};
    if (w->edges[edge].process.retired)
        return;
    uint32_t made = 0, first_id = w->oracle.click_count;
    for (uint32_t i = 0; i < request.count; i++) {
        struct sim_click c;
        draw_click(w, &c, edge);
        if (!minute_of(c.timestamp_ms, &c.minute))
            continue;
        if (c.identity == SIM_BY_IDEMPOTENCY_KEY) {
            c.id = first_id; /* one key a request; the place in the batch tells its clicks apart */
            c.index = i;
        }
        request.clicks[made++] = sim_oracle_click(&w->oracle, &c);
    }
    request.count = made;
    if (made > 0)
        send(w, edge, &request);
}

/* Any edge that may take it: of the region it went to first, or, if it names its home, anywhere. */
static uint32_t another_edge(struct sim_world *w, const struct sim_click *c)
{
    struct rng *r = &w->client_rng;
    uint32_t first = w->edges[c->edge].region;
    if (w->phase == SIM_CHAOS && rng_chance(r, 400))
        return c->edge;
    for (unsigned tries = 0; tries < 20; tries++) {
        uint32_t edge = (uint32_t)rng_below(r, w->edge_count);
        if ((w->edges[edge].region == first || c->names_home) && !w->edges[edge].process.retired)
            return edge;
    }
    return c->edge;
}

static void send_again(struct sim_world *w, uint32_t click)
{
    struct sim_click *c = &w->oracle.clicks[click];
    struct rng *r = &w->client_rng;
    uint32_t edge = another_edge(w, c);
    /* Who goes to another region must say where the click is at home; its first region, if it was
     * silent. */
    if (w->plan.regions > 1 && !c->names_home && rng_chance(r, 300))
        c->names_home = true;
    if (w->edges[edge].process.retired)
        c->settled = true; /* nobody is left to take it */
    else
        send(w, edge, &(struct sim_request){.count = 1, .clicks = {click}});
}

void sim_clients_answer(struct sim_world *w, uint32_t click, enum sim_answer answer)
{
    struct sim_click *c = &w->oracle.clicks[click];
    struct rng *r = &w->client_rng;
    bool calm = w->phase == SIM_CALM;
    if (answer == SIM_REFUSED) {
        c->settled = true;
        return;
    }
    if (answer == SIM_ACCEPTED && !calm && rng_chance(r, w->plan.lost_answers))
        answer = SIM_UNKNOWN;
    if (answer == SIM_ACCEPTED) {
        c->settled = true;
        if (!calm && rng_chance(r, w->plan.again)) /* it arrived, and is sent again all the same */
            schedule(w, click, w->now_ms + rng_below(r, rng_chance(r, 700) ? 2000 : 150000));
        return;
    }
    if (!calm && answer == SIM_UNKNOWN && rng_chance(r, 50)) {
        c->settled = true; /* gives up: may be counted, or not; the oracle knows */
        return;
    }
    schedule(w, click, w->now_ms + 50 + rng_below(r, calm ? 3000 : 20000));
}

uint64_t sim_clients_due(const struct sim_world *w)
{
    uint64_t due_ms = w->phase == SIM_CHAOS ? w->client_ms : SIM_NEVER;
    for (uint32_t i = 0; i < w->again_count; i++)
        due_ms = base_min_u64(due_ms, w->agains[i].at_ms);
    return due_ms;
}

static void send_due_again(struct sim_world *w)
{
    for (uint32_t i = 0; i < w->again_count;) {
        struct sim_again again = w->agains[i];
        if (again.at_ms > w->now_ms) {
            i++;
            continue;
        }
        w->agains[i] = w->agains[--w->again_count];
        send_again(w, again.click);
    }
}

void sim_clients_step(struct sim_world *w)
{
    struct rng *r = &w->client_rng;
    send_due_again(w);
    if (w->phase != SIM_CHAOS || w->now_ms < w->client_ms)
        return;
    if (w->oracle.click_count >= w->plan.clicks || w->now_ms >= w->plan.chaos_ms) {
        w->client_ms = SIM_NEVER;
        return;
    }
    if (w->burst_left == 0)
        w->burst_left = 1 + (uint32_t)rng_below(r, w->plan.burst);
    w->burst_left--;
    send_new(w);
    w->client_ms = w->now_ms + 1 + rng_below(r, 2 * w->plan.pace_ms);
    if (w->burst_left == 0)
        w->client_ms += rng_below(r, w->plan.quiet_ms + 1);
}
