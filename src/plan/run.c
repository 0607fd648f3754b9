/* run.c: running a plan: this time's buffers and numbers are bound, everything that can fail runs first, then variables are
   overwritten, then the graph learns what was computed. On failure nothing has changed. */
#include "plan/report.h"
#include <string.h>

#define ARENA_ALIGNMENT 64
#define DRY_ZEROED 65536 /* bytes: results that a dry run fills with zeros */

static bool grow_arena(cbm_context *cx, size_t bytes)
{
    cbm_planner *p = cx->planner;
    if (bytes <= p->arena_bytes)
        return true;
    cbm_heap_give(cx->heap, p->arena, p->arena_bytes);
    p->arena_bytes = 0;
    p->arena = cbm_heap_take(cx->heap, bytes);
    if (p->arena)
        p->arena_bytes = bytes;
    cx->statistics.arena_bytes = p->arena_bytes;
    return p->arena != NULL;
}

/* Storage for the results; those of in-place assignments are their variables' own. */
static bool take_storages(cbm_context *cx, cbm_plan *plan, const cbm_collected *g)
{
    cbm_planner *p = cx->planner;
    p->storages.count = 0;
    for (size_t i = 0; i < plan->results.count; i++) {
        const cbm_result *r = &CBM_AT(&plan->results, cbm_result, i);
        cbm_storage *s = r->in_place >= 0 ? CBM_AT(&g->leaves, cbm_value *, r->in_place)->storage
                                          : cbm_storage_new(cx->heap, r->bytes);
        if (!s || !cbm_array_push(&p->storages, &s)) {
            if (s && r->in_place < 0)
                cbm_storage_release(s);
            return false;
        }
    }
    return true;
}

static void drop_storages(cbm_context *cx, const cbm_plan *plan)
{
    cbm_planner *p = cx->planner;
    for (size_t i = 0; i < p->storages.count; i++)
        if (CBM_AT(&plan->results, cbm_result, i).in_place < 0)
            cbm_storage_release(CBM_AT(&p->storages, cbm_storage *, i));
    p->storages.count = 0;
}

static bool fill_bases(cbm_context *cx, const cbm_plan *plan, const cbm_collected *g)
{
    cbm_planner *p = cx->planner;
    if (!cbm_array_reserve(&p->bases, plan->bases))
        return false;
    char **bases = p->bases.data;
    bases[CBM_BASE_ARENA] = p->arena;
    for (size_t i = 0; i < plan->n_leaves; i++)
        bases[1 + i] = CBM_AT(&g->leaves, cbm_value *, i)->storage->data;
    for (size_t i = 0; i < plan->results.count; i++)
        bases[1 + plan->n_leaves + i] = CBM_AT(&p->storages, cbm_storage *, i)->data;
    bases[CBM_BASE_KEPT(plan)] = plan->kept_memory ? plan->kept_memory->data : NULL;
    return true;
}

/* This time's numbers: learning rates, slice starts, random positions. */
static void bind_numbers(cbm_step *step, const cbm_collected *g)
{
    if (step->runtime)
        memcpy(step->attributes, CBM_AT(&g->nodes, cbm_node *, step->node)->attributes,
               step->launch.op->attributes_size);
    for (size_t i = 0; !step->run && i < step->fused->n_parameters; i++) {
        const cbm_cell *c = &step->cells[i];
        const char *at = (const char *)CBM_AT(&g->nodes, cbm_node *, c->node)->attributes + c->offset;
        switch ((cbm_attribute_type)c->kind) {
        case CBM_ATTRIBUTE_INT:
        case CBM_ATTRIBUTE_DTYPE: step->parameters[i].f = (double)*(const int64_t *)(const void *)at; break;
        default: memcpy(&step->parameters[i], at, sizeof(cbm_parameter)); break;
        }
    }
}

/* This time's buffers and numbers. false: there is no element to compute. */
static bool bind_step(cbm_context *cx, cbm_step *step, const cbm_collected *g)
{
    char *const *bases = ((cbm_planner *)cx->planner)->bases.data;
    int64_t work = 0;
    for (size_t i = 0; i < step->n_in + step->n_out; i++) {
        char *base = bases[step->places[i].base]; /* NULL: an arena of no bytes */
        step->buffers[i].data = base ? base + step->places[i].offset : NULL;
        work += i >= step->n_in ? step->buffers[i].count : 0;
    }
    if (!work && step->n_out)
        return false;
    bind_numbers(step, g);
    char *workspace = step->workspace_bytes ? bases[step->workspace.base] + step->workspace.offset : NULL;
    step->launch.workspace = step->pass.workspace = workspace;
    return true;
}

static cbm_status run_step(cbm_context *cx, cbm_step *step, const cbm_collected *g, bool stale)
{
    char *const *bases = ((cbm_planner *)cx->planner)->bases.data;
    if ((step->constant && !stale) || !bind_step(cx, step, g))
        return CBM_OK;
    if (!step->run) {
        cx->backend->fused_run(&step->pass);
        return CBM_OK;
    }
    char message[256];
    message[0] = 0;
    step->launch.message = message;
    cbm_status status = CBM_OK;
    if (step->packs >= 0) {
        char *packed = bases[step->packed.base] + step->packed.offset;
        if (stale)
            status = step->kernel->pack(&step->launch, packed);
        step->buffers[step->packs].data = packed;
    }
    if (status == CBM_OK)
        status = step->run(&step->launch);
    if (status != CBM_OK) {
        const cbm_node *n = CBM_AT(&g->nodes, cbm_node *, step->node);
        cbm_fail(cx, status, "[%s] %s", n->op->name, message[0] ? message : cbm_status_name(status));
        cbm_locate(cx, n->file, n->line);
    }
    return status;
}

/* A dry run's results: zeros where they may be looked at, untouched pages where they are large. */
static cbm_status pretend(const cbm_context *cx, const cbm_plan *plan)
{
    const cbm_planner *p = cx->planner;
    for (size_t i = 0; i < p->storages.count; i++) {
        cbm_storage *s = CBM_AT(&p->storages, cbm_storage *, i);
        if (CBM_AT(&plan->results, cbm_result, i).in_place < 0 && s->size <= DRY_ZEROED)
            memset(s->data, 0, s->size);
    }
    return CBM_OK;
}

static cbm_status run_timed(cbm_context *cx, cbm_plan *plan, size_t step, const cbm_collected *g, bool stale)
{
    double begun = cbm_seconds();
    cbm_status status = run_step(cx, &CBM_AT(&plan->steps, cbm_step, step), g, stale);
    cbm_report_step_done(plan->report, step, begun);
    return status;
}

/* The passes from step first on that overwrite variables, as one: each owns its variables and nobody else reads their old
   values any more. Returns how many there are. */
static size_t run_commits(cbm_context *cx, cbm_plan *plan, size_t first, const cbm_collected *g)
{
    const cbm_fused_launch *launches[64];
    size_t count = 0, bound = 0;
    for (; first + count < plan->steps.count && count < sizeof launches / sizeof *launches; count++) {
        cbm_step *step = &CBM_AT(&plan->steps, cbm_step, first + count);
        if (!step->commit || step->run)
            break;
        if (bind_step(cx, step, g))
            launches[bound++] = &step->pass;
    }
    cx->backend->fused_run_all(launches, bound);
    return count;
}

static cbm_status run_steps(cbm_context *cx, cbm_plan *plan, const cbm_collected *g, bool stale)
{
    if (cx->dry_run)
        return pretend(cx, plan);
    bool timed = cx->profile && plan->report;
    if (timed)
        cbm_report_begin(plan->report);
    bool committing = false; /* from the first variable overwritten on there is no way back */
    for (size_t i = 0; i < plan->steps.count; i++) {
        cbm_step *step = &CBM_AT(&plan->steps, cbm_step, i);
        committing = committing || step->commit;
        if (!committing && __atomic_load_n(&cx->cancelled, __ATOMIC_RELAXED))
            return cbm_fail(cx, CBM_ERROR_CANCELLED, "[evaluate] cancelled; nothing was changed");
        if (step->commit && !step->run && !timed && cx->backend->fused_run_all) {
            i += run_commits(cx, plan, i, g) - 1;
            continue;
        }
        cbm_status status = timed ? run_timed(cx, plan, i, g, stale) : run_step(cx, step, g, stale);
        if (status != CBM_OK)
            return status;
    }
    if (timed)
        cbm_report_end(plan->report);
    return CBM_OK;
}

/* The graph learns what was computed: results get their storage, nodes have run. */
static void publish(cbm_context *cx, cbm_plan *plan, const cbm_collected *g)
{
    cbm_planner *p = cx->planner;
    for (size_t i = 0; i < plan->results.count; i++) {
        const cbm_result *r = &CBM_AT(&plan->results, cbm_result, i);
        cbm_value *v = cbm_ref_value(g, r->ref);
        if (r->in_place >= 0) {
            cbm_value *old = CBM_AT(&g->leaves, cbm_value *, r->in_place);
            old->storage = NULL;
            old->overwritten = true;
            CBM_AT(&p->storages, cbm_storage *, i)->stamp = cbm_storage_stamp();
        }
        v->storage = CBM_AT(&p->storages, cbm_storage *, i);
        v->wanted = false;
    }
    p->storages.count = 0;
    cx->statistics.versions_copied += plan->copied;
}

/* Nodes have run; what was pending is in g, all of it. Committing then lets go of old versions, whose nodes are in g
   perhaps: all are held until let_go. */
static void hold_nodes(cbm_context *cx, const cbm_collected *g)
{
    for (size_t i = 0; i < g->nodes.count; i++) {
        cbm_node *n = CBM_AT(&g->nodes, cbm_node *, i);
        cbm_value_retain(n->out);
        n->state = CBM_NODE_DONE;
        n->pinned = false;
        n->prev = n->next = NULL;
    }
    cx->first_pending = cx->last_pending = NULL;
    cx->pending = 0;
}

/* The newest first, so that what only they held goes at once. */
static void let_go(const cbm_collected *g)
{
    for (size_t i = g->nodes.count; i-- > 0;) {
        cbm_node *n = CBM_AT(&g->nodes, cbm_node *, i);
        if (n->live > 1 || n->out->refs > 1) {
            n->out->refs--; /* this function's own reference must not keep the node from settling */
            cbm_node_settle(n);
            n->out->refs++;
        }
        cbm_value_release(n->out);
    }
}

cbm_status cbm_plan_run(cbm_context *cx, cbm_plan *plan, const cbm_collected *g)
{
    cbm_status status = CBM_OK;
    bool stale = false;
    if (!grow_arena(cx, plan->arena) || !cbm_kept_prepare(cx, plan, g, &stale) || !take_storages(cx, plan, g) ||
        !fill_bases(cx, plan, g))
        status = cbm_fail_memory(cx, "an evaluation");
    if (status == CBM_OK)
        status = run_steps(cx, plan, g, stale);
    if (status != CBM_OK) {
        drop_storages(cx, plan);
        if (stale)
            cbm_kept_drop(plan);
        return status;
    }
    if (stale && cx->dry_run) /* nothing was computed that could be kept */
        cbm_kept_drop(plan);
    else if (stale)
        cbm_kept_made(cx, plan, g);
    plan->runs++;
    publish(cx, plan, g);
    hold_nodes(cx, g);
    cbm_commit(cx);
    let_go(g);
    return CBM_OK;
}
