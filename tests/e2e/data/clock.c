/* Preloaded into a process, this has its wall clock go wrong by as many seconds as the file named in HOLDFAST_CLOCK says. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    const char *path = getenv("HOLDFAST_CLOCK");
    if (result != 0 || path == NULL || clock != CLOCK_REALTIME) {
        return result;
    }
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        char text[32] = {0};
        if (read(file, text, sizeof text - 1) > 0) {
            now->tv_sec += atol(text);
        }
        close(file);
    }
    return result;
}
