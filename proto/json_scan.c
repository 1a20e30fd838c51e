/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/json_scan.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define HAVE_X86 1
#else
#define HAVE_X86 0
#endif

size_t json_scan_utf8(const uint8_t *data, const uint8_t *end)
{
    /* RFC 3629, section 4: the second byte's range shuts out overlong forms, surrogates and >
     * U+10FFFF. */
    size_t left = (size_t)(end - data);
    if (left == 0)
        return 0;
    uint8_t lead = data[0];
    if (lead < 0x80)
        return 1;
    size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || left < length)
        return 0;
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (data[1] < low || data[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((data[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

static const uint64_t ones = 0x0101010101010101ULL;
static const uint64_t tops = 0x8080808080808080ULL;

/* Is any of eight bytes a quote, a backslash, below 0x20 or not ASCII? May also say yes for a byte
 * that follows such a one (a borrow runs upwards); the byte loop behind it then decides. */
static bool has_special(uint64_t word)
{
    uint64_t quote = word ^ (ones * '"');
    uint64_t slash = word ^ (ones * '\\');
    uint64_t below = (word - ones * 0x20) | (quote - ones) | (slash - ones) | word;
    return (below & tops) != 0;
}

static bool is_plain_ascii(uint8_t byte)
{
    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

const uint8_t *json_scan_text_portable(const uint8_t *p, const uint8_t *end)
{
    for (;;) {
        while (end - p >= 8) {
            uint64_t word;
            memcpy(&word, p, sizeof(word));
            if (has_special(word))
                break;
            p += 8;
        }
        while (p < end && is_plain_ascii(*p))
            p++;
        if (p == end || *p < 0x80)
            return p;
        size_t length = json_scan_utf8(p, end);
        if (length == 0)
            return p;
        p += length;
    }
}

#if HAVE_X86

#define AVX2 __attribute__((target("avx2")))

/* Classes of faults that two neighbouring bytes can show, one bit each. A pair is at fault where
 * the three look-ups (lead's high and low half, next byte's high half) agree on a bit. The method
 * is that of Keiser and Lemire, "Validating UTF-8 In Less Than One Instruction Per Byte" (2020). */
#define TOO_SHORT  0x01 /* a lead, then no continuation */
#define TOO_LONG   0x02 /* ASCII, then a continuation */
#define OVERLONG_3 0x04 /* e0 80..9f */
#define TOO_LARGE  0x08 /* f4 90.. and f5.. with 90.. */
#define SURROGATE  0x10 /* ed a0.. */
#define OVERLONG_2 0x20 /* c0, c1 */
#define TOO_LARGE8 0x40 /* f5.. with 80..8f; shared with overlong f0 80..8f */
#define TWO_CONTS  0x80 /* a continuation after a continuation: right only inside 3 and 4 bytes */
#define CARRY      (TOO_SHORT | TOO_LONG | TWO_CONTS)

AVX2 static __m256i look_up(__m256i index, __m128i table)
{
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), index);
}

/* Bytes of `block` moved up by n, with the last ones of `before` in front. */
#define MOVED(block, before, n)                                                                    \
    _mm256_alignr_epi8(block, _mm256_permute2x128_si256(before, block, 0x21), 16 - (n))

/* Non-zero where a byte, seen with up to three before it, cannot be. */
AVX2 static __m256i utf8_faults(__m256i block, __m256i before)
{
    const __m128i lead_high = _mm_setr_epi8(
        TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG,
        (char)TWO_CONTS, (char)TWO_CONTS, (char)TWO_CONTS, (char)TWO_CONTS, TOO_SHORT | OVERLONG_2,
        TOO_SHORT, TOO_SHORT | OVERLONG_3 | SURROGATE, TOO_SHORT | TOO_LARGE | TOO_LARGE8);
    const char large = (char)(CARRY | TOO_LARGE | TOO_LARGE8);
    const __m128i lead_low = _mm_setr_epi8(
        (char)(CARRY | OVERLONG_3 | OVERLONG_2 | TOO_LARGE8), (char)(CARRY | OVERLONG_2),
        (char)CARRY, (char)CARRY, (char)(CARRY | TOO_LARGE), large, large, large, large, large,
        large, large, large, (char)(CARRY | TOO_LARGE | TOO_LARGE8 | SURROGATE), large, large);
    const char continues = (char)(TOO_LONG | OVERLONG_2 | TWO_CONTS);
    const __m128i next_high = _mm_setr_epi8(
        TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
        (char)(continues | OVERLONG_3 | TOO_LARGE8), (char)(continues | OVERLONG_3 | TOO_LARGE),
        (char)(continues | SURROGATE | TOO_LARGE), (char)(continues | SURROGATE | TOO_LARGE),
        TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT);
    const __m256i low = _mm256_set1_epi8(0x0f);

    __m256i one = MOVED(block, before, 1);
    __m256i pair = look_up(_mm256_and_si256(_mm256_srli_epi16(one, 4), low), lead_high);
    pair = _mm256_and_si256(pair, look_up(_mm256_and_si256(one, low), lead_low));
    pair = _mm256_and_si256(pair,
                            look_up(_mm256_and_si256(_mm256_srli_epi16(block, 4), low), next_high));
    /* Two or three bytes behind a lead of three or four a continuation is due, and only there may
     * it follow a continuation: the top bit must agree. */
    __m256i third = _mm256_subs_epu8(MOVED(block, before, 2), _mm256_set1_epi8(0xe0 - 0x80));
    __m256i fourth = _mm256_subs_epu8(MOVED(block, before, 3), _mm256_set1_epi8(0xf0 - 0x80));
    __m256i due =
        _mm256_and_si256(_mm256_or_si256(third, fourth), _mm256_set1_epi8((char)TWO_CONTS));
    return _mm256_xor_si256(due, pair);
}

/* Quotes, backslashes and control characters, a bit a byte. */
AVX2 static uint32_t ends_of(__m256i block)
{
    __m256i quote = _mm256_cmpeq_epi8(block, _mm256_set1_epi8('"'));
    __m256i slash = _mm256_cmpeq_epi8(block, _mm256_set1_epi8('\\'));
    const __m256i control_max = _mm256_set1_epi8(0x1f);
    __m256i control = _mm256_cmpeq_epi8(_mm256_max_epu8(block, control_max), control_max);
    return (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(_mm256_or_si256(quote, slash), control));
}

/* The bytes up to end, fewer than 32, and zeros behind them: those count as an end, too. */
AVX2 static __m256i last_block(const uint8_t *p, const uint8_t *end)
{
    uint8_t bytes[32] = {0};
    memcpy(bytes, p, (size_t)(end - p));
    return _mm256_loadu_si256((const __m256i_u *)bytes);
}

AVX2 static const uint8_t *scan_blocks(const uint8_t *begin, const uint8_t *end)
{
    __m256i before = _mm256_setzero_si256();
    bool ascii_before = true;

    for (const uint8_t *p = begin;; p += 32) {
        __m256i block =
            end - p >= 32 ? _mm256_loadu_si256((const __m256i_u *)p) : last_block(p, end);
        uint32_t ends = ends_of(block);
        bool ascii = _mm256_movemask_epi8(block) == 0;
        if (!ascii || !ascii_before) {
            __m256i faults = utf8_faults(block, before);
            uint32_t good =
                (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(faults, _mm256_setzero_si256()));
            /* A sequence that an end cuts short is at fault at that end; what lies behind it does
             * not count. The exact place of a fault is the portable way's to tell. */
            uint32_t counts = ends == 0 ? UINT32_MAX : ends ^ (ends - 1);
            if ((~good & counts) != 0)
                return json_scan_text_portable(begin, end);
        }
        if (ends != 0)
            return p + __builtin_ctz(ends);
        before = block;
        ascii_before = ascii;
    }
}

static bool has_avx2;

__attribute__((constructor)) static void ask_processor(void)
{
    __builtin_cpu_init();
    has_avx2 = __builtin_cpu_supports("avx2") != 0;
}

bool json_scan_has_avx2(void)
{
    return has_avx2;
}

const uint8_t *json_scan_text_avx2(const uint8_t *p, const uint8_t *end)
{
    return has_avx2 ? scan_blocks(p, end) : json_scan_text_portable(p, end);
}

const uint8_t *json_scan_text_long(const uint8_t *p, const uint8_t *end)
{
    return has_avx2 ? scan_blocks(p, end) : json_scan_text_portable(p, end);
}

#else

bool json_scan_has_avx2(void)
{
    return false;
}

const uint8_t *json_scan_text_avx2(const uint8_t *p, const uint8_t *end)
{
    return json_scan_text_portable(p, end);
}

const uint8_t *json_scan_text_long(const uint8_t *p, const uint8_t *end)
{
    return json_scan_text_portable(p, end);
}

#endif

bool json_scan_has_control(struct span text)
{
    const uint8_t *p = text.data;
    const uint8_t *end = text.data + text.length;
    for (; end - p >= 8; p += 8) {
        uint64_t word;
        memcpy(&word, p, sizeof(word));
        uint64_t delete = word ^ (ones * 0x7f);
        if (((((word - ones * 0x20) & ~word) | ((delete - ones) & ~delete)) & tops) != 0)
            break;
    }
    for (; p < end; p++)
        if (*p < 0x20 || *p == 0x7f)
            return true;
    return false;
}
