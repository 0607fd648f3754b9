/* unfused.c: why a step was not made one with those before it: shapes, kernels in between, other readers. The rules are
   those of fuse.c, asked one pair of operations at a time. Rests on build.h. */
#include "op/families.h"
#include "plan/report.h"

#define SEARCH_LIMIT                                                                                                   \
    4096 /* operations between two neighbours; beyond it the way from one to the other is not looked for */

static const cbm_node *node_at(const cbm_build *b, int32_t i)
{
    return CBM_AT(&b->g->nodes, cbm_node *, i);
}

static bool joins(const cbm_node *n)
{
    return cbm_is_pointwise(n) && !cbm_is_inline_scalar(n);
}

static bool same_pass(const cbm_node *a, const cbm_node *b)
{
    return joins(a) && joins(b) && cbm_shape_equal(&a->out[0].shape, &b->out[0].shape);
}

static bool is_view(const cbm_node *n)
{
    return (n->op->flags & CBM_OP_VIEW) && n->op->view;
}

static int32_t producer_of(const cbm_node *n, size_t k)
{
    cbm_ref ref = cbm_ref_input(n, k);
    return ref < 0 ? -1 : ref / CBM_MAX_OUTPUTS;
}

/* The step that does node i's work: a kernel may have taken over the pass behind it. */
static int32_t unit_doing(const cbm_build *b, int32_t i)
{
    const int32_t own = b->unit_of[i];
    if (CBM_AT(&b->units, cbm_unit, own).absorbed)
        for (int32_t k = 0; k < (int32_t)b->units.count; k++)
            if (CBM_AT(&b->units, cbm_unit, k).absorbs == own + 1)
                return k;
    return own;
}

/* An operation on a way from p to i that cannot be in their pass; -1: there is none. */
static int32_t between(const cbm_build *b, int32_t p, int32_t i)
{
    int32_t span = i - p, found = -1;
    uint8_t *marks = span > 1 && span <= SEARCH_LIMIT ? cbm_heap_take_zero(b->heap, (size_t)span + 1) : NULL;
    if (!marks)
        return -1;
    enum { AFTER_P = 1, BEFORE_I = 2 };
    marks[0] = AFTER_P;
    for (int32_t j = p + 1; j <= i; j++)
        for (size_t k = 0; k < node_at(b, j)->n_in; k++) {
            int32_t from = producer_of(node_at(b, j), k);
            if (from >= p && (marks[from - p] & AFTER_P))
                marks[j - p] |= AFTER_P;
        }
    marks[span] |= BEFORE_I;
    for (int32_t j = i; j > p; j--)
        for (size_t k = 0; (marks[j - p] & BEFORE_I) && k < node_at(b, j)->n_in; k++) {
            int32_t from = producer_of(node_at(b, j), k);
            if (from > p)
                marks[from - p] |= BEFORE_I;
        }
    for (int32_t j = p + 1; j < i && found < 0; j++)
        if (marks[j - p] == (AFTER_P | BEFORE_I) && !same_pass(node_at(b, j), node_at(b, i)) && !is_view(node_at(b, j)))
            found = j;
    cbm_heap_give(b->heap, marks, (size_t)span + 1);
    return found;
}

/* A reader of p outside of i's step, or -1. */
static int32_t other_reader(const cbm_build *b, int32_t p, int32_t i)
{
    for (int32_t j = p + 1; j < (int32_t)b->g->nodes.count; j++)
        for (size_t k = 0; k < node_at(b, j)->n_in; k++)
            if (producer_of(node_at(b, j), k) == p && unit_doing(b, j) != unit_doing(b, i))
                return j;
    return -1;
}

/* Why pointwise operations p and i, of which i reads p, are not in one pass. */
static bool reason(const cbm_build *b, int32_t p, int32_t i, cbm_text *t)
{
    char x[160], y[160];
    const cbm_node *from = node_at(b, p), *to = node_at(b, i);
    if (b->cx->naive)
        return cbm_text_append(t, "this context does not fuse");
    if (!cbm_shape_equal(&from->out[0].shape, &to->out[0].shape))
        return cbm_text_append(t, "shapes differ, %s and %s", cbm_shape_text(&from->out[0].shape, x, sizeof x),
                               cbm_shape_text(&to->out[0].shape, y, sizeof y));
    int32_t way = between(b, p, i);
    if (way >= 0)
        return cbm_text_append(t, "a way from one to the other leads through [%s]", node_at(b, way)->op->name);
    int32_t reader = other_reader(b, p, i);
    if (reader >= 0)
        return cbm_text_append(t, "two readers, and [%s] needs it at another time", node_at(b, reader)->op->name);
    return cbm_text_append(t, "the pass would overwrite a variable too early, or grow too large");
}

static bool neighbour(const cbm_build *b, int32_t p, int32_t i, const cbm_node *view, cbm_text *t)
{
    const cbm_node *from = node_at(b, p), *to = node_at(b, i);
    if (!joins(from) && !joins(to))
        return true; /* two kernels */
    if (!cbm_text_append(t, "%swith [%s] before [%s]: ", t->chars.count ? "\n" : "", from->op->name, to->op->name))
        return false;
    if (!joins(from))
        return cbm_text_append(t, "[%s] is a kernel that does not do this to its result", from->op->name);
    if (!joins(to))
        return cbm_text_append(t, "[%s] is a kernel that reads whole operands", to->op->name);
    if (view)
        return cbm_text_append(t, "[%s] between them changes which element goes with which", view->op->name);
    return reason(b, p, i, t);
}

/* true, and remembered: this pair of steps has been spoken of. */
static bool seen(cbm_array *pairs, int32_t unit)
{
    for (size_t k = 0; k < pairs->count; k++)
        if (CBM_AT(pairs, int32_t, k) == unit)
            return true;
    cbm_array_push(pairs, &unit);
    return false;
}

bool cbm_report_unfused(const cbm_build *b, const cbm_unit *u, cbm_text *t)
{
    cbm_array pairs = CBM_ARRAY(b->heap, int32_t);
    bool ok = true;
    for (int32_t m = 0; m < u->count; m++) {
        int32_t i = CBM_AT(&b->members, int32_t, u->first + m);
        const cbm_node *n = node_at(b, i);
        for (size_t k = 0; k < n->n_in && ok; k++) {
            int32_t p = producer_of(n, k);
            const cbm_node *view = NULL;
            while (p >= 0 && is_view(node_at(b, p))) {
                view = node_at(b, p);
                p = producer_of(view, 0);
            }
            if (p >= 0 && unit_doing(b, p) != unit_doing(b, i) && !cbm_is_inline_scalar(node_at(b, p)) &&
                !seen(&pairs, unit_doing(b, p)))
                ok = neighbour(b, p, i, view, t);
        }
    }
    cbm_array_free(&pairs);
    return ok;
}
