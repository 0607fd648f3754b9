/* look.c: pictures of a trained network, left in its run's folder: filters, feature maps, which units answer to which
   samples, where scores come from, what raises each class, and what is confused with what. Rests on look.h. */
#include "recipe.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GAP 2
#define BATCH 500
#define SHOWN 8        /* samples whose scores are traced */
#define ANSWERS 128    /* samples and units of the picture of answers */
#define MAPS_MOST 16   /* of a layer */
#define LAYERS_MOST 12 /* shown */
#define MISTAKES 10
#define CLASSES_MOST 100
#define MODEL_STEPS 200
#define MODEL_RATE 1.0
#define MODEL_NOISE 0.3
#define MODEL_DECAY 0.05

typedef struct looker {
    const cbm_recipe *recipe;
    cbm_context *cx;
    cbm_module *net;
    const char *dir;
    FILE *out;
    cbm_batch batch; /* the first BATCH test samples */
} looker;

static bool well(const looker *l)
{
    return cbm_context_status(l->cx) == CBM_OK;
}

static cbm_status keep(const looker *l, cbm_image *image, const char *file)
{
    return cbm_recipe_keep_image(l->cx, l->recipe->name, image, l->dir, file, l->out);
}

/* ---- tiles: small pictures in rows ---- */

typedef struct tiles {
    cbm_image image;
    int64_t height, width, zoom; /* of a tile, before zooming */
} tiles;

static bool new_tiles(const looker *l, int64_t rows, int64_t columns, int64_t height, int64_t width, int64_t zoom,
                      tiles *t)
{
    *t = (tiles){ .height = height, .width = width, .zoom = zoom };
    return cbm_recipe_image(l->cx, l->recipe->name, columns * (width * zoom + GAP) - GAP,
                            rows * (height * zoom + GAP) - GAP, 3, &t->image);
}

/* How much larger a picture of that side is drawn: to about 64 pixels. */
static int64_t zoom_of(int64_t side)
{
    return side < 64 ? 64 / side : 1;
}

static uint8_t level(double value, double low, double high)
{
    double v = high > low ? 255 * (value - low) / (high - low) : 0;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* Planes (channels, height, width) from low (black) to high; of three channels a colour. */
static void put(tiles *t, int64_t row, int64_t column, const float *planes, int64_t channels, double low, double high)
{
    int64_t top = row * (t->height * t->zoom + GAP), left = column * (t->width * t->zoom + GAP);
    for (int64_t y = 0; y < t->height * t->zoom; y++)
        for (int64_t x = 0; x < t->width * t->zoom; x++) {
            int64_t at = y / t->zoom * t->width + x / t->zoom;
            uint8_t *pixel = t->image.pixels + ((top + y) * t->image.width + left + x) * 3;
            for (int64_t c = 0; c < 3; c++)
                pixel[c] = level((double)planes[(channels == 3 ? c : 0) * t->height * t->width + at], low, high);
        }
}

typedef struct range {
    double low, high;
} range;

static range range_of(const float *values, int64_t count)
{
    range r = { INFINITY, -INFINITY };
    for (int64_t i = 0; i < count; i++) {
        r.low = fmin(r.low, (double)values[i]);
        r.high = fmax(r.high, (double)values[i]);
    }
    return r;
}

/* In its own range. */
static void put_own(tiles *t, int64_t row, int64_t column, const float *planes, int64_t channels)
{
    range r = range_of(planes, (channels == 3 ? 3 : 1) * t->height * t->width);
    put(t, row, column, planes, channels, r.low, r.high);
}

/* ---- filters ---- */

/* The filters of the first convolution, each in its own range; of one or three channels as it is, of others the first. */
static void draw_filters(const looker *l)
{
    cbm_named named;
    tiles t;
    for (size_t i = 0; cbm_parameter_at(l->net, i, &named); i++) {
        cbm_shape s = cbm_tensor_shape(named.tensor);
        if (s.v[0] != 4 || s.v[3] < 2)
            continue;
        CBM_SCOPE(scope, l->cx);
        const float *w = cbm_tensor_data(cbm_cast(named.tensor, CBM_F32));
        int64_t columns = (int64_t)ceil(sqrt((double)s.v[1])), rows = (s.v[1] + columns - 1) / columns;
        if (!w || !new_tiles(l, rows, columns, s.v[3], s.v[4], zoom_of(s.v[3] * 2), &t))
            return;
        for (int64_t k = 0; k < s.v[1]; k++)
            put_own(&t, k / columns, k % columns, w + k * s.v[2] * s.v[3] * s.v[4], s.v[2]);
        fprintf(l->out, "filters of '%s'\n", named.name);
        keep(l, &t.image, "filters.png");
        return;
    }
}

/* ---- feature maps, and which units answer to which samples ---- */

typedef struct seen {
    char name[256];
    const char *type;
    cbm_tensor *output;
} seen;

typedef struct layers {
    seen at[LAYERS_MOST];
    int64_t count;
    seen newest;        /* the last that could be shown */
    seen last;          /* (N, D), the last but the scores */
    char last_map[256]; /* the name of the last that is (N, K, h, w); "" if there is none */
} layers;

/* Activations; of networks without such modules nothing. */
static void remember(const char *name, cbm_module *m, cbm_tensor *input, cbm_tensor *output, void *user)
{
    layers *s = user;
    (void)input;
    if (cbm_child_count(m) > 0)
        return;
    seen one = { .type = m->type ? m->type : "module", .output = output };
    snprintf(one.name, sizeof one.name, "%s", name);
    if (cbm_tensor_rank(output) == 2 && strcmp(one.type, "linear") != 0)
        s->last = one;
    bool shown = strcmp(one.type, "relu") == 0 || strcmp(one.type, "tanh") == 0 || strcmp(one.type, "sigmoid") == 0 ||
                 strcmp(one.type, "conv2d") == 0;
    if (shown && cbm_tensor_rank(output) == 4)
        snprintf(s->last_map, sizeof s->last_map, "%s", name);
    if (shown)
        s->newest = one;
    if (shown && s->count < LAYERS_MOST)
        s->at[s->count++] = one;
}

/* A row a layer, of the first sample: the first maps. */
static void draw_maps(const looker *l, const layers *s)
{
    int64_t side = cbm_tensor_shape(l->batch.input).v[3], rows = 0;
    tiles t;
    for (int64_t i = 0; i < s->count; i++)
        rows += cbm_tensor_rank(s->at[i].output) == 4;
    if (rows == 0 || !new_tiles(l, rows, MAPS_MOST, side, side, zoom_of(side), &t))
        return;
    float *large = malloc((size_t)(side * side) * sizeof *large);
    int64_t row = 0;
    for (int64_t i = 0; i < s->count && large && well(l); i++) {
        cbm_shape shape = cbm_tensor_shape(s->at[i].output);
        if (shape.v[0] != 4)
            continue;
        CBM_NO_GRAD(scope, l->cx);
        const float *maps = cbm_tensor_data(cbm_cast(s->at[i].output, CBM_F32));
        int64_t height = shape.v[3], width = shape.v[4];
        for (int64_t k = 0; maps && k < MAPS_MOST && k < shape.v[2]; k++) {
            for (int64_t p = 0; p < side * side; p++) /* nearest */
                large[p] = maps[k * height * width + p / side * height / side * width + p % side * width / side];
            put_own(&t, row, k, large, 1);
        }
        fprintf(l->out, "maps, row %lld: '%s' (%s), %lld x %lld\n", (long long)row + 1, s->at[i].name, s->at[i].type,
                (long long)height, (long long)width);
        row++;
    }
    free(large);
    keep(l, &t.image, "maps.png");
}

/* Samples across, units down, the mean over places: a good training looks like noise, a bad one has stripes. */
static void draw_answers(const looker *l, const layers *s)
{
    const seen *layer = s->last.output ? &s->last : s->newest.output ? &s->newest : NULL;
    tiles t;
    if (!layer)
        return;
    CBM_NO_GRAD(scope, l->cx);
    cbm_shape shape = cbm_tensor_shape(layer->output);
    int64_t samples = shape.v[1] < ANSWERS ? shape.v[1] : ANSWERS, units = shape.v[2] < ANSWERS ? shape.v[2] : ANSWERS;
    int64_t places = cbm_tensor_count(layer->output) / (shape.v[1] * shape.v[2]);
    const float *values = cbm_tensor_data(cbm_cast(layer->output, CBM_F32));
    float *means = malloc((size_t)(samples * units) * sizeof *means);
    if (values && means && new_tiles(l, 1, 1, units, samples, 4, &t)) {
        for (int64_t i = 0; i < samples * units; i++) {
            double sum = 0;
            for (int64_t p = 0; p < places; p++)
                sum += (double)values[(i % samples * shape.v[2] + i / samples) * places + p];
            means[i] = (float)(sum / (double)places);
        }
        put_own(&t, 0, 0, means, 1);
        fprintf(l->out, "answers of '%s' (%s): a row a unit, a column a sample\n", layer->name, layer->type);
        keep(l, &t.image, "answers.png");
    }
    free(means);
}

static void on_layer(const cbm_layer_look *look, void *user)
{
    const looker *l = user;
    char text[200], correlation[32] = "-";
    if (isfinite(look->correlation))
        snprintf(correlation, sizeof correlation, "%.2f", look->correlation);
    fprintf(l->out, "%-24s %-16s %10.3g %10.3g %7.1f %% %7lld %8lld %11s\n", look->name, look->type, look->mean,
            look->deviation, 100 * look->zeros, (long long)look->dead, (long long)look->constant, correlation);
    if (cbm_look_verdict(look, text, sizeof text))
        fprintf(l->out, "    %s\n", text);
}

/* ---- where scores come from ---- */

static const char *class_name(const cbm_recipe *recipe, int64_t class, char text[static 32])
{
    if (recipe->class_names)
        return recipe->class_names[class];
    snprintf(text, 32, "%lld", (long long)class);
    return text;
}

/* A row a sample: itself, saliency, guided, deconvolutional, Grad-CAM, occlusion. */
static void draw_scores(const looker *l, const char *layer)
{
    cbm_shape shape = cbm_tensor_shape(l->batch.input);
    int64_t channels = shape.v[2], height = shape.v[3], width = shape.v[4], size = channels * height * width;
    tiles t;
    if (!layer[0] || (channels != 1 && channels != 3) || !new_tiles(l, SHOWN, 6, height, width, zoom_of(height), &t))
        return;
    int64_t hole = height / 5 > 0 ? height / 5 : 1;
    float *large = malloc((size_t)(height * width) * sizeof *large);
    for (int64_t i = 0; i < SHOWN && large && i < l->batch.size && well(l); i++) {
        CBM_SCOPE(scope, l->cx);
        cbm_tensor *x = cbm_slice(l->batch.input, 0, i, i + 1, 1);
        cbm_tensor *views[] = { x,
                                cbm_saliency(l->net, x, CBM_TOP),
                                cbm_attribution(l->net, x, CBM_TOP, CBM_WAY_GUIDED),
                                cbm_attribution(l->net, x, CBM_TOP, CBM_WAY_DECONVNET),
                                cbm_grad_cam(l->net, x, CBM_TOP, layer),
                                cbm_occlusion(l->net, x, CBM_TOP, hole, hole > 1 ? hole / 2 : 1, 0) };
        for (int64_t v = 0; v < 6; v++) {
            cbm_shape of = cbm_tensor_shape(views[v]);
            int64_t h = of.v[of.v[0] - 1], w = of.v[of.v[0]];
            const float *values = cbm_tensor_data(views[v]);
            if (values && cbm_tensor_count(views[v]) == size)
                put_own(&t, i, v, values, channels);
            for (int64_t p = 0; values && cbm_tensor_count(views[v]) != size && p < height * width; p++)
                large[p] = values[p / width * h / height * w + p % width * w / width];
            if (values && cbm_tensor_count(views[v]) != size)
                put_own(&t, i, v, large, 1);
        }
    }
    free(large);
    fprintf(l->out, "scores: a row a sample: itself, saliency, guided, deconvolutional, Grad-CAM of '%s', occlusion\n",
            layer);
    keep(l, &t.image, "scores.png");
}

static void draw_class_models(const looker *l)
{
    cbm_shape shape = l->recipe->input;
    int64_t channels = shape.v[1], columns = l->recipe->classes < 10 ? l->recipe->classes : 10;
    tiles t;
    if (shape.v[0] != 3 || (channels != 1 && channels != 3) ||
        !new_tiles(l, (l->recipe->classes + columns - 1) / columns, columns, shape.v[2], shape.v[3],
                   zoom_of(shape.v[2]), &t))
        return;
    for (int64_t c = 0; c < l->recipe->classes && well(l); c++) {
        CBM_SCOPE(scope, l->cx);
        cbm_tensor *noise = cbm_normal(l->cx, CBM_F32, CBM_SHAPE(1, channels, shape.v[2], shape.v[3]), 0, MODEL_NOISE);
        const float *x = cbm_tensor_data(cbm_class_model(l->net, noise, c, MODEL_STEPS, MODEL_RATE, MODEL_DECAY));
        if (x)
            put_own(&t, c / columns, c % columns, x, channels);
    }
    fprintf(l->out, "what raises the score of each class most, by %d steps of gradient ascent\n", MODEL_STEPS);
    keep(l, &t.image, "classes.png");
}

/* ---- the last layer in two dimensions ---- */

#define DRAWN_CLASSES 10
#define LEGEND 0.45 /* of the points' breadth, for the legend beside them */
static const int64_t class_colours[DRAWN_CLASSES] = { 0x2563EB, 0xE8590C, 0x0B8A5F, 0x9333EA, 0xC2255C,
                                                      0x0C8599, 0xA67C00, 0x495057, 0x84CC16, 0xF472B6 };

/* What the last layer with weights sees. */
static void last_input(const char *name, cbm_module *m, cbm_tensor *input, cbm_tensor *output, void *user)
{
    (void)name;
    if (m->type && strcmp(m->type, "linear") == 0 && cbm_tensor_rank(input) == 2 && cbm_tensor_rank(output) == 2)
        *(cbm_tensor **)user = input;
}

/* The points of each class as a series; x and y have room for count numbers a class. */
static size_t by_class(const looker *l, const float *at, int64_t count, double *x, double *y, char labels[][32],
                       cbm_series *series)
{
    const int64_t *is = cbm_tensor_data(cbm_cast(l->batch.target, CBM_I64));
    int64_t classes = l->recipe->classes < DRAWN_CLASSES ? l->recipe->classes : DRAWN_CLASSES;
    for (int64_t c = 0; is && c < classes; c++) {
        size_t n = 0;
        for (int64_t i = 0; i < count; i++)
            if (is[i] == c) {
                x[c * count + (int64_t)n] = (double)at[2 * i];
                y[c * count + (int64_t)n++] = (double)at[2 * i + 1];
            }
        series[c] = (cbm_series){ .label = class_name(l->recipe, c, labels[c]),
                                  .x = x + c * count,
                                  .y = y + c * count,
                                  .count = n,
                                  .style = CBM_SERIES_POINTS,
                                  .color = class_colours[c] };
    }
    return is ? (size_t)classes : 0;
}

static void draw_embedding(const looker *l)
{
    CBM_NO_GRAD(scope, l->cx);
    cbm_tensor *features = NULL;
    cbm_call_watched(l->net, l->batch.input, last_input, &features);
    int64_t count = l->batch.size;
    if (!well(l) || !features || count < 8 || cbm_tensor_size(features, 1) < 2)
        return;
    features = cbm_cast(features, CBM_F32);
    const float *pca = cbm_tensor_data(cbm_pca(features, 2));
    const float *tsne = cbm_tensor_data(cbm_tsne(features, .perplexity = fmin(30, (double)count / 4)));
    double *numbers = malloc((size_t)(4 * DRAWN_CLASSES * count) * sizeof *numbers);
    cbm_series series[2][DRAWN_CLASSES];
    char labels[DRAWN_CLASSES][32], path[1024];
    if (pca && tsne && numbers) {
        double *x[2] = { numbers, numbers + 2 * DRAWN_CLASSES * count };
        size_t classes = by_class(l, pca, count, x[0], x[0] + DRAWN_CLASSES * count, labels, series[0]);
        by_class(l, tsne, count, x[1], x[1] + DRAWN_CLASSES * count, labels, series[1]);
        range across = { INFINITY, -INFINITY };
        for (size_t c = 0; c < classes; c++) {
            series[1][c].label = NULL; /* one legend is enough, beside the points of the first panel */
            for (size_t i = 0; i < series[0][c].count; i++) {
                across.low = fmin(across.low, series[0][c].x[i]);
                across.high = fmax(across.high, series[0][c].x[i]);
            }
        }
        const double room = across.high - across.low;
        const cbm_panel panels[] = {
            { .title = "principal components",
              .series = series[0],
              .series_count = classes,
              .x_minimum = across.low - 0.03 * room,
              .x_maximum = across.high + LEGEND * room },
            { .title = "t-SNE", .series = series[1], .series_count = classes },
        };
        const cbm_plot plot = { .title = "what the last layer sees", .panels = panels, .panel_count = 2 };
        cbm_media_message message;
        snprintf(path, sizeof path, "%s/embedding.png", l->dir);
        cbm_status status = cbm_plot_write(&plot, path, &message);
        if (status != CBM_OK)
            cbm_fail(l->cx, status, "[%s] %s", l->recipe->name, message.text);
        else
            fprintf(l->out, "what the last layer sees of %lld samples, in two dimensions\npicture: %s\n",
                    (long long)count, path);
    }
    free(numbers);
}

/* ---- confusion ---- */

typedef struct mistake {
    double sure;
    int64_t sample, is, said;
} mistake;

typedef struct confusion {
    int64_t count[CLASSES_MOST][CLASSES_MOST]; /* [is][said] */
    mistake worst[MISTAKES];                   /* the surest first */
    int64_t wrong, samples;
} confusion;

static void add_mistake(confusion *c, mistake m)
{
    int at = MISTAKES;
    while (at > 0 && m.sure > c->worst[at - 1].sure)
        at--;
    if (at == MISTAKES)
        return;
    memmove(c->worst + at + 1, c->worst + at, (size_t)(MISTAKES - 1 - at) * sizeof m);
    c->worst[at] = m;
}

static void judge(const looker *l, const cbm_batch *b, confusion *c)
{
    CBM_NO_GRAD(scope, l->cx);
    int64_t classes = l->recipe->classes;
    const float *p = cbm_tensor_data(cbm_cast(cbm_recipe_predict(l->recipe, l->net, b->input), CBM_F32));
    const int64_t *is = cbm_tensor_data(cbm_cast(b->target, CBM_I64));
    for (int64_t i = 0; p && is && i < b->size; i++) {
        int64_t said = 0;
        for (int64_t k = 1; k < classes; k++)
            said = p[i * classes + k] > p[i * classes + said] ? k : said;
        c->count[is[i]][said]++;
        c->samples++;
        c->wrong += said != is[i];
        if (said != is[i])
            add_mistake(c, (mistake){ (double)p[i * classes + said], b->samples[i], is[i], said });
    }
}

static void print_confusion(const looker *l, const confusion *c)
{
    char a[32], b[32];
    int64_t most[3][3] = { { 0 } }; /* count, is, said */
    for (int64_t i = 0; i < l->recipe->classes; i++)
        for (int64_t k = 0; k < l->recipe->classes; k++) {
            int64_t here[3] = { c->count[i][k], i, k };
            for (int r = 0; i != k && r < 3; r++)
                if (here[0] > most[r][0]) {
                    memmove(most + r + 1, most + r, (size_t)(2 - r) * sizeof most[0]);
                    memcpy(most[r], here, sizeof here);
                    break;
                }
        }
    fprintf(l->out, "%lld of %lld test samples are wrong\n", (long long)c->wrong, (long long)c->samples);
    for (int r = 0; r < 3 && most[r][0] > 0; r++)
        fprintf(l->out, "    %lld of class %s are taken for %s\n", (long long)most[r][0],
                class_name(l->recipe, most[r][1], a), class_name(l->recipe, most[r][2], b));
    for (int i = 0; i < MISTAKES && c->worst[i].sure > 0; i++)
        fprintf(l->out, "    sample %lld is %s, taken for %s with probability %.3f\n", (long long)c->worst[i].sample,
                class_name(l->recipe, c->worst[i].is, a), class_name(l->recipe, c->worst[i].said, b), c->worst[i].sure);
}

/* Rows are what samples are, columns what is said; white: all of a class. */
static void draw_confusion(const looker *l, const confusion *c, cbm_dataset *test)
{
    int64_t classes = l->recipe->classes;
    tiles t;
    float *part = malloc((size_t)(classes * classes) * sizeof *part);
    if (part && new_tiles(l, 1, 1, classes, classes, zoom_of(classes) * 4, &t)) {
        for (int64_t i = 0; i < classes * classes; i++) {
            int64_t all = 0;
            for (int64_t k = 0; k < classes; k++)
                all += c->count[i / classes][k];
            part[i] = all ? (float)((double)c->count[i / classes][i % classes] / (double)all) : 0;
        }
        for (int64_t i = 0; i < classes * classes; i++)
            part[i] = sqrtf(part[i]); /* so that one in a hundred is seen */
        put(&t, 0, 0, part, 1, 0, 1);
        fprintf(l->out, "confusion: a row a class, a column what it is taken for\n");
        keep(l, &t.image, "confusion.png");
    }
    free(part);
    cbm_shape s = l->recipe->input;
    if (c->wrong == 0 || s.v[0] != 3 || (s.v[1] != 1 && s.v[1] != 3) ||
        !new_tiles(l, 1, MISTAKES, s.v[2], s.v[3], zoom_of(s.v[2]), &t))
        return;
    for (int i = 0; i < MISTAKES && c->worst[i].sure > 0 && well(l); i++) {
        CBM_SCOPE(scope, l->cx);
        cbm_tensor *input = NULL;
        if (cbm_dataset_get(test, c->worst[i].sample, &input, NULL) == CBM_OK)
            put_own(&t, 0, i, cbm_tensor_data(cbm_cast(input, CBM_F32)), s.v[1]);
    }
    keep(l, &t.image, "mistakes.png");
}

/* ---- all of it ---- */

cbm_status cbm_recipe_look(const cbm_recipe *recipe, cbm_context *cx, const cbm_recipe_settings *s, const char *weights,
                           const char *dir, FILE *out)
{
    if (!recipe->model || !recipe->dataset || recipe->classes < 2 || recipe->classes > CLASSES_MOST)
        return cbm_fail(cx, CBM_ERROR_UNSUPPORTED, "[%s] this recipe is no classifier of a data set", recipe->name);
    looker l = { .recipe = recipe, .cx = cx, .dir = dir, .out = out };
    l.net = cbm_recipe_model(recipe, cx, s, weights);
    cbm_dataset *test = recipe->dataset(cx, s->data_dir, CBM_TEST);
    if (cbm_context_status(cx) == CBM_OK && s->limit > 0 && s->limit < cbm_dataset_count(test))
        test = cbm_dataset_part(test, 0, s->limit);
    cbm_loader *loader = cbm_loader_open(test, .batch_size = BATCH);
    if (!well(&l) || !cbm_next(loader, &l.batch))
        return cbm_context_status(cx);
    cbm_eval(l.net);
    fprintf(out, "%-24s %-16s %10s %10s %9s %7s %8s %11s\n", "layer", "type", "mean", "deviation", "zeros", "dead",
            "constant", "correlation");
    cbm_look_at_layers(l.net, l.batch.input, on_layer, &l);
    draw_filters(&l);
    layers found = { .count = 0 };
    cbm_scope *scope = cbm_scope_begin_no_grad(cx);
    cbm_call_watched(l.net, l.batch.input, remember, &found);
    if (well(&l) && cbm_tensor_rank(l.batch.input) == 4)
        draw_maps(&l, &found);
    if (well(&l))
        draw_answers(&l, &found);
    cbm_scope_end(scope);
    if (well(&l) && cbm_tensor_rank(l.batch.input) == 4)
        draw_scores(&l, found.last_map);
    if (well(&l))
        draw_class_models(&l);
    if (well(&l))
        draw_embedding(&l);
    confusion *c = calloc(1, sizeof *c);
    if (!c)
        return cbm_fail(cx, CBM_ERROR_MEMORY, "[%s] no memory for a table of confusions", recipe->name);
    judge(&l, &l.batch, c);
    for (cbm_batch b; well(&l) && cbm_next(loader, &b);)
        judge(&l, &b, c);
    if (well(&l)) {
        print_confusion(&l, c);
        draw_confusion(&l, c, test);
    }
    free(c);
    return cbm_context_status(cx);
}
