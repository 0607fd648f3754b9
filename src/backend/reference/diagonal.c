/* diagonal.c: tril, triu and diag_embed, element by element and for any dtype. */
#include "backend/reference/reference.h"
#include "op/attributes.h"

#include <string.h>

static void zero(const cbm_buffer *y, int64_t k)
{
    const size_t size = cbm_dtype_size(y->dtype);
    memset((char *)y->data + (size_t)k * size, 0, size);
}

static cbm_status triangle(const cbm_launch *launch, bool upper)
{
    const int64_t diagonal = ((const cbm_triangle_attributes *)launch->attributes)->diagonal;
    const cbm_buffer *x = &launch->in[0], *y = &launch->out[0];
    cbm_walk w = cbm_walk_over(x->rank, x->shape, x->stride);
    for (int64_t k = 0; k < y->count; k++, cbm_walk_next(&w)) {
        const int64_t above = w.at[x->rank - 1] - w.at[x->rank - 2];
        if (upper ? above >= diagonal : above <= diagonal)
            cbm_reference_copy(y, k, x, w.offset);
        else
            zero(y, k);
    }
    return CBM_OK;
}

static cbm_status tril(const cbm_launch *launch)
{
    return triangle(launch, false);
}

static cbm_status triu(const cbm_launch *launch)
{
    return triangle(launch, true);
}

static cbm_status diag_embed(const cbm_launch *launch)
{
    const cbm_diag_embed_attributes *a = launch->attributes;
    const cbm_buffer *x = &launch->in[0], *y = &launch->out[0];
    const int64_t row = a->offset < 0 ? -a->offset : 0, column = a->offset > 0 ? a->offset : 0;
    for (int64_t k = 0; k < y->count; k++)
        zero(y, k);
    cbm_walk w = cbm_walk_over(x->rank, x->shape, x->stride);
    for (int64_t k = 0; k < x->count; k++, cbm_walk_next(&w)) {
        const int64_t i = w.at[x->rank - 1], matrix = k / x->shape[x->rank - 1];
        cbm_reference_copy(y, (matrix * a->rows + row + i) * a->columns + column + i, x, w.offset);
    }
    return CBM_OK;
}

const cbm_kernel cbm_reference_diagonal[] = {
    { .op = "tril", .flags = CBM_KERNEL_STRIDED, .launch = tril },
    { .op = "triu", .flags = CBM_KERNEL_STRIDED, .launch = triu },
    { .op = "diag_embed", .flags = CBM_KERNEL_STRIDED, .launch = diag_embed },
    { .op = NULL },
};
