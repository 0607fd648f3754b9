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

/* Two tests, errors_on_cpu and errors_on_reference, of an array of wrong calls. */
#define WRONG_CALL_TESTS(wrong_)                                                                                       \
    static void errors_on_cpu(void **state)                                                                            \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        assert_int_equal(check_wrong_calls((wrong_), sizeof(wrong_) / sizeof *(wrong_), "cpu"), 0);                    \
    }                                                                                                                  \
    static void errors_on_reference(void **state)                                                                      \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        assert_int_equal(check_wrong_calls((wrong_), sizeof(wrong_) / sizeof *(wrong_), "reference"), 0);              \
    }

#endif
