/* folds.c: sums, products, extremes and their places, down the columns of rows and along each row, in an order that depends on
   shapes only; sums of whole numbers. Rests on folds.h. */
#include "backend/cpu/simd/folds.h"

#include "backend/cpu/simd/level.h"

enum {
    DEEP = 8, /* rows that are joined among themselves before they meet what came before */
    WIDE = 4  /* vectors of a row that go on together */
};

/* ---- what an element counts for ---- */

INLINE vf magnitude(vf x, vf about)
{
    (void)about;
    return vf_abs(x);
}
INLINE vf square(vf x, vf about)
{
    const vf d = x - about;
    return d * d;
}

/* ---- down the columns ---- */

/* `columns` vectors of n lanes each. */
INLINE void fold_block(float *r, const float *x, const float *about, int64_t rows, int64_t step, int columns, int64_t n,
                       vf_map map, vf_join join)
{
    vf a[WIDE], m[WIDE];
    int64_t i = 0;
    for (int v = 0; v < columns; v++) {
        a[v] = vf_load_n(r + v * VN, n);
        m[v] = about ? vf_load_n(about + v * VN, n) : (vf){ 0 };
    }
    for (; i + DEEP <= rows; i += DEEP)
        for (int v = 0; v < columns; v++) {
            const float *from = x + i * step + v * VN;
            vf t[DEEP];
            _Pragma("GCC unroll 8") for (int k = 0; k < DEEP; k++) t[k] = map(vf_load_n(from + k * step, n), m[v]);
            _Pragma("GCC unroll 4") for (int k = 0; k < DEEP / 2; k++) t[k] = join(t[k], t[k + DEEP / 2]);
            a[v] = join(a[v], join(join(t[0], t[2]), join(t[1], t[3])));
        }
    for (; i < rows; i++)
        for (int v = 0; v < columns; v++)
            a[v] = join(a[v], map(vf_load_n(x + i * step + v * VN, n), m[v]));
    for (int v = 0; v < columns; v++)
        vf_store_n(r + v * VN, n, a[v]);
}

/* Rows are taken a few at a time, so that memory is read in its order; of short rows, all. */
INLINE void fold_columns(float *r, const float *x, const float *about, int64_t rows, int64_t step, int64_t n,
                         vf_map map, vf_join join)
{
    const int64_t deep = n <= WIDE * VN ? rows : DEEP;
    for (int64_t i = 0; i < rows; i += deep) {
        const int64_t now = rows - i < deep ? rows - i : deep;
        int64_t k = 0;
#define FOLD_BLOCK(columns, lanes)                                                                                     \
    fold_block(r + k, x + i * step + k, about ? about + k : NULL, now, step, columns, lanes, map, join)
        for (; k + WIDE * VN <= n; k += WIDE * VN)
            FOLD_BLOCK(WIDE, VN);
        for (; k + VN <= n; k += VN)
            FOLD_BLOCK(1, VN);
        if (k < n)
            FOLD_BLOCK(1, n - k);
    }
}

/* ---- along the rows ---- */

/* Up to a vector of rows; whole: a vector of rows, each a vector long, without gaps. */
INLINE vf fold_some(const float *x, const float *about, int64_t rows, int64_t step, int64_t n, bool whole, float fill,
                    float neutral, vf_map map, vf_join join)
{
    vf v[VN];
#define FOLD_ROW                                                                                                       \
    const float m = about ? about[k] : 0.0f;                                                                           \
    v[k] = vf_fold_row(x + k * step, n, m, fill != fill ? m : fill, neutral, map, join);
    EACH_ROW(whole, rows, FOLD_ROW)
    for (int64_t k = rows; k < VN; k++)
        v[k] = vf_set(neutral);
    return rows == 1 ? vf_set(vf_joined(v[0], join)) : vf_joined_side_by_side(v, join);
}
INLINE void fold_rows(float *r, const float *x, const float *about, int64_t rows, int64_t step, int64_t n, float fill,
                      float neutral, vf_map map, vf_join join)
{
    for (int64_t i = 0; i < rows; i += VN) {
        const int64_t now = rows - i < VN ? rows - i : VN;
        const float *from = x + i * step, *m = about ? about + i : NULL;
        if (now == VN && n == VN && step == VN)
            vf_store(r + i, fold_some(from, m, VN, VN, VN, true, fill, neutral, map, join));
        else
            vf_store_n(r + i, now, fold_some(from, m, now, step, n, false, fill, neutral, map, join));
    }
}

/* fill: what is taken in place of elements beyond a row's end; NaN: the number that the row is taken about */
#define FOLD(name, map, join, fill, neutral)                                                                           \
    static void name##_columns(float *r, const float *x, const float *about, int64_t rows, int64_t step, int64_t n)    \
    {                                                                                                                  \
        fold_columns(r, x, about, rows, step, n, map, join);                                                           \
    }                                                                                                                  \
    static void name##_rows(float *r, const float *x, const float *about, int64_t rows, int64_t step, int64_t n)       \
    {                                                                                                                  \
        fold_rows(r, x, about, rows, step, n, fill, neutral, map, join);                                               \
    }
#define INFINITE __builtin_inff()
FOLD(sum, itself, join_sum, 0.0f, 0.0f)
FOLD(product, itself, join_product, 1.0f, 1.0f)
FOLD(max, itself, join_max, -INFINITE, -INFINITE)
FOLD(min, itself, join_min, INFINITE, INFINITE)
FOLD(sum_abs, magnitude, join_sum, 0.0f, 0.0f)
FOLD(max_abs, magnitude, join_max, 0.0f, 0.0f)
FOLD(min_abs, magnitude, join_min, INFINITE, INFINITE)
FOLD(sum_square, square, join_sum, __builtin_nanf(""), 0.0f)

/* ---- places of extremes ---- */

/* Where v is greater (less) than best, or the first NaN, it takes its place, and at becomes here. */
INLINE void follow(vf *best, vf *at, vf v, vi here, bool greatest)
{
#if defined(__AVX512F__)
    const __mmask16 number = _mm512_cmp_ps_mask((__m512)*best, (__m512)*best, _CMP_ORD_Q);
    const __mmask16 better = greatest ? _mm512_mask_cmp_ps_mask(number, (__m512)v, (__m512)*best, _CMP_NLE_UQ)
                                      : _mm512_mask_cmp_ps_mask(number, (__m512)v, (__m512)*best, _CMP_NGE_UQ);
    *best = (vf)_mm512_mask_mov_ps((__m512)*best, better, (__m512)v);
    *at = (vf)_mm512_mask_mov_ps((__m512)*at, better, (__m512)(vf)here);
#else
    const vi better = (greatest ? ~(v <= *best) : ~(v >= *best)) & (*best == *best);
    *best = vf_select(better, v, *best);
    *at = vf_select(better, (vf)here, *at);
#endif
}

INLINE void place_block(float *best, int32_t *at, const float *x, int32_t first, int64_t rows, int64_t step, int64_t n,
                        bool greatest)
{
    float *const places = (float *)(void *)at; /* as bits */
    vf b = vf_load_n(best, n), place = vf_load_n(places, n);
    vi here = vi_set(first);
    int64_t i = 0;
    for (; i + DEEP <= rows; i += DEEP)
        _Pragma("GCC unroll 8") for (int k = 0; k < DEEP; k++, here += 1)
            follow(&b, &place, vf_load_n(x + (i + k) * step, n), here, greatest);
    for (; i < rows; i++, here += 1)
        follow(&b, &place, vf_load_n(x + i * step, n), here, greatest);
    vf_store_n(best, n, b);
    vf_store_n(places, n, place);
}
INLINE void place_columns(float *best, int32_t *at, const float *x, int32_t first, int64_t rows, int64_t step,
                          int64_t n, bool greatest)
{
    const int64_t deep = n <= VN ? rows : DEEP;
    for (int64_t i = 0; i < rows; i += deep) {
        const int64_t now = rows - i < deep ? rows - i : deep;
        const int32_t from = first + (int32_t)i;
        int64_t k = 0;
        for (; k + VN <= n; k += VN)
            place_block(best + k, at + k, x + i * step + k, from, now, step, VN, greatest);
        if (k < n)
            place_block(best + k, at + k, x + i * step + k, from, now, step, n - k, greatest);
    }
}
static void max_at_columns(float *best, int32_t *at, const float *x, int32_t first, int64_t rows, int64_t step,
                           int64_t n)
{
    place_columns(best, at, x, first, rows, step, n, true);
}
static void min_at_columns(float *best, int32_t *at, const float *x, int32_t first, int64_t rows, int64_t step,
                           int64_t n)
{
    place_columns(best, at, x, first, rows, step, n, false);
}

/* A bit for each of up to 64 elements: it is `wanted`, or NaN. */
INLINE uint64_t hits(const float *x, int64_t n, float wanted, bool nan)
{
    const vf w = vf_set(wanted);
    uint64_t bits = 0;
    _Pragma("GCC unroll 16") for (int64_t i = 0; i < n; i += VN)
    {
        const vf v = n - i < VN ? vf_load_part(x + i, n - i, 0) : vf_load(x + i);
        const uint64_t here = vi_bits(nan ? v != v : v == w);
        bits |= (n - i < VN ? here & (0xffffu >> (16 - (n - i))) : here) << i;
    }
    return bits;
}

/* The first place. Where it is cannot be foretold, so that nothing branches on it: all are looked at, from the end. */
INLINE int64_t place_in(const float *x, int64_t n, float wanted, bool nan)
{
    const int64_t whole = n / 64 * 64;
    uint64_t bits = hits(x + whole, n - whole, wanted, nan);
    int64_t at = bits != 0 ? whole + __builtin_ctzll(bits) : 0;
    for (int64_t i = whole - 64; i >= 0; i -= 64) {
        bits = hits(x + i, 64, wanted, nan);
        at = bits != 0 ? i + __builtin_ctzll(bits) : at;
    }
    return at;
}
INLINE int64_t place_of(const float *x, int64_t n, float wanted)
{
    return wanted != wanted ? place_in(x, n, wanted, true) : place_in(x, n, wanted, false);
}
static void find(int64_t *at, const float *x, const float *wanted, int64_t rows, int64_t step, int64_t n)
{
    if (n == VN)
        for (int64_t row = 0; row < rows; row++)
            at[row] = place_of(x + row * step, VN, wanted[row]);
    else
        for (int64_t row = 0; row < rows; row++)
            at[row] = place_of(x + row * step, n, wanted[row]);
}

/* ---- whole numbers ---- */

/* Bytes add up in 32 bits, so many of them at a time that nothing is lost. */
enum { BYTES = 1 << 22 };

static int64_t sum_bytes(const uint8_t *x, int64_t n, bool truth)
{
    int64_t total = 0;
    for (int64_t i = 0; i < n; i += BYTES) {
        const int64_t end = n - i < BYTES ? n : i + BYTES;
        uint32_t part = 0;
        if (truth)
            for (int64_t k = i; k < end; k++)
                part += x[k] != 0;
        else
            for (int64_t k = i; k < end; k++)
                part += x[k];
        total += part;
    }
    return total;
}

static int64_t sum_whole(cbm_dtype dtype, const void *x, int64_t n)
{
    uint64_t total = 0;
    if (dtype == CBM_BOOL || dtype == CBM_U8)
        return sum_bytes(x, n, dtype == CBM_BOOL);
    if (dtype == CBM_I32)
        for (int64_t i = 0; i < n; i++)
            total += (uint64_t)(int64_t)((const int32_t *)x)[i];
    else
        for (int64_t i = 0; i < n; i++)
            total += ((const uint64_t *)x)[i];
    return (int64_t)total;
}

static void add_whole(cbm_dtype dtype, int64_t *r, const void *x, int64_t n)
{
    uint64_t *to = (uint64_t *)r;
    if (dtype == CBM_BOOL)
        for (int64_t i = 0; i < n; i++)
            to[i] += ((const uint8_t *)x)[i] != 0;
    else if (dtype == CBM_U8)
        for (int64_t i = 0; i < n; i++)
            to[i] += ((const uint8_t *)x)[i];
    else if (dtype == CBM_I32)
        for (int64_t i = 0; i < n; i++)
            to[i] += (uint64_t)(int64_t)((const int32_t *)x)[i];
    else
        for (int64_t i = 0; i < n; i++)
            to[i] += ((const uint64_t *)x)[i];
}

void CBM_LEVEL(cbm_folds_fill)(cbm_simd *s)
{
#define FILL(FOLD, name)                                                                                               \
    s->fold_columns[FOLD] = name##_columns;                                                                            \
    s->fold_rows[FOLD] = name##_rows
    FILL(CBM_FOLD_SUM, sum);
    FILL(CBM_FOLD_PRODUCT, product);
    FILL(CBM_FOLD_MAX, max);
    FILL(CBM_FOLD_MIN, min);
    FILL(CBM_FOLD_SUM_ABS, sum_abs);
    FILL(CBM_FOLD_MAX_ABS, max_abs);
    FILL(CBM_FOLD_MIN_ABS, min_abs);
    FILL(CBM_FOLD_SUM_SQUARE, sum_square);
    s->max_at = max_at_columns;
    s->min_at = min_at_columns;
    s->find = find;
    s->sum_whole = sum_whole;
    s->add_whole = add_whole;
}
