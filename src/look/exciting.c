/* exciting.c: the samples, and the places in them, that excite each unit of a layer most. Rests on watched calls and loaders. */
#include "nn/parts.h"
#include <cambium/look.h>
#include <string.h>

typedef struct search {
    const char *layer;
    cbm_tensor *output;
    int64_t units, most;
    cbm_excitement *out;
} search;

static void find_layer(const char *name, cbm_module *m, cbm_tensor *input, cbm_tensor *output, void *user)
{
    (void)m;
    (void)input;
    search *s = user;
    if (strcmp(name, s->layer) == 0)
        s->output = output;
}

/* Puts e where it belongs among the best of a unit; the last falls out. */
static void insert(cbm_excitement *best, int64_t most, cbm_excitement e)
{
    int64_t at = most;
    while (at > 0 && (best[at - 1].sample < 0 || e.value > best[at - 1].value))
        --at;
    if (at == most)
        return;
    memmove(best + at + 1, best + at, (size_t)(most - 1 - at) * sizeof *best);
    best[at] = e;
}

static cbm_status take_batch(cbm_context *cx, search *s, const cbm_batch *b)
{
    cbm_shape shape = s->output ? cbm_tensor_shape(s->output) : CBM_SHAPE();
    if (!s->output || (shape.v[0] != 2 && shape.v[0] != 4) || shape.v[1] != b->size)
        return cbm_fail(cx, CBM_ERROR_INVALID,
                        "[most_exciting] there is no layer '%.200s' that gives (N, K) or (N, K, h, w)", s->layer);
    if (s->units > shape.v[2])
        return cbm_fail(cx, CBM_ERROR_INVALID, "[most_exciting] layer '%.200s' has %lld units, not %lld", s->layer,
                        (long long)shape.v[2], (long long)s->units);
    int64_t width = shape.v[0] == 4 ? shape.v[4] : 1, places = shape.v[0] == 4 ? shape.v[3] * width : 1;
    const float *values = cbm_tensor_data(cbm_cast(s->output, CBM_F32));
    for (int64_t n = 0; values && n < b->size; ++n)
        for (int64_t u = 0; u < s->units && places > 0; ++u) {
            const float *at = values + (n * shape.v[2] + u) * places;
            int64_t best = 0;
            for (int64_t p = 1; p < places; ++p)
                best = at[p] > at[best] ? p : best;
            insert(s->out + u * s->most, s->most,
                   (cbm_excitement){ b->samples[n], best / width, best % width, (double)at[best] });
        }
    return cbm_context_status(cx);
}

cbm_status cbm_most_exciting(cbm_module *network, cbm_loader *loader, const char *layer, int64_t units, int64_t most,
                             cbm_excitement *out)
{
    cbm_context *cx = network->cx;
    if (cbm_context_status(cx) != CBM_OK)
        return cbm_context_status(cx);
    if (!loader || !layer || !out || units < 1 || most < 1)
        return cbm_fail(cx, CBM_ERROR_INVALID,
                        "[most_exciting] needs a loader, a layer's name, and room for one or more");
    for (int64_t i = 0; i < units * most; ++i)
        out[i] = (cbm_excitement){ .sample = -1 };
    size_t count;
    bool *modes = cbm_modes_take(network, &count);
    if (!modes)
        return cbm_context_status(cx);
    cbm_eval(network);
    search s = { .layer = layer, .units = units, .most = most, .out = out };
    cbm_loader_rewind(loader, 0);
    for (cbm_batch b; cbm_context_status(cx) == CBM_OK && cbm_next(loader, &b);) {
        cbm_scope *scope = cbm_scope_begin_no_grad(cx);
        s.output = NULL;
        cbm_call_watched(network, b.input, find_layer, &s);
        if (cbm_context_status(cx) == CBM_OK)
            take_batch(cx, &s, &b);
        cbm_scope_end(scope);
    }
    cbm_modes_put_back(network, modes, count);
    return cbm_context_status(cx);
}
