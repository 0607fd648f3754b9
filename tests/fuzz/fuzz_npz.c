/* npz archives: open, list, read everything. */
#include "fuzz/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cbm_context *cx = fuzz_context();
    CBM_SCOPE(scope, cx);
    cbm_npz *file = cbm_npz_open_memory(cx, data, size);
    bool refused = !file;
    for (size_t i = 0; i < cbm_npz_count(file); ++i)
        fuzz_tensor(cx, cbm_npz_tensor(file, cbm_npz_name(file, i)));
    cbm_npz_close(file);
    fuzz_end(cx, refused);
    return 0;
}
