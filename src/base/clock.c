/* clock.c: a clock that never goes back. Rests on POSIX. */
#include "base/base.h"

#include <time.h>

double cbm_seconds(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
        return 0;
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
