/* infer.c: time of a prediction of the networks in networks/ in evaluation mode, their batch norms folded, on made-up data.
     infer NETWORK [THREADS] [SECONDS | serve] [BATCH]
   Algorithms are measured once (the context's tune) unless CAMBIUM_BENCH_UNTUNED is set;
   CAMBIUM_BENCH_PROFILE: also prints the steps with their times. Rests on measure.h. */
#include "bench/measure.h"
#include "bench/networks/networks.h"
#include "bench/profile.h"

typedef struct predicting {
    cbm_context *cx;
    cbm_module *net;
    cbm_tensor *input;
} predicting;

static void predict(void *user)
{
    const predicting *p = user;
    CBM_NO_GRAD(scope, p->cx);
    cbm_tensor *y = cbm_call(p->net, p->input);
    if (cbm_compute(&y, 1) != CBM_OK) {
        fprintf(stderr, "%s\n", cbm_message(p->cx));
        exit(1);
    }
}

static unsigned long long tensor_bytes(void *user)
{
    const predicting *p = user;
    return cbm_context_statistics(p->cx).bytes_peak;
}

int main(int argc, char **argv)
{
    const bench_network *network = argc > 1 ? bench_network_named(argv[1]) : NULL;
    if (!network) {
        fprintf(stderr, "usage: infer NETWORK [THREADS] [SECONDS | serve] [BATCH]\n");
        for (size_t i = 0; bench_network_at(i); i++)
            fprintf(stderr, "    %s\n", bench_network_at(i)->name);
        return 2;
    }
    const long threads = argc > 2 ? strtol(argv[2], NULL, 10) : 2;
    const int64_t batch = argc > 4 ? strtol(argv[4], NULL, 10) : 1;
    predicting p = { .cx = cbm_open_with(.threads = threads, .tune = !getenv("CAMBIUM_BENCH_UNTUNED")) };
    cbm_profile(p.cx, bench_profiled());
    p.net = network->make(p.cx);
    bench_fill(p.net);
    cbm_eval(p.net);
    p.input = bench_batch_of(p.cx, network, p.net, batch).input;
    cbm_nn_fold_batch_norm(p.net, p.input, NULL);
    const bench_subject subject = { network->name, threads, predict, tensor_bytes, &p };
    const long runs = bench_warm(&subject);
    cbm_reset_peak(p.cx);
    bench_report(&subject, runs, argc > 3 ? argv[3] : "3");
    if (bench_profiled())
        bench_print_profile(p.cx);
    cbm_close(p.cx);
    return 0;
}
