/* bare_mnist_mlp.c: a training step of the MLP 784-512-512-10, batch 128, by oneDNN's inner products alone.
     bare_mnist_mlp [THREADS] [SECONDS | serve] */
#include "bench/bare/bare.h"

#define BATCH 128

typedef struct mlp {
    bare_layer fc[3];
    int64_t labels[BATCH];
    float loss;
} mlp;

static void step(void *user)
{
    mlp *n = user;
    for (int i = 0; i < 3; i++)
        bare_layer_forward(&n->fc[i]);
    n->loss = bare_cross_entropy(n->fc[2].dy.data, n->fc[2].y.data, n->labels, BATCH, 10);
    for (int i = 2; i >= 0; i--) {
        bare_layer_backward(&n->fc[i]);
        if (i > 0)
            bare_relu_grad(n->fc[i - 1].dy.data, n->fc[i - 1].y.data, n->fc[i - 1].y.count);
    }
    for (int i = 0; i < 3; i++)
        bare_layer_update(&n->fc[i]);
}

int main(int argc, char **argv)
{
    const int64_t width[4] = { 784, 512, 512, 10 };
    const long threads = argc > 1 ? strtol(argv[1], NULL, 10) : 2;
    static mlp n;
    bare_open(threads);
    const bare_md input = bare_plain(2, (int64_t[]){ BATCH, width[0] });
    const bare_memory x = bare_make(&input, 1);
    for (int i = 0; i < BATCH; i++)
        n.labels[i] = i % 10;
    for (int i = 0; i < 3; i++) {
        const bare_shape s = { BATCH, width[i], 0, width[i + 1], .bias = true, .relu = i < 2 };
        n.fc[i] = bare_layer_make(&s, i ? &n.fc[i - 1].y : &x, i ? &n.fc[i - 1].dy : NULL);
    }
    const bench_subject subject = { "mnist-mlp", threads, step, NULL, &n };
    const long runs = bench_warm(&subject);
    bench_report(&subject, runs, argc > 2 ? argv[2] : "3");
    return 0;
}
