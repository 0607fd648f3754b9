/* random_filters.c: small filters of random weights already prefer some frequencies and orientations (Jarrett et al. 2009; Saxe et
   al. 2011): their power spectra are drawn and measured beside those of large ones, and a linear layer behind random filters is
   compared with one behind none and with a network that is trained as a whole. */
#include "recipe.h"
#include <math.h>
#include <stdlib.h>

enum {
    FILTERS = 64,
    KERNEL = 7,
    LARGE = 32, /* the side of the filters that are compared with; and of the spectra */
    SHOWN = 16, /* filters in the picture */
    ZOOM = 3,
    TILE = LARGE * ZOOM,
    GAP = 4
};

/* ---- spectra ---- */

/* |sum of w e^(-2 pi i (u x + v y) / LARGE)|^2 of a filter of side^2 weights, zero frequency in the middle. */
static void spectrum(const float *w, int side, double power[LARGE * LARGE])
{
    for (int v = 0; v < LARGE; v++)
        for (int u = 0; u < LARGE; u++) {
            double re = 0, im = 0;
            for (int y = 0; y < side; y++)
                for (int x = 0; x < side; x++) {
                    const double angle = -2 * M_PI * ((u - LARGE / 2) * x + (v - LARGE / 2) * y) / LARGE;
                    re += (double)w[y * side + x] * cos(angle);
                    im += (double)w[y * side + x] * sin(angle);
                }
            power[v * LARGE + u] = re * re + im * im;
        }
}

/* How much power lies along one direction: 0 none more than another, 1 all of it; and which share of it lies near the strongest
   frequency, or its mirror image (spread evenly that would be a tenth). */
typedef struct selectivity {
    double orientation, frequency;
} selectivity;
enum { RADIUS = 4 }; /* what is near, of LARGE frequencies each way */

static bool is_near(int i, int peak)
{
    const int u = abs(i % LARGE - peak % LARGE), v = abs(i / LARGE - peak / LARGE);
    const int x = u < LARGE - u ? u : LARGE - u, y = v < LARGE - v ? v : LARGE - v;
    return x * x + y * y <= RADIUS * RADIUS;
}

/* Frequency i with both signs changed. */
static int mirrored(int i)
{
    return (LARGE - i / LARGE) % LARGE * LARGE + (LARGE - i % LARGE) % LARGE;
}

static selectivity measure(const double *power)
{
    double re = 0, im = 0, all = 0, close = 0;
    int peak = 0;
    for (int i = 0; i < LARGE * LARGE; i++)
        peak = power[i] > power[peak] ? i : peak;
    for (int i = 0; i < LARGE * LARGE; i++) {
        const double u = i % LARGE - LARGE / 2, v = i / LARGE - LARGE / 2, angle = 2 * atan2(v, u);
        all += power[i];
        re += u * u + v * v > 0 ? power[i] * cos(angle) : 0;
        im += u * u + v * v > 0 ? power[i] * sin(angle) : 0;
        close += is_near(i, peak) || is_near(i, mirrored(peak)) ? power[i] : 0;
    }
    return (selectivity){ hypot(re, im) / all, close / all };
}

/* The mean over filters that lie one behind the other. */
static selectivity mean_of(const float *w, int side, int count)
{
    static double power[LARGE * LARGE];
    selectivity mean = { 0, 0 };
    for (int i = 0; i < count; i++) {
        spectrum(w + i * side * side, side, power);
        const selectivity s = measure(power);
        mean.orientation += s.orientation / count;
        mean.frequency += s.frequency / count;
    }
    return mean;
}

/* ---- the picture: filters above, their spectra below ---- */

static void put_tile(cbm_image *image, int64_t left, int64_t top, const double *value, int side, double low,
                     double high)
{
    for (int64_t y = 0; y < TILE; y++)
        for (int64_t x = 0; x < TILE; x++) {
            const double v = 255 * (value[y * side / TILE * side + x * side / TILE] - low) / (high - low);
            image->pixels[(top + y) * image->width + left + x] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
        }
}

static void put_filter(cbm_image *image, const float *w, int64_t number)
{
    static double power[LARGE * LARGE];
    double values[KERNEL * KERNEL], largest = 0, most = 0;
    spectrum(w, KERNEL, power);
    for (int i = 0; i < KERNEL * KERNEL; i++) {
        values[i] = (double)w[i];
        largest = fmax(largest, fabs(values[i]));
    }
    for (int i = 0; i < LARGE * LARGE; i++)
        most = fmax(most, power[i]);
    const int64_t left = number % (SHOWN / 2) * (TILE + GAP), top = number / (SHOWN / 2) * 2 * (TILE + GAP);
    put_tile(image, left, top, values, KERNEL, -largest, largest);
    put_tile(image, left, top + TILE + GAP, power, LARGE, 0, most);
}

static cbm_status draw(cbm_context *cx, const float *w, const char *run_dir, FILE *out)
{
    cbm_image image;
    if (!cbm_recipe_image(cx, "random-filters", SHOWN / 2 * (TILE + GAP) - GAP, 4 * (TILE + GAP) - GAP, 1, &image))
        return cbm_context_status(cx);
    for (int64_t i = 0; i < SHOWN; i++)
        put_filter(&image, w + i * KERNEL * KERNEL, i);
    static const char *const rows[] = { "filter", "spectrum", "filter", "spectrum" };
    const cbm_frame frame = { .title = "Random filters of 7x7 and the power of their frequencies",
                              .rows = rows,
                              .row_count = 4 };
    return cbm_recipe_keep_image(cx, "random-filters", &image, &frame, run_dir, "spectra.png", out);
}

/* ---- three networks ---- */

static cbm_module *linear_only(cbm_context *cx)
{
    return cbm_sequential(cx, cbm_nn_flatten(cx), cbm_nn_linear(cx, 784, 10));
}

static cbm_module *model(cbm_context *cx, cbm_dtype dtype)
{
    return cbm_sequential(cx, cbm_nn_conv2d(cx, 1, FILTERS, KERNEL, .dtype = dtype), cbm_nn_relu(cx),
                          cbm_nn_max_pool2d(cx, 2), cbm_nn_flatten(cx),
                          cbm_nn_linear(cx, FILTERS * 121, 10, .dtype = dtype), CBM_END);
}

/* Test accuracy after training what is trainable. */
static double score(cbm_module *net, const cbm_recipe_settings *s)
{
    cbm_context *cx = net->cx;
    cbm_optimizer *opt = cbm_sgd(net, .lr = s->lr, .momentum = 0.9);
    cbm_loader *train = cbm_loader_open(cbm_digits_limited(cx, s, CBM_TRAIN), .batch_size = s->batch_size,
                                        .shuffle = true, .workers = s->workers, .seed = s->seed);
    cbm_loader *test = cbm_loader_open(cbm_digits_limited(cx, s, CBM_TEST), .batch_size = 500);
    cbm_evaluation e = { .accuracy = NAN };
    cbm_status status =
        cbm_fit(net, NULL, .optimizer = opt, .train = train, .epochs = s->epochs, .max_steps = s->max_steps);
    if (cbm_recipe_ended(cx, s, status) == CBM_OK)
        cbm_evaluate(net, test, NULL, NULL, &e);
    return 100 * e.accuracy;
}

static cbm_status run(cbm_context *cx, const cbm_recipe_settings *s, FILE *out)
{
    cbm_seed(cx, s->seed);
    cbm_module *frozen = model(cx, CBM_F32), *trained = model(cx, CBM_F32), *plain = linear_only(cx);
    const float *small = cbm_tensor_data(cbm_parameter(frozen, "0.weight"));
    const float *large = cbm_tensor_data(cbm_normal(cx, CBM_F32, CBM_SHAPE(FILTERS, LARGE, LARGE), 0, 1));
    if (!small || !large)
        return cbm_context_status(cx);
    const selectivity a = mean_of(small, KERNEL, FILTERS), b = mean_of(large, LARGE, FILTERS / 4);
    fprintf(out, "random filters of %dx%d: %.0f %% of their power lies near one frequency, orientation %.2f\n", KERNEL,
            KERNEL, 100 * a.frequency, a.orientation);
    fprintf(out, "random filters of %dx%d: %.0f %% of their power lies near one frequency, orientation %.2f\n", LARGE,
            LARGE, 100 * b.frequency, b.orientation);
    if (s->run_dir && draw(cx, small, s->run_dir, out) != CBM_OK)
        return cbm_context_status(cx);
    cbm_module_set_trainable(cbm_child(frozen, "0"), false);
    const double of_pixels = score(plain, s), of_random = score(frozen, s), of_trained = score(trained, s);
    fprintf(out,
            "test accuracy: a linear layer on pixels %.2f %%, behind %d random filters %.2f %%, filters trained too "
            "%.2f %%\n",
            of_pixels, FILTERS, of_random, of_trained);
    cbm_recipe_measure(s, of_pixels, "pixels_test_accuracy");
    cbm_recipe_measure(s, of_random, "random_filters_test_accuracy");
    cbm_recipe_measure(s, of_trained, "trained_filters_test_accuracy");
    return cbm_context_status(cx);
}

const cbm_recipe cbm_recipe_random_filters = {
    .name = "random-filters",
    .summary = "small random filters prefer frequencies and orientations, and serve a linear layer well",
    .description =
        "The power spectra of 64 random filters of 7x7 are measured beside those of large ones and drawn\n"
        "(spectra.png, filters above their spectra). Then a linear layer learns digits from the pixels, from\n"
        "what the random filters give, and together with the filters.",
    .data = "mnist",
    .epochs = 3,
    .batch_size = 100,
    .lr = 0.01,
    .input = { { 3, 1, 28, 28 } },
    .classes = 10,
    .model = model,
    .run = run,
};
