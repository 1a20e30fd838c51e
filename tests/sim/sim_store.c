/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim_store.h"

#include <stdlib.h>

#define LIST_NAMES_MAX 3u /* small, so that callers meet the end of a bite */

struct object {
    char *name;
    struct buf data;
};

struct sim_store {
    struct object_store port;
    struct object *objects; /* sorted by name */
    uint32_t count, capacity;
    unsigned fail_in;
    enum err fail_err, down;
    bool fail_applied;
    uint64_t puts;
    struct sim_fuse *fuse;
    void (*spy)(void *context, const char *name, struct span data);
    void *spy_context;
};

static struct sim_store *sim_of(struct object_store *s)
{
    return container_of(s, struct sim_store, port);
}

static const struct sim_store *sim_of_const(const struct object_store *s)
{
    return (const struct sim_store *)(const void *)s;
}

static uint32_t place(const struct sim_store *s, const char *name)
{
    uint32_t low = 0, high = s->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (strcmp(s->objects[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct object *find(const struct sim_store *s, const char *name)
{
    uint32_t at = place(s, name);
    return at < s->count && strcmp(s->objects[at].name, name) == 0 ? &s->objects[at] : NULL;
}

static void store_object(struct sim_store *s, const char *name, struct span data)
{
    struct object *o = find(s, name);
    if (o == NULL) {
        uint32_t at = place(s, name);
        if (s->count == s->capacity) {
            s->capacity = s->capacity == 0 ? 16 : s->capacity * 2;
            s->objects = base_realloc(s->objects, s->capacity * sizeof(*s->objects));
        }
        memmove(s->objects + at + 1, s->objects + at, (s->count - at) * sizeof(*s->objects));
        s->count++;
        o = &s->objects[at];
        *o = (struct object){.name = strdup(name)};
        CHECK(o->name != NULL);
    }
    buf_clear(&o->data);
    buf_put(&o->data, data.data, data.length);
    if (s->spy != NULL)
        s->spy(s->spy_context, name, data);
}

static enum err put(struct object_store *store, const char *name, enum object_kind kind,
                    struct span data)
{
    struct sim_store *s = sim_of(store);
    (void)kind;
    if (s->down != ERR_OK)
        return s->down;
    if (!sim_fuse_burn(s->fuse))
        return ERR_SYSTEM;
    s->puts++;
    bool fails = s->fail_in > 0 && --s->fail_in == 0;
    if (!fails || s->fail_applied)
        store_object(s, name, data);
    if (s->fuse != NULL && s->fuse->blown)
        return ERR_SYSTEM;
    return fails ? s->fail_err : ERR_OK;
}

static enum err get(struct object_store *store, const char *name, size_t bytes_max, struct buf *out)
{
    const struct sim_store *s = sim_of(store);
    if (s->down != ERR_OK)
        return s->down;
    const struct object *o = find(s, name);
    if (o == NULL)
        return ERR_NOT_FOUND;
    if (o->data.length > bytes_max)
        return ERR_LIMIT;
    buf_put(out, o->data.data, o->data.length);
    return ERR_OK;
}

static enum err list(struct object_store *store, const char *prefix, const char *after,
                     struct buf *out_names)
{
    const struct sim_store *s = sim_of(store);
    if (s->down != ERR_OK)
        return s->down;
    uint32_t found = 0;
    for (uint32_t i = 0; i < s->count && found < LIST_NAMES_MAX; i++) {
        const char *name = s->objects[i].name;
        if (strncmp(name, prefix, strlen(prefix)) != 0 || strcmp(name, after) <= 0)
            continue;
        buf_put(out_names, name, strlen(name) + 1);
        found++;
    }
    return ERR_OK;
}

struct object_store *sim_store_new(void)
{
    struct sim_store *s = base_zalloc(1, sizeof(*s));
    s->port = (struct object_store){put, get, list};
    return &s->port;
}

void sim_store_free(struct object_store *store)
{
    if (store == NULL)
        return;
    struct sim_store *s = sim_of(store);
    for (uint32_t i = 0; i < s->count; i++) {
        free(s->objects[i].name);
        buf_done(&s->objects[i].data);
    }
    free(s->objects);
    free(s);
}

void sim_store_fail_put(struct object_store *store, unsigned n, enum err err, bool applied)
{
    struct sim_store *s = sim_of(store);
    s->fail_in = n;
    s->fail_err = err;
    s->fail_applied = applied;
}

void sim_store_down(struct object_store *store, enum err err)
{
    sim_of(store)->down = err;
}

uint64_t sim_store_puts(const struct object_store *s)
{
    return sim_of_const(s)->puts;
}

uint32_t sim_store_count(const struct object_store *s)
{
    return sim_of_const(s)->count;
}

const char *sim_store_name(const struct object_store *s, uint32_t index)
{
    CHECK(index < sim_of_const(s)->count);
    return sim_of_const(s)->objects[index].name;
}

struct span sim_store_data(const struct object_store *s, uint32_t index)
{
    CHECK(index < sim_of_const(s)->count);
    return buf_span(&sim_of_const(s)->objects[index].data);
}

bool sim_store_remove(struct object_store *store, const char *name)
{
    struct sim_store *s = sim_of(store);
    struct object *o = find(s, name);
    if (o == NULL)
        return false;
    free(o->name);
    buf_done(&o->data);
    s->count--;
    memmove(o, o + 1, (size_t)(s->objects + s->count - o) * sizeof(*o));
    return true;
}

void sim_store_watch(struct object_store *store,
                     void (*spy)(void *context, const char *name, struct span data), void *context)
{
    sim_of(store)->spy = spy;
    sim_of(store)->spy_context = context;
}

void sim_store_fuse(struct object_store *store, struct sim_fuse *fuse)
{
    sim_of(store)->fuse = fuse;
}
