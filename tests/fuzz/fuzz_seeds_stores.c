/* SPDX-License-Identifier: Apache-2.0
 * fuzz_seeds_stores: values of the stores of region and globe, by the code that writes them. */
#include "global/core/completeness.h"
#include "global/core/page.h"
#include "global/core/standing.h"
#include "global/core/token_book.h"
#include "proto/subject.h"
#include "regional/core/archive_state.h"
#include "regional/core/minute_snapshot.h"
#include "regional/core/roster.h"
#include "tests/fuzz/fuzz_fold.h"
#include "tests/fuzz/fuzz_seeds.h"
#include "tests/fuzz/fuzz_target.h"

#include <stdio.h>
#include <stdlib.h>

#define CLICKS 6

/* Clicks of ads that live in the fold's partition. */
static void make_segment(struct buf *out, struct span *out_ads)
{
    static char ads[CLICKS][16];
    struct click clicks[CLICKS];
    struct segment_head head = {.edge = "us-e1",
                                .region = "us",
                                .epoch = 77,
                                .partition = FUZZ_PARTITION,
                                .last = CLICKS,
                                .clock_ms = (FUZZ_MINUTE + 1) * 60000ULL,
                                .newest_epoch = 77,
                                .accepted = CLICKS};
    for (uint32_t i = 0, candidate = 0; i < CLICKS; i++) {
        clicks[i] = fuzz_seeds_click(i);
        do {
            (void)snprintf(ads[i], sizeof(ads[i]), "ad-%u", candidate++ / 2);
            out_ads[i] = span_of_text(ads[i]);
        } while (hash_partition(hash_ad(out_ads[i]), FUZZ_PARTITIONS) != FUZZ_PARTITION);
        clicks[i].ad_id = out_ads[i];
        clicks[i].minute = FUZZ_MINUTE;
    }
    memcpy(clicks[5].key, clicks[0].key, sizeof(clicks[5].key)); /* a repeat */
    clicks[5].ad_id = clicks[0].ad_id;
    segment_write(out, &head, clicks, CLICKS);
}

static void save_kind(const char *folder, const char *what, const char *name, uint8_t kind,
                      const struct buf *bytes)
{
    struct buf b = {0};
    buf_put_u8(&b, kind);
    buf_put(&b, bytes->data, bytes->length);
    fuzz_seeds_save(folder, what, name, &b);
    buf_done(&b);
}

/* Takes off the checksum that the target puts on again. */
static void save_unsealed(const char *folder, const char *what, const char *name, struct buf *b)
{
    b->length -= 8;
    fuzz_seeds_save(folder, what, name, b);
}

static void save_snapshot(const char *folder, const char *name, struct span key, struct buf *value)
{
    struct buf b = {0};
    buf_put_u8(&b, (uint8_t)key.length);
    buf_put(&b, key.data, key.length);
    buf_put(&b, value->data, value->length - 8);
    fuzz_seeds_save(folder, "snapshot", name, &b);
    buf_done(&b);
}

static void save_snapshots(const char *folder, const struct span *ads)
{
    struct buf value = {0};
    uint8_t key[MINUTE_CHUNK_KEY_BYTES], keys[3][HASH_CLICK_BYTES] = {{1}, {2}, {3}};
    struct minute_head head = {
        .partition = FUZZ_PARTITION,
        .cut = 4,
        .keys = 3,
        .late = 1,
        .total = {.minute = FUZZ_MINUTE, .rows = 1, .counted = 3, .digest = 99}};
    minute_head_write(&value, key, &head);
    save_snapshot(folder, "head", span_of(key, MINUTE_HEAD_KEY_BYTES), &value);
    minute_chunk_write(&value, key, FUZZ_PARTITION, FUZZ_MINUTE, keys[0], 3);
    save_snapshot(folder, "chunk", span_of(key, MINUTE_CHUNK_KEY_BYTES), &value);
    struct minute_rows_writer w = {.partition = FUZZ_PARTITION, .minute = FUZZ_MINUTE};
    static const uint8_t sketch[] = {1, 9, 4};
    struct minute_row row = {.ad_hash = hash_ad(ads[0]),
                             .counted = 3,
                             .duplicate = 1,
                             .late = 1,
                             .ad_id = ads[0],
                             .sketch = span_of(sketch, sizeof(sketch))};
    CHECK(minute_rows_add(&w, &row));
    minute_rows_seal(&w, key);
    save_snapshot(folder, "rows", span_of(key, MINUTE_ROWS_KEY_BYTES), &w.value);
    minute_rows_done(&w);
    buf_done(&value);
}

/* The state of an archiver that has read the segment; its checksum stands first, and is left out.
 */
static void save_archive(const char *folder, const struct buf *segment)
{
    struct archive_options o = {.who = {.archiver = "us-a1",
                                        .region = "us",
                                        .store_id = 7,
                                        .partition = FUZZ_PARTITION,
                                        .partitions = FUZZ_PARTITIONS},
                                .object_bytes = 1 << 20,
                                .object_age_ms = 60000};
    struct archive *a = archive_new(&o);
    struct subject subject = subject_segment("us", FUZZ_PARTITION, "us-e1");
    struct archive_message m = {subject.text, 1, (FUZZ_MINUTE + 1) * 60000ULL, buf_span(segment)};
    struct buf state = {0}, bare = {0};
    archive_step(a, &m, 1);
    CHECK(a->counts.clicks == CLICKS);
    archive_state_write(&state, a);
    buf_put(&bare, state.data + 8, state.length - 8);
    save_kind(folder, "archive", "state", 0, &bare);
    archive_free(a);
    buf_done(&state);
    buf_done(&bare);
}

static void save_region(const char *folder)
{
    struct buf b = {0}, raw = {0};
    struct span ads[CLICKS];
    struct fold *f = fuzz_fold_new();
    struct fold_position position = {.seq = 4, .digest = 5};
    struct subject subject = subject_segment("us", FUZZ_PARTITION, "us-e1");

    make_segment(&b, ads);
    save_kind(folder, "fold", "segment", 2, &b);
    save_kind(folder, "archive", "segment", 1, &b);
    save_archive(folder, &b);
    fuzz_unpack_bins(buf_span(&b), &raw);
    save_kind(folder, "fold", "segment.raw", 2, &raw);
    save_kind(folder, "archive", "segment.raw", 2, &raw);
    struct fold_message m = {subject.text, (FUZZ_MINUTE + 1) * 60000ULL, buf_span(&b)};
    CHECK(fold_step(f, &m) == ERR_OK && f->books.counted == CLICKS - 1);

    struct minute_table *t = horizon_find(&f->horizon, FUZZ_MINUTE);
    CHECK(t != NULL);
    buf_clear(&raw);
    redo_write(&raw, f, t, 4);
    save_unsealed(folder, "redo", "six", &raw);
    fold_state_write(&raw, f, &position);
    save_unsealed(folder, "fold_state", "one_edge", &raw);

    struct roster roster = {.replica = "us-r1", .part_count = 1};
    struct roster_part part = {0};
    roster_part_of(&part, f, false);
    roster.parts = &part;
    buf_clear(&raw);
    roster_write(&raw, &roster);
    fuzz_seeds_save(folder, "roster", "one_edge", &raw);
    free(part.edges);
    fold_free(f);

    buf_clear(&b);
    tick_write(&b);
    save_kind(folder, "fold", "tick", 1, &b);
    struct control_message control = {
        .number = 0, .nonce = 7, .kind = CONTROL_ENROL, .edge = "us-e1"};
    buf_clear(&b);
    control_write(&b, &control);
    save_kind(folder, "fold", "enrol", 0, &b);
    save_snapshots(folder, ads);
    buf_done(&b);
    buf_done(&raw);
}

static void save_standing(const char *folder)
{
    struct buf b = {0};
    struct standing_card card = {
        .name = "us", .map = {.count = 1, .steps = {{0, 4}}}, .watermark_ms = 1700000000000};
    standing_names_add(&card.missing, "us-e2");
    standing_card_put(&card, &b);
    save_kind(folder, "globe_value", "card", 4, &b);
    standing_card_done(&card);
    struct standing_partition *p = base_zalloc(1, sizeof(*p));
    struct partial_edge edge = {.edge = "us-e1", .epoch = 77, .floor = 120, .accepted = 130};
    struct partial partial = {.region = "us",
                              .replica = "us-r1",
                              .store_id = 4,
                              .partition = 3,
                              .map = {.count = 1, .steps = {{0, 4}}},
                              .cut = 1,
                              .stream_ms = 1700000000000,
                              .edges = &edge,
                              .edge_count = 1};
    struct standing_replica *replica = NULL;
    CHECK(standing_take(p, &partial, &replica));
    buf_clear(&b);
    standing_partition_put(p, &b);
    save_kind(folder, "globe_value", "partition", 5, &b);
    buf_clear(&b);
    standing_replica_put(replica, &b);
    save_kind(folder, "globe_value", "replica", 6, &b);
    standing_partition_done(p);
    free(p);
    buf_done(&b);
}

static void save_globe(const char *folder)
{
    struct buf b = {0};
    struct page page = {0};
    bool made;
    for (uint8_t i = 0; i < 4; i++) {
        struct page_entry *e = page_at(&page, i / 2, 3, i, &made);
        e->counted = 1000u * i + 1;
        e->duplicate = i == 1 ? 5 : 0;
        e->late = i == 2 ? 300 : 0;
        e->generation = i == 3;
        e->has_sketch = i == 0;
        e->flagged[1] = i;
    }
    page_put(&page, &b);
    save_kind(folder, "globe_value", "page", 0, &b);
    page_done(&page);

    static const uint8_t small[] = {1, 9, 4};
    buf_clear(&b);
    buf_put(&b, small, sizeof(small));
    save_kind(folder, "globe_value", "sketch", 1, &b);
    struct completeness_book book = {
        .own = {.rows = 2, .counted = 15, .digest = 99}, .announced = true, .met = {7}};
    buf_clear(&b);
    completeness_put(&book, &b);
    save_kind(folder, "globe_value", "book", 2, &b);
    struct completeness_hour hour = {0};
    (void)completeness_hour_mark(&hour, 7, (struct completeness_span){4, 4});
    buf_clear(&b);
    completeness_hour_put(&hour, &b);
    save_kind(folder, "globe_value", "hour", 3, &b);
    save_standing(folder);
    buf_done(&b);
}

/* The very token of fuzz_header, and a book that holds it. */
static void save_tokens(const char *folder)
{
    static const uint8_t key[TOKEN_KEY_BYTES] = "a key that is for tests alone..";
    static const uint8_t random_bytes[TOKEN_ID_BYTES + TOKEN_SECRET_BYTES] =
        "neither is this random......";
    char text[TOKEN_TEXT_CHARS + 1];
    struct buf b = {0};
    struct token token = {0};
    token_make(random_bytes, key, text, &token);
    buf_put(&b, (const uint8_t *)text, TOKEN_TEXT_CHARS);
    fuzz_seeds_save(folder, "header", "token", &b);
    token.scopes = TOKEN_STATS_READ | TOKEN_ADMIN;
    token.rate = 100;
    CHECK(token_ads_parse(span_of_text("acme-*,%2A,ad-7"), &token));
    buf_clear(&b);
    token_line_put(&b, &token);
    fuzz_seeds_save(folder, "token_book", "one", &b);
    token_done(&token);
    buf_done(&b);
}

void fuzz_seeds_stores(const char *folder)
{
    save_region(folder);
    save_globe(folder);
    save_tokens(folder);
}
