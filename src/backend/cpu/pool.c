/* pool.c: maximum and average pooling of f32, forward and backward: a plane at a time when a channel's places lie together,
   rows of places otherwise. Rests on simd/planes.c and simd/channels.c. */
#include "backend/cpu/cpu.h"

typedef struct job {
    const cbm_simd *simd;
    cbm_pool_plane plane; /* the first one */
    const float *g;
    float *dx;
    int64_t rows; /* of a plane's result, when rows are dealt out; 0 for whole planes */
} job;

static job job_of(const cbm_launch *l, const cbm_buffer *x, const cbm_buffer *y)
{
    const cbm_pool2d_attributes *a = l->attributes;
    job j = { .simd = cbm_simd_get() };
    j.plane = (cbm_pool_plane){ .channels = x->layout == CBM_LAYOUT_CHANNELS_LAST ? x->shape[1]
                                            : x->layout == CBM_LAYOUT_BLOCKED_16  ? 16
                                            : x->layout == CBM_LAYOUT_BLOCKED_8   ? 8
                                                                                  : 1,
                                .height = x->shape[2],
                                .width = x->shape[3],
                                .out_height = y->shape[2],
                                .out_width = y->shape[3],
                                .exclude_pad = a->exclude_pad != 0 };
    for (int d = 0; d < 2; d++) {
        j.plane.kernel[d] = a->kernel.v[1 + d];
        j.plane.stride[d] = a->stride.v[1 + d];
        j.plane.padding[d] = a->padding.v[1 + d];
    }
    return j;
}

static void set_places(job *j, const cbm_buffer *places)
{
    if (places->dtype == CBM_U8)
        j->plane.place = places->data;
    else
        j->plane.wide_place = places->data;
}

typedef void (*forward_fn)(const cbm_pool_plane *p);
typedef void (*backward_fn)(const cbm_pool_plane *p, const float *g, float *dx);

/* The n-th plane's pointers; the gradients' too. */
static job nth(const job *j, int64_t n)
{
    job r = *j;
    cbm_pool_plane *p = &r.plane;
    const int64_t in = n * p->height * p->width * p->channels, out = n * p->out_height * p->out_width * p->channels;
    p->x += p->x ? in : 0;
    p->y += p->y ? out : 0;
    p->place += p->place ? out : 0;
    p->wide_place += p->wide_place ? out : 0;
    r.g += r.g ? out : 0;
    r.dx += r.dx ? in : 0;
    return r;
}

/* Items are planes, or rows of their results. */
static void run(const job *j, int64_t begin, int64_t end, forward_fn forward, backward_fn backward)
{
    const int64_t rows = j->rows > 0 ? j->rows : 1;
    while (begin < end) {
        const int64_t n = begin / rows;
        job now = nth(j, n);
        now.plane.first = begin - n * rows;
        now.plane.last = end - n * rows < rows ? end - n * rows : rows;
        if (forward)
            forward(&now.plane);
        else
            backward(&now.plane, now.g, now.dx);
        begin = n * rows + now.plane.last;
    }
}

static void max_forward(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    run(j, begin, end, j->rows > 0 ? j->simd->max_pool_channels : j->simd->max_pool, NULL);
}
static void avg_forward(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    run(j, begin, end, j->rows > 0 ? j->simd->avg_pool_channels : j->simd->avg_pool, NULL);
}
static void max_backward(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    run(j, begin, end, NULL, j->rows > 0 ? j->simd->max_pool_backward_channels : j->simd->max_pool_backward);
}
static void avg_backward(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    run(j, begin, end, NULL, j->rows > 0 ? j->simd->avg_pool_backward_channels : j->simd->avg_pool_backward);
}

/* x is the buffer of the input's shape, y that of the result's. */
static cbm_status deal(job *j, const cbm_launch *l, const cbm_buffer *x, const cbm_buffer *y,
                       void (*part)(void *user, int64_t begin, int64_t end))
{
    const cbm_pool_plane *p = &j->plane;
    const int64_t planes = x->shape[0] * x->shape[1] / (p->channels > 0 ? p->channels : 1);
    if (x->count == 0 || y->count == 0)
        return CBM_OK;
    if (x->layout == CBM_LAYOUT_PLAIN) {
        cbm_parallel_for(planes, cbm_grain(p->height * p->width), l->threads, part, j);
        return CBM_OK;
    }
    j->rows = j->dx ? p->height : p->out_height;
    cbm_parallel_for(planes * j->rows, cbm_grain(p->channels * p->height * p->width / j->rows), l->threads, part, j);
    return CBM_OK;
}

static cbm_status max_pool2d(const cbm_launch *l) /* x -> y, place */
{
    job j = job_of(l, &l->in[0], &l->out[0]);
    j.plane.x = l->in[0].data;
    j.plane.y = l->out[0].data;
    if (l->n_out > 1)
        set_places(&j, &l->out[1]);
    return deal(&j, l, &l->in[0], &l->out[0], max_forward);
}

static cbm_status max_pool2d_backward(const cbm_launch *l) /* g, place -> dx */
{
    job j = job_of(l, &l->out[0], &l->in[0]);
    set_places(&j, &l->in[1]);
    j.g = l->in[0].data;
    j.dx = l->out[0].data;
    return deal(&j, l, &l->out[0], &l->in[0], max_backward);
}

static cbm_status avg_pool2d(const cbm_launch *l) /* x -> y */
{
    job j = job_of(l, &l->in[0], &l->out[0]);
    j.plane.x = l->in[0].data;
    j.plane.y = l->out[0].data;
    return deal(&j, l, &l->in[0], &l->out[0], avg_forward);
}

static cbm_status avg_pool2d_backward(const cbm_launch *l) /* g -> dx */
{
    job j = job_of(l, &l->out[0], &l->in[0]);
    j.g = l->in[0].data;
    j.dx = l->out[0].data;
    return deal(&j, l, &l->out[0], &l->in[0], avg_backward);
}

static bool first_is_f32(const cbm_launch *l)
{
    const cbm_pool2d_attributes *a = l->attributes; /* places in a window are 32-bit numbers inside */
    return l->in[0].dtype == CBM_F32 && l->in[0].rank == 4 && a->input_shape.v[3] < (1 << 14) &&
           a->input_shape.v[4] < (1 << 14);
}

/* Every operand has places of channels; places of windows must be bytes. */
static bool every_operand(const cbm_launch *l, cbm_layout layout, uint32_t *in, uint32_t *out, int *gains)
{
    const int64_t channels = l->in[0].shape[1];
    for (size_t i = 0; i < l->n_in + l->n_out; i++)
        if ((i < l->n_in ? &l->in[i] : &l->out[i - l->n_in])->dtype == CBM_I64)
            return false;
    if ((layout == CBM_LAYOUT_BLOCKED_8 && channels % 8 != 0) ||
        (layout == CBM_LAYOUT_BLOCKED_16 && channels % 16 != 0))
        return false;
    *in = (1u << l->n_in) - 1;
    *out = (1u << l->n_out) - 1;
    *gains = 1;
    return true;
}

#define POOLING(name_, launch_)                                                                                        \
    {                                                                                                                  \
        .op = (name_), .supports = first_is_f32, .launch = (launch_), .layout = every_operand                          \
    }
const cbm_kernel cbm_cpu_pool[] = {
    POOLING("max_pool2d", max_pool2d),
    POOLING("max_pool2d_backward", max_pool2d_backward),
    POOLING("avg_pool2d", avg_pool2d),
    POOLING("avg_pool2d_backward", avg_pool2d_backward),
    { .op = NULL },
};
