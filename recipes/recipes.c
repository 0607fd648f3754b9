/* recipes.c: the list of recipes, and what all of them share: settings, training, evaluating, predicting. */
#include "recipe.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const cbm_recipe *const recipes[] = {
    &cbm_recipe_cifar_resnet20, &cbm_recipe_fashion_cnn, &cbm_recipe_finetune,         &cbm_recipe_improve,
    &cbm_recipe_iris_mlp,       &cbm_recipe_lenet5,      &cbm_recipe_mnist_cnn,        &cbm_recipe_mnist_mlp,
    &cbm_recipe_multi_modal,    &cbm_recipe_multi_task,  &cbm_recipe_oscillator,       &cbm_recipe_own_operation,
    &cbm_recipe_random_filters, &cbm_recipe_relu_tiling, &cbm_recipe_scene_labeling,   &cbm_recipe_sliding,
    &cbm_recipe_two_layer_net,  &cbm_recipe_wavelet,     &cbm_recipe_weight_averaging,
};

size_t cbm_recipe_count(void)
{
    return sizeof recipes / sizeof recipes[0];
}

const cbm_recipe *cbm_recipe_at(size_t index)
{
    return index < cbm_recipe_count() ? recipes[index] : NULL;
}

const cbm_recipe *cbm_recipe_named(const char *name)
{
    for (size_t i = 0; name && i < cbm_recipe_count(); i++)
        if (strcmp(recipes[i]->name, name) == 0)
            return recipes[i];
    return NULL;
}

cbm_recipe_settings cbm_recipe_settings_of(const cbm_recipe *recipe)
{
    return (cbm_recipe_settings){
        .epochs = recipe->epochs, .batch_size = recipe->batch_size, .workers = 1, .lr = recipe->lr, .dtype = CBM_F32
    };
}

/* ---- data ---- */

cbm_loader *cbm_recipe_loader(const cbm_recipe *recipe, cbm_context *cx, const cbm_recipe_settings *s, cbm_split split,
                              bool train)
{
    if (!recipe->dataset) {
        cbm_fail(cx, CBM_ERROR_UNSUPPORTED, "[%s] this recipe has no data set", recipe->name);
        return NULL;
    }
    bool augmented = train && recipe->training_dataset;
    cbm_dataset *dataset =
        augmented ? recipe->training_dataset(cx, s->data_dir) : recipe->dataset(cx, s->data_dir, split);
    if (s->limit > 0 && s->limit < cbm_dataset_count(dataset))
        dataset = cbm_dataset_part(dataset, 0, s->limit);
    return cbm_loader_open(dataset, .batch_size = train ? s->batch_size : 1000, .shuffle = train, .workers = s->workers,
                           .seed = s->seed);
}

cbm_module *cbm_recipe_model(const cbm_recipe *recipe, cbm_context *cx, const cbm_recipe_settings *s,
                             const char *weights)
{
    if (!recipe->model) {
        cbm_fail(cx, CBM_ERROR_UNSUPPORTED, "[%s] this recipe has no model", recipe->name);
        return cbm_module_failed(cx);
    }
    cbm_module *net = recipe->model(cx, s->dtype);
    if (weights && cbm_context_status(cx) == CBM_OK)
        cbm_load(net, weights);
    return cbm_context_status(cx) == CBM_OK ? net : cbm_module_failed(cx);
}

/* ---- training ---- */

typedef struct course {
    cbm_context *cx;
    const cbm_recipe *recipe;
    const char *run_dir;
    const cbm_recipe_watch *watch;
} course;

static bool on_step(const cbm_progress *progress, void *user)
{
    const course *c = user;
    return c->watch && c->watch->on_step ? c->watch->on_step(progress, c->watch->user) : true;
}

static bool on_epoch(const cbm_epoch *epoch, void *user)
{
    const course *c = user;
    if (c->run_dir)
        cbm_recipe_draw_curves(c->cx, c->run_dir, c->recipe->name);
    return c->watch && c->watch->on_epoch ? c->watch->on_epoch(epoch, c->watch->user) : true;
}

/* What config.json says; to be freed. */
static char *config_text(const cbm_recipe *recipe, cbm_context *cx, const cbm_recipe_settings *s,
                         const cbm_optimizer *opt)
{
    json_t *object = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:f, s:I, s:s, s:s, s:s, s:s, s:I, s:b, s:s?, s:s?, s:s?}", "recipe", recipe->name,
        "epochs", (json_int_t)s->epochs, "batch_size", (json_int_t)s->batch_size, "max_steps", (json_int_t)s->max_steps,
        "limit", (json_int_t)s->limit, "lr", s->lr, "seed", (json_int_t)s->seed, "optimizer", cbm_optimizer_name(opt),
        "data", s->data_dir ? s->data_dir : "", "device", cbm_context_device(cx), "precision",
        cbm_precision_name(cbm_context_precision(cx)), "threads", (json_int_t)cbm_context_threads(cx), "tune", s->tune,
        "chosen_optimizer", s->optimizer, "chosen_schedule", s->schedule, "chosen_average", s->average);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    return text;
}

static const char *chosen(const json_t *object, cbm_choice of, const char *key)
{
    return cbm_choice_named(of, json_string_value(json_object_get(object, key)));
}

bool cbm_recipe_settings_of_run(const cbm_recipe *recipe, const char *run_dir, cbm_recipe_settings *s, char *why,
                                size_t size)
{
    char path[4096];
    json_error_t error;
    if (snprintf(path, sizeof path, "%s/config.json", run_dir) >= (int)sizeof path) {
        snprintf(why, size, "the folder's name is too long");
        return false;
    }
    json_t *object = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    const char *name = json_string_value(json_object_get(object, "recipe"));
    json_int_t epochs = s->epochs, batch_size = s->batch_size, limit = s->limit, seed = (json_int_t)s->seed;
    bool well = false;
    if (!object)
        snprintf(why, size, "%s: %s", path, error.text);
    else if (!name || strcmp(name, recipe->name) != 0)
        snprintf(why, size, "the run in '%s' is of recipe %s, not %s", run_dir, name ? name : "(none)", recipe->name);
    else if (json_unpack(object, "{s?I, s?I, s?I, s?I, s?F}", "epochs", &epochs, "batch_size", &batch_size, "limit",
                         &limit, "seed", &seed, "lr", &s->lr) != 0 ||
             epochs < 0 || batch_size < 1 || limit < 0 || seed < 0 || !(s->lr >= 0))
        snprintf(why, size, "%s: a setting is not a sensible number", path);
    else
        well = true;
    s->epochs = epochs;
    s->batch_size = batch_size;
    s->limit = limit;
    s->seed = (uint64_t)seed;
    const char *precision = json_string_value(json_object_get(object, "precision"));
    for (cbm_precision p = CBM_PRECISION_F32; well && precision && p <= CBM_PRECISION_BF16; p++)
        if (strcmp(precision, cbm_precision_name(p)) == 0)
            s->precision = p;
    s->tune = json_is_true(json_object_get(object, "tune"));
    s->optimizer = chosen(object, CBM_CHOICE_OPTIMIZER, "chosen_optimizer");
    s->schedule = chosen(object, CBM_CHOICE_SCHEDULE, "chosen_schedule");
    s->average = chosen(object, CBM_CHOICE_AVERAGE, "chosen_average");
    json_decref(object);
    return well;
}

cbm_status cbm_recipe_train(const cbm_recipe *recipe, cbm_context *cx, const cbm_recipe_settings *s,
                            const cbm_recipe_watch *watch, cbm_fit_result *result)
{
    if (recipe->run)
        return cbm_fail(cx, CBM_ERROR_UNSUPPORTED, "[%s] this recipe has a course of its own", recipe->name);
    cbm_seed(cx, s->seed);
    cbm_loader *train = cbm_recipe_loader(recipe, cx, s, CBM_TRAIN, true);
    cbm_loader *test = cbm_recipe_loader(recipe, cx, s, CBM_TEST, false);
    cbm_module *net = cbm_recipe_model(recipe, cx, s, NULL);
    if (cbm_context_status(cx) != CBM_OK)
        return cbm_context_status(cx);
    int64_t steps = s->epochs * cbm_loader_batches(train);
    if (s->max_steps > 0 && s->max_steps < steps)
        steps = s->max_steps;
    cbm_optimizer *opt = cbm_choose_optimizer(recipe, net, s);
    cbm_schedule *schedule = cbm_choose_schedule(recipe, opt, s, steps);
    cbm_average *average = cbm_choose_average(net, s, steps);
    char *config = config_text(recipe, cx, s, opt);
    course c = { cx, recipe, s->run_dir, watch };
    cbm_status status = cbm_fit(
        net, result, .optimizer = opt, .train = train, .validation = test, .schedule = schedule, .average = average,
        .loss = recipe->loss, .epochs = s->epochs, .max_steps = s->max_steps, .directory = s->run_dir, .config = config,
        .resume = s->resume, .overwrite = s->overwrite, .on_step = on_step, .on_epoch = on_epoch, .user = &c);
    free(config);
    return status;
}

cbm_status cbm_recipe_ended(cbm_context *cx, const cbm_recipe_settings *s, cbm_status status)
{
    const bool clear = status == CBM_OK || status == CBM_ERROR_CANCELLED; /* cbm_fit clears cx where it stops */
    return clear && s->stopped && s->stopped() ? cbm_fail(cx, CBM_ERROR_CANCELLED, "[train] stopped") : status;
}

/* ---- evaluating and predicting ---- */

cbm_status cbm_recipe_eval(const cbm_recipe *recipe, cbm_context *cx, const cbm_recipe_settings *s, const char *weights,
                           cbm_split split, cbm_evaluation *out)
{
    cbm_recipe_settings plain = *s;
    plain.batch_size = 1000;
    cbm_module *net = cbm_recipe_model(recipe, cx, s, weights);
    cbm_loader *loader = cbm_recipe_loader(recipe, cx, &plain, split, false);
    if (cbm_context_status(cx) != CBM_OK)
        return cbm_context_status(cx);
    return cbm_evaluate(net, loader, recipe->loss, NULL, out);
}

cbm_tensor *cbm_recipe_predict(const cbm_recipe *recipe, cbm_module *net, cbm_tensor *input)
{
    cbm_eval(net);
    cbm_tensor *scores = cbm_call(net, input);
    return recipe->classes > 0 ? cbm_softmax(scores, 1) : scores;
}
