/* steps.c: one unit of a plan as a step: its operands' windows, a kernel or a fused program, workspace, and where the results
   go. View operations make no step but a new window. Rests on backend/backend.h and pass.c. */
#include "op/expression.h"
#include "plan/build.h"
#include <string.h>

static cbm_node *node_at(const cbm_build *b, int32_t i)
{
    return CBM_AT(&b->g->nodes, cbm_node *, i);
}

/* Memory that stays from run to run. */
static int64_t keep(cbm_build *b, size_t bytes)
{
    const int64_t at = (int64_t)b->plan->kept;
    b->plan->kept += (bytes + 63) / 64 * 64;
    return at;
}

/* A new temporary; of a constant unit: kept memory. */
static int32_t temporary(cbm_build *b, size_t bytes)
{
    if (b->keeping) {
        cbm_root kept = { .base = CBM_ROOT_KEPT, .lifetime = -1, .kept = keep(b, bytes) };
        return cbm_array_push(&b->roots, &kept) ? (int32_t)b->roots.count - 1 : -1;
    }
    cbm_lifetime l = { .bytes = bytes, .shares = -1 };
    cbm_root r = { .base = CBM_BASE_ARENA, .lifetime = (int32_t)b->lifetimes.count };
    return cbm_array_push(&b->lifetimes, &l) && cbm_array_push(&b->roots, &r) ? (int32_t)b->roots.count - 1 : -1;
}

static size_t bytes_of(const cbm_buffer *w)
{
    return (size_t)w->count * cbm_dtype_size(w->dtype);
}

/* Memory for a value that the next step makes: a result's, the variable it overwrites, or a temporary. A result that is
   made in a layout of its own is put into its plain place afterwards, by store_result. */
static bool give_home(cbm_build *b, cbm_ref ref, cbm_layout layout)
{
    cbm_spot *s = cbm_spot_of(b, ref);
    int32_t number = b->results[ref];
    s->known = true;
    s->offset = 0;
    s->window.layout = (int32_t)layout;
    if (number < 0 || layout != CBM_LAYOUT_PLAIN) {
        s->root = temporary(b, bytes_of(&s->window));
        return s->root >= 0;
    }
    const cbm_result *r = &CBM_AT(&b->plan->results, cbm_result, number);
    cbm_root root = { .base = r->in_place >= 0 ? 1 + r->in_place : 1 + (int32_t)b->plan->n_leaves + number,
                      .lifetime = -1 };
    s->root = (int32_t)b->roots.count;
    return cbm_array_push(&b->roots, &root) != NULL;
}

static bool step_buffers(cbm_build *b, cbm_step *step, size_t n_in, size_t n_out)
{
    step->n_in = n_in;
    step->n_out = n_out;
    step->buffers = cbm_plan_take(b->plan, (n_in + n_out) * sizeof *step->buffers);
    step->places = cbm_plan_take(b->plan, (n_in + n_out) * sizeof *step->places);
    return step->buffers && step->places;
}

static void set_buffer(cbm_step *step, size_t i, const cbm_spot *s)
{
    step->buffers[i] = s->window;
    step->buffers[i].data = NULL;
    step->places[i] = (cbm_place){ .base = s->root, .offset = s->offset }; /* the root's number until bind_places */
}

static bool push_step(cbm_build *b, cbm_step *step, size_t workspace)
{
    int32_t lifetime = -1;
    if (workspace) {
        const bool keeping = b->keeping;
        b->keeping = false;
        int32_t root = temporary(b, workspace);
        b->keeping = keeping;
        if (root < 0)
            return false;
        lifetime = CBM_AT(&b->roots, cbm_root, root).lifetime;
    }
    step->workspace_bytes = workspace;
    step->constant = b->keeping;
    return cbm_array_push(&b->step_workspace, &lifetime) && cbm_array_push(&b->plan->steps, step);
}

static void broadcast_window(const cbm_buffer *from, const cbm_buffer *to, cbm_buffer *out)
{
    *out = *to;
    out->dtype = from->dtype;
    out->layout = from->layout;
    bool same = from->count == to->count;
    out->contiguous = from->contiguous && same;
    for (int64_t k = 0; k < to->rank; k++) {
        int64_t j = k - (to->rank - from->rank);
        out->stride[k] = j < 0 || from->shape[j] == 1 ? 0 : from->stride[j];
        if (out->shape[k] == 1 && same && from->contiguous)
            out->stride[k] = to->stride[k];
    }
}

cbm_status cbm_prepare_pass(const cbm_build *b, cbm_step *step, size_t *workspace)
{
    step->pass = (cbm_fused_launch){ .fused = step->fused,
                                     .parameters = step->parameters,
                                     .n_in = step->n_in,
                                     .n_out = step->n_out,
                                     .in = step->buffers,
                                     .out = step->buffers + step->n_in,
                                     .threads = b->cx->threads };
    const cbm_backend *backend = b->plan->backend;
    *workspace = 0;
    const cbm_status status =
        backend->fused_prepare ? backend->fused_prepare(&step->pass, &step->state, workspace) : CBM_OK;
    step->pass.state = step->state;
    return status;
}

static bool finish_pass(cbm_build *b, cbm_step *step)
{
    const cbm_backend *backend = b->plan->backend;
    size_t workspace;
    const cbm_status status = cbm_prepare_pass(b, step, &workspace);
    if (status != CBM_OK) {
        const cbm_node *n = node_at(b, step->node);
        cbm_fail(b->cx, status, "[%s] cannot be prepared as part of a pass: %s", n->op->name, cbm_status_name(status));
        return false;
    }
    if (push_step(b, step, workspace))
        return true;
    if (backend->fused_release)
        backend->fused_release(step->state);
    return false;
}

/* A pass that only copies: a window into contiguous memory at to. */
static bool copy_step(cbm_build *b, int32_t node, const cbm_spot *from, const cbm_spot *to, const char *why)
{
    cbm_step step = { .node = node, .packs = -1, .n_members = 1, .why = why };
    cbm_fused_instruction *code = cbm_plan_take(b->plan, sizeof *code);
    cbm_fused_output *out = cbm_plan_take(b->plan, sizeof *out);
    step.fused = cbm_plan_take(b->plan, sizeof *step.fused);
    if (!code || !out || !step.fused || !step_buffers(b, &step, 1, 1))
        return false;
    *code = (cbm_fused_instruction){ .code = CBM_EXPR_INPUT, .arg = 0, .dtype = (int32_t)from->window.dtype };
    *step.fused = (cbm_fused){ .length = 1, .code = code, .n_out = 1, .outputs = out };
    set_buffer(&step, 0, from);
    set_buffer(&step, 1, to);
    return finish_pass(b, &step);
}

static void contiguous_window(cbm_buffer *w)
{
    int64_t stride = 1;
    for (int64_t k = w->rank; k-- > 0;) {
        w->stride[k] = stride;
        stride *= w->shape[k];
    }
    w->contiguous = 1;
}

/* A contiguous copy of a spot, for kernels that take nothing else. The spot then names the copy, so later readers share it. */
static bool make_contiguous(cbm_build *b, int32_t node, cbm_spot *s)
{
    if (s->window.contiguous)
        return true;
    cbm_spot copy = *s;
    contiguous_window(&copy.window);
    copy.offset = 0;
    copy.root = temporary(b, bytes_of(&copy.window));
    if (copy.root < 0 || !copy_step(b, node, s, &copy, "the kernel takes operands without gaps only"))
        return false;
    *s = copy;
    return true;
}

/* ---- layouts ---- */

static cbm_status run_reorder(const cbm_launch *l)
{
    const cbm_backend *backend = l->state;
    backend->reorder(&l->in[0], &l->out[0], l->threads);
    return CBM_OK;
}

static bool reorder_step(cbm_build *b, int32_t node, const cbm_spot *from, const cbm_spot *to, const char *why)
{
    cbm_step step = { .node = node, .packs = -1, .run = run_reorder, .reorder = true, .why = why };
    if (!step_buffers(b, &step, 1, 1))
        return false;
    set_buffer(&step, 0, from);
    set_buffer(&step, 1, to);
    step.launch = (cbm_launch){ .op = node_at(b, node)->op,
                                .n_in = 1,
                                .n_out = 1,
                                .in = step.buffers,
                                .out = step.buffers + 1,
                                .state = (void *)(uintptr_t)b->plan->backend,
                                .threads = b->cx->threads };
    return push_step(b, &step, 0);
}

/* Where a value is in this layout: its own place, or a copy that is made now if there is none yet. */
static bool spot_in(cbm_build *b, int32_t node, cbm_ref ref, cbm_layout layout, cbm_spot *out)
{
    cbm_spot *s = cbm_spot_of(b, ref);
    *out = *s;
    if (s->window.layout == (int32_t)layout)
        return true;
    for (size_t i = 0; i < b->copies.count; i++) {
        const cbm_copy *c = &CBM_AT(&b->copies, cbm_copy, i);
        *out = c->spot;
        if (c->ref == ref && c->spot.window.layout == (int32_t)layout)
            return true;
    }
    if (s->window.layout == CBM_LAYOUT_PLAIN && !make_contiguous(b, node, s))
        return false;
    cbm_copy copy = { .ref = ref, .spot = *s };
    copy.spot.window.layout = (int32_t)layout;
    copy.spot.offset = 0;
    copy.spot.root = temporary(b, bytes_of(&s->window));
    const char *why = layout == CBM_LAYOUT_PLAIN             ? "a chain in a layout of its own ends: plain from here"
                      : s->window.layout == CBM_LAYOUT_PLAIN ? "a chain in a layout of its own begins"
                                                             : "two chains meet that have different layouts";
    *out = copy.spot;
    return copy.spot.root >= 0 && reorder_step(b, node, s, &copy.spot, why) && cbm_array_push(&b->copies, &copy);
}

/* A result that was made in another layout goes into its own memory, plain. */
static bool store_result(cbm_build *b, int32_t node, cbm_ref ref)
{
    const cbm_spot *s = cbm_spot_of(b, ref);
    if (b->results[ref] < 0 || s->window.layout == CBM_LAYOUT_PLAIN)
        return true;
    cbm_copy copy = { .ref = ref, .spot = *s };
    const cbm_root root = { .base = 1 + (int32_t)b->plan->n_leaves + b->results[ref], .lifetime = -1 };
    copy.spot.window.layout = CBM_LAYOUT_PLAIN;
    copy.spot.root = (int32_t)b->roots.count;
    return cbm_array_push(&b->roots, &root) && reorder_step(b, node, s, &copy.spot, "a result is kept in plain form") &&
           cbm_array_push(&b->copies, &copy);
}

static bool truly_contiguous(const cbm_buffer *w)
{
    int64_t stride = 1;
    for (int64_t k = w->rank; k-- > 0;) {
        if (w->shape[k] != 1 && w->stride[k] != stride)
            return false;
        stride *= w->shape[k];
    }
    return true;
}

/* true: the node's results are windows onto its operand. */
static bool as_view(cbm_build *b, int32_t i)
{
    cbm_node *n = node_at(b, i);
    cbm_spot from;
    cbm_buffer windows[CBM_MAX_OUTPUTS];
    if (!spot_in(b, i, cbm_ref_input(n, 0), CBM_LAYOUT_PLAIN, &from))
        return false;
    for (size_t k = 0; k < n->n_out; k++) {
        windows[k] = cbm_spot_of(b, CBM_REF_NODE(i, k))->window;
        windows[k].data = NULL;
    }
    cbm_buffer source = from.window;
    source.data = NULL;
    if (!n->op->view(n->attributes, &source, windows))
        return false;
    for (size_t k = 0; k < n->n_out; k++) {
        cbm_spot *to = cbm_spot_of(b, CBM_REF_NODE(i, k));
        to->known = true;
        to->root = from.root;
        to->offset = from.offset + (int64_t)(intptr_t)windows[k].data;
        to->window = windows[k];
        to->window.data = NULL;
        to->window.contiguous = truly_contiguous(&windows[k]);
    }
    return true;
}

static bool build_view(cbm_build *b, int32_t i)
{
    for (size_t k = 0; k < node_at(b, i)->n_out; k++) {
        cbm_ref ref = CBM_REF_NODE(i, k);
        if (b->results[ref] < 0)
            continue;
        cbm_spot view = *cbm_spot_of(b, ref), *home = cbm_spot_of(b, ref);
        contiguous_window(&home->window);
        if (!give_home(b, ref, CBM_LAYOUT_PLAIN) ||
            !copy_step(b, i, &view, home, "a view that is kept gets memory of its own"))
            return false;
    }
    return true;
}

/* Prepares the kernel; one that finds itself unable after all gives way to the next backend's. */
static bool prepare_kernel(cbm_build *b, const cbm_node *n, cbm_step *step, const cbm_kernel *kernel, size_t *workspace)
{
    uint64_t constant = 0;
    for (size_t k = 0; k < n->n_in && k < 64; k++)
        constant |= (uint64_t)cbm_is_constant(b, cbm_ref_input(n, k)) << k;
    const cbm_backend *backend = b->plan->backend;
    char message[256] = "";
    cbm_launch prepared = step->launch;
    prepared.message = message;
    cbm_status status = CBM_OK;
    for (;; kernel = cbm_backend_kernel(backend, &prepared)) {
        cbm_prepare p = { .launch = &prepared,
                          .threads = b->cx->threads,
                          .deterministic = b->cx->deterministic,
                          .tune = b->cx->tune && !b->cx->dry_run,
                          .message = message,
                          .constant = constant,
                          .sure = kernel && (kernel->flags & CBM_KERNEL_SURE),
                          .packs = -1 };
        if (kernel && kernel->prepare)
            status = kernel->prepare(&p);
        step->kernel = kernel;
        step->run = kernel ? kernel->launch : n->op->kernel;
        step->state = p.state;
        step->sure = p.sure;
        *workspace = p.workspace;
        step->packs = p.packs;
        step->packed.offset = p.packs >= 0 ? keep(b, p.packed_bytes) : 0;
        if (status != CBM_ERROR_UNSUPPORTED || !backend->fallback)
            break;
        status = CBM_OK;
        backend = backend->fallback;
    }
    if (status == CBM_OK && step->run)
        return true;
    status = status == CBM_OK ? CBM_ERROR_UNSUPPORTED : status;
    b->unable = status == CBM_ERROR_UNSUPPORTED && !b->plain && !b->cx->naive;
    if (b->unable) /* the plan is made once more, without what asks more of kernels than plain operands do */
        return false;
    cbm_fail(b->cx, status, "[%s] cannot be prepared: %s", n->op->name, message[0] ? message : cbm_status_name(status));
    cbm_locate(b->cx, n->file, n->line);
    return false;
}

/* The operands where the kernel wants them; a kernel that takes strides gets views as they are. */
static bool take_operands(cbm_build *b, const cbm_unit *u, int32_t i, cbm_launch *shapes, cbm_spot *spots,
                          cbm_buffer *windows, const cbm_kernel **kernel)
{
    const cbm_node *n = node_at(b, i);
    for (size_t k = 0; k < n->n_in; k++) {
        if (!spot_in(b, i, cbm_ref_input(n, k), cbm_layout_taken(u, n, k), &spots[k]))
            return false;
        windows[k] = spots[k].window;
    }
    *kernel = n->op->kernel ? NULL : cbm_backend_kernel(b->plan->backend, shapes);
    if (*kernel && ((*kernel)->flags & CBM_KERNEL_STRIDED))
        return true;
    for (size_t k = 0; k < n->n_in; k++) {
        if (spots[k].window.contiguous)
            continue;
        cbm_spot *s = cbm_spot_of(b, cbm_ref_input(n, k));
        if (!make_contiguous(b, i, s))
            return false;
        spots[k] = *s;
        windows[k] = s->window;
    }
    *kernel = n->op->kernel ? NULL : cbm_backend_kernel(b->plan->backend, shapes);
    return true;
}

static bool copy_attributes(cbm_build *b, const cbm_node *n, cbm_step *step)
{
    for (size_t k = 0; k < n->op->n_attributes; k++)
        step->runtime = step->runtime || n->op->attributes[k].at_run;
    if (!n->op->attributes_size)
        return true;
    step->attributes = cbm_plan_take(b->plan, n->op->attributes_size);
    if (step->attributes)
        memcpy(step->attributes, n->attributes, n->op->attributes_size);
    return step->attributes != NULL;
}

/* Memory for the kernel's first result, holding a copy of what is added to it. */
static bool give_home_with_addend(cbm_build *b, const cbm_unit *u, int32_t i, const cbm_spot *addend)
{
    if (!give_home(b, u->absorbed_result, cbm_layout_made(u, 0)))
        return false;
    cbm_spot added = *addend, home = *cbm_spot_of(b, u->absorbed_result);
    added.window.layout = home.window.layout = CBM_LAYOUT_PLAIN; /* alike, so copied as they lie */
    return copy_step(b, i, &added, &home, "a kernel adds to its result what is read again later");
}

/* What a kernel adds to its result, besides the operands of its operation. */
typedef struct additions {
    cbm_spot bias, addend;
    bool has_bias, has_addend; /* the addend lies in its own memory */
} additions;

static bool take_additions(cbm_build *b, const cbm_unit *u, int32_t i, const cbm_kernel *kernel, additions *more)
{
    *more = (additions){ .has_bias = u->absorbs && u->after.bias };
    if (more->has_bias) {
        if (!spot_in(b, i, u->bias, CBM_LAYOUT_PLAIN, &more->bias) || !make_contiguous(b, i, &more->bias))
            return false;
    }
    if (!u->absorbs || !u->after.add)
        return true;
    more->has_addend = (kernel->flags & CBM_KERNEL_ADDS) != 0;
    if (!spot_in(b, i, u->added, cbm_layout_made(u, 0), &more->addend))
        return false;
    return more->has_addend ? make_contiguous(b, i, &more->addend) : give_home_with_addend(b, u, i, &more->addend);
}

static bool build_kernel(cbm_build *b, const cbm_unit *u, int32_t i)
{
    cbm_node *n = node_at(b, i);
    const cbm_op *op = n->op;
    cbm_step step = { .node = i,
                      .checks = (op->flags & CBM_OP_CHECKS) != 0,
                      .n_members = 1 + (u->absorbs ? (size_t)CBM_AT(&b->units, cbm_unit, u->absorbs - 1).count : 0) };
    cbm_buffer windows[CBM_MAX_INPUTS + CBM_MAX_OUTPUTS];
    cbm_spot spots[CBM_MAX_INPUTS];
    char message[256] = "";
    if (!copy_attributes(b, n, &step))
        return false;
    for (size_t k = 0; k < n->n_out; k++) {
        windows[n->n_in + k] = cbm_spot_of(b, CBM_REF_NODE(i, k))->window;
        windows[n->n_in + k].layout = (int32_t)cbm_layout_made(u, (int32_t)k);
    }
    cbm_launch shapes = { .op = op,
                          .attributes = step.attributes,
                          .n_in = n->n_in,
                          .n_out = n->n_out,
                          .in = windows,
                          .out = windows + n->n_in,
                          .threads = b->cx->threads,
                          .message = message };
    const cbm_kernel *kernel = NULL;
    if (!take_operands(b, u, i, &shapes, spots, windows, &kernel))
        return false;
    if (!kernel && !op->kernel) {
        cbm_fail(b->cx, CBM_ERROR_UNSUPPORTED, "[%s] the device \"%s\" has no kernel for these operands", op->name,
                 b->plan->backend->name);
        cbm_locate(b->cx, n->file, n->line);
        return false;
    }
    additions more;
    if (!take_additions(b, u, i, kernel, &more))
        return false;
    if (u->absorbs) {
        step.after = cbm_plan_take(b->plan, sizeof *step.after);
        if (!step.after)
            return false;
        *step.after = u->after;
    }
    const size_t at_bias = n->n_in, at_addend = more.has_bias ? at_bias + 1 : at_bias;
    const size_t n_in = more.has_addend ? at_addend + 1 : at_addend;
    if (!step_buffers(b, &step, n_in, n->n_out))
        return false;
    for (size_t k = 0; k < n->n_in; k++)
        set_buffer(&step, k, &spots[k]);
    if (more.has_bias)
        set_buffer(&step, at_bias, &more.bias);
    if (more.has_addend)
        set_buffer(&step, at_addend, &more.addend);
    for (size_t k = 0; k < n->n_out; k++) {
        const cbm_ref ref = k == 0 && u->absorbs ? u->absorbed_result : CBM_REF_NODE(i, (int32_t)k);
        const bool has_home = k == 0 && u->absorbs && u->after.add && !more.has_addend;
        if (!has_home && !give_home(b, ref, cbm_layout_made(u, (int32_t)k)))
            return false;
        cbm_spot home = *cbm_spot_of(b, ref);
        home.window = cbm_spot_of(b, CBM_REF_NODE(i, (int32_t)k))->window; /* in the kernel's extents */
        home.window.layout = (int32_t)cbm_layout_made(u, (int32_t)k);
        set_buffer(&step, step.n_in + k, &home);
    }
    step.launch = (cbm_launch){ .op = op,
                                .attributes = step.attributes,
                                .n_in = n->n_in,
                                .n_out = n->n_out,
                                .in = step.buffers,
                                .out = step.buffers + step.n_in,
                                .threads = b->cx->threads,
                                .after = step.after,
                                .bias = more.has_bias ? step.buffers + at_bias : NULL,
                                .added = more.has_addend ? step.buffers + at_addend : NULL };
    size_t workspace = 0;
    if (!prepare_kernel(b, n, &step, kernel, &workspace))
        return false;
    step.launch.state = step.state;
    if (!push_step(b, &step, workspace)) {
        if (step.kernel && step.kernel->release)
            step.kernel->release(step.state);
        return false;
    }
    for (size_t k = 0; k < n->n_out; k++)
        if (!store_result(b, i, k == 0 && u->absorbs ? u->absorbed_result : CBM_REF_NODE(i, (int32_t)k)))
            return false;
    return true;
}

static bool same_extents(const cbm_buffer *a, const cbm_buffer *b)
{
    bool same = a->rank == b->rank;
    for (int64_t d = 0; d < a->rank && same; d++)
        same = a->shape[d] == b->shape[d];
    return same;
}

/* What the pass leaves in memory: members' results that others read, then sums. */
static bool list_made(cbm_build *b, const cbm_unit *u, cbm_array *made)
{
    bool ok = true;
    for (int32_t m = 0; m < u->count && ok; m++) {
        const cbm_ref ref = CBM_REF_NODE(CBM_AT(&b->members, int32_t, u->first + m), 0);
        const cbm_made stored = { .ref = ref, .of = ref };
        if (b->read[ref] || b->results[ref] >= 0)
            ok = cbm_array_push(made, &stored) != NULL;
    }
    size_t sums, first = cbm_sums_of(b, u, &sums);
    for (size_t i = first; i < first + sums && ok; i++) {
        const cbm_sum *s = &CBM_AT(&b->sums, cbm_sum, i);
        const cbm_made sum = { .ref = CBM_REF_NODE(s->node, 0), .of = s->of, .as = cbm_sum_in(s, u->layout) };
        ok = cbm_array_push(made, &sum) != NULL;
    }
    return ok;
}

static bool build_pass(cbm_build *b, const cbm_unit *u)
{
    const int32_t *members = &CBM_AT(&b->members, int32_t, u->first);
    cbm_step step = { .node = members[u->count - 1], .packs = -1, .commit = u->commit };
    cbm_array made = CBM_ARRAY(b->heap, cbm_made), operands = CBM_ARRAY(b->heap, cbm_ref);
    bool ok = list_made(b, u, &made) &&
              cbm_pass_build(b->plan, b->g, members, (size_t)u->count, made.data, made.count, &step, &operands) &&
              operands.count <= CBM_MAX_INPUTS && step_buffers(b, &step, operands.count, made.count);
    const cbm_buffer *whole = ok ? &cbm_spot_of(b, CBM_AT(&made, cbm_made, 0).of)->window : NULL;
    for (size_t k = 0; k < operands.count && ok; k++) {
        const cbm_ref ref = CBM_AT(&operands, cbm_ref, k);
        const cbm_spot *own = cbm_spot_of(b, ref);
        /* what is plain (or not dense: a broadcast, mostly) is read where it lies, by its strides */
        const bool moved = own->window.layout != CBM_LAYOUT_PLAIN && same_extents(&own->window, whole);
        const cbm_layout layout = moved ? u->layout : CBM_LAYOUT_PLAIN;
        cbm_spot s;
        cbm_buffer window;
        ok = spot_in(b, step.node, ref, layout, &s);
        if (!ok)
            break;
        set_buffer(&step, k, &s);
        broadcast_window(&s.window, whole, &window);
        cbm_layout_window(u->layout, &window, &step.buffers[k]);
    }
    for (size_t k = 0; k < made.count && ok; k++) {
        const cbm_made *m = &CBM_AT(&made, cbm_made, k);
        const cbm_layout layout = m->as.rows ? CBM_LAYOUT_PLAIN : u->layout;
        ok = give_home(b, m->ref, layout);
        if (!ok)
            break;
        const cbm_spot *home = cbm_spot_of(b, m->ref);
        set_buffer(&step, operands.count + k, home);
        cbm_layout_window(layout, &home->window, &step.buffers[operands.count + k]);
    }
    ok = ok && finish_pass(b, &step);
    for (size_t k = 0; k < made.count && ok; k++)
        ok = store_result(b, step.node, CBM_AT(&made, cbm_made, k).ref);
    cbm_array_free(&made);
    cbm_array_free(&operands);
    return ok;
}

static bool build_unit(cbm_build *b, const cbm_unit *u)
{
    if (u->group >= 0)
        return build_pass(b, u);
    int32_t i = CBM_AT(&b->members, int32_t, u->first);
    const cbm_node *n = node_at(b, i);
    if ((n->op->flags & CBM_OP_VIEW) && n->op->view && as_view(b, i))
        return build_view(b, i);
    return build_kernel(b, u, i);
}

bool cbm_build_unit(cbm_build *b, const cbm_unit *u)
{
    b->keeping = cbm_is_constant(b, CBM_REF_NODE(CBM_AT(&b->members, int32_t, u->first), 0));
    const bool ok = build_unit(b, u);
    b->keeping = false;
    return ok;
}
