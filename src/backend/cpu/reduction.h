/* reduction.h: a reduction over axes as few loops: the axes are merged until kept and reduced ones alternate; then a result
   is one cell, or a row of cells, that adds up terms: rows of contiguous elements. reduction.c. */
#ifndef CAMBIUM_CPU_REDUCTION_H
#define CAMBIUM_CPU_REDUCTION_H

#include "backend/cpu/cpu.h"

typedef struct cbm_merged_axis {
    int64_t extent, stride;
} cbm_merged_axis;

typedef struct cbm_reduction {
    cbm_merged_axis kept[CBM_MAX_DIMS], reduced[CBM_MAX_DIMS]; /* without the last axis */
    int64_t n_kept, n_reduced;
    int64_t cells, terms; /* products of the extents */
    int64_t length;       /* of the last axis */
    bool row;             /* the last axis is kept: a cell is a row of results */
    int64_t members;      /* elements that make a result */
} cbm_reduction;

void cbm_reduction_make(const cbm_buffer *x, const cbm_shape *axes, cbm_reduction *r);

/* Where cell or term `number` begins, in elements. */
static inline int64_t cbm_merged_offset(const cbm_merged_axis *axes, int64_t n, int64_t number)
{
    int64_t offset = 0;
    for (int64_t i = n - 1; i >= 0; i--) {
        offset += number % axes[i].extent * axes[i].stride;
        number /= axes[i].extent;
    }
    return offset;
}
static inline int64_t cbm_cell_offset(const cbm_reduction *r, int64_t cell)
{
    return cbm_merged_offset(r->kept, r->n_kept, cell);
}
static inline int64_t cbm_term_offset(const cbm_reduction *r, int64_t term)
{
    return cbm_merged_offset(r->reduced, r->n_reduced, term);
}

/* ---- the work in units: some terms or elements (a part) of a cell, of a row cell a strip of columns. How it is cut depends on
   shapes only. ---- */

typedef struct cbm_cut {
    int64_t strip, strips, parts; /* columns of a strip; strips of each cell, and parts of each strip */
    int64_t units, results;
} cbm_cut;
/* Parts of at least `least` elements, when cells are few. */
cbm_cut cbm_reduction_cut(const cbm_reduction *r, int64_t least, int64_t strip);
/* How many elements of a result are in a part. */
double cbm_part_count(const cbm_reduction *r, const cbm_cut *cut, int64_t part);

/* A unit as runs: `rows` rows of n elements, `step` apart, the first at `offset`; `before` elements of each result came in
   earlier runs. All elements of a scalar cell's run go into the result, those of a row cell's into results number result,
   result + 1, ... */
typedef struct cbm_runs {
    const cbm_reduction *r;
    int64_t base, at, begin, end;
    int64_t part, result;
    int64_t offset, rows, step, n, before;
} cbm_runs;
cbm_runs cbm_runs_of(const cbm_reduction *r, const cbm_cut *cut, int64_t unit);
bool cbm_next_run(cbm_runs *runs);

#endif
