/* SPDX-License-Identifier: Apache-2.0 */
#include "common/run/object_digest.h"

#include <openssl/evp.h>

void object_digest(struct span data, char out_hex[65])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[32];
    CHECK(EVP_Digest(data.length == 0 ? (const uint8_t *)"" : data.data, data.length, digest, NULL,
                     EVP_sha256(), NULL) == 1);
    for (unsigned i = 0; i < sizeof(digest); i++) {
        out_hex[2 * i] = digits[digest[i] >> 4];
        out_hex[2 * i + 1] = digits[digest[i] & 15];
    }
    out_hex[64] = '\0';
}
