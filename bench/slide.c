/* slide.c: time of a classifier on every window of a picture of 3x3 times the extents, in one batch, and of the same classifier
   made fully convolutional (cbm_convolutionalize) on the whole picture.
     slide [THREADS] [ROUNDS]
   A LeNet-5 without padding and with relu, and one of the recipe `sliding`'s kind. The two take turns; the median of the rounds'
   ratios is printed. Rests on measure.h. */
#include "bench/measure.h"
#include <cambium/cambium.h>
#include <math.h>

enum { SIDE = 28, LARGE = 84, STEP = 4, PLACES = (LARGE - SIDE) / STEP + 1, ROUNDS_MOST = 1000 };

static cbm_module *lenet(cbm_context *cx)
{
    return cbm_sequential(cx, cbm_nn_conv2d(cx, 1, 6, 5), cbm_nn_relu(cx), cbm_nn_max_pool2d(cx, 2),
                          cbm_nn_conv2d(cx, 6, 16, 5), cbm_nn_relu(cx), cbm_nn_max_pool2d(cx, 2), cbm_nn_flatten(cx),
                          cbm_nn_linear(cx, 256, 120), cbm_nn_relu(cx), cbm_nn_linear(cx, 120, 84), cbm_nn_relu(cx),
                          cbm_nn_linear(cx, 84, 10));
}

static cbm_module *wider(cbm_context *cx)
{
    return cbm_sequential(cx, cbm_nn_conv2d(cx, 1, 16, 5), cbm_nn_relu(cx), cbm_nn_max_pool2d(cx, 2),
                          cbm_nn_conv2d(cx, 16, 32, 5), cbm_nn_relu(cx), cbm_nn_max_pool2d(cx, 2), cbm_nn_flatten(cx),
                          cbm_nn_linear(cx, 512, 128), cbm_nn_relu(cx), cbm_nn_linear(cx, 128, 11));
}

/* Seconds of a forward. */
static double forward(cbm_module *net, cbm_tensor *x)
{
    const double start = bench_now();
    CBM_NO_GRAD(scope, net->cx);
    cbm_tensor *y = cbm_call(net, x);
    if (cbm_compute(&y, 1) != CBM_OK) {
        fprintf(stderr, "%s\n", cbm_message(net->cx));
        exit(1);
    }
    return bench_now() - start;
}

static double median(double *values, long count)
{
    qsort(values, (size_t)count, sizeof *values, bench_by_size);
    return values[count / 2];
}

static void compare(const char *name, cbm_module *(*make)(cbm_context *cx), long threads, long rounds)
{
    static double one[ROUNDS_MOST], all[ROUNDS_MOST], ratio[ROUNDS_MOST];
    cbm_context *cx = cbm_open_with(.threads = threads, .tune = 1);
    cbm_module *net = make(cx);
    cbm_module *sliding = cbm_convolutionalize(net, CBM_SHAPE(1, SIDE, SIDE));
    cbm_eval(net);
    cbm_tensor *x = cbm_variable(cbm_normal(cx, CBM_F32, CBM_SHAPE(1, 1, LARGE, LARGE), 0, 1), false);
    cbm_tensor *windows = cbm_variable(cbm_reshape(cbm_windows(cbm_windows(x, 2, SIDE, STEP), 3, SIDE, STEP),
                                                   CBM_SHAPE(PLACES * PLACES, 1, SIDE, SIDE)),
                                       false);
    for (int warm = 0; warm < 5; warm++) {
        forward(net, windows);
        forward(sliding, x);
    }
    for (long i = 0; i < rounds; i++) {
        one[i] = forward(net, windows);
        all[i] = forward(sliding, x);
        ratio[i] = one[i] / all[i];
    }
    printf("%-8s %d windows: %8.0f us one by one, %8.0f us at once, %.1f times as fast\n", name, PLACES * PLACES,
           1e6 * median(one, rounds), 1e6 * median(all, rounds), median(ratio, rounds));
    cbm_close(cx);
}

int main(int argc, char **argv)
{
    const long threads = argc > 1 ? strtol(argv[1], NULL, 10) : 2, rounds = argc > 2 ? strtol(argv[2], NULL, 10) : 101;
    if (rounds < 1 || rounds > ROUNDS_MOST) {
        fprintf(stderr, "usage: slide [THREADS] [ROUNDS], 1 to %d rounds\n", ROUNDS_MOST);
        return 2;
    }
    compare("lenet", lenet, threads, rounds);
    compare("sliding", wider, threads, rounds);
    return 0;
}
