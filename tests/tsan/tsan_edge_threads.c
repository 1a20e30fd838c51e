/* SPDX-License-Identifier: Apache-2.0
 * tsan_edge_threads: an edge under ThreadSanitizer: workers, committer, forwarder and an observer
 * at once, acknowledgements that come and go, clients that leave, and a stop under load. Plain
 * main(): Criterion does not start under TSan. */
#include "tests/unit/edge/running_edge.h"
#include "tests/unit/run/h2_probe.h"

#include <pthread.h>

#define CLIENTS 4
#define ROUNDS  20
#define STREAMS 50

static const char *const fields[] = {"content-type", "application/json", NULL};
static const char *const durable[] = {"content-type", "application/json", "prefer",
                                      "durability=replicated", NULL};

static struct running_edge *edge;
static _Atomic uint64_t accepted, others;
static _Atomic bool over;

static void *client(void *number)
{
    unsigned seed = (unsigned)(uintptr_t)number;
    char text[STREAMS][160];

    for (unsigned round = 0; round < ROUNDS; round++) {
        struct h2_probe *p = h2_probe_open(edge->port, NULL);
        for (unsigned i = 0; i < STREAMS && !p->dead; i++) {
            int length =
                snprintf(text[i], sizeof(text[i]),
                         "{\"ad_id\":\"ad-%u\",\"user_id\":\"u-%u\",\"timestamp\":%llu%s}", i, seed,
                         (unsigned long long)time(NULL), i % 3 == 0 ? ",\"home\":\"eu\"" : "");
            h2_probe_ask(p, "POST", "/v1/clicks", i % 7 == 0 ? durable : fields,
                         span_of(text[i], (size_t)length), false);
        }
        if (!p->dead)
            h2_probe_send(p);
        if (round % 5 != 4) /* else leaves without waiting */
            (void)h2_probe_until(p, h2_probe_all_closed, NULL);
        for (unsigned i = 0; i < STREAMS; i++)
            if (p->answers[i].status == 202)
                accepted++;
            else
                others++;
        h2_probe_close(p);
    }
    return NULL;
}

static void *observer(void *unused)
{
    for (bool hold = false; !over; hold = !hold) {
        struct buf out = {0};
        running_edge_hold(edge, hold);
        edge_threads_metrics(edge->threads, &out);
        (void)edge_threads_ready(edge->threads, &out);
        buf_done(&out);
        poll(NULL, 0, 20);
    }
    return unused;
}

int main(void)
{
    pthread_t clients[CLIENTS], watcher;

    edge = running_edge_new(2, 10, 100);
    CHECK(pthread_create(&watcher, NULL, observer, NULL) == 0);
    for (unsigned i = 0; i < CLIENTS; i++)
        CHECK(pthread_create(&clients[i], NULL, client, (void *)(uintptr_t)i) == 0);
    /* the last client works while the edge stops */
    for (unsigned i = 0; i + 1 < CLIENTS; i++)
        CHECK(pthread_join(clients[i], NULL) == 0);
    (void)edge_threads_stop(edge->threads, 2000, 100);
    CHECK(pthread_join(clients[CLIENTS - 1], NULL) == 0);
    over = true;
    CHECK(pthread_join(watcher, NULL) == 0);
    struct edge_view view;
    edge_pipeline_view(edge->pipeline, &view);
    printf("answered 202: %llu, otherwise or never: %llu, numbered: %llu\n",
           (unsigned long long)accepted, (unsigned long long)others,
           (unsigned long long)view.accepted);
    CHECK(accepted > 0 && view.accepted >= accepted);
    running_edge_free(edge);
    return 0;
}
