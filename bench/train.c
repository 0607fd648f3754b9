/* train.c: time and memory of a training step of the networks in networks/, on made-up data, SGD with momentum.
     train NETWORK [THREADS] [SECONDS | serve] [BATCH]
   Algorithms are measured once (the context's tune) unless CAMBIUM_BENCH_UNTUNED is set; with CAMBIUM_BENCH_EXPLAIN set it
   also prints why plans were made. Rests on measure.h. */
#include "bench/measure.h"
#include "bench/networks/networks.h"
#include "bench/profile.h"

typedef struct training {
    cbm_context *cx;
    const bench_network *network;
    cbm_module *net;
    cbm_optimizer *opt;
    bench_batch batch;
} training;

static void step(void *user)
{
    const training *t = user;
    CBM_SCOPE(scope, t->cx);
    bench_step(t->network, t->net, t->opt, t->batch);
    if (cbm_context_status(t->cx) != CBM_OK) {
        fprintf(stderr, "%s\n", cbm_message(t->cx));
        exit(1);
    }
}

static unsigned long long tensor_bytes(void *user)
{
    const training *t = user;
    return cbm_context_statistics(t->cx).bytes_peak;
}

int main(int argc, char **argv)
{
    training t = { .network = argc > 1 ? bench_network_named(argv[1]) : NULL };
    if (!t.network) {
        fprintf(stderr, "usage: train NETWORK [THREADS] [SECONDS | serve] [BATCH]\n");
        for (size_t i = 0; bench_network_at(i); i++)
            fprintf(stderr, "    %s\n", bench_network_at(i)->name);
        return 2;
    }
    const long threads = argc > 2 ? strtol(argv[2], NULL, 10) : 2;
    const int64_t batch = argc > 4 ? strtol(argv[4], NULL, 10) : t.network->batch;
    t.cx = cbm_open_with(.threads = threads, .tune = !getenv("CAMBIUM_BENCH_UNTUNED"));
    cbm_profile(t.cx, bench_profiled());
    t.net = t.network->make(t.cx);
    bench_fill(t.net);
    t.opt = cbm_sgd(t.net, .lr = 1e-4, .momentum = 0.9);
    t.batch = bench_batch_of(t.cx, t.network, t.net, batch);
    const bench_subject subject = { t.network->name, threads, step, tensor_bytes, &t };
    const long runs = bench_warm(&subject);
    cbm_reset_peak(t.cx);
    bench_report(&subject, runs, argc > 3 ? argv[3] : "3");
    if (bench_profiled())
        bench_print_profile(t.cx);
    if (getenv("CAMBIUM_BENCH_EXPLAIN"))
        fputs(cbm_explain(t.cx), stderr);
    cbm_close(t.cx);
    return 0;
}
