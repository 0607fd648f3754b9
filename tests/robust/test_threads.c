/* test_threads.c: two contexts in two threads do not disturb each other; one, two and three threads in a context give the
   same bits; after a fork the child's inherited context is refused and a new one works. */
#include "robust/step.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void train(const char *device, int64_t threads, step_state *s)
{
    cbm_context *cx = cbm_open_with(.device = device, .threads = threads, .seed = 9);
    step_model m = step_model_new(cx);
    for (int i = 0; i < 50; i++)
        step_run(&m, i, i % STEP_CLASSES);
    *s = step_state_of(&m);
    cbm_close(cx);
}

typedef struct job {
    const char *device;
    step_state state;
} job;

static void *train_in_thread(void *user)
{
    job *j = user;
    train(j->device, 1, &j->state);
    return NULL;
}

static void test_two_contexts(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        job jobs[4] = {
            { .device = "cpu" }, { .device = "cpu" }, { .device = "reference" }, { .device = "reference" }
        };
        pthread_t threads[4];
        for (int i = 0; i < 4; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, train_in_thread, &jobs[i]), 0);
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        step_same(&jobs[0].state, &jobs[1].state);
        step_same(&jobs[2].state, &jobs[3].state);
        step_state alone;
        train("cpu", 1, &alone);
        step_same(&jobs[0].state, &alone);
    }
}

/* Large enough for the loops to be shared out. */
static void wide(int64_t threads, float *out, size_t size)
{
    cbm_context *cx = cbm_open_with(.threads = threads, .seed = 1);
    assert_int_equal(cbm_context_threads(cx), threads);
    cbm_tensor *w = cbm_variable(cbm_normal(cx, CBM_F32, CBM_SHAPE(200, 300), 0, 0.1), true);
    for (int i = 0; i < 3; i++) {
        CBM_SCOPE(s, cx);
        cbm_tensor *x = cbm_uniform(cx, CBM_F32, CBM_SHAPE(257, 200), -1, 1);
        cbm_backward(cbm_mean(cbm_softmax(cbm_tanh(cbm_matmul(x, w)), 0)));
        cbm_assign(w, cbm_sub(w, cbm_gradient(w)));
        cbm_clear_gradient(w);
    }
    assert_int_equal(cbm_read(w, out, size), CBM_OK);
    cbm_close(cx);
}

static void test_thread_counts(void **state)
{
    (void)state;
    step_state one, other;
    train("cpu", 1, &one);
    static float a[200 * 300], b[200 * 300];
    wide(1, a, sizeof a);
    for (int64_t threads = 2; threads <= 3; threads++) {
        train("cpu", threads, &other);
        assert_true(fabsf(one.numbers[0] - other.numbers[0]) < 1e-4f);
        wide(threads, b, sizeof b);
        for (size_t i = 0; i < sizeof a / sizeof *a; i++)
            if (fabsf(a[i] - b[i]) > 1e-5f)
                fail_msg("%lld threads: element %zu is %.9g, not %.9g", (long long)threads, i, (double)b[i],
                         (double)a[i]);
        wide(threads, a, sizeof a); /* the same again: bit for bit */
        assert_memory_equal(a, b, sizeof a);
    }
}

/* 0: all as it should be. */
static int child(cbm_context *inherited, cbm_tensor *t, int64_t threads)
{
    if (!isnan(cbm_item(cbm_sum(t))) || cbm_context_status(inherited) != CBM_ERROR_STATE ||
        !strstr(cbm_message(inherited), "fork"))
        return 1;
    cbm_clear(inherited);
    cbm_close(inherited);
    static float a[200 * 300];
    wide(threads, a, sizeof a);
    return isfinite(a[0]) ? 0 : 2;
}

static void test_fork(void **state)
{
    (void)state;
    for (int64_t threads = 1; threads <= 2; threads++) {
        cbm_context *cx = cbm_open_with(.threads = threads);
        cbm_tensor *big = cbm_normal(cx, CBM_F32, CBM_SHAPE(300, 300), 0, 1);
        double before = cbm_item(cbm_sum(cbm_matmul(big, big)));
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            alarm(60);
            _exit(child(cx, big, threads));
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fail_msg("%lld threads: the child ended with %s %d", (long long)threads,
                     WIFEXITED(status) ? "code" : "signal", WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
        assert_true(cbm_item(cbm_sum(cbm_matmul(big, big))) == before);
        assert_int_equal(cbm_context_status(cx), CBM_OK);
        cbm_close(cx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_contexts),
        cmocka_unit_test(test_thread_counts),
        cmocka_unit_test(test_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
