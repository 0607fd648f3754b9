/* reference.c: the reference backend's record and what its kernels share: numbers, walks, lanes. Rests on nothing but the
   buffers it is given; no state anywhere. */
#include "backend/reference/reference.h"
#include "base/bf16.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const cbm_kernel *const tables[] = { cbm_reference_reduce,    cbm_reference_matmul,    cbm_reference_conv,
                                            cbm_reference_pool,      cbm_reference_norm,      cbm_reference_softmax,
                                            cbm_reference_move,      cbm_reference_index,     cbm_reference_loss,
                                            cbm_reference_recurrent, cbm_reference_adaptive,  cbm_reference_layer_norm,
                                            cbm_reference_ctc,       cbm_reference_attention, cbm_reference_pad,
                                            cbm_reference_window,    cbm_reference_diagonal,  cbm_reference_create,
                                            cbm_reference_scatter,   cbm_reference_sort,      cbm_reference_embedding,
                                            cbm_reference_scan,      cbm_reference_linalg,    NULL };

const cbm_backend cbm_backend_reference = {
    .name = "reference",
    .tables = tables,
    .fused_prepare = cbm_reference_fused_prepare,
    .fused_run = cbm_reference_fused_run,
    .reorder = cbm_reference_reorder,
};

cbm_number cbm_number_load(const void *data, cbm_dtype dtype, int64_t offset)
{
    switch (dtype) {
    case CBM_F32: return (cbm_number){ .f = (double)((const float *)data)[offset] };
    case CBM_F64: return (cbm_number){ .f = ((const double *)data)[offset] };
    case CBM_I64: return (cbm_number){ .i = ((const int64_t *)data)[offset] };
    case CBM_I32: return (cbm_number){ .i = ((const int32_t *)data)[offset] };
    case CBM_U8: return (cbm_number){ .i = ((const uint8_t *)data)[offset] };
    case CBM_BOOL: return (cbm_number){ .i = ((const uint8_t *)data)[offset] != 0 };
    case CBM_BF16: return (cbm_number){ .f = (double)cbm_bf16_widen(((const uint16_t *)data)[offset]) };
    }
    return (cbm_number){ .i = 0 };
}

void cbm_number_store(void *data, cbm_dtype dtype, int64_t offset, cbm_number value)
{
    switch (dtype) {
    case CBM_F32: ((float *)data)[offset] = (float)value.f; break;
    case CBM_F64: ((double *)data)[offset] = value.f; break;
    case CBM_I64: ((int64_t *)data)[offset] = value.i; break;
    case CBM_I32: ((int32_t *)data)[offset] = (int32_t)(uint32_t)(uint64_t)value.i; break;
    case CBM_U8: ((uint8_t *)data)[offset] = (uint8_t)(uint64_t)value.i; break;
    case CBM_BOOL: ((uint8_t *)data)[offset] = value.i != 0; break;
    case CBM_BF16: ((uint16_t *)data)[offset] = cbm_bf16_round((float)value.f); break;
    }
}

void cbm_reference_copy(const cbm_buffer *to, int64_t to_offset, const cbm_buffer *from, int64_t from_offset)
{
    size_t size = cbm_dtype_size(to->dtype);
    memmove((char *)to->data + (size_t)to_offset * size, (const char *)from->data + (size_t)from_offset * size, size);
}

cbm_walk cbm_walk_over(int64_t rank, const int64_t *shape, const int64_t *stride)
{
    cbm_walk w = { .rank = rank };
    for (int64_t d = 0; d < rank; d++) {
        w.shape[d] = shape[d];
        w.stride[d] = stride[d];
    }
    return w;
}

void cbm_walk_next(cbm_walk *w)
{
    for (int64_t d = w->rank - 1; d >= 0; d--) {
        w->offset += w->stride[d];
        if (++w->at[d] < w->shape[d])
            return;
        w->offset -= w->stride[d] * w->shape[d];
        w->at[d] = 0;
    }
}

void cbm_row_major(int64_t rank, const int64_t *shape, int64_t *stride)
{
    int64_t step = 1;
    for (int64_t d = rank - 1; d >= 0; d--) {
        stride[d] = step;
        step *= shape[d];
    }
}

cbm_status cbm_numbers_prepare(cbm_prepare *prepare)
{
    const cbm_launch *launch = prepare->launch;
    size_t numbers = 0;
    for (size_t i = 0; i < launch->n_in; i++)
        numbers += (size_t)launch->in[i].count;
    for (size_t i = 0; i < launch->n_out; i++)
        numbers += (size_t)launch->out[i].count;
    if (numbers > SIZE_MAX / sizeof(cbm_number))
        return CBM_ERROR_MEMORY;
    prepare->workspace = numbers * sizeof(cbm_number);
    return CBM_OK;
}

void cbm_numbers_unpack(const cbm_launch *launch, cbm_numbers *numbers)
{
    cbm_number *next = launch->workspace;
    for (size_t i = 0; i < launch->n_in; i++) {
        const cbm_buffer *b = &launch->in[i];
        cbm_walk w = cbm_walk_over(b->rank, b->shape, b->stride);
        for (int64_t k = 0; k < b->count; k++, cbm_walk_next(&w))
            next[k] = cbm_number_load(b->data, b->dtype, w.offset);
        numbers->in[i] = next;
        next += b->count;
    }
    for (size_t i = 0; i < launch->n_out; i++) {
        numbers->out[i] = next;
        if (launch->out[i].count > 0)
            memset(next, 0, (size_t)launch->out[i].count * sizeof *next); /* 0.0 and 0 alike */
        next += launch->out[i].count;
    }
}

void cbm_numbers_pack(const cbm_launch *launch, const cbm_numbers *numbers)
{
    for (size_t i = 0; i < launch->n_out; i++) {
        const cbm_buffer *b = &launch->out[i];
        if (!b->data)
            continue; /* a result that nobody needs */
        for (int64_t k = 0; k < b->count; k++)
            cbm_number_store(b->data, b->dtype, k, numbers->out[i][k]);
    }
}

cbm_lanes cbm_lanes_of(const cbm_buffer *b, int64_t axis)
{
    cbm_lanes l = { 1, 1, 1 };
    for (int64_t d = 0; d < b->rank; d++) {
        if (d < axis)
            l.outer *= b->shape[d];
        else if (d == axis)
            l.length = b->shape[d];
        else
            l.inner *= b->shape[d];
    }
    return l;
}

cbm_status cbm_reference_range(const cbm_launch *launch, const char *what, int64_t value, int64_t position,
                               int64_t count)
{
    if (launch->message)
        snprintf(launch->message, 256, "%s %" PRId64 " at position %" PRId64 " is outside 0..%" PRId64, what, value,
                 position, count - 1);
    return CBM_ERROR_RANGE;
}
