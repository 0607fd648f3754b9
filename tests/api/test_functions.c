/* test_functions.c: public functions that are an operation of the same name give what its record gives: names that no other test
   calls. */
#include <cambium/cambium.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

typedef struct unary {
    const char *name;
    cbm_tensor *(*function)(cbm_tensor *x);
    double (*value)(double x); /* NULL: the record's value is enough */
} unary;

static double reciprocal(double x)
{
    return 1 / x;
}

static double softsign(double x)
{
    return x / (1 + fabs(x));
}

static double hardswish(double x)
{
    return x * fmin(fmax(x + 3, 0), 6) / 6;
}

static const unary unaries[] = {
    { "ceil", (cbm_ceil), ceil },
    { "cos", (cbm_cos), cos },
    { "erfc", (cbm_erfc), erfc },
    { "exp2", (cbm_exp2), exp2 },
    { "round", (cbm_round), rint },
    { "tan", (cbm_tan), tan },
    { "trunc", (cbm_trunc), trunc },
    { "reciprocal", (cbm_reciprocal), reciprocal },
    { "softsign", (cbm_softsign), softsign },
    { "hardswish", (cbm_hardswish), hardswish },
};

enum { COUNT = 7 };
static const double numbers[COUNT] = { -3.7, -2.5, -0.5, 0.3, 1.5, 2.5, 3.2 };

static void test_unary(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.device = "reference");
    for (size_t i = 0; i < sizeof unaries / sizeof *unaries; i++) {
        double got[COUNT];
        cbm_tensor *x = cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(COUNT), numbers);
        assert_int_equal(cbm_read(unaries[i].function(x), got, sizeof got), CBM_OK);
        for (int k = 0; k < COUNT; k++)
            if (!(fabs(got[k] - unaries[i].value(numbers[k])) < 1e-12))
                fail_msg("%s(%g) is %.15g", unaries[i].name, numbers[k], got[k]);
    }
    cbm_close(cx);
}

static void test_logic(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    const bool a[] = { false, false, true, true }, b[] = { false, true, false, true };
    bool either[4], one[4];
    cbm_tensor *x = cbm_tensor_from(cx, CBM_BOOL, CBM_SHAPE(4), a), *y = cbm_tensor_from(cx, CBM_BOOL, CBM_SHAPE(4), b);
    assert_int_equal(cbm_read(cbm_logical_or(x, y), either, sizeof either), CBM_OK);
    assert_int_equal(cbm_read(cbm_logical_xor(x, y), one, sizeof one), CBM_OK);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(either[i], a[i] || b[i]);
        assert_int_equal(one[i], a[i] != b[i]);
    }
    cbm_close(cx);
}

/* Three-dimensional pools and transposed convolution on a cube of 0 ... 26, by what their numbers must be. */
static void test_cubes(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    float cube[27], got[8];
    for (int i = 0; i < 27; i++)
        cube[i] = (float)i;
    cbm_tensor *x = cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(1, 1, 3, 3, 3), cube);
    assert_true(cbm_item(cbm_adaptive_avg_pool3d(x, CBM_SHAPE(1))) == 13);
    assert_true(cbm_item(cbm_adaptive_max_pool3d(x, CBM_SHAPE(1), NULL)) == 26);
    cbm_tensor *plane = cbm_reshape(cbm_slice(x, 2, 2, 3, 1), CBM_SHAPE(1, 1, 3, 3));
    assert_true(cbm_item(cbm_adaptive_max_pool2d(plane, CBM_SHAPE(1, 1), NULL)) == 26);
    assert_int_equal(cbm_read(cbm_lp_pool3d(x, 1, CBM_SHAPE(2), .stride = CBM_SHAPE(1)), got, sizeof got), CBM_OK);
    for (int i = 0; i < 8; i++) /* the sum of a corner's eight numbers */
        assert_true(fabsf(got[i] - 8 * ((float)(i / 4 * 9 + i / 2 % 2 * 3 + i % 2) + 6.5f)) < 1e-3f);
    cbm_tensor *w = cbm_ones(cx, CBM_F32, CBM_SHAPE(1, 1, 2, 2, 2));
    cbm_tensor *spread = cbm_conv_transpose3d(cbm_ones(cx, CBM_F32, CBM_SHAPE(1, 1, 1, 1, 1)), w, NULL);
    cbm_tensor *indices = NULL;
    int64_t at[8];
    cbm_pool_options pool = { .struct_size = sizeof pool, .dilation = CBM_SHAPE(1) };
    cbm_tensor *most = cbm_max_pool3d_with_indices(x, CBM_SHAPE(3), &pool, &indices);
    assert_true(cbm_item(most) == 26 && cbm_item(indices) == 26);
    pool.stride = CBM_SHAPE(1);
    cbm_tensor *line = cbm_reshape(plane, CBM_SHAPE(1, 1, 9));
    assert_int_equal(cbm_tensor_count(cbm_max_pool1d_with_indices(line, CBM_SHAPE(2), &pool, &indices)), 8);
    assert_int_equal(cbm_read(indices, at, sizeof at), CBM_OK);
    for (int i = 0; i < 8; i++)
        assert_int_equal(at[i], i + 1);
    assert_int_equal(cbm_tensor_count(spread), 8);
    assert_true(cbm_item(cbm_sum(spread)) == 8);
    assert_int_equal(cbm_context_status(cx), CBM_OK);
    cbm_close(cx);
}

static void test_layers(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    float got[8];
    const float line[] = { 1, 3, 5, 7 };
    cbm_tensor *x = cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(1, 1, 4), line);
    assert_int_equal(cbm_read(cbm_call(cbm_nn_avg_pool1d(cx, 2), x), got, 2 * sizeof *got), CBM_OK);
    assert_true(got[0] == 2 && got[1] == 6);
    x = cbm_reshape(x, CBM_SHAPE(1, 1, 2, 2));
    cbm_tensor *y = cbm_call(cbm_nn_pixel_unshuffle(cx, 2), x); /* a channel for each place of a block */
    assert_int_equal(cbm_tensor_size(y, 1), 4);
    assert_int_equal(cbm_read(y, got, 4 * sizeof *got), CBM_OK);
    assert_memory_equal(got, line, 4 * sizeof *got);
    assert_int_equal(cbm_context_status(cx), CBM_OK);
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unary),
        cmocka_unit_test(test_logic),
        cmocka_unit_test(test_cubes),
        cmocka_unit_test(test_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
