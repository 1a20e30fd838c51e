/* SPDX-License-Identifier: Apache-2.0
 * zone_rule: the rule by which a zone's clocks change year after year, as the last line of a TZif
 * file has it: the TZ variable of POSIX, with the hours beyond a day of RFC 9636, 3.3.2.
 * Audience: global core, tests. Pure. */
#pragma once

#include "common/base/bytes.h"

#define ZONE_EAST_MAX 93599 /* RFC 9636: -25:59:59 to 25:59:59 */

enum zone_rule_day { ZONE_RULE_JULIAN, ZONE_RULE_DAY, ZONE_RULE_WEEK };

/* A day of the year and a second of it. */
struct zone_rule_date {
    enum zone_rule_day kind;
    uint16_t day;        /* JULIAN: 1..365, never February 29; DAY: 0..365; WEEK: 0 (Sunday)..6 */
    uint8_t month, week; /* WEEK: 1..12; 1..4, 5 is the last */
    int32_t second;      /* by the clock before the change; may be of days around */
};

struct zone_rule {
    int32_t standard_east_s, summer_east_s;
    bool has_summer;
    struct zone_rule_date start, end; /* of summer */
};

/* The text between the two newlines. False: it is no such rule. */
bool zone_rule_read(struct span text, struct zone_rule *out);

/* As zone_east_at. */
int32_t zone_rule_east_at(const struct zone_rule *rule, int64_t at_s, int64_t *out_until_s);
