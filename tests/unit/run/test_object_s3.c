/* SPDX-License-Identifier: Apache-2.0 */
#include "common/run/object_s3.h"

#include "scratch.h"

#include <curl/curl.h>
#include <jansson.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

/* A server that computes each signature again by botocore (tests/harness/s3_server.py). Where there
 * is none, these tests say so and pass: e2e/d22_archive_s3 counts as skipped then. */
struct bucket {
    char *path;
    pid_t pid;
    unsigned port;
    char endpoint[64];
    struct object_store *store;
    struct object_s3_options options;
};

static bool stops; /* what the store is told */

static bool stopping(void *context)
{
    (void)context;
    return stops;
}

static void nap(void)
{
    struct timespec t = {.tv_nsec = 10000000};
    (void)nanosleep(&t, NULL);
}

static unsigned port_in(const char *path)
{
    unsigned port = 0;
    FILE *f = fopen(path, "re");
    if (f != NULL) {
        cr_assert_eq(fscanf(f, "port=%u", &port), 1);
        (void)fclose(f);
    }
    return port;
}

/* False: there is no botocore. */
static bool given_bucket(struct bucket *b)
{
    *b = (struct bucket){.path = scratch_new()};
    const char *ports = scratch_path(b->path, "ports");
    b->pid = fork();
    if (b->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)execl("/usr/bin/python3", "python3", TEST_SOURCE_DIR "/tests/harness/s3_server.py",
                    ports, (char *)NULL);
        _exit(77);
    }
    int status = 0;
    for (unsigned i = 0; i < 2000 && b->port == 0; i++) {
        nap();
        b->port = port_in(ports);
        if (waitpid(b->pid, &status, WNOHANG) == b->pid) {
            cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 77);
            scratch_free(b->path);
            (void)fprintf(stderr, "no botocore: not tried\n");
            return false;
        }
    }
    cr_assert_neq(b->port, 0, "the server does not start");
    (void)snprintf(b->endpoint, sizeof(b->endpoint), "http://127.0.0.1:%u", b->port);
    b->options =
        (struct object_s3_options){.endpoint = b->endpoint,
                                   .region = "eu-test-1",
                                   .bucket = "acme-clicks",
                                   .prefix = "some/where/",
                                   .access_key = "AKIDEXAMPLE",
                                   .secret_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                                   .path_style = true,
                                   .storage_class = "STANDARD_IA",
                                   .part_bytes = 5 << 20,
                                   .timeout_ms = 20000,
                                   .tries = 3,
                                   .stopping = stopping};
    return true;
}

static void open_bucket(struct bucket *b)
{
    cr_assert_eq(object_s3_open(&b->options, &b->store), ERR_OK);
}

static void bucket_done(struct bucket *b)
{
    object_s3_close(b->store);
    (void)kill(b->pid, SIGKILL);
    (void)waitpid(b->pid, NULL, 0);
    scratch_free(b->path);
}

static size_t take(char *data, size_t size, size_t count, void *context)
{
    buf_put(context, data, size * count);
    return size * count;
}

static json_t *control(struct bucket *b, const char *what)
{
    char url[128];
    struct buf answer = {0};
    CURL *curl = curl_easy_init();
    (void)snprintf(url, sizeof(url), "%s/-/%s", b->endpoint, what == NULL ? "state" : "control");
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    if (what != NULL)
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, what);
    cr_assert_eq(curl_easy_perform(curl), CURLE_OK);
    curl_easy_cleanup(curl);
    json_t *state = json_loadb((const char *)answer.data, answer.length, 0, NULL);
    buf_done(&answer);
    return state;
}

static void tell(struct bucket *b, const char *what)
{
    json_decref(control(b, what));
}

static const char *text_in(const json_t *state, const char *part, const char *name)
{
    return json_string_value(json_object_get(json_object_get(state, part), name));
}

static void expect_object(struct bucket *b, const char *name, struct span data)
{
    struct buf out = {0};
    cr_assert_eq(object_get(b->store, name, 64 << 20, &out), ERR_OK, "%s", name);
    cr_assert(span_equal(buf_span(&out), data));
    buf_done(&out);
}

static struct span large(size_t length)
{
    static uint8_t data[13 << 20];
    cr_assert_leq(length, sizeof(data));
    for (size_t i = 0; i < length; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    return span_of(data, length);
}

Test(object_s3, botocore_would_have_signed_just_so)
{
    struct bucket b;
    if (!given_bucket(&b))
        return;
    open_bucket(&b);
    struct buf names = {0}, out = {0};
    cr_assert_eq(object_put(b.store, "a/1-x_y.avro", OBJECT_DATA, span_of_text("one")), ERR_OK);
    cr_assert_eq(object_put(b.store, "a/2", OBJECT_INDEX, span_of_text("")), ERR_OK);
    expect_object(&b, "a/1-x_y.avro", span_of_text("one"));
    expect_object(&b, "a/2", span_of_text(""));
    cr_assert_eq(object_get(b.store, "a/3", 100, &out), ERR_NOT_FOUND);
    cr_assert_eq(object_get(b.store, "a/1-x_y.avro", 2, &out), ERR_LIMIT);
    cr_assert_eq(object_list(b.store, "a/", "", &names), ERR_OK);
    cr_assert_eq(names.length, sizeof("a/1-x_y.avro") + sizeof("a/2"));
    json_t *state = control(&b, NULL);
    cr_assert_str_eq(text_in(state, "classes", "some/where/a/1-x_y.avro"), "STANDARD_IA");
    cr_assert_null(text_in(state, "classes", "some/where/a/2"), "manifests stay hot");
    cr_assert_eq(json_array_size(json_object_get(state, "refused")), 1, "NoSuchKey alone");
    json_decref(state);
    buf_done(&names);
    buf_done(&out);
    bucket_done(&b);
}

Test(object_s3, large_objects_go_up_in_parts)
{
    struct bucket b;
    if (!given_bucket(&b))
        return;
    open_bucket(&b);
    struct span data = large(13 << 20);
    cr_assert_eq(object_put(b.store, "large", OBJECT_DATA, data), ERR_OK);
    expect_object(&b, "large", data);
    json_t *state = control(&b, NULL);
    cr_assert_eq(json_integer_value(json_object_get(state, "uploads")), 0);
    cr_assert_str_eq(text_in(state, "classes", "some/where/large"), "STANDARD_IA");
    cr_assert_eq(json_integer_value(json_object_get(state, "requests")), 3 + 2 + 1);
    json_decref(state);
    bucket_done(&b);
}

Test(object_s3, a_long_list_comes_in_bites_without_what_is_not_ours)
{
    struct bucket b;
    if (!given_bucket(&b))
        return;
    open_bucket(&b);
    char name[32], last[64] = "";
    struct buf names = {0};
    unsigned count = 0;
    for (unsigned i = 0; i < 10; i++) {
        (void)snprintf(name, sizeof(name), "m/%02u", i);
        cr_assert_eq(object_put(b.store, name, OBJECT_INDEX, span_of_text("x")), ERR_OK);
    }
    cr_assert_eq(object_put(b.store, "n/1", OBJECT_INDEX, span_of_text("x")), ERR_OK);
    for (;;) {
        buf_clear(&names);
        cr_assert_eq(object_list(b.store, "m/", last, &names), ERR_OK);
        if (names.length == 0)
            break;
        for (size_t at = 0; at < names.length; at += strlen((char *)names.data + at) + 1) {
            (void)snprintf(last, sizeof(last), "%s", (char *)names.data + at);
            (void)snprintf(name, sizeof(name), "m/%02u", count++);
            cr_assert_str_eq(last, name);
        }
    }
    cr_assert_eq(count, 10);
    buf_done(&names);
    bucket_done(&b);
}

Test(object_s3, trouble_that_passes_is_waited_for)
{
    static const char *const troubles[] = {"500", "503", "cut", "lost"};
    struct bucket b;
    if (!given_bucket(&b))
        return;
    open_bucket(&b);
    for (unsigned i = 0; i < countof(troubles); i++) {
        char text[100];
        (void)snprintf(text, sizeof(text), "{\"fail\":\"%s\",\"count\":2}", troubles[i]);
        tell(&b, text);
        cr_assert_eq(object_put(b.store, "a", OBJECT_DATA, span_of_text(troubles[i])), ERR_OK);
        expect_object(&b, "a", span_of_text(troubles[i]));
    }
    struct object_s3_counts counts = object_s3_counts(b.store);
    cr_assert(counts.retries >= 6 && counts.refused == 0); /* curl has tried some itself */
    /* In the midst of the parts. */
    struct span data = large(11 << 20);
    tell(&b, "{\"fail\":\"503\",\"count\":1,\"skip\":2}");
    cr_assert_eq(object_put(b.store, "large", OBJECT_DATA, data), ERR_OK);
    expect_object(&b, "large", data);
    bucket_done(&b);
}

Test(object_s3, trouble_that_stays_is_said_and_leaves_nothing_half)
{
    struct bucket b;
    if (!given_bucket(&b))
        return;
    b.options.tries = 2;
    b.options.timeout_ms = 1000;
    open_bucket(&b);
    tell(&b, "{\"fail\":\"503\",\"count\":2}");
    cr_assert_eq(object_put(b.store, "a", OBJECT_DATA, span_of_text("a")), ERR_STORE_AWAY);
    tell(&b, "{\"fail\":\"hang\",\"count\":2}");
    cr_assert_eq(object_put(b.store, "a", OBJECT_DATA, span_of_text("a")), ERR_STORE_AWAY);
    /* Away in the midst of the parts: aborted, and nothing is under the name. */
    tell(&b, "{\"fail\":\"500\",\"count\":2,\"skip\":2}");
    cr_assert_eq(object_put(b.store, "large", OBJECT_DATA, large(11 << 20)), ERR_STORE_AWAY);
    tell(&b, "{\"fail\":\"torn\",\"count\":1,\"skip\":4}");
    cr_assert_eq(object_put(b.store, "large", OBJECT_DATA, large(11 << 20)), ERR_STORE_AWAY);
    json_t *state = control(&b, NULL);
    cr_assert_eq(json_object_size(json_object_get(state, "objects")), 0);
    cr_assert_eq(json_integer_value(json_object_get(state, "uploads")), 0);
    json_decref(state);
    cr_assert_eq(object_put(b.store, "large", OBJECT_DATA, large(11 << 20)), ERR_OK);
    bucket_done(&b);
}

static char *refusal(struct bucket *b, struct object_s3_options options)
{
    struct object_store *store = NULL;
    struct buf names = {0};
    cr_assert_eq(object_s3_open(&options, &store), ERR_OK);
    cr_assert_eq(object_put(store, "a", OBJECT_DATA, span_of_text("a")), ERR_STORE_REFUSED);
    cr_assert_eq(object_list(store, "", "", &names), ERR_STORE_REFUSED);
    cr_assert_eq(object_s3_counts(store).refused, 2);
    object_s3_close(store);
    json_t *state = control(b, NULL);
    json_t *codes = json_object_get(state, "refused");
    char *code = strdup(json_string_value(json_array_get(codes, json_array_size(codes) - 1)));
    cr_assert_eq(json_object_size(json_object_get(state, "objects")), 0);
    json_decref(state);
    buf_done(&names);
    return code;
}

static void expect_refusal(struct bucket *b, struct object_s3_options options, const char *expected)
{
    char *code = refusal(b, options);
    cr_assert_str_eq(code, expected);
    free(code);
}

Test(object_s3, wrong_secrets_clocks_regions_and_buckets_are_refused)
{
    struct bucket b;
    if (!given_bucket(&b))
        return;
    struct object_s3_options o = b.options;
    o.secret_key = "another";
    expect_refusal(&b, o, "SignatureDoesNotMatch");
    o = b.options;
    o.access_key = "NOBODY";
    expect_refusal(&b, o, "InvalidAccessKeyId");
    o = b.options;
    o.region = "us-east-1";
    expect_refusal(&b, o, "AuthorizationHeaderMalformed");
    o = b.options;
    o.bucket = "no-such";
    expect_refusal(&b, o, "NoSuchBucket");
    tell(&b, "{\"skew_s\":1000}");
    expect_refusal(&b, b.options, "RequestTimeTooSkewed");
    tell(&b, "{\"skew_s\":0}");
    open_bucket(&b);
    cr_assert_eq(object_put(b.store, "a", OBJECT_DATA, span_of_text("a")), ERR_OK);
    bucket_done(&b);
}

Test(object_s3, who_is_told_to_stop_does_not_wait)
{
    struct bucket b;
    if (!given_bucket(&b))
        return;
    open_bucket(&b);
    stops = true;
    tell(&b, "{\"fail\":\"hang\",\"count\":9}");
    cr_assert_eq(object_put(b.store, "a", OBJECT_DATA, span_of_text("a")), ERR_STOPPING);
    stops = false;
    bucket_done(&b);
}

Test(object_s3, nobody_there_is_away)
{
    struct object_s3_options o = {.endpoint = "http://127.0.0.1:1",
                                  .region = "r",
                                  .bucket = "b",
                                  .access_key = "a",
                                  .secret_key = "s",
                                  .session_token = "t",
                                  .ca_file = "/dev/null",
                                  .tries = 2};
    struct object_store *store = NULL;
    cr_assert_eq(object_s3_open(&o, &store), ERR_OK);
    cr_assert_eq(object_put(store, "a", OBJECT_DATA, span_of_text("a")), ERR_STORE_AWAY);
    cr_assert_eq(object_s3_counts(store).requests, 2);
    object_s3_close(store);
    object_s3_close(NULL);
}

Test(object_s3, what_cannot_work_is_refused_at_once)
{
    struct object_s3_options good = {.endpoint = "https://s3.example",
                                     .region = "r",
                                     .bucket = "b",
                                     .access_key = "a",
                                     .secret_key = "s"},
                             o;
    struct object_store *store = NULL;
    static const char *const endpoints[] = {"ftp://x", "https://", "https://x/y", "x"};
    for (unsigned i = 0; i < countof(endpoints); i++) {
        o = good;
        o.endpoint = endpoints[i];
        cr_assert_eq(object_s3_open(&o, &store), ERR_CONFIG, "%s", endpoints[i]);
    }
    static const char *const prefixes[] = {"x", "a//", "/", "a b/"};
    for (unsigned i = 0; i < countof(prefixes); i++) {
        o = good;
        o.prefix = prefixes[i];
        cr_assert_eq(object_s3_open(&o, &store), ERR_CONFIG, "%s", prefixes[i]);
    }
    o = good;
    o.bucket = "Has Capitals";
    cr_assert_eq(object_s3_open(&o, &store), ERR_CONFIG);
    o = good;
    o.part_bytes = 1000;
    cr_assert_eq(object_s3_open(&o, &store), ERR_CONFIG);
    o = good;
    o.access_key = "a:b";
    cr_assert_eq(object_s3_open(&o, &store), ERR_CONFIG);
}
