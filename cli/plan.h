/* plan.h: the parts of `cambium plan`: a plan as it was run (plan.c), drawn (plan_dot.c), as a trace (plan_trace.c). */
#ifndef CAMBIUM_CLI_PLAN_H
#define CAMBIUM_CLI_PLAN_H

#include "cli.h"

typedef struct cbm_plan_view {
    cbm_trial trial;
    cbm_plan_info info;
    cbm_machine machine;
    bool measured;     /* machine is */
    const char *title; /* "mnist-cnn, training step, batch of 64" */
} cbm_plan_view;

/* The least time of a step by what the machine can do; NaN if that is not known. */
double cbm_plan_estimate(const cbm_plan_view *v, double flops, double bytes);
/* What a step does, in at most room characters: "mul add relu", or its beginning and how many more. */
char *cbm_plan_does(const cbm_step_info *step, char *text, size_t room);
/* Names an operand: a parameter by its name, else what made it. */
char *cbm_plan_operand_name(const cbm_plan_view *v, const cbm_operand_info *o, char text[static 300]);

/* Draws steps and values as Graphviz text. */
void cbm_plan_draw(const cbm_plan_view *v, FILE *out);

/* Chrome's trace format: an event a step. Events of the newest run are added after each; end prints and frees. */
typedef struct cbm_plan_trace {
    cbm_json json;
    double now; /* microseconds since the first run began */
} cbm_plan_trace;
void cbm_trace_begin(cbm_plan_trace *t, const char *process);
void cbm_trace_run(cbm_plan_trace *t, const cbm_context *cx);
int cbm_trace_end(cbm_plan_trace *t, FILE *out);

/* Opens the file that comes to be called path when it is closed; "-" is standard output. NULL: reported. */
FILE *cbm_output_open(const char *path);
/* Closes it; a code that is not OK, or a failed write, leaves nothing behind. Returns an exit code. */
int cbm_output_close(FILE *out, const char *path, int code);

#endif
