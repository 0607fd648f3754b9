/* winograd.c: Winograd's convolution over a whole batch. A thread takes a range of tiles (and, where tiles are few, a
   range of the product's columns) and goes through it in blocks: transform a block's windows, multiply the 36 matrices,
   transform back. Where
   tiles are few beside the columns, all of them are transformed first and threads go through the columns instead, a few at a
   time: the weights' matrices, or their gradient's, then never are there as a whole. */
#include "backend/cpu/winograd.h"
#include "backend/cpu/cpu.h"

#include <math.h>
#include <stdlib.h>

enum {
    PLACES = 36,
    TILE = 4,
    LINE = 16,           /* floats */
    COLUMN_GRAIN = 32,   /* threads' shares of columns begin at whole panels and whole blocks of channels */
    MOST_SUMS = 1 << 23, /* floats of all threads' weight gradients */
    WIDE = 256,          /* columns at least to go through them instead of tiles */
    MOST_TILES = 144,    /* that are multiplied at a time then */
    CHUNK = 64           /* columns multiplied before they are transformed back */
};

struct cbm_winograd {
    cbm_winograd_conv conv;
    const cbm_simd *simd;
    int64_t threads, lanes;
    int64_t depth, columns;      /* of the products; weight gradient: rows and columns of a place's matrix */
    cbm_winograd_tiles from, to; /* without pointers; weight gradient: x and dy */
    int64_t tiles, tile_parts, column_parts;
    bool by_columns;            /* chunk by chunk of them, with all tiles transformed before */
    int64_t block, chunk;       /* tiles and columns taken together */
    cbm_winograd_matrices v, m; /* without pointers */
    int64_t matrices;           /* floats of 36 matrices of weights */
    int64_t thread_at;          /* in the workspace, in floats: the threads' parts, after the weights */
    int64_t m_at, thread_floats;
};

static int64_t up(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit * unit;
}
static int64_t less(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static bool describe(cbm_winograd_tiles *t, cbm_layout layout, int64_t channels, int64_t height, int64_t width,
                     int64_t lanes)
{
    *t = (cbm_winograd_tiles){ .channels = channels, .height = height, .width = width };
    t->image = channels * height * width;
    if (layout == CBM_LAYOUT_CHANNELS_LAST) {
        t->group_shift = 62;
        t->column = channels;
    } else if (layout == CBM_LAYOUT_BLOCKED_8 || layout == CBM_LAYOUT_BLOCKED_16) {
        t->group_shift = layout == CBM_LAYOUT_BLOCKED_8 ? 3 : 4;
        t->column = (int64_t)1 << t->group_shift;
        t->group = height * width * t->column;
        if (lanes > t->column || channels % t->column != 0)
            return false;
    } else {
        return false;
    }
    t->row = width * t->column;
    return true;
}

bool cbm_winograd_suits(const cbm_winograd_conv *c)
{
    const int64_t lanes = cbm_simd_get()->winograd_lanes;
    cbm_winograd_tiles t;
    for (int d = 0; d < 2; d++)
        if (c->padding[d] < 0 || c->padding[d] > 2)
            return false;
    return c->batch > 0 && c->channels > 0 && c->out_channels > 0 && c->out_height > 0 && c->out_width > 0 &&
           c->out_height == c->height + 2 * c->padding[0] - 2 && c->out_width == c->width + 2 * c->padding[1] - 2 &&
           describe(&t, c->x_layout, c->channels, c->height, c->width, lanes) &&
           describe(&t, c->y_layout, c->out_channels, c->out_height, c->out_width, lanes);
}

bool cbm_winograd_pays(const cbm_winograd_conv *c)
{
    const bool turned = c->direction == CBM_DNN_INPUT_GRAD;
    const int64_t height = turned ? c->height : c->out_height, width = turned ? c->width : c->out_width;
    const int64_t pixels = c->batch * height * width, weights = c->channels * c->out_channels;
    const int64_t tiles = c->batch * ((height + TILE - 1) / TILE) * ((width + TILE - 1) / TILE);
    const int64_t least = (c->packed_weight ? 128 : 256) * (weights >= 512 * 512 ? 2 : 1);
    return c->channels >= 16 && c->out_channels >= 16 && weights >= 16 * 32 && pixels >= least &&
           2 * pixels >= TILE * TILE * tiles;
}

/* An odd number of lines between places, or between tiles, spreads them over the nearest cache. */
static int64_t spread(int64_t floats)
{
    const int64_t lines = (floats + LINE - 1) / LINE;
    return (lines % 2 == 0 ? lines + 1 : lines) * LINE;
}

/* For products whose rows are tiles, a tile's 36 rows lie together: the transforms keep few pages open. */
static cbm_winograd_matrices by_tile(int64_t columns, int64_t lanes)
{
    const int64_t place = up(columns, lanes);
    return (cbm_winograd_matrices){ .place = place, .row = spread(PLACES * place) };
}

/* For products that sum over tiles, a place's rows do. */
static cbm_winograd_matrices by_place(int64_t tiles, int64_t columns, int64_t lanes)
{
    int64_t row = up(columns, lanes);
    if (row % 256 == 0)
        row += LINE; /* rows a multiple of a kibibyte apart would share a few sets of the cache */
    return (cbm_winograd_matrices){ .place = spread(tiles * row), .row = row };
}

/* Threads share the tiles. Where these are fewer than the channels they share the columns instead: each then works with
   the weights that it transformed itself, or keeps its own part of the gradient. */
static void share_work(cbm_winograd *w)
{
    const bool gradient = w->conv.direction == CBM_DNN_WEIGHT_GRAD;
    const bool share_columns =
        (gradient ? w->tiles / 3 : w->tiles) < w->columns || (gradient && w->matrices * w->threads > MOST_SUMS);
    w->column_parts = 1;
    for (int64_t parts = 2; share_columns && parts <= less(w->threads, w->columns / COLUMN_GRAIN); parts++)
        if (w->threads % parts == 0)
            w->column_parts = parts;
    w->tile_parts = less(w->threads / w->column_parts, w->tiles);
}

/* Tiles of a block: more where they have to pay for weights, or sums of their gradients, that no near cache holds. */
static int64_t block_tiles(const cbm_winograd *w)
{
    const int64_t mib = w->matrices / w->column_parts * (int64_t)sizeof(float) >> 20;
    if (w->conv.direction == CBM_DNN_WEIGHT_GRAD)
        return mib < 4 ? 36 : mib < 16 ? 48 : 72;
    return mib < 1 ? 24 : 36;
}

/* The transformed tiles, then each thread's matrices of a chunk of columns, with what they are multiplied to or from. */
static void plan_by_columns(cbm_winograd *w)
{
    const bool gradient = w->conv.direction == CBM_DNN_WEIGHT_GRAD;
    w->chunk = COLUMN_GRAIN;
    w->block = gradient ? w->tiles : less(up(w->tiles, TILE), MOST_TILES);
    w->tile_parts = 1;
    w->column_parts = less(w->threads, (w->columns + w->chunk - 1) / w->chunk);
    w->v = gradient ? by_place(w->tiles, w->depth, w->lanes) : by_tile(w->depth, w->lanes);
    w->m = gradient ? by_place(w->tiles, w->chunk, w->lanes) : by_tile(w->chunk, w->lanes);
    w->m_at = up(PLACES * w->depth * w->chunk, LINE);
    w->thread_at = gradient ? PLACES * w->v.place : w->tiles * w->v.row;
    w->thread_floats = w->m_at + (gradient ? PLACES * w->m.place : w->block * w->m.row);
}

static void plan(cbm_winograd *w)
{
    const bool gradient = w->conv.direction == CBM_DNN_WEIGHT_GRAD;
    w->by_columns = !w->conv.packed_weight && w->columns >= WIDE && 2 * w->tiles <= w->columns;
    if (w->by_columns) {
        plan_by_columns(w);
        return;
    }
    w->matrices = up(PLACES * w->depth * up(w->columns, w->lanes), LINE);
    share_work(w);
    const int64_t most = block_tiles(w);
    const int64_t tiles = (w->tiles + w->tile_parts - 1) / w->tile_parts, blocks = (tiles + most / 2) / most;
    w->block = less(tiles, blocks > 1 ? up((tiles + blocks - 1) / blocks, TILE) : up(tiles, TILE));
    const int64_t part = up((w->columns + w->column_parts - 1) / w->column_parts, COLUMN_GRAIN);
    w->chunk = less(w->columns, gradient ? part : CHUNK);
    if (gradient) {
        w->v = by_place(w->block, w->depth, w->lanes);
        w->m = by_place(w->block, w->chunk, w->lanes);
        w->m_at = PLACES * w->v.place;
        w->thread_floats = w->m_at + PLACES * w->m.place;
        w->thread_at = w->matrices * w->tile_parts;
    } else {
        w->v = by_tile(w->depth, w->lanes);
        w->m = by_tile(w->chunk, w->lanes);
        w->m_at = w->block * w->v.row;
        w->thread_floats = w->m_at + w->block * w->m.row;
        w->thread_at = w->conv.packed_weight ? 0 : w->matrices;
    }
}

cbm_winograd *cbm_winograd_open(const cbm_winograd_conv *c, int64_t threads)
{
    if (!cbm_winograd_suits(c))
        return NULL;
    cbm_winograd *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->conv = *c;
    w->simd = cbm_simd_get();
    w->lanes = w->simd->winograd_lanes;
    w->threads = threads > 1 ? threads : 1;
    cbm_winograd_tiles x, y;
    describe(&x, c->x_layout, c->channels, c->height, c->width, w->lanes);
    describe(&y, c->y_layout, c->out_channels, c->out_height, c->out_width, w->lanes);
    const bool turned = c->direction == CBM_DNN_INPUT_GRAD;
    w->from = turned ? y : x;
    w->to = turned ? x : y;
    w->depth = w->from.channels;
    w->columns = w->to.channels;
    const int64_t size[2] = { w->to.height, w->to.width };
    w->tiles = c->batch;
    for (int d = 0; d < 2; d++) {
        w->from.offset[d] = turned ? c->padding[d] - 2 : -c->padding[d];
        w->from.grid[d] = w->to.grid[d] = (size[d] + TILE - 1) / TILE;
        w->tiles *= w->to.grid[d];
    }
    plan(w);
    return w;
}

void cbm_winograd_free(cbm_winograd *w)
{
    free(w);
}

size_t cbm_winograd_workspace(const cbm_winograd *w)
{
    return (size_t)(w->thread_at + w->thread_floats * w->tile_parts * w->column_parts) * sizeof(float);
}

size_t cbm_winograd_packed_bytes(const cbm_winograd *w)
{
    return (size_t)w->matrices * sizeof(float);
}

/* ---- weights ---- */

typedef struct weight_job {
    const cbm_winograd *w;
    cbm_winograd_weight weight;
} weight_job;

static cbm_winograd_weight weight_of(const cbm_winograd *w, float *plain, float *matrices)
{
    return (cbm_winograd_weight){ .plain = plain,
                                  .matrices = matrices,
                                  .out_channels = w->conv.out_channels,
                                  .channels = w->conv.channels,
                                  .turned = w->conv.direction == CBM_DNN_INPUT_GRAD,
                                  .parts = w->tile_parts,
                                  .part = w->matrices };
}

static void pack_part(void *user, int64_t begin, int64_t end)
{
    const weight_job *j = user;
    j->w->simd->winograd_weight(&j->weight, begin, end);
}

static void unpack_part(void *user, int64_t begin, int64_t end)
{
    const weight_job *j = user;
    j->w->simd->winograd_weight_gradient(&j->weight, begin, end);
}

static int64_t column_vectors(const cbm_winograd *w)
{
    return (w->columns + w->lanes - 1) / w->lanes;
}

void cbm_winograd_pack(const cbm_winograd *w, const float *plain, float *packed)
{
    weight_job j = { w, weight_of(w, (float *)(uintptr_t)plain, packed) };
    cbm_parallel_for(column_vectors(w), cbm_grain(w->lanes * w->depth * PLACES), w->threads, pack_part, &j);
}

/* ---- a thread's part ---- */

typedef struct job {
    const cbm_winograd *w;
    cbm_winograd_tiles from, to;
    float *weight; /* matrices */
    float *space;
    cbm_winograd_output output;
} job;

typedef struct share {
    int64_t first, last;        /* tiles */
    int64_t column, column_end; /* of the product */
    cbm_winograd_matrices v, m;
} share;

static share share_of(const job *j, int64_t part)
{
    const cbm_winograd *w = j->w;
    const int64_t tile_part = part / w->column_parts, column_part = part % w->column_parts;
    const int64_t grains = (w->columns + COLUMN_GRAIN - 1) / COLUMN_GRAIN;
    share s = { .first = w->tiles * tile_part / w->tile_parts, .last = w->tiles * (tile_part + 1) / w->tile_parts };
    s.column = less(grains * column_part / w->column_parts * COLUMN_GRAIN, w->columns);
    s.column_end = less(grains * (column_part + 1) / w->column_parts * COLUMN_GRAIN, w->columns);
    s.v = w->v;
    s.m = w->m;
    s.v.p = j->space + part * w->thread_floats;
    s.m.p = s.v.p + w->m_at;
    return s;
}

/* Where a place's matrix of weights has its panel of columns from c on. */
static float *panel_of(const cbm_winograd *w, float *weight, int64_t place, int64_t c, int64_t *width)
{
    *width = less(2 * w->lanes, up(w->columns, w->lanes) - c);
    return weight + (c * PLACES + place * *width) * w->depth;
}

/* Tiles times columns [column, end) of the weights. */
static void multiply(const cbm_winograd *w, const share *s, float *weight, int64_t count, int64_t column, int64_t end)
{
    cbm_panel_product p = { .rows = count, .depth = w->depth, .a_row = s->v.row, .a_depth = 1, .c_row = s->m.row };
    int64_t width, next_width;
    p.ahead = panel_of(w, weight, 0, column, &width);
    for (int64_t place = 0; place < PLACES; place++)
        for (int64_t c = column; c < end; c += 2 * w->lanes) {
            const bool last = c + 2 * w->lanes >= end;
            p.b = panel_of(w, weight, place, c, &width);
            p.ahead = panel_of(w, weight, place + (last && place + 1 < PLACES), last ? column : c + 2 * w->lanes,
                               &next_width);
            p.ahead_row = w->depth * next_width / count;
            p.b_row = width;
            p.vectors = width / w->lanes;
            p.a = s->v.p + place * s->v.place;
            p.c = s->m.p + place * s->m.place + (c - column);
            w->simd->panel_product(&p);
        }
}

/* The weights' gradient: the sum over tiles of x's rows times dy's columns [s->column, s->column_end). */
static void multiply_gradient(const cbm_winograd *w, const share *s, float *weight, int64_t count, bool add)
{
    cbm_panel_product p = {
        .rows = w->depth, .depth = count, .a_row = 1, .a_depth = s->v.row, .b_row = s->m.row, .add = add
    };
    for (int64_t place = 0; place < PLACES; place++)
        for (int64_t c = s->column; c < s->column_end; c += 2 * w->lanes) {
            p.c = panel_of(w, weight, place, c, &p.c_row);
            p.vectors = p.c_row / w->lanes;
            p.a = s->v.p + place * s->v.place;
            p.b = s->m.p + place * s->m.place + (c - s->column);
            p.ahead = !w->by_columns ? p.c + 24 * p.c_row : p.a + LINE;
            p.ahead_row = !w->by_columns ? p.c_row : 1;
            p.ahead_depth = w->by_columns ? p.a_depth : 0;
            w->simd->panel_product(&p);
        }
}

static void activations_part(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const cbm_winograd *w = j->w;
    for (int64_t part = begin; part < end; part++) {
        const share s = share_of(j, part);
        for (int64_t t = s.first; t < s.last; t += w->block) {
            const int64_t count = less(w->block, s.last - t);
            w->simd->winograd_input(&j->from, t, count, &s.v);
            for (int64_t c = s.column; c < s.column_end; c += w->chunk) {
                const int64_t last = less(c + w->chunk, s.column_end);
                multiply(w, &s, j->weight, count, c, last);
                w->simd->winograd_output(&j->to, t, count, c, last, &s.m, &j->output);
            }
        }
    }
}

/* Some of the channels, as if there were no others. */
static cbm_winograd_tiles columns_of(const cbm_winograd_tiles *all, int64_t column, int64_t end)
{
    cbm_winograd_tiles some = *all;
    some.p += (column >> some.group_shift) * some.group + (some.group == 0 ? column : 0);
    some.channels = end - column;
    return some;
}

static void weight_part(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const cbm_winograd *w = j->w;
    for (int64_t part = begin; part < end; part++) {
        const share s = share_of(j, part);
        const cbm_winograd_tiles dy = columns_of(&j->to, s.column, s.column_end);
        float *weight = j->weight + part / w->column_parts * w->matrices;
        for (int64_t t = s.first; t < s.last; t += w->block) {
            const int64_t count = less(w->block, s.last - t);
            w->simd->winograd_input(&j->from, t, count, &s.v);
            w->simd->winograd_gradient(&dy, t, count, &s.m);
            multiply_gradient(w, &s, weight, count, t > s.first);
        }
    }
}

/* ---- by columns ---- */

static void transform_part(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    cbm_winograd_matrices v = j->w->v;
    v.p = j->space + begin * v.row;
    j->w->simd->winograd_input(&j->from, begin, end - begin, &v);
}

/* A pointer to matrices of all columns of which there are only those from `column` on. */
static float *as_if_whole(const cbm_winograd *w, float *chunk, int64_t column)
{
    return (float *)((uintptr_t)chunk - (uintptr_t)(column * PLACES * w->depth) * sizeof(float));
}

static void chunk_of_activations(const job *j, const share *s, float *chunk, int64_t column, int64_t end)
{
    const cbm_winograd *w = j->w;
    float *weight = as_if_whole(w, chunk, column);
    cbm_winograd_weight pack = weight_of(w, j->weight, weight);
    w->simd->winograd_weight(&pack, column / w->lanes, (end + w->lanes - 1) / w->lanes);
    share now = *s;
    for (int64_t t = 0; t < w->tiles; t += w->block) {
        const int64_t count = less(w->block, w->tiles - t);
        now.v.p = s->v.p + t * s->v.row;
        multiply(w, &now, weight, count, column, end);
        w->simd->winograd_output(&j->to, t, count, column, end, &now.m, &j->output);
    }
}

static void chunk_of_gradient(const job *j, const share *s, float *chunk, int64_t column, int64_t end)
{
    const cbm_winograd *w = j->w;
    float *sums = as_if_whole(w, chunk, column);
    const share now = { .column = column, .column_end = end, .v = s->v, .m = s->m };
    const cbm_winograd_tiles dy = columns_of(&j->to, column, end);
    w->simd->winograd_gradient(&dy, 0, w->tiles, &now.m);
    multiply_gradient(w, &now, sums, w->tiles, false);
    cbm_winograd_weight unpack = weight_of(w, j->weight, sums);
    w->simd->winograd_weight_gradient(&unpack, column / w->lanes, (end + w->lanes - 1) / w->lanes);
}

static void column_part(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const cbm_winograd *w = j->w;
    const int64_t chunks = (w->columns + w->chunk - 1) / w->chunk;
    for (int64_t part = begin; part < end; part++) {
        float *own = j->space + w->thread_at + part * w->thread_floats;
        share s = { .v = w->v, .m = w->m };
        s.v.p = j->space;
        s.m.p = own + w->m_at;
        for (int64_t k = chunks * part / w->column_parts; k < chunks * (part + 1) / w->column_parts; k++) {
            const int64_t c = k * w->chunk;
            (w->conv.direction == CBM_DNN_WEIGHT_GRAD ? chunk_of_gradient : chunk_of_activations)(
                j, &s, own, c, less(c + w->chunk, w->columns));
        }
    }
}

void cbm_winograd_run(const cbm_winograd *w, float *x, float *weight, float *y, const float *bias, void *workspace)
{
    const cbm_winograd_conv *c = &w->conv;
    const bool turned = c->direction == CBM_DNN_INPUT_GRAD, gradient = c->direction == CBM_DNN_WEIGHT_GRAD;
    float *space = workspace;
    job j = { .w = w, .from = w->from, .to = w->to, .weight = space, .space = space + w->thread_at };
    j.from.p = turned ? y : x;
    j.to.p = turned ? x : y;
    const bool forward = c->direction == CBM_DNN_FORWARD;
    j.output = (cbm_winograd_output){ .bias = forward && c->bias ? bias : NULL,
                                      .add = forward && c->add,
                                      .lower = forward && c->relu ? 0.0f : -INFINITY,
                                      .upper = forward && c->relu && c->upper > 0 ? c->upper : INFINITY };
    if (w->by_columns) {
        j.weight = weight;
        j.space = space;
        cbm_parallel_for(w->tiles, cbm_grain(w->depth * PLACES), w->threads, transform_part, &j);
        cbm_parallel_for(w->column_parts, 1, w->threads, column_part, &j);
        return;
    }
    const int64_t parts = w->tile_parts * w->column_parts;
    if (!gradient && c->packed_weight)
        j.weight = weight;
    else if (!gradient)
        cbm_winograd_pack(w, weight, j.weight);
    cbm_parallel_for(parts, 1, w->threads, gradient ? weight_part : activations_part, &j);
    if (gradient) {
        weight_job k = { w, weight_of(w, weight, j.weight) };
        cbm_parallel_for(column_vectors(w), cbm_grain(w->lanes * w->depth * PLACES), w->threads, unpack_part, &k);
    }
}
