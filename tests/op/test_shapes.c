/* test_shapes.c: shape and dtype rules against what comes out (the results' extents and their number of bytes), and each
   documented error against its status and message. */
#define CBM_NO_CALL_SITES
#include "support/cases.h"
#include "support/wrong.h"
#include <cambium/autograd.h>
#include <cambium/ops.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- what comes out ---- */

/* The rule runs when recording; reading fails unless the kernel's result has exactly the recorded bytes. */
static void samples_come_out_as_said(void **state)
{
    (void)state;
    case_list samples;
    assert_true(cases_of_samples(&samples));
    int failures = 0;
    for (size_t i = 0; i < samples.count; i++) {
        const op_case *c = &samples.cases[i];
        const cbm_op *op = cbm_op_named(c->op);
        cbm_context *cx = open_device("cpu");
        cbm_tensor *in[CBM_MAX_INPUTS], *out[CBM_MAX_OUTPUTS] = { NULL };
        for (size_t k = 0; k < c->n_in; k++)
            in[k] = case_tensor_load(cx, &c->in[k], LAYOUT_PLAIN);
        void *attributes = case_attributes(op, c, false);
        cbm_tensor *first = cbm_apply(cx, op, in, c->n_in, op->attributes_size ? attributes : NULL, out);
        free(attributes);
        bool good = first == out[0];
        for (int32_t k = 0; k < op->n_out && good; k++) {
            cbm_shape shape = cbm_tensor_shape(out[k]);
            good = cbm_shape_count(&shape) == cbm_tensor_count(out[k]) && shape.v[0] == cbm_tensor_rank(out[k]);
            case_tensor t = case_tensor_read(out[k]);
            good = good && t.present;
            free(t.data);
        }
        if (!good) {
            print_error("[%s] %s: %s\n", c->op, c->label, cbm_message(cx));
            failures++;
        }
        cbm_close(cx);
    }
    cases_free(&samples);
    assert_int_equal(failures, 0);
}

/* ---- errors ---- */

static cbm_tensor *f32(cbm_context *cx, cbm_shape shape)
{
    return cbm_ones(cx, CBM_F32, shape);
}

static cbm_tensor *i64(cbm_context *cx, cbm_shape shape)
{
    return cbm_ones(cx, CBM_I64, shape);
}

#define S(...) CBM_SHAPE(__VA_ARGS__)
#define REDUCE(...)                                                                                                    \
    &(cbm_reduce_options)                                                                                              \
    {                                                                                                                  \
        .struct_size = sizeof(cbm_reduce_options), __VA_ARGS__                                                         \
    }
#define CONV(...)                                                                                                      \
    &(cbm_conv_options)                                                                                                \
    {                                                                                                                  \
        .struct_size = sizeof(cbm_conv_options), __VA_ARGS__                                                           \
    }
#define POOL(...)                                                                                                      \
    &(cbm_pool_options)                                                                                                \
    {                                                                                                                  \
        .struct_size = sizeof(cbm_pool_options), __VA_ARGS__                                                           \
    }

/* One wrong call each: a function from a context to a tensor, the status, and what the message must contain. */
#define WRONG(name_, expression_)                                                                                      \
    static cbm_tensor *name_(cbm_context *cx)                                                                          \
    {                                                                                                                  \
        return expression_;                                                                                            \
    }
WRONG(add_shapes, cbm_add(f32(cx, S(2, 3)), f32(cx, S(2, 2))))
WRONG(add_dtypes, cbm_add(f32(cx, S(2)), i64(cx, S(2))))
WRONG(add_bool, cbm_add(cbm_ones(cx, CBM_BOOL, S(2)), cbm_ones(cx, CBM_BOOL, S(2))))
WRONG(add_null, cbm_add(f32(cx, S(2)), NULL))
WRONG(div_whole, cbm_div(i64(cx, S(2)), i64(cx, S(2))))
WRONG(exp_whole, cbm_exp(i64(cx, S(2))))
WRONG(less_dtypes, cbm_less(f32(cx, S(2)), i64(cx, S(2))))
WRONG(where_condition, cbm_where(f32(cx, S(2)), f32(cx, S(2)), f32(cx, S(2))))
WRONG(where_shapes, cbm_where(cbm_ones(cx, CBM_BOOL, S(3)), f32(cx, S(2)), f32(cx, S(2))))
WRONG(cast_dtype, cbm_cast(f32(cx, S(2)), (cbm_dtype)77))
WRONG(sum_axis, cbm_sum_with(f32(cx, S(2, 3)), REDUCE(.axes = S(2))))
WRONG(sum_twice, cbm_sum_with(f32(cx, S(2, 3)), REDUCE(.axes = S(1, -1))))
WRONG(mean_whole, cbm_mean_with(i64(cx, S(2)), NULL))
WRONG(max_nothing, cbm_max_with(f32(cx, S(0, 3)), REDUCE(.axes = S(0))))
WRONG(argmax_nothing, cbm_argmax_with(f32(cx, S(0)), NULL))
WRONG(argmax_axes, cbm_argmax_with(f32(cx, S(2, 3, 4)), REDUCE(.axes = S(0, 1))))
WRONG(matmul_inner, cbm_matmul(f32(cx, S(3, 4)), f32(cx, S(5, 6))))
WRONG(matmul_transposed, cbm_matmul(f32(cx, S(3, 4)), f32(cx, S(6, 4))))
WRONG(matmul_batch, cbm_matmul(f32(cx, S(2, 3, 4)), f32(cx, S(3, 4, 5))))
WRONG(matmul_scalar, cbm_matmul(f32(cx, S()), f32(cx, S(3))))
WRONG(matmul_dtypes, cbm_matmul(f32(cx, S(3, 4)), cbm_ones(cx, CBM_F64, S(4, 5))))
WRONG(matmul_whole, cbm_matmul(i64(cx, S(3, 4)), i64(cx, S(4, 5))))
WRONG(softmax_axis, cbm_softmax(f32(cx, S(2, 3)), 2))
WRONG(softmax_whole, cbm_softmax(i64(cx, S(2, 3)), 1))
WRONG(log_softmax_axis, cbm_log_softmax(f32(cx, S(2, 3)), -3))
WRONG(reshape_count, cbm_reshape(f32(cx, S(2, 3)), S(4)))
WRONG(reshape_open, cbm_reshape(f32(cx, S(2, 3)), S(4, -1)))
WRONG(reshape_negative, cbm_reshape(f32(cx, S(2, 3)), S(-1, -1)))
WRONG(reshape_wraps, cbm_reshape(f32(cx, S(0)), S((int64_t)1 << 32, (int64_t)1 << 32)))
WRONG(flatten_axis, cbm_flatten(f32(cx, S(2, 3)), 2))
WRONG(permute_twice, cbm_permute(f32(cx, S(2, 3)), S(0, 0)))
WRONG(permute_short, cbm_permute(f32(cx, S(2, 3)), S(0)))
WRONG(transpose_axis, cbm_transpose(f32(cx, S(2, 3)), 0, 5))
WRONG(expand_shape, cbm_expand(f32(cx, S(2, 3)), S(2, 4)))
WRONG(expand_fewer, cbm_expand(f32(cx, S(2, 3)), S(3)))
WRONG(slice_axis, cbm_slice(f32(cx, S(2, 3)), 2, 0, 1, 1))
WRONG(slice_step, cbm_slice(f32(cx, S(2, 3)), 0, 0, 1, 0))
WRONG(full_shape, cbm_full(cx, CBM_F32, S(2, -1), 0))
WRONG(full_huge, cbm_full(cx, CBM_F32, S((int64_t)1 << 40, (int64_t)1 << 40), 0))
WRONG(one_hot_classes, cbm_one_hot(i64(cx, S(2)), 0, CBM_F32))
WRONG(one_hot_floats, cbm_one_hot(f32(cx, S(2)), 3, CBM_F32))
WRONG(one_hot_value, cbm_one_hot(i64(cx, S(2)), 1, CBM_F32))
WRONG(gather_axis, cbm_gather(f32(cx, S(2, 3)), 2, i64(cx, S(2, 3))))
WRONG(gather_rank, cbm_gather(f32(cx, S(2, 3)), 1, i64(cx, S(2))))
WRONG(gather_extent, cbm_gather(f32(cx, S(2, 3)), 1, i64(cx, S(3, 1))))
WRONG(gather_floats, cbm_gather(f32(cx, S(2, 3)), 1, f32(cx, S(2, 3))))
WRONG(gather_value, cbm_gather(f32(cx, S(2, 3)), 1, cbm_full(cx, CBM_I64, S(2, 1), 12)))
WRONG(gather_negative, cbm_gather(f32(cx, S(2, 3)), 1, cbm_full(cx, CBM_I64, S(2, 1), -1)))
WRONG(scatter_value, cbm_scatter_add(f32(cx, S(2, 3)), 1, cbm_full(cx, CBM_I64, S(2, 1), 3), f32(cx, S(2, 1))))
WRONG(scatter_source, cbm_scatter_add(f32(cx, S(2, 3)), 1, i64(cx, S(2, 1)), f32(cx, S(2, 2))))
WRONG(conv_rank, cbm_conv2d_with(f32(cx, S(3, 5, 5)), f32(cx, S(4, 3, 3, 3)), NULL, CONV(.groups = 1)))
WRONG(conv_channels, cbm_conv2d_with(f32(cx, S(1, 3, 5, 5)), f32(cx, S(4, 2, 3, 3)), NULL, CONV(.groups = 1)))
WRONG(conv_groups, cbm_conv2d_with(f32(cx, S(1, 3, 5, 5)), f32(cx, S(4, 3, 3, 3)), NULL, CONV(.groups = 0)))
WRONG(conv_kernel, cbm_conv2d_with(f32(cx, S(1, 3, 2, 5)), f32(cx, S(4, 3, 3, 3)), NULL, CONV(.groups = 1)))
WRONG(conv_bias, cbm_conv2d_with(f32(cx, S(1, 3, 5, 5)), f32(cx, S(4, 3, 3, 3)), f32(cx, S(3)), CONV(.groups = 1)))
WRONG(conv_stride,
      cbm_conv2d_with(f32(cx, S(1, 3, 5, 5)), f32(cx, S(4, 3, 3, 3)), NULL, CONV(.groups = 1, .stride = S(0))))
WRONG(conv_padding,
      cbm_conv2d_with(f32(cx, S(1, 3, 5, 5)), f32(cx, S(4, 3, 3, 3)), NULL, CONV(.groups = 1, .padding = S(-1))))
WRONG(conv_list,
      cbm_conv2d_with(f32(cx, S(1, 3, 5, 5)), f32(cx, S(4, 3, 3, 3)), NULL, CONV(.groups = 1, .stride = S(1, 1, 1))))
WRONG(pool_rank, cbm_max_pool2d_with(f32(cx, S(5, 5)), S(2), NULL))
WRONG(pool_kernel, cbm_max_pool2d_with(f32(cx, S(1, 1, 5, 5)), S(0), NULL))
WRONG(pool_large, cbm_max_pool2d_with(f32(cx, S(1, 1, 5, 5)), S(6), NULL))
WRONG(pool_padding, cbm_max_pool2d_with(f32(cx, S(1, 1, 5, 5)), S(2), POOL(.padding = S(2))))
WRONG(avg_pool_padding, cbm_avg_pool2d_with(f32(cx, S(1, 1, 5, 5)), S(2), POOL(.padding = S(2))))
WRONG(norm_rank, cbm_batch_norm(f32(cx, S(5)), NULL, NULL, NULL, NULL, true, 0.1, 1e-5))
WRONG(norm_weight, cbm_batch_norm(f32(cx, S(5, 3)), NULL, NULL, f32(cx, S(4)), f32(cx, S(3)), true, 0.1, 1e-5))
WRONG(norm_no_statistics, cbm_batch_norm(f32(cx, S(5, 3)), NULL, NULL, NULL, NULL, false, 0.1, 1e-5))
WRONG(dropout_p, cbm_dropout(f32(cx, S(5)), 1.5))
WRONG(dropout_nan, cbm_dropout(f32(cx, S(5)), (double)NAN))
WRONG(loss_shapes, cbm_cross_entropy(f32(cx, S(5, 3)), i64(cx, S(4))))
WRONG(loss_floats, cbm_cross_entropy(f32(cx, S(5, 3)), f32(cx, S(5))))
WRONG(loss_label, cbm_cross_entropy(f32(cx, S(5, 3)), cbm_full(cx, CBM_I64, S(5), 3)))
WRONG(loss_negative, cbm_cross_entropy(f32(cx, S(5, 3)), cbm_full(cx, CBM_I64, S(5), -1)))
WRONG(mse_shapes, cbm_mse(f32(cx, S(5, 3)), f32(cx, S(4, 3))))
WRONG(uniform_whole, cbm_uniform(cx, CBM_I64, S(2), 0, 1))
WRONG(normal_shape, cbm_normal(cx, CBM_F32, S(-2), 0, 1))

WRONG(concat_shapes, cbm_concat((cbm_tensor *[]){ f32(cx, S(2, 3)), f32(cx, S(2, 4)) }, 2, 0))
WRONG(concat_axis, cbm_concat((cbm_tensor *[]){ f32(cx, S(2, 3)), f32(cx, S(2, 3)) }, 2, 2))
WRONG(concat_dtypes, cbm_concat((cbm_tensor *[]){ f32(cx, S(2)), i64(cx, S(2)) }, 2, 0))
WRONG(concat_null, cbm_concat((cbm_tensor *[]){ f32(cx, S(2)), NULL }, 2, 0))
WRONG(scatter_floats, cbm_scatter_add(f32(cx, S(2)), 0, f32(cx, S(2)), f32(cx, S(2))))
WRONG(scatter_dtypes, cbm_scatter_add(f32(cx, S(2)), 0, i64(cx, S(2)), i64(cx, S(2))))
WRONG(conv_dtypes,
      cbm_conv2d_with(f32(cx, S(1, 3, 5, 5)), cbm_ones(cx, CBM_F64, S(4, 3, 3, 3)), NULL, CONV(.groups = 1)))
WRONG(conv_whole, cbm_conv2d_with(i64(cx, S(1, 3, 5, 5)), i64(cx, S(4, 3, 3, 3)), NULL, CONV(.groups = 1)))
WRONG(pool_whole, cbm_max_pool2d_with(i64(cx, S(1, 1, 5, 5)), S(2), NULL))
WRONG(norm_single, cbm_batch_norm(f32(cx, S(1, 3)), NULL, NULL, NULL, NULL, true, 0.1, 1e-5))
WRONG(dropout_whole, cbm_dropout(i64(cx, S(5)), 0.5))
WRONG(loss_rank, cbm_cross_entropy(f32(cx, S(5)), i64(cx, S(5))))
WRONG(uniform_interval, cbm_uniform(cx, CBM_F32, S(2), 1, 0))
WRONG(normal_deviation, cbm_normal(cx, CBM_F32, S(2), 0, -1))
WRONG(nine_dimensions, cbm_full(cx, CBM_F32, (cbm_shape){ { 9, 1, 1, 1, 1, 1, 1, 1, 1 } }, 0))

static cbm_tensor *assign_shape(cbm_context *cx)
{
    cbm_tensor *v = cbm_variable(f32(cx, S(2, 3)), false);
    cbm_assign(v, f32(cx, S(3, 2)));
    return cbm_exp(v);
}

static cbm_tensor *other_context(cbm_context *cx)
{
    cbm_context *other = open_device("cpu");
    cbm_tensor *t = cbm_add(f32(cx, S(2)), f32(other, S(2)));
    cbm_close(other);
    return t;
}

static const wrong_call wrong[] = {
    { add_shapes, CBM_ERROR_SHAPE, { "[add]", "(2, 3) and (2, 2) do not broadcast" } },
    { add_dtypes, CBM_ERROR_DTYPE, { "[add]", "f32 and i64" } },
    { add_bool, CBM_ERROR_DTYPE, { "[add]", "bool" } },
    { add_null, CBM_ERROR_INVALID, { "[add]", "NULL" } },
    { div_whole, CBM_ERROR_DTYPE, { "[div]", "i64" } },
    { exp_whole, CBM_ERROR_DTYPE, { "[exp]", "must be f32, f64 or bf16" } },
    { less_dtypes, CBM_ERROR_DTYPE, { "[less]", "f32 and i64" } },
    { where_condition, CBM_ERROR_DTYPE, { "[where]", "must hold bool, not f32" } },
    { where_shapes, CBM_ERROR_SHAPE, { "[where]", "do not broadcast" } },
    { cast_dtype, CBM_ERROR_DTYPE, { "[cast]", "no element type number 77" } },
    { sum_axis, CBM_ERROR_SHAPE, { "[sum]", "axis 2 is not one of shape (2, 3)" } },
    { sum_twice, CBM_ERROR_INVALID, { "[sum]", "axis 1 is named twice" } },
    { mean_whole, CBM_ERROR_DTYPE, { "[mean]", "must be f32, f64 or bf16" } },
    { max_nothing, CBM_ERROR_SHAPE, { "[max]", "axis 0 of shape (0, 3) is empty" } },
    { argmax_nothing, CBM_ERROR_SHAPE, { "[argmax]", "empty" } },
    { argmax_axes, CBM_ERROR_INVALID, { "[argmax]", "one axis, or all" } },
    { matmul_inner,
      CBM_ERROR_SHAPE,
      { "[matmul]", "last dimension of a (3, 4) does not match second last of b (5, 6)" } },
    { matmul_transposed, CBM_ERROR_SHAPE, { "[matmul]", "HINT: cbm_transpose" } },
    { matmul_batch, CBM_ERROR_SHAPE, { "[matmul]", "leading dimensions" } },
    { matmul_scalar, CBM_ERROR_SHAPE, { "[matmul]", "at least one dimension" } },
    { matmul_dtypes, CBM_ERROR_DTYPE, { "[matmul]", "f32 and f64" } },
    { matmul_whole, CBM_ERROR_DTYPE, { "[matmul]", "must be f32, f64 or bf16" } },
    { softmax_axis, CBM_ERROR_SHAPE, { "[softmax]", "axis 2 is not one of shape (2, 3)" } },
    { softmax_whole, CBM_ERROR_DTYPE, { "[softmax]", "must be f32, f64 or bf16" } },
    { log_softmax_axis, CBM_ERROR_SHAPE, { "[log_softmax]", "axis -3" } },
    { reshape_count, CBM_ERROR_SHAPE, { "[reshape]", "(2, 3) has 6 elements, but (4) has 4" } },
    { reshape_open, CBM_ERROR_SHAPE, { "[reshape]", "no whole extent for the -1" } },
    { reshape_negative, CBM_ERROR_SHAPE, { "[reshape]", "negative extent" } },
    { reshape_wraps, CBM_ERROR_SHAPE, { "[reshape]", "too many elements" } },
    { flatten_axis, CBM_ERROR_SHAPE, { "[flatten]", "axis 2" } },
    { permute_twice, CBM_ERROR_SHAPE, { "[permute]", "(0, 0) does not name each axis of shape (2, 3) once" } },
    { permute_short, CBM_ERROR_SHAPE, { "[permute]", "once" } },
    { transpose_axis, CBM_ERROR_SHAPE, { "[transpose]", "axis 5" } },
    { expand_shape, CBM_ERROR_SHAPE, { "[expand]", "(2, 3) does not broadcast to (2, 4)" } },
    { expand_fewer, CBM_ERROR_SHAPE, { "[expand]", "(2, 3) does not broadcast to (3" } },
    { slice_axis, CBM_ERROR_SHAPE, { "[slice]", "axis 2" } },
    { slice_step, CBM_ERROR_INVALID, { "[slice]", "step 0 is not at least 1" } },
    { full_shape, CBM_ERROR_SHAPE, { "[full]", "negative extent" } },
    { full_huge, CBM_ERROR_SHAPE, { "[full]", "too many elements" } },
    { one_hot_classes, CBM_ERROR_INVALID, { "[one_hot]", "0 classes" } },
    { one_hot_floats, CBM_ERROR_DTYPE, { "[one_hot]", "not f32" } },
    { one_hot_value, CBM_ERROR_RANGE, { "[one_hot]", "index 1 at position 0 is outside 0..0" } },
    { gather_axis, CBM_ERROR_SHAPE, { "[gather]", "axis 2" } },
    { gather_rank, CBM_ERROR_SHAPE, { "[gather]", "(2" } },
    { gather_extent, CBM_ERROR_SHAPE, { "[gather]", "(3, 1)" } },
    { gather_floats, CBM_ERROR_DTYPE, { "[gather]", "not f32" } },
    { gather_value, CBM_ERROR_RANGE, { "[gather]", "index 12 at position 0 is outside 0..2" } },
    { gather_negative, CBM_ERROR_RANGE, { "[gather]", "index -1 at position 0 is outside 0..2" } },
    { scatter_value, CBM_ERROR_RANGE, { "[scatter_add]", "index 3 at position 0 is outside 0..2" } },
    { scatter_source, CBM_ERROR_SHAPE, { "[scatter_add]", "source" } },
    { conv_rank, CBM_ERROR_SHAPE, { "[conv2d]", "4 dimensions" } },
    { conv_channels, CBM_ERROR_SHAPE, { "[conv2d]", "has 3 channels, but weight (4, 2, 3, 3) with 1 groups takes 2" } },
    { conv_groups, CBM_ERROR_INVALID, { "[conv2d]", "groups (0)" } },
    { conv_kernel, CBM_ERROR_SHAPE, { "[conv2d]", "the kernel reaches over 3 elements" } },
    { conv_bias, CBM_ERROR_SHAPE, { "[conv2d]", "bias has shape (3" } },
    { conv_stride, CBM_ERROR_INVALID, { "[conv2d]", "strides" } },
    { conv_padding, CBM_ERROR_INVALID, { "[conv2d]", "paddings at least 0" } },
    { conv_list, CBM_ERROR_INVALID, { "[conv2d]", "one value or two" } },
    { pool_rank, CBM_ERROR_SHAPE, { "[max_pool2d]", "4 dimensions" } },
    { pool_kernel, CBM_ERROR_INVALID, { "[max_pool2d]", "at least 1" } },
    { pool_large, CBM_ERROR_SHAPE, { "[max_pool2d]", "reaches over 6 elements" } },
    { pool_padding, CBM_ERROR_INVALID, { "[max_pool2d]", "half" } },
    { avg_pool_padding, CBM_ERROR_INVALID, { "[avg_pool2d]", "half" } },
    { norm_rank, CBM_ERROR_SHAPE, { "[batch_norm]", "at least 2 dimensions" } },
    { norm_weight, CBM_ERROR_SHAPE, { "[batch_norm]", "channels has shape (4), but must have (3)" } },
    { norm_no_statistics, CBM_ERROR_STATE, { "[batch_norm]", "running" } },
    { dropout_p, CBM_ERROR_INVALID, { "[dropout]", "p = 1.5" } },
    { dropout_nan, CBM_ERROR_INVALID, { "[dropout]", "not a probability" } },
    { loss_shapes, CBM_ERROR_SHAPE, { "[cross_entropy]", "(4" } },
    { loss_floats, CBM_ERROR_DTYPE, { "[cross_entropy]", "not f32" } },
    { loss_label, CBM_ERROR_RANGE, { "[cross_entropy]", "label 3 at position 0 is outside 0..2" } },
    { loss_negative, CBM_ERROR_RANGE, { "[cross_entropy]", "label -1 at position 0 is outside 0..2" } },
    { mse_shapes, CBM_ERROR_SHAPE, { "[", "(5, 3)" } },
    { uniform_whole, CBM_ERROR_DTYPE, { "[uniform]", "f32, f64 or bf16" } },
    { normal_shape, CBM_ERROR_SHAPE, { "[normal]", "negative extent" } },
    { concat_shapes,
      CBM_ERROR_SHAPE,
      { "[concat]", "tensor 2 has shape (2, 4), which does not match (2, 3) off axis 0" } },
    { concat_axis, CBM_ERROR_SHAPE, { "[concat]", "axis 2 is not one of shape (2, 3)" } },
    { concat_dtypes, CBM_ERROR_DTYPE, { "[concat]", "f32 and i64" } },
    { concat_null, CBM_ERROR_INVALID, { "[concat]", "NULL" } },
    { scatter_floats, CBM_ERROR_DTYPE, { "[scatter_add]", "not f32" } },
    { scatter_dtypes, CBM_ERROR_DTYPE, { "[scatter_add]", "x holds f32, source i64" } },
    { conv_dtypes, CBM_ERROR_DTYPE, { "[conv2d]", "f32 and f64" } },
    { conv_whole, CBM_ERROR_DTYPE, { "[conv2d]", "must be f32, f64 or bf16" } },
    { pool_whole, CBM_ERROR_DTYPE, { "[max_pool2d]", "must be f32, f64 or bf16" } },
    { norm_single, CBM_ERROR_SHAPE, { "[batch_norm]", "at least two values a channel" } },
    { dropout_whole, CBM_ERROR_DTYPE, { "[dropout]", "must be f32, f64 or bf16" } },
    { loss_rank, CBM_ERROR_SHAPE, { "[cross_entropy]", "must have shape (N, C)" } },
    { uniform_interval, CBM_ERROR_INVALID, { "[uniform]", "not an interval" } },
    { normal_deviation, CBM_ERROR_INVALID, { "[normal]", "deviation -1" } },
    { nine_dimensions, CBM_ERROR_SHAPE, { "[full]", "more than 8 dimensions" } },
    { assign_shape, CBM_ERROR_SHAPE, { "[assign]", "(3, 2)" } },
    { other_context, CBM_ERROR_INVALID, { "", "belongs to another context" } },
};

WRONG_CALL_TESTS(wrong)

static void messages_name_the_line(void **state)
{
    (void)state;
    cbm_context *cx = open_device("cpu");
    cbm_at(cbm_add(f32(cx, S(2, 3)), f32(cx, S(2, 2))), "model.c", 17);
    assert_non_null(strstr(cbm_message(cx), "model.c:17"));
    cbm_exp(i64(cx, S(1))); /* a later error changes nothing */
    assert_non_null(strstr(cbm_message(cx), "[add]"));
    cbm_close(cx);
}

/* One-dimensional operands, negative axes, open extents, clipped bounds. */
static void shapes_of_functions(void **state)
{
    (void)state;
    cbm_context *cx = open_device("cpu");
    const struct {
        cbm_tensor *t;
        cbm_shape shape;
    } expected[] = {
        { cbm_matmul(f32(cx, S(3)), f32(cx, S(3))), S() },
        { cbm_matmul(f32(cx, S(3)), f32(cx, S(3, 2))), S(2) },
        { cbm_matmul(f32(cx, S(2, 3)), f32(cx, S(3))), S(2) },
        { cbm_matmul(f32(cx, S(4, 2, 3)), f32(cx, S(3))), S(4, 2) },
        { cbm_matmul(f32(cx, S(3)), f32(cx, S(4, 3, 2))), S(4, 2) },
        { cbm_matmul(f32(cx, S(5, 1, 2, 3)), f32(cx, S(4, 3, 2))), S(5, 4, 2, 2) },
        { cbm_sum_with(f32(cx, S(2, 3, 4)), REDUCE(.axes = S(-1, 0), .keepdim = 1)), S(1, 3, 1) },
        { cbm_sum_with(f32(cx, S(2, 3, 4)), NULL), S() },
        { cbm_reshape(f32(cx, S(2, 3, 4)), S(-1, 6)), S(4, 6) },
        { cbm_flatten(f32(cx, S(2, 3, 4)), 1), S(2, 12) },
        { cbm_transpose(f32(cx, S(2, 3, 4)), -1, 0), S(4, 3, 2) },
        { cbm_permute(f32(cx, S(2, 3, 4)), S(-1, 0, 1)), S(4, 2, 3) },
        { cbm_slice(f32(cx, S(10, 2)), 0, -3, 100, 2), S(2, 2) },
        { cbm_slice(f32(cx, S(10, 2)), 0, 5, 2, 1), S(0, 2) },
        { cbm_one_hot(i64(cx, S(2, 3)), 4, CBM_F32), S(2, 3, 4) },
        { cbm_conv2d_with(f32(cx, S(2, 3, 9, 8)), f32(cx, S(4, 3, 3, 3)), NULL,
                          CONV(.groups = 1, .stride = S(2), .padding = S(1, 0), .dilation = S(1, 2))),
          S(2, 4, 5, 2) },
        { cbm_max_pool2d_with(f32(cx, S(2, 3, 9, 8)), S(2), NULL), S(2, 3, 4, 4) },
        { cbm_max_pool2d_with(f32(cx, S(2, 3, 9, 8)), S(3, 2), POOL(.stride = S(1), .padding = S(1, 0))),
          S(2, 3, 9, 7) },
        { cbm_uniform(cx, CBM_F64, S(3, 0), 0, 1), S(3, 0) },
        { cbm_cross_entropy(f32(cx, S(2, 3, 4)), cbm_zeros(cx, CBM_I64, S(2, 4))), S() },
    };
    assert_string_equal(cbm_message(cx), "");
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        cbm_shape got = cbm_tensor_shape(expected[i].t);
        if (!cbm_shape_equal(&got, &expected[i].shape))
            fail_msg("function %zu: rank %d, first extent %d", i, (int)got.v[0], (int)got.v[1]);
        case_tensor t = case_tensor_read(expected[i].t);
        assert_true(t.present);
        free(t.data);
    }
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_come_out_as_said), cmocka_unit_test(errors_on_cpu),
        cmocka_unit_test(errors_on_reference),      cmocka_unit_test(messages_name_the_line),
        cmocka_unit_test(shapes_of_functions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
