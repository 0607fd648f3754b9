/* winograd.c: the parts of Winograd's convolution F(4x4, 3x3) (Lavin and Gray, 2015): transforms
   of windows, of weights and of their gradients, with channels in the lanes. Rests on simd.h. */
#include "backend/cpu/simd/level.h"

enum { IN = 6, OUT = 4, PLACES = IN * IN, TAPS = 9, AHEAD = 4 };

/* ---- one-dimensional transforms ---- */

/* The points are 0, P, -P, Q, -Q and infinity. Of the pairs that binary fractions hold exactly, this one rounds least: a
   third of the error of 1 and 2. */
#define P 0.625f
#define Q 1.5f
#define P2 (P * P)
#define Q2 (Q * Q)
#define NP (1.0f / (2.0f * P2 * (P2 - Q2)))
#define NQ (1.0f / (2.0f * Q2 * (Q2 - P2)))

/* B' d */
INLINE void input_line(const vf *d, vf *t)
{
    const vf a = d[4] - Q2 * d[2], b = d[3] - Q2 * d[1], c = d[4] - P2 * d[2], e = d[3] - P2 * d[1];
    t[0] = d[4] - (P2 + Q2) * d[2] + P2 * Q2 * d[0];
    t[1] = a + P * b;
    t[2] = a - P * b;
    t[3] = c + Q * e;
    t[4] = c - Q * e;
    t[5] = d[5] - (P2 + Q2) * d[3] + P2 * Q2 * d[1];
}

/* A' m */
INLINE void output_line(const vf *m, vf *y)
{
    const vf a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], d = m[3] - m[4];
    y[0] = m[0] + a + c;
    y[1] = P * b + Q * d;
    y[2] = P2 * a + Q2 * c;
    y[3] = m[5] + P2 * P * b + Q2 * Q * d;
}

/* A d */
INLINE void gradient_line(const vf *d, vf *t)
{
    const vf a = d[0] + P2 * d[2], b = P * d[1] + P2 * P * d[3], c = d[0] + Q2 * d[2], e = Q * d[1] + Q2 * Q * d[3];
    t[0] = d[0];
    t[1] = a + b;
    t[2] = a - b;
    t[3] = c + e;
    t[4] = c - e;
    t[5] = d[3];
}

/* G g */
INLINE void weight_line(const vf *g, vf *t)
{
    const vf a = NP * g[0] + NP * P2 * g[2], b = NP * P * g[1], c = NQ * g[0] + NQ * Q2 * g[2], e = NQ * Q * g[1];
    t[0] = 1.0f / (P2 * Q2) * g[0];
    t[1] = a + b;
    t[2] = a - b;
    t[3] = c + e;
    t[4] = c - e;
    t[5] = g[2];
}

/* G' t */
INLINE void weight_gradient_line(const vf *t, vf *g)
{
    const vf a = t[1] + t[2], b = t[1] - t[2], c = t[3] + t[4], d = t[3] - t[4];
    g[0] = 1.0f / (P2 * Q2) * t[0] + NP * a + NQ * c;
    g[1] = NP * P * b + NQ * Q * d;
    g[2] = t[5] + NP * P2 * a + NQ * Q2 * c;
}

/* ---- windows ---- */

/* Where tile t's window of `side` rows and columns lies, and which of them are inside the picture. */
typedef struct window {
    float *p; /* of its first row and column, inside or not */
    int64_t top, bottom, left, right;
    int64_t fresh_top, fresh_left; /* the first that the tile above, or to the left, does not have */
    bool whole;
} window;

INLINE window window_of(const cbm_winograd_tiles *x, int64_t t, int64_t side)
{
    const int64_t j = t % x->grid[1], i = t / x->grid[1] % x->grid[0], n = t / x->grid[1] / x->grid[0];
    const int64_t h = OUT * i + x->offset[0], w = OUT * j + x->offset[1];
    window r = { .p = x->p + n * x->image + h * x->row + w * x->column,
                 .top = h < 0 ? -h : 0,
                 .left = w < 0 ? -w : 0,
                 .bottom = x->height - h < side ? x->height - h : side,
                 .right = x->width - w < side ? x->width - w : side };
    r.fresh_top = i == 0 ? r.top : side - OUT;
    r.fresh_left = j == 0 ? r.left : side - OUT;
    r.whole = r.top == 0 && r.left == 0 && r.bottom == side && r.right == side;
    return r;
}

INLINE int64_t channel_at(const cbm_winograd_tiles *x, int64_t c)
{
    return (c >> x->group_shift) * x->group + (c & (((int64_t)1 << x->group_shift) - 1));
}

INLINE vf load_lanes(const float *p, int64_t lanes)
{
    return lanes == VN ? vf_load(p) : vf_load_part(p, lanes, 0.0f);
}

/* The inside of a window, copied to the middle of zeros. */
INLINE void copy_window(const cbm_winograd_tiles *x, const window *w, int64_t channel, int64_t lanes, vf *copy,
                        int side)
{
    const float *p = w->p + channel;
    for (int64_t i = w->top; i < w->bottom; i++)
        for (int64_t j = w->left; j < w->right; j++)
            copy[i * side + j] = load_lanes(p + i * x->row + j * x->column, lanes);
}

/* Two rows of B' d at a time stay in registers; reading d again costs less than keeping six. */
INLINE void input_vector(const float *d, int64_t row, int64_t column, float *v, int64_t place)
{
    for (int pair = 0; pair < 3; pair++) {
        static const int rows[3][2] = { { 1, 2 }, { 3, 4 }, { 0, 5 } };
        vf t[2][IN];
        for (int j = 0; j < IN; j++) {
            const float *p = d + j * column;
            const vf d1 = vf_load(p + row), d2 = vf_load(p + 2 * row), d3 = vf_load(p + 3 * row);
            const vf d4 = vf_load(p + 4 * row);
            if (pair == 2) {
                t[0][j] = d4 - (P2 + Q2) * d2 + P2 * Q2 * vf_load(p);
                t[1][j] = vf_load(p + 5 * row) - (P2 + Q2) * d3 + P2 * Q2 * d1;
                continue;
            }
            const float far = pair == 0 ? Q2 : P2, near = pair == 0 ? P : Q;
            const vf a = d4 - far * d2, b = d3 - far * d1;
            t[0][j] = a + near * b;
            t[1][j] = a - near * b;
        }
        for (int i = 0; i < 2; i++) {
            vf out[IN];
            input_line(t[i], out);
            for (int j = 0; j < IN; j++)
                vf_store(v + (rows[pair][i] * IN + j) * place, out[j]);
        }
    }
}

INLINE void gradient_vector(const float *d, int64_t row, int64_t column, int64_t lanes, float *v, int64_t place)
{
    vf t[IN][OUT];
    for (int j = 0; j < OUT; j++) {
        vf in[OUT], out[IN];
        for (int i = 0; i < OUT; i++)
            in[i] = load_lanes(d + i * row + j * column, lanes);
        gradient_line(in, out);
        for (int i = 0; i < IN; i++)
            t[i][j] = out[i];
    }
    for (int i = 0; i < IN; i++) {
        vf out[IN];
        gradient_line(t[i], out);
        for (int j = 0; j < IN; j++)
            vf_store(v + (i * IN + j) * place, out[j]);
    }
}

/* Asks for what a window does not share with the tiles above it and to its left: short rows in far apart places, which
   the processor does not see coming. */
INLINE void prefetch_window(const cbm_winograd_tiles *x, const window *w, int64_t c)
{
    const float *p = w->p + channel_at(x, c);
    for (int64_t i = w->fresh_top; i < w->bottom; i++)
        for (int64_t j = w->fresh_left; j < w->right; j++)
            __builtin_prefetch(p + i * x->row + j * x->column);
}

/* The channels AHEAD vectors after c of a tile, or those of the tile that follows; channels are [first, last). */
INLINE void prefetch_ahead(const cbm_winograd_tiles *x, const window *w, const window *next, int64_t c, int64_t first,
                           int64_t last)
{
    const int64_t ahead = c + AHEAD * VN, over = first + ahead - last;
    if (ahead < last)
        prefetch_window(x, w, ahead);
    else
        prefetch_window(x, next, over < c ? over : c);
}

/* All channels of the tiles, by one of the two transforms above; constant arguments make a loop of each. */
INLINE void transform_tiles(const cbm_winograd_tiles *x, int64_t first, int64_t count, const cbm_winograd_matrices *v,
                            int side)
{
    const int64_t full = x->channels / VN * VN;
    for (int64_t t = 0; t < count; t++) {
        const window w = window_of(x, first + t, side), next = window_of(x, first + t + 1, side);
        float *to = v->p + t * v->row;
        vf copy[PLACES];
        if (!w.whole)
            for (int i = 0; i < side * side; i++)
                copy[i] = (vf){ 0 };
        for (int64_t c = 0; c < x->channels; c += VN, to += VN) {
            const int64_t lanes = c < full ? VN : x->channels - full, channel = channel_at(x, c);
            const float *from = w.p + channel;
            int64_t row = x->row, column = x->column;
            if (!w.whole || lanes != VN) {
                copy_window(x, &w, channel, lanes, copy, side);
                from = (const float *)(const void *)copy;
                row = side * VN;
                column = VN;
            }
            prefetch_ahead(x, &w, &next, c, 0, x->channels);
            if (side == IN)
                input_vector(from, row, column, to, v->place);
            else
                gradient_vector(from, row, column, VN, to, v->place);
        }
    }
}

static void winograd_input(const cbm_winograd_tiles *x, int64_t first, int64_t count, const cbm_winograd_matrices *v)
{
    transform_tiles(x, first, count, v, IN);
}

static void winograd_gradient(const cbm_winograd_tiles *dy, int64_t first, int64_t count,
                              const cbm_winograd_matrices *v)
{
    transform_tiles(dy, first, count, v, OUT);
}

INLINE vf finished(vf y, const float *old, int64_t lanes, const cbm_winograd_output *o)
{
    if (o->add)
        y += load_lanes(old, lanes);
    return vf_less(vf_set(o->upper), vf_greater(vf_set(o->lower), y)); /* NaN stays */
}

static void winograd_output(const cbm_winograd_tiles *y, int64_t first, int64_t count, int64_t channel, int64_t last,
                            const cbm_winograd_matrices *m, const cbm_winograd_output *o)
{
    for (int64_t t = 0; t < count; t++) {
        const window w = window_of(y, first + t, OUT), next = window_of(y, first + t + 1, OUT);
        const float *from = m->p + t * m->row;
        for (int64_t c = channel; c < last; c += VN, from += VN) {
            const int64_t lanes = last - c < VN ? last - c : VN;
            const vf bias = o->bias ? load_lanes(o->bias + c, lanes) : (vf){ 0 };
            prefetch_ahead(y, &w, &next, c, channel, last);
            vf s[OUT][IN];
            for (int j = 0; j < IN; j++) {
                vf in[IN], out[OUT];
                for (int i = 0; i < IN; i++)
                    in[i] = vf_load(from + (i * IN + j) * m->place);
                output_line(in, out);
                for (int i = 0; i < OUT; i++)
                    s[i][j] = out[i];
            }
            float *to = w.p + channel_at(y, c);
            if (w.whole && lanes == VN) {
                for (int i = 0; i < OUT; i++) {
                    vf out[OUT];
                    output_line(s[i], out);
                    for (int j = 0; j < OUT; j++) {
                        float *q = to + i * y->row + j * y->column;
                        vf_store(q, finished(out[j] + bias, q, VN, o));
                    }
                }
                continue;
            }
            for (int64_t i = 0; i < w.bottom; i++) {
                vf out[OUT];
                output_line(s[i], out);
                for (int64_t j = 0; j < w.right; j++) {
                    float *q = to + i * y->row + j * y->column;
                    const vf r = finished(out[j] + bias, q, lanes, o);
                    if (lanes == VN)
                        vf_store(q, r);
                    else
                        vf_store_part(q, lanes, r);
                }
            }
        }
    }
}

/* ---- weights ---- */

#if VB == 64
#define WEAVE_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define WEAVE_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif VB == 32
#define WEAVE_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define WEAVE_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#define WEAVE_LOW 0, 4, 1, 5
#define WEAVE_HIGH 2, 6, 3, 7
#endif

/* VN rows become columns: each pass weaves row i with row i + VN/2. */
INLINE void transpose_square(vf *r)
{
    for (int pass = 1; pass < VN; pass *= 2) {
        vf t[VN];
        for (int i = 0; i < VN / 2; i++) {
            t[2 * i] = __builtin_shufflevector(r[i], r[i + VN / 2], WEAVE_LOW);
            t[2 * i + 1] = __builtin_shufflevector(r[i], r[i + VN / 2], WEAVE_HIGH);
        }
        for (int i = 0; i < VN; i++)
            r[i] = t[i];
    }
}

/* Vector q of n contiguous floats, zeros after them. */
INLINE vf load_of(const float *p, int64_t n, int64_t q)
{
    return n >= (q + 1) * VN ? vf_load(p + q * VN)
           : n > q * VN      ? vf_load_part(p + q * VN, n - q * VN, 0.0f)
                             : (vf){ 0 };
}

/* taps[VN][9]: weights of inputs [i, i + VN), outputs [o, o + VN) in the lanes. */
INLINE void taps_by_input(const cbm_winograd_weight *w, int64_t o, int64_t i, vf *taps)
{
    const int64_t outputs = w->out_channels - o < VN ? w->out_channels - o : VN;
    const int64_t n = TAPS * (w->channels - i < VN ? w->channels - i : VN);
    const float *p = w->plain + (o * w->channels + i) * TAPS;
    for (int64_t q = 0; q < TAPS; q++) {
        vf square[VN];
        for (int64_t r = 0; r < VN; r++)
            square[r] = r < outputs ? load_of(p + r * w->channels * TAPS, n, q) : (vf){ 0 };
        transpose_square(square);
        for (int r = 0; r < VN; r++)
            taps[q * VN + r] = square[r];
    }
}

/* The same with outputs and inputs exchanged, the taps back to front. */
INLINE void taps_by_output(const cbm_winograd_weight *w, int64_t o, int64_t i, vf *taps)
{
    const int64_t inputs = w->channels - i < VN ? w->channels - i : VN;
    for (int64_t k = 0; k < VN; k++, taps += TAPS) {
        const float *p = w->plain + ((o + k) * w->channels + i) * TAPS;
        for (int64_t q = 0; q < TAPS; q += VN) {
            const int64_t n = TAPS - q < VN ? TAPS - q : VN;
            vf square[VN];
            for (int64_t r = 0; r < VN; r++)
                square[r] = o + k < w->out_channels && r < inputs ? load_lanes(p + r * TAPS + q, n) : (vf){ 0 };
            transpose_square(square);
            for (int64_t j = 0; j < n; j++)
                taps[TAPS - 1 - q - j] = square[j];
        }
    }
}

/* Where place 0, depth 0 of vector v of the columns begins; the floats of a row there. */
INLINE float *column_vector(const cbm_winograd_weight *w, int64_t v, int64_t *row)
{
    const int64_t depth = w->turned ? w->out_channels : w->channels,
                  columns = w->turned ? w->channels : w->out_channels;
    const int64_t vectors = (columns + VN - 1) / VN;
    *row = v / 2 * 2 + 1 < vectors ? 2 * VN : VN;
    return w->matrices + v / 2 * 2 * VN * PLACES * depth + v % 2 * VN;
}

static void winograd_weight(const cbm_winograd_weight *w, int64_t first, int64_t last)
{
    const int64_t depth = w->turned ? w->out_channels : w->channels;
    for (int64_t v = first; v < last; v++) {
        int64_t row;
        float *to = column_vector(w, v, &row);
        for (int64_t k0 = 0; k0 < depth; k0 += VN) {
            vf taps[VN * TAPS];
            if (w->turned)
                taps_by_output(w, k0, v * VN, taps);
            else
                taps_by_input(w, v * VN, k0, taps);
            for (int64_t k = k0; k < k0 + VN && k < depth; k++) {
                const vf *g = taps + (k - k0) * TAPS;
                vf t[IN][3];
                for (int j = 0; j < 3; j++) {
                    const vf in[3] = { g[j], g[3 + j], g[6 + j] };
                    vf out[IN];
                    weight_line(in, out);
                    for (int i = 0; i < IN; i++)
                        t[i][j] = out[i];
                }
                for (int i = 0; i < IN; i++) {
                    vf out[IN];
                    weight_line(t[i], out);
                    for (int j = 0; j < IN; j++)
                        vf_store(to + ((i * IN + j) * depth + k) * row, out[j]);
                }
            }
        }
    }
}

/* taps[VN][9] of inputs [i, i + VN) to the plain weights. */
INLINE void store_taps(const cbm_winograd_weight *w, int64_t o, int64_t i, const vf *taps)
{
    const int64_t outputs = w->out_channels - o < VN ? w->out_channels - o : VN;
    const int64_t n = TAPS * (w->channels - i < VN ? w->channels - i : VN);
    float *p = w->plain + (o * w->channels + i) * TAPS;
    for (int64_t q = 0; q * VN < n; q++) {
        vf square[VN];
        for (int r = 0; r < VN; r++)
            square[r] = taps[q * VN + r];
        transpose_square(square);
        for (int64_t r = 0; r < outputs; r++) {
            float *to = p + r * w->channels * TAPS + q * VN;
            if (n - q * VN >= VN)
                vf_store(to, square[r]);
            else
                vf_store_part(to, n - q * VN, square[r]);
        }
    }
}

static void winograd_weight_gradient(const cbm_winograd_weight *w, int64_t first, int64_t last)
{
    for (int64_t v = first; v < last; v++) {
        int64_t row;
        const float *from = column_vector(w, v, &row);
        for (int64_t i0 = 0; i0 < w->channels; i0 += VN) {
            vf taps[VN * TAPS];
            for (int i = 0; i < VN * TAPS; i++)
                taps[i] = (vf){ 0 };
            for (int64_t c = i0; c < i0 + VN && c < w->channels; c++) {
                vf s[3][IN];
                for (int j = 0; j < IN; j++) {
                    vf in[IN], out[3];
                    for (int i = 0; i < IN; i++) {
                        const float *p = from + ((i * IN + j) * w->channels + c) * row;
                        in[i] = vf_load(p);
                        for (int64_t part = 1; part < w->parts; part++)
                            in[i] += vf_load(p + part * w->part);
                    }
                    weight_gradient_line(in, out);
                    for (int i = 0; i < 3; i++)
                        s[i][j] = out[i];
                }
                for (int i = 0; i < 3; i++)
                    weight_gradient_line(s[i], taps + (c - i0) * TAPS + i * 3);
            }
            store_taps(w, v * VN, i0, taps);
        }
    }
}

void CBM_LEVEL(cbm_winograd_fill)(cbm_simd *s)
{
    s->winograd_lanes = VN;
    s->winograd_input = winograd_input;
    s->winograd_gradient = winograd_gradient;
    s->winograd_output = winograd_output;
    s->winograd_weight = winograd_weight;
    s->winograd_weight_gradient = winograd_weight_gradient;
}
