/* SPDX-License-Identifier: Apache-2.0
 * A state that is sealed but cut, longer or changed is refused with a definite error, or is a state
 * that a fold could have written: read back and written again it is the same. */
#include "regional/core/fold_state.h"

#include "unit/regional/region_given.h"

TestSuite(fold_state_damage, .timeout = 120);

#define SEAL_BYTES 8

static void given_state(struct buf *out)
{
    static const struct given_click clicks[] = {
        {.ad = 0, .user = 1, .id = 1, .minute = GIVEN_MINUTE},
        {.ad = 1, .user = 2, .id = 2, .minute = GIVEN_MINUTE}};
    struct fold *f = given_fold();
    struct fold_position position = {.seq = 7, .digest = 9};
    when_control(f, CONTROL_ENROL, "us-e1", 0, GIVEN_START_MS);
    when_control(f, CONTROL_ENROL, "us-e2", 0, GIVEN_START_MS);
    struct segment_head h = given_head("us-e1", 9, 0, 2, GIVEN_START_MS);
    cr_assert_eq(when_segment(f, &h, clicks, GIVEN_START_MS), ERR_OK);
    h = given_head("us-e1", 11, 0, 0, GIVEN_START_MS);
    cr_assert_eq(when_segment(f, &h, clicks, GIVEN_START_MS), ERR_OK);
    fold_state_write(out, f, &position);
    fold_free(f);
}

/* The body, sealed anew. */
static enum err read_sealed(struct span body, struct buf *out_again)
{
    struct buf value = {0};
    struct fold *f = given_fold();
    struct fold_position position = {.seq = 4711};
    buf_put(&value, body.data, body.length);
    buf_put_u64(&value, hash_checksum(body, FOLD_STATE_SEED));
    enum err err = fold_state_read(f, &position, buf_span(&value));
    if (err == ERR_OK)
        fold_state_write(out_again, f, &position);
    else
        cr_assert_eq(position.seq, 4711, "untouched on failure");
    fold_free(f);
    buf_done(&value);
    return err;
}

Test(fold_state_damage, cut_anywhere_or_longer_it_is_refused)
{
    struct buf state = {0}, again = {0};
    given_state(&state);
    size_t length = state.length - SEAL_BYTES;
    cr_assert_eq(read_sealed(span_of(state.data, length), &again), ERR_OK);
    cr_assert(span_equal(buf_span(&again), buf_span(&state)));
    for (size_t cut = 0; cut < length; cut++)
        cr_assert_eq(read_sealed(span_of(state.data, cut), &again), ERR_KV_CORRUPT, "%zu bytes",
                     cut);
    cr_assert_eq(read_sealed(span_of(state.data, length + 1), &again), ERR_KV_CORRUPT);
    buf_done(&state);
    buf_done(&again);
}

Test(fold_state_damage, any_changed_byte_is_refused_or_another_state)
{
    struct buf state = {0}, again = {0}, once = {0};
    unsigned refused = 0, other = 0;
    given_state(&state);
    size_t length = state.length - SEAL_BYTES;
    for (size_t at = 0; at < length; at++) {
        uint8_t was = state.data[at];
        for (unsigned bit = 0; bit < 8; bit++) {
            state.data[at] = (uint8_t)(was ^ 1u << bit);
            enum err err = read_sealed(span_of(state.data, length), &again);
            refused += err != ERR_OK;
            if (err != ERR_OK) {
                cr_assert(err == ERR_KV_CORRUPT || err == ERR_CONFIG, "byte %zu: %s", at,
                          err_words(err));
                continue;
            }
            /* What was understood is understood the same again. */
            other++;
            cr_assert_eq(read_sealed(span_of(again.data, again.length - SEAL_BYTES), &once),
                         ERR_OK);
            cr_assert(span_equal(buf_span(&once), buf_span(&again)), "byte %zu", at);
        }
        state.data[at] = was;
    }
    cr_assert(refused > 300 && other > 300, "%u refused, %u other", refused, other);
    buf_done(&state);
    buf_done(&again);
    buf_done(&once);
}
