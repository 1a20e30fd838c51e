/* SPDX-License-Identifier: Apache-2.0
 * nats_fixture: a real nats-server with JetStream in a folder of its own, on a port of the kernel's
 * choice. Audience: tests. One thread. Everything is `static inline`: a test program is one file.
 */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef TEST_SOURCE_DIR
#define TEST_SOURCE_DIR "."
#endif

struct nats_fixture {
    char dir[64];
    char url[64];
    const char *domain; /* NULL: none */
    const char *extra;  /* more lines of configuration; NULL: none */
    unsigned port;      /* 0 before the first start; kept over restarts */
    pid_t pid;          /* 0: not running */
};

static inline void nats_fixture_die(const char *what)
{
    (void)fprintf(stderr, "nats_fixture: %s: %s\n", what, strerror(errno));
    abort();
}

static inline uint64_t nats_fixture_now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Runs a command of up to three arguments to its end; true if it ended with 0. */
static inline bool nats_fixture_run(const char *program, const char *one, const char *two,
                                    const char *three)
{
    pid_t pid = fork();
    if (pid < 0)
        nats_fixture_die("fork");
    if (pid == 0) {
        (void)execlp(program, program, one, two, three, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static inline void nats_fixture_write_config(const struct nats_fixture *f)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/server.conf", f->dir);
    FILE *out = fopen(path, "w");
    if (out == NULL)
        nats_fixture_die(path);
    if (f->port == 0)
        (void)fprintf(out, "listen: \"127.0.0.1:-1\"\n");
    else
        (void)fprintf(out, "listen: \"127.0.0.1:%u\"\n", f->port);
    (void)fprintf(out, "ports_file_dir: \"%s\"\nlog_file: \"%s/server.log\"\n", f->dir, f->dir);
    (void)fprintf(out, "jetstream { store_dir: \"%s/store\"", f->dir);
    if (f->domain != NULL)
        (void)fprintf(out, ", domain: \"%s\"", f->domain);
    (void)fprintf(out, " }\n%s\n", f->extra == NULL ? "" : f->extra);
    if (fclose(out) != 0)
        nats_fixture_die(path);
}

static inline void nats_fixture_exec(const struct nats_fixture *f)
{
    char path[128];
    const char *chosen = getenv("NATS_SERVER");
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves nothing behind */
    (void)snprintf(path, sizeof(path), "%s/server.conf", f->dir);
    if (chosen != NULL)
        (void)execl(chosen, "nats-server", "-c", path, (char *)NULL);
    (void)execl(TEST_SOURCE_DIR "/.deps/nats/usr/sbin/nats-server", "nats-server", "-c", path,
                (char *)NULL);
    (void)execlp("nats-server", "nats-server", "-c", path, (char *)NULL);
    _exit(127);
}

/* The port that the server wrote down once it listens; 0 as long as it has not. */
static inline unsigned nats_fixture_read_port(const struct nats_fixture *f)
{
    char path[160];
    char text[512] = "";
    (void)snprintf(path, sizeof(path), "%s/nats-server_%d.ports", f->dir, (int)f->pid);
    FILE *in = fopen(path, "r");
    if (in == NULL)
        return 0;
    size_t length = fread(text, 1, sizeof(text) - 1, in);
    (void)fclose(in);
    text[length] = '\0';
    const char *at = strstr(text, "127.0.0.1:");
    return at == NULL || strchr(at, '}') == NULL ? 0 : (unsigned)strtoul(at + 10, NULL, 10);
}

/* Starts it, the first time or again on the same port and store. */
static inline void nats_fixture_start(struct nats_fixture *f)
{
    uint64_t deadline_ms = nats_fixture_now_ms() + 20000;
    if (f->dir[0] == '\0') {
        (void)snprintf(f->dir, sizeof(f->dir), "/tmp/tributary-nats-XXXXXX");
        if (mkdtemp(f->dir) == NULL)
            nats_fixture_die("mkdtemp");
    }
    nats_fixture_write_config(f);
    f->pid = fork();
    if (f->pid < 0)
        nats_fixture_die("fork");
    if (f->pid == 0)
        nats_fixture_exec(f);
    unsigned port = 0;
    while ((port = nats_fixture_read_port(f)) == 0) {
        int status = 0;
        struct timespec bite = {.tv_nsec = 5000000};
        if (waitpid(f->pid, &status, WNOHANG) == f->pid) {
            errno = ENOENT;
            nats_fixture_die("nats-server ended at once; is NATS_SERVER, .deps/ or PATH right?");
        }
        if (nats_fixture_now_ms() > deadline_ms)
            nats_fixture_die("nats-server did not listen in time");
        (void)nanosleep(&bite, NULL);
    }
    f->port = port;
    (void)snprintf(f->url, sizeof(f->url), "nats://127.0.0.1:%u", port);
}

/* Ends it with `signal` (SIGKILL, SIGTERM) and waits for its end. */
static inline void nats_fixture_stop(struct nats_fixture *f, int signal)
{
    int status = 0;
    if (f->pid == 0)
        return;
    (void)kill(f->pid, signal);
    while (waitpid(f->pid, &status, 0) < 0 && errno == EINTR)
        ;
    f->pid = 0;
}

/* Stops it as a stalled machine would be; returns once none of its threads runs any more. */
static inline void nats_fixture_pause(const struct nats_fixture *f)
{
    int status = 0;
    (void)kill(f->pid, SIGSTOP);
    while (waitpid(f->pid, &status, WUNTRACED) < 0 && errno == EINTR)
        ;
    if (!WIFSTOPPED(status))
        nats_fixture_die("nats-server did not stop");
}

static inline void nats_fixture_resume(const struct nats_fixture *f)
{
    (void)kill(f->pid, SIGCONT);
}

/* Copies the store aside, or an older copy back over it; the server must not run. */
static inline void nats_fixture_copy_store(const struct nats_fixture *f, bool back)
{
    char store[128];
    char copy[128];
    (void)snprintf(store, sizeof(store), "%s/store", f->dir);
    (void)snprintf(copy, sizeof(copy), "%s/store.old", f->dir);
    const char *source = back ? copy : store;
    const char *target = back ? store : copy;
    if (!nats_fixture_run("rm", "-rf", target, NULL) ||
        !nats_fixture_run("cp", "-a", source, target))
        nats_fixture_die("copying the store");
}

/* Kills it and removes its folder. */
static inline void nats_fixture_done(struct nats_fixture *f)
{
    nats_fixture_stop(f, SIGKILL);
    if (f->dir[0] != '\0')
        (void)nats_fixture_run("rm", "-rf", f->dir, NULL);
}
