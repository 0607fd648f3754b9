/* Transforms: what crop, flip and normalisation make of an image, for every size of element; the same batches for any
   number of workers and from a saved position on; a user's own functions; what is refused. */
#include <cambium/cambium.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { CHANNELS = 3, HEIGHT = 5, WIDTH = 11, PIXELS = CHANNELS * HEIGHT * WIDTH, SAMPLES = 600 };

/* Element i of sample s, never zero. */
static int value_of(int64_t s, int64_t i)
{
    return (int)(1 + (s * 31 + i * 7) % 250);
}

/* Images of that dtype; no targets. */
static cbm_dataset *images(cbm_context *cx, cbm_dtype dtype)
{
    size_t size = cbm_dtype_size(dtype);
    unsigned char *bytes = malloc((size_t)SAMPLES * PIXELS * size);
    assert_non_null(bytes);
    for (int64_t i = 0; i < (int64_t)SAMPLES * PIXELS; i++) {
        int v = value_of(i / PIXELS, i % PIXELS);
        unsigned char *at = bytes + (size_t)i * size;
        if (dtype == CBM_U8)
            *at = (unsigned char)v;
        else if (dtype == CBM_F32)
            memcpy(at, &(float){ (float)v }, size);
        else
            memcpy(at, &(int64_t){ v }, size);
    }
    CBM_SCOPE(scope, cx);
    cbm_dataset *d =
        cbm_dataset_tensors(cx, cbm_tensor_from(cx, dtype, CBM_SHAPE(SAMPLES, CHANNELS, HEIGHT, WIDTH), bytes), NULL);
    free(bytes);
    return d;
}

/* Element (c, y, x) of an image of that dtype. */
static double pixel(const void *data, cbm_dtype dtype, int c, int y, int x)
{
    size_t at = (size_t)((c * HEIGHT + y) * WIDTH + x);
    if (dtype == CBM_U8)
        return ((const unsigned char *)data)[at];
    return dtype == CBM_F32 ? (double)((const float *)data)[at] : (double)((const int64_t *)data)[at];
}

/* Is data sample s moved by (top, left), and mirrored afterwards if mirrored? */
static bool is_moved(const void *data, cbm_dtype dtype, int64_t s, int top, int left, bool mirrored)
{
    for (int c = 0; c < CHANNELS; c++)
        for (int y = 0; y < HEIGHT; y++)
            for (int x = 0; x < WIDTH; x++) {
                int from_y = y + top, from_x = x + left;
                bool inside = from_y >= 0 && from_y < HEIGHT && from_x >= 0 && from_x < WIDTH;
                double want = inside ? value_of(s, (c * HEIGHT + from_y) * WIDTH + from_x) : 0;
                if (fabs(pixel(data, dtype, c, y, mirrored ? WIDTH - 1 - x : x) - want) > 0)
                    return false;
            }
    return true;
}

static const void *read_one(cbm_dataset *d, int64_t index)
{
    cbm_tensor *input;
    assert_int_equal(cbm_dataset_get(d, index, &input, NULL), CBM_OK);
    return cbm_tensor_data(input);
}

static const cbm_dtype dtypes[] = { CBM_U8, CBM_F32, CBM_I64 };

static void test_crop(void **state)
{
    (void)state;
    enum { PADDING = 2, PLACES = 2 * PADDING + 1 };
    for (size_t k = 0; k < sizeof dtypes / sizeof *dtypes; k++) {
        cbm_context *cx = cbm_open(NULL);
        cbm_dataset *d = cbm_dataset_transform(images(cx, dtypes[k]), cbm_random_crop(PADDING));
        assert_int_equal(cbm_dataset_input_dtype(d), dtypes[k]);
        int met[PLACES][PLACES] = { 0 };
        for (int64_t s = 0; s < SAMPLES; s++) {
            CBM_SCOPE(scope, cx);
            const void *data = read_one(d, s);
            int found = 0;
            for (int top = -PADDING; top <= PADDING; top++)
                for (int left = -PADDING; left <= PADDING; left++)
                    if (is_moved(data, dtypes[k], s, top, left, false)) {
                        met[top + PADDING][left + PADDING]++;
                        found++;
                    }
            assert_int_equal(found, 1);
        }
        for (int i = 0; i < PLACES * PLACES; i++) /* 24 each are expected; six deviations away is 1 in a billion */
            assert_in_range(met[i / PLACES][i % PLACES], 1, 53);
        cbm_close(cx);
    }
}

static void test_crop_beyond(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_dataset *d = cbm_dataset_transform(images(cx, CBM_U8), cbm_random_crop(40));
    int empty = 0;
    for (int64_t s = 0; s < SAMPLES; s++) {
        CBM_SCOPE(scope, cx);
        const void *data = read_one(d, s);
        bool found = false;
        for (int top = -40; top <= 40 && !found; top++)
            for (int left = -40; left <= 40 && !found; left++)
                found = is_moved(data, CBM_U8, s, top, left, false);
        assert_true(found);
        empty += is_moved(data, CBM_U8, s, HEIGHT, 0, false);
    }
    assert_in_range(empty, SAMPLES / 2, SAMPLES - 1);
    cbm_close(cx);
}

static void test_flip(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof dtypes / sizeof *dtypes; k++) {
        cbm_context *cx = cbm_open(NULL);
        cbm_dataset *d = cbm_dataset_transform(images(cx, dtypes[k]), cbm_random_flip());
        int mirrored = 0;
        for (int64_t s = 0; s < SAMPLES; s++) {
            CBM_SCOPE(scope, cx);
            const void *data = read_one(d, s);
            bool is = is_moved(data, dtypes[k], s, 0, 0, true);
            assert_true(is != is_moved(data, dtypes[k], s, 0, 0, false));
            mirrored += is;
        }
        assert_in_range(mirrored, 300 - 75, 300 + 75);
        cbm_close(cx);
    }
}

static void test_normalize(void **state)
{
    (void)state;
    static const double mean[] = { 0.25, 0.5, 0.75 }, deviation[] = { 0.5, 2, 0.125 };
    for (int channels = 1; channels <= CHANNELS; channels += 2)
        for (size_t k = 0; k < 2; k++) {
            cbm_context *cx = cbm_open(NULL);
            cbm_dataset *d = cbm_dataset_transform(images(cx, dtypes[k]), cbm_normalize(channels, mean, deviation));
            assert_int_equal(cbm_dataset_input_dtype(d), CBM_F32);
            double full = dtypes[k] == CBM_U8 ? 255 : 1;
            for (int64_t s = 0; s < 3; s++) {
                const float *data = read_one(d, s);
                for (int i = 0; i < PIXELS; i++) {
                    int c = channels == 1 ? 0 : i / (HEIGHT * WIDTH);
                    double want = (value_of(s, i) / full - mean[c]) / deviation[c];
                    assert_true(fabs((double)data[i] - want) <= 1e-6 * (1 + fabs(want)));
                }
            }
            cbm_close(cx);
        }
}

/* ---- repeatable ---- */

static cbm_dataset *augmented(cbm_context *cx)
{
    static const double mean[] = { 0.5 }, deviation[] = { 0.25 };
    return cbm_dataset_transform(images(cx, CBM_U8), cbm_random_crop(2), cbm_random_flip(),
                                 cbm_normalize(1, mean, deviation));
}

static uint64_t hash(uint64_t h, const cbm_tensor *t)
{
    const unsigned char *bytes = cbm_tensor_data((cbm_tensor *)(uintptr_t)t);
    size_t size = (size_t)cbm_tensor_count(t) * cbm_dtype_size(cbm_tensor_dtype(t));
    for (size_t i = 0; i < size; i++)
        h = (h ^ bytes[i]) * 0x100000001b3u;
    return h;
}

enum { BATCHES = 19 }; /* of 32 in an epoch */

static void epoch_of(cbm_loader *l, uint64_t out[BATCHES])
{
    int n = 0;
    for (cbm_batch b; cbm_next(l, &b); n++)
        out[n] = hash(0xcbf29ce484222325u, b.input);
    assert_int_equal(n, BATCHES);
}

static void test_repeatable(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_dataset *d = augmented(cx);
    uint64_t want[3][BATCHES], got[BATCHES];
    cbm_loader *l = cbm_loader_open(d, .batch_size = 32, .shuffle = true, .seed = 5, .workers = 0);
    for (int e = 0; e < 3; e++)
        epoch_of(l, want[e]);
    static const int64_t workers[] = { 1, 2, 3, 8 };
    for (size_t w = 0; w < 4; w++) {
        cbm_loader *m = cbm_loader_open(d, .batch_size = 32, .shuffle = true, .seed = 5, .workers = workers[w]);
        for (int e = 0; e < 3; e++) {
            epoch_of(m, got);
            assert_memory_equal(got, want[e], sizeof got);
        }
        /* From a position in the middle of the second epoch. */
        cbm_loader_position p = cbm_loader_state(m);
        p.epoch = 1;
        p.batch = 7;
        assert_int_equal(cbm_loader_set_state(m, &p), CBM_OK);
        for (int i = 7; i < BATCHES; i++) {
            cbm_batch b;
            assert_true(cbm_next(m, &b));
            assert_true(hash(0xcbf29ce484222325u, b.input) == want[1][i]);
        }
        cbm_loader_close(m);
    }
    /* Unshuffled, an epoch differs from the next by its augmentation alone, and a seed from another. */
    cbm_loader *a = cbm_loader_open(d, .batch_size = 32, .seed = 5),
               *b = cbm_loader_open(d, .batch_size = 32, .seed = 6);
    epoch_of(a, want[0]);
    epoch_of(a, want[1]);
    epoch_of(b, got);
    assert_memory_not_equal(want[0], want[1], sizeof got);
    assert_memory_not_equal(want[0], got, sizeof got);
    cbm_close(cx);
}

/* Batches that pass by take no memory and ask the allocator for nothing. */
static void test_steady(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_loader *l = cbm_loader_open(augmented(cx), .batch_size = 32, .shuffle = true, .workers = 2);
    uint64_t unused[BATCHES];
    for (int e = 0; e < 3; e++)
        epoch_of(l, unused);
    cbm_statistics before = cbm_context_statistics(cx);
    for (int e = 0; e < 20; e++)
        epoch_of(l, unused);
    cbm_statistics after = cbm_context_statistics(cx);
#ifndef CBM_PLAIN_HEAP /* where each block is one of the allocator's */
    assert_int_equal(after.allocations, before.allocations);
#endif
    assert_true(after.bytes_now <= before.bytes_now);
    cbm_close(cx);
}

/* The same transform twice, in one list or in two datasets, draws different numbers. */
static void test_places(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_dataset *plain = images(cx, CBM_U8);
    cbm_dataset *once = cbm_dataset_transform(plain, cbm_random_flip());
    cbm_dataset *list = cbm_dataset_transform(plain, cbm_random_flip(), cbm_random_flip());
    cbm_dataset *nested = cbm_dataset_transform(cbm_dataset_part(once, 0, SAMPLES), cbm_random_flip());
    cbm_dataset *part = cbm_dataset_part(once, 100, 50);
    int twice = 0;
    for (int64_t s = 0; s < SAMPLES; s++) {
        CBM_SCOPE(scope, cx);
        const void *in_list = read_one(list, s), *in_nested = read_one(nested, s);
        assert_memory_equal(in_list, in_nested, PIXELS);
        twice += is_moved(in_list, CBM_U8, s, 0, 0, false);
        if (s < 50)
            assert_memory_equal(read_one(part, s), read_one(once, 100 + s), PIXELS);
    }
    assert_in_range(twice, 225, 375);
    cbm_close(cx);
}

/* ---- a user's own ---- */

typedef struct halves {
    int64_t bad;
} halves;

/* u8 (C, H, W) to the f32 sum of each channel. */
static cbm_status sums(const cbm_transform *self, const cbm_transform_call *call)
{
    const halves *h = self->user;
    if (call->index == h->bad)
        return CBM_ERROR_RANGE;
    if (call->index == h->bad + 1)
        return strcpy(call->message, "the picture is %s black"), CBM_ERROR_FORMAT;
    assert_int_equal(call->in_dtype, CBM_U8);
    assert_int_equal(call->out_dtype, CBM_F32);
    for (int c = 0; c < CHANNELS; c++) {
        int sum = 0;
        for (int i = 0; i < HEIGHT * WIDTH; i++)
            sum += ((const unsigned char *)call->in)[c * HEIGHT * WIDTH + i];
        ((float *)call->out)[c] = (float)(sum * self->parameters[0]);
    }
    return CBM_OK;
}

static cbm_status sums_result(const cbm_transform *self, cbm_shape *shape, cbm_dtype *dtype, char *message)
{
    (void)self;
    if (shape->v[0] != 3)
        return strcpy(message, "needs planes"), CBM_ERROR_SHAPE;
    *shape = CBM_SHAPE(shape->v[1]);
    *dtype = CBM_F32;
    return CBM_OK;
}

static void test_own(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    halves h = { 40 };
    cbm_transform own = { "sums", sums, sums_result, { 0.5 }, &h };
    cbm_dataset *d = cbm_dataset_transform(images(cx, CBM_U8), cbm_random_flip(), own);
    cbm_shape shape = cbm_dataset_input_shape(d);
    assert_true(cbm_shape_equal(&shape, &CBM_SHAPE(CHANNELS)));
    cbm_loader *l = cbm_loader_open(d, .batch_size = 20);
    cbm_batch b;
    for (int n = 0; n < 2; n++) {
        assert_true(cbm_next(l, &b));
        const float *x = cbm_tensor_data(b.input);
        for (int i = 0; i < 20 * CHANNELS; i++) {
            int64_t s = b.samples[i / CHANNELS], sum = 0;
            for (int k = 0; k < HEIGHT * WIDTH; k++)
                sum += value_of(s, i % CHANNELS * HEIGHT * WIDTH + k);
            assert_true(fabs((double)x[i] - 0.5 * (double)sum) < 1e-3);
        }
    }
    assert_false(cbm_next(l, &b));
    assert_int_equal(cbm_context_status(cx), CBM_ERROR_RANGE);
    assert_non_null(strstr(cbm_message(cx), "sample 40"));
    assert_non_null(strstr(cbm_message(cx), "transform 'sums'"));
    cbm_clear(cx);
    cbm_tensor *one;
    assert_int_equal(cbm_dataset_get(d, 41, &one, NULL), CBM_ERROR_FORMAT);
    assert_non_null(strstr(cbm_message(cx), "the picture is %s black"));
    cbm_clear(cx);
    assert_null(cbm_dataset_transform(d, own));
    assert_non_null(strstr(cbm_message(cx), "needs planes"));
    cbm_close(cx);
}

static void expect_refused(cbm_context *cx, cbm_dataset *d, cbm_status status, const char *part)
{
    assert_null(d);
    assert_int_equal(cbm_context_status(cx), status);
    if (!strstr(cbm_message(cx), part))
        fail_msg("'%s' is not in the message: %s", part, cbm_message(cx));
    cbm_clear(cx);
}

static cbm_status wild_shape(const cbm_transform *self, cbm_shape *shape, cbm_dtype *dtype, char *message)
{
    (void)self;
    (void)dtype;
    (void)message;
    *shape = CBM_SHAPE(INT64_MAX, INT64_MAX);
    return CBM_OK;
}

static void test_refused(void **state)
{
    (void)state;
    static const double three[] = { 1, 1, 1 }, zero[] = { 0, 0, 0 }, wild[] = { NAN };
    cbm_context *cx = cbm_open(NULL);
    cbm_dataset *d = images(cx, CBM_U8);
    const cbm_transform none = { .name = "none" }, big = { .name = "big", .apply = sums, .result = wild_shape };
    expect_refused(cx, cbm_dataset_transform(d, cbm_random_crop(-1)), CBM_ERROR_INVALID, "padding");
    expect_refused(cx, cbm_dataset_transform(d, cbm_normalize(2, three, three)), CBM_ERROR_SHAPE, "2 channels");
    expect_refused(cx, cbm_dataset_transform(d, cbm_normalize(3, three, zero)), CBM_ERROR_INVALID, "deviation");
    expect_refused(cx, cbm_dataset_transform(d, cbm_normalize(1, wild, three)), CBM_ERROR_INVALID, "finite");
    expect_refused(cx, cbm_dataset_transform(d, cbm_normalize(9, three, three)), CBM_ERROR_INVALID, "channels");
    expect_refused(cx, cbm_dataset_transform(d, cbm_normalize(3, NULL, three)), CBM_ERROR_INVALID, "channels");
    expect_refused(cx, cbm_dataset_transform(images(cx, CBM_I64), cbm_normalize(1, three, three)), CBM_ERROR_DTYPE,
                   "i64");
    expect_refused(cx, cbm_dataset_transform(d, none), CBM_ERROR_INVALID, "no function");
    expect_refused(cx, cbm_dataset_transform(d, big), CBM_ERROR_SHAPE, "'big'");
    expect_refused(cx, cbm_dataset_transform_with(d, NULL, 1), CBM_ERROR_INVALID, "NULL");
    assert_null(cbm_dataset_transform(NULL, cbm_random_flip()));
    cbm_dataset *same = cbm_dataset_transform_with(d, NULL, 0);
    assert_memory_equal(read_one(same, 3), read_one(d, 3), PIXELS);
    assert_int_equal(cbm_context_status(cx), CBM_OK);
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crop),      cmocka_unit_test(test_crop_beyond), cmocka_unit_test(test_flip),
        cmocka_unit_test(test_normalize), cmocka_unit_test(test_repeatable),  cmocka_unit_test(test_steady),
        cmocka_unit_test(test_places),    cmocka_unit_test(test_own),         cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
