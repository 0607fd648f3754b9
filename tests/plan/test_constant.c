/* test_constant.c: what plans keep from run to run (weights in a kernel's own form, values of variables alone) never goes
   stale: not when variables change, not when other inputs do, not when a result is asked for again; and gates in training let
   NaN through. */
#include <cambium/cambium.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 2, C = 32, SIDE = 12, SIZE = N * C * SIDE * SIDE };

typedef struct world {
    cbm_context *cx;
    cbm_tensor *picture, *weight, *scale;
} world;

static world open_world(bool naive)
{
    world w = { .cx = cbm_open_with(.device = naive ? "reference" : "cpu", .naive = naive, .seed = 9, .threads = 2) };
    w.picture = cbm_variable(cbm_uniform(w.cx, CBM_F32, CBM_SHAPE(N, C, SIDE, SIDE), -1, 1), false);
    w.weight = cbm_variable(cbm_uniform(w.cx, CBM_F32, CBM_SHAPE(C, C, 3, 3), -0.1, 0.1), true);
    w.scale = cbm_variable(cbm_uniform(w.cx, CBM_F32, CBM_SHAPE(C, 1, 1, 1), 0.5, 1.5), true);
    cbm_flush(w.cx);
    return w;
}

/* A number that says which turn it is; the whole result into out. */
typedef cbm_tensor *(*program)(world *w, int turn, cbm_tensor *x);

static cbm_tensor *plain(world *w, int turn, cbm_tensor *x)
{
    (void)turn;
    return cbm_relu(cbm_conv2d(x, cbm_mul(w->weight, w->scale), NULL, .padding = CBM_SHAPE(1)));
}

/* A learned picture through a learned convolution, and what is added changes. */
static cbm_tensor *noise_on_constant(world *w, int turn, cbm_tensor *x)
{
    (void)turn;
    return cbm_relu(cbm_add(cbm_conv2d(w->picture, w->weight, NULL, .padding = CBM_SHAPE(1)), x));
}

/* Nothing but variables, and asked for each time. */
static cbm_tensor *all_constant(world *w, int turn, cbm_tensor *x)
{
    (void)turn;
    (void)x;
    return cbm_relu(cbm_conv2d(w->picture, w->weight, NULL, .padding = CBM_SHAPE(1)));
}

static cbm_tensor *number_on_weight(world *w, int turn, cbm_tensor *x)
{
    return cbm_conv2d(x, cbm_mul_scalar(w->weight, turn / 2 + 1), NULL, .padding = CBM_SHAPE(1));
}

static const program programs[] = { plain, noise_on_constant, all_constant, number_on_weight };

static void turn(world *w, program run, int number, float *out)
{
    CBM_NO_GRAD(scope, w->cx);
    if (number == 3)
        cbm_assign(w->weight, cbm_mul_scalar(w->weight, 2));
    if (number == 5)
        cbm_assign(w->scale, cbm_add_scalar(w->scale, 1));
    if (number == 6)
        cbm_assign(w->picture, cbm_neg(w->picture));
    if (number == 7)
        cbm_trim(w->cx);
    cbm_tensor *x = cbm_full(w->cx, CBM_F32, CBM_SHAPE(N, C, SIDE, SIDE), 0.1 * (number % 3) + 0.05);
    assert_int_equal(cbm_read(run(w, number, x), out, SIZE * sizeof *out), CBM_OK);
}

static void test_nothing_goes_stale(void **state)
{
    (void)state;
    static float planned[SIZE], naive[SIZE];
    for (size_t p = 0; p < sizeof programs / sizeof *programs; p++) {
        world a = open_world(false), b = open_world(true);
        for (int t = 0; t < 9; t++) {
            turn(&a, programs[p], t, planned);
            turn(&b, programs[p], t, naive);
            for (int i = 0; i < SIZE; i++)
                if (!(fabsf(planned[i] - naive[i]) <= 1e-4f))
                    fail_msg("program %zu, turn %d, element %d: %g, %g plainly", p, t, i, (double)planned[i],
                             (double)naive[i]);
        }
        assert_string_equal(cbm_message(a.cx), "");
        cbm_close(a.cx);
        cbm_close(b.cx);
    }
}

static void test_training_sees_nan(void **state)
{
    (void)state;
    for (int channels = 1; channels <= C; channels += C - 1) { /* by oneDNN's direct code, and by own Winograd */
        cbm_context *cx = cbm_open_with(.threads = 1);
        cbm_tensor *x = cbm_full(cx, CBM_F32, CBM_SHAPE(4, channels, SIDE, SIDE), NAN);
        cbm_tensor *w = cbm_variable(cbm_ones(cx, CBM_F32, CBM_SHAPE(C, channels, 3, 3)), true);
        cbm_tensor *loss = cbm_sum(cbm_relu(cbm_conv2d(x, w, NULL, .padding = CBM_SHAPE(1))));
        cbm_backward(loss);
        cbm_assign(w, cbm_sub(w, cbm_mul_scalar(cbm_gradient(w), 0.1)));
        cbm_flush(cx);
        assert_true(isnan(cbm_item(loss)));
        cbm_close(cx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_goes_stale),
        cmocka_unit_test(test_training_sees_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
