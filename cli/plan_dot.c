/* plan_dot.c: a plan as a drawing for Graphviz: steps are boxes, darker the longer they take; values from outside and
   results are round; arrows carry shapes. */
#include "plan.h"

#include <math.h>
#include <string.h>

/* A step that reads or writes more variables than this gets one round node for all of them. */
enum { FEW = 2 };

static void print_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', out);
        fputc((unsigned char)*text < ' ' ? ' ' : *text, out);
    }
}

/* Light to dark orange by the step's share of the time. */
static const char *colour(double share)
{
    static const char *const shades[] = { "#ffffff", "#fff3e0", "#ffe0b2", "#ffcc80", "#ffb74d", "#ff9800" };
    int i = !isfinite(share) || share < 0.01 ? 0
            : share < 0.03                   ? 1
            : share < 0.06                   ? 2
            : share < 0.12                   ? 3
            : share < 0.25                   ? 4
                                             : 5;
    return shades[i];
}

static void draw_step(const cbm_plan_view *v, size_t number, const cbm_step_info *s, FILE *out)
{
    char does[80], flops[32], bytes[32];
    fprintf(out, "  s%zu [shape=box, style=\"filled%s\", fillcolor=\"%s\", label=\"%zu  ", number,
            s->operations ? "" : ",dashed", colour(s->seconds / v->info.seconds), number);
    print_text(out, cbm_plan_does(s, does, 60));
    fprintf(out, "\\n");
    print_text(out, s->why[0] ? s->why : s->kernel);
    if (isfinite(s->seconds))
        fprintf(out, "\\n%.3f ms, ", 1e3 * s->seconds);
    else
        fprintf(out, "\\n");
    fprintf(out, "%s FLOP, %s\"];\n", cbm_text_si(s->flops, flops), cbm_text_bytes(s->bytes, bytes));
}

static bool outside(const cbm_operand_info *o, bool output)
{
    return output ? o->value >= 0 : o->source < 0;
}

/* All variables that a step reads or overwrites as one node. */
static void draw_crowd(const cbm_plan_view *v, size_t number, const cbm_operand_info *first, bool output, size_t count,
                       uint64_t bytes, FILE *out)
{
    char size[32], name[300];
    const char *kind = output ? "w" : "r";
    fprintf(out, "  %s%zu [shape=ellipse, style=filled, fillcolor=\"#e3f2fd\", label=\"", kind, number);
    print_text(out, cbm_plan_operand_name(v, first, name));
    fprintf(out, " and %zu more%s\\n%s\"];\n", count - 1, output ? " (new)" : "", cbm_text_bytes((double)bytes, size));
    if (output)
        fprintf(out, "  s%zu -> w%zu;\n", number, number);
    else
        fprintf(out, "  r%zu -> s%zu;\n", number, number);
}

static void draw_outside(const cbm_plan_view *v, size_t number, const cbm_operand_info *o, bool output, FILE *out)
{
    char name[300], shape[160];
    /* Overwritten variables get a node of their own: the graph stays free of circles. */
    bool new_one = output && strcmp(o->place, "result") != 0;
    fprintf(out, "  v%lld%s [shape=ellipse, style=filled, fillcolor=\"%s\", label=\"", (long long)o->value,
            new_one ? "n" : "", strcmp(o->place, "result") == 0 ? "#e8f5e9" : "#e3f2fd");
    print_text(out, cbm_plan_operand_name(v, o, name));
    fprintf(out, "%s\\n%s\"];\n", new_one ? " (new)" : "", cbm_text_shape(&o->shape, shape));
    if (output)
        fprintf(out, "  s%zu -> v%lld%s;\n", number, (long long)o->value, new_one ? "n" : "");
    else
        fprintf(out, "  v%lld -> s%zu;\n", (long long)o->value, number);
}

static void draw_operands(const cbm_plan_view *v, size_t number, const cbm_step_info *s, bool output, FILE *out)
{
    cbm_operand_info o = { .struct_size = sizeof o }, one = o;
    size_t first = output ? s->inputs : 0, end = output ? s->inputs + s->outputs : s->inputs, crowd = 0;
    uint64_t bytes = 0;
    char shape[160], size[32];
    for (size_t k = first; k < end && cbm_plan_operand_at(v->trial.cx, 0, number, k, &o); k++)
        if (outside(&o, output)) {
            one = o;
            crowd++;
            bytes += o.bytes;
        }
    if (crowd > FEW)
        draw_crowd(v, number, &one, output, crowd, bytes, out);
    for (size_t k = first; k < end && cbm_plan_operand_at(v->trial.cx, 0, number, k, &o); k++) {
        if (outside(&o, output) && crowd <= FEW)
            draw_outside(v, number, &o, output, out);
        if (!output && o.source >= 0)
            fprintf(out, "  s%lld -> s%zu [label=\"%s %s\\n%s\"];\n", (long long)o.source, number,
                    cbm_text_shape(&o.shape, shape), o.layout, cbm_text_bytes((double)o.bytes, size));
    }
}

void cbm_plan_draw(const cbm_plan_view *v, FILE *out)
{
    cbm_step_info s = { .struct_size = sizeof s };
    fprintf(out, "digraph plan {\n  label=\"");
    print_text(out, v->title);
    fprintf(out, "\";\n  labelloc=t;\n  node [fontname=\"Helvetica\", fontsize=10];\n"
                 "  edge [fontname=\"Helvetica\", fontsize=8];\n");
    for (size_t i = 0; cbm_plan_step_at(v->trial.cx, 0, i, &s); i++) {
        draw_step(v, i, &s, out);
        draw_operands(v, i, &s, false, out);
        draw_operands(v, i, &s, true, out);
    }
    fprintf(out, "}\n");
}
