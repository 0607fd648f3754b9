/* plan.c: `cambium plan`: a recipe's step as the library runs it, planned, run a few times on made-up data, and shown. */
#include "plan.h"

#include <math.h>
#include <string.h>
#include <time.h>

enum { LEAST_RUNS = 5, MOST_RUNS = 64, TRACED_RUNS = 5 };
#define RUN_SECONDS 1.0 /* of runs beyond the least number */

typedef struct plan_options {
    cbm_common common;
    int64_t batch;
    bool inference;
    const char *dot, *trace;
} plan_options;

double cbm_plan_estimate(const cbm_plan_view *v, double flops, double bytes)
{
    return v->measured ? fmax(flops / v->machine.flops, bytes / v->machine.bytes) : NAN;
}

char *cbm_plan_does(const cbm_step_info *s, char *text, size_t room)
{
    size_t length = strlen(s->does);
    if (!s->operations) {
        snprintf(text, room, "%s %s", s->name, s->does);
        return text;
    }
    if (length < room) {
        memcpy(text, s->does, length + 1);
        return text;
    }
    size_t cut = room - 20, words = 1;
    while (cut > 0 && s->does[cut] != ' ')
        cut--;
    for (size_t i = 0; i < cut; i++)
        words += s->does[i] == ' ';
    snprintf(text, room, "%.*s +%llu more", (int)cut, s->does, (unsigned long long)(s->operations - words));
    return text;
}

char *cbm_plan_operand_name(const cbm_plan_view *v, const cbm_operand_info *o, char text[static 300])
{
    if (!cbm_trial_name(&v->trial, o->variable, text))
        snprintf(text, 300, "%s", o->name);
    return text;
}

/* ---- running ---- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The first steps initialise variables; the plan to be shown is the one that repeats. */
static cbm_status run_steps(cbm_plan_view *v, cbm_plan_trace *trace)
{
    cbm_status status = CBM_OK;
    for (int i = 0; i < 2 && status == CBM_OK; i++)
        status = cbm_trial_step(&v->trial);
    double begun = now();
    for (int i = 0; i < MOST_RUNS && status == CBM_OK && (i < LEAST_RUNS || now() - begun < RUN_SECONDS); i++) {
        status = cbm_trial_step(&v->trial);
        if (status == CBM_OK && trace && i < TRACED_RUNS)
            cbm_trace_run(trace, v->trial.cx);
    }
    return status;
}

/* ---- as text ---- */

static char *time_text(double seconds, char text[static 32])
{
    if (!isfinite(seconds))
        snprintf(text, 32, "-");
    else
        snprintf(text, 32, seconds < 9.9995e-3 ? "%.3f ms" : "%.1f ms", 1e3 * seconds);
    return text;
}

static void print_operands(const cbm_plan_view *v, size_t number, const cbm_step_info *s)
{
    enum { SHOWN = 8 };
    char name[300], shape[160], bytes[32];
    cbm_operand_info o = { .struct_size = sizeof o };
    for (size_t k = 0; k < s->inputs + s->outputs && cbm_plan_operand_at(v->trial.cx, 0, number, k, &o); k++) {
        bool output = k >= s->inputs;
        size_t at = output ? k - s->inputs : k, count = output ? s->outputs : s->inputs;
        if (at == SHOWN)
            printf("        %s  and %zu more\n", output ? "writes" : "reads ", count - at);
        if (at >= SHOWN)
            continue;
        printf("        %s  %s %s %s %s, %s", output ? "writes" : "reads ", cbm_plan_operand_name(v, &o, name),
               cbm_dtype_name(o.dtype), cbm_text_shape(&o.shape, shape), o.layout,
               cbm_text_bytes((double)o.bytes, bytes));
        if (!output && o.source >= 0)
            printf(", of step %lld", (long long)o.source);
        printf("%s%s\n", output && o.why[0] ? "; " : "", output ? o.why : "");
    }
}

static void print_lines(const char *label, const char *lines)
{
    while (*lines) {
        size_t length = strcspn(lines, "\n");
        printf("        %s  %.*s\n", label, (int)length, lines);
        lines += length + (lines[length] != 0);
    }
}

static void print_step(const cbm_plan_view *v, size_t number, const cbm_step_info *s)
{
    char a[32], b[32], c[32], d[32], does[100], bytes[32];
    printf("%4zu  %10s  %10s  %8s  %10s  %s  [%s]\n", number, time_text(s->seconds, a),
           time_text(cbm_plan_estimate(v, s->flops, s->bytes), b), cbm_text_si(s->flops, c),
           cbm_text_bytes(s->bytes, d), cbm_plan_does(s, does, sizeof does), s->kernel);
    if (s->why[0])
        printf("        why     %s\n", s->why);
    print_operands(v, number, s);
    if (s->scratch_bytes)
        printf("        scratch %s\n", cbm_text_bytes((double)s->scratch_bytes, bytes));
    if (s->constant)
        printf("        kept    runs only when a variable has changed\n");
    if (s->commit)
        printf("        last    overwrites variables: runs after all that can fail\n");
    print_lines("apart ", s->unfused);
}

/* What the arena holds when it holds the most. */
static void print_peak(const cbm_plan_view *v)
{
    enum { SHOWN = 12 };
    char bytes[32], shape[160];
    cbm_live_info live = { .struct_size = sizeof live };
    size_t more = 0;
    printf("         the most of the arena in use, %s, while step %llu runs:\n",
           cbm_text_bytes((double)v->info.live_bytes, bytes), (unsigned long long)v->info.peak_step);
    for (size_t i = 0; cbm_plan_live_at(v->trial.cx, 0, i, &live); i++) {
        if (i >= SHOWN) {
            more++;
            continue;
        }
        printf("        %10s  %s", cbm_text_bytes((double)live.bytes, bytes), live.name);
        if (live.layout[0])
            printf(" %s %s", cbm_text_shape(&live.shape, shape), live.layout);
        printf(", steps %lld to %lld\n", (long long)live.first, (long long)live.last);
    }
    if (more)
        printf("                    and %zu more\n", more);
}

static void print_plan(const cbm_plan_view *v)
{
    char a[32], b[32], c[32], d[32];
    const cbm_plan_info *p = &v->info;
    double estimate = 0;
    size_t copies = 0;
    cbm_step_info s = { .struct_size = sizeof s };
    for (size_t i = 0; cbm_plan_step_at(v->trial.cx, 0, i, &s); i++) {
        estimate += cbm_plan_estimate(v, s.flops, s.bytes);
        copies += s.operations == 0;
    }
    printf("%s, %lld threads\n\n", v->title, (long long)cbm_context_threads(v->trial.cx));
    printf("%llu operations in %llu steps, of which %zu copies or reorders\n", (unsigned long long)p->operations,
           (unsigned long long)p->steps, copies);
    printf("time:    %s measured, median of runs", time_text(p->seconds, a));
    if (v->measured)
        printf("; %s estimated from\n         %sFLOP/s in matrix products and %sB/s in passes over as much "
               "memory, as measured here",
               time_text(estimate, b), cbm_text_si(v->machine.flops, c), cbm_text_si(v->machine.bytes, d));
    printf("\nwork:    %s FLOP, %s read and written\n", cbm_text_si(p->flops, a), cbm_text_bytes(p->bytes, b));
    printf("memory:  arena %s%s, %s if no memory were used twice; scratch of one step at most %s\n",
           cbm_text_bytes((double)p->arena_bytes, a), p->huge_pages ? " in huge pages" : "",
           cbm_text_bytes((double)p->temporary_bytes, b), cbm_text_bytes((double)p->scratch_bytes, c));
    printf("         reads %s of variables and data, leaves %llu results, new ones of %s",
           cbm_text_bytes((double)p->operand_bytes, a), (unsigned long long)p->results,
           cbm_text_bytes((double)p->result_bytes, b));
    if (p->kept_bytes)
        printf(", keeps %s from run to run", cbm_text_bytes((double)p->kept_bytes, a));
    printf("\n");
    print_peak(v);
    printf("\n");
    printf("step        time    estimate     FLOPs       moved  what it does [kernel]\n");
    for (size_t i = 0; cbm_plan_step_at(v->trial.cx, 0, i, &s); i++)
        print_step(v, i, &s);
}

/* ---- as JSON ---- */

static void add_operand(const cbm_plan_view *v, cbm_json *j, const cbm_operand_info *o, bool output)
{
    char name[300];
    cbm_json_object(j, NULL);
    cbm_json_text(j, "name", cbm_plan_operand_name(v, o, name));
    cbm_json_text(j, "place", o->place);
    cbm_json_text(j, "dtype", cbm_dtype_name(o->dtype));
    cbm_json_shape(j, "shape", &o->shape);
    cbm_json_text(j, "layout", o->layout);
    cbm_json_int(j, "bytes", (int64_t)o->bytes);
    if (output)
        cbm_json_text(j, "why", o->why);
    else if (o->source >= 0)
        cbm_json_int(j, "step", o->source);
    cbm_json_close(j);
}

static void add_step(const cbm_plan_view *v, cbm_json *j, size_t number, const cbm_step_info *s)
{
    cbm_operand_info o = { .struct_size = sizeof o };
    cbm_json_object(j, NULL);
    cbm_json_text(j, "name", s->name);
    cbm_json_text(j, "does", s->does);
    cbm_json_int(j, "operations", (int64_t)s->operations);
    cbm_json_text(j, "kernel", s->kernel);
    cbm_json_text(j, "why", s->why);
    cbm_json_array(j, "unfused");
    for (const char *line = s->unfused; *line;) {
        char text[400];
        size_t length = strcspn(line, "\n");
        snprintf(text, sizeof text, "%.*s", (int)length, line);
        cbm_json_text(j, NULL, text);
        line += length + (line[length] != 0);
    }
    cbm_json_close(j);
    cbm_json_real(j, "flops", s->flops);
    cbm_json_real(j, "bytes", s->bytes);
    cbm_json_int(j, "scratch_bytes", (int64_t)s->scratch_bytes);
    cbm_json_real(j, "seconds", s->seconds);
    cbm_json_real(j, "estimated_seconds", cbm_plan_estimate(v, s->flops, s->bytes));
    cbm_json_bool(j, "constant", s->constant != 0);
    cbm_json_bool(j, "overwrites_variables", s->commit != 0);
    for (int output = 0; output < 2; output++) {
        cbm_json_array(j, output ? "writes" : "reads");
        for (size_t k = output ? s->inputs : 0; k < (output ? s->inputs + s->outputs : s->inputs); k++)
            if (cbm_plan_operand_at(v->trial.cx, 0, number, k, &o))
                add_operand(v, j, &o, output);
        cbm_json_close(j);
    }
    cbm_json_close(j);
}

static void add_peak(const cbm_plan_view *v, cbm_json *j)
{
    cbm_live_info live = { .struct_size = sizeof live };
    cbm_json_int(j, "peak_step", (int64_t)v->info.peak_step);
    cbm_json_int(j, "live_bytes", (int64_t)v->info.live_bytes);
    cbm_json_array(j, "live");
    for (size_t i = 0; cbm_plan_live_at(v->trial.cx, 0, i, &live); i++) {
        cbm_json_object(j, NULL);
        cbm_json_text(j, "name", live.name);
        cbm_json_shape(j, "shape", &live.shape);
        cbm_json_text(j, "layout", live.layout);
        cbm_json_int(j, "bytes", (int64_t)live.bytes);
        cbm_json_int(j, "first", live.first);
        cbm_json_int(j, "last", live.last);
        cbm_json_close(j);
    }
    cbm_json_close(j);
}

static int print_json(const cbm_plan_view *v)
{
    const cbm_plan_info *p = &v->info;
    cbm_json j = { 0 };
    cbm_step_info s = { .struct_size = sizeof s };
    cbm_json_object(&j, NULL);
    cbm_json_text(&j, "recipe", v->trial.recipe->name);
    cbm_json_bool(&j, "inference", v->trial.inference);
    cbm_json_int(&j, "batch_size", v->trial.batch.size);
    cbm_json_int(&j, "threads", cbm_context_threads(v->trial.cx));
    cbm_json_int(&j, "operations", (int64_t)p->operations);
    cbm_json_real(&j, "seconds", p->seconds);
    cbm_json_real(&j, "flops", p->flops);
    cbm_json_real(&j, "bytes", p->bytes);
    cbm_json_int(&j, "arena_bytes", (int64_t)p->arena_bytes);
    cbm_json_int(&j, "temporary_bytes", (int64_t)p->temporary_bytes);
    cbm_json_int(&j, "scratch_bytes", (int64_t)p->scratch_bytes);
    cbm_json_int(&j, "operand_bytes", (int64_t)p->operand_bytes);
    cbm_json_int(&j, "result_bytes", (int64_t)p->result_bytes);
    cbm_json_int(&j, "kept_bytes", (int64_t)p->kept_bytes);
    cbm_json_bool(&j, "huge_pages", p->huge_pages != 0);
    cbm_json_real(&j, "machine_flops", v->measured ? v->machine.flops : NAN);
    cbm_json_real(&j, "machine_bytes", v->measured ? v->machine.bytes : NAN);
    add_peak(v, &j);
    cbm_json_array(&j, "steps");
    for (size_t i = 0; cbm_plan_step_at(v->trial.cx, 0, i, &s); i++)
        add_step(v, &j, i, &s);
    cbm_json_close(&j);
    return cbm_json_end(&j, stdout);
}

/* ---- the command ---- */

static int write_drawing(const cbm_plan_view *v, const char *path)
{
    FILE *out = cbm_output_open(path);
    if (!out)
        return CBM_EXIT_FAILURE;
    cbm_plan_draw(v, out);
    return cbm_output_close(out, path, CBM_EXIT_OK);
}

static int write_trace(cbm_plan_trace *trace, const char *path)
{
    FILE *out = cbm_output_open(path);
    if (!out) {
        cbm_json_drop(&trace->json);
        return CBM_EXIT_FAILURE;
    }
    return cbm_output_close(out, path, cbm_trace_end(trace, out));
}

static int show(cbm_plan_view *v, const plan_options *o, cbm_plan_trace *trace)
{
    cbm_status status = run_steps(v, trace);
    if (status != CBM_OK || !cbm_plan_at(v->trial.cx, 0, &v->info)) {
        if (trace)
            cbm_json_drop(&trace->json);
        return status != CBM_OK ? cbm_report_context(v->trial.cx) : cbm_report("nothing was planned");
    }
    double working_set = (double)(v->info.arena_bytes + v->info.operand_bytes + v->info.result_bytes);
    v->measured = cbm_measure_machine(&o->common, working_set, &v->machine);
    int code = trace ? write_trace(trace, o->trace) : CBM_EXIT_OK;
    if (code == CBM_EXIT_OK && o->dot)
        code = write_drawing(v, o->dot);
    if (code != CBM_EXIT_OK || (o->dot && strcmp(o->dot, "-") == 0))
        return code;
    if (o->common.json)
        return print_json(v);
    print_plan(v);
    return CBM_EXIT_OK;
}

static int run(const void *options, const cbm_arguments *arguments)
{
    const plan_options *o = options;
    const cbm_recipe *recipe = cbm_find_recipe(arguments->at[0]);
    if (!recipe)
        return CBM_EXIT_USAGE;
    if (o->dot && strcmp(o->dot, "-") == 0 && o->common.json)
        return cbm_report_usage("plan", "--dot - and --json both want standard output");
    if (o->trace && strcmp(o->trace, "-") == 0)
        return cbm_report_usage("plan", "--trace wants a file's name");
    cbm_context *cx = cbm_open_common(&o->common, 0, false);
    cbm_profile(cx, true);
    cbm_plan_view v = { .info = { .struct_size = sizeof v.info } };
    cbm_trial_open(&v.trial, recipe, cx, o->batch, o->inference);
    int code;
    if (cbm_context_status(cx) != CBM_OK) {
        code = cbm_report_context(cx);
    } else {
        char title[200];
        cbm_plan_trace trace;
        snprintf(title, sizeof title, "%s, %s, batch of %lld", recipe->name,
                 o->inference ? "inference" : "training step", (long long)v.trial.batch.size);
        v.title = title;
        if (o->trace)
            cbm_trace_begin(&trace, title);
        code = show(&v, o, o->trace ? &trace : NULL);
    }
    cbm_close(cx);
    return code;
}

static const cbm_option table[] = {
    { "batch", 'b', CBM_OPTION_INT, offsetof(plan_options, batch), "N", "samples in the batch (the recipe's)", 1, 1e6 },
    { "inference", 'i', CBM_OPTION_FLAG, offsetof(plan_options, inference), NULL, "predict instead of training", 0, 0 },
    { "dot", 0, CBM_OPTION_TEXT, offsetof(plan_options, dot), "FILE", "draw it as Graphviz text (-: on the screen)", 0,
      0 },
    { "trace", 0, CBM_OPTION_TEXT, offsetof(plan_options, trace), "FILE", "write a trace for chrome://tracing", 0, 0 },
    CBM_OPTION_THREADS(plan_options),
    CBM_OPTION_DEVICE(plan_options),
    CBM_OPTION_PRECISION(plan_options),
    CBM_OPTION_TUNE(plan_options),
    CBM_OPTION_JSON(plan_options, "the plan as JSON"),
};

const cbm_command cbm_command_plan = {
    .name = "plan",
    .usage = "RECIPE [options]",
    .summary = "how a recipe's step is run: steps, layouts, time",
    .description =
        "Records a training step of the recipe on made-up data, runs it some times, and shows the plan: for each step\n"
        "the operations fused into it, the kernel chosen, measured and estimated time, FLOPs, bytes moved, operands "
        "with\n"
        "their layouts, why a value is kept, why a copy or reorder is there, and (apart) why it is not one with its\n"
        "neighbours. Estimates are what the machine, measured in the same run, takes for so many FLOPs or bytes;\n"
        "Winograd convolution gets by with a fraction of the FLOPs that are counted.",
    .options = table,
    .n_options = CBM_COUNT_OF(table),
    .least = 1,
    .most = 1,
    .size = sizeof(plan_options),
    .run = run,
};
