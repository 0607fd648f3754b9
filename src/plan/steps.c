/* steps.c: one unit of a plan as a step: its operands' windows, a kernel or a fused program, workspace, and where the results
   go. View operations make no step but a new window. Rests on backend/backend.h and pass.c. */
#include "op/expression.h"
#include "plan/build.h"
#include <string.h>

#define REUSE_SEARCH_LIMIT 8192 /* nodes: above, finding operands that die would cost more than it saves */

static cbm_node *node_at(const cbm_build *b, int32_t i)
{
    return CBM_AT(&b->g->nodes, cbm_node *, i);
}

static int32_t next_step(const cbm_build *b)
{
    return (int32_t)b->plan->steps.count;
}

/* A new temporary, born with the next step. */
static int32_t temporary(cbm_build *b, size_t bytes, int32_t shares)
{
    cbm_lifetime l = { .first = next_step(b), .last = next_step(b), .bytes = bytes, .shares = shares };
    cbm_root r = { .base = CBM_BASE_ARENA, .lifetime = (int32_t)b->lifetimes.count };
    return cbm_array_push(&b->lifetimes, &l) && cbm_array_push(&b->roots, &r) ? (int32_t)b->roots.count - 1 : -1;
}

static void used_now(cbm_build *b, int32_t root)
{
    const cbm_root *r = &CBM_AT(&b->roots, cbm_root, root);
    if (r->base == CBM_BASE_ARENA)
        CBM_AT(&b->lifetimes, cbm_lifetime, r->lifetime).last = next_step(b);
}

static size_t bytes_of(const cbm_buffer *w)
{
    return (size_t)w->count * cbm_dtype_size(w->dtype);
}

/* Memory for a value that the next step makes: a result's, the variable it overwrites, or a temporary. */
static bool give_home(cbm_build *b, cbm_ref ref, int32_t shares)
{
    cbm_spot *s = cbm_spot_of(b, ref);
    int32_t number = b->results[ref];
    s->known = true;
    s->offset = 0;
    if (number < 0) {
        s->root = temporary(b, bytes_of(&s->window), shares);
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
        int32_t root = temporary(b, workspace, -1);
        if (root < 0)
            return false;
        lifetime = CBM_AT(&b->roots, cbm_root, root).lifetime;
    }
    step->workspace_bytes = workspace;
    return cbm_array_push(&b->step_workspace, &lifetime) && cbm_array_push(&b->plan->steps, step);
}

static void broadcast_window(const cbm_buffer *from, const cbm_buffer *to, cbm_buffer *out)
{
    *out = *to;
    out->dtype = from->dtype;
    bool same = from->count == to->count;
    out->contiguous = from->contiguous && same;
    for (int64_t k = 0; k < to->rank; k++) {
        int64_t j = k - (to->rank - from->rank);
        out->stride[k] = j < 0 || from->shape[j] == 1 ? 0 : from->stride[j];
        if (out->shape[k] == 1 && same && from->contiguous)
            out->stride[k] = to->stride[k];
    }
}

static bool finish_pass(cbm_build *b, cbm_step *step)
{
    step->pass = (cbm_fused_launch){ .fused = step->fused,
                                     .parameters = step->parameters,
                                     .n_in = step->n_in,
                                     .n_out = step->n_out,
                                     .in = step->buffers,
                                     .out = step->buffers + step->n_in,
                                     .threads = b->cx->threads };
    const cbm_backend *backend = b->plan->backend;
    cbm_status status = backend->fused_prepare ? backend->fused_prepare(&step->pass, &step->state) : CBM_OK;
    if (status != CBM_OK) {
        const cbm_node *n = node_at(b, step->node);
        cbm_fail(b->cx, status, "[%s] cannot be prepared as part of a pass: %s", n->op->name, cbm_status_name(status));
        return false;
    }
    step->pass.state = step->state;
    if (push_step(b, step, 0))
        return true;
    if (backend->fused_release)
        backend->fused_release(step->state);
    return false;
}

/* A pass that only copies: a window into contiguous memory at to. */
static bool copy_step(cbm_build *b, int32_t node, const cbm_spot *from, const cbm_spot *to, const char *why)
{
    cbm_step step = { .node = node, .n_members = 1, .why = why };
    cbm_fused_instruction *code = cbm_plan_take(b->plan, sizeof *code);
    cbm_fused_output *out = cbm_plan_take(b->plan, sizeof *out);
    step.fused = cbm_plan_take(b->plan, sizeof *step.fused);
    if (!code || !out || !step.fused || !step_buffers(b, &step, 1, 1))
        return false;
    *code = (cbm_fused_instruction){ .code = CBM_EXPR_INPUT, .arg = 0, .dtype = (int32_t)from->window.dtype };
    *step.fused = (cbm_fused){ .length = 1, .code = code, .n_out = 1, .outputs = out };
    set_buffer(&step, 0, from);
    set_buffer(&step, 1, to);
    used_now(b, from->root);
    used_now(b, to->root);
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
    copy.root = temporary(b, bytes_of(&copy.window), -1);
    if (copy.root < 0 || !copy_step(b, node, s, &copy, "the kernel takes operands without gaps only"))
        return false;
    *s = copy;
    return true;
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

/* true: the node's result is a window onto its operand. */
static bool as_view(cbm_build *b, int32_t i)
{
    cbm_node *n = node_at(b, i);
    const cbm_spot *from = cbm_spot_of(b, cbm_ref_input(n, 0));
    cbm_spot *to = cbm_spot_of(b, CBM_REF_NODE(i, 0));
    cbm_buffer window = to->window;
    window.data = NULL;
    cbm_buffer source = from->window;
    source.data = NULL;
    if (!n->op->view(n->attributes, &source, &window))
        return false;
    to->known = true;
    to->root = from->root;
    to->offset = from->offset + (int64_t)(intptr_t)window.data;
    window.data = NULL;
    window.contiguous = truly_contiguous(&window);
    to->window = window;
    return true;
}

static bool build_view(cbm_build *b, int32_t i)
{
    cbm_ref ref = CBM_REF_NODE(i, 0);
    if (b->results[ref] < 0)
        return true;
    cbm_spot view = *cbm_spot_of(b, ref), *home = cbm_spot_of(b, ref);
    contiguous_window(&home->window);
    return give_home(b, ref, -1) && copy_step(b, i, &view, home, "a view that is kept gets memory of its own");
}

/* Prepares the kernel; one that finds itself unable after all gives way to the next backend's. */
static bool prepare_kernel(cbm_build *b, const cbm_node *n, cbm_step *step, const cbm_kernel *kernel, size_t *workspace)
{
    const cbm_backend *backend = b->plan->backend;
    char message[256] = "";
    cbm_launch prepared = step->launch;
    prepared.message = message;
    cbm_status status = CBM_OK;
    for (;; kernel = cbm_backend_kernel(backend, &prepared)) {
        cbm_prepare p = {
            .launch = &prepared, .threads = b->cx->threads, .deterministic = b->cx->deterministic, .message = message
        };
        if (kernel && kernel->prepare)
            status = kernel->prepare(&p);
        step->kernel = kernel;
        step->run = kernel ? kernel->launch : n->op->kernel;
        step->state = p.state;
        *workspace = p.workspace;
        if (status != CBM_ERROR_UNSUPPORTED || !backend->fallback)
            break;
        status = CBM_OK;
        backend = backend->fallback;
    }
    if (status == CBM_OK && step->run)
        return true;
    status = status == CBM_OK ? CBM_ERROR_UNSUPPORTED : status;
    cbm_fail(b->cx, status, "[%s] cannot be prepared: %s", n->op->name, message[0] ? message : cbm_status_name(status));
    cbm_locate(b->cx, n->file, n->line);
    return false;
}

static bool build_kernel(cbm_build *b, int32_t i)
{
    cbm_node *n = node_at(b, i);
    const cbm_op *op = n->op;
    cbm_step step = { .node = i, .checks = (op->flags & CBM_OP_CHECKS) != 0, .n_members = 1 };
    cbm_buffer windows[CBM_MAX_INPUTS + CBM_MAX_OUTPUTS];
    char message[256] = "";
    for (size_t k = 0; k < op->n_attributes; k++)
        step.runtime = step.runtime || op->attributes[k].at_run;
    if (op->attributes_size) {
        step.attributes = cbm_plan_take(b->plan, op->attributes_size);
        if (!step.attributes)
            return false;
        memcpy(step.attributes, n->attributes, op->attributes_size);
    }
    for (size_t k = 0; k < n->n_in; k++)
        windows[k] = cbm_spot_of(b, cbm_ref_input(n, k))->window;
    for (size_t k = 0; k < n->n_out; k++)
        windows[n->n_in + k] = cbm_spot_of(b, CBM_REF_NODE(i, k))->window;
    cbm_launch shapes = { .op = op,
                          .attributes = step.attributes,
                          .n_in = n->n_in,
                          .n_out = n->n_out,
                          .in = windows,
                          .out = windows + n->n_in,
                          .threads = b->cx->threads,
                          .message = message };
    const cbm_kernel *kernel = op->kernel ? NULL : cbm_backend_kernel(b->plan->backend, &shapes);
    if (!kernel || !(kernel->flags & CBM_KERNEL_STRIDED)) {
        for (size_t k = 0; k < n->n_in; k++) {
            cbm_spot *s = cbm_spot_of(b, cbm_ref_input(n, k));
            if (!make_contiguous(b, i, s))
                return false;
            windows[k] = s->window;
        }
        kernel = op->kernel ? NULL : cbm_backend_kernel(b->plan->backend, &shapes);
    }
    if (!kernel && !op->kernel) {
        cbm_fail(b->cx, CBM_ERROR_UNSUPPORTED, "[%s] the device \"%s\" has no kernel for these operands", op->name,
                 b->plan->backend->name);
        cbm_locate(b->cx, n->file, n->line);
        return false;
    }
    if (!step_buffers(b, &step, n->n_in, n->n_out))
        return false;
    for (size_t k = 0; k < n->n_in; k++) {
        const cbm_spot *s = cbm_spot_of(b, cbm_ref_input(n, k));
        set_buffer(&step, k, s);
        used_now(b, s->root);
    }
    for (size_t k = 0; k < n->n_out; k++) {
        if (!give_home(b, CBM_REF_NODE(i, (int32_t)k), -1))
            return false;
        set_buffer(&step, n->n_in + k, cbm_spot_of(b, CBM_REF_NODE(i, k)));
    }
    step.launch = (cbm_launch){ .op = op,
                                .attributes = step.attributes,
                                .n_in = step.n_in,
                                .n_out = step.n_out,
                                .in = step.buffers,
                                .out = step.buffers + step.n_in,
                                .threads = b->cx->threads };
    size_t workspace = 0;
    if (!prepare_kernel(b, n, &step, kernel, &workspace))
        return false;
    step.launch.state = step.state;
    if (push_step(b, &step, workspace))
        return true;
    if (step.kernel && step.kernel->release)
        step.kernel->release(step.state);
    return false;
}

/* An operand that dies with this pass and has the result's size: its memory can be the result's. */
static int32_t dying_operand(cbm_build *b, const cbm_step *step, const cbm_buffer *out, const uint8_t *last_use)
{
    if (b->cx->naive)
        return -1;
    for (size_t k = 0; k < step->n_in; k++) {
        const cbm_buffer *in = &step->buffers[k];
        const cbm_root *r = &CBM_AT(&b->roots, cbm_root, step->places[k].base);
        if (!last_use[k] || r->base != CBM_BASE_ARENA || !in->contiguous || in->count != out->count ||
            in->dtype != out->dtype || step->places[k].offset)
            continue;
        bool once = CBM_AT(&b->lifetimes, cbm_lifetime, r->lifetime).bytes == bytes_of(out);
        for (size_t j = 0; j < step->n_in; j++)
            once = once && (j == k || step->places[j].base != step->places[k].base);
        for (size_t j = 0; j < b->lifetimes.count; j++)
            once = once && CBM_AT(&b->lifetimes, cbm_lifetime, j).shares != r->lifetime;
        if (once)
            return r->lifetime;
    }
    return -1;
}

/* Whether some unit that has not run yet reads memory of this root. */
static bool read_later(const cbm_build *b, int32_t root)
{
    if (b->g->nodes.count > REUSE_SEARCH_LIMIT)
        return true;
    for (int32_t i = 0; i < (int32_t)b->g->nodes.count; i++) {
        if (CBM_AT(&b->units, cbm_unit, b->unit_of[i]).done)
            continue;
        const cbm_node *n = node_at(b, i);
        for (size_t k = 0; k < n->n_in; k++) {
            const cbm_spot *s = cbm_spot_of((cbm_build *)b, cbm_ref_input(n, k));
            if (s->known && s->root == root)
                return true;
        }
    }
    return false;
}

static bool build_pass(cbm_build *b, const cbm_unit *u)
{
    const int32_t *members = &CBM_AT(&b->members, int32_t, u->first);
    cbm_step step = { .node = members[u->count - 1], .commit = u->commit };
    cbm_array stored = CBM_ARRAY(b->heap, cbm_ref), operands = CBM_ARRAY(b->heap, cbm_ref);
    uint8_t last_use[CBM_MAX_INPUTS] = { 0 };
    bool ok = true;
    for (int32_t m = 0; m < u->count && ok; m++) {
        cbm_ref ref = CBM_REF_NODE(members[m], 0);
        if (b->read[ref] || b->results[ref] >= 0)
            ok = cbm_array_push(&stored, &ref) != NULL;
    }
    ok = ok && cbm_pass_build(b->plan, b->g, members, (size_t)u->count, stored.data, stored.count, &step, &operands) &&
         operands.count <= CBM_MAX_INPUTS && step_buffers(b, &step, operands.count, stored.count);
    for (size_t k = 0; k < operands.count && ok; k++) {
        const cbm_spot *s = cbm_spot_of(b, CBM_AT(&operands, cbm_ref, k));
        set_buffer(&step, k, s);
        broadcast_window(&s->window, &cbm_spot_of(b, CBM_AT(&stored, cbm_ref, 0))->window, &step.buffers[k]);
        used_now(b, s->root);
        last_use[k] = CBM_AT(&b->roots, cbm_root, s->root).base == CBM_BASE_ARENA && !read_later(b, s->root);
    }
    for (size_t k = 0; k < stored.count && ok; k++) {
        cbm_ref ref = CBM_AT(&stored, cbm_ref, k);
        int32_t shares = b->results[ref] < 0 ? dying_operand(b, &step, &cbm_spot_of(b, ref)->window, last_use) : -1;
        ok = give_home(b, ref, shares);
        if (ok)
            set_buffer(&step, operands.count + k, cbm_spot_of(b, ref));
    }
    ok = ok && finish_pass(b, &step);
    cbm_array_free(&stored);
    cbm_array_free(&operands);
    return ok;
}

bool cbm_build_unit(cbm_build *b, const cbm_unit *u)
{
    if (u->group >= 0)
        return build_pass(b, u);
    int32_t i = CBM_AT(&b->members, int32_t, u->first);
    const cbm_node *n = node_at(b, i);
    if ((n->op->flags & CBM_OP_VIEW) && n->op->view && as_view(b, i))
        return build_view(b, i);
    return build_kernel(b, i);
}
