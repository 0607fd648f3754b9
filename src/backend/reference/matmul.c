/* matmul.c: products of (batches of) matrices, broadcasting over the leading dimensions. Rests on numbers (reference.h). */
#include "backend/reference/reference.h"

/* Strides of the matrix number in the operand's batch, lined up with the result's batch dimensions; 0 where broadcast. */
static void batch_strides(const cbm_buffer *b, int64_t batch_rank, int64_t *stride)
{
    int64_t own = b->rank > 2 ? b->rank - 2 : 0;
    int64_t step = 1;
    for (int64_t d = 0; d < batch_rank; d++)
        stride[d] = 0;
    for (int64_t d = own - 1; d >= 0; d--) {
        stride[batch_rank - own + d] = b->shape[d] == 1 ? 0 : step;
        step *= b->shape[d];
    }
}

static void product(bool floats, int64_t m, int64_t k, int64_t n, const cbm_number *a_mk, const cbm_number *b_kn,
                    cbm_number *out_mn)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t p = 0; p < k; p++) {
            cbm_number x = a_mk[i * k + p];
            const cbm_number *row = b_kn + p * n;
            cbm_number *out = out_mn + i * n;
            if (floats) {
                for (int64_t j = 0; j < n; j++)
                    out[j].f += x.f * row[j].f;
            } else {
                for (int64_t j = 0; j < n; j++)
                    out[j].i = (int64_t)((uint64_t)out[j].i + (uint64_t)x.i * (uint64_t)row[j].i);
            }
        }
}

static cbm_status matmul(const cbm_launch *launch)
{
    const cbm_buffer *a = &launch->in[0], *b = &launch->in[1], *y = &launch->out[0];
    int64_t m = a->rank > 1 ? a->shape[a->rank - 2] : 1;
    int64_t k = a->shape[a->rank - 1];
    int64_t n = b->rank > 1 ? b->shape[b->rank - 1] : 1;
    int64_t batch_rank = y->rank - (a->rank > 1) - (b->rank > 1);
    int64_t a_stride[CBM_MAX_DIMS] = { 0 }, b_stride[CBM_MAX_DIMS] = { 0 };
    batch_strides(a, batch_rank, a_stride);
    batch_strides(b, batch_rank, b_stride);
    int64_t batches = 1;
    for (int64_t d = 0; d < batch_rank; d++)
        batches *= y->shape[d];

    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    cbm_walk a_walk = cbm_walk_over(batch_rank, y->shape, a_stride);
    cbm_walk b_walk = cbm_walk_over(batch_rank, y->shape, b_stride);
    for (int64_t i = 0; i < batches; i++) {
        product(cbm_is_floating(y->dtype), m, k, n, c.in[0] + a_walk.offset * m * k, c.in[1] + b_walk.offset * k * n,
                c.out[0] + i * m * n);
        cbm_walk_next(&a_walk);
        cbm_walk_next(&b_walk);
    }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

const cbm_kernel cbm_reference_matmul[] = {
    { .op = "matmul", .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = matmul },
    { .op = NULL },
};
