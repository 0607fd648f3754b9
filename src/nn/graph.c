/* graph.c: modules joined in any way: named nodes, several inputs and outputs, shared weights, cycles unrolled. Rests on layer.h. */
#include "nn/layer.h"
#include <stdio.h>
#include <string.h>

enum { NAME = CBM_PART_NAME };

/* What a node or an output reads: a value by its place: inputs first, then nodes; and of which step. */
typedef struct source {
    size_t place;
    bool before;
} source;

typedef struct node {
    char name[NAME];
    cbm_module *module; /* a part of the graph; NULL: what is read as it is */
    source in[CBM_GRAPH_INPUTS];
    size_t n_in;
    size_t initial; /* a place; SIZE_MAX: none */
    cbm_join join;
    int64_t axis;
    bool changes; /* depends on an earlier step */
} node;

typedef struct graph {
    cbm_module module;
    char (*inputs)[NAME];
    node *nodes;
    size_t *order, *outputs; /* places of nodes; outputs' places */
    size_t n_inputs, n_nodes, n_outputs;
    int64_t steps;
} graph;

/* ---- calling ---- */

typedef struct call {
    cbm_tensor *const *inputs;
    cbm_tensor **outputs, **each_step;
} call;

static cbm_tensor *value_of(const graph *g, const source *s, cbm_tensor *const *now, cbm_tensor *const *before)
{
    if (!s->before)
        return now[s->place];
    cbm_tensor *x = before[s->place];
    return x ? x : now[g->nodes[s->place - g->n_inputs].initial];
}

static cbm_tensor *joined(const node *n, cbm_tensor *const *in)
{
    if (n->n_in == 1)
        return in[0];
    if (n->join == CBM_JOIN_CONCAT)
        return cbm_concat(in, n->n_in, n->axis);
    cbm_tensor *sum = in[0];
    for (size_t i = 1; i < n->n_in; i++)
        sum = cbm_add(sum, in[i]);
    return sum;
}

static cbm_tensor *run_node(const graph *g, const node *n, cbm_tensor *const *now, cbm_tensor *const *before)
{
    cbm_tensor *in[CBM_GRAPH_INPUTS];
    for (size_t i = 0; i < n->n_in; i++)
        in[i] = value_of(g, &n->in[i], now, before);
    cbm_tensor *x = joined(n, in);
    return n->module ? cbm_call(n->module, x) : x;
}

static cbm_tensor *run_steps(const graph *g, const call *c, cbm_tensor **now, cbm_tensor **before)
{
    memcpy(now, c->inputs, g->n_inputs * sizeof *now);
    for (int64_t step = 0; step < g->steps; step++) {
        for (size_t i = 0; i < g->n_nodes; i++) {
            const size_t place = g->order[i];
            const node *n = &g->nodes[place];
            if (step == 0 || n->changes)
                now[g->n_inputs + place] = run_node(g, n, now, before);
        }
        memcpy(before, now, (g->n_inputs + g->n_nodes) * sizeof *now);
        for (size_t i = 0; i < g->n_outputs; i++) {
            cbm_tensor *y = now[g->outputs[i]];
            if (c->each_step)
                c->each_step[(size_t)step * g->n_outputs + i] = y;
            if (c->outputs)
                c->outputs[i] = y;
        }
    }
    return now[g->outputs[0]];
}

static cbm_tensor *graph_forward_with(cbm_module *self, cbm_tensor *x, void *user)
{
    const graph *g = (graph *)self;
    cbm_heap *heap = cbm_context_heap(self->cx);
    const size_t bytes = 2 * (g->n_inputs + g->n_nodes) * sizeof(cbm_tensor *);
    cbm_tensor **values = cbm_heap_take_zero(heap, bytes);
    (void)x;
    if (!values) {
        cbm_fail_memory(self->cx, "a graph's values");
        return &self->cx->failed;
    }
    cbm_tensor *y = run_steps(g, user, values, values + g->n_inputs + g->n_nodes);
    cbm_heap_give(heap, values, bytes);
    return y;
}

static cbm_tensor *graph_forward(cbm_module *self, cbm_tensor *x)
{
    const graph *g = (graph *)self;
    call c = { .inputs = &x };
    if (g->n_inputs != 1)
        return cbm_fail_tensor(self->cx, CBM_ERROR_INVALID, "[graph] it has %zu inputs. HINT: cbm_graph_call",
                               g->n_inputs);
    return graph_forward_with(self, x, &c);
}

cbm_status cbm_graph_call(cbm_module *m, cbm_tensor *const *inputs, size_t count, cbm_tensor **outputs,
                          cbm_tensor **each_step)
{
    if (!m || !m->cx)
        return CBM_ERROR_INVALID;
    if (!cbm_context_ready(m->cx))
        return cbm_context_status(m->cx);
    const graph *g = (graph *)m;
    if (m->failed || m->forward != graph_forward)
        return cbm_fail(m->cx, CBM_ERROR_INVALID, "[graph_call] the module is no graph");
    if (count != g->n_inputs || !inputs)
        return cbm_fail(m->cx, CBM_ERROR_INVALID, "[graph_call] %zu inputs given, %zu wanted", inputs ? count : 0,
                        g->n_inputs);
    for (size_t i = 0; i < g->n_outputs; i++)
        if (outputs)
            outputs[i] = &m->cx->failed;
    for (size_t i = 0; i < count; i++)
        if (!cbm_usable(m->cx, inputs[i]))
            return cbm_context_status(m->cx);
    call c = { inputs, outputs, each_step };
    cbm_call_as(m, inputs[0], graph_forward_with, &c);
    return cbm_context_status(m->cx);
}

/* ---- making ---- */

static void destroy(cbm_module *self)
{
    graph *g = (graph *)self;
    cbm_heap *heap = cbm_context_heap(self->cx);
    cbm_heap_give(heap, g->inputs, g->n_inputs * sizeof *g->inputs);
    cbm_heap_give(heap, g->nodes, g->n_nodes * sizeof *g->nodes);
    cbm_heap_give(heap, g->order, g->n_nodes * sizeof *g->order);
    cbm_heap_give(heap, g->outputs, g->n_outputs * sizeof *g->outputs);
}

static size_t length_of(const char *const *names)
{
    size_t count = 0;
    while (names && names[count])
        count++;
    return count;
}

/* The place of a name among inputs and nodes; SIZE_MAX: none. */
static size_t place_of(const graph *g, const char *name)
{
    for (size_t i = 0; i < g->n_inputs; i++)
        if (strcmp(g->inputs[i], name) == 0)
            return i;
    for (size_t i = 0; i < g->n_nodes; i++)
        if (strcmp(g->nodes[i].name, name) == 0)
            return g->n_inputs + i;
    return SIZE_MAX;
}

static bool take_name(graph *g, const char *name, char to[NAME])
{
    if (!name || !*name || strlen(name) >= NAME || strchr(name, '.') || strchr(name, ':')) {
        cbm_fail(g->module.cx, CBM_ERROR_INVALID, "[graph] '%.80s' cannot name an input or a node", name ? name : "");
        return false;
    }
    if (place_of(g, name) != SIZE_MAX) {
        cbm_fail(g->module.cx, CBM_ERROR_INVALID, "[graph] two inputs or nodes are named '%s'", name);
        return false;
    }
    memcpy(to, name, strlen(name) + 1);
    return true;
}

static bool find(graph *g, const char *who, const char *name, size_t *place)
{
    *place = name ? place_of(g, name) : SIZE_MAX;
    if (*place != SIZE_MAX)
        return true;
    cbm_fail(g->module.cx, CBM_ERROR_INVALID, "[graph] '%s' asks for '%.80s', which is no input and no node", who,
             name ? name : "(NULL)");
    return false;
}

static bool is_join(cbm_join join)
{
    return join == CBM_JOIN_CONCAT || join == CBM_JOIN_SUM;
}

/* The names that a node's reading goes by, once all nodes have theirs. */
static bool connect(graph *g, const cbm_graph_node *from, node *n)
{
    static const char prev[] = "prev:";
    for (; n->n_in < CBM_GRAPH_INPUTS && from->inputs[n->n_in]; n->n_in++) {
        const char *name = from->inputs[n->n_in];
        source *s = &n->in[n->n_in];
        s->before = strncmp(name, prev, sizeof prev - 1) == 0;
        if (!find(g, n->name, s->before ? name + sizeof prev - 1 : name, &s->place))
            return false;
        if (s->before && s->place < g->n_inputs) {
            cbm_fail(g->module.cx, CBM_ERROR_INVALID, "[graph] '%s' asks for '%s', but inputs are always the same",
                     n->name, name);
            return false;
        }
    }
    if (n->n_in == 0 || !is_join(n->join)) {
        cbm_fail(g->module.cx, CBM_ERROR_INVALID, "[graph] node '%s' needs an input, and a join of cbm_join's",
                 n->name);
        return false;
    }
    n->initial = SIZE_MAX;
    return !from->initial || find(g, n->name, from->initial, &n->initial);
}

/* What node i reads of this step comes first. marks: 0 not seen, 1 being looked at, 2 in the order. */
static bool put_in_order(graph *g, size_t i, uint8_t *marks, size_t *count)
{
    node *n = &g->nodes[i];
    if (marks[i] == 2)
        return true;
    if (marks[i] == 1) {
        cbm_fail(g->module.cx, CBM_ERROR_INVALID,
                 "[graph] node '%s' needs itself. HINT: \"prev:%s\" reads what it gave a step before", n->name,
                 n->name);
        return false;
    }
    marks[i] = 1;
    for (size_t k = 0; k < n->n_in; k++) {
        size_t place = n->in[k].place;
        if (n->in[k].before) {
            place = g->nodes[place - g->n_inputs].initial;
            if (place == SIZE_MAX) {
                cbm_fail(g->module.cx, CBM_ERROR_INVALID,
                         "[graph] '%s' reads what '%s' gave before, which has no initial", n->name,
                         g->nodes[n->in[k].place - g->n_inputs].name);
                return false;
            }
            n->changes = true;
        }
        if (place < g->n_inputs)
            continue;
        if (!put_in_order(g, place - g->n_inputs, marks, count))
            return false;
        n->changes = n->changes || g->nodes[place - g->n_inputs].changes;
    }
    marks[i] = 2;
    g->order[(*count)++] = i;
    return true;
}

/* What is read at the first step must be the same later on. */
static bool initials_stay(const graph *g)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        const size_t place = g->nodes[i].initial;
        if (place == SIZE_MAX || place < g->n_inputs || !g->nodes[place - g->n_inputs].changes)
            continue;
        cbm_fail(g->module.cx, CBM_ERROR_INVALID,
                 "[graph] node '%s' begins with '%s', which itself depends on prev:", g->nodes[i].name,
                 g->nodes[place - g->n_inputs].name);
        return false;
    }
    return true;
}

static bool add_modules(graph *g, const cbm_graph_node *nodes)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        bool held = !nodes[i].module;
        for (size_t k = 0; k < i; k++)
            held = held || nodes[k].module == nodes[i].module;
        if (!held && cbm_add_module(&g->module, nodes[i].name, nodes[i].module) != CBM_OK)
            return false;
        g->nodes[i].module = nodes[i].module;
    }
    return true;
}

static bool fill(graph *g, const cbm_graph_node *nodes, const cbm_graph_options *o, uint8_t *marks)
{
    static const char *const usual[] = { "input", NULL };
    const char *const *inputs = o->inputs ? o->inputs : usual;
    const size_t n_inputs = g->n_inputs, n_nodes = g->n_nodes;
    size_t count = 0;
    g->n_inputs = g->n_nodes = 0; /* those that have names */
    bool ok = true;
    for (size_t i = 0; i < n_inputs && ok; i++) {
        ok = take_name(g, inputs[i], g->inputs[i]);
        g->n_inputs += ok;
    }
    for (size_t i = 0; i < n_nodes && ok; i++) {
        node *n = &g->nodes[i];
        ok = take_name(g, nodes[i].name, n->name);
        n->join = nodes[i].join;
        n->axis = nodes[i].axis ? nodes[i].axis : 1;
        g->n_nodes += ok;
    }
    g->n_inputs = n_inputs;
    g->n_nodes = n_nodes;
    for (size_t i = 0; i < n_nodes && ok; i++)
        ok = connect(g, &nodes[i], &g->nodes[i]);
    for (size_t i = 0; i < n_nodes && ok; i++)
        ok = put_in_order(g, i, marks, &count);
    for (size_t i = 0; i < g->n_outputs && ok; i++)
        ok = o->outputs ? find(g, "outputs", o->outputs[i], &g->outputs[i])
                        : (g->outputs[i] = n_inputs + n_nodes - 1, true);
    return ok && initials_stay(g) && add_modules(g, nodes);
}

CBM_OPTIONS_INIT(cbm_graph_options, CBM_GRAPH_DEFAULTS)

cbm_module *cbm_graph_with(cbm_context *cx, const cbm_graph_node *nodes, size_t count, const cbm_graph_options *o)
{
    graph *g = cbm_layer_new(cx, sizeof *g, "graph", graph_forward);
    if (!g)
        return cbm_module_failed(cx);
    if (cbm_options_wrong(cx, "graph", o, o ? o->struct_size : 0, sizeof *o))
        return cbm_layer_finish(&g->module);
    if (!nodes || count == 0 || o->steps < 1 || (o->inputs && !o->inputs[0]) || (o->outputs && !o->outputs[0])) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[graph] needs a node, an input, an output and a step at least");
        return cbm_layer_finish(&g->module);
    }
    cbm_heap *heap = cbm_context_heap(cx);
    g->steps = o->steps;
    g->n_nodes = count;
    g->n_inputs = o->inputs ? length_of(o->inputs) : 1;
    g->n_outputs = o->outputs ? length_of(o->outputs) : 1;
    g->inputs = cbm_heap_take_zero(heap, g->n_inputs * sizeof *g->inputs);
    g->nodes = cbm_heap_take_zero(heap, count * sizeof *g->nodes);
    g->order = cbm_heap_take_zero(heap, count * sizeof *g->order);
    g->outputs = cbm_heap_take_zero(heap, g->n_outputs * sizeof *g->outputs);
    uint8_t *marks = cbm_heap_take_zero(heap, count);
    g->module.destroy = destroy;
    if (g->inputs && g->nodes && g->order && g->outputs && marks)
        fill(g, nodes, o, marks);
    else
        cbm_fail_memory(cx, "a graph");
    cbm_heap_give(heap, marks, count);
    return cbm_layer_finish(&g->module);
}
