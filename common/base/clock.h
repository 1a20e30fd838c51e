/* SPDX-License-Identifier: Apache-2.0
 * clock: the port through which drivers read time and randomness.
 * Audience: drivers and shells. Cores never include it: time is an argument there.
 * Implementations: common/run/clock_os, tests/sim. */
#pragma once

#include "common/base/base.h"

struct clock_port {
    /* Milliseconds since 1970-01-01 UTC. May step either way. */
    uint64_t (*wall_ms)(struct clock_port *clock);
    /* Milliseconds that never go back; the origin means nothing. */
    uint64_t (*mono_ms)(struct clock_port *clock);
    /* Fills `length` unpredictable bytes (epochs, store ids). */
    void (*random)(struct clock_port *clock, void *out, size_t length);
};
