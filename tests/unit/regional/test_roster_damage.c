/* SPDX-License-Identifier: Apache-2.0
 * A roster that is sealed but not what a replica writes is refused whole: an operator acts on
 * it. */
#include "proto/wire.h"
#include "regional/core/roster.h"

#include <criterion/criterion.h>

TestSuite(roster_damage, .timeout = 30);

/* What each field is, so that a test can spoil one of them. */
struct said {
    uint32_t fields, part_fields, map_numbers, applied, edge_fields, parts, parts_written;
    uint64_t partition;
    const char *replica, *edge;
    unsigned trailing;
};

static const struct said good = {.fields = 2,
                                 .part_fields = 7,
                                 .map_numbers = 2,
                                 .applied = 2 * FOLD_APPLIED,
                                 .edge_fields = 7,
                                 .parts = 1,
                                 .parts_written = 1,
                                 .partition = 5,
                                 .replica = "us-r1",
                                 .edge = "us-e1"};

static void put_part(struct buf *out, const struct said *s)
{
    wire_put_array(out, s->part_fields);
    wire_put_uint(out, s->partition);
    wire_put_bool(out, false);
    wire_put_uint(out, 1);
    wire_put_uint(out, 2);
    wire_put_array(out, s->map_numbers);
    for (uint32_t i = 0; i < s->map_numbers; i++)
        wire_put_uint(out, i % 2 * 8);
    wire_put_array(out, s->applied);
    for (unsigned i = 0; i < 2 * FOLD_APPLIED; i++)
        wire_put_uint(out, 0);
    wire_put_array(out, 1);
    wire_put_array(out, s->edge_fields);
    wire_put_text(out, s->edge);
    for (unsigned i = 0; i < 3; i++)
        wire_put_bool(out, true);
    for (unsigned i = 0; i < 3; i++)
        wire_put_uint(out, i);
}

static enum err read_said(const struct said *s)
{
    struct buf message = {0};
    struct roster in;
    wire_begin(&message, ROSTER_MAGIC, ROSTER_VERSION);
    wire_put_array(&message, s->fields);
    wire_put_text(&message, s->replica);
    wire_put_array(&message, s->parts);
    for (uint32_t i = 0; i < s->parts_written; i++)
        put_part(&message, s);
    for (unsigned i = 0; i < s->trailing; i++)
        wire_put_uint(&message, 0);
    wire_seal(&message);
    enum err err = roster_read(&in, buf_span(&message));
    if (err == ERR_OK)
        cr_assert_eq(in.part_count, s->parts);
    else
        cr_assert(in.part_count == 0 && in.parts == NULL, "empty on failure");
    roster_done(&in);
    buf_done(&message);
    return err;
}

Test(roster_damage, what_a_replica_writes_is_read)
{
    cr_assert_eq(read_said(&good), ERR_OK);
    struct said none = good;
    none.parts = none.parts_written = 0;
    cr_assert_eq(read_said(&none), ERR_OK);
    struct said two = good;
    two.parts = two.parts_written = 2;
    cr_assert_eq(read_said(&two), ERR_OK);
    struct said last = good;
    last.partition = LIMIT_PARTITIONS - 1;
    cr_assert_eq(read_said(&last), ERR_OK);
}

Test(roster_damage, every_other_shape_and_value_is_refused)
{
    struct said bad[] = {good, good, good, good, good, good, good, good, good,
                         good, good, good, good, good, good, good, good};
    bad[0].fields = 1;
    bad[1].fields = 3;
    bad[2].replica = "";
    bad[3].replica = "us.r1";
    bad[4].replica = "a-name-that-is-longer-than-any-reader";
    bad[5].parts = LIMIT_PARTITIONS + 1;
    bad[6].parts_written = 0; /* fewer than declared */
    bad[7].part_fields = 6;
    bad[8].applied = 2 * FOLD_APPLIED - 1;
    bad[9].partition = LIMIT_PARTITIONS;
    bad[10].edge_fields = 6;
    bad[11].edge = "";
    bad[12].edge = "us e1";
    bad[13].edge = "an-edge-whose-name-is-longer-than-any";
    bad[14].trailing = 1;
    bad[15].map_numbers = 0;
    bad[16].map_numbers = 4; /* two steps from minute 0 on */
    for (unsigned i = 0; i < countof(bad); i++)
        cr_assert_eq(read_said(&bad[i]), ERR_FORMAT, "case %u", i);
    struct said second = good;
    second.parts = second.parts_written = 2;
    second.trailing = 1;
    cr_assert_eq(read_said(&second), ERR_FORMAT);
}

/* Sealed anew after each change: the content alone decides, and nothing is read past its end. */
Test(roster_damage, any_changed_byte_or_length_is_a_definite_answer)
{
    struct buf whole = {0};
    struct roster in, out = {.part_count = 1};
    out.parts = base_zalloc(1, sizeof(*out.parts));
    out.parts[0].map = partition_map_of(4);
    out.parts[0].edge_count = 1;
    out.parts[0].edges = base_zalloc(1, sizeof(*out.parts[0].edges));
    memcpy(out.replica, "us-r1", 6);
    memcpy(out.parts[0].edges[0].name, "us-e1", 6);
    roster_write(&whole, &out);
    roster_done(&out);
    cr_assert_eq(roster_read(&in, buf_span(&whole)), ERR_OK);
    roster_done(&in);
    for (size_t length = WIRE_HEADER_BYTES + 1; length < whole.length; length++) {
        struct buf cut = {0};
        buf_put(&cut, whole.data, length);
        wire_seal(&cut);
        cr_assert_eq(roster_read(&in, buf_span(&cut)), ERR_FORMAT, "%zu bytes", length);
        cr_assert_null(in.parts);
        buf_done(&cut);
    }
    for (size_t at = WIRE_HEADER_BYTES; at < whole.length; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            whole.data[at] ^= (uint8_t)(1u << bit);
            wire_seal(&whole);
            enum err err = roster_read(&in, buf_span(&whole));
            cr_assert(err == ERR_OK || (err == ERR_FORMAT && in.parts == NULL), "byte %zu", at);
            roster_done(&in);
            whole.data[at] ^= (uint8_t)(1u << bit);
        }
    }
    buf_done(&whole);
}
