/* SPDX-License-Identifier: Apache-2.0
 * load_clicks: makes realistic clicks, singly and in batches, from one seed. */
#include "load_clicks.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const agents[] = {
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/129.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) Version/17.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/128.0.6613.127 Mobile Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:130.0) Gecko/20100101 Firefox/130.0",
    "Mozilla/5.0 (Linux; Android 13; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) "
    "SamsungBrowser/26.0 Chrome/122.0.0.0 Mobile Safari/537.36",
    "curl/8.9.1",
};

/* Makes user agents longer (--agent-bytes). */
static char filling[512];

struct load_maker {
    struct load_mix mix;
    struct load_rand rand;
    double *zipf_below; /* cumulative share of ads 0..i */
    uint64_t serial;
};

struct load_maker *load_maker_new(const struct load_mix *mix)
{
    struct load_maker *m = load_alloc(sizeof *m);
    m->mix = *mix;
    m->rand.state = mix->seed;
    memset(filling, 'x', sizeof filling - 1);
    m->zipf_below = load_alloc(mix->ads * sizeof *m->zipf_below);
    double sum = 0;
    for (unsigned i = 0; i < mix->ads; i++)
        m->zipf_below[i] = sum += 1.0 / pow(i + 1, mix->zipf);
    for (unsigned i = 0; i < mix->ads; i++)
        m->zipf_below[i] /= sum;
    return m;
}

void load_maker_free(struct load_maker *m)
{
    free(m->zipf_below);
    free(m);
}

struct load_rand *load_maker_rand(struct load_maker *m)
{
    return &m->rand;
}

void load_ad_name(uint32_t ad, char out[LOAD_AD_NAME_BYTES])
{
    snprintf(out, LOAD_AD_NAME_BYTES, "ad-%06u", ad);
}

static uint32_t pick_ad(struct load_maker *m)
{
    double share = (double)(load_rand_next(&m->rand) >> 11) / 9007199254740992.0;
    unsigned low = 0, high = m->mix.ads - 1;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (m->zipf_below[middle] < share)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Most clicks are seconds old, some a minute, a few up to five minutes: then their minute has long
 * closed. */
static uint64_t pick_age_ms(struct load_maker *m)
{
    uint64_t dice = load_rand_below(&m->rand, 1000);
    if (dice < m->mix.late_permille)
        return load_rand_below(&m->rand, 300000);
    return load_rand_below(&m->rand, dice < 1000 - m->mix.aged_permille ? 2000 : 30000);
}

/* Addresses that the RFCs set aside for documentation: 5737 and 3849. */
static void put_address(struct load_maker *m, struct load_buf *out)
{
    static const char *const nets[] = {"192.0.2", "198.51.100", "203.0.113"};
    uint64_t dice = load_rand_next(&m->rand);
    if (dice % 3 == 0)
        load_buf_print(out, "2001:db8:%x:%x::%x", (unsigned)(dice >> 8) & 0xffff,
                       (unsigned)(dice >> 24) & 0xffff, (unsigned)(dice >> 40) & 0xffff);
    else
        load_buf_print(out, "%s.%u", nets[(dice >> 8) % 3], (unsigned)(dice >> 16) & 0xff);
}

static struct load_click put_click(struct load_maker *m, struct load_buf *out, uint64_t now_ms,
                                   const char *home, enum load_identity identity)
{
    struct load_rand *r = &m->rand;
    uint64_t serial = m->serial++;
    uint64_t event_ms = now_ms - pick_age_ms(m);
    struct load_click click = {pick_ad(m), (uint32_t)(event_ms / 60000)};
    char ad[LOAD_AD_NAME_BYTES];
    load_ad_name(click.ad, ad);
    load_buf_print(out, "{\"ad_id\":\"%s\",\"user_id\":\"", ad);
    /* Where the five fields are the identity, user and millisecond must tell clicks apart. */
    if (identity == LOAD_ID_FIELDS)
        load_buf_print(out, "u-%08x-%" PRIx64, (unsigned)m->mix.run, serial);
    else
        load_buf_print(out, "u-%08x-%u", (unsigned)m->mix.run, (unsigned)load_rand_below(r, 50000));
    if (identity == LOAD_ID_FIELDS || load_rand_permille(r, 500))
        load_buf_print(out, "\",\"timestamp\":%" PRIu64, event_ms);
    else
        load_buf_print(out, "\",\"timestamp\":%" PRIu64, event_ms / 1000);
    if (!load_rand_permille(r, 50)) { /* else the edge fills it in */
        load_buf_print(out, ",\"ip_address\":\"");
        put_address(m, out);
        load_buf_print(out, "\"");
    }
    if (!load_rand_permille(r, 50)) {
        size_t agent = (size_t)load_rand_below(r, sizeof agents / sizeof agents[0]);
        int more = (int)m->mix.agent_bytes - (int)strlen(agents[agent]);
        load_buf_print(out, ",\"user_agent\":\"%s%.*s\"", agents[agent], more > 0 ? more : 0,
                       filling);
    }
    if (identity == LOAD_ID_CLICK)
        load_buf_print(out, ",\"click_id\":\"%016" PRIx64 "-%08" PRIx64 "\"", m->mix.run, serial);
    if (home)
        load_buf_print(out, ",\"home\":\"%s\"", home);
    load_buf_print(out, "}");
    return click;
}

static unsigned pick_count(struct load_maker *m)
{
    /* The share is of clicks, not of requests: a batch weighs as much as it holds. */
    double mean = (m->mix.batch_min + m->mix.batch_max) / 2.0;
    double single = m->mix.single_permille / 1000.0;
    double chance = single >= 1 ? 1 : single / (single + (1 - single) / mean);
    if ((double)load_rand_below(&m->rand, 1000000) < chance * 1000000)
        return 1;
    return m->mix.batch_min +
           (unsigned)load_rand_below(&m->rand, m->mix.batch_max - m->mix.batch_min + 1);
}

void load_make_body(struct load_maker *m, uint64_t now_ms, const char *home, unsigned clicks_max,
                    struct load_body *out)
{
    *out = (struct load_body){0};
    out->count = pick_count(m);
    if (out->count > clicks_max)
        out->count = clicks_max;
    out->clicks = load_alloc(out->count * sizeof *out->clicks);
    bool lines = out->count > 1 && (m->mix.lines_only || load_rand_permille(&m->rand, 500));
    bool array = !lines && (out->count > 1 || load_rand_permille(&m->rand, 100));
    out->content_type = lines                                         ? "application/x-ndjson"
                        : !array && load_rand_permille(&m->rand, 200) ? "text/plain;charset=UTF-8"
                                                                      : "application/json";
    bool keyed = load_rand_permille(&m->rand, 300);
    if (keyed)
        snprintf(out->idempotency_key, sizeof out->idempotency_key, "k-%016" PRIx64 "-%" PRIu64,
                 m->mix.run, m->serial);
    if (array)
        load_buf_print(&out->text, "[");
    for (unsigned i = 0; i < out->count; i++) {
        enum load_identity identity = keyed ? LOAD_ID_HEADER : LOAD_ID_FIELDS;
        if (load_rand_permille(&m->rand, 400))
            identity = LOAD_ID_CLICK;
        if (array && i > 0)
            load_buf_print(&out->text, ",");
        out->clicks[i] = put_click(m, &out->text, now_ms, home, identity);
        if (lines)
            load_buf_print(&out->text, "\n");
    }
    if (array)
        load_buf_print(&out->text, "]");
}

void load_body_done(struct load_body *b)
{
    load_buf_done(&b->text);
    free(b->clicks);
    *b = (struct load_body){0};
}
