/* context.c: opens the library's context as the common options say. */
#include "cli.h"

#include <string.h>

static void on_log(cbm_log_level level, const char *message, void *user)
{
    (void)user;
    if (level == CBM_LOG_WARNING) /* errors are reported where they are met */
        cbm_report("warning: %s", message);
}

cbm_context *cbm_open_common(const cbm_common *common, uint64_t seed, bool deterministic)
{
    const char *name = common->precision ? common->precision : "f32";
    const bool half = strcmp(name, cbm_precision_name(CBM_PRECISION_BF16)) == 0;
    cbm_context *cx = cbm_open_with(.device = common->device ? common->device : "cpu", .threads = common->threads,
                                    .seed = seed, .deterministic = deterministic, .log = on_log,
                                    .precision = half ? CBM_PRECISION_BF16 : CBM_PRECISION_F32, .tune = common->tune);
    if (!half && strcmp(name, cbm_precision_name(CBM_PRECISION_F32)) != 0)
        cbm_fail(cx, CBM_ERROR_INVALID, "[open] no precision \"%s\". HINT: \"f32\" or \"bf16\"", name);
    return cx;
}

void cbm_use_precision_of_run(const cbm_recipe *recipe, const char *weights, cbm_common *common)
{
    char folder[CBM_PATH_ROOM], why[CBM_PATH_ROOM + 200];
    cbm_recipe_settings s = cbm_recipe_settings_of(recipe);
    const char *end = strrchr(weights, '/');
    const size_t length = end ? (size_t)(end - weights) : 0;
    if (common->precision || !length || length >= sizeof folder)
        return;
    memcpy(folder, weights, length);
    folder[length] = 0;
    if (cbm_recipe_settings_of_run(recipe, folder, &s, why, sizeof why) && s.precision != CBM_PRECISION_OUTER)
        common->precision = cbm_precision_name(s.precision);
}
