/* bare.c: see bare.h. */
#include "bench/bare/bare.h"

#include <math.h>
#include <omp.h>
#include <sys/mman.h>

#define RATE 1e-4f
#define MOMENTUM 0.9f
#define HUGE_PAGE ((size_t)2 << 20)

static dnnl_engine_t engine;
static dnnl_stream_t stream;

void bare_check(dnnl_status_t status, const char *call, const char *file, int line)
{
    if (status == dnnl_success)
        return;
    fprintf(stderr, "%s:%d: %s gives %d\n", file, line, call, (int)status);
    exit(1);
}

void bare_open(long threads)
{
    omp_set_num_threads((int)threads);
    BARE_CHECK(dnnl_engine_create(&engine, dnnl_cpu, 0));
    BARE_CHECK(dnnl_stream_create(&stream, engine, dnnl_stream_in_order));
}

bool bare_take_direct(int *argc, char **argv)
{
    for (int i = 1; i < *argc; i++)
        if (strcmp(argv[i], "--direct") == 0) {
            memmove(argv + i, argv + i + 1, (size_t)(*argc - i - 1) * sizeof *argv);
            (*argc)--;
            return true;
        }
    return false;
}

dnnl_engine_t bare_engine(void)
{
    return engine;
}

/* ---- memory ---- */

bare_md bare_any(int rank, const int64_t *dims)
{
    bare_md md;
    BARE_CHECK(dnnl_memory_desc_init_by_tag(&md, rank, dims, dnnl_f32, dnnl_format_tag_any));
    return md;
}

bare_md bare_plain(int rank, const int64_t *dims)
{
    const dnnl_format_tag_t tags[5] = { dnnl_format_tag_undef, dnnl_a, dnnl_ab, dnnl_abc, dnnl_abcd };
    bare_md md;
    BARE_CHECK(dnnl_memory_desc_init_by_tag(&md, rank, dims, dnnl_f32, tags[rank]));
    return md;
}

bare_md bare_blocked(int rank, const int64_t *dims)
{
    bare_md md;
    BARE_CHECK(dnnl_memory_desc_init_by_tag(&md, rank, dims, dnnl_f32, dnnl_nChw16c));
    return md;
}

bare_memory bare_make(const bare_md *md, double scale)
{
    bare_memory m = { .md = *md };
    size_t bytes = dnnl_memory_desc_get_size(md);
    m.count = (int64_t)(bytes / sizeof *m.data);
    /* Equal offsets within pages would make a loop's reads wait for its writes. */
    static int64_t made;
    const size_t shift = (size_t)(made++ % 12) * 320;
    bytes = (bytes + shift + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    char *room = aligned_alloc(HUGE_PAGE, bytes);
    if (!room)
        bare_check(dnnl_out_of_memory, "aligned_alloc", __FILE__, __LINE__);
    (void)madvise(room, bytes, MADV_HUGEPAGE);
    m.data = (float *)(void *)(room + shift);
    for (int64_t i = 0; i < m.count; i++)
        m.data[i] = (float)(scale * ((double)((uint32_t)i * 2654435761u >> 8) / (1 << 23) - 1));
    BARE_CHECK(dnnl_memory_create(&m.memory, md, engine, m.data));
    return m;
}

/* ---- primitives ---- */

void bare_arg(bare_primitive *p, int kind, const bare_memory *m)
{
    p->args[p->n++] = (dnnl_exec_arg_t){ kind, m->memory };
}

void bare_run(const bare_primitive *p)
{
    if (p->primitive)
        BARE_CHECK(dnnl_primitive_execute(p->primitive, stream, p->n, p->args));
}

bare_primitive bare_reorder(const bare_memory *a, bare_memory *b, const bare_md *wanted)
{
    bare_primitive p = { .n = 0 };
    if (dnnl_memory_desc_equal(&a->md, wanted)) {
        *b = *a;
        return p;
    }
    if (!b->memory)
        *b = bare_make(wanted, 0);
    dnnl_primitive_desc_t pd;
    BARE_CHECK(dnnl_reorder_primitive_desc_create(&pd, &a->md, engine, &b->md, engine, NULL));
    BARE_CHECK(dnnl_primitive_create(&p.primitive, pd));
    BARE_CHECK(dnnl_primitive_desc_destroy(pd));
    bare_arg(&p, DNNL_ARG_FROM, a);
    bare_arg(&p, DNNL_ARG_TO, b);
    return p;
}

/* ---- layers ---- */

typedef enum direction { FORWARD, INPUT_GRAD, WEIGHT_GRAD } direction;

typedef struct made {
    dnnl_primitive_desc_t pd; /* NULL: not possible */
    double seconds;
} made;

/* One direction with one algorithm. y_md: layout of y and dy. */
static dnnl_primitive_desc_t describe(const bare_shape *s, direction d, dnnl_alg_kind_t algorithm, const bare_md *x,
                                      const bare_md *w, const bare_md *b, const bare_md *y, dnnl_primitive_desc_t hint)
{
    const int64_t stride[2] = { 1, 1 }, pad[2] = { s->padding, s->padding };
    const bare_md *bias = s->bias ? b : NULL;
    union {
        dnnl_convolution_desc_t conv;
        dnnl_inner_product_desc_t product;
    } op;
    dnnl_status_t status;
    if (s->kernel == 0)
        status = d == FORWARD ? dnnl_inner_product_forward_desc_init(&op.product, dnnl_forward_training, x, w, bias, y)
                 : d == INPUT_GRAD ? dnnl_inner_product_backward_data_desc_init(&op.product, x, w, y)
                                   : dnnl_inner_product_backward_weights_desc_init(&op.product, x, w, bias, y);
    else
        status =
            d == FORWARD ? dnnl_convolution_forward_desc_init(&op.conv, dnnl_forward_training, algorithm, x, w, bias, y,
                                                              stride, pad, pad)
            : d == INPUT_GRAD
                ? dnnl_convolution_backward_data_desc_init(&op.conv, algorithm, x, w, y, stride, pad, pad)
                : dnnl_convolution_backward_weights_desc_init(&op.conv, algorithm, x, w, bias, y, stride, pad, pad);
    if (status != dnnl_success)
        return NULL;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    if (d == FORWARD && s->relu) {
        BARE_CHECK(dnnl_primitive_attr_create(&attr));
        BARE_CHECK(dnnl_post_ops_create(&ops));
        BARE_CHECK(dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, 0, 0));
        BARE_CHECK(dnnl_primitive_attr_set_post_ops(attr, ops));
    }
    dnnl_primitive_desc_t pd = NULL;
    if (dnnl_primitive_desc_create(&pd, &op, attr, engine, hint) != dnnl_success)
        pd = NULL;
    if (attr) {
        dnnl_post_ops_destroy(ops);
        dnnl_primitive_attr_destroy(attr);
    }
    return pd;
}

static const bare_md *weights_md(dnnl_primitive_desc_t pd, direction d)
{
    return dnnl_primitive_desc_query_md(pd, d == WEIGHT_GRAD ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);
}

/* Primitive of pd with its reorder of weights; the layer's memories must be there. */
static void bind(bare_layer *l, const bare_shape *s, direction d, dnnl_primitive_desc_t pd)
{
    bare_primitive p = { .n = 0 };
    BARE_CHECK(dnnl_primitive_create(&p.primitive, pd));
    if (d == FORWARD) {
        l->w_forward = bare_reorder(&l->w, &l->w_of_forward, weights_md(pd, d));
        bare_arg(&p, DNNL_ARG_SRC, &l->x);
        bare_arg(&p, DNNL_ARG_WEIGHTS, &l->w_of_forward);
        if (s->bias)
            bare_arg(&p, DNNL_ARG_BIAS, &l->b);
        bare_arg(&p, DNNL_ARG_DST, &l->y);
        l->forward = p;
    } else if (d == INPUT_GRAD) {
        l->w_input_grad = bare_reorder(&l->w, &l->w_of_input_grad, weights_md(pd, d));
        bare_arg(&p, DNNL_ARG_DIFF_DST, &l->dy);
        bare_arg(&p, DNNL_ARG_WEIGHTS, &l->w_of_input_grad);
        bare_arg(&p, DNNL_ARG_DIFF_SRC, &l->dx);
        l->input_grad = p;
    } else {
        l->dw_of_weight_grad =
            dnnl_memory_desc_equal(&l->dw.md, weights_md(pd, d)) ? l->dw : bare_make(weights_md(pd, d), 0);
        if (l->dw_of_weight_grad.memory != l->dw.memory)
            l->dw_back = bare_reorder(&l->dw_of_weight_grad, &l->dw, &l->dw.md);
        bare_arg(&p, DNNL_ARG_SRC, &l->x);
        bare_arg(&p, DNNL_ARG_DIFF_DST, &l->dy);
        bare_arg(&p, DNNL_ARG_DIFF_WEIGHTS, &l->dw_of_weight_grad);
        if (s->bias)
            bare_arg(&p, DNNL_ARG_DIFF_BIAS, &l->db);
        l->weight_grad = p;
    }
}

static void run_direction(const bare_layer *l, direction d)
{
    if (d == FORWARD) {
        bare_run(&l->w_forward);
        bare_run(&l->forward);
    } else if (d == INPUT_GRAD) {
        bare_run(&l->w_input_grad);
        bare_run(&l->input_grad);
    } else {
        bare_run(&l->weight_grad);
        bare_run(&l->dw_back);
    }
}

static double least_seconds(const bare_layer *l, direction d)
{
    double least = INFINITY;
    for (int i = 0; i < 8; i++) {
        const double start = bench_now();
        run_direction(l, d);
        least = fmin(least, bench_now() - start);
    }
    return least;
}

static bool usable(dnnl_primitive_desc_t pd)
{
    const char *name = "";
    BARE_CHECK(dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&name));
    return strncmp(name, "ref", 3) != 0;
}

/* Direct and Winograd, and for weights the layer's own layout or any: the fastest is bound. */
static void choose(bare_layer *l, const bare_shape *s, direction d, const bare_md *w_any, dnnl_primitive_desc_t hint)
{
    static const char *const names[] = { "forward", "input gradient", "weight gradient" };
    const dnnl_alg_kind_t algorithms[2] = { dnnl_convolution_direct, dnnl_convolution_winograd };
    bare_layer best = *l;
    double least = INFINITY;
    const char *chosen = "none";
    for (int candidate = 0; candidate < 4; candidate++) {
        const bool winograd = candidate & 1, own = candidate & 2;
        if (winograd && (s->kernel != 3 || s->direct))
            continue;
        dnnl_primitive_desc_t pd = describe(s, d, algorithms[winograd], d == INPUT_GRAD ? &l->dx.md : &l->x.md,
                                            own ? &l->w.md : w_any, s->bias ? &l->b.md : NULL, &l->y.md, hint);
        if (!pd)
            continue;
        if (usable(pd)) {
            bare_layer trial = *l;
            bind(&trial, s, d, pd);
            const double seconds = least_seconds(&trial, d);
            if (seconds < least) {
                least = seconds;
                best = trial;
                BARE_CHECK(dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&chosen));
            }
        }
        /* The description owns chosen's text: it stays. */
    }
    if (isinf(least))
        bare_check(dnnl_unimplemented, names[d], __FILE__, __LINE__);
    if (getenv("CAMBIUM_BENCH_EXPLAIN"))
        fprintf(stderr, "%3d to %3d channels, %s: %s, %.3f ms\n", (int)s->channels, (int)s->out_channels, names[d],
                chosen, least * 1e3);
    *l = best;
}

bare_layer bare_layer_make(const bare_shape *s, const bare_memory *x, const bare_memory *dx)
{
    const bool conv = s->kernel > 0;
    const int64_t out = s->height + 2 * s->padding - s->kernel + 1;
    const int64_t y_dims[4] = { s->batch, s->out_channels, out, out };
    const int rank = conv ? 4 : x->md.ndims;
    int64_t w_dims[4] = { s->out_channels, s->channels, s->kernel, s->kernel };
    if (!conv)
        for (int d = 1; d < rank; d++)
            w_dims[d] = x->md.dims[d];
    bare_layer l = { .x = *x };
    const bare_md y_md = conv ? bare_blocked(4, y_dims) : bare_plain(2, y_dims);
    const bare_md w_any = bare_any(rank, w_dims), b_md = bare_plain(1, w_dims);
    l.y = bare_make(&y_md, 0);
    l.dy = bare_make(&y_md, 1e-3);
    l.dx = dx ? *dx : (bare_memory){ .md = x->md };
    if (s->bias) {
        l.b = bare_make(&b_md, 0.1);
        l.db = bare_make(&b_md, 0);
    }
    /* The weights' own layout is that of the direct forward. */
    dnnl_primitive_desc_t pd = describe(s, FORWARD, dnnl_convolution_direct, &l.x.md, &w_any, &b_md, &y_md, NULL);
    if (!pd)
        bare_check(dnnl_unimplemented, "forward", __FILE__, __LINE__);
    int64_t fan = 1;
    for (int d = 1; d < rank; d++)
        fan *= w_dims[d];
    l.w = bare_make(weights_md(pd, FORWARD), sqrt(3.0 / (double)fan));
    l.dw = bare_make(&l.w.md, 0);
    l.velocity = bare_make(&l.w.md, 0).data;
    l.bias_velocity = s->bias ? bare_make(&b_md, 0).data : NULL;
    choose(&l, s, FORWARD, &w_any, NULL);
    choose(&l, s, WEIGHT_GRAD, &w_any, pd);
    if (dx)
        choose(&l, s, INPUT_GRAD, &w_any, pd);
    return l;
}

void bare_layer_forward(const bare_layer *l)
{
    run_direction(l, FORWARD);
}

void bare_layer_backward(const bare_layer *l)
{
    if (l->input_grad.primitive)
        run_direction(l, INPUT_GRAD);
    run_direction(l, WEIGHT_GRAD);
}

void bare_layer_update(const bare_layer *l)
{
    bare_sgd(l->w.data, l->velocity, l->dw.data, l->w.count);
    if (l->b.data)
        bare_sgd(l->b.data, l->bias_velocity, l->db.data, l->b.count);
}

void bare_max_pool(const bare_memory *x, const bare_memory *y, const bare_memory *dy, const bare_memory *dx,
                   bare_primitive *forward, bare_primitive *backward)
{
    const int64_t two[2] = { 2, 2 }, none[2] = { 0, 0 };
    dnnl_pooling_v2_desc_t op;
    dnnl_primitive_desc_t pd, grad;
    *forward = *backward = (bare_primitive){ .n = 0 };
    BARE_CHECK(dnnl_pooling_v2_forward_desc_init(&op, dnnl_forward_training, dnnl_pooling_max, &x->md, &y->md, two, two,
                                                 none, none, none));
    BARE_CHECK(dnnl_primitive_desc_create(&pd, &op, NULL, engine, NULL));
    BARE_CHECK(dnnl_primitive_create(&forward->primitive, pd));
    const bare_memory index = bare_make(dnnl_primitive_desc_query_md(pd, dnnl_query_workspace_md, 0), 0);
    BARE_CHECK(dnnl_pooling_v2_backward_desc_init(&op, dnnl_pooling_max, &dx->md, &dy->md, two, two, none, none, none));
    BARE_CHECK(dnnl_primitive_desc_create(&grad, &op, NULL, engine, pd));
    BARE_CHECK(dnnl_primitive_create(&backward->primitive, grad));
    bare_arg(forward, DNNL_ARG_SRC, x);
    bare_arg(forward, DNNL_ARG_DST, y);
    bare_arg(forward, DNNL_ARG_WORKSPACE, &index);
    bare_arg(backward, DNNL_ARG_DIFF_DST, dy);
    bare_arg(backward, DNNL_ARG_DIFF_SRC, dx);
    bare_arg(backward, DNNL_ARG_WORKSPACE, &index);
}

void bare_batch_norm(const bare_memory *x, const bare_memory *y, const bare_memory *dy, const bare_memory *dx,
                     bare_norm *n)
{
    const float eps = 1e-5f;
    const unsigned flags = dnnl_use_scaleshift | dnnl_fuse_norm_relu;
    const bare_md scale = bare_plain(2, (int64_t[]){ 2, x->md.dims[1] }), vector = bare_plain(1, &x->md.dims[1]);
    dnnl_batch_normalization_desc_t op;
    dnnl_primitive_desc_t pd, grad;
    *n = (bare_norm){ .w = bare_make(&scale, 1),
                      .dw = bare_make(&scale, 0),
                      .mean = bare_make(&vector, 0),
                      .variance = bare_make(&vector, 0),
                      .running = bare_make(&scale, 1) };
    n->velocity = bare_make(&scale, 0).data;
    BARE_CHECK(dnnl_batch_normalization_forward_desc_init(&op, dnnl_forward_training, &x->md, eps, flags));
    BARE_CHECK(dnnl_primitive_desc_create(&pd, &op, NULL, engine, NULL));
    BARE_CHECK(dnnl_primitive_create(&n->forward.primitive, pd));
    const bare_memory mask = bare_make(dnnl_primitive_desc_query_md(pd, dnnl_query_workspace_md, 0), 0);
    BARE_CHECK(dnnl_batch_normalization_backward_desc_init(&op, dnnl_backward, &dx->md, &x->md, eps, flags));
    BARE_CHECK(dnnl_primitive_desc_create(&grad, &op, NULL, engine, pd));
    BARE_CHECK(dnnl_primitive_create(&n->backward.primitive, grad));
    bare_primitive *const both[2] = { &n->forward, &n->backward };
    for (int i = 0; i < 2; i++) {
        bare_arg(both[i], DNNL_ARG_SRC, x);
        bare_arg(both[i], DNNL_ARG_SCALE_SHIFT, &n->w);
        bare_arg(both[i], DNNL_ARG_MEAN, &n->mean);
        bare_arg(both[i], DNNL_ARG_VARIANCE, &n->variance);
        bare_arg(both[i], DNNL_ARG_WORKSPACE, &mask);
    }
    bare_arg(&n->forward, DNNL_ARG_DST, y);
    bare_arg(&n->backward, DNNL_ARG_DIFF_DST, dy);
    bare_arg(&n->backward, DNNL_ARG_DIFF_SRC, dx);
    bare_arg(&n->backward, DNNL_ARG_DIFF_SCALE_SHIFT, &n->dw);
}

void bare_norm_forward(const bare_norm *n)
{
    bare_run(&n->forward);
    const int64_t channels = n->mean.count;
    for (int64_t c = 0; c < channels; c++) {
        n->running.data[c] = 0.9f * n->running.data[c] + 0.1f * n->mean.data[c];
        n->running.data[channels + c] = 0.9f * n->running.data[channels + c] + 0.1f * n->variance.data[c];
    }
}

/* ---- loops ---- */

#define SERIAL 16384 /* elements; below them one thread is faster */

void bare_relu_grad(float *restrict dy, const float *restrict y, int64_t n)
{
#pragma omp parallel for simd if (n > SERIAL) schedule(static)
    for (int64_t i = 0; i < n; i++)
        dy[i] = y[i] > 0 ? dy[i] : 0;
}

void bare_sgd(float *restrict w, float *restrict v, const float *restrict g, int64_t n)
{
#pragma omp parallel for simd if (n > SERIAL) schedule(static)
    for (int64_t i = 0; i < n; i++) {
        v[i] = MOMENTUM * v[i] + g[i];
        w[i] -= RATE * v[i];
    }
}

float bare_cross_entropy(float *dy, const float *y, const int64_t *labels, int64_t batch, int64_t classes)
{
    float loss = 0;
    for (int64_t i = 0; i < batch; i++) {
        const float *row = y + i * classes;
        float *out = dy + i * classes, largest = row[0], sum = 0;
        for (int64_t c = 1; c < classes; c++)
            largest = fmaxf(largest, row[c]);
        for (int64_t c = 0; c < classes; c++)
            sum += out[c] = expf(row[c] - largest);
        for (int64_t c = 0; c < classes; c++)
            out[c] = (out[c] / sum - (c == labels[i] ? 1.0f : 0.0f)) / (float)batch;
        loss += logf(sum) + largest - row[labels[i]];
    }
    return loss / (float)batch;
}
