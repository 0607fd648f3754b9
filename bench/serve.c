/* serve.c: requests a second that a session answers with 1, 2, 4 workers of one thread each, one picture a request, and what
   it holds: serve [NETWORK] [SECONDS]. One line of JSON a number of workers. */
#include "bench/measure.h"
#include "bench/networks/networks.h"
#include <cambium/cambium.h>

#include <pthread.h>

static const bench_network *network;

static cbm_module *make(cbm_context *cx, void *user)
{
    (void)user;
    cbm_module *net = network->make(cx);
    bench_fill(net);
    return net;
}

typedef struct client {
    cbm_session *session;
    const float *input;
    cbm_shape shape;
    double seconds;
    long answered, failed;
} client;

static void *ask(void *user)
{
    client *c = user;
    static _Thread_local float output[4096];
    for (const double end = bench_now() + c->seconds; bench_now() < end; c->answered++) {
        cbm_request r = { .input = c->input, .input_shape = c->shape, .output = output, .output_size = sizeof output };
        c->failed += cbm_session_run(c->session, &r) != CBM_OK;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    static const int64_t workers[] = { 1, 2, 4 };
    network = bench_network_named(argc > 1 ? argv[1] : "mnist-cnn");
    const double seconds = argc > 2 ? strtod(argv[2], NULL) : 3;
    if (!network || seconds <= 0) {
        fprintf(stderr, "usage: serve [NETWORK] [SECONDS]\n");
        return 2;
    }
    cbm_shape sample = network->input, shape = { { sample.v[0] + 1, 1 } };
    for (int64_t i = 1; i <= sample.v[0]; i++)
        shape.v[1 + i] = sample.v[i];
    float *input = aligned_alloc(64, ((size_t)cbm_shape_count(&shape) * sizeof *input + 63) / 64 * 64);
    for (int64_t i = 0; input && i < cbm_shape_count(&shape); i++)
        input[i] = (float)(i % 17) / 17;
    for (size_t k = 0; input && k < sizeof workers / sizeof *workers; k++) {
        cbm_session *s = cbm_session_open(make, NULL, .workers = workers[k], .input = sample, .batches = CBM_SHAPE(1));
        if (cbm_session_status(s) != CBM_OK) {
            fprintf(stderr, "%s\n", cbm_session_message(s));
            return 1;
        }
        client clients[4];
        pthread_t threads[4];
        long answered = 0, failed = 0;
        const double begun = bench_now();
        for (int64_t i = 0; i < workers[k]; i++) {
            clients[i] = (client){ .session = s, .input = input, .shape = shape, .seconds = seconds };
            if (pthread_create(&threads[i], NULL, ask, &clients[i]) != 0)
                return 1;
        }
        for (int64_t i = 0; i < workers[k]; i++) {
            pthread_join(threads[i], NULL);
            answered += clients[i].answered;
            failed += clients[i].failed;
        }
        const double elapsed = bench_now() - begun;
        printf("{\"work\": \"serve-%s\", \"workers\": %lld, \"requests_per_second\": %.1f, \"failed\": %ld, \"bytes\": "
               "%llu}\n",
               network->name, (long long)workers[k], (double)answered / elapsed, failed,
               (unsigned long long)cbm_session_statistics(s).bytes);
        cbm_session_close(s);
    }
    free(input);
    return 0;
}
