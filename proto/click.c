/* SPDX-License-Identifier: Apache-2.0
 * click: see click.h. */
#include "proto/click.h"

bool click_is_bounded(const struct click *c)
{
    return c->ad_id.length >= 1 && c->ad_id.length <= LIMIT_ID_BYTES && c->user_id.length >= 1 &&
           c->user_id.length <= LIMIT_ID_BYTES && c->click_id.length <= LIMIT_ID_BYTES &&
           c->ip_address.length <= LIMIT_IP_TEXT_BYTES &&
           c->user_agent.length <= LIMIT_USER_AGENT_BYTES;
}

void click_put(struct buf *out, const struct click *c)
{
    CHECK(click_is_bounded(c));
    buf_put(out, c->key, sizeof(c->key));
    buf_put_u32(out, c->minute);
    buf_put_u16(out, c->flags);
    buf_put_u64(out, c->user_hash);
    buf_put_u64(out, c->timestamp_ms);
    buf_put_u64(out, c->received_ms);
    buf_put_block(out, c->ad_id);
    buf_put_block(out, c->user_id);
    buf_put_block(out, c->click_id);
    buf_put_block(out, c->ip_address);
    buf_put_block(out, c->user_agent);
}

enum err click_read(struct reader *r, struct click *out)
{
    struct click c = {0};
    struct span key = reader_bytes(r, sizeof(c.key));
    if (r->failed)
        return ERR_TRUNCATED;
    memcpy(c.key, key.data, sizeof(c.key));
    c.minute = reader_u32(r);
    c.flags = reader_u16(r);
    c.user_hash = reader_u64(r);
    c.timestamp_ms = reader_u64(r);
    c.received_ms = reader_u64(r);

    struct span *texts[] = {&c.ad_id, &c.user_id, &c.click_id, &c.ip_address, &c.user_agent};
    for (unsigned i = 0; i < countof(texts); i++) {
        uint64_t length = reader_varint(r);
        /* No text is longer than LIMIT_USER_AGENT_BYTES; click_is_bounded knows each one's own
         * bound. */
        if (!r->failed && length > LIMIT_USER_AGENT_BYTES)
            return ERR_LIMIT;
        *texts[i] = reader_bytes(r, (size_t)length);
    }
    if (r->failed)
        return ERR_TRUNCATED;
    if (!click_is_bounded(&c))
        return ERR_LIMIT;
    *out = c;
    return ERR_OK;
}
