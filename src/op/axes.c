/* axes.c: what is made of reshape, permute, expand, slice and concat alone: axes that move, come and go, parts, stacks,
   repetitions, grids. Rests on op/families.h. */
#include "op/families.h"

/* The axis at which something new begins: one more than x has; -1 is behind the last. */
static bool new_axis(const char *op, cbm_tensor *x, int64_t axis, int64_t *out)
{
    char text[160];
    cbm_context *cx = cbm_tensor_context(x);
    if (!cbm_usable(cx, x))
        return false;
    const cbm_shape shape = cbm_tensor_shape(x);
    if (shape.v[0] >= CBM_MAX_DIMS) {
        cbm_fail(cx, CBM_ERROR_SHAPE, "[%s] the result would have more than %d dimensions", op, CBM_MAX_DIMS);
        return false;
    }
    if (cbm_axis_normalise(axis, shape.v[0] + 1, out))
        return true;
    cbm_fail(cx, CBM_ERROR_SHAPE, "[%s] axis %lld is not a place for a new one in shape %s", op, (long long)axis,
             cbm_shape_text(&shape, text, sizeof text));
    return false;
}

/* ---- axes ---- */

cbm_tensor *cbm_swapaxes(cbm_tensor *x, int64_t axis_a, int64_t axis_b)
{
    return cbm_transpose(x, axis_a, axis_b);
}

cbm_tensor *cbm_t(cbm_tensor *x)
{
    char text[160];
    const cbm_shape shape = cbm_tensor_shape(x);
    if (!cbm_usable(cbm_tensor_context(x), x))
        return cbm_no_result(x, "t");
    if (shape.v[0] > 2)
        return cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_SHAPE,
                               "[t] shape %s has more than two dimensions. HINT: cbm_transpose",
                               cbm_shape_text(&shape, text, sizeof text));
    return shape.v[0] == 2 ? cbm_transpose(x, 0, 1) : x;
}

cbm_tensor *cbm_movedim(cbm_tensor *x, cbm_shape source, cbm_shape destination)
{
    cbm_context *cx = cbm_tensor_context(x);
    if (!cbm_usable(cx, x))
        return cbm_no_result(x, "movedim");
    const int64_t rank = cbm_tensor_rank(x), moved = source.v[0];
    if (moved < 0 || moved > rank || destination.v[0] != moved)
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID,
                               "[movedim] %lld axes go to %lld places, of %lld: as many, and no more than there are",
                               (long long)moved, (long long)destination.v[0], (long long)rank);
    cbm_shape order = { { rank } };
    bool taken[CBM_MAX_DIMS] = { false }, filled[CBM_MAX_DIMS] = { false };
    for (int64_t i = 1; i <= moved; i++) {
        int64_t from = 0, to = 0;
        if (!cbm_axis_of("movedim", x, source.v[i], &from) || !cbm_axis_of("movedim", x, destination.v[i], &to))
            return cbm_no_result(x, "movedim");
        if (taken[from] || filled[to])
            return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[movedim] an axis is named twice");
        taken[from] = filled[to] = true;
        order.v[1 + to] = from;
    }
    for (int64_t to = 0, from = 0; to < rank; to++) {
        if (filled[to])
            continue;
        while (taken[from])
            from++;
        order.v[1 + to] = from++;
    }
    return moved == 0 ? x : cbm_permute(x, order);
}

cbm_tensor *cbm_unsqueeze(cbm_tensor *x, int64_t axis)
{
    int64_t place = 0;
    if (!new_axis("unsqueeze", x, axis, &place))
        return cbm_no_result(x, "unsqueeze");
    const cbm_shape from = cbm_tensor_shape(x);
    cbm_shape to = { { from.v[0] + 1 } };
    for (int64_t i = 0; i <= from.v[0]; i++)
        to.v[1 + i] = i < place ? from.v[1 + i] : i == place ? 1 : from.v[i];
    return cbm_reshape(x, to);
}

cbm_tensor *cbm_squeeze(cbm_tensor *x, cbm_shape axes)
{
    cbm_context *cx = cbm_tensor_context(x);
    bool named[CBM_MAX_DIMS] = { false };
    if (!cbm_usable(cx, x))
        return cbm_no_result(x, "squeeze");
    if (axes.v[0] < 0 || axes.v[0] > CBM_MAX_DIMS)
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[squeeze] a list of %lld axes", (long long)axes.v[0]);
    for (int64_t i = 1; i <= axes.v[0]; i++) {
        int64_t axis = 0;
        if (!cbm_axis_of("squeeze", x, axes.v[i], &axis))
            return cbm_no_result(x, "squeeze");
        named[axis] = true;
    }
    const cbm_shape from = cbm_tensor_shape(x);
    cbm_shape to = { { 0 } };
    for (int64_t i = 0; i < from.v[0]; i++)
        if (from.v[1 + i] != 1 || (axes.v[0] > 0 && !named[i]))
            to.v[++to.v[0]] = from.v[1 + i];
    return cbm_reshape(x, to);
}

cbm_tensor *cbm_flatten_axes(cbm_tensor *x, int64_t first_axis, int64_t last_axis)
{
    int64_t first = 0, last = 0;
    if (cbm_usable(cbm_tensor_context(x), x) && cbm_tensor_rank(x) == 0)
        return cbm_flatten(x, first_axis);
    if (!cbm_axis_of("flatten", x, first_axis, &first) || !cbm_axis_of("flatten", x, last_axis, &last))
        return cbm_no_result(x, "flatten");
    if (first > last)
        return cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_INVALID, "[flatten] axis %lld comes after axis %lld",
                               (long long)first_axis, (long long)last_axis);
    const cbm_shape from = cbm_tensor_shape(x);
    cbm_shape to = { { from.v[0] - (last - first) } };
    to.v[1 + first] = 1;
    for (int64_t i = 0; i < from.v[0]; i++) {
        if (i >= first && i <= last)
            to.v[1 + first] *= from.v[1 + i];
        else
            to.v[i < first ? 1 + i : 1 + i - (last - first)] = from.v[1 + i];
    }
    return cbm_reshape(x, to);
}

cbm_tensor *cbm_unflatten(cbm_tensor *x, int64_t axis, cbm_shape extents)
{
    char text[160];
    cbm_context *cx = cbm_tensor_context(x);
    int64_t place = 0, known = 1, open = 0;
    if (!cbm_axis_of("unflatten", x, axis, &place))
        return cbm_no_result(x, "unflatten");
    const cbm_shape from = cbm_tensor_shape(x);
    const int64_t extent = from.v[1 + place];
    if (extents.v[0] < 1 || from.v[0] - 1 + extents.v[0] > CBM_MAX_DIMS)
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE,
                               "[unflatten] an axis becomes at least one, and the result has at most %d dimensions",
                               CBM_MAX_DIMS);
    bool good = true;
    for (int64_t i = 1; i <= extents.v[0]; i++) {
        if (extents.v[i] == -1 && open == 0)
            open = i;
        else
            good = good && extents.v[i] >= 0 && !__builtin_mul_overflow(known, extents.v[i], &known);
    }
    good = good && (open == 0 ? known == extent : known > 0 && extent % known == 0);
    if (!good)
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[unflatten] an axis of %lld does not become %s", (long long)extent,
                               cbm_shape_text(&extents, text, sizeof text));
    cbm_shape to = { { from.v[0] - 1 + extents.v[0] } };
    for (int64_t i = 0; i < from.v[0]; i++)
        to.v[i < place ? 1 + i : i + extents.v[0]] = from.v[1 + i];
    for (int64_t i = 1; i <= extents.v[0]; i++)
        to.v[place + i] = i == open ? extent / known : extents.v[i];
    return cbm_reshape(x, to);
}

cbm_tensor *cbm_broadcast_to(cbm_tensor *x, cbm_shape shape)
{
    return cbm_expand(x, shape);
}

cbm_tensor *cbm_expand_as(cbm_tensor *x, cbm_tensor *other)
{
    cbm_context *cx = cbm_tensor_context(x);
    if (!cbm_usable(cx, x) || !cbm_usable(cx, other))
        return cbm_no_result(x, "expand_as");
    return cbm_expand(x, cbm_tensor_shape(other));
}

/* ---- parts ---- */

cbm_tensor *cbm_narrow(cbm_tensor *x, int64_t axis, int64_t start, int64_t length)
{
    int64_t place = 0;
    if (!cbm_axis_of("narrow", x, axis, &place))
        return cbm_no_result(x, "narrow");
    const int64_t extent = cbm_tensor_size(x, place), from = start < 0 ? start + extent : start;
    if (from < 0 || from > extent || length < 0 || length > extent - from)
        return cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_RANGE,
                               "[narrow] %lld places from %lld on do not lie inside an axis of %lld", (long long)length,
                               (long long)start, (long long)extent);
    return cbm_slice(x, place, from, from + length, 1);
}

cbm_tensor *cbm_select(cbm_tensor *x, int64_t axis, int64_t index)
{
    int64_t place = 0;
    if (!cbm_axis_of("select", x, axis, &place))
        return cbm_no_result(x, "select");
    const cbm_shape from = cbm_tensor_shape(x);
    const int64_t extent = from.v[1 + place], at = index < 0 ? index + extent : index;
    if (at < 0 || at >= extent)
        return cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_RANGE, "[select] index %lld is outside an axis of %lld",
                               (long long)index, (long long)extent);
    return cbm_drop_axis(cbm_slice(x, place, at, at + 1, 1), place);
}

/* ---- joins and repetitions ---- */

cbm_tensor *cbm_stack(cbm_tensor *const *tensors, size_t count, int64_t axis)
{
    char one[160], other[160];
    cbm_tensor *rows[CBM_MAX_INPUTS], *pieces[CBM_MAX_INPUTS];
    if (tensors == NULL || count == 0)
        return cbm_fail_tensor(cbm_tensor_context(NULL), CBM_ERROR_INVALID, "[stack] no tensors");
    cbm_context *cx = cbm_context_of(tensors, count);
    for (size_t i = 0; i < count; i++)
        if (tensors[i] == NULL)
            return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[stack] tensor %zu is NULL", i + 1);
    int64_t place = 0;
    const size_t n_pieces = (count + CBM_MAX_INPUTS - 1) / CBM_MAX_INPUTS;
    if (n_pieces > CBM_MAX_INPUTS)
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[stack] more than %d tensors", CBM_MAX_INPUTS * CBM_MAX_INPUTS);
    if (!new_axis("stack", tensors[0], axis, &place))
        return cbm_no_result(tensors[0], "stack");
    const cbm_shape first = cbm_tensor_shape(tensors[0]);
    for (size_t p = 0; p < n_pieces; p++) {
        size_t n = 0;
        for (size_t i = p * CBM_MAX_INPUTS; i < count && n < CBM_MAX_INPUTS; i++) {
            const cbm_shape shape = cbm_tensor_shape(tensors[i]);
            if (cbm_usable(cx, tensors[i]) && !cbm_shape_equal(&shape, &first))
                return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[stack] tensor %zu has shape %s, the first %s", i + 1,
                                       cbm_shape_text(&shape, one, sizeof one),
                                       cbm_shape_text(&first, other, sizeof other));
            rows[n++] = cbm_unsqueeze(tensors[i], place);
        }
        pieces[p] = cbm_concat(rows, n, place);
    }
    return n_pieces == 1 ? pieces[0] : cbm_concat(pieces, n_pieces, place);
}

/* x of shape (..) `repeats` times behind each other along axis. An axis is put in before it and expanded. */
static cbm_tensor *repeat_axis(cbm_tensor *x, int64_t axis, int64_t repeats)
{
    const cbm_shape from = cbm_tensor_shape(x);
    cbm_shape split = { { 3, 1, 1, 1 } }, wide, to = from;
    for (int64_t i = 0; i < from.v[0]; i++)
        split.v[i < axis ? 1 : 3] *= from.v[1 + i];
    wide = split;
    wide.v[2] = repeats;
    if (__builtin_mul_overflow(from.v[1 + axis], repeats, &to.v[1 + axis]))
        return cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_SHAPE, "[repeat] the result has too many elements");
    return cbm_reshape(cbm_expand(cbm_reshape(x, split), wide), to);
}

static cbm_tensor *repeat(const char *op, cbm_tensor *x, const cbm_shape *repeats)
{
    char text[160];
    cbm_context *cx = cbm_tensor_context(x);
    if (!cbm_usable(cx, x))
        return cbm_no_result(x, op);
    const cbm_shape from = cbm_tensor_shape(x);
    if (cbm_shape_count(repeats) < 0)
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE,
                               "[%s] the list has a negative number, more than %d numbers, or makes too many elements",
                               op, CBM_MAX_DIMS);
    if (repeats->v[0] < from.v[0])
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[%s] %lld numbers for the %lld axes of shape %s. HINT: cbm_tile",
                               op, (long long)repeats->v[0], (long long)from.v[0],
                               cbm_shape_text(&from, text, sizeof text));
    const int64_t lead = repeats->v[0] - from.v[0];
    cbm_shape to = { { repeats->v[0] } };
    for (int64_t i = 1; i <= to.v[0]; i++)
        to.v[i] = i <= lead ? 1 : from.v[i - lead];
    x = cbm_reshape(x, to);
    for (int64_t i = 0; i < to.v[0]; i++) /* the last axes make short rows long first */
        if (repeats->v[to.v[0] - i] != 1)
            x = repeat_axis(x, to.v[0] - 1 - i, repeats->v[to.v[0] - i]);
    return x;
}

cbm_tensor *cbm_repeat(cbm_tensor *x, cbm_shape repeats)
{
    return repeat("repeat", x, &repeats);
}

cbm_tensor *cbm_tile(cbm_tensor *x, cbm_shape repeats)
{
    const int64_t missing = cbm_tensor_rank(x) - repeats.v[0];
    cbm_shape whole = repeats;
    if (repeats.v[0] >= 0 && missing > 0) {
        whole.v[0] += missing;
        for (int64_t i = 1; i <= whole.v[0]; i++)
            whole.v[i] = i <= missing ? 1 : repeats.v[i - missing];
    }
    return repeat("tile", x, &whole);
}

cbm_tensor *cbm_repeat_interleave(cbm_tensor *x, int64_t axis, int64_t repeats)
{
    cbm_context *cx = cbm_tensor_context(x);
    int64_t place = 0;
    if (!cbm_axis_of("repeat_interleave", x, axis, &place))
        return cbm_no_result(x, "repeat_interleave");
    cbm_shape to = cbm_tensor_shape(x), split = { { 3, 1, 1, 1 } }, wide;
    for (int64_t i = 0; i < to.v[0]; i++)
        split.v[i <= place ? 1 : 3] *= to.v[1 + i];
    wide = split;
    wide.v[2] = repeats;
    if (repeats < 0 || __builtin_mul_overflow(to.v[1 + place], repeats, &to.v[1 + place]))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[repeat_interleave] %lld repeats", (long long)repeats);
    return cbm_reshape(cbm_expand(cbm_reshape(x, split), wide), to);
}

bool cbm_meshgrid(cbm_tensor *const *tensors, size_t count, bool xy, cbm_tensor **grids)
{
    char text[160];
    cbm_context *cx = tensors ? cbm_context_of(tensors, count) : cbm_tensor_context(NULL);
    for (size_t i = 0; i < count && grids; i++)
        grids[i] = &cx->failed;
    if (tensors == NULL || grids == NULL || count == 0 || count > CBM_MAX_DIMS) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[meshgrid] takes 1 to %d tensors, and room for as many", CBM_MAX_DIMS);
        return cbm_close_error(cx) == CBM_OK;
    }
    cbm_shape grid = { { (int64_t)count } };
    for (size_t i = 0; i < count; i++) {
        const cbm_shape shape = cbm_tensor_shape(tensors[i]);
        if (!cbm_usable(cx, tensors[i]))
            return false;
        if (shape.v[0] > 1 || cbm_tensor_dtype(tensors[i]) != cbm_tensor_dtype(tensors[0])) {
            cbm_fail(cx, shape.v[0] > 1 ? CBM_ERROR_SHAPE : CBM_ERROR_DTYPE,
                     "[meshgrid] tensor %zu is %s %s: takes vectors and scalars of one dtype", i + 1,
                     cbm_dtype_name(cbm_tensor_dtype(tensors[i])), cbm_shape_text(&shape, text, sizeof text));
            return cbm_close_error(cx) == CBM_OK;
        }
        grid.v[1 + i] = cbm_tensor_count(tensors[i]);
    }
    cbm_tensor *made[CBM_MAX_DIMS];
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        cbm_shape one = { { (int64_t)count } };
        for (size_t k = 0; k < count; k++)
            one.v[1 + k] = k == i ? grid.v[1 + k] : 1;
        made[i] = cbm_expand(cbm_reshape(tensors[i], one), grid);
        made[i] = xy && count > 1 ? cbm_transpose(made[i], 0, 1) : made[i];
        good = good && !cbm_tensor_failed(made[i]);
    }
    for (size_t i = 0; i < count && good; i++)
        grids[i] = made[i];
    return good;
}
