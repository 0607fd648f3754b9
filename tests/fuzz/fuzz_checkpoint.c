/* Checkpoints of two tiny runs, the second with parameter groups and a schedule that follows a measure: what is refused must
   leave every bit of the run as it was. */
#include "fuzz/parse.h"
#include <string.h>

enum { BYTES_MAX = 4096 };

typedef struct run {
    cbm_checkpoint parts;
} run;

static run make_run(cbm_context *cx, bool groups)
{
    CBM_SCOPE(scope, cx);
    const float x[4] = { 0, 1, 2, 3 };
    const int64_t y[4] = { 0, 1, 0, 1 };
    cbm_module *net = cbm_sequential(cx, cbm_nn_linear(cx, 1, 2), CBM_END);
    cbm_optimizer *opt = cbm_sgd(net, .lr = 0.1, .momentum = 0.9);
    cbm_dataset *d = cbm_dataset_tensors(cx, cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(4, 1), x),
                                         cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(4), y));
    cbm_loader *loader = cbm_loader_open(d, .batch_size = 2, .shuffle = true, .workers = 0);
    if (groups)
        cbm_add_group(opt, .suffix = "bias", .lr = 0.2);
    cbm_schedule *schedule = groups ? cbm_schedule_plateau(opt, .patience = 1) : cbm_schedule_step(opt, .step_size = 2);
    run r = { { .module = net, .optimizer = opt, .schedule = schedule, .loader = loader } };
    if (cbm_context_status(cx) != CBM_OK)
        abort();
    return r;
}

/* Every number of the run's state, in a row. */
static size_t snapshot(cbm_context *cx, const run *r, uint8_t *out)
{
    size_t used = 0;
    cbm_named named;
    for (size_t i = 0; cbm_state_at(r->parts.module, i, &named); ++i) {
        size_t bytes = (size_t)cbm_tensor_count(named.tensor) * cbm_dtype_size(cbm_tensor_dtype(named.tensor));
        memcpy(out + used, cbm_tensor_data(named.tensor), bytes);
        used += bytes;
    }
    for (size_t i = 0; cbm_optimizer_state_at(r->parts.optimizer, i, &named); ++i) {
        size_t bytes = (size_t)cbm_tensor_count(named.tensor) * cbm_dtype_size(cbm_tensor_dtype(named.tensor));
        memcpy(out + used, cbm_tensor_data(named.tensor), bytes);
        used += bytes;
    }
    uint64_t words[8];
    cbm_loader_position p = cbm_loader_state(r->parts.loader);
    cbm_random_state(cx, &words[0], &words[1]);
    words[2] = (uint64_t)cbm_step_count(r->parts.optimizer);
    words[3] = (uint64_t)cbm_schedule_position(r->parts.schedule);
    words[4] = (uint64_t)p.epoch ^ p.seed;
    words[5] = (uint64_t)p.batch;
    for (int g = 0; g < 2; ++g) {
        double rate = g < cbm_group_count(r->parts.optimizer) ? cbm_optimizer_option(r->parts.optimizer, g, "lr") : 0;
        memcpy(&words[6 + g], &rate, sizeof rate);
    }
    memcpy(out + used, words, sizeof words);
    return used + sizeof words;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static run runs[2];
    static uint8_t before[BYTES_MAX], after[BYTES_MAX];
    cbm_context *cx = fuzz_context();
    for (int i = 0; i < 2; ++i) {
        run *r = &runs[i];
        if (!r->parts.module)
            *r = make_run(cx, i == 1);
        size_t n = snapshot(cx, r, before);
        cbm_status status = cbm_checkpoint_load_memory(data, size, &r->parts);
        fuzz_end(cx, status != CBM_OK);
        if (status != CBM_OK && (snapshot(cx, r, after) != n || memcmp(before, after, n) != 0))
            abort();
    }
    return 0;
}
