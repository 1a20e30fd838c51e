/* SPDX-License-Identifier: Apache-2.0
 * zone_rule: the rule by which a zone's clocks change year after year. */
#include "global/core/zone_rule.h"

#define DAY_S       86400
#define CHANGE_HOUR 2 /* of a change without a time */

/* The text as far as it is read; a byte beyond its end is 0. */
static uint8_t peek(const struct reader *r)
{
    return r->left > 0 ? r->data[0] : 0;
}

static bool take(struct reader *r, uint8_t wanted)
{
    if (r->left == 0 || r->data[0] != wanted)
        return false;
    (void)reader_u8(r);
    return true;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* At least three letters, or <...> of letters, digits and signs. */
static void read_name(struct reader *r)
{
    unsigned length = 0;
    bool quoted = take(r, '<');
    for (uint8_t c = peek(r); is_letter(c) || (quoted && (is_digit(c) || c == '+' || c == '-'));
         c = peek(r)) {
        (void)reader_u8(r);
        length++;
    }
    r->failed = r->failed || length < 3 || (quoted && !take(r, '>'));
}

static int32_t read_number(struct reader *r, int32_t least, int32_t most)
{
    int32_t value = 0;
    unsigned digits = 0;
    for (; is_digit(peek(r)) && digits < 4; digits++)
        value = value * 10 + (reader_u8(r) - '0');
    r->failed = r->failed || digits == 0 || value < least || value > most;
    return value;
}

/* [+-]hh[:mm[:ss]] */
static int32_t read_time(struct reader *r, int32_t hours_max)
{
    bool minus = take(r, '-');
    if (!minus)
        (void)take(r, '+');
    int32_t seconds = read_number(r, 0, hours_max) * 3600;
    if (take(r, ':')) {
        seconds += read_number(r, 0, 59) * 60;
        if (take(r, ':'))
            seconds += read_number(r, 0, 59);
    }
    return minus ? -seconds : seconds;
}

static struct zone_rule_date read_date(struct reader *r)
{
    struct zone_rule_date date = {.kind = ZONE_RULE_DAY};
    if (take(r, 'M')) {
        date.kind = ZONE_RULE_WEEK;
        date.month = (uint8_t)read_number(r, 1, 12);
        r->failed = !take(r, '.') || r->failed;
        date.week = (uint8_t)read_number(r, 1, 5);
        r->failed = !take(r, '.') || r->failed;
        date.day = (uint16_t)read_number(r, 0, 6);
    } else if (take(r, 'J')) {
        date.kind = ZONE_RULE_JULIAN;
        date.day = (uint16_t)read_number(r, 1, 365);
    } else {
        date.day = (uint16_t)read_number(r, 0, 365);
    }
    date.second = take(r, '/') ? read_time(r, 167) : CHANGE_HOUR * 3600;
    return date;
}

bool zone_rule_read(struct span text, struct zone_rule *out)
{
    struct reader r = reader_of(text);
    struct zone_rule rule = {.has_summer = false};
    read_name(&r);
    rule.standard_east_s = -read_time(&r, 24); /* POSIX counts west of Greenwich */
    if (!r.failed && r.left > 0) {
        rule.has_summer = true;
        read_name(&r);
        rule.summer_east_s = peek(&r) == ',' ? rule.standard_east_s + 3600 : -read_time(&r, 24);
        r.failed = !take(&r, ',') || r.failed;
        rule.start = read_date(&r);
        r.failed = !take(&r, ',') || r.failed;
        rule.end = read_date(&r);
    }
    if (!reader_at_end(&r))
        return false;
    *out = rule;
    return true;
}

static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days from 1970-01-01 to January 1 of a year, 1 or later. */
static int64_t year_start(int64_t year)
{
    int64_t before = year - 1;
    return 365 * (year - 1970) + before / 4 - before / 100 + before / 400 - 477;
}

static int64_t year_of(int64_t at_s)
{
    int64_t days = at_s / DAY_S - (at_s % DAY_S < 0);
    int64_t year = 1970 + days * 400 / 146097; /* that one, or one beside it */
    while (year_start(year + 1) <= days)
        year++;
    while (year_start(year) > days)
        year--;
    return year;
}

/* The instant of a date in a year, where clocks run `east_s` ahead. */
static int64_t instant_of(const struct zone_rule_date *date, int64_t year, int32_t east_s)
{
    static const uint16_t month_days[] = {0,   31,  59,  90,  120, 151, 181,
                                          212, 243, 273, 304, 334, 365};
    int64_t day = year_start(year);
    if (date->kind == ZONE_RULE_DAY) {
        day += date->day;
    } else if (date->kind == ZONE_RULE_JULIAN) {
        day += date->day - 1 + (is_leap(year) && date->day > 59 ? 1 : 0);
    } else {
        bool leap = is_leap(year);
        int64_t first = day + month_days[date->month - 1] + (leap && date->month > 2 ? 1 : 0);
        int64_t next = day + month_days[date->month] + (leap && date->month >= 2 ? 1 : 0);
        int64_t weekday = ((first + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
        day = first + (date->day - weekday + 7) % 7 + 7 * (date->week - 1);
        if (day >= next)
            day -= 7;
    }
    return day * DAY_S + date->second - east_s;
}

int32_t zone_rule_east_at(const struct zone_rule *rule, int64_t at_s, int64_t *out_until_s)
{
    int32_t east_s = rule->standard_east_s;
    *out_until_s = INT64_MAX;
    if (!rule->has_summer)
        return east_s;
    int64_t year = year_of(at_s);
    int64_t latest = INT64_MIN;
    /* A date may spill a week over its year, so what was last changed may be of the year before the
     * last; of two at once the start of summer holds (a summer all the year round ends where the
     * next begins). */
    for (int64_t y = year - 2; y <= year + 2; y++) {
        int64_t start = instant_of(&rule->start, y, rule->standard_east_s);
        int64_t end = instant_of(&rule->end, y, rule->summer_east_s);
        if (end <= at_s && end > latest) {
            latest = end;
            east_s = rule->standard_east_s;
        }
        if (start <= at_s && start >= latest) {
            latest = start;
            east_s = rule->summer_east_s;
        }
        if (end > at_s && end < *out_until_s)
            *out_until_s = end;
        if (start > at_s && start < *out_until_s)
            *out_until_s = start;
    }
    return east_s;
}
