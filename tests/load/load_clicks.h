/* SPDX-License-Identifier: Apache-2.0
 * load_clicks: makes realistic clicks, singly and in batches, from one seed.
 * Every click differs from every other of this and of any other run; a retry is the same bytes
 * again. */
#pragma once

#include "load_base.h"

enum load_identity { LOAD_ID_CLICK, LOAD_ID_HEADER, LOAD_ID_FIELDS, LOAD_IDS };

struct load_mix {
    uint64_t seed, run;
    unsigned ads;
    double zipf;
    unsigned single_permille; /* of clicks: sent one by one */
    unsigned batch_min, batch_max;
    unsigned late_permille; /* of clicks: up to five minutes old */
    unsigned aged_permille; /* of clicks: up to half a minute old; all others up to two seconds */
    unsigned agent_bytes;   /* user agents are at least so long */
    bool lines_only;        /* batches are NDJSON, never arrays */
};

struct load_click {
    uint32_t ad;     /* load_ad_name */
    uint32_t minute; /* of the event */
};

/* One body, ready to be sent. */
struct load_body {
    struct load_buf text;
    const char *content_type;
    char idempotency_key[48]; /* "" when the request has none */
    struct load_click *clicks;
    unsigned count;
};

struct load_maker;
struct load_maker *load_maker_new(const struct load_mix *mix);
void load_maker_free(struct load_maker *m);
struct load_rand *load_maker_rand(struct load_maker *m);

/* The next body at the wall clock now_ms, with `home` in every click unless NULL, of at most
 * clicks_max clicks. */
void load_make_body(struct load_maker *m, uint64_t now_ms, const char *home, unsigned clicks_max,
                    struct load_body *out);
void load_body_done(struct load_body *b);

#define LOAD_AD_NAME_BYTES 16
void load_ad_name(uint32_t ad, char out[LOAD_AD_NAME_BYTES]);
