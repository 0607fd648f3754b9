/* window.c: windows_add, unfold (any dtype) and fold, of f32: rows of the last axis are copied or added whole where they lie
   together. Rests on simd/rows.c. */
#include "backend/cpu/cpu.h"

#include <string.h>

/* ---- windows_add: dx[o, p, i] = sum over windows w of g[o, w, i, p - w step] ---- */

typedef struct adding {
    const cbm_simd *simd;
    const float *g;
    float *dx;
    cbm_around a; /* of dx */
    int64_t size, step, places;
} adding;

static int64_t first_window(const adding *j, int64_t p)
{
    return p < j->size ? 0 : (p - j->size) / j->step + 1;
}

static int64_t windows_end(const adding *j, int64_t p)
{
    return p / j->step + 1 < j->places ? p / j->step + 1 : j->places;
}

/* Places [begin, end) of one row, whose windows are rows that follow each other. */
static void add_row(const adding *j, const float *g, float *dx, int64_t begin, int64_t end)
{
    memset(dx + begin, 0, (size_t)(end - begin) * sizeof *dx);
    for (int64_t w = first_window(j, begin); w < windows_end(j, end - 1); w++) {
        const int64_t at = w * j->step, from = at > begin ? at : begin;
        const int64_t to = at + j->size < end ? at + j->size : end;
        if (from < to)
            j->simd->add(dx + from, g + w * j->size + from - at, to - from);
    }
}

/* Elements (o, p) begin to end - 1. */
static void add_windows(void *user, int64_t begin, int64_t end)
{
    const adding *j = user;
    const int64_t n = j->a.length, inner = j->a.inner;
    while (begin < end) {
        const int64_t o = begin / n, p = begin % n, last = end - o * n < n ? end - o * n : n;
        const float *g = j->g + o * j->places * inner * j->size;
        begin = o * n + last;
        if (inner == 1) {
            add_row(j, g, j->dx + o * n, p, last);
            continue;
        }
        for (int64_t q = p; q < last; q++) {
            float *to = j->dx + (o * n + q) * inner;
            memset(to, 0, (size_t)inner * sizeof *to);
            for (int64_t w = first_window(j, q); w < windows_end(j, q); w++)
                for (int64_t i = 0; i < inner; i++)
                    to[i] += g[(w * inner + i) * j->size + q - w * j->step];
        }
    }
}

static cbm_status windows_add(const cbm_launch *l) /* g -> dx */
{
    const cbm_windows_attributes *a = l->attributes;
    adding j = { cbm_simd_get(),
                 l->in[0].data,
                 l->out[0].data,
                 cbm_around_axis(&l->out[0], a->axis),
                 a->size,
                 a->step,
                 (a->extent - a->size) / a->step + 1 };
    const int64_t most = (a->size + a->step - 1) / a->step; /* windows that an element is in */
    cbm_parallel_for(j.a.outer * j.a.length, cbm_grain(j.a.inner * most), l->threads, add_windows, &j);
    return CBM_OK;
}

/* ---- unfold, fold ---- */

typedef struct patches {
    const cbm_simd *simd;
    const char *x;
    char *y;
    size_t size;                         /* of an element */
    int64_t height, width, down, across; /* of the picture; places of the kernel */
    int64_t kernel[2], stride[2], padding[2], dilation[2];
} patches;

static int64_t places(const cbm_unfold_attributes *a, int i)
{
    return (a->image.v[i] + 2 * a->padding.v[i] - a->dilation.v[i] * (a->kernel.v[i] - 1) - 1) / a->stride.v[i] + 1;
}

static patches patches_of(const cbm_launch *l)
{
    const cbm_unfold_attributes *a = l->attributes;
    patches j = { .simd = cbm_simd_get(),
                  .x = l->in[0].data,
                  .y = l->out[0].data,
                  .size = cbm_dtype_size(l->in[0].dtype),
                  .height = a->image.v[1],
                  .width = a->image.v[2],
                  .down = places(a, 1),
                  .across = places(a, 2) };
    for (int i = 0; i < 2; i++) {
        j.kernel[i] = a->kernel.v[1 + i];
        j.stride[i] = a->stride.v[1 + i];
        j.padding[i] = a->padding.v[1 + i];
        j.dilation[i] = a->dilation.v[1 + i];
    }
    return j;
}

/* The places of the kernel across, [begin, end), at which its column lies in the picture. */
static void inside(const patches *j, int64_t column, int64_t *begin, int64_t *end)
{
    const int64_t shift = column * j->dilation[1] - j->padding[1], stride = j->stride[1];
    *begin = shift < 0 ? (-shift + stride - 1) / stride : 0;
    *end = shift < j->width ? (j->width - shift - 1) / stride + 1 : 0;
    *end = *end < j->across ? *end : j->across;
    *begin = *begin < *end ? *begin : *end;
}

/* Rows of columns: one element of the kernel in one channel, all its places. */
static void unfold_rows(void *user, int64_t begin, int64_t end)
{
    const patches *j = user;
    const size_t size = j->size;
    for (int64_t r = begin; r < end; r++) {
        const int64_t column = r % j->kernel[1], row = r / j->kernel[1] % j->kernel[0];
        const char *plane = j->x + (size_t)(r / j->kernel[1] / j->kernel[0] * j->height * j->width) * size;
        char *to = j->y + (size_t)(r * j->down * j->across) * size;
        int64_t first, last;
        inside(j, column, &first, &last);
        for (int64_t v = 0; v < j->down; v++, to += (size_t)j->across * size) {
            const int64_t h = v * j->stride[0] + row * j->dilation[0] - j->padding[0];
            if (h < 0 || h >= j->height) {
                memset(to, 0, (size_t)j->across * size);
                continue;
            }
            const int64_t w = h * j->width + first * j->stride[1] + column * j->dilation[1] - j->padding[1];
            const char *from = plane + (size_t)w * size;
            memset(to, 0, (size_t)first * size);
            if (j->stride[1] == 1)
                memcpy(to + (size_t)first * size, from, (size_t)(last - first) * size);
            else if (size == 4)
                for (int64_t i = first; i < last; i++)
                    ((uint32_t *)(void *)to)[i] = ((const uint32_t *)(const void *)from)[(i - first) * j->stride[1]];
            else
                for (int64_t i = first; i < last; i++)
                    memcpy(to + (size_t)i * size, from + (size_t)((i - first) * j->stride[1]) * size, size);
            memset(to + (size_t)last * size, 0, (size_t)(j->across - last) * size);
        }
    }
}

static cbm_status unfold(const cbm_launch *l) /* x -> columns */
{
    patches j = patches_of(l);
    const int64_t row = j.down * j.across;
    cbm_parallel_for(l->out[0].count / row, cbm_grain(row), l->threads, unfold_rows, &j);
    return CBM_OK;
}

/* Planes of the picture: each adds up its own rows of columns. */
static void fold_planes(void *user, int64_t begin, int64_t end)
{
    const patches *j = user;
    const int64_t elements = j->kernel[0] * j->kernel[1], all = j->down * j->across;
    for (int64_t p = begin; p < end; p++) {
        float *plane = (float *)(void *)j->y + p * j->height * j->width;
        memset(plane, 0, (size_t)(j->height * j->width) * sizeof *plane);
        for (int64_t e = 0; e < elements; e++) {
            const int64_t column = e % j->kernel[1], row = e / j->kernel[1];
            const float *from = (const float *)(const void *)j->x + (p * elements + e) * all;
            int64_t first, last;
            inside(j, column, &first, &last);
            for (int64_t v = 0; v < j->down; v++, from += j->across) {
                const int64_t h = v * j->stride[0] + row * j->dilation[0] - j->padding[0];
                if (h < 0 || h >= j->height || first == last)
                    continue;
                float *to = plane + h * j->width + first * j->stride[1] + column * j->dilation[1] - j->padding[1];
                if (j->stride[1] == 1)
                    j->simd->add(to, from + first, last - first);
                else
                    for (int64_t i = first; i < last; i++)
                        to[(i - first) * j->stride[1]] += from[i];
            }
        }
    }
}

static cbm_status fold(const cbm_launch *l) /* columns -> pictures */
{
    patches j = patches_of(l);
    const int64_t plane = j.height * j.width;
    cbm_parallel_for(l->out[0].count / plane, cbm_grain(j.kernel[0] * j.kernel[1] * j.down * j.across), l->threads,
                     fold_planes, &j);
    return CBM_OK;
}

const cbm_kernel cbm_cpu_window[] = {
    { .op = "windows_add", .supports = cbm_cpu_f32, .launch = windows_add },
    { .op = "unfold", .launch = unfold },
    { .op = "fold", .supports = cbm_cpu_f32, .launch = fold },
    { .op = NULL },
};
