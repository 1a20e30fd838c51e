/* SPDX-License-Identifier: Apache-2.0 */
#include "regional/archiver_admin.h"

#include "common/run/kv_lmdb.h"
#include "common/run/metrics.h"
#include "unit/regional/archiver_given.h"

#include <curl/curl.h>
#include <ftw.h>
#include <unistd.h>

static size_t take(char *data, size_t size, size_t count, void *context)
{
    buf_put(context, data, size * count);
    return size * count;
}

static long ask(const struct archiver_admin *a, const char *path, struct buf *out)
{
    char url[64];
    long status = 0;
    buf_clear(out);
    CURL *curl = curl_easy_init();
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", archiver_admin_port(a), path);
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, out);
    cr_assert_eq(curl_easy_perform(curl), CURLE_OK);
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(curl);
    buf_put_u8(out, 0);
    return status;
}

static void expect_words(const struct buf *b, const char *words)
{
    cr_assert_not_null(strstr((const char *)b->data, words), "no \"%s\" in %s", words, b->data);
}

static int remove_entry(const char *path, const struct stat *stat, int kind, struct FTW *walk)
{
    (void)stat, (void)kind, (void)walk;
    return remove(path);
}

Test(archiver_admin, it_says_how_the_archiver_stands)
{
    char folder[] = "/tmp/archiver-admin-XXXXXX";
    struct world w;
    struct arch_node n;
    struct arch_ear ear = {0};
    struct buf out = {0};
    struct archiver_admin *a = NULL;
    struct kv_port *kv = NULL;
    cr_assert_not_null(mkdtemp(folder));
    struct kv_lmdb_options store = {folder, 16 << 20, archiver_table_names, ARCHIVER_TABLES, 0, 0};
    cr_assert_eq(kv_lmdb_open(&store, &kv), ERR_OK);
    given_world(&w);
    given_arch_node(&w, &n, "us-a1");
    struct archiver_admin_options options = {"127.0.0.1:0", folder, kv, "us-a1", "us", 5000};
    cr_assert_eq(archiver_admin_start(&options, &a), ERR_OK);

    archiver_admin_show(a, n.archiver);
    cr_assert_eq(ask(a, "/livez", &out), 200);
    cr_assert_eq(ask(a, "/readyz", &out), 503);
    expect_words(&out, "partition 1 has not caught up yet");

    struct segment_head h = edge_run(&w, &ear, 0, 10);
    publish_full(&w, &h);
    cr_assert_eq(arch_run(&n), ERR_OK);
    archiver_admin_show(a, n.archiver);
    cr_assert_eq(ask(a, "/readyz", &out), 200);

    sim_store_down(n.store, ERR_STORE_REFUSED);
    world_advance(&w, 5000);
    cr_assert_eq(arch_run(&n), ERR_OK);
    archiver_admin_show(a, n.archiver);
    cr_assert_eq(ask(a, "/readyz", &out), 503);
    expect_words(&out, "objects cannot be put now");

    cr_assert_eq(ask(a, "/metrics", &out), 200);
    expect_words(&out, "tributary_archiver_clicks_total 10\n");
    expect_words(&out, "tributary_archiver_alarm_store_away 1\n");
    expect_words(&out, "tributary_archiver_partition_state{region=\"us\",partition=\"1\"} 2\n");

    archiver_admin_stop(a);
    archiver_admin_stop(NULL);
    kv_lmdb_close(kv);
    arch_done(&n);
    world_done(&w);
    buf_done(&out);
    cr_assert_eq(nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}
