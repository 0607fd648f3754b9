/* cache.c: plans by fingerprint, confirmed by comparing bytes; the least recently used is evicted. */
#include "plan/plan.h"
#include <string.h>

void *cbm_plan_take(cbm_plan *plan, size_t size)
{
    cbm_block block = { cbm_heap_take_zero(plan->heap, size ? size : 1), size ? size : 1 };
    if (block.memory && !cbm_array_push(&plan->blocks, &block)) {
        cbm_heap_give(plan->heap, block.memory, block.size);
        return NULL;
    }
    return block.memory;
}

void cbm_step_release(const cbm_plan *plan, cbm_step *s)
{
    if (s->kernel && s->kernel->release && !s->again) /* a repeated kernel's state is its first step's */
        s->kernel->release(s->state);
    if (!s->run && plan->backend->fused_release)
        plan->backend->fused_release(s->state);
}

void cbm_plan_free(cbm_plan *plan)
{
    for (size_t i = 0; i < plan->steps.count; i++)
        cbm_step_release(plan, &CBM_AT(&plan->steps, cbm_step, i));
    cbm_kept_drop(plan);
    for (size_t i = 0; i < plan->blocks.count; i++)
        cbm_heap_give(plan->heap, CBM_AT(&plan->blocks, cbm_block, i).memory, CBM_AT(&plan->blocks, cbm_block, i).size);
    cbm_array *const arrays[] = { &plan->key,     &plan->key_start, &plan->steps,
                                  &plan->results, &plan->blocks,    &plan->kept_of };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        cbm_array_free(arrays[i]);
    cbm_tape_free(plan->tape);
    cbm_heap_give(plan->heap, plan, sizeof *plan);
}

static void unlink_plan(cbm_planner *p, cbm_plan *plan)
{
    *(plan->newer ? &plan->newer->older : &p->newest) = plan->older;
    *(plan->older ? &plan->older->newer : &p->oldest) = plan->newer;
    plan->newer = plan->older = NULL;
}

static void make_newest(cbm_planner *p, cbm_plan *plan)
{
    plan->older = p->newest;
    plan->newer = NULL;
    *(p->newest ? &p->newest->newer : &p->oldest) = plan;
    p->newest = plan;
}

void cbm_plan_used(cbm_planner *p, cbm_plan *plan)
{
    if (p->newest == plan)
        return;
    unlink_plan(p, plan);
    make_newest(p, plan);
}

cbm_plan *cbm_plan_find(cbm_planner *p, const cbm_collected *g)
{
    if (!p->n_buckets)
        return NULL;
    for (cbm_plan *plan = p->buckets[g->hash % p->n_buckets]; plan; plan = plan->chain)
        if (plan->hash == g->hash && plan->key.count == g->key.count &&
            !memcmp(plan->key.data, g->key.data, g->key.count)) {
            cbm_plan_used(p, plan);
            return plan;
        }
    return NULL;
}

static void drop(cbm_context *cx, cbm_plan *plan)
{
    cbm_planner *p = cx->planner;
    cbm_follow_forget(cx, plan);
    cbm_plan **at = &p->buckets[plan->hash % p->n_buckets];
    while (*at != plan)
        at = &(*at)->chain;
    *at = plan->chain;
    unlink_plan(p, plan);
    p->n_plans--;
    cbm_plan_free(plan);
}

bool cbm_plan_keep(cbm_context *cx, cbm_plan *plan)
{
    cbm_planner *p = cx->planner;
    if (!p->n_buckets) {
        size_t n = (size_t)cx->plan_cache * 2 + 1;
        p->buckets = cbm_heap_take_zero(cx->heap, n * sizeof *p->buckets);
        if (!p->buckets) {
            cbm_plan_free(plan);
            cbm_fail_memory(cx, "the cache of plans");
            return false;
        }
        p->n_buckets = n;
    }
    while (p->n_plans >= (size_t)cx->plan_cache) {
        drop(cx, p->oldest);
        cx->statistics.plans_evicted++;
    }
    cbm_plan **bucket = &p->buckets[plan->hash % p->n_buckets];
    plan->chain = *bucket;
    *bucket = plan;
    make_newest(p, plan);
    p->n_plans++;
    cx->statistics.plans_cached = p->n_plans;
    return true;
}

void cbm_plans_drop(cbm_context *cx)
{
    cbm_planner *p = cx->planner;
    while (p->oldest)
        drop(cx, p->oldest);
    cbm_heap_give(cx->heap, p->buckets, p->n_buckets * sizeof *p->buckets);
    p->buckets = NULL;
    p->n_buckets = 0;
    cx->statistics.plans_cached = 0;
}
