/* SPDX-License-Identifier: Apache-2.0
 * divergence: two claims, one line? */
#include "global/core/divergence.h"

#include "common/base/hash.h"

static struct divergence_claim *place(struct divergence *d, uint16_t region, uint16_t partition,
                                      uint32_t minute)
{
    uint8_t key[8];
    bytes_store_u16(key, region);
    bytes_store_u16(key + 2, partition);
    bytes_store_u32(key + 4, minute);
    return d->claims[hash_checksum(span_of(key, sizeof(key)), 0) % DIVERGENCE_MINUTES];
}

/* Has `a` everything that `b` has, by its sums? */
static bool covers(const struct partial_total *a, const struct partial_total *b)
{
    return a->rows >= b->rows && a->counted >= b->counted && a->duplicate >= b->duplicate;
}

static enum divergence_verdict compare(const struct divergence_claim *a,
                                       const struct divergence_claim *b)
{
    bool ab = covers(&a->total, &b->total), ba = covers(&b->total, &a->total);
    if (ab && ba) /* the same point, so the same rows */
        return a->total.digest == b->total.digest ? DIVERGENCE_EQUAL : DIVERGENCE_CONTRADICTS;
    if (!ab && !ba)
        return DIVERGENCE_CONTRADICTS;
    /* One has more, and the other has read what made it so, and still has less. */
    const struct divergence_claim *more = ab ? a : b, *less = ab ? b : a;
    return less->stream_ms > more->since_ms + DIVERGENCE_MARGIN_MS ? DIVERGENCE_CONTRADICTS
                                                                   : DIVERGENCE_BEHIND;
}

static bool is_of(const struct divergence_claim *a, const struct divergence_claim *b)
{
    return a->region == b->region && a->partition == b->partition &&
           a->total.minute == b->total.minute;
}

static bool says_the_same(const struct partial_total *a, const struct partial_total *b)
{
    return covers(a, b) && covers(b, a) && a->digest == b->digest;
}

enum divergence_verdict divergence_take(struct divergence *d, uint16_t region,
                                        const struct partial *p, const struct partial_total *total,
                                        struct divergence_claim *out_other)
{
    struct divergence_claim *kept = place(d, region, p->partition, total->minute);
    struct divergence_claim claim = {.region = region,
                                     .partition = p->partition,
                                     .since_ms = p->stream_ms,
                                     .stream_ms = p->stream_ms,
                                     .total = *total};
    memcpy(claim.replica, p->replica, sizeof(claim.replica));
    /* Another minute's, or nothing: both places are free. */
    if (!is_of(&kept[0], &claim))
        memset(kept, 0, 2 * sizeof(*kept));
    if (strcmp(kept[0].replica, claim.replica) != 0) {
        /* Its own place, else that of whom we heard longest ago, becomes the first. */
        struct divergence_claim first = kept[0];
        kept[0] = kept[1];
        kept[1] = first;
    }
    if (strcmp(kept[0].replica, claim.replica) == 0 && says_the_same(&kept[0].total, total))
        claim.since_ms = base_min_u64(kept[0].since_ms, claim.since_ms);
    kept[0] = claim;
    if (kept[1].replica[0] == '\0')
        return DIVERGENCE_ALONE;
    enum divergence_verdict verdict = compare(&kept[1], &claim);
    if (verdict == DIVERGENCE_CONTRADICTS)
        *out_other = kept[1];
    return verdict;
}
