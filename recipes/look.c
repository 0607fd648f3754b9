/* look.c: pictures of a trained network, left in its run's folder: filters, feature maps, which units answer to which
   samples; and in the other files of look.h where scores come from, and what is made of the samples. */
#include "look.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 500
#define ANSWERS 128    /* samples and units of the picture of answers */
#define MAPS_MOST 16   /* of a layer */
#define LAYERS_MOST 64 /* shown */
#define FILTERS_MOST 256

/* ---- filters ---- */

/* The shape (units, channels, height, width) of weights that can be seen as pictures: a convolution's, or a linear layer's on
   whole pictures. false: they are none. */
static bool seen_as_pictures(const cbm_looker *l, cbm_tensor *weight, cbm_shape *as)
{
    const cbm_shape s = cbm_tensor_shape(weight), *input = &l->recipe->input;
    if (s.v[0] == 4 && s.v[3] >= 2)
        *as = s;
    else if (s.v[0] == 2 && input->v[0] == 3 && s.v[2] == input->v[1] * input->v[2] * input->v[3])
        *as = CBM_SHAPE(s.v[1], input->v[1], input->v[2], input->v[3]);
    else
        return false;
    return true;
}

/* The filters of the first layer that has such, each in its own range; of one or three channels as it is, of others the first. */
static void draw_filters(const cbm_looker *l)
{
    cbm_named named;
    cbm_tiles t;
    cbm_shape s;
    char title[300];
    for (size_t i = 0; cbm_parameter_at(l->net, i, &named); i++) {
        if (!seen_as_pictures(l, named.tensor, &s))
            continue;
        CBM_SCOPE(scope, l->cx);
        const float *w = cbm_tensor_data(cbm_cast(named.tensor, CBM_F32));
        int64_t units = s.v[1] < FILTERS_MOST ? s.v[1] : FILTERS_MOST;
        int64_t columns = (int64_t)ceil(sqrt((double)units)), rows = (units + columns - 1) / columns;
        if (!w || !cbm_tiles_new(l, rows, columns, s.v[3], s.v[4], cbm_tiles_zoom(s.v[3]), &t))
            return;
        for (int64_t k = 0; k < units; k++)
            cbm_tiles_put_own(&t, k / columns, k % columns, w + k * s.v[2] * s.v[3] * s.v[4], s.v[2]);
        snprintf(title, sizeof title, "%lld filters of '%s', %lldx%lld", (long long)units, named.name,
                 (long long)s.v[3], (long long)s.v[4]);
        const cbm_frame frame = { .title = title };
        fprintf(l->out, "%s\n", title);
        cbm_looker_keep(l, &t.image, &frame, "filters.png");
        return;
    }
    fprintf(l->out, "no filters: no weights can be seen as pictures\n");
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

/* A row a layer, of one sample: the first maps. */
static void draw_maps(const cbm_looker *l, const layers *s, int64_t sample)
{
    int64_t side = cbm_tensor_shape(l->batch.input).v[3], rows = 0;
    cbm_tiles t;
    char labels[LAYERS_MOST][300], title[80];
    const char *names[LAYERS_MOST];
    for (int64_t i = 0; i < s->count; i++)
        rows += cbm_tensor_rank(s->at[i].output) == 4;
    if (rows == 0 || !cbm_tiles_new(l, rows, MAPS_MOST, side, side, cbm_tiles_zoom(side), &t))
        return;
    int64_t row = 0;
    for (int64_t i = 0; i < s->count && cbm_looker_well(l); i++) {
        cbm_shape shape = cbm_tensor_shape(s->at[i].output);
        if (shape.v[0] != 4)
            continue;
        CBM_NO_GRAD(scope, l->cx);
        const float *maps = cbm_tensor_data(cbm_cast(s->at[i].output, CBM_F32));
        int64_t height = shape.v[3], width = shape.v[4];
        for (int64_t k = 0; maps && k < MAPS_MOST && k < shape.v[2]; k++)
            cbm_tiles_put_scaled(&t, row, k, maps + (sample * shape.v[2] + k) * height * width, height, width);
        fprintf(l->out, "maps, row %lld: '%s' (%s), %lld x %lld\n", (long long)row + 1, s->at[i].name, s->at[i].type,
                (long long)height, (long long)width);
        snprintf(labels[row], sizeof labels[row], "%.120s\n%s %lldx%lld", s->at[i].name, s->at[i].type,
                 (long long)height, (long long)width);
        names[row] = labels[row];
        row++;
    }
    snprintf(title, sizeof title, "What the layers give for test sample %lld", (long long)sample);
    const cbm_frame frame = { .title = title, .rows = names, .row_count = (size_t)row };
    cbm_looker_keep(l, &t.image, &frame, "maps.png");
}

/* Samples across, units down, the mean over places: a good training looks like noise, a bad one has stripes. */
static void draw_answers(const cbm_looker *l, const layers *s)
{
    const seen *layer = s->last.output ? &s->last : s->newest.output ? &s->newest : NULL;
    cbm_tiles t;
    if (!layer)
        return;
    CBM_NO_GRAD(scope, l->cx);
    cbm_shape shape = cbm_tensor_shape(layer->output);
    int64_t samples = shape.v[1] < ANSWERS ? shape.v[1] : ANSWERS, units = shape.v[2] < ANSWERS ? shape.v[2] : ANSWERS;
    int64_t places = cbm_tensor_count(layer->output) / (shape.v[1] * shape.v[2]);
    const float *values = cbm_tensor_data(cbm_cast(layer->output, CBM_F32));
    float *means = malloc((size_t)(samples * units) * sizeof *means);
    if (values && means && cbm_tiles_new(l, 1, 1, units, samples, 4, &t)) {
        for (int64_t i = 0; i < samples * units; i++) {
            double sum = 0;
            for (int64_t p = 0; p < places; p++)
                sum += (double)values[(i % samples * shape.v[2] + i / samples) * places + p];
            means[i] = (float)(sum / (double)places);
        }
        cbm_tiles_put_own(&t, 0, 0, means, 1);
        char title[300], of_units[40], of_samples[40];
        snprintf(title, sizeof title, "Answers of '%s' (%s)", layer->name, layer->type);
        snprintf(of_units, sizeof of_units, "%lld units", (long long)units);
        snprintf(of_samples, sizeof of_samples, "%lld test samples", (long long)samples);
        const cbm_frame frame = { .title = title,
                                  .rows = (const char *const[]){ of_units },
                                  .row_count = 1,
                                  .columns = (const char *const[]){ of_samples },
                                  .column_count = 1 };
        fprintf(l->out, "answers of '%s' (%s): a row a unit, a column a sample\n", layer->name, layer->type);
        cbm_looker_keep(l, &t.image, &frame, "answers.png");
    }
    free(means);
}

static void on_layer(const cbm_layer_look *look, void *user)
{
    const cbm_looker *l = user;
    char text[200], correlation[32] = "-";
    if (isfinite(look->correlation))
        snprintf(correlation, sizeof correlation, "%.2f", look->correlation);
    fprintf(l->out, "%-24s %-16s %10.3g %10.3g %7.1f %% %8.2f %9.2f %7lld %8lld %11s\n", look->name, look->type,
            look->mean, look->deviation, 100 * look->zeros, look->sparse_samples, look->sparse_features,
            (long long)look->dead, (long long)look->constant, correlation);
    if (cbm_look_verdict(look, text, sizeof text))
        fprintf(l->out, "    %s\n", text);
}

/* ---- all of it ---- */

cbm_status cbm_recipe_look(const cbm_recipe *recipe, cbm_context *cx, const cbm_recipe_settings *s, const char *weights,
                           int64_t sample, const char *dir, FILE *out)
{
    if (!recipe->model || !recipe->dataset || recipe->classes < 2 || recipe->classes > CBM_LOOK_CLASSES)
        return cbm_fail(cx, CBM_ERROR_UNSUPPORTED, "[%s] this recipe is no classifier of a data set", recipe->name);
    cbm_looker l = { .recipe = recipe, .cx = cx, .dir = dir, .out = out };
    l.net = cbm_recipe_model(recipe, cx, s, weights);
    cbm_dataset *test = recipe->dataset(cx, s->data_dir, CBM_TEST);
    if (cbm_context_status(cx) == CBM_OK && s->limit > 0 && s->limit < cbm_dataset_count(test))
        test = cbm_dataset_part(test, 0, s->limit);
    cbm_loader *loader = cbm_loader_open(test, .batch_size = BATCH);
    if (!cbm_looker_well(&l) || !cbm_next(loader, &l.batch))
        return cbm_context_status(cx);
    if (sample < 0 || sample >= l.batch.size)
        return cbm_fail(cx, CBM_ERROR_RANGE, "[look] there is no sample %lld among the first %lld", (long long)sample,
                        (long long)l.batch.size);
    cbm_eval(l.net);
    fprintf(out, "%-24s %-16s %10s %10s %9s %18s\n", "", "", "", "", "", "sparse over");
    fprintf(out, "%-24s %-16s %10s %10s %9s %8s %9s %7s %8s %11s\n", "layer", "type", "mean", "deviation", "zeros",
            "samples", "features", "dead", "constant", "correlation");
    cbm_look_at_layers(l.net, l.batch.input, on_layer, &l);
    draw_filters(&l);
    layers found = { .count = 0 };
    cbm_scope *scope = cbm_scope_begin_no_grad(cx);
    cbm_call_watched(l.net, l.batch.input, remember, &found);
    if (cbm_looker_well(&l) && cbm_tensor_rank(l.batch.input) == 4)
        draw_maps(&l, &found, sample);
    if (cbm_looker_well(&l))
        draw_answers(&l, &found);
    cbm_scope_end(scope);
    if (cbm_looker_well(&l) && cbm_tensor_rank(l.batch.input) == 4)
        cbm_look_draw_scores(&l, found.last_map);
    if (cbm_looker_well(&l))
        cbm_look_draw_class_models(&l);
    if (cbm_looker_well(&l))
        cbm_look_draw_embedding(&l);
    if (cbm_looker_well(&l))
        cbm_look_at_mistakes(&l, test, loader);
    if (cbm_looker_well(&l) && recipe->input.v[0] == 3)
        cbm_look_draw_exciting(&l, test, loader, found.last_map);
    return cbm_context_status(cx);
}
