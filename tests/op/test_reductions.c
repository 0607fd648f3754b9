/* test_reductions.c: reductions, order and scans as public functions: values and gradients with ties, zeros and NaN against
   PyTorch's, both devices; shapes; wrong calls. */
#define CBM_NO_CALL_SITES
#include "support/cases.h"
#include "support/wrong.h"
#include <cambium/autograd.h>
#include <cambium/ops.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define S(...) CBM_SHAPE(__VA_ARGS__)
#define OVER(...)                                                                                                      \
    &(cbm_reduce_options)                                                                                              \
    {                                                                                                                  \
        sizeof(cbm_reduce_options), S(__VA_ARGS__), 0                                                                  \
    }
#define KEPT(...)                                                                                                      \
    &(cbm_reduce_options)                                                                                              \
    {                                                                                                                  \
        sizeof(cbm_reduce_options), S(__VA_ARGS__), 1                                                                  \
    }
#define SPREAD(correction_, ...)                                                                                       \
    &(cbm_var_options)                                                                                                 \
    {                                                                                                                  \
        sizeof(cbm_var_options), S(__VA_ARGS__), 0, correction_                                                        \
    }
#define NORM(p_, ...)                                                                                                  \
    &(cbm_norm_options)                                                                                                \
    {                                                                                                                  \
        sizeof(cbm_norm_options), S(__VA_ARGS__), 0, p_                                                                \
    }
#define QUANTILE(rule_, ...)                                                                                           \
    &(cbm_quantile_options)                                                                                            \
    {                                                                                                                  \
        sizeof(cbm_quantile_options), S(__VA_ARGS__), 0, rule_                                                         \
    }
#define INF (double)INFINITY

/* ---- values and gradients on one matrix: the gradient of the results times 1, 2, 3, .. ---- */

static cbm_tensor *prod_rows(cbm_tensor *x)
{
    return cbm_prod_with(x, OVER(1));
}
static cbm_tensor *max_rows(cbm_tensor *x)
{
    return cbm_max_with(x, OVER(1));
}
static cbm_tensor *min_all(cbm_tensor *x)
{
    return cbm_min_with(x, NULL);
}
static cbm_tensor *max_at_rows(cbm_tensor *x)
{
    return cbm_max_at(x, 1, false, NULL);
}
static cbm_tensor *median_rows(cbm_tensor *x)
{
    return cbm_median_at(x, -1, false, NULL);
}
static cbm_tensor *median_over_rows(cbm_tensor *x)
{
    return cbm_median_with(x, OVER(1));
}
static cbm_tensor *third_smallest(cbm_tensor *x)
{
    return cbm_kth_value(x, 3, 1, false, NULL);
}
static cbm_tensor *quantile_rows(cbm_tensor *x)
{
    return cbm_quantile_with(x, 0.3, QUANTILE(CBM_QUANTILE_LINEAR, 1));
}
static cbm_tensor *middle_columns(cbm_tensor *x)
{
    return cbm_quantile_with(x, 0.5, QUANTILE(CBM_QUANTILE_MIDPOINT, 0));
}
static cbm_tensor *std_rows(cbm_tensor *x)
{
    return cbm_std_with(x, SPREAD(1, 1));
}
static cbm_tensor *var_columns(cbm_tensor *x)
{
    return cbm_var_with(x, SPREAD(0, 0));
}
static cbm_tensor *norm_most(cbm_tensor *x)
{
    return cbm_norm_with(x, NORM(INF, 1));
}
static cbm_tensor *norm_columns(cbm_tensor *x)
{
    return cbm_norm_with(x, NORM(2, 0));
}
static cbm_tensor *logsumexp_rows(cbm_tensor *x)
{
    return cbm_logsumexp_with(x, OVER(1));
}
static cbm_tensor *cummax_rows(cbm_tensor *x)
{
    return cbm_cummax(x, 1, NULL);
}
static cbm_tensor *cummin_rows(cbm_tensor *x)
{
    return cbm_cummin(x, 1, NULL);
}
static cbm_tensor *cumprod_rows(cbm_tensor *x)
{
    return cbm_cumprod(x, 1);
}
static cbm_tensor *logcumsumexp_rows(cbm_tensor *x)
{
    return cbm_logcumsumexp(x, 1);
}
static cbm_tensor *second_differences(cbm_tensor *x)
{
    return cbm_diff(x, 2, -1);
}

static const double matrix[] = { 3, 1, 2, 2, 5, 5, -1, 0 };
static const struct {
    const char *name;
    cbm_tensor *(*f)(cbm_tensor *);
    int count;
    double want[8], gradient[8];
} cases[] = {
    { "prod", prod_rows, 2, { 12, 0 }, { 4, 12, 6, 6, 0, 0, 0, -50 } },
    { "max", max_rows, 2, { 3, 5 }, { 1, 0, 0, 0, 1, 1, 0, 0 } },
    { "min", min_all, 1, { -1 }, { 0, 0, 0, 0, 0, 0, 1, 0 } },
    { "max_at", max_at_rows, 2, { 3, 5 }, { 1, 0, 0, 0, 2, 0, 0, 0 } },
    { "median_at", median_rows, 2, { 2, 0 }, { 0, 0, 1, 0, 0, 0, 0, 2 } },
    { "median", median_over_rows, 2, { 2, 0 }, { 0, 0, 1, 0, 0, 0, 0, 2 } },
    { "kth_value", third_smallest, 2, { 2, 5 }, { 0, 0, 0, 1, 2, 0, 0, 0 } }, /* a stable sort's */
    { "quantile", quantile_rows, 2, { 1.9, -0.1 }, { 0, 0.1, 0.9, 0, 0, 0, 0.2, 1.8 } },
    { "quantile, midpoint", middle_columns, 4, { 4, 3, 0.5, 1 }, { 0.5, 1, 1.5, 2, 0.5, 1, 1.5, 2 } },
    { "std",
      std_rows,
      2,
      { 0.816496580928, 3.201562118716 },
      { 0.408248290464, -0.408248290464, 0, 0, 0.572637126925, 0.572637126925, -0.676752968184, -0.468521285666 } },
    { "var", var_columns, 4, { 1, 4, 2.25, 1 }, { -1, -4, 4.5, 4, 1, 4, -4.5, -4 } },
    { "norm, infinite", norm_most, 2, { 3, 5 }, { 1, 0, 0, 0, 1, 1, 0, 0 } },
    { "norm",
      norm_columns,
      4,
      { 5.830951894845, 5.099019513593, 2.2360679775, 2 },
      { 0.514495755428, 0.392232270276, 2.683281573, 4, 0.857492925713, 1.961161351382, -1.3416407865, 0 } },
    { "logsumexp",
      logsumexp_rows,
      2,
      { 3.626523375036, 5.697744944215 },
      { 0.534446645389, 0.072329488129, 0.196611933241, 0.196611933241, 0.99541278988, 0.99541278988, 0.00246738162,
        0.00670703862 } },
    { "cummax", cummax_rows, 8, { 3, 3, 3, 3, 5, 5, 5, 5 }, { 10, 0, 0, 0, 5, 21, 0, 0 } },
    { "cummin", cummin_rows, 8, { 3, 1, 1, 1, 5, 5, -1, -1 }, { 1, 9, 0, 0, 5, 6, 15, 0 } },
    { "cumprod", cumprod_rows, 8, { 3, 3, 6, 12, 5, 25, -25, 0 }, { 25, 72, 33, 24, 0, -5, 175, -200 } },
    { "logcumsumexp",
      logcumsumexp_rows,
      8,
      { 3, 3.126928011043, 3.407605964444, 3.626523375036, 5, 5.69314718056, 5.694385789256, 5.697744944215 },
      { 6.895103604834, 0.797815516069, 1.52063314613, 0.786447732966, 15.477318712742, 10.477318712742, 0.018534420035,
        0.026828154482 } },
    { "diff", second_differences, 4, { 3, -1, -6, 7 }, { 1, 0, -3, 2, 3, -2, -5, 4 } },
};

static void near(const char *name, const double *got, const double *want, int n)
{
    for (int i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) < 1e-11))
            fail_msg("%s: element %d is %.12g, not %.12g", name, i, got[i], want[i]);
}

static void values_and_gradients(void **state)
{
    (void)state;
    static const char *const devices[] = { "cpu", "reference" };
    static const double one_to_eight[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    for (int d = 0; d < 2; d++)
        for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
            cbm_context *cx = open_device(devices[d]);
            double got[8], gradient[8];
            cbm_tensor *x = cbm_variable(cbm_tensor_from(cx, CBM_F64, S(2, 4), matrix), true), *g = NULL;
            cbm_tensor *y = cbm_reshape(cases[k].f(x), S(-1));
            assert_int_equal(cbm_tensor_count(y), cases[k].count);
            cbm_tensor *weights = cbm_tensor_from(cx, CBM_F64, S(cases[k].count), one_to_eight);
            assert_int_equal(cbm_grad_of(cbm_sum_with(cbm_mul(y, weights), NULL), &x, 1, &g), CBM_OK);
            assert_int_equal(cbm_read(y, got, (size_t)cases[k].count * sizeof *got), CBM_OK);
            assert_int_equal(cbm_read(g, gradient, sizeof gradient), CBM_OK);
            near(cases[k].name, got, cases[k].want, cases[k].count);
            near(cases[k].name, gradient, cases[k].gradient, 8);
            cbm_release(x);
            cbm_close(cx);
        }
}

/* ---- what has no gradient, or other types ---- */

static void expect(cbm_tensor *t, const double *want, int64_t n)
{
    double got[16];
    assert_int_equal(cbm_tensor_count(t), n);
    assert_int_equal(cbm_read(cbm_cast(t, CBM_F64), got, (size_t)n * sizeof *got), CBM_OK);
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) < 1e-12) && !(isnan(got[i]) && isnan(want[i])) && got[i] != want[i])
            fail_msg("element %d is %.17g, not %.17g", (int)i, got[i], want[i]);
}
#define EXPECT(t, ...) expect(t, (const double[]){ __VA_ARGS__ }, sizeof((double[]){ __VA_ARGS__ }) / sizeof(double))

static void other_functions(void **state)
{
    (void)state;
    cbm_context *cx = open_device("cpu");
    const double odd[] = { 1, (double)NAN, 3, 0, 2, 0 };
    const int64_t whole[] = { 3, -1, 4, 1, -5, 9 };
    const uint8_t yes[] = { 1, 0, 1, 1, 1, 1 };
    cbm_tensor *x = cbm_tensor_from(cx, CBM_F64, S(2, 3), odd), *w = cbm_tensor_from(cx, CBM_I64, S(2, 3), whole);
    cbm_tensor *b = cbm_tensor_from(cx, CBM_BOOL, S(2, 3), yes), *more = NULL;
    EXPECT(cbm_nansum_with(x, OVER(1)), 4, 2);
    EXPECT(cbm_nanmean_with(x, OVER(0)), 0.5, 2, 1.5);
    EXPECT(cbm_count_nonzero_with(x, OVER(1)), 3, 1);
    EXPECT(cbm_count_nonzero_with(w, NULL), 6);
    EXPECT(cbm_any_with(x, OVER(0)), 1, 1, 1);
    EXPECT(cbm_all_with(x, OVER(0)), 0, 1, 0);
    EXPECT(cbm_any_with(b, KEPT(1)), 1, 1);
    EXPECT(cbm_all_with(b, OVER(-1)), 0, 1);
    EXPECT(cbm_sum_with(b, OVER(0)), 2, 1, 2);
    assert_int_equal(cbm_tensor_dtype(cbm_sum_with(b, NULL)), CBM_I64);
    EXPECT(cbm_prod_with(w, OVER(1)), -12, -45);
    EXPECT(cbm_argmin_with(w, OVER(1)), 1, 1);
    EXPECT(cbm_argmin_with(x, NULL), 1);
    EXPECT(cbm_aminmax_with(w, OVER(0), &more), 1, -5, 4);
    EXPECT(more, 3, -1, 9);
    EXPECT(cbm_var_mean_with(cbm_cast(w, CBM_F64), SPREAD(1, 1), &more), 7, 148.0 / 3);
    EXPECT(more, 2, 5.0 / 3);
    EXPECT(cbm_norm_with(cbm_cast(w, CBM_F32), NORM(0, 1)), 3, 3);
    EXPECT(cbm_max_at(w, 0, true, &more), 3, -1, 9);
    EXPECT(more, 0, 0, 1);
    assert_int_equal(cbm_tensor_rank(more), 2);
    EXPECT(cbm_min_at(x, 1, false, &more), (double)NAN, 0);
    EXPECT(more, 1, 0);
    EXPECT(cbm_median_at(w, 1, false, &more), 3, 1);
    EXPECT(more, 0, 0);
    EXPECT(cbm_median_at(x, 1, true, &more), (double)NAN, 0);
    EXPECT(more, 1, 2);
    EXPECT(cbm_median_with(w, KEPT(0, 1)), 1);
    EXPECT(cbm_kth_value(x, 3, 1, false, &more), (double)NAN, 2);
    EXPECT(more, 1, 1);
    EXPECT(cbm_kth_value(x, 2, 1, false, &more), 3, 0);
    EXPECT(more, 2, 2);
    EXPECT(cbm_cumsum(b, 1), 1, 1, 2, 1, 2, 3);
    EXPECT(cbm_cumprod(w, 0), 3, -1, 4, 3, 5, 36);
    EXPECT(cbm_cummax(x, -1, &more), 1, (double)NAN, (double)NAN, 0, 2, 2);
    EXPECT(more, 0, 1, 1, 0, 1, 1);
    EXPECT(cbm_cummin(w, 1, &more), 3, -1, -1, 1, -5, -5);
    EXPECT(more, 0, 1, 1, 0, 1, 1);
    EXPECT(cbm_diff(w, 1, 1), -4, 5, -6, 14);
    EXPECT(cbm_diff(w, 0, 1), 3, -1, 4, 1, -5, 9);
    assert_int_equal(cbm_tensor_count(cbm_diff(w, 7, 1)), 0);
    EXPECT(cbm_diff(b, 1, 1), 1, 1, 0, 0);
    EXPECT(cbm_linear_scan(cbm_scalar(cx, CBM_F64, 0.5), cbm_cast(w, CBM_F64), 1), 3, 0.5, 4.25, 1, -4.5, 6.75);
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
}

static void rules_of_quantiles(void **state)
{
    (void)state;
    cbm_context *cx = open_device("cpu");
    const double x_[] = { 3, 1, 4, 1.5, 9 }, q[] = { 0, 0.1, 0.5, 0.7, 1 };
    const double want[5][5] = {
        { 1, 1.2, 3, 3.8, 9 }, { 1, 1, 3, 3, 9 }, { 1, 1.5, 3, 4, 9 }, { 1, 1.25, 3, 3.5, 9 }, { 1, 1, 3, 4, 9 }
    };
    cbm_tensor *x = cbm_tensor_from(cx, CBM_F64, S(5), x_);
    for (uint64_t rule = 0; rule < 5; rule++)
        for (int i = 0; i < 5; i++)
            EXPECT(cbm_quantile_with(x, q[i], QUANTILE(rule)), want[rule][i]);
    EXPECT(cbm_quantile_with(cbm_reshape(x, S(5, 1)), 0.375, NULL), 2.25);
    EXPECT(cbm_quantile_with(x, 0.375, QUANTILE(CBM_QUANTILE_NEAREST)), 3); /* place 1.5: to place 2 */
    EXPECT(cbm_quantile_with(cbm_tensor_from(cx, CBM_F64, S(2), (double[]){ 1, (double)NAN }), 0, NULL), (double)NAN);
    const cbm_quantile_options kept = { sizeof kept, S(0, 2), 1, CBM_QUANTILE_LINEAR };
    const cbm_shape shape = cbm_tensor_shape(cbm_quantile_with(cbm_ones(cx, CBM_F32, S(2, 3, 4)), 0.2, &kept));
    assert_true(cbm_shape_equal(&shape, &S(1, 3, 1)));
    cbm_close(cx);
}

/* Places beyond the results' own, and nothing along the axis. */
static void of_nothing(void **state)
{
    (void)state;
    cbm_context *cx = open_device("cpu");
    cbm_tensor *none = cbm_ones(cx, CBM_F32, S(2, 0)), *index = NULL;
    EXPECT(cbm_prod_with(none, OVER(1)), 1, 1);
    EXPECT(cbm_any_with(none, OVER(1)), 0, 0);
    EXPECT(cbm_all_with(none, OVER(1)), 1, 1);
    EXPECT(cbm_var_with(none, SPREAD(1, 1)), (double)NAN, (double)NAN);
    EXPECT(cbm_norm_with(none, NORM(2, 1)), 0, 0);
    EXPECT(cbm_logsumexp_with(none, OVER(1)), -INF, -INF);
    EXPECT(cbm_var_with(cbm_ones(cx, CBM_F32, S(1)), NULL), (double)NAN); /* 0 / 0 */
    assert_int_equal(cbm_tensor_count(cbm_cumsum(none, 1)), 0);
    assert_int_equal(cbm_tensor_count(cbm_cummax(none, 1, &index)), 0);
    assert_int_equal(cbm_tensor_count(cbm_max_at(none, 0, false, &index)), 0);
    assert_int_equal(cbm_tensor_count(cbm_median_with(cbm_ones(cx, CBM_F32, S(0, 2)), OVER(1))), 0);
    assert_string_equal(cbm_message(cx), "");
    assert_true(cbm_tensor_failed(cbm_max_at(NULL, 0, false, &index)) && cbm_tensor_failed(index));
    assert_true(cbm_tensor_failed(cbm_cumsum(NULL, 0)));
    assert_true(cbm_tensor_failed(cbm_quantile_with(NULL, 0.5, NULL)));
    assert_true(cbm_tensor_failed(cbm_var_mean_with(NULL, NULL, &index)) && cbm_tensor_failed(index));
    cbm_close(cx);
}

/* ---- wrong calls ---- */

static cbm_tensor *f32(cbm_context *cx, cbm_shape shape)
{
    return cbm_ones(cx, CBM_F32, shape);
}
static cbm_tensor *i64(cbm_context *cx, cbm_shape shape)
{
    return cbm_ones(cx, CBM_I64, shape);
}
#define WRONG(name_, expression_)                                                                                      \
    static cbm_tensor *name_(cbm_context *cx)                                                                          \
    {                                                                                                                  \
        return expression_;                                                                                            \
    }
WRONG(min_nothing, cbm_min_with(f32(cx, S(0, 3)), OVER(0)))
WRONG(max_bool, cbm_max_with(cbm_ones(cx, CBM_BOOL, S(2)), NULL))
WRONG(argmin_axes, cbm_argmin_with(f32(cx, S(2, 3, 4)), OVER(0, 1)))
WRONG(prod_axis, cbm_prod_with(f32(cx, S(2)), OVER(1)))
WRONG(any_twice, cbm_any_with(f32(cx, S(2)), OVER(0, -1)))
WRONG(any_record,
      cbm_apply(cx, cbm_op_named("any"), (cbm_tensor *[]){ f32(cx, S(2)) }, 1, (const int64_t[10]){ 1, 0 }, NULL))
WRONG(nanmean_whole, cbm_nanmean_with(i64(cx, S(2)), NULL))
WRONG(var_whole, cbm_var_with(i64(cx, S(2)), NULL))
WRONG(std_axis, cbm_std_with(f32(cx, S(2)), SPREAD(1, 3)))
WRONG(norm_nan, cbm_norm_with(f32(cx, S(2)), NORM((double)NAN)))
WRONG(norm_whole, cbm_norm_with(i64(cx, S(2)), NULL))
WRONG(norm_nothing, cbm_norm_with(f32(cx, S(0)), NORM(INF)))
WRONG(norm_negative_nothing, cbm_norm_with(f32(cx, S(0)), NORM(-1)))
WRONG(logsumexp_whole, cbm_logsumexp_with(i64(cx, S(2)), NULL))
WRONG(max_at_axis, cbm_max_at(f32(cx, S(2, 3)), 2, false, NULL))
WRONG(min_at_nothing, cbm_min_at(f32(cx, S(2, 0)), 1, false, NULL))
WRONG(median_nothing, cbm_median_with(f32(cx, S(2, 0)), NULL))
WRONG(median_at_nothing, cbm_median_at(f32(cx, S(2, 0)), 1, false, NULL))
WRONG(median_at_axis, cbm_median_at(f32(cx, S(2)), 1, false, NULL))
WRONG(median_bool, cbm_median_with(cbm_ones(cx, CBM_BOOL, S(3)), NULL))
WRONG(kth_beyond, cbm_kth_value(f32(cx, S(2, 3)), 4, 1, false, NULL))
WRONG(kth_zero, cbm_kth_value(f32(cx, S(2, 3)), 0, 1, false, NULL))
WRONG(kth_axis, cbm_kth_value(f32(cx, S(2, 3)), 1, -3, false, NULL))
WRONG(quantile_q, cbm_quantile_with(f32(cx, S(2)), 1.5, NULL))
WRONG(quantile_nan, cbm_quantile_with(f32(cx, S(2)), (double)NAN, NULL))
WRONG(quantile_rule, cbm_quantile_with(f32(cx, S(2)), 0.5, QUANTILE(9)))
WRONG(quantile_nothing, cbm_quantile_with(f32(cx, S(0)), 0.5, NULL))
WRONG(quantile_whole, cbm_quantile_with(i64(cx, S(3)), 0.5, NULL))
WRONG(cumsum_axis, cbm_cumsum(f32(cx, S(2, 3)), 2))
WRONG(cumsum_scalar, cbm_cumsum(f32(cx, S()), 0))
WRONG(logcumsumexp_whole, cbm_logcumsumexp(i64(cx, S(2)), 0))
WRONG(cummax_bool, cbm_cummax(cbm_ones(cx, CBM_BOOL, S(3)), 0, NULL))
WRONG(scan_shapes, cbm_linear_scan(f32(cx, S(2)), f32(cx, S(3)), 0))
WRONG(scan_dtypes, cbm_linear_scan(f32(cx, S(2)), cbm_ones(cx, CBM_F64, S(2)), 0))
WRONG(scan_axis, cbm_linear_scan(f32(cx, S(2)), f32(cx, S(2)), 1))
WRONG(scan_whole, cbm_linear_scan(i64(cx, S(2)), i64(cx, S(2)), 0))
WRONG(diff_axis, cbm_diff(f32(cx, S(2)), 1, 1))
WRONG(diff_times, cbm_diff(f32(cx, S(2)), -1, 0))

static const wrong_call wrong[] = {
    { min_nothing, CBM_ERROR_SHAPE, { "[min]", "axis 0 of shape (0, 3) is empty" } },
    { max_bool, CBM_ERROR_DTYPE, { "[max]", "not of bool. HINT: cbm_any" } },
    { argmin_axes, CBM_ERROR_INVALID, { "[argmin]", "one axis, or all" } },
    { prod_axis, CBM_ERROR_SHAPE, { "[prod]", "axis 1 is not one of shape (2)" } },
    { any_twice, CBM_ERROR_INVALID, { "[any]", "axis 0 is named twice" } },
    { any_record, CBM_ERROR_DTYPE, { "[any]", "takes bool, not f32" } },
    { nanmean_whole, CBM_ERROR_DTYPE, { "[div]", "i64" } },
    { var_whole, CBM_ERROR_DTYPE, { "[var]", "must be f32, f64 or bf16" } },
    { std_axis, CBM_ERROR_SHAPE, { "[std]", "axis 3 is not one of shape (2)" } },
    { norm_nan, CBM_ERROR_INVALID, { "[norm]", "p is NaN" } },
    { norm_whole, CBM_ERROR_DTYPE, { "[norm]", "must be f32, f64 or bf16" } },
    { norm_nothing, CBM_ERROR_SHAPE, { "[norm]", "axis 0 of shape (0) is empty, so nothing is largest or smallest" } },
    { norm_negative_nothing, CBM_ERROR_SHAPE, { "[norm]", "is empty" } },
    { logsumexp_whole, CBM_ERROR_DTYPE, { "[logsumexp]", "must be f32, f64 or bf16" } },
    { max_at_axis, CBM_ERROR_SHAPE, { "[argmax]", "axis 2 is not one of shape (2, 3)" } },
    { min_at_nothing, CBM_ERROR_SHAPE, { "[argmin]", "axis 1 of shape (2, 0) is empty" } },
    { median_nothing, CBM_ERROR_SHAPE, { "[median]", "there is nothing along the axes" } },
    { median_at_nothing, CBM_ERROR_INVALID, { "[kth_index]", "no element 1 in order among 0" } },
    { median_at_axis, CBM_ERROR_SHAPE, { "[median]", "axis 1" } },
    { median_bool, CBM_ERROR_DTYPE, { "[kth_index]", "not of bool" } },
    { kth_beyond, CBM_ERROR_INVALID, { "[kth_index]", "there is no element 4 in order among 3" } },
    { kth_zero, CBM_ERROR_INVALID, { "[kth_index]", "there is no element 0 in order" } },
    { kth_axis, CBM_ERROR_SHAPE, { "[kth_index]", "axis -3" } },
    { quantile_q, CBM_ERROR_INVALID, { "[quantile]", "q = 1.5 is not between 0 and 1" } },
    { quantile_nan, CBM_ERROR_INVALID, { "[quantile]", "is not between 0 and 1" } },
    { quantile_rule, CBM_ERROR_INVALID, { "[quantile]", "no rule number 9" } },
    { quantile_nothing, CBM_ERROR_SHAPE, { "[quantile]", "nothing along the axes" } },
    { quantile_whole, CBM_ERROR_DTYPE, { "[quantile]", "takes floats, not i64" } },
    { cumsum_axis, CBM_ERROR_SHAPE, { "[cumsum]", "axis 2 is not one of shape (2, 3)" } },
    { cumsum_scalar, CBM_ERROR_SHAPE, { "[cumsum]", "axis 0 is not one of shape ()" } },
    { logcumsumexp_whole, CBM_ERROR_DTYPE, { "[logcumsumexp]", "must be f32, f64 or bf16" } },
    { cummax_bool, CBM_ERROR_DTYPE, { "[cummax_index]", "not of bool" } },
    { scan_shapes, CBM_ERROR_SHAPE, { "[linear_scan]", "(2) and (3) do not broadcast" } },
    { scan_dtypes, CBM_ERROR_DTYPE, { "[linear_scan]", "f32 and f64" } },
    { scan_axis, CBM_ERROR_SHAPE, { "[linear_scan]", "axis 1" } },
    { scan_whole, CBM_ERROR_DTYPE, { "[linear_scan]", "must be f32, f64 or bf16" } },
    { diff_axis, CBM_ERROR_SHAPE, { "[diff]", "axis 1" } },
    { diff_times, CBM_ERROR_INVALID, { "[diff]", "-1 times" } },
};

static void wrong_calls(void **state)
{
    (void)state;
    assert_int_equal(check_wrong_calls(wrong, sizeof wrong / sizeof *wrong, "cpu"), 0);
    assert_int_equal(check_wrong_calls(wrong, sizeof wrong / sizeof *wrong, "reference"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_gradients), cmocka_unit_test(other_functions), cmocka_unit_test(rules_of_quantiles),
        cmocka_unit_test(of_nothing),           cmocka_unit_test(wrong_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
