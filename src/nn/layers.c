/* layers.c: layers with parameters: linear, conv2d, batch norm. Each is a struct that begins with a cbm_module, and a
   forward of a line or two over the operations. */
#include "nn/init.h"
#include <math.h>

static cbm_module *finish(cbm_module *m)
{
    cbm_context *cx = m->cx;
    if (cbm_context_status(cx) == CBM_OK)
        return m;
    cbm_module_release(m);
    return cbm_module_failed(cx);
}

static bool float_dtype(cbm_context *cx, const char *who, int64_t dtype)
{
    if (dtype == CBM_F32 || dtype == CBM_F64)
        return true;
    cbm_fail(cx, CBM_ERROR_DTYPE, "[%s] parameters are f32 or f64", who);
    return false;
}

static cbm_tensor *own(cbm_module *m, size_t i)
{
    return i < m->parts->parameters.count ? CBM_PART(m->parts->parameters, i).tensor : NULL;
}

/* ---- linear ---- */

typedef struct linear {
    cbm_module module;
    int64_t in, out;
} linear;

static cbm_tensor *linear_forward(cbm_module *self, cbm_tensor *x)
{
    const linear *m = (linear *)self;
    if (cbm_tensor_rank(x) < 1 || cbm_tensor_size(x, -1) != m->in) {
        cbm_shape shape = cbm_tensor_shape(x);
        char text[128];
        return cbm_fail_tensor(
            self->cx, CBM_ERROR_SHAPE, "[linear] the input %s does not end in %lld, as this layer (%lld -> %lld) needs",
            cbm_shape_text(&shape, text, sizeof text), (long long)m->in, (long long)m->in, (long long)m->out);
    }
    cbm_tensor *y = cbm_matmul(x, cbm_transpose(cbm_for_product(own(self, 0)), 0, 1));
    return own(self, 1) ? cbm_add(y, cbm_for_product(own(self, 1))) : y;
}

void cbm_nn_linear_options_init(cbm_nn_linear_options *o)
{
    *o = (cbm_nn_linear_options){ .struct_size = sizeof *o, CBM_NN_LINEAR_DEFAULTS };
}

cbm_module *cbm_nn_linear_with(cbm_context *cx, int64_t in, int64_t out, const cbm_nn_linear_options *o)
{
    linear *m = (linear *)cbm_module_new(cx, sizeof *m, linear_forward);
    if (!m)
        return cbm_module_failed(cx);
    m->module.type = "linear";
    m->in = in;
    m->out = out;
    if (cbm_options_wrong(cx, "linear", o, o ? o->struct_size : 0, sizeof *o) || !float_dtype(cx, "linear", o->dtype))
        return finish(&m->module);
    if (in < 1 || out < 1) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[linear] %lld features in and %lld out; at least 1 of each are needed",
                 (long long)in, (long long)out);
        return finish(&m->module);
    }
    double bound = 1 / sqrt((double)in);
    cbm_dtype dtype = (cbm_dtype)o->dtype;
    cbm_add_uniform(&m->module, "weight", dtype, CBM_SHAPE(out, in), bound);
    if (o->bias)
        cbm_add_uniform(&m->module, "bias", dtype, CBM_SHAPE(out), bound);
    return finish(&m->module);
}

/* ---- conv2d ---- */

typedef struct conv2d {
    cbm_module module;
    int64_t in, out;
    cbm_conv2d_options options;
} conv2d;

static cbm_tensor *conv2d_forward(cbm_module *self, cbm_tensor *x)
{
    const conv2d *m = (conv2d *)self;
    return cbm_conv2d_with(x, own(self, 0), own(self, 1), &m->options);
}

void cbm_nn_conv2d_options_init(cbm_nn_conv2d_options *o)
{
    *o = (cbm_nn_conv2d_options){ .struct_size = sizeof *o, CBM_NN_CONV2D_DEFAULTS };
}

/* (height, width) of a kernel given as a number or, first of all, as a list. */
static bool kernel_of(cbm_context *cx, const char *who, int64_t kernel, const cbm_shape *list, cbm_shape *out)
{
    int64_t n = list->v[0];
    *out = n == 0 ? CBM_SHAPE(kernel, kernel) : n == 1 ? CBM_SHAPE(list->v[1], list->v[1]) : *list;
    if (n >= 0 && n <= 2 && out->v[1] >= 1 && out->v[2] >= 1)
        return true;
    cbm_fail(cx, CBM_ERROR_INVALID, "[%s] a kernel is one or two numbers of at least 1", who);
    return false;
}

cbm_module *cbm_nn_conv2d_with(cbm_context *cx, int64_t in, int64_t out, int64_t kernel, const cbm_nn_conv2d_options *o)
{
    conv2d *m = (conv2d *)cbm_module_new(cx, sizeof *m, conv2d_forward);
    if (!m)
        return cbm_module_failed(cx);
    m->module.type = "conv2d";
    m->in = in;
    m->out = out;
    cbm_shape k;
    if (cbm_options_wrong(cx, "conv2d", o, o ? o->struct_size : 0, sizeof *o) || !float_dtype(cx, "conv2d", o->dtype) ||
        !kernel_of(cx, "conv2d", kernel, &o->kernel, &k))
        return finish(&m->module);
    if (in < 1 || out < 1 || o->groups < 1 || in % o->groups || out % o->groups) {
        cbm_fail(cx, CBM_ERROR_INVALID,
                 "[conv2d] %lld channels in and %lld out in %lld groups: both must divide evenly", (long long)in,
                 (long long)out, (long long)o->groups);
        return finish(&m->module);
    }
    m->options = (cbm_conv2d_options){ .struct_size = sizeof m->options,
                                       .stride = o->stride,
                                       .padding = o->padding,
                                       .dilation = o->dilation,
                                       .groups = o->groups };
    int64_t part = in / o->groups;
    double bound = 1 / sqrt((double)part * (double)k.v[1] * (double)k.v[2]);
    cbm_dtype dtype = (cbm_dtype)o->dtype;
    cbm_add_uniform(&m->module, "weight", dtype, CBM_SHAPE(out, part, k.v[1], k.v[2]), bound);
    if (o->bias)
        cbm_add_uniform(&m->module, "bias", dtype, CBM_SHAPE(out), bound);
    return finish(&m->module);
}

/* ---- batch norm ---- */

typedef struct batch_norm {
    cbm_module module;
    int64_t channels;
    double eps, momentum;
    bool flat;    /* the 1d form */
    bool retired; /* folded into the convolution before it: the identity */
} batch_norm;

static cbm_tensor *batch_norm_forward(cbm_module *self, cbm_tensor *x)
{
    const batch_norm *m = (batch_norm *)self;
    int64_t rank = cbm_tensor_rank(x);
    bool fits = m->flat ? rank == 2 || rank == 3 : rank == 4;
    if (!fits || cbm_tensor_size(x, 1) != m->channels) {
        cbm_shape shape = cbm_tensor_shape(x);
        char text[128];
        return cbm_fail_tensor(self->cx, CBM_ERROR_SHAPE, "[%s] the input %s is not %s with %lld channels", self->type,
                               cbm_shape_text(&shape, text, sizeof text),
                               m->flat ? "(N, C) or (N, C, L)" : "(N, C, H, W)", (long long)m->channels);
    }
    if (m->retired)
        return self->training
                   ? cbm_fail_tensor(self->cx, CBM_ERROR_STATE,
                                     "[%s] was folded into the convolution before it and cannot train", self->type)
                   : x;
    const cbm_array *buffers = &self->parts->buffers;
    cbm_tensor *mean = CBM_PART(*buffers, 0).tensor, *variance = CBM_PART(*buffers, 1).tensor;
    if (self->training) {
        cbm_tensor *batches = CBM_PART(*buffers, 2).tensor;
        cbm_scope_options options = { .struct_size = sizeof options, .no_grad = 1, .quiet = 1 };
        cbm_scope *scope = cbm_scope_begin_with(self->cx, &options);
        cbm_assign(batches, cbm_add(batches, cbm_scalar(self->cx, CBM_I64, 1)));
        cbm_scope_end(scope);
    }
    return cbm_batch_norm(x, mean, variance, own(self, 0), own(self, 1), self->training, m->momentum, m->eps);
}

void cbm_nn_batch_norm_options_init(cbm_nn_batch_norm_options *o)
{
    *o = (cbm_nn_batch_norm_options){ .struct_size = sizeof *o, CBM_NN_BATCH_NORM_DEFAULTS };
}

static cbm_module *make_batch_norm(cbm_context *cx, const char *type, bool flat, int64_t channels,
                                   const cbm_nn_batch_norm_options *o)
{
    batch_norm *m = (batch_norm *)cbm_module_new(cx, sizeof *m, batch_norm_forward);
    if (!m)
        return cbm_module_failed(cx);
    m->module.type = type;
    if (cbm_options_wrong(cx, type, o, o ? o->struct_size : 0, sizeof *o) || !float_dtype(cx, type, o->dtype))
        return finish(&m->module);
    if (channels < 1 || !(o->eps >= 0) || !(o->momentum >= 0 && o->momentum <= 1)) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] needs at least 1 channel, eps >= 0 and momentum in [0, 1]", type);
        return finish(&m->module);
    }
    m->channels = channels;
    m->eps = o->eps;
    m->momentum = o->momentum;
    m->flat = flat;
    cbm_dtype dtype = (cbm_dtype)o->dtype;
    if (o->affine) {
        cbm_add_full(&m->module, "weight", dtype, CBM_SHAPE(channels), 1, false);
        cbm_add_full(&m->module, "bias", dtype, CBM_SHAPE(channels), 0, false);
    }
    cbm_add_full(&m->module, "running_mean", dtype, CBM_SHAPE(channels), 0, true);
    cbm_add_full(&m->module, "running_var", dtype, CBM_SHAPE(channels), 1, true);
    cbm_add_full(&m->module, "num_batches_tracked", CBM_I64, CBM_SHAPE(), 0, true);
    return finish(&m->module);
}

cbm_module *cbm_nn_batch_norm2d_with(cbm_context *cx, int64_t channels, const cbm_nn_batch_norm_options *options)
{
    return make_batch_norm(cx, "batch_norm2d", false, channels, options);
}

cbm_module *cbm_nn_batch_norm1d_with(cbm_context *cx, int64_t channels, const cbm_nn_batch_norm_options *options)
{
    return make_batch_norm(cx, "batch_norm1d", true, channels, options);
}

/* ---- what folding needs to know ---- */

bool cbm_is_conv2d(const cbm_module *m)
{
    return m->forward == conv2d_forward;
}

bool cbm_is_batch_norm2d(const cbm_module *m)
{
    const batch_norm *norm = (const batch_norm *)m;
    return m->forward == batch_norm_forward && !norm->flat && !norm->retired;
}

double cbm_batch_norm_eps(const cbm_module *m)
{
    return ((const batch_norm *)m)->eps;
}

void cbm_batch_norm_retire(cbm_module *m)
{
    cbm_array *const lists[] = { &m->parts->parameters, &m->parts->buffers };
    ((batch_norm *)m)->retired = true;
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < lists[i]->count; j++)
            cbm_release(CBM_PART(*lists[i], j).tensor);
        lists[i]->count = 0;
    }
}

/* ---- pooling ---- */

typedef struct pool2d {
    cbm_module module;
    cbm_tensor *(*operation)(cbm_tensor *x, cbm_shape kernel, const cbm_pool2d_options *options);
    cbm_shape kernel;
    cbm_pool2d_options options;
} pool2d;

static cbm_tensor *pool2d_forward(cbm_module *self, cbm_tensor *x)
{
    const pool2d *m = (pool2d *)self;
    return m->operation(x, m->kernel, &m->options);
}

void cbm_nn_pool2d_options_init(cbm_nn_pool2d_options *o)
{
    *o = (cbm_nn_pool2d_options){ .struct_size = sizeof *o, CBM_NN_POOL2D_DEFAULTS };
}

static cbm_module *make_pool2d(cbm_context *cx, const char *type,
                               cbm_tensor *(*operation)(cbm_tensor *, cbm_shape, const cbm_pool2d_options *),
                               int64_t kernel, const cbm_nn_pool2d_options *o)
{
    pool2d *m = (pool2d *)cbm_module_new(cx, sizeof *m, pool2d_forward);
    if (!m)
        return cbm_module_failed(cx);
    m->module.type = type;
    m->operation = operation;
    if (cbm_options_wrong(cx, type, o, o ? o->struct_size : 0, sizeof *o) ||
        !kernel_of(cx, type, kernel, &o->kernel, &m->kernel))
        return finish(&m->module);
    m->options = (cbm_pool2d_options){
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
