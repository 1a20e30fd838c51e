/* SPDX-License-Identifier: Apache-2.0
 * fuzz_jetstream: any bytes as an answer of JetStream, and as the reply subject of a delivery. */
#include "common/run/bus_nats_wire.h"
#include "tests/fuzz/fuzz_target.h"

static void read_value(struct span raw)
{
    char text[64];
    struct buf bytes = {0};
    uint64_t number;
    if (bus_nats_wire_text(raw, text, sizeof(text)))
        CHECK(memchr(text, '\0', sizeof(text)) != NULL);
    (void)bus_nats_wire_base64(raw, &bytes);
    CHECK(bytes.length <= raw.length);
    (void)bus_nats_wire_u64(raw, &number);
    (void)bus_nats_wire_time(raw, &number);
    buf_done(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"stream", "seq",      "error", "data",   "message",
                                        "config", "subjects", "state", "domain", "time"};
    struct span answer = span_of(data, size), raw, first;
    struct bus_nats_wire_ack ack = {0};
    struct bus_nats_wire_delivery delivery;
    for (size_t i = 0; i < countof(names); i++) {
        if (!bus_nats_wire_field(answer, names[i], &raw))
            continue;
        CHECK(raw.data >= data && raw.data + raw.length <= data + size);
        read_value(raw);
        if (bus_nats_wire_first(raw, &first)) {
            CHECK(first.data >= raw.data && first.data + first.length <= raw.data + raw.length);
            read_value(first);
        }
    }
    if (bus_nats_wire_ack(answer, &ack))
        CHECK(!ack.stored || ack.seq >= 1);
    (void)bus_nats_wire_error(answer);
    read_value(answer);

    struct buf text = {0};
    buf_put(&text, data, size);
    buf_put_u8(&text, 0);
    (void)bus_nats_wire_delivery((const char *)text.data, &delivery);
    if (bus_nats_wire_subject_ok((const char *)text.data))
        CHECK(strpbrk((const char *)text.data, " \r\n\t") == NULL && text.data[0] != '\0');
    if (bus_nats_wire_name_ok((const char *)text.data))
        CHECK(strlen((const char *)text.data) <= 64);
    buf_done(&text);
    return 0;
}
