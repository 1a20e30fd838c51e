/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/err.h"

static const struct {
    enum err_class class_;
    const char *words;
} err_rows[] = {
#define ERR_ROW(code, class_, words) {ERR_CLASS_##class_, words},
    ERR_TABLE(ERR_ROW)
#undef ERR_ROW
};

_Static_assert(countof(err_rows) == ERR_COUNT, "one row per code");

const char *err_words(enum err code)
{
    CHECK((unsigned)code < ERR_COUNT);
    return err_rows[code].words;
}

enum err_class err_class(enum err code)
{
    CHECK((unsigned)code < ERR_COUNT);
    return err_rows[code].class_;
}
