/* SPDX-License-Identifier: Apache-2.0 */
#include "common/run/body_decode.h"

#include <stdlib.h>
#include <strings.h>
#define ZLIB_CONST /* the input is not written to */
#include <zlib.h>
#include <zstd.h>

#define STEP_BYTES      16384
#define GZIP_WINDOW     (15 + 16) /* zlib: 32 KiB, and the gzip wrapper alone */
#define ZSTD_WINDOW_LOG 23        /* RFC 9659 */

struct body_decode {
    z_stream gzip;
    ZSTD_DCtx *zstd;
};

/* One body on its way. */
struct work {
    const struct body_decode_limits *limits;
    struct span body;
    size_t used; /* of the body */
    struct buf *out;
};

struct body_decode *body_decode_new(void)
{
    struct body_decode *d = base_zalloc(1, sizeof(*d));
    CHECK(inflateInit2(&d->gzip, GZIP_WINDOW) == Z_OK);
    d->zstd = ZSTD_createDCtx();
    CHECK(d->zstd != NULL);
    CHECK(!ZSTD_isError(ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG)));
    return d;
}

void body_decode_free(struct body_decode *d)
{
    if (d == NULL)
        return;
    (void)inflateEnd(&d->gzip);
    (void)ZSTD_freeDCtx(d->zstd);
    free(d);
}

enum body_decode_coding body_decode_named(const char *coding)
{
    static const struct {
        const char *name;
        enum body_decode_coding coding;
    } rows[] = {{"identity", BODY_DECODE_IDENTITY},
                {"gzip", BODY_DECODE_GZIP},
                {"x-gzip", BODY_DECODE_GZIP},
                {"zstd", BODY_DECODE_ZSTD}};
    for (size_t i = 0; i < countof(rows); i++)
        if (strcasecmp(coding, rows[i].name) == 0)
            return rows[i].coding;
    return BODY_DECODE_UNKNOWN;
}

/* Room for the next step: never more than one byte above the bound, which then shows the excess. */
static size_t make_room(struct work *w)
{
    CHECK(w->out->length <= w->limits->bytes_max);
    size_t left = w->limits->bytes_max + 1 - w->out->length;
    size_t room = w->out->length < STEP_BYTES ? STEP_BYTES : w->out->length;
    room = room < left ? room : left;
    buf_reserve(w->out, room);
    return room;
}

/* Against the whole body's size, not what was read of it so far: packed text is not evenly dense.
 */
static enum body_decode_result check_bounds(const struct work *w)
{
    const struct body_decode_limits *l = w->limits;
    if (w->out->length > l->bytes_max)
        return BODY_DECODE_TOO_LARGE;
    if (w->out->length > l->ratio_free_bytes && w->out->length / l->ratio_max > w->body.length)
        return BODY_DECODE_TOO_DENSE;
    return BODY_DECODE_OK;
}

/* One call of the unpacker; *out_ended: a member or frame ended with it. */
typedef bool (*step_fn)(struct body_decode *d, struct work *w, size_t room, bool *out_ended);

static bool step_gzip(struct body_decode *d, struct work *w, size_t room, bool *out_ended)
{
    z_stream *z = &d->gzip;
    size_t left = w->body.length - w->used;
    CHECK(left <= UINT32_MAX && room <= UINT32_MAX);
    z->next_in = w->body.data + w->used;
    z->avail_in = (uInt)left;
    z->next_out = w->out->data + w->out->length;
    z->avail_out = (uInt)room;
    int code = inflate(z, Z_NO_FLUSH);
    w->used += left - z->avail_in;
    w->out->length += room - z->avail_out;
    *out_ended = code == Z_STREAM_END;
    if (*out_ended)
        CHECK(inflateReset(z) == Z_OK);
    return code == Z_OK || code == Z_STREAM_END;
}

static bool step_zstd(struct body_decode *d, struct work *w, size_t room, bool *out_ended)
{
    ZSTD_inBuffer in = {w->body.data + w->used, w->body.length - w->used, 0};
    ZSTD_outBuffer out = {w->out->data + w->out->length, room, 0};
    size_t code = ZSTD_decompressStream(d->zstd, &out, &in);
    w->used += in.pos;
    w->out->length += out.pos;
    *out_ended = code == 0;
    return !ZSTD_isError(code);
}

static enum body_decode_result run(struct body_decode *d, struct work *w, step_fn step)
{
    bool ended = false;
    while (!ended || w->used < w->body.length) {
        size_t used = w->used, length = w->out->length;
        if (!step(d, w, make_room(w), &ended))
            return BODY_DECODE_INVALID;
        enum body_decode_result result = check_bounds(w);
        if (result != BODY_DECODE_OK)
            return result;
        if (!ended && w->used == used && w->out->length == length)
            return BODY_DECODE_INVALID; /* the body ends before its last member or frame does */
    }
    return BODY_DECODE_OK;
}

enum body_decode_result body_decode_run(struct body_decode *d, enum body_decode_coding coding,
                                        struct span body, const struct body_decode_limits *limits,
                                        struct buf *out)
{
    CHECK(coding == BODY_DECODE_GZIP || coding == BODY_DECODE_ZSTD);
    CHECK(limits->ratio_max > 0 && limits->bytes_max < UINT32_MAX && out->length == 0);
    if (body.length == 0)
        return BODY_DECODE_INVALID;

    struct work w = {.limits = limits, .body = body, .out = out};
    enum body_decode_result result;
    if (coding == BODY_DECODE_GZIP) {
        CHECK(inflateReset(&d->gzip) == Z_OK);
        result = run(d, &w, step_gzip);
    } else {
        CHECK(!ZSTD_isError(ZSTD_DCtx_reset(d->zstd, ZSTD_reset_session_only)));
        result = run(d, &w, step_zstd);
    }
    if (result != BODY_DECODE_OK)
        buf_done(out);
    return result;
}
