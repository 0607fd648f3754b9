/* parallel.c: the one place where the library starts threads for a loop. Rests on GNU OpenMP (the runtime that oneDNN
   uses too, so that a process has one pool of threads) and POSIX.

   clang translates OpenMP's pragmas into calls of another runtime; built by clang, this file therefore calls the GNU
   runtime's entry point itself: exactly what gcc makes of the pragma. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "base/base.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#if defined(CBM_NO_OPENMP)
#define SERIAL 1
#elif defined(__clang__)
#define SERIAL 0
extern void GOMP_parallel(void (*region)(void *), void *data, unsigned threads, unsigned flags);
extern int omp_get_thread_num(void);
extern int omp_get_num_threads(void);
#else
#define SERIAL 0
#include <omp.h>
#endif

enum { MAX_THREADS = 1024 };

typedef struct loop {
    int64_t count, parts;
    void (*body)(void *user, int64_t begin, int64_t end);
    void *user;
} loop;

/* The first count % parts parts are longer by one. */
static void run_part(const loop *l, int64_t part)
{
    int64_t even = l->count / l->parts, longer = l->count % l->parts;
    int64_t begin = part * even + (part < longer ? part : longer);
    l->body(l->user, begin, begin + even + (part < longer ? 1 : 0));
}

static void run_parts(const loop *l, int64_t first, int64_t step)
{
    for (int64_t part = first; part < l->parts; part += step)
        run_part(l, part);
}

#if !SERIAL
/* The runtime may give fewer threads than asked for: the parts stay the same. */
static void region(void *data)
{
    run_parts(data, omp_get_thread_num(), omp_get_num_threads());
}

static void run_region(loop *l)
{
#ifdef __clang__
    GOMP_parallel(region, l, (unsigned)l->parts, 0);
#else
    int threads = (int)l->parts;
#pragma omp parallel num_threads(threads)
    region(l);
#endif
}

/* ---- does the system let us start that many threads? GNU OpenMP would end the process if not. ---- */

typedef struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t open;
    bool is_open;
} gate;

static void *wait_at_gate(void *argument)
{
    gate *g = argument;
    pthread_mutex_lock(&g->mutex);
    while (!g->is_open)
        pthread_cond_wait(&g->open, &g->mutex);
    pthread_mutex_unlock(&g->mutex);
    return NULL;
}

/* Starts count threads that live at the same time, and ends them. */
static bool can_start(int64_t count)
{
    pthread_t threads[MAX_THREADS];
    gate g = { .mutex = PTHREAD_MUTEX_INITIALIZER, .open = PTHREAD_COND_INITIALIZER };
    int64_t started = 0;
    while (started < count && pthread_create(&threads[started], NULL, wait_at_gate, &g) == 0)
        started++;
    pthread_mutex_lock(&g.mutex);
    g.is_open = true;
    pthread_cond_broadcast(&g.open);
    pthread_mutex_unlock(&g.mutex);
    for (int64_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    return started == count;
}

/* The runtime keeps a pool for each thread that opens parallel regions, so each asks once for itself. A refusal is
   remembered: this thread then goes on alone. */
static _Thread_local int64_t proven = 1, refused = MAX_THREADS + 1;

/* A fork copies the calling thread, but not the threads of its pool, for which the runtime would wait for ever. */
static void forget_pool(void)
{
    if (proven > 1)
        refused = 2;
    proven = 1;
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, forget_pool);
}

static bool allowed(int64_t threads)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    if (threads <= proven)
        return true;
    if (threads >= refused)
        return false;
    if (can_start(threads - 1))
        proven = threads;
    else
        refused = threads;
    return threads <= proven;
}
#endif

void cbm_parallel_for(int64_t count, int64_t grain, int64_t threads,
                      void (*body)(void *user, int64_t begin, int64_t end), void *user)
{
    if (count <= 0)
        return;
    if (grain < 1)
        grain = 1;
    if (threads > MAX_THREADS)
        threads = MAX_THREADS;
    if (count <= grain || threads <= 1) {
        body(user, 0, count);
        return;
    }
    int64_t grains = (count - 1) / grain + 1;
    loop l = { .count = count, .parts = grains < threads ? grains : threads, .body = body, .user = user };
#if !SERIAL
    if (allowed(l.parts)) {
        run_region(&l);
        return;
    }
#endif
    run_parts(&l, 0, 1);
}

int64_t cbm_parallel_threads(int64_t threads)
{
#if !SERIAL
    return threads > 1 && !allowed(threads < MAX_THREADS ? threads : MAX_THREADS) ? 1 : threads;
#else
    return threads;
#endif
}

int64_t cbm_parallel_cores(void)
{
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? online : 1;
}
