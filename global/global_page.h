/* SPDX-License-Identifier: Apache-2.0
 * global_page: the page at GET /: files of global/page, embedded when the program was built. They
 * hold no counts, so they need no token. Audience: global shell, tests. */
#pragma once

#include "common/run/h2_server.h"

struct global_page_file {
    const char *path, *type;
    const char *etag;         /* in its quotes */
    struct span text, packed; /* packed: gzip; empty where it would not be shorter */
};

/* Made by global/page/embed.py. */
extern const struct global_page_file global_page_files[];
extern const size_t global_page_file_count;

/* NULL: no file of the page has this path. */
const struct global_page_file *global_page_find(const char *path);
/* Answers a GET or HEAD with the file, or 304 where the client has it. */
void global_page_answer(struct h2_request *r, const struct global_page_file *file);
