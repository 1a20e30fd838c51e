/* SPDX-License-Identifier: Apache-2.0
 * http1_guard: the line grammar of RFC 9112, byte by byte. */
#include "common/run/http1_guard.h"

static const struct {
    unsigned status;
    const char *token, *detail;
} refusals[] = {
#define HTTP1_ROW(kind, status, token, detail) [kind] = {status, token, detail},
    HTTP1_REFUSAL_TABLE(HTTP1_ROW)
#undef HTTP1_ROW
};

unsigned http1_refusal_status(enum http1_refusal refusal)
{
    CHECK((unsigned)refusal < HTTP1_REFUSALS);
    return refusals[refusal].status;
}

const char *http1_refusal_token(enum http1_refusal refusal)
{
    CHECK((unsigned)refusal < HTTP1_REFUSALS);
    return refusals[refusal].token;
}

const char *http1_refusal_detail(enum http1_refusal refusal)
{
    CHECK((unsigned)refusal < HTTP1_REFUSALS);
    return refusals[refusal].detail;
}

/* RFC 9110, 5.6.2. */
static bool is_token(uint8_t byte)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";
    if ((byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
        (byte >= 'A' && byte <= 'Z'))
        return true;
    return byte != 0 && strchr(marks, byte) != NULL;
}

void http1_guard_begin(struct http1_guard *g)
{
    g->state = HTTP1_GUARD_START;
}

void http1_guard_begin_trailers(struct http1_guard *g)
{
    g->state = HTTP1_GUARD_FIELD_FIRST;
}

static enum http1_refusal line_feed(struct http1_guard *g, uint8_t byte,
                                    enum http1_guard_state then)
{
    if (byte != '\n')
        return HTTP1_LINE_END;
    g->state = then;
    return HTTP1_NOT_REFUSED;
}

static enum http1_refusal line_byte(struct http1_guard *g, uint8_t byte)
{
    if (byte == '\r') {
        g->state = HTTP1_GUARD_LINE_LF;
        return HTTP1_NOT_REFUSED;
    }
    g->state = HTTP1_GUARD_LINE;
    if (byte == '\n')
        return HTTP1_LINE_END;
    return byte >= 0x20 && byte < 0x7f ? HTTP1_NOT_REFUSED : HTTP1_CHARACTER;
}

static enum http1_refusal field_first(struct http1_guard *g, uint8_t byte)
{
    if (byte == '\r') {
        g->state = HTTP1_GUARD_END_LF;
        return HTTP1_NOT_REFUSED;
    }
    if (byte == '\n')
        return HTTP1_LINE_END;
    if ((byte == ' ' || byte == '\t') && g->state == HTTP1_GUARD_FIELD)
        return HTTP1_FOLD;
    if (!is_token(byte))
        return HTTP1_FIELD_NAME;
    g->state = HTTP1_GUARD_NAME;
    return HTTP1_NOT_REFUSED;
}

static enum http1_refusal name_byte(struct http1_guard *g, uint8_t byte)
{
    if (byte == ':')
        g->state = HTTP1_GUARD_VALUE;
    else if (!is_token(byte))
        return HTTP1_FIELD_NAME;
    return HTTP1_NOT_REFUSED;
}

static enum http1_refusal value_byte(struct http1_guard *g, uint8_t byte)
{
    if (byte == '\r') {
        g->state = HTTP1_GUARD_VALUE_LF;
        return HTTP1_NOT_REFUSED;
    }
    if (byte == '\n')
        return HTTP1_LINE_END;
    return byte == '\t' || (byte >= 0x20 && byte != 0x7f) ? HTTP1_NOT_REFUSED : HTTP1_CHARACTER;
}

enum http1_refusal http1_guard_byte(struct http1_guard *g, uint8_t byte)
{
    CHECK(g->state != HTTP1_GUARD_ENDED);
    switch (g->state) {
    case HTTP1_GUARD_START:
        if (byte != '\r')
            return line_byte(g, byte);
        g->state = HTTP1_GUARD_START_LF;
        return HTTP1_NOT_REFUSED;
    case HTTP1_GUARD_START_LF:
        return line_feed(g, byte, HTTP1_GUARD_LINE_FIRST);
    case HTTP1_GUARD_LINE_FIRST:
        return byte == '\r' ? HTTP1_REQUEST_LINE : line_byte(g, byte);
    case HTTP1_GUARD_LINE:
        return line_byte(g, byte);
    case HTTP1_GUARD_LINE_LF:
        return line_feed(g, byte, HTTP1_GUARD_FIELD_FIRST);
    case HTTP1_GUARD_FIELD_FIRST:
    case HTTP1_GUARD_FIELD:
        return field_first(g, byte);
    case HTTP1_GUARD_NAME:
        return name_byte(g, byte);
    case HTTP1_GUARD_VALUE:
        return value_byte(g, byte);
    case HTTP1_GUARD_VALUE_LF:
        return line_feed(g, byte, HTTP1_GUARD_FIELD);
    case HTTP1_GUARD_END_LF:
        return line_feed(g, byte, HTTP1_GUARD_ENDED);
    case HTTP1_GUARD_ENDED:
        break;
    }
    return HTTP1_PARSER;
}
