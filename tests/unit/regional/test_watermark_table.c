/* SPDX-License-Identifier: Apache-2.0
 * What an operator would see of a region in a bad day: each row is one message of a stream and what
 * must be true after it. */
#include "region_given.h"

#include "regional/core/watermark.h"

#define DAY_MINUTES 1440u
#define HOUR        3600
#define NOBODY      ""

/* Minutes that a globe may call complete: whose totals were announced after their close by a
 * partial that names no missing edge (design 2.6). That the rows arrive is another test's matter.
 */
static bool complete[4 * DAY_MINUTES];

static void take_partials(struct fold *f, uint64_t time_ms)
{
    struct cut cut = {0};
    struct cut_request request = {.who = given_identity(), .time_ms = time_ms, .by_stream = true};
    cr_assert_eq(cut_make(f, &request, &cut), ERR_OK);
    for (uint32_t i = 0; i < cut.partials.count; i++) {
        struct partial p = {0};
        cr_assert_eq(partial_read(&p, buf_span(&cut.partials.items[i])), ERR_OK);
        for (uint32_t t = 0; t < p.total_count; t++) {
            uint32_t at = p.totals[t].minute - GIVEN_MINUTE + DAY_MINUTES;
            cr_assert_leq(minute_start_ms(p.totals[t].minute + 1), p.watermark_ms, "closed first");
            if (at < countof(complete) && p.missing_count == 0)
                complete[at] = true;
        }
        partial_done(&p);
    }
    cut_done(&cut);
}

static bool is_complete(int minute)
{
    return complete[minute + (int)DAY_MINUTES];
}

enum act {
    SAYS,  /* one edge, one click or none */
    BEATS, /* every 30 s since the row before: all edges of `edge`, their clocks off by `clock` */
    ENDS,  /* FIN */
    RESTARTS, /* a new epoch; the old one had delivered everything and was ended */
    TICKS,
    ENROLS,
    RETIRES,
    WRITES_OFF,
    WRITES_EPOCH_OFF, /* its present epoch alone */
};

/* Times in seconds, minutes counted from GIVEN_MINUTE. */
struct row {
    int at;
    enum act act;
    const char *edge;
    int clock; /* SAYS, ENDS, RESTARTS: what its clock says */
    int age;   /* of its oldest unsent click */
    int event; /* SAYS: minute of the one click that it brings; NONE: a heartbeat */
    /* After it: */
    int watermark;
    const char *missing;
    int closed;   /* minutes below are closed */
    int complete; /* this minute is complete at the globe, the next one not; NONE: not looked at */
    unsigned late, carried;
};
#define NONE (-9999)

struct teller {
    char name[8];
    uint64_t epoch, number;
};
static struct teller tellers[4];

static struct teller *teller_of(const char *name)
{
    for (unsigned i = 0; i < countof(tellers); i++) {
        if (tellers[i].name[0] == '\0') {
            (void)snprintf(tellers[i].name, sizeof(tellers[i].name), "%s", name);
            tellers[i].epoch = 100 * (i + 1);
        }
        if (strcmp(tellers[i].name, name) == 0)
            return &tellers[i];
    }
    cr_assert_fail("too many edges");
    return NULL;
}

static uint64_t ms_of(int seconds)
{
    return (uint64_t)((int64_t)GIVEN_START_MS + (int64_t)seconds * 1000);
}

static void say(struct fold *f, const struct row *r, bool fin)
{
    static unsigned ids = 1;
    struct teller *t = teller_of(r->edge);
    struct given_click clicks[64] = {0};
    bool brings = r->act == SAYS && r->event != NONE;
    uint64_t last = t->number + (brings || fin);
    cr_assert_lt(last, countof(clicks));
    if (brings)
        clicks[t->number] = (struct given_click){
            .ad = 1, .user = ids, .id = ids, .minute = GIVEN_MINUTE + (uint32_t)r->event};
    ids++;
    struct segment_head h = given_head(r->edge, t->epoch, t->number, last, ms_of(r->clock));
    h.age_ms = (uint64_t)r->age * 1000;
    h.fin = fin;
    cr_assert_eq(when_segment(f, &h, clicks, ms_of(r->at)), ERR_OK);
    t->number = last;
}

static int last_at;

static void cut_if_due(struct fold *f, int at)
{
    if (fold_wants_cut(f, ms_of(at)))
        take_partials(f, ms_of(at));
}

static void beat(struct fold *f, const struct row *r)
{
    for (int at = last_at + 30; at <= r->at; at += 30) {
        for (const char *edge = r->edge; *edge != '\0'; edge++) {
            char name[2] = {*edge, '\0'};
            struct row one = {
                .at = at, .act = SAYS, .edge = name, .clock = at + r->clock, .event = NONE};
            cut_if_due(f, at);
            say(f, &one, false);
        }
    }
}

static void perform(struct fold *f, const struct row *r)
{
    uint64_t at_ms = ms_of(r->at);
    cut_if_due(f, r->at);
    switch (r->act) {
    case SAYS:
        say(f, r, false);
        break;
    case ENDS:
        say(f, r, true);
        break;
    case RESTARTS:
        teller_of(r->edge)->epoch++;
        teller_of(r->edge)->number = 0;
        say(f, r, false);
        break;
    case TICKS:
        when_tick(f, at_ms);
        break;
    case ENROLS:
        when_control(f, CONTROL_ENROL, r->edge, 0, at_ms);
        break;
    case RETIRES:
        when_control(f, CONTROL_RETIRE, r->edge, 0, at_ms);
        break;
    case WRITES_OFF:
        when_control(f, CONTROL_WRITE_OFF, r->edge, 0, at_ms);
        break;
    case WRITES_EPOCH_OFF:
        when_control(f, CONTROL_WRITE_OFF, r->edge, teller_of(r->edge)->epoch, at_ms);
        break;
    case BEATS:
        beat(f, r);
        break;
    }
}

static void expect_row(struct fold *f, const struct row *r, size_t at)
{
    char missing[32] = "";
    for (uint32_t i = 0; i < f->edges.count; i++)
        if (f->edges.edges[i].missing)
            (void)strncat(missing, f->edges.edges[i].name, sizeof(missing) - strlen(missing) - 1);
    cr_expect_eq(f->watermark_ms, r->watermark == NONE ? 0 : ms_of(r->watermark),
                 "row %zu: watermark %lld s", at,
                 (long long)((int64_t)f->watermark_ms - (int64_t)GIVEN_START_MS) / 1000);
    cr_expect_str_eq(missing, r->missing, "row %zu: missing '%s'", at, missing);
    if (r->closed != NONE)
        cr_expect_eq(fold_closed_below(f), GIVEN_MINUTE + (uint32_t)r->closed,
                     "row %zu: closed below %d", at, (int)(fold_closed_below(f) - GIVEN_MINUTE));
    cr_expect_eq(f->counts.late, r->late, "row %zu: late %lu", at, (unsigned long)f->counts.late);
    cr_expect_eq(f->books.carried, r->carried, "row %zu: carried %lu", at,
                 (unsigned long)f->books.carried);
    if (r->complete == NONE)
        return;
    cr_expect(is_complete(r->complete), "row %zu: minute %d is not complete", at, r->complete);
    cr_expect_not(is_complete(r->complete + 1), "row %zu: minute %d is", at, r->complete + 1);
}

static void run(const struct row *rows, size_t count)
{
    struct fold *f = given_fold();
    f->options.horizon_minutes = DAY_MINUTES;
    memset(complete, 0, sizeof(complete));
    memset(tellers, 0, sizeof(tellers));
    last_at = 0;
    for (size_t i = 0; i < count; i++) {
        perform(f, &rows[i]);
        last_at = rows[i].at;
        expect_row(f, &rows[i], i);
    }
    /* What was closed with an edge missing was told again without one. */
    for (int minute = 0; minute <= rows[count - 1].complete; minute++)
        cr_expect(is_complete(minute), "minute %d is not complete in the end", minute);
    fold_free(f);
}
#define RUN(rows) run(rows, countof(rows))

/* clang-format off */
Test(watermark_table, late_clicks_count_until_their_table_is_gone)
{
    static const struct row rows[] = {
        /*  at  act     edge clock age event | watermark missing closed complete late carried */
        {    0, ENROLS, "a",     0, 0, NONE,     NONE, "a",  NONE, NONE, 0, 0},
        {    1, SAYS,   "a",     1, 0,    0,        1, NOBODY,  -1, NONE, 0, 0},
        {   69, SAYS,   "a",    69, 0,    0,       69, NOBODY,   0, NONE, 0, 0},
        {   71, SAYS,   "a",    71, 0,    0,       71, NOBODY,   1, NONE, 0, 0},
        {   72, SAYS,   "a",    72, 0,    0,       72, NOBODY,   1,    0, 1, 0}, /* late: counts */
        {  140, SAYS,   "a",   140, 0,    1,      140, NOBODY,   2,    0, 1, 0},
        {  141, TICKS,  NULL,    0, 0, NONE,      140, NOBODY,   2,    1, 1, 0},
        {86430, BEATS,  "a",     0, 0, NONE,    86421, NOBODY, 1440, NONE, 1, 0},
        /* A day later: minute 0 is at the horizon's edge, and one minute on its table is gone. */
        {86459, SAYS,   "a", 86459, 0,    0,    86459, NOBODY, 1440, NONE, 2, 0},
        {86460, SAYS,   "a", 86460, 0,    0,    86460, NOBODY, 1440, NONE, 3, 0},
        {86461, SAYS,   "a", 86461, 0,    0,    86461, NOBODY, 1440, NONE, 3, 1},
        {86462, SAYS,   "a", 86462, 0,    1,    86462, NOBODY, 1440, NONE, 4, 1},
    };
    RUN(rows);
}

Test(watermark_table, an_edge_clock_an_hour_ahead_promises_nothing)
{
    static const struct row rows[] = {
        {    0, ENROLS, "a",         0,  0, NONE,   NONE, "a",   NONE, NONE, 0, 0},
        {    0, ENROLS, "b",         0,  0, NONE,   NONE, "ab",  NONE, NONE, 0, 0},
        {    1, SAYS,   "a",         1,  0,    0,      1, "b",     -1, NONE, 0, 0},
        {    2, SAYS,   "b",         2,  0,    0,      1, NOBODY,  -1, NONE, 0, 0},
        {   62, BEATS,  "ab",        0,  0, NONE,     62, NOBODY,   0, NONE, 0, 0},
        {   80, SAYS,   "b", HOUR + 80,  0,    1,     62, NOBODY,   0, NONE, 0, 0}, /* stepped */
        {   81, SAYS,   "a",        81,  0,    1,     80, NOBODY,   1, NONE, 0, 0},
        {  100, SAYS,   "b", HOUR + 99, 40,    0,     80, NOBODY,   1,    0, 1, 0}, /* backlog */
        {  101, SAYS,   "a",       101,  0,    1,     80, NOBODY,   1,    0, 1, 0}, /* hold */
        {  131, SAYS,   "b", HOUR + 99, 10,    1,    101, NOBODY,   1,    0, 1, 0},
        {  132, SAYS,   "a",       132,  0,    1,    121, NOBODY,   1,    0, 1, 0},
    };
    RUN(rows);
}

Test(watermark_table, an_edge_clock_an_hour_behind_holds_all_minutes_open)
{
    static const struct row rows[] = {
        {    0, ENROLS,   "a",        0, 0, NONE,   NONE, "a",   NONE, NONE, 0, 0},
        {    0, ENROLS,   "b",        0, 0, NONE,   NONE, "ab",  NONE, NONE, 0, 0},
        {    1, SAYS,     "a",        1, 0,    0,      1, "b",     -1, NONE, 0, 0},
        {    2, SAYS,     "b",        2, 0,    0,      1, NOBODY,  -1, NONE, 0, 0},
        { 4202, BEATS,    "ab",       0, 0, NONE,   4202, NOBODY,  69,   68, 0, 0},
        /* b starts again with its clock an hour back: a new epoch, whose promises begin there. */
        { 4203, ENDS,     "b",     4203, 0, NONE,   4202, "b",     69,   68, 0, 0},
        { 4204, RESTARTS, "b",      604, 0, NONE,   4202, "b",     69,   68, 0, 0},
        { 4205, SAYS,     "a",     4205, 0,   70,   4205, "b",     69,   68, 0, 0},
        { 7805, BEATS,    "ab",   -HOUR, 0, NONE,   4205, NOBODY,  69,   68, 0, 0},
    };
    RUN(rows);
}

Test(watermark_table, a_silent_edge_is_named_until_it_has_caught_up)
{
    static const struct row rows[] = {
        {    0, ENROLS,  "a",      0, 0, NONE,   NONE, "a",   NONE, NONE, 0, 0},
        {    0, ENROLS,  "b",      0, 0, NONE,   NONE, "ab",  NONE, NONE, 0, 0},
        {    1, SAYS,    "a",      1, 0,    0,      1, "b",     -1, NONE, 0, 0},
        {    2, SAYS,    "b",      2, 0,    0,      1, NOBODY,  -1, NONE, 0, 0},
        {  122, BEATS,   "ab",     0, 0, NONE,    122, NOBODY,   1, NONE, 0, 0},
        {  212, BEATS,   "a",      0, 0, NONE,    122, NOBODY,   1,    0, 0, 0}, /* 90 s: waits */
        {  242, BEATS,   "a",      0, 0, NONE,    242, "b",      3,    0, 0, 0}, /* is missed */
        {  302, BEATS,   "a",      0, 0, NONE,    302, "b",      4,    0, 0, 0}, /* not complete */
        {  303, SAYS,    "b",    130, 0,    2,    302, "b",      4,    0, 1, 0}, /* is back */
        {  304, SAYS,    "b",    301, 0,    3,    302, "b",      4,    0, 2, 0},
        {  305, SAYS,    "b",    305, 0,    4,    302, NOBODY,   4,    0, 2, 0}, /* caught up */
        {  455, BEATS,   "ab",     0, 0, NONE,    455, NOBODY,   7,    5, 2, 0},
        { 4055, BEATS,   "ab",     0, 0, NONE,   4055, NOBODY,  67,   65, 2, 0},
    };
    RUN(rows);
}

Test(watermark_table, an_ended_edge_is_missed_until_it_is_retired_or_back)
{
    static const struct row rows[] = {
        {    0, ENROLS,   "a",     0, 0, NONE,   NONE, "a",   NONE, NONE, 0, 0},
        {    0, ENROLS,   "b",     0, 0, NONE,   NONE, "ab",  NONE, NONE, 0, 0},
        {    1, SAYS,     "a",     1, 0,    0,      1, "b",     -1, NONE, 0, 0},
        {    2, SAYS,     "b",     2, 0,    0,      1, NOBODY,  -1, NONE, 0, 0},
        {   92, BEATS,    "ab",    0, 0, NONE,     92, NOBODY,   1, NONE, 0, 0},
        {   93, ENDS,     "b",    93, 0, NONE,     92, "b",      1,    0, 0, 0}, /* no live epoch */
        {  183, BEATS,    "a",     0, 0, NONE,    183, "b",      2,    0, 0, 0},
        {  184, RESTARTS, "b",   184, 0, NONE,    183, NOBODY,   2,    0, 0, 0},
        {  274, BEATS,    "ab",    0, 0, NONE,    274, NOBODY,   4,    2, 0, 0},
        {  275, ENDS,     "b",   275, 0, NONE,    274, "b",      4,    3, 0, 0},
        {  276, RETIRES,  "b",     0, 0, NONE,    274, NOBODY,   4,    3, 0, 0}, /* for good */
        {  366, BEATS,    "a",     0, 0, NONE,    366, NOBODY,   5,    4, 0, 0},
    };
    RUN(rows);
}

Test(watermark_table, a_written_off_edge_is_not_waited_for_and_counts_when_it_is_back)
{
    static const struct row rows[] = {
        {    0, ENROLS,     "a",   0, 0, NONE,   NONE, "a",   NONE, NONE, 0, 0},
        {    0, ENROLS,     "b",   0, 0, NONE,   NONE, "ab",  NONE, NONE, 0, 0},
        {    1, SAYS,       "a",   1, 0,    0,      1, "b",     -1, NONE, 0, 0},
        {    2, SAYS,       "b",   2, 0,    0,      1, NOBODY,  -1, NONE, 0, 0},
        {   92, BEATS,      "ab",  0, 0, NONE,     92, NOBODY,   1, NONE, 0, 0},
        {  302, BEATS,      "a",   0, 0, NONE,    302, "b",      4,    0, 0, 0},
        {  303, WRITES_OFF, "b",   0, 0, NONE,    302, NOBODY,   4,    0, 0, 0},
        {  423, BEATS,      "a",   0, 0, NONE,    423, NOBODY,   6,    5, 0, 0},
        {  424, SAYS,       "b", 100, 0,    1,    423, "b",      6,    5, 1, 0}, /* after all */
        {  425, SAYS,       "b", 425, 0,    6,    423, NOBODY,   6,    5, 1, 0},
        {  545, BEATS,      "ab",  0, 0, NONE,    545, NOBODY,   8,    7, 1, 0},
    };
    RUN(rows);
}

Test(watermark_table, an_edge_that_lost_an_epoch_may_be_numbering_in_another)
{
    static const struct row rows[] = {
        {    0, ENROLS,           "a",   0, 0, NONE,   NONE, "a",   NONE, NONE, 0, 0},
        {    0, ENROLS,           "b",   0, 0, NONE,   NONE, "ab",  NONE, NONE, 0, 0},
        {    1, SAYS,             "a",   1, 0,    0,      1, "b",     -1, NONE, 0, 0},
        {    2, SAYS,             "b",   2, 0,    0,      1, NOBODY,  -1, NONE, 0, 0},
        {   92, BEATS,            "ab",  0, 0, NONE,     92, NOBODY,   1, NONE, 0, 0},
        {  212, BEATS,            "a",   0, 0, NONE,    212, "b",      3,    0, 0, 0},
        {  213, WRITES_EPOCH_OFF, "b",   0, 0, NONE,    212, "b",      3,    0, 0, 0}, /* named */
        {  333, BEATS,            "a",   0, 0, NONE,    333, "b",      5,    0, 0, 0},
        {  334, RESTARTS,         "b", 334, 0,    5,    333, NOBODY,   5,    0, 0, 0},
        { 3934, BEATS,            "ab",  0, 0, NONE,   3934, NOBODY,  65,   63, 0, 0},
    };
    RUN(rows);
}

Test(watermark_table, a_server_clock_that_steps_back_takes_nothing_back)
{
    static const struct row rows[] = {
        {    0, ENROLS, "a",   0, 0, NONE,   NONE, "a",   NONE, NONE, 0, 0},
        {    1, SAYS,   "a",   1, 0,    0,      1, NOBODY,  -1, NONE, 0, 0},
        {   91, BEATS,  "a",   0, 0, NONE,     91, NOBODY,   1, NONE, 0, 0},
        {   60, SAYS,   "a",  92, 0,    1,     91, NOBODY,   1, NONE, 0, 0},
        {   61, TICKS,  NULL,  0, 0, NONE,     91, NOBODY,   1,    0, 0, 0},
        {   93, SAYS,   "a",  93, 0,    1,     93, NOBODY,   1,    0, 0, 0},
    };
    RUN(rows);
}
/* clang-format on */

/* A day of clicks that are up to 26 hours late, beside an oracle of three comparisons. */
Test(watermark_table, a_day_of_late_clicks_is_judged_as_the_watermark_says)
{
    struct fold *f = given_fold();
    f->options.horizon_minutes = DAY_MINUTES;
    struct rng r = {1234};
    memset(tellers, 0, sizeof(tellers));
    uint64_t late = 0, carried = 0, counted = 0;
    struct given_click *clicks = base_zalloc(4 * 2 * DAY_MINUTES, sizeof(*clicks));
    when_control(f, CONTROL_ENROL, "a", 0, ms_of(0));
    for (unsigned minute = 0; minute < 2 * DAY_MINUTES; minute++) {
        uint64_t number = teller_of("a")->number;
        uint32_t closed = fold_closed_below(f), expired = fold_expired_below(f);
        for (unsigned i = 0; i < 4; i++) {
            unsigned lateness = i < 2 ? 0 : (unsigned)rng_below(&r, 26 * 60);
            uint32_t event = GIVEN_MINUTE + minute - lateness;
            clicks[number + i] = (struct given_click){
                .ad = i, .user = i, .id = (unsigned)number + i, .minute = event};
            carried += event < expired;
            counted += event >= expired;
            late += event >= expired && event < closed;
        }
        int at = (int)minute * 60 + 30;
        struct segment_head h = given_head("a", 1, number, number + 4, ms_of(at));
        cr_assert_eq(when_segment(f, &h, clicks, ms_of(at)), ERR_OK);
        teller_of("a")->number = number + 4;
        cr_assert_eq(f->watermark_ms, ms_of(at));
        cr_assert_eq(fold_closed_below(f), GIVEN_MINUTE + minute);
        cr_assert_eq(fold_expired_below(f), GIVEN_MINUTE + minute - DAY_MINUTES);
        if (fold_wants_cut(f, ms_of(at + 1)))
            take_partials(f, ms_of(at + 1));
    }

    cr_expect_eq(f->books.carried, carried);
    cr_expect_eq(f->counts.expired, carried);
    cr_expect_eq(f->books.counted, counted);
    cr_expect_eq(f->counts.late, late);
    cr_expect_gt(carried, 100);
    cr_expect_gt(late, 1000);
    free(clicks);
    fold_free(f);
}
