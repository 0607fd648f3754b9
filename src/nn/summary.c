/* summary.c: what each layer of a network gives, holds and costs, from recording one forward; nothing is computed. The
   cost of a layer is the sum over the operations it records, from their records. */
#include "nn/reach.h"
#include <stdio.h>
#include <string.h>

typedef struct state {
    cbm_context *cx;
    void (*row)(const cbm_summary_row *row, void *user);
    void *user;
} state;

static void describe(const cbm_value *v, cbm_buffer *b)
{
    *b = (cbm_buffer){ .dtype = (cbm_dtype)v->dtype, .contiguous = 1, .rank = v->shape.v[0], .count = v->count };
    int64_t stride = 1;
    for (int64_t i = b->rank - 1; i >= 0; i--) {
        b->shape[i] = v->shape.v[i + 1];
        b->stride[i] = stride;
        stride *= b->shape[i];
    }
}

static double node_flops(const cbm_node *node)
{
    if (node->op->flags & CBM_OP_VIEW)
        return 0;
    cbm_buffer in[CBM_MAX_INPUTS], out[CBM_MAX_OUTPUTS];
    for (size_t i = 0; i < node->n_in; i++)
        describe(node->in[i], &in[i]);
    for (size_t i = 0; i < node->n_out; i++)
        describe(&node->out[i], &out[i]);
    if (!node->op->cost)
        return node->n_in > 0 ? (double)out[0].count : 0;
    cbm_launch launch = { .op = node->op,
                          .attributes = node->attributes,
                          .n_in = node->n_in,
                          .n_out = node->n_out,
                          .in = in,
                          .out = out,
                          .threads = 1 };
    cbm_cost cost = { 0, 0 };
    node->op->cost(&launch, &cost);
    return cost.flops;
}

/* The operations recorded after number first. */
static void count_flops(const cbm_reaches *trace, uint64_t first, cbm_summary_row *row)
{
    for (const cbm_node *n = trace->cx->last_pending; n && n->sequence > first; n = n->prev) {
        const double flops = node_flops(n);
        row->flops += flops;
        row->backward_flops += flops * cbm_reaches_gradients(trace, n);
        row->multiply_adds += n->op->autocast == CBM_AUTOCAST_PRODUCT ? flops / 2 : 0;
    }
}

static cbm_shape field_of(const cbm_reaches *trace, const cbm_tensor *t)
{
    cbm_shape field = { { 0 } };
    if (!t->value)
        return field;
    const cbm_reach r = cbm_reaches_of(trace, t->value);
    for (int64_t d = 0; d < r.dimensions; d++)
        field.v[++field.v[0]] = r.field[d];
    return field;
}

static int64_t output_bytes(cbm_tensor *t)
{
    return cbm_tensor_count(t) * (int64_t)cbm_dtype_size(cbm_tensor_dtype(t));
}

static void count_parameters(const cbm_module *m, cbm_summary_row *row)
{
    cbm_named named;
    for (size_t i = 0; cbm_parameter_at(m, i, &named); i++) {
        int64_t n = cbm_tensor_count(named.tensor);
        row->parameters += n;
        row->trainable += cbm_tensor_requires_grad(named.tensor) ? n : 0;
    }
}

/* Activation bytes of the layers seen below each open container; as deep as names can be. */
typedef struct ledger {
    state *s;
    cbm_reaches trace;
    int64_t bytes[130];
} ledger;

static int64_t depth_of(const char *name)
{
    int64_t depth = *name ? 1 : 0;
    for (; *name; name++)
        depth += *name == '.';
    return depth;
}

static void see(const char *name, cbm_module *m, cbm_tensor *input, cbm_tensor *output, void *user)
{
    ledger *book = user;
    state *s = book->s;
    cbm_summary_row row = { .type = m->type ? m->type : "module",
                            .input = cbm_tensor_shape(input),
                            .output = cbm_tensor_shape(output),
                            .depth = depth_of(name),
                            .children = (int64_t)cbm_child_count(m) };
    snprintf(row.name, sizeof row.name, "%s", name);
    count_parameters(m, &row);
    if (!cbm_reaches_update(&book->trace))
        return;
    count_flops(&book->trace, m->parts->watch->first_sequence, &row);
    row.receptive_field = field_of(&book->trace, output);
    int64_t below = book->bytes[row.depth + 1];
    book->bytes[row.depth + 1] = 0;
    row.activation_bytes = row.children > 0 && below > 0 ? below : output_bytes(output);
    book->bytes[row.depth] += row.activation_bytes;
    s->row(&row, s->user);
}

static void note_modes(const cbm_module *m, bool *modes, size_t *at)
{
    modes[(*at)++] = m->training;
    for (size_t i = 0; i < m->parts->children.count; i++)
        note_modes(CBM_PART(m->parts->children, i).child, modes, at);
}

static void restore_modes(cbm_module *m, const bool *modes, size_t *at)
{
    m->training = modes[(*at)++];
    for (size_t i = 0; i < m->parts->children.count; i++)
        restore_modes(CBM_PART(m->parts->children, i).child, modes, at);
}

static size_t count_modules(const cbm_module *m)
{
    size_t n = 1;
    for (size_t i = 0; i < m->parts->children.count; i++)
        n += count_modules(CBM_PART(m->parts->children, i).child);
    return n;
}

bool *cbm_modes_take(cbm_module *m, size_t *count)
{
    *count = count_modules(m);
    bool *modes = cbm_heap_take(cbm_context_heap(m->cx), *count * sizeof *modes);
    if (!modes) {
        cbm_fail_memory(m->cx, "the modes of a network");
        return NULL;
    }
    size_t at = 0;
    note_modes(m, modes, &at);
    return modes;
}

void cbm_modes_put_back(cbm_module *m, bool *modes, size_t count)
{
    if (!modes)
        return;
    size_t at = 0;
    restore_modes(m, modes, &at);
    cbm_heap_give(cbm_context_heap(m->cx), modes, count * sizeof *modes);
}

cbm_status cbm_summary(cbm_module *network, cbm_tensor *input, void (*row)(const cbm_summary_row *row, void *user),
                       void *user)
{
    cbm_context *cx = network && !network->failed ? network->cx : input ? input->cx : NULL;
    if (!cx)
        return CBM_ERROR_INVALID;
    if (!network || network->failed || !row)
        return cbm_fail(cx, CBM_ERROR_INVALID, "[summary] needs a network and a function for its rows");
    if (!cbm_usable(cx, input))
        return cbm_context_status(cx);
    size_t count;
    bool *modes = cbm_modes_take(network, &count);
    if (!modes)
        return cbm_context_status(cx);
    state s = { .cx = cx, .row = row, .user = user };
    ledger book = { .s = &s, .trace = cbm_reaches_begin(cx, input->value) };
    cbm_scope_options options = { .struct_size = sizeof options, .no_grad = 1, .quiet = 1 };
    cbm_scope *scope = cbm_scope_begin_with(cx, &options);
    cbm_eval(network);
    cbm_call_watched(network, input, see, &book);
    cbm_scope_end(scope);
    cbm_reaches_end(&book.trace);
    cbm_modes_put_back(network, modes, count);
    return cbm_context_status(cx);
}
