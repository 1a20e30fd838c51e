/* SPDX-License-Identifier: Apache-2.0
 * fuzz_snapshot: any bytes as a part of a closed minute's snapshot, with the checksum put right:
 * first byte the key's length, then key, then the value without its checksum. */
#include "regional/core/minute_snapshot.h"
#include "tests/fuzz/fuzz_target.h"

struct seen {
    uint64_t count, last_hash;
};

static void take(void *context, const struct minute_row *row)
{
    struct seen *seen = context;
    CHECK(seen->count == 0 || row->ad_hash > seen->last_hash);
    CHECK(row->ad_hash == hash_ad(row->ad_id) && row->ad_id.length > 0);
    CHECK(row->late <= row->counted);
    seen->count++;
    seen->last_hash = row->ad_hash;
}

static void read_head(struct span key, struct span value)
{
    struct minute_head head, same;
    struct buf again = {0};
    uint8_t place[MINUTE_HEAD_KEY_BYTES];
    if (minute_head_read(&head, key, value) == ERR_OK) {
        minute_head_write(&again, place, &head);
        CHECK(span_equal(span_of(place, sizeof(place)), key));
        CHECK(minute_head_read(&same, key, buf_span(&again)) == ERR_OK);
        CHECK(same.keys == head.keys && same.cut == head.cut &&
              same.total.digest == head.total.digest);
    }
    buf_done(&again);
}

static void read_value(struct span key, struct span value)
{
    struct minute_place place;
    struct minute_chunk chunk;
    struct seen seen = {0};
    read_head(key, value);
    if (minute_chunk_read(&chunk, key, value) == ERR_OK) {
        CHECK(chunk.count >= 1 && chunk.count <= MINUTE_CHUNK_KEYS_MAX);
        for (uint32_t i = 0; i < chunk.count; i++)
            CHECK(minute_chunk_has(&chunk, chunk.keys + (size_t)i * HASH_CLICK_BYTES));
    }
    if (minute_rows_read(key, value, take, &seen) == ERR_OK)
        CHECK(seen.count >= 1);
    else
        CHECK(seen.count == 0);
    if (minute_place_read(&place, key))
        CHECK(minute_place_holds(&place, key));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size - 1 < data[0])
        return 0;
    struct span key = span_of(data + 1, data[0]);
    struct span value = span_of(data + 1 + data[0], size - 1 - data[0]);
    struct buf sealed = {0};
    read_value(key, value);
    buf_put(&sealed, value.data, value.length);
    buf_put_u64(&sealed, minute_checksum(key, value));
    read_value(key, buf_span(&sealed));
    buf_done(&sealed);
    return 0;
}
