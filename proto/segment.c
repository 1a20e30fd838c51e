/* SPDX-License-Identifier: Apache-2.0
 * segment: see segment.h. Layout: proto/PROTOCOL.md, "Segment". */
#include "proto/segment.h"

#include "common/base/minute.h"
#include "proto/column.h"
#include "proto/subject.h"
#include "proto/wire.h"

#include <stdlib.h>

#define ELEMENTS 16

/* Fewest bytes of one click in the hot columns: key, user hash, minute, ad index, flags. */
#define HOT_CLICK_BYTES_MIN (HASH_CLICK_BYTES + 8 + 3)

_Static_assert(LIMIT_SEGMENT_CLICKS <= UINT32_MAX / 4, "a count of clicks fits a dictionary");

static uint64_t clicks_of(const struct segment_head *h)
{
    return h->last - h->first - (h->fin && h->last > h->first ? 1 : 0);
}

static enum err judge_head(const struct segment_head *h)
{
    if (!subject_name_is_valid(h->edge, LIMIT_EDGE_NAME_BYTES) ||
        !subject_name_is_valid(h->region, LIMIT_REGION_NAME_BYTES))
        return ERR_FORMAT;
    /* Numbers fit the archive's long. */
    if (h->epoch == 0 || h->newest_epoch == 0 || h->last < h->first || h->last > INT64_MAX ||
        h->low > INT64_MAX)
        return ERR_RANGE;
    if (clicks_of(h) > LIMIT_SEGMENT_CLICKS)
        return ERR_LIMIT;
    for (uint32_t i = 0; i < h->older_count; i++) {
        if (h->older[i] == 0)
            return ERR_RANGE;
    }
    return ERR_OK;
}

static void put_head(struct buf *out, const struct segment_head *h)
{
    wire_put_text(out, h->edge);
    wire_put_text(out, h->region);
    wire_put_uint(out, h->epoch);
    wire_put_uint(out, h->partition);
    wire_put_bool(out, h->fin);
    wire_put_uint(out, h->first);
    wire_put_uint(out, h->last);
    wire_put_uint(out, h->clock_ms);
    wire_put_uint(out, h->age_ms);
    wire_put_uint(out, h->newest_epoch);
    wire_put_uint(out, h->low);
    wire_put_uint(out, h->accepted);
    wire_put_array(out, h->older_count);
    for (uint32_t i = 0; i < h->older_count; i++)
        wire_put_uint(out, h->older[i]);
}

static enum err read_head(struct wire_reader *r, struct segment_head *out)
{
    struct segment_head h = {0};
    if (wire_array(r, ELEMENTS) != ELEMENTS)
        return r->err == ERR_OK ? ERR_FORMAT : r->err;
    wire_name(r, h.edge, sizeof(h.edge));
    wire_name(r, h.region, sizeof(h.region));
    h.epoch = wire_uint(r);
    uint64_t partition = wire_uint(r);
    h.fin = wire_bool(r);
    h.first = wire_uint(r);
    h.last = wire_uint(r);
    h.clock_ms = wire_uint(r);
    h.age_ms = wire_uint(r);
    h.newest_epoch = wire_uint(r);
    h.low = wire_uint(r);
    h.accepted = wire_uint(r);
    h.older_count = wire_array(r, LIMIT_OLDER_EPOCHS);
    for (uint32_t i = 0; i < h.older_count; i++)
        h.older[i] = wire_uint(r);
    if (r->err != ERR_OK)
        return r->err;
    if (partition >= LIMIT_PARTITIONS)
        return ERR_RANGE;
    h.partition = (uint16_t)partition;
    enum err err = judge_head(&h);
    if (err == ERR_OK)
        *out = h;
    return err;
}

static uint64_t dict_seed(const struct click *clicks)
{
    /* The keyed hash of a click is what its sender cannot know. */
    return bytes_load_u64(clicks[0].key);
}

static void put_hot(struct buf *raw, const struct click *clicks, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        buf_put(raw, clicks[i].key, HASH_CLICK_BYTES);
    for (uint32_t i = 0; i < count; i++)
        buf_put_u64(raw, clicks[i].user_hash);
    uint64_t previous = 0;
    for (uint32_t i = 0; i < count; i++)
        column_put_delta(raw, &previous, clicks[i].minute);

    struct column_dict ads;
    struct buf indices = {0};
    column_dict_init(&ads, count, dict_seed(clicks));
    for (uint32_t i = 0; i < count; i++)
        buf_put_varint(&indices, column_dict_index(&ads, clicks[i].ad_id));
    column_dict_put(&ads, raw);
    buf_put(raw, indices.data, indices.length);
    buf_done(&indices);
    column_dict_done(&ads);

    for (uint32_t i = 0; i < count; i++)
        buf_put_varint(raw, clicks[i].flags);
}

static void put_cold(struct buf *raw, const struct click *clicks, uint32_t count)
{
    uint64_t previous = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t start_ms = minute_start_ms(clicks[i].minute);
        column_put_delta(raw, &start_ms, clicks[i].timestamp_ms);
    }
    for (uint32_t i = 0; i < count; i++)
        column_put_delta(raw, &previous, clicks[i].received_ms);
    column_put_texts(raw, &clicks->user_id, sizeof(*clicks), count);
    column_put_texts(raw, &clicks->click_id, sizeof(*clicks), count);
    column_put_texts(raw, &clicks->ip_address, sizeof(*clicks), count);

    struct column_dict agents;
    struct buf indices = {0};
    column_dict_init(&agents, count, dict_seed(clicks));
    for (uint32_t i = 0; i < count; i++)
        buf_put_varint(&indices, column_dict_index(&agents, clicks[i].user_agent));
    column_dict_put(&agents, raw);
    buf_put(raw, indices.data, indices.length);
    buf_done(&indices);
    column_dict_done(&agents);
}

void segment_write(struct buf *out, const struct segment_head *head, const struct click *clicks,
                   uint32_t click_count)
{
    CHECK(head->older_count <= LIMIT_OLDER_EPOCHS && head->partition < LIMIT_PARTITIONS);
    CHECK(judge_head(head) == ERR_OK);
    CHECK(clicks_of(head) == click_count);
    for (uint32_t i = 0; i < click_count; i++)
        CHECK(click_is_bounded(&clicks[i]));

    buf_clear(out);
    wire_begin(out, SEGMENT_MAGIC, SEGMENT_VERSION);
    wire_put_array(out, ELEMENTS);
    put_head(out, head);
    wire_put_uint(out, click_count);
    if (click_count == 0) {
        wire_put_bin(out, (struct span){0});
        wire_put_bin(out, (struct span){0});
    } else {
        struct buf raw = {0};
        put_hot(&raw, clicks, click_count);
        CHECK(raw.length <= LIMIT_SEGMENT_COLUMN_BYTES);
        wire_put_packed(out, buf_span(&raw));
        buf_clear(&raw);
        put_cold(&raw, clicks, click_count);
        CHECK(raw.length <= LIMIT_SEGMENT_COLUMN_BYTES);
        wire_put_packed(out, buf_span(&raw));
        buf_done(&raw);
    }
    wire_seal(out);
}

static void make_room(struct segment *s, uint32_t clicks, uint32_t ads)
{
    if (clicks > s->hot_capacity) {
        s->hot = base_realloc(s->hot, clicks * sizeof(*s->hot));
        s->hot_capacity = clicks;
    }
    if (ads > s->ad_capacity) {
        s->ads = base_realloc(s->ads, ads * sizeof(*s->ads));
        s->ad_capacity = ads;
    }
}

/* A dictionary lists texts in the order of first sight: so each index is one seen before or the
 * next new one, and none is left over. */
static enum err next_index(struct reader *r, uint32_t *seen, uint32_t count, uint32_t *out)
{
    uint64_t index = reader_varint(r);
    if (r->failed)
        return ERR_FORMAT;
    if (index >= count || index > *seen)
        return ERR_RANGE;
    *seen += index == *seen;
    *out = (uint32_t)index;
    return ERR_OK;
}

static enum err read_hot(struct segment *s, uint32_t count)
{
    struct reader r = reader_of(buf_span(&s->hot_bytes));
    if (r.left / HOT_CLICK_BYTES_MIN < count)
        return ERR_FORMAT;
    make_room(s, count, 0);
    for (uint32_t i = 0; i < count; i++)
        memcpy(s->hot[i].key, reader_bytes(&r, HASH_CLICK_BYTES).data, HASH_CLICK_BYTES);
    for (uint32_t i = 0; i < count; i++)
        s->hot[i].user_hash = reader_u64(&r);
    uint64_t minute = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (column_delta(&r, &minute) > UINT32_MAX)
            return ERR_RANGE;
        s->hot[i].minute = (uint32_t)minute;
    }

    uint64_t ads = reader_varint(&r);
    if (r.failed || ads == 0 || ads > count)
        return ERR_FORMAT;
    make_room(s, count, (uint32_t)ads);
    enum err err = column_read_texts(&r, s->ads, sizeof(*s->ads), (uint32_t)ads, 1, LIMIT_ID_BYTES);
    uint32_t seen = 0;
    for (uint32_t i = 0; i < count && err == ERR_OK; i++)
        err = next_index(&r, &seen, (uint32_t)ads, &s->hot[i].ad);
    if (err != ERR_OK)
        return err;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t flags = reader_varint(&r);
        if (flags > UINT16_MAX)
            return ERR_RANGE;
        s->hot[i].flags = (uint16_t)flags;
    }
    if (!reader_at_end(&r) || seen != ads)
        return ERR_FORMAT;
    s->ad_count = (uint32_t)ads;
    return ERR_OK;
}

enum err segment_read_head(struct segment_head *out, struct span message)
{
    struct span body;
    enum err err = wire_check(message, SEGMENT_MAGIC, SEGMENT_VERSION, &body);
    if (err != ERR_OK)
        return err;
    struct wire_reader r = wire_reader_of(body);
    return read_head(&r, out);
}

enum err segment_read(struct segment *s, struct span message)
{
    s->head = (struct segment_head){0};
    s->click_count = 0;
    s->ad_count = 0;
    s->cold = (struct span){0};
    struct span body;
    enum err err = wire_check(message, SEGMENT_MAGIC, SEGMENT_VERSION, &body);
    if (err != ERR_OK)
        return err;
    struct wire_reader r = wire_reader_of(body);
    err = read_head(&r, &s->head);
    if (err != ERR_OK)
        return err;

    uint64_t count = wire_uint(&r);
    struct span hot = wire_bin(&r, LIMIT_SEGMENT_COLUMN_BYTES);
    struct span cold = wire_bin(&r, LIMIT_SEGMENT_COLUMN_BYTES);
    err = wire_end(&r);
    if (err != ERR_OK)
        return err;
    if (count != clicks_of(&s->head))
        return ERR_FORMAT;
    if (count == 0)
        return hot.length == 0 && cold.length == 0 ? ERR_OK : ERR_FORMAT;
    err = wire_unpack(hot, LIMIT_SEGMENT_COLUMN_BYTES, &s->hot_bytes);
    if (err == ERR_OK)
        err = read_hot(s, (uint32_t)count);
    if (err != ERR_OK) {
        s->ad_count = 0;
        return err;
    }
    s->click_count = (uint32_t)count;
    s->cold = cold;
    return ERR_OK;
}

static enum err read_agents(struct reader *r, struct click *clicks, uint32_t count)
{
    uint64_t agents = reader_varint(r);
    if (r->failed || agents == 0 || agents > count)
        return ERR_FORMAT;
    struct span *texts = base_alloc((size_t)agents * sizeof(*texts));
    enum err err =
        column_read_texts(r, texts, sizeof(*texts), (uint32_t)agents, 0, LIMIT_USER_AGENT_BYTES);
    uint32_t seen = 0;
    for (uint32_t i = 0; i < count && err == ERR_OK; i++) {
        uint32_t index = 0;
        err = next_index(r, &seen, (uint32_t)agents, &index);
        if (err == ERR_OK)
            clicks[i].user_agent = texts[index];
    }
    free(texts);
    if (err == ERR_OK && (!reader_at_end(r) || seen != agents))
        err = ERR_FORMAT;
    return err;
}

enum err segment_read_cold(const struct segment *s, struct click *clicks, struct buf *storage)
{
    buf_clear(storage);
    if (s->click_count == 0)
        return ERR_OK;
    enum err err = wire_unpack(s->cold, LIMIT_SEGMENT_COLUMN_BYTES, storage);
    if (err != ERR_OK)
        return err;
    struct reader r = reader_of(buf_span(storage));
    uint32_t count = s->click_count;
    for (uint32_t i = 0; i < count; i++) {
        const struct segment_hot *hot = &s->hot[i];
        clicks[i] = (struct click){.minute = hot->minute,
                                   .flags = hot->flags,
                                   .user_hash = hot->user_hash,
                                   .ad_id = s->ads[hot->ad]};
        memcpy(clicks[i].key, hot->key, HASH_CLICK_BYTES);
        uint64_t start_ms = minute_start_ms(hot->minute);
        clicks[i].timestamp_ms = column_delta(&r, &start_ms);
    }
    uint64_t received_ms = 0;
    for (uint32_t i = 0; i < count; i++)
        clicks[i].received_ms = column_delta(&r, &received_ms);
    err = column_read_texts(&r, &clicks->user_id, sizeof(*clicks), count, 1, LIMIT_ID_BYTES);
    if (err == ERR_OK)
        err = column_read_texts(&r, &clicks->click_id, sizeof(*clicks), count, 0, LIMIT_ID_BYTES);
    if (err == ERR_OK)
        err = column_read_texts(&r, &clicks->ip_address, sizeof(*clicks), count, 0,
                                LIMIT_IP_TEXT_BYTES);
    return err == ERR_OK ? read_agents(&r, clicks, count) : err;
}

void segment_done(struct segment *s)
{
    free(s->hot);
    free(s->ads);
    buf_done(&s->hot_bytes);
    *s = (struct segment){0};
}
