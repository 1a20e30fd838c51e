/* SPDX-License-Identifier: Apache-2.0
 * fold_clicks: the clicks of one segment against the tables: each is carried, counted or found to
 * be a duplicate. Audience: regional/core/fold, tests. Pure. Source: design 2.3, 4.4. */
#pragma once

#include "regional/core/fold.h"

/* Takes the clicks of f->segment from number `skip` of the segment on. */
void fold_clicks_take(struct fold *f, uint64_t skip);
