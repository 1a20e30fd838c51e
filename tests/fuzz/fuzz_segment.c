/* SPDX-License-Identifier: Apache-2.0
 * fuzz_segment: any bytes as a segment: head, hot and cold columns; what is read can be written
 * again. */
#include "proto/segment.h"
#include "tests/fuzz/fuzz_target.h"

static void write_again(const struct segment *s, const struct click *clicks)
{
    struct buf message = {0};
    struct segment again = {0};
    segment_write(&message, &s->head, clicks, s->click_count);
    CHECK(segment_read(&again, buf_span(&message)) == ERR_OK);
    CHECK(again.click_count == s->click_count && again.head.first == s->head.first &&
          again.head.last == s->head.last && again.head.fin == s->head.fin &&
          again.head.epoch == s->head.epoch && again.head.clock_ms == s->head.clock_ms);
    for (uint32_t i = 0; i < s->click_count; i++)
        CHECK(memcmp(again.hot[i].key, s->hot[i].key, HASH_CLICK_BYTES) == 0 &&
              span_equal(again.ads[again.hot[i].ad], s->ads[s->hot[i].ad]));
    segment_done(&again);
    buf_done(&message);
}

static void read_one(struct span message)
{
    struct segment_head head;
    struct segment s = {0};
    enum err head_err = segment_read_head(&head, message);
    enum err err = segment_read(&s, message);
    if (head_err == ERR_OK)
        CHECK(head.last >= head.first && strlen(head.edge) <= LIMIT_EDGE_NAME_BYTES);
    if (err == ERR_OK) {
        CHECK(head_err == ERR_OK && s.click_count <= LIMIT_SEGMENT_CLICKS);
        bool numbered_fin = s.head.fin && s.head.last > s.head.first;
        CHECK(s.head.last - s.head.first == s.click_count + (numbered_fin ? 1 : 0));
        for (uint32_t i = 0; i < s.click_count; i++)
            CHECK(s.hot[i].ad < s.ad_count);
        struct click *clicks = base_zalloc(s.click_count, sizeof(*clicks));
        struct buf storage = {0};
        if (segment_read_cold(&s, clicks, &storage) == ERR_OK) {
            for (uint32_t i = 0; i < s.click_count; i++)
                CHECK(click_is_bounded(&clicks[i]));
            write_again(&s, clicks);
        }
        buf_done(&storage);
        free(clicks);
    }
    segment_done(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_message(data, size, read_one);
    return 0;
}
