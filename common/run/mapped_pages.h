/* SPDX-License-Identifier: Apache-2.0
 * mapped_pages: gives the pages of a mapped file back, so that reading through gigabytes of it does
 * not make the process look (and be accounted) as large as the file. Audience: common/run.
 *
 * Only for files that are mapped shared and read-only: a page given back comes from the page cache
 * again when it is touched next, with what was written to the file meanwhile. Any thread may read
 * the map at the same time. */
#pragma once

#include "common/base/base.h"

#include <stddef.h>

struct mapped_pages {
    void *at; /* NULL: not found, nothing is given back */
    size_t length;
    uint64_t resident_bytes_max;
    _Atomic uint64_t touched_bytes; /* since the last look */
};

/* Where this process has mapped the file. resident_bytes_max: of files, the process's programs
 * included; 0: nothing is ever given back. */
void mapped_pages_find(struct mapped_pages *pages, const char *folder, const char *file,
                       uint64_t resident_bytes_max);

/* So many bytes were read through the map. Looks, after each 4 MiB, whether too much is resident,
 * and gives all of it back then. A look costs some 10 us. Any thread. */
void mapped_pages_touched(struct mapped_pages *pages, uint64_t bytes);
