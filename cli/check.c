/* check.c: `cambium check`: the course's habits in one report on a recipe. Rests on the recipes' diagnosis. */
#include "cli.h"

typedef struct check_options {
    cbm_common common;
    const char *data, *optimizer;
    int64_t limit, seed;
    double lr;
} check_options;

typedef struct output {
    bool as_json;
    cbm_json json;
    int64_t findings, bad;
} output;

static void set_defaults(void *options)
{
    check_options *o = options;
    o->data = "data";
    o->limit = o->seed = -1;
    o->lr = -1;
}

static void on_finding(const cbm_finding *f, void *user)
{
    output *out = user;
    out->findings++;
    out->bad += !f->passed;
    if (!out->as_json) {
        printf("%-18s %-4s %s\n", f->check, f->passed ? "ok" : "BAD", f->text);
        if (f->advice)
            printf("%-18s      HINT: %s\n", "", f->advice);
        fflush(stdout);
        return;
    }
    cbm_json_object(&out->json, NULL);
    cbm_json_text(&out->json, "check", f->check);
    cbm_json_bool(&out->json, "passed", f->passed);
    cbm_json_text(&out->json, "found", f->text);
    cbm_json_text(&out->json, "advice", f->advice);
    cbm_json_close(&out->json);
}

static int finish(output *out)
{
    if (out->as_json) {
        int code = cbm_json_end(&out->json, stdout);
        return code != CBM_EXIT_OK ? code : out->bad > 0 ? CBM_EXIT_FAILURE : CBM_EXIT_OK;
    }
    printf("%lld checks, %lld found something\n", (long long)out->findings, (long long)out->bad);
    return out->bad > 0 ? CBM_EXIT_FAILURE : CBM_EXIT_OK;
}

static int run(const void *options, const cbm_arguments *arguments)
{
    const check_options *o = options;
    const cbm_recipe *recipe = cbm_find_recipe(arguments->at[0]);
    char data[CBM_PATH_ROOM];
    if (!recipe)
        return CBM_EXIT_USAGE;
    if (!recipe->model || !recipe->dataset || !recipe->optimizer)
        return cbm_report("%s has a course of its own, not the usual training of one model on data", recipe->name);
    if (o->optimizer && !cbm_choice_named(CBM_CHOICE_OPTIMIZER, o->optimizer))
        return cbm_report_usage("check", "there is no optimizer '%s'", o->optimizer);
    if (!cbm_find_data(recipe, o->data, data))
        return CBM_EXIT_FAILURE;
    cbm_recipe_settings s = cbm_recipe_settings_of(recipe);
    s.limit = o->limit >= 0 ? o->limit : s.limit;
    s.seed = o->seed >= 0 ? (uint64_t)o->seed : s.seed;
    s.lr = o->lr >= 0 ? o->lr : s.lr;
    s.optimizer = o->optimizer;
    s.data_dir = data;
    s.stopped = cbm_interrupted;
    output out = { .as_json = o->common.json };
    cbm_json_object(&out.json, NULL);
    cbm_json_array(&out.json, "findings");
    cbm_context *cx = cbm_open_common(&o->common, s.seed, false);
    cbm_interrupt_watch(cx);
    cbm_status status = cbm_context_status(cx);
    if (status == CBM_OK)
        status = cbm_recipe_diagnose(recipe, cx, &s, on_finding, &out);
    int code = cbm_interrupted() ? CBM_EXIT_INTERRUPTED : status != CBM_OK ? cbm_report_context(cx) : finish(&out);
    cbm_json_drop(&out.json);
    cbm_interrupt_unwatch();
    cbm_close(cx);
    return code;
}

static const cbm_option table[] = {
    { "data", 'd', CBM_OPTION_TEXT, offsetof(check_options, data), "DIR", "where data sets lie (data)", 0, 0 },
    { "lr", 'l', CBM_OPTION_REAL, offsetof(check_options, lr), "X", "learning rate", 0, 1e38 },
    { "optimizer", 0, CBM_OPTION_TEXT, offsetof(check_options, optimizer), "NAME",
      "instead of the recipe's: sgd, adam, adamw, ...", 0, 0 },
    { "limit", 0, CBM_OPTION_INT, offsetof(check_options, limit), "N",
      "samples that the short training takes its batches from (5000)", 1, 1e15 },
    { "seed", 's', CBM_OPTION_INT, offsetof(check_options, seed), "N", "of all random numbers (0)", 0, 9e15 },
    CBM_OPTION_THREADS(check_options),
    CBM_OPTION_DEVICE(check_options),
    CBM_OPTION_PRECISION(check_options),
    CBM_OPTION_JSON(check_options, "the findings as JSON"),
};

const cbm_command cbm_command_check = {
    .name = "check",
    .usage = "RECIPE [options]",
    .summary = "what is wrong with a training, before it is long",
    .description =
        "Initial weights, cost, the first loss beside that of guessing, layers without a non-linearity between them, "
        "what\n"
        "layers give before and after training, gradients against central differences, the size of updates, a small\n"
        "subset that must be learned by heart, training against validation. What is not as it should be is said with "
        "an\n"
        "advice; the exit code is 1 then.",
    .options = table,
    .n_options = CBM_COUNT_OF(table),
    .least = 1,
    .most = 1,
    .size = sizeof(check_options),
    .defaults = set_defaults,
    .run = run,
};
