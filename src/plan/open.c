/* open.c: opening and closing a context, and evaluating: the engine behind cbm_read, cbm_step and the ends of scopes. */
#include "plan/plan.h"
#include <string.h>

static cbm_status run_pending(cbm_context *cx, cbm_value *const *asked, size_t count)
{
    cbm_planner *p = cx->planner;
    bool reused = true;
    cbm_plan *plan = cbm_follow(cx, asked, count, &p->graph);
    if (plan) {
        cbm_plan_used(p, plan);
    } else {
        if (!cbm_collect(cx, asked, count, &p->graph))
            return cx->status;
        if (!p->graph.nodes.count)
            return CBM_OK;
        plan = cbm_plan_find(p, &p->graph);
        if (plan)
            cbm_follow_learn(cx, plan, &p->graph);
    }
    cx->statistics.evaluations++;
    if (!plan) {
        reused = false;
        plan = cbm_plan_build(&p->graph);
        if (!plan)
            return cx->status;
        cbm_explain_new_plan(cx, plan, &p->graph, p->newest);
        if (!cbm_plan_keep(cx, plan))
            return cx->status;
    }
    cx->statistics.plans_made += !reused;
    cx->statistics.plans_reused += reused;
    cbm_status status = cbm_plan_run(cx, plan, &p->graph);
    if (status == CBM_OK)
        cbm_follow_next(cx, plan, reused);
    return status;
}

static cbm_status evaluate(cbm_context *cx, cbm_value *const *asked, size_t count)
{
    if (!cbm_context_ready(cx))
        return cx->status;
    if (!cx->pending && !count) {
        cbm_commit(cx);
        return CBM_OK;
    }
    cx->pending_evaluating++;
    cbm_status status = run_pending(cx, asked, count);
    if (status != CBM_OK) {
        cbm_rollback(cx);
        cbm_drop_pending(cx);
        cbm_close_error(cx);
    } else {
        cbm_commit(cx);
    }
    cx->pending_evaluating--;
    return cx->status;
}

static bool has_kernel(cbm_context *cx, const cbm_op *op)
{
    if (op->expression || (op->flags & CBM_OP_VIEW))
        return true;
    if (cbm_op_named(op->name) != op) /* a user's, though it may be called like one of the house */
        return false;
    for (const cbm_backend *b = cx->backend; b; b = b->fallback)
        for (const cbm_kernel *const *table = b->tables; table && *table; table++)
            for (const cbm_kernel *k = *table; k->op; k++)
                if (strcmp(k->op, op->name) == 0)
                    return true;
    return false;
}

static const cbm_engine engine = { evaluate, has_kernel };

static cbm_planner *planner_new(cbm_heap *heap)
{
    cbm_planner *p = cbm_heap_take_zero(heap, sizeof *p);
    if (!p)
        return NULL;
    p->graph = (cbm_collected){ .nodes = CBM_ARRAY(heap, cbm_node *),
                                .leaves = CBM_ARRAY(heap, cbm_value *),
                                .demands = CBM_ARRAY(heap, uint8_t),
                                .in_place = CBM_ARRAY(heap, uint8_t),
                                .key = CBM_ARRAY(heap, char),
                                .key_start = CBM_ARRAY(heap, uint32_t) };
    p->bases = CBM_ARRAY(heap, char *);
    p->storages = CBM_ARRAY(heap, cbm_storage *);
    return p;
}

static void planner_free(cbm_context *cx)
{
    cbm_planner *p = cx->planner;
    if (!p)
        return;
    cbm_plans_drop(cx);
    cbm_array *const arrays[] = { &p->graph.nodes, &p->graph.leaves,    &p->graph.demands, &p->graph.in_place,
                                  &p->graph.key,   &p->graph.key_start, &p->bases,         &p->storages };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        cbm_array_free(arrays[i]);
    cbm_heap_give(cx->heap, p->arena, p->arena_bytes);
    cbm_heap_give(cx->heap, p, sizeof *p);
}

cbm_context *cbm_open(const cbm_context_options *options)
{
    cbm_context *cx = cbm_context_new(options);
    if (!cx)
        return &cbm_context_broken;
    cx->planner = planner_new(cx->heap);
    if (!cx->planner) {
        cbm_context_free(cx);
        return &cbm_context_broken;
    }
    const char *device = options && options->struct_size > offsetof(cbm_context_options, device) && options->device
                             ? options->device
                             : "cpu";
    cx->engine = &engine;
    cx->backend = cbm_backend_named(device);
    if (!cx->backend) {
        cx->backend = &cbm_backend_reference;
        cbm_fail(cx, CBM_ERROR_UNSUPPORTED, "[open] no device \"%s\" in this build. HINT: \"cpu\" or \"reference\"",
                 device);
    }
    return cx;
}

static void release_all(cbm_scope *scope)
{
    while (scope->first) {
        scope->first->refs = 1;
        cbm_release(scope->first);
    }
}

void cbm_close(cbm_context *cx)
{
    if (!cx || cx->broken)
        return;
    if (cx->status == CBM_OK && cx->pending) /* effects of the program's last operations */
        evaluate(cx, NULL, 0);
    while (cx->owned.count) {
        cbm_owned o = CBM_AT(&cx->owned, cbm_owned, --cx->owned.count);
        o.destroy(o.object);
    }
    while (cx->scope != &cx->root) {
        cx->scope->quiet = true;
        cbm_scope_end(cx->scope);
    }
    release_all(&cx->root);
    release_all(&cx->loose);
    while (cx->variables.count) {
        cbm_tensor *t = CBM_AT(&cx->variables, cbm_tensor *, cx->variables.count - 1);
        t->refs = 1;
        cbm_release(t);
    }
    cbm_drop_pending(cx); /* effects that an error kept from happening */
    planner_free(cx);
    cbm_context_free(cx);
}

const char *cbm_context_device(const cbm_context *cx)
{
    return cx->backend ? cx->backend->name : "none";
}

void cbm_trim(cbm_context *cx)
{
    if (cx->broken)
        return;
    cbm_planner *p = cx->planner;
    cbm_plans_drop(cx);
    cbm_replay_free(cx);
    cbm_heap_give(cx->heap, p->arena, p->arena_bytes);
    p->arena = NULL;
    p->arena_bytes = 0;
    cx->statistics.arena_bytes = 0;
    cbm_heap_trim(cx->heap);
}
