/* measure.h: how the benchmark programs take times and talk. A program given seconds measures once and prints a line of
   JSON; given "serve" instead it prints a line when it is warm, then measures once for every line of seconds that it reads,
   so that several programs can take turns. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct bench_subject {
    const char *work;
    long threads;
    void (*once)(void *user);                   /* one step, or one prediction */
    unsigned long long (*tensor_bytes)(void *); /* held at the peak; NULL: not counted */
    void *user;
} bench_subject;

static inline double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline int bench_by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

#define BENCH_MAX_BURSTS 4096
#define BENCH_LEAST_BURSTS 3
#define BENCH_BURST_SECONDS 0.004
#define BENCH_WARM_SECONDS 0.3
#define BENCH_SLOW_SECONDS 1.5 /* after so long fewer runs must do */

/* Seconds of one burst of runs. */
static inline double bench_burst(const bench_subject *s, long runs)
{
    const double start = bench_now();
    for (long i = 0; i < runs; i++)
        s->once(s->user);
    return bench_now() - start;
}

/* Runs until it is warm; finds how many runs make a burst. */
static inline long bench_warm(const bench_subject *s)
{
    const double start = bench_now();
    long runs = 1;
    for (int bursts = 1;; bursts++) {
        const double last = bench_burst(s, runs), elapsed = bench_now() - start;
        if (last < BENCH_BURST_SECONDS)
            runs *= 2;
        else if (elapsed > BENCH_WARM_SECONDS && (bursts >= 3 || (bursts >= 2 && elapsed > BENCH_SLOW_SECONDS)))
            return runs;
    }
}

/* Bursts of equally many runs, three unless they are slow, until seconds have passed; prints the median of a run's time. */
static inline void bench_measure(const bench_subject *s, long runs, double seconds)
{
    static double times[BENCH_MAX_BURSTS];
    long count = 0;
    const double start = bench_now();
    for (double elapsed = 0; count < BENCH_MAX_BURSTS; elapsed = bench_now() - start) {
        if (elapsed > seconds && (count >= BENCH_LEAST_BURSTS || elapsed > BENCH_SLOW_SECONDS))
            break;
        times[count++] = bench_burst(s, runs) / (double)runs;
    }
    qsort(times, (size_t)count, sizeof *times, bench_by_size);
    const double median = count % 2 ? times[count / 2] : (times[count / 2 - 1] + times[count / 2]) / 2;
    printf("{\"work\": \"%s\", \"threads\": %ld, \"us\": %.3f, \"least_us\": %.3f, \"runs\": %ld", s->work, s->threads,
           median * 1e6, times[0] * 1e6, runs * count);
    if (s->tensor_bytes)
        printf(", \"tensor_bytes\": %llu", s->tensor_bytes(s->user));
    printf("}\n");
    fflush(stdout);
}

/* After the warm-up found runs. how: seconds, or "serve". */
static inline void bench_report(const bench_subject *s, long runs, const char *how)
{
    char line[64];
    if (strcmp(how, "serve") != 0) {
        bench_measure(s, runs, strtod(how, NULL));
        return;
    }
    printf("{\"ready\": true}\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin))
        bench_measure(s, runs, strtod(line, NULL));
}

#endif
