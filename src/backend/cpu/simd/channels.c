/* channels.c: pooling windows over places whose channels lie side by side (blocked or channels last), a vector of channels
   at a time. Backward passes gather: each place of dx adds up the windows that reach over it. Rests on pooling.h. */
#include "backend/cpu/simd/level.h"
#include "backend/cpu/simd/pooling.h"

/* Some channels of one window: `rows` x `columns` places from x on, the first of them place k of the window. */
INLINE void max_window(const float *x, int64_t row_step, int64_t step, int64_t rows, int64_t columns, int64_t k,
                       int64_t kernel_width, float *y, uint8_t *place, int64_t n)
{
    vf best = vf_load_n(x, n);
    vi at = vi_set((int32_t)k);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = i == 0; j < columns; j++)
            keep_greater(&best, &at, vf_load_n(x + i * row_step + j * step, n),
                         vi_set((int32_t)(k + i * kernel_width + j)));
    if (y)
        vf_store_n(y, n, best);
    if (place)
        vi_to_bytes(place, n, at);
}

static void max_pool_channels(const cbm_pool_plane *p)
{
    const int64_t channels = p->channels, row_step = p->width * channels, kernel_width = p->kernel[1];
    for (int64_t h = p->first; h < p->last; h++) {
        int64_t top, bottom, left, right;
        window(p, 0, h, p->height, &top, &bottom);
        for (int64_t w = 0; w < p->out_width; w++) {
            window(p, 1, w, p->width, &left, &right);
            const int64_t k =
                (top - h * p->stride[0] + p->padding[0]) * kernel_width + left - w * p->stride[1] + p->padding[1];
            const int64_t from = (top * p->width + left) * channels, to = (h * p->out_width + w) * channels;
            const int64_t rows = bottom - top, columns = right - left;
            for (int64_t c = 0; c < channels; c += VN) {
                const int64_t n = channels - c < VN ? channels - c : VN;
                const float *x = p->x + from + c;
                float *y = p->y ? p->y + to + c : NULL;
                uint8_t *place = p->place ? p->place + to + c : NULL;
                if (rows == 2 && columns == 2 && n == VN)
                    max_window(x, row_step, channels, 2, 2, k, kernel_width, y, place, VN);
                else if (rows == 3 && columns == 3 && n == VN)
                    max_window(x, row_step, channels, 3, 3, k, kernel_width, y, place, VN);
                else
                    max_window(x, row_step, channels, rows, columns, k, kernel_width, y, place, n);
            }
        }
    }
}

/* The results [low, high) along an axis whose windows reach over place `at` of the plane. `low` and `high` only grow as
   `at` does. */
INLINE void windows_over(const cbm_pool_plane *p, int axis, int64_t at, int64_t count, int64_t *low, int64_t *high)
{
    while (*low < count && *low * p->stride[axis] - p->padding[axis] + p->kernel[axis] <= at)
        ++*low;
    while (*high < count && *high * p->stride[axis] - p->padding[axis] <= at)
        ++*high;
}

INLINE bool windows_lie_apart(const cbm_pool_plane *p)
{
    return p->stride[0] == p->kernel[0] && p->stride[1] == p->kernel[1] && p->padding[0] == 0 && p->padding[1] == 0 &&
           p->out_height * p->kernel[0] <= p->height && p->out_width * p->kernel[1] <= p->width;
}

/* Windows that lie apart own their places of dx's row; the rest of the row is zero. place NULL: each takes `factor` g. */
INLINE void row_apart(const cbm_pool_plane *p, const uint8_t *place, const float *g, float factor, float *dx,
                      int64_t row)
{
    const int64_t channels = p->channels, kw = p->kernel[1], h = row / p->kernel[0];
    const int64_t k = row % p->kernel[0] * kw, done = h < p->out_height ? p->out_width : 0;
    float *to = dx + row * p->width * channels;
    for (int64_t w = 0; w < done; w++) {
        const int64_t from = (h * p->out_width + w) * channels;
        for (int64_t c = 0; c < channels; c += VN) {
            const int64_t n = channels - c < VN ? channels - c : VN;
            for (int64_t j = 0; j < kw; j++) {
                float *t = to + (w * kw + j) * channels + c;
                if (place)
                    vf_store_n(t, n, add_where((vf){ 0 }, g + from + c, place + from + c, k + j, n));
                else
                    vf_store_n(t, n, vf_load_n(g + from + c, n) * factor);
            }
        }
    }
    memset(to + done * kw * channels, 0, (size_t)((p->width - done * kw) * channels) * sizeof *to);
}

static void max_pool_backward_channels(const cbm_pool_plane *p, const float *g, float *dx)
{
    const int64_t channels = p->channels, kw = p->kernel[1];
    const bool apart = windows_lie_apart(p);
    int64_t top = 0, bottom = 0;
    for (int64_t row = p->first; row < p->last; row++) {
        if (apart) {
            row_apart(p, p->place, g, 1, dx, row);
            continue;
        }
        int64_t left = 0, right = 0;
        windows_over(p, 0, row, p->out_height, &top, &bottom);
        for (int64_t column = 0; column < p->width; column++) {
            windows_over(p, 1, column, p->out_width, &left, &right);
            const int64_t first = (row - top * p->stride[0] + p->padding[0]) * kw + column - left * p->stride[1] +
                                  p->padding[1]; /* the place in window (top, left) */
            for (int64_t c = 0; c < channels; c += VN) {
                const int64_t n = channels - c < VN ? channels - c : VN;
                vf sum = { 0 };
                for (int64_t h = top; h < bottom; h++) {
                    const int64_t from = (h * p->out_width + left) * channels + c;
                    const int64_t k = first - (h - top) * p->stride[0] * kw;
                    if (n == VN)
                        for (int64_t w = 0; w < right - left; w++)
                            sum = add_where(sum, g + from + w * channels, p->place + from + w * channels,
                                            k - w * p->stride[1], VN);
                    else
                        for (int64_t w = 0; w < right - left; w++)
                            sum = add_where(sum, g + from + w * channels, p->place + from + w * channels,
                                            k - w * p->stride[1], n);
                }
                vf_store_n(dx + (row * p->width + column) * channels + c, n, sum);
            }
        }
    }
}

static void avg_pool_channels(const cbm_pool_plane *p)
{
    const int64_t channels = p->channels, row_step = p->width * channels;
    for (int64_t h = p->first; h < p->last; h++) {
        int64_t at[4];
        window(p, 0, h, p->height, &at[0], &at[1]);
        for (int64_t w = 0; w < p->out_width; w++) {
            window(p, 1, w, p->width, &at[2], &at[3]);
            const float factor = share(p, h, w, at);
            const float *from = p->x + at[0] * row_step + at[2] * channels;
            float *to = p->y + (h * p->out_width + w) * channels;
            for (int64_t c = 0; c < channels; c += VN) {
                const int64_t n = channels - c < VN ? channels - c : VN;
                vf sum = { 0 };
                for (int64_t i = 0; i < at[1] - at[0]; i++)
                    for (int64_t j = 0; j < at[3] - at[2]; j++)
                        sum += vf_load_n(from + i * row_step + j * channels + c, n);
                vf_store_n(to + c, n, sum * factor);
            }
        }
    }
}

/* Whether results [low, high) along an axis have their whole windows in the plane. */
INLINE bool all_inside(const cbm_pool_plane *p, int axis, int64_t low, int64_t high, int64_t size)
{
    return low * p->stride[axis] >= p->padding[axis] &&
           (high - 1) * p->stride[axis] - p->padding[axis] + p->kernel[axis] <= size;
}

static void avg_pool_backward_channels(const cbm_pool_plane *p, const float *g, float *dx)
{
    const int64_t channels = p->channels;
    const float whole = 1.0f / (p->divisor > 0 ? p->divisor : (float)(p->kernel[0] * p->kernel[1]));
    const bool apart = windows_lie_apart(p);
    int64_t top = 0, bottom = 0;
    for (int64_t row = p->first; row < p->last; row++) {
        if (apart) {
            row_apart(p, NULL, g, whole, dx, row);
            continue;
        }
        int64_t left = 0, right = 0;
        windows_over(p, 0, row, p->out_height, &top, &bottom);
        const bool row_inside = all_inside(p, 0, top, bottom, p->height);
        for (int64_t column = 0; column < p->width; column++) {
            windows_over(p, 1, column, p->out_width, &left, &right);
            const bool inside = row_inside && all_inside(p, 1, left, right, p->width);
            for (int64_t c = 0; c < channels; c += VN) {
                const int64_t n = channels - c < VN ? channels - c : VN;
                vf sum = { 0 };
                for (int64_t h = top; h < bottom; h++)
                    for (int64_t w = left; w < right; w++) {
                        const vf v = vf_load_n(g + (h * p->out_width + w) * channels + c, n);
                        int64_t at[4];
                        if (inside) {
                            sum += v;
                            continue;
                        }
                        window(p, 0, h, p->height, &at[0], &at[1]);
                        window(p, 1, w, p->width, &at[2], &at[3]);
                        sum += v * share(p, h, w, at);
                    }
                vf_store_n(dx + (row * p->width + column) * channels + c, n, inside ? sum * whole : sum);
            }
        }
    }
}

void CBM_LEVEL(cbm_channels_fill)(cbm_simd *s)
{
    s->max_pool_channels = max_pool_channels;
    s->max_pool_backward_channels = max_pool_backward_channels;
    s->avg_pool_channels = avg_pool_channels;
    s->avg_pool_backward_channels = avg_pool_backward_channels;
}
