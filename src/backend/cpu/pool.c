/* pool.c: maximum and average pooling of f32 planes, forward and backward, a plane at a time. Rests on simd/planes.c. */
#include "backend/cpu/cpu.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct job {
    const cbm_simd *simd;
    cbm_pool_plane plane; /* the first one */
    const float *g;
    float *dx;
    int64_t first_bad;
} job;

static cbm_pool_plane plane_of(const cbm_launch *l, const cbm_buffer *x, const cbm_buffer *y)
{
    const cbm_pool2d_attributes *a = l->attributes;
    cbm_pool_plane p = { .height = x->shape[2],
                         .width = x->shape[3],
                         .out_height = y->shape[2],
                         .out_width = y->shape[3],
                         .exclude_pad = a->exclude_pad != 0 };
    for (int d = 0; d < 2; d++) {
        p.kernel[d] = a->kernel.v[1 + d];
        p.stride[d] = a->stride.v[1 + d];
        p.padding[d] = a->padding.v[1 + d];
    }
    return p;
}

/* The n-th plane's pointers. */
static cbm_pool_plane nth(const job *j, int64_t n)
{
    cbm_pool_plane p = j->plane;
    const int64_t in = p.height * p.width, out = p.out_height * p.out_width;
    if (p.x)
        p.x += n * in;
    if (p.y)
        p.y += n * out;
    if (p.index)
        p.index += n * out;
    return p;
}

static void max_forward(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    for (int64_t n = begin; n < end; n++) {
        const cbm_pool_plane p = nth(j, n);
        j->simd->max_pool(&p);
    }
}

static void avg_forward(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    for (int64_t n = begin; n < end; n++) {
        const cbm_pool_plane p = nth(j, n);
        j->simd->avg_pool(&p);
    }
}

static void max_backward(void *user, int64_t begin, int64_t end)
{
    job *j = user;
    const int64_t in = j->plane.height * j->plane.width, out = j->plane.out_height * j->plane.out_width;
    for (int64_t n = begin; n < end; n++) {
        const cbm_pool_plane p = nth(j, n);
        const int64_t bad = j->simd->max_pool_backward(&p, j->g + n * out, j->dx + n * in);
        if (bad < 0)
            continue;
        int64_t seen = __atomic_load_n(&j->first_bad, __ATOMIC_RELAXED);
        while (seen > n * out + bad && !__atomic_compare_exchange_n(&j->first_bad, &seen, n * out + bad, false,
                                                                    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            ;
    }
}

static void avg_backward(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const int64_t in = j->plane.height * j->plane.width, out = j->plane.out_height * j->plane.out_width;
    for (int64_t n = begin; n < end; n++) {
        const cbm_pool_plane p = nth(j, n);
        j->simd->avg_pool_backward(&p, j->g + n * out, j->dx + n * in);
    }
}

static cbm_status max_pool2d(const cbm_launch *l) /* x -> y, index */
{
    job j = { .simd = cbm_simd_get(), .plane = plane_of(l, &l->in[0], &l->out[0]) };
    j.plane.x = l->in[0].data;
    j.plane.y = l->out[0].data;
    j.plane.index = l->n_out > 1 ? l->out[1].data : NULL;
    if (l->out[0].count > 0)
        cbm_parallel_for(l->in[0].shape[0] * l->in[0].shape[1], cbm_grain(j.plane.height * j.plane.width), l->threads,
                         max_forward, &j);
    return CBM_OK;
}

static cbm_status max_pool2d_backward(const cbm_launch *l) /* g, index -> dx */
{
    job j = { .simd = cbm_simd_get(), .plane = plane_of(l, &l->out[0], &l->in[0]), .first_bad = INT64_MAX };
    j.plane.index = l->in[1].data;
    j.g = l->in[0].data;
    j.dx = l->out[0].data;
    if (l->out[0].count > 0)
        cbm_parallel_for(l->out[0].shape[0] * l->out[0].shape[1], cbm_grain(j.plane.height * j.plane.width), l->threads,
                         max_backward, &j);
    if (j.first_bad == INT64_MAX)
        return CBM_OK;
    if (l->message)
        snprintf(l->message, 256, "index %" PRId64 " at position %" PRId64 " is outside 0..%" PRId64,
                 j.plane.index[j.first_bad], j.first_bad, j.plane.height * j.plane.width - 1);
    return CBM_ERROR_RANGE;
}

static cbm_status avg_pool2d(const cbm_launch *l) /* x -> y */
{
    job j = { .simd = cbm_simd_get(), .plane = plane_of(l, &l->in[0], &l->out[0]) };
    j.plane.x = l->in[0].data;
    j.plane.y = l->out[0].data;
    if (l->out[0].count > 0)
        cbm_parallel_for(l->in[0].shape[0] * l->in[0].shape[1], cbm_grain(j.plane.height * j.plane.width), l->threads,
                         avg_forward, &j);
    return CBM_OK;
}

static cbm_status avg_pool2d_backward(const cbm_launch *l) /* g -> dx */
{
    job j = { .simd = cbm_simd_get(), .plane = plane_of(l, &l->out[0], &l->in[0]) };
    j.g = l->in[0].data;
    j.dx = l->out[0].data;
    if (l->out[0].count > 0)
        cbm_parallel_for(l->out[0].shape[0] * l->out[0].shape[1], cbm_grain(j.plane.height * j.plane.width), l->threads,
                         avg_backward, &j);
    return CBM_OK;
}

static bool first_is_f32(const cbm_launch *l)
{
    const cbm_pool2d_attributes *a = l->attributes; /* places in a plane are 32-bit numbers inside */
    return l->in[0].dtype == CBM_F32 && l->in[0].rank == 4 && a->input_shape.v[3] < (1 << 15) &&
           a->input_shape.v[4] < (1 << 15);
}

const cbm_kernel cbm_cpu_pool[] = {
    { .op = "max_pool2d", .supports = first_is_f32, .launch = max_pool2d },
    { .op = "max_pool2d_backward", .supports = first_is_f32, .launch = max_pool2d_backward },
    { .op = "avg_pool2d", .supports = first_is_f32, .launch = avg_pool2d },
    { .op = "avg_pool2d_backward", .supports = first_is_f32, .launch = avg_pool2d_backward },
    { .op = NULL },
};
