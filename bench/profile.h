/* profile.h: with CAMBIUM_BENCH_PROFILE set, the benchmark programs also print the newest plan's steps, slowest first; in the
   order in which they run if it is "order". */
#ifndef BENCH_PROFILE_H
#define BENCH_PROFILE_H

#include <cambium/cambium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline bool bench_profiled(void)
{
    return getenv("CAMBIUM_BENCH_PROFILE") != NULL;
}

static inline int bench_slower(const void *a, const void *b)
{
    const cbm_step_info *x = a, *y = b;
    return (x->seconds < y->seconds) - (x->seconds > y->seconds);
}

static inline void bench_print_profile(cbm_context *cx)
{
    enum { STEPS = 4096, SHOWN = 200 };
    static cbm_step_info steps[STEPS];
    size_t count = 0;
    double sum = 0;
    for (; count < STEPS; count++) {
        steps[count].struct_size = sizeof *steps;
        if (!cbm_plan_step_at(cx, 0, count, &steps[count]))
            break;
        sum += steps[count].seconds;
    }
    if (strcmp(getenv("CAMBIUM_BENCH_PROFILE"), "order") != 0)
        qsort(steps, count, sizeof *steps, bench_slower);
    fprintf(stderr, "%zu steps, %.3f ms\n", count, sum * 1e3);
    for (size_t i = 0; i < count && i < SHOWN; i++)
        fprintf(stderr, "%9.1f us %6.1f GFLOP/s %6.1f GB/s %6.1f MB scratch  %s (%s) %s %s\n", steps[i].seconds * 1e6,
                steps[i].flops / steps[i].seconds * 1e-9, steps[i].bytes / steps[i].seconds * 1e-9,
                (double)steps[i].scratch_bytes * 1e-6, steps[i].name, steps[i].does, steps[i].kernel, steps[i].why);
    cbm_plan_info plan = { .struct_size = sizeof plan };
    cbm_live_info live = { .struct_size = sizeof live };
    if (cbm_plan_at(cx, 0, &plan))
        fprintf(stderr, "arena %llu, results %llu; at the peak, step %llu, %llu bytes:\n",
                (unsigned long long)plan.arena_bytes, (unsigned long long)plan.result_bytes,
                (unsigned long long)plan.peak_step, (unsigned long long)plan.live_bytes);
    for (size_t i = 0; i < SHOWN && cbm_plan_live_at(cx, 0, i, &live); i++)
        fprintf(stderr, "%12llu  steps %lld to %lld: %s %s\n", (unsigned long long)live.bytes, (long long)live.first,
                (long long)live.last, live.name, live.layout);
}

#endif
