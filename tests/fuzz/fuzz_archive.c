/* SPDX-License-Identifier: Apache-2.0
 * fuzz_archive: any bytes as messages of a stream (the archiver takes no number twice, and reads
 * its own state), or, where the first byte is 0, as its state. Else: how to treat addresses. */
#include "proto/subject.h"
#include "regional/core/archive_state.h"
#include "tests/fuzz/fuzz_target.h"

#define PARTITION  3
#define STATE_SEED 0x41535441ULL
#define START_MS   (28333333 * 60000ULL)

static uint8_t kind_now;

static struct archive *archive(void)
{
    struct archive_options o = {
        .who = {.archiver = "us-a1",
                .region = "us",
                .store_id = 7,
                .partition = PARTITION,
                .partitions = 4,
                .ip = (enum archive_ip)(kind_now % ARCHIVE_IPS)},
        .object_bytes = 1 << 20,
        .object_age_ms = 60000,
    };
    return archive_new(&o);
}

static void read_state(struct span state)
{
    struct archive *a = archive(), *same = archive();
    struct buf once = {0}, twice = {0};
    enum err err = archive_load(a, state);
    CHECK(err == ERR_OK || err == ERR_KV_CORRUPT || err == ERR_CONFIG);
    if (err == ERR_OK) {
        archive_state_write(&once, a);
        CHECK(archive_load(same, buf_span(&once)) == ERR_OK);
        archive_state_write(&twice, same);
        CHECK(span_equal(buf_span(&once), buf_span(&twice)));
    }
    archive_free(a);
    archive_free(same);
    buf_done(&once);
    buf_done(&twice);
}

static void read_one(struct span message)
{
    struct archive *a = archive(), *later = archive();
    struct subject subject = subject_segment("us", PARTITION, "us-e1");
    struct archive_cut cut = {0};
    for (uint64_t i = 1; i <= 3; i++) {
        struct archive_message m = {subject.text, i, START_MS + 700 * i, message};
        uint64_t clicks = a->counts.clicks, unreadable = a->counts.unreadable;
        archive_step(a, &m, i);
        if (i > 1) /* a repeat */
            CHECK(a->counts.clicks == clicks && a->counts.unreadable == unreadable);
    }
    uint64_t clicks = 0;
    archive_make_cut(a, 10, START_MS + 4000, &cut);
    for (uint32_t i = 0; i < cut.count; i++)
        clicks += cut.files[i].clicks;
    CHECK(clicks == a->counts.clicks || a->counts.unreadable > 0);
    archive_committed(a);
    CHECK(archive_load(later, buf_span(&cut.state)) == ERR_OK);
    struct archive_message again = {subject.text, 4, START_MS + 5000, message};
    archive_step(later, &again, 20); /* after a restart it is still a repeat */
    CHECK(later->counts.clicks == 0 || a->counts.clicks == 0);
    archive_cut_done(&cut);
    archive_free(a);
    archive_free(later);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    kind_now = data[0];
    if (kind_now != 0) {
        fuzz_message(data + 1, size - 1, read_one);
        return 0;
    }
    struct buf sealed = {0};
    read_state(span_of(data + 1, size - 1));
    buf_put_u64(&sealed, hash_checksum(span_of(data + 1, size - 1), STATE_SEED));
    buf_put(&sealed, data + 1, size - 1);
    read_state(buf_span(&sealed));
    buf_done(&sealed);
    return 0;
}
