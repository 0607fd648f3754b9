/* relu_tiling.c: a ReLU network is piecewise linear: a random one with one input, drawn, its pieces counted. */
#include "media/media.h"
#include "recipe.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH 200
#define POINTS 20001
#define LOW (-3.0)
#define HIGH 3.0

typedef struct relu_net {
    cbm_module module;
    cbm_module *linear1, *linear2, *linear3;
    cbm_tensor *hidden1, *hidden2; /* of the last forward, valid in its scope */
} relu_net;

static cbm_tensor *forward(cbm_module *self, cbm_tensor *x)
{
    relu_net *net = (relu_net *)self;
    net->hidden1 = cbm_relu(cbm_call(net->linear1, x));
    net->hidden2 = cbm_relu(cbm_call(net->linear2, net->hidden1));
    return cbm_call(net->linear3, net->hidden2);
}

static cbm_module *model(cbm_context *cx, cbm_dtype dtype)
{
    relu_net *net = (relu_net *)cbm_module_new(cx, sizeof *net, forward);
    if (!net)
        return cbm_module_failed(cx);
    net->module.type = "relu_net";
    net->linear1 = cbm_nn_linear(cx, 1, WIDTH, .dtype = dtype);
    net->linear2 = cbm_nn_linear(cx, WIDTH, WIDTH, .dtype = dtype);
    net->linear3 = cbm_nn_linear(cx, WIDTH, 1, .dtype = dtype);
    cbm_add_module(&net->module, "linear1", net->linear1);
    cbm_add_module(&net->module, "linear2", net->linear2);
    cbm_add_module(&net->module, "linear3", net->linear3);
    return &net->module;
}

static cbm_tensor *loss(cbm_module *net, const cbm_batch *batch, cbm_tensor **prediction, void *user)
{
    (void)user;
    (void)prediction;
    return cbm_mse(cbm_call(net, batch->input), batch->target);
}

/* Do the same units fire at points i and i + 1? Then they lie on the same linear piece. */
static bool same_piece(const float *hidden1, const float *hidden2, size_t i)
{
    const float *a = hidden1 + i * WIDTH, *b = hidden2 + i * WIDTH;
    for (size_t k = 0; k < WIDTH; k++)
        if ((a[k] > 0) != (a[k + WIDTH] > 0) || (b[k] > 0) != (b[k + WIDTH] > 0))
            return false;
    return true;
}

static cbm_status draw(cbm_context *cx, const char *run_dir, const double *x, const float *y, const double *border_x,
                       const double *border_y, size_t borders, FILE *out)
{
    double *curve = malloc(2 * POINTS * sizeof *curve), *slope = curve + POINTS;
    if (!curve)
        return cbm_fail(cx, CBM_ERROR_MEMORY, "[relu-tiling] no memory for the picture");
    for (size_t i = 0; i < POINTS; i++)
        curve[i] = y[i];
    for (size_t i = 0; i < POINTS; i++) { /* over 10 steps: f32 differences of neighbours are too rough */
        size_t a = i < 5 ? 0 : i - 5, b = i + 5 < POINTS ? i + 5 : POINTS - 1;
        slope[i] = (curve[b] - curve[a]) / (x[b] - x[a]);
    }
    const cbm_series function[] = {
        { .label = "the network", .x = x, .y = curve, .count = POINTS, .color = CBM_COLOR_AUTO },
        { .label = "borders of its pieces",
          .x = border_x,
          .y = border_y,
          .count = borders,
          .style = CBM_SERIES_POINTS,
          .color = CBM_COLOR_AUTO },
    };
    const cbm_series stairs = { .x = x, .y = slope, .count = POINTS, .color = CBM_COLOR_AUTO };
    const cbm_panel panels[] = {
        { .title = "a random ReLU network 1-200-200-1",
          .x_label = "x",
          .y_label = "f(x)",
          .series = function,
          .series_count = 2,
          .x_minimum = LOW,
          .x_maximum = HIGH },
        { .title = "its slope: constant on each piece",
          .x_label = "x",
          .y_label = "f'(x)",
          .series = &stairs,
          .series_count = 1,
          .x_minimum = LOW,
          .x_maximum = HIGH },
    };
    cbm_plot plot = { .title = "relu-tiling", .panels = panels, .panel_count = 2, .columns = 2 };
    const cbm_status status = cbm_recipe_keep_plot(cx, "relu-tiling", &plot, run_dir, "curves.png", out);
    free(curve);
    return status;
}

static cbm_status run(cbm_context *cx, const cbm_recipe_settings *s, FILE *out)
{
    static const size_t columns = 3;
    double *x = malloc(columns * POINTS * sizeof *x);
    float *grid = malloc(POINTS * sizeof *grid);
    if (!x || !grid) {
        free(x);
        free(grid);
        return cbm_fail(cx, CBM_ERROR_MEMORY, "[relu-tiling] no memory for the grid");
    }
    for (size_t i = 0; i < POINTS; i++) {
        x[i] = LOW + (HIGH - LOW) * (double)i / (POINTS - 1);
        grid[i] = (float)x[i];
    }
    double *border_x = x + POINTS, *border_y = x + 2 * POINTS;
    cbm_seed(cx, s->seed);
    relu_net *net = (relu_net *)model(cx, CBM_F32);
    CBM_NO_GRAD(scope, cx);
    cbm_tensor *output = cbm_call(&net->module, cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(POINTS, 1), grid));
    if (cbm_context_status(cx) == CBM_OK)
        cbm_compute((cbm_tensor *[]){ output, net->hidden1, net->hidden2 }, 3);
    cbm_status status = cbm_context_status(cx);
    if (status == CBM_OK) {
        const float *hidden1 = cbm_tensor_data(net->hidden1), *hidden2 = cbm_tensor_data(net->hidden2);
        const float *y = cbm_tensor_data(output);
        size_t borders = 0;
        for (size_t i = 0; i + 1 < POINTS; i++)
            if (!same_piece(hidden1, hidden2, i)) {
                border_x[borders] = x[i];
                border_y[borders++] = y[i];
            }
        fprintf(out, "a random ReLU network 1-200-200-1 on [-3, 3] is made of %zu linear pieces\n", borders + 1);
        cbm_recipe_measure(s, (double)borders + 1, "linear_pieces");
        status = s->run_dir ? draw(cx, s->run_dir, x, y, border_x, border_y, borders, out) : CBM_OK;
    }
    free(x);
    free(grid);
    return status;
}

const cbm_recipe cbm_recipe_relu_tiling = {
    .name = "relu-tiling",
    .summary = "draws a random ReLU network 1-200-200-1: it is piecewise linear",
    .description =
        "Each hidden unit bends the line at one place, so a ReLU network cuts its input into pieces on which\n"
        "it is linear. The picture shows a random network on [-3, 3], the borders of its pieces, and its\n"
        "slope.",
    .epochs = 1,
    .batch_size = 64,
    .lr = 1e-3,
    .input = { { 1, 1 } },
    .model = model,
    .loss = loss,
    .run = run,
};
