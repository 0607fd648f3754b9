/* matmul.c: matrix products. The operation itself takes matrices with leading batch dimensions that broadcast; the public
   function brings one-dimensional operands into that form. Rests on op/families.h. */
#include "op/families.h"

#include <string.h>

static bool matmul_infer(cbm_infer *infer)
{
    char ta[160], tb[160];
    const cbm_shape *a = &infer->in_shape[0], *b = &infer->in_shape[1];
    const int64_t ra = a->v[0], rb = b->v[0];
    if (!cbm_rule_same_dtype(infer, 0) || !cbm_rule_floating(infer, 0))
        return false;
    cbm_shape_text(a, ta, sizeof ta);
    cbm_shape_text(b, tb, sizeof tb);
    if (ra < 2 || rb < 2)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE,
                              "a %s and b %s must have at least one dimension, and as an operation two", ta, tb);
    if (a->v[ra] != b->v[rb - 1])
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "last dimension of a %s does not match second last of b %s%s", ta,
                              tb, a->v[ra] == b->v[rb] ? ". HINT: cbm_transpose(b, -2, -1)" : "");
    cbm_shape batch_a = *a, batch_b = *b, out;
    batch_a.v[0] -= 2;
    batch_b.v[0] -= 2;
    if (!cbm_broadcast_shapes(&batch_a, &batch_b, &out))
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "leading dimensions of a %s and b %s do not broadcast", ta, tb);
    out.v[0] += 2;
    out.v[out.v[0] - 1] = a->v[ra - 1];
    out.v[out.v[0]] = b->v[rb];
    infer->out_shape[0] = out;
    return true;
}

/* da = g b^T, db = a^T g; sums over broadcast leading dimensions are done for us. */
/* A matrix seen through its transpose, as linear layers see their weights. */
static bool is_transposed(const cbm_tensor *t)
{
    const cbm_node *n = t->value ? t->value->node : NULL;
    return n && cbm_tensor_rank(t) == 2 && strcmp(n->op->name, "permute") == 0;
}

static void matmul_vjp(cbm_vjp *v)
{
    cbm_tensor *g = v->out_gradient[0];
    if (v->needed[0])
        v->in_gradient[0] = cbm_matmul(g, cbm_transpose(v->in[1], -2, -1));
    if (!v->needed[1])
        return;
    if (is_transposed(v->in[1])) /* transposed twice: the weight's gradient lies in memory as the weight does */
        v->in_gradient[1] = cbm_transpose(cbm_matmul(cbm_transpose(g, -2, -1), v->in[0]), -2, -1);
    else
        v->in_gradient[1] = cbm_matmul(cbm_transpose(v->in[0], -2, -1), g);
}

static void matmul_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    const cbm_buffer *a = &shapes->in[0], *b = &shapes->in[1], *y = &shapes->out[0];
    const double width = a->rank > 0 ? (double)a->shape[a->rank - 1] : 1;
    cost->flops = 2 * width * (double)y->count;
    cost->bytes = ((double)a->count + (double)b->count + (double)y->count) * (double)cbm_dtype_size(y->dtype);
}

static const cbm_sample matmul_samples[] = {
    { .n_in = 2, .in = { CBM_FLOATS(-1, 1, 3, 4), CBM_FLOATS(-1, 1, 4, 5) } },
    { .n_in = 2, .in = { CBM_FLOATS(-1, 1, 1, 7), CBM_FLOATS(-1, 1, 7, 1) } },
    { .n_in = 2, .in = { CBM_FLOATS(-1, 1, 5, 1), CBM_FLOATS(-1, 1, 1, 3) } },
    { .n_in = 2, .in = { CBM_FLOATS(-1, 1, 2, 3, 4), CBM_FLOATS(-1, 1, 2, 4, 2) } },
    { .n_in = 2, .in = { CBM_FLOATS(-1, 1, 2, 1, 3, 4), CBM_FLOATS(-1, 1, 3, 4, 2) } },
    { .n_in = 2, .in = { CBM_FLOATS(-1, 1, 3, 4), CBM_FLOATS(-1, 1, 2, 4, 5) } },
    { .n_in = 2, .in = { CBM_FLOATS(-1, 1, 17, 33), CBM_FLOATS(-1, 1, 33, 19) } },
    { .n_in = 2, .in = { CBM_FLOATS(-1, 1, 0, 4), CBM_FLOATS(-1, 1, 4, 5) } },
    { .n_in = 2, .in = { CBM_FLOATS(-1, 1, 3, 0), CBM_FLOATS(-1, 1, 0, 5) } },
};
static const cbm_op matmul_op = {
    CBM_OP_RECORD("matmul"),
    .formula = "y[.., i, j] = sum over k of a[.., i, k] b[.., k, j]",
    .n_in = 2,
    .n_out = 1,
    .saves = CBM_SAVES_IN(0) | CBM_SAVES_IN(1),
    .infer = matmul_infer,
    .vjp = matmul_vjp,
    .cost = matmul_cost,
    .autocast = CBM_AUTOCAST_PRODUCT,
    CBM_SAMPLES(matmul_samples),
};

const cbm_op *const cbm_ops_matmul[] = { &matmul_op, NULL };

/* Many matrices times one are one tall matrix times it: a single large product, and db needs no sum over the batch. */
static cbm_tensor *tall_product(cbm_tensor *a, cbm_tensor *b)
{
    const cbm_shape from = cbm_tensor_shape(a);
    const int64_t rank = from.v[0], width = from.v[rank];
    cbm_shape to = from;
    int64_t rows = 1;
    for (int64_t i = 1; i < rank; i++)
        rows *= from.v[i];
    to.v[rank] = cbm_tensor_size(b, -1);
    return cbm_reshape(cbm_apply2(&matmul_op, cbm_reshape(a, (cbm_shape){ { 2, rows, width } }), b, NULL), to);
}

cbm_tensor *cbm_matmul(cbm_tensor *a, cbm_tensor *b)
{
    cbm_tensor *const both[] = { a, b };
    cbm_context *cx = cbm_context_of(both, 2);
    if (!cbm_usable(cx, a) || !cbm_usable(cx, b))
        return cbm_apply2(&matmul_op, a, b, NULL);
    const cbm_shape sa = cbm_tensor_shape(a), sb = cbm_tensor_shape(b);
    const int64_t ra = sa.v[0], rb = sb.v[0];
    if (ra == 0 || rb == 0)
        return cbm_apply2(&matmul_op, a, b, NULL);
    if (ra >= 2 && rb >= 2) {
        const bool tall = ra > 2 && rb == 2 && sa.v[ra] == sb.v[1] && cbm_tensor_count(a) > 0;
        return tall ? tall_product(a, b) : cbm_apply2(&matmul_op, a, b, NULL);
    }
    if (ra == 1)
        a = cbm_unsqueeze(a, 0);
    if (rb == 1)
        b = cbm_unsqueeze(b, 1);
    cbm_tensor *y = cbm_matmul(a, b);
    if (cbm_tensor_failed(y))
        return y;
    /* The axes that were put in are taken out again. */
    const cbm_shape sy = cbm_tensor_shape(y);
    cbm_shape out = { { 0 } };
    for (int64_t i = 1; i <= sy.v[0]; i++) {
        const bool row = i == sy.v[0] - 1, column = i == sy.v[0];
        if (!(row && ra == 1) && !(column && rb == 1))
            out.v[++out.v[0]] = sy.v[i];
    }
    return cbm_reshape(y, out);
}
