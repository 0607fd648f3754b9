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

enum { PARTS_MOST = 64 };

static int64_t within(int64_t v, int64_t low, int64_t high)
{
    return v < low ? low : v > high ? high : v;
}

/* What parts of a unit are counted in: terms of a strip, elements of a scalar cell. */
static int64_t divisible(const cbm_reduction *r)
{
    return r->row ? r->terms : r->terms * r->length;
}

cbm_cut cbm_reduction_cut(const cbm_reduction *r, int64_t least)
{
    cbm_cut cut = { .strips = r->row ? (r->length + CBM_STRIP - 1) / CBM_STRIP : 1 };
    const int64_t cells = r->cells * cut.strips;
    const int64_t work = divisible(r) * (r->row ? within(r->length, 0, CBM_STRIP) : 1);
    cut.parts = cells > PARTS_MOST ? 1 : within(work / least, 1, within(divisible(r), 1, PARTS_MOST));
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
    const int64_t cell = unit / cut->parts / cut->strips, column = strip * CBM_STRIP;
    cbm_runs runs = { .r = r, .base = cbm_cell_offset(r, cell), .part = part, .result = cell };
    runs.at = runs.begin = part * divisible(r) / cut->parts;
    runs.end = (part + 1) * divisible(r) / cut->parts;
    if (r->row) {
        runs.base += column;
        runs.result = cell * r->length + column;
        runs.n = r->length - column < CBM_STRIP ? r->length - column : CBM_STRIP;
    }
    return runs;
}

bool cbm_next_run(cbm_runs *runs)
{
    const cbm_reduction *r = runs->r;
    const int64_t left = runs->end - runs->at;
    if (left <= 0)
        return false;
    runs->before = runs->at - runs->begin;
    if (r->row) {
        const cbm_merged_axis last = r->n_reduced > 0 ? r->reduced[r->n_reduced - 1] : (cbm_merged_axis){ 1, 0 };
        const int64_t rows = last.extent - runs->at % last.extent;
        runs->offset = runs->base + cbm_term_offset(r, runs->at);
        runs->rows = rows < left ? rows : left;
        runs->step = last.stride;
        runs->at += runs->rows;
    } else {
        const int64_t from = runs->at % r->length;
        runs->offset = runs->base + cbm_term_offset(r, runs->at / r->length) + from;
        runs->n = r->length - from < left ? r->length - from : left;
        runs->rows = 1;
        runs->at += runs->n;
    }
    return true;
}
