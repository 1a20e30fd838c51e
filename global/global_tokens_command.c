/* SPDX-License-Identifier: Apache-2.0
 * global_tokens_command: `tributary-global token create|list|revoke`: changes the file of tokens,
 * whole or not at all. */
#include "global/global_tokens.h"

#include "common/run/options.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BOOK_BYTES_MAX (16u * 1024 * 1024)
#define RATE_DEFAULT   100u
#define DAYS_MAX       36500u

const char global_tokens_help[] =
    "usage: tributary-global token create --tokens FILE --key FILE [--ads LIST] [--scope LIST]\n"
    "                                     [--days N] [--rate N]\n"
    "       tributary-global token list   --tokens FILE\n"
    "       tributary-global token revoke --tokens FILE ID\n"
    "\n"
    "  --tokens FILE  the file of tokens (auth.tokens_file); made where it is missing\n"
    "  --key FILE     the key of their hashes (auth.key_file); made where it is missing\n"
    "  --ads LIST     ads that the token may read: '*', or ids parted by ',', 'acme-*' for all "
    "that\n"
    "                 begin so, percent-encoded (default: none)\n"
    "  --scope LIST   stats:read, admin (default: stats:read)\n"
    "  --days N       days until it is refused, 1 to 36500 (default: 365); 0: never\n"
    "  --rate N       queries a second, 0 to 1000000 (default: 100); 0: no limit\n"
    "\n"
    "create prints the token once; only its hash is kept. A running tributary-global sees the "
    "change\n"
    "within two seconds, or at once on SIGHUP.\n";

struct command {
    const char *tokens, *key, *ads, *scope, *id;
    uint64_t days, rate;
    int lock; /* of the change; -1: none */
    struct clock_port *clock;
};

static int fail(const char *what, const char *path)
{
    (void)fprintf(stderr, "tributary-global: %s: %s: %s\n", path, what, strerror(errno));
    return EXIT_CODE_TEMPORARY;
}

static bool write_all(int file, struct span text)
{
    while (text.length > 0) {
        ssize_t n = write(file, text.data, text.length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        text = span_of(text.data + n, text.length - (size_t)n);
    }
    return true;
}

/* Whoever changes the file holds this lock, which is on another file: the book itself is replaced.
 */
static int lock_book(struct command *c)
{
    char path[4200];
    (void)snprintf(path, sizeof(path), "%s.lock", c->tokens);
    c->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (c->lock < 0 || flock(c->lock, LOCK_EX) != 0)
        return fail("cannot lock", path);
    return 0;
}

static int read_text(const char *path, bool may_be_missing, struct buf *out)
{
    struct stat found;
    char *error = NULL;
    if (stat(path, &found) == 0 ? found.st_size <= GLOBAL_TOKENS_EMPTY_BYTES
                                : may_be_missing && errno == ENOENT)
        return 0;
    if (options_secret(path, BOOK_BYTES_MAX, out, &error) == ERR_OK) {
        buf_put_u8(out, '\n'); /* it was cut */
        return 0;
    }
    (void)fprintf(stderr, "tributary-global: %s\n", error);
    free(error);
    return EXIT_CODE_CONFIG;
}

static int read_book(const char *path, struct span text, struct token_book *book)
{
    uint32_t line = 0;
    enum err err = token_book_read(book, text, &line);
    if (err == ERR_OK)
        return 0;
    (void)fprintf(stderr, "tributary-global: %s:%" PRIu32 ": %s\n", path, line, err_words(err));
    return EXIT_CODE_CONFIG;
}

/* The name is durable only with its folder: a revoked token must not come back with the power. */
static bool sync_folder(const char *path)
{
    char folder[4200];
    const char *slash = strrchr(path, '/');
    (void)snprintf(folder, sizeof(folder), "%.*s", slash == NULL ? 1 : (int)(slash + 1 - path),
                   slash == NULL ? "." : path);
    int file = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool synced = file >= 0 && fsync(file) == 0;
    if (file >= 0)
        (void)close(file);
    return synced;
}

/* The new file belongs to whom the old one did: a server that could no longer read it would go on
 * with its old tokens, the revoked one among them. */
static bool keep_owner(const char *path, int file)
{
    struct stat before;
    struct stat now;
    if (stat(path, &before) != 0)
        return errno == ENOENT;
    return fstat(file, &now) == 0 &&
           ((now.st_uid == before.st_uid && now.st_gid == before.st_gid) ||
            fchown(file, before.st_uid, before.st_gid) == 0);
}

static int replace_book(const char *path, struct span text)
{
    char fresh[4200];
    (void)snprintf(fresh, sizeof(fresh), "%s.new", path);
    (void)unlink(fresh); /* of an attempt that was killed; we hold the lock */
    int file = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0)
        return fail("cannot create", fresh);
    bool written = keep_owner(path, file) && write_all(file, text) && fsync(file) == 0;
    written = close(file) == 0 && written;
    if (!written || rename(fresh, path) != 0 || !sync_folder(path))
        return fail("cannot write", path);
    return 0;
}

static int make_key(struct command *c)
{
    uint8_t random[TOKEN_KEY_BYTES];
    char text[2 * TOKEN_KEY_BYTES + 2];
    int file = open(c->key, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0)
        return errno == EEXIST ? 0 : fail("cannot create", c->key);
    c->clock->random(c->clock, random, sizeof(random));
    (void)sodium_bin2hex(text, sizeof(text) - 1, random, sizeof(random));
    text[sizeof(text) - 2] = '\n';
    bool written = write_all(file, span_of(text, sizeof(text) - 1)) && fsync(file) == 0;
    written = close(file) == 0 && written;
    explicit_bzero(text, sizeof(text));
    explicit_bzero(random, sizeof(random));
    return written ? 0 : fail("cannot write", c->key);
}

static int create(struct command *c, struct buf *text)
{
    uint8_t random[TOKEN_ID_BYTES + TOKEN_SECRET_BYTES];
    uint8_t key[TOKEN_KEY_BYTES];
    char shown[TOKEN_TEXT_CHARS + 1];
    struct token token = {.rate = (uint32_t)c->rate};
    struct token_book book = {0};
    if (!token_scopes_parse(span_of_text(c->scope), &token.scopes) ||
        !token_ads_parse(span_of_text(c->ads), &token)) {
        (void)fprintf(stderr, "tributary-global: --scope or --ads cannot be read\n");
        return EXIT_CODE_USAGE;
    }
    if (c->days > 0)
        token.expires_s = c->clock->wall_ms(c->clock) / 1000 + c->days * 86400;
    int code = make_key(c);
    char *error = NULL;
    if (code == 0 && global_tokens_key(c->key, key, &error) != ERR_OK) {
        (void)fprintf(stderr, "tributary-global: %s\n", error);
        free(error);
        code = EXIT_CODE_CONFIG;
    }
    if (code == 0) {
        c->clock->random(c->clock, random, sizeof(random));
        token_make(random, key, shown, &token);
        token_line_put(text, &token);
        code = read_book(c->tokens, buf_span(text), &book); /* what we write can be read */
    }
    if (code == 0)
        code = replace_book(c->tokens, buf_span(text));
    if (code == 0 && (printf("%s\n", shown) < 0 || fflush(stdout) != 0))
        code = fail("the token is in the file, but could not be shown: revoke it", c->tokens);
    token_book_done(&book);
    token_done(&token);
    explicit_bzero(shown, sizeof(shown));
    explicit_bzero(random, sizeof(random));
    explicit_bzero(key, sizeof(key));
    return code;
}

static int list(const struct command *c, const struct buf *text)
{
    struct token_book book = {0};
    struct buf line = {0};
    int code = read_book(c->tokens, buf_span(text), &book);
    if (code == 0)
        (void)printf("%-16s  %-20s  %-10s  %7s  %s\n", "id", "expires", "scopes", "rate", "ads");
    for (uint32_t i = 0; i < book.count; i++) {
        const struct token *token = &book.tokens[i];
        char expires[32] = "never";
        struct tm day;
        time_t when = (time_t)token->expires_s;
        if (token->expires_s > 0 && gmtime_r(&when, &day) != NULL)
            (void)strftime(expires, sizeof(expires), "%Y-%m-%dT%H:%M:%SZ", &day);
        buf_clear(&line);
        token_scopes_put(&line, token->scopes);
        buf_put_u8(&line, 0);
        (void)printf("%-16s  %-20s  %-10s  %7" PRIu32 "  ", token->id, expires,
                     (const char *)line.data, token->rate);
        buf_clear(&line);
        token_line_put(&line, token);
        buf_put_u8(&line, 0);
        (void)fputs(strrchr((const char *)line.data, ' ') + 1, stdout); /* the ads */
    }
    buf_done(&line);
    token_book_done(&book);
    return code;
}

static int revoke_one(const struct command *c, const struct buf *text)
{
    struct buf left = {0};
    int code = EXIT_FAILURE;
    if (token_line_drop(&left, buf_span(text), c->id))
        code = replace_book(c->tokens, buf_span(&left));
    else
        (void)fprintf(stderr, "tributary-global: %s: no token has this id\n", c->tokens);
    buf_done(&left);
    return code;
}

static bool take_number(const char *text, uint64_t most, uint64_t *out)
{
    char *end;
    errno = 0;
    if (*text < '0' || *text > '9')
        return false;
    *out = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' && *out <= most;
}

static bool take_line(int argc, char **argv, struct command *c)
{
    enum { TOKENS = 1, KEY, ADS, SCOPE, DAYS, RATE };
    static const struct option known[] = {{"tokens", required_argument, NULL, TOKENS},
                                          {"key", required_argument, NULL, KEY},
                                          {"ads", required_argument, NULL, ADS},
                                          {"scope", required_argument, NULL, SCOPE},
                                          {"days", required_argument, NULL, DAYS},
                                          {"rate", required_argument, NULL, RATE},
                                          {NULL, 0, NULL, 0}};
    int found;
    bool good = true;
    optind = 1;
    while (good && (found = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (found == TOKENS)
            c->tokens = optarg;
        else if (found == KEY)
            c->key = optarg;
        else if (found == ADS)
            c->ads = optarg;
        else if (found == SCOPE)
            c->scope = optarg;
        else if (found == DAYS)
            good = take_number(optarg, DAYS_MAX, &c->days);
        else if (found == RATE)
            good = take_number(optarg, TOKEN_RATE_MAX, &c->rate);
        else
            good = false;
    }
    if (good && optind < argc)
        c->id = argv[optind++];
    return good && optind == argc && c->tokens != NULL;
}

int global_tokens_command(int argc, char **argv, struct clock_port *clock)
{
    struct command c = {.ads = "-",
                        .scope = "stats:read",
                        .days = 365,
                        .rate = RATE_DEFAULT,
                        .lock = -1,
                        .clock = clock};
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "--help") == 0) {
        (void)fputs(global_tokens_help, stdout);
        return 0;
    }
    bool creates = strcmp(what, "create") == 0;
    bool revokes = strcmp(what, "revoke") == 0;
    if ((!creates && !revokes && strcmp(what, "list") != 0) || !take_line(argc - 1, argv + 1, &c) ||
        creates != (c.key != NULL) || revokes != (c.id != NULL)) {
        (void)fputs(global_tokens_help, stderr);
        return EXIT_CODE_USAGE;
    }
    struct buf text = {0};
    int code = creates || revokes ? lock_book(&c) : 0;
    if (code == 0)
        code = read_text(c.tokens, creates, &text);
    if (code == 0)
        code = creates ? create(&c, &text) : revokes ? revoke_one(&c, &text) : list(&c, &text);
    if (c.lock >= 0)
        (void)close(c.lock);
    buf_done(&text);
    return code;
}
