/* wavelet.c: the Haar wavelet packet as a network without training: each convolution of 2x2 in steps of two turns a plane into four,
   of means and of differences across, down and both, half as large; three of them one behind the other give 64 (Mallat 1989;
   Coifman and Wickerhauser 1992). The filters are orthonormal, so that transposed convolutions with the same weights lead back. */
#include "recipe.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    LEVELS = 3,
    ACROSS = 8, /* pictures of the mosaic, and as many down */
    PICTURE = 32,
    SIDE = ACROSS * PICTURE,
    PLANE = PICTURE * PICTURE,
    BANDS = 64,            /* 4^LEVELS */
    BAND = SIDE >> LEVELS, /* the side of each */
    GRID = 8               /* bands side by side */
};

/* Kernels of 2x2: mean; difference across, down, both; each of length 1. Every element is +-1/2, so that whole numbers of 8
   bits stay exact in f32 over all levels. */
static const float haar[4][4] = {
    { 0.5f, 0.5f, 0.5f, 0.5f }, { 0.5f, -0.5f, 0.5f, -0.5f }, { 0.5f, 0.5f, -0.5f, -0.5f }, { 0.5f, -0.5f, -0.5f, 0.5f }
};

/* The same four for each of `planes` planes: weight (4 planes, 1, 2, 2), a group a plane. */
static cbm_tensor *filters(cbm_context *cx, int64_t planes)
{
    cbm_tensor *four = cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(1, 4, 1, 2, 2), haar);
    return cbm_reshape(cbm_expand(four, CBM_SHAPE(planes, 4, 1, 2, 2)), CBM_SHAPE(4 * planes, 1, 2, 2));
}

static cbm_tensor *analyse(cbm_tensor *x)
{
    for (int level = 0; level < LEVELS; level++) {
        const int64_t planes = cbm_tensor_size(x, 1);
        x = cbm_conv2d(x, filters(cbm_tensor_context(x), planes), NULL, .stride = CBM_SHAPE(2), .groups = planes);
    }
    return x;
}

static cbm_tensor *compose(cbm_tensor *x)
{
    for (int level = 0; level < LEVELS; level++) {
        const int64_t planes = cbm_tensor_size(x, 1) / 4;
        x = cbm_conv_transpose2d(x, filters(cbm_tensor_context(x), planes), NULL, .stride = CBM_SHAPE(2),
                                 .groups = planes);
    }
    return x;
}

/* ---- the mosaic: grey pictures of the test set, whole numbers from 0 to 255 ---- */

static cbm_tensor *mosaic(cbm_context *cx, const cbm_recipe_settings *s)
{
    cbm_dataset *all = cbm_cifar10(cx, s->data_dir ? s->data_dir : "data/cifar10", CBM_TEST, .normalise = false);
    cbm_loader *loader = cbm_loader_open(all, .batch_size = 1);
    float *grey = calloc((size_t)SIDE * SIDE, sizeof *grey);
    cbm_batch b;
    for (int64_t i = 0; grey && i < ACROSS * ACROSS && cbm_next(loader, &b); i++) {
        CBM_SCOPE(scope, cx);
        const float *p = cbm_tensor_data(cbm_cast(b.input, CBM_F32));
        for (int64_t k = 0; p && k < PLANE; k++) {
            const float v = roundf(0.299f * p[k] + 0.587f * p[PLANE + k] + 0.114f * p[2 * PLANE + k]);
            grey[(i / ACROSS * PICTURE + k / PICTURE) * SIDE + i % ACROSS * PICTURE + k % PICTURE] = v;
        }
    }
    if (!grey)
        cbm_fail(cx, CBM_ERROR_MEMORY, "[wavelet] no memory for the mosaic");
    cbm_tensor *x = cbm_variable(cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(1, 1, SIDE, SIDE), grey), false);
    free(grey);
    return x;
}

/* ---- what the coefficients say ---- */

static int by_size(const void *a, const void *b)
{
    const float x = fabsf(*(const float *)a), y = fabsf(*(const float *)b);
    return (x < y) - (x > y);
}

/* The size of the least of the largest `share` of all coefficients; negative: no memory. */
static double least_of(const float *c, double share)
{
    float *sorted = malloc(sizeof(float) * SIDE * SIDE);
    if (!sorted)
        return -1;
    memcpy(sorted, c, sizeof(float) * SIDE * SIDE);
    qsort(sorted, (size_t)SIDE * SIDE, sizeof *sorted, by_size);
    const double least = fabs((double)sorted[(size_t)(share * SIDE * SIDE)]);
    free(sorted);
    return least;
}

/* Of the picture composed of the largest coefficients alone, in decibels. */
static double quality(cbm_tensor *x, cbm_tensor *c, double least)
{
    cbm_context *cx = cbm_tensor_context(x);
    CBM_SCOPE(scope, cx);
    cbm_tensor *large = cbm_greater_equal(cbm_abs(c), cbm_scalar(cx, CBM_F32, least));
    cbm_tensor *y = compose(cbm_where(large, c, cbm_zeros_like(c)));
    return 10 * log10(255 * 255 / cbm_item(cbm_mean(cbm_square(cbm_sub(y, x)))));
}

/* The share of all energy, in percent, that the band of means holds, and the bands of one difference or more. */
static void energies(const float *c, FILE *out)
{
    double all = 0, means = 0;
    for (int64_t i = 0; i < SIDE * SIDE; i++) {
        all += (double)c[i] * (double)c[i];
        means += i < BAND * BAND ? (double)c[i] * (double)c[i] : 0;
    }
    fprintf(out, "one band of %d, the means of 8x8 pixels, holds %.1f %% of the energy\n", BANDS, 100 * means / all);
}

/* ---- the picture: the mosaic, and beside it the bands, each as bright as its largest coefficient allows ---- */

static void put(cbm_image *image, int64_t x, int64_t y, double v)
{
    image->pixels[y * image->width + x] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static void draw_band(cbm_image *image, const float *c, int64_t band)
{
    const int64_t left = SIDE + 8 + band % GRID * (BAND + 1), top = band / GRID * (BAND + 1);
    double largest = 1;
    for (int64_t i = 0; i < BAND * BAND; i++)
        largest = fmax(largest, fabs((double)c[i]));
    for (int64_t i = 0; i < BAND * BAND; i++)
        put(image, left + i % BAND, top + i / BAND,
            band ? 127.5 + 127.5 * (double)c[i] / largest : 255 * (double)c[i] / largest);
}

static cbm_status draw(cbm_context *cx, const float *x, const float *c, const char *run_dir, FILE *out)
{
    cbm_image image;
    if (!cbm_recipe_image(cx, "wavelet", SIDE + 8 + GRID * (BAND + 1) - 1, GRID * (BAND + 1) - 1, 1, &image))
        return cbm_context_status(cx);
    for (int64_t i = 0; i < SIDE * SIDE; i++)
        put(&image, i % SIDE, i / SIDE, (double)x[i]);
    for (int64_t band = 0; band < BANDS; band++)
        draw_band(&image, c + band * BAND * BAND, band);
    static const char *const columns[] = { "64 pictures", "their bands: the first the means, the others differences" };
    const cbm_frame frame = { .title = "A Haar wavelet packet", .columns = columns, .column_count = 2 };
    return cbm_recipe_keep_image(cx, "wavelet", &image, &frame, run_dir, "bands.png", out);
}

static cbm_status run(cbm_context *cx, const cbm_recipe_settings *s, FILE *out)
{
    CBM_NO_GRAD(scope, cx);
    cbm_tensor *x = mosaic(cx, s), *c = analyse(x);
    const float *pixels = cbm_tensor_data(x), *coefficients = cbm_tensor_data(c);
    if (!pixels || !coefficients)
        return cbm_context_status(cx);
    const double wrong = cbm_item(cbm_max(cbm_abs(cbm_sub(compose(c), x))));
    fprintf(out, "%d x %d pixels as %d bands of %d x %d; composed again they differ by %g at most\n", SIDE, SIDE, BANDS,
            BAND, BAND, wrong);
    cbm_recipe_measure(s, wrong, "largest_difference");
    energies(coefficients, out);
    static const double shares[] = { 0.25, 0.1, 0.05 };
    for (size_t i = 0; i < sizeof shares / sizeof *shares && cbm_context_status(cx) == CBM_OK; i++) {
        const double decibels = quality(x, c, least_of(coefficients, shares[i]));
        fprintf(out, "from the largest %2.0f %% of the coefficients alone: %.1f dB\n", 100 * shares[i], decibels);
        cbm_recipe_measure(s, decibels, "decibels_of_%.0f_percent", 100 * shares[i]);
    }
    if (cbm_context_status(cx) != CBM_OK || !s->run_dir)
        return cbm_context_status(cx);
    return draw(cx, pixels, coefficients, s->run_dir, out);
}

const cbm_recipe cbm_recipe_wavelet = {
    .name = "wavelet",
    .summary = "a Haar wavelet packet as a cascade of strided convolutions, inverted exactly",
    .description =
        "Three grouped convolutions of 2x2 in steps of two turn a mosaic of 64 grey pictures into the 64\n"
        "bands of a Haar wavelet packet, and three transposed convolutions with the same weights turn them\n"
        "back, bit for bit. Most coefficients are nearly nothing: the picture is composed of the largest ones\n"
        "alone too. bands.png shows the mosaic beside its bands.",
    .data = "cifar10",
    .epochs = 1,
    .batch_size = 1,
    .lr = 0,
    .input = { { 3, 1, SIDE, SIDE } },
    .run = run,
};
