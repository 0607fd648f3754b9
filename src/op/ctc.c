/* ctc.c: connectionist temporal classification: the loss of sequences whose labels are not aligned with the frames. Rests on
   op/families.h. */
#include "op/families.h"

/* Log-probabilities (T, N, C), targets (N, S), two lengths (N); gives (N). */
static bool sequences(cbm_infer *infer, cbm_shape *rows)
{
    char text[160];
    const cbm_shape *x = &infer->in_shape[0];
    const cbm_ctc_attributes *a = infer->attributes;
    if (!cbm_rule_floating(infer, 0) || !cbm_rule_rank(infer, 0, "log_probs (T, N, C)", 3) ||
        !cbm_rule_index_dtype(infer, 1, "targets") || !cbm_rule_rank(infer, 1, "targets (N, S)", 2) ||
        !cbm_rule_index_dtype(infer, 2, "input_lengths") || !cbm_rule_index_dtype(infer, 3, "target_lengths"))
        return false;
    *rows = (cbm_shape){ { 1, x->v[2] } };
    if (infer->in_shape[1].v[1] != x->v[2])
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE,
                              "targets %s have another batch than log_probs (T, N, C) with N = %lld",
                              cbm_shape_text(&infer->in_shape[1], text, sizeof text), (long long)x->v[2]);
    if (!cbm_rule_shape(infer, 2, "input_lengths", rows) || !cbm_rule_shape(infer, 3, "target_lengths", rows))
        return false;
    if (a->blank < 0 || a->blank >= x->v[3])
        return cbm_infer_fail(infer, CBM_ERROR_INVALID, "blank %lld is none of %lld classes", (long long)a->blank,
                              (long long)x->v[3]);
    return true;
}

static bool ctc_infer(cbm_infer *infer)
{
    infer->out_shape[1] = infer->in_shape[0];
    infer->out_dtype[1] = infer->in_dtype[0];
    infer->out_dtype[0] = cbm_statistics_dtype(infer->in_dtype[0]);
    return sequences(infer, &infer->out_shape[0]);
}

static bool along_infer(cbm_infer *infer)
{
    cbm_shape rows;
    infer->out_shape[0] = infer->in_shape[0];
    infer->out_dtype[0] = infer->in_dtype[0];
    if (!sequences(infer, &rows) || !cbm_rule_shape(infer, 4, "direction", &infer->in_shape[0]))
        return false;
    return infer->in_dtype[4] == infer->in_dtype[0] ||
           cbm_infer_fail(infer, CBM_ERROR_DTYPE, "log_probs hold %s, the direction %s",
                          cbm_dtype_name(infer->in_dtype[0]), cbm_dtype_name(infer->in_dtype[4]));
}

static const cbm_op along_op;

/* The loss falls by a class's occupancy; the slope of occupancy is symmetric, being minus the loss's second derivative. */
static void ctc_vjp(cbm_vjp *v)
{
    const cbm_dtype dtype = cbm_tensor_dtype(v->in[0]);
    cbm_tensor *gradient = NULL;
    if (v->out_gradient[0]) {
        cbm_tensor *g = cbm_unsqueeze(v->out_gradient[0], 1); /* (N, 1), for each frame */
        gradient = cbm_cast(cbm_neg(cbm_mul(cbm_for_statistics(v->out[1]), g)), dtype);
    }
    if (v->out_gradient[1]) {
        cbm_tensor *const in[] = { v->in[0], v->in[1], v->in[2], v->in[3], v->out_gradient[1] };
        cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
        cbm_tensor *part = cbm_apply(v->cx, &along_op, in, 5, v->attributes, out);
        gradient = gradient ? cbm_add(gradient, part) : part;
    }
    v->in_gradient[0] = gradient;
}

static void ctc_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    const cbm_buffer *x = &shapes->in[0];
    const double states = 2 * (double)shapes->in[1].shape[1] + 1;
    cost->flops = 20 * states * (double)x->shape[0] * (double)x->shape[1];
    cost->bytes = (double)x->count * (double)cbm_dtype_size(x->dtype);
}

static const cbm_attribute ctc_fields[] = {
    CBM_FIELD(cbm_ctc_attributes, blank, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_ctc_attributes, zero_infinity, CBM_ATTRIBUTE_INT, false),
};
static const cbm_ctc_attributes first_is_blank = { 0, 0 }, last_is_blank = { 4, 1 };
#define SEQUENCES(t_, n_, c_, s_, low_, high_, shortest_)                                                              \
    CBM_FLOATS(-3, 0, t_, n_, c_), CBM_INDICES(low_, high_, n_, s_), CBM_INDICES(shortest_, t_, n_),                   \
        CBM_INDICES(0, s_, n_)
static const cbm_sample ctc_samples[] = {
    { .n_in = 4, .in = { SEQUENCES(6, 3, 4, 2, 1, 3, 5) }, .attributes = &first_is_blank },
    { .n_in = 4, .in = { SEQUENCES(9, 4, 5, 4, 0, 3, 8) }, .attributes = &last_is_blank },
    { .n_in = 4, .in = { SEQUENCES(5, 2, 3, 0, 1, 2, 5) }, .attributes = &first_is_blank },
};
static const cbm_sample along_samples[] = {
    { .n_in = 5, .in = { SEQUENCES(6, 3, 4, 2, 1, 3, 5), CBM_FLOATS(-1, 1, 6, 3, 4) }, .attributes = &first_is_blank },
    { .n_in = 5, .in = { SEQUENCES(9, 4, 5, 4, 0, 3, 8), CBM_FLOATS(-1, 1, 9, 4, 5) }, .attributes = &last_is_blank },
};
#define SEQUENCE_OP(name_, n_in_, n_out_, infer_, samples_)                                                            \
    CBM_OP_RECORD(name_), .n_in = (n_in_), .n_out = (n_out_), .flags = CBM_OP_CHECKS,                                  \
                          .attributes_size = sizeof(cbm_ctc_attributes), .attributes = ctc_fields,                     \
                          .n_attributes = CBM_COUNTOF(ctc_fields), .infer = (infer_), .cost = ctc_cost,                \
                          .autocast = CBM_AUTOCAST_FULL, CBM_SAMPLES(samples_)
const cbm_op cbm_op_ctc_loss = {
    SEQUENCE_OP("ctc_loss", 4, 2, ctc_infer, ctc_samples),
    .formula =
        "-log of the sum over all ways to read the target, of e^(sum over its frames of log_probs); how probable "
        "each class is at each frame, given the target (Graves et al. 2006)",
    .saves = CBM_SAVES_ALL_IN | CBM_SAVES_OUT(1),
    .vjp = ctc_vjp,
    .differentiable_in = 1,
    .opaque_out = 2,
};
static const cbm_op along_op = {
    SEQUENCE_OP("ctc_occupancy_along", 5, 1, along_infer, along_samples),
    .formula = "the derivative of ctc_loss's second result along a direction of log_probs",
};

const cbm_op *const cbm_ops_ctc[] = { &cbm_op_ctc_loss, &along_op, NULL };
