/* weight_averaging.c: handwritten digits once more, at a learning rate that never falls: the last weights jump about their
   goal, averages of them come to rest there. The last weights, a moving average and a mean are tested after each epoch. */
#include "media/media.h"
#include "recipe.h"
#include <math.h>

#define HIDDEN 256
#define MOMENTUM 0.9
#define DECAY 0.999 /* of the moving average: about a whole epoch's steps */
#define EVERY 50    /* steps between two of the mean's */
#define TEST_BATCH 1000
#define MOST_EPOCHS 256

enum { LAST, MOVING, MEAN, WEIGHTS };
static const char *const names[WEIGHTS] = { "last weights", "moving average", "mean of weights" };

static cbm_module *model(cbm_context *cx, cbm_dtype dtype)
{
    return cbm_sequential(cx, cbm_nn_flatten(cx), cbm_nn_linear(cx, 784, HIDDEN, .bias = false, .dtype = dtype),
                          cbm_nn_batch_norm1d(cx, HIDDEN, .dtype = dtype), cbm_nn_relu(cx),
                          cbm_nn_linear(cx, HIDDEN, 10, .dtype = dtype), CBM_END);
}

static cbm_optimizer *optimizer(cbm_module *net, const cbm_recipe_settings *s)
{
    return cbm_sgd(net, .lr = s->lr, .momentum = MOMENTUM);
}

/* ---- the course ---- */

typedef struct course {
    cbm_module *net;
    cbm_average *moving, *mean;
    cbm_loader *all, *test; /* the training digits, for the mean's batch norm; and the test digits */
    FILE *out;
    int64_t epochs;
    double epoch[MOST_EPOCHS], error[WEIGHTS][MOST_EPOCHS]; /* in percent */
} course;

static double error_of(course *c)
{
    cbm_evaluation e;
    return cbm_evaluate(c->net, c->test, NULL, NULL, &e) == CBM_OK ? 100 * (1 - e.accuracy) : NAN;
}

/* The mean has never seen a batch: its running statistics are made before it is tested. */
static double error_of_average(course *c, cbm_average *average)
{
    if (cbm_average_updates(average) == 0)
        return NAN;
    cbm_average_swap(average);
    if (average == c->mean)
        cbm_update_batch_norm(c->net, c->all);
    double error = error_of(c);
    cbm_average_swap(average);
    return error;
}

static bool on_step(const cbm_progress *progress, void *user)
{
    (void)progress;
    course *c = user;
    return cbm_average_update(c->moving) == CBM_OK && cbm_average_update(c->mean) == CBM_OK;
}

static bool on_epoch(const cbm_epoch *e, void *user)
{
    course *c = user;
    int64_t i = c->epochs++;
    c->epoch[i] = (double)e->epoch;
    c->error[LAST][i] = error_of(c);
    c->error[MOVING][i] = error_of_average(c, c->moving);
    c->error[MEAN][i] = error_of_average(c, c->mean);
    fprintf(c->out, "epoch %lld/%lld  training loss %.4f  test error:", (long long)e->epoch, (long long)e->epochs,
            e->train_loss);
    for (int k = 0; k < WEIGHTS; k++)
        if (isfinite(c->error[k][i]))
            fprintf(c->out, "  %s %.2f %%", names[k], c->error[k][i]);
    fputc('\n', c->out);
    fflush(c->out);
    return cbm_context_status(c->net->cx) == CBM_OK;
}

static cbm_status draw(cbm_context *cx, const course *c, const char *run_dir)
{
    cbm_series series[WEIGHTS];
    for (int k = 0; k < WEIGHTS; k++)
        series[k] = (cbm_series){ .label = names[k],
                                  .x = c->epoch,
                                  .y = c->error[k],
                                  .count = (size_t)c->epochs,
                                  .style = CBM_SERIES_LINE_POINTS,
                                  .color = CBM_COLOR_AUTO };
    const cbm_panel panel = { .x_label = "epoch",
                              .y_label = "test digits wrong (%)",
                              .series = series,
                              .series_count = WEIGHTS,
                              .whole_x = true };
    const cbm_plot plot = { .title = "weight-averaging", .panels = &panel, .panel_count = 1 };
    return cbm_recipe_keep_plot(cx, "weight-averaging", &plot, run_dir, "curves.png", c->out);
}

/* The averaged weights, for `cambium eval` and `cambium predict`. */
static cbm_status keep(course *c, const char *run_dir)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/model.safetensors", run_dir);
    if (cbm_save_average(c->moving, path) == CBM_OK)
        fprintf(c->out, "the moving average's weights: %s\n", path);
    return cbm_context_status(c->net->cx);
}

static cbm_status run(cbm_context *cx, const cbm_recipe_settings *s, FILE *out)
{
    cbm_seed(cx, s->seed);
    cbm_dataset *train = cbm_digits_limited(cx, s, CBM_TRAIN);
    cbm_loader *batches = cbm_loader_open(train, .batch_size = s->batch_size, .shuffle = true, .workers = s->workers,
                                          .seed = s->seed, .drop_last = true);
    course c = { .net = model(cx, s->dtype), .out = out };
    c.all = cbm_loader_open(train, .batch_size = TEST_BATCH);
    c.test = cbm_loader_open(cbm_digits_limited(cx, s, CBM_TEST), .batch_size = TEST_BATCH);
    cbm_optimizer *opt = optimizer(c.net, s);
    c.moving = cbm_ema(c.net, .decay = DECAY, .use_buffers = true);
    c.mean = cbm_swa(c.net, .start = cbm_loader_batches(batches), .every = EVERY); /* from the second epoch on */
    if (cbm_context_status(cx) != CBM_OK)
        return cbm_context_status(cx);
    int64_t epochs = s->epochs < MOST_EPOCHS ? s->epochs : MOST_EPOCHS;
    cbm_status status = cbm_fit(c.net, NULL, .optimizer = opt, .train = batches, .epochs = epochs,
                                .max_steps = s->max_steps, .on_step = on_step, .on_epoch = on_epoch, .user = &c);
    status = cbm_recipe_ended(cx, s, status);
    for (int k = 0; k < WEIGHTS && c.epochs > 0; k++)
        cbm_recipe_measure(s, c.error[k][c.epochs - 1], "%s_test_error", names[k]);
    if (status != CBM_OK || c.epochs == 0 || !s->run_dir)
        return status;
    return keep(&c, s->run_dir) == CBM_OK ? draw(cx, &c, s->run_dir) : cbm_context_status(cx);
}

const cbm_recipe cbm_recipe_weight_averaging = {
    .name = "weight-averaging",
    .summary = "digits at a constant learning rate: averaged weights against the last ones",
    .description = "At a learning rate that never falls, the weights keep jumping about the goal. A moving average of\n"
                   "them (EMA) and the mean of every 50th step's (SWA) come to rest there: both are tested after each\n"
                   "epoch beside the last weights, the mean with its batch norm's statistics made anew. The picture\n"
                   "shows the three errors.",
    .data = "mnist",
    .epochs = 8,
    .batch_size = 64,
    .lr = 0.1,
    .input = { { 3, 1, 28, 28 } },
    .classes = 10,
    .model = model,
    .dataset = cbm_digits_dataset,
    .optimizer = optimizer,
    .from_image = cbm_digits_from_image,
    .from_array = cbm_digits_from_array,
    .run = run,
};
