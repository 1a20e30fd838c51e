/* SPDX-License-Identifier: Apache-2.0
 * object_store: the port to a place for whole, named, immutable byte strings: a folder or S3.
 * Audience: drivers, shells. Cores never include it.
 * Implementations: common/run/object_folder, common/run/object_s3, tests/sim.
 *
 * Caveats first:
 *   - Calls block, for as long as the implementation's time-outs say. ERR_STOPPING: it was told to
 *     give up.
 *   - ERR_OK from put means: whole and durable. Any other answer means *unknown*: it may be there,
 *     whole, or not; never a part of it under its name.
 *   - ERR_STORE_AWAY: no answer, or busy. ERR_STORE_REFUSED: rights, credentials, clocks or
 *     configuration: an operator must act, and the same call may work afterwards. Both are class
 *     RETRY. ERR_SYSTEM, ERR_KV_*: never.
 *   - Names are 1..OBJECT_NAME_BYTES_MAX of [A-Za-z0-9/_.-], without an empty, "." or ".." part
 *     between slashes.
 *
 * Thread rule: one thread per store. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"

#define OBJECT_NAME_BYTES_MAX 512

enum object_kind {
    OBJECT_DATA,  /* large, seldom read: may go to a cheaper class of storage */
    OBJECT_INDEX, /* small, read first */
};

struct object_store {
    /* Replaces what has the name. */
    enum err (*put)(struct object_store *store, const char *name, enum object_kind kind,
                    struct span data);
    /* Appends to `out`. ERR_NOT_FOUND; ERR_LIMIT: more than `bytes_max`; `out` is then as before.
     */
    enum err (*get)(struct object_store *store, const char *name, size_t bytes_max,
                    struct buf *out);
    /* Appends the names that begin with `prefix` and sort after `after` ("": all), ascending, each
     * with a NUL behind it; a bounded number. Nothing appended: there are no more. */
    enum err (*list)(struct object_store *store, const char *prefix, const char *after,
                     struct buf *out_names);
};

static inline enum err object_put(struct object_store *store, const char *name,
                                  enum object_kind kind, struct span data)
{
    return store->put(store, name, kind, data);
}
static inline enum err object_get(struct object_store *store, const char *name, size_t bytes_max,
                                  struct buf *out)
{
    return store->get(store, name, bytes_max, out);
}
static inline enum err object_list(struct object_store *store, const char *prefix,
                                   const char *after, struct buf *out_names)
{
    return store->list(store, prefix, after, out_names);
}
