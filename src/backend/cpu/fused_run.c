/* fused_run.c: runs a prepared fused pass: uniform values once, then tile after tile, shared out among threads. */
#include "backend/cpu/fused.h"
#include "base/bf16.h"

#include <string.h>

typedef struct run {
    const cbm_pass *pass;
    const cbm_fused_launch *launch;
    int64_t workers;
    uint64_t past; /* bit o: output o goes past the caches */
} run;

/* Outputs that lie in an operand's memory are in the caches already. */
static uint64_t past_caches(const cbm_pass *p, const cbm_fused_launch *l)
{
    uint64_t past = 0;
    for (size_t o = 0; o < p->n_out && o < 64; o++) {
        bool streams = p->streams[o] >= 0 && (uintptr_t)l->out[o].data % 64 == 0;
        for (size_t i = 0; i < l->n_in && streams; i++)
            streams = l->in[i].data != l->out[o].data;
        past |= (uint64_t)streams << o;
    }
    return past;
}

static run run_of(const cbm_fused_launch *l, int64_t workers)
{
    return (run){ l->state, l, workers > 1 ? workers : 1, past_caches(l->state, l) };
}

/* ---- uniform values ---- */

static double number_of(const cbm_pass_uniform *u, const cbm_fused_launch *l)
{
    return u->code == CBM_EXPR_FIELD ? l->parameters[u->arg].f : u->value;
}

static int64_t to_whole(double x, double low, double high)
{
    if (x != x)
        return 0;
    if (x <= low)
        return (int64_t)low;
    return x >= high ? (high >= 9.2e18 ? INT64_MAX : (int64_t)high) : (int64_t)x;
}

static void fill_32(char *to, const void *bits)
{
    for (int i = 0; i < CBM_TILE_GROUP; i++)
        memcpy(to + 4 * i, bits, 4);
}

static void fill_64(char *to, const void *bits)
{
    for (int i = 0; i < CBM_TILE_GROUP; i++)
        memcpy(to + 8 * i, bits, 8);
}

static void fill_number(char *to, cbm_dtype dtype, double v)
{
    const float f = dtype == CBM_BF16 ? cbm_bf16_widen(cbm_bf16_round((float)v)) : (float)v;
    int64_t whole;
    int32_t narrow;
    switch (dtype) {
    case CBM_BF16:
    case CBM_F32: fill_32(to, &f); return;
    case CBM_F64: fill_64(to, &v); return;
    case CBM_I64:
        whole = to_whole(v, -9223372036854775808.0, 9223372036854775808.0);
        fill_64(to, &whole);
        return;
    case CBM_I32: narrow = (int32_t)to_whole(v, -2147483648.0, 2147483647.0); break;
    case CBM_U8: narrow = (int32_t)to_whole(v, 0, 255); break;
    default: narrow = v != 0; break;
    }
    fill_32(to, &narrow);
}

static void fill_element(char *to, cbm_dtype dtype, const void *data)
{
    int32_t narrow;
    switch (dtype) {
    case CBM_BF16: narrow = (int32_t)((uint32_t) * (const uint16_t *)data << 16); break;
    case CBM_F32:
    case CBM_I32: fill_32(to, data); return;
    case CBM_F64:
    case CBM_I64: fill_64(to, data); return;
    case CBM_U8: narrow = *(const uint8_t *)data; break;
    default: narrow = *(const uint8_t *)data != 0; break;
    }
    fill_32(to, &narrow);
}

/* ---- fetching inputs that do not lie as a tile needs them ---- */

/* n elements stride apart, to lanes next to each other. */
static void fetch_row(const cbm_simd *simd, char *to, const char *from, cbm_dtype dtype, int64_t stride, int64_t n)
{
    const size_t size = cbm_dtype_size(dtype);
    if (size == 1) {
        const uint8_t *b = (const uint8_t *)from;
        int32_t *w = (int32_t *)(void *)to;
        if (stride == 1) {
            simd->widen(w, b, n, dtype == CBM_BOOL);
            return;
        }
        for (int64_t i = 0; i < n; i++)
            w[i] = dtype == CBM_BOOL ? b[i * stride] != 0 : b[i * stride];
        return;
    }
    if (dtype == CBM_BF16) {
        const uint16_t *x = (const uint16_t *)(const void *)from;
        float *r = (float *)(void *)to;
        if (stride == 1) {
            simd->widen_bf16(r, x, n);
            return;
        }
        for (int64_t i = 0; i < n; i++)
            r[i] = cbm_bf16_widen(x[i * stride]);
        return;
    }
    if (stride == 1) {
        memcpy(to, from, (size_t)n * size);
        return;
    }
    if (size == 4) {
        const uint32_t *x = (const uint32_t *)(const void *)from;
        uint32_t *r = (uint32_t *)(void *)to;
        if (stride == 0) {
            const uint32_t v = *x;
            for (int64_t i = 0; i < n; i++)
                r[i] = v;
            return;
        }
        for (int64_t i = 0; i < n; i++)
            r[i] = x[i * stride];
        return;
    }
    const uint64_t *x = (const uint64_t *)(const void *)from;
    uint64_t *r = (uint64_t *)(void *)to;
    for (int64_t i = 0; i < n; i++)
        r[i] = x[i * stride];
}

static size_t lane_size(cbm_dtype dtype)
{
    return dtype == CBM_F64 || dtype == CBM_I64 ? 8 : 4;
}

/* Copies the first `done` bytes on and on until there are n, twice as much each time. */
static void repeat(char *to, size_t done, size_t n)
{
    while (done < n) {
        const size_t more = done < n - done ? done : n - done;
        memcpy(to + done, to, more);
        done += more;
    }
}

/* A repeated row: once by fetch, then copies of what is there. */
static void fetch_period(const cbm_simd *simd, char *to, const char *data, const cbm_pass_input *in, int64_t first,
                         int64_t n)
{
    const size_t size = cbm_dtype_size(in->dtype), lane = lane_size(in->dtype);
    const int64_t phase = first % in->period;
    int64_t done = in->period - phase < n ? in->period - phase : n;
    fetch_row(simd, to, data + (size_t)phase * size, in->dtype, 1, done);
    if (done < n && phase > 0) {
        const int64_t rest = phase < n - done ? phase : n - done;
        fetch_row(simd, to + (size_t)done * lane, data, in->dtype, 1, rest);
        done += rest;
    }
    repeat(to, (size_t)done * lane, (size_t)n * lane);
}

/* Whole rows of the last axis, which lies across: `rows` of them, whose first elements follow each other. */
static void fetch_turned(const cbm_simd *simd, char *to, const char *from, const cbm_pass_input *in, int64_t rows)
{
    const int64_t length = in->shape[in->rank - 1], stride = in->stride[in->rank - 1];
    simd->transpose((uint32_t *)(void *)to, length, (const uint32_t *)(const void *)from, stride, length, rows);
}

/* Elements first, first + 1, ... of the pass. Returns where they are: to, or in the input itself. */
static char *fetch(const cbm_simd *simd, char *to, const cbm_pass_input *in, const char *data, int64_t first, int64_t n,
                   bool stay)
{
    const size_t size = cbm_dtype_size(in->dtype), lane = lane_size(in->dtype);
    if (in->contiguous) {
        fetch_row(simd, to, data + (size_t)first * size, in->dtype, 1, n);
        return to;
    }
    const int64_t last = in->rank - 1, length = in->shape[last], stride = in->stride[last];
    int64_t at[CBM_MAX_DIMS] = { 0 }, offset = 0, rest = first;
    for (int64_t d = last; d >= 0 && rest > 0; d--) {
        at[d] = d > 0 ? rest % in->shape[d] : rest;
        rest = d > 0 ? rest / in->shape[d] : 0;
        offset += at[d] * in->stride[d];
    }
    if (stay && stride == 1 && size == lane && at[last] + n <= length)
        return (char *)(uintptr_t)(data + offset * (int64_t)size);
    if (in->period > 0) {
        fetch_period(simd, to, data, in, first, n);
        return to;
    }
    int64_t done = 0;
    while (true) {
        int64_t row = length - at[last] < n - done ? length - at[last] : n - done;
        if (in->turned && at[last] == 0 && n - done >= length) {
            const int64_t across = in->shape[last - 1] - at[last - 1], whole = (n - done) / length;
            const int64_t rows = across < whole ? across : whole;
            fetch_turned(simd, to + (size_t)done * lane, data + offset * (int64_t)size, in, rows);
            offset += rows - 1;
            at[last - 1] += rows - 1;
            done += (rows - 1) * length;
            row = length;
        } else {
            fetch_row(simd, to + (size_t)done * lane, data + offset * (int64_t)size, in->dtype, stride, row);
        }
        done += row;
        if (done >= n)
            return to;
        offset += (row - 1) * stride;
        at[last] += row - 1;
        for (int64_t d = last; d >= 0; d--) {
            offset += in->stride[d];
            if (++at[d] < in->shape[d])
                break;
            offset -= in->stride[d] * in->shape[d];
            at[d] = 0;
        }
    }
}

/* ---- random numbers of the wide dtype ---- */

static void random_64(double *r, int64_t n, bool normal, uint64_t seed, uint64_t position, uint64_t first)
{
    for (int64_t i = 0; i < n; i++)
        r[i] = normal ? cbm_philox_normal(seed, position, first + (uint64_t)i)
                      : (double)cbm_philox_uniform(seed, position, first + (uint64_t)i);
}

static void draw(const run *r, const cbm_pass_step *s, char *to, int64_t first, int64_t n)
{
    const cbm_parameter *p = r->launch->parameters + s->arg;
    const bool normal = s->kind == CBM_STEP_NORMAL;
    if (r->pass->places[s->to].lane == CBM_LANE_F64)
        random_64((double *)(void *)to, n, normal, p[0].u, p[1].u, (uint64_t)first);
    else
        (normal ? r->pass->simd->normal : r->pass->simd->uniform)((float *)(void *)to, n, p[0].u, p[1].u,
                                                                  (uint64_t)first);
}

/* ---- results ---- */

static void store_to(const run *r, const cbm_pass_step *s, char *to, const char *from, int64_t n)
{
    const cbm_dtype dtype = r->pass->out_dtype[s->arg];
    const size_t size = cbm_dtype_size(dtype);
    if (size == 1) {
        const int32_t *x = (const int32_t *)(const void *)from;
        if (s->step[0])
            r->pass->simd->narrow((uint8_t *)to, x, n);
        else
            memset(to, *x, (size_t)n);
        return;
    }
    if (dtype == CBM_BF16 && s->step[0]) {
        r->pass->simd->narrow_bf16((uint16_t *)(void *)to, (const float *)(const void *)from, n);
        return;
    }
    if (s->step[0]) {
        if (to != from)
            memcpy(to, from, (size_t)n * size);
        return;
    }
    if (dtype == CBM_BF16) {
        const uint16_t y = cbm_bf16_round(*(const float *)(const void *)from);
        memcpy(to, &y, size);
    } else {
        memcpy(to, from, size);
    }
    repeat(to, size, (size_t)n * size);
}

static void store(const run *r, const cbm_pass_step *s, const char *from, char *scratch, int64_t first, int64_t n)
{
    const size_t size = cbm_dtype_size(r->pass->out_dtype[s->arg]), bytes = (size_t)n * size;
    char *to = (char *)r->launch->out[s->arg].data + (size_t)first * size;
    const bool past = (uint32_t)s->arg < 64 && (r->past >> s->arg & 1);
    if (!past || bytes % 64 != 0) {
        if (past || !s->past)
            store_to(r, s, to, from, n);
        return;
    }
    char *tile = scratch + r->pass->streams[s->arg];
    const bool whole = s->step[0] && size >= 4;
    if (!whole)
        store_to(r, s, tile, from, n);
    r->pass->simd->stream(to, whole ? from : tile, (int64_t)bytes);
}

/* ---- one tile ---- */

static void call(const cbm_pass_step *s, char *const *at, int64_t n)
{
    const cbm_tile_operand o[4] = { { at[s->from[0]], s->step[0] },
                                    { at[s->from[1]], s->step[1] },
                                    { at[s->from[2]], s->step[2] },
                                    { at[s->from[3]], s->step[3] } };
    s->fn(n, at[s->to], o);
}

/* n elements from first on; group is n rounded up to whole groups, which registers hold. */
static void run_steps(const run *r, char **at, char *scratch, int64_t first, int64_t n, bool fresh)
{
    const cbm_pass *p = r->pass;
    const int64_t group = (n + CBM_TILE_GROUP - 1) / CBM_TILE_GROUP * CBM_TILE_GROUP;
    for (size_t i = 0; i < p->n_steps; i++) {
        const cbm_pass_step *s = &p->steps[i];
        switch (s->kind) {
        case CBM_STEP_CALL: call(s, at, group); break;
        case CBM_STEP_LOAD:
            if (group != n)
                memset(scratch + p->places[s->to].offset, 0, CBM_TILE_UNIFORM);
            if (!s->hoisted || fresh)
                at[s->to] = fetch(p->simd, scratch + p->places[s->to].offset, &p->inputs[s->arg],
                                  r->launch->in[s->arg].data, first, n, group == n && !s->hoisted);
            break;
        case CBM_STEP_STORE: store(r, s, at[s->from[0]], scratch, first, n); break;
        case CBM_STEP_SUM: cbm_pass_add(r->launch, s->arg, at[s->from[0]], !s->step[0], first, n); break;
        default:
            if (group != n)
                memset(at[s->to], 0, CBM_TILE_UNIFORM);
            draw(r, s, at[s->to], first, n);
            break;
        }
    }
}

/* Inputs and outputs used as they lie, at this tile. */
static void aim(const run *r, char **at, char *scratch, int64_t first)
{
    for (size_t i = 0; i < r->pass->n_places; i++) {
        const cbm_pass_place *place = &r->pass->places[i];
        const int64_t size = place->lane == CBM_LANE_F64 || place->lane == CBM_LANE_I64 ? 8 : 4;
        if (place->kind == CBM_PLACE_INPUT)
            at[i] = (char *)r->launch->in[place->index].data + first * size;
        else if (place->kind == CBM_PLACE_OUTPUT && (uint32_t)place->index < 64 && (r->past >> place->index & 1))
            at[i] = scratch + place->offset;
        else if (place->kind == CBM_PLACE_OUTPUT)
            at[i] = (char *)r->launch->out[place->index].data + first * size;
    }
}

/* The last elements, fewer than a group: spare groups stand in for memory that ends here. */
static void run_ragged(const run *whole, char **at, char *scratch, int64_t first, int64_t n)
{
    run last = *whole;
    const run *r = &last;
    const cbm_pass *p = r->pass;
    last.past = 0;
    for (size_t i = 0; i < p->n_places; i++) {
        const cbm_pass_place *place = &p->places[i];
        const size_t size = place->lane == CBM_LANE_F64 || place->lane == CBM_LANE_I64 ? 8 : 4;
        if (place->kind != CBM_PLACE_INPUT && place->kind != CBM_PLACE_OUTPUT)
            continue;
        at[i] = scratch + place->offset;
        if (place->kind == CBM_PLACE_INPUT) {
            memset(at[i], 0, CBM_TILE_GROUP * size);
            memcpy(at[i], (const char *)r->launch->in[place->index].data + (size_t)first * size, (size_t)n * size);
        }
    }
    run_steps(r, at, scratch, first, n, true);
    for (size_t i = 0; i < p->n_places; i++) {
        const cbm_pass_place *place = &p->places[i];
        const size_t size = place->lane == CBM_LANE_F64 || place->lane == CBM_LANE_I64 ? 8 : 4;
        if (place->kind == CBM_PLACE_OUTPUT)
            memcpy((char *)r->launch->out[place->index].data + (size_t)first * size, at[i], (size_t)n * size);
    }
}

static void run_range(const run *r, char *scratch, int64_t begin, int64_t end)
{
    const cbm_pass *p = r->pass;
    enum { FEW = 96 };
    char *few[FEW];
    char *at_many[p->n_places > FEW ? p->n_places : 1];
    char **at = p->n_places > FEW ? at_many : few;
    for (size_t i = 0; i < p->n_places; i++) {
        const cbm_pass_place *place = &p->places[i];
        at[i] = place->kind == CBM_PLACE_UNIFORM ? p->uniform_memory + (size_t)place->index * CBM_TILE_UNIFORM
                                                 : scratch + place->offset;
    }
    const int64_t even = end - end % CBM_TILE_GROUP;
    bool fresh = true;
    for (int64_t first = begin; first < even; first += p->tile) {
        aim(r, at, scratch, first);
        run_steps(r, at, scratch, first, even - first < p->tile ? even - first : p->tile, fresh);
        fresh = false;
    }
    if (even < end)
        run_ragged(r, at, scratch, even, end - even);
}

static void run_workers(void *user, int64_t begin, int64_t end)
{
    const run *r = user;
    const cbm_pass *p = r->pass;
    char on_stack[CBM_PASS_STACK] __attribute__((aligned(64)));
    const int64_t unit = cbm_pass_unit(p), units = cbm_pass_units(p);
    for (int64_t w = begin; w < end; w++) {
        char *scratch = p->scratch_memory ? p->scratch_memory + (size_t)w * p->scratch : on_stack;
        const int64_t from = w * units / r->workers * unit, to = (w + 1) * units / r->workers * unit;
        run_range(r, scratch, from, to < p->count ? to : p->count);
    }
    if (r->past)
        p->simd->stream_end();
}

/* Uniform values of this run. */
static void begin_run(const cbm_fused_launch *launch)
{
    const cbm_pass *p = launch->state;
    for (size_t i = 0; i < p->n_uniforms; i++) {
        const cbm_pass_uniform *u = &p->uniforms[i];
        char *to = p->uniform_memory + i * CBM_TILE_UNIFORM;
        if (u->code == CBM_EXPR_INPUT)
            fill_element(to, p->inputs[u->arg].dtype, launch->in[u->arg].data);
        else if (u->code != CBM_EXPR_CODES)
            fill_number(to, u->dtype, number_of(u, launch));
    }
    for (size_t i = 0; i < p->n_once; i++) {
        const cbm_pass_step *s = &p->once[i];
        char *at[4];
        for (int k = 0; k < 4; k++) {
            const int32_t place = k < 3 ? s->from[k] : s->to;
            at[k] = p->uniform_memory + (size_t)p->places[place].index * CBM_TILE_UNIFORM;
        }
        const cbm_tile_operand o[3] = { { at[0], 1 }, { at[1], 1 }, { at[2], 1 } };
        s->fn(CBM_TILE_GROUP, at[3], o);
    }
}

void cbm_cpu_fused_run(const cbm_fused_launch *launch)
{
    const cbm_pass *p = launch->state;
    if (p->count <= 0)
        return;
    begin_run(launch);
    run r = run_of(launch, p->workers < launch->threads ? p->workers : launch->threads);
    cbm_parallel_for(r.workers, 1, r.workers, run_workers, &r);
    cbm_pass_join(launch);
}

/* ---- several passes as one ---- */

enum { TOGETHER = 64 }; /* passes that share one parallel loop */

typedef struct together {
    run runs[TOGETHER];
    int64_t ends[TOGETHER]; /* tiles of all passes up to and with this one */
    int count;
    int64_t workers;
} together;

static void run_together(void *user, int64_t begin, int64_t end)
{
    const together *t = user;
    char scratch[CBM_PASS_STACK] __attribute__((aligned(64)));
    const int64_t tiles = t->ends[t->count - 1];
    for (int64_t w = begin; w < end; w++) {
        const int64_t from = w * tiles / t->workers, to = (w + 1) * tiles / t->workers;
        for (int i = 0; i < t->count; i++) {
            const cbm_pass *p = t->runs[i].pass;
            const int64_t start = i > 0 ? t->ends[i - 1] : 0;
            const int64_t first = from > start ? from : start, last = to < t->ends[i] ? to : t->ends[i];
            const int64_t stop = (last - start) * p->tile;
            if (first < last)
                run_range(&t->runs[i], scratch, (first - start) * p->tile, stop < p->count ? stop : p->count);
            if (first < last && t->runs[i].past)
                p->simd->stream_end();
        }
    }
}

static void finish_together(together *t, int64_t elements, int64_t threads)
{
    t->workers = elements > CBM_CPU_GRAIN ? threads : 1;
    if (t->count > 0)
        cbm_parallel_for(t->workers, 1, t->workers, run_together, t);
    t->count = 0;
}

void cbm_cpu_fused_run_all(const cbm_fused_launch *const *launches, size_t count)
{
    together t = { .count = 0 };
    int64_t elements = 0;
    for (size_t i = 0; i < count; i++) {
        const cbm_pass *p = launches[i]->state;
        if (p->count <= 0)
            continue;
        if (p->scratch_memory || p->part) { /* its registers and sums are counted out for its own workers */
            cbm_cpu_fused_run(launches[i]);
            continue;
        }
        begin_run(launches[i]);
        t.runs[t.count] = run_of(launches[i], 1);
        t.ends[t.count] = (t.count > 0 ? t.ends[t.count - 1] : 0) + (p->count + p->tile - 1) / p->tile;
        elements += p->count;
        if (++t.count == TOGETHER || i + 1 == count) {
            finish_together(&t, elements, launches[i]->threads);
            elements = 0;
        }
    }
    if (t.count > 0)
        finish_together(&t, elements, launches[0]->threads);
}
