/* pool.c: pooling. */
#include "nn/layer.h"

typedef struct pool2d {
    cbm_module module;
    cbm_tensor *(*operation)(cbm_tensor *x, cbm_shape kernel, const cbm_pool_options *options);
    cbm_shape kernel;
    cbm_pool_options options;
} pool2d;

static cbm_tensor *pool2d_forward(cbm_module *self, cbm_tensor *x)
{
    const pool2d *m = (pool2d *)self;
    return m->operation(x, m->kernel, &m->options);
}

CBM_OPTIONS_INIT(cbm_nn_pool2d_options, CBM_NN_POOL2D_DEFAULTS)

static cbm_module *make_pool2d(cbm_context *cx, const char *type,
                               cbm_tensor *(*operation)(cbm_tensor *, cbm_shape, const cbm_pool_options *),
                               int64_t kernel, const cbm_nn_pool2d_options *o)
{
    pool2d *m = cbm_layer_new(cx, sizeof *m, type, pool2d_forward);
    if (!m)
        return cbm_module_failed(cx);
    m->operation = operation;
    if (cbm_options_wrong(cx, type, o, o ? o->struct_size : 0, sizeof *o) ||
        !cbm_layer_kernel(cx, type, kernel, &o->kernel, &m->kernel))
        return cbm_layer_finish(&m->module);
    m->options = (cbm_pool_options){
        .struct_size = sizeof m->options, .stride = o->stride, .padding = o->padding, .exclude_pad = o->exclude_pad
    };
    return &m->module;
}

cbm_module *cbm_nn_max_pool2d_with(cbm_context *cx, int64_t kernel, const cbm_nn_pool2d_options *options)
{
    return make_pool2d(cx, "max_pool2d", cbm_max_pool2d_with, kernel, options);
}

cbm_module *cbm_nn_avg_pool2d_with(cbm_context *cx, int64_t kernel, const cbm_nn_pool2d_options *options)
{
    return make_pool2d(cx, "avg_pool2d", cbm_avg_pool2d_with, kernel, options);
}

/* ---- global ---- */

static cbm_tensor *global_avg_pool2d_forward(cbm_module *self, cbm_tensor *x)
{
    if (cbm_tensor_rank(x) != 4) {
        cbm_shape shape = cbm_tensor_shape(x);
        char text[128];
        return cbm_fail_tensor(self->cx, CBM_ERROR_SHAPE, "[global_avg_pool2d] the input %s is not (N, C, H, W)",
                               cbm_shape_text(&shape, text, sizeof text));
    }
    const cbm_reduce_options options = { .struct_size = sizeof options, .axes = CBM_SHAPE(2, 3), .keepdim = 1 };
    return cbm_mean_with(x, &options);
}

cbm_module *cbm_nn_global_avg_pool2d(cbm_context *cx)
{
    return cbm_layer_plain(cx, "global_avg_pool2d", global_avg_pool2d_forward);
}
