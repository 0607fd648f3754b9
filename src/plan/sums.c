/* sums.c: which sums and means a pass makes itself, while it has the elements: those over everything (a loss), over all axes
   but the last ones, and over all but the channels (the gradient of what was broadcast, a bias). Nothing else a sum reads can
   come from behind the pass, so joining them makes no circle. Rests on build.h. */
#include "op/families.h"
#include "plan/build.h"
#include <stdlib.h>
#include <string.h>

enum {
    NARROWEST = 16, /* columns: fewer are added up faster by a kernel that has whole rows side by side */
    FEWEST = 8,     /* rows: the pass keeps a row of sums for every so many */
    SHORTEST = 16   /* places of a channel */
};

static cbm_node *node_at(const cbm_build *b, int32_t i)
{
    return CBM_AT(&b->g->nodes, cbm_node *, i);
}

/* The rows that are added up, when axes with more than one element are reduced that lie before all others; 0: they do not. */
static int64_t rows_of(const cbm_shape *shape, const cbm_shape *axes)
{
    int64_t rows = 1, columns = 1;
    for (int64_t d = 0; d < shape->v[0]; d++) {
        if (!cbm_is_reduced(axes, d))
            columns *= shape->v[1 + d];
        else if (columns > 1 && shape->v[1 + d] != 1)
            return 0;
        else
            rows *= shape->v[1 + d];
    }
    return rows < FEWEST || columns < 1 || (columns > 1 && columns < NARROWEST) ? 0 : rows;
}

/* Of (N, C, ...) all axes but the channels. */
static bool keeps_channels(const cbm_shape *shape, const cbm_shape *axes)
{
    bool keeps = shape->v[0] >= 3 && shape->v[2] > 1;
    for (int64_t d = 0; d < shape->v[0]; d++)
        keeps = keeps && cbm_is_reduced(axes, d) == (d != 1);
    return keeps;
}

/* How the sum over these axes goes; false: not here. */
static bool find_rows(const cbm_shape *shape, const cbm_shape *axes, cbm_sum *sum)
{
    const int64_t count = cbm_shape_count(shape);
    sum->rows = rows_of(shape, axes);
    if (!sum->rows && count > 0 && keeps_channels(shape, axes)) {
        sum->channels = shape->v[2];
        sum->rows = count / sum->channels;
        sum->places = sum->rows / shape->v[1];
        if (sum->places < SHORTEST || sum->rows < FEWEST)
            return false;
    }
    sum->total = sum->rows == count;
    return sum->rows > 0;
}

static bool describe(const cbm_build *b, int32_t node, cbm_sum *sum)
{
    const cbm_node *n = node_at(b, node);
    const bool mean = strcmp(n->op->name, "mean") == 0;
    if ((!mean && strcmp(n->op->name, "sum") != 0) || n->op->kernel || n->in[0]->dtype != CBM_F32 ||
        n->out[0].dtype != CBM_F32)
        return false;
    const cbm_ref of = cbm_ref_input(n, 0);
    const cbm_reduce_attributes *a = n->attributes;
    *sum = (cbm_sum){ .unit = of < 0 ? -1 : b->unit_of[of / CBM_MAX_OUTPUTS], .node = node, .of = of };
    if (sum->unit < 0 || !find_rows(&n->in[0]->shape, &a->axes, sum))
        return false;
    sum->factor = mean ? 1.0 / (double)sum->rows : 1;
    const cbm_unit *u = &CBM_AT(&b->units, cbm_unit, sum->unit);
    return u->group >= 0 && !u->absorbed && !u->commit && !cbm_is_inline_scalar(node_at(b, of / CBM_MAX_OUTPUTS));
}

bool cbm_sum_takes(const cbm_sum *sum, cbm_layout layout)
{
    return layout == CBM_LAYOUT_PLAIN || sum->channels || sum->total;
}

cbm_fused_output cbm_sum_in(const cbm_sum *sum, cbm_layout layout)
{
    const int64_t columns = layout == CBM_LAYOUT_CHANNELS_LAST ? sum->channels : cbm_layout_block(layout);
    cbm_fused_output as = { .rows = sum->rows, .run = INT64_MAX, .blocks = 1, .factor = sum->factor };
    if (sum->channels) {
        as.blocks = sum->channels / columns;
        as.run = sum->places * columns;
    }
    return as;
}

static int by_unit(const void *a, const void *b)
{
    const cbm_sum *x = a, *y = b;
    return x->unit != y->unit ? x->unit - y->unit : x->node - y->node;
}

bool cbm_absorb_sums(cbm_build *b)
{
    if (b->cx->naive || b->cx->sums_apart || !b->plan->backend->fused_sums)
        return true;
    for (int32_t i = 0; i < (int32_t)b->g->nodes.count; i++) {
        cbm_sum sum;
        if (!describe(b, i, &sum))
            continue;
        cbm_unit *own = &CBM_AT(&b->units, cbm_unit, b->unit_of[i]);
        if (!cbm_array_push(&b->sums, &sum))
            return false;
        own->absorbed = own->done = true;
        b->unit_of[i] = sum.unit;
        b->read[sum.of] = b->read[sum.of] < UINT8_MAX ? (uint8_t)(b->read[sum.of] - 1) : UINT8_MAX;
    }
    if (b->sums.count)
        qsort(b->sums.data, b->sums.count, sizeof(cbm_sum), by_unit);
    return true;
}

size_t cbm_sums_of(const cbm_build *b, const cbm_unit *of, size_t *count)
{
    const int32_t unit = (int32_t)(of - (const cbm_unit *)b->units.data);
    size_t low = 0, high = b->sums.count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (CBM_AT(&b->sums, cbm_sum, middle).unit < unit)
            low = middle + 1;
        else
            high = middle;
    }
    size_t end = low;
    while (end < b->sums.count && CBM_AT(&b->sums, cbm_sum, end).unit == unit)
        end++;
    *count = end - low;
    return low;
}
