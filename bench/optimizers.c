/* optimizers.c: whole steps of every optimizer on one parameter of 64 MB, each beside a bare loop that reads a gradient and
   changes as many arrays: the two take turns, the least time of each counts.
     optimizers [THREADS] [NAME] [TURNS]
   Prints a line each: milliseconds, GB/s, and how much of the bare loop's speed that is. */
#include "base/base.h"
#include "measure.h"

#include <cambium/cambium.h>
#include <math.h>
#include <sys/mman.h>

enum { COUNT = 1 << 24, MOST = 4 };
static int64_t threads = 2, turns = 25;
static const char *wanted = "";

#if defined(__x86_64__)
#define EACH_LEVEL __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define EACH_LEVEL
#endif

typedef struct bare {
    float *gradient, *changed[MOST];
    int64_t n_changed;
} bare;

EACH_LEVEL static void bare_body(void *user, int64_t begin, int64_t end)
{
    const bare *b = user;
    const float *g = b->gradient;
    float *p = b->changed[0], *q = b->changed[1], *r = b->changed[2], *s = b->changed[3];
    if (b->n_changed == 1)
        for (int64_t i = begin; i < end; i++)
            p[i] += g[i];
    else if (b->n_changed == 2)
        for (int64_t i = begin; i < end; i++)
            p[i] += g[i], q[i] += g[i];
    else if (b->n_changed == 3)
        for (int64_t i = begin; i < end; i++)
            p[i] += g[i], q[i] += g[i], r[i] += g[i];
    else
        for (int64_t i = begin; i < end; i++)
            p[i] += g[i], q[i] += g[i], r[i] += g[i], s[i] += g[i];
}

/* Zeros, as the library's heap takes memory: in huge pages where the system has them. */
static float *take(void)
{
    void *p = NULL;
    if (posix_memalign(&p, (size_t)2 << 20, (size_t)COUNT * sizeof(float)) != 0)
        exit(1);
#ifdef MADV_HUGEPAGE
    madvise(p, (size_t)COUNT * sizeof(float), MADV_HUGEPAGE);
#endif
    return memset(p, 0, (size_t)COUNT * sizeof(float));
}

/* ---- the optimizers ---- */

typedef struct kind {
    const char *name;
    cbm_optimizer *(*make)(cbm_module *net);
    int64_t states;
} kind;

#define KIND(FUNCTION, ...)                                                                                            \
    static cbm_optimizer *FUNCTION(cbm_module *net)                                                                    \
    {                                                                                                                  \
        return __VA_ARGS__;                                                                                            \
    }
KIND(sgd, cbm_sgd(net, .lr = 1e-6))
KIND(momentum, cbm_sgd(net, .lr = 1e-6, .momentum = 0.9))
KIND(nesterov, cbm_sgd(net, .lr = 1e-6, .momentum = 0.9, .nesterov = true, .weight_decay = 1e-4))
KIND(l1, cbm_sgd(net, .lr = 1e-6, .l1_decay = 1e-4))
KIND(adam, cbm_adam(net, .lr = 1e-6))
KIND(adamw, cbm_adamw(net, .lr = 1e-6))
KIND(amsgrad, cbm_adam(net, .lr = 1e-6, .amsgrad = true))
KIND(adamax, cbm_adamax(net, .lr = 1e-6))
KIND(nadam, cbm_nadam(net, .lr = 1e-6))
KIND(radam, cbm_radam(net, .lr = 1e-6))
KIND(rmsprop, cbm_rmsprop(net, .lr = 1e-6))
KIND(centered, cbm_rmsprop(net, .lr = 1e-6, .momentum = 0.9, .centered = true))
KIND(adagrad, cbm_adagrad(net, .lr = 1e-6))
KIND(adadelta, cbm_adadelta(net, .lr = 1e-6))
KIND(rprop, cbm_rprop(net, .lr = 1e-6))
static const kind kinds[] = {
    { "SGD", sgd, 0 },
    { "SGD with momentum", momentum, 1 },
    { "SGD, Nesterov, decay", nesterov, 1 },
    { "SGD with L1", l1, 0 },
    { "Adam", adam, 2 },
    { "AdamW", adamw, 2 },
    { "AMSGrad", amsgrad, 3 },
    { "Adamax", adamax, 2 },
    { "NAdam", nadam, 2 },
    { "RAdam", radam, 2 },
    { "RMSprop", rmsprop, 1 },
    { "RMSprop, centered", centered, 3 },
    { "Adagrad", adagrad, 1 },
    { "Adadelta", adadelta, 2 },
    { "Rprop", rprop, 2 },
};

static double step(cbm_optimizer *opt, cbm_tensor *p, cbm_tensor *gradient)
{
    const double begun = bench_now();
    cbm_set_gradient(p, gradient);
    if (cbm_step(opt) != CBM_OK) {
        fprintf(stderr, "%s\n", cbm_message(cbm_optimizer_context(opt)));
        exit(1);
    }
    return bench_now() - begun;
}

static void measure(const kind *k, bare *b)
{
    cbm_context *cx = cbm_open_with(.threads = threads);
    cbm_module *net = cbm_nn_linear(cx, COUNT / 4096, 4096, .bias = false);
    cbm_tensor *p = cbm_parameter(net, "weight");
    cbm_tensor *gradient = cbm_variable(cbm_uniform(cx, CBM_F32, cbm_tensor_shape(p), -1, 1), false);
    cbm_optimizer *opt = k->make(net);
    for (int i = 0; i < 8; i++) /* RAdam changes its course at the sixth */
        step(opt, p, gradient);
    b->n_changed = k->states + 1;
    double least = INFINITY, bare_least = INFINITY;
    for (int64_t i = 0; i < turns; i++) {
        least = fmin(least, step(opt, p, gradient));
        const double begun = bench_now();
        cbm_parallel_for(COUNT, 4096, threads, bare_body, b);
        bare_least = fmin(bare_least, bench_now() - begun);
    }
    const double bytes = 4.0 * COUNT * (1 + 2 * (double)b->n_changed);
    printf("%-22s %8.2f ms %7.1f GB/s   bare %7.1f GB/s   %3.0f %%\n", k->name, 1e3 * least, 1e-9 * bytes / least,
           1e-9 * bytes / bare_least, 100 * bare_least / least);
    fflush(stdout);
    cbm_close(cx);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        threads = strtoll(argv[1], NULL, 10);
    if (argc > 2)
        wanted = argv[2];
    if (argc > 3)
        turns = strtoll(argv[3], NULL, 10);
    bare b = { .gradient = take() };
    for (int i = 0; i < MOST; i++)
        b.changed[i] = take();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strstr(kinds[i].name, wanted))
            measure(&kinds[i], &b);
    return 0;
}
