/* bins.c: searchsorted, bincount and histogram. Counts are made in parts whose number depends on shapes only and added up in
   order, so that sums of weights repeat bit for bit whatever the threads. Rests on cpu.h. */
#include "backend/cpu/cpu.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- searchsorted ---- */

typedef struct search {
    const void *sequences, *values;
    int64_t *y;
    cbm_dtype dtype;
    int64_t length, row; /* of a sequence; values that share one */
    bool right;
} search;

/* Intervals are halved as PyTorch halves them: what cannot be compared counts as small enough. */
#define SEARCH(type_)                                                                                                  \
    for (int64_t i = begin; i < end; i++) {                                                                            \
        const type_ *x = (const type_ *)s->sequences + i / s->row * s->length;                                         \
        const type_ v = ((const type_ *)s->values)[i];                                                                 \
        int64_t low = 0, count = s->length;                                                                            \
        while (count > 0) {                                                                                            \
            const int64_t half = count / 2;                                                                            \
            const bool beyond = s->right ? !(x[low + half] > v) : !(x[low + half] >= v);                               \
            low += beyond ? half + 1 : 0;                                                                              \
            count = beyond ? count - half - 1 : half;                                                                  \
        }                                                                                                              \
        s->y[i] = low;                                                                                                 \
    }

static void search_part(void *user, int64_t begin, int64_t end)
{
    const search *s = user;
    switch (s->dtype) {
    case CBM_F32: SEARCH(float) return;
    case CBM_F64: SEARCH(double) return;
    case CBM_I64: SEARCH(int64_t) return;
    case CBM_I32: SEARCH(int32_t) return;
    default: SEARCH(uint8_t)
    }
}

static cbm_status searchsorted(const cbm_launch *l) /* sequences, values -> y */
{
    const cbm_buffer *x = &l->in[0], *v = &l->in[1];
    search s = { x->data,
                 v->data,
                 l->out[0].data,
                 x->dtype,
                 x->shape[x->rank - 1],
                 v->count,
                 ((const cbm_search_attributes *)l->attributes)->right != 0 };
    if (x->rank > 1)
        s.row = v->shape[v->rank - 1];
    cbm_parallel_for(v->count, CBM_CPU_GRAIN / 16, l->threads, search_part, &s);
    return CBM_OK;
}

static bool search_supports(const cbm_launch *l)
{
    return l->in[0].dtype != CBM_BF16;
}

/* ---- counts in parts ---- */

enum { PARTS = 16, PART_FROM = 65536, BINS_MOST = 65536 };

typedef struct counting {
    const cbm_launch *l;
    int64_t count, bins, parts;
    double *sums;    /* of weights: parts x bins */
    int64_t *counts; /* without them, in the same memory */
    const float *weights;
    const double *wide_weights;
    /* histogram */
    bool equal; /* bins of one width, to some extent */
    double scale;
} counting;

static int64_t parts_for(int64_t count, int64_t bins)
{
    return count >= PART_FROM && bins <= BINS_MOST ? PARTS : 1;
}

static cbm_status prepare_counts(cbm_prepare *p)
{
    const int64_t bins = p->launch->out[0].count;
    p->workspace = (size_t)(parts_for(p->launch->in[0].count, bins) * bins) * sizeof(int64_t);
    return CBM_OK;
}

static counting counting_of(const cbm_launch *l, size_t weights)
{
    counting c = { .l = l, .count = l->in[0].count, .bins = l->out[0].count };
    c.parts = parts_for(c.count, c.bins);
    c.sums = l->workspace;
    c.counts = l->workspace;
    if (l->n_in > weights && l->in[weights].dtype == CBM_F32)
        c.weights = l->in[weights].data;
    else if (l->n_in > weights)
        c.wide_weights = l->in[weights].data;
    return c;
}

/* Element i counts for this bin of part number `part`. */
static inline void count_one(const counting *c, int64_t part, int64_t bin, int64_t i)
{
    const int64_t at = part * c->bins + bin;
    if (c->weights)
        c->sums[at] += (double)c->weights[i];
    else if (c->wide_weights)
        c->sums[at] += c->wide_weights[i];
    else
        c->counts[at]++;
}

/* Runs body over the parts, then adds them up into the result. */
static void count_all(counting *c, void (*body)(void *user, int64_t begin, int64_t end))
{
    const cbm_buffer *y = &c->l->out[0];
    memset(c->counts, 0, (size_t)(c->parts * c->bins) * sizeof *c->counts); /* 0.0 too */
    cbm_parallel_for(c->parts, 1, c->l->threads, body, c);
    const bool weighted = c->weights || c->wide_weights;
    for (int64_t b = 0; b < c->bins; b++) {
        int64_t count = 0;
        double sum = 0;
        for (int64_t p = 0; p < c->parts; p++) {
            if (weighted)
                sum += c->sums[p * c->bins + b];
            else
                count += c->counts[p * c->bins + b];
        }
        if (y->dtype == CBM_I64)
            ((int64_t *)y->data)[b] = count;
        else if (y->dtype == CBM_F32)
            ((float *)y->data)[b] = weighted ? (float)sum : (float)count;
        else
            ((double *)y->data)[b] = weighted ? sum : (double)count;
    }
}

/* ---- bincount ---- */

static int64_t number_at(const cbm_buffer *x, int64_t i)
{
    switch (x->dtype) {
    case CBM_I64: return ((const int64_t *)x->data)[i];
    case CBM_I32: return ((const int32_t *)x->data)[i];
    default: return ((const uint8_t *)x->data)[i];
    }
}

static void bincount_parts(void *user, int64_t begin, int64_t end)
{
    const counting *c = user;
    const cbm_buffer *x = &c->l->in[0];
    for (int64_t p = begin; p < end; p++)
        for (int64_t i = p * c->count / c->parts; i < (p + 1) * c->count / c->parts; i++)
            count_one(c, p, number_at(x, i), i);
}

static cbm_status bincount(const cbm_launch *l) /* x[, weights] -> y */
{
    counting c = counting_of(l, 1);
    for (int64_t i = 0; i < c.count; i++) {
        const int64_t v = number_at(&l->in[0], i);
        if (v >= 0 && v < c.bins)
            continue;
        if (l->message)
            snprintf(l->message, 256, "value %" PRId64 " at position %" PRId64 " is outside 0..%" PRId64, v, i,
                     c.bins - 1);
        return CBM_ERROR_RANGE;
    }
    count_all(&c, bincount_parts);
    return CBM_OK;
}

static bool bincount_supports(const cbm_launch *l)
{
    return l->n_in == 1 || l->in[1].dtype == CBM_F32 || l->in[1].dtype == CBM_F64;
}

/* ---- histogram ---- */

/* The last bin whose lower edge is not above x, which lies between the outer edges: found near where equal bins would have
   it, or by halving. */
#define BIN(type_)                                                                                                     \
    const type_ *edges = c->l->in[1].data, *values = c->l->in[0].data;                                                 \
    for (int64_t p = begin; p < end; p++)                                                                              \
        for (int64_t i = p * c->count / c->parts; i < (p + 1) * c->count / c->parts; i++) {                            \
            const type_ x = values[i];                                                                                 \
            if (!(x >= edges[0] && x <= edges[c->bins]))                                                               \
                continue;                                                                                              \
            int64_t low = 0, high = c->bins;                                                                           \
            if (c->equal) {                                                                                            \
                low = (int64_t)(((double)x - (double)edges[0]) * c->scale);                                            \
                low = low < 0 ? 0 : low > c->bins - 1 ? c->bins - 1 : low;                                             \
                while (low > 0 && x < edges[low])                                                                      \
                    low--;                                                                                             \
                while (low < c->bins - 1 && x >= edges[low + 1])                                                       \
                    low++;                                                                                             \
            } else                                                                                                     \
                while (high - low > 1) {                                                                               \
                    const int64_t middle = (low + high) / 2;                                                           \
                    if (x >= edges[middle])                                                                            \
                        low = middle;                                                                                  \
                    else                                                                                               \
                        high = middle;                                                                                 \
                }                                                                                                      \
            count_one(c, p, low, i);                                                                                   \
        }

static void histogram_parts(void *user, int64_t begin, int64_t end)
{
    const counting *c = user;
    if (c->l->in[0].dtype == CBM_F32) {
        BIN(float)
    } else {
        BIN(double)
    }
}

static double edge_at(const cbm_buffer *edges, int64_t i)
{
    return edges->dtype == CBM_F32 ? (double)((const float *)edges->data)[i] : ((const double *)edges->data)[i];
}

static cbm_status histogram(const cbm_launch *l) /* x, edges[, weights] -> y */
{
    const cbm_buffer *edges = &l->in[1];
    counting c = counting_of(l, 2);
    const double first = edge_at(edges, 0), width = (edge_at(edges, c.bins) - first) / (double)c.bins;
    c.scale = 1 / width;
    c.equal = isfinite(c.scale) && isfinite(width);
    for (int64_t i = 1; i <= c.bins; i++) {
        if (!(edge_at(edges, i) >= edge_at(edges, i - 1))) {
            if (l->message)
                snprintf(l->message, 256, "edge %" PRId64 " is not at least edge %" PRId64, i, i - 1);
            return CBM_ERROR_RANGE;
        }
        c.equal = c.equal && fabs(edge_at(edges, i) - first - (double)i * width) <= width;
    }
    count_all(&c, histogram_parts);
    return CBM_OK;
}

static bool histogram_supports(const cbm_launch *l)
{
    return l->in[0].dtype != CBM_BF16;
}

const cbm_kernel cbm_cpu_bins[] = {
    { .op = "searchsorted", .supports = search_supports, .launch = searchsorted },
    { .op = "bincount", .supports = bincount_supports, .prepare = prepare_counts, .launch = bincount },
    { .op = "histogram", .supports = histogram_supports, .prepare = prepare_counts, .launch = histogram },
    { .op = NULL },
};
