/* test_user_op.c: operations that a user defines in C are checked, differentiated and planned like built-in ones: one with
   a kernel on buffers, one as an expression, one by decomposition, one that refuses values. */
#include <cambium/autograd.h>
#include <cambium/context.h>
#include <cambium/operation.h>
#include <cambium/ops.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- softplus(x, steepness) = log(1 + exp(steepness x)) / steepness, with a kernel and a vjp ---- */
typedef struct softplus_attributes {
    double steepness;
} softplus_attributes;

static bool softplus_infer(cbm_infer *infer)
{
    if (infer->in_dtype[0] != CBM_F32 && infer->in_dtype[0] != CBM_F64)
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE, "needs f32 or f64, not %s", cbm_dtype_name(infer->in_dtype[0]));
    infer->out_shape[0] = infer->in_shape[0];
    infer->out_dtype[0] = infer->in_dtype[0];
    return true;
}

static cbm_status softplus_kernel(const cbm_launch *launch)
{
    const softplus_attributes *a = launch->attributes;
    const cbm_buffer *x = &launch->in[0], *y = &launch->out[0];
    for (int64_t i = 0; i < x->count; i++) {
        double v = x->dtype == CBM_F32 ? (double)((const float *)x->data)[i] : ((const double *)x->data)[i];
        double r = log1p(exp(a->steepness * v)) / a->steepness;
        if (y->dtype == CBM_F32)
            ((float *)y->data)[i] = (float)r;
        else
            ((double *)y->data)[i] = r;
    }
    return CBM_OK;
}

static void softplus_vjp(cbm_vjp *v)
{
    const softplus_attributes *a = v->attributes;
    v->in_gradient[0] = cbm_mul(v->out_gradient[0], cbm_sigmoid(cbm_mul_scalar(v->in[0], a->steepness)));
}

static void softplus_wrong_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_mul(v->out_gradient[0], cbm_sigmoid(v->in[0]));
}

static const cbm_attribute softplus_fields[] = {
    { "steepness", CBM_ATTRIBUTE_FLOAT, offsetof(softplus_attributes, steepness), false },
};
static const softplus_attributes steep = { 1.7 };
static const cbm_sample softplus_samples[] = {
    { .n_in = 1, .in = { { { { 2, 2, 3 } }, CBM_F64, -2, 2, false } }, .attributes = &steep },
};
#define SOFTPLUS(vjp_)                                                                                                 \
    {                                                                                                                  \
        .struct_size = sizeof(cbm_op), .name = "softplus", .formula = "log(1 + exp(s x)) / s", .n_in = 1, .n_out = 1,  \
        .saves = CBM_SAVES_IN(0), .attributes_size = sizeof(softplus_attributes), .attributes = softplus_fields,       \
        .n_attributes = 1, .infer = softplus_infer, .kernel = softplus_kernel, .vjp = (vjp_),                          \
        .samples = softplus_samples, .n_samples = 1                                                                    \
    }
static const cbm_op softplus = SOFTPLUS(softplus_vjp);
static const cbm_op wrong_softplus = SOFTPLUS(softplus_wrong_vjp);

static cbm_tensor *softplus_of(cbm_tensor *x, double steepness)
{
    return cbm_apply(cbm_tensor_context(x), &softplus, &x, 1, &(softplus_attributes){ steepness }, NULL);
}

static void its_gradient_is_checked(void **state)
{
    (void)state;
    double error;
    assert_int_equal(cbm_gradcheck_op(&softplus, -1, &error), CBM_OK);
    assert_true(error < 1e-5);
    assert_int_equal(cbm_gradcheck_op(&wrong_softplus, -1, &error), CBM_ERROR_INVALID);
    assert_true(error > 1e-2);
}

static void check_on(const char *device)
{
    cbm_context *cx = cbm_open_with(.device = device, .threads = 1);
    float data[] = { -1, 0, 0.5f, 2 };
    cbm_tensor *w = cbm_variable(cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(4), data), true);
    for (int turn = 0; turn < 3; turn++) {
        CBM_SCOPE(step, cx);
        cbm_tensor *loss = cbm_sum(cbm_mul_scalar(softplus_of(cbm_mul_scalar(w, 2), 1.5), 3)), *gradient;
        assert_int_equal(cbm_grad_of(loss, &w, 1, &gradient), CBM_OK);
        float got[4];
        assert_int_equal(cbm_read(gradient, got, sizeof got), CBM_OK);
        double sum = 0;
        for (int i = 0; i < 4; i++) {
            double x = 2 * (double)data[i];
            sum += 3 * log1p(exp(1.5 * x)) / 1.5;
            assert_true(fabs((double)got[i] - 6 / (1 + exp(-1.5 * x))) < 1e-5);
        }
        assert_true(fabs(cbm_item(loss) - sum) < 1e-4);
    }
    cbm_statistics s = cbm_context_statistics(cx);
    assert_true(s.plans_reused >= 2 * s.plans_made); /* the same step thrice */
    assert_int_equal(cbm_context_status(cx), CBM_OK);

    int64_t whole = 3;
    softplus_of(cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(), &whole), 1);
    assert_int_equal(cbm_context_status(cx), CBM_ERROR_DTYPE);
    assert_non_null(strstr(cbm_message(cx), "[softplus] needs f32 or f64, not i64"));
    cbm_close(cx);
}

static void it_runs_and_is_planned(void **state)
{
    (void)state;
    check_on("cpu");
    check_on("reference");
}

/* Kernels without CBM_KERNEL_STRIDED get contiguous buffers. */
static void it_gets_contiguous_buffers(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.threads = 1);
    double data[] = { 1, 2, 3, 4, 5, 6 }, got[6];
    cbm_tensor *x = cbm_transpose(cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(2, 3), data), 0, 1);
    assert_int_equal(cbm_read(softplus_of(x, 1), got, sizeof got), CBM_OK);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 2; j++)
            assert_true(fabs(got[i * 2 + j] - log1p(exp(data[j * 3 + i]))) < 1e-12);
    cbm_close(cx);
}

/* ---- an expression: fused like the built-in ones ---- */
static void smoothstep_vjp(cbm_vjp *v)
{
    cbm_tensor *x = v->in[0];
    cbm_tensor *slope = cbm_mul_scalar(cbm_sub(x, cbm_mul(x, x)), 6);
    v->in_gradient[0] = cbm_mul(v->out_gradient[0], slope);
}

static const cbm_sample smoothstep_samples[] = {
    { .n_in = 1, .in = { { { { 2, 3, 2 } }, CBM_F64, 0, 1, false } } },
};
static const cbm_op smoothstep = {
    .struct_size = sizeof(cbm_op),
    .name = "smoothstep",
    .n_in = 1,
    .n_out = 1,
    .saves = CBM_SAVES_IN(0),
    .expression = "a * a * (3 - 2 * a)",
    .vjp = smoothstep_vjp,
    .samples = smoothstep_samples,
    .n_samples = 1,
};

static void expressions(void **state)
{
    (void)state;
    double error;
    assert_int_equal(cbm_gradcheck_op(&smoothstep, -1, &error), CBM_OK);
    const char *devices[] = { "cpu", "reference" };
    for (int d = 0; d < 2; d++) {
        cbm_context *cx = cbm_open_with(.device = devices[d], .threads = 1);
        float data[] = { 0, 0.25f, 0.5f, 1 }, got[4];
        cbm_tensor *x = cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(4), data);
        cbm_tensor *y = cbm_add_scalar(cbm_apply(cx, &smoothstep, &x, 1, NULL, NULL), 1);
        assert_int_equal(cbm_read(y, got, sizeof got), CBM_OK);
        for (int i = 0; i < 4; i++)
            assert_true(fabsf(got[i] - (1 + data[i] * data[i] * (3 - 2 * data[i]))) < 1e-6f);
        cbm_close(cx);
    }
}

/* ---- a decomposition: no kernel and no vjp of its own ---- */
static bool norm_decompose(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n_in,
                           cbm_tensor **out)
{
    (void)cx;
    (void)attributes;
    (void)n_in;
    out[0] = cbm_sqrt(cbm_sum(cbm_mul(in[0], in[0])));
    return true;
}

static bool norm_infer(cbm_infer *infer)
{
    infer->out_shape[0] = CBM_SHAPE();
    infer->out_dtype[0] = infer->in_dtype[0];
    return true;
}

static const cbm_op norm = {
    .struct_size = sizeof(cbm_op),
    .name = "norm",
    .n_in = 1,
    .n_out = 1,
    .infer = norm_infer,
    .decompose = norm_decompose,
    .samples = smoothstep_samples,
    .n_samples = 1,
};

static void decompositions(void **state)
{
    (void)state;
    double error, data[] = { 3, 4 };
    assert_int_equal(cbm_gradcheck_op(&norm, -1, &error), CBM_OK);
    cbm_context *cx = cbm_open_with(.threads = 1);
    cbm_tensor *x = cbm_variable(cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(2), data), true), *g;
    cbm_tensor *y = cbm_apply(cx, &norm, &x, 1, NULL, NULL);
    assert_int_equal(cbm_grad_of(y, &x, 1, &g), CBM_OK);
    assert_true(fabs(cbm_item(y) - 5) < 1e-12);
    assert_int_equal(cbm_read(g, data, sizeof data), CBM_OK);
    assert_true(fabs(data[0] - 0.6) < 1e-12 && fabs(data[1] - 0.8) < 1e-12);
    cbm_close(cx);
}

/* ---- a vjp for first derivatives only: for more it declines, and the decomposition is differentiated ---- */
static bool cube_decompose(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n_in,
                           cbm_tensor **out)
{
    (void)cx;
    (void)attributes;
    (void)n_in;
    out[0] = cbm_mul(cbm_mul(in[0], in[0]), in[0]);
    return true;
}

static void cube_vjp(cbm_vjp *v)
{
    v->declined = v->create_graph;
    if (!v->declined)
        v->in_gradient[0] = cbm_detach(cbm_mul(v->out_gradient[0], cbm_mul_scalar(cbm_mul(v->in[0], v->in[0]), 3)));
}

static const cbm_op cube = {
    .struct_size = sizeof(cbm_op),
    .name = "cube",
    .n_in = 1,
    .n_out = 1,
    .saves = CBM_SAVES_IN(0),
    .expression = "a * a * a",
    .vjp = cube_vjp,
    .decompose = cube_decompose,
    .samples = smoothstep_samples,
    .n_samples = 1,
};
static const cbm_op plain_cube = {
    .struct_size = sizeof(cbm_op),
    .name = "plain_cube",
    .n_in = 1,
    .n_out = 1,
    .saves = CBM_SAVES_IN(0),
    .expression = "a * a * a",
    .vjp = cube_vjp,
};

static void a_vjp_may_decline(void **state)
{
    (void)state;
    double error, data[] = { 3, 4 };
    assert_int_equal(cbm_gradcheck_op(&cube, -1, &error), CBM_OK);
    cbm_context *cx = cbm_open_with(.threads = 1);
    cbm_tensor *x = cbm_variable(cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(2), data), true), *g;
    assert_int_equal(cbm_grad(cbm_apply(cx, &plain_cube, &x, 1, NULL, NULL), &x, 1, &g), CBM_OK);
    assert_int_equal(cbm_read(g, data, sizeof data), CBM_OK);
    assert_true(data[0] == 27 && data[1] == 48);
    assert_int_equal(cbm_grad(cbm_apply(cx, &plain_cube, &x, 1, NULL, NULL), &x, 1, &g, .create_graph = true),
                     CBM_ERROR_UNSUPPORTED);
    assert_non_null(strstr(cbm_message(cx), "[plain_cube] its gradient cannot be differentiated again"));
    cbm_close(cx);
}

/* ---- a kernel that refuses values: nothing of that evaluation is committed ---- */
static cbm_status checked_kernel(const cbm_launch *launch)
{
    const double *x = launch->in[0].data;
    double *y = launch->out[0].data;
    for (int64_t i = 0; i < launch->in[0].count; i++) {
        if (x[i] < 0) {
            snprintf(launch->message, 256, "element %lld is negative", (long long)i);
            return CBM_ERROR_RANGE;
        }
        y[i] = sqrt(x[i]);
    }
    return CBM_OK;
}

static const cbm_op checked_root = {
    .struct_size = sizeof(cbm_op),
    .name = "checked_root",
    .n_in = 1,
    .n_out = 1,
    .flags = CBM_OP_CHECKS,
    .infer = softplus_infer,
    .kernel = checked_kernel,
};

static void refusals(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.threads = 1);
    double good[] = { 4, 9 }, bad[] = { 4, -9 }, got[2];
    cbm_tensor *v = cbm_variable(cbm_zeros(cx, CBM_F64, CBM_SHAPE(2)), false);
    cbm_tensor *x = cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(2), good);
    cbm_assign(v, cbm_apply(cx, &checked_root, &x, 1, NULL, NULL));
    assert_int_equal(cbm_flush(cx), CBM_OK);
    x = cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(2), bad);
    cbm_assign(v, cbm_apply(cx, &checked_root, &x, 1, NULL, NULL));
    assert_int_equal(cbm_flush(cx), CBM_ERROR_RANGE);
    assert_non_null(strstr(cbm_message(cx), "[checked_root] element 1 is negative"));
    cbm_clear(cx);
    assert_int_equal(cbm_read(v, got, sizeof got), CBM_OK);
    assert_true(got[0] == 2 && got[1] == 3);
    cbm_close(cx);
}

/* ---- a user's operation may be called like a built-in one and is still itself ---- */
static cbm_status seven_kernel(const cbm_launch *launch)
{
    for (int64_t i = 0; i < launch->out[0].count; i++)
        ((double *)launch->out[0].data)[i] = 7;
    return CBM_OK;
}

static const cbm_op own_softmax = {
    .struct_size = sizeof(cbm_op),
    .name = "softmax",
    .n_in = 1,
    .n_out = 1,
    .infer = softplus_infer,
    .kernel = seven_kernel,
};

static void names_may_repeat(void **state)
{
    (void)state;
    const char *devices[] = { "cpu", "reference" };
    for (int d = 0; d < 2; d++) {
        cbm_context *cx = cbm_open_with(.device = devices[d], .threads = 1);
        cbm_tensor *x = cbm_zeros(cx, CBM_F64, CBM_SHAPE());
        assert_true(cbm_item(cbm_apply(cx, &own_softmax, &x, 1, NULL, NULL)) == 7);
        cbm_close(cx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_gradient_is_checked),
        cmocka_unit_test(it_runs_and_is_planned),
        cmocka_unit_test(it_gets_contiguous_buffers),
        cmocka_unit_test(expressions),
        cmocka_unit_test(decompositions),
        cmocka_unit_test(a_vjp_may_decline),
        cmocka_unit_test(refusals),
        cmocka_unit_test(names_may_repeat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
