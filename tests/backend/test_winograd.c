/* test_winograd.c: Winograd's convolution against direct convolution in double: random shapes, layouts, SIMD levels and
   thread counts in all three directions, with what the output's transform adds; twice, bit for bit. */
#include "backend/cpu/winograd.h"
#include "backend/kernels.h"

enum { ROUNDS = 160 };

typedef struct tensor4 {
    int64_t n, c, h, w;
    double *value; /* n, c, h, w */
    float *data;   /* in the layout, CANARY bytes behind */
    size_t floats;
    cbm_layout layout;
} tensor4;

static size_t place(const tensor4 *t, int64_t n, int64_t c, int64_t h, int64_t w)
{
    const int64_t block = t->layout == CBM_LAYOUT_BLOCKED_8 ? 8 : 16;
    switch (t->layout) {
    case CBM_LAYOUT_PLAIN: return (size_t)(((n * t->c + c) * t->h + h) * t->w + w);
    case CBM_LAYOUT_CHANNELS_LAST: return (size_t)(((n * t->h + h) * t->w + w) * t->c + c);
    default: return (size_t)((((n * (t->c / block) + c / block) * t->h + h) * t->w + w) * block + c % block);
    }
}

static double *at(const tensor4 *t, int64_t n, int64_t c, int64_t h, int64_t w)
{
    return &t->value[((n * t->c + c) * t->h + h) * t->w + w];
}

static tensor4 make(int64_t n, int64_t c, int64_t h, int64_t w, cbm_layout layout)
{
    tensor4 t = { n, c, h, w, NULL, NULL, (size_t)(n * c * h * w), layout };
    t.value = malloc(t.floats * sizeof *t.value);
    t.data = malloc(t.floats * sizeof *t.data + CANARY);
    assert_non_null(t.value);
    assert_non_null(t.data);
    memset(t.data, 0xee, t.floats * sizeof *t.data + CANARY);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < c; j++)
            for (int64_t k = 0; k < h; k++)
                for (int64_t l = 0; l < w; l++) {
                    const float v = (float)(draw() * 2 - 1);
                    *at(&t, i, j, k, l) = (double)v;
                    t.data[place(&t, i, j, k, l)] = v;
                }
    return t;
}

static void drop(tensor4 *t)
{
    free(t->value);
    free(t->data);
}

/* visit(x's element, weight's element, y's element) for all products of the convolution */
static void direct(const cbm_winograd_conv *c, tensor4 *x, tensor4 *w, tensor4 *y)
{
    tensor4 *result = c->direction == CBM_DNN_FORWARD ? y : c->direction == CBM_DNN_INPUT_GRAD ? x : w;
    memset(result->value, 0, result->floats * sizeof *result->value);
    for (int64_t n = 0; n < c->batch; n++)
        for (int64_t o = 0; o < c->out_channels; o++)
            for (int64_t i = 0; i < c->channels; i++)
                for (int64_t kh = 0; kh < 3; kh++)
                    for (int64_t kw = 0; kw < 3; kw++)
                        for (int64_t h = 0; h < c->out_height; h++)
                            for (int64_t v = 0; v < c->out_width; v++) {
                                const int64_t ih = h + kh - c->padding[0], iw = v + kw - c->padding[1];
                                if (ih < 0 || iw < 0 || ih >= c->height || iw >= c->width)
                                    continue;
                                double *xe = at(x, n, i, ih, iw), *we = at(w, o, i, kh, kw), *ye = at(y, n, o, h, v);
                                if (result == y)
                                    *ye += *xe * *we;
                                else if (result == x)
                                    *xe += *ye * *we;
                                else
                                    *we += *xe * *ye;
                            }
}

static double largest(const tensor4 *t)
{
    double m = 1;
    for (size_t i = 0; i < t->floats; i++)
        m = fmax(m, fabs(t->value[i]));
    return m;
}

static void finish(const cbm_winograd_conv *c, tensor4 *y, const double *old, const float *bias)
{
    for (size_t i = 0; i < y->floats; i++) {
        const size_t channel = i / (size_t)(y->h * y->w) % (size_t)y->c;
        double v = y->value[i] + (c->bias ? (double)bias[channel] : 0) + (c->add ? old[i] : 0);
        if (c->relu)
            v = fmax(v, 0);
        if (c->relu && c->upper > 0)
            v = fmin(v, (double)c->upper);
        y->value[i] = v;
    }
}

/* The largest difference; scale is the largest sum before an activation cut it. */
static double differs(const tensor4 *t, double scale)
{
    double worst = 0;
    for (int64_t n = 0; n < t->n; n++)
        for (int64_t c = 0; c < t->c; c++)
            for (int64_t h = 0; h < t->h; h++)
                for (int64_t w = 0; w < t->w; w++) {
                    const double d = fabs((double)t->data[place(t, n, c, h, w)] - *at(t, n, c, h, w)) / scale;
                    worst = d <= worst ? worst : isnan(d) ? INFINITY : d;
                }
    return worst;
}

static void check_end(const void *data, size_t bytes, unsigned char want)
{
    for (size_t i = bytes; i < bytes + CANARY; i++)
        assert_int_equal(((const unsigned char *)data)[i], want);
}

/* Once more on fresh memory: result as it was before, and the workspace full of NaN. */
static void run_once(cbm_winograd *w, tensor4 *x, tensor4 *weight, tensor4 *y, const float *bias, float *packed)
{
    const size_t bytes = cbm_winograd_workspace(w);
    unsigned char *space = aligned_alloc(64, (bytes + CANARY + 63) / 64 * 64);
    assert_non_null(space);
    memset(space, 0xff, bytes + CANARY);
    cbm_winograd_run(w, x->data, packed ? packed : weight->data, y->data, bias, space);
    check_end(space, bytes, 0xff);
    free(space);
}

static cbm_winograd_conv random_conv(int64_t lanes)
{
    static const cbm_layout layouts[] = { CBM_LAYOUT_CHANNELS_LAST, CBM_LAYOUT_BLOCKED_8, CBM_LAYOUT_BLOCKED_16 };
    cbm_winograd_conv c = { .batch = draw_int(1, 5), .padding = { draw_int(0, 2), draw_int(0, 2) } };
    c.direction = (cbm_dnn_direction)draw_int(0, 2);
    c.x_layout = layouts[draw_int(lanes > 8 && draw() < 0.5 ? 2 : 0, 2)];
    if (lanes > 8 && c.x_layout == CBM_LAYOUT_BLOCKED_8)
        c.x_layout = CBM_LAYOUT_CHANNELS_LAST;
    c.y_layout = draw() < 0.8 ? c.x_layout : CBM_LAYOUT_CHANNELS_LAST;
    const int64_t unit = c.x_layout == CBM_LAYOUT_BLOCKED_8 ? 8 : c.x_layout == CBM_LAYOUT_BLOCKED_16 ? 16 : 1;
    const int64_t most = draw() < 0.15 ? 256 : 80;
    c.channels = draw_int(1, most / unit) * unit;
    c.out_channels = draw_int(1, most / unit) * unit;
    const bool wide = draw() < 0.1; /* many more columns than tiles */
    if (wide)
        *(c.direction == CBM_DNN_INPUT_GRAD ? &c.channels : &c.out_channels) = 256 + 16 * draw_int(0, 3);
    const int64_t side = wide ? 8 : c.channels * c.out_channels > 10000 ? 9 : 15;
    c.height = draw_int(3, side);
    c.width = draw_int(3, side);
    c.out_height = c.height + 2 * c.padding[0] - 2;
    c.out_width = c.width + 2 * c.padding[1] - 2;
    if (c.direction == CBM_DNN_FORWARD) {
        c.bias = draw() < 0.5;
        c.add = draw() < 0.3;
        c.relu = draw() < 0.5;
        c.upper = draw() < 0.5 ? 6.0f : 0.0f;
    }
    return c;
}

static void trial_of(cbm_winograd_conv c, int64_t threads)
{
    tensor4 x = make(c.batch, c.channels, c.height, c.width, c.x_layout);
    tensor4 w = make(c.out_channels, c.channels, 3, 3, CBM_LAYOUT_PLAIN);
    tensor4 y = make(c.batch, c.out_channels, c.out_height, c.out_width, c.y_layout);
    float *bias = malloc((size_t)c.out_channels * sizeof *bias);
    for (int64_t i = 0; i < c.out_channels; i++)
        bias[i] = (float)(draw() * 4 - 2);
    tensor4 *result = c.direction == CBM_DNN_FORWARD ? &y : c.direction == CBM_DNN_INPUT_GRAD ? &x : &w;
    const size_t bytes = result->floats * sizeof *result->data;
    double *old = malloc(result->floats * sizeof *old);
    float *before = malloc(bytes), *first = malloc(bytes);
    memcpy(old, result->value, result->floats * sizeof *old);
    memcpy(before, result->data, bytes);
    direct(&c, &x, &w, &y);
    const double scale = largest(result);
    if (c.direction == CBM_DNN_FORWARD)
        finish(&c, &y, old, bias);

    assert_true(cbm_winograd_suits(&c));
    cbm_winograd *plan = cbm_winograd_open(&c, threads);
    assert_non_null(plan);
    run_once(plan, &x, &w, &y, c.bias ? bias : NULL, NULL);
    check_end(result->data, bytes, 0xee);
    const double d = differs(result, scale);
    if (!(d <= 5e-6))
        fail_msg(
            "%s, direction %d: differs by %g; %dx%dx%dx%d to %d channels, padding %d %d, layouts %d %d, %d threads",
            cbm_simd_get()->name, (int)c.direction, d, (int)c.batch, (int)c.channels, (int)c.height, (int)c.width,
            (int)c.out_channels, (int)c.padding[0], (int)c.padding[1], (int)c.x_layout, (int)c.y_layout, (int)threads);
    memcpy(first, result->data, bytes);
    memcpy(result->data, before, bytes);
    run_once(plan, &x, &w, &y, c.bias ? bias : NULL, NULL);
    assert_memory_equal(result->data, first, bytes);
    cbm_winograd_free(plan);

    if (c.direction != CBM_DNN_WEIGHT_GRAD) { /* packed weights, on one thread: the same bits */
        c.packed_weight = true;
        plan = cbm_winograd_open(&c, 1);
        const size_t packed_bytes = cbm_winograd_packed_bytes(plan);
        float *packed = aligned_alloc(64, (packed_bytes + CANARY + 63) / 64 * 64);
        memset(packed, 0xff, packed_bytes + CANARY);
        cbm_winograd_pack(plan, w.data, packed);
        check_end(packed, packed_bytes, 0xff);
        memcpy(result->data, before, bytes);
        run_once(plan, &x, &w, &y, c.bias ? bias : NULL, packed);
        assert_memory_equal(result->data, first, bytes);
        free(packed);
        cbm_winograd_free(plan);
    }
    free(bias);
    free(old);
    free(before);
    free(first);
    drop(&x);
    drop(&w);
    drop(&y);
}

static void against_direct(void **state)
{
    (void)state;
    for (int level = 0; level < N_LEVELS; level++) {
        const cbm_simd *simd = cbm_simd_named(simd_levels[level]);
        if (!simd)
            continue;
        cbm_simd_choose(simd);
        for (int round = 0; round < ROUNDS; round++)
            trial_of(random_conv(simd->winograd_lanes), draw_int(1, 3));
    }
    cbm_simd_choose(NULL);
}

/* NaN goes through, the activation included; an infinite weight makes no finite result. */
static void not_a_number(void **state)
{
    (void)state;
    cbm_winograd_conv c = { .batch = 1, .channels = 16, .height = 8, .width = 8, .out_channels = 16, .relu = true };
    c.out_height = c.out_width = 6;
    c.x_layout = c.y_layout = CBM_LAYOUT_CHANNELS_LAST;
    tensor4 x = make(1, 16, 8, 8, CBM_LAYOUT_CHANNELS_LAST), y = make(1, 16, 6, 6, CBM_LAYOUT_CHANNELS_LAST);
    tensor4 w = make(16, 16, 3, 3, CBM_LAYOUT_PLAIN);
    x.data[place(&x, 0, 3, 2, 2)] = NAN;
    cbm_winograd *plan = cbm_winograd_open(&c, 1);
    assert_non_null(plan);
    run_once(plan, &x, &w, &y, NULL, NULL);
    for (int64_t o = 0; o < 16; o++)
        for (int64_t h = 0; h < 3; h++)
            for (int64_t v = 0; v < 3; v++)
                assert_true(isnan(y.data[place(&y, 0, o, h, v)]));
    cbm_winograd_free(plan);
    drop(&x);
    drop(&w);
    drop(&y);
}

static void what_it_refuses(void **state)
{
    (void)state;
    const cbm_winograd_conv good = { .batch = 2,
                                     .channels = 16,
                                     .height = 8,
                                     .width = 8,
                                     .out_channels = 16,
                                     .out_height = 6,
                                     .out_width = 6,
                                     .x_layout = CBM_LAYOUT_CHANNELS_LAST,
                                     .y_layout = CBM_LAYOUT_CHANNELS_LAST };
    assert_true(cbm_winograd_suits(&good));
    cbm_winograd_conv c = good;
    c.out_height = 4;
    assert_false(cbm_winograd_suits(&c));
    assert_null(cbm_winograd_open(&c, 1));
    c = good;
    c.batch = 0;
    assert_false(cbm_winograd_suits(&c));
    c = good;
    c.padding[1] = 3;
    c.out_width = 12;
    assert_false(cbm_winograd_suits(&c));
    c = good;
    c.y_layout = CBM_LAYOUT_BLOCKED_16;
    c.out_channels = 24;
    assert_false(cbm_winograd_suits(&c));
}

static void where_it_pays(void **state)
{
    (void)state;
    cbm_winograd_conv c = { .batch = 128, .channels = 64, .height = 32, .width = 32, .out_channels = 64 };
    c.out_height = c.out_width = 32;
    c.padding[0] = c.padding[1] = 1;
    assert_true(cbm_winograd_pays(&c));
    c.channels = 3;
    assert_false(cbm_winograd_pays(&c));
    c.channels = 64;
    c.batch = 1;
    c.height = c.width = c.out_height = c.out_width = 7;
    assert_false(cbm_winograd_pays(&c));
    c.batch = 1000; /* tiles that lie mostly outside */
    c.height = c.width = c.out_height = c.out_width = 2;
    assert_false(cbm_winograd_pays(&c));
}

int main(void)
{
    test_stream = 9;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_direct),
        cmocka_unit_test(not_a_number),
        cmocka_unit_test(what_it_refuses),
        cmocka_unit_test(where_it_pays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
