/* fused.c: prepares fused passes: gives every value a place (a register, an operand's own memory, or a single number),
   picks the tile functions, and orders the steps. fused_run.c runs what is prepared here. */
#include "backend/cpu/fused_make.h"

#include <stdlib.h>
#include <string.h>

/* Elements narrower than their lanes: they are widened when fetched and narrowed when stored. */
static bool is_narrow(cbm_dtype dtype)
{
    return dtype == CBM_U8 || dtype == CBM_BOOL || dtype == CBM_BF16;
}

/* ---- inputs: as few axes as describe them ---- */

static void describe_input(const cbm_buffer *b, cbm_pass_input *in)
{
    in->dtype = b->dtype;
    for (int64_t d = 0; d < b->rank; d++) {
        if (b->shape[d] == 1)
            continue;
        const int64_t last = in->rank - 1;
        if (in->rank > 0 && in->stride[last] == b->stride[d] * b->shape[d]) {
            in->shape[last] *= b->shape[d];
            in->stride[last] = b->stride[d];
            continue;
        }
        in->shape[in->rank] = b->shape[d];
        in->stride[in->rank++] = b->stride[d];
    }
    in->uniform = in->rank == 0 || (in->rank == 1 && in->stride[0] == 0);
    in->contiguous = in->rank == 1 && in->stride[0] == 1;
    if (in->rank == 2 && in->stride[0] == 0 && in->stride[1] == 1)
        in->period = in->shape[1];
    const int64_t last = in->rank - 1;
    in->turned = in->rank >= 2 && in->stride[last - 1] == 1 && in->stride[last] > 1 && in->shape[last] >= 4 &&
                 cbm_dtype_size(in->dtype) == 4;
}

/* ---- values: other names, uniform ones, last uses ---- */

/* A cast that changes no bits of a register, or bits that storing changes anyway. */
static bool is_rename(const maker *m, int32_t i)
{
    const cbm_fused_instruction *c = code_at(m, i);
    if (c->code != CBM_EXPR_CAST)
        return false;
    const cbm_dtype from = (cbm_dtype)code_at(m, c->x)->dtype, to = (cbm_dtype)c->dtype;
    if (from == to || (from == CBM_BF16 && to == CBM_F32) || (from == CBM_F32 && to == CBM_BF16 && !m->values[i].read))
        return true;
    return cbm_lane_of(from) == CBM_LANE_I32 && (to == CBM_I32 || (to == CBM_U8 && from == CBM_BOOL));
}

static void find_roots(maker *m)
{
    for (int32_t i = 0; i < m->length; i++)
        for (int32_t k = 0; k < cbm_expr_arguments(code_at(m, i)->code); k++)
            m->values[argument(code_at(m, i), k)].read = true;
    for (int32_t i = 0; i < m->length; i++) {
        const cbm_fused_instruction *c = code_at(m, i);
        value *v = &m->values[i];
        *v = (value){ .root = i, .last_use = -1, .place = -1, .read = v->read, .into = -1, .absorbs = -1 };
        if (is_rename(m, i)) {
            v->root = m->values[c->x].root;
        } else if (c->code == CBM_EXPR_INPUT) {
            for (int32_t j = 0; j < i && v->root == i; j++)
                if (code_at(m, j)->code == CBM_EXPR_INPUT && code_at(m, j)->arg == c->arg)
                    v->root = j;
            v->uniform = m->pass->inputs[c->arg].uniform;
        } else if (c->code == CBM_EXPR_NUMBER || c->code == CBM_EXPR_FIELD) {
            v->uniform = true;
        } else if (c->code != CBM_EXPR_UNIFORM && c->code != CBM_EXPR_NORMAL) {
            v->uniform = true;
            for (int32_t k = 0; k < cbm_expr_arguments(c->code); k++)
                v->uniform = v->uniform && m->values[m->values[argument(c, k)].root].uniform;
        }
        if (v->root != i)
            v->uniform = m->values[v->root].uniform;
    }
}

static void find_last_uses(maker *m)
{
    for (size_t o = 0; o < m->launch->n_out; o++) {
        value *v = &m->values[m->values[m->fused->outputs[o].place].root];
        v->needed = true;
        v->reads++;
        v->last_use = m->length;
    }
    for (int32_t i = m->length - 1; i >= 0; i--) {
        if (!m->values[i].needed)
            continue;
        const cbm_fused_instruction *c = code_at(m, i);
        for (int32_t k = 0; k < cbm_expr_arguments(c->code); k++) {
            value *v = &m->values[m->values[argument(c, k)].root];
            v->needed = true;
            v->reads++;
            if (v->last_use < i)
                v->last_use = i;
        }
    }
}

/* Whether an instruction after i reads, element by element, an input of this dtype: an output of the same dtype may be
   that input's memory and must not be written before. */
static bool read_after(const maker *m, int32_t i, cbm_dtype dtype)
{
    for (int32_t j = i + 1; j < m->length; j++) {
        int32_t operands[4], half;
        if (!m->values[j].needed)
            continue;
        for (int32_t k = cbm_pass_operands(m, j, operands, &half) - 1; k >= 0; k--) {
            const int32_t root = operands[k];
            if (code_at(m, root)->code == CBM_EXPR_INPUT && !m->values[root].uniform &&
                m->launch->in[code_at(m, root)->arg].dtype == dtype)
                return true;
        }
    }
    return false;
}

static void find_direct_outputs(maker *m)
{
    for (size_t o = 0; o < m->launch->n_out; o++) {
        m->direct[o] = -1;
        if (m->pass->sums[o].results)
            continue;
        const cbm_dtype dtype = m->launch->out[o].dtype;
        const int32_t root = m->values[m->fused->outputs[o].place].root;
        if (is_narrow(dtype) || m->values[root].uniform || code_at(m, root)->code == CBM_EXPR_INPUT)
            continue;
        bool taken = false;
        for (size_t p = 0; p < o; p++)
            taken = taken || m->direct[p] == root;
        if (!taken && !read_after(m, root, dtype))
            m->direct[o] = root;
    }
}

/* ---- places ---- */

static int32_t new_place(maker *m, cbm_place_kind kind, int32_t index, cbm_lane lane)
{
    m->pass->places[m->pass->n_places] = (cbm_pass_place){ .kind = kind, .index = index, .lane = lane };
    return (int32_t)m->pass->n_places++;
}

static int wide(cbm_lane lane)
{
    return lane == CBM_LANE_F64 || lane == CBM_LANE_I64;
}

static int32_t take_register(maker *m, cbm_lane lane)
{
    const int w = wide(lane);
    const int32_t number = m->n_free[w] > 0 ? m->free_registers[w][--m->n_free[w]] : m->n_registers[w]++;
    return new_place(m, CBM_PLACE_REGISTER, number, lane);
}

static void give_register(maker *m, int32_t place)
{
    const cbm_pass_place *p = &m->pass->places[place];
    if (p->kind == CBM_PLACE_REGISTER)
        m->free_registers[wide(p->lane)][m->n_free[wide(p->lane)]++] = p->index;
}

static int32_t take_uniform(maker *m, const cbm_fused_instruction *c, int32_t code)
{
    const int32_t number = (int32_t)m->pass->n_uniforms;
    const int32_t place = new_place(m, CBM_PLACE_UNIFORM, number, cbm_lane_of((cbm_dtype)c->dtype));
    m->pass->uniforms[m->pass->n_uniforms++] = (cbm_pass_uniform){
        .code = code, .arg = c->arg, .place = place, .dtype = (cbm_dtype)c->dtype, .value = c->value
    };
    return place;
}

/* ---- steps ---- */

static void add_call(maker *m, bool uniform, cbm_tile_fn fn, int32_t to, const int32_t *from, int32_t n)
{
    cbm_pass_step s = { .kind = CBM_STEP_CALL, .fn = fn, .to = to };
    for (int32_t k = 0; k < n; k++) {
        s.from[k] = from[k];
        s.step[k] = m->pass->places[from[k]].kind != CBM_PLACE_UNIFORM;
    }
    if (uniform)
        m->pass->once[m->pass->n_once++] = s;
    else
        m->pass->steps[m->pass->n_steps++] = s;
}

/* A repeated row whose length divides the tile is fetched once a run: its register is its own. */
static bool may_hoist(const maker *m, int32_t root)
{
    const cbm_fused_instruction *c = code_at(m, root);
    const int64_t period = c->code == CBM_EXPR_INPUT ? m->pass->inputs[c->arg].period : 0;
    return period > 0 && period <= CBM_PASS_TILE && (period & (period - 1)) == 0;
}

/* The place of an input's elements; a step that fetches them, where they cannot be used as they lie. */
static void place_input(maker *m, int32_t i, bool copy)
{
    const cbm_fused_instruction *c = code_at(m, i);
    const cbm_pass_input *in = &m->pass->inputs[c->arg];
    const cbm_lane lane = cbm_lane_of(in->dtype);
    if (in->contiguous && !is_narrow(in->dtype) && !copy) {
        m->values[i].place = new_place(m, CBM_PLACE_INPUT, c->arg, lane);
        return;
    }
    /* What is fetched once a run must not lie where another value has been before: the next tile would put it there. */
    const int32_t place =
        may_hoist(m, i) ? new_place(m, CBM_PLACE_REGISTER, m->n_registers[wide(lane)]++, lane) : take_register(m, lane);
    m->values[i].place = place;
    m->pass->steps[m->pass->n_steps++] = (cbm_pass_step){ .kind = CBM_STEP_LOAD, .to = place, .arg = c->arg };
}

static cbm_tile_fn function_of(const maker *m, const cbm_fused_instruction *c)
{
    const cbm_simd *s = m->pass->simd;
    if (c->code == CBM_EXPR_CAST) {
        const cbm_lane from = cbm_lane_of((cbm_dtype)code_at(m, c->x)->dtype);
        if (c->dtype == CBM_BF16 && from == CBM_LANE_F32)
            return s->round_bf16;
        return c->dtype == CBM_BOOL ? s->truth[from] : s->cast[from][cbm_lane_of((cbm_dtype)c->dtype)];
    }
    const int32_t typed = c->code == CBM_EXPR_SELECT ? c->y : cbm_expr_arguments(c->code) > 0 ? c->x : -1;
    return typed < 0 ? NULL : s->tile[c->code][cbm_lane_of((cbm_dtype)code_at(m, typed)->dtype)];
}

/* What keeps a register to a narrow dtype's values after an instruction; NULL: nothing is needed. */
static cbm_tile_fn narrowing(const maker *m, const cbm_fused_instruction *c)
{
    const cbm_simd *s = m->pass->simd;
    if (c->code == CBM_EXPR_SELECT || cbm_expr_compares(c->code))
        return NULL;
    if (c->code == CBM_EXPR_CAST && c->dtype == CBM_U8) {
        const cbm_lane from = cbm_lane_of((cbm_dtype)code_at(m, c->x)->dtype);
        return from == CBM_LANE_F32 || from == CBM_LANE_F64 ? s->clamp_byte : s->low_byte;
    }
    if (c->dtype == CBM_BF16)
        return c->code == CBM_EXPR_CAST && cbm_lane_of((cbm_dtype)code_at(m, c->x)->dtype) == CBM_LANE_F32
                   ? NULL
                   : s->round_bf16;
    if (c->code == CBM_EXPR_CAST)
        return NULL;
    return c->dtype == CBM_U8 ? s->low_byte : c->dtype == CBM_BOOL ? s->truth[CBM_LANE_I32] : NULL;
}

/* What costs a thread much more than the memory it reads. */
static const bool heavy[CBM_EXPR_CODES] = {
    [CBM_EXPR_POW] = true,     [CBM_EXPR_ATAN2] = true,  [CBM_EXPR_MOD] = true, [CBM_EXPR_EXP] = true,
    [CBM_EXPR_EXP2] = true,    [CBM_EXPR_EXPM1] = true,  [CBM_EXPR_LOG] = true, [CBM_EXPR_LOG2] = true,
    [CBM_EXPR_LOG10] = true,   [CBM_EXPR_LOG1P] = true,  [CBM_EXPR_SIN] = true, [CBM_EXPR_COS] = true,
    [CBM_EXPR_TAN] = true,     [CBM_EXPR_TANH] = true,   [CBM_EXPR_ERF] = true, [CBM_EXPR_ERFC] = true,
    [CBM_EXPR_UNIFORM] = true, [CBM_EXPR_NORMAL] = true,
};

/* Where the value is to be computed: the output that it goes straight to, or a register. */
static int32_t result_place(maker *m, int32_t i, cbm_lane lane)
{
    for (size_t o = 0; o < m->launch->n_out; o++)
        if (m->direct[o] == i)
            return new_place(m, CBM_PLACE_OUTPUT, (int32_t)o, lane);
    return take_register(m, lane);
}

static bool add_instruction(maker *m, int32_t i)
{
    const cbm_fused_instruction *c = code_at(m, i);
    value *v = &m->values[i];
    const cbm_lane lane = cbm_lane_of((cbm_dtype)c->dtype);
    if (c->code == CBM_EXPR_INPUT) {
        if (v->uniform)
            v->place = take_uniform(m, c, CBM_EXPR_INPUT);
        return true; /* others are placed when first read */
    }
    if (c->code == CBM_EXPR_NUMBER || c->code == CBM_EXPR_FIELD) {
        v->place = take_uniform(m, c, c->code);
        return true;
    }
    if (c->code == CBM_EXPR_UNIFORM || c->code == CBM_EXPR_NORMAL) {
        if (lane != CBM_LANE_F32 && lane != CBM_LANE_F64)
            return false;
        v->place = result_place(m, i, lane);
        m->pass->steps[m->pass->n_steps++] = (cbm_pass_step){
            .kind = c->code == CBM_EXPR_UNIFORM ? CBM_STEP_UNIFORM : CBM_STEP_NORMAL, .to = v->place, .arg = c->arg
        };
        m->pass->n_heavy++;
        return true;
    }
    int32_t from[4] = { 0 }, operands[4], half;
    const int32_t n = cbm_pass_operands(m, i, operands, &half);
    cbm_tile_fn fn = half >= 0 ? cbm_pass_pair(m, v->absorbs, i, half) : function_of(m, c), narrow = narrowing(m, c);
    if (!fn)
        return false;
    for (int32_t k = 0; k < n; k++) {
        const int32_t root = operands[k];
        if (m->values[root].place < 0)
            place_input(m, root, false);
        from[k] = m->values[root].place;
    }
    for (int32_t k = 0; k < n; k++) {
        const int32_t root = operands[k];
        bool again = false; /* the same operand twice is given back once */
        for (int32_t j = 0; j < k; j++)
            again = again || from[j] == from[k];
        if (!again && m->values[root].last_use == i && !may_hoist(m, root))
            give_register(m, from[k]);
    }
    if (v->uniform) {
        v->place = new_place(m, CBM_PLACE_UNIFORM, (int32_t)m->pass->n_uniforms, lane);
        m->pass->uniforms[m->pass->n_uniforms++] = (cbm_pass_uniform){ .code = CBM_EXPR_CODES, .place = v->place };
    } else {
        v->place = result_place(m, i, lane);
        m->pass->n_heavy += heavy[c->code];
    }
    add_call(m, v->uniform, fn, v->place, from, n);
    const bool stored_only = c->dtype == CBM_BF16 && !v->uniform && !v->read; /* storing rounds */
    if (narrow && !stored_only)
        add_call(m, v->uniform, narrow, v->place, &v->place, 1);
    return true;
}

/* Inputs that are outputs themselves, among others: they are fetched before anything is stored. */
static void load_stored_inputs(maker *m)
{
    for (size_t o = 0; o < m->launch->n_out; o++) {
        const int32_t root = m->values[m->fused->outputs[o].place].root;
        value *v = &m->values[root];
        if (code_at(m, root)->code == CBM_EXPR_INPUT && !v->uniform && v->place < 0)
            place_input(m, root, m->launch->n_out > 1);
    }
}

static void add_stores(maker *m)
{
    for (size_t o = 0; o < m->launch->n_out; o++) {
        const bool direct = m->direct[o] >= 0, sum = m->pass->sums[o].results > 0;
        if (direct && m->pass->streams[o] < 0)
            continue;
        const value *v = &m->values[m->values[m->fused->outputs[o].place].root];
        cbm_pass_step s = { .kind = sum ? CBM_STEP_SUM : CBM_STEP_STORE, .arg = (int32_t)o, .past = direct };
        s.from[0] = v->place;
        s.step[0] = m->pass->places[v->place].kind != CBM_PLACE_UNIFORM;
        m->pass->steps[m->pass->n_steps++] = s;
    }
}

static bool make_steps(maker *m)
{
    find_roots(m);
    find_last_uses(m);
    cbm_pass_find_pairs(m);
    find_direct_outputs(m);
    load_stored_inputs(m);
    for (int32_t i = 0; i < m->length; i++)
        if (m->values[i].needed && m->values[i].root == i && m->values[i].into < 0 && !add_instruction(m, i))
            return false;
    add_stores(m);
    return true;
}

/* Bytes an element of the tiles in which outputs are made that go past the caches. */
static size_t streamed_bytes(const maker *m)
{
    size_t each = 0;
    for (size_t o = 0; o < m->launch->n_out; o++)
        if (m->pass->streams[o] >= 0)
            each += cbm_dtype_size(m->launch->out[o].dtype);
    return each;
}

/* Operands and results do not stay in the caches from pass to pass. */
static bool is_far(const cbm_pass *p)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < p->n_in; i++)
        if (p->inputs[i].contiguous)
            bytes += p->count * (int64_t)cbm_dtype_size(p->inputs[i].dtype);
    for (size_t o = 0; o < p->n_out; o++)
        bytes += p->sums[o].results ? 0 : p->count * (int64_t)cbm_dtype_size(p->out_dtype[o]);
    return cbm_cpu_streams(bytes);
}

/* The tile's length, then where registers, outputs' tiles and spare groups lie in scratch memory. */
static void lay_out_scratch(maker *m)
{
    cbm_pass *p = m->pass;
    const size_t registers = 4 * (size_t)m->n_registers[0] + 8 * (size_t)m->n_registers[1];
    const size_t each = registers + streamed_bytes(m);
    size_t n_walks = 0;
    for (size_t i = 0; i < p->n_steps; i++)
        n_walks += !p->steps[i].past;
    p->tile = !is_far(p) ? CBM_PASS_TILE : n_walks > 1 || p->n_heavy > 0 ? CBM_PASS_TILE_FAR : CBM_PASS_TILE_FAR / 2;
    while (p->tile > CBM_PASS_TILE_LEAST && (size_t)p->tile * each > CBM_PASS_SCRATCH)
        p->tile /= 2;
    size_t spare = (size_t)p->tile * registers;
    for (size_t o = 0; o < m->launch->n_out; o++)
        if (p->streams[o] >= 0) {
            p->streams[o] = (int64_t)spare;
            spare += (size_t)p->tile * cbm_dtype_size(p->out_dtype[o]);
        }
    for (size_t i = 0; i < p->n_places; i++) {
        cbm_pass_place *place = &p->places[i];
        if (place->kind == CBM_PLACE_REGISTER) {
            const size_t narrow = (size_t)m->n_registers[0] * 4;
            place->offset =
                (size_t)p->tile * (wide(place->lane) ? narrow + 8 * (size_t)place->index : 4 * (size_t)place->index);
        } else if (place->kind == CBM_PLACE_OUTPUT && p->streams[place->index] >= 0) {
            place->offset = (size_t)p->streams[place->index];
        } else if (place->kind != CBM_PLACE_UNIFORM) {
            place->offset = spare;
            spare += CBM_TILE_UNIFORM;
        }
    }
    p->scratch = spare;
    for (size_t i = 0; i < p->n_steps; i++)
        if (p->steps[i].kind == CBM_STEP_LOAD) {
            const int64_t period = p->inputs[p->steps[i].arg].period;
            p->steps[i].hoisted = period > 0 && p->tile % period == 0 && (period & (period - 1)) == 0;
        }
}

static int64_t worker_count(const cbm_pass *p, int64_t threads)
{
    const int64_t work = p->count * (1 + 2 * (int64_t)p->n_heavy);
    int64_t workers = work / CBM_CPU_GRAIN;
    const int64_t units = cbm_pass_units(p);
    workers = workers > threads ? threads : workers;
    workers = workers > units ? units : workers;
    return workers < 1 ? 1 : workers;
}

static void *zeros(size_t count, size_t size)
{
    return calloc(count > 0 ? count : 1, size);
}

static cbm_pass *new_pass(const cbm_fused_launch *shapes)
{
    const size_t n = shapes->fused->length;
    cbm_pass *p = zeros(1, sizeof *p);
    if (!p)
        return NULL;
    p->simd = cbm_simd_get();
    p->n_in = shapes->n_in;
    p->n_out = shapes->n_out;
    p->count = cbm_fused_count(shapes);
    p->inputs = zeros(shapes->n_in, sizeof *p->inputs);
    p->out_dtype = zeros(shapes->n_out, sizeof *p->out_dtype);
    p->streams = zeros(shapes->n_out, sizeof *p->streams);
    p->sums = zeros(shapes->n_out, sizeof *p->sums);
    p->places = zeros(n + shapes->n_in + shapes->n_out, sizeof *p->places);
    p->uniforms = zeros(n, sizeof *p->uniforms);
    p->once = zeros(2 * n, sizeof *p->once);
    p->steps = zeros(3 * n + shapes->n_in + shapes->n_out, sizeof *p->steps);
    p->uniform_memory = aligned_alloc(64, (n > 0 ? n : 1) * CBM_TILE_UNIFORM);
    if (p->inputs && p->out_dtype && p->streams && p->sums && p->places && p->uniforms && p->once && p->steps &&
        p->uniform_memory) {
        for (size_t i = 0; i < shapes->n_in; i++)
            describe_input(&shapes->in[i], &p->inputs[i]);
        for (size_t i = 0; i < shapes->n_out; i++) {
            const int64_t bytes = p->count * (int64_t)cbm_dtype_size(shapes->out[i].dtype);
            p->out_dtype[i] = shapes->out[i].dtype;
            p->streams[i] = cbm_cpu_streams(bytes) && !shapes->fused->outputs[i].rows ? 0 : -1;
        }
        return p;
    }
    cbm_cpu_fused_release(p);
    return NULL;
}

static cbm_status make_pass(maker *m)
{
    const size_t n = m->fused->length;
    m->values = zeros(n, sizeof *m->values);
    m->direct = zeros(m->launch->n_out, sizeof *m->direct);
    for (int w = 0; w < 2; w++)
        m->free_registers[w] = zeros(n + m->launch->n_in, sizeof(int32_t));
    if (!m->values || !m->direct || !m->free_registers[0] || !m->free_registers[1])
        return CBM_ERROR_MEMORY;
    if (!make_steps(m))
        return CBM_ERROR_UNSUPPORTED;
    lay_out_scratch(m);
    cbm_pass *p = m->pass;
    p->workers = worker_count(p, m->launch->threads);
    if (p->scratch > CBM_PASS_STACK) {
        p->scratch = (p->scratch + 63) & ~(size_t)63;
        p->scratch_memory = aligned_alloc(64, p->scratch * (size_t)p->workers);
        if (!p->scratch_memory)
            return CBM_ERROR_MEMORY;
    }
    return CBM_OK;
}

cbm_status cbm_cpu_fused_prepare(const cbm_fused_launch *shapes, void **state, size_t *workspace)
{
    *state = NULL;
    *workspace = 0;
    cbm_pass *p = new_pass(shapes);
    if (!p)
        return CBM_ERROR_MEMORY;
    *workspace = cbm_pass_cut(p, shapes);
    maker m = { .launch = shapes, .fused = shapes->fused, .pass = p, .length = (int32_t)shapes->fused->length };
    const cbm_status status = make_pass(&m);
    free(m.values);
    free(m.direct);
    free(m.free_registers[0]);
    free(m.free_registers[1]);
    if (status == CBM_OK)
        *state = p;
    else
        cbm_cpu_fused_release(p);
    return status;
}

void cbm_cpu_fused_release(void *state)
{
    cbm_pass *p = state;
    if (!p)
        return;
    free(p->inputs);
    free(p->out_dtype);
    free(p->streams);
    free(p->sums);
    free(p->places);
    free(p->uniforms);
    free(p->once);
    free(p->steps);
    free(p->uniform_memory);
    free(p->scratch_memory);
    free(p);
}
