/* SPDX-License-Identifier: Apache-2.0
 * regional_options_fields: the part of the configuration that replica and archiver share, as
 * libcyaml takes it. Audience: regional_options.c, archiver_options.c. */
#pragma once

#include "common/run/options.h"

/* Of struct regional_options_nats. */
extern const cyaml_schema_field_t regional_options_nats_fields[];
