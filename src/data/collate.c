/* collate.c: a batch of samples of different lengths: moved together until the longest fits, the rest filled with the
   dataset's padding. Rests on pool.h. */
#include "base/bf16.h"
#include "data/pool.h"
#include <string.h>

/* The bytes of one element of the padding. */
static void padding_element(cbm_dtype dtype, double value, uint8_t out[8])
{
    const float f32 = (float)value;
    const int64_t i64 = (int64_t)value;
    const int32_t i32 = (int32_t)value;
    const uint16_t bf16 = cbm_bf16_round(f32);
    const uint8_t u8 = (uint8_t)value, boolean = value != 0;
    const void *bytes[CBM_DTYPE_COUNT] = { [CBM_F32] = &f32, [CBM_F64] = &value,    [CBM_I64] = &i64,  [CBM_I32] = &i32,
                                           [CBM_U8] = &u8,   [CBM_BOOL] = &boolean, [CBM_BF16] = &bf16 };
    memcpy(out, bytes[dtype], cbm_dtype_size(dtype));
}

static void pad(uint8_t *from, const uint8_t *to, const uint8_t *element, size_t size)
{
    for (; from < to; from += size)
        memcpy(from, element, size);
}

static void collate_one(const cbm_dataset *d, int which, cbm_slot *s)
{
    const cbm_shape *shape = which ? &d->target_shape : &d->input_shape;
    const cbm_dtype dtype = which ? d->target_dtype : d->input_dtype;
    const size_t full = which ? d->target_bytes : d->input_bytes; /* of one sample as it was read */
    const size_t entry = shape->v[1] ? full / (size_t)shape->v[1] : 0;
    uint8_t *data = which ? s->target : s->input, element[8];
    int64_t longest = 0;
    padding_element(dtype, d->padding[which], element);
    for (int64_t i = 0; i < s->size; ++i)
        longest = s->lengths[which][i] > longest ? s->lengths[which][i] : longest;
    const size_t row = (size_t)longest * entry;
    for (int64_t i = 0; i < s->size; ++i) { /* rows only move towards the beginning, the first one first */
        const size_t used = (size_t)s->lengths[which][i] * entry;
        uint8_t *to = data + (size_t)i * row;
        memmove(to, data + (size_t)i * full, used);
        pad(to + used, to + row, element, cbm_dtype_size(dtype));
    }
    s->longest[which] = longest;
}

void cbm_collate(const cbm_dataset *d, cbm_slot *s)
{
    for (int which = 0; which < 2; ++which) {
        s->longest[which] = -1;
        if (d->variable[which] && s->status == CBM_OK)
            collate_one(d, which, s);
    }
}
