/* clip.c: clipping all gradients of an optimizer together by their Euclidean norm. */
#include "optim/optimizer.h"
#include <math.h>

#define CLIP_EPS 1e-6 /* PyTorch's */

static cbm_tensor *square_sum(cbm_tensor *g)
{
    cbm_reduce_options all = { .struct_size = sizeof all };
    return cbm_sum_with(cbm_mul(g, g), &all);
}

static cbm_tensor *as(cbm_tensor *t, cbm_dtype dtype)
{
    return cbm_tensor_dtype(t) == dtype ? t : cbm_cast(t, dtype);
}

cbm_tensor *cbm_clip_grad_norm(cbm_optimizer *opt, double max_norm)
{
    if (!opt || !opt->cx)
        return &cbm_context_broken.failed;
    cbm_context *cx = opt->cx;
    if (opt->failed)
        return cbm_fail_tensor(cx, CBM_ERROR_STATE, "[clip_grad_norm] the optimizer is a failed one");
    if (!cbm_optimizer_number(cx, "clip_grad_norm", "max_norm", max_norm, 0, INFINITY))
        return &cx->failed;
    cbm_scope_options options = { .struct_size = sizeof options, .no_grad = 1, .quiet = 1 };
    cbm_scope *scope = cbm_scope_begin_with(cx, &options);
    cbm_tensor *total = NULL;
    for (size_t i = 0; i < opt->n_items; i++) {
        cbm_tensor *g = cbm_gradient(opt->items[i].parameter);
        if (!g)
            continue;
        cbm_tensor *part = square_sum(g);
        total = total ? cbm_add(total, as(part, cbm_tensor_dtype(total))) : part;
    }
    if (!total)
        return cbm_scope_end_with(scope, cbm_full(cx, CBM_F32, CBM_SHAPE(), 0));
    cbm_tensor *norm = cbm_sqrt(total);
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
