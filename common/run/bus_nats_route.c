/* SPDX-License-Identifier: Apache-2.0 */
#include "common/run/bus_nats_inside.h"

_Static_assert(sizeof(void *) == sizeof(uint64_t), "a route is packed into a closure");
_Static_assert(BUS_NATS_HANDLES <= 1 << 12, "a handle has 12 bits in a route");

/* Guards the list, the numbers and every port's pins; taken before no other lock. */
static pthread_mutex_t ports_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ports_unpinned = PTHREAD_COND_INITIALIZER;
static struct bus_nats *ports;
static uint16_t ports_last_number;
static uint32_t serial_last;

static struct bus_nats *find(uint16_t number)
{
    struct bus_nats *b = ports;
    while (b != NULL && b->number != number)
        b = b->next_port;
    return b;
}

void bus_nats_route_add(struct bus_nats *b)
{
    CHECK(pthread_mutex_lock(&ports_lock) == 0);
    do {
        ports_last_number++;
    } while (ports_last_number == 0 || find(ports_last_number) != NULL);
    b->number = ports_last_number;
    b->next_port = ports;
    ports = b;
    CHECK(pthread_mutex_unlock(&ports_lock) == 0);
}

void bus_nats_route_remove(struct bus_nats *b)
{
    CHECK(pthread_mutex_lock(&ports_lock) == 0);
    struct bus_nats **at = &ports;
    while (*at != b) {
        CHECK(*at != NULL);
        at = &(*at)->next_port;
    }
    *at = b->next_port;
    while (b->pins > 0)
        CHECK(pthread_cond_wait(&ports_unpinned, &ports_lock) == 0);
    CHECK(pthread_mutex_unlock(&ports_lock) == 0);
}

uint32_t bus_nats_route_serial(void)
{
    CHECK(pthread_mutex_lock(&ports_lock) == 0);
    uint32_t serial = ++serial_last;
    CHECK(serial != 0);
    CHECK(pthread_mutex_unlock(&ports_lock) == 0);
    return serial;
}

void *bus_nats_route_closure(const struct bus_nats *b, struct bus_nats_route route)
{
    CHECK(route.handle < BUS_NATS_HANDLES);
    uint64_t packed = (uint64_t)route.kind << 60 | (uint64_t)route.handle << 48 |
                      (uint64_t)b->number << 32 | route.serial;
    return (void *)(uintptr_t)packed;
}

struct bus_nats *bus_nats_route_enter(const void *closure, struct bus_nats_route *out)
{
    uint64_t packed = (uint64_t)(uintptr_t)closure;
    CHECK(pthread_mutex_lock(&ports_lock) == 0);
    struct bus_nats *b = find((uint16_t)(packed >> 32));
    if (b != NULL)
        b->pins++;
    CHECK(pthread_mutex_unlock(&ports_lock) == 0);
    if (b == NULL)
        return NULL;
    *out = (struct bus_nats_route){
        .kind = (enum bus_nats_route_kind)(packed >> 60),
        .handle = (unsigned)(packed >> 48) & (BUS_NATS_HANDLES - 1),
        .serial = (uint32_t)packed,
    };
    bus_nats_lock(b);
    return b;
}

void bus_nats_route_leave(struct bus_nats *b)
{
    bus_nats_unlock(b);
    CHECK(pthread_mutex_lock(&ports_lock) == 0);
    CHECK(b->pins > 0);
    if (--b->pins == 0)
        (void)pthread_cond_broadcast(&ports_unpinned);
    CHECK(pthread_mutex_unlock(&ports_lock) == 0);
}
