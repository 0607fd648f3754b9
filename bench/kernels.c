/* kernels.c: times the CPU backend's kernels alone, without a graph around them: the least of many runs.
     kernels [THREADS] [PART OF A NAME]
   Prints a line each: microseconds, and GF/s or GB/s. Rests on backend/cpu. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/onednn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t threads = 2;
static const char *wanted = "";

static cbm_buffer make(cbm_dtype dtype, cbm_shape shape)
{
    cbm_buffer b = { .dtype = dtype, .contiguous = 1, .rank = shape.v[0], .count = 1 };
    for (int64_t d = b.rank - 1; d >= 0; d--) {
        b.shape[d] = shape.v[1 + d];
        b.stride[d] = b.count;
        b.count *= b.shape[d];
    }
    const size_t bytes = (size_t)b.count * cbm_dtype_size(dtype);
    b.data = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!b.data)
        exit(1);
    memset(b.data, 0, bytes);
    for (int64_t i = 0; dtype == CBM_F32 && i < b.count; i++)
        ((float *)b.data)[i] = cbm_philox_uniform(1, 2, (uint64_t)i) - 0.5f;
    return b;
}

typedef struct timing {
    void (*run)(void *user);
    void *user;
} timing;

/* The least time of one run, in seconds. */
static double least(timing t)
{
    double best = 1e9, begin = cbm_seconds();
    for (int64_t runs = 1; cbm_seconds() - begin < 0.4;) {
        const double start = cbm_seconds();
        for (int64_t i = 0; i < runs; i++)
            t.run(t.user);
        const double each = (cbm_seconds() - start) / (double)runs;
        best = each < best ? each : best;
        if (each * (double)runs < 1e-3)
            runs *= 2;
    }
    return best;
}

static void report(const char *name, double seconds, double flops, double bytes, const char *note)
{
    printf("%-40s %2d threads %12.3f us", name, (int)threads, seconds * 1e6);
    if (flops > 0)
        printf(" %8.1f GF/s", flops / seconds * 1e-9);
    if (bytes > 0)
        printf(" %8.1f GB/s", bytes / seconds * 1e-9);
    printf("  %s\n", note);
    fflush(stdout);
}

/* ---- kernels ---- */

typedef struct kernel_run {
    const cbm_kernel *kernel;
    cbm_launch launch;
} kernel_run;

static void run_kernel(void *user)
{
    const kernel_run *r = user;
    r->kernel->launch(&r->launch);
}

static void time_kernel(const char *name, const char *op, const void *attributes, cbm_buffer *in, size_t n_in,
                        cbm_buffer *out, size_t n_out, double flops, double bytes)
{
    if (!strstr(name, wanted))
        return;
    char message[256] = "";
    kernel_run r = { .launch = { .op = cbm_op_named(op),
                                 .attributes = attributes,
                                 .n_in = n_in,
                                 .n_out = n_out,
                                 .in = in,
                                 .out = out,
                                 .threads = threads,
                                 .message = message } };
    r.kernel = cbm_backend_kernel(&cbm_backend_cpu, &r.launch);
    cbm_prepare p = { .launch = &r.launch, .threads = threads, .message = message };
    if (!r.kernel || (r.kernel->prepare && r.kernel->prepare(&p) != CBM_OK)) {
        printf("%-40s not served: %s\n", name, message);
        return;
    }
    r.launch.workspace = p.workspace > 0 ? aligned_alloc(64, (p.workspace + 63) / 64 * 64) : NULL;
    r.launch.state = p.state;
    const double seconds = least((timing){ run_kernel, &r });
    report(name, seconds, flops, bytes, strncmp(op, "conv2d", 6) == 0 && p.state ? cbm_dnn_describe(p.state) : "");
    if (r.kernel->release && p.state)
        r.kernel->release(p.state);
    free(r.launch.workspace);
}

static void convolution(const char *name, int64_t n, int64_t c, int64_t side, int64_t o, int64_t k, int64_t padding)
{
    cbm_conv_attributes a = { .stride = CBM_SHAPE(1, 1),
                              .padding = CBM_SHAPE(padding, padding),
                              .dilation = CBM_SHAPE(1, 1),
                              .groups = 1,
                              .input_shape = CBM_SHAPE(n, c, side, side),
                              .weight_shape = CBM_SHAPE(o, c, k, k) };
    const int64_t out = side + 2 * padding - k + 1;
    const double flops = 2.0 * (double)(n * o * out * out) * (double)(c * k * k);
    cbm_buffer x = make(CBM_F32, a.input_shape), w = make(CBM_F32, a.weight_shape), b = make(CBM_F32, CBM_SHAPE(o));
    cbm_buffer y = make(CBM_F32, CBM_SHAPE(n, o, out, out));
    char text[80];
    snprintf(text, sizeof text, "%s", name);
    time_kernel(text, "conv2d", &a, (cbm_buffer[]){ x, w, b }, 3, &y, 1, flops, 0);
    snprintf(text, sizeof text, "%s input gradient", name);
    time_kernel(text, "conv2d_input_grad", &a, (cbm_buffer[]){ y, w }, 2, &x, 1, flops, 0);
    snprintf(text, sizeof text, "%s weight gradient", name);
    time_kernel(text, "conv2d_weight_grad", &a, (cbm_buffer[]){ x, y }, 2, &w, 1, flops, 0);
    free(x.data);
    free(w.data);
    free(b.data);
    free(y.data);
}

static void product(const char *name, int64_t m, int64_t n, int64_t k, bool turn_a, bool turn_b)
{
    cbm_buffer in[2] = { make(CBM_F32, CBM_SHAPE(m, k)), make(CBM_F32, CBM_SHAPE(k, n)) };
    cbm_buffer y = make(CBM_F32, CBM_SHAPE(m, n));
    if (turn_a) {
        in[0].stride[0] = 1;
        in[0].stride[1] = m;
    }
    if (turn_b) {
        in[1].stride[0] = 1;
        in[1].stride[1] = k;
    }
    time_kernel(name, "matmul", NULL, in, 2, &y, 1, 2.0 * (double)(m * n) * (double)k, 0);
    free(in[0].data);
    free(in[1].data);
    free(y.data);
}

/* ---- memory ---- */

static void copy_part(void *user, int64_t begin, int64_t end)
{
    cbm_buffer *b = user;
    memcpy((char *)b[1].data + begin, (char *)b[0].data + begin, (size_t)(end - begin));
}
static void run_copy(void *user)
{
    cbm_buffer *b = user;
    cbm_parallel_for(b[0].count * 4, 1, threads, copy_part, b);
}
static void run_reorder(void *user)
{
    cbm_buffer *b = user;
    cbm_cpu_reorder(&b[0], &b[1], threads);
}

/* What memory gives, to read the others by. */
static void memory(void)
{
    cbm_buffer b[2] = { make(CBM_F32, CBM_SHAPE(128, 128, 32, 32)), make(CBM_F32, CBM_SHAPE(128, 128, 32, 32)) };
    static const struct {
        const char *name;
        cbm_layout from, to;
    } reorders[] = { { "reorder plain to 16 channels", CBM_LAYOUT_PLAIN, CBM_LAYOUT_BLOCKED_16 },
                     { "reorder 16 channels to plain", CBM_LAYOUT_BLOCKED_16, CBM_LAYOUT_PLAIN },
                     { "reorder plain to channels last", CBM_LAYOUT_PLAIN, CBM_LAYOUT_CHANNELS_LAST },
                     { "reorder 16 channels to channels last", CBM_LAYOUT_BLOCKED_16, CBM_LAYOUT_CHANNELS_LAST } };
    const double bytes = 8.0 * (double)b[0].count;
    if (strstr("copy 64 MB", wanted))
        report("copy 64 MB", least((timing){ run_copy, b }), 0, bytes, "");
    for (size_t i = 0; i < sizeof reorders / sizeof *reorders; i++) {
        b[0].layout = (int32_t)reorders[i].from;
        b[1].layout = (int32_t)reorders[i].to;
        if (strstr(reorders[i].name, wanted))
            report(reorders[i].name, least((timing){ run_reorder, b }), 0, bytes, "");
    }
    b[0].layout = CBM_LAYOUT_PLAIN;
    const cbm_reduce_attributes all = { .axes = CBM_SHAPE(0, 1, 2, 3) };
    cbm_buffer y = make(CBM_F32, CBM_SHAPE());
    time_kernel("sum 64 MB", "sum", &all, &b[0], 1, &y, 1, 0, bytes / 2);
    static const int64_t widths[] = { 10, 128, 1000, 4096 };
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        const int64_t n = b[0].count / widths[i];
        cbm_buffer x = { .data = b[0].data, .dtype = CBM_F32, .contiguous = 1, .rank = 2, .count = n * widths[i] };
        x.shape[0] = n;
        x.shape[1] = x.stride[0] = widths[i];
        x.stride[1] = 1;
        cbm_buffer r = make(CBM_F32, CBM_SHAPE(widths[i]));
        char name[60];
        const cbm_reduce_attributes rows = { .axes = CBM_SHAPE(0) };
        snprintf(name, sizeof name, "column sums of (%d, %d)", (int)n, (int)widths[i]);
        time_kernel(name, "sum", &rows, &x, 1, &r, 1, 0, bytes / 2);
        free(r.data);
    }
    free(b[0].data);
    free(b[1].data);
    free(y.data);
}

static void planes(cbm_layout layout, const char *in_words)
{
    const cbm_shape shape = CBM_SHAPE(128, 64, 32, 32), halves = CBM_SHAPE(128, 64, 16, 16);
    cbm_buffer x = make(CBM_F32, shape), y = make(CBM_F32, CBM_SHAPE(64)), z = make(CBM_F32, shape);
    cbm_buffer half[2] = { make(CBM_F32, halves), make(CBM_U8, halves) }, dx = make(CBM_F32, shape);
    cbm_buffer *const in_layout[] = { &x, &z, &half[0], &half[1], &dx };
    const double bytes = 4.0 * (double)x.count;
    char name[80];
    for (size_t i = 0; i < sizeof in_layout / sizeof *in_layout; i++)
        in_layout[i]->layout = (int32_t)layout;
#define NAME(what) (snprintf(name, sizeof name, what "%s", in_words), name)
    cbm_reduce_attributes r = { .axes = CBM_SHAPE(0, 2, 3) };
    time_kernel(NAME("sum (N, C, H, W) to C"), "sum", &r, &x, 1, &y, 1, 0, bytes);
    cbm_pool_attributes p = { .kernel = CBM_SHAPE(2, 2),
                              .stride = CBM_SHAPE(2, 2),
                              .padding = CBM_SHAPE(0, 0),
                              .dilation = CBM_SHAPE(1, 1),
                              .input_shape = shape };
    time_kernel(NAME("max_pool2d 2"), "max_pool2d", &p, &x, 1, half, 2, 0, bytes * 1.3125);
    time_kernel(NAME("max_pool2d 2 backward"), "max_pool2d_backward", &p, half, 2, &z, 1, 0, bytes * 1.3125);
    time_kernel(NAME("avg_pool2d 2"), "avg_pool2d", &p, &x, 1, half, 1, 0, bytes * 1.25);
    const cbm_shape_attributes nhwc = { CBM_SHAPE(0, 2, 3, 1) };
    if (layout == CBM_LAYOUT_PLAIN)
        time_kernel("permute to (N, H, W, C)", "permute", &nhwc, &x, 1, &z, 1, 0, bytes * 2);
    cbm_buffer vector[2] = { make(CBM_F32, CBM_SHAPE(64)), make(CBM_F32, CBM_SHAPE(64)) };
    cbm_buffer norm_in[6] = { x, y, y, y, z, z }, norm_out[3] = { z, vector[0], vector[1] };
    cbm_buffer relu_in[6] = { x, y, y, y, y, z }, back_out[3] = { dx, vector[0], vector[1] };
    const cbm_batch_norm_attributes eps = { 1e-5 }; /* bytes moved: x twice, and g */
    time_kernel(NAME("batch_norm"), "batch_norm", &eps, norm_in, 3, norm_out, 3, 0, bytes * 3);
    time_kernel(NAME("batch_norm backward"), "batch_norm_backward", NULL, norm_in, 5, back_out, 3, 0, bytes * 5);
    time_kernel(NAME("batch_norm, relu backward"), "batch_norm_relu_backward", NULL, relu_in, 6, back_out, 3, 0,
                bytes * 5);
    cbm_buffer *const all[] = { &x, &y, &z, &half[0], &half[1], &vector[0], &vector[1], &dx };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]->data);
}

static void rows(void)
{
    cbm_buffer x = make(CBM_F32, CBM_SHAPE(4096, 1000)), y = make(CBM_F32, CBM_SHAPE(4096, 1000));
    for (int64_t axis = 1; axis >= 0; axis--) {
        const cbm_axis_attributes a = { axis };
        char name[40];
        snprintf(name, sizeof name, "softmax 4096x1000 axis %d", (int)axis);
        time_kernel(name, "softmax", &a, &x, 1, &y, 1, 0, 8.0 * (double)x.count);
    }
    cbm_buffer in[2] = { make(CBM_F32, CBM_SHAPE(64, 10)), make(CBM_I64, CBM_SHAPE(64)) };
    cbm_buffer out[2] = { make(CBM_F32, CBM_SHAPE()), make(CBM_F32, CBM_SHAPE(64)) };
    time_kernel("cross_entropy 64x10", "cross_entropy", NULL, in, 2, out, 2, 0, 0);
    cbm_buffer *const all[] = { &x, &y, &in[0], &in[1], &out[0], &out[1] };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]->data);
}

/* ---- movement, indexing, order ---- */

/* Indices in [0, extent), drawn. */
static cbm_buffer indices(cbm_shape shape, int64_t extent)
{
    cbm_buffer b = make(CBM_I64, shape);
    for (int64_t i = 0; i < b.count; i++)
        ((int64_t *)b.data)[i] = (int64_t)((double)cbm_philox_uniform(3, 4, (uint64_t)i) * (double)extent);
    return b;
}

static void moves(void)
{
    const cbm_shape picture = CBM_SHAPE(32, 64, 56, 56), padded = CBM_SHAPE(32, 64, 58, 58);
    const cbm_shape columns = CBM_SHAPE(32, 576, 3136);
    cbm_buffer x = make(CBM_F32, picture), y = make(CBM_F32, padded), c = make(CBM_F32, columns);
    const double bytes = 4.0 * (double)x.count;
    const cbm_pad_attributes p = { CBM_SHAPE(0, 0, 1, 1), CBM_SHAPE(0, 0, 1, 1), 0 };
    time_kernel("pad by 1", "pad", &p, &x, 1, &y, 1, 0, 2 * bytes);
    const cbm_pad_edge_attributes e = { p.before, p.after, picture, 1 };
    time_kernel("pad by 1, mirrored", "pad_edge", &e, &x, 1, &y, 1, 0, 2 * bytes);
    time_kernel("pad by 1, mirrored, backward", "pad_edge_backward", &e, &y, 1, &x, 1, 0, 2 * bytes);
    cbm_buffer z = make(CBM_F32, picture);
    const cbm_roll_attributes r = { CBM_SHAPE(0, 0, 3, 3) };
    time_kernel("roll by 3, 3", "roll", &r, &x, 1, &z, 1, 0, 2 * bytes);
    const cbm_axes_attributes f = { CBM_SHAPE(3) };
    time_kernel("flip of rows", "flip", &f, &x, 1, &z, 1, 0, 2 * bytes);
    const cbm_unfold_attributes u = { CBM_SHAPE(3, 3), CBM_SHAPE(1, 1), CBM_SHAPE(1, 1), CBM_SHAPE(1, 1),
                                      CBM_SHAPE(56, 56) };
    time_kernel("unfold 3x3", "unfold", &u, &x, 1, &c, 1, 0, 10 * bytes);
    time_kernel("fold 3x3", "fold", &u, &c, 1, &x, 1, 0, 10 * bytes);
    cbm_buffer *const all[] = { &x, &y, &z, &c };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]->data);
}

static void indexing(void)
{
    cbm_buffer table = make(CBM_F32, CBM_SHAPE(50000, 256)), read = make(CBM_F32, CBM_SHAPE(16384, 256));
    cbm_buffer index = indices(CBM_SHAPE(16384), 50000);
    const double rows_read = 4.0 * (double)read.count, all_rows = 4.0 * (double)table.count;
    const cbm_embedding_attributes e = { -1 };
    time_kernel("embedding 50000x256, 16384 rows", "embedding", &e, (cbm_buffer[]){ index, table }, 2, &read, 1, 0,
                2 * rows_read);
    const cbm_embedding_backward_attributes b = { 50000, -1 };
    time_kernel("embedding 50000x256, 16384 rows, backward", "embedding_backward", &b, (cbm_buffer[]){ index, read }, 2,
                &table, 1, 0, all_rows + 3 * rows_read);
    const cbm_axis_attributes first = { 0 }, last = { 1 };
    time_kernel("index_select 16384 of 50000 rows", "index_select", &first, (cbm_buffer[]){ table, index }, 2, &read, 1,
                0, 2 * rows_read);
    cbm_buffer some = indices(CBM_SHAPE(128), 256), part = make(CBM_F32, CBM_SHAPE(50000, 128));
    time_kernel("index_select 128 of 256 columns", "index_select", &last, (cbm_buffer[]){ table, some }, 2, &part, 1, 0,
                8.0 * (double)part.count);
    cbm_buffer at = indices(CBM_SHAPE(16384, 256), 50000), into = make(CBM_F32, CBM_SHAPE(50000, 256));
    time_kernel("scatter_add 16384x256 into 50000x256", "scatter_add", &first, (cbm_buffer[]){ table, at, read }, 3,
                &into, 1, 0, 0);
    cbm_buffer *const all[] = { &table, &read, &index, &some, &part, &at, &into };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]->data);
}

static void order(cbm_dtype dtype, const char *name)
{
    static const int64_t shapes[][2] = { { 1, 1000000 }, { 1000, 1000 }, { 65536, 16 } };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const cbm_shape shape = CBM_SHAPE(shapes[i][0], shapes[i][1]);
        cbm_buffer x = dtype == CBM_I64 ? indices(shape, 1000000) : make(dtype, shape);
        cbm_buffer y[2] = { make(dtype, shape), make(CBM_I64, shape) };
        char text[60];
        const cbm_sort_attributes s = { 1, 0 };
        snprintf(text, sizeof text, "sort %s %dx%d", name, (int)shapes[i][0], (int)shapes[i][1]);
        time_kernel(text, "sort", &s, &x, 1, y, 2, 0, 0);
        const cbm_topk_attributes k = { 1, shapes[i][1] < 100 ? 2 : 50, 1, 1 };
        for (int out = 0; out < 2; out++) {
            y[out].shape[1] = y[out].stride[0] = k.k;
            y[out].count = shapes[i][0] * k.k;
        }
        snprintf(text, sizeof text, "topk %s %d of %dx%d", name, (int)k.k, (int)shapes[i][0], (int)shapes[i][1]);
        time_kernel(text, "topk", &k, &x, 1, y, 2, 0, 0);
        free(x.data);
        free(y[0].data);
        free(y[1].data);
    }
}

/* ---- fused passes ---- */

static void run_pass(void *user)
{
    cbm_cpu_fused_run(user);
}

static void time_pass(const char *name, const cbm_fused_instruction *code, size_t length, size_t n_in, int64_t count)
{
    cbm_buffer in[2], out = make(CBM_F32, CBM_SHAPE(count));
    const cbm_fused_output last = { .place = (int32_t)length - 1 };
    const cbm_fused fused = { length, code, 1, &last, 3 };
    const cbm_parameter parameters[3] = { { .u = 5 }, { .u = 6 }, { .f = 0.5 } };
    for (size_t i = 0; i < n_in; i++)
        in[i] = make(CBM_F32, CBM_SHAPE(count));
    size_t workspace;
    cbm_fused_launch l = { &fused, parameters, n_in, 1, in, &out, NULL, threads, NULL };
    char text[60];
    snprintf(text, sizeof text, "%s of %d", name, (int)count);
    if (strstr(text, wanted) && cbm_cpu_fused_prepare(&l, &l.state, &workspace) == CBM_OK) {
        report(text, least((timing){ run_pass, &l }), 0, 4.0 * (double)(n_in + 1) * (double)count, "");
        cbm_cpu_fused_release(l.state);
    }
    for (size_t i = 0; i < n_in; i++)
        free(in[i].data);
    free(out.data);
}

#define I(code_, ...)                                                                                                  \
    {                                                                                                                  \
        .code = CBM_EXPR_##code_, .dtype = CBM_F32, __VA_ARGS__                                                        \
    }
#define PASS(name, n_in, ...)                                                                                          \
    time_pass(name, (const cbm_fused_instruction[])__VA_ARGS__,                                                        \
              sizeof((const cbm_fused_instruction[])__VA_ARGS__) / sizeof(cbm_fused_instruction), n_in, count)

static void passes(void)
{
    static const int64_t counts[] = { 16, 512, 65536, 16777216 };
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        const int64_t count = counts[k];
        PASS("add", 2, { I(INPUT, .arg = 0), I(INPUT, .arg = 1), I(ADD, .x = 0, .y = 1) });
        PASS("p - lr g", 2,
             { I(INPUT, .arg = 0), I(INPUT, .arg = 1), I(FIELD, .arg = 2), I(MUL, .x = 1, .y = 2),
               I(SUB, .x = 0, .y = 3) });
        PASS("relu", 1, { I(INPUT, .arg = 0), I(NUMBER, .value = 0), I(MAX, .x = 0, .y = 1) });
        PASS("sigmoid", 1,
             { I(INPUT, .arg = 0), I(NUMBER, .value = 1), I(NEG, .x = 0), I(EXP, .x = 2), I(ADD, .x = 3, .y = 1),
               I(DIV, .x = 1, .y = 4) });
        PASS("tanh", 1, { I(INPUT, .arg = 0), I(TANH, .x = 0) });
        PASS("times uniform", 1, { I(INPUT, .arg = 0), I(UNIFORM, .arg = 0), I(MUL, .x = 0, .y = 1) });
    }
}

int main(int argc, char **argv)
{
    if (argc > 1)
        threads = strtoll(argv[1], NULL, 10);
    if (argc > 2)
        wanted = argv[2];
    printf("SIMD level %s, oneDNN %s\n", cbm_simd_get()->name, cbm_dnn_present() ? "yes" : "no");
    convolution("conv 1-32 28x28", 64, 1, 28, 32, 3, 0);
    convolution("conv 32-64 26x26", 64, 32, 26, 64, 3, 0);
    convolution("conv 128-128 16x16", 32, 128, 16, 128, 3, 1);
    product("matmul 64x9216 9216x128 turned", 64, 128, 9216, false, true);
    product("matmul 128x64 turned 64x9216", 128, 9216, 64, true, false);
    product("matmul 64x64 64x64", 64, 64, 64, false, false);
    product("matmul 32x32 32x32", 32, 32, 32, false, false);
    product("matmul 32x2 2x16 turned", 32, 16, 2, false, true);
    product("matmul 1x1000 1000x1000", 1, 1000, 1000, false, false);
    product("matmul 1x1000 1000x1000 turned", 1, 1000, 1000, false, true);
    memory();
    planes(CBM_LAYOUT_PLAIN, "");
    planes(CBM_LAYOUT_CHANNELS_LAST, ", channels last");
    planes(CBM_LAYOUT_BLOCKED_8, ", 8 channels");
    planes(CBM_LAYOUT_BLOCKED_16, ", 16 channels");
    rows();
    moves();
    indexing();
    order(CBM_F32, "f32");
    order(CBM_I64, "i64");
    passes();
    return 0;
}
