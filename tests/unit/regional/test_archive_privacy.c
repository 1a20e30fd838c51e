/* SPDX-License-Identifier: Apache-2.0 */
#include "regional/core/archive_privacy.h"

#include <criterion/criterion.h>

static const char *kept(enum archive_ip ip, const char *text)
{
    static char out[LIMIT_IP_TEXT_BYTES + 1];
    char storage[LIMIT_IP_TEXT_BYTES + 1];
    struct span s = archive_privacy_ip(ip, span_of_text(text), storage);
    cr_assert_leq(s.length, LIMIT_IP_TEXT_BYTES);
    memset(out, 0, sizeof(out));
    if (s.length > 0)
        memcpy(out, s.data, s.length);
    return out;
}

Test(archive_privacy, full_keeps_and_drop_drops)
{
    cr_assert_str_eq(kept(ARCHIVE_IP_FULL, "192.0.2.77"), "192.0.2.77");
    cr_assert_str_eq(kept(ARCHIVE_IP_FULL, "no address"), "no address");
    cr_assert_str_eq(kept(ARCHIVE_IP_DROP, "192.0.2.77"), "");
}

Test(archive_privacy, truncate_keeps_the_network_alone)
{
    cr_assert_str_eq(kept(ARCHIVE_IP_TRUNCATE, "192.0.2.77"), "192.0.2.0");
    cr_assert_str_eq(kept(ARCHIVE_IP_TRUNCATE, "2001:db8:12:34:56:78:9a:bc"), "2001:db8:12::");
    cr_assert_str_eq(kept(ARCHIVE_IP_TRUNCATE, "2001:DB8::1"), "2001:db8::");
    cr_assert_str_eq(kept(ARCHIVE_IP_TRUNCATE, "::ffff:192.0.2.77"), "::ffff:192.0.2.0");
    cr_assert_str_eq(kept(ARCHIVE_IP_TRUNCATE, "::1"), "::");
}

Test(archive_privacy, what_is_no_address_is_not_kept_when_truncating)
{
    cr_assert_str_eq(kept(ARCHIVE_IP_TRUNCATE, ""), "");
    cr_assert_str_eq(kept(ARCHIVE_IP_TRUNCATE, "192.0.2"), "");
    cr_assert_str_eq(kept(ARCHIVE_IP_TRUNCATE, "user:17"), "");
    cr_assert_str_eq(
        kept(ARCHIVE_IP_TRUNCATE, "2001:0db8:0012:0034:0056:0078:009a:00bc-and-much-more-behind"),
        "");
}

Test(archive_privacy, names_are_read_back)
{
    enum archive_ip ip = ARCHIVE_IP_FULL;
    for (unsigned i = 0; i < ARCHIVE_IPS; i++) {
        cr_assert(archive_ip_parse(archive_ip_name((enum archive_ip)i), &ip));
        cr_assert_eq(ip, i);
    }
    cr_assert_null(archive_ip_name(ARCHIVE_IPS));
    cr_assert(!archive_ip_parse("half", &ip));
}
