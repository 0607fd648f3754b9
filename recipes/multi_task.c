/* multi_task.c: several things told of a picture by one network: a trunk and a head for each attribute of a digit, with a loss
   and a measure each, against one network for each attribute. */
#include "recipe.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SIDE 28
#define PIXELS (SIDE * SIDE)
#define SAMPLES 3000 /* to train on */
#define INK 128      /* a pixel this bright is ink */
#define FEATURES 64

enum { DIGIT, HOLES, SLANT, THICKNESS, ATTRIBUTES, ALL = ATTRIBUTES };
static const struct {
    const char *name, *values;
    int64_t classes;
} attributes[ATTRIBUTES] = { { "digit", "0 to 9", 10 },
                             { "holes", "none, one, two", 3 },
                             { "slant", "left, upright, right", 3 },
                             { "thickness", "thin, medium, thick", 3 } };

/* ---- attributes of a digit's picture ---- */

/* By how many pixels the ink leans to the right from row to row, upwards: minus the covariance of x and y by the variance
   of y. */
static double slant_of(const uint8_t *p)
{
    double n = 0, x = 0, y = 0, xy = 0, yy = 0;
    for (int i = 0; i < PIXELS; i++) {
        double w = p[i], u = i % SIDE, v = i / SIDE;
        n += w;
        x += w * u;
        y += w * v;
        xy += w * u * v;
        yy += w * v * v;
    }
    double variance = n > 0 ? yy / n - y / n * (y / n) : 0;
    return variance > 0 ? -(xy / n - x / n * (y / n)) / variance : 0;
}

/* Ink by half its edge: about the width of a stroke in pixels. */
static double thickness_of(const uint8_t *p)
{
    int64_t ink = 0, edge = 0;
    for (int i = 0; i < PIXELS; i++) {
        bool here = p[i] >= INK, right = i % SIDE + 1 < SIDE && p[i + 1] >= INK,
             below = i + SIDE < PIXELS && p[i + SIDE] >= INK;
        ink += here;
        edge += here != right;
        edge += here != below;
    }
    return edge > 0 ? 2.0 * (double)ink / (double)edge : 0;
}

static int64_t third(double value, const double limits[2])
{
    return value < limits[0] ? 0 : value < limits[1] ? 1 : 2;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Where a third and two thirds of the values lie below; sorts them. */
static void thirds(double *values, int64_t count, double limits[2])
{
    qsort(values, (size_t)count, sizeof *values, ascending);
    limits[0] = values[count / 3];
    limits[1] = values[2 * count / 3];
}

typedef struct limits {
    double slant[2], thickness[2];
} limits;

static limits limits_of(const uint8_t *pixels, int64_t count, double *work)
{
    limits l;
    for (int64_t i = 0; i < count; i++)
        work[i] = slant_of(pixels + i * PIXELS);
    thirds(work, count, l.slant);
    for (int64_t i = 0; i < count; i++)
        work[i] = thickness_of(pixels + i * PIXELS);
    thirds(work, count, l.thickness);
    return l;
}

/* Digits with their attributes as targets (ATTRIBUTES); l is made of the training digits and used for the others. */
static cbm_dataset *digits(cbm_context *cx, const cbm_recipe_settings *s, cbm_split split, limits *l)
{
    static const int64_t holes[] = { 1, 0, 0, 0, 0, 0, 1, 0, 2, 1 };
    cbm_dataset *all = cbm_mnist(cx, s->data_dir, split, .normalise = false);
    int64_t most = s->limit > 0 ? s->limit : split == CBM_TRAIN ? SAMPLES : cbm_dataset_count(all);
    int64_t count = most < cbm_dataset_count(all) ? most : cbm_dataset_count(all);
    cbm_loader *loader = cbm_loader_open(cbm_dataset_part(all, 0, count), .batch_size = count > 0 ? count : 1);
    double *work = malloc((size_t)count * sizeof *work + 1);
    int64_t *targets = malloc((size_t)count * ATTRIBUTES * sizeof *targets + 1);
    cbm_dataset *d = NULL;
    cbm_batch b;
    if (!work || !targets)
        cbm_fail(cx, CBM_ERROR_MEMORY, "[multi-task] no memory for attributes");
    if (cbm_context_status(cx) == CBM_OK && cbm_next(loader, &b)) {
        CBM_SCOPE(scope, cx);
        const uint8_t *pixels = cbm_tensor_data(b.input);
        const int64_t *is = cbm_tensor_data(b.target);
        if (split == CBM_TRAIN)
            *l = limits_of(pixels, count, work);
        for (int64_t i = 0; i < count; i++) {
            const int64_t row[ATTRIBUTES] = { is[i], holes[is[i]], third(slant_of(pixels + i * PIXELS), l->slant),
                                              third(thickness_of(pixels + i * PIXELS), l->thickness) };
            memcpy(targets + i * ATTRIBUTES, row, sizeof row);
        }
        d = cbm_dataset_tensors(cx, cbm_mul_scalar(cbm_cast(b.input, CBM_F32), 1.0 / 255),
                                cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(count, ATTRIBUTES), targets));
    }
    cbm_loader_close(loader);
    free(work);
    free(targets);
    return d;
}

/* ---- the network: a trunk, and a head for each attribute, whose scores lie side by side ---- */

typedef struct heads {
    cbm_module module;
    cbm_module *trunk, *head[ATTRIBUTES]; /* NULL: not asked for */
} heads;

static cbm_tensor *forward(cbm_module *self, cbm_tensor *x)
{
    const heads *h = (const heads *)self;
    cbm_tensor *features = cbm_call(h->trunk, x), *scores[ATTRIBUTES];
    size_t n = 0;
    for (int a = 0; a < ATTRIBUTES; a++)
        if (h->head[a])
            scores[n++] = cbm_call(h->head[a], features);
    return cbm_concat(scores, n, 1);
}

/* For one attribute, or ALL. */
static cbm_module *net_for(cbm_context *cx, int attribute)
{
    heads *h = (heads *)cbm_module_new(cx, sizeof *h, forward);
    if (!h)
        return cbm_module_failed(cx);
    h->module.type = "heads";
    h->trunk = cbm_sequential(cx, cbm_nn_conv2d(cx, 1, 16, 5), cbm_nn_relu(cx), cbm_nn_max_pool2d(cx, 2),
                              cbm_nn_conv2d(cx, 16, 32, 5), cbm_nn_relu(cx), cbm_nn_max_pool2d(cx, 2),
                              cbm_nn_flatten(cx), cbm_nn_linear(cx, 32 * 16, FEATURES), cbm_nn_relu(cx), CBM_END);
    cbm_add_module(&h->module, "trunk", h->trunk);
    for (int a = 0; a < ATTRIBUTES; a++)
        if (attribute == ALL || attribute == a) {
            h->head[a] = cbm_nn_linear(cx, FEATURES, attributes[a].classes);
            cbm_add_module(&h->module, attributes[a].name, h->head[a]);
        }
    return &h->module;
}

static cbm_module *model(cbm_context *cx, cbm_dtype dtype)
{
    (void)dtype;
    return net_for(cx, ALL);
}

/* The scores of one attribute out of those that net gives. */
static cbm_tensor *scores_of(const cbm_module *net, cbm_tensor *scores, int attribute)
{
    const heads *h = (const heads *)net;
    int64_t first = 0;
    for (int a = 0; a < attribute; a++)
        first += h->head[a] ? attributes[a].classes : 0;
    return cbm_slice(scores, 1, first, first + attributes[attribute].classes, 1);
}

/* The sum of the cross entropies of the attributes that there are heads for. */
static cbm_tensor *loss(cbm_module *net, const cbm_batch *batch, cbm_tensor **prediction, void *user)
{
    (void)prediction;
    (void)user;
    const heads *h = (const heads *)net;
    cbm_tensor *scores = cbm_call(net, batch->input), *sum = NULL;
    for (int a = 0; a < ATTRIBUTES; a++) {
        if (!h->head[a])
            continue;
        cbm_tensor *one = cbm_cross_entropy(scores_of(net, scores, a), cbm_select(batch->target, 1, a));
        sum = sum ? cbm_add(sum, one) : one;
    }
    return sum;
}

/* The part of the samples, in percent, of which each attribute that net tells is wrong. */
static void errors_of(cbm_module *net, cbm_dataset *data, double error[ATTRIBUTES])
{
    const heads *h = (const heads *)net;
    cbm_loader *loader = cbm_loader_open(data, .batch_size = 500);
    cbm_eval(net);
    for (int a = 0; a < ATTRIBUTES; a++)
        if (h->head[a])
            error[a] = 0;
    for (cbm_batch b; cbm_next(loader, &b);) {
        CBM_NO_GRAD(scope, net->cx);
        cbm_tensor *scores = cbm_call(net, b.input);
        for (int a = 0; a < ATTRIBUTES; a++) {
            if (!h->head[a])
                continue;
            cbm_tensor *said = cbm_argmax(scores_of(net, scores, a), .axes = CBM_SHAPE(1));
            cbm_tensor *wrong = cbm_cast(cbm_not_equal(said, cbm_select(b.target, 1, a)), CBM_F32);
            error[a] += 100 * cbm_item(cbm_sum(wrong)) / (double)cbm_dataset_count(data);
        }
    }
    cbm_loader_close(loader);
}

/* Trains for one attribute or all; adds to parameters and seconds. */
static cbm_status train(cbm_context *cx, const cbm_recipe_settings *s, int attribute, cbm_dataset *data,
                        cbm_dataset *test, double error[ATTRIBUTES], int64_t *parameters, double *seconds)
{
    cbm_fit_result result = { .seconds = 0 };
    cbm_seed(cx, s->seed);
    cbm_module *net = net_for(cx, attribute);
    cbm_optimizer *opt = cbm_adam(net, .lr = s->lr);
    cbm_loader *loader = cbm_loader_open(data, .batch_size = s->batch_size, .shuffle = true, .seed = s->seed);
    cbm_schedule *schedule = cbm_schedule_cosine(opt, .steps = s->epochs * cbm_loader_batches(loader));
    cbm_status status = cbm_fit(net, &result, .optimizer = opt, .train = loader, .schedule = schedule, .loss = loss,
                                .epochs = s->epochs, .max_steps = s->max_steps);
    if (cbm_recipe_ended(cx, s, status) == CBM_OK)
        errors_of(net, test, error);
    *parameters += cbm_parameter_elements(net);
    *seconds += result.seconds;
    cbm_optimizer_release(opt);
    cbm_loader_close(loader);
    cbm_module_release(net);
    return cbm_context_status(cx);
}

static cbm_status draw(cbm_context *cx, const double together[ATTRIBUTES], const double alone[ATTRIBUTES],
                       const char *run_dir, FILE *out)
{
    double place[ATTRIBUTES], most = 0.1;
    const char *names[ATTRIBUTES];
    for (int a = 0; a < ATTRIBUTES; a++) {
        names[a] = attributes[a].name;
        place[a] = 1 + a;
        most = fmax(most, fmax(together[a], alone[a]));
    }
    cbm_series series[] = { { .label = "one network", .x = place, .y = together },
                            { .label = "a network each", .x = place, .y = alone } };
    for (int k = 0; k < 2; k++) {
        series[k].count = ATTRIBUTES;
        series[k].style = CBM_SERIES_POINTS;
        series[k].color = CBM_COLOR_AUTO;
    }
    const cbm_panel panel = { .y_label = "test error (%)",
                              .series = series,
                              .series_count = 2,
                              .x_names = names,
                              .x_name_count = ATTRIBUTES,
                              .y_minimum = 0,
                              .y_maximum = 1.3 * most };
    const cbm_plot plot = { .title = "Four attributes by one network, and by one each",
                            .panels = &panel,
                            .panel_count = 1 };
    return cbm_recipe_keep_plot(cx, "multi-task", &plot, run_dir, "errors.png", out);
}

static cbm_status run(cbm_context *cx, const cbm_recipe_settings *s, FILE *out)
{
    limits l = { { 0 }, { 0 } };
    cbm_dataset *data = digits(cx, s, CBM_TRAIN, &l), *test = digits(cx, s, CBM_TEST, &l);
    double together[ATTRIBUTES] = { 0 }, alone[ATTRIBUTES] = { 0 }, seconds[2] = { 0, 0 };
    int64_t parameters[2] = { 0, 0 };
    if (cbm_context_status(cx) == CBM_OK)
        train(cx, s, ALL, data, test, together, &parameters[0], &seconds[0]);
    for (int a = 0; a < ATTRIBUTES && cbm_context_status(cx) == CBM_OK; a++)
        train(cx, s, a, data, test, alone, &parameters[1], &seconds[1]);
    if (cbm_context_status(cx) != CBM_OK)
        return cbm_context_status(cx);
    fprintf(out, "test error (%%)                    one network   a network each\n");
    for (int a = 0; a < ATTRIBUTES; a++) {
        fprintf(out, "%-10s %-22s %10.2f %16.2f\n", attributes[a].name, attributes[a].values, together[a], alone[a]);
        cbm_recipe_measure(s, together[a], "%s_error_of_one_network", attributes[a].name);
        cbm_recipe_measure(s, alone[a], "%s_error_of_its_own_network", attributes[a].name);
    }
    fprintf(out, "%-33s %10lld %16lld\n", "parameters", (long long)parameters[0], (long long)parameters[1]);
    fprintf(out, "%-33s %10.1f %16.1f\n", "seconds of training", seconds[0], seconds[1]);
    return s->run_dir ? draw(cx, together, alone, s->run_dir, out) : CBM_OK;
}

const cbm_recipe cbm_recipe_multi_task = {
    .name = "multi-task",
    .summary = "four attributes of a digit by one trunk with four heads, against four networks",
    .description =
        "Of each digit four things are to be told: which one it is, how many holes it has, how it slants and\n"
        "how thick its strokes are (the last two measured on the picture and cut into thirds). One network\n"
        "with a shared trunk, a head and a loss for each, is compared with a network for each: test errors,\n"
        "parameters, seconds.",
    .data = "mnist",
    .epochs = 40,
    .batch_size = 50,
    .lr = 0.002,
    .input = { { 3, 1, SIDE, SIDE } },
    .model = model,
    .run = run,
};
