/* create.c: numbers in a row. */
#include "backend/reference/reference.h"
#include "op/attributes.h"

static cbm_number number_of(cbm_dtype dtype, double v)
{
    return cbm_is_float(dtype) ? (cbm_number){ .f = v } : (cbm_number){ .i = (int64_t)v };
}

static cbm_status arange(const cbm_launch *l)
{
    const cbm_row_attributes *a = l->attributes;
    const cbm_buffer *y = &l->out[0];
    for (int64_t i = 0; i < y->count; i++)
        cbm_number_store(y->data, y->dtype, i, number_of(y->dtype, cbm_row_arange(a, i)));
    return CBM_OK;
}

static cbm_status linspace(const cbm_launch *l)
{
    const cbm_row_attributes *a = l->attributes;
    const cbm_buffer *y = &l->out[0];
    for (int64_t i = 0; i < y->count; i++)
        cbm_number_store(y->data, y->dtype, i, number_of(y->dtype, cbm_row_linspace(a, i)));
    return CBM_OK;
}

const cbm_kernel cbm_reference_create[] = {
    { .op = "arange", .launch = arange },
    { .op = "linspace", .launch = linspace },
    { .op = NULL },
};
