/* evaluate.c: the usual loss, counting wrong predictions, and one pass over a loader without training. */
#include "nn/parts.h"
#include "train/run.h"
#include <math.h>

cbm_tensor *cbm_loss_cross_entropy(cbm_module *net, const cbm_batch *batch, cbm_tensor **prediction, void *user)
{
    (void)user;
    *prediction = cbm_call(net, batch->input);
    return cbm_cross_entropy_with(*prediction, batch->target, NULL);
}

cbm_tensor *cbm_count_wrong(cbm_tensor *prediction, cbm_tensor *target, int64_t *judged)
{
    *judged = 0;
    if (!prediction || !target || cbm_tensor_failed(prediction) || cbm_tensor_failed(target))
        return NULL;
    cbm_dtype dtype = cbm_tensor_dtype(target);
    if (dtype == CBM_F32 || dtype == CBM_F64 || cbm_tensor_rank(prediction) != cbm_tensor_rank(target) + 1)
        return NULL;
    cbm_scope_options options = { .struct_size = sizeof options, .no_grad = 1, .quiet = 1 };
    cbm_scope *scope = cbm_scope_begin_with(prediction->cx, &options);
    cbm_reduce_options classes = { .struct_size = sizeof classes, .axes = CBM_SHAPE(1) };
    cbm_reduce_options all = { .struct_size = sizeof all };
    cbm_tensor *chosen = cbm_argmax_with(prediction, &classes);
    cbm_tensor *wrong = cbm_not_equal(chosen, dtype == CBM_I64 ? target : cbm_cast(target, CBM_I64));
    cbm_tensor *count = cbm_sum_with(cbm_cast(wrong, CBM_F32), &all);
    *judged = cbm_tensor_count(target);
    return cbm_scope_end_with(scope, count);
}

/* Adds one batch to the sums; false on error. */
static bool add_batch(cbm_module *net, const cbm_batch *batch, cbm_loss_fn loss, void *user, cbm_evaluation *out,
                      double *loss_sum, double *wrong, int64_t *judged)
{
    CBM_NO_GRAD(scope, net->cx);
    cbm_tensor *prediction = NULL;
    int64_t here;
    cbm_tensor *both[2];
    both[0] = loss(net, batch, &prediction, user);
    if (!both[0]) {
        cbm_fail(net->cx, CBM_ERROR_CALLBACK, "[evaluate] the loss function returned NULL");
        return false;
    }
    both[1] = cbm_count_wrong(prediction, batch->target, &here);
    if (cbm_compute(both, both[1] ? 2 : 1) != CBM_OK)
        return false;
    *loss_sum += cbm_item(both[0]) * (double)batch->size;
    *wrong += both[1] ? cbm_item(both[1]) : 0;
    *judged += here;
    out->samples += batch->size;
    return cbm_context_status(net->cx) == CBM_OK;
}

cbm_status cbm_evaluate(cbm_module *net, cbm_loader *loader, cbm_loss_fn loss, void *user, cbm_evaluation *out)
{
    cbm_evaluation sums = { .loss = NAN, .accuracy = NAN };
    if (out)
        *out = sums;
    cbm_context *cx = net ? net->cx : NULL;
    if (!cx)
        return CBM_ERROR_INVALID;
    if (!cbm_context_ready(cx))
        return cbm_context_status(cx);
    if (net->failed || !loader || !out)
        return cbm_fail(cx, CBM_ERROR_INVALID, "[evaluate] needs a network, a loader and a place for the result");
    size_t count;
    bool *modes = cbm_modes_take(net, &count);
    if (!modes)
        return cbm_context_status(cx);
    double start = cbm_seconds(), loss_sum = 0, wrong = 0;
    int64_t judged = 0;
    cbm_eval(net);
    cbm_loader_rewind(loader, 0);
    for (cbm_batch batch; cbm_next(loader, &batch);)
        if (!add_batch(net, &batch, loss ? loss : cbm_loss_cross_entropy, user, &sums, &loss_sum, &wrong, &judged))
            break;
    cbm_modes_put_back(net, modes, count);
    if (sums.samples > 0)
        sums.loss = loss_sum / (double)sums.samples;
    if (judged > 0)
        sums.accuracy = 1 - wrong / (double)judged;
    sums.seconds = cbm_seconds() - start;
    if (cbm_context_status(cx) == CBM_OK)
        *out = sums;
    return cbm_context_status(cx);
}
