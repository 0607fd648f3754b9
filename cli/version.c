/* version.c: `cambium version`. */
#include "cli.h"

#include <archive.h>
#include <curl/curl.h>

typedef struct version_options {
    cbm_common common;
} version_options;

static int run(const void *options, const cbm_arguments *arguments)
{
    const version_options *o = options;
    (void)arguments;
    if (!o->common.json) {
        printf("cambium %s\n", cbm_version());
        return CBM_EXIT_OK;
    }
    cbm_json j = { 0 };
    cbm_json_object(&j, NULL);
    cbm_json_text(&j, "version", cbm_version());
    cbm_json_text(&j, "compiler", __VERSION__);
    cbm_json_text(&j, "curl", curl_version());
    cbm_json_text(&j, "archive", archive_version_string());
    return cbm_json_end(&j, stdout);
}

static const cbm_option table[] = {
    CBM_OPTION_JSON(version_options, "with compiler and libraries, as JSON"),
};

const cbm_command cbm_command_version = {
    .name = "version",
    .usage = "[options]",
    .summary = "the program's version",
    .description = "Prints the version of the program.",
    .options = table,
    .n_options = CBM_COUNT_OF(table),
    .size = sizeof(version_options),
    .run = run,
};
