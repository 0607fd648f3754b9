/* test_session.c: one network for many threads: the same bits as alone, weights and what kernels make of them held once,
   errors that stay with their request, and a worker's own changes that stay with it. */
#include "backend/cpu/onednn.h"
#include "support/folder.h"
#include <cambium/cambium.h>

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 12, INPUT = 3 * SIDE * SIDE, CLASSES = 5, WIDE = 64, THREADS = 4, REQUESTS = 24 };

static cbm_module *make(cbm_context *cx, void *user)
{
    (void)user;
    return cbm_sequential(cx, cbm_nn_conv2d(cx, 3, WIDE, 3, .padding = CBM_SHAPE(1)), cbm_nn_batch_norm2d(cx, WIDE),
                          cbm_nn_relu(cx), cbm_nn_conv2d(cx, WIDE, WIDE, 3), cbm_nn_relu(cx), cbm_nn_max_pool2d(cx, 2),
                          cbm_nn_flatten(cx), cbm_nn_linear(cx, WIDE * 25, CLASSES), CBM_END);
}

static void fill(float *x, int64_t samples, int turn)
{
    for (int64_t i = 0; i < samples * INPUT; i++)
        x[i] = sinf((float)(i * (turn + 1)));
}

static cbm_context *alone;
static cbm_module *network;

/* What the network says in a context of its own, batch by batch of the number that a session would use. */
static void expected(const float *x, int64_t samples, int64_t batch, float *y)
{
    float *whole = calloc((size_t)(batch * INPUT), sizeof *whole);
    memcpy(whole, x, (size_t)(samples * INPUT) * sizeof *whole);
    CBM_NO_GRAD(scope, alone);
    cbm_tensor *out = cbm_call(network, cbm_tensor_from(alone, CBM_F32, CBM_SHAPE(batch, 3, SIDE, SIDE), whole));
    memcpy(y, cbm_tensor_data(out), (size_t)(samples * CLASSES) * sizeof *y);
    assert_int_equal(cbm_context_status(alone), CBM_OK);
    free(whole);
}

static int open_network(void **state)
{
    (void)state;
    alone = cbm_open_with(.threads = 1, .seed = 7);
    network = make(alone, NULL);
    for (int i = 0; i < 3; i++) { /* running statistics of their own */
        CBM_SCOPE(scope, alone);
        cbm_tensor *y = cbm_call(network, cbm_normal(alone, CBM_F32, CBM_SHAPE(8, 3, SIDE, SIDE), 1, 2));
        cbm_compute(&y, 1);
    }
    cbm_eval(network);
    return cbm_context_status(alone) == CBM_OK ? 0 : -1;
}

static int close_network(void **state)
{
    (void)state;
    cbm_close(alone);
    return 0;
}

static cbm_request request(const float *x, int64_t samples, float *y, size_t room)
{
    return (cbm_request){
        .input = x, .input_shape = CBM_SHAPE(samples, 3, SIDE, SIDE), .output = y, .output_size = room * sizeof *y
    };
}

static float answers[REQUESTS][9 * CLASSES];

typedef struct client {
    cbm_session *session;
    int number, wrong;
} client;

static int64_t samples_of(int turn)
{
    static const int64_t samples[] = { 1, 2, 3, 4, 7, 0, 9 };
    return samples[turn % 7];
}

static void *ask(void *user)
{
    client *c = user;
    static _Thread_local float x[9 * INPUT + 1];
    float y[9 * CLASSES];
    for (int turn = 0; turn < REQUESTS; turn++) {
        const int64_t samples = samples_of(turn);
        float *at = x + turn % 2; /* memory that is not aligned, every second time */
        fill(at, samples, turn);
        cbm_request r = request(at, samples, y, 9 * CLASSES);
        c->wrong += cbm_session_run(c->session, &r) != CBM_OK || r.output_shape.v[1] != samples ||
                    r.output_shape.v[2] != CLASSES || r.output_dtype != CBM_F32;
        c->wrong += memcmp(y, answers[turn], (size_t)(samples * CLASSES) * sizeof *y) != 0;
    }
    return NULL;
}

static void find_answers(void)
{
    static float x[9 * INPUT];
    for (int turn = 0; turn < REQUESTS; turn++) {
        const int64_t samples = samples_of(turn);
        fill(x, samples, turn);
        for (int64_t first = 0; first < samples; first += 4) {
            const int64_t part = samples - first < 4 ? samples - first : 4;
            expected(x + first * INPUT, part, part == 1 ? 1 : 4, answers[turn] + first * CLASSES);
        }
    }
}

static void test_many_threads(void **state)
{
    (void)state;
    find_answers();
    for (int64_t workers = 1; workers <= 3; workers += 2) {
        cbm_session *s = cbm_session_open(make, NULL, .network = network, .workers = workers, .fold = 0,
                                          .input = CBM_SHAPE(3, SIDE, SIDE), .batches = CBM_SHAPE(1, 4));
        assert_string_equal(cbm_session_message(s), "");
        client clients[THREADS];
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++) {
            clients[i] = (client){ s, i, 0 };
            assert_int_equal(pthread_create(&threads[i], NULL, ask, &clients[i]), 0);
        }
        for (int i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
            assert_int_equal(clients[i].wrong, 0);
        }
        const cbm_session_numbers numbers = cbm_session_statistics(s);
        assert_int_equal(numbers.requests, THREADS * REQUESTS);
        assert_int_equal(numbers.failures, 0);
        assert_int_equal(numbers.workers, workers);
        cbm_session_close(s);
    }
}

static uint64_t bytes_with(int64_t workers)
{
    cbm_session *s = cbm_session_open(make, NULL, .network = network, .workers = workers,
                                      .input = CBM_SHAPE(3, SIDE, SIDE), .batches = CBM_SHAPE(1));
    assert_string_equal(cbm_session_message(s), "");
    const uint64_t bytes = cbm_session_statistics(s).bytes;
    cbm_session_close(s);
    return bytes;
}

static void test_weights_are_held_once(void **state)
{
    (void)state;
    const uint64_t one = bytes_with(1), three = bytes_with(3);
    const uint64_t convolution = WIDE * WIDE * 9 * sizeof(float); /* 144 KiB plain, and more as a kernel's own */
    assert_true(one > convolution);
    assert_true(!cbm_dnn_present() || (three - one) / 2 < one / 2);
    assert_true((three - one) / 2 < 2 * convolution); /* activations and plans, but no packed weights */
}

static void test_folded(void **state)
{
    (void)state;
    static float x[2 * INPUT];
    float want[2 * CLASSES], got[2 * CLASSES];
    fill(x, 2, 3);
    expected(x, 2, 2, want);
    cbm_session *s = cbm_session_open(make, NULL, .network = network, .workers = 2, .input = CBM_SHAPE(3, SIDE, SIDE),
                                      .batches = CBM_SHAPE(2));
    assert_string_equal(cbm_session_message(s), "");
    cbm_request r = request(x, 2, got, 2 * CLASSES);
    assert_int_equal(cbm_session_run(s, &r), CBM_OK);
    for (int i = 0; i < 2 * CLASSES; i++)
        assert_true(fabsf(got[i] - want[i]) < 1e-4f * fmaxf(1, fabsf(want[i])));
    cbm_session_close(s);
}

static void test_from_a_file(void **state)
{
    char path[512];
    static float x[INPUT];
    float want[CLASSES], got[CLASSES];
    snprintf(path, sizeof path, "%s/model.safetensors", (const char *)*state);
    assert_int_equal(cbm_save(network, path), CBM_OK);
    fill(x, 1, 0);
    expected(x, 1, 1, want);
    cbm_session *s = cbm_session_open(make, NULL, .weights = path, .workers = 2);
    assert_string_equal(cbm_session_message(s), "");
    for (int turn = 0; turn < 3; turn++) {
        cbm_request r = request(x, 1, got, CLASSES);
        assert_int_equal(cbm_session_run(s, &r), CBM_OK);
        assert_memory_equal(got, want, sizeof got);
    }
    cbm_session_close(s);
}

static void test_errors_stay_with_their_request(void **state)
{
    (void)state;
    static float x[INPUT];
    float want[CLASSES], got[CLASSES] = { 1, 1, 1, 1, 1 };
    fill(x, 1, 0);
    expected(x, 1, 1, want);
    cbm_session *s = cbm_session_open(make, NULL, .network = network, .workers = 1, .fold = 0,
                                      .input = CBM_SHAPE(3, SIDE, SIDE), .batches = CBM_SHAPE(1));
    cbm_request small = request(x, 1, got, CLASSES - 1);
    assert_int_equal(cbm_session_run(s, &small), CBM_ERROR_INVALID);
    assert_string_equal(small.message, "[session] the output needs 20 bytes, there is room for 16");
    assert_true(got[0] == 0);
    cbm_request other = request(x, 1, got, CLASSES);
    other.input_shape = CBM_SHAPE(1, 3, SIDE, SIDE - 1);
    assert_int_equal(cbm_session_run(s, &other), CBM_ERROR_SHAPE);
    assert_string_equal(other.message, "[session] the request's shape is not (samples, ...) of the session's inputs");
    cbm_request none = request(NULL, 1, got, CLASSES);
    assert_int_equal(cbm_session_run(s, &none), CBM_ERROR_INVALID);
    assert_string_equal(none.message, "[session] the request has no input");
    cbm_request fine = request(x, 1, got, CLASSES);
    assert_int_equal(cbm_session_run(s, &fine), CBM_OK);
    assert_memory_equal(got, want, sizeof got);
    const cbm_session_numbers numbers = cbm_session_statistics(s);
    assert_int_equal(numbers.requests, 2); /* those that reached a worker */
    assert_int_equal(numbers.failures, 1);
    cbm_session_close(s);

    s = cbm_session_open(make, NULL, .network = network, .workers = 1); /* shapes as they come */
    other.input_shape = CBM_SHAPE(1, 2, SIDE, SIDE);
    assert_int_equal(cbm_session_run(s, &other), CBM_ERROR_SHAPE);
    assert_non_null(strstr(other.message, "conv2d"));
    assert_int_equal(cbm_session_run(s, &fine), CBM_OK);
    assert_memory_equal(got, want, sizeof got);
    cbm_session_close(s);
}

static void test_a_worker_of_ones_own(void **state)
{
    (void)state;
    static float x[INPUT];
    float want[CLASSES], got[CLASSES];
    const float zeros[CLASSES] = { 0 };
    fill(x, 1, 0);
    expected(x, 1, 1, want);
    cbm_session *s = cbm_session_open(make, NULL, .network = network, .workers = 2, .fold = 0,
                                      .input = CBM_SHAPE(3, SIDE, SIDE), .batches = CBM_SHAPE(1));
    cbm_module *mine = cbm_session_take(s);
    assert_int_equal(cbm_write(cbm_parameter(mine, "7.bias"), zeros, sizeof zeros), CBM_OK);
    cbm_tensor *weight = cbm_parameter(mine, "3.weight");
    cbm_assign(weight, cbm_mul_scalar(weight, 2));
    assert_int_equal(cbm_flush(mine->cx), CBM_OK);
    cbm_request r = request(x, 1, got, CLASSES); /* by the other worker */
    assert_int_equal(cbm_session_run(s, &r), CBM_OK);
    assert_memory_equal(got, want, sizeof got);
    float again[CLASSES];
    expected(x, 1, 1, again);
    assert_memory_equal(again, want, sizeof want);
    cbm_fail(mine->cx, CBM_ERROR_CALLBACK, "[mine] went wrong");
    cbm_session_give(s, mine);
    assert_int_equal(cbm_context_status(mine->cx), CBM_OK);
    cbm_session_close(s);
}

static cbm_module *make_other(cbm_context *cx, void *user)
{
    (void)user;
    return cbm_nn_linear(cx, 4, 2);
}

static cbm_module *make_none(cbm_context *cx, void *user)
{
    (void)cx;
    (void)user;
    return NULL;
}

static void expect_refusal(cbm_session *s, cbm_status status, const char *message)
{
    cbm_request r = { 0 };
    assert_int_equal(cbm_session_status(s), status);
    assert_non_null(strstr(cbm_session_message(s), message));
    assert_int_equal(cbm_session_run(s, &r), status);
    assert_null(cbm_session_take(s));
    assert_int_equal(cbm_session_statistics(s).workers, 0);
    cbm_session_close(s);
}

static void test_what_cannot_be_opened(void **state)
{
    (void)state;
    expect_refusal(cbm_session_open(NULL, NULL), CBM_ERROR_INVALID, "is NULL");
    expect_refusal(cbm_session_open(make_none, NULL), CBM_ERROR_CALLBACK, "was not made in the context");
    expect_refusal(cbm_session_open(make_other, NULL, .network = network), CBM_ERROR_INVALID, "parameters and buffers");
    expect_refusal(cbm_session_open(make, NULL, .weights = "/nowhere"), CBM_ERROR_IO, "/nowhere");
    expect_refusal(cbm_session_open(make, NULL, .network = network, .weights = "x"), CBM_ERROR_INVALID,
                   "not from both");
    expect_refusal(cbm_session_open(make, NULL, .workers = -1), CBM_ERROR_INVALID, "number of workers");
    expect_refusal(cbm_session_open(make, NULL, .batches = CBM_SHAPE(4, 2)), CBM_ERROR_INVALID, "increasing");
    expect_refusal(cbm_session_open(make, NULL, .device = "abacus"), CBM_ERROR_UNSUPPORTED, "abacus");
    expect_refusal(cbm_session_open(make, NULL, .input = CBM_SHAPE(3, 2, 2), .batches = CBM_SHAPE(1), .workers = 1),
                   CBM_ERROR_SHAPE, "");
    expect_refusal(cbm_session_open(make, NULL, .workers = 1, .memory_limit = 100000), CBM_ERROR_MEMORY, "");
    const cbm_session_options old = { .struct_size = 8 };
    expect_refusal(cbm_session_open_with(make, NULL, &old), CBM_ERROR_INVALID, "not this library's");
    cbm_session_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_weights_are_held_once),
        cmocka_unit_test(test_folded),
        cmocka_unit_test_setup_teardown(test_from_a_file, folder_make, folder_remove),
        cmocka_unit_test(test_errors_stay_with_their_request),
        cmocka_unit_test(test_a_worker_of_ones_own),
        cmocka_unit_test(test_what_cannot_be_opened),
    };
    return cmocka_run_group_tests(tests, open_network, close_network);
}
