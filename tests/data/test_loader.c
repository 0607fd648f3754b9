/* The loader: every sample once an epoch, the same order for the same seed however many workers, errors with the sample's
   index, positions that continue, batches that outlive the next call; and datasets. */
#include <cambium/cambium.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

enum { SAMPLES = 23, WIDTH = 3 };

/* Inputs (23, 3) with value 10 i + j, targets (23) with i. */
static cbm_dataset *numbers(cbm_context *cx)
{
    float inputs[SAMPLES * WIDTH];
    int64_t targets[SAMPLES];
    for (int i = 0; i < SAMPLES; ++i) {
        targets[i] = i;
        for (int j = 0; j < WIDTH; ++j)
            inputs[i * WIDTH + j] = (float)(10 * i + j);
    }
    CBM_SCOPE(scope, cx);
    return cbm_dataset_tensors(cx, cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(SAMPLES, WIDTH), inputs),
                               cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(SAMPLES), targets));
}

/* The targets of an epoch, in order; the batches are checked on the way. */
static int64_t epoch(cbm_loader *l, int64_t *out)
{
    int64_t n = 0;
    for (cbm_batch b; cbm_next(l, &b);) {
        const float *x = cbm_tensor_data(b.input);
        const int64_t *y = cbm_tensor_data(b.target);
        assert_int_equal(cbm_tensor_size(b.input, 0), b.size);
        assert_int_equal(cbm_tensor_size(b.input, 1), WIDTH);
        assert_int_equal(cbm_tensor_size(b.target, 0), b.size);
        for (int64_t i = 0; i < b.size; ++i) {
            assert_int_equal(y[i], b.samples[i]);
            for (int j = 0; j < WIDTH; ++j)
                assert_true(x[i * WIDTH + j] == (float)(10 * y[i] + j));
            out[n++] = y[i];
        }
    }
    return n;
}

static void test_plain_order(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_dataset *d = numbers(cx);
    assert_int_equal(cbm_dataset_count(d), SAMPLES);
    assert_int_equal(cbm_dataset_classes(d), SAMPLES);
    cbm_loader *l = cbm_loader_open(d, .batch_size = 5);
    int64_t seen[SAMPLES];
    assert_int_equal(cbm_loader_batches(l), 5);
    for (int e = 0; e < 3; ++e) {
        assert_int_equal(epoch(l, seen), SAMPLES);
        for (int i = 0; i < SAMPLES; ++i)
            assert_int_equal(seen[i], i);
    }
    cbm_loader *whole = cbm_loader_open(d, .batch_size = 100, .workers = 0);
    assert_int_equal(cbm_loader_batches(whole), 1);
    assert_int_equal(epoch(whole, seen), SAMPLES);
    cbm_loader *dropped = cbm_loader_open(d, .batch_size = 5, .drop_last = true);
    assert_int_equal(cbm_loader_batches(dropped), 4);
    assert_int_equal(cbm_loader_samples(dropped), 20);
    assert_int_equal(epoch(dropped, seen), 20);
    assert_int_equal(cbm_context_status(cx), CBM_OK);
    cbm_close(cx);
}

static void test_shuffle_is_repeatable(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_dataset *d = numbers(cx);
    int64_t first[3][SAMPLES], again[SAMPLES];
    cbm_loader *l = cbm_loader_open(d, .batch_size = 4, .shuffle = true, .seed = 7, .workers = 0);
    for (int e = 0; e < 3; ++e) {
        assert_int_equal(epoch(l, first[e]), SAMPLES);
        bool met[SAMPLES] = { false };
        for (int i = 0; i < SAMPLES; ++i)
            met[first[e][i]] = true;
        for (int i = 0; i < SAMPLES; ++i)
            assert_true(met[i]);
    }
    assert_memory_not_equal(first[0], first[1], sizeof first[0]);
    static const int64_t workers[] = { 1, 2, 7 };
    for (size_t w = 0; w < 3; ++w) {
        cbm_loader *m = cbm_loader_open(d, .batch_size = 4, .shuffle = true, .seed = 7, .workers = workers[w]);
        for (int e = 0; e < 3; ++e) {
            assert_int_equal(epoch(m, again), SAMPLES);
            assert_memory_equal(first[e], again, sizeof again);
        }
        cbm_loader_close(m);
    }
    cbm_loader *other = cbm_loader_open(d, .batch_size = 4, .shuffle = true, .seed = 8);
    epoch(other, again);
    assert_memory_not_equal(first[0], again, sizeof again);
    cbm_close(cx);
}

static void test_position_continues(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_dataset *d = numbers(cx);
    for (int stop = 0; stop <= 14; ++stop) { /* in two epochs of six batches, each followed by a false */
        cbm_loader *l = cbm_loader_open(d, .batch_size = 4, .shuffle = true, .seed = 3);
        cbm_loader *m = cbm_loader_open(d, .batch_size = 4, .shuffle = true, .seed = 99);
        cbm_batch b, c;
        for (int i = 0; i < stop; ++i)
            cbm_next(l, &b);
        cbm_next(m, &c);
        cbm_loader_position p = cbm_loader_state(l);
        assert_int_equal(cbm_loader_set_state(m, &p), CBM_OK);
        for (int i = 0; i < 15; ++i) {
            bool more = cbm_next(l, &b);
            assert_int_equal(cbm_next(m, &c), more);
            assert_int_equal(b.size, c.size);
            assert_int_equal(b.epoch, c.epoch);
            assert_int_equal(b.index, c.index);
            if (more)
                assert_memory_equal(b.samples, c.samples, (size_t)b.size * sizeof *b.samples);
        }
        cbm_loader_close(l);
        cbm_loader_close(m);
    }
    cbm_loader *l = cbm_loader_open(d, .batch_size = 4);
    cbm_loader_position p = cbm_loader_state(l);
    p.batch_size = 5;
    assert_int_equal(cbm_loader_set_state(l, &p), CBM_ERROR_INVALID);
    assert_non_null(strstr(cbm_message(cx), "batch_size 5"));
    cbm_clear(cx);
    p.batch_size = 4;
    p.batch = 1000;
    assert_int_equal(cbm_loader_set_state(l, &p), CBM_ERROR_INVALID);
    cbm_close(cx);
}

static void test_batches_held(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_loader *l = cbm_loader_open(numbers(cx), .batch_size = 2, .workers = 2, .prefetch = 3);
    cbm_tensor *held[12] = { NULL };
    int n = 0;
    for (cbm_batch b; cbm_next(l, &b);)
        cbm_set(&held[n++], b.target); /* a batch that somebody holds keeps its memory */
    assert_int_equal(n, 12);
    epoch(l, (int64_t[SAMPLES]){ 0 });
    cbm_loader_close(l);
    for (int i = 0; i < n; ++i) {
        const int64_t *y = cbm_tensor_data(held[i]);
        assert_int_equal(y[0], 2 * i);
        cbm_set(&held[i], NULL);
    }
    assert_int_equal(cbm_context_status(cx), CBM_OK);
    cbm_close(cx);
}

/* Batches that pass by take no memory: not even a handle stays in the scope of the loop. */
static void test_no_growth(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_loader *l = cbm_loader_open(numbers(cx), .batch_size = 2, .shuffle = true);
    int64_t seen[SAMPLES];
    for (int e = 0; e < 3; ++e)
        epoch(l, seen);
    uint64_t before = cbm_context_statistics(cx).bytes_now;
    for (int e = 0; e < 50; ++e)
        epoch(l, seen);
    assert_true(cbm_context_statistics(cx).bytes_now <= before + 2048);
    cbm_close(cx);
}

/* ---- a user's own source ---- */

typedef struct source {
    int64_t bad, destroyed;
    bool explain;
} source;

static cbm_status read_source(void *user, const cbm_sample_request *s)
{
    source *from = user;
    if (s->index == from->bad) {
        if (from->explain)
            strcpy(s->message, "the file is %s gone");
        return CBM_ERROR_IO;
    }
    *(int64_t *)s->input = s->index;
    assert_null(s->target);
    return CBM_OK;
}

static void destroy_source(void *user)
{
    ++((source *)user)->destroyed;
}

static void test_failing_sample(void **state)
{
    (void)state;
    for (int64_t workers = 0; workers < 3; ++workers) {
        source from = { .bad = 9, .explain = true };
        cbm_context *cx = cbm_open(NULL);
        cbm_dataset *d =
            cbm_dataset_make(cx, .name = "pictures", .count = 16, .input_dtype = CBM_I64, .no_target = true,
                             .read = read_source, .user = &from, .destroy = destroy_source);
        cbm_loader *l = cbm_loader_open(d, .batch_size = 4, .workers = workers);
        cbm_batch b;
        assert_true(cbm_next(l, &b));
        assert_null(b.target);
        assert_int_equal(cbm_tensor_rank(b.input), 1);
        assert_true(cbm_next(l, &b));
        assert_false(cbm_next(l, &b));
        assert_int_equal(cbm_context_status(cx), CBM_ERROR_IO);
        assert_non_null(strstr(cbm_message(cx), "sample 9 of 'pictures': the file is %s gone"));
        assert_false(cbm_next(l, &b)); /* nothing is consumed in a failed context */
        cbm_clear(cx);
        assert_true(cbm_next(l, &b));
        assert_int_equal(b.samples[0], 12);
        assert_false(cbm_next(l, &b));
        assert_int_equal(cbm_context_status(cx), CBM_OK);
        cbm_tensor *one;
        from.explain = false;
        assert_int_equal(cbm_dataset_get(d, 9, &one, NULL), CBM_ERROR_IO);
        cbm_clear(cx);
        assert_int_equal(cbm_dataset_get(d, 5, &one, NULL), CBM_OK);
        assert_true(cbm_item(one) == 5.0);
        assert_int_equal(cbm_dataset_get(d, 16, &one, NULL), CBM_ERROR_RANGE);
        cbm_close(cx);
        assert_int_equal(from.destroyed, 1);
    }
}

/* ---- waiting ---- */

typedef struct gate {
    _Atomic int64_t begun; /* samples whose reading has begun */
} gate;

static cbm_status read_gate(void *user, const cbm_sample_request *s)
{
    ++((gate *)user)->begun;
    *(int64_t *)s->input = s->index;
    return CBM_OK;
}

static void test_waits(void **state)
{
    (void)state;
    gate g = { 0 };
    cbm_context *cx = cbm_open(NULL);
    cbm_dataset *d =
        cbm_dataset_make(cx, .count = 32, .input_dtype = CBM_I64, .no_target = true, .read = read_gate, .user = &g);
    cbm_batch b;
    cbm_loader *l = cbm_loader_open(d, .batch_size = 4, .workers = 0); /* reads when asked: each batch is waited for */
    for (int i = 0; i < 5; ++i)
        assert_true(cbm_next(l, &b));
    cbm_loading seen = cbm_loader_statistics(l);
    assert_int_equal(seen.batches, 5);
    assert_int_equal(seen.waits, 5);
    assert_true(seen.wait_seconds > 0 && seen.longest_wait > 0 && seen.longest_wait <= seen.wait_seconds);
    cbm_loader_close(l);
    /* A worker that has begun batch i + 2 has finished batch i + 1: no wait. */
    l = cbm_loader_open(d, .batch_size = 4, .workers = 1, .prefetch = 3);
    g.begun = 0;
    assert_true(cbm_next(l, &b));
    int64_t waits = cbm_loader_statistics(l).waits;
    for (int i = 1; i < 8; ++i) {
        while (g.begun < 4 * (i + 1) + 1)
            nanosleep(&(struct timespec){ 0, 100000 }, NULL);
        assert_true(cbm_next(l, &b));
        assert_int_equal(b.samples[0], 4 * i);
    }
    seen = cbm_loader_statistics(l);
    assert_int_equal(seen.batches, 8);
    assert_int_equal(seen.waits, waits);
    assert_int_equal(cbm_loader_statistics(NULL).batches, 0);
    cbm_close(cx);
}

static void test_bad_arguments(void **state)
{
    (void)state;
    source from = { .bad = -1 };
    cbm_context *cx = cbm_open(NULL);
    cbm_batch b;
    cbm_dataset *empty =
        cbm_dataset_make(cx, .count = 0, .read = read_source, .user = &from, .destroy = destroy_source);
    assert_non_null(empty);
    assert_null(cbm_loader_open(empty));
    assert_non_null(strstr(cbm_message(cx), "empty"));
    cbm_clear(cx);
    assert_null(cbm_dataset_make(cx, .count = 4));
    cbm_clear(cx);
    assert_null(cbm_dataset_make(cx, .count = -4, .read = read_source, .user = &from, .destroy = destroy_source));
    assert_int_equal(from.destroyed, 1);
    cbm_clear(cx);
    cbm_dataset *d = numbers(cx);
    assert_null(cbm_loader_open(d, .batch_size = 0));
    cbm_clear(cx);
    assert_null(cbm_loader_open(d, .workers = -1));
    cbm_clear(cx);
    assert_null(cbm_loader_open(d, .batch_size = 24, .drop_last = true));
    cbm_clear(cx);
    assert_null(cbm_dataset_tensors(cx, cbm_zeros(cx, CBM_F32, CBM_SHAPE(3, 2)), cbm_zeros(cx, CBM_I64, CBM_SHAPE(4))));
    assert_non_null(strstr(cbm_message(cx), "3 inputs but 4 targets"));
    cbm_clear(cx);
    assert_null(cbm_dataset_part(d, 20, 4));
    cbm_clear(cx);
    assert_null(cbm_loader_open(NULL));
    assert_false(cbm_next(NULL, &b));
    cbm_loader_close(NULL);
    cbm_dataset_release(NULL);
    assert_int_equal(cbm_loader_batches(NULL), 0);
    assert_int_equal(cbm_context_status(cx), CBM_OK);
    cbm_close(cx);
}

static void test_parts(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_dataset *d = numbers(cx), *part = cbm_dataset_part(d, 20, 3);
    cbm_loader *l = cbm_loader_open(part);
    cbm_dataset_release(d); /* the part keeps it */
    cbm_dataset_release(part);
    cbm_batch b;
    assert_true(cbm_next(l, &b));
    assert_int_equal(b.size, 3);
    assert_int_equal(((const int64_t *)cbm_tensor_data(b.target))[0], 20);
    cbm_close(cx);
}

/* A process with a loader may fork; the child can close what it inherited. */
static void test_fork(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_loader *l = cbm_loader_open(numbers(cx), .batch_size = 2, .workers = 2);
    cbm_batch b;
    assert_true(cbm_next(l, &b));
    pid_t child = fork();
    if (child == 0) {
        bool refused = !cbm_next(l, &b) && cbm_context_status(cx) == CBM_ERROR_STATE;
        cbm_close(cx);
        _exit(refused ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(cbm_next(l, &b));
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_order),
        cmocka_unit_test(test_shuffle_is_repeatable),
        cmocka_unit_test(test_position_continues),
        cmocka_unit_test(test_batches_held),
        cmocka_unit_test(test_no_growth),
        cmocka_unit_test(test_failing_sample),
        cmocka_unit_test(test_waits),
        cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
