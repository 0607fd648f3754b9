/* bandwidth.c: the CPU backend's memory-bound kernels on arrays of 64 MB, each beside a bare loop that reads and writes the
   same arrays and computes nothing: the two take turns, the least time of each counts.
     bandwidth [THREADS] [PART OF A NAME] [TURNS]
   Prints a line each: milliseconds, GB/s, and how much of the bare loop's speed that is. Rests on backend/cpu. */
#include "backend/cpu/cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif
#include <sys/mman.h>

enum { COUNT = 1 << 24, MOST = 4, FRESH = 4, ROOM = 2 << 20 };
static float nothing; /* 0, which the compiler does not know */
static int64_t threads = 2, turns = 25;
static const char *wanted = "";
static float *arrays[8]; /* of COUNT floats */
static double worst = 1;

/* ---- memory ---- */

/* As the library's heap takes it: in huge pages where the system has them. */
static void *take(size_t bytes)
{
    void *p = NULL;
    bytes = (bytes + ROOM - 1) / ROOM * ROOM;
    if (posix_memalign(&p, ROOM, bytes) != 0)
        exit(1);
#ifdef MADV_HUGEPAGE
    madvise(p, bytes, MADV_HUGEPAGE);
#endif
    memset(p, 0, bytes);
    return p;
}

static cbm_buffer window(void *data, cbm_dtype dtype, cbm_shape shape)
{
    cbm_buffer b = { .data = data, .dtype = dtype, .contiguous = 1, .rank = shape.v[0], .count = 1 };
    for (int64_t d = b.rank - 1; d >= 0; d--) {
        b.shape[d] = shape.v[1 + d];
        b.stride[d] = b.count;
        b.count *= b.shape[d];
    }
    return b;
}

/* ---- the bare loop ---- */

/* Runs of the arrays, as wide as the processor has vectors; what is written past the caches goes there 16 bytes at a time,
   a line after the other. */
enum { LANES = 16, STRIDE = 64 };
typedef float wide __attribute__((vector_size(4 * LANES), aligned(4)));
#if defined(__x86_64__)
#define EACH_LEVEL __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define EACH_LEVEL
#endif

#define GET(s, i) (*(const wide *)(const void *)(arrays[s] + (i)))
#define PUT(s, i, v) (*(wide *)(void *)(arrays[s] + (i)) = (v))
#if defined(__SSE2__)
#define STREAM(s, i, v)                                                                                                \
    do {                                                                                                               \
        float t_[LANES] __attribute__((aligned(64)));                                                                  \
        *(wide *)(void *)t_ = (v);                                                                                     \
        for (int k_ = 0; k_ < LANES; k_ += 4)                                                                          \
            _mm_stream_ps(arrays[s] + (i) + k_, _mm_load_ps(t_ + k_));                                                 \
    } while (0)
#else
#define STREAM PUT
#endif

/* Array 0 and on are read, then come those that are updated, with what they held; FRESH and on are written. */
#define LOOP(reads, updates, writes, WRITE)                                                                            \
    for (int64_t i = begin; i < end; i += STRIDE)                                                                      \
        _Pragma("GCC unroll 4") for (int k = 0; k < 4; k++)                                                            \
        {                                                                                                              \
            const int64_t at = i + k * LANES;                                                                          \
            wide v = sums[k];                                                                                          \
            _Pragma("GCC unroll 4") for (int s = 0; s < reads; s++) v += GET(s, at);                                   \
            _Pragma("GCC unroll 4") for (int s = 0; s < updates; s++)                                                  \
                PUT(reads + s, at, GET(reads + s, at) + v * nothing);                                                  \
            _Pragma("GCC unroll 4") for (int s = 0; s < writes; s++) WRITE(FRESH + s, at, v);                          \
            if (writes + updates == 0)                                                                                 \
                sums[k] = v;                                                                                           \
        }
#define BARE(reads, updates, writes)                                                                                   \
    EACH_LEVEL static void bare_##reads##updates##writes(int64_t begin, int64_t end, bool stream)                      \
    {                                                                                                                  \
        wide sums[4] = { { 0 }, { 0 }, { 0 }, { 0 } };                                                                 \
        if (stream) {                                                                                                  \
            LOOP(reads, updates, writes, STREAM)                                                                       \
        } else {                                                                                                       \
            LOOP(reads, updates, writes, PUT)                                                                          \
        }                                                                                                              \
        __asm__ volatile("" ::"m"(sums));                                                                              \
    }
BARE(1, 0, 0)
BARE(1, 0, 1)
BARE(2, 0, 1)
BARE(4, 0, 1)
BARE(1, 1, 0)
BARE(1, 2, 0)
BARE(1, 3, 0)

typedef struct traffic {
    int reads, updates, writes;
} traffic;

static const struct {
    traffic t;
    void (*run)(int64_t begin, int64_t end, bool stream);
} loops[] = { { { 1, 0, 0 }, bare_100 }, { { 1, 0, 1 }, bare_101 }, { { 2, 0, 1 }, bare_201 },
              { { 4, 0, 1 }, bare_401 }, { { 1, 1, 0 }, bare_110 }, { { 1, 2, 0 }, bare_120 },
              { { 1, 3, 0 }, bare_130 } };

typedef struct bare {
    void (*run)(int64_t begin, int64_t end, bool stream);
    bool stream;
} bare;

static bare bare_of(traffic t, bool stream)
{
    for (size_t i = 0; i < sizeof loops / sizeof *loops; i++)
        if (loops[i].t.reads == t.reads && loops[i].t.updates == t.updates && loops[i].t.writes == t.writes)
            return (bare){ loops[i].run, stream };
    fprintf(stderr, "bandwidth: no bare loop for this traffic\n");
    exit(1);
}

static void bare_part(void *user, int64_t begin, int64_t end)
{
    const bare *b = user;
    b->run(begin * STRIDE, end * STRIDE, b->stream);
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

static void run_bare(void *user)
{
    cbm_parallel_for(COUNT / STRIDE, 1, threads, bare_part, user);
}

static double timed(void (*run)(void *), void *user)
{
    const double start = cbm_seconds();
    run(user);
    return cbm_seconds() - start;
}

/* ---- taking turns ---- */

static void measure(const char *name, traffic t, void (*run)(void *), void *user)
{
    bare loop[2] = { bare_of(t, false), bare_of(t, true) };
    double best = 1e9, bound = 1e9;
    for (int64_t turn = 0; turn < turns; turn++) {
        for (int k = 0; k < (t.writes > 0 ? 2 : 1); k++) {
            const double time = timed(run_bare, &loop[k]);
            bound = time < bound ? time : bound;
        }
        const double time = timed(run, user);
        best = time < best ? time : best;
    }
    const double bytes = 4.0 * COUNT * (t.reads + t.writes + 2 * t.updates);
    printf("%-40s R%d U%d W%d %8.3f ms %7.1f GB/s, bare loop %7.1f: %4.0f %%\n", name, t.reads, t.updates, t.writes,
           best * 1e3, bytes / best * 1e-9, bytes / bound * 1e-9, 100 * bound / best);
    fflush(stdout);
    worst = bound / best < worst ? bound / best : worst;
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
                        cbm_buffer *out, size_t n_out, traffic t)
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
    r.kernel = r.launch.op ? cbm_backend_kernel(&cbm_backend_cpu, &r.launch) : NULL;
    cbm_prepare p = { .launch = &r.launch, .threads = threads, .message = message };
    if (!r.kernel || (r.kernel->prepare && r.kernel->prepare(&p) != CBM_OK)) {
        printf("%-34s not served: %s\n", name, message);
        return;
    }
    r.launch.workspace = p.workspace > 0 ? take(p.workspace) : NULL;
    r.launch.state = p.state;
    measure(name, t, run_kernel, &r);
    if (r.kernel->release && p.state)
        r.kernel->release(p.state);
    free(r.launch.workspace);
}

/* One operand of this shape, one result. */
static void time_rows(const char *op, cbm_shape shape, cbm_shape result, cbm_dtype dtype, const void *attributes,
                      int64_t axis, traffic t)
{
    char name[80], text[60];
    snprintf(text, sizeof text, "%lld", (long long)shape.v[1]);
    for (int64_t d = 2; d <= shape.v[0]; d++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "x%lld", (long long)shape.v[d]);
    if (axis >= 0)
        snprintf(name, sizeof name, "%s %s axis %d", op, text, (int)axis);
    else
        snprintf(name, sizeof name, "%s %s", op, text);
    cbm_buffer x = window(arrays[0], CBM_F32, shape), y = window(arrays[FRESH], dtype, result);
    time_kernel(name, op, attributes, &x, 1, &y, 1, t);
}

static cbm_shape without(cbm_shape shape, int64_t axis)
{
    cbm_shape r = { { 0 } };
    for (int64_t d = 0; d < shape.v[0]; d++)
        if (d != axis)
            r.v[++r.v[0]] = shape.v[1 + d];
    return r;
}

static void reductions(void)
{
    static const char *const ops[] = { "sum",    "mean", "prod", "max", "min",      "argmax",
                                       "argmin", "norm", "var",  "std", "logsumexp" };
    const traffic read = { .reads = 1 };
    const cbm_shape shapes[] = { CBM_SHAPE(4096, 4096), CBM_SHAPE(131072, 128), CBM_SHAPE(1 << 20, 16),
                                 CBM_SHAPE(64, 256, 1024), CBM_SHAPE(16, 1 << 20) };
    for (size_t o = 0; o < sizeof ops / sizeof *ops; o++) {
        const cbm_dtype dtype = strncmp(ops[o], "arg", 3) == 0 ? CBM_I64 : CBM_F32;
        const cbm_norm_attributes all = { { .axes = CBM_SHAPE(0) },
                                          2 }; /* of a norm: p; of a variance: the correction */
        time_rows(ops[o], CBM_SHAPE(COUNT), CBM_SHAPE(), dtype, &all, 0, read);
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            for (int64_t axis = 0; axis < shapes[s].v[0]; axis++) {
                const cbm_norm_attributes a = { { .axes = CBM_SHAPE(axis) }, 2 };
                time_rows(ops[o], shapes[s], without(shapes[s], axis), dtype, &a, axis, read);
            }
    }
    const cbm_reduce_attributes channels = { .axes = CBM_SHAPE(0, 2, 3) };
    time_rows("sum", CBM_SHAPE(128, 128, 32, 32), CBM_SHAPE(128), CBM_F32, &channels, -1, read);
}

static void scans(void)
{
    static const char *const ops[] = { "cumsum", "cumprod", "logcumsumexp" };
    const cbm_shape shapes[] = { CBM_SHAPE(4096, 4096), CBM_SHAPE(1 << 20, 16) };
    for (size_t o = 0; o < sizeof ops / sizeof *ops; o++)
        for (size_t s = 0; s < 2; s++)
            for (int64_t axis = 0; axis < 2; axis++) {
                const cbm_scan_attributes a = { axis, 0 };
                time_rows(ops[o], shapes[s], shapes[s], CBM_F32, &a, axis, (traffic){ .reads = 1, .writes = 1 });
            }
}

static void softmaxes(void)
{
    const traffic both = { .reads = 1, .writes = 1 };
    const cbm_shape shapes[] = { CBM_SHAPE(4096, 4096), CBM_SHAPE(131072, 128), CBM_SHAPE(1 << 20, 16),
                                 CBM_SHAPE(64, 256, 1024), CBM_SHAPE(64, 16, 16384) };
    static const char *const ops[] = { "softmax", "log_softmax" };
    for (size_t o = 0; o < 2; o++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            for (int64_t axis = shapes[s].v[0] - 1; axis >= 0; axis--) {
                const cbm_axis_attributes a = { axis };
                time_rows(ops[o], shapes[s], shapes[s], CBM_F32, &a, axis, both);
            }
    cbm_buffer in[2] = { window(arrays[0], CBM_F32, CBM_SHAPE(16384, 1024)),
                         window(take(16384 * 8), CBM_I64, CBM_SHAPE(16384)) };
    cbm_buffer out[2] = { window(arrays[FRESH], CBM_F32, CBM_SHAPE()),
                          window(arrays[FRESH + 1], CBM_F32, CBM_SHAPE(16384)) };
    time_kernel("cross_entropy 16384x1024", "cross_entropy", NULL, in, 2, out, 2, (traffic){ .reads = 1 });
    free(in[1].data);
}

/* The traffic is that of the two walks over memory: statistics first. */
static void norms(cbm_layout layout, const char *in_words)
{
    const cbm_shape shape = CBM_SHAPE(128, 128, 32, 32), channels = CBM_SHAPE(128);
    cbm_buffer x = window(arrays[0], CBM_F32, shape), g = window(arrays[1], CBM_F32, shape);
    cbm_buffer y = window(arrays[4], CBM_F32, shape), v[6];
    x.layout = g.layout = y.layout = (int32_t)layout;
    for (int i = 0; i < 6; i++) {
        v[i] = window(take(128 * 4), CBM_F32, channels);
        for (int64_t c = 0; c < 128; c++)
            ((float *)v[i].data)[c] = 0.5f + 0.01f * (float)c;
    }
    const cbm_batch_norm_attributes eps = { 1e-5 };
    cbm_buffer forward[3] = { x, v[0], v[1] }, result[3] = { y, v[2], v[3] };
    cbm_buffer backward[5] = { x, v[0], v[2], v[3], g }, gradient[3] = { y, v[4], v[5] };
    cbm_buffer relu[6] = { x, v[0], v[1], v[2], v[3], g };
    char name[80];
    snprintf(name, sizeof name, "batch_norm%s", in_words);
    time_kernel(name, "batch_norm", &eps, forward, 3, result, 3, (traffic){ .reads = 2, .writes = 1 });
    snprintf(name, sizeof name, "batch_norm backward%s", in_words);
    time_kernel(name, "batch_norm_backward", NULL, backward, 5, gradient, 3, (traffic){ .reads = 4, .writes = 1 });
    snprintf(name, sizeof name, "batch_norm, relu backward%s", in_words);
    time_kernel(name, "batch_norm_relu_backward", NULL, relu, 6, gradient, 3, (traffic){ .reads = 4, .writes = 1 });
    for (int i = 0; i < 6; i++)
        free(v[i].data);
}

/* ---- fused passes, from expressions ---- */

/* from[k]: what the expression's operand a, b, c is: array k, or OUT(i), the i-th expression's result. */
#define OUT(i) (MOST + (i))
typedef struct part {
    const char *expression;
    int from[3];
    int into; /* the array that is overwritten, or a fresh one */
} part;

typedef struct program {
    cbm_fused_instruction code[128];
    int32_t length, results[MOST];
} program;

/* Appends an expression's instructions; inputs are loaded once. */
static void append(program *p, const part *parts, int i, cbm_dtype dtype)
{
    const cbm_op op = { .name = "bench", .n_in = 3, .expression = parts[i].expression };
    cbm_expression e;
    cbm_dtype in[3] = { dtype, dtype, dtype }, types[CBM_EXPR_MAX_LENGTH];
    int32_t at[CBM_EXPR_MAX_LENGTH];
    if (!cbm_expression_parse(&op, &e) || !cbm_expression_types(&e, in, dtype, types))
        exit(1);
    for (int32_t k = 0; k < e.length; k++) {
        const cbm_expr_instruction *s = &e.code[k];
        cbm_fused_instruction t = { .code = s->code, .dtype = (int32_t)types[k], .value = s->value };
        const int from = s->code == CBM_EXPR_INPUT ? parts[i].from[s->arg] : 0;
        if (s->code == CBM_EXPR_INPUT && from >= MOST) {
            at[k] = p->results[from - MOST];
            continue;
        }
        t.arg = s->code == CBM_EXPR_INPUT ? from : 0;
        t.x = s->x >= 0 ? at[s->x] : 0;
        t.y = s->y >= 0 ? at[s->y] : 0;
        t.z = s->z >= 0 ? at[s->z] : 0;
        at[k] = p->length;
        p->code[p->length++] = t;
    }
    p->results[i] = at[e.length - 1];
}

static void run_pass(void *user)
{
    cbm_cpu_fused_run(user);
}

static void time_pass(const char *name, cbm_dtype dtype, const part *parts, int n, int n_in)
{
    program p = { .length = 0 };
    const cbm_shape shape = CBM_SHAPE(dtype == CBM_BF16 ? 2 * COUNT : COUNT);
    cbm_buffer in[MOST], out[MOST];
    cbm_fused_output stored[MOST];
    size_t n_out = 0;
    traffic t = { .reads = n_in };
    if (!strstr(name, wanted))
        return;
    for (int i = 0; i < n_in; i++)
        in[i] = window(arrays[i], dtype, shape);
    for (int i = 0; i < n; i++) {
        append(&p, parts, i, dtype);
        stored[n_out] = (cbm_fused_output){ .place = p.results[i] };
        out[n_out++] = window(arrays[parts[i].into], dtype, shape);
        t.writes += parts[i].into >= FRESH;
        t.updates += parts[i].into < FRESH;
        t.reads -= parts[i].into < FRESH;
    }
    const cbm_parameter parameters[2] = { { .u = 5 }, { .u = 6 } };
    const cbm_fused fused = { (size_t)p.length, p.code, n_out, stored, 2 };
    size_t workspace;
    cbm_fused_launch l = { &fused, parameters, (size_t)n_in, n_out, in, out, NULL, threads, NULL };
    if (cbm_cpu_fused_prepare(&l, &l.state, &workspace) != CBM_OK) {
        printf("%-34s not served\n", name);
        return;
    }
    measure(name, t, run_pass, &l);
    cbm_cpu_fused_release(l.state);
}

static void passes(void)
{
    static const struct {
        const char *name, *expression;
        int n_in;
        bool positive;
    } simple[] = {
        { "copy", "a", 1, false },
        { "negate", "-a", 1, false },
        { "relu", "max(a, 0)", 1, false },
        { "relu6", "min(max(a, 0), 6)", 1, false },
        { "add", "a + b", 2, false },
        { "multiply", "a * b", 2, false },
        { "divide", "a / b", 2, false },
        { "a + 0.1 b", "a + b * 0.1", 2, false },
        { "relu backward", "select(a <= 0, 0, b)", 2, false },
        { "sqrt", "sqrt(a)", 1, true },
        { "exp", "exp(a)", 1, false },
        { "log", "log(a)", 1, true },
        { "tanh", "tanh(a)", 1, false },
        { "tanh backward", "b * (1 - a * a)", 2, false },
        { "sigmoid", "1 / (1 + exp(-a))", 1, false },
        { "sigmoid backward", "b * (a * (1 - a))", 2, false },
        { "erf", "erf(a)", 1, false },
        { "gelu", "0.5 * a * (1 + erf(a * 0.70710678118654752))", 1, false },
        { "gelu, tanh form", "0.5 * a * (1 + tanh(0.79788456080286536 * a * (1 + 0.044715 * a * a)))", 1, false },
        { "silu", "a / (1 + exp(-a))", 1, false },
        { "softplus", "select(a > 20, a, log1p(exp(a)))", 1, false },
        { "hardswish", "a * min(max(a + 3, 0), 6) / 6", 1, false },
        { "sin", "sin(a)", 1, false },
        { "tan", "tan(a)", 1, false },
        { "atan", "atan2(a, 1)", 1, false },
        { "asin", "atan2(a, sqrt((1 - a) * (1 + a)))", 1, false },
        { "expm1", "expm1(a)", 1, false },
        { "log1p", "log1p(a)", 1, true },
        { "log2", "log2(a)", 1, true },
        { "exp2", "exp2(a)", 1, false },
        { "erfc", "erfc(a)", 1, false },
        { "floor", "floor(a)", 1, false },
        { "fmod", "mod(a, b)", 2, false },
        { "clamp", "min(max(a, -1), 1)", 1, false },
        { "square distance", "(a - b) * (a - b)", 2, false },
    };
    for (size_t i = 0; i < sizeof simple / sizeof *simple; i++) {
        const part one = { simple[i].expression, { 0, 1, 2 }, FRESH };
        char name[60];
        float *const first = arrays[0];
        if (simple[i].positive)
            arrays[0] = arrays[2];
        time_pass(simple[i].name, CBM_F32, &one, 1, simple[i].n_in);
        arrays[0] = first;
        snprintf(name, sizeof name, "%s, bf16", simple[i].name);
        if (i == 0 || i == 2 || i == 4)
            time_pass(name, CBM_BF16, &one, 1, simple[i].n_in);
    }
    const part in_place = { "a + b", { 0, 1 }, 1 };
    time_pass("add in place", CBM_F32, &in_place, 1, 2);
    /* arrays 0: gradient, 1: parameter, 2, 3: what the optimizer keeps */
    const part sgd = { "a + b * -0.001", { 1, 0 }, 1 };
    time_pass("SGD", CBM_F32, &sgd, 1, 2);
    const part momentum[] = { { "a * 0.9 + b", { 2, 0 }, 2 }, { "a + b * -0.001", { 1, OUT(0) }, 1 } };
    time_pass("SGD with momentum", CBM_F32, momentum, 2, 3);
    const part adam[] = { { "a + (b - a) * 0.1", { 2, 0 }, 2 },
                          { "a * 0.999 + b * b * 0.001", { 3, 0 }, 3 },
                          { "a + b / (sqrt(c) * 1.1 + 1e-8) * -0.001", { 1, OUT(0), OUT(1) }, 1 } };
    time_pass("Adam", CBM_F32, adam, 3, 4);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        threads = strtoll(argv[1], NULL, 10);
    if (argc > 2)
        wanted = argv[2];
    if (argc > 3)
        turns = strtoll(argv[3], NULL, 10);
    printf("SIMD level %s, %d threads, least of %d turns\n", cbm_simd_get()->name, (int)threads, (int)turns);
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        arrays[i] = take((size_t)COUNT * 4);
        for (int64_t k = 0; k < COUNT; k++) /* positive: Adam's second moments and logarithms among them */
            arrays[i][k] = (float)((uint64_t)k * 2654435761u % 4096u) / 512.0f + 0.01f - (i == 0 ? 4.0f : 0.0f);
    }
    passes();
    reductions();
    scans();
    softmaxes();
    norms(CBM_LAYOUT_PLAIN, "");
    norms(CBM_LAYOUT_CHANNELS_LAST, ", channels last");
    norms(CBM_LAYOUT_BLOCKED_16, ", 16 channels");
    printf("least: %.0f %%\n", 100 * worst);
    return 0;
}
