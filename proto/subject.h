/* SPDX-License-Identifier: Apache-2.0
 * subject: names of streams and subjects, in one place.
 * Audience: edge, regional, global, tests. Pure.
 *
 *   CLICKS_<region>_<p>    stream of  clicks.<region>.<p>.>
 *   clicks.<region>.<p>.edge.<edge>     segments; an edge may publish only under its own name
 *   clicks.<region>.<p>.control         operators
 *   clicks.<region>.<p>.tick.<reader>   the folds
 *   floors.<region>.<edge>.<reader>     plain
 *   PARTIALS_<region>      stream of  partials.<region>.>
 *   partials.<region>.<p>.<replica>
 *   want.<region>.<replica>             plain
 *   roster.<region>                     plain request; replicas answer to the reply subject */
#pragma once

#include "common/base/limits.h"

#define SUBJECT_BYTES 128

struct subject {
    char text[SUBJECT_BYTES];
};

struct subject subject_clicks_stream(const char *region, uint16_t partition);
struct subject subject_clicks_all(const char *region, uint16_t partition); /* clicks.us.3.> */
struct subject subject_segment(const char *region, uint16_t partition, const char *edge);
struct subject subject_control(const char *region, uint16_t partition);
struct subject subject_tick(const char *region, uint16_t partition, const char *reader);
struct subject subject_floors(const char *region, const char *edge, const char *reader);
struct subject subject_floors_of_edge(const char *region, const char *edge); /* floors.us.us-e1.* */
struct subject subject_partials_stream(const char *region);
struct subject subject_partials_all(const char *region);
struct subject subject_partial(const char *region, uint16_t partition, const char *replica);
struct subject subject_want(const char *region, const char *replica);
struct subject subject_roster(const char *region);

/* The edge's name in a segment subject: is `subject` exactly clicks.<r>.<p>.edge.<edge>? */
bool subject_is_from_edge(const char *subject, const char *edge);

/* [a-z][a-z0-9-]{0,max-1} */
bool subject_name_is_valid(const char *name, size_t length_max);
