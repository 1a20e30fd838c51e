/* SPDX-License-Identifier: Apache-2.0
 * spool_room: how large the spool can be on the disk that it has, and when it is full.
 * Audience: edge, tests. Pure. */
#pragma once

#include "common/base/base.h"

/* What the files may not grow into: more than is written between two looks, since a write that the
 * end of the disk cuts short is an I/O error to the store, and then the outcome of its commit is
 * unknown. */
#define SPOOL_ROOM_RESERVE_BYTES (32ULL << 20)

/* The size that the store may have (map), or less where its files and what is free are less. */
uint64_t spool_room_bytes(uint64_t map_bytes, uint64_t file_bytes, uint64_t free_bytes);

/* New clicks are refused from 95 % on: deletes need pages, too. */
bool spool_room_is_full(uint64_t used_bytes, uint64_t room_bytes);
