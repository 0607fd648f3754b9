/* number.h: a double as an element of any dtype. Rests on base/bf16.h. */
#ifndef CAMBIUM_NUMBER_H
#define CAMBIUM_NUMBER_H

#include "base/bf16.h"

#include <cambium/common.h>
#include <string.h>

/* value cut off to a whole number and kept in the dtype's range; NaN is 0; of bool: whether it is not 0. */
static inline int64_t cbm_whole_number(cbm_dtype dtype, double value)
{
    if (dtype == CBM_BOOL)
        return value != 0;
    const double low = dtype == CBM_U8 ? 0 : dtype == CBM_I32 ? -0x1p31 : -0x1p63;
    const double above = dtype == CBM_U8 ? 0x1p8 : dtype == CBM_I32 ? 0x1p31 : 0x1p63;
    if (value != value)
        return 0;
    if (value <= low)
        return dtype == CBM_I64 ? INT64_MIN : (int64_t)low;
    return value < above ? (int64_t)value : dtype == CBM_I64 ? INT64_MAX : (int64_t)above - 1;
}

/* The element that value is in a dtype: its first bytes. */
static inline uint64_t cbm_element_of(cbm_dtype dtype, double value)
{
    uint64_t bits = 0;
    const float narrow = (float)value;
    const int64_t whole = cbm_whole_number(dtype, value);
    const int32_t half_whole = (int32_t)whole;
    const uint8_t byte = (uint8_t)whole;
    const uint16_t half = cbm_bf16_round(narrow);
    switch (dtype) {
    case CBM_F32: memcpy(&bits, &narrow, sizeof narrow); break;
    case CBM_F64: memcpy(&bits, &value, sizeof value); break;
    case CBM_I64: memcpy(&bits, &whole, sizeof whole); break;
    case CBM_I32: memcpy(&bits, &half_whole, sizeof half_whole); break;
    case CBM_BF16: memcpy(&bits, &half, sizeof half); break;
    default: memcpy(&bits, &byte, sizeof byte);
    }
    return bits;
}

#endif
