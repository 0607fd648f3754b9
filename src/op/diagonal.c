/* diagonal.c: triangles and diagonals of matrices: tril, triu, diagonal (a view) and diag_embed, its adjoint. Rests on
   op/families.h. */
#include "op/families.h"

static void copy_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    cost->flops = 0;
    cost->bytes = (double)(shapes->in[0].count + shapes->out[0].count) * (double)cbm_dtype_size(shapes->out[0].dtype);
}

/* ---- tril, triu ---- */
static bool triangle_infer(cbm_infer *infer)
{
    char text[160];
    infer->out_shape[0] = infer->in_shape[0];
    infer->out_dtype[0] = infer->in_dtype[0];
    return infer->in_shape[0].v[0] >= 2 ||
           cbm_infer_fail(infer, CBM_ERROR_SHAPE, "x must have at least 2 dimensions, but its shape is %s",
                          cbm_shape_text(&infer->in_shape[0], text, sizeof text));
}

static void triangle_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_apply1(v->op, v->out_gradient[0], v->attributes);
}

static const cbm_attribute triangle_fields[] = {
    CBM_FIELD(cbm_triangle_attributes, diagonal, CBM_ATTRIBUTE_INT, true),
};
static const cbm_triangle_attributes main_diagonal = { 0 }, above = { 1 }, below = { -2 }, far = { 9 };
static const cbm_sample triangle_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 3, 3) }, .attributes = &main_diagonal },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 3, 4) }, .attributes = &above },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 4, 3) }, .attributes = &below },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 2) }, .attributes = &far },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 0, 2) }, .attributes = &far },
    { .n_in = 1, .in = { CBM_INDICES(-9, 9, 3, 5) }, .attributes = &main_diagonal },
};
#define TRIANGLE(name_, formula_)                                                                                      \
    {                                                                                                                  \
        CBM_OP_RECORD(name_), .formula = (formula_), .n_in = 1, .n_out = 1,                                            \
                              .attributes_size = sizeof(cbm_triangle_attributes), .attributes = triangle_fields,       \
                              .n_attributes = CBM_COUNTOF(triangle_fields), .infer = triangle_infer,                   \
                              .vjp = triangle_vjp, .cost = copy_cost, CBM_SAMPLES(triangle_samples)                    \
    }
static const cbm_op tril_op = TRIANGLE("tril", "column - row <= diagonal ? x : 0");
static const cbm_op triu_op = TRIANGLE("triu", "column - row >= diagonal ? x : 0");

/* ---- diagonal, diag_embed ---- */

/* How long the diagonal is in a matrix of these extents; 0 when it lies outside. */
static int64_t diagonal_length(int64_t rows, int64_t columns, int64_t offset)
{
    if (offset >= columns || -offset >= rows)
        return 0;
    const int64_t down = offset < 0 ? rows + offset : rows, right = offset > 0 ? columns - offset : columns;
    return down < right ? down : right;
}

static bool diagonal_infer(cbm_infer *infer)
{
    char text[160];
    const cbm_diagonal_attributes *a = infer->attributes;
    const cbm_shape *x = &infer->in_shape[0];
    if (a->axis_a < 0 || a->axis_a >= x->v[0] || a->axis_b < 0 || a->axis_b >= x->v[0] || a->axis_a == a->axis_b ||
        a->offset == INT64_MIN)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "%lld and %lld are not two axes of shape %s",
                              (long long)a->axis_a, (long long)a->axis_b, cbm_shape_text(x, text, sizeof text));
    cbm_shape y = { { 0 } };
    for (int64_t d = 0; d < x->v[0]; d++)
        if (d != a->axis_a && d != a->axis_b)
            y.v[++y.v[0]] = x->v[1 + d];
    y.v[++y.v[0]] = diagonal_length(x->v[1 + a->axis_a], x->v[1 + a->axis_b], a->offset);
    infer->out_shape[0] = y;
    infer->out_dtype[0] = infer->in_dtype[0];
    return true;
}

static bool diagonal_view(const void *attributes, const cbm_buffer *in, cbm_buffer *out)
{
    const cbm_diagonal_attributes *a = attributes;
    int64_t n = 0, start = 0;
    for (int64_t d = 0; d < in->rank; d++)
        if (d != a->axis_a && d != a->axis_b)
            out->stride[n++] = in->stride[d];
    out->stride[n] = in->stride[a->axis_a] + in->stride[a->axis_b];
    if (out->shape[n] > 0)
        start = a->offset > 0 ? a->offset * in->stride[a->axis_b] : -a->offset * in->stride[a->axis_a];
    out->data = (void *)((uintptr_t)in->data + (uint64_t)start * cbm_dtype_size(in->dtype));
    return true;
}

static bool diag_embed_infer(cbm_infer *infer)
{
    const cbm_diag_embed_attributes *a = infer->attributes;
    cbm_shape y = infer->in_shape[0];
    if (y.v[0] < 1 || y.v[0] >= CBM_MAX_DIMS)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "x must have 1 to %d dimensions", CBM_MAX_DIMS - 1);
    if (a->rows < 0 || a->columns < 0 || a->offset == INT64_MIN ||
        y.v[y.v[0]] != diagonal_length(a->rows, a->columns, a->offset))
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "%lld elements are not a diagonal %lld of %lld x %lld matrices",
                              (long long)y.v[y.v[0]], (long long)a->offset, (long long)a->rows, (long long)a->columns);
    y.v[y.v[0]++] = a->rows;
    y.v[y.v[0]] = a->columns;
    infer->out_shape[0] = y;
    infer->out_dtype[0] = infer->in_dtype[0];
    return true;
}

static const cbm_op diagonal_op, diag_embed_op;

/* y's last two axes moved to places a and b; the others keep their order. */
static cbm_tensor *to_axes(cbm_tensor *y, int64_t a, int64_t b)
{
    return cbm_movedim(y, CBM_SHAPE(-2, -1), CBM_SHAPE(a, b));
}

static void diagonal_vjp(cbm_vjp *v)
{
    const cbm_diagonal_attributes *a = v->attributes;
    const cbm_diag_embed_attributes e = { a->offset, cbm_tensor_size(v->in[0], a->axis_a),
                                          cbm_tensor_size(v->in[0], a->axis_b) };
    v->in_gradient[0] = to_axes(cbm_apply1(&diag_embed_op, v->out_gradient[0], &e), a->axis_a, a->axis_b);
}

static void diag_embed_vjp(cbm_vjp *v)
{
    const int64_t rank = cbm_tensor_rank(v->out[0]);
    const cbm_diagonal_attributes d = { ((const cbm_diag_embed_attributes *)v->attributes)->offset, rank - 2,
                                        rank - 1 };
    v->in_gradient[0] = cbm_apply1(&diagonal_op, v->out_gradient[0], &d);
}

static const cbm_attribute diagonal_fields[] = {
    CBM_FIELD(cbm_diagonal_attributes, offset, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_diagonal_attributes, axis_a, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_diagonal_attributes, axis_b, CBM_ATTRIBUTE_INT, false),
};
static const cbm_attribute diag_embed_fields[] = {
    CBM_FIELD(cbm_diag_embed_attributes, offset, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_diag_embed_attributes, rows, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_diag_embed_attributes, columns, CBM_ATTRIBUTE_INT, false),
};
static const cbm_diagonal_attributes of_matrix = { 0, 0, 1 }, up = { 1, 0, 1 }, down = { -1, 2, 0 }, away = { 5, 0, 1 };
static const cbm_sample diagonal_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 3, 3) }, .attributes = &of_matrix },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 3, 4) }, .attributes = &up },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 4, 2, 3) }, .attributes = &down },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 3) }, .attributes = &away },
    { .n_in = 1, .in = { CBM_INDICES(-9, 9, 4, 3) }, .attributes = &of_matrix },
};
static const cbm_diag_embed_attributes square = { 0, 3, 3 }, wide = { 1, 2, 4 }, tall = { -2, 5, 4 },
                                       none = { 3, 2, 2 };
static const cbm_sample diag_embed_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 3) }, .attributes = &square },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 2) }, .attributes = &wide },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 1, 3) }, .attributes = &tall },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 0) }, .attributes = &none },
    { .n_in = 1, .in = { CBM_INDICES(-9, 9, 3) }, .attributes = &square },
};
static const cbm_op diagonal_op = {
    CBM_OP_RECORD("diagonal"),
    .formula = "y[.., i] = x at row i and column i + offset (offset < 0: row i - offset, column i) of the two axes",
    .n_in = 1,
    .n_out = 1,
    .flags = CBM_OP_VIEW,
    .attributes_size = sizeof(cbm_diagonal_attributes),
    .attributes = diagonal_fields,
    .n_attributes = CBM_COUNTOF(diagonal_fields),
    .infer = diagonal_infer,
    .vjp = diagonal_vjp,
    .view = diagonal_view,
    .cost = copy_cost,
    CBM_SAMPLES(diagonal_samples),
};
static const cbm_op diag_embed_op = {
    CBM_OP_RECORD("diag_embed"),
    .formula = "y[.., i, i + offset] = x[.., i] (offset < 0: y[.., i - offset, i]), 0 elsewhere",
    .n_in = 1,
    .n_out = 1,
    .attributes_size = sizeof(cbm_diag_embed_attributes),
    .attributes = diag_embed_fields,
    .n_attributes = CBM_COUNTOF(diag_embed_fields),
    .infer = diag_embed_infer,
    .vjp = diag_embed_vjp,
    .cost = copy_cost,
    CBM_SAMPLES(diag_embed_samples),
};

const cbm_op *const cbm_ops_diagonal[] = { &tril_op, &triu_op, &diagonal_op, &diag_embed_op, NULL };

/* ---- public functions ---- */

cbm_tensor *cbm_tril(cbm_tensor *x, int64_t diagonal)
{
    const cbm_triangle_attributes a = { diagonal };
    return cbm_apply1(&tril_op, x, &a);
}

cbm_tensor *cbm_triu(cbm_tensor *x, int64_t diagonal)
{
    const cbm_triangle_attributes a = { diagonal };
    return cbm_apply1(&triu_op, x, &a);
}

cbm_tensor *cbm_diagonal(cbm_tensor *x, int64_t offset, int64_t axis_a, int64_t axis_b)
{
    cbm_diagonal_attributes a = { .offset = offset };
    if (!cbm_axis_of("diagonal", x, axis_a, &a.axis_a) || !cbm_axis_of("diagonal", x, axis_b, &a.axis_b))
        return cbm_no_result(x, "diagonal");
    return cbm_apply1(&diagonal_op, x, &a);
}

cbm_tensor *cbm_diag_embed(cbm_tensor *x, int64_t offset, int64_t axis_a, int64_t axis_b)
{
    cbm_context *cx = cbm_tensor_context(x);
    if (!cbm_usable(cx, x))
        return cbm_no_result(x, "diag_embed");
    const int64_t rank = cbm_tensor_rank(x) + 1;
    int64_t a = 0, b = 0, n = cbm_tensor_size(x, -1);
    if (!cbm_axis_normalise(axis_a, rank, &a) || !cbm_axis_normalise(axis_b, rank, &b) || a == b)
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[diag_embed] %lld and %lld are not two axes of %lld",
                               (long long)axis_a, (long long)axis_b, (long long)rank);
    if (offset == INT64_MIN || __builtin_add_overflow(n, offset < 0 ? -offset : offset, &n))
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[diag_embed] the result has too many elements");
    const cbm_diag_embed_attributes e = { offset, n, n };
    cbm_tensor *y = cbm_apply1(&diag_embed_op, x, &e);
    return cbm_tensor_failed(y) ? y : to_axes(y, a, b);
}

cbm_tensor *cbm_diag(cbm_tensor *x, int64_t offset)
{
    char text[160];
    const cbm_shape shape = cbm_tensor_shape(x);
    if (shape.v[0] == 1)
        return cbm_diag_embed(x, offset, 0, 1);
    if (shape.v[0] == 2)
        return cbm_diagonal(x, offset, 0, 1);
    return cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_SHAPE, "[diag] takes a vector or a matrix, not shape %s",
                           cbm_shape_text(&shape, text, sizeof text));
}
