/* dataset.h: inside of a dataset, for the loader and for the datasets that io makes. Rests on base and tensor. */
#ifndef CAMBIUM_DATASET_INTERNAL_H
#define CAMBIUM_DATASET_INTERNAL_H

#include "base/base.h"
#include <cambium/data.h>

#define CBM_SCRATCH_ALIGNMENT 64u

struct cbm_dataset {
    cbm_context *cx;
    int64_t refs; /* the context, loaders, parts */
    bool owned;   /* listed with the context */
    bool has_target;
    char name[128];
    int64_t count, classes;
    cbm_shape input_shape, target_shape;
    cbm_dtype input_dtype, target_dtype;
    size_t input_bytes, target_bytes; /* of one sample */
    size_t scratch_bytes;             /* for each thread that reads; a multiple of CBM_SCRATCH_ALIGNMENT */
    int64_t transforms;               /* that a sample has passed already */
    /* Inputs, targets: whether they differ in the extent of their first axis, and what stands behind their end. */
    bool variable[2];
    double padding[2];
    cbm_read_sample_fn read;
    void *user;
    void (*destroy)(void *user);
};

void cbm_dataset_retain(cbm_dataset *dataset);
void cbm_dataset_drop(cbm_dataset *dataset);
/* Options of a dataset whose samples are like dataset's; read, user and destroy are still to be said. */
cbm_dataset_options cbm_dataset_like(const cbm_dataset *dataset);
/* Reads sample index into memory. Safe in worker threads. message: 256 bytes, "" unless the source wrote a reason. */
cbm_status cbm_dataset_read(const cbm_dataset *dataset, const cbm_sample_request *sample);

#endif
