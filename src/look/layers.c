/* layers.c: what the layers of a network give for a batch: scale, sparsity, units that are dead, ignore the input or repeat
   one another; and what that means, in words. Rests on watched calls (nn/network.h). */
#include "tensor/context.h"
#include <cambium/look.h>
#include <cambium/ops.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define CORRELATED_MOST 64 /* units */
#define OBSERVED_MOST 4096 /* elements of a unit, for correlations */
#define IGNORES 0.01       /* of the root mean square */
#define SATURATION 0.02    /* from an end */
#define TOO_CORRELATED 0.75
#define FEWEST 4 /* units: the scores of two or three classes are correlated by nature */
#define MOST 0.5

/* ---- what is met on the way ---- */

typedef struct met {
    char name[256];
    const char *type;
    cbm_tensor *output;
} met;

static void remember(const char *name, cbm_module *m, cbm_tensor *input, cbm_tensor *output, void *user)
{
    (void)input;
    cbm_array *list = user;
    cbm_dtype dtype = cbm_tensor_dtype(output);
    bool floats = dtype == CBM_F32 || dtype == CBM_F64 || dtype == CBM_BF16;
    cbm_shape s = cbm_tensor_shape(output);
    if (cbm_child_count(m) > 0 || !floats || s.v[0] < 2 || s.v[1] < 2 || cbm_tensor_count(output) < 1)
        return;
    met layer = { .type = m->type ? m->type : "module", .output = output };
    snprintf(layer.name, sizeof layer.name, "%s", name);
    if (!cbm_array_push(list, &layer))
        cbm_fail_memory(cbm_tensor_context(output), "a list of layers");
}

/* ---- numbers of one layer ---- */

/* (samples, units, places) */
typedef struct block {
    const float *at;
    int64_t samples, units, places;
} block;

static double element(const block *b, int64_t n, int64_t u, int64_t p)
{
    return (double)b->at[(n * b->units + u) * b->places + p];
}

typedef struct moments {
    double sum, sizes, squares, zeros;
} moments;

static moments moments_of(const block *b, int64_t unit)
{
    moments m = { 0 };
    for (int64_t n = 0; n < b->samples; ++n)
        for (int64_t p = 0; p < b->places; ++p) {
            double x = element(b, n, unit, p);
            m.sum += x;
            m.sizes += fabs(x);
            m.squares += x * x;
            m.zeros += fabs(x) <= 0;
        }
    return m;
}

/* The mean of sparsenesses; see look.h. */
typedef struct sparseness {
    double sum;
    int64_t count;
} sparseness;

static void add_sparseness(sparseness *s, double sizes, double squares, int64_t n)
{
    if (n < 2 || !(squares > 0))
        return;
    const double count = (double)n;
    s->sum += (1 - sizes * sizes / (count * squares)) / (1 - 1 / count);
    s->count++;
}

static double mean_sparseness(const sparseness *s)
{
    return s->count > 0 ? s->sum / (double)s->count : NAN;
}

static double sparseness_over_features(const block *b)
{
    sparseness s = { 0 };
    for (int64_t n = 0; n < b->samples; ++n)
        for (int64_t p = 0; p < b->places; ++p) {
            double sizes = 0, squares = 0;
            for (int64_t u = 0; u < b->units; ++u) {
                const double x = element(b, n, u, p);
                sizes += fabs(x);
                squares += x * x;
            }
            add_sparseness(&s, sizes, squares, b->units);
        }
    return mean_sparseness(&s);
}

/* The variance over samples at each place, and the mean of it over the places. */
static double variance_over_samples(const block *b, int64_t unit)
{
    double total = 0;
    for (int64_t p = 0; p < b->places; ++p) {
        double sum = 0, squares = 0, count = (double)b->samples, first = element(b, 0, unit, p);
        for (int64_t n = 0; n < b->samples; ++n) {
            double x = element(b, n, unit, p) - first; /* a constant gives exactly 0 */
            sum += x;
            squares += x * x;
        }
        total += fmax(0, squares / count - sum / count * (sum / count));
    }
    return total / (double)b->places;
}

/* A unit's elements, at most OBSERVED_MOST of them, minus their mean and divided by their length; false: they do not vary. */
static bool direction(const block *b, int64_t unit, int64_t stride, int64_t count, double *out)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < count; ++i) {
        int64_t at = i * stride;
        out[i] = element(b, at / b->places, unit, at % b->places);
        sum += out[i];
    }
    double mean = sum / (double)count, size = 0;
    for (int64_t i = 0; i < count; ++i) {
        size = fmax(size, fabs(out[i]));
        out[i] -= mean;
        squares += out[i] * out[i];
    }
    double length = sqrt(squares);
    if (!(length > 1e-6 * size * sqrt((double)count)))
        return false;
    for (int64_t i = 0; i < count; ++i)
        out[i] /= length;
    return true;
}

/* The k-th of the units that are correlated: all, or such as lie spread over places and feature maps alike. */
static int64_t chosen(int64_t k, int64_t units)
{
    return units <= CORRELATED_MOST ? k : (int64_t)((uint64_t)k * 2654435761u % (uint64_t)units);
}

/* NaN: no two units vary; or no memory, which is reported. */
static double mean_correlation(cbm_context *cx, const block *b)
{
    int64_t elements = b->samples * b->places, stride = (elements + OBSERVED_MOST - 1) / OBSERVED_MOST;
    int64_t count = elements / stride, units = b->units < CORRELATED_MOST ? b->units : CORRELATED_MOST, vary = 0;
    size_t bytes = (size_t)(units * count) * sizeof(double);
    double *directions = cbm_heap_take(cbm_context_heap(cx), bytes), sum = 0;
    if (!directions) {
        cbm_fail_memory(cx, "correlations");
        return NAN;
    }
    for (int64_t k = 0; k < units; ++k)
        vary += direction(b, chosen(k, b->units), stride, count, directions + vary * count);
    for (int64_t i = 0; i < vary; ++i)
        for (int64_t j = 0; j < i; ++j) {
            double product = 0;
            for (int64_t k = 0; k < count; ++k)
                product += directions[i * count + k] * directions[j * count + k];
            sum += fabs(product);
        }
    cbm_heap_give(cbm_context_heap(cx), directions, bytes);
    return vary > 1 ? sum / ((double)(vary * (vary - 1)) / 2) : NAN;
}

static double saturated_part(const block *b, const char *type)
{
    bool tanh_like = strcmp(type, "tanh") == 0;
    if (!tanh_like && strcmp(type, "sigmoid") != 0)
        return 0;
    double low = tanh_like ? -1 : 0, count = 0;
    int64_t elements = b->samples * b->units * b->places;
    for (int64_t i = 0; i < elements; ++i)
        count += (double)b->at[i] < low + SATURATION || (double)b->at[i] > 1 - SATURATION;
    return count / (double)elements;
}

static bool look_at(cbm_context *cx, const met *layer, cbm_layer_look *look)
{
    cbm_tensor *values = cbm_tensor_dtype(layer->output) == CBM_F32 ? layer->output : cbm_cast(layer->output, CBM_F32);
    cbm_shape s = cbm_tensor_shape(values);
    block b = { cbm_tensor_data(values), s.v[1], s.v[2], cbm_tensor_count(values) / (s.v[1] * s.v[2]) };
    if (!b.at)
        return false;
    *look = (cbm_layer_look){ .type = layer->type, .output = s, .units = b.units, .samples = b.samples };
    snprintf(look->name, sizeof look->name, "%s", layer->name);
    double count = (double)cbm_tensor_count(values), of_unit = count / (double)b.units;
    moments all = { 0 };
    sparseness over_samples = { 0 };
    for (int64_t u = 0; u < b.units; ++u) {
        moments m = moments_of(&b, u);
        all = (moments){ all.sum + m.sum, all.sizes + m.sizes, all.squares + m.squares, all.zeros + m.zeros };
        add_sparseness(&over_samples, m.sizes, m.squares, b.samples * b.places);
        look->dead += m.zeros >= of_unit;
    }
    double square = all.squares / count;
    look->mean = all.sum / count;
    look->deviation = sqrt(fmax(0, square - look->mean * look->mean));
    look->zeros = all.zeros / count;
    look->sparse_samples = mean_sparseness(&over_samples);
    look->sparse_features = sparseness_over_features(&b);
    for (int64_t u = 0; u < b.units; ++u)
        look->constant += !(variance_over_samples(&b, u) > IGNORES * IGNORES * square);
    look->saturated = saturated_part(&b, layer->type);
    look->correlation = mean_correlation(cx, &b);
    return cbm_context_status(cx) == CBM_OK;
}

cbm_status cbm_look_at_layers(cbm_module *network, cbm_tensor *input,
                              void (*row)(const cbm_layer_look *look, void *user), void *user)
{
    cbm_context *cx = network ? network->cx : NULL;
    if (!cx || cbm_context_status(cx) != CBM_OK)
        return cx ? cbm_context_status(cx) : CBM_ERROR_INVALID;
    cbm_array list = CBM_ARRAY(cbm_context_heap(cx), met);
    cbm_scope *scope = cbm_scope_begin_no_grad(cx);
    cbm_call_watched(network, input, remember, &list);
    for (size_t i = 0; i < list.count; ++i) {
        cbm_layer_look look;
        if (!look_at(cx, &CBM_AT(&list, met, i), &look))
            break;
        if (row)
            row(&look, user);
    }
    cbm_array_free(&list);
    cbm_scope_end(scope);
    return cbm_context_status(cx);
}

/* ---- in words ---- */

bool cbm_look_verdict(const cbm_layer_look *l, char *text, size_t size)
{
    double units = (double)l->units;
    if (size > 0)
        text[0] = 0;
    if ((double)l->dead > MOST * units)
        snprintf(text, size, "%lld of %lld units are dead: they give 0 for every input", (long long)l->dead,
                 (long long)l->units);
    else if ((double)l->constant > MOST * units)
        snprintf(text, size, "%lld of %lld units ignore the input: they give the same for every sample",
                 (long long)l->constant, (long long)l->units);
    else if (l->correlation > TOO_CORRELATED && l->units >= FEWEST)
        snprintf(text, size, "the units say the same: their mean correlation is %.2f", l->correlation);
    else if (l->saturated > MOST)
        snprintf(text, size, "%.0f %% of the elements are saturated: hardly a gradient passes them",
                 100 * l->saturated);
    else
        return false;
    return true;
}
