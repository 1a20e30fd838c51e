/* SPDX-License-Identifier: Apache-2.0
 * Claims about mapped_pages: what is given back is still there, and says what the file says. */
#include "common/run/mapped_pages.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define BYTES (8u << 20)

static char path[] = "/tmp/mapped_pages.XXXXXX";

/* Of the file's pages, how many are mapped into this process? */
static size_t resident_kb(const void *at)
{
    char line[512], start[32];
    size_t kb = 0;
    bool here = false;
    FILE *maps = fopen("/proc/self/smaps", "re");
    cr_assert_not_null(maps);
    snprintf(start, sizeof(start), "%lx-", (unsigned long)(uintptr_t)at);
    while (fgets(line, sizeof(line), maps) != NULL) {
        if (strncmp(line, start, strlen(start)) == 0)
            here = true;
        if (here && sscanf(line, "Rss: %zu kB", &kb) == 1)
            break;
    }
    fclose(maps);
    return kb;
}

static uint64_t sum_of(const uint8_t *bytes)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < BYTES; i += 512)
        sum += bytes[i];
    return sum;
}

Test(mapped_pages, pages_given_back_come_again_as_the_file_has_them)
{
    struct mapped_pages few, many;
    char *name = strrchr(path, '/') + 1;
    int file = mkstemp(path);
    cr_assert(file >= 0);
    for (size_t i = 0; i < BYTES; i += 4096) {
        uint8_t page[4096];
        memset(page, 1, sizeof(page));
        cr_assert_eq(write(file, page, sizeof(page)), sizeof(page));
    }
    mapped_pages_find(&few, "/tmp", name, 1);
    cr_assert_null(few.at, "not mapped yet");
    uint8_t *map = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, file, 0);
    cr_assert(map != MAP_FAILED);

    mapped_pages_find(&few, "/tmp", name, 1);
    mapped_pages_find(&many, "/tmp", name, UINT64_MAX);
    cr_assert_eq(few.at, map);
    cr_assert_eq(few.length, BYTES);
    cr_expect_eq(sum_of(map), BYTES / 512);
    size_t before = resident_kb(map);
    cr_expect_geq(before, BYTES / 1024 / 2);
    mapped_pages_touched(&many, BYTES);
    cr_expect_eq(resident_kb(map), before, "few enough: left alone");
    mapped_pages_touched(&few, 1 << 20);
    cr_expect_eq(resident_kb(map), before, "not looked yet");
    mapped_pages_touched(&few, 3 << 20);
    cr_expect_eq(resident_kb(map), 0);

    cr_assert_eq(pwrite(file, "\3", 1, 0), 1);
    cr_expect_eq(sum_of(map), BYTES / 512 + 2);
    few.resident_bytes_max = 0;
    mapped_pages_touched(&few, BYTES);
    cr_expect_gt(resident_kb(map), 0, "0: never");
    munmap(map, BYTES);
    close(file);
    unlink(path);
}

Test(mapped_pages, what_is_not_there_is_not_found_and_nothing_is_given_back)
{
    struct mapped_pages none;
    mapped_pages_find(&none, "/nowhere", "at-all", 1);
    cr_assert_null(none.at);
    mapped_pages_touched(&none, BYTES);
}
