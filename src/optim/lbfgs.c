/* lbfgs.c: limited-memory BFGS (Liu and Nocedal 1989): directions from the last changes of parameters and gradients. All
   parameters are one vector here, a tensor; what decides lies on the host. Rests on a savepoint: a step is several
   evaluations, and happens wholly or not at all. */
#include "optim/line_search.h"
#include "optim/optimizer.h"
#include <stdio.h>
#include <string.h>

#define LEAST_CURVATURE 1e-10 /* y s, below which a change is not remembered */

/* The state's variables, in opt->extra: two vectors, history_size changes of the gradient and as many of the parameters, and
   the numbers that belong to them. */
enum { DIRECTION, GRADIENT, NUMBERS, FIRST_PAIR };

/* What NUMBERS holds, f64, and after them 1 / (y s) of each pair. */
typedef struct numbers {
    double iterations, evaluations, pairs, oldest; /* pairs: remembered; oldest: the place of the first */
    double t, scale, loss;                         /* of the last step: how far, H_diag, the loss before */
} numbers;
enum { COUNTS = sizeof(numbers) / sizeof(double) };

typedef struct lbfgs {
    cbm_optimizer *opt;
    cbm_context *cx;
    const cbm_lbfgs_options *o;
    cbm_closure_fn closure;
    void *user;
    numbers n;
    double *ro;         /* history_size */
    cbm_tensor *before; /* the parameters before the search, one vector */
    double sum;         /* of the gradient's absolute numbers, at the first iteration */
    double reach;       /* the direction's largest absolute number */
    double where;       /* how far along it the parameters are */
} lbfgs;

static cbm_tensor *state(const lbfgs *l, size_t i)
{
    return CBM_AT(&l->opt->extra, cbm_named, i).tensor;
}

/* Pair number k of those remembered, from the oldest on. */
static size_t place_of(const lbfgs *l, size_t k)
{
    return ((size_t)l->n.oldest + k) % (size_t)l->o->history_size;
}
static cbm_tensor *gradient_change(const lbfgs *l, size_t k)
{
    return state(l, FIRST_PAIR + place_of(l, k));
}
static cbm_tensor *parameter_change(const lbfgs *l, size_t k)
{
    return state(l, FIRST_PAIR + (size_t)l->o->history_size + place_of(l, k));
}

/* ---- vectors ---- */

static cbm_tensor *dot(cbm_tensor *a, cbm_tensor *b)
{
    cbm_reduce_options all = { .struct_size = sizeof all };
    return cbm_sum_with(cbm_mul(a, b), &all);
}

static cbm_tensor *largest(cbm_tensor *v)
{
    cbm_reduce_options all = { .struct_size = sizeof all };
    return cbm_max_with(cbm_abs(v), &all);
}

/* parts (which are overwritten) one after the other; an operation takes CBM_MAX_INPUTS at most. */
static cbm_tensor *join(cbm_tensor **parts, size_t count)
{
    while (count > 1) {
        size_t joined = 0;
        for (size_t i = 0; i < count; i += CBM_MAX_INPUTS) {
            size_t some = count - i < CBM_MAX_INPUTS ? count - i : CBM_MAX_INPUTS;
            parts[joined++] = some > 1 ? cbm_concat(parts + i, some, 0) : parts[i];
        }
        count = joined;
    }
    return parts[0];
}

/* All parameters, or all gradients (zeros where there is none), as one vector. */
static cbm_tensor *vector_of(const lbfgs *l, bool gradients)
{
    const cbm_optimizer *opt = l->opt;
    size_t size = opt->n_items * sizeof(cbm_tensor *);
    cbm_tensor **parts = cbm_heap_take(cbm_context_heap(l->cx), size);
    if (!parts) {
        cbm_fail_memory(l->cx, "a list of parameters");
        return &l->cx->failed;
    }
    for (size_t i = 0; i < opt->n_items; i++) {
        cbm_tensor *p = opt->items[i].parameter, *t = gradients ? cbm_gradient(p) : p;
        parts[i] = t ? cbm_reshape(t, CBM_SHAPE(cbm_tensor_count(p)))
                     : cbm_zeros(l->cx, cbm_tensor_dtype(p), CBM_SHAPE(cbm_tensor_count(p)));
    }
    cbm_tensor *v = join(parts, opt->n_items);
    cbm_heap_give(cbm_context_heap(l->cx), parts, size);
    return v;
}

/* Records parameters = before + t direction, but for the frozen ones. */
static void go_to(lbfgs *l, double t)
{
    l->where = t;
    cbm_scope *scope = cbm_quiet_scope(l->cx);
    int64_t at = 0;
    for (size_t i = 0; i < l->opt->n_items; i++) {
        cbm_tensor *p = l->opt->items[i].parameter;
        int64_t end = at + cbm_tensor_count(p);
        cbm_tensor *from = cbm_slice(l->before, 0, at, end, 1), *d = cbm_slice(state(l, DIRECTION), 0, at, end, 1);
        l->opt->items[i].updated = cbm_tensor_requires_grad(p);
        if (l->opt->items[i].updated)
            cbm_assign(p, cbm_reshape(cbm_add(from, cbm_mul_scalar(d, t)), cbm_tensor_shape(p)));
        at = end;
    }
    cbm_scope_end(scope);
}

/* ---- evaluations ---- */

static cbm_status record_loss(lbfgs *l, cbm_tensor **loss)
{
    cbm_zero_grad(l->opt);
    *loss = l->closure(l->user);
    if (!*loss)
        return cbm_fail(l->cx, CBM_ERROR_CALLBACK, "[lbfgs] the closure returned NULL");
    return cbm_backward_into(*loss, l->opt);
}

/* What the loss is where the parameters are, or are about to be: one plan. slope: along the direction, NaN if there is none
   yet. */
static bool look(lbfgs *l, bool slope, cbm_line_point *out)
{
    cbm_scope_options quiet = { .struct_size = sizeof quiet, .quiet = 1 };
    cbm_scope *scope = cbm_scope_begin_with(l->cx, &quiet), *inner = NULL;
    cbm_tensor *t[4];
    if (record_loss(l, &t[0]) == CBM_OK) {
        cbm_reduce_options all = { .struct_size = sizeof all };
        inner = cbm_quiet_scope(l->cx);
        t[1] = vector_of(l, true);
        t[2] = largest(t[1]);
        t[3] = slope ? dot(t[1], state(l, DIRECTION)) : cbm_sum_with(cbm_abs(t[1]), &all);
        if (cbm_compute(t, 4) == CBM_OK) {
            *out = (cbm_line_point){ .loss = cbm_item(t[0]), .largest = cbm_item(t[2]), .slope = cbm_item(t[3]) };
            cbm_set(&out->gradient, t[1]);
            l->sum = slope ? l->sum : out->slope;
        }
    }
    cbm_scope_end(inner);
    cbm_scope_end(scope);
    l->n.evaluations++;
    return cbm_context_status(l->cx) == CBM_OK;
}

static bool look_at(void *user, double t, cbm_line_point *out)
{
    lbfgs *l = user;
    go_to(l, t);
    return look(l, true, out);
}

/* ---- directions ---- */

/* The newest changes of gradient and parameters join the remembered ones, if they say something about the curvature. */
static bool remember(lbfgs *l, cbm_tensor *gradient)
{
    cbm_scope *scope = cbm_quiet_scope(l->cx);
    cbm_tensor *t[4];
    t[0] = cbm_sub(gradient, state(l, GRADIENT));
    t[1] = cbm_mul_scalar(state(l, DIRECTION), l->n.t);
    t[2] = dot(t[0], t[1]);
    t[3] = dot(t[0], t[0]);
    if (cbm_compute(t, 4) == CBM_OK && cbm_item(t[2]) > LEAST_CURVATURE) {
        const double ys = cbm_item(t[2]);
        if (l->n.pairs == (double)l->o->history_size)
            l->n.oldest = (double)place_of(l, 1);
        else
            l->n.pairs++;
        const size_t newest = (size_t)l->n.pairs - 1;
        cbm_assign(gradient_change(l, newest), t[0]);
        cbm_assign(parameter_change(l, newest), t[1]);
        l->ro[place_of(l, newest)] = 1 / ys;
        l->n.scale = ys / cbm_item(t[3]);
    }
    cbm_scope_end(scope);
    return cbm_context_status(l->cx) == CBM_OK;
}

/* - H gradient by the two loops, H being the inverse Hessian that the pairs make of scale times the identity. */
static cbm_tensor *two_loops(lbfgs *l, cbm_tensor *gradient)
{
    const size_t pairs = (size_t)l->n.pairs, size = (pairs + 1) * sizeof(cbm_tensor *);
    cbm_tensor **share = cbm_heap_take(cbm_context_heap(l->cx), size);
    if (!share) {
        cbm_fail_memory(l->cx, "a direction");
        return &l->cx->failed;
    }
    cbm_tensor *q = cbm_neg(gradient);
    for (size_t k = pairs; k-- > 0;) {
        share[k] = cbm_mul_scalar(dot(parameter_change(l, k), q), l->ro[place_of(l, k)]);
        q = cbm_sub(q, cbm_mul(gradient_change(l, k), share[k]));
    }
    cbm_tensor *r = cbm_mul_scalar(q, l->n.scale);
    for (size_t k = 0; k < pairs; k++) {
        cbm_tensor *other = cbm_mul_scalar(dot(gradient_change(l, k), r), l->ro[place_of(l, k)]);
        r = cbm_add(r, cbm_mul(parameter_change(l, k), cbm_sub(share[k], other)));
    }
    cbm_heap_give(cbm_context_heap(l->cx), share, size);
    return r;
}

/* The next direction from a point, whose slope along it is set. */
static bool turn(lbfgs *l, cbm_line_point *at)
{
    if (l->n.iterations == 1)
        l->n = (numbers){ .iterations = 1, .evaluations = l->n.evaluations, .scale = 1 };
    else if (!remember(l, at->gradient))
        return false;
    cbm_scope *scope = cbm_quiet_scope(l->cx);
    cbm_tensor *d = two_loops(l, at->gradient), *numbers_of[2] = { dot(at->gradient, d), largest(d) };
    cbm_assign(state(l, DIRECTION), d);
    cbm_assign(state(l, GRADIENT), at->gradient);
    if (cbm_compute(numbers_of, 2) == CBM_OK) {
        at->slope = cbm_item(numbers_of[0]);
        l->reach = cbm_item(numbers_of[1]);
    }
    cbm_scope_end(scope);
    return cbm_context_status(l->cx) == CBM_OK;
}

/* ---- the step ---- */

static bool keep_parameters(lbfgs *l)
{
    cbm_scope *scope = cbm_quiet_scope(l->cx);
    cbm_tensor *v =
        cbm_detach(vector_of(l, false)); /* of one vector alone it is the variable, which goes on changing */
    if (cbm_compute(&v, 1) == CBM_OK)
        cbm_set(&l->before, v);
    cbm_scope_end(scope);
    return cbm_context_status(l->cx) == CBM_OK;
}

/* Along the direction from *at, which becomes where that ends. last: nobody asks what the loss is there. */
static bool walk(lbfgs *l, bool last, cbm_line_point *at)
{
    if (!keep_parameters(l))
        return false;
    if (l->o->line_search == CBM_LINE_SEARCH_NONE) {
        go_to(l, l->n.t);
        if (last)
            return cbm_flush(l->cx) == CBM_OK;
        cbm_line_point_set(at, NULL);
        return look(l, true, at);
    }
    cbm_line_search s = { .evaluate = look_at, .user = l, .reach = l->reach, .tolerance = l->o->tolerance_change };
    cbm_line_point_set(&s.start, at);
    s.start.t = 0;
    bool fine = cbm_line_search_run(&s, l->n.t, at);
    cbm_line_point_set(&s.start, NULL);
    if (!fine)
        return false;
    l->n.t = at->t;
    if (l->where != at->t)
        go_to(l, at->t);
    return cbm_flush(l->cx) == CBM_OK;
}

static bool is_finite(lbfgs *l, const cbm_line_point *at)
{
    if (isfinite(at->loss) && isfinite(at->largest))
        return true;
    cbm_fail(l->cx, CBM_ERROR_RANGE, "[lbfgs] the %s not finite. HINT: a lower learning rate, or %s",
             isfinite(at->loss) ? "gradient is" : "loss is",
             l->o->line_search == CBM_LINE_SEARCH_NONE ? ".line_search = CBM_LINE_SEARCH_STRONG_WOLFE"
                                                       : "other initial values");
    return false;
}

/* Whether nothing more is to be gained after an iteration that began with this loss. */
static bool is_settled(const lbfgs *l, const cbm_line_point *at)
{
    return at->largest <= l->o->tolerance_grad || fabs(l->n.t) * l->reach <= l->o->tolerance_change ||
           fabs(at->loss - l->n.loss) < l->o->tolerance_change;
}

static bool iterate(lbfgs *l, cbm_line_point *at)
{
    const cbm_lbfgs_options *o = l->o;
    const double most = l->n.evaluations - 1 + (double)(o->max_eval > 0 ? o->max_eval : o->max_iter * 5 / 4);
    for (int64_t i = 1; i <= o->max_iter; i++) {
        l->n.iterations++;
        if (!turn(l, at))
            return false;
        l->n.loss = at->loss;
        l->n.t = l->n.iterations == 1 ? fmin(1, 1 / l->sum) * o->lr : o->lr;
        if (at->slope > -o->tolerance_change)
            return true;
        if (!walk(l, i == o->max_iter, at) || !is_finite(l, at))
            return false;
        if (l->n.evaluations >= most || is_settled(l, at))
            return true;
    }
    return true;
}

/* The numbers from their variable (f64: those of n, then ro), or into it. */
static bool exchange_numbers(lbfgs *l, bool write)
{
    const size_t pairs = (size_t)l->o->history_size, size = (COUNTS + pairs) * sizeof(double);
    double *all = cbm_heap_take(cbm_context_heap(l->cx), size);
    if (!all) {
        cbm_fail_memory(l->cx, "L-BFGS's numbers");
        return false;
    }
    memcpy(all, &l->n, sizeof l->n);
    memcpy(all + COUNTS, l->ro, pairs * sizeof *all);
    if (write) {
        cbm_write(state(l, NUMBERS), all, size);
    } else if (cbm_read(state(l, NUMBERS), all, size) == CBM_OK) {
        memcpy(&l->n, all, sizeof l->n);
        memcpy(l->ro, all + COUNTS, pairs * sizeof *all);
    }
    cbm_heap_give(cbm_context_heap(l->cx), all, size);
    return cbm_context_status(l->cx) == CBM_OK;
}

/* Numbers that a file may have made up: places that exist. */
static bool make_sense(lbfgs *l)
{
    const numbers *n = &l->n;
    const double pairs = (double)l->o->history_size;
    bool sense = n->iterations >= 0 && n->evaluations >= 0 && n->pairs >= 0 && n->pairs <= pairs && n->oldest >= 0 &&
                 n->oldest < pairs && n->pairs == floor(n->pairs) && n->oldest == floor(n->oldest);
    if (!sense)
        cbm_fail(l->cx, CBM_ERROR_STATE, "[lbfgs] its state makes no sense");
    return sense;
}

static cbm_status step(cbm_optimizer *opt, cbm_closure_fn closure, void *user, double *loss)
{
    cbm_context *cx = opt->cx;
    const cbm_lbfgs_options *o = &CBM_GROUP(opt, 0)->options.lbfgs;
    const size_t size = (size_t)o->history_size * sizeof(double);
    lbfgs l = { .opt = opt, .cx = cx, .o = o, .closure = closure, .user = user };
    cbm_line_point at = { 0 };
    cbm_savepoint before;
    l.ro = cbm_heap_take_zero(cbm_context_heap(cx), size);
    if (!l.ro)
        return cbm_fail_memory(cx, "L-BFGS's numbers");
    if (cbm_savepoint_take(&before, cx)) {
        bool fine = exchange_numbers(&l, false) && make_sense(&l) && look(&l, false, &at) && is_finite(&l, &at);
        if (fine && loss)
            *loss = at.loss;
        fine = fine && (at.largest <= o->tolerance_grad || iterate(&l, &at)) && exchange_numbers(&l, true);
        cbm_zero_grad(opt);
        if (fine && cbm_flush(cx) == CBM_OK)
            cbm_savepoint_drop(&before);
        else
            cbm_savepoint_return(&before);
    }
    cbm_line_point_set(&at, NULL);
    cbm_set(&l.before, NULL);
    cbm_heap_give(cbm_context_heap(cx), l.ro, size);
    return cbm_context_status(cx);
}

/* ---- opening ---- */

static bool add_state(cbm_optimizer *opt, const char *name, int64_t number, cbm_dtype dtype, int64_t count)
{
    cbm_named state = { .buffer = true };
    snprintf(state.name, sizeof state.name, number < 0 ? "%s" : "%s.%lld", name, (long long)number);
    state.tensor = cbm_variable(cbm_zeros(opt->cx, dtype, CBM_SHAPE(count)), false);
    if (cbm_tensor_failed(state.tensor))
        return false;
    if (cbm_array_push(&opt->extra, &state))
        return true;
    cbm_release(state.tensor);
    cbm_fail_memory(opt->cx, "an optimizer's state");
    return false;
}

static bool furnish(cbm_optimizer *opt)
{
    const int64_t pairs = CBM_GROUP(opt, 0)->options.lbfgs.history_size;
    const cbm_dtype dtype = cbm_tensor_dtype(opt->items[0].parameter);
    int64_t count = 0;
    for (size_t i = 0; i < opt->n_items; i++) {
        count += cbm_tensor_count(opt->items[i].parameter);
        if (cbm_tensor_dtype(opt->items[i].parameter) == dtype)
            continue;
        cbm_fail(opt->cx, CBM_ERROR_DTYPE, "[lbfgs] parameters of one dtype are needed: %s is %s, %s %s",
                 opt->items[0].name, cbm_dtype_name(dtype), opt->items[i].name,
                 cbm_dtype_name(cbm_tensor_dtype(opt->items[i].parameter)));
        return false;
    }
    bool fine = add_state(opt, "d", -1, dtype, count) && add_state(opt, "prev_flat_grad", -1, dtype, count) &&
                add_state(opt, "numbers", -1, CBM_F64, COUNTS + pairs);
    for (int64_t i = 0; i < pairs && fine; i++)
        fine = add_state(opt, "old_dirs", i, dtype, count);
    for (int64_t i = 0; i < pairs && fine; i++)
        fine = add_state(opt, "old_stps", i, dtype, count);
    return fine;
}

static const char *wrong(const cbm_optimizer_options *options)
{
    const int64_t pairs = options->lbfgs.history_size;
    return pairs >= 1 && pairs <= INT32_MAX ? NULL : "history_size must be at least 1";
}

static const cbm_option options[] = {
    CBM_NUMBER(cbm_lbfgs_options, lr, 0, INFINITY),
    CBM_WHOLE(cbm_lbfgs_options, max_iter, 1, INT32_MAX),
    CBM_WHOLE(cbm_lbfgs_options, max_eval, 0, INT32_MAX),
    CBM_NUMBER(cbm_lbfgs_options, tolerance_grad, 0, INFINITY),
    CBM_NUMBER(cbm_lbfgs_options, tolerance_change, 0, INFINITY),
    CBM_WHOLE(cbm_lbfgs_options, line_search, 0, CBM_LINE_SEARCH_STRONG_WOLFE + 1),
};
static const cbm_optimizer_kind kind = {
    .name = "lbfgs",
    .options_size = sizeof(cbm_lbfgs_options),
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .wrong = wrong,
    .furnish = furnish,
    .step = step,
};

void cbm_lbfgs_options_init(cbm_lbfgs_options *o)
{
    *o = (cbm_lbfgs_options){ .struct_size = sizeof *o, CBM_LBFGS_DEFAULTS };
}

cbm_optimizer *cbm_lbfgs_with(cbm_module *net, const cbm_lbfgs_options *o)
{
    return cbm_optimizer_open(net, &kind, o);
}
