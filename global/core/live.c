/* SPDX-License-Identifier: Apache-2.0
 * live: what a client was given of the counts, and what it lacks. */
#include "global/core/live.h"

#include "common/base/hash.h"
#include "proto/stats_json_text.h"

#include <stdlib.h>

static const char hex_digits[] = "0123456789abcdef";

struct live {
    uint32_t ads, minutes;
    bool has_given; /* false: nothing yet */
    uint64_t standing_given;
    /* ads * minutes points each */
    struct stats_json_point *seen, *given;
};

struct live *live_new(uint32_t ads, uint32_t minutes)
{
    CHECK(ads >= 1 && ads <= LIMIT_STREAM_ADS);
    CHECK(minutes >= 1 && minutes <= LIMIT_STREAM_MINUTES);
    struct live *l = base_zalloc(1, sizeof(*l));
    l->ads = ads;
    l->minutes = minutes;
    l->seen = base_zalloc((size_t)ads * minutes, sizeof(l->seen[0]));
    l->given = base_zalloc((size_t)ads * minutes, sizeof(l->given[0]));
    return l;
}

void live_free(struct live *l)
{
    if (l == NULL)
        return;
    free(l->seen);
    free(l->given);
    free(l);
}

void live_see(struct live *l, uint32_t ad, const struct stats_json_point *points)
{
    CHECK(ad < l->ads);
    memcpy(l->seen + (size_t)ad * l->minutes, points, l->minutes * sizeof(points[0]));
}

static uint64_t hash_point(const struct stats_json_point *p, uint64_t seed)
{
    uint64_t flags =
        (p->has_unique_users ? 1u : 0u) | (p->complete ? 2u : 0u) | (p->final_ ? 4u : 0u);
    const uint64_t words[] = {p->timestamp, p->click_count,
                              p->has_unique_users ? p->unique_users : 0, flags};
    return hash_checksum(span_of(words, sizeof(words)), seed);
}

uint64_t live_version(const struct live *l, const struct span *ad_ids)
{
    uint64_t version = l->minutes;
    for (uint32_t ad = 0; ad < l->ads; ad++) {
        version = hash_checksum(ad_ids[ad], version);
        for (uint32_t i = 0; i < l->minutes; i++)
            version = hash_point(&l->seen[(size_t)ad * l->minutes + i], version);
    }
    return version;
}

static bool is_same(const struct stats_json_point *a, const struct stats_json_point *b)
{
    return hash_point(a, 0) == hash_point(b, 0);
}

/* The client has this point as it is: the windows of both looks overlap, shifted by what time went
 * by between them. */
static bool is_given(const struct live *l, uint32_t ad, uint32_t i)
{
    const struct stats_json_point *seen = l->seen + (size_t)ad * l->minutes;
    const struct stats_json_point *given = l->given + (size_t)ad * l->minutes;
    if (!l->has_given || seen[i].timestamp < given[0].timestamp)
        return false;
    uint64_t at = (seen[i].timestamp - given[0].timestamp) / 60;
    return at < l->minutes && is_same(&seen[i], &given[at]);
}

static bool is_ad_given(const struct live *l, uint32_t ad)
{
    for (uint32_t i = 0; i < l->minutes; i++)
        if (!is_given(l, ad, i))
            return false;
    return true;
}

static uint64_t hash_standing(const struct stats_json_answer *standing)
{
    uint64_t seed = standing->missing_count;
    for (size_t i = 0; i < standing->watermark_count; i++) {
        uint64_t mark = standing->watermarks[i].watermark;
        seed = hash_checksum(span_of(&mark, sizeof(mark)), seed);
    }
    for (size_t i = 0; i < standing->missing_count; i++) {
        seed = hash_checksum(span_of_text(standing->missing[i].region), seed);
        seed = hash_checksum(span_of_text(standing->missing[i].edge), seed);
    }
    return seed;
}

bool live_has_news(const struct live *l, const struct stats_json_answer *standing)
{
    for (uint32_t ad = 0; ad < l->ads; ad++)
        if (!is_ad_given(l, ad))
            return true;
    return hash_standing(standing) != l->standing_given;
}

static void put_ad(const struct live *l, uint32_t ad, struct span ad_id, struct buf *out)
{
    bool first = true;
    stats_json_text(out, "{\"ad_id\":");
    stats_json_string(out, ad_id);
    stats_json_text(out, ",\"data\":[");
    for (uint32_t i = 0; i < l->minutes; i++) {
        if (is_given(l, ad, i))
            continue;
        if (!first)
            buf_put_u8(out, ',');
        stats_json_put_point(out, &l->seen[(size_t)ad * l->minutes + i]);
        first = false;
    }
    stats_json_text(out, "]}");
}

void live_put(const struct live *l, const struct span *ad_ids,
              const struct stats_json_answer *standing, struct buf *out)
{
    uint64_t version = live_version(l, ad_ids);
    bool first = true;
    stats_json_text(out, "event: counts\nid: ");
    for (int shift = 60; shift >= 0; shift -= 4)
        buf_put_u8(out, (uint8_t)hex_digits[version >> shift & 15]);
    stats_json_text(out, "\ndata: {\"ads\":[");
    for (uint32_t ad = 0; ad < l->ads; ad++) {
        if (is_ad_given(l, ad))
            continue;
        if (!first)
            buf_put_u8(out, ',');
        put_ad(l, ad, ad_ids[ad], out);
        first = false;
    }
    stats_json_text(out, "],");
    stats_json_put_standing(out, standing);
    stats_json_text(out, "\n\n");
}

void live_given(struct live *l, const struct stats_json_answer *standing)
{
    memcpy(l->given, l->seen, (size_t)l->ads * l->minutes * sizeof(l->seen[0]));
    if (standing != NULL)
        l->standing_given = hash_standing(standing);
    l->has_given = true;
}

bool live_version_parse(const char *text, uint64_t *out_version)
{
    uint64_t version = 0;
    if (strlen(text) != 16)
        return false;
    for (size_t i = 0; i < 16; i++) {
        const char *digit = strchr(hex_digits, text[i]);
        if (digit == NULL)
            return false;
        version = version << 4 | (uint64_t)(digit - hex_digits);
    }
    *out_version = version;
    return true;
}
