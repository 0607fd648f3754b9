/* roll.c: flip, roll, and quarter turns. Rests on op/families.h. */
#include "op/families.h"

static bool same_infer(cbm_infer *infer)
{
    infer->out_shape[0] = infer->in_shape[0];
    infer->out_dtype[0] = infer->in_dtype[0];
    return true;
}

static void copy_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    cost->flops = 0;
    cost->bytes = 2 * (double)shapes->out[0].count * (double)cbm_dtype_size(shapes->out[0].dtype);
}

/* ---- flip ---- */
static bool flip_infer(cbm_infer *infer)
{
    const cbm_shape *axes = &((const cbm_axes_attributes *)infer->attributes)->axes;
    bool good = axes->v[0] >= 0 && axes->v[0] <= infer->in_shape[0].v[0];
    for (int64_t i = 1; good && i <= axes->v[0]; i++)
        good = axes->v[i] >= 0 && axes->v[i] < infer->in_shape[0].v[0] && (i == 1 || axes->v[i - 1] < axes->v[i]);
    return good ? same_infer(infer) : cbm_infer_fail(infer, CBM_ERROR_SHAPE, "the axes are not x's, in order");
}

static const cbm_op flip_op, roll_op;

static void flip_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_apply1(&flip_op, v->out_gradient[0], v->attributes);
}

static const cbm_attribute flip_fields[] = {
    CBM_FIELD(cbm_axes_attributes, axes, CBM_ATTRIBUTE_SHAPE, false),
};
static const cbm_axes_attributes rows = { CBM_DIMS(0) }, columns = { CBM_DIMS(1) }, both = { CBM_DIMS(0, 1) },
                                 ends = { CBM_DIMS(0, 2) }, none = { CBM_DIMS() };
static const cbm_sample flip_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 3, 4) }, .attributes = &rows },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 3, 4) }, .attributes = &columns },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 3, 4) }, .attributes = &both },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 3, 4) }, .attributes = &ends },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 0, 3) }, .attributes = &columns },
    { .n_in = 1, .in = { CBM_FLOAT(-2, 2) }, .attributes = &none },
    { .n_in = 1, .in = { CBM_INDICES(-9, 9, 2, 7) }, .attributes = &columns },
};
static const cbm_op flip_op = {
    CBM_OP_RECORD("flip"),
    .formula = "y[.., i, ..] = x[.., n - 1 - i, ..] along each of the axes",
    .n_in = 1,
    .n_out = 1,
    .attributes_size = sizeof(cbm_axes_attributes),
    .attributes = flip_fields,
    .n_attributes = CBM_COUNTOF(flip_fields),
    .infer = flip_infer,
    .vjp = flip_vjp,
    .cost = copy_cost,
    CBM_SAMPLES(flip_samples),
};

/* ---- roll ---- */
static bool roll_infer(cbm_infer *infer)
{
    const cbm_shape *shifts = &((const cbm_roll_attributes *)infer->attributes)->shifts, *x = &infer->in_shape[0];
    bool good = shifts->v[0] == x->v[0];
    for (int64_t i = 1; good && i <= x->v[0]; i++)
        good = shifts->v[i] >= 0 && (shifts->v[i] < x->v[i] || shifts->v[i] == 0);
    return good ? same_infer(infer) : cbm_infer_fail(infer, CBM_ERROR_SHAPE, "the shifts are not places of x's axes");
}

static void roll_vjp(cbm_vjp *v)
{
    cbm_roll_attributes back = *(const cbm_roll_attributes *)v->attributes;
    const cbm_shape x = cbm_tensor_shape(v->in[0]);
    for (int64_t i = 1; i <= x.v[0]; i++)
        back.shifts.v[i] = back.shifts.v[i] == 0 ? 0 : x.v[i] - back.shifts.v[i];
    v->in_gradient[0] = cbm_apply1(&roll_op, v->out_gradient[0], &back);
}

static const cbm_attribute roll_fields[] = {
    CBM_FIELD(cbm_roll_attributes, shifts, CBM_ATTRIBUTE_SHAPE, true),
};
static const cbm_roll_attributes by_1_0 = { CBM_DIMS(1, 0) }, by_0_3 = { CBM_DIMS(0, 3) }, by_2_1 = { CBM_DIMS(2, 1) },
                                 by_1_2_3 = { CBM_DIMS(1, 2, 3) }, by_0_0 = { CBM_DIMS(0, 0) },
                                 of_scalar = { CBM_DIMS() }, by_5 = { CBM_DIMS(5) };
static const cbm_sample roll_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 3, 4) }, .attributes = &by_1_0 },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 3, 4) }, .attributes = &by_0_3 },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 3, 4) }, .attributes = &by_2_1 },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 3, 4) }, .attributes = &by_1_2_3 },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 0, 3) }, .attributes = &by_0_0 },
    { .n_in = 1, .in = { CBM_FLOAT(-2, 2) }, .attributes = &of_scalar },
    { .n_in = 1, .in = { CBM_INDICES(-9, 9, 7) }, .attributes = &by_5 },
};
static const cbm_op roll_op = {
    CBM_OP_RECORD("roll"),
    .formula = "y[.., (i + shift) mod n, ..] = x[.., i, ..] along each axis",
    .n_in = 1,
    .n_out = 1,
    .attributes_size = sizeof(cbm_roll_attributes),
    .attributes = roll_fields,
    .n_attributes = CBM_COUNTOF(roll_fields),
    .infer = roll_infer,
    .vjp = roll_vjp,
    .cost = copy_cost,
    CBM_SAMPLES(roll_samples),
};

const cbm_op *const cbm_ops_roll[] = { &flip_op, &roll_op, NULL };

/* ---- public functions ---- */

/* A list of axes of x, each at most once, as marks. */
static bool mark_axes(const char *op, cbm_tensor *x, const cbm_shape *axes, bool *marks)
{
    cbm_context *cx = cbm_tensor_context(x);
    if (!cbm_usable(cx, x))
        return false;
    if (axes->v[0] < 0 || axes->v[0] > CBM_MAX_DIMS) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] a list of %lld axes", op, (long long)axes->v[0]);
        return false;
    }
    for (int64_t i = 1; i <= axes->v[0]; i++) {
        int64_t axis = 0;
        if (!cbm_axis_of(op, x, axes->v[i], &axis))
            return false;
        if (marks[axis]) {
            cbm_fail(cx, CBM_ERROR_INVALID, "[%s] axis %lld is named twice", op, (long long)axis);
            return false;
        }
        marks[axis] = true;
    }
    return true;
}

cbm_tensor *cbm_flip(cbm_tensor *x, cbm_shape axes)
{
    cbm_axes_attributes a = { { { 0 } } };
    bool marks[CBM_MAX_DIMS] = { false };
    if (!mark_axes("flip", x, &axes, marks))
        return cbm_no_result(x, "flip");
    for (int64_t d = 0; d < cbm_tensor_rank(x); d++)
        if (marks[d])
            a.axes.v[++a.axes.v[0]] = d;
    return a.axes.v[0] == 0 ? x : cbm_apply1(&flip_op, x, &a);
}

cbm_tensor *cbm_roll(cbm_tensor *x, cbm_shape shifts, cbm_shape axes)
{
    cbm_context *cx = cbm_tensor_context(x);
    bool marks[CBM_MAX_DIMS] = { false };
    if (!mark_axes("roll", x, &axes, marks))
        return cbm_no_result(x, "roll");
    if (shifts.v[0] != (axes.v[0] == 0 ? 1 : axes.v[0]))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[roll] %lld shifts for %lld axes", (long long)shifts.v[0],
                               (long long)axes.v[0]);
    const cbm_shape shape = cbm_tensor_shape(x);
    if (axes.v[0] == 0) {
        cbm_tensor *flat = cbm_roll(cbm_reshape(x, CBM_SHAPE(cbm_tensor_count(x))), shifts, CBM_SHAPE(0));
        return cbm_reshape(flat, shape);
    }
    cbm_roll_attributes a = { { { shape.v[0] } } };
    for (int64_t i = 1; i <= axes.v[0]; i++) {
        const int64_t axis = axes.v[i] < 0 ? axes.v[i] + shape.v[0] : axes.v[i], extent = shape.v[1 + axis];
        if (extent > 0)
            a.shifts.v[1 + axis] = (shifts.v[i] % extent + extent) % extent;
    }
    return cbm_apply1(&roll_op, x, &a);
}

cbm_tensor *cbm_rot90(cbm_tensor *x, int64_t k, int64_t axis_a, int64_t axis_b)
{
    int64_t a = 0, b = 0;
    if (!cbm_axis_of("rot90", x, axis_a, &a) || !cbm_axis_of("rot90", x, axis_b, &b))
        return cbm_no_result(x, "rot90");
    if (a == b)
        return cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_INVALID, "[rot90] axis %lld is named twice",
                               (long long)a);
    switch ((k % 4 + 4) % 4) {
    case 1: return cbm_transpose(cbm_flip(x, CBM_SHAPE(b)), a, b);
    case 2: return cbm_flip(x, CBM_SHAPE(a, b));
    case 3: return cbm_flip(cbm_transpose(x, a, b), CBM_SHAPE(b));
    default: return x;
    }
}
