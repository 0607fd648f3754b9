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

enum { A, B, C, BIAS, ADDED, OPERANDS }; /* the caller's pointers */

static bool add_matmul(cbm_dnn *d, dnnl_primitive_desc_t pd, const matrix own[3], const cbm_dnn_desc own_desc[OPERANDS],
                       const cbm_dnn_desc wanted[3])
{
    static const int names[] = { DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_BIAS,
                                 DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1 };
    dnnl_exec_arg_t arguments[OPERANDS];
    dnnl_memory_t back = NULL;
    int count = 3;
    for (int i = 0; i < 3; i++) {
        arguments[i].arg = names[i];
        arguments[i].memory = cbm_dnn_operand(d, own_desc[i], wanted[i], own[i].pointer, i < 2, i < 2 ? NULL : &back);
        if (!arguments[i].memory)
            return false;
    }
    for (int i = BIAS; i < OPERANDS; i++) {
        if (!own_desc[i])
            continue;
        arguments[count] = (dnnl_exec_arg_t){ names[i], cbm_dnn_memory(d, own_desc[i], i) };
        if (!arguments[count++].memory)
            return false;
    }
    snprintf(d->description, sizeof d->description, "%s%s", cbm_dnn_implementation(pd),
             own[0].pointer == 0 ? "" : " transposed");
    return cbm_dnn_stage_add(d, pd, arguments, count) && (!back || cbm_dnn_reorder(d, arguments[2].memory, back));
}

/* The product is by the wanted code, if any, or adds nothing: another code that does would lose more than it gains. */
static bool serves(const_dnnl_primitive_desc_t pd, const cbm_dnn_product *p, const char *code)
{
    const char *name = cbm_dnn_implementation(pd);
    return strncmp(name, "ref", 3) != 0 && (!code || !(p->bias || p->add || p->relu) || strstr(name, code));
}

static bool fill_sequence(cbm_dnn *d, const cbm_dnn_product *p, const matrix own[3], const matrix inner[3])
{
    cbm_dnn_desc own_desc[OPERANDS] = { NULL }, wanted[3];
    matrix row = dense(own[C], true, false);
    row.rows = row.batch = 1;
    row.stride[0] = row.columns;
    own_desc[BIAS] = p->bias ? desc_of(&row) : NULL;
    own_desc[ADDED] = p->add ? desc_of(&own[C]) : NULL;
    bool ok = (own_desc[BIAS] || !p->bias) && (own_desc[ADDED] || !p->add);
    for (int i = 0; i < 3; i++) {
        own_desc[i] = desc_of(&own[i]);
        wanted[i] = desc_of(&inner[i]);
        ok = ok && own_desc[i] && wanted[i];
    }
    const char *code = wanted_code(p);
    const cbm_dnn_post post = { .relu = p->relu, .upper = p->upper, .added = own_desc[ADDED] };
    dnnl_primitive_attr_t attr = cbm_dnn_post_attributes(&post);
    dnnl_primitive_desc_t pd =
        ok && attr ? cbm_dnn_matmul_primitive(wanted[A], wanted[B], own_desc[BIAS], wanted[C], attr, code) : NULL;
    ok = pd && serves(pd, p, code) && add_matmul(d, pd, own, own_desc, wanted);
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    for (int i = 0; i < OPERANDS; i++)
        cbm_dnn_desc_free(own_desc[i]);
    for (int i = 0; i < 3; i++)
        cbm_dnn_desc_free(wanted[i]);
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
    if (swap && (p->bias || p->add || p->relu))
        return cbm_dnn_end(d, false);
    if (swap) {
        const matrix a = own[0];
        own[0] = transposed(own[1]);
        own[1] = transposed(a);
        own[2] = transposed(own[2]);
    }
    const matrix inner[3] = { converted(&own[0], bf16), converted(&own[1], bf16),
                              swap ? dense(own[2], true, false) : converted(&own[2], bf16 && p->c_bf16) };
    return cbm_dnn_end(d, fill_sequence(d, p, own, inner));
}
