/* SPDX-License-Identifier: Apache-2.0
 * load_compare: the verdict: what the ledgers allow against what was counted. */
#include "load_compare.h"

#include <stdio.h>
#include <string.h>

static int order(const char *ad_a, uint32_t minute_a, const char *ad_b, uint32_t minute_b)
{
    int ads = strcmp(ad_a, ad_b);
    return ads ? ads : (minute_a > minute_b) - (minute_a < minute_b);
}

static void judge(uint64_t lower, uint64_t upper, uint64_t count, struct load_verdict *out)
{
    out->lower += lower;
    out->upper += upper;
    out->counted += count;
    uint64_t lost = lower > count ? lower - count : 0;
    uint64_t beyond = count > upper ? count - upper : 0;
    out->lost += lost;
    *(upper ? &out->doubled : &out->phantom) += beyond;
    out->rows_wrong += lost || beyond;
}

void load_compare(const struct load_bound *bounds, size_t bound_count,
                  const struct load_count *counts, size_t count_count, struct load_verdict *out)
{
    size_t b = 0, c = 0;
    while (b < bound_count || c < count_count) {
        int which = b == bound_count ? 1
                    : c == count_count
                        ? -1
                        : order(bounds[b].ad, bounds[b].minute, counts[c].ad, counts[c].minute);
        if (which < 0) {
            judge(bounds[b].lower, bounds[b].upper, 0, out);
            b++;
        } else if (which > 0) {
            judge(0, 0, counts[c].count, out);
            c++;
        } else {
            judge(bounds[b].lower, bounds[b].upper, counts[c].count, out);
            b++;
            c++;
        }
    }
}

struct planted {
    const char *claim;
    struct load_bound bounds[3];
    struct load_count counts[3];
    size_t bound_count, count_count;
    uint64_t lost, doubled, phantom;
};

static char ad_a[] = "ad-a", ad_b[] = "ad-b", ad_c[] = "ad-c";

int load_compare_selftest(void)
{
    const struct planted cases[] = {
        {"equal is right", {{ad_a, 1, 3, 3}}, {{ad_a, 1, 3}}, 1, 1, 0, 0, 0},
        {"one too few is lost", {{ad_a, 1, 3, 3}}, {{ad_a, 1, 2}}, 1, 1, 1, 0, 0},
        {"one too many is double", {{ad_a, 1, 3, 3}}, {{ad_a, 1, 4}}, 1, 1, 0, 1, 0},
        {"an absent row is lost", {{ad_a, 1, 3, 3}}, {{ad_a, 1, 0}}, 1, 0, 3, 0, 0},
        {"an unknown click may be counted", {{ad_a, 1, 3, 5}}, {{ad_a, 1, 5}}, 1, 1, 0, 0, 0},
        {"an unknown click may be absent", {{ad_a, 1, 3, 5}}, {{ad_a, 1, 3}}, 1, 1, 0, 0, 0},
        {"beyond the unknown is double", {{ad_a, 1, 3, 5}}, {{ad_a, 1, 6}}, 1, 1, 0, 1, 0},
        {"another minute is lost and phantom", {{ad_a, 1, 3, 3}}, {{ad_a, 2, 3}}, 1, 1, 3, 0, 3},
        {"another ad is lost and phantom", {{ad_b, 1, 3, 3}}, {{ad_a, 1, 3}}, 1, 1, 3, 0, 3},
        {"a loss and a double do not cancel out",
         {{ad_a, 1, 3, 3}, {ad_a, 2, 3, 3}},
         {{ad_a, 1, 2}, {ad_a, 2, 4}},
         2,
         2,
         1,
         1,
         0},
        {"rows in between are told apart",
         {{ad_a, 1, 1, 1}, {ad_c, 1, 1, 1}},
         {{ad_a, 1, 1}, {ad_b, 1, 7}, {ad_c, 1, 1}},
         2,
         3,
         0,
         0,
         7},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct planted *p = &cases[i];
        struct load_verdict v = {0};
        load_compare(p->bounds, p->bound_count, p->counts, p->count_count, &v);
        if (v.lost != p->lost || v.doubled != p->doubled || v.phantom != p->phantom) {
            fprintf(stderr, "selftest: not so: %s\n", p->claim);
            return (int)i + 1;
        }
    }
    return 0;
}
