/* softmax.c: softmax, its logarithm and log-sum-exp, along rows and down the columns of rows. Rests on folds.h and math.h. */
#include "backend/cpu/simd/folds.h"

#include "backend/cpu/simd/level.h"
#include "backend/cpu/simd/math.h"

enum {
    DEEP = 8,              /* rows whose greatest is found before their exponentials are taken */
    SHORT = DEEP * VN,     /* rows of fewer elements are summed up together */
    SHORT_RESULT = 2 * VN, /* rows of so many are when their softmax is wanted */
    BLOCK = 4096           /* partial sums in f32 go to a double after this many elements */
};
#define LOW (-__builtin_inff())

/* ---- along rows ---- */

/* The sum of exp(x - m), m the greatest; r, when given, gets the terms. An infinite m gives NaN, as the definition does. */
INLINE float sum_of_exp(float *r, const float *x, int64_t n, float m, const float *next)
{
    const vf middle = vf_set(m);
    vf s0 = { 0 }, s1 = { 0 };
    double total = 0;
    int64_t i = 0, run = 0;
    for (; i + 2 * VN <= n; i += 2 * VN) {
        __builtin_prefetch(next + i);
        __builtin_prefetch(next + i + VN);
        const vf d = vf_load(x + i) - middle, e = vf_load(x + i + VN) - middle;
        const vf a = r ? vf_exp(d) : vf_exp_term(d), b = r ? vf_exp(e) : vf_exp_term(e);
        s0 += a;
        s1 += b;
        if (r) {
            vf_store(r + i, a);
            vf_store(r + i + VN, b);
        }
        if (++run == BLOCK / (2 * VN)) {
            total += (double)vf_sum(s0 + s1);
            s0 = s1 = (vf){ 0 };
            run = 0;
        }
    }
    for (; i < n; i += VN) {
        const int64_t left = n - i < VN ? n - i : VN;
        const vf d = (left == VN ? vf_load(x + i) : vf_load_part(x + i, left, LOW)) - middle;
        const vf a = r ? vf_exp(d) : vf_exp_term(d);
        s0 += a;
        if (r)
            vf_store_n(r + i, left, a);
    }
    return (float)(total + (double)vf_sum(s0 + s1));
}

INLINE float top_of(const float *x, int64_t n)
{
    return vf_joined(vf_fold_row(x, n, 0, LOW, LOW, itself, join_max), join_max);
}

static float log_sum_exp(const float *x, int64_t n)
{
    const float m = top_of(x, n);
    return m + __builtin_logf(sum_of_exp(NULL, x, n, m, x));
}

/* Past the caches, terms wait elsewhere: a result is written once. The next row is fetched while this one is computed. */
INLINE void long_row(float *r, const float *x, int64_t n, bool logarithm, bool past_caches, const float *next)
{
    float waiting[BLOCK];
    float *terms = !past_caches ? r : n <= BLOCK ? waiting : NULL;
    const float m = top_of(x, n), sum = sum_of_exp(logarithm ? NULL : terms, x, n, m, next);
    const vf middle = vf_set(m), last = vf_set(logarithm ? __builtin_logf(sum) : 1.0f / sum);
    for (int64_t i = 0; i < n; i += VN) {
        const int64_t left = n - i < VN ? n - i : VN;
        const vf v = logarithm ? (vf_load_n(x + i, left) - middle) - last
                     : terms   ? vf_load_n(terms + i, left) * last
                               : vf_exp(vf_load_n(x + i, left) - middle) * last;
        if (past_caches)
            vi_stream(r + i, (vi)v);
        else
            vf_store_n(r + i, left, v);
    }
}

/* About the greatest of a column or row; where all are -inf, about 0, which leaves no difference of infinities. */
INLINE vf middle_of(vf top)
{
    return vf_select(top == vf_set(LOW), (vf){ 0 }, top);
}

INLINE vf join_greater(vf a, vf b)
{
    return vf_greater(a, b);
}

/* Of up to a vector of rows: the greatest of each, and the sums of exp(x - greatest); r, when given, gets the terms. whole:
   see EACH_ROW. */
INLINE vf short_sums(float *top, float *r, const float *x, int64_t rows, int64_t step, int64_t n, bool whole)
{
    float middle[VN];
    vf v[VN];
    EACH_ROW(whole, rows, v[k] = vf_fold_row(x + k * step, n, 0, LOW, LOW, itself, join_greater);)
    for (int64_t k = rows; k < VN; k++)
        v[k] = (vf){ 0 };
    vf tops = vf_joined_side_by_side(v, join_greater);
    if (vi_some(tops == vf_set(-LOW))) /* NaN has to be seen */
        for (int64_t k = 0; k < rows; k++)
            tops[k] = top_of(x + k * step, n);
    vf_store(top, tops);
    vf_store(middle, middle_of(tops));
#define ROW_TERMS                                                                                                      \
    v[k] = (vf){ 0 };                                                                                                  \
    for (int64_t e = 0; e < n; e += VN) {                                                                              \
        const int64_t lanes = n - e < VN ? n - e : VN, at = k * step + e;                                              \
        const vf d = (lanes == VN ? vf_load(x + at) : vf_load_part(x + at, lanes, LOW)) - vf_set(middle[k]);           \
        const vf term = r ? vf_exp(d) : vf_exp_term(d);                                                                \
        v[k] += term;                                                                                                  \
        if (r)                                                                                                         \
            vf_store_n(r + at, lanes, term);                                                                           \
    }
    EACH_ROW(whole, rows, ROW_TERMS)
    for (int64_t k = rows; k < VN; k++)
        v[k] = vf_set(1);
    return vf_joined_side_by_side(v, join_sum);
}

INLINE void short_softmax(float *r, const float *x, int64_t rows, int64_t n, bool logarithm, bool whole)
{
    float top[VN], last[VN];
    const vf sums = short_sums(top, logarithm ? NULL : r, x, rows, n, n, whole);
    vf_store(last, logarithm ? vf_log(sums) : 1.0f / sums);
#define ROW_RESULTS                                                                                                    \
    for (int64_t e = 0; e < n; e += VN) {                                                                              \
        const int64_t lanes = n - e < VN ? n - e : VN, at = k * n + e;                                                 \
        vf_store_n(r + at, lanes,                                                                                      \
                   logarithm ? (vf_load_n(x + at, lanes) - vf_set(top[k])) - vf_set(last[k])                           \
                             : vf_load_n(r + at, lanes) * vf_set(last[k]));                                            \
    }
    EACH_ROW(whole, rows, ROW_RESULTS)
}
INLINE void short_rows(float *r, const float *x, int64_t rows, int64_t n, bool logarithm)
{
    for (int64_t i = 0; i < rows; i += VN)
        if (rows - i >= VN && n == VN)
            short_softmax(r + i * n, x + i * n, VN, VN, logarithm, true);
        else
            short_softmax(r + i * n, x + i * n, rows - i < VN ? rows - i : VN, n, logarithm, false);
}

static void softmax_rows(float *r, const float *x, int64_t rows, int64_t n, bool logarithm, bool past_caches)
{
    if (n > SHORT_RESULT)
        for (int64_t row = 0; row < rows; row++)
            if (past_caches)
                long_row(r + row * n, x + row * n, n, logarithm, true, x + (row + 1 < rows ? row + 1 : row) * n);
            else
                long_row(r + row * n, x + row * n, n, logarithm, false, x + (row + 1 < rows ? row + 1 : row) * n);
    else if (logarithm)
        short_rows(r, x, rows, n, true);
    else
        short_rows(r, x, rows, n, false);
}

/* ---- down the columns: the greatest so far, and the sum of exponentials about it ---- */

/* NaN is left to the sums, which it turns to NaN: the greatest number is found without looking for it. But +inf does that to
   a sum too, and then the greatest has to tell them apart. */
INLINE vf honest(vf top, vf sum)
{
    return vf_select((sum != sum) & (top < vf_set(-LOW)), sum, top);
}
static __attribute__((noinline)) vf greatest_with_nan(const vf *v, int rows, vf top, vf sum)
{
    top = honest(top, sum);
    for (int k = 0; k < rows; k++)
        top = vf_max(v[k], top);
    return top;
}
INLINE vf greatest_of(const vf *v, int rows, vf top, vf sum)
{
    vf t[DEEP];
    _Pragma("GCC unroll 8") for (int k = 0; k < rows; k++) t[k] = v[k];
    _Pragma("GCC unroll 3") for (int half = rows / 2; half > 0; half /= 2)
        _Pragma("GCC unroll 4") for (int k = 0; k < half; k++) t[k] = vf_greater(t[k], t[k + half]);
    const vf now = vf_greater(t[0], top);
    return vi_some(now == vf_set(-LOW)) ? greatest_with_nan(v, rows, top, sum) : now;
}

INLINE void exp_deep(vf *top, vf *sum, const float *x, int rows, int64_t step, int64_t n)
{
    vf v[DEEP], t[DEEP];
    _Pragma("GCC unroll 8") for (int k = 0; k < rows; k++) v[k] =
        n == VN ? vf_load(x + k * step) : vf_load_part(x + k * step, n, LOW);
    const vf now = greatest_of(v, rows, *top, *sum), middle = middle_of(now);
    _Pragma("GCC unroll 8") for (int k = 0; k < rows; k++) t[k] = vf_exp_term(v[k] - middle);
    _Pragma("GCC unroll 3") for (int half = rows / 2; half > 0; half /= 2)
        _Pragma("GCC unroll 4") for (int k = 0; k < half; k++) t[k] += t[k + half];
    *sum = *sum * vf_exp_term(*top - middle) + t[0];
    *top = now;
}

/* Of short rows, all; else a few at a time, so that memory is read in its order. */
static void exp_columns(float *top, float *sum, const float *x, int64_t rows, int64_t step, int64_t n)
{
    const int64_t deep = n <= VN ? rows : DEEP;
    for (int64_t i = 0; i < rows; i += deep) {
        const int64_t now = rows - i < deep ? rows - i : deep;
        for (int64_t k = 0; k < n; k += VN) {
            const int64_t lanes = n - k < VN ? n - k : VN;
            const float *from = x + i * step + k;
            vf t = vf_load_n(top + k, lanes), s = vf_load_n(sum + k, lanes);
            int64_t row = 0;
            for (; row + DEEP <= now; row += DEEP)
                exp_deep(&t, &s, from + row * step, DEEP, step, lanes);
            for (; row < now; row++)
                exp_deep(&t, &s, from + row * step, 1, step, lanes);
            vf_store_n(top + k, lanes, t);
            vf_store_n(sum + k, lanes, s);
        }
    }
}

/* A long row goes as columns of a vector's lanes; n is at least SHORT. */
INLINE void exp_row(vf *top, vf *sum, const float *x, int64_t n)
{
    int64_t i = 0;
    *top = vf_load(x);
    *sum = (vf){ 0 };
    for (; i + DEEP * VN <= n; i += DEEP * VN)
        exp_deep(top, sum, x + i, DEEP, VN, VN);
    for (; i < n; i += VN)
        exp_deep(top, sum, x + i, 1, VN, n - i < VN ? n - i : VN);
}
static void exp_rows(float *top, float *sum, const float *x, int64_t rows, int64_t step, int64_t n)
{
    for (int64_t i = 0; i < rows; i += VN) {
        const int64_t now = rows - i < VN ? rows - i : VN;
        const float *from = x + i * step;
        float tops[VN];
        vf t[VN], s[VN];
        if (n == VN && now == VN && step == VN) {
            vf_store(sum + i, short_sums(tops, NULL, from, VN, VN, VN, true));
        } else if (n < SHORT) {
            vf_store_n(sum + i, now, short_sums(tops, NULL, from, now, step, n, false));
        } else {
            for (int64_t k = 0; k < now; k++) {
                exp_row(&t[k], &s[k], from + k * step, n);
                t[k] = honest(t[k], s[k]);
                tops[k] = vf_joined(t[k], join_max);
                s[k] *= vf_exp_term(t[k] - middle_of(vf_set(tops[k])));
            }
            for (int64_t k = now; k < VN; k++)
                s[k] = (vf){ 0 };
            vf_store_n(sum + i, now, vf_joined_side_by_side(s, join_sum));
        }
        vf_store_n(top + i, now, vf_load_n(tops, now));
    }
}

static void exp_join(float *top, float *sum, const float *more_top, const float *more_sum, int64_t n)
{
    for (int64_t k = 0; k < n; k += VN) {
        const int64_t lanes = n - k < VN ? n - k : VN;
        const vf s = vf_load_n(sum + k, lanes), more = vf_load_n(more_sum + k, lanes);
        const vf a = honest(vf_load_n(top + k, lanes), s), b = honest(vf_load_n(more_top + k, lanes), more);
        const vf now = vf_max(a, b), middle = middle_of(now);
        vf_store_n(sum + k, lanes, s * vf_exp_term(a - middle) + more * vf_exp_term(b - middle));
        vf_store_n(top + k, lanes, now);
    }
}

INLINE vf finished(vf x, vf top, vf last, bool logarithm)
{
    return logarithm ? (x - top) - last : vf_exp(x - top) * last;
}
INLINE void finish_columns(float *y, const float *x, const float *top, const float *last, int64_t rows, int64_t step,
                           int64_t n, bool logarithm, bool past_caches)
{
    for (int64_t i = 0; i < rows; i++) {
        const float *from = x + i * step;
        float *to = y + i * step;
        int64_t k = 0;
        for (; k + VN <= n; k += VN) {
            const vf v = finished(vf_load(from + k), vf_load(top + k), vf_load(last + k), logarithm);
            if (past_caches)
                vi_stream(to + k, (vi)v);
            else
                vf_store(to + k, v);
        }
        if (k < n)
            vf_store_part(to + k, n - k,
                          finished(vf_load_part(from + k, n - k, 0), vf_load_part(top + k, n - k, 0),
                                   vf_load_part(last + k, n - k, 0), logarithm));
    }
}
static void softmax_columns(float *y, const float *x, const float *top, const float *last, int64_t rows, int64_t step,
                            int64_t n, bool logarithm, bool past_caches)
{
    if (logarithm && past_caches)
        finish_columns(y, x, top, last, rows, step, n, true, true);
    else if (logarithm)
        finish_columns(y, x, top, last, rows, step, n, true, false);
    else if (past_caches)
        finish_columns(y, x, top, last, rows, step, n, false, true);
    else
        finish_columns(y, x, top, last, rows, step, n, false, false);
}

/* 1 / sum, or log(sum). */
static void softmax_last(float *sum, int64_t n, bool logarithm)
{
    for (int64_t k = 0; k < n; k += VN) {
        const int64_t lanes = n - k < VN ? n - k : VN;
        const vf s = lanes < VN ? vf_load_part(sum + k, lanes, 1) : vf_load(sum + k);
        vf_store_n(sum + k, lanes, logarithm ? vf_log(s) : 1.0f / s);
    }
}

static void exp_finish(float *y, const float *top, const float *sum, int64_t n)
{
    for (int64_t k = 0; k < n; k += VN) {
        const int64_t lanes = n - k < VN ? n - k : VN;
        const vf s = lanes < VN ? vf_load_part(sum + k, lanes, 1) : vf_load(sum + k), t = vf_load_n(top + k, lanes);
        vf_store_n(y + k, lanes, vf_select(t == vf_set(-LOW), t, t + vf_log(s)));
    }
}

void CBM_LEVEL(cbm_softmax_fill)(cbm_simd *s)
{
    s->log_sum_exp = log_sum_exp;
    s->softmax_rows = softmax_rows;
    s->exp_columns = exp_columns;
    s->exp_rows = exp_rows;
    s->exp_join = exp_join;
    s->exp_finish = exp_finish;
    s->softmax_last = softmax_last;
    s->softmax_columns = softmax_columns;
}
