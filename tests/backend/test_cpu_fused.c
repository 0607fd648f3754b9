/* test_cpu_fused.c: fused passes of the CPU backend. Random programs of exactly rounded operations, over all dtypes, layouts
   and in-place results, must equal the reference backend's bit for bit, at every SIMD level and thread count; elementary
   functions must be within a few units in the last place of the C library's. */
#include "backend/kernels.h"

enum { PROGRAMS = 1500, LENGTH = 24, INPUTS = 5, OUTPUTS = 3 };

typedef struct program {
    cbm_fused_instruction code[LENGTH];
    cbm_fused_output outputs[OUTPUTS];
    cbm_fused fused;
    cbm_parameter parameters[8];
    cbm_buffer in[INPUTS], out[OUTPUTS];
    int32_t alias[OUTPUTS]; /* the input whose memory it takes, or -1 */
} program;

static int32_t pick(const program *p, int32_t n, cbm_dtype dtype)
{
    for (int tries = 0; tries < 40; tries++) {
        const int32_t i = (int32_t)draw_int(0, n - 1);
        if (p->code[i].dtype == (int32_t)dtype)
            return i;
    }
    return -1;
}

static bool floating(int32_t dtype)
{
    return dtype == CBM_F32 || dtype == CBM_F64;
}

/* One instruction whose arguments are among the first n; false: try again. */
static bool random_instruction(program *p, int32_t n, cbm_fused_instruction *c)
{
    static const int32_t binary[] = { CBM_EXPR_ADD, CBM_EXPR_SUB, CBM_EXPR_MUL, CBM_EXPR_MAX,
                                      CBM_EXPR_MIN, CBM_EXPR_DIV, CBM_EXPR_MOD };
    static const int32_t bits[] = { CBM_EXPR_AND, CBM_EXPR_OR, CBM_EXPR_XOR, CBM_EXPR_SHL, CBM_EXPR_SHR, CBM_EXPR_NOT };
    static const int32_t unary[] = { CBM_EXPR_NEG,   CBM_EXPR_ABS,   CBM_EXPR_FLOOR, CBM_EXPR_CEIL,
                                     CBM_EXPR_ROUND, CBM_EXPR_TRUNC, CBM_EXPR_SQRT };
    const int32_t x = (int32_t)draw_int(0, n - 1);
    const cbm_dtype dtype = (cbm_dtype)p->code[x].dtype;
    *c = (cbm_fused_instruction){ .x = x, .dtype = (int32_t)dtype };
    switch (draw_int(0, 7)) {
    case 0:
    case 1:
    case 2:
        c->code = binary[draw_int(0, 6)];
        if (!floating(c->dtype) && dtype != CBM_BF16 && draw() < 0.5)
            c->code = bits[draw_int(0, dtype == CBM_BOOL ? 2 : 5)];
        c->y = c->code == CBM_EXPR_NOT ? 0 : pick(p, n, dtype);
        return c->y >= 0 && (c->code != CBM_EXPR_MOD || dtype != CBM_BOOL);
    case 3: c->code = unary[draw_int(0, 6)]; return c->code != CBM_EXPR_SQRT || floating(c->dtype);
    case 4:
        c->code = (int32_t)draw_int(CBM_EXPR_LT, CBM_EXPR_NE);
        c->y = pick(p, n, dtype);
        c->dtype = CBM_BOOL;
        break;
    case 5:
        c->code = CBM_EXPR_CAST;
        c->dtype = (int32_t)draw_int(0, CBM_DTYPE_COUNT - 1);
        break;
    case 6:
        c->code = CBM_EXPR_SELECT;
        c->x = pick(p, n, CBM_BOOL);
        c->y = x;
        c->z = pick(p, n, dtype);
        return c->x >= 0 && c->z >= 0;
    default:
        c->x = 0;
        c->dtype = (int32_t)(draw() < 0.7 ? CBM_F32 : CBM_F64);
        c->arg = (int32_t)draw_int(0, 1) * 2;
        c->code = CBM_EXPR_UNIFORM;
        if (draw() < 0.6) {
            c->code = CBM_EXPR_FIELD;
            c->arg = (int32_t)draw_int(4, 7);
            c->dtype = (int32_t)draw_int(0, CBM_DTYPE_COUNT - 1);
        }
    }
    return c->y >= 0;
}

static cbm_buffer random_operand(cbm_shape shape)
{
    cbm_buffer b = buffer((cbm_dtype)(draw() < 0.5 ? CBM_F32 : (cbm_dtype)draw_int(0, CBM_DTYPE_COUNT - 1)), shape);
    const int kind = (int)draw_int(0, 5);
    int64_t step = 1;
    b.contiguous = kind < 3;
    for (int64_t d = b.rank - 1; d >= 0 && kind >= 3; d--) {
        const bool broadcast = kind == 3 ? true : kind == 4 ? d < b.rank - 1 : draw() < 0.4;
        b.stride[d] = broadcast ? 0 : step;
        if (!broadcast)
            step *= b.shape[d] + (kind == 5 ? draw_int(0, 1) : 0);
    }
    if (kind == 5 && b.rank > 1 && draw() < 0.3) { /* transposed */
        b.stride[b.rank - 1] = b.shape[b.rank - 2];
        b.stride[b.rank - 2] = 1;
    }
    return b;
}

static bool same_place(const cbm_buffer *b)
{
    int64_t step = 1;
    for (int64_t d = b->rank - 1; d >= 0; d--) {
        if (b->shape[d] > 1 && b->stride[d] != step)
            return false;
        step *= b->shape[d];
    }
    return true;
}

static void random_program(program *p, int round)
{
    static const int64_t widths[] = { 1, 3, 7, 16, 33, 64, 128, 256, 1000, 1024, 5000 };
    cbm_shape shape = { { draw_int(0, 4) } };
    for (int64_t d = 0; d < shape.v[0]; d++)
        shape.v[1 + d] = d == shape.v[0] - 1 ? widths[draw_int(0, 10)] : draw_int(1, round % 10 == 0 ? 20 : 6);
    memset(p, 0, sizeof *p);
    const int32_t n_in = (int32_t)draw_int(1, INPUTS);
    for (int32_t i = 0; i < n_in; i++) {
        p->in[i] = random_operand(shape);
        fill_buffer(&p->in[i], p->in[i].dtype == CBM_BOOL ? (fill){ 0, 1 }
                               : p->in[i].dtype == CBM_U8 ? (fill){ 0, 255 }
                                                          : (fill){ -400, 400 });
        p->code[i] = (cbm_fused_instruction){ .code = CBM_EXPR_INPUT, .arg = i, .dtype = (int32_t)p->in[i].dtype };
    }
    int32_t n = n_in;
    const int32_t length = (int32_t)draw_int(n_in, LENGTH - 1);
    if (n < length)
        p->code[n++] =
            (cbm_fused_instruction){ .code = CBM_EXPR_NUMBER, .value = (double)draw_int(-9, 9) / 4, .dtype = CBM_F32 };
    while (n < length)
        if (random_instruction(p, n, &p->code[n]))
            n++;
    p->fused = (cbm_fused){ (size_t)n, p->code, (size_t)draw_int(1, OUTPUTS), p->outputs, 8 };
    for (int i = 0; i < 4; i++)
        p->parameters[i].u = (uint64_t)draw_int(0, 1000000) * 77777777777u;
    for (int i = 4; i < 8; i++)
        p->parameters[i].f = (double)draw_int(-40, 300) / 8;
    for (size_t o = 0; o < p->fused.n_out; o++) {
        p->outputs[o].place = o == 0 ? n - 1 : (int32_t)draw_int(0, n - 1);
        p->out[o] = buffer((cbm_dtype)p->code[p->outputs[o].place].dtype, shape);
        p->alias[o] = -1;
        for (int32_t i = 0; i < n_in && draw() < 0.6; i++) {
            bool free_input = p->in[i].dtype == p->out[o].dtype && same_place(&p->in[i]);
            for (size_t q = 0; q < o; q++)
                free_input = free_input && p->alias[q] != i;
            if (free_input)
                p->alias[o] = i;
        }
    }
}

/* The outputs' bytes, in memory of their own. */
static void run_program(const cbm_backend *backend, const program *p, int64_t threads, void **results)
{
    cbm_buffer in[INPUTS], out[OUTPUTS];
    memcpy(in, p->in, sizeof in);
    memcpy(out, p->out, sizeof out);
    size_t n_in = 0;
    for (; n_in < INPUTS && p->in[n_in].data; n_in++)
        in[n_in].data = NULL;
    cbm_fused_launch l = { .fused = &p->fused,
                           .parameters = NULL,
                           .n_in = n_in,
                           .n_out = p->fused.n_out,
                           .in = in,
                           .out = out,
                           .threads = threads };
    size_t workspace;
    assert_int_equal(backend->fused_prepare(&l, &l.state, &workspace), CBM_OK);
    assert_int_equal(workspace, 0);
    l.parameters = p->parameters;
    for (int twice = 0; twice < 2; twice++) {
        for (size_t i = 0; i < n_in; i++) {
            const size_t bytes = (size_t)extent_of(&p->in[i]) * cbm_dtype_size(in[i].dtype);
            in[i].data = malloc(bytes + CANARY);
            memcpy(in[i].data, p->in[i].data, bytes);
            memset((char *)in[i].data + bytes, 0xee, CANARY);
        }
        for (size_t o = 0; o < p->fused.n_out; o++) {
            const size_t bytes = (size_t)out[o].count * cbm_dtype_size(out[o].dtype);
            if (p->alias[o] >= 0) {
                out[o].data = in[p->alias[o]].data;
            } else {
                out[o].data = twice ? aligned_alloc(64, (bytes + CANARY + 63) / 64 * 64) : malloc(bytes + CANARY);
                memset(out[o].data, 0xee, bytes + CANARY);
            }
        }
        backend->fused_run(&l);
        for (size_t o = 0; o < p->fused.n_out; o++) {
            const size_t bytes = (size_t)out[o].count * cbm_dtype_size(out[o].dtype);
            const unsigned char *end = (const unsigned char *)out[o].data + bytes;
            for (int c = 0; c < CANARY; c++)
                assert_int_equal(end[c], 0xee);
            if (twice == 1) {
                results[o] = malloc(bytes + 1);
                memcpy(results[o], out[o].data, bytes);
            }
            if (p->alias[o] < 0)
                free(out[o].data);
        }
        for (size_t i = 0; i < n_in; i++)
            free(in[i].data);
    }
    if (backend->fused_release)
        backend->fused_release(l.state);
}

static bool equal_elements(cbm_dtype dtype, const void *a, const void *b, int64_t n, int64_t *where)
{
    for (*where = 0; *where < n; ++*where) {
        const double x = get(a, dtype, *where), y = get(b, dtype, *where);
        if (dtype == CBM_I64 ? ((const int64_t *)a)[*where] != ((const int64_t *)b)[*where]
                             : !(x == y || (isnan(x) && isnan(y))))
            return false;
    }
    return true;
}

static void show(const program *p)
{
    for (size_t i = 0; i < p->fused.length; i++) {
        const cbm_fused_instruction *c = &p->code[i];
        print_error("%2zu: code %d x %d y %d z %d arg %d %s %g\n", i, c->code, c->x, c->y, c->z, c->arg,
                    cbm_dtype_name((cbm_dtype)c->dtype), c->value);
    }
    for (size_t o = 0; o < p->fused.n_out; o++)
        print_error("output %zu: place %d, alias %d\n", o, p->outputs[o].place, p->alias[o]);
}

static void programs(void **state)
{
    (void)state;
    for (int round = 0; round < PROGRAMS; round++) {
        program p;
        random_program(&p, round);
        void *want[OUTPUTS], *got[OUTPUTS];
        run_program(&cbm_backend_reference, &p, 1, want);
        for (int level = 0; level < N_LEVELS; level++) {
            if (!cbm_simd_named(simd_levels[level]))
                continue;
            cbm_simd_choose(cbm_simd_named(simd_levels[level]));
            cbm_cpu_stream_from(round % 2 ? 0 : -1); /* large results go past the caches; here, small ones too */
            run_program(&cbm_backend_cpu, &p, 1 + (round + level) % 3, got);
            for (size_t o = 0; o < p.fused.n_out; o++) {
                int64_t where;
                if (!equal_elements(p.out[o].dtype, got[o], want[o], p.out[o].count, &where)) {
                    show(&p);
                    fail_msg("program %d at %s, output %zu, element %d of %d: %.9g, not %.9g", round,
                             simd_levels[level], o, (int)where, (int)p.out[o].count, get(got[o], p.out[o].dtype, where),
                             get(want[o], p.out[o].dtype, where));
                }
                free(got[o]);
            }
        }
        for (size_t o = 0; o < p.fused.n_out; o++)
            free(want[o]);
        for (int i = 0; i < INPUTS; i++)
            free(p.in[i].data);
    }
    cbm_simd_choose(NULL);
    cbm_cpu_stream_from(-1);
}

/* ---- sums ---- */

enum { SUMS = 4, STORED = SUMS };

/* x * y + 0.25 of a (rows, columns) matrix, y being one row for all, and sums of it and of 0.25. */
typedef struct adding {
    int64_t count;
    cbm_buffer in[2], out[SUMS + 1];
    cbm_fused_output made[SUMS + 1];
    double *x; /* the elements */
} adding;

static const cbm_fused_instruction product_and_more[] = {
    { .code = CBM_EXPR_INPUT, .arg = 0, .dtype = CBM_F32 },
    { .code = CBM_EXPR_INPUT, .arg = 1, .dtype = CBM_F32 },
    { .code = CBM_EXPR_MUL, .x = 0, .y = 1, .dtype = CBM_F32 },
    { .code = CBM_EXPR_NUMBER, .value = 0.25, .dtype = CBM_F32 },
    { .code = CBM_EXPR_ADD, .x = 2, .y = 3, .dtype = CBM_F32 },
};

/* Over rows; over everything; of 0.25 over rows; of channels in blocks of `block`, `places` each, if they fit. */
static adding begin_adding(int64_t rows, int64_t columns, int64_t block, int64_t places)
{
    adding a = { .count = rows * columns };
    const int64_t run = block * places, channels = a.count % (2 * run) == 0 ? 2 * block : 1;
    a.in[0] = buffer(CBM_F32, CBM_SHAPE(rows, columns));
    a.in[1] = a.in[0];
    a.in[1].stride[0] = 0;
    a.in[1].contiguous = 0;
    for (int i = 0; i < 2; i++)
        fill_buffer(&a.in[i], (fill){ -4, 4 });
    a.x = malloc((size_t)a.count * sizeof *a.x);
    for (int64_t i = 0; i < a.count; i++)
        a.x[i] = get(a.in[0].data, CBM_F32, i) * get(a.in[1].data, CBM_F32, i % columns) + 0.25;
    a.made[0] = (cbm_fused_output){ .place = 4, .rows = rows, .run = INT64_MAX, .blocks = 1, .factor = 1 };
    a.made[1] =
        (cbm_fused_output){ .place = 4, .rows = a.count, .run = INT64_MAX, .blocks = 1, .factor = 1 / (double)a.count };
    a.made[2] = (cbm_fused_output){ .place = 3, .rows = rows, .run = INT64_MAX, .blocks = 1, .factor = 2 };
    a.made[3] = (cbm_fused_output){ .place = 4,
                                    .rows = a.count / channels,
                                    .run = channels > 1 ? run : INT64_MAX,
                                    .blocks = channels > 1 ? 2 : 1,
                                    .factor = -1 };
    a.made[STORED] = (cbm_fused_output){ .place = 4 };
    for (int o = 0; o <= SUMS; o++) {
        a.out[o] = buffer(CBM_F32, o == STORED ? CBM_SHAPE(rows, columns) : CBM_SHAPE(a.count / a.made[o].rows));
        a.out[o].data = aligned_alloc(64, ((size_t)a.out[o].count * sizeof(float) + 63) / 64 * 64);
    }
    return a;
}

static void end_adding(adding *a)
{
    for (int i = 0; i < 2; i++)
        free(a->in[i].data);
    for (int o = 0; o <= SUMS; o++)
        free(a->out[o].data);
    free(a->x);
}

static void run_adding(adding *a, bool stores, int64_t threads)
{
    const cbm_fused fused = { 5, product_and_more, stores ? SUMS + 1 : SUMS, a->made, 0 };
    cbm_fused_launch l = {
        .fused = &fused, .n_in = 2, .n_out = fused.n_out, .in = a->in, .out = a->out, .threads = threads
    };
    size_t workspace;
    assert_int_equal(cbm_cpu_fused_prepare(&l, &l.state, &workspace), CBM_OK);
    l.workspace = aligned_alloc(64, (workspace + 63) / 64 * 64);
    memset(l.workspace, 0xee, workspace);
    cbm_cpu_fused_run(&l);
    free(l.workspace);
    cbm_cpu_fused_release(l.state);
}

/* Sum o is that of the elements, but for rounding. */
static void check_sum(const adding *a, int o)
{
    const cbm_fused_output *m = &a->made[o];
    const int64_t n = a->out[o].count, columns = n / m->blocks;
    double *sum = calloc((size_t)n * 2, sizeof *sum), *bound = sum + n;
    for (int64_t i = 0; i < a->count; i++) {
        const int64_t to = i / m->run % m->blocks * columns + i % columns;
        const double x = (m->place == 4 ? a->x[i] : 0.25) * m->factor;
        sum[to] += x;
        bound[to] += fabs(x);
    }
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(get(a->out[o].data, CBM_F32, i) - sum[i]) <= 3e-6 * bound[i]))
            fail_msg("sum %d of %d elements: result %d of %d is %.9g, not %.9g", o, (int)a->count, (int)i, (int)n,
                     get(a->out[o].data, CBM_F32, i), sum[i]);
    free(sum);
}

/* Sums that a pass makes besides what it stores, or alone: bit for bit the same on one, two and three threads. */
static void sums(void **state)
{
    (void)state;
    static const struct {
        int64_t rows, columns, block, places;
    } shapes[] = { { 8, 16, 1, 64 },     { 9, 1, 1, 1 },         { 1000, 17, 1, 50 },
                   { 64, 512, 16, 64 },  { 33, 5000, 8, 5 },     { 100000, 1, 16, 25 },
                   { 300, 1024, 16, 1 }, { 5000, 100, 100, 50 }, { 12, 30000, 1, 900 } };
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int round = 0; round < 4 * N_LEVELS; round++) {
            const cbm_simd *level = cbm_simd_named(simd_levels[round / 4]);
            const bool stores = round & 1;
            if (!level)
                continue;
            cbm_simd_choose(level);
            cbm_cpu_stream_from(round & 2 ? 0 : -1);
            adding a = begin_adding(shapes[s].rows, shapes[s].columns, shapes[s].block, shapes[s].places);
            void *first[SUMS] = { NULL };
            for (int threads = 1; threads <= 3; threads++) {
                run_adding(&a, stores, threads);
                for (int o = 0; o < SUMS; o++) {
                    const size_t bytes = (size_t)a.out[o].count * sizeof(float);
                    check_sum(&a, o);
                    first[o] = first[o] ? first[o] : memcpy(malloc(bytes), a.out[o].data, bytes);
                    assert_memory_equal(first[o], a.out[o].data, bytes);
                }
                for (int64_t i = 0; stores && i < a.count; i++)
                    assert_true(fabs(get(a.out[STORED].data, CBM_F32, i) - a.x[i]) <= 4e-6);
            }
            for (int o = 0; o < SUMS; o++)
                free(first[o]);
            end_adding(&a);
        }
    cbm_simd_choose(NULL);
    cbm_cpu_stream_from(-1);
}

/* The distance of got from want in units of want's last place as a float. */
static double units(float got, double want)
{
    const float w = (float)want;
    if (isnan(w) || isinf(w))
        return (isnan(w) && isnan(got)) || w == got ? 0 : INFINITY;
    return fabs((double)got - want) / (double)(nextafterf(fabsf(w), INFINITY) - fabsf(w));
}

static void elementary_functions(void **state)
{
    (void)state;
    static const struct {
        int code;
        double (*f)(double);
        double most;
    } functions[] = { { CBM_EXPR_EXP, exp, 1.5 },   { CBM_EXPR_LOG, log, 1.5 },   { CBM_EXPR_TANH, tanh, 2.5 },
                      { CBM_EXPR_ERF, erf, 2 },     { CBM_EXPR_SQRT, sqrt, 0.5 }, { CBM_EXPR_EXP2, exp2, 2 },
                      { CBM_EXPR_EXPM1, expm1, 2 }, { CBM_EXPR_LOG2, log2, 3 },   { CBM_EXPR_LOG10, log10, 3 },
                      { CBM_EXPR_LOG1P, log1p, 2 }, { CBM_EXPR_SIN, sin, 2 },     { CBM_EXPR_COS, cos, 2 },
                      { CBM_EXPR_TAN, tan, 4 },     { CBM_EXPR_ERFC, erfc, 5 },   { CBM_EXPR_FLOOR, floor, 0 },
                      { CBM_EXPR_CEIL, ceil, 0 },   { CBM_EXPR_ROUND, rint, 0 },  { CBM_EXPR_TRUNC, trunc, 0 } };
    enum { N = 1024, STRIDE = 7919 };
    static float x[N], y[N], r[N];
    for (int level = 0; level < N_LEVELS; level++) {
        const cbm_simd *s = cbm_simd_named(simd_levels[level]);
        const cbm_tile_operand o[3] = { { (const char *)x, 1 }, { (const char *)y, 1 }, { NULL, 0 } };
        for (size_t k = 0; s && k < sizeof functions / sizeof *functions; k++)
            for (uint64_t first = 0; first < 0x100000000u;
                 first += (uint64_t)N * STRIDE) { /* all magnitudes, both signs */
                for (uint64_t i = 0; i < N; i++) {
                    const uint32_t bits = (uint32_t)(first + i * STRIDE);
                    memcpy(&x[i], &bits, sizeof bits);
                }
                const float special[] = { 0, -0.0f, INFINITY, -INFINITY, NAN, 1, 88.73f, -104, -103, 1e-40f };
                memcpy(x, special, sizeof special);
                s->tile[functions[k].code][CBM_LANE_F32](N, r, o);
                for (int i = 0; i < N; i++)
                    if (units(r[i], functions[k].f((double)x[i])) > functions[k].most)
                        fail_msg("function %d at %s: f(%.9g) = %.9g, not %.9g", functions[k].code, s->name,
                                 (double)x[i], (double)r[i], functions[k].f((double)x[i]));
                for (int i = 0; i < N; i++) /* alone among ones: the same bits as among numbers of all kinds */
                    y[i] = i % 37 == 0 ? x[i] : 1;
                s->tile[functions[k].code][CBM_LANE_F32](N, y, &(cbm_tile_operand){ (const char *)y, 1 });
                for (int i = 0; i < N; i += 37)
                    if (memcmp(&r[i], &y[i], sizeof r[i]) != 0 && !isnan(r[i]))
                        fail_msg("function %d at %s: f(%.9g) = %.9g or %.9g by its neighbours", functions[k].code,
                                 s->name, (double)x[i], (double)r[i], (double)y[i]);
            }
    }
}

/* Of two operands: all magnitudes against each other, and magnitudes near each other. */
static void elementary_functions_of_two(void **state)
{
    (void)state;
    static const struct {
        int code;
        double (*f)(double, double);
        double most;
    } functions[] = { { CBM_EXPR_POW, pow, 1 }, { CBM_EXPR_ATAN2, atan2, 4 }, { CBM_EXPR_MOD, fmod, 0 } };
    static const float odd[] = { 0, -0.0f, 1, -1, INFINITY, -INFINITY, NAN, 2, -2, 3, -3, 0.5f, -0.5f, 1e-40f, 3e38f };
    enum { N = 1024, ODD = sizeof odd / sizeof *odd };
    static float x[N], y[N], r[N];
    const cbm_tile_operand o[3] = { { (const char *)x, 1 }, { (const char *)y, 1 }, { NULL, 0 } };
    for (int level = 0; level < N_LEVELS; level++) {
        const cbm_simd *s = cbm_simd_named(simd_levels[level]);
        for (size_t k = 0; s && k < sizeof functions / sizeof *functions; k++)
            for (int round = 0; round < 400; round++) {
                for (int i = 0; i < N; i++) {
                    const bool positive = functions[k].code == CBM_EXPR_POW;
                    const uint32_t bits = (uint32_t)(draw() * 0x1p32);
                    x[i] = expf((float)(draw() - 0.5) * 40) * (positive || draw() < 0.5 ? 1 : -1);
                    y[i] = (float)(draw() - 0.5) * 20 * (positive || draw() < 0.5 ? 1 : x[i]);
                    if (round % 2 && !positive)
                        memcpy(&y[i], &bits, sizeof bits);
                    if (round == 0 && i < ODD * ODD) {
                        x[i] = odd[i / ODD];
                        y[i] = odd[i % ODD];
                    }
                }
                s->tile[functions[k].code][CBM_LANE_F32](N, r, o);
                for (int i = 0; i < N; i++)
                    if (units(r[i], functions[k].f((double)x[i], (double)y[i])) > functions[k].most)
                        fail_msg("function %d at %s: f(%.9g, %.9g) = %.9g, not %.9g", functions[k].code, s->name,
                                 (double)x[i], (double)y[i], (double)r[i], functions[k].f((double)x[i], (double)y[i]));
            }
    }
}

static void random_numbers(void **state)
{
    (void)state;
    static float r[2000];
    for (int level = 0; level < N_LEVELS; level++) {
        const cbm_simd *s = cbm_simd_named(simd_levels[level]);
        for (int round = 0; s && round < 60; round++) {
            const uint64_t seed = (uint64_t)draw_int(0, 1 << 20) * 0x123456789abu,
                           position = (uint64_t)draw_int(0, 1 << 20) << (round % 40);
            const uint64_t first = (uint64_t)draw_int(0, 5000) + (round % 2 ? 0x3fffffff0u : 0);
            const int64_t n = draw_int(0, 2000);
            s->uniform(r, n, seed, position, first);
            for (int64_t i = 0; i < n; i++)
                assert_true(r[i] == cbm_philox_uniform(seed, position, first + (uint64_t)i));
            s->normal(r, n, seed, position, first);
            for (int64_t i = 0; i < n; i++)
                assert_true(fabs((double)r[i] - cbm_philox_normal(seed, position, first + (uint64_t)i)) < 2e-6);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs),
        cmocka_unit_test(sums),
        cmocka_unit_test(elementary_functions),
        cmocka_unit_test(elementary_functions_of_two),
        cmocka_unit_test(random_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
