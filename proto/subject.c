/* SPDX-License-Identifier: Apache-2.0
 * subject: see subject.h. */
#include "proto/subject.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static PRINTF_LIKE(1, 2) struct subject format(const char *pattern, ...)
{
    struct subject s;
    va_list arguments;
    va_start(arguments, pattern);
    int length = vsnprintf(s.text, sizeof(s.text), pattern, arguments);
    va_end(arguments);
    CHECK(length > 0 && (size_t)length < sizeof(s.text));
    return s;
}

/* A bad name could reach into another one's subjects ("us.>"), so none gets as far as the bus. */
static const char *region_name(const char *name)
{
    CHECK(subject_name_is_valid(name, LIMIT_REGION_NAME_BYTES));
    return name;
}

static const char *edge_name(const char *name)
{
    CHECK(subject_name_is_valid(name, LIMIT_EDGE_NAME_BYTES));
    return name;
}

static const char *reader_name(const char *name)
{
    CHECK(subject_name_is_valid(name, LIMIT_READER_NAME_BYTES));
    return name;
}

static unsigned checked(uint16_t partition)
{
    CHECK(partition < LIMIT_PARTITIONS);
    return partition;
}

struct subject subject_clicks_stream(const char *region, uint16_t partition)
{
    return format("CLICKS_%s_%u", region_name(region), checked(partition));
}

struct subject subject_clicks_all(const char *region, uint16_t partition)
{
    return format("clicks.%s.%u.>", region_name(region), checked(partition));
}

struct subject subject_segment(const char *region, uint16_t partition, const char *edge)
{
    return format("clicks.%s.%u.edge.%s", region_name(region), checked(partition), edge_name(edge));
}

struct subject subject_control(const char *region, uint16_t partition)
{
    return format("clicks.%s.%u.control", region_name(region), checked(partition));
}

struct subject subject_tick(const char *region, uint16_t partition, const char *reader)
{
    return format("clicks.%s.%u.tick.%s", region_name(region), checked(partition),
                  reader_name(reader));
}

struct subject subject_floors(const char *region, const char *edge, const char *reader)
{
    return format("floors.%s.%s.%s", region_name(region), edge_name(edge), reader_name(reader));
}

struct subject subject_floors_of_edge(const char *region, const char *edge)
{
    return format("floors.%s.%s.*", region_name(region), edge_name(edge));
}

struct subject subject_partials_stream(const char *region)
{
    return format("PARTIALS_%s", region_name(region));
}

struct subject subject_partials_all(const char *region)
{
    return format("partials.%s.>", region_name(region));
}

struct subject subject_partial(const char *region, uint16_t partition, const char *replica)
{
    return format("partials.%s.%u.%s", region_name(region), checked(partition),
                  reader_name(replica));
}

struct subject subject_want(const char *region, const char *replica)
{
    return format("want.%s.%s", region_name(region), reader_name(replica));
}

struct subject subject_roster(const char *region)
{
    return format("roster.%s", region_name(region));
}

static bool skip_text(const char **at, const char *text)
{
    size_t length = strlen(text);
    if (strncmp(*at, text, length) != 0)
        return false;
    *at += length;
    return true;
}

/* Moves past one dot-free token and its dot; false when it is empty or the last one. */
static bool skip_token(const char **at, size_t length_max)
{
    const char *dot = strchr(*at, '.');
    if (dot == NULL || dot == *at || (size_t)(dot - *at) > length_max)
        return false;
    *at = dot + 1;
    return true;
}

static bool skip_number(const char **at)
{
    const char *start = *at;
    while (**at >= '0' && **at <= '9')
        (*at)++;
    return *at > start && *at - start <= 5 && skip_text(at, ".");
}

bool subject_is_from_edge(const char *subject, const char *edge)
{
    const char *at = subject;
    return skip_text(&at, "clicks.") && skip_token(&at, LIMIT_REGION_NAME_BYTES) &&
           skip_number(&at) && skip_text(&at, "edge.") && edge[0] != '\0' && strcmp(at, edge) == 0;
}

bool subject_name_is_valid(const char *name, size_t length_max)
{
    size_t length = strlen(name);
    if (length == 0 || length > length_max || name[0] < 'a' || name[0] > 'z')
        return false;
    for (size_t i = 1; i < length; i++) {
        bool letter = name[i] >= 'a' && name[i] <= 'z';
        bool digit = name[i] >= '0' && name[i] <= '9';
        if (!letter && !digit && name[i] != '-')
            return false;
    }
    return true;
}
