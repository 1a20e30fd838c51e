/* SPDX-License-Identifier: Apache-2.0
 * kv_folder: the folder of a store.
 * Audience: see kv_folder.h. */
#include "common/run/kv_folder.h"

#include "common/run/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *joined(const char *folder, const char *name)
{
    const size_t size = strlen(folder) + strlen(name) + 2;
    char *path = base_alloc(size);
    (void)snprintf(path, size, "%s/%s", folder, name);
    return path;
}

/* mkdir of every missing part of the path. */
static bool make_folders(const char *path)
{
    char *part = strdup(path);
    CHECK(part != NULL);
    bool made = true;
    for (char *at = part + 1; made; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        const char kept = *at;
        *at = '\0';
        made = mkdir(part, 0700) == 0 || errno == EEXIST;
        *at = kept;
        if (kept == '\0')
            break;
    }
    int reason = errno;
    free(part);
    errno = reason;
    return made;
}

static enum err refuse(const char *path, const char *doing, int reason)
{
    log_error("cannot open store", log_text("path", path), log_text("doing", doing),
              log_text("reason", strerror(reason)));
    return ERR_SYSTEM;
}

/* An open-file-description lock: it goes with the process, however that ends, and unlike the older
 * kind it also keeps this very process from opening the store twice, which LMDB forbids. */
static enum err lock(const char *path, int file)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(file, F_OFD_SETLK, &whole) == 0)
        return ERR_OK;
    if (errno != EAGAIN && errno != EACCES)
        return refuse(path, "lock", errno);
    log_error("cannot open store: another process is using it", log_text("path", path));
    return ERR_SYSTEM;
}

enum err kv_folder_take(const char *path, struct kv_folder *out)
{
    CHECK(path != NULL);
    if (path[0] == '\0')
        return refuse(path, "path is empty", EINVAL);
    if (!make_folders(path))
        return refuse(path, "make folder", errno);
    char *lock_path = joined(path, "owner.lock");
    int file = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int reason = errno;
    free(lock_path);
    if (file < 0)
        return refuse(path, "open owner.lock", reason);
    enum err err = lock(path, file);
    if (err != ERR_OK) {
        (void)close(file);
        return err;
    }
    out->path = strdup(path);
    CHECK(out->path != NULL);
    out->lock_file = file;
    return ERR_OK;
}

static bool sync_folder(const char *path)
{
    int file = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0)
        return false;
    bool synced = fsync(file) == 0;
    int reason = errno;
    (void)close(file);
    errno = reason;
    return synced;
}

/* LMDB syncs its file but not the folder that names it: without this a power cut could take a new
 * store whole, with every click that was acknowledged from it. All the way up, since every parent
 * may be new. Folders above that cannot be opened or synced by us were not made by us either; only
 * a failing disk is an error there. */
bool kv_folder_sync(const struct kv_folder *f)
{
    char *path = realpath(f->path, NULL);
    if (path == NULL)
        return false;
    bool synced = sync_folder(path);
    int reason = errno;
    for (char *slash = strrchr(path, '/'); synced && slash != NULL && slash != path;
         slash = strrchr(path, '/')) {
        *slash = '\0';
        synced = sync_folder(path) || (errno != EIO && errno != ENOSPC);
        reason = errno;
    }
    free(path);
    errno = reason;
    return synced;
}

void kv_folder_release(struct kv_folder *f)
{
    (void)close(f->lock_file);
    free(f->path);
    *f = (struct kv_folder){.path = NULL, .lock_file = -1};
}
