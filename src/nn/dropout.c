/* dropout.c: dropout of elements, of whole channels, and of whole samples. */
#include "nn/layer.h"

typedef struct dropout {
    cbm_module module;
    cbm_tensor *(*operation)(cbm_tensor *x, double p);
    double p;
    int64_t rank; /* of the input; 0: any */
} dropout;

static cbm_tensor *dropout_forward(cbm_module *self, cbm_tensor *x)
{
    const dropout *m = (dropout *)self;
    cbm_shape shape = cbm_tensor_shape(x);
    char text[128];
    if (m->rank && shape.v[0] != m->rank)
        return cbm_fail_tensor(self->cx, CBM_ERROR_SHAPE, "[%s] the input %s has not %lld dimensions: (N, C, ...)",
                               self->type, cbm_shape_text(&shape, text, sizeof text), (long long)m->rank);
    return self->training && m->p > 0 ? m->operation(x, m->p) : x;
}

static cbm_module *make(cbm_context *cx, const char *type, cbm_tensor *(*operation)(cbm_tensor *, double), int64_t rank,
                        double p)
{
    dropout *m = cbm_layer_new(cx, sizeof *m, type, dropout_forward);
    if (!m)
        return cbm_module_failed(cx);
    m->operation = operation;
    m->rank = rank;
    m->p = p;
    if (!(p >= 0 && p < 1))
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] the probability must be in [0, 1)", type);
    return cbm_layer_finish(&m->module);
}

cbm_module *cbm_nn_dropout(cbm_context *cx, double p)
{
    return make(cx, "dropout", cbm_dropout, 0, p);
}

cbm_module *cbm_nn_dropout1d(cbm_context *cx, double p)
{
    return make(cx, "dropout1d", cbm_feature_dropout, 3, p);
}

cbm_module *cbm_nn_dropout2d(cbm_context *cx, double p)
{
    return make(cx, "dropout2d", cbm_feature_dropout, 4, p);
}

cbm_module *cbm_nn_dropout3d(cbm_context *cx, double p)
{
    return make(cx, "dropout3d", cbm_feature_dropout, 5, p);
}

cbm_module *cbm_nn_alpha_dropout(cbm_context *cx, double p)
{
    return make(cx, "alpha_dropout", cbm_alpha_dropout, 0, p);
}

cbm_module *cbm_nn_feature_alpha_dropout(cbm_context *cx, double p)
{
    return make(cx, "feature_alpha_dropout", cbm_feature_alpha_dropout, 0, p);
}

static cbm_tensor *drop_samples(cbm_tensor *x, double p)
{
    cbm_shape shape = cbm_tensor_shape(x);
    for (int64_t i = 2; i <= shape.v[0]; i++)
        shape.v[i] = 1;
    cbm_tensor *kept = cbm_bernoulli(cbm_tensor_context(x), cbm_tensor_dtype(x), shape, 1 - p);
    return cbm_mul(x, cbm_mul_scalar(kept, 1 / (1 - p)));
}

static cbm_tensor *drop_batch(cbm_tensor *x, double p)
{
    cbm_tensor *kept = cbm_bernoulli(cbm_tensor_context(x), cbm_tensor_dtype(x), CBM_SHAPE(), 1 - p);
    return cbm_mul(x, cbm_mul_scalar(kept, 1 / (1 - p)));
}

cbm_module *cbm_nn_stochastic_depth(cbm_context *cx, double p, bool by_sample)
{
    return make(cx, "stochastic_depth", by_sample ? drop_samples : drop_batch, 0, p);
}
