/* number.h: a double as an integer element. Rests on nothing. */
#ifndef CAMBIUM_NUMBER_H
#define CAMBIUM_NUMBER_H

#include <cambium/common.h>

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

#endif
