/* Loaded into one service (LD_PRELOAD): makes its syncs fail and moves its wall clock.
 *
 * The file that HEPTAD_SHIM names is mapped and read at every call, so whoever writes to it decides
 * from one call to the next: two 64-bit numbers, the errno of every sync (0: they work) and the
 * seconds by which the wall clock is off. Monotonic clocks are never touched: they do not jump. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct control {
    int64_t sync_errno;
    int64_t clock_offset_s;
};

static const volatile struct control *control;

__attribute__((constructor)) static void map_control(void) {
    const char *path = getenv("HEPTAD_SHIM");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *mapped = mmap(NULL, sizeof(struct control), PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped != MAP_FAILED)
        control = mapped;
}

static int refused(void) {
    int64_t number = control ? control->sync_errno : 0;
    if (number)
        errno = (int)number;
    return number != 0;
}

int fsync(int fd) { return refused() ? -1 : (int)syscall(SYS_fsync, fd); }

int fdatasync(int fd) { return refused() ? -1 : (int)syscall(SYS_fdatasync, fd); }

int msync(void *start, size_t length, int flags) {
    return refused() ? -1 : (int)syscall(SYS_msync, start, length, flags);
}

static int64_t offset_s(void) { return control ? control->clock_offset_s : 0; }

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(clock, now);
    if (status == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += offset_s();
    return status;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    now->tv_sec = at.tv_sec;
    now->tv_usec = at.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    if (out)
        *out = at.tv_sec;
    return at.tv_sec;
}
