/* test_onednn_conv.c: convolutions and their gradients through the seam to oneDNN against plain loops in double: every pair of
   layouts, post-operation, type, groups, strides, dilations, odd sizes. With the argument "list" it prints what was chosen. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/onednn.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CANARY = 64 };
static const char *const layout_names[] = { "plain", "last", "b8", "b16" };
static bool listing, coarse;

typedef struct shape {
    int64_t batch, channels, height, width, out_channels, kernel, stride, padding, dilation, groups;
} shape;

static const shape shapes[] = {
    { 2, 1, 12, 12, 32, 3, 1, 0, 1, 1 },   { 2, 3, 13, 11, 16, 3, 1, 1, 1, 1 },  { 2, 3, 23, 23, 64, 7, 2, 3, 1, 1 },
    { 2, 17, 9, 10, 24, 3, 1, 1, 1, 1 },   { 1, 24, 11, 7, 17, 3, 2, 1, 1, 1 },  { 3, 32, 8, 8, 32, 3, 1, 1, 1, 1 },
    { 2, 32, 9, 9, 48, 3, 1, 2, 2, 1 },    { 2, 32, 10, 10, 64, 1, 1, 0, 1, 1 }, { 2, 64, 9, 9, 32, 1, 2, 0, 1, 1 },
    { 1, 64, 10, 10, 64, 3, 1, 1, 1, 1 },  { 2, 16, 7, 7, 3, 5, 1, 2, 1, 1 },    { 2, 8, 6, 5, 8, 3, 1, 1, 1, 1 },
    { 2, 32, 9, 9, 32, 3, 1, 1, 1, 32 },   { 2, 24, 9, 7, 24, 3, 2, 1, 1, 24 },  { 2, 17, 8, 8, 17, 3, 1, 1, 1, 17 },
    { 2, 48, 11, 11, 48, 5, 1, 2, 1, 48 }, { 1, 32, 9, 9, 32, 3, 1, 2, 2, 32 },  { 2, 32, 9, 9, 64, 3, 1, 1, 1, 2 },
    { 2, 12, 8, 8, 18, 3, 1, 1, 1, 3 },    { 1, 16, 8, 8, 32, 3, 1, 1, 1, 16 },  { 1, 64, 7, 7, 64, 3, 2, 1, 1, 4 },
    { 1, 1, 5, 5, 1, 3, 1, 1, 1, 1 },      { 2, 32, 1, 1, 10, 1, 1, 0, 1, 1 },
};

static int64_t out_extent(int64_t extent, const shape *s)
{
    return (extent + 2 * s->padding - s->dilation * (s->kernel - 1) - 1) / s->stride + 1;
}

/* ---- data ---- */

typedef struct images {
    int64_t n, c, h, w;
    float *plain;
} images;

static int64_t count_of(const images *t)
{
    return t->n * t->c * t->h * t->w;
}

/* bf16 is the upper half of an f32. */
static uint16_t to_bf16(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float from_bf16(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* Values that bf16 holds too, so that all types begin with the same. */
static float draw(void)
{
    static uint64_t at;
    const float v = 2 * cbm_philox_uniform(5, 1, at++) - 1;
    return coarse ? from_bf16(to_bf16(v)) : v;
}

static images random_images(int64_t n, int64_t c, int64_t h, int64_t w)
{
    images t = { n, c, h, w, malloc((size_t)(n * c * h * w) * sizeof(float)) };
    assert_non_null(t.plain);
    for (int64_t i = 0; i < count_of(&t); i++)
        t.plain[i] = draw();
    return t;
}

static int64_t place(const images *t, cbm_layout layout, int64_t n, int64_t c, int64_t h, int64_t w)
{
    if (layout == CBM_LAYOUT_PLAIN)
        return ((n * t->c + c) * t->h + h) * t->w + w;
    const int64_t block = layout == CBM_LAYOUT_BLOCKED_8 ? 8 : layout == CBM_LAYOUT_BLOCKED_16 ? 16 : t->c;
    return (((n * (t->c / block) + c / block) * t->h + h) * t->w + w) * block + c % block;
}

static float value_at(const void *data, int64_t i, bool bf16)
{
    return bf16 ? from_bf16(((const uint16_t *)data)[i]) : ((const float *)data)[i];
}

static size_t bytes_of(const images *t, bool bf16)
{
    return (size_t)count_of(t) * (bf16 ? sizeof(uint16_t) : sizeof(float));
}

/* A copy in another layout and type, with a canary behind it. */
static void *in_layout(const images *t, cbm_layout layout, bool bf16)
{
    const size_t bytes = bytes_of(t, bf16);
    void *data = malloc(bytes + CANARY);
    assert_non_null(data);
    memset((char *)data + bytes, 0xee, CANARY);
    for (int64_t n = 0, i = 0; n < t->n; n++)
        for (int64_t c = 0; c < t->c; c++)
            for (int64_t h = 0; h < t->h; h++)
                for (int64_t w = 0; w < t->w; w++, i++) {
                    const int64_t at = place(t, layout, n, c, h, w);
                    if (bf16)
                        ((uint16_t *)data)[at] = to_bf16(t->plain[i]);
                    else
                        ((float *)data)[at] = t->plain[i];
                }
    return data;
}

static double scale_of(const images *t)
{
    double scale = 1;
    for (int64_t i = 0; i < count_of(t); i++)
        scale = fmax(scale, fabs((double)t->plain[i]));
    return scale;
}

static void check_images(const void *got, cbm_layout layout, bool bf16, const images *want, double scale,
                         double tolerance, const char *what)
{
    double worst = 0;
    for (int64_t n = 0, i = 0; n < want->n; n++)
        for (int64_t c = 0; c < want->c; c++)
            for (int64_t h = 0; h < want->h; h++)
                for (int64_t w = 0; w < want->w; w++, i++) {
                    const double d =
                        fabs((double)value_at(got, place(want, layout, n, c, h, w), bf16) - (double)want->plain[i]);
                    worst = d <= worst ? worst : d; /* keeps a NaN */
                }
    if (!(worst <= tolerance * scale))
        fail_msg("%s: differs by %g of %g", what, worst, scale);
    for (int i = 0; i < CANARY; i++)
        assert_int_equal(((const unsigned char *)got)[bytes_of(want, bf16) + (size_t)i], 0xee);
}

/* ---- the plain loops ---- */

typedef struct problem {
    shape s;
    images x, weight, y, dx,
        dweight;         /* y: of the convolution alone; weight: (out channels, channels of a group, k, k) */
    images before, bias; /* what y's memory held */
} problem;

/* Adds to dx or dweight (then y is the given gradient), or to y. */
static void loop(const problem *p, double *y, double *dx, double *dweight)
{
    const shape *s = &p->s;
    const int64_t cg = s->channels / s->groups, og = s->out_channels / s->groups;
    for (int64_t n = 0, i = 0; n < s->batch; n++)
        for (int64_t o = 0; o < s->out_channels; o++)
            for (int64_t yh = 0; yh < p->y.h; yh++)
                for (int64_t yw = 0; yw < p->y.w; yw++, i++)
                    for (int64_t c = 0; c < cg; c++)
                        for (int64_t kh = 0; kh < s->kernel; kh++)
                            for (int64_t kw = 0; kw < s->kernel; kw++) {
                                const int64_t h = yh * s->stride - s->padding + kh * s->dilation;
                                const int64_t w = yw * s->stride - s->padding + kw * s->dilation;
                                if (h < 0 || h >= s->height || w < 0 || w >= s->width)
                                    continue;
                                const int64_t at = ((n * s->channels + o / og * cg + c) * s->height + h) * s->width + w;
                                const int64_t k = ((o * cg + c) * s->kernel + kh) * s->kernel + kw;
                                if (y)
                                    y[i] += (double)p->x.plain[at] * (double)p->weight.plain[k];
                                if (dx)
                                    dx[at] += (double)p->before.plain[i] * (double)p->weight.plain[k];
                                if (dweight)
                                    dweight[k] += (double)p->before.plain[i] * (double)p->x.plain[at];
                            }
}

static void fill_from(images *t, const double *sums)
{
    for (int64_t i = 0; i < count_of(t); i++)
        t->plain[i] = (float)sums[i];
}

/* `before` serves as the gradient of y too. */
static problem make_problem(const shape *s)
{
    const int64_t h = out_extent(s->height, s), w = out_extent(s->width, s);
    problem p = { .s = *s };
    p.x = random_images(s->batch, s->channels, s->height, s->width);
    p.dx = random_images(s->batch, s->channels, s->height, s->width);
    p.weight = random_images(s->out_channels, s->channels / s->groups, s->kernel, s->kernel);
    p.dweight = random_images(s->out_channels, s->channels / s->groups, s->kernel, s->kernel);
    p.y = random_images(s->batch, s->out_channels, h, w);
    p.before = random_images(s->batch, s->out_channels, h, w);
    p.bias = random_images(1, s->out_channels, 1, 1);
    double *y = calloc((size_t)count_of(&p.y), sizeof *y), *dx = calloc((size_t)count_of(&p.dx), sizeof *dx);
    double *dweight = calloc((size_t)count_of(&p.dweight), sizeof *dweight);
    assert_true(y && dx && dweight);
    loop(&p, y, dx, dweight);
    fill_from(&p.y, y);
    fill_from(&p.dx, dx);
    fill_from(&p.dweight, dweight);
    free(y);
    free(dx);
    free(dweight);
    return p;
}

static void free_problem(problem *p)
{
    images *const all[] = { &p->x, &p->weight, &p->y, &p->dx, &p->dweight, &p->before, &p->bias };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]->plain);
}

static images expected_y(const problem *p, const cbm_dnn_conv *c)
{
    images want = random_images(p->y.n, p->y.c, p->y.h, p->y.w);
    const int64_t plane = p->y.h * p->y.w;
    for (int64_t i = 0; i < count_of(&want); i++) {
        double v = (double)p->y.plain[i] + (c->add ? (double)p->before.plain[i] : 0);
        v += c->bias ? (double)p->bias.plain[i / plane % p->y.c] : 0;
        v = c->upper > 0 ? fmin(fmax(v, 0), (double)c->upper) : c->relu ? fmax(v, 0) : v;
        want.plain[i] = (float)v;
    }
    return want;
}

/* ---- through the seam ---- */

static cbm_dnn_conv conv_of(const problem *p, cbm_dnn_direction direction, cbm_layout x, cbm_layout y)
{
    const shape *s = &p->s;
    return (cbm_dnn_conv){ .direction = direction,
                           .dimensions = 2,
                           .batch = s->batch,
                           .channels = s->channels,
                           .in = { 0, s->height, s->width },
                           .out_channels = s->out_channels,
                           .out = { 0, p->y.h, p->y.w },
                           .kernel = { 0, s->kernel, s->kernel },
                           .stride = { 0, s->stride, s->stride },
                           .padding = { 0, s->padding, s->padding },
                           .dilation = { 0, s->dilation, s->dilation },
                           .groups = s->groups,
                           .x_layout = x,
                           .y_layout = y };
}

static void run_twice(cbm_dnn *d, void *const *pointers, void *y, const void *before, size_t y_bytes)
{
    const size_t bytes = cbm_dnn_workspace(d);
    char *work = aligned_alloc(64, (bytes + CANARY + 63) / 64 * 64);
    assert_non_null(work);
    memset(work, 0xff, (bytes + CANARY + 63) / 64 * 64); /* NaN */
    for (int twice = 0; twice < 2; twice++) {
        if (before)
            memcpy(y, before, y_bytes);
        assert_true(cbm_dnn_run(d, pointers, work));
    }
    for (size_t i = bytes; i < bytes + CANARY; i++)
        assert_int_equal((unsigned char)work[i], 0xff);
    free(work);
}

static void *packed_weight(const cbm_dnn *d, void *plain)
{
    const size_t bytes = cbm_dnn_packed_bytes(d);
    assert_true(bytes > 0);
    char *packed = aligned_alloc(64, (bytes + CANARY + 63) / 64 * 64);
    assert_non_null(packed);
    memset(packed, 0xee, bytes + CANARY);
    cbm_dnn *packer = cbm_dnn_packer(d, 2);
    assert_non_null(packer);
    run_twice(packer, (void *[]){ plain, packed }, NULL, NULL, 0);
    cbm_dnn_free(packer);
    for (size_t i = bytes; i < bytes + CANARY; i++)
        assert_int_equal((unsigned char)packed[i], 0xee);
    return packed;
}

/* Full blocks of channels in layouts that oneDNN's fast code takes must come to that code without reorders. It has none for
   gradients of large or dilated depthwise kernels, and without AVX-512 other layouts are fast. */
static bool must_be_direct(const cbm_dnn_conv *c)
{
    const bool depthwise = c->groups == c->channels && c->groups == c->out_channels;
    if (!cbm_dnn_bf16() || c->x_bf16 || c->weight_bf16 || c->y_bf16 ||
        (c->groups > 1 && (!depthwise || c->kernel[1] > 3 || c->dilation[1] > 1)) || c->channels % 16 ||
        c->out_channels % 16)
        return false;
    return c->x_layout == c->y_layout &&
           (c->x_layout == CBM_LAYOUT_CHANNELS_LAST || c->x_layout == CBM_LAYOUT_BLOCKED_16);
}

static void try_conv(const problem *p, const cbm_dnn_conv *c, int64_t threads)
{
    char what[512];
    cbm_dnn *d = cbm_dnn_convolution(c, threads);
    snprintf(what, sizeof what,
             "%s %dx%dx%dx%d to %d, kernel %d stride %d dilation %d groups %d, %s to %s%s%s%s%s%s%s%s%s: %s",
             (const char *const[]){ "forward", "input grad", "weight grad" }[c->direction], (int)c->batch,
             (int)c->channels, (int)c->in[1], (int)c->in[2], (int)c->out_channels, (int)c->kernel[1], (int)c->stride[1],
             (int)c->dilation[1], (int)c->groups, layout_names[c->x_layout], layout_names[c->y_layout],
             c->bias ? " bias" : "", c->add ? " add" : "",
             c->upper > 0 ? " relu6"
             : c->relu    ? " relu"
                          : "",
             c->packed_weight ? " packed" : "", c->direct_only ? " direct" : "", c->x_bf16 ? " x bf16" : "",
             c->weight_bf16 ? " weight bf16" : "", c->y_bf16 ? " y bf16" : "", d ? cbm_dnn_describe(d) : "not made");
    if (listing)
        puts(what);
    if (!d)
        fail_msg("%s", what);
    const char *how = cbm_dnn_describe(d);
    if (strncmp(how, "ref", 3) == 0 || (c->direct_only && strstr(how, "wino")) ||
        (must_be_direct(c) && (strstr(how, "gemm") || strstr(how, "x reordered") || strstr(how, "y reordered"))))
        fail_msg("%s: not what should serve it", what);

    void *x = in_layout(c->direction == CBM_DNN_INPUT_GRAD ? &p->dx : &p->x, c->x_layout, c->x_bf16);
    void *before = in_layout(&p->before, c->y_layout, c->y_bf16), *y = in_layout(&p->before, c->y_layout, c->y_bf16);
    const images *w = c->direction == CBM_DNN_WEIGHT_GRAD ? &p->dweight : &p->weight;
    void *weight = in_layout(w, CBM_LAYOUT_PLAIN, c->weight_bf16), *bias = in_layout(&p->bias, CBM_LAYOUT_PLAIN, false);
    void *packed = c->packed_weight ? packed_weight(d, weight) : NULL;
    if (c->direction == CBM_DNN_INPUT_GRAD) /* results start as something else */
        memset(x, 0xff, bytes_of(&p->x, c->x_bf16));
    if (c->direction == CBM_DNN_WEIGHT_GRAD)
        memset(weight, 0xff, bytes_of(&p->dweight, c->weight_bf16));
    run_twice(d, (void *[]){ x, packed ? packed : weight, y, bias }, y, before, bytes_of(&p->y, c->y_bf16));
    const double exact = 5e-6, rounded = 0.01; /* of f32 and bf16 results */
    if (c->direction == CBM_DNN_FORWARD) {
        images want = expected_y(p, c);
        check_images(y, c->y_layout, c->y_bf16, &want, scale_of(&p->y), c->y_bf16 ? rounded : exact, what);
        free(want.plain);
    } else if (c->direction == CBM_DNN_INPUT_GRAD) {
        check_images(x, c->x_layout, c->x_bf16, &p->dx, scale_of(&p->dx), c->x_bf16 ? rounded : exact, what);
    } else {
        check_images(weight, CBM_LAYOUT_PLAIN, c->weight_bf16, &p->dweight, scale_of(&p->dweight),
                     c->weight_bf16 ? rounded : exact, what);
    }
    cbm_dnn_free(d);
    free(x);
    free(y);
    free(before);
    free(weight);
    free(bias);
    free(packed);
}

static bool fits(int64_t channels, int layout)
{
    return layout < CBM_LAYOUT_BLOCKED_8 || channels % (layout == CBM_LAYOUT_BLOCKED_8 ? 8 : 16) == 0;
}

/* ---- tests ---- */

static void every_direction_and_layout(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        problem p = make_problem(&shapes[i]);
        for (int x = 0; x < CBM_LAYOUT_COUNT; x++)
            for (int y = 0; y < CBM_LAYOUT_COUNT; y++)
                for (int direction = 0; direction < 3; direction++) {
                    if (!fits(p.s.channels, x) || !fits(p.s.out_channels, y))
                        continue;
                    cbm_dnn_conv c = conv_of(&p, (cbm_dnn_direction)direction, (cbm_layout)x, (cbm_layout)y);
                    c.direct_only = (x + y) % 3 == 1;
                    try_conv(&p, &c, 1 + (x + y) % 2);
                }
        free_problem(&p);
    }
}

static void post_operations(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        problem p = make_problem(&shapes[i]);
        for (int how = 0; how < 24; how++)
            for (int layout = (int)i % 2; layout < CBM_LAYOUT_COUNT; layout += 2) {
                const cbm_layout x = fits(p.s.channels, layout) ? (cbm_layout)layout : CBM_LAYOUT_PLAIN;
                if (!fits(p.s.out_channels, layout))
                    continue;
                cbm_dnn_conv c = conv_of(&p, CBM_DNN_FORWARD, x, (cbm_layout)layout);
                c.bias = how & 1;
                c.add = how & 2;
                c.packed_weight = how & 4;
                c.relu = how >= 8;
                c.upper = how >= 16 ? 0.75F : 0;
                try_conv(&p, &c, 1 + how % 2);
            }
        free_problem(&p);
    }
}

/* Every type of every operand, in all directions. */
static void types(void **state)
{
    (void)state;
    if (!cbm_dnn_bf16())
        skip();
    coarse = true;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        problem p = make_problem(&shapes[i]);
        for (int layout = 0; layout < CBM_LAYOUT_COUNT; layout++)
            for (int how = 1; how < 8; how++)
                for (int direction = 0; direction < 3; direction++) {
                    const cbm_layout x = fits(p.s.channels, layout) ? (cbm_layout)layout : CBM_LAYOUT_PLAIN;
                    if (!fits(p.s.out_channels, layout))
                        continue;
                    cbm_dnn_conv c = conv_of(&p, (cbm_dnn_direction)direction, x, (cbm_layout)layout);
                    c.x_bf16 = how & 1;
                    c.weight_bf16 = how & 2;
                    c.y_bf16 = how & 4;
                    c.packed_weight = direction != CBM_DNN_WEIGHT_GRAD && (layout + how) % 2;
                    c.bias = c.add = c.relu = direction == CBM_DNN_FORWARD && how % 2;
                    try_conv(&p, &c, 1 + how % 2);
                }
        free_problem(&p);
    }
    coarse = false;
}

static void what_is_refused(void **state)
{
    (void)state;
    problem p = make_problem(&shapes[3]); /* 17 channels are no blocks */
    cbm_dnn_conv c = conv_of(&p, CBM_DNN_FORWARD, CBM_LAYOUT_BLOCKED_16, CBM_LAYOUT_PLAIN);
    assert_null(cbm_dnn_convolution(&c, 1));
    c = conv_of(&p, CBM_DNN_WEIGHT_GRAD, CBM_LAYOUT_PLAIN, CBM_LAYOUT_PLAIN);
    c.packed_weight = true;
    assert_null(cbm_dnn_convolution(&c, 1));
    c.packed_weight = false;
    c.out[1]++;
    assert_null(cbm_dnn_convolution(&c, 1));
    free_problem(&p);
}

int main(int argc, char **argv)
{
    listing = argc > 1 && strcmp(argv[1], "list") == 0;
    if (!cbm_dnn_present()) {
        printf("this build is without oneDNN\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_direction_and_layout),
        cmocka_unit_test(post_operations),
        cmocka_unit_test(types),
        cmocka_unit_test(what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
