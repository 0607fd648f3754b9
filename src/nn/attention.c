/* attention.c: multi-head attention. Rests on layer.h and the attention operation. */
#include "nn/layer.h"
#include "op/families.h"
#include <math.h>
#include <stdio.h>

typedef struct multihead {
    cbm_module module;
    cbm_module *out_proj;
    int64_t width, heads, kdim, vdim;
    bool bias, batch_first;
    double dropout;
} multihead;

/* One call: as asked, and what the batch's form makes of it. */
typedef struct call {
    const cbm_attention_call_options *o;
    int64_t batch, rows, places; /* N, L, S */
    bool batched, batch_first;
    cbm_tensor *weights; /* result */
} call;

static bool joint_weight(const multihead *m)
{
    return m->kdim == m->width && m->vdim == m->width;
}

/* ---- projections ---- */

/* Of what holds q's, k's and v's rows below one another those of count of them. */
static cbm_tensor *rows_of(const multihead *m, cbm_tensor *all, int64_t first, int64_t count)
{
    return count == 3 ? all : cbm_slice(all, 0, first * m->width, (first + count) * m->width, 1);
}

/* Parameters: in_proj_weight or the three weights, then the bias. */
static cbm_tensor *bias_of(const multihead *m, int64_t first, int64_t count)
{
    cbm_module *self = (cbm_module *)(uintptr_t)&m->module;
    if (!m->bias)
        return NULL;
    cbm_tensor *all = cbm_layer_parameter(self, joint_weight(m) ? 1 : 3);
    return rows_of(m, cbm_for_product(all), first, count);
}

/* Projections first, first + 1, ... (0: q, 1: k, 2: v) of one input, side by side. */
static cbm_tensor *project(const multihead *m, cbm_tensor *x, int64_t first, int64_t count)
{
    cbm_module *self = (cbm_module *)(uintptr_t)&m->module;
    cbm_tensor *weight = cbm_for_product(cbm_layer_parameter(self, joint_weight(m) ? 0 : (size_t)first));
    if (joint_weight(m))
        weight = rows_of(m, weight, first, count);
    cbm_tensor *y = cbm_matmul(x, cbm_transpose(weight, 0, 1)), *bias = bias_of(m, first, count);
    return bias ? cbm_add(y, bias) : y;
}

/* q, k, v of these inputs; one product for neighbours that come from one tensor. */
static void project_all(const multihead *m, cbm_tensor *const *in, cbm_tensor **out)
{
    for (int64_t first = 0, count; first < 3; first += count) {
        for (count = 1; joint_weight(m) && first + count < 3 && in[first + count] == in[first];)
            count++;
        cbm_split_by(project(m, in[first], first, count), -1, m->width, out + first, (size_t)count);
    }
}

/* (N, L, width) or (L, N, width) as (N, heads, L, width / heads). */
static cbm_tensor *split_heads(const multihead *m, const call *k, cbm_tensor *t)
{
    const cbm_shape s = cbm_tensor_shape(t);
    t = cbm_reshape(t, CBM_SHAPE(s.v[1], s.v[2], m->heads, m->width / m->heads));
    return cbm_permute(t, k->batch_first ? CBM_SHAPE(0, 2, 1, 3) : CBM_SHAPE(1, 2, 0, 3));
}

static cbm_tensor *join_heads(const multihead *m, const call *k, cbm_tensor *t)
{
    t = cbm_permute(t, k->batch_first ? CBM_SHAPE(0, 2, 1, 3) : CBM_SHAPE(2, 0, 1, 3));
    return cbm_reshape(t, CBM_SHAPE(cbm_tensor_size(t, 0), cbm_tensor_size(t, 1), m->width));
}

/* ---- masks ---- */

/* A mask as numbers to be added: -infinity where a key is left out. */
static cbm_tensor *added(cbm_tensor *mask, cbm_dtype dtype)
{
    cbm_context *cx = cbm_tensor_context(mask);
    if (cbm_tensor_dtype(mask) != CBM_BOOL)
        return mask;
    return cbm_where(mask, cbm_scalar(cx, dtype, -(double)INFINITY), cbm_scalar(cx, dtype, 0));
}

/* The two masks as one of the operation's, which broadcasts over (N, heads, L, S); NULL: none. */
static cbm_tensor *mask_of(const multihead *m, const call *k, cbm_dtype dtype)
{
    cbm_tensor *mask = k->o->attn_mask, *padding = k->o->key_padding_mask;
    if (mask && cbm_tensor_rank(mask) == 3)
        mask = cbm_reshape(mask, CBM_SHAPE(k->batch, m->heads, k->rows, k->places));
    if (padding)
        padding = cbm_reshape(padding, CBM_SHAPE(k->batch, 1, 1, k->places));
    const bool bools =
        (!mask || cbm_tensor_dtype(mask) == CBM_BOOL) && (!padding || cbm_tensor_dtype(padding) == CBM_BOOL);
    if (!mask || !padding) {
        cbm_tensor *one = mask ? mask : padding;
        return one && bools ? cbm_logical_not(one) : one;
    }
    if (bools)
        return cbm_logical_not(cbm_logical_or(mask, padding));
    return cbm_add(added(mask, dtype), added(padding, dtype));
}

/* ---- the forward ---- */

static void wrong_shape(const multihead *m, const char *what, cbm_tensor *t, const char *form)
{
    char text[160];
    const cbm_shape shape = cbm_tensor_shape(t);
    cbm_fail(m->module.cx, CBM_ERROR_SHAPE, "[%s] %s %s is not %s", m->module.type, what,
             cbm_shape_text(&shape, text, sizeof text), form);
}

static bool mask_fits(const multihead *m, const call *k, const char *what, cbm_tensor *mask, bool padding)
{
    cbm_context *cx = m->module.cx;
    if (!mask)
        return true;
    if (!cbm_usable(cx, mask))
        return false;
    char form[160];
    cbm_shape s = cbm_tensor_shape(mask), wants[2];
    if (padding) {
        wants[0] = wants[1] = k->batched ? CBM_SHAPE(k->batch, k->places) : CBM_SHAPE(k->places);
    } else {
        wants[0] = CBM_SHAPE(k->rows, k->places);
        wants[1] = CBM_SHAPE(k->batch * m->heads, k->rows, k->places);
    }
    if (!cbm_shape_equal(&s, &wants[0]) && !cbm_shape_equal(&s, &wants[1])) {
        wrong_shape(m, what, mask, cbm_shape_text(&wants[0], form, sizeof form));
        return false;
    }
    if (cbm_tensor_dtype(mask) == CBM_BOOL || cbm_is_floating(cbm_tensor_dtype(mask)))
        return true;
    cbm_fail(cx, CBM_ERROR_DTYPE, "[%s] %s must hold bool or floats, not %s", m->module.type, what,
             cbm_dtype_name(cbm_tensor_dtype(mask)));
    return false;
}

/* Query, key and value have one form and one batch; fills in the call's extents. */
static bool inputs_fit(const multihead *m, call *k, cbm_tensor *const *in)
{
    static const char *const names[] = { "the query", "the key", "the value" };
    const int64_t widths[] = { m->width, m->kdim, m->vdim };
    const int64_t rank = cbm_tensor_rank(in[0]);
    char form[80];
    k->batched = rank == 3;
    k->batch_first = m->batch_first || !k->batched;
    for (int i = 0; i < 3; i++) {
        if (!cbm_usable(m->module.cx, in[i]))
            return false;
        snprintf(form, sizeof form, "%s ending in %lld",
                 !k->batched      ? "(L, E)"
                 : m->batch_first ? "(N, L, E)"
                                  : "(L, N, E)",
                 (long long)widths[i]);
        if ((rank != 2 && rank != 3) || cbm_tensor_rank(in[i]) != rank || cbm_tensor_size(in[i], -1) != widths[i]) {
            wrong_shape(m, names[i], in[i], form);
            return false;
        }
    }
    const int64_t along = k->batched && !m->batch_first ? 0 : rank - 2, across = m->batch_first ? 0 : 1;
    k->rows = cbm_tensor_size(in[0], along);
    k->places = cbm_tensor_size(in[1], along);
    k->batch = k->batched ? cbm_tensor_size(in[0], across) : 1;
    if (cbm_tensor_size(in[2], along) != k->places)
        wrong_shape(m, names[2], in[2], "as long as the key");
    else if (k->batched && (cbm_tensor_size(in[1], across) != k->batch || cbm_tensor_size(in[2], across) != k->batch))
        wrong_shape(m, names[1], in[1], "of as many sequences as the query, and the value too");
    return cbm_context_status(m->module.cx) == CBM_OK && mask_fits(m, k, "attn_mask", k->o->attn_mask, false) &&
           mask_fits(m, k, "key_padding_mask", k->o->key_padding_mask, true);
}

/* With the probabilities as a tensor of their own. */
static cbm_tensor *by_weights(const multihead *m, call *k, cbm_tensor *const *in, cbm_tensor *mask, double dropout)
{
    cbm_context *cx = m->module.cx;
    const double scale = 1 / sqrt((double)m->width / (double)m->heads);
    cbm_tensor *s = cbm_mul_scalar(cbm_matmul(in[0], cbm_transpose(in[1], -2, -1)), scale);
    cbm_tensor *low = cbm_number_like(s, -(double)INFINITY);
    if (mask && cbm_tensor_dtype(mask) == CBM_BOOL)
        s = cbm_where(mask, s, low);
    else if (mask)
        s = cbm_add(s, mask);
    if (k->o->causal)
        s = cbm_where(cbm_causal_places(cx, k->rows, k->places), s, low);
    /* A row that sees nothing has no probabilities: zeros. */
    const cbm_reduce_options along = { sizeof along, { { 1, 3 } }, 1 };
    cbm_tensor *seen = cbm_greater(cbm_detach(cbm_max_with(s, &along)), low), *zero = cbm_number_like(s, 0);
    cbm_tensor *weights = cbm_where(seen, cbm_softmax(cbm_where(seen, s, zero), -1), zero);
    if (dropout > 0)
        weights = cbm_dropout(weights, dropout);
    k->weights = k->o->per_head ? weights : cbm_mean_over(weights, CBM_SHAPE(1), false);
    if (!k->batched) {
        cbm_shape shape = cbm_tensor_shape(k->weights);
        for (int64_t i = 1; i < shape.v[0]; i++)
            shape.v[i] = shape.v[i + 1];
        shape.v[shape.v[0]--] = 0;
        k->weights = cbm_reshape(k->weights, shape);
    }
    return cbm_matmul(weights, in[2]);
}

static cbm_tensor *attend(cbm_module *self, cbm_tensor *x, void *user)
{
    const multihead *m = (multihead *)self;
    call *k = user;
    cbm_tensor *in[] = { x, k->o->key ? k->o->key : x, NULL }, *heads[3];
    in[2] = k->o->value ? k->o->value : in[1];
    if (!inputs_fit(m, k, in))
        return &self->cx->failed;
    const bool same_key = in[1] == in[0], same_value = in[2] == in[1];
    for (int i = 0; i < 3 && !k->batched; i++)
        in[i] = i == 1 && same_key ? in[0] : i == 2 && same_value ? in[1] : cbm_unsqueeze(in[i], 0);
    project_all(m, in, heads);
    for (int i = 0; i < 3; i++)
        heads[i] = split_heads(m, k, heads[i]);
    const double dropout = self->training ? m->dropout : 0;
    cbm_tensor *mask = mask_of(m, k, cbm_statistics_dtype(cbm_tensor_dtype(heads[0])));
    const cbm_attention_options o = {
        .struct_size = sizeof o, .mask = mask, .causal = k->o->causal, .dropout = dropout
    };
    cbm_tensor *y = k->o->need_weights ? by_weights(m, k, heads, mask, dropout)
                                       : cbm_scaled_dot_product_attention_with(heads[0], heads[1], heads[2], &o);
    if (cbm_tensor_failed(y))
        return y;
    y = cbm_call(m->out_proj, join_heads(m, k, y));
    return k->batched || cbm_tensor_failed(y) ? y : cbm_reshape(y, cbm_tensor_shape(x));
}

static cbm_tensor *attention_forward(cbm_module *self, cbm_tensor *x)
{
    const cbm_attention_call_options o = { .struct_size = sizeof o };
    call k = { .o = &o };
    return attend(self, x, &k);
}

cbm_attention_result cbm_attention_call_with(cbm_module *module, cbm_tensor *query, const cbm_attention_call_options *o)
{
    cbm_tensor *bad =
        cbm_typed_call_wrong(module, query, attention_forward, "[attention_call] the module is no multi-head attention",
                             o, o ? o->struct_size : 0, sizeof *o);
    if (bad)
        return (cbm_attention_result){ bad, NULL };
    call k = { .o = o };
    cbm_tensor *y = cbm_call_as(module, query, attend, &k);
    return (cbm_attention_result){ y, cbm_tensor_failed(y) && o->need_weights ? y : k.weights };
}

/* ---- making ---- */

CBM_OPTIONS_INIT(cbm_nn_multihead_attention_options, CBM_NN_MULTIHEAD_ATTENTION_DEFAULTS)

/* Uniform in +-sqrt(6 / (in + out)) (Glorot and Bengio 2010). */
static void add_projection(multihead *m, const char *name, cbm_dtype dtype, int64_t out, int64_t in)
{
    cbm_add_uniform(&m->module, name, dtype, CBM_SHAPE(out, in), sqrt(6.0 / (double)(in + out)));
}

cbm_module *cbm_nn_multihead_attention_with(cbm_context *cx, int64_t width, int64_t heads,
                                            const cbm_nn_multihead_attention_options *o)
{
    multihead *m = cbm_layer_new(cx, sizeof *m, "multihead_attention", attention_forward);
    if (!m)
        return cbm_module_failed(cx);
    if (cbm_options_wrong(cx, m->module.type, o, o ? o->struct_size : 0, sizeof *o) ||
        !cbm_layer_dtype(cx, m->module.type, o->dtype))
        return cbm_layer_finish(&m->module);
    if (width < 1 || heads < 1 || width % heads || o->kdim < 0 || o->vdim < 0 || !(o->dropout >= 0 && o->dropout < 1)) {
        cbm_fail(
            cx, CBM_ERROR_INVALID,
            "[multihead_attention] %lld features in %lld heads, dropout %g: heads must divide the features, kdim and "
            "vdim not be negative, and dropout be in [0, 1)",
            (long long)width, (long long)heads, o->dropout);
        return cbm_layer_finish(&m->module);
    }
    const cbm_dtype dtype = (cbm_dtype)o->dtype;
    m->width = width;
    m->heads = heads;
    m->kdim = o->kdim ? o->kdim : width;
    m->vdim = o->vdim ? o->vdim : width;
    m->bias = o->bias;
    m->batch_first = o->batch_first;
    m->dropout = o->dropout;
    if (joint_weight(m)) {
        add_projection(m, "in_proj_weight", dtype, 3 * width, width);
    } else {
        add_projection(m, "q_proj_weight", dtype, width, width);
        add_projection(m, "k_proj_weight", dtype, width, m->kdim);
        add_projection(m, "v_proj_weight", dtype, width, m->vdim);
    }
    if (o->bias)
        cbm_add_full(&m->module, "in_proj_bias", dtype, CBM_SHAPE(3 * width), 0, false);
    const cbm_nn_linear_options out = { .struct_size = sizeof out, .bias = o->bias, .dtype = o->dtype };
    m->out_proj = cbm_nn_linear_with(cx, width, width, &out);
    cbm_add_module(&m->module, "out_proj", m->out_proj);
    if (o->bias && cbm_context_status(cx) == CBM_OK)
        cbm_init_constant(cbm_layer_parameter(m->out_proj, 1), 0);
    return cbm_layer_finish(&m->module);
}
