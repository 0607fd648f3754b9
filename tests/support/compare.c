/* compare.c: see compare.h. */
#define CBM_NO_CALL_SITES
#include "support/compare.h"
#include "base/base.h"
#include <cambium/autograd.h>
#include <cambium/ops.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define MAX_RESULTS (CBM_MAX_OUTPUTS + CBM_SAMPLE_INPUTS)
#define TOLERANCE 3e-5 /* of a result's largest element */

typedef struct outcome {
    size_t count;
    case_tensor result[MAX_RESULTS];
    char message[256];
} outcome;

static bool floating(cbm_dtype dtype)
{
    return dtype == CBM_F32 || dtype == CBM_F64;
}

static cbm_tensor *weights_for(cbm_context *cx, cbm_tensor *t, uint64_t stream)
{
    int64_t count = cbm_tensor_count(t);
    case_tensor w = { .dtype = CBM_F32, .shape = cbm_tensor_shape(t), .count = count };
    float *data = malloc((size_t)count * sizeof *data + 1);
    for (int64_t i = 0; i < count; i++)
        data[i] = 2 * cbm_philox_uniform(3, stream, (uint64_t)i) - 1;
    w.data = data;
    case_tensor same = case_tensor_cast(&w, cbm_tensor_dtype(t));
    cbm_tensor *r = case_tensor_load(cx, &same, LAYOUT_PLAIN);
    free(data);
    free(same.data);
    return r;
}

typedef struct mode {
    const char *name, *device;
    bool f32, naive, deterministic;
    double tolerance;
} mode;

/* Results, then the gradient of every floating input. */
static outcome evaluate(const subject *s, const mode *m, case_layout layout, bool backward)
{
    outcome o = { 0 };
    bool f32 = m->f32;
    cbm_context *cx = open_mode(m->device, m->naive, m->deterministic);
    cbm_tensor *in[CBM_SAMPLE_INPUTS], *xs[CBM_SAMPLE_INPUTS], *grads[CBM_SAMPLE_INPUTS],
        *out[CBM_MAX_OUTPUTS] = { NULL }, *keep[MAX_RESULTS];
    size_t n_xs = 0, kept = 0;
    for (size_t i = 0; i < s->n_in; i++) {
        case_tensor t = case_tensor_cast(&s->in[i], f32 && s->in[i].dtype == CBM_F64 ? CBM_F32 : s->in[i].dtype);
        in[i] = floating(t.dtype) ? case_tensor_load_trainable(cx, &t, layout) : case_tensor_load(cx, &t, layout);
        if (floating(t.dtype))
            xs[n_xs++] = in[i];
        free(t.data);
    }
    size_t n_out = s->forward(s, cx, f32, in, out);
    cbm_tensor *loss = NULL;
    for (size_t i = 0; i < n_out; i++) {
        keep[kept++] = out[i];
        if (!floating(cbm_tensor_dtype(out[i])) || !cbm_tensor_requires_grad(out[i]))
            continue;
        cbm_tensor *part = cbm_sum_with(cbm_mul(out[i], weights_for(cx, out[i], i)), NULL);
        loss = loss ? cbm_add(loss, part) : part;
    }
    if (backward && loss && cbm_grad_of(loss, xs, n_xs, grads) == CBM_OK)
        for (size_t i = 0; i < n_xs; i++)
            keep[kept++] = grads[i];
    cbm_compute(keep, kept);
    for (size_t i = 0; i < kept; i++)
        o.result[o.count++] = case_tensor_read(keep[i]);
    snprintf(o.message, sizeof o.message, "%s", cbm_message(cx));
    cbm_close(cx);
    return o;
}

static void drop(outcome *o)
{
    for (size_t i = 0; i < o->count; i++)
        free(o->result[i].data);
}

/* Largest difference as a part of the largest finite element (at least 1). */
static double distance(const case_tensor *got, const case_tensor *want)
{
    double scale = 1, worst = 0;
    for (int64_t i = 0; i < want->count; i++)
        if (isfinite(case_tensor_at(want, i)))
            scale = fmax(scale, fabs(case_tensor_at(want, i)));
    for (int64_t i = 0; i < want->count; i++) {
        double a = case_tensor_at(got, i), b = case_tensor_at(want, i);
        if (a == b || (isnan(a) && isnan(b)))
            continue;
        worst = fmax(worst, isfinite(a) && isfinite(b) ? fabs(a - b) / scale : INFINITY);
    }
    return worst;
}

int compare_backends(const subject *s, bool backward)
{
    static const mode first = { .name = "reference f64", .device = "reference" };
    static const mode others[] = {
        { .name = "cpu f32", .device = "cpu", .f32 = true, .tolerance = TOLERANCE },
        { .name = "cpu f32, naive", .device = "cpu", .f32 = true, .naive = true, .tolerance = TOLERANCE },
        { .name = "cpu f32, deterministic",
          .device = "cpu",
          .f32 = true,
          .deterministic = true,
          .tolerance = TOLERANCE },
        { .name = "cpu f64", .device = "cpu", .tolerance = 1e-11 },
        { .name = "reference f32", .device = "reference", .f32 = true, .tolerance = TOLERANCE },
    };
    outcome want = evaluate(s, &first, LAYOUT_PLAIN, backward);
    int failures = 0;
    if (want.message[0]) {
        print_error("%s, reference: %s\n", s->name, want.message);
        failures++;
    }
    for (size_t r = 0; r < sizeof others / sizeof *others && !failures; r++) {
        const mode *m = &others[r];
        outcome got = evaluate(s, m, s->layout, backward);
        if (got.message[0] || got.count != want.count) {
            print_error("%s, %s: %s (%zu results)\n", s->name, m->name, got.message, got.count);
            failures++;
        }
        for (size_t i = 0; i < got.count && i < want.count && !got.message[0]; i++) {
            bool same = case_same_shape(&got.result[i], &want.result[i]);
            double error = same ? distance(&got.result[i], &want.result[i]) : INFINITY;
            if (error <= m->tolerance)
                continue;
            print_error("%s, %s, %s, result or gradient %zu: differs by %g\n", s->name, m->name,
                        layout_names[s->layout], i, error);
            failures++;
        }
        drop(&got);
    }
    drop(&want);
    return failures;
}

case_tensor compare_tensor(cbm_shape shape, uint64_t stream)
{
    case_tensor t = { .dtype = CBM_F64, .shape = shape, .count = cbm_shape_count(&shape), .present = true };
    double *data = malloc((size_t)t.count * sizeof *data + 1);
    for (int64_t i = 0; i < t.count; i++)
        data[i] = 2 * (double)cbm_philox_uniform(11, stream, (uint64_t)i) - 1;
    t.data = data;
    return t;
}
