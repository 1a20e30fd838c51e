/* SPDX-License-Identifier: Apache-2.0
 * wake: lets any thread wake one sleeping worker thread. Audience: common/run, shells. */
#pragma once

#include "common/base/base.h"

struct wake;

struct wake *wake_new(void);
void wake_free(struct wake *w);
/* Any thread, also from library callbacks; never blocks. Signals are counted as one. `wake` is a
 * struct wake: the type fits notify callbacks. */
void wake_signal(void *wake);
/* Sleeps until signalled or timeout_ms passed; returns true if signalled. Clears the signal. */
bool wake_wait(struct wake *w, uint32_t timeout_ms);
