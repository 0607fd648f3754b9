/* follow.c: evaluating a step that followed a tape to its end. The calls have determined the graph; what they do not
   determine is compared here, and the plan is found without a key. Also when tapes are learned, and which one is followed
   next. What is demanded of a graph is said here too, since every repeated step asks. Rests on tensor/replay.h. */
#include "plan/plan.h"
#include <string.h>

/* ---- what is demanded ---- */

uint8_t cbm_demand_of(const cbm_context *cx, const cbm_node *n, const cbm_value *v, bool consumed)
{
    if (v->storage) /* of a node that runs again for another result */
        return 0;
    uint8_t d = v->stamp == cx->stamp ? CBM_DEMAND_ASKED : 0;
    d |= v->wanted ? CBM_DEMAND_WANTED : 0;
    d |= v->slots > 0 ? CBM_DEMAND_VARIABLE : 0;
    d |= v->saves > 0 ? CBM_DEMAND_SAVED : 0;
    if (n->state != CBM_NODE_PENDING)
        return d;
    if (v->handles > 0 && !cbm_is_inline_scalar(n)) { /* numbers are there whenever they are asked for */
        d |= consumed ? 0 : CBM_DEMAND_SINK;
        d |= v->count == 1 ? CBM_DEMAND_SCALAR : 0;
    }
    d |= n->pinned && !v->index ? CBM_DEMAND_EFFECT : 0;
    return d;
}

/* The old version may be overwritten if only the variable still holds it. */
bool cbm_may_overwrite(const cbm_context *cx, const cbm_node *n)
{
    if (!(n->op->flags & CBM_OP_ASSIGN) || cx->naive)
        return false;
    const cbm_value *old = n->in[0], *new = &n->out[0];
    return old->storage && old->storage->refs == 1 && !old->storage->borrowed && old->handles == 0 && old->saves == 0 &&
           old->slots == 1 && old->variable && old->variable->committed == old && old->variable->value == new;
}

/* ---- following ---- */

/* Stamps what is asked for. false: some of it has been fused away and must be computed again. */
static bool mark_asked(cbm_context *cx, cbm_value *const *asked, size_t count)
{
    cx->stamp++;
    for (size_t i = 0; i < count; i++) {
        if (asked[i]->storage)
            continue;
        if (!asked[i]->node || asked[i]->node->state != CBM_NODE_PENDING)
            return false;
        asked[i]->stamp = cx->stamp;
    }
    return true;
}

static bool same_demands(const cbm_context *cx, const cbm_tape_entry *e, const cbm_node *n)
{
    for (size_t k = 0; k < n->n_out; k++)
        if (cbm_demand_of(cx, n, &n->out[k], e->consumed >> k & 1) != e->demands[k])
            return false;
    return cbm_may_overwrite(cx, n) == e->in_place;
}

cbm_plan *cbm_follow(cbm_context *cx, cbm_value *const *asked, size_t count, cbm_collected *g)
{
    cbm_replay *r = &cx->replay;
    const cbm_tape *tape = r->tape;
    if (r->state != CBM_REPLAY_FOLLOWS || r->nodes.count != tape->entries.count ||
        cx->pending != (int64_t)tape->n_nodes || !cbm_array_reserve(&g->nodes, tape->n_nodes) ||
        !cbm_array_reserve(&g->leaves, tape->n_leaves) || !mark_asked(cx, asked, count))
        return NULL;
    g->cx = cx;
    g->nodes.count = tape->n_nodes;
    g->leaves.count = tape->n_leaves;
    for (size_t i = 0; i < tape->entries.count; i++) {
        const cbm_tape_entry *e = &CBM_AT(&tape->entries, cbm_tape_entry, i);
        cbm_node *n = CBM_AT(&r->nodes, cbm_node *, i);
        if ((n != NULL) != (e->number >= 0) || (n && !same_demands(cx, e, n)))
            return NULL;
        if (n)
            CBM_AT(&g->nodes, cbm_node *, e->number) = n;
    }
    for (size_t i = 0; i < tape->leaves.count; i++) {
        int32_t number = CBM_AT(&tape->leaves, cbm_tape_leaf, i).number;
        if (number >= 0)
            CBM_AT(&g->leaves, cbm_value *, number) = CBM_AT(&r->leaves, cbm_value *, i);
    }
    r->steps++;
    return tape->plan;
}

/* ---- learning ---- */

/* Enters what the graph says into the draft: false if they are not of one step. */
static bool complete(cbm_tape *tape, const cbm_replay *r, const cbm_collected *g)
{
    size_t number = 0;
    for (size_t i = 0; i < tape->entries.count; i++) {
        cbm_tape_entry *e = &CBM_AT(&tape->entries, cbm_tape_entry, i);
        const cbm_node *n = CBM_AT(&r->nodes, cbm_node *, i);
        if (!n)
            continue;
        if (number >= g->nodes.count || CBM_AT(&g->nodes, cbm_node *, number) != n)
            return false;
        e->number = (int32_t)number;
        memcpy(e->demands, &CBM_AT(&g->demands, uint8_t, number * CBM_MAX_OUTPUTS), CBM_MAX_OUTPUTS);
        e->in_place = CBM_AT(&g->in_place, uint8_t, number);
        for (size_t k = 0; k < e->n_in; k++)
            if (e->in[k] < 0)
                CBM_AT(&tape->leaves, cbm_tape_leaf, -1 - e->in[k]).number = n->in[k]->place;
            else
                CBM_AT(&tape->entries, cbm_tape_entry, e->in[k] / CBM_MAX_OUTPUTS).consumed |=
                    (uint8_t)(1 << e->in[k] % CBM_MAX_OUTPUTS);
        number++;
    }
    tape->n_nodes = g->nodes.count;
    tape->n_leaves = g->leaves.count;
    return number == g->nodes.count;
}

void cbm_follow_learn(cbm_context *cx, cbm_plan *plan, const cbm_collected *g)
{
    cbm_replay *r = &cx->replay;
    cbm_planner *p = cx->planner;
    if (plan->tape && plan == p->expected) { /* the same graph, yet other calls: the tape is out of date */
        cbm_replay_stop(cx);
        cbm_tape_free(plan->tape);
        plan->tape = NULL;
    }
    if (r->state != CBM_REPLAY_DRAFTS || plan->tape || !complete(r->tape, r, g))
        return;
    plan->tape = r->tape;
    plan->tape->plan = plan;
    r->tape = NULL;
    r->state = CBM_REPLAY_OFF;
}

void cbm_follow_next(cbm_context *cx, cbm_plan *plan, bool reused)
{
    cbm_planner *p = cx->planner;
    if (p->last)
        p->last->follower = plan;
    p->last = plan;
    p->expected = plan->follower && plan->follower->tape ? plan->follower : NULL;
    cbm_replay_begin(cx, p->expected ? p->expected->tape : NULL, reused);
}

void cbm_follow_forget(cbm_context *cx, cbm_plan *plan)
{
    cbm_planner *p = cx->planner;
    if (cx->replay.state == CBM_REPLAY_FOLLOWS && cx->replay.tape == plan->tape)
        cbm_replay_stop(cx);
    p->last = p->last == plan ? NULL : p->last;
    p->expected = p->expected == plan ? NULL : p->expected;
    for (cbm_plan *q = p->newest; q; q = q->older)
        q->follower = q->follower == plan ? NULL : q->follower;
}
