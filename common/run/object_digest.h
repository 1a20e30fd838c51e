/* SPDX-License-Identifier: Apache-2.0
 * object_digest: SHA-256 by OpenSSL, which knows the processor's own instructions: five times as
 * fast as libsodium's. Audience: shells, common/run/object_*. Any thread. */
#pragma once

#include "common/base/bytes.h"

/* As hash_sha256: 64 lower-case hex digits and a NUL. */
void object_digest(struct span data, char out_hex[65]);
