/* test_averages.c: what averages of weights promise besides PyTorch's numbers (tests/trajectory): one plan for all updates,
   swapping there and back bit for bit, own running statistics, checkpoints, all or nothing, and what is refused. */
#include <cambium/cambium.h>
#include "support/folder.h"
#include "support/state.h"
#include "tensor/context.h"
#include <math.h>
#include <stdio.h>

typedef struct world {
    cbm_context *cx;
    cbm_module *net;
    cbm_optimizer *opt;
    cbm_tensor *x;
} world;

static world open_world(uint64_t seed)
{
    world w = { .cx = cbm_open_with(.threads = 1, .seed = seed) };
    w.net = cbm_sequential(w.cx, cbm_nn_linear(w.cx, 4, 8), cbm_nn_batch_norm1d(w.cx, 8), cbm_nn_tanh(w.cx),
                           cbm_nn_linear(w.cx, 8, 2), CBM_END);
    w.opt = cbm_sgd(w.net, .lr = 0.1, .momentum = 0.9);
    w.x = cbm_variable(cbm_normal(w.cx, CBM_F32, CBM_SHAPE(16, 4), 1, 2), false);
    assert_int_equal(cbm_flush(w.cx), CBM_OK);
    return w;
}

static void step(world *w)
{
    CBM_SCOPE(scope, w->cx);
    cbm_tensor *y = cbm_call(w->net, w->x);
    cbm_backward(cbm_mean(cbm_mul(y, y)));
    cbm_step(w->opt);
    good(w->cx);
}

static double first_weight(cbm_module *net)
{
    float weights[32];
    cbm_read(cbm_parameter(net, "0.weight"), weights, sizeof weights);
    return (double)weights[0];
}

static void test_one_plan(void **state)
{
    (void)state;
    world w = open_world(1);
    cbm_average *averages[] = { cbm_ema(w.net), cbm_swa(w.net, .use_buffers = true) };
    for (int k = 0; k < 2; k++) {
        uint64_t plans = 0;
        for (int i = 0; i < 6; i++) {
            step(&w);
            assert_int_equal(cbm_average_update(averages[k]), CBM_OK);
            if (i == 1)
                plans = cbm_context_statistics(w.cx).plans_made;
        }
        if (cbm_context_statistics(w.cx).plans_made != plans)
            fail_msg("%s", cbm_explain(w.cx));
    }
    cbm_close(w.cx);
}

static void test_swap(void **state)
{
    (void)state;
    world w = open_world(1);
    double begin = first_weight(w.net);
    cbm_average *a = cbm_swa(w.net);
    step(&w);
    size_t n, m;
    unsigned char *last = state_bytes(w.net, NULL, &n);
    assert_int_equal(cbm_average_swap(a), CBM_OK); /* nothing is in it yet: the weights that it was opened with */
    assert_true(first_weight(w.net) == begin);
    assert_true(cbm_average_swapped(a));
    assert_int_equal(cbm_average_update(a), CBM_ERROR_STATE);
    refused(w.cx, CBM_ERROR_STATE, "HINT: cbm_average_swap");
    cbm_average_swap(a);
    unsigned char *again = state_bytes(w.net, NULL, &m);
    assert_true(n == m && memcmp(last, again, n) == 0);
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        step(&w);
        cbm_average_update(a);
        sum += first_weight(w.net);
    }
    double newest = first_weight(w.net);
    cbm_average_swap(a);
    assert_true(fabs(first_weight(w.net) - sum / 4) < 1e-6 && fabs(sum / 4 - newest) > 1e-5);
    /* what waits is the training's; a step of another kind does not touch it */
    cbm_named named;
    assert_true(cbm_average_at(a, 0, &named));
    assert_string_equal(named.name, "0.weight");
    float waiting[32];
    cbm_read(named.tensor, waiting, sizeof waiting);
    assert_true((double)waiting[0] == newest);
    cbm_average_release(a); /* the averages stay */
    assert_true(fabs(first_weight(w.net) - sum / 4) < 1e-6);
    good(w.cx);
    free(last);
    free(again);
    cbm_close(w.cx);
}

static cbm_loader *loader(world *w)
{
    int64_t zeros[16] = { 0 };
    return cbm_loader_open(cbm_dataset_tensors(w->cx, w->x, cbm_tensor_from(w->cx, CBM_I64, CBM_SHAPE(16), zeros)),
                           .batch_size = 8, .shuffle = true);
}

/* Statistics of swapped-in averages are theirs: the training's come back untouched. */
static void test_batch_norm(void **state)
{
    (void)state;
    world w = open_world(1);
    cbm_average *a = cbm_ema(w.net, .decay = 0.5);
    for (int i = 0; i < 3; i++) {
        step(&w);
        cbm_average_update(a);
    }
    size_t n, m;
    unsigned char *before = state_bytes(w.net, NULL, &n);
    cbm_loader *batches = loader(&w);
    cbm_batch batch;
    assert_true(cbm_next(batches, &batch));
    cbm_loader_position at = cbm_loader_state(batches);
    cbm_average_swap(a);
    cbm_eval(w.net);
    assert_int_equal(cbm_update_batch_norm(w.net, batches), CBM_OK);
    assert_false(w.net->training);
    cbm_loader_position now = cbm_loader_state(batches);
    assert_true(at.epoch == now.epoch && at.batch == now.batch);
    int64_t tracked = 0;
    cbm_read(cbm_parameter(w.net, "1.num_batches_tracked"), &tracked, sizeof tracked);
    assert_int_equal(tracked, 2);
    cbm_average_swap(a);
    unsigned char *after = state_bytes(w.net, NULL, &m);
    assert_true(n == m && memcmp(before, after, n) == 0);
    cbm_train(w.net);
    step(&w);
    cbm_read(cbm_parameter(w.net, "1.num_batches_tracked"), &tracked, sizeof tracked);
    assert_int_equal(tracked, 4); /* and its momentum is its own again: the step has moved the mean by a tenth */
    assert_int_equal(cbm_update_batch_norm(cbm_nn_linear(w.cx, 1, 1), batches), CBM_OK); /* nothing to do */
    assert_int_equal(cbm_update_batch_norm(w.net, NULL), CBM_ERROR_INVALID);
    cbm_clear(w.cx);
    free(before);
    free(after);
    cbm_close(w.cx);
}

/* Any allocation of an update, a swap or new statistics may fail: then nothing has happened. */
static void test_no_memory(void **state)
{
    (void)state;
    for (int act = 0; act < 3; act++)
        for (int64_t n = 1, done = 0; !done; n++) {
            world w = open_world(1);
            cbm_average *a = cbm_ema(w.net, .decay = 0.5);
            cbm_loader *batches = loader(&w);
            step(&w);
            cbm_average_update(a);
            step(&w);
            size_t size, after_size;
            unsigned char *before = state_bytes(w.net, NULL, &size);
            cbm_heap_fail_after(cbm_context_heap(w.cx), n);
            cbm_status status = act == 0   ? cbm_average_update(a)
                                : act == 1 ? cbm_average_swap(a)
                                           : cbm_update_batch_norm(w.net, batches);
            cbm_heap_fail_after(cbm_context_heap(w.cx), 0);
            done = status == CBM_OK;
            cbm_clear(w.cx);
            unsigned char *after = state_bytes(w.net, NULL, &after_size);
            if (!done || act == 0)
                assert_memory_equal(before, after, size);
            assert_int_equal(cbm_average_updates(a), act == 0 && done ? 2 : 1);
            assert_true(cbm_average_swapped(a) == (act == 1 && done));
            free(before);
            free(after);
            cbm_close(w.cx);
            assert_true(n < 2000);
        }
}

static void test_checkpoint(void **state)
{
    const char *path = folder_path(state, "a.ckpt"), *weights = folder_path(state, "w.safetensors");
    for (int swapped = 0; swapped < 2; swapped++) {
        world a = open_world(1), b = open_world(2);
        cbm_average *of_a = cbm_swa(a.net, .start = 2, .every = 2), *of_b = cbm_swa(b.net, .start = 2, .every = 2);
        for (int i = 0; i < 6; i++) {
            step(&a);
            cbm_average_update(of_a);
        }
        assert_int_equal(cbm_average_updates(of_a), 2);
        if (swapped)
            cbm_average_swap(of_a);
        cbm_checkpoint ca = { .module = a.net, .optimizer = a.opt, .average = of_a };
        cbm_checkpoint cb = { .module = b.net, .optimizer = b.opt, .average = of_b };
        assert_int_equal(cbm_checkpoint_save(path, &ca), CBM_OK);
        assert_int_equal(cbm_checkpoint_load(path, &cb), CBM_OK);
        assert_true(cbm_average_swapped(of_b) == swapped);
        assert_int_equal(cbm_save_average(of_b, weights), CBM_OK);
        world *both[] = { &a, &b };
        cbm_average *averages[] = { of_a, of_b };
        float x[64];
        cbm_read(a.x, x, sizeof x);
        cbm_write(b.x, x, sizeof x);
        for (int k = 0; k < 2; k++) {
            if (swapped)
                cbm_average_swap(averages[k]);
            for (int i = 0; i < 3; i++) {
                step(both[k]);
                assert_int_equal(cbm_average_update(averages[k]), CBM_OK);
            }
            assert_int_equal(cbm_average_updates(averages[k]), 4);
            cbm_average_swap(averages[k]);
        }
        size_t n, m;
        unsigned char *p = state_bytes(a.net, NULL, &n), *q = state_bytes(b.net, NULL, &m);
        assert_true(n == m && memcmp(p, q, n) == 0);
        /* the file of averaged weights is the same, swapped or not */
        static double first;
        assert_int_equal(cbm_load(b.net, weights), CBM_OK);
        first = swapped ? first : first_weight(b.net);
        assert_true(first == first_weight(b.net));
        good(a.cx);
        good(b.cx);
        free(p);
        free(q);
        cbm_checkpoint other = { .module = b.net, .average = cbm_ema(b.net) };
        assert_int_equal(cbm_checkpoint_load(path, &other), CBM_ERROR_INVALID);
        refused(b.cx, CBM_ERROR_INVALID, "its average of weights is swa, not ema");
        cbm_checkpoint plain = { .module = a.net };
        assert_int_equal(cbm_checkpoint_save(path, &plain), CBM_OK);
        assert_int_equal(cbm_checkpoint_load(path, &cb), CBM_ERROR_FORMAT);
        cbm_close(a.cx);
        cbm_close(b.cx);
    }
}

static void test_refused(void **state)
{
    (void)state;
    world w = open_world(1);
    assert_int_equal(cbm_average_update(cbm_ema(w.net, .decay = 1)), CBM_ERROR_STATE);
    refused(w.cx, CBM_ERROR_INVALID, "[ema] decay is 1; it must be in [0, 1)");
    cbm_swa(w.net, .every = 0);
    refused(w.cx, CBM_ERROR_INVALID, "[swa] needs start >= 0 and every >= 1");
    cbm_swa_with(w.net, NULL);
    refused(w.cx, CBM_ERROR_INVALID, "not this library's");
    cbm_ema(cbm_nn_relu(w.cx));
    refused(w.cx, CBM_ERROR_INVALID, "[ema] the network has no parameters");
    assert_int_equal(cbm_save_average(cbm_ema(NULL), "x"), CBM_ERROR_INVALID);
    assert_int_equal(cbm_average_swap(NULL), CBM_ERROR_STATE);
    assert_int_equal(cbm_average_updates(NULL), 0);
    assert_false(cbm_average_swapped(NULL));
    assert_int_equal(cbm_average_count(NULL), 0);
    assert_null(cbm_average_context(NULL));
    cbm_average_release(NULL);
    good(w.cx);
    cbm_close(w.cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_plan),
        cmocka_unit_test(test_swap),
        cmocka_unit_test(test_batch_norm),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test_setup_teardown(test_checkpoint, folder_make, folder_remove),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
