/* pass.c: the program of one fused pass: its members' expressions joined, operands numbered, run-time numbers as cells.
   Operations on bf16 compute in f32 and round their result once, so that fusing changes no bits. Rests on
   op/expression.h. */
#include "plan/plan.h"
#include "base/bf16.h"
#include "op/expression.h"
#include <string.h>

typedef struct builder {
    cbm_plan *plan;
    const cbm_collected *g;
    cbm_array code;      /* of cbm_fused_instruction */
    cbm_array exact;     /* of bool, an instruction: its f32 values are bf16's already */
    cbm_array cells;     /* of cbm_cell */
    cbm_array *operands; /* of cbm_ref */
    cbm_array loaded;    /* of int32_t: the place that loads each operand */
    int32_t *results;    /* the place of each member's result */
    const int32_t *members;
    size_t n_members;
} builder;

static bool is_exact(const builder *b, const cbm_fused_instruction *i)
{
    const bool *exact = b->exact.data;
    switch (i->code) {
    case CBM_EXPR_NUMBER: return (double)cbm_bf16_widen(cbm_bf16_round((float)i->value)) == i->value;
    case CBM_EXPR_MAX:
    case CBM_EXPR_MIN: return exact[i->x] && exact[i->y];
    case CBM_EXPR_NEG:
    case CBM_EXPR_ABS:
    case CBM_EXPR_FLOOR:
    case CBM_EXPR_CEIL:
    case CBM_EXPR_ROUND:
    case CBM_EXPR_TRUNC: return exact[i->x];
    case CBM_EXPR_SELECT: return exact[i->y] && exact[i->z];
    case CBM_EXPR_CAST: return i->dtype == CBM_BF16 || (i->dtype == CBM_F32 && exact[i->x]);
    default: return i->dtype == CBM_BF16;
    }
}

static int32_t emit(builder *b, cbm_fused_instruction i)
{
    bool exact = is_exact(b, &i);
    return cbm_array_push(&b->exact, &exact) && cbm_array_push(&b->code, &i) ? (int32_t)b->code.count - 1 : -1;
}

static int32_t cell(builder *b, int32_t node, const cbm_attribute *a)
{
    cbm_cell c = { .node = node, .kind = (int32_t)a->type, .offset = a->offset };
    return cbm_array_push(&b->cells, &c) ? (int32_t)b->cells.count - 1 : -1;
}

static const cbm_attribute *attribute_named(const cbm_op *op, const char *name)
{
    for (size_t i = 0; i < op->n_attributes; i++)
        if (strcmp(op->attributes[i].name, name) == 0)
            return &op->attributes[i];
    return NULL;
}

static int32_t field(builder *b, int32_t node, const cbm_attribute *a, cbm_dtype dtype)
{
    int32_t c = a ? cell(b, node, a) : -1;
    return c < 0 ? -1 : emit(b, (cbm_fused_instruction){ .code = CBM_EXPR_FIELD, .arg = c, .dtype = (int32_t)dtype });
}

/* The place of operand k of a member: another member's result, a number, or memory. */
static int32_t operand(builder *b, const cbm_node *n, size_t k)
{
    cbm_ref ref = cbm_ref_input(n, k);
    if (ref >= 0) {
        int32_t p = ref / CBM_MAX_OUTPUTS;
        for (size_t i = 0; i < b->n_members; i++)
            if (b->members[i] == p)
                return b->results[i];
        const cbm_node *producer = CBM_AT(&b->g->nodes, cbm_node *, p);
        if (cbm_is_inline_scalar(producer))
            return field(b, p, attribute_named(producer->op, "value"), (cbm_dtype)n->in[k]->dtype);
    }
    for (size_t i = 0; i < b->operands->count; i++)
        if (CBM_AT(b->operands, cbm_ref, i) == ref)
            return CBM_AT(&b->loaded, int32_t, i);
    int32_t place = emit(b, (cbm_fused_instruction){
                                .code = CBM_EXPR_INPUT, .arg = (int32_t)b->operands->count, .dtype = n->in[k]->dtype });
    if (place < 0 || !cbm_array_push(b->operands, &ref) || !cbm_array_push(&b->loaded, &place))
        return -1;
    return place;
}

static cbm_dtype computed_in(int dtype)
{
    return dtype == CBM_BF16 ? CBM_F32 : (cbm_dtype)dtype;
}

/* Appends a member's expression; returns the place of its result, -1 on failure. */
static int32_t append(builder *b, const cbm_node *n, int32_t number)
{
    cbm_expression e;
    cbm_dtype in[CBM_MAX_INPUTS], types[CBM_EXPR_MAX_LENGTH];
    int32_t at[CBM_EXPR_MAX_LENGTH];
    for (size_t k = 0; k < n->n_in; k++)
        in[k] = computed_in(n->in[k]->dtype);
    if (!cbm_expression_parse(n->op, &e) || !cbm_expression_types(&e, in, computed_in(n->out[0].dtype), types)) {
        cbm_fail(b->g->cx, CBM_ERROR_INVALID, "[%s] the expression \"%s\" is malformed", n->op->name,
                 n->op->expression);
        return -1;
    }
    for (int32_t i = 0; i < e.length; i++) {
        const cbm_expr_instruction *s = &e.code[i];
        cbm_fused_instruction t = { .code = s->code, .dtype = (int32_t)types[i], .value = s->value };
        if (s->code == CBM_EXPR_INPUT) {
            if ((at[i] = operand(b, n, (size_t)s->arg)) < 0)
                return -1;
            continue;
        }
        if (s->code == CBM_EXPR_FIELD)
            t.arg = cell(b, number, &n->op->attributes[s->arg]);
        if (s->code == CBM_EXPR_UNIFORM || s->code == CBM_EXPR_NORMAL) {
            const cbm_attribute *seed = attribute_named(n->op, "seed"), *position = attribute_named(n->op, "position");
            t.arg = seed && position ? cell(b, number, seed) : -1;
            if (t.arg >= 0 && cell(b, number, position) < 0)
                t.arg = -1;
        }
        if (t.arg < 0)
            return -1;
        t.x = s->x >= 0 ? at[s->x] : 0;
        t.y = s->y >= 0 ? at[s->y] : 0;
        t.z = s->z >= 0 ? at[s->z] : 0;
        if ((at[i] = emit(b, t)) < 0)
            return -1;
    }
    const int32_t result = e.length > 0 ? at[e.length - 1] : -1;
    if (result < 0 || n->out[0].dtype != CBM_BF16 || CBM_AT(&b->exact, bool, result))
        return result;
    return emit(b, (cbm_fused_instruction){ .code = CBM_EXPR_CAST, .x = result, .dtype = CBM_BF16 });
}

static void *keep(cbm_plan *plan, const cbm_array *a)
{
    void *copy = cbm_plan_take(plan, a->count * a->element);
    if (copy && a->count)
        memcpy(copy, a->data, a->count * a->element);
    return copy;
}

bool cbm_pass_build(cbm_plan *plan, const cbm_collected *g, const int32_t *members, size_t n_members,
                    const cbm_made *made, size_t n_made, cbm_step *step, cbm_array *operands)
{
    cbm_heap *heap = plan->heap;
    builder b = { .plan = plan,
                  .g = g,
                  .operands = operands,
                  .members = members,
                  .n_members = 0,
                  .code = CBM_ARRAY(heap, cbm_fused_instruction),
                  .exact = CBM_ARRAY(heap, bool),
                  .cells = CBM_ARRAY(heap, cbm_cell),
                  .loaded = CBM_ARRAY(heap, int32_t),
                  .results = cbm_heap_take(heap, n_members * sizeof(int32_t)) };
    bool ok = b.results != NULL;
    for (size_t i = 0; i < n_members && ok; i++) {
        b.results[i] = append(&b, CBM_AT(&g->nodes, cbm_node *, members[i]), members[i]);
        b.n_members = i + 1;
        ok = b.results[i] >= 0;
    }
    cbm_fused_output *outputs = ok ? cbm_plan_take(plan, n_made * sizeof *outputs) : NULL;
    for (size_t s = 0; s < n_made && outputs; s++)
        for (size_t i = 0; i < n_members; i++)
            if (members[i] == made[s].of / CBM_MAX_OUTPUTS) {
                outputs[s] = made[s].as;
                outputs[s].place = b.results[i];
            }
    step->fused = outputs ? cbm_plan_take(plan, sizeof *step->fused) : NULL;
    if (step->fused) {
        *step->fused = (cbm_fused){ .length = b.code.count,
                                    .code = keep(plan, &b.code),
                                    .n_out = n_made,
                                    .outputs = outputs,
                                    .n_parameters = b.cells.count };
        step->cells = keep(plan, &b.cells);
        step->parameters = cbm_plan_take(plan, b.cells.count * sizeof(cbm_parameter));
        step->n_members = n_members;
        for (size_t s = 0; s < n_made; s++)
            step->n_members += made[s].as.rows != 0;
        ok = step->fused->code && step->cells && step->parameters;
    }
    cbm_heap_give(heap, b.results, n_members * sizeof(int32_t));
    cbm_array_free(&b.code);
    cbm_array_free(&b.exact);
    cbm_array_free(&b.cells);
    cbm_array_free(&b.loaded);
    return ok && step->fused;
}

/* ---- a part of a pass ---- */

/* Marks what the result is made from. */
static void mark_needed(const cbm_fused *f, size_t result, bool *needed)
{
    needed[f->outputs[result].place] = true;
    for (size_t i = f->length; i-- > 0;) {
        const cbm_fused_instruction *c = &f->code[i];
        const int32_t arguments = needed[i] ? cbm_expr_arguments(c->code) : 0;
        const int32_t at[] = { c->x, c->y, c->z };
        for (int32_t k = 0; k < arguments; k++)
            needed[at[k]] = true;
    }
}

uint64_t cbm_pass_needs(const cbm_fused *f, size_t result)
{
    bool needed[CBM_PASS_LENGTH] = { false };
    uint64_t operands = 0;
    mark_needed(f, result, needed);
    for (size_t i = 0; i < f->length; i++)
        if (needed[i] && f->code[i].code == CBM_EXPR_INPUT)
            operands |= (uint64_t)1 << f->code[i].arg;
    return operands;
}

cbm_fused *cbm_pass_part(cbm_plan *plan, const cbm_fused *f, size_t result)
{
    const uint64_t operands = cbm_pass_needs(f, result);
    bool needed[CBM_PASS_LENGTH] = { false };
    int32_t at[CBM_PASS_LENGTH], length = 0;
    cbm_fused *part = cbm_plan_take(plan, sizeof *part);
    cbm_fused_instruction *code = cbm_plan_take(plan, f->length * sizeof *code);
    cbm_fused_output *output = cbm_plan_take(plan, sizeof *output);
    if (!part || !code || !output)
        return NULL;
    mark_needed(f, result, needed);
    for (size_t i = 0; i < f->length; i++) {
        if (!needed[i])
            continue;
        cbm_fused_instruction c = f->code[i];
        const int32_t arguments = cbm_expr_arguments(c.code);
        c.x = arguments > 0 ? at[c.x] : 0;
        c.y = arguments > 1 ? at[c.y] : 0;
        c.z = arguments > 2 ? at[c.z] : 0;
        if (c.code == CBM_EXPR_INPUT) /* numbered among those that are left */
            c.arg = (int32_t)__builtin_popcountll(operands & (((uint64_t)1 << c.arg) - 1));
        at[i] = length;
        code[length++] = c;
    }
    output->place = at[f->outputs[result].place];
    *part = (cbm_fused){
        .length = (size_t)length, .code = code, .n_out = 1, .outputs = output, .n_parameters = f->n_parameters
    };
    return part;
}
