/* SPDX-License-Identifier: Apache-2.0
 * kv_lmdb: the kv port on LMDB. Default sync, MDB_NOTLS, map size fixed at open.
 * Audience: shells. See common/base/kv.h for the caveats.
 * One LMDB named database per table; stale readers are cleared at open.
 *
 * Caveats of this kind of store:
 *   - Each value carries 8 bytes of checksum over table, key and value, since LMDB does not notice
 * a flipped bit; get and seek check it. Values of n*4096-24 bytes therefore fill their pages best.
 *   - Damage, or a write or sync that failed, makes the whole store unfit, not one transaction:
 * every later begin and commit says ERR_KV_CORRUPT or ERR_KV_IO, even if the caller looked away
 * once.
 *     A full disk met before the meta page is ERR_KV_FULL and leaves no trace; at the meta page
 *     it is ERR_KV_IO.
 *   - A second write transaction begun by the same thread is a CHECK failure, not a dead lock.
 *   - Changing the map's size takes a restart; a map is never made smaller than what is in use. */
#pragma once

#include "common/base/kv.h"

struct kv_lmdb_options {
    const char *path; /* folder; made if missing (mode 0700) */
    uint64_t map_bytes;
    const char *const *tables; /* names; index = table number */
    unsigned table_count;
    unsigned readers_max; /* 0: 126 */
    /* Mapped pages are given back while the process has more than that of files resident, looked at
     * after each 4 MiB that were read: a store of gigabytes that is read through once must not
     * count as our memory. 0: never. */
    uint64_t resident_bytes_max;
};

/* ERR_KV_IO, ERR_KV_CORRUPT, ERR_KV_FULL, ERR_SYSTEM; the reason is logged. A second process that
 * opens the same folder for writing is refused (lock file), with words that say so. */
enum err WARN_UNUSED kv_lmdb_open(const struct kv_lmdb_options *options, struct kv_port **out);
void kv_lmdb_close(struct kv_port *kv);

/* Bytes of the map in use by live pages (not the freed ones), and the map's size. */
void kv_lmdb_usage(struct kv_port *kv, uint64_t *out_used_bytes, uint64_t *out_map_bytes);

/* Copies the store, consistently and while it runs, to a file descriptor (LMDB data file format,
 * compacted). */
enum err WARN_UNUSED kv_lmdb_copy(struct kv_port *kv, int file);
/* Clears readers of dead processes; call once a minute. */
void kv_lmdb_check_readers(struct kv_port *kv);
