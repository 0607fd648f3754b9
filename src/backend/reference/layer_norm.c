/* layer_norm.c: normalisation of rows (layer norm, root mean square norm) and of groups of channels, with their gradients. A
   group is a row whose weights repeat over the places of a channel. Rests on numbers (reference.h). */
#include "backend/reference/reference.h"
#include "op/attributes.h"

#include <math.h>

/* `rows` rows of `length` elements; element i of row r has weight (r % cycle) length / places + i / places. */
typedef struct geometry {
    int64_t rows, length, places, cycle;
    double eps;
    bool centred; /* a mean is subtracted */
} geometry;

static geometry rows_of(const cbm_launch *launch, bool centred)
{
    const cbm_layer_norm_attributes *a = launch->attributes;
    const cbm_buffer *x = &launch->in[0];
    geometry g = { .rows = 1, .length = 1, .places = 1, .cycle = 1, .eps = a->eps, .centred = centred };
    for (int64_t d = 0; d < x->rank; d++)
        *(d < x->rank - a->axes ? &g.rows : &g.length) *= x->shape[d];
    return g;
}

static geometry groups_of(const cbm_launch *launch)
{
    const cbm_group_norm_attributes *a = launch->attributes;
    const cbm_lanes l = cbm_lanes_of(&launch->in[0], 1);
    return (geometry){ .rows = l.outer * a->groups,
                       .length = l.length / a->groups * l.inner,
                       .places = l.inner,
                       .cycle = a->groups,
                       .eps = a->eps,
                       .centred = true };
}

static int64_t weight_at(const geometry *g, int64_t row, int64_t i)
{
    return row % g->cycle * (g->length / g->places) + i / g->places;
}

/* x, weight[, bias] -> y[, mean], rstd */
static void forward(const geometry *g, cbm_number *const *in, cbm_number *const *out)
{
    for (int64_t row = 0; row < g->rows; row++) {
        const cbm_number *x = in[0] + row * g->length;
        double mean = 0, squares = 0;
        for (int64_t i = 0; g->centred && i < g->length; i++)
            mean += x[i].f / (double)g->length;
        for (int64_t i = 0; i < g->length; i++)
            squares += (x[i].f - mean) * (x[i].f - mean);
        const double rstd = 1 / sqrt(squares / (double)g->length + g->eps);
        for (int64_t i = 0; i < g->length; i++) {
            const int64_t w = weight_at(g, row, i);
            out[0][row * g->length + i].f = (x[i].f - mean) * rstd * in[1][w].f + (g->centred ? in[2][w].f : 0);
        }
        out[g->centred ? 2 : 1][row].f = rstd;
        if (g->centred)
            out[1][row].f = mean;
    }
}

/* x, weight[, mean], rstd, g -> dx, dweight[, dbias]. With z = (x - mean) rstd and h = weight g:
   dx = rstd (h - mean of h - z mean of h z), dweight = sum of g z, dbias = sum of g. */
static void backward(const geometry *g, cbm_number *const *in, cbm_number *const *out)
{
    const cbm_number *means = g->centred ? in[2] : NULL, *rstds = in[g->centred ? 3 : 2],
                     *given = in[g->centred ? 4 : 3];
    for (int64_t row = 0; row < g->rows; row++) {
        const cbm_number *x = in[0] + row * g->length, *dy = given + row * g->length;
        const double mean = means ? means[row].f : 0, rstd = rstds[row].f;
        double sum = 0, along = 0;
        for (int64_t i = 0; i < g->length; i++) {
            const int64_t w = weight_at(g, row, i);
            const double z = (x[i].f - mean) * rstd, h = dy[i].f * in[1][w].f;
            sum += g->centred ? h / (double)g->length : 0;
            along += h * z / (double)g->length;
            out[1][w].f += dy[i].f * z;
            if (g->centred)
                out[2][w].f += dy[i].f;
        }
        for (int64_t i = 0; i < g->length; i++) {
            const double z = (x[i].f - mean) * rstd, h = dy[i].f * in[1][weight_at(g, row, i)].f;
            out[0][row * g->length + i].f = rstd * (h - sum - z * along);
        }
    }
}

static cbm_status run(const cbm_launch *launch, geometry g,
                      void (*compute)(const geometry *g, cbm_number *const *in, cbm_number *const *out))
{
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    compute(&g, c.in, c.out);
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

static cbm_status layer_norm(const cbm_launch *launch)
{
    return run(launch, rows_of(launch, true), forward);
}
static cbm_status layer_norm_backward(const cbm_launch *launch)
{
    return run(launch, rows_of(launch, true), backward);
}
static cbm_status rms_norm(const cbm_launch *launch)
{
    return run(launch, rows_of(launch, false), forward);
}
static cbm_status rms_norm_backward(const cbm_launch *launch)
{
    return run(launch, rows_of(launch, false), backward);
}
static cbm_status group_norm(const cbm_launch *launch)
{
    return run(launch, groups_of(launch), forward);
}
static cbm_status group_norm_backward(const cbm_launch *launch)
{
    return run(launch, groups_of(launch), backward);
}

#define KERNEL(name_)                                                                                                  \
    {                                                                                                                  \
        .op = #name_, .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = name_                     \
    }
const cbm_kernel cbm_reference_layer_norm[] = {
    KERNEL(layer_norm), KERNEL(layer_norm_backward), KERNEL(rms_norm), KERNEL(rms_norm_backward),
    KERNEL(group_norm), KERNEL(group_norm_backward), { .op = NULL },
};
