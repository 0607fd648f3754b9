/* reach.c: see reach.h. The receptive field of a convolution or pooling with kernel k, dilation d and stride s over values of
   field r and jump j is r + (k - 1) d j, its jump s j. */
#include "nn/reach.h"
#include "op/attributes.h"
#include <string.h>

typedef struct traced {
    uint64_t number;
    cbm_reach reach;
} traced;

cbm_reaches cbm_reaches_begin(cbm_context *cx, const cbm_value *input)
{
    return (cbm_reaches){
        .cx = cx, .input = input, .seen = cx->sequence, .nodes = CBM_ARRAY(cbm_context_heap(cx), traced)
    };
}

void cbm_reaches_end(cbm_reaches *t)
{
    cbm_array_free(&t->nodes);
}

static const traced *find(const cbm_reaches *t, uint64_t number)
{
    size_t low = 0, high = t->nodes.count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        const traced *at = &CBM_AT(&t->nodes, traced, middle);
        if (at->number == number)
            return at;
        *(at->number < number ? &low : &high) = at->number < number ? middle + 1 : middle;
    }
    return NULL;
}

cbm_reach cbm_reaches_of(const cbm_reaches *t, const cbm_value *value)
{
    const traced *at = value->node ? find(t, value->node->sequence) : NULL;
    if (at)
        return at->reach;
    cbm_reach r = { .trained = value->requires_grad };
    if (value != t->input || value->shape.v[0] < 3 || value->shape.v[0] > 2 + CBM_REACH_DIMENSIONS)
        return r;
    r.dimensions = value->shape.v[0] - 2;
    for (int64_t d = 0; d < r.dimensions; d++) {
        r.field[d] = 1;
        r.jump[d] = 1;
    }
    return r;
}

static bool begins(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

static void slide(cbm_reach *r, const int64_t *kernel, const cbm_shape *stride, const cbm_shape *dilation)
{
    for (int64_t d = 0; d < r->dimensions; d++) {
        const int64_t more = (kernel[d] - 1) * (dilation->v[0] > d ? dilation->v[1 + d] : 1);
        r->field[d] += (int64_t)((double)more * r->jump[d]);
        r->jump[d] *= (double)(stride->v[0] > d ? stride->v[1 + d] : 1);
    }
}

/* What the operation adds to the reach of what it takes. */
static void extend(cbm_reach *r, const cbm_node *n)
{
    const char *name = n->op->name;
    const bool conv = begins(name, "conv1d") || begins(name, "conv2d") || begins(name, "conv3d");
    if (conv && !strstr(name, "grad")) {
        const cbm_conv_attributes *a = n->attributes;
        slide(r, a->weight_shape.v + 3, &a->stride, &a->dilation);
    } else if ((begins(name, "max_pool") || begins(name, "avg_pool")) && !strstr(name, "backward")) {
        const cbm_pool_attributes *a = n->attributes;
        slide(r, a->kernel.v + 1, &a->stride, &a->dilation);
    } else if (strcmp(name, "resample") == 0) {
        const cbm_resample_attributes *a = n->attributes;
        if (a->axis >= 2 && a->axis - 2 < r->dimensions && a->output > 0)
            r->jump[a->axis - 2] *= (double)a->input / (double)a->output;
    }
}

static cbm_reach reach_of(const cbm_reaches *t, const cbm_node *n)
{
    cbm_reach r = { 0 };
    const int64_t rank = n->out[0].shape.v[0];
    for (size_t k = 0; k < n->n_in; k++) {
        const cbm_reach in = cbm_reaches_of(t, n->in[k]);
        r.trained = r.trained || in.trained;
        if (in.dimensions == 0 || rank != in.dimensions + 2)
            continue;
        r.dimensions = in.dimensions;
        for (int64_t d = 0; d < in.dimensions; d++) {
            r.field[d] = in.field[d] > r.field[d] ? in.field[d] : r.field[d];
            r.jump[d] = in.jump[d] > r.jump[d] ? in.jump[d] : r.jump[d];
        }
    }
    extend(&r, n);
    return r;
}

bool cbm_reaches_update(cbm_reaches *t)
{
    const cbm_node *n = t->cx->last_pending;
    while (n && n->prev && n->prev->sequence > t->seen)
        n = n->prev;
    for (; n; n = n->next) {
        if (n->sequence <= t->seen)
            continue;
        const traced one = { n->sequence, reach_of(t, n) };
        if (!cbm_array_push(&t->nodes, &one)) {
            cbm_fail_memory(t->cx, "a network's reach");
            return false;
        }
        t->seen = n->sequence;
    }
    return true;
}

int cbm_reaches_gradients(const cbm_reaches *t, const cbm_node *n)
{
    int count = 0;
    const bool product = n->op->autocast == CBM_AUTOCAST_PRODUCT;
    for (size_t k = 0; k < n->n_in && k < 2; k++)
        count += cbm_reaches_of(t, n->in[k]).trained;
    return product || count == 0 ? count : 1;
}
