/* test_functions.c: functions that are compositions inside: their values in f32, at every SIMD level, against the C library's
   in f64, in units of the last place; and slopes where a function bends, which central differences cannot see. */
#define CBM_NO_CALL_SITES
#include "backend/cpu/cpu.h"
#include "support/cases.h"
#include <cambium/autograd.h>
#include <cambium/ops.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- values ---- */

static double silu(double x)
{
    return x / (1 + exp(-x));
}
static double mish(double x)
{
    return x * tanh(log1p(exp(x)));
}
static double log_sigmoid(double x)
{
    return x < -700 ? x : -log1p(exp(-x));
}
static double rsqrt(double x)
{
    return 1 / sqrt(x);
}
static double frac(double x)
{
    return x - trunc(x);
}
static double softplus(double x)
{
    return x > 20 ? x : log1p(exp(x));
}
static cbm_tensor *softplus_tensor(cbm_tensor *x)
{
    return cbm_softplus(x, 1, 20);
}
static double elu(double x)
{
    return x > 0 ? x : expm1(x);
}
static cbm_tensor *elu_tensor(cbm_tensor *x)
{
    return cbm_elu(x, 1);
}
static cbm_tensor *celu_tensor(cbm_tensor *x)
{
    return cbm_celu(x, 1);
}
static double selu(double x)
{
    return 1.0507009873554804934 * (x > 0 ? x : 1.6732632423543772848 * expm1(x));
}

static const struct {
    const char *name;
    cbm_tensor *(*f)(cbm_tensor *);
    double (*want)(double);
    double low, high; /* of x */
    double units;
} values[] = {
    { "asin", cbm_asin, asin, -1, 1, 4 },          { "acos", cbm_acos, acos, -1, 1, 4 },
    { "atan", cbm_atan, atan, -1e9, 1e9, 4 },      { "sinh", cbm_sinh, sinh, -89.4, 89.4, 6 },
    { "cosh", cbm_cosh, cosh, -89.4, 89.4, 6 },    { "asinh", cbm_asinh, asinh, -3e38, 3e38, 4 },
    { "acosh", cbm_acosh, acosh, 1, 3e38, 4 },     { "atanh", cbm_atanh, atanh, -1, 1, 4 },
    { "log1p", cbm_log1p, log1p, -1, 3e38, 4 },    { "expm1", cbm_expm1, expm1, -100, 88.7, 4 },
    { "rsqrt", cbm_rsqrt, rsqrt, 1e-38, 3e38, 2 }, { "silu", cbm_silu, silu, -80, 3e38, 4 },
    { "mish", cbm_mish, mish, -80, 3e38, 6 },      { "log_sigmoid", cbm_log_sigmoid, log_sigmoid, -3e38, 80, 4 },
    { "frac", cbm_frac, frac, -3e38, 3e38, 0 },    { "softplus", softplus_tensor, softplus, -80, 3e38, 4 },
    { "elu", elu_tensor, elu, -3e38, 3e38, 4 },    { "celu", celu_tensor, elu, -3e38, 3e38, 4 },
    { "selu", cbm_selu, selu, -3e38, 3e38, 4 },
};

/* The distance of got from want in units of want's last place as a float. */
static double units_between(float got, double want)
{
    const float w = (float)want;
    if (!isfinite(w))
        return (isnan(w) && isnan(got)) || w == got ? 0 : HUGE_VAL;
    return fabs((double)got - want) / (double)(nextafterf(fabsf(w), HUGE_VALF) - fabsf(w));
}

/* Numbers of all magnitudes within the interval, and its ends. */
static int64_t numbers_between(double low, double high, float *x, int64_t most)
{
    int64_t n = 0;
    x[n++] = (float)low;
    x[n++] = (float)high;
    for (uint64_t bits = 0; bits < 0x100000000u && n < most; bits += 1000003) {
        const uint32_t b = (uint32_t)bits;
        memcpy(&x[n], &b, sizeof b);
        n += (double)x[n] >= low && (double)x[n] <= high;
    }
    for (int i = 0; i <= 1000 && n < most; i++)
        x[n++] = (float)((low > -99 ? low : -99) + ((high < 99 ? high : 99) - (low > -99 ? low : -99)) * i / 1000);
    return n;
}

static void values_are_near(void **state)
{
    (void)state;
    enum { MOST = 8000 };
    static const char *const levels[] = { "baseline", "avx2", "avx512" };
    float *x = malloc(MOST * sizeof *x), *y = malloc(MOST * sizeof *y);
    for (int level = 0; level < 3; level++) {
        if (!cbm_simd_named(levels[level]))
            continue;
        cbm_simd_choose(cbm_simd_named(levels[level]));
        for (size_t k = 0; k < sizeof values / sizeof *values; k++) {
            cbm_context *cx = open_device("cpu");
            const int64_t n = numbers_between(values[k].low, values[k].high, x, MOST);
            cbm_tensor *t = values[k].f(cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(n), x));
            assert_int_equal(cbm_read(t, y, (size_t)n * sizeof *y), CBM_OK);
            for (int64_t i = 0; i < n; i++)
                if (units_between(y[i], values[k].want((double)x[i])) > values[k].units)
                    fail_msg("%s at %s: f(%.9g) = %.9g, not %.9g", values[k].name, levels[level], (double)x[i],
                             (double)y[i], values[k].want((double)x[i]));
            cbm_close(cx);
        }
    }
    cbm_simd_choose(NULL);
    free(x);
    free(y);
}

/* Powers of two and of ten whose logarithms are whole. */
static void whole_logarithms(void **state)
{
    (void)state;
    cbm_context *cx = open_device("cpu");
    float x[11], two[11], ten[11];
    for (int i = 0; i < 11; i++)
        x[i] = ldexpf(1, 27 * i - 149);
    cbm_read(cbm_log2(cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(11), x)), two, sizeof two);
    for (int i = 0; i < 11; i++)
        assert_true(two[i] == (float)(27 * i - 149));
    for (int i = 0; i < 11; i++)
        x[i] = powf(10, (float)i);
    cbm_read(cbm_log10(cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(11), x)), ten, sizeof ten);
    for (int i = 0; i < 11; i++)
        assert_true(fabsf(ten[i] - (float)i) <= 1e-6f * (float)i);
    cbm_close(cx);
}

/* ---- slopes where functions bend, and of what is not a number: PyTorch's ---- */

static cbm_tensor *leaky(cbm_tensor *x)
{
    return cbm_leaky_relu(x, 0.25);
}
static cbm_tensor *hardtanh(cbm_tensor *x)
{
    return cbm_hardtanh(x, -1, 1);
}
static cbm_tensor *clamp(cbm_tensor *x)
{
    return cbm_clamp(x, -1, 1);
}
static cbm_tensor *hardshrink(cbm_tensor *x)
{
    return cbm_hardshrink(x, 1);
}
static cbm_tensor *softshrink(cbm_tensor *x)
{
    return cbm_softshrink(x, 1);
}
static cbm_tensor *threshold(cbm_tensor *x)
{
    return cbm_threshold(x, 1, 7);
}
static cbm_tensor *elu_2(cbm_tensor *x)
{
    return cbm_elu(x, 2);
}
static cbm_tensor *celu_2(cbm_tensor *x)
{
    return cbm_celu(x, 2);
}
static cbm_tensor *softplus_of_3(cbm_tensor *x)
{
    return cbm_softplus(x, 1, 3);
}
static cbm_tensor *replaced(cbm_tensor *x)
{
    return cbm_nan_to_num(x, 0, INFINITY, -INFINITY);
}

#define POINTS 8
static const double points[POINTS] = { -3, -1, 0, 1, 3, (double)NAN, -(double)INFINITY, (double)INFINITY };
static const struct {
    const char *name;
    cbm_tensor *(*f)(cbm_tensor *);
    double slope[POINTS]; /* at the points above */
} bends[] = {
    { "relu", cbm_relu, { 0, 0, 0, 1, 1, 1, 0, 1 } },
    { "leaky_relu", leaky, { 0.25, 0.25, 0.25, 1, 1, 0.25, 0.25, 1 } },
    { "hardtanh", hardtanh, { 0, 0, 1, 0, 0, 1, 0, 0 } },
    { "clamp", clamp, { 0, 1, 1, 1, 0, 0, 0, 0 } },
    { "hardsigmoid", cbm_hardsigmoid, { 0, 1.0 / 6, 1.0 / 6, 1.0 / 6, 0, 1.0 / 6, 0, 0 } },
    { "hardshrink", hardshrink, { 1, 0, 0, 0, 1, 1, 1, 1 } },
    { "softshrink", softshrink, { 1, 0, 0, 0, 1, 1, 1, 1 } },
    { "threshold", threshold, { 0, 0, 0, 0, 1, 1, 0, 1 } },
    { "elu", elu_2, { 0.099574136735727889, 0.73575888234288464, 2, 1, 1, 1, 0, 1 } },
    { "celu", celu_2, { 0.22313016014842982, 0.60653065971263342, 1, 1, 1, 1, 0, 1 } },
    { "softplus",
      softplus_of_3,
      { 0.04742587317756678, 0.2689414213699951, 0.5, 0.7310585786300049, 0.9525741268224334, (double)NAN, 0, 1 } },
    { "nan_to_num", replaced, { 1, 1, 1, 1, 1, 0, 0, 0 } },
    { "floor", cbm_floor, { 0 } },
    { "sign", cbm_sign, { 0 } },
    { "frac", cbm_frac, { 1, 1, 1, 1, 1, 1, 1, 1 } },
};

static void slopes_at_bends(void **state)
{
    (void)state;
    static const char *const devices[] = { "cpu", "reference" };
    for (int d = 0; d < 2; d++)
        for (size_t k = 0; k < sizeof bends / sizeof *bends; k++) {
            cbm_context *cx = open_device(devices[d]);
            double slope[POINTS];
            cbm_tensor *x = cbm_variable(cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(POINTS), points), true), *g = NULL;
            assert_int_equal(cbm_grad_of(cbm_sum_with(bends[k].f(x), NULL), &x, 1, &g), CBM_OK);
            assert_int_equal(cbm_read(g, slope, sizeof slope), CBM_OK);
            for (int i = 0; i < POINTS; i++)
                if (!(fabs(slope[i] - bends[k].slope[i]) < 1e-12) && !(isnan(slope[i]) && isnan(bends[k].slope[i])))
                    fail_msg("%s on %s: the slope at %g is %g, not %g", bends[k].name, devices[d], points[i], slope[i],
                             bends[k].slope[i]);
            cbm_release(x);
            cbm_close(cx);
        }
}

/* Which of three tensors clamp's gradient goes to: x within, a bound where it comes out. */
static void clamp_gives_its_gradient_to_one(void **state)
{
    (void)state;
    cbm_context *cx = open_device("cpu");
    const double x_[] = { -2, 0, 2, 0, -1 }, low_[] = { -1, -1, -1, 2, -1 }, high_[] = { 1, 1, 1, 1, 1 };
    const double want[3][5] = { { 0, 1, 0, 0, 1 }, { 1, 0, 0, 0, 0 }, { 0, 0, 1, 1, 0 } };
    const double *from[] = { x_, low_, high_ };
    cbm_tensor *in[3], *grads[3];
    for (int i = 0; i < 3; i++)
        in[i] = cbm_variable(cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(5), from[i]), true);
    cbm_tensor *sum = cbm_sum_with(cbm_clamp_tensor(in[0], in[1], in[2]), NULL);
    assert_int_equal(cbm_grad_of(sum, in, 3, grads), CBM_OK);
    for (int i = 0; i < 3; i++) {
        double got[5];
        assert_int_equal(cbm_read(grads[i], got, sizeof got), CBM_OK);
        assert_memory_equal(got, want[i], sizeof got);
        cbm_release(in[i]);
    }
    cbm_close(cx);
}

/* ---- compositions without a record ---- */

static void read_doubles(cbm_tensor *t, double *out, size_t n)
{
    assert_int_equal(cbm_read(cbm_cast(t, CBM_F64), out, n * sizeof *out), CBM_OK);
}

static void expect(cbm_tensor *t, const double *want, size_t n)
{
    double got[16];
    read_doubles(t, got, n);
    for (size_t i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= 1e-12 * fmax(1, fabs(want[i]))) && !(isnan(got[i]) && isnan(want[i])))
            fail_msg("element %zu is %.17g, not %.17g", i, got[i], want[i]);
}
#define EXPECT(t, ...) expect(t, (const double[]){ __VA_ARGS__ }, sizeof((double[]){ __VA_ARGS__ }) / sizeof(double))

static void with_numbers(void **state)
{
    (void)state;
    cbm_context *cx = open_device("cpu");
    const double four[] = { -2, -0.5, 1, 3 };
    const int64_t whole[] = { -7, 0, 5, 9 };
    cbm_tensor *x = cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(4), four);
    cbm_tensor *w = cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(4), whole);
    EXPECT(cbm_sub_scalar(x, 1), -3, -1.5, 0, 2);
    EXPECT(cbm_rsub_scalar(x, 1), 3, 1.5, 0, -2);
    EXPECT(cbm_div_scalar(x, 2), -1, -0.25, 0.5, 1.5);
    EXPECT(cbm_rdiv_scalar(x, 2), -1, -4, 2, 2.0 / 3);
    EXPECT(cbm_maximum_scalar(x, 0), 0, 0, 1, 3);
    EXPECT(cbm_minimum_scalar(w, 5), -7, 0, 5, 5);
    EXPECT(cbm_square(w), 49, 0, 25, 81);
    EXPECT(cbm_fmod_scalar(x, 1.5), -0.5, -0.5, 1, 0);
    EXPECT(cbm_remainder_scalar(w, 4), 1, 0, 1, 1);
    EXPECT(cbm_floor_divide_scalar(w, 4), -2, 0, 1, 2);
    EXPECT(cbm_floor_divide_scalar(w, 0), 0, 0, 0, 0);
    EXPECT(cbm_equal_scalar(x, 1), 0, 0, 1, 0);
    EXPECT(cbm_not_equal_scalar(x, 1), 1, 1, 0, 1);
    EXPECT(cbm_less_scalar(x, 1), 1, 1, 0, 0);
    EXPECT(cbm_less_equal_scalar(x, 1), 1, 1, 1, 0);
    EXPECT(cbm_greater_scalar(w, 5), 0, 0, 0, 1);
    EXPECT(cbm_greater_equal_scalar(w, 5), 0, 0, 1, 1);
    EXPECT(cbm_clamp(w, -3, INFINITY), -3, 0, 5, 9);
    EXPECT(cbm_clamp(w, -INFINITY, 6), -7, 0, 5, 6);
    EXPECT(cbm_lerp_scalar(x, cbm_square(x), 0.25), -0.5, -0.3125, 1, 4.5);
    EXPECT(cbm_addcmul(x, x, x, 0.5), 0, -0.375, 1.5, 7.5);
    EXPECT(cbm_addcdiv(x, x, x, 0.5), -1.5, 0, 1.5, 3.5);
    EXPECT(cbm_tanhshrink(x), -2 - tanh(-2), -0.5 - tanh(-0.5), 1 - tanh(1), 3 - tanh(3));
    EXPECT(cbm_bitwise_not(w), 6, -1, -6, -10);
    EXPECT(cbm_bitwise_not(cbm_greater_scalar(w, 0)), 1, 1, 0, 0);
    EXPECT(cbm_isnan(w), 0, 0, 0, 0);
    EXPECT(cbm_isinf(w), 0, 0, 0, 0);
    EXPECT(cbm_isfinite(w), 1, 1, 1, 1);
    EXPECT(cbm_nan_to_num(w, 1, 2, 3), -7, 0, 5, 9);
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
}

static void largest_numbers(void **state)
{
    (void)state;
    cbm_context *cx = open_device("cpu");
    const double odd[] = { (double)NAN, (double)INFINITY, -(double)INFINITY };
    cbm_tensor *x = cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(3), odd);
    EXPECT(cbm_nan_to_num(x, 0.5, INFINITY, -INFINITY), 0.5, 0x1.fffffffffffffp1023, -0x1.fffffffffffffp1023);
    EXPECT(cbm_nan_to_num(cbm_cast(x, CBM_F32), 0.5, INFINITY, -INFINITY), 0.5, 0x1.fffffep127, -0x1.fffffep127);
    EXPECT(cbm_nan_to_num(cbm_cast(x, CBM_BF16), 0.5, INFINITY, -INFINITY), 0.5, 0x1.fep127, -0x1.fep127);
    EXPECT(cbm_nan_to_num(x, 0, 7, 8), 0, 7, 8);
    cbm_close(cx);
}

static void gated_units(void **state)
{
    (void)state;
    cbm_context *cx = open_device("cpu");
    const double x_[] = { 1, -2, 3, -4, 0, 1 }, w_[] = { 0.5, 0.25, -1 };
    cbm_tensor *x = cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(1, 3, 2), x_);
    EXPECT(cbm_glu(cbm_reshape(x, CBM_SHAPE(6)), 0), 1 / (1 + exp(4)), -1, 3 / (1 + exp(-1)));
    EXPECT(cbm_glu(x, -1), 1 / (1 + exp(2)), 3 / (1 + exp(4)), 0);
    EXPECT(cbm_prelu(x, cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(3), w_)), 1, -1, 3, -1, 0, 1);
    EXPECT(cbm_prelu(x, cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(1), w_)), 1, -1, 3, -2, 0, 1);
    EXPECT(cbm_prelu(cbm_scalar(cx, CBM_F64, -2), cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(1), w_)), -1);
    assert_int_equal(cbm_tensor_count(cbm_glu(cbm_zeros(cx, CBM_F32, CBM_SHAPE(3, 0)), 1)), 0);
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_near), cmocka_unit_test(whole_logarithms),
        cmocka_unit_test(slopes_at_bends), cmocka_unit_test(clamp_gives_its_gradient_to_one),
        cmocka_unit_test(with_numbers),    cmocka_unit_test(largest_numbers),
        cmocka_unit_test(gated_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
