/* fused_pairs.c: an instruction whose result only one other reads is done by that one's function (simd/pairs.c). */
#include "backend/cpu/fused_make.h"

/* The function that does instruction `first` (its result being argument k of `second`) and `second`; NULL: none. */
cbm_tile_fn cbm_pass_pair(const maker *m, int32_t first, int32_t second, int32_t k)
{
    static const int8_t firsts[CBM_EXPR_CODES] = {
        [CBM_EXPR_ADD] = 1, [CBM_EXPR_SUB] = 2, [CBM_EXPR_MUL] = 3, [CBM_EXPR_DIV] = 4, [CBM_EXPR_MAX] = 5
    };
    static const int8_t seconds[CBM_EXPR_CODES][2] = {
        [CBM_EXPR_ADD] = { 1, 1 }, [CBM_EXPR_SUB] = { 2, 3 }, [CBM_EXPR_MUL] = { 4, 4 },
        [CBM_EXPR_DIV] = { 5, 6 }, [CBM_EXPR_MAX] = { 7, 0 }, [CBM_EXPR_MIN] = { 8, 0 }
    };
    const cbm_fused_instruction *a = code_at(m, first), *b = code_at(m, second);
    if (b->dtype != CBM_F32 || code_at(m, m->values[a->x].root)->dtype != CBM_F32)
        return NULL;
    if (b->code == CBM_EXPR_SELECT)
        return k == 0 && cbm_expr_compares(a->code) ? m->pass->simd->select_by[a->code - CBM_EXPR_LT] : NULL;
    if (a->dtype != CBM_F32 || k > 1 || !firsts[a->code] || !seconds[b->code][k])
        return NULL;
    return m->pass->simd->pair[firsts[a->code] - 1][seconds[b->code][k] - 1];
}

void cbm_pass_find_pairs(maker *m)
{
    for (int32_t j = 0; j < m->length; j++) {
        const cbm_fused_instruction *c = code_at(m, j);
        if (!m->values[j].needed || m->values[j].root != j || m->values[j].uniform)
            continue;
        for (int32_t k = 0; k < cbm_expr_arguments(c->code); k++) {
            const int32_t i = m->values[argument(c, k)].root;
            value *v = &m->values[i];
            if (v->reads != 1 || v->uniform || v->absorbs >= 0 || cbm_expr_arguments(code_at(m, i)->code) != 2 ||
                !cbm_pass_pair(m, i, j, k))
                continue;
            v->into = j;
            m->values[j].absorbs = i;
            for (int32_t n = 0; n < 2; n++) {
                value *operand = &m->values[m->values[argument(code_at(m, i), n)].root];
                operand->last_use = operand->last_use < j ? j : operand->last_use;
            }
            break;
        }
    }
}

int32_t cbm_pass_operands(const maker *m, int32_t i, int32_t *operands, int32_t *half)
{
    const int32_t absorbed = m->values[i].absorbs;
    int32_t n = 0;
    *half = -1;
    for (int32_t k = 0; absorbed >= 0 && k < 2; k++)
        operands[n++] = m->values[argument(code_at(m, absorbed), k)].root;
    for (int32_t k = 0; k < cbm_expr_arguments(code_at(m, i)->code); k++) {
        const int32_t root = m->values[argument(code_at(m, i), k)].root;
        if (absorbed >= 0 && root == absorbed)
            *half = k;
        else
            operands[n++] = root;
    }
    return n;
}
