/* v2.c: the calls of oneDNN's C API that are particular to 2.x: operations are described first, layouts are plain structs. */
#include "backend/cpu/onednn/parts.h"

#include <stdlib.h>
#include <string.h>

static cbm_dnn_desc kept(dnnl_memory_desc_t *desc, dnnl_status_t status)
{
    if (status == dnnl_success)
        return desc;
    free(desc);
    return NULL;
}

cbm_dnn_desc cbm_dnn_desc_tag(int rank, const int64_t *dims, dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t *desc = malloc(sizeof *desc);
    return desc ? kept(desc, dnnl_memory_desc_init_by_tag(desc, rank, dims, type, tag)) : NULL;
}

cbm_dnn_desc cbm_dnn_desc_strides(int rank, const int64_t *dims, dnnl_data_type_t type, const int64_t *strides)
{
    dnnl_memory_desc_t *desc = malloc(sizeof *desc);
    return desc ? kept(desc, dnnl_memory_desc_init_by_strides(desc, rank, dims, type, strides)) : NULL;
}

void cbm_dnn_desc_free(cbm_dnn_desc desc)
{
    free((void *)(uintptr_t)desc);
}

bool cbm_dnn_append_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1) == dnnl_success;
}

bool cbm_dnn_append_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t algorithm, float alpha, float beta)
{
    return dnnl_post_ops_append_eltwise(ops, 1, algorithm, alpha, beta) == dnnl_success;
}

static dnnl_primitive_desc_t primitive_of(const void *op_desc, const_dnnl_primitive_attr_t attr)
{
    dnnl_primitive_desc_t pd;
    return dnnl_primitive_desc_create(&pd, op_desc, attr, cbm_dnn_engine(), NULL) == dnnl_success ? pd : NULL;
}

dnnl_primitive_desc_t cbm_dnn_conv_primitive(const cbm_dnn_conv *c, dnnl_alg_kind_t algorithm, cbm_dnn_desc x,
                                             cbm_dnn_desc weight, cbm_dnn_desc bias, cbm_dnn_desc y,
                                             const_dnnl_primitive_attr_t attr)
{
    dnnl_dims_t dilation = { 0 }, stride = { 0 }, padding = { 0 };
    cbm_dnn_entries(c, c->dilation, 1, dilation); /* oneDNN counts the places that are left out */
    cbm_dnn_entries(c, c->stride, 0, stride);
    cbm_dnn_entries(c, c->padding, 0, padding);
    dnnl_convolution_desc_t desc;
    dnnl_status_t status = dnnl_invalid_arguments;
    switch (c->direction) {
    case CBM_DNN_FORWARD:
        status = dnnl_dilated_convolution_forward_desc_init(&desc, dnnl_forward_training, algorithm, x, weight, bias, y,
                                                            stride, dilation, padding, padding);
        break;
    case CBM_DNN_INPUT_GRAD:
        status = dnnl_dilated_convolution_backward_data_desc_init(&desc, algorithm, x, weight, y, stride, dilation,
                                                                  padding, padding);
        break;
    case CBM_DNN_WEIGHT_GRAD:
        status = dnnl_dilated_convolution_backward_weights_desc_init(&desc, algorithm, x, weight, NULL, y, stride,
                                                                     dilation, padding, padding);
        break;
    }
    return status == dnnl_success ? primitive_of(&desc, attr) : NULL;
}

static dnnl_primitive_desc_t primitive_named(const void *op_desc, const_dnnl_primitive_attr_t attr, const char *code)
{
    dnnl_primitive_desc_iterator_t all;
    dnnl_primitive_desc_t pd = NULL;
    if (dnnl_primitive_desc_iterator_create(&all, op_desc, attr, cbm_dnn_engine(), NULL) != dnnl_success)
        return NULL;
    do {
        if (pd)
            dnnl_primitive_desc_destroy(pd);
        pd = dnnl_primitive_desc_iterator_fetch(all);
    } while (pd && !strstr(cbm_dnn_implementation(pd), code) && dnnl_primitive_desc_iterator_next(all) == dnnl_success);
    dnnl_primitive_desc_iterator_destroy(all);
    if (pd && !strstr(cbm_dnn_implementation(pd), code)) {
        dnnl_primitive_desc_destroy(pd);
        return NULL;
    }
    return pd;
}

dnnl_primitive_desc_t cbm_dnn_matmul_primitive(cbm_dnn_desc a, cbm_dnn_desc b, cbm_dnn_desc bias, cbm_dnn_desc c,
                                               const_dnnl_primitive_attr_t attr, const char *code)
{
    dnnl_matmul_desc_t desc;
    if (dnnl_matmul_desc_init(&desc, a, b, bias, c) != dnnl_success)
        return NULL;
    dnnl_primitive_desc_t pd = code ? primitive_named(&desc, attr, code) : NULL;
    return pd ? pd : primitive_of(&desc, attr);
}
