/* SPDX-License-Identifier: Apache-2.0
 * wire: the envelope that every bus message shares, and a bounded msgpack reader.
 * Audience: proto, tests. Pure. One thread at a time per object.
 *
 *   offset 0   4 bytes  magic, e.g. "TRSG"
 *          4   1 byte   version
 *          5   3 bytes  zero
 *          8   8 bytes  XXH3-64 of everything from offset 16, big-endian; its seed is the first 8
 *                       bytes as one big-endian number, so that it covers them too
 *         16   ...      one msgpack array of fixed shape
 *
 * msgpack-c 4.0.0 allocates whatever a header declares (16 GB for 5 bytes), so only its packer is
 * used here. The reader below knows the shape it wants: it refuses a header that declares more
 * elements or bytes than are left or allowed, and every kind we do not use (maps, ext, floats, nil,
 * negative), and allocates nothing. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"

#define WIRE_HEADER_BYTES 16

/* Puts magic, version and a place for the checksum; wire_seal fills it in. `out` must be empty. */
void wire_begin(struct buf *out, const char magic[4], uint8_t version);
void wire_seal(struct buf *out);

/* The version that a message claims; 0: it is too short to have one. */
uint8_t wire_version(struct span message);

/* Checks envelope and checksum. On ERR_OK *out_body is the msgpack text. ERR_TRUNCATED, ERR_MAGIC,
 * ERR_VERSION, ERR_CHECKSUM, looked at in the order TRUNCATED, MAGIC, CHECKSUM, VERSION. A caller
 * that must tell damage (a gap) from unreadable content (carried) looks at
 * ERR_CHECKSUM/ERR_MAGIC/ERR_TRUNCATED against the others. */
enum err WARN_UNUSED wire_check(struct span message, const char magic[4], uint8_t version,
                                struct span *out_body);
/* Of a message that has a second version: *out_is_second tells which one it claims. */
enum err WARN_UNUSED wire_check_either(struct span message, const char magic[4], uint8_t version,
                                       uint8_t second, struct span *out_body, bool *out_is_second);

/* Cursor over the bounded msgpack text. Failed stays failed. */
struct wire_reader {
    struct reader bytes;
    enum err err;
};
struct wire_reader wire_reader_of(struct span body);
uint32_t wire_array(struct wire_reader *r, uint32_t count_max);
uint64_t wire_uint(struct wire_reader *r);
bool wire_bool(struct wire_reader *r);
/* Borrowed from the message. */
struct span wire_bin(struct wire_reader *r, size_t length_max);
struct span wire_text(struct wire_reader *r, size_t length_max);
/* Copies a text of at most size-1 bytes, NUL-terminated. */
void wire_name(struct wire_reader *r, char *out, size_t size);
/* ERR_OK only if everything was read and nothing is left over. Behind a good checksum an early end
 * is ERR_FORMAT, never ERR_TRUNCATED: it was written so. */
enum err WARN_UNUSED wire_end(struct wire_reader *r);

/* Writers, over msgpack-c's packer. */
void wire_put_array(struct buf *out, uint32_t count);
void wire_put_uint(struct buf *out, uint64_t value);
void wire_put_bool(struct buf *out, bool value);
void wire_put_bin(struct buf *out, struct span data);
void wire_put_text(struct buf *out, const char *text);

/* A zstd -1 frame as one bin. Raw length is carried in the frame and bounded when unpacked. */
void wire_put_packed(struct buf *out, struct span raw);
/* Unpacks into `into` (cleared first); ERR_LIMIT beyond raw_max, ERR_FORMAT on a bad frame. */
enum err WARN_UNUSED wire_unpack(struct span frame, size_t raw_max, struct buf *into);
