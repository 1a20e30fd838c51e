/* SPDX-License-Identifier: Apache-2.0
 * Claims about edge_threads_degraded: whoever is passed over is named, wherever operators look. */
#include "proto/floor.h"
#include "tests/unit/edge/running_edge.h"
#include "tests/unit/run/h2_probe.h"

#include <criterion/criterion.h>

/* A reader of region us says something; it has consumed nothing. */
static void says(struct running_edge *e, const char *reader)
{
    struct floor_message m = {.store_id = 1, .region = "us", .edge = "us-e1"};
    struct buf *word = base_zalloc(1, sizeof(*word));
    memcpy(m.reader, reader, strlen(reader));
    floor_write(word, &m);
    struct buf *unheard = atomic_exchange(&e->bus[0].word, word);
    if (unheard != NULL)
        buf_done(unheard);
    free(unheard);
    wake_signal(e->wake);
}

static bool shows(struct running_edge *e, const char *line)
{
    struct buf out = {0};
    edge_threads_metrics(e->threads, &out);
    buf_put_u8(&out, 0);
    bool found = strstr((const char *)out.data, line) != NULL;
    buf_done(&out);
    return found;
}

/* While this reader talks on. */
static bool comes_to(struct running_edge *e, const char *reader, const char *line)
{
    uint64_t deadline = h2_probe_now() + 3 * H2_PROBE_WAIT_MS;
    while (!shows(e, line)) {
        if (h2_probe_now() > deadline)
            return false;
        says(e, reader);
        poll(NULL, 0, 20);
    }
    return true;
}

static void expect_ready(struct running_edge *e, bool degraded)
{
    struct buf out = {0};
    cr_expect(edge_threads_ready(e->threads, &out));
    buf_put_u8(&out, 0);
    const char *at = strstr((const char *)out.data,
                            "degraded: the spool is nearly full and lets go of clicks that reader "
                            "r2 of region us, which is missing, has not consumed\n");
    cr_expect_eq(at != NULL, degraded, "%s", (const char *)out.data);
    buf_done(&out);
}

Test(edge_threads_degraded, a_reader_that_is_passed_over_is_named_and_so_is_its_return)
{
    struct running_edge *e = running_edge_new(1, 0, 1000);
    cr_expect(shows(e, "\ntributary_edge_spool_degraded{home=\"us\",reader=\"r2\"} 0\n"));
    expect_ready(e, false);

    e->used_bytes = 920; /* of 1000 */
    cr_expect(comes_to(e, "r1", "\ntributary_edge_spool_degraded{home=\"us\",reader=\"r2\"} 1\n"));
    cr_expect(shows(e, "\ntributary_edge_spool_degraded{home=\"us\",reader=\"r1\"} 0\n"));
    cr_expect(shows(e, "\ntributary_edge_spool_degraded{home=\"eu\",reader=\"r2\"} 0\n"));
    expect_ready(e, true);

    cr_expect(comes_to(e, "r2", "\ntributary_edge_spool_degraded{home=\"us\",reader=\"r2\"} 0\n"));
    cr_expect(shows(e, "\ntributary_edge_reader_passed_total{home=\"us\",reader=\"r2\"} 0\n"));
    expect_ready(e, false);

    (void)edge_threads_stop(e->threads, 2000, 0);
    running_edge_free(e);
}
