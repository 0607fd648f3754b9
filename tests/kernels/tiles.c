/* tiles.c: pointwise instructions over a tile, casts, bytes, bf16. Rests on check.h. */
#include "check.h"

#include "base/bf16.h"

static const cbm_dtype dtype_of[CBM_LANES] = { CBM_F32, CBM_F64, CBM_I64, CBM_I32 };
static const char *const lane_name[CBM_LANES] = { "f32", "f64", "i64", "i32" };

typedef struct number {
    double f;
    int64_t i;
} number;

static number load(const check_array *a, int64_t k)
{
    switch (a->dtype) {
    case CBM_F32: return (number){ .f = (double)((float *)a->data)[k] };
    case CBM_F64: return (number){ .f = ((double *)a->data)[k] };
    case CBM_I64: return (number){ .i = ((int64_t *)a->data)[k] };
    default: return (number){ .i = ((int32_t *)a->data)[k] };
    }
}
static void store(const check_array *a, int64_t k, number v)
{
    switch (a->dtype) {
    case CBM_F32: ((float *)a->data)[k] = (float)v.f; break;
    case CBM_F64: ((double *)a->data)[k] = v.f; break;
    case CBM_I64: ((int64_t *)a->data)[k] = v.i; break;
    default: ((int32_t *)a->data)[k] = (int32_t)(uint32_t)(uint64_t)v.i; break;
    }
}
static bool floating(cbm_lane lane)
{
    return lane == CBM_LANE_F32 || lane == CBM_LANE_F64;
}

/* ---- values: plain ones, and those at the edges ---- */

static double a_float(check_case *c, int code)
{
    static const double edges[] = { 0,   -0.0, 1,   -1,       0.5,       2,   3,    -3,    20,
                                    -20, 87,   -87, INFINITY, -INFINITY, NAN, 1e30, -1e-30 };
    if (!c->bench && check_uniform(c) < 0.1)
        return edges[check_int(c, 0, (int64_t)(sizeof edges / sizeof *edges) - 1)];
    const double v = 8 * check_uniform(c) - 4;
    const bool positive = code == CBM_EXPR_LOG || code == CBM_EXPR_LOG2 || code == CBM_EXPR_LOG10 ||
                          code == CBM_EXPR_SQRT || code == CBM_EXPR_POW;
    return positive ? fabs(v) : v;
}
static int64_t a_whole(check_case *c, bool wide)
{
    static const int64_t edges[] = { 0, 1, -1, 2, 255, 256, -128, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN };
    const bool edge = !c->bench && check_uniform(c) < 0.1;
    const int64_t v = edge ? edges[check_int(c, 0, wide ? 10 : 8)] : check_int(c, -300, 300);
    return v;
}
static void fill(check_case *c, int i, cbm_lane lane, int64_t n, int code)
{
    check_in(c, i, dtype_of[lane], n);
    for (int64_t k = 0; k < n; k++)
        store(&c->in[i], k, (number){ a_float(c, code), a_whole(c, lane == CBM_LANE_I64) });
}

/* A tile operand, or one group repeated; n[2 + i] is its step. */
static void operand(check_case *c, int i, cbm_lane lane, int code)
{
    c->n[2 + i] = c->bench || check_uniform(c) < 0.8;
    fill(c, i, lane, c->n[2 + i] ? c->n[0] : CBM_TILE_UNIFORM / 8, code);
    if (!c->n[2 + i])
        for (int64_t k = 1; k < c->in[i].count; k++)
            store(&c->in[i], k, load(&c->in[i], 0));
}

/* ---- one instruction: variant code, lane ---- */

/* What the floats' result should be by the C library, and how near it must come in f32 (0: exactly). */
typedef union of_floats {
    double (*one)(double);
    double (*two)(double, double);
} of_floats;
static const struct {
    int code, n_in;
    const char *name;
    of_floats f;
    double relative;
} codes[] = {
    { CBM_EXPR_ADD, 2, "add", { 0 }, 0 },
    { CBM_EXPR_SUB, 2, "sub", { 0 }, 0 },
    { CBM_EXPR_MUL, 2, "mul", { 0 }, 0 },
    { CBM_EXPR_DIV, 2, "div", { 0 }, 0 },
    { CBM_EXPR_POW, 2, "pow", { .two = pow }, 1e-6 },
    { CBM_EXPR_MAX, 2, "max", { 0 }, 0 },
    { CBM_EXPR_MIN, 2, "min", { 0 }, 0 },
    { CBM_EXPR_ATAN2, 2, "atan2", { .two = atan2 }, 1e-6 },
    { CBM_EXPR_MOD, 2, "mod", { .two = fmod }, 0 },
    { CBM_EXPR_AND, 2, "and", { 0 }, 0 },
    { CBM_EXPR_OR, 2, "or", { 0 }, 0 },
    { CBM_EXPR_XOR, 2, "xor", { 0 }, 0 },
    { CBM_EXPR_SHL, 2, "shl", { 0 }, 0 },
    { CBM_EXPR_SHR, 2, "shr", { 0 }, 0 },
    { CBM_EXPR_NEG, 1, "neg", { 0 }, 0 },
    { CBM_EXPR_NOT, 1, "not", { 0 }, 0 },
    { CBM_EXPR_EXP, 1, "exp", { exp }, 1e-6 },
    { CBM_EXPR_EXP2, 1, "exp2", { exp2 }, 1e-6 },
    { CBM_EXPR_EXPM1, 1, "expm1", { expm1 }, 1e-6 },
    { CBM_EXPR_LOG, 1, "log", { log }, 1e-6 },
    { CBM_EXPR_LOG2, 1, "log2", { log2 }, 1e-6 },
    { CBM_EXPR_LOG10, 1, "log10", { log10 }, 1e-6 },
    { CBM_EXPR_LOG1P, 1, "log1p", { log1p }, 1e-6 },
    { CBM_EXPR_SQRT, 1, "sqrt", { sqrt }, 0 },
    { CBM_EXPR_ABS, 1, "abs", { fabs }, 0 },
    { CBM_EXPR_SIN, 1, "sin", { sin }, 1e-6 },
    { CBM_EXPR_COS, 1, "cos", { cos }, 1e-6 },
    { CBM_EXPR_TAN, 1, "tan", { tan }, 1e-6 },
    { CBM_EXPR_TANH, 1, "tanh", { tanh }, 1e-6 },
    { CBM_EXPR_ERF, 1, "erf", { erf }, 1e-6 },
    { CBM_EXPR_ERFC, 1, "erfc", { erfc }, 1e-6 },
    { CBM_EXPR_FLOOR, 1, "floor", { floor }, 0 },
    { CBM_EXPR_CEIL, 1, "ceil", { ceil }, 0 },
    { CBM_EXPR_ROUND, 1, "round", { rint }, 0 },
    { CBM_EXPR_TRUNC, 1, "trunc", { trunc }, 0 },
    { CBM_EXPR_LT, 2, "lt", { 0 }, 0 },
    { CBM_EXPR_LE, 2, "le", { 0 }, 0 },
    { CBM_EXPR_GT, 2, "gt", { 0 }, 0 },
    { CBM_EXPR_GE, 2, "ge", { 0 }, 0 },
    { CBM_EXPR_EQ, 2, "eq", { 0 }, 0 },
    { CBM_EXPR_NE, 2, "ne", { 0 }, 0 },
    { CBM_EXPR_SELECT, 3, "select", { 0 }, 0 },
};
enum { N_CODES = sizeof codes / sizeof *codes };

static void make_tile(check_case *c)
{
    const int code = codes[c->kernel->variant[0]].code, n_in = codes[c->kernel->variant[0]].n_in;
    const cbm_lane lane = (cbm_lane)c->kernel->variant[1];
    c->n[0] = c->bench ? 1024 : CBM_TILE_GROUP * check_int(c, 1, 70);
    for (int i = 0; i < n_in; i++) {
        const bool condition = code == CBM_EXPR_SELECT && i == 0;
        operand(c, i, condition ? CBM_LANE_I32 : lane, code);
        for (int64_t k = 0; condition && k < c->in[i].count; k++)
            ((int32_t *)c->in[i].data)[k] = (int32_t)((c->n[2] ? k * 7 % 3 : c->n[0] / 16) % 2);
        const bool count = code == CBM_EXPR_POW || code == CBM_EXPR_SHL || code == CBM_EXPR_SHR;
        if (count && i == 1 && !floating(lane))
            for (int64_t k = 0; k < c->in[i].count; k++)
                store(&c->in[i], k, (number){ .i = c->n[3] ? check_int(c, -3, code == CBM_EXPR_POW ? 9 : 70) : 3 });
        c->bytes += (double)c->n[0] * (double)cbm_dtype_size(c->in[i].dtype);
    }
    const double near = codes[c->kernel->variant[0]].relative;
    const double relative = !floating(lane) ? 0 : lane == CBM_LANE_F64 ? 4e-16 : near;
    check_out(c, 0, cbm_expr_compares(code) ? CBM_I32 : dtype_of[lane], c->n[0], relative,
              near == 0 || !floating(lane) ? 0 : 1e-37);
    c->bytes += (double)c->n[0] * (double)cbm_dtype_size(c->out[0].dtype);
    snprintf(c->shape, sizeof c->shape, "%d, steps %d %d %d", (int)c->n[0], (int)c->n[2], (int)c->n[3], (int)c->n[4]);
}

static double arithmetic(int code, double x, double y)
{
    switch (code) {
    case CBM_EXPR_ADD: return x + y;
    case CBM_EXPR_SUB: return x - y;
    case CBM_EXPR_MUL: return x * y;
    case CBM_EXPR_DIV: return x / y;
    case CBM_EXPR_MAX: return isnan(x) || x > y ? x : y;
    case CBM_EXPR_MIN: return isnan(x) || x < y ? x : y;
    default: return -x;
    }
}

static double float_result(int i, double x, double y)
{
    if (codes[i].code == CBM_EXPR_NEG || (codes[i].n_in == 2 && !codes[i].f.two))
        return arithmetic(codes[i].code, x, y);
    return codes[i].n_in == 1 ? codes[i].f.one(x) : codes[i].f.two(x, y);
}

static int64_t power(uint64_t x, int64_t n)
{
    uint64_t r = 1;
    if (n < 0)
        return (int64_t)(x == 1 ? 1 : x == UINT64_MAX ? (n % 2 ? UINT64_MAX : 1) : 0);
    for (int64_t i = 0; i < n; i++)
        r *= x;
    return (int64_t)r;
}

static int64_t whole_result(int code, cbm_lane lane, int64_t x, int64_t y)
{
    const int64_t width = lane == CBM_LANE_I64 ? 64 : 32;
    const bool inside = y >= 0 && y < width;
    const uint64_t a = (uint64_t)x, b = (uint64_t)y;
    switch (code) {
    case CBM_EXPR_ADD: return (int64_t)(a + b);
    case CBM_EXPR_SUB: return (int64_t)(a - b);
    case CBM_EXPR_MUL: return (int64_t)(a * b);
    case CBM_EXPR_DIV: return y == 0 ? 0 : y == -1 ? (int64_t)(0 - a) : x / y;
    case CBM_EXPR_POW: return power(a, y);
    case CBM_EXPR_MAX: return x > y ? x : y;
    case CBM_EXPR_MIN: return x < y ? x : y;
    case CBM_EXPR_MOD: return y == 0 || y == -1 ? 0 : x % y;
    case CBM_EXPR_AND: return x & y;
    case CBM_EXPR_OR: return x | y;
    case CBM_EXPR_XOR: return x ^ y;
    case CBM_EXPR_SHL: return inside ? (int64_t)(a << y) : 0;
    case CBM_EXPR_SHR: return inside ? x >> y : -(x < 0);
    case CBM_EXPR_NEG: return (int64_t)(0 - a);
    case CBM_EXPR_NOT: return ~x;
    case CBM_EXPR_ABS: return x < 0 ? (int64_t)(0 - a) : x;
    default: return x; /* whole already */
    }
}

static bool order(int code, double below, double above, double equal)
{
    switch (code) {
    case CBM_EXPR_LT: return below != 0;
    case CBM_EXPR_LE: return below != 0 || equal != 0;
    case CBM_EXPR_GT: return above != 0;
    case CBM_EXPR_GE: return above != 0 || equal != 0;
    case CBM_EXPR_EQ: return equal != 0;
    default: return equal == 0;
    }
}

static void reference_tile(check_case *c)
{
    const int code = codes[c->kernel->variant[0]].code, n_in = codes[c->kernel->variant[0]].n_in;
    const cbm_lane lane = (cbm_lane)c->kernel->variant[1];
    const bool floats = floating(lane);
    for (int64_t k = 0; k < c->n[0]; k++) {
        number v[3] = { { 0, 0 } }, r;
        for (int i = 0; i < n_in; i++)
            v[i] = load(&c->in[i], k * c->n[2 + i]);
        if (code == CBM_EXPR_SELECT)
            r = v[0].i ? v[1] : v[2];
        else if (cbm_expr_compares(code) && floats)
            r = (number){ .i = order(code, v[0].f<v[1].f, v[0].f> v[1].f, v[0].f == v[1].f) };
        else if (cbm_expr_compares(code))
            r = (number){ .i = order(code, v[0].i<v[1].i, v[0].i> v[1].i, v[0].i == v[1].i) };
        else if (floats)
            r = (number){ .f = float_result(c->kernel->variant[0], v[0].f, v[1].f) };
        else
            r = (number){ .i = whole_result(code, lane, v[0].i, v[1].i) };
        store(&c->out[0], k, r);
    }
}

static void give(check_case *c, int n, cbm_tile_operand *o)
{
    for (int i = 0; i < n; i++)
        o[i] = (cbm_tile_operand){ c->in[i].data, c->n[2 + i] };
}

static void run_tile(const cbm_simd *s, check_case *c)
{
    cbm_tile_operand o[3];
    give(c, codes[c->kernel->variant[0]].n_in, o);
    s->tile[codes[c->kernel->variant[0]].code][c->kernel->variant[1]](c->n[0], c->out[0].data, o);
}

static bool tile_exists(const cbm_simd *s, const check_kernel *k)
{
    return s->tile[codes[k->variant[0]].code][k->variant[1]] != NULL;
}

/* ---- two instructions in one: variant first, second ---- */

static const char *const first_name[CBM_PAIR_FIRST] = { "add", "sub", "mul", "div", "max" };
static const char *const second_name[CBM_PAIR_SECOND] = { "t + z", "t - z", "z - t", "t z",
                                                          "t / z", "z / t", "max",   "min" };

static void make_pair(check_case *c)
{
    c->n[0] = c->bench ? 1024 : CBM_TILE_GROUP * check_int(c, 1, 70);
    for (int i = 0; i < 3; i++)
        operand(c, i, CBM_LANE_F32, CBM_EXPR_ADD);
    check_out(c, 0, CBM_F32, c->n[0], 0, 0);
    c->bytes = 16 * (double)c->n[0];
    snprintf(c->shape, sizeof c->shape, "%d, steps %d %d %d", (int)c->n[0], (int)c->n[2], (int)c->n[3], (int)c->n[4]);
}

static void reference_pair(check_case *c)
{
    static const int firsts[] = { CBM_EXPR_ADD, CBM_EXPR_SUB, CBM_EXPR_MUL, CBM_EXPR_DIV, CBM_EXPR_MAX };
    static const int seconds[] = { CBM_EXPR_ADD, CBM_EXPR_SUB, CBM_EXPR_SUB, CBM_EXPR_MUL,
                                   CBM_EXPR_DIV, CBM_EXPR_DIV, CBM_EXPR_MAX, CBM_EXPR_MIN };
    const int second = c->kernel->variant[1];
    for (int64_t k = 0; k < c->n[0]; k++) {
        double v[3];
        for (int i = 0; i < 3; i++)
            v[i] = load(&c->in[i], k * c->n[2 + i]).f;
        const double t = (double)(float)arithmetic(firsts[c->kernel->variant[0]], v[0], v[1]); /* rounds by itself */
        const bool turned = second == 2 || second == 5;
        store(&c->out[0], k, (number){ .f = arithmetic(seconds[second], turned ? v[2] : t, turned ? t : v[2]) });
    }
}

static void run_pair(const cbm_simd *s, check_case *c)
{
    cbm_tile_operand o[3];
    give(c, 3, o);
    s->pair[c->kernel->variant[0]][c->kernel->variant[1]](c->n[0], c->out[0].data, o);
}

/* x compared with y ? z : w, variant the comparison; two operands are enough to tell z from w */
static void make_select_by(check_case *c)
{
    make_pair(c);
    for (int64_t k = 0; k < c->in[1].count && c->n[2] && c->n[3]; k += 3)
        store(&c->in[1], k, load(&c->in[0], k));
    c->bytes += 4 * (double)c->n[0];
}
static void reference_select_by(check_case *c)
{
    const int code = CBM_EXPR_LT + c->kernel->variant[0];
    for (int64_t k = 0; k < c->n[0]; k++) {
        const double x = load(&c->in[0], k * c->n[2]).f, y = load(&c->in[1], k * c->n[3]).f;
        const int from = order(code, x<y, x> y, x == y) ? 2 : 0;
        store(&c->out[0], k, load(&c->in[from], k * c->n[2 + from]));
    }
}
static void run_select_by(const cbm_simd *s, check_case *c)
{
    cbm_tile_operand o[4];
    give(c, 3, o);
    o[3] = o[0];
    s->select_by[c->kernel->variant[0]](c->n[0], c->out[0].data, o);
}

/* ---- casts: variant from, to; and to 32-bit lanes of 0 and 1, of bytes, of bf16 values ---- */

enum { TRUTH = CBM_LANES, LOW_BYTE, CLAMP_BYTE, ROUND_BF16 };

static void make_cast(check_case *c)
{
    const cbm_lane from = (cbm_lane)c->kernel->variant[0];
    const int to = c->kernel->variant[1];
    c->n[0] = c->bench ? 1024 : CBM_TILE_GROUP * check_int(c, 1, 70);
    operand(c, 0, from, CBM_EXPR_ADD);
    if (!c->bench && floating(from)) /* numbers that whole ones cannot hold */
        for (int64_t k = 0; k < c->in[0].count && c->n[2]; k += 5)
            store(&c->in[0], k, (number){ .f = ldexp(check_uniform(c) - 0.5, (int)check_int(c, 0, 70)) });
    check_out(c, 0, to == ROUND_BF16 ? CBM_F32 : to >= CBM_LANES ? CBM_I32 : dtype_of[to], c->n[0], 0, 0);
    c->bytes = (double)c->n[0] * (double)(cbm_dtype_size(c->in[0].dtype) + cbm_dtype_size(c->out[0].dtype));
    snprintf(c->shape, sizeof c->shape, "%d, step %d", (int)c->n[0], (int)c->n[2]);
}

static int64_t whole(double v, double low, double high, int64_t least, int64_t most)
{
    return isnan(v) ? 0 : v <= low ? least : v >= high ? most : (int64_t)v;
}

static void reference_cast(check_case *c)
{
    const bool floats = floating((cbm_lane)c->kernel->variant[0]);
    for (int64_t k = 0; k < c->n[0]; k++) {
        const number v = load(&c->in[0], k * c->n[2]);
        number r = v;
        switch (c->kernel->variant[1]) {
        case CBM_LANE_F32: r.f = floats ? v.f : (double)(float)v.i; break;
        case CBM_LANE_F64: r.f = floats ? v.f : (double)v.i; break;
        case CBM_LANE_I64: r.i = floats ? whole(v.f, -0x1p63, 0x1p63, INT64_MIN, INT64_MAX) : v.i; break;
        case CBM_LANE_I32: r.i = floats ? whole(v.f, -0x1p31, 0x1p31 - 1, INT32_MIN, INT32_MAX) : v.i; break;
        case TRUTH: r.i = floats ? v.f != 0 : v.i != 0; break;
        case LOW_BYTE: r.i = v.i & 255; break;
        case CLAMP_BYTE: r.i = v.i < 0 ? 0 : v.i > 255 ? 255 : v.i; break;
        default: r.f = (double)cbm_bf16_widen(cbm_bf16_round((float)v.f)); break;
        }
        store(&c->out[0], k, r);
    }
}

static cbm_tile_fn cast_of(const cbm_simd *s, const check_kernel *k)
{
    switch (k->variant[1]) {
    case TRUTH: return s->truth[k->variant[0]];
    case LOW_BYTE: return s->low_byte;
    case CLAMP_BYTE: return s->clamp_byte;
    case ROUND_BF16: return s->round_bf16;
    default: return s->cast[k->variant[0]][k->variant[1]];
    }
}
static void run_cast(const cbm_simd *s, check_case *c)
{
    cbm_tile_operand o[1];
    give(c, 1, o);
    cast_of(s, c->kernel)(c->n[0], c->out[0].data, o);
}
static bool cast_exists(const cbm_simd *s, const check_kernel *k)
{
    return cast_of(s, k) != NULL;
}

/* ---- narrow types in memory: variant which ---- */

enum { WIDEN, WIDEN_TRUTH, NARROW, WIDEN_BF16, NARROW_BF16 };

static void make_narrow(check_case *c)
{
    static const cbm_dtype from[] = { CBM_U8, CBM_U8, CBM_I32, CBM_BF16, CBM_F32 };
    static const cbm_dtype to[] = { CBM_I32, CBM_I32, CBM_U8, CBM_F32, CBM_BF16 };
    const int which = c->kernel->variant[0];
    c->n[0] = c->bench ? 1024 : check_int(c, 0, 600);
    check_in(c, 0, from[which], c->n[0]);
    for (int64_t k = 0; k < c->n[0]; k++) {
        if (from[which] == CBM_F32)
            ((float *)c->in[0].data)[k] = (float)a_float(c, CBM_EXPR_ADD);
        else if (from[which] == CBM_BF16)
            ((uint16_t *)c->in[0].data)[k] = (uint16_t)check_int(c, 0, 65535);
        else if (from[which] == CBM_I32)
            ((int32_t *)c->in[0].data)[k] = (int32_t)check_int(c, 0, 255);
        else
            ((uint8_t *)c->in[0].data)[k] = (uint8_t)(check_uniform(c) < 0.3 ? 0 : check_int(c, 0, 255));
    }
    check_out(c, 0, to[which], c->n[0], 0, 0);
    c->bytes = (double)c->n[0] * (double)(cbm_dtype_size(from[which]) + cbm_dtype_size(to[which]));
    snprintf(c->shape, sizeof c->shape, "%d", (int)c->n[0]);
}

static void reference_narrow(check_case *c)
{
    const void *x = c->in[0].data;
    void *r = c->out[0].data;
    for (int64_t k = 0; k < c->n[0]; k++)
        switch (c->kernel->variant[0]) {
        case WIDEN: ((int32_t *)r)[k] = ((const uint8_t *)x)[k]; break;
        case WIDEN_TRUTH: ((int32_t *)r)[k] = ((const uint8_t *)x)[k] != 0; break;
        case NARROW: ((uint8_t *)r)[k] = (uint8_t)((const int32_t *)x)[k]; break;
        case WIDEN_BF16: ((float *)r)[k] = cbm_bf16_widen(((const uint16_t *)x)[k]); break;
        default: ((uint16_t *)r)[k] = cbm_bf16_round(((const float *)x)[k]); break;
        }
}

static void run_narrow(const cbm_simd *s, check_case *c)
{
    const void *x = c->in[0].data;
    void *r = c->out[0].data;
    switch (c->kernel->variant[0]) {
    case WIDEN: s->widen(r, x, c->n[0], false); break;
    case WIDEN_TRUTH: s->widen(r, x, c->n[0], true); break;
    case NARROW: s->narrow(r, x, c->n[0]); break;
    case WIDEN_BF16: s->widen_bf16(r, x, c->n[0]); break;
    default: s->narrow_bf16(r, x, c->n[0]); break;
    }
}

void check_tiles(void)
{
    static const char *const narrow[] = { "bytes to lanes", "bytes to truth", "lanes to bytes", "bf16 to f32",
                                          "f32 to bf16" };
    for (int i = 0; i < N_CODES; i++)
        for (int lane = 0; lane < CBM_LANES; lane++) {
            check_kernel k = { .make = make_tile, .reference = reference_tile, .run = run_tile, .exists = tile_exists };
            k.variant[0] = i;
            k.variant[1] = lane;
            snprintf(k.name, sizeof k.name, "tile %s %s", codes[i].name, lane_name[lane]);
            if (tile_exists(cbm_simd_get(), &k))
                check_add(k);
        }
    for (int first = 0; first < CBM_PAIR_FIRST; first++)
        for (int second = 0; second < CBM_PAIR_SECOND; second++) {
            check_kernel k = { .make = make_pair, .reference = reference_pair, .run = run_pair };
            k.variant[0] = first;
            k.variant[1] = second;
            snprintf(k.name, sizeof k.name, "pair %s, %s", first_name[first], second_name[second]);
            check_add(k);
        }
    for (int i = 0; i < CBM_EXPR_SELECT - CBM_EXPR_LT; i++) {
        static const char *const names[] = { "<", "<=", ">", ">=", "==", "!=" };
        check_kernel k = { .make = make_select_by, .reference = reference_select_by, .run = run_select_by };
        k.variant[0] = i;
        snprintf(k.name, sizeof k.name, "select by %s", names[i]);
        check_add(k);
    }
    for (int from = 0; from < CBM_LANES; from++)
        for (int to = 0; to <= ROUND_BF16; to++) {
            static const char *const more[] = { "truth", "low byte", "byte in range", "bf16 values" };
            check_kernel k = { .make = make_cast, .reference = reference_cast, .run = run_cast, .exists = cast_exists };
            k.variant[0] = from;
            k.variant[1] = to;
            if (((to == LOW_BYTE || to == CLAMP_BYTE) && from != CBM_LANE_I32) ||
                (to == ROUND_BF16 && from != CBM_LANE_F32))
                continue;
            snprintf(k.name, sizeof k.name, "cast %s to %s", lane_name[from],
                     to < CBM_LANES ? lane_name[to] : more[to - CBM_LANES]);
            if (cast_exists(cbm_simd_get(), &k))
                check_add(k);
        }
    for (int i = 0; i <= NARROW_BF16; i++) {
        check_kernel k = { .make = make_narrow, .reference = reference_narrow, .run = run_narrow };
        k.variant[0] = i;
        snprintf(k.name, sizeof k.name, "%s", narrow[i]);
        check_add(k);
    }
}
