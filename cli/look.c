/* look.c: `cambium look`: pictures of what is inside a run's network. Rests on the recipes' looking. */
#include "cli.h"

#include <jansson.h>
#include <string.h>

typedef struct look_options {
    cbm_common common;
    const char *data, *weights, *out;
    int64_t limit, sample;
} look_options;

static void set_defaults(void *options)
{
    look_options *o = options;
    o->limit = -1;
}

/* The recipe that the run in a folder is of, and where its data lay ("": it does not say); NULL: reported. */
static const cbm_recipe *recipe_of_run(const char *run, char data[static CBM_PATH_ROOM])
{
    char path[CBM_PATH_ROOM];
    json_error_t error;
    if (!cbm_path_join(path, run, "config.json"))
        return NULL;
    json_t *config = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    const char *name = json_string_value(json_object_get(config, "recipe"));
    const cbm_recipe *recipe = name ? cbm_recipe_named(name) : NULL;
    const char *lay = json_string_value(json_object_get(config, "data"));
    snprintf(data, CBM_PATH_ROOM, "%s", lay && strlen(lay) < CBM_PATH_ROOM ? lay : "");
    if (!config)
        cbm_report("'%s' holds no run: %s\nHINT: cambium look RUN, the folder of a run; or RECIPE --weights FILE", run,
                   error.text);
    else if (!recipe)
        cbm_report("%s names no recipe that there is", path);
    json_decref(config);
    return recipe;
}

static int run(const void *options, const cbm_arguments *arguments)
{
    const look_options *o = options;
    const char *what = arguments->at[0];
    char data[CBM_PATH_ROOM] = "", weights[CBM_PATH_ROOM], out[CBM_PATH_ROOM];
    bool is_run = cbm_folder_exists(what);
    const cbm_recipe *recipe = is_run ? recipe_of_run(what, data) : cbm_find_recipe(what);
    if (!recipe)
        return is_run ? CBM_EXIT_FAILURE : CBM_EXIT_USAGE;
    if (!recipe->model || !recipe->dataset || recipe->classes < 2)
        return cbm_report("%s is no classifier of a data set", recipe->name);
    bool where_it_lay = !o->data && data[0] && cbm_folder_exists(data);
    if ((!where_it_lay && !cbm_find_data(recipe, o->data ? o->data : "data", data)) ||
        !cbm_find_weights(recipe->name, o->weights, is_run ? what : NULL, weights))
        return CBM_EXIT_FAILURE;
    if (o->out && snprintf(out, sizeof out, "%s", o->out) >= (int)sizeof out)
        return cbm_report("--out: the name is too long");
    if (!o->out && !cbm_path_join(out, is_run ? what : ".", "look"))
        return CBM_EXIT_FAILURE;
    if (!cbm_make_folders(out))
        return CBM_EXIT_FAILURE;
    cbm_recipe_settings s = cbm_recipe_settings_of(recipe);
    s.limit = o->limit >= 0 ? o->limit : s.limit;
    s.data_dir = data;
    cbm_common common = o->common;
    if (!o->weights)
        cbm_use_precision_of_run(recipe, weights, &common);
    cbm_context *cx = cbm_open_common(&common, s.seed, false);
    cbm_interrupt_watch(cx);
    cbm_status status = cbm_context_status(cx);
    if (status == CBM_OK)
        status = cbm_recipe_look(recipe, cx, &s, weights, o->sample, out, stdout);
    int code = status == CBM_OK ? CBM_EXIT_OK : cbm_report_context(cx);
    cbm_interrupt_unwatch();
    cbm_close(cx);
    return code;
}

static const cbm_option table[] = {
    { "weights", 'w', CBM_OPTION_TEXT, offsetof(look_options, weights), "FILE", "a safetensors file, not the run's", 0,
      0 },
    { "out", 'o', CBM_OPTION_TEXT, offsetof(look_options, out), "DIR", "where pictures go (RUN/look)", 0, 0 },
    { "data", 'd', CBM_OPTION_TEXT, offsetof(look_options, data), "DIR", "where data sets lie (where the run had them)",
      0, 0 },
    { "limit", 0, CBM_OPTION_INT, offsetof(look_options, limit), "N", "use only the first N test samples (0: all)", 0,
      1e15 },
    { "sample", 0, CBM_OPTION_INT, offsetof(look_options, sample), "N", "whose feature maps are drawn, from 0 on (0)",
      0, 499 },
    CBM_OPTION_THREADS(look_options),
    CBM_OPTION_DEVICE(look_options),
    CBM_OPTION_PRECISION(look_options),
};

const cbm_command cbm_command_look = {
    .name = "look",
    .usage = "RUN|RECIPE [options]",
    .summary = "pictures of what is inside a trained network",
    .description =
        "A row a layer in words: scale, sparsity, units that are dead, that ignore the input, that say the same, and "
        "what\n"
        "that means. And pictures: filters, feature maps, which units answer to which samples, where scores come from\n"
        "(saliency, guided, deconvolutional, Grad-CAM, occlusion), what raises each class, confusion, the surest "
        "mistakes.",
    .options = table,
    .n_options = CBM_COUNT_OF(table),
    .least = 1,
    .most = 1,
    .size = sizeof(look_options),
    .defaults = set_defaults,
    .run = run,
};
