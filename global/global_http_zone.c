/* SPDX-License-Identifier: Apache-2.0
 * global_http_zone: the clocks of a zone, from the system's time zone database. Read anew for each
 * query that names one: an update of the database holds at once, and costs no restart. */
#include "global/global_http_inside.h"

#include "common/run/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "/usr/share/zoneinfo"

/* Up to ZONE_BYTES_MAX. */
static bool read_file(int file, struct buf *out)
{
    struct stat about;
    if (fstat(file, &about) != 0 || !S_ISREG(about.st_mode) || about.st_size < 0 ||
        about.st_size > ZONE_BYTES_MAX)
        return false;
    buf_reserve(out, (size_t)about.st_size);
    while (out->length < (size_t)about.st_size) {
        ssize_t got = read(file, out->data + out->length, (size_t)about.st_size - out->length);
        if (got <= 0)
            return false;
        out->length += (size_t)got;
    }
    return true;
}

enum err global_http_zone(const char *folder, const char *name, struct zone *out)
{
    char path[4096 + ZONE_NAME_BYTES + 2];
    CHECK(zone_name_is_valid(span_of_text(name)));
    int length = snprintf(path, sizeof(path), "%s/%s", folder == NULL ? FOLDER : folder, name);
    CHECK(length > 0 && (size_t)length < sizeof(path));
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return ERR_NOT_FOUND;
    struct buf bytes = {0};
    bool readable = read_file(file, &bytes);
    (void)close(file);
    enum err err = readable ? zone_read(out, buf_span(&bytes)) : ERR_NOT_FOUND;
    buf_done(&bytes);
    if (err == ERR_OK || err == ERR_NOT_FOUND)
        return err;
    log_warn("a file of the time zone database cannot be read", log_text("zone", name),
             log_err(err));
    return ERR_NOT_FOUND;
}
