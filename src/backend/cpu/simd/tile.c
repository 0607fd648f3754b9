/* tile.c: one pointwise instruction over a tile of elements: the inner loops of fused passes. f32 and 32-bit integers in
   explicit vectors, the wide types in plain loops. Rests on simd.h and math.h. */
#include "backend/cpu/simd/math.h"

#include "backend/cpu/simd/level.h"
#include "base/bf16.h"

#include <math.h>

/* ---- f32 and 32-bit integers ---- */

#define LOOP(n) for (int64_t i_ = 0; i_ < (n); i_ += VN)
#define WALK(k) (o[k].step * VB)

#define UNARY_F(name, EXPRESSION)                                                                                      \
    static void name(int64_t n, void *r, const cbm_tile_operand *o)                                                    \
    {                                                                                                                  \
        char *to = r;                                                                                                  \
        const char *px = o[0].p;                                                                                       \
        const int64_t wx = WALK(0);                                                                                    \
        LOOP(n)                                                                                                        \
        {                                                                                                              \
            vf x = vf_load(px);                                                                                        \
            vf_store(to, EXPRESSION);                                                                                  \
            to += VB;                                                                                                  \
            px += wx;                                                                                                  \
        }                                                                                                              \
    }
#define BINARY_F(name, EXPRESSION)                                                                                     \
    static void name(int64_t n, void *r, const cbm_tile_operand *o)                                                    \
    {                                                                                                                  \
        char *to = r;                                                                                                  \
        const char *px = o[0].p, *py = o[1].p;                                                                         \
        const int64_t wx = WALK(0), wy = WALK(1);                                                                      \
        LOOP(n)                                                                                                        \
        {                                                                                                              \
            vf x = vf_load(px), y = vf_load(py);                                                                       \
            vf_store(to, EXPRESSION);                                                                                  \
            to += VB;                                                                                                  \
            px += wx;                                                                                                  \
            py += wy;                                                                                                  \
        }                                                                                                              \
    }
#define COMPARE_F(name, EXPRESSION)                                                                                    \
    static void name(int64_t n, void *r, const cbm_tile_operand *o)                                                    \
    {                                                                                                                  \
        char *to = r;                                                                                                  \
        const char *px = o[0].p, *py = o[1].p;                                                                         \
        const int64_t wx = WALK(0), wy = WALK(1);                                                                      \
        LOOP(n)                                                                                                        \
        {                                                                                                              \
            vf x = vf_load(px), y = vf_load(py);                                                                       \
            vi_store(to, (EXPRESSION)&1);                                                                              \
            to += VB;                                                                                                  \
            px += wx;                                                                                                  \
            py += wy;                                                                                                  \
        }                                                                                                              \
    }
#define UNARY_I(name, EXPRESSION)                                                                                      \
    static void name(int64_t n, void *r, const cbm_tile_operand *o)                                                    \
    {                                                                                                                  \
        char *to = r;                                                                                                  \
        const char *px = o[0].p;                                                                                       \
        const int64_t wx = WALK(0);                                                                                    \
        LOOP(n)                                                                                                        \
        {                                                                                                              \
            vi x = vi_load(px);                                                                                        \
            vi_store(to, EXPRESSION);                                                                                  \
            to += VB;                                                                                                  \
            px += wx;                                                                                                  \
        }                                                                                                              \
    }
#define BINARY_I(name, EXPRESSION)                                                                                     \
    static void name(int64_t n, void *r, const cbm_tile_operand *o)                                                    \
    {                                                                                                                  \
        char *to = r;                                                                                                  \
        const char *px = o[0].p, *py = o[1].p;                                                                         \
        const int64_t wx = WALK(0), wy = WALK(1);                                                                      \
        LOOP(n)                                                                                                        \
        {                                                                                                              \
            vi x = vi_load(px), y = vi_load(py);                                                                       \
            vi_store(to, EXPRESSION);                                                                                  \
            to += VB;                                                                                                  \
            px += wx;                                                                                                  \
            py += wy;                                                                                                  \
        }                                                                                                              \
    }

BINARY_F(add_f, x + y)
BINARY_F(sub_f, x - y)
BINARY_F(mul_f, x *y)
BINARY_F(div_f, x / y)
BINARY_F(max_f, vf_max(x, y))
BINARY_F(min_f, vf_min(x, y))
UNARY_F(neg_f, -x)
UNARY_F(abs_f, vf_abs(x))
UNARY_F(sqrt_f, vf_sqrt(x))
UNARY_F(exp_f, vf_exp(x))
UNARY_F(log_f, vf_log(x))
UNARY_F(tanh_f, vf_tanh(x))
UNARY_F(erf_f, vf_erf(x))
COMPARE_F(lt_f, x < y)
COMPARE_F(le_f, x <= y)
COMPARE_F(gt_f, x > y)
COMPARE_F(ge_f, x >= y)
COMPARE_F(eq_f, x == y)
COMPARE_F(ne_f, x != y)

/* Integers wrap around. */
BINARY_I(add_i, (vi)((vu)x + (vu)y))
BINARY_I(sub_i, (vi)((vu)x - (vu)y))
BINARY_I(mul_i, (vi)((vu)x *(vu)y))
BINARY_I(max_i, vi_select(x > y, x, y))
BINARY_I(min_i, vi_select(x < y, x, y))
UNARY_I(neg_i, (vi)(0 - (vu)x))
UNARY_I(abs_i, vi_select(x < 0, (vi)(0 - (vu)x), x))
UNARY_I(low_byte, x & 255)
UNARY_I(clamp_byte, vi_select(x < 0, (vi){ 0 }, vi_select(x > 255, vi_set(255), x)))
UNARY_I(truth_i, (x != 0) & 1)
BINARY_I(lt_i, (x < y) & 1)
BINARY_I(le_i, (x <= y) & 1)
BINARY_I(gt_i, (x > y) & 1)
BINARY_I(ge_i, (x >= y) & 1)
BINARY_I(eq_i, (x == y) & 1)
BINARY_I(ne_i, (x != y) & 1)

/* Bits move, whatever they mean: serves f32 and 32-bit integers. */
static void select_32(int64_t n, void *r, const cbm_tile_operand *o)
{
    char *to = r;
    const char *pc = o[0].p, *px = o[1].p, *py = o[2].p;
    LOOP(n)
    {
        vi m = vi_load(pc) != 0;
        vf_store(to, vf_select(m, vf_load(px), vf_load(py)));
        to += VB;
        pc += WALK(0);
        px += WALK(1);
        py += WALK(2);
    }
}

/* ---- power ---- */

static bool positive_finite(vf x)
{
    return !vi_some(~((x > vf_set(0.0f)) & (x < vf_set(__builtin_inff()))));
}

/* A common exponent that needs no logarithm. */
static bool easy_power(int64_t n, void *r, const cbm_tile_operand *o)
{
    float y;
    memcpy(&y, o[1].p, sizeof y);
    cbm_tile_operand square[2] = { o[0], o[0] };
    static const float one[CBM_TILE_UNIFORM / 4] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
    cbm_tile_operand inverse[2] = { { (const char *)one, 0 }, o[0] };
    if (y == 2.0f) {
        mul_f(n, r, square);
        return true;
    }
    if (y == -1.0f) {
        div_f(n, r, inverse);
        return true;
    }
    return false;
}

static void pow_f(int64_t n, void *r, const cbm_tile_operand *o)
{
    if (o[1].step == 0 && easy_power(n, r, o))
        return;
    float *to = r;
    const char *px = o[0].p, *py = o[1].p;
    LOOP(n)
    {
        vf x = vf_load(px), y = vf_load(py);
        if (positive_finite(x) && !vi_some(~(vf_abs(y) < vf_set(__builtin_inff())))) {
            for (int half = 0; half < 2; half++) {
                vd xd = __builtin_convertvector(*(const vf_half_any *)(px + half * VB / 2), vd);
                vd yd = __builtin_convertvector(*(const vf_half_any *)(py + half * VB / 2), vd);
                *(vf_half_any *)(to + half * VD) = __builtin_convertvector(vd_pow(xd, yd), vf_half);
            }
        } else {
            float xs[VN], ys[VN];
            vf_store(xs, x);
            vf_store(ys, y);
            for (int k = 0; k < VN; k++)
                to[k] = powf(xs[k], ys[k]);
        }
        to += VN;
        px += WALK(0);
        py += WALK(1);
    }
}

/* ---- 64-bit lanes: plain loops ---- */

#define UNARY_T(name, T, R, EXPRESSION)                                                                                \
    static void name(int64_t n, void *r, const cbm_tile_operand *o)                                                    \
    {                                                                                                                  \
        R *to = r;                                                                                                     \
        const T *px = (const T *)(const void *)o[0].p;                                                                 \
        const int64_t sx = o[0].step;                                                                                  \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            T x = px[i * sx];                                                                                          \
            to[i] = (R)(EXPRESSION);                                                                                   \
        }                                                                                                              \
    }
#define BINARY_T(name, T, R, EXPRESSION)                                                                               \
    static void name(int64_t n, void *r, const cbm_tile_operand *o)                                                    \
    {                                                                                                                  \
        R *to = r;                                                                                                     \
        const T *px = (const T *)(const void *)o[0].p, *py = (const T *)(const void *)o[1].p;                          \
        const int64_t sx = o[0].step, sy = o[1].step;                                                                  \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            T x = px[i * sx], y = py[i * sy];                                                                          \
            to[i] = (R)(EXPRESSION);                                                                                   \
        }                                                                                                              \
    }
#define BINARY_D(name, EXPRESSION)                                                                                     \
    static void name(int64_t n, void *r, const cbm_tile_operand *o)                                                    \
    {                                                                                                                  \
        char *to = r;                                                                                                  \
        const char *px = o[0].p, *py = o[1].p;                                                                         \
        for (int64_t i = 0; i < n; i += VD) {                                                                          \
            vd x = vd_load(px), y = vd_load(py);                                                                       \
            vd_store(to, EXPRESSION);                                                                                  \
            to += VB;                                                                                                  \
            px += WALK(0);                                                                                             \
            py += WALK(1);                                                                                             \
        }                                                                                                              \
    }
#define BINARY_L(name, EXPRESSION)                                                                                     \
    static void name(int64_t n, void *r, const cbm_tile_operand *o)                                                    \
    {                                                                                                                  \
        char *to = r;                                                                                                  \
        const char *px = o[0].p, *py = o[1].p;                                                                         \
        for (int64_t i = 0; i < n; i += VD) {                                                                          \
            vl x = vl_load(px), y = vl_load(py);                                                                       \
            vl_store(to, EXPRESSION);                                                                                  \
            to += VB;                                                                                                  \
            px += WALK(0);                                                                                             \
            py += WALK(1);                                                                                             \
        }                                                                                                              \
    }

BINARY_D(add_d, x + y)
BINARY_D(sub_d, x - y)
BINARY_D(mul_d, x *y)
BINARY_D(div_d, x / y)
BINARY_D(max_d, vd_select((x > y) | (x != x), x, y))
BINARY_D(min_d, vd_select((x < y) | (x != x), x, y))
BINARY_T(pow_d, double, double, pow(x, y))
UNARY_T(neg_d, double, double, -x)
UNARY_T(abs_d, double, double, fabs(x))
UNARY_T(sqrt_d, double, double, sqrt(x))
UNARY_T(exp_d, double, double, exp(x))
UNARY_T(log_d, double, double, log(x))
UNARY_T(tanh_d, double, double, tanh(x))
UNARY_T(erf_d, double, double, erf(x))
UNARY_T(truth_d, double, int32_t, x != 0)
UNARY_T(truth_f, float, int32_t, x != 0)
BINARY_T(lt_d, double, int32_t, x < y)
BINARY_T(le_d, double, int32_t, x <= y)
BINARY_T(gt_d, double, int32_t, x > y)
BINARY_T(ge_d, double, int32_t, x >= y)
BINARY_T(eq_d, double, int32_t, x == y)
BINARY_T(ne_d, double, int32_t, x != y)

BINARY_L(add_l, (vl)((vul)x + (vul)y))
BINARY_L(sub_l, (vl)((vul)x - (vul)y))
BINARY_L(mul_l, (vl)((vul)x *(vul)y))
BINARY_L(max_l, vl_select(x > y, x, y))
BINARY_L(min_l, vl_select(x < y, x, y))
UNARY_T(neg_l, uint64_t, uint64_t, 0 - x)
UNARY_T(abs_l, int64_t, uint64_t, x < 0 ? 0 - (uint64_t)x : (uint64_t)x)
UNARY_T(truth_l, int64_t, int32_t, x != 0)
BINARY_T(lt_l, int64_t, int32_t, x < y)
BINARY_T(le_l, int64_t, int32_t, x <= y)
BINARY_T(gt_l, int64_t, int32_t, x > y)
BINARY_T(ge_l, int64_t, int32_t, x >= y)
BINARY_T(eq_l, int64_t, int32_t, x == y)
BINARY_T(ne_l, int64_t, int32_t, x != y)

/* Division of integers: by zero gives zero, and the one overflow wraps. */
BINARY_T(div_l, int64_t, int64_t, y == 0 ? 0 : y == -1 ? (int64_t)(0 - (uint64_t)x) : x / y)
BINARY_T(div_i, int32_t, int32_t, y == 0 ? 0 : y == -1 ? (int32_t)(0 - (uint32_t)x) : x / y)

/* Whole powers wrap; a negative exponent gives 1 / x^-n, truncated. */
static uint64_t whole_power(uint64_t x, int64_t n)
{
    if (n < 0)
        return x == 1 ? 1 : x == UINT64_MAX ? (n % 2 ? UINT64_MAX : 1) : 0;
    uint64_t r = 1;
    for (; n; n >>= 1, x *= x)
        if (n & 1)
            r *= x;
    return r;
}
BINARY_T(pow_l, int64_t, int64_t, whole_power((uint64_t)x, y))
BINARY_T(pow_i, int32_t, int32_t, (uint32_t)whole_power((uint64_t)x, y))

static void select_64(int64_t n, void *r, const cbm_tile_operand *o)
{
    int64_t *to = r;
    const int32_t *pc = (const int32_t *)(const void *)o[0].p;
    for (int64_t i = 0; i < n; i++) {
        int64_t v;
        memcpy(&v, (pc[i * o[0].step] ? o[1].p + i * o[1].step * 8 : o[2].p + i * o[2].step * 8), sizeof v);
        to[i] = v;
    }
}

/* ---- casts: towards zero; out of range to the nearest, NaN to 0 ---- */

static inline int64_t whole_64(double x)
{
    if (!(x > -9223372036854775808.0))
        return x != x ? 0 : INT64_MIN;
    return x >= 9223372036854775808.0 ? INT64_MAX : (int64_t)x;
}
static inline int32_t whole_32(double x)
{
    if (!(x > -2147483648.0))
        return x != x ? 0 : INT32_MIN;
    return x >= 2147483647.0 ? INT32_MAX : (int32_t)x;
}

UNARY_F(copy_32, x)
UNARY_T(copy_64, int64_t, int64_t, x)
UNARY_T(f_to_d, float, double, x)
UNARY_T(f_to_l, float, int64_t, whole_64((double)x))
UNARY_T(f_to_i, float, int32_t, whole_32((double)x))
UNARY_T(d_to_f, double, float, x)
UNARY_T(d_to_l, double, int64_t, whole_64(x))
UNARY_T(d_to_i, double, int32_t, whole_32(x))
UNARY_T(l_to_f, int64_t, float, x)
UNARY_T(l_to_d, int64_t, double, x)
UNARY_T(l_to_i, int64_t, int32_t, (uint32_t)(uint64_t)x)
UNARY_T(i_to_d, int32_t, double, x)
UNARY_T(i_to_l, int32_t, int64_t, x)

static void i_to_f(int64_t n, void *r, const cbm_tile_operand *o)
{
    char *to = r;
    const char *px = o[0].p;
    LOOP(n)
    {
        vf_store(to, __builtin_convertvector(vi_load(px), vf));
        to += VB;
        px += WALK(0);
    }
}

/* ---- bytes ---- */

static void widen(int32_t *r, const uint8_t *x, int64_t n, bool truth)
{
    int64_t i = 0;
    for (; i + VN <= n; i += VN) {
        const vi v = vi_load_bytes(x + i);
        vi_store(r + i, truth ? (v != 0) & 1 : v);
    }
    for (; i < n; i++)
        r[i] = truth ? x[i] != 0 : x[i];
}

static void narrow(uint8_t *r, const int32_t *x, int64_t n)
{
    int64_t i = 0;
    for (; i + VN <= n; i += VN)
        vi_store_bytes(r + i, vi_load(x + i));
    for (; i < n; i++)
        r[i] = (uint8_t)x[i];
}

/* ---- bf16 ---- */

/* The upper half of each lane is the bf16 nearest to x; the lower half is zero. */
INLINE vf rounded_bf16(vf x)
{
    const vu bits = (vu)x, even = bits >> 16 & 1;
    const vf nearest = (vf)((bits + (0x7fff + even)) & 0xffff0000u), quiet = (vf)((bits | 0x400000) & 0xffff0000u);
    return vf_if_nan(x, quiet, nearest);
}
UNARY_F(round_bf16, rounded_bf16(x))

static void widen_bf16(float *r, const uint16_t *x, int64_t n)
{
    int64_t i = 0;
    for (; i + VN <= n; i += VN)
        vi_store(r + i, (vi)(__builtin_convertvector(*(const vh_half_any *)(x + i), vu) << 16));
    for (; i < n; i++)
        r[i] = cbm_bf16_widen(x[i]);
}

static void narrow_bf16(uint16_t *r, const float *x, int64_t n)
{
    int64_t i = 0;
    for (; i + VN <= n; i += VN)
        *(vh_half_any *)(r + i) = __builtin_convertvector((vu)rounded_bf16(vf_load(x + i)) >> 16, vh_half);
    for (; i < n; i++)
        r[i] = cbm_bf16_round(x[i]);
}

#define ALL(code, f, d, l, i)                                                                                          \
    [CBM_EXPR_##code] = { [CBM_LANE_F32] = f, [CBM_LANE_F64] = d, [CBM_LANE_I64] = l, [CBM_LANE_I32] = i }
#define FLOATS(code, f, d) [CBM_EXPR_##code] = { [CBM_LANE_F32] = f, [CBM_LANE_F64] = d }

/* ---- past the caches ---- */

static void stream(void *to, const void *from, int64_t bytes)
{
    char *p = to;
    const char *x = from;
    int64_t i = 0;
    for (; i + 4 * VB <= bytes; i += 4 * VB) {
        const vi a = vi_load(x + i), b = vi_load(x + i + VB), c = vi_load(x + i + 2 * VB), d = vi_load(x + i + 3 * VB);
        vi_stream(p + i, a);
        vi_stream(p + i + VB, b);
        vi_stream(p + i + 2 * VB, c);
        vi_stream(p + i + 3 * VB, d);
    }
    for (; i < bytes; i += VB)
        vi_stream(p + i, vi_load(x + i));
}
static void stream_end(void)
{
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

void CBM_LEVEL(cbm_tile_fill)(cbm_simd *s)
{
    static const cbm_tile_fn tile[CBM_EXPR_CODES][CBM_LANES] = {
        ALL(ADD, add_f, add_d, add_l, add_i),
        ALL(SUB, sub_f, sub_d, sub_l, sub_i),
        ALL(MUL, mul_f, mul_d, mul_l, mul_i),
        ALL(DIV, div_f, div_d, div_l, div_i),
        ALL(POW, pow_f, pow_d, pow_l, pow_i),
        ALL(MAX, max_f, max_d, max_l, max_i),
        ALL(MIN, min_f, min_d, min_l, min_i),
        ALL(NEG, neg_f, neg_d, neg_l, neg_i),
        FLOATS(EXP, exp_f, exp_d),
        FLOATS(LOG, log_f, log_d),
        FLOATS(SQRT, sqrt_f, sqrt_d),
        ALL(ABS, abs_f, abs_d, abs_l, abs_i),
        FLOATS(TANH, tanh_f, tanh_d),
        FLOATS(ERF, erf_f, erf_d),
        ALL(LT, lt_f, lt_d, lt_l, lt_i),
        ALL(LE, le_f, le_d, le_l, le_i),
        ALL(GT, gt_f, gt_d, gt_l, gt_i),
        ALL(GE, ge_f, ge_d, ge_l, ge_i),
        ALL(EQ, eq_f, eq_d, eq_l, eq_i),
        ALL(NE, ne_f, ne_d, ne_l, ne_i),
        ALL(SELECT, select_32, select_64, select_64, select_32),
    };
    static const cbm_tile_fn cast[CBM_LANES][CBM_LANES] = {
        { copy_32, f_to_d, f_to_l, f_to_i },
        { d_to_f, copy_64, d_to_l, d_to_i },
        { l_to_f, l_to_d, copy_64, l_to_i },
        { i_to_f, i_to_d, i_to_l, copy_32 },
    };
    static const cbm_tile_fn truth[CBM_LANES] = { truth_f, truth_d, truth_l, truth_i };
    memcpy(s->tile, tile, sizeof tile);
    memcpy(s->cast, cast, sizeof cast);
    memcpy(s->truth, truth, sizeof truth);
    s->low_byte = low_byte;
    s->clamp_byte = clamp_byte;
    s->widen = widen;
    s->narrow = narrow;
    s->widen_bf16 = widen_bf16;
    s->narrow_bf16 = narrow_bf16;
    s->round_bf16 = round_bf16;
    s->stream = stream;
    s->stream_end = stream_end;
}
