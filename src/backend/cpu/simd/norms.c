/* norms.c: batch normalisation over places whose channels lie side by side (lanes), and over runs of one channel. Sums are
   taken in f32 over a few hundred places, about a value near the mean, and joined in f64 in a fixed order. Rests on simd.h. */
#include "backend/cpu/simd/level.h"

enum {
    PLACES = 256,
    COLUMNS = 4,
    LANES_MOST = COLUMNS * VN,
    CHUNK = 8192, /* elements, which stay in the nearest cache: sums are kept meanwhile */
    FEW = 1024    /* where nothing has to be kept, memory is read more nearly in its order */
};

/* Places of so many lanes that a chunk of them has so many elements. */
static int64_t chunk_of(int64_t lanes, int64_t elements)
{
    const int64_t places = elements / lanes;
    return places < 1 ? 1 : places > PLACES ? PLACES : places;
}

/* Runs BODY(columns, n) for blocks of the lanes, l being the first lane: blocks of COLUMNS vectors, then single vectors, the
   last one of n lanes. */
#define EACH_BLOCK(lanes, BODY)                                                                                        \
    for (int64_t l = 0; l < (lanes);) {                                                                                \
        if ((lanes)-l >= COLUMNS * VN) {                                                                               \
            BODY(COLUMNS, VN);                                                                                         \
            l += COLUMNS * VN;                                                                                         \
        } else if ((lanes)-l >= VN) {                                                                                  \
            BODY(1, VN);                                                                                               \
            l += VN;                                                                                                   \
        } else {                                                                                                       \
            BODY(1, (lanes)-l);                                                                                        \
            l = (lanes);                                                                                               \
        }                                                                                                              \
    }

/* ---- y = (x - about) scale + shift, and what follows it ---- */

INLINE void put(float *r, int64_t n, vf v, bool past_caches)
{
    if (past_caches && n == VN)
        vi_stream(r, (vi)v);
    else
        vf_store_n(r, n, v);
}

INLINE vf finish(vf v, bool relu, vf upper)
{
    return relu ? vf_less(upper, vf_greater((vf){ 0 }, v)) : v; /* NaN stays */
}

INLINE void forward_block(float *y, const float *x, const float *added, const cbm_norm *p, int64_t l, int64_t places,
                          int columns, int64_t n, bool add, bool relu)
{
    vf m[COLUMNS], a[COLUMNS], b[COLUMNS];
    const vf upper = vf_set(relu && p->after->upper > 0 ? p->after->upper : __builtin_inff());
    for (int v = 0; v < columns; v++) {
        m[v] = vf_load_n(p->about + l + v * VN, n);
        a[v] = vf_load_n(p->scale + l + v * VN, n);
        b[v] = vf_load_n(p->shift + l + v * VN, n);
    }
    for (int64_t i = 0; i < places; i++)
        for (int v = 0; v < columns; v++) {
            const int64_t at = i * p->step + l + v * VN;
            vf r = (vf_load_n(x + at, n) - m[v]) * a[v] + b[v];
            if (add)
                r += vf_load_n(added + at, n);
            put(y + at, n, finish(r, relu, upper), p->past_caches);
        }
}

INLINE void forward_chunks(float *y, const float *x, const cbm_norm *p, bool add, bool relu)
{
    const int64_t chunk = chunk_of(p->lanes, FEW);
    const float *added = p->added ? p->added : y;
    for (int64_t i = 0; i < p->places; i += chunk) {
        const int64_t now = p->places - i < chunk ? p->places - i : chunk, at = i * p->step;
#define FORWARD(columns, n_) forward_block(y + at, x + at, added + at, p, l, now, columns, n_, add, relu)
        EACH_BLOCK(p->lanes, FORWARD)
    }
}

static void norm_forward(float *y, const float *x, const cbm_norm *p)
{
    const bool add = p->after && p->after->add, relu = p->after && p->after->relu;
    if (add && relu)
        forward_chunks(y, x, p, true, true);
    else if (add)
        forward_chunks(y, x, p, true, false);
    else if (relu)
        forward_chunks(y, x, p, false, true);
    else
        forward_chunks(y, x, p, false, false);
}

INLINE void forward_run(float *y, const float *x, const cbm_norm *p, bool add, bool relu)
{
    const vf m = vf_set(*p->about), a = vf_set(*p->scale), b = vf_set(*p->shift);
    const vf upper = vf_set(relu && p->after->upper > 0 ? p->after->upper : __builtin_inff());
    const float *added = p->added ? p->added : y;
    int64_t i = 0;
#define FORWARD_RUN(n_)                                                                                                \
    vf r = (vf_load_n(x + i, n_) - m) * a + b;                                                                         \
    if (add)                                                                                                           \
        r += vf_load_n(added + i, n_);                                                                                 \
    put(y + i, n_, finish(r, relu, upper), p->past_caches)
    for (; i + VN <= p->places; i += VN) {
        FORWARD_RUN(VN);
    }
    if (i < p->places) {
        FORWARD_RUN(p->places - i);
    }
}

static void norm_forward_run(float *y, const float *x, const cbm_norm *p)
{
    const bool add = p->after && p->after->add, relu = p->after && p->after->relu;
    if (add && relu)
        forward_run(y, x, p, true, true);
    else if (add)
        forward_run(y, x, p, true, false);
    else if (relu)
        forward_run(y, x, p, false, true);
    else
        forward_run(y, x, p, false, false);
}

/* ---- backward: g counts where the result before its ReLU, d scale + shift with d = x - about, was not <= 0 ---- */

INLINE vf gated(vf g, vf d, bool gate, vf scale, vf shift)
{
    if (!gate)
        return g;
    const vf z = d * scale + shift;
#if defined(__AVX512F__)
    return (vf)_mm512_maskz_mov_ps(_mm512_cmp_ps_mask((__m512)z, _mm512_setzero_ps(), _CMP_NLE_UQ), (__m512)g);
#else
    return (vf)((vi)g & ~(z <= (vf){ 0 }));
#endif
}

/* s += g, q += g d, where g counts. */
INLINE void add_gated(vf *s, vf *q, vf g, vf d, bool gate, vf scale, vf shift)
{
#if defined(__AVX512F__)
    if (gate) {
        const __mmask16 counts = _mm512_cmp_ps_mask((__m512)(d * scale + shift), _mm512_setzero_ps(), _CMP_NLE_UQ);
        *s = (vf)_mm512_mask_add_ps((__m512)*s, counts, (__m512)*s, (__m512)g);
        *q = (vf)_mm512_mask3_fmadd_ps((__m512)g, (__m512)d, (__m512)*q, counts);
        return;
    }
#endif
    const vf e = gated(g, d, gate, scale, shift);
    *s += e;
    *q += e * d;
}

INLINE void sums_block(double *sums, const float *x, const float *g, const cbm_norm *p, int64_t l, int64_t places,
                       int columns, int64_t n, bool gate)
{
    vf m[COLUMNS], a[COLUMNS], b[COLUMNS], s[COLUMNS], q[COLUMNS];
    float t[LANES_MOST];
    for (int v = 0; v < columns; v++) {
        m[v] = vf_load_n(p->about + l + v * VN, n);
        a[v] = gate ? vf_load_n(p->scale + l + v * VN, n) : m[v];
        b[v] = gate ? vf_load_n(p->shift + l + v * VN, n) : m[v];
    }
    for (int v = 0; v < COLUMNS; v++)
        s[v] = q[v] = (vf){ 0 };
    int64_t i = 0;
    if (columns == 1)
        for (; i + COLUMNS <= places; i += COLUMNS)
            for (int u = 0; u < COLUMNS; u++) {
                const vf d = vf_load_n(x + (i + u) * p->step + l, n) - m[0];
                add_gated(&s[u], &q[u], vf_load_n(g + (i + u) * p->step + l, n), d, gate, a[0], b[0]);
            }
    for (; i < places; i++)
        for (int v = 0; v < columns; v++) {
            const vf d = vf_load_n(x + i * p->step + l + v * VN, n) - m[v];
            add_gated(&s[v], &q[v], vf_load_n(g + i * p->step + l + v * VN, n), d, gate, a[v], b[v]);
        }
    if (columns == 1) {
        s[0] = (s[0] + s[1]) + (s[2] + s[3]);
        q[0] = (q[0] + q[1]) + (q[2] + q[3]);
    }
    const int64_t width = (columns - 1) * VN + n;
    for (int v = 0; v < columns; v++)
        vf_store_n(t + v * VN, n, s[v]);
    for (int64_t k = 0; k < width; k++)
        sums[l + k] += (double)t[k];
    for (int v = 0; v < columns; v++)
        vf_store_n(t + v * VN, n, q[v]);
    for (int64_t k = 0; k < width; k++)
        sums[p->lanes + l + k] += (double)t[k];
}

INLINE void sums_chunks(double *sums, const float *x, const float *g, const cbm_norm *p, bool gate)
{
    const int64_t chunk = chunk_of(p->lanes, CHUNK);
    for (int64_t i = 0; i < p->places; i += chunk) {
        const int64_t now = p->places - i < chunk ? p->places - i : chunk;
#define SUMS(columns, n_) sums_block(sums, x + i * p->step, g + i * p->step, p, l, now, columns, n_, gate)
        EACH_BLOCK(p->lanes, SUMS)
    }
}

static void norm_sums(double *sums, const float *x, const float *g, const cbm_norm *p)
{
    if (p->gate)
        sums_chunks(sums, x, g, p, true);
    else
        sums_chunks(sums, x, g, p, false);
}

INLINE void sums_run(double *sums, const float *x, const float *g, const cbm_norm *p, bool gate)
{
    const vf m = vf_set(*p->about), a = vf_set(*p->scale), b = vf_set(*p->shift);
    for (int64_t begin = 0; begin < p->places; begin += PLACES * VN) {
        const int64_t end = p->places - begin < PLACES * VN ? p->places : begin + PLACES * VN;
        vf s[4] = { { 0 } }, q[4] = { { 0 } };
        int64_t i = begin;
        for (; i + 4 * VN <= end; i += 4 * VN)
            for (int u = 0; u < 4; u++) {
                const vf d = vf_load(x + i + u * VN) - m, e = gated(vf_load(g + i + u * VN), d, gate, a, b);
                s[u] += e;
                q[u] += e * d;
            }
        for (; i < end; i += VN) {
            const int64_t n = end - i < VN ? end - i : VN;
            const vf d = vf_load_n(x + i, n) - m, e = gated(vf_load_n(g + i, n), d, gate, a, b);
            s[0] += e;
            q[0] += e * d;
        }
        sums[0] += (double)vf_sum((s[0] + s[1]) + (s[2] + s[3]));
        sums[1] += (double)vf_sum((q[0] + q[1]) + (q[2] + q[3]));
    }
}

static void norm_sums_run(double *sums, const float *x, const float *g, const cbm_norm *p)
{
    if (p->gate)
        sums_run(sums, x, g, p, true);
    else
        sums_run(sums, x, g, p, false);
}

/* dx = gain g + (slope (x - about) + rest) */
INLINE void backward_block(float *dx, const float *x, const float *g, const cbm_norm *p, int64_t l, int64_t places,
                           int columns, int64_t n, bool gate, bool past_caches)
{
    vf m[COLUMNS], a[COLUMNS], b[COLUMNS], c[COLUMNS], k[COLUMNS], o[COLUMNS];
    for (int v = 0; v < columns; v++) {
        m[v] = vf_load_n(p->about + l + v * VN, n);
        a[v] = vf_load_n(p->gain + l + v * VN, n);
        b[v] = vf_load_n(p->slope + l + v * VN, n);
        c[v] = vf_load_n(p->rest + l + v * VN, n);
        k[v] = gate ? vf_load_n(p->scale + l + v * VN, n) : m[v];
        o[v] = gate ? vf_load_n(p->shift + l + v * VN, n) : m[v];
    }
    for (int64_t i = 0; i < places; i++)
        for (int v = 0; v < columns; v++) {
            const int64_t at = i * p->step + l + v * VN;
            const vf d = vf_load_n(x + at, n) - m[v], e = gated(vf_load_n(g + at, n), d, gate, k[v], o[v]);
            put(dx + at, n, e * a[v] + (d * b[v] + c[v]), past_caches);
        }
}

INLINE void backward_chunks(float *dx, const float *x, const float *g, const cbm_norm *p, bool gate, bool past_caches)
{
    const int64_t chunk = chunk_of(p->lanes, FEW);
    for (int64_t i = 0; i < p->places; i += chunk) {
        const int64_t now = p->places - i < chunk ? p->places - i : chunk, from = i * p->step;
#define BACKWARD(columns, n_) backward_block(dx + from, x + from, g + from, p, l, now, columns, n_, gate, past_caches)
        EACH_BLOCK(p->lanes, BACKWARD)
    }
}

static void norm_backward(float *dx, const float *x, const float *g, const cbm_norm *p)
{
    if (p->gate && p->past_caches)
        backward_chunks(dx, x, g, p, true, true);
    else if (p->gate)
        backward_chunks(dx, x, g, p, true, false);
    else if (p->past_caches)
        backward_chunks(dx, x, g, p, false, true);
    else
        backward_chunks(dx, x, g, p, false, false);
}

INLINE void backward_run(float *dx, const float *x, const float *g, const cbm_norm *p, bool gate, bool past_caches)
{
    const vf m = vf_set(*p->about), a = vf_set(*p->gain), b = vf_set(*p->slope), c = vf_set(*p->rest);
    const vf k = vf_set(*p->scale), o = vf_set(*p->shift);
    for (int64_t i = 0; i < p->places; i += VN) {
        const int64_t n = p->places - i < VN ? p->places - i : VN;
        const vf d = vf_load_n(x + i, n) - m, e = gated(vf_load_n(g + i, n), d, gate, k, o);
        put(dx + i, n, e * a + (d * b + c), past_caches);
    }
}

static void norm_backward_run(float *dx, const float *x, const float *g, const cbm_norm *p)
{
    if (p->gate && p->past_caches)
        backward_run(dx, x, g, p, true, true);
    else if (p->gate)
        backward_run(dx, x, g, p, true, false);
    else if (p->past_caches)
        backward_run(dx, x, g, p, false, true);
    else
        backward_run(dx, x, g, p, false, false);
}

void CBM_LEVEL(cbm_norms_fill)(cbm_simd *s)
{
    s->norm_forward = norm_forward;
    s->norm_forward_run = norm_forward_run;
    s->norm_sums = norm_sums;
    s->norm_sums_run = norm_sums_run;
    s->norm_backward = norm_backward;
    s->norm_backward_run = norm_backward_run;
}
