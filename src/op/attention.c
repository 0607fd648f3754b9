/* attention.c: scaled dot-product attention (Vaswani et al. 2017) without storing the scores, with its gradient. Rests on
   op/families.h. */
#include "op/families.h"

#include <math.h>

/* ---- shape rules ---- */

typedef struct extents {
    int64_t rank, rows, places; /* L, S */
    cbm_shape scores;           /* (.., Hq, L, S) */
} extents;

/* Leading dimensions are equal, but at the last of them q's is a multiple. */
static bool heads_fit(const cbm_shape *q, const cbm_shape *k)
{
    for (int64_t i = 1; i + 3 <= q->v[0]; i++)
        if (q->v[i] != k->v[i])
            return false;
    if (q->v[0] < 3)
        return true;
    const int64_t heads = q->v[q->v[0] - 2], shared = k->v[q->v[0] - 2];
    return heads == shared || (shared > 0 && heads % shared == 0);
}

static bool inputs_fit(cbm_infer *infer, size_t first, extents *e)
{
    static const char *const names[] = { "q", "k", "v" };
    char text[3][160];
    const cbm_attention_attributes *a = infer->attributes;
    const cbm_shape *q = &infer->in_shape[0], *k = &infer->in_shape[1], *v = &infer->in_shape[2];
    const int64_t rank = q->v[0];
    if (infer->n_in != first + (a->masked ? 1 : 0))
        return cbm_infer_fail(infer, CBM_ERROR_INVALID, "wrong number of inputs: %zu", infer->n_in);
    for (size_t i = 0; i < 3; i++) {
        cbm_shape_text(&infer->in_shape[i], text[i], sizeof text[i]);
        if (infer->in_shape[i].v[0] != rank || rank < 2)
            return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "q %s and %s %s must have as many dimensions, at least 2",
                                  text[0], names[i], text[i]);
        if (infer->in_dtype[i] != infer->in_dtype[0])
            return cbm_infer_fail(infer, CBM_ERROR_DTYPE,
                                  "element types differ: q is %s, %s is %s. HINT: convert one with cbm_cast",
                                  cbm_dtype_name(infer->in_dtype[0]), names[i], cbm_dtype_name(infer->in_dtype[i]));
    }
    if (!cbm_rule_floating(infer, 0))
        return false;
    if (q->v[rank] != k->v[rank])
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "q %s and k %s must have one width", text[0], text[1]);
    if (k->v[rank - 1] != v->v[rank - 1])
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "k %s and v %s must have as many places", text[1], text[2]);
    cbm_shape kv = *v;
    kv.v[rank] = k->v[rank];
    if (!cbm_shape_equal(&kv, k) || !heads_fit(q, k))
        return cbm_infer_fail(
            infer, CBM_ERROR_SHAPE,
            "leading dimensions of q %s, k %s and v %s do not fit: equal, or at the heads a multiple in q", text[0],
            text[1], text[2]);
    *e = (extents){ rank, q->v[rank - 1], k->v[rank - 1], *q };
    e->scores.v[rank] = e->places;
    return true;
}

static bool mask_fits(cbm_infer *infer, const extents *e)
{
    char is[160], must[160];
    cbm_shape both;
    const cbm_attention_attributes *a = infer->attributes;
    if (!a->masked)
        return true;
    const cbm_dtype dtype = infer->in_dtype[3];
    if (dtype != CBM_BOOL && dtype != infer->in_dtype[0])
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE, "the mask must hold bool or %s as q does, not %s",
                              cbm_dtype_name(infer->in_dtype[0]), cbm_dtype_name(dtype));
    if (cbm_broadcast_shapes(&infer->in_shape[3], &e->scores, &both) && cbm_shape_equal(&both, &e->scores))
        return true;
    return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "the mask %s does not broadcast to the scores %s",
                          cbm_shape_text(&infer->in_shape[3], is, sizeof is),
                          cbm_shape_text(&e->scores, must, sizeof must));
}

static bool attention_infer(cbm_infer *infer)
{
    extents e;
    if (!inputs_fit(infer, 3, &e) || !mask_fits(infer, &e))
        return false;
    infer->out_shape[0] = infer->in_shape[0];
    infer->out_shape[0].v[e.rank] = infer->in_shape[2].v[e.rank];
    infer->out_shape[1] = infer->in_shape[0];
    infer->out_shape[1].v[0]--;
    infer->out_shape[1].v[e.rank] = 0;
    infer->out_dtype[0] = infer->in_dtype[0];
    infer->out_dtype[1] = cbm_statistics_dtype(infer->in_dtype[0]);
    return true;
}

static bool backward_infer(cbm_infer *infer)
{
    extents e;
    const cbm_attention_attributes *a = infer->attributes;
    const size_t y = a->masked ? 4 : 3;
    if (!inputs_fit(infer, 6, &e) || !mask_fits(infer, &e))
        return false;
    cbm_shape result = infer->in_shape[0], rows = infer->in_shape[0];
    result.v[e.rank] = infer->in_shape[2].v[e.rank];
    rows.v[0]--;
    rows.v[e.rank] = 0;
    if (!cbm_rule_shape(infer, y, "y", &result) || !cbm_rule_shape(infer, y + 1, "log-sum-exp", &rows) ||
        !cbm_rule_shape(infer, y + 2, "g", &result))
        return false;
    for (size_t i = 0; i < 3; i++) {
        infer->out_shape[i] = infer->in_shape[i];
        infer->out_dtype[i] = infer->in_dtype[i];
    }
    return true;
}

static void attention_cost(const cbm_launch *l, cbm_cost *cost)
{
    const cbm_buffer *q = &l->in[0], *k = &l->in[1], *v = &l->in[2];
    const bool backward = l->n_out == 3;
    const int64_t rank = q->rank, width = q->shape[rank - 1];
    const double places = (double)k->shape[rank - 2], rows = width > 0 ? (double)q->count / (double)width : 0;
    const double products =
        backward ? 3 * (double)width + 2 * (double)v->shape[rank - 1] : (double)width + (double)v->shape[rank - 1];
    cost->flops = rows * places * (2 * products + 8);
    cost->bytes = 2 * ((double)q->count + (double)k->count + (double)v->count) * (double)cbm_dtype_size(q->dtype);
}

/* ---- in basic operations ---- */

/* k or v with each head as often as q's heads share it. */
static cbm_tensor *repeated(cbm_tensor *t, int64_t heads)
{
    const cbm_shape shape = cbm_tensor_shape(t);
    const int64_t rank = shape.v[0];
    if (rank < 3 || shape.v[rank - 2] == heads || rank == CBM_MAX_DIMS)
        return t;
    cbm_shape wide = cbm_tensor_shape(cbm_unsqueeze(t, rank - 2)), whole = shape;
    wide.v[rank - 1] = heads / shape.v[rank - 2];
    whole.v[rank - 2] = heads;
    return cbm_reshape(cbm_expand(cbm_unsqueeze(t, rank - 2), wide), whole);
}

cbm_tensor *cbm_causal_places(cbm_context *cx, int64_t rows, int64_t places)
{
    const size_t bytes = (size_t)(rows + places + 1) * sizeof(int64_t);
    int64_t *numbers = cbm_heap_take(cbm_context_heap(cx), bytes);
    if (!numbers) {
        cbm_fail_memory(cx, "attention");
        return &cx->failed;
    }
    for (int64_t i = 0; i < rows || i < places; i++)
        numbers[i] = i;
    cbm_tensor *down = cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(rows, 1), numbers);
    cbm_tensor *along = cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(places), numbers);
    cbm_heap_give(cbm_context_heap(cx), numbers, bytes);
    return cbm_less_equal(along, down);
}

static bool attention_decompose(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n,
                                cbm_tensor **out)
{
    const cbm_attention_attributes *a = attributes;
    const int64_t rank = cbm_tensor_rank(in[0]), heads = rank < 3 ? 1 : cbm_tensor_size(in[0], rank - 3);
    const cbm_reduce_options along = { sizeof along, { { 1, rank - 1 } }, 1 };
    cbm_tensor *q = cbm_for_statistics(in[0]), *k = repeated(cbm_for_statistics(in[1]), heads);
    cbm_tensor *v = repeated(cbm_for_statistics(in[2]), heads), *low = cbm_number_like(q, -(double)INFINITY);
    (void)n;
    cbm_tensor *s = cbm_mul_scalar(cbm_matmul(q, cbm_transpose(k, -2, -1)), a->scale);
    const cbm_shape shape = cbm_tensor_shape(s);
    if (a->masked && cbm_tensor_dtype(in[3]) == CBM_BOOL)
        s = cbm_where(in[3], s, low);
    else if (a->masked)
        s = cbm_add(s, cbm_for_statistics(in[3]));
    if (a->causal)
        s = cbm_where(cbm_causal_places(cx, shape.v[rank - 1], shape.v[rank]), s, low);
    /* A row that sees nothing has no largest: 0 in its place, and its sum is 0. */
    cbm_tensor *largest = shape.v[rank] > 0 ? cbm_detach(cbm_max_with(s, &along)) : cbm_sum_with(s, &along);
    largest = cbm_where(cbm_greater(largest, low), largest, cbm_number_like(q, 0));
    cbm_tensor *e = cbm_exp(cbm_sub(s, largest)), *sum = cbm_sum_with(e, &along);
    cbm_tensor *p = cbm_div(e, cbm_where(cbm_greater(sum, cbm_number_like(q, 0)), sum, cbm_number_like(q, 1)));
    if (a->dropped)
        p = cbm_dropout_at(p, a->p, a->seed, a->position);
    out[0] = cbm_cast(cbm_matmul(p, v), cbm_tensor_dtype(in[0]));
    cbm_shape rows = shape;
    rows.v[rows.v[0]--] = 0;
    out[1] = cbm_reshape(cbm_add(cbm_log(sum), largest), rows);
    return cbm_context_status(cx) == CBM_OK;
}

/* ---- gradient ---- */

static const cbm_op backward_op, dropout_backward_op;

static void attention_vjp(cbm_vjp *v)
{
    const cbm_attention_attributes *a = v->attributes;
    if (v->create_graph || v->out_gradient[1] || (a->masked && v->needed[3])) {
        v->declined = true;
        return;
    }
    cbm_tensor *in[7], *out[CBM_MAX_OUTPUTS] = { NULL };
    size_t n = 0;
    for (; n < v->n_in; n++)
        in[n] = v->in[n];
    in[n++] = v->out[0];
    in[n++] = v->out[1];
    in[n++] = v->out_gradient[0];
    (void)cbm_apply(v->cx, a->dropped ? &dropout_backward_op : &backward_op, in, n, v->attributes, out);
    for (size_t i = 0; i < 3; i++)
        v->in_gradient[i] = out[i];
}

/* ---- records ---- */

static const cbm_attribute fields[] = {
    CBM_FIELD(cbm_attention_attributes, masked, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_attention_attributes, causal, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_attention_attributes, dropped, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_attention_attributes, scale, CBM_ATTRIBUTE_FLOAT, true),
    CBM_FIELD(cbm_attention_attributes, p, CBM_ATTRIBUTE_FLOAT, true),
    CBM_FIELD(cbm_attention_attributes, keep_scale, CBM_ATTRIBUTE_FLOAT, true),
    CBM_FIELD(cbm_attention_attributes, seed, CBM_ATTRIBUTE_UINT, true),
    CBM_FIELD(cbm_attention_attributes, position, CBM_ATTRIBUTE_UINT, true),
};

#define X(...) CBM_FLOATS(-1, 1, __VA_ARGS__)
#define BOOLS(low_, ...)                                                                                               \
    {                                                                                                                  \
        CBM_DIMS(__VA_ARGS__), CBM_BOOL, (low_), 1, false                                                              \
    }
static const cbm_attention_attributes plain = { .scale = 0.5 }, causal = { .causal = 1, .scale = 0.7 },
                                      masked = { .masked = 1, .scale = 0.5 },
                                      both = { .masked = 1, .causal = 1, .scale = 1 },
                                      dropped = { 0, 0, 1, 0.6, 0.3, 1 / 0.7, 7, 500 },
                                      dropped_masked = { 1, 1, 1, 0.6, 0.5, 2, 9, 3 };
static const cbm_sample attention_samples[] = {
    { .n_in = 3, .in = { X(3, 4), X(5, 4), X(5, 2) }, .attributes = &plain },
    { .n_in = 3, .in = { X(2, 3, 4), X(2, 5, 4), X(2, 5, 3) }, .attributes = &causal },
    { .n_in = 3, .in = { X(2, 4, 3, 2), X(2, 2, 5, 2), X(2, 2, 5, 3) }, .attributes = &plain },
    { .n_in = 4, .in = { X(2, 3, 4), X(2, 5, 4), X(2, 5, 3), X(3, 5) }, .attributes = &masked },
    { .n_in = 4, .in = { X(2, 2, 3, 4), X(2, 1, 3, 4), X(2, 1, 3, 3), BOOLS(1, 2, 1, 1, 3) }, .attributes = &both },
    { .n_in = 4, .in = { X(2, 4, 3), X(2, 5, 3), X(2, 5, 3), BOOLS(0, 4, 5) }, .attributes = &masked },
    { .n_in = 3, .in = { X(0, 3, 4), X(0, 2, 4), X(0, 2, 3) }, .attributes = &plain },
};
static const cbm_sample dropout_samples[] = {
    { .n_in = 3, .in = { X(2, 4, 3), X(2, 5, 3), X(2, 5, 3) }, .attributes = &dropped },
    { .n_in = 4, .in = { X(2, 2, 4, 3), X(2, 1, 5, 3), X(2, 1, 5, 2), BOOLS(0, 4, 5) }, .attributes = &dropped_masked },
};
/* The last three inputs belong together; made-up ones do as well. */
static const cbm_sample backward_samples[] = {
    { .n_in = 6, .in = { X(3, 4), X(5, 4), X(5, 2), X(3, 2), CBM_FLOATS(1, 2, 3), X(3, 2) }, .attributes = &plain },
    { .n_in = 6,
      .in = { X(2, 4, 3, 2), X(2, 2, 5, 2), X(2, 2, 5, 3), X(2, 4, 3, 3), CBM_FLOATS(1, 2, 2, 4, 3), X(2, 4, 3, 3) },
      .attributes = &causal },
    { .n_in = 7,
      .in = { X(2, 3, 4), X(2, 5, 4), X(2, 5, 3), X(3, 5), X(2, 3, 3), CBM_FLOATS(1, 2, 2, 3), X(2, 3, 3) },
      .attributes = &masked },
    { .n_in = 7,
      .in = { X(2, 3, 4), X(2, 3, 4), X(2, 3, 3), BOOLS(0, 2, 1, 3), X(2, 3, 3), CBM_FLOATS(1, 2, 2, 3), X(2, 3, 3) },
      .attributes = &both },
};
static const cbm_sample dropout_backward_samples[] = {
    { .n_in = 6,
      .in = { X(2, 4, 3), X(2, 5, 3), X(2, 5, 3), X(2, 4, 3), CBM_FLOATS(1, 2, 2, 4), X(2, 4, 3) },
      .attributes = &dropped },
};

#define ATTENTION(name_, formula_, flags_, samples_)                                                                   \
    {                                                                                                                  \
        CBM_OP_RECORD(name_), .formula = (formula_), .n_in = -1, .n_out = 2, .flags = (flags_),                        \
                              .saves = CBM_SAVES_ALL_IN | CBM_SAVES_OUT(0) | CBM_SAVES_OUT(1),                         \
                              .attributes_size = sizeof(cbm_attention_attributes), .attributes = fields,               \
                              .n_attributes = CBM_COUNTOF(fields), .infer = attention_infer, .vjp = attention_vjp,     \
                              .decompose = attention_decompose, .cost = attention_cost, CBM_SAMPLES(samples_)          \
    }
#define BACKWARD(name_, formula_, flags_, samples_)                                                                    \
    {                                                                                                                  \
        CBM_OP_RECORD(name_), .formula = (formula_), .n_in = -1, .n_out = 3, .flags = (flags_),                        \
                              .attributes_size = sizeof(cbm_attention_attributes), .attributes = fields,               \
                              .n_attributes = CBM_COUNTOF(fields), .infer = backward_infer, .cost = attention_cost,    \
                              .autocast = CBM_AUTOCAST_NONE, CBM_SAMPLES(samples_)                                     \
    }

static const cbm_op attention_op =
    ATTENTION("attention", "y = softmax(scale q k^T + mask) v; log-sum-exp of each row's scores", 0, attention_samples);
static const cbm_op dropout_op =
    ATTENTION("attention_dropout", "attention, each of its probabilities u < p ? 0 : 1 / (1 - p) times as large",
              CBM_OP_RANDOM, dropout_samples);
static const cbm_op backward_op = BACKWARD("attention_backward",
                                           "p = e^(scale q k^T + mask - log-sum-exp), ds = p (g v^T - sum of g y); "
                                           "dq = scale ds k, dk = scale ds^T q, dv = p^T g",
                                           0, backward_samples);
static const cbm_op dropout_backward_op =
    BACKWARD("attention_dropout_backward", "attention_backward with the probabilities dropped as forward dropped them",
             CBM_OP_RANDOM, dropout_backward_samples);

const cbm_op *const cbm_ops_attention[] = { &attention_op, &dropout_op, &backward_op, &dropout_backward_op, NULL };

/* ---- the public function ---- */

cbm_tensor *cbm_scaled_dot_product_attention_with(cbm_tensor *q, cbm_tensor *k, cbm_tensor *v,
                                                  const cbm_attention_options *options)
{
    cbm_attention_options o = { .struct_size = sizeof o };
    cbm_read_options(&o, sizeof o, options);
    cbm_tensor *in[] = { q, k, v, o.mask }, *out[CBM_MAX_OUTPUTS] = { NULL };
    cbm_context *cx = cbm_context_of(in, 4);
    const size_t n = o.mask ? 4 : 3;
    for (size_t i = 0; i < n; i++)
        if (!cbm_usable(cx, in[i]))
            return &cx->failed;
    if (!(o.dropout >= 0 && o.dropout <= 1) || !isfinite(o.scale))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID,
                               "[attention] dropout %g must be a probability, and scale %g a finite number", o.dropout,
                               o.scale);
    const int64_t width = cbm_tensor_size(q, -1);
    cbm_attention_attributes a = { .masked = o.mask != NULL,
                                   .causal = o.causal != 0,
                                   .dropped = o.dropout > 0,
                                   .scale = o.scale != 0 ? o.scale
                                            : width > 0  ? 1 / sqrt((double)width)
                                                         : 1,
                                   .p = o.dropout,
                                   .keep_scale = o.dropout < 1 ? 1 / (1 - o.dropout) : 0 };
    if (a.dropped) {
        const int64_t rows = width > 0 ? cbm_tensor_count(q) / width : 0;
        cbm_random_draw(cx, rows * (cbm_tensor_rank(k) > 1 ? cbm_tensor_size(k, -2) : 0), &a.seed, &a.position);
    }
    return cbm_apply(cx, a.dropped ? &dropout_op : &attention_op, in, n, &a, out);
}
