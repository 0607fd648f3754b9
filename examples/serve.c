/* serve.c: one network, many threads: a server without the network part. Producers put requests into a queue, threads take
   them out and let the session compute them; in the end the answers are counted and the throughput is printed.

       serve [WORKERS [REQUESTS]] */
#include <cambium/cambium.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SIDE = 28, CLASSES = 10, QUEUE = 16, MOST_WORKERS = 64 };

/* The network; in a real server its weights come from a file: .weights = "model.safetensors". */
static cbm_module *make(cbm_context *cx, void *user)
{
    (void)user;
    return cbm_sequential(cx, cbm_nn_conv2d(cx, 1, 32, 3), cbm_nn_relu(cx), cbm_nn_max_pool2d(cx, 2),
                          cbm_nn_conv2d(cx, 32, 64, 3), cbm_nn_relu(cx), cbm_nn_max_pool2d(cx, 2), cbm_nn_flatten(cx),
                          cbm_nn_linear(cx, 64 * 5 * 5, CLASSES), CBM_END);
}

/* A queue of requests: numbers here, from which a picture is made; a socket's bytes in a real server. */
typedef struct server {
    cbm_session *session;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int waiting[QUEUE], count, produced, wanted;
    int answered, failed;
} server;

static bool take(server *s, int *number)
{
    pthread_mutex_lock(&s->lock);
    while (s->count == 0 && s->produced < s->wanted)
        pthread_cond_wait(&s->changed, &s->lock);
    const bool some = s->count > 0;
    if (some)
        *number = s->waiting[--s->count];
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    return some;
}

static void *work(void *user)
{
    server *s = user;
    float picture[SIDE * SIDE], scores[CLASSES];
    for (int number; take(s, &number);) {
        for (int i = 0; i < SIDE * SIDE; i++)
            picture[i] = (float)((i * (number + 1)) % 17) / 17;
        cbm_request request = {
            .input = picture, .input_shape = CBM_SHAPE(1, 1, SIDE, SIDE), .output = scores, .output_size = sizeof scores
        };
        const bool good = cbm_session_run(s->session, &request) == CBM_OK;
        if (!good)
            fprintf(stderr, "request %d: %s\n", number, request.message);
        pthread_mutex_lock(&s->lock);
        s->answered++;
        s->failed += !good;
        pthread_mutex_unlock(&s->lock);
    }
    return NULL;
}

static void produce(server *s)
{
    pthread_mutex_lock(&s->lock);
    while (s->produced < s->wanted) {
        while (s->count == QUEUE)
            pthread_cond_wait(&s->changed, &s->lock);
        s->waiting[s->count++] = s->produced++;
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
}

int main(int argc, char **argv)
{
    const int workers = argc > 1 ? atoi(argv[1]) : 2;
    server s = { .lock = PTHREAD_MUTEX_INITIALIZER,
                 .changed = PTHREAD_COND_INITIALIZER,
                 .wanted = argc > 2 ? atoi(argv[2]) : 200 };
    if (workers < 1 || workers > MOST_WORKERS || s.wanted < 1) {
        fprintf(stderr, "usage: serve [WORKERS [REQUESTS]], 1 to %d workers\n", MOST_WORKERS);
        return 2;
    }
    s.session =
        cbm_session_open(make, NULL, .workers = workers, .input = CBM_SHAPE(1, SIDE, SIDE),
                         .batches = CBM_SHAPE(1)); /* plans are made and weights packed before the first request */
    if (cbm_session_status(s.session) != CBM_OK) {
        fprintf(stderr, "%s\n", cbm_session_message(s.session));
        cbm_session_close(s.session);
        return 1;
    }
    pthread_t threads[MOST_WORKERS];
    struct timespec begun, ended;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    int started = 0;
    while (started < workers && pthread_create(&threads[started], NULL, work, &s) == 0)
        started++;
    if (started > 0)
        produce(&s);
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    const double seconds = (double)(ended.tv_sec - begun.tv_sec) + 1e-9 * (double)(ended.tv_nsec - begun.tv_nsec);
    const cbm_session_numbers numbers = cbm_session_statistics(s.session);
    printf("%d requests by %d workers, %d failed, %.0f a second, %.1f MiB\n", s.answered, workers, s.failed,
           s.answered / seconds, (double)numbers.bytes / (1 << 20));
    cbm_session_close(s.session);
    return s.answered == s.wanted && s.failed == 0 ? 0 : 1;
}
