/* SPDX-License-Identifier: Apache-2.0
 * Over real TLS and HTTP/2: the page needs no token, loads nothing from elsewhere, and is sent
 * again only when it changed. */
#include "global/global_page.h"

#include "http_given.h"
#include "tokens_given.h"

#include <zlib.h>

static struct http_given g;
static struct tokens_given book;
static struct global_tokens *tokens;

static void setup(void)
{
    char *error = NULL;
    http_given_init(&g);
    tokens_given_init(&book, g.folder);
    tokens_given_write(&book);
    cr_assert_eq(global_tokens_open(book.path, book.key_path, &g.w->clock.port, &tokens, &error),
                 ERR_OK, "%s", error);
    http_given_start(&g, tokens, -1);
}

static void teardown(void)
{
    http_given_done(&g);
    global_tokens_free(tokens);
    buf_done(&book.lines);
}

TestSuite(global_page, .init = setup, .fini = teardown, .timeout = 60);

static struct h2_probe_answer *get(const char *method, const char *path, const char *name,
                                   const char *value)
{
    const char *fields[] = {name, value, NULL};
    return h2_probe_one(g.probe, method, path, name == NULL ? NULL : fields, (struct span){0});
}

static void expect_file(struct h2_probe_answer *a, const struct global_page_file *file)
{
    cr_assert_eq(a->status, 200, "%s: %u", file->path, a->status);
    cr_assert(span_equal(buf_span(&a->body), file->text), "%s", file->path);
}

Test(global_page, every_file_is_served_without_a_token)
{
    cr_assert_geq(global_page_file_count, 7);
    for (size_t i = 0; i < global_page_file_count; i++) {
        struct h2_probe_answer *a = get("GET", global_page_files[i].path, NULL, NULL);
        expect_file(a, &global_page_files[i]);
        cr_assert(h2_probe_has(a, "x-content-type-options: nosniff\n"));
        cr_assert(h2_probe_has(a, "cache-control: no-cache\n"));
        cr_assert_not(h2_probe_has(a, "content-encoding:"));
    }
    cr_assert_eq(get("GET", "/v1/stats", NULL, NULL)->status, 401);
    cr_assert_eq(get("GET", "/page/none.js", NULL, NULL)->status, 404);
    cr_assert_null(global_page_find("/page/"));
}

Test(global_page, the_policy_lets_nothing_in_from_elsewhere)
{
    struct h2_probe_answer *a = get("GET", "/", NULL, NULL);
    cr_assert(h2_probe_has(a, "content-security-policy: default-src 'none'; script-src 'self';"));
    cr_assert(h2_probe_has(a, "frame-ancestors 'none'"));
    cr_assert(h2_probe_has(a, "referrer-policy: no-referrer\n"));
    cr_assert_null(strstr(h2_probe_text(a), "://"), "an address of another host");
    cr_assert_null(strstr(h2_probe_text(a), " style="), "a style that the policy refuses");
    cr_assert_null(strstr(h2_probe_text(a), " onclick="), "a script that the policy refuses");
}

Test(global_page, a_file_that_the_client_has_is_not_sent_again)
{
    const struct global_page_file *file = global_page_find("/page/page.js");
    char list[128], weak[64];
    (void)snprintf(list, sizeof(list), "\"other\", %s", file->etag);
    (void)snprintf(weak, sizeof(weak), "W/%s", file->etag);
    const char *const held[] = {file->etag, list, weak, "*"};
    for (size_t i = 0; i < countof(held); i++) {
        struct h2_probe_answer *a = get("GET", file->path, "if-none-match", held[i]);
        cr_assert_eq(a->status, 304, "%s: %u", held[i], a->status);
        cr_assert_eq(a->body.length, 0);
        cr_assert_not(h2_probe_has(a, "content-length"));
        cr_assert(h2_probe_has(a, file->etag));
    }
    expect_file(get("GET", file->path, "if-none-match", "\"other\""), file);
}

static void unpack(struct span packed, struct buf *out, size_t length)
{
    z_stream z = {.avail_in = (uInt)packed.length};
    union { /* zlib does not say const */
        const uint8_t *in;
        uint8_t *out;
    } from = {packed.data};
    z.next_in = from.out;
    buf_reserve(out, length + 1);
    z.next_out = out->data;
    z.avail_out = (uInt)length + 1;
    cr_assert_eq(inflateInit2(&z, 15 + 16), Z_OK);
    cr_assert_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
    out->length = z.total_out;
    (void)inflateEnd(&z);
}

Test(global_page, gzip_is_sent_to_those_who_take_it)
{
    static const char *const yes[] = {"gzip", "br, gzip", "gzip;q=0.5", "deflate,gzip;q=1.0"};
    static const char *const no[] = {"br", "x-gzip", "gzip;q=0", "gzip; q=0.000", "gzipped"};
    const struct global_page_file *file = global_page_find("/");
    for (size_t i = 0; i < countof(yes); i++) {
        struct h2_probe_answer *a = get("GET", "/", "accept-encoding", yes[i]);
        struct buf text = {0};
        cr_assert(h2_probe_has(a, "content-encoding: gzip\n"), "%s", yes[i]);
        cr_assert_lt(a->body.length, file->text.length);
        unpack(buf_span(&a->body), &text, file->text.length);
        cr_assert(span_equal(buf_span(&text), file->text));
        buf_done(&text);
    }
    for (size_t i = 0; i < countof(no); i++)
        expect_file(get("GET", "/", "accept-encoding", no[i]), file);
}

Test(global_page, it_answers_get_and_head_alone)
{
    struct h2_probe_answer *a = get("HEAD", "/", NULL, NULL);
    char length[64];
    (void)snprintf(length, sizeof(length), "content-length: %zu\n",
                   global_page_find("/")->text.length);
    cr_assert_eq(a->status, 200);
    cr_assert_eq(a->body.length, 0);
    cr_assert(h2_probe_has(a, length));
    a = get("POST", "/", NULL, NULL);
    cr_assert_eq(a->status, 405);
    cr_assert(h2_probe_has(a, "allow: GET, HEAD\n"));
}
