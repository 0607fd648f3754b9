/* torch.h: PyTorch's files of weights as open safetensors files. Rests on safetensors.h. */
#ifndef CAMBIUM_IO_TORCH_H
#define CAMBIUM_IO_TORCH_H

#include "io/safetensors.h"

/* How such a file begins; a safetensors file cannot (its header would be longer than is allowed). */
bool cbm_is_torch(const uint8_t *bytes, size_t size);
/* Fills in the file's entries and its memory, owned by it, from bytes that cbm_is_torch knows. false: problem says why; the file is
   to be shut as after success. */
bool cbm_torch_parse(cbm_safetensors *file, const uint8_t *bytes, size_t size, cbm_problem *problem);

#endif
