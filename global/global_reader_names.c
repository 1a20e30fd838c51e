/* SPDX-License-Identifier: Apache-2.0
 * global_reader_names: the names that an asker may see, in their order, by looking at no others:
 * what it costs tells nothing of them. */
#include "global/global_reader_inside.h"

#include "common/base/hash.h"

static bool begins_with(struct span text, struct span prefix)
{
    return text.length >= prefix.length &&
           (prefix.length == 0 || memcmp(text.data, prefix.data, prefix.length) == 0);
}

/* As the store sorts keys. */
static bool is_after(struct span a, struct span b)
{
    size_t both = base_min_u64(a.length, b.length);
    int order = both == 0 ? 0 : memcmp(a.data, b.data, both);
    return order != 0 ? order > 0 : a.length > b.length;
}

void global_reader_names_begin(struct global_reader_names *n, const struct token *token,
                               struct span prefix, struct span behind)
{
    CHECK(behind.length <= LIMIT_ID_BYTES);
    *n = (struct global_reader_names){.token = token, .prefix = prefix};
    n->has_last = behind.length > 0;
    if (n->has_last)
        memcpy(n->last, behind.data, behind.length);
    n->last_length = behind.length;
}

/* What the rule allows of the prefix: the names that begin with *out, or the one of that name.
 * False: none. */
static bool rule_of(const struct global_reader_names *n, struct span *out, bool *out_exact)
{
    *out = n->prefix;
    *out_exact = false;
    if (n->token == NULL || n->token->all_ads)
        return true;
    const struct token_ad *ad = &n->token->ads[n->rule];
    struct span text = span_of(ad->text, ad->length);
    *out_exact = !ad->prefix;
    if (begins_with(text, n->prefix)) {
        *out = text;
        return true;
    }
    return ad->prefix && begins_with(n->prefix, text);
}

static enum err take(struct global_reader_names *n, struct span name, struct span value)
{
    if (name.length == 0 || name.length > LIMIT_ID_BYTES || value.length != 8)
        return ERR_KV_CORRUPT;
    n->ad_hash = bytes_load_u64(value.data);
    if (hash_ad(name) != n->ad_hash)
        return ERR_KV_CORRUPT;
    memcpy(n->last, name.data, name.length);
    n->last_length = name.length;
    n->has_last = true;
    return ERR_OK;
}

/* The next name of one rule. ERR_NOT_FOUND: it has no more. */
static enum err next_of(struct global_reader *r, struct global_reader_names *n, struct span text,
                        bool exact)
{
    uint8_t from[LIMIT_ID_BYTES + 1] = {0}; /* no name sorts before one zero byte */
    size_t length = base_max_u64(text.length, 1);
    struct span last = span_of(n->last, n->last_length);
    struct span key;
    struct span value;
    bool begun = n->has_last && !is_after(text, last);
    if (exact) {
        if (begun)
            return ERR_NOT_FOUND;
        if (kv_get(r->txn, LEAF_TABLE_BY_NAME, text, &value))
            return take(n, text, value);
        /* Not another ad's of that hash. */
        struct leaf_key hash = leaf_key_name(hash_ad(text));
        if (!n->nameless || kv_get(r->txn, LEAF_TABLE_NAME, leaf_key_span(&hash), &value))
            return ERR_NOT_FOUND;
        return take(n, text, leaf_key_span(&hash));
    }
    if (text.length > 0)
        memcpy(from, text.data, text.length);
    if (begun) {
        memcpy(from, n->last, n->last_length);
        from[n->last_length] = 0; /* the name behind it */
        length = n->last_length + 1;
    }
    if (!kv_seek(r->txn, LEAF_TABLE_BY_NAME, span_of(from, length), &key, &value) ||
        !begins_with(key, text))
        return ERR_NOT_FOUND;
    return take(n, key, value);
}

enum err global_reader_names_next(struct global_reader *r, struct global_reader_names *n)
{
    bool all = n->token == NULL || n->token->all_ads;
    uint32_t rules = all ? 1 : n->token->ad_count;
    for (; n->rule < rules; n->rule++) {
        struct span text;
        bool exact;
        if (!rule_of(n, &text, &exact))
            continue;
        enum err err = next_of(r, n, text, exact);
        if (err != ERR_NOT_FOUND)
            return err;
    }
    return ERR_NOT_FOUND;
}
