/* SPDX-License-Identifier: Apache-2.0
 * regional_admin_restore: fetch beside the store, prove that it opens, mark it, then rename it into
 * place. */
#include "regional/regional_admin_restore.h"

#include "common/run/kv_lmdb.h"
#include "common/run/log.h"
#include "common/run/options.h"
#include "regional/regional_replica.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_MAX_BYTES 4400
#define TIMEOUT_S      60
#define HEAD_BYTES_MAX 8192

static void refuse(const char *why, const char *what)
{
    log_error("cannot restore the store", log_text("reason", why), log_text("of", what),
              log_text("errno", errno == 0 ? "" : strerror(errno)));
}

static int connect_to(const char *host, uint16_t port)
{
    char service[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    (void)snprintf(service, sizeof(service), "%u", port);
    if (getaddrinfo(host, service, &hints, &found) != 0)
        return -1;
    int file = -1;
    for (struct addrinfo *a = found; a != NULL && file < 0; a = a->ai_next) {
        file = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        struct timeval timeout = {.tv_sec = TIMEOUT_S};
        if (file < 0)
            continue;
        (void)setsockopt(file, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
        (void)setsockopt(file, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
        if (connect(file, a->ai_addr, a->ai_addrlen) != 0) {
            (void)close(file);
            file = -1;
        }
    }
    freeaddrinfo(found);
    return file;
}

static bool write_all(int file, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t done = write(file, data, length);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        data += done;
        length -= (size_t)done;
    }
    return true;
}

/* Says why in the peer's own words. */
static void refuse_as_peer(int peer, char *head)
{
    char words[256];
    ssize_t got = read(peer, words, sizeof(words) - 1);
    words[got > 0 ? got : 0] = '\0';
    words[strcspn(words, "\r\n")] = '\0';
    head[strcspn(head, "\r\n")] = '\0';
    errno = 0;
    refuse(words[0] == '\0' ? "the peer gives no copy" : words, head);
}

/* Reads up to the end of the answer's head. Returns the length of the body, or 0: not the answer we
 * can use. */
static uint64_t read_head(int peer, char *head)
{
    size_t length = 0;
    while (length < HEAD_BYTES_MAX - 1) {
        ssize_t got = read(peer, head + length, 1);
        if (got <= 0)
            return 0;
        length++;
        head[length] = '\0';
        if (length >= 4 && memcmp(head + length - 4, "\r\n\r\n", 4) == 0)
            break;
    }
    if (strncmp(head, "HTTP/1.1 200 ", 13) != 0) {
        refuse_as_peer(peer, head);
        return 0;
    }
    const char *field = strcasestr(head, "\r\ncontent-length:");
    return field == NULL ? 0 : strtoull(field + 17, NULL, 10);
}

static bool fetch_body(int peer, int file, uint64_t length)
{
    char bytes[65536];
    while (length > 0) {
        ssize_t got = read(peer, bytes, length < sizeof(bytes) ? (size_t)length : sizeof(bytes));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || !write_all(file, bytes, (size_t)got))
            return false;
        length -= (uint64_t)got;
    }
    return true;
}

static bool fetch(const char *host, uint16_t port, int file)
{
    char head[HEAD_BYTES_MAX];
    int length = snprintf(head, sizeof(head),
                          "GET /v1/store-copy HTTP/1.1\r\nHost: %s:%u\r\nConnection: close\r\n\r\n",
                          host, port);
    int peer = connect_to(host, port);
    if (peer < 0)
        return false;
    bool good = write_all(peer, head, (size_t)length);
    uint64_t bytes = good ? read_head(peer, head) : 0;
    good = bytes > 0 && fetch_body(peer, file, bytes);
    (void)close(peer);
    return good;
}

static bool copy_file(const char *path, int file)
{
    char bytes[65536];
    int source = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = source < 0 ? -1 : 1;
    while (got > 0) {
        got = read(source, bytes, sizeof(bytes));
        if (got > 0 && !write_all(file, bytes, (size_t)got))
            got = -1;
    }
    if (source >= 0)
        (void)close(source);
    return got == 0;
}

struct places {
    char fresh[PATH_MAX_BYTES];      /* folder under preparation */
    char fresh_data[PATH_MAX_BYTES]; /* its data file */
    char there[PATH_MAX_BYTES];      /* data file of a store that is there */
    char parent[PATH_MAX_BYTES];
};

static bool places_of(const char *store_path, struct places *out)
{
    size_t length = strlen(store_path);
    while (length > 1 && store_path[length - 1] == '/')
        length--;
    if (length > 4096)
        return false;
    (void)snprintf(out->fresh, sizeof(out->fresh), "%.*s.restore", (int)length, store_path);
    (void)snprintf(out->fresh_data, sizeof(out->fresh_data), "%.*s.restore/data.mdb", (int)length,
                   store_path);
    (void)snprintf(out->there, sizeof(out->there), "%.*s/data.mdb", (int)length, store_path);
    (void)snprintf(out->parent, sizeof(out->parent), "%.*s", (int)length, store_path);
    char *slash = strrchr(out->parent, '/');
    if (slash == NULL)
        (void)snprintf(out->parent, sizeof(out->parent), ".");
    else
        slash[slash == out->parent ? 1 : 0] = '\0';
    return true;
}

static void clear_fresh(const struct places *p)
{
    static const char *const names[] = {"data.mdb", "lock.mdb", "owner.lock"};
    char path[PATH_MAX_BYTES + 16];
    for (unsigned i = 0; i < countof(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", p->fresh, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(p->fresh);
}

/* Opens what came as a store and marks it: a copy that does not open must not take the store's
 * place. */
static enum err prove_and_mark(const struct places *p, uint64_t store_bytes)
{
    struct kv_lmdb_options options = {.path = p->fresh,
                                      .map_bytes = store_bytes,
                                      .tables = replica_table_names,
                                      .table_count = CUT_TABLES};
    struct kv_port *kv = NULL;
    enum err err = kv_lmdb_open(&options, &kv);
    if (err != ERR_OK)
        return err;
    err = replica_mark_restored(kv);
    kv_lmdb_close(kv);
    return err;
}

static bool flush_folder(const char *path)
{
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = folder >= 0 && fsync(folder) == 0;
    if (folder >= 0)
        (void)close(folder);
    return good;
}

static enum err settle(const struct places *p, const char *store_path, uint64_t store_bytes)
{
    enum err err = prove_and_mark(p, store_bytes);
    if (err != ERR_OK)
        return err;
    errno = 0;
    (void)rmdir(store_path); /* an empty folder may be in the way */
    if (!flush_folder(p->fresh) || rename(p->fresh, store_path) != 0 || !flush_folder(p->parent)) {
        refuse("it cannot be put into place", store_path);
        return ERR_SYSTEM;
    }
    log_info("store restored", log_text("path", store_path));
    return ERR_OK;
}

static enum err begin(const char *store_path, struct places *p, int *out_file)
{
    errno = 0;
    if (!places_of(store_path, p)) {
        refuse("the path is too long", store_path);
        return ERR_CONFIG;
    }
    if (access(p->there, F_OK) == 0) {
        refuse("a store is there already: move it away first", store_path);
        return ERR_CONFIG;
    }
    clear_fresh(p);
    if (mkdir(p->fresh, 0700) != 0) {
        refuse("a folder cannot be made", p->fresh);
        return ERR_SYSTEM;
    }
    *out_file = open(p->fresh_data, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*out_file < 0) {
        refuse("a file cannot be made", p->fresh_data);
        clear_fresh(p);
        return ERR_SYSTEM;
    }
    return ERR_OK;
}

static enum err finish(const struct places *p, const char *store_path, uint64_t store_bytes,
                       int file, bool came, const char *from)
{
    came = came && fsync(file) == 0;
    (void)close(file);
    enum err err = came ? settle(p, store_path, store_bytes) : ERR_SYSTEM;
    if (!came)
        refuse("no whole copy came", from);
    if (err != ERR_OK)
        clear_fresh(p);
    return err;
}

enum err regional_admin_restore(const char *url, const char *store_path, uint64_t store_bytes)
{
    char host[256], address[300];
    uint16_t port;
    size_t length = strncmp(url, "http://", 7) == 0 ? strcspn(url + 7, "/") : 0;
    errno = 0;
    if (length == 0 || length >= sizeof(address) ||
        (url[7 + length] != '\0' && strcmp(url + 7 + length, "/") != 0)) {
        refuse("the URL must be http://host:port", url);
        return ERR_CONFIG;
    }
    memcpy(address, url + 7, length);
    address[length] = '\0';
    if (!options_address(address, host, sizeof(host), &port)) {
        refuse("the URL must be http://host:port", url);
        return ERR_CONFIG;
    }
    static struct places p;
    int file = -1;
    enum err err = begin(store_path, &p, &file);
    if (err != ERR_OK)
        return err;
    return finish(&p, store_path, store_bytes, file, fetch(host, port, file), url);
}

enum err regional_admin_restore_file(const char *copy_path, const char *store_path,
                                     uint64_t store_bytes)
{
    static struct places p;
    int file = -1;
    enum err err = begin(store_path, &p, &file);
    if (err != ERR_OK)
        return err;
    return finish(&p, store_path, store_bytes, file, copy_file(copy_path, file), copy_path);
}
