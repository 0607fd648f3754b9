/* step.h: a small training step with everything in it that an error could leave half done: running statistics, dropout's
   counter, momentum, parameters, gradients. Shared by the tests of robustness. */
#ifndef CAMBIUM_TESTS_STEP_H
#define CAMBIUM_TESTS_STEP_H

#include <cambium/autograd.h>
#include <cambium/operation.h>
#include <cambium/ops.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { STEP_BATCH = 6, STEP_IN = 5, STEP_HIDDEN = 8, STEP_CLASSES = 3, STEP_PARAMETERS = 6 };

typedef struct step_model {
    cbm_context *cx;
    cbm_tensor *parameter[STEP_PARAMETERS]; /* w1, b1, scale, shift, w2, b2 */
    cbm_tensor *momentum[STEP_PARAMETERS];
    cbm_tensor *mean, *variance;
} step_model;

typedef struct step_state {
    float numbers[512];
    size_t count;
    uint64_t seed, position;
} step_state;

static inline step_model step_model_new(cbm_context *cx)
{
    static const cbm_shape shapes[STEP_PARAMETERS] = {
        { { 2, STEP_IN, STEP_HIDDEN } },      { { 1, STEP_HIDDEN } }, { { 1, STEP_HIDDEN } }, { { 1, STEP_HIDDEN } },
        { { 2, STEP_HIDDEN, STEP_CLASSES } }, { { 1, STEP_CLASSES } }
    };
    step_model m = { .cx = cx };
    for (int i = 0; i < STEP_PARAMETERS; i++) {
        m.parameter[i] = cbm_variable(cbm_normal(cx, CBM_F32, shapes[i], i == 2, 0.4), true);
        m.momentum[i] = cbm_variable(cbm_zeros(cx, CBM_F32, shapes[i]), false);
    }
    m.mean = cbm_variable(cbm_zeros(cx, CBM_F32, shapes[1]), false);
    m.variance = cbm_variable(cbm_ones(cx, CBM_F32, shapes[1]), false);
    return m;
}

/* One step on batch number `number`; label STEP_CLASSES or more makes it fail. Returns the loss. */
static inline double step_run(const step_model *m, int number, int64_t label)
{
    cbm_context *cx = m->cx;
    CBM_SCOPE(scope, cx);
    float x[STEP_BATCH * STEP_IN];
    int64_t y[STEP_BATCH];
    for (int i = 0; i < STEP_BATCH * STEP_IN; i++)
        x[i] = (float)sin(i * 3 + number * 7);
    for (int i = 0; i < STEP_BATCH; i++)
        y[i] = (i + number) % STEP_CLASSES;
    y[STEP_BATCH - 1] = label;
    cbm_tensor *input = cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(STEP_BATCH, STEP_IN), x);
    cbm_tensor *target = cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(STEP_BATCH), y);
    cbm_tensor *const *p = m->parameter;
    cbm_tensor *h = cbm_add(cbm_matmul(input, p[0]), p[1]);
    h = cbm_relu(cbm_batch_norm(h, m->mean, m->variance, p[2], p[3], true, 0.1, 1e-5));
    cbm_tensor *loss = cbm_cross_entropy(cbm_add(cbm_matmul(cbm_dropout(h, 0.25), p[4]), p[5]), target);
    cbm_backward(loss);
    for (int i = 0; i < STEP_PARAMETERS; i++) {
        cbm_tensor *g = cbm_gradient(p[i]);
        if (!g)
            continue;
        cbm_assign(m->momentum[i], cbm_add(cbm_mul_scalar(m->momentum[i], 0.9), g));
        cbm_assign(p[i], cbm_sub(p[i], cbm_mul_scalar(m->momentum[i], 0.1)));
        cbm_clear_gradient(p[i]);
    }
    cbm_flush(cx);
    return cbm_item(loss);
}

static inline void step_read(step_state *s, cbm_tensor *t)
{
    size_t n = (size_t)cbm_tensor_count(t);
    cbm_read(t, s->numbers + s->count, n * sizeof(float));
    s->count += n;
}

/* Everything that a step may change. */
static inline step_state step_state_of(const step_model *m)
{
    step_state s = { .count = 0 };
    for (int i = 0; i < STEP_PARAMETERS; i++) {
        step_read(&s, m->parameter[i]);
        step_read(&s, m->momentum[i]);
        assert_null(cbm_gradient(m->parameter[i]));
    }
    step_read(&s, m->mean);
    step_read(&s, m->variance);
    cbm_random_state(m->cx, &s.seed, &s.position);
    assert_string_equal(cbm_message(m->cx), "");
    return s;
}

static inline void step_same(const step_state *a, const step_state *b)
{
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->numbers, b->numbers, a->count * sizeof(float));
    assert_int_equal(a->seed, b->seed);
    assert_int_equal(a->position, b->position);
}

static inline void step_count_error(cbm_log_level level, const char *message, void *user)
{
    (void)message;
    *(int *)user += level == CBM_LOG_ERROR;
}

#endif
