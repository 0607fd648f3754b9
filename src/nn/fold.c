/* fold.c: folding batch norms into the convolutions before them, for inference. Which norm follows which convolution is
   seen while one forward is recorded: names and containers do not tell. */
#include "nn/layer.h"

typedef struct fold {
    cbm_module *conv, *norm; /* norm NULL: none follows */
    const cbm_value *between;
    bool spoiled; /* called several times */
} fold;

typedef struct search {
    cbm_array folds; /* of fold */
    bool no_memory;
} search;

#define FOLD(s_, i_) (((fold *)(s_)->folds.data)[i_])

static void see(const char *name, cbm_module *m, cbm_tensor *input, cbm_tensor *output, void *user)
{
    search *s = user;
    (void)name;
    if (cbm_is_conv(m)) {
        fold found = { .conv = m, .between = output->value };
        for (size_t i = 0; i < s->folds.count; i++)
            if (FOLD(s, i).conv == m)
                FOLD(s, i).spoiled = found.spoiled = true;
        s->no_memory |= !cbm_array_push(&s->folds, &found);
    } else if (cbm_is_batch_norm(m)) {
        fold *before = NULL;
        bool again = false;
        for (size_t i = 0; i < s->folds.count; i++) {
            fold *f = &FOLD(s, i);
            again |= f->norm == m;
            f->spoiled |= f->norm == m;
            if (f->between == input->value)
                before = f;
        }
        if (before) {
            before->spoiled |= again || before->norm;
            before->norm = m;
        }
    }
}

/* How often recorded operations take value. */
static int64_t uses_of(const cbm_context *cx, const cbm_value *value)
{
    int64_t uses = 0;
    for (const cbm_node *n = cx->last_pending; n; n = n->prev)
        for (size_t i = 0; i < n->n_in; i++)
            uses += n->in[i] == value;
    return uses;
}

static int64_t holders_of(const cbm_module *m, const cbm_tensor *variable)
{
    int64_t holders = 0;
    for (size_t i = 0; i < m->parts->parameters.count; i++)
        holders += CBM_PART(m->parts->parameters, i).tensor == variable;
    for (size_t i = 0; i < m->parts->children.count; i++)
        holders += holders_of(CBM_PART(m->parts->children, i).child, variable);
    return holders;
}

/* Records network on input and keeps the pairs that can be folded: each called once, nothing else reading what lies
   between them, the weights in no other module. */
static void find(cbm_module *network, cbm_tensor *input, search *s)
{
    cbm_context *cx = network->cx;
    const cbm_scope_options options = { .struct_size = sizeof options, .no_grad = 1, .quiet = 1 };
    cbm_scope *scope = cbm_scope_begin_with(cx, &options);
    const cbm_tensor *y = cbm_call_watched(network, input, see, s);
    for (size_t i = 0; i < s->folds.count; i++) {
        fold *f = &FOLD(s, i);
        f->spoiled |= !f->norm || f->between == y->value || uses_of(cx, f->between) != 1 ||
                      holders_of(network, CBM_PART(f->conv->parts->parameters, 0).tensor) > 1;
    }
    cbm_scope_end(scope);
    if (s->no_memory)
        cbm_fail_memory(cx, "the list of batch norms");
}

/* weight' = weight gain and bias' = (bias - mean) gain + shift with gain = scale / sqrt(variance + eps), by channel. */
static void assign_folded(const fold *f)
{
    const cbm_array *conv = &f->conv->parts->parameters, *affine = &f->norm->parts->parameters;
    const cbm_array *statistics = &f->norm->parts->buffers;
    cbm_tensor *weight = CBM_PART(*conv, 0).tensor, *bias = CBM_PART(*conv, 1).tensor;
    cbm_tensor *mean = CBM_PART(*statistics, 0).tensor, *variance = CBM_PART(*statistics, 1).tensor;
    cbm_tensor *gain = cbm_pow_scalar(cbm_add_scalar(variance, cbm_batch_norm_eps(f->norm)), -0.5);
    if (affine->count)
        gain = cbm_mul(gain, CBM_PART(*affine, 0).tensor);
    cbm_tensor *shifted = cbm_mul(cbm_sub(bias, mean), gain);
    if (affine->count)
        shifted = cbm_add(shifted, CBM_PART(*affine, 1).tensor);
    cbm_assign(bias, shifted);
    cbm_shape over = { { cbm_tensor_rank(weight), cbm_tensor_count(gain), 1, 1, 1, 1 } }; /* (O, 1, ..) */
    cbm_assign(weight, cbm_mul(weight, cbm_reshape(gain, over)));
}

cbm_status cbm_nn_fold_batch_norm(cbm_module *network, cbm_tensor *input, size_t *folded)
{
    cbm_context *cx = network ? network->cx : NULL;
    size_t count = 0;
    if (folded)
        *folded = 0;
    if (!cx || !cbm_context_ready(cx) || network->failed)
        return cx ? cbm_fail(cx, CBM_ERROR_INVALID, "[fold_batch_norm] the network is a failed one")
                  : CBM_ERROR_INVALID;
    search s = { .folds = CBM_ARRAY(cbm_context_heap(cx), fold) };
    cbm_eval(network);
    find(network, input, &s);
    const cbm_scope_options options = { .struct_size = sizeof options, .no_grad = 1, .quiet = 1 };
    cbm_scope *scope = cbm_scope_begin_with(cx, &options);
    for (size_t i = 0; i < s.folds.count && cbm_context_status(cx) == CBM_OK; i++) {
        const fold *f = &FOLD(&s, i);
        const cbm_tensor *weight = CBM_PART(f->conv->parts->parameters, 0).tensor;
        if (f->spoiled)
            continue;
        if (f->conv->parts->parameters.count < 2)
            cbm_add_full(f->conv, "bias", cbm_tensor_dtype(weight), CBM_SHAPE(cbm_tensor_size(weight, 0)), 0, false);
        if (cbm_context_status(cx) == CBM_OK)
            assign_folded(f);
    }
    if (cbm_context_status(cx) == CBM_OK)
        cbm_flush(cx);
    cbm_scope_end(scope);
    for (size_t i = 0; i < s.folds.count && cbm_context_status(cx) == CBM_OK; i++)
        if (!FOLD(&s, i).spoiled) {
            cbm_batch_norm_retire(FOLD(&s, i).norm);
            count++;
        }
    cbm_array_free(&s.folds);
    if (folded)
        *folded = count;
    return cbm_context_status(cx);
}
