/* wrong.c: see wrong.h. */
#define CBM_NO_CALL_SITES
#include "support/wrong.h"
#include "support/cases.h"
#include <cambium/ops.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static cbm_tensor *one(cbm_context *cx)
{
    return cbm_ones(cx, CBM_F32, CBM_SHAPE());
}

int check_wrong_calls(const wrong_call *wrong, size_t count, const char *device)
{
    int failures = 0;
    for (size_t i = 0; i < count; i++) {
        cbm_context *cx = open_device(device);
        cbm_tensor *t = wrong[i].call(cx);
        if (!cbm_tensor_failed(t)) /* values are checked when computed */
            cbm_compute(&t, 1);
        const char *message = cbm_message(cx);
        if (cbm_context_status(cx) != wrong[i].status || !strstr(message, wrong[i].message[0]) ||
            !strstr(message, wrong[i].message[1])) {
            print_error("error %zu (\"%s %s\", %s) on %s: %s, \"%s\"\n", i, wrong[i].message[0], wrong[i].message[1],
                        cbm_status_name(wrong[i].status), device, cbm_status_name(cbm_context_status(cx)), message);
            failures++;
        }
        /* Inert, then well again. */
        cbm_tensor *after = cbm_exp(t);
        if (cbm_context_status(cx) != CBM_OK && (!cbm_tensor_failed(after) || !isnan(cbm_item(after))))
            failures++;
        cbm_clear(cx);
        cbm_tensor *well = cbm_add(one(cx), one(cx));
        if (!(cbm_item(well) == 2)) {
            print_error("error %zu on %s: not well after cbm_clear: %s\n", i, device, cbm_message(cx));
            failures++;
        }
        cbm_close(cx);
    }
    return failures;
}
