/* SPDX-License-Identifier: Apache-2.0
 * proto_test: what the tests of all messages share: damage in every form, rebuilt frames, golden
 * files. Audience: tests/unit/proto. */
#pragma once

#include "common/base/hash.h"
#include "common/base/rng.h"
#include "proto/wire.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* An exact copy on the heap, so that the address sanitizer sees the first byte behind it. */
static inline struct span proto_test_copy(struct span s)
{
    uint8_t *copy = malloc(s.length == 0 ? 1 : s.length);
    cr_assert_not_null(copy);
    if (s.length > 0)
        memcpy(copy, s.data, s.length);
    return span_of(copy, s.length);
}

static inline void proto_test_free(struct span s)
{
    free((void *)(uintptr_t)s.data);
}

static inline bool proto_test_is_damage(enum err err)
{
    return err == ERR_TRUNCATED || err == ERR_MAGIC || err == ERR_CHECKSUM;
}

static inline void proto_test_reseal(struct buf *message)
{
    uint64_t seed = bytes_load_u64(message->data);
    struct span body =
        span_of(message->data + WIRE_HEADER_BYTES, message->length - WIRE_HEADER_BYTES);
    bytes_store_u64(message->data + 8, hash_checksum(body, seed));
}

/* Every prefix and every flipped bit must be called damage: never content, never an unknown
 * version. */
/* `read` reads a message and frees whatever came out of it. */
static inline void proto_test_damage(struct span message, enum err (*read)(struct span message))
{
    cr_assert_eq(read(message), ERR_OK);
    for (size_t cut = 0; cut < message.length; cut++) {
        struct span copy = proto_test_copy(span_of(message.data, cut));
        enum err err = read(copy);
        cr_assert(proto_test_is_damage(err), "cut at %zu: %s", cut, err_words(err));
        proto_test_free(copy);
    }
    struct span copy = proto_test_copy(message);
    uint8_t *bytes = (uint8_t *)(uintptr_t)copy.data;
    for (size_t bit = 0; bit < message.length * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        enum err err = read(copy);
        cr_assert(proto_test_is_damage(err), "bit %zu: %s", bit, err_words(err));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    proto_test_free(copy);
}

/* The same behind a checksum that matches: what a wrong or evil writer could send. Anything but a
 * crash, a read past the end, or an error that calls it damage. */
static inline void proto_test_malice(struct span message, enum err (*read)(struct span message))
{
    unsigned refused = 0;
    struct buf copy = {0};
    for (size_t bit = 0; bit < message.length * 8; bit++) {
        buf_clear(&copy);
        buf_put(&copy, message.data, message.length);
        copy.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        proto_test_reseal(&copy);
        enum err err = read(buf_span(&copy));
        refused += err != ERR_OK;
        if (bit >= 4 * 8)
            cr_assert(!proto_test_is_damage(err), "bit %zu: %s", bit, err_words(err));
    }
    cr_assert_gt(refused, 0);
    for (size_t cut = WIRE_HEADER_BYTES + 1; cut < message.length; cut++) {
        buf_clear(&copy);
        buf_put(&copy, message.data, cut);
        proto_test_reseal(&copy);
        struct span exact = proto_test_copy(buf_span(&copy));
        cr_assert_eq(read(exact), ERR_FORMAT, "cut at %zu", cut);
        proto_test_free(exact);
    }
    for (unsigned extra = 0; extra < 2; extra++) {
        buf_clear(&copy);
        buf_put(&copy, message.data, message.length);
        buf_put_u8(&copy, extra == 0 ? 0x00 : 0xc0);
        proto_test_reseal(&copy);
        cr_assert_eq(read(buf_span(&copy)), ERR_FORMAT, "one byte too many");
    }
    buf_done(&copy);
}

/* A message with this body. */
static inline void proto_test_message(struct buf *out, const char magic[4], uint8_t version,
                                      struct span body)
{
    buf_clear(out);
    wire_begin(out, magic, version);
    buf_put(out, body.data, body.length);
    wire_seal(out);
}

/* Most address space this process ever had, in KiB. */
static inline unsigned long proto_test_peak(void)
{
    FILE *status = fopen("/proc/self/status", "r");
    cr_assert_not_null(status);
    char line[256];
    unsigned long kib = 0;
    while (kib == 0 && fgets(line, sizeof(line), status) != NULL)
        (void)sscanf(line, "VmPeak: %lu", &kib);
    (void)fclose(status);
    cr_assert_gt(kib, 0);
    return kib;
}

/* No reader may ask for memory because a header says so. */
static inline void proto_test_greed(const char magic[4], uint8_t version,
                                    enum err (*read)(struct span message))
{
    static const struct {
        size_t length;
        uint8_t bytes[12];
    } bodies[] = {
        {5, {0xdf, 0x0f, 0xff, 0xff, 0xff}},       /* a map of 2^28 pairs */
        {5, {0xdd, 0xff, 0xff, 0xff, 0xff}},       /* an array of 2^32 - 1 */
        {5, {0xdd, 0x0f, 0xff, 0xff, 0xff}},       /* an array of 2^28 */
        {3, {0xdc, 0xff, 0xff}},                   /* an array of 65535 */
        {6, {0x95, 0xdb, 0xff, 0xff, 0xff, 0xff}}, /* a text of 4 GiB */
        {6, {0x95, 0xc6, 0xff, 0xff, 0xff, 0xff}}, /* bytes of 4 GiB */
        {6, {0x91, 0xdd, 0xff, 0xff, 0xff, 0xff}}, /* an array in an array */
        {6, {0x91, 0xc9, 0xff, 0xff, 0xff, 0xff}}, /* an extension */
        {12, {0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91, 0x91}},
        {1, {0xc0}},                         /* nil */
        {1, {0xc1}},                         /* never used */
        {1, {0xff}},                         /* -1 */
        {9, {0xcb, 0, 0, 0, 0, 0, 0, 0, 0}}, /* a float */
    };
    struct buf message = {0};
    unsigned long before = proto_test_peak();
    for (unsigned i = 0; i < countof(bodies); i++) {
        proto_test_message(&message, magic, version, span_of(bodies[i].bytes, bodies[i].length));
        struct span exact = proto_test_copy(buf_span(&message));
        enum err err = read(exact);
        cr_assert(err == ERR_FORMAT || err == ERR_LIMIT, "body %u: %s", i, err_words(err));
        proto_test_free(exact);
    }
    cr_assert_lt(proto_test_peak() - before, 64 * 1024, "KiB");
    buf_done(&message);
}

/* One element of the outer array of a message, as it lies there. */
static inline struct span proto_test_element(struct span message, unsigned index)
{
    struct wire_reader r = wire_reader_of(
        span_of(message.data + WIRE_HEADER_BYTES, message.length - WIRE_HEADER_BYTES));
    cr_assert_gt(wire_array(&r, 64), index);
    const uint8_t *start = r.bytes.data;
    for (unsigned i = 0; i <= index; i++) {
        start = r.bytes.data;
        uint8_t head = r.bytes.data[0];
        if (head <= 0x7f || (head >= 0xcc && head <= 0xcf)) {
            (void)wire_uint(&r);
        } else if (head == 0xc2 || head == 0xc3) {
            (void)wire_bool(&r);
        } else if (head >= 0xc4 && head <= 0xc6) {
            (void)wire_bin(&r, SIZE_MAX);
        } else if (head >= 0xa0 && head <= 0xbf) {
            (void)wire_text(&r, SIZE_MAX);
        } else { /* an array of numbers */
            uint32_t count = wire_array(&r, 4096);
            while (count-- > 0)
                (void)wire_uint(&r);
        }
        cr_assert_eq(r.err, ERR_OK, "element %u", i);
    }
    return span_of(start, (size_t)(r.bytes.data - start));
}

/* The message again with other bytes for one element. */
static inline void proto_test_replace(struct buf *out, struct span message, unsigned index,
                                      struct span element)
{
    struct span old = proto_test_element(message, index);
    const uint8_t *end = message.data + message.length;
    buf_clear(out);
    buf_put(out, message.data, (size_t)(old.data - message.data));
    buf_put(out, element.data, element.length);
    buf_put(out, old.data + old.length, (size_t)(end - old.data - old.length));
    proto_test_reseal(out);
}

/* The columns inside a packed element. */
static inline void proto_test_unpack(struct span message, unsigned index, struct buf *raw)
{
    struct wire_reader r = wire_reader_of(proto_test_element(message, index));
    struct span frame = wire_bin(&r, SIZE_MAX);
    cr_assert_eq(wire_unpack(frame, 64u << 20, raw), ERR_OK);
}

/* Every flipped bit and every prefix of the columns inside one frame: zstd and checksum are right,
 * the content is not. Every prefix must be refused. */
static inline void proto_test_column_malice(struct span message, unsigned index,
                                            enum err (*read)(struct span message))
{
    struct buf raw = {0}, element = {0}, changed = {0};
    proto_test_unpack(message, index, &raw);
    for (size_t bit = 0; bit < raw.length * 8; bit++) {
        raw.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        buf_clear(&element);
        wire_put_packed(&element, buf_span(&raw));
        proto_test_replace(&changed, message, index, buf_span(&element));
        enum err err = read(buf_span(&changed));
        cr_assert(!proto_test_is_damage(err) && err != ERR_VERSION, "bit %zu", bit);
        raw.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t length = 0; length <= raw.length + 1; length++) {
        struct buf other = {0};
        buf_put(&other, raw.data, length <= raw.length ? length : raw.length);
        if (length > raw.length)
            buf_put_u8(&other, 0);
        buf_clear(&element);
        wire_put_packed(&element, buf_span(&other));
        proto_test_replace(&changed, message, index, buf_span(&element));
        enum err err = read(buf_span(&changed));
        cr_assert_eq(err == ERR_OK, length == raw.length, "%zu of %zu bytes", length, raw.length);
        buf_done(&other);
    }
    buf_done(&raw);
    buf_done(&element);
    buf_done(&changed);
}

/* tests/golden/<name>.hex. With GOLDEN_WRITE=1 in the environment a missing file is made from
 * `fresh`; one that exists is never touched: old messages must stay readable for ever. */
static inline struct buf proto_test_golden(const char *name, struct span fresh)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/tests/golden/%s.hex", TEST_SOURCE_DIR, name);
    if (getenv("GOLDEN_WRITE") != NULL && access(path, F_OK) != 0) {
        FILE *made = fopen(path, "wx");
        cr_assert_not_null(made);
        for (size_t i = 0; i < fresh.length; i++)
            (void)fprintf(made, "%02x%c", fresh.data[i],
                          i % 32 == 31 || i + 1 == fresh.length ? '\n' : ' ');
        cr_assert_eq(fclose(made), 0);
    }
    struct buf bytes = {0};
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s is missing", path);
    unsigned byte;
    while (fscanf(file, "%2x", &byte) == 1)
        buf_put_u8(&bytes, (uint8_t)byte);
    cr_assert(feof(file), "%s holds something else than hex", path);
    cr_assert_gt(bytes.length, 0);
    (void)fclose(file);
    return bytes;
}
