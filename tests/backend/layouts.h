/* layouts.h: runs one operation's kernel of the CPU backend on operands in every layout, and compares every result with the
   reference backend's on plain ones. Rests on kernels.h. */
#ifndef CAMBIUM_TESTS_LAYOUTS_H
#define CAMBIUM_TESTS_LAYOUTS_H

#include "backend/kernels.h"

static const cbm_layout layouts[] = { CBM_LAYOUT_PLAIN, CBM_LAYOUT_CHANNELS_LAST, CBM_LAYOUT_BLOCKED_8,
                                      CBM_LAYOUT_BLOCKED_16 };

static inline bool fits(cbm_layout layout, int64_t channels)
{
    return (layout != CBM_LAYOUT_BLOCKED_8 || channels % 8 == 0) &&
           (layout != CBM_LAYOUT_BLOCKED_16 || channels % 16 == 0);
}

/* A copy of b in a layout. */
static inline cbm_buffer in_layout(const cbm_buffer *b, cbm_layout layout)
{
    cbm_buffer to = *b;
    to.layout = (int32_t)layout;
    to.data = malloc((size_t)b->count * cbm_dtype_size(b->dtype) + 1);
    assert_non_null(to.data);
    cbm_backend_reference.reorder(b, &to, 1);
    return to;
}

static inline const cbm_kernel *kernel_of(const trial *t, cbm_layout layout, uint32_t *in, uint32_t *out)
{
    const cbm_launch l = { .op = cbm_op_named(t->op),
                           .attributes = t->attributes,
                           .n_in = t->n_in,
                           .n_out = t->n_out,
                           .in = t->in,
                           .out = t->out,
                           .threads = t->threads };
    const cbm_kernel *k = cbm_backend_kernel(&cbm_backend_cpu, &l);
    int gains = 0;
    assert_non_null(k);
    return k->layout && k->layout(&l, layout, in, out, &gains) ? k : NULL;
}

/* t on the CPU backend in every layout that its channels allow, at every level, against the reference backend in the plain
   one. Frees the inputs. */
static inline void compare_layouts(trial *t)
{
    char message[256] = "";
    cbm_buffer want[4], got[4];
    memcpy(want, t->out, sizeof want);
    assert_int_equal(run_on(&cbm_backend_reference, t, want, message), CBM_OK);
    for (int i = 1; i < 4; i++) {
        uint32_t in = 0, out = 0;
        if (!fits(layouts[i], t->in[0].shape[1]))
            continue;
        assert_non_null(kernel_of(t, layouts[i], &in, &out));
        trial now = *t;
        for (size_t k = 0; k < t->n_in; k++)
            if (in >> k & 1)
                now.in[k] = in_layout(&t->in[k], layouts[i]);
        for (size_t k = 0; k < t->n_out; k++)
            if (out >> k & 1)
                now.out[k].layout = (int32_t)layouts[i];
        for (int level = 0; level < N_LEVELS; level++) {
            if (!cbm_simd_named(simd_levels[level]))
                continue;
            cbm_simd_choose(cbm_simd_named(simd_levels[level]));
            memcpy(got, now.out, sizeof got);
            assert_int_equal(run_on(&cbm_backend_cpu, &now, got, message), CBM_OK);
            for (size_t k = 0; k < t->n_out; k++) {
                cbm_buffer plain = in_layout(&got[k], CBM_LAYOUT_PLAIN);
                const double d = distance(&plain, &want[k]);
                if (!(d <= t->tolerance))
                    fail_msg("%s at %s in layout %d, result %zu: differs by %g (%d %d %d %d)", t->op,
                             simd_levels[level], (int)layouts[i], k, d, (int)t->in[0].shape[0], (int)t->in[0].shape[1],
                             (int)t->in[0].shape[2], (int)t->in[0].shape[3]);
                free(plain.data);
                free(got[k].data);
            }
        }
        cbm_simd_choose(NULL);
        for (size_t k = 0; k < t->n_in; k++)
            if (in >> k & 1)
                free(now.in[k].data);
    }
    for (size_t k = 0; k < t->n_out; k++)
        free(want[k].data);
    for (size_t k = 0; k < t->n_in; k++)
        free(t->in[k].data);
}

#endif
