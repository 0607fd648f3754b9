/* test_tensors.c: making tensors, looking at them, reading them back in every dtype, printing, handles and scopes. */
#include "tensor/context.h"

#include <cambium/autograd.h>
#include <cambium/ops.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_every_dtype(void **state)
{
    (void)state;
    static const float f32[3] = { -1.5f, 0, 3e38f };
    static const double f64[3] = { -1e300, 0.1, 1 };
    static const int64_t i64[3] = { INT64_MIN, 0, INT64_MAX };
    static const int32_t i32[3] = { INT32_MIN, 7, INT32_MAX };
    static const uint8_t u8[3] = { 0, 128, 255 }, boolean[3] = { 1, 0, 1 };
    static const uint16_t bf16[3] = { 0x3f80, 0x0000, 0xc049 }; /* 1, 0, -3.140625 */
    const void *const data[CBM_DTYPE_COUNT] = { f32, f64, i64, i32, u8, boolean, bf16 };
    cbm_context *cx = cbm_open(NULL);
    for (int d = 0; d < CBM_DTYPE_COUNT; d++) {
        char out[24];
        size_t bytes = 3 * cbm_dtype_size((cbm_dtype)d);
        cbm_tensor *t = cbm_tensor_from(cx, (cbm_dtype)d, CBM_SHAPE(3, 1), data[d]);
        assert_int_equal(cbm_read(t, out, bytes), CBM_OK);
        assert_memory_equal(out, data[d], bytes);
        /* Through a view and a copy. */
        assert_int_equal(cbm_read(cbm_transpose(t, 0, 1), out, bytes), CBM_OK);
        assert_memory_equal(out, data[d], bytes);
        cbm_tensor *v = cbm_variable(t, false);
        cbm_assign(v, cbm_reshape(t, CBM_SHAPE(3, 1)));
        assert_int_equal(cbm_read(v, out, bytes), CBM_OK);
        assert_memory_equal(out, data[d], bytes);
        assert_int_equal(cbm_tensor_dtype(v), d);
        assert_true(cbm_item(cbm_slice(t, 0, 2, 3, 1)) == (d == 0   ? (double)f32[2]
                                                           : d == 1 ? f64[2]
                                                           : d == 2 ? (double)i64[2]
                                                           : d == 3 ? i32[2]
                                                           : d == 4 ? u8[2]
                                                           : d == 5 ? 1
                                                                    : -3.140625));
    }
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
}

static void test_looking(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.device = "reference", .threads = 1);
    cbm_tensor *t = cbm_zeros(cx, CBM_F64, CBM_SHAPE(2, 3, 4));
    assert_int_equal(cbm_tensor_rank(t), 3);
    assert_int_equal(cbm_tensor_size(t, 0), 2);
    assert_int_equal(cbm_tensor_size(t, -1), 4);
    assert_int_equal(cbm_tensor_size(t, 3), 0);
    assert_int_equal(cbm_tensor_size(t, -4), 0);
    assert_int_equal(cbm_tensor_count(t), 24);
    assert_ptr_equal(cbm_tensor_context(t), cx);
    assert_false(cbm_is_variable(t));
    assert_false(cbm_tensor_requires_grad(t));
    assert_string_equal(cbm_context_device(cx), "reference");
    assert_int_equal(cbm_context_threads(cx), 1);
    assert_int_equal(cbm_context_statistics(cx).evaluations, 0); /* looking computes nothing */
    cbm_tensor *s = cbm_scalar(cx, CBM_F32, 2.5);
    assert_int_equal(cbm_tensor_rank(s), 0);
    assert_true(cbm_item(s) == 2.5);
    double whole[24];
    assert_int_equal(cbm_read(t, whole, sizeof whole - 8), CBM_ERROR_INVALID);
    assert_true(whole[0] == 0 && whole[22] == 0);
    assert_non_null(strstr(cbm_message(cx), "192"));
    cbm_clear(cx);
    cbm_close(cx);
    cx = cbm_open_with(.device = "abacus");
    assert_int_equal(cbm_context_status(cx), CBM_ERROR_UNSUPPORTED);
    assert_non_null(strstr(cbm_message(cx), "\"abacus\""));
    cbm_close(cx);
}

/* Pointers to results: they stay while others are computed, beyond a scope when retained, and borrowed memory is itself. */
static void test_pointers(void **state)
{
    (void)state;
    static float data[3] = { 1, 2, 3 };
    cbm_context *cx = cbm_open(NULL);
    cbm_tensor *kept = NULL;
    const float *doubled, *squares;
    {
        CBM_SCOPE(scope, cx);
        cbm_tensor *x = cbm_tensor_borrow(cx, CBM_F32, CBM_SHAPE(3), data, NULL, NULL);
        assert_ptr_equal(cbm_tensor_data(x), data);
        cbm_tensor *y = cbm_mul_scalar(x, 2);
        doubled = cbm_tensor_data(y);
        assert_ptr_equal(cbm_tensor_data(y), doubled);
        /* A view gets memory of its own. */
        cbm_set(&kept, cbm_transpose(cbm_reshape(cbm_mul(y, y), CBM_SHAPE(1, 3)), 0, 1));
        squares = cbm_tensor_data(kept);
        assert_int_equal(cbm_tensor_bytes(kept), 12);
        assert_true(doubled[0] == 2 && doubled[2] == 6);
        assert_ptr_not_equal(squares, doubled);
    }
    cbm_flush(cx);
    assert_ptr_equal(cbm_tensor_data(kept), squares);
    assert_true(squares[0] == 4 && squares[2] == 36);
    cbm_set(&kept, NULL);
    assert_non_null(cbm_tensor_data(cbm_zeros(cx, CBM_F32, CBM_SHAPE(0, 2))));
    assert_string_equal(cbm_message(cx), "");
    cbm_tensor *failed = cbm_add(NULL, NULL);
    assert_null(cbm_tensor_data(failed));
    assert_int_equal(cbm_tensor_bytes(failed), 0);
    cbm_close(cx);
}

/* An older program's options are shorter. */
static void test_older_options(void **state)
{
    (void)state;
    cbm_context_options o;
    memset(&o, 0xFF, sizeof o);
    o.struct_size = offsetof(cbm_context_options, seed);
    o.device = "reference";
    o.threads = 2;
    cbm_context *cx = cbm_open(&o);
    assert_int_equal(cbm_context_status(cx), CBM_OK);
    assert_int_equal(cbm_context_threads(cx), 2);
    uint64_t seed, position;
    cbm_random_state(cx, &seed, &position);
    assert_int_equal(seed, 0);
    assert_false(cx->naive || cx->check_handles || cx->deterministic);
    cbm_close(cx);
}

static void test_handles(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_tensor *place = NULL;
    uint64_t before = 0;
    for (int i = 0; i < 1000; i++) {
        CBM_SCOPE(s, cx);
        cbm_tensor *t = cbm_ones(cx, CBM_F32, CBM_SHAPE(50));
        cbm_set(&place, t);
        cbm_set(&place, place);
        cbm_retain(t);
        cbm_release(t);
        if (i == 10)
            before = cbm_context_statistics(cx).bytes_now;
        if (i > 10)
            assert_int_equal(cbm_context_statistics(cx).bytes_now, before);
    }
    assert_true(cbm_item(cbm_sum(place)) == 50);
    cbm_set(&place, NULL);
    assert_null(place);
    /* Released before its scope ends. */
    cbm_scope *s = cbm_scope_begin(cx);
    cbm_tensor *t = cbm_ones(cx, CBM_F32, CBM_SHAPE(50)), *u = cbm_neg(t);
    cbm_release(t);
    assert_true(cbm_item(cbm_sum(u)) == -50);
    cbm_scope_end(s);
    /* A scope that has ended. */
    cbm_scope *outer = cbm_scope_begin(cx);
    t = cbm_ones(cx, CBM_F32, CBM_SHAPE(2));
    for (int i = 0; i < 3; i++)
        cbm_scope_begin(cx);
    cbm_scope_end(outer);
    assert_ptr_equal(cx->scope, &cx->root);
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
}

static int leave_by(cbm_context *cx, int way)
{
    for (int i = 0; i < 3; i++) {
        CBM_SCOPE(s, cx);
        cbm_ones(cx, CBM_F32, CBM_SHAPE(2));
        if (way == 0)
            continue;
        if (way == 1)
            break;
        if (way == 2)
            return 2;
    }
    return way;
}

static cbm_tensor *returned(cbm_tensor *x)
{
    cbm_scope *s = cbm_scope_begin(cbm_tensor_context(x));
    cbm_tensor *t = cbm_add(x, cbm_mul(x, x));
    return cbm_scope_end_with(s, t);
}

static void test_scopes(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    for (int way = 0; way < 4; way++) {
        leave_by(cx, way);
        assert_ptr_equal(cx->scope, &cx->root);
    }
    cbm_scope *s = cbm_scope_begin(cx);
    assert_true(cbm_item(cbm_sum(returned(cbm_ones(cx, CBM_F32, CBM_SHAPE(4))))) == 8);
    cbm_scope_end(s);
    {
        CBM_NO_GRAD(outer, cx);
        CBM_SCOPE(inner, cx); /* inherits it */
        cbm_tensor *v = cbm_variable(cbm_ones(cx, CBM_F32, CBM_SHAPE(2)), true);
        assert_false(cbm_tensor_requires_grad(cbm_neg(v)));
        assert_true(cbm_tensor_requires_grad(v));
    }
    assert_ptr_equal(cx->scope, &cx->root);
    cbm_close(cx);
}

/* After an error, scopes still end and memory still comes back. */
static void test_errors_leave_no_trace(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.threads = 1);
    cbm_tensor *v = cbm_variable(cbm_ones(cx, CBM_F32, CBM_SHAPE(50)), true);
    uint64_t before = 0;
    for (int i = 0; i < 200; i++) {
        cbm_scope *s = cbm_scope_begin(cx);
        cbm_tensor *t = cbm_add(v, v);
        cbm_backward(cbm_sum(t));
        cbm_assign(v, t);
        cbm_matmul(t, cbm_ones(cx, CBM_F32, CBM_SHAPE(3, 3)));
        cbm_scope_end(s);
        assert_int_equal(cbm_context_status(cx), CBM_ERROR_SHAPE);
        cbm_clear(cx);
        cbm_flush(cx);
        assert_int_equal(cbm_context_statistics(cx).nodes_pending, 0);
        if (i == 10)
            before = cbm_context_statistics(cx).bytes_now;
    }
    assert_int_equal(cbm_context_statistics(cx).bytes_now, before);
    assert_null(cbm_gradient(v));
    assert_true(cbm_item(cbm_sum(v)) == 50);
    cbm_close(cx);
}

static void destroyed(void *object)
{
    *(int *)object += 1;
}

static void test_owned_objects(void **state)
{
    (void)state;
    int a = 0, b = 0;
    cbm_context *cx = cbm_open(NULL);
    assert_true(cbm_context_own(cx, &a, destroyed));
    assert_true(cbm_context_own(cx, &b, destroyed));
    cbm_context_disown(cx, &a);
    cbm_close(cx);
    assert_int_equal(a, 0);
    assert_int_equal(b, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_dtype),
        cmocka_unit_test(test_looking),
        cmocka_unit_test(test_pointers),
        cmocka_unit_test(test_older_options),
        cmocka_unit_test(test_handles),
        cmocka_unit_test(test_scopes),
        cmocka_unit_test(test_errors_leave_no_trace),
        cmocka_unit_test(test_owned_objects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
