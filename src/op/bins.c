/* bins.c: places in sorted sequences, counts of numbers, histograms. Rests on op/families.h. */
#include "op/families.h"

#include <math.h>

/* ---- searchsorted ---- */
static bool search_infer(cbm_infer *infer)
{
    char a[160], b[160];
    const cbm_shape *sequences = &infer->in_shape[0], *values = &infer->in_shape[1];
    if (!cbm_rule_same_dtype(infer, 0))
        return false;
    if (infer->in_dtype[0] == CBM_BOOL)
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE, "bool has no order here. HINT: convert it with cbm_cast");
    bool fits = sequences->v[0] == 1 || (sequences->v[0] > 1 && sequences->v[0] == values->v[0]);
    for (int64_t i = 1; fits && i < sequences->v[0]; i++)
        fits = sequences->v[i] == values->v[i];
    if (!fits)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "sequences %s and values %s: one sequence, or one for each row",
                              cbm_shape_text(sequences, a, sizeof a), cbm_shape_text(values, b, sizeof b));
    infer->out_shape[0] = *values;
    infer->out_dtype[0] = CBM_I64;
    return true;
}

static void search_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    double levels = 1;
    for (int64_t n = shapes->in[0].shape[shapes->in[0].rank - 1]; n > 1; n /= 2)
        levels++;
    cost->flops = levels * (double)shapes->in[1].count;
    cost->bytes = (double)(shapes->in[0].count + shapes->in[1].count) * (double)cbm_dtype_size(shapes->in[0].dtype) +
                  (double)shapes->out[0].count * sizeof(int64_t);
}

static const cbm_attribute search_fields[] = {
    CBM_FIELD(cbm_search_attributes, right, CBM_ATTRIBUTE_INT, false),
};
static const cbm_search_attributes left = { 0 }, right = { 1 };
/* Sequences of a sample are as they come: the answer is that of the halving of intervals. */
static const cbm_sample search_samples[] = {
    { .n_in = 2, .in = { CBM_FLOATS(0, 0, 5), CBM_FLOATS(-1, 1, 2, 3) }, .attributes = &left },
    { .n_in = 2, .in = { CBM_INDICES(2, 2, 6), CBM_INDICES(1, 3, 9) }, .attributes = &left },
    { .n_in = 2, .in = { CBM_INDICES(2, 2, 6), CBM_INDICES(1, 3, 9) }, .attributes = &right },
    { .n_in = 2,
      .in = { { CBM_DIMS(2, 4), CBM_I32, 3, 3, false }, { CBM_DIMS(2, 5), CBM_I32, 2, 4, false } },
      .attributes = &right },
    { .n_in = 2, .in = { CBM_FLOATS(0, 1, 0), CBM_FLOAT(0, 1) }, .attributes = &left },
};
static const cbm_op search_op = {
    CBM_OP_RECORD("searchsorted"),
    .formula = "how many elements of the sorted sequence are less than the value (right: or equal to it)",
    .n_in = 2,
    .n_out = 1,
    .attributes_size = sizeof(cbm_search_attributes),
    .attributes = search_fields,
    .n_attributes = CBM_COUNTOF(search_fields),
    .infer = search_infer,
    .cost = search_cost,
    CBM_SAMPLES(search_samples),
};

/* ---- bincount: x, or x and weights ---- */
static bool bincount_infer(cbm_infer *infer)
{
    const cbm_bincount_attributes *a = infer->attributes;
    const cbm_dtype dtype = infer->in_dtype[0];
    if (infer->n_in > 2)
        return cbm_infer_fail(infer, CBM_ERROR_INVALID, "takes x, or x and weights");
    if (dtype != CBM_I64 && dtype != CBM_I32 && dtype != CBM_U8)
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE, "x must hold i64, i32 or u8, not %s. HINT: cbm_cast",
                              cbm_dtype_name(dtype));
    if (!cbm_rule_rank(infer, 0, "x", 1))
        return false;
    if (a->bins < 0)
        return cbm_infer_fail(infer, CBM_ERROR_INVALID, "%lld bins", (long long)a->bins);
    infer->out_shape[0] = (cbm_shape){ { 1, a->bins } };
    infer->out_dtype[0] = infer->n_in > 1 ? infer->in_dtype[1] : CBM_I64;
    return infer->n_in == 1 ||
           (cbm_rule_floating(infer, 1) && cbm_rule_shape(infer, 1, "weights", &infer->in_shape[0]));
}

static void bincount_vjp(cbm_vjp *v)
{
    cbm_tensor *index = cbm_tensor_dtype(v->in[0]) == CBM_U8 ? cbm_cast(v->in[0], CBM_I64) : v->in[0];
    v->in_gradient[1] = cbm_index_select(v->out_gradient[0], 0, index);
}

static const cbm_attribute bincount_fields[] = {
    CBM_FIELD(cbm_bincount_attributes, bins, CBM_ATTRIBUTE_INT, false),
};
static const cbm_bincount_attributes five = { 5 }, three_hundred = { 300 };
static const cbm_sample bincount_samples[] = {
    { .n_in = 1, .in = { CBM_INDICES(0, 4, 12) }, .attributes = &five },
    { .n_in = 1, .in = { { CBM_DIMS(40), CBM_U8, 0, 255, false } }, .attributes = &three_hundred },
    { .n_in = 1, .in = { { CBM_DIMS(9), CBM_I32, 0, 3, false } }, .attributes = &five },
    { .n_in = 1, .in = { CBM_INDICES(0, 4, 0) }, .attributes = &five },
    { .n_in = 2, .in = { CBM_INDICES(0, 3, 9), CBM_FLOATS(-2, 2, 9) }, .attributes = &five },
    { .n_in = 2, .in = { { CBM_DIMS(7), CBM_U8, 0, 4, false }, CBM_FLOATS(-2, 2, 7) }, .attributes = &five },
};
static const cbm_op bincount_op = {
    CBM_OP_RECORD("bincount"),
    .formula = "y[v] = number of x equal to v, or the sum of their weights",
    .n_in = -1,
    .n_out = 1,
    .flags = CBM_OP_CHECKS,
    .saves = CBM_SAVES_IN(0),
    .attributes_size = sizeof(cbm_bincount_attributes),
    .attributes = bincount_fields,
    .n_attributes = CBM_COUNTOF(bincount_fields),
    .infer = bincount_infer,
    .vjp = bincount_vjp,
    CBM_SAMPLES(bincount_samples),
};

/* ---- histogram: x and edges, or x, edges and weights ---- */
static bool histogram_infer(cbm_infer *infer)
{
    if (infer->n_in < 2 || infer->n_in > 3)
        return cbm_infer_fail(infer, CBM_ERROR_INVALID, "takes x and edges, and perhaps weights");
    if (!cbm_rule_floating(infer, 0) || !cbm_rule_same_dtype(infer, 0) || !cbm_rule_rank(infer, 1, "edges", 1))
        return false;
    if (infer->in_shape[1].v[1] < 2)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "%lld edges make no bin", (long long)infer->in_shape[1].v[1]);
    infer->out_shape[0] = (cbm_shape){ { 1, infer->in_shape[1].v[1] - 1 } };
    return infer->n_in == 2 || cbm_rule_shape(infer, 2, "weights", &infer->in_shape[0]);
}

static const cbm_sample histogram_samples[] = {
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 3, 4), CBM_FLOATS(1, 1, 2) } },
    { .n_in = 3, .in = { CBM_FLOATS(1, 1, 5), CBM_FLOATS(1, 1, 4), CBM_FLOATS(-2, 2, 5) } },
};
static const cbm_op histogram_op = {
    CBM_OP_RECORD("histogram"),
    .formula = "number of x, or sum of their weights, with edges[i] <= x < edges[i + 1] (the last bin: <=)",
    .n_in = -1,
    .n_out = 1,
    .flags = CBM_OP_CHECKS,
    .infer = histogram_infer,
    CBM_SAMPLES(histogram_samples),
};

const cbm_op *const cbm_ops_bins[] = { &search_op, &bincount_op, &histogram_op, NULL };

/* ---- public functions ---- */

cbm_tensor *cbm_searchsorted(cbm_tensor *sequences, cbm_tensor *values, bool on_the_right)
{
    const cbm_search_attributes a = { on_the_right };
    return cbm_apply2(&search_op, sequences, values, &a);
}

cbm_tensor *cbm_bucketize(cbm_tensor *values, cbm_tensor *boundaries, bool on_the_right)
{
    char text[160];
    cbm_context *cx = cbm_tensor_context(values);
    if (!cbm_usable(cx, values) || !cbm_usable(cx, boundaries))
        return cbm_no_result(values, "bucketize");
    const cbm_shape shape = cbm_tensor_shape(boundaries);
    if (shape.v[0] != 1)
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[bucketize] boundaries must be a vector, not of shape %s",
                               cbm_shape_text(&shape, text, sizeof text));
    return cbm_searchsorted(boundaries, values, on_the_right);
}

cbm_tensor *cbm_bincount_with(cbm_tensor *x, const cbm_bincount_options *options)
{
    cbm_context *cx = cbm_tensor_context(x);
    cbm_bincount_options o = { .struct_size = sizeof o };
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    cbm_read_options(&o, sizeof o, options);
    if (!cbm_usable(cx, x) || (o.weights && !cbm_usable(cx, o.weights)))
        return cbm_no_result(x, "bincount");
    if (o.bins < 0 || o.minlength < 0)
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[bincount] %lld bins, at least %lld", (long long)o.bins,
                               (long long)o.minlength);
    cbm_bincount_attributes a = { o.bins };
    const cbm_dtype dtype = cbm_tensor_dtype(x);
    if (a.bins == 0 && (dtype == CBM_I64 || dtype == CBM_I32 || dtype == CBM_U8)) {
        a.bins = cbm_number_above(x, o.minlength);
        if (a.bins < 0)
            return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[bincount] too many bins");
    }
    cbm_tensor *const in[] = { x, o.weights };
    return cbm_apply(cx, &bincount_op, in, o.weights ? 2 : 1, &a, out);
}

/* Counts over the sum of counts and their bins' widths. */
static cbm_tensor *density_of(cbm_tensor *counts, cbm_tensor *edges)
{
    const int64_t bins = cbm_tensor_count(counts);
    cbm_tensor *widths = cbm_sub(cbm_slice(edges, 0, 1, bins + 1, 1), cbm_slice(edges, 0, 0, bins, 1));
    return cbm_div(counts, cbm_mul(cbm_sum_with(counts, NULL), widths));
}

cbm_tensor *cbm_histogram_edges_with(cbm_tensor *x, cbm_tensor *edges, const cbm_histogram_options *options)
{
    cbm_context *cx = cbm_tensor_context(x);
    cbm_histogram_options o = { .struct_size = sizeof o };
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    cbm_read_options(&o, sizeof o, options);
    if (!cbm_usable(cx, x) || !cbm_usable(cx, edges) || (o.weights && !cbm_usable(cx, o.weights)))
        return cbm_no_result(x, "histogram");
    cbm_tensor *const in[] = { x, edges, o.weights };
    cbm_tensor *counts = cbm_apply(cx, &histogram_op, in, o.weights ? 3 : 2, NULL, out);
    return o.density && !cbm_tensor_failed(counts) ? density_of(counts, edges) : counts;
}

/* The bins + 1 edges of equal bins between low and high, which may be tensors. */
static cbm_tensor *edges_between(cbm_context *cx, cbm_dtype dtype, int64_t bins, cbm_tensor *low, cbm_tensor *high)
{
    cbm_tensor *number = cbm_counting(cx, bins + 1, CBM_F64);
    cbm_tensor *part = cbm_cast(cbm_mul_scalar(number, 1 / (double)bins), dtype);
    cbm_tensor *rest = cbm_cast(cbm_add_scalar(cbm_mul_scalar(number, -1 / (double)bins), 1), dtype);
    return cbm_add(cbm_mul(low, rest), cbm_mul(high, part)); /* both ends exactly */
}

cbm_tensor *cbm_histogram_with(cbm_tensor *x, int64_t bins, cbm_tensor **edges, const cbm_histogram_options *options)
{
    cbm_context *cx = cbm_tensor_context(x);
    cbm_histogram_options o = { .struct_size = sizeof o };
    cbm_read_options(&o, sizeof o, options);
    if (edges)
        *edges = &cx->failed;
    if (!cbm_usable(cx, x))
        return cbm_no_result(x, "histogram");
    if (bins < 1 || bins > INT32_MAX)
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[histogram] %lld bins", (long long)bins);
    if (!isfinite(o.low) || !isfinite(o.high) || o.low > o.high)
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[histogram] from %g to %g is not a range", o.low, o.high);
    const cbm_dtype dtype = cbm_tensor_dtype(x);
    if (!cbm_is_floating(dtype))
        return cbm_fail_tensor(cx, CBM_ERROR_DTYPE,
                               "[histogram] x holds %s, but must be f32, f64 or bf16. HINT: cbm_cast",
                               cbm_dtype_name(dtype));
    cbm_tensor *low = cbm_scalar(cx, dtype, o.low), *high = cbm_scalar(cx, dtype, o.high);
    if (o.low == o.high && cbm_tensor_count(x) > 0) {
        cbm_tensor *flat = cbm_detach(x);
        high = cbm_max_with(flat, NULL);
        low = cbm_neg(cbm_max_with(cbm_neg(flat), NULL));
        cbm_tensor *same = cbm_equal(low, high);
        low = cbm_where(same, cbm_add_scalar(low, -0.5), low);
        high = cbm_where(same, cbm_add_scalar(high, 0.5), high);
    } else if (o.low == o.high) {
        high = cbm_scalar(cx, dtype, o.low + 1);
    }
    cbm_tensor *at = edges_between(cx, dtype, bins, low, high);
    cbm_tensor *counts = cbm_histogram_edges_with(x, at, &o);
    if (edges && !cbm_tensor_failed(counts))
        *edges = at;
    return counts;
}
