/* SPDX-License-Identifier: Apache-2.0
 * sim_edge: one edge: requests in, one commit, answers out, forwarding; and what becomes of its
 * spool. */
#include "edge/core/admit.h"
#include "edge/core/spool_record.h"
#include "edge/core/trim_watch.h"
#include "tests/sim/sim_world.h"

#include <stdlib.h>

#define REQUESTS_A_STEP 8u
#define ITEMS_MAX       (REQUESTS_A_STEP * 8u)

static const uint8_t secret[HASH_KEY_BYTES] = "simulated secret";
static const char region_names[SIM_REGIONS][LIMIT_REGION_NAME_BYTES + 1] = {"us", "eu", "ap"};

static uint64_t edge_wall(struct clock_port *clock)
{
    struct sim_edge *e = container_of(clock, struct sim_edge, clock);
    e->high_ms = base_max_u64(e->high_ms, e->process.clock.wall);
    return e->process.clock.wall;
}

static uint64_t edge_mono(struct clock_port *clock)
{
    return container_of(clock, struct sim_edge, clock)->process.clock.mono;
}

static void edge_random(struct clock_port *clock, void *out, size_t length)
{
    struct sim_edge *e = container_of(clock, struct sim_edge, clock);
    struct clock_port *inner = &e->process.clock.port;
    inner->random(inner, out, length);
    if (length == sizeof(e->last_random))
        memcpy(&e->last_random, out, length);
}

void sim_edge_init(struct sim_world *w, uint32_t index)
{
    struct sim_edge *e = &w->edges[index];
    sim_process_init(w, &e->process, SIM_EDGE, index);
    e->region = index % w->plan.regions;
    e->clock = (struct clock_port){edge_wall, edge_mono, edge_random};
    e->process.kv = sim_kv_new(EDGE_TABLES);
    sim_kv_limit(e->process.kv, sim_edge_room(w));
}

uint64_t sim_edge_room(const struct sim_world *w)
{
    uint64_t lines = 120ULL * w->plan.regions * w->plan.partitions;
    return w->phase == SIM_CALM || w->plan.spool_bytes == 0 ? 0 : lines + w->plan.spool_bytes;
}

/* Nearly full from half of it on, and full from four fifths on: the records of the lines need room,
 * too. */
static void press(struct sim_edge *e)
{
    uint64_t room = sim_edge_room(e->process.world), used = sim_kv_bytes(e->process.kv);
    e->pressed = room > 0 && trim_watch_pressed(e->pressed, used, room, 50);
    edge_pipeline_press(e->pipeline, e->pressed);
}

static bool is_full(const struct sim_edge *e)
{
    uint64_t room = sim_edge_room(e->process.world);
    return room > 0 && sim_kv_bytes(e->process.kv) > room / 5 * 4;
}

static void edge_options(const struct sim_edge *e, struct edge_pipeline_options *o)
{
    const struct sim_world *w = e->process.world;
    *o = (struct edge_pipeline_options){.region_count = w->plan.regions,
                                        .partitions = w->plan.partitions,
                                        .partitions_first = sim_plan_first(&w->plan),
                                        .heartbeat_ms = 30000,
                                        .publish_timeout_ms = w->plan.timeout_ms,
                                        .window_bytes = 1 << 20,
                                        .segment_bytes = w->plan.segment_bytes,
                                        .reader_silent_ms = w->plan.silent_ms,
                                        .kv = e->process.kv};
    (void)snprintf(o->edge, sizeof(o->edge), "%s", e->process.name);
    for (uint32_t i = 0; i < w->plan.regions; i++) {
        struct edge_region *region = &o->regions[i];
        memcpy(region->name, region_names[i], sizeof(region->name));
        region->bus = e->process.buses[i];
        for (uint32_t r = 0; r < w->replica_count; r++) {
            if (w->replicas[r].region != i)
                continue;
            if (sim_region_archives(&w->replicas[r]))
                region->archivers |= 1u << region->reader_count;
            (void)snprintf(region->readers[region->reader_count++], sizeof(region->readers[0]),
                           "%s", w->replicas[r].process.name);
        }
        if (w->archiver_count == 0)
            continue;
        region->archivers |= 1u << region->reader_count;
        (void)snprintf(region->readers[region->reader_count++], sizeof(region->readers[0]), "%s",
                       w->archivers[i].process.name);
    }
}

void sim_edge_open(struct sim_edge *e)
{
    struct sim_world *w = e->process.world;
    uint64_t lags[SIM_REGIONS];
    const uint32_t servers[SIM_REGIONS] = {0, 1, 2};
    for (uint32_t i = 0; i < SIM_REGIONS; i++)
        lags[i] = i == e->region ? 0 : w->plan.wan_ms;
    sim_process_boot(&e->process, w->plan.regions, servers, lags);
    struct edge_pipeline_options options;
    edge_options(e, &options);
    options.clock = &e->clock;
    e->last_random = 0;
    sim_process_acts(&e->process);
    enum err err = edge_pipeline_new(&options, &e->pipeline);
    sim_process_rests(&e->process);
    if (err != ERR_OK) {
        e->process.refused++;
        sim_trace(w, e->process.name, "cannot open its spool: %s", err_words(err));
        e->pipeline = NULL;
        sim_process_down(&e->process, 3000);
        return;
    }
    e->finished = e->pressed = false;
    e->incarnation = sim_oracle_incarnation(&w->oracle, e->process.index, e->last_random);
    w->oracle.incarnations[e->incarnation].unwaited = e->given_up_ms != 0;
    /* The order to give it up may still be on its way, and mean this opening as well. */
    if (e->given_up_ms != 0 && w->now_ms < e->given_up_ms + 60000)
        w->oracle.incarnations[e->incarnation].written_off = true;
    sim_trace(w, e->process.name, "opens its spool: epoch %016llx",
              (unsigned long long)e->last_random);
}

void sim_edge_crash(struct sim_edge *e)
{
    struct sim_world *w = e->process.world;
    edge_pipeline_free(e->pipeline);
    e->pipeline = NULL;
    sim_process_kill(&e->process);
    uint32_t count = e->inbox_count;
    e->inbox_count = 0;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t c = 0; c < e->inbox[i].count; c++)
            sim_clients_answer(w, e->inbox[i].clicks[c], SIM_UNKNOWN);
    sim_trace(w, e->process.name, "is down");
}

void sim_edge_request(struct sim_edge *e, const struct sim_request *request)
{
    if (e->inbox_count == e->inbox_capacity) {
        e->inbox_capacity = e->inbox_capacity == 0 ? 16 : e->inbox_capacity * 2;
        e->inbox = base_realloc(e->inbox, e->inbox_capacity * sizeof(*e->inbox));
    }
    e->inbox[e->inbox_count++] = *request;
    sim_process_wake(&e->process, e->process.world->now_ms);
}

/* The texts of one request; they live until the commit is done. */
struct texts {
    char ad[16], user[24], id[24], ip[24], agent[24];
};

static struct span text(char *out, size_t size, const char *kind, uint32_t number)
{
    (void)snprintf(out, size, "%s-%u", kind, number);
    return span_of_text(out);
}

/* What the client's request says, and what the connection adds to it. */
static void admit(const struct sim_edge *e, const struct sim_click *c, struct texts *t,
                  struct admit_verdict *out)
{
    const struct sim_world *w = e->process.world;
    struct partition_turn turns[SIM_REGIONS];
    for (uint32_t i = 0; i < w->plan.regions; i++)
        turns[i] = edge_pipeline_turn(e->pipeline, i);
    struct click_json_click sent = {.index = c->index, .timestamp = c->timestamp_ms};
    struct admit_rules rules = {.secret = secret,
                                .regions = region_names,
                                .region_count = w->plan.regions,
                                .own_region = e->region,
                                .partitions = w->plan.partitions,
                                .turns = turns,
                                .horizon_ms = (uint64_t)w->plan.horizon_minutes * 60000};
    struct admit_request request = {.now_ms = e->process.clock.wall};
    sent.ad_id = text(t->ad, sizeof(t->ad), "ad", c->ad);
    sent.user_id = text(t->user, sizeof(t->user), "user", c->user);
    if (c->identity == SIM_BY_CLICK_ID)
        sent.click_id = text(t->id, sizeof(t->id), "click", c->id);
    if (c->identity == SIM_BY_IDEMPOTENCY_KEY)
        request.idempotency_key = text(t->id, sizeof(t->id), "batch", c->id);
    if (c->sends_fields) {
        sent.ip_address = span_of_text("192.0.2.7");
        sent.user_agent = text(t->agent, sizeof(t->agent), "agent", c->user);
    }
    if (c->names_home)
        sent.home = span_of_text(region_names[c->home]);
    /* Another way, another address: a retry through a proxy has another peer. */
    (void)snprintf(t->ip, sizeof(t->ip), "198.51.100.%u",
                   1 + (e->process.index * 7 + c->sends) % 250);
    request.peer_ip = span_of_text(t->ip);
    request.user_agent = span_of_text(e->process.index % 2 == 0 ? "proxy/1" : "proxy/2");
    admit_click(&rules, &request, &sent, out);
}

static void answer(struct sim_edge *e, enum err err, bool stored, const struct edge_item *items,
                   const uint32_t *clicks, uint32_t count)
{
    struct sim_world *w = e->process.world;
    bool dead = e->process.fuse.blown;
    for (uint32_t i = 0; i < count; i++) {
        if (stored || (err == ERR_OK && !dead))
            sim_oracle_stored(&w->oracle, e->incarnation, items[i].home, items[i].partition,
                              items[i].number, clicks[i], e->high_ms);
        enum sim_answer said = dead || err_class(err) == ERR_CLASS_STOP ? SIM_UNKNOWN
                               : err == ERR_OK                          ? SIM_ACCEPTED
                                                                        : SIM_NOT_STORED;
        sim_clients_answer(w, clicks[i], said);
    }
    sim_trace_numbers(w, count, (uint64_t)err, stored);
}

static enum err take_requests(struct sim_edge *e)
{
    struct sim_world *w = e->process.world;
    struct texts texts[ITEMS_MAX];
    struct edge_item items[ITEMS_MAX];
    uint32_t clicks[ITEMS_MAX], count = 0, taken = 0;
    for (; taken < e->inbox_count && taken < REQUESTS_A_STEP; taken++) {
        for (uint32_t i = 0; i < e->inbox[taken].count; i++) {
            uint32_t click = e->inbox[taken].clicks[i];
            struct admit_verdict verdict;
            admit(e, &w->oracle.clicks[click], &texts[count], &verdict);
            if (verdict.fault != ADMIT_OK) {
                sim_clients_answer(w, click, SIM_REFUSED);
                continue;
            }
            items[count] = (struct edge_item){
                .click = verdict.click, .home = verdict.home, .partition = verdict.partition};
            clicks[count++] = click;
        }
    }
    e->inbox_count -= taken;
    if (taken > 0 && e->inbox_count > 0)
        memmove(e->inbox, e->inbox + taken, e->inbox_count * sizeof(*e->inbox));
    if (count == 0)
        return edge_trim(e->pipeline);
    uint64_t commits = sim_kv_commits(e->process.kv);
    enum err err = edge_commit(e->pipeline, items, count);
    answer(e, err, sim_kv_commits(e->process.kv) > commits, items, clicks, count);
    return err;
}

static void refuse_requests(struct sim_edge *e)
{
    for (uint32_t i = 0; i < e->inbox_count; i++)
        for (uint32_t c = 0; c < e->inbox[i].count; c++)
            sim_clients_answer(e->process.world, e->inbox[i].clicks[c], SIM_NOT_STORED);
    e->inbox_count = 0;
}

/* Whether everything is delivered and the machine may be switched off. */
static bool retired(struct sim_edge *e)
{
    struct edge_view view;
    edge_pipeline_view(e->pipeline, &view);
    if (!e->retiring || !e->finished || !view.drained || view.older_lines > 0)
        return false;
    struct sim_world *w = e->process.world;
    sim_trace(w, e->process.name, "is drained and retired");
    e->process.retired = true;
    sim_edge_crash(e);
    e->process.start_ms = SIM_NEVER;
    sim_operators_retire(w, e->process.index);
    return true;
}

void sim_edge_step(struct sim_edge *e)
{
    struct sim_world *w = e->process.world;
    enum err err = ERR_OK;
    press(e);
    sim_process_acts(&e->process);
    if (e->retiring && !e->finished) {
        e->finished = true;
        err = edge_finish(e->pipeline);
        if (err != ERR_OK)
            err = ERR_KV_IO; /* a program that cannot finish ends, and tries again when it is
                                started */
    } else if (e->finished || is_full(e)) {
        refuse_requests(e);
        err = edge_trim(e->pipeline);
    } else {
        err = take_requests(e);
    }
    uint32_t idle_ms = 1000;
    if (err_class(err) != ERR_CLASS_STOP && !e->process.fuse.blown) {
        err = edge_forward(e->pipeline, &idle_ms);
        sim_process_stepped(&e->process, err);
    }
    sim_process_rests(&e->process);
    if (err_class(err) == ERR_CLASS_STOP || e->process.fuse.blown) {
        e->process.endings++;
        sim_trace(w, e->process.name, "ends: %s", err_words(err));
        sim_process_down(&e->process, rng_below(&w->rng, 5000));
        return;
    }
    sim_checks_edge(e);
    if (retired(e))
        return;
    uint64_t due_ms = w->now_ms + idle_ms + rng_below(&w->rng, 3);
    for (uint32_t i = 0; i < e->process.bus_count; i++)
        due_ms = base_min_u64(due_ms, sim_bus_due_ms(e->process.buses[i]));
    if (e->inbox_count > 0)
        due_ms = w->now_ms;
    e->process.due_ms = base_max_u64(due_ms, w->now_ms + e->process.slow_ms);
}

void sim_edge_finish(struct sim_edge *e)
{
    uint32_t idle_ms;
    if (!e->process.up)
        return;
    refuse_requests(e);
    sim_process_acts(&e->process);
    enum err err = e->finished ? ERR_OK : edge_finish(e->pipeline);
    if (err == ERR_OK)
        err = edge_forward(e->pipeline, &idle_ms);
    sim_process_rests(&e->process);
    e->process.endings += err_class(err) == ERR_CLASS_STOP;
    e->finished = true;
    sim_trace_numbers(e->process.world, (uint64_t)err, 0, 0);
}

static bool line_in(struct kv_port *kv, uint64_t epoch, uint32_t home, uint16_t partition,
                    struct spool_line *out)
{
    struct spool_line wanted = {.epoch = epoch, .partition = partition};
    memcpy(wanted.home, region_names[home], sizeof(wanted.home));
    struct spool_key key = spool_line_key(&wanted);
    struct kv_txn *txn;
    struct span value;
    CHECK(kv_begin(kv, false, &txn) == ERR_OK);
    bool found = kv_get(txn, EDGE_TABLE_LINE, span_of(key.bytes, key.length), &value);
    if (found)
        CHECK(spool_line_read(span_of(key.bytes, key.length), value, out) == ERR_OK);
    (void)kv_abort(&txn);
    return found;
}

bool sim_edge_holds(const struct sim_edge *e, uint64_t epoch, uint32_t home, uint16_t partition)
{
    struct spool_line line;
    return line_in(e->process.kv, epoch, home, partition, &line);
}

bool sim_edge_passed(const struct sim_edge *e, const struct sim_replica *r)
{
    struct kv_txn *txn;
    struct buf at = {0};
    struct span key, value;
    bool passed = false;
    CHECK(kv_begin(e->process.kv, false, &txn) == ERR_OK);
    buf_put_u8(&at, 0);
    while (!passed && kv_seek(txn, EDGE_TABLE_LINE, buf_span(&at), &key, &value)) {
        struct spool_line line;
        CHECK(spool_line_read(key, value, &line) == ERR_OK);
        if (strcmp(line.home, region_names[r->region]) == 0) {
            const struct fold *f = replica_fold(r->replica, line.partition);
            const struct edge *edge = edge_book_find(&f->edges, e->process.name);
            const struct line *l = edge == NULL ? NULL : edge_book_line(edge, line.epoch);
            passed = line.low > (l == NULL ? 0 : l->durable_floor);
        }
        buf_clear(&at);
        buf_put(&at, key.data, key.length);
        buf_put_u8(&at, 0);
    }
    buf_done(&at);
    (void)kv_abort(&txn);
    return passed;
}

/* How far the folds of the region have promised to know the line. */
static uint64_t promised(const struct sim_world *w, const struct sim_edge *e, uint64_t epoch,
                         uint32_t home, uint32_t partition)
{
    uint64_t most = 0;
    for (uint32_t r = 0; r < w->replica_count; r++) {
        const struct sim_replica *replica = &w->replicas[r];
        for (uint32_t i = 0; replica->region == home && i < replica->promise_count; i++) {
            const struct sim_promise *p = &replica->promises[i];
            if (p->edge == e->process.index && p->epoch == epoch && p->partition == partition)
                most = base_max_u64(most, p->floor);
        }
    }
    return most;
}

/* The spool is replaced: by nothing, or by an older copy. What only the lost one held is excused.
 */
void sim_edge_spool_gone(struct sim_edge *e, struct kv_port *instead)
{
    struct sim_world *w = e->process.world;
    struct sim_oracle *o = &w->oracle;
    for (uint32_t i = 0; i < o->incarnation_count; i++) {
        struct sim_incarnation *inc = &o->incarnations[i];
        for (uint32_t l = 0; inc->edge == e->process.index && l < o->regions * o->partitions; l++) {
            struct sim_line *line = &inc->lines[l];
            uint32_t home = l / o->partitions, partition = l % o->partitions;
            line->lost = true;
            line->safe = base_max_u64(line->safe, promised(w, e, inc->epoch, home, partition));
            if (e->pipeline != NULL && i == e->incarnation)
                line->acked = edge_acked(e->pipeline, home, (uint16_t)partition);
        }
    }
    sim_process_crash_driver(&e->process);
    sim_kv_free(e->process.kv);
    e->process.kv = instead == NULL ? sim_kv_new(EDGE_TABLES) : instead;
}
