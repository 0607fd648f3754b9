/* test_values.c: every operation's values, on both backends, in f64 and f32, from memory in several layouts, against values
   stored from PyTorch. tests/reference/make_values.py makes the files; `test_op_values --dump FILE` gives it the samples. */
#include "support/cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define VALUES CBM_SOURCE_DIR "/tests/reference/values"
#define F64_TOLERANCE 1e-9
#define F32_TOLERANCE 2e-5

static case_list stored;

static const op_case *stored_case(const char *op, const char *label)
{
    for (size_t i = 0; i < stored.count; i++)
        if (strcmp(stored.cases[i].op, op) == 0 && strcmp(stored.cases[i].label, label) == 0)
            return &stored.cases[i];
    return NULL;
}

static bool same_input(const case_tensor *a, const case_tensor *b)
{
    return a->dtype == b->dtype && case_same_shape(a, b) &&
           memcmp(a->data, b->data, (size_t)a->count * cbm_dtype_size(a->dtype)) == 0;
}

static void every_operation_has_samples(void **state)
{
    (void)state;
    int missing = 0;
    for (size_t i = 0; i < cbm_op_count(); i++)
        if (cbm_op_at(i)->n_samples == 0) {
            print_error("[%s] has no samples\n", cbm_op_at(i)->name);
            missing++;
        }
    assert_int_equal(missing, 0);
}

static void every_sample_is_stored(void **state)
{
    (void)state;
    case_list samples;
    assert_true(cases_of_samples(&samples));
    int missing = 0;
    for (size_t i = 0; i < samples.count; i++) {
        const op_case *s = &samples.cases[i], *c = stored_case(s->op, s->label);
        bool same = c && c->n_in == s->n_in;
        for (size_t k = 0; same && k < s->n_in; k++)
            same = same_input(&s->in[k], &c->in[k]);
        if (same)
            continue;
        print_error("[%s] %s: no stored values, or of other inputs: run tests/reference/make_values.py\n", s->op,
                    s->label);
        missing++;
    }
    cases_free(&samples);
    assert_int_equal(missing, 0);
}

/* One run of one case; returns the number of failures it has printed. */
static int run(const char *device, const op_case *c, case_layout layout, bool f32)
{
    const cbm_op *op = cbm_op_named(c->op);
    cbm_context *cx = open_device(device);
    cbm_tensor *in[CBM_MAX_INPUTS], *out[CBM_MAX_OUTPUTS] = { NULL };
    int failures = 0;
    for (size_t i = 0; i < c->n_in; i++) {
        case_tensor t = case_tensor_cast(&c->in[i], f32 && c->in[i].dtype == CBM_F64 ? CBM_F32 : c->in[i].dtype);
        in[i] = case_tensor_load(cx, &t, layout);
        free(t.data);
    }
    void *attributes = case_attributes(op, c, f32);
    if (!attributes) {
        print_error("[%s] %s: the stored attributes are not the record's\n", c->op, c->label);
        cbm_close(cx);
        return 1;
    }
    cbm_apply(cx, op, in, c->n_in, op->attributes_size ? attributes : NULL, out);
    cbm_compute(out, c->n_out);
    for (size_t i = 0; i < c->n_out; i++) {
        case_tensor got = case_tensor_read(out[i]);
        const case_tensor *want = &c->out[i];
        if (!got.present) {
            print_error("[%s] %s, %s, %s: %s\n", c->op, c->label, device, layout_names[layout], cbm_message(cx));
            failures++;
        } else if (want->present) {
            cbm_dtype dtype = f32 && want->dtype == CBM_F64 ? CBM_F32 : want->dtype;
            double limit = dtype == CBM_F64 ? F64_TOLERANCE : dtype == CBM_F32 ? F32_TOLERANCE : 0;
            double error = case_same_shape(&got, want) && got.dtype == dtype ? case_difference(&got, want) : -1;
            if (error < 0 || error > limit) {
                print_error("[%s] %s, result %zu, %s%s, %s: %s (%g)\n", c->op, c->label, i, device, f32 ? " f32" : "",
                            layout_names[layout], error < 0 ? "another shape or dtype" : "values differ", error);
                failures++;
            }
        }
        free(got.data);
    }
    free(attributes);
    cbm_close(cx);
    return failures;
}

static bool has_f64(const op_case *c)
{
    for (size_t i = 0; i < c->n_in; i++)
        if (c->in[i].dtype == CBM_F64)
            return true;
    for (size_t i = 0; i < c->n_out; i++)
        if (c->out[i].present && c->out[i].dtype == CBM_F64)
            return true;
    return false;
}

static void values_on(const char *device)
{
    int failures = 0;
    for (size_t i = 0; i < stored.count; i++) {
        const op_case *c = &stored.cases[i];
        if (!case_op_available(c->op))
            continue;
        if (!cbm_op_named(c->op)) {
            print_error("[%s] is stored, but no operation\n", c->op);
            failures++;
            continue;
        }
        for (int layout = 0; layout < LAYOUTS; layout++) {
            failures += run(device, c, (case_layout)layout, false);
            if (!c->exact && has_f64(c))
                failures += run(device, c, (case_layout)layout, true);
        }
    }
    assert_int_equal(failures, 0);
}

static void values_on_reference(void **state)
{
    (void)state;
    values_on("reference");
}

static void values_on_cpu(void **state)
{
    (void)state;
    values_on("cpu");
}

static int open_stored(void **state)
{
    (void)state;
    return cases_read_folder(VALUES, &stored) ? 0 : -1;
}

static int close_stored(void **state)
{
    (void)state;
    cases_free(&stored);
    return 0;
}

static int dump(const char *path)
{
    case_list samples;
    bool good = cases_of_samples(&samples) && cases_write(path, &samples);
    cases_free(&samples);
    return good ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--dump") == 0)
        return dump(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_has_samples),
        cmocka_unit_test(every_sample_is_stored),
        cmocka_unit_test(values_on_reference),
        cmocka_unit_test(values_on_cpu),
    };
    return cmocka_run_group_tests(tests, open_stored, close_stored);
}
