/* report.h: the description of a plan, made while it is built (report.c, unfused.c), and the times of its runs. */
#ifndef CAMBIUM_PLAN_REPORT_H
#define CAMBIUM_PLAN_REPORT_H

#include "plan/build.h"
#include <cambium/plan.h>

#define CBM_TIMED_RUNS 64

typedef struct cbm_report_step {
    cbm_step_info info;
    cbm_operand_info *operands;
    double times[CBM_TIMED_RUNS]; /* seconds, the newest over the oldest */
} cbm_report_step;

typedef struct cbm_report {
    cbm_plan_info info;
    cbm_report_step *steps;
    cbm_live_info *live; /* at the peak */
    size_t n_live;
    double times[CBM_TIMED_RUNS];
    uint64_t timed; /* runs */
    double begun;   /* of the run under way */
} cbm_report;

/* report.c: describes the finished plan of b. false: no memory. */
bool cbm_report_make(cbm_build *b);
void cbm_report_begin(cbm_report *r);
void cbm_report_step_done(cbm_report *r, size_t step, double begun);
void cbm_report_end(cbm_report *r);

/* peak.c: what is alive at the peak of the arena. false: no memory. */
bool cbm_report_peak(const cbm_build *b, cbm_report *r);

/* unfused.c: appends a line for each neighbour before the unit that could have been one with it, and why it is not. */
bool cbm_report_unfused(const cbm_build *b, const cbm_unit *u, cbm_text *t);

/* explain.c: "asked for, one element" for a result's reasons. */
void cbm_explain_reasons(cbm_text *t, uint8_t reason);

#endif
