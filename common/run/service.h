/* SPDX-License-Identifier: Apache-2.0
 * service: how a program and the service manager that started it talk: sockets handed over
 * (sd_listen_fds(3)) and states told (sd_notify(3)); the two small protocols alone, without the
 * library. Audience: mains. At start-up, before threads; service_notify by any thread. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"

/* The one listening TCP socket that was handed to this very process: its number in *out, -1 where
 * there is none. It is made non-blocking and close-on-exec, and is the caller's. ERR_CONFIG
 * (logged): more than one, or something else. */
enum err WARN_UNUSED service_listener(int *out);

/* E.g. "READY=1"; without a manager that listens: nothing. */
void service_notify(const char *state);
/* "RELOADING=1" with the clock that Type=notify-reload asks for; READY=1 must follow. */
void service_notify_reloading(void);
