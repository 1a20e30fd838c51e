/* SPDX-License-Identifier: Apache-2.0
 * stats_json_text: the atoms of the query service's JSON. Audience: proto, global. Pure. */
#pragma once

#include "common/base/bytes.h"

void stats_json_text(struct buf *out, const char *text); /* as it is */
void stats_json_number(struct buf *out, uint64_t value);
/* Quoted; what JSON does not allow, and DEL, is escaped. `text` is valid UTF-8. */
void stats_json_string(struct buf *out, struct span text);
void stats_json_bool(struct buf *out, bool value);
