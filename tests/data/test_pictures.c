/* Transforms of pictures against torchvision's stored values (picture_values.h), as u8 and as f32; holes and noise by what
   they promise; the same for any number of workers; what is refused. */
#include <cambium/cambium.h>

#include "picture_values.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

enum { CHANNELS = 3, HEIGHT = 6, WIDTH = 7, PLANE = HEIGHT * WIDTH, PIXELS = CHANNELS * PLANE };

/* The picture of make_pictures.py, samples times, in u8 or in parts of 255 in f32. */
static cbm_dataset *pictures(cbm_context *cx, cbm_dtype dtype, int64_t samples)
{
    CBM_SCOPE(scope, cx);
    uint8_t bytes[PIXELS];
    for (int i = 0; i < PIXELS; i++) {
        int c = i / PLANE, y = i / WIDTH % HEIGHT, x = i % WIDTH;
        bytes[i] = (uint8_t)((c * 67 + y * 31 + x * 17 + x * y * 5) % 256);
    }
    cbm_tensor *t = cbm_tensor_from(cx, CBM_U8, CBM_SHAPE(1, CHANNELS, HEIGHT, WIDTH), bytes);
    if (dtype == CBM_F32)
        t = cbm_div(cbm_cast(t, CBM_F32), cbm_scalar(cx, CBM_F32, 255));
    return cbm_dataset_tensors(cx, cbm_repeat(t, CBM_SHAPE(samples, 1, 1, 1)), NULL);
}

static void expect_values(cbm_transform transform, const double *want, size_t count, double tolerance)
{
    static const cbm_dtype dtypes[] = { CBM_F32, CBM_U8 };
    for (int k = 0; k < 2; k++) {
        cbm_context *cx = cbm_open(NULL);
        cbm_tensor *input = NULL;
        cbm_dataset *d = cbm_dataset_transform(pictures(cx, dtypes[k], 1), transform);
        cbm_dataset_get(d, 0, &input, NULL);
        if (cbm_context_status(cx) != CBM_OK)
            fail_msg("%s", cbm_message(cx));
        assert_int_equal(cbm_tensor_count(input), count);
        assert_int_equal(cbm_tensor_dtype(input), dtypes[k]);
        const float *values = cbm_tensor_data(cbm_cast(input, CBM_F32));
        double full = k ? 255 : 1, step = k ? 0.51 : 0;
        for (size_t i = 0; i < count; i++)
            if (fabs((double)values[i] - full * want[i]) > step + full * tolerance)
                fail_msg("%s, %s: element %d is %g, wanted %g", transform.name, cbm_dtype_name(dtypes[k]), (int)i,
                         (double)values[i], full * want[i]);
        cbm_close(cx);
    }
}

#define EXPECT_VALUES(transform, want, tolerance)                                                                      \
    expect_values(transform, want, sizeof(want) / sizeof *(want), tolerance)

static void test_drawn(void **state)
{
    (void)state;
    const cbm_transform_call first = { 0 };
    for (size_t i = 0; i < sizeof drawn / sizeof *drawn; i++)
        assert_true(fabs((double)cbm_transform_random(&first, (int64_t)i, INT64_C(1) << 53) * 0x1p-53 - drawn[i]) <
                    1e-15);
}

static void test_against_torchvision(void **state)
{
    (void)state;
    EXPECT_VALUES(cbm_resize(4, 3), resized_smaller, 1e-6);
    EXPECT_VALUES(cbm_resize(9, 12), resized_larger, 1e-6);
    EXPECT_VALUES(cbm_resize(1, 1), resized_one, 1e-6);
    EXPECT_VALUES(cbm_center_crop(4, 10), centre, 1e-6);
    EXPECT_VALUES(cbm_random_affine(30, 0.2, 0.8, 1.2, 20), warped_affine, 1e-5);
    EXPECT_VALUES(cbm_random_perspective(0.5, 1), warped_perspective, 1e-5);
    EXPECT_VALUES(cbm_color_jitter(0.4, 0.4, 0.4, 0.2), jittered,
                  1e-3); /* torchvision's red weighs 0.2989, not 0.299 */
    EXPECT_VALUES(cbm_gaussian_blur(0.8, 0.8), blurred, 1e-6);
}

/* RandAugment: each of the changes is drawn as often as the others, and is what torchvision makes of the picture. */
static void test_rand_augment(void **state)
{
    (void)state;
    enum { CHANGES = 14, DRAWS = 2800 };
    int met[2 * CHANGES] = { 0 };
    cbm_context *cx = cbm_open(NULL);
    cbm_dataset *d = cbm_dataset_transform(pictures(cx, CBM_U8, DRAWS), cbm_rand_augment(0.6));
    for (int64_t s = 0; s < DRAWS; s++) {
        CBM_SCOPE(scope, cx);
        const cbm_transform_call call = { .index = s };
        int64_t which = cbm_transform_random(&call, 0, CHANGES) + CHANGES * cbm_transform_random(&call, 1, 2);
        cbm_tensor *input = NULL;
        assert_int_equal(cbm_dataset_get(d, s, &input, NULL), CBM_OK);
        const uint8_t *values = cbm_tensor_data(input);
        met[which]++;
        for (int i = 0; i < PIXELS; i++) {
            double want = 255 * augmented[which * PIXELS + i];
            if (fabs(values[i] - want) > 1.01) /* torchvision cuts levels where this rounds */
                fail_msg("change %d: element %d is %d, wanted %g", (int)which, i, values[i], want);
        }
    }
    for (int i = 0; i < 2 * CHANGES; i++)
        assert_in_range(met[i], 40, 160);
    cbm_close(cx);
}

enum { SAMPLES = 400 };

/* Zeros of a plane of the white f32 pictures that a transform makes holes into; the same in all planes. */
static int zeros(const float *data)
{
    int n = 0;
    for (int i = 0; i < PLANE; i++) {
        assert_true((data[i] <= 0) == (data[i + PLANE] <= 0) && (data[i] <= 0) == (data[i + 2 * PLANE] <= 0));
        n += data[i] <= 0;
    }
    return n;
}

static cbm_dataset *white(cbm_context *cx)
{
    CBM_SCOPE(scope, cx);
    return cbm_dataset_tensors(cx, cbm_ones(cx, CBM_F32, CBM_SHAPE(SAMPLES, CHANNELS, HEIGHT, WIDTH)), NULL);
}

static void test_holes(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_dataset *erased = cbm_dataset_transform(white(cx), cbm_random_erasing(0.5, 0.1, 0.4));
    cbm_dataset *cut = cbm_dataset_transform(white(cx), cbm_cutout(4));
    int untouched = 0, whole = 0;
    for (int64_t s = 0; s < SAMPLES; s++) {
        CBM_SCOPE(scope, cx);
        cbm_tensor *input = NULL;
        assert_int_equal(cbm_dataset_get(erased, s, &input, NULL), CBM_OK);
        int n = zeros(cbm_tensor_data(input));
        untouched += n == 0;
        assert_true(n == 0 || (n >= 2 && n <= 24)); /* 4.2 to 16.8 of 42 before sides are rounded */
        assert_int_equal(cbm_dataset_get(cut, s, &input, NULL), CBM_OK);
        n = zeros(cbm_tensor_data(input));
        assert_in_range(n, 4, 16);
        whole += n == 16;
    }
    assert_in_range(untouched, 200 - 60, 200 + 60);
    assert_in_range(whole, 400 * 12 / 42 - 54, 400 * 12 / 42 + 54); /* the middle has 3 x 4 of the 42 places */
    cbm_close(cx);
}

static void test_noise(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_dataset *d = cbm_dataset_transform(white(cx), cbm_gaussian_noise(0.25));
    double sum = 0, squares = 0, n = (double)SAMPLES * PIXELS;
    for (int64_t s = 0; s < SAMPLES; s++) {
        CBM_SCOPE(scope, cx);
        cbm_tensor *input = NULL;
        assert_int_equal(cbm_dataset_get(d, s, &input, NULL), CBM_OK);
        const float *data = cbm_tensor_data(input);
        for (int i = 0; i < PIXELS; i++) {
            double x = (double)data[i] - 1;
            sum += x;
            squares += x * x;
        }
    }
    assert_true(fabs(sum / n) < 6 * 0.25 / sqrt(n));
    assert_true(fabs(sqrt(squares / n) - 0.25) < 6 * 0.25 / sqrt(2 * n));
    cbm_close(cx);
}

/* All of them in a row: finite values between 0 and 1 (noise apart), and the same for any number of workers. */
static void test_repeatable(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_dataset *d = cbm_dataset_transform(
        pictures(cx, CBM_U8, 60), cbm_random_resized_crop(9, 8, 0.3, 1), cbm_random_affine(40, 0.3, 0.5, 2, 30),
        cbm_random_perspective(0.6, 0.7), cbm_random_rotation(15), cbm_color_jitter(1, 1, 1, 0.5),
        cbm_gaussian_blur(0.1, 2), cbm_gaussian_noise(0.1), cbm_random_erasing(0.5, 0.1, 1), cbm_cutout(3));
    cbm_loader *one = cbm_loader_open(d, .batch_size = 8, .workers = 0, .seed = 3);
    cbm_loader *two = cbm_loader_open(d, .batch_size = 8, .workers = 2, .seed = 3);
    cbm_batch a, b;
    int different = 0, batches = 0;
    for (; cbm_next(one, &a) && cbm_next(two, &b); batches++) {
        size_t bytes = (size_t)cbm_tensor_count(a.input);
        const uint8_t *first = cbm_tensor_data(a.input);
        assert_memory_equal(first, cbm_tensor_data(b.input), bytes);
        different += memcmp(first, first + bytes / (size_t)a.size, bytes / (size_t)a.size) != 0;
    }
    assert_int_equal(batches, 8);
    assert_int_equal(different, 8);
    assert_int_equal(cbm_context_status(cx), CBM_OK);
    cbm_close(cx);
}

/* ---- mixed batches ---- */

/* Sample s is all s + 1; its class is s % 3. */
static cbm_dataset *steps(cbm_context *cx)
{
    enum { COUNT = 6, SIZE = 2 * 8 * 8 };
    CBM_SCOPE(scope, cx);
    float values[COUNT * SIZE];
    int64_t classes[COUNT];
    for (int i = 0; i < COUNT * SIZE; i++)
        values[i] = (float)(i / SIZE + 1);
    for (int i = 0; i < COUNT; i++)
        classes[i] = i % 3;
    return cbm_dataset_tensors(cx, cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(COUNT, 2, 8, 8), values),
                               cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(COUNT), classes));
}

/* Shares of 600 batches; every pixel and class is what its share says. */
static void expect_mixed(cbm_mixed (*how)(const cbm_batch *, int64_t, double, uint64_t), double alpha, bool cut,
                         double *mean, double *mean_square)
{
    cbm_context *cx = cbm_open(NULL);
    cbm_loader *l = cbm_loader_open(steps(cx), .batch_size = 3, .workers = 0);
    int n = 0;
    *mean = *mean_square = 0;
    for (int epoch = 0; epoch < 300; epoch++)
        for (cbm_batch b; cbm_next(l, &b); n++) {
            CBM_SCOPE(scope, cx);
            cbm_mixed m = how(&b, 4, alpha, 7), again = how(&b, 4, alpha, 7);
            assert_true(fabs(m.share - again.share) <= 0 && m.share >= 0 && m.share <= 1);
            const float *x = cbm_tensor_data(m.input), *t = cbm_tensor_data(m.target);
            for (int i = 0; i < 3; i++) {
                double own = (double)(b.samples[i] + 1), other = (double)(b.samples[(i + 2) % 3] + 1), sum = 0;
                for (int k = 0; k < 128; k++) {
                    double v = (double)x[i * 128 + k];
                    sum += v;
                    if (cut)
                        assert_true(fabs(v - own) < 1e-6 || fabs(v - other) < 1e-6);
                    else
                        assert_true(fabs(v - m.share * own - (1 - m.share) * other) < 1e-5);
                }
                assert_true(fabs(sum / 128 - m.share * own - (1 - m.share) * other) < 1e-5);
                for (int c = 0; c < 4; c++) {
                    double want = m.share * (b.samples[i] % 3 == c) + (1 - m.share) * (b.samples[(i + 2) % 3] % 3 == c);
                    assert_true(fabs((double)t[i * 4 + c] - want) < 1e-6);
                }
            }
            *mean += m.share / 600;
            *mean_square += m.share * m.share / 600;
        }
    assert_int_equal(n, 600);
    assert_int_equal(cbm_context_status(cx), CBM_OK);
    cbm_close(cx);
}

static void test_mixed(void **state)
{
    (void)state;
    static const double alphas[] = { 0.2, 1, 4 };
    double mean, square;
    for (int k = 0; k < 3; k++) { /* Beta(a, a) has mean 1/2 and variance 1 / (4 (2 a + 1)) */
        expect_mixed(cbm_mixup, alphas[k], false, &mean, &square);
        double variance = 1 / (4 * (2 * alphas[k] + 1));
        assert_true(fabs(mean - 0.5) < 5 * sqrt(variance / 600));
        assert_true(fabs(square - mean * mean - variance) < 0.15 * variance + 0.01);
    }
    expect_mixed(cbm_cutmix, 1, true, &mean, &square);
    assert_true(mean > 0.5 && mean < 0.8); /* the part that sticks out is not cut */
}

static void test_mixed_refused(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_loader *l = cbm_loader_open(steps(cx), .batch_size = 3, .workers = 0);
    cbm_batch b;
    assert_true(cbm_next(l, &b));
    assert_ptr_equal(cbm_mixup(&b, 3, 0, 1).input, b.input);
    assert_string_equal(cbm_message(cx), "[mixup] alpha is 0; more than 0 and at most 1000 is possible");
    cbm_clear(cx);
    cbm_cutmix(&b, 0, 1, 1);
    assert_non_null(strstr(cbm_message(cx), "[cutmix] needs class numbers (N) as targets"));
    cbm_clear(cx);
    cbm_batch floats = b;
    floats.target = cbm_ones(cx, CBM_F32, CBM_SHAPE(3));
    assert_ptr_equal(cbm_mixup(&floats, 3, 1, 1).input, b.input);
    assert_non_null(strstr(cbm_message(cx), "[mixup] needs class numbers (N) as targets, i64"));
    cbm_clear(cx);
    b.input = cbm_cast(b.input, CBM_U8);
    cbm_mixup(&b, 3, 1, 1);
    assert_int_equal(cbm_context_status(cx), CBM_ERROR_DTYPE);
    cbm_clear(cx);
    b.input = cbm_ones(cx, CBM_F32, CBM_SHAPE(3, 4));
    cbm_cutmix(&b, 3, 1, 1);
    assert_non_null(strstr(cbm_message(cx), "[cutmix] inputs have 2 axes; needs (N, ..., height, width)"));
    cbm_close(cx);
}

static void test_refused(void **state)
{
    (void)state;
    const struct {
        cbm_transform transform;
        cbm_status status;
        const char *message;
    } cases[] = {
        { cbm_resize(0, 4), CBM_ERROR_INVALID, "height and width must be 1 to 65536" },
        { cbm_center_crop(4, 1 << 20), CBM_ERROR_INVALID, "height and width must be 1 to 65536" },
        { cbm_random_resized_crop(4, 4, 0.5, 0.2), CBM_ERROR_INVALID, "0 < low <= high <= 1" },
        { cbm_random_rotation(-1), CBM_ERROR_INVALID, "degrees must be 0 to 360" },
        { cbm_random_affine(0, 2, 1, 1, 0), CBM_ERROR_INVALID, "translate is a part of the sides" },
        { cbm_random_affine(0, 0, 0, 1, 0), CBM_ERROR_INVALID, "scales must satisfy" },
        { cbm_random_affine(0, 0, 1, 1, 90), CBM_ERROR_INVALID, "shear must be" },
        { cbm_random_perspective(1, 0.5), CBM_ERROR_INVALID, "distortion must be" },
        { cbm_random_perspective(0.5, NAN), CBM_ERROR_INVALID, "a probability is 0 to 1" },
        { cbm_color_jitter(-1, 0, 0, 0), CBM_ERROR_INVALID, "must be at least 0" },
        { cbm_color_jitter(0, 0, 0, 0.6), CBM_ERROR_INVALID, "hue must be 0 to 0.5" },
        { cbm_gaussian_noise(NAN), CBM_ERROR_INVALID, "a deviation must be at least 0" },
        { cbm_gaussian_blur(1, 100), CBM_ERROR_INVALID, "0 < low <= high <= 64" },
        { cbm_random_erasing(2, 0.1, 0.2), CBM_ERROR_INVALID, "a probability is 0 to 1" },
        { cbm_random_erasing(1, 0, 0.2), CBM_ERROR_INVALID, "0 < low <= high <= 1" },
        { cbm_rand_augment(1.5), CBM_ERROR_INVALID, "the magnitude must be 0 to 1" },
        { cbm_cutout(-1), CBM_ERROR_INVALID, "the side must be" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cbm_context *cx = cbm_open(NULL);
        assert_null(cbm_dataset_transform(pictures(cx, CBM_U8, 1), cases[i].transform));
        assert_int_equal(cbm_context_status(cx), cases[i].status);
        if (!strstr(cbm_message(cx), cases[i].message))
            fail_msg("'%s' does not say '%s'", cbm_message(cx), cases[i].message);
        cbm_close(cx);
    }
    cbm_context *cx = cbm_open(NULL);
    cbm_dataset *flat = cbm_dataset_tensors(cx, cbm_ones(cx, CBM_F32, CBM_SHAPE(2, 5)), NULL);
    assert_null(cbm_dataset_transform(flat, cbm_resize(2, 2)));
    assert_non_null(strstr(cbm_message(cx), "needs (..., height, width)"));
    cbm_clear(cx);
    cbm_dataset *grey = cbm_dataset_tensors(cx, cbm_ones(cx, CBM_F32, CBM_SHAPE(2, 1, 5, 5)), NULL);
    assert_null(cbm_dataset_transform(grey, cbm_color_jitter(0, 0, 1, 0)));
    assert_non_null(strstr(cbm_message(cx), "needs (3, height, width)"));
    cbm_clear(cx);
    assert_non_null(cbm_dataset_transform(grey, cbm_color_jitter(1, 1, 0, 0)));
    cbm_dataset *integers = cbm_dataset_tensors(cx, cbm_ones(cx, CBM_I64, CBM_SHAPE(2, 5, 5)), NULL);
    assert_null(cbm_dataset_transform(integers, cbm_gaussian_blur(1, 1)));
    assert_int_equal(cbm_context_status(cx), CBM_ERROR_DTYPE);
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drawn),         cmocka_unit_test(test_against_torchvision),
        cmocka_unit_test(test_holes),         cmocka_unit_test(test_noise),
        cmocka_unit_test(test_repeatable),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_rand_augment),  cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_mixed_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
