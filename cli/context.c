/* context.c: opens the library's context as the common options say. */
#include "cli.h"

static void on_log(cbm_log_level level, const char *message, void *user)
{
    (void)user;
    if (level == CBM_LOG_WARNING) /* errors are reported where they are met */
        cbm_report("warning: %s", message);
}

cbm_context *cbm_open_common(const cbm_common *common, uint64_t seed, bool deterministic)
{
    return cbm_open_with(.device = common->device ? common->device : "cpu", .threads = common->threads, .seed = seed,
                         .deterministic = deterministic, .log = on_log);
}
