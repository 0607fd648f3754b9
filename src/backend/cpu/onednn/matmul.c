/* matmul.c: products of matrices by oneDNN's matmul primitive, operands as they lie or, where it pays, transposed. */
#include "backend/cpu/onednn/parts.h"

#include <stdio.h>
#include <string.h>

/* One of a, b, c: its shape and where its elements are. */
typedef struct matrix {
    int64_t rank, batch, rows, columns;
    int64_t stride[3]; /* batch, row, column; batch 0: broadcast */
    bool bf16;
    int pointer; /* the caller's */
} matrix;

static cbm_dnn_desc desc_of(const matrix *m)
{
    const int64_t dims[] = { m->stride[0] == 0 ? 1 : m->batch, m->rows, m->columns };
    const int64_t strides[] = { m->stride[0] == 0 ? m->rows * m->columns : m->stride[0], m->stride[1], m->stride[2] };
    const int64_t skip = 3 - m->rank;
    return cbm_dnn_desc_strides((int)m->rank, dims + skip, m->bf16 ? dnnl_bf16 : dnnl_f32, strides + skip);
}

/* The same matrix without gaps, its rows or its columns together. */
static matrix dense(matrix m, bool row_major, bool bf16)
{
    m.stride[0] = m.stride[0] == 0 ? 0 : m.rows * m.columns;
    m.stride[1] = row_major ? m.columns : 1;
    m.stride[2] = row_major ? 1 : m.rows;
    m.bf16 = bf16;
    return m;
}

static matrix transposed(matrix m)
{
    const int64_t rows = m.rows, row = m.stride[1];
    m.rows = m.columns;
    m.columns = rows;
    m.stride[1] = m.stride[2];
    m.stride[2] = row;
    return m;
}

/* What the primitive computes on: own operands where the type is right, else converted copies. */
static matrix converted(const matrix *m, bool bf16)
{
    return m->bf16 == bf16 ? *m : dense(*m, m->stride[2] == 1, bf16);
}

/* ---- rules, as measured ---- */

/* Where b's columns lie together, the primitive packs all of b, which costs as much as a product with few rows. Then
   c^T = b^T a^T is better: it packs a, and the small c is transposed afterwards. */
static bool swap_pays(const cbm_dnn_product *p)
{
    return p->rank == 2 && !p->a_bf16 && !p->b_bf16 && p->a_stride[2] == 1 && p->b_stride[1] == 1 && p->n >= 64 &&
           (p->n - p->m) * p->k >= 4 * p->m * p->n;
}

/* Where b is more than a megabyte, or c more than four, "gemm" code, which packs blocks, beats "brg" code, which reads and
   writes long rows as they lie: by a third where rows are multiples of 4 KiB and fall on each other in the cache. It is slow
   where b's columns lie together. */
static const char *wanted_code(const cbm_dnn_product *p)
{
    const bool large_b = p->k * p->n > 1 << 18, large_c = p->a_stride[1] == 1 && p->m * p->n >= 1 << 20;
    return p->rank == 2 && !p->a_bf16 && !p->b_bf16 && p->b_stride[2] == 1 && p->m >= 32 && p->k >= 32 && p->n >= 32 &&
                   (large_c || (p->a_stride[2] == 1 && large_b))
               ? "gemm"
               : NULL;
}

/* ---- the sequence ---- */

static bool add_matmul(cbm_dnn *d, dnnl_primitive_desc_t pd, const matrix own[3], const cbm_dnn_desc own_desc[3],
                       const cbm_dnn_desc wanted[3])
{
    static const int names[] = { DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST };
    dnnl_exec_arg_t arguments[3];
    dnnl_memory_t back = NULL;
    for (int i = 0; i < 3; i++) {
        arguments[i].arg = names[i];
        arguments[i].memory = cbm_dnn_operand(d, own_desc[i], wanted[i], own[i].pointer, i < 2, i < 2 ? NULL : &back);
        if (!arguments[i].memory)
            return false;
    }
    snprintf(d->description, sizeof d->description, "%s%s", cbm_dnn_implementation(pd),
             own[0].pointer == 0 ? "" : " transposed");
    return cbm_dnn_stage_add(d, pd, arguments, 3) && (!back || cbm_dnn_reorder(d, arguments[2].memory, back));
}

static bool fill_sequence(cbm_dnn *d, const matrix own[3], const matrix inner[3], const char *code)
{
    cbm_dnn_desc own_desc[3], wanted[3];
    bool ok = true;
    for (int i = 0; i < 3; i++) {
        own_desc[i] = desc_of(&own[i]);
        wanted[i] = desc_of(&inner[i]);
        ok = ok && own_desc[i] && wanted[i];
    }
    dnnl_primitive_attr_t attr = cbm_dnn_attributes();
    dnnl_primitive_desc_t pd =
        ok && attr ? cbm_dnn_matmul_primitive(wanted[0], wanted[1], wanted[2], attr, code) : NULL;
    ok = pd && strncmp(cbm_dnn_implementation(pd), "ref", 3) != 0 && add_matmul(d, pd, own, own_desc, wanted);
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    for (int i = 0; i < 3; i++) {
        cbm_dnn_desc_free(own_desc[i]);
        cbm_dnn_desc_free(wanted[i]);
    }
    return ok;
}

cbm_dnn *cbm_dnn_matmul(const cbm_dnn_product *p, int64_t threads)
{
    cbm_dnn *d = cbm_dnn_begin(threads);
    if (!d)
        return NULL;
    matrix own[3] = {
        { p->rank, p->batch, p->m, p->k, { p->a_stride[0], p->a_stride[1], p->a_stride[2] }, p->a_bf16, 0 },
        { p->rank, p->batch, p->k, p->n, { p->b_stride[0], p->b_stride[1], p->b_stride[2] }, p->b_bf16, 1 },
        { p->rank, p->batch, p->m, p->n, { p->c_stride[0], p->c_stride[1], p->c_stride[2] }, p->c_bf16, 2 },
    };
    const bool bf16 = p->a_bf16 || p->b_bf16, swap = swap_pays(p);
    if (swap) {
        const matrix a = own[0];
        own[0] = transposed(own[1]);
        own[1] = transposed(a);
        own[2] = transposed(own[2]);
    }
    const matrix inner[3] = { converted(&own[0], bf16), converted(&own[1], bf16),
                              swap ? dense(own[2], true, false) : converted(&own[2], bf16 && p->c_bf16) };
    return cbm_dnn_end(d, fill_sequence(d, own, inner, wanted_code(p)));
}
