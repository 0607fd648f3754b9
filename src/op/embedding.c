/* embedding.c: rows of a table by number, alone (embedding and its gradient) and in bags. Rests on op/families.h. */
#include "op/families.h"

/* The table: (V, D), floats. */
static bool table_fits(cbm_infer *infer, size_t input)
{
    return cbm_rule_floating(infer, input) && cbm_rule_rank(infer, input, "weight", 2);
}

/* ---- embedding ---- */
static bool embedding_infer(cbm_infer *infer)
{
    const cbm_embedding_attributes *a = infer->attributes;
    cbm_shape y = infer->in_shape[0];
    if (!cbm_rule_index_dtype(infer, 0, "indices") || !table_fits(infer, 1))
        return false;
    if (a->padding < -1 || a->padding >= infer->in_shape[1].v[1])
        return cbm_infer_fail(infer, CBM_ERROR_RANGE, "padding_idx %lld is not one of %lld rows", (long long)a->padding,
                              (long long)infer->in_shape[1].v[1]);
    if (y.v[0] >= CBM_MAX_DIMS)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "the result would have more than %d dimensions", CBM_MAX_DIMS);
    y.v[++y.v[0]] = infer->in_shape[1].v[2];
    infer->out_shape[0] = y;
    infer->out_dtype[0] = infer->in_dtype[1];
    return true;
}

static const cbm_op embedding_op, embedding_backward_op;

static cbm_tensor *rows_added(cbm_tensor *indices, cbm_tensor *g, int64_t rows, int64_t padding)
{
    const cbm_embedding_backward_attributes a = { rows, padding };
    return cbm_apply2(&embedding_backward_op, indices, g, &a);
}

static void embedding_vjp(cbm_vjp *v)
{
    const cbm_embedding_attributes *a = v->attributes;
    v->in_gradient[1] = rows_added(v->in[0], v->out_gradient[0], cbm_tensor_size(v->in[1], 0), a->padding);
}

static void rows_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    cost->flops = 0;
    cost->bytes = 2 * (double)shapes->out[0].count * (double)cbm_dtype_size(shapes->out[0].dtype);
}

static const cbm_attribute embedding_fields[] = {
    CBM_FIELD(cbm_embedding_attributes, padding, CBM_ATTRIBUTE_INT, false),
};
static const cbm_embedding_attributes whole = { -1 }, padded = { 1 };
static const cbm_sample embedding_samples[] = {
    /* the padding is not among indices: its gradient is not the true one */
    { .n_in = 2, .in = { CBM_INDICES(0, 3, 6), CBM_FLOATS(-2, 2, 4, 3) }, .attributes = &whole },
    { .n_in = 2, .in = { CBM_INDICES(2, 3, 2, 5), CBM_FLOATS(-2, 2, 4, 3) }, .attributes = &padded },
    { .n_in = 2, .in = { { CBM_DIMS(2, 1, 3), CBM_I32, 0, 4, false }, CBM_FLOATS(-2, 2, 5, 1) }, .attributes = &whole },
    { .n_in = 2, .in = { { CBM_DIMS(), CBM_I64, 2, 2, false }, CBM_FLOATS(-2, 2, 4, 2) }, .attributes = &padded },
    { .n_in = 2, .in = { CBM_INDICES(0, 3, 0), CBM_FLOATS(-2, 2, 4, 2) }, .attributes = &whole },
};
static const cbm_op embedding_op = {
    CBM_OP_RECORD("embedding"),
    .formula = "y[.., :] = weight[indices[..], :]; row padding gets no gradient",
    .n_in = 2,
    .n_out = 1,
    .flags = CBM_OP_CHECKS,
    .saves = CBM_SAVES_IN(0),
    .attributes_size = sizeof(cbm_embedding_attributes),
    .attributes = embedding_fields,
    .n_attributes = CBM_COUNTOF(embedding_fields),
    .infer = embedding_infer,
    .vjp = embedding_vjp,
    .cost = rows_cost,
    .differentiable_in = 2,
    CBM_SAMPLES(embedding_samples),
};

/* ---- embedding_backward: indices, g -> dweight ---- */
static bool backward_infer(cbm_infer *infer)
{
    const cbm_embedding_backward_attributes *a = infer->attributes;
    const cbm_shape *g = &infer->in_shape[1];
    cbm_shape want = infer->in_shape[0];
    if (!cbm_rule_index_dtype(infer, 0, "indices") || !cbm_rule_floating(infer, 1))
        return false;
    if (a->rows < 0 || a->padding < -1 || a->padding >= a->rows)
        return cbm_infer_fail(infer, CBM_ERROR_RANGE, "padding_idx %lld is not one of %lld rows", (long long)a->padding,
                              (long long)a->rows);
    if (g->v[0] == want.v[0] + 1)
        want.v[++want.v[0]] = g->v[g->v[0]];
    infer->out_shape[0] = (cbm_shape){ { 2, a->rows, g->v[g->v[0]] } };
    infer->out_dtype[0] = infer->in_dtype[1];
    return cbm_rule_shape(infer, 1, "g", &want) &&
           (g->v[0] > infer->in_shape[0].v[0] || cbm_rule_rank(infer, 1, "g", g->v[0] + 1));
}

/* Reads the rows back, but of the padding's zeros. */
static void backward_vjp(cbm_vjp *v)
{
    const int64_t padding = ((const cbm_embedding_backward_attributes *)v->attributes)->padding;
    const cbm_embedding_attributes a = { padding };
    cbm_tensor *table = v->out_gradient[0];
    if (padding >= 0)
        table = cbm_index_fill(table, 0, cbm_full(v->cx, CBM_I64, CBM_SHAPE(1), (double)padding), 0);
    v->in_gradient[1] = cbm_apply2(&embedding_op, v->in[0], table, &a);
}

static void backward_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    cost->flops = (double)shapes->in[1].count;
    cost->bytes =
        (double)(3 * shapes->in[1].count + shapes->out[0].count) * (double)cbm_dtype_size(shapes->out[0].dtype);
}

static const cbm_attribute backward_fields[] = {
    CBM_FIELD(cbm_embedding_backward_attributes, rows, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_embedding_backward_attributes, padding, CBM_ATTRIBUTE_INT, false),
};
static const cbm_embedding_backward_attributes four = { 4, -1 }, four_padded = { 4, 1 }, five = { 5, 0 };
static const cbm_sample backward_samples[] = {
    { .n_in = 2, .in = { CBM_INDICES(0, 3, 6), CBM_FLOATS(-2, 2, 6, 3) }, .attributes = &four },
    { .n_in = 2, .in = { CBM_INDICES(0, 3, 2, 5), CBM_FLOATS(-2, 2, 2, 5, 3) }, .attributes = &four_padded },
    { .n_in = 2,
      .in = { { CBM_DIMS(2, 1, 3), CBM_I32, 0, 4, false }, CBM_FLOATS(-2, 2, 2, 1, 3, 1) },
      .attributes = &five },
    { .n_in = 2, .in = { { CBM_DIMS(), CBM_I64, 2, 2, false }, CBM_FLOATS(-2, 2, 2) }, .attributes = &four },
    { .n_in = 2, .in = { CBM_INDICES(0, 3, 0), CBM_FLOATS(-2, 2, 0, 2) }, .attributes = &four },
};
static const cbm_op embedding_backward_op = {
    CBM_OP_RECORD("embedding_backward"),
    .formula = "zeros (rows, D), and dweight[indices[..], :] += g[.., :], in order; not for the padding",
    .n_in = 2,
    .n_out = 1,
    .flags = CBM_OP_CHECKS,
    .saves = CBM_SAVES_IN(0),
    .attributes_size = sizeof(cbm_embedding_backward_attributes),
    .attributes = backward_fields,
    .n_attributes = CBM_COUNTOF(backward_fields),
    .infer = backward_infer,
    .vjp = backward_vjp,
    .cost = backward_cost,
    .differentiable_in = 2,
    CBM_SAMPLES(backward_samples),
};

/* ---- bag_of: offsets -> the bag that each of count indices is in ---- */
static bool bag_of_infer(cbm_infer *infer)
{
    const cbm_bag_of_attributes *a = infer->attributes;
    infer->out_shape[0] = (cbm_shape){ { 1, a->count } };
    infer->out_dtype[0] = CBM_I64;
    if (!cbm_rule_index_dtype(infer, 0, "offsets") || !cbm_rule_rank(infer, 0, "offsets", 1))
        return false;
    if (a->count >= 0 && (infer->in_shape[0].v[1] > 0 || a->count == 0))
        return true;
    return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "%lld indices in %lld bags", (long long)a->count,
                          (long long)infer->in_shape[0].v[1]);
}

static const cbm_attribute bag_of_fields[] = {
    CBM_FIELD(cbm_bag_of_attributes, count, CBM_ATTRIBUTE_INT, false),
};
static const cbm_bag_of_attributes six = { 6 };
static const cbm_sample bag_of_samples[] = {
    { .n_in = 1, .in = { CBM_INDICES(0, 0, 1) }, .attributes = &six },
    { .n_in = 1, .in = { { CBM_DIMS(3), CBM_I32, 0, 0, false } }, .attributes = &six },
};
static const cbm_op bag_of_op = {
    CBM_OP_RECORD("bag_of"),
    .formula = "y[i] = the last bag with offsets[bag] <= i, i < count",
    .n_in = 1,
    .n_out = 1,
    .flags = CBM_OP_CHECKS,
    .attributes_size = sizeof(cbm_bag_of_attributes),
    .attributes = bag_of_fields,
    .n_attributes = CBM_COUNTOF(bag_of_fields),
    .infer = bag_of_infer,
    CBM_SAMPLES(bag_of_samples),
};

/* ---- embedding_bag: weight, indices[, offsets][, per_sample_weights] -> y, rows that gave the maxima ---- */
enum { WEIGHT, INDICES, REST };

static bool bag_infer(cbm_infer *infer)
{
    const cbm_bag_attributes *a = infer->attributes;
    const size_t offsets = REST, factors = a->fixed ? REST : REST + 1;
    const cbm_shape *indices = &infer->in_shape[INDICES];
    if (infer->n_in != factors + (a->weighted != 0))
        return cbm_infer_fail(infer, CBM_ERROR_INVALID, "a wrong number of operands: %zu", infer->n_in);
    if (a->mode < CBM_BAG_SUM || a->mode > CBM_BAG_MAX)
        return cbm_infer_fail(infer, CBM_ERROR_INVALID, "there is no mode %lld", (long long)a->mode);
    if (!table_fits(infer, WEIGHT) || !cbm_rule_index_dtype(infer, INDICES, "indices") ||
        !cbm_rule_rank(infer, INDICES, "indices", a->fixed ? 2 : 1))
        return false;
    if (!a->fixed && (!cbm_rule_index_dtype(infer, offsets, "offsets") || !cbm_rule_rank(infer, offsets, "offsets", 1)))
        return false;
    if (a->padding < -1 || a->padding >= infer->in_shape[WEIGHT].v[1])
        return cbm_infer_fail(infer, CBM_ERROR_RANGE, "padding_idx %lld is not one of %lld rows", (long long)a->padding,
                              (long long)infer->in_shape[WEIGHT].v[1]);
    if (a->weighted && a->mode != CBM_BAG_SUM)
        return cbm_infer_fail(infer, CBM_ERROR_INVALID, "per_sample_weights go with sums only");
    if (a->weighted && infer->in_dtype[factors] != infer->in_dtype[WEIGHT])
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE, "weight holds %s, per_sample_weights %s. HINT: cbm_cast",
                              cbm_dtype_name(infer->in_dtype[WEIGHT]), cbm_dtype_name(infer->in_dtype[factors]));
    if (a->weighted && !cbm_rule_shape(infer, factors, "per_sample_weights", indices))
        return false;
    const int64_t bags = a->fixed ? indices->v[1] : infer->in_shape[offsets].v[1] - (a->last != 0);
    if (bags < (a->fixed || indices->v[1] == 0 ? 0 : 1))
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "%lld offsets for %lld indices",
                              (long long)infer->in_shape[offsets].v[1], (long long)indices->v[1]);
    infer->out_shape[0] = (cbm_shape){ { 2, bags, infer->in_shape[WEIGHT].v[2] } };
    infer->out_shape[1] = a->mode == CBM_BAG_MAX ? infer->out_shape[0] : (cbm_shape){ { 1, 0 } };
    infer->out_dtype[0] = infer->in_dtype[WEIGHT];
    infer->out_dtype[1] = CBM_I64;
    return true;
}

typedef struct bags {
    const cbm_bag_attributes *a;
    cbm_tensor *indices; /* flat */
    cbm_tensor *bag;     /* of each index; NULL: bags of a fixed length */
    int64_t count, length;
} bags;

/* Rows (bags, D) as rows for each index (count, D). */
static cbm_tensor *spread(const bags *b, cbm_tensor *rows)
{
    if (b->bag)
        return cbm_index_select(rows, 0, b->bag);
    const int64_t columns = cbm_tensor_size(rows, 1);
    rows = cbm_expand(cbm_unsqueeze(rows, 1), CBM_SHAPE(cbm_tensor_size(rows, 0), b->length, columns));
    return cbm_reshape(rows, CBM_SHAPE(b->count, columns));
}

/* 1 for each index that counts, 0 for the padding: (count). */
static cbm_tensor *counting(const bags *b, cbm_dtype dtype)
{
    cbm_context *cx = cbm_tensor_context(b->indices);
    if (b->a->padding < 0)
        return cbm_ones(cx, dtype, CBM_SHAPE(b->count));
    cbm_tensor *number = cbm_scalar(cx, cbm_tensor_dtype(b->indices), (double)b->a->padding);
    return cbm_cast(cbm_not_equal(b->indices, number), dtype);
}

/* g divided by how many indices of each bag count. */
static cbm_tensor *mean_of(const bags *b, cbm_tensor *g)
{
    const int64_t n = cbm_tensor_size(g, 0);
    cbm_tensor *each = counting(b, cbm_tensor_dtype(g)), *sizes;
    if (b->bag)
        sizes = cbm_index_add(cbm_zeros(cbm_tensor_context(g), cbm_tensor_dtype(g), CBM_SHAPE(n)), 0, b->bag, each, 1);
    else
        sizes = cbm_sum_over(cbm_reshape(each, CBM_SHAPE(n, b->length)), CBM_SHAPE(1), false);
    return cbm_div(g, cbm_unsqueeze(cbm_maximum(sizes, cbm_number_like(sizes, 1)), 1));
}

/* Each maximum's gradient goes to the row that it came from; an empty bag has none (-1). */
static void max_vjp(cbm_vjp *v)
{
    cbm_tensor *place = v->out[1], *g = v->out_gradient[0];
    cbm_tensor *none = cbm_scalar(v->cx, CBM_I64, 0), *real = cbm_greater_equal(place, none);
    v->in_gradient[WEIGHT] = cbm_scatter_add(cbm_zeros_like(v->in[WEIGHT]), 0, cbm_where(real, place, none),
                                             cbm_where(real, g, cbm_number_like(g, 0)));
}

static void bag_vjp(cbm_vjp *v)
{
    const cbm_bag_attributes *a = v->attributes;
    const size_t factors = a->fixed ? REST : REST + 1;
    cbm_tensor *weight = v->in[WEIGHT], *g = v->out_gradient[0];
    if (g == NULL)
        return;
    if (a->mode == CBM_BAG_MAX) {
        max_vjp(v);
        return;
    }
    bags b = { .a = a, .count = cbm_tensor_count(v->in[INDICES]) };
    b.indices = cbm_reshape(v->in[INDICES], CBM_SHAPE(b.count));
    b.length = a->fixed ? cbm_tensor_size(v->in[INDICES], 1) : 0;
    if (!a->fixed) {
        const cbm_bag_of_attributes of = { b.count };
        const int64_t n = cbm_tensor_size(g, 0);
        b.bag = cbm_apply1(&bag_of_op, a->last ? cbm_slice(v->in[REST], 0, 0, n, 1) : v->in[REST], &of);
    }
    cbm_tensor *rows = spread(&b, a->mode == CBM_BAG_MEAN ? mean_of(&b, g) : g);
    cbm_tensor *scaled = rows;
    if (a->weighted)
        scaled = cbm_mul(rows, cbm_reshape(v->in[factors], CBM_SHAPE(b.count, 1)));
    if (v->needed[WEIGHT])
        v->in_gradient[WEIGHT] = rows_added(b.indices, scaled, cbm_tensor_size(weight, 0), a->padding);
    if (!a->weighted || !v->needed[factors])
        return;
    const cbm_embedding_attributes e = { a->padding };
    cbm_tensor *read = cbm_apply2(&embedding_op, b.indices, weight, &e);
    cbm_tensor *each =
        cbm_mul(cbm_sum_over(cbm_mul(rows, read), CBM_SHAPE(1), false), counting(&b, cbm_tensor_dtype(g)));
    v->in_gradient[factors] = cbm_reshape(each, cbm_tensor_shape(v->in[factors]));
}

static void bag_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    const double rows = (double)shapes->in[INDICES].count, columns = (double)shapes->in[WEIGHT].shape[1];
    cost->flops = rows * columns;
    cost->bytes = (rows * columns + (double)shapes->out[0].count) * (double)cbm_dtype_size(shapes->out[0].dtype);
}

static const cbm_attribute bag_fields[] = {
    CBM_FIELD(cbm_bag_attributes, mode, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_bag_attributes, fixed, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_bag_attributes, weighted, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_bag_attributes, last, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_bag_attributes, padding, CBM_ATTRIBUTE_INT, false),
};
static const cbm_bag_attributes sum = { CBM_BAG_SUM, 1, 0, 0, -1 }, mean = { CBM_BAG_MEAN, 1, 0, 0, 2 },
                                max = { CBM_BAG_MAX, 1, 0, 0, 1 }, weighted = { CBM_BAG_SUM, 1, 1, 0, 1 },
                                piece_sum = { CBM_BAG_SUM, 0, 0, 0, -1 }, piece_mean = { CBM_BAG_MEAN, 0, 0, 0, -1 },
                                piece_max = { CBM_BAG_MAX, 0, 0, 0, -1 }, piece_weighted = { CBM_BAG_SUM, 0, 1, 1, 0 };
#define TABLE CBM_DISTINCT(-2, 2, 5, 3)
#define BAGS CBM_INDICES(0, 4, 3, 4)
#define PIECES CBM_INDICES(0, 4, 6)
#define OFFSETS CBM_INDICES(0, 0, 2)
static const cbm_sample bag_samples[] = {
    { .n_in = 2, .in = { TABLE, BAGS }, .attributes = &sum },
    { .n_in = 2, .in = { TABLE, BAGS }, .attributes = &mean },
    { .n_in = 2, .in = { TABLE, BAGS }, .attributes = &max },
    { .n_in = 3, .in = { TABLE, BAGS, CBM_FLOATS(-2, 2, 3, 4) }, .attributes = &weighted },
    { .n_in = 3, .in = { TABLE, PIECES, OFFSETS }, .attributes = &piece_sum },
    { .n_in = 3, .in = { TABLE, PIECES, OFFSETS }, .attributes = &piece_mean },
    { .n_in = 3, .in = { TABLE, PIECES, OFFSETS }, .attributes = &piece_max },
    { .n_in = 4,
      .in = { TABLE, { CBM_DIMS(0), CBM_I32, 0, 4, false }, OFFSETS, CBM_FLOATS(-2, 2, 0) },
      .attributes = &piece_weighted },
};
static const cbm_op bag_op = {
    CBM_OP_RECORD("embedding_bag"),
    .formula =
        "y[b, :] = sum, mean or max over the indices of bag b of weight[index, :] (sum: times their factors); and "
        "the rows that gave the maxima, -1 for an empty bag",
    .n_in = -1,
    .n_out = 2,
    .flags = CBM_OP_CHECKS,
    .saves =
        CBM_SAVES_IN(WEIGHT) | CBM_SAVES_IN(INDICES) | CBM_SAVES_IN(REST) | CBM_SAVES_IN(REST + 1) | CBM_SAVES_OUT(1),
    .attributes_size = sizeof(cbm_bag_attributes),
    .attributes = bag_fields,
    .n_attributes = CBM_COUNTOF(bag_fields),
    .infer = bag_infer,
    .vjp = bag_vjp,
    .cost = bag_cost,
    CBM_SAMPLES(bag_samples),
};

const cbm_op *const cbm_ops_embedding[] = { &embedding_op, &embedding_backward_op, &bag_of_op, &bag_op, NULL };

/* ---- public functions ---- */

cbm_tensor *cbm_embedding(cbm_tensor *indices, cbm_tensor *weight, int64_t padding_idx)
{
    const cbm_embedding_attributes a = { padding_idx };
    return cbm_apply2(&embedding_op, indices, weight, &a);
}

cbm_tensor *cbm_embedding_bag_with(cbm_tensor *indices, cbm_tensor *weight, const cbm_embedding_bag_options *options)
{
    cbm_context *cx = cbm_tensor_context(indices);
    cbm_embedding_bag_options o = { .struct_size = sizeof o, .mode = CBM_BAG_MEAN, .padding_idx = CBM_NO_PADDING };
    cbm_tensor *in[4] = { weight, indices }, *out[CBM_MAX_OUTPUTS] = { NULL };
    cbm_read_options(&o, sizeof o, options);
    if (!cbm_usable(cx, indices))
        return cbm_no_result(indices, "embedding_bag");
    const int64_t rank = cbm_tensor_rank(indices);
    if (o.offsets == NULL && rank != 2)
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[embedding_bag] indices of %lld dimensions without offsets",
                               (long long)rank);
    const cbm_bag_attributes a = { .mode = o.mode > CBM_BAG_MAX ? CBM_BAG_MAX + 1 : (int64_t)o.mode,
                                   .fixed = o.offsets == NULL,
                                   .weighted = o.per_sample_weights != NULL,
                                   .last = o.offsets != NULL && o.include_last_offset,
                                   .padding = o.padding_idx };
    size_t n = 2;
    if (o.offsets)
        in[n++] = o.offsets;
    if (o.per_sample_weights)
        in[n++] = o.per_sample_weights;
    cbm_tensor *y = cbm_apply(cx, &bag_op, in, n, &a, out);
    if (!cbm_tensor_failed(y))
        cbm_release(out[1]); /* backward's */
    return y;
}
