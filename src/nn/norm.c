/* norm.c: normalisation. */
#include "op/norm.h"
#include "nn/layer.h"

/* (N, C) is taken by the 1d form too. */
static const char *const pictures[] = { "(N, C) or (N, C, L)", "(N, C, H, W)", "(N, C, D, H, W)" };

/* ---- batch norm and instance norm ---- */

typedef struct channel_norm {
    cbm_module module;
    int64_t dimensions, channels;
    double eps, momentum;
    bool cumulative, frozen;
    bool retired; /* folded into the convolution before it: the identity */
} channel_norm;

/* The running statistics; NULL: not tracked. */
static cbm_tensor *buffer_at(cbm_module *m, size_t i)
{
    return i < m->parts->buffers.count ? CBM_PART(m->parts->buffers, i).tensor : NULL;
}

static bool fits(const channel_norm *m, cbm_tensor *x, bool flat)
{
    const int64_t rank = cbm_tensor_rank(x);
    if ((rank == m->dimensions + 2 || (flat && m->dimensions == 1 && rank == 2)) &&
        cbm_tensor_size(x, 1) == m->channels)
        return true;
    cbm_shape shape = cbm_tensor_shape(x);
    char text[128];
    cbm_fail(m->module.cx, CBM_ERROR_SHAPE, "[%s] the input %s is not %s with %lld channels", m->module.type,
             cbm_shape_text(&shape, text, sizeof text),
             pictures[m->dimensions - 1] + (flat || m->dimensions > 1 ? 0 : 10), (long long)m->channels);
    return false;
}

static void count_batch(cbm_module *self)
{
    cbm_tensor *batches = buffer_at(self, 2);
    cbm_scope *scope = cbm_layer_scope(self->cx);
    cbm_assign(batches, cbm_add(batches, cbm_scalar(self->cx, CBM_I64, 1)));
    cbm_scope_end(scope);
}

static cbm_tensor *batch_norm_forward(cbm_module *self, cbm_tensor *x)
{
    const channel_norm *m = (channel_norm *)self;
    if (!fits(m, x, true))
        return &self->cx->failed;
    if (m->retired)
        return self->training
                   ? cbm_fail_tensor(self->cx, CBM_ERROR_STATE,
                                     "[%s] was folded into the convolution before it and cannot train", self->type)
                   : x;
    cbm_tensor *weight = cbm_layer_parameter(self, 0), *bias = cbm_layer_parameter(self, 1);
    cbm_tensor *mean = buffer_at(self, 0), *variance = buffer_at(self, 1);
    if ((!self->training || m->frozen) && mean)
        return cbm_batch_norm(x, mean, variance, weight, bias, false, m->momentum, m->eps);
    if (mean)
        count_batch(self);
    const cbm_running running = { mean, variance, m->momentum, m->cumulative ? buffer_at(self, 2) : NULL };
    return cbm_batch_norm_train(x, &running, weight, bias, m->eps);
}

static cbm_tensor *instance_norm_forward(cbm_module *self, cbm_tensor *x)
{
    const channel_norm *m = (channel_norm *)self;
    cbm_tensor *mean = buffer_at(self, 0);
    if (!fits(m, x, false))
        return &self->cx->failed;
    return cbm_instance_norm(x, mean, buffer_at(self, 1), cbm_layer_parameter(self, 0), cbm_layer_parameter(self, 1),
                             self->training || !mean, m->momentum, m->eps);
}

CBM_OPTIONS_INIT(cbm_nn_batch_norm_options, CBM_NN_BATCH_NORM_DEFAULTS)
CBM_OPTIONS_INIT(cbm_nn_instance_norm_options, CBM_NN_INSTANCE_NORM_DEFAULTS)

/* o: the other kind's options come in the same form. */
static cbm_module *make_channel_norm(cbm_context *cx, const char *type, int64_t n, cbm_forward_fn forward,
                                     int64_t channels, const cbm_nn_batch_norm_options *o)
{
    channel_norm *m = cbm_layer_new(cx, sizeof *m, type, forward);
    if (!m)
        return cbm_module_failed(cx);
    if (cbm_options_wrong(cx, type, o, o ? o->struct_size : 0, sizeof *o) || !cbm_layer_dtype(cx, type, o->dtype))
        return cbm_layer_finish(&m->module);
    if (channels < 1 || !(o->eps >= 0) || !(o->momentum >= 0 && o->momentum <= 1)) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] needs at least 1 channel, eps >= 0 and momentum in [0, 1]", type);
        return cbm_layer_finish(&m->module);
    }
    m->dimensions = n;
    m->channels = channels;
    m->eps = o->eps;
    m->momentum = o->momentum;
    m->cumulative = o->cumulative != 0;
    m->frozen = o->frozen != 0;
    if (o->frozen && !o->track_running_stats) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] frozen needs running statistics", type);
        return cbm_layer_finish(&m->module);
    }
    cbm_dtype dtype = (cbm_dtype)o->dtype;
    if (o->affine) {
        cbm_add_full(&m->module, "weight", dtype, CBM_SHAPE(channels), 1, false);
        cbm_add_full(&m->module, "bias", dtype, CBM_SHAPE(channels), 0, false);
    }
    if (o->track_running_stats) {
        cbm_add_full(&m->module, "running_mean", dtype, CBM_SHAPE(channels), 0, true);
        cbm_add_full(&m->module, "running_var", dtype, CBM_SHAPE(channels), 1, true);
        cbm_add_full(&m->module, "num_batches_tracked", CBM_I64, CBM_SHAPE(), 0, true);
    }
    if (o->frozen)
        cbm_module_set_trainable(&m->module, false);
    return cbm_layer_finish(&m->module);
}

static cbm_module *make_instance_norm(cbm_context *cx, const char *type, int64_t n, int64_t channels,
                                      const cbm_nn_instance_norm_options *o)
{
    const bool sound = o && o->struct_size == sizeof *o;
    const cbm_nn_batch_norm_options same = { .struct_size = sound ? sizeof same : 0,
                                             .eps = sound ? o->eps : 0,
                                             .momentum = sound ? o->momentum : 0,
                                             .affine = sound && o->affine,
                                             .dtype = sound ? o->dtype : CBM_F32,
                                             .track_running_stats = sound && o->track_running_stats };
    return make_channel_norm(cx, type, n, instance_norm_forward, channels, o ? &same : NULL);
}

#define CHANNEL_NORMS(n_)                                                                                              \
    cbm_module *cbm_nn_batch_norm##n_##d_with(cbm_context *cx, int64_t channels,                                       \
                                              const cbm_nn_batch_norm_options *options)                                \
    {                                                                                                                  \
        return make_channel_norm(cx, "batch_norm" #n_ "d", n_, batch_norm_forward, channels, options);                 \
    }                                                                                                                  \
    cbm_module *cbm_nn_instance_norm##n_##d_with(cbm_context *cx, int64_t channels,                                    \
                                                 const cbm_nn_instance_norm_options *options)                          \
    {                                                                                                                  \
        return make_instance_norm(cx, "instance_norm" #n_ "d", n_, channels, options);                                 \
    }
CHANNEL_NORMS(1)
CHANNEL_NORMS(2)
CHANNEL_NORMS(3)

/* ---- what making the running statistics anew needs ---- */

double *cbm_batch_norm_momentum(cbm_module *m)
{
    channel_norm *norm = (channel_norm *)m;
    const bool tracks = m->forward == batch_norm_forward && m->parts->buffers.count > 0;
    return tracks && !norm->retired && !norm->frozen ? &norm->momentum : NULL;
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

bool cbm_is_batch_norm(const cbm_module *m)
{
    return m->forward == batch_norm_forward && m->parts->buffers.count > 0 && !((const channel_norm *)m)->retired;
}

double cbm_batch_norm_eps(const cbm_module *m)
{
    return ((const channel_norm *)m)->eps;
}

void cbm_batch_norm_retire(cbm_module *m)
{
    cbm_array *const lists[] = { &m->parts->parameters, &m->parts->buffers };
    ((channel_norm *)m)->retired = true;
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < lists[i]->count; j++)
            cbm_release(CBM_PART(*lists[i], j).tensor);
        lists[i]->count = 0;
    }
    cbm_names_changed(m->cx);
}

/* ---- group norm ---- */

typedef struct group_norm {
    cbm_module module;
    int64_t groups;
    double eps;
} group_norm;

static cbm_tensor *group_norm_forward(cbm_module *self, cbm_tensor *x)
{
    const group_norm *m = (group_norm *)self;
    return cbm_group_norm(x, m->groups, cbm_layer_parameter(self, 0), cbm_layer_parameter(self, 1), m->eps);
}

CBM_OPTIONS_INIT(cbm_nn_group_norm_options, CBM_NN_GROUP_NORM_DEFAULTS)

cbm_module *cbm_nn_group_norm_with(cbm_context *cx, int64_t groups, int64_t channels,
                                   const cbm_nn_group_norm_options *o)
{
    group_norm *m = cbm_layer_new(cx, sizeof *m, "group_norm", group_norm_forward);
    if (!m)
        return cbm_module_failed(cx);
    if (cbm_options_wrong(cx, "group_norm", o, o ? o->struct_size : 0, sizeof *o) ||
        !cbm_layer_dtype(cx, "group_norm", o->dtype))
        return cbm_layer_finish(&m->module);
    if (groups < 1 || channels < 1 || channels % groups != 0 || !(o->eps >= 0)) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[group_norm] %lld channels do not divide into %lld groups, or eps is below 0",
                 (long long)channels, (long long)groups);
        return cbm_layer_finish(&m->module);
    }
    m->groups = groups;
    m->eps = o->eps;
    if (o->affine) {
        cbm_add_full(&m->module, "weight", (cbm_dtype)o->dtype, CBM_SHAPE(channels), 1, false);
        cbm_add_full(&m->module, "bias", (cbm_dtype)o->dtype, CBM_SHAPE(channels), 0, false);
    }
    return cbm_layer_finish(&m->module);
}

/* ---- layer norm and root mean square norm ---- */

typedef struct row_norm {
    cbm_module module;
    cbm_shape shape;
    double eps;
} row_norm;

static cbm_tensor *layer_norm_forward(cbm_module *self, cbm_tensor *x)
{
    const row_norm *m = (row_norm *)self;
    return cbm_layer_norm(x, m->shape, cbm_layer_parameter(self, 0), cbm_layer_parameter(self, 1), m->eps);
}

static cbm_tensor *rms_norm_forward(cbm_module *self, cbm_tensor *x)
{
    const row_norm *m = (row_norm *)self;
    return cbm_rms_norm(x, m->shape, cbm_layer_parameter(self, 0), m->eps);
}

CBM_OPTIONS_INIT(cbm_nn_layer_norm_options, CBM_NN_LAYER_NORM_DEFAULTS)
CBM_OPTIONS_INIT(cbm_nn_rms_norm_options, CBM_NN_RMS_NORM_DEFAULTS)

/* false: reported. */
static bool shape_fits(row_norm *m, const cbm_shape *shape)
{
    bool good = shape->v[0] >= 1 && shape->v[0] <= CBM_MAX_DIMS;
    for (int64_t i = 1; good && i <= shape->v[0]; i++)
        good = shape->v[i] >= 1;
    m->shape = *shape;
    if (!good)
        cbm_fail(m->module.cx, CBM_ERROR_INVALID, "[%s] a normalised shape has extents of at least 1", m->module.type);
    return good;
}

cbm_module *cbm_nn_layer_norm_with(cbm_context *cx, cbm_shape normalized_shape, const cbm_nn_layer_norm_options *o)
{
    row_norm *m = cbm_layer_new(cx, sizeof *m, "layer_norm", layer_norm_forward);
    if (!m)
        return cbm_module_failed(cx);
    if (cbm_options_wrong(cx, "layer_norm", o, o ? o->struct_size : 0, sizeof *o) ||
        !cbm_layer_dtype(cx, "layer_norm", o->dtype) || !shape_fits(m, &normalized_shape))
        return cbm_layer_finish(&m->module);
    m->eps = o->eps;
    if (o->elementwise_affine) {
        cbm_add_full(&m->module, "weight", (cbm_dtype)o->dtype, m->shape, 1, false);
        if (o->bias)
            cbm_add_full(&m->module, "bias", (cbm_dtype)o->dtype, m->shape, 0, false);
    }
    return cbm_layer_finish(&m->module);
}

cbm_module *cbm_nn_rms_norm_with(cbm_context *cx, cbm_shape normalized_shape, const cbm_nn_rms_norm_options *o)
{
    row_norm *m = cbm_layer_new(cx, sizeof *m, "rms_norm", rms_norm_forward);
    if (!m)
        return cbm_module_failed(cx);
    if (cbm_options_wrong(cx, "rms_norm", o, o ? o->struct_size : 0, sizeof *o) ||
        !cbm_layer_dtype(cx, "rms_norm", o->dtype) || !shape_fits(m, &normalized_shape))
        return cbm_layer_finish(&m->module);
    m->eps = o->eps;
    if (o->elementwise_affine)
        cbm_add_full(&m->module, "weight", (cbm_dtype)o->dtype, m->shape, 1, false);
    return cbm_layer_finish(&m->module);
}

/* ---- local response norm ---- */

typedef struct local_response_norm {
    cbm_module module;
    int64_t size;
    cbm_nn_local_response_norm_options options;
} local_response_norm;

static cbm_tensor *local_response_norm_forward(cbm_module *self, cbm_tensor *x)
{
    const local_response_norm *m = (local_response_norm *)self;
    return cbm_local_response_norm(x, m->size, m->options.alpha, m->options.beta, m->options.k);
}

CBM_OPTIONS_INIT(cbm_nn_local_response_norm_options, CBM_NN_LOCAL_RESPONSE_NORM_DEFAULTS)

cbm_module *cbm_nn_local_response_norm_with(cbm_context *cx, int64_t size, const cbm_nn_local_response_norm_options *o)
{
    local_response_norm *m = cbm_layer_new(cx, sizeof *m, "local_response_norm", local_response_norm_forward);
    if (!m)
        return cbm_module_failed(cx);
    if (cbm_options_wrong(cx, "local_response_norm", o, o ? o->struct_size : 0, sizeof *o))
        return cbm_layer_finish(&m->module);
    m->size = size;
    m->options = *o;
    if (size < 1)
        cbm_fail(cx, CBM_ERROR_INVALID, "[local_response_norm] size %lld is not at least 1", (long long)size);
    return cbm_layer_finish(&m->module);
}
