/* create.c: numbers in a row, and the check of probabilities. */
#include "backend/reference/reference.h"
#include "base/base.h"
#include "op/attributes.h"

#include <inttypes.h>
#include <stdio.h>

static cbm_number number_of(cbm_dtype dtype, double v)
{
    return cbm_is_floating(dtype) ? (cbm_number){ .f = v } : (cbm_number){ .i = (int64_t)v };
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

static cbm_status probabilities(const cbm_launch *l)
{
    const cbm_buffer *p = &l->in[0], *y = &l->out[0];
    for (int64_t i = 0; i < p->count; i++) {
        const cbm_number v = cbm_number_load(p->data, p->dtype, i);
        if (!(v.f >= 0 && v.f <= 1)) {
            char text[32];
            if (l->message)
                snprintf(l->message, 256, "%s at position %" PRId64 " is not a probability",
                         cbm_double_text(v.f, text, sizeof text), i);
            return CBM_ERROR_RANGE;
        }
        cbm_number_store(y->data, y->dtype, i, v);
    }
    return CBM_OK;
}

const cbm_kernel cbm_reference_create[] = {
    { .op = "arange", .launch = arange },
    { .op = "linspace", .launch = linspace },
    { .op = "probabilities", .launch = probabilities },
    { .op = NULL },
};
