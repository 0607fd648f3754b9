/* norm.c: normalisation. */
#include "nn/layer.h"

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
    return cbm_batch_norm(x, mean, variance, cbm_layer_parameter(self, 0), cbm_layer_parameter(self, 1), self->training,
                          m->momentum, m->eps);
}

CBM_OPTIONS_INIT(cbm_nn_batch_norm_options, CBM_NN_BATCH_NORM_DEFAULTS)

static cbm_module *make_batch_norm(cbm_context *cx, const char *type, bool flat, int64_t channels,
                                   const cbm_nn_batch_norm_options *o)
{
    batch_norm *m = cbm_layer_new(cx, sizeof *m, type, batch_norm_forward);
    if (!m)
        return cbm_module_failed(cx);
    if (cbm_options_wrong(cx, type, o, o ? o->struct_size : 0, sizeof *o) || !cbm_layer_dtype(cx, type, o->dtype))
        return cbm_layer_finish(&m->module);
    if (channels < 1 || !(o->eps >= 0) || !(o->momentum >= 0 && o->momentum <= 1)) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] needs at least 1 channel, eps >= 0 and momentum in [0, 1]", type);
        return cbm_layer_finish(&m->module);
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
    return cbm_layer_finish(&m->module);
}

cbm_module *cbm_nn_batch_norm2d_with(cbm_context *cx, int64_t channels, const cbm_nn_batch_norm_options *options)
{
    return make_batch_norm(cx, "batch_norm2d", false, channels, options);
}

cbm_module *cbm_nn_batch_norm1d_with(cbm_context *cx, int64_t channels, const cbm_nn_batch_norm_options *options)
{
    return make_batch_norm(cx, "batch_norm1d", true, channels, options);
}

/* ---- what making the running statistics anew needs ---- */

double *cbm_batch_norm_momentum(cbm_module *m)
{
    batch_norm *norm = (batch_norm *)m;
    return m->forward == batch_norm_forward && !norm->retired ? &norm->momentum : NULL;
}

void cbm_batch_norm_reset(cbm_module *m)
{
    static const double first[] = { 0, 1, 0 };
    cbm_scope *scope = cbm_layer_scope(m->cx);
    for (size_t i = 0; i < m->parts->buffers.count; i++) {
        cbm_tensor *t = CBM_PART(m->parts->buffers, i).tensor;
        cbm_assign(t, cbm_full(m->cx, cbm_tensor_dtype(t), cbm_tensor_shape(t), first[i]));
    }
    cbm_scope_end(scope);
}

/* ---- what folding needs to know ---- */

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
