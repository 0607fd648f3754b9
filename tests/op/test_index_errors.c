/* test_index_errors.c: every error of indexing, order and embeddings against its status and message, on both backends; and
   that a wrong index changes nothing that was to be changed with it. */
#define CBM_NO_CALL_SITES
#include "op/attributes.h"
#include "support/cases.h"
#include "support/wrong.h"
#include <cambium/ops.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static cbm_tensor *f32(cbm_context *cx, cbm_shape shape)
{
    return cbm_ones(cx, CBM_F32, shape);
}

/* Indices, all of them `value`. */
static cbm_tensor *at(cbm_context *cx, cbm_shape shape, int64_t value)
{
    return cbm_full(cx, CBM_I64, shape, (double)value);
}

static cbm_tensor *list(cbm_context *cx, int64_t a, int64_t b)
{
    const int64_t data[] = { a, b };
    return cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(2), data);
}

static cbm_tensor *raw(cbm_context *cx, const char *op, cbm_tensor *const *in, size_t n, const void *attributes)
{
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    return cbm_apply(cx, cbm_op_named(op), in, n, attributes, out);
}

#define S(...) CBM_SHAPE(__VA_ARGS__)
#define LIST(...) (cbm_tensor *[]){ __VA_ARGS__ }, sizeof((cbm_tensor *[]){ __VA_ARGS__ }) / sizeof(cbm_tensor *)
#define OPTIONS(type_, ...)                                                                                            \
    &(type_)                                                                                                           \
    {                                                                                                                  \
        .struct_size = sizeof(type_), __VA_ARGS__                                                                      \
    }
#define TOPK(...) OPTIONS(cbm_topk_options, __VA_ARGS__)
#define BINCOUNT(...) OPTIONS(cbm_bincount_options, __VA_ARGS__)
#define HISTOGRAM(...) OPTIONS(cbm_histogram_options, __VA_ARGS__)
#define BAG(...) OPTIONS(cbm_embedding_bag_options, .padding_idx = -1, __VA_ARGS__)
#define EIGHT 1, 1, 1, 1, 1, 1, 1, 1

#define WRONG(name_, expression_)                                                                                      \
    static cbm_tensor *name_(cbm_context *cx)                                                                          \
    {                                                                                                                  \
        return expression_;                                                                                            \
    }
WRONG(scatter_axis, cbm_scatter(f32(cx, S(2, 3)), 2, at(cx, S(2, 1), 0), f32(cx, S(2, 1))))
WRONG(scatter_index, cbm_scatter(f32(cx, S(2, 3)), 1, f32(cx, S(2, 1)), f32(cx, S(2, 1))))
WRONG(scatter_extents, cbm_scatter(f32(cx, S(2, 3)), 1, at(cx, S(3, 1), 0), f32(cx, S(3, 1))))
WRONG(scatter_source, cbm_scatter(f32(cx, S(2, 3)), 1, at(cx, S(2, 1), 0), f32(cx, S(2, 2))))
WRONG(scatter_dtypes, cbm_scatter(f32(cx, S(2, 3)), 1, at(cx, S(2, 1), 0), at(cx, S(2, 1), 0)))
WRONG(scatter_range, cbm_scatter(f32(cx, S(2, 3)), 1, at(cx, S(2, 1), 3), f32(cx, S(2, 1))))
WRONG(scatter_odd_range, cbm_scatter(f32(cx, S(2, 3)), 1, at(cx, S(1, 1), -1), f32(cx, S(1, 1))))
WRONG(scatter_value_range, cbm_scatter_value(f32(cx, S(2, 3)), 0, at(cx, S(1, 3), 2), 5))
WRONG(last_axis, raw(cx, "scatter_last", LIST(at(cx, S(2), 0)), &(cbm_scatter_last_attributes){ 1, 3 }))
WRONG(last_dtype, raw(cx, "scatter_last", LIST(f32(cx, S(2))), &(cbm_scatter_last_attributes){ 0, 3 }))
WRONG(last_range, raw(cx, "scatter_last", LIST(at(cx, S(2), 3)), &(cbm_scatter_last_attributes){ 0, 3 }))
WRONG(reduce_how, cbm_scatter_reduce(f32(cx, S(2)), 0, at(cx, S(2), 0), f32(cx, S(2)), (cbm_scatter_how)5, true))
WRONG(reduce_axis, cbm_scatter_reduce(f32(cx, S(2)), 1, at(cx, S(2), 0), f32(cx, S(2)), CBM_SCATTER_SUM, true))
WRONG(reduce_mean, cbm_scatter_reduce(at(cx, S(2), 1), 0, at(cx, S(2), 0), at(cx, S(2), 1), CBM_SCATTER_MEAN, true))
WRONG(reduce_range, cbm_scatter_reduce(f32(cx, S(2)), 0, at(cx, S(2), 2), f32(cx, S(2)), CBM_SCATTER_PROD, false))
WRONG(reduce_odd_range,
      cbm_scatter_reduce(f32(cx, S(2, 2)), 0, at(cx, S(2, 1), 2), f32(cx, S(2, 1)), CBM_SCATTER_AMAX, false))
WRONG(reduce_bool, cbm_scatter_reduce(cbm_ones(cx, CBM_BOOL, S(2)), 0, at(cx, S(2), 0), cbm_ones(cx, CBM_BOOL, S(2)),
                                      CBM_SCATTER_AMAX, true))
WRONG(select_axis, cbm_index_select(f32(cx, S(2, 3)), 2, at(cx, S(2), 0)))
WRONG(select_rank, cbm_index_select(f32(cx, S(2, 3)), 1, at(cx, S(2, 1), 0)))
WRONG(select_dtype, cbm_index_select(f32(cx, S(2, 3)), 1, f32(cx, S(2))))
WRONG(select_range, cbm_index_select(f32(cx, S(2, 3)), 1, list(cx, 0, 3)))
WRONG(select_negative, cbm_index_select(f32(cx, S(2, 3)), 1, list(cx, -1, 0)))
WRONG(select_raw, raw(cx, "index_select", LIST(f32(cx, S(2)), at(cx, S(2), 0)), &(cbm_axis_attributes){ 1 }))
WRONG(add_source, cbm_index_add(f32(cx, S(2, 3)), 1, list(cx, 0, 1), f32(cx, S(2, 3)), 1))
WRONG(add_dtypes, cbm_index_add(f32(cx, S(2, 3)), 1, list(cx, 0, 1), at(cx, S(2, 2), 0), 1))
WRONG(add_bool, cbm_index_add(cbm_ones(cx, CBM_BOOL, S(3)), 0, list(cx, 0, 1), cbm_ones(cx, CBM_BOOL, S(2)), 1))
WRONG(add_range, cbm_index_add(f32(cx, S(2, 3)), 1, list(cx, 0, 3), f32(cx, S(2, 2)), 1))
WRONG(add_axis, cbm_index_add(f32(cx, S(2, 3)), -3, list(cx, 0, 3), f32(cx, S(2, 2)), 1))
WRONG(copy_range, cbm_index_copy(f32(cx, S(2, 3)), 1, list(cx, 0, 3), f32(cx, S(2, 2))))
WRONG(copy_source, cbm_index_copy(f32(cx, S(2, 3)), 1, list(cx, 0, 1), f32(cx, S(2, 1))))
WRONG(copy_axis, cbm_index_copy(f32(cx, S(2, 3)), 2, list(cx, 0, 1), f32(cx, S(2, 2))))
WRONG(fill_range, cbm_index_fill(f32(cx, S(2, 3)), 1, list(cx, 3, 0), 1))
WRONG(fill_axis, cbm_index_fill(f32(cx, S(2, 3)), 2, list(cx, 0, 0), 1))
WRONG(take_range, cbm_take(f32(cx, S(2, 3)), list(cx, 0, 6)))
WRONG(take_dtype, cbm_take(f32(cx, S(2, 3)), f32(cx, S(2))))
WRONG(take_null, cbm_take(f32(cx, S(2, 3)), NULL))
WRONG(along_shapes, cbm_take_along_dim(f32(cx, S(2, 3)), at(cx, S(3, 1), 0), 1))
WRONG(along_rank, cbm_take_along_dim(f32(cx, S(2, 3)), at(cx, S(3), 0), 1))
WRONG(along_axis, cbm_take_along_dim(f32(cx, S(2, 3)), at(cx, S(2, 1), 0), 2))
WRONG(along_range, cbm_take_along_dim(f32(cx, S(2, 3)), at(cx, S(2, 1), 3), 1))
WRONG(fill_mask, cbm_masked_fill(f32(cx, S(2, 3)), f32(cx, S(2, 3)), 0))
WRONG(fill_mask_shape, cbm_masked_fill(f32(cx, S(3)), cbm_ones(cx, CBM_BOOL, S(2, 3)), 0))
WRONG(fill_mask_null, cbm_masked_fill(f32(cx, S(3)), NULL, 0))
WRONG(select_mask, cbm_masked_select(f32(cx, S(2, 3)), f32(cx, S(2, 3))))
WRONG(select_mask_shape, cbm_masked_select(f32(cx, S(2, 3)), cbm_ones(cx, CBM_BOOL, S(2))))
WRONG(each_axis, cbm_repeat_interleave_each(f32(cx, S(2, 3)), 2, list(cx, 1, 1)))
WRONG(each_shape, cbm_repeat_interleave_each(f32(cx, S(2, 3)), 1, list(cx, 1, 1)))
WRONG(each_dtype, cbm_repeat_interleave_each(f32(cx, S(2, 3)), 0, f32(cx, S(2))))
WRONG(each_negative, cbm_repeat_interleave_each(f32(cx, S(2, 3)), 0, list(cx, 1, -2)))
WRONG(each_huge, cbm_repeat_interleave_each(f32(cx, S(2, 3)), 0, list(cx, 1, INT64_MAX)))
WRONG(sort_axis, cbm_sort(f32(cx, S(2, 3)), 2, false, NULL))
WRONG(argsort_axis, cbm_argsort(f32(cx, S(2, 3)), -3, false))
WRONG(sort_raw, raw(cx, "sort", LIST(f32(cx, S(2))), &(cbm_sort_attributes){ 1, 0 }))
WRONG(topk_k, cbm_topk_with(f32(cx, S(2, 3)), 4, NULL, NULL))
WRONG(topk_negative, cbm_topk_with(f32(cx, S(2, 3)), -1, NULL, NULL))
WRONG(topk_axis, cbm_topk_with(f32(cx, S(2, 3)), 1, NULL, TOPK(.axis = 2)))
WRONG(kth_zero, cbm_kthvalue(f32(cx, S(2, 3)), 0, 1, NULL))
WRONG(kth_large, cbm_kthvalue(f32(cx, S(2, 3)), 4, 1, NULL))
WRONG(kth_axis, cbm_kthvalue(f32(cx, S(2, 3)), 1, 2, NULL))
WRONG(search_dtypes, cbm_searchsorted(f32(cx, S(3)), at(cx, S(2), 0), false))
WRONG(search_shapes, cbm_searchsorted(f32(cx, S(2, 3)), f32(cx, S(3, 2)), false))
WRONG(search_scalar, cbm_searchsorted(f32(cx, S()), f32(cx, S(2)), false))
WRONG(search_bool, cbm_searchsorted(cbm_ones(cx, CBM_BOOL, S(3)), cbm_ones(cx, CBM_BOOL, S(2)), false))
WRONG(bucket_rank, cbm_bucketize(f32(cx, S(3)), f32(cx, S(1, 3)), false))
WRONG(bucket_null, cbm_bucketize(f32(cx, S(3)), NULL, false))
WRONG(count_dtype, cbm_bincount_with(f32(cx, S(3)), NULL))
WRONG(count_rank, cbm_bincount_with(at(cx, S(3, 1), 0), NULL))
WRONG(count_negative, cbm_bincount_with(list(cx, 0, -1), NULL))
WRONG(count_range, cbm_bincount_with(list(cx, 0, 5), BINCOUNT(.bins = 5)))
WRONG(count_bins, cbm_bincount_with(list(cx, 0, 5), BINCOUNT(.bins = -1)))
WRONG(count_least, cbm_bincount_with(list(cx, 0, 5), BINCOUNT(.minlength = -1)))
WRONG(count_huge, cbm_bincount_with(list(cx, 0, INT64_MAX), NULL))
WRONG(count_weights, cbm_bincount_with(list(cx, 0, 5), BINCOUNT(.weights = f32(cx, S(3)))))
WRONG(count_weights_dtype, cbm_bincount_with(list(cx, 0, 5), BINCOUNT(.weights = list(cx, 0, 1))))
WRONG(count_raw,
      raw(cx, "bincount", LIST(list(cx, 0, 1), f32(cx, S(2)), f32(cx, S(2))), &(cbm_bincount_attributes){ 3 }))
WRONG(count_raw_bins, raw(cx, "bincount", LIST(list(cx, 0, 1)), &(cbm_bincount_attributes){ -3 }))
WRONG(histogram_bins, cbm_histogram_with(f32(cx, S(3)), 0, NULL, NULL))
WRONG(histogram_range, cbm_histogram_with(f32(cx, S(3)), 2, NULL, HISTOGRAM(.low = 1, .high = 0)))
WRONG(histogram_nan, cbm_histogram_with(f32(cx, S(3)), 2, NULL, HISTOGRAM(.low = NAN, .high = 1)))
WRONG(histogram_dtype, cbm_histogram_with(at(cx, S(3), 1), 2, NULL, NULL))
WRONG(histogram_weights, cbm_histogram_with(f32(cx, S(3)), 2, NULL, HISTOGRAM(.weights = f32(cx, S(2)))))
WRONG(histogram_data, cbm_histogram_with(cbm_full(cx, CBM_F32, S(3), (double)NAN), 2, NULL, NULL))
WRONG(edges_one, cbm_histogram_edges_with(f32(cx, S(3)), f32(cx, S(1)), NULL))
WRONG(edges_rank, cbm_histogram_edges_with(f32(cx, S(3)), f32(cx, S(2, 1)), NULL))
WRONG(edges_dtype, cbm_histogram_edges_with(f32(cx, S(3)), cbm_ones(cx, CBM_F64, S(2)), NULL))
WRONG(edges_fall, cbm_histogram_edges_with(f32(cx, S(3)), cbm_flip(cbm_cast(list(cx, 1, 2), CBM_F32), S(0)), NULL))
WRONG(histogram_raw, raw(cx, "histogram", LIST(f32(cx, S(3))), NULL))
WRONG(embedding_dtype, cbm_embedding(f32(cx, S(3)), f32(cx, S(4, 2)), -1))
WRONG(embedding_weight, cbm_embedding(list(cx, 0, 1), list(cx, 0, 1), -1))
WRONG(embedding_rank, cbm_embedding(list(cx, 0, 1), f32(cx, S(4)), -1))
WRONG(embedding_padding, cbm_embedding(list(cx, 0, 1), f32(cx, S(4, 2)), 4))
WRONG(embedding_range, cbm_embedding(list(cx, 0, 4), f32(cx, S(4, 2)), -1))
WRONG(embedding_ninth, cbm_embedding(at(cx, S(EIGHT), 0), f32(cx, S(4, 2)), -1))
WRONG(backward_padding, raw(cx, "embedding_backward", LIST(list(cx, 0, 1), f32(cx, S(2, 3))),
                            &(cbm_embedding_backward_attributes){ 4, 4 }))
WRONG(backward_range, raw(cx, "embedding_backward", LIST(list(cx, 0, 4), f32(cx, S(2, 3))),
                          &(cbm_embedding_backward_attributes){ 4, -1 }))
WRONG(backward_shape, raw(cx, "embedding_backward", LIST(list(cx, 0, 1), f32(cx, S(3, 3))),
                          &(cbm_embedding_backward_attributes){ 4, -1 }))
WRONG(backward_rank,
      raw(cx, "embedding_backward", LIST(list(cx, 0, 1), f32(cx, S(2))), &(cbm_embedding_backward_attributes){ 4, -1 }))
WRONG(bag_of_rank, raw(cx, "bag_of", LIST(at(cx, S(2, 1), 0)), &(cbm_bag_of_attributes){ 4 }))
WRONG(bag_of_count, raw(cx, "bag_of", LIST(at(cx, S(0), 0)), &(cbm_bag_of_attributes){ 4 }))
WRONG(bag_of_first, raw(cx, "bag_of", LIST(list(cx, 1, 2)), &(cbm_bag_of_attributes){ 4 }))
WRONG(bag_of_falls, raw(cx, "bag_of", LIST(list(cx, 0, 5)), &(cbm_bag_of_attributes){ 4 }))
WRONG(bag_rank, cbm_embedding_bag_with(list(cx, 0, 1), f32(cx, S(4, 2)), NULL))
WRONG(bag_mode, cbm_embedding_bag_with(at(cx, S(2, 2), 0), f32(cx, S(4, 2)), BAG(.mode = 3)))
WRONG(bag_indices, cbm_embedding_bag_with(at(cx, S(2, 2), 0), f32(cx, S(4, 2)), BAG(.offsets = list(cx, 0, 1))))
WRONG(bag_dtype, cbm_embedding_bag_with(f32(cx, S(2, 2)), f32(cx, S(4, 2)), NULL))
WRONG(bag_weight, cbm_embedding_bag_with(at(cx, S(2, 2), 0), f32(cx, S(4)), NULL))
WRONG(bag_padding, cbm_embedding_bag_with(at(cx, S(2, 2), 0), f32(cx, S(4, 2)),
                                          OPTIONS(cbm_embedding_bag_options, .padding_idx = 9)))
WRONG(bag_range, cbm_embedding_bag_with(at(cx, S(2, 2), 4), f32(cx, S(4, 2)), NULL))
WRONG(bag_offsets, cbm_embedding_bag_with(list(cx, 0, 1), f32(cx, S(4, 2)), BAG(.offsets = f32(cx, S(2)))))
WRONG(bag_offsets_rank, cbm_embedding_bag_with(list(cx, 0, 1), f32(cx, S(4, 2)), BAG(.offsets = at(cx, S(1, 1), 0))))
WRONG(bag_no_offsets, cbm_embedding_bag_with(list(cx, 0, 1), f32(cx, S(4, 2)), BAG(.offsets = at(cx, S(0), 0))))
WRONG(bag_offset_range, cbm_embedding_bag_with(list(cx, 0, 1), f32(cx, S(4, 2)), BAG(.offsets = list(cx, 0, 3))))
WRONG(bag_factors, cbm_embedding_bag_with(at(cx, S(2, 2), 0), f32(cx, S(4, 2)),
                                          BAG(.mode = CBM_BAG_MEAN, .per_sample_weights = f32(cx, S(2, 2)))))
WRONG(bag_factors_shape, cbm_embedding_bag_with(at(cx, S(2, 2), 0), f32(cx, S(4, 2)),
                                                BAG(.mode = CBM_BAG_SUM, .per_sample_weights = f32(cx, S(2)))))
WRONG(bag_factors_dtype,
      cbm_embedding_bag_with(at(cx, S(2, 2), 0), f32(cx, S(4, 2)),
                             BAG(.mode = CBM_BAG_SUM, .per_sample_weights = cbm_ones(cx, CBM_F64, S(2, 2)))))
WRONG(bag_raw, raw(cx, "embedding_bag", LIST(f32(cx, S(4, 2)), at(cx, S(2, 2), 0), at(cx, S(2), 0)),
                   &(cbm_bag_attributes){ CBM_BAG_SUM, 1, 0, 0, -1 }))

static cbm_tensor *nonzero_room(cbm_context *cx)
{
    cbm_tensor *parts[1];
    assert_int_equal(cbm_nonzero_axes(f32(cx, S(2, 3)), parts, 1), 0);
    return parts[0];
}

static cbm_tensor *nonzero_scalar(cbm_context *cx)
{
    cbm_tensor *parts[1];
    assert_int_equal(cbm_nonzero_axes(f32(cx, S()), parts, 1), 0);
    return parts[0];
}

static cbm_tensor *sort_lists(cbm_context *cx)
{
    cbm_tensor *indices = NULL, *values = cbm_sort(f32(cx, S(2)), 1, false, &indices);
    assert_true(indices != NULL && cbm_tensor_failed(indices));
    return values;
}

static const wrong_call wrong[] = {
    { scatter_axis, CBM_ERROR_SHAPE, { "[scatter]", "axis 2" } },
    { scatter_index, CBM_ERROR_DTYPE, { "[scatter]", "index must hold i64 or i32, not f32" } },
    { scatter_extents, CBM_ERROR_SHAPE, { "[scatter]", "index (3, 1) does not fit x (2, 3)" } },
    { scatter_source, CBM_ERROR_SHAPE, { "[scatter]", "source has shape (2, 2), but must have (2, 1)" } },
    { scatter_dtypes, CBM_ERROR_DTYPE, { "[scatter]", "x holds f32, source i64" } },
    { scatter_range, CBM_ERROR_RANGE, { "[scatter]", "index 3 at position 0 is outside 0..2" } },
    { scatter_odd_range, CBM_ERROR_RANGE, { "[scatter]", "index -1 at position 0 is outside 0..2" } },
    { scatter_value_range, CBM_ERROR_RANGE, { "[scatter]", "index 2 at position 0 is outside 0..1" } },
    { last_axis, CBM_ERROR_SHAPE, { "[scatter_last]", "no axis 1" } },
    { last_dtype, CBM_ERROR_DTYPE, { "[scatter_last]", "index must hold i64 or i32" } },
    { last_range, CBM_ERROR_RANGE, { "[scatter_last]", "index 3 at position 0 is outside 0..2" } },
    { reduce_how, CBM_ERROR_INVALID, { "[scatter_reduce]", "no reduction 5" } },
    { reduce_axis, CBM_ERROR_SHAPE, { "[scatter_reduce]", "axis 1" } },
    { reduce_mean, CBM_ERROR_DTYPE, { "[scatter_reduce]", "must be f32, f64 or bf16" } },
    { reduce_range, CBM_ERROR_RANGE, { "[scatter_reduce]", "index 2 at position 0 is outside 0..1" } },
    { reduce_odd_range, CBM_ERROR_RANGE, { "[scatter_reduce]", "index 2 at position 0 is outside 0..1" } },
    { reduce_bool, CBM_ERROR_DTYPE, { "[scatter_reduce]", "no reductions of bool" } },
    { select_axis, CBM_ERROR_SHAPE, { "[index_select]", "axis 2" } },
    { select_rank, CBM_ERROR_SHAPE, { "[index_select]", "index must have 1 dimensions, but its shape is (2, 1)" } },
    { select_dtype, CBM_ERROR_DTYPE, { "[index_select]", "index must hold i64 or i32" } },
    { select_range, CBM_ERROR_RANGE, { "[index_select]", "index 3 at position 1 is outside 0..2" } },
    { select_negative, CBM_ERROR_RANGE, { "[index_select]", "index -1 at position 0 is outside 0..2" } },
    { select_raw, CBM_ERROR_SHAPE, { "[index_select]", "no axis 1 in shape (2" } },
    { add_source, CBM_ERROR_SHAPE, { "[index_add]", "source has shape (2, 3), but must have (2, 2)" } },
    { add_dtypes, CBM_ERROR_DTYPE, { "[index_add]", "x holds f32, source i64" } },
    { add_bool, CBM_ERROR_DTYPE, { "[index_add]", "no sums of bool" } },
    { add_range, CBM_ERROR_RANGE, { "[index_add]", "index 3 at position 1" } },
    { add_axis, CBM_ERROR_SHAPE, { "[index_add]", "axis -3" } },
    { copy_range, CBM_ERROR_RANGE, { "[index_copy]", "index 3 at position 1" } },
    { copy_source, CBM_ERROR_SHAPE, { "[index_copy]", "source has shape (2, 1)" } },
    { copy_axis, CBM_ERROR_SHAPE, { "[index_copy]", "axis 2" } },
    { fill_range, CBM_ERROR_RANGE, { "[index_fill]", "index 3 at position 0" } },
    { fill_axis, CBM_ERROR_SHAPE, { "[index_fill]", "axis 2" } },
    { take_range, CBM_ERROR_RANGE, { "[index_select]", "index 6 at position 1 is outside 0..5" } },
    { take_dtype, CBM_ERROR_DTYPE, { "[index_select]", "index must hold" } },
    { take_null, CBM_ERROR_INVALID, { "", "NULL" } },
    { along_shapes, CBM_ERROR_SHAPE, { "[take_along_dim]", "x (2, 3) and index (3, 1) must have as many dimensions" } },
    { along_rank, CBM_ERROR_SHAPE, { "[take_along_dim]", "broadcast off axis 1" } },
    { along_axis, CBM_ERROR_SHAPE, { "[take_along_dim]", "axis 2" } },
    { along_range, CBM_ERROR_RANGE, { "[gather]", "index 3 at position 0" } },
    { fill_mask, CBM_ERROR_DTYPE, { "[where]", "must hold bool" } },
    { fill_mask_shape, CBM_ERROR_SHAPE, { "[masked_fill]", "mask (2, 3) does not broadcast to x (3" } },
    { fill_mask_null, CBM_ERROR_INVALID, { "", "NULL" } },
    { select_mask, CBM_ERROR_DTYPE, { "[masked_select]", "mask must hold bool, not f32" } },
    { select_mask_shape, CBM_ERROR_SHAPE, { "[masked_select]", "x (2, 3) and mask (2" } },
    { each_axis, CBM_ERROR_SHAPE, { "[repeat_interleave]", "axis 2" } },
    { each_shape, CBM_ERROR_SHAPE, { "[repeat_interleave]", "for an axis of 3" } },
    { each_dtype, CBM_ERROR_DTYPE, { "[repeat_interleave]", "counts must hold i64 or i32, not f32" } },
    { each_negative, CBM_ERROR_RANGE, { "[repeat_interleave]", "count -2 at position 1" } },
    { each_huge, CBM_ERROR_RANGE, { "[repeat_interleave]", "count 9223372036854775807 at position 1" } },
    { sort_axis, CBM_ERROR_SHAPE, { "[sort]", "axis 2" } },
    { argsort_axis, CBM_ERROR_SHAPE, { "[argsort]", "axis -3" } },
    { sort_raw, CBM_ERROR_SHAPE, { "[sort]", "no axis 1" } },
    { sort_lists, CBM_ERROR_SHAPE, { "[sort]", "axis 1" } },
    { topk_k, CBM_ERROR_RANGE, { "[topk]", "k = 4 of an axis of 3" } },
    { topk_negative, CBM_ERROR_RANGE, { "[topk]", "k = -1" } },
    { topk_axis, CBM_ERROR_SHAPE, { "[topk]", "axis 2" } },
    { kth_zero, CBM_ERROR_RANGE, { "[kthvalue]", "k = 0 of an axis of 3" } },
    { kth_large, CBM_ERROR_RANGE, { "[kthvalue]", "k = 4 of an axis of 3" } },
    { kth_axis, CBM_ERROR_SHAPE, { "[kthvalue]", "axis 2" } },
    { search_dtypes, CBM_ERROR_DTYPE, { "[searchsorted]", "f32 and i64" } },
    { search_shapes, CBM_ERROR_SHAPE, { "[searchsorted]", "sequences (2, 3) and values (3, 2)" } },
    { search_scalar, CBM_ERROR_SHAPE, { "[searchsorted]", "one sequence, or one for each row" } },
    { search_bool, CBM_ERROR_DTYPE, { "[searchsorted]", "bool has no order" } },
    { bucket_rank, CBM_ERROR_SHAPE, { "[bucketize]", "must be a vector, not of shape (1, 3)" } },
    { bucket_null, CBM_ERROR_INVALID, { "", "NULL" } },
    { count_dtype, CBM_ERROR_DTYPE, { "[bincount]", "x must hold i64, i32 or u8, not f32" } },
    { count_rank, CBM_ERROR_SHAPE, { "[bincount]", "x must have 1 dimensions" } },
    { count_negative, CBM_ERROR_RANGE, { "[bincount]", "value -1 at position 1 is outside 0..0" } },
    { count_range, CBM_ERROR_RANGE, { "[bincount]", "value 5 at position 1 is outside 0..4" } },
    { count_bins, CBM_ERROR_INVALID, { "[bincount]", "-1 bins" } },
    { count_least, CBM_ERROR_INVALID, { "[bincount]", "at least -1" } },
    { count_huge, CBM_ERROR_SHAPE, { "[bincount]", "too many bins" } },
    { count_weights, CBM_ERROR_SHAPE, { "[bincount]", "weights has shape (3" } },
    { count_weights_dtype, CBM_ERROR_DTYPE, { "[bincount]", "must be f32, f64 or bf16" } },
    { count_raw, CBM_ERROR_INVALID, { "[bincount]", "takes x, or x and weights" } },
    { count_raw_bins, CBM_ERROR_INVALID, { "[bincount]", "-3 bins" } },
    { histogram_bins, CBM_ERROR_INVALID, { "[histogram]", "0 bins" } },
    { histogram_range, CBM_ERROR_INVALID, { "[histogram]", "from 1 to 0 is not a range" } },
    { histogram_nan, CBM_ERROR_INVALID, { "[histogram]", "is not a range" } },
    { histogram_dtype, CBM_ERROR_DTYPE, { "[histogram]", "x holds i64" } },
    { histogram_weights, CBM_ERROR_SHAPE, { "[histogram]", "weights has shape (2" } },
    { histogram_data, CBM_ERROR_RANGE, { "[histogram]", "edge 1 is not at least edge 0" } },
    { edges_one, CBM_ERROR_SHAPE, { "[histogram]", "1 edges make no bin" } },
    { edges_rank, CBM_ERROR_SHAPE, { "[histogram]", "edges must have 1 dimensions" } },
    { edges_dtype, CBM_ERROR_DTYPE, { "[histogram]", "f32 and f64" } },
    { edges_fall, CBM_ERROR_RANGE, { "[histogram]", "edge 1 is not at least edge 0" } },
    { histogram_raw, CBM_ERROR_INVALID, { "[histogram]", "takes x and edges" } },
    { embedding_dtype, CBM_ERROR_DTYPE, { "[embedding]", "indices must hold i64 or i32, not f32" } },
    { embedding_weight, CBM_ERROR_DTYPE, { "[embedding]", "must be f32, f64 or bf16" } },
    { embedding_rank, CBM_ERROR_SHAPE, { "[embedding]", "weight must have 2 dimensions" } },
    { embedding_padding, CBM_ERROR_RANGE, { "[embedding]", "padding_idx 4 is not one of 4 rows" } },
    { embedding_range, CBM_ERROR_RANGE, { "[embedding]", "index 4 at position 1 is outside 0..3" } },
    { embedding_ninth, CBM_ERROR_SHAPE, { "[embedding]", "more than 8 dimensions" } },
    { backward_padding, CBM_ERROR_RANGE, { "[embedding_backward]", "padding_idx 4 is not one of 4 rows" } },
    { backward_range, CBM_ERROR_RANGE, { "[embedding_backward]", "index 4 at position 1 is outside 0..3" } },
    { backward_shape, CBM_ERROR_SHAPE, { "[embedding_backward]", "g has shape (3, 3), but must have (2, 3)" } },
    { backward_rank, CBM_ERROR_SHAPE, { "[embedding_backward]", "g must have 2 dimensions" } },
    { bag_of_rank, CBM_ERROR_SHAPE, { "[bag_of]", "offsets must have 1 dimensions" } },
    { bag_of_count, CBM_ERROR_SHAPE, { "[bag_of]", "4 indices in 0 bags" } },
    { bag_of_first, CBM_ERROR_RANGE, { "[bag_of]", "offset 1 at position 0 is outside 0..0" } },
    { bag_of_falls, CBM_ERROR_RANGE, { "[bag_of]", "offset 5 at position 1 is outside 0..4" } },
    { bag_rank, CBM_ERROR_SHAPE, { "[embedding_bag]", "indices of 1 dimensions without offsets" } },
    { bag_mode, CBM_ERROR_INVALID, { "[embedding_bag]", "no mode 3" } },
    { bag_indices, CBM_ERROR_SHAPE, { "[embedding_bag]", "indices must have 1 dimensions" } },
    { bag_dtype, CBM_ERROR_DTYPE, { "[embedding_bag]", "indices must hold i64 or i32" } },
    { bag_weight, CBM_ERROR_SHAPE, { "[embedding_bag]", "weight must have 2 dimensions" } },
    { bag_padding, CBM_ERROR_RANGE, { "[embedding_bag]", "padding_idx 9 is not one of 4 rows" } },
    { bag_range, CBM_ERROR_RANGE, { "[embedding_bag]", "index 4 at position 0 is outside 0..3" } },
    { bag_offsets, CBM_ERROR_DTYPE, { "[embedding_bag]", "offsets must hold i64 or i32" } },
    { bag_offsets_rank, CBM_ERROR_SHAPE, { "[embedding_bag]", "offsets must have 1 dimensions" } },
    { bag_no_offsets, CBM_ERROR_SHAPE, { "[embedding_bag]", "0 offsets for 2 indices" } },
    { bag_offset_range, CBM_ERROR_RANGE, { "[embedding_bag]", "offset 3 at position 1 is outside 0..2" } },
    { bag_factors, CBM_ERROR_INVALID, { "[embedding_bag]", "per_sample_weights go with sums only" } },
    { bag_factors_shape, CBM_ERROR_SHAPE, { "[embedding_bag]", "per_sample_weights has shape (2" } },
    { bag_factors_dtype, CBM_ERROR_DTYPE, { "[embedding_bag]", "weight holds f32, per_sample_weights f64" } },
    { bag_raw, CBM_ERROR_INVALID, { "[embedding_bag]", "a wrong number of operands: 3" } },
    { nonzero_room, CBM_ERROR_INVALID, { "[nonzero]", "vectors for 2 axes, and room for 1" } },
    { nonzero_scalar, CBM_ERROR_INVALID, { "[nonzero]", "vectors for 0 axes" } },
};

WRONG_CALL_TESTS(wrong)

/* A step with a wrong index: the variable keeps its value, although its new one was computed before. */
static void wrong_indices_commit_nothing(void **state)
{
    (void)state;
    cbm_context *cx = open_device("cpu");
    cbm_tensor *v = cbm_variable(f32(cx, S(2)), false);
    cbm_assign(v, cbm_mul_scalar(v, 5));
    cbm_tensor *y = cbm_embedding(list(cx, 0, 9), f32(cx, S(4, 2)), -1);
    assert_int_equal(cbm_compute(&y, 1), CBM_ERROR_RANGE);
    cbm_clear(cx);
    float now[2];
    assert_int_equal(cbm_read(v, now, sizeof now), CBM_OK);
    assert_true(now[0] == 1 && now[1] == 1);
    cbm_close(cx);
}

/* What a selection depends on is evaluated, with the effects before it; what is selected from is not. */
static void selections_evaluate_their_mask(void **state)
{
    (void)state;
    cbm_context *cx = open_device("cpu");
    cbm_tensor *v = cbm_variable(f32(cx, S(3)), false);
    cbm_assign(v, cbm_mul_scalar(v, 5));
    cbm_tensor *x = cbm_exp(f32(cx, S(3))), *mask = cbm_greater(v, cbm_scalar(cx, CBM_F32, 2));
    cbm_tensor *y = cbm_masked_select(x, mask);
    assert_int_equal(cbm_tensor_count(y), 3);
    const uint64_t before = cbm_context_statistics(cx).evaluations;
    assert_true(fabs(cbm_item(cbm_max_with(y, NULL)) - exp(1)) < 1e-6);
    assert_int_equal(cbm_context_statistics(cx).evaluations, before + 1);
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_on_cpu),
        cmocka_unit_test(errors_on_reference),
        cmocka_unit_test(wrong_indices_commit_nothing),
        cmocka_unit_test(selections_evaluate_their_mask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
