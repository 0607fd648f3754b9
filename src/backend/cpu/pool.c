/* pool.c: maximum and average pooling of f32, forward and backward: a plane at a time when a channel's places lie together,
   rows of places otherwise; three dimensions and dilated windows a channel at a time. Rests on simd/planes.c,
   simd/channels.c and simd/volumes.c. */
#include "backend/cpu/cpu.h"

typedef struct job {
    const cbm_simd *simd;
    cbm_pool_plane plane; /* the first one; in one dimension its height is 1 */
    const float *g;
    float *dx;
    int64_t *index;
    int64_t rows; /* of a plane's result, when rows are dealt out; 0 for whole planes */
    bool deep;    /* volumes, not planes */
    cbm_pool_volume volume;
} job;

static bool is_deep(const cbm_pool_attributes *a)
{
    bool deep = a->kernel.v[0] == 3;
    for (int64_t i = 1; i <= a->dilation.v[0]; i++)
        deep = deep || a->dilation.v[i] != 1;
    return deep;
}

static cbm_pool_volume volume_of(const cbm_pool_attributes *a, const cbm_buffer *x, const cbm_buffer *y)
{
    const int64_t n = a->kernel.v[0];
    cbm_pool_volume v = { .exclude_pad = a->exclude_pad != 0, .divisor = (float)a->divisor };
    for (int64_t d = 0; d < 3; d++) {
        const int64_t k = d - (3 - n); /* the number of this dimension in the lists */
        v.in[d] = k < 0 ? 1 : x->shape[2 + k];
        v.out[d] = k < 0 ? 1 : y->shape[2 + k];
        v.kernel[d] = k < 0 ? 1 : a->kernel.v[1 + k];
        v.stride[d] = k < 0 ? 1 : a->stride.v[1 + k];
        v.padding[d] = k < 0 ? 0 : a->padding.v[1 + k];
        v.dilation[d] = k < 0 ? 1 : a->dilation.v[1 + k];
    }
    return v;
}

static job job_of(const cbm_launch *l, const cbm_buffer *x, const cbm_buffer *y)
{
    const cbm_pool_attributes *a = l->attributes;
    job j = { .simd = cbm_simd_get(), .deep = is_deep(a), .volume = volume_of(a, x, y) };
    const cbm_pool_volume *v = &j.volume;
    j.plane = (cbm_pool_plane){ .channels = x->layout == CBM_LAYOUT_CHANNELS_LAST ? x->shape[1]
                                            : x->layout == CBM_LAYOUT_BLOCKED_16  ? 16
                                            : x->layout == CBM_LAYOUT_BLOCKED_8   ? 8
                                                                                  : 1,
                                .height = v->in[1],
                                .width = v->in[2],
                                .out_height = v->out[1],
                                .out_width = v->out[2],
                                .kernel = { v->kernel[1], v->kernel[2] },
                                .stride = { v->stride[1], v->stride[2] },
                                .padding = { v->padding[1], v->padding[2] },
                                .exclude_pad = v->exclude_pad,
                                .divisor = v->divisor };
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

/* The n-th channel of volumes. */
static cbm_pool_volume nth_volume(const job *j, int64_t n)
{
    cbm_pool_volume v = j->volume;
    const int64_t out = n * v.out[0] * v.out[1] * v.out[2];
    v.x = j->plane.x ? j->plane.x + n * v.in[0] * v.in[1] * v.in[2] : NULL;
    v.y = j->plane.y ? j->plane.y + out : NULL;
    v.place = j->plane.place ? j->plane.place + out : NULL;
    v.wide_place = j->plane.wide_place ? j->plane.wide_place + out : NULL;
    return v;
}

/* Items are channels. */
static void run_volumes(const job *j, int64_t begin, int64_t end, void (*forward)(const cbm_pool_volume *p),
                        void (*backward)(const cbm_pool_volume *p, const float *g, float *dx))
{
    for (int64_t n = begin; n < end; n++) {
        const cbm_pool_volume v = nth_volume(j, n);
        if (forward)
            forward(&v);
        else
            backward(&v, j->g + n * v.out[0] * v.out[1] * v.out[2], j->dx + n * v.in[0] * v.in[1] * v.in[2]);
    }
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
    if (j->deep)
        run_volumes(j, begin, end, j->simd->max_pool_volume, NULL);
    else
        run(j, begin, end, j->rows > 0 ? j->simd->max_pool_channels : j->simd->max_pool, NULL);
}
static void avg_forward(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    if (j->deep)
        run_volumes(j, begin, end, j->simd->avg_pool_volume, NULL);
    else
        run(j, begin, end, j->rows > 0 ? j->simd->avg_pool_channels : j->simd->avg_pool, NULL);
}
static void max_backward(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    if (j->deep)
        run_volumes(j, begin, end, NULL, j->simd->max_pool_backward_volume);
    else
        run(j, begin, end, NULL, j->rows > 0 ? j->simd->max_pool_backward_channels : j->simd->max_pool_backward);
}
static void avg_backward(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    if (j->deep)
        run_volumes(j, begin, end, NULL, j->simd->avg_pool_backward_volume);
    else
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
        cbm_parallel_for(planes, cbm_grain(x->count / planes), l->threads, part, j);
        return CBM_OK;
    }
    j->rows = j->dx ? p->height : p->out_height;
    cbm_parallel_for(planes * j->rows, cbm_grain(p->channels * p->height * p->width / j->rows), l->threads, part, j);
    return CBM_OK;
}

static cbm_status max_pool(const cbm_launch *l) /* x -> y, place */
{
    job j = job_of(l, &l->in[0], &l->out[0]);
    j.plane.x = l->in[0].data;
    j.plane.y = l->out[0].data;
    if (l->n_out > 1)
        set_places(&j, &l->out[1]);
    return deal(&j, l, &l->in[0], &l->out[0], max_forward);
}

static cbm_status max_pool_backward(const cbm_launch *l) /* g, place -> dx */
{
    job j = job_of(l, &l->out[0], &l->in[0]);
    set_places(&j, &l->in[1]);
    j.g = l->in[0].data;
    j.dx = l->out[0].data;
    return deal(&j, l, &l->out[0], &l->in[0], max_backward);
}

static cbm_status avg_pool(const cbm_launch *l) /* x -> y */
{
    job j = job_of(l, &l->in[0], &l->out[0]);
    j.plane.x = l->in[0].data;
    j.plane.y = l->out[0].data;
    return deal(&j, l, &l->in[0], &l->out[0], avg_forward);
}

static cbm_status avg_pool_backward(const cbm_launch *l) /* g -> dx */
{
    job j = job_of(l, &l->out[0], &l->in[0]);
    j.g = l->in[0].data;
    j.dx = l->out[0].data;
    return deal(&j, l, &l->out[0], &l->in[0], avg_backward);
}

/* Places' indices among those of their channel. */
static void some_indices(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const cbm_pool_volume *v = &j->volume;
    for (int64_t n = begin; n < end; n++) {
        const int64_t d = n / (v->out[1] * v->out[2]) % v->out[0], h = n / v->out[2] % v->out[1], w = n % v->out[2];
        const int64_t at[3] = { d, h, w }, k = j->plane.place ? j->plane.place[n] : j->plane.wide_place[n];
        const int64_t tap[3] = { k / (v->kernel[1] * v->kernel[2]), k / v->kernel[2] % v->kernel[1], k % v->kernel[2] };
        bool inside = k >= 0 && tap[0] < v->kernel[0];
        int64_t flat = 0;
        for (int i = 0; i < 3; i++) {
            const int64_t place = at[i] * v->stride[i] - v->padding[i] + tap[i] * v->dilation[i];
            inside = inside && place >= 0 && place < v->in[i];
            flat = flat * v->in[i] + place;
        }
        j->index[n] = inside ? flat : -1;
    }
}

static cbm_status max_pool_indices(const cbm_launch *l) /* place -> index */
{
    const cbm_pool_attributes *a = l->attributes;
    cbm_buffer x = { .rank = a->input_shape.v[0] };
    for (int64_t d = 0; d < x.rank; d++)
        x.shape[d] = a->input_shape.v[1 + d];
    job j = job_of(l, &x, &l->out[0]);
    set_places(&j, &l->in[0]);
    j.index = l->out[0].data;
    cbm_parallel_for(l->out[0].count, CBM_CPU_GRAIN / 8, l->threads, some_indices, &j);
    return CBM_OK;
}

static bool first_is_f32(const cbm_launch *l)
{
    const cbm_pool_attributes *a = l->attributes; /* places in a window are 32-bit numbers inside */
    int64_t places = 1;
    for (int64_t i = 1; i <= a->kernel.v[0] && places < INT32_MAX; i++)
        places *= a->kernel.v[i];
    return l->in[0].dtype == CBM_F32 && places < INT32_MAX;
}

static bool places_are_bytes_or_numbers(const cbm_launch *l)
{
    return l->in[0].dtype == CBM_U8 || l->in[0].dtype == CBM_I64;
}

/* Every operand has places of channels; places of windows must be bytes. */
static bool every_operand(const cbm_launch *l, cbm_layout layout, uint32_t *in, uint32_t *out, int *gains)
{
    if (is_deep(l->attributes))
        return false;
    for (size_t i = 0; i < l->n_in + l->n_out; i++)
        if ((i < l->n_in ? &l->in[i] : &l->out[i - l->n_in])->dtype == CBM_I64)
            return false;
    if (!cbm_cpu_blocks_fit(layout, l->in[0].shape[1]))
        return false;
    *in = (1u << l->n_in) - 1;
    *out = (1u << l->n_out) - 1;
    *gains = 1;
    return true;
}

#define POOLING(name_, launch_)                                                                                        \
    {                                                                                                                  \
        .op = (name_), .flags = CBM_KERNEL_SURE, .supports = first_is_f32, .launch = (launch_),                        \
        .layout = every_operand                                                                                        \
    }
#define DIMENSIONS(n_)                                                                                                 \
    POOLING("max_pool" n_ "d", max_pool), POOLING("max_pool" n_ "d_backward", max_pool_backward),                      \
        POOLING("avg_pool" n_ "d", avg_pool), POOLING("avg_pool" n_ "d_backward", avg_pool_backward),                  \
    {                                                                                                                  \
        .op = "max_pool" n_ "d_indices", .supports = places_are_bytes_or_numbers, .launch = max_pool_indices           \
    }
const cbm_kernel cbm_cpu_pool[] = { DIMENSIONS("1"), DIMENSIONS("2"), DIMENSIONS("3"), { .op = NULL } };
