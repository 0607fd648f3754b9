/* test_cpu_layouts.c: operands in other physical layouts: reordering, by both backends, against a walk that names every
   element's place. */
#include "backend/kernels.h"

enum { ROUNDS = 120 };

static const cbm_layout layouts[] = { CBM_LAYOUT_PLAIN, CBM_LAYOUT_CHANNELS_LAST, CBM_LAYOUT_BLOCKED_8,
                                      CBM_LAYOUT_BLOCKED_16 };

static bool fits(cbm_layout layout, int64_t channels)
{
    return (layout != CBM_LAYOUT_BLOCKED_8 || channels % 8 == 0) &&
           (layout != CBM_LAYOUT_BLOCKED_16 || channels % 16 == 0);
}

static int64_t place_of(cbm_layout layout, const int64_t *shape, int64_t n, int64_t c, int64_t h, int64_t w)
{
    const int64_t C = shape[1], H = shape[2], W = shape[3];
    switch (layout) {
    case CBM_LAYOUT_CHANNELS_LAST: return ((n * H + h) * W + w) * C + c;
    case CBM_LAYOUT_BLOCKED_8: return (((n * (C / 8) + c / 8) * H + h) * W + w) * 8 + c % 8;
    case CBM_LAYOUT_BLOCKED_16: return (((n * (C / 16) + c / 16) * H + h) * W + w) * 16 + c % 16;
    default: return ((n * C + c) * H + h) * W + w;
    }
}

static cbm_shape random_images(void)
{
    static const int64_t channels[] = { 8, 16, 24, 48, 64, 1, 3, 17 };
    static const int64_t samples[] = { 0, 1, 3, 2 };
    return CBM_SHAPE(samples[draw_int(0, 3)], channels[draw_int(0, 7)], draw_int(1, 19), draw_int(1, 19));
}

static void check_reorder(const cbm_backend *backend, const cbm_buffer *from, cbm_buffer *to)
{
    const size_t size = cbm_dtype_size(from->dtype), bytes = (size_t)from->count * size;
    unsigned char *memory = malloc(bytes + CANARY);
    memset(memory, 0xee, bytes + CANARY);
    to->data = memory;
    backend->reorder(from, to, draw_int(1, 3));
    const int64_t *s = from->shape;
    for (int64_t n = 0; n < s[0]; n++)
        for (int64_t c = 0; c < s[1]; c++)
            for (int64_t h = 0; h < s[2]; h++)
                for (int64_t w = 0; w < s[3]; w++) {
                    const int64_t a = place_of((cbm_layout)from->layout, s, n, c, h, w);
                    const int64_t b = place_of((cbm_layout)to->layout, s, n, c, h, w);
                    assert_memory_equal((char *)from->data + (size_t)a * size, memory + (size_t)b * size, size);
                }
    for (int i = 0; i < CANARY; i++)
        assert_int_equal(memory[bytes + (size_t)i], 0xee);
    free(memory);
}

static void reorders(void **state)
{
    static const cbm_dtype dtypes[] = { CBM_F32, CBM_F64, CBM_U8 };
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const cbm_shape shape = random_images();
        cbm_buffer from = buffer(dtypes[round % 3], shape), to = from;
        for (size_t i = 0; i < 16; i++) {
            from.layout = (int32_t)layouts[i / 4];
            to.layout = (int32_t)layouts[i % 4];
            if (!fits(layouts[i / 4], shape.v[2]) || !fits(layouts[i % 4], shape.v[2]))
                continue;
            fill_buffer(&from, (fill){ 0, 255 });
            check_reorder(&cbm_backend_reference, &from, &to);
            for (int level = 0; level < N_LEVELS; level++)
                if (cbm_simd_named(simd_levels[level])) {
                    cbm_simd_choose(cbm_simd_named(simd_levels[level]));
                    check_reorder(&cbm_backend_cpu, &from, &to);
                }
            cbm_simd_choose(NULL);
            free(from.data);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reorders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
