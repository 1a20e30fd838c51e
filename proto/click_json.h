/* SPDX-License-Identifier: Apache-2.0
 * click_json: the scanner of request bodies: one object, an array, or NDJSON.
 * Audience: edge, tests. Pure. One thread at a time per scanner.
 *
 * Strict RFC 8259 and UTF-8 (RFC 3629): no leading zeros, no lone surrogates, no raw control
 * characters, no comments, no BOM; a duplicate key in a click object is an error; an unknown key is
 * skipped (but must itself be well-formed). Depth at most LIMIT_JSON_DEPTH.
 *
 * A click that is well-formed JSON but not a valid click (wrong type, missing field, over-long)
 * refuses itself alone; text that is not JSON ends the scan, because what follows cannot be found:
 * for an object or an array the whole body is refused, for NDJSON only that line (each line stands
 * alone). Text nested too deep or not UTF-8 ends the scan like text that is not JSON. Duplicates
 * are looked for among the keys of the click itself, after unescaping: known keys exactly, unknown
 * ones among the first 16 of a click. Fields: ids (home, too) have 1 to LIMIT_ID_BYTES bytes and no
 * control characters; the first fault of a click is told. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/base/limits.h"

enum click_json_format {
    CLICK_JSON_DOCUMENT, /* application/json: an object or an array, one JSON text */
    CLICK_JSON_BEACON,   /* text/plain: a document, or NDJSON: a second object after the first on a
                            new line switches over */
    CLICK_JSON_LINES, /* application/x-ndjson: one object a line; blank lines are skipped and have
                         no index; a body without any line holds no click and is no fault */
};

/* What a field held where a value of another kind was due. */
enum click_json_kind {
    CLICK_JSON_MISSING,
    CLICK_JSON_NULL,
    CLICK_JSON_BOOLEAN,
    CLICK_JSON_NUMBER,
    CLICK_JSON_STRING,
    CLICK_JSON_ARRAY,
    CLICK_JSON_OBJECT,
};

/* Why one click, or the whole body, is refused. Order follows the words table in click_json.c. */
enum click_json_fault {
    CLICK_JSON_OK,
    CLICK_JSON_SYNTAX,     /* not RFC 8259 */
    CLICK_JSON_UTF8,       /* not UTF-8, or a lone surrogate escape */
    CLICK_JSON_DEPTH,      /* nested deeper than LIMIT_JSON_DEPTH */
    CLICK_JSON_NOT_OBJECT, /* an array element or line that is no object (`kind` tells); of a body:
                              a document that is a scalar */
    CLICK_JSON_DUPLICATE_KEY,
    CLICK_JSON_WRONG_KIND, /* field holds `kind`, another was due */
    CLICK_JSON_FIELD_MISSING,
    CLICK_JSON_FIELD_EMPTY,
    CLICK_JSON_FIELD_LONG,
    CLICK_JSON_NOT_INTEGER, /* timestamp fractional or with exponent, or negative zero */
    CLICK_JSON_NEGATIVE,
    CLICK_JSON_TOO_LARGE,  /* timestamp beyond LIMIT_TIMESTAMP_MS_MAX */
    CLICK_JSON_CLICK_LONG, /* more than LIMIT_CLICK_BYTES of text */
    CLICK_JSON_CONTROL,    /* NUL or other control character inside an id */
    CLICK_JSON_FAULTS
};

/* One scanned click. Spans are unescaped text, borrowed from the scanner's arena or the body; valid
 * until click_json_free. An absent optional field has data == NULL (an empty string that was sent
 * has length 0 and data != NULL; null counts as absent). Where fault is not CLICK_JSON_OK, no field
 * is given. */
struct click_json_click {
    enum click_json_fault fault;
    const char *field;         /* static: the field at fault, NULL where none */
    enum click_json_kind kind; /* for WRONG_KIND and NOT_OBJECT: what it held */
    size_t offset;             /* byte offset in the body of the fault (or of the click's start) */
    uint32_t index;            /* position in the batch, from 0 */
    uint64_t timestamp;        /* as sent: seconds or milliseconds */
    struct span ad_id, user_id, ip_address, user_agent, click_id, home;
};

struct click_json;

/* Begins on a whole body, which must outlive the scanner. */
struct click_json *click_json_new(struct span body, enum click_json_format format);
void click_json_free(struct click_json *s);

/* Next click, in order. Returns true and fills *out (which may carry a fault of its own), or false
 * at the end or where the body as a whole cannot be read further: then click_json_body_fault tells
 * and *out means nothing.
 * Cost: one pass over the text; allocation only where a string holds escapes. */
bool click_json_next(struct click_json *s, struct click_json_click *out);

/* After next returned false: CLICK_JSON_OK, or why the body could not be read (with offset).
 * For a document, one syntax fault refuses the whole body, also the clicks already handed out. */
enum click_json_fault click_json_body_fault(const struct click_json *s, size_t *out_offset);

/* Words for people, e.g. "must be a string"; never NULL. */
const char *click_json_fault_words(enum click_json_fault fault);
/* A stable token for programs, e.g. "wrong_kind". */
const char *click_json_fault_token(enum click_json_fault fault);
const char *click_json_kind_name(enum click_json_kind kind);
