/* rows.c: functions of n elements one after the other: sums and what is added to them. Eight vectors of partial sums, joined in a
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

INLINE vf finished(vf v, const float *bias, const float *added, int64_t at, int64_t n, bool relu, vf upper)
{
    if (bias)
        v += vf_load_n(bias + at, n);
    if (added)
        v += vf_load_n(added + at, n);
    return relu ? vf_less(upper, vf_greater((vf){ 0 }, v)) : v;
}
static void finish(float *r, const float *bias, const float *added, bool relu, float upper, int64_t n)
{
    const vf most = vf_set(upper > 0 ? upper : __builtin_inff());
    EACH(finished(vf_load(r + i), bias, added, i, VN, relu, most),
         finished(vf_load_part(r + i, n - i, 0), bias, added, i, n - i, relu, most));
}

void CBM_LEVEL(cbm_rows_fill)(cbm_simd *s)
{
    s->sum = sum;
    s->sum_of_squares = sum_of_squares;
    s->dot = dot;
    s->add = add;
    s->multiply_add = multiply_add;
    s->scale_shift = scale_shift;
    s->exp_scaled = exp_scaled;
    s->finish = finish;
}
