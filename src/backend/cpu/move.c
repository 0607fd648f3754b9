/* move.c: copies that change places: reshape, permute, expand, slice, concat, slice_scatter, for every dtype. All of them
   are one strided copy: its axes are merged, rows that lie together are copied whole, and two axes that change places
   are turned in blocks. Rests on simd/transpose.c. */
#include "backend/cpu/cpu.h"

#include <string.h>

typedef struct strided_copy {
    char *to;
    const char *from;
    size_t size; /* of an element */
    int64_t rank;
    int64_t shape[CBM_MAX_DIMS], to_stride[CBM_MAX_DIMS], from_stride[CBM_MAX_DIMS]; /* elements */
    const cbm_simd *simd;
    int64_t inner; /* axes that one row function does: 1, or 2 for a transpose */
    int64_t parts; /* of a transposed plane, when planes are few */
} strided_copy;

static void merge_axes(strided_copy *c)
{
    int64_t n = 0;
    for (int64_t d = 0; d < c->rank; d++) {
        if (c->shape[d] == 1)
            continue;
        if (n > 0 && c->to_stride[n - 1] == c->to_stride[d] * c->shape[d] &&
            c->from_stride[n - 1] == c->from_stride[d] * c->shape[d]) {
            c->shape[n - 1] *= c->shape[d];
        } else {
            c->shape[n++] = c->shape[d];
        }
        c->to_stride[n - 1] = c->to_stride[d];
        c->from_stride[n - 1] = c->from_stride[d];
    }
    c->rank = n;
}

static void swap(int64_t *a, int64_t *b)
{
    const int64_t t = *a;
    *a = *b;
    *b = t;
}

/* Elements of 4 bytes whose last axis is spread in the source, while another one lies together there: bring that axis to
   the last but one place. The order of outer axes does not matter to a copy. */
static void find_transpose(strided_copy *c)
{
    c->inner = 1;
    const int64_t last = c->rank - 1;
    if (c->size != 4 || c->rank < 2 || c->to_stride[last] != 1 || c->from_stride[last] == 1 ||
        c->from_stride[last] == 0)
        return;
    for (int64_t d = 0; d < last; d++)
        if (c->from_stride[d] == 1 && c->shape[d] >= 4 && c->shape[last] >= 4) {
            swap(&c->shape[d], &c->shape[last - 1]);
            swap(&c->to_stride[d], &c->to_stride[last - 1]);
            swap(&c->from_stride[d], &c->from_stride[last - 1]);
            c->inner = 2;
            return;
        }
}

static void copy_elements(char *to, const char *from, size_t size, int64_t n, int64_t to_stride, int64_t from_stride)
{
    if (to_stride == 1 && from_stride == 1) {
        memcpy(to, from, (size_t)n * size);
        return;
    }
    if (size == 4)
        for (int64_t i = 0; i < n; i++)
            ((uint32_t *)(void *)to)[i * to_stride] = ((const uint32_t *)(const void *)from)[i * from_stride];
    else if (size == 2)
        for (int64_t i = 0; i < n; i++)
            ((uint16_t *)(void *)to)[i * to_stride] = ((const uint16_t *)(const void *)from)[i * from_stride];
    else if (size == 8)
        for (int64_t i = 0; i < n; i++)
            ((uint64_t *)(void *)to)[i * to_stride] = ((const uint64_t *)(const void *)from)[i * from_stride];
    else
        for (int64_t i = 0; i < n; i++)
            to[i * to_stride] = from[i * from_stride];
}

/* The rows (or planes) with numbers from begin to end. */
static void copy_rows(void *user, int64_t begin, int64_t end)
{
    const strided_copy *c = user;
    const int64_t outer = c->rank - c->inner, last = c->rank - 1;
    for (int64_t i = begin; i < end; i++) {
        int64_t to = 0, from = 0, rest = i / c->parts;
        for (int64_t d = outer - 1; d >= 0; d--) {
            const int64_t at = d > 0 ? rest % c->shape[d] : rest;
            rest /= c->shape[d];
            to += at * c->to_stride[d];
            from += at * c->from_stride[d];
        }
        char *t = c->to + to * (int64_t)c->size;
        const char *f = c->from + from * (int64_t)c->size;
        if (c->inner == 2) { /* r[j][i] = x[i][j]: the last axis is the source's rows */
            const int64_t first = i % c->parts * c->shape[last - 1] / c->parts;
            const int64_t after = (i % c->parts + 1) * c->shape[last - 1] / c->parts;
            c->simd->transpose((uint32_t *)(void *)t + first * c->to_stride[last - 1], c->to_stride[last - 1],
                               (const uint32_t *)(const void *)f + first, c->from_stride[last], c->shape[last],
                               after - first);
        } else
            copy_elements(t, f, c->size, c->shape[last], c->to_stride[last], c->from_stride[last]);
    }
}

typedef struct flat_copy {
    char *to;
    const char *from;
} flat_copy;

static void copy_bytes(void *user, int64_t begin, int64_t end)
{
    const flat_copy *c = user;
    memcpy(c->to + begin, c->from + begin, (size_t)(end - begin));
}

static void run(strided_copy *c, int64_t threads)
{
    int64_t count = 1;
    for (int64_t d = 0; d < c->rank; d++)
        count *= c->shape[d];
    if (count == 0)
        return;
    merge_axes(c);
    if (c->rank == 0 || (c->rank == 1 && c->to_stride[0] == 1 && c->from_stride[0] == 1)) {
        flat_copy f = { c->to, c->from };
        cbm_parallel_for(count * (int64_t)c->size, CBM_CPU_GRAIN * 8, threads, copy_bytes, &f);
        return;
    }
    c->simd = cbm_simd_get();
    find_transpose(c);
    int64_t rows = 1;
    for (int64_t d = 0; d < c->rank - c->inner; d++)
        rows *= c->shape[d];
    c->parts = c->inner == 2 && rows < 16 && count > 16 * CBM_CPU_GRAIN ? 16 : 1;
    rows *= c->parts;
    cbm_parallel_for(rows, cbm_grain(count / rows), threads, copy_rows, c);
}

static void row_major(const cbm_buffer *b, int64_t *stride)
{
    int64_t step = 1;
    for (int64_t d = b->rank - 1; d >= 0; d--) {
        stride[d] = step;
        step *= b->shape[d];
    }
}

/* All of y, from x with given strides of y's axes. */
static void gather(const cbm_launch *l, const int64_t *from_stride, int64_t start)
{
    const cbm_buffer *x = &l->in[0], *y = &l->out[0];
    strided_copy c = { .to = y->data, .size = cbm_dtype_size(y->dtype), .rank = y->rank };
    c.from = (const char *)x->data + start * (int64_t)c.size;
    for (int64_t d = 0; d < y->rank; d++) {
        c.shape[d] = y->shape[d];
        c.from_stride[d] = from_stride[d];
    }
    row_major(y, c.to_stride);
    run(&c, l->threads);
}

/* All of x, into y from place start of axis on, every step-th place. */
static void put(const cbm_launch *l, const cbm_buffer *x, int64_t axis, int64_t start, int64_t step)
{
    const cbm_buffer *y = &l->out[0];
    strided_copy c = { .from = x->data, .size = cbm_dtype_size(y->dtype), .rank = y->rank };
    row_major(y, c.to_stride);
    c.to = (char *)y->data + start * c.to_stride[axis] * (int64_t)c.size;
    c.to_stride[axis] *= step;
    for (int64_t d = 0; d < y->rank; d++) {
        c.shape[d] = x->shape[d];
        c.from_stride[d] = x->stride[d];
    }
    run(&c, l->threads);
}

static cbm_status reshape(const cbm_launch *l)
{
    const cbm_buffer *x = &l->in[0];
    strided_copy c = { .to = l->out[0].data, .from = x->data, .size = cbm_dtype_size(x->dtype), .rank = x->rank };
    row_major(x, c.to_stride);
    for (int64_t d = 0; d < x->rank; d++) {
        c.shape[d] = x->shape[d];
        c.from_stride[d] = x->stride[d];
    }
    run(&c, l->threads);
    return CBM_OK;
}

static cbm_status permute(const cbm_launch *l)
{
    const cbm_shape_attributes *a = l->attributes;
    int64_t stride[CBM_MAX_DIMS] = { 0 };
    for (int64_t d = 0; d < l->in[0].rank; d++)
        stride[d] = l->in[0].stride[a->shape.v[1 + d]];
    gather(l, stride, 0);
    return CBM_OK;
}

static cbm_status expand(const cbm_launch *l)
{
    const cbm_buffer *x = &l->in[0];
    const int64_t added = l->out[0].rank - x->rank;
    int64_t stride[CBM_MAX_DIMS] = { 0 };
    for (int64_t d = 0; d < x->rank; d++)
        stride[added + d] = x->shape[d] == 1 ? 0 : x->stride[d];
    gather(l, stride, 0);
    return CBM_OK;
}

static cbm_status slice(const cbm_launch *l)
{
    const cbm_slice_attributes *a = l->attributes;
    int64_t stride[CBM_MAX_DIMS] = { 0 };
    for (int64_t d = 0; d < l->in[0].rank; d++)
        stride[d] = l->in[0].stride[d] * (d == a->axis ? a->step : 1);
    gather(l, stride, a->start * l->in[0].stride[a->axis]);
    return CBM_OK;
}

static cbm_status slice_scatter(const cbm_launch *l) /* base, source -> y */
{
    const cbm_slice_attributes *a = l->attributes;
    if (l->out[0].data != l->in[0].data)
        gather(l, l->in[0].stride, 0);
    put(l, &l->in[1], a->axis, a->start, a->step);
    return CBM_OK;
}

static cbm_status concat(const cbm_launch *l)
{
    const cbm_axis_attributes *a = l->attributes;
    int64_t start = 0;
    for (size_t i = 0; i < l->n_in; i++) {
        put(l, &l->in[i], a->axis, start, 1);
        start += l->in[i].shape[a->axis];
    }
    return CBM_OK;
}

const cbm_kernel cbm_cpu_move[] = {
    { .op = "reshape", .flags = CBM_KERNEL_STRIDED | CBM_KERNEL_SURE, .launch = reshape },
    { .op = "permute", .flags = CBM_KERNEL_STRIDED | CBM_KERNEL_SURE, .launch = permute },
    { .op = "expand", .flags = CBM_KERNEL_STRIDED | CBM_KERNEL_SURE, .launch = expand },
    { .op = "slice", .flags = CBM_KERNEL_STRIDED | CBM_KERNEL_SURE, .launch = slice },
    { .op = "slice_scatter", .flags = CBM_KERNEL_STRIDED | CBM_KERNEL_SURE, .launch = slice_scatter },
    { .op = "concat", .flags = CBM_KERNEL_STRIDED | CBM_KERNEL_SURE, .launch = concat },
    { .op = NULL },
};
