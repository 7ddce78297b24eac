/* Makes system calls on chosen files fail in a process that is started with this library in LD_PRELOAD.
 *
 * While the file named by FAULT_ORDER exists, it tells what fails: a call and a part of the path, as in "sync segment-".
 *   sync   fdatasync and fsync fail.
 *   read   pread fails.
 *   write  the first pwrite writes half of its bytes, and all later ones fail.
 *   short  every pwrite writes half of its bytes and returns that count.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_int torn;

/* Sets `call` to the name of the call that fails on this file, or to an empty string. */
static void ordered(int fd, char call[16]) {
    char order[64] = "", files[64] = "", link[32], path[4096];
    call[0] = 0;
    const char *name = getenv("FAULT_ORDER");
    int file = name == NULL ? -1 : open(name, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    ssize_t length = read(file, order, sizeof order - 1);
    close(file);
    if (length <= 0 || sscanf(order, "%15s %63s", call, files) != 2) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    if (strstr(path, files) == NULL) call[0] = 0;
}

static int fails(int fd, const char *call) {
    char now[16];
    ordered(fd, now);
    if (strcmp(now, call) != 0) return 0;
    errno = EIO;
    return 1;
}

int fdatasync(int fd) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
    return fails(fd, "sync") ? -1 : real(fd);
}

int fsync(int fd) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
    return fails(fd, "sync") ? -1 : real(fd);
}

ssize_t pread64(int fd, void *bytes, size_t count, off64_t offset) {
    ssize_t (*real)(int, void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pread64");
    return fails(fd, "read") ? -1 : real(fd, bytes, count, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    ssize_t (*real)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");
    char call[16];
    ordered(fd, call);
    size_t half = count < 2 ? count : count / 2;
    if (strcmp(call, "short") == 0) return real(fd, bytes, half, offset);
    if (strcmp(call, "write") != 0) return real(fd, bytes, count, offset);
    if (atomic_fetch_add(&torn, 1) == 0) return real(fd, bytes, half, offset);
    errno = EIO;
    return -1;
}
