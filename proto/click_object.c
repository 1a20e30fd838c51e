/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/click_object.h"

#include "proto/json_scan.h"

#include <stdlib.h>
#include <string.h>

#define UNKNOWN_KEYS 16 /* unknown keys of one click that are watched for duplicates */
#define CHUNK_BYTES  4096

enum rule { RULE_ID, RULE_TEXT, RULE_TIME };

enum field {
    FIELD_AD_ID,
    FIELD_USER_ID,
    FIELD_TIMESTAMP,
    FIELD_IP_ADDRESS,
    FIELD_USER_AGENT,
    FIELD_CLICK_ID,
    FIELD_HOME,
    FIELDS,
    FIELD_UNKNOWN = FIELDS
};

/* One row a field: everything the scanner knows of it. */
static const struct field_row {
    const char *name;
    enum rule rule;
    bool required;
    size_t bytes_max;
    size_t member; /* where its span lies in struct click_json_click */
} field_rows[FIELDS] = {
#define SPAN_AT(member) offsetof(struct click_json_click, member)
    {"ad_id", RULE_ID, true, LIMIT_ID_BYTES, SPAN_AT(ad_id)},
    {"user_id", RULE_ID, true, LIMIT_ID_BYTES, SPAN_AT(user_id)},
    {"timestamp", RULE_TIME, true, 0, 0},
    {"ip_address", RULE_TEXT, false, LIMIT_IP_TEXT_BYTES, SPAN_AT(ip_address)},
    {"user_agent", RULE_TEXT, false, LIMIT_USER_AGENT_BYTES, SPAN_AT(user_agent)},
    {"click_id", RULE_ID, false, LIMIT_ID_BYTES, SPAN_AT(click_id)},
    {"home", RULE_ID, false, LIMIT_ID_BYTES, SPAN_AT(home)},
#undef SPAN_AT
};

/* Unescaped text; freed in one go. */
struct click_object_chunk {
    struct click_object_chunk *next;
    size_t used, capacity;
    uint8_t data[];
};

/* One click object on its way: the cursor, and which keys it has shown so far. */
struct click_object {
    struct json_text *text;
    struct click_object_arena *arena;
    uint32_t fields; /* bit: enum field */
    uint32_t unknown_count;
    struct span unknown[UNKNOWN_KEYS];
};

void click_object_arena_done(struct click_object_arena *arena)
{
    for (struct click_object_chunk *c = arena->newest, *next; c != NULL; c = next) {
        next = c->next;
        free(c);
    }
    arena->newest = NULL;
}

enum click_json_kind click_object_kind(enum json_text_kind kind)
{
    switch (kind) {
    case JSON_TEXT_NULL:
        return CLICK_JSON_NULL;
    case JSON_TEXT_BOOLEAN:
        return CLICK_JSON_BOOLEAN;
    case JSON_TEXT_NUMBER:
        return CLICK_JSON_NUMBER;
    case JSON_TEXT_STRING:
        return CLICK_JSON_STRING;
    case JSON_TEXT_ARRAY:
        return CLICK_JSON_ARRAY;
    case JSON_TEXT_OBJECT:
        return CLICK_JSON_OBJECT;
    case JSON_TEXT_NONE:
        break;
    }
    return CLICK_JSON_MISSING;
}

static size_t offset_of(const struct click_object *s, const uint8_t *at)
{
    return (size_t)(at - s->text->begin);
}

/* The text that a scanned string stands for: the body itself, or the arena where it holds escapes.
 */
static struct span text_of(struct click_object *s, const struct json_text_string *string)
{
    if (!string->escaped)
        return string->raw;
    struct click_object_chunk *c = s->arena->newest;
    if (c == NULL || c->capacity - c->used < string->raw.length) {
        size_t capacity = string->raw.length > CHUNK_BYTES ? string->raw.length : CHUNK_BYTES;
        c = base_alloc(sizeof(*c) + capacity);
        *c = (struct click_object_chunk){.next = s->arena->newest, .used = 0, .capacity = capacity};
        s->arena->newest = c;
    }
    uint8_t *at = c->data + c->used;
    size_t length = json_text_unescape(string->raw, at);
    c->used += length;
    return (struct span){at, length};
}

/* The first fault of a click is the one that is told. */
static void refuse(struct click_json_click *out, enum click_json_fault fault, const char *field,
                   size_t offset)
{
    if (out->fault != CLICK_JSON_OK)
        return;
    out->fault = fault;
    out->field = field;
    out->offset = offset;
}

/* The length of a name tells which fields it can be: one look instead of seven. */
static enum field field_named(struct span name)
{
#define IS(text) (memcmp(name.data, text, sizeof(text) - 1) == 0)
    switch (name.length) {
    case sizeof("home") - 1:
        return IS("home") ? FIELD_HOME : FIELD_UNKNOWN;
    case sizeof("ad_id") - 1:
        return IS("ad_id") ? FIELD_AD_ID : FIELD_UNKNOWN;
    case sizeof("user_id") - 1:
        return IS("user_id") ? FIELD_USER_ID : FIELD_UNKNOWN;
    case sizeof("click_id") - 1:
        return IS("click_id") ? FIELD_CLICK_ID : FIELD_UNKNOWN;
    case sizeof("timestamp") - 1:
        return IS("timestamp") ? FIELD_TIMESTAMP : FIELD_UNKNOWN;
    case sizeof("ip_address") - 1: /* user_agent is as long */
        return IS("ip_address")   ? FIELD_IP_ADDRESS
               : IS("user_agent") ? FIELD_USER_AGENT
                                  : FIELD_UNKNOWN;
    default:
        return FIELD_UNKNOWN;
    }
#undef IS
}

/* Has this click shown the key before? Known keys are watched exactly, unknown ones up to
 * UNKNOWN_KEYS. */
static bool seen_before(struct click_object *s, enum field field, struct span name)
{
    if (field != FIELD_UNKNOWN) {
        bool before = (s->fields >> field & 1) != 0;
        s->fields |= 1u << field;
        return before;
    }
    for (uint32_t i = 0; i < s->unknown_count; i++)
        if (span_equal(s->unknown[i], name))
            return true;
    if (s->unknown_count < UNKNOWN_KEYS)
        s->unknown[s->unknown_count++] = name;
    return false;
}

static struct span *member_of(struct click_json_click *click, const struct field_row *row)
{
    return (struct span *)(void *)((char *)click + row->member);
}

static bool scan_text(struct click_object *s, const struct field_row *row, size_t offset,
                      struct click_json_click *out)
{
    struct json_text_string string = {0};
    if (!json_text_string(s->text, &string))
        return false;
    struct span text = text_of(s, &string);
    if (text.length > row->bytes_max)
        refuse(out, CLICK_JSON_FIELD_LONG, row->name, offset);
    else if (row->rule == RULE_ID && text.length == 0)
        refuse(out, CLICK_JSON_FIELD_EMPTY, row->name, offset);
    else if (row->rule == RULE_ID && json_scan_has_control(text))
        refuse(out, CLICK_JSON_CONTROL, row->name, offset);
    else
        *member_of(out, row) = text;
    return true;
}

static bool scan_time(struct click_object *s, const struct field_row *row, size_t offset,
                      struct click_json_click *out)
{
    struct json_text_number number;
    if (!json_text_number(s->text, &number))
        return false;
    if (!number.integer || (number.negative && number.value == 0))
        refuse(out, CLICK_JSON_NOT_INTEGER, row->name, offset);
    else if (number.negative)
        refuse(out, CLICK_JSON_NEGATIVE, row->name, offset);
    else if (number.value > LIMIT_TIMESTAMP_MS_MAX)
        refuse(out, CLICK_JSON_TOO_LARGE, row->name, offset);
    else
        out->timestamp = number.value;
    return true;
}

/* The value of a known field, at the cursor. */
static bool scan_field(struct click_object *s, const struct field_row *row, unsigned open,
                       struct click_json_click *out)
{
    enum json_text_kind kind = json_text_kind(s->text);
    size_t offset = offset_of(s, s->text->at);
    if (row->rule == RULE_TIME && kind == JSON_TEXT_NUMBER)
        return scan_time(s, row, offset, out);
    if (row->rule != RULE_TIME && kind == JSON_TEXT_STRING)
        return scan_text(s, row, offset, out);
    if (!json_text_skip(s->text, open))
        return false;
    if (kind == JSON_TEXT_NULL && !row->required)
        return true; /* as if it had not been sent */
    if (out->fault == CLICK_JSON_OK)
        out->kind = click_object_kind(kind);
    refuse(out, CLICK_JSON_WRONG_KIND, row->name, offset);
    return true;
}

static bool scan_member(struct click_object *s, unsigned open, struct click_json_click *out)
{
    struct json_text_string key = {0};
    size_t offset = offset_of(s, s->text->at);
    if (!json_text_key(s->text, &key))
        return false;
    struct span name = text_of(s, &key);
    enum field field = field_named(name);
    if (seen_before(s, field, name)) {
        refuse(out, CLICK_JSON_DUPLICATE_KEY, field < FIELDS ? field_rows[field].name : NULL,
               offset);
        return json_text_skip(s->text, open);
    }
    return field < FIELDS ? scan_field(s, &field_rows[field], open, out)
                          : json_text_skip(s->text, open);
}

/* Nobody shall use half a click. */
static void forget_values(struct click_json_click *out)
{
    out->timestamp = 0;
    for (unsigned i = 0; i < FIELDS; i++)
        if (field_rows[i].rule != RULE_TIME)
            *member_of(out, &field_rows[i]) = (struct span){0};
}

/* One click object at the cursor. False: the text itself is at fault. */
bool click_object_scan(struct json_text *t, struct click_object_arena *arena, unsigned open,
                       struct click_json_click *out)
{
    struct click_object object, *s = &object;
    s->text = t;
    s->arena = arena;
    s->fields = 0;
    s->unknown_count = 0; /* the keys themselves need no clearing: that costs as much as a field */
    const uint8_t *begin = t->at;
    if (!json_text_enter(t, open))
        return false;
    enum json_text_step step;
    for (bool first = true; (step = json_text_item(t, '}', first)) == JSON_TEXT_STEP_ITEM;
         first = false)
        if (!scan_member(s, open + 1, out))
            return false;
    if (step == JSON_TEXT_STEP_FAULT)
        return false;
    for (unsigned i = 0; i < FIELDS; i++)
        if (field_rows[i].required && (s->fields >> i & 1) == 0)
            refuse(out, CLICK_JSON_FIELD_MISSING, field_rows[i].name, offset_of(s, begin));
    if (t->at - begin > LIMIT_CLICK_BYTES)
        refuse(out, CLICK_JSON_CLICK_LONG, NULL, offset_of(s, begin));
    if (out->fault != CLICK_JSON_OK)
        forget_values(out);
    return true;
}
