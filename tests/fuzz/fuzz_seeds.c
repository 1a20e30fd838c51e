/* SPDX-License-Identifier: Apache-2.0
 * fuzz_seeds FOLDER: writes corpus seeds of the wire formats into FOLDER/<what>/; always the same
 * bytes. */
#include "tests/fuzz/fuzz_seeds.h"
#include "edge/core/spool_record.h"
#include "proto/control.h"
#include "proto/floor.h"
#include "proto/partial.h"
#include "proto/segment.h"
#include "proto/want.h"
#include "tests/fuzz/fuzz_target.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

void fuzz_seeds_save(const char *folder, const char *what, const char *name,
                     const struct buf *bytes)
{
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, what);
    (void)mkdir(path, 0777);
    (void)snprintf(path, sizeof(path), "%s/%s/%s", folder, what, name);
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL && fwrite(bytes->data, 1, bytes->length, file) == bytes->length);
    CHECK(fclose(file) == 0);
}

/* Also saves the message with its frames unpacked: see fuzz_message. */
static void save_packed(const char *folder, const char *what, const char *name,
                        const struct buf *message)
{
    char raw_name[64];
    struct buf raw = {0};
    fuzz_seeds_save(folder, what, name, message);
    (void)snprintf(raw_name, sizeof(raw_name), "%s.raw", name);
    fuzz_unpack_bins(buf_span(message), &raw);
    if (!span_equal(buf_span(&raw), buf_span(message)))
        fuzz_seeds_save(folder, what, raw_name, &raw);
    buf_done(&raw);
}

struct click fuzz_seeds_click(uint32_t i)
{
    static const char *const ads[] = {"ad-1", "ad-2", "ad-\xc3\xa9"};
    static const char *const users[] = {"u-1", "u-2", "u-3", "u-4", "u-5"};
    static const char *const ips[] = {"192.0.2.1", "2001:db8::1", ""};
    struct click c = {
        .minute = 28333333 + i / 4,
        .timestamp_ms = (28333333ULL + i / 4) * 60000 + i,
        .received_ms = 28333333ULL * 60000 + 100 * i,
        .flags = i % 3 == 0 ? CLICK_FLAG_IP_FILLED : 0,
        .ad_id = span_of_text(ads[i % countof(ads)]),
        .user_id = span_of_text(users[i % countof(users)]),
        .click_id = i % 2 == 0 ? span_of_text("click-id-0123456789") : (struct span){0},
        .ip_address = span_of_text(ips[i % countof(ips)]),
        .user_agent = span_of_text("Mozilla/5.0 (X11; Linux x86_64)"),
    };
    c.user_hash = hash_user(c.user_id);
    hash_click_key((const uint8_t *)"0123456789abcdef", HASH_ID_FIELDS, c.ad_id, c.user_id, 0,
                   c.key);
    return c;
}

static void save_clicks(const char *folder, struct buf *b)
{
    for (uint32_t i = 0; i < 5; i++) {
        struct click c = fuzz_seeds_click(i);
        click_put(b, &c);
    }
    fuzz_seeds_save(folder, "click", "rows", b);
    buf_clear(b);
    struct click least = {.ad_id = span_of_text("a"), .user_id = span_of_text("u")};
    click_put(b, &least);
    fuzz_seeds_save(folder, "click", "least", b);
}

/* As fuzz_spool_record reads them: length and bytes of the key, then the value without checksum. */
static void save_spool(const char *folder, struct buf *b)
{
    struct spool_line line = {
        .epoch = 77, .partition = 3, .home = "us", .low = 5, .end = 8, .fin = true};
    struct spool_key key = spool_line_key(&line);
    struct buf value = {0}, rows = {0};
    for (unsigned i = 0; i < 2; i++) {
        struct click c = fuzz_seeds_click(i);
        click_put(&rows, &c);
    }
    struct spool_batch batch = {
        .first = 5, .last = 8, .fin = true, .commit_ms = 1700000000000, .rows = buf_span(&rows)};
    for (unsigned i = 0; i < 2; i++) {
        if (i == 0)
            spool_line_put(&value, &line);
        else
            spool_batch_put(&value, &batch);
        buf_clear(b);
        buf_put_u8(b, (uint8_t)key.length);
        buf_put(b, key.bytes, key.length);
        buf_put(b, value.data + 8, value.length - 8);
        fuzz_seeds_save(folder, "spool_record", i == 0 ? "line" : "batch", b);
    }
    buf_done(&value);
    buf_done(&rows);
}

static void save_segments(const char *folder, struct buf *b)
{
    struct click clicks[20];
    for (uint32_t i = 0; i < countof(clicks); i++)
        clicks[i] = fuzz_seeds_click(i);
    struct segment_head head = {
        .edge = "us-e1",
        .region = "us",
        .epoch = 77,
        .partition = 3,
        .first = 100,
        .last = 100,
        .clock_ms = 1700000000000,
        .age_ms = 5,
        .newest_epoch = 78,
        .low = 90,
        .accepted = 120,
        .older_count = 2,
        .older = {11, 12},
    };
    segment_write(b, &head, clicks, 0);
    save_packed(folder, "segment", "heartbeat", b);
    head.last = 101;
    head.fin = true;
    segment_write(b, &head, clicks, 0);
    save_packed(folder, "segment", "fin", b);
    head.last = 121;
    segment_write(b, &head, clicks, countof(clicks));
    save_packed(folder, "segment", "fin_after_20", b);
    head.fin = false;
    head.older_count = 0;
    head.last = 101;
    segment_write(b, &head, clicks, 1);
    save_packed(folder, "segment", "one", b);
}

static void save_partials(const char *folder, struct buf *b)
{
    static const uint8_t sketch[] = {1, 0, 0, 0, 1, 0, 0, 0, 9};
    struct partial_row rows[] = {
        {.ad_hash = 1, .minute = 28333333, .counted = 10, .duplicate = 1, .late = 2},
        {.ad_hash = 1, .minute = 28333334, .generation = 1, .counted = 3, .flagged = {1}},
        {.ad_hash = 9, .minute = 28333333, .counted = 5, .sketch = {sketch, sizeof(sketch)}},
    };
    struct partial_name names[] = {{1, span_of_text("ad-1")}, {9, span_of_text("ad-\xc3\xa9")}};
    struct partial_total totals[] = {{.minute = 28333333, .rows = 2, .counted = 15, .digest = 99},
                                     {.minute = 28333332}};
    struct partial_edge edges[] = {{.edge = "us-e1", .epoch = 77, .floor = 120, .accepted = 130},
                                   {.edge = "us-e2", .epoch = 5, .missing = true}};
    struct partial p = {.region = "us",
                        .replica = "us-r1",
                        .store_id = 4,
                        .partition = 3,
                        .map = {.count = 1, .steps = {{0, 4}}},
                        .cut = 1,
                        .stream_ms = 1700000000000};
    partial_write(b, &p);
    save_packed(folder, "partial", "empty", b);
    p.rows = rows;
    p.row_count = countof(rows);
    p.names = names;
    p.name_count = countof(names);
    p.totals = totals;
    p.total_count = countof(totals);
    p.edges = edges;
    p.edge_count = countof(edges);
    p.missing_count = 1;
    p.watermark_ms = 1699999990000;
    p.folded = p.counted = 18;
    p.whole = true;
    partial_write(b, &p);
    save_packed(folder, "partial", "full", b);
}

static void save_small(const char *folder, struct buf *b)
{
    struct floor_line lines[] = {{.epoch = 77, .partition = 3, .floor = 120},
                                 {.epoch = 12, .partition = 0, .gap = true, .floor = 1}};
    struct floor_message floors = {.reader = "us-r1",
                                   .store_id = 4,
                                   .region = "us",
                                   .edge = "us-e1",
                                   .line_count = countof(lines),
                                   .lines = lines};
    floor_write(b, &floors);
    fuzz_seeds_save(folder, "floor", "two_lines", b);
    floors.line_count = 0;
    floor_write(b, &floors);
    fuzz_seeds_save(folder, "floor", "no_line", b);

    buf_clear(b);
    tick_write(b);
    fuzz_seeds_save(folder, "control", "tick", b);
    for (unsigned kind = CONTROL_ENROL; kind <= CONTROL_WRITE_OFF; kind++) {
        static const char *const names[] = {"", "enrol", "retire", "write_off"};
        struct control_message m = {.number = kind,
                                    .nonce = 1234567890123,
                                    .kind = kind,
                                    .edge = "us-e1",
                                    .epoch = kind == CONTROL_WRITE_OFF ? 77 : 0};
        buf_clear(b);
        control_write(b, &m);
        fuzz_seeds_save(folder, "control", names[kind], b);
    }

    struct want_message *want = base_zalloc(1, sizeof(*want));
    memcpy(want->region, "us", 3);
    memcpy(want->replica, "us-r1", 6);
    want->partition = 3;
    want->minute_count = 2;
    want->minutes[0] = 28333333;
    want->minutes[1] = 28333334;
    want->name_count = 1;
    want->names[0] = 9;
    buf_clear(b);
    want_write(b, want);
    fuzz_seeds_save(folder, "want", "minutes_and_names", b);
    free(want);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 64;
    }
    struct buf b = {0};
    save_clicks(argv[1], &b);
    save_spool(argv[1], &b);
    buf_clear(&b);
    save_segments(argv[1], &b);
    buf_clear(&b);
    save_partials(argv[1], &b);
    buf_clear(&b);
    save_small(argv[1], &b);
    fuzz_seeds_stores(argv[1]);
    buf_done(&b);
    return 0;
}
