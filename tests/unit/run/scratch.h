/* SPDX-License-Identifier: Apache-2.0
 * scratch: a temporary folder of one test, files in it, and what a piece of code writes to standard
 * error. Audience: tests/unit/run. */
#pragma once

#include "common/base/bytes.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static inline char *scratch_new(void)
{
    char *path = strdup("/tmp/tributary-test.XXXXXX");
    cr_assert_not_null(mkdtemp(path));
    return path;
}

static inline int scratch_remove(const char *path, const struct stat *stat, int kind,
                                 struct FTW *walk)
{
    (void)stat, (void)kind, (void)walk;
    return remove(path);
}

static inline void scratch_free(char *path)
{
    cr_assert_eq(nftw(path, scratch_remove, 8, FTW_DEPTH | FTW_PHYS), 0);
    free(path);
}

/* Valid until the fourth next call. Not inlined: the compiler would see only that folder may be
 * such a path too. */
__attribute__((noinline, unused)) static const char *scratch_path(const char *folder,
                                                                  const char *name)
{
    static char paths[4][256];
    static unsigned next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static inline const char *scratch_file(const char *folder, const char *name, const char *text,
                                       mode_t mode)
{
    const char *path = scratch_path(folder, name);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    cr_assert_geq(file, 0);
    cr_assert_eq(write(file, text, strlen(text)), (ssize_t)strlen(text));
    cr_assert_eq(fchmod(file, mode), 0);
    (void)close(file);
    return path;
}

struct scratch_stderr {
    int kept;
    int file;
};

/* From here to scratch_stderr_end, standard error goes to an unnamed file. */
static inline struct scratch_stderr scratch_stderr_begin(void)
{
    char path[] = "/tmp/tributary-stderr.XXXXXX";
    struct scratch_stderr s = {.kept = dup(STDERR_FILENO), .file = mkstemp(path)};
    cr_assert(s.kept >= 0 && s.file >= 0);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(dup2(s.file, STDERR_FILENO), STDERR_FILENO);
    return s;
}

/* Returns what was written; free it. */
static inline char *scratch_stderr_end(struct scratch_stderr s)
{
    cr_assert_eq(dup2(s.kept, STDERR_FILENO), STDERR_FILENO);
    const off_t length = lseek(s.file, 0, SEEK_END);
    cr_assert_geq(length, 0);
    char *text = calloc(1, (size_t)length + 1);
    cr_assert_eq(pread(s.file, text, (size_t)length, 0), length);
    (void)close(s.file);
    (void)close(s.kept);
    return text;
}
