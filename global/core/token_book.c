/* SPDX-License-Identifier: Apache-2.0
 * token_book: who may ask the globe what: bearer tokens, kept as keyed hashes. */
#include "global/core/token_book.h"

#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>

#define FIELDS 7

static const struct {
    enum token_scope scope;
    const char *name;
} scope_names[] = {{TOKEN_STATS_READ, "stats:read"}, {TOKEN_ADMIN, "admin"}};

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool hex_read(struct span text, uint8_t *out, size_t length)
{
    if (text.length != 2 * length)
        return false;
    for (size_t i = 0; i < length; i++) {
        int high = hex_value(text.data[2 * i]);
        int low = hex_value(text.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}

static void hex_put(char *out, const uint8_t *data, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < length; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 15];
    }
}

static bool number_read(struct span text, uint64_t most, uint64_t *out)
{
    uint64_t value = 0;
    if (text.length == 0 || text.length > 18)
        return false;
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text.data[i] - '0');
    }
    *out = value;
    return value <= most;
}

static void text_put(struct buf *out, const char *text)
{
    buf_put(out, text, strlen(text));
}

/* Cuts what stands before `mark` (or all) off *text; false when nothing is left to cut. */
static bool cut(struct span *text, char mark, struct span *out_part)
{
    if (text->data == NULL)
        return false;
    const uint8_t *end = text->length == 0 ? NULL : memchr(text->data, mark, text->length);
    out_part->data = text->data;
    out_part->length = end == NULL ? text->length : (size_t)(end - text->data);
    *text = end == NULL ? (struct span){NULL, 0}
                        : span_of(end + 1, text->length - out_part->length - 1);
    return true;
}

static bool is_text(struct span s, const char *text)
{
    return span_equal(s, span_of_text(text));
}

bool token_scopes_parse(struct span text, unsigned *out_scopes)
{
    struct span part;
    unsigned scopes = 0;
    while (cut(&text, ',', &part)) {
        size_t i = 0;
        while (i < countof(scope_names) && !is_text(part, scope_names[i].name))
            i++;
        if (i == countof(scope_names))
            return false;
        scopes |= scope_names[i].scope;
    }
    *out_scopes = scopes;
    return scopes != 0;
}

void token_scopes_put(struct buf *out, unsigned scopes)
{
    bool first = true;
    for (size_t i = 0; i < countof(scope_names); i++) {
        if ((scopes & scope_names[i].scope) == 0)
            continue;
        if (!first)
            buf_put_u8(out, ',');
        text_put(out, scope_names[i].name);
        first = false;
    }
}

static bool is_plain(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static int any_hex(uint8_t c)
{
    return hex_value(c >= 'A' && c <= 'F' ? (uint8_t)(c + 32) : c);
}

static bool ad_read(struct span text, struct token_ad *out)
{
    out->prefix = text.length > 0 && text.data[text.length - 1] == '*';
    text.length -= out->prefix;
    size_t used = 0;
    for (size_t i = 0; i < text.length; i++) {
        uint8_t byte = text.data[i];
        if (byte == '%') {
            int high = text.length - i > 2 ? any_hex(text.data[i + 1]) : -1;
            int low = text.length - i > 2 ? any_hex(text.data[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            byte = (uint8_t)(high * 16 + low);
            i += 2;
        } else if (!is_plain(byte)) {
            return false;
        }
        if (used == sizeof(out->text))
            return false;
        out->text[used++] = (char)byte;
    }
    out->length = (uint8_t)used;
    return used > 0; /* a bare '*' among others is a slip, not a wish */
}

void token_done(struct token *token)
{
    free(token->ads);
    token->ads = NULL;
    token->ad_count = 0;
    token->all_ads = false;
}

/* By their bytes; of two with the same a prefix is first. */
static int ad_order(const void *a, const void *b)
{
    const struct token_ad *x = a, *y = b;
    int order = memcmp(x->text, y->text, base_min_u64(x->length, y->length));
    if (order == 0)
        order = x->length - y->length;
    return order == 0 ? y->prefix - x->prefix : order;
}

/* Rules in order, and apart: what another one covers says nothing. */
static void ads_order(struct token *token)
{
    uint32_t kept = 0;
    qsort(token->ads, token->ad_count, sizeof(token->ads[0]), ad_order);
    for (uint32_t i = 0; i < token->ad_count; i++) {
        const struct token_ad *ad = &token->ads[i];
        const struct token_ad *last = kept == 0 ? NULL : &token->ads[kept - 1];
        if (last != NULL && ad->length >= last->length &&
            memcmp(ad->text, last->text, last->length) == 0 &&
            (last->prefix || ad->length == last->length))
            continue;
        token->ads[kept++] = *ad;
    }
    token->ad_count = kept;
}

bool token_ads_parse(struct span text, struct token *token)
{
    struct span part;
    token_done(token);
    if (is_text(text, "-"))
        return true;
    if (is_text(text, "*")) {
        token->all_ads = true;
        return true;
    }
    uint32_t capacity = 1;
    for (size_t i = 0; i < text.length; i++)
        capacity += text.data[i] == ',';
    if (capacity > TOKEN_ADS_MAX)
        return false;
    token->ads = base_zalloc(capacity, sizeof(token->ads[0]));
    while (cut(&text, ',', &part)) {
        if (!ad_read(part, &token->ads[token->ad_count++])) {
            token_done(token);
            return false;
        }
    }
    ads_order(token);
    return true;
}

static bool line_read(struct span line, struct token *out)
{
    struct span fields[FIELDS];
    uint8_t id[TOKEN_ID_BYTES];
    uint64_t rate = 0;
    unsigned count = 0;
    while (count < FIELDS && cut(&line, ' ', &fields[count]))
        count++;
    if (count != FIELDS || line.data != NULL || !is_text(fields[0], "v1") ||
        !hex_read(fields[1], id, sizeof(id)) || !hex_read(fields[2], out->hash, sizeof(out->hash)))
        return false;
    hex_put(out->id, id, sizeof(id));
    if (!token_scopes_parse(fields[3], &out->scopes) ||
        !number_read(fields[5], TOKEN_RATE_MAX, &rate))
        return false;
    out->rate = (uint32_t)rate;
    if (!is_text(fields[4], "never") &&
        (!number_read(fields[4], UINT64_MAX, &out->expires_s) || out->expires_s == 0))
        return false;
    return token_ads_parse(fields[6], out);
}

static int by_id(const void *a, const void *b)
{
    const struct token *left = a;
    const struct token *right = b;
    return strcmp(left->id, right->id);
}

enum err token_book_read(struct token_book *book, struct span text, uint32_t *out_line)
{
    struct span line;
    uint32_t capacity = 0;
    uint32_t number = 0;
    CHECK(book->tokens == NULL && book->count == 0);
    while (cut(&text, '\n', &line)) {
        number++;
        if (line.length == 0 || line.data[0] == '#')
            continue;
        if (book->count == capacity) {
            capacity = capacity == 0 ? 16 : capacity * 2;
            book->tokens = base_realloc(book->tokens, capacity * sizeof(book->tokens[0]));
        }
        struct token *token = &book->tokens[book->count];
        memset(token, 0, sizeof(*token));
        bool good = book->count < TOKEN_BOOK_TOKENS && line_read(line, token);
        for (uint32_t i = 0; good && i < book->count; i++)
            good = strcmp(book->tokens[i].id, token->id) != 0;
        if (!good) {
            bool full = book->count == TOKEN_BOOK_TOKENS;
            token_done(token);
            token_book_done(book);
            *out_line = number;
            return full ? ERR_LIMIT : ERR_FORMAT;
        }
        book->count++;
    }
    if (book->count > 0)
        qsort(book->tokens, book->count, sizeof(book->tokens[0]), by_id);
    return ERR_OK;
}

void token_book_done(struct token_book *book)
{
    for (uint32_t i = 0; i < book->count; i++)
        token_done(&book->tokens[i]);
    free(book->tokens);
    *book = (struct token_book){0};
}

static struct token *find_id(const struct token_book *book, const char *id)
{
    uint32_t low = 0;
    uint32_t high = book->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(book->tokens[middle].id, id);
        if (order == 0)
            return &book->tokens[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

void token_book_inherit(struct token_book *book, const struct token_book *older)
{
    for (uint32_t i = 0; i < book->count; i++) {
        struct token *before = find_id(older, book->tokens[i].id);
        if (before != NULL)
            atomic_store(&book->tokens[i].gate_us, atomic_load(&before->gate_us));
    }
}

static void ads_put(struct buf *out, const struct token *token)
{
    static const char digits[] = "0123456789ABCDEF";
    if (token->all_ads || token->ad_count == 0)
        buf_put_u8(out, token->all_ads ? '*' : '-');
    for (uint32_t i = 0; i < token->ad_count; i++) {
        const struct token_ad *ad = &token->ads[i];
        if (i > 0)
            buf_put_u8(out, ',');
        for (size_t j = 0; j < ad->length; j++) {
            uint8_t c = (uint8_t)ad->text[j];
            /* An id that is "-" alone would read as none at all. */
            if (is_plain(c) && !(c == '-' && ad->length == 1)) {
                buf_put_u8(out, c);
                continue;
            }
            buf_put_u8(out, '%');
            buf_put_u8(out, (uint8_t)digits[c >> 4]);
            buf_put_u8(out, (uint8_t)digits[c & 15]);
        }
        if (ad->prefix)
            buf_put_u8(out, '*');
    }
}

void token_line_put(struct buf *out, const struct token *token)
{
    char hash[2 * TOKEN_HASH_BYTES];
    hex_put(hash, token->hash, TOKEN_HASH_BYTES);
    text_put(out, "v1 ");
    text_put(out, token->id);
    buf_put_u8(out, ' ');
    buf_put(out, hash, sizeof(hash));
    buf_put_u8(out, ' ');
    token_scopes_put(out, token->scopes);
    buf_put_u8(out, ' ');
    if (token->expires_s == 0)
        text_put(out, "never");
    else
        buf_put_decimal(out, token->expires_s);
    buf_put_u8(out, ' ');
    buf_put_decimal(out, token->rate);
    buf_put_u8(out, ' ');
    ads_put(out, token);
    buf_put_u8(out, '\n');
}

bool token_line_drop(struct buf *out, struct span text, const char *id)
{
    struct span line;
    bool dropped = false;
    while (cut(&text, '\n', &line)) {
        struct span rest = line;
        struct span field = {NULL, 0};
        if (line.length > 0 && cut(&rest, ' ', &field) && is_text(field, "v1") &&
            cut(&rest, ' ', &field) && is_text(field, id)) {
            dropped = true;
            continue;
        }
        buf_put(out, line.data, line.length);
        if (text.data != NULL)
            buf_put_u8(out, '\n');
    }
    return dropped;
}

static void hash_token(const uint8_t key[TOKEN_KEY_BYTES], struct span text,
                       uint8_t out[TOKEN_HASH_BYTES])
{
    CHECK(crypto_generichash(out, TOKEN_HASH_BYTES, text.data, text.length, key, TOKEN_KEY_BYTES) ==
          0);
}

void token_make(const uint8_t random[TOKEN_ID_BYTES + TOKEN_SECRET_BYTES],
                const uint8_t key[TOKEN_KEY_BYTES], char out_text[TOKEN_TEXT_CHARS + 1],
                struct token *out)
{
    memcpy(out_text, "trb_", 4);
    hex_put(out_text + 4, random, TOKEN_ID_BYTES);
    out_text[4 + TOKEN_ID_CHARS] = '_';
    hex_put(out_text + 5 + TOKEN_ID_CHARS, random + TOKEN_ID_BYTES, TOKEN_SECRET_BYTES);
    out_text[TOKEN_TEXT_CHARS] = '\0';
    memcpy(out->id, out_text + 4, TOKEN_ID_CHARS);
    out->id[TOKEN_ID_CHARS] = '\0';
    hash_token(key, span_of(out_text, TOKEN_TEXT_CHARS), out->hash);
}

struct token *token_book_find(const struct token_book *book, const uint8_t key[TOKEN_KEY_BYTES],
                              struct span text, uint64_t now_s)
{
    static const uint8_t nobody[TOKEN_HASH_BYTES] = {0};
    char id[TOKEN_ID_CHARS + 1] = {0};
    uint8_t hash[TOKEN_HASH_BYTES];
    if (text.length != TOKEN_TEXT_CHARS || memcmp(text.data, "trb_", 4) != 0)
        return NULL;
    memcpy(id, text.data + 4, TOKEN_ID_CHARS);
    struct token *token = find_id(book, id);
    hash_token(key, text, hash);
    bool proven = sodium_memcmp(hash, token == NULL ? nobody : token->hash, sizeof(hash)) == 0;
    if (token == NULL || !proven)
        return NULL;
    return token->expires_s == 0 || now_s < token->expires_s ? token : NULL;
}

bool token_may_read(const struct token *token, struct span ad_id)
{
    if ((token->scopes & TOKEN_STATS_READ) == 0)
        return false;
    bool may = token->all_ads;
    for (uint32_t i = 0; !may && i < token->ad_count; i++) {
        const struct token_ad *ad = &token->ads[i];
        may = (ad->prefix ? ad_id.length >= ad->length : ad_id.length == ad->length) &&
              memcmp(ad->text, ad_id.data, ad->length) == 0;
    }
    return may;
}

bool token_admit(struct token *token, uint64_t mono_ms, uint32_t *out_wait_s)
{
    if (token->rate == 0)
        return true;
    const uint64_t burst_us = 1000000;
    uint64_t interval_us = burst_us / token->rate;
    uint64_t now_us = mono_ms * 1000;
    uint64_t gate = atomic_load(&token->gate_us);
    uint64_t next;
    do {
        uint64_t from = base_max_u64(gate, now_us);
        next = from + interval_us;
        if (next - now_us > burst_us) {
            *out_wait_s = (uint32_t)((next - now_us - burst_us + 999999) / 1000000);
            return false;
        }
    } while (!atomic_compare_exchange_weak(&token->gate_us, &gate, next));
    return true;
}
