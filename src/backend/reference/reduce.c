/* reduce.c: sums, products, extremes and their places, truth, variances, norms and log-sum-exps over axes. Rests on numbers
   (reference.h); results accumulate in double or 64-bit integers. */
#include "backend/reference/reference.h"
#include "op/attributes.h"

#include <math.h>

/* A walk over x whose offset is the place of the result that each element belongs to. */
static cbm_walk walk_to_results(const cbm_buffer *x, const cbm_shape *axes)
{
    int64_t stride[CBM_MAX_DIMS] = { 0 };
    int64_t step = 1;
    for (int64_t d = x->rank - 1; d >= 0; d--) {
        if (cbm_is_reduced(axes, d))
            continue;
        stride[d] = step;
        step *= x->shape[d];
    }
    return cbm_walk_over(x->rank, x->shape, stride);
}

/* How one more element joins a result. */
typedef cbm_number (*join_fn)(bool floats, cbm_number result, cbm_number x);

static cbm_number plus(bool floats, cbm_number a, cbm_number b)
{
    if (floats)
        return (cbm_number){ .f = a.f + b.f };
    return (cbm_number){ .i = (int64_t)((uint64_t)a.i + (uint64_t)b.i) };
}

static cbm_number times(bool floats, cbm_number a, cbm_number b)
{
    if (floats)
        return (cbm_number){ .f = a.f * b.f };
    return (cbm_number){ .i = (int64_t)((uint64_t)a.i * (uint64_t)b.i) };
}

static bool above(bool floats, cbm_number a, cbm_number b) /* NaN is above every number, not above another NaN */
{
    if (floats)
        return a.f > b.f || (isnan(a.f) && !isnan(b.f));
    return a.i > b.i;
}

static bool below(bool floats, cbm_number a, cbm_number b) /* and below every number */
{
    if (floats)
        return a.f < b.f || (isnan(a.f) && !isnan(b.f));
    return a.i < b.i;
}

static cbm_number greater(bool floats, cbm_number a, cbm_number b)
{
    return above(floats, b, a) ? b : a;
}

static cbm_number lesser(bool floats, cbm_number a, cbm_number b)
{
    return below(floats, b, a) ? b : a;
}

/* Joins every element to its result, which begins as `start`. */
static cbm_status fold(const cbm_launch *launch, cbm_number start, join_fn join)
{
    const cbm_reduce_attributes *a = launch->attributes;
    const cbm_buffer *x = &launch->in[0];
    const bool floats = cbm_is_floating(x->dtype);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t k = 0; k < launch->out[0].count; k++)
        c.out[0][k] = start;
    cbm_walk w = walk_to_results(x, &a->axes);
    for (int64_t k = 0; k < x->count; k++, cbm_walk_next(&w))
        c.out[0][w.offset] = join(floats, c.out[0][w.offset], c.in[0][k]);
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

static cbm_number number(const cbm_launch *launch, double f, int64_t i)
{
    return cbm_is_floating(launch->in[0].dtype) ? (cbm_number){ .f = f } : (cbm_number){ .i = i };
}

static cbm_status sum(const cbm_launch *launch)
{
    return fold(launch, number(launch, 0, 0), plus);
}
static cbm_status prod(const cbm_launch *launch)
{
    return fold(launch, number(launch, 1, 1), times);
}
static cbm_status max(const cbm_launch *launch)
{
    return fold(launch, number(launch, -INFINITY, INT64_MIN), greater);
}
static cbm_status min(const cbm_launch *launch)
{
    return fold(launch, number(launch, INFINITY, INT64_MAX), lesser);
}
static cbm_status any(const cbm_launch *launch)
{
    return fold(launch, number(launch, 0, 0), greater);
}
static cbm_status all(const cbm_launch *launch)
{
    return fold(launch, number(launch, 1, 1), lesser);
}

static double members_of(const cbm_buffer *x, const cbm_shape *axes)
{
    double members = 1;
    for (int64_t d = 0; d < x->rank; d++)
        if (cbm_is_reduced(axes, d))
            members *= (double)x->shape[d];
    return members;
}

static cbm_status mean(const cbm_launch *launch)
{
    const cbm_reduce_attributes *a = launch->attributes;
    const cbm_buffer *x = &launch->in[0];
    const double members = members_of(x, &a->axes);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    cbm_walk w = walk_to_results(x, &a->axes);
    for (int64_t k = 0; k < x->count; k++, cbm_walk_next(&w))
        c.out[0][w.offset].f += c.in[0][k].f;
    for (int64_t k = 0; k < launch->out[0].count; k++)
        c.out[0][k].f /= members;
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

/* ---- places ---- */

static cbm_status place(const cbm_launch *launch, bool (*better)(bool floats, cbm_number a, cbm_number b))
{
    const cbm_reduce_attributes *a = launch->attributes;
    const cbm_buffer *x = &launch->in[0];
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    bool floats = cbm_is_floating(x->dtype);
    bool flat = a->axes.v[0] != 1; /* all axes: the index counts through the flattened tensor */
    cbm_lanes l = flat ? (cbm_lanes){ 1, x->count, 1 } : cbm_lanes_of(x, a->axes.v[1]);
    for (int64_t o = 0; o < l.outer; o++)
        for (int64_t i = 0; i < l.inner; i++) {
            const cbm_number *lane = c.in[0] + o * l.length * l.inner + i;
            int64_t best = 0;
            for (int64_t j = 1; j < l.length; j++)
                if (better(floats, lane[j * l.inner], lane[best * l.inner]))
                    best = j;
            c.out[0][o * l.inner + i].i = best;
        }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

static cbm_status argmax(const cbm_launch *launch)
{
    return place(launch, above);
}
static cbm_status argmin(const cbm_launch *launch)
{
    return place(launch, below);
}

/* ---- variance: the mean first, then what is apart from it ---- */

static cbm_status spread(const cbm_launch *launch, bool root)
{
    const cbm_var_attributes *a = launch->attributes;
    const cbm_buffer *x = &launch->in[0];
    const double members = members_of(x, &a->over.axes), divisor = fmax(members - a->correction, 0);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    cbm_number *squares = c.out[0], *mean = c.out[1];
    cbm_walk w = walk_to_results(x, &a->over.axes);
    for (int64_t k = 0; k < x->count; k++, cbm_walk_next(&w))
        mean[w.offset].f += c.in[0][k].f;
    for (int64_t k = 0; k < launch->out[0].count; k++)
        mean[k].f /= members;
    w = walk_to_results(x, &a->over.axes);
    for (int64_t k = 0; k < x->count; k++, cbm_walk_next(&w)) {
        const double apart = c.in[0][k].f - mean[w.offset].f;
        squares[w.offset].f += apart * apart;
    }
    for (int64_t k = 0; k < launch->out[0].count; k++)
        squares[k].f = root ? sqrt(squares[k].f / divisor) : squares[k].f / divisor;
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}
static cbm_status var(const cbm_launch *launch)
{
    return spread(launch, false);
}
static cbm_status std(const cbm_launch *launch)
{
    return spread(launch, true);
}

/* ---- norms, log-sum-exp ---- */

static double term_of(double x, double p)
{
    return p == 0 ? x != 0 : p == 1 || isinf(p) ? fabs(x) : p == 2 ? x * x : pow(fabs(x), p);
}

static double root_of(double sum, double p)
{
    return p == 0 || p == 1 || isinf(p) ? sum : p == 2 ? sqrt(sum) : pow(sum, 1 / p);
}

static cbm_status norm(const cbm_launch *launch)
{
    const cbm_norm_attributes *a = launch->attributes;
    const cbm_buffer *x = &launch->in[0];
    const join_fn join = !isinf(a->p) ? plus : a->p > 0 ? greater : lesser;
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t k = 0; k < launch->out[0].count; k++)
        c.out[0][k].f = isinf(a->p) && a->p < 0 ? INFINITY : 0;
    cbm_walk w = walk_to_results(x, &a->over.axes);
    for (int64_t k = 0; k < x->count; k++, cbm_walk_next(&w))
        c.out[0][w.offset] = join(true, c.out[0][w.offset], (cbm_number){ .f = term_of(c.in[0][k].f, a->p) });
    for (int64_t k = 0; k < launch->out[0].count; k++)
        c.out[0][k].f = root_of(c.out[0][k].f, a->p);
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

/* log(e^a + e^b) */
static cbm_number log_plus(bool floats, cbm_number a, cbm_number b)
{
    (void)floats;
    return (cbm_number){ .f = cbm_log_plus(a.f, b.f) };
}

static cbm_status logsumexp(const cbm_launch *launch)
{
    return fold(launch, (cbm_number){ .f = -INFINITY }, log_plus);
}

#define REDUCTION(name_)                                                                                               \
    {                                                                                                                  \
        .op = #name_, .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = name_                     \
    }
const cbm_kernel cbm_reference_reduce[] = {
    REDUCTION(sum),    REDUCTION(prod),   REDUCTION(mean),      REDUCTION(max), REDUCTION(min),
    REDUCTION(argmax), REDUCTION(argmin), REDUCTION(any),       REDUCTION(all), REDUCTION(var),
    REDUCTION(std),    REDUCTION(norm),   REDUCTION(logsumexp), { .op = NULL },
};
