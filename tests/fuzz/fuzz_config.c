/* SPDX-License-Identifier: Apache-2.0
 * fuzz_config: any bytes as the configuration of each program: refused in one sentence, or good.
 * First byte: whose. */
#include "edge/edge_options.h"
#include "global/global_options.h"
#include "regional/regional_options.h"
#include "tests/fuzz/fuzz_target.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* A file without a name, which a path leads to. */
static int file_of(const uint8_t *data, size_t size, char path[64])
{
    int file = memfd_create("config", MFD_CLOEXEC);
    CHECK(file >= 0);
    CHECK(write(file, data, size) == (ssize_t)size);
    (void)snprintf(path, 64, "/proc/self/fd/%d", file);
    return file;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct edge_options *edge = NULL;
    struct regional_options *regional = NULL;
    struct global_options *global = NULL;
    char path[64], *error = NULL;
    enum err err;
    if (size == 0)
        return 0;
    int file = file_of(data + 1, size - 1, path);
    if (data[0] % 3 == 0)
        err = edge_options_load(path, &edge, &error);
    else if (data[0] % 3 == 1)
        err = regional_options_load(path, &regional, &error);
    else
        err = global_options_load(path, &global, &error);
    CHECK(err == ERR_OK || (err == ERR_CONFIG && error != NULL && strlen(error) > 10));
    CHECK(err != ERR_OK || error == NULL);
    edge_options_free(edge);
    if (regional != NULL)
        regional_options_free(regional);
    if (global != NULL)
        global_options_free(global);
    free(error);
    (void)close(file);
    return 0;
}
