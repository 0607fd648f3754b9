/* functions.c: one pointwise instruction over a tile, as in tile.c: the functions of functions.h, and bits. The wide types go
   through the C library. Rests on functions.h. */
#include "backend/cpu/simd/functions.h"

#include "backend/cpu/simd/level.h"

/* ---- loops over a tile ---- */

INLINE void each_f(int64_t n, void *r, const cbm_tile_operand *o, vf (*f)(vf))
{
    char *to = r;
    const char *x = o[0].p;
    for (int64_t i = 0; i < n; i += VN, to += VB, x += o[0].step * VB)
        vf_store(to, f(vf_load(x)));
}
INLINE void each_f2(int64_t n, void *r, const cbm_tile_operand *o, vf (*f)(vf, vf))
{
    char *to = r;
    const char *x = o[0].p, *y = o[1].p;
    for (int64_t i = 0; i < n; i += VN, to += VB, x += o[0].step * VB, y += o[1].step * VB)
        vf_store(to, f(vf_load(x), vf_load(y)));
}
INLINE void each_d(int64_t n, void *r, const cbm_tile_operand *o, double (*f)(double))
{
    double *to = r;
    const double *x = (const double *)(const void *)o[0].p;
    for (int64_t i = 0; i < n; i++)
        to[i] = f(x[i * o[0].step]);
}
INLINE void each_d2(int64_t n, void *r, const cbm_tile_operand *o, double (*f)(double, double))
{
    double *to = r;
    const double *x = (const double *)(const void *)o[0].p, *y = (const double *)(const void *)o[1].p;
    for (int64_t i = 0; i < n; i++)
        to[i] = f(x[i * o[0].step], y[i * o[1].step]);
}
/* Bits of lanes of any type, `vectors` of them. */
INLINE void each_vector(int64_t vectors, void *r, const cbm_tile_operand *o, vi (*f)(vi, vi))
{
    char *to = r;
    const char *x = o[0].p, *y = o[1].p;
    for (int64_t i = 0; i < vectors; i++, to += VB, x += o[0].step * VB, y += o[1].step * VB)
        vi_store(to, f(vi_load(x), vi_load(y)));
}
INLINE void each_i(int64_t n, void *r, const cbm_tile_operand *o, int32_t (*f)(int32_t, int32_t))
{
    int32_t *to = r;
    const int32_t *x = (const int32_t *)(const void *)o[0].p, *y = (const int32_t *)(const void *)o[1].p;
    for (int64_t i = 0; i < n; i++)
        to[i] = f(x[i * o[0].step], y[i * o[1].step]);
}
INLINE void each_l(int64_t n, void *r, const cbm_tile_operand *o, int64_t (*f)(int64_t, int64_t))
{
    int64_t *to = r;
    const int64_t *x = (const int64_t *)(const void *)o[0].p, *y = (const int64_t *)(const void *)o[1].p;
    for (int64_t i = 0; i < n; i++)
        to[i] = f(x[i * o[0].step], y[i * o[1].step]);
}

#define TILE(name, loop, f)                                                                                            \
    static void name(int64_t n, void *r, const cbm_tile_operand *o)                                                    \
    {                                                                                                                  \
        loop(n, r, o, f);                                                                                              \
    }
#define FUNCTION(name) TILE(name##_f, each_f, vf_##name) TILE(name##_d, each_d, name)

FUNCTION(exp2)
FUNCTION(expm1)
FUNCTION(log2)
FUNCTION(log10)
FUNCTION(log1p)
FUNCTION(sin)
FUNCTION(cos)
FUNCTION(tan)
FUNCTION(erfc)
FUNCTION(floor)
FUNCTION(ceil)
FUNCTION(trunc)
TILE(round_f, each_f, vf_round)
TILE(round_d, each_d, rint)
TILE(atan2_f, each_f2, vf_atan2)
TILE(atan2_d, each_d2, atan2)
TILE(mod_f, each_f2, vf_mod)
TILE(mod_d, each_d2, fmod)

/* ---- bits ---- */

INLINE vi and_bits(vi x, vi y)
{
    return x & y;
}
INLINE vi or_bits(vi x, vi y)
{
    return x | y;
}
INLINE vi xor_bits(vi x, vi y)
{
    return x ^ y;
}
INLINE vi inverse_bits(vi x, vi unused)
{
    (void)unused;
    return ~x;
}
INLINE vi same_bits(vi x, vi unused)
{
    (void)unused;
    return x;
}

#define BITS(name)                                                                                                     \
    static void name##_i(int64_t n, void *r, const cbm_tile_operand *o)                                                \
    {                                                                                                                  \
        each_vector(n / VN, r, o, name##_bits);                                                                        \
    }                                                                                                                  \
    static void name##_l(int64_t n, void *r, const cbm_tile_operand *o)                                                \
    {                                                                                                                  \
        each_vector(n / VD, r, o, name##_bits);                                                                        \
    }
#define BITS_OF_ONE(name)                                                                                              \
    static void name##_i(int64_t n, void *r, const cbm_tile_operand *o)                                                \
    {                                                                                                                  \
        const cbm_tile_operand both[2] = { o[0], o[0] };                                                               \
        each_vector(n / VN, r, both, name##_bits);                                                                     \
    }                                                                                                                  \
    static void name##_l(int64_t n, void *r, const cbm_tile_operand *o)                                                \
    {                                                                                                                  \
        const cbm_tile_operand both[2] = { o[0], o[0] };                                                               \
        each_vector(n / VD, r, both, name##_bits);                                                                     \
    }
BITS(and)
BITS(or)
BITS(xor)
BITS_OF_ONE(inverse)
BITS_OF_ONE(same)

/* A shift by less than 0 or by all bits and more moves every bit out. */
INLINE int32_t shl_32(int32_t x, int32_t y)
{
    return (uint32_t)y < 32 ? (int32_t)((uint32_t)x << y) : 0;
}
INLINE int32_t shr_32(int32_t x, int32_t y)
{
    return x >> ((uint32_t)y < 32 ? y : 31);
}
INLINE int64_t shl_64(int64_t x, int64_t y)
{
    return (uint64_t)y < 64 ? (int64_t)((uint64_t)x << y) : 0;
}
INLINE int64_t shr_64(int64_t x, int64_t y)
{
    return x >> ((uint64_t)y < 64 ? y : 63);
}
/* The rest of a division by zero is 0, and so is that of the one that overflows. */
INLINE int32_t mod_32(int32_t x, int32_t y)
{
    return y == 0 || y == -1 ? 0 : x % y;
}
INLINE int64_t mod_64(int64_t x, int64_t y)
{
    return y == 0 || y == -1 ? 0 : x % y;
}
TILE(shl_i, each_i, shl_32)
TILE(shr_i, each_i, shr_32)
TILE(mod_i, each_i, mod_32)
TILE(shl_l, each_l, shl_64)
TILE(shr_l, each_l, shr_64)
TILE(mod_l, each_l, mod_64)

void CBM_LEVEL(cbm_functions_fill)(cbm_simd *s)
{
    static const struct {
        cbm_expr_code code;
        cbm_tile_fn lanes[CBM_LANES]; /* f32, f64, i64, i32 */
    } functions[] = {
        { CBM_EXPR_EXP2, { exp2_f, exp2_d, NULL, NULL } },
        { CBM_EXPR_EXPM1, { expm1_f, expm1_d, NULL, NULL } },
        { CBM_EXPR_LOG2, { log2_f, log2_d, NULL, NULL } },
        { CBM_EXPR_LOG10, { log10_f, log10_d, NULL, NULL } },
        { CBM_EXPR_LOG1P, { log1p_f, log1p_d, NULL, NULL } },
        { CBM_EXPR_SIN, { sin_f, sin_d, NULL, NULL } },
        { CBM_EXPR_COS, { cos_f, cos_d, NULL, NULL } },
        { CBM_EXPR_TAN, { tan_f, tan_d, NULL, NULL } },
        { CBM_EXPR_ATAN2, { atan2_f, atan2_d, NULL, NULL } },
        { CBM_EXPR_ERFC, { erfc_f, erfc_d, NULL, NULL } },
        { CBM_EXPR_FLOOR, { floor_f, floor_d, same_l, same_i } },
        { CBM_EXPR_CEIL, { ceil_f, ceil_d, same_l, same_i } },
        { CBM_EXPR_ROUND, { round_f, round_d, same_l, same_i } },
        { CBM_EXPR_TRUNC, { trunc_f, trunc_d, same_l, same_i } },
        { CBM_EXPR_MOD, { mod_f, mod_d, mod_l, mod_i } },
        { CBM_EXPR_AND, { NULL, NULL, and_l, and_i } },
        { CBM_EXPR_OR, { NULL, NULL, or_l, or_i } },
        { CBM_EXPR_XOR, { NULL, NULL, xor_l, xor_i } },
        { CBM_EXPR_NOT, { NULL, NULL, inverse_l, inverse_i } },
        { CBM_EXPR_SHL, { NULL, NULL, shl_l, shl_i } },
        { CBM_EXPR_SHR, { NULL, NULL, shr_l, shr_i } },
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        memcpy(s->tile[functions[i].code], functions[i].lanes, sizeof functions[i].lanes);
}
