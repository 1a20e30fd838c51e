/* SPDX-License-Identifier: Apache-2.0
 * sim_shrink: runs a plan in a process of its own, so that a failed CHECK is a finding too; and
 * makes a failing plan small. Audience: tests/sim. */
#pragma once

#include "tests/sim/sim_world.h"

/* As sim_world_run; a child that dies is a violation of "check", one that hangs of "hangs". */
void sim_shrink_run(const struct sim_plan *plan, struct sim_result *out);

/* Drops faults, then time, then clients, while the plan goes on failing in the same way. `plan`
 * becomes the least. */
void sim_shrink(struct sim_plan *plan, const char *checker, unsigned runs_max);
