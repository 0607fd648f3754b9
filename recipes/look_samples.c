/* look_samples.c: what a network makes of the test samples: the last layer in two dimensions, confusion, the surest mistakes,
   and the patches that excite units. Rests on look.h of the library. */
#include "look.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MISTAKES 10
#define CONFUSION_ZOOM 8
#define NAMED_FROM 12 /* pixels of a class */
#define CLASSES_MOST CBM_LOOK_CLASSES

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
static size_t by_class(const cbm_looker *l, const float *at, int64_t count, double *x, double *y, char labels[][32],
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
        series[c] = (cbm_series){ .label = cbm_looker_class(l, c, labels[c]),
                                  .x = x + c * count,
                                  .y = y + c * count,
                                  .count = n,
                                  .style = CBM_SERIES_POINTS,
                                  .color = class_colours[c] };
    }
    return is ? (size_t)classes : 0;
}

void cbm_look_draw_embedding(const cbm_looker *l)
{
    CBM_NO_GRAD(scope, l->cx);
    cbm_tensor *features = NULL;
    cbm_call_watched(l->net, l->batch.input, last_input, &features);
    int64_t count = l->batch.size;
    if (!cbm_looker_well(l) || !features || count < 8 || cbm_tensor_size(features, 1) < 2)
        return;
    features = cbm_cast(features, CBM_F32);
    const float *pca = cbm_tensor_data(cbm_pca(features, 2));
    const float *tsne = cbm_tensor_data(cbm_tsne(features, .perplexity = fmin(30, (double)count / 4)));
    double *numbers = malloc((size_t)(4 * DRAWN_CLASSES * count) * sizeof *numbers);
    cbm_series series[2][DRAWN_CLASSES];
    char labels[DRAWN_CLASSES][32];
    if (pca && tsne && numbers) {
        double *x[2] = { numbers, numbers + 2 * DRAWN_CLASSES * count };
        size_t classes = by_class(l, pca, count, x[0], x[0] + DRAWN_CLASSES * count, labels, series[0]);
        by_class(l, tsne, count, x[1], x[1] + DRAWN_CLASSES * count, labels, series[1]);
        double low = INFINITY, high = -INFINITY;
        for (size_t c = 0; c < classes; c++) {
            series[1][c].label = NULL; /* one legend is enough, beside the points of the first panel */
            for (size_t i = 0; i < series[0][c].count; i++) {
                low = fmin(low, series[0][c].x[i]);
                high = fmax(high, series[0][c].x[i]);
            }
        }
        const double room = high - low;
        const cbm_panel panels[] = {
            { .title = "principal components",
              .series = series[0],
              .series_count = classes,
              .x_minimum = low - 0.03 * room,
              .x_maximum = high + LEGEND * room },
            { .title = "t-SNE", .series = series[1], .series_count = classes },
        };
        const cbm_plot plot = { .title = "what the last layer sees", .panels = panels, .panel_count = 2 };
        fprintf(l->out, "what the last layer sees of %lld samples, in two dimensions\n", (long long)count);
        cbm_looker_keep_plot(l, &plot, "embedding.png");
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

/* How many of the worst there are; scores that are no numbers give none. */
static int64_t worst_count(const confusion *c)
{
    int64_t count = 0;
    while (count < MISTAKES && c->worst[count].sure > 0)
        count++;
    return count;
}

static void judge(const cbm_looker *l, const cbm_batch *b, confusion *c)
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

static void print_confusion(const cbm_looker *l, const confusion *c)
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
                cbm_looker_class(l, most[r][1], a), cbm_looker_class(l, most[r][2], b));
    for (int64_t i = 0; i < worst_count(c); i++)
        fprintf(l->out, "    sample %lld is %s, taken for %s with probability %.3f\n", (long long)c->worst[i].sample,
                cbm_looker_class(l, c->worst[i].is, a), cbm_looker_class(l, c->worst[i].said, b), c->worst[i].sure);
}

/* Rows are what samples are, columns what is said; white: all of a class. */
static void draw_confusion(const cbm_looker *l, const confusion *c)
{
    int64_t classes = l->recipe->classes;
    cbm_tiles t;
    cbm_class_names names;
    float *part = malloc((size_t)(classes * classes) * sizeof *part);
    if (part && cbm_tiles_new(l, 1, 1, classes, classes, cbm_tiles_zoom(classes) * CONFUSION_ZOOM, &t)) {
        for (int64_t i = 0; i < classes * classes; i++) {
            int64_t all = 0;
            for (int64_t k = 0; k < classes; k++)
                all += c->count[i / classes][k];
            const double of_all = all ? (double)c->count[i / classes][i % classes] / (double)all : 0;
            part[i] = (float)sqrt(of_all); /* so that one in a hundred is seen */
        }
        cbm_tiles_put(&t, 0, 0, part, 1, 0, 1);
        cbm_looker_classes(l, &names);
        const size_t named = t.image.width / classes >= NAMED_FROM ? (size_t)classes : 0;
        const cbm_frame frame = { .title = "What is taken (rows) for what (columns)",
                                  .rows = names.at,
                                  .row_count = named,
                                  .columns = names.at,
                                  .column_count = named };
        fprintf(l->out, "confusion: a row a class, a column what it is taken for\n");
        cbm_looker_keep(l, &t.image, &frame, "confusion.png");
    }
    free(part);
}

static void draw_mistakes(const cbm_looker *l, const confusion *c, cbm_dataset *test)
{
    const cbm_shape s = l->recipe->input;
    const int64_t shown = worst_count(c);
    char a[32], b[32], text[MISTAKES][128];
    const char *columns[MISTAKES];
    cbm_tiles t;
    if (shown == 0 || s.v[0] != 3 || (s.v[1] != 1 && s.v[1] != 3) ||
        !cbm_tiles_new(l, 1, shown, s.v[2], s.v[3], cbm_tiles_zoom(s.v[2]), &t))
        return;
    for (int64_t i = 0; i < shown && cbm_looker_well(l); i++) {
        CBM_SCOPE(scope, l->cx);
        const mistake *m = &c->worst[i];
        cbm_tensor *input = NULL;
        snprintf(text[i], sizeof text[i], "%s,\nnot %s", cbm_looker_class(l, m->is, a),
                 cbm_looker_class(l, m->said, b));
        columns[i] = text[i];
        if (cbm_dataset_get(test, m->sample, &input, NULL) != CBM_OK)
            break;
        const float *values = cbm_tensor_data(cbm_cast(input, CBM_F32));
        if (values)
            cbm_tiles_put_own(&t, 0, i, values, s.v[1]);
    }
    const cbm_frame frame = { .title = "The surest mistakes", .columns = columns, .column_count = (size_t)shown };
    if (cbm_looker_well(l))
        cbm_looker_keep(l, &t.image, &frame, "mistakes.png");
    else
        cbm_image_free(&t.image);
}

void cbm_look_at_mistakes(const cbm_looker *l, cbm_dataset *test, cbm_loader *loader)
{
    confusion *c = calloc(1, sizeof *c);
    if (!c) {
        cbm_fail(l->cx, CBM_ERROR_MEMORY, "[%s] no memory for a table of confusions", l->recipe->name);
        return;
    }
    cbm_loader_rewind(loader, 0);
    for (cbm_batch b; cbm_looker_well(l) && cbm_next(loader, &b);)
        judge(l, &b, c);
    if (cbm_looker_well(l)) {
        print_confusion(l, c);
        draw_confusion(l, c);
        draw_mistakes(l, c, test);
    }
    free(c);
}

/* ---- patches that excite units ---- */

enum { UNITS = 12, PATCHES = 10 };

typedef struct reach {
    const char *layer;
    cbm_shape output, field; /* of that layer; field: what an element sees */
} reach;

static void find_reach(const cbm_summary_row *row, void *user)
{
    reach *r = user;
    if (strcmp(row->name, r->layer) != 0)
        return;
    r->output = row->output;
    r->field = row->receptive_field;
}

/* The part of a picture that a place sees; at the edges less of it is there, and the rest is black. */
static void put_patch(cbm_tiles *t, int64_t unit, int64_t column, const float *picture, const cbm_shape *input,
                      const reach *r, const cbm_excitement *e)
{
    int64_t channels = input->v[1], height = input->v[2], width = input->v[3], count = channels * t->height * t->width;
    int64_t top = (2 * e->row + 1) * height / (2 * r->output.v[3]) - t->height / 2;
    int64_t left = (2 * e->column + 1) * width / (2 * r->output.v[4]) - t->width / 2;
    float *patch = calloc((size_t)count, sizeof *patch);
    float low = picture[0];
    for (int64_t i = 0; i < channels * height * width; i++)
        low = picture[i] < low ? picture[i] : low;
    for (int64_t i = 0; patch && i < count; i++) {
        int64_t c = i / (t->height * t->width), y = top + i / t->width % t->height, x = left + i % t->width;
        bool inside = y >= 0 && y < height && x >= 0 && x < width;
        patch[i] = inside ? picture[(c * height + y) * width + x] : low;
    }
    if (patch)
        cbm_tiles_put_own(t, unit, column, patch, channels);
    free(patch);
}

static int64_t at_most(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

void cbm_look_draw_exciting(const cbm_looker *l, cbm_dataset *test, cbm_loader *loader, const char *layer)
{
    const cbm_shape *input = &l->recipe->input;
    reach r = { .layer = layer };
    cbm_tiles t;
    cbm_excitement best[UNITS * PATCHES];
    CBM_SCOPE(scope, l->cx);
    cbm_summary(l->net, cbm_zeros(l->cx, CBM_F32, CBM_SHAPE(1, input->v[1], input->v[2], input->v[3])), find_reach, &r);
    if (!cbm_looker_well(l) || r.output.v[0] != 4 || (input->v[1] != 1 && input->v[1] != 3))
        return;
    int64_t units = at_most(UNITS, r.output.v[2]);
    int64_t height = r.field.v[0] >= 2 ? at_most(r.field.v[1], input->v[2]) : input->v[2];
    int64_t width = r.field.v[0] >= 2 ? at_most(r.field.v[2], input->v[3]) : input->v[3];
    if (cbm_most_exciting(l->net, loader, layer, units, PATCHES, best) != CBM_OK ||
        !cbm_tiles_new(l, units, PATCHES, height, width, cbm_tiles_zoom(height), &t))
        return;
    for (int64_t i = 0; i < units * PATCHES && cbm_looker_well(l); i++) {
        CBM_SCOPE(one, l->cx);
        cbm_tensor *picture = NULL;
        if (best[i].sample < 0 || cbm_dataset_get(test, best[i].sample, &picture, NULL) != CBM_OK)
            continue;
        const float *values = cbm_tensor_data(cbm_cast(picture, CBM_F32));
        if (values)
            put_patch(&t, i / PATCHES, i % PATCHES, values, input, &r, &best[i]);
    }
    char title[300], text[UNITS][32];
    const char *rows[UNITS];
    for (int64_t k = 0; k < units; k++) {
        snprintf(text[k], sizeof text[k], "unit %lld", (long long)k);
        rows[k] = text[k];
    }
    snprintf(title, sizeof title, "What excites units of '%s' most: patches of %lldx%lld", layer, (long long)height,
             (long long)width);
    const cbm_frame frame = { .title = title, .rows = rows, .row_count = (size_t)units };
    fprintf(l->out, "exciting: a row a unit of '%s', the patches of %lld x %lld that excite it most\n", layer,
            (long long)height, (long long)width);
    cbm_looker_keep(l, &t.image, &frame, "exciting.png");
}
