/* clip.c: clipping the gradients of an optimizer: all together by a norm, or each number by itself. */
#include "optim/optimizer.h"

#define CLIP_EPS 1e-6 /* PyTorch's */

static cbm_tensor *as(cbm_tensor *t, cbm_dtype dtype)
{
    return cbm_tensor_dtype(t) == dtype ? t : cbm_cast(t, dtype);
}

/* What a gradient adds to the norm's sum, or the largest number of it. */
static cbm_tensor *part_of_norm(cbm_tensor *g, double type)
{
    cbm_reduce_options all = { .struct_size = sizeof all };
    if (isinf(type))
        return cbm_max_with(cbm_abs(g), &all);
    if (type == 2)
        return cbm_sum_with(cbm_mul(g, g), &all);
    return cbm_sum_with(type == 1 ? cbm_abs(g) : cbm_pow_scalar(cbm_abs(g), type), &all);
}

/* The norm of all gradients together; NULL: there are none. */
static cbm_tensor *norm_of_all(const cbm_optimizer *opt, double type)
{
    cbm_tensor *total = NULL;
    for (size_t i = 0; i < opt->n_items; i++) {
        cbm_tensor *g = cbm_gradient(opt->items[i].parameter);
        if (!g || cbm_tensor_count(g) == 0)
            continue;
        cbm_tensor *part = part_of_norm(g, type);
        part = total ? as(part, cbm_tensor_dtype(total)) : part;
        total = !total ? part : isinf(type) ? cbm_maximum(total, part) : cbm_add(total, part);
    }
    if (!total || isinf(type) || type == 1)
        return total;
    return type == 2 ? cbm_sqrt(total) : cbm_pow_scalar(total, 1 / type);
}

/* false, and an error: opt is no optimizer to clip. */
static bool ready(cbm_optimizer *opt, const char *who)
{
    if (!opt || !opt->cx)
        return false;
    if (opt->failed)
        cbm_fail(opt->cx, CBM_ERROR_STATE, "[%s] the optimizer is a failed one", who);
    return cbm_context_ready(opt->cx);
}

cbm_tensor *cbm_clip_grad_norm(cbm_optimizer *opt, double max_norm)
{
    return cbm_clip_grad_norm_of(opt, max_norm, 2);
}

cbm_tensor *cbm_clip_grad_norm_of(cbm_optimizer *opt, double max_norm, double norm_type)
{
    static const char *const who = "clip_grad_norm";
    if (!ready(opt, who))
        return opt && opt->cx ? &opt->cx->failed : &cbm_context_broken.failed;
    cbm_context *cx = opt->cx;
    if (!cbm_optimizer_number(cx, who, "max_norm", max_norm, 0, INFINITY))
        return &cx->failed;
    if (!(norm_type > 0))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] norm_type must be above 0, or INFINITY", who);
    cbm_scope *scope = cbm_quiet_scope(cx);
    cbm_tensor *norm = norm_of_all(opt, norm_type);
    if (!norm)
        return cbm_scope_end_with(scope, cbm_full(cx, CBM_F32, CBM_SHAPE(), 0));
    cbm_dtype dtype = cbm_tensor_dtype(norm);
    cbm_tensor *scale = cbm_div(cbm_scalar(cx, dtype, max_norm), cbm_add_scalar(norm, CLIP_EPS));
    scale = cbm_minimum(scale, cbm_scalar(cx, dtype, 1));
    for (size_t i = 0; i < opt->n_items; i++) {
        cbm_tensor *g = cbm_gradient(opt->items[i].parameter);
        if (g)
            cbm_set_gradient(opt->items[i].parameter, cbm_mul(g, as(scale, cbm_tensor_dtype(g))));
    }
    return cbm_scope_end_with(scope, norm);
}

cbm_status cbm_clip_grad_value(cbm_optimizer *opt, double clip_value)
{
    static const char *const who = "clip_grad_value";
    if (!ready(opt, who))
        return opt && opt->cx ? cbm_context_status(opt->cx) : CBM_ERROR_STATE;
    cbm_context *cx = opt->cx;
    if (!cbm_optimizer_number(cx, who, "clip_value", clip_value, 0, INFINITY))
        return cbm_context_status(cx);
    cbm_scope *scope = cbm_quiet_scope(cx);
    for (size_t i = 0; i < opt->n_items; i++) {
        cbm_tensor *g = cbm_gradient(opt->items[i].parameter);
        if (!g)
            continue;
        cbm_dtype dtype = cbm_tensor_dtype(g);
        g = cbm_minimum(cbm_maximum(g, cbm_scalar(cx, dtype, -clip_value)), cbm_scalar(cx, dtype, clip_value));
        cbm_set_gradient(opt->items[i].parameter, g);
    }
    cbm_scope_end(scope);
    return cbm_context_status(cx);
}
