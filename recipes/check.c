/* check.c: the gradient of a recipe's loss against central differences, in f64 at a few entries of each parameter. */
#include "recipe.h"
#include <math.h>
#include <stdlib.h>

#define BATCH 2
#define ENTRIES 4 /* of each parameter */
#define STEP 1e-6
#define TOLERANCE 1e-5 /* |analytic - numeric| / max(1, |analytic|, |numeric|) */

typedef struct trial {
    const cbm_recipe *recipe;
    cbm_context *cx;
    cbm_module *net;
    cbm_batch batch;
    uint64_t seed, position; /* of the random numbers, so that dropout draws the same mask each time */
} trial;

static cbm_tensor *loss_of(const trial *t)
{
    cbm_tensor *prediction = NULL;
    cbm_loss_fn loss = t->recipe->loss ? t->recipe->loss : cbm_loss_cross_entropy;
    cbm_set_random_state(t->cx, t->seed, t->position);
    return loss(t->net, &t->batch, &prediction, NULL);
}

static double value_of(const trial *t)
{
    CBM_SCOPE(scope, t->cx); /* with gradients: a loss may take some itself */
    return cbm_item(loss_of(t));
}

static bool make_batch(trial *t)
{
    const cbm_shape *one = &t->recipe->input;
    cbm_shape shape = { { one->v[0] + 1, BATCH } };
    for (int64_t i = 1; i <= one->v[0]; i++)
        shape.v[i + 1] = one->v[i];
    t->batch = (cbm_batch){ .input = cbm_variable(cbm_normal(t->cx, CBM_F64, shape, 0, 1), false), .size = BATCH };
    if (t->recipe->classes > 0) {
        int64_t labels[BATCH];
        for (int64_t i = 0; i < BATCH; i++)
            labels[i] = (3 * i + 1) % t->recipe->classes;
        t->batch.target = cbm_variable(cbm_tensor_from(t->cx, CBM_I64, CBM_SHAPE(BATCH), labels), false);
    } else {
        cbm_tensor *output = cbm_call(t->net, t->batch.input);
        t->batch.target = cbm_variable(cbm_normal(t->cx, CBM_F64, cbm_tensor_shape(output), 0, 1), false);
    }
    return cbm_flush(t->cx) == CBM_OK;
}

/* The derivative by entry at of the parameter, whose elements are in data and stay as they were. */
static double difference(const trial *t, cbm_tensor *parameter, double *data, int64_t at, int64_t count)
{
    double kept = data[at], side[2];
    size_t size = (size_t)count * sizeof *data;
    for (int k = 0; k < 2; k++) {
        data[at] = kept + (k == 0 ? STEP : -STEP);
        cbm_write(parameter, data, size);
        side[k] = value_of(t);
    }
    data[at] = kept;
    cbm_write(parameter, data, size);
    return (side[0] - side[1]) / (2 * STEP);
}

static bool check_parameter(const trial *t, const cbm_named *named, cbm_recipe_check *row)
{
    int64_t count = cbm_tensor_count(named->tensor);
    size_t size = (size_t)count * sizeof(double);
    double *data = malloc(2 * size + 1), *analytic = data + count;
    *row = (cbm_recipe_check){ .name = named->name };
    if (!data) {
        cbm_fail(t->cx, CBM_ERROR_MEMORY, "[gradcheck] no memory for '%s'", named->name);
        return false;
    }
    cbm_tensor *gradient = cbm_gradient(named->tensor);
    cbm_read(named->tensor, data, size);
    if (!gradient)
        cbm_fail(t->cx, CBM_ERROR_INVALID, "[gradcheck] the loss does not depend on '%s'", named->name);
    else
        cbm_read(gradient, analytic, size);
    for (int64_t k = 0; k < ENTRIES && k < count && cbm_context_status(t->cx) == CBM_OK; k++) {
        int64_t at = count <= ENTRIES ? k : (count / ENTRIES) * k + (7 * k + 3) % (count / ENTRIES);
        double numeric = difference(t, named->tensor, data, at, count);
        double scale = fmax(1, fmax(fabs(numeric), fabs(analytic[at])));
        row->max_error = fmax(row->max_error, fabs(numeric - analytic[at]) / scale);
        if (isnan(numeric) || isnan(analytic[at]))
            row->max_error = NAN;
        row->entries++;
    }
    row->passed = row->max_error <= TOLERANCE;
    free(data);
    return cbm_context_status(t->cx) == CBM_OK;
}

cbm_status cbm_recipe_gradcheck(const cbm_recipe *recipe, cbm_context *cx,
                                void (*row)(const cbm_recipe_check *check, void *user), void *user)
{
    trial t = { .recipe = recipe, .cx = cx };
    cbm_recipe_settings settings = cbm_recipe_settings_of(recipe);
    settings.dtype = CBM_F64;
    t.net = cbm_recipe_model(recipe, cx, &settings, NULL);
    CBM_SCOPE(scope, cx);
    if (cbm_context_status(cx) != CBM_OK || !make_batch(&t))
        return cbm_context_status(cx);
    cbm_random_state(cx, &t.seed, &t.position);
    cbm_backward(loss_of(&t));
    bool all = true;
    cbm_named named;
    for (size_t i = 0; cbm_parameter_at(t.net, i, &named); i++) {
        cbm_recipe_check result;
        if (!check_parameter(&t, &named, &result))
            break;
        all = all && result.passed;
        if (row)
            row(&result, user);
    }
    cbm_release(t.batch.input);
    cbm_release(t.batch.target);
    if (cbm_context_status(cx) != CBM_OK)
        return cbm_context_status(cx);
    return all ? CBM_OK : CBM_ERROR_INVALID;
}
