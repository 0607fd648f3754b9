/* sort.c: sort and topk by merging, searchsorted, bincount and histogram by counting. Rests on numbers. */
#include "backend/reference/reference.h"
#include "op/attributes.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- sort, topk ---- */

/* Whether b belongs before a, which lies before it in x. NaN is above every number. */
static bool goes_before(bool floats, bool down, cbm_number b, cbm_number a)
{
    if (!floats)
        return down ? b.i > a.i : b.i < a.i;
    if (isnan(a.f) || isnan(b.f))
        return down ? isnan(b.f) && !isnan(a.f) : isnan(a.f) && !isnan(b.f);
    return down ? b.f > a.f : b.f < a.f;
}

/* Behind the numbers: the places of a lane's elements, and as much room. */
static cbm_status order_prepare(cbm_prepare *prepare)
{
    const cbm_status status = cbm_numbers_prepare(prepare);
    const int64_t axis = ((const cbm_sort_attributes *)prepare->launch->attributes)->axis; /* topk's first too */
    prepare->workspace += 2 * (size_t)prepare->launch->in[0].shape[axis] * sizeof(int64_t);
    return status;
}

/* The places 0..n - 1 of a lane's elements, `step` apart, in their order. */
static void order_lane(const cbm_number *x, int64_t n, int64_t step, bool floats, bool down, int64_t *places,
                       int64_t *room)
{
    for (int64_t i = 0; i < n; i++)
        places[i] = i;
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t begin = 0; begin < n; begin += 2 * width) {
            const int64_t middle = begin + width < n ? begin + width : n, end = middle + width < n ? middle + width : n;
            int64_t i = begin, k = middle;
            for (int64_t to = begin; to < end; to++) {
                const bool second =
                    i == middle || (k < end && goes_before(floats, down, x[places[k] * step], x[places[i] * step]));
                room[to] = second ? places[k++] : places[i++];
            }
        }
        memcpy(places, room, (size_t)n * sizeof *places);
    }
}

/* The first k of the places 0..n - 1, smallest first. */
static void in_place_order(int64_t *places, int64_t *room, int64_t n, int64_t k)
{
    for (int64_t i = 0; i < n; i++)
        room[i] = 0;
    for (int64_t a = 0; a < k; a++)
        room[places[a]] = 1;
    for (int64_t i = 0, a = 0; a < k; i++)
        if (room[i])
            places[a++] = i;
}

/* The k first of each lane; by_place: in the order of their places. */
static cbm_status order(const cbm_launch *launch, int64_t axis, int64_t k, bool down, bool by_place)
{
    const cbm_buffer *x = &launch->in[0];
    const cbm_lanes l = cbm_lanes_of(x, axis);
    const bool floats = cbm_is_floating(x->dtype);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    int64_t *places = (int64_t *)(void *)(c.out[1] + launch->out[1].count), *room = places + l.length;
    for (int64_t o = 0; o < l.outer; o++)
        for (int64_t i = 0; i < l.inner; i++) {
            const cbm_number *lane = c.in[0] + o * l.length * l.inner + i;
            order_lane(lane, l.length, l.inner, floats, down, places, room);
            if (by_place)
                in_place_order(places, room, l.length, k);
            for (int64_t a = 0; a < k; a++) {
                const int64_t at = (o * k + a) * l.inner + i;
                c.out[0][at] = lane[places[a] * l.inner];
                c.out[1][at].i = places[a];
            }
        }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

static cbm_status sort(const cbm_launch *launch)
{
    const cbm_sort_attributes *a = launch->attributes;
    return order(launch, a->axis, launch->in[0].shape[a->axis], a->descending != 0, false);
}

static cbm_status topk(const cbm_launch *launch)
{
    const cbm_topk_attributes *a = launch->attributes;
    return order(launch, a->axis, a->k, a->largest != 0, !a->sorted);
}

/* ---- searchsorted ---- */

static cbm_status searchsorted(const cbm_launch *launch) /* sequences, values -> y */
{
    const cbm_buffer *x = &launch->in[0], *values = &launch->in[1];
    const bool right = ((const cbm_search_attributes *)launch->attributes)->right != 0,
               floats = cbm_is_floating(x->dtype);
    const int64_t n = x->shape[x->rank - 1];
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t k = 0; k < values->count; k++) {
        const cbm_number *row = c.in[0] + (x->rank > 1 ? k / values->shape[values->rank - 1] * n : 0);
        const cbm_number v = c.in[1][k];
        int64_t low = 0, high = n; /* halved; what cannot be compared counts as small enough */
        while (low < high) {
            const int64_t middle = low + (high - low) / 2;
            const cbm_number m = row[middle];
            const bool stops = floats ? (right ? m.f > v.f : m.f >= v.f) : right ? m.i > v.i : m.i >= v.i;
            if (stops)
                high = middle;
            else
                low = middle + 1;
        }
        c.out[0][k].i = low;
    }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

/* ---- counts ---- */

static cbm_status bincount(const cbm_launch *launch) /* x[, weights] -> y */
{
    const int64_t bins = launch->out[0].count;
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t k = 0; k < launch->in[0].count; k++) {
        const int64_t v = c.in[0][k].i;
        if (v < 0 || v >= bins)
            return cbm_reference_range(launch, "value", v, k, bins);
        if (launch->n_in > 1)
            c.out[0][v].f += c.in[1][k].f;
        else
            c.out[0][v].i++;
    }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

static cbm_status histogram(const cbm_launch *launch) /* x, edges[, weights] -> y */
{
    const int64_t bins = launch->out[0].count;
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    const cbm_number *edges = c.in[1];
    for (int64_t i = 1; i <= bins; i++)
        if (!(edges[i].f >= edges[i - 1].f)) {
            if (launch->message)
                snprintf(launch->message, 256, "edge %" PRId64 " is not at least edge %" PRId64, i, i - 1);
            return CBM_ERROR_RANGE;
        }
    for (int64_t k = 0; k < launch->in[0].count; k++) {
        const double x = c.in[0][k].f;
        if (!(x >= edges[0].f && x <= edges[bins].f))
            continue;
        int64_t bin = 0;
        while (bin + 1 < bins && x >= edges[bin + 1].f)
            bin++;
        c.out[0][bin].f += launch->n_in > 2 ? c.in[2][k].f : 1;
    }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

const cbm_kernel cbm_reference_sort[] = {
    { .op = "sort", .flags = CBM_KERNEL_STRIDED, .prepare = order_prepare, .launch = sort },
    { .op = "topk", .flags = CBM_KERNEL_STRIDED, .prepare = order_prepare, .launch = topk },
    { .op = "searchsorted", .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = searchsorted },
    { .op = "bincount", .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = bincount },
    { .op = "histogram", .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = histogram },
    { .op = NULL },
};
