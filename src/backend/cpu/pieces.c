/* pieces.c: copies by pieces of axes, and their adjoint. Axes that a copy leaves whole are merged: those behind the last
   one that it cuts make up one long element. Rests on pieces.h and simd/rows.c. */
#include "backend/cpu/pieces.h"

#include <string.h>

typedef struct job {
    const cbm_pieces *p;
    const cbm_simd *simd;
    const char *x;                /* or g */
    char *y;                      /* or dx */
    size_t size;                  /* of an element of the dtype */
    int64_t unit;                 /* elements without gaps behind the last cut axis */
    int64_t last;                 /* the last cut axis, -1: none */
    int64_t first;                /* of the adjoint: the first one */
    int64_t extent[CBM_MAX_DIMS]; /* of the result, or g */
    int64_t stride[CBM_MAX_DIMS]; /* in x, or dx; elements */
    int64_t row;                  /* elements of the result's row: last axis and units */
    const void *fill;
    int64_t parts; /* of the adjoint's units */
} job;

static bool is_whole(const cbm_pieces *p, int64_t d, int64_t extent)
{
    const cbm_piece *a = &p->piece[d][0];
    return p->count[d] == 1 && a->from == 0 && a->step == 1 && a->length == extent;
}

/* Merges the whole axes behind; x's extents and strides. */
static void find_unit(job *j, const cbm_buffer *x)
{
    j->unit = 1;
    j->last = x->rank - 1;
    while (j->last >= 0 && is_whole(j->p, j->last, x->shape[j->last]) &&
           (x->stride[j->last] == j->unit || x->shape[j->last] == 1))
        j->unit *= x->shape[j->last--];
    j->row = j->unit * (j->last >= 0 ? j->extent[j->last] : 1);
}

/* The place in x's axis d that place i of the result's comes from, or -1. */
static int64_t place_of(const cbm_pieces *p, int64_t d, int64_t i)
{
    const cbm_piece *a = p->piece[d];
    for (; i >= a->length; a++)
        i -= a->length;
    return a->from < 0 ? -1 : a->from + i * a->step;
}

/* The offset in x of row number r of the result, or -1: it comes from nowhere. */
static int64_t offset_of_row(const job *j, int64_t r, int64_t first)
{
    int64_t offset = 0;
    for (int64_t d = j->last - 1; d >= first; d--) {
        const int64_t from = place_of(j->p, d, r % j->extent[d]);
        if (from < 0)
            return -1;
        r /= j->extent[d];
        offset += from * j->stride[d];
    }
    return offset;
}

static void fill(char *to, const void *element, size_t size, int64_t n)
{
    static const uint64_t zero;
    if (memcmp(element, &zero, size) == 0) {
        memset(to, 0, (size_t)n * size);
    } else if (size == 4) {
        uint32_t v;
        memcpy(&v, element, size);
        for (int64_t i = 0; i < n; i++)
            ((uint32_t *)(void *)to)[i] = v;
    } else {
        for (int64_t i = 0; i < n; i++)
            memcpy(to + (size_t)i * size, element, size);
    }
}

/* n elements of 4 bytes back to front. */
static void copy_reversed(char *to, const char *from, int64_t n)
{
    typedef uint32_t four __attribute__((vector_size(16)));
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        four v;
        memcpy(&v, from - 4 * (i + 3), sizeof v);
        v = __builtin_shufflevector(v, v, 3, 2, 1, 0);
        memcpy(to + 4 * i, &v, sizeof v);
    }
    for (; i < n; i++)
        memcpy(to + 4 * i, from - 4 * i, 4);
}

/* n units, `step` elements apart in x, one behind the other in y. */
static void copy_units(const job *j, char *to, const char *from, int64_t n, int64_t step)
{
    const size_t size = j->size, unit = (size_t)j->unit * size;
    if (step == j->unit) {
        memcpy(to, from, (size_t)n * unit);
        return;
    }
    const int64_t bytes = step * (int64_t)size;
    if (unit == 4 && bytes == -4) {
        copy_reversed(to, from, n);
        return;
    }
#define EACH(unit_)                                                                                                    \
    for (int64_t i = 0; i < n; i++)                                                                                    \
    memcpy(to + (size_t)i * (unit_), from + i * bytes, (unit_))
    switch (unit) { /* sizes known to the compiler */
    case 1: EACH(1); break;
    case 2: EACH(2); break;
    case 4: EACH(4); break;
    case 8: EACH(8); break;
    case 16: EACH(16); break;
    default: EACH(unit);
    }
#undef EACH
}

static void copy_rows(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const int64_t d = j->last;
    for (int64_t r = begin; r < end; r++) {
        char *to = j->y + (size_t)(r * j->row) * j->size;
        const int64_t offset = offset_of_row(j, r, 0);
        if (offset < 0) {
            fill(to, j->fill, j->size, j->row);
            continue;
        }
        const char *row = j->x + offset * (int64_t)j->size;
        for (int64_t k = 0; k < j->p->count[d]; k++) {
            const cbm_piece *a = &j->p->piece[d][k];
            if (a->from < 0)
                fill(to, j->fill, j->size, a->length * j->unit);
            else
                copy_units(j, to, row + a->from * j->stride[d] * (int64_t)j->size, a->length, a->step * j->stride[d]);
            to += (size_t)(a->length * j->unit) * j->size;
        }
    }
}

static void copy_bytes(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    memcpy(j->y + begin, j->x + begin, (size_t)(end - begin));
}

void cbm_pieces_copy(const cbm_launch *l, const cbm_pieces *p, const void *fill_with)
{
    const cbm_buffer *x = &l->in[0], *y = &l->out[0];
    job j = { .p = p, .x = x->data, .y = y->data, .size = cbm_dtype_size(x->dtype), .fill = fill_with };
    for (int64_t d = 0; d < x->rank; d++) {
        j.extent[d] = y->shape[d];
        j.stride[d] = x->stride[d];
    }
    find_unit(&j, x);
    if (y->count == 0)
        return;
    if (j.last < 0)
        cbm_parallel_for(y->count * (int64_t)j.size, CBM_CPU_GRAIN * 8, l->threads, copy_bytes, &j);
    else
        cbm_parallel_for(y->count / j.row, cbm_grain(j.row), l->threads, copy_rows, &j);
}

/* ---- the adjoint ---- */

/* Part `part` of each unit of g's plane number `plane`, added into dx. */
static void add_plane(const job *j, int64_t plane, int64_t part)
{
    const int64_t d = j->last, begin = part * j->unit / j->parts, n = (part + 1) * j->unit / j->parts - begin;
    int64_t rows = 1, places = j->first > 0 ? j->stride[j->first - 1] : 0;
    for (int64_t k = j->first; k < d; k++)
        rows *= j->extent[k];
    const float *g = (const float *)(const void *)j->x + plane * rows * j->row + begin;
    float *dx = (float *)(void *)j->y + plane * places + begin;
    for (int64_t r = 0; r < rows; r++) {
        const int64_t offset = offset_of_row(j, r, j->first);
        for (int64_t k = 0; k < j->p->count[d] && offset >= 0; k++) {
            const cbm_piece *a = &j->p->piece[d][k];
            float *to = dx + offset + a->from * j->unit;
            if (a->step == 1 && j->parts == 1)
                j->simd->add(to, g, a->length * j->unit);
            else if (j->unit == 1)
                for (int64_t i = 0; i < a->length; i++)
                    to[i * a->step] += g[i];
            else
                for (int64_t i = 0; i < a->length; i++)
                    j->simd->add(to + i * a->step * j->unit, g + i * j->unit, n);
            g += a->length * j->unit;
        }
        g += offset < 0 ? j->row : 0;
    }
}

static void add_planes(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    for (int64_t i = begin; i < end; i++)
        add_plane(j, i / j->parts, i % j->parts);
}

static void zero(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    memset(j->y + begin, 0, (size_t)(end - begin));
}

void cbm_pieces_add(const cbm_launch *l, const cbm_pieces *p)
{
    const cbm_buffer *g = &l->in[0], *dx = &l->out[0];
    job j = { .p = p, .simd = cbm_simd_get(), .x = g->data, .y = dx->data, .size = sizeof(float), .parts = 1 };
    int64_t planes = 1, step = 1;
    for (int64_t d = dx->rank - 1; d >= 0; d--) {
        j.extent[d] = g->shape[d];
        j.stride[d] = step;
        step *= dx->shape[d];
    }
    cbm_buffer flat = *dx;
    memcpy(flat.stride, j.stride, sizeof flat.stride);
    find_unit(&j, &flat);
    while (j.first < j.last && is_whole(p, j.first, dx->shape[j.first]))
        planes *= dx->shape[j.first++];
    const int64_t bytes = dx->count * (int64_t)sizeof(float);
    if (j.last < 0) { /* nothing is cut */
        cbm_parallel_for(bytes, CBM_CPU_GRAIN * 8, l->threads, copy_bytes, &j);
        return;
    }
    cbm_parallel_for(bytes, CBM_CPU_GRAIN * 8, l->threads, zero, &j);
    if (g->count == 0)
        return;
    if (planes < l->threads && j.unit >= 64 * l->threads)
        j.parts = l->threads;
    cbm_parallel_for(planes * j.parts, cbm_grain(g->count / planes / j.parts), l->threads, add_planes, &j);
}
