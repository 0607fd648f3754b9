/* packed.c: sequences of different lengths: side by side with padding, as lists, and packed without it. Rests on
   layer.h. */
#include "nn/layer.h"

static cbm_padded no_padded(cbm_context *cx)
{
    return (cbm_padded){ &cx->failed, &cx->failed };
}

/* The failed tensor, after the reason. */
static cbm_packed no_packed(cbm_context *cx)
{
    return (cbm_packed){ &cx->failed, &cx->failed, &cx->failed, &cx->failed };
}

static cbm_context *context_of(const cbm_tensor *t)
{
    return cbm_tensor_context(t);
}

/* The tensor with shape's entries from `from` on behind those given. */
static cbm_shape joined(cbm_shape head, const cbm_shape *shape, int64_t from)
{
    for (int64_t i = from; i < shape->v[0]; i++)
        head.v[++head.v[0]] = shape->v[1 + i];
    return head;
}

/* ---- lists ---- */

/* Equal shapes off axis 0, at least one dimension; *longest: the greatest length. */
static bool sequences_fit(cbm_context *cx, cbm_tensor *const *sequences, size_t count, int64_t *longest)
{
    char one[160], other[160];
    *longest = 0;
    for (size_t i = 0; i < count; i++) {
        if (!cbm_usable(cx, sequences[i]))
            return false;
        const cbm_shape first = cbm_tensor_shape(sequences[0]), shape = cbm_tensor_shape(sequences[i]);
        bool fits = shape.v[0] == first.v[0] && shape.v[0] >= 1 && shape.v[0] < CBM_MAX_DIMS &&
                    cbm_tensor_dtype(sequences[i]) == cbm_tensor_dtype(sequences[0]);
        for (int64_t k = 2; fits && k <= shape.v[0]; k++)
            fits = shape.v[k] == first.v[k];
        if (!fits) {
            cbm_fail(
                cx, CBM_ERROR_SHAPE,
                "[pad_sequence] sequence %zu %s %s does not match the first, %s %s: they differ in their lengths alone",
                i, cbm_dtype_name(cbm_tensor_dtype(sequences[i])), cbm_shape_text(&shape, one, sizeof one),
                cbm_dtype_name(cbm_tensor_dtype(sequences[0])), cbm_shape_text(&first, other, sizeof other));
            return false;
        }
        *longest = shape.v[1] > *longest ? shape.v[1] : *longest;
    }
    return true;
}

static bool options_wrong(cbm_context *cx, const char *who, const cbm_pad_sequence_options *o)
{
    return cbm_options_wrong(cx, who, o, o ? o->struct_size : 0, sizeof *o);
}

cbm_padded cbm_pad_sequence_with(cbm_tensor *const *sequences, size_t count, const cbm_pad_sequence_options *o)
{
    cbm_context *cx = context_of(sequences && count ? sequences[0] : NULL);
    int64_t longest;
    if (!sequences || !count) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[pad_sequence] no sequences");
        return no_padded(cx);
    }
    if (options_wrong(cx, "pad_sequence", o) || !sequences_fit(cx, sequences, count, &longest))
        return no_padded(cx);
    cbm_heap *heap = cbm_context_heap(cx);
    const size_t list_bytes = count * sizeof(cbm_tensor *), length_bytes = count * sizeof(int64_t);
    cbm_tensor **list = cbm_heap_take(heap, list_bytes);
    int64_t *lengths = cbm_heap_take(heap, length_bytes);
    cbm_padded result = no_padded(cx);
    const int64_t axis = o->batch_first ? 0 : 1;
    for (size_t i = 0; list && lengths && i < count; i++) {
        cbm_shape rest = cbm_tensor_shape(sequences[i]),
                  whole = o->batch_first ? CBM_SHAPE(1, longest) : CBM_SHAPE(longest, 1);
        lengths[i] = rest.v[1];
        whole = joined(whole, &rest, 1);
        rest.v[1] = longest - lengths[i];
        cbm_tensor *const parts[] = { sequences[i], rest.v[1] > 0
                                                        ? cbm_full(cx, cbm_tensor_dtype(sequences[i]), rest, o->value)
                                                        : NULL };
        list[i] = cbm_reshape(parts[1] ? cbm_concat(parts, 2, 0) : parts[0], whole);
    }
    if (!list || !lengths)
        cbm_fail_memory(cx, "pad_sequence");
    else
        result = (cbm_padded){ cbm_concat(list, count, axis),
                               cbm_tensor_from(cx, CBM_I64, CBM_SHAPE((int64_t)count), lengths) };
    cbm_heap_give(heap, list, list_bytes);
    cbm_heap_give(heap, lengths, length_bytes);
    return result;
}

/* x is (T, N, ...) or (N, T, ...), and there is a length for each sequence, within its bounds. */
static bool lengths_fit(cbm_context *cx, const char *who, cbm_tensor *x, const int64_t *lengths, size_t count,
                        bool batch_first, int64_t least)
{
    char text[160];
    if (!cbm_usable(cx, x))
        return false;
    const cbm_shape shape = cbm_tensor_shape(x);
    if (shape.v[0] < 2 || !lengths || (int64_t)count != shape.v[batch_first ? 1 : 2]) {
        cbm_fail(cx, CBM_ERROR_SHAPE, "[%s] %s is not %s with %zu sequences, one for each length", who,
                 cbm_shape_text(&shape, text, sizeof text), batch_first ? "(N, T, ...)" : "(T, N, ...)",
                 lengths ? count : 0);
        return false;
    }
    const int64_t steps = shape.v[batch_first ? 2 : 1];
    for (size_t i = 0; i < count; i++)
        if (lengths[i] < least || lengths[i] > steps) {
            cbm_fail(cx, CBM_ERROR_RANGE, "[%s] length %lld at position %zu is outside %lld..%lld", who,
                     (long long)lengths[i], i, (long long)least, (long long)steps);
            return false;
        }
    return true;
}

cbm_status cbm_unpad_sequence(cbm_tensor *padded, const int64_t *lengths, size_t count, bool batch_first,
                              cbm_tensor **out)
{
    cbm_context *cx = context_of(padded);
    for (size_t i = 0; out && i < count; i++)
        out[i] = &cx->failed;
    if (!lengths_fit(cx, "unpad_sequence", padded, lengths, count, batch_first, 0) || !out)
        return cbm_context_status(cx);
    const cbm_shape shape = cbm_tensor_shape(padded);
    for (size_t i = 0; i < count; i++) {
        const int64_t at = (int64_t)i;
        cbm_tensor *one = cbm_slice(padded, batch_first ? 0 : 1, at, at + 1, 1);
        one = cbm_slice(one, batch_first ? 1 : 0, 0, lengths[i], 1);
        out[i] = cbm_reshape(one, joined(CBM_SHAPE(lengths[i]), &shape, 2));
    }
    return cbm_context_status(cx);
}

/* ---- packed ---- */

/* Row numbers of a matrix of rows, as an operation takes them that looks at single elements. */
static cbm_tensor *rows_at(cbm_tensor *rows, const int64_t *numbers, int64_t count)
{
    cbm_context *cx = context_of(rows);
    cbm_tensor *index = cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(count, 1), numbers);
    return cbm_gather(rows, 0, cbm_expand(index, CBM_SHAPE(count, cbm_tensor_size(rows, 1))));
}

/* What packing computes on the host: for T steps and N sequences. */
typedef struct order {
    int64_t steps, batch, total;
    int64_t *sorted, *unsorted, *sizes; /* N, N, T */
    int64_t *rows;                      /* of the packed steps, in the padded one: total; of the other way: steps N */
    size_t bytes;
} order;

static bool take_order(cbm_context *cx, order *o, int64_t rows)
{
    o->bytes = (size_t)(2 * o->batch + o->steps + rows) * sizeof(int64_t);
    o->sorted = cbm_heap_take_zero(cbm_context_heap(cx), o->bytes);
    if (!o->sorted) {
        cbm_fail_memory(cx, "packed sequences");
        return false;
    }
    o->unsorted = o->sorted + o->batch;
    o->sizes = o->unsorted + o->batch;
    o->rows = o->sizes + o->steps;
    return true;
}

/* Longer sequences first; equal ones stay in order. */
static void sort(order *o, const int64_t *lengths)
{
    int64_t n = 0;
    for (int64_t length = o->steps; length >= 0; length--)
        for (int64_t b = 0; b < o->batch; b++)
            if (lengths[b] == length) {
                o->unsorted[b] = n;
                o->sorted[n++] = b;
            }
    for (int64_t b = 0; b < o->batch; b++)
        for (int64_t t = 0; t < lengths[b]; t++)
            o->sizes[t]++;
}

cbm_packed cbm_pack_padded(cbm_tensor *padded, const int64_t *lengths, size_t count, bool batch_first)
{
    cbm_context *cx = context_of(padded);
    if (!lengths_fit(cx, "pack_padded", padded, lengths, count, batch_first, 1))
        return no_packed(cx);
    const cbm_shape shape = cbm_tensor_shape(padded);
    order o = { .batch = (int64_t)count };
    for (size_t i = 0; i < count; i++) {
        o.steps = lengths[i] > o.steps ? lengths[i] : o.steps;
        o.total += lengths[i];
    }
    if (!take_order(cx, &o, o.total))
        return no_packed(cx);
    sort(&o, lengths);
    const int64_t step_row = batch_first ? 1 : shape.v[2], batch_row = batch_first ? shape.v[2] : 1;
    for (int64_t t = 0, n = 0; t < o.steps; t++)
        for (int64_t k = 0; k < o.sizes[t]; k++)
            o.rows[n++] = t * step_row + o.sorted[k] * batch_row;
    cbm_tensor *rows = cbm_reshape(padded, CBM_SHAPE(shape.v[1] * shape.v[2], -1));
    const cbm_packed p = {
        .data = cbm_reshape(rows_at(rows, o.rows, o.total), joined(CBM_SHAPE(o.total), &shape, 2)),
        .batch_sizes = cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(o.steps), o.sizes),
        .sorted_indices = cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(o.batch), o.sorted),
        .unsorted_indices = cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(o.batch), o.unsorted),
    };
    cbm_heap_give(cbm_context_heap(cx), o.sorted, o.bytes);
    return p;
}

/* The host's numbers back from p; false: they are none of cbm_pack_padded's. */
static bool read_order(cbm_context *cx, const cbm_packed *p, order *o)
{
    const size_t batch = (size_t)o->batch * sizeof(int64_t), steps = (size_t)o->steps * sizeof(int64_t);
    if (cbm_read(p->sorted_indices, o->sorted, batch) != CBM_OK ||
        cbm_read(p->unsorted_indices, o->unsorted, batch) != CBM_OK ||
        cbm_read(p->batch_sizes, o->sizes, steps) != CBM_OK)
        return false;
    int64_t sum = 0, before = o->batch;
    bool good = true;
    for (int64_t t = 0; t < o->steps && good; t++) {
        good = o->sizes[t] >= 1 && o->sizes[t] <= before;
        before = o->sizes[t];
        sum += before;
    }
    for (int64_t b = 0; b < o->batch && good; b++)
        good = o->unsorted[b] >= 0 && o->unsorted[b] < o->batch && o->sorted[o->unsorted[b]] == b;
    if (good && sum == o->total)
        return true;
    cbm_fail(cx, CBM_ERROR_INVALID, "[pad_packed] sizes and indices are not those of packed sequences");
    return false;
}

/* Places in the padded data: those of no step take the row behind the packed ones. */
static void find_rows(const order *o, bool batch_first)
{
    for (int64_t t = 0, offset = 0; t < o->steps; offset += o->sizes[t++])
        for (int64_t b = 0; b < o->batch; b++) {
            const int64_t place = batch_first ? b * o->steps + t : t * o->batch + b;
            o->rows[place] = o->unsorted[b] < o->sizes[t] ? offset + o->unsorted[b] : o->total;
        }
}

cbm_padded cbm_pad_packed_with(const cbm_packed *p, const cbm_pad_sequence_options *given)
{
    cbm_context *cx = context_of(p ? p->data : NULL);
    if (!p || !cbm_usable(cx, p->data) || !cbm_usable(cx, p->batch_sizes) || !cbm_usable(cx, p->sorted_indices) ||
        !cbm_usable(cx, p->unsorted_indices) || options_wrong(cx, "pad_packed", given))
        return no_padded(cx);
    const cbm_shape shape = cbm_tensor_shape(p->data);
    order o = { .steps = cbm_tensor_count(p->batch_sizes),
                .batch = cbm_tensor_count(p->sorted_indices),
                .total = shape.v[0] > 0 ? shape.v[1] : 0 };
    cbm_padded result = no_padded(cx);
    if (!take_order(cx, &o, o.steps * o.batch))
        return result;
    if (read_order(cx, p, &o)) {
        find_rows(&o, given->batch_first);
        cbm_tensor *rows = cbm_reshape(p->data, CBM_SHAPE(o.total, -1));
        cbm_tensor *const all[] = { rows, cbm_full(cx, cbm_tensor_dtype(rows), CBM_SHAPE(1, cbm_tensor_size(rows, 1)),
                                                   given->value) };
        cbm_tensor *filled = rows_at(cbm_concat(all, 2, 0), o.rows, o.steps * o.batch);
        cbm_shape head = given->batch_first ? CBM_SHAPE(o.batch, o.steps) : CBM_SHAPE(o.steps, o.batch);
        result.data = cbm_reshape(filled, joined(head, &shape, 1));
        for (int64_t b = 0; b < o.batch; b++) { /* a sequence's length: the steps that still have its place */
            int64_t length = 0;
            while (length < o.steps && o.sizes[length] > o.unsorted[b])
                length++;
            o.rows[b] = length;
        }
        result.lengths = cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(o.batch), o.rows);
    }
    cbm_heap_give(cbm_context_heap(cx), o.sorted, o.bytes);
    return result;
}
