/* matmul.c: products of matrices by oneDNN's matmul primitive, operands as they lie. */
#include "backend/cpu/onednn/parts.h"

#include <stdio.h>
#include <string.h>

static cbm_dnn_desc matrix_desc(int64_t rank, int64_t batch, int64_t rows, int64_t columns, const int64_t stride[3])
{
    if (rank == 2)
        return cbm_dnn_desc_strides(2, (int64_t[]){ rows, columns }, dnnl_f32, stride + 1);
    const bool broadcast = stride[0] == 0;
    return cbm_dnn_desc_strides(3, (int64_t[]){ broadcast ? 1 : batch, rows, columns }, dnnl_f32,
                                (int64_t[]){ broadcast ? rows * columns : stride[0], stride[1], stride[2] });
}

static bool add_matmul(cbm_dnn *d, dnnl_primitive_desc_t pd, const cbm_dnn_desc desc[3])
{
    const dnnl_exec_arg_t arguments[] = { { DNNL_ARG_SRC, cbm_dnn_memory(d, desc[0], 0) },
                                          { DNNL_ARG_WEIGHTS, cbm_dnn_memory(d, desc[1], 1) },
                                          { DNNL_ARG_DST, cbm_dnn_memory(d, desc[2], 2) } };
    snprintf(d->description, sizeof d->description, "%s", cbm_dnn_implementation(pd));
    return arguments[0].memory && arguments[1].memory && arguments[2].memory && cbm_dnn_stage_add(d, pd, arguments, 3);
}

cbm_dnn *cbm_dnn_matmul(const cbm_dnn_product *p, int64_t threads)
{
    cbm_dnn *d = cbm_dnn_begin(threads);
    if (!d)
        return NULL;
    const cbm_dnn_desc desc[3] = { matrix_desc(p->rank, p->batch, p->m, p->k, p->a_stride),
                                   matrix_desc(p->rank, p->batch, p->k, p->n, p->b_stride),
                                   matrix_desc(p->rank, p->batch, p->m, p->n, p->c_stride) };
    dnnl_primitive_attr_t attr = cbm_dnn_attributes();
    dnnl_primitive_desc_t pd =
        attr && desc[0] && desc[1] && desc[2] ? cbm_dnn_matmul_primitive(desc[0], desc[1], desc[2], attr) : NULL;
    const bool ok = pd && strncmp(cbm_dnn_implementation(pd), "ref", 3) != 0 && add_matmul(d, pd, desc);
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    for (int i = 0; i < 3; i++)
        cbm_dnn_desc_free(desc[i]);
    return cbm_dnn_end(d, ok);
}
