/* SPDX-License-Identifier: Apache-2.0
 * options_place: says where in a configuration file a value stands that is well-formed but cannot
 * be right. Audience: shells, after options_load. At start-up only. */
#pragma once

#include "common/base/err.h"

/* Always ERR_CONFIG; *out_error becomes "file:line:column: path: words" (malloc'ed). `path` is as
 * in "regions[1].name"; of a value that is not there, the place of what should hold it is given. */
PRINTF_LIKE(4, 5)
enum err options_wrong(const char *file, const char *path, char **out_error, const char *format,
                       ...);
