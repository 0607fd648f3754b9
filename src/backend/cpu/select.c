/* select.c: rows along an axis by a vector of indices: index_select, index_add, index_copy, index_fill. Indices are checked
   before anything is written. Rests on rows.h. */
#include "backend/cpu/rows.h"

#include "op/number.h"

#include <string.h>

/* ---- index_select ---- */

enum { AHEAD = 8 }; /* rows that are asked for before they are read */

typedef struct selection {
    const int64_t *index;
    const char *x;
    char *y;
    int64_t count, length; /* of index, and of x's axis */
    size_t row;            /* bytes */
} selection;

#define EACH(bytes_)                                                                                                   \
    for (int64_t k = first; k < last; k++, to += (bytes_))                                                             \
    memcpy(to, x + (size_t)index[k] * (bytes_), (bytes_))

/* Rows first to last - 1 of one outer number. */
static void select_rows(const selection *s, const char *x, char *to, int64_t first, int64_t last)
{
    const int64_t *index = s->index;
    switch (s->row) { /* sizes known to the compiler */
    case 1: EACH(1); return;
    case 2: EACH(2); return;
    case 4: EACH(4); return;
    case 8: EACH(8); return;
    default: break;
    }
    for (int64_t k = first; k < last; k++, to += s->row) {
        if (k + AHEAD < last)
            __builtin_prefetch(x + (size_t)index[k + AHEAD] * s->row);
        memcpy(to, x + (size_t)index[k] * s->row, s->row);
    }
}

static void select_part(void *user, int64_t begin, int64_t end)
{
    const selection *s = user;
    while (begin < end) {
        const int64_t o = begin / s->count, first = begin % s->count, left = end - o * s->count;
        const int64_t last = left < s->count ? left : s->count;
        select_rows(s, s->x + (size_t)(o * s->length) * s->row, s->y + (size_t)begin * s->row, first, last);
        begin = o * s->count + last;
    }
}

static cbm_status select_prepare(cbm_prepare *p)
{
    if (p->launch->in[1].dtype == CBM_I32)
        p->workspace = (size_t)p->launch->in[1].count * sizeof(int64_t);
    return CBM_OK;
}

static cbm_status index_select(const cbm_launch *l) /* x, index -> y */
{
    const cbm_buffer *x = &l->in[0], *index = &l->in[1];
    const cbm_around a = cbm_around_axis(x, ((const cbm_axis_attributes *)l->attributes)->axis);
    const cbm_status status = cbm_check_index(l, index, a.length);
    if (status != CBM_OK)
        return status;
    int64_t *wide = l->workspace;
    for (int64_t k = 0; index->dtype == CBM_I32 && k < index->count; k++)
        wide[k] = ((const int32_t *)index->data)[k];
    selection s = { .index = index->dtype == CBM_I32 ? wide : index->data,
                    .x = x->data,
                    .y = l->out[0].data,
                    .count = index->count,
                    .length = a.length,
                    .row = (size_t)a.inner * cbm_dtype_size(x->dtype) };
    cbm_parallel_for(a.outer * s.count, cbm_grain(a.inner), l->threads, select_part, &s);
    return CBM_OK;
}

/* ---- into a copy of x ---- */

typedef struct copying {
    char *to;
    const char *from;
} copying;

static void copy_part(void *user, int64_t begin, int64_t end)
{
    const copying *c = user;
    memcpy(c->to + begin, c->from + begin, (size_t)(end - begin));
}

/* y = x, unless it is x's memory already. */
static void copy_first(const cbm_launch *l)
{
    copying c = { l->out[0].data, l->in[0].data };
    if (c.to != c.from)
        cbm_parallel_for(l->in[0].count * (int64_t)cbm_dtype_size(l->in[0].dtype), CBM_CPU_GRAIN * 8, l->threads,
                         copy_part, &c);
}

static cbm_rows rows_of(const cbm_launch *l, int64_t axis)
{
    const cbm_around a = cbm_around_axis(&l->in[0], axis);
    return (cbm_rows){ &l->in[1], a.outer, a.length, a.inner, -1 };
}

static cbm_status index_add(const cbm_launch *l) /* x, index, source -> y */
{
    const cbm_rows r = rows_of(l, ((const cbm_axis_attributes *)l->attributes)->axis);
    const cbm_status status = cbm_check_index(l, r.index, r.length);
    if (status != CBM_OK)
        return status;
    copy_first(l);
    cbm_rows_add(&r, l->out[0].data, l->in[2].data, l->threads);
    return CBM_OK;
}

static cbm_status index_copy(const cbm_launch *l) /* x, index, source -> y */
{
    const cbm_rows r = rows_of(l, ((const cbm_axis_attributes *)l->attributes)->axis);
    const cbm_status status = cbm_check_index(l, r.index, r.length);
    if (status != CBM_OK)
        return status;
    copy_first(l);
    cbm_rows_put(&r, l->out[0].data, l->in[2].data, cbm_dtype_size(l->in[0].dtype), l->threads);
    return CBM_OK;
}

typedef struct filling {
    cbm_rows r;
    char *y;
    size_t size;
    uint64_t value; /* an element's bytes first */
} filling;

static void fill_outer(void *user, int64_t begin, int64_t end)
{
    const filling *f = user;
    for (int64_t o = begin; o < end; o++)
        for (int64_t k = 0; k < f->r.index->count; k++) {
            const int64_t row = o * f->r.length + cbm_index_at(f->r.index, k);
            char *to = f->y + (size_t)(row * f->r.inner) * f->size;
            for (int64_t i = 0; i < f->r.inner; i++)
                memcpy(to + (size_t)i * f->size, &f->value, f->size);
        }
}

static cbm_status index_fill(const cbm_launch *l) /* x, index -> y */
{
    const cbm_index_fill_attributes *a = l->attributes;
    const cbm_dtype dtype = l->in[0].dtype;
    filling f = { rows_of(l, a->axis), l->out[0].data, cbm_dtype_size(dtype), cbm_element_of(dtype, a->value) };
    const cbm_status status = cbm_check_index(l, f.r.index, f.r.length);
    if (status != CBM_OK)
        return status;
    copy_first(l);
    cbm_parallel_for(f.r.outer, cbm_grain(f.r.index->count * f.r.inner), l->threads, fill_outer, &f);
    return CBM_OK;
}

static bool adds_f32(const cbm_launch *l)
{
    return l->in[0].dtype == CBM_F32;
}

const cbm_kernel cbm_cpu_select[] = {
    { .op = "index_select", .prepare = select_prepare, .launch = index_select },
    { .op = "index_add", .supports = adds_f32, .launch = index_add },
    { .op = "index_copy", .launch = index_copy },
    { .op = "index_fill", .launch = index_fill },
    { .op = NULL },
};
