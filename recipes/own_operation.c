/* own_operation.c: an operation of one's own in a network: the snake unit x + sin^2(a x) / a (Ziyin, Hartwig and Ueda 2020),
   with a kernel in C and a gradient in operations, checked, trained, and compared with ReLU and tanh units beyond the
   range that they were trained on. */
#include "recipe.h"
#include <cambium/media.h>
#include <math.h>
#include <stdio.h>

/* ---- the operation ---- */

typedef struct snake_attributes {
    double a;
} snake_attributes;

static bool snake_infer(cbm_infer *infer)
{
    if (infer->in_dtype[0] != CBM_F32 && infer->in_dtype[0] != CBM_F64)
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE, "needs f32 or f64, not %s", cbm_dtype_name(infer->in_dtype[0]));
    infer->out_shape[0] = infer->in_shape[0];
    infer->out_dtype[0] = infer->in_dtype[0];
    return true;
}

static cbm_status snake_kernel(const cbm_launch *launch)
{
    const double a = ((const snake_attributes *)launch->attributes)->a;
    const cbm_buffer *x = &launch->in[0], *y = &launch->out[0];
    for (int64_t i = 0; i < x->count && x->dtype == CBM_F32; i++) {
        const float v = ((const float *)x->data)[i], s = sinf((float)a * v);
        ((float *)y->data)[i] = v + s * s / (float)a;
    }
    for (int64_t i = 0; i < x->count && x->dtype == CBM_F64; i++) {
        const double v = ((const double *)x->data)[i], s = sin(a * v);
        ((double *)y->data)[i] = v + s * s / a;
    }
    return CBM_OK;
}

/* 1 + sin(2 a x), since d/dx of sin^2(a x) / a is 2 sin(a x) cos(a x). */
static void snake_vjp(cbm_vjp *v)
{
    const double a = ((const snake_attributes *)v->attributes)->a;
    v->in_gradient[0] = cbm_mul(v->out_gradient[0], cbm_add_scalar(cbm_sin(cbm_mul_scalar(v->in[0], 2 * a)), 1));
}

static const cbm_attribute snake_fields[] = {
    { "a", CBM_ATTRIBUTE_FLOAT, offsetof(snake_attributes, a), true },
};
static const snake_attributes usual = { 1.5 };
static const cbm_sample snake_samples[] = {
    { .n_in = 1, .in = { { { { 2, 3, 5 } }, CBM_F64, -3, 3, false } }, .attributes = &usual },
};
static const cbm_op snake_op = {
    .struct_size = sizeof(cbm_op),
    .name = "snake",
    .formula = "x + sin(a x)^2 / a",
    .n_in = 1,
    .n_out = 1,
    .saves = CBM_SAVES_IN(0),
    .attributes_size = sizeof(snake_attributes),
    .attributes = snake_fields,
    .n_attributes = 1,
    .infer = snake_infer,
    .kernel = snake_kernel,
    .vjp = snake_vjp,
    .samples = snake_samples,
    .n_samples = 1,
};

static cbm_tensor *snake(cbm_tensor *x, void *user)
{
    (void)user;
    return cbm_apply(cbm_tensor_context(x), &snake_op, &x, 1, &usual, NULL);
}

/* ---- three networks that differ in their units ---- */

enum { HIDDEN = 64, TRAINED = 256, SHOWN = 600, STEPS = 2000, UNITS = 3 };
#define INSIDE 6.0   /* trained on [-INSIDE, INSIDE] */
#define OUTSIDE 15.0 /* shown on [-OUTSIDE, OUTSIDE] */

static cbm_module *units(cbm_context *cx, int kind)
{
    return kind == 0 ? cbm_nn_function(cx, "snake", snake, NULL, NULL) : kind == 1 ? cbm_nn_tanh(cx) : cbm_nn_relu(cx);
}
static const char *const unit_names[UNITS] = { "snake, of one's own", "tanh", "ReLU" };

static cbm_module *network(cbm_context *cx, int kind, cbm_dtype dtype)
{
    return cbm_sequential(cx, cbm_nn_linear(cx, 1, HIDDEN, .dtype = dtype), units(cx, kind),
                          cbm_nn_linear(cx, HIDDEN, HIDDEN, .dtype = dtype), units(cx, kind),
                          cbm_nn_linear(cx, HIDDEN, 1, .dtype = dtype), CBM_END);
}

static cbm_module *model(cbm_context *cx, cbm_dtype dtype)
{
    return network(cx, 0, dtype);
}

static double wave(double x)
{
    return sin(x) + 0.1 * x;
}

static cbm_tensor *loss(cbm_module *net, const cbm_batch *batch, cbm_tensor **prediction, void *user)
{
    (void)prediction;
    (void)user;
    return cbm_mse(cbm_call(net, batch->input), batch->target);
}

static cbm_optimizer *optimizer(cbm_module *net, const cbm_recipe_settings *s)
{
    return cbm_adam(net, .lr = s->lr);
}

/* A column of numbers, evenly spread over [-width, width], and the wave there. */
static void spread(float *x, float *y, int count, double width)
{
    for (int i = 0; i < count; i++) {
        const double at = width * (2.0 * i / (count - 1) - 1);
        x[i] = (float)at;
        y[i] = (float)wave(at);
    }
}

static void train(cbm_context *cx, cbm_module *net, const cbm_recipe_settings *s)
{
    float x[TRAINED], y[TRAINED];
    const int64_t steps = s->max_steps > 0 && s->max_steps < STEPS ? s->max_steps : STEPS;
    spread(x, y, TRAINED, INSIDE);
    cbm_optimizer *opt = optimizer(net, s);
    CBM_SCOPE(data, cx);
    const cbm_batch all = { .input = cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(TRAINED, 1), x),
                            .target = cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(TRAINED, 1), y),
                            .size = TRAINED };
    for (int64_t i = 0; i < steps && cbm_context_status(cx) == CBM_OK; i++) {
        CBM_SCOPE(step, cx);
        cbm_backward(loss(net, &all, NULL, NULL));
        cbm_step(opt);
    }
}

/* What the network says, and the root of its mean squared error inside and outside of what it was trained on. */
static void look(cbm_context *cx, cbm_module *net, double *curve, double error[2])
{
    float x[SHOWN], y[SHOWN];
    double sums[2] = { 0 };
    int counts[2] = { 0 };
    spread(x, y, SHOWN, OUTSIDE);
    CBM_NO_GRAD(scope, cx);
    const float *out = cbm_tensor_data(cbm_call(net, cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(SHOWN, 1), x)));
    for (int i = 0; out && i < SHOWN; i++) {
        const int outside = fabsf(x[i]) > (float)INSIDE;
        curve[i] = out[i];
        sums[outside] += (double)(out[i] - y[i]) * (double)(out[i] - y[i]);
        counts[outside]++;
    }
    for (int k = 0; k < 2; k++)
        error[k] = sqrt(sums[k] / (counts[k] ? counts[k] : 1));
}

static cbm_status draw(cbm_context *cx, const char *run_dir, double curves[UNITS][SHOWN], FILE *out)
{
    double x[SHOWN], y[SHOWN];
    const double marks[] = { -INSIDE, INSIDE };
    for (int i = 0; i < SHOWN; i++) {
        x[i] = OUTSIDE * (2.0 * i / (SHOWN - 1) - 1);
        y[i] = wave(x[i]);
    }
    cbm_series series[UNITS + 1] = {
        { .label = "the wave", .x = x, .y = y, .count = SHOWN, .color = 0x999999, .width = 5 }
    };
    for (int k = 0; k < UNITS; k++)
        series[1 + k] =
            (cbm_series){ .label = unit_names[k], .x = x, .y = curves[k], .count = SHOWN, .color = CBM_COLOR_AUTO };
    const cbm_panel panel = { .title = "trained between the two lines",
                              .x_label = "x",
                              .y_label = "f(x)",
                              .series = series,
                              .series_count = UNITS + 1,
                              .y_minimum = -4,
                              .y_maximum = 4,
                              .marks = marks,
                              .mark_count = 2 };
    const cbm_plot plot = { .title = "own-operation", .panels = &panel, .panel_count = 1, .width = 900 };
    return cbm_recipe_keep_plot(cx, "own-operation", &plot, run_dir, "curves.png", out);
}

static cbm_status run(cbm_context *cx, const cbm_recipe_settings *s, FILE *out)
{
    static double curves[UNITS][SHOWN];
    double error, errors[2];
    const cbm_status checked = cbm_gradcheck_op(&snake_op, -1, &error);
    if (checked != CBM_OK)
        return cbm_fail(cx, checked, "[own-operation] the gradient of snake is wrong by %g", error);
    fprintf(out, "the gradient of snake agrees with differences, first and second order: %.1e\n", error);
    for (int kind = 0; kind < UNITS; kind++) {
        cbm_seed(cx, s->seed);
        cbm_module *net = network(cx, kind, CBM_F32);
        train(cx, net, s);
        look(cx, net, curves[kind], errors);
        if (cbm_context_status(cx) != CBM_OK)
            return cbm_context_status(cx);
        fprintf(out, "%-20s error inside %.3f, outside %.3f\n", unit_names[kind], errors[0], errors[1]);
        cbm_recipe_measure(s, errors[0], "%s_error_inside", unit_names[kind]);
        cbm_recipe_measure(s, errors[1], "%s_error_outside", unit_names[kind]);
    }
    return s->run_dir ? draw(cx, s->run_dir, curves, out) : CBM_OK;
}

const cbm_recipe cbm_recipe_own_operation = {
    .name = "own-operation",
    .summary = "a unit of one's own, x + sin^2(ax)/a, against tanh and ReLU on a wave",
    .description =
        "An operation defined in the recipe, with a kernel and a gradient, is checked and trained like the\n"
        "built-in ones. Three networks that differ in their units learn sin(x) + x/10 on [-6, 6]; the picture\n"
        "shows what they say on [-15, 15].",
    .epochs = 1,
    .batch_size = TRAINED,
    .lr = 3e-3,
    .input = { { 1, 1 } },
    .model = model,
    .optimizer = optimizer,
    .loss = loss,
    .run = run,
};
