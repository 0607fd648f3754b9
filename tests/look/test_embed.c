/* Many dimensions in two: principal components of data whose components are known; t-SNE keeps clusters apart; refusals. */
#include <cambium/cambium.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static void test_pca(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    /* Rows m + a u + b v with a and b uncorrelated, of sum 0, a the larger: coordinates a and b. u and v are orthonormal. */
    static const double a[] = { 3, -3, 3, -3, 0 }, b[] = { 1, 1, -1, -1, 0 }, u[] = { 0.6, 0, 0.8 }, v[] = { 0, -1, 0 };
    double rows[15];
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < 3; k++)
            rows[3 * i + k] = 7 + a[i] * u[k] + b[i] * v[k];
    cbm_tensor *x = cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(5, 3), rows);
    const double *y = cbm_tensor_data(cbm_pca(x, 2));
    assert_non_null(y);
    for (int i = 0; i < 5; i++) {
        assert_true(fabs(y[2 * i] - a[i]) < 1e-12);
        assert_true(fabs(y[2 * i + 1] + b[i]) < 1e-12); /* v's largest part is made positive */
    }
    assert_int_equal(cbm_tensor_size(cbm_pca(cbm_cast(x, CBM_F32), 1), 1), 1);
    cbm_pca(x, 4);
    assert_string_equal(cbm_message(cx), "[pca] 4 directions of (5, 3); 1 to the lesser of the two are possible");
    cbm_clear(cx);
    assert_true(cbm_tensor_failed(cbm_pca(cbm_ones(cx, CBM_F32, CBM_SHAPE(3)), 1)));
    assert_int_equal(cbm_context_status(cx), CBM_ERROR_SHAPE);
    cbm_clear(cx);
    cbm_pca(cbm_ones(cx, CBM_I64, CBM_SHAPE(3, 3)), 1);
    assert_int_equal(cbm_context_status(cx), CBM_ERROR_DTYPE);
    cbm_close(cx);
}

enum { CLUSTERS = 4, EACH = 40, ROWS = CLUSTERS * EACH, COLUMNS = 20 };

/* Normal clouds of deviation 1 around middles some ten apart. */
static cbm_tensor *clusters(cbm_context *cx)
{
    cbm_tensor *middles = cbm_normal(cx, CBM_F32, CBM_SHAPE(CLUSTERS, 1, COLUMNS), 0, 2.5);
    cbm_tensor *around = cbm_normal(cx, CBM_F32, CBM_SHAPE(CLUSTERS, EACH, COLUMNS), 0, 1);
    return cbm_reshape(cbm_add(middles, around), CBM_SHAPE(ROWS, COLUMNS));
}

static void test_tsne(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_tensor *x = clusters(cx);
    const float *y = cbm_tensor_data(cbm_tsne(x, .perplexity = 15));
    if (!y)
        fail_msg("%s", cbm_message(cx));
    int stranger = 0;
    for (int i = 0; i < ROWS; i++) { /* the five nearest of each are of its own cluster */
        double nearest[6] = { 0 };
        int whose[6];
        int found = 0;
        for (int j = 0; j < ROWS; j++) {
            double d = hypot((double)y[2 * i] - (double)y[2 * j], (double)y[2 * i + 1] - (double)y[2 * j + 1]);
            assert_true(isfinite(d));
            int at = found < 5 ? found : 5;
            for (; j != i && at > 0 && nearest[at - 1] > d; at--) {
                nearest[at] = nearest[at - 1];
                whose[at] = whose[at - 1];
            }
            if (j != i && at < 5) {
                nearest[at] = d;
                whose[at] = j;
                found += found < 5;
            }
        }
        for (int k = 0; k < 5; k++)
            stranger += whose[k] / EACH != i / EACH;
    }
    assert_true(stranger < ROWS * 5 / 100);
    cbm_tsne_options options;
    cbm_tsne_options_init(&options);
    options.perplexity = 15;
    const float *again = cbm_tensor_data(cbm_tsne_with(x, &options));
    assert_memory_equal(y, again, 2 * ROWS * sizeof *y);
    cbm_close(cx);
}

static void test_refused(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_tensor *x = cbm_normal(cx, CBM_F32, CBM_SHAPE(10, 1), 0, 1);
    assert_non_null(cbm_tensor_data(cbm_tsne(x, .perplexity = 2, .steps = 3))); /* a single column */
    assert_true(cbm_tensor_failed(cbm_tsne(x)));
    assert_string_equal(cbm_message(cx), "[tsne] perplexity is 30; 1 to less than the rows is possible");
    cbm_clear(cx);
    assert_true(cbm_tensor_failed(cbm_tsne(x, .perplexity = 3, .steps = 0)));
    cbm_clear(cx);
    assert_true(cbm_tensor_failed(cbm_tsne(cbm_ones(cx, CBM_F32, CBM_SHAPE(1, 3)), .perplexity = 1)));
    assert_int_equal(cbm_context_status(cx), CBM_ERROR_SHAPE);
    cbm_clear(cx);
    assert_true(cbm_tensor_failed(cbm_tsne_with(x, NULL)));
    assert_int_equal(cbm_context_status(cx), CBM_ERROR_INVALID);
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pca),
        cmocka_unit_test(test_tsne),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
