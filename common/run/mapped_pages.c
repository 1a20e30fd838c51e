/* SPDX-License-Identifier: Apache-2.0
 * mapped_pages: gives the pages of a mapped file back. */
#include "common/run/mapped_pages.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define LOOK_BYTES (4u << 20)

void mapped_pages_find(struct mapped_pages *pages, const char *folder, const char *file,
                       uint64_t resident_bytes_max)
{
    *pages = (struct mapped_pages){.resident_bytes_max = resident_bytes_max};
    char line[4352];
    struct stat wanted;
    (void)snprintf(line, sizeof(line), "%s/%s", folder, file);
    FILE *maps = stat(line, &wanted) == 0 ? fopen("/proc/self/maps", "re") : NULL;
    if (maps == NULL)
        return;
    while (pages->at == NULL && fgets(line, sizeof(line), maps) != NULL) {
        uintptr_t first, last;
        uint64_t inode;
        unsigned major, minor;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " r--s %*x %x:%x %" SCNu64, &first, &last, &major,
                   &minor, &inode) == 5 &&
            inode == wanted.st_ino && makedev(major, minor) == wanted.st_dev) {
            pages->at = (void *)first;
            pages->length = last - first;
        }
    }
    (void)fclose(maps);
}

static uint64_t resident_bytes(void)
{
    unsigned long long of_files = 0;
    FILE *sizes = fopen("/proc/self/statm", "re");
    if (sizes == NULL)
        return 0;
    bool read = fscanf(sizes, "%*u %*u %llu", &of_files) == 1;
    (void)fclose(sizes);
    return read ? of_files * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

void mapped_pages_touched(struct mapped_pages *pages, uint64_t bytes)
{
    if (pages->at == NULL || pages->resident_bytes_max == 0 ||
        atomic_fetch_add(&pages->touched_bytes, bytes) + bytes < LOOK_BYTES)
        return;
    atomic_store(&pages->touched_bytes, 0);
    if (resident_bytes() > pages->resident_bytes_max)
        (void)madvise(pages->at, pages->length, MADV_DONTNEED);
}
