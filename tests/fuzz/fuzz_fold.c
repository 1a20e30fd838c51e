/* SPDX-License-Identifier: Apache-2.0
 * fuzz_fold: any bytes as messages of a stream, with their checksums put right: two folds that read
 * them say the same to the bit, the books close, and a fold that reads its own state goes on. First
 * byte: what kind of subject, and how much time has passed. */
#include "tests/fuzz/fuzz_fold.h"
#include "proto/subject.h"
#include "tests/fuzz/fuzz_target.h"

static struct subject subject_of(uint8_t kind)
{
    switch (kind % 4) {
    case 0:
        return subject_control("us", FUZZ_PARTITION);
    case 1:
        return subject_tick("us", FUZZ_PARTITION, "us-r1");
    default:
        return subject_segment("us", FUZZ_PARTITION, kind % 4 == 2 ? "us-e1" : "us-e2");
    }
}

static uint8_t kind_now;

/* The same message three times, later each time, with a cut in between. */
static void feed(struct fold *f, struct span message)
{
    struct subject subject = subject_of(kind_now);
    uint64_t time_ms = FUZZ_MINUTE * 60000ULL + 1000ULL * (kind_now >> 2);
    for (unsigned i = 0; i < 3; i++) {
        struct fold_message m = {subject.text, time_ms + 700 * i, message};
        uint64_t counted = f->books.counted;
        enum err err = fold_step(f, &m);
        CHECK(err == ERR_OK || err == ERR_BELOW_LOW);
        if (i > 0) /* a bus retry is not a second click */
            CHECK(f->books.counted == counted);
        fuzz_fold_check(f);
    }
}

static void read_one(struct span message)
{
    struct fold *a = fuzz_fold_new(), *b = fuzz_fold_new(), *c = fuzz_fold_new();
    struct buf once = {0}, twice = {0};
    struct fold_position position = {.seq = 1, .digest = 2}, again;
    feed(a, message);
    feed(b, message);
    fold_state_write(&once, a, &position);
    fold_state_write(&twice, b, &position);
    CHECK(span_equal(buf_span(&once), buf_span(&twice)));
    CHECK(fold_state_read(c, &again, buf_span(&once)) == ERR_OK);
    fold_free(a);
    fold_free(b);
    fold_free(c);
    buf_done(&once);
    buf_done(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    kind_now = data[0];
    fuzz_message(data + 1, size - 1, read_one);
    return 0;
}
