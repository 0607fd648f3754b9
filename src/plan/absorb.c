/* absorb.c: which passes a kernel does itself to its result before writing it: x + bias along the last axis, x + r, max(x, 0) or
   min(max(x, 0), 6), any of the three in this order, where nobody else reads x. Rests on backend/backend.h. */
#include "plan/build.h"
#include <string.h>

static cbm_node *node_at(const cbm_build *b, int32_t i)
{
    return CBM_AT(&b->g->nodes, cbm_node *, i);
}

static int32_t member_at(const cbm_build *b, const cbm_unit *u, int32_t m)
{
    return CBM_AT(&b->members, int32_t, u->first + m);
}

static bool is_stored(const cbm_build *b, cbm_ref ref)
{
    return b->read[ref] || b->results[ref] >= 0;
}

/* One number for each place of the last axis, the same in all rows. */
static bool is_bias(const cbm_value *v, const cbm_value *of)
{
    const cbm_shape *s = &v->shape, *whole = &of->shape;
    return s->v[0] > 0 && s->v[0] <= whole->v[0] && s->v[s->v[0]] == whole->v[whole->v[0]] && v->count == s->v[s->v[0]];
}

/* n adds something to `now`: which of the two kinds, and what. */
static bool describe_add(const cbm_build *b, const cbm_node *n, cbm_ref now, bool biases, cbm_unit *kernel)
{
    const int self = cbm_ref_input(n, 0) == now ? 0 : 1;
    const cbm_ref other = cbm_ref_input(n, (size_t)(1 - self));
    const cbm_value *x = n->in[self], *more = n->in[1 - self];
    if (cbm_ref_input(n, (size_t)self) != now || other == now || x->dtype != more->dtype || kernel->after.add)
        return false;
    if (other >= 0 && cbm_is_inline_scalar(node_at(b, other / CBM_MAX_OUTPUTS)))
        return false;
    if (biases && !kernel->after.bias && is_bias(more, x)) {
        kernel->after.bias = true;
        kernel->bias = other;
        return true;
    }
    kernel->after.add = cbm_shape_equal(&x->shape, &more->shape);
    kernel->added = other;
    return kernel->after.add;
}

/* The pass says what is done to ref. false: something that the kernel does not do. */
static bool describe(const cbm_build *b, const cbm_unit *pass, cbm_ref ref, bool biases, cbm_unit *kernel)
{
    cbm_ref now = ref;
    kernel->after = (cbm_post){ 0 };
    if (pass->count > 3 || pass->commit)
        return false;
    for (int32_t m = 0; m < pass->count; m++) {
        const int32_t i = member_at(b, pass, m);
        const cbm_node *n = node_at(b, i);
        const bool last = m == pass->count - 1;
        if (strcmp(n->op->name, "add") == 0) {
            if (!describe_add(b, n, now, biases, kernel))
                return false;
        } else if (last && strcmp(n->op->name, "relu") == 0 && cbm_ref_input(n, 0) == now) {
            kernel->after.relu = true;
        } else if (last && strcmp(n->op->name, "relu6") == 0 && cbm_ref_input(n, 0) == now) {
            kernel->after.relu = true;
            kernel->after.upper = 6;
        } else {
            return false;
        }
        if (is_stored(b, CBM_REF_NODE(i, 0)) != last)
            return false;
        now = CBM_REF_NODE(i, 0);
    }
    kernel->absorbed_result = now;
    return true;
}

/* Whether ref is made from one of this node's results: then the node cannot wait for it. */
static bool depends_on(cbm_build *b, cbm_ref ref, int32_t node)
{
    const int32_t last = ref < 0 ? -1 : ref / CBM_MAX_OUTPUTS;
    if (last <= node)
        return false;
    uint8_t *depends = cbm_heap_take_zero(b->heap, (size_t)(last - node) + 1);
    if (!depends)
        return true;
    depends[0] = 1;
    for (int32_t i = node + 1; i <= last; i++) {
        const cbm_node *n = node_at(b, i);
        for (size_t k = 0; k < n->n_in; k++) {
            const cbm_ref in = cbm_ref_input(n, k);
            if (in >= 0 && in / CBM_MAX_OUTPUTS >= node && depends[in / CBM_MAX_OUTPUTS - node])
                depends[i - node] = 1;
        }
    }
    const bool found = depends[last - node] != 0;
    cbm_heap_give(b->heap, depends, (size_t)(last - node) + 1);
    return found;
}

/* The flags of the kernel that does unit u; 0: none that absorbs. */
static uint32_t flags_of(const cbm_build *b, const cbm_unit *u)
{
    if (u->group >= 0)
        return 0;
    const cbm_node *n = node_at(b, member_at(b, u, 0));
    if (n->op->kernel || (n->op->flags & CBM_OP_VIEW) || n->out[0].dtype != CBM_F32 || !n->out[0].count)
        return 0;
    cbm_buffer windows[CBM_MAX_INPUTS + CBM_MAX_OUTPUTS];
    for (size_t k = 0; k < n->n_in + (size_t)n->n_out; k++)
        cbm_window_of(k < n->n_in ? n->in[k] : &n->out[k - n->n_in], &windows[k]);
    const cbm_launch shapes = { .op = n->op,
                                .attributes = n->attributes,
                                .n_in = n->n_in,
                                .n_out = n->n_out,
                                .in = windows,
                                .out = windows + n->n_in };
    const cbm_kernel *kernel = cbm_backend_kernel(b->plan->backend, &shapes);
    return kernel && (kernel->flags & CBM_KERNEL_POST) ? kernel->flags : 0;
}

static int64_t last_axis(const cbm_build *b, cbm_ref ref)
{
    const cbm_shape *s = &node_at(b, ref / CBM_MAX_OUTPUTS)->out[0].shape;
    return s->v[0] ? s->v[s->v[0]] : 1;
}

/* Nobody but one operand reads it, from memory of its own. */
static bool read_once(const cbm_build *b, cbm_ref ref)
{
    return ref >= 0 && ref % CBM_MAX_OUTPUTS == 0 && b->read[ref] == 1 && b->results[ref] < 0;
}

static cbm_unit *unit_making(const cbm_build *b, cbm_ref ref)
{
    return &CBM_AT(&b->units, cbm_unit, b->unit_of[ref / CBM_MAX_OUTPUTS]);
}

/* What ref is in other extents: the result that a reshape of its own sees; ref itself. */
static cbm_ref behind_reshape(const cbm_build *b, cbm_ref ref)
{
    const cbm_node *n = ref < 0 ? NULL : node_at(b, ref / CBM_MAX_OUTPUTS);
    if (!n || strcmp(n->op->name, "reshape") != 0 || !read_once(b, ref) || unit_making(b, ref)->group >= 0)
        return ref;
    const cbm_ref from = cbm_ref_input(n, 0);
    return read_once(b, from) ? from : ref;
}

/* The pass, whose operand ref is, becomes part of what makes it, if that can do it. Only products, whose rows stay rows, are looked for
   behind a reshape. */
static void try_operand(cbm_build *b, int32_t pass, cbm_ref ref)
{
    const cbm_ref made = behind_reshape(b, ref);
    cbm_unit *p = &CBM_AT(&b->units, cbm_unit, pass), *kernel = read_once(b, made) ? unit_making(b, made) : NULL;
    if (!kernel || kernel == p || kernel->absorbs)
        return;
    const uint32_t flags = flags_of(b, kernel);
    const int32_t node = made / CBM_MAX_OUTPUTS;
    const bool biases = (flags & CBM_KERNEL_BIAS) && last_axis(b, made) == last_axis(b, ref);
    if (!flags || (made != ref && !biases) || !describe(b, p, ref, biases, kernel) ||
        (kernel->after.bias && depends_on(b, kernel->bias, node)) ||
        (kernel->after.add && depends_on(b, kernel->added, node)))
        return;
    kernel->absorbs = pass + 1;
    p->absorbed = p->done = true;
    if (made != ref) {
        cbm_unit *reshape = unit_making(b, ref);
        reshape->absorbed = reshape->done = true;
        b->unit_of[ref / CBM_MAX_OUTPUTS] = b->unit_of[node];
    }
    for (int32_t m = 0; m < p->count; m++)
        b->unit_of[member_at(b, p, m)] = b->unit_of[node];
}

void cbm_absorb_passes(cbm_build *b)
{
    if (b->cx->naive)
        return;
    for (int32_t p = 0; p < (int32_t)b->units.count; p++) {
        const cbm_unit *pass = &CBM_AT(&b->units, cbm_unit, p);
        if (pass->group < 0)
            continue;
        const cbm_node *first = node_at(b, member_at(b, pass, 0));
        for (size_t k = 0; k < first->n_in && !pass->absorbed; k++)
            try_operand(b, p, cbm_ref_input(first, k));
    }
}
