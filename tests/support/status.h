/* status.h: what tests say of a context's error: there is none, or it is this one, and then it is cleared. */
#ifndef CAMBIUM_TESTS_STATUS_H
#define CAMBIUM_TESTS_STATUS_H

#include <cambium/context.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static inline void good(cbm_context *cx)
{
    if (cbm_context_status(cx) != CBM_OK)
        fail_msg("%s", cbm_message(cx));
}

static inline void refused(cbm_context *cx, cbm_status status, const char *part)
{
    assert_int_equal(cbm_context_status(cx), status);
    if (!strstr(cbm_message(cx), part))
        fail_msg("'%s' does not say '%s'", cbm_message(cx), part);
    cbm_clear(cx);
}

/* The call is refused by the context cx of the caller. */
#define REFUSED(call, status, part)                                                                                    \
    do {                                                                                                               \
        (void)(call);                                                                                                  \
        refused(cx, status, part);                                                                                     \
    } while (0)

#endif
