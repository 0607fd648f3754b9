/* cifar.h: CIFAR's binary files as a dataset from memory, for the fuzzer. */
#ifndef CAMBIUM_IO_CIFAR_H
#define CAMBIUM_IO_CIFAR_H

#include <cambium/data.h>

/* One file's bytes (copied) in CIFAR-10's form, or CIFAR-100's if hundred. NULL on error. */
cbm_dataset *cbm_cifar_memory(cbm_context *cx, const void *bytes, size_t size, bool hundred,
                              const cbm_cifar_options *options);

#endif
