/* lr_find.c: `cambium lr-find`: looks for a recipe's learning rate by short trainings. Rests on the recipes' search. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>

typedef struct lr_find_options {
    cbm_common common;
    const char *data, *optimizer, *picture;
    int64_t batch_size, limit, seed;
} lr_find_options;

static void set_defaults(void *options)
{
    lr_find_options *o = options;
    o->data = "data";
    o->picture = "lr-find.png";
    o->batch_size = o->limit = o->seed = -1;
}

static int print_json(const cbm_recipe *recipe, const cbm_rate_search *f)
{
    cbm_json j = { 0 };
    cbm_json_object(&j, NULL);
    cbm_json_text(&j, "recipe", recipe->name);
    cbm_json_real(&j, "rate", f->best);
    cbm_json_real(&j, "largest", f->largest);
    cbm_json_real(&j, "steepest", f->steepest > 0 ? f->steepest : NAN);
    cbm_json_array(&j, "trials");
    for (int64_t i = 0; i < f->trials; i++) {
        cbm_json_object(&j, NULL);
        cbm_json_real(&j, "rate", f->trial_rate[i]);
        cbm_json_real(&j, "loss", f->trial_loss[i]);
        cbm_json_close(&j);
    }
    cbm_json_close(&j);
    return cbm_json_end(&j, stdout);
}

static int report(const cbm_recipe *recipe, cbm_context *cx, const lr_find_options *o, const cbm_rate_search *f,
                  FILE *out)
{
    if (cbm_interrupted() || cbm_context_status(cx) != CBM_OK)
        return cbm_interrupted() ? CBM_EXIT_INTERRUPTED : cbm_report_context(cx);
    if (!(f->best > 0))
        return cbm_report("the loss runs away at every rate\nHINT: look at the data and the loss: cambium gradcheck %s",
                          recipe->name);
    if (cbm_recipe_draw_rates(cx, f, recipe->name, o->picture) != CBM_OK)
        return cbm_report_context(cx);
    fprintf(out, "the loss no longer runs away at %.4g", f->largest);
    if (f->steepest > 0)
        fprintf(out, "; in the range test it falls fastest at %.2g", f->steepest);
    fprintf(out, "\nlearning rate %.4g (the recipe's own is %g); let it fall by 1000 while training:\n", f->best,
            recipe->lr);
    fprintf(out, "    %s train %s --lr %.4g --schedule exponential\npicture: %s\n", cbm_program, recipe->name, f->best,
            o->picture);
    return o->common.json ? print_json(recipe, f) : CBM_EXIT_OK;
}

static int run(const void *options, const cbm_arguments *arguments)
{
    const lr_find_options *o = options;
    const cbm_recipe *recipe = cbm_find_recipe(arguments->at[0]);
    char data[CBM_PATH_ROOM];
    if (!recipe)
        return CBM_EXIT_USAGE;
    if (!recipe->dataset || !recipe->optimizer)
        return cbm_report("%s has a course of its own, not the usual training of one model on data", recipe->name);
    if (o->optimizer && !cbm_choice_named(CBM_CHOICE_OPTIMIZER, o->optimizer))
        return cbm_report_usage("lr-find", "there is no optimizer '%s'", o->optimizer);
    if (!cbm_picture_fits(o->picture) || !cbm_find_data(recipe, o->data, data))
        return CBM_EXIT_FAILURE;
    cbm_recipe_settings s = cbm_recipe_settings_of(recipe);
    s.batch_size = o->batch_size >= 0 ? o->batch_size : s.batch_size;
    s.limit = o->limit >= 0 ? o->limit : s.limit;
    s.seed = o->seed >= 0 ? (uint64_t)o->seed : s.seed;
    s.optimizer = o->optimizer;
    s.data_dir = data;
    s.stopped = cbm_interrupted;
    cbm_context *cx = cbm_open_common(&o->common, s.seed, false);
    cbm_interrupt_watch(cx);
    FILE *out = o->common.json ? stderr : stdout;
    cbm_rate_search *found = malloc(sizeof *found);
    int code;
    if (!found)
        code = cbm_report("no memory");
    else if (cbm_context_status(cx) != CBM_OK)
        code = cbm_report_context(cx);
    else {
        cbm_recipe_find_rate(recipe, cx, &s, out, found);
        code = report(recipe, cx, o, found, out);
    }
    free(found);
    cbm_interrupt_unwatch();
    cbm_close(cx);
    return code;
}

static const cbm_option table[] = {
    { "data", 'd', CBM_OPTION_TEXT, offsetof(lr_find_options, data), "DIR", "where data sets lie (data)", 0, 0 },
    { "batch-size", 'b', CBM_OPTION_INT, offsetof(lr_find_options, batch_size), "N", "samples a step", 1, 1e6 },
    { "limit", 0, CBM_OPTION_INT, offsetof(lr_find_options, limit), "N", "samples of the subset (5000)", 1, 1e15 },
    { "optimizer", 0, CBM_OPTION_TEXT, offsetof(lr_find_options, optimizer), "NAME",
      "instead of the recipe's: sgd, adam, adamw, ...", 0, 0 },
    { "seed", 's', CBM_OPTION_INT, offsetof(lr_find_options, seed), "N", "of all random numbers (0)", 0, 9e15 },
    { "picture", 'o', CBM_OPTION_TEXT, offsetof(lr_find_options, picture), "FILE", "the picture, a PNG (lr-find.png)",
      0, 0 },
    CBM_OPTION_THREADS(lr_find_options),
    CBM_OPTION_DEVICE(lr_find_options),
    CBM_OPTION_PRECISION(lr_find_options),
    CBM_OPTION_JSON(lr_find_options, "the result as JSON on standard output, the rest on standard error"),
};

const cbm_command cbm_command_lr_find = {
    .name = "lr-find",
    .usage = "RECIPE [options]",
    .summary = "look for a recipe's learning rate",
    .description =
        "On a subset of the training data: begins with a rate that is too large and halves it until the loss no "
        "longer\n"
        "runs away, then on while the loss after 150 steps still falls; the rate that ends lowest is taken. Beside it\n"
        "the range test: one run in which the rate rises from step to step. Both are drawn.",
    .options = table,
    .n_options = CBM_COUNT_OF(table),
    .least = 1,
    .most = 1,
    .size = sizeof(lr_find_options),
    .defaults = set_defaults,
    .run = run,
};
