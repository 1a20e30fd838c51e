/* SPDX-License-Identifier: Apache-2.0
 * fuzz_target: what every fuzz target shares: its entry point, and messages whose checksum is made
 * right again. Audience: tests/fuzz. */
#pragma once

#include "common/base/bytes.h"

#include <stdlib.h>

/* libFuzzer's entry point; fuzz_replay.c calls it where there is no libFuzzer. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Runs `read_one` on the input as it is; since no mutation gets past a checksum, once more with the
 * checksum of its bytes put right; and, since hardly one gets past zstd, with each bin of it
 * packed. The corpus holds messages of both forms: as they travel, and with unpacked bins (*.raw).
 */
void fuzz_message(const uint8_t *data, size_t size, void (*read_one)(struct span message));

/* The other way round, for making seeds: each bin that is a zstd frame becomes its content. */
void fuzz_unpack_bins(struct span message, struct buf *out);
