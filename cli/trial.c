/* trial.c: a recipe's training step or inference on made-up data of its shapes: for `cambium plan` and `cambium summary`. */
#include "cli.h"

#include <stdlib.h>

static cbm_shape prediction_shape(const cbm_trial *t)
{
    CBM_NO_GRAD(scope, t->cx);
    return cbm_tensor_shape(cbm_call(t->net, t->batch.input));
}

/* Labels 0, 1, 2, ... of the recipe's classes; without classes, numbers of the prediction's shape. */
static cbm_tensor *make_target(const cbm_trial *t)
{
    if (t->recipe->classes <= 0)
        return cbm_normal(t->cx, CBM_F32, prediction_shape(t), 0, 1);
    int64_t *labels = malloc((size_t)t->batch.size * sizeof *labels);
    if (!labels) {
        cbm_fail(t->cx, CBM_ERROR_MEMORY, "[%s] no memory for labels", t->recipe->name);
        return NULL;
    }
    for (int64_t i = 0; i < t->batch.size; i++)
        labels[i] = i % t->recipe->classes;
    cbm_tensor *target = cbm_tensor_from(t->cx, CBM_I64, CBM_SHAPE(t->batch.size), labels);
    free(labels);
    return target;
}

cbm_status cbm_trial_open(cbm_trial *t, const cbm_recipe *recipe, cbm_context *cx, int64_t batch, bool inference)
{
    *t = (cbm_trial){ .recipe = recipe, .cx = cx, .inference = inference };
    if (!recipe->model)
        return cbm_fail(cx, CBM_ERROR_UNSUPPORTED, "[%s] this recipe has no single model", recipe->name);
    if (!inference && !recipe->optimizer)
        return cbm_fail(cx, CBM_ERROR_UNSUPPORTED, "[%s] this recipe has no usual training step. HINT: --inference",
                        recipe->name);
    if (recipe->input.v[0] + 1 > CBM_MAX_DIMS)
        return cbm_fail(cx, CBM_ERROR_SHAPE, "[%s] too many dimensions", recipe->name);
    cbm_recipe_settings s = cbm_recipe_settings_of(recipe);
    s.batch_size = t->batch.size = batch > 0 ? batch : s.batch_size;
    t->net = cbm_recipe_model(recipe, cx, &s, NULL);
    if (cbm_context_status(cx) != CBM_OK)
        return cbm_context_status(cx);
    cbm_shape shape = { { recipe->input.v[0] + 1, t->batch.size } };
    for (int64_t i = 1; i <= recipe->input.v[0]; i++)
        shape.v[i + 1] = recipe->input.v[i];
    t->batch.input = cbm_normal(cx, CBM_F32, shape, 0, 1);
    cbm_compute(&t->batch.input, 1);
    if (inference) {
        cbm_eval(t->net);
        return cbm_context_status(cx);
    }
    t->opt = recipe->optimizer(t->net, &s);
    t->batch.target = make_target(t);
    if (cbm_context_status(cx) == CBM_OK)
        cbm_compute(&t->batch.target, 1);
    return cbm_context_status(cx);
}

cbm_status cbm_trial_step(cbm_trial *t)
{
    if (t->inference) {
        CBM_NO_GRAD(scope, t->cx);
        cbm_tensor *y = cbm_recipe_predict(t->recipe, t->net, t->batch.input);
        return cbm_compute(&y, 1);
    }
    CBM_SCOPE(scope, t->cx);
    cbm_tensor *prediction = NULL;
    cbm_loss_fn loss_of = t->recipe->loss ? t->recipe->loss : cbm_loss_cross_entropy;
    cbm_tensor *loss = loss_of(t->net, &t->batch, &prediction, NULL);
    cbm_backward(loss);
    if (cbm_step(t->opt) == CBM_OK)
        (void)cbm_item(loss);
    return cbm_context_status(t->cx);
}

bool cbm_trial_name(const cbm_trial *t, const void *variable, char name[static 300])
{
    cbm_named named;
    for (size_t i = 0; variable && cbm_state_at(t->net, i, &named); i++)
        if (named.tensor == variable) {
            snprintf(name, 300, "%s", named.name);
            return true;
        }
    size_t states = variable && t->opt ? cbm_optimizer_state_count(t->opt) : 0;
    for (size_t i = 0; i + 1 < states && cbm_optimizer_state_at(t->opt, i, &named); i++)
        if (named.tensor == variable) {
            snprintf(name, 300, "%s", named.name);
            return true;
        }
    return false;
}

/* ---- memory, predicted ---- */

/* After so many steps the plan has been made, found again, and learned: nothing grows any more. */
enum { PREDICTED_STEPS = 6 };

static uint64_t bytes_of(const cbm_tensor *t)
{
    return (uint64_t)cbm_tensor_count(t) * cbm_dtype_size(cbm_tensor_dtype(t));
}

static void add_up(const cbm_trial *t, cbm_trial_memory *out)
{
    cbm_named named;
    for (size_t i = 0; cbm_state_at(t->net, i, &named); i++)
        out->parameters += bytes_of(named.tensor);
    for (size_t i = 0; t->opt && cbm_optimizer_state_at(t->opt, i, &named); i++)
        out->optimizer += bytes_of(named.tensor);
    out->data = bytes_of(t->batch.input) + (t->batch.target ? bytes_of(t->batch.target) : 0);
}

/* described: the plan is described too, which takes memory of its own. */
static bool dry_steps(const cbm_common *common, const cbm_recipe *recipe, int64_t batch, bool inference, bool described,
                      cbm_trial_memory *out)
{
    cbm_trial t;
    cbm_context *cx = cbm_open_common(common, 0, false);
    cbm_dry_run(cx, true);
    cbm_profile(cx, described);
    cbm_status status = cbm_trial_open(&t, recipe, cx, batch, inference);
    for (int i = 0; i < PREDICTED_STEPS && status == CBM_OK; i++)
        status = cbm_trial_step(&t);
    cbm_plan_info plan = { .struct_size = sizeof plan };
    if (status != CBM_OK) {
        cbm_report_context(cx);
    } else if (described && cbm_plan_at(cx, 0, &plan)) {
        out->scratch = plan.scratch_bytes;
        out->results = plan.result_bytes;
        out->kept = plan.kept_bytes;
    } else if (!described) {
        const cbm_statistics s = cbm_context_statistics(cx);
        out->batch = t.batch.size;
        out->peak = s.bytes_peak;
        out->arena = s.arena_bytes;
        add_up(&t, out);
    }
    cbm_close(cx);
    return status == CBM_OK;
}

bool cbm_trial_predict(const cbm_common *common, const cbm_recipe *recipe, int64_t batch, bool inference,
                       cbm_trial_memory *out)
{
    *out = (cbm_trial_memory){ .peak = 0 };
    if (!dry_steps(common, recipe, batch, inference, false, out) ||
        !dry_steps(common, recipe, batch, inference, true, out))
        return false;
    out->rest = out->peak - out->parameters - out->optimizer - out->data - out->arena - out->results - out->kept;
    return true;
}
