/* rows.c: functions of n elements one after the other: sums, maxima, softmax. Eight vectors of partial sums, joined in a
   fixed order, so that a sum repeats bit for bit and rounds less than one running total. Rests on simd.h and math.h. */
#include "backend/cpu/simd/math.h"

#include "backend/cpu/simd/level.h"

#define BLOCK 4096 /* partial sums in f32 go to a double after this many elements */

/* Sums EXPRESSION over the elements; x and y are the vectors (zero beyond the end). */
#define SUM_OVER(name, PARAMETERS, LOAD, LOAD_PART, EXPRESSION)                                                        \
    static double name PARAMETERS                                                                                      \
    {                                                                                                                  \
        double total = 0;                                                                                              \
        for (int64_t begin = 0; begin < n; begin += BLOCK) {                                                           \
            const int64_t end = n - begin < BLOCK ? n : begin + BLOCK;                                                 \
            vf s0 = { 0 }, s1 = { 0 }, s2 = { 0 }, s3 = { 0 };                                                         \
            int64_t i = begin;                                                                                         \
            for (; i + 4 * VN <= end; i += 4 * VN) {                                                                   \
                {                                                                                                      \
                    LOAD(i) s0 += EXPRESSION;                                                                          \
                }                                                                                                      \
                {                                                                                                      \
                    LOAD(i + VN) s1 += EXPRESSION;                                                                     \
                }                                                                                                      \
                {                                                                                                      \
                    LOAD(i + 2 * VN) s2 += EXPRESSION;                                                                 \
                }                                                                                                      \
                {                                                                                                      \
                    LOAD(i + 3 * VN) s3 += EXPRESSION;                                                                 \
                }                                                                                                      \
            }                                                                                                          \
            for (; i + VN <= end; i += VN) {                                                                           \
                LOAD(i) s0 += EXPRESSION;                                                                              \
            }                                                                                                          \
            if (i < end) {                                                                                             \
                LOAD_PART(i, end - i) s1 += EXPRESSION;                                                                \
            }                                                                                                          \
            total += (double)vf_sum((s0 + s1) + (s2 + s3));                                                            \
        }                                                                                                              \
        return total;                                                                                                  \
    }
#define LOAD_X(at) vf x_ = vf_load(x + (at));
#define LOAD_X_PART(at, count) vf x_ = vf_load_part(x + (at), count, 0.0f);
#define LOAD_SQUARE(at) vf x_ = vf_load(x + (at)) - vf_set(middle);
#define LOAD_SQUARE_PART(at, count) vf x_ = vf_load_part(x + (at), count, middle) - vf_set(middle);
#define LOAD_XY(at) vf x_ = vf_load(x + (at)) - vf_set(middle), y_ = vf_load(y + (at));
#define LOAD_XY_PART(at, count)                                                                                        \
    vf x_ = vf_load_part(x + (at), count, 0.0f) - vf_set(middle), y_ = vf_load_part(y + (at), count, 0.0f);

SUM_OVER(sum, (const float *x, int64_t n), LOAD_X, LOAD_X_PART, x_)
SUM_OVER(squares, (const float *x, int64_t n, float middle), LOAD_SQUARE, LOAD_SQUARE_PART, (x_ * x_))
SUM_OVER(products, (const float *x, const float *y, int64_t n, float middle), LOAD_XY, LOAD_XY_PART, (x_ * y_))

static double sum_of_squares(const float *x, int64_t n, double about)
{
    return squares(x, n, (float)about);
}

static double dot(const float *x, const float *y, int64_t n, double about)
{
    return products(x, y, n, (float)about);
}

static float top(const float *x, int64_t n)
{
    const float low = -__builtin_inff();
    vf m0 = vf_set(low), m1 = m0, m2 = m0, m3 = m0;
    int64_t i = 0;
    for (; i + 4 * VN <= n; i += 4 * VN) {
        m0 = vf_max(vf_load(x + i), m0);
        m1 = vf_max(vf_load(x + i + VN), m1);
        m2 = vf_max(vf_load(x + i + 2 * VN), m2);
        m3 = vf_max(vf_load(x + i + 3 * VN), m3);
    }
    for (; i + VN <= n; i += VN)
        m0 = vf_max(vf_load(x + i), m0);
    if (i < n)
        m1 = vf_max(vf_load_part(x + i, n - i, low), m1);
    return vf_top(vf_max(vf_max(m0, m1), vf_max(m2, m3)));
}

/* The first place of the greatest; NaN counts as greatest. */
static int64_t top_at(const float *x, int64_t n)
{
    const float best = top(x, n);
    const vf b = vf_set(best);
    int64_t i = 0;
    for (; i + VN <= n; i += VN) {
        vf v = vf_load(x + i);
        if (vi_some((v == b) | (v != v)))
            break;
    }
    for (; i < n; i++)
        if (best != best ? x[i] != x[i] : x[i] == best)
            return i;
    return 0;
}

#define EACH(BODY, PART)                                                                                               \
    int64_t i = 0;                                                                                                     \
    for (; i + VN <= n; i += VN)                                                                                       \
        vf_store(r + i, BODY);                                                                                         \
    if (i < n)                                                                                                         \
    vf_store_part(r + i, n - i, PART)

static void add(float *r, const float *x, int64_t n)
{
    EACH(vf_load(r + i) + vf_load(x + i), vf_load_part(r + i, n - i, 0) + vf_load_part(x + i, n - i, 0));
}
static void multiply_add(float *r, const float *x, float factor, int64_t n)
{
    const vf f = vf_set(factor);
    EACH(vf_load(x + i) * f + vf_load(r + i), vf_load_part(x + i, n - i, 0) * f + vf_load_part(r + i, n - i, 0));
}
static void raise_to(float *r, const float *x, int64_t n)
{
    EACH(vf_max(vf_load(r + i), vf_load(x + i)), vf_max(vf_load_part(r + i, n - i, 0), vf_load_part(x + i, n - i, 0)));
}
static void scale_shift(float *r, const float *x, float about, float scale, float shift, int64_t n)
{
    const vf m = vf_set(about), a = vf_set(scale), b = vf_set(shift);
    EACH((vf_load(x + i) - m) * a + b, (vf_load_part(x + i, n - i, 0) - m) * a + b);
}
static void exp_scaled(float *r, const float *x, float minus, float factor, int64_t n)
{
    const vf m = vf_set(minus), f = vf_set(factor);
    EACH(vf_exp(vf_load(x + i) - m) * f, vf_exp(vf_load_part(x + i, n - i, 0) - m) * f);
}
/* The sum of exp(x - m), m the greatest; r, when given, gets the terms. An infinite m gives NaN, as the definition does. */
static float sum_of_exp(float *r, const float *x, int64_t n, float m)
{
    const vf middle = vf_set(m);
    const float low = -__builtin_inff();
    vf s0 = { 0 }, s1 = { 0 };
    double total = 0;
    int64_t i = 0, run = 0;
    for (; i + 2 * VN <= n; i += 2 * VN) {
        vf a = vf_exp(vf_load(x + i) - middle), b = vf_exp(vf_load(x + i + VN) - middle);
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
        vf a = vf_exp((left == VN ? vf_load(x + i) : vf_load_part(x + i, left, low)) - middle);
        s0 += a;
        if (r && left == VN)
            vf_store(r + i, a);
        else if (r)
            vf_store_part(r + i, left, a);
    }
    return (float)(total + (double)vf_sum(s0 + s1));
}

static float log_sum_exp(const float *x, int64_t n)
{
    const float m = top(x, n);
    return m + __builtin_logf(sum_of_exp(NULL, x, n, m));
}

static void softmax(float *r, const float *x, int64_t n)
{
    const float m = top(x, n), s = sum_of_exp(r, x, n, m);
    scale_shift(r, r, 0.0f, 1.0f / s, 0.0f, n);
}

static void log_softmax(float *r, const float *x, int64_t n)
{
    const float m = top(x, n);
    const vf middle = vf_set(m), l = vf_set(__builtin_logf(sum_of_exp(NULL, x, n, m)));
    EACH((vf_load(x + i) - middle) - l, (vf_load_part(x + i, n - i, 0) - middle) - l);
}

void CBM_LEVEL(cbm_rows_fill)(cbm_simd *s)
{
    s->sum = sum;
    s->sum_of_squares = sum_of_squares;
    s->dot = dot;
    s->top = top;
    s->top_at = top_at;
    s->add = add;
    s->multiply_add = multiply_add;
    s->raise = raise_to;
    s->scale_shift = scale_shift;
    s->exp_scaled = exp_scaled;
    s->log_sum_exp = log_sum_exp;
    s->softmax = softmax;
    s->log_softmax = log_softmax;
}
