/* SPDX-License-Identifier: Apache-2.0
 * options_check: holds a YAML text against a libcyaml schema, strictly, and says where it is wrong.
 * Pure. Audience: common/run/options, tests.
 *
 * libcyaml 1.3.1 takes -5 for 2^64-5, "maybe" for true, 1.5 for 1, 010 for 8, an empty file for no
 * configuration, and names the place of a missing or unknown key by its neighbour. So everything is
 * judged here, before it loads. */
#pragma once

#include "common/base/bytes.h"

#include <cyaml/cyaml.h>

/* False: *out_error gets "line:column: path: what is wrong" (malloc'ed; no newline). Aliases, a
 * second document, duplicate and unknown keys are wrong. Numbers are plain decimals, booleans are
 * true, false, yes, no, on or off, names of an enumeration are exact. */
bool options_check(const cyaml_schema_value_t *schema, struct span text, char **out_error);
