/* SPDX-License-Identifier: Apache-2.0
 * options_check: holds a YAML text against a libcyaml schema, strictly.
 * Audience: see options_check.h. */
#include "common/run/options_check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#define DEPTH_MAX      16
#define PATH_MAX_BYTES 512

struct walk {
    yaml_document_t *document;
    bool *seen; /* by node: a second visit is an alias */
    char path[PATH_MAX_BYTES];
    unsigned depth;
    char **error;
};

static bool check_node(struct walk *w, const cyaml_schema_value_t *schema, int id);

PRINTF_LIKE(3, 4)
static bool wrong(struct walk *w, const yaml_mark_t *at, const char *format, ...)
{
    char said[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(said, sizeof(said), format, arguments);
    va_end(arguments);
    char *text = NULL;
    int length = asprintf(&text, "%zu:%zu: %s%s%s", at->line + 1, at->column + 1, w->path,
                          w->path[0] == '\0' ? "" : ": ", said);
    CHECK(length > 0);
    *w->error = text;
    return false;
}

static const char *text_of(const yaml_node_t *node)
{
    return (const char *)node->data.scalar.value;
}

/* For error texts: at most 64 visible characters of what was written. */
static const char *shown(const yaml_node_t *node, char out[72])
{
    size_t length = 0;
    for (const char *at = text_of(node); *at != '\0' && length < 64; at++)
        out[length++] = *at >= ' ' && *at < 0x7f ? *at : '?';
    out[length] = '\0';
    if (strlen(text_of(node)) > length)
        (void)snprintf(out + length, 72 - length, "...");
    return out;
}

static bool is_plain(const yaml_node_t *node)
{
    return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static uint64_t unsigned_max(uint32_t bytes)
{
    return bytes >= 8 ? UINT64_MAX : ((uint64_t)1 << (bytes * 8)) - 1;
}

static bool check_number(struct walk *w, const cyaml_schema_value_t *schema,
                         const yaml_node_t *node)
{
    const bool is_signed = schema->type == CYAML_INT;
    const uint64_t max =
        is_signed ? unsigned_max(schema->data_size) / 2 : unsigned_max(schema->data_size);
    const char *digits = text_of(node);
    const bool negative = is_signed && digits[0] == '-';
    digits += negative ? 1 : 0;
    char said[72];
    const size_t length = strspn(digits, "0123456789");
    if (!is_plain(node) || length == 0 || digits[length] != '\0')
        return wrong(w, &node->start_mark, "expected a %snumber, found '%s'",
                     is_signed ? "" : "non-negative whole ", shown(node, said));
    if (length > 1 && digits[0] == '0')
        return wrong(w, &node->start_mark, "a number may not start with 0: '%s'",
                     shown(node, said));
    errno = 0;
    const unsigned long long value = strtoull(digits, NULL, 10);
    if (errno != 0 || value > max + (negative ? 1 : 0))
        return wrong(w, &node->start_mark, "number out of range: '%s', at most %llu",
                     shown(node, said), (unsigned long long)max);
    return true;
}

static bool check_bool(struct walk *w, const yaml_node_t *node)
{
    static const char *const words[] = {"true", "false", "yes", "no", "on", "off"};
    for (size_t i = 0; i < countof(words); i++)
        if (is_plain(node) && strcmp(text_of(node), words[i]) == 0)
            return true;
    char said[72];
    return wrong(w, &node->start_mark, "expected true or false, found '%s'", shown(node, said));
}

static bool check_enum(struct walk *w, const cyaml_schema_value_t *schema, const yaml_node_t *node)
{
    char known[256] = "";
    size_t length = 0;
    for (uint32_t i = 0; i < schema->enumeration.count; i++) {
        const char *word = schema->enumeration.strings[i].str;
        if (strcmp(text_of(node), word) == 0)
            return true;
        if (length < sizeof(known))
            length += (size_t)snprintf(known + length, sizeof(known) - length, "%s%s",
                                       i == 0 ? "" : ", ", word);
    }
    char said[72];
    return wrong(w, &node->start_mark, "expected one of %s, found '%s'", known, shown(node, said));
}

static bool check_string(struct walk *w, const cyaml_schema_value_t *schema,
                         const yaml_node_t *node)
{
    const size_t length = node->data.scalar.length;
    if (strlen(text_of(node)) != length)
        return wrong(w, &node->start_mark, "a NUL character inside the text");
    if (length == 0 && schema->string.min > 0)
        return wrong(w, &node->start_mark, "is empty");
    if (length < schema->string.min)
        return wrong(w, &node->start_mark, "too short: %zu bytes, at least %u", length,
                     schema->string.min);
    if (length > schema->string.max)
        return wrong(w, &node->start_mark, "too long: %zu bytes, at most %u", length,
                     schema->string.max);
    return true;
}

static const cyaml_schema_field_t *field_of(const cyaml_schema_value_t *schema, const char *key)
{
    for (const cyaml_schema_field_t *f = schema->mapping.fields; f->key != NULL; f++)
        if (strcmp(f->key, key) == 0)
            return f;
    return NULL;
}

/* The node of a key in a mapping before `end`, or NULL. */
static const yaml_node_t *earlier_key(struct walk *w, const yaml_node_t *mapping,
                                      const yaml_node_pair_t *end, const char *key)
{
    for (const yaml_node_pair_t *p = mapping->data.mapping.pairs.start; p < end; p++) {
        const yaml_node_t *node = yaml_document_get_node(w->document, p->key);
        if (node->type == YAML_SCALAR_NODE && strcmp(text_of(node), key) == 0)
            return node;
    }
    return NULL;
}

static bool check_pair(struct walk *w, const cyaml_schema_value_t *schema,
                       const yaml_node_t *mapping, const yaml_node_pair_t *pair)
{
    const yaml_node_t *key = yaml_document_get_node(w->document, pair->key);
    if (key->type != YAML_SCALAR_NODE)
        return wrong(w, &key->start_mark, "a key must be a word");
    char said[72];
    (void)shown(key, said);
    const cyaml_schema_field_t *field = field_of(schema, text_of(key));
    if (field == NULL || strlen(text_of(key)) != key->data.scalar.length)
        return wrong(w, &key->start_mark, "unknown key '%s'", said);
    const yaml_node_t *first = earlier_key(w, mapping, pair, field->key);
    if (first != NULL)
        return wrong(w, &key->start_mark, "key '%s' is already given in line %zu", said,
                     first->start_mark.line + 1);
    const size_t length = strlen(w->path);
    (void)snprintf(w->path + length, sizeof(w->path) - length, "%s%s", length == 0 ? "" : ".",
                   field->key);
    const bool right = check_node(w, &field->value, pair->value);
    w->path[length] = '\0';
    return right;
}

static bool check_mapping(struct walk *w, const cyaml_schema_value_t *schema,
                          const yaml_node_t *node)
{
    const yaml_node_pair_t *end = node->data.mapping.pairs.top;
    for (const yaml_node_pair_t *p = node->data.mapping.pairs.start; p < end; p++)
        if (!check_pair(w, schema, node, p))
            return false;
    for (const cyaml_schema_field_t *f = schema->mapping.fields; f->key != NULL; f++)
        if ((f->value.flags & CYAML_FLAG_OPTIONAL) == 0 &&
            earlier_key(w, node, end, f->key) == NULL)
            return wrong(w, &node->start_mark, "required key '%s' is missing", f->key);
    return true;
}

static bool check_sequence(struct walk *w, const cyaml_schema_value_t *schema,
                           const yaml_node_t *node)
{
    const yaml_node_item_t *start = node->data.sequence.items.start;
    const size_t count = (size_t)(node->data.sequence.items.top - start);
    if (count < schema->sequence.min || count > schema->sequence.max)
        return wrong(w, &node->start_mark, "expected %u to %u entries, found %zu",
                     schema->sequence.min, schema->sequence.max, count);
    for (size_t i = 0; i < count; i++) {
        const size_t length = strlen(w->path);
        (void)snprintf(w->path + length, sizeof(w->path) - length, "[%zu]", i);
        const bool right = check_node(w, schema->sequence.entry, start[i]);
        w->path[length] = '\0';
        if (!right)
            return false;
    }
    return true;
}

static bool check_scalar(struct walk *w, const cyaml_schema_value_t *schema,
                         const yaml_node_t *node)
{
    switch (schema->type) {
    case CYAML_INT:
    case CYAML_UINT:
        return check_number(w, schema, node);
    case CYAML_BOOL:
        return check_bool(w, node);
    case CYAML_ENUM:
        return check_enum(w, schema, node);
    case CYAML_STRING:
        return check_string(w, schema, node);
    default:
        return true; /* kinds that no tier uses: left to libcyaml */
    }
}

static bool check_node(struct walk *w, const cyaml_schema_value_t *schema, int id)
{
    const yaml_node_t *node = yaml_document_get_node(w->document, id);
    CHECK(node != NULL);
    if (w->seen[id])
        return wrong(w, &node->start_mark, "aliases are not supported");
    w->seen[id] = true;
    if (w->depth >= DEPTH_MAX)
        return wrong(w, &node->start_mark, "nested too deep");
    const bool mapping = schema->type == CYAML_MAPPING;
    const bool sequence = schema->type == CYAML_SEQUENCE || schema->type == CYAML_SEQUENCE_FIXED;
    const yaml_node_type_t wanted = mapping    ? YAML_MAPPING_NODE
                                    : sequence ? YAML_SEQUENCE_NODE
                                               : YAML_SCALAR_NODE;
    if (node->type != wanted)
        return wrong(w, &node->start_mark, "expected %s",
                     mapping    ? "keys and values"
                     : sequence ? "a list"
                                : "a single value");
    w->depth++;
    const bool right = mapping    ? check_mapping(w, schema, node)
                       : sequence ? check_sequence(w, schema, node)
                                  : check_scalar(w, schema, node);
    w->depth--;
    return right;
}

/* Of a text that libyaml cannot read. A reader's error (bad UTF-8) has an offset instead of a mark.
 */
static bool unreadable(struct walk *w, const yaml_parser_t *parser, struct span text)
{
    yaml_mark_t at = parser->problem_mark;
    if (parser->error == YAML_READER_ERROR) {
        at = (yaml_mark_t){0};
        for (size_t i = 0; i < parser->problem_offset && i < text.length; i++) {
            at.column = text.data[i] == '\n' ? 0 : at.column + 1;
            at.line += text.data[i] == '\n' ? 1 : 0;
        }
    }
    return wrong(
        w, &at, "not YAML: %s%s%s", parser->problem == NULL ? "cannot be read" : parser->problem,
        parser->context == NULL ? "" : " ", parser->context == NULL ? "" : parser->context);
}

static bool check_end(struct walk *w, yaml_parser_t *parser, struct span text)
{
    yaml_document_t second;
    if (yaml_parser_load(parser, &second) == 0)
        return unreadable(w, parser, text);
    const yaml_node_t *root = yaml_document_get_root_node(&second);
    const bool right =
        root == NULL || wrong(w, &root->start_mark, "a second document; only one is read");
    yaml_document_delete(&second);
    return right;
}

bool options_check(const cyaml_schema_value_t *schema, struct span text, char **out_error)
{
    yaml_parser_t parser;
    yaml_document_t document;
    struct walk w = {.document = &document, .error = out_error};
    CHECK(yaml_parser_initialize(&parser) == 1);
    yaml_parser_set_input_string(&parser, text.data, text.length);
    if (yaml_parser_load(&parser, &document) == 0) {
        (void)unreadable(&w, &parser, text);
        yaml_parser_delete(&parser);
        return false;
    }
    const yaml_mark_t start = {0};
    bool right = true;
    if (yaml_document_get_root_node(&document) == NULL) {
        right = wrong(&w, &start, "the file is empty");
    } else {
        const size_t nodes = (size_t)(document.nodes.top - document.nodes.start);
        w.seen = base_zalloc(nodes + 1, sizeof(*w.seen));
        right = check_node(&w, schema, 1) && check_end(&w, &parser, text);
        free(w.seen);
    }
    yaml_document_delete(&document);
    yaml_parser_delete(&parser);
    return right;
}
