/* widened.c: bf16 where a family has no kernel of its own for it: operands are widened into workspace, the f32 kernel
   runs, its results are rounded. Rests on the other families' kernels and simd/tile.c. */
#include "backend/cpu/cpu.h"

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

/* The launch with f32 in bf16's place; buffers has room for all of its operands and results. */
static cbm_launch in_f32(const cbm_launch *l, cbm_buffer *buffers)
{
    cbm_launch wide = *l;
    memcpy(buffers, l->in, l->n_in * sizeof *buffers);
    memcpy(buffers + l->n_in, l->out, l->n_out * sizeof *buffers);
    for (size_t i = 0; i < l->n_in + l->n_out; i++)
        if (buffers[i].dtype == CBM_BF16)
            buffers[i].dtype = CBM_F32;
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
        conversion c = { cbm_simd_get(), b->data, buffers[i].data };
        if (i < l->n_in)
            cbm_parallel_for(b->count, CBM_CPU_GRAIN, l->threads, widen, &c);
    }
    const cbm_status status = w->inner->launch(&wide);
    for (size_t i = 0; i < l->n_out && status == CBM_OK; i++)
        if (l->out[i].dtype == CBM_BF16 && l->out[i].data) {
            conversion c = { cbm_simd_get(), l->out[i].data, wide.out[i].data };
            cbm_parallel_for(l->out[i].count, CBM_CPU_GRAIN, l->threads, narrow, &c);
        }
    return status;
}

static const cbm_kernel kernel = { .op = "widened", .prepare = prepare, .launch = launch, .release = release };

const cbm_kernel *cbm_cpu_widened(const cbm_launch *shapes)
{
    cbm_buffer buffers[CBM_MAX_INPUTS + CBM_MAX_OUTPUTS];
    if (!has_bf16(shapes))
        return NULL;
    const cbm_launch wide = in_f32(shapes, buffers);
    return cbm_backend_kernel(&cbm_backend_cpu, &wide) ? &kernel : NULL;
}
