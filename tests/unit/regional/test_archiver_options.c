/* SPDX-License-Identifier: Apache-2.0 */
#include "regional/archiver_options.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD                                                                                       \
    "archiver: us-a1\n"                                                                            \
    "region: us\n"                                                                                 \
    "admin_listen: 127.0.0.1:0\n"                                                                  \
    "store:\n"                                                                                     \
    "  path: /tmp/never-made\n"                                                                    \
    "nats:\n"                                                                                      \
    "  url: nats://127.0.0.1:4222\n"
#define FOLDER "archive:\n  folder: /tmp/never-made\n"

static void write_file(const char *text, char path[64])
{
    (void)snprintf(path, 64, "/tmp/archiver-options-XXXXXX");
    int file = mkstemp(path);
    cr_assert_geq(file, 0);
    cr_assert_eq(write(file, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(file);
}

static void expect_refused(const char *text, const char *words)
{
    char path[64], *error = NULL;
    struct archiver_options_file *o = NULL;
    write_file(text, path);
    cr_assert_eq(archiver_options_load(path, &o, &error), ERR_CONFIG, "%s", text);
    (void)unlink(path);
    cr_assert_not_null(strstr(error, words), "\"%s\" does not say \"%s\"", error, words);
    free(error);
}

Test(archiver_options, defaults_are_filled_in)
{
    char path[64], *error = NULL;
    struct archiver_options_file *o = NULL;
    write_file(HEAD FOLDER, path);
    cr_assert_eq(archiver_options_load(path, &o, &error), ERR_OK, "%s", error);
    cr_assert_eq(o->partitions_total, 4);
    cr_assert_eq(o->behind_ms, 600000);
    cr_assert_eq(o->store.bytes, 256 << 20);
    cr_assert_eq(o->archive.object_bytes, 64 << 20);
    cr_assert_eq(o->archive.buffer_bytes, 256 << 20);
    cr_assert_eq(o->archive.object_age_ms, 300000);
    cr_assert(o->codec == ARCHIVE_SNAPPY && o->ip == ARCHIVE_IP_FULL);
    cr_assert_eq(o->nats.stream_replicas, 1);
    archiver_options_free(o);
    (void)unlink(path);
}

static void with_secret(char secret[64], mode_t mode, char text[1024], const char *more)
{
    write_file("secret\n", secret);
    cr_assert_eq(chmod(secret, mode), 0);
    (void)snprintf(text, 1024,
                   HEAD "privacy:\n  ip: truncate\narchive:\n  codec: zstandard\n  s3:\n"
                        "    endpoint: https://s3.example\n    region: eu\n    bucket: b\n"
                        "    access_key_file: %s\n    secret_key_file: %s\n%s",
                   secret, secret, more);
}

Test(archiver_options, a_bucket_is_described_in_full)
{
    char path[64], secret[64], text[1024], *error = NULL;
    struct archiver_options_file *o = NULL;
    with_secret(secret, 0600, text,
                "    path_style: true\n    prefix: a/\n    part_bytes: 8388608\n"
                "    storage_class: GLACIER_IR\n");
    write_file(text, path);
    cr_assert_eq(archiver_options_load(path, &o, &error), ERR_OK, "%s", error);
    cr_assert(o->codec == ARCHIVE_ZSTANDARD && o->ip == ARCHIVE_IP_TRUNCATE);
    cr_assert(o->archive.s3->path_style && o->archive.s3->part_bytes == 8388608);
    cr_assert_str_eq(o->archive.s3->storage_class, "GLACIER_IR");
    cr_assert_eq(o->archive.s3->timeout_ms, 60000);
    archiver_options_free(o);
    (void)unlink(path);
    (void)unlink(secret);
}

Test(archiver_options, what_cannot_work_is_refused_with_its_place)
{
    static const struct {
        const char *text, *words;
    } rows[] = {
        {HEAD, "archive"},
        {HEAD "archive:\n  codec: snappy\n", "needs folder or s3"},
        {HEAD FOLDER "  codec: gzip\n", "snappy or zstandard"},
        {HEAD FOLDER "  object_bytes: 1000\n", "archive.object_bytes: must be 65536 to"},
        {HEAD FOLDER "  object_age_ms: 10\n", "archive.object_age_ms: must be 1000 to"},
        {HEAD FOLDER "  buffer_bytes: 1048576\n", "archive.buffer_bytes: must be 67108864 to"},
        {HEAD FOLDER "privacy:\n  ip: half\n", "full, truncate or drop"},
        {HEAD FOLDER "partitions: 3-9\n", "ascending"},
        {HEAD FOLDER "partitions_total: 2000\n", "partitions_total"},
        {HEAD FOLDER "behind_ms: 1\n", "behind_ms"},
        {HEAD FOLDER "log_level: loud\n", "log_level"},
        {HEAD FOLDER "other: 1\n", "other"},
    };
    for (unsigned i = 0; i < countof(rows); i++)
        expect_refused(rows[i].text, rows[i].words);
    expect_refused("archiver: US\nregion: us\nadmin_listen: 127.0.0.1:0\nstore:\n  path: /x\n"
                   "nats:\n  url: nats://x\n" FOLDER,
                   "archiver: must be a-z");
    expect_refused("archiver: a\nregion: u.s\nadmin_listen: 127.0.0.1:0\nstore:\n  path: /x\n"
                   "nats:\n  url: nats://x\n" FOLDER,
                   "region: must be a-z");
    expect_refused("archiver: a\nregion: us\nadmin_listen: nowhere\nstore:\n  path: /x\n"
                   "nats:\n  url: nats://x\n" FOLDER,
                   "admin_listen");
    expect_refused("archiver: a\nregion: us\nadmin_listen: 127.0.0.1:0\nstore:\n  path: /x\n"
                   "  bytes: 5\nnats:\n  url: nats://x\n" FOLDER,
                   "store.bytes");
    expect_refused("archiver: a\nregion: us\nadmin_listen: 127.0.0.1:0\nstore:\n  path: /x\n"
                   "nats:\n  url: nats://x\n  user: u\n" FOLDER,
                   "user and password_file");
}

Test(archiver_options, a_buckets_mistakes_are_refused)
{
    char secret[64], text[1024];
    static const struct {
        const char *more, *words;
    } rows[] = {{"    prefix: a\n", "must end with a slash"},
                {"    part_bytes: 1000\n", "part_bytes"},
                {"    timeout_ms: 1\n", "timeout_ms"},
                {"    session_token_file: /no/such\n", "/no/such"},
                {"  folder: /x\n", "not both"}};
    for (unsigned i = 0; i < countof(rows); i++) {
        with_secret(secret, 0600, text, rows[i].more);
        expect_refused(text, rows[i].words);
        (void)unlink(secret);
    }
    with_secret(secret, 0644, text, "");
    expect_refused(text, "others");
    (void)unlink(secret);
    with_secret(secret, 0600, text, "");
    char *scheme = strstr(text, "https");
    memcpy(scheme, "xxxxx", 5);
    expect_refused(text, "http://host");
    (void)unlink(secret);
}
