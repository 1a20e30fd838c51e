/* SPDX-License-Identifier: Apache-2.0
 * sim_fuse: a process that dies at its n-th effect on the world: what it does afterwards reaches
 * nobody and nothing. Audience: tests. Shared by the ports of one process; NULL: never. */
#pragma once

#include "common/base/base.h"

struct sim_fuse {
    uint32_t left;     /* effects until death; 0: not armed */
    bool applied_last; /* the effect at which it dies still happens */
    bool blown;
};

/* May this effect happen? */
static inline bool sim_fuse_burn(struct sim_fuse *f)
{
    if (f == NULL)
        return true;
    if (f->blown)
        return false;
    if (f->left == 0 || --f->left > 0)
        return true;
    f->blown = true;
    return f->applied_last;
}
