/* SPDX-License-Identifier: Apache-2.0
 * The partition map at a fold: a step of it is a message of the control line, and holds for event
 * minutes (design 4.1). */
#include "regional/core/fold_state.h"
#include "unit/regional/region_given.h"

#define T     (GIVEN_START_MS + 5000)
#define STEP  (GIVEN_MINUTE + 10)
#define GROWN 8

static void when_map(struct fold *f, uint32_t from_minute, uint16_t partitions, bool again)
{
    struct control_message c = {.number = f->control_floor,
                                .kind = CONTROL_MAP,
                                .from_minute = from_minute,
                                .partitions = partitions,
                                .again = again};
    struct buf message = {0};
    control_write(&message, &c);
    struct subject s = subject_control(GIVEN_REGION, f->options.partition);
    struct fold_message m = {s.text, T, buf_span(&message)};
    cr_assert_eq(fold_step(f, &m), ERR_OK);
    buf_done(&message);
}

/* One click of an ad of GIVEN_PARTITION under GIVEN_PARTITIONS, in a minute. */
static void when_click(struct fold *f, unsigned ad, uint32_t minute, uint64_t number)
{
    struct given_click g = {.ad = ad, .user = 1, .id = (unsigned)number, .minute = minute};
    struct segment_head h = given_head("us-e1", 9, number, number + 1, T);
    h.partition = f->options.partition;
    struct click c = given_wire_click(GIVEN_PARTITION, &g);
    struct buf message = {0};
    segment_write(&message, &h, &c, 1);
    struct subject s = subject_segment(GIVEN_REGION, f->options.partition, "us-e1");
    struct fold_message m = {s.text, T, buf_span(&message)};
    cr_assert_eq(fold_step(f, &m), ERR_OK);
    buf_done(&message);
}

static uint16_t grown_partition(unsigned ad)
{
    return hash_partition(hash_ad(span_of_text(given_ad(ad))), GROWN);
}

Test(fold_map, a_click_goes_by_the_map_of_its_own_minute)
{
    struct fold_options o = given_options();
    struct fold *old = fold_new(&o);
    o.partition = grown_partition(0);
    struct fold *new_ = fold_new(&o);
    cr_assert_neq(o.partition, GIVEN_PARTITION, "the first ad moves");
    when_map(old, STEP, GROWN, false);
    when_map(new_, STEP, GROWN, false);

    when_click(old, 0, STEP - 1, 0);
    when_click(old, 0, STEP, 1);
    when_click(new_, 0, STEP - 1, 0);
    when_click(new_, 0, STEP, 1);

    cr_assert(old->books.counted == 1 && old->counts.misplaced == 1);
    cr_assert(new_->books.counted == 1 && new_->counts.misplaced == 1);
    cr_assert_eq(old->horizon.tables[0]->minute, STEP - 1);
    cr_assert_eq(new_->horizon.tables[0]->minute, STEP);
    fold_free(old);
    fold_free(new_);
}

Test(fold_map, a_step_is_refused_where_clicks_of_its_minutes_are_counted)
{
    struct fold *f = given_fold();
    when_click(f, 0, STEP, 0);
    when_map(f, STEP, GROWN, false);
    cr_assert(f->map.count == 1 && f->counts.map_refused == 1);
    cr_assert_eq(f->control_floor, 1, "its number is passed all the same");
    when_map(f, STEP + 1, GIVEN_PARTITIONS, false);
    cr_assert(f->map.count == 1 && f->counts.map_refused == 2, "no growth");
    when_map(f, STEP + 1, GROWN, false);
    cr_assert(f->map.count == 2 && f->map.steps[1].from_minute == STEP + 1);
    cr_assert(f->uncut);
    fold_free(f);
}

Test(fold_map, a_step_is_put_off_when_it_is_said_again_for_a_later_minute)
{
    struct fold *f = given_fold();
    when_map(f, STEP, GROWN, false);
    when_map(f, STEP + 5, GROWN, false);
    cr_assert_eq(f->map.steps[1].from_minute, STEP, "a second step so soon needs to be said again");
    when_map(f, STEP + 5, GROWN, true);
    cr_assert(f->map.count == 2 && f->map.steps[1].from_minute == STEP + 5);
    when_map(f, STEP, GROWN, true);
    cr_assert_eq(f->map.steps[1].from_minute, STEP + 5, "never sooner");
    f->watermark_ms = minute_start_ms(STEP + 7);
    when_map(f, STEP + 20, GROWN, true);
    cr_assert_eq(f->map.steps[1].from_minute, STEP + 20, "also when it has come");
    cr_assert_eq(f->counts.map_refused, 2);
    fold_free(f);
}

Test(fold_map, a_partition_that_the_map_does_not_name_yet_tells_nothing)
{
    struct fold_options o = given_options();
    o.partition = GIVEN_PARTITIONS + 1;
    struct fold *f = fold_new(&o);
    struct cut before = {0}, after = {0};
    struct cut_request request = {
        .who = {.replica = "us-r1", .store_id = 1}, .time_ms = T + 5000, .by_stream = true};
    when_click(f, 0, GIVEN_MINUTE, 0);
    cr_assert_eq(f->counts.misplaced, 1);
    cr_assert_eq(cut_make(f, &request, &before), ERR_OK);
    cr_assert_eq(before.partials.count, 0);
    when_map(f, STEP, GROWN, false);
    cr_assert_eq(cut_make(f, &request, &after), ERR_OK);
    cr_assert_eq(after.partials.count, 1);
    cr_assert_eq(partition_map_last(&after.map), GROWN);
    cut_done(&before);
    cut_done(&after);
    fold_free(f);
}

Test(fold_map, a_grown_map_is_part_of_the_state_and_one_that_has_not_grown_reads_as_before)
{
    struct fold *f = given_fold(), *back = given_fold(), *other;
    struct fold_position position = {7, 8}, read;
    struct buf plain = {0}, grown = {0};
    fold_state_write(&plain, f, &position);
    cr_assert_eq(plain.data[0], FOLD_STATE_VERSION);
    when_map(f, STEP, GROWN, false);
    fold_state_write(&grown, f, &position);

    cr_assert_eq(fold_state_read(back, &read, buf_span(&grown)), ERR_OK);
    cr_assert(partition_map_equal(&back->map, &f->map));
    struct fold_options o = given_options();
    o.partitions = GIVEN_PARTITIONS + 1;
    other = fold_new(&o);
    cr_assert_eq(fold_state_read(other, &read, buf_span(&grown)), ERR_CONFIG);
    for (size_t at = 0; at + 8 < grown.length; at++) {
        struct fold *damaged = given_fold();
        grown.data[at] ^= 0x10;
        bytes_store_u64(grown.data + grown.length - 8,
                        hash_checksum(span_of(grown.data, grown.length - 8), FOLD_STATE_SEED));
        enum err err = fold_state_read(damaged, &read, buf_span(&grown));
        cr_assert(err == ERR_OK || err == ERR_CONFIG || err == ERR_KV_CORRUPT);
        cr_assert(err != ERR_OK || partition_map_is_valid(&damaged->map));
        grown.data[at] ^= 0x10;
        fold_free(damaged);
    }
    buf_done(&plain);
    buf_done(&grown);
    fold_free(f);
    fold_free(back);
    fold_free(other);
}
