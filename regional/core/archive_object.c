/* SPDX-License-Identifier: Apache-2.0
 * archive_object: see archive_object.h. */
#include "regional/core/archive_object.h"

#include "common/base/minute.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define DAY_MS (24 * 3600 * 1000ULL)

uint64_t archive_object_bytes(const struct archive_object *o)
{
    return archive_avro_bytes(&o->avro) + o->range_count * sizeof(*o->ranges);
}

static int range_order(const struct archive_range *a, const struct archive_range *b)
{
    int by_edge = strcmp(a->edge, b->edge);
    if (by_edge != 0)
        return by_edge;
    if (a->epoch != b->epoch)
        return a->epoch < b->epoch ? -1 : 1;
    return a->first < b->first ? -1 : a->first > b->first;
}

static uint32_t range_place(const struct archive_object *o, const struct archive_range *range)
{
    uint32_t low = 0, high = o->range_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (range_order(&o->ranges[middle], range) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct archive_range range_of(const struct segment_head *head, struct archive_run run)
{
    struct archive_range range = {.epoch = head->epoch, .first = run.first, .last = run.last};
    memcpy(range.edge, head->edge, sizeof(range.edge));
    range.fin = head->fin && run.last == head->last;
    range.clicks = run.last - run.first - (range.fin ? 1 : 0);
    return range;
}

static void add_range(struct archive_object *o, const struct archive_range *range)
{
    uint32_t at = range_place(o, range);
    struct archive_range *before = at == 0 ? NULL : &o->ranges[at - 1];
    if (before != NULL && before->last == range->first && before->epoch == range->epoch &&
        !before->fin && strcmp(before->edge, range->edge) == 0) {
        before->last = range->last;
        before->clicks += range->clicks;
        before->fin = range->fin;
        return;
    }
    if (o->range_count == o->range_capacity) {
        o->range_capacity = o->range_capacity == 0 ? 16 : o->range_capacity * 2;
        o->ranges = base_realloc(o->ranges, o->range_capacity * sizeof(*o->ranges));
    }
    memmove(o->ranges + at + 1, o->ranges + at, (o->range_count - at) * sizeof(*o->ranges));
    o->ranges[at] = *range;
    o->range_count++;
}

static void note_message(struct archive_object *o, uint64_t seq, uint64_t time_ms)
{
    if (o->seq_first == 0) {
        o->seq_first = seq;
        o->time_first_ms = o->time_last_ms = time_ms;
    }
    o->seq_last = base_max_u64(o->seq_last, seq);
    o->seq_first = base_min_u64(o->seq_first, seq);
    o->time_first_ms = base_min_u64(o->time_first_ms, time_ms);
    o->time_last_ms = base_max_u64(o->time_last_ms, time_ms);
}

static void note_click(struct archive_object *o, const struct click *c)
{
    if (o->avro.clicks == 0) {
        o->received_first_ms = o->received_last_ms = c->received_ms;
        o->minute_first = o->minute_last = c->minute;
    }
    o->received_first_ms = base_min_u64(o->received_first_ms, c->received_ms);
    o->received_last_ms = base_max_u64(o->received_last_ms, c->received_ms);
    o->minute_first = (uint32_t)base_min_u64(o->minute_first, c->minute);
    o->minute_last = (uint32_t)base_max_u64(o->minute_last, c->minute);
}

void archive_object_add(struct archive_object *o, const struct archive_identity *who,
                        const struct segment_head *head, struct archive_run run,
                        const struct click *clicks, uint64_t seq, uint64_t time_ms)
{
    CHECK(head->first <= run.first && run.first < run.last && run.last <= head->last);
    if (archive_object_is_empty(o))
        archive_avro_begin(&o->avro, who->codec, seq ^ (uint64_t)who->partition << 48);
    struct archive_range range = range_of(head, run);
    add_range(o, &range);
    note_message(o, seq, time_ms);
    struct archive_place place = {head->edge, who->region, head->epoch, who->partition};
    char storage[LIMIT_IP_TEXT_BYTES + 1];
    for (uint64_t n = run.first; n < run.first + range.clicks; n++) {
        struct click c = clicks[n - head->first];
        c.ip_address = archive_privacy_ip(who->ip, c.ip_address, storage);
        note_click(o, &c);
        archive_avro_put(&o->avro, &place, n, &c);
    }
}

static PRINTF_LIKE(2, 3) void put_format(struct buf *out, const char *pattern, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, pattern);
    int length = vsnprintf(text, sizeof(text), pattern, arguments);
    va_end(arguments);
    CHECK(length >= 0 && (size_t)length < sizeof(text));
    buf_put(out, text, (size_t)length);
}

/* Days since 1970-01-01 to a date. Source: H. Hinnant, "chrono-compatible low-level date
 * algorithms", civil_from_days. */
static void put_day(char out[11], uint64_t time_ms)
{
    uint32_t days = (uint32_t)(base_min_u64(time_ms, LIMIT_TIMESTAMP_MS_MAX) / DAY_MS) + 719468;
    uint32_t era = days / 146097, of_era = days % 146097;
    uint32_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint32_t of_year = of_era - (365 * year + year / 4 - year / 100);
    uint32_t shifted = (5 * of_year + 2) / 153;
    uint32_t day = of_year - (153 * shifted + 2) / 5 + 1;
    uint32_t month = shifted < 10 ? shifted + 3 : shifted - 9;
    year += era * 400 + (month <= 2);
    CHECK(year <= 9999);
    (void)snprintf(out, 11, "%04u-%02u-%02u", year % 10000, month % 100, day % 100);
}

static void put_manifest(const struct archive_object *o, const struct archive_identity *who,
                         const char *format, const char *sha256, struct archive_file *f)
{
    struct buf *out = &f->manifest;
    put_format(out, "{\"version\":%d,\"format\":\"%s\",\"codec\":\"%s\",\n",
               ARCHIVE_MANIFEST_VERSION, format,
               strcmp(format, "avro") == 0 ? archive_codec_name(who->codec) : "null");
    put_format(out, "\"object\":\"%s\",\n\"sha256\":\"%s\",\"bytes\":%llu,\"clicks\":%llu,\n",
               f->name, sha256, (unsigned long long)f->data.length, (unsigned long long)f->clicks);
    put_format(out, "\"region\":\"%s\",\"partition\":%u,\"partitions\":%u,\n", who->region,
               (unsigned)who->partition, (unsigned)who->partitions);
    put_format(out, "\"archiver\":\"%s\",\"store_id\":\"%016llx\",\"privacy_ip\":\"%s\",\n",
               who->archiver, (unsigned long long)who->store_id, archive_ip_name(who->ip));
    put_format(out,
               "\"stream\":{\"first\":%llu,\"last\":%llu,\"first_ms\":%llu,\"last_ms\":%llu},\n",
               (unsigned long long)o->seq_first, (unsigned long long)o->seq_last,
               (unsigned long long)o->time_first_ms, (unsigned long long)o->time_last_ms);
    if (o->avro.clicks > 0) {
        put_format(out, "\"received_ms\":[%llu,%llu],\"minutes\":[%u,%u],\n",
                   (unsigned long long)o->received_first_ms,
                   (unsigned long long)o->received_last_ms, (unsigned)o->minute_first,
                   (unsigned)o->minute_last);
    }
    put_format(out, "\"ranges\":[");
    for (uint32_t i = 0; i < o->range_count; i++) {
        const struct archive_range *r = &o->ranges[i];
        put_format(out,
                   "%s\n{\"edge\":\"%s\",\"epoch\":\"%016llx\",\"first\":%llu,\"last\":%llu,"
                   "\"clicks\":%llu,\"fin\":%s}",
                   i == 0 ? "" : ",", r->edge, (unsigned long long)r->epoch,
                   (unsigned long long)r->first, (unsigned long long)r->last,
                   (unsigned long long)r->clicks, r->fin ? "true" : "false");
    }
    put_format(out, "\n]}\n");
}

static void put_names(const struct archive_object *o, const struct archive_identity *who,
                      const char *suffix, const char *sha256, struct archive_file *f)
{
    char day[11];
    put_day(day, o->time_last_ms);
    int length =
        snprintf(f->name, sizeof(f->name), "objects/%s/p%04u/%s/%020llu-%020llu-%s.%s", who->region,
                 (unsigned)who->partition, day, (unsigned long long)o->seq_first,
                 (unsigned long long)o->seq_last, sha256, suffix);
    CHECK(length > 0 && (size_t)length < sizeof(f->name));
    length = snprintf(f->manifest_name, sizeof(f->manifest_name), "manifests%s.json",
                      f->name + strlen("objects"));
    CHECK(length > 0 && (size_t)length < sizeof(f->manifest_name));
}

static void digest(const struct archive_identity *who, struct span data, char out_hex[65])
{
    if (who->sha256 != NULL)
        who->sha256(data, out_hex);
    else
        hash_sha256(data, out_hex);
}

static void clear(struct archive_object *o)
{
    struct archive_object kept = {.avro = o->avro, .ranges = o->ranges};
    kept.range_capacity = o->range_capacity;
    kept.avro.clicks = kept.avro.block_clicks = 0;
    *o = kept;
}

void archive_object_end(struct archive_object *o, const struct archive_identity *who,
                        struct archive_file *out)
{
    CHECK(!archive_object_is_empty(o));
    archive_avro_end(&o->avro);
    uint64_t clicks = 0;
    for (uint32_t i = 0; i < o->range_count; i++)
        clicks += o->ranges[i].clicks;
    CHECK(clicks == o->avro.clicks);

    char sha256[65];
    *out = (struct archive_file){.clicks = clicks};
    out->data = o->avro.file;
    o->avro.file = (struct buf){0};
    digest(who, buf_span(&out->data), sha256);
    put_names(o, who, "avro", sha256, out);
    put_manifest(o, who, "avro", sha256, out);
    clear(o);
}

void archive_object_raw(const struct archive_identity *who, const struct segment_head *head,
                        const struct archive_run *runs, uint32_t run_count, struct span message,
                        uint64_t seq, uint64_t time_ms, struct archive_file *out)
{
    struct archive_object o = {0};
    char sha256[65];
    *out = (struct archive_file){0};
    for (uint32_t i = 0; i < run_count; i++) {
        struct archive_range range = range_of(head, runs[i]);
        add_range(&o, &range);
        out->clicks += range.clicks;
    }
    note_message(&o, seq, time_ms);
    buf_put(&out->data, message.data, message.length);
    digest(who, message, sha256);
    put_names(&o, who, "segment", sha256, out);
    put_manifest(&o, who, "segment", sha256, out);
    archive_object_done(&o);
}

void archive_object_done(struct archive_object *o)
{
    archive_avro_done(&o->avro);
    free(o->ranges);
    *o = (struct archive_object){0};
}

void archive_file_done(struct archive_file *f)
{
    buf_done(&f->data);
    buf_done(&f->manifest);
    *f = (struct archive_file){0};
}
