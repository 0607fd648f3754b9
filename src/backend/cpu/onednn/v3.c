/* v3.c: the calls of oneDNN's C API that are particular to 3.x: primitives are described in one call, layouts are opaque. */
#include "backend/cpu/onednn/parts.h"

#include <string.h>

cbm_dnn_desc cbm_dnn_desc_tag(int rank, const int64_t *dims, dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t desc;
    return dnnl_memory_desc_create_with_tag(&desc, rank, dims, type, tag) == dnnl_success ? desc : NULL;
}

cbm_dnn_desc cbm_dnn_desc_strides(int rank, const int64_t *dims, dnnl_data_type_t type, const int64_t *strides)
{
    dnnl_memory_desc_t desc;
    return dnnl_memory_desc_create_with_strides(&desc, rank, dims, type, strides) == dnnl_success ? desc : NULL;
}

void cbm_dnn_desc_free(cbm_dnn_desc desc)
{
    if (desc)
        dnnl_memory_desc_destroy((dnnl_memory_desc_t)(uintptr_t)desc);
}

bool cbm_dnn_append_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1, 0, dnnl_data_type_undef) == dnnl_success;
}

bool cbm_dnn_append_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t algorithm, float alpha, float beta)
{
    return dnnl_post_ops_append_eltwise(ops, algorithm, alpha, beta) == dnnl_success;
}

dnnl_primitive_desc_t cbm_dnn_conv_primitive(const cbm_dnn_conv *c, dnnl_alg_kind_t algorithm, cbm_dnn_desc x,
                                             cbm_dnn_desc weight, cbm_dnn_desc bias, cbm_dnn_desc y,
                                             const_dnnl_primitive_attr_t attr)
{
    dnnl_dims_t dilation = { 0 }, stride = { 0 }, padding = { 0 };
    cbm_dnn_entries(c, c->dilation, 1, dilation); /* oneDNN counts the places that are left out */
    cbm_dnn_entries(c, c->stride, 0, stride);
    cbm_dnn_entries(c, c->padding, 0, padding);
    dnnl_primitive_desc_t pd;
    dnnl_status_t status = dnnl_invalid_arguments;
    switch (c->direction) {
    case CBM_DNN_FORWARD:
        status =
            dnnl_convolution_forward_primitive_desc_create(&pd, cbm_dnn_engine(), dnnl_forward_training, algorithm, x,
                                                           weight, bias, y, stride, dilation, padding, padding, attr);
        break;
    case CBM_DNN_INPUT_GRAD:
        status = dnnl_convolution_backward_data_primitive_desc_create(&pd, cbm_dnn_engine(), algorithm, x, weight, y,
                                                                      stride, dilation, padding, padding, NULL, attr);
        break;
    case CBM_DNN_WEIGHT_GRAD:
        status = dnnl_convolution_backward_weights_primitive_desc_create(
            &pd, cbm_dnn_engine(), algorithm, x, weight, NULL, y, stride, dilation, padding, padding, NULL, attr);
        break;
    }
    return status == dnnl_success ? pd : NULL;
}

static dnnl_primitive_desc_t first_matmul(cbm_dnn_desc a, cbm_dnn_desc b, cbm_dnn_desc bias, cbm_dnn_desc c,
                                          const_dnnl_primitive_attr_t attr)
{
    dnnl_primitive_desc_t pd;
    return dnnl_matmul_primitive_desc_create(&pd, cbm_dnn_engine(), a, b, bias, c, attr) == dnnl_success ? pd : NULL;
}

dnnl_primitive_desc_t cbm_dnn_matmul_primitive(cbm_dnn_desc a, cbm_dnn_desc b, cbm_dnn_desc bias, cbm_dnn_desc c,
                                               const_dnnl_primitive_attr_t attr, const char *code)
{
    dnnl_primitive_desc_t pd = first_matmul(a, b, bias, c, attr);
    while (pd && code && !strstr(cbm_dnn_implementation(pd), code))
        if (dnnl_primitive_desc_next_impl(pd) != dnnl_success) {
            dnnl_primitive_desc_destroy(pd);
            return first_matmul(a, b, bias, c, attr);
        }
    return pd;
}
