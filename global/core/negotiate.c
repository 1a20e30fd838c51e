/* SPDX-License-Identifier: Apache-2.0
 * negotiate: which form and coding of an answer a client takes, and whether it has it already. */
#include "global/core/negotiate.h"

#define QUALITY_MAX 1000 /* q is kept in thousandths */
#define QUALITY_BAD (-1)

static const char *const type_names[NEGOTIATE_TYPES] = {
    [NEGOTIATE_JSON] = "application/json",
    [NEGOTIATE_NDJSON] = "application/x-ndjson",
    [NEGOTIATE_CSV] = "text/csv",
};

static const char *const type_kinds[NEGOTIATE_TYPES] = {
    [NEGOTIATE_JSON] = "application/*",
    [NEGOTIATE_NDJSON] = "application/*",
    [NEGOTIATE_CSV] = "text/*",
};

static const char *const coding_names[NEGOTIATE_CODINGS] = {
    [NEGOTIATE_IDENTITY] = "identity",
    [NEGOTIATE_GZIP] = "gzip",
    [NEGOTIATE_ZSTD] = "zstd",
};

const char *negotiate_type_name(enum negotiate_type type)
{
    CHECK(type < NEGOTIATE_TYPES);
    return type_names[type];
}

const char *negotiate_coding_name(enum negotiate_coding coding)
{
    CHECK(coding < NEGOTIATE_CODINGS);
    return coding_names[coding];
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static struct span trimmed(struct span s)
{
    while (s.length > 0 && is_blank(s.data[0]))
        s = span_of(s.data + 1, s.length - 1);
    while (s.length > 0 && is_blank(s.data[s.length - 1]))
        s.length--;
    return s;
}

/* Takes what stands before the next `mark` outside of quotes. False: nothing is left. */
static bool next_part(struct span *rest, uint8_t mark, struct span *out)
{
    bool quoted = false;
    size_t at = 0;
    if (rest->length == 0)
        return false;
    while (at < rest->length && (quoted || rest->data[at] != mark)) {
        quoted = quoted != (rest->data[at] == '"');
        at++;
    }
    size_t next = at < rest->length ? at + 1 : at;
    *out = trimmed(span_of(rest->data, at));
    *rest = span_of(rest->data + next, rest->length - next);
    return true;
}

/* Letters of ASCII in either case. */
static bool is_word(struct span s, const char *word)
{
    if (s.length != strlen(word))
        return false;
    for (size_t i = 0; i < s.length; i++) {
        uint8_t c = s.data[i];
        if (c >= 'A' && c <= 'Z')
            c = (uint8_t)(c - 'A' + 'a');
        if (c != (uint8_t)word[i])
            return false;
    }
    return true;
}

/* "0", "0.5", "1.000": RFC 9110, 12.4.2. */
static int quality_of(struct span text)
{
    static const int units[] = {QUALITY_MAX, 0, 100, 10, 1};
    int quality = 0;
    if (text.length == 0 || text.length > countof(units))
        return QUALITY_BAD;
    for (size_t i = 0; i < text.length; i++) {
        uint8_t c = text.data[i];
        if (i == 1 ? c != '.' : c < '0' || c > (i == 0 ? '1' : '9'))
            return QUALITY_BAD;
        quality += i == 1 ? 0 : units[i] * (c - '0');
    }
    return quality <= QUALITY_MAX ? quality : QUALITY_BAD;
}

/* One element of a list: what stands before its parameters, and its quality. */
static int read_element(struct span element, struct span *out_name)
{
    int quality = QUALITY_MAX;
    struct span part;
    *out_name = (struct span){0};
    (void)next_part(&element, ';', out_name);
    while (next_part(&element, ';', &part)) {
        struct span name;
        struct span value = part;
        if (!next_part(&value, '=', &name))
            continue; /* "a;;b" */
        if (is_word(name, "q"))
            quality = quality_of(value);
        else if (!is_word(name, "charset") ||
                 (!is_word(value, "utf-8") && !is_word(value, "\"utf-8\"")))
            return QUALITY_BAD;
        if (quality == QUALITY_BAD)
            return QUALITY_BAD;
    }
    return quality;
}

/* How exactly a media range means the type; 0: not at all. */
static unsigned meant(struct span range, enum negotiate_type type)
{
    if (is_word(range, type_names[type]))
        return 3;
    if (is_word(range, type_kinds[type]))
        return 2;
    return is_word(range, "*/*") ? 1 : 0;
}

bool negotiate_accept(struct span accept, unsigned offered, enum negotiate_type *out)
{
    int best = 0;
    bool any = false;
    for (enum negotiate_type type = 0; type < NEGOTIATE_TYPES; type++) {
        struct span rest = accept;
        struct span element;
        struct span range;
        unsigned exact = 0;
        int quality = 0;
        while (next_part(&rest, ',', &element)) {
            any = any || element.length > 0;
            int said = read_element(element, &range);
            unsigned how = meant(range, type);
            if (said == QUALITY_BAD || how == 0 || how < exact)
                continue;
            quality = how > exact || said > quality ? said : quality;
            exact = how;
        }
        if ((offered & NEGOTIATE_OFFER(type)) != 0 && quality > best) {
            best = quality;
            *out = type;
        }
    }
    if (any)
        return best > 0;
    *out = 0;
    while ((offered & NEGOTIATE_OFFER(*out)) == 0)
        ++*out;
    return true;
}

bool negotiate_encoding(struct span accept_encoding, bool present, bool small,
                        enum negotiate_coding *out)
{
    int said[NEGOTIATE_CODINGS] = {QUALITY_BAD, QUALITY_BAD, QUALITY_BAD};
    int other = QUALITY_BAD;
    struct span element;
    struct span name;
    while (present && next_part(&accept_encoding, ',', &element)) {
        int quality = read_element(element, &name);
        for (enum negotiate_coding c = 0; c < NEGOTIATE_CODINGS; c++)
            if (is_word(name, coding_names[c]) && said[c] == QUALITY_BAD)
                said[c] = quality;
        if (is_word(name, "*"))
            other = quality;
    }
    bool refused =
        said[NEGOTIATE_IDENTITY] == 0 || (said[NEGOTIATE_IDENTITY] == QUALITY_BAD && other == 0);
    enum negotiate_coding best = NEGOTIATE_IDENTITY;
    int quality = said[NEGOTIATE_IDENTITY];
    for (enum negotiate_coding c = NEGOTIATE_GZIP; c < NEGOTIATE_CODINGS; c++) {
        int wanted = said[c] == QUALITY_BAD && refused ? other : said[c];
        if (wanted > 0 && wanted >= quality && (refused || !small)) {
            best = c;
            quality = wanted;
        }
    }
    if (refused && best == NEGOTIATE_IDENTITY)
        return false;
    *out = best;
    return true;
}

bool negotiate_has_tag(struct span if_none_match, struct span quoted_tag)
{
    struct span tag;
    while (next_part(&if_none_match, ',', &tag)) {
        if (tag.length > 2 && memcmp(tag.data, "W/", 2) == 0)
            tag = span_of(tag.data + 2, tag.length - 2);
        if (span_equal(tag, quoted_tag) || is_word(tag, "*"))
            return true;
    }
    return false;
}
