/* test_cpu_spatial.c: the CPU backend's convolutions and pools in one and three dimensions, pooling to a size, interpolation,
   and norms of rows and groups, on random shapes and in every layout, against the reference backend. */
#include "backend/layouts.h"

enum { ROUNDS = 60, MOST = 3 };

/* (N, C, then n extents drawn from [low, high]) */
static cbm_shape random_picture(int64_t n, int64_t low, int64_t high)
{
    static const int64_t channels[] = { 8, 16, 24, 48, 1, 3, 17 };
    cbm_shape s = { { n + 2, draw_int(1, 3), channels[draw_int(0, 6)] } };
    for (int64_t i = 1; i <= n; i++)
        s.v[2 + i] = draw_int(low, high);
    return s;
}

/* Of n extents: in n = 3 short ones. */
static int64_t longest(int64_t n)
{
    return n == 3 ? 7 : n == 2 ? 15 : 60;
}

static const char *name_of(char *text, size_t size, const char *format, int64_t n)
{
    snprintf(text, size, format, (int)n);
    return text;
}

/* ---- pools ---- */

static void windows(cbm_pool_attributes *a, int64_t n, int64_t dilation, bool average)
{
    *a = (cbm_pool_attributes){ .kernel = { { n } }, .stride = { { n } }, .padding = { { n } }, .dilation = { { n } } };
    a->ceil_mode = draw_int(0, 1);
    a->exclude_pad = average && draw_int(0, 1);
    a->divisor = average && draw_int(0, 3) == 0 ? 5 : 0;
    for (int64_t i = 1; i <= n; i++) {
        a->kernel.v[i] = draw_int(1, 4);
        a->dilation.v[i] = draw_int(1, dilation);
        a->stride.v[i] = draw_int(1, 4);
        a->padding.v[i] = draw_int(0, (a->dilation.v[i] * (a->kernel.v[i] - 1) + 1) / 2);
    }
}

static cbm_shape pooled(const cbm_pool_attributes *a)
{
    cbm_shape y = a->input_shape;
    for (int64_t i = 1; i <= a->kernel.v[0]; i++) {
        const int64_t reach = a->dilation.v[i] * (a->kernel.v[i] - 1) + 1, stride = a->stride.v[i];
        const int64_t size = y.v[2 + i], padding = a->padding.v[i];
        y.v[2 + i] = (size + 2 * padding - reach + (a->ceil_mode ? stride - 1 : 0)) / stride + 1;
        if (a->ceil_mode && (y.v[2 + i] - 1) * stride >= size + padding)
            y.v[2 + i]--;
    }
    return y;
}

static void pools(void **state)
{
    (void)state;
    for (int round = 0; round < 3 * ROUNDS; round++) {
        const int64_t n = 1 + round % 3, dilation = round % 2 + 1;
        const bool layouts_too = dilation == 1 && n < 3;
        cbm_pool_attributes a, b;
        char name[4][32];
        windows(&a, n, dilation, false);
        windows(&b, n, 1, true);
        a.input_shape = b.input_shape = random_picture(n, 8, 8 + longest(n));
        const cbm_buffer x = buffer(CBM_F32, a.input_shape), y = buffer(CBM_F32, pooled(&a)),
                         z = buffer(CBM_F32, pooled(&b)), place = buffer(CBM_U8, pooled(&a));
        int64_t taps = 1;
        for (int64_t i = 1; i <= n; i++)
            taps *= a.kernel.v[i];
        trial t[4] = {
            { .op = name_of(name[0], 32, "max_pool%dd", n), .n_in = 1, .n_out = 2, .in = { x }, .out = { y, place } },
            { .op = name_of(name[1], 32, "max_pool%dd_backward", n),
              .n_in = 2,
              .n_out = 1,
              .in = { y, place },
              .out = { x } },
            { .op = name_of(name[2], 32, "avg_pool%dd", n), .n_in = 1, .n_out = 1, .in = { x }, .out = { z } },
            { .op = name_of(name[3], 32, "avg_pool%dd_backward", n), .n_in = 1, .n_out = 1, .in = { z }, .out = { x } },
        };
        for (int i = 0; i < 4; i++) {
            t[i].attributes = i < 2 ? &a : &b;
            t[i].threads = draw_int(1, 3);
            t[i].tolerance = 2e-6;
            for (int again = 0; again < (layouts_too ? 2 : 1); again++) {
                trial now = t[i];
                for (size_t k = 0; k < now.n_in; k++)
                    fill_buffer(&now.in[k], k == 0 ? (fill){ -1, 1 } : (fill){ 0, (double)taps });
                if (again)
                    compare_layouts(&now);
                else
                    compare(&now);
            }
        }
        trial indices = {
            .op = name_of(name[0], 32, "max_pool%dd_indices", n), .attributes = &a, .n_in = 1, .n_out = 1
        };
        indices.in[0] = place;
        indices.out[0] = buffer(CBM_I64, pooled(&a));
        indices.threads = 2;
        fill_buffer(&indices.in[0], (fill){ 0, (double)taps });
        compare(&indices);
    }
}

/* ---- convolutions ---- */

static void convolutions(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t n = round % 2 ? 3 : 1, groups = round % 4 == 0 ? 2 : 1;
        char name[3][32];
        cbm_conv_attributes a = { .stride = { { n } }, .padding = { { n } }, .dilation = { { n } }, .groups = groups };
        cbm_shape x = random_picture(n, 5, 5 + longest(n)), y = { { n + 2, x.v[1] } }, w = { { n + 2 } };
        x.v[2] = groups * (round % 3 ? draw_int(1, 20) : 16);
        y.v[2] = w.v[1] = groups * (round % 3 ? draw_int(1, 20) : 32);
        w.v[2] = x.v[2] / groups;
        for (int64_t i = 1; i <= n; i++) {
            w.v[2 + i] = draw_int(1, 3);
            a.stride.v[i] = draw_int(1, 2);
            a.padding.v[i] = draw_int(0, 2);
            a.dilation.v[i] = draw_int(1, 2);
            const int64_t reach = a.dilation.v[i] * (w.v[2 + i] - 1) + 1;
            y.v[2 + i] = (x.v[2 + i] + 2 * a.padding.v[i] - reach) / a.stride.v[i] + 1;
        }
        a.input_shape = x;
        a.weight_shape = w;
        const cbm_buffer bx = buffer(CBM_F32, x), bw = buffer(CBM_F32, w), by = buffer(CBM_F32, y),
                         bias = buffer(CBM_F32, CBM_SHAPE(w.v[1]));
        trial t[3] = {
            { .op = name_of(name[0], 32, "conv%dd", n),
              .n_in = round % 3 ? 3 : 2,
              .in = { bx, bw, bias },
              .out = { by } },
            { .op = name_of(name[1], 32, "conv%dd_input_grad", n), .n_in = 2, .in = { by, bw }, .out = { bx } },
            { .op = name_of(name[2], 32, "conv%dd_weight_grad", n), .n_in = 2, .in = { bx, by }, .out = { bw } },
        };
        for (int i = 0; i < 3; i++) {
            t[i].attributes = &a;
            t[i].n_out = 1;
            t[i].threads = draw_int(1, 3);
            t[i].tolerance = 2e-5;
            for (size_t k = 0; k < t[i].n_in; k++)
                fill_buffer(&t[i].in[k], (fill){ -1, 1 });
            compare(&t[i]);
        }
    }
}

/* ---- to a size ---- */

static void adaptive(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t n = 1 + round % 3;
        const cbm_shape x = random_picture(n, 1, longest(n));
        cbm_output_attributes a = { { { n } } }, back = { { { n } } };
        cbm_shape y = x;
        int64_t places = 1;
        for (int64_t i = 1; i <= n; i++) {
            y.v[2 + i] = a.output.v[i] = draw_int(1, longest(n));
            places *= back.output.v[i] = x.v[2 + i];
        }
        trial t[2] = {
            { .op = "adaptive_max_pool", .attributes = &a, .n_in = 1, .n_out = 2 },
            { .op = "max_unpool", .attributes = &back, .n_in = 2, .n_out = 1 },
        };
        t[0].in[0] = buffer(CBM_F32, x);
        t[0].out[0] = t[1].in[0] = buffer(CBM_F32, y);
        t[0].out[1] = t[1].in[1] = buffer(CBM_I64, y);
        t[1].out[0] = buffer(CBM_F32, x);
        for (int i = 0; i < 2; i++) {
            t[i].threads = draw_int(1, 3);
            for (size_t k = 0; k < t[i].n_in; k++)
                fill_buffer(&t[i].in[k], k == 0 ? (fill){ -1, 1 } : (fill){ 0, (double)places - 1 });
            if (i == 0) /* many equal ones, and NaN */
                for (int64_t k = 0; k < t[0].in[0].count; k++) {
                    float *v = (float *)t[0].in[0].data + k;
                    *v = round % 5 == 0 && draw() < 0.1 ? NAN : floorf(3 * *v);
                }
            compare(&t[i]);
        }
    }
}

static void unpooling_checks(void **state)
{
    const cbm_output_attributes a = { { { 1, 5 } } };
    (void)state;
    for (int i = 0; i < 2; i++) {
        trial t = {
            .op = "max_unpool", .attributes = &a, .n_in = 2, .n_out = 1, .threads = 1, .want = CBM_ERROR_RANGE
        };
        t.in[0] = buffer(CBM_F32, CBM_SHAPE(1, 1, 2));
        t.in[1] = buffer(CBM_I64, CBM_SHAPE(1, 1, 2));
        t.out[0] = buffer(CBM_F32, CBM_SHAPE(1, 1, 5));
        fill_buffer(&t.in[0], (fill){ 0, 1 });
        fill_buffer(&t.in[1], i ? (fill){ 5, 5 } : (fill){ -1, -1 });
        compare(&t);
    }
}

static void resampling(void **state)
{
    (void)state;
    for (int round = 0; round < 3 * ROUNDS; round++) {
        const int64_t n = 1 + round % 3;
        cbm_shape x = random_picture(n, 1, longest(n)), y;
        cbm_resample_attributes a = { .axis = draw_int(2, n + 1), .mode = round % 5 };
        a.input = x.v[1 + a.axis];
        a.output = draw_int(1, 2 * longest(n));
        a.align_corners = (a.mode == 2 || a.mode == 3) && draw_int(0, 1);
        a.scale = a.mode < 4 && !a.align_corners && draw_int(0, 2) == 0 ? (double)a.output / (double)a.input * 1.01 : 0;
        y = x;
        y.v[1 + a.axis] = a.output;
        for (int way = 0; way < 4; way++) {
            trial t = { .op = way % 2 ? "resample_backward" : "resample", .attributes = &a, .n_in = 1, .n_out = 1 };
            t.in[0] = buffer(CBM_F32, way % 2 ? y : x);
            t.out[0] = buffer(CBM_F32, way % 2 ? x : y);
            t.threads = draw_int(1, 3);
            t.tolerance = 2e-6;
            fill_buffer(&t.in[0], (fill){ -1, 1 });
            if (way < 2)
                compare(&t);
            else
                compare_layouts(&t);
        }
    }
}

/* ---- norms ---- */

static void norms_of_rows(void **state)
{
    (void)state;
    for (int round = 0; round < 2 * ROUNDS; round++) {
        const cbm_layer_norm_attributes a = { 1 + round % 2, 1e-5 };
        const cbm_dtype dtype = round % 4 == 3 ? CBM_BF16 : CBM_F32;
        const bool large = round % 10 == 0;
        const cbm_shape row =
            round % 2 ? CBM_SHAPE(draw_int(1, 9), draw_int(1, 40)) : CBM_SHAPE(large ? 5000 : draw_int(2, 700));
        const cbm_shape rows = CBM_SHAPE(draw_int(1, 5), large ? 40 : draw_int(1, 20));
        cbm_shape x = rows;
        for (int64_t i = 1; i <= row.v[0]; i++)
            x.v[++x.v[0]] = row.v[i];
        const cbm_buffer bx = buffer(dtype, x), w = buffer(CBM_F32, row), s = buffer(CBM_F32, rows);
        trial t[4] = {
            { .op = "layer_norm", .n_in = 3, .n_out = 3, .in = { bx, w, w }, .out = { bx, s, s } },
            { .op = "layer_norm_backward", .n_in = 5, .n_out = 3, .in = { bx, w, s, s, bx }, .out = { bx, w, w } },
            { .op = "rms_norm", .n_in = 2, .n_out = 2, .in = { bx, w }, .out = { bx, s } },
            { .op = "rms_norm_backward", .n_in = 4, .n_out = 2, .in = { bx, w, s, bx }, .out = { bx, w } },
        };
        for (int i = 0; i < 4; i++) {
            t[i].attributes = &a;
            t[i].threads = draw_int(1, 3);
            t[i].tolerance = dtype == CBM_BF16 ? 0x1p-8 : 1e-5;
            for (size_t k = 0; k < t[i].n_in; k++)
                fill_buffer(&t[i].in[k], k == 1 ? (fill){ 0.5, 2 } : (fill){ -1, 1 });
            compare(&t[i]);
        }
    }
}

static void norms_of_groups(void **state)
{
    (void)state;
    for (int round = 0; round < 2 * ROUNDS; round++) {
        static const int64_t divisors[] = { 1, 2, 3, 4, 8, 16, 17, 24 };
        cbm_shape x = random_picture(1 + round % 3, 1, longest(1 + round % 3));
        if (x.v[3] < 2)
            x.v[3] = 2; /* the variance of one element is rounding noise */
        cbm_group_norm_attributes a = { divisors[draw_int(0, 7)], 1e-5 };
        a.groups = x.v[2] % a.groups ? 1 : a.groups;
        const cbm_buffer bx = buffer(CBM_F32, x), w = buffer(CBM_F32, CBM_SHAPE(x.v[2])),
                         s = buffer(CBM_F32, CBM_SHAPE(x.v[1], a.groups));
        trial t[2] = {
            { .op = "group_norm", .n_in = 3, .in = { bx, w, w }, .out = { bx, s, s } },
            { .op = "group_norm_backward", .n_in = 5, .in = { bx, w, s, s, bx }, .out = { bx, w, w } },
        };
        for (int i = 0; i < 4; i++) {
            trial now = t[i % 2];
            now.attributes = &a;
            now.n_out = 3;
            now.threads = draw_int(1, 3);
            now.tolerance = 2e-5;
            for (size_t k = 0; k < now.n_in; k++)
                fill_buffer(&now.in[k], k == 1 ? (fill){ 0.5, 2 } : (fill){ -1, 1 });
            if (i < 2)
                compare(&now);
            else
                compare_layouts(&now);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pools),           cmocka_unit_test(convolutions),
        cmocka_unit_test(adaptive),        cmocka_unit_test(unpooling_checks),
        cmocka_unit_test(resampling),      cmocka_unit_test(norms_of_rows),
        cmocka_unit_test(norms_of_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
