/* scan.c: what runs along an axis (sums, products, log-sum-exps, extremes, linear recurrences), and order along it. Rests on
   numbers (reference.h). */
#include "backend/reference/reference.h"
#include "op/attributes.h"

#include <math.h>
#include <stdlib.h>

double cbm_log_plus(double a, double b)
{
    const double top = a > b || isnan(a) ? a : b, low = a > b || isnan(a) ? b : a;
    if (isinf(top) || isnan(low))
        return isnan(low) ? low : top;
    return top + log1p(exp(low - top));
}

/* One lane, `step` numbers from element to element, forwards or backwards; a: of a recurrence, else x again. */
typedef void (*lane_fn)(bool floats, const cbm_number *a, const cbm_number *x, cbm_number *y, int64_t n, int64_t step);

static cbm_status scan(const cbm_launch *launch, lane_fn lane)
{
    const cbm_scan_attributes *at = launch->attributes;
    const cbm_buffer *b = &launch->in[0];
    const cbm_lanes l = cbm_lanes_of(b, at->axis);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t o = 0; o < l.outer && l.length > 0; o++)
        for (int64_t i = 0; i < l.inner; i++) {
            const int64_t begin = o * l.length * l.inner + i;
            const int64_t from = at->reverse ? begin + (l.length - 1) * l.inner : begin;
            lane(cbm_is_floating(b->dtype), c.in[0] + from, c.in[launch->n_in - 1] + from, c.out[0] + from, l.length,
                 at->reverse ? -l.inner : l.inner);
        }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

static void sums(bool floats, const cbm_number *a, const cbm_number *x, cbm_number *y, int64_t n, int64_t step)
{
    cbm_number sum = floats ? (cbm_number){ .f = 0 } : (cbm_number){ .i = 0 };
    (void)a;
    for (int64_t i = 0; i < n; i++) {
        if (floats)
            sum.f += x[i * step].f;
        else
            sum.i = (int64_t)((uint64_t)sum.i + (uint64_t)x[i * step].i);
        y[i * step] = sum;
    }
}

static void products(bool floats, const cbm_number *a, const cbm_number *x, cbm_number *y, int64_t n, int64_t step)
{
    cbm_number product = floats ? (cbm_number){ .f = 1 } : (cbm_number){ .i = 1 };
    (void)a;
    for (int64_t i = 0; i < n; i++) {
        if (floats)
            product.f *= x[i * step].f;
        else
            product.i = (int64_t)((uint64_t)product.i * (uint64_t)x[i * step].i);
        y[i * step] = product;
    }
}

static void log_sums(bool floats, const cbm_number *a, const cbm_number *x, cbm_number *y, int64_t n, int64_t step)
{
    double sum = -INFINITY;
    (void)floats;
    (void)a;
    for (int64_t i = 0; i < n; i++)
        y[i * step].f = sum = cbm_log_plus(sum, x[i * step].f);
}

static void recurrence(bool floats, const cbm_number *a, const cbm_number *x, cbm_number *y, int64_t n, int64_t step)
{
    double state = 0;
    (void)floats;
    for (int64_t i = 0; i < n; i++) {
        state = i == 0 ? x[0].f : a[i * step].f * state + x[i * step].f;
        y[i * step].f = state;
    }
}

/* Whether x takes best's place: it is as good, or the first NaN, or another one. */
static bool follows(bool floats, bool greatest, cbm_number x, cbm_number best)
{
    if (floats)
        return isnan(x.f) || (!isnan(best.f) && (greatest ? x.f >= best.f : x.f <= best.f));
    return greatest ? x.i >= best.i : x.i <= best.i;
}

static void places(bool floats, bool greatest, const cbm_number *x, cbm_number *y, int64_t n, int64_t step)
{
    int64_t best = 0;
    for (int64_t i = 0; i < n; i++) {
        best = follows(floats, greatest, x[i * step], x[best * step]) ? i : best;
        y[i * step].i = step > 0 ? best : n - 1 - best;
    }
}

static void greatest_places(bool floats, const cbm_number *a, const cbm_number *x, cbm_number *y, int64_t n,
                            int64_t step)
{
    (void)a;
    places(floats, true, x, y, n, step);
}
static void least_places(bool floats, const cbm_number *a, const cbm_number *x, cbm_number *y, int64_t n, int64_t step)
{
    (void)a;
    places(floats, false, x, y, n, step);
}

static cbm_status cumsum(const cbm_launch *launch)
{
    return scan(launch, sums);
}
static cbm_status cumprod(const cbm_launch *launch)
{
    return scan(launch, products);
}
static cbm_status logcumsumexp(const cbm_launch *launch)
{
    return scan(launch, log_sums);
}
static cbm_status linear_scan(const cbm_launch *launch)
{
    return scan(launch, recurrence);
}
static cbm_status cummax_index(const cbm_launch *launch)
{
    return scan(launch, greatest_places);
}
static cbm_status cummin_index(const cbm_launch *launch)
{
    return scan(launch, least_places);
}

/* ---- order ---- */

typedef struct ranked {
    cbm_number value;
    int64_t at;
    bool floats;
} ranked;

/* NaN behind all numbers, equal ones in their order. */
static int compare(const void *left, const void *right)
{
    const ranked *a = left, *b = right;
    if (a->floats && isnan(a->value.f) != isnan(b->value.f))
        return isnan(a->value.f) ? 1 : -1;
    const bool less = a->floats ? a->value.f < b->value.f : a->value.i < b->value.i;
    const bool greater = a->floats ? a->value.f > b->value.f : a->value.i > b->value.i;
    if (less || greater)
        return less ? -1 : 1;
    return a->at < b->at ? -1 : 1;
}

static int64_t place_in_order(ranked *row, int64_t n, int64_t k, bool nan_wins)
{
    for (int64_t i = 0; i < n && row->floats && nan_wins; i++)
        if (isnan(row[i].value.f))
            return i;
    qsort(row, (size_t)n, sizeof *row, compare);
    return row[k].at;
}

static cbm_status kth_index(const cbm_launch *launch)
{
    const cbm_kth_attributes *a = launch->attributes;
    const cbm_buffer *b = &launch->in[0];
    const cbm_lanes l = cbm_lanes_of(b, a->axis);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    ranked *row = malloc((size_t)l.length * sizeof *row);
    if (!row)
        return CBM_ERROR_MEMORY;
    for (int64_t o = 0; o < l.outer; o++)
        for (int64_t i = 0; i < l.inner; i++) {
            const cbm_number *lane = c.in[0] + o * l.length * l.inner + i;
            for (int64_t k = 0; k < l.length; k++)
                row[k] = (ranked){ lane[k * l.inner], k, cbm_is_floating(b->dtype) };
            c.out[0][o * l.inner + i].i = place_in_order(row, l.length, a->k, a->nan_wins != 0);
        }
    free(row);
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

#define ALONG(name_)                                                                                                   \
    {                                                                                                                  \
        .op = #name_, .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = name_                     \
    }
const cbm_kernel cbm_reference_scan[] = {
    ALONG(cumsum),       ALONG(cumprod),      ALONG(logcumsumexp), ALONG(linear_scan),
    ALONG(cummax_index), ALONG(cummin_index), ALONG(kth_index),    { .op = NULL },
};
