/* context.c: opens the library's context as the common options say. */
#include "cli.h"

static void on_log(cbm_log_level level, const char *message, void *user)
{
    (void)user;
    if (level > CBM_LOG_WARNING)
        return;
    cbm_live_clear();
    fprintf(stderr, "cambium: %s: %s\n", level == CBM_LOG_ERROR ? "error" : "warning", message);
}

cbm_context *cbm_open_common(const cbm_common *common, uint64_t seed, bool deterministic)
{
    return cbm_open_with(.device = common->device ? common->device : "cpu", .threads = common->threads, .seed = seed,
                         .deterministic = deterministic, .log = on_log);
}
