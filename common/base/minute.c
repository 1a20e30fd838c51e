/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/minute.h"

#include <string.h>

static const struct {
    const char *name;
    uint32_t minutes;
} minute_windows[] = {
    [MINUTE_WINDOW_1M] = {"1m", 1},
    [MINUTE_WINDOW_5M] = {"5m", 5},
    [MINUTE_WINDOW_1H] = {"1h", 60},
    [MINUTE_WINDOW_1D] = {"1d", 1440},
};

bool minute_window_parse(const char *text, enum minute_window *out_window)
{
    for (unsigned i = 0; i < countof(minute_windows); i++) {
        if (strcmp(text, minute_windows[i].name) == 0) {
            *out_window = (enum minute_window)i;
            return true;
        }
    }
    return false;
}

const char *minute_window_name(enum minute_window window)
{
    CHECK((unsigned)window < countof(minute_windows));
    return minute_windows[window].name;
}

uint32_t minute_window_minutes(enum minute_window window)
{
    CHECK((unsigned)window < countof(minute_windows));
    return minute_windows[window].minutes;
}
