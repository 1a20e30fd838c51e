/* SPDX-License-Identifier: Apache-2.0
 * fuzz_seeds: what the writers of corpus seeds share. Audience: tests/fuzz/fuzz_seeds*. */
#pragma once

#include "proto/click.h"

/* Into FOLDER/<what>/<name>. */
void fuzz_seeds_save(const char *folder, const char *what, const char *name,
                     const struct buf *bytes);
/* Click i of an endless row of them: three ads, five users, four clicks a minute. */
struct click fuzz_seeds_click(uint32_t i);
/* Seeds of what lies in the stores of region and globe, and of what the fold reads. */
void fuzz_seeds_stores(const char *folder);
