/* stored.c: the element types that files hold, in one table for safetensors, NumPy and IDX, and their way into dtypes.
   Rests on base and tensor. */
#include "io/bytes.h"
#include <string.h>

/* The value of a half-precision number (IEEE 754 binary16). */
static float float_of_half(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t exponent = (h >> 10) & 0x1fu, fraction = h & 0x3ffu, bits;
    if (exponent == 31) {
        bits = sign | 0x7f800000u | fraction << 13;
    } else if (exponent > 0) {
        bits = sign | (exponent + 112) << 23 | fraction << 13;
    } else {
        float value = (float)fraction * 0x1p-24f; /* subnormal, exact */
        return sign ? -value : value;
    }
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void widen_f16(void *out, const uint8_t *in, size_t count)
{
    for (size_t i = 0; i < count; ++i) {
        uint16_t h;
        memcpy(&h, in + 2 * i, 2);
        ((float *)out)[i] = float_of_half(h);
    }
}

#define WIDEN(NAME, FROM, TO)                                                                                          \
    static void NAME(void *out, const uint8_t *in, size_t count)                                                       \
    {                                                                                                                  \
        for (size_t i = 0; i < count; ++i) {                                                                           \
            FROM value;                                                                                                \
            memcpy(&value, in + sizeof value * i, sizeof value);                                                       \
            ((TO *)out)[i] = (TO)value;                                                                                \
        }                                                                                                              \
    }
WIDEN(widen_i8, int8_t, int32_t)
WIDEN(widen_i16, int16_t, int32_t)
WIDEN(widen_u16, uint16_t, int32_t)
WIDEN(widen_u32, uint32_t, int64_t)

static void widen_bool(void *out, const uint8_t *in, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        ((uint8_t *)out)[i] = in[i] != 0;
}

static const cbm_stored table[] = {
    { "F32", "f4", 0x0d, 32, true, CBM_F32, NULL },      { "F64", "f8", 0x0e, 64, true, CBM_F64, NULL },
    { "F16", "f2", 0, 16, true, CBM_F32, widen_f16 },    { "BF16", "", 0, 16, true, CBM_BF16, NULL },
    { "I64", "i8", 0, 64, true, CBM_I64, NULL },         { "I32", "i4", 0x0c, 32, true, CBM_I32, NULL },
    { "I16", "i2", 0x0b, 16, true, CBM_I32, widen_i16 }, { "I8", "i1", 0x09, 8, true, CBM_I32, widen_i8 },
    { "U8", "u1", 0x08, 8, true, CBM_U8, NULL },         { "U16", "u2", 0, 16, true, CBM_I32, widen_u16 },
    { "U32", "u4", 0, 32, true, CBM_I64, widen_u32 },    { "BOOL", "b1", 0, 8, true, CBM_BOOL, widen_bool },
    { "U64", "u8", 0, 64, false, CBM_I64, NULL },        { "C64", "c8", 0, 64, false, CBM_F32, NULL },
    { "F8_E4M3", "", 0, 8, false, CBM_F32, NULL },       { "F8_E5M2", "", 0, 8, false, CBM_F32, NULL },
    { "F8_E8M0", "", 0, 8, false, CBM_F32, NULL },       { "F6_E2M3", "", 0, 6, false, CBM_F32, NULL },
    { "F6_E3M2", "", 0, 6, false, CBM_F32, NULL },       { "F4", "", 0, 4, false, CBM_F32, NULL },
};
#define TYPES (sizeof table / sizeof *table)

const cbm_stored *cbm_stored_safetensors(const char *name)
{
    for (size_t i = 0; i < TYPES; ++i)
        if (strcmp(table[i].safetensors, name) == 0)
            return &table[i];
    return NULL;
}

const cbm_stored *cbm_stored_npy(const char *kind_and_size)
{
    for (size_t i = 0; i < TYPES; ++i)
        if (table[i].npy[0] && strcmp(table[i].npy, kind_and_size) == 0)
            return &table[i];
    return NULL;
}

const cbm_stored *cbm_stored_idx(uint8_t code)
{
    for (size_t i = 0; i < TYPES; ++i)
        if (code != 0 && table[i].idx == code)
            return &table[i];
    return NULL;
}

static const struct {
    const char *safetensors, *npy_little, *npy_big;
} names[CBM_DTYPE_COUNT] = {
    [CBM_F32] = { "F32", "<f4", ">f4" }, [CBM_F64] = { "F64", "<f8", ">f8" }, [CBM_I64] = { "I64", "<i8", ">i8" },
    [CBM_I32] = { "I32", "<i4", ">i4" }, [CBM_U8] = { "U8", "|u1", "|u1" },   [CBM_BOOL] = { "BOOL", "|b1", "|b1" },
    [CBM_BF16] = { "BF16", NULL, NULL },
};

const char *cbm_safetensors_type(cbm_dtype dtype)
{
    return names[dtype].safetensors;
}

const char *cbm_npy_type(cbm_dtype dtype)
{
    return cbm_host_is_big_endian() ? names[dtype].npy_big : names[dtype].npy_little;
}

bool cbm_host_is_big_endian(void)
{
    const uint16_t one = 1;
    uint8_t first;
    memcpy(&first, &one, 1);
    return first == 0;
}

static void swap_bytes(uint8_t *data, size_t element, size_t count)
{
    for (size_t i = 0; i < count; ++i, data += element)
        for (size_t low = 0, high = element - 1; low < high; ++low, --high) {
            uint8_t byte = data[low];
            data[low] = data[high];
            data[high] = byte;
        }
}

#define SWAP_BLOCK 512 /* elements swapped at a time on the stack */

void cbm_stored_read(const cbm_stored *type, const uint8_t *in, bool big, void *out, size_t count)
{
    size_t element = type->bits / 8u, width = cbm_dtype_size(type->dtype);
    bool swap = big != cbm_host_is_big_endian() && element > 1;
    if (!swap && type->widen) {
        type->widen(out, in, count);
        return;
    }
    if (!type->widen) {
        if (count > 0)
            memcpy(out, in, count * element);
        if (swap)
            swap_bytes(out, element, count);
        return;
    }
    uint8_t block[SWAP_BLOCK * 8];
    for (size_t i = 0; i < count; i += SWAP_BLOCK) {
        size_t n = count - i < SWAP_BLOCK ? count - i : SWAP_BLOCK;
        memcpy(block, in + i * element, n * element);
        swap_bytes(block, element, n);
        type->widen((uint8_t *)out + i * width, block, n);
    }
}

bool cbm_bytes_of(const cbm_shape *shape, cbm_dtype dtype, size_t *bytes)
{
    int64_t count = cbm_shape_count(shape);
    uint64_t total;
    if (count < 0 || __builtin_mul_overflow((uint64_t)count, (uint64_t)cbm_dtype_size(dtype), &total) ||
        total > SIZE_MAX / 2)
        return false;
    *bytes = (size_t)total;
    return true;
}

typedef struct adopted {
    cbm_heap *heap;
    size_t bytes;
    bool *released; /* set when the memory is given back while the tensor is being made */
} adopted;

static void release_adopted(void *data, void *user)
{
    adopted *a = user;
    cbm_heap *heap = a->heap;
    if (a->released)
        *a->released = true;
    cbm_heap_give(heap, data, a->bytes);
    cbm_heap_give(heap, a, sizeof *a);
}

cbm_tensor *cbm_tensor_adopt(cbm_context *cx, cbm_dtype dtype, cbm_shape shape, void *data, size_t bytes)
{
    cbm_heap *heap = cbm_context_heap(cx);
    adopted *a = cbm_heap_take(heap, sizeof *a);
    if (!a) {
        cbm_heap_give(heap, data, bytes);
        cbm_fail_memory(cx, "a tensor");
        return cbm_tensor_none(cx);
    }
    bool released = false;
    *a = (adopted){ heap, bytes, &released };
    cbm_tensor *t = cbm_tensor_borrow(cx, dtype, shape, data, release_adopted, a);
    if (!cbm_tensor_failed(t))
        a->released = NULL;
    else if (!released)
        release_adopted(data, a);
    return t;
}

cbm_tensor *cbm_tensor_none(cbm_context *cx)
{
    return cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(0), NULL);
}
