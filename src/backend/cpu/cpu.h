/* cpu.h: what the files of the CPU backend share: the table of SIMD functions (one table for each level that the
   library was compiled for, chosen at run time) and the tables of kernels. Rests on backend.h, op/ and base/. */
#ifndef CAMBIUM_CPU_H
#define CAMBIUM_CPU_H

#include "backend/backend.h"
#include "base/base.h"
#include "op/attributes.h"
#include "op/expression.h"

/* How elements lie in a tile's registers: bf16 in f32; i32, u8 and bool all in 32-bit integers. */
typedef enum cbm_lane { CBM_LANE_F32, CBM_LANE_F64, CBM_LANE_I64, CBM_LANE_I32, CBM_LANES } cbm_lane;

enum {
    CBM_TILE_GROUP = 16,   /* tile functions are given a multiple of this many elements */
    CBM_TILE_UNIFORM = 128 /* bytes of an operand whose elements are all equal: one group of 64-bit lanes */
};

/* An operand of a tile function: elements at p, or one group repeated when step is 0. */
typedef struct cbm_tile_operand {
    const char *p;
    int64_t step; /* 1 or 0 */
} cbm_tile_operand;
/* r[i] = f(x[i], y[i], z[i]) for i < n; r may be an operand's own memory. */
typedef void (*cbm_tile_fn)(int64_t n, void *r, const cbm_tile_operand *o);

/* Of two instructions in one: the first (ADD, SUB, MUL, DIV, MAX of x, y), and what the second does with its result t and z:
   t + z, t - z, z - t, t z, t / z, z / t, max(t, z), min(t, z). */
enum { CBM_PAIR_FIRST = 5, CBM_PAIR_SECOND = 8 };

typedef struct cbm_small_matmul {
    int64_t m, n, k;
    const float *a, *b;
    float *c; /* row-major, rows c_row apart */
    int64_t a_row, a_column, b_row, b_column, c_row;
} cbm_small_matmul;

/* c (rows, columns) = a b, or += where add; b has one or two vectors a row, one of a's strides is 1. */
typedef struct cbm_panel_product {
    int64_t rows, depth, vectors;
    const float *a, *b;
    float *c;
    int64_t a_row, a_depth, b_row, c_row;
    bool add;
    const float *ahead;             /* wanted in the cache soon: ahead_row floats for each row of c that is done */
    int64_t ahead_row, ahead_depth; /* not 0: so far on for each step of the depth, the next row ahead_row later */
} cbm_panel_product;

/* Pooling over one plane of height x width places, each of `channels` elements side by side. */
typedef struct cbm_pool_plane {
    const float *x;
    float *y;
    uint8_t *place;      /* of each maximum in its window: i kernel[1] + j */
    int64_t *wide_place; /* instead, for windows of more than 256 places; one channel only */
    int64_t channels;
    int64_t height, width, out_height, out_width;
    int64_t kernel[2], stride[2], padding[2];
    int64_t first, last; /* with channels: rows of the result to compute */
    bool exclude_pad;
    float divisor; /* averages: not 0: in place of the number of places */
} cbm_pool_plane;

/* Pooling of one channel over depth, height and width (in this order), with steps between a window's places. */
typedef struct cbm_pool_volume {
    const float *x;
    float *y;
    uint8_t *place; /* (i kernel[1] + j) kernel[2] + k */
    int64_t *wide_place;
    int64_t in[3], out[3], kernel[3], stride[3], padding[3], dilation[3];
    bool exclude_pad; /* averages, whose dilations are 1 */
    float divisor;
} cbm_pool_volume;

/* Activations as Winograd's transforms see them: element (n, c, h, w) lies at
   p[n image + (c / g) group + c % g + h row + w column], g = 2^group_shift; tile (n, i, j) of `grid` begins at row
   4 i + offset[0], column 4 j + offset[1]. */
typedef struct cbm_winograd_tiles {
    float *p;
    int64_t channels, height, width;
    int64_t image, group, group_shift, row, column;
    int64_t offset[2], grid[2];
} cbm_winograd_tiles;

/* Transformed tiles: 36 matrices, one for each place of the transform, of a row a tile and a column a channel. */
typedef struct cbm_winograd_matrices {
    float *p;
    int64_t place, row; /* distances in floats */
} cbm_winograd_matrices;

typedef struct cbm_winograd_output {
    const float *bias;  /* NULL: none */
    bool add;           /* what the output's memory held */
    float lower, upper; /* the result is kept within */
} cbm_winograd_output;

/* Weights (O, I, 3, 3) and 36 matrices (depth, columns), b of the products. Forward, depth counts I and columns O;
   turned, the other way round and the taps back to front, as the input's gradient wants it. */
typedef struct cbm_winograd_weight {
    float *plain, *matrices;
    int64_t out_channels, channels;
    bool turned;
    int64_t parts, part; /* gradient: sums over this many matrices, `part` floats apart */
} cbm_winograd_weight;

/* Batch normalisation of `places` places, `step` elements apart, of `lanes` channels side by side; vectors have an element a
   lane. Forward: y = (x - about) scale + shift, then `after`. Backward: dx = gain g + slope (x - about) + rest; gate: g is
   taken as 0 where (x - about) scale + shift <= 0. */
typedef struct cbm_norm {
    int64_t places, lanes, step;
    const float *about, *scale, *shift, *gain, *slope, *rest;
    const cbm_post *after;
    const float *added; /* what `after` adds; NULL: what y holds */
    bool gate;
    bool past_caches; /* results, and steps between places, are aligned for cbm_simd.stream */
} cbm_norm;

/* One step of a recurrent layer: `rows` sequences, `lanes` units side by side. Pointers are those of the first row and unit,
   of gates the first gate's; rows are ..._row apart, gates and kept parts `gate`. */
typedef struct cbm_cell_step {
    int64_t rows, lanes, gate;
    int64_t step, steps;
    const int64_t *lengths; /* of the rows; NULL: each takes all steps */
    bool reverse, relu;
    int64_t x_row, product_row, product_gate, kept_row, h_row, y_row, c_row, dn_row, first_row;
    float *kept; /* forward NULL: not wanted */
    float
        *h; /* forward: the new state; backward: the gradient of the state after the step, then the part of that before
                    the step that does not come through W_hh */
    float *c; /* the cell state, or its gradient: of before the step, then after it, or the other way round */
    float *y; /* forward NULL: not wanted */
    /* forward: x_gates; W_hh h, in whole vectors; NULL: no bias; the old state */
    const float *x, *product, *bias, *before;
    /* backward: NULL: no gradient of y; kept of the step before; c0 (lstm) or h0 (gru), NULL: zeros; before: y of the step
       before (gru) */
    const float *gy, *kept_before, *first;
    float *dx, *dn, *dbias; /* gradients of x_gates; of the recurrent part of n (gru); dbias is added to */
} cbm_cell_step;
typedef void (*cbm_cell_fn)(const cbm_cell_step *s);

/* Normalisation of rows of `length` elements; no bias: root mean square norm, which has no mean. dweight, dbias: added to;
   NULL: not wanted. */
typedef struct cbm_row_norm {
    int64_t length;
    double eps;
    const float *weight, *bias;
    float *dweight, *dbias;
} cbm_row_norm;

/* A block of attention's scores, rows side by side, s_row apart: forward q k^T and then e^(score - largest), as dropout left
   it; backward q k^T and then the probabilities so, and dp (like s) g v^T and then the gradient of q k^T. */
enum { CBM_ATTENTION_PLACES = 128 }; /* of a row, at most */
typedef struct cbm_attention_tile {
    int64_t rows, places;
    float *s, *dp;
    int64_t s_row;
    float scale;
    bool causal; /* row first_row + i sees places first_place + j up to its own number */
    int64_t first_row, first_place;
    const uint8_t *allowed; /* both NULL: no mask */
    const float *added;
    int64_t mask_row, mask_place; /* steps; mask_place is 0 or 1 */
    /* forward, a number a row: the largest score so far, the sum about it, and what the sums before this block shrink by */
    float *largest, *sum, *factor;
    const float *log_sum, *delta; /* backward, a number a row: log-sum-exp, sum of g y */
    bool dropped;                 /* place j of row i by number first_number + i number_row + j of the stream */
    float p, keep_scale;
    uint64_t seed, position, first_number;
    int64_t number_row;
    void (*uniform)(float *r, int64_t n, uint64_t seed, uint64_t position, uint64_t first);
} cbm_attention_tile;

/* Up to CBM_SCAN_LANES lanes that run along an axis: `length` elements of each, `step` apart (negative: from the end); the lanes
   are `apart` elements from each other: side by side (1), or rows, whose step is 1 or -1. */
enum { CBM_SCAN_LANES = 1024 };
typedef enum cbm_scan_kind { CBM_SCAN_SUM, CBM_SCAN_PRODUCT, CBM_SCAN_LINEAR, CBM_SCAN_KINDS } cbm_scan_kind;
typedef struct cbm_scan {
    float *y;
    const float *x, *a; /* a: the factors of a linear recurrence */
    int64_t length, step, lanes, apart;
    bool past_caches; /* y, and the steps between what is written, are aligned for cbm_simd.stream */
} cbm_scan;

/* How elements are joined: as they are, as magnitudes, or as (x - about)^2. NaN wins. */
typedef enum cbm_fold {
    CBM_FOLD_SUM,
    CBM_FOLD_PRODUCT,
    CBM_FOLD_MAX,
    CBM_FOLD_MIN,
    CBM_FOLD_SUM_ABS,
    CBM_FOLD_MAX_ABS,
    CBM_FOLD_MIN_ABS,
    CBM_FOLD_SUM_SQUARE,
    CBM_FOLDS
} cbm_fold;
typedef void (*cbm_fold_fn)(float *r, const float *x, const float *about, int64_t rows, int64_t step, int64_t n);
typedef void (*cbm_place_fn)(float *best, int32_t *at, const float *x, int32_t first, int64_t rows, int64_t step,
                             int64_t n);

/* One level's functions. Sums run in several lanes in a fixed order, so they repeat bit for bit. */
typedef struct cbm_simd {
    const char *name;

    /* tile.c: code by lane of the operands (for SELECT: of the two values). NULL: not supported. */
    cbm_tile_fn tile[CBM_EXPR_CODES][CBM_LANES];
    cbm_tile_fn pair[CBM_PAIR_FIRST][CBM_PAIR_SECOND];    /* pairs.c, f32: of x, y, z */
    cbm_tile_fn select_by[CBM_EXPR_SELECT - CBM_EXPR_LT]; /* LT and so on, f32: x < y ? z : w */
    cbm_tile_fn cast[CBM_LANES][CBM_LANES];               /* from, to */
    cbm_tile_fn truth[CBM_LANES];                         /* x != 0 */
    cbm_tile_fn low_byte, clamp_byte;                     /* 32-bit lanes: x & 255; x kept in 0..255 */
    /* bytes to 32-bit lanes (truth: 0 or 1), and lanes of 0..255 to bytes */
    void (*widen)(int32_t *r, const uint8_t *x, int64_t n, bool truth);
    void (*narrow)(uint8_t *r, const int32_t *x, int64_t n);
    /* bf16 and f32, each result rounded to nearest even; and a tile of f32 rounded so in its place */
    void (*widen_bf16)(float *r, const uint16_t *x, int64_t n);
    void (*narrow_bf16)(uint16_t *r, const float *x, int64_t n);
    cbm_tile_fn round_bf16;
    /* whole groups of f32, past the caches, to memory aligned to 64 bytes; stream_end: before others may read it */
    void (*stream)(void *to, const void *from, int64_t bytes);
    void (*stream_end)(void);
    /* random.c: elements first, first + 1, ... of a stream */
    void (*uniform)(float *r, int64_t n, uint64_t seed, uint64_t position, uint64_t first);
    void (*normal)(float *r, int64_t n, uint64_t seed, uint64_t position, uint64_t first);

    /* rows.c: n elements one after the other */
    double (*sum)(const float *x, int64_t n);
    double (*sum_of_squares)(const float *x, int64_t n, double about);       /* of x - about */
    double (*dot)(const float *x, const float *y, int64_t n, double about);  /* of x - about, and y */
    void (*add)(float *r, const float *x, int64_t n);                        /* r += x */
    void (*multiply_add)(float *r, const float *x, float factor, int64_t n); /* r += factor x */
    /* (x - about) scale + shift */
    void (*scale_shift)(float *r, const float *x, float about, float scale, float shift, int64_t n);
    void (*exp_scaled)(float *r, const float *x, float minus, float factor, int64_t n); /* exp(x - minus) factor */
    /* max(r + bias + added, 0), at most upper, each part if it is there; relu false: no bounds. NaN stays. */
    void (*finish)(float *r, const float *bias, const float *added, bool relu, float upper, int64_t n);

    /* folds.c: of x, rows of n elements, `step` apart: columns joined with what r holds, rows joined to one number each. x is
       taken about a number for each column or row; NULL: about 0. */
    cbm_fold_fn fold_columns[CBM_FOLDS], fold_rows[CBM_FOLDS];
    /* where x is greater (less) than best, or the first NaN, it takes its place, and at becomes first + the row's number */
    cbm_place_fn max_at, min_at;
    /* of each row the first place of its number of `wanted`, or of NaN */
    void (*find)(int64_t *at, const float *x, const float *wanted, int64_t rows, int64_t step, int64_t n);
    /* whole numbers of a dtype (bool: 0 and 1): their sum, and r += x */
    int64_t (*sum_whole)(cbm_dtype dtype, const void *x, int64_t n);
    void (*add_whole)(cbm_dtype dtype, int64_t *r, const void *x, int64_t n);

    /* softmax.c: rows one after the other, r may be x. past_caches: results, and steps between rows, are aligned for
       `stream`. */
    float (*log_sum_exp)(const float *x, int64_t n);
    void (*softmax_rows)(float *r, const float *x, int64_t rows, int64_t n, bool logarithm, bool past_caches);
    /* columns: the greatest so far and the sum of e^(x - greatest), -inf and 0 of nothing, go on with rows, or with those of
       other rows; of each row the same */
    void (*exp_columns)(float *top, float *sum, const float *x, int64_t rows, int64_t step, int64_t n);
    void (*exp_join)(float *top, float *sum, const float *more_top, const float *more_sum, int64_t n);
    void (*exp_rows)(float *top, float *sum, const float *x, int64_t rows, int64_t step, int64_t n);
    void (*exp_finish)(float *y, const float *top, const float *sum, int64_t n); /* top + log(sum) */
    /* 1 / sum, or log(sum), in its place; and then e^(x - top) last, or x - top - last */
    void (*softmax_last)(float *sum, int64_t n, bool logarithm);
    void (*softmax_columns)(float *y, const float *x, const float *top, const float *last, int64_t rows, int64_t step,
                            int64_t n, bool logarithm, bool past_caches);

    /* moments.c: mean and sum of squares about it: of columns, those of `count` rows become those with x's; of each row. Then
       squares / divisor, or its root, and the means; either result may be NULL. */
    void (*moments_columns)(double *mean, double *squares, int64_t count, const float *x, int64_t rows, int64_t step,
                            int64_t n);
    void (*moments_rows)(double *mean, double *squares, const float *x, int64_t rows, int64_t step, int64_t n);
    void (*moments_finish)(float *y, float *means, const double *mean, const double *squares, double divisor, int64_t n,
                           bool root);

    /* norms.c: places of lanes side by side; the functions ending in run: places of one channel. */
    void (*norm_forward)(float *y, const float *x, const cbm_norm *p);
    void (*norm_forward_run)(float *y, const float *x, const cbm_norm *p);
    void (*norm_sums)(double *sums, const float *x, const float *g, const cbm_norm *p); /* += sum g; g (x - about) */
    void (*norm_sums_run)(double *sums, const float *x, const float *g, const cbm_norm *p);
    void (*norm_backward)(float *dx, const float *x, const float *g, const cbm_norm *p);
    void (*norm_backward_run)(float *dx, const float *x, const float *g, const cbm_norm *p);

    /* layer_norm.c: one row; results may be NULL, y may be x, dx may be x. Backward bias only says that there is a mean. */
    void (*row_norm)(float *y, const float *x, const cbm_row_norm *p, float *mean, float *rstd);
    void (*row_norm_backward)(float *dx, const float *x, const float *g, const cbm_row_norm *p, float mean, float rstd);

    /* resample.c: r[i] = sum over k < count of w[k] x[k step + i]; x[at[i]]; x[at[i]] w[i] + x[other[i]] v[i] */
    void (*weighted_rows)(float *r, const float *x, int64_t step, const float *w, int64_t count, int64_t n);
    void (*pick)(float *r, const float *x, const int32_t *at, int64_t n);
    void (*pick_pairs)(float *r, const float *x, const int32_t *at, const int32_t *other, const float *w,
                       const float *v, int64_t n);

    /* scan.c: in f64 inside */
    void (*scan[CBM_SCAN_KINDS])(const cbm_scan *s);
    /* log sum of e^x so far, lanes side by side; top and sum, of whole vectors, go on from what was before unless it begins */
    void (*log_scan)(const cbm_scan *s, float *top, double *sum, bool begins);
    void (*scan_place)(int64_t *y, const cbm_scan *s,
                       bool greatest); /* places of the last greatest, or least, so far */

    /* matrix.c */
    void (*small_matmul)(const cbm_small_matmul *p);
    void (*panel_product)(const cbm_panel_product *p);

    /* recurrent.c: rnn, lstm, gru */
    cbm_cell_fn cell_forward[3], cell_backward[3];

    /* attention.c */
    void (*attention_forward)(const cbm_attention_tile *t);
    void (*attention_backward)(const cbm_attention_tile *t);

    /* transpose.c: r[j][i] = x[i][j]; elements of 4 bytes, and of 1 << k bytes */
    void (*transpose)(uint32_t *r, int64_t r_stride, const uint32_t *x, int64_t x_stride, int64_t rows,
                      int64_t columns);
    void (*transpose_of[4])(void *r, int64_t r_stride, const void *x, int64_t x_stride, int64_t rows, int64_t columns);

    /* planes.c: one channel, the whole plane; channels.c: several, rows [first, last) of y or dx. A place outside the
       plane counts for nothing. */
    void (*max_pool)(const cbm_pool_plane *p);
    void (*max_pool_backward)(const cbm_pool_plane *p, const float *g, float *dx);
    void (*avg_pool)(const cbm_pool_plane *p);
    void (*avg_pool_backward)(const cbm_pool_plane *p, const float *g, float *dx);
    void (*max_pool_channels)(const cbm_pool_plane *p);
    void (*max_pool_backward_channels)(const cbm_pool_plane *p, const float *g, float *dx);
    void (*avg_pool_channels)(const cbm_pool_plane *p);
    void (*avg_pool_backward_channels)(const cbm_pool_plane *p, const float *g, float *dx);

    /* volumes.c: one channel, the whole of it */
    void (*max_pool_volume)(const cbm_pool_volume *p);
    void (*max_pool_backward_volume)(const cbm_pool_volume *p, const float *g, float *dx);
    void (*avg_pool_volume)(const cbm_pool_volume *p);
    void (*avg_pool_backward_volume)(const cbm_pool_volume *p, const float *g, float *dx);

    /* winograd.c: F(4x4, 3x3). Weights' matrices lie as [panel of two vectors of columns][36][depth][columns]; the last
       panel may have one vector. */
    int64_t winograd_lanes; /* floats of a vector */
    /* B' d B of 6x6 windows of x, zero outside; A d A' of 4x4 windows of dy: all channels of tiles first, first + 1, ... */
    void (*winograd_input)(const cbm_winograd_tiles *x, int64_t first, int64_t count, const cbm_winograd_matrices *v);
    void (*winograd_gradient)(const cbm_winograd_tiles *dy, int64_t first, int64_t count,
                              const cbm_winograd_matrices *v);
    /* A' m A into 4x4 windows of y: channels [channel, last), found from column 0 on in m */
    void (*winograd_output)(const cbm_winograd_tiles *y, int64_t first, int64_t count, int64_t channel, int64_t last,
                            const cbm_winograd_matrices *m, const cbm_winograd_output *o);
    /* G g G', and its adjoint: vectors [first, last) of the columns */
    void (*winograd_weight)(const cbm_winograd_weight *w, int64_t first, int64_t last);
    void (*winograd_weight_gradient)(const cbm_winograd_weight *w, int64_t first, int64_t last);
} cbm_simd;

/* The best level that this processor can run; the same one named, or NULL; and a choice for tests (NULL: the best).
   dispatch.c */
const cbm_simd *cbm_simd_get(void);
const cbm_simd *cbm_simd_named(const char *name);
void cbm_simd_choose(const cbm_simd *level);

/* Results of so many bytes go past the caches: they would only drive out what is in there. */
bool cbm_cpu_streams(int64_t bytes);
void cbm_cpu_stream_from(int64_t bytes); /* for tests: from so many on; negative: as the processor has it */

/* The blocked layout whose blocks fill this level's vectors; PLAIN at the baseline. */
cbm_layout cbm_cpu_blocked(void);
/* Products of bf16 pay: the processor multiplies it, and oneDNN is there to tell it. In tiles (AMX) they want channels
   last; else blocks. */
bool cbm_cpu_bf16(void);
bool cbm_cpu_bf16_tiles(void);

/* Below this many elements a loop is not worth a second thread. */
#define CBM_CPU_GRAIN 8192

static inline cbm_lane cbm_lane_of(cbm_dtype t)
{
    static const cbm_lane lanes[CBM_DTYPE_COUNT] = { CBM_LANE_F32, CBM_LANE_F64, CBM_LANE_I64, CBM_LANE_I32,
                                                     CBM_LANE_I32, CBM_LANE_I32, CBM_LANE_F32 };
    return lanes[t];
}
static inline bool cbm_cpu_f32(const cbm_launch *l)
{
    for (size_t i = 0; i < l->n_in; i++)
        if (l->in[i].dtype != CBM_F32)
            return false;
    return true;
}

/* So many channels divide into the layout's blocks. */
static inline bool cbm_cpu_blocks_fit(cbm_layout layout, int64_t channels)
{
    return channels % (layout == CBM_LAYOUT_BLOCKED_16 ? 16 : layout == CBM_LAYOUT_BLOCKED_8 ? 8 : 1) == 0;
}

/* x as (outer, length, inner) around an axis. */
typedef struct cbm_around {
    int64_t outer, length, inner;
} cbm_around;
static inline cbm_around cbm_around_axis(const cbm_buffer *b, int64_t axis)
{
    cbm_around a = { 1, 1, 1 };
    for (int64_t d = 0; d < b->rank; d++)
        *(d < axis ? &a.outer : d == axis ? &a.length : &a.inner) *= b->shape[d];
    return a;
}
/* n elements joined to one. */
static inline float cbm_fold_row(const cbm_simd *s, cbm_fold fold, const float *x, int64_t n)
{
    float r;
    s->fold_rows[fold](&r, x, NULL, 1, n, n);
    return r;
}
/* So many items that a part is worth a thread, when each item is `work` elements. */
static inline int64_t cbm_grain(int64_t work)
{
    return work >= CBM_CPU_GRAIN ? 1 : CBM_CPU_GRAIN / (work > 0 ? work : 1);
}

/* fused.c */
cbm_status cbm_cpu_fused_prepare(const cbm_fused_launch *shapes, void **state, size_t *workspace);
void cbm_cpu_fused_run(const cbm_fused_launch *launch);
void cbm_cpu_fused_run_all(const cbm_fused_launch *const *launches, size_t count);
void cbm_cpu_fused_release(void *state);

/* reorder.c: the elements of `from` into `to`, of the same shape and dtype, each in its own layout; both without gaps. */
void cbm_cpu_reorder(const cbm_buffer *from, const cbm_buffer *to, int64_t threads);

/* post.c: y, count elements, with what `post` adds to it (bias to each run of `columns`) and its bounds. NaN stays. */
void cbm_post_run(const cbm_post *post, float *y, int64_t count, const float *bias, int64_t columns, const float *added,
                  int64_t threads);

/* widened.c: runs a kernel for f32 on bf16 operands; NULL: no operand is bf16, or there is no such kernel */
const cbm_kernel *cbm_cpu_widened(const cbm_launch *shapes);

/* One table a file, ended by a kernel with op NULL. */
extern const cbm_kernel cbm_cpu_conv[];
extern const cbm_kernel cbm_cpu_matmul[];
extern const cbm_kernel cbm_cpu_pool[];
extern const cbm_kernel cbm_cpu_adaptive[];
extern const cbm_kernel cbm_cpu_resample[];
extern const cbm_kernel cbm_cpu_norm[];
extern const cbm_kernel cbm_cpu_layer_norm[];
extern const cbm_kernel cbm_cpu_group_norm[];
extern const cbm_kernel cbm_cpu_softmax[];
extern const cbm_kernel cbm_cpu_reduce[];
extern const cbm_kernel cbm_cpu_count[];
extern const cbm_kernel cbm_cpu_place[];
extern const cbm_kernel cbm_cpu_statistics[];
extern const cbm_kernel cbm_cpu_order[];
extern const cbm_kernel cbm_cpu_scan[];
extern const cbm_kernel cbm_cpu_move[];
extern const cbm_kernel cbm_cpu_index[];
extern const cbm_kernel cbm_cpu_loss[];
extern const cbm_kernel cbm_cpu_recurrent[];
extern const cbm_kernel cbm_cpu_attention[];

extern const cbm_kernel cbm_cpu_pad[];
extern const cbm_kernel cbm_cpu_create[];
extern const cbm_kernel cbm_cpu_window[];
extern const cbm_kernel cbm_cpu_diagonal[];
extern const cbm_kernel cbm_cpu_scatter[];
extern const cbm_kernel cbm_cpu_select[];
extern const cbm_kernel cbm_cpu_sort[];
extern const cbm_kernel cbm_cpu_bins[];
extern const cbm_kernel cbm_cpu_embedding[];

#endif
