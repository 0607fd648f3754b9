/* test_elementwise_errors.c: wrong calls of elementwise operations and activations, and what is said of them. */
#define CBM_NO_CALL_SITES
#include "support/wrong.h"
#include <cambium/ops.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static cbm_tensor *f32(cbm_context *cx, cbm_shape shape)
{
    return cbm_ones(cx, CBM_F32, shape);
}
static cbm_tensor *i64(cbm_context *cx, cbm_shape shape)
{
    return cbm_ones(cx, CBM_I64, shape);
}
static cbm_tensor *truth(cbm_context *cx, cbm_shape shape)
{
    return cbm_ones(cx, CBM_BOOL, shape);
}

#define S(...) CBM_SHAPE(__VA_ARGS__)
#define WRONG(name_, expression_)                                                                                      \
    static cbm_tensor *name_(cbm_context *cx)                                                                          \
    {                                                                                                                  \
        return expression_;                                                                                            \
    }
WRONG(sin_whole, cbm_sin(i64(cx, S(2))))
WRONG(log1p_whole, cbm_log1p(i64(cx, S(2))))
WRONG(atan2_dtypes, cbm_atan2(f32(cx, S(2)), cbm_ones(cx, CBM_F64, S(2))))
WRONG(atan2_shapes, cbm_atan2(f32(cx, S(2)), f32(cx, S(3))))
WRONG(floor_bool, cbm_floor(truth(cx, S(2))))
WRONG(fmod_dtypes, cbm_fmod(f32(cx, S(2)), i64(cx, S(2))))
WRONG(fmod_bool, cbm_fmod_scalar(truth(cx, S(2)), 1))
WRONG(remainder_shapes, cbm_remainder(f32(cx, S(2, 3)), f32(cx, S(2))))
WRONG(divide_null, cbm_floor_divide(f32(cx, S(2)), NULL))
WRONG(rdiv_whole, cbm_rdiv_scalar(i64(cx, S(2)), 1))
WRONG(clamp_nan, cbm_clamp(f32(cx, S(2)), NAN, 1))
WRONG(clamp_bool, cbm_clamp(truth(cx, S(2)), 0, 1))
WRONG(clamp_shapes, cbm_clamp_tensor(f32(cx, S(2)), f32(cx, S(3)), f32(cx, S(1))))
WRONG(clamp_dtypes, cbm_clamp_tensor(f32(cx, S(2)), i64(cx, S(2)), f32(cx, S(2))))
WRONG(lerp_whole, cbm_lerp_scalar(i64(cx, S(2)), i64(cx, S(2)), 1))
WRONG(lerp_shapes, cbm_lerp(f32(cx, S(2)), f32(cx, S(2)), f32(cx, S(3))))
WRONG(and_shapes, cbm_logical_and(f32(cx, S(2)), f32(cx, S(3))))
WRONG(bits_of_floats, cbm_bitwise_and(f32(cx, S(2)), f32(cx, S(2))))
WRONG(bits_of_two, cbm_bitwise_xor(i64(cx, S(2)), truth(cx, S(2))))
WRONG(bits_shapes, cbm_bitwise_or(i64(cx, S(2)), i64(cx, S(3))))
WRONG(not_of_floats, cbm_bitwise_not(f32(cx, S(2))))
WRONG(shift_bool, cbm_left_shift(truth(cx, S(2)), truth(cx, S(2))))
WRONG(shift_floats, cbm_right_shift(f32(cx, S(2)), f32(cx, S(2))))
WRONG(gelu_whole, cbm_gelu_tanh(i64(cx, S(2))))
WRONG(leaky_whole, cbm_leaky_relu(i64(cx, S(2)), 0.1))
WRONG(celu_zero, cbm_celu(f32(cx, S(2)), 0))
WRONG(softplus_zero, cbm_softplus(f32(cx, S(2)), 0, 20))
WRONG(hardtanh_crossed, cbm_hardtanh(f32(cx, S(2)), 1, -1))
WRONG(softshrink_negative, cbm_softshrink(f32(cx, S(2)), -1))
WRONG(prelu_count, cbm_prelu(f32(cx, S(2, 3)), f32(cx, S(2))))
WRONG(prelu_rank, cbm_prelu(f32(cx, S(2, 3)), f32(cx, S(3, 1))))
WRONG(prelu_line, cbm_prelu(f32(cx, S(3)), f32(cx, S(3))))
WRONG(prelu_null, cbm_prelu(f32(cx, S(3)), NULL))
WRONG(glu_odd, cbm_glu(f32(cx, S(2, 3)), -1))
WRONG(glu_axis, cbm_glu(f32(cx, S(2, 4)), 2))
WRONG(glu_whole, cbm_glu(i64(cx, S(2, 4)), 1))

static const wrong_call wrong[] = {
    { sin_whole, CBM_ERROR_DTYPE, { "[sin]", "holds i64, but must be f32, f64 or bf16" } },
    { log1p_whole, CBM_ERROR_DTYPE, { "[log1p]", "must be f32, f64 or bf16" } },
    { atan2_dtypes, CBM_ERROR_DTYPE, { "[atan2]", "f32 and f64" } },
    { atan2_shapes, CBM_ERROR_SHAPE, { "[atan2]", "do not broadcast" } },
    { floor_bool, CBM_ERROR_DTYPE, { "[floor]", "no arithmetic on bool" } },
    { fmod_dtypes, CBM_ERROR_DTYPE, { "[fmod]", "f32 and i64" } },
    { fmod_bool, CBM_ERROR_DTYPE, { "[fmod]", "no arithmetic on bool" } },
    { remainder_shapes, CBM_ERROR_SHAPE, { "[remainder]", "(2, 3) and (2) do not broadcast" } },
    { divide_null, CBM_ERROR_INVALID, { "[floor_divide]", "NULL" } },
    { rdiv_whole, CBM_ERROR_DTYPE, { "[div]", "i64" } },
    { clamp_nan, CBM_ERROR_INVALID, { "[clamp]", "NaN. HINT: -INFINITY and INFINITY mean none" } },
    { clamp_bool, CBM_ERROR_DTYPE, { "[clamp]", "no arithmetic on bool" } },
    { clamp_shapes, CBM_ERROR_SHAPE, { "[clamp]", "do not broadcast" } },
    { clamp_dtypes, CBM_ERROR_DTYPE, { "[clamp]", "f32 and i64" } },
    { lerp_whole, CBM_ERROR_DTYPE, { "[lerp]", "must be f32, f64 or bf16" } },
    { lerp_shapes, CBM_ERROR_SHAPE, { "[lerp]", "do not broadcast" } },
    { and_shapes, CBM_ERROR_SHAPE, { "[logical_and]", "(2) and (3) do not broadcast" } },
    { bits_of_floats, CBM_ERROR_DTYPE, { "[bitwise_and]", "bits are of whole numbers, not f32" } },
    { bits_of_two, CBM_ERROR_DTYPE, { "[bitwise_xor]", "i64 and bool" } },
    { bits_shapes, CBM_ERROR_SHAPE, { "[bitwise_or]", "do not broadcast" } },
    { not_of_floats, CBM_ERROR_DTYPE, { "[bitwise_not]", "whole numbers, not f32" } },
    { shift_bool, CBM_ERROR_DTYPE, { "[left_shift]", "not of bool" } },
    { shift_floats, CBM_ERROR_DTYPE, { "[right_shift]", "whole numbers, not f32" } },
    { gelu_whole, CBM_ERROR_DTYPE, { "[gelu_tanh]", "must be f32, f64 or bf16" } },
    { leaky_whole, CBM_ERROR_DTYPE, { "[leaky_relu]", "must be f32, f64 or bf16" } },
    { celu_zero, CBM_ERROR_INVALID, { "[celu]", "alpha is 0" } },
    { softplus_zero, CBM_ERROR_INVALID, { "[softplus]", "beta is 0" } },
    { hardtanh_crossed, CBM_ERROR_INVALID, { "[hardtanh]", "low 1 is above high -1" } },
    { softshrink_negative, CBM_ERROR_INVALID, { "[softshrink]", "lambda -1 is negative" } },
    { prelu_count, CBM_ERROR_SHAPE, { "[prelu]", "a weight of 2 elements does not fit axis 1 of (2, 3)" } },
    { prelu_rank, CBM_ERROR_SHAPE, { "[prelu]", "3 elements does not fit" } },
    { prelu_line, CBM_ERROR_SHAPE, { "[prelu]", "3 elements does not fit axis 1 of (3)" } },
    { prelu_null, CBM_ERROR_INVALID, { "", "an operand is NULL" } },
    { glu_odd, CBM_ERROR_SHAPE, { "[glu]", "axis -1 has 3 elements, which have no halves" } },
    { glu_axis, CBM_ERROR_SHAPE, { "[glu]", "axis 2 is not one of shape (2, 4)" } },
    { glu_whole, CBM_ERROR_DTYPE, { "[sigmoid]", "must be f32, f64 or bf16" } },
};

WRONG_CALL_TESTS(wrong)

/* NULL belongs to no context, and gives a failed tensor. */
static void of_nothing(void **state)
{
    (void)state;
    cbm_tensor *const made[] = {
        cbm_sin(NULL),
        cbm_floor(NULL),
        cbm_fmod(NULL, NULL),
        cbm_sub_scalar(NULL, 1),
        cbm_less_scalar(NULL, 1),
        cbm_clamp(NULL, 0, 1),
        cbm_lerp_scalar(NULL, NULL, 1),
        cbm_nan_to_num(NULL, 0, 0, 0),
        cbm_logical_not(NULL),
        cbm_bitwise_not(NULL),
        cbm_isnan(NULL),
        cbm_isfinite(NULL),
        cbm_frac(NULL),
        cbm_square(NULL),
        cbm_addcmul(NULL, NULL, NULL, 1),
        cbm_elu(NULL, 1),
        cbm_prelu(NULL, NULL),
        cbm_glu(NULL, 0),
        cbm_tanhshrink(NULL),
        cbm_softplus(NULL, 1, 20),
    };
    for (size_t i = 0; i < sizeof made / sizeof *made; i++)
        assert_true(cbm_tensor_failed(made[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(errors_on_cpu), cmocka_unit_test(errors_on_reference),
                                        cmocka_unit_test(of_nothing) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
