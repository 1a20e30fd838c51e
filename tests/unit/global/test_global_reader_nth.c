/* SPDX-License-Identifier: Apache-2.0
 * Every read of every kind of query fails once: the query says so, never that there are no clicks,
 * and the next one answers as if nothing had been. */
#include "merger_given.h"

TestSuite(global_reader_nth, .init = setup, .fini = teardown, .timeout = 60);

static struct sim_nth nth = {.awake = true};

enum { STATS, WATERMARKS, TOP, ADS, BALANCE, KINDS };
static const char *const kinds[KINDS] = {"stats", "watermarks", "top", "ads", "balance"};

static struct global_reader *given_reader(void)
{
    struct global_reader_options options = {.regions = {w->regions[0], w->regions[1]},
                                            .region_count = GIVEN_REGIONS,
                                            .kv = w->kv,
                                            .clock = &w->clock.port};
    for (unsigned minute = 0; minute < 4; minute++) {
        for (unsigned i = 0; i < GIVEN_REGIONS; i++)
            for (uint16_t p = 0; p < GIVEN_PARTITIONS; p++)
                for (unsigned ad = 0; ad < 3; ad++)
                    given_click(r[i][p], given_ad(p, ad), GIVEN_MINUTE + minute, ad, 1 + ad, 1);
        close_minutes(1);
        cut_all();
    }
    run();
    sim_kv_nth(w->kv, &nth);
    return global_reader_new(&options);
}

static struct query given_query(void)
{
    struct query q = {.window = MINUTE_WINDOW_1M,
                      .start_minute = GIVEN_MINUTE,
                      .end_minute = GIVEN_MINUTE + 4,
                      .points = 4,
                      .limit = 3};
    q.ad_id_length = (size_t)snprintf(q.ad_id, sizeof(q.ad_id), "%s", given_ad(0, 1));
    return q;
}

/* The answer as text, so that all of it is compared. */
static enum err ask(struct global_reader *reader, unsigned kind, struct buf *out)
{
    struct query q = given_query();
    struct stats_json_answer answer = {.as_of = 4711};
    struct stats_json_top top = {.start = 4711};
    enum err err = ERR_OK;
    buf_clear(out);
    switch (kind) {
    case STATS:
        err = global_reader_stats(reader, &q, &answer);
        if (err == ERR_OK)
            stats_json_put(out, &answer);
        break;
    case WATERMARKS:
        err = global_reader_watermarks(reader, &answer);
        if (err == ERR_OK)
            stats_json_put_watermarks(out, &answer);
        break;
    case TOP:
        err = global_reader_top(reader, &q, NULL, &top, &answer);
        if (err == ERR_OK) {
            stats_json_put_top(out, &top);
            stats_json_put_standing(out, &answer);
        }
        break;
    case ADS:
        err = global_reader_ads(reader, &q, NULL, out);
        break;
    default:
        err = global_reader_balance(reader, out);
        break;
    }
    cr_assert(err == ERR_OK || (answer.as_of == 4711 && top.start == 4711 && out->length == 0),
              "%s: a half answer beside %s", kinds[kind], err_words(err));
    return err;
}

static const struct {
    enum sim_call call;
    enum err err;
} errors[] = {{SIM_CALL_BEGIN_READ, ERR_KV_BUSY}, {SIM_CALL_BEGIN_READ, ERR_KV_IO},
              {SIM_CALL_GET, ERR_KV_IO},          {SIM_CALL_GET, ERR_KV_CORRUPT},
              {SIM_CALL_SEEK, ERR_KV_IO},         {SIM_CALL_SEEK, ERR_KV_CORRUPT}};

static unsigned fail_in_turn(struct global_reader *reader, unsigned kind, unsigned error)
{
    struct buf whole = {0}, found = {0};
    nth = (struct sim_nth){.awake = true};
    cr_assert_eq(ask(reader, kind, &whole), ERR_OK);
    cr_assert_gt(whole.length, 20);
    unsigned n = 1;
    for (;; n++) {
        nth = (struct sim_nth){
            .awake = true, .calls = 1u << errors[error].call, .left = n, .err = errors[error].err};
        enum err err = ask(reader, kind, &found);
        cr_assert_eq(err, nth.fired ? errors[error].err : ERR_OK, "%s, call %u: %s", kinds[kind], n,
                     err_words(err));
        bool over = !nth.fired;
        nth = (struct sim_nth){.awake = true};
        cr_assert_eq(ask(reader, kind, &found), ERR_OK);
        cr_assert(span_equal(buf_span(&found), buf_span(&whole)), "%s after call %u", kinds[kind],
                  n);
        if (over)
            break;
    }
    buf_done(&whole);
    buf_done(&found);
    return n - 1;
}

Test(global_reader_nth, a_failed_read_is_never_an_answer)
{
    struct global_reader *reader = given_reader();
    unsigned taken[countof(errors)] = {0};
    for (unsigned kind = 0; kind < KINDS; kind++)
        for (unsigned error = 0; error < countof(errors); error++)
            taken[error] += fail_in_turn(reader, kind, error);
    for (unsigned error = 0; error < countof(errors); error++)
        cr_assert_geq(taken[error], 5, "error %u was taken %u times", error, taken[error]);
    sim_kv_nth(w->kv, NULL);
    global_reader_free(reader);
}
