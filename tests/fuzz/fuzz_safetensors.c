/* safetensors files: open, list, read everything. */
#include "fuzz/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cbm_context *cx = fuzz_context();
    CBM_SCOPE(scope, cx);
    cbm_safetensors *file = cbm_safetensors_open_memory(cx, data, size);
    bool refused = !file;
    cbm_file_tensor info;
    for (size_t i = 0; cbm_safetensors_at(file, i, &info); ++i)
        fuzz_tensor(cx, cbm_safetensors_tensor(file, info.name));
    cbm_safetensors_metadata(file, "format");
    cbm_safetensors_close(file);
    fuzz_end(cx, refused);
    return 0;
}
