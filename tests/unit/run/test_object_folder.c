/* SPDX-License-Identifier: Apache-2.0 */
#include "common/run/object_folder.h"

#include "scratch.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

static struct object_store *given_folder(char **out_path)
{
    struct object_store *s = NULL;
    *out_path = scratch_new();
    cr_assert_eq(object_folder_open(scratch_path(*out_path, "archive"), false, &s), ERR_OK);
    return s;
}

static enum err put_text(struct object_store *s, const char *name, const char *text)
{
    return object_put(s, name, OBJECT_DATA, span_of_text(text));
}

static void expect_text(struct object_store *s, const char *name, const char *text)
{
    struct buf out = {0};
    buf_put(&out, "<", 1);
    cr_assert_eq(object_get(s, name, 1000, &out), ERR_OK, "%s", name);
    cr_assert(out.length == strlen(text) + 1 && memcmp(out.data + 1, text, strlen(text)) == 0);
    buf_done(&out);
}

Test(object_folder, what_is_put_is_got_and_replaced)
{
    char *path;
    struct object_store *s = given_folder(&path);
    cr_assert_eq(put_text(s, "a/b/c.avro", "one"), ERR_OK);
    cr_assert_eq(put_text(s, "a/b/d", ""), ERR_OK);
    expect_text(s, "a/b/c.avro", "one");
    expect_text(s, "a/b/d", "");
    cr_assert_eq(put_text(s, "a/b/c.avro", "two"), ERR_OK);
    expect_text(s, "a/b/c.avro", "two");
    object_folder_close(s);
    cr_assert_eq(object_folder_open(scratch_path(path, "archive"), true, &s), ERR_OK);
    expect_text(s, "a/b/c.avro", "two");
    cr_assert_eq(put_text(s, "a/b/c.avro", "three"), ERR_STORE_REFUSED);
    object_folder_close(s);
    object_folder_close(NULL);
    scratch_free(path);
}

Test(object_folder, what_is_not_there_or_too_large_is_said_so)
{
    char *path;
    struct object_store *s = given_folder(&path);
    struct buf out = {0};
    cr_assert_eq(put_text(s, "a/b", "four"), ERR_OK);
    cr_assert_eq(object_get(s, "a/c", 10, &out), ERR_NOT_FOUND);
    cr_assert_eq(object_get(s, "a", 10, &out), ERR_NOT_FOUND);
    cr_assert_eq(object_get(s, "a/b/c", 10, &out), ERR_NOT_FOUND);
    cr_assert_eq(object_get(s, "a/b", 3, &out), ERR_LIMIT);
    cr_assert_eq(object_get(s, "a/b", 4, &out), ERR_OK);
    cr_assert_eq(out.length, 4);
    cr_assert_neq(put_text(s, "a/b/c", "a file is in the way"), ERR_OK);
    buf_done(&out);
    object_folder_close(s);
    scratch_free(path);
}

static char *listed(struct object_store *s, const char *prefix, const char *after)
{
    struct buf names = {0};
    cr_assert_eq(object_list(s, prefix, after, &names), ERR_OK);
    for (size_t i = 0; i < names.length; i++) {
        if (names.data[i] == 0)
            names.data[i] = ' ';
    }
    buf_put_u8(&names, 0);
    return (char *)names.data;
}

static void expect_list(struct object_store *s, const char *prefix, const char *after,
                        const char *expected)
{
    char *names = listed(s, prefix, after);
    cr_assert_str_eq(names, expected);
    free(names);
}

Test(object_folder, names_are_listed_in_the_order_of_their_bytes)
{
    static const char *const names[] = {"m/b/2", "m/b.c", "m/a/9/z", "m/b/10", "n/x", "m-x", "m/c"};
    char *path;
    struct object_store *s = given_folder(&path);
    for (unsigned i = 0; i < countof(names); i++)
        cr_assert_eq(put_text(s, names[i], "x"), ERR_OK);
    expect_list(s, "", "", "m-x m/a/9/z m/b.c m/b/10 m/b/2 m/c n/x ");
    expect_list(s, "m/", "", "m/a/9/z m/b.c m/b/10 m/b/2 m/c ");
    expect_list(s, "m/b", "", "m/b.c m/b/10 m/b/2 ");
    expect_list(s, "m/", "m/b/10", "m/b/2 m/c ");
    expect_list(s, "m/", "m/c", "");
    expect_list(s, "q", "", "");
    object_folder_close(s);
    scratch_free(path);
}

Test(object_folder, a_long_list_comes_in_bites)
{
    char *path, name[64], last[64] = "";
    struct object_store *s = given_folder(&path);
    struct buf names = {0};
    unsigned count = 0, bites = 0;
    cr_assert_eq(put_text(s, "l/0", "x"), ERR_OK);
    /* By hand: thousands of flushes would take long. */
    for (unsigned i = 1; i < 2500; i++) {
        (void)snprintf(name, sizeof(name), "archive/l/%u", i);
        (void)scratch_file(path, name, "x", 0600);
    }
    for (;;) {
        buf_clear(&names);
        cr_assert_eq(object_list(s, "l/", last, &names), ERR_OK);
        if (names.length == 0)
            break;
        bites++;
        for (size_t at = 0; at < names.length; at += strlen((char *)names.data + at) + 1) {
            cr_assert_lt(strcmp(last, (char *)names.data + at), 0);
            (void)snprintf(last, sizeof(last), "%s", (char *)names.data + at);
            count++;
        }
    }
    cr_assert(count == 2500 && bites == 3, "%u names in %u bites", count, bites);
    buf_done(&names);
    object_folder_close(s);
    scratch_free(path);
}

Test(object_folder, half_written_objects_of_the_dead_are_removed_and_never_seen)
{
    char *path;
    struct object_store *s = given_folder(&path);
    const char *left = scratch_file(path, "archive/.new/00ff", "half", 0600);
    expect_list(s, "", "", "");
    object_folder_close(s);
    cr_assert_eq(object_folder_open(scratch_path(path, "archive"), false, &s), ERR_OK);
    cr_assert(access(left, F_OK) != 0 && errno == ENOENT);
    object_folder_close(s);
    scratch_free(path);
}

Test(object_folder, without_room_nothing_is_there_under_the_name)
{
    char *path;
    struct object_store *s = given_folder(&path);
    struct rlimit limit = {100, RLIM_INFINITY};
    static uint8_t data[5000];
    cr_assert_eq(put_text(s, "a/b", "before"), ERR_OK);
    (void)signal(SIGXFSZ, SIG_IGN);
    int quiet = dup(2); /* the limit is for the log as well, were it a file */
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    enum err err = object_put(s, "a/b", OBJECT_DATA, span_of(data, sizeof(data)));
    limit.rlim_cur = RLIM_INFINITY;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    (void)close(quiet);

    cr_assert_eq(err, ERR_STORE_AWAY);
    expect_text(s, "a/b", "before");
    expect_list(s, "", "", "a/b ");
    cr_assert_eq(rmdir(scratch_path(path, "archive/.new")), 0, "the part is gone");
    cr_assert_eq(put_text(s, "a/b", "after"), ERR_STORE_AWAY);
    object_folder_close(s);
    scratch_free(path);
}

Test(object_folder, a_folder_that_cannot_be_is_an_error)
{
    struct object_store *s = NULL;
    cr_assert_eq(object_folder_open("/proc/no/such", false, &s), ERR_SYSTEM);
    cr_assert_eq(object_folder_open("/proc/no/such", true, &s), ERR_SYSTEM);
    cr_assert_null(s);
}
