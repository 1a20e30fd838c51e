/* SPDX-License-Identifier: Apache-2.0
 * fuzz_globe_value: any bytes as a value of the globe's store, its seal taken off: the first byte
 * says which. What is read is written, and read again as the same bytes. */
#include "common/base/hll.h"
#include "global/core/completeness.h"
#include "global/core/leaf.h"
#include "global/core/page.h"
#include "global/core/standing.h"
#include "tests/fuzz/fuzz_target.h"

/* The cursor that queries use and the reader that the merger uses agree. */
static void read_page(struct span bytes, struct buf *out)
{
    struct page page = {0};
    struct buf again = {0};
    struct page_cursor cursor = page_cursor_of(bytes);
    struct page_entry entry;
    uint32_t walked = 0;
    enum err err = page_read(&page, bytes);
    while (page_next(&cursor, &entry)) {
        if (err == ERR_OK)
            CHECK(walked < page.count && memcmp(&entry.counted, &page.entries[walked].counted,
                                                sizeof(entry.counted)) == 0);
        walked++;
    }
    /* The order of groups is the reader's to judge. */
    CHECK(err != ERR_OK || (!cursor.bad && walked == page.count));
    CHECK(err == ERR_OK || page.count == 0);
    if (err == ERR_OK) {
        page_put(&page, out);
        CHECK(page_read(&page, buf_span(out)) == ERR_OK && page.count == walked);
        buf_clear(&again);
        page_put(&page, &again);
        CHECK(span_equal(buf_span(out), buf_span(&again)));
    }
    buf_done(&again);
    page_done(&page);
}

static void read_sketch(struct span bytes, struct buf *out)
{
    struct hll sketch = {0};
    if (hll_read(&sketch, bytes) == ERR_OK) {
        hll_put(&sketch, out);
        CHECK(span_equal(buf_span(out), bytes));
        (void)hll_estimate(&sketch);
    }
    hll_done(&sketch);
}

static void read_books(struct span bytes, struct buf *out, bool hours)
{
    struct completeness_book book = {0};
    struct completeness_hour hour = {0};
    if (hours && completeness_hour_read(&hour, bytes) == ERR_OK)
        completeness_hour_put(&hour, out);
    if (!hours && completeness_read(&book, bytes) == ERR_OK)
        completeness_put(&book, out);
    if (out->length > 0)
        CHECK((hours ? completeness_hour_read(&hour, buf_span(out))
                     : completeness_read(&book, buf_span(out))) == ERR_OK);
}

static void read_card(struct span bytes, struct buf *out)
{
    struct standing_card card = {0};
    if (standing_card_read(&card, bytes) == ERR_OK) {
        standing_card_put(&card, out);
        CHECK(standing_card_read(&card, buf_span(out)) == ERR_OK);
    }
    standing_card_done(&card);
}

static void read_partition(struct span bytes, struct buf *out, bool replica)
{
    struct standing_partition *p = base_zalloc(1, sizeof(*p));
    p->replica_count = 1;
    if (replica && standing_replica_read(&p->replicas[0], bytes) == ERR_OK) {
        standing_replica_put(&p->replicas[0], out);
        CHECK(standing_replica_read(&p->replicas[0], buf_span(out)) == ERR_OK);
    }
    if (!replica && standing_partition_read(p, bytes) == ERR_OK)
        standing_partition_put(p, out);
    standing_partition_done(p);
    free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct span bytes = span_of(data + 1, size - 1), body;
    struct buf out = {0}, sealed = {0};
    switch (data[0] % 7) {
    case 0:
        read_page(bytes, &out);
        break;
    case 1:
        read_sketch(bytes, &out);
        break;
    case 2:
    case 3:
        read_books(bytes, &out, data[0] % 7 == 3);
        break;
    case 4:
        read_card(bytes, &out);
        break;
    default:
        read_partition(bytes, &out, data[0] % 7 == 6);
        break;
    }
    if (bytes.length > 0) { /* nothing is stored as no bytes */
        buf_put(&sealed, bytes.data, bytes.length);
        leaf_seal(&sealed);
        CHECK(leaf_open(buf_span(&sealed), &body) && span_equal(body, bytes));
    }
    (void)leaf_open(bytes, &body);
    buf_done(&out);
    buf_done(&sealed);
    return 0;
}
