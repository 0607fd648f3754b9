/* sums.c: which sums and means a pass makes itself, while it has the elements: those over everything (a loss), and over all axes
   but the last ones (the gradient of what was broadcast, a bias). Nothing else a sum reads can come from behind the pass, so
   joining them makes no circle. Rests on build.h. */
#include "op/families.h"
#include "plan/build.h"
#include <string.h>

enum {
    NARROWEST = 16, /* columns: fewer are added up faster by a kernel that has whole rows side by side */
    FEWEST = 8      /* rows: the pass keeps a row of sums for every so many */
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

static bool describe(const cbm_build *b, int32_t node, cbm_sum *sum)
{
    const cbm_node *n = node_at(b, node);
    const bool mean = strcmp(n->op->name, "mean") == 0;
    if ((!mean && strcmp(n->op->name, "sum") != 0) || n->op->kernel || n->in[0]->dtype != CBM_F32 ||
        n->out[0].dtype != CBM_F32)
        return false;
    const cbm_ref of = cbm_ref_input(n, 0);
    const cbm_reduce_attributes *a = n->attributes;
    *sum = (cbm_sum){ .unit = of < 0 ? -1 : b->unit_of[of / CBM_MAX_OUTPUTS],
                      .node = node,
                      .of = of,
                      .rows = rows_of(&n->in[0]->shape, &a->axes) };
    sum->factor = mean && sum->rows ? 1.0 / (double)sum->rows : 1;
    if (sum->unit < 0 || !sum->rows)
        return false;
    const cbm_unit *u = &CBM_AT(&b->units, cbm_unit, sum->unit);
    return u->group >= 0 && !u->absorbed && !u->commit && !cbm_is_inline_scalar(node_at(b, of / CBM_MAX_OUTPUTS));
}

/* By unit; within one as recorded. */
static void insert(cbm_array *sums)
{
    cbm_sum *s = sums->data, last = s[sums->count - 1];
    size_t at = sums->count - 1;
    for (; at > 0 && s[at - 1].unit > last.unit; at--)
        s[at] = s[at - 1];
    s[at] = last;
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
        insert(&b->sums);
        own->absorbed = own->done = true;
        b->unit_of[i] = sum.unit;
        b->read[sum.of] = b->read[sum.of] < UINT8_MAX ? (uint8_t)(b->read[sum.of] - 1) : UINT8_MAX;
    }
    return true;
}

size_t cbm_sums_of(const cbm_build *b, int32_t unit, size_t *count)
{
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
