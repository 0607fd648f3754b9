/* order.c: the place of the k-th smallest element along an axis, of any dtype: elements become whole numbers of the same order,
   among which the k-th is selected without sorting (Hoare 1961). Rests on cpu.h alone. */
#include "backend/cpu/cpu.h"

#include <string.h>

enum { GROUP = 8 }; /* lanes side by side that are fetched together */

typedef struct job {
    const cbm_buffer *x;
    int64_t *y;
    uint64_t *keys; /* of each worker: `width` lanes, and room for one to select in */
    cbm_around a;
    int64_t k, width, groups, workers; /* groups of lanes, for each outer */
    bool nan_wins;
} job;

#define SIGN ((uint64_t)1 << 63)
#define NOT_A_NUMBER UINT64_MAX

/* In the order of numbers; -0 as 0, NaN behind all. */
static uint64_t key_of(const cbm_buffer *b, int64_t i)
{
    double v = 0;
    switch (b->dtype) {
    case CBM_F32: v = (double)((const float *)b->data)[i]; break;
    case CBM_F64: v = ((const double *)b->data)[i]; break;
    case CBM_I64: return (uint64_t)((const int64_t *)b->data)[i] ^ SIGN;
    case CBM_I32: return (uint64_t)(int64_t)((const int32_t *)b->data)[i] ^ SIGN;
    default: return ((const uint8_t *)b->data)[i];
    }
    uint64_t bits;
    v += 0.0;
    memcpy(&bits, &v, sizeof bits);
    return v != v ? NOT_A_NUMBER : bits & SIGN ? ~bits : bits | SIGN;
}

static uint64_t middle(uint64_t a, uint64_t b, uint64_t c)
{
    return a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
}

/* The k-th of n keys in order; the keys change places. */
static uint64_t select_key(uint64_t *v, int64_t n, int64_t k)
{
    int64_t low = 0, high = n - 1;
    while (low < high) {
        const uint64_t pivot = middle(v[low], v[low + (high - low) / 2], v[high]);
        int64_t i = low, j = high;
        while (i <= j) {
            while (v[i] < pivot)
                i++;
            while (v[j] > pivot)
                j--;
            if (i <= j) {
                const uint64_t kept = v[i];
                v[i++] = v[j];
                v[j--] = kept;
            }
        }
        if (k <= j)
            high = j;
        else if (k >= i)
            low = i;
        else
            return pivot;
    }
    return v[k];
}

/* Equal keys stand in their order. */
static int64_t place_of(const job *j, const uint64_t *keys, uint64_t *room)
{
    const int64_t n = j->a.length;
    if (j->nan_wins && j->x->dtype != CBM_I64) /* whose keys may look like that */
        for (int64_t i = 0; i < n; i++)
            if (keys[i] == NOT_A_NUMBER)
                return i;
    memcpy(room, keys, (size_t)n * sizeof *room);
    const uint64_t key = select_key(room, n, j->k);
    int64_t before = 0;
    for (int64_t i = 0; i < n; i++)
        before += keys[i] < key;
    for (int64_t i = 0; i < n; i++)
        if (keys[i] == key && before++ == j->k)
            return i;
    return 0;
}

static void run_workers(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const int64_t n = j->a.length, inner = j->a.inner, all = j->a.outer * j->groups;
    for (int64_t w = begin; w < end; w++) {
        uint64_t *keys = j->keys + w * (j->width + 1) * n, *room = keys + j->width * n;
        for (int64_t g = w * all / j->workers; g < (w + 1) * all / j->workers; g++) {
            const int64_t outer = g / j->groups, first = g % j->groups * j->width;
            const int64_t lanes = inner - first < j->width ? inner - first : j->width;
            for (int64_t i = 0; i < n; i++)
                for (int64_t lane = 0; lane < lanes; lane++)
                    keys[lane * n + i] = key_of(j->x, (outer * n + i) * inner + first + lane);
            for (int64_t lane = 0; lane < lanes; lane++)
                j->y[outer * inner + first + lane] = place_of(j, keys + lane * n, room);
        }
    }
}

/* How the lanes are shared out; the keys are still missing. */
static job job_of(const cbm_launch *l, int64_t threads)
{
    const cbm_kth_attributes *a = l->attributes;
    job j = { .x = &l->in[0], .a = cbm_around_axis(&l->in[0], a->axis), .k = a->k, .nan_wins = a->nan_wins != 0 };
    j.width = j.a.inner < GROUP ? j.a.inner : GROUP;
    j.groups = j.width > 0 ? (j.a.inner + j.width - 1) / j.width : 0;
    j.workers = l->in[0].count < CBM_CPU_GRAIN ? 1 : threads;
    j.workers = j.workers > j.a.outer * j.groups ? j.a.outer * j.groups : j.workers;
    j.workers = j.workers < 1 ? 1 : j.workers;
    return j;
}

static cbm_status prepare(cbm_prepare *p)
{
    const job j = job_of(p->launch, p->threads);
    p->workspace = (size_t)(j.workers * (j.width + 1) * j.a.length) * sizeof(uint64_t);
    return CBM_OK;
}

static cbm_status kth_index(const cbm_launch *l)
{
    job j = job_of(l, l->threads);
    j.keys = l->workspace;
    j.y = l->out[0].data;
    if (l->out[0].count > 0)
        cbm_parallel_for(j.workers, 1, l->threads, run_workers, &j);
    return CBM_OK;
}

static bool numbers(const cbm_launch *l)
{
    return l->in[0].dtype != CBM_BF16;
}

const cbm_kernel cbm_cpu_order[] = {
    { .op = "kth_index", .flags = CBM_KERNEL_SURE, .supports = numbers, .prepare = prepare, .launch = kth_index },
    { .op = NULL },
};
