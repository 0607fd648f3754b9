/* explain.c: the text of cbm_explain: why a plan was made, what it materialises and why, what it fused and copies. */
#include "plan/report.h"
#include <string.h>

static const char *const reasons[] = {
    "asked for",          "wanted",   "a variable's new version or gradient", "nothing consumes it", "one element",
    "saved for backward", "an effect"
};

static size_t node_bytes(const cbm_array *starts, const cbm_array *key, size_t i, const char **bytes)
{
    size_t begin = CBM_AT(starts, uint32_t, i);
    *bytes = (const char *)key->data + begin;
    return CBM_AT(starts, uint32_t, i + 1) - begin;
}

/* The first node whose bytes differ from the previous plan's; the number of nodes when only demands or leaves do. */
static size_t first_difference(const cbm_collected *g, const cbm_plan *previous)
{
    size_t n = g->key_start.count < previous->key_start.count ? g->key_start.count : previous->key_start.count;
    for (size_t i = 0; i + 1 < n; i++) { /* one more entry than nodes */
        const char *a, *b;
        size_t x = node_bytes(&g->key_start, &g->key, i, &a),
               y = node_bytes(&previous->key_start, &previous->key, i, &b);
        if (x != y || memcmp(a, b, x) != 0)
            return i;
    }
    return n - 1;
}

static void describe_node(cbm_text *t, const cbm_node *n, size_t i)
{
    char shape[160];
    cbm_text_append(t, "operation %zu [%s] -> %s %s", i, n->op->name, cbm_dtype_name((cbm_dtype)n->out[0].dtype),
                    cbm_shape_text(&n->out[0].shape, shape, sizeof shape));
    if (n->file)
        cbm_text_append(t, " (at %s:%d)", n->file, n->line);
}

void cbm_explain_reasons(cbm_text *t, uint8_t reason)
{
    const char *separator = "";
    for (size_t k = 0; k < sizeof reasons / sizeof *reasons; k++)
        if (reason >> k & 1) {
            cbm_text_append(t, "%s%s", separator, reasons[k]);
            separator = ", ";
        }
}

void cbm_explain_new_plan(cbm_context *cx, const cbm_plan *plan, const cbm_collected *g, const cbm_plan *previous)
{
    cbm_text *t = &cx->explanation;
    cbm_text_free(t);
    *t = cbm_text_open(cx->heap);
    cbm_text_append(t, "new plan: %zu operations, %zu operands, %zu steps, %zu results, arena %zu bytes\n",
                    plan->n_nodes, plan->n_leaves, plan->steps.count, plan->results.count, plan->arena);
    if (!previous) {
        cbm_text_append(t, "  because: the first graph of this context\n");
    } else {
        size_t i = first_difference(g, previous);
        if (i < g->nodes.count) {
            cbm_text_append(t, "  because: differs from the plan before it from ");
            describe_node(t, CBM_AT(&g->nodes, cbm_node *, i), i);
            cbm_text_append(t, "\n");
        } else {
            cbm_text_append(t, "  because: other operands' shapes, dtypes or alignment, or other values are needed\n");
        }
    }
    for (size_t i = 0; i < plan->results.count; i++) {
        const cbm_result *r = &CBM_AT(&plan->results, cbm_result, i);
        cbm_text_append(t, "  materialised: ");
        describe_node(t, CBM_AT(&g->nodes, cbm_node *, r->ref / CBM_MAX_OUTPUTS), (size_t)r->ref / CBM_MAX_OUTPUTS);
        cbm_text_append(t, ": ");
        cbm_explain_reasons(t, r->reason);
        cbm_text_append(t, r->in_place >= 0 ? " (in place)\n" : "\n");
    }
    for (size_t i = 0; i < plan->steps.count; i++) {
        const cbm_step *s = &CBM_AT(&plan->steps, cbm_step, i);
        const cbm_node *n = CBM_AT(&g->nodes, cbm_node *, s->node);
        if (s->run)
            cbm_text_append(t, "  step %zu: %s%s\n", i, n->op->name, s->again ? ", made again instead of kept" : "");
        else
            cbm_text_append(t, "  step %zu: one pass over memory, %zu operations, the last [%s]%s%s\n", i, s->n_members,
                            n->op->name, s->commit ? ", overwrites variables" : "",
                            s->again ? ", made again instead of kept" : "");
    }
    if (plan->copied)
        cbm_text_append(t, "  versions copied: %llu (somebody still reads the old ones)\n",
                        (unsigned long long)plan->copied);
}

const char *cbm_explain(cbm_context *cx)
{
    if (cx->broken)
        return "";
    const cbm_statistics *s = &cx->statistics;
    if (!cx->explanation.chars.count)
        cbm_text_append(&cx->explanation, "no plan yet\n");
    static const char mark[] = "in all: ";
    char *at = cx->explanation.chars.count ? strstr(cx->explanation.chars.data, mark) : NULL;
    if (at) { /* the totals of an earlier call */
        *at = 0;
        cx->explanation.chars.count = (size_t)(at - (char *)cx->explanation.chars.data);
    }
    cbm_text_append(&cx->explanation,
                    "%s%llu evaluations, %llu plans made, %llu reused, %llu evicted, %llu versions copied\n", mark,
                    (unsigned long long)s->evaluations, (unsigned long long)s->plans_made,
                    (unsigned long long)s->plans_reused, (unsigned long long)s->plans_evicted,
                    (unsigned long long)s->versions_copied);
    return cbm_text_get(&cx->explanation);
}
