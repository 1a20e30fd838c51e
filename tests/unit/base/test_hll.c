/* SPDX-License-Identifier: Apache-2.0
 * hll: the sketch is a set, its bytes are canonical, and its error is what theory says. */
#include "common/base/hll.h"
#include "common/base/rng.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

static struct hll sketch_of(uint64_t seed, unsigned users)
{
    struct rng rng = {seed};
    struct hll h = {0};
    for (unsigned i = 0; i < users; i++)
        (void)hll_add(&h, rng_next(&rng));
    return h;
}

static struct hll copy_of(const struct hll *h)
{
    struct hll copy = {0};
    (void)hll_merge(&copy, h);
    return copy;
}

static void expect_same(const struct hll *a, const struct hll *b)
{
    struct buf bytes_a = {0}, bytes_b = {0};
    hll_put(a, &bytes_a);
    hll_put(b, &bytes_b);
    cr_assert(span_equal(buf_span(&bytes_a), buf_span(&bytes_b)));
    cr_assert_eq(hll_is_dense(a), hll_is_dense(b));
    cr_assert_eq(hll_estimate(a), hll_estimate(b));
    buf_done(&bytes_a);
    buf_done(&bytes_b);
}

/* Around the step from tokens to registers, and far from it. */
static const unsigned sizes[] = {0,   1,   2,   3,   50,  120,  127,  128,
                                 129, 130, 131, 140, 500, 5000, 40000};

Test(hll, the_order_of_arrival_does_not_matter)
{
    struct rng rng = {1};
    static uint64_t users[5000];
    for (unsigned s = 0; s < countof(sizes) && sizes[s] <= countof(users); s++) {
        unsigned n = sizes[s];
        struct hll forward = {0}, shuffled = {0};
        for (unsigned i = 0; i < n; i++)
            (void)hll_add(&forward, users[i] = rng_next(&rng));
        for (unsigned i = n; i > 1; i--) {
            unsigned j = (unsigned)rng_below(&rng, i);
            uint64_t swap = users[i - 1];
            users[i - 1] = users[j];
            users[j] = swap;
        }
        for (unsigned i = 0; i < n; i++)
            (void)hll_add(&shuffled, users[i]);

        expect_same(&forward, &shuffled);
        hll_done(&forward);
        hll_done(&shuffled);
    }
}

Test(hll, a_user_who_comes_again_changes_nothing)
{
    for (unsigned s = 0; s < countof(sizes); s++) {
        struct hll h = sketch_of(s, sizes[s]);
        struct rng again = {s};
        for (unsigned i = 0; i < sizes[s]; i++)
            cr_assert_not(hll_add(&h, rng_next(&again)));
        hll_done(&h);
    }
}

Test(hll, adding_says_truly_whether_the_state_changed)
{
    struct rng rng = {5};
    struct hll h = {0};
    struct buf before = {0}, after = {0};
    for (unsigned i = 0; i < 600; i++) {
        bool changed = hll_add(&h, rng_next(&rng));
        buf_clear(&after);
        hll_put(&h, &after);
        cr_assert_eq(changed, !span_equal(buf_span(&before), buf_span(&after)));
        buf_clear(&before);
        buf_put(&before, after.data, after.length);
    }
    buf_done(&before);
    buf_done(&after);
    hll_done(&h);
}

Test(hll, merge_commutes)
{
    for (unsigned i = 0; i < countof(sizes); i++) {
        for (unsigned j = 0; j < countof(sizes); j++) {
            struct hll a = sketch_of(10 + i, sizes[i]), b = sketch_of(1000 + j, sizes[j]);
            struct hll ab = copy_of(&a), ba = copy_of(&b);
            (void)hll_merge(&ab, &b);
            (void)hll_merge(&ba, &a);
            expect_same(&ab, &ba);
            hll_done(&a);
            hll_done(&b);
            hll_done(&ab);
            hll_done(&ba);
        }
    }
}

Test(hll, merge_associates)
{
    struct rng rng = {7};
    for (unsigned trial = 0; trial < 200; trial++) {
        struct hll part[3], left, right, tail;
        for (unsigned k = 0; k < 3; k++)
            part[k] =
                sketch_of(rng_next(&rng), (unsigned)rng_below(&rng, 1u << rng_below(&rng, 10)));
        left = copy_of(&part[0]);
        (void)hll_merge(&left, &part[1]);
        (void)hll_merge(&left, &part[2]);
        tail = copy_of(&part[1]);
        (void)hll_merge(&tail, &part[2]);
        right = copy_of(&part[0]);
        (void)hll_merge(&right, &tail);

        expect_same(&left, &right);
        for (unsigned k = 0; k < 3; k++)
            hll_done(&part[k]);
        hll_done(&left);
        hll_done(&right);
        hll_done(&tail);
    }
}

Test(hll, merging_again_changes_nothing)
{
    for (unsigned i = 0; i < countof(sizes); i++) {
        struct hll a = sketch_of(3, sizes[i]), b = sketch_of(4, sizes[countof(sizes) - 1 - i]);
        (void)hll_merge(&a, &b);
        struct hll once = copy_of(&a);

        cr_assert_not(hll_merge(&a, &b));
        cr_assert_not(hll_merge(&a, &a));
        expect_same(&a, &once);
        hll_done(&a);
        hll_done(&b);
        hll_done(&once);
    }
}

Test(hll, a_merge_equals_adding_all_users_to_one)
{
    for (unsigned i = 0; i < countof(sizes); i++) {
        struct rng rng = {20 + i};
        struct hll odd = {0}, even = {0}, all = {0};
        for (unsigned n = 0; n < sizes[i]; n++) {
            uint64_t user = rng_next(&rng);
            (void)hll_add(n % 2 ? &odd : &even, user);
            (void)hll_add(&all, user);
        }
        (void)hll_merge(&odd, &even);

        expect_same(&odd, &all);
        hll_done(&odd);
        hll_done(&even);
        hll_done(&all);
    }
}

Test(hll, the_form_follows_the_number_of_registers_in_use)
{
    struct rng rng = {9};
    struct hll h = {0};
    uint8_t shadow[HLL_REGISTERS] = {0};
    for (unsigned i = 0; i < 400; i++) {
        uint64_t user = rng_next(&rng);
        (void)hll_add(&h, user);
        shadow[user >> 52] = 1;
        unsigned used = 0;
        for (unsigned k = 0; k < HLL_REGISTERS; k++)
            used += shadow[k];
        cr_assert_eq(hll_is_dense(&h), used > HLL_TOKENS_MAX);
        cr_assert(hll_is_dense(&h) || h.token_count == used);
    }
    hll_done(&h);
}

/* A second estimator's view: the same set as registers and as tokens must be estimated alike. */
Test(hll, tokens_and_registers_give_equal_estimates)
{
    for (unsigned n = 0; n <= 120; n++) {
        struct hll small = sketch_of(n, n);
        struct hll grown = {.token_capacity = HLL_DENSE};
        grown.registers = calloc(HLL_REGISTERS, 1);
        for (unsigned i = 0; i < small.token_count; i++)
            grown.registers[hll_tokens(&small)[i] >> 20] = hll_tokens(&small)[i] & 63;

        if (n > 0)
            cr_assert_eq(hll_estimate(&small), hll_estimate(&grown), "at %u", n);
        hll_done(&small);
        hll_done(&grown);
    }
}

Test(hll, bytes_come_back_and_are_canonical)
{
    for (unsigned i = 0; i < countof(sizes); i++) {
        struct hll h = sketch_of(30 + i, sizes[i]), read = sketch_of(99, 300);
        struct buf bytes = {0};
        hll_put(&h, &bytes);
        cr_assert_leq(bytes.length, HLL_BYTES_MAX);

        cr_assert_eq(hll_read(&read, buf_span(&bytes)), ERR_OK);
        expect_same(&h, &read);
        cr_assert_eq(bytes.length == 0, sizes[i] == 0);
        hll_done(&h);
        hll_done(&read);
        buf_done(&bytes);
    }
}

Test(hll, every_prefix_is_refused_or_is_a_smaller_set_and_never_crashes)
{
    struct hll small = sketch_of(1, 40), grown = sketch_of(2, 1000);
    const struct hll *const both[] = {&small, &grown};
    for (unsigned k = 0; k < 2; k++) {
        struct buf bytes = {0};
        hll_put(both[k], &bytes);
        for (size_t cut = 1; cut < bytes.length; cut++) {
            uint8_t *exact = memcpy(malloc(cut), bytes.data, cut); /* so that ASan sees the end */
            struct hll read = {0};
            enum err err = hll_read(&read, span_of(exact, cut));
            cr_assert(k == 0 ? err == ERR_OK || err == ERR_TRUNCATED : err == ERR_TRUNCATED);
            hll_done(&read);
            free(exact);
        }
        buf_done(&bytes);
    }
    hll_done(&small);
    hll_done(&grown);
}

/* What is accepted must be what would be written: else two replicas' digests could differ for one
 * set. */
Test(hll, whatever_bytes_are_accepted_are_written_back_unchanged)
{
    struct hll small = sketch_of(3, 30), grown = sketch_of(4, 150);
    const struct hll *const both[] = {&small, &grown};
    unsigned accepted = 0, refused = 0;
    for (unsigned k = 0; k < 2; k++) {
        struct buf bytes = {0}, again = {0};
        hll_put(both[k], &bytes);
        for (size_t bit = 0; bit < bytes.length * 8; bit++) {
            bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
            struct hll read = {0};
            if (hll_read(&read, buf_span(&bytes)) == ERR_OK) {
                buf_clear(&again);
                hll_put(&read, &again);
                cr_assert(span_equal(buf_span(&bytes), buf_span(&again)), "bit %zu", bit);
                accepted++;
            } else {
                cr_assert(hll_is_empty(&read));
                refused++;
            }
            hll_done(&read);
            bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        buf_done(&bytes);
        buf_done(&again);
    }
    cr_assert(accepted > 0 && refused > 0);
    hll_done(&small);
    hll_done(&grown);
}

static enum err read_of(const uint8_t *bytes, size_t length)
{
    struct hll kept = sketch_of(5, 3), copy = copy_of(&kept);
    enum err err = hll_read(&kept, span_of(bytes, length));
    if (err != ERR_OK)
        expect_same(&kept, &copy);
    hll_done(&kept);
    hll_done(&copy);
    return err;
}

Test(hll, bytes_that_put_cannot_have_written_are_refused)
{
    static uint8_t dense[1 + HLL_REGISTERS + 1] = {2};
    static const uint8_t kind[] = {3, 1}, no_tokens[] = {1}, zero_rank[] = {1, 0};
    static const uint8_t rank_54[] = {1, 54}, overlong[] = {1, 0x81, 0x00};
    static const uint8_t gap_bit[] = {1, 0x41}; /* bit 6 of a token */
    static const uint8_t twice[] = {1, 1, 1};   /* one register, two tokens */
    static const uint8_t beyond[] = {1, 0x81, 0x80, 0x80, 0x80, 0x10};

    cr_assert_eq(read_of(kind, 2), ERR_FORMAT);
    cr_assert_eq(read_of(no_tokens, 1), ERR_TRUNCATED);
    cr_assert_eq(read_of(zero_rank, 2), ERR_RANGE);
    cr_assert_eq(read_of(rank_54, 2), ERR_RANGE);
    cr_assert_eq(read_of(overlong, 3), ERR_FORMAT);
    cr_assert_eq(read_of(gap_bit, 2), ERR_RANGE);
    cr_assert_eq(read_of(twice, 3), ERR_RANGE);
    cr_assert_eq(read_of(beyond, 6), ERR_RANGE);

    memset(dense + 1, 1, HLL_TOKENS_MAX);
    cr_assert_eq(read_of(dense, 1 + HLL_REGISTERS), ERR_FORMAT); /* tokens would do */
    dense[1 + HLL_TOKENS_MAX] = 1;
    cr_assert_eq(read_of(dense, 1 + HLL_REGISTERS), ERR_OK);
    cr_assert_eq(read_of(dense, 2 + HLL_REGISTERS), ERR_FORMAT);
    dense[9] = 54;
    cr_assert_eq(read_of(dense, 1 + HLL_REGISTERS), ERR_RANGE);
}

Test(hll, extreme_hashes_are_legal)
{
    struct hll h = {0};
    cr_assert(hll_add(&h, 0));
    cr_assert_not(hll_add(&h, 0));
    cr_assert(hll_add(&h, UINT64_MAX));
    cr_assert_eq(hll_estimate(&h), 2);
    hll_done(&h);
}

Test(hll, nothing_is_estimated_as_zero_and_a_full_sketch_as_very_many)
{
    struct hll h = {0};
    cr_assert_eq(hll_estimate(&h), 0);
    h.token_capacity = HLL_DENSE;
    h.registers = malloc(HLL_REGISTERS);
    memset(h.registers, 53, HLL_REGISTERS);
    cr_assert_gt(hll_estimate(&h), 1ULL << 62);
    hll_clear(&h);
    cr_assert(hll_is_empty(&h));
    hll_done(&h);
}

Test(hll, a_few_users_are_counted_almost_exactly)
{
    /* Of n users in 4096 registers about n*n/8192 collide; the estimate makes up for the mean of
     * that. */
    for (unsigned n = 1; n <= 20; n++) {
        unsigned exact = 0;
        for (unsigned trial = 0; trial < 200; trial++) {
            struct hll h = sketch_of(trial * 1000 + n, n);
            uint64_t estimate = hll_estimate(&h);
            cr_assert(estimate + 2 >= n && estimate <= n + 2);
            exact += estimate == n;
            hll_done(&h);
        }
        cr_assert_geq(exact, 180, "%u users: exact in %u of 200", n, exact);
    }
}

/* Standard error 1.04 / sqrt(4096), Flajolet et al. 2007, theorem 1; 400 trials place the RMS
 * within 3.5 %. */
static void expect_theory(unsigned users)
{
    const double theory = 1.04 / 64;
    double squares = 0, sum = 0;
    enum { TRIALS = 400 };
    for (unsigned trial = 0; trial < TRIALS; trial++) {
        struct hll h = sketch_of(((uint64_t)users << 32) + trial, users);
        double error = ((double)hll_estimate(&h) - users) / users;
        squares += error * error;
        sum += error;
        hll_done(&h);
    }
    double rms = sqrt(squares / TRIALS), bias = sum / TRIALS;
    cr_log_info("n=%u: RMS error %.3f %%, %.2fx theory; bias %.3f %%", users, 100 * rms,
                rms / theory, 100 * bias);
    cr_assert_leq(rms, 1.1 * theory, "n=%u: %.2fx theory", users, rms / theory);
    cr_assert_leq(fabs(bias), 0.2 * theory, "n=%u: bias %.4f", users, bias);
}

Test(hll, the_error_at_10_users_is_within_theory)
{
    expect_theory(10);
}

Test(hll, the_error_at_100_users_is_within_theory)
{
    expect_theory(100);
}

Test(hll, the_error_at_1000_users_is_within_theory)
{
    expect_theory(1000);
}

Test(hll, the_error_at_10000_users_is_within_theory)
{
    expect_theory(10000);
}

Test(hll, the_error_at_100000_users_is_within_theory)
{
    expect_theory(100000);
}

Test(hll, the_error_at_a_million_users_is_within_theory)
{
    expect_theory(1000000);
}

Test(hll, registers_are_raised_alike_by_all_ways)
{
    static uint8_t one[HLL_REGISTERS], other[HLL_REGISTERS], source[HLL_REGISTERS];
    struct rng rng = {8};
    for (unsigned trial = 0; trial < 50; trial++) {
        for (unsigned i = 0; i < HLL_REGISTERS; i++) {
            one[i] = other[i] = (uint8_t)rng_below(&rng, 54);
            source[i] = trial == 0 ? one[i] : (uint8_t)rng_below(&rng, 54);
        }
        if (trial % 2 == 1) { /* one register alone, the last of all among them */
            unsigned at = trial == 1 ? HLL_REGISTERS - 1 : (unsigned)rng_below(&rng, HLL_REGISTERS);
            memcpy(source, one, sizeof(source));
            source[at] = one[at] = other[at] = 7;
            source[at] = 8;
        }

        bool changed = hll_raise_portable(one, source);

        cr_assert_eq(changed, trial != 0);
        cr_assert_eq(hll_raise_sse2(other, source), changed, "trial %u", trial);
        cr_assert_eq(memcmp(one, other, sizeof(one)), 0, "trial %u", trial);
        cr_assert_not(hll_raise_sse2(other, source), "again");
    }
}

/* Tokens know a user by one register of 4096: of 100 users one pair shares a register on average,
 * of 10 hardly ever; the estimate makes up for the mean of that, not for its luck. */
Test(hll, up_to_a_hundred_users_are_told_within_one_in_most_cases)
{
    for (unsigned n = 1; n <= 100; n++) {
        unsigned near = 0;
        for (unsigned trial = 0; trial < 200; trial++) {
            struct hll h = sketch_of(trial * 1000 + n, n);
            uint64_t estimate = hll_estimate(&h);
            uint64_t off = estimate > n ? estimate - n : n - estimate;
            cr_assert_leq(off, 5, "%u users: %lu off", n, (unsigned long)off);
            near += off <= 1;
            hll_done(&h);
        }
        cr_assert_geq(near, n <= 30 ? 198 : 160, "%u users: %u of 200", n, near);
    }
}
