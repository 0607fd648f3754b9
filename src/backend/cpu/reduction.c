/* reduction.c: see reduction.h. */
#include "backend/cpu/reduction.h"

void cbm_reduction_make(const cbm_buffer *x, const cbm_shape *axes, cbm_reduction *p)
{
    cbm_merged_axis merged[CBM_MAX_DIMS];
    bool reduced[CBM_MAX_DIMS];
    int64_t n = 0, stride = x->count;
    *p = (cbm_reduction){ .cells = 1, .terms = 1, .length = 1, .members = 1 };
    for (int64_t d = 0; d < x->rank; d++) {
        if (x->shape[d] > 0)
            stride /= x->shape[d];
        const bool r = cbm_is_reduced(axes, d);
        if (r)
            p->members *= x->shape[d];
        if (x->shape[d] == 1)
            continue;
        if (n > 0 && reduced[n - 1] == r) {
            merged[n - 1] = (cbm_merged_axis){ merged[n - 1].extent * x->shape[d], stride };
            continue;
        }
        merged[n] = (cbm_merged_axis){ x->shape[d], stride };
        reduced[n++] = r;
    }
    if (n > 0) {
        p->length = merged[n - 1].extent;
        p->row = !reduced[n - 1];
    }
    for (int64_t i = 0; i + 1 < n; i++) {
        if (reduced[i]) {
            p->reduced[p->n_reduced++] = merged[i];
            p->terms *= merged[i].extent;
        } else {
            p->kept[p->n_kept++] = merged[i];
            p->cells *= merged[i].extent;
        }
    }
}

/* ---- units ---- */

enum {
    UNITS_ENOUGH = 64,
    ROWS_LEAST = 16 /* of a part: parts of fewer would be worth a good deal of what they are made of */
};

static int64_t within(int64_t v, int64_t low, int64_t high)
{
    return v < low ? low : v > high ? high : v;
}

/* What parts of a unit are counted in: terms of a strip, elements of a scalar cell. */
static int64_t divisible(const cbm_reduction *r)
{
    return r->row ? r->terms : r->terms * r->length;
}

cbm_cut cbm_reduction_cut(const cbm_reduction *r, int64_t least, int64_t strip)
{
    cbm_cut cut = { .strip = strip, .strips = r->row ? (r->length + strip - 1) / strip : 1 };
    const int64_t cells = r->cells * cut.strips;
    const int64_t work = divisible(r) * (r->row ? within(r->length, 0, strip) : 1);
    const int64_t most = cells > 0 ? UNITS_ENOUGH / cells : 1;
    cut.parts = within(work / least, 1,
                       within(r->row ? r->terms / ROWS_LEAST : divisible(r), 1, within(most, 1, UNITS_ENOUGH)));
    cut.units = cells * cut.parts;
    cut.results = r->cells * (r->row ? r->length : 1);
    return cut;
}

double cbm_part_count(const cbm_reduction *r, const cbm_cut *cut, int64_t part)
{
    return (double)((part + 1) * divisible(r) / cut->parts - part * divisible(r) / cut->parts);
}

cbm_runs cbm_runs_of(const cbm_reduction *r, const cbm_cut *cut, int64_t unit)
{
    const int64_t part = unit % cut->parts, strip = unit / cut->parts % cut->strips;
    const int64_t cell = unit / cut->parts / cut->strips, column = strip * cut->strip;
    cbm_runs runs = { .r = r, .base = cbm_cell_offset(r, cell), .part = part, .result = cell };
    runs.at = runs.begin = part * divisible(r) / cut->parts;
    runs.end = (part + 1) * divisible(r) / cut->parts;
    if (r->row) {
        runs.base += column;
        runs.result = cell * r->length + column;
        runs.n = r->length - column < cut->strip ? r->length - column : cut->strip;
    }
    return runs;
}

bool cbm_next_run(cbm_runs *runs)
{
    const cbm_reduction *r = runs->r;
    const cbm_merged_axis last = r->n_reduced > 0 ? r->reduced[r->n_reduced - 1] : (cbm_merged_axis){ 1, 0 };
    const int64_t left = runs->end - runs->at, length = r->row ? 1 : r->length; /* of a term, as `at` counts */
    const int64_t term = runs->at / length, from = runs->at % length, rows = last.extent - term % last.extent;
    if (left <= 0)
        return false;
    runs->before = runs->at - runs->begin;
    runs->offset = runs->base + cbm_term_offset(r, term) + from;
    runs->step = last.stride;
    runs->rows = rows < left / length ? rows : left / length;
    if (!r->row)
        runs->n = length;
    if (from > 0 || runs->rows == 0) { /* less than a row */
        runs->rows = 1;
        runs->n = length - from < left ? length - from : left;
    }
    runs->at += runs->rows * (r->row ? 1 : runs->n);
    return true;
}
