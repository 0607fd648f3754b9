/* gradcheck.c: gradients against central differences in f64. First order: the scalar S(x, v) = <v, f(x)> with a random v.
   Second order: S(x, v) = sum over i of <u_i, dS/dx_i>, differentiated by x and v. Rests on cbm_grad and op/sample. */
#define CBM_NO_CALL_SITES
#include "op/sample.h"
#include "tensor/context.h"
#include <cambium/autograd.h>
#include <cambium/ops.h>

#include <math.h>
#include <string.h>

#define SEED 7u
#define STEP 1e-5 /* times max(1, |x|) */
#define FEW 64    /* elements of an input that are all checked one by one */
static const double tolerance[2] = { 1e-6, 1e-5 };

/* One argument of S: an input of the function, or (the last) v. */
typedef struct leaf {
    cbm_dtype dtype;
    cbm_shape shape;
    int64_t count;
    size_t size;
    void *data;
    double *direction; /* u: of a differentiable input */
    double *analytic;
    double *moved; /* room for its data while they are moved */
    bool differentiable;
} leaf;

typedef struct check {
    cbm_context *cx;
    cbm_heap *heap;
    cbm_function f;
    void *user;
    size_t inputs; /* of f; leaf number `inputs` is v */
    leaf leaves[CBM_MAX_INPUTS + 1];
    bool second;
} check;

static double *random_vector(cbm_heap *heap, int64_t count, uint64_t stream)
{
    double *v = cbm_heap_take(heap, (size_t)(count ? count : 1) * sizeof *v);
    for (int64_t i = 0; v && i < count; i++)
        v[i] = 2 * (double)cbm_philox_uniform(SEED, stream, (uint64_t)i) - 1;
    return v;
}

static cbm_tensor *first_order(check *c, cbm_tensor *const *leaves)
{
    return cbm_sum_with(cbm_mul(c->f(leaves, c->inputs, c->user), leaves[c->inputs]), NULL);
}

static cbm_tensor *second_order(check *c, cbm_tensor *const *leaves)
{
    cbm_tensor *xs[CBM_MAX_INPUTS], *grads[CBM_MAX_INPUTS], *sum = NULL;
    size_t which[CBM_MAX_INPUTS], count = 0;
    for (size_t i = 0; i < c->inputs; i++)
        if (c->leaves[i].differentiable) {
            which[count] = i;
            xs[count++] = leaves[i];
        }
    cbm_grad_options options = { .struct_size = sizeof options, .create_graph = 1, .retain_graph = 1 };
    if (cbm_grad_with(first_order(c, leaves), xs, count, grads, &options) != CBM_OK)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        const leaf *l = &c->leaves[which[i]];
        cbm_tensor *u = cbm_tensor_from(c->cx, CBM_F64, l->shape, l->direction);
        cbm_tensor *term = cbm_sum_with(cbm_mul(grads[i], u), NULL);
        sum = sum ? cbm_add(sum, term) : term;
    }
    return sum;
}

static cbm_tensor *scalar(check *c, cbm_tensor *const *leaves)
{
    return c->second ? second_order(c, leaves) : first_order(c, leaves);
}

/* The leaves as tensors; differentiable ones as trainable variables, to be released by release_leaves. */
static void open_leaves(check *c, cbm_tensor **leaves)
{
    for (size_t i = 0; i <= c->inputs; i++) {
        const leaf *l = &c->leaves[i];
        cbm_tensor *t = cbm_tensor_from(c->cx, l->dtype, l->shape, l->data);
        leaves[i] = l->differentiable || i == c->inputs ? cbm_variable(t, true) : t;
    }
}

static void release_leaves(check *c, cbm_tensor **leaves)
{
    for (size_t i = 0; i <= c->inputs; i++)
        if (c->leaves[i].differentiable || i == c->inputs) /* the others went with their scope */
            cbm_release(leaves[i]);
}

static double value_of(check *c)
{
    cbm_tensor *leaves[CBM_MAX_INPUTS + 1];
    cbm_scope *scope = cbm_scope_begin(c->cx);
    open_leaves(c, leaves);
    double value = cbm_item(scalar(c, leaves));
    cbm_scope_end(scope);
    release_leaves(c, leaves);
    return value;
}

/* The leaves that S is differentiated by: the floating inputs, and v in second order. */
static bool is_checked(const check *c, size_t i)
{
    return i < c->inputs ? c->leaves[i].differentiable : c->second;
}

static cbm_status analytic(check *c)
{
    cbm_tensor *leaves[CBM_MAX_INPUTS + 1], *xs[CBM_MAX_INPUTS + 1], *grads[CBM_MAX_INPUTS + 1];
    size_t which[CBM_MAX_INPUTS + 1], count = 0;
    cbm_scope *scope = cbm_scope_begin(c->cx);
    open_leaves(c, leaves);
    for (size_t i = 0; i <= c->inputs; i++)
        if (is_checked(c, i)) {
            which[count] = i;
            xs[count++] = leaves[i];
        }
    cbm_tensor *s = scalar(c, leaves);
    cbm_status status = s ? cbm_grad_of(s, xs, count, grads) : cbm_context_status(c->cx);
    for (size_t i = 0; i < count && status == CBM_OK; i++) {
        leaf *l = &c->leaves[which[i]];
        status = cbm_read(grads[i], l->analytic, (size_t)l->count * sizeof(double));
    }
    cbm_scope_end(scope);
    release_leaves(c, leaves);
    return status != CBM_OK ? status : cbm_context_status(c->cx);
}

/* The place where analytic and numeric derivatives differ most. */
typedef struct difference {
    double error, analytic, numeric;
    size_t input;
    int64_t element; /* -1: along a random direction */
} difference;

static void note(difference *worst, double gradient, double numeric, size_t input, int64_t element)
{
    double error = fabs(gradient - numeric) / fmax(1, fmax(fabs(gradient), fabs(numeric)));
    error = isnan(error) ? INFINITY : error;
    if (error >= worst->error)
        *worst = (difference){ error, gradient, numeric, input, element };
}

static void check_element(check *c, size_t input, int64_t element, difference *worst)
{
    const leaf *l = &c->leaves[input];
    double *x = (double *)l->data + element;
    double kept = *x, step = STEP * fmax(1, fabs(kept)), above = kept + step, below = kept - step;
    *x = above;
    double value = value_of(c);
    *x = below;
    value -= value_of(c);
    *x = kept;
    note(worst, l->analytic[element], value / (above - below), input, element);
}

/* All elements at once: <gradient, d> against the difference along d, d of +1 and -1. */
static void check_direction(check *c, size_t input, uint64_t stream, difference *worst)
{
    const leaf *l = &c->leaves[input];
    double *x = l->data, *kept = l->moved, gradient = 0, value = 0;
    for (int side = 1; side >= -1; side -= 2) {
        for (int64_t k = 0; k < l->count; k++) {
            double d = cbm_philox_uniform(SEED, stream, (uint64_t)k) < 0.5F ? -1 : 1;
            kept[k] = side == 1 ? x[k] : kept[k];
            gradient += side == 1 ? d * l->analytic[k] : 0;
            x[k] = kept[k] + side * d * STEP;
        }
        value += side * value_of(c);
    }
    for (int64_t k = 0; k < l->count; k++)
        x[k] = kept[k];
    note(worst, gradient, value / (2 * STEP), input, -1);
}

/* Every element of a small input; of a large one some, and sums over all of them. */
static void check_leaf(check *c, size_t input, difference *worst)
{
    const leaf *l = &c->leaves[input];
    for (int64_t k = 0; k < l->count && l->count <= FEW; k++)
        check_element(c, input, k, worst);
    for (uint64_t k = 0; k < FEW / 2 && l->count > FEW; k++)
        check_element(c, input, (int64_t)((double)cbm_philox_uniform(SEED, 2000 + input, k) * (double)l->count), worst);
    for (uint64_t k = 0; k < 3 && l->count > FEW; k++)
        check_direction(c, input, 3000 + 3 * input + k, worst);
}

static cbm_status compare(check *c, double *worst)
{
    difference d = { 0 };
    cbm_status status = analytic(c);
    for (size_t i = 0; i <= c->inputs && status == CBM_OK; i++)
        if (is_checked(c, i)) {
            check_leaf(c, i, &d);
            status = cbm_context_status(c->cx);
        }
    if (status != CBM_OK)
        return status;
    *worst = fmax(*worst, d.error);
    if (d.error <= tolerance[c->second])
        return CBM_OK;
    char a[40], n[40];
    return cbm_fail(c->cx, CBM_ERROR_INVALID,
                    "[gradcheck] order %d, input %zu, element %lld: the gradient is %s, central differences give %s",
                    1 + c->second, d.input, (long long)d.element, cbm_double_text(d.analytic, a, sizeof a),
                    cbm_double_text(d.numeric, n, sizeof n));
}

/* What the function gives: its result must be f64; v gets its shape. */
static cbm_status probe(check *c)
{
    cbm_tensor *leaves[CBM_MAX_INPUTS + 1];
    leaf *v = &c->leaves[c->inputs];
    *v = (leaf){ .dtype = CBM_F64 };
    v->shape.v[0] = 0;
    double one = 1;
    v->data = &one;
    cbm_scope *scope = cbm_scope_begin(c->cx);
    open_leaves(c, leaves);
    cbm_tensor *y = c->f(leaves, c->inputs, c->user);
    v->shape = cbm_tensor_shape(y);
    v->count = cbm_tensor_count(y);
    cbm_dtype dtype = cbm_tensor_dtype(y);
    bool failed = cbm_tensor_failed(y);
    cbm_scope_end(scope);
    release_leaves(c, leaves);
    v->data = NULL;
    if (failed || cbm_context_status(c->cx) != CBM_OK)
        return cbm_context_status(c->cx);
    if (dtype != CBM_F64)
        return cbm_fail(c->cx, CBM_ERROR_DTYPE, "[gradcheck] the function gives %s: it must give f64",
                        cbm_dtype_name(dtype));
    v->size = (size_t)(v->count ? v->count : 1) * sizeof(double);
    v->data = random_vector(c->heap, v->count, 1000);
    v->analytic = random_vector(c->heap, v->count, 0);
    v->moved = random_vector(c->heap, v->count, 0);
    return v->data && v->analytic && v->moved ? CBM_OK : cbm_fail_memory(c->cx, "gradcheck");
}

/* mask: which inputs have a gradient; 0: all floating ones. */
static cbm_status copy_inputs(check *c, cbm_tensor *const *inputs, uint32_t mask)
{
    for (size_t i = 0; i < c->inputs; i++) {
        leaf *l = &c->leaves[i];
        l->dtype = cbm_tensor_dtype(inputs[i]);
        l->shape = cbm_tensor_shape(inputs[i]);
        l->count = cbm_tensor_count(inputs[i]);
        l->differentiable = l->dtype == CBM_F64 && (!mask || (i < 32 && mask >> i & 1));
        if (l->dtype == CBM_F32)
            return cbm_fail(c->cx, CBM_ERROR_DTYPE, "[gradcheck] input %zu is f32: differences need f64", i);
        size_t bytes = (size_t)l->count * cbm_dtype_size(l->dtype);
        l->size = bytes ? bytes : 1;
        l->data = cbm_heap_take_zero(c->heap, l->size);
        l->direction = random_vector(c->heap, l->count, 1 + i);
        l->analytic = random_vector(c->heap, l->count, 0);
        l->moved = random_vector(c->heap, l->count, 0);
        if (!l->data || !l->direction || !l->analytic || !l->moved)
            return cbm_fail_memory(c->cx, "gradcheck");
        cbm_status status = cbm_read(inputs[i], l->data, bytes);
        if (status != CBM_OK)
            return status;
    }
    return CBM_OK;
}

static void close_check(check *c)
{
    for (size_t i = 0; i <= c->inputs; i++) {
        leaf *l = &c->leaves[i];
        size_t vector = (size_t)(l->count ? l->count : 1) * sizeof(double);
        cbm_heap_give(c->heap, l->data, l->size);
        cbm_heap_give(c->heap, l->direction, vector);
        cbm_heap_give(c->heap, l->analytic, vector);
        cbm_heap_give(c->heap, l->moved, vector);
    }
    cbm_heap_give(c->heap, c, sizeof *c);
}

static cbm_status check_function(cbm_context *cx, cbm_function f, void *user, cbm_tensor *const *inputs, size_t count,
                                 uint32_t mask, bool second_order, double *max_error)
{
    double worst = 0;
    if (max_error)
        *max_error = 0;
    if (cbm_context_status(cx) != CBM_OK)
        return cbm_context_status(cx);
    if (!f || count > CBM_MAX_INPUTS)
        return cbm_fail(cx, CBM_ERROR_INVALID, "[gradcheck] needs a function and at most %d inputs", CBM_MAX_INPUTS);
    cbm_heap *heap = cbm_context_heap(cx);
    check *c = cbm_heap_take_zero(heap, sizeof *c);
    if (!c)
        return cbm_fail_memory(cx, "gradcheck");
    c->cx = cx;
    c->heap = heap;
    c->f = f;
    c->user = user;
    c->inputs = count;
    bool any = false;
    cbm_status status = copy_inputs(c, inputs, mask);
    for (size_t i = 0; i < count; i++)
        any = any || c->leaves[i].differentiable;
    if (status == CBM_OK && any)
        status = probe(c);
    if (status == CBM_OK && any)
        status = compare(c, &worst);
    if (status == CBM_OK && any && second_order) {
        c->second = true;
        status = compare(c, &worst);
    }
    close_check(c);
    if (max_error)
        *max_error = worst;
    return status;
}

cbm_status cbm_gradcheck(cbm_context *cx, cbm_function f, void *user, cbm_tensor *const *inputs, size_t count,
                         bool second_order, double *max_error)
{
    return check_function(cx, f, user, inputs, count, 0, second_order, max_error);
}

/* ---- one operation on its samples ---- */

typedef struct trial {
    cbm_context *cx;
    const cbm_op *op;
    const void *attributes;
} trial;

static bool is_opaque(const cbm_op *op, int32_t result)
{
    return op->struct_size >= sizeof *op && op->opaque_out >> result & 1;
}

/* All floating results, flattened and joined; a constant when there is none. */
static cbm_tensor *apply_and_join(cbm_tensor *const *inputs, size_t count, void *user)
{
    const trial *t = user;
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL }, *flat[CBM_MAX_OUTPUTS];
    size_t floating = 0;
    cbm_tensor *first = cbm_apply(t->cx, t->op, inputs, count, t->attributes, out);
    if (cbm_tensor_failed(first))
        return first;
    for (int32_t i = 0; i < t->op->n_out; i++)
        if (cbm_tensor_dtype(out[i]) == CBM_F64 && !is_opaque(t->op, i))
            flat[floating++] = cbm_reshape(out[i], CBM_SHAPE(cbm_tensor_count(out[i])));
    if (!floating)
        return cbm_scalar(t->cx, CBM_F64, 0);
    return floating == 1 ? flat[0] : cbm_concat(flat, floating, 0);
}

/* A copy of the sample's attributes that asks for f64 where it asked for f32. */
static void *attributes_in_f64(cbm_heap *heap, const cbm_op *op, const cbm_sample *sample)
{
    char *copy = cbm_heap_take_zero(heap, op->attributes_size ? op->attributes_size : 1);
    if (!copy || !sample->attributes)
        return copy;
    memcpy(copy, sample->attributes, op->attributes_size);
    for (size_t i = 0; i < op->n_attributes; i++) {
        int64_t dtype;
        char *field = copy + op->attributes[i].offset;
        memcpy(&dtype, field, sizeof dtype);
        if (op->attributes[i].type != CBM_ATTRIBUTE_DTYPE || dtype != CBM_F32)
            continue;
        dtype = CBM_F64;
        memcpy(field, &dtype, sizeof dtype);
    }
    return copy;
}

static cbm_status check_sample(cbm_context *cx, const cbm_op *op, const cbm_sample *sample, double *error)
{
    cbm_heap *heap = cbm_context_heap(cx);
    cbm_tensor *inputs[CBM_SAMPLE_INPUTS];
    for (size_t i = 0; i < sample->n_in; i++) {
        cbm_dtype dtype = sample->in[i].dtype == CBM_F32 ? CBM_F64 : sample->in[i].dtype;
        size_t size;
        void *data = cbm_sample_fill(heap, sample, i, dtype, &size);
        if (!data)
            return cbm_fail_memory(cx, "gradcheck");
        inputs[i] = cbm_tensor_from(cx, dtype, sample->in[i].shape, data);
        cbm_heap_give(heap, data, size);
    }
    size_t bytes = op->attributes_size ? op->attributes_size : 1;
    void *attributes = attributes_in_f64(heap, op, sample);
    if (!attributes)
        return cbm_fail_memory(cx, "gradcheck");
    trial t = { .cx = cx, .op = op, .attributes = op->attributes_size ? attributes : NULL };
    cbm_status status =
        check_function(cx, apply_and_join, &t, inputs, sample->n_in, op->differentiable_in, true, error);
    cbm_heap_give(heap, attributes, bytes);
    return status;
}

cbm_status cbm_gradcheck_op(const cbm_op *op, int64_t sample, double *max_error)
{
    if (max_error)
        *max_error = 0;
    if (!op || !op->samples || op->n_samples == 0 || sample < -1 || sample >= (int64_t)op->n_samples)
        return CBM_ERROR_INVALID;
    if (!op->vjp && !op->decompose)
        return CBM_ERROR_UNSUPPORTED;
    cbm_context_options options;
    cbm_context_options_init(&options);
    options.device = "reference";
    options.threads = 1;
    cbm_context *cx = cbm_open(&options);
    cbm_status status = cbm_context_status(cx);
    for (size_t i = 0; i < op->n_samples && status == CBM_OK; i++) {
        if (sample >= 0 && i != (size_t)sample)
            continue;
        double error = 0;
        cbm_scope *scope = cbm_scope_begin(cx);
        status = check_sample(cx, op, &op->samples[i], &error);
        cbm_scope_end(scope);
        if (max_error && error > *max_error)
            *max_error = error;
    }
    cbm_close(cx);
    return status;
}
