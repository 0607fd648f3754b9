/* wrong.h: wrong calls of operations, each against the status and the message that it must give, on every device; after it
   the context is inert, and well again once cleared. Rests on the library and cmocka. */
#ifndef CAMBIUM_TESTS_WRONG_H
#define CAMBIUM_TESTS_WRONG_H

#include <cambium/tensor.h>

typedef struct wrong_call {
    cbm_tensor *(*call)(cbm_context *cx); /* what it gives is computed, unless it failed at once */
    cbm_status status;
    const char *message[2]; /* both must occur */
} wrong_call;

/* Prints and counts what is otherwise. */
int check_wrong_calls(const wrong_call *wrong, size_t count, const char *device);

#endif
