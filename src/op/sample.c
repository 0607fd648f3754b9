/* sample.c: fills an operation's sample inputs. Rests on base's Philox and heap. */
#include "op/sample.h"

#include "base/bf16.h"
#include "op/families.h"

#include <math.h>

#define SEED 20240229u

static void store(void *data, cbm_dtype dtype, int64_t i, double v)
{
    switch (dtype) {
    case CBM_F32: ((float *)data)[i] = (float)v; break;
    case CBM_F64: ((double *)data)[i] = (double)(float)v; break;
    case CBM_I64: ((int64_t *)data)[i] = (int64_t)v; break;
    case CBM_I32: ((int32_t *)data)[i] = (int32_t)v; break;
    case CBM_U8: ((uint8_t *)data)[i] = (uint8_t)v; break;
    case CBM_BOOL: ((uint8_t *)data)[i] = v > 0.5; break;
    case CBM_BF16: ((uint16_t *)data)[i] = cbm_bf16_round((float)v); break;
    }
}

/* What is added to element i: something on the diagonals of the first input's matrices. */
static double on_diagonal(const cbm_sample *sample, size_t which, int64_t i)
{
    const cbm_shape *s = &sample->in[which].shape;
    if (which > 0 || s->v[0] < 2)
        return 0;
    const int64_t columns = s->v[s->v[0]], rows = s->v[s->v[0] - 1];
    return i / columns % rows == i % columns ? sample->diagonal : 0;
}

void *cbm_sample_fill(cbm_heap *heap, const cbm_sample *sample, size_t which, cbm_dtype dtype, size_t *size)
{
    const cbm_sample_input *input = &sample->in[which];
    int64_t count = cbm_shape_count(&input->shape);
    *size = 0;
    if (count < 0 || count > INT32_MAX)
        return NULL;
    bool whole = !cbm_is_floating(dtype);
    *size = (size_t)(count ? count : 1) * cbm_dtype_size(dtype);
    void *data = cbm_heap_take_zero(heap, *size);
    size_t grid_size = (size_t)(count ? count : 1) * sizeof(int64_t);
    int64_t *grid = input->distinct ? cbm_heap_take(heap, grid_size) : NULL;
    if (!data || (input->distinct && !grid)) {
        cbm_heap_give(heap, data, *size);
        cbm_heap_give(heap, grid, grid_size);
        *size = 0;
        return NULL;
    }
    if (grid)
        cbm_philox_permutation(SEED, which, grid, count);
    for (int64_t i = 0; i < count; i++) {
        double u =
            grid ? ((double)grid[i] + 0.5) / (double)count : (double)cbm_philox_uniform(SEED, which, (uint64_t)i);
        double span = input->high - input->low;
        store(data, dtype, i,
              whole ? floor(input->low + (span + 1) * u) : input->low + span * u + on_diagonal(sample, which, i));
    }
    cbm_heap_give(heap, grid, grid_size);
    return data;
}
