/* SPDX-License-Identifier: Apache-2.0
 * object_name: curl signs such names as they are; others it would have to escape. */
#include "common/run/object_name.h"

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
}

bool object_name_is_valid(const char *name)
{
    size_t length = strlen(name), part = 0;
    bool dots = true; /* the part under way is nothing but dots */
    if (length > OBJECT_NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (name[i] == '/') {
            if (part == 0 || dots)
                return false;
            part = 0;
            dots = true;
            continue;
        }
        if (!is_letter(name[i]))
            return false;
        part++;
        dots = dots && name[i] == '.';
    }
    return part > 0 && !dots;
}
