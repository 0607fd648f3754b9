/* moments.c: means and sums of squares about them (Chan, Golub and LeVeque 1979), of columns and of rows: in f32 over a few
   hundred elements, about a value near the mean, and joined in f64 in a fixed order. Rests on folds.h. */
#include "backend/cpu/simd/folds.h"

#include "backend/cpu/simd/level.h"

enum {
    ROWS = 256,     /* whose sums are taken in f32 at most */
    COLUMNS = 1024, /* that go on together */
    DEEP = 8,       /* rows that are read together */
    SUMS = 4        /* running sums of a column, for the adders' sake */
};

INLINE vf vf_of_f64(const double *p, int64_t n)
{
    float r[VN];
    if (n == VN)
        return vf_of_halves(vd_load(p), vd_load(p + VD));
    for (int64_t k = 0; k < n; k++)
        r[k] = (float)p[k];
    return vf_load_n(r, n);
}
INLINE void vd_store_pair(double *to, int64_t n, vd low, vd high)
{
    double room[VN];
    double *r = n == VN ? to : room;
    vd_store(r, low);
    vd_store(r + VD, high);
    if (n < VN)
        memcpy(to, room, (size_t)n * sizeof *to);
}

/* ---- down the columns ---- */

/* Moments of the rows' columns joined with those of `count` rows before, for n lanes: s and q are the sums of x - pilot and
   of its square. */
INLINE void join_lanes(double *mean, double *squares, double count, double rows, vf pilot, vf s, vf q, int64_t n)
{
    const double total = count + rows, share = 1 / rows, weight = rows / total, both = count * rows / total;
    double room[2][VN] = { { 0 } };
    vd m[2], b[2];
    if (n < VN && count > 0) {
        memcpy(room[0], mean, (size_t)n * sizeof *mean);
        memcpy(room[1], squares, (size_t)n * sizeof *squares);
    }
    for (int half = 0; half < 2; half++) {
        const vd sum = vf_half_of(s, half), shift = sum * share;
        m[half] = vf_half_of(pilot, half) + shift;
        b[half] = vf_half_of(q, half) - sum * shift;
        if (count > 0) {
            const vd before = vd_load((n < VN ? room[0] : mean) + half * VD), delta = m[half] - before;
            m[half] = before + delta * weight;
            b[half] += vd_load((n < VN ? room[1] : squares) + half * VD) + delta * delta * both;
        }
    }
    vd_store_pair(mean, n, m[0], m[1]);
    vd_store_pair(squares, n, b[0], b[1]);
}

/* Sums of x - pilot and of its square, n lanes, go on with `rows` rows. */
INLINE void moments_block(float *sum, float *squares, const float *pilot, const float *x, int64_t rows, int64_t step,
                          int64_t n)
{
    const vf p = vf_load_n(pilot, n);
    vf s[SUMS] = { vf_load_n(sum, n) }, q[SUMS] = { vf_load_n(squares, n) };
    int64_t i = 0;
    for (; i + DEEP <= rows; i += DEEP)
        _Pragma("GCC unroll 8") for (int k = 0; k < DEEP; k++)
        {
            const vf d = vf_load_n(x + (i + k) * step, n) - p;
            s[k % SUMS] += d;
            q[k % SUMS] += d * d;
        }
    for (; i < rows; i++) {
        const vf d = vf_load_n(x + i * step, n) - p;
        s[0] += d;
        q[0] += d * d;
    }
    vf_store_n(sum, n, (s[0] + s[1]) + (s[2] + s[3]));
    vf_store_n(squares, n, (q[0] + q[1]) + (q[2] + q[3]));
}

/* n <= COLUMNS columns of up to ROWS rows. The pilot is the mean so far: where it is far from the rows' own mean, the distance
   itself makes up most of the variance. */
static void moments_chunk(double *mean, double *squares, int64_t count, const float *x, int64_t rows, int64_t step,
                          int64_t n)
{
    const int64_t deep = n <= VN ? rows : DEEP;
    float p[COLUMNS], s[COLUMNS], q[COLUMNS];
#define EACH_COLUMN(BODY)                                                                                              \
    for (int64_t k = 0; k < n; k += VN) {                                                                              \
        if (n - k >= VN) {                                                                                             \
            BODY(VN);                                                                                                  \
        } else {                                                                                                       \
            BODY(n - k);                                                                                               \
        }                                                                                                              \
    }
#define BEGIN(lanes)                                                                                                   \
    vf_store_n(p + k, lanes, count > 0 ? vf_of_f64(mean + k, lanes) : vf_load_n(x + k, lanes));                        \
    vf_store_n(s + k, lanes, (vf){ 0 });                                                                               \
    vf_store_n(q + k, lanes, (vf){ 0 })
#define ADD(lanes) moments_block(s + k, q + k, p + k, x + i * step + k, now, step, lanes)
#define JOIN(lanes)                                                                                                    \
    join_lanes(mean + k, squares + k, (double)count, (double)rows, vf_load_n(p + k, lanes), vf_load_n(s + k, lanes),   \
               vf_load_n(q + k, lanes), lanes)
    EACH_COLUMN(BEGIN)
    for (int64_t i = 0; i < rows; i += deep) {
        const int64_t now = rows - i < deep ? rows - i : deep;
        EACH_COLUMN(ADD)
    }
    EACH_COLUMN(JOIN)
}

/* No more rows at a time than came before: see the pilot. */
static void moments_columns(double *mean, double *squares, int64_t count, const float *x, int64_t rows, int64_t step,
                            int64_t n)
{
    for (int64_t k = 0; k < n; k += COLUMNS)
        for (int64_t i = 0, now; i < rows; i += now) {
            now = count + i < DEEP ? DEEP : count + i < ROWS ? count + i : ROWS;
            now = rows - i < now ? rows - i : now;
            moments_chunk(mean + k, squares + k, count + i, x + i * step + k, now, step,
                          n - k < COLUMNS ? n - k : COLUMNS);
        }
}

/* ---- along rows ---- */

/* Up to a vector of rows: about the mean as f32 has it, and what is left of the mean then. whole: see EACH_ROW. */
INLINE void moments_some(double *mean, double *squares, const float *x, int64_t rows, int64_t step, int64_t n,
                         bool whole)
{
    const double share = 1 / (double)n;
    float about[VN];
    vf v[VN], q[VN];
    vd m[2], b[2];
    EACH_ROW(whole, rows, v[k] = vf_fold_row(x + k * step, n, 0, 0, 0, itself, join_sum);)
    for (int64_t k = rows; k < VN; k++)
        v[k] = (vf){ 0 };
    const vf middle = vf_joined_side_by_side(v, join_sum) * (float)share;
    vf_store(about, middle);
#define ROW_MOMENTS                                                                                                    \
    v[k] = q[k] = (vf){ 0 };                                                                                           \
    for (int64_t i = 0; i < n; i += VN) {                                                                              \
        const float *from = x + k * step + i;                                                                          \
        const vf d = (n - i < VN ? vf_load_part(from, n - i, about[k]) : vf_load(from)) - vf_set(about[k]);            \
        v[k] += d;                                                                                                     \
        q[k] += d * d;                                                                                                 \
    }
    EACH_ROW(whole, rows, ROW_MOMENTS)
    for (int64_t k = rows; k < VN; k++)
        v[k] = q[k] = (vf){ 0 };
    const vf rest = vf_joined_side_by_side(v, join_sum), all = vf_joined_side_by_side(q, join_sum);
    for (int half = 0; half < 2; half++) {
        const vd left = vf_half_of(rest, half), shift = left * share;
        m[half] = vf_half_of(middle, half) + shift;
        b[half] = vf_half_of(all, half) - left * shift;
    }
    vd_store_pair(mean, rows, m[0], m[1]);
    vd_store_pair(squares, rows, b[0], b[1]);
}
static void moments_rows(double *mean, double *squares, const float *x, int64_t rows, int64_t step, int64_t n)
{
    for (int64_t i = 0; i < rows; i += VN)
        if (rows - i >= VN && n == VN && step == VN)
            moments_some(mean + i, squares + i, x + i * VN, VN, VN, VN, true);
        else
            moments_some(mean + i, squares + i, x + i * step, rows - i < VN ? rows - i : VN, step, n, false);
}

/* ---- what comes of them ---- */

static void moments_finish(float *y, float *means, const double *mean, const double *squares, double divisor, int64_t n,
                           bool root)
{
    const double share = 1 / divisor;
    for (int64_t i = 0; i < n && y; i++)
        y[i] = (float)(squares[i] * share);
    for (int64_t i = 0; i < n && y && root; i++)
        y[i] = __builtin_sqrtf(y[i]);
    for (int64_t i = 0; i < n && means; i++)
        means[i] = (float)mean[i];
}

void CBM_LEVEL(cbm_moments_fill)(cbm_simd *s)
{
    s->moments_columns = moments_columns;
    s->moments_rows = moments_rows;
    s->moments_finish = moments_finish;
}
