/* batch_norm.c: running statistics of batch norms made anew for weights that were not trained, averaged ones for example. */
#include "nn/parts.h"
#include "train/run.h"

/* A batch norm and its momentum, which is 1 / n at the n-th batch meanwhile: the running statistics are then a mean. */
typedef struct norm {
    cbm_module *module;
    double momentum;
} norm;

static bool find_norms(cbm_module *m, cbm_array *norms)
{
    const char *name;
    const double *momentum = cbm_batch_norm_momentum(m);
    bool fine = !momentum || cbm_array_push(norms, &(norm){ m, *momentum });
    for (size_t i = 0; fine && i < cbm_child_count(m); i++)
        fine = find_norms(cbm_child_at(m, i, &name), norms);
    return fine;
}

static cbm_status pass(cbm_module *net, cbm_loader *loader, const cbm_array *norms)
{
    for (size_t i = 0; i < norms->count; i++)
        cbm_batch_norm_reset(CBM_AT(norms, norm, i).module);
    cbm_train(net);
    cbm_loader_rewind(loader, 0);
    int64_t batches = 0;
    for (cbm_batch batch; cbm_next(loader, &batch);) {
        CBM_NO_GRAD(scope, net->cx);
        batches++;
        for (size_t i = 0; i < norms->count; i++)
            *cbm_batch_norm_momentum(CBM_AT(norms, norm, i).module) = 1 / (double)batches;
        cbm_call(net, batch.input);
    }
    return cbm_flush(net->cx);
}

static cbm_status update(cbm_module *net, cbm_loader *loader, const cbm_array *norms)
{
    cbm_savepoint before;
    size_t count;
    const cbm_loader_position position = cbm_loader_state(loader);
    bool *modes = cbm_modes_take(net, &count);
    if (!modes || !cbm_savepoint_take(&before, net->cx)) {
        if (modes)
            cbm_modes_put_back(net, modes, count);
        return cbm_context_status(net->cx);
    }
    if (pass(net, loader, norms) == CBM_OK)
        cbm_savepoint_drop(&before);
    else
        cbm_savepoint_return(&before);
    for (size_t i = 0; i < norms->count; i++)
        *cbm_batch_norm_momentum(CBM_AT(norms, norm, i).module) = CBM_AT(norms, norm, i).momentum;
    cbm_modes_put_back(net, modes, count);
    cbm_loader_set_state(loader, &position);
    return cbm_context_status(net->cx);
}

cbm_status cbm_update_batch_norm(cbm_module *net, cbm_loader *loader)
{
    cbm_context *cx = net ? net->cx : NULL;
    if (!cx)
        return CBM_ERROR_INVALID;
    if (!cbm_context_ready(cx))
        return cbm_context_status(cx);
    if (net->failed || !loader)
        return cbm_fail(cx, CBM_ERROR_INVALID, "[update_batch_norm] needs a network and a loader");
    cbm_array norms = CBM_ARRAY(cbm_context_heap(cx), norm);
    if (!find_norms(net, &norms))
        cbm_fail_memory(cx, "a list of batch norms");
    else if (norms.count > 0)
        update(net, loader, &norms);
    cbm_array_free(&norms);
    return cbm_context_status(cx);
}
