/* SPDX-License-Identifier: Apache-2.0
 * body_decode: request bodies in gzip (RFC 1952) and zstd (RFC 8878), unpacked within bounds.
 * Audience: edge shell, tests. One thread at a time per object; it is used again and again.
 *
 * A bomb costs no more than its bound: the output never grows beyond bytes_max, and what unpacks to
 * more than ratio_max times its own size is given up as soon as that shows (small bodies may: see
 * ratio_free_bytes). A zstd frame may ask for a window of 8 MiB at most (RFC 9659) and for no
 * dictionary. Several gzip members or zstd frames in a row are one body, as their RFCs say;
 * anything else behind the last one is refused, and so is a body that ends too early. */
#pragma once

#include "common/base/bytes.h"

enum body_decode_coding {
    BODY_DECODE_IDENTITY,
    BODY_DECODE_GZIP,
    BODY_DECODE_ZSTD,
    BODY_DECODE_UNKNOWN
};

enum body_decode_result {
    BODY_DECODE_OK,
    BODY_DECODE_INVALID,   /* not of that coding, truncated, or followed by something else */
    BODY_DECODE_TOO_LARGE, /* more than bytes_max */
    BODY_DECODE_TOO_DENSE, /* over ratio_max */
};

struct body_decode_limits {
    size_t bytes_max;
    uint32_t ratio_max;      /* unpacked : packed; at least 1 */
    size_t ratio_free_bytes; /* unpacked sizes up to it may have any ratio */
};

struct body_decode;

struct body_decode *body_decode_new(void);
void body_decode_free(struct body_decode *d);

/* The value of one Content-Encoding field; case does not matter, "x-gzip" is gzip (RFC 9110). */
enum body_decode_coding body_decode_named(const char *coding);

/* Unpacks a body of that coding (gzip or zstd) and appends it to *out, which must be empty. On any
 * other result than OK *out is freed. Cost: what is unpacked, at most bytes_max. */
enum body_decode_result body_decode_run(struct body_decode *d, enum body_decode_coding coding,
                                        struct span body, const struct body_decode_limits *limits,
                                        struct buf *out);
