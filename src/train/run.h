/* run.h: a run directory (run.c) and the parts of training that fit.c puts together. */
#ifndef CAMBIUM_TRAIN_RUN_H
#define CAMBIUM_TRAIN_RUN_H

#ifndef CBM_NO_CALL_SITES
#define CBM_NO_CALL_SITES
#endif
#include "tensor/context.h"
#include <cambium/ops.h>
#include <cambium/train.h>
#include <jansson.h>

#define CBM_RUN_PATH 1024

/* How far training has come: with the checkpoint's tensors, all that a resumed run needs. */
typedef struct cbm_run_state {
    int64_t epoch; /* finished epochs */
    int64_t step;  /* steps in the current one */
    int64_t total_steps;
    bool trained;    /* the current epoch's steps are done, its validation is not */
    double loss_sum; /* over the samples of the epoch so far */
    double wrong;    /* samples whose largest logit was not the target's */
    double samples;  /* so far */
    double judged;   /* of them, those with a prediction; may count several to a sample */
    double seconds;  /* of training in the epoch so far */
    json_t *metrics; /* an array of finished epochs */
} cbm_run_state;

typedef struct cbm_run {
    cbm_context *cx;
    char directory[CBM_RUN_PATH];
} cbm_run;

/* Makes the directory and writes config.json. resume: there must be a checkpoint; otherwise there must be none, unless
   overwrite. */
cbm_status cbm_run_open(cbm_run *run, cbm_context *cx, const char *directory, const char *config, bool resume,
                        bool overwrite);
/* Writes model.safetensors, metrics.jsonl and checkpoints/last.ckpt. */
cbm_status cbm_run_save(const cbm_run *run, const cbm_checkpoint *parts, const cbm_run_state *state);
/* Reads them back into the parts and state. */
cbm_status cbm_run_load(const cbm_run *run, const cbm_checkpoint *parts, cbm_run_state *state);
/* An epoch as JSON; NaN becomes null. NULL: no memory. */
json_t *cbm_epoch_to_json(const cbm_epoch *epoch);
void cbm_epoch_from_json(const json_t *object, cbm_epoch *epoch);

/* check.c: the loss itself, but a step that meets a non-finite one fails before anything is changed. */
cbm_tensor *cbm_finite_loss(cbm_tensor *loss);
/* Was that the context's error? */
bool cbm_failed_by_loss(const cbm_context *cx);

/* evaluate.c: how many entries of prediction (N, C, ...) have their largest class elsewhere than target; NULL: cannot be
   told. *judged: how many there are. */
cbm_tensor *cbm_count_wrong(cbm_tensor *prediction, cbm_tensor *target, int64_t *judged);

#endif
