/* autocast.c: precision bf16: which operands of an operation are converted before it is recorded. Follows PyTorch's
   autocast: products on bf16, sums and exponentials on f32, the others in the widest type among their operands, where a
   tensor without dimensions gives way to others. Rests on op/families.h. */
#include "op/families.h"

static cbm_autocast autocast_of(const cbm_op *op)
{
    if (op->struct_size >= sizeof *op && op->autocast != CBM_AUTOCAST_DEFAULT)
        return (cbm_autocast)op->autocast;
    return op->kernel ? CBM_AUTOCAST_FULL : CBM_AUTOCAST_WIDEST;
}

/* Arithmetic takes an f32 scalar beside bf16 as it is. */
static bool converts(const cbm_op *op, const cbm_tensor *t, cbm_dtype to)
{
    const cbm_value *v = t->value;
    if ((v->dtype != CBM_F32 && v->dtype != CBM_BF16) || v->dtype == to)
        return false;
    return to == CBM_F32 || v->shape.v[0] > 0 || (op->infer != cbm_infer_numeric && op->infer != cbm_infer_floating);
}

/* bf16 unless an operand with dimensions is f32; without any such, unless some operand is. */
static cbm_dtype widest(cbm_tensor *const *inputs, size_t n_in)
{
    bool whole[2] = { false, false }, half[2] = { false, false }; /* without dimensions, with */
    for (size_t i = 0; i < n_in; i++) {
        const cbm_value *v = inputs[i]->value;
        whole[v->shape.v[0] > 0] |= v->dtype == CBM_F32;
        half[v->shape.v[0] > 0] |= v->dtype == CBM_BF16;
    }
    return whole[1] || (whole[0] && !half[1]) ? CBM_F32 : CBM_BF16;
}

cbm_tensor *const *cbm_autocast_operands(cbm_context *cx, const cbm_op *op, cbm_tensor *const *inputs, size_t n_in,
                                         cbm_tensor **room)
{
    const cbm_autocast kind = autocast_of(op);
    if (kind == CBM_AUTOCAST_NONE || n_in > CBM_MAX_INPUTS)
        return inputs;
    for (size_t i = 0; i < n_in; i++)
        if (!inputs[i] || inputs[i]->cx != cx || inputs[i]->failed || inputs[i]->dead)
            return inputs; /* recording says why not */
    const cbm_dtype dtype = kind == CBM_AUTOCAST_PRODUCT ? CBM_BF16
                            : kind == CBM_AUTOCAST_FULL  ? CBM_F32
                                                         : widest(inputs, n_in);
    const size_t some = kind == CBM_AUTOCAST_PRODUCT && n_in > 2 ? 2 : n_in; /* the factors */
    bool changed = false;
    for (size_t i = 0; i < some; i++)
        changed = changed || converts(op, inputs[i], dtype);
    if (!changed)
        return inputs;
    for (size_t i = 0; i < n_in; i++)
        room[i] = i < some && converts(op, inputs[i], dtype) ? cbm_cast(inputs[i], dtype) : inputs[i];
    return room;
}

cbm_tensor *cbm_for_product(cbm_tensor *t)
{
    cbm_context *cx = cbm_tensor_context(t);
    if (!cbm_usable(cx, t) || cx->scope->precision != CBM_PRECISION_BF16 || t->value->dtype != CBM_F32)
        return t;
    return cbm_cast(t, CBM_BF16);
}
