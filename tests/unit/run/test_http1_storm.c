/* SPDX-License-Identifier: Apache-2.0
 * Random conversations of HTTP/1.1: requests of every size and form, sent in any pieces, ahead of
 * their answers or not, read slowly, left at any moment, ended by what must be refused. Each client
 * gets the answers to what it asked, whole and in order, and no other. */
#include "tests/unit/run/http1_talk.h"
#include "tests/unit/run/http1_vectors.h"

#define CLIENTS  6
#define ASKS_MAX 50
#define STEPS    12000

struct client {
    struct talk talk;
    struct buf out;
    size_t sent;
    unsigned asked, answered;
    size_t wanted[ASKS_MAX]; /* length of each answer's body */
    char wanted_first[ASKS_MAX];
    bool lazy; /* reads nothing for a while, so that the socket fills */
    bool bad;  /* ends in what is refused */
    bool ended;
};

static uint64_t storm_state;

static uint32_t random_below(uint32_t n)
{
    storm_state = storm_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(storm_state >> 33) % n;
}

static bool one_in(uint32_t n)
{
    return random_below(n) == 0;
}

static void setup(void)
{
    given_http1 = true;
}

TestSuite(http1_storm, .init = setup, .timeout = 120);

static void open_client(struct given *g, struct client *c)
{
    *c = (struct client){.talk = talk_to(g)};
    cr_assert(!c->talk.probe->dead);
    const int little = 65536;
    if (one_in(2))
        (void)setsockopt(c->talk.probe->file, SOL_SOCKET, SO_RCVBUF, &little, sizeof(little));
    SSL_set_mode(c->talk.probe->ssl,
                 SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

static void close_client(struct client *c)
{
    end_talk(&c->talk);
    buf_done(&c->out);
}

static void put(struct client *c, const char *text)
{
    buf_put(&c->out, text, strlen(text));
}

static void put_body(struct client *c, size_t length, char letter)
{
    buf_reserve(&c->out, length);
    memset(c->out.data + c->out.length, letter, length);
    c->out.length += length;
}

static void ask_echo(struct client *c, size_t length, char letter)
{
    char text[96];
    if (one_in(2)) {
        (void)snprintf(text, sizeof(text),
                       "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %zu%s", length,
                       "\r\n\r\n");
        put(c, text);
        put_body(c, length, letter);
        return;
    }
    put(c, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t left = length; left > 0;) {
        size_t piece = base_min_u64(left, 1 + random_below(20000));
        (void)snprintf(text, sizeof(text), "%zx\r\n", piece);
        put(c, text);
        put_body(c, piece, letter);
        put(c, "\r\n");
        left -= piece;
    }
    put(c, one_in(2) ? "0\r\n\r\n" : "0\r\nx-a: b\r\n\r\n");
}

/* One more request, or what ends all. */
static void ask_something(struct client *c)
{
    char text[96];
    char letter = (char)('a' + random_below(26));
    size_t length = one_in(20) ? random_below(300000) : random_below(3000);

    if (one_in(40)) {
        const struct vector *v = &bad_heads[random_below(countof(bad_heads))];
        buf_put(&c->out, v->bytes, v->length);
        c->bad = true;
        return;
    }
    switch (random_below(4)) {
    case 0:
        put(c, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
        length = 8; /* released */
        letter = 'r';
        break;
    case 1:
        length = one_in(20) ? 5000000 : length;
        (void)snprintf(text, sizeof(text), "GET /big?%zu HTTP/1.1\r\nHost: x\r\n\r\n", length);
        put(c, text);
        letter = 'x';
        break;
    default:
        ask_echo(c, length, letter);
        break;
    }
    c->wanted_first[c->asked] = letter;
    c->wanted[c->asked++] = length;
}

static void write_some(struct client *c, size_t most)
{
    size_t length = base_min_u64(most, c->out.length - c->sent);
    if (length == 0 || c->ended)
        return;
    int done = SSL_write(c->talk.probe->ssl, c->out.data + c->sent, (int)length);
    ERR_clear_error();
    if (done > 0)
        c->sent += (size_t)done;
}

/* Takes whole answers off what was heard. */
static void judge(struct client *c)
{
    const char *end;
    while (c->talk.heard.length > 0 && (end = strstr(heard(&c->talk), "\r\n\r\n")) != NULL) {
        const char *text = heard(&c->talk), *at = strstr(text, "content-length: ");
        cr_assert(at != NULL && at < end);
        size_t head = (size_t)(end + 4 - text), length = strtoul(at + 16, NULL, 10);
        if (c->talk.heard.length < head + length)
            return;
        if (c->answered == c->asked) {
            cr_assert(c->bad && strncmp(text, "HTTP/1.1 200", 12) != 0, "%.200s", text);
        } else {
            cr_assert_eq(strncmp(text, "HTTP/1.1 200 ", 13), 0, "%.200s", text);
            cr_assert_eq(length, c->wanted[c->answered], "answer %u", c->answered);
            cr_assert(length == 0 || text[head] == c->wanted_first[c->answered]);
            c->answered++;
        }
        forget_until(&c->talk, head + length);
    }
}

static void read_some(struct client *c, size_t most)
{
    static uint8_t bytes[65536];
    if (c->ended)
        return;
    int got = SSL_read(c->talk.probe->ssl, bytes, (int)most);
    if (got > 0) {
        buf_put(&c->talk.heard, bytes, (size_t)got);
        buf_put_u8(&c->talk.heard, 0);
        c->talk.heard.length--;
        judge(c);
    } else if (SSL_get_error(c->talk.probe->ssl, got) != SSL_ERROR_WANT_READ) {
        c->ended = true;
        cr_assert(c->bad, "ended without a reason after %u of %u answers", c->answered, c->asked);
    }
    ERR_clear_error();
}

static void step(struct given *g, struct client *c)
{
    switch (random_below(8)) {
    case 0:
    case 1:
        if (c->asked < ASKS_MAX && !c->bad)
            ask_something(c);
        break;
    case 2:
    case 3:
        write_some(c, one_in(3) ? 1 + random_below(20) : 1 + random_below(20000));
        break;
    case 4:
    case 5:
        if (!c->lazy)
            read_some(c, one_in(3) ? 1 + random_below(20) : 65536);
        break;
    case 6:
        wish(g, WISH_RELEASE);
        break;
    default:
        if (one_in(20))
            c->lazy = !c->lazy;
        if (one_in(60)) {
            close_client(c);
            open_client(g, c);
        }
        break;
    }
}

static bool is_done(const struct client *c)
{
    return c->answered == c->asked && (c->ended || !c->bad);
}

static void finish_all(struct given *g, struct client *clients)
{
    uint64_t deadline = h2_probe_now() + 3 * H2_PROBE_WAIT_MS;
    bool done = false;
    while (!done && h2_probe_now() < deadline) {
        done = true;
        for (unsigned i = 0; i < CLIENTS; i++) {
            write_some(&clients[i], 65536);
            read_some(&clients[i], 65536);
            done &= is_done(&clients[i]);
        }
        wish(g, WISH_RELEASE);
        poll(NULL, 0, done ? 0 : 1);
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        cr_expect(is_done(&clients[i]), "%u of %u answers, %zu of %zu bytes sent, bad %d ended %d",
                  clients[i].answered, clients[i].asked, clients[i].sent, clients[i].out.length,
                  clients[i].bad, clients[i].ended);
}

static void storm(uint64_t seed)
{
    struct client clients[CLIENTS];
    storm_state = seed;
    struct given *g = given_plain_server();
    for (unsigned i = 0; i < CLIENTS; i++)
        open_client(g, &clients[i]);

    for (unsigned i = 0; i < STEPS; i++)
        step(g, &clients[random_below(CLIENTS)]);
    finish_all(g, clients);

    for (unsigned i = 0; i < CLIENTS; i++)
        close_client(&clients[i]);
    over(g);
}

Test(http1_storm, each_gets_the_answers_to_what_it_asked_in_order)
{
    storm(1);
}

Test(http1_storm, and_so_with_other_seeds)
{
    for (uint64_t seed = 2; seed < 6; seed++)
        storm(seed);
}
