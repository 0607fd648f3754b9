/* weights.h: bringing named tensors of a file into named variables: match names, check everything, read, then commit.
   Rests on safetensors.h and nn. */
#ifndef CAMBIUM_IO_WEIGHTS_H
#define CAMBIUM_IO_WEIGHTS_H

#include "io/safetensors.h"
#include <cambium/nn.h>

/* One variable that is to be restored. */
typedef struct cbm_target {
    char name[256];
    cbm_tensor *variable;
    const cbm_entry *source; /* found by cbm_targets_match */
    cbm_tensor *value;       /* read by cbm_targets_read */
} cbm_target;

/* Appends a module's parameters and buffers. false: no memory (reported). */
bool cbm_targets_add_module(cbm_array *targets, cbm_module *module);
/* Finds each target's tensor in the file, and checks names, shapes and dtypes. what: "the module" in messages. */
cbm_status cbm_targets_match(cbm_safetensors *file, cbm_array *targets, const cbm_load_options *options,
                             const char *what);
/* Reads the tensors found; and then records their assignment. */
cbm_status cbm_targets_read(cbm_safetensors *file, cbm_array *targets);
void cbm_targets_assign(cbm_array *targets);

#endif
