/* test_fallback.c: a kernel that promises a layout, or to do a pass itself, and finds when it is prepared that it cannot: the
   plan is made once more with plain operands, and the values are those of plain kernels. */
#include "backend/backend.h"
#include "backend/cpu/onednn.h"
#include "tensor/context.h"
#include <cambium/ops.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { CHANNELS = 32, SIDE = 8, SIZE = 2 * CHANNELS * SIDE * SIDE };

static cbm_kernel table[2]; /* the CPU's convolution, that cannot after all */
static cbm_status (*prepare_truly)(cbm_prepare *p);
static int refused;

static cbm_status refuse_what_is_not_plain(cbm_prepare *p)
{
    if (p->launch->out[0].layout != CBM_LAYOUT_PLAIN || p->launch->after) {
        snprintf(p->message, 256, "not today");
        refused++;
        return CBM_ERROR_UNSUPPORTED;
    }
    return prepare_truly(p);
}

static cbm_status refuse_always(cbm_prepare *p)
{
    snprintf(p->message, 256, "not at all");
    refused++;
    return CBM_ERROR_UNSUPPORTED;
}

static const cbm_kernel *const tables[] = { table, NULL };

/* The CPU backend with prepare in place of its own for convolution, and for everything else what fallback names. */
static cbm_backend backend_with(cbm_status (*prepare)(cbm_prepare *p), const char *fallback)
{
    cbm_backend backend = *cbm_backend_named("cpu");
    for (const cbm_kernel *const *t = backend.tables; *t; t++)
        for (const cbm_kernel *k = *t; k->op; k++)
            if (strcmp(k->op, "conv2d") == 0)
                table[0] = *k;
    prepare_truly = table[0].prepare;
    table[0].prepare = prepare;
    backend.tables = tables;
    backend.fallback = cbm_backend_named(fallback);
    refused = 0;
    return backend;
}

static cbm_status convolve(const cbm_backend *backend, float *out)
{
    cbm_context *cx = cbm_open_with(.seed = 3, .threads = 1);
    if (backend)
        cx->backend = backend;
    cbm_tensor *x = cbm_uniform(cx, CBM_F32, CBM_SHAPE(2, CHANNELS, SIDE, SIDE), -1, 1);
    cbm_tensor *w = cbm_uniform(cx, CBM_F32, CBM_SHAPE(CHANNELS, CHANNELS, 3, 3), -1, 1);
    cbm_tensor *y = cbm_relu(cbm_conv2d(x, w, NULL, .padding = CBM_SHAPE(1)));
    const cbm_status status = cbm_read(cbm_conv2d(y, w, NULL, .padding = CBM_SHAPE(1)), out, SIZE * sizeof *out);
    cbm_close(cx);
    return status;
}

static void test_plain_after_all(void **state)
{
    (void)state;
    static float want[SIZE], got[SIZE];
    assert_int_equal(convolve(NULL, want), CBM_OK);
    const cbm_backend unable = backend_with(refuse_what_is_not_plain, "reference");
    assert_int_equal(convolve(&unable, got), CBM_OK);
    assert_true(refused > 0);
    for (int i = 0; i < SIZE; i++)
        assert_true(fabsf(got[i] - want[i]) < 1e-3f);
}

static void test_next_backend(void **state)
{
    (void)state;
    static float want[SIZE], got[SIZE];
    assert_int_equal(convolve(NULL, want), CBM_OK);
    const cbm_backend unable = backend_with(refuse_always, "cpu");
    assert_int_equal(convolve(&unable, got), CBM_OK);
    assert_true(refused > 0);
    for (int i = 0; i < SIZE; i++)
        assert_true(fabsf(got[i] - want[i]) < 1e-3f);
}

static void test_nobody_can(void **state)
{
    (void)state;
    static float got[SIZE];
    cbm_backend unable = backend_with(refuse_always, "cpu");
    unable.fallback = NULL;
    cbm_context *cx = cbm_open_with(.seed = 3, .threads = 1);
    cbm_tensor *x = cbm_uniform(cx, CBM_F32, CBM_SHAPE(2, CHANNELS, SIDE, SIDE), -1, 1);
    cbm_tensor *w = cbm_uniform(cx, CBM_F32, CBM_SHAPE(CHANNELS, CHANNELS, 3, 3), -1, 1);
    cbm_flush(cx);
    cx->backend = &unable;
    assert_int_equal(cbm_read(cbm_conv2d(x, w, NULL, .padding = CBM_SHAPE(1)), got, sizeof got), CBM_ERROR_UNSUPPORTED);
    assert_non_null(strstr(cbm_message(cx), "[conv2d] cannot be prepared: not at all"));
    cbm_close(cx);
}

int main(void)
{
    if (!cbm_dnn_present()) {
        printf("without oneDNN convolutions promise neither a layout nor a pass\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_after_all),
        cmocka_unit_test(test_next_backend),
        cmocka_unit_test(test_nobody_can),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
