/* recurrent.c: what a recurrent cell does to the sums of its gates, and its gradient, for several sequences and units next to
   each other. Rests on simd.h and math.h. */
#include "backend/cpu/simd/math.h"

#include "backend/cpu/simd/level.h"

INLINE void add_to(float *p, int64_t n, vf v)
{
    vf_store_n(p, n, vf_load_n(p, n) + v);
}

INLINE vf sigmoid(vf x)
{
    return 1.0f / (1.0f + vf_exp(-x));
}

INLINE int64_t length_of(const cbm_cell_step *s, int64_t row)
{
    return s->lengths ? s->lengths[row] : s->steps;
}

/* The row's sequence has nothing before this step. */
INLINE bool begins(const cbm_cell_step *s, int64_t row)
{
    return s->reverse ? s->step == length_of(s, row) - 1 : s->step == 0;
}

/* Gate number g of the row's sums: input, product with the state, bias. */
INLINE vf gate_sum(const cbm_cell_step *s, int64_t row, int64_t g, int64_t v, int64_t n)
{
    vf sum = vf_load_n(s->x + row * s->x_row + g * s->gate + v, n) +
             vf_load(s->product + row * s->product_row + g * s->product_gate + v);
    return s->bias ? sum + vf_load_n(s->bias + g * s->gate + v, n) : sum;
}

/* The new state, or the old one where the sequence has ended. */
INLINE void put_state(const cbm_cell_step *s, int64_t row, int64_t v, int64_t n, vf h, bool active)
{
    vf_store_n(s->h + row * s->h_row + v, n, active ? h : vf_load_n(s->before + row * s->h_row + v, n));
    if (s->y)
        vf_store_n(s->y + row * s->y_row + v, n, active ? h : (vf){ 0 });
}

INLINE void put_kept(const cbm_cell_step *s, int64_t row, int64_t part, int64_t v, int64_t n, vf value)
{
    vf_store_n(s->kept + row * s->kept_row + part * s->gate + v, n, value);
}

/* ---- forward ---- */

INLINE void rnn_lanes(const cbm_cell_step *s, int64_t v, int64_t n)
{
    for (int64_t r = 0; r < s->rows; r++) {
        const vf sum = gate_sum(s, r, 0, v, n);
        put_state(s, r, v, n, s->relu ? vf_max(sum, (vf){ 0 }) : vf_tanh(sum), s->step < length_of(s, r));
    }
}

INLINE void lstm_lanes(const cbm_cell_step *s, int64_t v, int64_t n)
{
    for (int64_t r = 0; r < s->rows; r++) {
        const bool active = s->step < length_of(s, r);
        float *c_at = s->c + r * s->c_row + v;
        vf i = sigmoid(gate_sum(s, r, 0, v, n)), f = sigmoid(gate_sum(s, r, 1, v, n));
        vf g = vf_tanh(gate_sum(s, r, 2, v, n)), o = sigmoid(gate_sum(s, r, 3, v, n));
        vf c = f * vf_load_n(c_at, n) + i * g;
        put_state(s, r, v, n, o * vf_tanh(c), active);
        if (active)
            vf_store_n(c_at, n, c);
        if (!s->kept)
            continue;
        const vf parts[] = { i, f, g, o, c };
        for (int64_t k = 0; k < 5; k++)
            put_kept(s, r, k, v, n, active ? parts[k] : (vf){ 0 });
    }
}

INLINE void gru_lanes(const cbm_cell_step *s, int64_t v, int64_t n)
{
    for (int64_t r = 0; r < s->rows; r++) {
        const bool active = s->step < length_of(s, r);
        const float *x = s->x + r * s->x_row + 2 * s->gate + v;
        const float *product = s->product + r * s->product_row + 2 * s->product_gate + v;
        vf reset = sigmoid(gate_sum(s, r, 0, v, n)), z = sigmoid(gate_sum(s, r, 1, v, n));
        vf sum = vf_load_n(x, n), recurrent = vf_load(product);
        if (s->bias) {
            sum += vf_load_n(s->bias + 2 * s->gate + v, n);
            recurrent += vf_load_n(s->bias + 3 * s->gate + v, n);
        }
        vf fresh = vf_tanh(sum + reset * recurrent);
        put_state(s, r, v, n, fresh + z * (vf_load_n(s->before + r * s->h_row + v, n) - fresh), active);
        if (!s->kept)
            continue;
        const vf parts[] = { reset, z, fresh, recurrent };
        for (int64_t k = 0; k < 4; k++)
            put_kept(s, r, k, v, n, active ? parts[k] : (vf){ 0 });
    }
}

/* ---- backward ---- */

/* The gradient of the state after the step; it is then taken out of where it was, for what comes from the step before. */
INLINE vf take_gradient(const cbm_cell_step *s, int64_t row, int64_t v, int64_t n)
{
    float *p = s->h + row * s->h_row + v;
    vf dh = vf_load_n(p, n);
    vf_store_n(p, n, (vf){ 0 });
    return s->gy ? dh + vf_load_n(s->gy + row * s->y_row + v, n) : dh;
}

INLINE vf kept_part(const cbm_cell_step *s, int64_t row, int64_t part, int64_t v, int64_t n)
{
    return vf_load_n(s->kept + row * s->kept_row + part * s->gate + v, n);
}

INLINE void put_gate(const cbm_cell_step *s, int64_t row, int64_t g, int64_t v, int64_t n, vf value)
{
    vf_store_n(s->dx + row * s->x_row + g * s->gate + v, n, value);
}

INLINE void rnn_back_lanes(const cbm_cell_step *s, int64_t v, int64_t n)
{
    vf sum = { 0 };
    for (int64_t r = 0; r < s->rows; r++) {
        vf ds = { 0 };
        if (s->step < length_of(s, r)) {
            const vf y = vf_load_n(s->y + r * s->y_row + v, n), dh = take_gradient(s, r, v, n);
            ds = s->relu ? vf_select(y > (vf){ 0 }, dh, (vf){ 0 }) : dh * (1.0f - y * y);
        }
        put_gate(s, r, 0, v, n, ds);
        sum += ds;
    }
    add_to(s->dbias + v, n, sum);
}

INLINE void lstm_back_lanes(const cbm_cell_step *s, int64_t v, int64_t n)
{
    vf sums[4] = { { 0 }, { 0 }, { 0 }, { 0 } };
    for (int64_t r = 0; r < s->rows; r++) {
        vf d[4] = { { 0 }, { 0 }, { 0 }, { 0 } };
        if (s->step < length_of(s, r)) {
            const vf i = kept_part(s, r, 0, v, n), f = kept_part(s, r, 1, v, n), g = kept_part(s, r, 2, v, n);
            const vf o = kept_part(s, r, 3, v, n), tc = vf_tanh(kept_part(s, r, 4, v, n));
            const float *first = s->first ? s->first + r * s->first_row + v : NULL;
            vf c = { 0 };
            if (!begins(s, r))
                c = vf_load_n(s->kept_before + r * s->kept_row + 4 * s->gate + v, n);
            else if (first)
                c = vf_load_n(first, n);
            const vf dh = take_gradient(s, r, v, n);
            float *dc_at = s->c + r * s->c_row + v;
            const vf dc = vf_load_n(dc_at, n) + dh * o * (1.0f - tc * tc);
            d[0] = dc * g * i * (1.0f - i);
            d[1] = dc * c * f * (1.0f - f);
            d[2] = dc * i * (1.0f - g * g);
            d[3] = dh * tc * o * (1.0f - o);
            vf_store_n(dc_at, n, dc * f);
        }
        for (int64_t k = 0; k < 4; k++) {
            put_gate(s, r, k, v, n, d[k]);
            sums[k] += d[k];
        }
    }
    for (int64_t k = 0; k < 4; k++)
        add_to(s->dbias + k * s->gate + v, n, sums[k]);
}

INLINE void gru_back_lanes(const cbm_cell_step *s, int64_t v, int64_t n)
{
    vf sums[4] = { { 0 }, { 0 }, { 0 }, { 0 } };
    for (int64_t r = 0; r < s->rows; r++) {
        vf d[4] = { { 0 }, { 0 }, { 0 }, { 0 } };
        if (s->step < length_of(s, r)) {
            const vf reset = kept_part(s, r, 0, v, n), z = kept_part(s, r, 1, v, n), fresh = kept_part(s, r, 2, v, n);
            const float *first = s->first ? s->first + r * s->first_row + v : NULL;
            vf h = { 0 };
            if (!begins(s, r))
                h = vf_load_n(s->before + r * s->y_row + v, n);
            else if (first)
                h = vf_load_n(first, n);
            const vf dh = take_gradient(s, r, v, n);
            d[2] = dh * (1.0f - z) * (1.0f - fresh * fresh);
            d[0] = d[2] * kept_part(s, r, 3, v, n) * reset * (1.0f - reset);
            d[1] = dh * (h - fresh) * z * (1.0f - z);
            d[3] = d[2] * reset;
            vf_store_n(s->h + r * s->h_row + v, n, dh * z);
        }
        for (int64_t k = 0; k < 3; k++)
            put_gate(s, r, k, v, n, d[k]);
        vf_store_n(s->dn + r * s->dn_row + v, n, d[3]);
        for (int64_t k = 0; k < 4; k++)
            sums[k] += d[k];
    }
    for (int64_t k = 0; k < 4; k++)
        add_to(s->dbias + k * s->gate + v, n, sums[k]);
}

/* Whole vectors of units, then what is left of them. */
#define ALL_LANES(name)                                                                                                \
    static void name(const cbm_cell_step *s)                                                                           \
    {                                                                                                                  \
        int64_t v = 0;                                                                                                 \
        for (; v + VN <= s->lanes; v += VN)                                                                            \
            name##_lanes(s, v, VN);                                                                                    \
        if (v < s->lanes)                                                                                              \
            name##_lanes(s, v, s->lanes - v);                                                                          \
    }
ALL_LANES(rnn)
ALL_LANES(lstm)
ALL_LANES(gru)
ALL_LANES(rnn_back)
ALL_LANES(lstm_back)
ALL_LANES(gru_back)

void CBM_LEVEL(cbm_recurrent_fill)(cbm_simd *s)
{
    s->cell_forward[0] = rnn;
    s->cell_forward[1] = lstm;
    s->cell_forward[2] = gru;
    s->cell_backward[0] = rnn_back;
    s->cell_backward[1] = lstm_back;
    s->cell_backward[2] = gru_back;
}
