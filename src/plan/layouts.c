/* layouts.c: which physical layout each unit's (N, C, ...) operands of three to five dimensions have. Units that feed each other and can work in one
   layout form a chain; a chain takes the layout in which its kernels gain more, counted in elements that need no
   reordering, than its borders cost. Values then lie as their producer made them, and a reader that wants another layout
   gets a reordered copy (steps.c), so reorders stand only where a chain begins or ends. Rests on backend/backend.h. */
#include "plan/build.h"

/* In the order of preference when they serve equally well. */
static const cbm_layout candidates[] = { CBM_LAYOUT_BLOCKED_16, CBM_LAYOUT_BLOCKED_8, CBM_LAYOUT_CHANNELS_LAST };
enum { CANDIDATES = sizeof candidates / sizeof *candidates };

/* What one unit can do in one layout. */
typedef struct choice {
    bool fits;
    uint32_t in, out; /* kernels: the operands that are in the layout; passes: all of the pass's shape */
    int gains;        /* how much each element in the layout is worth, where a reorder of it costs COST */
} choice;
#define COST 10

typedef struct chooser {
    cbm_build *b;
    choice *choices; /* CANDIDATES a unit */
    int32_t *parent; /* union-find over units */
    double *score;   /* CANDIDATES a unit; counted at a chain's root */
} chooser;

static cbm_node *node_at(const cbm_build *b, int32_t i)
{
    return CBM_AT(&b->g->nodes, cbm_node *, i);
}

static int32_t member_at(const cbm_build *b, const cbm_unit *u, int32_t m)
{
    return CBM_AT(&b->members, int32_t, u->first + m);
}

static bool is_picture(const cbm_shape *shape)
{
    return shape->v[0] >= 3 && shape->v[0] <= 5;
}

int64_t cbm_layout_block(cbm_layout layout)
{
    return layout == CBM_LAYOUT_BLOCKED_16 ? 16 : layout == CBM_LAYOUT_BLOCKED_8 ? 8 : 1;
}

static bool sums_take(const cbm_build *b, const cbm_unit *u, cbm_layout layout)
{
    size_t count, first = cbm_sums_of(b, u, &count);
    bool take = true;
    for (size_t i = first; i < first + count; i++)
        take = take && cbm_sum_takes(&CBM_AT(&b->sums, cbm_sum, i), layout);
    return take;
}

/* Random numbers belong to places in the plain order, and variables are overwritten where they lie. */
static void consider_pass(const cbm_build *b, const cbm_unit *u, choice *c)
{
    const cbm_shape *shape = &node_at(b, member_at(b, u, 0))->out[0].shape;
    bool fits = is_picture(shape) && !u->commit && cbm_shape_count(shape) > 0;
    for (int32_t m = 0; m < u->count; m++)
        fits = fits && !(node_at(b, member_at(b, u, m))->op->flags & CBM_OP_RANDOM);
    for (int k = 0; k < CANDIDATES && fits; k++)
        c[k].fits = shape->v[2] % cbm_layout_block(candidates[k]) == 0 && sums_take(b, u, candidates[k]);
}

static void consider_kernel(const cbm_build *b, const cbm_unit *u, choice *c)
{
    const cbm_node *n = node_at(b, member_at(b, u, 0));
    cbm_buffer windows[CBM_MAX_INPUTS + CBM_MAX_OUTPUTS];
    if (n->op->kernel || (n->op->flags & CBM_OP_VIEW))
        return;
    for (size_t k = 0; k < n->n_in + (size_t)n->n_out; k++) {
        cbm_window_of(k < n->n_in ? n->in[k] : &n->out[k - n->n_in], &windows[k]);
        if (!windows[k].count)
            return;
    }
    const cbm_launch shapes = { .op = n->op,
                                .attributes = n->attributes,
                                .n_in = n->n_in,
                                .n_out = n->n_out,
                                .in = windows,
                                .out = windows + n->n_in,
                                .threads = b->cx->threads };
    const cbm_kernel *kernel = cbm_backend_kernel(b->plan->backend, &shapes);
    for (int k = 0; k < CANDIDATES && kernel && kernel->layout; k++)
        c[k].fits = kernel->layout(&shapes, candidates[k], &c[k].in, &c[k].out, &c[k].gains);
}

/* Operand ADDED of a kernel is what it adds to its first result (absorb.c). */
#define ADDED ((size_t)CBM_MAX_INPUTS)

static bool takes(const cbm_unit *u, const choice *c, const cbm_node *n, size_t k)
{
    if (!c->fits || k == ADDED)
        return c->fits && (c->out & 1);
    return u->group >= 0 ? cbm_shape_equal(&n->in[k]->shape, &n->out[0].shape) : k < 32 && (c->in >> k & 1);
}

static bool makes(const cbm_unit *u, const choice *c, int32_t result)
{
    return c->fits && (u->group >= 0 || (c->out >> result & 1));
}

static int32_t root_of(int32_t *parent, int32_t i)
{
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

static int32_t maker_of(const cbm_build *b, cbm_ref ref)
{
    return ref < 0 ? -1 : b->unit_of[ref / CBM_MAX_OUTPUTS];
}

/* Calls each for every operand that one unit makes and another takes (v < 0: nobody here makes it). */
static void each_edge(chooser *c,
                      void (*each)(chooser *c, int32_t v, int32_t result, int32_t u, const cbm_node *n, size_t k))
{
    cbm_build *b = c->b;
    for (int32_t u = 0; u < (int32_t)b->units.count; u++) {
        const cbm_unit *unit = &CBM_AT(&b->units, cbm_unit, u);
        for (int32_t m = 0; m < unit->count && !unit->absorbed; m++) {
            const cbm_node *n = node_at(b, member_at(b, unit, m));
            for (size_t k = 0; k < n->n_in && !cbm_passed_by(b, member_at(b, unit, m)); k++) {
                const cbm_ref ref = cbm_ref_input(n, k);
                const int32_t v = maker_of(b, ref);
                if (v != u && is_picture(&n->in[k]->shape))
                    each(c, v, ref < 0 ? 0 : ref % CBM_MAX_OUTPUTS, u, n, k);
            }
            if (unit->absorbs && unit->after.add)
                each(c, maker_of(b, unit->added), unit->added < 0 ? 0 : unit->added % CBM_MAX_OUTPUTS, u, n, ADDED);
        }
    }
}

static void join_chain(chooser *c, int32_t v, int32_t result, int32_t u, const cbm_node *n, size_t k)
{
    const cbm_unit *units = c->b->units.data;
    for (int i = 0; v >= 0 && i < CANDIDATES; i++)
        if (makes(&units[v], &c->choices[v * CANDIDATES + i], result) &&
            takes(&units[u], &c->choices[u * CANDIDATES + i], n, k)) {
            const int32_t x = root_of(c->parent, u), y = root_of(c->parent, v);
            c->parent[x > y ? x : y] = x > y ? y : x;
        }
}

/* A border: a reorder stands here if the chains of its ends take layout i. */
static void count_border(chooser *c, int32_t v, int32_t result, int32_t u, const cbm_node *n, size_t k)
{
    const cbm_unit *units = c->b->units.data;
    const double elements = (double)(k == ADDED ? n->out[0].count : n->in[k]->count);
    for (int i = 0; i < CANDIDATES; i++) {
        const bool made = v >= 0 && makes(&units[v], &c->choices[v * CANDIDATES + i], result);
        const bool taken = takes(&units[u], &c->choices[u * CANDIDATES + i], n, k);
        if (made != taken)
            c->score[root_of(c->parent, made ? v : u) * CANDIDATES + i] -= COST * elements;
        if (taken)
            c->score[root_of(c->parent, u) * CANDIDATES + i] += c->choices[u * CANDIDATES + i].gains * elements;
    }
}

static bool is_result(const cbm_build *b, const cbm_unit *u, int32_t node, int32_t k)
{
    return b->results[u->absorbs && k == 0 ? u->absorbed_result : CBM_REF_NODE(node, k)] >= 0;
}

/* What kernels gain by results, and what results that must be plain in the end cost. */
static void count_results(chooser *c, int32_t u)
{
    const cbm_build *b = c->b;
    const cbm_unit *unit = &CBM_AT(&b->units, cbm_unit, u);
    for (int32_t m = 0; m < unit->count && !unit->absorbed; m++) {
        const int32_t node = member_at(b, unit, m);
        const cbm_node *n = node_at(b, node);
        for (int32_t k = 0; k < n->n_out; k++)
            for (int i = 0; i < CANDIDATES; i++) {
                const choice *at = &c->choices[u * CANDIDATES + i];
                if (!makes(unit, at, k))
                    continue;
                const double worth = at->gains - (is_result(b, unit, node, k) ? COST : 0);
                c->score[root_of(c->parent, u) * CANDIDATES + i] += worth * (double)n->out[k].count;
            }
    }
}

static void settle(chooser *c)
{
    cbm_build *b = c->b;
    for (int32_t u = 0; u < (int32_t)b->units.count; u++) {
        cbm_unit *unit = &CBM_AT(&b->units, cbm_unit, u);
        const double *score = &c->score[root_of(c->parent, u) * CANDIDATES];
        int best = 0;
        for (int i = 1; i < CANDIDATES; i++)
            best = score[i] > score[best] ? i : best;
        const choice *at = &c->choices[u * CANDIDATES + best];
        if (score[best] <= 0 || !at->fits)
            continue;
        unit->layout = candidates[best];
        unit->layout_in = at->in;
        unit->layout_out = at->out;
    }
}

bool cbm_choose_layouts(cbm_build *b)
{
    const size_t units = b->units.count + 1;
    if (b->cx->naive || !b->plan->backend->reorder)
        return true;
    chooser c = { .b = b,
                  .choices = cbm_heap_take_zero(b->heap, units * CANDIDATES * sizeof *c.choices),
                  .parent = cbm_heap_take(b->heap, units * sizeof *c.parent),
                  .score = cbm_heap_take_zero(b->heap, units * CANDIDATES * sizeof *c.score) };
    const bool ok = c.choices && c.parent && c.score;
    bool wanted = false;
    for (int32_t u = 0; u < (int32_t)b->units.count && ok; u++) {
        const cbm_unit *unit = &CBM_AT(&b->units, cbm_unit, u);
        choice *at = &c.choices[u * CANDIDATES];
        c.parent[u] = u;
        if (!unit->absorbed)
            (unit->group >= 0 ? consider_pass : consider_kernel)(b, unit, at);
        for (int i = 0; i < CANDIDATES; i++)
            wanted = wanted || (at[i].fits && at[i].gains > 0);
    }
    if (ok && wanted) {
        each_edge(&c, join_chain);
        each_edge(&c, count_border);
        for (int32_t u = 0; u < (int32_t)b->units.count; u++)
            count_results(&c, u);
        settle(&c);
    }
    cbm_heap_give(b->heap, c.choices, units * CANDIDATES * sizeof *c.choices);
    cbm_heap_give(b->heap, c.parent, units * sizeof *c.parent);
    cbm_heap_give(b->heap, c.score, units * CANDIDATES * sizeof *c.score);
    return ok;
}

cbm_layout cbm_layout_taken(const cbm_unit *u, const cbm_node *n, size_t k)
{
    const bool in =
        u->group >= 0 ? cbm_shape_equal(&n->in[k]->shape, &n->out[0].shape) : k < 32 && (u->layout_in >> k & 1);
    return in ? u->layout : CBM_LAYOUT_PLAIN;
}

cbm_layout cbm_layout_made(const cbm_unit *u, int32_t result)
{
    return u->group >= 0 || (u->layout_out >> result & 1) ? u->layout : CBM_LAYOUT_PLAIN;
}

/* w's axes in the order of memory of a layout, the channels in blocks as two axes. */
void cbm_layout_window(cbm_layout layout, const cbm_buffer *w, cbm_buffer *out)
{
    *out = *w;
    if (layout == CBM_LAYOUT_PLAIN)
        return;
    const int64_t block = cbm_layout_block(layout);
    for (int64_t d = 1; d + 1 < w->rank && block == 1; d++) { /* the channels, axis 1, come last */
        out->shape[d] = w->shape[d + 1];
        out->stride[d] = w->stride[d + 1];
    }
    const int64_t last = block > 1 ? out->rank++ : w->rank - 1;
    out->layout = CBM_LAYOUT_PLAIN;
    out->shape[last] = block > 1 ? block : w->shape[1];
    out->stride[last] = w->stride[1];
    if (block > 1) {
        out->shape[1] /= block;
        out->stride[1] *= block;
    }
    out->contiguous = w->layout == (int32_t)layout;
    if (!out->contiguous)
        return;
    int64_t stride = 1;
    for (int64_t d = out->rank; d-- > 0; stride *= out->shape[d])
        out->stride[d] = stride;
}
