/* test_dlpack.c: elements lent and borrowed by DLPack: no copies, lifetimes in every order, strides, and what is refused. */
#include <cambium/autograd.h>
#include <cambium/dlpack.h>
#include <cambium/ops.h>
#include <cambium/optim.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* A lender of the test's: one tensor, and how often it has been given back. */
typedef struct lender {
    DLManagedTensor plain;
    DLManagedTensorVersioned versioned;
    int64_t shape[9], strides[9];
    int given_back;
} lender;

static void plain_back(DLManagedTensor *self)
{
    ((lender *)self->manager_ctx)->given_back++;
}

static void versioned_back(DLManagedTensorVersioned *self)
{
    ((lender *)self->manager_ctx)->given_back++;
}

static const DLDataType float32 = { kDLFloat, 32, 1 };

/* Both forms over data; strides NULL: none are given. */
static void lend(lender *l, DLDataType dtype, void *data, int32_t rank, const int64_t *shape, const int64_t *strides)
{
    *l = (lender){ .given_back = 0 };
    for (int32_t i = 0; i < rank && i < 9; i++) {
        l->shape[i] = shape[i];
        l->strides[i] = strides ? strides[i] : 0;
    }
    const DLTensor d = { data, { kDLCPU, 0 }, rank, dtype, l->shape, strides ? l->strides : NULL, 0 };
    l->plain = (DLManagedTensor){ d, l, plain_back };
    l->versioned = (DLManagedTensorVersioned){ { 1, 1 }, l, versioned_back, 0, d };
}

static void test_there_and_back(void **state)
{
    (void)state;
    static const DLDataType types[CBM_DTYPE_COUNT] = {
        { kDLFloat, 32, 1 }, { kDLFloat, 64, 1 }, { kDLInt, 64, 1 },    { kDLInt, 32, 1 },
        { kDLUInt, 8, 1 },   { kDLBool, 8, 1 },   { kDLBfloat, 16, 1 },
    };
    static const char ones[48] = { 1, 1, 1, 1, 1, 1 };
    cbm_context *cx = cbm_open(NULL), *other = cbm_open_with(.device = "reference");
    for (int d = 0; d < CBM_DTYPE_COUNT; d++) {
        cbm_tensor *t = cbm_tensor_from(cx, (cbm_dtype)d, CBM_SHAPE(2, 3), ones);
        DLManagedTensor *m = cbm_to_dlpack(t);
        assert_memory_equal(&m->dl_tensor.dtype, &types[d], sizeof types[d]);
        assert_int_equal(m->dl_tensor.device.device_type, kDLCPU);
        assert_int_equal(m->dl_tensor.ndim, 2);
        assert_int_equal(m->dl_tensor.shape[0], 2);
        assert_int_equal(m->dl_tensor.shape[1], 3);
        assert_int_equal(m->dl_tensor.strides[0], 3);
        assert_int_equal(m->dl_tensor.strides[1], 1);
        assert_int_equal(m->dl_tensor.byte_offset, 0);
        assert_ptr_equal(m->dl_tensor.data, cbm_tensor_data(t));
        cbm_tensor *back = cbm_from_dlpack(other, m);
        assert_ptr_equal(cbm_tensor_data(back), cbm_tensor_data(t));
        assert_int_equal(cbm_tensor_dtype(back), d);

        DLManagedTensorVersioned *v = cbm_to_dlpack_versioned(t);
        assert_int_equal(v->version.major, 1);
        assert_int_equal(v->flags, DLPACK_FLAG_BITMASK_READ_ONLY);
        assert_ptr_equal(v->dl_tensor.data, cbm_tensor_data(t));
        back = cbm_from_dlpack_versioned(other, v);
        assert_ptr_equal(cbm_tensor_data(back), cbm_tensor_data(t));
        assert_true(cbm_item(cbm_sum(cbm_cast(back, CBM_F64))) == cbm_item(cbm_sum(cbm_cast(t, CBM_F64))));
    }
    assert_string_equal(cbm_message(cx), "");
    assert_string_equal(cbm_message(other), "");
    cbm_close(cx); /* before what borrows from it */
    cbm_close(other);
}

static void test_scalars_and_nothing(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    DLManagedTensor *m = cbm_to_dlpack(cbm_scalar(cx, CBM_F64, 2.5));
    assert_int_equal(m->dl_tensor.ndim, 0);
    assert_true(*(double *)m->dl_tensor.data == 2.5);
    assert_true(cbm_item(cbm_from_dlpack(cx, m)) == 2.5);
    m = cbm_to_dlpack(cbm_zeros(cx, CBM_F32, CBM_SHAPE(3, 0, 2)));
    assert_null(m->dl_tensor.data);
    assert_int_equal(m->dl_tensor.strides[0], 2);
    cbm_tensor *t = cbm_from_dlpack(cx, m);
    assert_int_equal(cbm_tensor_size(t, 0), 3);
    assert_int_equal(cbm_tensor_count(t), 0);
    assert_true(cbm_item(cbm_sum(t)) == 0);
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
}

static void test_lent_memory_outlives_everything(void **state)
{
    (void)state;
    static const float data[4] = { 1, 2, 3, 4 };
    cbm_context *cx = cbm_open(NULL);
    cbm_scope *scope = cbm_scope_begin(cx);
    DLManagedTensor *m =
        cbm_to_dlpack(cbm_mul_scalar(cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(4), data), 2)); /* computed here */
    cbm_scope_end(scope);
    cbm_flush(cx);
    cbm_close(cx);
    assert_true(((float *)m->dl_tensor.data)[3] == 8);
    m->deleter(m);
}

/* A variable that is lent keeps its value there: the step writes elsewhere. */
static void test_variables_copy_when_written(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_tensor *v = cbm_variable(cbm_ones(cx, CBM_F32, CBM_SHAPE(5)), false);
    DLManagedTensor *m = cbm_to_dlpack(v);
    const float *lent = m->dl_tensor.data;
    for (int i = 0; i < 3; i++) {
        CBM_SCOPE(step, cx);
        cbm_assign(v, cbm_add_scalar(v, 1));
    }
    assert_true(cbm_item(cbm_sum(v)) == 20);
    assert_true(lent[0] == 1 && lent[4] == 1);
    m->deleter(m);
    cbm_close(cx);
}

static void test_given_back_once(void **state)
{
    (void)state;
    float data[6] = { 1, 2, 3, 4, 5, 6 };
    lender l;
    cbm_context *cx = cbm_open(NULL);
    lend(&l, float32, data, 2, (int64_t[]){ 2, 3 }, NULL);
    cbm_scope *scope = cbm_scope_begin(cx);
    cbm_tensor *t = cbm_from_dlpack(cx, &l.plain);
    assert_ptr_equal(cbm_tensor_data(t), data);
    cbm_tensor *sum = cbm_retain(cbm_sum(t)); /* not computed yet: it still needs the elements */
    assert_int_equal(l.given_back, 0);
    cbm_scope_end(scope);
    assert_int_equal(l.given_back, 1);
    assert_true(cbm_item(sum) == 21);
    cbm_release(sum);

    lend(&l, float32, data, 1, (int64_t[]){ 6 }, (int64_t[]){ 1 });
    cbm_tensor *variable = cbm_variable(cbm_from_dlpack_versioned(cx, &l.versioned), true);
    assert_true(cbm_item(cbm_sum(variable)) == 21);
    cbm_assign(variable, cbm_mul_scalar(variable, 2));
    cbm_flush(cx);
    assert_true(data[5] == 6); /* never written to */
    assert_int_equal(l.given_back, 0);
    cbm_close(cx);
    assert_int_equal(l.given_back, 1);

    cx = cbm_open(NULL);
    lend(&l, float32, data, 1, (int64_t[]){ 6 }, NULL);
    l.plain.deleter = NULL; /* allowed: nobody wants to know */
    assert_true(cbm_item(cbm_sum(cbm_from_dlpack(cx, &l.plain))) == 21);
    cbm_close(cx);
}

static void *delete_there(void *m)
{
    ((DLManagedTensor *)m)->deleter(m);
    return NULL;
}

static void test_another_thread_gives_back(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        CBM_SCOPE(step, cx);
        DLManagedTensor *m = cbm_to_dlpack(cbm_full(cx, CBM_F32, CBM_SHAPE(1000), i));
        pthread_create(&thread, NULL, delete_there, m);
        assert_true(cbm_item(cbm_mean(cbm_full(cx, CBM_F32, CBM_SHAPE(1000), i))) == i);
        pthread_join(thread, NULL);
    }
    cbm_close(cx);
}

/* ---- strides ---- */

static const int64_t six_by_four[] = { 6, 4 };

static void expect_copy(cbm_context *cx, lender *l, const float *expected)
{
    cbm_tensor *t = cbm_from_dlpack(cx, &l->plain);
    float out[24];
    assert_int_equal(l->given_back, 1);
    assert_int_equal(cbm_read(t, out, sizeof out), CBM_OK);
    assert_memory_equal(out, expected, sizeof out);
}

static void test_strides(void **state)
{
    (void)state;
    float data[48], expected[24];
    lender l;
    cbm_context *cx = cbm_open(NULL);
    for (int i = 0; i < 48; i++)
        data[i] = (float)i;
    /* Transposed. */
    for (int i = 0; i < 24; i++)
        expected[i] = (float)(i % 4 * 6 + i / 4);
    lend(&l, float32, data, 2, six_by_four, (int64_t[]){ 1, 6 });
    expect_copy(cx, &l, expected);
    /* Every second column, from behind. */
    for (int i = 0; i < 24; i++)
        expected[i] = (float)(47 - i / 4 * 8 - i % 4 * 2);
    lend(&l, float32, data + 47, 2, six_by_four, (int64_t[]){ -8, -2 });
    expect_copy(cx, &l, expected);
    /* One row again and again. */
    for (int i = 0; i < 24; i++)
        expected[i] = (float)(i % 4);
    lend(&l, float32, data, 2, six_by_four, (int64_t[]){ 0, 1 });
    expect_copy(cx, &l, expected);
    /* Not aligned: the same numbers one byte further. */
    char moved[sizeof expected + 1];
    memcpy(moved + 1, expected, sizeof expected);
    lend(&l, float32, moved, 2, six_by_four, NULL);
    l.plain.dl_tensor.byte_offset = 1;
    expect_copy(cx, &l, expected);
    /* Strides of axes with one element do not matter; an offset does. */
    lend(&l, float32, data, 3, (int64_t[]){ 2, 1, 3 }, (int64_t[]){ 3, 77, 1 });
    l.plain.dl_tensor.byte_offset = 4 * sizeof(float);
    cbm_tensor *t = cbm_from_dlpack(cx, &l.plain);
    assert_ptr_equal(cbm_tensor_data(t), data + 4);
    assert_true(cbm_item(cbm_sum(t)) == 4 + 5 + 6 + 7 + 8 + 9);
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
    assert_int_equal(l.given_back, 1);
}

/* ---- what is refused ---- */

typedef struct wrong {
    DLDeviceType device;
    DLDataType dtype;
    int32_t rank;
    int64_t extent;
    bool no_data, no_shape;
    cbm_status status;
    const char *message[2];
} wrong;

static const wrong refused[] = {
    { kDLCUDA, { kDLFloat, 32, 1 }, 1, 3, 0, 0, CBM_ERROR_UNSUPPORTED, { "device of DLPack's type 2", "HINT: copy" } },
    { kDLCPU, { kDLFloat, 16, 1 }, 1, 3, 0, 0, CBM_ERROR_DTYPE, { "code 2 with 16 bits and 1 lanes", "HINT" } },
    { kDLCPU, { kDLFloat, 32, 4 }, 1, 3, 0, 0, CBM_ERROR_DTYPE, { "4 lanes", "HINT" } },
    { kDLCPU, { kDLComplex, 64, 1 }, 1, 3, 0, 0, CBM_ERROR_DTYPE, { "code 5", "HINT" } },
    { kDLCPU, { kDLFloat, 32, 1 }, 9, 1, 0, 0, CBM_ERROR_SHAPE, { "9 dimensions", "at most 8" } },
    { kDLCPU, { kDLFloat, 32, 1 }, -1, 1, 0, 0, CBM_ERROR_SHAPE, { "-1 dimensions", "at most 8" } },
    { kDLCPU, { kDLFloat, 32, 1 }, 1, 1, 0, 1, CBM_ERROR_SHAPE, { "1 dimensions", "with their extents" } },
    { kDLCPU, { kDLFloat, 32, 1 }, 1, -3, 0, 0, CBM_ERROR_SHAPE, { "not a shape", "(-3" } },
    { kDLCPU, { kDLFloat, 32, 1 }, 2, INT64_MAX / 2, 0, 0, CBM_ERROR_SHAPE, { "not a shape", "" } },
    { kDLCPU, { kDLFloat, 32, 1 }, 1, 3, 1, 0, CBM_ERROR_INVALID, { "data is NULL", "" } },
};

static void expect(cbm_context *cx, const cbm_tensor *t, cbm_status status, const char *const *message)
{
    assert_true(cbm_tensor_failed(t));
    assert_int_equal(cbm_context_status(cx), status);
    for (int i = 0; i < 2; i++)
        if (!strstr(cbm_message(cx), message[i]))
            fail_msg("\"%s\" lacks \"%s\"", cbm_message(cx), message[i]);
    cbm_clear(cx);
}

static void test_refused(void **state)
{
    (void)state;
    float data[3] = { 0 };
    lender l;
    cbm_context *cx = cbm_open(NULL);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        const wrong *w = &refused[i];
        int64_t shape[9];
        for (int k = 0; k < 9; k++)
            shape[k] = w->extent;
        lend(&l, w->dtype, w->no_data ? NULL : data, w->rank, shape, NULL);
        l.plain.dl_tensor.device.device_type = l.versioned.dl_tensor.device.device_type = w->device;
        if (w->no_shape)
            l.plain.dl_tensor.shape = l.versioned.dl_tensor.shape = NULL;
        expect(cx, cbm_from_dlpack(cx, &l.plain), w->status, w->message);
        assert_int_equal(l.given_back, 1);
        expect(cx, cbm_from_dlpack_versioned(cx, &l.versioned), w->status, w->message);
        assert_int_equal(l.given_back, 2);
    }
    const char *const version[] = { "version 2.0 of DLPack", "1.x" }, *const null[] = { "[from_dlpack]", "NULL" };
    lend(&l, float32, data, 1, (int64_t[]){ 3 }, NULL);
    l.versioned.version = (DLPackVersion){ 2, 0 };
    expect(cx, cbm_from_dlpack_versioned(cx, &l.versioned), CBM_ERROR_FORMAT, version);
    assert_int_equal(l.given_back, 1);
    expect(cx, cbm_from_dlpack(cx, NULL), CBM_ERROR_INVALID, null);
    expect(cx, cbm_from_dlpack_versioned(cx, NULL), CBM_ERROR_INVALID, null);
    /* A context in error takes over and gives back, and says nothing new. */
    cbm_tensor *failed = cbm_add(cbm_ones(cx, CBM_F32, CBM_SHAPE(2)), NULL);
    assert_true(cbm_tensor_failed(cbm_from_dlpack(cx, &l.plain)));
    assert_int_equal(l.given_back, 2);
    assert_null(cbm_to_dlpack(failed));
    assert_null(cbm_to_dlpack_versioned(failed));
    assert_non_null(strstr(cbm_message(cx), "[add]"));
    assert_null(cbm_to_dlpack(NULL));
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_scalars_and_nothing),
        cmocka_unit_test(test_lent_memory_outlives_everything),
        cmocka_unit_test(test_variables_copy_when_written),
        cmocka_unit_test(test_given_back_once),
        cmocka_unit_test(test_another_thread_gives_back),
        cmocka_unit_test(test_strides),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
