/* channels.c: batch normalisation and pooling over planes, and over places whose channels lie side by side. Rests on
   check.h. */
#include "check.h"

/* ---- norms: variant which, then what follows (forward) or the gate (backward) ---- */

enum { FORWARD, FORWARD_RUN, SUMS, SUMS_RUN, BACKWARD, BACKWARD_RUN };
enum { X, G, ABOUT, SCALE, SHIFT, GAIN, SLOPE, REST };
static const char *const norm_names[] = { "norm forward",   "norm forward, run", "norm sums",
                                          "norm sums, run", "norm backward",     "norm backward, run" };

/* Numbers of few bits, so that every level finds the same side of the gate. */
static void coarse(check_case *c, int i, int64_t count, double shift)
{
    float *p = check_in(c, i, CBM_F32, count);
    for (int64_t k = 0; k < count; k++)
        p[k] = (float)((double)check_int(c, -200, 200) / 64 + shift);
}

static void make_norm(check_case *c)
{
    const int which = c->kernel->variant[0];
    const bool run = which == FORWARD_RUN || which == SUMS_RUN || which == BACKWARD_RUN;
    cbm_norm *p = &c->u.norm;
    p->lanes = run ? 1 : c->bench ? 16 : check_int(c, 1, check_uniform(c) < 0.3 ? 300 : 40);
    p->places = c->bench ? (run ? 4096 : 256) : check_int(c, 1, run ? 9000 : 700);
    p->step = run ? 1 : p->lanes + (!c->bench && check_uniform(c) < 0.3 ? check_int(c, 0, 20) : 0);
    const int64_t count = (p->places - 1) * p->step + p->lanes;
    coarse(c, X, count, 0);
    coarse(c, G, count, 0);
    coarse(c, ABOUT, p->lanes, 0);
    coarse(c, SHIFT, p->lanes, 1.0 / 128); /* no value is at the kink */
    for (int i = GAIN; i <= REST; i++)
        coarse(c, i, p->lanes, 0);
    float *scale = check_in(c, SCALE, CBM_F32, p->lanes);
    for (int64_t k = 0; k < p->lanes; k++)
        scale[k] = (float)ldexp(check_uniform(c) < 0.5 ? 1 : -1, (int)check_int(c, -1, 1));
    const float **const vectors[] = { &p->about, &p->scale, &p->shift, &p->gain, &p->slope, &p->rest };
    for (int i = 0; i < 6; i++)
        *vectors[i] = c->in[ABOUT + i].data;
    c->post = (cbm_post){ .add = c->kernel->variant[1] & 1, .relu = c->kernel->variant[1] & 2 };
    c->post.upper = c->post.relu && !c->bench && check_uniform(c) < 0.5 ? 1.5f : 0;
    p->after = which == FORWARD || which == FORWARD_RUN ? &c->post : NULL;
    p->gate = which >= SUMS && c->kernel->variant[1];
    c->bytes = 4 * (double)p->places * (double)p->lanes * (which >= BACKWARD ? 3 : 2);
    if (which == SUMS || which == SUMS_RUN) {
        const int64_t results = p->lanes * 2;
        check_out(c, 0, CBM_F64, results, 2e-6, 2e-6 * (double)(p->places + 100) * 10);
        double *start = check_start(c, 0);
        for (int64_t k = 0; k < results; k++)
            start[k] = 3;
    } else {
        check_out(c, 0, CBM_F32, count, 1e-6, 1e-5);
        float *start = check_start(c, 0);
        for (int64_t k = 0; k < count; k++)
            start[k] = (float)(k % 7) - 3;
    }
    snprintf(c->shape, sizeof c->shape, "%d places of %d, step %d%s%s", (int)p->places, (int)p->lanes, (int)p->step,
             c->post.add && p->after ? ", add" : "", (c->post.relu && p->after) || p->gate ? ", relu" : "");
}

static void reference_norm(check_case *c)
{
    const cbm_norm *p = &c->u.norm;
    const float *x = c->in[X].data, *g = c->in[G].data;
    float *r = c->out[0].data;
    double *d = c->out[0].data;
    for (int64_t l = 0; l < p->lanes; l++)
        for (int64_t i = 0; i < p->places; i++) {
            const int64_t at = i * p->step + l;
            const double centred = (double)x[at] - (double)p->about[l];
            double y = centred * (double)p->scale[l] + (double)p->shift[l], e = (double)g[at];
            if (p->gate && y <= 0)
                e = 0;
            switch (c->kernel->variant[0]) {
            case FORWARD:
            case FORWARD_RUN:
                y += c->post.add ? (double)r[at] : 0;
                y = c->post.relu && y < 0 ? 0 : y;
                r[at] = (float)(c->post.upper > 0 && y > (double)c->post.upper ? (double)c->post.upper : y);
                break;
            case SUMS:
            case SUMS_RUN:
                d[l] += e;
                d[p->lanes + l] += e * centred;
                break;
            case BACKWARD:
            case BACKWARD_RUN:
                r[at] = (float)((double)p->gain[l] * e + (double)p->slope[l] * centred + (double)p->rest[l]);
                break;
            default: break;
            }
        }
}

static void run_norm(const cbm_simd *s, check_case *c)
{
    const cbm_norm *p = &c->u.norm;
    const float *x = c->in[X].data, *g = c->in[G].data;
    float *r = c->out[0].data;
    double *d = c->out[0].data;
    switch (c->kernel->variant[0]) {
    case FORWARD: s->norm_forward(r, x, p); break;
    case FORWARD_RUN: s->norm_forward_run(r, x, p); break;
    case SUMS: s->norm_sums(d, x, g, p); break;
    case SUMS_RUN: s->norm_sums_run(d, x, g, p); break;
    case BACKWARD: s->norm_backward(r, x, g, p); break;
    default: s->norm_backward_run(r, x, g, p); break;
    }
}

/* ---- pools: variant which, then 0 for one channel, 1 for several, and 2 for windows of more than 256 places ---- */

enum { MAX, MAX_BACKWARD, AVG, AVG_BACKWARD };
enum { PLANE, SEVERAL, WIDE };
static const char *const pool_names[] = { "max pool", "max pool backward", "average pool", "average pool backward" };

static void draw_windows(check_case *c, cbm_pool_plane *p)
{
    const int kind = c->bench ? 0 : (int)check_int(c, 0, 2);
    const int64_t sizes[2] = { c->bench ? 32 : check_int(c, 1, 24), c->bench ? 32 : check_int(c, 1, 40) };
    const int64_t more = c->kernel->variant[1] == WIDE ? 17 : 0;
    const bool up = !c->bench && check_int(c, 0, 3) == 0; /* windows may reach over the end */
    for (int d = 0; d < 2; d++) {
        const int64_t size = sizes[d] + more;
        p->kernel[d] = kind == 0 && !more && size > 1 ? 2 : more + check_int(c, 1, size - more < 5 ? size - more : 5);
        p->stride[d] = kind == 0 ? p->kernel[d] : check_int(c, 1, 4);
        p->padding[d] = kind == 0 ? 0 : check_int(c, 0, p->kernel[d] / 2);
        *(d == 0 ? &p->height : &p->width) = size;
        int64_t *out = d == 0 ? &p->out_height : &p->out_width;
        *out = (size + 2 * p->padding[d] - p->kernel[d] + (up ? p->stride[d] - 1 : 0)) / p->stride[d] + 1;
        if (up && (*out - 1) * p->stride[d] >= size + p->padding[d])
            --*out;
    }
}

static void make_pool(check_case *c)
{
    const int which = c->kernel->variant[0];
    const bool backward = which == MAX_BACKWARD || which == AVG_BACKWARD, several = c->kernel->variant[1] == SEVERAL;
    cbm_pool_plane *p = &c->u.pool;
    draw_windows(c, p);
    p->channels = several ? (c->bench ? 16 : check_int(c, 1, 40)) : 1;
    p->exclude_pad = check_int(c, 0, 1);
    p->divisor = which >= AVG && !c->bench && check_int(c, 0, 3) == 0 ? 3.0f : 0.0f;
    const int64_t in = p->height * p->width * p->channels, out = p->out_height * p->out_width * p->channels;
    const int64_t rows = backward ? p->height : p->out_height;
    p->first = several && !c->bench ? check_int(c, 0, rows - 1) : 0;
    p->last = several && !c->bench ? check_int(c, p->first + 1, rows) : rows;
    float *x = check_floats(c, 0, backward ? out : in, -2, 2);
    for (int64_t k = 0; which == MAX && k < in; k++) {
        x[k] = floorf(2 * x[k]); /* many equal ones */
        x[k] = !c->bench && check_uniform(c) < 0.02 ? NAN : x[k];
    }
    p->x = backward ? NULL : x;
    float *r = check_out(c, 0, CBM_F32, backward ? in : out, 1e-6, which == MAX ? 0 : 1e-6);
    memset(check_start(c, 0), 0, (size_t)c->out[0].count * sizeof *r);
    p->y = backward ? NULL : r;
    const cbm_dtype dtype = c->kernel->variant[1] == WIDE ? CBM_I64 : CBM_U8;
    void *places = NULL;
    if (which == MAX) {
        places = check_out(c, 1, dtype, out, 0, 0);
        memset(check_start(c, 1), 0, (size_t)out * cbm_dtype_size(dtype));
    } else if (which == MAX_BACKWARD) {
        places = check_in(c, 1, dtype, out);
        for (int64_t k = 0; k < out; k++) {
            const int64_t place = check_int(c, 0, p->kernel[0] * p->kernel[1]); /* the last is outside */
            if (dtype == CBM_U8)
                ((uint8_t *)places)[k] = (uint8_t)place;
            else
                ((int64_t *)places)[k] = place;
        }
    }
    p->place = dtype == CBM_U8 ? places : NULL;
    p->wide_place = dtype == CBM_U8 ? NULL : places;
    c->bytes = 4 * (double)(in + out) + (places ? (double)out * (double)cbm_dtype_size(dtype) : 0);
    snprintf(c->shape, sizeof c->shape, "%d x %d x %d, %d x %d by %d %d, pad %d %d, rows %d-%d", (int)p->height,
             (int)p->width, (int)p->channels, (int)p->kernel[0], (int)p->kernel[1], (int)p->stride[0],
             (int)p->stride[1], (int)p->padding[0], (int)p->padding[1], (int)p->first, (int)p->last);
}

/* One window of one channel, tap by tap. */
static void reference_window(check_case *c, int64_t h, int64_t w, int64_t channel)
{
    const cbm_pool_plane *p = &c->u.pool;
    const int which = c->kernel->variant[0];
    const int64_t to = (h * p->out_width + w) * p->channels + channel;
    const float *x = c->in[0].data;
    float *r = c->out[0].data;
    double sum = 0, count = (double)p->divisor, best = NAN;
    int64_t best_place = -1;
    for (int taps = 0; taps < 2; taps++) /* the second time with the count known */
        for (int64_t i = 0; i < p->kernel[0]; i++)
            for (int64_t j = 0; j < p->kernel[1]; j++) {
                const int64_t row = h * p->stride[0] - p->padding[0] + i, column = w * p->stride[1] - p->padding[1] + j;
                const int64_t from = (row * p->width + column) * p->channels + channel, place = i * p->kernel[1] + j;
                const bool padded = row < p->height + p->padding[0] && column < p->width + p->padding[1];
                const bool inside = row >= 0 && row < p->height && column >= 0 && column < p->width;
                if (taps == 0) {
                    count += p->divisor > 0 ? 0 : p->exclude_pad ? inside : padded;
                    continue;
                }
                if (!inside)
                    continue;
                const int64_t chosen = which != MAX_BACKWARD ? 0 : p->place ? p->place[to] : p->wide_place[to];
                if (which == AVG_BACKWARD && row >= p->first && row < p->last)
                    r[from] += (float)((double)x[to] / count);
                if (which == MAX_BACKWARD && chosen == place && row >= p->first && row < p->last)
                    r[from] += x[to];
                if (which == AVG)
                    sum += (double)x[from];
                if (which == MAX && (best_place < 0 || (double)x[from] > best || (isnan(x[from]) && !isnan(best)))) {
                    best = (double)x[from];
                    best_place = place;
                }
            }
    if (which == AVG)
        r[to] = (float)(sum / count);
    if (which == MAX) {
        r[to] = (float)best;
        if (p->place)
            p->place[to] = (uint8_t)best_place;
        else
            p->wide_place[to] = best_place;
    }
}

static void whole_plane(check_case *c)
{
    if (c->kernel->variant[1] != SEVERAL) {
        c->u.pool.first = 0;
        c->u.pool.last =
            c->kernel->variant[0] == MAX || c->kernel->variant[0] == AVG ? c->u.pool.out_height : c->u.pool.height;
    }
}

static void reference_pool(check_case *c)
{
    const cbm_pool_plane *p = &c->u.pool;
    const bool backward = c->kernel->variant[0] == MAX_BACKWARD || c->kernel->variant[0] == AVG_BACKWARD;
    whole_plane(c);
    for (int64_t h = backward ? 0 : p->first; h < (backward ? p->out_height : p->last); h++)
        for (int64_t w = 0; w < p->out_width; w++)
            for (int64_t channel = 0; channel < p->channels; channel++)
                reference_window(c, h, w, channel);
}

static void run_pool(const cbm_simd *s, check_case *c)
{
    const cbm_pool_plane *p = &c->u.pool;
    const bool several = c->kernel->variant[1] == SEVERAL;
    switch (c->kernel->variant[0]) {
    case MAX: (several ? s->max_pool_channels : s->max_pool)(p); break;
    case AVG: (several ? s->avg_pool_channels : s->avg_pool)(p); break;
    case MAX_BACKWARD:
        (several ? s->max_pool_backward_channels : s->max_pool_backward)(p, c->in[0].data, c->out[0].data);
        break;
    default: (several ? s->avg_pool_backward_channels : s->avg_pool_backward)(p, c->in[0].data, c->out[0].data); break;
    }
}

void check_channels(void)
{
    for (int i = 0; i <= BACKWARD_RUN; i++) {
        const int variants = i <= FORWARD_RUN ? 4 : 2;
        for (int v = 0; v < variants; v++) {
            static const char *const forward[] = { "", ", add", ", relu", ", add, relu" };
            check_kernel k = { .make = make_norm, .reference = reference_norm, .run = run_norm };
            k.variant[0] = i;
            k.variant[1] = v;
            snprintf(k.name, sizeof k.name, "%s%s", norm_names[i], i <= FORWARD_RUN ? forward[v] : v ? ", relu" : "");
            check_add(k);
        }
    }
    for (int i = MAX; i <= AVG_BACKWARD; i++)
        for (int v = PLANE; v <= (i <= MAX_BACKWARD ? WIDE : SEVERAL); v++) {
            static const char *const forms[] = { "", ", channels", ", large windows" };
            check_kernel k = { .make = make_pool, .reference = reference_pool, .run = run_pool };
            k.variant[0] = i;
            k.variant[1] = v;
            snprintf(k.name, sizeof k.name, "%s%s", pool_names[i], forms[v]);
            check_add(k);
        }
}
