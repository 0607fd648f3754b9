/* list.c: `cambium list`: the recipes; the networks of the library. */
#include "cli.h"

#include <string.h>

typedef struct list_options {
    cbm_common common;
    bool networks;
} list_options;

static bool network_at(size_t i, cbm_network_info *info)
{
    *info = (cbm_network_info){ .struct_size = sizeof *info };
    return cbm_network_at(i, info);
}

static int print_networks_json(void)
{
    cbm_network_info info;
    cbm_json j = { 0 };
    cbm_json_object(&j, NULL);
    cbm_json_array(&j, "networks");
    for (size_t i = 0; network_at(i, &info); i++) {
        cbm_json_object(&j, NULL);
        cbm_json_text(&j, "name", info.name);
        cbm_json_text(&j, "source", info.source);
        cbm_json_shape(&j, "input_shape", &info.input);
        cbm_json_int(&j, "classes", info.classes);
        cbm_json_close(&j);
    }
    return cbm_json_end(&j, stdout);
}

static int print_networks(void)
{
    cbm_network_info info;
    for (size_t i = 0; network_at(i, &info); i++) {
        char shape[80];
        snprintf(shape, sizeof shape, "%lldx%lldx%lld, %lld classes", (long long)info.input.v[1],
                 (long long)info.input.v[2], (long long)info.input.v[3], (long long)info.classes);
        printf("%-18s %-24s %s\n", info.name, shape, info.source);
    }
    return CBM_EXIT_OK;
}

static int print_json(const cbm_recipe *only)
{
    cbm_json j = { 0 };
    cbm_json_object(&j, NULL);
    cbm_json_array(&j, "recipes");
    for (size_t i = 0; i < cbm_recipe_count(); i++) {
        const cbm_recipe *r = cbm_recipe_at(i);
        if (only && r != only)
            continue;
        cbm_json_object(&j, NULL);
        cbm_json_text(&j, "name", r->name);
        cbm_json_text(&j, "summary", r->summary);
        cbm_json_text(&j, "data", r->data);
        cbm_json_int(&j, "epochs", r->epochs);
        cbm_json_int(&j, "batch_size", r->batch_size);
        cbm_json_real(&j, "lr", r->lr);
        cbm_json_close(&j);
    }
    return cbm_json_end(&j, stdout);
}

static int print_one(const cbm_recipe *r)
{
    printf("%s: %s\n", r->name, r->summary);
    if (r->description)
        printf("\n%s\n", r->description);
    printf("\ndata: %s\n", r->data ? r->data : "none needed");
    if (r->epochs > 0)
        printf("epochs: %lld\nbatch size: %lld\n", (long long)r->epochs, (long long)r->batch_size);
    if (r->lr > 0)
        printf("learning rate: %g\n", r->lr);
    return CBM_EXIT_OK;
}

static int run(const void *options, const cbm_arguments *arguments)
{
    const list_options *o = options;
    if (o->networks && arguments->count > 0)
        return cbm_report_usage("list", "--networks goes without a recipe");
    if (o->networks)
        return o->common.json ? print_networks_json() : print_networks();
    const cbm_recipe *only = arguments->count > 0 ? cbm_find_recipe(arguments->at[0]) : NULL;
    if (arguments->count > 0 && !only)
        return CBM_EXIT_USAGE;
    if (o->common.json)
        return print_json(only);
    if (only)
        return print_one(only);
    int width = 0;
    for (size_t i = 0; i < cbm_recipe_count(); i++)
        width = (int)strlen(cbm_recipe_at(i)->name) > width ? (int)strlen(cbm_recipe_at(i)->name) : width;
    for (size_t i = 0; i < cbm_recipe_count(); i++)
        printf("%-*s  %s\n", width, cbm_recipe_at(i)->name, cbm_recipe_at(i)->summary);
    return CBM_EXIT_OK;
}

static const cbm_option table[] = {
    { "networks", 'n', CBM_OPTION_FLAG, offsetof(list_options, networks), NULL,
      "the library's networks, for `cambium summary`", 0, 0 },
    CBM_OPTION_JSON(list_options, "the list as JSON"),
};

const cbm_command cbm_command_list = {
    .name = "list",
    .usage = "[RECIPE] [options]",
    .summary = "the recipes, what one of them shows, or the networks",
    .description =
        "Lists the recipes: models with their data and settings, ready to be trained. With a name: what that\n"
        "recipe is and shows.",
    .options = table,
    .n_options = CBM_COUNT_OF(table),
    .most = 1,
    .size = sizeof(list_options),
    .run = run,
};
