/* SPDX-License-Identifier: Apache-2.0
 * fuzz_message: see fuzz_target.h. */
#include "proto/wire.h"
#include "tests/fuzz/fuzz_target.h"

/* Length of a msgpack token's header; *out_payload: what follows it. 0: not one that we use. */
static size_t token(struct span rest, size_t *out_payload, bool *out_bin)
{
    uint8_t head = rest.data[0];
    size_t sized = head == 0xc4 || head == 0xd9 ? 1 : head == 0xc5 ? 2 : head == 0xc6 ? 4 : 0;
    *out_payload = 0;
    *out_bin = head >= 0xc4 && head <= 0xc6;
    if (sized > 0) {
        if (rest.length < 1 + sized)
            return 0;
        for (size_t i = 0; i < sized; i++)
            *out_payload = *out_payload << 8 | rest.data[1 + i];
        return 1 + sized;
    }
    if (head >= 0xa0 && head <= 0xbf)
        *out_payload = head & 0x1f;
    else if (head >= 0xcc && head <= 0xcf)
        *out_payload = (size_t)1 << (head - 0xcc);
    else if (head == 0xdc || head == 0xdd)
        *out_payload = head == 0xdc ? 2 : 4;
    else if (!(head <= 0x9f || head == 0xc2 || head == 0xc3))
        return 0;
    return 1;
}

/* Copies the message, each bin of it changed by `change`. */
static void change_bins(struct span message, void (*change)(struct buf *out, struct span bin),
                        struct buf *out)
{
    buf_put(out, message.data, WIRE_HEADER_BYTES);
    size_t at = WIRE_HEADER_BYTES;
    while (at < message.length) {
        size_t payload;
        bool bin;
        struct span rest = {message.data + at, message.length - at};
        size_t head = token(rest, &payload, &bin);
        if (head == 0 || payload > rest.length - head) {
            buf_put(out, rest.data, rest.length);
            return;
        }
        if (bin && payload > 0)
            change(out, span_of(rest.data + head, payload));
        else
            buf_put(out, rest.data, head + payload);
        at += head + payload;
    }
}

static void unpack_bin(struct buf *out, struct span bin)
{
    struct buf raw = {0};
    bool packed = wire_unpack(bin, 1024 * 1024, &raw) == ERR_OK;
    wire_put_bin(out, packed ? buf_span(&raw) : bin);
    buf_done(&raw);
}

void fuzz_unpack_bins(struct span message, struct buf *out)
{
    change_bins(message, unpack_bin, out);
}

void fuzz_message(const uint8_t *data, size_t size, void (*read_one)(struct span message))
{
    read_one((struct span){data, size});
    if (size <= WIRE_HEADER_BYTES)
        return;
    struct buf sealed = {0};
    buf_put(&sealed, data, size);
    wire_seal(&sealed);
    read_one(buf_span(&sealed));

    buf_clear(&sealed);
    change_bins((struct span){data, size}, wire_put_packed, &sealed);
    wire_seal(&sealed);
    sealed.data = base_realloc(sealed.data, sealed.length); /* a byte too far is then seen */
    read_one((struct span){sealed.data, sealed.length});
    free(sealed.data);
}
