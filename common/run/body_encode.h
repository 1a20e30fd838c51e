/* SPDX-License-Identifier: Apache-2.0
 * body_encode: answers in gzip (RFC 1952) and zstd (RFC 8878).
 * Audience: shells, tests. One thread at a time per object; it is used again and again.
 *
 * Levels are the quick ones: the caller's loop waits meanwhile. */
#pragma once

#include "common/base/bytes.h"

struct body_encode;

struct body_encode *body_encode_new(void);
void body_encode_free(struct body_encode *e);

/* Appends the packed form of the body: one gzip member, or one zstd frame that names its size. The
 * same body gives the same bytes while the libraries stay the same. */
void body_encode_gzip(struct body_encode *e, struct span body, struct buf *out);
void body_encode_zstd(struct body_encode *e, struct span body, struct buf *out);
