/* SPDX-License-Identifier: Apache-2.0
 * completeness: when a minute of one (region, partition) is complete at the globe. */
#include "global/core/completeness.h"

#include "common/base/hash.h"
#include "common/base/minute.h"

void completeness_change(struct completeness_sums *sums, const struct completeness_row *old,
                         const struct completeness_row *new_)
{
    if (old == NULL) {
        CHECK(sums->rows < UINT32_MAX);
        sums->rows++;
    } else {
        CHECK(sums->rows > 0);
        sums->counted -= old->counted;
        sums->duplicate -= old->duplicate;
        sums->digest -= old->digest;
    }
    sums->counted += new_->counted;
    sums->duplicate += new_->duplicate;
    sums->digest += new_->digest;
}

bool completeness_sums_match(const struct completeness_sums *sums,
                             const struct partial_total *total)
{
    return sums->rows == total->rows && sums->counted == total->counted &&
           sums->duplicate == total->duplicate && sums->digest == total->digest;
}

bool completeness_sums_exceed(const struct completeness_sums *sums,
                              const struct partial_total *total)
{
    return sums->rows >= total->rows && sums->counted >= total->counted &&
           sums->duplicate >= total->duplicate && !completeness_sums_match(sums, total);
}

/* One number for a state of a minute; never 0. */
static uint64_t fingerprint(const struct partial_total *total)
{
    uint8_t bytes[28];
    bytes_store_u32(bytes, total->rows);
    bytes_store_u64(bytes + 4, total->counted);
    bytes_store_u64(bytes + 12, total->duplicate);
    bytes_store_u64(bytes + 20, total->digest);
    uint64_t print = hash_checksum(span_of(bytes, sizeof(bytes)), 0);
    return print + (print == 0);
}

static bool met_before(const struct completeness_book *book, uint64_t print)
{
    for (unsigned i = 0; i < COMPLETENESS_MET_KEPT; i++)
        if (book->met[i] == print)
            return true;
    return false;
}

static void remember(struct completeness_book *book, uint64_t print)
{
    if (met_before(book, print))
        return;
    for (unsigned i = COMPLETENESS_MET_KEPT - 1; i > 0; i--)
        book->met[i] = book->met[i - 1];
    book->met[0] = print;
}

enum completeness_verdict completeness_judge(struct completeness_book *book,
                                             const struct partial_total *total, bool sound,
                                             bool whole)
{
    uint64_t print = fingerprint(total);
    book->announced = true;
#ifdef TRIBUTARY_BREAK_TOTALS_NOT_COMPARED
    whole = true;
#endif
    if (!whole && !completeness_sums_match(&book->own, total) && !met_before(book, print))
        return COMPLETENESS_WANTED;
    remember(book, print);
#ifdef TRIBUTARY_BREAK_COMPLETE_WITH_EDGE_MISSING
    sound = true;
#endif
    if (sound)
        book->complete = true;
    return book->complete ? COMPLETENESS_MET : COMPLETENESS_HELD;
}

bool completeness_may_announce(uint32_t minute, uint64_t watermark_ms)
{
    return minute_start_ms(minute) + MINUTE_MS <= watermark_ms;
}

uint32_t completeness_due_before(uint64_t watermark_ms)
{
    if (watermark_ms < MINUTE_MS)
        return 0;
    return (uint32_t)base_min_u64((watermark_ms - MINUTE_MS) / MINUTE_MS, UINT32_MAX);
}

enum { BOOK_ANNOUNCED = 1u << 0, BOOK_COMPLETE = 1u << 1 };

void completeness_put(const struct completeness_book *book, struct buf *out)
{
    buf_put_u8(out, (uint8_t)((book->announced ? BOOK_ANNOUNCED : 0) |
                              (book->complete ? BOOK_COMPLETE : 0)));
    buf_put_varint(out, book->own.rows);
    buf_put_varint(out, book->own.counted);
    buf_put_varint(out, book->own.duplicate);
    buf_put_u64(out, book->own.digest);
    for (unsigned i = 0; i < COMPLETENESS_MET_KEPT && book->met[i] != 0; i++)
        buf_put_u64(out, book->met[i]);
}

enum err completeness_read(struct completeness_book *book, struct span bytes)
{
    struct reader r = reader_of(bytes);
    struct completeness_book read = {0};
    uint8_t what = reader_u8(&r);
    read.announced = (what & BOOK_ANNOUNCED) != 0;
    read.complete = (what & BOOK_COMPLETE) != 0;
    uint64_t rows = reader_varint(&r);
    read.own.rows = (uint32_t)rows;
    read.own.counted = reader_varint(&r);
    read.own.duplicate = reader_varint(&r);
    read.own.digest = reader_u64(&r);
    for (unsigned i = 0; i < COMPLETENESS_MET_KEPT && r.left > 0; i++)
        read.met[i] = reader_u64(&r);
    if (r.failed)
        return ERR_TRUNCATED;
    if (r.left > 0 || rows > UINT32_MAX || what > (BOOK_ANNOUNCED | BOOK_COMPLETE))
        return ERR_FORMAT;
    *book = read;
    return ERR_OK;
}

struct completeness_span completeness_span_of(const struct partition_map *map, uint32_t hour)
{
    return (struct completeness_span){partition_map_at(map, hour * 60),
                                      partition_map_at(map, hour * 60 + 59)};
}

bool completeness_hour_is_of(const struct completeness_hour *hour, struct completeness_span map)
{
    return hour->partitions >= map.first && hour->partitions <= map.last;
}

bool completeness_hour_mark(struct completeness_hour *hour, uint8_t minute,
                            struct completeness_span map)
{
    CHECK(minute < 60 && map.first > 0 && map.first <= map.last);
    if (hour->partitions > map.last)
        return false;
    struct completeness_hour marked = *hour;
    if (!completeness_hour_is_of(hour, map))
        marked.bits = 0;
    marked.bits |= UINT64_C(1) << minute;
    marked.partitions = map.last;
    bool changed = marked.bits != hour->bits || marked.partitions != hour->partitions;
    *hour = marked;
    return changed;
}

void completeness_hour_put(const struct completeness_hour *hour, struct buf *out)
{
    buf_put_u64(out, hour->bits);
    buf_put_u16(out, hour->partitions);
}

enum err completeness_hour_read(struct completeness_hour *hour, struct span bytes)
{
    struct reader r = reader_of(bytes);
    struct completeness_hour read = {.bits = reader_u64(&r), .partitions = reader_u16(&r)};
    if (!reader_at_end(&r))
        return r.failed ? ERR_TRUNCATED : ERR_TRAILING;
    if (read.bits >> 60 != 0 || read.partitions == 0)
        return ERR_FORMAT;
    *hour = read;
    return ERR_OK;
}
