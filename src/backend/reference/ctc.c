/* ctc.c: connectionist temporal classification (Graves et al. 2006): the forward-backward algorithm on logarithms, in
   double whatever the operands hold, and its derivative along a direction. Samples go to threads, so that the fast backend
   uses these kernels too. Rests on reference.h. */
#include "backend/reference/reference.h"
#include "base/base.h"
#include "op/attributes.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* A target of length L passes 2 L + 1 states: its labels, and a blank before, between and behind them. */
typedef struct sample {
    int64_t frames, states, blank;
    int64_t *labels; /* of each state */
    double *emit,
        *emit_along; /* (frames, states): the log-probability of each state's label, and the direction there */
    double *before, *before_along; /* the same: of all ways up to a state, its own emission included */
    double *behind, *behind_along; /* (2, states): of all ways from a state on, without its own */
    double *sums;                  /* (classes): over the states of a class; zeros between frames */
} sample;

typedef struct job {
    const cbm_launch *launch;
    const cbm_buffer *along; /* the direction; NULL: no derivative */
    cbm_buffer *loss, *result;
    int64_t frames, batch, classes, longest, parts;
    size_t room; /* of a part */
} job;

/* ---- whole numbers from i64 and i32 ---- */
static int64_t whole(const cbm_buffer *b, int64_t i)
{
    return cbm_number_load(b->data, b->dtype, i).i;
}

static cbm_status outside(const cbm_launch *l, const char *what, int64_t value, int64_t position, int64_t most)
{
    if (l->message)
        snprintf(l->message, 256, "%s %" PRId64 " of sample %" PRId64 " is outside 0..%" PRId64, what, value, position,
                 most);
    return CBM_ERROR_RANGE;
}

static cbm_status check(const job *j)
{
    const cbm_launch *l = j->launch;
    const int64_t blank = ((const cbm_ctc_attributes *)l->attributes)->blank;
    for (int64_t n = 0; n < j->batch; n++) {
        const int64_t frames = whole(&l->in[2], n), length = whole(&l->in[3], n);
        if (frames < 0 || frames > j->frames)
            return outside(l, "input length", frames, n, j->frames);
        if (length < 0 || length > j->longest)
            return outside(l, "target length", length, n, j->longest);
        for (int64_t i = 0; i < length; i++) {
            const int64_t label = whole(&l->in[1], n * j->longest + i);
            if (label < 0 || label >= j->classes)
                return outside(l, "label", label, n, j->classes - 1);
            if (label != blank)
                continue;
            if (l->message)
                snprintf(l->message, 256, "label %" PRId64 " of sample %" PRId64 " is the blank", label, n);
            return CBM_ERROR_RANGE;
        }
    }
    return CBM_OK;
}

/* ---- one sample ---- */

/* e^(x - most), where most often x is the most, or never happens. */
static double relative(double x, double most)
{
    return x == most ? 1 : x == (double)-INFINITY ? 0 : exp(x - most);
}

/* log(e^a[0] + e^a[1] + e^a[2]), and its derivative along d in *along (NULL: not wanted). */
static double log_sum(const double a[3], const double d[3], double *along)
{
    double most = a[0] > a[1] ? a[0] : a[1];
    most = a[2] > most ? a[2] : most;
    if (along)
        *along = 0;
    if (isinf(most))
        return most > 0 ? most : a[0] + a[1] + a[2]; /* -inf, or NaN */
    const double e[3] = { relative(a[0], most), relative(a[1], most), relative(a[2], most) };
    const double sum = e[0] + e[1] + e[2];
    if (along)
        *along = (e[0] * d[0] + e[1] * d[1] + e[2] * d[2]) / sum;
    return sum == 1 ? most : most + log(sum);
}

/* Two states further is allowed over a blank between two different labels. */
static bool may_skip_to(const sample *s, int64_t state)
{
    return state >= 2 && s->labels[state] != s->blank && s->labels[state] != s->labels[state - 2];
}

/* States that can be reached by frame t, and from which the end can be reached after it. */
static int64_t first_state(const sample *s, int64_t t)
{
    const int64_t first = s->states - 2 * (s->frames - t);
    return first > 0 ? first : 0;
}

static int64_t last_state(const sample *s, int64_t t)
{
    return 2 * t + 1 < s->states - 1 ? 2 * t + 1 : s->states - 1;
}

static void clear(double *values, double *along, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        values[i] = (double)-INFINITY;
        along[i] = 0;
    }
}

static void forward(sample *s, bool derive)
{
    clear(s->before, s->before_along, s->frames * s->states);
    for (int64_t t = 0; t < s->frames; t++)
        for (int64_t i = first_state(s, t); i <= last_state(s, t); i++) {
            const int64_t here = t * s->states + i, from = here - s->states;
            double a[3] = { t == 0 ? 0 : s->before[from], (double)-INFINITY, (double)-INFINITY }, d[3] = { 0, 0, 0 };
            d[0] = t == 0 ? 0 : s->before_along[from];
            for (int64_t k = 1; t > 0 && k <= 2 && k <= i; k++)
                if (k == 1 || may_skip_to(s, i)) {
                    a[k] = s->before[from - k];
                    d[k] = s->before_along[from - k];
                }
            s->before[here] = log_sum(a, d, derive ? &s->before_along[here] : NULL) + s->emit[here];
            s->before_along[here] += derive ? s->emit_along[here] : 0;
        }
}

/* Row t of behind from row t + 1. */
static void backward(sample *s, int64_t t, bool derive)
{
    double *row = s->behind + t % 2 * s->states, *row_along = s->behind_along + t % 2 * s->states;
    const double *next = s->behind + (t + 1) % 2 * s->states, *next_along = s->behind_along + (t + 1) % 2 * s->states;
    clear(row, row_along, s->states);
    for (int64_t i = first_state(s, t); i <= last_state(s, t); i++) {
        double a[3] = { (double)-INFINITY, (double)-INFINITY, (double)-INFINITY }, d[3] = { 0, 0, 0 };
        if (t == s->frames - 1) {
            row[i] = i >= s->states - 2 ? 0 : (double)-INFINITY;
            continue;
        }
        for (int64_t k = 0; k <= 2 && i + k < s->states; k++)
            if (k < 2 || may_skip_to(s, i + 2)) {
                a[k] = next[i + k] + s->emit[(t + 1) * s->states + i + k];
                d[k] = next_along[i + k] + s->emit_along[(t + 1) * s->states + i + k];
            }
        row[i] = log_sum(a, d, derive ? &row_along[i] : NULL);
    }
}

/* The log-probability of the target: all ways that end in the last label or the blank behind it. */
static double total(const sample *s, double *along)
{
    const double *last = s->before + (s->frames - 1) * s->states, *d = s->before_along + (s->frames - 1) * s->states;
    const int64_t n = s->states;
    const double a[3] = { last[n - 1], n > 1 ? last[n - 2] : (double)-INFINITY, (double)-INFINITY };
    return log_sum(a, (const double[3]){ d[n - 1], n > 1 ? d[n - 2] : 0, 0 }, along);
}

/* How probable it is that frame t is in state i; or the derivative of that. */
static double occupancy(const sample *s, int64_t t, int64_t i, double log_p, const double *log_p_along)
{
    const int64_t here = t * s->states + i, row = t % 2 * s->states + i;
    const double p = exp(s->before[here] + s->behind[row] - log_p);
    if (!log_p_along)
        return p;
    return p > 0 ? p * (s->before_along[here] + s->behind_along[row] - *log_p_along) : 0;
}

/* ---- operands of a sample ---- */

static double *numbers(char **room, int64_t count)
{
    double *p = (double *)(void *)*room;
    *room += (size_t)count * sizeof *p;
    return p;
}

static size_t room_of(const job *j)
{
    const size_t states = 2 * (size_t)j->longest + 1;
    return ((4 * (size_t)j->frames + 5) * states + (size_t)j->classes) * sizeof(double);
}

static sample open_sample(const job *j, int64_t n, char *room)
{
    const cbm_launch *l = j->launch;
    const int64_t length = whole(&l->in[3], n);
    sample s = { .frames = whole(&l->in[2], n), .states = 2 * length + 1 };
    const int64_t cells = s.frames * s.states;
    s.blank = ((const cbm_ctc_attributes *)l->attributes)->blank;
    s.emit = numbers(&room, cells);
    s.emit_along = numbers(&room, cells);
    s.before = numbers(&room, cells);
    s.before_along = numbers(&room, cells);
    s.behind = numbers(&room, 2 * s.states);
    s.behind_along = numbers(&room, 2 * s.states);
    s.labels = (int64_t *)(void *)numbers(&room, s.states);
    s.sums = numbers(&room, j->classes);
    memset(s.sums, 0, (size_t)j->classes * sizeof *s.sums);
    for (int64_t i = 0; i < s.states; i++)
        s.labels[i] = i % 2 ? whole(&l->in[1], n * j->longest + i / 2) : s.blank;
    for (int64_t t = 0; t < s.frames; t++)
        for (int64_t i = 0; i < s.states; i++) {
            const int64_t from = (t * j->batch + n) * j->classes + s.labels[i], to = t * s.states + i;
            s.emit[to] = cbm_number_load(l->in[0].data, l->in[0].dtype, from).f;
            s.emit_along[to] = j->along ? cbm_number_load(j->along->data, j->along->dtype, from).f : 0;
        }
    return s;
}

/* What each class has of frame t, summed over its states, into the result's row of zeros. */
static void store_frame(const job *j, const sample *s, int64_t t, double log_p, const double *log_p_along, void *row)
{
    for (int64_t i = first_state(s, t); i <= last_state(s, t); i++)
        s->sums[s->labels[i]] += occupancy(s, t, i, log_p, log_p_along);
    for (int64_t i = first_state(s, t); i <= last_state(s, t); i++)
        cbm_number_store(row, j->result->dtype, s->labels[i], (cbm_number){ .f = s->sums[s->labels[i]] });
    for (int64_t i = first_state(s, t); i <= last_state(s, t); i++)
        s->sums[s->labels[i]] = 0;
}

/* The loss of sample n, and what each frame's classes have of it. */
static void run_sample(const job *j, int64_t n, char *room)
{
    const cbm_ctc_attributes *a = j->launch->attributes;
    sample s = open_sample(j, n, room);
    double along = 0, log_p = s.states == 1 ? 0 : (double)-INFINITY; /* of no frames */
    const size_t row_bytes = (size_t)j->classes * cbm_dtype_size(j->result->dtype);
    char *result = j->result->data;
    for (int64_t t = 0; result && t < j->frames; t++)
        memset(result + (size_t)(t * j->batch + n) * row_bytes, 0, row_bytes);
    if (s.frames > 0) {
        forward(&s, j->along != NULL);
        log_p = total(&s, j->along ? &along : NULL);
    }
    const bool impossible = log_p == (double)-INFINITY;
    if (j->loss && j->loss->data)
        cbm_number_store(j->loss->data, j->loss->dtype, n,
                         (cbm_number){ .f = impossible && a->zero_infinity ? 0 : -log_p });
    for (int64_t t = s.frames - 1; result && !impossible && t >= 0; t--) {
        backward(&s, t, j->along != NULL);
        store_frame(j, &s, t, log_p, j->along ? &along : NULL, result + (size_t)(t * j->batch + n) * row_bytes);
    }
}

static void run_parts(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    for (int64_t p = begin; p < end; p++)
        for (int64_t n = j->batch * p / j->parts; n < j->batch * (p + 1) / j->parts; n++)
            run_sample(j, n, (char *)j->launch->workspace + (size_t)p * j->room);
}

/* ---- kernels ---- */

static job job_of(const cbm_launch *l, int64_t threads)
{
    const cbm_buffer *x = &l->in[0];
    job j = { .launch = l, .frames = x->shape[0], .batch = x->shape[1], .classes = x->shape[2] };
    j.longest = l->in[1].shape[1];
    j.parts = j.batch < threads ? j.batch : threads;
    j.room = room_of(&j);
    return j;
}

static cbm_status prepare(cbm_prepare *p)
{
    const job j = job_of(p->launch, p->threads);
    p->workspace = (size_t)j.parts * j.room;
    return CBM_OK;
}

static cbm_status run(job *j)
{
    const cbm_status status = check(j);
    if (status == CBM_OK)
        cbm_parallel_for(j->parts, 1, j->launch->threads, run_parts, j);
    return status;
}

static cbm_status ctc_loss(const cbm_launch *l) /* log-probabilities, targets, their lengths -> loss, occupancy */
{
    job j = job_of(l, l->threads);
    j.loss = (cbm_buffer *)(uintptr_t)&l->out[0];
    j.result = (cbm_buffer *)(uintptr_t)&l->out[1];
    return run(&j);
}

static cbm_status ctc_occupancy_along(const cbm_launch *l) /* the same, direction -> derivative of occupancy */
{
    job j = job_of(l, l->threads);
    j.along = &l->in[4];
    j.result = (cbm_buffer *)(uintptr_t)&l->out[0];
    return run(&j);
}

const cbm_kernel cbm_reference_ctc[] = {
    { .op = "ctc_loss", .prepare = prepare, .launch = ctc_loss },
    { .op = "ctc_occupancy_along", .prepare = prepare, .launch = ctc_occupancy_along },
    { .op = NULL },
};
