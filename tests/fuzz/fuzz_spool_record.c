/* SPDX-License-Identifier: Apache-2.0
 * fuzz_spool_record: any bytes as a value of the spool, as they are and with the checksum put
 * right: first byte the key's length, then key, then the value without its checksum. */
#include "common/base/hash.h"
#include "edge/core/spool_record.h"
#include "proto/click.h"
#include "tests/fuzz/fuzz_target.h"

static void read_rows(struct span rows)
{
    struct reader r = reader_of(rows);
    struct click click;
    while (r.left > 0 && click_read(&r, &click) == ERR_OK)
        CHECK(click_is_bounded(&click));
}

static void read_value(struct span key, struct span value)
{
    struct spool_line line;
    struct spool_batch batch;
    struct buf out = {0};
    if (spool_line_read(key, value, &line) == ERR_OK) {
        CHECK(line.low <= line.end);
        spool_line_put(&out, &line);
        struct spool_key again = spool_line_key(&line);
        struct spool_line same;
        CHECK(spool_line_read(span_of(again.bytes, again.length), buf_span(&out), &same) == ERR_OK);
        CHECK(same.epoch == line.epoch && same.low == line.low && same.end == line.end);
    }
    if (spool_batch_read(5, value, &batch) == ERR_OK) {
        CHECK(batch.first == 5 && batch.last >= batch.first);
        read_rows(batch.rows);
    }
    buf_done(&out);
}

/* No mutation gets past a checksum: both kinds' seeds, as spool_record.c has them. */
static void read_sealed(struct span key, struct span content)
{
    static const uint64_t seeds[] = {0x4c494e45ULL, 0x42415443ULL};
    struct buf value = {0};
    for (size_t i = 0; i < countof(seeds); i++) {
        buf_clear(&value);
        buf_put_u64(&value, hash_checksum(content, seeds[i]));
        buf_put(&value, content.data, content.length);
        read_value(key, buf_span(&value));
    }
    buf_done(&value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size - 1 < data[0])
        return 0;
    struct span key = span_of(data + 1, data[0]);
    struct span value = span_of(data + 1 + data[0], size - 1 - data[0]);
    read_value(key, value);
    read_sealed(key, value);
    return 0;
}
