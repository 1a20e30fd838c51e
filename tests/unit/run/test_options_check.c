/* SPDX-License-Identifier: Apache-2.0
 * Every mistake in a configuration is named with its line, its column and its key. */
#include "common/run/options_check.h"

#include <criterion/criterion.h>
#include <stdio.h>

struct spool {
    uint64_t bytes;
    uint32_t readers;
    bool sync;
    char name[8];
};

struct config {
    struct spool spool;
    char **urls;
    unsigned urls_count;
    struct spool *more;
    unsigned more_count;
    int8_t offset;
    int level;
};

static const cyaml_strval_t levels[] = {{"low", 1}, {"high", 2}};
static const cyaml_schema_field_t spool_fields[] = {
    CYAML_FIELD_UINT("bytes", CYAML_FLAG_DEFAULT, struct spool, bytes),
    CYAML_FIELD_UINT("readers", CYAML_FLAG_OPTIONAL, struct spool, readers),
    CYAML_FIELD_BOOL("sync", CYAML_FLAG_OPTIONAL, struct spool, sync),
    CYAML_FIELD_STRING("name", CYAML_FLAG_OPTIONAL, struct spool, name, 2), CYAML_FIELD_END};
static const cyaml_schema_value_t url = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 10)};
static const cyaml_schema_value_t spool = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct spool, spool_fields)};
static const cyaml_schema_field_t fields[] = {
    CYAML_FIELD_MAPPING("spool", CYAML_FLAG_DEFAULT, struct config, spool, spool_fields),
    CYAML_FIELD_SEQUENCE("urls", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct config, urls,
                         &url, 1, 2),
    CYAML_FIELD_SEQUENCE("more", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct config, more,
                         &spool, 0, 3),
    CYAML_FIELD_INT("offset", CYAML_FLAG_OPTIONAL, struct config, offset),
    CYAML_FIELD_ENUM("level", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct config, level, levels,
                     2),
    CYAML_FIELD_END};
static const cyaml_schema_value_t schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct config, fields)};

static void expect(const char *text, const char *wanted)
{
    char *error = NULL;
    bool right = options_check(&schema, span_of_text(text), &error);
    if (wanted == NULL) {
        cr_expect(right, "refused '%s': %s", text, error);
    } else {
        cr_expect_not(right, "accepted '%s'", text);
        if (!right)
            cr_expect_str_eq(error, wanted, "'%s'\n  gave   %s\n  wanted %s", text, error, wanted);
    }
    free(error);
}

Test(options_check, right_files_pass)
{
    expect("spool: {bytes: 0}\n", NULL);
    expect("---\n# a word\nspool:\n  bytes: 18446744073709551615\n  readers: 4294967295\n"
           "  sync: no\n  name: \"ab\"\nurls: [a, bb]\nmore:\n  - bytes: 1\n  - {bytes: 2}\n"
           "offset: -128\nlevel: high\n...\n",
           NULL);
    expect("spool: {bytes: 1}\noffset: 127\nmore: []\n", NULL);
}

Test(options_check, keys)
{
    expect("spool:\n  bytes: 5\n  colour: 3\n", "3:3: spool: unknown key 'colour'");
    expect("spool:\n  bytes: 5\nspol: 1\n", "3:1: unknown key 'spol'");
    expect("spool:\n  bytes: 5\n  bytes: 6\n",
           "3:3: spool: key 'bytes' is already given in line 2");
    expect("offset: 1\n", "1:1: required key 'spool' is missing");
    expect("spool: {bytes: 1}\nmore:\n  - bytes: 1\n  - readers: 7\n",
           "4:5: more[1]: required key 'bytes' is missing");
    expect("spool: {bytes: 1}\n[a]: 1\n", "2:1: a key must be a word");
    expect("spool: {bytes: 1}\n\"b\\0c\\e\": 1\n", "2:1: unknown key 'b'");
    expect("spool: {bytes: 1}\n\"offset\\0\": 1\n", "2:1: unknown key 'offset'");
}

Test(options_check, numbers)
{
    const char *const format = "spool:\n  bytes: 5\n  readers: %s\n";
    const char *const rows[][2] = {
        {"-5", "expected a non-negative whole number, found '-5'"},
        {"abc", "expected a non-negative whole number, found 'abc'"},
        {"1.5", "expected a non-negative whole number, found '1.5'"},
        {"\"7\"", "expected a non-negative whole number, found '7'"},
        {"1e3", "expected a non-negative whole number, found '1e3'"},
        {"0x10", "expected a non-negative whole number, found '0x10'"},
        {"", "expected a non-negative whole number, found ''"},
        {"010", "a number may not start with 0: '010'"},
        {"4294967296", "number out of range: '4294967296', at most 4294967295"},
        {"99999999999999999999999", "number out of range: '99999999999999999999999', at most "
                                    "4294967295"},
        {"[1]", "expected a single value"},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        char text[200], wanted[200];
        (void)snprintf(text, sizeof(text), format, rows[i][0]);
        (void)snprintf(wanted, sizeof(wanted), "3:%d: spool.readers: %s",
                       rows[i][0][0] == '\0' ? 11 : 12, rows[i][1]);
        expect(text, wanted);
    }
    expect("spool: {bytes: 1}\noffset: -129\n",
           "2:9: offset: number out of range: '-129', at most 127");
    expect("spool: {bytes: 1}\noffset: 128\n",
           "2:9: offset: number out of range: '128', at most 127");
    expect("spool: {bytes: 1}\noffset: --1\n", "2:9: offset: expected a number, found '--1'");
}

Test(options_check, booleans_names_texts_and_lists)
{
    expect("spool: {bytes: 1, sync: maybe}\n",
           "1:25: spool.sync: expected true or false, found 'maybe'");
    expect("spool: {bytes: 1, sync: \"true\"}\n",
           "1:25: spool.sync: expected true or false, found 'true'");
    expect("spool: {bytes: 1}\nlevel: mid\n", "2:8: level: expected one of low, high, found 'mid'");
    expect("spool: {bytes: 1}\nlevel: 1\n", "2:8: level: expected one of low, high, found '1'");
    expect("spool: {bytes: 1, name: \"\"}\n", "1:25: spool.name: is empty");
    expect("spool: {bytes: 1, name: a}\n", "1:25: spool.name: too short: 1 bytes, at least 2");
    expect("spool: {bytes: 1, name: abcdefgh}\n", "1:25: spool.name: too long: 8 bytes, at most 7");
    expect("spool: {bytes: 1, name: \"a\\0b\"}\n",
           "1:25: spool.name: a NUL character inside the text");
    expect("spool: {bytes: 1}\nurls: []\n", "2:7: urls: expected 1 to 2 entries, found 0");
    expect("spool: {bytes: 1}\nurls: [a, b, c]\n", "2:7: urls: expected 1 to 2 entries, found 3");
    expect("spool: {bytes: 1}\nurls: [a, [b]]\n", "2:11: urls[1]: expected a single value");
    expect("spool: {bytes: 1}\nurls: a\n", "2:7: urls: expected a list");
    expect("spool: 7\n", "1:8: spool: expected keys and values");
}

Test(options_check, what_is_no_single_yaml_document)
{
    expect("", "1:1: the file is empty");
    expect("# only words\n", "1:1: the file is empty");
    expect("- a\n", "1:1: expected keys and values");
    expect("spool: {bytes: 1}\n---\nspool: {bytes: 2}\n",
           "3:1: a second document; only one is read");
    expect("spool:\n\tbytes: 5\n", "2:1: not YAML: found character that cannot start any token "
                                   "while scanning for the next token");
    expect("spool: [x\n", "2:1: not YAML: did not find expected ',' or ']' while parsing a flow "
                          "sequence");
    expect("spool: {bytes: 1}\nurls: [\"\xff\"]\n", "2:9: not YAML: invalid leading UTF-8 octet");
    expect("spool: &a {bytes: 1}\nmore: [*a]\n", "1:8: more[0]: aliases are not supported");
    expect("spool: &a\n  bytes: 1\n  name: *a\n", "1:8: spool.name: aliases are not supported");
}
