/* SPDX-License-Identifier: Apache-2.0
 * regional_shell: a file of ports and an exit code. */
#include "regional/regional_shell.h"

#include "common/base/base.h"
#include "common/run/options.h"
#include "common/run/service.h"

#include <stdio.h>
#include <string.h>

enum err regional_shell_write_ports(const char *ports_file, const char *admin_listen,
                                    uint16_t admin_port)
{
    char text[300];
    const char *colon = strrchr(admin_listen, ':');
    CHECK(colon != NULL);
    (void)snprintf(text, sizeof(text), "admin=%.*s:%u\n", (int)(colon - admin_listen), admin_listen,
                   admin_port);
    return service_write_ports(ports_file, text);
}

int regional_shell_exit_code(enum err err)
{
    switch (err) {
    case ERR_OK:
        return 0;
    case ERR_CONFIG:
        return EXIT_CODE_CONFIG;
    case ERR_KV_CORRUPT:
    case ERR_KV_IO:
        return EXIT_CODE_UNFIT;
    default:
        return EXIT_CODE_TEMPORARY;
    }
}
