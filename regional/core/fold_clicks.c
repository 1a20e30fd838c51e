/* SPDX-License-Identifier: Apache-2.0
 * fold_clicks: a click costs what its cache misses cost, so they are asked for ahead: the segment's
 * ads once, in passes over its dictionary; then the keys and rows of the clicks that come next. */
#include "regional/core/fold_clicks.h"

#define AHEAD_KEY    16 /* clicks from asking for a key's line to needing it */
#define AHEAD_SKETCH 6  /* the row has come by then */

/* What the fold has found out about one ad of the segment in hand. */
struct fold_ad {
    uint64_t hash;
    struct ad_name *name; /* once its name was seen today */
    uint32_t minute, row; /* where its last click went; no row yet: NO_ROW */
    bool collides;        /* its hash is another ad's */
    uint8_t foreign;      /* bit s: under step s of the map it belongs to another partition */
};

#define NO_ROW UINT32_MAX

_Static_assert(PARTITION_MAP_STEPS <= 8, "a bit for each step");

/* What does not change within a segment. */
struct pass {
    struct fold *fold;
    uint32_t expired_below, closed_below, day;
};

static void carry(struct fold *f, uint64_t *reason)
{
    f->books.carried++;
    (*reason)++;
}

/* Foreign under which steps, colliding or good: asked at each click of an ad until one has a row,
 * for while its clicks are carried another ad of the segment may take its hash. */
static void judge_ad(const struct fold *f, struct fold_ad *ad, struct span ad_id)
{
    for (uint32_t s = 0; s < f->map.count; s++) {
        bool is_ours = hash_partition(ad->hash, f->map.steps[s].partitions) == f->options.partition;
        ad->foreign |= (uint8_t)(!is_ours << s);
    }
    const struct ad_name *known = ad_names_find(&f->names, ad->hash);
    ad->collides = known != NULL && !span_equal(ad_names_text(known), ad_id);
}

static struct bucket *open_row(const struct pass *pass, struct minute_table *t, struct fold_ad *ad,
                               struct span ad_id)
{
    struct fold *f = pass->fold;
    if (ad->row != NO_ROW && ad->minute == t->minute)
        return &t->rows[ad->row];
    struct bucket *row = horizon_row(t, ad->hash);
    if (row == NULL) {
        row = horizon_add_row(&f->horizon, t, ad->hash);
        ad->name = ad_names_hold(&f->names, ad->hash, ad_id, t->minute);
        ad_names_seen(&f->names, ad->name, pass->day);
    }
    if (ad->name == NULL) {
        ad->name = ad_names_find(&f->names, ad->hash);
        CHECK(ad->name != NULL);
        ad_names_seen(&f->names, ad->name, pass->day);
    }
    ad->minute = t->minute;
    ad->row = (uint32_t)(row - t->rows);
    return row;
}

/* Why a click cannot be judged; NULL when it can. */
static uint64_t *reason_to_carry(const struct pass *pass, const struct segment_hot *hot,
                                 const struct fold_ad *ad)
{
    struct fold *f = pass->fold;
    /* By the click's own minute: its retry will go where it should have gone. */
    if (ad->foreign != 0 && (ad->foreign >> partition_map_step(&f->map, hot->minute) & 1) != 0)
        return &f->counts.misplaced;
    if (ad->collides)
        return &f->counts.collisions;
    if (hot->minute < pass->expired_below)
        return &f->counts.expired;
#ifdef TRIBUTARY_BREAK_LATE_CLICK_CARRIED
    if (hot->minute < pass->closed_below)
        return &f->counts.expired;
#endif
    return NULL;
}

/* One click: carried, counted or a duplicate (design 2.3, 4.4). */
static void take_click(const struct pass *pass, const struct segment_hot *hot, struct fold_ad *ad,
                       struct span ad_id)
{
    struct fold *f = pass->fold;
    f->books.folded++;
    if (ad->row == NO_ROW && !ad->collides)
        judge_ad(f, ad, ad_id);
    uint64_t *reason = reason_to_carry(pass, hot, ad);
    if (reason != NULL) {
        carry(f, reason);
        return;
    }
    struct minute_table *t = horizon_open(&f->horizon, hot->minute);
    struct bucket *row = open_row(pass, t, ad, ad_id);
    if (bucket_is_full(row)) {
        carry(f, &f->counts.full);
        return;
    }
    horizon_touch(t, row);
    if (hot->minute < f->totals_next)
        t->total_due = true;
    enum err err;
    if (dedupe_add(&t->keys, hot->key)) {
        bool late = hot->minute < pass->closed_below;
        err = bucket_count(row, hot->user_hash, late);
        horizon_log_click(t, row, hot->key, hot->user_hash);
        f->horizon.keys++;
        f->books.counted++;
        f->counts.late += late;
    } else {
        err = bucket_repeat(row);
        f->books.duplicate++;
    }
    CHECK(err == ERR_OK);
}

/* Three passes, each asking for what the next will read. Most clicks of a segment are of one
 * minute; for the others the guess costs nothing but itself. */
static void ask_for_ads(struct fold *f, uint64_t skip)
{
    const struct segment *s = &f->segment;
    struct minute_table *t = horizon_find(&f->horizon, s->hot[skip].minute);
    for (uint32_t i = 0; i < s->ad_count; i++) {
        f->ads[i] = (struct fold_ad){.hash = hash_ad(s->ads[i]), .row = NO_ROW};
        ad_names_prefetch_place(&f->names, f->ads[i].hash);
        if (t != NULL)
            horizon_prefetch_slot(t, f->ads[i].hash);
    }
    for (uint32_t i = 0; i < s->ad_count; i++) {
        ad_names_prefetch(&f->names, f->ads[i].hash);
        if (t != NULL)
            horizon_prefetch_row(t, f->ads[i].hash);
    }
}

static void ask_for_click(struct fold *f, uint64_t i)
{
    const struct segment *s = &f->segment;
    const struct minute_table *t = f->horizon.recent;
    if (t == NULL)
        return;
    const struct segment_hot *hot = &s->hot[i];
    if (hot->minute != t->minute)
        return;
    dedupe_prefetch(&t->keys, hot->key);
    const struct fold_ad *ad = &f->ads[hot->ad];
    if (ad->row != NO_ROW && ad->minute == t->minute)
        __builtin_prefetch(&t->rows[ad->row], 1);
}

static void ask_for_sketch(struct fold *f, uint64_t i)
{
    const struct minute_table *t = f->horizon.recent;
    const struct segment_hot *hot = &f->segment.hot[i];
    const struct fold_ad *ad = &f->ads[hot->ad];
    if (t != NULL && ad->row != NO_ROW && ad->minute == t->minute)
        hll_prefetch(&t->rows[ad->row].users, hot->user_hash);
}

void fold_clicks_take(struct fold *f, uint64_t skip)
{
    const struct segment *s = &f->segment;
    if (skip >= s->click_count)
        return;
    if (s->ad_count > f->ad_capacity) {
        f->ad_capacity = s->ad_count;
        f->ads = base_realloc(f->ads, f->ad_capacity * sizeof(*f->ads));
    }
    for (uint64_t i = skip; i < s->click_count; i++)
        CHECK(s->hot[i].ad < s->ad_count);
    ask_for_ads(f, skip);
    struct pass pass = {.fold = f,
                        .expired_below = fold_expired_below(f),
                        .closed_below = fold_closed_below(f),
                        .day = fold_day(f)};
    for (uint64_t i = skip; i < s->click_count; i++) {
        if (i + AHEAD_KEY < s->click_count)
            ask_for_click(f, i + AHEAD_KEY);
        if (i + AHEAD_SKETCH < s->click_count)
            ask_for_sketch(f, i + AHEAD_SKETCH);
        take_click(&pass, &s->hot[i], &f->ads[s->hot[i].ad], s->ads[s->hot[i].ad]);
    }
}
