/* SPDX-License-Identifier: Apache-2.0
 * upkeep: what runs out by itself: certificates and disks. */
#include "common/run/upkeep.h"

#include <openssl/x509.h>
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
