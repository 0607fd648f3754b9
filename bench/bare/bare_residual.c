/* bare_residual.c: a training step of one residual stage, y = x + relu(bn(conv(relu(bn(conv x))))), batch 128, with the
   gradient of x, the mean squared distance as loss, and SGD, by oneDNN alone.
     bare_residual [THREADS] [SECONDS | serve] [CHANNELS] [--direct]       CHANNELS: 64 (32x32), 128 (16x16), 256 (8x8) */
#include "bench/bare/bare.h"

#define BATCH 128

typedef struct stage {
    bare_memory x, target, y, dx;
    bare_layer conv[2];
    bare_memory a[2], da[2]; /* after the norms */
    bare_norm norm[2];
} stage;

/* Loss and its gradient in one pass: y = x + a; da = 2 (y - t) / n. */
static float add_and_compare(const stage *n)
{
    const int64_t count = n->y.count;
    const float *x = n->x.data, *a = n->a[1].data, *t = n->target.data;
    float *y = n->y.data, *g = n->da[1].data, loss = 0;
    const float share = 2 / (float)count;
#pragma omp parallel for simd reduction(+ : loss) schedule(static)
    for (int64_t i = 0; i < count; i++) {
        y[i] = x[i] + a[i];
        const float e = y[i] - t[i];
        loss += e * e;
        g[i] = share * e;
    }
    return loss / (float)count;
}

/* dx += the gradient that goes past the convolutions. */
static void add_shortcut(float *restrict dx, const float *restrict g, int64_t count)
{
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++)
        dx[i] += g[i];
}

static void step(void *user)
{
    const stage *n = user;
    for (int i = 0; i < 2; i++) {
        bare_layer_forward(&n->conv[i]);
        bare_norm_forward(&n->norm[i]);
    }
    add_and_compare(n);
    for (int i = 1; i >= 0; i--) {
        bare_run(&n->norm[i].backward);
        bare_layer_backward(&n->conv[i]);
    }
    add_shortcut(n->dx.data, n->da[1].data, n->dx.count);
    for (int i = 0; i < 2; i++) {
        bare_layer_update(&n->conv[i]);
        bare_sgd(n->norm[i].w.data, n->norm[i].velocity, n->norm[i].dw.data, n->norm[i].w.count);
    }
}

int main(int argc, char **argv)
{
    const bool direct = bare_take_direct(&argc, argv);
    const long threads = argc > 1 ? strtol(argv[1], NULL, 10) : 2;
    const int64_t channels = argc > 3 ? strtol(argv[3], NULL, 10) : 64, height = 2048 / channels;
    static stage n;
    char name[64];
    if (channels < 16 || channels > 1024 || channels % 16)
        return 2;
    bare_open(threads);
    const bare_md md = bare_blocked(4, (int64_t[]){ BATCH, channels, height, height });
    n.x = bare_make(&md, 1);
    n.target = bare_make(&md, 1);
    n.y = bare_make(&md, 0);
    n.dx = bare_make(&md, 0);
    for (int i = 0; i < 2; i++) {
        const bare_shape s = { BATCH, channels, height, channels, 3, 1, .direct = direct };
        n.a[i] = bare_make(&md, 0);
        n.da[i] = bare_make(&md, 0);
        n.conv[i] = bare_layer_make(&s, i ? &n.a[0] : &n.x, i ? &n.da[0] : &n.dx);
        bare_batch_norm(&n.conv[i].y, &n.a[i], &n.da[i], &n.conv[i].dy, &n.norm[i]);
    }
    snprintf(name, sizeof name, "residual-%d%s", (int)channels, direct ? " direct" : "");
    const bench_subject subject = { name, threads, step, NULL, &n };
    const long runs = bench_warm(&subject);
    bench_report(&subject, runs, argc > 2 ? argv[2] : "3");
    return 0;
}
