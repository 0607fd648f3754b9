/* bare_mnist_cnn.c: a training step of mnist-cnn without dropout, batch 64, by oneDNN alone.
     bare_mnist_cnn [THREADS] [SECONDS | serve] [--direct] */
#include "bench/bare/bare.h"

#define BATCH 64

typedef struct cnn {
    bare_layer conv1, conv2, fc1, fc2;
    bare_primitive pool, pool_grad;
    int64_t labels[BATCH];
    float loss;
} cnn;

static void step(void *user)
{
    cnn *n = user;
    bare_layer_forward(&n->conv1);
    bare_layer_forward(&n->conv2);
    bare_run(&n->pool);
    bare_layer_forward(&n->fc1);
    bare_layer_forward(&n->fc2);
    n->loss = bare_cross_entropy(n->fc2.dy.data, n->fc2.y.data, n->labels, BATCH, 10);
    bare_layer_backward(&n->fc2);
    bare_relu_grad(n->fc1.dy.data, n->fc1.y.data, n->fc1.y.count);
    bare_layer_backward(&n->fc1);
    bare_run(&n->pool_grad);
    bare_relu_grad(n->conv2.dy.data, n->conv2.y.data, n->conv2.y.count);
    bare_layer_backward(&n->conv2);
    bare_relu_grad(n->conv1.dy.data, n->conv1.y.data, n->conv1.y.count);
    bare_layer_backward(&n->conv1);
    bare_layer_update(&n->conv1);
    bare_layer_update(&n->conv2);
    bare_layer_update(&n->fc1);
    bare_layer_update(&n->fc2);
}

int main(int argc, char **argv)
{
    const bool direct = bare_take_direct(&argc, argv);
    const long threads = argc > 1 ? strtol(argv[1], NULL, 10) : 2;
    static cnn n;
    bare_open(threads);
    const bare_md image = bare_plain(4, (int64_t[]){ BATCH, 1, 28, 28 });
    const bare_md pooled = bare_blocked(4, (int64_t[]){ BATCH, 64, 12, 12 });
    const bare_memory x = bare_make(&image, 1), y = bare_make(&pooled, 0), dy = bare_make(&pooled, 0);
    for (int i = 0; i < BATCH; i++)
        n.labels[i] = i % 10;
    bare_shape s = { BATCH, 1, 28, 32, 3, 0, .bias = true, .relu = true, .direct = true };
    n.conv1 = bare_layer_make(&s, &x, NULL);
    s = (bare_shape){ BATCH, 32, 26, 64, 3, 0, .bias = true, .relu = true, .direct = direct };
    n.conv2 = bare_layer_make(&s, &n.conv1.y, &n.conv1.dy);
    bare_max_pool(&n.conv2.y, &y, &dy, &n.conv2.dy, &n.pool, &n.pool_grad);
    s = (bare_shape){ BATCH, 9216, 0, 128, .bias = true, .relu = true };
    n.fc1 = bare_layer_make(&s, &y, &dy);
    s = (bare_shape){ BATCH, 128, 0, 10, .bias = true };
    n.fc2 = bare_layer_make(&s, &n.fc1.y, &n.fc1.dy);
    const bench_subject subject = { direct ? "mnist-cnn-plain direct" : "mnist-cnn-plain", threads, step, NULL, &n };
    const long runs = bench_warm(&subject);
    bench_report(&subject, runs, argc > 2 ? argv[2] : "3");
    return 0;
}
