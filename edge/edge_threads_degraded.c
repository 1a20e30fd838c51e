/* SPDX-License-Identifier: Apache-2.0
 * edge_threads_degraded: a spool nearly full: told to the pipeline, and what becomes of it told to
 * operators (log, /metrics, /readyz). Nobody is passed over in silence (design 3.7 [rule]). */
#include "common/run/log.h"
#include "common/run/upkeep.h"
#include "edge/core/spool_room.h"
#include "edge/core/trim_watch.h"
#include "edge/edge_threads_parts.h"

static const char *region_name(const struct edge_threads *t, uint32_t region)
{
    return t->options.rules.admit.regions[region];
}

uint64_t edge_threads_look_at_disk(struct edge_threads *t, uint64_t map_bytes)
{
    uint64_t room = map_bytes;
    if (t->options.spool_path != NULL) {
        uint64_t free_bytes = upkeep_disk_free_bytes(t->options.spool_path);
        uint64_t file_bytes = upkeep_folder_bytes(t->options.spool_path);
        room = spool_room_bytes(map_bytes, file_bytes, free_bytes);
        metrics_set(t->metrics, EDGE_SPOOL_DISK_FREE, free_bytes);
    }
    bool low = room < map_bytes;
    metrics_set(t->metrics, EDGE_SPOOL_ROOM, room);
    if (atomic_exchange(&t->disk_low, low) != low)
        log_warn(low ? "the disk has less room than the spool may need"
                     : "the disk has room for the whole spool",
                 log_u64("room_bytes", room), log_u64("map_bytes", map_bytes));
    return room;
}

static void tell(const struct edge_threads *t, uint32_t region, const struct edge_reader_view *r)
{
    if (r->passed_over)
        log_error("the spool is nearly full and lets go of clicks that a missing reader lacks",
                  log_text("region", region_name(t, region)), log_text("reader", r->reader),
                  log_u64("used_bytes", metrics_get(t->metrics, EDGE_SPOOL_USED)));
    else
        log_warn("the spool waits for a reader again", log_text("region", region_name(t, region)),
                 log_text("reader", r->reader), log_u64("numbers_passed", r->passed));
}

void edge_threads_press(struct edge_threads *t, uint64_t used_bytes, uint64_t map_bytes)
{
    uint32_t percent = t->options.degraded_percent > 0 ? t->options.degraded_percent : 100;
    t->pressed = trim_watch_pressed(t->pressed, used_bytes, map_bytes, percent);
    edge_pipeline_press(t->pipeline, t->pressed);

    for (uint32_t region = 0; region < t->options.rules.admit.region_count; region++) {
        struct edge_reader_view rows[LIMIT_READERS];
        uint32_t count = edge_pipeline_readers(t->pipeline, region, rows);
        for (uint32_t i = 0; i < count; i++) {
            if (rows[i].passed_over == ((t->passed[region] >> i & 1) != 0))
                continue;
            t->passed[region] ^= 1u << i;
            tell(t, region, &rows[i]);
        }
    }
}

void edge_threads_put_passed(const struct edge_threads *t, struct buf *out)
{
    static const char mode_name[] = "tributary_edge_spool_degraded",
                      count_name[] = "tributary_edge_reader_passed_total";
    struct buf counts = {0};

    metrics_head(out, mode_name, "gauge",
                 "1: the spool is nearly full and lets go without this reader, which is missing");
    metrics_head(&counts, count_name, "counter",
                 "numbers that this process let go before the reader had consumed them");
    for (uint32_t region = 0; region < t->options.rules.admit.region_count; region++) {
        struct edge_reader_view rows[LIMIT_READERS];
        uint32_t count = edge_pipeline_readers(t->pipeline, region, rows);
        for (uint32_t i = 0; i < count; i++) {
            const char *labels[] = {"home", region_name(t, region), "reader", rows[i].reader, NULL};
            metrics_line(out, mode_name, labels, rows[i].passed_over ? 1 : 0);
            metrics_line(&counts, count_name, labels, rows[i].passed);
        }
    }
    buf_put(out, counts.data, counts.length);
    buf_done(&counts);
}

void edge_threads_say_passed(const struct edge_threads *t, struct buf *out)
{
    if (atomic_load(&t->disk_low))
        buf_put_text(out, "disk low: the spool cannot grow to spool.bytes where it lies\n");
    for (uint32_t region = 0; region < t->options.rules.admit.region_count; region++) {
        struct edge_reader_view rows[LIMIT_READERS];
        uint32_t count = edge_pipeline_readers(t->pipeline, region, rows);
        for (uint32_t i = 0; i < count; i++) {
            if (!rows[i].passed_over)
                continue;
            buf_put_text(out,
                         "degraded: the spool is nearly full and lets go of clicks that reader ");
            buf_put_text(out, rows[i].reader);
            buf_put_text(out, " of region ");
            buf_put_text(out, region_name(t, region));
            buf_put_text(out, ", which is missing, has not consumed\n");
        }
    }
}
