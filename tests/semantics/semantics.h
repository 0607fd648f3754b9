/* semantics.h: shared by the programs of tests/semantics. Each rule is run planned and naively, on both devices; two
   operations report when they run: `spy`, which a program may ask for or not, and `effect`, which always happens once. */
#ifndef CAMBIUM_TESTS_SEMANTICS_H
#define CAMBIUM_TESTS_SEMANTICS_H

#include <cambium/autograd.h>
#include <cambium/operation.h>
#include <cambium/ops.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct spy_attributes {
    int64_t id;
} spy_attributes;

static struct {
    int64_t ids[256];
    int count;
} spied;

static inline cbm_status spy_kernel(const cbm_launch *launch)
{
    const spy_attributes *a = launch->attributes;
    if (spied.count < 256)
        spied.ids[spied.count++] = a->id;
    memcpy(launch->out[0].data, launch->in[0].data, (size_t)launch->in[0].count * cbm_dtype_size(launch->in[0].dtype));
    return CBM_OK;
}

static inline bool spy_infer(cbm_infer *infer)
{
    infer->out_shape[0] = infer->in_shape[0];
    infer->out_dtype[0] = infer->in_dtype[0];
    return true;
}

static inline void spy_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = v->out_gradient[0];
}

static const cbm_attribute spy_fields[] = { { "id", CBM_ATTRIBUTE_INT, 0, true } };
static const cbm_op spy_op = { .struct_size = sizeof(cbm_op),
                               .name = "spy",
                               .n_in = 1,
                               .n_out = 1,
                               .attributes_size = sizeof(spy_attributes),
                               .attributes = spy_fields,
                               .n_attributes = 1,
                               .infer = spy_infer,
                               .vjp = spy_vjp,
                               .kernel = spy_kernel };
static const cbm_op effect_op = { .struct_size = sizeof(cbm_op),
                                  .name = "effect",
                                  .n_in = 1,
                                  .n_out = 1,
                                  .flags = CBM_OP_EFFECT,
                                  .attributes_size = sizeof(spy_attributes),
                                  .attributes = spy_fields,
                                  .n_attributes = 1,
                                  .infer = spy_infer,
                                  .vjp = spy_vjp,
                                  .kernel = spy_kernel };

static inline cbm_tensor *spy(cbm_tensor *t, int64_t id)
{
    return cbm_apply(cbm_tensor_context(t), &spy_op, &t, 1, &(spy_attributes){ id }, NULL);
}

static inline cbm_tensor *effect(cbm_tensor *t, int64_t id)
{
    return cbm_apply(cbm_tensor_context(t), &effect_op, &t, 1, &(spy_attributes){ id }, NULL);
}

static inline int times(int64_t id)
{
    int n = 0;
    for (int i = 0; i < spied.count; i++)
        n += spied.ids[i] == id;
    return n;
}

static inline cbm_tensor *ramp(cbm_context *cx, int64_t rows, int64_t columns)
{
    float x[1024];
    for (int64_t i = 0; i < rows * columns; i++)
        x[i] = (float)i * 0.125f - 1;
    return cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(rows, columns), x);
}

static inline double first(cbm_tensor *t)
{
    float x[1024] = { 0 };
    assert_true(cbm_tensor_count(t) <= 1024);
    cbm_read(t, x, (size_t)cbm_tensor_count(t) * sizeof *x);
    return (double)x[0];
}

static inline void no_error(cbm_context *cx)
{
    assert_string_equal(cbm_message(cx), "");
}

static inline void expect_error(cbm_context *cx, cbm_status status, const char *part)
{
    if (cbm_context_status(cx) != status || !strstr(cbm_message(cx), part))
        fail_msg("expected \"%s\", got status %d, \"%s\"", part, (int)cbm_context_status(cx), cbm_message(cx));
    cbm_clear(cx);
}

typedef void (*rule)(cbm_context *cx, bool planned);

static inline void check_rule(void **state)
{
    rule r = *(rule *)*state;
    static const char *const devices[] = { "reference", "cpu" };
    for (int k = 0; k < 4; k++) {
        spied.count = 0;
        cbm_context *cx = cbm_open_with(.device = devices[k / 2], .naive = (uint64_t)(k % 2), .seed = 11);
        r(cx, k % 2 == 0);
        cbm_close(cx);
    }
}

#define RULE(function_)                                                                                                \
    {                                                                                                                  \
#function_, check_rule, NULL, NULL, &(rule)                                                                    \
        {                                                                                                              \
            function_                                                                                                  \
        }                                                                                                              \
    }
#define RUN_RULES(...)                                                                                                 \
    int main(void)                                                                                                     \
    {                                                                                                                  \
        const struct CMUnitTest tests[] = { __VA_ARGS__ };                                                             \
        return cmocka_run_group_tests(tests, NULL, NULL);                                                              \
    }

#endif
