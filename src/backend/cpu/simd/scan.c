/* scan.c: running sums, products, linear recurrences and places of extremes, in f64 inside. Lanes side by side go on together:
   each step waits for the one before, the lanes do not wait for each other. A row goes on a vector at a time, within which
   each lane is joined with those 1, 2, 4 lanes before it. Rests on simd.h
   and math.h. */
#include "backend/cpu/simd/math.h"

#include "backend/cpu/simd/level.h"

enum { DEEP = 8 }; /* rows that lanes go through together */

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

INLINE void scan_row(cbm_scan_kind kind, float *y, const float *x, const float *factors, int64_t n, int64_t step,
                     bool past_caches)
{
    double state = kind == CBM_SCAN_PRODUCT ? 1 : 0;
    for (int64_t i = 0; i < n; i += VN) {
        vd a[2] = { { 0 } }, b[2];
        for (int half = 0; half < 2; half++) {
            const int64_t at = i + half * VD;
            b[half] = fetch(x, at, n, step);
            if (kind == CBM_SCAN_LINEAR) {
                a[half] = fetch(factors, at, n, step);
                a[half][0] = at == 0 ? 0 : a[half][0]; /* the first factor has nothing to go with */
            }
            JOIN(kind, a[half], b[half], BEFORE_1);
#if VD >= 4
            JOIN(kind, a[half], b[half], BEFORE_2);
#endif
#if VD >= 8
            JOIN(kind, a[half], b[half], BEFORE_4);
#endif
        }
        for (int half = 0; half < 2; half++) {
            b[half] = kind == CBM_SCAN_SUM       ? b[half] + state
                      : kind == CBM_SCAN_PRODUCT ? b[half] * state
                                                 : a[half] * state + b[half];
            state = b[half][VD - 1];
        }
        if (past_caches) {
            vi_stream(y + i, (vi)vf_of_halves(b[0], b[1]));
        } else {
            put(y, i, n, step, b[0]);
            put(y, i + VD, n, step, b[1]);
        }
    }
}

/* ---- lanes side by side ---- */

/* What the state becomes with x; of the first element it is x. */
INLINE vd next_state(cbm_scan_kind kind, vd state, vd a, vd x)
{
    return kind == CBM_SCAN_SUM ? state + x : kind == CBM_SCAN_PRODUCT ? state * x : a * state + x;
}

/* A vector of lanes, or n of them, through `rows` rows. */
INLINE void scan_steps(cbm_scan_kind kind, double *state, const cbm_scan *s, int64_t at, int64_t rows, int64_t n,
                       bool first, bool past_caches)
{
    vd r[2] = { vd_load(state), vd_load(state + VD) };
    _Pragma("GCC unroll 8") for (int64_t row = 0; row < rows; row++, at += s->step)
    {
        const vf x = vf_load_n(s->x + at, n), a = kind == CBM_SCAN_LINEAR ? vf_load_n(s->a + at, n) : x;
        for (int half = 0; half < 2; half++) {
            const vd now = vf_half_of(x, half);
            r[half] = first && row == 0 ? now : next_state(kind, r[half], vf_half_of(a, half), now);
        }
        if (past_caches)
            vi_stream(s->y + at, (vi)vf_of_halves(r[0], r[1]));
        else
            vf_store_n(s->y + at, n, vf_of_halves(r[0], r[1]));
    }
    vd_store(state, r[0]);
    vd_store(state + VD, r[1]);
}

INLINE void scan_lanes(cbm_scan_kind kind, const cbm_scan *s, bool past_caches)
{
    double state[CBM_SCAN_LANES + VN] = { 0 };
    for (int64_t i = 0; i < s->length; i += DEEP)
        for (int64_t k = 0; k < s->lanes; k += VN) {
            const int64_t at = i * s->step + k, rows = s->length - i;
            if (s->lanes - k >= VN && rows >= DEEP)
                scan_steps(kind, state + k, s, at, DEEP, VN, i == 0, past_caches);
            else if (s->lanes - k >= VN)
                scan_steps(kind, state + k, s, at, rows, VN, i == 0, past_caches);
            else
                scan_steps(kind, state + k, s, at, rows < DEEP ? rows : DEEP, s->lanes - k, i == 0, false);
        }
}

INLINE void scan_any(cbm_scan_kind kind, const cbm_scan *s, bool past_caches)
{
    if (s->apart == 1)
        scan_lanes(kind, s, past_caches);
    else
        for (int64_t k = 0; k < s->lanes; k++)
            scan_row(kind, s->y + k * s->apart, s->x + k * s->apart, s->a + k * s->apart, s->length, s->step,
                     past_caches);
}

#define SCAN(name, kind)                                                                                               \
    static void name(const cbm_scan *s)                                                                                \
    {                                                                                                                  \
        if (s->past_caches)                                                                                            \
            scan_any(kind, s, true);                                                                                   \
        else                                                                                                           \
            scan_any(kind, s, false);                                                                                  \
    }
SCAN(sum, CBM_SCAN_SUM)
SCAN(product, CBM_SCAN_PRODUCT)
SCAN(linear, CBM_SCAN_LINEAR)

/* ---- logarithms of sums of exponentials, lanes side by side: the greatest so far, and the sum about it ---- */

INLINE void log_step(float *top, double *sum, float *y, const float *x, int64_t n, bool first)
{
    const vf v = vf_load_n(x, n), infinite = vf_set(__builtin_inff());
    const vf before = first ? v : vf_load_n(top, n), now = vf_max(v, before);
    const vf middle = vf_select(now == -infinite, (vf){ 0 }, now); /* no difference of infinities */
    const vf kept = vf_exp_term(before - middle), term = vf_exp_term(v - middle);
    vd s[2];
    for (int half = 0; half < 2; half++) {
        const vd more = vf_half_of(term, half);
        s[half] = first ? more : vd_load(sum + half * VD) * vf_half_of(kept, half) + more;
        vd_store(sum + half * VD, s[half]);
    }
    vf_store_n(top, n, now);
    vf_store_n(y, n, vf_select(now == infinite, now, now + vf_log(vf_of_halves(s[0], s[1]))));
}

/* begins: top and sum hold nothing yet; sum has room for whole vectors */
static void log_scan(const cbm_scan *s, float *top, double *sum, bool begins)
{
    for (int64_t i = 0; i < s->length; i++)
        for (int64_t k = 0; k < s->lanes; k += VN)
            log_step(top + k, sum + k, s->y + i * s->step + k, s->x + i * s->step + k,
                     s->lanes - k < VN ? s->lanes - k : VN, begins && i == 0);
}

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
    s->log_scan = log_scan;
    s->scan_place = scan_place;
}
