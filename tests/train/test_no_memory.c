/* test_no_memory.c: every allocation of opening, training and saving a network fails once: one message, no crash, nothing
   changed by the step that failed, and the same run goes on after cbm_clear. */
#include "tensor/context.h"
#include <cambium/cambium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <setjmp.h>
#include <cmocka.h>

#define LIMIT 20000 /* more allocations than any of these take */

static cbm_module *network(cbm_context *cx)
{
    return cbm_sequential(cx, cbm_nn_conv2d(cx, 1, 3, 3), cbm_nn_batch_norm2d(cx, 3), cbm_nn_relu(cx),
                          cbm_nn_max_pool2d(cx, 2), cbm_nn_dropout(cx, 0.2), cbm_nn_flatten(cx),
                          cbm_nn_linear(cx, 27, 4), CBM_END);
}

static cbm_tensor *images(cbm_context *cx)
{
    return cbm_normal(cx, CBM_F32, CBM_SHAPE(4, 1, 8, 8), 0, 1);
}

static void step(cbm_context *cx, cbm_module *net, cbm_optimizer *opt)
{
    static const int64_t labels[4] = { 0, 1, 2, 3 };
    CBM_SCOPE(scope, cx);
    cbm_tensor *targets = cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(4), labels);
    cbm_tensor *loss = cbm_cross_entropy(cbm_call(net, images(cx)), targets);
    cbm_backward(loss);
    cbm_clip_grad_norm(opt, 1);
    cbm_step(opt);
    cbm_item(loss);
}

static void says_memory(cbm_context *cx, int64_t n)
{
    if (cbm_context_status(cx) != CBM_ERROR_MEMORY)
        fail_msg("allocation %lld: %s", (long long)n, cbm_message(cx));
}

static void test_opening(void **state)
{
    (void)state;
    for (int64_t n = 1; n < LIMIT; n++) {
        cbm_context *cx = cbm_open_with(.threads = 1);
        cbm_heap_fail_after(cbm_context_heap(cx), n);
        cbm_module *net = network(cx);
        cbm_optimizer *opt = cbm_adam(net);
        cbm_set_optimizer_option(opt, -1, "amsgrad", 1);
        cbm_add_group(opt, .suffix = "bias", .lr = 0.1);
        cbm_schedule *parts[] = { cbm_schedule_step(opt, .step_size = 2), cbm_schedule_constant(opt) };
        cbm_schedule_next(cbm_schedule_sequential(parts, 2, (const int64_t[]){ 3 }));
        cbm_heap_fail_after(cbm_context_heap(cx), 0);
        bool done = cbm_context_status(cx) == CBM_OK;
        if (!done) {
            says_memory(cx, n);
            cbm_clear(cx);
            bool whole = cbm_optimizer_parameter_count(opt) > 0; /* what failed came after it */
            net = whole ? net : network(cx);
            opt = whole ? opt : cbm_adam(net);
        }
        step(cx, net, opt);
        if (cbm_context_status(cx) != CBM_OK)
            fail_msg("after allocation %lld failed: %s", (long long)n, cbm_message(cx));
        cbm_close(cx);
        if (done)
            return;
    }
    fail_msg("never done");
}

static void read_weights(cbm_module *net, float out[27])
{
    assert_int_equal(cbm_read(cbm_parameter(net, "0.weight"), out, 27 * sizeof *out), CBM_OK);
}

static void test_step(void **state)
{
    (void)state;
    for (int64_t n = 1; n < LIMIT; n++) {
        float before[27], after[27];
        cbm_context *cx = cbm_open_with(.threads = 1);
        cbm_module *net = network(cx);
        cbm_optimizer *opt = cbm_adam(net, .lr = 0.1);
        if (n % 2) /* with a plan at hand, and without */
            step(cx, net, opt);
        int64_t steps = cbm_step_count(opt);
        read_weights(net, before);
        cbm_heap_fail_after(cbm_context_heap(cx), (n + 1) / 2);
        step(cx, net, opt);
        cbm_heap_fail_after(cbm_context_heap(cx), 0);
        bool done = cbm_context_status(cx) == CBM_OK;
        if (!done) {
            says_memory(cx, n);
            cbm_clear(cx);
            if (cbm_step_count(opt) == steps) {
                read_weights(net, after);
                assert_memory_equal(before, after, sizeof before);
            }
            step(cx, net, opt);
        }
        if (cbm_context_status(cx) != CBM_OK)
            fail_msg("after allocation %lld failed: %s", (long long)n, cbm_message(cx));
        cbm_close(cx);
        if (done && n % 2 == 0)
            return;
    }
    fail_msg("never done");
}

static void test_fit(void **state)
{
    (void)state;
    char directory[100], command[200];
    snprintf(directory, sizeof directory, "/tmp/cambium-test-memory-%ld", (long)getpid());
    snprintf(command, sizeof command, "rm -rf %s", directory);
    for (int64_t n = 1; n < LIMIT; n += 1 + n / 40) {
        cbm_context *cx = cbm_open_with(.threads = 1);
        cbm_module *net = network(cx);
        cbm_optimizer *opt = cbm_sgd(net, .lr = 0.01);
        static const int64_t labels[4] = { 0, 1, 2, 3 };
        cbm_dataset *data = cbm_dataset_tensors(cx, images(cx), cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(4), labels));
        cbm_loader *train = cbm_loader_open(data, .batch_size = 2), *test = cbm_loader_open(data, .batch_size = 4);
        assert_int_equal(cbm_context_status(cx), CBM_OK);
        cbm_heap_fail_after(cbm_context_heap(cx), n);
        cbm_fit_result r;
        cbm_status status =
            cbm_fit(net, &r, .optimizer = opt, .train = train, .validation = test, .epochs = 2, .directory = directory);
        cbm_heap_fail_after(cbm_context_heap(cx), 0);
        if (status != CBM_OK) {
            says_memory(cx, n);
            assert_int_equal(r.end, CBM_FIT_FAILED);
        }
        cbm_clear(cx);
        step(cx, net, opt);
        if (cbm_context_status(cx) != CBM_OK)
            fail_msg("after allocation %lld failed: %s", (long long)n, cbm_message(cx));
        cbm_close(cx);
        assert_int_equal(system(command), 0);
        if (status == CBM_OK)
            return;
    }
    fail_msg("never done");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opening),
        cmocka_unit_test(test_step),
        cmocka_unit_test(test_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
