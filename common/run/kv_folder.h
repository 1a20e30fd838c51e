/* SPDX-License-Identifier: Apache-2.0
 * kv_folder: the folder of a store: made private, owned by one process at a time, durable in its
 * parent. Audience: common/run/kv_lmdb. At start-up and end only. */
#pragma once

#include "common/base/err.h"

struct kv_folder {
    char *path;
    int lock_file;
};

/* Makes the folder and its parents where missing (mode 0700) and takes the lock. ERR_SYSTEM
 * otherwise, logged: also when another process, or another opening of this one, has it. */
enum err WARN_UNUSED kv_folder_take(const char *path, struct kv_folder *out);
/* Makes the names of the folder and of the files in it durable; false with errno set. */
bool WARN_UNUSED kv_folder_sync(const struct kv_folder *f);
void kv_folder_release(struct kv_folder *f);
