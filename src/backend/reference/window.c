/* window.c: windows_add, unfold and fold by their formulas. Rests on numbers. */
#include "backend/reference/reference.h"
#include "op/attributes.h"

static cbm_status windows_add(const cbm_launch *launch) /* g (.., places, .., size) -> dx */
{
    const cbm_windows_attributes *a = launch->attributes;
    const cbm_buffer *g = &launch->in[0], *dx = &launch->out[0];
    int64_t stride[CBM_MAX_DIMS] = { 0 };
    cbm_row_major(dx->rank, dx->shape, stride);
    const int64_t along = stride[a->axis];
    stride[a->axis] = along * a->step;
    stride[dx->rank] = along;
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    cbm_walk w = cbm_walk_over(g->rank, g->shape, stride);
    for (int64_t k = 0; k < g->count; k++, cbm_walk_next(&w))
        c.out[0][w.offset].f += c.in[0][k].f;
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

/* Element k of the columns (N, C kh kw, L): the picture's element that it belongs to, or -1 outside. */
static int64_t picture_place(const cbm_unfold_attributes *a, const cbm_buffer *columns, int64_t k)
{
    const int64_t height = a->image.v[1], width = a->image.v[2], places = columns->shape[2];
    const int64_t reach = a->dilation.v[2] * (a->kernel.v[2] - 1) + 1;
    const int64_t across = (width + 2 * a->padding.v[2] - reach) / a->stride.v[2] + 1;
    const int64_t l = k % places, row = k / places % columns->shape[1], n = k / places / columns->shape[1];
    const int64_t j = row % a->kernel.v[2], i = row / a->kernel.v[2] % a->kernel.v[1];
    const int64_t c = row / a->kernel.v[2] / a->kernel.v[1];
    const int64_t channels = columns->shape[1] / a->kernel.v[1] / a->kernel.v[2];
    const int64_t h = l / across * a->stride.v[1] + i * a->dilation.v[1] - a->padding.v[1];
    const int64_t w = l % across * a->stride.v[2] + j * a->dilation.v[2] - a->padding.v[2];
    if (h < 0 || h >= height || w < 0 || w >= width)
        return -1;
    return ((n * channels + c) * height + h) * width + w;
}

static cbm_status unfold(const cbm_launch *launch) /* x -> columns */
{
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t k = 0; k < launch->out[0].count; k++) {
        const int64_t at = picture_place(launch->attributes, &launch->out[0], k);
        if (at >= 0)
            c.out[0][k] = c.in[0][at];
    }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

static cbm_status fold(const cbm_launch *launch) /* columns -> pictures */
{
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t k = 0; k < launch->in[0].count; k++) {
        const int64_t at = picture_place(launch->attributes, &launch->in[0], k);
        if (at >= 0)
            c.out[0][at].f += c.in[0][k].f;
    }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

const cbm_kernel cbm_reference_window[] = {
    { .op = "windows_add", .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = windows_add },
    { .op = "unfold", .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = unfold },
    { .op = "fold", .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = fold },
    { .op = NULL },
};
