/* layer_norm.c: normalisation of one row and its gradient. Sums run in several lanes in f32 over a few thousand elements and
   are joined in f64, in a fixed order. Rests on simd.h. */
#include "backend/cpu/simd/level.h"

enum { BLOCK = 4096 };

/* Runs BODY(i, n, lane) for vectors of n elements from i on, four lanes in turn, and JOIN at the end of each block. */
#define EACH_VECTOR(count, BODY, JOIN)                                                                                 \
    for (int64_t begin_ = 0; begin_ < (count); begin_ += BLOCK) {                                                      \
        const int64_t end_ = (count)-begin_ < BLOCK ? (count) : begin_ + BLOCK;                                        \
        int64_t i_ = begin_;                                                                                           \
        for (; i_ + 4 * VN <= end_; i_ += 4 * VN) {                                                                    \
            BODY(i_, VN, 0);                                                                                           \
            BODY(i_ + VN, VN, 1);                                                                                      \
            BODY(i_ + 2 * VN, VN, 2);                                                                                  \
            BODY(i_ + 3 * VN, VN, 3);                                                                                  \
        }                                                                                                              \
        for (; i_ + VN <= end_; i_ += VN)                                                                              \
            BODY(i_, VN, 0);                                                                                           \
        if (i_ < end_)                                                                                                 \
            BODY(i_, end_ - i_, 1);                                                                                    \
        JOIN;                                                                                                          \
    }

/* What four lanes have added up, which begin anew. */
INLINE double taken(vf s[4])
{
    const double sum = (double)vf_sum((s[0] + s[1]) + (s[2] + s[3]));
    s[0] = s[1] = s[2] = s[3] = (vf){ 0 };
    return sum;
}

static double sum_of(const float *x, int64_t count)
{
    vf s[4] = { { 0 } };
    double total = 0;
#define ADD(i, n, lane) s[lane] += vf_load_n(x + (i), n)
    EACH_VECTOR(count, ADD, total += taken(s))
    return total;
}

/* Of x - about. */
static double squares_of(const float *x, int64_t count, float about)
{
    const vf m = vf_set(about);
    vf s[4] = { { 0 } };
    double total = 0;
#define ADD_SQUARE(i, n, lane)                                                                                         \
    do {                                                                                                               \
        const vf d = ((n) == VN ? vf_load(x + (i)) : vf_load_part(x + (i), n, about)) - m;                             \
        s[lane] += d * d;                                                                                              \
    } while (0)
    EACH_VECTOR(count, ADD_SQUARE, total += taken(s))
    return total;
}

static void row_norm(float *y, const float *x, const cbm_row_norm *p, float *mean, float *rstd)
{
    const double n = (double)p->length, centre = p->bias ? sum_of(x, p->length) / n : 0;
    const float about = (float)centre;
    const double rest = centre - (double)about; /* what rounding the mean left out */
    const double variance = squares_of(x, p->length, about) / n - rest * rest;
    const float scale = (float)(1 / __builtin_sqrt((variance < 0 ? 0 : variance) + p->eps)); /* NaN stays */
    const vf m = vf_set(about), r = vf_set(scale), k = vf_set((float)(-rest * (double)scale));
    if (mean)
        *mean = about;
    if (rstd)
        *rstd = scale;
    if (!y)
        return;
#define WRITE(i, n_, lane)                                                                                             \
    do {                                                                                                               \
        const vf z = ((vf_load_n(x + (i), n_) - m) * r + k) * vf_load_n(p->weight + (i), n_);                          \
        vf_store_n(y + (i), n_, p->bias ? z + vf_load_n(p->bias + (i), n_) : z);                                       \
    } while (0)
    EACH_VECTOR(p->length, WRITE, )
}

INLINE void add_to(float *sum, int64_t i, int64_t n, vf v)
{
    vf_store_n(sum + i, n, vf_load_n(sum + i, n) + v);
}

/* The sums over a row of h = g weight and h (x - mean), and what it adds to the weights' gradients. */
INLINE void row_sums(const float *x, const float *g, const cbm_row_norm *p, float mean, float rstd, bool keep,
                     bool centred, double *sum, double *along)
{
    const vf m = vf_set(mean), r = vf_set(rstd);
    vf s[4] = { { 0 } }, t[4] = { { 0 } };
    double one = 0, two = 0;
#define SUMS(i, n, lane)                                                                                               \
    do {                                                                                                               \
        const vf e = vf_load_n(g + (i), n), d = vf_load_n(x + (i), n) - m, h = e * vf_load_n(p->weight + (i), n);      \
        if (centred)                                                                                                   \
            s[lane] += h;                                                                                              \
        t[lane] += h * d;                                                                                              \
        if (keep)                                                                                                      \
            add_to(p->dweight, i, n, e *(d * r));                                                                      \
        if (keep && centred)                                                                                           \
            add_to(p->dbias, i, n, e);                                                                                 \
    } while (0)
#define JOIN_SUMS one += centred ? taken(s) : 0, two += taken(t)
    EACH_VECTOR(p->length, SUMS, JOIN_SUMS)
    *sum = one;
    *along = two;
}

static void row_norm_backward(float *dx, const float *x, const float *g, const cbm_row_norm *p, float mean, float rstd)
{
    const bool centred = p->bias != NULL;
    const double n = (double)p->length, r = (double)rstd;
    double sum, along;
    if (p->dweight && centred)
        row_sums(x, g, p, mean, rstd, true, true, &sum, &along);
    else if (p->dweight)
        row_sums(x, g, p, mean, rstd, true, false, &sum, &along);
    else if (centred)
        row_sums(x, g, p, mean, rstd, false, true, &sum, &along);
    else
        row_sums(x, g, p, mean, rstd, false, false, &sum, &along);
    if (!dx)
        return;
    const vf m = vf_set(mean), gain = vf_set(rstd), slope = vf_set((float)(-r * r * r * along / n)),
             rest = vf_set((float)(-r * sum / n));
#define GRADIENT(i, n_, lane)                                                                                          \
    do {                                                                                                               \
        const vf h = vf_load_n(g + (i), n_) * vf_load_n(p->weight + (i), n_), d = vf_load_n(x + (i), n_) - m;          \
        vf_store_n(dx + (i), n_, h * gain + (d * slope + rest));                                                       \
    } while (0)
    EACH_VECTOR(p->length, GRADIENT, )
}

void CBM_LEVEL(cbm_layer_norm_fill)(cbm_simd *s)
{
    s->row_norm = row_norm;
    s->row_norm_backward = row_norm_backward;
}
