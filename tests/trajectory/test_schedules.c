/* test_schedules.c: the rates and momenta of every schedule against PyTorch's, step by step, for two parameter groups; and
   that jumping to a position gives what walking there gives. The numbers were stored by make_trajectories.py. */
#include <cambium/cambium.h>
#include <math.h>
#include <stdio.h>
#include "support/status.h"

#define LENGTH 60
#define GROUPS 2
#define TOLERANCE 1e-13 /* PyTorch's own recursions round at each step */

static cbm_schedule *step(cbm_optimizer *o)
{
    return cbm_schedule_step(o, .step_size = 7, .gamma = 0.5);
}
static cbm_schedule *multi_step(cbm_optimizer *o)
{
    return cbm_schedule_multi_step(o, .milestones = (const int64_t[]){ 5, 20, 20, 41 }, .milestone_count = 4,
                                   .gamma = 0.3);
}
static cbm_schedule *exponential(cbm_optimizer *o)
{
    return cbm_schedule_exponential(o, .gamma = 0.93);
}
static cbm_schedule *constant(cbm_optimizer *o)
{
    return cbm_schedule_constant(o, .factor = 0.25, .total_iters = 12);
}
static cbm_schedule *linear(cbm_optimizer *o)
{
    return cbm_schedule_linear(o, .start_factor = 0.2, .end_factor = 0.9, .total_iters = 17);
}
static cbm_schedule *polynomial(cbm_optimizer *o)
{
    return cbm_schedule_polynomial(o, .total_iters = 40, .power = 1.7);
}
static cbm_schedule *cosine(cbm_optimizer *o)
{
    return cbm_schedule_cosine(o, .steps = 59, .minimum = 0.003);
}
static cbm_schedule *cosine_restarts(cbm_optimizer *o)
{
    return cbm_schedule_cosine_restarts(o, .t_0 = 5, .t_mult = 2, .eta_min = 0.001);
}
static cbm_schedule *cosine_restarts_equal(cbm_optimizer *o)
{
    return cbm_schedule_cosine_restarts(o, .t_0 = 7);
}
static cbm_schedule *cyclic(cbm_optimizer *o)
{
    return cbm_schedule_cyclic(o, .base_lr = 0.01, .max_lr = 0.2, .step_size_up = 7, .step_size_down = 4);
}
static cbm_schedule *cyclic_triangular2(cbm_optimizer *o)
{
    return cbm_schedule_cyclic(o, .base_lr = 0.01, .max_lr = 0.2, .step_size_up = 6, .mode = CBM_CYCLIC_TRIANGULAR2,
                               .base_momentum = 0.7, .max_momentum = 0.95);
}
static cbm_schedule *cyclic_exp_range(cbm_optimizer *o)
{
    return cbm_schedule_cyclic(o, .base_lr = 0.01, .max_lr = 0.2, .step_size_up = 5, .step_size_down = 8,
                               .mode = CBM_CYCLIC_EXP_RANGE, .gamma = 0.97, .cycle_momentum = false);
}
static cbm_schedule *one_cycle(cbm_optimizer *o)
{
    return cbm_schedule_one_cycle(o, .max_lr = 0.3, .total_steps = LENGTH);
}
static cbm_schedule *one_cycle_three(cbm_optimizer *o)
{
    return cbm_schedule_one_cycle(o, .max_lr = 0.3, .total_steps = LENGTH, .pct_start = 0.4, .linear = true,
                                  .three_phase = true, .div_factor = 10, .final_div_factor = 100, .base_momentum = 0.6);
}
static double falling(int64_t t, int64_t group, void *user)
{
    (void)user;
    return group == 0 ? 1 / (1 + (double)t) : pow(0.9, (double)t);
}
static cbm_schedule *lambda(cbm_optimizer *o)
{
    return cbm_schedule_lambda(o, .function = falling);
}
static cbm_schedule *chained(cbm_optimizer *o)
{
    cbm_schedule *parts[] = { cbm_schedule_constant(o, .factor = 0.1, .total_iters = 8),
                              cbm_schedule_exponential(o, .gamma = 0.95),
                              cbm_schedule_step(o, .step_size = 20, .gamma = 0.5) };
    return cbm_schedule_chained(parts, 3);
}
static cbm_schedule *sequential(cbm_optimizer *o)
{
    cbm_schedule *parts[] = { cbm_schedule_linear(o, .start_factor = 0.1, .total_iters = 10),
                              cbm_schedule_cosine(o, .steps = 25, .minimum = 0.001),
                              cbm_schedule_exponential(o, .gamma = 0.9) };
    return cbm_schedule_sequential(parts, 3, (const int64_t[]){ 10, 35 });
}
static cbm_schedule *plateau(cbm_optimizer *o)
{
    return cbm_schedule_plateau(o, .factor = 0.5, .patience = 3, .cooldown = 2, .min_lr = 0.003);
}
static cbm_schedule *plateau_most(cbm_optimizer *o)
{
    return cbm_schedule_plateau(o, .maximize = true, .factor = 0.2, .patience = 1, .threshold = 0.05, .absolute = true,
                                .eps = 1e-4);
}

typedef struct rule {
    const char *name;
    cbm_schedule *(*open)(cbm_optimizer *opt);
} rule;
#define RULE(NAME)                                                                                                     \
    {                                                                                                                  \
#NAME, NAME                                                                                                    \
    }
static const rule rules[] = {
    RULE(step),
    RULE(multi_step),
    RULE(exponential),
    RULE(constant),
    RULE(linear),
    RULE(polynomial),
    RULE(cosine),
    RULE(cosine_restarts),
    RULE(cosine_restarts_equal),
    RULE(cyclic),
    RULE(cyclic_triangular2),
    RULE(cyclic_exp_range),
    RULE(one_cycle),
    RULE(one_cycle_three),
    RULE(lambda),
    RULE(chained),
    RULE(sequential),
    RULE(plateau),
    RULE(plateau_most),
};
enum { RULES = sizeof rules / sizeof *rules };

/* An optimizer with two groups of rates 0.1 and 0.02 and momentum 0.5. */
static cbm_optimizer *two_groups(cbm_context *cx)
{
    cbm_optimizer *opt = cbm_sgd(cbm_nn_linear(cx, 2, 1), .lr = 0.1, .momentum = 0.5);
    assert_int_equal(cbm_add_group(opt, .suffix = "bias", .lr = 0.02), 1);
    return opt;
}

static void expect(const char *name, const char *what, int t, double got, double want)
{
    if (!(fabs(got - want) <= TOLERANCE * fmax(fabs(want), 1)))
        fail_msg("%s: %s at t = %d is %.17g, not %.17g", name, what, t, got, want);
}

/* The stored numbers of that name; false: there are none. */
static bool stored(cbm_safetensors *file, const char *rule_name, const char *what, double *out, size_t size)
{
    char name[100];
    snprintf(name, sizeof name, "%s.%s", rule_name, what);
    cbm_file_tensor t;
    for (size_t i = 0; cbm_safetensors_at(file, i, &t); i++)
        if (strcmp(t.name, name) == 0)
            return cbm_read(cbm_safetensors_tensor(file, name), out, size) == CBM_OK;
    return false;
}

static void follow(cbm_context *cx, cbm_safetensors *file, const rule *r)
{
    double lr[LENGTH][GROUPS], momentum[LENGTH], measures[LENGTH];
    assert_true(stored(file, r->name, "lr", &lr[0][0], sizeof lr));
    bool cycles = stored(file, r->name, "momentum", momentum, sizeof momentum);
    cbm_read(cbm_safetensors_tensor(file, "measures"), measures, sizeof measures);
    cbm_optimizer *opt = two_groups(cx);
    cbm_schedule *s = r->open(opt);
    good(cx);
    bool observes = strncmp(r->name, "plateau", 7) == 0;
    for (int t = 0; t < LENGTH; t++) {
        for (int g = 0; g < GROUPS; g++) {
            expect(r->name, "the rate", t, cbm_optimizer_option(opt, g, "lr"), lr[t][g]);
            expect(r->name, "the momentum", t, cbm_optimizer_option(opt, g, "momentum"), cycles ? momentum[t] : 0.5);
        }
        if (observes)
            cbm_schedule_observe(s, measures[t]);
        cbm_schedule_next(s);
        if (!observes)
            cbm_schedule_observe(s, 1); /* passed over */
        assert_int_equal(cbm_schedule_position(s), t + 1);
    }
    for (int t = LENGTH - 1; t >= 0 && !observes; t -= 13) {
        cbm_schedule_set_position(s, t);
        expect(r->name, "after a jump the rate", t, cbm_optimizer_option(opt, 1, "lr"), lr[t][1]);
        expect(r->name, "after a jump the momentum", t, cbm_optimizer_option(opt, 1, "momentum"),
               cycles ? momentum[t] : 0.5);
    }
    cbm_schedule_release(s);
    cbm_optimizer_release(opt);
    good(cx);
}

static void test_pytorch(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_safetensors *file = cbm_safetensors_open(cx, CBM_SOURCE_DIR "/tests/trajectory/data/schedules.safetensors");
    for (size_t i = 0; i < RULES; i++)
        follow(cx, file, &rules[i]);
    cbm_safetensors_close(file);
    cbm_close(cx);
}

/* Every stored sequence is one of a rule here: none is forgotten. */
static void test_all_are_followed(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_safetensors *file = cbm_safetensors_open(cx, CBM_SOURCE_DIR "/tests/trajectory/data/schedules.safetensors");
    cbm_file_tensor t;
    size_t rates = 0;
    for (size_t i = 0; cbm_safetensors_at(file, i, &t); i++)
        rates += strstr(t.name, ".lr") != NULL;
    assert_int_equal(rates, RULES);
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_pytorch), cmocka_unit_test(test_all_are_followed) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
