/* gradcheck.c: `cambium gradcheck`: gradients against central differences, of operations or of a recipe's loss. */
#include "cli.h"

#include <math.h>

typedef struct gradcheck_options {
    cbm_common common;
    const char *op;
    bool all_ops;
} gradcheck_options;

/* One line: an operation, or a parameter of a recipe. */
typedef struct result {
    const char *name;
    bool passed;
    double max_error;
} result;

typedef struct output {
    bool as_json;
    cbm_json json;
    int64_t checked, failed;
} output;

static void put(output *out, const result *r)
{
    out->checked++;
    out->failed += !r->passed;
    if (!out->as_json) {
        printf("%-24s %-6s", r->name, r->passed ? "passed" : "FAILED");
        printf(isfinite(r->max_error) ? "  largest error %.1e\n" : "  largest error not a number\n", r->max_error);
        fflush(stdout);
        return;
    }
    cbm_json_object(&out->json, NULL);
    cbm_json_text(&out->json, "name", r->name);
    cbm_json_bool(&out->json, "passed", r->passed);
    cbm_json_real(&out->json, "max_error", r->max_error);
    cbm_json_close(&out->json);
}

/* Whether op has a gradient at all: comparisons and index makers have none. */
static bool differentiable(const cbm_op *op)
{
    return op->vjp || op->decompose;
}

static void check_op(const cbm_op *op, output *out)
{
    double error = NAN;
    cbm_status status = cbm_gradcheck_op(op, -1, &error);
    put(out, &(result){ op->name, status == CBM_OK, error });
    if (status != CBM_OK && status != CBM_ERROR_INVALID)
        cbm_report("%s: %s", op->name, cbm_status_name(status));
}

static const char *op_name_at(size_t i, void *user)
{
    (void)user;
    return i < cbm_op_count() ? cbm_op_at(i)->name : NULL;
}

static int check_ops(const gradcheck_options *o, output *out)
{
    const cbm_op *one = o->op ? cbm_op_named(o->op) : NULL;
    if (o->op && !one) {
        const char *near = cbm_nearest(o->op, op_name_at, NULL);
        cbm_report(near ? "there is no operation '%s'; did you mean %s?" : "there is no operation '%s'", o->op, near);
        return CBM_EXIT_USAGE;
    }
    if (one && !differentiable(one))
        return cbm_report("the operation %s has no gradient", one->name);
    for (size_t i = 0; i < cbm_op_count() && !cbm_interrupted(); i++) {
        const cbm_op *op = cbm_op_at(i);
        if ((!one || op == one) && differentiable(op))
            check_op(op, out);
    }
    return CBM_EXIT_OK;
}

static void on_row(const cbm_recipe_check *check, void *user)
{
    put(user, &(result){ check->name, check->passed, check->max_error });
}

static int check_recipe(const char *name, const gradcheck_options *o, output *out)
{
    const cbm_recipe *recipe = cbm_find_recipe(name);
    if (!recipe)
        return CBM_EXIT_USAGE;
    cbm_common common = o->common;
    common.device = "reference";
    cbm_context *cx = cbm_open_common(&common, 0, true);
    cbm_interrupt_watch(cx);
    int64_t before = out->failed;
    cbm_status status = cbm_recipe_gradcheck(recipe, cx, on_row, out);
    int code = status != CBM_OK && out->failed == before ? cbm_report_context(cx) : CBM_EXIT_OK;
    cbm_interrupt_unwatch();
    cbm_close(cx);
    return code;
}

static int run(const void *options, const cbm_arguments *arguments)
{
    const gradcheck_options *o = options;
    if ((arguments->count > 0) + (o->op != NULL) + o->all_ops != 1)
        return cbm_report_usage("gradcheck", "name a recipe, or one operation with --op, or say --all-ops");
    output out = { .as_json = o->common.json };
    cbm_json_object(&out.json, NULL);
    cbm_json_array(&out.json, "operations");
    cbm_interrupt_watch(NULL);
    int code = arguments->count > 0 ? check_recipe(arguments->at[0], o, &out) : check_ops(o, &out);
    if (out.as_json && code == CBM_EXIT_OK)
        code = cbm_json_end(&out.json, stdout);
    cbm_json_drop(&out.json);
    if (code != CBM_EXIT_OK)
        return code;
    if (cbm_interrupted())
        return CBM_EXIT_INTERRUPTED;
    if (out.failed > 0)
        return cbm_report("%lld of %lld gradients are wrong", (long long)out.failed, (long long)out.checked);
    if (!out.as_json)
        printf("%lld gradients checked, all right\n", (long long)out.checked);
    return CBM_EXIT_OK;
}

static const cbm_option table[] = {
    { "op", 'o', CBM_OPTION_TEXT, offsetof(gradcheck_options, op), "NAME", "check one operation", 0, 0 },
    { "all-ops", 'a', CBM_OPTION_FLAG, offsetof(gradcheck_options, all_ops), NULL,
      "check every operation with a gradient", 0, 0 },
    CBM_OPTION_THREADS(gradcheck_options),
    CBM_OPTION_JSON(gradcheck_options, "{\"operations\": [{name, passed, max_error}]} (of a recipe: its parameters)"),
};

const cbm_command cbm_command_gradcheck = {
    .name = "gradcheck",
    .usage = "RECIPE | --op NAME | --all-ops [options]",
    .summary = "check gradients against differences",
    .description =
        "Compares gradients with central differences, in 64-bit numbers on the reference backend: of an operation's\n"
        "samples (first and second order), of all operations, or of a recipe's loss at a few entries of each "
        "parameter.\n"
        "Exit code 1 if one is wrong.",
    .options = table,
    .n_options = CBM_COUNT_OF(table),
    .most = 1,
    .size = sizeof(gradcheck_options),
    .run = run,
};
