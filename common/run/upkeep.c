/* SPDX-License-Identifier: Apache-2.0
 * upkeep: what runs out by itself: certificates and disks. */
#include "common/run/upkeep.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

uint64_t upkeep_certificate_end_s(const SSL_CTX *tls)
{
    struct tm parts;
    const X509 *certificate = SSL_CTX_get0_certificate(tls);
    if (certificate == NULL || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &parts) != 1)
        return 0;
    time_t end = timegm(&parts);
    return end > 0 ? (uint64_t)end : 0;
}

uint64_t upkeep_disk_free_bytes(const char *path)
{
    struct statvfs disk;
    if (statvfs(path, &disk) != 0)
        return 0;
    return (uint64_t)disk.f_bavail * disk.f_frsize;
}

uint64_t upkeep_folder_bytes(const char *path)
{
    uint64_t bytes = 0;
    DIR *folder = opendir(path);
    if (folder == NULL)
        return 0;
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        struct stat file;
        if (fstatat(dirfd(folder), entry->d_name, &file, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(file.st_mode))
            bytes += (uint64_t)file.st_blocks * 512;
    }
    (void)closedir(folder);
    return bytes;
}
