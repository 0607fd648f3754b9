/* pad.c: pad (with a number), pad_edge (mirrored, repeated or wrapped) and its gradient. Padding by negative amounts takes
   places away, so pad is its own gradient. Rests on op/families.h. */
#include "op/families.h"

/* The extents of x with these paddings. */
static bool padded_shape(cbm_infer *infer, const cbm_shape *x, const cbm_shape *before, const cbm_shape *after,
                         cbm_shape *y)
{
    char text[160];
    bool good = before->v[0] == x->v[0] && after->v[0] == x->v[0];
    *y = *x;
    for (int64_t i = 1; good && i <= x->v[0]; i++)
        good = !__builtin_add_overflow(x->v[i], before->v[i], &y->v[i]) &&
               !__builtin_add_overflow(y->v[i], after->v[i], &y->v[i]) && y->v[i] >= 0;
    if (good && cbm_shape_count(y) >= 0)
        return true;
    return cbm_infer_fail(infer, CBM_ERROR_SHAPE,
                          "shape %s cannot be padded so: less than nothing is left, or too much",
                          cbm_shape_text(x, text, sizeof text));
}

static void pad_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    cost->flops = 0;
    cost->bytes = (double)(shapes->in[0].count + shapes->out[0].count) * (double)cbm_dtype_size(shapes->out[0].dtype);
}

/* ---- pad ---- */
static bool pad_infer(cbm_infer *infer)
{
    const cbm_pad_attributes *a = infer->attributes;
    infer->out_dtype[0] = infer->in_dtype[0];
    return padded_shape(infer, &infer->in_shape[0], &a->before, &a->after, &infer->out_shape[0]);
}

static const cbm_op pad_op;

static void pad_vjp(cbm_vjp *v)
{
    cbm_pad_attributes back = *(const cbm_pad_attributes *)v->attributes;
    for (int64_t i = 1; i <= back.before.v[0]; i++) {
        back.before.v[i] = -back.before.v[i];
        back.after.v[i] = -back.after.v[i];
    }
    back.value = 0;
    v->in_gradient[0] = cbm_apply1(&pad_op, v->out_gradient[0], &back);
}

static const cbm_attribute pad_fields[] = {
    CBM_FIELD(cbm_pad_attributes, before, CBM_ATTRIBUTE_SHAPE, false),
    CBM_FIELD(cbm_pad_attributes, after, CBM_ATTRIBUTE_SHAPE, false),
    CBM_FIELD(cbm_pad_attributes, value, CBM_ATTRIBUTE_FLOAT, true),
};
static const cbm_pad_attributes around = { CBM_DIMS(1, 2), CBM_DIMS(2, 1), 0 },
                                columns = { CBM_DIMS(0, 1), CBM_DIMS(0, 2), -1.5 },
                                rows = { CBM_DIMS(2, 0, 0), CBM_DIMS(1, 0, 0), 3 },
                                cropped = { CBM_DIMS(-1, 2), CBM_DIMS(1, -3), 0.5 },
                                past = { CBM_DIMS(-5, 0), CBM_DIMS(7, 0), 2 }, scalar = { CBM_DIMS(), CBM_DIMS(), 1 };
static const cbm_sample pad_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 3, 4) }, .attributes = &around },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 3, 4) }, .attributes = &columns },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 3, 2) }, .attributes = &rows },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 3, 4) }, .attributes = &cropped },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 3, 2) }, .attributes = &past },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 0, 2) }, .attributes = &around },
    { .n_in = 1, .in = { CBM_FLOAT(-2, 2) }, .attributes = &scalar },
    { .n_in = 1, .in = { CBM_INDICES(-9, 9, 3, 4) }, .attributes = &columns },
};
static const cbm_op pad_op = {
    CBM_OP_RECORD("pad"),
    .formula = "y[.., i, ..] = x[.., i - before, ..] along each axis; value where that is outside of x",
    .n_in = 1,
    .n_out = 1,
    .attributes_size = sizeof(cbm_pad_attributes),
    .attributes = pad_fields,
    .n_attributes = CBM_COUNTOF(pad_fields),
    .infer = pad_infer,
    .vjp = pad_vjp,
    .cost = pad_cost,
    CBM_SAMPLES(pad_samples),
};

/* ---- pad_edge, pad_edge_backward ---- */

/* Checks the attributes; gives the padded shape. */
static bool edge_shape(cbm_infer *infer, cbm_shape *y)
{
    static const char *const names[] = { "", "reflect", "replicate", "circular" };
    char text[160];
    const cbm_pad_edge_attributes *a = infer->attributes;
    const cbm_shape *x = &a->input_shape;
    if (a->mode < CBM_PAD_REFLECT || a->mode > CBM_PAD_CIRCULAR)
        return cbm_infer_fail(infer, CBM_ERROR_INVALID, "there is no padding mode %lld", (long long)a->mode);
    if (!padded_shape(infer, x, &a->before, &a->after, y))
        return false;
    for (int64_t i = 1; i <= x->v[0]; i++) {
        const int64_t most = a->mode == CBM_PAD_REFLECT    ? x->v[i] - 1
                             : a->mode == CBM_PAD_CIRCULAR ? x->v[i]
                             : x->v[i] > 0                 ? INT64_MAX
                                                           : 0;
        if ((a->before.v[i] > most && a->before.v[i] > 0) || (a->after.v[i] > most && a->after.v[i] > 0))
            return cbm_infer_fail(infer, CBM_ERROR_SHAPE,
                                  "%s: axis %lld of shape %s does not give %lld and %lld places", names[a->mode],
                                  (long long)(i - 1), cbm_shape_text(x, text, sizeof text), (long long)a->before.v[i],
                                  (long long)a->after.v[i]);
    }
    return true;
}

static bool edge_infer(cbm_infer *infer)
{
    const cbm_pad_edge_attributes *a = infer->attributes;
    infer->out_dtype[0] = infer->in_dtype[0];
    return cbm_rule_shape(infer, 0, "x", &a->input_shape) && edge_shape(infer, &infer->out_shape[0]);
}

static bool edge_backward_infer(cbm_infer *infer)
{
    const cbm_pad_edge_attributes *a = infer->attributes;
    cbm_shape y = { { 0 } };
    infer->out_shape[0] = a->input_shape;
    infer->out_dtype[0] = infer->in_dtype[0];
    return cbm_rule_floating(infer, 0) && edge_shape(infer, &y) && cbm_rule_shape(infer, 0, "g", &y);
}

static const cbm_op edge_op, edge_backward_op;

static void edge_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_apply1(&edge_backward_op, v->out_gradient[0], v->attributes);
}

static void edge_backward_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_apply1(&edge_op, v->out_gradient[0], v->attributes);
}

static const cbm_attribute edge_fields[] = {
    CBM_FIELD(cbm_pad_edge_attributes, before, CBM_ATTRIBUTE_SHAPE, false),
    CBM_FIELD(cbm_pad_edge_attributes, after, CBM_ATTRIBUTE_SHAPE, false),
    CBM_FIELD(cbm_pad_edge_attributes, input_shape, CBM_ATTRIBUTE_SHAPE, false),
    CBM_FIELD(cbm_pad_edge_attributes, mode, CBM_ATTRIBUTE_INT, false),
};

/* before, after, x's extents, and the result's */
#define LAST_AXIS(mode_)                                                                                               \
    {                                                                                                                  \
        CBM_DIMS(0, 0, 2), CBM_DIMS(0, 0, 3), CBM_DIMS(2, 3, 4), mode_                                                 \
    }
#define LAST_AXIS_Y 2, 3, 9
#define LAST_TWO(mode_)                                                                                                \
    {                                                                                                                  \
        CBM_DIMS(0, 0, 1, 2), CBM_DIMS(0, 0, 2, 1), CBM_DIMS(2, 1, 3, 4), mode_                                        \
    }
#define LAST_TWO_Y 2, 1, 6, 7
#define LAST_THREE(mode_)                                                                                              \
    {                                                                                                                  \
        CBM_DIMS(0, 1, 0, 1), CBM_DIMS(0, 1, 2, 0), CBM_DIMS(1, 2, 3, 3), mode_                                        \
    }
#define LAST_THREE_Y 1, 4, 5, 4
#define CROPPED(mode_)                                                                                                 \
    {                                                                                                                  \
        CBM_DIMS(1, -1), CBM_DIMS(-2, 2), CBM_DIMS(4, 5), mode_                                                        \
    }
#define CROPPED_Y 3, 6
static const cbm_pad_edge_attributes reflect_1 = LAST_AXIS(CBM_PAD_REFLECT), reflect_2 = LAST_TWO(CBM_PAD_REFLECT),
                                     reflect_3 = LAST_THREE(CBM_PAD_REFLECT), reflect_cut = CROPPED(CBM_PAD_REFLECT),
                                     edge_1 = LAST_AXIS(CBM_PAD_REPLICATE), edge_2 = LAST_TWO(CBM_PAD_REPLICATE),
                                     edge_3 = LAST_THREE(CBM_PAD_REPLICATE), edge_cut = CROPPED(CBM_PAD_REPLICATE),
                                     wrap_1 = LAST_AXIS(CBM_PAD_CIRCULAR), wrap_2 = LAST_TWO(CBM_PAD_CIRCULAR),
                                     wrap_3 = LAST_THREE(CBM_PAD_CIRCULAR), wrap_cut = CROPPED(CBM_PAD_CIRCULAR);
#define FORWARD(a_, ...)                                                                                               \
    {                                                                                                                  \
        .n_in = 1, .in = { CBM_FLOATS(-2, 2, __VA_ARGS__) }, .attributes = &(a_)                                       \
    }
static const cbm_sample edge_samples[] = {
    FORWARD(reflect_1, 2, 3, 4),
    FORWARD(edge_1, 2, 3, 4),
    FORWARD(wrap_1, 2, 3, 4),
    FORWARD(reflect_2, 2, 1, 3, 4),
    FORWARD(edge_2, 2, 1, 3, 4),
    FORWARD(wrap_2, 2, 1, 3, 4),
    FORWARD(reflect_3, 1, 2, 3, 3),
    FORWARD(edge_3, 1, 2, 3, 3),
    FORWARD(wrap_3, 1, 2, 3, 3),
    FORWARD(reflect_cut, 4, 5),
    FORWARD(edge_cut, 4, 5),
    FORWARD(wrap_cut, 4, 5),
    { .n_in = 1, .in = { CBM_INDICES(-9, 9, 2, 3, 4) }, .attributes = &reflect_1 },
};
static const cbm_sample edge_backward_samples[] = {
    FORWARD(reflect_1, LAST_AXIS_Y),  FORWARD(edge_1, LAST_AXIS_Y),  FORWARD(wrap_1, LAST_AXIS_Y),
    FORWARD(reflect_2, LAST_TWO_Y),   FORWARD(edge_2, LAST_TWO_Y),   FORWARD(wrap_2, LAST_TWO_Y),
    FORWARD(reflect_3, LAST_THREE_Y), FORWARD(edge_3, LAST_THREE_Y), FORWARD(wrap_3, LAST_THREE_Y),
    FORWARD(reflect_cut, CROPPED_Y),  FORWARD(edge_cut, CROPPED_Y),  FORWARD(wrap_cut, CROPPED_Y),
};
static const cbm_op edge_op = {
    CBM_OP_RECORD("pad_edge"),
    .formula = "y[.., i, ..] = x[.., m(i - before), ..] along each axis; m leads places outside of x back into it: "
               "mirrored, to the nearest, or modulo n",
    .n_in = 1,
    .n_out = 1,
    .attributes_size = sizeof(cbm_pad_edge_attributes),
    .attributes = edge_fields,
    .n_attributes = CBM_COUNTOF(edge_fields),
    .infer = edge_infer,
    .vjp = edge_vjp,
    .cost = pad_cost,
    CBM_SAMPLES(edge_samples),
};
static const cbm_op edge_backward_op = {
    CBM_OP_RECORD("pad_edge_backward"),
    .formula = "d(sum of g * pad_edge(x)) / dx",
    .n_in = 1,
    .n_out = 1,
    .attributes_size = sizeof(cbm_pad_edge_attributes),
    .attributes = edge_fields,
    .n_attributes = CBM_COUNTOF(edge_fields),
    .infer = edge_backward_infer,
    .vjp = edge_backward_vjp,
    .cost = pad_cost,
    CBM_SAMPLES(edge_backward_samples),
};

const cbm_op *const cbm_ops_pad[] = { &pad_op, &edge_op, &edge_backward_op, NULL };

/* ---- public function ---- */

/* A list for the last axes as one for all of rank axes. */
static cbm_shape for_all(const cbm_shape *list, int64_t rank)
{
    cbm_shape all = { { rank } };
    for (int64_t i = 1; i <= list->v[0]; i++)
        all.v[rank - list->v[0] + i] = list->v[i];
    return all;
}

cbm_tensor *cbm_pad_with(cbm_tensor *x, cbm_shape before, cbm_shape after, const cbm_pad_options *options)
{
    cbm_context *cx = cbm_tensor_context(x);
    cbm_pad_options o = { .struct_size = sizeof o };
    cbm_read_options(&o, sizeof o, options);
    if (!cbm_usable(cx, x))
        return cbm_no_result(x, "pad");
    const int64_t rank = cbm_tensor_rank(x);
    if (before.v[0] < 0 || before.v[0] > rank || after.v[0] != before.v[0])
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID,
                               "[pad] lists of %lld and %lld numbers for %lld axes: as many, and no more than axes",
                               (long long)before.v[0], (long long)after.v[0], (long long)rank);
    if (o.mode > CBM_PAD_CIRCULAR)
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[pad] there is no padding mode %llu",
                               (unsigned long long)o.mode);
    if (o.mode == CBM_PAD_CONSTANT) {
        const cbm_pad_attributes a = { for_all(&before, rank), for_all(&after, rank), o.value };
        return cbm_apply1(&pad_op, x, &a);
    }
    const cbm_pad_edge_attributes a = { for_all(&before, rank), for_all(&after, rank), cbm_tensor_shape(x),
                                        (int64_t)o.mode };
    return cbm_apply1(&edge_op, x, &a);
}
