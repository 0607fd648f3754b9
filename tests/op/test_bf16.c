/* test_bf16.c: bf16: every bit pattern, rounding, values stored from PyTorch (tests/reference/make_bf16.py makes the file),
   every operation on its samples against f64, and passes whose bits fusing must not change. */
#define CBM_NO_CALL_SITES
#include "base/base.h"
#include "base/bf16.h"
#include "support/cases.h"
#include <cambium/autograd.h>
#include <cambium/ops.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define VALUES CBM_SOURCE_DIR "/tests/reference/bf16.bin"
#define ULP 0x1p-8 /* half the step between neighbours, at most, relative to the smaller power of two */

static const char *const devices[] = { "cpu", "reference" };

/* ---- conversions ---- */

static void every_value_survives(void **state)
{
    (void)state;
    enum { ALL = 65536 };
    uint16_t *bits = malloc(ALL * sizeof *bits), *back = malloc(ALL * sizeof *back);
    float *wide = malloc(ALL * sizeof *wide);
    for (int i = 0; i < ALL; i++)
        bits[i] = (uint16_t)i;
    for (int d = 0; d < 2; d++) {
        cbm_context *cx = open_device(devices[d]);
        cbm_tensor *x = cbm_cast(cbm_tensor_from(cx, CBM_BF16, CBM_SHAPE(ALL), bits), CBM_F32);
        assert_int_equal(cbm_read(x, wide, ALL * sizeof *wide), CBM_OK);
        cbm_tensor *y = cbm_cast(cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(ALL), wide), CBM_BF16);
        assert_int_equal(cbm_read(y, back, ALL * sizeof *back), CBM_OK);
        for (int i = 0; i < ALL; i++) {
            uint32_t upper;
            memcpy(&upper, &wide[i], sizeof upper);
            const bool nan = (i & 0x7fff) > 0x7f80;
            assert_true(nan ? isnan(wide[i]) : upper == (uint32_t)i << 16);
            assert_true(nan ? (back[i] & 0x7fff) > 0x7f80 && (back[i] & 0x8000) == (i & 0x8000) : back[i] == i);
        }
        cbm_close(cx);
    }
    free(bits);
    free(back);
    free(wide);
}

/* The nearest multiple of the step between neighbours, ties to even, by the arithmetic of doubles. */
static double rounded(float x)
{
    if (!isfinite(x) || x == 0)
        return (double)x;
    int exponent = 0;
    frexp((double)x, &exponent);
    const double step = ldexp(1, (exponent - 8 < -133 ? -133 : exponent - 8));
    const double y = nearbyint((double)x / step) * step;
    return fabs(y) >= 0x1p128 ? copysign(INFINITY, y) : y;
}

static void rounds_to_nearest_even(void **state)
{
    (void)state;
    enum { COUNT = 1 << 18 };
    float *x = malloc(COUNT * sizeof *x);
    uint16_t *y = malloc(COUNT * sizeof *y);
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t bits = i * 2654435761u;
        if (i % 4 == 0)
            bits = (bits & 0xffff0000u) | 0x8000u; /* a tie */
        memcpy(&x[i], &bits, sizeof bits);
    }
    for (int d = 0; d < 2; d++) {
        cbm_context *cx = open_device(devices[d]);
        cbm_tensor *t = cbm_cast(cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(COUNT), x), CBM_BF16);
        assert_int_equal(cbm_read(t, y, COUNT * sizeof *y), CBM_OK);
        for (int i = 0; i < COUNT; i++) {
            const double got = (double)cbm_bf16_widen(y[i]), want = rounded(x[i]);
            assert_true(got == want || (isnan(got) && isnan(want)));
        }
        cbm_close(cx);
    }
    free(x);
    free(y);
}

/* ---- PyTorch's values ---- */

/* Both round a result once, but come to it by sums in other orders: a neighbour is allowed, and no more. */
static bool near(const case_tensor *got, const case_tensor *want)
{
    if (got->dtype != want->dtype || !case_same_shape(got, want))
        return false;
    for (int64_t i = 0; i < want->count; i++) {
        const double a = case_tensor_at(got, i), b = case_tensor_at(want, i);
        const double limit = want->dtype == CBM_BF16 ? 2 * ULP * fabs(b) : 0;
        if (a != b && !(isnan(a) && isnan(b)) && !(fabs(a - b) <= limit))
            return false;
    }
    return true;
}

static void agrees_with_pytorch(void **state)
{
    (void)state;
    case_list stored;
    int failures = 0;
    assert_true(cases_read(VALUES, &stored));
    assert_true(stored.count > 40);
    for (size_t i = 0; i < stored.count; i++)
        for (int d = 0; d < 2; d++) {
            const op_case *c = &stored.cases[i];
            const cbm_op *op = cbm_op_named(c->op);
            assert_non_null(op);
            cbm_context *cx = open_device(devices[d]);
            cbm_tensor *in[4], *out[CBM_MAX_OUTPUTS] = { NULL };
            for (size_t k = 0; k < c->n_in; k++)
                in[k] = case_tensor_load(cx, &c->in[k], LAYOUT_PLAIN);
            void *attributes = case_attributes(op, c, false);
            assert_non_null(attributes);
            cbm_apply(cx, op, in, c->n_in, op->attributes_size ? attributes : NULL, out);
            case_tensor got = case_tensor_read(out[0]);
            if (!got.present || !near(&got, &c->out[0])) {
                print_error("[%s] %s, %s: %s\n", c->op, c->label, devices[d],
                            got.present ? "values differ" : cbm_message(cx));
                failures++;
            }
            free(got.data);
            free(attributes);
            cbm_close(cx);
        }
    cases_free(&stored);
    assert_int_equal(failures, 0);
}

/* ---- every operation against f64 ---- */

#define MOST (CBM_MAX_OUTPUTS + CBM_SAMPLE_INPUTS)

typedef struct outcome {
    size_t count, results; /* results, then gradients */
    case_tensor at[MOST];
    char message[256];
} outcome;

typedef struct mode {
    const char *name, *device;
    bool naive, half;
} mode;

/* The norms' vectors, the sums of cross entropy and a convolution's bias stay f32 beside bf16: how many operands behind
   the first. */
static bool is_statistic(const op_case *c, size_t input)
{
    static const struct {
        const char *op;
        size_t vectors;
    } norms[] = {
        { "batch_norm", 2 },
        { "batch_norm_backward", 3 },
        { "batch_norm_relu_backward", 4 },
        { "layer_norm", 2 },
        { "layer_norm_backward", 3 },
        { "group_norm", 2 },
        { "group_norm_backward", 3 },
        { "rms_norm", 1 },
        { "rms_norm_backward", 2 },
    };
    if (strncmp(c->op, "cross_entropy_", 14) == 0 || strcmp(c->op, "conv2d") == 0)
        return input >= 2;
    for (size_t i = 0; i < sizeof norms / sizeof *norms; i++)
        if (strcmp(c->op, norms[i].op) == 0)
            return input >= 1 && input <= norms[i].vectors;
    return false;
}

static bool floating(cbm_dtype dtype)
{
    return dtype == CBM_F32 || dtype == CBM_F64 || dtype == CBM_BF16;
}

/* Numbers that bf16 holds, so that the gradients begin alike. */
static cbm_tensor *weights_for(cbm_context *cx, cbm_tensor *t, uint64_t stream)
{
    case_tensor w = { .dtype = CBM_F64, .shape = cbm_tensor_shape(t), .count = cbm_tensor_count(t) };
    double *data = malloc((size_t)w.count * sizeof *data + 1);
    for (int64_t i = 0; i < w.count; i++)
        data[i] = floor(64 * (double)cbm_philox_uniform(3, stream, (uint64_t)i)) / 32 - 1;
    w.data = data;
    case_tensor same = case_tensor_cast(&w, cbm_tensor_dtype(t) == CBM_F64 ? CBM_F64 : CBM_F32);
    cbm_tensor *r = case_tensor_load(cx, &same, LAYOUT_PLAIN);
    free(data);
    free(same.data);
    return r;
}

static void *attributes_of(const cbm_op *op, const op_case *c, bool half)
{
    char *a = case_attributes(op, c, false);
    for (size_t i = 0; i < op->n_attributes && half; i++) {
        int64_t *value = (int64_t *)(void *)(a + op->attributes[i].offset);
        if (op->attributes[i].type == CBM_ATTRIBUTE_DTYPE && *value == CBM_F64)
            *value = CBM_BF16;
    }
    return a;
}

static outcome evaluate(const op_case *c, const mode *m, case_layout layout, bool backward)
{
    outcome o = { 0 };
    const cbm_op *op = cbm_op_named(c->op);
    cbm_context *cx = open_mode(m->device, m->naive, false);
    cbm_tensor *in[CBM_SAMPLE_INPUTS], *xs[CBM_SAMPLE_INPUTS], *grads[CBM_SAMPLE_INPUTS],
        *out[CBM_MAX_OUTPUTS] = { NULL }, *keep[MOST];
    size_t n_xs = 0;
    for (size_t i = 0; i < c->n_in; i++) {
        const bool real = c->in[i].dtype == CBM_F64;
        case_tensor half = case_tensor_cast(&c->in[i], real ? CBM_BF16 : c->in[i].dtype);
        case_tensor t = case_tensor_cast(&half, !real                ? half.dtype
                                                : !m->half           ? CBM_F64
                                                : is_statistic(c, i) ? CBM_F32
                                                                     : CBM_BF16);
        in[i] = real ? case_tensor_load_trainable(cx, &t, layout) : case_tensor_load(cx, &t, layout);
        if (real)
            xs[n_xs++] = in[i];
        free(t.data);
        free(half.data);
    }
    void *attributes = attributes_of(op, c, m->half);
    cbm_apply(cx, op, in, c->n_in, op->attributes_size ? attributes : NULL, out);
    free(attributes);
    cbm_tensor *loss = NULL;
    for (int32_t i = 0; i < op->n_out; i++) {
        keep[o.count++] = out[i];
        if (!floating(cbm_tensor_dtype(out[i])) || !cbm_tensor_requires_grad(out[i]))
            continue;
        cbm_tensor *y = cbm_tensor_dtype(out[i]) == CBM_F64 ? out[i] : cbm_cast(out[i], CBM_F32);
        cbm_tensor *part = cbm_sum_with(cbm_mul(y, weights_for(cx, out[i], (uint64_t)i)), NULL);
        loss = loss ? cbm_add(loss, part) : part;
    }
    o.results = o.count;
    if (backward && loss && cbm_grad_of(loss, xs, n_xs, grads) == CBM_OK)
        for (size_t i = 0; i < n_xs; i++)
            keep[o.count++] = grads[i];
    cbm_compute(keep, o.count);
    for (size_t i = 0; i < o.count; i++)
        o.at[i] = case_tensor_read(keep[i]);
    snprintf(o.message, sizeof o.message, "%s", cbm_message(cx));
    cbm_close(cx);
    return o;
}

static void drop(outcome *o)
{
    for (size_t i = 0; i < o->count; i++)
        free(o->at[i].data);
}

/* Largest difference relative to the element, or to a part of the largest element where it is small. */
static double distance(const case_tensor *got, const case_tensor *want, double floor_part)
{
    double largest = 0, worst = 0;
    for (int64_t i = 0; i < want->count; i++)
        if (isfinite(case_tensor_at(want, i)))
            largest = fmax(largest, fabs(case_tensor_at(want, i)));
    for (int64_t i = 0; i < want->count; i++) {
        const double a = case_tensor_at(got, i), b = case_tensor_at(want, i);
        if (a == b || (isnan(a) && isnan(b)))
            continue;
        worst = fmax(worst, isfinite(a) && isfinite(b) ? fabs(a - b) / fmax(fabs(b), floor_part * largest) : INFINITY);
    }
    return worst;
}

/* Operations that take nothing but f32 and f64 say so, and under precision bf16 they get f32. */
static bool refused(const op_case *c, const outcome *got)
{
    const cbm_op *op = cbm_op_named(c->op);
    return op->autocast == CBM_AUTOCAST_FULL && strstr(got->message, "holds bf16, but must be f32 or f64. HINT");
}

static int compare(const op_case *c, const mode *m, const outcome *got, const outcome *want)
{
    int failures = 0;
    if (refused(c, got))
        return 0;
    if (got->message[0] || got->count != want->count) {
        print_error("[%s] %s, %s: %s (%zu results)\n", c->op, c->label, m->name, got->message, got->count);
        return 1;
    }
    for (size_t i = 0; i < got->count; i++) {
        /* A result is rounded once; gradients pass through several operations that each round. */
        const bool gradient = i >= got->results;
        const double limit = gradient ? 4 * ULP : ULP;
        const double error = case_same_shape(&got->at[i], &want->at[i])
                                 ? distance(&got->at[i], &want->at[i], gradient ? 0.5 : 1e-3)
                                 : INFINITY;
        if (error <= limit)
            continue;
        print_error("[%s] %s, %s, %s %zu: differs by %g\n", c->op, c->label, m->name, gradient ? "gradient" : "result",
                    gradient ? i - got->results : i, error);
        failures++;
    }
    return failures;
}

static void every_operation_in_bf16(void **state)
{
    (void)state;
    static const mode first = { .name = "reference f64", .device = "reference" };
    static const mode others[] = {
        { .name = "reference", .device = "reference", .half = true },
        { .name = "cpu", .device = "cpu", .half = true },
        { .name = "cpu, naive", .device = "cpu", .naive = true, .half = true },
    };
    case_list samples;
    int failures = 0;
    assert_true(cases_of_samples(&samples));
    for (size_t i = 0; i < samples.count; i++) {
        const op_case *c = &samples.cases[i];
        const cbm_op *op = cbm_op_named(c->op);
        const bool backward = op->vjp || op->decompose;
        outcome want = evaluate(c, &first, LAYOUT_PLAIN, backward);
        for (size_t m = 0; m < sizeof others / sizeof *others; m++)
            for (int layout = 0; layout < LAYOUTS; layout += m == 0 ? LAYOUTS : 1) {
                outcome got = evaluate(c, &others[m], (case_layout)layout, backward);
                failures += compare(c, &others[m], &got, &want);
                drop(&got);
            }
        drop(&want);
    }
    cases_free(&samples);
    assert_int_equal(failures, 0);
}

/* ---- fusing ---- */

static cbm_tensor *chain(cbm_tensor *x, cbm_tensor *y)
{
    cbm_tensor *t = cbm_tanh(cbm_add(cbm_mul(x, y), cbm_mul_scalar(x, 0.3)));
    cbm_tensor *mask = cbm_greater(t, cbm_scalar(cbm_tensor_context(x), CBM_BF16, 0.1));
    t = cbm_where(mask, cbm_sub(cbm_sigmoid(t), y), cbm_neg(cbm_relu(t)));
    return cbm_add(cbm_cast(cbm_cast(t, CBM_F32), CBM_BF16), cbm_maximum(cbm_exp(y), t));
}

/* Fused or not, on the fast backend: the same bits. (Exponentials of the reference backend round differently.) */
static void fusing_changes_no_bits(void **state)
{
    (void)state;
    enum { ROWS = 37, COLUMNS = 129, COUNT = ROWS * COLUMNS };
    uint16_t *bits[2] = { malloc(COUNT * 2), malloc(COUNT * 2) }, *data = malloc(COUNT * 2), *row = malloc(COLUMNS * 2);
    for (int i = 0; i < COUNT; i++)
        data[i] = cbm_bf16_round(6 * cbm_philox_uniform(1, 2, (uint64_t)i) - 3);
    for (int i = 0; i < COLUMNS; i++)
        row[i] = cbm_bf16_round(6 * cbm_philox_uniform(1, 3, (uint64_t)i) - 3);
    for (int naive = 0; naive < 2; naive++) {
        cbm_context *cx = open_mode("cpu", naive == 1, false);
        cbm_tensor *y = chain(cbm_tensor_from(cx, CBM_BF16, CBM_SHAPE(ROWS, COLUMNS), data),
                              cbm_tensor_from(cx, CBM_BF16, CBM_SHAPE(COLUMNS), row));
        assert_int_equal(cbm_tensor_dtype(y), CBM_BF16);
        assert_int_equal(cbm_read(y, bits[naive], COUNT * 2), CBM_OK);
        cbm_close(cx);
    }
    assert_memory_equal(bits[0], bits[1], COUNT * 2);
    for (int i = 0; i < 2; i++)
        free(bits[i]);
    free(data);
    free(row);
}

static void reads_and_prints(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    char text[64];
    cbm_tensor *x = cbm_scalar(cx, CBM_BF16, 0.1);
    assert_int_equal(cbm_dtype_size(CBM_BF16), 2);
    assert_string_equal(cbm_dtype_name(CBM_BF16), "bf16");
    assert_true(cbm_item(x) == 0.10009765625);
    cbm_tensor_format(cbm_full(cx, CBM_BF16, CBM_SHAPE(2), 1.5), text, sizeof text);
    assert_string_equal(text, "[1.5 1.5]");
    cbm_tensor *half = cbm_ones(cx, CBM_BF16, CBM_SHAPE(2));
    assert_int_equal(cbm_tensor_dtype(cbm_add(half, cbm_scalar(cx, CBM_F32, 1))), CBM_BF16);
    assert_true(cbm_tensor_failed(cbm_add(half, cbm_ones(cx, CBM_F32, CBM_SHAPE(2))))); /* as any two dtypes */
    assert_int_equal(cbm_context_status(cx), CBM_ERROR_DTYPE);
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_survives),   cmocka_unit_test(rounds_to_nearest_even),
        cmocka_unit_test(agrees_with_pytorch),    cmocka_unit_test(every_operation_in_bf16),
        cmocka_unit_test(fusing_changes_no_bits), cmocka_unit_test(reads_and_prints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
