/* report.c: a plan described for people while it is built: its steps' operations, kernels, operands, work and reasons; and
   the times of its runs. What cbm_plan_at and its like hand out. Rests on build.h and unfused.c. */
#include "plan/report.h"
#include "op/expression.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HUGE_ARENA ((size_t)4 << 20) /* from here on base/memory.c asks for huge pages */

typedef struct maker {
    cbm_build *b;
    cbm_plan *plan;
    cbm_report *r;
    bool ok;
} maker;

static const cbm_node *node_at(const maker *m, int32_t i)
{
    return CBM_AT(&m->b->g->nodes, cbm_node *, i);
}

static const cbm_step *step_at(const maker *m, size_t s)
{
    return &CBM_AT(&m->plan->steps, cbm_step, s);
}

/* The planner's own: a copy or a reorder. */
static bool is_own(const cbm_step *step)
{
    return step->reorder || (step->why && !step->again) || (step->again && step->fused && step->fused->length == 1);
}

static const cbm_unit *unit_at(const maker *m, int32_t node)
{
    return &CBM_AT(&m->b->units, cbm_unit, m->b->unit_of[node]);
}

/* The text in memory of the plan's; frees it. */
static const char *keep_text(maker *m, cbm_text *t)
{
    size_t length = strlen(cbm_text_get(t));
    char *copy = length ? cbm_plan_take(m->plan, length + 1) : NULL;
    if (copy)
        memcpy(copy, cbm_text_get(t), length + 1);
    else if (length)
        m->ok = false;
    cbm_text_free(t);
    return copy ? copy : "";
}

/* ---- operands ---- */

static const char *layout_of(const cbm_buffer *w)
{
    static const char *const names[CBM_LAYOUT_COUNT] = { "plain", "nhwc", "nChw8c", "nChw16c" };
    if (w->layout > CBM_LAYOUT_PLAIN && w->layout < CBM_LAYOUT_COUNT)
        return names[w->layout];
    return w->contiguous ? "plain" : "strided";
}

/* A pass in a layout sees axes in the order of memory; people want the tensor's own: layouts.c's window, undone. */
static void undo_window(cbm_layout layout, cbm_buffer *w)
{
    if (layout == CBM_LAYOUT_PLAIN)
        return;
    const bool in_blocks = layout != CBM_LAYOUT_CHANNELS_LAST;
    const cbm_buffer seen = *w;
    const int64_t last = seen.rank - 1;
    if (in_blocks) {
        w->rank--;
        w->shape[1] *= seen.shape[last];
        w->stride[1] = seen.stride[last]; /* zero for what is repeated over the channels */
    }
    for (int64_t d = 1; d < w->rank && !in_blocks; d++) {
        w->shape[d] = seen.shape[d == 1 ? last : d - 1];
        w->stride[d] = seen.stride[d == 1 ? last : d - 1];
    }
    w->layout = (int32_t)(seen.contiguous ? layout : CBM_LAYOUT_PLAIN);
}

/* The shape without what is only repeated. */
static void own_shape(const cbm_buffer *w, cbm_shape *shape)
{
    *shape = (cbm_shape){ { w->rank } };
    for (int64_t k = 0; k < w->rank; k++)
        shape->v[1 + k] = w->layout == CBM_LAYOUT_PLAIN && w->stride[k] == 0 && w->shape[k] > 0 ? 1 : w->shape[k];
}

/* The newest step before s that writes where the operand lies; -1: none. Memory is used again only when it is free, so it
   is the one that made the value. */
static int64_t source_of(const maker *m, size_t s, const cbm_place *at, size_t *output)
{
    for (size_t p = s; p-- > 0;) {
        const cbm_step *step = step_at(m, p);
        for (size_t k = step->n_in; k < step->n_in + step->n_out; k++) {
            const cbm_place *to = &step->places[k];
            int64_t bytes = step->buffers[k].count * (int64_t)cbm_dtype_size(step->buffers[k].dtype);
            if (to->base == at->base && at->offset >= to->offset && at->offset < to->offset + bytes) {
                *output = k - step->n_in;
                return (int64_t)p;
            }
        }
    }
    return -1;
}

static const cbm_result *result_at(const maker *m, int32_t base)
{
    int32_t number = base - 1 - (int32_t)m->plan->n_leaves;
    return number < 0 || number >= (int32_t)m->plan->results.count ? NULL
                                                                   : &CBM_AT(&m->plan->results, cbm_result, number);
}

/* The result that overwrites a leaf's storage. */
static const cbm_result *result_in_place(const maker *m, int32_t leaf)
{
    for (size_t i = 0; i < m->plan->results.count; i++)
        if (CBM_AT(&m->plan->results, cbm_result, i).in_place == leaf)
            return &CBM_AT(&m->plan->results, cbm_result, i);
    return NULL;
}

/* What a step leaves in memory: for whom. */
static const char *why_kept(maker *m, int32_t base)
{
    cbm_text t = cbm_text_open(m->b->heap);
    bool in_place = base > 0 && base <= (int32_t)m->plan->n_leaves;
    const cbm_result *r = in_place ? result_in_place(m, base - 1) : result_at(m, base);
    if (r)
        cbm_explain_reasons(&t, r->reason);
    if (r && in_place)
        cbm_text_append(&t, ", in place");
    return keep_text(m, &t);
}

/* The operation of which result k of a step is: a sum's own, or the step's. */
static const cbm_node *made_by(const maker *m, size_t s, size_t k)
{
    const cbm_step *step = step_at(m, s);
    size_t sums, first = cbm_sums_of(m->b, unit_at(m, step->node), &sums);
    if (!cbm_is_sum(step, k))
        return node_at(m, step->node);
    return node_at(m, CBM_AT(&m->b->sums, cbm_sum, first + sums + k - step->n_out).node);
}

static void describe_operand(maker *m, size_t s, size_t k)
{
    const cbm_step *step = step_at(m, s);
    cbm_buffer seen = step->buffers[k], *w = &seen;
    const cbm_place *at = &step->places[k];
    cbm_operand_info *o = &m->r->steps[s].operands[k];
    bool output = k >= step->n_in;
    if (step->fused && !is_own(step) && (!output || !cbm_is_sum(step, k - step->n_in)))
        undo_window(unit_at(m, step->node)->layout, w);
    *o = (cbm_operand_info){ .name = "", .why = "", .source = -1, .value = -1, .dtype = w->dtype };
    o->layout = layout_of(w);
    own_shape(w, &o->shape);
    o->bytes = (uint64_t)cbm_shape_count(&o->shape) * cbm_dtype_size(w->dtype);
    if (at->base == CBM_BASE_ARENA || at->lent) {
        o->place = at->lent ? "lent" : "arena";
    } else if (at->base == CBM_BASE_KEPT(m->plan)) {
        o->place = "kept";
    } else if (at->base <= (int32_t)m->plan->n_leaves) {
        const cbm_value *v = CBM_AT(&m->b->g->leaves, cbm_value *, at->base - 1);
        o->place = o->name = v->variable ? "variable" : "data";
        o->variable = v->variable;
        o->value = at->base - 1;
    } else {
        const cbm_result *r = result_at(m, at->base);
        o->place = "result";
        o->variable = r ? cbm_ref_value(m->b->g, r->ref)->variable : NULL;
        o->value = at->base - 1;
    }
    if (output) {
        o->name = is_own(step) ? m->r->steps[s].operands[0].name : made_by(m, s, k - step->n_in)->op->name;
        o->why =
            at->base == CBM_BASE_ARENA || at->lent || at->base == CBM_BASE_KEPT(m->plan) ? "" : why_kept(m, at->base);
        return;
    }
    size_t number;
    o->source = source_of(m, s, at, &number);
    if (o->source >= 0)
        o->name = m->r->steps[o->source].operands[step_at(m, (size_t)o->source)->n_in + number].name;
}

/* Which later steps read each temporary. */
static void name_readers(maker *m)
{
    for (size_t s = 0; s < m->plan->steps.count && m->ok; s++) {
        const cbm_step *step = step_at(m, s);
        for (size_t k = step->n_in; k < step->n_in + step->n_out && m->ok; k++) {
            cbm_operand_info *o = &m->r->steps[s].operands[k];
            if (o->why[0])
                continue;
            cbm_text t = cbm_text_open(m->b->heap);
            const char *separator = "read by step ";
            for (size_t q = s + 1; q < m->plan->steps.count; q++)
                for (size_t i = 0; i < step_at(m, q)->n_in; i++) {
                    size_t number;
                    if (source_of(m, q, &step_at(m, q)->places[i], &number) != (int64_t)s || number != k - step->n_in)
                        continue;
                    cbm_text_append(&t, "%s%zu", separator, q);
                    separator = ", ";
                    break;
                }
            o->why = keep_text(m, &t);
        }
    }
}

/* ---- steps ---- */

static const char *backend_of(const cbm_plan *plan, const cbm_kernel *kernel)
{
    for (const cbm_backend *backend = plan->backend; backend; backend = backend->fallback)
        for (const cbm_kernel *const *table = backend->tables; table && *table; table++)
            for (const cbm_kernel *k = *table; k->op; k++)
                if (k == kernel)
                    return backend->name;
    return plan->backend->name;
}

static const char *kernel_text(maker *m, const cbm_step *step)
{
    cbm_text t = cbm_text_open(m->b->heap);
    if (step->fused)
        cbm_text_append(&t, "%s: %zu instructions an element", m->plan->backend->name, step->fused->length);
    else if (step->reorder)
        cbm_text_append(&t, "%s: %s to %s", m->plan->backend->name, layout_of(&step->buffers[0]),
                        layout_of(&step->buffers[1]));
    else if (!step->kernel)
        cbm_text_append(&t, "the operation's own");
    else {
        const char *choice = step->kernel->describe ? step->kernel->describe(step->launch.state) : NULL;
        cbm_text_append(&t, "%s%s%s", backend_of(m->plan, step->kernel), choice ? ": " : "", choice ? choice : "");
    }
    return keep_text(m, &t);
}

/* The pass that a kernel does to its result, or NULL. */
static const cbm_unit *absorbed_by(const maker *m, const cbm_step *step, const cbm_unit *u)
{
    return is_own(step) || !u->absorbs ? NULL : &CBM_AT(&m->b->units, cbm_unit, u->absorbs - 1);
}

static const char *does_text(maker *m, const cbm_step *step, const cbm_unit *u)
{
    cbm_text t = cbm_text_open(m->b->heap);
    for (int32_t i = 0; !is_own(step) && i < u->count; i++)
        cbm_text_append(&t, "%s%s", i ? " " : "", node_at(m, CBM_AT(&m->b->members, int32_t, u->first + i))->op->name);
    size_t sums, first = cbm_sums_of(m->b, unit_at(m, step->node), &sums);
    for (size_t i = first; step->fused && !is_own(step) && i < first + sums; i++)
        cbm_text_append(&t, " %s", node_at(m, CBM_AT(&m->b->sums, cbm_sum, i).node)->op->name);
    const cbm_unit *tail = absorbed_by(m, step, u);
    for (int32_t i = 0; tail && i < tail->count; i++)
        cbm_text_append(&t, " %s", node_at(m, CBM_AT(&m->b->members, int32_t, tail->first + i))->op->name);
    if (is_own(step))
        cbm_text_append(&t, "for %s", node_at(m, step->node)->op->name);
    return keep_text(m, &t);
}

static void describe_step(maker *m, size_t s)
{
    const cbm_step *step = step_at(m, s);
    const cbm_node *n = node_at(m, step->node);
    const cbm_unit *u = unit_at(m, step->node), *tail = absorbed_by(m, step, u);
    cbm_report_step *r = &m->r->steps[s];
    cbm_text unfused = cbm_text_open(m->b->heap);
    r->operands = cbm_plan_take(m->plan, (step->n_in + step->n_out) * sizeof *r->operands);
    if (!r->operands || (!step->why && !cbm_report_unfused(m->b, u, &unfused)) ||
        (tail && !step->why && !cbm_report_unfused(m->b, tail, &unfused)))
        m->ok = false;
    r->info = (cbm_step_info){ .operations = is_own(step) ? 0 : (uint64_t)step->n_members,
                               .name = step->reorder                        ? "reorder"
                                       : is_own(step)                       ? "copy"
                                       : step->fused && step->n_members > 1 ? "pass"
                                                                            : n->op->name,
                               .does = does_text(m, step, u),
                               .kernel = kernel_text(m, step),
                               .why = step->why ? step->why : "",
                               .unfused = keep_text(m, &unfused),
                               .file = n->file,
                               .line = n->line,
                               .inputs = step->n_in,
                               .outputs = step->n_out,
                               .scratch_bytes = step->workspace_bytes,
                               .commit = step->commit,
                               .constant = step->constant,
                               .flops = cbm_step_flops(step),
                               .seconds = NAN,
                               .last_begin = NAN,
                               .last_seconds = NAN };
    for (size_t k = 0; k < step->n_in + step->n_out && m->ok; k++) {
        describe_operand(m, s, k);
        r->info.bytes += (double)r->operands[k].bytes;
    }
    if (step->after && step->after->add && !step->launch.added && m->ok) /* what is added lies where the result goes */
        r->info.bytes += (double)r->operands[step->n_in].bytes;
}

static void describe_plan(maker *m)
{
    const cbm_plan *plan = m->plan;
    cbm_plan_info *p = &m->r->info;
    *p = (cbm_plan_info){ .operations = plan->n_nodes,
                          .steps = plan->steps.count,
                          .results = plan->results.count,
                          .arena_bytes = plan->arena,
                          .kept_bytes = plan->kept,
                          .huge_pages = plan->arena >= HUGE_ARENA,
                          .seconds = NAN };
    for (size_t i = 0; i < m->b->lifetimes.count; i++)
        p->temporary_bytes += CBM_AT(&m->b->lifetimes, cbm_lifetime, i).bytes;
    for (size_t i = 0; i < m->b->g->leaves.count; i++)
        p->operand_bytes += CBM_AT(&m->b->g->leaves, cbm_value *, i)->storage->size;
    for (size_t i = 0; i < plan->results.count; i++) {
        const cbm_result *r = &CBM_AT(&plan->results, cbm_result, i);
        p->result_bytes += r->in_place < 0 ? r->bytes : 0;
    }
    for (size_t s = 0; s < plan->steps.count; s++) {
        const cbm_step_info *step = &m->r->steps[s].info;
        p->scratch_bytes = step->scratch_bytes > p->scratch_bytes ? step->scratch_bytes : p->scratch_bytes;
        p->flops += step->flops;
        p->bytes += step->bytes;
    }
}

bool cbm_report_make(cbm_build *b)
{
    maker m = { .b = b, .plan = b->plan, .ok = true };
    m.r = cbm_plan_take(b->plan, sizeof *m.r);
    if (m.r)
        m.r->steps = cbm_plan_take(b->plan, b->plan->steps.count * sizeof *m.r->steps);
    if (!m.r || !m.r->steps)
        return false;
    for (size_t s = 0; s < b->plan->steps.count && m.ok; s++)
        describe_step(&m, s);
    if (m.ok)
        name_readers(&m);
    if (m.ok)
        describe_plan(&m);
    m.ok = m.ok && cbm_report_peak(b, m.r);
    b->plan->report = m.r;
    return m.ok;
}

/* ---- times ---- */

void cbm_report_begin(cbm_report *r)
{
    r->begun = cbm_seconds();
}

void cbm_report_step_done(cbm_report *r, size_t step, double begun)
{
    cbm_report_step *s = &r->steps[step];
    s->info.last_begin = begun - r->begun;
    s->info.last_seconds = cbm_seconds() - begun;
    s->times[r->timed % CBM_TIMED_RUNS] = s->info.last_seconds;
}

void cbm_report_end(cbm_report *r)
{
    r->times[r->timed++ % CBM_TIMED_RUNS] = cbm_seconds() - r->begun;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *times, uint64_t timed)
{
    double sorted[CBM_TIMED_RUNS];
    size_t n = timed < CBM_TIMED_RUNS ? (size_t)timed : CBM_TIMED_RUNS;
    if (!n)
        return NAN;
    memcpy(sorted, times, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_size);
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static double least(const double *times, uint64_t timed)
{
    double t = NAN;
    for (uint64_t i = 0; i < timed && i < CBM_TIMED_RUNS; i++)
        t = fmin(t, times[i]);
    return t;
}

/* ---- looking ---- */

void cbm_profile(cbm_context *cx, bool on)
{
    if (cx->broken || cx->profile == on)
        return;
    if (on)
        cbm_plans_drop(cx);
    cx->profile = on;
}

void cbm_dry_run(cbm_context *cx, bool on)
{
    if (cx->broken || cx->dry_run == on)
        return;
    cbm_plans_drop(cx); /* what they keep from run to run has, or will have, no values */
    cx->dry_run = on;
}

static const cbm_plan *plan_at(const cbm_context *cx, size_t number)
{
    const cbm_planner *p = cx->broken ? NULL : cx->planner;
    const cbm_plan *plan = p ? p->newest : NULL;
    for (; plan && number > 0; number--)
        plan = plan->older;
    return plan && plan->report ? plan : NULL;
}

/* Fills the caller's record, which may be an older, shorter one. */
static bool hand_out(void *out, const void *record, size_t size)
{
    uint64_t room;
    memcpy(&room, out, sizeof room);
    if (room < sizeof room)
        return false;
    size_t part = room < size ? (size_t)room : size;
    memcpy((char *)out + sizeof room, (const char *)record + sizeof room, part - sizeof room);
    return true;
}

bool cbm_plan_at(const cbm_context *cx, size_t plan, cbm_plan_info *out)
{
    const cbm_plan *p = plan_at(cx, plan);
    if (!p)
        return false;
    cbm_plan_info info = p->report->info;
    info.runs = p->runs;
    info.seconds = median(p->report->times, p->report->timed);
    return hand_out(out, &info, sizeof info);
}

bool cbm_plan_step_at(const cbm_context *cx, size_t plan, size_t step, cbm_step_info *out)
{
    const cbm_plan *p = plan_at(cx, plan);
    if (!p || step >= p->steps.count)
        return false;
    cbm_step_info info = p->report->steps[step].info;
    info.seconds = median(p->report->steps[step].times, p->report->timed);
    info.least_seconds = least(p->report->steps[step].times, p->report->timed);
    return hand_out(out, &info, sizeof info);
}

bool cbm_plan_operand_at(const cbm_context *cx, size_t plan, size_t step, size_t operand, cbm_operand_info *out)
{
    const cbm_plan *p = plan_at(cx, plan);
    if (!p || step >= p->steps.count)
        return false;
    const cbm_report_step *s = &p->report->steps[step];
    return operand < s->info.inputs + s->info.outputs && hand_out(out, &s->operands[operand], sizeof(cbm_operand_info));
}

bool cbm_plan_live_at(const cbm_context *cx, size_t plan, size_t number, cbm_live_info *out)
{
    const cbm_plan *p = plan_at(cx, plan);
    return p && number < p->report->n_live && hand_out(out, &p->report->live[number], sizeof(cbm_live_info));
}
