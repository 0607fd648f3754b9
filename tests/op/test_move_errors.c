/* test_move_errors.c: every error of movement (axes, parts, joins, padding, windows, diagonals) against its status and
   message, on both backends; and what becomes of lists of parts. */
#define CBM_NO_CALL_SITES
#include "op/attributes.h"
#include "support/cases.h"
#include "support/wrong.h"
#include <cambium/ops.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static cbm_tensor *f32(cbm_context *cx, cbm_shape shape)
{
    return cbm_ones(cx, CBM_F32, shape);
}

static cbm_tensor *i64(cbm_context *cx, cbm_shape shape)
{
    return cbm_ones(cx, CBM_I64, shape);
}

/* An operation by its name, for what its public function does not let through. */
static cbm_tensor *raw(cbm_context *cx, const char *op, cbm_tensor *x, const void *attributes)
{
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    return cbm_apply(cx, cbm_op_named(op), &x, 1, attributes, out);
}

#define S(...) CBM_SHAPE(__VA_ARGS__)
#define LIST(...) (cbm_tensor *[]){ __VA_ARGS__ }, sizeof((cbm_tensor *[]){ __VA_ARGS__ }) / sizeof(cbm_tensor *)
#define PAD(...)                                                                                                       \
    &(cbm_pad_options)                                                                                                 \
    {                                                                                                                  \
        .struct_size = sizeof(cbm_pad_options), __VA_ARGS__                                                            \
    }
#define UNFOLD(...)                                                                                                    \
    &(cbm_unfold_options)                                                                                              \
    {                                                                                                                  \
        .struct_size = sizeof(cbm_unfold_options), __VA_ARGS__                                                         \
    }
#define EIGHT 1, 1, 1, 1, 1, 1, 1, 1
#define HALF ((int64_t)1 << 62)

#define WRONG(name_, expression_)                                                                                      \
    static cbm_tensor *name_(cbm_context *cx)                                                                          \
    {                                                                                                                  \
        return expression_;                                                                                            \
    }
WRONG(t_rank, cbm_t(f32(cx, S(2, 3, 4))))
WRONG(movedim_count, cbm_movedim(f32(cx, S(2, 3)), S(0), S(0, 1)))
WRONG(movedim_axis, cbm_movedim(f32(cx, S(2, 3)), S(2), S(0)))
WRONG(movedim_place, cbm_movedim(f32(cx, S(2, 3)), S(0), S(-3)))
WRONG(movedim_twice, cbm_movedim(f32(cx, S(2, 3)), S(0, -2), S(0, 1)))
WRONG(unsqueeze_axis, cbm_unsqueeze(f32(cx, S(2, 3)), 3))
WRONG(unsqueeze_ninth, cbm_unsqueeze(f32(cx, S(EIGHT)), 0))
WRONG(squeeze_axis, cbm_squeeze(f32(cx, S(2, 1)), S(2)))
WRONG(squeeze_list, cbm_squeeze(f32(cx, S(2, 1)), (cbm_shape){ { 9 } }))
WRONG(flatten_order, cbm_flatten_axes(f32(cx, S(2, 3)), 1, 0))
WRONG(flatten_last, cbm_flatten_axes(f32(cx, S(2, 3)), 0, 2))
WRONG(unflatten_axis, cbm_unflatten(f32(cx, S(2, 6)), 2, S(3, 2)))
WRONG(unflatten_extents, cbm_unflatten(f32(cx, S(2, 6)), 1, S(4, 2)))
WRONG(unflatten_open, cbm_unflatten(f32(cx, S(2, 6)), 1, S(-1, 4)))
WRONG(unflatten_two_open, cbm_unflatten(f32(cx, S(2, 6)), 1, S(-1, -1)))
WRONG(unflatten_none, cbm_unflatten(f32(cx, S(2, 6)), 1, S()))
WRONG(unflatten_many, cbm_unflatten(f32(cx, S(2, 6)), 1, S(EIGHT)))
WRONG(expand_as_null, cbm_add(f32(cx, S(2)), cbm_expand_as(f32(cx, S(2)), NULL)))
WRONG(expand_as_shape, cbm_expand_as(f32(cx, S(2)), f32(cx, S(3))))
WRONG(narrow_axis, cbm_narrow(f32(cx, S(2, 3)), 2, 0, 1))
WRONG(narrow_length, cbm_narrow(f32(cx, S(2, 3)), 1, 2, 2))
WRONG(narrow_start, cbm_narrow(f32(cx, S(2, 3)), 1, -4, 1))
WRONG(select_axis, cbm_select(f32(cx, S(2, 3)), -3, 0))
WRONG(select_index, cbm_select(f32(cx, S(2, 3)), 1, 3))
WRONG(select_negative, cbm_select(f32(cx, S(2, 3)), 1, -4))
WRONG(stack_shapes, cbm_stack(LIST(f32(cx, S(2, 3)), f32(cx, S(3, 2))), 0))
WRONG(stack_axis, cbm_stack(LIST(f32(cx, S(2, 3)), f32(cx, S(2, 3))), 3))
WRONG(stack_dtypes, cbm_stack(LIST(f32(cx, S(2)), i64(cx, S(2))), 0))
WRONG(stack_null, cbm_stack(LIST(f32(cx, S(2)), NULL), 0))
WRONG(stack_ninth, cbm_stack(LIST(f32(cx, S(EIGHT))), 0))
WRONG(repeat_short, cbm_repeat(f32(cx, S(2, 3)), S(2)))
WRONG(repeat_negative, cbm_repeat(f32(cx, S(2, 3)), S(2, -1)))
WRONG(tile_negative, cbm_tile(f32(cx, S(2, 3)), S(-1)))
WRONG(repeat_huge, cbm_repeat(f32(cx, S(4)), S(HALF)))
WRONG(interleave_axis, cbm_repeat_interleave(f32(cx, S(2, 3)), 2, 2))
WRONG(interleave_negative, cbm_repeat_interleave(f32(cx, S(2, 3)), 1, -1))
WRONG(flip_axis, cbm_flip(f32(cx, S(2, 3)), S(2)))
WRONG(flip_twice, cbm_flip(f32(cx, S(2, 3)), S(1, -1)))
WRONG(flip_list, cbm_flip(f32(cx, S(2, 3)), (cbm_shape){ { -1 } }))
WRONG(flip_raw, raw(cx, "flip", f32(cx, S(2, 3)), &(cbm_axes_attributes){ S(1, 0) }))
WRONG(roll_shifts, cbm_roll(f32(cx, S(2, 3)), S(1, 2), S(0)))
WRONG(roll_flat, cbm_roll(f32(cx, S(2, 3)), S(1, 2), S()))
WRONG(roll_axis, cbm_roll(f32(cx, S(2, 3)), S(1), S(2)))
WRONG(roll_raw, raw(cx, "roll", f32(cx, S(2, 3)), &(cbm_roll_attributes){ S(2, 0) }))
WRONG(rot90_axes, cbm_rot90(f32(cx, S(2, 3)), 1, 0, -2))
WRONG(rot90_axis, cbm_rot90(f32(cx, S(2, 3)), 1, 0, 2))
WRONG(pad_lists, cbm_pad_with(f32(cx, S(2, 3)), S(1), S(1, 1), NULL))
WRONG(pad_many, cbm_pad_with(f32(cx, S(2, 3)), S(1, 1, 1), S(1, 1, 1), NULL))
WRONG(pad_mode, cbm_pad_with(f32(cx, S(2, 3)), S(1), S(1), PAD(.mode = 4)))
WRONG(pad_less, cbm_pad_with(f32(cx, S(2, 3)), S(-2), S(-2), NULL))
WRONG(pad_huge, cbm_pad_with(f32(cx, S(2, 3)), S(HALF), S(HALF), NULL))
WRONG(pad_reflect, cbm_pad_with(f32(cx, S(2, 3)), S(3), S(0), PAD(.mode = CBM_PAD_REFLECT)))
WRONG(pad_circular, cbm_pad_with(f32(cx, S(2, 3)), S(0), S(4), PAD(.mode = CBM_PAD_CIRCULAR)))
WRONG(pad_replicate, cbm_pad_with(f32(cx, S(2, 0)), S(1), S(0), PAD(.mode = CBM_PAD_REPLICATE)))
WRONG(pad_raw, raw(cx, "pad_edge", f32(cx, S(2)), &(cbm_pad_edge_attributes){ S(1), S(1), S(2), 0 }))
WRONG(pad_backward_whole,
      raw(cx, "pad_edge_backward", i64(cx, S(4)), &(cbm_pad_edge_attributes){ S(1), S(1), S(2), CBM_PAD_REPLICATE }))
WRONG(windows_axis, cbm_windows(f32(cx, S(2, 3)), 2, 1, 1))
WRONG(windows_size, cbm_windows(f32(cx, S(2, 3)), 1, 0, 1))
WRONG(windows_step, cbm_windows(f32(cx, S(2, 3)), 1, 1, 0))
WRONG(windows_large, cbm_windows(f32(cx, S(2, 3)), 1, 4, 1))
WRONG(windows_ninth, cbm_windows(f32(cx, S(EIGHT)), 0, 1, 1))
WRONG(windows_raw, raw(cx, "windows", f32(cx, S(3)), &(cbm_windows_attributes){ 0, 1, 1, 4 }))
WRONG(windows_add_whole, raw(cx, "windows_add", i64(cx, S(3, 1)), &(cbm_windows_attributes){ 0, 1, 1, 3 }))
WRONG(windows_add_rank, raw(cx, "windows_add", f32(cx, S()), &(cbm_windows_attributes){ 0, 1, 1, 3 }))
WRONG(unfold_rank, cbm_unfold_with(f32(cx, S(5, 5)), S(2), NULL))
WRONG(unfold_list, cbm_unfold_with(f32(cx, S(1, 1, 5, 5)), S(2, 2, 2), NULL))
WRONG(unfold_kernel, cbm_unfold_with(f32(cx, S(1, 1, 5, 5)), S(0), NULL))
WRONG(unfold_padding, cbm_unfold_with(f32(cx, S(1, 1, 5, 5)), S(2), UNFOLD(.padding = S(-1))))
WRONG(unfold_large, cbm_unfold_with(f32(cx, S(1, 1, 5, 5)), S(3), UNFOLD(.dilation = S(3))))
WRONG(unfold_whole, cbm_unfold_with(i64(cx, S(1, 1, 5, 5)), S(2), NULL))
WRONG(unfold_huge, cbm_unfold_with(f32(cx, S(1, 1, 0, 0)), S(1), UNFOLD(.padding = S((int64_t)1 << 31))))
WRONG(unfold_many, cbm_unfold_with(f32(cx, S(1, 9, 0, 0)), S((int64_t)1 << 30), UNFOLD(.padding = S((int64_t)1 << 30))))
WRONG(unfold_overflow, cbm_unfold_with(f32(cx, S(1, 1, 0, 0)), S(1), UNFOLD(.padding = S(((int64_t)1 << 31) - 1))))
WRONG(fold_size, cbm_fold_with(f32(cx, S(1, 4, 9)), S(), S(2), NULL))
WRONG(fold_rank, cbm_fold_with(f32(cx, S(1, 1, 4, 9)), S(4), S(2), NULL))
WRONG(fold_rows, cbm_fold_with(f32(cx, S(1, 5, 9)), S(4), S(2), NULL))
WRONG(fold_columns, cbm_fold_with(f32(cx, S(1, 4, 8)), S(4), S(2), NULL))
WRONG(fold_whole, cbm_fold_with(i64(cx, S(1, 4, 9)), S(4), S(2), NULL))
WRONG(tril_rank, cbm_tril(f32(cx, S(3)), 0))
WRONG(triu_rank, cbm_triu(f32(cx, S()), 0))
WRONG(diagonal_axes, cbm_diagonal(f32(cx, S(2, 3)), 0, 1, -1))
WRONG(diagonal_axis, cbm_diagonal(f32(cx, S(2, 3)), 0, 0, 2))
WRONG(embed_axes, cbm_diag_embed(f32(cx, S(2, 3)), 0, 0, 3))
WRONG(embed_same, cbm_diag_embed(f32(cx, S(2, 3)), 0, 0, -3))
WRONG(embed_huge, cbm_diag_embed(f32(cx, S(2)), INT64_MAX, 0, 1))
WRONG(embed_ninth, cbm_diag_embed(f32(cx, S(EIGHT)), 0, 0, 1))
WRONG(embed_raw, raw(cx, "diag_embed", f32(cx, S(3)), &(cbm_diag_embed_attributes){ 0, 2, 3 }))
WRONG(diag_rank, cbm_diag(f32(cx, S(2, 2, 2)), 0))
WRONG(split_raw_axis, raw(cx, "split", f32(cx, S(3)), &(cbm_split_attributes){ 1, S(1, 1, 1, 0) }))
WRONG(split_raw_sizes, raw(cx, "split", f32(cx, S(3)), &(cbm_split_attributes){ 0, S(1, 1, 0, 0) }))

/* ---- functions that fill lists: what is in them after an error ---- */

#define PARTS(name_, count_, call_)                                                                                    \
    static cbm_tensor *name_(cbm_context *cx)                                                                          \
    {                                                                                                                  \
        cbm_tensor *parts[count_];                                                                                     \
        assert_int_equal((call_), 0);                                                                                  \
        for (int i = 0; i < (count_); i++)                                                                             \
            assert_true(parts[i] != NULL && cbm_tensor_failed(parts[i]));                                              \
        return parts[(count_)-1];                                                                                      \
    }
static const int64_t sizes[] = { 1, 1, 2 }, negative[] = { 4, -1 };
PARTS(split_axis, 3, cbm_split_by(f32(cx, S(3)), 1, 1, parts, 3))
PARTS(split_size, 3, cbm_split_by(f32(cx, S(3)), 0, 0, parts, 3))
PARTS(split_room, 2, cbm_split_by(f32(cx, S(3)), 0, 1, parts, 2))
PARTS(split_sum, 3, cbm_split_sizes(f32(cx, S(3)), 0, sizes, 3, parts))
PARTS(split_negative, 2, cbm_split_sizes(f32(cx, S(3)), 0, negative, 2, parts))
PARTS(split_no_sizes, 2, cbm_split_sizes(f32(cx, S(3)), 0, NULL, 2, parts))
PARTS(chunk_axis, 2, cbm_chunk(f32(cx, S(3)), 1, 2, parts))
PARTS(unbind_room, 2, cbm_unbind(f32(cx, S(3)), 0, parts, 2))
PARTS(unbind_axis, 2, cbm_unbind(f32(cx, S(3)), -2, parts, 2))
PARTS(grid_matrix, 2, cbm_meshgrid(LIST(f32(cx, S(3)), f32(cx, S(2, 2))), false, parts))
PARTS(grid_dtypes, 2, cbm_meshgrid(LIST(f32(cx, S(3)), i64(cx, S(2))), false, parts))
PARTS(grid_null, 2, cbm_meshgrid(LIST(f32(cx, S(3)), NULL), false, parts))

static cbm_tensor *grid_none(cbm_context *cx)
{
    cbm_tensor *x = f32(cx, S(2));
    assert_false(cbm_meshgrid(&x, 1, false, NULL));
    return x;
}

static cbm_tensor *chunk_none(cbm_context *cx)
{
    cbm_tensor *x = f32(cx, S(2)), *part;
    assert_int_equal(cbm_chunk(x, 0, 0, &part), 0);
    return x;
}

static cbm_tensor *no_parts(cbm_context *cx)
{
    cbm_tensor *x = f32(cx, S(2));
    assert_int_equal(cbm_unbind(x, 0, NULL, 2), 0);
    return x;
}

static const wrong_call wrong[] = {
    { t_rank, CBM_ERROR_SHAPE, { "[t]", "(2, 3, 4) has more than two dimensions. HINT: cbm_transpose" } },
    { movedim_count, CBM_ERROR_INVALID, { "[movedim]", "1 axes go to 2 places, of 2" } },
    { movedim_axis, CBM_ERROR_SHAPE, { "[movedim]", "axis 2 is not one of shape (2, 3)" } },
    { movedim_place, CBM_ERROR_SHAPE, { "[movedim]", "axis -3 is not one of shape (2, 3)" } },
    { movedim_twice, CBM_ERROR_INVALID, { "[movedim]", "an axis is named twice" } },
    { unsqueeze_axis, CBM_ERROR_SHAPE, { "[unsqueeze]", "axis 3 is not a place for a new one in shape (2, 3)" } },
    { unsqueeze_ninth, CBM_ERROR_SHAPE, { "[unsqueeze]", "more than 8 dimensions" } },
    { squeeze_axis, CBM_ERROR_SHAPE, { "[squeeze]", "axis 2 is not one of shape (2, 1)" } },
    { squeeze_list, CBM_ERROR_INVALID, { "[squeeze]", "a list of 9 axes" } },
    { flatten_order, CBM_ERROR_INVALID, { "[flatten]", "axis 1 comes after axis 0" } },
    { flatten_last, CBM_ERROR_SHAPE, { "[flatten]", "axis 2 is not one of shape (2, 3)" } },
    { unflatten_axis, CBM_ERROR_SHAPE, { "[unflatten]", "axis 2 is not one of shape (2, 6)" } },
    { unflatten_extents, CBM_ERROR_SHAPE, { "[unflatten]", "an axis of 6 does not become (4, 2)" } },
    { unflatten_open, CBM_ERROR_SHAPE, { "[unflatten]", "an axis of 6 does not become (-1, 4)" } },
    { unflatten_two_open, CBM_ERROR_SHAPE, { "[unflatten]", "does not become (-1, -1)" } },
    { unflatten_none, CBM_ERROR_SHAPE, { "[unflatten]", "an axis becomes at least one" } },
    { unflatten_many, CBM_ERROR_SHAPE, { "[unflatten]", "at most 8" } },
    { expand_as_null, CBM_ERROR_INVALID, { "", "NULL" } },
    { expand_as_shape, CBM_ERROR_SHAPE, { "[expand]", "does not broadcast" } },
    { narrow_axis, CBM_ERROR_SHAPE, { "[narrow]", "axis 2" } },
    { narrow_length, CBM_ERROR_RANGE, { "[narrow]", "2 places from 2 on do not lie inside an axis of 3" } },
    { narrow_start, CBM_ERROR_RANGE, { "[narrow]", "1 places from -4 on" } },
    { select_axis, CBM_ERROR_SHAPE, { "[select]", "axis -3" } },
    { select_index, CBM_ERROR_RANGE, { "[select]", "index 3 is outside an axis of 3" } },
    { select_negative, CBM_ERROR_RANGE, { "[select]", "index -4" } },
    { stack_shapes, CBM_ERROR_SHAPE, { "[stack]", "tensor 2 has shape (3, 2), the first (2, 3)" } },
    { stack_axis, CBM_ERROR_SHAPE, { "[stack]", "axis 3 is not a place for a new one" } },
    { stack_dtypes, CBM_ERROR_DTYPE, { "[concat]", "f32 and i64" } },
    { stack_null, CBM_ERROR_INVALID, { "[stack]", "tensor 2 is NULL" } },
    { stack_ninth, CBM_ERROR_SHAPE, { "[stack]", "more than 8 dimensions" } },
    { repeat_short, CBM_ERROR_SHAPE, { "[repeat]", "1 numbers for the 2 axes of shape (2, 3). HINT: cbm_tile" } },
    { repeat_negative, CBM_ERROR_SHAPE, { "[repeat]", "the list has a negative number" } },
    { tile_negative, CBM_ERROR_SHAPE, { "[tile]", "the list has a negative number" } },
    { repeat_huge, CBM_ERROR_SHAPE, { "[repeat]", "too many elements" } },
    { interleave_axis, CBM_ERROR_SHAPE, { "[repeat_interleave]", "axis 2" } },
    { interleave_negative, CBM_ERROR_INVALID, { "[repeat_interleave]", "-1 repeats" } },
    { flip_axis, CBM_ERROR_SHAPE, { "[flip]", "axis 2" } },
    { flip_twice, CBM_ERROR_INVALID, { "[flip]", "axis 1 is named twice" } },
    { flip_list, CBM_ERROR_INVALID, { "[flip]", "a list of -1 axes" } },
    { flip_raw, CBM_ERROR_SHAPE, { "[flip]", "the axes are not x's, in order" } },
    { roll_shifts, CBM_ERROR_INVALID, { "[roll]", "2 shifts for 1 axes" } },
    { roll_flat, CBM_ERROR_INVALID, { "[roll]", "2 shifts for 0 axes" } },
    { roll_axis, CBM_ERROR_SHAPE, { "[roll]", "axis 2" } },
    { roll_raw, CBM_ERROR_SHAPE, { "[roll]", "the shifts are not places of x's axes" } },
    { rot90_axes, CBM_ERROR_INVALID, { "[rot90]", "axis 0 is named twice" } },
    { rot90_axis, CBM_ERROR_SHAPE, { "[rot90]", "axis 2" } },
    { pad_lists, CBM_ERROR_INVALID, { "[pad]", "lists of 1 and 2 numbers for 2 axes" } },
    { pad_many, CBM_ERROR_INVALID, { "[pad]", "lists of 3 and 3 numbers for 2 axes" } },
    { pad_mode, CBM_ERROR_INVALID, { "[pad]", "no padding mode 4" } },
    { pad_less, CBM_ERROR_SHAPE, { "[pad]", "(2, 3) cannot be padded so: less than nothing" } },
    { pad_huge, CBM_ERROR_SHAPE, { "[pad]", "cannot be padded" } },
    { pad_reflect, CBM_ERROR_SHAPE, { "[pad_edge]", "reflect: axis 1 of shape (2, 3) does not give 3 and 0 places" } },
    { pad_circular, CBM_ERROR_SHAPE, { "[pad_edge]", "circular: axis 1 of shape (2, 3) does not give 0 and 4" } },
    { pad_replicate, CBM_ERROR_SHAPE, { "[pad_edge]", "replicate: axis 1 of shape (2, 0)" } },
    { pad_raw, CBM_ERROR_INVALID, { "[pad_edge]", "no padding mode 0" } },
    { pad_backward_whole, CBM_ERROR_DTYPE, { "[pad_edge_backward]", "must be f32, f64 or bf16" } },
    { windows_axis, CBM_ERROR_SHAPE, { "[windows]", "axis 2" } },
    { windows_size, CBM_ERROR_INVALID, { "[windows]", "size 0 and step 1 must be at least 1" } },
    { windows_step, CBM_ERROR_INVALID, { "[windows]", "size 1 and step 0" } },
    { windows_large, CBM_ERROR_SHAPE, { "[windows]", "a window of 4 places does not fit into 3" } },
    { windows_ninth, CBM_ERROR_SHAPE, { "[windows]", "no room for one more" } },
    { windows_raw, CBM_ERROR_SHAPE, { "[windows]", "the axis is 3 long, not 4" } },
    { windows_add_whole, CBM_ERROR_DTYPE, { "[windows_add]", "must be f32, f64 or bf16" } },
    { windows_add_rank, CBM_ERROR_SHAPE, { "[windows_add]", "g must have 2 dimensions" } },
    { unfold_rank, CBM_ERROR_SHAPE, { "[unfold]", "x must have 4 dimensions" } },
    { unfold_list, CBM_ERROR_INVALID, { "[unfold]", "one value or two" } },
    { unfold_kernel, CBM_ERROR_INVALID, { "[unfold]", "must be at least 1" } },
    { unfold_padding, CBM_ERROR_INVALID, { "[unfold]", "paddings and extents at least 0" } },
    { unfold_large,
      CBM_ERROR_SHAPE,
      { "[unfold]", "reaches over 7 elements, but the picture with its padding has only 5" } },
    { unfold_whole, CBM_ERROR_DTYPE, { "[unfold]", "must be f32, f64 or bf16" } },
    { unfold_huge, CBM_ERROR_INVALID, { "[unfold]", "at least" } },
    { unfold_many, CBM_ERROR_SHAPE, { "[unfold]", "too many elements" } },
    { unfold_overflow, CBM_ERROR_SHAPE, { "[unfold]", "too many elements" } },
    { fold_size, CBM_ERROR_INVALID, { "[fold]", "size takes one value or two" } },
    { fold_rank, CBM_ERROR_SHAPE, { "[fold]", "x must have 3 dimensions" } },
    { fold_rows, CBM_ERROR_SHAPE, { "[fold]", "(1, 5, 9) must have rows in multiples of 4" } },
    { fold_columns, CBM_ERROR_SHAPE, { "[fold]", "9 columns (its places)" } },
    { fold_whole, CBM_ERROR_DTYPE, { "[fold]", "must be f32, f64 or bf16" } },
    { tril_rank, CBM_ERROR_SHAPE, { "[tril]", "at least 2 dimensions, but its shape is (3" } },
    { triu_rank, CBM_ERROR_SHAPE, { "[triu]", "at least 2 dimensions" } },
    { diagonal_axes, CBM_ERROR_SHAPE, { "[diagonal]", "1 and 1 are not two axes of shape (2, 3)" } },
    { diagonal_axis, CBM_ERROR_SHAPE, { "[diagonal]", "axis 2 is not one" } },
    { embed_axes, CBM_ERROR_SHAPE, { "[diag_embed]", "0 and 3 are not two axes of 3" } },
    { embed_same, CBM_ERROR_SHAPE, { "[diag_embed]", "0 and -3 are not two axes of 3" } },
    { embed_huge, CBM_ERROR_SHAPE, { "[diag_embed]", "too many elements" } },
    { embed_ninth, CBM_ERROR_SHAPE, { "[diag_embed]", "1 to 7 dimensions" } },
    { embed_raw, CBM_ERROR_SHAPE, { "[diag_embed]", "3 elements are not a diagonal 0 of 2 x 3 matrices" } },
    { diag_rank, CBM_ERROR_SHAPE, { "[diag]", "takes a vector or a matrix, not shape (2, 2, 2)" } },
    { split_raw_axis, CBM_ERROR_SHAPE, { "[split]", "no axis 1 in shape (3" } },
    { split_raw_sizes, CBM_ERROR_SHAPE, { "[split]", "the sizes of 4 parts do not add up to axis 0" } },
    { split_axis, CBM_ERROR_SHAPE, { "[split]", "axis 1" } },
    { split_size, CBM_ERROR_INVALID, { "[split]", "parts of length 0" } },
    { split_room, CBM_ERROR_INVALID, { "[split]", "3 parts, but room for 2" } },
    { split_sum, CBM_ERROR_SHAPE, { "[split]", "do not add up to the axis's extent 3" } },
    { split_negative, CBM_ERROR_SHAPE, { "[split]", "or one is negative" } },
    { split_no_sizes, CBM_ERROR_SHAPE, { "[split]", "do not add up" } },
    { chunk_axis, CBM_ERROR_SHAPE, { "[chunk]", "axis 1" } },
    { chunk_none, CBM_ERROR_INVALID, { "[chunk]", "no chunks" } },
    { unbind_room, CBM_ERROR_INVALID, { "[unbind]", "3 parts, but room for 2" } },
    { unbind_axis, CBM_ERROR_SHAPE, { "[unbind]", "axis -2" } },
    { no_parts, CBM_ERROR_INVALID, { "[unbind]", "parts is NULL" } },
    { grid_matrix, CBM_ERROR_SHAPE, { "[meshgrid]", "tensor 2 is f32 (2, 2): takes vectors and scalars" } },
    { grid_dtypes, CBM_ERROR_DTYPE, { "[meshgrid]", "tensor 2 is i64" } },
    { grid_null, CBM_ERROR_INVALID, { "", "NULL" } },
    { grid_none, CBM_ERROR_INVALID, { "[meshgrid]", "takes 1 to 8 tensors" } },
};

WRONG_CALL_TESTS(wrong)

/* Lists of a context that does not exist, which no context can be asked about. */
static void errors_without_a_context(void **state)
{
    (void)state;
    cbm_tensor *parts[2];
    assert_int_equal(cbm_split_by(NULL, 0, 1, parts, 2), 0);
    assert_true(cbm_tensor_failed(parts[0]) && cbm_tensor_failed(parts[1]));
    assert_true(cbm_tensor_failed(cbm_stack(NULL, 0, 0)) && cbm_tensor_failed(cbm_t(NULL)));
    assert_false(cbm_meshgrid(NULL, 2, false, parts));
    assert_true(cbm_tensor_failed(parts[1]));
}

static void many_stacked(void **state)
{
    (void)state;
    enum { TOO_MANY = CBM_MAX_INPUTS * CBM_MAX_INPUTS + 1 };
    static cbm_tensor *list[TOO_MANY];
    cbm_context *cx = open_device("cpu");
    for (int i = 0; i < TOO_MANY; i++)
        list[i] = f32(cx, S());
    cbm_tensor *most = cbm_stack(list, TOO_MANY - 1, 0);
    assert_int_equal(cbm_tensor_size(most, 0), TOO_MANY - 1);
    assert_true(cbm_tensor_failed(cbm_stack(list, TOO_MANY, 0)));
    assert_non_null(strstr(cbm_message(cx), "[stack] more than 4096 tensors"));
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_on_cpu),
        cmocka_unit_test(errors_on_reference),
        cmocka_unit_test(errors_without_a_context),
        cmocka_unit_test(many_stacked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
