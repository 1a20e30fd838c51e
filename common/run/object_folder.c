/* SPDX-License-Identifier: Apache-2.0
 * object_folder: see object_folder.h. */
#include "common/run/object_folder.h"

#include "common/run/log.h"
#include "common/run/object_name.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEW_FOLDER     ".new"
#define LIST_NAMES_MAX 1000u
#define DEPTH_MAX      32u

struct object_folder {
    struct object_store port;
    char *path;
    int root; /* the folder */
    bool read_only;
};

static struct object_folder *folder_of(struct object_store *store)
{
    return container_of(store, struct object_folder, port);
}

/* No room is a matter of time; anything else is the disk's, or an operator's. */
static enum err told(const struct object_folder *f, const char *what, const char *name, int number)
{
    log_error(what, log_text("folder", f->path), log_text("name", name),
              log_text("reason", strerror(number)));
    return number == EIO ? ERR_SYSTEM : ERR_STORE_AWAY;
}

static bool write_all(int file, struct span data)
{
    for (size_t done = 0; done < data.length;) {
        ssize_t n = write(file, data.data + done, data.length - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static bool flush_folder(int root, const char *path)
{
    int folder = openat(root, path[0] == '\0' ? "." : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return false;
    bool flushed = fsync(folder) == 0;
    int number = errno;
    (void)close(folder);
    errno = number;
    return flushed;
}

/* Makes the folders of a name, and flushes each folder above one of them: who made it may have died
 * before it did. */
static bool make_folders(int root, const char *name)
{
    char path[OBJECT_NAME_BYTES_MAX + 1], above[OBJECT_NAME_BYTES_MAX + 1] = "";
    (void)snprintf(path, sizeof(path), "%s", name);
    for (char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if ((mkdirat(root, path, 0700) != 0 && errno != EEXIST) || !flush_folder(root, above))
            return false;
        memcpy(above, path, (size_t)(slash - path) + 1);
        *slash = '/';
    }
    return true;
}

static enum err write_new(struct object_folder *f, const char *new_name, const char *name,
                          struct span data)
{
    int file = openat(f->root, new_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0)
        return told(f, "object cannot be made", name, errno);
    /* After an fsync that failed a second one may lie: the file is given up as a whole. */
    bool written = write_all(file, data) && fsync(file) == 0;
    int number = errno;
    bool closed = close(file) == 0;
    if (written && closed)
        return ERR_OK;
    (void)unlinkat(f->root, new_name, 0);
    return told(f, "object cannot be written", name, written ? errno : number);
}

static enum err put(struct object_store *store, const char *name, enum object_kind kind,
                    struct span data)
{
    struct object_folder *f = folder_of(store);
    (void)kind;
    CHECK(object_name_is_valid(name) && name[0] != '.');
    if (f->read_only)
        return ERR_STORE_REFUSED;
    char new_name[64], folder[OBJECT_NAME_BYTES_MAX + 1];
    /* Not by process id: two hosts may share the folder. */
    uint64_t drawn[2];
    if (getrandom(drawn, sizeof(drawn), 0) != sizeof(drawn))
        return ERR_STORE_AWAY;
    (void)snprintf(new_name, sizeof(new_name), NEW_FOLDER "/%016llx%016llx",
                   (unsigned long long)drawn[0], (unsigned long long)drawn[1]);
    enum err err = write_new(f, new_name, name, data);
    if (err != ERR_OK)
        return err;
    if (!make_folders(f->root, name) || renameat(f->root, new_name, f->root, name) != 0) {
        int number = errno;
        (void)unlinkat(f->root, new_name, 0);
        return told(f, "object cannot be named", name, number);
    }
    (void)snprintf(folder, sizeof(folder), "%s", name);
    char *slash = strrchr(folder, '/');
    folder[slash == NULL ? 0 : slash - folder] = '\0';
    if (!flush_folder(f->root, folder))
        return told(f, "folder cannot be flushed", name, errno);
    return ERR_OK;
}

static enum err get(struct object_store *store, const char *name, size_t bytes_max, struct buf *out)
{
    struct object_folder *f = folder_of(store);
    CHECK(object_name_is_valid(name));
    int file = openat(f->root, name, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND
                                                   : told(f, "object cannot be read", name, errno);
    struct stat status;
    size_t before = out->length;
    enum err err = ERR_OK;
    if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode))
        err = ERR_NOT_FOUND;
    else if ((uint64_t)status.st_size > bytes_max)
        err = ERR_LIMIT;
    size_t left = err == ERR_OK ? (size_t)status.st_size : 0;
    buf_reserve(out, left);
    while (left > 0 && err == ERR_OK) {
        ssize_t n = read(file, out->data + out->length, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            err = told(f, "object cannot be read", name, n == 0 ? EIO : errno);
            break;
        }
        out->length += (size_t)n;
        left -= (size_t)n;
    }
    if (err != ERR_OK)
        out->length = before;
    (void)close(file);
    return err;
}

/* --- list: a walk in the order of names, which is not that of a folder's entries: "a.b" comes
 * before "a/b", though "a" comes before "a.b" --- */

struct entry {
    char *name; /* with a slash behind it if it is a folder */
};

static int entry_order(const void *left, const void *right)
{
    return strcmp(((const struct entry *)left)->name, ((const struct entry *)right)->name);
}

static uint32_t read_entries(int folder, struct entry **out)
{
    uint32_t count = 0, capacity = 0;
    DIR *stream = fdopendir(folder);
    CHECK(stream != NULL);
    for (struct dirent *d = readdir(stream); d != NULL; d = readdir(stream)) {
        struct stat status;
        if (d->d_name[0] == '.' || fstatat(folder, d->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
            !(S_ISDIR(status.st_mode) || S_ISREG(status.st_mode)))
            continue;
        if (count == capacity) {
            capacity = capacity == 0 ? 64 : capacity * 2;
            *out = base_realloc(*out, capacity * sizeof(**out));
        }
        size_t size = strlen(d->d_name) + 2;
        (*out)[count].name = base_alloc(size);
        (void)snprintf((*out)[count++].name, size, "%s%s", d->d_name,
                       S_ISDIR(status.st_mode) ? "/" : "");
    }
    (void)closedir(stream);
    if (count > 0)
        qsort(*out, count, sizeof(**out), entry_order);
    return count;
}

struct walk {
    const struct object_folder *folder;
    const char *prefix, *after;
    struct buf *out;
    uint32_t found;
};

/* Could a name that begins with `path` be asked for? */
static bool may_hold(const struct walk *w, const char *path)
{
    size_t length = strlen(path), prefix = strlen(w->prefix);
    return strncmp(path, w->prefix, length < prefix ? length : prefix) == 0 &&
           (strcmp(path, w->after) > 0 || strncmp(path, w->after, length) == 0);
}

static enum err walk_folder(struct walk *w, const char *path, unsigned depth)
{
    int folder =
        openat(w->folder->root, path[0] == '\0' ? "." : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return errno == ENOENT ? ERR_OK : told(w->folder, "folder cannot be read", path, errno);
    struct entry *entries = NULL;
    uint32_t count = read_entries(folder, &entries);
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < count; i++) {
        char name[OBJECT_NAME_BYTES_MAX + 2];
        int length = snprintf(name, sizeof(name), "%s%s", path, entries[i].name);
        bool fits = length > 0 && length <= OBJECT_NAME_BYTES_MAX;
        if (err == ERR_OK && fits && w->found < LIST_NAMES_MAX && may_hold(w, name)) {
            if (name[length - 1] == '/' && depth < DEPTH_MAX) {
                err = walk_folder(w, name, depth + 1);
            } else if (strncmp(name, w->prefix, strlen(w->prefix)) == 0 &&
                       strcmp(name, w->after) > 0) {
                buf_put(w->out, name, (size_t)length + 1);
                w->found++;
            }
        }
        free(entries[i].name);
    }
    free(entries);
    return err;
}

static enum err list(struct object_store *store, const char *prefix, const char *after,
                     struct buf *out_names)
{
    struct walk w = {folder_of(store), prefix, after, out_names, 0};
    size_t before = out_names->length;
    enum err err = walk_folder(&w, "", 0);
    if (err != ERR_OK)
        out_names->length = before;
    return err;
}

static void remove_new(struct object_folder *f)
{
    int folder = openat(f->root, NEW_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return;
    struct entry *entries = NULL;
    uint32_t count = read_entries(dup(folder), &entries);
    for (uint32_t i = 0; i < count; i++) {
        (void)unlinkat(folder, entries[i].name, 0);
        free(entries[i].name);
    }
    free(entries);
    (void)close(folder);
}

enum err object_folder_open(const char *path, bool read_only, struct object_store **out)
{
    struct object_folder *f = base_zalloc(1, sizeof(*f));
    *f = (struct object_folder){.port = {put, get, list}, .root = -1, .read_only = read_only};
    f->path = strdup(path);
    CHECK(f->path != NULL);
    if (read_only || mkdir(path, 0700) == 0 || errno == EEXIST)
        f->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool opened = f->root >= 0;
    if (opened && !read_only) {
        opened = (mkdirat(f->root, NEW_FOLDER, 0700) == 0 || errno == EEXIST) &&
                 flush_folder(f->root, "");
        remove_new(f);
    }
    if (!opened) {
        (void)told(f, "archive folder cannot be opened", path, errno);
        object_folder_close(&f->port);
        return ERR_SYSTEM;
    }
    *out = &f->port;
    return ERR_OK;
}

void object_folder_close(struct object_store *store)
{
    if (store == NULL)
        return;
    struct object_folder *f = folder_of(store);
    if (f->root >= 0)
        (void)close(f->root);
    free(f->path);
    free(f);
}
