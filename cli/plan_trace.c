/* plan_trace.c: runs of a plan in the trace format that Chrome's and other viewers load: an event a step, with what it did. */
#include "plan.h"

#include <math.h>

/* Idle time shown between two runs, in microseconds. */
#define BETWEEN_RUNS 50.0

void cbm_trace_begin(cbm_plan_trace *t, const char *process)
{
    *t = (cbm_plan_trace){ .now = 0 };
    cbm_json_object(&t->json, NULL);
    cbm_json_text(&t->json, "displayTimeUnit", "ms");
    cbm_json_array(&t->json, "traceEvents");
    cbm_json_object(&t->json, NULL);
    cbm_json_text(&t->json, "name", "process_name");
    cbm_json_text(&t->json, "ph", "M");
    cbm_json_int(&t->json, "pid", 1);
    cbm_json_object(&t->json, "args");
    cbm_json_text(&t->json, "name", process);
    cbm_json_close(&t->json);
    cbm_json_close(&t->json);
}

static void add_event(cbm_json *j, double begin, size_t number, const cbm_step_info *s)
{
    char name[80];
    cbm_json_object(j, NULL);
    cbm_json_text(j, "name", cbm_plan_does(s, name, sizeof name));
    cbm_json_text(j, "cat", s->name);
    cbm_json_text(j, "ph", "X");
    cbm_json_real(j, "ts", begin + 1e6 * s->last_begin);
    cbm_json_real(j, "dur", 1e6 * s->last_seconds);
    cbm_json_int(j, "pid", 1);
    cbm_json_int(j, "tid", 1);
    cbm_json_object(j, "args");
    cbm_json_int(j, "step", (int64_t)number);
    cbm_json_text(j, "does", s->does);
    cbm_json_text(j, "kernel", s->kernel);
    cbm_json_real(j, "flops", s->flops);
    cbm_json_real(j, "bytes", s->bytes);
    if (s->why[0])
        cbm_json_text(j, "why", s->why);
    cbm_json_close(j);
    cbm_json_close(j);
}

void cbm_trace_run(cbm_plan_trace *t, const cbm_context *cx)
{
    cbm_step_info step = { .struct_size = sizeof step };
    double end = 0;
    for (size_t i = 0; cbm_plan_step_at(cx, 0, i, &step); i++)
        if (isfinite(step.last_begin)) {
            add_event(&t->json, t->now, i, &step);
            end = 1e6 * (step.last_begin + step.last_seconds);
        }
    t->now += end + BETWEEN_RUNS;
}

int cbm_trace_end(cbm_plan_trace *t, FILE *out)
{
    return cbm_json_end(&t->json, out);
}
