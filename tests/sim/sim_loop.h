/* SPDX-License-Identifier: Apache-2.0
 * sim_loop: every call of every port by every driver fails once, with every error that it may
 * return: a short story is told again for each n until it has no n-th call. Audience: tests/sim. */
#pragma once

#include "tests/sim/sim_world.h"

/* Tells all of it and prints how often each error was taken by which driver. `every`: behind the
 * first calls of each only one in so many; 1: all. Returns how many runs ended badly, errors that a
 * driver never met included. */
unsigned sim_loop_run(unsigned jobs, uint32_t every);
