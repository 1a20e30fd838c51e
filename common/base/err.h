/* SPDX-License-Identifier: Apache-2.0
 * err: the one table of what can fail for outside reasons, in words and in class.
 * Audience: everyone. Pure.
 *
 * The class is all a caller needs:
 *   RETRY   later, with the same input
 *   REFUSE  this input, never
 *   STOP    this process is no longer fit: exit, restart, replay
 * Foreign codes (mdb, nats, openssl, errno) become ours at the adapter's edge and
 * nowhere else; the original goes into the log line. */
#pragma once

#include "common/base/base.h"

enum err_class { ERR_CLASS_OK, ERR_CLASS_RETRY, ERR_CLASS_REFUSE, ERR_CLASS_STOP };

/*    code                 class   words */
#define ERR_TABLE(X)                                                                               \
    X(ERR_OK, OK, "ok")                                                                            \
    X(ERR_TRUNCATED, REFUSE, "input ends too early")                                               \
    X(ERR_TRAILING, REFUSE, "input goes on after its end")                                         \
    X(ERR_MAGIC, REFUSE, "not a message of this kind")                                             \
    X(ERR_VERSION, REFUSE, "a version this program does not know")                                 \
    X(ERR_CHECKSUM, REFUSE, "checksum does not match")                                             \
    X(ERR_FORMAT, REFUSE, "malformed content")                                                     \
    X(ERR_RANGE, REFUSE, "a value outside its range")                                              \
    X(ERR_LIMIT, REFUSE, "a limit was exceeded")                                                   \
    X(ERR_COUNT_FULL, REFUSE, "a counter would wrap")                                              \
    X(ERR_COLLISION, REFUSE, "two ad ids share one 64-bit hash")                                   \
    X(ERR_NOT_FOUND, REFUSE, "not found")                                                          \
    X(ERR_RETIRED, REFUSE, "older than what is kept")                                              \
    X(ERR_CONFIG, REFUSE, "configuration refused")                                                 \
    X(ERR_KV_FULL, RETRY, "store is full")                                                         \
    X(ERR_KV_IO, STOP, "store input/output error")                                                 \
    X(ERR_KV_CORRUPT, STOP, "store is damaged")                                                    \
    X(ERR_KV_BUSY, RETRY, "too many readers of the store")                                         \
    X(ERR_BUS_DOWN, RETRY, "bus is not connected")                                                 \
    X(ERR_BUS_BUSY, RETRY, "bus window is full")                                                   \
    X(ERR_BUS_TIMEOUT, RETRY, "bus did not answer in time: outcome unknown")                       \
    X(ERR_BUS_REFUSED, RETRY, "bus refused the message")                                           \
    X(ERR_BELOW_LOW, STOP, "this store's floor is below what the edge still holds")                \
    X(ERR_STORE_AWAY, RETRY, "object store does not answer, or is busy")                           \
    X(ERR_STORE_REFUSED, RETRY, "object store refused the request")                                \
    X(ERR_STOPPING, RETRY, "shutting down")                                                        \
    X(ERR_SYSTEM, STOP, "operating system error")

enum err {
#define ERR_ENUM_ROW(code, class_, words) code,
    ERR_TABLE(ERR_ENUM_ROW)
#undef ERR_ENUM_ROW
        ERR_COUNT
};

/* Words for people; never NULL. `code` outside the table is a CHECK failure. */
const char *err_words(enum err code);

enum err_class err_class(enum err code);
