/* SPDX-License-Identifier: Apache-2.0
 * page: all rows of one ad in one hour, packed.
 *
 *   page   varint groups, then each group, ascending by (region, partition), then varint users of
 * each minute that has a sketch in any group, ascending
 *   group  varint region, varint partition, varint rows, then each row, ascending by minute
 *   row    u8 minute, u8 what (bits below), varint counted, then one varint for each bit set, in
 * bit order */
#include "global/core/page.h"

#include <stdlib.h>

enum {
    WHAT_SKETCH = 1u << 0, /* no varint of its own */
    WHAT_GENERATION = 1u << 1,
    WHAT_DUPLICATE = 1u << 2,
    WHAT_LATE = 1u << 3,
    WHAT_FLAG = 1u << 4, /* and the three bits above: one each slot */
};

_Static_assert(PARTIAL_FLAG_SLOTS == 4, "the flag slots fill the upper half of `what`");

void page_clear(struct page *p)
{
    p->count = 0;
}

void page_done(struct page *p)
{
    free(p->entries);
    *p = (struct page){0};
}

static uint64_t order_of(uint16_t region, uint16_t partition, uint8_t minute)
{
    return ((uint64_t)region << 24) | ((uint64_t)partition << 8) | minute;
}

static uint64_t entry_order(const struct page_entry *e)
{
    return order_of(e->region, e->partition, e->minute);
}

static struct page_entry *insert(struct page *p, uint32_t index)
{
    if (p->count == p->capacity) {
        p->capacity = p->capacity == 0 ? 64 : p->capacity * 2;
        p->entries = base_realloc(p->entries, p->capacity * sizeof(p->entries[0]));
    }
    memmove(p->entries + index + 1, p->entries + index, (p->count - index) * sizeof(p->entries[0]));
    p->count++;
    p->entries[index] = (struct page_entry){0};
    return &p->entries[index];
}

struct page_entry *page_at(struct page *p, uint16_t region, uint16_t partition, uint8_t minute,
                           bool *out_made)
{
    CHECK(minute < PAGE_MINUTES);
    uint64_t order = order_of(region, partition, minute);
    uint32_t low = 0;
    uint32_t high = p->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (entry_order(&p->entries[middle]) < order)
            low = middle + 1;
        else
            high = middle;
    }
    *out_made = low == p->count || entry_order(&p->entries[low]) != order;
    if (!*out_made)
        return &p->entries[low];
    struct page_entry *entry = insert(p, low);
    entry->region = region;
    entry->partition = partition;
    entry->minute = minute;
    return entry;
}

static void row_put(const struct page_entry *e, struct buf *out)
{
    uint8_t what = 0;
    if (e->has_sketch)
        what |= WHAT_SKETCH;
    if (e->generation != 0)
        what |= WHAT_GENERATION;
    if (e->duplicate != 0)
        what |= WHAT_DUPLICATE;
    if (e->late != 0)
        what |= WHAT_LATE;
    for (unsigned i = 0; i < PARTIAL_FLAG_SLOTS; i++)
        if (e->flagged[i] != 0)
            what = (uint8_t)(what | (WHAT_FLAG << i));
    buf_put_u8(out, e->minute);
    buf_put_u8(out, what);
    buf_put_varint(out, e->counted);
    if (e->generation != 0)
        buf_put_varint(out, e->generation);
    if (e->duplicate != 0)
        buf_put_varint(out, e->duplicate);
    if (e->late != 0)
        buf_put_varint(out, e->late);
    for (unsigned i = 0; i < PARTIAL_FLAG_SLOTS; i++)
        if (e->flagged[i] != 0)
            buf_put_varint(out, e->flagged[i]);
}

static uint32_t group_end(const struct page *p, uint32_t from)
{
    uint32_t end = from + 1;
    while (end < p->count && p->entries[end].region == p->entries[from].region &&
           p->entries[end].partition == p->entries[from].partition)
        end++;
    return end;
}

void page_put(const struct page *p, struct buf *out)
{
    uint32_t groups = 0;
    for (uint32_t i = 0; i < p->count; i = group_end(p, i))
        groups++;
    buf_put_varint(out, groups);
    for (uint32_t i = 0; i < p->count;) {
        uint32_t end = group_end(p, i);
        buf_put_varint(out, p->entries[i].region);
        buf_put_varint(out, p->entries[i].partition);
        buf_put_varint(out, end - i);
        for (; i < end; i++) {
            CHECK(i == 0 || entry_order(&p->entries[i - 1]) < entry_order(&p->entries[i]));
            row_put(&p->entries[i], out);
        }
    }
    uint64_t sketched = 0;
    for (uint32_t i = 0; i < p->count; i++)
        sketched |= (uint64_t)p->entries[i].has_sketch << p->entries[i].minute;
    for (unsigned i = 0; i < PAGE_MINUTES; i++)
        if (sketched >> i & 1)
            buf_put_varint(out, p->users[i]);
}

enum err page_read(struct page *p, struct span bytes)
{
    page_clear(p);
    struct page_cursor cursor = page_cursor_of(bytes);
    struct page_entry entry;
    while (page_next(&cursor, &entry)) {
        if (p->count > 0 && entry_order(&p->entries[p->count - 1]) >= entry_order(&entry)) {
            cursor.bad = true;
            break;
        }
        *insert(p, p->count) = entry;
    }
    if (!cursor.bad) {
        memcpy(p->users, cursor.users, sizeof(p->users));
        return ERR_OK;
    }
    page_clear(p);
    return cursor.bytes.failed ? ERR_TRUNCATED : ERR_FORMAT;
}

struct page_cursor page_cursor_of(struct span bytes)
{
    struct page_cursor c = {.bytes = reader_of(bytes), .last_minute = -1};
    uint64_t groups = reader_varint(&c.bytes);
    c.bad = c.bytes.failed || groups > c.bytes.left;
    c.groups_left = c.bad ? 0 : (uint32_t)groups;
    return c;
}

static bool bad_end(struct page_cursor *c)
{
    c->bad = true;
    return false;
}

static bool next_group(struct page_cursor *c)
{
    uint64_t region = reader_varint(&c->bytes);
    uint64_t partition = reader_varint(&c->bytes);
    uint64_t rows = reader_varint(&c->bytes);
    if (c->bytes.failed || region > UINT16_MAX || partition > UINT16_MAX || rows < 1 ||
        rows > PAGE_MINUTES)
        return bad_end(c);
    c->groups_left--;
    c->region = (uint16_t)region;
    c->partition = (uint16_t)partition;
    c->rows_left = (uint32_t)rows;
    c->last_minute = -1;
    return true;
}

static void read_users(struct page_cursor *c)
{
    for (unsigned i = 0; i < PAGE_MINUTES; i++)
        if (c->sketched >> i & 1)
            c->users[i] = reader_varint(&c->bytes);
    c->ended = true;
    c->bad = !reader_at_end(&c->bytes);
}

bool page_next(struct page_cursor *c, struct page_entry *out)
{
    if (c->bad || c->ended)
        return false;
    if (c->rows_left == 0) {
        if (c->groups_left == 0) {
            read_users(c);
            return false;
        }
        if (!next_group(c))
            return false;
    }
    struct page_entry e = {.region = c->region, .partition = c->partition};
    e.minute = reader_u8(&c->bytes);
    uint8_t what = reader_u8(&c->bytes);
    e.counted = reader_varint(&c->bytes);
    e.has_sketch = (what & WHAT_SKETCH) != 0;
    uint64_t generation = what & WHAT_GENERATION ? reader_varint(&c->bytes) : 0;
    e.generation = (uint32_t)generation;
    if (what & WHAT_DUPLICATE)
        e.duplicate = reader_varint(&c->bytes);
    if (what & WHAT_LATE)
        e.late = reader_varint(&c->bytes);
    for (unsigned i = 0; i < PARTIAL_FLAG_SLOTS; i++)
        if (what & (WHAT_FLAG << i))
            e.flagged[i] = reader_varint(&c->bytes);
    if (c->bytes.failed || e.minute >= PAGE_MINUTES || (int)e.minute <= c->last_minute ||
        generation > UINT32_MAX)
        return bad_end(c);
    c->last_minute = e.minute;
    c->sketched |= (uint64_t)e.has_sketch << e.minute;
    c->rows_left--;
    *out = e;
    return true;
}

/* Adds up the rows of one group. */
static bool sum_group(struct reader *r, struct page_sums *out)
{
    (void)reader_varint(r); /* whose they are */
    (void)reader_varint(r);
    uint64_t rows = reader_varint(r);
    int last_minute = -1;
    if (rows < 1 || rows > PAGE_MINUTES)
        return false;
    for (; rows > 0 && r->left >= 3; rows--) {
        uint8_t minute = r->data[0];
        uint8_t what = r->data[1];
        r->data += 2;
        r->left -= 2;
        if (minute >= PAGE_MINUTES || (int)minute <= last_minute)
            return false;
        last_minute = minute;
        out->counted[minute] += reader_varint(r);
        out->seen |= UINT64_C(1) << minute;
        out->sketched |= (uint64_t)((what & WHAT_SKETCH) != 0) << minute;
        for (unsigned others = what >> 1; others != 0; others &= others - 1)
            (void)reader_varint(r);
    }
    return rows == 0;
}

enum err page_sum(struct span bytes, struct page_sums *out)
{
    struct reader r = reader_of(bytes);
    uint64_t groups = reader_varint(&r);
    *out = (struct page_sums){.seen = 0};
    for (; groups > 0; groups--)
        if (!sum_group(&r, out))
            return ERR_FORMAT;
    for (unsigned i = 0; i < PAGE_MINUTES; i++)
        if (out->sketched >> i & 1)
            out->users[i] = reader_varint(&r);
    return reader_at_end(&r) ? ERR_OK : ERR_FORMAT;
}
