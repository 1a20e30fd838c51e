/* SPDX-License-Identifier: Apache-2.0
 * Claims about service: which sockets are taken from a service manager, and what it is told. */
#include "common/run/service.h"

#include "tests/unit/run/scratch.h"

#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

TestSuite(service, .timeout = 30);

enum { NOTHING, LISTENER, CONNECTION, DATAGRAMS, A_FILE };

static int given_file(int what)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int pair[2];
    switch (what) {
    case LISTENER:
    case DATAGRAMS: {
        int file = socket(AF_INET, what == LISTENER ? SOCK_STREAM : SOCK_DGRAM, 0);
        cr_assert_eq(bind(file, (struct sockaddr *)&any, sizeof(any)), 0);
        if (what == LISTENER)
            cr_assert_eq(listen(file, 8), 0);
        return file;
    }
    case CONNECTION:
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        return pair[0];
    case A_FILE:
        return open("/dev/null", O_RDWR);
    default:
        return -1;
    }
}

/* In a process of its own, whose descriptor 3 is ours to set. Returns 10 times the error, plus 1 if
 * a socket was taken in the right state. */
static int taken(int what, const char *count, bool for_us)
{
    int file = given_file(what);
    pid_t child = fork();
    if (child == 0) {
        char owner[24];
        int got = 77;
        (void)snprintf(owner, sizeof(owner), "%ld", (long)getpid() + (for_us ? 0 : 1));
        (void)setenv("LISTEN_PID", owner, 1);
        (void)setenv("LISTEN_FDS", count, 1);
        if (file < 0)
            (void)close(3);
        else if (file != 3 && dup2(file, 3) != 3)
            _exit(99);
        enum err err = service_listener(&got);
        bool right = got == 3 && (fcntl(3, F_GETFL) & O_NONBLOCK) != 0 &&
                     (fcntl(3, F_GETFD) & FD_CLOEXEC) != 0;
        bool none = got == (err == ERR_OK ? -1 : 77);
        if (getenv("LISTEN_FDS") != NULL || getenv("LISTEN_PID") != NULL || (!right && !none))
            _exit(98);
        _exit((err == ERR_OK ? 0 : 10) + (right ? 1 : 0));
    }
    int status = -1;
    if (file >= 0)
        (void)close(file);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

Test(service, one_listening_socket_for_this_process_is_taken)
{
    cr_assert_eq(taken(LISTENER, "1", true), 1);
}

Test(service, what_was_meant_for_another_process_is_left)
{
    cr_assert_eq(taken(LISTENER, "1", false), 0);
    cr_assert_eq(taken(LISTENER, "0", true), 0);
    cr_assert_eq(taken(LISTENER, "", true), 0);
    cr_assert_eq(taken(LISTENER, "-1", true), 0);
}

Test(service, anything_but_one_listening_socket_is_a_mistake)
{
    cr_assert_eq(taken(NOTHING, "1", true), 10);
    cr_assert_eq(taken(CONNECTION, "1", true), 10);
    cr_assert_eq(taken(DATAGRAMS, "1", true), 10);
    cr_assert_eq(taken(A_FILE, "1", true), 10);
    cr_assert_eq(taken(LISTENER, "2", true), 10);
}

static void expect_heard(const char *name, size_t length, const char *variable)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char text[128] = {0};
    int manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    memcpy(address.sun_path, name, length);
    cr_assert_eq(bind(manager, (struct sockaddr *)&address,
                      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)),
                 0);
    (void)setenv("NOTIFY_SOCKET", variable, 1);

    service_notify("READY=1");
    service_notify_reloading();

    cr_assert_eq(recv(manager, text, sizeof(text), 0), 7);
    cr_assert_str_eq(text, "READY=1");
    memset(text, 0, sizeof(text));
    cr_assert_gt(recv(manager, text, sizeof(text) - 1, 0), 30);
    cr_assert_eq(strncmp(text, "RELOADING=1\nMONOTONIC_USEC=", 27), 0, "%s", text);
    (void)close(manager);
}

Test(service, the_manager_hears_states_by_path_and_by_abstract_name)
{
    char *folder = scratch_new();
    const char *path = scratch_path(folder, "notify");
    char abstract[64], variable[64];
    int length = snprintf(abstract, sizeof(abstract), "@tributary-test-%ld", (long)getpid());
    memcpy(variable, abstract, sizeof(variable));
    abstract[0] = '\0';

    expect_heard(path, strlen(path), path);
    expect_heard(abstract, (size_t)length, variable);
    scratch_free(folder);
}

Test(service, without_a_manager_nothing_happens)
{
    (void)unsetenv("NOTIFY_SOCKET");
    service_notify("READY=1");
    (void)setenv("NOTIFY_SOCKET", "relative/path", 1);
    service_notify("READY=1");
    char *folder = scratch_new();
    (void)setenv("NOTIFY_SOCKET", scratch_path(folder, "nobody"), 1);
    struct scratch_stderr captured = scratch_stderr_begin();
    service_notify("READY=1");
    char *said = scratch_stderr_end(captured);
    cr_assert_not_null(strstr(said, "cannot be told"), "%s", said);
    free(said);
    scratch_free(folder);
}

/* In a process of its own: what the kernel says of its memory afterwards. */
static int guarded(const char *wanted)
{
    pid_t child = fork();
    if (child == 0) {
        if (wanted != NULL)
            (void)setenv("TRIBUTARY_CORE_DUMPS", wanted, 1);
        else
            (void)unsetenv("TRIBUTARY_CORE_DUMPS");
        (void)prctl(PR_SET_DUMPABLE, 1L, 0L, 0L, 0L);
        service_guard_memory();
        _exit(prctl(PR_GET_DUMPABLE, 0L, 0L, 0L, 0L));
    }
    int status = -1;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

Test(service, memory_stays_out_of_core_files_unless_it_is_asked_for)
{
    cr_assert_eq(guarded(NULL), 0);
    cr_assert_eq(guarded(""), 0);
    cr_assert_eq(guarded("0"), 0);
    cr_assert_eq(guarded("1"), 1);
}

Test(service, a_ports_file_is_whole_or_as_it_was)
{
    char *folder = scratch_new();
    const char *ports = scratch_path(folder, "ports");

    cr_assert_eq(service_write_ports(NULL, "listen=1\n"), ERR_OK);
    cr_assert_eq(service_write_ports(ports, "listen=1\n"), ERR_OK);
    cr_assert_eq(service_write_ports(ports, "listen=2\nadmin=3\n"), ERR_OK);

    char text[64] = "";
    FILE *file = fopen(ports, "re");
    cr_assert_not_null(file);
    cr_assert_eq(fread(text, 1, sizeof(text) - 1, file), 17);
    cr_assert_str_eq(text, "listen=2\nadmin=3\n");
    (void)fclose(file);
    struct scratch_stderr captured = scratch_stderr_begin();
    cr_assert_eq(service_write_ports(scratch_path(folder, "no/ports"), "a"), ERR_SYSTEM);
    char *said = scratch_stderr_end(captured);
    cr_assert_not_null(strstr(said, "ports file cannot be written"), "%s", said);
    free(said);
    scratch_free(folder);
}
