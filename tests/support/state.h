/* state.h: all numbers of a network and its optimizer in a row, to be compared bit for bit. */
#ifndef CAMBIUM_TESTS_STATE_H
#define CAMBIUM_TESTS_STATE_H

#include <cambium/cambium.h>
#include <stdlib.h>

#include "support/status.h"

#define STATE_MOST ((size_t)1 << 16) /* bytes */

/* Parameters, buffers and, if opt is given, the optimizer's state; to be freed. */
static inline unsigned char *state_bytes(cbm_module *net, cbm_optimizer *opt, size_t *size)
{
    unsigned char *all = calloc(1, STATE_MOST);
    cbm_named named;
    assert_non_null(all);
    *size = 0;
    for (int part = 0; part < (opt ? 2 : 1); part++)
        for (size_t i = 0; part ? cbm_optimizer_state_at(opt, i, &named) : cbm_state_at(net, i, &named); i++) {
            size_t bytes = (size_t)cbm_tensor_count(named.tensor) * cbm_dtype_size(cbm_tensor_dtype(named.tensor));
            assert_true(*size + bytes <= STATE_MOST);
            assert_int_equal(cbm_read(named.tensor, all + *size, bytes), CBM_OK);
            *size += bytes;
        }
    return all;
}

/* What is of two networks (and optimizers) the same in all bits. */
static inline void expect_same_state(cbm_module *a, cbm_optimizer *of_a, cbm_module *b, cbm_optimizer *of_b,
                                     const char *what)
{
    size_t n, m;
    unsigned char *x = state_bytes(a, of_a, &n), *y = state_bytes(b, of_b, &m);
    if (n != m || memcmp(x, y, n) != 0)
        fail_msg("%s: they differ", what);
    free(x);
    free(y);
}

#endif
