/* SPDX-License-Identifier: Apache-2.0
 * json_scan: the vector way and the portable way give the same answer for the same bytes. */
#include "proto/json_scan.h"

#include "common/base/rng.h"
#include "tests/unit/proto/proto_test.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES 160

/* The rule, a byte at a time, from the definition alone. */
static size_t plain_length(const uint8_t *text, size_t length)
{
    size_t i = 0;
    while (i < length) {
        uint8_t b = text[i];
        if (b == '"' || b == '\\' || b < 0x20)
            return i;
        size_t more = b < 0x80 ? 0 : b < 0xe0 ? 1 : b < 0xf0 ? 2 : 3;
        uint32_t point = more == 0 ? b : more == 1 ? b & 0x1fu : more == 2 ? b & 0x0fu : b & 0x07u;
        static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
        if ((b >= 0x80 && b < 0xc0) || b > 0xf7 || length - i <= more)
            return i;
        for (size_t k = 1; k <= more; k++) {
            if ((text[i + k] & 0xc0) != 0x80)
                return i;
            point = point << 6 | (text[i + k] & 0x3fu);
        }
        if (point < least[more] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
            return i;
        i += more + 1;
    }
    return length;
}

/* The text at the end of an allocation of its own: a read beyond it is seen by AddressSanitizer. */
static void expect_same(const uint8_t *text, size_t length)
{
    uint8_t *copy = malloc(length + 1);
    memcpy(copy, text, length);
    copy = realloc(copy, length == 0 ? 1 : length);
    size_t due = plain_length(copy, length);
    const uint8_t *end = copy + length;
    cr_assert_eq((size_t)(json_scan_text_portable(copy, end) - copy), due, "portable, %zu", length);
    cr_assert_eq((size_t)(json_scan_text_avx2(copy, end) - copy), due, "avx2, %zu", length);
    cr_assert_eq((size_t)(json_scan_text(copy, end) - copy), due, "chosen, %zu", length);
    free(copy);
}

Test(json_scan, agrees_on_every_pair_of_bytes_at_every_place_around_a_block)
{
    uint8_t text[TEXT_BYTES];
    for (unsigned first = 0x7e; first < 256; first++)
        for (unsigned second = 0; second < 256; second++)
            for (size_t place = 29; place < 33; place++) {
                memset(text, 'a', sizeof(text));
                text[place] = (uint8_t)first;
                text[place + 1] = (uint8_t)second;
                text[place + 2] = 0x80;
                text[place + 3] = (second & 1) != 0 ? 0x80 : 'b';
                expect_same(text, 70);
            }
}

Test(json_scan, agrees_wherever_a_text_is_cut)
{
    static const char sample[] = "caf\xc3\xa9 \xe2\x82\xac 10 \xf0\x9f\x98\x80\xf0\x9f\x98\x80"
                                 "\xd0\x9c\xd0\xbe\xd1\x81\xd0\xba\xd0\xb2\xd0\xb0 "
                                 "\xe6\x9d\xb1\xe4\xba\xac\xe9\x83\xbd \xed\x9f\xbf\xee\x80\x80"
                                 "\xf4\x8f\xbf\xbf and quite plain words up to the very end of it";
    for (size_t from = 0; from < sizeof(sample) - 1; from++)
        for (size_t length = 0; length < sizeof(sample) - from; length++)
            expect_same((const uint8_t *)sample + from, length);
}

Test(json_scan, agrees_on_random_texts)
{
    static const char *const bits[] = {"a",
                                       "plain words of some length ",
                                       "\xc3\xa9",
                                       "\xe2\x82\xac",
                                       "\xf0\x9f\x98\x80",
                                       "\xc2\x80",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xf4\x8f\xbf\xbf",
                                       "\x7f",
                                       "01234567890123456789012345678901"};
    static const char *const bad[] = {"\"",
                                      "\\",
                                      "\x1f",
                                      "\n",
                                      "\xff",
                                      "\xc0\x80",
                                      "\xed\xa0\x80",
                                      "\xe2\x82",
                                      "\xf0\x9f\x98",
                                      "\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xe0\x9f\xbf",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xc3"};
    struct rng r = {20260101};
    for (unsigned i = 0; i < 200000; i++) {
        uint8_t text[512];
        size_t length = 0;
        for (uint64_t n = rng_below(&r, 12); n > 0; n--) {
            const char *bit = rng_below(&r, 10) == 0 ? bad[rng_below(&r, countof(bad))]
                                                     : bits[rng_below(&r, countof(bits))];
            memcpy(text + length, bit, strlen(bit));
            length += strlen(bit);
        }
        if (length > 0 && rng_below(&r, 4) == 0)
            text[rng_below(&r, length)] = (uint8_t)rng_below(&r, 256);
        expect_same(text, length);
    }
}

Test(json_scan, control_characters_are_found_wherever_they_stand)
{
    uint8_t text[40];
    for (size_t length = 0; length <= sizeof(text); length++)
        for (size_t place = 0; place < length; place++)
            for (unsigned byte = 0; byte < 256; byte++) {
                memset(text, place % 2 == 0 ? 'x' : 0xa9, sizeof(text));
                text[place] = (uint8_t)byte;
                cr_assert_eq(json_scan_has_control((struct span){text, length}),
                             byte < 0x20 || byte == 0x7f, "%u at %zu", byte, place);
            }
}
