/* attribution.c: which parts of an input a score comes from: gradients with respect to the input, guided and deconvolutional
   ways back, Grad-CAM, occlusion, and the input that raises a score most. Rests on autograd's hooks and watched calls. */
#include "nn/parts.h"
#include <cambium/autograd.h>
#include <cambium/look.h>
#include <string.h>

/* ---- calls in evaluation mode ---- */

typedef struct visit {
    cbm_context *cx;
    cbm_module *network;
    bool *modes;
    size_t count;
    cbm_scope *scope;
} visit;

/* false: there was an error before, or is now. */
static bool begin(visit *v, cbm_module *network, cbm_tensor *x, const char *who)
{
    *v = (visit){ .cx = network->cx, .network = network };
    if (cbm_context_status(v->cx) != CBM_OK)
        return false;
    if (x && cbm_tensor_rank(x) < 2) {
        cbm_fail(v->cx, CBM_ERROR_SHAPE, "[%s] the input has %lld axes; needs (N, ...)", who,
                 (long long)cbm_tensor_rank(x));
        return false;
    }
    v->modes = cbm_modes_take(network, &v->count);
    if (!v->modes)
        return false;
    cbm_eval(network);
    v->scope = cbm_scope_begin(v->cx);
    return true;
}

static cbm_tensor *end(visit *v, cbm_tensor *result)
{
    cbm_modes_put_back(v->network, v->modes, v->count);
    return cbm_scope_end_with(v->scope, cbm_context_status(v->cx) == CBM_OK ? result : &v->cx->failed);
}

/* The sum over samples of the score that is asked for; each sample's depends on that sample alone. */
static cbm_tensor *score_of(const visit *v, cbm_tensor *scores, int64_t score, const char *who)
{
    cbm_shape s = cbm_tensor_shape(scores);
    if (cbm_context_status(v->cx) != CBM_OK)
        return scores;
    if (s.v[0] != 2 || score < CBM_TOP || score >= s.v[2]) {
        cbm_fail(v->cx, s.v[0] != 2 ? CBM_ERROR_SHAPE : CBM_ERROR_INVALID,
                 s.v[0] != 2 ? "[%s] the network does not give scores (N, classes)"
                             : "[%s] there is no score %lld among %lld",
                 who, (long long)score, (long long)s.v[2]);
        return scores;
    }
    cbm_reduce_options classes = { .struct_size = sizeof classes, .axes = CBM_SHAPE(1) };
    cbm_reduce_options all = { .struct_size = sizeof all };
    if (score == CBM_TOP)
        return cbm_sum_with(cbm_max_with(scores, &classes), &all);
    return cbm_sum_with(cbm_select(scores, 1, score), &all);
}

/* ---- ways back through relu ---- */

static cbm_tensor *only_positive(cbm_tensor *gradient, void *user)
{
    (void)user;
    return cbm_relu(gradient);
}

/* What arrives behind a relu, for the hook in front of it, which lets go of it. */
typedef struct passage {
    cbm_heap *heap;
    cbm_tensor *arrived;
    int holders;
} passage;

static void leave_passage(void *user)
{
    passage *p = user;
    if (--p->holders > 0)
        return;
    cbm_heap_give(p->heap, p, sizeof *p);
}

static cbm_tensor *take_down(cbm_tensor *gradient, void *user)
{
    cbm_set(&((passage *)user)->arrived, gradient);
    return gradient;
}

static cbm_tensor *put_through(cbm_tensor *gradient, void *user)
{
    passage *p = user;
    cbm_tensor *positive = p->arrived ? cbm_relu(p->arrived) : gradient;
    cbm_release(p->arrived);
    p->arrived = NULL;
    return positive;
}

static void change_relu(const char *name, cbm_module *m, cbm_tensor *input, cbm_tensor *output, void *user)
{
    (void)name;
    cbm_way_back way = *(cbm_way_back *)user;
    if (way == CBM_WAY_GRADIENT || !m->type || strcmp(m->type, "relu") != 0)
        return;
    if (way == CBM_WAY_GUIDED) {
        cbm_add_hook(output, only_positive, NULL, NULL);
        return;
    }
    cbm_heap *heap = cbm_context_heap(m->cx);
    passage *p = cbm_heap_take_zero(heap, sizeof *p);
    if (!p) {
        cbm_fail_memory(m->cx, "a way back");
        return;
    }
    *p = (passage){ .heap = heap, .holders = 2 };
    cbm_add_hook(output, take_down, p, leave_passage);
    cbm_add_hook(input, put_through, p, leave_passage);
}

/* ---- gradients ---- */

static cbm_tensor *attribution(visit *v, cbm_tensor *x, int64_t score, cbm_way_back way, const char *who)
{
    cbm_tensor *gradient = x;
    cbm_tensor *input = cbm_variable(x, true);
    cbm_tensor *y = score_of(v, cbm_call_watched(v->network, input, change_relu, &way), score, who);
    cbm_grad_of(y, &input, 1, &gradient);
    return gradient;
}

cbm_tensor *cbm_attribution(cbm_module *network, cbm_tensor *x, int64_t score, cbm_way_back way)
{
    visit v;
    if (!begin(&v, network, x, "attribution"))
        return &v.cx->failed;
    return end(&v, attribution(&v, x, score, way, "attribution"));
}

cbm_tensor *cbm_saliency(cbm_module *network, cbm_tensor *x, int64_t score)
{
    visit v;
    if (!begin(&v, network, x, "saliency"))
        return &v.cx->failed;
    cbm_reduce_options channels = { .struct_size = sizeof channels, .axes = CBM_SHAPE(1) };
    return end(&v, cbm_max_with(cbm_abs(attribution(&v, x, score, CBM_WAY_GRADIENT, "saliency")), &channels));
}

typedef struct wanted {
    const char *layer;
    cbm_tensor *output;
} wanted;

static void find_layer(const char *name, cbm_module *m, cbm_tensor *input, cbm_tensor *output, void *user)
{
    (void)m;
    (void)input;
    wanted *w = user;
    if (w->layer && strcmp(name, w->layer) == 0)
        w->output = output;
}

cbm_tensor *cbm_grad_cam(cbm_module *network, cbm_tensor *x, int64_t score, const char *layer)
{
    visit v;
    if (!begin(&v, network, x, "grad_cam"))
        return &v.cx->failed;
    wanted w = { .layer = layer };
    cbm_tensor *scores = cbm_call_watched(network, cbm_variable(x, true), find_layer, &w);
    cbm_tensor *y = score_of(&v, scores, score, "grad_cam"), *gradient = NULL;
    if (cbm_context_status(v.cx) == CBM_OK && (!w.output || cbm_tensor_rank(w.output) != 4))
        cbm_fail(v.cx, CBM_ERROR_INVALID, "[grad_cam] there is no layer '%.200s' that gives (N, K, h, w)",
                 layer ? layer : "");
    if (cbm_context_status(v.cx) != CBM_OK || cbm_grad_of(y, &w.output, 1, &gradient) != CBM_OK)
        return end(&v, NULL);
    cbm_reduce_options places = { .struct_size = sizeof places, .axes = CBM_SHAPE(2, 3), .keepdim = 1 };
    cbm_reduce_options maps = { .struct_size = sizeof maps, .axes = CBM_SHAPE(1) };
    cbm_tensor *weighted = cbm_mul(w.output, cbm_mean_with(gradient, &places));
    return end(&v, cbm_relu(cbm_sum_with(weighted, &maps)));
}

/* ---- occlusion ---- */

/* Squares of a side at multiples of stride, filled with value: so many down and across. */
typedef struct holes {
    int64_t side, stride, down, across;
    double value;
} holes;

#define PLACES_AT_ONCE 64

/* (places, C, H, W): the picture with a hole at each of the places from the first on; NULL: no memory. */
static cbm_tensor *with_holes(const visit *v, cbm_tensor *x, const holes *h, int64_t first, int64_t places)
{
    cbm_shape s = cbm_tensor_shape(x);
    int64_t height = s.v[3], width = s.v[4];
    size_t bytes = (size_t)(places * height * width) * sizeof(float);
    float *hole = cbm_heap_take(cbm_context_heap(v->cx), bytes);
    if (!hole) {
        cbm_fail_memory(v->cx, "pictures with holes");
        return NULL;
    }
    for (int64_t i = 0; i < places * height * width; ++i) {
        int64_t place = first + i / (height * width), row = i / width % height, column = i % width;
        int64_t top = place / h->across * h->stride, left = place % h->across * h->stride;
        hole[i] = row >= top && row < top + h->side && column >= left && column < left + h->side ? 1 : 0;
    }
    cbm_tensor *mask = cbm_tensor_from(v->cx, CBM_F32, CBM_SHAPE(places, 1, height, width), hole);
    cbm_heap_give(cbm_context_heap(v->cx), hole, bytes);
    cbm_dtype dtype = cbm_tensor_dtype(x);
    return cbm_lerp(x, cbm_scalar(v->cx, dtype, h->value), cbm_cast(mask, dtype));
}

/* A batch of places after the other, so that memory does not grow with their number. */
static cbm_tensor *falls(const visit *v, cbm_tensor *x, cbm_tensor *before, int64_t score, const holes *h)
{
    int64_t places = h->down * h->across;
    size_t bytes = (size_t)places * sizeof(double);
    double *fall = cbm_heap_take(cbm_context_heap(v->cx), bytes);
    if (!fall) {
        cbm_fail_memory(v->cx, "an occlusion map");
        return NULL;
    }
    for (int64_t first = 0; first < places && cbm_context_status(v->cx) == CBM_OK; first += PLACES_AT_ONCE) {
        CBM_SCOPE(batch, v->cx);
        int64_t count = places - first < PLACES_AT_ONCE ? places - first : PLACES_AT_ONCE;
        cbm_tensor *after = cbm_select(cbm_call(v->network, with_holes(v, x, h, first, count)), 1, score);
        const double *part = cbm_tensor_data(cbm_cast(cbm_sub(before, after), CBM_F64));
        if (part)
            memcpy(fall + first, part, (size_t)count * sizeof *part);
    }
    cbm_tensor *map =
        cbm_cast(cbm_tensor_from(v->cx, CBM_F64, CBM_SHAPE(h->down, h->across), fall), cbm_tensor_dtype(before));
    cbm_heap_give(cbm_context_heap(v->cx), fall, bytes);
    return map;
}

cbm_tensor *cbm_occlusion(cbm_module *network, cbm_tensor *x, int64_t score, int64_t side, int64_t stride, double value)
{
    visit v;
    if (!begin(&v, network, x, "occlusion"))
        return &v.cx->failed;
    cbm_shape s = cbm_tensor_shape(x);
    if (s.v[0] != 4 || s.v[1] != 1)
        cbm_fail(v.cx, CBM_ERROR_SHAPE, "[occlusion] needs one picture (1, C, H, W)");
    else if (side < 1 || stride < 1 || side > s.v[3] || side > s.v[4])
        cbm_fail(v.cx, CBM_ERROR_INVALID, "[occlusion] side must be 1 to the picture's, stride at least 1");
    if (cbm_context_status(v.cx) != CBM_OK)
        return end(&v, NULL);
    holes h = { side, stride, (s.v[3] - side) / stride + 1, (s.v[4] - side) / stride + 1, value };
    cbm_scope *quiet = cbm_scope_begin_no_grad(v.cx);
    cbm_tensor *whole = cbm_call(network, x), *fall = NULL;
    cbm_reduce_options all = { .struct_size = sizeof all };
    if (score == CBM_TOP && cbm_context_status(v.cx) == CBM_OK)
        score = (int64_t)cbm_item(cbm_cast(cbm_argmax_with(whole, &all), CBM_F64));
    cbm_tensor *before = score_of(&v, whole, score, "occlusion");
    if (cbm_context_status(v.cx) == CBM_OK)
        fall = falls(&v, x, before, score, &h);
    return end(&v, cbm_scope_end_with(quiet, fall ? fall : &v.cx->failed));
}

/* ---- the input that raises a score ---- */

cbm_tensor *cbm_class_model(cbm_module *network, cbm_tensor *start, int64_t score, int64_t steps, double rate,
                            double decay)
{
    visit v;
    cbm_tensor *x = start;
    if (!begin(&v, network, x, "class_model"))
        return &v.cx->failed;
    if (steps < 1)
        cbm_fail(v.cx, CBM_ERROR_INVALID, "[class_model] steps must be at least 1");
    for (int64_t i = 0; i < steps && cbm_context_status(v.cx) == CBM_OK; ++i) {
        cbm_scope *step = cbm_scope_begin(v.cx);
        cbm_tensor *gradient = attribution(&v, x, score, CBM_WAY_GRADIENT, "class_model");
        cbm_tensor *next = cbm_add(cbm_mul_scalar(x, 1 - rate * decay), cbm_mul_scalar(gradient, rate));
        cbm_compute(&next, 1);
        x = cbm_scope_end_with(step, next);
    }
    return end(&v, x);
}
