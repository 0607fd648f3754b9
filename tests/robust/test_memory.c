/* test_memory.c: each allocation of a training step fails once: one clear message, nothing changed, nothing lost, and the
   training goes on as if the failed step had not been tried. Also: a limit of memory, and a context without any. */
#include "robust/step.h"
#include "tensor/context.h"

#include <stdlib.h>

static const char *const devices[] = { "reference", "cpu" };

/* What two good steps lead to. */
static void expected(const char *device, uint64_t naive, int steps, step_state *s)
{
    cbm_context *cx = cbm_open_with(.device = device, .naive = naive, .seed = 5);
    step_model m = step_model_new(cx);
    for (int i = 0; i < steps; i++)
        assert_true(isfinite(step_run(&m, i, 0)));
    *s = step_state_of(&m);
    cbm_close(cx);
}

/* The step after `good` ones fails at its n-th allocation. False: it has no n-th allocation. */
static bool fail_at(const char *device, uint64_t naive, int good, int64_t n, const step_state *before,
                    const step_state *after)
{
    int errors = 0;
    cbm_context *cx =
        cbm_open_with(.device = device, .naive = naive, .seed = 5, .log = step_count_error, .log_user = &errors);
    step_model m = step_model_new(cx);
    for (int i = 0; i < good; i++)
        step_run(&m, i, 0);
    uint64_t first = cbm_heap_takes(cx->heap);
    cbm_heap_fail_after(cx->heap, n);
    step_run(&m, good, 0);
    bool reached = cbm_heap_takes(cx->heap) - first >= (uint64_t)n;
    cbm_heap_fail_after(cx->heap, 0);
    cbm_status status = cbm_context_status(cx);
    if (status != CBM_OK) {
        if (status != CBM_ERROR_MEMORY || errors != 1 || !strstr(cbm_message(cx), "memory"))
            fail_msg("%s, allocation %lld: status %d, %d errors, \"%s\"", device, (long long)n, (int)status, errors,
                     cbm_message(cx));
        cbm_clear(cx);
        cbm_trim(cx);
        step_state now = step_state_of(&m);
        step_same(&now, before);
        assert_true(isfinite(step_run(&m, good, 0)));
    }
    step_state now = step_state_of(&m);
    step_same(&now, after);
    assert_int_equal(cbm_context_status(cx), CBM_OK);
    assert_int_equal(cbm_context_statistics(cx).nodes_pending, 0);
    cbm_close(cx);
    return reached;
}

static void every_allocation(uint64_t naive)
{
    for (size_t d = 0; d < 2; d++)
        for (int good = 0; good < 3; good++) { /* a new plan; in-place assignments; the plan again */
            step_state before, after;
            expected(devices[d], naive, good, &before);
            expected(devices[d], naive, good + 1, &after);
            int64_t n = 1;
            while (fail_at(devices[d], naive, good, n, &before, &after))
                n++;
            assert_true(n > 20);
        }
}

static void test_every_allocation(void **state)
{
    (void)state;
    every_allocation(0);
}

static void test_every_allocation_naive(void **state)
{
    (void)state;
    every_allocation(1);
}

/* The hooks refuse from the n-th request on. */
typedef struct hooks {
    int64_t allowed;
    int64_t held;
} hooks;

static void *allocate(size_t size, size_t alignment, void *user)
{
    hooks *h = user;
    if (h->allowed-- <= 0)
        return NULL;
    void *p = NULL;
    if (posix_memalign(&p, alignment, size ? size : 1) != 0)
        return NULL;
    h->held++;
    return p;
}

static void release(void *memory, size_t size, void *user)
{
    (void)size;
    ((hooks *)user)->held--;
    free(memory);
}

static void test_hooks_refuse(void **state)
{
    (void)state;
    for (int64_t allowed = 0;; allowed++) {
        hooks h = { .allowed = allowed };
        cbm_allocator a = { allocate, release, &h };
        cbm_context *cx = cbm_open_with(.allocator = &a, .seed = 5);
        assert_non_null(cx);
        step_model m = step_model_new(cx);
        for (int i = 0; i < 3; i++)
            step_run(&m, i, 0);
        cbm_status status = cbm_context_status(cx);
        if (status != CBM_OK)
            assert_int_equal(status, CBM_ERROR_MEMORY);
        cbm_close(cx);
        assert_int_equal(h.held, 0);
        if (status == CBM_OK)
            break;
        assert_true(allowed < 100000);
    }
}

/* Too large for the limit: said so, and a smaller batch works. */
static void test_limit(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.memory_limit = 4 << 20);
    cbm_tensor *w = cbm_variable(cbm_ones(cx, CBM_F32, CBM_SHAPE(16, 16)), true);
    for (int64_t batch = 1 << 16; batch >= 16; batch /= 2) {
        cbm_scope *s = cbm_scope_begin(cx);
        cbm_tensor *y = cbm_matmul(cbm_ones(cx, CBM_F32, CBM_SHAPE(batch, 16)), w);
        cbm_tensor *loss = cbm_mean(cbm_tanh(cbm_mul_scalar(y, 0.05)));
        cbm_backward(loss);
        cbm_assign(w, cbm_sub(w, cbm_mul_scalar(cbm_gradient(w), 0.1)));
        cbm_clear_gradient(w);
        cbm_flush(cx);
        cbm_scope_end(s);
        if (batch == 1 << 16) {
            assert_int_equal(cbm_context_status(cx), CBM_ERROR_MEMORY);
            assert_non_null(strstr(cbm_message(cx), "HINT"));
        }
        if (cbm_context_status(cx) == CBM_OK)
            break;
        cbm_clear(cx);
        cbm_trim(cx);
        float now[256];
        assert_int_equal(cbm_read(w, now, sizeof now), CBM_OK);
        assert_true(now[0] == 1.0f);
    }
    assert_int_equal(cbm_context_status(cx), CBM_OK);
    float now[256];
    assert_int_equal(cbm_read(w, now, sizeof now), CBM_OK);
    assert_true(now[0] < 1.0f);
    cbm_close(cx);
}

static void test_broken_context(void **state)
{
    (void)state;
    hooks h = { .allowed = 0 };
    cbm_allocator a = { allocate, release, &h };
    cbm_context *cx = cbm_open_with(.allocator = &a);
    assert_int_equal(cbm_context_status(cx), CBM_ERROR_MEMORY);
    cbm_clear(cx);
    assert_int_equal(cbm_context_status(cx), CBM_ERROR_MEMORY);
    float x = 1;
    cbm_tensor *t = cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(1), &x);
    assert_non_null(t);
    assert_true(cbm_tensor_failed(t));
    CBM_SCOPE(s, cx);
    cbm_tensor *v = cbm_variable(cbm_add(t, cbm_ones(cx, CBM_F32, CBM_SHAPE(2))), true);
    cbm_backward(cbm_mean(v));
    cbm_assign(v, t);
    assert_true(isnan(cbm_item(t)));
    cbm_flush(cx);
    cbm_trim(cx);
    cbm_reset_peak(cx);
    assert_string_equal(cbm_explain(cx), "");
    assert_int_equal(cbm_context_statistics(cx).bytes_now, 0);
    cbm_seed(cx, 1);
    cbm_cancel(cx);
    cbm_close(cx);
    cbm_close(NULL);
    assert_int_equal(h.held, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation), cmocka_unit_test(test_every_allocation_naive),
        cmocka_unit_test(test_hooks_refuse),     cmocka_unit_test(test_limit),
        cmocka_unit_test(test_broken_context),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
