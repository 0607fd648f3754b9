/* widened.c: bf16 where a family has no kernel of its own for it: operands are widened into workspace, the f32 kernel
   runs, its results are rounded. Strides and layouts stay as they are. Rests on the other families' kernels and
   simd/tile.c. */
#include "backend/cpu/cpu.h"
#include "base/bf16.h"

#include <stdlib.h>
#include <string.h>

typedef struct widened {
    const cbm_kernel *inner;
    void *state;                                 /* inner's */
    size_t at[CBM_MAX_INPUTS + CBM_MAX_OUTPUTS]; /* in workspace, of operands and results that are bf16 */
    size_t inner_at;
} widened;

static bool has_bf16(const cbm_launch *l)
{
    for (size_t i = 0; i < l->n_in; i++)
        if (l->in[i].dtype == CBM_BF16)
            return true;
    for (size_t i = 0; i < l->n_out; i++)
        if (l->out[i].dtype == CBM_BF16)
            return true;
    return false;
}

/* The operand's elements fill its memory, whatever the order of its axes. */
static bool fills_memory(const cbm_buffer *b)
{
    if (b->layout != CBM_LAYOUT_PLAIN)
        return true;
    int64_t reach = 1;
    for (int64_t d = 0; d < b->rank; d++) {
        bool plain = b->shape[d] == 1;
        for (int64_t k = 0; k < b->rank && !plain; k++) /* each axis steps over some others, or over nothing */
            plain = k != d && b->shape[k] > 1 && b->stride[d] == b->stride[k] * b->shape[k];
        if (!plain && b->stride[d] != 1)
            return false;
        reach += (b->shape[d] - 1) * b->stride[d];
    }
    return reach == b->count;
}

static void without_gaps(cbm_buffer *b)
{
    int64_t stride = 1;
    for (int64_t d = b->rank; d-- > 0; stride *= b->shape[d])
        b->stride[d] = stride;
    b->contiguous = 1;
}

/* The launch with f32 in bf16's place; buffers has room for all of its operands and results. */
static cbm_launch in_f32(const cbm_launch *l, cbm_buffer *buffers)
{
    cbm_launch wide = *l;
    memcpy(buffers, l->in, l->n_in * sizeof *buffers);
    memcpy(buffers + l->n_in, l->out, l->n_out * sizeof *buffers);
    for (size_t i = 0; i < l->n_in + l->n_out; i++) {
        if (buffers[i].dtype != CBM_BF16)
            continue;
        buffers[i].dtype = CBM_F32;
        if (!fills_memory(&buffers[i]))
            without_gaps(&buffers[i]);
    }
    wide.in = buffers;
    wide.out = buffers + l->n_in;
    return wide;
}

static size_t aligned(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static void release(void *state)
{
    widened *w = state;
    if (w->inner->release)
        w->inner->release(w->state);
    free(w);
}

static cbm_status prepare(cbm_prepare *p)
{
    cbm_buffer buffers[CBM_MAX_INPUTS + CBM_MAX_OUTPUTS];
    const cbm_launch *l = p->launch, wide = in_f32(l, buffers);
    cbm_prepare inner = *p;
    inner.launch = &wide;
    inner.constant = 0; /* what is constant is the bf16, not its widened copy */
    widened *w = calloc(1, sizeof *w);
    if (!w)
        return CBM_ERROR_MEMORY;
    w->inner = cbm_backend_kernel(&cbm_backend_cpu, &wide);
    const cbm_status status = !w->inner           ? CBM_ERROR_UNSUPPORTED
                              : w->inner->prepare ? w->inner->prepare(&inner)
                                                  : CBM_OK;
    if (status != CBM_OK) {
        free(w);
        return status;
    }
    w->state = inner.state;
    size_t bytes = 0;
    for (size_t i = 0; i < l->n_in + l->n_out; i++) {
        const cbm_buffer *b = i < l->n_in ? &l->in[i] : &l->out[i - l->n_in];
        w->at[i] = bytes;
        bytes += b->dtype == CBM_BF16 ? aligned((size_t)b->count * sizeof(float)) : 0;
    }
    w->inner_at = bytes;
    p->state = w;
    p->workspace = bytes + inner.workspace;
    return CBM_OK;
}

typedef struct conversion {
    const cbm_simd *simd;
    uint16_t *half;
    float *whole;
} conversion;

static void widen(void *user, int64_t begin, int64_t end)
{
    const conversion *c = user;
    c->simd->widen_bf16(c->whole + begin, c->half + begin, end - begin);
}

static void narrow(void *user, int64_t begin, int64_t end)
{
    const conversion *c = user;
    c->simd->narrow_bf16(c->half + begin, c->whole + begin, end - begin);
}

/* Rows of the last axis, from anywhere into memory without gaps. */
typedef struct gathering {
    const cbm_simd *simd;
    const cbm_buffer *from;
    float *to;
} gathering;

static void gather_rows(void *user, int64_t begin, int64_t end)
{
    const gathering *g = user;
    const cbm_buffer *b = g->from;
    const int64_t last = b->rank - 1, length = b->shape[last], stride = b->stride[last];
    for (int64_t row = begin; row < end; row++) {
        const uint16_t *from = b->data;
        int64_t rest = row;
        for (int64_t d = last; d-- > 0; rest /= b->shape[d])
            from += rest % b->shape[d] * b->stride[d];
        float *to = g->to + row * length;
        if (stride == 1)
            g->simd->widen_bf16(to, from, length);
        for (int64_t i = 0; i < length && stride != 1; i++)
            to[i] = cbm_bf16_widen(from[i * stride]);
    }
}

static void widen_operand(const cbm_launch *l, const cbm_buffer *from, float *to)
{
    const cbm_simd *simd = cbm_simd_get();
    if (fills_memory(from)) {
        conversion c = { simd, from->data, to };
        cbm_parallel_for(from->count, CBM_CPU_GRAIN, l->threads, widen, &c);
    } else if (from->count > 0) {
        const int64_t length = from->shape[from->rank - 1];
        gathering g = { simd, from, to };
        cbm_parallel_for(from->count / length, cbm_grain(length), l->threads, gather_rows, &g);
    }
}

static cbm_status launch(const cbm_launch *l)
{
    const widened *w = l->state;
    cbm_buffer buffers[CBM_MAX_INPUTS + CBM_MAX_OUTPUTS];
    cbm_launch wide = in_f32(l, buffers);
    char *work = l->workspace;
    wide.state = w->state;
    wide.workspace = work ? work + w->inner_at : NULL;
    for (size_t i = 0; i < l->n_in + l->n_out; i++) {
        const cbm_buffer *b = i < l->n_in ? &l->in[i] : &l->out[i - l->n_in];
        if (b->dtype != CBM_BF16 || !b->data)
            continue;
        buffers[i].data = work + w->at[i];
        if (i < l->n_in)
            widen_operand(l, b, buffers[i].data);
    }
    const cbm_status status = w->inner->launch(&wide);
    for (size_t i = 0; i < l->n_out && status == CBM_OK; i++)
        if (l->out[i].dtype == CBM_BF16 && l->out[i].data) {
            conversion c = { cbm_simd_get(), l->out[i].data, wide.out[i].data };
            cbm_parallel_for(l->out[i].count, CBM_CPU_GRAIN, l->threads, narrow, &c);
        }
    return status;
}

static bool layout(const cbm_launch *l, cbm_layout wanted, uint32_t *in, uint32_t *out, int *gains)
{
    cbm_buffer buffers[CBM_MAX_INPUTS + CBM_MAX_OUTPUTS];
    const cbm_launch wide = in_f32(l, buffers);
    const cbm_kernel *inner = cbm_backend_kernel(&cbm_backend_cpu, &wide);
    return inner && inner->layout && inner->layout(&wide, wanted, in, out, gains);
}

static const char *describe(const void *state)
{
    const widened *w = state;
    return w->inner->describe ? w->inner->describe(w->state) : "in f32";
}

#define WIDENED(flags_)                                                                                                \
    {                                                                                                                  \
        .op = "widened", .flags = (flags_), .prepare = prepare, .launch = launch, .release = release,                  \
        .layout = layout, .describe = describe                                                                         \
    }
static const cbm_kernel plain = WIDENED(0), strided = WIDENED(CBM_KERNEL_STRIDED);

const cbm_kernel *cbm_cpu_widened(const cbm_launch *shapes)
{
    cbm_buffer buffers[CBM_MAX_INPUTS + CBM_MAX_OUTPUTS];
    if (!has_bf16(shapes) || shapes->after)
        return NULL;
    const cbm_launch wide = in_f32(shapes, buffers);
    const cbm_kernel *inner = cbm_backend_kernel(&cbm_backend_cpu, &wide);
    return !inner ? NULL : inner->flags & CBM_KERNEL_STRIDED ? &strided : &plain;
}
