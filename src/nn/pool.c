/* pool.c: pooling in one to three dimensions. */
#include "nn/layer.h"

enum { DIMENSIONS = 3 };

typedef cbm_tensor *(*pool_fn)(cbm_tensor *x, cbm_shape kernel, const cbm_pool_options *options);
typedef cbm_tensor *(*indices_fn)(cbm_tensor *x, cbm_shape kernel, const cbm_pool_options *options,
                                  cbm_tensor **indices);
typedef cbm_tensor *(*lp_fn)(cbm_tensor *x, double p, cbm_shape kernel, const cbm_pool_options *options);

typedef struct pool {
    cbm_module module;
    pool_fn operation;
    indices_fn with_indices; /* of those that keep them */
    lp_fn lp;
    double p;
    cbm_shape kernel;
    cbm_pool_options options;
    cbm_tensor *indices; /* of the latest call, until an unpooling takes them */
    cbm_shape extents;   /* of its input */
} pool;

static cbm_tensor *pool_forward(cbm_module *self, cbm_tensor *x)
{
    pool *m = (pool *)self;
    cbm_tensor *indices = NULL;
    if (m->lp)
        return m->lp(x, m->p, m->kernel, &m->options);
    if (!m->with_indices)
        return m->operation(x, m->kernel, &m->options);
    cbm_tensor *y = m->with_indices(x, m->kernel, &m->options, &indices);
    if (cbm_tensor_failed(y))
        return y;
    const cbm_shape shape = cbm_tensor_shape(x);
    m->extents = (cbm_shape){ { shape.v[0] - 2 } };
    for (int64_t i = 3; i <= shape.v[0]; i++)
        m->extents.v[i - 2] = shape.v[i];
    cbm_set(&m->indices, indices);
    return y;
}

static void pool_destroy(cbm_module *self)
{
    cbm_set(&((pool *)self)->indices, NULL);
}

CBM_OPTIONS_INIT(cbm_nn_pool_options, CBM_NN_POOL_DEFAULTS)

static pool *make_pool(cbm_context *cx, const char *type, int64_t n, int64_t kernel, const cbm_nn_pool_options *o)
{
    pool *m = cbm_layer_new(cx, sizeof *m, type, pool_forward);
    if (!m)
        return NULL;
    m->module.destroy = pool_destroy;
    if (cbm_options_wrong(cx, type, o, o ? o->struct_size : 0, sizeof *o) ||
        !cbm_layer_kernel(cx, type, n, kernel, &o->kernel, &m->kernel))
        return m;
    m->options = (cbm_pool_options){ .struct_size = sizeof m->options,
                                     .stride = o->stride,
                                     .padding = o->padding,
                                     .dilation = o->dilation,
                                     .ceil_mode = o->ceil_mode,
                                     .exclude_pad = o->exclude_pad,
                                     .divisor_override = o->divisor_override };
    return m;
}

static cbm_module *finish(cbm_context *cx, pool *m)
{
    return m ? cbm_layer_finish(&m->module) : cbm_module_failed(cx);
}

static cbm_module *make_max(cbm_context *cx, int64_t n, int64_t kernel, const cbm_nn_pool_options *o)
{
    static const char *const names[] = { "max_pool1d", "max_pool2d", "max_pool3d" };
    static const pool_fn operations[] = { cbm_max_pool1d_with, cbm_max_pool2d_with, cbm_max_pool3d_with };
    static const indices_fn with_indices[] = { cbm_max_pool1d_with_indices, cbm_max_pool2d_with_indices,
                                               cbm_max_pool3d_with_indices };
    pool *m = make_pool(cx, names[n - 1], n, kernel, o);
    if (m) {
        m->operation = operations[n - 1];
        m->with_indices = o && o->keep_indices ? with_indices[n - 1] : NULL;
    }
    return finish(cx, m);
}

static cbm_module *make_avg(cbm_context *cx, int64_t n, int64_t kernel, const cbm_nn_pool_options *o)
{
    static const char *const names[] = { "avg_pool1d", "avg_pool2d", "avg_pool3d" };
    static const pool_fn operations[] = { cbm_avg_pool1d_with, cbm_avg_pool2d_with, cbm_avg_pool3d_with };
    pool *m = make_pool(cx, names[n - 1], n, kernel, o);
    if (m)
        m->operation = operations[n - 1];
    return finish(cx, m);
}

static cbm_module *make_lp(cbm_context *cx, int64_t n, double p, int64_t kernel, const cbm_nn_pool_options *o)
{
    static const char *const names[] = { "lp_pool1d", "lp_pool2d", "lp_pool3d" };
    static const lp_fn operations[] = { cbm_lp_pool1d_with, cbm_lp_pool2d_with, cbm_lp_pool3d_with };
    pool *m = make_pool(cx, names[n - 1], n, kernel, o);
    if (m) {
        m->lp = operations[n - 1];
        m->p = p;
    }
    if (!(p > 0))
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] the norm must be positive", names[n - 1]);
    return finish(cx, m);
}

/* ---- over features ---- */

typedef struct feature_pool {
    cbm_module module;
    double p;
    int64_t size, stride;
} feature_pool;

/* (N, C, ...) as (N, places, C), whose last axis is pooled. */
static cbm_tensor *feature_forward(cbm_module *self, cbm_tensor *x)
{
    const feature_pool *m = (feature_pool *)self;
    cbm_shape shape = cbm_tensor_shape(x);
    if (shape.v[0] < 2 || shape.v[2] < m->size) {
        char text[160];
        return cbm_fail_tensor(self->cx, CBM_ERROR_SHAPE,
                               "[feature_lp_pool] the input %s has not %lld channels, (N, C, ...)",
                               cbm_shape_text(&shape, text, sizeof text), (long long)m->size);
    }
    const cbm_pool_options o = { .struct_size = sizeof o, .stride = CBM_SHAPE(m->stride) };
    x = cbm_transpose(cbm_reshape(x, CBM_SHAPE(shape.v[1], shape.v[2], -1)), 1, 2);
    x = cbm_transpose(cbm_lp_pool1d_with(cbm_abs(x), m->p, CBM_SHAPE(m->size), &o), 1, 2);
    shape.v[2] = cbm_tensor_size(x, 1);
    return cbm_tensor_failed(x) ? x : cbm_reshape(x, shape);
}

cbm_module *cbm_nn_feature_lp_pool(cbm_context *cx, double p, int64_t size, int64_t stride)
{
    feature_pool *m = cbm_layer_new(cx, sizeof *m, "feature_lp_pool", feature_forward);
    if (!m)
        return cbm_module_failed(cx);
    m->p = p;
    m->size = size;
    m->stride = stride;
    if (!(p > 0) || size < 1 || stride < 1)
        cbm_fail(cx, CBM_ERROR_INVALID, "[feature_lp_pool] needs a positive norm, size and stride");
    return cbm_layer_finish(&m->module);
}

/* ---- unpooling ---- */

typedef struct unpool {
    cbm_module module;
    cbm_module *pool; /* may have been released: module.c's table says */
} unpool;

static cbm_tensor *unpool_forward(cbm_module *self, cbm_tensor *x)
{
    const unpool *m = (unpool *)self;
    pool *p = (pool *)cbm_module_at(self->cx, (uint64_t)(uintptr_t)m->pool);
    if (!p || p->module.forward != pool_forward || !p->indices)
        return cbm_fail_tensor(self->cx, CBM_ERROR_STATE,
                               "[max_unpool] the max_pool before it has not been called since the last time");
    cbm_tensor *y = cbm_max_unpool(x, p->indices, p->extents);
    cbm_set(&p->indices, NULL);
    return y;
}

cbm_module *cbm_nn_max_unpool(cbm_context *cx, cbm_module *pool_layer)
{
    unpool *m = cbm_layer_new(cx, sizeof *m, "max_unpool", unpool_forward);
    if (!m)
        return cbm_module_failed(cx);
    m->pool = pool_layer;
    if (!pool_layer || pool_layer->forward != pool_forward || !((pool *)pool_layer)->with_indices)
        cbm_fail(cx, CBM_ERROR_INVALID, "[max_unpool] needs a max_pool layer made with .keep_indices = true");
    return cbm_layer_finish(&m->module);
}

/* ---- to a size ---- */

typedef struct adaptive {
    cbm_module module;
    int64_t dimensions;
    cbm_shape output;
    bool largest;
} adaptive;

static cbm_tensor *adaptive_forward(cbm_module *self, cbm_tensor *x)
{
    static cbm_tensor *(*const means[])(cbm_tensor *, cbm_shape) = { cbm_adaptive_avg_pool1d, cbm_adaptive_avg_pool2d,
                                                                     cbm_adaptive_avg_pool3d };
    static cbm_tensor *(*const maxima[])(cbm_tensor *, cbm_shape, cbm_tensor **) = { cbm_adaptive_max_pool1d,
                                                                                     cbm_adaptive_max_pool2d,
                                                                                     cbm_adaptive_max_pool3d };
    const adaptive *m = (adaptive *)self;
    if (m->largest)
        return maxima[m->dimensions - 1](x, m->output, NULL);
    return means[m->dimensions - 1](x, m->output);
}

static cbm_module *make_adaptive(cbm_context *cx, const char *type, int64_t n, bool largest, const cbm_shape *output)
{
    adaptive *m = cbm_layer_new(cx, sizeof *m, type, adaptive_forward);
    if (!m)
        return cbm_module_failed(cx);
    m->dimensions = n;
    m->largest = largest;
    bool fits = output->v[0] >= 1 && cbm_spatial(output, n, 1, &m->output);
    for (int64_t i = 1; fits && i <= n; i++)
        fits = m->output.v[i] >= 1 || m->output.v[i] == -1;
    if (!fits)
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] output takes %s of at least 1, or -1", type, cbm_spatial_text(n));
    return cbm_layer_finish(&m->module);
}

#define PUBLIC(n_)                                                                                                     \
    cbm_module *cbm_nn_max_pool##n_##d_with(cbm_context *cx, int64_t kernel, const cbm_nn_pool_options *options)       \
    {                                                                                                                  \
        return make_max(cx, n_, kernel, options);                                                                      \
    }                                                                                                                  \
    cbm_module *cbm_nn_avg_pool##n_##d_with(cbm_context *cx, int64_t kernel, const cbm_nn_pool_options *options)       \
    {                                                                                                                  \
        return make_avg(cx, n_, kernel, options);                                                                      \
    }                                                                                                                  \
    cbm_module *cbm_nn_lp_pool##n_##d_with(cbm_context *cx, double p, int64_t kernel,                                  \
                                           const cbm_nn_pool_options *options)                                         \
    {                                                                                                                  \
        return make_lp(cx, n_, p, kernel, options);                                                                    \
    }                                                                                                                  \
    cbm_module *cbm_nn_adaptive_avg_pool##n_##d(cbm_context *cx, cbm_shape output)                                     \
    {                                                                                                                  \
        return make_adaptive(cx, "adaptive_avg_pool" #n_ "d", n_, false, &output);                                     \
    }                                                                                                                  \
    cbm_module *cbm_nn_adaptive_max_pool##n_##d(cbm_context *cx, cbm_shape output)                                     \
    {                                                                                                                  \
        return make_adaptive(cx, "adaptive_max_pool" #n_ "d", n_, true, &output);                                      \
    }                                                                                                                  \
    cbm_module *cbm_nn_global_avg_pool##n_##d(cbm_context *cx)                                                         \
    {                                                                                                                  \
        return make_adaptive(cx, "global_avg_pool" #n_ "d", n_, false, &CBM_SHAPE(1));                                 \
    }                                                                                                                  \
    cbm_module *cbm_nn_global_max_pool##n_##d(cbm_context *cx)                                                         \
    {                                                                                                                  \
        return make_adaptive(cx, "global_max_pool" #n_ "d", n_, true, &CBM_SHAPE(1));                                  \
    }
PUBLIC(1)
PUBLIC(2)
PUBLIC(3)
