/* SPDX-License-Identifier: Apache-2.0
 * bus_nats_wire: reads what JetStream answers: JSON fields, errors, base64, delivery subjects.
 * Audience: bus_nats*, tests. Pure. No state.
 *
 * common/run links no JSON library, and needs a handful of fields of answers that one program
 * (nats-server) writes. So this is a walker, not a parser: it finds a member of an object
 * without judging the rest, and whatever it cannot read it reports as absent. */
#pragma once

#include "common/base/bytes.h"

/* Raw text of the value of member `name` of the JSON object `object` (strings with their
 * quotes). False if absent or if the text before it is not JSON. Borrowed from `object`. */
bool bus_nats_wire_field(struct span object, const char *name, struct span *out_raw);
/* First element of a JSON array, raw. False if it is empty or no array. */
bool bus_nats_wire_first(struct span array, struct span *out_raw);
/* An unsigned decimal number that fits; nothing else. */
bool bus_nats_wire_u64(struct span raw, uint64_t *out);
/* A JSON string, unescaped, with a NUL; ASCII escapes only. False if it does not fit `size`. */
bool bus_nats_wire_text(struct span raw, char *out, size_t size);
/* A JSON string of strict, padded base64 (RFC 4648 section 4), appended to `out`. */
bool bus_nats_wire_base64(struct span raw, struct buf *out);

/* A JSON string of a time in UTC as nats-server writes it ("2026-11-24T13:43:00.49071779Z"), in
 * ms since 1970, rounded down. */
bool bus_nats_wire_time(struct span raw, uint64_t *out_ms);

/* The answer to a publish. False: not an answer to a publish at all. */
struct bus_nats_wire_ack {
    bool stored;   /* also when the server knew the message id already */
    uint64_t seq;  /* stored: >= 1 */
    uint64_t code; /* not stored: the server's err_code, or 0 */
};
bool bus_nats_wire_ack(struct span answer, struct bus_nats_wire_ack *out);

/* err_code of an API answer; 0 when it carries no error. An error without a code is 1. */
uint64_t bus_nats_wire_error(struct span answer);

/* $JS.ACK.<stream>.<consumer>.<delivered>.<sseq>.<cseq>.<time>.<pending>, or the same with
 * <domain>.<account> in front of <stream> and perhaps a random token at the end. */
struct bus_nats_wire_delivery {
    uint64_t stream_seq;
    uint64_t consumer_seq;
    uint64_t time_ns;
    uint64_t pending;
};
bool bus_nats_wire_delivery(const char *reply, struct bus_nats_wire_delivery *out);

/* Subjects that may be published to: no blanks or control bytes (they would end the protocol
 * line), no empty token, not above 255 bytes. */
bool bus_nats_wire_subject_ok(const char *subject);
/* Names of streams, consumers and domains: 1 to 64 of [A-Za-z0-9_-]. */
bool bus_nats_wire_name_ok(const char *name);
