/* embedding.c: embedding, its gradient, bag_of and embedding_bag. Indices and offsets are checked before they are used. Rests
   on numbers. */
#include "backend/reference/reference.h"
#include "op/attributes.h"

#include <cambium/ops/embedding.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static cbm_status check(const cbm_launch *launch, const cbm_number *index, int64_t count, int64_t extent)
{
    for (int64_t k = 0; k < count; k++)
        if (index[k].i < 0 || index[k].i >= extent)
            return cbm_reference_range(launch, "index", index[k].i, k, extent);
    return CBM_OK;
}

static cbm_status embedding(const cbm_launch *launch) /* indices, weight -> y */
{
    const int64_t count = launch->in[0].count, columns = launch->in[1].shape[1];
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    const cbm_status status = check(launch, c.in[0], count, launch->in[1].shape[0]);
    for (int64_t k = 0; status == CBM_OK && k < count * columns; k++)
        c.out[0][k] = c.in[1][c.in[0][k / columns].i * columns + k % columns];
    cbm_numbers_pack(launch, &c);
    return status;
}

static cbm_status embedding_backward(const cbm_launch *launch) /* indices, g -> dweight */
{
    const cbm_embedding_backward_attributes *a = launch->attributes;
    const int64_t count = launch->in[0].count, columns = launch->out[0].shape[1];
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    const cbm_status status = check(launch, c.in[0], count, a->rows);
    for (int64_t k = 0; status == CBM_OK && k < count * columns; k++)
        if (c.in[0][k / columns].i != a->padding)
            c.out[0][c.in[0][k / columns].i * columns + k % columns].f += c.in[1][k].f;
    cbm_numbers_pack(launch, &c);
    return status;
}

/* Offsets begin with 0, never fall, and end within count. */
static cbm_status check_offsets(const cbm_launch *launch, const cbm_number *offsets, int64_t n, int64_t count)
{
    int64_t before = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t most = i == 0 ? 0 : count;
        if (offsets[i].i < before || offsets[i].i > most) {
            if (launch->message)
                snprintf(launch->message, 256,
                         "offset %" PRId64 " at position %" PRId64 " is outside %" PRId64 "..%" PRId64, offsets[i].i, i,
                         before, most);
            return CBM_ERROR_RANGE;
        }
        before = offsets[i].i;
    }
    return CBM_OK;
}

static cbm_status bag_of(const cbm_launch *launch) /* offsets -> y */
{
    const int64_t n = launch->in[0].count, count = launch->out[0].count;
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    const cbm_status status = check_offsets(launch, c.in[0], n, count);
    for (int64_t i = 0, bag = 0; status == CBM_OK && i < count; i++) {
        while (bag + 1 < n && c.in[0][bag + 1].i <= i)
            bag++;
        c.out[0][i].i = bag;
    }
    cbm_numbers_pack(launch, &c);
    return status;
}

static cbm_status embedding_bag(const cbm_launch *launch) /* weight, indices[, offsets][, factors] -> y, places */
{
    const cbm_bag_attributes *a = launch->attributes;
    const cbm_buffer *index = &launch->in[1], *y = &launch->out[0];
    const int64_t columns = y->shape[1], offsets = a->fixed ? 0 : launch->in[2].count;
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    cbm_status status = check(launch, c.in[1], index->count, launch->in[0].shape[0]);
    if (status == CBM_OK && !a->fixed)
        status = check_offsets(launch, c.in[2], offsets, index->count);
    const cbm_number *factors = a->weighted ? c.in[a->fixed ? 2 : 3] : NULL;
    for (int64_t k = 0; status == CBM_OK && k < y->count; k++) {
        const int64_t bag = k / columns, column = k % columns;
        const int64_t first = a->fixed ? bag * index->shape[1] : c.in[2][bag].i;
        const int64_t last = a->fixed ? first + index->shape[1] : bag + 1 < offsets ? c.in[2][bag + 1].i : index->count;
        int64_t members = 0, place = -1;
        double sum = 0;
        for (int64_t i = first; i < last; i++) {
            const int64_t row = c.in[1][i].i;
            const double x = c.in[0][row * columns + column].f;
            if (row == a->padding)
                continue;
            if (a->mode == CBM_BAG_MAX) {
                if (members == 0 || x > sum || (isnan(x) && !isnan(sum))) {
                    sum = x;
                    place = row;
                }
            } else {
                sum += factors ? factors[i].f * x : x;
            }
            members++;
        }
        c.out[0][k].f = a->mode == CBM_BAG_MEAN && members > 0 ? sum / (double)members : sum;
        if (a->mode == CBM_BAG_MAX)
            c.out[1][k].i = place;
    }
    cbm_numbers_pack(launch, &c);
    return status;
}

const cbm_kernel cbm_reference_embedding[] = {
    { .op = "embedding", .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = embedding },
    { .op = "embedding_backward",
      .flags = CBM_KERNEL_STRIDED,
      .prepare = cbm_numbers_prepare,
      .launch = embedding_backward },
    { .op = "bag_of", .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = bag_of },
    { .op = "embedding_bag", .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = embedding_bag },
    { .op = NULL },
};
