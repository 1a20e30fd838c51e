/* SPDX-License-Identifier: Apache-2.0
 * ctl_base: what the commands of tributaryctl share. */
#include "regional/ctl/ctl_base.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int ctl_fail(int code, const char *words, const char *detail)
{
    (void)fprintf(stderr, "tributaryctl: %s%s\n", words, detail);
    return code;
}

/* C0, DEL, and C1 as UTF-8 writes it (U+0080 to U+009F). */
static bool is_control(const unsigned char *at, size_t left)
{
    return *at < 0x20 || *at == 0x7f || (*at == 0xc2 && left > 1 && at[1] >= 0x80 && at[1] <= 0x9f);
}

void ctl_print_safely(const char *text, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)text;
    for (size_t i = 0; i < length; i++) {
        if (!is_control(bytes + i, length - i))
            (void)putchar(bytes[i]);
        else if (bytes[i] == 0xc2)
            (void)printf("\\x%02x", bytes[++i]);
        else
            (void)printf("\\x%02x", bytes[i]);
    }
}

void ctl_time_text(int64_t seconds, char out[CTL_TIME_BYTES])
{
    struct tm parts;
    time_t when = (time_t)seconds;
    if (seconds < 0 || gmtime_r(&when, &parts) == NULL ||
        strftime(out, CTL_TIME_BYTES, "%Y-%m-%d %H:%M:%S", &parts) == 0)
        (void)snprintf(out, CTL_TIME_BYTES, "-");
}

bool ctl_parse_count(const char *text, uint64_t most, uint64_t *out)
{
    char *end = NULL;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value == 0 || value > most)
        return false;
    *out = value;
    return true;
}
