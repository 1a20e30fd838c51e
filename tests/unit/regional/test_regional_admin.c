/* SPDX-License-Identifier: Apache-2.0 */
#include "regional/regional_admin.h"

#include "common/run/kv_lmdb.h"
#include "common/run/log.h"
#include "regional/regional_admin_restore.h"
#include "unit/regional/replica_given.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <sys/socket.h>
#include <unistd.h>

struct shop {
    struct world world;
    struct node node;
    struct regional_admin *admin;
    char folder[64], store[96], url[64];
};

static struct kv_port *open_store(const char *path)
{
    struct kv_lmdb_options o = {.path = path,
                                .map_bytes = 64 << 20,
                                .tables = replica_table_names,
                                .table_count = CUT_TABLES};
    struct kv_port *kv = NULL;
    cr_assert_eq(kv_lmdb_open(&o, &kv), ERR_OK);
    return kv;
}

static void given_shop(struct shop *s)
{
    memset(s, 0, sizeof(*s));
    log_init("test", LOG_ERROR);
    (void)snprintf(s->folder, sizeof(s->folder), "/tmp/region-admin-XXXXXX");
    cr_assert_not_null(mkdtemp(s->folder));
    (void)snprintf(s->store, sizeof(s->store), "%s/r1", s->folder);
    given_world(&s->world);
    s->node.kv = open_store(s->store);
    (void)snprintf(s->node.name, sizeof(s->node.name), "us-r1");
    cr_assert_eq(node_start(&s->world, &s->node), ERR_OK);
    for (unsigned i = 0; schedule_step(&s->world, i); i++)
        cr_assert_eq(node_run(&s->node), ERR_OK);
    cr_assert_eq(settle(&s->world, &s->node), ERR_OK);
    struct regional_admin_options o = {.listen = "127.0.0.1:0",
                                       .store_path = s->store,
                                       .kv = s->node.kv,
                                       .replica = "us-r1",
                                       .region = "us",
                                       .behind_ms = 3000};
    cr_assert_eq(regional_admin_start(&o, &s->admin), ERR_OK);
    (void)snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%u", regional_admin_port(s->admin));
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *walk)
{
    (void)stat;
    (void)type;
    (void)walk;
    return remove(path);
}

static void shop_done(struct shop *s)
{
    regional_admin_stop(s->admin);
    replica_free(s->node.replica);
    kv_lmdb_close(s->node.kv);
    world_done(&s->world);
    (void)nftw(s->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* The whole answer, as text; malloc'ed. */
static char *get(struct shop *s, const char *path)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(regional_admin_port(s->admin)),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int file = socket(AF_INET, SOCK_STREAM, 0);
    struct buf answer = {0};
    char line[128];
    cr_assert_eq(connect(file, (struct sockaddr *)&to, sizeof(to)), 0);
    int length = snprintf(line, sizeof(line),
                          "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);
    cr_assert_eq(write(file, line, (size_t)length), length);
    for (;;) {
        buf_reserve(&answer, 4096);
        ssize_t got = read(file, answer.data + answer.length, 4096);
        if (got <= 0)
            break;
        answer.length += (size_t)got;
    }
    (void)close(file);
    buf_put_u8(&answer, 0);
    return (char *)answer.data;
}

static void expect(struct shop *s, const char *path, const char *words)
{
    char *answer = get(s, path);
    cr_assert_not_null(strstr(answer, words), "%s does not say \"%s\":\n%s", path, words, answer);
    free(answer);
}

Test(regional_admin, metrics_show_the_books)
{
    struct shop s;
    given_shop(&s);

    regional_admin_show(s.admin, s.node.replica);

    expect(&s, "/metrics", "\ntributary_regional_folded_total 600\n");
    expect(&s, "/metrics",
           "tributary_regional_partition_folded{region=\"us\",partition=\"1\"} 600\n");
    expect(&s, "/metrics", "\n# TYPE tributary_regional_watermark_lag_seconds gauge\n");
    expect(&s, "/livez", " 200 ");
    shop_done(&s);
}

Test(regional_admin, ready_only_when_caught_up)
{
    struct shop s;
    given_shop(&s);

    expect(&s, "/readyz", " 503 ");
    regional_admin_show(s.admin, s.node.replica);
    expect(&s, "/readyz", " 200 ");
    shop_done(&s);
}

static void publish_tick(struct shop *s)
{
    struct buf message = {0};
    tick_write(&message);
    struct subject to = subject_tick(GIVEN_REGION, GIVEN_PARTITION, "us-r9");
    cr_assert_eq(bus_publish(s->world.edge, to.text, NULL, buf_span(&message), 1), ERR_OK);
    buf_done(&message);
}

Test(regional_admin, a_replica_that_is_behind_says_by_how_much)
{
    struct shop s;
    given_shop(&s);
    sim_bus_latency(s.world.server, 10000);
    publish_tick(&s);
    world_advance(&s.world, 6000);
    publish_tick(&s);
    publish_tick(&s);
    world_advance(&s.world, 4000);

    cr_assert_eq(node_run(&s.node), ERR_OK);
    regional_admin_show(s.admin, s.node.replica);

    expect(&s, "/readyz", " 503 ");
    expect(&s, "/readyz", "partition 1 is behind: 2 messages, 10000 ms");
    expect(&s, "/metrics", "_partition_lag_messages{region=\"us\",partition=\"1\"} 2\n");
    expect(&s, "/metrics", "_partition_lag_seconds{region=\"us\",partition=\"1\"} 10\n");
    world_advance(&s.world, 10000);
    cr_assert_eq(node_run(&s.node), ERR_OK);
    regional_admin_show(s.admin, s.node.replica);
    expect(&s, "/readyz", " 200 ");
    expect(&s, "/metrics", "_partition_lag_seconds{region=\"us\",partition=\"1\"} 0\n");
    shop_done(&s);
}

static void expect_restored(struct shop *s, const char *path)
{
    struct node copy = {0};
    struct replica_view mine, its;
    (void)snprintf(copy.name, sizeof(copy.name), "us-r2");
    copy.kv = open_store(path);
    cr_assert_eq(node_start(&s->world, &copy), ERR_OK);
    cr_assert_eq(copy.notes[REPLICA_ADOPTED_STORE], 1);
    cr_assert_eq(digest_of(fold_of(&copy)), digest_of(fold_of(&s->node)));
    replica_view(s->node.replica, &mine);
    replica_view(copy.replica, &its);
    cr_assert_neq(mine.store_id, its.store_id);
    replica_free(copy.replica);
    kv_lmdb_close(copy.kv);
}

Test(regional_admin, a_new_replica_begins_with_a_copy_of_a_running_peer)
{
    struct shop s;
    char path[128], busy[128];
    given_shop(&s);
    (void)snprintf(path, sizeof(path), "%s/r2", s.folder);
    (void)snprintf(busy, sizeof(busy), "%s/r2.restore", s.folder);

    regional_admin_show(s.admin, s.node.replica);
    cr_assert_eq(regional_admin_restore(s.url, path, 64 << 20), ERR_OK);

    cr_assert_neq(access(busy, F_OK), 0, "nothing is left over");
    expect_restored(&s, path);
    cr_assert_eq(regional_admin_restore(s.url, path, 64 << 20), ERR_CONFIG,
                 "a store that is there is never replaced");
    shop_done(&s);
}

Test(regional_admin, a_peer_that_has_not_caught_up_gives_no_copy_unless_it_is_told_to)
{
    struct shop s;
    char path[128];
    given_shop(&s);
    (void)snprintf(path, sizeof(path), "%s/r2", s.folder);

    expect(&s, "/v1/store-copy", " 503 ");
    expect(&s, "/v1/store-copy", "has not caught up");
    cr_assert_neq(regional_admin_restore(s.url, path, 64 << 20), ERR_OK);
    cr_assert_neq(access(path, F_OK), 0);

    expect(&s, "/v1/store-copy?unready=1", " 200 ");
    shop_done(&s);
}

Test(regional_admin, what_is_no_store_is_not_put_into_place)
{
    struct shop s;
    char path[128], url[96];
    given_shop(&s);
    (void)snprintf(path, sizeof(path), "%s/r2", s.folder);

    (void)snprintf(url, sizeof(url), "%s/elsewhere", s.url);
    cr_assert_eq(regional_admin_restore(url, path, 64 << 20), ERR_CONFIG);
    cr_assert_eq(regional_admin_restore("ftp://127.0.0.1:1", path, 64 << 20), ERR_CONFIG);
    cr_assert_eq(regional_admin_restore("http://nohost", path, 64 << 20), ERR_CONFIG);
    cr_assert_neq(regional_admin_restore_file("/proc/self/maps", path, 64 << 20), ERR_OK);
    cr_assert_neq(regional_admin_restore_file("/nonexistent", path, 64 << 20), ERR_OK);

    cr_assert_neq(access(path, F_OK), 0);
    shop_done(&s);
}

Test(regional_admin, a_peer_that_is_away_is_an_error_and_leaves_nothing)
{
    struct shop s;
    char path[128], url[64];
    given_shop(&s);
    (void)snprintf(path, sizeof(path), "%s/r2", s.folder);
    (void)snprintf(url, sizeof(url), "%s", s.url);
    regional_admin_stop(s.admin);
    s.admin = NULL;

    cr_assert_eq(regional_admin_restore(url, path, 64 << 20), ERR_SYSTEM);

    cr_assert_neq(access(path, F_OK), 0);
    shop_done(&s);
}
