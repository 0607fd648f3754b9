/* scatter.c: scatter and scatter_reduce: elements put, or reduced, into places that an index names for each of them. Which
   of several for one place stayed is an operation of its own, for gradients. Rests on op/families.h. */
#include "op/families.h"

static const cbm_attribute axis_fields[] = {
    CBM_FIELD(cbm_axis_attributes, axis, CBM_ATTRIBUTE_INT, false),
};

/* x, index, source as scatter's operations take them. */
static bool operands_fit(cbm_infer *infer)
{
    infer->out_shape[0] = infer->in_shape[0];
    infer->out_dtype[0] = infer->in_dtype[0];
    if (infer->in_dtype[2] != infer->in_dtype[0])
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE, "x holds %s, source %s. HINT: convert one with cbm_cast",
                              cbm_dtype_name(infer->in_dtype[0]), cbm_dtype_name(infer->in_dtype[2]));
    return cbm_rule_index_fits(infer) && cbm_rule_shape(infer, 2, "source", &infer->in_shape[1]);
}

/* ---- scatter_last: which entries of an index are the last ones for their place ---- */
static bool last_infer(cbm_infer *infer)
{
    char text[160];
    const cbm_scatter_last_attributes *a = infer->attributes;
    infer->out_shape[0] = infer->in_shape[0];
    infer->out_dtype[0] = CBM_BOOL;
    if (!cbm_rule_index_dtype(infer, 0, "index"))
        return false;
    return (a->axis >= 0 && a->axis < infer->in_shape[0].v[0] && a->extent >= 0) ||
           cbm_infer_fail(infer, CBM_ERROR_SHAPE, "there is no axis %lld in shape %s", (long long)a->axis,
                          cbm_shape_text(&infer->in_shape[0], text, sizeof text));
}

static const cbm_attribute last_fields[] = {
    CBM_FIELD(cbm_scatter_last_attributes, axis, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_scatter_last_attributes, extent, CBM_ATTRIBUTE_INT, false),
};
static const cbm_scatter_last_attributes vector_of_4 = { 0, 4 }, rows_of_3 = { 0, 3 }, inside_of_5 = { 1, 5 };
static const cbm_sample last_samples[] = {
    { .n_in = 1, .in = { CBM_INDICES(0, 3, 9) }, .attributes = &vector_of_4 },
    { .n_in = 1, .in = { CBM_INDICES(0, 2, 5, 4) }, .attributes = &rows_of_3 },
    { .n_in = 1, .in = { { CBM_DIMS(2, 7, 3), CBM_I32, 0, 4, false } }, .attributes = &inside_of_5 },
    { .n_in = 1, .in = { CBM_INDICES(0, 3, 0) }, .attributes = &vector_of_4 },
};
static const cbm_op last_op = {
    CBM_OP_RECORD("scatter_last"),
    .formula = "whether no later index along the axis names the same place (places are 0 to extent - 1)",
    .n_in = 1,
    .n_out = 1,
    .flags = CBM_OP_CHECKS,
    .attributes_size = sizeof(cbm_scatter_last_attributes),
    .attributes = last_fields,
    .n_attributes = CBM_COUNTOF(last_fields),
    .infer = last_infer,
    CBM_SAMPLES(last_samples),
};

cbm_tensor *cbm_scatter_last(cbm_tensor *index, int64_t axis, int64_t extent)
{
    const cbm_scatter_last_attributes a = { axis, extent };
    return cbm_apply1(&last_op, index, &a);
}

/* ---- scatter ---- */
static bool scatter_infer(cbm_infer *infer)
{
    return operands_fit(infer);
}

/* x's gradient is 0 where something came; source's where it was not the last. */
static void scatter_vjp(cbm_vjp *v)
{
    const int64_t axis = ((const cbm_axis_attributes *)v->attributes)->axis;
    cbm_tensor *g = v->out_gradient[0], *index = v->in[1];
    if (v->needed[0])
        v->in_gradient[0] = cbm_scatter(g, axis, index, cbm_zeros_like(v->in[2]));
    if (v->needed[2]) {
        cbm_tensor *stayed = cbm_scatter_last(index, axis, cbm_tensor_size(v->in[0], axis));
        v->in_gradient[2] = cbm_where(stayed, cbm_gather(g, axis, index), cbm_number_like(g, 0));
    }
}

static const cbm_op scatter_op = {
    CBM_OP_RECORD("scatter"),
    .formula = "x, but y[i, index[i, j, k], k] = source[i, j, k], the last of several (axis 1)",
    .n_in = 3,
    .n_out = 1,
    .flags = CBM_OP_CHECKS,
    .saves = CBM_SAVES_IN(1),
    .attributes_size = sizeof(cbm_axis_attributes),
    .attributes = axis_fields,
    .n_attributes = CBM_COUNTOF(axis_fields),
    .infer = scatter_infer,
    .vjp = scatter_vjp,
    .differentiable_in = 5,
    CBM_SAMPLES(cbm_scatter_samples),
};

/* ---- scatter_reduce ---- */
static bool reduce_infer(cbm_infer *infer)
{
    const cbm_scatter_reduce_attributes *a = infer->attributes;
    if (a->how < CBM_SCATTER_SUM || a->how > CBM_SCATTER_AMIN)
        return cbm_infer_fail(infer, CBM_ERROR_INVALID, "there is no reduction %lld", (long long)a->how);
    if (infer->in_dtype[0] == CBM_BOOL)
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE, "no reductions of bool. HINT: convert it with cbm_cast");
    if (a->how == CBM_SCATTER_MEAN && !cbm_rule_floating(infer, 0))
        return false;
    return operands_fit(infer);
}

static cbm_tensor *as_number(cbm_tensor *condition, cbm_tensor *like)
{
    return cbm_cast(condition, cbm_tensor_dtype(like));
}

static cbm_tensor *is_number(cbm_tensor *x, double value)
{
    return cbm_equal(x, cbm_scalar(cbm_tensor_context(x), cbm_tensor_dtype(x), value));
}

/* x where condition holds, else the number. */
static cbm_tensor *x_or(cbm_tensor *condition, cbm_tensor *x, double value)
{
    return cbm_where(condition, x, cbm_number_like(x, value));
}

typedef struct backward {
    cbm_vjp *v;
    int64_t axis;
    bool self; /* include_self */
    cbm_tensor *x, *index, *source, *y, *g;
} backward;

/* Zero where something came, g elsewhere: x's gradient when it gives way. */
static cbm_tensor *where_nothing_came(const backward *b)
{
    return cbm_scatter(b->g, b->axis, b->index, cbm_zeros_like(b->source));
}

/* How many there are at each place, counted by elements of x and of source; at least 1. */
static cbm_tensor *counted(const backward *b, cbm_tensor *of_x, cbm_tensor *of_source)
{
    cbm_tensor *n = cbm_scatter_add(b->self ? of_x : cbm_zeros_like(b->x), b->axis, b->index, of_source);
    return cbm_maximum(n, cbm_number_like(n, 1));
}

static void mean_vjp(const backward *b)
{
    cbm_context *cx = b->v->cx;
    cbm_tensor *one = cbm_ones(cx, cbm_tensor_dtype(b->x), cbm_tensor_shape(b->x));
    cbm_tensor *each = cbm_ones(cx, cbm_tensor_dtype(b->x), cbm_tensor_shape(b->source));
    cbm_tensor *share = cbm_div(b->g, counted(b, one, each));
    b->v->in_gradient[0] = b->self ? share : where_nothing_came(b);
    b->v->in_gradient[2] = cbm_gather(share, b->axis, b->index);
}

static void extreme_vjp(const backward *b)
{
    cbm_tensor *hit = as_number(cbm_equal(b->x, b->y), b->x);
    cbm_tensor *source_hit = as_number(cbm_equal(b->source, cbm_gather(b->y, b->axis, b->index)), b->x);
    cbm_tensor *share = cbm_div(b->g, counted(b, hit, source_hit));
    b->v->in_gradient[0] = b->self ? cbm_mul(hit, share) : where_nothing_came(b);
    b->v->in_gradient[2] = cbm_mul(source_hit, cbm_gather(share, b->axis, b->index));
}

/* One factor's gradient: the product of the others. With `zeros` factors 0 at its place and `others` the product of those
   that are not: others / x without any, others for the only one. */
static cbm_tensor *factor_gradient(cbm_tensor *x, cbm_tensor *zeros, cbm_tensor *others)
{
    cbm_tensor *is_zero = is_number(x, 0);
    cbm_tensor *safe = cbm_where(is_zero, cbm_number_like(x, 1), x);
    return cbm_where(is_zero, x_or(is_number(zeros, 1), others, 0),
                     x_or(is_number(zeros, 0), cbm_div(others, safe), 0));
}

static void prod_vjp(const backward *b)
{
    cbm_tensor *x_zero = is_number(b->x, 0), *source_zero = is_number(b->source, 0);
    cbm_tensor *zeros = b->self ? as_number(x_zero, b->x) : cbm_zeros_like(b->x);
    zeros = cbm_scatter_add(zeros, b->axis, b->index, as_number(source_zero, b->x));
    cbm_tensor *safe_x = cbm_where(x_zero, cbm_number_like(b->x, 1), b->x);
    cbm_tensor *safe_source = cbm_where(source_zero, cbm_number_like(b->x, 1), b->source);
    cbm_tensor *rest = cbm_scatter_reduce(safe_x, b->axis, b->index, safe_source, CBM_SCATTER_PROD, b->self);
    cbm_tensor *others = cbm_mul(b->g, rest);
    b->v->in_gradient[0] = b->self ? factor_gradient(b->x, zeros, others) : where_nothing_came(b);
    b->v->in_gradient[2] =
        factor_gradient(b->source, cbm_gather(zeros, b->axis, b->index), cbm_gather(others, b->axis, b->index));
}

static void reduce_vjp(cbm_vjp *v)
{
    const cbm_scatter_reduce_attributes *a = v->attributes;
    const backward b = {
        v, a->axis, a->include_self != 0, v->in[0], v->in[1], v->in[2], v->out[0], v->out_gradient[0]
    };
    switch (a->how) {
    case CBM_SCATTER_SUM:
        v->in_gradient[0] = b.self ? b.g : where_nothing_came(&b);
        v->in_gradient[2] = cbm_gather(b.g, b.axis, b.index);
        return;
    case CBM_SCATTER_MEAN: mean_vjp(&b); return;
    case CBM_SCATTER_PROD: prod_vjp(&b); return;
    default: extreme_vjp(&b);
    }
}

static const cbm_attribute reduce_fields[] = {
    CBM_FIELD(cbm_scatter_reduce_attributes, axis, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_scatter_reduce_attributes, how, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_scatter_reduce_attributes, include_self, CBM_ATTRIBUTE_INT, false),
};
static const cbm_scatter_reduce_attributes sum = { 1, CBM_SCATTER_SUM, 1 }, sum_of = { 0, CBM_SCATTER_SUM, 0 },
                                           prod = { 1, CBM_SCATTER_PROD, 1 }, prod_of = { 0, CBM_SCATTER_PROD, 0 },
                                           mean = { 1, CBM_SCATTER_MEAN, 1 }, mean_of = { 0, CBM_SCATTER_MEAN, 0 },
                                           amax = { 1, CBM_SCATTER_AMAX, 1 }, amax_of = { 0, CBM_SCATTER_AMAX, 0 },
                                           amin = { 1, CBM_SCATTER_AMIN, 1 }, amin_of = { 0, CBM_SCATTER_AMIN, 0 };
#define INSIDE(a_)                                                                                                     \
    {                                                                                                                  \
        .n_in = 3, .in = { CBM_DISTINCT(1, 2, 2, 4, 2), CBM_INDICES(0, 3, 2, 5, 2), CBM_DISTINCT(0.5, 1.5, 2, 5, 2) }, \
        .attributes = &(a_)                                                                                            \
    }
#define ROWS(a_)                                                                                                       \
    {                                                                                                                  \
        .n_in = 3,                                                                                                     \
        .in = { CBM_DISTINCT(-2, -1, 4, 3), { CBM_DIMS(5, 2), CBM_I32, 0, 2, false }, CBM_DISTINCT(0.5, 1.5, 5, 2) },  \
        .attributes = &(a_)                                                                                            \
    }
#define WHOLE(a_)                                                                                                      \
    {                                                                                                                  \
        .n_in = 3, .in = { CBM_INDICES(-9, 9, 1, 7), CBM_INDICES(0, 6, 1, 9), CBM_INDICES(-9, 9, 1, 9) },              \
        .attributes = &(a_)                                                                                            \
    }
static const cbm_sample reduce_samples[] = {
    INSIDE(sum),   INSIDE(prod),  INSIDE(mean),  INSIDE(amax), INSIDE(amin), ROWS(sum_of), ROWS(prod_of),
    ROWS(mean_of), ROWS(amax_of), ROWS(amin_of), WHOLE(sum),   WHOLE(prod),  WHOLE(amax),  WHOLE(amin),
};
static const cbm_op reduce_op = {
    CBM_OP_RECORD("scatter_reduce"),
    .formula = "x, but y[i, index[i, j, k], k] is reduced with source[i, j, k] (axis 1)",
    .n_in = 3,
    .n_out = 1,
    .flags = CBM_OP_CHECKS,
    .saves = CBM_SAVES_IN(0) | CBM_SAVES_IN(1) | CBM_SAVES_IN(2) | CBM_SAVES_OUT(0),
    .attributes_size = sizeof(cbm_scatter_reduce_attributes),
    .attributes = reduce_fields,
    .n_attributes = CBM_COUNTOF(reduce_fields),
    .infer = reduce_infer,
    .vjp = reduce_vjp,
    .differentiable_in = 5,
    CBM_SAMPLES(reduce_samples),
};

const cbm_op *const cbm_ops_scatter[] = { &last_op, &scatter_op, &reduce_op, NULL };

/* ---- public functions ---- */

cbm_tensor *cbm_scatter(cbm_tensor *x, int64_t axis, cbm_tensor *index, cbm_tensor *source)
{
    cbm_axis_attributes a = { 0 };
    if (!cbm_axis_of("scatter", x, axis, &a.axis))
        return cbm_no_result(x, "scatter");
    return cbm_apply3(&scatter_op, x, index, source, &a);
}

cbm_tensor *cbm_scatter_value(cbm_tensor *x, int64_t axis, cbm_tensor *index, double value)
{
    cbm_context *cx = cbm_tensor_context(x);
    if (!cbm_usable(cx, x) || !cbm_usable(cx, index))
        return cbm_no_result(x, "scatter");
    return cbm_scatter(x, axis, index, cbm_full(cx, cbm_tensor_dtype(x), cbm_tensor_shape(index), value));
}

cbm_tensor *cbm_scatter_reduce(cbm_tensor *x, int64_t axis, cbm_tensor *index, cbm_tensor *source, cbm_scatter_how how,
                               bool include_self)
{
    cbm_scatter_reduce_attributes a = { .how = (int64_t)how, .include_self = include_self };
    if (!cbm_axis_of("scatter_reduce", x, axis, &a.axis))
        return cbm_no_result(x, "scatter_reduce");
    return cbm_apply3(&reduce_op, x, index, source, &a);
}
