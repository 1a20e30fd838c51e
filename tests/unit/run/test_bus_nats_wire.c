/* SPDX-License-Identifier: Apache-2.0
 * What JetStream answers, as nats-server 2.9.10 wrote it, and what it must not be taken for. */
#include "common/run/bus_nats_wire.h"

#include <criterion/criterion.h>

static struct span text(const char *t)
{
    return span_of_text(t);
}

Test(bus_nats_wire, an_ack_is_read_with_and_without_domain_and_duplicate)
{
    struct bus_nats_wire_ack ack;

    cr_assert(bus_nats_wire_ack(text("{\"stream\":\"S\", \"domain\":\"us\", \"seq\":7}"), &ack));
    cr_expect(ack.stored);
    cr_expect_eq(ack.seq, 7);

    cr_assert(bus_nats_wire_ack(text("{\"stream\":\"S\",\"seq\":3,\"duplicate\": true}"), &ack));
    cr_expect(ack.stored);
    cr_expect_eq(ack.seq, 3);
}

Test(bus_nats_wire, an_error_with_a_sequence_is_not_stored)
{
    struct bus_nats_wire_ack ack;
    struct span answer = text("{\"stream\":\"S\",\"seq\":9,\"error\":{\"code\":503,"
                              "\"err_code\":10077,\"description\":\"maximum bytes exceeded\"}}");

    cr_assert(bus_nats_wire_ack(answer, &ack));

    cr_expect_not(ack.stored);
    cr_expect_eq(ack.code, 10077);
}

Test(bus_nats_wire, what_is_no_ack_is_never_taken_for_one)
{
    static const char *const answers[] = {"",
                                          "hello",
                                          "{}",
                                          "{\"seq\":4}",
                                          "{\"stream\":\"S\"}",
                                          "{\"stream\":\"S\",\"seq\":0}",
                                          "{\"stream\":\"S\",\"seq\":-1}",
                                          "{\"stream\":\"S\",\"seq\":1.5}",
                                          "{\"stream\":\"S\",\"seq\":\"5\"}",
                                          "[{\"stream\":\"S\",\"seq\":4}]",
                                          "{\"a\":{\"stream\":\"S\",\"seq\":4}}",
                                          "{\"a\":\"\\\",\\\"stream\":\"S\",\"seq\":4",
                                          "{\"stream\":\"S\",\"seq\":18446744073709551616}"};
    struct bus_nats_wire_ack ack;

    for (size_t i = 0; i < countof(answers); i++)
        cr_expect_not(bus_nats_wire_ack(text(answers[i]), &ack), "%s", answers[i]);
}

Test(bus_nats_wire, a_field_is_found_only_at_its_own_level)
{
    struct span raw;
    struct span object =
        text(" { \"a\" : [1,{\"b\":2},\"}\"] , \"s\":\"q\\\"},{\" ,\"b\": {\"c\":3} }");

    cr_assert(bus_nats_wire_field(object, "b", &raw));
    cr_expect(span_equal(raw, text("{\"c\":3}")));
    cr_expect_not(bus_nats_wire_field(object, "c", &raw));
    cr_assert(bus_nats_wire_field(object, "a", &raw));
    cr_assert(bus_nats_wire_first(raw, &raw));
    cr_expect(span_equal(raw, text("1")));
    cr_expect_not(bus_nats_wire_first(text("[]"), &raw));
}

Test(bus_nats_wire, every_cut_of_an_answer_is_survived)
{
    const char *answer = "{\"type\":\"x\",\"message\":{\"subject\":\"s.\\u003e\",\"seq\":2,"
                         "\"data\":\"aGVsbG8x\"},\"error\":{\"err_code\":10037}}";
    size_t length = strlen(answer);

    for (size_t cut = 0; cut < length; cut++) {
        uint8_t *copy = malloc(cut == 0 ? 1 : cut); /* so that a sanitizer sees the end */
        memcpy(copy, answer, cut);
        struct bus_nats_wire_ack ack;
        (void)bus_nats_wire_ack(span_of(copy, cut), &ack);
        (void)bus_nats_wire_error(span_of(copy, cut));
        free(copy);
    }

    cr_expect_eq(bus_nats_wire_error(text(answer)), 10037);
    cr_expect_eq(bus_nats_wire_error(text("{\"error\":{}}")), 1);
    cr_expect_eq(bus_nats_wire_error(text("{\"config\":{\"error\":1}}")), 0);
}

Test(bus_nats_wire, text_is_unescaped_and_bounded)
{
    char out[8];

    cr_assert(bus_nats_wire_text(text("\"s.\\u003e\\\"\""), out, sizeof(out)));
    cr_expect_str_eq(out, "s.>\"");
    cr_assert(bus_nats_wire_text(text("\"1234567\""), out, sizeof(out)));
    cr_expect_not(bus_nats_wire_text(text("\"12345678\""), out, sizeof(out)));
    cr_expect_not(bus_nats_wire_text(text("\"a\\u0000\""), out, sizeof(out)));
    cr_expect_not(bus_nats_wire_text(text("\"a\\u00e9\""), out, sizeof(out)));
    cr_expect_not(bus_nats_wire_text(text("abc"), out, sizeof(out)));
}

Test(bus_nats_wire, base64_is_strict)
{
    static const struct {
        const char *coded;
        const char *plain;
    } good[] = {{"\"\"", ""},        {"\"Zg==\"", "f"},          {"\"Zm8=\"", "fo"},
                {"\"Zm9v\"", "foo"}, {"\"Zm9vYmFy\"", "foobar"}, {"\"+/+/\"", "\xfb\xff\xbf"}};
    static const char *const bad[] = {
        "\"Z\"",       "\"Zg\"",   "\"Zg=\"",      "\"Zg=a\"",  "\"Z===\"", "\"Zh==\"", "\"Zm9=\"",
        "\"Zm9v\\n\"", "\"====\"", "\"Zg==Zm9v\"", "\"Zm 9v\"", "Zm9v",     "\"-_-_\""};

    for (size_t i = 0; i < countof(good); i++) {
        struct buf out = {0};
        cr_expect(bus_nats_wire_base64(text(good[i].coded), &out), "%s", good[i].coded);
        cr_expect(span_equal(buf_span(&out), text(good[i].plain)), "%s", good[i].coded);
        buf_done(&out);
    }
    for (size_t i = 0; i < countof(bad); i++) {
        struct buf out = {0};
        cr_expect_not(bus_nats_wire_base64(text(bad[i]), &out), "%s", bad[i]);
        buf_done(&out);
    }
}

Test(bus_nats_wire, times_are_read_to_the_millisecond_and_rounded_down)
{
    static const struct {
        const char *raw;
        uint64_t ms;
    } good[] = {
        {"\"1970-01-01T00:00:00Z\"", 0},
        {"\"1970-01-01T00:00:00.999999999Z\"", 999},
        {"\"2023-11-14T22:13:20.123456789Z\"", 1700000000123ULL},
        {"\"2023-11-14T22:13:20.5Z\"", 1700000000500ULL},
        {"\"2024-02-29T23:59:59.07Z\"", 1709251199070ULL},
        {"\"2100-03-01T00:00:00Z\"", 4107542400000ULL},
        {"\"2000-12-31T00:00:00Z\"", 978220800000ULL},
    };
    static const char *const bad[] = {
        "",
        "\"\"",
        "2023-11-14T22:13:20Z",
        "\"2023-11-14T22:13:20\"",
        "\"2023-11-14T22:13:20+01:00\"",
        "\"2023-11-14T22:13:20Z \"",
        "\"2023-13-14T22:13:20Z\"",
        "\"2023-00-14T22:13:20Z\"",
        "\"2023-11-00T22:13:20Z\"",
        "\"2023-11-14T24:13:20Z\"",
        "\"2023-11-14T22:60:20Z\"",
        "\"2023-11-14T22:13:61Z\"",
        "\"1969-11-14T22:13:20Z\"",
        "\"2023-11-14 22:13:20Z\"",
        "\"2023-1x-14T22:13:20Z\"",
        "\"2023-11-14T22:13:20.\"",
        "\"2023-11-14T22:13:20.12\"",
    };

    for (size_t i = 0; i < countof(good); i++) {
        uint64_t ms = 1;
        cr_expect(bus_nats_wire_time(text(good[i].raw), &ms), "%s", good[i].raw);
        cr_expect_eq(ms, good[i].ms, "%s: %llu", good[i].raw, (unsigned long long)ms);
    }
    for (size_t i = 0; i < countof(bad); i++) {
        uint64_t ms = 7;
        cr_expect_not(bus_nats_wire_time(text(bad[i]), &ms), "%s", bad[i]);
        cr_expect_eq(ms, 7);
    }
}

Test(bus_nats_wire, both_forms_of_a_delivery_are_read)
{
    struct bus_nats_wire_delivery d;

    cr_assert(bus_nats_wire_delivery("$JS.ACK.S.ysefK66g.1.42.17.1795516011201976722.3", &d));
    cr_expect_eq(d.stream_seq, 42);
    cr_expect_eq(d.consumer_seq, 17);
    cr_expect_eq(d.time_ns, 1795516011201976722ULL);
    cr_expect_eq(d.pending, 3);

    cr_assert(bus_nats_wire_delivery("$JS.ACK.us.ACC.S.c.1.43.18.1795516011201976722.3.rnd", &d));
    cr_expect_eq(d.stream_seq, 43);
    cr_expect_eq(d.consumer_seq, 18);
    cr_assert(bus_nats_wire_delivery("$JS.ACK.us.ACC.S.c.1.44.19.1795516011201976722.3", &d));
    cr_expect_eq(d.stream_seq, 44);

    cr_expect_not(bus_nats_wire_delivery("", &d));
    cr_expect_not(bus_nats_wire_delivery("_INBOX.x.read.0.1.2", &d));
    cr_expect_not(bus_nats_wire_delivery("$JS.ACK.S.c.1.42.17.179.3.4", &d));
    cr_expect_not(bus_nats_wire_delivery("$JS.ACK.S.c.1.-1.17.179.3", &d));
    cr_expect_not(bus_nats_wire_delivery("$JS.ACK.S.c.1.1.17.179.x", &d));
    cr_expect_not(bus_nats_wire_delivery("$JS.ACK.S.c.1.99999999999999999999.17.179.3", &d));
    cr_expect_not(bus_nats_wire_delivery("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r", &d));
}

Test(bus_nats_wire, subjects_and_names_that_could_break_the_protocol_are_refused)
{
    char longest[300];
    memset(longest, 'a', sizeof(longest));
    longest[255] = '\0';

    cr_expect(bus_nats_wire_subject_ok("clicks.us.3.edge-1"));
    cr_expect(bus_nats_wire_subject_ok("clicks.us.>"));
    cr_expect(bus_nats_wire_subject_ok(longest));
    longest[255] = 'a';
    longest[256] = '\0';
    cr_expect_not(bus_nats_wire_subject_ok(longest));
    cr_expect_not(bus_nats_wire_subject_ok(""));
    cr_expect_not(bus_nats_wire_subject_ok("a b"));
    cr_expect_not(bus_nats_wire_subject_ok("a\r\nPUB x 0"));
    cr_expect_not(bus_nats_wire_subject_ok(".a"));
    cr_expect_not(bus_nats_wire_subject_ok("a."));
    cr_expect_not(bus_nats_wire_subject_ok("a..b"));

    cr_expect(bus_nats_wire_name_ok("CLICKS_us_3"));
    cr_expect_not(bus_nats_wire_name_ok(""));
    cr_expect_not(bus_nats_wire_name_ok("a.b"));
    cr_expect_not(bus_nats_wire_name_ok("a\"b"));
}
