/* SPDX-License-Identifier: Apache-2.0
 * stats_rows: the query service's answers as rows: newline-delimited JSON, and CSV. */
#include "proto/stats_rows.h"

#include "proto/stats_json_text.h"

static void put_quoted(struct buf *out, struct span text)
{
    buf_put_u8(out, '"');
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] == '"')
            buf_put_u8(out, '"');
        buf_put_u8(out, text.data[i]);
    }
    buf_put_u8(out, '"');
}

static void put_csv_point(struct buf *out, struct span ad_id, const struct stats_json_point *p)
{
    put_quoted(out, ad_id);
    buf_put_u8(out, ',');
    stats_json_number(out, p->timestamp);
    buf_put_u8(out, ',');
    stats_json_number(out, p->click_count);
    buf_put_u8(out, ',');
    if (p->has_unique_users) {
        stats_json_number(out, p->unique_users);
        stats_json_text(out, "," STATS_JSON_USERS_ERROR ",");
    } else {
        stats_json_text(out, ",,");
    }
    stats_json_bool(out, p->complete);
    buf_put_u8(out, ',');
    stats_json_bool(out, p->final_);
    stats_json_text(out, "\r\n");
}

static void put_json_point(struct buf *out, struct span ad_id, const struct stats_json_point *p)
{
    stats_json_text(out, "{\"ad_id\":");
    stats_json_string(out, ad_id);
    size_t brace = out->length;
    stats_json_put_point(out, p);
    out->data[brace] = ','; /* one object of both */
    buf_put_u8(out, '\n');
}

void stats_rows_begin(struct buf *out, enum stats_rows_form form)
{
    if (form == STATS_ROWS_CSV)
        stats_json_text(
            out, "ad_id,timestamp,click_count,unique_users,unique_users_error,complete,final\r\n");
}

void stats_rows_put(struct buf *out, enum stats_rows_form form,
                    const struct stats_json_answer *answer)
{
    for (size_t i = 0; i < answer->point_count; i++) {
        if (!stats_json_is_stated(answer, i))
            continue;
        if (form == STATS_ROWS_CSV)
            put_csv_point(out, answer->ad_id, &answer->points[i]);
        else
            put_json_point(out, answer->ad_id, &answer->points[i]);
    }
}

void stats_rows_put_top(struct buf *out, enum stats_rows_form form,
                        const struct stats_json_top *top)
{
    if (form == STATS_ROWS_CSV)
        stats_json_text(out, "ad_id,click_count\r\n");
    for (size_t i = 0; i < top->ad_count; i++) {
        const struct stats_json_top_ad *ad = &top->ads[i];
        if (form == STATS_ROWS_NDJSON) {
            stats_json_put_top_ad(out, ad);
            buf_put_u8(out, '\n');
            continue;
        }
        if (ad->has_name)
            put_quoted(out, span_of(ad->ad_id, ad->ad_id_length));
        buf_put_u8(out, ',');
        stats_json_number(out, ad->click_count);
        stats_json_text(out, "\r\n");
    }
}
