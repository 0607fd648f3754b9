/* test_fit.c: the training loop: metrics, run directories, stopping and resuming bit for bit, losses that are not finite,
   cancelling, and what is refused. */
#include <cambium/cambium.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <setjmp.h>
#include <cmocka.h>
#include "support/status.h"

#define SAMPLES 50
#define FEATURES 6
#define CLASSES 3
#define BATCH 8

static char directory[300];

static void clean(void)
{
    char command[400];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    if (system(command) != 0)
        fail_msg("cannot remove %s", directory);
}

static int setup(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/cambium-test-fit-%ld/deep/run", (long)getpid());
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/cambium-test-fit-%ld", (long)getpid());
    clean();
    return 0;
}

/* Everything that has state: dropout, batch norm, Adam, a schedule, a shuffling loader. */
typedef struct world {
    cbm_context *cx;
    cbm_module *net;
    cbm_optimizer *opt;
    cbm_schedule *schedule;
    cbm_loader *train, *test;
} world;

static cbm_dataset *samples(cbm_context *cx)
{
    float x[SAMPLES * FEATURES];
    int64_t y[SAMPLES];
    for (int i = 0; i < SAMPLES; i++) {
        y[i] = i % CLASSES;
        for (int k = 0; k < FEATURES; k++)
            x[i * FEATURES + k] = (float)(sin(i * 12.9898 + k * 78.233) + (k == y[i] ? 1.5 : 0));
    }
    return cbm_dataset_tensors(cx, cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(SAMPLES, FEATURES), x),
                               cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(SAMPLES), y));
}

static world open_world(double lr)
{
    world w = { .cx = cbm_open_with(.seed = 11, .threads = 2) };
    cbm_scope *scope = cbm_scope_begin(w.cx);
    cbm_dataset *data = samples(w.cx);
    cbm_scope_end(scope);
    w.net = cbm_sequential(w.cx, cbm_nn_linear(w.cx, FEATURES, 16), cbm_nn_batch_norm1d(w.cx, 16), cbm_nn_relu(w.cx),
                           cbm_nn_dropout(w.cx, 0.3), cbm_nn_linear(w.cx, 16, CLASSES), CBM_END);
    w.opt = cbm_adam(w.net, .lr = lr);
    w.schedule = cbm_schedule_cosine(w.opt, .steps = 28);
    w.train = cbm_loader_open(data, .batch_size = BATCH, .shuffle = true, .seed = 5);
    w.test = cbm_loader_open(data, .batch_size = 20);
    good(w.cx);
    return w;
}

static void bytes_of(cbm_module *net, unsigned char *out, size_t *size)
{
    cbm_named named;
    *size = 0;
    for (size_t i = 0; cbm_state_at(net, i, &named); i++) {
        size_t n = (size_t)cbm_tensor_count(named.tensor) * cbm_dtype_size(cbm_tensor_dtype(named.tensor));
        assert_int_equal(cbm_read(named.tensor, out + *size, n), CBM_OK);
        *size += n;
    }
}

typedef struct script {
    int64_t stop_after; /* steps in all; 0: never */
    int64_t cancel_after;
    cbm_context *cx;
    int64_t steps, epochs;
    double first_loss, last_loss;
} script;

static bool on_step(const cbm_progress *p, void *user)
{
    script *s = user;
    s->steps++;
    if (s->steps == 1)
        s->first_loss = p->loss;
    s->last_loss = p->loss;
    assert_true(p->step >= 1 && p->step <= p->steps && p->epoch <= p->epochs);
    if (s->cancel_after > 0 && p->total_steps == s->cancel_after)
        cbm_cancel(s->cx);
    return s->stop_after == 0 || p->total_steps < s->stop_after;
}

static bool on_epoch(const cbm_epoch *e, void *user)
{
    script *s = user;
    s->epochs++;
    assert_true(isfinite(e->train_loss) && isfinite(e->train_error) && e->train_error <= 1);
    return true;
}

static cbm_status fit(world *w, const char *run, bool resume, script *s, cbm_fit_result *r)
{
    s->cx = w->cx;
    return cbm_fit(w->net, r, .optimizer = w->opt, .schedule = w->schedule, .train = w->train, .validation = w->test,
                   .epochs = 4, .directory = run, .config = "{\"name\": \"test\"}", .resume = resume,
                   .on_step = on_step, .on_epoch = on_epoch, .user = s);
}

/* ---- a whole run ---- */

static void test_whole_run(void **state)
{
    (void)state;
    world w = open_world(0.01);
    script s = { 0 };
    cbm_fit_result r;
    assert_int_equal(fit(&w, directory, false, &s, &r), CBM_OK);
    good(w.cx);
    assert_int_equal(r.end, CBM_FIT_DONE);
    assert_int_equal(r.epochs_done, 4);
    assert_int_equal(r.total_steps, 28);
    assert_int_equal(s.steps, 28);
    assert_int_equal(s.epochs, 4);
    assert_true(r.last.validation_loss < s.first_loss);
    assert_true(r.last.validation_error < 0.4);
    assert_true(cbm_learning_rate(w.opt) < 1e-12);

    cbm_epoch epochs[8];
    assert_int_equal(cbm_metrics_read(w.cx, directory, epochs, 8), 4);
    assert_int_equal(epochs[3].epoch, 4);
    assert_true(epochs[3].validation_loss == r.last.validation_loss);
    assert_true(epochs[0].train_error >= 0 && epochs[0].train_error <= 1);

    /* the weights that were saved give the numbers that were reported */
    char path[400];
    snprintf(path, sizeof path, "%s/model.safetensors", directory);
    world fresh = open_world(0.01);
    assert_int_equal(cbm_load(fresh.net, path), CBM_OK);
    cbm_evaluation e;
    assert_int_equal(cbm_evaluate(fresh.net, fresh.test, NULL, NULL, &e), CBM_OK);
    assert_int_equal(e.samples, SAMPLES);
    assert_true(e.loss == r.last.validation_loss);
    assert_true(fabs(1 - e.accuracy - r.last.validation_error) < 1e-12);
    assert_true(fresh.net->training);

    script again = { 0 };
    assert_int_equal(fit(&fresh, directory, false, &again, &r), CBM_ERROR_STATE);
    refused(fresh.cx, CBM_ERROR_STATE, "holds a run already");
    assert_int_equal(
        cbm_fit(fresh.net, &r, .optimizer = fresh.opt, .train = fresh.train, .directory = directory, .overwrite = true),
        CBM_OK);
    assert_int_equal(cbm_metrics_read(w.cx, directory, NULL, 0), 1);
    cbm_close(fresh.cx);
    cbm_close(w.cx);
    clean();
}

/* ---- stopping and resuming ---- */

/* A run that is stopped after `steps`, by the callback or by cbm_cancel, and resumed in a new context ends like one that
   was not stopped. */
static void stop_and_resume(int64_t steps, bool cancel)
{
    static unsigned char want[8192], got[8192];
    size_t want_size, got_size;
    cbm_fit_result whole, r;
    script s = { 0 };
    world w = open_world(0.01);
    assert_int_equal(fit(&w, NULL, false, &s, &whole), CBM_OK);
    bytes_of(w.net, want, &want_size);
    cbm_close(w.cx);

    w = open_world(0.01);
    script stopping = { .stop_after = cancel ? 0 : steps, .cancel_after = cancel ? steps : 0 };
    assert_int_equal(fit(&w, directory, false, &stopping, &r), CBM_ERROR_CANCELLED);
    good(w.cx);
    assert_int_equal(r.end, CBM_FIT_STOPPED);
    assert_int_equal(r.total_steps, steps);
    assert_non_null(strstr(r.explanation, "saved"));
    cbm_close(w.cx);

    w = open_world(0.01);
    cbm_seed(w.cx, 99);
    script rest = { 0 };
    cbm_status status = fit(&w, directory, true, &rest, &r);
    good(w.cx);
    assert_int_equal(status, CBM_OK);
    assert_int_equal(r.total_steps, 28);
    assert_int_equal(rest.steps, 28 - steps);
    bytes_of(w.net, got, &got_size);
    assert_int_equal(got_size, want_size);
    assert_memory_equal(got, want, want_size);
    assert_true(r.last.train_loss == whole.last.train_loss);
    assert_true(r.last.validation_loss == whole.last.validation_loss);
    assert_int_equal(cbm_metrics_read(w.cx, directory, NULL, 0), 4);
    cbm_close(w.cx);
    clean();
}

static void test_resume(void **state)
{
    (void)state;
    static const int64_t places[] = { 1, 7, 10, 14, 27 }; /* 7 steps an epoch */
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        stop_and_resume(places[i], false);
        stop_and_resume(places[i], true);
    }
}

/* ---- numbers that are not finite ---- */

static cbm_tensor *cancelling_loss(cbm_module *net, const cbm_batch *batch, cbm_tensor **prediction, void *user)
{
    (void)user;
    cbm_cancel(net->cx);
    return cbm_loss_cross_entropy(net, batch, prediction, NULL);
}

/* Initial values that nobody has computed yet survive a first step that fails. */
static void test_cancelled_at_once(void **state)
{
    (void)state;
    world w[2] = { open_world(0.01), open_world(0.01) };
    unsigned char bytes[2][8192];
    size_t size[2];
    for (int i = 0; i < 2; i++)
        cbm_init_normal(cbm_parameter(w[i].net, "0.weight"), 3);
    assert_int_equal(cbm_fit(w[0].net, NULL, .optimizer = w[0].opt, .train = w[0].train, .loss = cancelling_loss),
                     CBM_ERROR_CANCELLED);
    for (int i = 0; i < 2; i++)
        bytes_of(w[i].net, bytes[i], &size[i]);
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(bytes[0], bytes[1], size[0]);
    cbm_close(w[0].cx);
    cbm_close(w[1].cx);
}

static void test_divergence(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_module *net =
        cbm_sequential(cx, cbm_nn_linear(cx, FEATURES, 16), cbm_nn_relu(cx), cbm_nn_linear(cx, 16, CLASSES), CBM_END);
    cbm_optimizer *opt = cbm_sgd(net, .lr = 1e30);
    cbm_loader *train = cbm_loader_open(samples(cx), .batch_size = BATCH);
    cbm_fit_result r;
    assert_int_equal(cbm_fit(net, &r, .optimizer = opt, .train = train, .epochs = 3), CBM_ERROR_RANGE);
    good(cx);
    assert_int_equal(r.end, CBM_FIT_DIVERGED);
    assert_non_null(strstr(r.explanation, "stopped being finite in step"));
    assert_non_null(strstr(r.explanation, "HINT"));
    assert_true(strstr(r.explanation, "layer") || strstr(r.explanation, "parameter"));
    assert_true(r.total_steps < 21);
    cbm_close(cx);
}

static void test_bad_input(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    float x[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, NAN, 11, 12, 13, 14, 15, 16 }, before[4], after[4];
    int64_t y[8] = { 0, 1, 0, 1, 0, 1, 0, 1 };
    cbm_dataset *data = cbm_dataset_tensors(cx, cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(8, 2), x),
                                            cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(8), y));
    cbm_module *net = cbm_nn_linear(cx, 2, 2);
    cbm_optimizer *opt = cbm_sgd(net, .lr = 0.1, .momentum = 0.9);
    cbm_loader *train = cbm_loader_open(data, .batch_size = 8);
    cbm_read(cbm_parameter(net, "weight"), before, sizeof before);
    cbm_fit_result r;
    assert_int_equal(cbm_fit(net, &r, .optimizer = opt, .train = train), CBM_ERROR_RANGE);
    assert_int_equal(r.end, CBM_FIT_DIVERGED);
    assert_non_null(strstr(r.explanation, "the batch's input"));
    assert_int_equal(r.total_steps, 0);
    cbm_read(cbm_parameter(net, "weight"), after, sizeof after);
    assert_memory_equal(before, after, sizeof before);
    good(cx);
    cbm_close(cx);
}

/* A label outside the classes is an error of the context, not a divergence. */
static void test_bad_label(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    float x[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    int64_t y[4] = { 0, 1, 5, 1 };
    cbm_dataset *data = cbm_dataset_tensors(cx, cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(4, 2), x),
                                            cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(4), y));
    cbm_module *net = cbm_nn_linear(cx, 2, 2);
    cbm_fit_result r;
    assert_int_equal(cbm_fit(net, &r, .optimizer = cbm_sgd(net), .train = cbm_loader_open(data, .batch_size = 4)),
                     CBM_ERROR_RANGE);
    assert_int_equal(r.end, CBM_FIT_FAILED);
    refused(cx, CBM_ERROR_RANGE, "5");
    cbm_close(cx);
}

/* A plateau is shown each epoch's validation loss, or the training's, and what it remembers is resumed. */
static void test_plateau(void **state)
{
    (void)state;
    for (int validated = 0; validated < 2; validated++) {
        cbm_fit_result r;
        for (int part = 0; part < 2; part++) {
            world w = open_world(1e-9); /* nothing becomes better */
            w.schedule =
                cbm_schedule_plateau(w.opt, .patience = 0, .factor = 0.5, .threshold = 1, .absolute = true, .eps = 0);
            cbm_status status = cbm_fit(w.net, &r, .optimizer = w.opt, .schedule = w.schedule, .train = w.train,
                                        .validation = validated ? w.test : NULL, .epochs = part ? 5 : 3,
                                        .directory = directory, .resume = part == 1);
            good(w.cx);
            assert_int_equal(status, CBM_OK);
            assert_int_equal(cbm_schedule_position(w.schedule), part ? 5 : 3);
            assert_true(cbm_learning_rate(w.opt) == (part ? 1e-9 / 16 : 1e-9 / 4)); /* the first is the best */
            assert_true(r.last.learning_rate == 2 * cbm_learning_rate(w.opt));      /* the rate it was trained with */
            cbm_close(w.cx);
        }
        clean();
    }
}

/* Averaged weights are validated and saved, training goes on with its own, and both are resumed bit for bit. */
static void test_average(void **state)
{
    (void)state;
    static unsigned char want[2][8192], got[2][8192];
    size_t size;
    for (int64_t stop = 0; stop <= 21; stop += 7) {
        cbm_fit_result r;
        for (int part = stop ? 0 : 1; part < 2; part++) {
            world w = open_world(0.01);
            cbm_average *average = cbm_ema(w.net, .decay = 0.8, .start = 3);
            script s = { .stop_after = part ? 0 : stop + 2, .cx = w.cx };
            cbm_status status = cbm_fit(w.net, &r, .optimizer = w.opt, .schedule = w.schedule, .average = average,
                                        .train = w.train, .validation = w.test, .epochs = 4, .directory = directory,
                                        .resume = part == 1 && stop, .on_step = on_step, .user = &s);
            good(w.cx);
            assert_int_equal(status, part ? CBM_OK : CBM_ERROR_CANCELLED);
            assert_false(cbm_average_swapped(average));
            bytes_of(w.net, got[0], &size);
            cbm_average_swap(average);
            bytes_of(w.net, got[1], &size);
            cbm_evaluation e;
            cbm_evaluate(w.net, w.test, NULL, NULL, &e);
            assert_true(part == 0 || e.loss == r.last.validation_loss);
            cbm_fit(w.net, NULL, .optimizer = w.opt, .average = average, .train = w.train);
            refused(w.cx, CBM_ERROR_STATE, "HINT: cbm_average_swap");
            cbm_close(w.cx);
        }
        if (stop == 0)
            memcpy(want, got, sizeof want);
        assert_memory_equal(want, got, sizeof want);
        assert_memory_not_equal(got[0], got[1], size);
        char path[400];
        snprintf(path, sizeof path, "%s/model.safetensors", directory);
        world fresh = open_world(0.01);
        assert_int_equal(cbm_load(fresh.net, path), CBM_OK);
        bytes_of(fresh.net, got[0], &size);
        assert_memory_equal(got[0], got[1], size);
        cbm_close(fresh.cx);
        clean();
    }
}

/* ---- the rest ---- */

static void test_max_steps(void **state)
{
    (void)state;
    world w = open_world(0.01);
    cbm_fit_result r;
    assert_int_equal(cbm_fit(w.net, &r, .optimizer = w.opt, .train = w.train, .epochs = 4, .max_steps = 10,
                             .clip_norm = 1, .directory = directory),
                     CBM_OK);
    assert_int_equal(r.end, CBM_FIT_DONE);
    assert_int_equal(r.total_steps, 10);
    assert_int_equal(r.epochs_done, 1);
    assert_true(isnan(r.last.validation_loss));
    assert_int_equal(cbm_fit(w.net, &r, .optimizer = w.opt, .train = w.train, .epochs = 4, .max_steps = 12,
                             .directory = directory, .resume = true),
                     CBM_OK);
    assert_int_equal(r.total_steps, 12);
    good(w.cx);
    cbm_close(w.cx);
    clean();
}

static cbm_tensor *null_loss(cbm_module *net, const cbm_batch *batch, cbm_tensor **prediction, void *user)
{
    (void)net;
    (void)batch;
    (void)prediction;
    (void)user;
    return NULL;
}

static void test_refused(void **state)
{
    (void)state;
    world w = open_world(0.01);
    cbm_fit_result r;
    cbm_fit(w.net, &r, .optimizer = w.opt);
    refused(w.cx, CBM_ERROR_INVALID, ".train");
    cbm_fit(w.net, &r, .optimizer = w.opt, .train = w.train, .epochs = 0);
    refused(w.cx, CBM_ERROR_INVALID, "epochs");
    cbm_fit(w.net, &r, .optimizer = w.opt, .train = w.train, .resume = true);
    refused(w.cx, CBM_ERROR_INVALID, ".directory");
    cbm_fit(w.net, &r, .optimizer = w.opt, .train = w.train, .resume = true, .directory = directory);
    refused(w.cx, CBM_ERROR_STATE, "nothing to resume");
    cbm_fit(w.net, &r, .optimizer = w.opt, .train = w.train, .directory = "/proc/no/such");
    refused(w.cx, CBM_ERROR_IO, "/proc/no");
    cbm_fit(w.net, &r, .optimizer = w.opt, .train = w.train, .directory = directory, .config = "[1, 2]");
    refused(w.cx, CBM_ERROR_INVALID, "not a JSON object");
    cbm_fit(w.net, &r, .optimizer = w.opt, .train = w.train, .loss = null_loss);
    refused(w.cx, CBM_ERROR_CALLBACK, "returned NULL");
    assert_int_equal(r.end, CBM_FIT_FAILED);
    cbm_evaluation e;
    cbm_evaluate(w.net, NULL, NULL, NULL, &e);
    refused(w.cx, CBM_ERROR_INVALID, "[evaluate]");
    assert_true(isnan(e.loss));
    assert_int_equal(cbm_metrics_read(w.cx, "/no/such/run", NULL, 0), -1);
    refused(w.cx, CBM_ERROR_IO, "/no/such/run");
    assert_int_equal(cbm_fit(NULL, &r), CBM_ERROR_INVALID);
    assert_int_equal(cbm_fit(w.net, &r, .optimizer = w.opt, .train = w.train), CBM_OK);
    good(w.cx);
    cbm_close(w.cx);
    clean();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whole_run, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resume, setup, teardown),
        cmocka_unit_test_setup_teardown(test_plateau, setup, teardown),
        cmocka_unit_test_setup_teardown(test_average, setup, teardown),
        cmocka_unit_test(test_cancelled_at_once),
        cmocka_unit_test(test_divergence),
        cmocka_unit_test(test_bad_input),
        cmocka_unit_test(test_bad_label),
        cmocka_unit_test_setup_teardown(test_max_steps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
