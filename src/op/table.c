/* table.c: the one table of built-in operations, joined from the families' lists. */
#include "op/families.h"

#include <string.h>

static const cbm_op *const *const families[] = {
    cbm_ops_arithmetic,  cbm_ops_functions, cbm_ops_trigonometry, cbm_ops_rounding,   cbm_ops_activations,
    cbm_ops_blend,       cbm_ops_bits,      cbm_ops_compare,      cbm_ops_fill,       cbm_ops_reduce,
    cbm_ops_matmul,      cbm_ops_softmax,   cbm_ops_move,         cbm_ops_slice,      cbm_ops_index,
    cbm_ops_conv,        cbm_ops_pool,      cbm_ops_norm,         cbm_ops_loss,       cbm_ops_random,
    cbm_ops_recurrent,   cbm_ops_adaptive,  cbm_ops_resample,     cbm_ops_layer_norm, cbm_ops_group_norm,
    cbm_ops_loss_values, cbm_ops_ctc,       cbm_ops_attention,    cbm_ops_split,      cbm_ops_pad,
    cbm_ops_roll,        cbm_ops_window,    cbm_ops_unfold,       cbm_ops_diagonal,   cbm_ops_scatter,
    cbm_ops_select,      cbm_ops_sort,      cbm_ops_bins,         cbm_ops_embedding,  cbm_ops_statistics,
    cbm_ops_scan,        cbm_ops_factor,    cbm_ops_solve,        cbm_ops_create,     cbm_ops_draw,
};

size_t cbm_op_count(void)
{
    size_t count = 0;
    for (size_t f = 0; f < CBM_COUNTOF(families); f++)
        for (const cbm_op *const *op = families[f]; *op != NULL; op++)
            count++;
    return count;
}

const cbm_op *cbm_op_at(size_t index)
{
    for (size_t f = 0; f < CBM_COUNTOF(families); f++)
        for (const cbm_op *const *op = families[f]; *op != NULL; op++)
            if (index-- == 0)
                return *op;
    return NULL;
}

const cbm_op *cbm_op_named(const char *name)
{
    if (name == NULL)
        return NULL;
    for (size_t f = 0; f < CBM_COUNTOF(families); f++)
        for (const cbm_op *const *op = families[f]; *op != NULL; op++)
            if (strcmp((*op)->name, name) == 0)
                return *op;
    return NULL;
}
