/* The diagnosis of a recipe: nothing is found on a healthy one, and each planted fault is named. */
#include "recipes/recipe.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

enum { SIDE = 8, PIXELS = SIDE * SIDE, CLASSES = 4, SAMPLES = 600 };

/* ---- pictures: one quadrant is brighter, and noise ---- */

static bool shuffled;
static double brightness = 1;

static cbm_dataset *quadrants(cbm_context *cx, const char *dir, cbm_split split)
{
    (void)dir;
    static float pixels[SAMPLES * PIXELS];
    int64_t labels[SAMPLES];
    cbm_transform_call draw = { .seed = split == CBM_TEST };
    for (int s = 0; s < SAMPLES; s++) {
        draw.index = s;
        int64_t class = cbm_transform_random(&draw, PIXELS, CLASSES);
        labels[s] = shuffled ? cbm_transform_random(&draw, PIXELS + 1, CLASSES) : class;
        for (int i = 0; i < PIXELS; i++) {
            int quadrant = i / SIDE / (SIDE / 2) * 2 + i % SIDE / (SIDE / 2);
            double noise = (double)cbm_transform_random(&draw, i, 2001) / 1000 - 1;
            pixels[s * PIXELS + i] = (float)(brightness * (noise + (quadrant == class)));
        }
    }
    CBM_SCOPE(scope, cx);
    return cbm_dataset_tensors(cx, cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(SAMPLES, 1, SIDE, SIDE), pixels),
                               cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(SAMPLES), labels));
}

/* ---- networks ---- */

static cbm_module *healthy(cbm_context *cx, cbm_dtype dtype)
{
    return cbm_sequential(cx, cbm_nn_conv2d(cx, 1, 8, 3, .dtype = dtype), cbm_nn_relu(cx), cbm_nn_flatten(cx),
                          cbm_nn_linear(cx, 8 * 36, 32, .dtype = dtype), cbm_nn_relu(cx),
                          cbm_nn_linear(cx, 32, CLASSES, .dtype = dtype), CBM_END);
}

static cbm_module *without_relu(cbm_context *cx, cbm_dtype dtype)
{
    return cbm_sequential(cx, cbm_nn_conv2d(cx, 1, 8, 3, .dtype = dtype), cbm_nn_flatten(cx),
                          cbm_nn_linear(cx, 8 * 36, 32, .dtype = dtype), cbm_nn_relu(cx),
                          cbm_nn_linear(cx, 32, CLASSES, .dtype = dtype), CBM_END);
}

static cbm_module *all_zero(cbm_context *cx, cbm_dtype dtype)
{
    cbm_module *net = healthy(cx, dtype);
    cbm_named named;
    for (size_t i = 0; cbm_parameter_at(net, i, &named); i++)
        cbm_assign(named.tensor, cbm_zeros(cx, dtype, cbm_tensor_shape(named.tensor)));
    return net;
}

static cbm_module *saturated(cbm_context *cx, cbm_dtype dtype)
{
    return cbm_sequential(cx, cbm_nn_flatten(cx), cbm_nn_linear(cx, PIXELS, 32, .dtype = dtype), cbm_nn_sigmoid(cx),
                          cbm_nn_linear(cx, 32, CLASSES, .dtype = dtype), CBM_END);
}

static cbm_module *too_small(cbm_context *cx, cbm_dtype dtype)
{
    return cbm_sequential(cx, cbm_nn_avg_pool2d(cx, SIDE), cbm_nn_flatten(cx), cbm_nn_linear(cx, 1, 2, .dtype = dtype),
                          cbm_nn_relu(cx), cbm_nn_linear(cx, 2, CLASSES, .dtype = dtype), CBM_END);
}

/* x^2, whose gradient has the wrong sign. */
static bool same_shape(cbm_infer *infer)
{
    infer->out_shape[0] = infer->in_shape[0];
    infer->out_dtype[0] = infer->in_dtype[0];
    return true;
}

static cbm_status square(const cbm_launch *launch)
{
    int64_t count = launch->in[0].count;
    for (int64_t i = 0; i < count; i++)
        if (launch->in[0].dtype == CBM_F64)
            ((double *)launch->out[0].data)[i] = pow(((const double *)launch->in[0].data)[i], 2);
        else
            ((float *)launch->out[0].data)[i] = powf(((const float *)launch->in[0].data)[i], 2);
    return CBM_OK;
}

static void wrong_sign(cbm_vjp *vjp)
{
    vjp->in_gradient[0] = cbm_mul(vjp->out_gradient[0], cbm_mul_scalar(vjp->in[0], -2));
}

static const cbm_op own_square = { .struct_size = sizeof(cbm_op),
                                   .name = "own_square",
                                   .formula = "x^2",
                                   .n_in = 1,
                                   .n_out = 1,
                                   .saves = CBM_SAVES_IN(0),
                                   .infer = same_shape,
                                   .vjp = wrong_sign,
                                   .kernel = square };

static cbm_tensor *square_forward(cbm_module *self, cbm_tensor *x)
{
    (void)self;
    cbm_tensor *out[1] = { NULL };
    return cbm_apply(cbm_tensor_context(x), &own_square, &x, 1, NULL, out);
}

static cbm_module *wrong_gradient(cbm_context *cx, cbm_dtype dtype)
{
    return cbm_sequential(cx, cbm_nn_flatten(cx), cbm_nn_linear(cx, PIXELS, 32, .dtype = dtype),
                          cbm_module_new(cx, sizeof(cbm_module), square_forward),
                          cbm_nn_linear(cx, 32, CLASSES, .dtype = dtype), CBM_END);
}

/* Pulls all samples' scores together: zero for a constant. */
static cbm_tensor *degenerate(cbm_module *net, const cbm_batch *batch, cbm_tensor **prediction, void *user)
{
    (void)user;
    *prediction = cbm_call(net, batch->input);
    cbm_tensor *middle = cbm_mean(*prediction, .axes = CBM_SHAPE(0), .keepdim = true);
    return cbm_mean(cbm_square(cbm_sub(*prediction, middle)));
}

static cbm_optimizer *optimizer(cbm_module *net, const cbm_recipe_settings *s)
{
    return cbm_sgd(net, .lr = s->lr, .momentum = 0.9);
}

static const cbm_recipe base = { .name = "quadrants",
                                 .epochs = 1,
                                 .batch_size = 32,
                                 .lr = 0.02,
                                 .input = { { 3, 1, SIDE, SIDE } },
                                 .classes = CLASSES,
                                 .model = healthy,
                                 .dataset = quadrants,
                                 .optimizer = optimizer };

/* ---- findings ---- */

enum { MOST = 40 };

typedef struct report {
    cbm_finding at[MOST];
    int count;
} report;

static void keep(const cbm_finding *f, void *user)
{
    report *r = user;
    assert_true(r->count < MOST);
    r->at[r->count++] = *f;
}

static report diagnose(const cbm_recipe *recipe)
{
    report r = { .count = 0 };
    cbm_context *cx = cbm_open(NULL);
    cbm_recipe_settings s = cbm_recipe_settings_of(recipe);
    s.data_dir = "none";
    if (cbm_recipe_diagnose(recipe, cx, &s, keep, &r) != CBM_OK)
        fail_msg("%s", cbm_message(cx));
    cbm_close(cx);
    return r;
}

/* The finding of that check which does not pass; NULL: there is none. */
static const cbm_finding *failed(const report *r, const char *check)
{
    for (int i = 0; i < r->count; i++)
        if (strcmp(r->at[i].check, check) == 0 && !r->at[i].passed)
            return &r->at[i];
    return NULL;
}

static void show(const report *r)
{
    for (int i = 0; i < r->count; i++)
        print_message("%-18s %s  %s\n", r->at[i].check, r->at[i].passed ? "ok  " : "BAD ", r->at[i].text);
}

/* recipe's diagnosis fails that check with that text. */
static void expect_named(const cbm_recipe *recipe, const char *check, const char *text)
{
    report r = diagnose(recipe);
    const cbm_finding *f = failed(&r, check);
    if (f && strstr(f->text, text) && f->advice && f->advice[0])
        return;
    show(&r);
    fail_msg("'%s' with '%s' was not found", check, text);
}

static void test_healthy(void **state)
{
    (void)state;
    static const char *const checks[] = { "initial weights",   "cost",           "first loss",    "non-linearity",
                                          "layers, untrained", "gradients",      "learning rate", "small subset",
                                          "validation",        "layers, trained" };
    report r = diagnose(&base);
    bool bad = r.count != (int)(sizeof checks / sizeof *checks);
    for (int i = 0; i < r.count && !bad; i++)
        bad = !r.at[i].passed || strcmp(r.at[i].check, checks[i]) != 0 || r.at[i].advice;
    if (bad)
        show(&r);
    assert_false(bad);
}

static void test_wrong_sign(void **state)
{
    (void)state;
    cbm_recipe r = base;
    r.model = wrong_gradient;
    expect_named(&r, "gradients", "differ from central differences, the first is '1.weight'");
}

static void test_rate_too_high(void **state)
{
    (void)state;
    cbm_recipe r = base;
    r.lr *= 100;
    expect_named(&r, "learning rate", "; at 0.2 it falls");
}

static void test_all_zero(void **state)
{
    (void)state;
    cbm_recipe r = base;
    r.model = all_zero;
    expect_named(&r, "initial weights", "all elements of '0.weight' are 0");
}

static void test_shuffled_labels(void **state)
{
    (void)state;
    shuffled = true;
    expect_named(&base, "validation", "that is guessing");
    shuffled = false;
}

static void test_missing_non_linearity(void **state)
{
    (void)state;
    cbm_recipe r = base;
    r.model = without_relu;
    expect_named(&r, "non-linearity", "'0' is followed by '2' without a non-linearity");
}

static void test_saturated(void **state)
{
    (void)state;
    cbm_recipe r = base;
    r.model = saturated;
    brightness = 100;
    expect_named(&r, "layers, untrained", "of the elements are saturated");
    brightness = 1;
}

static void test_too_small(void **state)
{
    (void)state;
    cbm_recipe r = base;
    r.model = too_small;
    report found = diagnose(&r);
    const cbm_finding *f = failed(&found, "small subset");
    if (!f || !strstr(f->advice, "too small"))
        show(&found);
    assert_true(f && strstr(f->advice, "too small"));
}

static void test_degenerate_loss(void **state)
{
    (void)state;
    cbm_recipe r = base;
    r.loss = degenerate;
    expect_named(&r, "small subset", "the loss has nearly gone");
}

static void test_not_a_training(void **state)
{
    (void)state;
    cbm_recipe r = base;
    r.dataset = NULL;
    cbm_context *cx = cbm_open(NULL);
    cbm_recipe_settings s = cbm_recipe_settings_of(&r);
    assert_int_equal(cbm_recipe_diagnose(&r, cx, &s, keep, NULL), CBM_ERROR_UNSUPPORTED);
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_healthy),         cmocka_unit_test(test_wrong_sign),
        cmocka_unit_test(test_rate_too_high),   cmocka_unit_test(test_all_zero),
        cmocka_unit_test(test_shuffled_labels), cmocka_unit_test(test_missing_non_linearity),
        cmocka_unit_test(test_saturated),       cmocka_unit_test(test_too_small),
        cmocka_unit_test(test_degenerate_loss), cmocka_unit_test(test_not_a_training),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
