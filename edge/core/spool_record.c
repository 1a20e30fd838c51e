/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/core/spool_record.h"

#include "common/base/hash.h"

#define SPOOL_VERSION  1
#define CHECKSUM_BYTES 8
/* Seeds keep a value of one kind from passing as the other. */
#define SEED_LINE  0x4c494e45ULL
#define SEED_BATCH 0x42415443ULL

static struct spool_key key_of(const struct spool_line *line)
{
    struct spool_key key = {.length = 0};
    size_t home_length = strlen(line->home);
    CHECK(home_length >= 1 && home_length <= LIMIT_REGION_NAME_BYTES);
    bytes_store_u64(key.bytes, line->epoch);
    bytes_store_u16(key.bytes + 8, line->partition);
    key.bytes[10] = (uint8_t)home_length;
    memcpy(key.bytes + 11, line->home, home_length);
    key.length = 11 + home_length;
    return key;
}

struct spool_key spool_line_key(const struct spool_line *line)
{
    return key_of(line);
}

struct spool_key spool_batch_key(const struct spool_line *line, uint64_t first)
{
    struct spool_key key = key_of(line);
    bytes_store_u64(key.bytes + key.length, first);
    key.length += 8;
    return key;
}

bool spool_batch_key_read(const struct spool_line *line, struct span key, uint64_t *out_first)
{
    struct spool_key prefix = key_of(line);
    if (key.length != prefix.length + 8 || memcmp(key.data, prefix.bytes, prefix.length) != 0)
        return false;
    *out_first = bytes_load_u64(key.data + prefix.length);
    return true;
}

static void seal(struct buf *out, uint64_t seed)
{
    buf_set_u64(
        out, 0,
        hash_checksum(span_of(out->data + CHECKSUM_BYTES, out->length - CHECKSUM_BYTES), seed));
}

static enum err open_value(struct span value, uint64_t seed, struct reader *out)
{
    struct reader r = reader_of(value);
    uint64_t checksum = reader_u64(&r);
    if (r.failed)
        return ERR_TRUNCATED;
    if (hash_checksum(span_of(r.data, r.left), seed) != checksum)
        return ERR_CHECKSUM;
    if (reader_u8(&r) != SPOOL_VERSION || r.failed)
        return ERR_FORMAT;
    *out = r;
    return ERR_OK;
}

void spool_line_put(struct buf *out, const struct spool_line *line)
{
    CHECK(line->low <= line->end);
    buf_clear(out);
    buf_put_u64(out, 0);
    buf_put_u8(out, SPOOL_VERSION);
    buf_put_u64(out, line->low);
    buf_put_u64(out, line->end);
    buf_put_u8(out, line->fin ? 1 : 0);
    seal(out, SEED_LINE);
}

enum err spool_line_read(struct span key, struct span value, struct spool_line *out)
{
    struct spool_line line = {0};
    struct reader k = reader_of(key);
    line.epoch = reader_u64(&k);
    line.partition = reader_u16(&k);
    struct span home = reader_bytes(&k, reader_u8(&k));
    if (!reader_at_end(&k) || home.length < 1 || home.length > LIMIT_REGION_NAME_BYTES)
        return ERR_FORMAT;
    if (memchr(home.data, '\0', home.length) != NULL)
        return ERR_FORMAT; /* damage: a name that its own key could not be made of again */
    memcpy(line.home, home.data, home.length);

    struct reader r;
    enum err err = open_value(value, SEED_LINE, &r);
    if (err != ERR_OK)
        return err;
    line.low = reader_u64(&r);
    line.end = reader_u64(&r);
    uint8_t fin = reader_u8(&r);
    if (!reader_at_end(&r) || fin > 1 || line.low > line.end)
        return ERR_FORMAT;
    line.fin = fin == 1;
    *out = line;
    return ERR_OK;
}

void spool_batch_put(struct buf *out, const struct spool_batch *batch)
{
    CHECK(batch->last > batch->first && batch->last - batch->first <= UINT32_MAX);
    buf_clear(out);
    buf_put_u64(out, 0);
    buf_put_u8(out, SPOOL_VERSION);
    buf_put_u32(out, (uint32_t)(batch->last - batch->first));
    buf_put_u8(out, batch->fin ? 1 : 0);
    buf_put_u64(out, batch->commit_ms);
    buf_put_u64(out, batch->commit_mono_ms);
    buf_put(out, batch->rows.data, batch->rows.length);
    seal(out, SEED_BATCH);
}

enum err spool_batch_read(uint64_t first, struct span value, struct spool_batch *out)
{
    struct reader r;
    enum err err = open_value(value, SEED_BATCH, &r);
    if (err != ERR_OK)
        return err;
    uint32_t count = reader_u32(&r);
    uint8_t fin = reader_u8(&r);
    uint64_t commit_ms = reader_u64(&r);
    uint64_t commit_mono_ms = reader_u64(&r);
    if (r.failed || fin > 1 || count == 0 || first > UINT64_MAX - count)
        return ERR_FORMAT;
    *out = (struct spool_batch){first,     first + count,  fin == 1,
                                commit_ms, commit_mono_ms, {r.data, r.left}};
    return ERR_OK;
}
