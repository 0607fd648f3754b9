/* two_layer_net.c: the first course's custom module: a struct, its parts and a forward; trained on random numbers. */
#include "media/media.h"
#include "recipe.h"
#include <stdlib.h>

#define BATCH 64
#define IN 1000
#define HIDDEN 100
#define OUT 10
#define STEPS 500

typedef struct two_layer_net {
    cbm_module module;
    cbm_module *linear1, *linear2;
} two_layer_net;

static cbm_tensor *forward(cbm_module *self, cbm_tensor *x)
{
    two_layer_net *net = (two_layer_net *)self;
    return cbm_call(net->linear2, cbm_relu(cbm_call(net->linear1, x)));
}

static cbm_module *model(cbm_context *cx, cbm_dtype dtype)
{
    two_layer_net *net = (two_layer_net *)cbm_module_new(cx, sizeof *net, forward);
    if (!net)
        return cbm_module_failed(cx);
    net->module.type = "two_layer_net";
    net->linear1 = cbm_nn_linear(cx, IN, HIDDEN, .dtype = dtype);
    net->linear2 = cbm_nn_linear(cx, HIDDEN, OUT, .dtype = dtype);
    cbm_add_module(&net->module, "linear1", net->linear1);
    cbm_add_module(&net->module, "linear2", net->linear2);
    return &net->module;
}

static cbm_tensor *squared_error(cbm_tensor *prediction, cbm_tensor *target)
{
    cbm_tensor *difference = cbm_sub(prediction, target);
    return cbm_sum(cbm_mul(difference, difference));
}

static cbm_tensor *loss(cbm_module *net, const cbm_batch *batch, cbm_tensor **prediction, void *user)
{
    (void)user;
    (void)prediction;
    return squared_error(cbm_call(net, batch->input), batch->target);
}

static cbm_optimizer *optimizer(cbm_module *net, const cbm_recipe_settings *s)
{
    return cbm_sgd(net, .lr = s->lr);
}

static cbm_status draw(cbm_context *cx, const char *run_dir, const double *losses, size_t count, FILE *out)
{
    double steps[STEPS];
    for (size_t i = 0; i < count; i++)
        steps[i] = (double)i;
    cbm_series line = { .x = steps, .y = losses, .count = count, .color = CBM_COLOR_AUTO };
    cbm_panel panel = {
        .x_label = "step", .y_label = "summed squared error", .series = &line, .series_count = 1, .log_y = true
    };
    cbm_plot plot = { .title = "two-layer-net", .panels = &panel, .panel_count = 1 };
    return cbm_recipe_keep_plot(cx, "two-layer-net", &plot, run_dir, "curves.png", out);
}

static cbm_status run(cbm_context *cx, const cbm_recipe_settings *s, FILE *out)
{
    double losses[STEPS];
    int64_t steps = s->max_steps > 0 && s->max_steps < STEPS ? s->max_steps : STEPS;
    cbm_seed(cx, s->seed);
    cbm_module *net = model(cx, CBM_F32);
    cbm_optimizer *opt = optimizer(net, s);
    CBM_SCOPE(data, cx);
    cbm_tensor *x = cbm_normal(cx, CBM_F32, CBM_SHAPE(BATCH, IN), 0, 1);
    cbm_tensor *y = cbm_normal(cx, CBM_F32, CBM_SHAPE(BATCH, OUT), 0, 1);
    cbm_compute((cbm_tensor *[]){ x, y }, 2);
    for (int64_t i = 0; i < steps; i++) {
        CBM_SCOPE(step, cx);
        cbm_tensor *error = squared_error(cbm_call(net, x), y);
        cbm_backward(error);
        if (cbm_step(opt) != CBM_OK)
            return cbm_context_status(cx);
        losses[i] = cbm_item(error);
        fprintf(out, "%lld %g\n", (long long)i, losses[i]);
    }
    cbm_recipe_measure(s, losses[steps - 1], "summed_squared_error");
    return s->run_dir ? draw(cx, s->run_dir, losses, (size_t)steps, out) : CBM_OK;
}

const cbm_recipe cbm_recipe_two_layer_net = {
    .name = "two-layer-net",
    .summary = "a module of one's own, 1000-100-10, fitted to random numbers in 500 steps",
    .description = "A network is a struct with a forward function. Gradient descent on the summed squared error of 64\n"
                   "random samples; the loss is printed at each step and drawn.",
    .epochs = 1,
    .batch_size = BATCH,
    .lr = 1e-4,
    .input = { { 1, IN } },
    .model = model,
    .optimizer = optimizer,
    .loss = loss,
    .run = run,
};
