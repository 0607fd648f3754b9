/* split.c: x in parts along an axis. One record gives four views; more parts are views of views, a tree, so that the
   gradient is joined by few concatenations instead of many sums of mostly zeros. Rests on op/families.h. */
#include "op/families.h"

enum { PARTS = CBM_MAX_OUTPUTS };

static bool split_infer(cbm_infer *infer)
{
    char text[160];
    const cbm_split_attributes *a = infer->attributes;
    const cbm_shape *x = &infer->in_shape[0];
    if (a->axis < 0 || a->axis >= x->v[0])
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "there is no axis %lld in shape %s", (long long)a->axis,
                              cbm_shape_text(x, text, sizeof text));
    int64_t left = x->v[1 + a->axis];
    bool good = a->sizes.v[0] == PARTS;
    for (int64_t k = 0; good && k < PARTS; k++) {
        good = a->sizes.v[1 + k] >= 0 && a->sizes.v[1 + k] <= left;
        left -= a->sizes.v[1 + k];
        infer->out_shape[k] = *x;
        infer->out_shape[k].v[1 + a->axis] = a->sizes.v[1 + k];
        infer->out_dtype[k] = infer->in_dtype[0];
    }
    if (good && left == 0)
        return true;
    return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "the sizes of %d parts do not add up to axis %lld of shape %s", PARTS,
                          (long long)a->axis, cbm_shape_text(x, text, sizeof text));
}

static bool split_view(const void *attributes, const cbm_buffer *in, cbm_buffer *out)
{
    const cbm_split_attributes *a = attributes;
    const uint64_t size = cbm_dtype_size(in->dtype);
    int64_t start = 0;
    for (int64_t k = 0; k < PARTS; k++) {
        out[k].data = (void *)((uintptr_t)in->data + (uint64_t)(start * in->stride[a->axis]) * size);
        for (int64_t d = 0; d < in->rank; d++)
            out[k].stride[d] = in->stride[d];
        start += a->sizes.v[1 + k];
    }
    return true;
}

static void split_vjp(cbm_vjp *v)
{
    const cbm_split_attributes *a = v->attributes;
    cbm_tensor *parts[PARTS];
    size_t count = 0;
    for (size_t k = 0; k < v->n_out; k++)
        if (a->sizes.v[1 + k] > 0)
            parts[count++] = v->out_gradient[k] ? v->out_gradient[k] : cbm_zeros_like(v->out[k]);
    v->in_gradient[0] = count > 0 ? cbm_concat(parts, count, a->axis) : NULL;
}

static void split_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    cost->flops = 0;
    cost->bytes = 2 * (double)shapes->in[0].count * (double)cbm_dtype_size(shapes->in[0].dtype);
}

static const cbm_attribute split_fields[] = {
    CBM_FIELD(cbm_split_attributes, axis, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_split_attributes, sizes, CBM_ATTRIBUTE_SHAPE, false),
};
static const cbm_split_attributes rows = { 0, CBM_DIMS(2, 1, 3, 1) }, columns = { 1, CBM_DIMS(2, 2, 0, 0) },
                                  middle = { 1, CBM_DIMS(1, 0, 1, 1) }, nothing = { 1, CBM_DIMS(0, 0, 0, 0) };
static const cbm_sample split_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 7, 2) }, .attributes = &rows },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 3, 4) }, .attributes = &columns },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 3, 4) }, .attributes = &middle },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 3, 0) }, .attributes = &nothing },
    { .n_in = 1, .in = { CBM_INDICES(-9, 9, 7) }, .attributes = &rows },
};
static const cbm_op split_op = {
    CBM_OP_RECORD("split"),
    .formula = "x in four parts along the axis, sizes[i] long",
    .n_in = 1,
    .n_out = PARTS,
    .flags = CBM_OP_VIEW,
    .attributes_size = sizeof(cbm_split_attributes),
    .attributes = split_fields,
    .n_attributes = CBM_COUNTOF(split_fields),
    .infer = split_infer,
    .vjp = split_vjp,
    .view = split_view,
    .cost = split_cost,
    CBM_SAMPLES(split_samples),
};

const cbm_op *const cbm_ops_split[] = { &split_op, NULL };

/* ---- public functions ---- */

/* The lengths of parts: as listed, or all of length `size` but the last, which gets the rest. */
typedef struct lengths {
    const int64_t *list;
    int64_t size, extent;
} lengths;

static int64_t length_of(const lengths *l, size_t first, size_t end)
{
    int64_t sum = 0;
    if (l->list == NULL) {
        const int64_t from = (int64_t)first * l->size, to = (int64_t)end * l->size;
        return (to < l->extent ? to : l->extent) - from;
    }
    for (size_t i = first; i < end; i++)
        sum += l->list[i];
    return sum;
}

/* Parts first to end - 1, of which x holds all and nothing else. */
static void divide(cbm_tensor *x, int64_t axis, const lengths *l, size_t first, size_t end, cbm_tensor **parts)
{
    if (end - first == 1) {
        parts[first] = x;
        return;
    }
    size_t each = 1;
    while (each * PARTS < end - first)
        each *= PARTS;
    cbm_split_attributes a = { .axis = axis, .sizes = { { PARTS } } };
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    size_t from[PARTS + 1];
    for (size_t k = 0; k <= PARTS; k++)
        from[k] = first + k * each < end ? first + k * each : end;
    for (size_t k = 0; k < PARTS; k++)
        a.sizes.v[1 + k] = from[k] < from[k + 1] ? length_of(l, from[k], from[k + 1]) : 0;
    cbm_apply(cbm_tensor_context(x), &split_op, &x, 1, &a, out);
    for (size_t k = 0; k < PARTS; k++) {
        if (from[k] < from[k + 1])
            divide(out[k], axis, l, from[k], from[k + 1], parts);
        else
            cbm_release(out[k]); /* nobody is to get it */
    }
}

static size_t none(cbm_context *cx, cbm_tensor **parts, size_t room)
{
    for (size_t i = 0; i < room && parts; i++)
        parts[i] = &cx->failed;
    cbm_close_error(cx);
    return 0;
}

/* The axis as it counts from 0; false: an error, and parts are failed tensors. */
static bool begin(const char *op, cbm_tensor *x, int64_t axis, cbm_tensor **parts, size_t room, int64_t *place)
{
    cbm_context *cx = cbm_tensor_context(x);
    bool good = cbm_axis_of(op, x, axis, place);
    if (good && parts == NULL && room > 0) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] parts is NULL", op);
        good = false;
    }
    if (!good)
        none(cx, parts, room);
    return good;
}

static size_t into_equal(const char *op, cbm_tensor *x, int64_t axis, int64_t size, cbm_tensor **parts, size_t room)
{
    cbm_context *cx = cbm_tensor_context(x);
    const lengths l = { .size = size, .extent = cbm_tensor_size(x, axis) };
    const int64_t count = l.extent == 0 ? 1 : (l.extent - 1) / size + 1;
    if ((uint64_t)count > room) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] %lld parts, but room for %zu", op, (long long)count, room);
        return none(cx, parts, room);
    }
    divide(x, axis, &l, 0, (size_t)count, parts);
    return cx->status == CBM_OK ? (size_t)count : none(cx, parts, room);
}

size_t cbm_split_by(cbm_tensor *x, int64_t axis, int64_t size, cbm_tensor **parts, size_t room)
{
    int64_t place = 0;
    if (!begin("split", x, axis, parts, room, &place))
        return 0;
    if (size < 1) {
        cbm_fail(cbm_tensor_context(x), CBM_ERROR_INVALID, "[split] parts of length %lld", (long long)size);
        return none(cbm_tensor_context(x), parts, room);
    }
    return into_equal("split", x, place, size, parts, room);
}

size_t cbm_split_sizes(cbm_tensor *x, int64_t axis, const int64_t *sizes, size_t count, cbm_tensor **parts)
{
    cbm_context *cx = cbm_tensor_context(x);
    int64_t place = 0, sum = 0;
    if (!begin("split", x, axis, parts, count, &place))
        return 0;
    bool good = sizes != NULL && count > 0;
    for (size_t i = 0; i < count && good; i++)
        good = sizes[i] >= 0 && !__builtin_add_overflow(sum, sizes[i], &sum);
    if (!good || sum != cbm_tensor_size(x, place)) {
        cbm_fail(cx, CBM_ERROR_SHAPE, "[split] the sizes do not add up to the axis's extent %lld, or one is negative",
                 (long long)cbm_tensor_size(x, place));
        return none(cx, parts, count);
    }
    const lengths l = { .list = sizes, .extent = sum };
    divide(x, place, &l, 0, count, parts);
    return cx->status == CBM_OK ? count : none(cx, parts, count);
}

size_t cbm_chunk(cbm_tensor *x, int64_t axis, size_t chunks, cbm_tensor **parts)
{
    int64_t place = 0;
    if (!begin("chunk", x, axis, parts, chunks, &place))
        return 0;
    if (chunks == 0) {
        cbm_fail(cbm_tensor_context(x), CBM_ERROR_INVALID, "[chunk] no chunks");
        return none(cbm_tensor_context(x), parts, chunks);
    }
    const int64_t extent = cbm_tensor_size(x, place);
    const int64_t size = chunks > (uint64_t)extent ? 1 : (extent - 1) / (int64_t)chunks + 1;
    const size_t count = into_equal("chunk", x, place, size, parts, chunks);
    for (size_t i = count; i < chunks && count > 0; i++)
        parts[i] = NULL;
    return count;
}

size_t cbm_unbind(cbm_tensor *x, int64_t axis, cbm_tensor **parts, size_t room)
{
    int64_t place = 0;
    if (!begin("unbind", x, axis, parts, room, &place) || cbm_tensor_size(x, place) == 0)
        return 0;
    const size_t count = into_equal("unbind", x, place, 1, parts, room);
    for (size_t i = 0; i < count; i++)
        parts[i] = cbm_drop_axis(parts[i], place);
    return cbm_context_status(cbm_tensor_context(x)) == CBM_OK ? count : none(cbm_tensor_context(x), parts, room);
}
