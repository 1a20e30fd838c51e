/* SPDX-License-Identifier: Apache-2.0
 * bench_scanner_peer: the peer of bench_scanner: simdjson's on-demand parser over the same clicks.
 * Audience: tests/bench. C and C++ alike. One thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Sums the lengths of all fields and the timestamps of a body's clicks, so that both sides show
 * that they read the same; `capacity` is what may be read behind its bytes. 0: refused. peer_loop
 * looks at every key of a click; peer_find asks for the fields in the order in which they come,
 * which is simdjson's cheapest way, and does not see a key twice. */
uint64_t peer_loop(const char *body, size_t length, size_t capacity);
uint64_t peer_find(const char *body, size_t length, size_t capacity);
size_t peer_padding(void);
const char *peer_name(void);

#ifdef __cplusplus
}
#endif
