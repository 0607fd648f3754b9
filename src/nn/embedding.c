/* embedding.c: tables of vectors looked up by number, alone and in bags. */
#include "nn/layer.h"

typedef struct embedding {
    cbm_module module;
    int64_t padding_idx;
    uint64_t mode; /* of a bag */
} embedding;

static cbm_tensor *embedding_forward(cbm_module *self, cbm_tensor *indices)
{
    return cbm_embedding(indices, cbm_layer_parameter(self, 0), ((embedding *)self)->padding_idx);
}

static cbm_tensor *bag_forward(cbm_module *self, cbm_tensor *indices)
{
    const embedding *m = (embedding *)self;
    const cbm_embedding_bag_options o = { .struct_size = sizeof o, .mode = m->mode, .padding_idx = m->padding_idx };
    return cbm_embedding_bag_with(indices, cbm_layer_parameter(self, 0), &o);
}

/* Standard normal, but zeros in row `padding`. */
static cbm_tensor *normal_rows(cbm_context *cx, cbm_dtype dtype, int64_t count, int64_t width, int64_t padding)
{
    cbm_tensor *rows = cbm_normal(cx, dtype, (cbm_shape){ { 2, count, width } }, 0, 1);
    if (padding == CBM_NO_PADDING)
        return rows;
    cbm_tensor *number = cbm_unsqueeze(cbm_counting(cx, count, CBM_I64), 1);
    return cbm_where(cbm_equal(number, cbm_scalar(cx, CBM_I64, (double)padding)), cbm_scalar(cx, dtype, 0), rows);
}

static bool is_row(cbm_context *cx, const char *type, int64_t padding, int64_t count)
{
    if (padding == CBM_NO_PADDING || (padding >= 0 && padding < count))
        return true;
    cbm_fail(cx, CBM_ERROR_RANGE, "[%s] padding_idx %lld is outside 0..%lld", type, (long long)padding,
             (long long)count - 1);
    return false;
}

static cbm_module *make(cbm_context *cx, const char *type, cbm_forward_fn forward, int64_t count, int64_t width,
                        const cbm_nn_embedding_options *o)
{
    embedding *m = cbm_layer_new(cx, sizeof *m, type, forward);
    if (!m)
        return cbm_module_failed(cx);
    if (cbm_options_wrong(cx, type, o, o ? o->struct_size : 0, sizeof *o) || !cbm_layer_dtype(cx, type, o->dtype))
        return cbm_layer_finish(&m->module);
    m->padding_idx = o->padding_idx;
    m->mode = o->mode;
    if (count < 1 || width < 1)
        cbm_fail(cx, CBM_ERROR_SHAPE, "[%s] a table of %lld rows of %lld numbers", type, (long long)count,
                 (long long)width);
    else if (o->mode > CBM_BAG_MAX)
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] there is no mode %llu", type, (unsigned long long)o->mode);
    else if (is_row(cx, type, o->padding_idx, count)) {
        cbm_scope *scope = cbm_layer_scope(cx);
        cbm_add_value(&m->module, "weight", normal_rows(cx, (cbm_dtype)o->dtype, count, width, o->padding_idx), false,
                      true);
        cbm_scope_end(scope);
    }
    return cbm_layer_finish(&m->module);
}

CBM_OPTIONS_INIT(cbm_nn_embedding_options, CBM_NN_EMBEDDING_DEFAULTS)

cbm_module *cbm_nn_embedding_with(cbm_context *cx, int64_t count, int64_t width, const cbm_nn_embedding_options *o)
{
    return make(cx, "embedding", embedding_forward, count, width, o);
}

cbm_module *cbm_nn_embedding_bag_with(cbm_context *cx, int64_t count, int64_t width, const cbm_nn_embedding_options *o)
{
    return make(cx, "embedding_bag", bag_forward, count, width, o);
}

cbm_module *cbm_nn_embedding_from(cbm_tensor *weight, bool frozen, int64_t padding_idx)
{
    cbm_context *cx = cbm_tensor_context(weight);
    embedding *m = cbm_layer_new(cx, sizeof *m, "embedding", embedding_forward);
    if (!m)
        return cbm_module_failed(cx);
    m->padding_idx = padding_idx;
    if (!cbm_usable(cx, weight))
        cbm_fail(cx, CBM_ERROR_INVALID, "[embedding] the weight is NULL or failed");
    else if (cbm_tensor_rank(weight) != 2)
        cbm_fail(cx, CBM_ERROR_SHAPE, "[embedding] the weight has %lld dimensions, not 2",
                 (long long)cbm_tensor_rank(weight));
    else if (cbm_layer_dtype(cx, "embedding", (int64_t)cbm_tensor_dtype(weight)) &&
             is_row(cx, "embedding", padding_idx, cbm_tensor_size(weight, 0))) {
        cbm_scope *scope = cbm_layer_scope(cx);
        cbm_add_value(&m->module, "weight", cbm_detach(weight), false, !frozen);
        cbm_scope_end(scope);
    }
    return cbm_layer_finish(&m->module);
}
