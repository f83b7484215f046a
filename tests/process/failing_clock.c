/* Preloaded into the program under test: the wall clock fails once, in the main thread, as soon as
   the file FAILING_CLOCK is there. Rust's standard library panics then. Linux only. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    const char *file = getenv("FAILING_CLOCK");
    int is_main = syscall(SYS_gettid) == getpid();
    if (clock == CLOCK_REALTIME && is_main && file != NULL && unlink(file) == 0) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_clock_gettime, clock, time);
}
