/* SPDX-License-Identifier: Apache-2.0
 * kv_store: a store on LMDB in a temporary folder, and short words for what tests do with it.
 * Audience: tests/unit/run/test_kv_lmdb*.c. */
#pragma once

#include "common/run/kv_lmdb.h"
#include "scratch.h"

static const char *const table_names[] = {"alpha", "beta"};
enum { ALPHA, BETA };

static char *folder;

static void setup(void)
{
    folder = scratch_new();
}

static void teardown(void)
{
    scratch_free(folder);
}

__attribute__((unused)) static struct kv_port *opened(const char *path, uint64_t map_bytes)
{
    struct kv_port *kv = NULL;
    struct kv_lmdb_options options = {
        .path = path, .map_bytes = map_bytes, .tables = table_names, .table_count = 2};
    cr_assert_eq(kv_lmdb_open(&options, &kv), ERR_OK);
    return kv;
}

__attribute__((unused)) static struct kv_txn *begun(struct kv_port *kv, bool write)
{
    struct kv_txn *txn = NULL;
    cr_assert_eq(kv_begin(kv, write, &txn), ERR_OK);
    return txn;
}

__attribute__((unused)) static void put_text(struct kv_txn *txn, unsigned table, const char *key,
                                             const char *value)
{
    kv_put(txn, table, span_of_text(key), span_of_text(value));
}

__attribute__((unused)) static void given(struct kv_port *kv, const char *key, const char *value)
{
    struct kv_txn *txn = begun(kv, true);
    put_text(txn, ALPHA, key, value);
    cr_assert_eq(kv_commit(&txn), ERR_OK);
}

__attribute__((unused)) static void expect_in(struct kv_txn *txn, unsigned table, const char *key,
                                              const char *value)
{
    struct span found;
    bool there = kv_get(txn, table, span_of_text(key), &found);
    cr_assert_eq(there, value != NULL, "%s", key);
    if (there)
        cr_assert(span_equal(found, span_of_text(value)), "%s", key);
}

__attribute__((unused)) static void expect(struct kv_port *kv, const char *key, const char *value)
{
    struct kv_txn *txn = begun(kv, false);
    expect_in(txn, ALPHA, key, value);
    cr_assert_eq(kv_abort(&txn), ERR_OK);
}

/* A value whose length and content follow from its tag. */
__attribute__((unused)) static struct span model_value(uint32_t tag, uint8_t out[12000])
{
    size_t length = tag % 5 == 0 ? tag % 12000 : tag % 300; /* some on overflow pages */
    memset(out, (int)(tag & 0xff), length);
    return span_of(out, length);
}
