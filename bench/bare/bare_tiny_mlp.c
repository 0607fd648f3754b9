/* bare_tiny_mlp.c: a training step of the MLP 2-16-1, batch 32, mean squared loss, SGD with momentum, as plain loops: the
   bare kernels of a step that is too small for any library.
     bare_tiny_mlp [THREADS] [SECONDS | serve]       (one thread, whatever THREADS says) */
#include "bench/measure.h"

#define BATCH 32
#define WIDTH 16
#define RATE 1e-4f
#define MOMENTUM 0.9f

typedef struct mlp {
    float x[BATCH][2], t[BATCH], h[BATCH][WIDTH], y[BATCH], dy[BATCH];
    float w1[2][WIDTH], b1[WIDTH], w2[WIDTH], b2[1];
    float dw1[2][WIDTH], db1[WIDTH], dw2[WIDTH], db2[1];
    float vw1[2][WIDTH], vb1[WIDTH], vw2[WIDTH], vb2[1];
    float loss;
} mlp;

static void forward(mlp *n)
{
    n->loss = 0;
    for (int i = 0; i < BATCH; i++) {
        for (int j = 0; j < WIDTH; j++) {
            const float z = n->x[i][0] * n->w1[0][j] + n->x[i][1] * n->w1[1][j] + n->b1[j];
            n->h[i][j] = z > 0 ? z : 0;
        }
        float y = n->b2[0];
#pragma omp simd reduction(+ : y)
        for (int j = 0; j < WIDTH; j++)
            y += n->h[i][j] * n->w2[j];
        n->y[i] = y;
        n->dy[i] = (y - n->t[i]) * (2.0f / BATCH);
        n->loss += (y - n->t[i]) * (y - n->t[i]) / BATCH;
    }
}

static void backward(mlp *n)
{
    memset(n->dw1, 0, sizeof n->dw1);
    memset(n->db1, 0, sizeof n->db1);
    memset(n->dw2, 0, sizeof n->dw2);
    n->db2[0] = 0;
    for (int i = 0; i < BATCH; i++) {
        n->db2[0] += n->dy[i];
        for (int j = 0; j < WIDTH; j++) {
            const float g = n->h[i][j] > 0 ? n->dy[i] * n->w2[j] : 0;
            n->dw2[j] += n->dy[i] * n->h[i][j];
            n->dw1[0][j] += g * n->x[i][0];
            n->dw1[1][j] += g * n->x[i][1];
            n->db1[j] += g;
        }
    }
}

static void sgd(float *restrict w, float *restrict v, const float *restrict g, int count)
{
    for (int i = 0; i < count; i++) {
        v[i] = MOMENTUM * v[i] + g[i];
        w[i] -= RATE * v[i];
    }
}

static void step(void *user)
{
    mlp *n = user;
    forward(n);
    backward(n);
    sgd(&n->w1[0][0], &n->vw1[0][0], &n->dw1[0][0], 2 * WIDTH);
    sgd(n->b1, n->vb1, n->db1, WIDTH);
    sgd(n->w2, n->vw2, n->dw2, WIDTH);
    sgd(n->b2, n->vb2, n->db2, 1);
}

int main(int argc, char **argv)
{
    static mlp n;
    unsigned state = 1;
    float *const filled[] = { &n.x[0][0], n.t, &n.w1[0][0], n.w2 };
    const int counts[] = { BATCH * 2, BATCH, 2 * WIDTH, WIDTH };
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < counts[k]; i++) {
            state = state * 1664525u + 1013904223u;
            filled[k][i] = (float)(state >> 8) / (1 << 23) - 1;
        }
    const bench_subject subject = { "tiny-mlp", 1, step, NULL, &n };
    const long runs = bench_warm(&subject);
    bench_report(&subject, runs, argc > 2 ? argv[2] : "3");
    return n.loss > 1e6f;
}
