/* conv_measure.c: which algorithm of convolution is fastest here, by trying them; of those about as fast, the one with
   the least workspace. Rests on convolution.h and tuning.h. */
#include "backend/cpu/convolution.h"
#include "backend/cpu/tuning.h"
#include "base/base.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_RUNS = 3, MOST_RUNS = 20 };
static const double ENOUGH = 0.02; /* seconds for an algorithm */
static const double NEVER = 1e30;  /* seconds of what did not run */
static const double CLOSE = 1.05;  /* times the fastest: among these the one with the least workspace is taken */

/* Only convolutions in two dimensions have several algorithms. */
static void key_of(const cbm_dnn_conv *c, int64_t threads, char key[CBM_TUNING_KEY])
{
    static const char *const directions[] = { "fwd", "dx", "dw" };
    static const char *const layouts[] = { "nchw", "nhwc", "8c", "16c" };
    snprintf(key, CBM_TUNING_KEY,
             "%s %" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64 " o%" PRId64 " k%" PRId64 "x%" PRId64 " p%" PRId64
             "x%" PRId64 " %s %s%s%s%s t%" PRId64,
             directions[c->direction], c->batch, c->channels, c->in[1], c->in[2], c->out_channels, c->kernel[1],
             c->kernel[2], c->padding[1], c->padding[2], layouts[c->x_layout], layouts[c->y_layout],
             c->add ? " add" : "", c->relu ? " act" : "", c->packed_weight ? " packed" : "", threads);
}

static float *room(size_t bytes)
{
    float *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (p)
        memset(p, 0, bytes);
    return p;
}

/* One algorithm on trial. */
typedef struct trial {
    cbm_convolution *made; /* NULL: it does not suit, or could not be made */
    size_t scratch, weights;
    double seconds; /* of the fastest run */
} trial;

static size_t most(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* In turn, so that what else the machine does meets all of them. */
static void race(const cbm_dnn_conv *c, trial trials[CBM_CONV_ALGORITHMS])
{
    size_t weights = (size_t)(c->out_channels * (c->channels / c->groups) * c->kernel[1] * c->kernel[2]) * 4;
    size_t scratch = 0;
    int racing = 0;
    for (int a = 0; a < CBM_CONV_ALGORITHMS; a++) {
        weights = most(weights, trials[a].weights);
        scratch = most(scratch, trials[a].scratch);
        racing += trials[a].made != NULL;
    }
    float *x = room((size_t)(c->batch * c->channels * c->in[1] * c->in[2]) * 4);
    float *y = room((size_t)(c->batch * c->out_channels * c->out[1] * c->out[2]) * 4);
    float *weight = room(weights), *bias = room((size_t)c->out_channels * 4), *workspace = room(scratch);
    const bool ok = x && y && weight && bias && workspace;
    const double begun = cbm_seconds();
    for (int i = 0; ok && i < MOST_RUNS && (i < LEAST_RUNS || cbm_seconds() - begun < ENOUGH * racing); i++)
        for (int a = 0; a < CBM_CONV_ALGORITHMS; a++) {
            const double start = cbm_seconds();
            if (!trials[a].made || !cbm_convolution_run(trials[a].made, x, weight, y, bias, workspace))
                continue;
            const double took = cbm_seconds() - start;
            trials[a].seconds = took < trials[a].seconds ? took : trials[a].seconds;
        }
    free(x);
    free(y);
    free(weight);
    free(bias);
    free(workspace);
}

static bool known_choice(const cbm_dnn_conv *c, const char *key, cbm_conv_algorithm *choice)
{
    char known[CBM_TUNING_CHOICE];
    cbm_tuning_find(key, known);
    for (int a = 0; a < CBM_CONV_ALGORITHMS; a++)
        if (strcmp(known, cbm_conv_algorithm_names[a]) == 0 && cbm_conv_suits(c, (cbm_conv_algorithm)a)) {
            *choice = (cbm_conv_algorithm)a;
            return true;
        }
    return false;
}

cbm_conv_algorithm cbm_conv_measured(const cbm_dnn_conv *c, int64_t threads)
{
    char key[CBM_TUNING_KEY];
    int suiting = 0;
    for (int a = 0; a < CBM_CONV_ALGORITHMS; a++)
        suiting += cbm_conv_suits(c, (cbm_conv_algorithm)a);
    if (suiting < 2)
        return cbm_conv_rule(c);
    key_of(c, cbm_parallel_threads(threads), key);
    cbm_conv_algorithm best = cbm_conv_rule(c);
    if (known_choice(c, key, &best))
        return best;
    trial trials[CBM_CONV_ALGORITHMS] = { 0 };
    double fastest = NEVER;
    size_t least = SIZE_MAX;
    for (int a = 0; a < CBM_CONV_ALGORITHMS; a++) {
        cbm_convolution *made =
            cbm_conv_suits(c, (cbm_conv_algorithm)a) ? cbm_convolution_open(c, (cbm_conv_algorithm)a, threads) : NULL;
        trials[a] = (trial){ .made = made,
                             .scratch = made ? cbm_convolution_workspace(made) : 0,
                             .weights = made && c->packed_weight ? cbm_convolution_packed_bytes(made) : 0,
                             .seconds = NEVER };
    }
    race(c, trials);
    for (int a = 0; a < CBM_CONV_ALGORITHMS; a++) {
        cbm_convolution_free(trials[a].made);
        fastest = trials[a].seconds < fastest ? trials[a].seconds : fastest;
    }
    for (int a = 0; a < CBM_CONV_ALGORITHMS; a++)
        if (trials[a].seconds < NEVER && trials[a].seconds <= CLOSE * fastest && trials[a].scratch < least) {
            least = trials[a].scratch;
            best = (cbm_conv_algorithm)a;
        }
    cbm_tuning_add(key, cbm_conv_algorithm_names[best]);
    return known_choice(c, key, &best) ? best : cbm_conv_rule(c); /* another thread's, or a full table */
}
