/* average.h: inside of an average of weights. */
#ifndef CAMBIUM_OPTIM_AVERAGE_H
#define CAMBIUM_OPTIM_AVERAGE_H

#ifndef CBM_NO_CALL_SITES
#define CBM_NO_CALL_SITES
#endif
#include "op/record.h"
#include <cambium/average.h>

typedef struct cbm_average_item {
    char name[256];
    cbm_tensor *original, *average; /* the network's variable, and one of the same kind */
    bool copied;                    /* at each update, not averaged: a buffer */
} cbm_average_item;

/* What a checkpoint keeps of it besides the values. */
typedef struct cbm_average_counts {
    int64_t calls, updates;
    bool swapped;
} cbm_average_counts;

struct cbm_average {
    cbm_context *cx;
    const char *kind; /* "ema" or "swa" */
    bool failed;
    double decay; /* NaN: the mean of all updates */
    int64_t start, every;
    cbm_average_counts counts;
    cbm_average_item *items;
    size_t n_items;
};

#endif
