/* bare_lstm.c: a training step of an LSTM (128 to 256, 32 steps, batch 32) with the mean squared distance as loss, by oneDNN's
   LSTM alone. It always computes the gradient of its input too.
     bare_lstm [THREADS] [SECONDS | serve] */
#include "bench/bare/bare.h"

#include <math.h>
#include <string.h>

enum { STEPS = 32, BATCH = 32, IN = 128, HIDDEN = 256, GATES = 4 };

/* Weights: own ones in forward's layout, and what backward wants and gives. */
typedef struct weights {
    bare_memory own, backward, gradient, own_gradient;
    bare_primitive to_backward, from_backward;
    float *velocity;
} weights;

typedef struct lstm {
    bare_memory x, y, dx, dy, target, workspace;
    weights w[3]; /* of the input, of the state, bias */
    bare_primitive forward, backward;
    float loss;
} lstm;

static void step(void *user)
{
    lstm *n = user;
    const float scale = 2.0f / (float)n->y.count;
    bare_run(&n->forward);
    float loss = 0;
    for (int64_t i = 0; i < n->y.count; i++) {
        const float d = n->y.data[i] - n->target.data[i];
        loss += d * d;
        n->dy.data[i] = scale * d;
    }
    n->loss = loss / (float)n->y.count;
    for (int i = 0; i < 3; i++) {
        bare_run(&n->w[i].to_backward);
        memset(n->w[i].gradient.data, 0, (size_t)n->w[i].gradient.count * sizeof(float)); /* it is added to */
    }
    bare_run(&n->backward);
    for (int i = 0; i < 3; i++) {
        bare_run(&n->w[i].from_backward);
        bare_sgd(n->w[i].own.data, n->w[i].velocity, n->w[i].own_gradient.data, n->w[i].own.count);
    }
}

static bare_md queried(dnnl_primitive_desc_t pd, dnnl_query_t what, int index)
{
    return *dnnl_primitive_desc_query_md(pd, what, index);
}

static weights make_weights(dnnl_primitive_desc_t forward, dnnl_primitive_desc_t backward, int i, double scale)
{
    weights w = { .own = { .memory = NULL } };
    const bare_md own = queried(forward, dnnl_query_weights_md, i),
                  wanted = queried(backward, dnnl_query_weights_md, i);
    const bare_md gradient = queried(backward, dnnl_query_diff_weights_md, i);
    w.own = bare_make(&own, scale);
    w.to_backward = bare_reorder(&w.own, &w.backward, &wanted);
    w.gradient = bare_make(&gradient, 0);
    w.from_backward = bare_reorder(&w.gradient, &w.own_gradient, &own);
    w.velocity = bare_make(&own, 0).data;
    return w;
}

static void add_arguments(const lstm *n, bare_primitive *p, bool backward)
{
    static const int kinds[3][2] = { { DNNL_ARG_WEIGHTS_LAYER, DNNL_ARG_DIFF_WEIGHTS_LAYER },
                                     { DNNL_ARG_WEIGHTS_ITER, DNNL_ARG_DIFF_WEIGHTS_ITER },
                                     { DNNL_ARG_BIAS, DNNL_ARG_DIFF_BIAS } };
    bare_arg(p, DNNL_ARG_SRC_LAYER, &n->x);
    bare_arg(p, DNNL_ARG_DST_LAYER, &n->y);
    bare_arg(p, DNNL_ARG_WORKSPACE, &n->workspace);
    for (int i = 0; i < 3; i++) {
        bare_arg(p, kinds[i][0], backward ? &n->w[i].backward : &n->w[i].own);
        if (backward)
            bare_arg(p, kinds[i][1], &n->w[i].gradient);
    }
    if (!backward)
        return;
    bare_arg(p, DNNL_ARG_DIFF_SRC_LAYER, &n->dx);
    bare_arg(p, DNNL_ARG_DIFF_DST_LAYER, &n->dy);
}

static void make(lstm *n)
{
    const bare_md x = bare_plain(3, (int64_t[]){ STEPS, BATCH, IN }),
                  y = bare_plain(3, (int64_t[]){ STEPS, BATCH, HIDDEN });
    const bare_md none = { .ndims = 0 };
    const bare_md w[3] = { bare_any(5, (int64_t[]){ 1, 1, IN, GATES, HIDDEN }),
                           bare_any(5, (int64_t[]){ 1, 1, HIDDEN, GATES, HIDDEN }),
                           bare_any(4, (int64_t[]){ 1, 1, GATES, HIDDEN }) };
    dnnl_rnn_desc_t op;
    dnnl_primitive_desc_t forward, backward;
    BARE_CHECK(dnnl_lstm_forward_desc_init(&op, dnnl_forward_training, dnnl_unidirectional_left2right, &x, &none, &none,
                                           &w[0], &w[1], &w[2], &y, &none, &none, 0));
    BARE_CHECK(dnnl_primitive_desc_create(&forward, &op, NULL, bare_engine(), NULL));
    BARE_CHECK(dnnl_lstm_backward_desc_init(&op, dnnl_backward, dnnl_unidirectional_left2right, &x, &none, &none, &w[0],
                                            &w[1], &w[2], &y, &none, &none, &x, &none, &none, &w[0], &w[1], &w[2], &y,
                                            &none, &none, 0));
    BARE_CHECK(dnnl_primitive_desc_create(&backward, &op, NULL, bare_engine(), forward));
    const bare_md workspace = queried(forward, dnnl_query_workspace_md, 0);
    n->x = bare_make(&x, sqrt(3));
    n->dx = bare_make(&x, 0);
    n->y = bare_make(&y, 0);
    n->dy = bare_make(&y, 0);
    n->target = bare_make(&y, sqrt(3));
    n->workspace = bare_make(&workspace, 0);
    for (int i = 0; i < 3; i++)
        n->w[i] = make_weights(forward, backward, i, i < 2 ? 1 / sqrt(HIDDEN) : 0.1);
    BARE_CHECK(dnnl_primitive_create(&n->forward.primitive, forward));
    BARE_CHECK(dnnl_primitive_create(&n->backward.primitive, backward));
    add_arguments(n, &n->forward, false);
    add_arguments(n, &n->backward, true);
}

int main(int argc, char **argv)
{
    const long threads = argc > 1 ? strtol(argv[1], NULL, 10) : 2;
    static lstm n;
    bare_open(threads);
    make(&n);
    const bench_subject subject = { "lstm", threads, step, NULL, &n };
    const long runs = bench_warm(&subject);
    bench_report(&subject, runs, argc > 2 ? argv[2] : "3");
    return 0;
}
