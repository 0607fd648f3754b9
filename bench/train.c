/* train.c: training steps per second of the networks that are compared with other frameworks, on made-up data.
     train WORK [THREADS] [SECONDS]       WORK: mnist-cnn, mnist-cnn-plain (no dropout), mnist-mlp, tiny-mlp
   Prints one line of JSON. Rests on the library alone. */
#include <cambium/cambium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct work {
    const char *name;
    int64_t batch;
    cbm_shape input; /* of a batch */
    int64_t classes; /* 0: regression on one number */
    cbm_module *(*make)(cbm_context *cx);
} work;

static cbm_module *cnn(cbm_context *cx, bool dropout)
{
    return cbm_sequential(cx, cbm_nn_conv2d(cx, 1, 32, 3), cbm_nn_relu(cx), cbm_nn_conv2d(cx, 32, 64, 3),
                          cbm_nn_relu(cx), cbm_nn_max_pool2d(cx, 2), cbm_nn_dropout(cx, dropout ? 0.25 : 0),
                          cbm_nn_flatten(cx), cbm_nn_linear(cx, 9216, 128), cbm_nn_relu(cx),
                          cbm_nn_dropout(cx, dropout ? 0.5 : 0), cbm_nn_linear(cx, 128, 10));
}

static cbm_module *make_cnn(cbm_context *cx)
{
    return cnn(cx, true);
}

static cbm_module *make_plain_cnn(cbm_context *cx)
{
    return cbm_sequential(cx, cbm_nn_conv2d(cx, 1, 32, 3), cbm_nn_relu(cx), cbm_nn_conv2d(cx, 32, 64, 3),
                          cbm_nn_relu(cx), cbm_nn_max_pool2d(cx, 2), cbm_nn_flatten(cx), cbm_nn_linear(cx, 9216, 128),
                          cbm_nn_relu(cx), cbm_nn_linear(cx, 128, 10));
}

static cbm_module *make_mlp(cbm_context *cx)
{
    return cbm_sequential(cx, cbm_nn_flatten(cx), cbm_nn_linear(cx, 784, 512), cbm_nn_relu(cx),
                          cbm_nn_linear(cx, 512, 512), cbm_nn_relu(cx), cbm_nn_linear(cx, 512, 10));
}

static cbm_module *make_tiny(cbm_context *cx)
{
    return cbm_sequential(cx, cbm_nn_linear(cx, 2, 16), cbm_nn_relu(cx), cbm_nn_linear(cx, 16, 1));
}

static const work works[] = {
    { "mnist-cnn", 64, { { 4, 64, 1, 28, 28 } }, 10, make_cnn },
    { "mnist-cnn-plain", 64, { { 4, 64, 1, 28, 28 } }, 10, make_plain_cnn },
    { "mnist-mlp", 128, { { 4, 128, 1, 28, 28 } }, 10, make_mlp },
    { "tiny-mlp", 32, { { 2, 32, 2 } }, 0, make_tiny },
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void step(cbm_context *cx, const work *w, cbm_module *net, cbm_optimizer *opt, cbm_tensor *x, cbm_tensor *y)
{
    CBM_SCOPE(scope, cx);
    cbm_tensor *out = cbm_call(net, x);
    cbm_tensor *loss = w->classes ? cbm_cross_entropy(out, y) : cbm_mse(out, y);
    cbm_backward(loss);
    cbm_step(opt);
}

int main(int argc, char **argv)
{
    const work *w = NULL;
    for (size_t i = 0; argc > 1 && i < sizeof works / sizeof *works; i++)
        if (!strcmp(argv[1], works[i].name))
            w = &works[i];
    if (!w) {
        fprintf(stderr, "usage: train mnist-cnn|mnist-cnn-plain|mnist-mlp|tiny-mlp [THREADS] [SECONDS]\n");
        return 2;
    }
    long threads = argc > 2 ? strtol(argv[2], NULL, 10) : 2;
    double budget = argc > 3 ? (double)strtol(argv[3], NULL, 10) : 5;
    cbm_context *cx = cbm_open_with(.threads = threads);
    cbm_module *net = w->make(cx);
    cbm_optimizer *opt = cbm_sgd(net, .lr = 0.01, .momentum = 0.9);
    cbm_tensor *x = cbm_normal(cx, CBM_F32, w->input, 0, 1);
    cbm_tensor *y = cbm_normal(cx, CBM_F32, CBM_SHAPE(w->batch, 1), 0, 1);
    if (w->classes) {
        int64_t labels[256];
        for (int64_t i = 0; i < w->batch; i++)
            labels[i] = i % w->classes;
        y = cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(w->batch), labels);
    }
    cbm_compute((cbm_tensor *[]){ x, y }, 2);
    for (int i = 0; i < 20; i++)
        step(cx, w, net, opt, x, y);
    cbm_reset_peak(cx);
    int64_t steps = 0, burst = w->classes ? 5 : 2000;
    double start = now(), elapsed = 0;
    for (; elapsed < budget && cbm_context_status(cx) == CBM_OK; elapsed = now() - start)
        for (int64_t i = 0; i < burst; i++, steps++)
            step(cx, w, net, opt, x, y);
    if (cbm_context_status(cx) != CBM_OK) {
        fprintf(stderr, "%s\n", cbm_message(cx));
        return 1;
    }
    cbm_statistics s = cbm_context_statistics(cx);
    if (getenv("CAMBIUM_BENCH_EXPLAIN"))
        fputs(cbm_explain(cx), stderr);
    printf("{\"work\": \"%s\", \"threads\": %ld, \"steps\": %lld, \"step_us\": %.3f, \"samples_per_s\": %.0f, "
           "\"tensor_bytes\": %llu, "
           "\"plans\": %llu}\n",
           w->name, threads, (long long)steps, elapsed / (double)steps * 1e6, (double)(steps * w->batch) / elapsed,
           (unsigned long long)s.bytes_peak, (unsigned long long)s.plans_made);
    cbm_close(cx);
    return 0;
}
