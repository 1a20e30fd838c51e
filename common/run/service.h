/* SPDX-License-Identifier: Apache-2.0
 * service: how a program and the service manager that started it talk: sockets handed over
 * (sd_listen_fds(3)) and states told (sd_notify(3)); the two small protocols alone, without the
 * library. And what a program owes the machine around it. Audience: mains. At start-up, before
 * threads; service_notify by any thread. */
#pragma once

#include "common/base/bytes.h"
#include "common/base/err.h"

/* Keys and passwords lie in memory: no core file may hold it, and no process of the same user may
 * look into it (PR_SET_DUMPABLE). First of all in main. The environment's TRIBUTARY_CORE_DUMPS=1
 * leaves it as it is, for debugging, with a warning. */
void service_guard_memory(void);

/* SIGTERM and SIGINT go to the handler; a peer that went away is an error of its socket alone
 * (SIGPIPE). */
void service_catch_signals(void (*handler)(int number));

/* The one listening TCP socket that was handed to this very process: its number in *out, -1 where
 * there is none. It is made non-blocking and close-on-exec, and is the caller's. ERR_CONFIG
 * (logged): more than one, or something else. */
enum err WARN_UNUSED service_listener(int *out);

/* E.g. "READY=1"; without a manager that listens: nothing. */
void service_notify(const char *state);
/* "RELOADING=1" with the clock that Type=notify-reload asks for; READY=1 must follow. */
void service_notify_reloading(void);

/* Where a program listens, for whoever started it: the file holds all of `text` or is as it was.
 * `path` NULL: nothing to do. ERR_SYSTEM (logged): it cannot be written. */
enum err WARN_UNUSED service_write_ports(const char *path, const char *text);
