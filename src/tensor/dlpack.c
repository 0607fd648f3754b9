/* dlpack.c: elements lent to other libraries and borrowed from them (DLPack). A loan is one more owner of the storage; what
   is borrowed is given back by the storage's release. Rests on access.c's borrowed tensors. */
#define CBM_NO_CALL_SITES
#include "tensor/context.h"
#include <cambium/dlpack.h>
#include <string.h>

/* DLPack's (code, bits) of each cbm_dtype. */
static const struct {
    uint8_t code, bits;
} types[CBM_DTYPE_COUNT] = {
    [CBM_F32] = { kDLFloat, 32 },   [CBM_F64] = { kDLFloat, 64 }, [CBM_I64] = { kDLInt, 64 },
    [CBM_I32] = { kDLInt, 32 },     [CBM_U8] = { kDLUInt, 8 },    [CBM_BOOL] = { kDLBool, 8 },
    [CBM_BF16] = { kDLBfloat, 16 },
};

/* ---- lending ---- */

typedef struct loan {
    union {
        DLManagedTensor plain;
        DLManagedTensorVersioned versioned;
    } as;
    cbm_storage *storage;
    int64_t shape[CBM_MAX_DIMS], strides[CBM_MAX_DIMS];
} loan;

static void end_loan(void *manager_ctx)
{
    loan *l = manager_ctx;
    cbm_storage *s = l->storage;
    cbm_heap_give(s->heap, l, sizeof *l);
    cbm_storage_release(s);
}

static void end_plain(DLManagedTensor *self)
{
    end_loan(self->manager_ctx);
}

static void end_versioned(DLManagedTensorVersioned *self)
{
    end_loan(self->manager_ctx);
}

/* A loan of t's elements, described in *described; NULL: the context's error says why. */
static loan *lend(cbm_tensor *t, DLTensor *described)
{
    cbm_context *cx = cbm_tensor_context(t);
    (void)cbm_tensor_data(t);
    if (!cbm_usable(cx, t) || !t->value->storage)
        return NULL;
    const cbm_value *v = t->value;
    loan *l = cbm_heap_take_zero(cx->heap, sizeof *l);
    if (!l) {
        cbm_fail_memory(cx, "a tensor that is lent");
        return NULL;
    }
    l->storage = v->storage;
    cbm_storage_retain(l->storage);
    int64_t stride = 1;
    for (int64_t i = v->shape.v[0] - 1; i >= 0; i--) {
        l->shape[i] = v->shape.v[1 + i];
        l->strides[i] = stride;
        stride *= l->shape[i] > 0 ? l->shape[i] : 1;
    }
    *described = (DLTensor){
        .data = v->count > 0 ? v->storage->data : NULL,
        .device = { kDLCPU, 0 },
        .ndim = (int32_t)v->shape.v[0],
        .dtype = { types[v->dtype].code, types[v->dtype].bits, 1 },
        .shape = l->shape,
        .strides = l->strides,
    };
    return l;
}

DLManagedTensor *cbm_to_dlpack(cbm_tensor *t)
{
    DLTensor described;
    loan *l = lend(t, &described);
    if (!l)
        return NULL;
    l->as.plain = (DLManagedTensor){ .dl_tensor = described, .manager_ctx = l, .deleter = end_plain };
    return &l->as.plain;
}

DLManagedTensorVersioned *cbm_to_dlpack_versioned(cbm_tensor *t)
{
    DLTensor described;
    loan *l = lend(t, &described);
    if (!l)
        return NULL;
    l->as.versioned = (DLManagedTensorVersioned){
        .version = { 1, 0 },
        .manager_ctx = l,
        .deleter = end_versioned,
        .flags = DLPACK_FLAG_BITMASK_READ_ONLY,
        .dl_tensor = described,
    };
    return &l->as.versioned;
}

/* ---- borrowing ---- */

static void give_back_plain(void *data, void *user)
{
    DLManagedTensor *m = user;
    (void)data;
    if (m->deleter)
        m->deleter(m);
}

static void give_back_versioned(void *data, void *user)
{
    DLManagedTensorVersioned *m = user;
    (void)data;
    if (m->deleter)
        m->deleter(m);
}

static bool find_dtype(cbm_context *cx, const DLTensor *d, cbm_dtype *out)
{
    for (int i = 0; i < CBM_DTYPE_COUNT; i++)
        if (types[i].code == d->dtype.code && types[i].bits == d->dtype.bits && d->dtype.lanes == 1) {
            *out = (cbm_dtype)i;
            return true;
        }
    cbm_fail(
        cx, CBM_ERROR_DTYPE,
        "[from_dlpack] no element type for DLPack's code %d with %d bits and %d lanes. HINT: convert it to float32, "
        "float64, int64, int32, uint8, bool or bfloat16 first",
        d->dtype.code, d->dtype.bits, d->dtype.lanes);
    return false;
}

static bool on_host(cbm_context *cx, const DLTensor *d)
{
    const DLDeviceType where = d->device.device_type;
    if (where == kDLCPU || where == kDLCUDAHost || where == kDLROCMHost)
        return true;
    cbm_fail(cx, CBM_ERROR_UNSUPPORTED,
             "[from_dlpack] the elements are on a device of DLPack's type %d. HINT: copy them to the CPU first",
             (int)where);
    return false;
}

/* Where the elements are, of which type and shape; false: the context's error says why not. */
static bool read_description(cbm_context *cx, const DLTensor *d, cbm_dtype *dtype, cbm_shape *shape, char **data)
{
    if (!cbm_context_ready(cx) || !on_host(cx, d) || !find_dtype(cx, d, dtype))
        return false;
    if (d->ndim < 0 || d->ndim > CBM_MAX_DIMS || (d->ndim > 0 && !d->shape)) {
        cbm_fail(cx, CBM_ERROR_SHAPE, "[from_dlpack] %d dimensions: at most %d, with their extents", (int)d->ndim,
                 CBM_MAX_DIMS);
        return false;
    }
    *shape = (cbm_shape){ { d->ndim } };
    for (int32_t i = 0; i < d->ndim; i++)
        shape->v[1 + i] = d->shape[i];
    *data = d->data ? (char *)d->data + d->byte_offset : NULL;
    return true;
}

/* Row-major without gaps, and aligned: as the library's own. */
static bool as_it_is(const DLTensor *d, size_t size, const char *data)
{
    int64_t stride = 1;
    for (int32_t i = d->ndim - 1; d->strides && i >= 0; i--) {
        if (d->shape[i] != 1 && d->strides[i] != stride)
            return false;
        stride *= d->shape[i];
    }
    return (uintptr_t)data % size == 0;
}

/* The elements in row-major order. */
static void copy_elements(char *to, const char *from, const DLTensor *d, size_t size, int64_t count)
{
    int64_t at[CBM_MAX_DIMS] = { 0 }, step[CBM_MAX_DIMS], row_major = 1, offset = 0;
    for (int32_t i = d->ndim - 1; i >= 0; i--) {
        step[i] = d->strides ? d->strides[i] : row_major;
        row_major *= d->shape[i];
    }
    for (int64_t k = 0; k < count; k++, to += size) {
        memcpy(to, from + offset * (int64_t)size, size);
        for (int32_t i = d->ndim - 1; i >= 0; i--) {
            offset += step[i];
            if (++at[i] < d->shape[i])
                break;
            offset -= step[i] * d->shape[i];
            at[i] = 0;
        }
    }
}

/* A tensor of d's elements; *borrowed: it will call release(data, user). */
static cbm_tensor *take_over(cbm_context *cx, const DLTensor *d, void (*release)(void *data, void *user), void *user,
                             bool *borrowed)
{
    cbm_dtype dtype;
    cbm_shape shape;
    char *data;
    if (!read_description(cx, d, &dtype, &shape, &data))
        return &cx->failed;
    const int64_t count = cbm_shape_count(&shape);
    const size_t size = cbm_dtype_size(dtype);
    if (count <= 0 || !data) /* nothing to hold, or a description that is refused there */
        return cbm_tensor_from(cx, dtype, shape, NULL);
    if (as_it_is(d, size, data)) {
        cbm_tensor *t = cbm_tensor_borrow(cx, dtype, shape, data, NULL, NULL);
        if (t->failed)
            return t;
        *borrowed = true;
        t->value->storage->release = release;
        t->value->storage->user = user;
        return t;
    }
    cbm_storage *s = cbm_storage_new(cx->heap, (size_t)count * size);
    if (s)
        copy_elements(s->data, data, d, size, count);
    return cbm_leaf_handle(cx, dtype, &shape, s);
}

cbm_tensor *cbm_from_dlpack(cbm_context *cx, DLManagedTensor *managed)
{
    bool borrowed = false;
    if (!managed) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[from_dlpack] managed is NULL");
        return &cx->failed;
    }
    cbm_tensor *t = take_over(cx, &managed->dl_tensor, give_back_plain, managed, &borrowed);
    if (!borrowed)
        give_back_plain(NULL, managed);
    return t;
}

cbm_tensor *cbm_from_dlpack_versioned(cbm_context *cx, DLManagedTensorVersioned *managed)
{
    bool borrowed = false;
    cbm_tensor *t = &cx->failed;
    if (!managed) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[from_dlpack] managed is NULL");
        return t;
    }
    if (managed->version.major != 1)
        cbm_fail(cx, CBM_ERROR_FORMAT, "[from_dlpack] version %u.%u of DLPack is not understood, only 1.x",
                 (unsigned)managed->version.major, (unsigned)managed->version.minor);
    else
        t = take_over(cx, &managed->dl_tensor, give_back_versioned, managed, &borrowed);
    if (!borrowed)
        give_back_versioned(NULL, managed);
    return t;
}
