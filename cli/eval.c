/* eval.c: `cambium eval`: loss and accuracy of trained weights. */
#include "cli.h"

#include <math.h>
#include <string.h>

typedef struct eval_options {
    cbm_common common;
    const char *data, *run, *weights, *split;
    int64_t workers, limit;
} eval_options;

static void set_defaults(void *options)
{
    eval_options *o = options;
    o->data = "data";
    o->split = "test";
    o->workers = o->limit = -1;
}

static int print_result(const cbm_recipe *recipe, const eval_options *o, const char *weights, const cbm_evaluation *e)
{
    if (!o->common.json) {
        char samples[32];
        printf("%s on %s samples of the %s split, weights %s\n", recipe->name, cbm_text_count(e->samples, samples),
               o->split, weights);
        printf("loss %.4f\n", e->loss);
        if (isfinite(e->accuracy))
            printf("%s accuracy %.2f %%\n", o->split, 100 * e->accuracy);
        printf("%.1f s\n", e->seconds);
        return CBM_EXIT_OK;
    }
    cbm_json j = { 0 };
    cbm_json_object(&j, NULL);
    cbm_json_text(&j, "recipe", recipe->name);
    cbm_json_text(&j, "split", o->split);
    cbm_json_int(&j, "samples", e->samples);
    cbm_json_real(&j, "loss", e->loss);
    cbm_json_real(&j, "accuracy", e->accuracy);
    cbm_json_real(&j, "seconds", e->seconds);
    return cbm_json_end(&j, stdout);
}

static int run(const void *options, const cbm_arguments *arguments)
{
    const eval_options *o = options;
    bool train = strcmp(o->split, "train") == 0;
    if (!train && strcmp(o->split, "test") != 0)
        return cbm_report_usage("eval", "--split is train or test, not '%s'", o->split);
    const cbm_recipe *recipe = cbm_find_recipe(arguments->at[0]);
    if (!recipe)
        return CBM_EXIT_USAGE;
    if (!recipe->dataset)
        return cbm_report("%s has no data set to be evaluated on", recipe->name);
    char data[CBM_PATH_ROOM], weights[CBM_PATH_ROOM];
    if (!cbm_find_data(recipe, o->data, data) || !cbm_find_weights(recipe->name, o->weights, o->run, weights))
        return CBM_EXIT_FAILURE;
    cbm_recipe_settings s = cbm_recipe_settings_of(recipe);
    s.workers = o->workers >= 0 ? o->workers : s.workers;
    s.limit = o->limit >= 0 ? o->limit : s.limit;
    s.data_dir = data;
    cbm_common common = o->common;
    if (!o->weights)
        cbm_use_precision_of_run(recipe, weights, &common);
    cbm_context *cx = cbm_open_common(&common, s.seed, false);
    cbm_interrupt_watch(cx);
    cbm_evaluation result = { 0 };
    cbm_status status = cbm_recipe_eval(recipe, cx, &s, weights, train ? CBM_TRAIN : CBM_TEST, &result);
    int code = status == CBM_OK ? print_result(recipe, o, weights, &result) : cbm_report_context(cx);
    cbm_interrupt_unwatch();
    cbm_close(cx);
    return code;
}

static const cbm_option table[] = {
    { "weights", 'w', CBM_OPTION_TEXT, offsetof(eval_options, weights), "FILE", "a safetensors file", 0, 0 },
    { "run", 'r', CBM_OPTION_TEXT, offsetof(eval_options, run), "DIR", "the run whose weights to use (the newest)", 0,
      0 },
    { "split", 0, CBM_OPTION_TEXT, offsetof(eval_options, split), "NAME", "train or test (test)", 0, 0 },
    { "data", 'd', CBM_OPTION_TEXT, offsetof(eval_options, data), "DIR", "where data sets lie (data)", 0, 0 },
    { "limit", 0, CBM_OPTION_INT, offsetof(eval_options, limit), "N", "use only the first N samples (0: all)", 0,
      1e15 },
    { "workers", 0, CBM_OPTION_INT, offsetof(eval_options, workers), "N", "threads that read data ahead", 0, 256 },
    CBM_OPTION_THREADS(eval_options),
    CBM_OPTION_DEVICE(eval_options),
    CBM_OPTION_PRECISION(eval_options),
    CBM_OPTION_JSON(eval_options, "recipe, split, samples, loss, accuracy, seconds as JSON"),
};

const cbm_command cbm_command_eval = {
    .name = "eval",
    .usage = "RECIPE [options]",
    .summary = "loss and accuracy of trained weights",
    .description = "Runs a recipe's model over its test (or training) data and prints the mean loss and the accuracy.",
    .options = table,
    .n_options = CBM_COUNT_OF(table),
    .least = 1,
    .most = 1,
    .size = sizeof(eval_options),
    .defaults = set_defaults,
    .run = run,
};
