/* attention.c: what attention does to a block of scores: scale and mask, exponentials about a running largest, dropout; and
   in backward the probabilities again, and the scores' gradient. Rests on folds.h and math.h. */
#include "backend/cpu/simd/folds.h"
#include "backend/cpu/simd/math.h"

#include "backend/cpu/simd/level.h"

/* Places [0, n) of the row can be seen; the others cannot, by order. */
INLINE int64_t visible(const cbm_attention_tile *t, int64_t row)
{
    if (!t->causal)
        return t->places;
    const int64_t n = t->first_row + row - t->first_place + 1;
    return n < 0 ? 0 : n < t->places ? n : t->places;
}

/* All ones where the mask allows lanes [s, s + n) of the row. */
INLINE vi allowed(const cbm_attention_tile *t, int64_t row, int64_t s, int64_t n)
{
    const uint8_t *m = t->allowed + row * t->mask_row + s * t->mask_place;
    uint8_t bytes[VN] = { 0 };
    if (t->mask_place == 0)
        return vi_set(*m ? -1 : 0);
    if (n == VN)
        return vi_load_bytes(m) != vi_set(0);
    memcpy(bytes, m, (size_t)n);
    return vi_load_bytes(bytes) != vi_set(0);
}

/* Scaled and masked scores. */
INLINE vf score(const cbm_attention_tile *t, int64_t row, int64_t s, int64_t n)
{
    vf x = vf_load_n(t->s + row * t->s_row + s, n) * vf_set(t->scale);
    if (t->added) {
        const float *m = t->added + row * t->mask_row + s * t->mask_place;
        x += t->mask_place == 0 ? vf_set(*m) : vf_load_n(m, n);
    } else if (t->allowed) {
        x = vf_select(allowed(t, row, s, n), x, vf_set(-__builtin_inff()));
    }
    return x;
}

/* Lanes from n on made low: they count for nothing. */
INLINE vf first_lanes(vf x, int64_t n)
{
    float lanes[VN];
    if (n == VN)
        return x;
    vf_store(lanes, x);
    for (int64_t i = n; i < VN; i++)
        lanes[i] = -__builtin_inff();
    return vf_load(lanes);
}

#define EACH(limit, BODY)                                                                                              \
    do {                                                                                                               \
        int64_t s = 0;                                                                                                 \
        for (; s + VN <= (limit); s += VN) {                                                                           \
            const int64_t n = VN;                                                                                      \
            BODY                                                                                                       \
        }                                                                                                              \
        if (s < (limit)) {                                                                                             \
            const int64_t n = (limit)-s;                                                                               \
            BODY                                                                                                       \
        }                                                                                                              \
    } while (0)

/* The row's random numbers, one a place. */
INLINE void draw(const cbm_attention_tile *t, int64_t row, int64_t count, float *u)
{
    t->uniform(u, count, t->seed, t->position, t->first_number + (uint64_t)(row * t->number_row));
}

/* What dropout makes of probabilities: nothing, or this many times as much. */
INLINE vf kept(const cbm_attention_tile *t, const float *u, int64_t n)
{
    return vf_if_less(vf_load_n(u, n), vf_set(t->p), (vf){ 0 }, vf_set(t->keep_scale));
}

static void attention_forward(const cbm_attention_tile *t)
{
    const float low = -__builtin_inff();
    for (int64_t r = 0; r < t->rows; r++) {
        float *row = t->s + r * t->s_row;
        const int64_t seen = visible(t, r);
        float u[CBM_ATTENTION_PLACES];
        if (t->dropped)
            draw(t, r, seen, u);
        vf top = vf_set(low), sum = { 0 };
        EACH(seen, {
            const vf x = score(t, r, s, n);
            vf_store_n(row + s, n, x);
            top = vf_max(first_lanes(x, n), top);
        });
        const float before = t->largest[r], here = vf_joined(top, join_max);
        const float largest = here > before || here != here ? here : before;
        const vf about = vf_set(largest == low ? 0.0f : largest);
        EACH(seen, {
            const vf e = vf_exp(vf_load_n(row + s, n) - about);
            vf_store_n(row + s, n, e);
            sum += n == VN ? e : vf_load_n(row + s, n);
            if (t->dropped)
                vf_store_n(row + s, n, e * kept(t, u + s, n));
        });
        for (int64_t s = seen; s < t->places; s++)
            row[s] = 0;
        /* What was summed about the old largest shrinks. Nothing was summed about -infinity. */
        const float factor = before == low ? 0.0f : __builtin_expf(before - largest);
        t->factor[r] = factor;
        t->sum[r] = t->sum[r] * factor + vf_sum(sum);
        t->largest[r] = largest;
    }
}

/* s becomes the probabilities as they met v, dp the gradient of the scores. */
static void attention_backward(const cbm_attention_tile *t)
{
    for (int64_t r = 0; r < t->rows; r++) {
        float *row = t->s + r * t->s_row, *dp = t->dp + r * t->s_row;
        const bool blind = t->log_sum[r] == -__builtin_inff();
        const int64_t seen = blind ? 0 : visible(t, r);
        const vf lse = vf_set(t->log_sum[r]), delta = vf_set(t->delta[r]), scale = vf_set(t->scale);
        float u[CBM_ATTENTION_PLACES];
        if (t->dropped)
            draw(t, r, seen, u);
        EACH(seen, {
            const vf keep = t->dropped ? kept(t, u + s, n) : vf_set(1.0f);
            const vf p = vf_exp(score(t, r, s, n) - lse);
            vf_store_n(row + s, n, p * keep);
            vf_store_n(dp + s, n, p * (vf_load_n(dp + s, n) * keep - delta) * scale);
        });
        for (int64_t s = seen; s < t->places; s++)
            row[s] = dp[s] = 0;
    }
}

void CBM_LEVEL(cbm_attention_fill)(cbm_simd *s)
{
    s->attention_forward = attention_forward;
    s->attention_backward = attention_backward;
}
