/* SPDX-License-Identifier: Apache-2.0
 * stats_rows: the query service's answers as rows: newline-delimited JSON, and CSV (RFC 4180). The
 * contract is proto/openapi.yaml. Audience: global, tests. Pure.
 *
 * CSV has one line of names first, lines end in CRLF, ad ids are always quoted, what is not known
 * (null) is empty. Values are never altered: whoever opens such a file in a spreadsheet imports
 * the ad ids as text. */
#pragma once

#include "proto/stats_json.h"

enum stats_rows_form { STATS_ROWS_NDJSON, STATS_ROWS_CSV };

/* The line of names of CSV; nothing of NDJSON. */
void stats_rows_begin(struct buf *out, enum stats_rows_form form);
/* A row for each stated point: ad_id and the members of a point. */
void stats_rows_put(struct buf *out, enum stats_rows_form form,
                    const struct stats_json_answer *answer);
/* A row for each ad, with the names where the form has them. */
void stats_rows_put_top(struct buf *out, enum stats_rows_form form,
                        const struct stats_json_top *top);
