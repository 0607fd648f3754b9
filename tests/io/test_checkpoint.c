/* Weights and checkpoints: a resumed run equals an uninterrupted one bit for bit; a bad file changes nothing and says why. */
#include "support/folder.h"
#include <cambium/cambium.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SAMPLES = 20, IN = 6, OUT = 3 };

/* A small run: dropout, batch norm, Adam, a schedule, a shuffled loader. */
typedef struct run {
    cbm_context *cx;
    cbm_module *net;
    cbm_optimizer *opt;
    cbm_schedule *schedule;
    cbm_loader *loader;
    float losses[64];
    int steps;
} run;

static run run_open(uint64_t seed)
{
    run r = { .cx = cbm_open_with(.threads = 1, .seed = seed, .device = "reference") };
    CBM_SCOPE(scope, r.cx);
    float x[SAMPLES * IN];
    int64_t y[SAMPLES];
    for (int i = 0; i < SAMPLES * IN; ++i)
        x[i] = (float)((i * 37) % 19) / 19.0f - 0.5f;
    for (int i = 0; i < SAMPLES; ++i)
        y[i] = i % OUT;
    cbm_dataset *d = cbm_dataset_tensors(r.cx, cbm_tensor_from(r.cx, CBM_F32, CBM_SHAPE(SAMPLES, IN), x),
                                         cbm_tensor_from(r.cx, CBM_I64, CBM_SHAPE(SAMPLES), y));
    r.net = cbm_sequential(r.cx, cbm_nn_linear(r.cx, IN, 8), cbm_nn_batch_norm1d(r.cx, 8), cbm_nn_relu(r.cx),
                           cbm_nn_dropout(r.cx, 0.25), cbm_nn_linear(r.cx, 8, OUT), CBM_END);
    r.opt = cbm_adam(r.net, .lr = 0.01);
    r.schedule = cbm_schedule_cosine(r.opt, .steps = 20, .minimum = 0.001);
    r.loader = cbm_loader_open(d, .batch_size = 6, .shuffle = true, .seed = seed);
    assert_string_equal(cbm_message(r.cx), "");
    return r;
}

static void train(run *r, int steps)
{
    while (steps > 0) {
        cbm_batch b;
        if (!cbm_next(r->loader, &b))
            continue;
        CBM_SCOPE(scope, r->cx);
        cbm_tensor *loss = cbm_cross_entropy(cbm_call(r->net, b.input), b.target);
        cbm_backward(loss);
        cbm_step(r->opt);
        cbm_schedule_next(r->schedule);
        r->losses[r->steps++] = (float)cbm_item(loss);
        assert_string_equal(cbm_message(r->cx), "");
        --steps;
    }
}

static cbm_checkpoint whole(run *r)
{
    return (cbm_checkpoint){ .module = r->net,
                             .optimizer = r->opt,
                             .schedule = r->schedule,
                             .loader = r->loader,
                             .metadata = "{\"note\": \"a \\\"text\\\"\"}" };
}

/* Every bit of the state of two runs. */
static void expect_same(run *a, run *b)
{
    cbm_named x, y;
    for (size_t i = 0; cbm_state_at(a->net, i, &x); ++i) {
        assert_true(cbm_state_at(b->net, i, &y));
        size_t bytes = (size_t)cbm_tensor_count(x.tensor) * cbm_dtype_size(cbm_tensor_dtype(x.tensor));
        assert_memory_equal(cbm_tensor_data(x.tensor), cbm_tensor_data(y.tensor), bytes);
    }
    for (size_t i = 0; cbm_optimizer_state_at(a->opt, i, &x); ++i) {
        assert_true(cbm_optimizer_state_at(b->opt, i, &y));
        size_t bytes = (size_t)cbm_tensor_count(x.tensor) * cbm_dtype_size(cbm_tensor_dtype(x.tensor));
        assert_memory_equal(cbm_tensor_data(x.tensor), cbm_tensor_data(y.tensor), bytes);
    }
    uint64_t seed[2], position[2];
    cbm_random_state(a->cx, &seed[0], &position[0]);
    cbm_random_state(b->cx, &seed[1], &position[1]);
    assert_true(seed[0] == seed[1] && position[0] == position[1]);
    assert_true(cbm_learning_rate(a->opt) == cbm_learning_rate(b->opt));
    assert_int_equal(cbm_step_count(a->opt), cbm_step_count(b->opt));
    assert_int_equal(cbm_schedule_position(a->schedule), cbm_schedule_position(b->schedule));
    cbm_loader_position p = cbm_loader_state(a->loader), q = cbm_loader_state(b->loader);
    assert_true(p.epoch == q.epoch && p.batch == q.batch && p.seed == q.seed);
}

static void test_resume(void **state)
{
    const char *path = folder_path(state, "a.ckpt");
    for (int stop = 1; stop <= 9; stop += 4) { /* inside an epoch of four batches, and at its end */
        run a = run_open(5), b = run_open(6);
        train(&a, stop);
        cbm_checkpoint ca = whole(&a), cb = whole(&b);
        assert_int_equal(cbm_checkpoint_save(path, &ca), CBM_OK);
        train(&a, 12);
        train(&b, 2);
        assert_int_equal(cbm_checkpoint_load(path, &cb), CBM_OK);
        b.steps = stop;
        train(&b, 12);
        assert_memory_equal(a.losses + stop, b.losses + stop, 12 * sizeof(float));
        expect_same(&a, &b);
        cbm_safetensors *f = cbm_safetensors_open(b.cx, path);
        assert_string_equal(cbm_safetensors_metadata(f, "user"), ca.metadata);
        cbm_close(a.cx);
        cbm_close(b.cx);
    }
}

/* Gradients that no step has used yet are part of the run. */
static void test_resume_between_backwards(void **state)
{
    const char *path = folder_path(state, "a.ckpt");
    run a = run_open(5), b = run_open(6);
    run *runs[2] = { &a, &b };
    cbm_batch batch;
    train(&a, 2);
    assert_true(cbm_next(a.loader, &batch));
    cbm_backward(cbm_cross_entropy(cbm_call(a.net, batch.input), batch.target));
    cbm_checkpoint ca = whole(&a), cb = whole(&b);
    assert_int_equal(cbm_checkpoint_save(path, &ca), CBM_OK);
    assert_int_equal(cbm_checkpoint_load(path, &cb), CBM_OK);
    for (int i = 0; i < 2; ++i) {
        cbm_batch next;
        while (!cbm_next(runs[i]->loader, &next)) {
        }
        cbm_backward(cbm_cross_entropy(cbm_call(runs[i]->net, next.input), next.target));
        assert_int_equal(cbm_step(runs[i]->opt), CBM_OK);
    }
    expect_same(&a, &b);
    cbm_close(a.cx);
    cbm_close(b.cx);
}

static void test_damaged_checkpoints(void **state)
{
    const char *path = folder_path(state, "a.ckpt");
    run a = run_open(5), b = run_open(6), c = run_open(6);
    cbm_checkpoint ca = whole(&a), cb = whole(&b);
    train(&a, 3);
    train(&b, 2);
    train(&c, 2);
    assert_int_equal(cbm_checkpoint_save(path, &ca), CBM_OK);
    size_t size;
    unsigned char *bytes = folder_get(path, &size);
    for (size_t n = 0; n < size; n += 1 + size / 97) {
        assert_int_equal(cbm_checkpoint_load_memory(bytes, n, &cb), CBM_ERROR_FORMAT);
        cbm_clear(b.cx);
    }
    size_t header = 8 + bytes[0] + 256u * bytes[1];
    for (size_t i = 8; i < header; ++i) { /* a damaged header: refused, or a change that means nothing */
        unsigned char before = bytes[i];
        bytes[i] ^= 1;
        cbm_checkpoint_load_memory(bytes, size, &cb);
        if (cbm_context_status(b.cx) == CBM_OK) { /* taken as whole: back to where we were */
            cbm_close(b.cx);
            b = run_open(6);
            train(&b, 2);
            cb = whole(&b);
        }
        cbm_clear(b.cx);
        bytes[i] = before;
    }
    for (size_t i = header; i < size; i += 7) { /* and no bit of the data may differ */
        bytes[i] ^= 16;
        assert_int_equal(cbm_checkpoint_load_memory(bytes, size, &cb), CBM_ERROR_FORMAT);
        assert_non_null(strstr(cbm_message(b.cx), "checksum"));
        cbm_clear(b.cx);
        bytes[i] ^= 16;
    }
    expect_same(&b, &c);
    free(bytes);
    cbm_close(a.cx);
    cbm_close(b.cx);
    cbm_close(c.cx);
}

static void test_other_shapes_are_refused(void **state)
{
    const char *path = folder_path(state, "a.ckpt");
    run a = run_open(5);
    cbm_checkpoint c = whole(&a);
    assert_int_equal(cbm_checkpoint_save(path, &c), CBM_OK);
    c.optimizer = cbm_sgd(a.net, .lr = 0.1, .momentum = 0.9);
    c.schedule = NULL;
    assert_int_equal(cbm_checkpoint_load(path, &c), CBM_ERROR_INVALID);
    assert_non_null(strstr(cbm_message(a.cx), "adam"));
    cbm_clear(a.cx);
    c = (cbm_checkpoint){ .module = a.net, .loader = cbm_loader_open(cbm_loader_dataset(a.loader), .batch_size = 7) };
    assert_int_equal(cbm_checkpoint_load(path, &c), CBM_ERROR_INVALID);
    assert_non_null(strstr(cbm_message(a.cx), "batch_size 6"));
    cbm_clear(a.cx);
    c = (cbm_checkpoint){ .module = cbm_nn_linear(a.cx, IN, 8) };
    assert_int_equal(cbm_checkpoint_load(path, &c), CBM_ERROR_INVALID);
    assert_non_null(strstr(cbm_message(a.cx), "missing"));
    cbm_clear(a.cx);
    c = (cbm_checkpoint){ .module = a.net };
    assert_int_equal(cbm_checkpoint_load(path, &c), CBM_OK);
    const char *plain = folder_path(state, "plain.safetensors");
    assert_int_equal(cbm_save(a.net, plain), CBM_OK);
    assert_int_equal(cbm_checkpoint_load(plain, &c), CBM_ERROR_FORMAT);
    assert_non_null(strstr(cbm_message(a.cx), "not a checkpoint"));
    cbm_clear(a.cx);
    assert_int_equal(cbm_checkpoint_save(path, NULL), CBM_ERROR_INVALID);
    cbm_close(a.cx);
}

/* ---- weights alone ---- */

static void test_save_and_load(void **state)
{
    const char *path = folder_path(state, "a.safetensors");
    run a = run_open(1), b = run_open(2);
    train(&a, 2);
    assert_int_equal(cbm_save(a.net, path), CBM_OK);
    int64_t loaded;
    assert_int_equal(cbm_load(b.net, path, .loaded = &loaded), CBM_OK);
    assert_int_equal(loaded, (int64_t)cbm_state_count(b.net));
    cbm_named x, y;
    for (size_t i = 0; cbm_state_at(a.net, i, &x); ++i) {
        assert_true(cbm_state_at(b.net, i, &y));
        size_t bytes = (size_t)cbm_tensor_count(x.tensor) * cbm_dtype_size(cbm_tensor_dtype(x.tensor));
        assert_memory_equal(cbm_tensor_data(x.tensor), cbm_tensor_data(y.tensor), bytes);
    }
    size_t size;
    unsigned char *bytes = folder_get(path, &size);
    assert_int_equal(cbm_load_memory(b.net, bytes, size), CBM_OK);
    assert_int_equal(cbm_load_memory(b.net, bytes, size - 1), CBM_ERROR_FORMAT);
    free(bytes);
    cbm_close(a.cx);
    cbm_close(b.cx);
}

static float first_weight(cbm_module *net, const char *name)
{
    return ((const float *)cbm_tensor_data(cbm_parameter(net, name)))[0];
}

static bool rename_fc(void *user, const char *name, char *out, size_t size)
{
    ++*(int *)user;
    if (strncmp(name, "fc.", 3) != 0)
        return false;
    snprintf(out, size, "0.%s", name + 3);
    return true;
}

static void test_partial_and_renamed(void **state)
{
    const char *path = folder_path(state, "a.safetensors");
    cbm_context *cx = cbm_open(NULL);
    cbm_module *net = cbm_sequential(cx, cbm_nn_linear(cx, 2, 3), CBM_END);
    const char *names[] = { "enc.0.weight", "enc.0.bias", "fc.weight", "fc.bias", "fc.scale" };
    cbm_tensor *tensors[] = { cbm_full(cx, CBM_F32, CBM_SHAPE(3, 2), 2), cbm_full(cx, CBM_F32, CBM_SHAPE(3), 3),
                              cbm_full(cx, CBM_F64, CBM_SHAPE(3, 2), 4), cbm_full(cx, CBM_F32, CBM_SHAPE(3), 5),
                              cbm_full(cx, CBM_F32, CBM_SHAPE(3), 6) };
    assert_int_equal(cbm_safetensors_write(cx, path, names, tensors, 5, NULL), CBM_OK);
    float before = first_weight(net, "0.weight");

    assert_int_equal(cbm_load(net, path), CBM_ERROR_INVALID);
    assert_non_null(strstr(cbm_message(cx), "missing in the file (2): 0.weight, 0.bias"));
    assert_non_null(strstr(cbm_message(cx), "unexpected in the file (5): enc.0.bias"));
    cbm_clear(cx);
    int64_t loaded;
    assert_int_equal(cbm_load(net, path, .strict = false, .loaded = &loaded), CBM_OK);
    assert_int_equal(loaded, 0);
    assert_int_equal(cbm_load(net, path, .prefix = "enc."), CBM_OK);
    assert_true(first_weight(net, "0.weight") == 2.0f);

    int calls = 0;
    assert_int_equal(cbm_load(net, path, .rename = rename_fc, .rename_user = &calls), CBM_ERROR_SHAPE);
    assert_int_equal(calls, 5);
    assert_non_null(strstr(cbm_message(cx), "0.weight is F64 in the file, f32 here"));
    cbm_clear(cx);
    assert_true(first_weight(net, "0.weight") == 2.0f && before != 2.0f);
    assert_int_equal(cbm_load(net, path, .rename = rename_fc, .rename_user = &calls, .cast = true), CBM_ERROR_INVALID);
    assert_non_null(strstr(cbm_message(cx), "0.scale"));
    cbm_clear(cx);
    assert_int_equal(cbm_load(net, path, .rename = rename_fc, .rename_user = &calls, .cast = true, .strict = false,
                              .loaded = &loaded),
                     CBM_OK);
    assert_int_equal(loaded, 2);
    assert_true(first_weight(net, "0.weight") == 4.0f);
    assert_true(first_weight(net, "0.bias") == 5.0f);

    tensors[0] = cbm_zeros(cx, CBM_F32, CBM_SHAPE(2, 2));
    assert_int_equal(cbm_safetensors_write(cx, path, names, tensors, 2, NULL), CBM_OK);
    assert_int_equal(cbm_load(net, path, .prefix = "enc."), CBM_ERROR_SHAPE);
    assert_non_null(strstr(cbm_message(cx), "0.weight is (2, 2) in the file, (3, 2) here"));
    cbm_clear(cx);
    assert_true(first_weight(net, "0.bias") == 5.0f);
    assert_int_equal(cbm_load(net, folder_path(state, "absent")), CBM_ERROR_IO);
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_resume, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_resume_between_backwards, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_damaged_checkpoints, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_other_shapes_are_refused, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_save_and_load, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_partial_and_renamed, folder_make, folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
