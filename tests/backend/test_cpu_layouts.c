/* test_cpu_layouts.c: operands in other physical layouts. Reordering, by both backends, against a walk that names every
   element's place; and the kernels that take such operands, against the reference backend on plain ones. */
#include "backend/layouts.h"

enum { ROUNDS = 60 };

static int64_t place_of(cbm_layout layout, const int64_t *shape, int64_t n, int64_t c, int64_t h, int64_t w)
{
    const int64_t C = shape[1], H = shape[2], W = shape[3];
    switch (layout) {
    case CBM_LAYOUT_CHANNELS_LAST: return ((n * H + h) * W + w) * C + c;
    case CBM_LAYOUT_BLOCKED_8: return (((n * (C / 8) + c / 8) * H + h) * W + w) * 8 + c % 8;
    case CBM_LAYOUT_BLOCKED_16: return (((n * (C / 16) + c / 16) * H + h) * W + w) * 16 + c % 16;
    default: return ((n * C + c) * H + h) * W + w;
    }
}

static cbm_shape random_images(void)
{
    static const int64_t channels[] = { 8, 16, 24, 48, 64, 1, 3, 17 };
    static const int64_t samples[] = { 0, 1, 3, 2 };
    return CBM_SHAPE(samples[draw_int(0, 3)], channels[draw_int(0, 7)], draw_int(1, 19), draw_int(1, 19));
}

static void check_reorder(const cbm_backend *backend, const cbm_buffer *from, cbm_buffer *to)
{
    const size_t size = cbm_dtype_size(from->dtype), bytes = (size_t)from->count * size;
    unsigned char *memory = malloc(bytes + CANARY);
    memset(memory, 0xee, bytes + CANARY);
    to->data = memory;
    backend->reorder(from, to, draw_int(1, 3));
    const int64_t *s = from->shape;
    for (int64_t n = 0; n < s[0]; n++)
        for (int64_t c = 0; c < s[1]; c++)
            for (int64_t h = 0; h < s[2]; h++)
                for (int64_t w = 0; w < s[3]; w++) {
                    const int64_t a = place_of((cbm_layout)from->layout, s, n, c, h, w);
                    const int64_t b = place_of((cbm_layout)to->layout, s, n, c, h, w);
                    assert_memory_equal((char *)from->data + (size_t)a * size, memory + (size_t)b * size, size);
                }
    for (int i = 0; i < CANARY; i++)
        assert_int_equal(memory[bytes + (size_t)i], 0xee);
    free(memory);
}

static void reorders(void **state)
{
    static const cbm_dtype dtypes[] = { CBM_F32, CBM_F64, CBM_U8 };
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const cbm_shape shape = random_images();
        cbm_buffer from = buffer(dtypes[round % 3], shape), to = from;
        for (size_t i = 0; i < 16; i++) {
            from.layout = (int32_t)layouts[i / 4];
            to.layout = (int32_t)layouts[i % 4];
            if (!fits(layouts[i / 4], shape.v[2]) || !fits(layouts[i % 4], shape.v[2]))
                continue;
            fill_buffer(&from, (fill){ 0, 255 });
            check_reorder(&cbm_backend_reference, &from, &to);
            for (int level = 0; level < N_LEVELS; level++)
                if (cbm_simd_named(simd_levels[level])) {
                    cbm_simd_choose(cbm_simd_named(simd_levels[level]));
                    check_reorder(&cbm_backend_cpu, &from, &to);
                }
            cbm_simd_choose(NULL);
            free(from.data);
        }
    }
}

static void pools(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const int shape = round % 4; /* 2 x 2 apart, 3 x 3 overlapping, anything, the whole plane */
        const cbm_shape x = random_images();
        const int64_t h = x.v[3] + 2, w = x.v[4] + 2;
        int64_t kh = shape == 0   ? 2
                     : shape == 1 ? 3
                                  : draw_int(1, 4),
                kw = shape == 1   ? 3
                     : shape == 0 ? 2
                                  : draw_int(1, 4);
        kh = shape == 3 ? h : kh > h ? h : kh;
        kw = shape == 3 ? w : kw > w ? w : kw;
        cbm_pool_attributes a = { .kernel = CBM_SHAPE(kh, kw),
                                  .dilation = CBM_SHAPE(1, 1),
                                  .exclude_pad = draw_int(0, 1) };
        a.stride = shape == 0   ? CBM_SHAPE(2, 2)
                   : shape == 1 ? CBM_SHAPE(2, 2)
                                : CBM_SHAPE(draw_int(1, 5), draw_int(1, 5));
        a.padding = shape == 0 ? CBM_SHAPE(0, 0) : CBM_SHAPE(draw_int(0, kh / 2), draw_int(0, kw / 2));
        a.input_shape = CBM_SHAPE(x.v[1], x.v[2], h, w);
        const cbm_shape y = CBM_SHAPE(x.v[1], x.v[2], (h + 2 * a.padding.v[1] - kh) / a.stride.v[1] + 1,
                                      (w + 2 * a.padding.v[2] - kw) / a.stride.v[2] + 1);
        const bool narrow = kh * kw <= 256;
        const cbm_buffer in = buffer(CBM_F32, a.input_shape), out = buffer(CBM_F32, y),
                         places = buffer(narrow ? CBM_U8 : CBM_I64, y);
        trial t[4] = {
            { .op = "max_pool2d", .n_in = 1, .n_out = 2, .in = { in }, .out = { out, places } },
            { .op = "max_pool2d_backward", .n_in = 2, .n_out = 1, .in = { out, places }, .out = { in } },
            { .op = "avg_pool2d", .n_in = 1, .n_out = 1, .in = { in }, .out = { out } },
            { .op = "avg_pool2d_backward", .n_in = 1, .n_out = 1, .in = { out }, .out = { in } },
        };
        for (int i = narrow ? 0 : 2; i < 4; i++) {
            t[i].attributes = &a;
            t[i].threads = draw_int(1, 3);
            t[i].tolerance = 1e-6;
            for (size_t k = 0; k < t[i].n_in; k++)
                fill_buffer(&t[i].in[k],
                            t[i].in[k].dtype == CBM_F32 ? (fill){ -1, 1 } : (fill){ 0, (double)(kh * kw) });
            if (i == 0) /* many equal ones, and NaN */
                for (int64_t k = 0; k < t[i].in[0].count; k++) {
                    float *v = (float *)t[i].in[0].data + k;
                    *v = round % 5 == 0 && draw() < 0.1 ? NAN : round % 2 ? floorf(3 * *v) : *v;
                }
            compare_layouts(&t[i]);
        }
    }
}

static void batch_norms(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        cbm_shape shape = random_images();
        cbm_cpu_stream_from(round % 2 ? 0 : -1); /* large results go past the caches; here, small ones too */
        if (round % 10 == 0)
            shape = CBM_SHAPE(5, 48, 41, 37);          /* several parts */
        if (shape.v[1] * shape.v[3] * shape.v[4] == 1) /* one element alone: the variance is rounding noise */
            shape.v[3] = 2;
        const cbm_batch_norm_attributes a = { 1e-5 };
        const cbm_buffer x = buffer(CBM_F32, shape), vector = buffer(CBM_F32, CBM_SHAPE(shape.v[2]));
        trial t[3] = {
            { .op = "batch_norm", .n_in = 3, .in = { x, vector, vector }, .out = { x, vector, vector } },
            { .op = "batch_norm_backward",
              .n_in = 5,
              .in = { x, vector, vector, vector, x },
              .out = { x, vector, vector } },
            { .op = "batch_norm_relu_backward",
              .n_in = 6,
              .in = { x, vector, vector, vector, vector, x },
              .out = { x, vector, vector } },
        };
        for (int i = 0; i < 3; i++) {
            t[i].attributes = &a;
            t[i].n_out = 3;
            t[i].threads = draw_int(1, 3);
            t[i].tolerance = 1e-5;
            for (size_t k = 0; k < t[i].n_in; k++)
                fill_buffer(&t[i].in[k], k == 1 ? (fill){ 0.5, 2 } : (fill){ -1, 1 });
            compare_layouts(&t[i]);
        }
    }
    cbm_cpu_stream_from(-1);
}

/* What a kernel does to its result before writing it: add what is there, then the ReLU and its upper bound. */
static void batch_norms_and_more(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        cbm_shape shape = random_images();
        shape.v[1] = shape.v[1] < 2 ? 2 : shape.v[1];
        const cbm_post after = { .add = round & 1, .relu = round & 2, .upper = (round & 6) == 6 ? 0.5f : 0 };
        const cbm_batch_norm_attributes a = { 1e-5 };
        const cbm_layout layout = layouts[draw_int(0, 3)];
        cbm_buffer x = buffer(CBM_F32, shape), added = x, y = x;
        cbm_buffer vectors[4];
        if (!fits(layout, shape.v[2]))
            continue;
        fill_buffer(&x, (fill){ -1, 1 });
        fill_buffer(&added, (fill){ -1, 1 });
        fill_buffer(&y, (fill){ 0, 0 });
        for (int i = 0; i < 4; i++) {
            vectors[i] = buffer(CBM_F32, CBM_SHAPE(shape.v[2]));
            fill_buffer(&vectors[i], (fill){ 0.5, 1 });
        }
        trial t = { .op = "batch_norm", .attributes = &a, .n_in = 3, .n_out = 3, .threads = draw_int(1, 3) };
        t.in[0] = x;
        t.in[1] = vectors[0];
        t.in[2] = vectors[1];
        t.out[0] = y;
        t.out[1] = t.out[2] = vectors[2];
        char message[256] = "";
        cbm_buffer want[4];
        memcpy(want, t.out, sizeof want);
        assert_int_equal(run_on(&cbm_backend_reference, &t, want, message), CBM_OK);
        for (int64_t i = 0; i < x.count; i++) {
            float *v = (float *)want[0].data + i;
            *v += after.add ? ((float *)added.data)[i] : 0;
            *v = after.relu && *v < 0 ? 0 : *v;
            *v = after.relu && after.upper > 0 && *v > after.upper ? after.upper : *v;
        }
        const cbm_buffer there = in_layout(&added, layout), from = in_layout(&x, layout);
        for (int level = 0; level < N_LEVELS; level++) {
            if (!cbm_simd_named(simd_levels[level]))
                continue;
            cbm_simd_choose(cbm_simd_named(simd_levels[level]));
            cbm_buffer in[3] = { from, vectors[0], vectors[1] },
                       out[3] = { in_layout(&there, layout), vectors[2], vectors[3] };
            cbm_launch l = { .op = cbm_op_named("batch_norm"),
                             .attributes = &a,
                             .n_in = 3,
                             .n_out = 3,
                             .in = in,
                             .out = out,
                             .threads = t.threads,
                             .after = &after,
                             .message = message };
            memcpy(out[0].data, there.data, (size_t)x.count * sizeof(float));
            const cbm_kernel *k = cbm_backend_kernel(&cbm_backend_cpu, &l);
            cbm_prepare p = { .launch = &l, .threads = l.threads, .message = message };
            assert_non_null(k);
            assert_int_equal(k->prepare(&p), CBM_OK);
            l.workspace = malloc(p.workspace + 1);
            assert_int_equal(k->launch(&l), CBM_OK);
            cbm_buffer plain = in_layout(&out[0], CBM_LAYOUT_PLAIN);
            assert_true(distance(&plain, &want[0]) < 1e-5);
            free(l.workspace);
            free(plain.data);
            free(out[0].data);
        }
        cbm_simd_choose(NULL);
        for (size_t i = 0; i < 3; i++)
            free(want[i].data);
        for (int i = 0; i < 4; i++)
            free(vectors[i].data);
        free(there.data);
        free(from.data);
        free(x.data);
        free(added.data);
        free(y.data);
    }
}

static void reductions(void **state)
{
    static const cbm_shape axes[] = { { { 2, 2, 3 } }, { { 3, 0, 2, 3 } }, { { 4, 0, 1, 2, 3 } } };
    (void)state;
    for (int round = 0; round < 2 * ROUNDS; round++) {
        cbm_shape shape = random_images();
        if (round % 10 == 0)
            shape = CBM_SHAPE(5, 48, 41, 37); /* several parts */
        const cbm_reduce_attributes a = { .axes = axes[round % 3] };
        trial t = { .op = round % 2 ? "sum" : "mean", .attributes = &a, .n_in = 1, .n_out = 1, .tolerance = 2e-5 };
        t.threads = draw_int(1, 3);
        t.in[0] = buffer(CBM_F32, shape);
        t.out[0] = buffer(CBM_F32, round % 3 == 0   ? CBM_SHAPE(shape.v[1], shape.v[2])
                                   : round % 3 == 1 ? CBM_SHAPE(shape.v[2])
                                                    : CBM_SHAPE());
        fill_buffer(&t.in[0], (fill){ -1, 1 });
        compare_layouts(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reorders),    cmocka_unit_test(pools),
        cmocka_unit_test(batch_norms), cmocka_unit_test(batch_norms_and_more),
        cmocka_unit_test(reductions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
