/* matmul.c: products of matrices by oneDNN's matmul primitive, operands as they lie. */
#include "backend/cpu/onednn/parts.h"

#include <stdio.h>
#include <string.h>

/* One of a, b, c: its shape and where its elements are. */
typedef struct matrix {
    int64_t rank, batch, rows, columns;
    const int64_t *stride;
    bool bf16;
} matrix;

static cbm_dnn_desc own_desc(const matrix *m)
{
    const int64_t batch_stride = m->stride[0] == 0 ? m->rows * m->columns : m->stride[0];
    const int64_t dims[] = { m->stride[0] == 0 ? 1 : m->batch, m->rows, m->columns };
    const int64_t strides[] = { batch_stride, m->stride[1], m->stride[2] };
    const int64_t skip = 3 - m->rank;
    return cbm_dnn_desc_strides((int)m->rank, dims + skip, m->bf16 ? dnnl_bf16 : dnnl_f32, strides + skip);
}

/* The same matrix in another type, without gaps, rows or columns together as before. */
static cbm_dnn_desc converted_desc(const matrix *m, bool bf16)
{
    const bool row_major = m->stride[2] == 1;
    const int64_t strides[] = { m->stride[0] == 0 ? 0 : m->rows * m->columns, row_major ? m->columns : 1,
                                row_major ? 1 : m->rows };
    const matrix dense = { m->rank, m->batch, m->rows, m->columns, strides, bf16 };
    return own_desc(m->bf16 == bf16 ? m : &dense);
}

static bool add_matmul(cbm_dnn *d, dnnl_primitive_desc_t pd, const cbm_dnn_desc own[3], const cbm_dnn_desc wanted[3])
{
    static const int names[] = { DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST };
    dnnl_exec_arg_t arguments[3];
    dnnl_memory_t back = NULL;
    for (int i = 0; i < 3; i++) {
        arguments[i] =
            (dnnl_exec_arg_t){ names[i], cbm_dnn_operand(d, own[i], wanted[i], i, i < 2, i < 2 ? NULL : &back) };
        if (!arguments[i].memory)
            return false;
    }
    snprintf(d->description, sizeof d->description, "%s", cbm_dnn_implementation(pd));
    return cbm_dnn_stage_add(d, pd, arguments, 3) && (!back || cbm_dnn_reorder(d, arguments[2].memory, back));
}

cbm_dnn *cbm_dnn_matmul(const cbm_dnn_product *p, int64_t threads)
{
    cbm_dnn *d = cbm_dnn_begin(threads);
    if (!d)
        return NULL;
    const matrix operands[3] = { { p->rank, p->batch, p->m, p->k, p->a_stride, p->a_bf16 },
                                 { p->rank, p->batch, p->k, p->n, p->b_stride, p->b_bf16 },
                                 { p->rank, p->batch, p->m, p->n, p->c_stride, p->c_bf16 } };
    const bool bf16 = p->a_bf16 || p->b_bf16;
    cbm_dnn_desc own[3], wanted[3];
    bool ok = true;
    for (int i = 0; i < 3; i++) {
        own[i] = own_desc(&operands[i]);
        wanted[i] = converted_desc(&operands[i], bf16 && (i < 2 || p->c_bf16));
        ok = ok && own[i] && wanted[i];
    }
    dnnl_primitive_attr_t attr = cbm_dnn_attributes();
    dnnl_primitive_desc_t pd = ok && attr ? cbm_dnn_matmul_primitive(wanted[0], wanted[1], wanted[2], attr) : NULL;
    ok = pd && strncmp(cbm_dnn_implementation(pd), "ref", 3) != 0 && add_matmul(d, pd, own, wanted);
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    for (int i = 0; i < 3; i++) {
        cbm_dnn_desc_free(own[i]);
        cbm_dnn_desc_free(wanted[i]);
    }
    return cbm_dnn_end(d, ok);
}
