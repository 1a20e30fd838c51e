/* SPDX-License-Identifier: Apache-2.0
 * options_place: see options_place.h. */
#include "common/run/options_place.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

static yaml_node_t *child_by_key(yaml_document_t *document, const yaml_node_t *node,
                                 const char *key, size_t length)
{
    if (node->type != YAML_MAPPING_NODE)
        return NULL;
    const yaml_node_pair_t *end = node->data.mapping.pairs.top;
    for (const yaml_node_pair_t *p = node->data.mapping.pairs.start; p < end; p++) {
        const yaml_node_t *name = yaml_document_get_node(document, p->key);
        if (name->type == YAML_SCALAR_NODE && name->data.scalar.length == length &&
            memcmp(name->data.scalar.value, key, length) == 0)
            return yaml_document_get_node(document, p->value);
    }
    return NULL;
}

static yaml_node_t *child_by_index(yaml_document_t *document, const yaml_node_t *node, size_t index)
{
    if (node->type != YAML_SEQUENCE_NODE)
        return NULL;
    const yaml_node_item_t *start = node->data.sequence.items.start;
    if (index >= (size_t)(node->data.sequence.items.top - start))
        return NULL;
    return yaml_document_get_node(document, start[index]);
}

/* The mark of the deepest node on the path that exists. */
static yaml_mark_t mark_of(yaml_document_t *document, const char *path)
{
    const yaml_node_t *node = yaml_document_get_root_node(document);
    yaml_mark_t mark = {0};

    while (node != NULL) {
        mark = node->start_mark;
        path += *path == '.' ? 1 : 0;
        if (*path == '\0')
            break;
        if (*path == '[') {
            char *end;
            size_t index = strtoul(path + 1, &end, 10);
            node = child_by_index(document, node, index);
            path = *end == ']' ? end + 1 : end;
        } else {
            size_t length = strcspn(path, ".[");
            node = child_by_key(document, node, path, length);
            path += length;
        }
    }
    return mark;
}

static yaml_mark_t mark_in_file(const char *file, const char *path)
{
    yaml_mark_t mark = {0};
    yaml_parser_t parser;
    yaml_document_t document;
    FILE *input = fopen(file, "re");

    if (input == NULL)
        return mark;
    CHECK(yaml_parser_initialize(&parser) == 1);
    yaml_parser_set_input_file(&parser, input);
    if (yaml_parser_load(&parser, &document) == 1) {
        mark = mark_of(&document, path);
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    (void)fclose(input);
    return mark;
}

enum err options_wrong(const char *file, const char *path, char **out_error, const char *format,
                       ...)
{
    char words[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(words, sizeof(words), format, arguments);
    va_end(arguments);

    yaml_mark_t mark = mark_in_file(file, path);
    int length = asprintf(out_error, "%s:%zu:%zu: %s: %s", file, mark.line + 1, mark.column + 1,
                          path, words);
    CHECK(length > 0);
    return ERR_CONFIG;
}
