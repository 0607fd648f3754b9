/* parse.h: what the fuzz targets of the library's parsers share: one context for the whole run, cleared for each input;
   whatever the bytes are, a parser gives a result or one message. */
#ifndef TESTS_FUZZ_PARSE_H
#define TESTS_FUZZ_PARSE_H

#include <cambium/cambium.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Opened once, with a limit that no input of these sizes may need to reach. */
static inline cbm_context *fuzz_context(void)
{
    static cbm_context *cx;
    if (!cx) {
        cx = cbm_open_with(.device = "reference", .threads = 1, .memory_limit = (uint64_t)1 << 30);
        if (cbm_context_status(cx) != CBM_OK)
            abort();
    }
    return cx;
}

/* Reads a tensor that a parser made; the parser must have said why when it made none. */
static inline void fuzz_tensor(cbm_context *cx, cbm_tensor *t)
{
    if (cbm_tensor_failed(t)) {
        if (cbm_context_status(cx) == CBM_OK || !cbm_message(cx)[0])
            abort();
        cbm_clear(cx);
        return;
    }
    cbm_shape shape = cbm_tensor_shape(t);
    size_t bytes = (size_t)cbm_shape_count(&shape) * cbm_dtype_size(cbm_tensor_dtype(t));
    const uint8_t *p = cbm_tensor_data(t);
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < bytes; ++i)
        sum = (uint8_t)(sum + p[i]);
}

/* After an input: an error has a message, and nothing is left over. */
static inline void fuzz_end(cbm_context *cx, bool refused)
{
    if (refused != (cbm_context_status(cx) != CBM_OK) || (refused && !cbm_message(cx)[0]))
        abort();
    cbm_clear(cx);
}

#endif
