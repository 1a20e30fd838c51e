/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/bench_scanner_peer.h"

#include <simdjson.h>
#include <string>

namespace ondemand = simdjson::ondemand;

static ondemand::parser parser;

static bool put(uint64_t &sum, ondemand::value value, size_t length_max)
{
    std::string_view text;
    if (value.get_string().get(text) != simdjson::SUCCESS || text.size() > length_max)
        return false;
    sum += text.size();
    return true;
}

static bool put_time(uint64_t &sum, ondemand::value value)
{
    uint64_t time;
    if (value.get_uint64().get(time) != simdjson::SUCCESS || time > 253402300799999ULL)
        return false;
    sum += time;
    return true;
}

static bool loop_click(uint64_t &sum, ondemand::object click)
{
    unsigned seen = 0;
    for (auto field : click) {
        std::string_view key;
        if (field.unescaped_key().get(key) != simdjson::SUCCESS)
            return false;
        ondemand::value value = field.value();
        bool good = true;
        unsigned bit = 0;
        if (key == "ad_id")
            bit = 1, good = put(sum, value, 128);
        else if (key == "user_id")
            bit = 2, good = put(sum, value, 128);
        else if (key == "timestamp")
            bit = 4, good = put_time(sum, value);
        else if (key == "ip_address")
            bit = 8, good = put(sum, value, 45);
        else if (key == "user_agent")
            bit = 16, good = put(sum, value, 512);
        else if (key == "click_id")
            bit = 32, good = put(sum, value, 128);
        if (!good || (seen & bit) != 0)
            return false;
        seen |= bit;
    }
    return (seen & 7) == 7;
}

static bool find_click(uint64_t &sum, ondemand::object click)
{
    ondemand::value value;
    static const struct {
        const char *name;
        size_t length_max;
    } texts[] = {{"ip_address", 45}, {"user_agent", 512}, {"click_id", 128}};
    if (click.find_field("ad_id").get(value) != simdjson::SUCCESS || !put(sum, value, 128) ||
        click.find_field("user_id").get(value) != simdjson::SUCCESS || !put(sum, value, 128) ||
        click.find_field("timestamp").get(value) != simdjson::SUCCESS || !put_time(sum, value))
        return false;
    for (const auto &text : texts)
        if (click.find_field(text.name).get(value) != simdjson::SUCCESS ||
            !put(sum, value, text.length_max))
            return false;
    return true;
}

template <typename Scan>
static uint64_t scan(const char *body, size_t length, size_t capacity, Scan scan_click)
{
    uint64_t sum = 0;
    ondemand::document document;
    ondemand::json_type type;
    if (parser.iterate(body, length, capacity).get(document) != simdjson::SUCCESS ||
        document.type().get(type) != simdjson::SUCCESS)
        return 0;
    if (type == ondemand::json_type::object) {
        ondemand::object click;
        return document.get_object().get(click) == simdjson::SUCCESS && scan_click(sum, click) ? sum
                                                                                               : 0;
    }
    ondemand::array clicks;
    if (document.get_array().get(clicks) != simdjson::SUCCESS)
        return 0;
    for (auto element : clicks) {
        ondemand::object click;
        if (element.get_object().get(click) != simdjson::SUCCESS || !scan_click(sum, click))
            return 0;
    }
    return sum;
}

uint64_t peer_loop(const char *body, size_t length, size_t capacity)
{
    return scan(body, length, capacity, loop_click);
}

uint64_t peer_find(const char *body, size_t length, size_t capacity)
{
    return scan(body, length, capacity, find_click);
}

size_t peer_padding(void)
{
    return simdjson::SIMDJSON_PADDING;
}

const char *peer_name(void)
{
    static const std::string name = std::string("simdjson ") +
                                    SIMDJSON_STRINGIFY(SIMDJSON_VERSION) + ", " +
                                    simdjson::get_active_implementation()->name();
    return name.c_str();
}
