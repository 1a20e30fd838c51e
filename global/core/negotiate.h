/* SPDX-License-Identifier: Apache-2.0
 * negotiate: which form and coding of an answer a client takes, and whether it has it already
 * (RFC 9110, sections 12.5 and 13.1). Audience: global core, shell, tests. Pure.
 *
 * Fields are given as text; one that came in several lines is joined by commas first. An element
 * that cannot be read asks for nothing: a client that misspells what it takes gets a 406, never
 * something else than it meant. */
#pragma once

#include "common/base/bytes.h"

enum negotiate_type { NEGOTIATE_JSON, NEGOTIATE_NDJSON, NEGOTIATE_CSV, NEGOTIATE_TYPES };
enum negotiate_coding {
    NEGOTIATE_IDENTITY,
    NEGOTIATE_GZIP,
    NEGOTIATE_ZSTD,
    NEGOTIATE_CODINGS,
};

#define NEGOTIATE_OFFER(type) (1u << (type))
#define NEGOTIATE_OFFER_ROWS                                                                       \
    (NEGOTIATE_OFFER(NEGOTIATE_JSON) | NEGOTIATE_OFFER(NEGOTIATE_NDJSON) |                         \
     NEGOTIATE_OFFER(NEGOTIATE_CSV))

/* "application/json", "zstd": as they stand in the answer's header. */
const char *negotiate_type_name(enum negotiate_type type);
const char *negotiate_coding_name(enum negotiate_coding coding);

/* The best of the offered types; of equally good ones the first of the enum. An empty field takes
 * any. The one parameter that a media range may have is charset=utf-8. False: none is taken. */
bool negotiate_accept(struct span accept, unsigned offered, enum negotiate_type *out);

/* Packed only where the client names the coding and the answer is not small, or nothing else is
 * taken. `present`: there is such a field. False: even identity is refused. */
bool negotiate_encoding(struct span accept_encoding, bool present, bool small,
                        enum negotiate_coding *out);

/* Whether the field If-None-Match (weak comparison) holds the tag, which is given with its quotes
 * and without W/. */
bool negotiate_has_tag(struct span if_none_match, struct span quoted_tag);
