/* linalg.c: factorisations and solving, always in double: the kernels over LAPACK on numbers (reference.h), which of floats
   are doubles in memory. */
#include "backend/lapack/lapack.h"
#include "backend/reference/reference.h"
#include "op/attributes.h"

#include <string.h>

typedef struct in_double {
    cbm_launch launch;
    cbm_buffer buffers[CBM_MAX_INPUTS + CBM_MAX_OUTPUTS];
} in_double;

static const cbm_kernel *inner_kernel(const cbm_launch *launch)
{
    const cbm_kernel *k = cbm_lapack_kernels;
    while (strcmp(k->op, launch->op->name) != 0)
        k++;
    return k;
}

/* The same launch on row-major doubles (and i32), without memory. */
static void widen(const cbm_launch *launch, in_double *to)
{
    to->launch = *launch;
    to->launch.in = to->buffers;
    to->launch.out = to->buffers + launch->n_in;
    for (size_t i = 0; i < launch->n_in + launch->n_out; i++) {
        cbm_buffer *b = &to->buffers[i];
        *b = i < launch->n_in ? launch->in[i] : launch->out[i - launch->n_in];
        b->dtype = cbm_is_floating(b->dtype) ? CBM_F64 : b->dtype;
        b->data = NULL;
        b->contiguous = 1;
        cbm_row_major(b->rank, b->shape, b->stride);
    }
}

static cbm_status prepare(cbm_prepare *p)
{
    in_double wide;
    cbm_prepare inner = *p;
    widen(p->launch, &wide);
    inner.launch = &wide.launch;
    cbm_status status = cbm_numbers_prepare(p);
    if (status == CBM_OK)
        status = inner_kernel(p->launch)->prepare(&inner);
    p->state = inner.state;
    p->workspace = (p->workspace + 63) / 64 * 64 + inner.workspace;
    return status;
}

/* Whole numbers in 8 bytes each, in the places of their halves; and back. */
static void narrow_whole(cbm_number *numbers, int64_t count)
{
    for (int64_t k = 0; k < count; k++)
        memcpy((int32_t *)(void *)numbers + k, &(int32_t){ (int32_t)numbers[k].i }, sizeof(int32_t));
}

static void widen_whole(cbm_number *numbers, int64_t count)
{
    for (int64_t k = count - 1; k >= 0; k--) {
        int32_t v;
        memcpy(&v, (int32_t *)(void *)numbers + k, sizeof v);
        numbers[k].i = v;
    }
}

static cbm_status run(const cbm_launch *launch)
{
    in_double wide;
    cbm_numbers c;
    cbm_prepare room = { .launch = launch };
    widen(launch, &wide);
    cbm_numbers_unpack(launch, &c);
    (void)cbm_numbers_prepare(&room);
    wide.launch.workspace = (char *)launch->workspace + (room.workspace + 63) / 64 * 64;
    for (size_t i = 0; i < launch->n_in + launch->n_out; i++) {
        cbm_buffer *b = &wide.buffers[i];
        b->data = i < launch->n_in ? c.in[i] : c.out[i - launch->n_in];
        if (b->dtype != CBM_F64 && i < launch->n_in)
            narrow_whole(b->data, b->count);
    }
    const cbm_status status = inner_kernel(launch)->launch(&wide.launch);
    if (status != CBM_OK)
        return status;
    for (size_t i = 0; i < launch->n_out; i++)
        if (!cbm_is_floating(launch->out[i].dtype))
            widen_whole(c.out[i], launch->out[i].count);
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

#define IN_DOUBLE(op_)                                                                                                 \
    {                                                                                                                  \
        .op = (op_), .flags = CBM_KERNEL_STRIDED, .prepare = prepare, .launch = run                                    \
    }
const cbm_kernel cbm_reference_linalg[] = {
    IN_DOUBLE("cholesky"), IN_DOUBLE("lu_factor"), IN_DOUBLE("det"),
    IN_DOUBLE("slogdet"),  IN_DOUBLE("solve"),     IN_DOUBLE("solve_triangular"),
    IN_DOUBLE("qr"),       IN_DOUBLE("svd"),       IN_DOUBLE("svdvals"),
    IN_DOUBLE("pinv"),     IN_DOUBLE("eigh"),      IN_DOUBLE("eigvalsh"),
    { .op = NULL },
};
