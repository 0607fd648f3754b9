/* test_absorb.c: what kernels do to their results on the way: a bias, a residual (lying in any order), ReLU and ReLU6. There is no
   step for it, and the numbers are the reference's, for products large and small, in batches, of vectors, and of matrices that
   lie across. Not a number stays one where a gradient may come. */
#define CBM_NO_CALL_SITES
#include "support/cases.h"
#include <cambium/autograd.h>
#include <cambium/ops.h>
#include <cambium/plan.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 1 << 18 };
enum { BIAS = 1, RESIDUAL = 2, ACROSS = 4, RELU = 8, RELU6 = 16 };

typedef struct product {
    cbm_shape a, b;
    bool a_across, b_across; /* given transposed, read by a view */
} product;

static const product products[] = {
    { { { 2, 32, 2, 0 } }, { { 2, 2, 16, 0 } }, false, false },       /* in registers */
    { { { 2, 65, 70, 0 } }, { { 2, 70, 33, 0 } }, false, false },     /* by oneDNN, odd extents */
    { { { 2, 128, 96, 0 } }, { { 2, 64, 96, 0 } }, false, true },     /* a linear layer */
    { { { 2, 64, 800, 0 } }, { { 2, 512, 800, 0 } }, false, true },   /* long rows: transposed inside */
    { { { 2, 96, 256, 0 } }, { { 2, 256, 1100, 0 } }, false, false }, /* a large second factor */
    { { { 2, 90, 50, 0 } }, { { 2, 90, 40, 0 } }, true, false },
    { { { 2, 1, 300, 0 } }, { { 2, 300, 200, 0 } }, false, false }, /* a vector */
    { { { 3, 6, 20, 30 } }, { { 2, 30, 50, 0 } }, false, false },   /* batches, as one tall product */
    { { { 3, 6, 40, 30 } }, { { 3, 6, 30, 50 } }, false, false },   /* batches of products */
    { { { 3, 40, 6, 8 } }, { { 3, 40, 8, 5 } }, false, false },     /* many small ones */
    { { { 2, 5, 0, 0 } }, { { 2, 0, 7, 0 } }, false, false },       /* sums of nothing */
};
enum { PRODUCTS = sizeof products / sizeof *products };

static cbm_shape turned(cbm_shape s)
{
    const int64_t last = s.v[s.v[0]];
    s.v[s.v[0]] = s.v[s.v[0] - 1];
    s.v[s.v[0] - 1] = last;
    return s;
}

/* Host's numbers, so that nothing pending is computed. */
static cbm_tensor *given(cbm_context *cx, cbm_shape shape)
{
    static float numbers[600000];
    uint32_t state = (uint32_t)(cbm_shape_count(&shape) % 1009 + 7);
    const int64_t count = cbm_shape_count(&shape);
    assert_true(count <= 600000);
    for (int64_t i = 0; i < count; i++) {
        state = state * 1664525 + 1013904223;
        numbers[i] = (float)(state >> 8) / (1 << 23) - 1;
    }
    return cbm_tensor_from(cx, CBM_F32, shape, numbers);
}

static cbm_tensor *after(cbm_context *cx, cbm_tensor *y, int what)
{
    const cbm_shape s = cbm_tensor_shape(y);
    if (what & BIAS)
        y = cbm_add(y, cbm_variable(given(cx, CBM_SHAPE(s.v[s.v[0]])), false));
    if (what & RESIDUAL)
        y = cbm_add(y, what & ACROSS ? cbm_transpose(given(cx, turned(s)), -1, -2) : given(cx, s));
    return what & RELU ? cbm_relu(y) : what & RELU6 ? cbm_relu6(y) : y;
}

static const int afters[] = { BIAS,
                              RELU,
                              RESIDUAL | RELU,
                              BIAS | RELU6,
                              RESIDUAL | ACROSS,
                              BIAS | RESIDUAL | RELU,
                              BIAS | RESIDUAL | ACROSS | RELU6 };

static size_t steps_named(cbm_context *cx, const char *begin)
{
    size_t count = 0;
    cbm_step_info s = { .struct_size = sizeof s };
    for (size_t i = 0; cbm_plan_step_at(cx, 0, i, &s); i++)
        count += strncmp(s.does, begin, strlen(begin)) == 0;
    return count;
}

/* variable: the second factor is one, as weights are. */
static size_t product_of(const char *device, int64_t threads, const product *p, int what, bool variable, float *out)
{
    cbm_context *cx = cbm_open_with(.device = device, .threads = threads, .seed = 9);
    cbm_profile(cx, true);
    cbm_tensor *a = given(cx, p->a), *b = given(cx, p->b);
    b = variable ? cbm_variable(b, false) : b;
    a = p->a_across ? cbm_transpose(a, -1, -2) : a;
    b = p->b_across ? cbm_transpose(b, -1, -2) : b;
    cbm_tensor *y = after(cx, cbm_matmul(a, b), what);
    const size_t count = (size_t)cbm_tensor_count(y);
    assert_true(count <= MOST);
    assert_int_equal(cbm_read(y, out, count * sizeof *out), CBM_OK);
    if (strcmp(device, "cpu") == 0) {
        assert_int_equal(steps_named(cx, what & (BIAS | RESIDUAL) ? "matmul add" : "matmul relu"), 1);
        assert_int_equal(steps_named(cx, "add") + steps_named(cx, "relu"), 0);
    }
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
    return count;
}

static void after_products(void **state)
{
    (void)state;
    static float got[MOST], want[MOST];
    for (size_t i = 0; i < PRODUCTS; i++)
        for (size_t k = 0; k < sizeof afters / sizeof *afters; k++) {
            const size_t count = product_of("reference", 1, &products[i], afters[k], false, want);
            for (int run = 0; run < 4; run++) {
                assert_int_equal(product_of("cpu", 1 + run % 3, &products[i], afters[k], run % 2 == 1, got), count);
                for (size_t e = 0; e < count; e++)
                    if (fabsf(got[e] - want[e]) > 2e-4f * (1 + fabsf(want[e])))
                        fail_msg("product %zu, after %d, run %d: element %zu is %g, not %g", i, afters[k], run, e,
                                 (double)got[e], (double)want[e]);
            }
        }
}

/* A norm adds what lies in another order than its own, in two dimensions and in four. */
static void residuals_of_norms(void **state)
{
    (void)state;
    static float got[2][MOST];
    const cbm_shape shapes[] = { { { 2, 32, 16, 0 } }, { { 3, 4, 17, 9 } } };
    for (size_t i = 0; i < 2; i++) {
        size_t count = 0;
        for (int device = 0; device < 2; device++) {
            cbm_context *cx = cbm_open_with(.device = device ? "cpu" : "reference", .seed = 3);
            cbm_profile(cx, true);
            cbm_tensor *x = given(cx, shapes[i]), *one = cbm_ones(cx, CBM_F32, CBM_SHAPE(shapes[i].v[2]));
            cbm_tensor *zero = cbm_zeros(cx, CBM_F32, CBM_SHAPE(shapes[i].v[2]));
            cbm_tensor *y = cbm_batch_norm(x, NULL, NULL, one, zero, true, 0.1, 1e-5);
            y = after(cx, y, RESIDUAL | ACROSS | RELU);
            count = (size_t)cbm_tensor_count(y);
            assert_int_equal(cbm_read(y, got[device], count * sizeof(float)), CBM_OK);
            assert_int_equal(steps_named(cx, "batch_norm add relu"), device);
            assert_string_equal(cbm_message(cx), "");
            cbm_close(cx);
        }
        for (size_t e = 0; e < count; e++)
            assert_true(fabsf(got[0][e] - got[1][e]) <= 1e-4f);
    }
}

/* With a gradient at stake the ReLU behind a product keeps what is not a number. */
static void not_a_number_stays(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.seed = 5);
    cbm_tensor *x = given(cx, CBM_SHAPE(64, 80)), *w = cbm_variable(given(cx, CBM_SHAPE(80, 96)), true);
    cbm_tensor *bias = cbm_variable(cbm_full(cx, CBM_F32, CBM_SHAPE(96), (double)NAN), true), *grads[2];
    cbm_tensor *y = cbm_relu(cbm_add(cbm_matmul(x, w), bias));
    cbm_tensor *with[] = { w, bias };
    cbm_want(y);
    assert_int_equal(cbm_grad(cbm_sum(y), with, 2, grads), CBM_OK);
    cbm_assign(w, cbm_sub(w, grads[0]));
    static float got[64 * 96];
    assert_int_equal(cbm_read(y, got, sizeof got), CBM_OK);
    for (size_t i = 0; i < 64 * 96; i++)
        assert_true(isnan(got[i]));
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_products),
        cmocka_unit_test(residuals_of_norms),
        cmocka_unit_test(not_a_number_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
