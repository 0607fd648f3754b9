/* improve.c: what helps a network to do well on digits that it has not seen: weight decay, dropout, augmentation, batch norm,
   each alone and all together, on a training set so small that the plain network learns it by heart. */
#include "recipe.h"
#include <math.h>

#define SAMPLES 1000
#define SEEDS 3
#define DROPOUT 0.5
#define DECAY 0.03
#define ROOM 1.4 /* of the picture, for the legend above the points */
#define MEAN 0.1307
#define DEVIATION 0.3081

enum { WEIGHT_DECAY = 1, DROP = 2, AUGMENT = 4, BATCH_NORM = 8, ALL = 15 };
static const struct {
    const char *name;
    int with;
} ways[] = { { "baseline", 0 },           { "weight decay", WEIGHT_DECAY }, { "dropout", DROP },
             { "augmentation", AUGMENT }, { "batch norm", BATCH_NORM },     { "all together", ALL } };
enum { WAYS = sizeof ways / sizeof *ways };

/* ---- the network ---- */

static int add_block(cbm_context *cx, cbm_module **at, int64_t in, int64_t out, int with)
{
    int n = 0;
    at[n++] = cbm_nn_conv2d(cx, in, out, 5);
    if (with & BATCH_NORM)
        at[n++] = cbm_nn_batch_norm2d(cx, out);
    at[n++] = cbm_nn_relu(cx);
    at[n++] = cbm_nn_max_pool2d(cx, 2);
    return n;
}

static cbm_module *net_with(cbm_context *cx, int with)
{
    cbm_module *layers[16];
    int n = add_block(cx, layers, 1, 16, with);
    n += add_block(cx, layers + n, 16, 32, with);
    layers[n++] = cbm_nn_flatten(cx);
    layers[n++] = cbm_nn_linear(cx, 32 * 16, 128);
    layers[n++] = cbm_nn_relu(cx);
    if (with & DROP)
        layers[n++] = cbm_nn_dropout(cx, DROPOUT);
    layers[n++] = cbm_nn_linear(cx, 128, 10);
    return cbm_sequential_of(cx, (size_t)n, layers);
}

static cbm_module *model(cbm_context *cx, cbm_dtype dtype)
{
    (void)dtype;
    return net_with(cx, ALL);
}

/* ---- a training ---- */

static cbm_dataset *training_digits(cbm_context *cx, const cbm_recipe_settings *s, int with)
{
    static const double mean[] = { MEAN }, deviation[] = { DEVIATION };
    cbm_dataset *all = cbm_mnist(cx, s->data_dir, CBM_TRAIN, .normalise = false);
    int64_t count = s->limit > 0 ? s->limit : SAMPLES;
    if (count < cbm_dataset_count(all))
        all = cbm_dataset_part(all, 0, count);
    if (with & AUGMENT)
        all = cbm_dataset_transform(all, cbm_random_affine(12, 0.1, 0.85, 1.15, 10));
    return cbm_dataset_transform(all, cbm_normalize(1, mean, deviation));
}

typedef struct errors {
    double train, test; /* in percent; of the training digits as they are */
} errors;

static double error_on(cbm_module *net, cbm_dataset *digits)
{
    cbm_evaluation e = { .accuracy = NAN };
    cbm_loader *loader = cbm_loader_open(digits, .batch_size = 500);
    cbm_evaluate(net, loader, NULL, NULL, &e);
    cbm_loader_close(loader);
    return 100 * (1 - e.accuracy);
}

static errors errors_of(cbm_context *cx, const cbm_recipe_settings *s, int with, uint64_t seed)
{
    cbm_seed(cx, seed);
    cbm_module *net = net_with(cx, with);
    cbm_optimizer *opt = cbm_adamw(net, .lr = s->lr, .weight_decay = with & WEIGHT_DECAY ? DECAY : 0);
    cbm_loader *train = cbm_loader_open(training_digits(cx, s, with), .batch_size = s->batch_size, .shuffle = true,
                                        .workers = s->workers, .seed = seed);
    cbm_schedule *schedule = cbm_schedule_cosine(opt, .steps = s->epochs * cbm_loader_batches(train));
    errors e = { NAN, NAN };
    cbm_status status = cbm_fit(net, NULL, .optimizer = opt, .train = train, .schedule = schedule, .epochs = s->epochs,
                                .max_steps = s->max_steps);
    if (cbm_recipe_ended(cx, s, status) == CBM_OK)
        e = (errors){ error_on(net, training_digits(cx, s, 0)),
                      error_on(net, cbm_digits_dataset(cx, s->data_dir, CBM_TEST)) };
    cbm_optimizer_release(opt);
    cbm_module_release(net);
    cbm_loader_close(train);
    return e;
}

/* ---- the table and the picture ---- */

static cbm_status draw(cbm_context *cx, errors found[WAYS][SEEDS], const char *run_dir, FILE *out)
{
    double place[WAYS * SEEDS], train[WAYS * SEEDS], test[WAYS * SEEDS], most = 0.1;
    const char *names[WAYS];
    for (int w = 0; w < WAYS; w++)
        names[w] = ways[w].name;
    for (int i = 0; i < WAYS * SEEDS; i++) {
        place[i] = 1 + i / SEEDS;
        train[i] = found[i / SEEDS][i % SEEDS].train;
        test[i] = found[i / SEEDS][i % SEEDS].test;
        most = fmax(most, fmax(train[i], test[i]));
    }
    cbm_series series[] = { { .label = "test", .x = place, .y = test },
                            { .label = "training", .x = place, .y = train } };
    for (int k = 0; k < 2; k++) {
        series[k].count = WAYS * SEEDS;
        series[k].style = CBM_SERIES_POINTS;
        series[k].color = CBM_COLOR_AUTO;
    }
    const cbm_panel panel = { .y_label = "digits wrong (%)",
                              .series = series,
                              .series_count = 2,
                              .x_names = names,
                              .x_name_count = WAYS,
                              .y_minimum = 0,
                              .y_maximum = ROOM * most };
    const cbm_plot plot = { .title = "What helps on unseen digits: three seeds each",
                            .panels = &panel,
                            .panel_count = 1 };
    return cbm_recipe_keep_plot(cx, "improve", &plot, run_dir, "errors.png", out);
}

static cbm_status run(cbm_context *cx, const cbm_recipe_settings *s, FILE *out)
{
    errors found[WAYS][SEEDS];
    fprintf(out, "%-14s  training error (%%)       test error (%%)           mean of %d seeds\n", "", SEEDS);
    for (int w = 0; w < WAYS; w++) {
        errors mean = { 0, 0 };
        for (int k = 0; k < SEEDS; k++) {
            found[w][k] = errors_of(cx, s, ways[w].with, s->seed + (uint64_t)k);
            if (cbm_context_status(cx) != CBM_OK)
                return cbm_context_status(cx);
            mean.train += found[w][k].train / SEEDS;
            mean.test += found[w][k].test / SEEDS;
        }
        fprintf(out, "%-14s", ways[w].name);
        for (int k = 0; k < SEEDS; k++)
            fprintf(out, "  %5.2f", found[w][k].train);
        fprintf(out, "    ");
        for (int k = 0; k < SEEDS; k++)
            fprintf(out, "  %5.2f", found[w][k].test);
        fprintf(out, "    %5.2f %5.2f\n", mean.train, mean.test);
        cbm_recipe_measure(s, mean.train, "%s_training_error", ways[w].name);
        cbm_recipe_measure(s, mean.test, "%s_test_error", ways[w].name);
        fflush(out);
    }
    return s->run_dir ? draw(cx, found, s->run_dir, out) : CBM_OK;
}

const cbm_recipe cbm_recipe_improve = {
    .name = "improve",
    .summary = "what helps on unseen digits: weight decay, dropout, augmentation, batch norm, in one table",
    .description =
        "A small convolutional network learns a thousand digits by heart and errs on those that it has not\n"
        "seen. Weight decay, dropout, augmentation (turned, moved, scaled and sheared digits) and batch norm\n"
        "are tried alone and together, three seeds each; a table and a picture show training and test error.",
    .data = "mnist",
    .epochs = 40,
    .batch_size = 50,
    .lr = 0.002,
    .input = { { 3, 1, 28, 28 } },
    .classes = 10,
    .model = model,
    .run = run,
};
