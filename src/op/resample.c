/* resample.c: interpolation along one axis, a linear map in which neighbours share each result, and its gradient. What
   people call bilinear or bicubic is this along several axes, one after the other. Rests on op/families.h. */
#include "op/resample.h"
#include "op/families.h"

#include <math.h>

#define LARGEST ((int64_t)1 << 24) /* extents that f32 counts */

/* ---- places ---- */

/* Elements of x from one result to the next. */
static double step_of(const cbm_resample_attributes *a)
{
    if (a->align_corners)
        return a->output > 1 ? (double)(a->input - 1) / (double)(a->output - 1) : 0;
    return a->scale > 0 ? 1 / a->scale : (double)a->input / (double)a->output;
}

/* (i + half) step - less, rounded as numbers of this type are. */
static double place_of(double step, bool single, int64_t i, double half, double less)
{
    if (single)
        return (double)(((float)i + (float)half) * (float)step - (float)less);
    return ((double)i + half) * step - less;
}

static cbm_taps nearest(const cbm_resample_attributes *a, bool single, int64_t i)
{
    const double half = a->mode == CBM_INTERPOLATE_NEAREST_EXACT ? 0.5 : 0;
    const int64_t at = (int64_t)floor(place_of(step_of(a), single, i, half, 0));
    return (cbm_taps){ .first = at < a->input - 1 ? at : a->input - 1, .count = 1, .weight = { 1 } };
}

static cbm_taps linear(const cbm_resample_attributes *a, bool single, int64_t i)
{
    const double centre = a->align_corners ? 0 : 0.5;
    if (a->input == a->output) /* whatever the scale that led to it */
        return (cbm_taps){ .first = i, .count = 1, .weight = { 1 } };
    const double at = fmax(place_of(step_of(a), single, i, centre, centre), 0);
    const int64_t low = (int64_t)fmin(floor(at), (double)(a->input - 1));
    const double part = fmin(at - (double)low, 1);
    if (low == a->input - 1)
        return (cbm_taps){ .first = low, .count = 1, .weight = { 1 } };
    return (cbm_taps){ .first = low, .count = 2, .weight = { 1 - part, part } };
}

/* The kernel of Keys 1981 with a = -3/4, at distance t. */
static double cubic_weight(double t)
{
    const double a = -0.75;
    return t <= 1 ? ((a + 2) * t - (a + 3)) * t * t + 1 : ((a * t - 5 * a) * t + 8 * a) * t - 4 * a;
}

/* Beyond the ends the first and last element go on: their weights join. */
static cbm_taps cubic(const cbm_resample_attributes *a, bool single, int64_t i)
{
    const double centre = a->align_corners ? 0 : 0.5, at = place_of(step_of(a), single, i, centre, centre);
    const double below = fmin(floor(at), (double)(a->input - 1)), part = fmin(fmax(at - below, 0), 1);
    const double weight[4] = { cubic_weight(1 + part), cubic_weight(part), cubic_weight(1 - part),
                               cubic_weight(2 - part) };
    cbm_taps t = { .first = -1 };
    for (int k = 0; k < 4; k++) {
        int64_t place = (int64_t)below - 1 + k;
        place = place < 0 ? 0 : place > a->input - 1 ? a->input - 1 : place;
        if (t.first < 0)
            t.first = place;
        t.weight[place - t.first] += weight[k];
        t.count = place - t.first + 1;
    }
    return t;
}

static cbm_taps area(const cbm_resample_attributes *a, bool single, int64_t i)
{
    const int64_t begin = i * a->input / a->output, end = ((i + 1) * a->input + a->output - 1) / a->output;
    (void)single;
    return (cbm_taps){ .first = begin, .count = end - begin, .even = true, .weight = { 1 / (double)(end - begin) } };
}

static cbm_taps (*const modes[])(const cbm_resample_attributes *a, bool single, int64_t i) = {
    [CBM_INTERPOLATE_NEAREST] = nearest, [CBM_INTERPOLATE_NEAREST_EXACT] = nearest,
    [CBM_INTERPOLATE_LINEAR] = linear,   [CBM_INTERPOLATE_CUBIC] = cubic,
    [CBM_INTERPOLATE_AREA] = area,
};

cbm_taps cbm_resample_taps(const cbm_resample_attributes *a, bool single, int64_t i)
{
    return modes[a->mode](a, single, i);
}

/* ---- records ---- */
static bool resample_shape(cbm_infer *infer, int64_t from, int64_t to)
{
    char text[160];
    const cbm_resample_attributes *a = infer->attributes;
    const cbm_shape *x = &infer->in_shape[0];
    if (!cbm_rule_floating(infer, 0))
        return false;
    if (a->axis < 0 || a->axis >= x->v[0] || x->v[1 + a->axis] != from)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "shape %s has not %lld elements along axis %lld",
                              cbm_shape_text(x, text, sizeof text), (long long)from, (long long)a->axis);
    if (a->input < 1 || a->output < 1 || a->input > LARGEST || a->output > LARGEST)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "from %lld to %lld elements: extents are 1 to %lld",
                              (long long)a->input, (long long)a->output, (long long)LARGEST);
    if (a->mode < 0 || a->mode >= (int64_t)CBM_COUNTOF(modes) || !(a->scale >= 0))
        return cbm_infer_fail(infer, CBM_ERROR_INVALID, "there is no mode %lld, or the scale is negative",
                              (long long)a->mode);
    infer->out_shape[0] = *x;
    infer->out_shape[0].v[1 + a->axis] = to;
    infer->out_dtype[0] = infer->in_dtype[0];
    return true;
}

static bool resample_infer(cbm_infer *infer)
{
    const cbm_resample_attributes *a = infer->attributes;
    return resample_shape(infer, a->input, a->output);
}

static bool backward_infer(cbm_infer *infer)
{
    const cbm_resample_attributes *a = infer->attributes;
    return resample_shape(infer, a->output, a->input);
}

static const cbm_op resample_op, backward_op;

static void resample_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_apply1(&backward_op, v->out_gradient[0], v->attributes);
}

static void backward_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_apply1(&resample_op, v->out_gradient[0], v->attributes);
}

static void resample_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    static const double flops[] = {
        [CBM_INTERPOLATE_NEAREST] = 0, [CBM_INTERPOLATE_NEAREST_EXACT] = 0, [CBM_INTERPOLATE_LINEAR] = 3,
        [CBM_INTERPOLATE_CUBIC] = 7,   [CBM_INTERPOLATE_AREA] = 2,
    };
    const cbm_resample_attributes *a = shapes->attributes;
    const double in = (double)shapes->in[0].count, out = (double)shapes->out[0].count;
    const double results = a->mode == CBM_INTERPOLATE_AREA ? fmax(in, out) : out;
    cost->flops = flops[a->mode] * (shapes->op == &resample_op ? results : fmax(in, out));
    cost->bytes = (in + out) * (double)cbm_dtype_size(shapes->out[0].dtype);
}

static const cbm_attribute resample_fields[] = {
    CBM_FIELD(cbm_resample_attributes, axis, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_resample_attributes, input, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_resample_attributes, output, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_resample_attributes, mode, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_resample_attributes, align_corners, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_resample_attributes, scale, CBM_ATTRIBUTE_FLOAT, false),
};

/* axis, from, to, mode, align_corners, scale; x's and y's shape */
#define TWICE_X 2, 3, 4
#define TWICE_Y 2, 6, 4
#define UNEVEN_X 2, 5, 3
#define UNEVEN_Y 2, 7, 3
#define FEWER_X 3, 2, 9
#define FEWER_Y 3, 2, 4
#define ONE_X 2, 1, 3
#define ONE_Y 2, 4, 3
#define MORE_X 2, 2, 5
#define MORE_Y 2, 2, 8
static const cbm_resample_attributes twice_nearest = { 1, 3, 6, CBM_INTERPOLATE_NEAREST, 0, 2 },
                                     fewer_nearest = { 2, 9, 4, CBM_INTERPOLATE_NEAREST, 0, 0 },
                                     fewer_exact = { 2, 9, 4, CBM_INTERPOLATE_NEAREST_EXACT, 0, 0 },
                                     twice_linear = { 1, 3, 6, CBM_INTERPOLATE_LINEAR, 0, 0 },
                                     uneven_linear = { 1, 5, 7, CBM_INTERPOLATE_LINEAR, 0, 1.5 },
                                     aligned_linear = { 1, 5, 7, CBM_INTERPOLATE_LINEAR, 1, 0 },
                                     fewer_linear = { 2, 9, 4, CBM_INTERPOLATE_LINEAR, 0, 0 },
                                     one_linear = { 1, 1, 4, CBM_INTERPOLATE_LINEAR, 0, 0 },
                                     more_cubic = { 2, 5, 8, CBM_INTERPOLATE_CUBIC, 0, 0 },
                                     aligned_cubic = { 1, 5, 7, CBM_INTERPOLATE_CUBIC, 1, 0 },
                                     one_cubic = { 1, 1, 4, CBM_INTERPOLATE_CUBIC, 0, 0 },
                                     fewer_area = { 2, 9, 4, CBM_INTERPOLATE_AREA, 0, 0 },
                                     more_area = { 1, 5, 7, CBM_INTERPOLATE_AREA, 0, 0 };
#define FORTH(a_, name_)                                                                                               \
    {                                                                                                                  \
        .n_in = 1, .in = { CBM_FLOATS(-2, 2, name_##_X) }, .attributes = &(a_)                                         \
    }
#define BACK(a_, name_)                                                                                                \
    {                                                                                                                  \
        .n_in = 1, .in = { CBM_FLOATS(-2, 2, name_##_Y) }, .attributes = &(a_)                                         \
    }
#define EVERY(SAMPLE)                                                                                                  \
    SAMPLE(twice_nearest, TWICE), SAMPLE(fewer_nearest, FEWER), SAMPLE(fewer_exact, FEWER),                            \
        SAMPLE(twice_linear, TWICE), SAMPLE(uneven_linear, UNEVEN), SAMPLE(aligned_linear, UNEVEN),                    \
        SAMPLE(fewer_linear, FEWER), SAMPLE(one_linear, ONE), SAMPLE(more_cubic, MORE), SAMPLE(aligned_cubic, UNEVEN), \
        SAMPLE(one_cubic, ONE), SAMPLE(fewer_area, FEWER), SAMPLE(more_area, UNEVEN)
static const cbm_sample resample_samples[] = { EVERY(FORTH) };
static const cbm_sample backward_samples[] = { EVERY(BACK) };

#define RESAMPLING(name_, formula_, infer_, vjp_, samples_)                                                            \
    {                                                                                                                  \
        CBM_OP_RECORD(name_), .formula = (formula_), .n_in = 1, .n_out = 1,                                            \
                              .attributes_size = sizeof(cbm_resample_attributes), .attributes = resample_fields,       \
                              .n_attributes = CBM_COUNTOF(resample_fields), .infer = (infer_), .vjp = (vjp_),          \
                              .cost = resample_cost, CBM_SAMPLES(samples_)                                             \
    }
static const cbm_op resample_op =
    RESAMPLING("resample", "y[.., i, ..] = sum over k of weight(i, k) x[.., k, ..] along the axis", resample_infer,
               resample_vjp, resample_samples);
static const cbm_op backward_op =
    RESAMPLING("resample_backward", "dx[.., k, ..] = sum over i of weight(i, k) g[.., i, ..] along the axis",
               backward_infer, backward_vjp, backward_samples);

const cbm_op *const cbm_ops_resample[] = { &resample_op, &backward_op, NULL };

static cbm_tensor *resample(cbm_tensor *x, const cbm_resample_attributes *a)
{
    const bool same = a->input == a->output && (a->scale == 0 || a->scale == 1 || a->input == 1);
    return same ? x : cbm_apply1(&resample_op, x, a);
}

/* Axes that shrink come first, in order; those that grow last, the last axis first, whose neighbours lie side by side: so the
   fewest elements go through the slower kernels. */
cbm_tensor *cbm_resample_all(cbm_tensor *x, const cbm_resample_attributes *axes, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (axes[i].output <= axes[i].input)
            x = resample(x, &axes[i]);
    for (int64_t i = count - 1; i >= 0; i--)
        if (axes[i].output > axes[i].input)
            x = resample(x, &axes[i]);
    return x;
}
