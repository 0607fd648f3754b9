/* scan.c: running sums, products, linear recurrences and places of extremes, in f64 inside. Lanes side by side go on together:
   each step waits for the one before, the lanes do not wait for each other. A row goes on a vector at a time, within which
   each lane is joined with those 1, 2, 4 lanes before it. Rests on simd.h. */
#include "backend/cpu/simd/functions.h"

#include "backend/cpu/simd/level.h"

/* ---- a row ---- */

/* Of the lanes of x and then of y: what stands so many lanes before each lane of y. */
#if VD == 8
#define BEFORE_1 7, 8, 9, 10, 11, 12, 13, 14
#define BEFORE_2 6, 7, 8, 9, 10, 11, 12, 13
#define BEFORE_4 4, 5, 6, 7, 8, 9, 10, 11
#elif VD == 4
#define BEFORE_1 3, 4, 5, 6
#define BEFORE_2 2, 3, 4, 5
#else
#define BEFORE_1 1, 2
#endif

/* One step of joining: b becomes what lanes `lanes` before and up to here make, a the factor of what comes before those. */
#define JOIN(kind, a, b, lanes)                                                                                        \
    do {                                                                                                               \
        const vl some = __builtin_shufflevector((vl){ 0 }, ~(vl){ 0 }, lanes);                                         \
        const vd before = __builtin_shufflevector(b, b, lanes);                                                        \
        if (kind == CBM_SCAN_SUM) {                                                                                    \
            b = vd_select(some, b + before, b);                                                                        \
        } else if (kind == CBM_SCAN_PRODUCT) {                                                                         \
            b = vd_select(some, b * before, b);                                                                        \
        } else {                                                                                                       \
            b = vd_select(some, a * before + b, b);                                                                    \
            a = vd_select(some, a * __builtin_shufflevector(a, a, lanes), a);                                          \
        }                                                                                                              \
    } while (0)

/* The elements number i, i + 1, ... of a row, from its end where step is negative; beyond its n elements: anything. */
INLINE vd fetch(const float *x, int64_t i, int64_t n, int64_t step)
{
    float t[VD] = { 0 };
    if (step > 0 && n - i >= VD)
        return __builtin_convertvector(*(const vf_half_any *)(x + i), vd);
    for (int64_t k = 0; k < VD && i + k < n; k++)
        t[k] = x[(i + k) * step];
    return __builtin_convertvector(*(const vf_half_any *)t, vd);
}
INLINE void put(float *y, int64_t i, int64_t n, int64_t step, vd v)
{
    const vf_half f = __builtin_convertvector(v, vf_half);
    if (step > 0 && n - i >= VD)
        *(vf_half_any *)(y + i) = f;
    else
        for (int64_t k = 0; k < VD && i + k < n; k++)
            y[(i + k) * step] = f[k];
}

INLINE void scan_row(cbm_scan_kind kind, float *y, const float *x, const float *factors, int64_t n, int64_t step)
{
    double state = kind == CBM_SCAN_PRODUCT ? 1 : 0;
    for (int64_t i = 0; i < n; i += VD) {
        vd a = { 0 }, b = fetch(x, i, n, step);
        if (kind == CBM_SCAN_LINEAR) {
            a = fetch(factors, i, n, step);
            a[0] = i == 0 ? 0 : a[0]; /* the first factor has nothing to go with */
        }
        JOIN(kind, a, b, BEFORE_1);
#if VD >= 4
        JOIN(kind, a, b, BEFORE_2);
#endif
#if VD >= 8
        JOIN(kind, a, b, BEFORE_4);
#endif
        b = kind == CBM_SCAN_SUM ? b + state : kind == CBM_SCAN_PRODUCT ? b * state : a * state + b;
        put(y, i, n, step, b);
        state = b[VD - 1];
    }
}

/* ---- lanes side by side: state becomes NEXT of state, a and x; of the first element x ---- */
#define SCAN(name, kind, NEXT)                                                                                         \
    static void name(const cbm_scan *s)                                                                                \
    {                                                                                                                  \
        double state[CBM_SCAN_LANES];                                                                                  \
        if (s->apart != 1) {                                                                                           \
            for (int64_t k = 0; k < s->lanes; k++)                                                                     \
                scan_row(kind, s->y + k * s->apart, s->x + k * s->apart, s->a + k * s->apart, s->length, s->step);     \
            return;                                                                                                    \
        }                                                                                                              \
        for (int64_t k = 0; k < s->lanes; k++) {                                                                       \
            state[k] = (double)s->x[k];                                                                                \
            s->y[k] = s->x[k];                                                                                         \
        }                                                                                                              \
        for (int64_t i = 1; i < s->length; i++) {                                                                      \
            const float *px = s->x + i * s->step, *pa = s->a + i * s->step;                                            \
            float *y = s->y + i * s->step;                                                                             \
            for (int64_t k = 0; k < s->lanes; k++) {                                                                   \
                const double x = (double)px[k], a = (double)pa[k];                                                     \
                (void)a;                                                                                               \
                state[k] = NEXT;                                                                                       \
                y[k] = (float)state[k];                                                                                \
            }                                                                                                          \
        }                                                                                                              \
    }

SCAN(sum, CBM_SCAN_SUM, state[k] + x)
SCAN(product, CBM_SCAN_PRODUCT, state[k] * x)
SCAN(linear, CBM_SCAN_LINEAR, a *state[k] + x)

static void scan_place(int64_t *y, const cbm_scan *s, bool greatest)
{
    float best[CBM_SCAN_LANES];
    int64_t at[CBM_SCAN_LANES] = { 0 };
    for (int64_t k = 0; k < s->lanes; k++)
        best[k] = s->x[k * s->apart];
    for (int64_t i = 0; i < s->length; i++) {
        const float *x = s->x + i * s->step;
        for (int64_t k = 0; k < s->lanes; k++) {
            const float v = x[k * s->apart];
            const bool follows = (greatest ? v >= best[k] : v <= best[k]) || v != v;
            best[k] = follows ? v : best[k];
            at[k] = follows ? i : at[k];
            y[i * s->step + k * s->apart] = s->step > 0 ? at[k] : s->length - 1 - at[k];
        }
    }
}

void CBM_LEVEL(cbm_scan_fill)(cbm_simd *s)
{
    s->scan[CBM_SCAN_SUM] = sum;
    s->scan[CBM_SCAN_PRODUCT] = product;
    s->scan[CBM_SCAN_LINEAR] = linear;
    s->scan_place = scan_place;
}
