/* test_cpu_reductions.c: kernels of reductions, order and scans, at every SIMD level against the reference backend's, on random
   shapes and on some large ones, with infinities, NaN, ties. */
#include "backend/kernels.h"

enum { ROUNDS = 150 };

/* Some axes, and the shape without them. */
static cbm_reduce_attributes random_axes(const cbm_shape *shape, cbm_shape *kept)
{
    cbm_reduce_attributes a = { .keepdim = 0 };
    *kept = (cbm_shape){ { 0 } };
    for (int64_t d = 0; d < shape->v[0]; d++) {
        if (draw() < 0.5)
            a.axes.v[1 + a.axes.v[0]++] = d;
        else
            kept->v[1 + kept->v[0]++] = shape->v[1 + d];
    }
    return a;
}

static void sprinkle(cbm_buffer *b, double part, const double *odd, int n)
{
    for (int64_t i = 0; i < b->count; i++)
        if (draw() < part)
            put(b->data, b->dtype, i, odd[draw_int(0, n - 1)]);
}

static const double specials[] = { (double)NAN, (double)INFINITY, -(double)INFINITY, 0 };

/* ---- one reduction, whatever its attributes ---- */

typedef union any_attributes {
    cbm_reduce_attributes over;
    cbm_var_attributes var;
    cbm_norm_attributes norm;
} any_attributes;

static const struct {
    const char *op;
    double low, high; /* of x */
    double p;         /* of a norm; the correction of a variance */
    double tolerance;
    bool finite; /* odd numbers spoil the comparison */
} kinds[] = {
    { "prod", 0.9, 1.1, 0, 2e-5, false },
    { "max", -1, 1, 0, 0, false },
    { "min", -1, 1, 0, 0, false },
    { "norm", -1, 1, 2, 2e-6, false },
    { "norm", -1, 1, 1, 2e-6, false },
    { "norm", -1, 1, 0, 0, false },
    { "norm", -1, 1, 3, 3e-6, false },
    { "norm", 0.5, 1, 0.5, 2e-5, false },
    { "norm", -1, 1, (double)INFINITY, 0, false },
    { "norm", -1, 1, -(double)INFINITY, 0, false },
    { "var", -1, 3, 1, 2e-6, true },
    { "std", 99, 101, 0, 1e-5, true },
    { "var", 999, 1001, 0, 2e-5, true },
    { "logsumexp", -20, 20, 0, 2e-6, false },
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void try_reduction(int kind, cbm_shape shape, const cbm_reduce_attributes *over, cbm_shape kept, bool odd)
{
    any_attributes a = { .var = { *over, 0 } };
    const bool spread = strcmp(kinds[kind].op, "var") == 0 || strcmp(kinds[kind].op, "std") == 0;
    if (spread)
        a.var.correction = kinds[kind].p;
    else
        a.norm.p = kinds[kind].p;
    trial t = { .op = kinds[kind].op,
                .attributes = &a,
                .n_in = 1,
                .n_out = spread ? 2 : 1,
                .threads = draw_int(1, 4),
                .tolerance = kinds[kind].tolerance };
    t.in[0] = buffer(CBM_F32, shape);
    t.out[0] = t.out[1] = buffer(CBM_F32, kept);
    fill_buffer(&t.in[0], (fill){ kinds[kind].low, kinds[kind].high });
    if (odd && !kinds[kind].finite)
        sprinkle(&t.in[0], 0.01, specials, 4);
    compare(&t);
}

static void reductions(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS * 3; round++) {
        const int64_t rank = draw_int(0, 5);
        const cbm_shape shape = random_shape(rank, rank < 3 ? 700 : 12);
        cbm_shape kept;
        const cbm_reduce_attributes a = random_axes(&shape, &kept);
        try_reduction(round % KINDS, shape, &a, kept, round % 3 == 0);
    }
}

static void large_reductions(void **state)
{
    (void)state;
    static const struct {
        cbm_shape shape, axes, kept;
    } cases[] = {
        { { { 3, 3, 300, 999 } }, { { 3, 0, 1, 2 } }, { { 0 } } },
        { { { 1, 300000 } }, { { 1, 0 } }, { { 0 } } },
        { { { 2, 40000, 9 } }, { { 1, 0 } }, { { 1, 9 } } },
        { { { 2, 70, 9001 } }, { { 1, 0 } }, { { 1, 9001 } } },
        { { { 3, 16, 3, 4097 } }, { { 2, 0, 2 } }, { { 1, 3 } } },
        { { { 3, 2, 3000, 64 } }, { { 1, 1 } }, { { 2, 2, 64 } } },
        { { { 3, 30, 40, 600 } }, { { 2, 0, 1 } }, { { 1, 600 } } },
        { { { 4, 6, 70, 5, 80 } }, { { 2, 0, 2 } }, { { 2, 70, 80 } } },
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int kind = 0; kind < KINDS; kind++) {
            const cbm_reduce_attributes a = { .axes = cases[c].axes };
            if (strcmp(kinds[kind].op, "prod") != 0) /* overflows */
                try_reduction(kind, cases[c].shape, &a, cases[c].kept, false);
        }
}

/* ---- whole numbers ---- */

static void counts(void **state)
{
    (void)state;
    static const cbm_dtype dtypes[] = { CBM_I64, CBM_I32, CBM_U8, CBM_BOOL };
    static const char *const ops[] = { "sum", "any", "all" };
    for (int round = 0; round < ROUNDS * 2; round++) {
        const cbm_dtype dtype = round % 3 == 0 ? dtypes[draw_int(0, 3)] : CBM_BOOL;
        const int64_t rank = draw_int(0, 4);
        const cbm_shape shape = random_shape(rank, rank < 2 ? 200000 : rank < 3 ? 900 : 20);
        cbm_shape kept;
        const cbm_reduce_attributes a = random_axes(&shape, &kept);
        trial t = { .op = ops[round % 3], .attributes = &a, .n_in = 1, .n_out = 1, .threads = draw_int(1, 4) };
        t.in[0] = buffer(dtype, shape);
        t.out[0] = buffer(round % 3 == 0 ? CBM_I64 : CBM_BOOL, kept);
        fill_buffer(&t.in[0], dtype == CBM_BOOL ? (fill){ 0, 1 }
                              : dtype == CBM_U8 ? (fill){ 0, 255 }
                                                : (fill){ -9, 9 });
        if (round % 3 > 0) { /* mostly of one kind */
            const double one[] = { round % 3 == 1 ? 0 : 1 };
            sprinkle(&t.in[0], draw() < 0.5 ? 0.999 : 1, one, 1);
        }
        compare(&t);
    }
}

/* ---- places ---- */

static void places(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const cbm_shape shape = random_shape(3, round % 5 ? 40 : 300);
        cbm_reduce_attributes a = { 0 };
        cbm_shape kept = { { 0 } };
        const int64_t axis = draw_int(-1, 2); /* -1: all */
        for (int64_t d = 0; d < 3; d++) {
            if (axis < 0 || d == axis)
                a.axes.v[1 + a.axes.v[0]++] = d;
            else
                kept.v[1 + kept.v[0]++] = shape.v[1 + d];
        }
        trial t = { .op = round % 2 ? "argmin" : "argmax", .attributes = &a, .n_in = 1, .n_out = 1, .threads = 2 };
        t.in[0] = buffer(CBM_F32, shape);
        t.out[0] = buffer(CBM_I64, kept);
        fill_buffer(&t.in[0], (fill){ 0, 1 });
        float *x = t.in[0].data;
        for (int64_t i = 0; i < t.in[0].count; i++)
            x[i] = floorf(x[i] * 8); /* many equal ones */
        if (round % 3 == 0)
            sprinkle(&t.in[0], 0.02, specials, 4);
        compare(&t);
    }
}

static void orders(void **state)
{
    (void)state;
    static const cbm_dtype dtypes[] = { CBM_F32, CBM_F64, CBM_I64, CBM_I32, CBM_U8 };
    for (int round = 0; round < ROUNDS * 2; round++) {
        cbm_shape shape = random_shape(3, round % 9 ? 30 : 400);
        const int64_t axis = draw_int(0, 2), n = shape.v[1 + axis];
        const cbm_kth_attributes a = { axis, draw() < 0.2 ? n - 1 : draw_int(0, n - 1), round % 2 };
        trial t = { .op = "kth_index", .attributes = &a, .n_in = 1, .n_out = 1, .threads = draw_int(1, 3) };
        t.in[0] = buffer(dtypes[round % 5], shape);
        fill_buffer(&t.in[0], (fill){ round % 5 == 4 ? 0 : -9, 9 });
        for (int64_t i = 0; i < t.in[0].count && round % 5 < 2; i++)
            put(t.in[0].data, t.in[0].dtype, i, round % 4 ? floor(get(t.in[0].data, t.in[0].dtype, i)) / 2 : 0.0);
        if (round % 5 < 2)
            sprinkle(&t.in[0], 0.1, (const double[]){ (double)NAN, (double)INFINITY, -(double)INFINITY, -0.0 }, 4);
        if (t.in[0].dtype == CBM_I64)
            ((int64_t *)t.in[0].data)[0] = INT64_MAX; /* looks like NaN's key */
        shape.v[1 + axis] = 1;
        t.out[0] = buffer(CBM_I64, shape);
        compare(&t);
    }
}

/* ---- scans ---- */

static void scans(void **state)
{
    (void)state;
    static const struct {
        const char *op;
        double low, high, tolerance;
    } ops[] = {
        { "cumsum", -1, 1, 1e-6 },         { "cumprod", 0.9, 1.1, 1e-6 }, { "linear_scan", -1, 1, 1e-6 },
        { "logcumsumexp", -20, 20, 1e-6 }, { "cummax_index", -9, 9, 0 },  { "cummin_index", -9, 9, 0 },
    };
    for (int round = 0; round < ROUNDS * 3; round++) {
        const int which = round % 6;
        const cbm_shape shape =
            round % 7 ? random_shape(3, 40) : CBM_SHAPE(draw_int(1, 3), draw_int(1, 900), draw_int(1, 700));
        const cbm_scan_attributes a = { draw_int(0, 2), round % 2 };
        trial t = { .op = ops[which].op,
                    .attributes = &a,
                    .n_in = which == 2 ? 2 : 1,
                    .n_out = 1,
                    .threads = draw_int(1, 3),
                    .tolerance = ops[which].tolerance };
        for (size_t i = 0; i < t.n_in; i++) {
            t.in[i] = buffer(CBM_F32, shape);
            fill_buffer(&t.in[i], (fill){ ops[which].low, ops[which].high });
        }
        for (int64_t i = 0; i < t.in[0].count && which > 3; i++)
            put(t.in[0].data, CBM_F32, i, floor(get(t.in[0].data, CBM_F32, i)));
        if (round % 4 == 0)
            sprinkle(&t.in[0], 0.01, specials, which == 2 ? 1 : 4);
        t.out[0] = buffer(which > 3 ? CBM_I64 : CBM_F32, shape);
        compare(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reductions), cmocka_unit_test(large_reductions), cmocka_unit_test(counts),
        cmocka_unit_test(places),     cmocka_unit_test(orders),           cmocka_unit_test(scans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
