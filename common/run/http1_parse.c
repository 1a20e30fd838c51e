/* SPDX-License-Identifier: Apache-2.0
 * http1_parse: phases of a request, and what http-parser makes of each. */
#include "common/run/http1_parse.h"

#include <http_parser.h>
#include <stdlib.h>

enum phase {
    PHASE_HEAD,
    PHASE_HEAD_DONE, /* told; what follows depends on its lengths */
    PHASE_BODY,
    PHASE_CHUNK_LINE,
    PHASE_CHUNK_LINE_LF,
    PHASE_CHUNK_DATA,
    PHASE_CHUNK_CR,
    PHASE_CHUNK_LF,
    PHASE_TRAILERS,
    PHASE_END,
    PHASE_DEAD,
};

struct http1_parse {
    http_parser library;
    enum phase phase;
    struct http1_guard guard;
    bool told_head, told_end, told_chunk; /* by the library */
    struct span told_body;
    uint64_t left; /* of the body, or of the chunk */
    uint64_t body_bytes, line_bytes;
    size_t text_length, name_begin;
    enum http1_refusal refusal;
    struct http1_head head;
    uint8_t line[HTTP1_CHUNK_LINE_BYTES_MAX];
    size_t line_length;
    uint8_t text[HTTP1_HEAD_BYTES_MAX];
};

/* -- what the library says ----------------------------------------------------------------- */

static int on_target(http_parser *library, const char *at, size_t length)
{
    struct http1_parse *p = library->data;
    p->head.target = span_of(at, length);
    return 0;
}

static int on_field(http_parser *library, const char *at, size_t length)
{
    struct http1_parse *p = library->data;
    if (p->phase != PHASE_HEAD || p->head.field_count == HTTP1_FIELDS_MAX) {
        p->refusal = HTTP1_HEAD_SIZE;
        return 1;
    }
    p->head.fields[p->head.field_count].name = span_of(at, length);
    return 0;
}

static int on_value(http_parser *library, const char *at, size_t length)
{
    struct http1_parse *p = library->data;
    if (p->head.field_count == HTTP1_FIELDS_MAX)
        return 1;
    while (length > 0 && (at[length - 1] == ' ' || at[length - 1] == '\t'))
        length--;
    p->head.fields[p->head.field_count++].value = span_of(at, length);
    return 0;
}

static int on_head(http_parser *library)
{
    struct http1_parse *p = library->data;
    p->told_head = true;
    library->upgrade = 0; /* no other protocol is spoken here, whatever is asked for */
    return 0;
}

static int on_body(http_parser *library, const char *at, size_t length)
{
    struct http1_parse *p = library->data;
    p->told_body = span_of(at, length);
    return 0;
}

static int on_chunk(http_parser *library)
{
    struct http1_parse *p = library->data;
    p->told_chunk = true;
    p->left = library->content_length;
    return 0;
}

static int on_end(http_parser *library)
{
    struct http1_parse *p = library->data;
    p->told_end = true;
    return 0;
}

static const http_parser_settings settings = {
    .on_url = on_target,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_end,
    .on_chunk_header = on_chunk,
};

/* False unless it takes all of it, and without complaint. */
static bool execute(struct http1_parse *p, const void *bytes, size_t length)
{
    return http_parser_execute(&p->library, &settings, bytes, length) == length &&
           HTTP_PARSER_ERRNO(&p->library) == HPE_OK;
}

/* -- head ---------------------------------------------------------------------------------- */

static void begin(struct http1_parse *p)
{
    http_parser_init(&p->library, HTTP_REQUEST);
    p->library.data = p;
    http1_guard_begin(&p->guard);
    p->phase = PHASE_HEAD;
    p->told_head = p->told_end = p->told_chunk = false;
    p->refusal = HTTP1_NOT_REFUSED;
    p->left = p->body_bytes = p->line_bytes = 0;
    p->text_length = p->name_begin = p->line_length = 0;
    p->head.field_count = 0;
    p->head.target = (struct span){NULL, 0};
}

/* method SP target SP HTTP/1.1: the library also takes several spaces, HTTP/0.9 and tabs. */
static enum http1_refusal judge_line(const struct http1_parse *p)
{
    const uint8_t *end = memchr(p->text, '\r', p->text_length);
    CHECK(end != NULL);
    size_t length = (size_t)(end - p->text);
    const uint8_t *first = memchr(p->text, ' ', length);
    if (first == NULL || first == p->text)
        return HTTP1_REQUEST_LINE;
    const uint8_t *second = memchr(first + 1, ' ', (size_t)(end - first - 1));
    if (second == NULL || second == first + 1)
        return HTTP1_REQUEST_LINE;
    struct span version = span_of(second + 1, (size_t)(end - second - 1));
    if (version.length != 8 || memcmp(version.data, "HTTP/", 5) != 0 || version.data[6] != '.')
        return HTTP1_REQUEST_LINE;
    return span_equal(version, span_of_text("HTTP/1.1")) ? HTTP1_NOT_REFUSED : HTTP1_VERSION;
}

/* The library's complaint in our words. */
static enum http1_refusal why_not(const struct http1_parse *p)
{
    switch (HTTP_PARSER_ERRNO(&p->library)) {
    case HPE_INVALID_METHOD:
        return HTTP1_METHOD;
    case HPE_INVALID_URL:
        return HTTP1_TARGET;
    case HPE_INVALID_CONTENT_LENGTH:
        return HTTP1_LENGTH;
    case HPE_INVALID_TRANSFER_ENCODING:
        return HTTP1_CODING;
    case HPE_UNEXPECTED_CONTENT_LENGTH: /* said twice, or beside a coding */
        for (size_t i = 0; i < p->head.field_count; i++)
            if (span_equal(p->head.fields[i].name, span_of_text("transfer-encoding")))
                return HTTP1_BOTH;
        return HTTP1_LENGTH;
    default:
        return HTTP1_PARSER;
    }
}

static enum http1_refusal read_head(struct http1_parse *p)
{
    enum http1_refusal refusal = judge_line(p);
    if (refusal != HTTP1_NOT_REFUSED)
        return refusal;
    bool taken = execute(p, p->text, p->text_length);
    if (p->refusal != HTTP1_NOT_REFUSED)
        return p->refusal;
    if (!taken || !p->told_head)
        return why_not(p);
    p->head.method = http_method_str((enum http_method)p->library.method);
    refusal = http1_head_judge(&p->head);
    if (refusal != HTTP1_NOT_REFUSED)
        return refusal;
    /* two readers, one meaning */
    bool agreed =
        p->head.chunked == ((p->library.flags & F_CHUNKED) != 0) &&
        p->told_end == (!p->head.chunked && p->head.content_length == 0) &&
        (!p->head.has_length || p->told_end || p->library.content_length == p->head.content_length);
    return agreed ? HTTP1_NOT_REFUSED : HTTP1_PARSER;
}

static bool refuse(struct http1_parse *p, enum http1_refusal refusal, struct http1_event *out)
{
    p->phase = PHASE_DEAD;
    p->refusal = refusal;
    out->kind = HTTP1_REFUSED;
    out->refusal = refusal;
    return true;
}

/* Each of these takes one byte, or more; true when there is an event. */
static bool head_byte(struct http1_parse *p, uint8_t byte, struct http1_event *out)
{
    enum http1_guard_state before = p->guard.state;
    enum http1_refusal refusal = http1_guard_byte(&p->guard, byte);
    if (refusal != HTTP1_NOT_REFUSED)
        return refuse(p, refusal, out);
    if (p->guard.state == HTTP1_GUARD_START_LF || p->guard.state == HTTP1_GUARD_LINE_FIRST)
        return false; /* the empty line before a request */
    if (p->text_length == HTTP1_HEAD_BYTES_MAX)
        return refuse(p, HTTP1_HEAD_SIZE, out);
    bool in_name = p->guard.state == HTTP1_GUARD_NAME || before == HTTP1_GUARD_NAME;
    p->text[p->text_length++] =
        in_name && byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + ('a' - 'A')) : byte;
    if (p->guard.state != HTTP1_GUARD_ENDED)
        return false;
    refusal = read_head(p);
    if (refusal != HTTP1_NOT_REFUSED)
        return refuse(p, refusal, out);
    p->phase = PHASE_HEAD_DONE;
    out->kind = HTTP1_HEAD;
    out->head = &p->head;
    return true;
}

static void after_head(struct http1_parse *p)
{
    p->left = p->head.content_length;
    if (p->head.chunked)
        p->phase = PHASE_CHUNK_LINE;
    else
        p->phase = p->left > 0 ? PHASE_BODY : PHASE_END;
}

/* -- body ---------------------------------------------------------------------------------- */

static bool is_hex(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* chunk-size [ chunk-ext ]: extensions mean nothing to us, and must be clean all the same. */
static bool chunk_line_byte_is_good(const struct http1_parse *p, uint8_t byte)
{
    const uint8_t *extension = memchr(p->line, ';', p->line_length);
    if (extension != NULL)
        return byte == '\t' || (byte >= 0x20 && byte < 0x7f);
    return is_hex(byte) || (byte == ';' && p->line_length > 0);
}

static bool chunk_line_byte(struct http1_parse *p, uint8_t byte, struct http1_event *out)
{
    if (byte == '\r' ? p->line_length == 0 : !chunk_line_byte_is_good(p, byte))
        return refuse(p, HTTP1_CHUNK, out);
    if (p->line_length == HTTP1_CHUNK_LINE_BYTES_MAX - 1)
        return refuse(p, HTTP1_CHUNK, out);
    p->line[p->line_length++] = byte;
    if (byte == '\r')
        p->phase = PHASE_CHUNK_LINE_LF;
    return false;
}

static bool chunk_line_ends(struct http1_parse *p, uint8_t byte, struct http1_event *out)
{
    p->line[p->line_length++] = byte;
    p->told_chunk = false;
    if (byte != '\n' || !execute(p, p->line, p->line_length) || !p->told_chunk)
        return refuse(p, HTTP1_CHUNK, out);
    p->line_bytes += p->line_length + 2;
    if (p->line_bytes > p->body_bytes + HTTP1_CHUNK_SPARE_BYTES)
        return refuse(p, HTTP1_CHUNK, out);
    p->line_length = 0;
    p->phase = p->left > 0 ? PHASE_CHUNK_DATA : PHASE_TRAILERS;
    p->text_length = 0;
    http1_guard_begin_trailers(&p->guard);
    return false;
}

static bool chunk_end_byte(struct http1_parse *p, uint8_t byte, struct http1_event *out)
{
    bool first = p->phase == PHASE_CHUNK_CR;
    if (byte != (first ? '\r' : '\n') || !execute(p, &byte, 1))
        return refuse(p, HTTP1_CHUNK, out);
    p->phase = first ? PHASE_CHUNK_LF : PHASE_CHUNK_LINE;
    return false;
}

/* Judged and thrown away: the library gets the empty line that ends them, nothing else. */
static bool trailer_byte(struct http1_parse *p, uint8_t byte, struct http1_event *out)
{
    enum http1_guard_state before = p->guard.state;
    if (http1_guard_byte(&p->guard, byte) != HTTP1_NOT_REFUSED ||
        p->text_length == HTTP1_TRAILER_BYTES_MAX)
        return refuse(p, HTTP1_TRAILER, out);
    if (p->guard.state == HTTP1_GUARD_NAME && before != HTTP1_GUARD_NAME)
        p->name_begin = p->text_length;
    if (p->guard.state == HTTP1_GUARD_VALUE && before == HTTP1_GUARD_NAME &&
        http1_head_is_forbidden_trailer(
            span_of(p->text + p->name_begin, p->text_length - p->name_begin)))
        return refuse(p, HTTP1_TRAILER, out);
    p->text[p->text_length++] = byte;
    if (p->guard.state != HTTP1_GUARD_ENDED)
        return false;
    if (!execute(p, "\r\n", 2) || !p->told_end)
        return refuse(p, HTTP1_PARSER, out);
    p->phase = PHASE_END;
    return false;
}

/* As much of the body as there is. */
static size_t body_bytes(struct http1_parse *p, struct span bytes, struct http1_event *out)
{
    size_t length = base_min_u64(bytes.length, p->left);
    p->told_body = (struct span){NULL, 0};
    if (!execute(p, bytes.data, length) || p->told_body.length != length) {
        (void)refuse(p, HTTP1_PARSER, out);
        return length;
    }
    p->left -= length;
    p->body_bytes += length;
    out->kind = HTTP1_BODY;
    out->body = p->told_body;
    if (p->left == 0) {
        p->phase = p->phase == PHASE_BODY ? PHASE_END : PHASE_CHUNK_CR;
        if (p->phase == PHASE_END && !p->told_end)
            (void)refuse(p, HTTP1_PARSER, out);
    }
    return length;
}

/* -- all of it ----------------------------------------------------------------------------- */

static bool take_byte(struct http1_parse *p, uint8_t byte, struct http1_event *out)
{
    switch (p->phase) {
    case PHASE_HEAD:
        return head_byte(p, byte, out);
    case PHASE_CHUNK_LINE:
        return chunk_line_byte(p, byte, out);
    case PHASE_CHUNK_LINE_LF:
        return chunk_line_ends(p, byte, out);
    case PHASE_CHUNK_CR:
    case PHASE_CHUNK_LF:
        return chunk_end_byte(p, byte, out);
    default:
        CHECK(p->phase == PHASE_TRAILERS);
        return trailer_byte(p, byte, out);
    }
}

size_t http1_parse_feed(struct http1_parse *p, struct span bytes, struct http1_event *out)
{
    size_t eaten = 0;
    *out = (struct http1_event){.kind = HTTP1_NOTHING};
    if (p->phase == PHASE_HEAD_DONE)
        after_head(p);
    for (;;) {
        if (p->phase == PHASE_DEAD) {
            (void)refuse(p, p->refusal, out);
            return bytes.length;
        }
        if (p->phase == PHASE_END) {
            out->kind = HTTP1_END;
            begin(p);
            return eaten;
        }
        if (eaten == bytes.length)
            return eaten;
        if (p->phase == PHASE_BODY || p->phase == PHASE_CHUNK_DATA)
            return eaten + body_bytes(p, span_of(bytes.data + eaten, bytes.length - eaten), out);
        if (take_byte(p, bytes.data[eaten++], out))
            return eaten;
    }
}

bool http1_parse_is_idle(const struct http1_parse *p)
{
    return p->phase == PHASE_HEAD && p->text_length == 0;
}

struct http1_parse *http1_parse_new(void)
{
    struct http1_parse *p = base_zalloc(1, sizeof(*p));
    begin(p);
    return p;
}

void http1_parse_free(struct http1_parse *p)
{
    free(p);
}
