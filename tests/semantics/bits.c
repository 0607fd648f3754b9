/* bits.c: the same seed, settings and thread count give the same bits: in a second run, after the cache was emptied, with a
   cache of one plan, and whether the graph was seen before or not. */
#include "robust/step.h"

typedef struct settings {
    int64_t threads, plan_cache;
    int trim_every;
    uint64_t deterministic;
} settings;

static step_state train(const char *device, settings o)
{
    cbm_context *cx = cbm_open_with(.device = device, .threads = o.threads, .plan_cache = o.plan_cache,
                                    .deterministic = o.deterministic, .seed = 21);
    step_model m = step_model_new(cx);
    for (int i = 0; i < 40; i++) {
        step_run(&m, i, i % STEP_CLASSES);
        if (o.trim_every && i % o.trim_every == 0)
            cbm_trim(cx);
    }
    step_state s = step_state_of(&m);
    cbm_close(cx);
    return s;
}

static void test_same_bits(void **state)
{
    (void)state;
    static const char *const devices[] = { "reference", "cpu" };
    for (int d = 0; d < 2; d++)
        for (int64_t threads = 1; threads <= 3; threads++) {
            step_state a = train(devices[d], (settings){ threads, 256, 0, 0 });
            const settings others[] = { { threads, 256, 0, 0 }, { threads, 1, 0, 0 }, { threads, 256, 3, 0 } };
            for (size_t k = 0; k < sizeof others / sizeof *others; k++) {
                step_state b = train(devices[d], others[k]);
                step_same(&a, &b);
            }
            step_state c = train(devices[d], (settings){ threads, 256, 0, 1 });
            step_state e = train(devices[d], (settings){ threads, 1, 1, 1 });
            step_same(&c, &e);
        }
}

/* Stopped, and taken up in a new context with the same numbers and counter. */
static void test_resumed(void **state)
{
    (void)state;
    step_state whole = train("cpu", (settings){ 1, 256, 0, 0 });
    cbm_context *a = cbm_open_with(.threads = 1, .seed = 21), *b = cbm_open_with(.threads = 1, .seed = 99);
    step_model m = step_model_new(a), n = step_model_new(b);
    for (int i = 0; i < 17; i++)
        step_run(&m, i, i % STEP_CLASSES);
    step_state s = step_state_of(&m);
    size_t at = 0;
    cbm_tensor *list[2 * STEP_PARAMETERS + 2];
    for (int i = 0; i < STEP_PARAMETERS; i++) {
        list[2 * i] = n.parameter[i];
        list[2 * i + 1] = n.momentum[i];
    }
    list[2 * STEP_PARAMETERS] = n.mean;
    list[2 * STEP_PARAMETERS + 1] = n.variance;
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        size_t count = (size_t)cbm_tensor_count(list[i]);
        assert_int_equal(cbm_write(list[i], s.numbers + at, count * sizeof(float)), CBM_OK);
        at += count;
    }
    cbm_set_random_state(b, s.seed, s.position);
    for (int i = 17; i < 40; i++)
        step_run(&n, i, i % STEP_CLASSES);
    step_state resumed = step_state_of(&n);
    step_same(&resumed, &whole);
    cbm_close(a);
    cbm_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_same_bits), cmocka_unit_test(test_resumed) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
