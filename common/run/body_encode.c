/* SPDX-License-Identifier: Apache-2.0
 * body_encode: answers in gzip and zstd. */
#include "common/run/body_encode.h"

#include <limits.h>
#include <stdlib.h>
#define ZLIB_CONST /* the input is not written to */
#include <zlib.h>
#include <zstd.h>

#define GZIP_WINDOW (15 + 16) /* zlib: 32 KiB, and the gzip wrapper alone */
#define GZIP_LEVEL  1
#define GZIP_MEMORY 8
#define ZSTD_LEVEL  1

struct body_encode {
    z_stream gzip;
    ZSTD_CCtx *zstd;
};

struct body_encode *body_encode_new(void)
{
    struct body_encode *e = base_zalloc(1, sizeof(*e));
    CHECK(deflateInit2(&e->gzip, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY,
                       Z_DEFAULT_STRATEGY) == Z_OK);
    e->zstd = ZSTD_createCCtx();
    CHECK(e->zstd != NULL);
    return e;
}

void body_encode_free(struct body_encode *e)
{
    if (e == NULL)
        return;
    (void)deflateEnd(&e->gzip);
    (void)ZSTD_freeCCtx(e->zstd);
    free(e);
}

void body_encode_gzip(struct body_encode *e, struct span body, struct buf *out)
{
    CHECK(body.length < UINT_MAX / 2);
    size_t room = deflateBound(&e->gzip, body.length);
    buf_reserve(out, room);
    e->gzip.next_in = body.data;
    e->gzip.avail_in = (uInt)body.length;
    e->gzip.next_out = out->data + out->length;
    e->gzip.avail_out = (uInt)room;
    CHECK(deflate(&e->gzip, Z_FINISH) == Z_STREAM_END);
    out->length += room - e->gzip.avail_out;
    CHECK(deflateReset(&e->gzip) == Z_OK);
}

void body_encode_zstd(struct body_encode *e, struct span body, struct buf *out)
{
    size_t room = ZSTD_compressBound(body.length);
    buf_reserve(out, room);
    size_t length = ZSTD_compressCCtx(e->zstd, out->data + out->length, room, body.data,
                                      body.length, ZSTD_LEVEL);
    CHECK(!ZSTD_isError(length));
    out->length += length;
}
