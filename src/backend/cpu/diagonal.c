/* diagonal.c: tril, triu and diag_embed for every dtype, a row of a matrix at a time. */
#include "backend/cpu/cpu.h"

#include <string.h>

typedef struct job {
    const char *x;
    char *y;
    size_t size;           /* of an element */
    int64_t rows, columns; /* of a matrix */
    int64_t offset;        /* the diagonal: column - row */
    bool upper;
    int64_t length; /* of the diagonals that are put in */
} job;

static int64_t clamp(int64_t v, int64_t low, int64_t high)
{
    return v < low ? low : v > high ? high : v;
}

static void triangle_rows(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const size_t size = j->size;
    for (int64_t r = begin; r < end; r++) {
        /* columns up to the diagonal, or from it on */
        const int64_t cut = clamp(r % j->rows + j->offset + !j->upper, 0, j->columns);
        const size_t left = (size_t)cut * size, right = (size_t)(j->columns - cut) * size;
        const char *from = j->x + (size_t)(r * j->columns) * size;
        char *to = j->y + (size_t)(r * j->columns) * size;
        if (j->upper) {
            memset(to, 0, left);
            memcpy(to + left, from + left, right);
        } else {
            memcpy(to, from, left);
            memset(to + left, 0, right);
        }
    }
}

static cbm_status triangle(const cbm_launch *l, bool upper)
{
    const cbm_buffer *x = &l->in[0];
    job j = { .x = x->data,
              .y = l->out[0].data,
              .size = cbm_dtype_size(x->dtype),
              .rows = x->shape[x->rank - 2],
              .columns = x->shape[x->rank - 1],
              .upper = upper };
    j.offset = clamp(((const cbm_triangle_attributes *)l->attributes)->diagonal, -j.rows, j.columns);
    cbm_parallel_for(x->count / j.columns, cbm_grain(j.columns), l->threads, triangle_rows, &j);
    return CBM_OK;
}

static cbm_status tril(const cbm_launch *l)
{
    return triangle(l, false);
}

static cbm_status triu(const cbm_launch *l)
{
    return triangle(l, true);
}

static void embed_rows(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const size_t size = j->size, row = (size_t)j->columns * size;
    memset(j->y + (size_t)begin * row, 0, (size_t)(end - begin) * row);
    for (int64_t r = begin; r < end; r++) {
        const int64_t column = r % j->rows + j->offset, i = j->offset < 0 ? column : r % j->rows;
        if (i >= 0 && i < j->length)
            memcpy(j->y + (size_t)r * row + (size_t)column * size, j->x + (size_t)(r / j->rows * j->length + i) * size,
                   size);
    }
}

static cbm_status diag_embed(const cbm_launch *l)
{
    const cbm_diag_embed_attributes *a = l->attributes;
    const cbm_buffer *x = &l->in[0];
    job j = { .x = x->data,
              .y = l->out[0].data,
              .size = cbm_dtype_size(x->dtype),
              .rows = a->rows,
              .columns = a->columns,
              .offset = a->offset,
              .length = x->shape[x->rank - 1] };
    cbm_parallel_for(l->out[0].count / a->columns, cbm_grain(a->columns), l->threads, embed_rows, &j);
    return CBM_OK;
}

const cbm_kernel cbm_cpu_diagonal[] = {
    { .op = "tril", .launch = tril },
    { .op = "triu", .launch = triu },
    { .op = "diag_embed", .launch = diag_embed },
    { .op = NULL },
};
