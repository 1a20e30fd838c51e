/* SPDX-License-Identifier: Apache-2.0
 * global_page: serves the files of the page, with the headers that keep it to itself. */
#include "global/global_page.h"

#include <string.h>

const struct global_page_file *global_page_find(const char *path)
{
    for (size_t i = 0; i < global_page_file_count; i++)
        if (strcmp(global_page_files[i].path, path) == 0)
            return &global_page_files[i];
    return NULL;
}

static bool is_between(char c, const char *set)
{
    return c == '\0' || strchr(set, c) != NULL;
}

/* Is `word` a whole member of a list such as "gzip, br;q=0.5" or "W/\"a\", \"b\""? A member that
 * is refused by a quality of 0 counts as missing. */
static bool lists(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; at != NULL && (at = strstr(at, word)) != NULL; at += length) {
        if ((at > list && !is_between(at[-1], " ,/")) || !is_between(at[length], " ,;"))
            continue;
        const char *rest = at + length + strspn(at + length, " ;");
        return strncmp(rest, "q=0", 3) != 0 || rest[3 + strspn(rest + 3, ".0")] >= '1';
    }
    return false;
}

void global_page_answer(struct h2_request *r, const struct global_page_file *file)
{
    const char *held = h2_header(r, "if-none-match");
    bool pack = file->packed.length > 0 && lists(h2_header(r, "accept-encoding"), "gzip");
    const struct h2_header headers[] = {
        {"content-type", file->type},
        {"etag", file->etag},
        {"cache-control",
         "no-cache"}, /* kept, but asked for each time: a new build shows at once */
        {"vary", "accept-encoding"},
        {"content-security-policy",
         "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
         "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
         "require-trusted-types-for 'script'; trusted-types 'none'"},
        {"x-content-type-options", "nosniff"},
        {"referrer-policy", "no-referrer"},
        {"cross-origin-opener-policy", "same-origin"},
        {"cross-origin-resource-policy", "same-origin"},
        {"content-encoding", "gzip"},
    };
    size_t header_count = countof(headers) - 1;
    if (held != NULL && (lists(held, file->etag) || strcmp(held, "*") == 0))
        h2_respond(r, 304, headers, header_count, (struct span){NULL, 0});
    else if (pack)
        h2_respond(r, 200, headers, header_count + 1, file->packed);
    else
        h2_respond(r, 200, headers, header_count, file->text);
}
