/* test_pytorch.c: layers and optimizers against PyTorch: from the same weights and batches, 100 steps in f64 on the
   reference backend agree to 1e-9; f32 on the fast one: the first gradients to 1e-5, the last loss to 1e-3. The numbers
   were stored by make_trajectories.py. */
#include "trajectory/course.h"

/* A layer over sequences, the mean of its steps, a linear layer. */
typedef struct over_time {
    cbm_module module;
    cbm_module *body, *fc;
} over_time;

static cbm_tensor *over_time_forward(cbm_module *self, cbm_tensor *x)
{
    const over_time *m = (over_time *)self;
    return cbm_call(m->fc, cbm_mean(cbm_call(m->body, x), .axes = CBM_SHAPE(1)));
}

static cbm_module *make_over_time(cbm_context *cx, cbm_module *body, int64_t width, int64_t t)
{
    over_time *m = (over_time *)cbm_module_new(cx, sizeof *m, over_time_forward);
    assert_non_null(m);
    m->body = body;
    m->fc = cbm_nn_linear(cx, width, CLASSES, .dtype = t);
    cbm_add_module(&m->module, "body", m->body);
    cbm_add_module(&m->module, "fc", m->fc);
    return &m->module;
}

static cbm_module *make_lstm(cbm_context *cx, int64_t t)
{
    cbm_module *body = cbm_nn_lstm(cx, 3, 5, .num_layers = 2, .batch_first = true, .bidirectional = true, .dtype = t);
    return make_over_time(cx, body, 10, t);
}

static cbm_module *make_transformer(cbm_context *cx, int64_t t)
{
    cbm_module *body = cbm_nn_transformer_encoder_layer(cx, 8, 2, .dim_feedforward = 12, .dropout = 0,
                                                        .batch_first = true, .bias = false, .dtype = t);
    return make_over_time(cx, body, 8, t);
}

/* Networks over sequences take the first courses only. */
static const network sequences[] = { { "lstm", make_lstm, 1 }, { "transformer", make_transformer, 10 } };
enum { FIRST_COURSES = 5 };

static cbm_optimizer *sgd(cbm_module *net)
{
    return cbm_sgd(net, .lr = 0.05);
}
static cbm_optimizer *momentum(cbm_module *net)
{
    return cbm_sgd(net, .lr = 0.02, .momentum = 0.9, .dampening = 0.3, .weight_decay = 0.01);
}
static cbm_optimizer *nesterov(cbm_module *net)
{
    return cbm_sgd(net, .lr = 0.02, .momentum = 0.9, .nesterov = true, .weight_decay = 0.01);
}
static cbm_optimizer *adam(cbm_module *net)
{
    return cbm_adam(net, .lr = 0.003, .weight_decay = 0.01);
}
static cbm_optimizer *adamw(cbm_module *net)
{
    return cbm_adamw(net, .lr = 0.003, .beta1 = 0.8, .beta2 = 0.99, .eps = 1e-6, .weight_decay = 0.05);
}
static cbm_optimizer *amsgrad(cbm_module *net)
{
    return cbm_adam(net, .lr = 0.01, .beta2 = 0.9, .amsgrad = true);
}
static cbm_optimizer *adamax(cbm_module *net)
{
    return cbm_adamax(net, .lr = 0.005, .weight_decay = 0.01);
}
static cbm_optimizer *nadam(cbm_module *net)
{
    return cbm_nadam(net, .lr = 0.003, .weight_decay = 0.01);
}
static cbm_optimizer *nadamw(cbm_module *net)
{
    return cbm_nadam(net, .lr = 0.003, .momentum_decay = 0.01, .weight_decay = 0.05, .decoupled_weight_decay = true);
}
static cbm_optimizer *radam(cbm_module *net)
{
    return cbm_radam(net, .lr = 0.003, .weight_decay = 0.01);
}
static cbm_optimizer *radamw(cbm_module *net)
{
    return cbm_radam(net, .lr = 0.005, .beta1 = 0.8, .beta2 = 0.9, .weight_decay = 0.05,
                     .decoupled_weight_decay = true);
}
static cbm_optimizer *rmsprop(cbm_module *net)
{
    return cbm_rmsprop(net, .lr = 0.002, .alpha = 0.9, .weight_decay = 0.01);
}
static cbm_optimizer *centered(cbm_module *net)
{
    return cbm_rmsprop(net, .lr = 0.001, .momentum = 0.5, .centered = true);
}
static cbm_optimizer *adagrad(cbm_module *net)
{
    return cbm_adagrad(net, .lr = 0.02, .lr_decay = 0.01, .initial_accumulator_value = 0.1, .weight_decay = 0.01);
}
static cbm_optimizer *adadelta(cbm_module *net)
{
    return cbm_adadelta(net, .lr = 0.5, .rho = 0.8, .weight_decay = 0.01);
}
static cbm_optimizer *rprop(cbm_module *net)
{
    return cbm_rprop(net, .lr = 0.005, .step_size_min = 1e-5, .step_size_max = 0.02);
}
static cbm_optimizer *l1(cbm_module *net)
{
    return cbm_sgd(net, .lr = 0.02, .momentum = 0.9, .l1_decay = 0.002);
}
static cbm_optimizer *maximize(cbm_module *net)
{
    return cbm_adam(net, .lr = 0.003, .maximize = true);
}

/* No decay for biases, another rate for the first layer's weight. */
static cbm_optimizer *by_groups(cbm_optimizer *opt)
{
    assert_int_equal(cbm_add_group(opt, .suffix = "bias", .weight_decay = 0), 1);
    assert_int_equal(cbm_add_group(opt, .prefix = "0.weight", .lr = 0.001), 2);
    return opt;
}
static cbm_optimizer *groups(cbm_module *net)
{
    return by_groups(cbm_adamw(net, .lr = 0.003, .weight_decay = 0.1));
}
static cbm_optimizer *grouped(cbm_module *net)
{
    return by_groups(cbm_sgd(net, .lr = 0.05, .momentum = 0.9));
}
static cbm_optimizer *sgd_fast(cbm_module *net)
{
    return cbm_sgd(net, .lr = 0.1, .momentum = 0.9);
}
static cbm_optimizer *adam_fast(cbm_module *net)
{
    return cbm_adam(net, .lr = 0.01);
}
static cbm_optimizer *sgd_slow(cbm_module *net)
{
    return cbm_sgd(net, .lr = 0.001, .momentum = 0.5);
}
static cbm_schedule *by_steps(cbm_optimizer *opt)
{
    return cbm_schedule_step(opt, .step_size = 30, .gamma = 0.5);
}
static cbm_schedule *by_cosine(cbm_optimizer *opt)
{
    return cbm_schedule_cosine(opt, .steps = STEPS, .minimum = 1e-4);
}
static cbm_schedule *by_one_cycle(cbm_optimizer *opt)
{
    return cbm_schedule_one_cycle(opt, .max_lr = 0.01, .total_steps = STEPS);
}
static cbm_schedule *by_cycles(cbm_optimizer *opt)
{
    return cbm_schedule_cyclic(opt, .base_lr = 0.005, .max_lr = 0.05, .step_size_up = 15, .step_size_down = 25,
                               .mode = CBM_CYCLIC_TRIANGULAR2);
}
static cbm_schedule *by_decay(cbm_optimizer *opt)
{
    return cbm_schedule_exponential(opt, .gamma = 0.98);
}
static void clip_norm(cbm_optimizer *opt)
{
    cbm_clip_grad_norm(opt, 0.5);
}
static void clip_value(cbm_optimizer *opt)
{
    cbm_clip_grad_value(opt, 0.05);
}
static void clip_largest(cbm_optimizer *opt)
{
    cbm_clip_grad_norm_of(opt, 0.1, INFINITY);
}

typedef struct course {
    const char *name;
    cbm_optimizer *(*make)(cbm_module *net);
    cbm_schedule *(*schedule)(cbm_optimizer *opt);
    void (*clip)(cbm_optimizer *opt);
    double sign; /* of the loss that is differentiated; 0: as it is */
} course;
static const course courses[] = {
    { .name = "sgd", .make = sgd },
    { .name = "momentum", .make = momentum },
    { .name = "nesterov", .make = nesterov },
    { .name = "adam", .make = adam },
    { .name = "adamw", .make = adamw },
    { .name = "amsgrad", .make = amsgrad },
    { .name = "adamax", .make = adamax },
    { .name = "nadam", .make = nadam },
    { .name = "nadamw", .make = nadamw },
    { .name = "radam", .make = radam },
    { .name = "radamw", .make = radamw },
    { .name = "rmsprop", .make = rmsprop },
    { .name = "centered", .make = centered },
    { .name = "adagrad", .make = adagrad },
    { .name = "adadelta", .make = adadelta },
    { .name = "rprop", .make = rprop },
    { .name = "l1", .make = l1 },
    { .name = "maximize", .make = maximize, .sign = -1 },
    { .name = "groups", .make = groups },
    { .name = "step", .make = sgd_fast, .schedule = by_steps, .clip = clip_norm },
    { .name = "cosine", .make = adam_fast, .schedule = by_cosine },
    { .name = "one_cycle", .make = adam_fast, .schedule = by_one_cycle },
    { .name = "cyclic", .make = sgd_slow, .schedule = by_cycles, .clip = clip_value },
    { .name = "grouped", .make = grouped, .schedule = by_decay, .clip = clip_largest },
};

/* ---- one trajectory ---- */

typedef struct limits {
    const char *device;
    cbm_dtype dtype;
    double first_gradient, each_loss, last_loss, final;
} limits;

static void check_gradients(cbm_module *net, cbm_safetensors *file, const char *what, double limit)
{
    cbm_named named;
    for (size_t i = 0; cbm_parameter_at(net, i, &named); i++) {
        char name[300];
        snprintf(name, sizeof name, "grad.%s", named.name);
        cbm_tensor *gradient = cbm_gradient(named.tensor);
        assert_non_null(gradient);
        double d = compare(gradient, cbm_safetensors_tensor(file, name));
        good(net->cx);
        if (!(d <= limit))
            fail_msg("%s: the first gradient of %s differs by %g", what, named.name, d);
    }
}

static void check_final(cbm_module *net, cbm_safetensors *file, const char *course_name, const char *what, double limit)
{
    cbm_named named;
    for (size_t i = 0; cbm_state_at(net, i, &named); i++) {
        char name[300];
        snprintf(name, sizeof name, "%s.final.%s", course_name, named.name);
        double d = compare(named.tensor, cbm_safetensors_tensor(file, name));
        good(net->cx);
        if (!(d <= limit))
            fail_msg("%s: after %d steps %s differs by %g", what, STEPS, named.name, d);
    }
}

static void follow(const network *n, const course *c, const limits *l)
{
    char path[600], what[100], name[100];
    snprintf(path, sizeof path, DATA "%s.safetensors", n->name);
    snprintf(what, sizeof what, "%s, %s, %s", l->device, n->name, c->name);
    cbm_context *cx = cbm_open_with(.device = l->device, .threads = 1);
    cbm_module *net = n->make(cx, l->dtype);
    cbm_optimizer *opt = c->make(net);
    cbm_schedule *schedule = c->schedule ? c->schedule(opt) : NULL;
    good(cx);
    load_initial(net, path);
    cbm_safetensors *file = cbm_safetensors_open(cx, path);
    cbm_tensor *x = cbm_safetensors_tensor(file, "x"), *y = cbm_safetensors_tensor(file, "y");
    snprintf(name, sizeof name, "%s.losses", c->name);
    numbers losses = take(cbm_safetensors_tensor(file, name));
    good(cx);
    assert_int_equal(losses.count, STEPS);
    for (int i = 0; i < STEPS; i++) {
        CBM_SCOPE(step, cx);
        cbm_tensor *loss =
            cbm_cross_entropy(cbm_call(net, batch_of(x, i % BATCHES, l->dtype)), batch_of(y, i % BATCHES, CBM_I64));
        cbm_backward(c->sign != 0 ? cbm_mul_scalar(loss, c->sign) : loss);
        if (i == 0 && c->sign == 0)
            check_gradients(net, file, what, l->first_gradient * (l->dtype == CBM_F32 ? n->f32_slack : 1));
        if (c->clip)
            c->clip(opt);
        assert_int_equal(cbm_step(opt), CBM_OK);
        if (schedule)
            cbm_schedule_next(schedule);
        double got = cbm_item(loss), d = fabs(got - losses.at[i]) / fabs(losses.at[i]);
        good(cx);
        if (!(d <= l->each_loss) || (i == STEPS - 1 && !(d <= l->last_loss)))
            fail_msg("%s: the loss of step %d is %.17g, not %.17g (%g)", what, i + 1, got, losses.at[i], d);
    }
    check_final(net, file, c->name, what, l->final);
    assert_int_equal(cbm_step_count(opt), STEPS);
    free(losses.at);
    cbm_safetensors_close(file);
    cbm_close(cx);
}

static void follow_all(const limits *l)
{
    for (size_t i = 0; i < sizeof networks / sizeof networks[0]; i++)
        for (size_t j = 0; j < sizeof courses / sizeof courses[0]; j++)
            follow(&networks[i], &courses[j], l);
    for (size_t i = 0; i < sizeof sequences / sizeof sequences[0]; i++)
        for (size_t j = 0; j < FIRST_COURSES; j++)
            follow(&sequences[i], &courses[j], l);
}

static void test_reference_f64(void **state)
{
    (void)state;
    follow_all(&(limits){ "reference", CBM_F64, 1e-9, 1e-9, 1e-9, 1e-9 });
}

static void test_reference_f32(void **state)
{
    (void)state;
    follow_all(&(limits){ "reference", CBM_F32, 1e-5, 1e-2, 1e-3, 1e-2 });
}

static void test_cpu_f32(void **state)
{
    (void)state;
    follow_all(&(limits){ "cpu", CBM_F32, 1e-5, 1e-2, 1e-3, 1e-2 });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_f64),
        cmocka_unit_test(test_reference_f32),
        cmocka_unit_test(test_cpu_f32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
