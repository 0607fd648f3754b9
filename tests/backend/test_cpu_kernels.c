/* test_cpu_kernels.c: each kernel of the CPU backend against the reference backend's on random shapes, strides and thread
   counts, at every SIMD level. */
#include "backend/kernels.h"

enum { ROUNDS = 150 };

static void reductions(void **state)
{
    (void)state;
    static const char *const ops[] = { "sum", "mean", "max" };
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t rank = draw_int(0, 5);
        const cbm_shape shape = random_shape(rank, rank < 3 ? 700 : 12);
        cbm_reduce_attributes a = { .keepdim = 0 };
        cbm_shape kept = { { 0 } };
        for (int64_t d = 0; d < rank; d++) {
            if (draw() < 0.5)
                a.axes.v[1 + a.axes.v[0]++] = d;
            else
                kept.v[1 + kept.v[0]++] = shape.v[1 + d];
        }
        trial t = {
            .op = ops[round % 3], .attributes = &a, .n_in = 1, .n_out = 1, .threads = draw_int(1, 4), .tolerance = 1e-6
        };
        t.in[0] = buffer(CBM_F32, shape);
        t.out[0] = buffer(CBM_F32, kept);
        fill_buffer(&t.in[0], (fill){ -1, 1 });
        compare(&t);
    }
}

static void large_reductions(void **state)
{
    (void)state;
    static const struct {
        int64_t shape[4];
        cbm_shape axes, kept;
    } cases[] = {
        { { 3, 1000, 999 }, { { 3, 0, 1, 2 } }, { { 0 } } }, { { 1, 1, 300000 }, { { 1, 2 } }, { { 2, 1, 1 } } },
        { { 1, 40000, 9 }, { { 2, 0, 1 } }, { { 1, 9 } } },  { { 1, 70, 9001 }, { { 2, 0, 1 } }, { { 1, 9001 } } },
        { { 16, 3, 4097 }, { { 2, 0, 2 } }, { { 1, 3 } } },  { { 2, 3000, 64 }, { { 1, 1 } }, { { 2, 2, 64 } } },
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int op = 0; op < 3; op++) {
            cbm_reduce_attributes a = { .axes = cases[c].axes };
            trial t = { .op = (const char *const[]){ "sum", "mean", "max" }[op],
                        .attributes = &a,
                        .n_in = 1,
                        .n_out = 1,
                        .threads = 2,
                        .tolerance = 2e-6 };
            t.in[0] = buffer(CBM_F32, CBM_SHAPE(cases[c].shape[0], cases[c].shape[1], cases[c].shape[2]));
            t.out[0] = buffer(CBM_F32, cases[c].kept);
            fill_buffer(&t.in[0], (fill){ -1, 1 });
            compare(&t);
        }
}

static void argmaxima(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const cbm_shape shape = random_shape(3, 40);
        cbm_reduce_attributes a = { 0 };
        cbm_shape kept = { { 0 } };
        const int64_t axis = draw_int(-1, 2); /* -1: all */
        for (int64_t d = 0; d < 3; d++) {
            if (axis < 0 || d == axis)
                a.axes.v[1 + a.axes.v[0]++] = d;
            else
                kept.v[1 + kept.v[0]++] = shape.v[1 + d];
        }
        trial t = { .op = "argmax", .attributes = &a, .n_in = 1, .n_out = 1, .threads = 2 };
        t.in[0] = buffer(CBM_F32, shape);
        t.out[0] = buffer(CBM_I64, kept);
        fill_buffer(&t.in[0], (fill){ 0, 1 });
        float *x = t.in[0].data;
        for (int64_t i = 0; i < t.in[0].count; i++)
            x[i] = draw() < 0.02 ? NAN : floorf(x[i] * 8); /* many equal ones */
        compare(&t);
    }
}

static void softmaxes(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        static const cbm_shape even[] = {
            { { 3, 3, 20, 48 } }, { { 3, 2, 5, 5008 } }, { { 3, 70, 3000, 16 } }, { { 3, 2, 700, 1040 } }
        };
        const cbm_shape shape = round % 5 == 0 ? even[round / 5 % 4] : random_shape(3, round % 4 ? 60 : 150);
        const cbm_axis_attributes a = { draw_int(0, 2) };
        cbm_cpu_stream_from(round % 2 ? 0 : -1); /* large results go past the caches; here, small ones too */
        trial t = { .op = round / 2 % 2 ? "softmax" : "log_softmax",
                    .attributes = &a,
                    .n_in = 1,
                    .n_out = 1,
                    .threads = draw_int(1, 3),
                    .tolerance = 1e-6 };
        t.in[0] = t.out[0] = buffer(CBM_F32, shape);
        fill_buffer(&t.in[0], (fill){ -30, 30 });
        compare(&t);
    }
    cbm_cpu_stream_from(-1);
}

static void losses(void **state)
{
    (void)state;
    static const cbm_dtype labels[] = { CBM_I64, CBM_I32, CBM_U8 };
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t n = draw_int(1, 200), c = draw_int(1, 50), rest = draw() < 0.5 ? 1 : draw_int(2, 40);
        const cbm_shape x = rest == 1 ? CBM_SHAPE(n, c) : CBM_SHAPE(n, c, rest),
                        y = rest == 1 ? CBM_SHAPE(n) : CBM_SHAPE(n, rest);
        trial t = { .op = "cross_entropy", .n_in = 2, .n_out = 2, .threads = 2, .tolerance = 2e-6 };
        t.in[0] = buffer(CBM_F32, x);
        t.in[1] = buffer(labels[round % 3], y);
        t.out[0] = buffer(CBM_F32, CBM_SHAPE());
        t.out[1] = buffer(CBM_F32, y);
        const bool bad = round % 10 == 9;
        fill_buffer(&t.in[0], (fill){ -5, 5 });
        fill_buffer(&t.in[1], (fill){ 0, (double)(c - 1) });
        if (bad) {
            put(t.in[1].data, t.in[1].dtype, t.in[1].count - 1, (double)c);
            t.want = CBM_ERROR_RANGE;
        }
        compare(&t);
        trial b = { .op = "cross_entropy_backward", .n_in = 4, .n_out = 1, .threads = 2, .tolerance = 2e-6 };
        b.in[0] = buffer(CBM_F32, x);
        b.in[1] = buffer(labels[round % 3], y);
        b.in[2] = buffer(CBM_F32, y);
        b.in[3] = buffer(CBM_F32, CBM_SHAPE());
        b.out[0] = buffer(CBM_F32, x);
        fill_buffer(&b.in[0], (fill){ -5, 5 });
        fill_buffer(&b.in[1], (fill){ 0, (double)(c - 1) });
        fill_buffer(&b.in[2], (fill){ 4, 8 });
        fill_buffer(&b.in[3], (fill){ 0.5, 2 });
        compare(&b);
    }
}

static void pools(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const bool two = round % 3 == 0, wide = round % 8 == 7;
        const int64_t kh = two ? 2 : draw_int(1, 4) + 16 * wide, kw = two ? 2 : draw_int(1, 4) + 16 * wide;
        cbm_pool_attributes a = { .kernel = CBM_SHAPE(kh, kw),
                                  .dilation = CBM_SHAPE(1, 1),
                                  .exclude_pad = draw_int(0, 1) };
        a.stride = two ? CBM_SHAPE(2, 2) : CBM_SHAPE(draw_int(1, 3), draw_int(1, 3));
        a.padding = two ? CBM_SHAPE(0, 0) : CBM_SHAPE(draw_int(0, kh / 2), draw_int(0, kw / 2));
        const int64_t n = draw_int(1, 4), c = draw_int(1, 5), h = draw_int(kh, 40), w = draw_int(kw, 70);
        const int64_t oh = (h + 2 * a.padding.v[1] - kh) / a.stride.v[1] + 1;
        const int64_t ow = (w + 2 * a.padding.v[2] - kw) / a.stride.v[2] + 1;
        a.input_shape = CBM_SHAPE(n, c, h, w);
        trial t = { .op = "max_pool2d", .attributes = &a, .n_in = 1, .n_out = 2, .threads = 2, .tolerance = 1e-6 };
        t.in[0] = buffer(CBM_F32, a.input_shape);
        t.out[0] = buffer(CBM_F32, CBM_SHAPE(n, c, oh, ow));
        t.out[1] = buffer(kh * kw > 256 ? CBM_I64 : CBM_U8, CBM_SHAPE(n, c, oh, ow));
        fill_buffer(&t.in[0], (fill){ -1, 1 });
        float *x = t.in[0].data;
        for (int64_t i = 0; i < t.in[0].count; i++)
            x[i] = round % 7 == 0 && draw() < 0.1 ? NAN : round % 2 ? floorf(3 * x[i]) : x[i];
        char message[256] = "";
        cbm_buffer out[4];
        memcpy(out, t.out, sizeof out);
        run_on(&cbm_backend_reference, &t, out, message);

        trial b = {
            .op = "max_pool2d_backward", .attributes = &a, .n_in = 2, .n_out = 1, .threads = 2, .tolerance = 1e-6
        };
        b.in[0] = t.out[0];
        b.in[1] = out[1];
        b.out[0] = buffer(CBM_F32, a.input_shape);
        fill_buffer(&b.in[0], (fill){ -1, 1 });
        if (round % 5 == 4) /* somebody's own places, some of them outside */
            for (int64_t i = 0; i < out[1].count; i++)
                put(out[1].data, out[1].dtype, i, (double)draw_int(0, kh * kw + 1 < 256 ? kh * kw + 1 : kh * kw - 1));
        free(out[0].data);
        compare(&t);
        compare(&b);

        t.op = "avg_pool2d";
        t.n_out = 1;
        fill_buffer(&t.in[0], (fill){ -1, 1 });
        compare(&t);
        trial d = {
            .op = "avg_pool2d_backward", .attributes = &a, .n_in = 1, .n_out = 1, .threads = 2, .tolerance = 1e-6
        };
        d.in[0] = t.out[0];
        d.out[0] = buffer(CBM_F32, a.input_shape);
        fill_buffer(&d.in[0], (fill){ -1, 1 });
        compare(&d);
    }
}

static void batch_norms(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t n = draw_int(1, 20), c = draw_int(1, 150), h = draw_int(1, 9);
        const cbm_shape shape = round % 2 ? CBM_SHAPE(n, c) : CBM_SHAPE(n, c, h, round % 3 ? 7 : 16);
        cbm_cpu_stream_from(round % 4 ? 0 : -1); /* large results go past the caches; here, small ones too */
        const cbm_batch_norm_attributes a = { 1e-5 };
        const double offset = round % 5 == 0 ? 1000 : 0;
        trial t = { .op = "batch_norm",
                    .attributes = &a,
                    .n_in = 3,
                    .n_out = 3,
                    .threads = 2,
                    .tolerance = offset > 0 ? 1e-4 : 1e-5 };
        t.in[0] = t.out[0] = buffer(CBM_F32, shape);
        for (int i = 1; i < 3; i++)
            t.in[i] = t.out[i] = buffer(CBM_F32, CBM_SHAPE(c));
        fill_buffer(&t.in[0], (fill){ offset - 2, offset + 2 });
        fill_buffer(&t.in[1], (fill){ 0.5, 2 });
        fill_buffer(&t.in[2], (fill){ -1, 1 });
        if (n > 1) /* one sample alone: the variance is rounding noise */
            compare(&t);
        else
            for (int i = 0; i < 3; i++)
                free(t.in[i].data);
        trial b = {
            .op = "batch_norm_backward", .attributes = &a, .n_in = 5, .n_out = 3, .threads = 2, .tolerance = 1e-5
        };
        b.in[0] = b.in[4] = b.out[0] = buffer(CBM_F32, shape);
        for (int i = 1; i < 4; i++)
            b.in[i] = buffer(CBM_F32, CBM_SHAPE(c));
        b.out[1] = b.out[2] = b.in[1];
        fill_buffer(&b.in[0], (fill){ offset - 2, offset + 2 });
        fill_buffer(&b.in[1], (fill){ 0.5, 2 });
        fill_buffer(&b.in[2], (fill){ offset - 0.1, offset + 0.1 });
        fill_buffer(&b.in[3], (fill){ 0.5, 1 });
        fill_buffer(&b.in[4], (fill){ -1, 1 });
        compare(&b);
        if (offset > 0)
            continue; /* the ReLU's side would hang on rounding */
        trial r = { .op = "batch_norm_relu_backward", .n_in = 6, .n_out = 3, .threads = 2, .tolerance = 1e-5 };
        r.in[0] = r.in[5] = r.out[0] = buffer(CBM_F32, shape);
        for (int i = 1; i < 5; i++)
            r.in[i] = r.out[1] = r.out[2] = buffer(CBM_F32, CBM_SHAPE(c));
        fill_buffer(&r.in[0], (fill){ -2, 2 });
        fill_buffer(&r.in[1], (fill){ 0.5, 2 });
        fill_buffer(&r.in[2], (fill){ -1, 1 });
        fill_buffer(&r.in[3], (fill){ -0.1, 0.1 });
        fill_buffer(&r.in[4], (fill){ 0.5, 1 });
        fill_buffer(&r.in[5], (fill){ -1, 1 });
        compare(&r);
    }
    cbm_cpu_stream_from(-1);
}

static void products(void **state)
{
    (void)state;
    for (int round = 0; round < 2 * ROUNDS; round++) {
        const int64_t rank = draw_int(1, 4), most = round % 2 ? 9 : 80;
        const int64_t m = draw() < 0.2 ? 1 : draw_int(1, most), n = draw() < 0.2 ? 1 : draw_int(1, most);
        const int64_t k = round % 4 == 3 ? draw_int(100, 700) : draw_int(1, most);
        cbm_shape a = { { rank } }, b = { { draw_int(1, rank) } }, y = { { 0 } };
        for (int64_t d = 0; d + 2 < rank; d++) {
            a.v[1 + d] = draw() < 0.3 ? 1 : d + 2;
            const int64_t at = d - (rank - b.v[0]);
            if (at >= 0)
                b.v[1 + at] = draw() < 0.3 ? 1 : d + 2;
            y.v[1 + y.v[0]++] = a.v[1 + d] > 1 || at < 0 ? a.v[1 + d] : b.v[1 + at];
        }
        if (rank > 1) {
            a.v[rank - 1] = m;
            y.v[1 + y.v[0]++] = m;
        }
        a.v[rank] = k;
        b.v[b.v[0]] = k;
        if (b.v[0] > 1) {
            b.v[b.v[0] - 1] = k;
            b.v[b.v[0]] = n;
            y.v[1 + y.v[0]++] = n;
        }
        trial t = { .op = "matmul", .n_in = 2, .n_out = 1, .threads = draw_int(1, 2), .tolerance = 1e-5 };
        t.in[0] = random_layout(CBM_F32, a);
        t.in[1] = random_layout(CBM_F32, b);
        t.out[0] = buffer(CBM_F32, y);
        fill_buffer(&t.in[0], (fill){ -1, 1 });
        fill_buffer(&t.in[1], (fill){ -1, 1 });
        compare(&t);
    }
}

static void convolutions(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t groups = draw() < 0.3 ? draw_int(1, 4) : 1;
        const bool blocks = round % 3 == 0;
        int64_t c = groups * (blocks ? 16 * draw_int(1, 3) : draw_int(1, 9)),
                o = groups * (blocks ? 16 * draw_int(1, 3) : draw_int(1, 9));
        int64_t kh = draw_int(1, 4), kw = draw_int(1, 4);
        cbm_conv_attributes a = { .groups = groups };
        a.stride = CBM_SHAPE(draw_int(1, 3), draw_int(1, 3));
        a.padding = CBM_SHAPE(draw_int(0, 2), draw_int(0, 2));
        a.dilation = CBM_SHAPE(draw_int(1, 2), draw_int(1, 2));
        if (round % 10 == 0) { /* Winograd's shape */
            a = (cbm_conv_attributes){ CBM_SHAPE(1, 1), CBM_SHAPE(1, 1), CBM_SHAPE(1, 1), 1, { { 0 } }, { { 0 } } };
            c = o = 64;
            kh = kw = 3;
        }
        const int64_t eh = a.dilation.v[1] * (kh - 1) + 1, ew = a.dilation.v[2] * (kw - 1) + 1;
        const int64_t n = draw_int(1, 3), h = draw_int(eh, eh + 12), w = draw_int(ew, ew + 12);
        const int64_t oh = (h + 2 * a.padding.v[1] - eh) / a.stride.v[1] + 1;
        const int64_t ow = (w + 2 * a.padding.v[2] - ew) / a.stride.v[2] + 1;
        a.input_shape = CBM_SHAPE(n, c, h, w);
        a.weight_shape = CBM_SHAPE(o, c / a.groups, kh, kw);
        const cbm_buffer x = buffer(CBM_F32, a.input_shape), wt = buffer(CBM_F32, a.weight_shape);
        const cbm_buffer y = buffer(CBM_F32, CBM_SHAPE(n, o, oh, ow));
        trial t[3] = {
            { .op = "conv2d", .n_in = round % 2 ? 3 : 2, .in = { x, wt, buffer(CBM_F32, CBM_SHAPE(o)) }, .out = { y } },
            { .op = "conv2d_input_grad", .n_in = 2, .in = { y, wt }, .out = { x } },
            { .op = "conv2d_weight_grad", .n_in = 2, .in = { x, y }, .out = { wt } },
        };
        for (int i = 0; i < 3; i++) {
            t[i].attributes = &a;
            t[i].n_out = 1;
            t[i].threads = draw_int(1, 2);
            t[i].deterministic = round % 20 == 0;
            t[i].tolerance = 1e-5;
            for (size_t k = 0; k < t[i].n_in; k++)
                fill_buffer(&t[i].in[k], (fill){ -1, 1 });
            compare(&t[i]);
        }
    }
}

static void moves(void **state)
{
    (void)state;
    static const cbm_dtype dtypes[] = { CBM_F32, CBM_F64, CBM_I64, CBM_I32, CBM_U8, CBM_BOOL };
    for (int round = 0; round < 2 * ROUNDS; round++) {
        const cbm_dtype dtype = dtypes[round % 6];
        const int64_t rank = draw_int(1, 5);
        const cbm_shape shape = random_shape(rank, rank < 3 ? 90 : 8);
        const fill f = { 0, 1 };
        trial t = { .n_in = 1, .n_out = 1, .threads = 2 };
        t.in[0] = random_layout(dtype, shape);

        cbm_shape_attributes order = { { { rank } } };
        cbm_shape to = shape;
        for (int64_t i = 0; i < rank; i++)
            order.shape.v[1 + i] = i;
        for (int64_t i = rank - 1; i > 0; i--) {
            const int64_t j = draw_int(0, i), o = order.shape.v[1 + i];
            order.shape.v[1 + i] = order.shape.v[1 + j];
            order.shape.v[1 + j] = o;
        }
        for (int64_t i = 0; i < rank; i++)
            to.v[1 + i] = shape.v[1 + order.shape.v[1 + i]];
        t.op = "permute";
        t.attributes = &order;
        t.out[0] = buffer(dtype, to);
        fill_buffer(&t.in[0], f);
        compare(&t);

        const cbm_shape_attributes flat = { CBM_SHAPE(t.in[0].count) };
        t.op = "reshape";
        t.attributes = &flat;
        t.out[0] = buffer(dtype, flat.shape);
        fill_buffer(&t.in[0], f);
        compare(&t);

        cbm_shape_attributes wide = { shape };
        wide.shape.v[0]++;
        for (int64_t d = 0; d < rank; d++)
            wide.shape.v[2 + d] = shape.v[1 + d] == 1 ? 3 : shape.v[1 + d];
        wide.shape.v[1] = 2;
        t.op = "expand";
        t.attributes = &wide;
        t.out[0] = buffer(dtype, wide.shape);
        fill_buffer(&t.in[0], f);
        compare(&t);

        cbm_slice_attributes s = { .axis = draw_int(0, rank - 1), .step = draw_int(1, 3) };
        s.start = draw_int(0, shape.v[1 + s.axis] - 1);
        s.length = draw_int(1, (shape.v[1 + s.axis] - s.start - 1) / s.step + 1);
        cbm_shape part = shape;
        part.v[1 + s.axis] = s.length;
        t.op = "slice";
        t.attributes = &s;
        t.out[0] = buffer(dtype, part);
        fill_buffer(&t.in[0], f);
        compare(&t);

        trial p = { .op = "slice_scatter", .attributes = &s, .n_in = 2, .n_out = 1, .threads = 2 };
        p.in[0] = random_layout(dtype, shape);
        p.in[1] = random_layout(dtype, part);
        p.out[0] = buffer(dtype, shape);
        fill_buffer(&p.in[0], f);
        fill_buffer(&p.in[1], f);
        compare(&p);

        const cbm_axis_attributes along = { s.axis };
        trial c = { .op = "concat", .attributes = &along, .n_in = 3, .n_out = 1, .threads = 2 };
        cbm_shape all = shape;
        all.v[1 + s.axis] += 2 * s.length;
        c.in[0] = random_layout(dtype, part);
        c.in[1] = random_layout(dtype, shape);
        c.in[2] = random_layout(dtype, part);
        c.out[0] = buffer(dtype, all);
        for (int i = 0; i < 3; i++)
            fill_buffer(&c.in[i], f);
        compare(&c);
    }
}

static void indexing(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const cbm_dtype dtype = round % 2 ? CBM_I64 : CBM_I32;
        const cbm_shape shape = random_shape(3, 20);
        const cbm_axis_attributes a = { draw_int(0, 2) };
        cbm_shape at = shape;
        at.v[1 + a.axis] = draw_int(1, 25);
        if (round % 9 == 8)
            at.v[1] = draw_int(1, at.v[1]); /* less than x off the axis */
        const double last = (double)(shape.v[1 + a.axis] - 1);
        const bool bad = round % 10 == 9;

        trial g = { .op = "gather", .attributes = &a, .n_in = 2, .n_out = 1, .threads = 2 };
        g.in[0] = buffer(CBM_F32, shape);
        g.in[1] = buffer(dtype, at);
        g.out[0] = buffer(CBM_F32, at);
        fill_buffer(&g.in[0], (fill){ -1, 1 });
        fill_buffer(&g.in[1], (fill){ 0, last });
        if (bad) {
            put(g.in[1].data, dtype, g.in[1].count / 2, -1);
            g.want = CBM_ERROR_RANGE;
        }
        compare(&g);

        trial s = { .op = "scatter_add", .attributes = &a, .n_in = 3, .n_out = 1, .threads = 2, .tolerance = 1e-5 };
        s.in[0] = s.out[0] = buffer(CBM_F32, shape);
        s.in[1] = buffer(dtype, at);
        s.in[2] = buffer(CBM_F32, at);
        fill_buffer(&s.in[0], (fill){ -1, 1 });
        fill_buffer(&s.in[1], (fill){ 0, last });
        fill_buffer(&s.in[2], (fill){ -1, 1 });
        compare(&s);

        const cbm_one_hot_attributes h = { draw_int(1, 30), CBM_F32 };
        trial o = { .op = "one_hot", .attributes = &h, .n_in = 1, .n_out = 1, .threads = 2 };
        cbm_shape hot = shape;
        hot.v[0] = 4;
        hot.v[4] = h.classes;
        o.in[0] = buffer(dtype, shape);
        o.out[0] = buffer(CBM_F32, hot);
        fill_buffer(&o.in[0], (fill){ 0, (double)(h.classes - 1) });
        compare(&o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reductions),  cmocka_unit_test(large_reductions), cmocka_unit_test(argmaxima),
        cmocka_unit_test(softmaxes),   cmocka_unit_test(losses),           cmocka_unit_test(pools),
        cmocka_unit_test(batch_norms), cmocka_unit_test(products),         cmocka_unit_test(convolutions),
        cmocka_unit_test(moves),       cmocka_unit_test(indexing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
