/* sampler.h: which samples an epoch has, in which order: as they lie, shuffled, by weight, or in a user's order; and of
   these, one process's share. sampler.c; rests on dataset.h. */
#ifndef CAMBIUM_DATA_SAMPLER_H
#define CAMBIUM_DATA_SAMPLER_H

#include "data/dataset.h"

typedef struct cbm_sampler {
    cbm_heap *heap;
    int64_t samples; /* of the dataset */
    int64_t drawn;   /* in an epoch, by all processes */
    int64_t share;   /* of them, this process's */
    bool shuffle, replacement;
    double *sums; /* of the weights up to and with each sample; NULL: no weights */
    cbm_order_fn order;
    void *user;
    int64_t rank, ranks;
    int64_t *drawn_order; /* room for an epoch's order; NULL: samples as they lie */
    int64_t epoch;        /* whose order it is; -1: none */
} cbm_sampler;

/* false after the error. */
bool cbm_sampler_open(cbm_sampler *sampler, const cbm_dataset *dataset, const cbm_loader_options *options);
void cbm_sampler_close(cbm_sampler *sampler);
/* Indices of samples first .. first + count - 1 of this process's share. message: 256 bytes. */
cbm_status cbm_sampler_choose(cbm_sampler *sampler, uint64_t seed, int64_t epoch, int64_t first, int64_t count,
                              int64_t *out, char *message);

#endif
