/* SPDX-License-Identifier: Apache-2.0
 * json_scan: finds where a run of plain text inside a JSON string ends, many bytes at a time.
 * Audience: proto/json_text, tests. Pure, but for what the processor can do, asked once at start.
 *
 * Every way gives the same answer for the same bytes; nothing outside [p, end) is read. */
#pragma once

#include "common/base/bytes.h"

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

/* The first byte at or after p that is a quote, a backslash, below 0x20, or that begins no
 * well-formed UTF-8 sequence (RFC 3629); or end. */

/* The ways by themselves, for tests. The second falls back where there is no AVX2. */
const uint8_t *json_scan_text_portable(const uint8_t *p, const uint8_t *end);
const uint8_t *json_scan_text_avx2(const uint8_t *p, const uint8_t *end);
bool json_scan_has_avx2(void);
/* The best that this processor has, for texts longer than a few bytes. */
const uint8_t *json_scan_text_long(const uint8_t *p, const uint8_t *end);

/* Length of the one well-formed UTF-8 sequence that begins at data, 0 if there is none. */
size_t json_scan_utf8(const uint8_t *data, const uint8_t *end);

/* Does the text hold a byte below 0x20, or 0x7f? */
bool json_scan_has_control(struct span text);

/* Most keys and many values end within 16 bytes; SSE2 is in every x86-64. */
static inline const uint8_t *json_scan_text(const uint8_t *p, const uint8_t *end)
{
#if defined(__x86_64__)
    if (end - p >= 16) {
        const __m128i control_max = _mm_set1_epi8(0x1f);
        __m128i block = _mm_loadu_si128((const __m128i_u *)p);
        __m128i ends = _mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('"')),
                                    _mm_cmpeq_epi8(block, _mm_set1_epi8('\\')));
        ends = _mm_or_si128(ends, _mm_cmpeq_epi8(_mm_max_epu8(block, control_max), control_max));
        unsigned found = (unsigned)_mm_movemask_epi8(_mm_or_si128(ends, block));
        if (found == 0)
            return json_scan_text_long(p + 16, end);
        p += __builtin_ctz(found);
        if (*p < 0x80)
            return p;
        return json_scan_text_long(p, end);
    }
#endif
    return json_scan_text_portable(p, end); /* few bytes are left of the body */
}
