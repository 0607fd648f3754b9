/* test_create.c: tensors made of nothing: numbers in a row, identity matrices, tensors like others, random ones. Values, counts,
   errors; of random numbers the distribution, and that they depend on the seed alone. */
#define CBM_NO_CALL_SITES
#include "support/cases.h"
#include <cambium/cambium.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void holds(cbm_tensor *t, int64_t count, const double *want, double tolerance)
{
    const double *got = cbm_tensor_data(cbm_cast(t, CBM_F64));
    assert_int_equal(cbm_tensor_count(t), count);
    for (int64_t i = 0; i < count; i++)
        assert_true(fabs(got[i] - want[i]) <= tolerance * (1 + fabs(want[i])));
}

static void rows(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    holds(cbm_arange(cx, CBM_F32, 0, 5, 1), 5, (double[]){ 0, 1, 2, 3, 4 }, 0);
    holds(cbm_arange(cx, CBM_F64, 1, 2, 0.25), 4, (double[]){ 1, 1.25, 1.5, 1.75 }, 0);
    holds(cbm_arange(cx, CBM_F64, 1, 2.01, 0.25), 5, (double[]){ 1, 1.25, 1.5, 1.75, 2 }, 0);
    holds(cbm_arange(cx, CBM_I64, 5, -3, -3), 3, (double[]){ 5, 2, -1 }, 0);
    holds(cbm_arange(cx, CBM_I32, 3, 3, 1), 0, NULL, 0);
    holds(cbm_arange(cx, CBM_U8, 250, 256, 2), 3, (double[]){ 250, 252, 254 }, 0);
    holds(cbm_arange(cx, CBM_BF16, 0, 3, 1), 3, (double[]){ 0, 1, 2 }, 0);
    holds(cbm_linspace(cx, CBM_F64, -1, 1, 5), 5, (double[]){ -1, -0.5, 0, 0.5, 1 }, 0);
    holds(cbm_linspace(cx, CBM_F32, 4, 4, 3), 3, (double[]){ 4, 4, 4 }, 0);
    holds(cbm_linspace(cx, CBM_F32, 4, 9, 1), 1, (double[]){ 4 }, 0);
    holds(cbm_linspace(cx, CBM_F32, 4, 9, 0), 0, NULL, 0);
    const double *ends = cbm_tensor_data(cbm_linspace(cx, CBM_F64, 0.1, 0.7, 1000));
    assert_true(ends[0] == 0.1 && ends[999] == 0.7); /* both exactly */
    holds(cbm_logspace(cx, CBM_F64, -2, 2, 5, 10), 5, (double[]){ 0.01, 0.1, 1, 10, 100 }, 1e-12);
    holds(cbm_logspace(cx, CBM_F32, 0, 3, 4, 2), 4, (double[]){ 1, 2, 4, 8 }, 1e-6);
    holds(cbm_eye(cx, CBM_F32, 2, 3), 6, (double[]){ 1, 0, 0, 0, 1, 0 }, 0);
    holds(cbm_eye(cx, CBM_BOOL, 2, 2), 4, (double[]){ 1, 0, 0, 1 }, 0);
    holds(cbm_eye(cx, CBM_F32, 0, 3), 0, NULL, 0);
    cbm_tensor *x = cbm_arange(cx, CBM_BF16, 0, 6, 1), *y = cbm_full_like(cbm_reshape(x, CBM_SHAPE(2, 3)), 7);
    assert_int_equal(cbm_tensor_dtype(y), CBM_BF16);
    assert_int_equal(cbm_tensor_size(y, 1), 3);
    holds(y, 6, (double[]){ 7, 7, 7, 7, 7, 7 }, 0);
    holds(cbm_zeros_like(x), 6, (double[6]){ 0 }, 0);
    holds(cbm_ones_like(x), 6, (double[]){ 1, 1, 1, 1, 1, 1 }, 0);
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
}

/* A range whose start moves is one plan. */
/* What threads share is what one makes on the reference; of wrong probabilities the first is named. */
static void long_rows(void **state)
{
    (void)state;
    enum { N = 300001 };
    static double number[2][4][N];
    for (int device = 0; device < 2; device++) {
        cbm_context *cx = cbm_open_with(.device = device ? "cpu" : "reference", .threads = 3);
        cbm_tensor *const rows[] = { cbm_arange(cx, CBM_F32, -7, N - 7, 1), cbm_arange(cx, CBM_I64, 3 * N, 0, -3),
                                     cbm_linspace(cx, CBM_F64, -1, 2, N), cbm_arange(cx, CBM_I32, 0, N, 1) };
        for (int i = 0; i < 4; i++)
            assert_int_equal(cbm_read(cbm_cast(rows[i], CBM_F64), number[device][i], sizeof number[device][i]), CBM_OK);
        for (int wide = 0; wide < 2; wide++) {
            cbm_tensor *i = cbm_arange(cx, wide ? CBM_F64 : CBM_F32, 0, N, 1);
            cbm_tensor *p = cbm_mul_scalar(i, 1 / 200000.0); /* above 1 from 200001 on */
            assert_true(isnan(cbm_item(cbm_sum(cbm_cast(cbm_bernoulli_of(p), CBM_F64)))));
            assert_non_null(strstr(cbm_message(cx), "at position 200001 is not a probability"));
            cbm_clear(cx);
        }
        cbm_close(cx);
    }
    assert_memory_equal(number[0], number[1], sizeof number[0]);
}

static void one_plan(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    for (int i = 0; i < 6; i++) {
        CBM_SCOPE(scope, cx);
        assert_true(cbm_item(cbm_sum(cbm_arange(cx, CBM_F64, i, i + 4, 1))) == 4 * i + 6);
    }
    assert_int_equal(cbm_context_statistics(cx).plans_made, 1);
    cbm_close(cx);
}

/* The numbers of a distribution as doubles; the caller frees them. */
static double *drawn(cbm_tensor *t, int64_t count)
{
    assert_int_equal(cbm_tensor_count(t), count);
    double *x = malloc((size_t)count * sizeof *x);
    assert_int_equal(cbm_read(cbm_cast(t, CBM_F64), x, (size_t)count * sizeof *x), CBM_OK);
    return x;
}

enum { MANY = 200000 };

/* Mean and variance within five standard errors; all within the bounds. */
static void distributed(cbm_tensor *t, double mean, double variance, double fourth, double low, double high)
{
    double *x = drawn(t, MANY), sum = 0, squares = 0;
    for (int i = 0; i < MANY; i++) {
        assert_true(x[i] >= low && x[i] <= high);
        sum += x[i];
        squares += (x[i] - mean) * (x[i] - mean);
    }
    if (!(fabs(sum / MANY - mean) <= 5 * sqrt(variance / MANY)))
        fail_msg("the mean is %g, not %g", sum / MANY, mean);
    if (!(fabs(squares / MANY - variance) <= 5 * sqrt((fourth - variance * variance) / MANY) + 1e-12))
        fail_msg("the variance is %g, not %g", squares / MANY, variance);
    free(x);
}

static void distributions(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.seed = 12);
    const cbm_shape many = CBM_SHAPE(MANY / 10, 10);
    distributed(cbm_exponential(cx, CBM_F32, many, 4), 0.25, 1.0 / 16, 9.0 / 256, 0, 100);
    distributed(cbm_exponential(cx, CBM_BF16, many, 1), 1, 1, 9, 0, 100);
    distributed(cbm_bernoulli(cx, CBM_F32, many, 0.3), 0.3, 0.21, 0.3 * 0.7 * (1 - 3 * 0.21), 0, 1);
    distributed(cbm_bernoulli(cx, CBM_BOOL, many, 1), 1, 0, 0, 1, 1);
    /* far below the steps of one draw of 2^-24: of ten million none but with one chance in a hundred */
    assert_true(cbm_item(cbm_sum(cbm_bernoulli(cx, CBM_F32, CBM_SHAPE(10000000), 1e-9))) == 0);
    distributed(cbm_bernoulli_of(cbm_full(cx, CBM_F64, many, 0.5)), 0.5, 0.25, 0.0625, 0, 1);
    distributed(cbm_bernoulli_of(cbm_zeros(cx, CBM_BF16, many)), 0, 0, 0, 0, 0);
    distributed(cbm_bernoulli_of(cbm_ones(cx, CBM_F32, many)), 1, 0, 0, 1, 1);
    distributed(cbm_uniform_like(cbm_zeros(cx, CBM_F32, many), -1, 1), 0, 1.0 / 3, 0.2, -1, 1);
    distributed(cbm_normal_like(cbm_zeros(cx, CBM_F64, many), 2, 3), 2, 9, 243, -30, 30);
    distributed(cbm_randint(cx, CBM_I64, many, -3, 3), -0.5, 35.0 / 12, 14.72916667, -3, 2);
    const double wide = ldexp(1, 36); /* more than the steps of one draw */
    distributed(cbm_randint(cx, CBM_I64, many, 0, (int64_t)wide), wide / 2, wide * wide / 12, pow(wide, 4) / 80, 0,
                wide - 1);
    double *x = drawn(cbm_randint(cx, CBM_I64, many, 0, (int64_t)wide), MANY);
    int odd = 0;
    for (int i = 0; i < MANY; i++)
        odd += (int64_t)x[i] & 1; /* its last bit is random too */
    assert_true(abs(odd - MANY / 2) < 5 * sqrt(MANY) / 2);
    free(x);
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
}

static void permutations(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.seed = 3);
    enum { N = 1000, FEW = 4, TRIES = 24000 };
    double *x = drawn(cbm_randperm(cx, N), N);
    bool seen[N] = { false };
    int fixed = 0;
    for (int i = 0; i < N; i++) {
        assert_true(x[i] >= 0 && x[i] < N && !seen[(int)x[i]]);
        seen[(int)x[i]] = true;
        fixed += (int)x[i] == i;
    }
    assert_true(fixed < 12);
    free(x);
    assert_int_equal(cbm_tensor_count(cbm_randperm(cx, 0)), 0);
    int counts[256] = { 0 }; /* each of the 24 orders of four as often as the others: chi-square of 23 degrees */
    for (int i = 0; i < TRIES; i++) {
        CBM_SCOPE(scope, cx);
        int64_t p[FEW];
        assert_int_equal(cbm_read(cbm_randperm(cx, FEW), p, sizeof p), CBM_OK);
        counts[p[0] * 64 + p[1] * 16 + p[2] * 4 + p[3]]++;
    }
    double chi = 0;
    int kinds = 0;
    for (int i = 0; i < 256; i++) {
        kinds += counts[i] > 0;
        chi += counts[i] ? pow(counts[i] - TRIES / 24.0, 2) / (TRIES / 24.0) : 0;
    }
    assert_int_equal(kinds, 24);
    assert_true(chi < 60); /* 1 in 30000 */
    cbm_close(cx);
}

static void categories(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.seed = 8);
    static const float weights[2][4] = { { 1, 0, 3, 4 }, { 0, 5, 0, 0 } };
    cbm_tensor *w = cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(2, 4), weights);
    double *x = drawn(cbm_multinomial(w, MANY, true), 2 * MANY);
    double counts[4] = { 0 }, chi = 0;
    for (int i = 0; i < MANY; i++) {
        counts[(int)x[i]]++;
        assert_true(x[MANY + i] == 1);
    }
    assert_true(counts[1] == 0);
    for (int c = 0; c < 4; c++)
        if (c != 1)
            chi += pow(counts[c] - MANY * (double)weights[0][c] / 8, 2) / (MANY * (double)weights[0][c] / 8);
    assert_true(chi < 21); /* two degrees: 1 in 30000 */
    free(x);
    /* Without replacement: each once, the zero never, the heavy ones first more often. */
    int first[4] = { 0 };
    for (int i = 0; i < 4000; i++) {
        CBM_SCOPE(scope, cx);
        int64_t p[3];
        cbm_tensor *one = cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(4), weights[0]);
        assert_int_equal(cbm_read(cbm_multinomial(one, 3, false), p, sizeof p), CBM_OK);
        assert_true(p[0] != p[1] && p[1] != p[2] && p[0] != p[2] && p[0] != 1 && p[1] != 1 && p[2] != 1);
        first[p[0]]++;
    }
    for (int c = 0; c < 4; c++)
        assert_true(fabs(first[c] - 500 * (double)weights[0][c]) < 5 * sqrt(4000 * 0.25));
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
}

/* Weights whose sum is no double, or that have hardly any digits, choose as others of the same proportions do. */
static void extreme_weights(void **state)
{
    (void)state;
    static const double weights[3][4] = { { 1e308, 0, 1e308, 0 }, { 5e-324, 0, 5e-324, 0 }, { 1, 0, 1, 0 } };
    for (int device = 0; device < 2; device++) {
        cbm_context *cx = cbm_open_with(.seed = 4, .device = device ? "reference" : "cpu");
        cbm_tensor *w = cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(3, 4), weights);
        enum { DRAWS = 4000 };
        double *x = drawn(cbm_multinomial(w, DRAWS, true), 3 * DRAWS), *two = drawn(cbm_multinomial(w, 2, false), 6);
        for (int r = 0; r < 3; r++) {
            int first = 0;
            for (int i = 0; i < DRAWS; i++) {
                assert_true(x[r * DRAWS + i] == 0 || x[r * DRAWS + i] == 2);
                first += x[r * DRAWS + i] == 0;
            }
            assert_true(abs(first - DRAWS / 2) < 5 * sqrt(DRAWS) / 2);
            assert_true(two[2 * r] + two[2 * r + 1] == 2 && fabs(two[2 * r] - two[2 * r + 1]) == 2);
        }
        free(x);
        free(two);
        assert_string_equal(cbm_message(cx), "");
        cbm_close(cx);
    }
}

enum { DRAWN_KINDS = 7, DRAWN = 5000 };

static cbm_tensor *draw_kind(cbm_context *cx, int kind)
{
    const cbm_shape shape = CBM_SHAPE(DRAWN / 10, 10);
    switch (kind) {
    case 0: return cbm_uniform(cx, CBM_F64, shape, -1, 1);
    case 1: return cbm_bernoulli(cx, CBM_F64, shape, 0.4);
    case 2: return cbm_bernoulli_of(cbm_full(cx, CBM_F64, shape, 0.6));
    case 3: return cbm_cast(cbm_randint(cx, CBM_I64, shape, -5, 1000), CBM_F64);
    case 4: return cbm_cast(cbm_randperm(cx, DRAWN), CBM_F64);
    case 5: return cbm_cast(cbm_multinomial(cbm_linspace(cx, CBM_F64, 1, 2, 50), DRAWN, true), CBM_F64);
    default: return cbm_cast(cbm_multinomial(cbm_linspace(cx, CBM_F64, 1, 2, DRAWN), DRAWN, false), CBM_F64);
    }
}

/* Steps that repeat, so that the third and later ones are replays: each draws numbers of its own, the same ones whatever the
   device and the number of threads. */
static void replays(void **state)
{
    (void)state;
    enum { STEPS = 6, SETTINGS = 4 };
    static const struct {
        const char *device;
        int64_t threads;
        uint64_t naive;
    } settings[SETTINGS] = { { "cpu", 1, 0 }, { "cpu", 4, 0 }, { "cpu", 2, 1 }, { "reference", 1, 0 } };
    static double got[SETTINGS][STEPS][DRAWN];
    for (int kind = 0; kind < DRAWN_KINDS; kind++) {
        for (int s = 0; s < SETTINGS; s++) {
            cbm_context *cx = cbm_open_with(.seed = 31, .threads = settings[s].threads, .device = settings[s].device,
                                            .naive = settings[s].naive);
            for (int i = 0; i < STEPS; i++) {
                CBM_SCOPE(scope, cx);
                assert_int_equal(cbm_read(draw_kind(cx, kind), got[s][i], sizeof got[s][i]), CBM_OK);
                for (int earlier = 0; earlier < i; earlier++)
                    assert_memory_not_equal(got[s][i], got[s][earlier], sizeof got[s][i]);
            }
            assert_true(settings[s].naive || cbm_context_statistics(cx).plans_made <= 2);
            assert_string_equal(cbm_message(cx), "");
            cbm_close(cx);
            if (memcmp(got[s], got[0], sizeof got[0]) != 0)
                fail_msg("kind %d of numbers is not the same with setting %d", kind, s);
        }
    }
}

/* The same seed, other threads, the other device: the same numbers; the next draw has others. */
static void by_seed(void **state)
{
    (void)state;
    int64_t got[3][2][50];
    for (int i = 0; i < 3; i++) {
        cbm_context *cx = cbm_open_with(.seed = 77, .threads = i + 1, .device = i == 2 ? "reference" : "cpu");
        cbm_tensor *w = cbm_linspace(cx, CBM_F64, 1, 2, 50);
        assert_int_equal(cbm_read(cbm_randperm(cx, 50), got[i][0], sizeof got[i][0]), CBM_OK);
        assert_int_equal(cbm_read(cbm_multinomial(w, 50, true), got[i][1], sizeof got[i][1]), CBM_OK);
        int64_t again[50];
        assert_int_equal(cbm_read(cbm_randperm(cx, 50), again, sizeof again), CBM_OK);
        assert_memory_not_equal(again, got[i][0], sizeof again);
        cbm_close(cx);
    }
    assert_memory_equal(got[0], got[1], sizeof got[0]);
    assert_memory_equal(got[0], got[2], sizeof got[0]);
}

static void fails(cbm_context *cx, cbm_tensor *t, const char *message)
{
    assert_true(cbm_tensor_failed(t));
    if (!strstr(cbm_message(cx), message))
        fail_msg("\"%s\" is not in \"%s\"", message, cbm_message(cx));
    cbm_clear(cx);
}

/* Probabilities are looked at when they are computed; a step that meets a wrong one changes nothing. */
static void no_probabilities(void **state)
{
    (void)state;
    static const double wrong[3] = { 1.5, -0.25, NAN };
    static const char *const text[3] = { "1.5 at position 3 is not a probability",
                                         "-0.25 at position 3 is not a probability",
                                         "nan at position 3 is not a probability" };
    static const cbm_dtype dtypes[3] = { CBM_F32, CBM_F64, CBM_BF16 };
    for (int k = 0; k < 18; k++) {
        cbm_context *cx = cbm_open_with(.device = k % 2 ? "reference" : "cpu");
        double p[5] = { 0, 0.5, 1, wrong[k / 2 % 3], 2 };
        cbm_tensor *count = cbm_variable(cbm_zeros(cx, CBM_F32, CBM_SHAPE()), false);
        cbm_tensor *t = cbm_cast(cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(5), p), dtypes[k / 6]);
        assert_int_equal(cbm_compute(&count, 1), CBM_OK);
        cbm_assign(count, cbm_add_scalar(count, 1));
        cbm_tensor *drawn_by = cbm_bernoulli_of(t);
        assert_false(cbm_tensor_failed(drawn_by));
        assert_int_equal(cbm_compute(&drawn_by, 1), CBM_ERROR_RANGE);
        if (!strstr(cbm_message(cx), text[k / 2 % 3]))
            fail_msg("\"%s\" is not in \"%s\"", text[k / 2 % 3], cbm_message(cx));
        cbm_clear(cx);
        assert_true(cbm_item(count) == 0);
        cbm_close(cx);
    }
}

static void errors(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    fails(cx, cbm_arange(cx, CBM_F32, 0, 1, 0), "[arange] from 0 to 1 in steps of 0 is no range");
    fails(cx, cbm_arange(cx, CBM_F32, 0, INFINITY, 1), "is no range");
    fails(cx, cbm_arange(cx, CBM_F32, 0, 1, -1), "[arange] steps of -1 do not lead from 0 to 1");
    fails(cx, cbm_arange(cx, CBM_F32, 0, 1e300, 1e-300), "too many numbers");
    fails(cx, cbm_arange(cx, CBM_F32, 0, -0.5, 1), "do not lead from 0 to -0.5");
    fails(cx, cbm_arange(cx, CBM_U8, 0, 300, 1), "[arange] u8 does not hold the numbers from 0 up to 300");
    fails(cx, cbm_arange(cx, CBM_I64, 1e19, 2e19, 1e18), "[arange] i64 does not hold");
    fails(cx, cbm_linspace(cx, CBM_F64, -1e308, 1e308, 3), "is no range");
    fails(cx, cbm_arange(cx, CBM_I64, 0, 3, 0.5),
          "[arange] integers from 0 in steps of 0.5: both must be whole numbers");
    fails(cx, cbm_arange(cx, CBM_BOOL, 0, 1, 1), "[arange] the numbers are floats or integers, not bool");
    fails(cx, cbm_linspace(cx, CBM_I64, 0, 1, 3), "[linspace] the numbers are floats, not i64");
    fails(cx, cbm_linspace(cx, CBM_F32, 0, 1, -3), "[linspace] there cannot be -3 numbers");
    fails(cx, cbm_linspace(cx, CBM_F32, NAN, 1, 3), "is no range");
    fails(cx, cbm_logspace(cx, CBM_F32, 0, 1, 3, 0), "[logspace] the base, 0, must be above 0");
    fails(cx, cbm_logspace(cx, CBM_I64, 0, 1, 3, 2), "[logspace] the numbers are floats, not i64");
    fails(cx, cbm_eye(cx, CBM_F32, -1, 2), "[eye] there is no matrix of -1 x 2");
    fails(cx, cbm_full_like(NULL, 1), "");
    fails(cx, cbm_zeros_like(NULL), "");
    fails(cx, cbm_ones_like(NULL), "");
    fails(cx, cbm_uniform_like(NULL, 0, 1), "");
    fails(cx, cbm_normal_like(NULL, 0, 1), "");
    fails(cx, cbm_exponential(cx, CBM_F32, CBM_SHAPE(2), 0), "[exponential] the rate, 0, must be above 0");
    fails(cx, cbm_exponential(cx, CBM_I64, CBM_SHAPE(2), 1), "random numbers are f32, f64 or bf16");
    fails(cx, cbm_bernoulli(cx, CBM_F32, CBM_SHAPE(2), 1.5), "[bernoulli] p = 1.5 is not a probability");
    fails(cx, cbm_bernoulli(cx, CBM_F32, CBM_SHAPE(-2), 0.5), "not a shape");
    fails(cx, cbm_bernoulli_of(cbm_zeros(cx, CBM_I64, CBM_SHAPE(2))),
          "[bernoulli_of] probabilities are floats, not i64");
    fails(cx, cbm_randint(cx, CBM_I64, CBM_SHAPE(2), 3, 3), "[randint] from 3 up to 3");
    fails(cx, cbm_randint(cx, CBM_I64, CBM_SHAPE(2), INT64_MIN, INT64_MAX), "no range of at most 2^40 numbers");
    fails(cx, cbm_randint(cx, CBM_U8, CBM_SHAPE(2), 0, 257), "[randint] u8 does not hold the numbers from 0 up to 257");
    fails(cx, cbm_randint(cx, CBM_U8, CBM_SHAPE(2), -1, 5), "[randint] u8 does not hold the numbers from -1 up to 5");
    fails(cx, cbm_randint(cx, CBM_I32, CBM_SHAPE(2), 0, ((int64_t)1 << 31) + 1), "[randint] i32 does not hold");
    assert_false(cbm_tensor_failed(cbm_randint(cx, CBM_U8, CBM_SHAPE(2), 0, 256)));
    assert_false(cbm_tensor_failed(cbm_randint(cx, CBM_I32, CBM_SHAPE(2), -((int64_t)1 << 31), (int64_t)1 << 31)));
    fails(cx, cbm_randint(cx, CBM_BOOL, CBM_SHAPE(2), 0, 2), "HINT: cbm_bernoulli");
    fails(cx, cbm_randperm(cx, -1), "[randperm] there cannot be -1 numbers");
    const float odd[3][3] = { { 1, -1, 2 }, { 1, 0, 0 }, { 0, 0, 0 } };
    cbm_tensor *w[3];
    for (int i = 0; i < 3; i++)
        w[i] = cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(3), odd[i]);
    fails(cx, cbm_multinomial(w[0], 1, true), "[multinomial] weight 1 of row 0 is -1");
    fails(cx, cbm_multinomial(w[1], 2, false),
          "[multinomial] row 0 has 1 weights above 0: too few to draw 2 without replacement");
    fails(cx, cbm_multinomial(w[2], 1, true), "[multinomial] row 0 has 0 weights above 0: too few to draw 1");
    fails(cx, cbm_multinomial(w[1], -1, true), "[multinomial] -1 cannot be drawn");
    fails(cx, cbm_multinomial(cbm_zeros(cx, CBM_I64, CBM_SHAPE(2)), 1, true),
          "[multinomial] weights are f32 or f64, not i64");
    fails(cx, cbm_multinomial(cbm_zeros(cx, CBM_F32, CBM_SHAPE()), 1, true), "must be (C) or (N, C)");
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows),          cmocka_unit_test(long_rows),        cmocka_unit_test(one_plan),
        cmocka_unit_test(distributions), cmocka_unit_test(permutations),     cmocka_unit_test(categories),
        cmocka_unit_test(by_seed),       cmocka_unit_test(no_probabilities), cmocka_unit_test(errors),
        cmocka_unit_test(replays),       cmocka_unit_test(extreme_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
