/* SPDX-License-Identifier: Apache-2.0
 * fuzz_canary: a reader with a planted mistake, which fuzzing must find: the net itself is tested.
 */
#include "tests/fuzz/fuzz_target.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 6 || memcmp(data, "TRCN", 4) != 0)
        return 0;
    size_t declared = data[4];
    if (declared > size - 5) { /* a good reader would refuse here */
        (void)fprintf(stderr, "canary: %zu bytes declared, %zu there\n", declared, size - 5);
        abort();
    }
    return 0;
}
