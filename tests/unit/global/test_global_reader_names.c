/* SPDX-License-Identifier: Apache-2.0
 * A token's ads are found by looking at them alone: what others have changes neither the answer nor
 * the work. */
#include "global/global_reader_inside.h"
#include "globe_given.h"

#include <jansson.h>

#define OWN 5

static struct given_world *w;
static struct global_reader *reader;
static struct sim_nth nth;

static struct global_reader *reader_of_world(struct given_world *world)
{
    struct global_reader_options options = {.regions = {world->regions[0], world->regions[1]},
                                            .region_count = GIVEN_REGIONS,
                                            .kv = world->kv,
                                            .clock = &world->clock.port};
    return global_reader_new(&options);
}

static void setup(void)
{
    w = given_world();
    reader = reader_of_world(w);
}

static void teardown(void)
{
    global_reader_free(reader);
    given_world_free(w);
}

TestSuite(global_reader_names, .init = setup, .fini = teardown, .timeout = 60);

/* `count` ads of that format, one click each; in several cuts of one replica a partition. */
static void given_ads(const char *format, unsigned count)
{
    struct given_replica *r[GIVEN_PARTITIONS];
    for (uint16_t p = 0; p < GIVEN_PARTITIONS; p++)
        r[p] = given_replica(w, 0, p, "us-r1");
    for (unsigned i = 0; i < count; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), format, i);
        uint16_t p = hash_partition(hash_ad(span_of_text(name)), GIVEN_PARTITIONS);
        given_click(r[p], name, GIVEN_MINUTE, i, 1, 0);
    }
    for (uint16_t p = 0; p < GIVEN_PARTITIONS; p++) {
        given_cut(r[p]);
        given_replica_free(r[p]);
    }
    cr_assert_eq(given_run(w), ERR_OK);
}

static struct token given_token(const char *ads)
{
    struct token token = {.scopes = TOKEN_STATS_READ};
    cr_assert(token_ads_parse(span_of_text(ads), &token), "%s", ads);
    return token;
}

/* All names that the token may see, parted by spaces. */
static const char *names_of(const struct token *token, const char *prefix, const char *behind)
{
    static char text[4096];
    struct global_reader_names names;
    size_t used = 0;
    enum err err;
    text[0] = '\0';
    global_reader_names_begin(&names, token, span_of_text(prefix), span_of_text(behind));
    cr_assert_eq(kv_begin(w->kv, false, &reader->txn), ERR_OK);
    while ((err = global_reader_names_next(reader, &names)) == ERR_OK)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%.*s ", (int)names.last_length,
                                 names.last);
    cr_assert_eq(global_reader_end(reader, err), ERR_NOT_FOUND);
    return text;
}

Test(global_reader_names, names_come_in_order_and_once)
{
    static const struct {
        const char *ads, *prefix, *behind, *wanted;
    } rows[] = {
        {"*", "", "", "a-0 a-1 a-2 b b-0 b-1 c "},
        {"-", "", "", ""},
        {"b-*,a-1,b-1,b*,a-1", "", "", "a-1 b b-0 b-1 "},
        {"c,b,nobody,a-2", "", "", "a-2 b c "},
        {"a-*,c", "", "a-0", "a-1 a-2 c "},
        {"a-*,c", "", "a-2", "c "},
        {"a-*,c", "", "c", ""},
        {"a-*,c", "", "zzz", ""},
        {"a-*,b", "a-", "", "a-0 a-1 a-2 "},
        {"a*", "a-1", "", "a-1 "},
        {"a*", "b", "", ""},
        {"b", "b-", "", ""},
        {"b-1", "b", "", "b-1 "},
        {"*", "b", "b", "b-0 b-1 "},
        {"*", "zz", "", ""},
        {"%C3*", "", "", ""},
    };
    given_ads("a-%u", 3);
    given_ads("b-%u", 2);
    given_ads("b", 1);
    given_ads("c", 1);
    for (unsigned i = 0; i < countof(rows); i++) {
        struct token token = given_token(rows[i].ads);
        cr_assert_str_eq(names_of(&token, rows[i].prefix, rows[i].behind), rows[i].wanted,
                         "row %u: %s", i, names_of(&token, rows[i].prefix, rows[i].behind));
        token_done(&token);
    }
    cr_assert_str_eq(names_of(NULL, "", ""), rows[0].wanted);
}

/* Calls of the store that the top and the list of ads cost. */
static uint32_t work(const struct token *token, bool list)
{
    struct query q = {.start_minute = GIVEN_MINUTE, .end_minute = GIVEN_MINUTE + 7, .limit = 100};
    struct stats_json_top top;
    struct stats_json_answer answer;
    struct buf out = {0};
    nth = (struct sim_nth){.awake = true};
    sim_kv_nth(w->kv, &nth);
    if (list) {
        cr_assert_eq(global_reader_ads(reader, &q, token, &out), ERR_OK);
        json_t *page = json_loadb((const char *)out.data, out.length, 0, NULL);
        cr_assert_eq(json_array_size(json_object_get(page, "ads")), OWN);
        json_decref(page);
    } else {
        cr_assert_eq(global_reader_top(reader, &q, token, &top, &answer), ERR_OK);
        cr_assert_eq(top.ad_count, OWN);
    }
    buf_done(&out);
    sim_kv_nth(w->kv, NULL);
    return nth.met[SIM_CALL_BEGIN_READ] + nth.met[SIM_CALL_GET] + nth.met[SIM_CALL_SEEK];
}

Test(global_reader_names, the_work_of_a_token_does_not_depend_on_the_ads_of_others)
{
    struct token prefix = given_token("own-*");
    struct token exact = given_token("own-0,own-1,own-2,own-3,own-4");
    given_ads("own-%u", OWN);
    given_ads("foreign-%u", 3);
    uint32_t alone[4] = {work(&prefix, false), work(&prefix, true), work(&exact, false),
                         work(&exact, true)};

    given_ads("foreign-%u", 60);
    given_ads("owner-%u", 60);
    given_ads("ow%u", 60);

    uint32_t among[4] = {work(&prefix, false), work(&prefix, true), work(&exact, false),
                         work(&exact, true)};
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(alone[i], among[i], "%u: %u calls alone, %u among others", i, alone[i],
                     among[i]);
    token_done(&prefix);
    token_done(&exact);
}

Test(global_reader_names, a_store_from_before_gets_its_index_when_it_is_opened)
{
    struct kv_txn *txn;
    given_ads("a-%u", 40);
    cr_assert_eq(sim_kv_entries(w->kv, LEAF_TABLE_BY_NAME), 40);
    cr_assert_eq(kv_begin(w->kv, true, &txn), ERR_OK);
    for (unsigned i = 0; i < 40; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "a-%u", i);
        kv_del(txn, LEAF_TABLE_BY_NAME, span_of_text(name));
    }
    cr_assert_eq(kv_commit(&txn), ERR_OK);
    cr_assert_str_eq(names_of(NULL, "", ""), "");
    given_crash(w);
    given_start(w);
    cr_assert_eq(sim_kv_entries(w->kv, LEAF_TABLE_BY_NAME), 40);
    cr_assert_str_eq(names_of(NULL, "a-3", ""),
                     "a-3 a-30 a-31 a-32 a-33 a-34 a-35 a-36 a-37 a-38 a-39 ");
}

Test(global_reader_names, a_damaged_index_is_said_to_be_damaged)
{
    static const struct {
        const char *name, *value;
    } bad[] = {{"a-0", "12345678"}, {"a-0", "short"}};
    given_ads("a-%u", 1);
    for (unsigned i = 0; i < countof(bad); i++) {
        struct global_reader_names names;
        struct kv_txn *txn;
        cr_assert_eq(kv_begin(w->kv, true, &txn), ERR_OK);
        kv_put(txn, LEAF_TABLE_BY_NAME, span_of_text(bad[i].name), span_of_text(bad[i].value));
        cr_assert_eq(kv_commit(&txn), ERR_OK);
        cr_assert_eq(kv_begin(w->kv, false, &reader->txn), ERR_OK);
        global_reader_names_begin(&names, NULL, (struct span){0}, (struct span){0});
        cr_assert_eq(global_reader_names_next(reader, &names), ERR_KV_CORRUPT);
        cr_assert_eq(global_reader_end(reader, ERR_OK), ERR_OK);
    }
}
