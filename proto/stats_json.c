/* SPDX-License-Identifier: Apache-2.0
 * stats_json: the JSON text of GET /v1/stats, /v1/watermarks, /v1/top, /v1/ads and /v1/balance. */
#include "proto/stats_json.h"

#include "proto/stats_json_text.h"

/* Literals of a known length are stores, not calls: a day has 1440 points. */
#define PUT(at, literal)                                                                           \
    do {                                                                                           \
        memcpy(at, literal, sizeof(literal) - 1);                                                  \
        (at) += sizeof(literal) - 1;                                                               \
    } while (false)

#define POINT_BYTES_MAX (140 + 3 * BYTES_DECIMAL_MAX)

static uint8_t *put_number(uint8_t *at, uint64_t value)
{
    if (value >= 10)
        return at + bytes_decimal(value, at);
    *at = (uint8_t)('0' + value);
    return at + 1;
}

/* Points follow one another in time: the upper digits of the last one's timestamp. */
struct stamp {
    uint64_t upper; /* timestamp / 10000 */
    size_t length;
    uint8_t digits[BYTES_DECIMAL_MAX];
};

static uint8_t *put_timestamp(uint8_t *at, uint64_t timestamp, struct stamp *last)
{
    uint64_t lower = timestamp % 10000;
    if (timestamp < 10000)
        return put_number(at, timestamp);
    if (last->length == 0 || timestamp / 10000 != last->upper) {
        last->upper = timestamp / 10000;
        last->length = bytes_decimal(last->upper, last->digits);
    }
    memcpy(at, last->digits, sizeof(last->digits)); /* of a length that the compiler knows */
    at += last->length;
    for (unsigned i = 4; i-- > 0; lower /= 10)
        at[i] = (uint8_t)('0' + lower % 10);
    return at + 4;
}

static void put_point(struct buf *out, bool first, const struct stats_json_point *p,
                      struct stamp *last)
{
    buf_reserve(out, POINT_BYTES_MAX);
    uint8_t *at = out->data + out->length;
    if (!first)
        *at++ = ',';
    PUT(at, "{\"timestamp\":");
    at = put_timestamp(at, p->timestamp, last);
    PUT(at, ",\"click_count\":");
    at = put_number(at, p->click_count);
    PUT(at, ",\"unique_users\":");
    if (p->has_unique_users) {
        at = put_number(at, p->unique_users);
        PUT(at, ",\"unique_users_error\":" STATS_JSON_USERS_ERROR);
    } else {
        PUT(at, "null,\"unique_users_error\":null");
    }
    if (p->complete)
        PUT(at, ",\"complete\":true");
    else
        PUT(at, ",\"complete\":false");
    if (p->final_)
        PUT(at, ",\"final\":true}");
    else
        PUT(at, ",\"final\":false}");
    out->length = (size_t)(at - out->data);
    CHECK(out->length <= out->capacity);
}

void stats_json_put_standing(struct buf *out, const struct stats_json_answer *answer)
{
    stats_json_text(out, "\"as_of\":");
    stats_json_number(out, answer->as_of);
    stats_json_text(out, ",\"watermarks\":{");
    for (size_t i = 0; i < answer->watermark_count; i++) {
        if (i > 0)
            buf_put_u8(out, ',');
        stats_json_string(out, span_of_text(answer->watermarks[i].region));
        buf_put_u8(out, ':');
        if (answer->watermarks[i].watermark > 0)
            stats_json_number(out, answer->watermarks[i].watermark);
        else
            stats_json_text(out, "null");
    }
    stats_json_text(out, "},\"missing_edges\":[");
    for (size_t i = 0; i < answer->missing_count; i++) {
        stats_json_text(out, i > 0 ? ",{\"region\":" : "{\"region\":");
        stats_json_string(out, span_of_text(answer->missing[i].region));
        stats_json_text(out, ",\"edge\":");
        stats_json_string(out, span_of_text(answer->missing[i].edge));
        buf_put_u8(out, '}');
    }
    stats_json_text(out, "]}");
}

void stats_json_put_point(struct buf *out, const struct stats_json_point *point)
{
    struct stamp none = {.length = 0};
    put_point(out, true, point, &none);
}

void stats_json_put_points(struct buf *out, const struct stats_json_answer *answer)
{
    buf_reserve(out, 256 + answer->point_count * 140);
    struct stamp last = {.length = 0};
    bool first = true;
    buf_put_u8(out, '[');
    for (size_t i = 0; i < answer->point_count; i++) {
        if (!stats_json_is_stated(answer, i))
            continue;
        put_point(out, first, &answer->points[i], &last);
        first = false;
    }
    buf_put_u8(out, ']');
}

static void put_window(struct buf *out, const struct stats_json_answer *answer)
{
    stats_json_text(out, "\"window\":");
    stats_json_string(out, span_of_text(answer->window));
    if (answer->zone == NULL)
        return;
    stats_json_text(out, ",\"tz\":");
    stats_json_string(out, span_of_text(answer->zone));
}

void stats_json_begin(struct buf *out, const struct stats_json_answer *answer)
{
    stats_json_text(out, "{\"ad_id\":");
    stats_json_string(out, answer->ad_id);
    buf_put_u8(out, ',');
    put_window(out, answer);
    stats_json_text(out, ",\"data\":");
}

void stats_json_begin_several(struct buf *out, const struct stats_json_answer *answer)
{
    buf_put_u8(out, '{');
    put_window(out, answer);
    stats_json_text(out, ",\"ads\":[");
}

void stats_json_put_one(struct buf *out, bool first, const struct stats_json_answer *answer)
{
    stats_json_text(out, first ? "{\"ad_id\":" : ",{\"ad_id\":");
    stats_json_string(out, answer->ad_id);
    stats_json_text(out, ",\"data\":");
    stats_json_put_points(out, answer);
    buf_put_u8(out, '}');
}

void stats_json_put(struct buf *out, const struct stats_json_answer *answer)
{
    stats_json_begin(out, answer);
    stats_json_put_points(out, answer);
    buf_put_u8(out, ',');
    stats_json_put_standing(out, answer);
}

void stats_json_put_watermarks(struct buf *out, const struct stats_json_answer *answer)
{
    buf_put_u8(out, '{');
    stats_json_put_standing(out, answer);
}

void stats_json_put_top_ad(struct buf *out, const struct stats_json_top_ad *ad)
{
    stats_json_text(out, "{\"ad_id\":");
    if (ad->has_name)
        stats_json_string(out, span_of(ad->ad_id, ad->ad_id_length));
    else
        stats_json_text(out, "null");
    stats_json_text(out, ",\"click_count\":");
    stats_json_number(out, ad->click_count);
    buf_put_u8(out, '}');
}

void stats_json_put_top(struct buf *out, const struct stats_json_top *top)
{
    stats_json_text(out, "{\"start\":");
    stats_json_number(out, top->start);
    stats_json_text(out, ",\"end\":");
    stats_json_number(out, top->end);
    stats_json_text(out, ",\"complete\":");
    stats_json_bool(out, top->complete);
    stats_json_text(out, ",\"final\":false,\"ads\":[");
    for (size_t i = 0; i < top->ad_count; i++) {
        if (i > 0)
            buf_put_u8(out, ',');
        stats_json_put_top_ad(out, &top->ads[i]);
    }
    stats_json_text(out, "],");
}

void stats_json_put_ad(struct buf *out, bool first, struct span ad_id, uint64_t first_seen,
                       uint64_t last_seen)
{
    stats_json_text(out, first ? "{\"ad_id\":" : ",{\"ad_id\":");
    stats_json_string(out, ad_id);
    stats_json_text(out, ",\"first_seen\":");
    stats_json_number(out, first_seen);
    stats_json_text(out, ",\"last_seen\":");
    stats_json_number(out, last_seen);
    buf_put_u8(out, '}');
}

static void put_member(struct buf *out, const char *name, uint64_t value)
{
    stats_json_text(out, ",\"");
    stats_json_text(out, name);
    stats_json_text(out, "\":");
    stats_json_number(out, value);
}

void stats_json_put_line(struct buf *out, bool first, const struct stats_json_line *line)
{
    stats_json_text(out, first ? "{\"region\":" : ",{\"region\":");
    stats_json_string(out, span_of_text(line->region));
    put_member(out, "partition", line->partition);
    stats_json_text(out, ",\"replica\":");
    stats_json_string(out, span_of_text(line->replica));
    put_member(out, "replicas", line->replicas);
    put_member(out, "stream_time", line->stream_time);
    put_member(out, "folded", line->sums.folded);
    put_member(out, "counted", line->sums.counted);
    put_member(out, "duplicate", line->sums.duplicate);
    put_member(out, "carried", line->sums.carried);
    put_member(out, "unexplained", line->sums.unexplained);
    put_member(out, "in_flight", line->sums.in_flight);
    put_member(out, "merged", line->sums.merged);
    stats_json_text(out, ",\"edges\":[");
    for (size_t i = 0; i < line->edge_count; i++) {
        const struct stats_json_edge *e = &line->edges[i];
        char epoch[17];
        for (unsigned j = 0; j < 16; j++)
            epoch[j] = "0123456789abcdef"[e->epoch >> (60 - 4 * j) & 15];
        epoch[16] = '\0';
        stats_json_text(out, i > 0 ? ",{\"edge\":" : "{\"edge\":");
        stats_json_string(out, span_of_text(e->edge));
        stats_json_text(out, ",\"epoch\":\"");
        stats_json_text(out, epoch);
        buf_put_u8(out, '"');
        put_member(out, "accepted", e->accepted);
        put_member(out, "floor", e->floor);
        put_member(out, "in_flight", e->in_flight);
        stats_json_text(out, ",\"missing\":");
        stats_json_bool(out, e->missing);
        buf_put_u8(out, '}');
    }
    stats_json_text(out, "]}");
}

void stats_json_put_sums(struct buf *out, const struct stats_json_sums *sums)
{
    stats_json_text(out, "{\"folded\":");
    stats_json_number(out, sums->folded);
    put_member(out, "counted", sums->counted);
    put_member(out, "duplicate", sums->duplicate);
    put_member(out, "carried", sums->carried);
    put_member(out, "unexplained", sums->unexplained);
    put_member(out, "in_flight", sums->in_flight);
    put_member(out, "merged", sums->merged);
    buf_put_u8(out, '}');
}
