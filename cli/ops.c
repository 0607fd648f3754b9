/* ops.c: `cambium ops`: what the table of operations says of itself: formula, shapes, dtypes, gradient, errors, an example.
   Everything is found by asking the records: by recording them on their samples, on wrong operands, and differentiated. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ELEMENTS = 512, MOST_SHAPES = 3, MOST_ERRORS = 4, MOST_SHOWN = 8, GRADIENT_ROOM = 400, ERROR_ROOM = 300 };

typedef struct ops_options {
    cbm_common common;
    bool markdown;
} ops_options;

/* ---- operands made from samples ---- */

/* Element i of count: evenly spread, rounded to what can be printed shortly; integers go round. */
static double element(const cbm_sample_input *in, int64_t i, int64_t count)
{
    if (in->dtype != CBM_F64)
        return in->low + (double)(i * 7 % ((int64_t)(in->high - in->low) + 1));
    return round(100 * (in->low + ((double)(i * 5 % count) + 0.5) * (in->high - in->low) / (double)count)) / 100;
}

/* A sample's operand as dtype; NULL: too large. */
static cbm_tensor *operand(cbm_context *cx, const cbm_sample_input *in, cbm_dtype dtype)
{
    const int64_t count = cbm_shape_count(&in->shape);
    double values[MOST_ELEMENTS];
    if (count > MOST_ELEMENTS)
        return NULL;
    for (int64_t i = 0; i < count; i++)
        values[i] = element(in, i, count);
    return cbm_cast(cbm_tensor_from(cx, CBM_F64, in->shape, values), dtype);
}

/* Records op on a sample, with `floats` where the sample says f64. NULL: it cannot be, or has failed. */
static cbm_tensor *record(cbm_context *cx, const cbm_op *op, const cbm_sample *s, cbm_dtype floats, cbm_tensor **in,
                          cbm_tensor **out)
{
    for (size_t i = 0; i < s->n_in; i++)
        if (!(in[i] = operand(cx, &s->in[i], s->in[i].dtype == CBM_F64 ? floats : s->in[i].dtype)))
            return NULL;
    cbm_tensor *y = cbm_apply(cx, op, in, s->n_in, s->attributes, out);
    return cbm_tensor_failed(y) ? NULL : y;
}

/* ---- shapes, dtypes ---- */

static void append(char *to, size_t size, const char *text)
{
    const size_t at = strlen(to);
    snprintf(to + at, size - at, "%s", text);
}

static void append_shape(char *to, size_t size, const cbm_shape *s)
{
    char part[32];
    append(to, size, "(");
    for (int64_t i = 1; i <= s->v[0]; i++) {
        snprintf(part, sizeof part, "%s%lld", i > 1 ? ", " : "", (long long)s->v[i]);
        append(to, size, part);
    }
    append(to, size, ")");
}

/* "(2, 3), (3) -> (2, 3)" */
static bool shapes_of(const cbm_op *op, const cbm_sample *s, char *text, size_t size)
{
    cbm_context *cx = cbm_open_with(.device = "reference", .threads = 1);
    cbm_tensor *in[CBM_MAX_INPUTS], *out[CBM_MAX_OUTPUTS] = { NULL };
    const bool good = record(cx, op, s, CBM_F64, in, out) != NULL;
    text[0] = 0;
    for (size_t i = 0; good && i < s->n_in; i++) {
        append(text, size, i ? ", " : "");
        append_shape(text, size, &s->in[i].shape);
    }
    append(text, size, s->n_in ? " -> " : "-> ");
    for (int32_t i = 0; good && i < op->n_out; i++) {
        const cbm_shape shape = cbm_tensor_shape(out[i]);
        append(text, size, i ? ", " : "");
        append_shape(text, size, &shape);
    }
    cbm_close(cx);
    return good;
}

static bool has_float(const cbm_sample *s)
{
    for (size_t i = 0; i < s->n_in; i++)
        if (s->in[i].dtype == CBM_F64)
            return true;
    return false;
}

/* The dtypes that are taken where the samples have floats. */
static void dtypes_of(const cbm_op *op, char *text, size_t size)
{
    text[0] = 0;
    if (!op->n_samples || !has_float(&op->samples[0]))
        return;
    for (cbm_dtype d = 0; d < CBM_DTYPE_COUNT; d++) {
        cbm_context *cx = cbm_open_with(.device = "reference", .threads = 1);
        cbm_tensor *in[CBM_MAX_INPUTS], *out[CBM_MAX_OUTPUTS] = { NULL };
        if (record(cx, op, &op->samples[0], d, in, out)) {
            append(text, size, text[0] ? ", " : "");
            append(text, size, cbm_dtype_name(d));
        }
        cbm_close(cx);
    }
}

/* ---- the gradient, as it is recorded ---- */

enum { MOST_NAMES = CBM_MAX_INPUTS + CBM_MAX_OUTPUTS + 1 };

/* d loss / d input number i, in operations on x (the operands), y (the results) and g (the gradient of y). */
static bool gradient_of(const cbm_op *op, size_t i, char *text, size_t size)
{
    cbm_context *cx = cbm_open_with(.device = "reference", .threads = 1);
    cbm_tensor *known[MOST_NAMES] = { NULL }, *gradient = NULL;
    char rooms[MOST_NAMES][8];
    const char *names[MOST_NAMES];
    const cbm_sample *s = &op->samples[0];
    const size_t n_out = (size_t)op->n_out, n = s->n_in + n_out + 1; /* x0, x1, ..., y, g */
    bool good = i < s->n_in && s->in[i].dtype == CBM_F64;
    for (size_t k = 0; k < n; k++) {
        const bool is_operand = k < s->n_in;
        snprintf(rooms[k], sizeof rooms[k], "%c%zu", is_operand ? 'x' : 'y', is_operand ? k : k - s->n_in);
        names[k] = k + 1 == n ? "g" : !is_operand && n_out == 1 ? "y" : rooms[k];
    }
    for (size_t k = 0; good && k < s->n_in; k++) {
        cbm_tensor *t = operand(cx, &s->in[k], s->in[k].dtype);
        good = t != NULL;
        known[k] = good && s->in[k].dtype == CBM_F64 ? cbm_variable(t, true) : t;
    }
    cbm_tensor **out = known + s->n_in;
    cbm_tensor *y = good ? cbm_apply(cx, op, known, s->n_in, s->attributes, out) : NULL;
    good = good && !cbm_tensor_failed(y) && cbm_tensor_requires_grad(y);
    if (good) {
        known[n - 1] = cbm_ones(cx, cbm_tensor_dtype(y), cbm_tensor_shape(y));
        good = cbm_grad(y, &known[i], 1, &gradient, .weight = known[n - 1]) == CBM_OK && gradient;
    }
    if (good && cbm_tensor_expression(gradient, known, names, n, text, size) >= size)
        snprintf(text + size - 5, 5, " ...");
    cbm_close(cx);
    return good;
}

/* ---- errors ---- */

/* The message without the user's line. */
static void keep_message(const cbm_context *cx, char list[MOST_ERRORS][ERROR_ROOM], size_t *count)
{
    char text[ERROR_ROOM];
    snprintf(text, sizeof text, "%s", cbm_message(cx));
    text[strcspn(text, "\n")] = 0;
    for (size_t i = 0; i < *count; i++)
        if (strcmp(list[i], text) == 0)
            return;
    if (*count < MOST_ERRORS)
        memcpy(list[(*count)++], text, sizeof text);
}

/* Operands that are wrong in one way each: all bool, one axis more, one axis less, an extent more. */
static void try_wrong(const cbm_op *op, int way, char list[MOST_ERRORS][ERROR_ROOM], size_t *count)
{
    cbm_context *cx = cbm_open_with(.device = "reference", .threads = 1);
    cbm_tensor *in[CBM_MAX_INPUTS], *out[CBM_MAX_OUTPUTS] = { NULL };
    const cbm_sample *s = &op->samples[0];
    for (size_t i = 0; i < s->n_in; i++) {
        cbm_shape shape = s->in[i].shape;
        cbm_dtype dtype = s->in[i].dtype;
        const bool last = i + 1 == s->n_in;
        if (way == 0)
            dtype = CBM_BOOL;
        if (way == 1 && last && shape.v[0] < CBM_MAX_DIMS)
            shape.v[++shape.v[0]] = 3;
        if (way == 2 && last && shape.v[0] > 0)
            shape.v[shape.v[0]--] = 0;
        if (way == 3 && last && shape.v[0] > 0)
            shape.v[shape.v[0]] += 2;
        in[i] = cbm_zeros(cx, dtype, shape);
    }
    if (s->n_in)
        cbm_apply(cx, op, in, s->n_in, s->attributes, out);
    if (cbm_context_status(cx) != CBM_OK)
        keep_message(cx, list, count);
    cbm_close(cx);
}

/* ---- an example ---- */

static void put_tensor(FILE *out, cbm_tensor *t)
{
    char text[512];
    cbm_tensor_format(t, text, sizeof text);
    for (char *c = text; *c; c++)
        if (*c == '\n')
            *c = ' ';
    char *to = text; /* blanks that stood under each other */
    for (const char *from = text; *from; from++)
        if (!(*from == ' ' && to > text && (to[-1] == ' ' || to[-1] == '[')))
            *to++ = *from;
    *to = 0;
    fprintf(out, "%s", text);
}

static bool is_small(const cbm_sample *s)
{
    for (size_t i = 0; i < s->n_in; i++)
        if (cbm_shape_count(&s->in[i].shape) > MOST_SHOWN || cbm_shape_count(&s->in[i].shape) < 1)
            return false;
    return s->n_in > 0;
}

static void put_example(FILE *out, const cbm_op *op)
{
    const cbm_sample *s = NULL;
    for (size_t i = 0; i < op->n_samples && !s; i++)
        s = is_small(&op->samples[i]) ? &op->samples[i] : NULL;
    if (!s)
        return;
    cbm_context *cx = cbm_open_with(.device = "reference", .threads = 1);
    cbm_tensor *in[CBM_MAX_INPUTS], *results[CBM_MAX_OUTPUTS] = { NULL };
    if (record(cx, op, s, CBM_F64, in, results) && cbm_compute(results, (size_t)op->n_out) == CBM_OK) {
        fprintf(out, "\n```text\n");
        for (size_t i = 0; i < s->n_in; i++) {
            fprintf(out, i ? "\n%s%zu = " : "%s%zu = ", "x", i);
            put_tensor(out, in[i]);
        }
        for (int32_t i = 0; i < op->n_out; i++) {
            fprintf(out, op->n_out > 1 ? "\ny%d = " : "\ny = ", (int)i);
            put_tensor(out, results[i]);
        }
        fprintf(out, "\n```\n");
    }
    cbm_close(cx);
}

/* ---- a page ---- */

static const char *type_name(cbm_attribute_type type)
{
    static const char *const names[] = { [CBM_ATTRIBUTE_INT] = "integer",
                                         [CBM_ATTRIBUTE_FLOAT] = "number",
                                         [CBM_ATTRIBUTE_UINT] = "unsigned integer",
                                         [CBM_ATTRIBUTE_SHAPE] = "list of integers",
                                         [CBM_ATTRIBUTE_DTYPE] = "dtype" };
    return names[type];
}

static void put_shapes(FILE *out, const cbm_op *op)
{
    char seen[MOST_SHAPES][256], text[256];
    size_t count = 0;
    for (size_t i = 0; i < op->n_samples && count < MOST_SHAPES; i++) {
        bool known = !shapes_of(op, &op->samples[i], text, sizeof text);
        for (size_t k = 0; k < count; k++)
            known = known || strcmp(seen[k], text) == 0;
        if (!known)
            memcpy(seen[count++], text, sizeof text);
    }
    for (size_t i = 0; i < count; i++)
        fprintf(out, "%s`%s`", i ? "; " : "- Shapes, for example: ", seen[i]);
    fprintf(out, count ? "\n" : "");
}

static void put_gradients(FILE *out, const cbm_op *op)
{
    char text[GRADIENT_ROOM];
    bool any = false;
    for (size_t i = 0; op->n_samples && (op->vjp || op->decompose) && i < op->samples[0].n_in; i++)
        if (gradient_of(op, i, text, sizeof text)) {
            fprintf(out, "- Gradient of x%zu: `%s`\n", i, text);
            any = true;
        }
    if (!any)
        fprintf(out, "- No gradient.\n");
}

static void put_page(FILE *out, const cbm_op *op)
{
    char text[256], errors[MOST_ERRORS][ERROR_ROOM];
    size_t n_errors = 0;
    fprintf(out, "## %s\n\n%s\n\n", op->name, op->formula ? op->formula : "");
    put_shapes(out, op);
    dtypes_of(op, text, sizeof text);
    if (text[0])
        fprintf(out, "- Dtypes: %s\n", text);
    for (size_t i = 0; i < op->n_attributes; i++)
        fprintf(out, "- Attribute `%s`: %s%s\n", op->attributes[i].name, type_name(op->attributes[i].type),
                op->attributes[i].at_run ? ", bound at run time" : "");
    put_gradients(out, op);
    if (op->flags & CBM_OP_EFFECT)
        fprintf(out, "- An effect: happens once, in program order.\n");
    if (op->flags & CBM_OP_CHECKS)
        fprintf(out, "- Checks values when computed, before anything is committed.\n");
    for (int way = 0; op->n_samples && way < 4; way++)
        try_wrong(op, way, errors, &n_errors);
    for (size_t i = 0; i < n_errors; i++)
        fprintf(out, "- Error: `%s`\n", errors[i]);
    put_example(out, op);
    fprintf(out, "\n");
}

static const char *op_name_at(size_t i, void *user)
{
    (void)user;
    return i < cbm_op_count() ? cbm_op_at(i)->name : NULL;
}

static int list(bool json)
{
    cbm_json j = { 0 };
    cbm_json_object(&j, NULL);
    cbm_json_array(&j, "operations");
    for (size_t i = 0; i < cbm_op_count(); i++) {
        const cbm_op *op = cbm_op_at(i);
        if (!json) {
            printf("%-28s %s\n", op->name, op->formula ? op->formula : "");
            continue;
        }
        cbm_json_object(&j, NULL);
        cbm_json_text(&j, "name", op->name);
        cbm_json_text(&j, "formula", op->formula);
        cbm_json_bool(&j, "differentiable", op->vjp || op->decompose);
        cbm_json_close(&j);
    }
    if (json)
        return cbm_json_end(&j, stdout);
    cbm_json_drop(&j);
    return CBM_EXIT_OK;
}

static int run(const void *options, const cbm_arguments *arguments)
{
    const ops_options *o = options;
    if (o->markdown) {
        printf("# Operations\n\nWhat the %zu records of the table say of themselves (`cambium ops --markdown`). x0, "
               "x1, ... "
               "are the operands, y the result, g its gradient.\n\n",
               cbm_op_count());
        for (size_t i = 0; i < cbm_op_count(); i++)
            put_page(stdout, cbm_op_at(i));
        return CBM_EXIT_OK;
    }
    if (arguments->count == 0)
        return list(o->common.json);
    const cbm_op *op = cbm_op_named(arguments->at[0]);
    if (op) {
        put_page(stdout, op);
        return CBM_EXIT_OK;
    }
    const char *near = cbm_nearest(arguments->at[0], op_name_at, NULL);
    cbm_report(near ? "there is no operation '%s'; did you mean %s?" : "there is no operation '%s'", arguments->at[0],
               near);
    return CBM_EXIT_USAGE;
}

static const cbm_option table[] = {
    { "markdown", 'm', CBM_OPTION_FLAG, offsetof(ops_options, markdown), NULL, "the whole reference page", 0, 0 },
    CBM_OPTION_JSON(ops_options, "the list as JSON"),
};

const cbm_command cbm_command_ops = {
    .name = "ops",
    .usage = "[NAME | --markdown] [options]",
    .summary = "the operations, or what one of them is",
    .description =
        "Lists the operations with their formulas. With a name: its formula, shapes, dtypes, attributes, gradient in\n"
        "operations, what it says to wrong operands, and an example.",
    .options = table,
    .n_options = CBM_COUNT_OF(table),
    .most = 1,
    .size = sizeof(ops_options),
    .run = run,
};
