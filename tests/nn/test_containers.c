/* test_containers.c: containers, weight and spectral normalisation and the bilinear layer beside PyTorch
   (tests/reference/make_modules.py prints the numbers), and initial values. */
#include <cambium/cambium.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>
#include "support/status.h"

static cbm_tensor *sines(cbm_context *cx, cbm_shape shape, double step)
{
    double x[64];
    for (int i = 0; i < 64; i++)
        x[i] = sin(i * step);
    return cbm_tensor_from(cx, CBM_F64, shape, x);
}

static void expect(cbm_tensor *t, size_t count, const double *want)
{
    double got[64];
    assert_int_equal(cbm_tensor_count(t), count);
    assert_int_equal(cbm_read(t, got, count * sizeof *got), CBM_OK);
    for (size_t i = 0; i < count; i++)
        if (!(fabs(got[i] - want[i]) < 1e-11))
            fail_msg("element %zu is %.15g, not %.15g", i, got[i], want[i]);
}

/* ---- containers ---- */

static cbm_tensor *times(cbm_tensor *x, void *user)
{
    return cbm_mul_scalar(x, *(const double *)user);
}

static cbm_tensor *nothing(cbm_tensor *x, void *user)
{
    (void)x;
    (void)user;
    return NULL;
}

static int destroyed;
static void count_destroyed(void *user)
{
    (void)user;
    destroyed++;
}

static void test_containers(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.device = "reference");
    double two = 2, three = 3;
    cbm_module *twice = cbm_nn_function(cx, "twice", times, &two, count_destroyed);
    cbm_module *thrice = cbm_nn_function(cx, "thrice", times, &three, NULL);
    cbm_tensor *x = cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(1, 2), (double[]){ 1, 10 });
    expect(cbm_call(cbm_residual(cx, twice, NULL), x), 2, (double[]){ 3, 30 });
    expect(cbm_call(cbm_residual(cx, twice, thrice), x), 2, (double[]){ 5, 50 });
    expect(cbm_call(cbm_residual(cx, cbm_nn_identity(cx), NULL), x), 2, (double[]){ 2, 20 });
    expect(cbm_call(cbm_parallel(cx, CBM_JOIN_SUM, 0, twice, thrice, twice), x), 2, (double[]){ 7, 70 });
    expect(cbm_call(cbm_parallel(cx, CBM_JOIN_CONCAT, 1, twice, thrice), x), 4, (double[]){ 2, 20, 3, 30 });
    expect(cbm_call(cbm_parallel(cx, CBM_JOIN_CONCAT, -2, twice), x), 2, (double[]){ 2, 20 });

    cbm_module *list = cbm_module_list(cx, twice, cbm_nn_linear(cx, 3, 2), thrice);
    assert_ptr_equal(cbm_child(list, "2"), thrice);
    cbm_module *dict = cbm_module_dict(cx, { "list", list }, { "other", thrice });
    assert_ptr_equal(cbm_child(dict, "other"), thrice);
    cbm_named named;
    assert_true(cbm_parameter_at(dict, 1, &named));
    assert_string_equal(named.name, "list.1.bias");
    good(cx);
    assert_true(cbm_tensor_failed(cbm_call(list, x)));
    refused(cx, CBM_ERROR_UNSUPPORTED,
            "[module_list] holds modules and has no forward. HINT: call its children, "
            "cbm_child(list, \"0\")");
    assert_null(cbm_child(dict, "third"));
    refused(cx, CBM_ERROR_INVALID, "[child] this module_dict has no part named 'third'");
    assert_true(cbm_module_dict(cx, { "a", twice }, { "a", thrice })->failed);
    refused(cx, CBM_ERROR_INVALID, "this module_dict has a part named 'a' already");
    assert_true(cbm_module_list(cx, twice, NULL)->failed);
    refused(cx, CBM_ERROR_INVALID, "the part '1' is NULL");
    assert_true(cbm_parallel_of(cx, CBM_JOIN_SUM, 0, 0, NULL)->failed);
    refused(cx, CBM_ERROR_INVALID, "[parallel] 0 modules; 1 to");
    assert_true(cbm_parallel_of(cx, (cbm_join)2, 0, 1, &twice)->failed);
    refused(cx, CBM_ERROR_INVALID, "[parallel] join is none of cbm_join's");
    assert_true(cbm_residual(cx, NULL, NULL)->failed);
    refused(cx, CBM_ERROR_INVALID, "the part 'body' is NULL");
    assert_true(cbm_nn_function(cx, "none", NULL, NULL, count_destroyed)->failed);
    refused(cx, CBM_ERROR_INVALID, "[function] the function is NULL");
    assert_int_equal(destroyed, 1);
    assert_true(cbm_tensor_failed(cbm_call(cbm_nn_function(cx, "nothing", nothing, NULL, NULL), x)));
    refused(cx, CBM_ERROR_CALLBACK, "the forward function of a nothing returned NULL");
    cbm_close(cx);
    assert_int_equal(destroyed, 2);
}

/* ---- computed weights ---- */

static cbm_module *linear(cbm_context *cx)
{
    cbm_module *m = cbm_nn_linear(cx, 3, 4, .dtype = CBM_F64);
    cbm_assign(cbm_parameter(m, "weight"), sines(cx, CBM_SHAPE(4, 3), 0.9));
    cbm_assign(cbm_parameter(m, "bias"), sines(cx, CBM_SHAPE(4), 0.4));
    return m;
}

static void descend(cbm_context *cx, cbm_module *m)
{
    cbm_tensor *apart = cbm_sub(cbm_call(m, sines(cx, CBM_SHAPE(2, 3), 0.7)), sines(cx, CBM_SHAPE(2, 4), 1.3));
    cbm_backward(cbm_sum(cbm_mul(apart, apart)));
}

static void test_weight_norm(void **state)
{
    (void)state;
    static const struct {
        int64_t axis;
        size_t count;
        double y[8], g[4], v[12];
    } cases[] = {
        { 0,
          4,
          { 2.19646640245513, -1.48316108825655, 1.90678348222073, 0.653962177641365, -0.118806274220835,
            1.23478891361062, -0.692389601269956, 2.63569212990323 },
          { 5.05003425658604, 6.28414140043952, 4.86055431585771, 4.14739832148617 },
          { 1.98015493530934, 0.265668976334248, -0.213694269634498, -0.847355456465469, -0.0924450452593977,
            -0.328617855640485, 0.706673675011356, 0.878885894074118, 0.669442275012383, 0.747121114413364,
            2.68955036928799, 4.00632738424946 } },
        { 1,
          3,
          { 2.19646640245513, -1.48316108825655, 1.90678348222073, 0.653962177641365, -0.118806274220835,
            1.23478891361062, -0.692389601269956, 2.63569212990323 },
          { 5.25069790255669, 5.12668321888334, 7.09917868254396 },
          { 1.98015493530934, -1.07290669409634, -0.572423431390951, 0.0743401147882576, -0.265596283782634,
            -2.02146096961868, 0.261214314075093, 0.858896086743125, 0.789750823108175, 0.175365979002865,
            1.71907723581889, 4.47043751876939 } },
        { -1,
          1,
          { 2.19646640245513, -1.48316108825655, 1.90678348222073, 0.653962177641365, -0.118806274220835,
            1.23478891361062, -0.692389601269956, 2.63569212990323 },
          { 10.1665337214013 },
          { 1.98015493530934, -0.106645234568934, -0.676562719286987, -0.152940276117354, -0.811460908313586,
            -1.91692789162704, 0.672170053764114, 0.879636627917796, 0.704879223541121, -0.340420901801243,
            2.22743996937709, 4.51936453841175 } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cbm_context *cx = cbm_open_with(.device = i ? "cpu" : "reference");
        cbm_module *m = linear(cx);
        CBM_SCOPE(scope, cx);
        cbm_tensor *before = cbm_call(m, sines(cx, CBM_SHAPE(2, 3), 0.7));
        double plain[8];
        assert_int_equal(cbm_read(before, plain, sizeof plain), CBM_OK);
        assert_ptr_equal(cbm_nn_weight_norm(m, "weight", cases[i].axis), m);
        expect(cbm_call(m, sines(cx, CBM_SHAPE(2, 3), 0.7)), 8, plain);
        cbm_named named;
        static const char *const names[] = { "bias", "weight_g", "weight_v" };
        for (size_t k = 0; k < 3; k++) {
            assert_true(cbm_parameter_at(m, k, &named));
            assert_string_equal(named.name, names[k]);
        }
        assert_false(cbm_parameter_at(m, 3, &named));
        cbm_tensor *g = cbm_parameter(m, "weight_g");
        cbm_assign(g, cbm_mul_scalar(g, 1.5));
        descend(cx, m);
        expect(cbm_gradient(g), cases[i].count, cases[i].g);
        expect(cbm_gradient(cbm_parameter(m, "weight_v")), 12, cases[i].v);
        expect(cbm_call(m, sines(cx, CBM_SHAPE(2, 3), 0.7)), 8, cases[i].y);
        assert_int_equal(cbm_nn_remove_reparametrisation(m), CBM_OK);
        assert_true(cbm_parameter_at(m, 0, &named));
        assert_string_equal(named.name, "weight");
        assert_int_equal(cbm_parameter_count(m), 2);
        expect(cbm_call(m, sines(cx, CBM_SHAPE(2, 3), 0.7)), 8, cases[i].y);
        cbm_scope_end(scope);
        scope = NULL;
        good(cx);
        cbm_close(cx);
    }
}

static void test_spectral_norm(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.device = "reference");
    cbm_module *m = linear(cx);
    CBM_SCOPE(scope, cx);
    assert_ptr_equal(cbm_nn_spectral_norm(m, "weight", 0, 2), m);
    cbm_tensor *u = sines(cx, CBM_SHAPE(4), 1.1), *v = sines(cx, CBM_SHAPE(3), 1.7);
    cbm_assign(cbm_parameter(m, "weight_u"), cbm_div(u, cbm_sqrt(cbm_sum(cbm_mul(u, u)))));
    cbm_assign(cbm_parameter(m, "weight_v"), cbm_div(v, cbm_sqrt(cbm_sum(cbm_mul(v, v)))));
    descend(cx, m);
    expect(cbm_gradient(cbm_parameter(m, "weight_orig")), 12,
           (const double[]){ -2.86553319112087, -3.34592403669273, -0.81197671101643, 2.6528971509658,
                             0.906647237479242, -1.90180817223012, -0.647984066916981, 1.33157098779611,
                             2.39377892207637, -1.09124299269358, -1.69033649658526, -0.332313231663083 });
    expect(cbm_parameter(m, "weight_u"), 4,
           (const double[]){ -0.728116297973256, 0.321325398077507, 0.147113616124423, -0.587328042176472 });
    cbm_eval(m);
    static const double y[8] = { 1.18644191263758,    -0.622072986983814, 1.35983644367218,    0.781833237789578,
                                 -0.0641743224764819, 0.846053179236699,  -0.0441312569063003, 1.85228324433858 };
    expect(cbm_call(m, sines(cx, CBM_SHAPE(2, 3), 0.7)), 8, y);
    cbm_named named;
    assert_int_equal(cbm_state_count(m), 4);
    assert_true(cbm_state_at(m, 3, &named));
    assert_string_equal(named.name, "weight_v");
    assert_true(named.buffer);
    assert_int_equal(cbm_nn_remove_reparametrisation(m), CBM_OK);
    assert_int_equal(cbm_state_count(m), 2);
    expect(cbm_call(m, sines(cx, CBM_SHAPE(2, 3), 0.7)), 8, y);
    cbm_scope_end(scope);
    scope = NULL;
    good(cx);
    /* of a convolution, over another axis: the largest singular value of what is computed is near 1 */
    cbm_module *conv = cbm_nn_spectral_norm(cbm_nn_conv2d(cx, 3, 5, 3), "weight", 1, 30);
    cbm_tensor *z = cbm_call(conv, cbm_ones(cx, CBM_F32, CBM_SHAPE(1, 3, 4, 4)));
    assert_int_equal(cbm_compute(&z, 1), CBM_OK);
    assert_int_equal(cbm_tensor_count(cbm_parameter(conv, "weight_u")), 3);
    assert_int_equal(cbm_tensor_count(cbm_parameter(conv, "weight_v")), 45);
    good(cx);
    cbm_close(cx);
}

static void test_refused_reparametrisations(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.device = "reference");
    cbm_module *m = linear(cx);
    assert_true(cbm_nn_weight_norm(m, "gain", 0)->failed);
    refused(cx, CBM_ERROR_INVALID, "[weight_norm] this linear has no parameter of that name");
    assert_true(cbm_nn_weight_norm(m, "weight", 2)->failed);
    refused(cx, CBM_ERROR_INVALID, "[weight_norm] this linear has no such axis in its weight");
    assert_true(cbm_nn_spectral_norm(m, "weight", -1, 1)->failed);
    refused(cx, CBM_ERROR_INVALID, "[spectral_norm] this linear has no such axis in its weight");
    assert_true(cbm_nn_spectral_norm(m, "weight", 0, 0)->failed);
    refused(cx, CBM_ERROR_INVALID, "[spectral_norm] this linear needs one power iteration at least");
    assert_int_equal(cbm_nn_remove_reparametrisation(m), CBM_ERROR_STATE);
    refused(cx, CBM_ERROR_STATE, "[remove_reparametrisation] this linear has no computed weight");
    assert_ptr_equal(cbm_nn_weight_norm(m, "weight", 0), m);
    assert_true(cbm_nn_spectral_norm(m, "weight_v", 0, 1)->failed);
    refused(cx, CBM_ERROR_INVALID, "[spectral_norm] this linear has a computed weight already");
    cbm_close(cx);
}

static void test_bilinear(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.device = "reference");
    cbm_module *m = cbm_nn_bilinear(cx, 3, 2, 4, .dtype = CBM_F64);
    cbm_assign(cbm_parameter(m, "weight"), sines(cx, CBM_SHAPE(4, 3, 2), 0.9));
    cbm_assign(cbm_parameter(m, "bias"), sines(cx, CBM_SHAPE(4), 0.4));
    cbm_tensor *x = sines(cx, CBM_SHAPE(2, 3), 0.7), *y = sines(cx, CBM_SHAPE(2, 2), 0.3);
    expect(cbm_bilinear_call(m, x, y), 8,
           (const double[]){ -0.203312320542881, 0.440821584472465, 0.985918954645858, 1.22154571652852,
                             1.18226720223755, 0.472857393266149, -0.358994768901752, -0.517704410451469 });
    assert_true(cbm_tensor_failed(cbm_bilinear_call(m, y, x)));
    refused(cx, CBM_ERROR_SHAPE,
            "[bilinear] (2, 2), (2, 3) and the weight (4, 3, 2) do not fit: (..., in1), (..., in2), (out, in1, in2)");
    assert_true(cbm_tensor_failed(cbm_call(m, x)));
    refused(cx, CBM_ERROR_UNSUPPORTED, "[bilinear] takes two inputs. HINT: cbm_bilinear_call");
    assert_true(cbm_tensor_failed(cbm_bilinear_call(linear(cx), x, y)));
    refused(cx, CBM_ERROR_INVALID, "[bilinear_call] the module is no bilinear layer");
    assert_true(cbm_nn_bilinear(cx, 0, 2, 4)->failed);
    refused(cx, CBM_ERROR_INVALID, "[bilinear] at least 1 feature of each input and 1 of the output are needed");
    cbm_close(cx);
}

/* ---- initial values ---- */

typedef struct moments {
    double mean, deviation, least, most;
    double x[64 * 48];
} moments;

static cbm_tensor *variable(cbm_context *cx, cbm_shape shape)
{
    return cbm_variable(cbm_zeros(cx, CBM_F64, shape), true);
}

static void look(cbm_tensor *t, moments *m)
{
    const int64_t count = cbm_tensor_count(t);
    assert_int_equal(cbm_read(t, m->x, (size_t)count * sizeof *m->x), CBM_OK);
    m->mean = m->deviation = 0;
    m->least = INFINITY;
    m->most = -INFINITY;
    for (int64_t i = 0; i < count; i++) {
        m->mean += m->x[i] / (double)count;
        m->least = fmin(m->least, m->x[i]);
        m->most = fmax(m->most, m->x[i]);
    }
    for (int64_t i = 0; i < count; i++)
        m->deviation += (m->x[i] - m->mean) * (m->x[i] - m->mean) / (double)count;
    m->deviation = sqrt(m->deviation);
}

/* 3,072 values: the deviation is known to about 1.3 %. */
static void expect_spread(cbm_tensor *t, double deviation)
{
    static moments m;
    look(t, &m);
    assert_true(fabs(m.mean) < 0.1 * deviation);
    assert_true(fabs(m.deviation / deviation - 1) < 0.06);
}

static void test_fans(void **state)
{
    (void)state;
    static moments m;
    cbm_context *cx = cbm_open_with(.device = "reference", .seed = 3);
    cbm_tensor *w = variable(cx, CBM_SHAPE(32, 8, 3, 4)); /* fan in 96, fan out 384 */
    cbm_init_kaiming_normal(w, cbm_init_gain("relu", 0), CBM_FAN_IN);
    expect_spread(w, sqrt(2.0 / 96));
    cbm_init_kaiming_uniform(w, 1, CBM_FAN_OUT);
    expect_spread(w, sqrt(1.0 / 384));
    look(w, &m);
    assert_true(m.most <= sqrt(3.0 / 384) && m.most > 0.99 * sqrt(3.0 / 384));
    cbm_init_xavier_normal(w, 2);
    expect_spread(w, 2 * sqrt(2.0 / 480));
    cbm_init_xavier_uniform(w, 1);
    expect_spread(w, sqrt(2.0 / 480));
    assert_true(cbm_init_gain("tanh", 0) == 5.0 / 3);
    assert_true(fabs(cbm_init_gain("leaky_relu", 0.2) - sqrt(2 / 1.04)) < 1e-15);
    assert_true(isnan(cbm_init_gain("swish", 0)));
    good(cx);
    cbm_init_kaiming_normal(variable(cx, CBM_SHAPE(5)), 1, CBM_FAN_IN);
    refused(cx, CBM_ERROR_SHAPE, "[kaiming] needs two dimensions or more, not (5)");
    cbm_init_xavier_uniform(variable(cx, CBM_SHAPE(5)), 1);
    refused(cx, CBM_ERROR_SHAPE, "[xavier] needs two dimensions or more, not (5)");
    cbm_close(cx);
}

static void test_truncated(void **state)
{
    (void)state;
    static moments m;
    cbm_context *cx = cbm_open_with(.device = "reference", .seed = 4);
    cbm_tensor *w = variable(cx, CBM_SHAPE(64, 48));
    cbm_init_truncated_normal(w, 1, 2, -1, 5); /* from 1 below to 2 above: mean and deviation by their formulas */
    look(w, &m);
    assert_true(m.least >= -1 && m.least < -0.95 && m.most <= 5 && m.most > 4.8);
    const double z = 0.5 * (erf(2 / sqrt(2)) - erf(-1 / sqrt(2)));
    const double a = exp(-0.5) / sqrt(2 * acos(-1)), b = exp(-2) / sqrt(2 * acos(-1)), shift = (a - b) / z;
    assert_true(fabs(m.mean - (1 + 2 * shift)) < 0.1);
    assert_true(fabs(m.deviation - 2 * sqrt(1 + (-a - 2 * b) / z - shift * shift)) < 0.06);
    /* the same distribution as the normal one where nothing is cut off: quantiles */
    cbm_init_truncated_normal(w, 0, 1, -8, 8);
    look(w, &m);
    int below = 0, tail = 0;
    for (int i = 0; i < 64 * 48; i++) {
        below += m.x[i] < 0.6744897501960817; /* 3/4 */
        tail += m.x[i] < -1.6448536269514722; /* 1/20 */
    }
    assert_true(abs(below - 2304) < 5 * 24);
    assert_true(abs(tail - 154) < 5 * 12);
    cbm_init_truncated_normal(w, 0, 1, 2, 2);
    refused(cx, CBM_ERROR_INVALID,
            "[truncated_normal] needs a deviation above 0, and low below high within 8 deviations of the mean");
    cbm_init_truncated_normal(w, 0, 1, 9, 10);
    refused(cx, CBM_ERROR_INVALID,
            "[truncated_normal] needs a deviation above 0, and low below high within 8 deviations of the mean");
    cbm_close(cx);
}

static void expect_orthogonal(cbm_context *cx, cbm_shape shape, int64_t rows, int64_t columns)
{
    static moments m;
    cbm_tensor *w = variable(cx, shape);
    cbm_init_orthogonal(w, 3);
    look(w, &m);
    const bool wide = rows <= columns;
    for (int64_t i = 0; i < (wide ? rows : columns); i++)
        for (int64_t j = 0; j <= i; j++) {
            double dot = 0;
            for (int64_t k = 0; k < (wide ? columns : rows); k++)
                dot += wide ? m.x[i * columns + k] * m.x[j * columns + k] : m.x[k * columns + i] * m.x[k * columns + j];
            assert_true(fabs(dot - (i == j ? 9 : 0)) < 1e-12);
        }
}

static void test_matrices(void **state)
{
    (void)state;
    static moments m;
    cbm_context *cx = cbm_open_with(.device = "reference", .seed = 5);
    expect_orthogonal(cx, CBM_SHAPE(10, 10), 10, 10);
    expect_orthogonal(cx, CBM_SHAPE(6, 2, 5), 6, 10);
    expect_orthogonal(cx, CBM_SHAPE(12, 7), 12, 7);
    cbm_tensor *w = variable(cx, CBM_SHAPE(64, 48));
    cbm_init_sparse(w, 0.3, 0.5);
    look(w, &m);
    double squares = 0;
    for (int c = 0; c < 48; c++) {
        int zeros = 0;
        for (int r = 0; r < 64; r++) {
            zeros += m.x[r * 48 + c] == 0;
            squares += m.x[r * 48 + c] * m.x[r * 48 + c];
        }
        assert_int_equal(zeros, 20); /* 19.2, rounded up */
    }
    assert_true(fabs(sqrt(squares / (44 * 48)) - 0.5) < 0.04);
    w = variable(cx, CBM_SHAPE(2, 3));
    cbm_init_identity(w);
    expect(w, 6, (const double[]){ 1, 0, 0, 0, 1, 0 });
    w = variable(cx, CBM_SHAPE(4, 2, 3)); /* two groups of two channels */
    cbm_init_dirac(w, 2);
    expect(w, 24, (const double[]){ 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0 });
    w = variable(cx, CBM_SHAPE(2, 1, 2, 3)); /* a channel more out than in */
    cbm_init_dirac(w, 1);
    expect(w, 12, (const double[]){ 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0 });
    good(cx);
    cbm_init_orthogonal(variable(cx, CBM_SHAPE(3)), 1);
    refused(cx, CBM_ERROR_SHAPE, "[orthogonal] needs 2 to 8 dimensions, not (3)");
    cbm_init_identity(variable(cx, CBM_SHAPE(2, 2, 2)));
    refused(cx, CBM_ERROR_SHAPE, "[identity] needs 2 dimensions, not (2, 2, 2)");
    cbm_init_sparse(variable(cx, CBM_SHAPE(2, 2)), 1.5, 1);
    refused(cx, CBM_ERROR_INVALID, "[sparse] the fraction of zeros must be 0 to 1");
    cbm_init_dirac(variable(cx, CBM_SHAPE(3, 2, 2)), 2);
    refused(cx, CBM_ERROR_INVALID, "[dirac] 2 groups do not divide 3 channels");
    cbm_close(cx);
}

/* The same seed, the same values; in f32 those of f64, rounded. */
static void test_repeatable(void **state)
{
    (void)state;
    float a[12], b[12];
    for (int turn = 0; turn < 2; turn++) {
        cbm_context *cx = cbm_open_with(.device = turn ? "cpu" : "reference", .seed = 6);
        cbm_tensor *w = cbm_variable(cbm_zeros(cx, CBM_F32, CBM_SHAPE(3, 4)), true);
        cbm_init_orthogonal(w, 1);
        assert_int_equal(cbm_read(w, turn ? b : a, sizeof a), CBM_OK);
        cbm_close(cx);
    }
    assert_memory_equal(a, b, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_containers),    cmocka_unit_test(test_weight_norm),
        cmocka_unit_test(test_spectral_norm), cmocka_unit_test(test_refused_reparametrisations),
        cmocka_unit_test(test_bilinear),      cmocka_unit_test(test_fans),
        cmocka_unit_test(test_truncated),     cmocka_unit_test(test_matrices),
        cmocka_unit_test(test_repeatable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
