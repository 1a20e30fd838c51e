/* SPDX-License-Identifier: Apache-2.0
 * click_object: one click object of a body: its fields, their rules, its duplicate keys.
 * Audience: proto/click_json. Pure. One thread at a time per arena. */
#pragma once

#include "proto/click_json.h"
#include "proto/json_text.h"

/* Unescaped texts of all clicks of a body, freed in one go. Zero-initialised is empty. */
struct click_object_arena {
    struct click_object_chunk *newest;
};

void click_object_arena_done(struct click_object_arena *arena);

enum click_json_kind click_object_kind(enum json_text_kind kind);

/* Scans the object at the cursor, `open` containers being open around it, into *out, whose fault
 * must be CLICK_JSON_OK. A fault of the click goes there, the values being cleared then; false: the
 * text itself is at fault, see t->fault. */
bool click_object_scan(struct json_text *t, struct click_object_arena *arena, unsigned open,
                       struct click_json_click *out);
