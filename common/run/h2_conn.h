/* SPDX-License-Identifier: Apache-2.0
 * h2_conn: one connection: bytes through TLS into a protocol and back; requests in, answers out.
 * Audience: h2_*.c, http1_session.c alone. Loop thread.
 *
 * Lifetimes: a connection lives until the close callback of its tcp handle. A stream lives until
 * its request was answered *and* nghttp2 has closed it; when its connection dies first it goes on
 * alone (conn == NULL, cancelled) until h2_respond frees it. The server lives until it was freed by
 * its owner *and* its last stream has gone. */
#pragma once

#include "common/run/abuse_budget.h"
#include "common/run/h2_server.h"

#include <nghttp2/nghttp2.h>
#include <stdatomic.h>
#include <stdio.h>

#define H2_HEADERS_MAX      64
#define H2_HEADER_BYTES_MAX 16384
#define H2_PSEUDO_HEADERS   4
#define H2_READ_BYTES       65536
#define H2_PLAIN_BYTES      16384
/* Ciphertext gathered for one write; nghttp2 holds back the rest until it is written. */
#define H2_WRITE_BYTES      (256 * 1024)
#define H2_UNSENT_BYTES_MAX (1024 * 1024)
/* Answers waiting in one connection before further requests are told to come again. (Not reading on
 * instead would also leave its window updates unread, without which they wait for ever.) */
#define H2_ANSWER_BYTES_MAX  (16 * 1024 * 1024)
#define H2_STREAM_WINDOW     (1024 * 1024)
#define H2_CONNECTION_WINDOW (4 * 1024 * 1024)
/* The slowest body that is still waited for, after the stall time-out. */
#define H2_BODY_BYTES_PER_S_MIN 16384
#define H2_LINGER_MS            1000
/* What the kernel may hold for a client before an answer in pieces waits for it. */
#define H2_PIECES_BEHIND_MAX 16384
/* Ended streams kept for the next requests, with their buffers where these are small. None under
 * AddressSanitizer, which should see every use after the end. */
#ifdef __SANITIZE_ADDRESS__
#define H2_SPARE_STREAMS 0
#else
#define H2_SPARE_STREAMS 1024
#endif
#define H2_SPARE_BYTES 4096

enum h2_conn_state {
    H2_CONN_PROXIED,   /* from a proxy of ours: its header is awaited */
    H2_CONN_NEW,       /* nothing read yet: TLS or plain HTTP? */
    H2_CONN_HANDSHAKE, /* TLS under way */
    H2_CONN_OPEN,      /* its protocol speaks */
    H2_CONN_LINGER,    /* last words written; reading to the peer's end, so that it gets them */
    H2_CONN_CLOSING,   /* uv_close called */
};

/* Why the server answers a request by itself. */
enum h2_refusal {
    H2_REFUSE_NOTHING,
    H2_REFUSE_HEADER,
    H2_REFUSE_HEADERS,
    H2_REFUSE_BODY,
    H2_REFUSE_STALLED,
    H2_REFUSE_RATE,
    H2_REFUSE_OVERLOAD
};

struct h2_stream {
    struct h2_request request; /* must be first */
    struct h2_server *server;
    struct h2_conn *conn; /* NULL when the connection or the stream has gone */
    struct h2_stream *next, *previous;
    int32_t id;
    enum h2_refusal refusal;
    bool headers_ended, delivered, answered, request_ended, upload_ended, is_head;
    bool in_pieces, pieces_ended;       /* an answer by h2_respond_begin; by h2_respond_end */
    bool deferred;                      /* nghttp2 was told to wait for the next piece */
    void (*gone)(struct h2_request *r); /* of an answer in pieces */
    uint32_t retry_after_s;             /* 0: as the refusal has it */
    uint64_t begun_ms, progress_ms;
    uint64_t answered_ms; /* when the whole answer had been sent; 0: not yet */
    size_t discarded;     /* bytes of a body that came after its answer */
    uint32_t field_count;
    size_t field_bytes;
    size_t answer_sent;
    /* what follows is kept, or need not be cleared, when a stream is used again */
    struct buf text; /* header names and values, each with a NUL; offsets until headers end */
    struct buf body;
    struct buf answer;
    uint32_t offsets[2 * (H2_HEADERS_MAX + H2_PSEUDO_HEADERS)];
    struct h2_header headers[H2_HEADERS_MAX];
    char peer_ip[INET6_ADDRSTRLEN];
};

/* What is spoken inside TLS. The connection knows its protocol by this alone; a protocol calls the
 * connection (h2_conn_mark, h2_conn_charge, h2_conn_close) and the streams. All but `free` are
 * called in state H2_CONN_OPEN only. */
struct h2_protocol {
    enum h2_protocol_kind kind;
    const char *alpn;
    void (*begin)(struct h2_conn *c); /* TLS stands */
    void (*free)(struct h2_conn *c);  /* also when it never began */
    /* Takes all of these bytes, which are gone afterwards. None: it may go on after a pause. */
    void (*receive)(struct h2_conn *c, struct span plain);
    /* False: a pause until something was written. */
    bool (*may_receive)(const struct h2_conn *c);
    /* The next bytes for the peer, *out until the next call; 0: none now; < 0: beyond use. */
    ssize_t (*send)(struct h2_conn *c, const uint8_t **out);
    bool (*wants_write)(const struct h2_conn *c);
    /* Said and heard everything; once its bytes are written, the connection ends. */
    bool (*is_over)(const struct h2_conn *c);
    /* Head and body (stream->answer) of an answer; the body goes out by `send`. */
    void (*submit)(struct h2_stream *stream, unsigned status, const struct h2_header *headers,
                   size_t header_count);
    /* Of an answer in pieces: there is more in stream->answer, or it has ended. */
    void (*more)(struct h2_stream *stream);
    /* The stream is going: its protocol may not know it any more. */
    void (*forget)(struct h2_stream *stream);
    void (*sweep)(struct h2_conn *c, uint64_t now_ms); /* time-outs of its streams */
    /* Drain: "no new requests, please", and later "these were the last". */
    void (*goaway_soon)(struct h2_conn *c);
    void (*goaway)(struct h2_conn *c);
    void (*finish)(struct h2_conn *c); /* idle for too long */
    void (*expel)(struct h2_conn *c);  /* over its abuse budget */
};

struct h2_conn {
    uv_tcp_t tcp;
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct h2_server *server;
    struct h2_conn *next, *previous; /* of the server's connections */
    struct h2_conn *next_dirty;
    enum h2_conn_state state;
    bool dirty, writing, over_budget, last_words;
    bool resting; /* reads on in the next turn, or when there is room */
    bool held;    /* decrypts on when the protocol may receive */
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
    const struct h2_protocol *protocol;
    nghttp2_session *session;    /* of HTTP/2 */
    struct http1_session *http1; /* of HTTP/1.1 */
    struct h2_stream *streams;
    unsigned stream_count;
    size_t body_bytes; /* held by streams of this connection */
    size_t answer_bytes;
    struct buf written;  /* in flight, while `writing` */
    size_t written_left; /* at the last look: is the peer reading? */
    size_t behind;       /* a piece waits for these bytes in the kernel; 0: none does */
    uint64_t behind_ms;  /* since when they have not moved */
    uint64_t opened_ms, active_ms, written_ms, linger_ms;
    struct abuse_budget budget;
    struct abuse_meter meter;
    enum abuse_kind last_kind; /* of the last frame that was charged */
    bool peer_counted;         /* peer_entry is to be given back */
    uint32_t peer_entry;
    char peer_ip[INET6_ADDRSTRLEN];
};

struct h2_server {
    struct h2_server_options options;
    const struct h2_protocol *const *protocols; /* up to a NULL */
    struct h2_counters own_counters;            /* where the application wants none */
    uv_poll_t listener;
    uv_timer_t sweep, pause, drain_end;
    uv_prepare_t before_poll;
    uv_check_t after_poll;
    int listen_file;
    int reserve_file; /* given up to accept, and close, when there is no other; -1: none */
    uint16_t port;
    struct h2_conn *conns;
    unsigned conn_count;
    struct h2_conn *dirty;
    uint64_t stream_count;           /* also those whose connection has gone */
    struct h2_stream *spare_streams; /* by next */
    unsigned spare_count;
    size_t body_bytes;
    bool draining, drained, freed;
    unsigned open_handles;
    uint64_t drain_began_ms;
    void (*done)(void *context);
    void *done_context;
    char date[32];
    int64_t date_second;
    uint8_t read_bytes[H2_READ_BYTES];
    uint8_t plain_bytes[H2_PLAIN_BYTES];
};

#define H2_COUNT(server, name, n)                                                                  \
    atomic_fetch_add_explicit(&(server)->options.counters->name, (n), memory_order_relaxed)

/* Takes over an accepted socket. */
void h2_conn_accept(struct h2_server *s, int file, const char *peer_ip);
/* Something may have to be written; happens before the loop sleeps again. */
void h2_conn_mark(struct h2_conn *c);
void h2_conn_flush(struct h2_conn *c);
/* What the client has not taken from the kernel yet. */
size_t h2_conn_behind(const struct h2_conn *c);
/* Time-outs of the connection and its streams. */
void h2_conn_sweep(struct h2_conn *c, uint64_t now_ms);
/* Drain: "no new requests, please", and later "these were the last". */
void h2_conn_goaway_soon(struct h2_conn *c);
void h2_conn_goaway(struct h2_conn *c);
/* At once; open requests are cancelled. */
void h2_conn_close(struct h2_conn *c);
/* Charges the abuse budget; over it, the protocol says so and the connection ends. */
void h2_conn_charge(struct h2_conn *c, enum abuse_kind kind, uint64_t amount);
/* Over its budget already, by somebody else's count. */
void h2_conn_expel(struct h2_conn *c, enum abuse_kind kind);

/* h2_peer.c: who is at the other end. */
/* For a new connection: will a PROXY header come first? False: its address has too many. */
bool h2_peer_begin(struct h2_conn *c);
void h2_peer_end(struct h2_conn *c);
/* Eats it from *bytes; true once it is over, and the rest is the client's. May close. */
bool h2_peer_take(struct h2_conn *c, struct span *bytes);
/* Once header fields are there: the client that a proxy of ours names. */
void h2_peer_forwarded(struct h2_stream *stream);
/* May that client ask now? Where not, stream->retry_after_s says when. */
bool h2_peer_may_ask(struct h2_stream *stream);

/* h2_session.c: HTTP/2, by nghttp2. */
extern const struct h2_protocol h2_session_protocol;

/* http1_session.c: HTTP/1.1, by http_parser. */
extern const struct h2_protocol http1_session_protocol;

/* h2_conn_stream.c: frames of HTTP/2 become requests. */
nghttp2_session *h2_conn_session_new(struct h2_conn *c);
void h2_conn_sweep_streams(struct h2_conn *c, uint64_t now_ms);

/* h2_request.c: what holds in every protocol. */
/* What a header field costs of H2_HEADER_BYTES_MAX and of the abuse budget. */
size_t h2_request_field_cost(size_t name_length, size_t value_length);
/* One more field, lower-case name; pseudo fields as HTTP/2 has them. Trailers, too. */
void h2_request_field(struct h2_stream *stream, struct span name, struct span value);
/* All fields of the head are there. True: its body is waited for; else it was handed to the
 * application, or refused. */
bool h2_request_head_ended(struct h2_stream *stream, bool request_ended);
/* A piece of the body of a request that was neither delivered nor answered. */
void h2_request_body(struct h2_stream *stream, struct span piece);
/* To the application, unless it was refused. */
void h2_request_ended(struct h2_stream *stream);
/* Answers in the application's place. */
void h2_request_refuse(struct h2_stream *stream, enum h2_refusal refusal);
bool h2_request_is_stalled(const struct h2_stream *stream, uint64_t now_ms);
/* Does its answer name its length? */
bool h2_request_answer_has_length(const struct h2_stream *stream, unsigned status);

/* h2_stream.c: the streams of connections, and those whose connection has gone. */
struct h2_stream *h2_stream_new(struct h2_conn *c, int32_t id);
/* The body is not needed any more. */
void h2_stream_drop_body(struct h2_stream *stream);
/* No user information in :authority, and a Host that says the same (RFC 9113, 8.3.1). */
bool h2_stream_has_one_authority(const struct h2_stream *stream);
/* All of stream->answer has been sent. */
void h2_stream_sent_all(struct h2_stream *stream);
/* An answer in pieces that waits for its next one: nobody is slow. */
static inline bool h2_stream_rests(const struct h2_stream *stream)
{
    return stream->in_pieces && !stream->pieces_ended && stream->answer.length == 0;
}
/* The peer will not get an answer any more. */
void h2_stream_abandon(struct h2_stream *stream);
void h2_stream_free(struct h2_stream *stream);
void h2_stream_free_spares(struct h2_server *s);
/* Drain: answers in pieces would go on for ever. */
void h2_conn_end_pieces(struct h2_conn *c);
/* The connection is going: requests without an answer are cancelled, the others freed. */
void h2_conn_drop_streams(struct h2_conn *c);

/* h2_server.c */
const char *h2_server_date(struct h2_server *s);
void h2_server_conn_gone(struct h2_server *s, struct h2_conn *c);
void h2_server_stream_gone(struct h2_server *s);
