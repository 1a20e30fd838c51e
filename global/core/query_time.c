/* SPDX-License-Identifier: Apache-2.0
 * query_time: an RFC 3339 time to Unix seconds. */
#include "global/core/query_time.h"

#include "common/base/limits.h"

/* Days since 1970-01-01. Years are taken to begin in March, so that they end with the leap day. */
static int64_t days_of(uint32_t year, uint32_t month, uint32_t day)
{
    int64_t y = (int64_t)year - (month <= 2);
    uint32_t months = month > 2 ? month - 3 : month + 9;
    int64_t days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * months + 2) / 5 + day - 1;
    return days - 719468; /* of 1970-01-01 */
}

static uint32_t month_days(uint32_t year, uint32_t month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap ? 1U : 0U);
}

/* `count` digits, then `mark` (0: none). */
static uint32_t number(struct reader *r, unsigned count, uint8_t mark)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < count; i++) {
        uint8_t c = reader_u8(r);
        r->failed = r->failed || c < '0' || c > '9';
        value = value * 10 + (uint32_t)(c - '0');
    }
    if (mark != 0)
        r->failed = reader_u8(r) != mark || r->failed;
    return value;
}

/* Seconds east of UTC. */
static int64_t offset(struct reader *r, uint8_t sign)
{
    if (sign == 'Z' || sign == 'z')
        return 0;
    uint32_t hours = number(r, 2, ':');
    uint32_t minutes = number(r, 2, 0);
    r->failed = r->failed || (sign != '+' && sign != '-') || hours > 23 || minutes > 59;
    int64_t seconds = (int64_t)hours * 3600 + (int64_t)minutes * 60;
    return sign == '-' ? -seconds : seconds;
}

bool query_time_rfc3339(struct span text, uint64_t *out_s)
{
    struct reader r = reader_of(text);
    uint32_t year = number(&r, 4, '-');
    uint32_t month = number(&r, 2, '-');
    uint32_t day = number(&r, 2, 0);
    uint8_t between = reader_u8(&r);
    uint32_t hour = number(&r, 2, ':');
    uint32_t minute = number(&r, 2, ':');
    uint32_t second = number(&r, 2, 0);
    uint8_t next = reader_u8(&r);
    if (next == '.') {
        unsigned digits = 0;
        while ((next = reader_u8(&r)) == '0')
            digits++;
        r.failed = r.failed || digits == 0;
    }
    int64_t east_s = offset(&r, next);
    if (!reader_at_end(&r) || (between != 'T' && between != 't') || month < 1 || month > 12 ||
        day < 1 || day > month_days(year, month) || hour > 23 || minute > 59 || second > 59)
        return false;
    int64_t seconds = days_of(year, month, day) * 86400 + (int64_t)hour * 3600 +
                      (int64_t)minute * 60 + second - east_s;
    if (seconds < 0 || (uint64_t)seconds > (LIMIT_TIMESTAMP_MS_MAX + 1) / 1000)
        return false;
    *out_s = (uint64_t)seconds;
    return true;
}
