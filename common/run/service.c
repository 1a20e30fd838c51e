/* SPDX-License-Identifier: Apache-2.0 */
#include "common/run/service.h"

#include "common/run/log.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define FIRST_FILE 3 /* SD_LISTEN_FDS_START */

void service_guard_memory(void)
{
    const char *wanted = getenv("TRIBUTARY_CORE_DUMPS");
    if (wanted == NULL || strcmp(wanted, "1") != 0)
        CHECK(prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L) == 0);
    else
        log_warn("core files are allowed: they hold keys and passwords",
                 log_text("because", "TRIBUTARY_CORE_DUMPS=1"));
}

static long number_of(const char *name)
{
    const char *text = getenv(name);
    char *end;
    if (text == NULL || text[0] < '0' || text[0] > '9')
        return -1;
    errno = 0;
    long number = strtol(text, &end, 10);
    return errno == 0 && *end == '\0' ? number : -1;
}

static bool is_listener(int file)
{
    int listens = 0, type = 0;
    socklen_t length = sizeof(listens);
    struct sockaddr_storage address = {0};
    socklen_t address_length = sizeof(address);
    return getsockopt(file, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) == 0 && listens == 1 &&
           getsockopt(file, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM &&
           getsockname(file, (struct sockaddr *)&address, &address_length) == 0 &&
           (address.ss_family == AF_INET || address.ss_family == AF_INET6);
}

enum err service_listener(int *out)
{
    long owner = number_of("LISTEN_PID"), count = number_of("LISTEN_FDS");
    (void)unsetenv("LISTEN_PID"); /* not for children of ours */
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    if (owner != (long)getpid() || count <= 0) {
        *out = -1;
        return ERR_OK;
    }
    if (count > 1 || !is_listener(FIRST_FILE)) {
        log_error("the service manager must hand over one listening TCP socket",
                  log_u64("sockets", (uint64_t)count));
        return ERR_CONFIG;
    }
    int flags = fcntl(FIRST_FILE, F_GETFL);
    CHECK(flags >= 0 && fcntl(FIRST_FILE, F_SETFL, flags | O_NONBLOCK) == 0);
    CHECK(fcntl(FIRST_FILE, F_SETFD, FD_CLOEXEC) == 0);
    *out = FIRST_FILE;
    return ERR_OK;
}

void service_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@') ||
        strlen(path) >= sizeof(address.sun_path))
        return;
    size_t length = strlen(path);
    memcpy(address.sun_path, path, length);
    if (path[0] == '@') /* an abstract name begins with a zero byte */
        address.sun_path[0] = '\0';
    int file = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (file < 0)
        return;
    size_t size = offsetof(struct sockaddr_un, sun_path) + length;
    if (sendto(file, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
               (socklen_t)size) < 0)
        log_warn("service manager cannot be told", log_text("reason", strerror(errno)));
    (void)close(file);
}

void service_notify_reloading(void)
{
    struct timespec now;
    char text[64];
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    (void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
                   (unsigned long long)now.tv_sec * 1000000 +
                       (unsigned long long)now.tv_nsec / 1000);
    service_notify(text);
}

enum err service_write_ports(const char *path, const char *text)
{
    char temporary[4200];
    if (path == NULL)
        return ERR_OK;
    (void)snprintf(temporary, sizeof(temporary), "%s.%ld", path, (long)getpid());
    FILE *file = fopen(temporary, "we");
    bool written = file != NULL && fputs(text, file) >= 0;
    if (file != NULL && fclose(file) != 0)
        written = false;
    if (written && rename(temporary, path) == 0)
        return ERR_OK;
    log_error("ports file cannot be written", log_text("path", path),
              log_text("reason", strerror(errno)));
    (void)unlink(temporary);
    return ERR_SYSTEM;
}

void service_catch_signals(void (*handler)(int number))
{
    struct sigaction action = {.sa_handler = handler};
    (void)sigemptyset(&action.sa_mask);
    CHECK(sigaction(SIGTERM, &action, NULL) == 0 && sigaction(SIGINT, &action, NULL) == 0);
    action.sa_handler = SIG_IGN;
    CHECK(sigaction(SIGPIPE, &action, NULL) == 0);
}
