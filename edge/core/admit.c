/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/core/admit.h"

#include "common/base/minute.h"
#include "proto/json_text.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

_Static_assert(LIMIT_TIMESTAMP_SECONDS_MAX * 1000 <= LIMIT_TIMESTAMP_MS_MAX,
               "every timestamp in seconds is one in milliseconds, too");

/* marker and length (3 bytes) of four texts, and the timestamp. */
#define FIELDS_ID_BYTES                                                                            \
    (4 * 3 + 2 * LIMIT_ID_BYTES + LIMIT_IP_TEXT_BYTES + LIMIT_USER_AGENT_BYTES + 8)

static uint64_t timestamp_to_ms(uint64_t timestamp)
{
    return timestamp < LIMIT_TIMESTAMP_SECONDS_MAX ? timestamp * 1000 : timestamp;
}

static bool is_too_old(uint64_t event_ms, uint64_t now_ms, uint64_t horizon_ms)
{
    return now_ms > horizon_ms && event_ms < now_ms - horizon_ms;
}

/* IPv4 in dotted decimals or IPv6 (RFC 4291, 2.2), no zone, no prefix length. */
static bool ip_is_valid(struct span text)
{
    char copy[LIMIT_IP_TEXT_BYTES + 1];
    struct in6_addr parsed;
    if (text.length == 0 || text.length >= sizeof(copy))
        return false;
    if (memchr(text.data, '\0', text.length) != NULL)
        return false;
    memcpy(copy, text.data, text.length);
    copy[text.length] = '\0';
    return inet_pton(AF_INET, copy, &parsed) == 1 || inet_pton(AF_INET6, copy, &parsed) == 1;
}

/* A link-local peer may carry a zone ("fe80::1%eth0"), which means nothing beyond this host. */
static struct span ip_of_peer(struct span peer)
{
    const uint8_t *zone = peer.length == 0 ? NULL : memchr(peer.data, '%', peer.length);
    struct span ip = {peer.data, zone != NULL ? (size_t)(zone - peer.data) : peer.length};
    return ip_is_valid(ip) ? ip : (struct span){0};
}

/* Own region where none is named; region_count where the name is unknown. */
static uint32_t home_of(const struct admit_rules *rules, struct span home)
{
#ifdef TRIBUTARY_BREAK_HOME_IGNORED
    home = (struct span){0};
#endif
    if (home.data == NULL)
        return rules->own_region;
    for (uint32_t i = 0; i < rules->region_count; i++)
        if (span_equal(span_of_text(rules->regions[i]), home))
            return i;
    return rules->region_count;
}

/* Marker 0 for absent, else marker 1, length, bytes: no two sets of fields give one text. */
static size_t put_field(uint8_t *at, struct span field)
{
    at[0] = field.data != NULL ? 1 : 0;
    bytes_store_u16(at + 1, (uint16_t)field.length);
    if (field.length > 0)
        memcpy(at + 3, field.data, field.length);
    return 3 + field.length;
}

/* Source: design 2.3. Only what the client sent: a retry through another proxy has another peer and
 * perhaps another user agent header, and is the same click. */
static void make_key(const struct admit_rules *rules, const struct admit_request *request,
                     const struct click_json_click *sent, uint8_t out_key[HASH_CLICK_BYTES])
{
#ifdef TRIBUTARY_BREAK_KEY_WITHOUT_AD
    struct click_json_click adless = *sent;
    adless.ad_id = span_of_text("ad");
    sent = &adless;
#endif
#ifdef TRIBUTARY_BREAK_KEY_OF_FILLED_FIELDS
    struct click_json_click filled = *sent;
    if (filled.ip_address.data == NULL)
        filled.ip_address = request->peer_ip;
    if (filled.user_agent.data == NULL)
        filled.user_agent = request->user_agent;
    sent = &filled;
#endif
    if (sent->click_id.length > 0) {
        hash_click_key(rules->secret, HASH_ID_CLICK, sent->ad_id, sent->click_id, 0, out_key);
        return;
    }
    if (request->idempotency_key.length > 0) {
        hash_click_key(rules->secret, HASH_ID_IDEMPOTENCY, sent->ad_id, request->idempotency_key,
                       sent->index, out_key);
        return;
    }
    uint8_t id[FIELDS_ID_BYTES];
    size_t length = 0;
    length += put_field(id + length, sent->ad_id);
    length += put_field(id + length, sent->user_id);
    length += put_field(id + length, sent->ip_address);
    length += put_field(id + length, sent->user_agent);
    bytes_store_u64(id + length, sent->timestamp);
    length += 8;
    CHECK(length <= sizeof(id));
    hash_click_key(rules->secret, HASH_ID_FIELDS, sent->ad_id, span_of(id, length), 0, out_key);
}

static void refuse(struct admit_verdict *out, enum admit_fault fault, const char *field)
{
    *out = (struct admit_verdict){.fault = fault, .field = field};
}

/* The click as it will lie in the spool; every bound of click.h holds, whatever the request
 * carried. */
static void fill_click(const struct admit_rules *rules, const struct admit_request *request,
                       const struct click_json_click *sent, struct click *out)
{
    *out = (struct click){
        .timestamp_ms = timestamp_to_ms(sent->timestamp),
        .minute = minute_of_ms(timestamp_to_ms(sent->timestamp)),
        .received_ms = request->now_ms,
        .user_hash = hash_user(sent->user_id),
        .ad_id = sent->ad_id,
        .user_id = sent->user_id,
        .click_id = sent->click_id,
        .ip_address = sent->ip_address,
        .user_agent = sent->user_agent,
    };
    if (sent->ip_address.data == NULL) {
        out->ip_address = ip_of_peer(request->peer_ip);
        out->flags |= CLICK_FLAG_IP_FILLED;
    }
    if (sent->user_agent.data == NULL) {
        /* A header is any bytes of any length: an over-long row could not be read back. */
        out->user_agent = json_text_utf8_prefix(request->user_agent, LIMIT_USER_AGENT_BYTES);
        out->flags |= CLICK_FLAG_AGENT_FILLED;
    }
    make_key(rules, request, sent, out->key);
}

static void check_scanned(const struct click_json_click *sent)
{
    CHECK(sent->ad_id.length >= 1 && sent->ad_id.length <= LIMIT_ID_BYTES);
    CHECK(sent->user_id.length >= 1 && sent->user_id.length <= LIMIT_ID_BYTES);
    CHECK(sent->click_id.length <= LIMIT_ID_BYTES);
    CHECK(sent->ip_address.length <= LIMIT_IP_TEXT_BYTES);
    CHECK(sent->user_agent.length <= LIMIT_USER_AGENT_BYTES);
    CHECK(sent->timestamp <= LIMIT_TIMESTAMP_MS_MAX);
}

void admit_click(const struct admit_rules *rules, const struct admit_request *request,
                 const struct click_json_click *scanned, struct admit_verdict *out)
{
    CHECK(rules->own_region < rules->region_count);
    if (scanned->fault != CLICK_JSON_OK) {
        refuse(out, ADMIT_SCAN, scanned->field);
        out->scan = scanned->fault;
        return;
    }
    check_scanned(scanned);
    uint64_t event_ms = timestamp_to_ms(scanned->timestamp);
    if (event_ms > request->now_ms + LIMIT_FUTURE_MS) {
        refuse(out, ADMIT_FUTURE, "timestamp");
        return;
    }
    if (is_too_old(event_ms, request->now_ms, rules->horizon_ms)) {
        refuse(out, ADMIT_TOO_OLD, "timestamp");
        return;
    }
    uint32_t home = home_of(rules, scanned->home);
    if (home == rules->region_count) {
        refuse(out, ADMIT_HOME_UNKNOWN, "home");
        return;
    }
    if (scanned->ip_address.data != NULL && !ip_is_valid(scanned->ip_address)) {
        refuse(out, ADMIT_IP_INVALID, "ip_address");
        return;
    }
    *out = (struct admit_verdict){.fault = ADMIT_OK, .home = home};
    fill_click(rules, request, scanned, &out->click);
    uint32_t partitions = rules->turns == NULL
                              ? rules->partitions
                              : partition_turn_at(rules->turns[home], out->click.minute);
    out->partition = hash_partition(hash_ad(scanned->ad_id), partitions);
}

static const char *kind_words(enum click_json_kind kind)
{
    switch (kind) {
    case CLICK_JSON_MISSING:
        return "missing";
    case CLICK_JSON_NULL:
        return "null";
    case CLICK_JSON_BOOLEAN:
        return "a boolean";
    case CLICK_JSON_NUMBER:
        return "a number";
    case CLICK_JSON_STRING:
        return "a string";
    case CLICK_JSON_ARRAY:
        return "an array";
    case CLICK_JSON_OBJECT:
        return "an object";
    }
    return "of no known kind";
}

static bool is_timestamp(const char *field)
{
    return strcmp(field, "timestamp") == 0;
}

/* Longest text of a field, in bytes. */
static unsigned bytes_max(const char *field)
{
    if (strcmp(field, "ip_address") == 0)
        return LIMIT_IP_TEXT_BYTES;
    if (strcmp(field, "user_agent") == 0)
        return LIMIT_USER_AGENT_BYTES;
    return LIMIT_ID_BYTES;
}

/* Where the text is at fault rather than a field, a person needs the place. */
static bool has_place(enum click_json_fault fault)
{
    return fault == CLICK_JSON_SYNTAX || fault == CLICK_JSON_UTF8 || fault == CLICK_JSON_DEPTH ||
           fault == CLICK_JSON_DUPLICATE_KEY;
}

static void explain_scan(const struct admit_verdict *verdict,
                         const struct click_json_click *scanned, char *out, size_t size)
{
    const char *field = verdict->field != NULL ? verdict->field : "click";
    const char *words = click_json_fault_words(verdict->scan);
    const char *due =
        is_timestamp(field) ? "an integer number of seconds or milliseconds" : "a string";
    if (verdict->scan == CLICK_JSON_WRONG_KIND)
        (void)snprintf(out, size, "%s: must be %s, not %s", field, due, kind_words(scanned->kind));
    else if (verdict->scan == CLICK_JSON_NOT_OBJECT)
        (void)snprintf(out, size, "%s: must be an object, not %s", field,
                       kind_words(scanned->kind));
    else if (verdict->scan == CLICK_JSON_FIELD_LONG)
        (void)snprintf(out, size, "%s: must not be longer than %u bytes", field, bytes_max(field));
    else if (verdict->scan == CLICK_JSON_CLICK_LONG)
        (void)snprintf(out, size, "%s: must not be longer than %u bytes of JSON", field,
                       (unsigned)LIMIT_CLICK_BYTES);
    else if (verdict->scan == CLICK_JSON_DUPLICATE_KEY && verdict->field == NULL)
        (void)snprintf(out, size, "click: a key occurs twice (byte %zu)", scanned->offset);
    else if (has_place(verdict->scan))
        (void)snprintf(out, size, "%s: %s (byte %zu)", field, words, scanned->offset);
    else
        (void)snprintf(out, size, "%s: %s", field, words);
}

void admit_explain(const struct admit_verdict *verdict, const struct click_json_click *scanned,
                   char *out, size_t size)
{
    switch (verdict->fault) {
    case ADMIT_SCAN:
        explain_scan(verdict, scanned, out, size);
        return;
    case ADMIT_FUTURE:
        (void)snprintf(out, size, "timestamp: must not be more than %u minutes in the future",
                       (unsigned)(LIMIT_FUTURE_MS / MINUTE_MS));
        return;
    case ADMIT_TOO_OLD:
        (void)snprintf(out, size, "timestamp: must not be older than the dedupe horizon");
        return;
    case ADMIT_HOME_UNKNOWN:
        (void)snprintf(out, size, "home: must name a region of this deployment");
        return;
    case ADMIT_IP_INVALID:
        (void)snprintf(out, size, "ip_address: must be an IPv4 or IPv6 address in text form");
        return;
    case ADMIT_OK:
    case ADMIT_FAULTS:
        break;
    }
    CHECK(verdict->fault == ADMIT_OK);
    (void)snprintf(out, size, "accepted");
}

const char *admit_token(const struct admit_verdict *verdict)
{
    static const char *const tokens[ADMIT_FAULTS] = {
        [ADMIT_OK] = "ok",
        [ADMIT_SCAN] = NULL, /* the scanner's own */
        [ADMIT_FUTURE] = "timestamp_in_future",
        [ADMIT_TOO_OLD] = "timestamp_too_old",
        [ADMIT_HOME_UNKNOWN] = "home_unknown",
        [ADMIT_IP_INVALID] = "ip_address_invalid",
    };
    CHECK((unsigned)verdict->fault < ADMIT_FAULTS);
    return verdict->fault == ADMIT_SCAN ? click_json_fault_token(verdict->scan)
                                        : tokens[verdict->fault];
}
