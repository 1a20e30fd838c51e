/* SPDX-License-Identifier: Apache-2.0
 * upkeep: what runs out by itself and stops a service that nobody looked after: certificates and
 * disks. Audience: shells. Any thread. */
#pragma once

#include "common/base/base.h"

#include <openssl/ssl.h>

/* Unix seconds at which the context's own certificate ends; 0: it has none, or ends before 1970. */
uint64_t upkeep_certificate_end_s(const SSL_CTX *tls);
/* Bytes that we may still write to the file system of `path`; 0: none, or it cannot be asked. */
uint64_t upkeep_disk_free_bytes(const char *path);
/* Bytes of disk that the files in the folder have (none of folders in it); 0 as above. */
uint64_t upkeep_folder_bytes(const char *path);
