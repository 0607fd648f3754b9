/* loader.c: how fast batches are made, alone and beside training steps, on made-up pictures.
     loader alone [SECONDS]             pictures per second of each set, read by the caller and by one worker
     loader WORK [THREADS] [SECONDS]    WORK: mnist-mlp, mnist-cnn, cifar-cnn. Steps on one and the same batch and steps fed
                                        by the loader with augmentation, in turns; what the loader made steps wait
   Prints a line of JSON for each. Rests on the library alone. */
#include <cambium/cambium.h>
#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS_MAX 4096

typedef struct pictures {
    const char *name;
    int64_t count, channels, side, padding;
    bool flip, augment;
} pictures;

static const pictures sets[] = {
    { "mnist", 60000, 1, 28, 0, false, false },
    { "mnist-crop", 60000, 1, 28, 2, false, true },
    { "cifar", 50000, 3, 32, 0, false, false },
    { "cifar-crop-flip", 50000, 3, 32, 4, true, true },
};

typedef struct work {
    const char *name;
    int set; /* of sets */
    int64_t batch, burst;
    cbm_module *(*make)(cbm_context *cx);
} work;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Bytes in memory with labels, normalised after the augmentation, as the recipes do it. */
static cbm_dataset *open_set(cbm_context *cx, const pictures *p)
{
    static const double mean[] = { 0.49, 0.48, 0.45 }, deviation[] = { 0.25, 0.24, 0.26 };
    size_t size = (size_t)(p->count * p->channels * p->side * p->side);
    unsigned char *bytes = malloc(size);
    int64_t *labels = malloc((size_t)p->count * sizeof *labels);
    uint32_t x = 1;
    for (size_t i = 0; bytes && i < size; i++)
        bytes[i] = (unsigned char)((x = x * 1664525 + 1013904223) >> 24);
    for (int64_t i = 0; labels && i < p->count; i++)
        labels[i] = i % 10;
    cbm_dataset *d = NULL;
    if (bytes && labels) {
        CBM_SCOPE(scope, cx);
        d = cbm_dataset_tensors(cx,
                                cbm_tensor_from(cx, CBM_U8, CBM_SHAPE(p->count, p->channels, p->side, p->side), bytes),
                                cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(p->count), labels));
    }
    free(bytes);
    free(labels);
    cbm_transform list[3];
    size_t n = 0;
    if (p->augment)
        list[n++] = cbm_random_crop(p->padding);
    if (p->flip)
        list[n++] = cbm_random_flip();
    list[n++] = cbm_normalize(p->channels, mean, deviation);
    return cbm_dataset_transform_with(d, list, n);
}

static cbm_module *make_mlp(cbm_context *cx)
{
    return cbm_sequential(cx, cbm_nn_flatten(cx), cbm_nn_linear(cx, 784, 512), cbm_nn_relu(cx),
                          cbm_nn_linear(cx, 512, 512), cbm_nn_relu(cx), cbm_nn_linear(cx, 512, 10));
}

static cbm_module *make_cnn(cbm_context *cx)
{
    return cbm_sequential(cx, cbm_nn_conv2d(cx, 1, 32, 3), cbm_nn_relu(cx), cbm_nn_conv2d(cx, 32, 64, 3),
                          cbm_nn_relu(cx), cbm_nn_max_pool2d(cx, 2), cbm_nn_dropout(cx, 0.25), cbm_nn_flatten(cx),
                          cbm_nn_linear(cx, 9216, 128), cbm_nn_relu(cx), cbm_nn_dropout(cx, 0.5),
                          cbm_nn_linear(cx, 128, 10));
}

/* Small on purpose: its steps are a fraction of a residual network's. */
static cbm_module *make_cifar(cbm_context *cx)
{
    return cbm_sequential(cx, cbm_nn_conv2d(cx, 3, 16, 3, .stride = CBM_SHAPE(2), .padding = CBM_SHAPE(1)),
                          cbm_nn_relu(cx), cbm_nn_conv2d(cx, 16, 32, 3, .padding = CBM_SHAPE(1)), cbm_nn_relu(cx),
                          cbm_nn_max_pool2d(cx, 2), cbm_nn_flatten(cx), cbm_nn_linear(cx, 2048, 10));
}

static const work works[] = {
    { "mnist-mlp", 1, 128, 100, make_mlp },
    { "mnist-cnn", 1, 64, 20, make_cnn },
    { "cifar-cnn", 3, 128, 50, make_cifar },
};

static int failed(const cbm_context *cx)
{
    fprintf(stderr, "%s\n", cbm_message(cx));
    return 1;
}

/* ---- alone ---- */

static int alone(double budget)
{
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
        cbm_context *cx = cbm_open_with(.threads = 1);
        cbm_dataset *d = open_set(cx, &sets[s]);
        for (int64_t workers = 0; workers < 2; workers++) {
            cbm_loader *l = cbm_loader_open(d, .batch_size = 128, .shuffle = true, .workers = workers);
            cbm_batch b;
            while (cbm_next(l, &b)) {
            }
            int64_t count = 0;
            double start = now(), elapsed = 0;
            for (; elapsed < budget && cbm_context_status(cx) == CBM_OK; elapsed = now() - start)
                for (int i = 0; i < 20; i++)
                    count += cbm_next(l, &b) ? b.size : 0;
            if (cbm_context_status(cx) != CBM_OK)
                return failed(cx);
            printf("{\"set\": \"%s\", \"workers\": %lld, \"pictures_per_s\": %.0f, \"us_per_picture\": %.3f}\n",
                   sets[s].name, (long long)workers, (double)count / elapsed, elapsed / (double)count * 1e6);
            cbm_loader_close(l);
        }
        cbm_close(cx);
    }
    return 0;
}

/* ---- beside training ---- */

static void step(cbm_context *cx, cbm_module *net, cbm_optimizer *opt, cbm_tensor *x, cbm_tensor *y)
{
    CBM_SCOPE(scope, cx);
    cbm_backward(cbm_cross_entropy(cbm_call(net, x), y));
    cbm_step(opt);
}

/* The normal policy lets a thread that wakes up in before those that have long been running. A real-time policy, under
   which one measures on a busy machine, does not: there the threads that exist besides this one, the loader's, get a
   higher priority. */
static void let_workers_in(void)
{
    int policy = sched_getscheduler(0);
    struct sched_param how;
    if ((policy != SCHED_FIFO && policy != SCHED_RR) || sched_getparam(0, &how) != 0)
        return;
    how.sched_priority++;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *e = tasks ? readdir(tasks) : NULL; e; e = readdir(tasks)) {
        pid_t id = (pid_t)strtol(e->d_name, NULL, 10);
        if (id > 0 && id != getpid())
            sched_setscheduler(id, policy, &how);
    }
    if (tasks)
        closedir(tasks);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, by_value);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static int beside(const work *w, int64_t threads, double budget)
{
    static double fixed[ROUNDS_MAX], fed[ROUNDS_MAX], ratio[ROUNDS_MAX];
    cbm_context *cx = cbm_open_with(.threads = threads);
    cbm_module *net = w->make(cx);
    cbm_optimizer *opt = cbm_sgd(net, .lr = 0.001, .momentum = 0.9);
    cbm_loader *l = cbm_loader_open(open_set(cx, &sets[w->set]), .batch_size = w->batch, .shuffle = true,
                                    .drop_last = true, .workers = 1);
    cbm_batch b;
    cbm_tensor *x = NULL, *y = NULL;
    let_workers_in(); /* before there are threads that compute */
    if (!cbm_next(l, &b))
        return failed(cx);
    cbm_set(&x, b.input);
    cbm_set(&y, b.target);
    for (int i = 0; i < 20; i++)
        step(cx, net, opt, x, y);
    cbm_loading before = cbm_loader_statistics(l);
    size_t rounds = 0;
    for (double start = now(); rounds < ROUNDS_MAX && now() - start < budget && cbm_context_status(cx) == CBM_OK;
         rounds++) {
        double t = now();
        for (int64_t i = 0; i < w->burst; i++)
            step(cx, net, opt, x, y);
        fixed[rounds] = now() - t;
        t = now();
        for (int64_t i = 0; i < w->burst; i++) {
            while (!cbm_next(l, &b) && cbm_context_status(cx) == CBM_OK) { /* an epoch ends: the next one begins */
            }
            step(cx, net, opt, b.input, b.target);
        }
        fed[rounds] = now() - t;
        ratio[rounds] = fed[rounds] / fixed[rounds];
    }
    if (cbm_context_status(cx) != CBM_OK)
        return failed(cx);
    cbm_loading after = cbm_loader_statistics(l);
    double scale = 1e6 / (double)w->burst;
    printf("{\"work\": \"%s\", \"set\": \"%s\", \"threads\": %lld, \"step_us\": %.1f, \"step_us_fed\": %.1f, "
           "\"ratio\": %.4f, \"batches\": %lld, \"waits\": %lld, \"wait_ms\": %.3f, \"longest_wait_ms\": %.3f}\n",
           w->name, sets[w->set].name, (long long)threads, median(fixed, rounds) * scale, median(fed, rounds) * scale,
           median(ratio, rounds), (long long)(after.batches - before.batches), (long long)(after.waits - before.waits),
           1e3 * (after.wait_seconds - before.wait_seconds), 1e3 * after.longest_wait);
    cbm_set(&x, NULL);
    cbm_set(&y, NULL);
    cbm_close(cx);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "alone") == 0)
        return alone(argc > 2 ? strtod(argv[2], NULL) : 0.5);
    for (size_t i = 0; argc > 1 && i < sizeof works / sizeof *works; i++)
        if (strcmp(argv[1], works[i].name) == 0)
            return beside(&works[i], argc > 2 ? strtol(argv[2], NULL, 10) : 2, argc > 3 ? strtod(argv[3], NULL) : 5);
    fprintf(stderr, "usage: loader alone [SECONDS] | mnist-mlp|mnist-cnn|cifar-cnn [THREADS] [SECONDS]\n");
    return 2;
}
