/* oscillator.c: a network that obeys a law instead of fitting data (Raissi, Perdikaris and Karniadakis 2019): the damped
   oscillator x'' + 2 D x' + W^2 x = 0, x(0) = 1, x'(0) = 0. Its loss is how badly the law is broken, by derivatives that
   autograd takes twice. Gradient descent, Adam and L-BFGS may evaluate it equally often. */
#include "media/media.h"
#include "recipe.h"
#include <math.h>
#include <stdlib.h>

#define WIDTH 32
#define DAMPING 1.0   /* D, per second */
#define FREQUENCY 8.0 /* W, without damping, in radians per second */
#define SPAN 2.0      /* seconds */
#define POINTS 101    /* at which the law is to hold */
#define PER_EPOCH 20  /* evaluations of the loss, for --epochs */
#define ROOM 64       /* more than a step of L-BFGS evaluates */

enum { DESCENT, ADAM, LBFGS, KINDS };
static const char *const names[KINDS] = { "gradient descent", "Adam", "L-BFGS" };

static cbm_module *model(cbm_context *cx, cbm_dtype dtype)
{
    return cbm_sequential(cx, cbm_nn_linear(cx, 1, WIDTH, .dtype = dtype), cbm_nn_tanh(cx),
                          cbm_nn_linear(cx, WIDTH, WIDTH, .dtype = dtype), cbm_nn_tanh(cx),
                          cbm_nn_linear(cx, WIDTH, 1, .dtype = dtype), CBM_END);
}

/* lr is Adam's. Plain gradients are of the size of W^4, and L-BFGS finds its own. */
static cbm_optimizer *make(int kind, cbm_module *net, double lr)
{
    if (kind == DESCENT)
        return cbm_sgd(net, .lr = 0.1 * lr / pow(FREQUENCY, 4), .momentum = 0.9);
    if (kind == ADAM)
        return cbm_adam(net, .lr = lr);
    return cbm_lbfgs(net, .history_size = 50, .tolerance_change = 0, .line_search = CBM_LINE_SEARCH_STRONG_WOLFE);
}

/* For `cambium summary` and `cambium plan`, which look at a plain step. */
static cbm_optimizer *optimizer(cbm_module *net, const cbm_recipe_settings *s)
{
    return make(ADAM, net, s->lr);
}

/* ---- the oscillator ---- */

static double moment(int64_t i)
{
    return SPAN * (double)i / (POINTS - 1);
}

static double truth(double t)
{
    const double w = sqrt(FREQUENCY * FREQUENCY - DAMPING * DAMPING);
    return exp(-DAMPING * t) * (cos(w * t) + DAMPING / w * sin(w * t));
}

/* One optimizer's course. */
typedef struct course {
    cbm_module *net;
    cbm_tensor *t; /* (POINTS, 1), a variable: derivatives by it are asked for */
    int64_t evaluations;
    double *losses;     /* of each evaluation */
    cbm_tensor *newest; /* the loss of the last one */
    double x[POINTS];   /* what the network makes of it at the end */
} course;

/* 1 + t^2 net(t): the beginning is right whatever the network says. */
static cbm_tensor *position(cbm_module *net, cbm_tensor *t)
{
    return cbm_add_scalar(cbm_mul(cbm_mul(t, t), cbm_call(net, cbm_mul_scalar(t, 2 / SPAN))), 1);
}

static cbm_tensor *derivative(cbm_tensor *x, cbm_tensor *t)
{
    cbm_tensor *d = NULL;
    cbm_grad(x, &t, 1, &d, .create_graph = true);
    return d;
}

/* What is left of x'' + 2 D x' + W^2 x: mean square. */
static cbm_tensor *law_broken(cbm_module *net, cbm_tensor *t)
{
    cbm_tensor *x = position(net, t), *v = derivative(x, t), *a = derivative(v, t);
    cbm_tensor *forces = cbm_add(cbm_mul_scalar(v, 2 * DAMPING), cbm_mul_scalar(x, FREQUENCY * FREQUENCY));
    cbm_tensor *left = cbm_add(a, forces);
    return cbm_mean(cbm_mul(left, left));
}

/* For `cambium gradcheck`: at the moments of a batch. */
static cbm_tensor *loss(cbm_module *net, const cbm_batch *batch, cbm_tensor **prediction, void *user)
{
    (void)user;
    (void)prediction;
    cbm_tensor *t = cbm_variable(batch->input, true), *broken = law_broken(net, t);
    cbm_set_trainable(t, false); /* nobody asks for the loss's gradient by t */
    cbm_release(t);
    return broken;
}

static cbm_tensor *closure(void *user)
{
    course *c = user;
    if (c->newest)
        c->losses[c->evaluations - 1] = cbm_item(c->newest);
    c->evaluations++;
    cbm_set(&c->newest, law_broken(c->net, c->t));
    return c->newest;
}

/* ---- the courses ---- */

/* The largest distance from the truth. */
static double error_of(course *c)
{
    double largest = 0;
    CBM_NO_GRAD(scope, c->net->cx);
    cbm_read(position(c->net, c->t), c->x, sizeof c->x);
    for (int64_t i = 0; i < POINTS; i++)
        largest = fmax(largest, fabs(c->x[i] - truth(moment(i))));
    return largest;
}

static cbm_status follow(cbm_context *cx, course *c, int kind, const cbm_recipe_settings *s, int64_t most, FILE *out)
{
    double times[POINTS];
    for (int64_t i = 0; i < POINTS; i++)
        times[i] = moment(i);
    cbm_seed(cx, s->seed); /* all begin with the same weights */
    c->net = model(cx, CBM_F64);
    c->t = cbm_variable(cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(POINTS, 1), times), true);
    cbm_optimizer *opt = make(kind, c->net, s->lr);
    cbm_schedule *schedule = kind == LBFGS ? NULL : cbm_schedule_cosine(opt, .steps = most);
    for (int64_t before = -1; c->evaluations < most && c->evaluations != before; cbm_schedule_next(schedule)) {
        before = c->evaluations;
        if (cbm_step_closure(opt, closure, c, NULL) != CBM_OK)
            return cbm_context_status(cx);
    }
    c->losses[c->evaluations - 1] = cbm_item(c->newest);
    double loss = c->losses[c->evaluations - 1], error = error_of(c);
    fprintf(out, "%-16s  %lld evaluations: loss %.2e, largest error of x(t) %.2e\n", names[kind],
            (long long)c->evaluations, loss, error);
    fflush(out);
    cbm_recipe_measure(s, loss, "%s_loss", names[kind]);
    cbm_recipe_measure(s, error, "%s_largest_error", names[kind]);
    return cbm_context_status(cx);
}

static cbm_status draw(cbm_context *cx, const course *courses, const char *run_dir, FILE *out)
{
    double t[POINTS], true_x[POINTS], *numbers = NULL;
    cbm_series losses[KINDS], curves[KINDS + 1];
    size_t longest = 0;
    for (int k = 0; k < KINDS; k++)
        longest = (size_t)courses[k].evaluations > longest ? (size_t)courses[k].evaluations : longest;
    numbers = malloc((longest + 1) * sizeof *numbers);
    if (!numbers)
        return cbm_fail(cx, CBM_ERROR_MEMORY, "[oscillator] no memory for the picture");
    for (size_t i = 0; i < longest; i++)
        numbers[i] = (double)i + 1;
    for (int64_t i = 0; i < POINTS; i++) {
        t[i] = moment(i);
        true_x[i] = truth(t[i]);
    }
    for (int k = 0; k < KINDS; k++) {
        losses[k] = (cbm_series){ .label = names[k],
                                  .x = numbers,
                                  .y = courses[k].losses,
                                  .count = (size_t)courses[k].evaluations,
                                  .color = CBM_COLOR_AUTO };
        curves[k] =
            (cbm_series){ .label = names[k], .x = t, .y = courses[k].x, .count = POINTS, .color = CBM_COLOR_AUTO };
    }
    curves[KINDS] =
        (cbm_series){ .label = "the truth", .x = t, .y = true_x, .count = POINTS, .color = 0, .dashed = true };
    const cbm_panel panels[] = {
        { .title = "how badly the law is broken",
          .x_label = "evaluations",
          .y_label = "mean square",
          .series = losses,
          .series_count = KINDS,
          .log_y = true },
        { .title = "the oscillator",
          .x_label = "t (s)",
          .y_label = "x",
          .series = curves,
          .series_count = KINDS + 1,
          .x_maximum = SPAN },
    };
    const cbm_plot plot = { .title = "oscillator", .panels = panels, .panel_count = 2, .columns = 2 };
    const cbm_status status = cbm_recipe_keep_plot(cx, "oscillator", &plot, run_dir, "curves.png", out);
    free(numbers);
    return status;
}

static cbm_status run(cbm_context *cx, const cbm_recipe_settings *s, FILE *out)
{
    course courses[KINDS] = { 0 };
    int64_t most = s->epochs * PER_EPOCH;
    most = s->max_steps > 0 && s->max_steps < most ? s->max_steps : most;
    cbm_status status = CBM_OK;
    for (int k = 0; k < KINDS && status == CBM_OK; k++) {
        courses[k].losses = malloc((size_t)(most + ROOM) * sizeof(double));
        status = courses[k].losses ? follow(cx, &courses[k], k, s, most, out)
                                   : cbm_fail(cx, CBM_ERROR_MEMORY, "[oscillator] no memory for the losses");
    }
    if (status == CBM_OK && s->run_dir)
        status = draw(cx, courses, s->run_dir, out);
    for (int k = 0; k < KINDS; k++)
        free(courses[k].losses);
    return status;
}

const cbm_recipe cbm_recipe_oscillator = {
    .name = "oscillator",
    .summary = "a network that obeys the law of a damped oscillator: L-BFGS beside Adam and gradient descent",
    .description =
        "No data, only x'' + 2 x' + 64 x = 0 and how it begins: the loss is the mean square of what is left\n"
        "of the law at 101 moments, with derivatives by autograd, in f64. Each optimizer may evaluate it 20\n"
        "times an epoch; L-BFGS comes hundreds of times as close to the true motion. The picture shows the\n"
        "losses and the motions.",
    .epochs = 100,
    .batch_size = POINTS,
    .lr = 0.02,
    .input = { { 1, 1 } },
    .model = model,
    .optimizer = optimizer,
    .loss = loss,
    .run = run,
};
