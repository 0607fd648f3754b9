/* test_lbfgs.c: L-BFGS against PyTorch's: the loss before each step, how often it was evaluated, and all parameters and running
   statistics after, with and without line search. The numbers were stored by make_trajectories.py. */
#include "trajectory/course.h"

#define LBFGS_STEPS 6

typedef struct way {
    const char *name;
    cbm_optimizer *(*make)(cbm_module *net);
} way;

static cbm_optimizer *plain(cbm_module *net)
{
    return cbm_lbfgs(net, .lr = 0.3, .max_iter = 4, .history_size = 5);
}
static cbm_optimizer *wolfe(cbm_module *net)
{
    return cbm_lbfgs(net, .max_iter = 6, .history_size = 5, .line_search = CBM_LINE_SEARCH_STRONG_WOLFE);
}
static cbm_optimizer *evals(cbm_module *net)
{
    return cbm_lbfgs(net, .lr = 0.8, .max_iter = 20, .max_eval = 7, .line_search = CBM_LINE_SEARCH_STRONG_WOLFE);
}
static const way ways[] = { { "plain", plain }, { "wolfe", wolfe }, { "evals", evals } };

typedef struct task {
    cbm_module *net;
    cbm_tensor *x, *y;
    int64_t calls;
} task;

static cbm_tensor *closure(void *user)
{
    task *t = user;
    t->calls++;
    return cbm_cross_entropy(cbm_call(t->net, t->x), t->y);
}

/* All batches as one, held outside scopes. */
static cbm_tensor *whole(cbm_tensor *batches, cbm_dtype dtype)
{
    cbm_shape shape = cbm_tensor_shape(batches), joined = { { shape.v[0] - 1, BATCHES * shape.v[2] } };
    for (int64_t k = 2; k <= joined.v[0]; k++)
        joined.v[k] = shape.v[k + 1];
    cbm_tensor *t = cbm_reshape(batches, joined);
    return cbm_variable(cbm_tensor_dtype(t) == dtype ? t : cbm_cast(t, dtype), false);
}

static cbm_tensor *stored(cbm_safetensors *file, const network *n, const way *w, const char *what)
{
    char name[400];
    snprintf(name, sizeof name, "%s.%s.%s", n->name, w->name, what);
    return cbm_safetensors_tensor(file, name);
}

typedef struct limits {
    const char *device;
    cbm_dtype dtype;
    double each_loss, final;
    int steps; /* that are compared */
} limits;

static void follow(const network *n, const way *w, const limits *l)
{
    char path[600], what[300];
    snprintf(path, sizeof path, DATA "%s.safetensors", n->name);
    cbm_context *cx = cbm_open_with(.device = l->device, .threads = 1);
    task t = { .net = n->make(cx, l->dtype) };
    load_initial(t.net, path);
    cbm_safetensors *batches = cbm_safetensors_open(cx, path),
                    *file = cbm_safetensors_open(cx, DATA "lbfgs.safetensors");
    t.x = whole(cbm_safetensors_tensor(batches, "x"), l->dtype);
    t.y = whole(cbm_safetensors_tensor(batches, "y"), CBM_I64);
    numbers losses = take(stored(file, n, w, "losses"));
    int64_t evaluations[LBFGS_STEPS];
    cbm_read(stored(file, n, w, "evaluations"), evaluations, sizeof evaluations);
    cbm_optimizer *opt = w->make(t.net);
    for (int i = 0; i < l->steps; i++) {
        double loss;
        assert_int_equal(cbm_step_closure(opt, closure, &t, &loss), CBM_OK);
        double d = fabs(loss - losses.at[i]) / losses.at[i];
        if (!(d <= l->each_loss) || t.calls != evaluations[i])
            fail_msg("%s, %s, %s: before step %d the loss is %.17g, not %.17g (%g), after %lld evaluations, not %lld",
                     l->device, n->name, w->name, i + 1, loss, losses.at[i], d, (long long)t.calls,
                     (long long)evaluations[i]);
    }
    assert_int_equal(cbm_step_count(opt), l->steps);
    cbm_named named;
    for (size_t i = 0; l->final > 0 && cbm_state_at(t.net, i, &named); i++) {
        snprintf(what, sizeof what, "final.%s", named.name);
        double d = compare(named.tensor, stored(file, n, w, what));
        good(cx);
        if (!(d <= l->final))
            fail_msg("%s, %s: %s differs by %g", n->name, w->name, named.name, d);
    }
    free(losses.at);
    cbm_close(cx);
}

static void follow_all(const limits *l)
{
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++)
        for (size_t j = 0; j < sizeof ways / sizeof *ways; j++)
            follow(&networks[i], &ways[j], l);
}

static void test_reference_f64(void **state)
{
    (void)state;
    follow_all(&(limits){ "reference", CBM_F64, 1e-9, 1e-9, LBFGS_STEPS });
}

/* Second-order directions magnify rounding: in f32 the first steps agree. */
static void test_cpu_f32(void **state)
{
    (void)state;
    follow_all(&(limits){ "cpu", CBM_F32, 1e-3, 0, 3 });
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_reference_f64), cmocka_unit_test(test_cpu_f32) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
