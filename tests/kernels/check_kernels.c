/* check_kernels.c: every function of every SIMD level against plain C on random shapes, a line each; with --bench also the
   time of each.
     check_kernels [--seed N] [--rounds N] [--bench] [--list] [PART OF A NAME]
   A failure names the seed and round that repeat it, the shape, and the first difference; then the exit status is 1. */
#include "check.h"

#include <inttypes.h>
#include <time.h>

enum { MAX_KERNELS = 512, GUARD = 64, N_LEVELS = 3 };
static const char *const level_names[N_LEVELS] = { "baseline", "avx2", "avx512" };

static check_kernel kernels[MAX_KERNELS];
static int n_kernels;

void check_add(check_kernel k)
{
    if (n_kernels == MAX_KERNELS) {
        fprintf(stderr, "check_kernels: more than %d kernels\n", MAX_KERNELS);
        exit(2);
    }
    kernels[n_kernels++] = k;
}

/* ---- random numbers: splitmix64 ---- */

static uint64_t next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}
double check_uniform(check_case *c)
{
    return (double)(next(&c->random) >> 11) * 0x1p-53;
}
int64_t check_int(check_case *c, int64_t low, int64_t high)
{
    return low + (int64_t)(next(&c->random) % (uint64_t)(high - low + 1));
}

/* ---- memory: a guard behind each array, and sometimes a start that no vector is aligned to ---- */

static void *guarded(check_case *c, cbm_dtype dtype, int64_t count)
{
    const size_t bytes = (size_t)count * cbm_dtype_size(dtype), shift = c->bench ? 0 : cbm_dtype_size(dtype);
    char *p = aligned_alloc(64, (64 + shift + bytes + GUARD + 63) / 64 * 64);
    if (!p) {
        fprintf(stderr, "check_kernels: no memory\n");
        exit(2);
    }
    memset(p, 0xee, 64 + shift + bytes + GUARD);
    p[63 + shift] = (char)shift; /* for released() */
    return p + 64 + shift;
}
static void released(void *data)
{
    if (data)
        free((char *)data - 64 - ((char *)data)[-1]);
}
static bool guard_holds(const check_array *a)
{
    const unsigned char *end = (const unsigned char *)a->data + (size_t)a->count * cbm_dtype_size(a->dtype);
    for (int i = 0; i < GUARD; i++)
        if (end[i] != 0xee)
            return false;
    return true;
}

void *check_in(check_case *c, int i, cbm_dtype dtype, int64_t count)
{
    c->in[i] = (check_array){ guarded(c, dtype, count), dtype, count };
    return c->in[i].data;
}
void *check_out(check_case *c, int i, cbm_dtype dtype, int64_t count, double relative, double absolute)
{
    c->out[i] = (check_array){ guarded(c, dtype, count), dtype, count };
    c->relative[i] = relative;
    c->absolute[i] = absolute;
    return c->out[i].data;
}
void *check_start(check_case *c, int i)
{
    c->start[i] = c->out[i];
    c->start[i].data = guarded(c, c->out[i].dtype, c->out[i].count);
    return c->start[i].data;
}
float *check_floats(check_case *c, int i, int64_t count, double low, double high)
{
    float *p = check_in(c, i, CBM_F32, count);
    for (int64_t k = 0; k < count; k++)
        p[k] = (float)(low + (high - low) * check_uniform(c));
    return p;
}

static void begin_case(check_case *c, const check_kernel *k, uint64_t seed, int64_t round)
{
    *c = (check_case){ .kernel = k, .random = seed, .bench = round < 0 };
    for (const char *p = k->name; *p; p++)
        c->random = c->random * 31 + (unsigned char)*p;
    c->random = next(&c->random) + (uint64_t)round;
    k->make(c);
}
static void end_case(check_case *c)
{
    for (int i = 0; i < CHECK_IN; i++)
        released(c->in[i].data);
    for (int i = 0; i < CHECK_OUT; i++) {
        released(c->out[i].data);
        released(c->start[i].data);
    }
}

/* ---- comparing ---- */

static double element(const check_array *a, int64_t i)
{
    switch (a->dtype) {
    case CBM_F32: return (double)((const float *)a->data)[i];
    case CBM_F64: return ((const double *)a->data)[i];
    case CBM_I64: return (double)((const int64_t *)a->data)[i];
    case CBM_I32: return (double)((const int32_t *)a->data)[i];
    case CBM_BF16: return (double)((const uint16_t *)a->data)[i];
    default: return (double)((const uint8_t *)a->data)[i];
    }
}

static bool close_enough(const check_case *c, int result, const check_array *want, int64_t i)
{
    const check_array *got = &c->out[result];
    if (got->dtype == CBM_I64 && ((int64_t *)got->data)[i] == ((int64_t *)want->data)[i])
        return true;
    if (got->dtype == CBM_I64 && c->absolute[result] == 0)
        return false;
    const double g = element(got, i), w = element(want, i);
    if (isnan(g) || isnan(w))
        return isnan(g) && isnan(w);
    return g == w || fabs(g - w) <= c->relative[result] * fabs(w) + c->absolute[result];
}

static void prepare_results(check_case *c)
{
    for (int i = 0; i < CHECK_OUT; i++) {
        const size_t bytes = (size_t)c->out[i].count * cbm_dtype_size(c->out[i].dtype);
        if (c->out[i].data && c->start[i].data)
            memcpy(c->out[i].data, c->start[i].data, bytes);
        else if (c->out[i].data)
            memset(c->out[i].data, 0xee, bytes);
    }
}

/* One case at every level. false: a failure, which has been told. */
static bool check_round(const check_kernel *k, uint64_t seed, int64_t round)
{
    check_case c;
    check_array want[CHECK_OUT];
    bool ok = true;
    begin_case(&c, k, seed, round);
    prepare_results(&c);
    k->reference(&c);
    for (int i = 0; i < CHECK_OUT; i++) {
        const size_t bytes = (size_t)c.out[i].count * cbm_dtype_size(c.out[i].dtype);
        want[i] = c.out[i];
        want[i].data = malloc(bytes + 1);
        if (c.out[i].data)
            memcpy(want[i].data, c.out[i].data, bytes);
    }
    for (int level = 0; level < N_LEVELS && ok; level++) {
        const cbm_simd *s = cbm_simd_named(level_names[level]);
        if (!s || (k->exists && !k->exists(s, k)))
            continue;
        prepare_results(&c);
        k->run(s, &c);
        for (int i = 0; i < CHECK_OUT && ok; i++) {
            if (c.out[i].data && !guard_holds(&c.out[i])) {
                printf("FAIL %s at %s: --seed %" PRIu64 ", round %" PRId64 ", %s: wrote behind result %d\n", k->name,
                       s->name, seed, round, c.shape, i);
                ok = false;
            }
            for (int64_t e = 0; c.out[i].data && ok && e < c.out[i].count; e++)
                if (!close_enough(&c, i, &want[i], e)) {
                    printf("FAIL %s at %s: --seed %" PRIu64 ", round %" PRId64 ", %s: result %d, element %" PRId64
                           ": %.9g instead of %.9g\n",
                           k->name, s->name, seed, round, c.shape, i, e, element(&c.out[i], e), element(&want[i], e));
                    ok = false;
                }
        }
    }
    for (int i = 0; i < CHECK_OUT; i++)
        free(want[i].data);
    end_case(&c);
    return ok;
}

/* ---- timing ---- */

static double least_time(const check_kernel *k, const cbm_simd *s, check_case *c)
{
    double best = 1e9;
    int64_t runs = 1;
    for (double begin = cbm_seconds(); cbm_seconds() - begin < 0.02;) {
        const double start = cbm_seconds();
        for (int64_t i = 0; i < runs; i++)
            k->run(s, c);
        const double each = (cbm_seconds() - start) / (double)runs;
        best = each < best ? each : best;
        if (each * (double)runs < 1e-4)
            runs *= 2;
    }
    return best;
}

static void time_kernel(const check_kernel *k)
{
    check_case c;
    double first = 0;
    begin_case(&c, k, 1, -1);
    prepare_results(&c);
    printf("     %-34s %-26s", k->name, c.shape);
    for (int level = 0; level < N_LEVELS; level++) {
        const cbm_simd *s = cbm_simd_named(level_names[level]);
        if (!s || (k->exists && !k->exists(s, k)))
            continue;
        const double t = least_time(k, s, &c);
        first = first > 0 ? first : t;
        if (c.flops > 0)
            printf("  %s %9.1f ns %6.1f GF/s x%-5.2f", s->name, t * 1e9, c.flops / t * 1e-9, first / t);
        else
            printf("  %s %9.1f ns %6.1f GB/s x%-5.2f", s->name, t * 1e9, c.bytes / t * 1e-9, first / t);
    }
    printf("\n");
    end_case(&c);
}

int main(int argc, char **argv)
{
    uint64_t seed = (uint64_t)time(NULL) * 1000003u % 1000000007u;
    int64_t rounds = 40;
    bool bench = false, list = false;
    const char *wanted = "";
    int failures = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            seed = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc)
            rounds = strtoll(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--bench") == 0)
            bench = true;
        else if (strcmp(argv[i], "--list") == 0)
            list = true;
        else if (argv[i][0] != '-')
            wanted = argv[i];
        else {
            fprintf(stderr, "check_kernels [--seed N] [--rounds N] [--bench] [--list] [PART OF A NAME]\n");
            return 2;
        }
    }
    check_tiles();
    check_rows();
    check_folds();
    check_softmax();
    check_channels();
    check_volumes();
    printf("check_kernels --seed %" PRIu64 " --rounds %" PRId64 "\n", seed, rounds);
    for (int i = 0; i < n_kernels; i++) {
        if (!strstr(kernels[i].name, wanted))
            continue;
        bool ok = true;
        for (int64_t round = 0; round < rounds && ok && !list; round++)
            ok = check_round(&kernels[i], seed, round);
        if (list || ok)
            printf("%s %s\n", list ? "    " : "ok  ", kernels[i].name);
        failures += !ok;
        if (bench && !list)
            time_kernel(&kernels[i]);
    }
    if (failures > 0)
        printf("%d of the kernels failed\n", failures);
    return failures > 0;
}
