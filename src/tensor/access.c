/* access.c: host data into tensors, and tensors' shapes and elements back out. Rests on handles and the engine. */
#define CBM_NO_CALL_SITES
#include "tensor/context.h"
#include "base/bf16.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static bool shape_ok(cbm_context *cx, const char *who, cbm_dtype dtype, const cbm_shape *shape, size_t *bytes)
{
    char text[160];
    if (!cbm_context_ready(cx))
        return false;
    if ((unsigned)dtype >= CBM_DTYPE_COUNT) {
        cbm_fail(cx, CBM_ERROR_DTYPE, "[%s] unknown dtype %d", who, (int)dtype);
        return false;
    }
    int64_t count = cbm_shape_count(shape);
    if (count < 0 || (uint64_t)count > (uint64_t)INT64_MAX / 16) {
        cbm_fail(cx, CBM_ERROR_SHAPE, "[%s] not a shape: %s (at most %d dimensions, none negative)", who,
                 cbm_shape_text(shape, text, sizeof text), CBM_MAX_DIMS);
        return false;
    }
    *bytes = (size_t)count * cbm_dtype_size(dtype);
    return true;
}

cbm_tensor *cbm_leaf_handle(cbm_context *cx, cbm_dtype dtype, const cbm_shape *shape, cbm_storage *storage)
{
    cbm_value *v = storage ? cbm_value_leaf(cx, dtype, shape, storage) : NULL;
    if (!v) {
        cbm_fail_memory(cx, "a tensor");
        return &cx->failed;
    }
    cbm_value_retain(v);
    cbm_tensor *t = cbm_handle(cx, v);
    cbm_value_release(v);
    return t;
}

cbm_tensor *cbm_tensor_from(cbm_context *cx, cbm_dtype dtype, cbm_shape shape, const void *data)
{
    size_t bytes;
    if (!shape_ok(cx, "tensor", dtype, &shape, &bytes))
        return &cx->failed;
    if (!data && bytes) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[tensor] data is NULL");
        return &cx->failed;
    }
    cbm_storage *s = cbm_storage_new(cx->heap, bytes);
    if (s && bytes)
        memcpy(s->data, data, bytes);
    return cbm_leaf_handle(cx, dtype, &shape, s);
}

cbm_tensor *cbm_tensor_borrow(cbm_context *cx, cbm_dtype dtype, cbm_shape shape, void *data,
                              void (*release)(void *data, void *user), void *user)
{
    size_t bytes;
    if (!shape_ok(cx, "tensor", dtype, &shape, &bytes))
        return &cx->failed;
    size_t align = cbm_dtype_size(dtype);
    if ((!data && bytes) || (uintptr_t)data % align != 0) {
        cbm_fail(cx, CBM_ERROR_INVALID,
                 data ? "[tensor] data is not aligned to its elements" : "[tensor] data is NULL");
        return &cx->failed;
    }
    cbm_storage *s = cbm_storage_new(cx->heap, 0);
    if (s) {
        s->data = data;
        s->size = bytes;
        s->borrowed = true;
        s->release = release;
        s->user = user;
    }
    return cbm_leaf_handle(cx, dtype, &shape, s);
}

/* ---- shape and kind ---- */

cbm_context *cbm_tensor_context(const cbm_tensor *t)
{
    return t ? t->cx : &cbm_context_broken;
}

static bool sound(const cbm_tensor *t)
{
    return t && !t->failed && !t->dead && t->value;
}

cbm_shape cbm_tensor_shape(const cbm_tensor *t)
{
    return sound(t) ? t->value->shape : CBM_SHAPE(0);
}

cbm_dtype cbm_tensor_dtype(const cbm_tensor *t)
{
    return sound(t) ? (cbm_dtype)t->value->dtype : CBM_F32;
}

int64_t cbm_tensor_rank(const cbm_tensor *t)
{
    return sound(t) ? t->value->shape.v[0] : 1;
}

int64_t cbm_tensor_size(const cbm_tensor *t, int64_t axis)
{
    int64_t rank = cbm_tensor_rank(t);
    axis = axis < 0 ? axis + rank : axis;
    return sound(t) && axis >= 0 && axis < rank ? t->value->shape.v[1 + axis] : 0;
}

int64_t cbm_tensor_count(const cbm_tensor *t)
{
    return sound(t) ? t->value->count : 0;
}

size_t cbm_tensor_bytes(const cbm_tensor *t)
{
    return (size_t)cbm_tensor_count(t) * cbm_dtype_size(cbm_tensor_dtype(t));
}

bool cbm_tensor_failed(const cbm_tensor *t)
{
    return !sound(t);
}

bool cbm_tensor_requires_grad(const cbm_tensor *t)
{
    return sound(t) && t->value->requires_grad;
}

bool cbm_is_variable(const cbm_tensor *t)
{
    return sound(t) && t->variable;
}

/* ---- evaluation and reading ---- */

static bool computed(cbm_tensor *t)
{
    cbm_context *cx = cbm_tensor_context(t);
    if (!cbm_usable(cx, t))
        return false;
    if (t->value->storage)
        return true;
    return cx->engine->evaluate(cx, &t->value, 1) == CBM_OK;
}

cbm_status cbm_flush(cbm_context *cx)
{
    if (!cbm_context_ready(cx))
        return cx->status;
    return cx->engine->evaluate(cx, NULL, 0);
}

cbm_status cbm_compute(cbm_tensor *const *tensors, size_t count)
{
    if (!count)
        return CBM_OK;
    cbm_context *cx = cbm_tensor_context(tensors[0]);
    cbm_array asked = CBM_ARRAY(cx->heap, cbm_value *);
    for (size_t i = 0; i < count; i++) {
        if (!cbm_usable(cx, tensors[i]))
            break;
        if (!cbm_array_push(&asked, &tensors[i]->value))
            cbm_fail_memory(cx, "a list of tensors");
    }
    if (cx->status == CBM_OK)
        cx->engine->evaluate(cx, asked.data, asked.count);
    cbm_array_free(&asked);
    return cx->status;
}

cbm_tensor *cbm_want(cbm_tensor *t)
{
    if (sound(t))
        t->value->wanted = true;
    return t;
}

cbm_status cbm_read(cbm_tensor *t, void *out, size_t size)
{
    cbm_context *cx = cbm_tensor_context(t);
    if (cbm_usable(cx, t)) {
        size_t bytes = cbm_tensor_bytes(t);
        if (!out && size)
            cbm_fail(cx, CBM_ERROR_INVALID, "[read] the buffer is NULL");
        else if (size != bytes)
            cbm_fail(cx, CBM_ERROR_INVALID, "[read] the tensor has %zu bytes, the buffer %zu", bytes, size);
        else if (computed(t)) {
            if (size)
                memcpy(out, t->value->storage->data, size);
            return CBM_OK;
        }
    }
    if (out && size)
        memset(out, 0, size);
    return cbm_close_error(cx);
}

int64_t cbm_element_whole(const void *data, cbm_dtype dtype, int64_t i)
{
    switch (dtype) {
    case CBM_I64: return ((const int64_t *)data)[i];
    case CBM_I32: return ((const int32_t *)data)[i];
    default: return ((const uint8_t *)data)[i];
    }
}

double cbm_element_number(const void *data, cbm_dtype dtype, int64_t i)
{
    switch (dtype) {
    case CBM_F32: return (double)((const float *)data)[i];
    case CBM_F64: return ((const double *)data)[i];
    case CBM_BF16: return (double)cbm_bf16_widen(((const uint16_t *)data)[i]);
    default: return (double)cbm_element_whole(data, dtype, i);
    }
}

double cbm_item(cbm_tensor *t)
{
    cbm_context *cx = cbm_tensor_context(t);
    if (!cbm_usable(cx, t))
        return NAN;
    if (t->value->count != 1) {
        char text[160];
        cbm_fail(cx, CBM_ERROR_SHAPE, "[item] needs exactly one element, not shape %s",
                 cbm_shape_text(&t->value->shape, text, sizeof text));
        cbm_close_error(cx);
        return NAN;
    }
    return computed(t) ? cbm_element_number(t->value->storage->data, (cbm_dtype)t->value->dtype, 0) : NAN;
}

const void *cbm_tensor_data(cbm_tensor *t)
{
    return computed(t) ? t->value->storage->data : NULL;
}

static void stamp(cbm_node *n, const char *file, int line)
{
    if (n->file)
        return;
    n->file = file;
    n->line = line;
}

cbm_tensor *cbm_at(cbm_tensor *t, const char *file, int line)
{
    if (!t)
        return t;
    if (t->failed) {
        cbm_locate(t->cx, file, line);
    } else if (t->value && t->value->node && !t->value->node->file) {
        const uint64_t since = t->value->node->since;
        stamp(t->value->node, file, line);
        for (cbm_node *n = t->value->node->prev; n && n->sequence > since; n = n->prev)
            stamp(n, file, line);
    }
    return t;
}
