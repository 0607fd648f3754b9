/* functions.c: see functions.h. */
#define CBM_NO_CALL_SITES
#include "support/functions.h"
#include <cambium/autograd.h>
#include <cambium/ops.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define F64_TOLERANCE 1e-9
#define F32_TOLERANCE 2e-5

static const case_field *field(const op_case *c, const char *name)
{
    for (size_t i = 0; i < c->n_fields; i++)
        if (strcmp(c->fields[i].name, name) == 0)
            return &c->fields[i];
    return NULL;
}

int64_t function_int(const op_case *c, const char *name)
{
    const case_field *f = field(c, name);
    return f ? f->value[0] : 0;
}

double function_float(const op_case *c, const char *name)
{
    const case_field *f = field(c, name);
    double v = 0;
    if (f)
        memcpy(&v, f->value, sizeof v);
    return v;
}

cbm_shape function_shape(const op_case *c, const char *name)
{
    const case_field *f = field(c, name);
    cbm_shape s = { { 0 } };
    if (f)
        memcpy(s.v, f->value, sizeof s.v);
    return s;
}

static bool floating(cbm_dtype dtype)
{
    return dtype == CBM_F32 || dtype == CBM_F64;
}

/* The weights of result number i, as make_values.py has them. */
static cbm_tensor *weights_for(cbm_context *cx, cbm_tensor *t, size_t i)
{
    case_tensor w = { .dtype = CBM_F64, .shape = cbm_tensor_shape(t), .count = cbm_tensor_count(t) };
    double *data = malloc((size_t)w.count * sizeof *data + 1);
    for (int64_t k = 0; k < w.count; k++)
        data[k] = (double)((k * 7 + (int64_t)i) % 11) - 4.5;
    w.data = data;
    case_tensor same = case_tensor_cast(&w, cbm_tensor_dtype(t));
    cbm_tensor *r = case_tensor_load(cx, &same, LAYOUT_PLAIN);
    free(data);
    free(same.data);
    return r;
}

typedef struct mode {
    const char *device;
    bool f32;
    case_layout layout;
} mode;

static int report(const op_case *c, const mode *m, const char *what, size_t number, double error)
{
    print_error("%s, %s, %s%s, %s: %s %zu (%g)\n", c->op, c->label, m->device, m->f32 ? " f32" : "",
                layout_names[m->layout], what, number, error);
    return 1;
}

static int compare(const op_case *c, const mode *m, cbm_tensor *t, size_t i)
{
    const case_tensor *want = &c->out[i];
    case_tensor got = case_tensor_read(t);
    const cbm_dtype dtype = m->f32 && want->dtype == CBM_F64 ? CBM_F32 : want->dtype;
    double error = got.present && case_same_shape(&got, want) && got.dtype == dtype ? case_difference(&got, want) : -1;
    free(got.data);
    if (error >= 0 && error <= (dtype == CBM_F64 ? F64_TOLERANCE : dtype == CBM_F32 ? F32_TOLERANCE : 0))
        return 0;
    return report(c, m, "differs: result or gradient", i, error);
}

static int run(const op_case *c, const function_entry *f, const mode *m)
{
    cbm_context *cx = open_device(m->device);
    cbm_tensor *in[CBM_MAX_INPUTS], *out[CBM_MAX_OUTPUTS] = { NULL }, *xs[CBM_MAX_INPUTS], *grads[CBM_MAX_INPUTS];
    size_t n_xs = 0;
    int failures = 0;
    for (size_t i = 0; i < c->n_in; i++) {
        case_tensor t = case_tensor_cast(&c->in[i], m->f32 && c->in[i].dtype == CBM_F64 ? CBM_F32 : c->in[i].dtype);
        in[i] = floating(t.dtype) ? case_tensor_load_trainable(cx, &t, m->layout) : case_tensor_load(cx, &t, m->layout);
        if (floating(t.dtype))
            xs[n_xs++] = in[i];
        free(t.data);
    }
    const size_t n_out = f->call(c, cx, in, out), n_grads = c->n_out - n_out;
    if (n_out == 0 || n_out > c->n_out || (n_grads != 0 && n_grads != n_xs)) {
        print_error("%s, %s: %s\n", c->op, c->label, n_out == 0 ? cbm_message(cx) : "another number of results");
        cbm_close(cx);
        return 1;
    }
    cbm_tensor *loss = NULL;
    for (size_t i = 0; i < n_out && n_grads > 0; i++) {
        if (!floating(cbm_tensor_dtype(out[i])))
            continue;
        cbm_tensor *part = cbm_sum_with(cbm_mul(out[i], weights_for(cx, out[i], i)), NULL);
        loss = loss ? cbm_add(loss, part) : part;
    }
    if (n_grads > 0 && cbm_grad_of(loss, xs, n_xs, grads) != CBM_OK)
        failures += report(c, m, cbm_message(cx), n_grads, 0);
    for (size_t i = 0; i < c->n_out && failures == 0; i++)
        failures += compare(c, m, i < n_out ? out[i] : grads[i - n_out], i);
    if (failures)
        print_error("    %s\n", cbm_message(cx));
    cbm_close(cx);
    return failures;
}

static const function_entry *find(const char *name, const function_entry *table, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    print_error("%s is stored, but not in the test's table\n", name);
    return NULL;
}

int check_functions(const char *path, const function_entry *table, size_t count)
{
    static const mode modes[] = {
        { "reference", false, LAYOUT_PLAIN },  { "cpu", false, LAYOUT_REVERSED_AXES }, { "cpu", true, LAYOUT_PLAIN },
        { "cpu", true, LAYOUT_REVERSED_AXES }, { "cpu", true, LAYOUT_EVERY_SECOND },
    };
    case_list stored;
    int failures = 0;
    if (!cases_read(path, &stored)) {
        print_error("%s cannot be read\n", path);
        return 1;
    }
    for (size_t i = 0; i < stored.count; i++) {
        const function_entry *f = find(stored.cases[i].op, table, count);
        failures += f == NULL;
        for (size_t m = 0; f && m < sizeof modes / sizeof *modes; m++)
            failures += run(&stored.cases[i], f, &modes[m]);
    }
    for (size_t k = 0; k < count; k++) {
        bool found = false;
        for (size_t i = 0; i < stored.count; i++)
            found = found || strcmp(stored.cases[i].op, table[k].name) == 0;
        if (!found)
            print_error("%s has no stored case\n", table[k].name);
        failures += !found;
    }
    cases_free(&stored);
    return failures;
}
