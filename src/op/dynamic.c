/* dynamic.c: operations whose result's shape depends on values. The operand that decides is evaluated at once, what it says
   becomes a tensor of indices made on the host, and the rest are ordinary operations on it: so masked_select is
   differentiable, and what is selected from is not evaluated. Rests on op/families.h. */
#include "op/families.h"

#include "base/bf16.h"

#include <string.h>

/* ---- what the others use ---- */

/* A vector of i64 from numbers in memory of the heap, which is given back. */
static cbm_tensor *leaf_of(cbm_context *cx, cbm_shape shape, int64_t *numbers, size_t bytes)
{
    cbm_tensor *t = numbers ? cbm_tensor_from(cx, CBM_I64, shape, numbers) : &cx->failed;
    if (!numbers)
        cbm_fail_memory(cx, "a tensor of indices");
    cbm_heap_give(cx->heap, numbers, bytes);
    return t;
}

static int64_t *take_numbers(cbm_context *cx, int64_t count, size_t *bytes)
{
    *bytes = (size_t)(count > 0 ? count : 1) * sizeof(int64_t);
    return cbm_heap_take(cx->heap, *bytes);
}

int64_t cbm_number_above(cbm_tensor *x, int64_t least)
{
    const void *data = cbm_tensor_data(x);
    const int64_t count = cbm_tensor_count(x);
    int64_t above = least;
    for (int64_t i = 0; data && i < count; i++) {
        const int64_t v = cbm_element_whole(data, cbm_tensor_dtype(x), i);
        above = v < above ? above : v == INT64_MAX ? -1 : v + 1;
        if (above < 0)
            return -1;
    }
    return above;
}

/* ---- nonzero ---- */

#define MARK(type_, test_)                                                                                             \
    {                                                                                                                  \
        const type_ *x = data;                                                                                         \
        for (int64_t i = 0; i < count; i++) {                                                                          \
            places[found] = i;                                                                                         \
            found += (test_);                                                                                          \
        }                                                                                                              \
        return found;                                                                                                  \
    }

/* Writes the number of each element that is not 0; places has room for one more than there are. Returns how many. */
static int64_t find_nonzero(const void *data, cbm_dtype dtype, int64_t count, int64_t *places)
{
    int64_t found = 0;
    switch (dtype) {
    case CBM_F32: MARK(float, x[i] != 0)
    case CBM_F64: MARK(double, x[i] != 0)
    case CBM_I64: MARK(int64_t, x[i] != 0)
    case CBM_I32: MARK(int32_t, x[i] != 0)
    case CBM_BF16: MARK(uint16_t, (x[i] & 0x7fff) != 0)
    default: MARK(uint8_t, x[i] != 0)
    }
}

/* The flat places of what is not 0 in x, i64 (count). Evaluates x. */
static cbm_tensor *places_of(cbm_tensor *x)
{
    cbm_context *cx = cbm_tensor_context(x);
    const void *data = cbm_tensor_data(x);
    if (!data)
        return &cx->failed;
    const int64_t count = cbm_tensor_count(x);
    size_t bytes;
    int64_t *places = take_numbers(cx, count + 1, &bytes);
    const int64_t found = places ? find_nonzero(data, cbm_tensor_dtype(x), count, places) : 0;
    return leaf_of(cx, CBM_SHAPE(found), places, bytes);
}

cbm_tensor *cbm_nonzero(cbm_tensor *x)
{
    cbm_context *cx = cbm_tensor_context(x);
    if (!cbm_usable(cx, x))
        return cbm_no_result(x, "nonzero");
    cbm_tensor *places = places_of(x);
    const int64_t *flat = cbm_tensor_data(places), found = cbm_tensor_count(places);
    if (!flat)
        return cbm_no_result(x, "nonzero");
    const cbm_shape shape = cbm_tensor_shape(x);
    size_t bytes;
    int64_t *rows = take_numbers(cx, found * shape.v[0], &bytes);
    for (int64_t k = 0; rows && k < found; k++) {
        int64_t rest = flat[k];
        for (int64_t d = shape.v[0] - 1; d >= 0; d--) {
            rows[k * shape.v[0] + d] = rest % shape.v[1 + d];
            rest /= shape.v[1 + d];
        }
    }
    cbm_release(places);
    return leaf_of(cx, CBM_SHAPE(found, shape.v[0]), rows, bytes);
}

size_t cbm_nonzero_axes(cbm_tensor *x, cbm_tensor **indices, size_t room)
{
    cbm_context *cx = cbm_tensor_context(x);
    for (size_t i = 0; indices && i < room; i++)
        indices[i] = &cx->failed;
    if (!cbm_usable(cx, x))
        return 0;
    const size_t rank = (size_t)cbm_tensor_rank(x);
    if (indices == NULL || rank == 0 || rank > room) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[nonzero] vectors for %zu axes, and room for %zu", rank, room);
        cbm_close_error(cx);
        return 0;
    }
    cbm_tensor *rows = cbm_nonzero(x);
    if (cbm_tensor_failed(rows) || cbm_unbind(rows, 1, indices, room) == 0) {
        cbm_close_error(cx);
        return 0;
    }
    return rank;
}

/* ---- masked_select, repeat_interleave_each ---- */

cbm_tensor *cbm_masked_select(cbm_tensor *x, cbm_tensor *mask)
{
    char text[160], other[160];
    cbm_context *cx = cbm_tensor_context(x);
    if (!cbm_usable(cx, x) || !cbm_usable(cx, mask))
        return cbm_no_result(x, "masked_select");
    const cbm_shape from = cbm_tensor_shape(x), over = cbm_tensor_shape(mask);
    cbm_shape both;
    if (cbm_tensor_dtype(mask) != CBM_BOOL)
        return cbm_fail_tensor(cx, CBM_ERROR_DTYPE, "[masked_select] mask must hold bool, not %s",
                               cbm_dtype_name(cbm_tensor_dtype(mask)));
    if (!cbm_broadcast_shapes(&from, &over, &both))
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[masked_select] x %s and mask %s do not broadcast",
                               cbm_shape_text(&from, text, sizeof text), cbm_shape_text(&over, other, sizeof other));
    cbm_tensor *places = places_of(cbm_shape_equal(&over, &both) ? mask : cbm_expand(mask, both));
    cbm_tensor *flat = cbm_reshape(cbm_expand(x, both), CBM_SHAPE(cbm_shape_count(&both)));
    return cbm_tensor_failed(places) ? cbm_no_result(x, "masked_select") : cbm_index_select(flat, 0, places);
}

cbm_tensor *cbm_repeat_interleave_each(cbm_tensor *x, int64_t axis, cbm_tensor *counts)
{
    char text[160];
    cbm_context *cx = cbm_tensor_context(x);
    int64_t place = 0, total = 0;
    if (!cbm_axis_of("repeat_interleave", x, axis, &place) || !cbm_usable(cx, counts))
        return cbm_no_result(x, "repeat_interleave");
    const cbm_shape shape = cbm_tensor_shape(counts), want = CBM_SHAPE(cbm_tensor_size(x, place));
    const cbm_dtype dtype = cbm_tensor_dtype(counts);
    if (dtype != CBM_I64 && dtype != CBM_I32)
        return cbm_fail_tensor(cx, CBM_ERROR_DTYPE, "[repeat_interleave] counts must hold i64 or i32, not %s",
                               cbm_dtype_name(dtype));
    if (!cbm_shape_equal(&shape, &want))
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[repeat_interleave] counts %s for an axis of %lld",
                               cbm_shape_text(&shape, text, sizeof text), (long long)want.v[1]);
    const void *data = cbm_tensor_data(counts);
    if (!data)
        return cbm_no_result(x, "repeat_interleave");
    for (int64_t i = 0; i < want.v[1]; i++) {
        const int64_t n = cbm_element_whole(data, dtype, i);
        if (n < 0 || __builtin_add_overflow(total, n, &total) || total > INT64_MAX / 16)
            return cbm_fail_tensor(cx, CBM_ERROR_RANGE, "[repeat_interleave] count %lld at position %lld", (long long)n,
                                   (long long)i);
    }
    size_t bytes;
    int64_t *places = take_numbers(cx, total, &bytes), next = 0;
    for (int64_t i = 0; places && i < want.v[1]; i++)
        for (int64_t n = cbm_element_whole(data, dtype, i); n > 0; n--)
            places[next++] = i;
    return cbm_index_select(x, place, leaf_of(cx, CBM_SHAPE(total), places, bytes));
}

/* ---- unique ---- */

/* Whether sorted elements i - 1 and i are the same; NaN equals nothing. */
static bool same(const void *data, cbm_dtype dtype, int64_t i)
{
    switch (dtype) {
    case CBM_F32: return ((const float *)data)[i] == ((const float *)data)[i - 1];
    case CBM_F64: return ((const double *)data)[i] == ((const double *)data)[i - 1];
    case CBM_BF16:
        return cbm_bf16_widen(((const uint16_t *)data)[i]) == cbm_bf16_widen(((const uint16_t *)data)[i - 1]);
    default: return cbm_element_whole(data, dtype, i) == cbm_element_whole(data, dtype, i - 1);
    }
}

cbm_tensor *cbm_unique(cbm_tensor *x, cbm_tensor **inverse, cbm_tensor **counts)
{
    cbm_context *cx = cbm_tensor_context(x);
    for (int i = 0; i < 2; i++)
        if (i == 0 ? inverse : counts)
            *(i == 0 ? inverse : counts) = &cx->failed;
    if (!cbm_usable(cx, x))
        return cbm_no_result(x, "unique");
    const int64_t n = cbm_tensor_count(x);
    cbm_tensor *sorted[2];
    sorted[0] = cbm_sort(cbm_detach(cbm_reshape(x, CBM_SHAPE(n))), 0, false, &sorted[1]);
    if (cbm_compute(sorted, 2) != CBM_OK)
        return cbm_no_result(x, "unique");
    const void *data = cbm_tensor_data(sorted[0]);
    const int64_t *from = cbm_tensor_data(sorted[1]);
    size_t bytes[3];
    int64_t *first = take_numbers(cx, n, &bytes[0]), *times = take_numbers(cx, n, &bytes[1]);
    int64_t *group = take_numbers(cx, n, &bytes[2]), found = 0;
    for (int64_t i = 0; i < n && first && times && group && data && from; i++) {
        if (i == 0 || !same(data, cbm_tensor_dtype(x), i)) {
            first[found] = i;
            times[found++] = 0;
        }
        times[found - 1]++;
        group[from[i]] = found - 1;
    }
    cbm_tensor *rows = leaf_of(cx, CBM_SHAPE(found), first, bytes[0]);
    cbm_tensor *many = leaf_of(cx, CBM_SHAPE(found), times, bytes[1]);
    cbm_tensor *inverse_of = leaf_of(cx, cbm_tensor_shape(x), group, bytes[2]);
    if (inverse)
        *inverse = inverse_of;
    if (counts)
        *counts = many;
    return cbm_index_select(sorted[0], 0, rows);
}
