/* IDX files, plain and gzip. */
#include "fuzz/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cbm_context *cx = fuzz_context();
    CBM_SCOPE(scope, cx);
    fuzz_tensor(cx, cbm_idx_read_memory(cx, data, size));
    fuzz_end(cx, false);
    return 0;
}
