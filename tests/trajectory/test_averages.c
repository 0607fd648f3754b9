/* test_averages.c: averaged weights against PyTorch's: over 100 steps in f64, moving with their buffers, as the mean of a few
   steps, and that one with its batch norms' statistics made anew. The numbers were stored by make_trajectories.py. */
#include "trajectory/course.h"

#define LIMIT 1e-9

typedef struct run {
    cbm_context *cx;
    cbm_module *net;
    cbm_optimizer *opt;
    cbm_tensor *x, *y; /* (10, batch, ...), (10, batch) */
    cbm_safetensors *averages;
} run;

static run open_run(const network *n)
{
    char path[600];
    snprintf(path, sizeof path, DATA "%s.safetensors", n->name);
    run r = { .cx = cbm_open_with(.device = "reference", .threads = 1) };
    r.net = n->make(r.cx, CBM_F64);
    load_initial(r.net, path);
    r.opt = cbm_sgd(r.net, .lr = 0.02, .momentum = 0.9, .dampening = 0.3, .weight_decay = 0.01);
    cbm_safetensors *file = cbm_safetensors_open(r.cx, path);
    r.x = cbm_safetensors_tensor(file, "x");
    r.y = cbm_safetensors_tensor(file, "y");
    cbm_safetensors_close(file);
    r.averages = cbm_safetensors_open(r.cx, DATA "averages.safetensors");
    good(r.cx);
    return r;
}

static void step(run *r, int i)
{
    CBM_SCOPE(scope, r->cx);
    cbm_tensor *x = batch_of(r->x, i % BATCHES, CBM_F64), *y = batch_of(r->y, i % BATCHES, CBM_I64);
    cbm_backward(cbm_cross_entropy(cbm_call(r->net, x), y));
    assert_int_equal(cbm_step(r->opt), CBM_OK);
}

static void expect(run *r, const network *n, const char *kind)
{
    cbm_named named;
    char name[600];
    for (size_t i = 0; cbm_state_at(r->net, i, &named); i++) {
        if (strcmp(kind, "ema") == 0 && cbm_tensor_dtype(named.tensor) == CBM_I64)
            continue; /* PyTorch averages counts too, and rounds */
        snprintf(name, sizeof name, "%s.%s.%s", n->name, kind, named.name);
        double d = compare(named.tensor, cbm_safetensors_tensor(r->averages, name));
        good(r->cx);
        if (!(d <= LIMIT))
            fail_msg("%s differs by %g", name, d);
    }
}

static cbm_loader *all_batches(run *r)
{
    cbm_shape shape = cbm_tensor_shape(r->x), joined = { { shape.v[0] - 1, BATCHES * shape.v[2] } };
    for (int64_t k = 2; k <= joined.v[0]; k++)
        joined.v[k] = shape.v[k + 1];
    cbm_tensor *x = cbm_reshape(r->x, joined), *y = cbm_reshape(r->y, CBM_SHAPE(joined.v[1]));
    return cbm_loader_open(cbm_dataset_tensors(r->cx, x, y), .batch_size = shape.v[2]);
}

static void follow(const network *n)
{
    run r = open_run(n);
    cbm_average *ema = cbm_ema(r.net, .decay = 0.95, .use_buffers = true),
                *swa = cbm_swa(r.net, .start = 40, .every = 10);
    for (int i = 0; i < STEPS; i++) {
        step(&r, i);
        cbm_average_update(ema);
        cbm_average_update(swa);
    }
    good(r.cx);
    assert_int_equal(cbm_average_updates(ema), STEPS);
    assert_int_equal(cbm_average_updates(swa), 6);
    assert_int_equal(cbm_average_swap(ema), CBM_OK);
    expect(&r, n, "ema");
    cbm_average_swap(ema);
    cbm_average_swap(swa);
    expect(&r, n, "swa");
    assert_int_equal(cbm_update_batch_norm(r.net, all_batches(&r)), CBM_OK);
    expect(&r, n, "fresh");
    cbm_close(r.cx);
}

static void test_pytorch(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++)
        follow(&networks[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_pytorch) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
