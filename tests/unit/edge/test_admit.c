/* SPDX-License-Identifier: Apache-2.0
 * admit: each rule at its boundary, and what makes two sendings one click. */
#include "edge/core/admit.h"

#include "common/base/minute.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define NOW_MS  1700000123456ULL
#define HOUR_MS 3600000ULL

static const uint8_t secret[HASH_KEY_BYTES] = "0123456789abcdef";
static const char regions[3][LIMIT_REGION_NAME_BYTES + 1] = {"us", "eu", "ap-south"};

static struct admit_rules given_rules(void)
{
    return (struct admit_rules){.secret = secret,
                                .regions = regions,
                                .region_count = 3,
                                .own_region = 1,
                                .partitions = 4,
                                .horizon_ms = 24 * HOUR_MS};
}

static struct admit_request given_request(void)
{
    return (struct admit_request){.now_ms = NOW_MS,
                                  .peer_ip = span_of_text("192.0.2.7"),
                                  .user_agent = span_of_text("header agent")};
}

static struct click_json_click given_click(void)
{
    return (struct click_json_click){
        .timestamp = NOW_MS, .ad_id = span_of_text("ad-1"), .user_id = span_of_text("user-1")};
}

static struct admit_verdict judged_by(struct admit_rules rules, struct admit_request request,
                                      struct click_json_click click)
{
    struct admit_verdict v;
    admit_click(&rules, &request, &click, &v);
    return v;
}

static struct admit_verdict judged(struct click_json_click click)
{
    return judged_by(given_rules(), given_request(), click);
}

static enum admit_fault fault_at(uint64_t timestamp)
{
    struct click_json_click c = given_click();
    c.timestamp = timestamp;
    return judged(c).fault;
}

static enum admit_fault fault_of_ip(const char *text)
{
    struct click_json_click c = given_click();
    c.ip_address = span_of_text(text);
    return judged(c).fault;
}

static void expect_key(const char *why, struct admit_verdict a, struct admit_verdict b, bool same)
{
    cr_assert(a.fault == ADMIT_OK && b.fault == ADMIT_OK, "%s", why);
    cr_expect((memcmp(a.click.key, b.click.key, HASH_CLICK_BYTES) == 0) == same, "%s", why);
}

static void expect_words(enum click_json_fault fault, const char *field, enum click_json_kind kind,
                         const char *expected)
{
    struct click_json_click c = {.fault = fault, .field = field, .kind = kind, .offset = 17};
    struct admit_verdict v = judged(c);
    char text[256];
    admit_explain(&v, &c, text, sizeof(text));
    cr_expect_str_eq(text, expected);
    cr_expect(v.fault == ADMIT_SCAN && v.scan == fault && v.field == field);
    cr_expect_str_eq(admit_token(&v), click_json_fault_token(fault));
}

Test(admit, fills_the_click_from_what_was_sent)
{
    struct click_json_click c = given_click();
    c.click_id = span_of_text("c-1");
    c.ip_address = span_of_text("2001:db8::1");
    c.user_agent = span_of_text("sent agent");

    struct admit_verdict v = judged(c);

    cr_assert(v.fault == ADMIT_OK && v.field == NULL);
    cr_expect(v.click.flags == 0);
    cr_expect(v.click.timestamp_ms == NOW_MS && v.click.received_ms == NOW_MS);
    cr_expect(v.click.minute == NOW_MS / MINUTE_MS);
    cr_expect(v.click.user_hash == hash_user(c.user_id));
    cr_expect(v.partition == hash_partition(hash_ad(c.ad_id), 4));
    cr_expect(span_equal(v.click.ad_id, c.ad_id) && span_equal(v.click.user_id, c.user_id));
    cr_expect(span_equal(v.click.click_id, c.click_id));
    cr_expect(span_equal(v.click.ip_address, c.ip_address));
    cr_expect(span_equal(v.click.user_agent, c.user_agent));
}

Test(admit, fills_in_what_was_not_sent_and_says_so)
{
    struct admit_verdict v = judged(given_click());
    cr_expect(v.click.flags == (CLICK_FLAG_IP_FILLED | CLICK_FLAG_AGENT_FILLED));
    cr_expect(span_equal(v.click.ip_address, span_of_text("192.0.2.7")));
    cr_expect(span_equal(v.click.user_agent, span_of_text("header agent")));

    struct click_json_click empty = given_click();
    empty.user_agent = span_of_text("");
    v = judged(empty);
    cr_expect(v.click.flags == CLICK_FLAG_IP_FILLED && v.click.user_agent.length == 0);
}

Test(admit, what_is_filled_in_keeps_the_bounds_of_a_click)
{
    static char agent[LIMIT_USER_AGENT_BYTES + 100];
    memset(agent, 'a', sizeof(agent));
    struct admit_request request = given_request();
    request.user_agent = span_of(agent, sizeof(agent));
    struct admit_verdict v = judged_by(given_rules(), request, given_click());
    cr_expect(v.click.user_agent.length == LIMIT_USER_AGENT_BYTES);

    /* A cut never parts a character, and what is not UTF-8 is left out. */
    memcpy(agent + LIMIT_USER_AGENT_BYTES - 1, "\xc3\xa9", 2);
    v = judged_by(given_rules(), request, given_click());
    cr_expect(v.click.user_agent.length == LIMIT_USER_AGENT_BYTES - 1);
    request.user_agent = span_of_text("Agent \xff 1");
    v = judged_by(given_rules(), request, given_click());
    cr_expect(span_equal(v.click.user_agent, span_of_text("Agent ")));

    request.peer_ip = span_of_text("fe80::1%a-very-long-interface-name-beyond-every-bound");
    v = judged_by(given_rules(), request, given_click());
    cr_expect(v.fault == ADMIT_OK && span_equal(v.click.ip_address, span_of_text("fe80::1")));
    request.peer_ip = span_of_text("not an address");
    v = judged_by(given_rules(), request, given_click());
    cr_expect(v.fault == ADMIT_OK && v.click.ip_address.length == 0);
}

Test(admit, limit_timestamp_seconds_max_parts_seconds_from_milliseconds)
{
    struct admit_rules rules = given_rules();
    struct admit_request request = given_request();
    struct click_json_click c = given_click();
    rules.horizon_ms = UINT64_MAX / 2;
    request.now_ms = LIMIT_TIMESTAMP_MS_MAX;

    c.timestamp = LIMIT_TIMESTAMP_SECONDS_MAX - 1;
    cr_expect(judged_by(rules, request, c).click.timestamp_ms ==
              (LIMIT_TIMESTAMP_SECONDS_MAX - 1) * 1000);
    c.timestamp = LIMIT_TIMESTAMP_SECONDS_MAX;
    cr_expect(judged_by(rules, request, c).click.timestamp_ms == LIMIT_TIMESTAMP_SECONDS_MAX);
    c.timestamp = 0;
    cr_expect(judged_by(rules, request, c).click.timestamp_ms == 0);
    c.timestamp = LIMIT_TIMESTAMP_MS_MAX;
    cr_expect(judged_by(rules, request, c).click.minute == LIMIT_TIMESTAMP_MS_MAX / MINUTE_MS);
}

Test(admit, limit_future_ms_is_the_latest_accepted)
{
    cr_expect(fault_at(NOW_MS + LIMIT_FUTURE_MS) == ADMIT_OK);
    cr_expect(fault_at(NOW_MS + LIMIT_FUTURE_MS + 1) == ADMIT_FUTURE);
    cr_expect(fault_at(LIMIT_TIMESTAMP_MS_MAX) == ADMIT_FUTURE);
    cr_expect(fault_at((NOW_MS + LIMIT_FUTURE_MS) / 1000) == ADMIT_OK);
    cr_expect(fault_at((NOW_MS + LIMIT_FUTURE_MS) / 1000 + 1) == ADMIT_FUTURE);
}

Test(admit, the_horizon_is_the_oldest_accepted)
{
    cr_expect(fault_at(NOW_MS - 24 * HOUR_MS) == ADMIT_OK);
    cr_expect(fault_at(NOW_MS - 24 * HOUR_MS - 1) == ADMIT_TOO_OLD);
    cr_expect(fault_at(0) == ADMIT_TOO_OLD);
    cr_expect(fault_at(12345) == ADMIT_TOO_OLD);

    struct admit_request early = given_request();
    struct click_json_click c = given_click();
    early.now_ms = 1000; /* a clock before the horizon has begun */
    c.timestamp = 0;
    cr_expect(judged_by(given_rules(), early, c).fault == ADMIT_OK);
}

Test(admit, home_is_the_one_named_or_our_own)
{
    struct click_json_click c = given_click();
    cr_expect(judged(c).home == 1);
    c.home = span_of_text("us");
    cr_expect(judged(c).home == 0);
    c.home = span_of_text("ap-south");
    cr_expect(judged(c).home == 2);

    static const char *const unknown[] = {"", "u", "uss", "US", "us ", "mars"};
    for (size_t i = 0; i < countof(unknown); i++) {
        c.home = span_of_text(unknown[i]);
        struct admit_verdict v = judged(c);
        cr_expect(v.fault == ADMIT_HOME_UNKNOWN && strcmp(v.field, "home") == 0, "%s", unknown[i]);
    }
    c.home = span_of("us\0", 3);
    cr_expect(judged(c).fault == ADMIT_HOME_UNKNOWN);
}

Test(admit, ip_address_is_an_address_in_text_form)
{
    static const char *const good[] = {
        "0.0.0.0",
        "255.255.255.255",
        "192.0.2.1",
        "::",
        "::1",
        "2001:DB8::a",
        "::ffff:192.0.2.1",
        "1:2:3:4:5:6:7:8",
        "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
    };
    static const char *const bad[] = {
        "",
        " ",
        "1",
        "1.2.3",
        "1.2.3.4.5",
        "256.0.0.1",
        "01.2.3.4",
        "1.2.3.4 ",
        " 1.2.3.4",
        "1.2.3.4/8",
        "1.2.3.4:80",
        "localhost",
        "::g",
        ":::",
        "1::2::3",
        "12345::",
        "[::1]",
        "fe80::1%eth0",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "0x7f.0.0.1",
        "::1.2.3",
    };
    for (size_t i = 0; i < countof(good); i++)
        cr_expect(fault_of_ip(good[i]) == ADMIT_OK, "%s", good[i]);
    for (size_t i = 0; i < countof(bad); i++)
        cr_expect(fault_of_ip(bad[i]) == ADMIT_IP_INVALID, "%s", bad[i]);
    struct click_json_click c = given_click();
    c.ip_address = span_of("1.2.3.4\0x", 9);
    cr_expect(judged(c).fault == ADMIT_IP_INVALID);
}

Test(admit, a_retry_keeps_its_key_whatever_is_filled_in)
{
    struct admit_request other = {.now_ms = NOW_MS + 999,
                                  .peer_ip = span_of_text("2001:db8::99"),
                                  .user_agent = span_of_text("another proxy")};
    struct click_json_click first = given_click();
    struct click_json_click again = given_click();
    again.index = 7;
    again.home = span_of_text("us");
    expect_key("fields", judged(first), judged_by(given_rules(), other, again), true);

    first.click_id = again.click_id = span_of_text("c-1");
    expect_key("click_id", judged(first), judged_by(given_rules(), other, again), true);
    again.user_id = span_of_text("user-2");
    again.timestamp -= 1;
    expect_key("click_id alone with ad_id is the id", judged(first), judged(again), true);
}

Test(admit, one_click_id_under_two_ads_is_two_clicks)
{
    struct click_json_click a = given_click();
    struct click_json_click b = given_click();
    a.click_id = b.click_id = span_of_text("c-1");
    b.ad_id = span_of_text("ad-2");
    expect_key("ad_id is part of the key", judged(a), judged(b), false);
}

Test(admit, click_id_comes_before_the_idempotency_key_and_that_before_the_fields)
{
    struct admit_request request = given_request();
    struct admit_request with_key = given_request();
    with_key.idempotency_key = span_of_text("c-1");
    struct click_json_click plain = given_click();
    struct click_json_click with_id = given_click();
    with_id.click_id = span_of_text("c-1");

    expect_key("click_id wins", judged_by(given_rules(), request, with_id),
               judged_by(given_rules(), with_key, with_id), true);
    expect_key("the same id of another kind", judged_by(given_rules(), with_key, with_id),
               judged_by(given_rules(), with_key, plain), false);
    expect_key("the key instead of the fields", judged_by(given_rules(), request, plain),
               judged_by(given_rules(), with_key, plain), false);
    plain.user_id = span_of_text("user-2");
    expect_key("the key hides the fields", judged_by(given_rules(), with_key, given_click()),
               judged_by(given_rules(), with_key, plain), true);
}

Test(admit, the_index_matters_under_an_idempotency_key_only)
{
    struct admit_request with_key = given_request();
    with_key.idempotency_key = span_of_text("batch-1");
    struct click_json_click first = given_click();
    struct click_json_click second = given_click();
    second.index = 1;
    expect_key("idempotency", judged_by(given_rules(), with_key, first),
               judged_by(given_rules(), with_key, second), false);
    expect_key("fields", judged(first), judged(second), true);
    first.click_id = second.click_id = span_of_text("c");
    expect_key("click_id", judged_by(given_rules(), with_key, first),
               judged_by(given_rules(), with_key, second), true);
}

Test(admit, every_one_of_the_five_fields_as_sent_is_in_the_key)
{
    struct click_json_click base = given_click();
    base.ip_address = span_of_text("192.0.2.7");
    base.user_agent = span_of_text("header agent");
    struct click_json_click c = base;
    expect_key("the same", judged(base), judged(c), true);
    c.ad_id = span_of_text("ad-2");
    expect_key("ad_id", judged(base), judged(c), false);
    c = base;
    c.user_id = span_of_text("user-2");
    expect_key("user_id", judged(base), judged(c), false);
    c = base;
    c.timestamp--;
    expect_key("timestamp", judged(base), judged(c), false);
    c = base;
    c.ip_address = span_of_text("192.0.2.8");
    expect_key("ip_address", judged(base), judged(c), false);
    c = base;
    c.user_agent = span_of_text("header agenT");
    expect_key("user_agent", judged(base), judged(c), false);

    /* Sent and filled in with the same text are not the same. */
    c = base;
    c.ip_address = (struct span){0};
    expect_key("absent ip_address", judged(base), judged(c), false);
    c = base;
    c.user_agent = (struct span){0};
    expect_key("absent user_agent", judged(base), judged(c), false);
    base.user_agent = span_of_text("");
    expect_key("absent and empty", judged(base), judged(c), false);
}

Test(admit, bytes_may_not_wander_from_one_field_to_the_next)
{
    struct click_json_click a = given_click();
    struct click_json_click b = given_click();
    a.ad_id = span_of_text("x");
    a.user_id = span_of_text("yz");
    b.ad_id = span_of_text("xy");
    b.user_id = span_of_text("z");
    expect_key("ad_id and user_id", judged(a), judged(b), false);

    b.ad_id = a.ad_id;
    b.user_id = span_of("yz\0\0\0\0\0\0", 8);
    expect_key("a shorter id and an absent field", judged(a), judged(b), false);

    /* Without lengths these two would give one text: 1 00 y 1 00 1.1.1.1 1 00 2.2.2.2 1 00 w. */
    a.ad_id = b.ad_id = span_of_text("x");
    a.user_id = span_of("y\1\0\0"
                        "1.1.1.1",
                        11);
    a.ip_address = span_of_text("2.2.2.2");
    a.user_agent = span_of_text("w");
    b.user_id = span_of_text("y");
    b.ip_address = span_of_text("1.1.1.1");
    b.user_agent = span_of("2.2.2.2\1\0\0w", 11);
    expect_key("user_id, ip_address and user_agent", judged(a), judged(b), false);

    /* The longest id of all: every field at its bound. */
    static char text[LIMIT_USER_AGENT_BYTES];
    memset(text, 'm', sizeof(text));
    a.ad_id = a.user_id = span_of(text, LIMIT_ID_BYTES);
    a.ip_address = span_of_text("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255");
    a.user_agent = span_of(text, LIMIT_USER_AGENT_BYTES);
    cr_assert(a.ip_address.length == LIMIT_IP_TEXT_BYTES);
    b = a;
    expect_key("at the bounds", judged(a), judged(b), true);
    b.user_agent.length--;
    expect_key("at the bounds less one", judged(a), judged(b), false);
}

Test(admit, another_secret_is_another_key)
{
    static const uint8_t other[HASH_KEY_BYTES] = "0123456789abcdeF";
    struct admit_rules rules = given_rules();
    rules.secret = other;
    expect_key("secret", judged(given_click()), judged_by(rules, given_request(), given_click()),
               false);
}

static int compare_keys(const void *a, const void *b)
{
    return memcmp(a, b, HASH_CLICK_BYTES);
}

Test(admit, four_thousand_clicks_have_distinct_keys_and_partitions_in_range)
{
    enum { N = 4000 };
    static uint8_t keys[N][HASH_CLICK_BYTES];
    unsigned per_partition[4] = {0};
    for (unsigned i = 0; i < N; i++) {
        char ad[16];
        char user[16];
        snprintf(ad, sizeof(ad), "ad-%u", i % 50);
        snprintf(user, sizeof(user), "u-%u", i / 50);
        struct click_json_click c = given_click();
        c.ad_id = span_of_text(ad);
        c.user_id = span_of_text(user);
        struct admit_verdict v = judged(c);
        cr_assert(v.fault == ADMIT_OK && v.partition < 4);
        per_partition[v.partition]++;
        memcpy(keys[i], v.click.key, HASH_CLICK_BYTES);
    }
    qsort(keys, N, HASH_CLICK_BYTES, compare_keys);
    for (unsigned i = 1; i < N; i++)
        cr_assert(compare_keys(keys[i - 1], keys[i]) != 0);
    for (unsigned p = 0; p < 4; p++)
        cr_expect(per_partition[p] > 0);
}

Test(admit, explains_with_field_kind_and_rule)
{
    expect_words(CLICK_JSON_WRONG_KIND, "timestamp", CLICK_JSON_STRING,
                 "timestamp: must be an integer number of seconds or milliseconds, not a string");
    expect_words(CLICK_JSON_WRONG_KIND, "ad_id", CLICK_JSON_NULL,
                 "ad_id: must be a string, not null");
    expect_words(CLICK_JSON_WRONG_KIND, "user_id", CLICK_JSON_ARRAY,
                 "user_id: must be a string, not an array");
    expect_words(CLICK_JSON_FIELD_MISSING, "ad_id", 0, "ad_id: must be present");
    expect_words(CLICK_JSON_FIELD_EMPTY, "click_id", 0, "click_id: must not be empty");
    expect_words(CLICK_JSON_FIELD_LONG, "ad_id", 0, "ad_id: must not be longer than 128 bytes");
    expect_words(CLICK_JSON_FIELD_LONG, "ip_address", 0,
                 "ip_address: must not be longer than 45 bytes");
    expect_words(CLICK_JSON_FIELD_LONG, "user_agent", 0,
                 "user_agent: must not be longer than 512 bytes");
    expect_words(CLICK_JSON_NOT_INTEGER, "timestamp", 0,
                 "timestamp: must be an integer without fraction or exponent");
    expect_words(CLICK_JSON_NEGATIVE, "timestamp", 0, "timestamp: must not be negative");
    expect_words(CLICK_JSON_TOO_LARGE, "timestamp", 0,
                 "timestamp: must not be later than the year 9999");
    expect_words(CLICK_JSON_DUPLICATE_KEY, "ad_id", 0, "ad_id: must not occur twice (byte 17)");
    expect_words(CLICK_JSON_DUPLICATE_KEY, NULL, 0, "click: a key occurs twice (byte 17)");
    expect_words(CLICK_JSON_NOT_OBJECT, NULL, CLICK_JSON_NUMBER,
                 "click: must be an object, not a number");
    expect_words(CLICK_JSON_SYNTAX, NULL, 0, "click: must be JSON (RFC 8259) (byte 17)");
    expect_words(CLICK_JSON_CLICK_LONG, NULL, 0,
                 "click: must not be longer than 16384 bytes of JSON");
    expect_words(CLICK_JSON_CONTROL, "ad_id", 0, "ad_id: must not contain control characters");
}

Test(admit, explains_its_own_faults_with_a_token)
{
    static const struct {
        enum admit_fault fault;
        const char *token, *words;
    } rows[] = {
        {ADMIT_OK, "ok", "accepted"},
        {ADMIT_FUTURE, "timestamp_in_future",
         "timestamp: must not be more than 5 minutes in the future"},
        {ADMIT_TOO_OLD, "timestamp_too_old",
         "timestamp: must not be older than the dedupe horizon"},
        {ADMIT_HOME_UNKNOWN, "home_unknown", "home: must name a region of this deployment"},
        {ADMIT_IP_INVALID, "ip_address_invalid",
         "ip_address: must be an IPv4 or IPv6 address in text form"},
    };
    struct click_json_click c = given_click();
    for (size_t i = 0; i < countof(rows); i++) {
        struct admit_verdict v = {.fault = rows[i].fault};
        char text[128];
        char small[8] = "#######";
        admit_explain(&v, &c, text, sizeof(text));
        cr_expect_str_eq(text, rows[i].words);
        cr_expect_str_eq(admit_token(&v), rows[i].token);
        admit_explain(&v, &c, small, 4);
        cr_expect(strlen(small) == 3 && small[4] == '#');
        admit_explain(&v, &c, small, 0);
    }
}
