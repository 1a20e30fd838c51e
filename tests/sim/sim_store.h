/* SPDX-License-Identifier: Apache-2.0
 * sim_store: the object store port in memory, with puts that fail. Audience: tests. One thread. */
#pragma once

#include "common/base/object_store.h"
#include "tests/sim/sim_fuse.h"

struct object_store *sim_store_new(void);
void sim_store_free(struct object_store *s);

/* The n-th put from now (1 = the next) returns `err`; applied says whether the object is there all
 * the same. One shot. */
void sim_store_fail_put(struct object_store *s, unsigned n, enum err err, bool applied);
/* Every call fails with `err` until ERR_OK is said. */
void sim_store_down(struct object_store *s, enum err err);
uint64_t sim_store_puts(const struct object_store *s);

/* What it holds, in the order of names. Borrowed until the next put. */
uint32_t sim_store_count(const struct object_store *s);
const char *sim_store_name(const struct object_store *s, uint32_t index);
struct span sim_store_data(const struct object_store *s, uint32_t index);
/* False: it is not there. */
bool sim_store_remove(struct object_store *s, const char *name);

/* Sees every object as it is stored. */
void sim_store_watch(struct object_store *s,
                     void (*spy)(void *context, const char *name, struct span data), void *context);
/* A put is an effect of the process that burns the fuse. */
void sim_store_fuse(struct object_store *s, struct sim_fuse *fuse);
