/* SPDX-License-Identifier: Apache-2.0
 * regional_shell: what the two programs of a region, replica and archiver, owe whoever starts them.
 * Audience: their mains. */
#pragma once

#include "common/base/err.h"

#include <stdint.h>

/* The real admin port, for whoever started the program; ports_file NULL: nothing to do. ERR_SYSTEM
 * (logged): it cannot be written. */
enum err WARN_UNUSED regional_shell_write_ports(const char *ports_file, const char *admin_listen,
                                                uint16_t admin_port);

/* How the program ended, as its exit code (docs/OPERATING.md, "systemd"). */
int regional_shell_exit_code(enum err err);
